//! The files that the runs take: random weights of redraft's own, and such as a generator gives by its seed, here as in the reference.

use std::path::Path;

use redraft_nodes::files::tensor_file::save;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::lora::diffusers;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::ops::noise::randn;
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

/// Bytes, and the tokens that Llama 3's vocabulary is known by, in Hugging Face's form.
fn small_vocabulary() -> Json {
    let seen = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let (seen, others): (Vec<u32>, Vec<u32>) = (0..256u32).partition(seen);
    let mut pieces: Vec<String> = (0..128_000).map(|id| format!("\u{e000}{id}")).collect();
    for (id, code) in seen.into_iter().chain((0x100..).take(others.len())).enumerate() {
        pieces[id] = char::from_u32(code).unwrap().to_string();
    }
    for (id, piece) in [(271, "ĊĊ"), (880, "us"), (881, "er"), (882, "user")] {
        pieces[id] = piece.to_owned();
    }
    let mut special: Vec<String> = (0..256).map(|id| format!("<|reserved_{id}|>")).collect();
    for (id, name) in [(0, "begin_of_text"), (6, "start_header_id"), (7, "end_header_id"), (9, "eot_id")] {
        special[id] = format!("<|{name}|>");
    }
    let added = special.into_iter().zip(128_000..).map(|(content, id)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
    });
    let vocabulary: serde_json::Map<String, Json> =
        pieces.into_iter().zip(0..).map(|(piece, id)| (piece, json!(id))).collect();
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": ["Ċ Ċ", "u s", "e r", "us er"]},
    })
}

/// A byte pair encoding of few words in SentencePiece's format, as Pile-T5's is: bytes for what has no piece.
fn small_pieces() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let piece = |text: &str, score: f32, kind: u8| {
        let score = [&[0x15], &score.to_le_bytes()[..]].concat();
        field(1, &[field(1, text.as_bytes()), score, vec![0x18, kind]].concat())
    };
    let marks = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)];
    let bytes = (0..=u8::MAX).map(|byte| piece(&format!("<0x{byte:02X}>"), 0.0, 6));
    let words = ["▁a", "re", "red", "▁red", "al", "▁b", "▁bal", "▁ball", "ll", "(", ":", "1"];
    let letters = ('a'..='z').chain(['▁']).map(String::from);
    let words = (1u8..).zip(words.map(String::from).into_iter().chain(letters));
    let words = words.map(|(rank, word)| piece(&word, -f32::from(rank), 1));
    // A byte pair encoding that falls back on bytes; spaces are kept, and one is put in front.
    let rules = [field(2, &[0x18, 2, 0x98, 0x02, 1]), field(3, &[0x18, 1, 0x20, 0])];
    marks.into_iter().chain(bytes).chain(words).chain(rules).collect::<Vec<_>>().concat()
}

/// A base directory with a checkpoint of each kind, its file called by the kind, and what else the runs take.
pub(super) fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = base.path().join("models").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    std::fs::write(folder("llama_tokenizer").join("tokenizer.json"), small_vocabulary().to_string()).unwrap();
    std::fs::write(folder("t5_pile_tokenizer").join("tokenizer.model"), small_pieces()).unwrap();
    let checkpoints = folder("checkpoints");
    let kinds = [
        ("chroma", Layout::Chroma),
        ("ltxv", Layout::Ltxv),
        ("hunyuan-video", Layout::HunyuanVideo),
        ("pixart", Layout::PixArt),
        ("auraflow", Layout::AuraFlow),
        ("hidream", Layout::HiDream),
        ("plain", Layout::Sd1),
    ];
    for (name, layout) in kinds {
        let path = checkpoints.join(format!("{name}.safetensors"));
        write_random_checkpoint(&path, layout, Size::Tiny, 0, false).unwrap();
    }
    pixart_alpha(&checkpoints);
    for encoder in ["clip_l", "clip_g", "t5xxl", "llama"] {
        let tensors = below(&checkpoints.join("hidream.safetensors"), &format!("text_encoders.{encoder}.transformer."));
        save_all(&folder("text_encoders").join(format!("hidream-{encoder}.safetensors")), &tensors);
    }
    llava(&folder("clip_vision"));
    taesd3(&folder("vae_approx"));
    for part in ["unet", "vae", "text_encoder"] {
        folder(&format!("diffusers/plain/{part}"));
    }
    apart(&checkpoints.join("plain.safetensors"), &folder("diffusers/plain"));
    base
}

/// The same with models that go by pictures, and what is laid over models.
pub(super) fn by_pictures() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    let file = |folder: &str, name: &str| {
        let folder = base.path().join("models").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    };
    let kinds = [
        ("plain", Layout::Sd1),
        ("sdxl", Layout::Sdxl),
        ("sd2-unclip", Layout::Sd2Unclip),
        ("svd", Layout::Svd),
        ("sv3d-u", Layout::Sv3dU),
        ("sv3d-p", Layout::Sv3dP),
        ("zero123", Layout::Zero123),
    ];
    for (name, layout) in kinds {
        let path = file("checkpoints", &format!("{name}.safetensors"));
        write_random_checkpoint(&path, layout, Size::Tiny, 0, false).unwrap();
    }
    write_random_checkpoint(&file("gligen", "gligen.safetensors"), Layout::Gligen, Size::Tiny, 0, false).unwrap();
    std::fs::write(file("hypernetworks", "hypernetwork.pt"), include_bytes!("hypernetwork.pt")).unwrap();
    base
}

fn save_all(path: &Path, tensors: &[(String, Tensor)]) {
    save(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))).unwrap();
}

/// All tensors of a file below a prefix, without it.
fn below(file: &Path, prefix: &str) -> Vec<(String, Tensor)> {
    let all = Tensor::read_safetensors(file).unwrap().into_iter();
    all.filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor))).collect()
}

/// PixArt-α: Σ's checkpoint with what embeds the picture's size, and fewer tokens for no text.
fn pixart_alpha(checkpoints: &Path) {
    let mut tensors = below(&checkpoints.join("pixart.safetensors"), "");
    let mut put = |name: &str, tensor: Tensor| {
        let name = format!("model.diffusion_model.{name}");
        tensors.retain(|(other, _)| *other != name);
        tensors.push((name, tensor.to_kind(Kind::Half)));
    };
    put("y_embedder.y_embedding", randn(1, &[120, 64]) * 0.1);
    for (seed, name) in (10..).step_by(10).zip(["csize_embedder", "ar_embedder"]) {
        put(&format!("{name}.mlp.0.weight"), randn(seed, &[32, 256]) * 0.05);
        put(&format!("{name}.mlp.0.bias"), randn(seed + 1, &[32]) * 0.05);
        put(&format!("{name}.mlp.2.weight"), randn(seed + 2, &[32, 32]) * 0.15);
        put(&format!("{name}.mlp.2.bias"), randn(seed + 3, &[32]) * 0.05);
    }
    save_all(&checkpoints.join("pixart-alpha.safetensors"), &tensors);
}

/// CLIP's image encoder with what makes words of a tiny Llama of pictures, as LLaVA has it.
fn llava(folder: &Path) {
    const WIDTH: i64 = 32;
    let mut tensors = Vec::new();
    let mut draw = |name: &str, shape: &[i64], mean: f64, spread: f64| {
        let drawn = randn(3000 + tensors.len() as u64, shape) * spread + mean;
        tensors.push((name.to_owned(), drawn));
    };
    /// Draws a tensor of a name and shape about a mean, with a spread.
    type Draw<'a> = dyn FnMut(&str, &[i64], f64, f64) + 'a;
    fn linear(draw: &mut Draw, name: &str, outputs: i64, inputs: i64) {
        draw(&format!("{name}.weight"), &[outputs, inputs], 0.0, 1.0 / (inputs as f64).sqrt());
        draw(&format!("{name}.bias"), &[outputs], 0.0, 0.05);
    }
    draw("vision_model.embeddings.patch_embedding.weight", &[WIDTH, 3, 14, 14], 0.0, 0.04);
    draw("vision_model.embeddings.position_embedding.weight", &[577, WIDTH], 0.0, 0.3);
    draw("vision_model.embeddings.class_embedding", &[WIDTH], 0.0, 0.3);
    draw("visual_projection.weight", &[24, WIDTH], 0.0, 0.2);
    let layers = (0..24).map(|layer| format!("vision_model.encoder.layers.{layer}"));
    let layers: Vec<String> = layers.collect();
    let norms = layers.iter().flat_map(|layer| ["layer_norm1", "layer_norm2"].map(|norm| format!("{layer}.{norm}")));
    for norm in norms.chain(["vision_model.pre_layrnorm".to_owned(), "vision_model.post_layernorm".to_owned()]) {
        draw(&format!("{norm}.weight"), &[WIDTH], 1.0, 0.1);
        draw(&format!("{norm}.bias"), &[WIDTH], 0.0, 0.05);
    }
    for layer in &layers {
        for name in ["q", "k", "v", "out"] {
            linear(&mut draw, &format!("{layer}.self_attn.{name}_proj"), WIDTH, WIDTH);
        }
        linear(&mut draw, &format!("{layer}.mlp.fc1"), 64, WIDTH);
        linear(&mut draw, &format!("{layer}.mlp.fc2"), WIDTH, 64);
    }
    linear(&mut draw, "multi_modal_projector.linear_1", 16, WIDTH);
    linear(&mut draw, "multi_modal_projector.linear_2", 16, 16);
    save_all(&folder.join("llava.safetensors"), &tensors);
}

/// Both halves of a TAESD for 16 channels.
fn taesd3(folder: &Path) {
    type Conv = (String, [i64; 2], bool);
    let block = |at: usize| [0, 2, 4].map(|i| (format!("{at}.conv.{i}"), [64, 64], true));
    let conv = |at: usize, sides: [i64; 2], biased: bool| (at.to_string(), sides, biased);
    let (mut encoder, mut decoder) = (vec![conv(0, [3, 64], true)], vec![conv(1, [16, 64], true)]);
    encoder.extend(block(1));
    for level in 0..3 {
        let (down, up) = (2 + 4 * level, 3 + 5 * level);
        encoder.push(conv(down, [64, 64], false));
        encoder.extend((1..4).flat_map(|i| block(down + i)));
        decoder.extend((0..3).flat_map(|i| block(up + i)));
        decoder.push(conv(up + 4, [64, 64], false));
    }
    encoder.push(conv(14, [64, 16], true));
    decoder.extend(block(18));
    decoder.push(conv(19, [64, 3], true));
    let write = |half: &str, from: u64, convs: Vec<Conv>| {
        let mut tensors = Vec::new();
        for (seed, (name, [inputs, outputs], biased)) in (from..).zip(convs) {
            tensors.push((format!("{name}.weight"), randn(seed, &[outputs, inputs, 3, 3]) * 0.05));
            if biased {
                tensors.push((format!("{name}.bias"), randn(seed + 500, &[outputs]) * 0.05));
            }
        }
        save_all(&folder.join(format!("taesd3_{half}.safetensors")), &tensors);
    };
    write("encoder", 1000, encoder);
    write("decoder", 2000, decoder);
}

/// A checkpoint of Stable Diffusion 1.x in parts, its UNet under the names that diffusers has.
fn apart(checkpoint: &Path, folder: &Path) {
    let network = "diffusion_pytorch_model.safetensors";
    let named = diffusers::names(&Weights::open(checkpoint).unwrap().at("model.diffusion_model"));
    let renamed = |(name, tensor): (String, Tensor)| {
        let (layer, end) = name.rsplit_once('.').unwrap();
        let theirs = named[&format!("{layer}.weight")].last().unwrap();
        (format!("{theirs}.{end}"), tensor)
    };
    let unet: Vec<_> = below(checkpoint, "model.diffusion_model.").into_iter().map(renamed).collect();
    std::fs::write(folder.join("model_index.json"), "{}").unwrap();
    save_all(&folder.join("unet").join(network), &unet);
    save_all(&folder.join("vae").join(network), &below(checkpoint, "first_stage_model."));
    save_all(&folder.join("text_encoder/model.safetensors"), &below(checkpoint, "cond_stage_model.transformer."));
}
