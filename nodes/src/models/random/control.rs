//! The tensors of networks that steer others: ControlNets, control-LoRAs, T2I-Adapters.

use tch::Kind;

use super::layouts::{Layout, UNetPlan};
use super::networks::{BRANCH, PLAIN, half_unet};
use super::{Builder, Size, Spec};

/// A network that steers a model with a UNet. The models are those of [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// A ControlNet of Stable Diffusion 1.x, as its authors saved it.
    Sd1,
    /// The same in the layout of diffusers.
    Sd1Diffusers,
    /// The same as the difference from a model.
    Sd1Difference,
    /// A ControlNet of Stable Diffusion 2.x.
    Sd2,
    /// A ControlNet of SDXL, in the layout of diffusers.
    Sdxl,
    /// The same for pictures of six kinds.
    Union,
    /// Low-rank changes of Stable Diffusion 1.x.
    LoraSd1,
    /// Low-rank changes of SDXL.
    LoraSdxl,
    /// A T2I-Adapter of Stable Diffusion 1.x.
    Adapter,
    /// The same with few weights.
    AdapterLight,
    /// A T2I-Adapter of SDXL, in the layout of diffusers.
    AdapterSdxl,
}

/// How many kinds of pictures a union takes.
const KINDS: i64 = 6;
/// The rank of low-rank changes.
const RANK: i64 = 4;
/// Channels of the layers that take the picture; between them and the half UNet lies one more.
const HINT: [i64; 8] = [3, 16, 16, 32, 32, 96, 96, 256];

impl Steering {
    pub(super) fn tensors(self, size: Size) -> Vec<Spec> {
        let mut b = Builder { tensors: Vec::new(), prefix: String::new(), kind: Kind::Half };
        let model = match self {
            Self::Sd2 => Layout::Sd2,
            Self::Sdxl | Self::Union | Self::LoraSdxl | Self::AdapterSdxl => Layout::Sdxl,
            _ => Layout::Sd1,
        };
        let plan = model.unet(size);
        match self {
            Self::Sd1 | Self::Sd2 => b.below("control_model", |b| controlnet(b, &plan)),
            Self::Sd1Difference => {
                b.below("control_model", |b| controlnet(b, &plan));
                b.push("difference", &[], 1.0, 0.0);
            }
            Self::Sd1Diffusers | Self::Sdxl => controlnet(&mut b, &plan),
            Self::Union => {
                controlnet(&mut b, &plan);
                union(&mut b, plan.width);
            }
            Self::LoraSd1 | Self::LoraSdxl => {
                controlnet(&mut b, &plan);
                b.tensors = b.tensors.into_iter().flat_map(low_rank).collect();
                b = Builder { prefix: String::new(), ..b };
                b.push("lora_controlnet", &[], 1.0, 0.0);
            }
            Self::Adapter => adapter(&mut b, plan.width, 3 * 64, 3),
            Self::AdapterSdxl => adapter(&mut b, plan.width, 3 * 256, 1),
            Self::AdapterLight => light(&mut b, plan.width),
        }
        match self {
            Self::Sd1Diffusers | Self::Sdxl | Self::Union => rename(&mut b.tensors, diffusers_name),
            Self::AdapterSdxl => rename(&mut b.tensors, diffusers_adapter_name),
            _ => {}
        }
        b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        b.tensors
    }
}

fn rename(tensors: &mut [Spec], name: impl Fn(&str) -> String) {
    tensors.iter_mut().for_each(|spec| spec.name = name(&spec.name));
}

/// A ControlNet whose layers at the ends are no zeros, so that it shows in what it steers.
fn controlnet(b: &mut Builder, plan: &UNetPlan) {
    let states = half_unet(b, plan);
    let middle = states.last().copied().unwrap_or(plan.width);
    for (i, channels) in states.into_iter().enumerate() {
        b.dense(&format!("zero_convs.{i}.0"), &[channels, channels, 1, 1], BRANCH);
    }
    b.dense("middle_block_out.0", &[middle, middle, 1, 1], BRANCH);
    for (i, inputs) in HINT.into_iter().enumerate() {
        let outputs = HINT.get(i + 1).copied().unwrap_or(plan.width);
        b.dense(&format!("input_hint_block.{}", 2 * i), &[outputs, inputs, 3, 3], 1.6);
    }
}

fn union(b: &mut Builder, width: i64) {
    b.push("task_embedding", &[KINDS, width], 0.0, 0.5);
    b.dense("control_add_embedding.linear_1", &[4 * width, 256 * KINDS], PLAIN);
    b.dense("control_add_embedding.linear_2", &[4 * width, 4 * width], PLAIN);
    b.dense("spatial_ch_projs", &[width, width], PLAIN);
    b.below("transformer_layes.0", |b| {
        b.norm("ln_1", width);
        b.norm("ln_2", width);
        b.push("attn.in_proj_weight", &[3 * width, width], 0.0, PLAIN / (width as f64).sqrt());
        b.push("attn.in_proj_bias", &[3 * width], 0.0, 0.05);
        b.dense("attn.out_proj", &[width, width], BRANCH);
        b.dense("mlp.c_fc", &[4 * width, width], PLAIN);
        b.dense("mlp.c_proj", &[width, 4 * width], BRANCH);
    });
}

/// A matrix of the half UNet as two factors of a change of the model's; everything else as it is.
fn low_rank(spec: Spec) -> Vec<Spec> {
    const WHOLE: [&str; 3] = ["zero_convs.", "middle_block_out.", "input_hint_block."];
    let layer = spec.name.strip_suffix(".weight").filter(|name| !WHOLE.iter().any(|part| name.starts_with(part)));
    let (Some(layer), Some((outputs, inputs))) = (layer, spec.shape.split_first()) else { return vec![spec] };
    if inputs.is_empty() {
        return vec![spec];
    }
    let factor = |end: &str, shape: Vec<i64>, std: f64| Spec {
        name: format!("{layer}.{end}"),
        shape,
        mean: 0.0,
        std,
        kind: spec.kind,
        given: Vec::new(),
    };
    let ones = vec![1; inputs.len() - 1];
    vec![
        factor("up", [vec![*outputs, RANK], ones].concat(), 0.2),
        factor("down", [vec![RANK], inputs.to_vec()].concat(), spec.std),
    ]
}

/// `inputs`: channels of a folded picture.
fn adapter(b: &mut Builder, width: i64, inputs: i64, kernel: i64) {
    b.dense("conv_in", &[width, inputs, 3, 3], PLAIN);
    let mut channels = width;
    for (level, multiple) in [1, 2, 4, 4].into_iter().enumerate() {
        for block in 0..2 {
            b.below(&format!("body.{}", 2 * level + block), |b| {
                if channels != width * multiple {
                    b.dense("in_conv", &[width * multiple, channels, kernel, kernel], PLAIN);
                }
                channels = width * multiple;
                b.dense("block1", &[channels, channels, 3, 3], PLAIN);
                b.dense("block2", &[channels, channels, kernel, kernel], BRANCH);
            });
        }
    }
}

fn light(b: &mut Builder, width: i64) {
    let mut inputs = 3 * 64;
    for (level, multiple) in [1, 2, 4, 4].into_iter().enumerate() {
        let (outputs, narrow) = (width * multiple, width * multiple / 4);
        b.below(&format!("body.{level}"), |b| {
            b.dense("in_conv", &[narrow, inputs, 1, 1], PLAIN);
            for block in 0..4 {
                b.dense(&format!("body.{block}.block1"), &[narrow, narrow, 3, 3], PLAIN);
                b.dense(&format!("body.{block}.block2"), &[narrow, narrow, 3, 3], BRANCH);
            }
            b.dense("out_conv", &[outputs, narrow, 1, 1], PLAIN);
        });
        inputs = outputs;
    }
}

/// What diffusers calls a ControlNet's tensor. Levels have two residual blocks each.
fn diffusers_name(name: &str) -> String {
    const OUTSIDE: [(&str, &str); 9] = [
        ("input_blocks.0.0.", "conv_in."),
        ("time_embed.0.", "time_embedding.linear_1."),
        ("time_embed.2.", "time_embedding.linear_2."),
        ("label_emb.0.0.", "add_embedding.linear_1."),
        ("label_emb.0.2.", "add_embedding.linear_2."),
        ("middle_block_out.0.", "controlnet_mid_block."),
        ("middle_block.0.", "mid_block.resnets.0."),
        ("middle_block.1.", "mid_block.attentions.0."),
        ("middle_block.2.", "mid_block.resnets.1."),
    ];
    const RESIDUAL: [(&str, &str); 6] = [
        ("in_layers.0.", "norm1."),
        ("in_layers.2.", "conv1."),
        ("emb_layers.1.", "time_emb_proj."),
        ("out_layers.0.", "norm2."),
        ("out_layers.3.", "conv2."),
        ("skip_connection.", "conv_shortcut."),
    ];
    let mut named = name.to_owned();
    for (ours, theirs) in OUTSIDE {
        if let Some(rest) = name.strip_prefix(ours) {
            named = format!("{theirs}{rest}");
        }
    }
    let numbered = |prefix: &str| {
        let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
        Some((number.parse::<usize>().ok()?, rest))
    };
    if let Some((number @ 1.., rest)) = numbered("input_blocks.") {
        let (level, block) = ((number - 1) / 3, (number - 1) % 3);
        named = match (block, rest.split_once('.')) {
            (2, Some((_, rest))) => format!("down_blocks.{level}.downsamplers.0.{}", rest.replace("op.", "conv.")),
            (_, Some(("0", rest))) => format!("down_blocks.{level}.resnets.{block}.{rest}"),
            (_, Some((_, rest))) => format!("down_blocks.{level}.attentions.{block}.{rest}"),
            _ => named,
        };
    }
    if let Some((number, rest)) = numbered("zero_convs.") {
        named = format!("controlnet_down_blocks.{number}.{}", rest.trim_start_matches("0."));
    }
    if let Some((number, rest)) = numbered("input_hint_block.") {
        named = match number {
            0 => format!("controlnet_cond_embedding.conv_in.{rest}"),
            14 => format!("controlnet_cond_embedding.conv_out.{rest}"),
            _ => format!("controlnet_cond_embedding.blocks.{}.{rest}", number / 2 - 1),
        };
    }
    RESIDUAL.iter().fold(named, |named, (ours, theirs)| named.replace(ours, theirs))
}

/// What diffusers calls an adapter's tensor.
fn diffusers_adapter_name(name: &str) -> String {
    let block = name.strip_prefix("body.").and_then(|rest| rest.split_once('.'));
    let Some((Ok(number), rest)) = block.map(|(number, rest)| (number.parse::<usize>(), rest)) else {
        return format!("adapter.{name}");
    };
    match rest.starts_with("in_conv.") {
        true => format!("adapter.body.{}.{rest}", number / 2),
        false => format!("adapter.body.{}.resnets.{}.{rest}", number / 2, number % 2),
    }
}
