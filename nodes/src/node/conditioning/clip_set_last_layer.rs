use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Clip;

/// Chooses the layer of the text encoder whose output becomes the embedding of a prompt. -1 is the last layer; -2 is
/// elsewhere called clip skip 2.
///
/// The final layer norm is applied to the output of any layer. If the text encoder has fewer layers than that, the last
/// one is used.
#[derive(Node)]
#[node(category = "conditioning", display = "CLIP Set Last Layer")]
struct CLIPSetLastLayer {
    clip: Clip,
    /// Counted from the end: -1 is the last layer.
    #[input(default = -1, min = -24, max = -1, step = 1, beyond = Below)]
    stop_at_clip_layer: i64,
}

impl Run for CLIPSetLastLayer {
    type Out = Clip;

    fn run(self, _: &mut Cx) -> anyhow::Result<Clip> {
        Ok(Clip { last_layer: Some(self.stop_at_clip_layer), ..self.clip })
    }
}
