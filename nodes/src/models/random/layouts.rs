//! Which networks a checkpoint holds, and how large they are.

use tch::Kind;

use super::aura_flow::aura_flow_checkpoint;
use super::control::Steering;
use super::gligen::gligen;
use super::hidream::hidream_checkpoint;
use super::hunyuan_video::hunyuan_video_checkpoint;
use super::ltxv::{self, ltxv_checkpoint};
use super::networks::{VisionPlan, autoencoder, open_clip, open_clip_vision, text_encoder, unet};
use super::qwen::{QwenVlPlan, qwen_image, qwen_vl};
use super::transformers::{FluxPlan, T5Plan, Told, flux, pixart, t5};
use super::video::frames_of_decoder;
use super::wan::{self, wan_checkpoint};
use super::{Builder, Size, Spec};

/// What a random checkpoint is a checkpoint of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Stable Diffusion 1.x.
    Sd1,
    /// The same for inpainting: 9 input channels.
    Sd1Inpainting,
    /// The same for InstructPix2Pix: 8 input channels.
    Sd1InstructPix2Pix,
    /// Stable Diffusion 2.x.
    Sd2,
    /// Stable Diffusion 2.1 unCLIP, with its image encoder.
    Sd2Unclip,
    /// SDXL's base model.
    Sdxl,
    /// The same for inpainting: 9 input channels.
    SdxlInpainting,
    /// SDXL's refiner.
    SdxlRefiner,
    /// Flux dev, with its two text encoders.
    Flux,
    /// AuraFlow, with its text encoder.
    AuraFlow,
    /// PixArt-Σ, with its text encoder.
    PixArt,
    /// Chroma, with its text encoder.
    Chroma,
    /// Qwen-Image, with its text encoder.
    QwenImage,
    /// LTX-Video 0.9, the model of 2 billion weights, with its text encoder.
    Ltxv,
    /// HiDream, with its text encoders.
    HiDream,
    /// HunyuanVideo, with its text encoders.
    HunyuanVideo,
    /// Wan 2.1, the smaller model that makes videos from text, with its text encoder.
    Wan,
    /// Stable Video Diffusion, with its image encoder.
    Svd,
    /// SV3D that chooses its way itself, with its image encoder.
    Sv3dU,
    /// SV3D that is told its way.
    Sv3dP,
    /// Stable Zero123, with its image encoder.
    Zero123,
    /// A GLIGEN model of Stable Diffusion 1.x, alone.
    Gligen,
    /// A network that steers a model, alone.
    Steering(Steering),
}

/// A UNet's structure.
pub(super) struct UNetPlan {
    pub(super) input: i64,
    /// Channels at the first level.
    pub(super) width: i64,
    /// Multiples of the width at each level.
    pub(super) levels: &'static [i64],
    /// How many transformer blocks follow each residual block of a level.
    pub(super) depths: &'static [usize],
    /// The same in the middle.
    pub(super) middle: usize,
    pub(super) context: i64,
    /// Whether transformers are surrounded by matrices instead of convolutions.
    pub(super) linear: bool,
    /// The width of the vector beside the text.
    pub(super) vector: Option<i64>,
    /// Whether there are layers over time.
    pub(super) video: bool,
}

/// A text encoder's place, width and number of layers.
struct TextPlan {
    place: &'static str,
    open_clip: bool,
    width: i64,
    layers: usize,
}

impl Layout {
    pub(super) fn tensors(self, size: Size) -> Vec<Spec> {
        let mut b = Builder { tensors: Vec::new(), prefix: String::new(), kind: Kind::Half };
        match self {
            Layout::Flux => return flux_checkpoint(b, size, false),
            Layout::Chroma => return flux_checkpoint(b, size, true),
            Layout::AuraFlow => return aura_flow_checkpoint(b, size),
            Layout::PixArt => return pixart_checkpoint(b, size),
            Layout::QwenImage => return qwen_image_checkpoint(b, size),
            Layout::Ltxv => return ltxv_checkpoint(b, size),
            Layout::HiDream => return hidream_checkpoint(b, size),
            Layout::HunyuanVideo => return hunyuan_video_checkpoint(b, size),
            Layout::Wan => return wan_checkpoint(b, size),
            Layout::Gligen => return gligen(b, size),
            Layout::Steering(steering) => return steering.tensors(size),
            _ => {}
        }
        for plan in self.text(size) {
            let encoder = if plan.open_clip { open_clip } else { text_encoder };
            b.below(plan.place, |b| encoder(b, plan.width, plan.layers));
        }
        let autoencoder_widths = match size {
            Size::Tiny => [32, 64, 128, 128],
            Size::Small => [64, 64, 128, 128],
            Size::Real => [128, 256, 512, 512],
        };
        let is_video = self == Layout::Svd;
        let vae = if matches!(self, Layout::Sv3dU | Layout::Sv3dP) {
            "conditioner.embedders.1.encoder"
        } else {
            "first_stage_model"
        };
        b.below(vae, |b| {
            autoencoder(b, autoencoder_widths, 4, !is_video);
            if is_video {
                frames_of_decoder(b, autoencoder_widths);
            }
        });
        b.below("model.diffusion_model", |b| unet(b, &self.unet(size)));
        if let Some((place, plan)) = self.vision(size) {
            b.below(place, |b| open_clip_vision(b, &plan));
        }
        if self == Layout::Zero123 {
            let seen = VisionPlan::l(size).embedding;
            b.dense("cc_projection", &[seen, seen + 4], 0.9);
        }
        b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        b.tensors
    }

    /// What the file says of its networks besides their tensors (`config` in its description of itself).
    pub(super) fn config(self, size: Size) -> Option<String> {
        (self == Layout::Ltxv).then(|| ltxv::config(size).to_string())
    }

    fn text(self, size: Size) -> Vec<TextPlan> {
        let tiny = size != Size::Real;
        // CLIP's three networks are told apart by their depth, so tiny ones of H and G are as deep as the real ones.
        let l = |place| {
            let (width, layers) = if tiny { (64, 3) } else { (768, 12) };
            TextPlan { place, open_clip: false, width, layers }
        };
        let h = |place| TextPlan { place, open_clip: true, width: if tiny { 64 } else { 1024 }, layers: 24 };
        let g = |place| TextPlan { place, open_clip: true, width: if tiny { 32 } else { 1280 }, layers: 32 };
        match self {
            Layout::Sd1 | Layout::Sd1Inpainting | Layout::Sd1InstructPix2Pix => {
                vec![l("cond_stage_model.transformer.text_model")]
            }
            Layout::Sd2 | Layout::Sd2Unclip => vec![h("cond_stage_model.model")],
            Layout::Sdxl | Layout::SdxlInpainting => {
                vec![l("conditioner.embedders.0.transformer.text_model"), g("conditioner.embedders.1.model")]
            }
            Layout::SdxlRefiner => vec![g("conditioner.embedders.0.model")],
            _ => Vec::new(),
        }
    }

    /// An image encoder's place and structure.
    fn vision(self, size: Size) -> Option<(&'static str, VisionPlan)> {
        Some(match self {
            Layout::Sd2Unclip => ("embedder.model.visual", VisionPlan::h(size)),
            Layout::Svd | Layout::Sv3dU | Layout::Sv3dP => {
                ("conditioner.embedders.0.open_clip.model.visual", VisionPlan::h(size))
            }
            Layout::Zero123 => ("cond_stage_model.model.visual", VisionPlan::l(size)),
            _ => return None,
        })
    }

    pub(super) fn unet(self, size: Size) -> UNetPlan {
        let text = self.text(size);
        let pooled = text.last().map_or(0, |plan| plan.width);
        let plan = UNetPlan {
            input: match self {
                Layout::Sd1Inpainting | Layout::SdxlInpainting => 9,
                Layout::Sd1InstructPix2Pix | Layout::Svd | Layout::Sv3dU | Layout::Sv3dP | Layout::Zero123 => 8,
                _ => 4,
            },
            width: match (size, self) {
                (Size::Real, Layout::SdxlRefiner) => 384,
                (Size::Real, _) => 320,
                _ => 32,
            },
            levels: &[1, 2, 4, 4],
            depths: &[1, 1, 1, 0],
            middle: 1,
            context: text.iter().map(|plan| plan.width).sum(),
            linear: true,
            vector: None,
            video: false,
        };
        match self {
            Layout::Sd1 | Layout::Sd1Inpainting | Layout::Sd1InstructPix2Pix if size == Size::Small => {
                UNetPlan { linear: false, width: 64, levels: &[1, 1, 2, 2], ..plan }
            }
            Layout::Sd1 | Layout::Sd1Inpainting | Layout::Sd1InstructPix2Pix => UNetPlan { linear: false, ..plan },
            Layout::Sdxl | Layout::SdxlInpainting => {
                UNetPlan { levels: &[1, 2, 4], depths: &[0, 2, 10], middle: 10, vector: Some(pooled + 6 * 256), ..plan }
            }
            Layout::Svd | Layout::Sv3dU | Layout::Sv3dP => {
                let vector = match self {
                    Layout::Svd => 3 * 256,
                    Layout::Sv3dU => 256,
                    _ => 256 + 2 * 512,
                };
                UNetPlan { context: VisionPlan::h(size).embedding, vector: Some(vector), video: true, ..plan }
            }
            Layout::Zero123 => UNetPlan { context: VisionPlan::l(size).embedding, linear: false, ..plan },
            Layout::Sd2Unclip => UNetPlan { vector: Some(2 * VisionPlan::h(size).embedding), ..plan },
            Layout::SdxlRefiner => {
                UNetPlan { depths: &[0, 4, 4, 0], middle: 4, vector: Some(pooled + 5 * 256), ..plan }
            }
            _ => plan,
        }
    }
}

/// Everything that Flux needs in one file, or Chroma, which has no CLIP-L. Of real size, its transformer and T5 are floats of 8 bits, as most people have them.
fn flux_checkpoint(mut b: Builder, size: Size, chroma: bool) -> Vec<Spec> {
    let tiny = size != Size::Real;
    let (pooled, layers) = if tiny { (64, 3) } else { (768, 12) };
    if !chroma {
        b.below("text_encoders.clip_l.transformer.text_model", |b| text_encoder(b, pooled, layers));
    }
    let widths = if tiny { [32, 64, 128, 128] } else { [128, 256, 512, 512] };
    // ComfyUI looks for Chroma's parts where older files have them.
    let (vae, texts) = if chroma { ("first_stage_model", "cond_stage_model") } else { ("vae", "text_encoders") };
    b.below(vae, |b| autoencoder(b, widths, 16, false));
    let text = if tiny { 64 } else { 4096 };
    let plan = FluxPlan {
        width: if tiny { 64 } else { 3072 },
        head: if tiny { 32 } else { 128 },
        double: if tiny { 2 } else { 19 },
        single: if tiny { 2 } else { 38 },
        text,
        pooled,
        channels: 16,
        told: match chroma {
            true => Told::AtOnce { hidden: if tiny { 48 } else { 5120 }, layers: 5 },
            false => Told::ByBlocks,
        },
    };
    b.kind = if tiny { Kind::Half } else { Kind::Float8e4m3fn };
    // Told from other T5s by its depth.
    let small = T5Plan { width: text, inner: 64, hidden: 128, heads: 4, ..T5Plan::T5 };
    b.below(&format!("{texts}.t5xxl.transformer"), |b| t5(b, if tiny { &small } else { &T5Plan::T5 }));
    b.below("model.diffusion_model", |b| flux(b, &plan));
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

/// Everything that PixArt-Σ needs in one file. Of real size, its text encoder is floats of 8 bits.
fn pixart_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let tiny = size != Size::Real;
    let (width, blocks, text) = if tiny { (96, 2, 64) } else { (1152, 28, 4096) };
    let widths = if tiny { [32, 64, 128, 128] } else { [128, 256, 512, 512] };
    b.below("vae", |b| autoencoder(b, widths, 4, true));
    b.below("model.diffusion_model", |b| pixart(b, width, blocks, text));
    b.kind = if tiny { Kind::Half } else { Kind::Float8e4m3fn };
    let small = T5Plan { width: text, inner: 64, hidden: 128, heads: 4, ..T5Plan::T5 };
    b.below("text_encoders.t5xxl.transformer", |b| t5(b, if tiny { &small } else { &T5Plan::T5 }));
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

/// Everything that Qwen-Image needs in one file. Of real size, its transformer and its text encoder are floats of 8 bits.
fn qwen_image_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let tiny = size != Size::Real;
    b.below("vae", |b| wan::autoencoder(b, if tiny { 8 } else { 96 }));
    b.kind = if tiny { Kind::Half } else { Kind::Float8e4m3fn };
    let text = if tiny { 16 } else { 3584 };
    let plan = match tiny {
        // So many blocks that one of the vision tower looks at the whole picture.
        true => QwenVlPlan { width: text, hidden: 48, heads: [2, 1], layers: 2, vision: (64, 48, 8) },
        false => QwenVlPlan { width: text, hidden: 18_944, heads: [28, 4], layers: 28, vision: (1280, 3420, 32) },
    };
    b.below("text_encoders.qwen25_7b.transformer", |b| qwen_vl(b, &plan));
    b.below("model.diffusion_model", |b| match tiny {
        true => qwen_image(b, 64, 32, text, 2),
        false => qwen_image(b, 3072, 128, text, 60),
    });
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}
