use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::recipes::Clip;
use crate::text::encode::Fill;

/// Sets how T5 fills texts up with tokens of nothing, in place of what its model is used to. Other text encoders take no notice.
#[derive(Node)]
#[node(category = "_for_testing/conditioning", experimental)]
struct T5TokenizerOptions {
    clip: Clip,
    /// How many are put behind every text.
    #[input(default = 0, min = 0, max = 10000, step = 1)]
    min_padding: usize,
    /// To how many tokens shorter texts are filled up.
    #[input(default = 0, min = 0, max = 10000, step = 1)]
    min_length: usize,
}

impl Run for T5TokenizerOptions {
    type Out = Clip;

    fn run(self, _: &mut Cx) -> anyhow::Result<Clip> {
        Ok(Clip { fill: Some(Fill { more: self.min_padding, least: self.min_length }), ..self.clip })
    }
}
