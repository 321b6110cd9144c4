#![allow(clippy::unwrap_used)]
use std::io::Write;

use tch::{Device, Kind, Tensor};

use super::*;
use crate::diffusion::extra_conds::{ExtraCond, VECTOR};
use crate::diffusion::network::Inputs;
use crate::diffusion::patch::Call;
use crate::files::names::Names;
use crate::models::hidream::{LAYERS, SHOWN};
use crate::models::random::{Layout, Size, write_random_checkpoint};
use crate::models::reference::{checkpoint, file};

/// A file with these tensors, all zeros.
fn with(tensors: &[(&str, &[i64])]) -> (tempfile::NamedTempFile, Weights) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<i64>();
        header.insert(
            (*name).to_owned(),
            serde_json::json!({"dtype": "U8", "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&vec![0; usize::try_from(end).unwrap()]).unwrap();
    let weights = Weights::open(file.path()).unwrap();
    (file, weights)
}

#[test]
fn files_of_other_kinds_are_named() {
    let unet = |extra: &[(&'static str, &'static [i64])]| {
        let mut all: Vec<(&str, &[i64])> = vec![("time_embed.0.weight", &[1, 1])];
        all.extend(extra);
        all
    };
    type Tensors<'a> = Vec<(&'a str, &'a [i64])>;
    let not_yet: Vec<(Tensors, &str)> = vec![
        (vec![("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", &[1])], "a relative of Flux"),
        (vec![("cap_embedder.1.weight", &[1])], "a Lumina model"),
        (vec![("head.modulation", &[1]), ("control_adapter.conv.weight", &[1])], "a Wan model for cameras"),
        (unet(&[("input_blocks.0.0.weight", &[1, 4]), ("label_emb.0.0.weight", &[1])]), "not supported"),
        (vec![("decoder.conv_in.weight", &[1, 32, 3, 3]), ("encoder.conv_in.weight", &[1])], "32 channels"),
        (vec![("model.layers.0.input_layernorm.weight", &[1])], "a language model"),
    ];
    let wrong: Vec<(Tensors, &str)> = vec![
        (vec![("lora_unet_x.lora_down.weight", &[1])], "LoraLoader"),
        (vec![("transformer.x.lora_A.weight", &[1])], "LoraLoader"),
        (vec![("input_hint_block.0.weight", &[1])], "ControlNetLoader"),
        (unet(&[("input_blocks.0.0.weight", &[1, 5])]), "5 input channels"),
        (vec![("conv_first.weight", &[1])], "UpscaleModelLoader"),
        (vec![("emb_params", &[1, 2])], "embedding:NAME"),
        (vec![("1.weight", &[64, 4, 3, 3]), ("3.conv.0.weight", &[1])], "half of a TAESD"),
        (vec![("b", &[1]), ("a", &[1])], "2 tensors (a, b, …)"),
        (vec![], "0 tensors"),
    ];
    let cases = not_yet.into_iter().map(|case| (case, true)).chain(wrong.into_iter().map(|case| (case, false)));
    for ((tensors, expected), not_yet) in cases {
        let (file, weights) = with(&tensors);
        let error = recognise(&weights).err().unwrap();
        assert_eq!(error.is::<Unsupported>(), not_yet, "{tensors:?}: {error}");
        let message = error.to_string();
        assert!(message.contains(expected), "{tensors:?}: {message:?}");
        assert!(message.contains(file.path().to_str().unwrap()), "{message}");
    }
}

#[test]
fn parts_alone_are_recognised_and_asked_for_by_their_loader() {
    let (_file, weights) = with(&[("text_model.embeddings.token_embedding.weight", &[3, 2])]);
    let contents = recognise(&weights).unwrap();
    assert!(contents.text.is_some() && contents.vae.is_none());
    assert!(contents.model().err().unwrap().to_string().contains("CLIPLoader"));
    for channels in [4, 8, 9] {
        let (_file, weights) = with(&[("input_blocks.0.0.weight", &[1, channels]), ("time_embed.0.weight", &[1, 1])]);
        let contents = recognise(&weights).unwrap();
        assert_eq!(contents.model().unwrap().family, &stable_diffusion::SD1);
        assert!(contents.text.is_none() && contents.vae.is_none());
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn the_tiny_files_are_recognised() {
    let family = |path: &str| recognise(&file(path)).unwrap().model().unwrap().family.name;
    for (path, expected) in [
        ("checkpoints/sd15-tiny-random", "Stable Diffusion 1.x"),
        ("checkpoints/sd15-tiny-random-inpainting", "Stable Diffusion 1.x"),
        ("checkpoints/sd2-tiny", "Stable Diffusion 2.x"),
        ("diffusion_models/sd2-v-tiny", "Stable Diffusion 2.x"),
        ("checkpoints/sdxl-tiny", "SDXL"),
        ("diffusion_models/sdxl-inpainting-tiny", "SDXL"),
        ("checkpoints/sdxl-refiner-tiny", "SDXL refiner"),
        ("checkpoints/sd3-tiny", "Stable Diffusion 3"),
        ("diffusion_models/sd35-medium-tiny", "Stable Diffusion 3"),
        ("checkpoints/flux-schnell-tiny", "Flux"),
        ("diffusion_models/flux-dev-tiny", "Flux"),
        ("diffusion_models/flux-fill-tiny", "Flux"),
        ("diffusion_models/z-image-tiny", "Z-Image"),
        ("diffusion_models/qwen-image-tiny", "Qwen-Image"),
        ("diffusion_models/wan21-t2v-tiny", "Wan 2.1"),
    ] {
        assert_eq!(family(&format!("base/models/{path}.safetensors")), expected, "{path}");
    }
    let weights = checkpoint("sdxl-tiny");
    let contents = recognise(&weights).unwrap();
    assert!(contents.text.unwrap().encoders.iter().all(Option::is_some) && contents.vae.is_some());
    let vae = recognise(&file("base/models/vae/sd15-tiny-random-vae.safetensors")).unwrap();
    assert!(vae.model().err().unwrap().to_string().contains("VAELoader"));
    for encoder in ["t5xxl-tiny", "umt5-xxl-tiny", "qwen3-4b-tiny", "qwen25-vl-7b-tiny", "clip_g-tiny"] {
        let contents = recognise(&file(&format!("base/models/text_encoders/{encoder}.safetensors"))).unwrap();
        assert!(contents.model().err().unwrap().to_string().contains("CLIPLoader"), "{encoder}");
    }
    for lora in [
        "tiny-flux-diffusers",
        "tiny-flux-kohya",
        "tiny-dora",
        "tiny-kohya",
        "tiny-loha",
        "tiny-lokr",
        "tiny-unet-only",
    ] {
        let weights = file(&format!("base/models/loras/{lora}.safetensors"));
        assert!(recognise(&weights).err().unwrap().to_string().contains("LoraLoader"), "{lora}");
    }
    let other = |path| recognise(&file(path)).err().unwrap().to_string();
    assert!(other("base/models/controlnet/tiny-controlnet.safetensors").contains("ControlNetLoader"));
    assert!(other("base/models/upscale_models/tiny-esrgan-x4.safetensors").contains("UpscaleModelLoader"));
    assert!(other("base/models/embeddings/tinystyle.safetensors").contains("embedding:NAME"));
}

/// A tiny checkpoint.
fn tiny(folder: &tempfile::TempDir, layout: Layout) -> Weights {
    let path = folder.path().join(format!("{layout:?}.safetensors"));
    write_random_checkpoint(&path, layout, Size::Tiny, 0, false).unwrap();
    Weights::open(&path).unwrap()
}

#[test]
fn networks_that_lack_a_part_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let aura = ["double_layers.1.modC.1", "double_layers.0.mlpX.c_proj", "single_layers.1.attn.w1o", "register_tokens"];
    let hidream = [
        "double_stream_blocks.1.block.ff_t.w2",
        "single_stream_blocks.0.block.ff_i.gate",
        "single_stream_blocks.1.block.ff_i.experts.1",
        "single_stream_blocks.1.block.attn1.q_rms_norm",
        "caption_projection.4",
        "p_embedder.pooled_embedder.linear_2",
    ];
    for (layout, parts) in [(Layout::AuraFlow, &aura[..]), (Layout::HiDream, &hidream)] {
        let whole = tiny(&folder, layout);
        for lost in parts {
            let left = Names::of(&whole.names(), |name| (!name.contains(lost)).then(|| name.to_owned()));
            let contents = recognise(&whole.named(left)).unwrap();
            let part = contents.model().unwrap();
            let message = (part.family.load)(&part.weights, &Numerics::cpu()).err().unwrap().to_string();
            assert!(message.contains("incomplete"), "{lost}: {message}");
        }
    }
}

#[test]
fn hidream_and_aura_flow_say_what_a_prompt_lacks() {
    let _guard = tch::no_grad_guard();
    let folder = tempfile::tempdir().unwrap();
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let refused = |network: &dyn Network, x: &[i64], width: i64, extra: ExtraConds, words: &str| {
        let (x, timestep, context) = (zeros(x), Tensor::from_slice(&[0.5f32]), zeros(&[1, 5, width]));
        let call = Call::plain();
        let inputs =
            Inputs { x: &x, timestep: &timestep, context: &context, extra: &extra, control: None, call: &call };
        let message = network.predict(&inputs).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.contains(words), "{words:?}: {message:?}");
    };
    let network = |layout| {
        let weights = tiny(&folder, layout);
        let part = recognise(&weights).unwrap().model().unwrap().clone();
        (part.family.load)(&part.weights, &Numerics::cpu()).unwrap()
    };
    let rows = |size: &[i64]| ExtraCond::Rows(zeros(size));
    let (aura, hidream) = (network(Layout::AuraFlow), network(Layout::HiDream));
    let none = ExtraConds::default;
    refused(&*aura, &[1, 4, 2, 6, 6], 64, none(), "takes latents of pictures");
    refused(&*aura, &[1, 16, 6, 6], 64, none(), "has 16 channels, and the model takes 4");
    refused(&*aura, &[1, 4, 6, 6], 32, none(), "is 32 wide and the model takes 64");
    refused(&*hidream, &[1, 4, 6, 6], 64, none(), "has 4 channels, and the model takes 16");
    refused(&*hidream, &[1, 16, 6, 6], 32, none(), "is 32 wide and the model takes 64");
    refused(&*hidream, &[1, 16, 6, 6], 64, none(), "no pooled output");
    let pooled = || none().with(VECTOR, rows(&[1, 96]));
    refused(&*hidream, &[1, 16, 6, 6], 64, pooled(), "no states of Llama 3");
    refused(&*hidream, &[1, 16, 6, 6], 64, pooled().with(LAYERS, rows(&[1, 7, 16])), "are shaped [1, 7, 16]");
    refused(&*hidream, &[1, 16, 6, 6], 64, pooled().with(LAYERS, rows(&[1, 3, 7, 16])), "the model takes 4 of 16");
    refused(&*hidream, &[1, 16, 6, 6], 64, pooled().with(LAYERS, rows(&[1, 4, 7, 8])), "the model takes 4 of 16");
    // A picture of odd sides, and one to be changed beside it.
    let extra = pooled().with(LAYERS, rows(&[1, 4, 7, 16])).with(SHOWN, ExtraCond::Planes(zeros(&[1, 16, 5, 7])));
    let (x, timestep, context) = (zeros(&[1, 16, 5, 7]), Tensor::from_slice(&[0.5f32]), zeros(&[1, 5, 64]));
    let call = Call::plain();
    let inputs = Inputs { x: &x, timestep: &timestep, context: &context, extra: &extra, control: None, call: &call };
    assert_eq!(hidream.predict(&inputs).unwrap().size(), [1, 16, 5, 7]);
}

#[test]
fn aura_flows_first_files_have_the_network_below_model() {
    for place in ["", "model.", "model.diffusion_model."] {
        let named = |name: &str| format!("{place}{name}");
        let names = ["double_layers.0.attn.w1q.weight", "positional_encoding", "init_x_linear.weight"].map(named);
        let tensors: Vec<(&str, &[i64])> = names.iter().map(|name| (name.as_str(), &[1, 1][..])).collect();
        let (_file, weights) = with(&tensors);
        let contents = recognise(&weights).unwrap();
        assert_eq!(contents.model().unwrap().family, &aura_flow::AURA_FLOW, "{place:?}");
    }
}

#[test]
fn wans_models_are_told_apart_by_their_latents() {
    for (rows, family, channels) in [(64, &wan::WAN21, 16), (192, &wan::WAN22, 48)] {
        let (_file, weights) = with(&[("head.modulation", &[1, 2, 128]), ("head.head.weight", &[rows, 1])]);
        let contents = recognise(&weights).unwrap();
        let part = contents.model().unwrap();
        assert_eq!((part.family, part.latent_format.channels, part.latent_format.video), (family, channels, true));
    }
    let (_file, weights) = with(&[("head.modulation", &[1, 2, 128]), ("head.head.weight", &[65, 1])]);
    assert!(recognise(&weights).is_err());
    let (_file, weights) = with(&[("vae.decoder.middle.0.residual.0.gamma", &[1])]);
    assert!(recognise(&weights).unwrap().vae.is_some());
}
