//! ControlNets of transformers against ComfyUI 0.8.0's on a CPU: mean, spread and six values of what they add, with small weights that are
//! drawn here.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::diffusion::control::ControlInputs;
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds, VECTOR};
use crate::files::tensor_file;
use crate::models::flux::GUIDANCE;
use crate::models::reference::figures_within;
use crate::ops::noise::randn;
use crate::ops::numerics::Numerics;

/// The tensors of a file, each drawn with its number as the seed.
#[derive(Default)]
struct Net {
    tensors: Vec<(String, Tensor)>,
    drawn: u64,
}

impl Net {
    fn draw(&mut self, shape: &[i64]) -> Tensor {
        self.drawn += 1;
        randn(self.drawn, shape)
    }

    fn tensor(&mut self, name: &str, shape: &[i64]) {
        let tensor = self.draw(shape);
        self.tensors.push((name.to_owned(), tensor));
    }

    /// A matrix or, with `columns` of several dimensions, the kernel of a convolution, and a bias.
    fn layer(&mut self, name: &str, rows: i64, columns: &[i64]) {
        let gain = if columns.len() == 1 { 0.9 } else { 1.4 };
        let scale = gain / (columns.iter().product::<i64>() as f64).sqrt();
        let weight = self.draw(&[&[rows], columns].concat()) * scale;
        let bias = self.draw(&[rows]) * 0.05;
        self.tensors.extend([(format!("{name}.weight"), weight), (format!("{name}.bias"), bias)]);
    }

    fn layers(&mut self, at: &str, names: &[&str], rows: i64, columns: i64) {
        names.iter().for_each(|name| self.layer(&format!("{at}{name}"), rows, &[columns]));
    }

    fn scales(&mut self, at: &str, names: &[&str], width: i64) {
        for name in names {
            let scale = self.draw(&[width]) * 0.1 + 1.0;
            self.tensors.push((format!("{at}{name}"), scale));
        }
    }

    /// What embeds the noise level and its like, in the names of diffusers.
    fn embedders(&mut self, width: i64, inputs: &[(&str, i64)]) {
        for (name, inputs) in inputs {
            let at = format!("time_text_embed.{name}_embedder.linear_");
            self.layer(&format!("{at}1"), width, &[*inputs]);
            self.layer(&format!("{at}2"), width, &[width]);
        }
    }

    fn feed(&mut self, at: &str, width: i64, [picture, text]: [&str; 2]) {
        let [up, down] = ["net.0.proj", "net.2"].map(|layer| [picture, text].map(|part| format!("{at}{part}.{layer}")));
        up.iter().for_each(|name| self.layer(name, 4 * width, &[width]));
        down.iter().for_each(|name| self.layer(name, width, &[4 * width]));
    }

    fn opened(&self) -> Weights {
        let path = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap().into_temp_path();
        tensor_file::save(&path, self.tensors.iter().map(|(name, tensor)| (&**name, tensor))).unwrap();
        // The file is mapped, and outlives its name.
        Weights::open(&path).unwrap()
    }
}

const ATTENTION: [&str; 8] =
    ["to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out"];
const NORMS: [&str; 4] = ["norm_q.weight", "norm_k.weight", "norm_added_q.weight", "norm_added_k.weight"];

/// Mean, spread and six values.
type Figures = (f64, f64, [f64; 6]);

struct Case {
    net: Net,
    kind: Kind,
    /// The widths of prompts and of their pooled output.
    text: [i64; 2],
    hint: Tensor,
    types: &'static [i64],
    /// Of an entry of what is added, behind which block of either list.
    input: Vec<(usize, Figures)>,
    output: Vec<(usize, Figures)>,
    /// How long the lists are.
    lengths: [usize; 2],
}

impl Case {
    fn compare(&self) {
        let _guard = tch::no_grad_guard();
        let file = ControlFile::recognise(&self.net.opened()).unwrap();
        assert_eq!(file.kind, self.kind);
        let (own, numerics) = (&file.weights, &Numerics::cpu());
        let network: Box<dyn ControlNetwork> = match self.kind {
            Kind::Sd3 => Box::new(Sd3Control::load(own, numerics).unwrap()),
            Kind::Sd35 => Box::new(Sd35Control::load(own, &steered_sd35().opened(), numerics).unwrap()),
            Kind::QwenImage => Box::new(QwenControl::load(own, numerics).unwrap()),
            _ => Box::new(FluxControl::load(own, numerics).unwrap()),
        };
        let is_sd3 = matches!(self.kind, Kind::Sd3 | Kind::Sd35);
        let levels = Tensor::from_slice(&if is_sd3 { [900f32, 300.0] } else { [0.9, 0.3] });
        let shape: &[i64] = if self.kind == Kind::QwenImage { &[2, 16, 1, 8, 6] } else { &[2, 16, 8, 6] };
        let [text, pooled] = self.text;
        let rows = |tensor: Tensor| ExtraCond::Rows(tensor);
        let extra = match pooled {
            0 => ExtraConds::default(),
            width => ExtraConds::default()
                .with(VECTOR, rows(randn(11, &[2, width])))
                .with(GUIDANCE, rows(Tensor::from_slice(&[3.5f32, 3.5]))),
        };
        let inputs = ControlInputs {
            x: &randn(3, shape),
            timestep: &levels,
            context: &randn(7, &[2, 5, text]),
            extra: &extra,
            hint: &self.hint,
            types: self.types,
        };
        let made = network.residuals(&inputs).unwrap();
        assert_eq!([made.input.len(), made.output.len()], self.lengths);
        assert!(made.middle.is_empty());
        for (list, wanted) in [(&made.input, &self.input), (&made.output, &self.output)] {
            for (block, (mean, std, values)) in wanted {
                figures_within(1e-4, list[*block].as_ref().unwrap(), *mean, *std, values);
            }
        }
    }
}

/// The hint of a network that takes latents; with 17 channels there is a mask.
fn latent(channels: i64) -> Tensor {
    randn(5, &[1, channels, 8, 6])
}

fn flux_pictures(is_mistoline: bool) -> Net {
    let (mut net, width) = (Net::default(), 64);
    net.layers("", &["img_in", "txt_in", "pos_embed_input"], width, 64);
    for (name, inputs) in [("time_in", 256), ("vector_in", 16), ("guidance_in", 256)] {
        net.layer(&format!("{name}.in_layer"), width, &[inputs]);
        net.layer(&format!("{name}.out_layer"), width, &[width]);
    }
    for i in 0..2 {
        for side in ["img", "txt"] {
            let at = format!("double_blocks.{i}.{side}_");
            net.layers(&at, &["mod.lin"], 6 * width, width);
            net.layers(&at, &["attn.qkv"], 3 * width, width);
            net.layers(&at, &["attn.proj"], width, width);
            net.layers(&at, &["mlp.0"], 4 * width, width);
            net.layers(&at, &["mlp.2"], width, 4 * width);
            net.scales(&format!("{at}attn.norm."), &["query_norm.scale", "key_norm.scale"], 32);
        }
        let out = if is_mistoline { ".linear" } else { "" };
        net.layer(&format!("controlnet_blocks.{i}{out}"), width, &[width]);
    }
    let (hint, count) = if is_mistoline { ("input_cond_block.encoder", 10) } else { ("input_hint_block", 8) };
    net.layer(&format!("{hint}.0"), 16, &[3, 3, 3]);
    for i in 1..count {
        let side = if is_mistoline && (i == 1 || i == 8) { 1 } else { 3 };
        net.layer(&format!("{hint}.{}", 2 * i), 16, &[16, side, side]);
    }
    if is_mistoline {
        let at = "single_blocks.0.";
        net.layers(at, &["modulation.lin"], 3 * width, width);
        net.layers(at, &["linear1"], 7 * width, width);
        net.layers(at, &["linear2"], width, 5 * width);
        net.scales(&format!("{at}norm."), &["query_norm.scale", "key_norm.scale"], 32);
        net.layer("single_controlnet_blocks.0.linear", width, &[width]);
    }
    net
}

/// With blocks of one kind alone there are no kinds of pictures.
fn flux_latents(single: usize, channels: i64) -> Net {
    let (mut net, width) = (Net::default(), 64);
    net.layers("", &["x_embedder", "context_embedder"], width, 64);
    net.layer("controlnet_x_embedder", width, &[4 * channels]);
    net.embedders(width, &[("timestep", 256), ("text", 16), ("guidance", 256)]);
    for i in 0..2 {
        let at = format!("transformer_blocks.{i}.");
        net.layers(&format!("{at}attn."), &ATTENTION, width, width);
        net.scales(&format!("{at}attn."), &NORMS, 32);
        net.layers(&at, &["norm1.linear", "norm1_context.linear"], 6 * width, width);
        net.feed(&at, width, ["ff", "ff_context"]);
        net.layer(&format!("controlnet_blocks.{i}"), width, &[width]);
    }
    for i in 0..single {
        let at = format!("single_transformer_blocks.{i}.");
        net.layers(&format!("{at}attn."), &ATTENTION[..3], width, width);
        net.scales(&format!("{at}attn."), &NORMS[..2], 32);
        net.layers(&at, &["norm.linear"], 3 * width, width);
        net.layers(&at, &["proj_mlp"], 4 * width, width);
        net.layers(&at, &["proj_out"], width, 5 * width);
        net.layer(&format!("controlnet_single_blocks.{i}"), width, &[width]);
    }
    if single > 0 {
        net.tensor("controlnet_mode_embedder.weight", &[10, width]);
    }
    net
}

#[test]
fn networks_of_flux_agree_with_the_reference() {
    let picture = || randn(5, &[1, 3, 64, 48]).sigmoid();
    let case = |net: Net, kind: Kind, hint: Tensor, types: &'static [i64], input, output: Vec<(usize, Figures)>| {
        let lengths = [19, if output.is_empty() { 0 } else { 38 }];
        Case { net, kind, text: [64, 16], hint, types, input, output, lengths }
    };
    let xlabs = vec![
        (18, (-0.0155864023, 0.864865412, [-1.7217928, 0.4225083, -0.90859634, 0.54777223, -1.2657584, 0.1491842])),
        (1, (-0.0503062114, 0.920301291, [0.54711658, -0.59203643, 0.39711237, 1.764684, 0.33576849, 0.62147528])),
    ];
    case(flux_pictures(false), Kind::FluxPictures, picture(), &[], xlabs, vec![]).compare();
    let mistoline = [
        (1, (0.155695171, 0.508496079, [0.4109441, -0.19412701, 0.28122577, 1.5674134, 0.16599707, 0.31686392])),
        (37, (0.153343355, 0.500934231, [-0.13183028, 0.14189631, -0.001541281, -0.21246381, 0.55411899, -0.03732799])),
    ]
    .map(|figures| vec![figures]);
    let [input, output] = mistoline;
    case(flux_pictures(true), Kind::FluxPictures, picture(), &[], input, output).compare();
    let input = vec![
        (9, (0.00423499883, 1.17645803, [-0.39049801, -1.6781901, -1.1500697, 0.70268232, 1.0373627, 0.67048246])),
        (10, (0.0285419897, 1.15340429, [1.4189202, -0.22566891, -0.90699393, 0.82732153, -0.25316641, 1.5869527])),
    ];
    let output = vec![
        (18, (-0.0100759586, 1.17017671, [-0.86391282, -0.27926695, -0.56260163, -1.0616665, 2.844147, -2.023375])),
        (19, (0.0369622711, 1.21399172, [-2.3713117, -0.33296412, -0.63055992, -0.52018553, 0.81327635, 0.45122957])),
    ];
    case(flux_latents(2, 16), Kind::FluxLatents, latent(16), &[7], input, output).compare();
    let input =
        vec![(18, (0.0258677525, 1.15528764, [1.4107456, -0.2517862, -0.93098611, 0.82048947, -0.26190421, 1.568496]))];
    let output = vec![(
        37,
        (0.0349225775, 1.21214477, [-2.3847806, -0.30034763, -0.61687136, -0.54372293, 0.83406425, 0.46279964]),
    )];
    case(flux_latents(2, 16), Kind::FluxLatents, latent(16), &[], input, output).compare();
    let input =
        vec![(18, (0.0268746979, 1.22454665, [0.66638196, 0.91846853, -1.2327435, 0.44826064, 0.90970725, 1.6149518]))];
    case(flux_latents(0, 17), Kind::FluxLatents, latent(17), &[], input, vec![]).compare();
}

/// `has_table`: positions are read, not computed.
fn sd3(channels: i64, has_table: bool) -> Net {
    let (mut net, width) = (Net::default(), 128);
    net.layer("pos_embed.proj", width, &[16, 2, 2]);
    net.layer("pos_embed_input.proj", width, &[channels, 2, 2]);
    net.layer("context_embedder", width, &[64]);
    net.embedders(width, &[("timestep", 256), ("text", 48)]);
    let at = "transformer_blocks.0.";
    net.layers(&format!("{at}attn."), &ATTENTION, width, width);
    net.layers(at, &["norm1.linear", "norm1_context.linear"], 6 * width, width);
    net.feed(at, width, ["ff", "ff_context"]);
    net.layer("controlnet_blocks.0", width, &[width]);
    if has_table {
        net.tensor("pos_embed.pos_embed", &[1, 64, width]);
    }
    net
}

/// `apart`: its blocks do not follow each other.
fn sd35(apart: bool) -> Net {
    let (mut net, width) = (Net::default(), 128);
    net.layer("pos_embed_input.proj", width, &[16, 2, 2]);
    if apart {
        net.layer("pos_embed.proj", width, &[16, 2, 2]);
    }
    net.embedders(width, &[("timestep", 256), ("text", if apart { width } else { 2048 })]);
    for i in 0..2 {
        let at = format!("transformer_blocks.{i}.");
        net.layers(&at, &["adaLN_modulation.1"], 6 * width, width);
        net.layers(&at, &["attn.qkv"], 3 * width, width);
        net.layers(&at, &["attn.proj"], width, width);
        net.layers(&at, &["mlp.fc1"], 4 * width, width);
        net.layers(&at, &["mlp.fc2"], width, 4 * width);
        net.layer(&format!("controlnet_blocks.{i}"), width, &[width]);
    }
    net
}

/// What such networks use of the model that they steer.
fn steered_sd35() -> Net {
    let mut net = Net { drawn: 1000, ..Net::default() };
    net.layer("x_embedder.proj", 128, &[16, 2, 2]);
    net.layer("y_embedder.mlp.0", 128, &[2048]);
    net.layer("y_embedder.mlp.2", 128, &[128]);
    net
}

#[test]
fn networks_of_stable_diffusion_3_agree_with_the_reference() {
    let case = |net: Net, kind: Kind, pooled: i64, hint: Tensor, output: Vec<(usize, Figures)>| {
        let (text, lengths) = ([64, pooled], [0, output.len()]);
        Case { net, kind, text, hint, types: &[], input: vec![], output, lengths }
    };
    let masked = (-0.00733041499, 1.97111682, [-1.061143, -1.0287517, -3.7679996, 0.33436728, 0.37922534, 0.49636626]);
    case(sd3(17, true), Kind::Sd3, 48, latent(17), vec![(0, masked)]).compare();
    let computed =
        (0.0103134824, 1.86698443, [0.29822999, -0.86094952, -2.1283221, 1.7943282, -2.3316147, -0.51352525]);
    case(sd3(16, false), Kind::Sd3, 48, latent(16), vec![(0, computed)]).compare();
    let apart = vec![
        (0, (-0.0064360097, 1.74724403, [-1.5883586, 3.5785263, -2.5953541, -1.4823288, -1.2846266, 2.1691234])),
        (1, (0.0455044221, 1.75720148, [-1.1552023, 3.5441544, 3.0188828, 0.41592205, -0.22484961, -3.4923811])),
    ];
    case(sd35(true), Kind::Sd35, 2048, latent(16), apart).compare();
    let chained = vec![
        (0, (0.0735241678, 1.83650039, [1.1663408, -0.98353732, 0.88185656, 0.40443492, -0.082928896, 1.9451908])),
        (1, (0.00160275877, 1.88692462, [-0.015105844, 1.4291644, -0.56059498, 2.2218394, -1.1121757, 2.9833143])),
    ];
    case(sd35(false), Kind::Sd35, 2048, latent(16), chained).compare();
}

#[test]
fn a_network_of_qwen_image_agrees_with_the_reference() {
    let (mut net, width) = (Net::default(), 64);
    net.layer("img_in", width, &[64]);
    net.layer("txt_in", width, &[12]);
    net.scales("", &["txt_norm.weight"], 12);
    net.layer("controlnet_x_embedder", width, &[17 * 4]);
    net.embedders(width, &[("timestep", 256)]);
    for i in 0..2 {
        let at = format!("transformer_blocks.{i}.");
        net.layers(&format!("{at}attn."), &ATTENTION, width, width);
        net.scales(&format!("{at}attn."), &NORMS, 32);
        net.layers(&at, &["img_mod.1", "txt_mod.1"], 6 * width, width);
        net.feed(&at, width, ["img_mlp", "txt_mlp"]);
        net.layer(&format!("controlnet_blocks.{i}"), width, &[width]);
    }
    let input = vec![
        (29, (0.0176812623, 1.12059401, [0.21421382, 0.39157808, -1.5064118, 0.56223899, 2.652899, 0.33152846])),
        (30, (0.0536735004, 1.1268436, [-0.13942429, -0.68648124, -0.85484761, -0.17700617, -0.86362159, 0.84870952])),
    ];
    let hint = latent(17).unsqueeze(2);
    let kind = Kind::QwenImage;
    Case { net, kind, text: [12, 0], hint, types: &[], input, output: vec![], lengths: [60, 0] }.compare();
}
