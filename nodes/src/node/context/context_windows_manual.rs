use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Model;
use crate::sampling::context_windows::{ContextWindows, Fuse, WindowSchedule};

/// Evaluates a model on overlapping windows of a large batch instead of on all of it at once, and averages the
/// predictions.
///
/// Made for video models, for which the images of a batch are frames that depend on each other. Stable Diffusion 1.x
/// denoises each image by itself, so windows over the batch change nothing but rounding, and save memory. With windows
/// over height or width the latent is denoised in strips.
///
/// Samplers that evaluate the model between two noise levels of the schedule are refused.
#[derive(Node)]
#[node(category = "context", display = "Context Windows (Manual)", experimental)]
struct ContextWindowsManual {
    model: Model,
    /// The length of a window. If the dimension is not longer than this, the node has no effect.
    #[input(default = 16, min = 1)]
    context_length: i64,
    /// The length of the overlap of two neighbouring windows.
    #[input(default = 4, min = 0)]
    context_overlap: i64,
    /// How the windows are placed: `standard_static` the same in each step, `standard_uniform` shifted from step to
    /// step, `looped_uniform` shifted and wrapping around the end, `batched` side by side without overlap.
    context_schedule: WindowSchedule,
    /// The number of strides that the uniform schedules use: 1 uses windows of consecutive frames only, 2 also windows
    /// of every second frame, 3 also of every fourth, and so on.
    #[input(default = 1, min = 1)]
    context_stride: i64,
    /// Whether the looped schedule treats the last and the first frame as neighbours.
    #[input(default = false)]
    closed_loop: bool,
    /// The weights of overlapping windows: `pyramid` and `relative` weigh the middle of a window more, `flat` weighs
    /// all frames alike, `overlap-linear` fades over the overlap.
    #[input(default = "pyramid")]
    fuse_method: Fuse,
    /// The dimension that is cut into windows: 0 the batch, 2 the height, 3 the width.
    #[input(default = 0, min = 0, max = 5)]
    dim: i64,
    /// Whether the noise beyond the first window is the first window's noise, shuffled (FreeNoise).
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

/// The same over the frames of a video's latent, of Wan and its like: lengths are in frames.
#[derive(Node)]
#[node(category = "context", display = "WAN Context Windows (Manual)", experimental)]
struct WanContextWindowsManual {
    model: Model,
    /// The length of a window, in frames of the video.
    #[input(default = 81, min = 1, max = 16384, step = 4)]
    context_length: i64,
    /// The length of the overlap of two neighbouring windows.
    #[input(default = 30, min = 0)]
    context_overlap: i64,
    /// How the windows are placed, as in ContextWindowsManual.
    context_schedule: WindowSchedule,
    /// The number of strides that the uniform schedules use.
    #[input(default = 1, min = 1)]
    context_stride: i64,
    /// Whether the looped schedule treats the last and the first frame as neighbours.
    #[input(default = false)]
    closed_loop: bool,
    /// The weights of overlapping windows.
    #[input(default = "pyramid")]
    fuse_method: Fuse,
    /// Whether the noise beyond the first window is the first window's noise, shuffled (FreeNoise).
    #[input(default = false)]
    freenoise: bool,
}

impl Run for WanContextWindowsManual {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        // Four frames behind the first make one latent frame.
        let latent = |frames: i64| (frames - 1).div_euclid(4) + 1;
        Ok(self.model.with_hook(ContextWindows {
            schedule: self.context_schedule,
            fuse: self.fuse_method,
            length: latent(self.context_length).max(1),
            overlap: latent(self.context_overlap).max(0),
            stride: self.context_stride,
            closed_loop: self.closed_loop,
            dim: 2,
            freenoise: self.freenoise,
        }))
    }
}
