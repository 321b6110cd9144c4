//! LTX-Video's autoencoder: 32×32 pixels of 8 frames become one point of 128 channels.

use anyhow::{Result, bail, ensure};
use serde_json::{Value as Json, json};
use tch::Tensor;

use super::ltxv_vae_blocks::{Block, Conv, Edges, Residual, TimeEmbedder, Told, level, normalised, nothing};
use super::video_autoencoder::{VideoAutoencoder, host};
use crate::files::weights::Weights;
use crate::ops::noise::Stream;
use crate::ops::numerics::{Numerics, Placement};

/// The noise level that a decoder is told, and how much noise is mixed into the latent before.
const LEVEL: f64 = 0.05;
const NOISE: f64 = 0.025;
/// What the noise level is multiplied by.
const TIME_FACTOR: f64 = 1000.0;
/// Frames of a latent frame behind the first, and pixels of a point's side.
const FRAMES: i64 = 8;
const FACTOR: i64 = 32;

/// The autoencoder.
///
/// Decoders that are told a noise level mix noise into the latent. It is drawn from a generator of seed 0 each time, so that equal latents
/// give equal videos.
pub struct LtxvVae {
    placement: Placement,
    encoder: Half,
    decoder: Half,
    time: Option<LastTime>,
    /// Mean and spread of each channel, 1×C×1×1×1.
    mean: Tensor,
    spread: Tensor,
    patch: i64,
    channels: i64,
}

/// What the last layer of a decoder is scaled and shifted by.
struct LastTime {
    embedder: TimeEmbedder,
    table: Tensor,
    factor: Tensor,
}

/// One side.
struct Half {
    conv_in: Conv,
    blocks: Vec<Block>,
    conv_out: Conv,
    width: i64,
}

impl LtxvVae {
    /// Whether the tensors below `weights` are those of such an autoencoder.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains("decoder.up_blocks.0.res_blocks.0.conv1.conv.weight")
            && weights.contains("per_channel_statistics.std-of-means")
    }

    /// Builds it from the tensors below `weights` (`encoder.*`, `decoder.*`, …), in the order of blocks that the file tells, or that files of
    /// its version have.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.vae();
        let w = &weights.placed(placement);
        let config = config(w);
        let text = |name: &str| config.get(name).and_then(Json::as_str);
        ensure!(
            text("norm_layer") == Some("pixel_norm"),
            "{} is an autoencoder of LTX-Video with norms of groups, which is not supported; use one of a released model",
            w.path().display()
        );
        let blocks = |name: &str| config.get(name).or_else(|| config.get("blocks")).and_then(Json::as_array);
        let (Some(down), Some(up)) = (blocks("encoder_blocks"), blocks("decoder_blocks")) else {
            bail!("{} does not say which blocks its autoencoder has; fetch it again", w.path().display());
        };
        let patch = config.get("patch_size").and_then(Json::as_i64).unwrap_or(1).clamp(1, 64);
        let mirrors = |or: &str| text("spatial_padding_mode").unwrap_or(or) == "reflect";
        let causal = config.get("causal_decoder").and_then(Json::as_bool).unwrap_or(false);
        let encoder = Half::load(
            &w.at("encoder"),
            ("down_blocks", down.iter().collect()),
            3 * patch * patch,
            Edges { causal: true, mirrors: mirrors("zeros") },
        )?;
        let channels = w.dim("decoder.conv_in.conv.weight", 1)?;
        let decoder = Half::load(
            &w.at("decoder"),
            ("up_blocks", up.iter().rev().collect()),
            channels,
            Edges { causal, mirrors: mirrors("reflect") },
        )?;
        let statistics = |name: &str| {
            let values = w.tensor(&format!("per_channel_statistics.{name}"), &[channels])?;
            Ok::<_, anyhow::Error>(values.view([1, -1, 1, 1, 1]))
        };
        let told = config.get("timestep_conditioning").and_then(Json::as_bool).unwrap_or(false);
        let time = told.then(|| LastTime::load(&w.at("decoder"), decoder.width)).transpose()?;
        ensure!(
            decoder.conv_out.outputs() == 3 * patch * patch && encoder.conv_out.outputs() > channels,
            "encoder and decoder in {} do not fit together; the file is of another kind, or damaged",
            w.path().display()
        );
        let (mean, spread) = (statistics("mean-of-means")?, statistics("std-of-means")?);
        Ok(Self { placement, encoder, decoder, time, mean, spread, patch, channels })
    }
}

/// What the file says of the autoencoder, or what files of its version are like.
fn config(w: &Weights) -> Json {
    let said = w.metadata("config").and_then(|text| serde_json::from_str::<Json>(text).ok());
    if let Some(vae) = said.and_then(|said| said.get("vae").cloned()) {
        return vae;
    }
    let all = |layers: usize, noise: bool| json!(["res_x", {"num_layers": layers, "inject_noise": noise}]);
    let twice = json!(["compress_all", {"residual": true, "multiplier": 2}]);
    let old = json!([
        ["res_x", 4],
        ["compress_all", 1],
        ["res_x_y", 1],
        ["res_x", 3],
        ["compress_all", 1],
        ["res_x_y", 1],
        ["res_x", 3],
        ["compress_all", 1],
        ["res_x", 3],
        ["res_x", 4]
    ]);
    let plain = json!({"norm_layer": "pixel_norm", "patch_size": 4});
    let with = |further: Json| {
        let mut all = plain.clone();
        if let (Some(all), Json::Object(further)) = (all.as_object_mut(), further) {
            all.extend(further);
        }
        all
    };
    if !w.contains("decoder.last_scale_shift_table") {
        return with(json!({"blocks": old}));
    }
    if w.contains("encoder.down_blocks.1.conv.conv.bias") {
        let smaller = |name: &str| json!([name, {"multiplier": 2}]);
        return with(json!({
            "encoder_blocks": [
                all(4, false), smaller("compress_space_res"), all(6, false), smaller("compress_time_res"), all(6, false),
                smaller("compress_all_res"), all(2, false), smaller("compress_all_res"), all(2, false)
            ],
            "decoder_blocks": [
                all(5, false), &twice, all(5, false), &twice, all(5, false), &twice, all(5, false)
            ],
            "timestep_conditioning": true,
        }));
    }
    with(json!({
        "encoder_blocks": old,
        "decoder_blocks": [all(5, true), &twice, all(6, true), &twice, all(7, true), &twice, all(8, false)],
        "timestep_conditioning": true,
    }))
}

impl Half {
    fn load(w: &Weights, (name, blocks): (&str, Vec<&Json>), inputs: i64, edges: Edges) -> Result<Self> {
        let conv_in = Conv::load(&w.at("conv_in"), inputs, edges)?;
        let mut channels = conv_in.outputs();
        let side = w.at(name);
        let blocks = blocks
            .into_iter()
            .enumerate()
            .map(|(place, said)| block(&side.at(place), said, &mut channels, edges))
            .collect::<Result<_>>()?;
        Ok(Self { conv_in, blocks, conv_out: Conv::load(&w.at("conv_out"), channels, edges)?, width: channels })
    }

    /// `last` changes what the last convolution is given.
    fn forward(&self, x: &Tensor, told: &mut Told, last: impl Fn(Tensor, &Told) -> Tensor) -> Tensor {
        let h = self.blocks.iter().fold(self.conv_in.forward(x), |h, block| block.forward(h, told));
        self.conv_out.forward(&last(normalised(&h), told).silu())
    }
}

/// A block of a name, `channels` of which become those that it gives.
fn block(w: &Weights, said: &Json, channels: &mut i64, edges: Edges) -> Result<Block> {
    let name = said.get(0).and_then(Json::as_str).unwrap_or_default();
    let params = said.get(1).unwrap_or(&Json::Null);
    let number = |name: &str| params.get(name).and_then(Json::as_i64);
    let is = |name: &str| params.get(name).and_then(Json::as_bool).unwrap_or(false);
    let encodes = w.full_name("").contains("encoder.down_blocks");
    let factors = match name {
        _ if name.starts_with("compress_time") => [2, 1, 1],
        _ if name.starts_with("compress_space") => [1, 2, 2],
        _ => [2, 2, 2],
    };
    let inputs = *channels;
    match name {
        "res_x" => {
            let count = params.as_i64().or_else(|| number("num_layers")).unwrap_or(1);
            ensure!(count >= 0, "{} has {count} layers in a block; the file is damaged", w.path().display());
            Block::residuals(w, inputs, count.unsigned_abs() as usize, edges)
        }
        "res_x_y" => {
            let block = Residual::load(w, inputs, edges)?;
            *channels = block.outputs();
            Ok(Block::Residual(Box::new(block)))
        }
        "compress_time" | "compress_space" | "compress_all" | "compress_all_x_y" if encodes => {
            let conv = Conv::strided(w, inputs, edges, factors)?;
            *channels = conv.outputs();
            Ok(Block::Conv(conv))
        }
        "compress_time_res" | "compress_space_res" | "compress_all_res" if encodes => {
            let conv = Conv::load(&w.at("conv"), inputs, edges)?;
            let points: i64 = factors.iter().product();
            *channels = conv.outputs() * points;
            ensure!(
                inputs * points % *channels == 0,
                "{} has a block of {inputs} channels that become {channels}; the file is damaged",
                w.path().display()
            );
            Ok(Block::Smaller(conv, factors))
        }
        "compress_time" | "compress_space" | "compress_all" if !encodes => {
            let conv = Conv::load(&w.at("conv"), inputs, edges)?;
            let points: i64 = factors.iter().product();
            ensure!(
                conv.outputs() % points == 0 && inputs % points == 0,
                "{} has a block of {} channels, which cannot be points; the file is damaged",
                w.path().display(),
                conv.outputs()
            );
            *channels = conv.outputs() / points;
            // The input's points, repeated, are added to those of the convolution.
            let residual = is("residual").then(|| conv.outputs().checked_div(inputs).unwrap_or(0));
            ensure!(
                residual.is_none_or(|times| times * inputs == conv.outputs()),
                "{} has a block of {inputs} channels, which cannot be added to {}; the file is damaged",
                w.path().display(),
                conv.outputs()
            );
            Ok(Block::Larger { conv, factors, residual })
        }
        other => bail!(
            "{} has an autoencoder with a block called '{other}', which is not supported; use a released model's",
            w.path().display()
        ),
    }
}

impl LastTime {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let factor = "timestep_scale_multiplier";
        Ok(Self {
            embedder: TimeEmbedder::load(&w.at("last_time_embedder"))?,
            table: w.tensor("last_scale_shift_table", &[2, width])?,
            factor: match w.contains(factor) {
                true => w.tensor(factor, &w.shape(factor)?)?.reshape([] as [i64; 0]),
                false => Tensor::from(TIME_FACTOR as f32).to_device(w.placement().device),
            },
        })
    }

    fn applied(&self, x: &Tensor, level: &Tensor) -> Tensor {
        let table = self.table.unsqueeze(0).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1);
        let parts = (table + self.embedder.forward(level, 2)).unbind(1);
        x * (&parts[1] + 1.0) + &parts[0]
    }
}

impl VideoAutoencoder for LtxvVae {
    fn latent_channels(&self) -> i64 {
        self.channels
    }

    fn factor(&self) -> i64 {
        FACTOR
    }

    fn frames(&self) -> i64 {
        FRAMES
    }

    fn made_by(&self) -> &'static str {
        "EmptyLTXVLatentVideo"
    }

    /// Rows and columns are mirrored at the edges.
    fn least_side(&self) -> i64 {
        2
    }

    fn check_frames(&self, frames: i64) -> Result<()> {
        ensure!(
            (frames - 1) % FRAMES == 0,
            "{frames} frames cannot be encoded: LTX-Video's VAE takes 1, 9, 17 and so on, eight more each; leave some out with \
             ImageFromBatch, or encode them with VAEEncodeTiled"
        );
        Ok(())
    }

    fn encode_video(&self, pixels: &Tensor) -> Tensor {
        let x = self.placement.place(&(pixels * 2.0 - 1.0));
        let (s, patch) = (x.size(), self.patch);
        let split = x.reshape([s[0], s[1], s[2], s[3] / patch, patch, s[4] / patch, patch]);
        let x = split.permute([0, 1, 6, 4, 2, 3, 5]).reshape([s[0], -1, s[2], s[3] / patch, s[4] / patch]);
        let means = self.encoder.forward(&x, &mut nothing(), |h, _| h).narrow(1, 0, self.channels);
        host(&((means - &self.mean) / &self.spread))
    }

    fn decode_video(&self, latent: &Tensor) -> Tensor {
        let z = self.placement.place(latent);
        let mut told = nothing();
        let z = match &self.time {
            Some(time) => {
                told = Told { level: Some(level(&time.factor, LEVEL)), noise: Stream::seeded(0) };
                let noise = told.noise.normal(&z.size()).to_device(z.device());
                noise * NOISE + z * (1.0 - NOISE)
            }
            None => z,
        };
        let z = z * &self.spread + &self.mean;
        let x = self.decoder.forward(&z, &mut told, |h, told| match (&self.time, &told.level) {
            (Some(time), Some(level)) => time.applied(&h, level),
            _ => h,
        });
        let (s, patch) = (x.size(), self.patch);
        let split = x.reshape([s[0], -1, patch, patch, s[2], s[3], s[4]]);
        host(&split.permute([0, 1, 4, 5, 3, 6, 2]).reshape([s[0], -1, s[2], s[3] * patch, s[4] * patch]))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tch::{Device, Kind};

    use super::*;
    use crate::files::tensor_file::save;

    #[test]
    fn blocks_that_cannot_be_are_refused() {
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
        let edges = Edges { causal: true, mirrors: false };
        let said = json!(["compress_all", {"residual": true}]);
        for (said, inputs, outputs, why) in [
            (&json!(["res_x", -1]), 8, 8, "-1 layers"),
            (&said, 24, 16, "cannot be added"),
            (&said, 0, 8, "cannot be added"),
            (&said, 8, 0, "its dimension 0 is needed"),
        ] {
            let weight = Tensor::zeros([outputs, inputs, 3, 3, 3], (Kind::Float, Device::Cpu));
            let bias = Tensor::zeros([outputs], (Kind::Float, Device::Cpu));
            save(file.path(), [("up.conv.conv.weight", &weight), ("up.conv.conv.bias", &bias)]).unwrap();
            let w = Weights::open(file.path()).unwrap().at("up");
            let message = block(&w, said, &mut { inputs }, edges).err().unwrap().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
