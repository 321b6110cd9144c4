//! Checkpoints with random weights: for tests and benchmarks that need no trained model.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tch::{Kind, Tensor};

use crate::ops::noise::randn;

/// How large a random checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 32 channels: 17 million parameters, 34 MB.
    Tiny,
    /// As it was published. Stable Diffusion 1.5: 1.07 billion parameters, 2.1 GB; SDXL: 3.5 billion, 6.9 GB.
    Real,
}

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
    /// SDXL's base model.
    Sdxl,
    /// The same for inpainting: 9 input channels.
    SdxlInpainting,
    /// SDXL's refiner.
    SdxlRefiner,
}

/// Writes a checkpoint with random weights, in half precision.
///
/// The same `layout`, `size` and `seed` give the same bytes; layouts that differ in the UNet's input channels share all other
/// tensors. Weights are scaled so that activations stay in half precision's range and outputs vary. One tensor at a time is in memory. The file is written aside and renamed, so `path` is never half a file.
pub fn write_random_checkpoint(path: &Path, layout: Layout, size: Size, seed: u64) -> Result<()> {
    let tensors = layout.tensors(size);
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = aside(directory).with_context(|| format!("cannot write to {}", directory.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, aside.as_file());
    let write = |out: &mut dyn Write| -> Result<()> {
        write_header(out, &tensors, seed)?;
        for (index, tensor) in tensors.iter().enumerate() {
            // Only the low 32 bits of a seed count; neighbouring seeds must not share tensors.
            out.write_all(&tensor.draw(seed.wrapping_mul(1_000_003).wrapping_add(index as u64)))?;
        }
        out.flush()?;
        Ok(())
    };
    write(&mut out).with_context(|| format!("cannot write {}", path.display()))?;
    drop(out);
    aside.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// A temporary file that will be as readable as any other once renamed.
fn aside(directory: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.prefix(".random-").suffix(".safetensors").tempfile_in(directory)
}

fn write_header(out: &mut dyn Write, tensors: &[Spec], seed: u64) -> Result<()> {
    let mut header = serde_json::Map::new();
    let about = format!("random weights, seed {seed}");
    header.insert("__metadata__".to_owned(), serde_json::json!({"format": "pt", "made-by": "redraft", "about": about}));
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += 2 * tensor.shape.iter().product::<i64>();
        let entry = serde_json::json!({"dtype": "F16", "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = serde_json::to_string(&header)?;
    // Padding keeps the data aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    Ok(())
}

/// One tensor to be drawn.
struct Spec {
    name: String,
    shape: Vec<i64>,
    mean: f64,
    std: f64,
}

impl Spec {
    /// Its values in half precision, as little-endian bytes.
    fn draw(&self, seed: u64) -> Vec<u8> {
        let values = (randn(seed, &self.shape) * self.std + self.mean).to_kind(Kind::Half);
        bytes(&values)
    }
}

fn bytes(half: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; 2 * half.numel()];
    half.copy_data_u8(&mut bytes, half.numel());
    bytes
}

/// Collects tensors below a prefix. Every layer's values are scaled by how many inputs it sums over.
struct Builder {
    tensors: Vec<Spec>,
    prefix: String,
}

impl Builder {
    fn below(&mut self, part: &str, fill: impl FnOnce(&mut Self)) {
        let length = self.prefix.len();
        self.prefix = format!("{}{part}.", self.prefix);
        fill(self);
        self.prefix.truncate(length);
    }

    fn push(&mut self, name: &str, shape: &[i64], mean: f64, std: f64) {
        self.tensors.push(Spec { name: format!("{}{name}", self.prefix), shape: shape.to_vec(), mean, std });
    }

    /// Weight and bias. `gain` is the ratio of the output's scale to the input's.
    fn dense(&mut self, name: &str, shape: &[i64], gain: f64) {
        self.matrix(name, shape, gain);
        self.push(&format!("{name}.bias"), &shape[..1], 0.0, 0.05);
    }

    fn matrix(&mut self, name: &str, shape: &[i64], gain: f64) {
        let inputs: i64 = shape[1..].iter().product();
        self.push(&format!("{name}.weight"), shape, 0.0, gain / (inputs as f64).sqrt());
    }

    fn norm(&mut self, name: &str, channels: i64) {
        self.push(&format!("{name}.weight"), &[channels], 1.0, 0.1);
        self.push(&format!("{name}.bias"), &[channels], 0.0, 0.05);
    }
}

/// Gain of a layer whose output is added to its branch's input: less than 1, so that sums do not grow.
const BRANCH: f64 = 0.5;
/// Gain of any other layer.
const PLAIN: f64 = 0.9;
/// Multiples of the base width at the four levels of the autoencoder.
const LEVELS: [i64; 4] = [1, 2, 4, 4];

/// A UNet's structure.
struct UNetPlan {
    input: i64,
    /// Channels at the first level.
    width: i64,
    /// Multiples of the width at each level.
    levels: &'static [i64],
    /// How many transformer blocks follow each residual block of a level.
    depths: &'static [usize],
    /// The same in the middle.
    middle: usize,
    context: i64,
    /// Whether transformers are surrounded by matrices instead of convolutions.
    linear: bool,
    /// The width of the vector beside the text.
    vector: Option<i64>,
}

/// A text encoder's place, width and number of layers.
struct TextPlan {
    place: &'static str,
    open_clip: bool,
    width: i64,
    layers: usize,
}

impl Layout {
    fn tensors(self, size: Size) -> Vec<Spec> {
        let mut b = Builder { tensors: Vec::new(), prefix: String::new() };
        for plan in self.text(size) {
            let encoder = if plan.open_clip { open_clip } else { text_encoder };
            b.below(plan.place, |b| encoder(b, plan.width, plan.layers));
        }
        b.below("first_stage_model", |b| autoencoder(b, if size == Size::Tiny { 32 } else { 128 }));
        b.below("model.diffusion_model", |b| unet(b, &self.unet(size)));
        b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        b.tensors
    }

    fn text(self, size: Size) -> Vec<TextPlan> {
        let tiny = size == Size::Tiny;
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
            Layout::Sd2 => vec![h("cond_stage_model.model")],
            Layout::Sdxl | Layout::SdxlInpainting => {
                vec![l("conditioner.embedders.0.transformer.text_model"), g("conditioner.embedders.1.model")]
            }
            Layout::SdxlRefiner => vec![g("conditioner.embedders.0.model")],
        }
    }

    fn unet(self, size: Size) -> UNetPlan {
        let text = self.text(size);
        let pooled = text.last().map_or(0, |plan| plan.width);
        let plan = UNetPlan {
            input: match self {
                Layout::Sd1Inpainting | Layout::SdxlInpainting => 9,
                Layout::Sd1InstructPix2Pix => 8,
                _ => 4,
            },
            width: match (size, self) {
                (Size::Tiny, _) => 32,
                (Size::Real, Layout::SdxlRefiner) => 384,
                (Size::Real, _) => 320,
            },
            levels: &[1, 2, 4, 4],
            depths: &[1, 1, 1, 0],
            middle: 1,
            context: text.iter().map(|plan| plan.width).sum(),
            linear: true,
            vector: None,
        };
        match self {
            Layout::Sd1 | Layout::Sd1Inpainting | Layout::Sd1InstructPix2Pix => UNetPlan { linear: false, ..plan },
            Layout::Sd2 => plan,
            Layout::Sdxl | Layout::SdxlInpainting => {
                UNetPlan { levels: &[1, 2, 4], depths: &[0, 2, 10], middle: 10, vector: Some(pooled + 6 * 256), ..plan }
            }
            Layout::SdxlRefiner => {
                UNetPlan { depths: &[0, 4, 4, 0], middle: 4, vector: Some(pooled + 5 * 256), ..plan }
            }
        }
    }
}

fn text_encoder(b: &mut Builder, width: i64, layers: usize) {
    b.push("embeddings.token_embedding.weight", &[49408, width], 0.0, 0.4);
    b.push("embeddings.position_embedding.weight", &[77, width], 0.0, 0.1);
    for i in 0..layers {
        b.below(&format!("encoder.layers.{i}"), |b| {
            b.norm("layer_norm1", width);
            b.norm("layer_norm2", width);
            for name in ["q_proj", "k_proj", "v_proj"] {
                b.dense(&format!("self_attn.{name}"), &[width, width], PLAIN);
            }
            b.dense("self_attn.out_proj", &[width, width], BRANCH);
            b.dense("mlp.fc1", &[4 * width, width], PLAIN);
            b.dense("mlp.fc2", &[width, 4 * width], BRANCH);
        });
    }
    b.norm("final_layer_norm", width);
}

/// The same in OpenCLIP's names.
fn open_clip(b: &mut Builder, width: i64, layers: usize) {
    b.push("token_embedding.weight", &[49408, width], 0.0, 0.4);
    b.push("positional_embedding", &[77, width], 0.0, 0.1);
    for i in 0..layers {
        b.below(&format!("transformer.resblocks.{i}"), |b| {
            b.norm("ln_1", width);
            b.norm("ln_2", width);
            b.push("attn.in_proj_weight", &[3 * width, width], 0.0, PLAIN / (width as f64).sqrt());
            b.push("attn.in_proj_bias", &[3 * width], 0.0, 0.05);
            b.dense("attn.out_proj", &[width, width], BRANCH);
            b.dense("mlp.c_fc", &[4 * width, width], PLAIN);
            b.dense("mlp.c_proj", &[width, 4 * width], BRANCH);
        });
    }
    b.norm("ln_final", width);
    b.push("text_projection", &[width, width], 0.0, PLAIN / (width as f64).sqrt());
}

fn autoencoder(b: &mut Builder, width: i64) {
    let top = width * LEVELS[3];
    b.below("encoder", |b| {
        b.dense("conv_in", &[width, 3, 3, 3], PLAIN);
        let mut channels = width;
        for (i, multiple) in LEVELS.into_iter().enumerate() {
            for j in 0..2 {
                autoencoder_block(b, &format!("down.{i}.block.{j}"), channels, width * multiple);
                channels = width * multiple;
            }
            if i < 3 {
                b.dense(&format!("down.{i}.downsample.conv"), &[channels, channels, 3, 3], PLAIN);
            }
        }
        autoencoder_middle(b, top);
        b.norm("norm_out", top);
        b.dense("conv_out", &[8, top, 3, 3], PLAIN);
    });
    b.below("decoder", |b| {
        b.dense("conv_in", &[top, 4, 3, 3], PLAIN);
        autoencoder_middle(b, top);
        let mut channels = top;
        for (i, multiple) in LEVELS.into_iter().enumerate().rev() {
            for j in 0..3 {
                autoencoder_block(b, &format!("up.{i}.block.{j}"), channels, width * multiple);
                channels = width * multiple;
            }
            if i > 0 {
                b.dense(&format!("up.{i}.upsample.conv"), &[channels, channels, 3, 3], PLAIN);
            }
        }
        b.norm("norm_out", width);
        b.dense("conv_out", &[3, width, 3, 3], BRANCH);
    });
    b.dense("quant_conv", &[8, 8, 1, 1], PLAIN);
    b.dense("post_quant_conv", &[4, 4, 1, 1], PLAIN);
}

fn autoencoder_block(b: &mut Builder, name: &str, input: i64, output: i64) {
    b.below(name, |b| {
        b.norm("norm1", input);
        b.dense("conv1", &[output, input, 3, 3], PLAIN);
        b.norm("norm2", output);
        b.dense("conv2", &[output, output, 3, 3], BRANCH);
        if input != output {
            b.dense("nin_shortcut", &[output, input, 1, 1], PLAIN);
        }
    });
}

fn autoencoder_middle(b: &mut Builder, channels: i64) {
    autoencoder_block(b, "mid.block_1", channels, channels);
    b.norm("mid.attn_1.norm", channels);
    for (name, gain) in [("q", PLAIN), ("k", PLAIN), ("v", PLAIN), ("proj_out", BRANCH)] {
        b.dense(&format!("mid.attn_1.{name}"), &[channels, channels, 1, 1], gain);
    }
    autoencoder_block(b, "mid.block_2", channels, channels);
}

fn unet(b: &mut Builder, plan: &UNetPlan) {
    let width = plan.width;
    let embedding = 4 * width;
    b.dense("time_embed.0", &[embedding, width], PLAIN);
    b.dense("time_embed.2", &[embedding, embedding], PLAIN);
    if let Some(vector) = plan.vector {
        b.dense("label_emb.0.0", &[embedding, vector], PLAIN);
        b.dense("label_emb.0.2", &[embedding, embedding], PLAIN);
    }
    b.dense("input_blocks.0.0", &[width, plan.input, 3, 3], PLAIN);
    let levels: Vec<(i64, usize)> = plan.levels.iter().copied().zip(plan.depths.iter().copied()).collect();
    let last = levels.len() - 1;
    let (mut channels, mut skips, mut block) = (width, vec![width], 1);
    for (i, &(multiple, depth)) in levels.iter().enumerate() {
        for _ in 0..2 {
            unet_block(b, &format!("input_blocks.{block}.0"), channels, width * multiple, embedding);
            channels = width * multiple;
            transformer(b, &format!("input_blocks.{block}.1"), channels, depth, plan);
            skips.push(channels);
            block += 1;
        }
        if i < last {
            b.dense(&format!("input_blocks.{block}.0.op"), &[channels, channels, 3, 3], PLAIN);
            skips.push(channels);
            block += 1;
        }
    }
    unet_block(b, "middle_block.0", channels, channels, embedding);
    transformer(b, "middle_block.1", channels, plan.middle, plan);
    unet_block(b, "middle_block.2", channels, channels, embedding);
    let outputs = levels.iter().enumerate().rev().flat_map(|(i, &level)| [0, 1, 2].map(|j| (i, j, level)));
    for (block, (i, j, (multiple, depth))) in outputs.enumerate() {
        let skip = skips.pop().unwrap_or(0);
        unet_block(b, &format!("output_blocks.{block}.0"), channels + skip, width * multiple, embedding);
        channels = width * multiple;
        transformer(b, &format!("output_blocks.{block}.1"), channels, depth, plan);
        if i > 0 && j == 2 {
            let index = if depth > 0 { 2 } else { 1 };
            b.dense(&format!("output_blocks.{block}.{index}.conv"), &[channels, channels, 3, 3], PLAIN);
        }
    }
    b.norm("out.0", width);
    b.dense("out.2", &[4, width, 3, 3], PLAIN);
}

fn unet_block(b: &mut Builder, name: &str, input: i64, output: i64, embedding: i64) {
    b.below(name, |b| {
        b.norm("in_layers.0", input);
        b.dense("in_layers.2", &[output, input, 3, 3], PLAIN);
        b.dense("emb_layers.1", &[output, embedding], PLAIN);
        b.norm("out_layers.0", output);
        b.dense("out_layers.3", &[output, output, 3, 3], BRANCH);
        if input != output {
            b.dense("skip_connection", &[output, input, 1, 1], PLAIN);
        }
    });
}

/// So many transformer blocks between two projections; nothing if there are none.
fn transformer(b: &mut Builder, name: &str, width: i64, depth: usize, plan: &UNetPlan) {
    if depth == 0 {
        return;
    }
    let projection: &[i64] = if plan.linear { &[width, width] } else { &[width, width, 1, 1] };
    b.below(name, |b| {
        b.norm("norm", width);
        b.dense("proj_in", projection, PLAIN);
        b.dense("proj_out", projection, BRANCH);
        for block in 0..depth {
            b.below(&format!("transformer_blocks.{block}"), |b| transformer_block(b, width, plan.context));
        }
    });
}

fn transformer_block(b: &mut Builder, width: i64, context: i64) {
    for (name, inputs) in [("attn1", width), ("attn2", context)] {
        b.matrix(&format!("{name}.to_q"), &[width, width], PLAIN);
        b.matrix(&format!("{name}.to_k"), &[width, inputs], PLAIN);
        b.matrix(&format!("{name}.to_v"), &[width, inputs], PLAIN);
        b.dense(&format!("{name}.to_out.0"), &[width, width], BRANCH);
    }
    b.dense("ff.net.0.proj", &[8 * width, width], PLAIN);
    b.dense("ff.net.2", &[width, 4 * width], BRANCH);
    for name in ["norm1", "norm2", "norm3"] {
        b.norm(name, width);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::extra_conds::CHANNELS;
    use crate::diffusion::network::Inputs;
    use crate::diffusion::patch::Call;
    use crate::diffusion::run_entry::RunEntry;
    use crate::files::weights::Weights;
    use crate::models::clip_text::ClipText;
    use crate::models::families::recognise;
    use crate::models::reference::checkpoint;
    use crate::models::unet::UNet;
    use crate::models::vae::Vae;
    use crate::ops::numerics::Numerics;
    use crate::text::encode::{ClipNetwork, HiddenLayer};
    use crate::values::Entry;
    use crate::values::extras::POOLED;

    #[test]
    fn the_real_size_has_the_real_number_of_parameters() {
        let count = |size| Layout::Sd1.tensors(size).iter().map(|t| t.shape.iter().product::<i64>()).sum::<i64>();
        // UNet 859,520,964, text encoder 123,060,480, autoencoder 83,653,863.
        assert_eq!(count(Size::Real), 859_520_964 + 123_060_480 + 83_653_863);
        let sdxl = Layout::Sdxl.tensors(Size::Real);
        let of = |part: &str| {
            let tensors = sdxl.iter().filter(|t| t.name.starts_with(part));
            tensors.map(|t| t.shape.iter().product::<i64>()).sum::<i64>()
        };
        assert_eq!(of("model.diffusion_model"), 2_567_463_684);
        assert_eq!(of("conditioner.embedders.0"), 123_060_480);
        assert_eq!(of("conditioner.embedders.1"), 694_659_840);
        assert_eq!(
            Layout::Sd1.tensors(Size::Tiny).iter().filter(|t| t.name.starts_with("first_stage_model")).count(),
            248
        );
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn names_and_shapes_are_those_of_the_reference_checkpoint() {
        for (name, layout) in
            [("sd15-tiny-random", Layout::Sd1), ("sd15-tiny-random-inpainting", Layout::Sd1Inpainting)]
        {
            let reference = checkpoint(name);
            let ours = layout.tensors(Size::Tiny);
            let names: Vec<&str> = ours.iter().map(|t| t.name.as_str()).collect();
            assert_eq!(names, reference.names());
            for tensor in &ours {
                assert_eq!(tensor.shape, reference.shape(&tensor.name).unwrap(), "{}", tensor.name);
            }
        }
    }

    #[test]
    fn a_seed_decides_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, layout, seed| {
            let path = dir.path().join(name);
            write_random_checkpoint(&path, layout, Size::Tiny, seed).unwrap();
            fs_err::read(path).unwrap()
        };
        let first = write("a.safetensors", Layout::Sd1, 1);
        assert!(first == write("b.safetensors", Layout::Sd1, 1));
        assert!(first != write("c.safetensors", Layout::Sd1, 2));
        assert!(first != write("d.safetensors", Layout::Sd1InstructPix2Pix, 1));
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 4, "something was left aside");
    }

    #[test]
    fn every_layout_is_recognised_and_its_outputs_vary() {
        let _guard = tch::no_grad_guard();
        let numerics = Numerics::cpu();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.safetensors");
        let layouts = [
            (Layout::Sd1, "Stable Diffusion 1.x", 64),
            (Layout::Sd1Inpainting, "Stable Diffusion 1.x", 64),
            (Layout::Sd1InstructPix2Pix, "Stable Diffusion 1.x", 64),
            (Layout::Sd2, "Stable Diffusion 2.x", 64),
            (Layout::Sdxl, "SDXL", 32),
            (Layout::SdxlInpainting, "SDXL", 32),
            (Layout::SdxlRefiner, "SDXL refiner", 32),
        ];
        let latent = randn(1, &[1, 4, 16, 16]);
        let varies = |tensor: &Tensor, low: f64, high: f64| {
            let std = tensor.std(false).double_value(&[]);
            assert!(std > low && std < high, "{std}");
        };
        for (layout, family, pooled) in layouts {
            write_random_checkpoint(&path, layout, Size::Tiny, 7).unwrap();
            let contents = recognise(&Weights::open(&path).unwrap()).unwrap();
            let part = contents.model().unwrap();
            assert_eq!(part.family.name, family, "{layout:?}");
            let mut entry = Entry::new(randn(2, &[1, 77, UNet::context_width_of(&part.weights).unwrap()]));
            entry.extras.set(POOLED, randn(3, &[1, pooled]));
            let prompt = RunEntry {
                entry: &entry,
                list: "positive",
                latent: &latent,
                noise_mask: None,
                latent_format: part.latent_format,
            };
            let extra = (part.family.extra_conds)(part, &prompt).unwrap();
            let x = match extra.get(CHANNELS) {
                Some(channels) => Tensor::cat(&[&latent, channels], 1),
                None => latent.shallow_clone(),
            };
            let network = (part.family.load)(&part.weights, &numerics).unwrap();
            let (timestep, call) = (Tensor::from_slice(&[500f32]), Call::plain());
            let inputs = Inputs { x: &x, timestep: &timestep, context: &entry.cond, extra: &extra, call: &call };
            varies(&network.predict(&inputs).unwrap(), 0.1, 10.0);
            for encoder in contents.text.unwrap().encoders {
                let clip = ClipText::load(&encoder.unwrap(), &numerics).unwrap();
                let embedded = clip.embed(&Tensor::from_slice(&[49406i64; 77])).unwrap().unsqueeze(0);
                varies(&clip.forward(&embedded, HiddenLayer::Last).unwrap().0, 0.1, 10.0);
            }
            let picture = Vae::load(&contents.vae.unwrap(), &numerics).unwrap().decode(&latent).unwrap();
            varies(&picture, 0.02, 0.4);
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let message = write_random_checkpoint(Path::new("/nowhere/x.safetensors"), Layout::Sd1, Size::Tiny, 0)
            .unwrap_err()
            .to_string();
        assert!(message.contains("/nowhere"), "{message}");
    }
}
