//! How values are written, to be kept between runs: tensors as blobs, what surrounds them as JSON.

use redraft_engine::codec::{Blob, Data, Decoder, Encoder, Malformed};
use redraft_engine::results_file::{WIRE_TABLES, WireType};
use serde_json::{Value as Json, json};
use tch::{Device, Kind, Tensor};

use super::extras::{Extra, Extras};
use super::{
    Area, Audio, ClipVisionOutput, Conditioning, ConditioningHooks, Entry, Image, Latent, Mask, NoiseChoice, Sigmas,
    Svg, TimestepsRange, Video,
};
use crate::files::tensor_file::KINDS;
use crate::ops::latent_operation::LatentOperation;
use crate::recipes::{Clip, ClipVision, ControlNet, Gligen, Guider, Model, StyleModel, UpscaleModel, VaeRecipe};
use crate::sampling::samplers::Sampler;

redraft_engine::add_rows!(WIRE_TABLES: WireType = [
    WireType::of::<Image>(),
    WireType::of::<Mask>(),
    WireType::of::<ClipVisionOutput>(),
    WireType::of::<Latent>(),
    WireType::of::<Conditioning>(),
    WireType::of::<Sigmas>(),
    WireType::of::<Svg>(),
    WireType::of::<Audio>(),
    WireType::of::<Video>(),
    WireType::of::<NoiseChoice>(),
    WireType::of::<TimestepsRange>(),
    WireType::of::<LatentOperation>(),
    WireType::of::<ConditioningHooks>(),
    WireType::of::<Sampler>(),
    WireType::of::<Model>(),
    WireType::of::<Clip>(),
    WireType::of::<VaeRecipe>(),
    WireType::of::<UpscaleModel>(),
    WireType::of::<ControlNet>(),
    WireType::of::<Guider>(),
    WireType::of::<ClipVision>(),
    WireType::of::<StyleModel>(),
    WireType::of::<Gligen>(),
]);

/// A tensor as a part of a value. What is read has the memory layout of what was written, on which the rounding of libtorch's
/// kernels may depend.
pub(super) struct TensorPart(pub(super) Tensor);

impl TensorPart {
    pub(super) fn of(tensor: &Tensor) -> Self {
        Self(tensor.shallow_clone())
    }

    pub(super) fn of_optional(tensor: Option<&Tensor>) -> Option<Self> {
        tensor.map(Self::of)
    }

    /// The tensor, if it has one of these numbers of dimensions.
    pub(super) fn ranked(self, from: &Decoder<'_, '_>, ranks: &[usize]) -> Result<Tensor, Malformed> {
        let size = self.0.size();
        if ranks.contains(&size.len()) {
            return Ok(self.0);
        }
        Err(from.malformed(format!("has the shape {size:?}, whose number of dimensions is not one of {ranks:?}")))
    }
}

/// The dimensions from the one whose neighbours lie furthest apart in memory to the closest. A dimension of one place says nothing
/// about the layout and keeps its position.
fn order(tensor: &Tensor) -> Vec<i64> {
    let (size, strides) = (tensor.size(), tensor.stride());
    let mut order: Vec<usize> = (0..size.len()).collect();
    let long: Vec<usize> = order.iter().copied().filter(|dim| size[*dim] != 1).collect();
    let mut sorted = long.clone();
    sorted.sort_by_key(|dim| std::cmp::Reverse(strides[*dim]));
    for (at, dim) in long.into_iter().zip(sorted) {
        order[at] = dim;
    }
    order.into_iter().map(|dim| dim as i64).collect()
}

impl Data for TensorPart {
    fn encode(&self, to: &mut Encoder<'_>) {
        let tensor = self.0.to_device(Device::Cpu);
        let straight: Vec<i64> = (0..tensor.dim() as i64).collect();
        let mut order = order(&tensor);
        if tensor.is_contiguous() || !tensor.permute(&order).is_contiguous() {
            order.clone_from(&straight);
        }
        let laid_out = tensor.permute(&order).contiguous();
        let mut bytes = vec![0; laid_out.numel() * laid_out.kind().elt_size_in_bytes()];
        laid_out.copy_data_u8(&mut bytes, laid_out.numel());
        let shape = laid_out.size().into_iter().map(|side| side as usize).collect();
        let dtype = KINDS.iter().find(|(kind, _)| *kind == laid_out.kind()).map(|(_, dtype)| *dtype);
        // No value on a wire has another element type. If one had, it would be written without a part, and not be read.
        if let Some(blob) = dtype.and_then(|dtype| Blob::new(dtype, shape, bytes)) {
            to.blob(blob);
        }
        if order != straight {
            to.at("order").plain(json!(order));
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let blob = from.blob()?;
        let kind = KINDS.iter().find(|(_, dtype)| *dtype == blob.dtype()).map(|(kind, _)| *kind);
        let kind = kind.ok_or_else(|| from.malformed(format!("has the element type {:?}", blob.dtype())))?;
        if kind == Kind::Bool && blob.bytes().iter().any(|byte| *byte > 1) {
            return Err(from.malformed("has truth values that are neither true nor false"));
        }
        let shape = blob.shape().iter().map(|side| i64::try_from(*side)).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| from.malformed("is too large"))?;
        let tensor = Tensor::f_from_data_size(blob.bytes(), &shape, kind);
        let tensor = tensor.map_err(|error| from.malformed(format!("is no tensor: {error}")))?;
        let Some(order) = from.field::<Option<Json>>("order")? else { return Ok(Self(tensor)) };
        let order: Option<Vec<usize>> = serde_json::from_value(order).ok();
        let inverse = order.filter(|order| order.len() == shape.len()).and_then(|order| {
            let place = |dim| order.iter().position(|of| *of == dim);
            (0..order.len()).map(|dim| place(dim).map(|at| at as i64)).collect::<Option<Vec<_>>>()
        });
        let inverse = inverse.ok_or_else(|| from.malformed("has an order that names not each dimension once"))?;
        Ok(Self(tensor.permute(inverse)))
    }
}

impl Data for Image {
    fn encode(&self, to: &mut Encoder<'_>) {
        TensorPart::of(&self.0).encode(to);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        TensorPart::decode(from)?.ranked(from, &[4]).map(Self)
    }
}

impl Data for ClipVisionOutput {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.field("penultimate", &TensorPart::of(&self.penultimate));
        to.field("last", &TensorPart::of_optional(self.last.as_ref()));
        to.field("embeds", &TensorPart::of_optional(self.embeds.as_ref()));
        to.field("projected", &TensorPart::of_optional(self.projected.as_ref()));
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let penultimate = from.field::<TensorPart>("penultimate")?.ranked(from, &[3])?;
        let (last, embeds) = (from.field::<Option<TensorPart>>("last")?, from.field::<Option<TensorPart>>("embeds")?);
        let projected = from.field::<Option<TensorPart>>("projected")?;
        let optional = |part: Option<TensorPart>, ranks| part.map(|part| part.ranked(from, ranks)).transpose();
        let (last, embeds) = (optional(last, &[3])?, optional(embeds, &[2, 3])?);
        Ok(Self { penultimate, last, embeds, projected: optional(projected, &[3])? })
    }
}

impl Data for Mask {
    fn encode(&self, to: &mut Encoder<'_>) {
        TensorPart::of(&self.0).encode(to);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        TensorPart::decode(from)?.ranked(from, &[2, 3, 4]).map(Self)
    }
}

impl Data for Audio {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.field("waveform", &TensorPart::of(&self.waveform));
        to.field("sample_rate", &self.sample_rate);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let sample_rate = from.field::<i64>("sample_rate")?;
        if sample_rate < 1 {
            return Err(from.malformed("has no sample rate"));
        }
        let mut at = from.at("waveform");
        let waveform = TensorPart::decode(&mut at)?.ranked(&at, &[3])?;
        Ok(Self { waveform, sample_rate })
    }
}

impl Data for Latent {
    fn encode(&self, to: &mut Encoder<'_>) {
        let Latent { samples, noise_mask, batch_index, memories } = self;
        to.field("samples", &TensorPart::of(samples));
        to.field("noise_mask", &TensorPart::of_optional(noise_mask.as_ref()));
        if let Some(places) = batch_index {
            to.at("batch_index").blob(Blob::of(places));
        }
        to.field("memories", memories);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let samples = from.field::<TensorPart>("samples")?.0;
        let noise_mask = from.field::<Option<TensorPart>>("noise_mask")?.map(|part| part.0);
        let mut at = from.at("batch_index");
        let batch_index = match at.is_there() {
            true => Some(at.blob()?.numbers().ok_or_else(|| at.malformed("is no row of integers"))?),
            false => None,
        };
        Ok(Self { samples, noise_mask, batch_index, memories: from.field("memories")? })
    }
}

impl Data for Conditioning {
    fn encode(&self, to: &mut Encoder<'_>) {
        self.0.encode(to);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        Vec::decode(from).map(Self)
    }
}

/// A property that only some families read is one of the extras, which are written alike. A field of another kind is named here.
impl Data for Entry {
    fn encode(&self, to: &mut Encoder<'_>) {
        let Entry {
            cond,
            area,
            strength,
            mask,
            mask_strength,
            set_area_to_bounds,
            start_percent,
            end_percent,
            default,
            // An entry with a control or a grounding is not written: `Conditioning::is_data`.
            control: _,
            control_for_others: _,
            grounding: _,
            extras,
        } = self;
        to.field("cond", &TensorPart::of(cond));
        to.field("area", area);
        to.field("strength", strength);
        to.field("mask", &TensorPart::of_optional(mask.as_ref()));
        to.field("mask_strength", mask_strength);
        to.field("set_area_to_bounds", set_area_to_bounds);
        to.field("start_percent", start_percent);
        to.field("end_percent", end_percent);
        to.field("default", default);
        to.field("extras", extras);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        Ok(Self {
            cond: from.field::<TensorPart>("cond")?.0,
            area: from.field("area")?,
            strength: from.field("strength")?,
            mask: from.field::<Option<TensorPart>>("mask")?.map(|part| part.0),
            mask_strength: from.field("mask_strength")?,
            set_area_to_bounds: from.field("set_area_to_bounds")?,
            start_percent: from.field("start_percent")?,
            end_percent: from.field("end_percent")?,
            default: from.field("default")?,
            control: None,
            control_for_others: false,
            grounding: None,
            extras: from.field("extras")?,
        })
    }
}

/// The unit, and height, width, y and x in it.
impl Data for Area {
    fn encode(&self, to: &mut Encoder<'_>) {
        match *self {
            Area::Latent { height, width, y, x } => to.field("latent", &vec![height, width, y, x]),
            Area::Fraction { height, width, y, x } => to.field("fraction", &vec![height, width, y, x]),
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let (latent, fraction) =
            (from.field::<Option<Vec<i64>>>("latent")?, from.field::<Option<Vec<f64>>>("fraction")?);
        match (latent.as_deref(), fraction.as_deref()) {
            (Some(&[height, width, y, x]), None) => Ok(Area::Latent { height, width, y, x }),
            (None, Some(&[height, width, y, x])) => Ok(Area::Fraction { height, width, y, x }),
            _ => Err(from.malformed("is no area")),
        }
    }
}

/// Names are values and not names of parts: a stranger's file may call a property as it likes.
impl Data for Extras {
    fn encode(&self, to: &mut Encoder<'_>) {
        let (names, values): (Vec<String>, Vec<Extra>) =
            self.iter().map(|(name, value)| (name.to_owned(), value.clone())).unzip();
        to.field("names", &names);
        to.field("values", &values);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let (names, values) = (from.field::<Vec<String>>("names")?, from.field::<Vec<Extra>>("values")?);
        if names.len() != values.len() {
            return Err(from.malformed("has other numbers of names and values"));
        }
        let mut extras = Extras::default();
        names.into_iter().zip(values).for_each(|(name, value)| extras.insert(name, value));
        Ok(extras)
    }
}

impl Data for Extra {
    fn encode(&self, to: &mut Encoder<'_>) {
        match self {
            Extra::Tensor(tensor) => to.field("tensor", &TensorPart::of(tensor)),
            Extra::Tensors(tensors) => to.field("tensors", &tensors.iter().map(TensorPart::of).collect::<Vec<_>>()),
            Extra::Plain(json) => to.field("plain", json),
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        if let Some(TensorPart(tensor)) = from.field("tensor")? {
            return Ok(Extra::Tensor(tensor));
        }
        if let Some(tensors) = from.field::<Option<Vec<TensorPart>>>("tensors")? {
            return Ok(Extra::Tensors(tensors.into_iter().map(|part| part.0).collect()));
        }
        from.field("plain").map(Extra::Plain)
    }
}

impl Data for Sigmas {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.blob(Blob::of(&self.0));
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let levels = from.blob()?.numbers();
        levels.map(Self).ok_or_else(|| from.malformed("is no row of float32 numbers"))
    }
}

impl Data for Svg {
    fn encode(&self, to: &mut Encoder<'_>) {
        self.0.to_vec().encode(to);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        Vec::decode(from).map(|texts| Self(texts.into()))
    }
}

impl Data for NoiseChoice {
    fn encode(&self, to: &mut Encoder<'_>) {
        match self {
            NoiseChoice::Disabled => to.plain("disabled"),
            NoiseChoice::Random(seed) => to.plain(*seed),
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        match from.plain()? {
            Json::String(choice) if choice == "disabled" => Ok(NoiseChoice::Disabled),
            Json::Number(seed) if seed.is_u64() => Ok(NoiseChoice::Random(seed.as_u64().unwrap_or_default())),
            _ => Err(from.malformed("is no seed from 0 to 2^64 - 1")),
        }
    }
}

impl Data for TimestepsRange {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.field("start", &self.start);
        to.field("end", &self.end);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        Ok(Self { start: from.field("start")?, end: from.field("end")? })
    }
}

impl Data for LatentOperation {
    fn encode(&self, to: &mut Encoder<'_>) {
        match self {
            LatentOperation::Reinhard { multiplier } => to.at("reinhard").field("multiplier", multiplier),
            LatentOperation::Sharpen { radius, sigma, alpha } => {
                let mut to = to.at("sharpen");
                to.field("radius", radius);
                to.field("sigma", sigma);
                to.field("alpha", alpha);
            }
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let mut reinhard = from.at("reinhard");
        if reinhard.is_there() {
            return Ok(LatentOperation::Reinhard { multiplier: reinhard.field("multiplier")? });
        }
        let mut sharpen = from.at("sharpen");
        Ok(LatentOperation::Sharpen {
            radius: sharpen.field("radius")?,
            sigma: sharpen.field("sigma")?,
            alpha: sharpen.field("alpha")?,
        })
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
