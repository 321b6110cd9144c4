//! Nodes of packs against the packs' own, run by ComfyUI 0.8.0 on a CPU with one thread (versions of November 2026): shape, mean and three
//! values of what one node gives.

#![allow(clippy::unwrap_used)]

mod controlnet_aux;
#[path = "../../nodes/tests/graphs/mod.rs"]
mod graphs;
mod lists;
mod pictures;
mod videos;

use redraft_packs as _;

#[test]
fn nodes_give_what_the_packs_give() {
    graphs::compare_all(include_str!("figures.jsonl"), 250);
}
