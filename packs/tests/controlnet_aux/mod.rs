//! comfyui_controlnet_aux against the pack's own nodes: a digest of the bytes of each output, made with OpenCV 5.0 on a CPU with AVX-512.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::foreign::Foreign;
use redraft_engine::node::{Registry, Run};
use redraft_engine::schema::{self, Input, Options, Schema, Schemas};
use redraft_nodes::values::{Image, Part};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor};

use crate::graphs::{Left, run};
use crate::pictures::{digest, picture};

/// A batch of a picture, every second one mirrored.
#[derive(Node)]
#[node(category = "test")]
struct TestPicture {
    kind: String,
    width: i64,
    height: i64,
    channels: i64,
    batch: i64,
}

impl Run for TestPicture {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let [width, height, channels] = [self.width, self.height, self.channels].map(|side| side as usize);
        let bytes = picture(&self.kind, width, height, channels);
        let one =
            Tensor::from_slice(&bytes).view([self.height, self.width, self.channels]).to_kind(Kind::Float) / 255.0;
        let batch: Vec<Tensor> =
            (0..self.batch).map(|at| if at % 2 == 0 { one.shallow_clone() } else { one.flip([1]) }).collect();
        Ok(Image(Tensor::stack(&batch, 0)))
    }
}

fn test_picture(kind: &Json, size: &Json, batch: &Json) -> Json {
    let inputs = json!({ "kind": kind, "width": size[0], "height": size[1], "channels": size[2], "batch": batch });
    json!({ "class_type": "TestPicture", "inputs": inputs })
}

fn graph(figure: &Json) -> Json {
    let mut inputs = figure["inputs"].clone();
    let first = match figure["class"].as_str().unwrap() {
        "HintImageEnchance" => "hint_image",
        "PixelPerfectResolution" => "original_image",
        "ImageGenResolutionFromLatent" => "latent",
        _ => "image",
    };
    let (size, batch) = (&figure["size"], &figure["batch"]);
    let empty = json!({ "width": size[0], "height": size[1], "batch_size": batch });
    inputs[first] = if first == "latent" { json!(["l", 0]) } else { json!(["p", 0]) };
    let mut graph = json!({
        "p": test_picture(&figure["picture"], size, batch),
        "l": { "class_type": "EmptyLatentImage", "inputs": empty },
    });
    if let Some(mask) = figure.get("mask") {
        graph["q"] = test_picture(&mask[0], &mask[1], batch);
        graph["m"] = json!({ "class_type": "ImageToMask", "inputs": { "image": ["q", 0], "channel": "red" } });
        inputs["mask"] = json!(["m", 0]);
    }
    graph["9"] = json!({ "class_type": figure["class"], "inputs": inputs });
    graph
}

/// What differs, if anything does.
fn difference(figure: &Json, left: &Left) -> Option<String> {
    if let Some(numbers) = figure.get("numbers") {
        let found: Vec<&Json> = (0..2)
            .filter_map(|slot| match left.0.get(&format!("9/{slot}")) {
                Some(Part::Plain(plain)) => Some(plain),
                _ => None,
            })
            .collect();
        return (json!(found) != *numbers).then(|| format!("{found:?}"));
    }
    let Some(Part::Tensor(tensor)) = left.0.get("9/0") else { return Some("there is no picture".to_owned()) };
    let values = Vec::<f32>::try_from(tensor.to_kind(Kind::Float).contiguous().view(-1)).unwrap();
    let whole = |value: &f32| (value * 255.0).round_ties_even() as i32;
    if values.iter().any(|value| whole(value) as f32 / 255.0 != *value) {
        return Some("the values are no bytes".to_owned());
    }
    let bytes: Vec<u8> = values.iter().map(|value| whole(value) as u8).collect();
    let found = (json!(tensor.size()), json!(digest(&bytes)));
    (found != (figure["shape"].clone(), figure["digest"].clone())).then(|| format!("{found:?}"))
}

#[test]
fn every_byte_is_the_packs() {
    let figures = include_str!("figures.jsonl");
    assert!(figures.lines().count() > 800);
    let mut failures = Vec::new();
    for line in figures.lines() {
        let figure: Json = serde_json::from_str(line).unwrap();
        let found = match run(&graph(&figure), "nowhere".as_ref()) {
            Ok(left) => difference(&figure, &left),
            Err(error) => Some(error),
        };
        failures.extend(found.map(|found| format!("{found}\n    {line}")));
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn refused(class: &str, inputs: &Json) -> String {
    let mut inputs = inputs.clone();
    inputs["image"] = json!(["p", 0]);
    let picture = test_picture(&json!("noise"), &json!([20, 30, 3]), &json!(2));
    let mask = json!({ "class_type": "SolidMask", "inputs": { "value": 1.0, "width": 8, "height": 8 } });
    let graph = json!({ "p": picture, "m": mask, "9": { "class_type": class, "inputs": inputs } });
    run(&graph, "nowhere".as_ref()).err().unwrap_or_default()
}

#[test]
fn what_cannot_be_made_is_said() {
    let missing = refused("AIO_Preprocessor", &json!({ "preprocessor": "DepthAnythingV2Preprocessor" }));
    assert!(missing.contains("cannot run DepthAnythingV2Preprocessor here; choose one of"), "{missing}");
    let sigma = refused("LineartStandardPreprocessor", &json!({ "guassian_sigma": 0.0 }));
    assert!(sigma.contains("input 'guassian_sigma' is 0; set it above 0"), "{sigma}");
    let small = refused("TilePreprocessor", &json!({ "pyrUp_iters": 10 }));
    assert!(small.contains("nothing is left of 20 × 30 pixels after 10 halvings"), "{small}");
    let masks = refused("InpaintPreprocessor", &json!({ "mask": ["m", 0] }));
    assert!(masks.contains("there are 2 pictures and 1 masks"), "{masks}");
}

/// What the editor sees of a class, but for its texts: inputs, outputs, title and place in the menu. The pack's table knows of a choice of
/// files its default alone.
fn seen(schema: &Schema) -> (Vec<Input>, Vec<(String, String)>, String, String) {
    let plain = |input: &Input| {
        let kind = match &input.kind {
            schema::Kind::Combo { options: Options::Files { .. }, default, .. } => {
                schema::Kind::Widget { ty: "COMBO".to_owned(), default: default.clone().map(Json::from) }
            }
            other => other.clone(),
        };
        Input { tooltip: String::new(), kind, ..input.clone() }
    };
    let outputs = schema.outputs.iter().map(|output| (output.name.clone(), output.ty.clone()));
    let inputs = schema.inputs.iter().map(plain).collect();
    (inputs, outputs.collect(), schema.display_name.clone(), schema.category.clone())
}

#[test]
fn every_class_is_declared_as_in_the_pack() {
    let registry = Registry::linked().unwrap();
    let names = Foreign::names().filter(|name| Foreign::of(name).unwrap().pack.name == "comfyui_controlnet_aux");
    let classes: Vec<&str> = names.filter(|name| registry.schema(name).is_some()).collect();
    assert_eq!(classes.len(), 19, "{classes:?}");
    for class in classes {
        let (ours, theirs) = (registry.schema(class).unwrap(), Foreign::of(class).unwrap().schema());
        assert_eq!(seen(ours), seen(theirs), "{class}");
    }
}
