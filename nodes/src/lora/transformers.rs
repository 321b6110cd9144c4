//! The names that diffusers has for the layers of transformers, which it splits otherwise than the original.

use crate::files::delta::Slot;
use crate::files::weights::Weights;

/// diffusers' names of Flux's weights, without `.weight`, and where the original's layout holds each.
///
/// diffusers has a matrix each for queries, keys, values and the feed-forward layer, where the original stacks them by rows; and the shift of
/// the last normalisation behind its scale, where the original has it in front.
pub(super) fn flux(weights: &Weights) -> Vec<(String, Slot)> {
    let mut all = Names { weights, found: Vec::new() };
    let Ok(width) = weights.dim("img_in.weight", 0) else { return Vec::new() };
    // Other families have layers of some of these names.
    if weights.at("double_blocks").is_empty() {
        return Vec::new();
    }
    const THREE: [&str; 3] = ["q", "k", "v"];
    for block in 0..weights.at("double_blocks").children() {
        let (theirs, ours) = (format!("transformer_blocks.{block}"), format!("double_blocks.{block}"));
        for (place, part) in (0..).zip(THREE) {
            let rows = place * width..(place + 1) * width;
            all.rows(format!("{theirs}.attn.to_{part}"), format!("{ours}.img_attn.qkv"), rows.clone());
            all.rows(format!("{theirs}.attn.add_{part}_proj"), format!("{ours}.txt_attn.qkv"), rows);
        }
        for (their, our) in [
            ("attn.to_out.0", "img_attn.proj"),
            ("norm1.linear", "img_mod.lin"),
            ("norm1_context.linear", "txt_mod.lin"),
            ("attn.to_add_out", "txt_attn.proj"),
            ("ff.net.0.proj", "img_mlp.0"),
            ("ff.net.2", "img_mlp.2"),
            ("ff_context.net.0.proj", "txt_mlp.0"),
            ("ff_context.net.2", "txt_mlp.2"),
        ] {
            all.whole(format!("{theirs}.{their}"), format!("{ours}.{our}"));
        }
    }
    for block in 0..weights.at("single_blocks").children() {
        let (theirs, ours) = (format!("single_transformer_blocks.{block}"), format!("single_blocks.{block}"));
        for (place, part) in (0..).zip(THREE) {
            all.rows(format!("{theirs}.attn.to_{part}"), format!("{ours}.linear1"), place * width..(place + 1) * width);
        }
        all.rows(format!("{theirs}.proj_mlp"), format!("{ours}.linear1"), 3 * width..7 * width);
        all.whole(format!("{theirs}.norm.linear"), format!("{ours}.modulation.lin"));
        all.whole(format!("{theirs}.proj_out"), format!("{ours}.linear2"));
    }
    for (their, our) in [
        ("proj_out", "final_layer.linear"),
        ("x_embedder", "img_in"),
        ("context_embedder", "txt_in"),
        ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"),
        ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
        ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"),
        ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
        ("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"),
        ("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
    ] {
        all.whole(their.to_owned(), our.to_owned());
    }
    all.add("norm_out.linear".to_owned(), "final_layer.adaLN_modulation.1", |slot| Slot {
        halves_swapped: true,
        ..slot
    });
    all.found
}

struct Names<'a> {
    weights: &'a Weights,
    found: Vec<(String, Slot)>,
}

impl Names<'_> {
    fn add(&mut self, theirs: String, ours: &str, part: impl FnOnce(Slot) -> Slot) {
        let name = format!("{ours}.weight");
        if self.weights.contains(&name) {
            self.found.push((theirs, part(Slot::whole(self.weights.full_name(&name)))));
        }
    }

    fn whole(&mut self, theirs: String, ours: String) {
        self.add(theirs, &ours, |slot| slot);
    }

    fn rows(&mut self, theirs: String, ours: String, rows: std::ops::Range<i64>) {
        self.add(theirs, &ours, |slot| Slot { rows: Some(rows), ..slot });
    }
}
