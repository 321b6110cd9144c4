//! ControlNets and their relatives by the command: what they change, what shares them, what is kept on the disk, and files that are wrong.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::graph::{Graph, ksampler};
use common::tensors::Tensors;
use common::{Base, CHECKPOINT, Redraft, VAE, shared};
use serde_json::{Value as Json, json};

/// A random file of a kind in a folder of models.
fn random(base: &Base, kind: &str, below: &str) {
    let path = base.path(below);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Redraft::new().args(["random-checkpoint", "--kind", kind, "--size", "tiny"]).arg(path).finish().expect_code(0);
}

fn network(base: &Base, kind: &str) -> String {
    let name = format!("{kind}.safetensors");
    random(base, kind, &format!("models/controlnet/{name}"));
    name
}

/// A picture, two steps, steered by a file in a part of the schedule.
fn steered(file: &str) -> Graph {
    let mut graph = Graph::image2image();
    graph.node("20", "ControlNetLoader", json!({ "control_net_name": file }));
    graph.node(
        "21",
        "ControlNetApplyAdvanced",
        json!({
            "positive": ["6", 0], "negative": ["7", 0], "control_net": ["20", 0], "image": ["13", 0], "strength": 0.8,
            "start_percent": 0.0, "end_percent": 1.0,
        }),
    );
    graph.shown("16", "KSampler", ksampler(json!({ "positive": ["21", 0], "negative": ["21", 1], "steps": 2 })));
    graph
}

/// The latent that a graph samples.
fn sampled(base: &Base, graph: &Graph) -> Vec<f32> {
    let dump = base.path("dump.safetensors");
    let file = base.write_json("workflow.json", &graph.json());
    base.run(&file).args(["--no-cache", "--dump"]).arg(&dump).finish().expect_code(0);
    Tensors::read(&dump).floats("16/0/samples")
}

#[track_caller]
fn refused(base: &Base, graph: &Graph, code: i32, words: &[&str]) {
    let file = base.write_json("workflow.json", &graph.json());
    let done = base.run(&file).finish().expect_code(code);
    for word in words {
        assert!(done.stderr.contains(word), "{word:?} is missing in: {}", done.stderr);
    }
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

#[test]
fn networks_of_every_layout_steer() {
    let base = Base::new();
    let plain = sampled(
        &base,
        &steered("none").with("16", "positive", json!(["6", 0])).with("16", "negative", json!(["7", 0])),
    );
    let kinds = ["controlnet", "controlnet-diffusers", "control-lora", "t2i-adapter", "t2i-adapter-light"];
    let mut made = vec![plain];
    for kind in kinds {
        let latent = sampled(&base, &steered(&network(&base, kind)));
        assert!(latent.iter().all(|value| value.is_finite()), "{kind}");
        assert!(!made.contains(&latent), "{kind} steers as nothing, or as another");
        made.push(latent);
    }
    random(&base, "sdxl", "models/checkpoints/sdxl.safetensors");
    made.clear();
    for kind in ["controlnet-sdxl", "controlnet-union", "control-lora-sdxl", "t2i-adapter-sdxl"] {
        let graph = steered(&network(&base, kind)).with("4", "ckpt_name", json!("sdxl.safetensors"));
        let latent = sampled(&base, &graph);
        assert!(latent.iter().all(|value| value.is_finite()) && !made.contains(&latent), "{kind}");
        made.push(latent);
    }
    let mut told = steered("controlnet-union.safetensors").with("4", "ckpt_name", json!("sdxl.safetensors"));
    told.node("22", "SetUnionControlNetType", json!({ "control_net": ["20", 0], "type": "depth" }));
    let told = told.with("21", "control_net", json!(["22", 0]));
    assert!(!made.contains(&sampled(&base, &told)), "it is not told what the picture shows");
}

#[test]
fn strength_and_range_decide_whether_it_acts() {
    let base = Base::new();
    let graph = || steered("controlnet.safetensors");
    network(&base, "controlnet");
    let plain =
        sampled(&base, &graph().with("16", "positive", json!(["6", 0])).with("16", "negative", json!(["7", 0])));
    assert_eq!(sampled(&base, &graph().with("21", "strength", json!(0.0))), plain);
    let never = graph().with("21", "start_percent", json!(0.999)).with("21", "end_percent", json!(0.0));
    assert_eq!(sampled(&base, &never), plain);
    let whole = sampled(&base, &graph());
    let early = sampled(&base, &graph().with("21", "end_percent", json!(0.4)));
    assert!(whole != plain && early != plain && early != whole);
    // Applied to the positive conditioning alone by the older node, it steers the negative one, too.
    let mut older = graph();
    let inputs = json!({ "conditioning": ["6", 0], "control_net": ["20", 0], "image": ["13", 0], "strength": 0.8 });
    older.node("21", "ControlNetApply", inputs);
    assert_eq!(sampled(&base, &older.with("16", "negative", json!(["7", 0]))), whole);
    // Twice a half is not once the whole, but nearly: what both add is summed.
    let mut twice = graph().with("21", "strength", json!(0.4));
    twice.node(
        "23",
        "ControlNetApplyAdvanced",
        json!({
            "positive": ["21", 0], "negative": ["21", 1], "control_net": ["20", 0], "image": ["13", 0], "strength": 0.4,
            "start_percent": 0.0, "end_percent": 1.0,
        }),
    );
    let twice =
        sampled(&base, &twice.with("16", "positive", json!(["23", 0])).with("16", "negative", json!(["23", 1])));
    let apart = whole.iter().zip(&twice).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    let spread = whole.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(apart <= 1e-4 * spread, "{apart} of {spread}");
}

#[test]
fn prompts_that_are_steered_are_not_kept_and_what_is_sampled_is() {
    let base = Base::new();
    network(&base, "controlnet");
    let file = base.write_json("workflow.json", &steered("controlnet.safetensors").json());
    let run = || {
        let done =
            base.run(&file).arg("--json").arg("--cache-directory").arg(base.path("cache")).finish().expect_code(0);
        let ids = done.events_of("executing").into_iter().map(|data| data["node"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert!(run().contains(&"21".to_owned()));
    assert_eq!(run(), ["16-shown"]);
    // At another strength it is another result; so it is with another network of that name.
    let changed = |set: &str| {
        let command = base.run(&file).args(["--json", "--set", set]).arg("--cache-directory").arg(base.path("cache"));
        command.finish().expect_code(0).events_of("executing").len()
    };
    assert!(changed("21.strength=0.7") > 1);
    random(&base, "controlnet-diffusers", "models/controlnet/other.safetensors");
    fs::rename(base.path("models/controlnet/other.safetensors"), base.path("models/controlnet/controlnet.safetensors"))
        .unwrap();
    assert!(run().contains(&"16".to_owned()));
}

#[test]
fn files_that_are_no_controlnet_are_told_before_anything_runs() {
    let base = Base::new();
    let net = network(&base, "controlnet");
    let at = |name: &str| base.path("models/controlnet").join(name);
    let whole = fs::read(at(&net)).unwrap();
    let node = "node 20 (ControlNetLoader), input 'control_net_name'";
    fs::write(at("half.safetensors"), &whole[..whole.len() / 2]).unwrap();
    refused(&base, &steered("half.safetensors"), 1, &[node, "half.safetensors", "truncated"]);
    fs::write(at("pickle.safetensors"), b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u.").unwrap();
    refused(&base, &steered("pickle.safetensors"), 1, &[node, "pickle.safetensors", "pickle"]);
    fs::copy(base.path("models/checkpoints").join(CHECKPOINT), at("checkpoint.safetensors")).unwrap();
    refused(
        &base,
        &steered("checkpoint.safetensors"),
        1,
        &[node, "a model of Stable Diffusion 1.x", "load it with CheckpointLoaderSimple"],
    );
    // One of its tensors has the name of a LoRA's.
    let mut tensors = Tensors::read(&at(&net));
    let one = tensors.0.pop().unwrap().1;
    tensors.0.clear();
    tensors.0.insert("lora_unet_x.lora_down.weight".to_owned(), one);
    tensors.write(&at("lora.safetensors"));
    refused(&base, &steered("lora.safetensors"), 1, &[node, "lora.safetensors is a LoRA", "load it with LoraLoader"]);
    // A part is missing.
    let mut tensors = Tensors::read(&at(&net));
    tensors.0.shift_remove("control_model.zero_convs.3.0.weight");
    tensors.write(&at("part.safetensors"));
    refused(&base, &steered("part.safetensors"), 1, &["node 16 (KSampler)", "zero_convs.3.0.weight", "incomplete"]);
    // It lies where a checkpoint belongs.
    fs::copy(at(&net), base.path("models/checkpoints/net.safetensors")).unwrap();
    let graph = steered(&net).with("4", "ckpt_name", json!("net.safetensors"));
    refused(&base, &graph, 1, &["node 4 (CheckpointLoaderSimple)", "is a ControlNet; load it with ControlNetLoader"]);
}

#[test]
fn what_does_not_belong_together_is_named() {
    let base = Base::new();
    let (net, adapter) = (network(&base, "controlnet"), network(&base, "t2i-adapter"));
    random(&base, "sdxl", "models/checkpoints/sdxl.safetensors");
    for name in [&net, &adapter] {
        let graph = steered(name).with("4", "ckpt_name", json!("sdxl.safetensors"));
        refused(&base, &graph, 1, &["node 16 (KSampler)", name, "is of SDXL", "use one made for SDXL"]);
    }
    // A data set cannot hold it.
    let mut graph = steered(&net);
    let inputs = json!({ "latents": ["12", 0], "conditioning": ["21", 0], "folder_name": "set", "shard_size": 10 });
    graph.node("30", "SaveTrainingDataset", inputs);
    refused(&base, &graph, 1, &["SaveTrainingDataset", "steered by a ControlNet, which a data set cannot hold"]);
    // A weight is no number.
    let path = base.path("models/controlnet").join(&net);
    let mut tensors = Tensors::read(&path);
    tensors.0["control_model.middle_block_out.0.bias"].bytes[..2].copy_from_slice(&[0xff, 0x7f]);
    tensors.write(&path);
    refused(&base, &steered(&net), 1, &["node 16 (KSampler)", &net, "no numbers (NaN)", "fetch the file again"]);
}

/// A workflow of the editor's, with tiny random models and pictures in place of those that it names, and nodes of other packs that look
/// for edges or depths replaced by one that inverts. Gives how many pictures it saved.
fn runs_from_its_file(workflow: &str) -> usize {
    let base = Base::new();
    network(&base, "controlnet");
    let mut workflow: Json = serde_json::from_slice(&fs::read(shared(workflow)).unwrap()).unwrap();
    for node in workflow["nodes"].as_array_mut().unwrap() {
        if ["CannyEdgePreprocessor", "DepthAnythingV2Preprocessor"].iter().any(|class| node["type"] == *class) {
            node["type"] = json!("ImageInvert");
            node["widgets_values"] = json!([]);
            node["inputs"].as_array_mut().unwrap().retain(|input| input["name"] == "image");
        }
        if node["type"] == "KSampler" {
            node["widgets_values"][2] = json!(2);
        }
        if node["type"] == "EmptyLatentImage" {
            node["widgets_values"] = json!([64, 96, 1]);
        }
    }
    let file = base.write_json("workflow.json", &workflow);
    base.command("stand-ins", &[&file]).args(["--width", "96", "--height", "64"]).finish().expect_code(0);
    let mut command = base.run(&file);
    for (names, model) in
        [("v1-5*", CHECKPOINT), ("any*", CHECKPOINT), ("*vae*", VAE), ("*control*", "controlnet.safetensors")]
    {
        command = command.arg("--substitute").arg(format!("{names}={model}"));
    }
    command.arg("--substitute").arg(format!("*={CHECKPOINT}")).finish().expect_code(0);
    base.outputs().len()
}

#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn workflows_run_from_their_files() {
    let documentation = "conversions/documentation/basic-workflows__sd15-basics__SD1.5_inpainting_controlnet";
    assert_eq!(runs_from_its_file(&format!("{documentation}.workflow.json")), 1);
    assert_eq!(runs_from_its_file(&format!("{documentation}2.workflow.json")), 1);
    assert_eq!(runs_from_its_file("conversions/pictures/controlnet__controlnet_example.png.workflow.json"), 1);
}
