//! CLIP's and SigLIP's image encoders (Radford et al. 2021, arXiv:2103.00020; Zhai et al. 2023, arXiv:2303.15343): transformers over
//! the patches of a picture.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use redraft_engine::error::Unsupported;
use redraft_engine::memory;
use tch::{IndexOp, Kind, Tensor};

use super::clip_names::Spelling;
use super::clip_text::{Activation, Block};
use crate::files::weights::Weights;
use crate::ops::attention::short_attention_of_heads;
use crate::ops::layers::{LayerNorm, Linear};
use crate::ops::numerics::{Numerics, Placement};
use crate::values::ClipVisionOutput;

/// How many heads attention has, in all of them.
const HEADS: i64 = 16;
/// The fewest layers that one of them has.
const LEAST_LAYERS: usize = 23;
/// Mean and spread of red, green and blue that CLIP was trained with, and SigLIP.
const CLIP: [[f64; 3]; 2] = [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]];
const SIGLIP: [[f64; 3]; 2] = [[0.5; 3], [0.5; 3]];

/// The network. Sizes are read off the weights.
///
/// What ComfyUI holds in half precision is rounded to it: all but the outer normalisations and the projection.
pub struct ClipVision {
    placement: Placement,
    patches: Tensor,
    patch_bias: Option<Tensor>,
    /// A token for the whole picture, which SigLIP does not have.
    class: Option<Tensor>,
    positions: Tensor,
    before: Option<LayerNorm>,
    blocks: Vec<Block>,
    after: LayerNorm,
    projection: Option<Linear>,
    /// What makes tokens of a language model of the states before the last layer (LLaVA, Liu et al. 2023, arXiv:2304.08485).
    projector: Option<[Linear; 2]>,
    activation: Activation,
    /// Pixels along a side, of a picture and of a patch.
    side: i64,
    patch: i64,
}

/// Where a file has the network's tensors.
struct Names {
    /// All but the projection.
    model: Weights,
    spelling: Spelling,
    patches: &'static str,
    class: &'static str,
    positions: &'static str,
    before: &'static str,
    after: &'static str,
    layers: &'static str,
}

impl Names {
    /// Hugging Face's spelling, or OpenCLIP's below `visual`.
    fn of(file: &Weights) -> Option<Names> {
        let (own, visual) = (file.at("vision_model"), file.at("visual"));
        if own.contains("embeddings.patch_embedding.weight") {
            return Some(Names {
                model: own,
                spelling: Spelling::HuggingFace,
                patches: "embeddings.patch_embedding.weight",
                class: "embeddings.class_embedding",
                positions: "embeddings.position_embedding.weight",
                // Its authors misspelled it.
                before: "pre_layrnorm",
                after: "post_layernorm",
                layers: "encoder.layers",
            });
        }
        visual.contains("transformer.resblocks.0.attn.in_proj_weight").then_some(Names {
            model: visual,
            spelling: Spelling::OpenClip,
            patches: "conv1.weight",
            class: "class_embedding",
            positions: "positional_embedding",
            before: "ln_pre",
            after: "ln_post",
            layers: "transformer.resblocks",
        })
    }

    fn layers(&self) -> Weights {
        self.model.at(self.layers)
    }
}

/// Makes sure that a file holds such a network.
///
/// # Errors
/// If it does not, with what to do.
pub fn recognise(file: &Weights) -> Result<()> {
    let path = file.path().display();
    if file.contains("encoder.layer.23.layer_scale2.lambda1") {
        return Err(Unsupported(format!(
            "{path} is DINOv2, which is not supported yet; use CLIP's or SigLIP's image encoder"
        ))
        .into());
    }
    let Some(names) = Names::of(file) else {
        bail!("{path} holds no image encoder of CLIP or SigLIP; choose a file such as clip_vision_h.safetensors")
    };
    let layers = names.layers().children();
    ensure!(
        layers >= LEAST_LAYERS,
        "{path} holds an image encoder of {layers} layers, and those of CLIP and SigLIP have 24 to 48; it is of another kind, or incomplete"
    );
    Ok(())
}

impl ClipVision {
    /// Builds the network from a whole file.
    ///
    /// # Errors
    /// Those of [`recognise`], and a tensor that is missing or has another shape than its neighbours call for.
    pub fn load(file: &Weights, numerics: &Numerics) -> Result<Self> {
        recognise(file)?;
        let Some(names) = Names::of(file) else { bail!("{} is no image encoder", file.path().display()) };
        let placement = numerics.text();
        let (w, exact) =
            (names.model.placed(placement), names.model.placed(Placement { kind: Kind::Float, ..placement }));
        let held = |name: &str, shape: &[i64]| Ok::<_, anyhow::Error>(w.tensor(name, shape)?.to_kind(Kind::Float));
        let (width, patch) = (w.dim(names.patches, 0)?, w.dim(names.patches, 2)?);
        let places = w.dim(names.positions, 0)?;
        let is_clip = w.contains(names.class);
        let layers = w.at(names.layers);
        let (rows, count) = (places - i64::from(is_clip), layers.children());
        let along = (rows as f64).sqrt().round() as i64;
        ensure!(
            along > 0 && along.checked_mul(along) == Some(rows) && width % HEADS == 0,
            "the image encoder in {} has {places} places and is {width} wide, which fit no square picture and no {HEADS} heads; it is damaged",
            file.path().display()
        );
        let bias = names.patches.replace(".weight", ".bias");
        Ok(Self {
            placement,
            patches: held(names.patches, &[width, 3, patch, patch])?,
            patch_bias: (!is_clip).then(|| held(&bias, &[width])).transpose()?,
            class: is_clip.then(|| held(names.class, &[width])).transpose()?,
            positions: held(names.positions, &[places, width])?,
            before: is_clip.then(|| LayerNorm::load(&exact.at(names.before), width)).transpose()?,
            blocks: (0..count).map(|i| Block::load(&layers.at(i), names.spelling, width)).collect::<Result<_>>()?,
            after: LayerNorm::load(&exact.at(names.after), width)?,
            projection: if is_clip { projection(file, &exact, width)? } else { None },
            projector: if is_clip { projector(&file.placed(placement), width)? } else { None },
            activation: match count {
                _ if !is_clip => Activation::TanhGelu,
                ..=30 => Activation::QuickGelu,
                _ => Activation::Gelu,
            },
            // SigLIP's pictures of 384 pixels have 27 patches of 14, and 6 pixels that none covers.
            side: if (along, patch) == (27, 14) { 384 } else { along * patch },
            patch,
        })
    }

    /// What it sees in pictures, B×H×W×C with values 0 to 1; of other sizes than its own they are cropped in the middle, or stretched.
    ///
    /// # Errors
    /// If there is no room in memory.
    pub fn encode(&self, pictures: &Tensor, crop: bool) -> Result<ClipVisionOutput> {
        let (batch, width) = (pictures.size()[0], self.positions.size()[1]);
        // The states, those that are kept, a normalised copy, and in a block's second half three tensors of four widths.
        let bytes = memory::product(&[batch, self.positions.size()[0], width, 3 + 3 * 4], 4);
        let tokens = self.projector.as_ref().map_or(0, |[first, _]| first.outputs());
        let bytes = bytes.saturating_add(memory::product(&[batch, self.positions.size()[0], tokens, 3], 4));
        memory::ask(bytes, "what CLIP sees in the pictures")?;
        let pixels = self.prepared(&pictures.to_device(self.placement.device), crop)?;
        let sides = [self.patch, self.patch];
        let seen = pixels.f_conv2d(&self.patches, self.patch_bias.as_ref(), sides, [0, 0], [1, 1], 1)?;
        let seen = seen.flatten(2, -1).transpose(1, 2);
        let seen = match &self.class {
            Some(class) => Tensor::cat(&[class.expand([batch, 1, width], false), seen], 1),
            None => seen,
        };
        let seen = seen + &self.positions;
        let mut x = self.before.as_ref().map_or_else(|| seen.shallow_clone(), |norm| norm.forward(&seen));
        let mut penultimate = None;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward_by(x, self.activation, attention);
            if i + 2 == self.blocks.len() {
                // Blocks add to their input in place.
                penultimate = Some(x.copy());
            }
        }
        let (last, embeds) = match self.class {
            Some(_) => {
                let pooled = self.after.forward(&x.i((.., 0)));
                (x, self.projection.as_ref().map(|projection| projection.forward(&pooled)))
            }
            None => {
                let last = self.after.forward(&x);
                (last.shallow_clone(), Some(last))
            }
        };
        let here = |tensor: Tensor| tensor.to_device(tch::Device::Cpu);
        let penultimate = penultimate.unwrap_or_else(|| last.shallow_clone());
        // Without the token for the whole picture.
        let projected = self.projector.as_ref().map(|[first, second]| {
            let patches = penultimate.narrow(1, 1, penultimate.size()[1] - 1);
            second.forward(&first.forward(&patches).gelu("none"))
        });
        let (last, embeds, projected) = (Some(here(last)), embeds.map(here), projected.map(here));
        Ok(ClipVisionOutput { penultimate: here(penultimate), last, embeds, projected })
    }

    /// Pictures in the encoder's size, rounded to 8 bits and normalised: B×3×side×side. Of one channel they are grey.
    fn prepared(&self, pictures: &Tensor, crop: bool) -> Result<Tensor> {
        let [mean, spread] = if self.class.is_some() { CLIP } else { SIGLIP };
        let plane = |values: [f64; 3]| Tensor::from_slice(&values.map(|value| value as f32)).view([3, 1, 1]);
        let (mean, spread) = (plane(mean).to_device(pictures.device()), plane(spread).to_device(pictures.device()));
        let colours = pictures.size()[3];
        ensure!(
            colours == 1 || colours >= 3,
            "the pictures have {colours} channels, and an image encoder looks at grey, or at red, green and blue; convert them"
        );
        let pictures = if colours > 3 { pictures.narrow(3, 0, 3) } else { pictures.shallow_clone() };
        let pictures = pictures.to_kind(Kind::Float).movedim_int(-1, 1);
        let (height, width, side) = (pictures.size()[2], pictures.size()[3], self.side);
        let fitted = if height == side && width == side { pictures } else { self.fitted(&pictures, crop)? };
        let rounded = (fitted * 255.0).clamp(0.0, 255.0).round() / 255.0;
        Ok((rounded - mean) / spread)
    }

    fn fitted(&self, pictures: &Tensor, crop: bool) -> Result<Tensor> {
        let (height, width, side) = (pictures.size()[2], pictures.size()[3], self.side);
        let scale = side as f64 / height.min(width) as f64;
        let scaled = |length: i64| (scale * length as f64).round_ties_even() as i64;
        let size = if crop { [scaled(height), scaled(width)] } else { [side, side] };
        let numbers = size[0].saturating_mul(size[1]).saturating_mul(pictures.size()[0]).saturating_mul(3 * 4);
        memory::ask(numbers.unsigned_abs(), "the pictures in the image encoder's size")?;
        let resized = pictures.f_internal_upsample_bicubic2d_aa(size, false, None, None)?;
        let [top, left] = size.map(|length| (length - side).div_euclid(2));
        Ok(resized.f_narrow(2, top, side)?.f_narrow(3, left, side)?)
    }
}

fn attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let (batch, width) = (q.size()[0], q.size()[2] / HEADS);
    let [q, k, v] = [q, k, v].map(|tensor| tensor.view([batch, -1, HEADS, width]).transpose(1, 2));
    short_attention_of_heads(&q, &k, &v)
}

/// The projection of the picture's token, if the file has one. OpenCLIP holds it transposed, as a bare matrix.
fn projection(file: &Weights, model: &Weights, width: i64) -> Result<Option<Linear>> {
    let own = file.placed(model.placement()).at("visual_projection");
    if own.contains("weight") {
        return Linear::load(&own, width, own.dim("weight", 0)?).map(Some);
    }
    if !model.contains("proj") {
        return Ok(None);
    }
    let bare = model.tensor("proj", &[width, model.dim("proj", 1)?])?;
    Ok(Some(Linear::new(bare.transpose(0, 1).contiguous(), None)))
}

/// The two layers that make tokens of a language model, if the file has them.
fn projector(file: &Weights, width: i64) -> Result<Option<[Linear; 2]>> {
    let own = file.at("multi_modal_projector");
    if !own.contains("linear_1.bias") {
        return Ok(None);
    }
    let outputs = own.dim("linear_1.weight", 0)?;
    let first = Linear::load(&own.at("linear_1"), width, outputs)?;
    Ok(Some([first, Linear::load(&own.at("linear_2"), outputs, outputs)?]))
}

/// Looks at what a file says of itself, without its numbers.
///
/// # Errors
/// Those of [`recognise`].
pub fn look(path: &Path) -> Result<()> {
    recognise(&Weights::open(path)?)
}
