//! The engine of redraft: reads ComfyUI workflows, plans them and executes them. It knows no tensors.
//!
//! ```text
//! workflow file -> workflow::read -> Prompt -> Plan (every problem found) -> Engine::run -> events and outputs
//! ```

pub mod aside;
pub mod cache;
pub mod check;
pub mod codec;
pub mod constant;
pub mod cx;
pub mod digests;
pub mod draw;
pub mod dynamic;
pub mod error;
pub mod event;
pub mod exec;
pub mod failure;
pub mod feed;
pub mod files;
mod finding;
pub mod flow;
pub mod folder_kinds;
mod folder_sets;
pub mod folders;
pub mod foreign;
pub mod frames;
pub mod graph;
pub mod io;
pub mod key;
mod key_builder;
mod links;
mod live;
pub mod memory;
pub mod names;
pub mod node;
pub mod object_info;
pub mod outputs;
pub mod packs;
pub mod plan;
pub mod problem;
pub mod prompt;
pub mod python;
mod ranges;
pub mod results_file;
pub mod schema;
pub mod settable;
mod step;
pub mod stock;
pub mod table;
pub mod testing;
mod validate;
mod versions;
pub mod workflow;

// What the derives and macros need of other crates, so that their users need not.
#[doc(hidden)]
pub use anyhow;
pub use linkme;
pub use redraft_engine_derive::{Choices, Combo, Inputs, Node, Outputs};
