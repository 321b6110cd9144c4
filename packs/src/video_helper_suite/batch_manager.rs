use redraft_engine::cx::Cx;
use redraft_engine::node::{Offer, Run};
use redraft_engine::{Node, Outputs};

use super::wires::BatchManager;

/// Refused: it puts the workflow into ComfyUI's queue again and again, to work on a long video part by part, and there is no queue here.
#[derive(Node)]
#[node(
    class = "VHS_BatchManager",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Meta Batch Manager 🎥🅥🅗🅢",
    hidden("prompt", "unique_id")
)]
#[allow(dead_code, reason = "it is refused before it runs")]
struct MetaBatchManager {
    #[input(default = 16, min = 1, max = 9_007_199_254_740_991_i64, step = 1)]
    frames_per_batch: i64,
}

#[derive(Outputs)]
struct Managed {
    #[output(name = "meta_batch")]
    meta_batch: BatchManager,
}

const REFUSED: &str = "puts the workflow into ComfyUI's queue once for each part of a video, and there is no queue here: take the node out, \
                       and run the workflow once for each part with skip_first_frames and frame_load_cap (redraft sweep does)";

impl Run for MetaBatchManager {
    type Out = Managed;

    fn validate(_: &Offer) -> Result<(), String> {
        Err(REFUSED.to_owned())
    }

    fn run(self, _: &mut Cx) -> anyhow::Result<Managed> {
        anyhow::bail!(REFUSED)
    }
}
