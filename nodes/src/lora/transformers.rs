//! The names that diffusers has for the layers of transformers, which it splits otherwise than the original.

use super::layers::Named;
use crate::files::delta::Slot;
use crate::files::weights::Weights;

/// diffusers' names of a transformer's weights, and where the original's layout holds each; nothing of a network that has no others.
pub(super) fn named(weights: &Weights) -> Vec<(Named, Slot)> {
    let all = |found: Vec<(String, Slot)>, of: fn(String) -> Named| {
        found.into_iter().map(move |(name, slot)| (of(name), slot)).collect::<Vec<_>>()
    };
    [
        all(flux(weights), Named::Flux),
        all(sd3(weights), Named::Sd3),
        all(z_image(weights), Named::ZImage),
        all(hunyuan_video(weights), Named::HunyuanVideo),
        all(pixart(weights), Named::PixArt),
        all(aura_flow(weights), Named::AuraFlow),
        all(uso(weights), Named::Uso),
    ]
    .concat()
}

/// The name that USO, which trains Flux, has for queries, keys and values of a block's first matrix.
fn uso(weights: &Weights) -> Vec<(String, Slot)> {
    let mut all = Names { weights, found: Vec::new() };
    let Ok(width) = weights.dim("img_in.weight", 0) else { return Vec::new() };
    for block in 0..weights.at("single_blocks").children() {
        let matrix = format!("single_blocks.{block}.linear1");
        all.rows(format!("{matrix}_qkv"), matrix, 0..3 * width);
    }
    all.found
}

/// diffusers' names of Flux's weights, without `.weight`, and where the original's layout holds each.
///
/// diffusers has a matrix each for queries, keys, values and the feed-forward layer, where the original stacks them by rows; and the shift of
/// the last normalisation behind its scale, where the original has it in front.
fn flux(weights: &Weights) -> Vec<(String, Slot)> {
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
            ("attn.norm_q", "img_attn.norm.query_norm"),
            ("attn.norm_k", "img_attn.norm.key_norm"),
            ("attn.norm_added_q", "txt_attn.norm.query_norm"),
            ("attn.norm_added_k", "txt_attn.norm.key_norm"),
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
        all.whole(format!("{theirs}.attn.norm_q"), format!("{ours}.norm.query_norm"));
        all.whole(format!("{theirs}.attn.norm_k"), format!("{ours}.norm.key_norm"));
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

/// diffusers' names of Stable Diffusion 3's weights, and where the original's layout holds each.
///
/// Queries, keys and values are stacked by rows there; the last normalisations have their halves in the other order.
fn sd3(weights: &Weights) -> Vec<(String, Slot)> {
    let mut all = Names { weights, found: Vec::new() };
    let Ok(width) = weights.dim("x_embedder.proj.weight", 0) else { return Vec::new() };
    let blocks = weights.at("joint_blocks").children();
    for block in 0..blocks {
        let (theirs, ours) = (format!("transformer_blocks.{block}"), format!("joint_blocks.{block}"));
        for (place, part) in (0..).zip(["q", "k", "v"]) {
            let rows = place * width..(place + 1) * width;
            all.rows(format!("{theirs}.attn.to_{part}"), format!("{ours}.x_block.attn.qkv"), rows.clone());
            all.rows(format!("{theirs}.attn.add_{part}_proj"), format!("{ours}.context_block.attn.qkv"), rows.clone());
            all.rows(format!("{theirs}.attn2.to_{part}"), format!("{ours}.x_block.attn2.qkv"), rows);
        }
        for (their, our) in [
            ("attn.to_add_out", "context_block.attn.proj"),
            ("ff_context.net.0.proj", "context_block.mlp.fc1"),
            ("ff_context.net.2", "context_block.mlp.fc2"),
            ("attn.norm_added_q", "context_block.attn.ln_q"),
            ("attn.norm_added_k", "context_block.attn.ln_k"),
            ("norm1.linear", "x_block.adaLN_modulation.1"),
            ("attn.to_out.0", "x_block.attn.proj"),
            ("attn.norm_q", "x_block.attn.ln_q"),
            ("attn.norm_k", "x_block.attn.ln_k"),
            ("attn2.to_out.0", "x_block.attn2.proj"),
            ("attn2.norm_q", "x_block.attn2.ln_q"),
            ("attn2.norm_k", "x_block.attn2.ln_k"),
            ("ff.net.0.proj", "x_block.mlp.fc1"),
            ("ff.net.2", "x_block.mlp.fc2"),
        ] {
            all.whole(format!("{theirs}.{their}"), format!("{ours}.{our}"));
        }
        // The last block's prompt is modulated in two parts, as at the end.
        let halves_swapped = block + 1 == blocks;
        let modulation = format!("{ours}.context_block.adaLN_modulation.1");
        all.add(format!("{theirs}.norm1_context.linear"), &modulation, |slot| Slot { halves_swapped, ..slot });
    }
    for (their, our) in [
        ("context_embedder", "context_embedder"),
        ("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"),
        ("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
        ("pos_embed.proj", "x_embedder.proj"),
        ("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"),
        ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
        ("proj_out", "final_layer.linear"),
    ] {
        all.whole(their.to_owned(), our.to_owned());
    }
    all.add("norm_out.linear".to_owned(), "final_layer.adaLN_modulation.1", |slot| Slot {
        halves_swapped: true,
        ..slot
    });
    if blocks == 0 { Vec::new() } else { all.found }
}

/// diffusers' names of Z-Image's weights, and where the original's layout holds each: queries, keys and values are stacked by rows.
fn z_image(weights: &Weights) -> Vec<(String, Slot)> {
    let mut all = Names { weights, found: Vec::new() };
    let Ok(width) = weights.dim("cap_embedder.1.weight", 0) else { return Vec::new() };
    for part in ["layers", "context_refiner", "noise_refiner"] {
        for block in 0..weights.at(part).children() {
            let block = format!("{part}.{block}");
            for (place, of) in (0..).zip(["q", "k", "v"]) {
                let rows = place * width..(place + 1) * width;
                all.rows(format!("{block}.attention.to_{of}"), format!("{block}.attention.qkv"), rows);
            }
            for (their, our) in [
                ("attention.norm_q", "attention.q_norm"),
                ("attention.norm_k", "attention.k_norm"),
                ("attention.to_out.0", "attention.out"),
            ] {
                all.whole(format!("{block}.{their}"), format!("{block}.{our}"));
            }
            for same in [
                "attention_norm1",
                "attention_norm2",
                "feed_forward.w1",
                "feed_forward.w2",
                "feed_forward.w3",
                "ffn_norm1",
                "ffn_norm2",
                "adaLN_modulation.0",
            ] {
                all.whole(format!("{block}.{same}"), format!("{block}.{same}"));
            }
        }
    }
    for (their, our) in [
        ("all_final_layer.2-1.linear", "final_layer.linear"),
        ("all_final_layer.2-1.adaLN_modulation.1", "final_layer.adaLN_modulation.1"),
        ("all_x_embedder.2-1", "x_embedder"),
        ("cap_embedder.0", "cap_embedder.0"),
        ("cap_embedder.1", "cap_embedder.1"),
        ("t_embedder.mlp.0", "t_embedder.mlp.0"),
        ("t_embedder.mlp.2", "t_embedder.mlp.2"),
    ] {
        all.whole(their.to_owned(), our.to_owned());
    }
    all.found
}

/// What the first release of HunyuanVideo calls parts of a layer, behind what the file calls them: Flux's names.
const FIRST_RELEASE: [(&str, &str); 6] = [
    ("_mod.lin.", "_mod.linear."),
    ("_attn.qkv.", "_attn_qkv."),
    ("_attn.proj.", "_attn_proj."),
    ("mlp.0.", "mlp.fc1."),
    ("mlp.2.", "mlp.fc2."),
    (".modulation.lin.", ".modulation.linear."),
];

/// The names of HunyuanVideo's weights in its first release, and where Flux's layout holds each.
fn hunyuan_video(weights: &Weights) -> Vec<(String, Slot)> {
    if !weights.contains("txt_in.individual_token_refiner.blocks.0.norm1.weight") {
        return Vec::new();
    }
    let first = |name: &str| {
        let renamed = FIRST_RELEASE.iter().fold(name.to_owned(), |name, (own, first)| name.replace(own, first));
        Some((renamed.strip_suffix(".weight")?.to_owned(), Slot::whole(weights.full_name(name))))
    };
    weights.names().iter().filter_map(|name| first(name)).collect()
}

/// diffusers' names of PixArt's weights, and where the original's layout holds each: what attention multiplies is stacked by rows.
fn pixart(weights: &Weights) -> Vec<(String, Slot)> {
    let mut all = Names { weights, found: Vec::new() };
    let Ok(width) = weights.dim("x_embedder.proj.weight", 0) else { return Vec::new() };
    if !weights.contains("t_block.1.weight") {
        return Vec::new();
    }
    let rows = |place: i64| place * width..(place + 1) * width;
    for block in 0..weights.at("blocks").children() {
        let (theirs, ours) = (format!("transformer_blocks.{block}"), format!("blocks.{block}"));
        for (place, part) in (0..).zip(["q", "k", "v"]) {
            all.rows(format!("{theirs}.attn1.to_{part}"), format!("{ours}.attn.qkv"), rows(place));
        }
        for (place, part) in (0..).zip(["k", "v"]) {
            all.rows(format!("{theirs}.attn2.to_{part}"), format!("{ours}.cross_attn.kv_linear"), rows(place));
        }
        for (their, our) in [
            ("attn1.to_out.0", "attn.proj"),
            ("attn2.to_q", "cross_attn.q_linear"),
            ("attn2.to_out.0", "cross_attn.proj"),
            ("ff.net.0.proj", "mlp.fc1"),
            ("ff.net.2", "mlp.fc2"),
        ] {
            all.whole(format!("{theirs}.{their}"), format!("{ours}.{our}"));
        }
    }
    for (their, our) in [
        ("pos_embed.proj", "x_embedder.proj"),
        ("proj_out", "final_layer.linear"),
        ("caption_projection.linear_1", "y_embedder.y_proj.fc1"),
        ("caption_projection.linear_2", "y_embedder.y_proj.fc2"),
        ("adaln_single.linear", "t_block.1"),
    ] {
        all.whole(their.to_owned(), our.to_owned());
    }
    for (their, our) in [("timestep", "t_embedder"), ("resolution", "csize_embedder"), ("aspect_ratio", "ar_embedder")]
    {
        for (their_layer, our_layer) in [(1, 0), (2, 2)] {
            all.whole(
                format!("adaln_single.emb.{their}_embedder.linear_{their_layer}"),
                format!("{our}.mlp.{our_layer}"),
            );
        }
    }
    all.found
}

/// diffusers' names of AuraFlow's weights, and where the original's layout holds each.
fn aura_flow(weights: &Weights) -> Vec<(String, Slot)> {
    let mut all = Names { weights, found: Vec::new() };
    if !weights.contains("double_layers.0.attn.w1q.weight") {
        return Vec::new();
    }
    const FEED: [(&str, &str); 3] = [("linear_1", "c_fc1"), ("linear_2", "c_fc2"), ("out_projection", "c_proj")];
    for block in 0..weights.at("double_layers").children() {
        let (theirs, ours) = (format!("joint_transformer_blocks.{block}"), format!("double_layers.{block}"));
        for part in ["q", "k", "v"] {
            all.whole(format!("{theirs}.attn.to_{part}"), format!("{ours}.attn.w2{part}"));
            all.whole(format!("{theirs}.attn.add_{part}_proj"), format!("{ours}.attn.w1{part}"));
        }
        all.whole(format!("{theirs}.attn.to_out.0"), format!("{ours}.attn.w2o"));
        all.whole(format!("{theirs}.attn.to_add_out"), format!("{ours}.attn.w1o"));
        for (side, letter) in [("", "X"), ("_context", "C")] {
            for (their, our) in FEED {
                all.whole(format!("{theirs}.ff{side}.{their}"), format!("{ours}.mlp{letter}.{our}"));
            }
            all.whole(format!("{theirs}.norm1{side}.linear"), format!("{ours}.mod{letter}.1"));
        }
    }
    for block in 0..weights.at("single_layers").children() {
        let (theirs, ours) = (format!("single_transformer_blocks.{block}"), format!("single_layers.{block}"));
        for part in ["q", "k", "v"] {
            all.whole(format!("{theirs}.attn.to_{part}"), format!("{ours}.attn.w1{part}"));
        }
        all.whole(format!("{theirs}.attn.to_out.0"), format!("{ours}.attn.w1o"));
        for (their, our) in FEED {
            all.whole(format!("{theirs}.ff.{their}"), format!("{ours}.mlp.{our}"));
        }
        all.whole(format!("{theirs}.norm1.linear"), format!("{ours}.modCX.1"));
    }
    for (their, our) in [
        ("time_step_proj.linear_1", "t_embedder.mlp.0"),
        ("time_step_proj.linear_2", "t_embedder.mlp.2"),
        ("context_embedder", "cond_seq_linear"),
        ("pos_embed.proj", "init_x_linear"),
        ("proj_out", "final_linear"),
    ] {
        all.whole(their.to_owned(), our.to_owned());
    }
    all.add("norm_out.linear".to_owned(), "modF.1", |slot| Slot { halves_swapped: true, ..slot });
    all.found
}

struct Names<'a> {
    weights: &'a Weights,
    found: Vec<(String, Slot)>,
}

impl Names<'_> {
    fn add(&mut self, theirs: String, ours: &str, part: impl FnOnce(Slot) -> Slot) {
        // Flux's normalisations have a scale.
        let names = ["weight", "scale"].map(|of| format!("{ours}.{of}"));
        if let Some(name) = names.into_iter().find(|name| self.weights.contains(name)) {
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
