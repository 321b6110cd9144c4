//! Nodes for tests of execution, under the names and with the behaviour of the pack that ComfyUI's `tests/execution` uses.
//! A program that links this crate (`use redraft_testing_pack as _;`) has them beside ComfyUI's own.

mod conditions;
mod expanding;
mod lists;
mod loops;
mod specific;
mod stubs;
mod types;
mod validation;
mod waiting;
