use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Model;
use crate::sampling::context_windows::{ContextWindows, Fuse, Schedule};

/// Lets a model see a part of a large batch at a time: windows that overlap, and whose predictions are averaged.
///
/// Made for models that see all images of a batch together, as frames. Stable Diffusion 1.x sees each by itself: along the
/// batch it gives the same with windows as without, up to rounding, in less memory. Along height or width it paints the
/// latent in strips.
///
/// Samplers that evaluate the model between the noise levels are refused.
#[derive(Node)]
#[node(category = "context", display = "Context Windows (Manual)", experimental)]
struct ContextWindowsManual {
    model: Model,
    /// How much a window holds. Where the whole is no longer, nothing changes.
    #[input(default = 16, min = 1)]
    context_length: i64,
    /// How much of it the next window holds, too.
    #[input(default = 4, min = 0)]
    context_overlap: i64,
    /// Where the windows lie: at the same places in each step, elsewhere in each step, the same across the end, or side by
    /// side without overlap.
    context_schedule: Schedule,
    /// Up to which power of two the uniform schedules also take windows with gaps: 1 is none, 2 also every second.
    #[input(default = 1, min = 1)]
    context_stride: i64,
    /// Whether the looped schedule closes the loop.
    #[input(default = false)]
    closed_loop: bool,
    /// How overlapping windows are averaged: more by their middle, by how near each is to its window's middle, equally, or
    /// fading over the overlap.
    #[input(default = "pyramid")]
    fuse_method: Fuse,
    /// What is cut into windows: 0 the batch, 2 the height, 3 the width.
    #[input(default = 0, min = 0, max = 5)]
    dim: i64,
    /// Whether the noise beyond the first window is that of the first in another order.
    #[input(default = false)]
    freenoise: bool,
}

impl Run for ContextWindowsManual {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(ContextWindows {
            schedule: self.context_schedule,
            fuse: self.fuse_method,
            length: self.context_length,
            overlap: self.context_overlap,
            stride: self.context_stride,
            closed_loop: self.closed_loop,
            dim: self.dim,
            freenoise: self.freenoise,
        }))
    }
}
