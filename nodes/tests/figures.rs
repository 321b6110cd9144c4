//! Small graphs without files against ComfyUI 0.8.0: shape, mean and three values of what one node gives.
//!
//! Recorded from the reference's own executor on a CPU with one thread.
#![allow(clippy::unwrap_used)]

mod families;
mod graphs;
mod seeing;

use redraft_nodes::values::Part;
use serde_json::{Value as Json, json};
use tch::Tensor;

use graphs::{Left, compare_all, run};

#[test]
fn nodes_give_what_comfyui_gives() {
    compare_all(include_str!("figures.jsonl"), 50);
}

fn tensor<'l>(left: &'l Left, key: &str) -> &'l Tensor {
    match left.0.get(key) {
        Some(Part::Tensor(tensor)) => tensor,
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn saved_latents_are_read_again() {
    let base = tempfile::tempdir().unwrap();
    let node = |class: &str, inputs: Json| json!({"class_type": class, "inputs": inputs});
    let saving = json!({
        "1": node("EmptyLatentImage", json!({"width": 24, "height": 16, "batch_size": 2})),
        "2": node("SaveLatent", json!({"samples": ["1", 0], "filename_prefix": "a/x"}))
    });
    run(&saving, base.path()).unwrap();
    let load = json!({"1": node("LoadLatent", json!({"latent": "a/x_00001_.latent [output]"}))});
    assert_eq!(tensor(&run(&load, base.path()).unwrap(), "1/0/samples").size(), [2, 4, 2, 3]);

    // A file of the older format: its values are scaled.
    let old = Tensor::from_slice(&[0.18215f32, -0.3643]).view([1, 1, 1, 2]);
    std::fs::create_dir_all(base.path().join("input")).unwrap();
    redraft_nodes::files::tensor_file::save(&base.path().join("input/old.latent"), [("latent_tensor", &old)]).unwrap();
    let left = run(&json!({"1": node("LoadLatent", json!({"latent": "old.latent"}))}), base.path()).unwrap();
    let values: Vec<f32> = Vec::try_from(tensor(&left, "1/0/samples").flatten(0, -1)).unwrap();
    assert!((values[0] - 1.0).abs() < 1e-6 && (values[1] + 2.0).abs() < 1e-6, "{values:?}");
    let error = run(&json!({"1": node("LoadLatent", json!({"latent": "none.latent"}))}), base.path()).err().unwrap();
    assert!(error.contains("names the file \"none.latent\", which is not in"), "{error}");
}

#[test]
fn a_saved_data_set_is_read_again() {
    let base = tempfile::tempdir().unwrap();
    let node = |class: &str, inputs: Json| json!({"class_type": class, "inputs": inputs});
    let saving = |folder: &str, prefix: &str| {
        json!({
            "1": node("EmptyImage", json!({"width": 5, "height": 4, "batch_size": 3, "color": 0x336699})),
            "2": node("RebatchImages", json!({"images": ["1", 0], "batch_size": 1})),
            "3": node("AddTextSuffix", json!({"texts": " A ", "suffix": "b"})),
            "4": node("TextToUppercase", json!({"texts": ["3", 0]})),
            "5": node("SaveImageTextDataSetToFolder",
                json!({"images": ["2", 0], "texts": ["4", 0], "folder_name": folder, "filename_prefix": prefix}))
        })
    };
    for _ in 0..2 {
        run(&saving("set/one", "p"), base.path()).unwrap();
    }
    let mut names: Vec<_> =
        std::fs::read_dir(base.path().join("output/set/one")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["p_00000.png", "p_00000.txt", "p_00001.png", "p_00002.png"], "replaced, not added to");
    for (folder, prefix) in [("../out", "p"), ("/tmp/out", "p"), ("set", "../p"), ("set", "a/p")] {
        let error = run(&saving(folder, prefix), base.path()).err().unwrap();
        assert!(error.contains("leaves") || error.contains("take out slashes"), "{error}");
    }

    std::fs::create_dir_all(base.path().join("input")).unwrap();
    std::fs::rename(base.path().join("output/set"), base.path().join("input/set")).unwrap();
    let load = json!({"1": node("LoadImageTextDataSetFromFolder", json!({"folder": "set/one"}))});
    let left = run(&load, base.path()).unwrap();
    assert_eq!(tensor(&left, "1/0/#2").size(), [1, 4, 5, 3]);
    assert!((tensor(&left, "1/0").double_value(&[0, 0, 0, 2]) - 0.6).abs() < 1e-6);
    let texts = ["1/1", "1/1/#1", "1/1/#2"].map(|key| match &left.0[key] {
        Part::Plain(text) => text.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts, ["A B", "", ""]);
    let missing = json!({"1": node("LoadImageDataSetFromFolder", json!({"folder": "sot/one"}))});
    let error = run(&missing, base.path()).err().unwrap();
    assert!(error.contains("names the file \"sot/one\"") && error.contains("'set/one'"), "{error}");
}
