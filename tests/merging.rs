//! Models that are merged and saved: what is saved computes what was merged, and files that cannot be used are told apart.

#![allow(clippy::unwrap_used)]

mod common;

use common::graph::{Graph, ksampler};
use common::tensors::{Tensors, largest_difference};
use common::{Base, Redraft, VAE};
use serde_json::{Value as Json, json};

const OTHER: &str = "other.safetensors";

/// A base directory with a second checkpoint of the same family.
fn base() -> Base {
    let base = Base::new();
    let other = base.path("models/checkpoints").join(OTHER);
    Redraft::new().args(["random-checkpoint", "--seed", "2"]).arg(other).finish().expect_code(0);
    base
}

/// A graph with the second checkpoint in node `o`, and models and text encoders of both merged in `m` and `c`.
fn merged() -> Graph {
    let mut graph = Graph::image2image();
    graph.node("o", "CheckpointLoaderSimple", json!({ "ckpt_name": OTHER }));
    let ratios = json!({ "model1": ["4", 0], "model2": ["o", 0], "input": 0.25, "middle": 0.5, "out": 0.75 });
    graph.node("m", "ModelMergeBlocks", ratios);
    graph.node("c", "CLIPMergeSimple", json!({ "clip1": ["4", 1], "clip2": ["o", 1], "ratio": 0.25 }));
    graph
}

/// Two steps with a model and the prompts of a text encoder, in node `s`.
fn sampled(mut graph: Graph, model: Json, clip: Json) -> Graph {
    graph.0["6"]["inputs"]["clip"] = clip.clone();
    graph.0["7"]["inputs"]["clip"] = clip;
    graph.shown("s", "KSampler", ksampler(json!({ "model": model, "steps": 2, "cfg": 4.0 })));
    graph
}

/// What node `s` of a graph makes.
fn latent(base: &Base, graph: &Graph) -> Vec<f32> {
    let (file, dump) = (base.write_json("graph.json", &graph.json()), base.path("dump.safetensors"));
    base.run(&file).arg("--no-cache").arg("--dump").arg(&dump).finish().expect_code(0);
    Tensors::read(&dump).floats("s/0/samples")
}

/// A tensor's first value, which must be f32.
fn value(tensors: &Tensors, name: &str) -> f32 {
    tensors.floats(name)[0]
}

#[test]
fn a_saved_checkpoint_is_what_was_merged() {
    let base = base();
    let mut graph = merged();
    let parts = json!({ "model": ["m", 0], "clip": ["c", 0], "vae": ["4", 2], "filename_prefix": "checkpoints/both" });
    graph.node("save", "CheckpointSave", parts);
    graph.node("save-one", "ModelSave", json!({ "model": ["4", 0], "filename_prefix": "one" }));
    graph.node("save-two", "ModelSave", json!({ "model": ["o", 0], "filename_prefix": "two" }));
    let expected = latent(&base, &sampled(graph, json!(["m", 0]), json!(["c", 0])));
    assert_eq!(
        base.outputs(),
        ["checkpoints/both_00001_.safetensors", "one_00001_.safetensors", "two_00001_.safetensors"]
    );
    let saved = base.path("output/checkpoints/both_00001_.safetensors");
    // The first weight of each part, in its ratio; what belongs to no part has the first ratio.
    let [one, two] = ["one", "two"].map(|name| Tensors::read(&base.path(&format!("output/{name}_00001_.safetensors"))));
    let both = Tensors::read(&saved);
    for (name, ratio) in [
        ("input_blocks.0.0.weight", 0.25),
        ("middle_block.0.in_layers.2.weight", 0.5),
        ("out.2.weight", 0.75),
        ("output_blocks.0.0.in_layers.2.weight", 0.75),
        ("time_embed.0.weight", 0.25),
    ] {
        let name = format!("model.diffusion_model.{name}");
        let expected = value(&one, &name) * ratio + value(&two, &name) * (1.0 - ratio);
        assert!((value(&both, &name) - expected).abs() < 1e-6, "{name}");
    }
    // Loaded again it samples the same.
    std::fs::rename(&saved, base.path("models/checkpoints/both.safetensors")).unwrap();
    let again = Graph::image2image().with("4", "ckpt_name", json!("both.safetensors"));
    assert_eq!(latent(&base, &sampled(again, json!(["4", 0]), json!(["4", 1]))), expected);
}

#[test]
fn parts_are_saved_in_files_that_their_loaders_open() {
    let base = base();
    let mut graph = merged();
    graph.node("a", "ModelSave", json!({ "model": ["m", 0], "filename_prefix": "model" }));
    graph.node("b", "CLIPSave", json!({ "clip": ["c", 0], "filename_prefix": "text" }));
    graph.node("d", "VAESave", json!({ "vae": ["10", 0], "filename_prefix": "vae" }));
    let expected = latent(&base, &sampled(graph, json!(["m", 0]), json!(["c", 0])));
    assert_eq!(
        base.outputs(),
        ["model_00001_.safetensors", "text_clip_l_00001_.safetensors", "vae_00001_.safetensors"]
    );
    for (file, folder) in [
        ("model_00001_.safetensors", "diffusion_models"),
        ("text_clip_l_00001_.safetensors", "text_encoders"),
        ("vae_00001_.safetensors", "vae"),
    ] {
        let folder = base.path("models").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::rename(base.path("output").join(file), folder.join(file)).unwrap();
    }
    let mut again = Graph::image2image().with("10", "vae_name", json!("vae_00001_.safetensors"));
    again.node("u", "UNETLoader", json!({ "unet_name": "model_00001_.safetensors", "weight_dtype": "default" }));
    let text =
        json!({ "clip_name": "text_clip_l_00001_.safetensors", "type": "stable_diffusion", "device": "default" });
    again.node("t", "CLIPLoader", text);
    assert_eq!(latent(&base, &sampled(again, json!(["u", 0]), json!(["t", 0]))), expected);
}

/// What differs between the two models.
fn with_difference(mut graph: Graph) -> Graph {
    graph.node("d", "ModelMergeSubtract", json!({ "model1": ["o", 0], "model2": ["4", 0], "multiplier": 1.0 }));
    graph
}

/// LoraSave's inputs, those given before the usual ones.
fn saved_lora(kind: &str, bias_diff: bool) -> Json {
    json!({ "filename_prefix": format!("loras/{kind}"), "rank": 4, "lora_type": kind, "bias_diff": bias_diff, "model_diff": ["d", 0] })
}

/// A whole difference as a LoRA gives the other model back, but for rounding to half precision; of a low rank it holds narrow matrices.
#[test]
fn a_difference_becomes_a_lora() {
    let base = base();
    let mut graph = with_difference(merged());
    graph.node("whole", "LoraSave", saved_lora("full_diff", true));
    graph.node("low", "LoraSave", saved_lora("standard", false));
    let expected = latent(&base, &sampled(graph, json!(["o", 0]), json!(["4", 1])));
    let file = |kind: &str| base.path(&format!("output/loras/{kind}_00001_.safetensors"));

    let low = Tensors::read(&file("standard"));
    let layer = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q";
    let whole = Tensors::read(&file("full_diff")).shape(&format!("{layer}.diff"));
    assert_eq!(low.shape(&format!("{layer}.lora_up.weight")), [whole[0], 4]);
    assert_eq!(low.shape(&format!("{layer}.lora_down.weight")), [4, whole[1]]);
    assert!(low.0.keys().all(|name| name.ends_with(".lora_up.weight") || name.ends_with(".lora_down.weight")));

    std::fs::rename(file("full_diff"), base.path("models/loras/l.safetensors")).unwrap();
    let mut again = Graph::image2image();
    let lora = json!({ "model": ["4", 0], "lora_name": "l.safetensors", "strength_model": 1.0 });
    again.node("l", "LoraLoaderModelOnly", lora);
    let with = |model: Json| latent(&base, &sampled(Graph(again.0.clone()), model, json!(["4", 1])));
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let difference = largest_difference(&with(json!(["l", 0])), &expected);
    assert!(difference < 0.01 * largest, "{difference}, of values up to {largest}");
    let without = largest_difference(&with(json!(["4", 0])), &expected);
    assert!(without > 0.1 * largest, "without the LoRA {without}, of values up to {largest}");
}

#[test]
fn nothing_is_saved_outside_of_the_output_folder() {
    let base = base();
    let names = || {
        let entries = std::fs::read_dir(base.root()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let mut lora = saved_lora("full_diff", true);
    lora["filename_prefix"] = json!("../gone");
    for (class, inputs) in [
        ("CheckpointSave", json!({ "model": ["m", 0], "clip": ["c", 0], "vae": ["4", 2] })),
        ("ModelSave", json!({ "model": ["m", 0] })),
        ("CLIPSave", json!({ "clip": ["c", 0] })),
        ("VAESave", json!({ "vae": ["4", 2] })),
        ("LoraSave", lora),
    ] {
        let mut graph = with_difference(merged());
        graph.node("a", class, inputs);
        let graph = graph.with("a", "filename_prefix", json!("../gone"));
        base.write_json("output/graph.json", &graph.json());
        let run = base.run(&base.path("output/graph.json")).finish().expect_code(1);
        assert!(run.stderr.contains(&format!("({class})")) && run.stderr.contains("leaves"), "{}", run.stderr);
        assert_eq!((names(), base.outputs()), (before.clone(), vec!["graph.json".to_owned()]), "{class}");
    }
}

#[test]
fn files_of_another_kind_are_no_image_encoders() {
    let base = base();
    for (folder, class, input, said) in [
        (
            "clip_vision",
            "CLIPVisionLoader",
            "clip_name",
            "holds no image encoder of CLIP or SigLIP; choose a file such as",
        ),
        ("style_models", "StyleModelLoader", "style_model_name", "is no style model; choose Flux Redux"),
    ] {
        let file = base.path("models").join(folder).join("x.safetensors");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::copy(base.path("models/vae").join(VAE), &file).unwrap();
        let mut graph = Graph::image2image();
        graph.node("v", class, json!({ input: "x.safetensors" }));
        graph.node("p", "PreviewAny", json!({ "source": ["v", 0] }));
        let graph = base.write_json("graph.json", &graph.json());
        let run = base.run(&graph).finish().expect_code(1);
        let error = format!("node v ({class}): {} {said}", file.display());
        assert!(run.stderr.contains(&error), "{}", run.stderr);
    }
}
