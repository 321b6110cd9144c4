use anyhow::{Context, Result};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::extras::{ExtraType, Extras, Property, UNCLIP_EMBEDS, UNCLIP_NOISE, UNCLIP_STRENGTH};
use crate::values::{ClipVisionOutput, Conditioning};

/// Lets prompts go by pictures: for unCLIP models, and for SDXL, where they stand in place of the pooled text.
#[derive(Node)]
#[node(category = "conditioning")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct unCLIPConditioning {
    conditioning: Conditioning,
    /// What the model's image encoder sees in the pictures.
    clip_vision_output: ClipVisionOutput,
    /// How strongly they act; with 0 they do not.
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01)]
    strength: f64,
    /// How much noise is mixed into what is seen, and so how freely it is taken.
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.01)]
    noise_augmentation: f64,
}

impl Run for unCLIPConditioning {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> Result<Conditioning> {
        if self.strength == 0.0 {
            return Ok(self.conditioning);
        }
        let embeds = self.clip_vision_output.embeds.context(
            "clip_vision_output holds no embedding of the whole picture; look at it with CLIP's image encoder (CLIPVisionEncode)",
        )?;
        Ok(self.conditioning.map(|entry| {
            append(&mut entry.extras, UNCLIP_EMBEDS, embeds.shallow_clone());
            append(&mut entry.extras, UNCLIP_STRENGTH, self.strength);
            append(&mut entry.extras, UNCLIP_NOISE, self.noise_augmentation);
        }))
    }
}

fn append<T>(extras: &mut Extras, property: Property<Vec<T>>, value: T)
where
    Vec<T>: ExtraType,
{
    let mut all = extras.get(property).unwrap_or_default();
    all.push(value);
    extras.set(property, all);
}
