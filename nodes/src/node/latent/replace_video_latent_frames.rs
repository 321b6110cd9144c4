use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Latent;

/// Replaces frames of a video latent by those of another one. If they do not fit, the latent is returned as it is.
#[derive(Node)]
#[node(category = "latent/batch")]
struct ReplaceVideoLatentFrames {
    /// The latent whose frames are replaced.
    destination: Latent,
    /// The first frame that is replaced; a negative number counts from the end.
    #[input(default = 0, min = -16384, max = 16384, step = 1)]
    index: i64,
    /// The latent with the new frames.
    source: Option<Latent>,
}

impl Run for ReplaceVideoLatentFrames {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let Some(source) = self.source else { return Ok(self.destination) };
        let frames = |latent: &Latent| latent.samples.size()[2];
        let (have, more) = (frames(&self.destination), frames(&source));
        let start = if self.index < 0 { have + self.index } else { self.index };
        if start < 0 || start + more > have {
            cx.warn(format!("{more} frames from frame {start} on do not fit into {have}; nothing is replaced"));
            return Ok(self.destination);
        }
        let samples = self.destination.samples.copy();
        // In place, but on the copy.
        samples.narrow(2, start, more).copy_(&source.samples);
        Ok(source.with_samples(samples))
    }
}
