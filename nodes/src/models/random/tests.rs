#![allow(clippy::unwrap_used)]
use redraft_engine::folders::FolderPaths;

use super::*;
use crate::diffusion::extra_conds::{CHANNELS, ExtraConds};
use crate::diffusion::network::Inputs;
use crate::diffusion::patch::Call;
use crate::diffusion::run_entry::RunEntry;
use crate::files::weights::Weights;
use crate::models::autoencoder;
use crate::models::clip_text::ClipText;
use crate::models::families::recognise;
use crate::models::picture_autoencoder::PictureAutoencoder;
use crate::models::qwen::Qwen;
use crate::models::reference::{checkpoint, file};
use crate::models::unet::UNet;
use crate::models::vae::Vae;
use crate::networks::Networks;
use crate::ops::numerics::Numerics;
use crate::text::EmbeddingFiles;
use crate::text::encode::{ClipNetwork, HiddenLayer};
use crate::text::language::{self, LanguageModel, Place, Seen};
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
    assert_eq!(Layout::Sd1.tensors(Size::Tiny).iter().filter(|t| t.name.starts_with("first_stage_model")).count(), 248);
    let flux = Layout::Flux.tensors(Size::Real);
    let of = |part: &str| {
        let tensors = flux.iter().filter(|t| t.name.starts_with(part));
        tensors.map(|t| t.shape.iter().product::<i64>()).sum::<i64>()
    };
    assert_eq!(of("model.diffusion_model"), 11_901_408_320);
    assert_eq!(of("text_encoders.t5xxl"), 4_762_310_656);
    assert_eq!(of("vae"), 83_819_683);
    let qwen = Layout::QwenImage.tensors(Size::Real);
    let of = |part: &str| {
        let tensors = qwen.iter().filter(|t| t.name.starts_with(part));
        tensors.map(|t| t.shape.iter().product::<i64>()).sum::<i64>()
    };
    assert_eq!(of("model.diffusion_model"), 20_430_401_088);
    // Without the 544,997,376 of what predicts the next token.
    assert_eq!(of("text_encoders.qwen25_7b"), 8_292_166_656 - 544_997_376);
    assert_eq!(of("vae"), 126_892_531);
}

#[test]
fn real_sizes_of_flow_models_are_those_that_were_published() {
    let of = |layout: Layout, part: &str| {
        let tensors = layout.tensors(Size::Real);
        let its = tensors.iter().filter(|tensor| tensor.name.starts_with(part));
        its.map(|tensor| tensor.shape.iter().product::<i64>()).sum::<i64>()
    };
    assert_eq!(of(Layout::AuraFlow, "model."), 6_842_876_928);
    assert_eq!(of(Layout::AuraFlow, "text_encoders."), 1_223_550_976);
    assert_eq!(of(Layout::HiDream, "model."), 17_105_733_184);
    assert_eq!(of(Layout::HiDream, "text_encoders.llama"), 7_505_186_816);
}

#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn the_parts_of_qwen_image_have_the_names_of_their_files() {
    let ours = Layout::QwenImage.tensors(Size::Tiny);
    for (part, path) in [
        ("model.diffusion_model.", "diffusion_models/qwen-image-tiny"),
        ("text_encoders.qwen25_7b.transformer.", "text_encoders/qwen25-vl-7b-tiny"),
        ("vae.", "vae/wan21-vae-tiny"),
    ] {
        let reference = file(&format!("base/models/{path}.safetensors"));
        // The shared encoder has a layer and a block more.
        let beyond = |name: &str| name.contains("model.layers.2.") || name.contains("visual.blocks.8.");
        let names: Vec<&str> = ours.iter().filter_map(|t| t.name.strip_prefix(part)).collect();
        let theirs = reference.names().into_iter().filter(|name| !beyond(name)).collect::<Vec<_>>();
        assert_eq!(names, theirs, "{path}");
    }
}

#[test]
fn a_checkpoint_of_qwen_image_reads_sees_and_draws() {
    let _guard = tch::no_grad_guard();
    let numerics = Numerics::cpu();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.safetensors");
    write_random_checkpoint(&path, Layout::QwenImage, Size::Tiny, 7, false).unwrap();
    let contents = recognise(&Weights::open(&path).unwrap()).unwrap();
    let part = contents.model().unwrap();
    assert_eq!(part.family.name, "Qwen-Image");
    let encoder = contents.text.as_ref().unwrap().encoders[0].clone().unwrap();
    let reader = Qwen::load(&encoder, &numerics).unwrap();
    let picture = randn(1, &[1, 60, 90, 3]).sigmoid();
    let Seen { embeds, rows, columns } = reader.see(&picture).unwrap();
    assert_eq!((embeds.size(), rows, columns), (vec![6, 16], 2, 3));
    let input = language::Input {
        embeds: embeds.unsqueeze(0),
        pictures: vec![Place { start: 0, rows, columns }],
        present: None,
    };
    let text = reader.forward(&input, None, true);
    let network = (part.family.load)(&part.weights, &numerics).unwrap();
    let (timestep, call, extra) = (Tensor::from_slice(&[0.5f32]), Call::plain(), ExtraConds::default());
    let x = randn(2, &[1, 16, 1, 6, 8]);
    let inputs = Inputs { x: &x, timestep: &timestep, context: &text, extra: &extra, control: None, call: &call };
    let drawn = network.predict(&inputs).unwrap();
    assert_eq!(drawn.size(), x.size());
    for tensor in [&embeds, &text, &drawn] {
        let std = tensor.std(false).double_value(&[]);
        assert!(std > 0.1 && std < 10.0, "{std}");
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn names_and_shapes_are_those_of_the_reference_checkpoint() {
    for (name, layout) in [("sd15-tiny-random", Layout::Sd1), ("sd15-tiny-random-inpainting", Layout::Sd1Inpainting)] {
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
        write_random_checkpoint(&path, layout, Size::Tiny, seed, false).unwrap();
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
        (Layout::Sd2Unclip, "Stable Diffusion 2.x unCLIP", 64),
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
        write_random_checkpoint(&path, layout, Size::Tiny, 7, true).unwrap();
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
            seed: 0,
        };
        let extra = (part.family.extra_conds)(part, &prompt).unwrap();
        let x = match extra.get(CHANNELS) {
            Some(channels) => Tensor::cat(&[&latent, channels], 1),
            None => latent.shallow_clone(),
        };
        let network = (part.family.load)(&part.weights, &numerics).unwrap();
        let (timestep, call) = (Tensor::from_slice(&[500f32]), Call::plain());
        let inputs =
            Inputs { x: &x, timestep: &timestep, context: &entry.cond, extra: &extra, control: None, call: &call };
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
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let path = nowhere.join("x.safetensors");
    let message = write_random_checkpoint(&path, Layout::Sd1, Size::Tiny, 0, false).unwrap_err().to_string();
    assert!(message.contains(&*nowhere.to_string_lossy()), "{message}");
}

#[test]
fn a_film_can_be_made_of_wans_layout() {
    let _guard = tch::no_grad_guard();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wan.safetensors");
    write_random_checkpoint(&path, Layout::Wan, Size::Tiny, 7, false).unwrap();
    let contents = recognise(&Weights::open(&path).unwrap()).unwrap();
    let part = contents.model().unwrap().clone();
    assert_eq!(part.family.name, "Wan 2.1");
    let networks = Networks::new(Numerics::cpu());
    let text = contents.text.unwrap();
    let folders = FolderPaths::below(dir.path());
    let encoder = (text.recipe.encoders[0].open)(&networks, text.encoders[0].as_ref().unwrap(), &folders).unwrap();
    let chunks = encoder.chunks("a red heart, 猫".into(), &EmbeddingFiles::new(Vec::new())).unwrap();
    let encoded = encoder.encode(chunks, None).unwrap().cond;
    assert_eq!(encoded.size(), [1, 512, 32]);
    let (latent, timestep) = (randn(1, &[1, 16, 2, 4, 5]), Tensor::from_slice(&[500f32]));
    let (extra, call) = (ExtraConds::default(), Call::plain());
    let inputs =
        Inputs { x: &latent, timestep: &timestep, context: &encoded, extra: &extra, control: None, call: &call };
    let network = (part.family.load)(&part.weights, &Numerics::cpu()).unwrap();
    let predicted = network.predict(&inputs).unwrap();
    assert_eq!(predicted.size(), latent.size());
    let film = autoencoder::load(&contents.vae.unwrap(), &Numerics::cpu()).unwrap().decode(&predicted).unwrap();
    assert_eq!(film.size(), [5, 32, 40, 3]);
    assert!(film.std(false).double_value(&[]) > 0.02);
    // As it was published.
    let sizes = Layout::Wan.tensors(Size::Real);
    let of = |prefix: &str| {
        let its = sizes.iter().filter(|spec| spec.name.starts_with(prefix) && !spec.name.ends_with("spiece_model"));
        its.map(|spec| spec.shape.iter().product::<i64>()).sum::<i64>()
    };
    assert_eq!([of("model."), of("vae."), of("text_encoders.")], [1_418_996_800, 126_892_531, 5_680_910_336]);
}
