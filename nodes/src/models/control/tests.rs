#![allow(clippy::unwrap_used)]
use std::path::{Path, PathBuf};

use tch::{Device, Kind as Elements};

use super::*;
use crate::diffusion::control::{ControlInputs, Residuals};
use crate::diffusion::extra_conds::{ExtraCond, ExtraConds, VECTOR};
use crate::models::families::recognise;
use crate::models::random::{Layout, Size, Steering, write_random_checkpoint};
use crate::models::reference::{figures, figures_within, file};
use crate::ops::noise::randn;
use crate::ops::numerics::Numerics;

/// A random network that steers.
fn network(directory: &Path, steering: Steering) -> ControlFile {
    let path = directory.join(format!("{steering:?}.safetensors"));
    write_random_checkpoint(&path, Layout::Steering(steering), Size::Tiny, 9, true).unwrap();
    ControlFile::recognise(&Weights::open(path).unwrap()).unwrap()
}

/// A random model to be steered.
fn model(directory: &Path, layout: Layout) -> ModelPart {
    let path = directory.join(format!("{layout:?}.safetensors"));
    write_random_checkpoint(&path, layout, Size::Tiny, 5, true).unwrap();
    recognise(&Weights::open(path).unwrap()).unwrap().model().unwrap().clone()
}

/// What a network adds in a call that the reference was given, too.
fn residuals(file: &ControlFile, model: &ModelPart, types: &[i64]) -> Result<Residuals> {
    let _guard = tch::no_grad_guard();
    let hint = randn(5, &[1, 3, 128, 96]).sigmoid();
    let steerer = file.ready(&Networks::with_limit(Numerics::cpu(), 1 << 30), model)?;
    let network = match steerer {
        Steerer::Adapter(adapter) => return adapter.residuals(&hint),
        Steerer::Control(network) => network,
    };
    let width = UNet::context_width_of(&model.weights)?;
    let (x, timestep, context) =
        (randn(3, &[2, 4, 16, 12]), Tensor::from_slice(&[999f32, 37.0]), randn(7, &[2, 77, width]));
    let extra = match model.weights.dim("label_emb.0.0.weight", 1) {
        Ok(columns) => ExtraConds::default().with(VECTOR, ExtraCond::Rows(randn(11, &[2, columns]))),
        Err(_) => ExtraConds::default(),
    };
    network.residuals(&ControlInputs {
        x: &x,
        timestep: &timestep,
        context: &context,
        extra: &extra,
        hint: &hint,
        types,
    })
}

/// How near networks of random weights are: these are drawn here, and are rounded to half precision otherwise on some CPUs (by 1.1e-5 of what
/// comes out, measured between AVX2 and SSE4).
const OF_RANDOM: f64 = 1e-4;

/// Mean, spread and six values.
type Figures = (f64, f64, [f64; 6]);

/// Figures: the reference's networks, called with these inputs on files of the same seeds, on a CPU.
#[test]
fn networks_of_all_layouts_agree_with_the_reference() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (sd1, sd2, sdxl) =
        (model(directory, Layout::Sd1), model(directory, Layout::Sd2), model(directory, Layout::Sdxl));
    let cases: [(Steering, &ModelPart, &[i64], Figures, Figures); 8] = [
        (
            Steering::Sd1,
            &sd1,
            &[],
            (0.00602749574, 0.559870528, [0.56563699, 0.21272089, 0.25294814, -0.72810096, 0.28199369, 0.91149372]),
            (-0.00370817942, 0.457042896, [-0.39745834, -0.34755722, 0.27222541, 0.17636809, -0.56595683, -0.40803877]),
        ),
        (
            Steering::Sd1Diffusers,
            &sd1,
            &[],
            (0.0077103728, 0.516258711, [-0.2834371, 0.12766971, 1.0750837, 0.30188823, -0.049521744, 0.82313246]),
            (0.00317437827, 0.433985852, [0.10334948, 0.44986171, -0.25803408, -0.34595177, -0.03648112, 0.0010012165]),
        ),
        (
            Steering::Sd2,
            &sd2,
            &[],
            (0.00684585394, 0.559113915, [0.61020052, 0.23245054, 0.20604196, -0.70137966, 0.25100839, 0.81782305]),
            (-0.00569363025, 0.455373896, [-0.39359954, -0.33843654, 0.29011711, 0.16713881, -0.61224616, -0.28151333]),
        ),
        (
            Steering::Sdxl,
            &sdxl,
            &[],
            (-0.0304165687, 0.833438539, [-0.61857915, -0.8072167, 0.52004468, 0.089059211, 0.71205485, -0.63592178]),
            (0.00825750394, 0.745167852, [0.10614681, 0.47387761, -0.45894575, -0.039605252, 0.65270859, 0.57480878]),
        ),
        (
            Steering::Union,
            &sdxl,
            &[],
            (0.00540997939, 0.765596633, [-0.13753706, -0.11562978, -0.154615, 0.54937708, 0.59083062, -0.72916991]),
            (0.0329885526, 0.697512864, [-0.041753583, 0.52127236, -1.6315814, 0.48588175, 0.78608483, 0.30216226]),
        ),
        (
            Steering::Union,
            &sdxl,
            &[1],
            (0.00849863286, 0.802774388, [-0.11987214, 0.079004139, 0.24191983, 0.47526035, 0.46016103, -1.1418742]),
            (0.0424072477, 0.749224772, [0.83435583, 1.5354373, -1.5734886, 1.3600376, 0.82847887, 0.2619203]),
        ),
        (
            Steering::LoraSd1,
            &sd1,
            &[],
            (0.0263152265, 0.713235502, [0.42564106, -0.22916427, 0.51198745, 1.2908889, -0.48008236, -0.20788129]),
            (-0.0385827456, 0.689353902, [0.75527757, -0.38307956, -0.61025488, -0.26134992, -0.23574647, -0.28983817]),
        ),
        (
            Steering::LoraSdxl,
            &sdxl,
            &[],
            (-0.0215927874, 1.1927932, [-0.72163731, -0.82744342, -2.4956896, 1.1319673, -2.1846163, 0.45668077]),
            (0.0101051027, 1.20227726, [-0.56595325, 1.0815204, 2.3179941, 0.34426999, -2.2353036, -0.96392918]),
        ),
    ];
    for (steering, model, types, middle, last) in cases {
        let made = residuals(&network(directory, steering), model, types).unwrap();
        let blocks = model.weights.at("input_blocks").children();
        assert_eq!((made.input.len(), made.middle.len(), made.output.len()), (0, 1, blocks), "{steering:?}");
        for (tensor, (mean, std, values)) in [(&made.middle[0], middle), (&made.output[blocks - 1], last)] {
            figures_within(OF_RANDOM, tensor.as_ref().unwrap(), mean, std, &values);
        }
    }
}

#[test]
fn adapters_agree_with_the_reference() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (sd1, sdxl) = (model(directory, Layout::Sd1), model(directory, Layout::Sdxl));
    let cases: [(Steering, &ModelPart, [usize; 3], Figures); 3] = [
        (
            Steering::Adapter,
            &sd1,
            [12, 0, 9],
            (0.0891318486, 0.513463583, [0.19954868, 0.65449983, 0.34696549, -0.23233783, -0.48552054, -0.20619383]),
        ),
        (
            Steering::AdapterLight,
            &sd1,
            [12, 0, 9],
            (-0.0619006186, 0.588931305, [0.68574762, 0.86348212, -0.33875418, -0.12674162, -0.3208617, -0.25846702]),
        ),
        (
            Steering::AdapterSdxl,
            &sdxl,
            [10, 1, 6],
            (0.0315214226, 0.477784942, [0.2354486, 0.53224212, -0.17402118, -0.14448997, 0.27648276, 0.030919373]),
        ),
    ];
    for (steering, model, [inputs, middles, at], (mean, std, values)) in cases {
        let made = residuals(&network(directory, steering), model, &[]).unwrap();
        assert_eq!((made.input.len(), made.middle.len(), made.output.len()), (inputs, middles, 0), "{steering:?}");
        figures_within(OF_RANDOM, made.input[at].as_ref().unwrap(), mean, std, &values);
        assert!(made.input[at + 1..].iter().all(Option::is_none));
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn the_shared_network_agrees_with_the_reference() {
    let own = ControlFile::recognise(&file("base/models/controlnet/tiny-controlnet.safetensors")).unwrap();
    let model = recognise(&crate::models::reference::checkpoint("sd15-tiny-random")).unwrap();
    let made = residuals(&own, model.model().unwrap(), &[]).unwrap();
    let values = [0.5489108, -0.09655942, 0.42946646, 0.52672625, -0.15598419, 0.38502201];
    figures(made.middle[0].as_ref().unwrap(), 0.00122621843, 0.415639642, &values);
    let values = [0.057810158, 0.21023452, 0.19172055, -0.25634614, -0.04260581, 0.21568847];
    figures(made.output[11].as_ref().unwrap(), 0.00772946037, 0.316489979, &values);
}

/// A difference has the model's tensors taken off, so that it gives, with the model, what the whole gives.
#[test]
fn a_difference_is_completed_by_its_model() {
    let directory = tempfile::tempdir().unwrap();
    let (whole, model) = (network(directory.path(), Steering::Sd1Difference), model(directory.path(), Layout::Sd1));
    assert_eq!(whole.kind, Kind::Difference);
    let plain = whole.weights.clone();
    let completed = whole.completed(&model).unwrap();
    assert_eq!(completed.kind, Kind::UNet);
    let name = "input_blocks.0.0.weight";
    let read = |weights: &Weights| weights.tensor(name, &weights.shape(name).unwrap()).unwrap();
    let sum =
        (read(&plain).to_kind(Elements::Half) + read(&model.weights).to_kind(Elements::Half)).to_kind(Elements::Float);
    assert_eq!(read(&completed.weights), sum);
    let own = "zero_convs.0.0.weight";
    let shape = plain.shape(own).unwrap();
    assert_eq!(plain.tensor(own, &shape).unwrap(), completed.weights.tensor(own, &shape).unwrap());
}

/// A change that cannot be made is left out with a warning; one of a file that is another by now is an error.
#[test]
fn files_that_are_changed_while_they_are_in_use_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let model = model(directory, Layout::Sd1);
    let (low_rank, difference) = (network(directory, Steering::LoraSd1), network(directory, Steering::Sd1Difference));
    let over = lora::over(&model.weights, &low_rank.weights).unwrap();
    let completed = lora::completed(&difference.weights, &model.weights).unwrap();
    let name = "input_blocks.0.0.weight";
    for (changed, of) in [(over, &low_rank.weights), (completed, &model.weights)] {
        let read = || changed.tensor(name, &changed.shape(name)?);
        assert!(read().is_ok());
        std::fs::File::options().write(true).open(of.path()).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        refused(read(), &[of.path().to_str().unwrap(), "was changed while it was in use"]);
    }
}

#[track_caller]
fn refused(result: Result<impl Sized>, words: &[&str]) {
    let message = format!("{:#}", result.err().unwrap());
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}

#[test]
fn a_network_for_another_model_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (sd1, sdxl) = (model(directory, Layout::Sd1), model(directory, Layout::Sdxl));
    let cases = [
        (Steering::Sd1, &sdxl, "the ControlNet"),
        (Steering::Sdxl, &sd1, "the ControlNet"),
        (Steering::Adapter, &sdxl, "the T2I-Adapter"),
        (Steering::AdapterSdxl, &sd1, "the T2I-Adapter"),
        (Steering::LoraSdxl, &sd1, "the control-LoRA"),
    ];
    for (steering, model, what) in cases {
        let name = format!("{steering:?}.safetensors");
        refused(residuals(&network(directory, steering), model, &[]), &[what, &name, "use one made for"]);
    }
    refused(
        residuals(&network(directory, Steering::Union), &sdxl, &[7]),
        &["'repaint' (7)", "6 that the network knows"],
    );
    let difference = network(directory, Steering::Sd1Difference);
    refused(difference.completed(&sdxl), &["is the difference from another model", "connect the model"]);
}

/// Flux's states and Qwen-Image's are of one width, as those of Stable Diffusion 3 and PixArt are here.
#[test]
fn a_network_of_other_blocks_of_the_same_width_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let file = |name: &str, layers: &[(&str, i64)]| {
        let path = directory.join(format!("{name}.safetensors"));
        let tensors: Vec<_> = layers
            .iter()
            .map(|(name, rows)| (*name, Tensor::zeros([*rows, 1], (Elements::Float, Device::Cpu))))
            .collect();
        crate::files::tensor_file::save(&path, tensors.iter().map(|(name, tensor)| (*name, tensor))).unwrap();
        Weights::open(path).unwrap()
    };
    let part = model(directory, Layout::Sd1);
    let model = |name: &str, layers: &[(&str, i64)]| ModelPart { weights: file(name, layers), ..part.clone() };
    let flux = model("flux", &[("img_in.weight", 32), ("double_blocks.0.img_attn.qkv.weight", 96)]);
    let qwen = model("qwen", &[("img_in.weight", 32), (OF_QWEN_IMAGE, 128)]);
    let sd3 = model("sd3", &[("x_embedder.proj.weight", 32), (OF_SD3, 96)]);
    let pixart = model("pixart", &[("x_embedder.proj.weight", 32)]);
    let none = model("none", &[(OF_SD3, 96)]);
    let own = file("own", &[("img_in.weight", 32), ("x_embedder.proj.weight", 32), ("y_embedder.mlp.0.weight", 32)]);
    let narrow = file("narrow", &[("img_in.weight", 16)]);
    let takes = |kind: Kind, weights: &Weights| {
        let fits = |model| ControlFile { kind, weights: weights.clone() }.fits(model).is_ok();
        [&flux, &qwen, &sd3, &pixart, &none].map(fits)
    };
    for kind in [Kind::FluxPictures, Kind::FluxLatents] {
        assert_eq!(takes(kind, &own), [true, false, false, false, false], "{kind:?}");
    }
    assert_eq!(takes(Kind::QwenImage, &own), [false, true, false, false, false]);
    for kind in [Kind::Sd3, Kind::Sd35] {
        assert_eq!(takes(kind, &own), [false, false, true, false, false], "{kind:?}");
    }
    for kind in [Kind::FluxLatents, Kind::QwenImage, Kind::Sd3, Kind::Sd35] {
        assert_eq!(takes(kind, &narrow), [false; 5], "{kind:?} lacks its layer, or is narrower");
    }
}

#[test]
fn pictures_with_other_channels_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (file, model) = (network(directory.path(), Steering::Adapter), model(directory.path(), Layout::Sd1));
    let Steerer::Adapter(adapter) = file.ready(&Networks::with_limit(Numerics::cpu(), 1 << 30), &model).unwrap() else {
        panic!("it is no adapter")
    };
    let grey = Tensor::zeros([1, 1, 64, 64], (Elements::Float, Device::Cpu));
    refused(adapter.residuals(&grey), &["Adapter.safetensors", "has 1 channels and the network takes 3"]);
}

#[test]
fn files_of_other_kinds_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let checkpoint = model(directory.path(), Layout::Sd1).weights.whole();
    refused(ControlFile::recognise(&checkpoint), &["Sd1.safetensors", "load it with CheckpointLoaderSimple"]);
    let write = |name: &str, tensors: &[&str]| {
        let path: PathBuf = directory.path().join(name);
        let one = Tensor::zeros([1], (Elements::Float, Device::Cpu));
        crate::files::tensor_file::save(&path, tensors.iter().map(|name| (*name, &one))).unwrap();
        ControlFile::recognise(&Weights::open(path).unwrap())
    };
    refused(write("lora.safetensors", &["lora_unet_a.lora_down.weight"]), &["is a LoRA", "LoraLoader"]);
    refused(
        write("hunyuan.safetensors", &["after_proj_list.18.bias"]),
        &["HunyuanDiT", "use one of Stable Diffusion 1.x"],
    );
    refused(write("part.safetensors", &["input_hint_block.0.weight"]), &["incomplete"]);
    refused(write("new.safetensors", &["controlnet_blocks.0.weight"]), &["of a kind that is not supported"]);
    refused(write("other.safetensors", &["something"]), &["is not recognised"]);
}
