use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::models::gligen::MOST_BOXES;
use crate::recipes::{Clip, Gligen, Text};
use crate::values::extras::POOLED;
use crate::values::{Conditioning, Grounding, Place};

/// Says that a thing lies in a box of the picture, for a GLIGEN model. Several follow each other.
///
/// If the prompts are a sampler's positive conditioning, its other conditionings are told, too, as far as they are told nothing themselves.
#[derive(Node)]
#[node(category = "conditioning/gligen")]
struct GLIGENTextBoxApply {
    conditioning_to: Conditioning,
    clip: Clip,
    gligen_textbox_model: Gligen,
    /// What the thing is.
    #[input(multiline, dynamic_prompts)]
    text: String,
    /// The box's size and place, in pixels.
    #[input(default = 64, min = 8, max = 16384, step = 8)]
    width: i64,
    #[input(default = 64, min = 8, max = 16384, step = 8)]
    height: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    y: i64,
}

impl Run for GLIGENTextBoxApply {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> Result<Conditioning> {
        let text =
            self.clip.encode_unprojected(Text::Same(&self.text), cx)?.extras.get(POOLED).context(
                "the text encoder makes no single vector of a text; use CLIP, as Stable Diffusion 1.x has it",
            )?;
        let (height, width, y, x) = (self.height / 8, self.width / 8, self.y / 8, self.x / 8);
        let place = Place { text, height, width, y, x };
        let mut conditioning = self.conditioning_to;
        for entry in &mut conditioning.0 {
            let mut boxes = entry.grounding.as_ref().map(|before| before.boxes.clone()).unwrap_or_default();
            boxes.push(place.clone());
            ensure!(
                boxes.len() <= MOST_BOXES,
                "{} texts are in boxes, and GLIGEN takes {MOST_BOXES}; leave some out",
                boxes.len()
            );
            entry.grounding = Some(Rc::new(Grounding { net: self.gligen_textbox_model.clone(), boxes }));
        }
        Ok(conditioning)
    }
}
