//! Folders of pictures.

use redraft_nodes::pictures::write::encode_rounded;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::{base, greys, node, plain, tensor};
use crate::graphs;

fn picture(level: f64, width: i64, height: i64) -> Tensor {
    Tensor::full([height, width, 3], level, (Kind::Float, Device::Cpu))
}

#[test]
fn pictures_of_a_folder_get_the_size_of_most() {
    let base = base();
    let folder = base.path().join("input/frames");
    std::fs::create_dir(&folder).unwrap();
    let write =
        |name: &str, image: &Tensor| std::fs::write(folder.join(name), encode_rounded(image, &[]).unwrap()).unwrap();
    write("b.png", &picture(0.2, 8, 6));
    write("a.png", &picture(0.0, 5, 7));
    write("c.png", &picture(0.6, 8, 6));
    std::fs::write(folder.join("note.txt"), "").unwrap();
    let load = |class: &str, directory: &str, more: serde_json::Value| {
        let mut inputs = json!({ "directory": directory });
        more.as_object().unwrap().iter().for_each(|(name, value)| inputs[name] = value.clone());
        let graph = json!({
            "load": node(class, inputs),
            "look": node("PreviewImage", json!({ "images": ["load", 0] })),
        });
        graphs::run(&graph, base.path())
    };
    let left = load("VHS_LoadImages", "frames", json!({})).unwrap();
    assert_eq!(tensor(&left, "load/0").size(), [3, 6, 8, 3]);
    assert_eq!(greys(tensor(&left, "load/0")), [0, 51, 153]);
    assert_eq!((tensor(&left, "load/1").size(), plain(&left, "load/2")), (vec![3, 64, 64], json!(3)));
    let part = json!({ "skip_first_images": 1, "select_every_nth": 1, "image_load_cap": 1 });
    let left = load("VHS_LoadImagesPath", "input/frames/", part).unwrap();
    assert_eq!(greys(tensor(&left, "load/0")), [51]);
    // One picture with alpha gives all of them masks.
    write("d.png", &Tensor::cat(&[picture(1.0, 8, 6), Tensor::full([6, 8, 1], 0.2, (Kind::Float, Device::Cpu))], -1));
    let left = load("VHS_LoadImages", "frames", json!({})).unwrap();
    let masks = tensor(&left, "load/1");
    assert_eq!(masks.size(), [4, 6, 8]);
    assert_eq!([0, 3].map(|at| (masks.get(at).max().double_value(&[]) * 100.0).round()), [0.0, 80.0]);
    let error = load("VHS_LoadImagesPath", "input/none", json!({})).err().unwrap();
    assert!(error.contains("there is no folder 'none' in the input folder"), "{error}");
}

#[test]
fn a_picture_is_read_by_its_path() {
    let base = base();
    std::fs::write(base.path().join("input/a.png"), encode_rounded(&picture(0.4, 20, 10), &[]).unwrap()).unwrap();
    let graph = |width: i64| {
        json!({
            "load": node("VHS_LoadImagePath", json!({ "image": "input/a.png", "custom_width": width, "custom_height": 0 })),
            "look": node("PreviewImage", json!({ "images": ["load", 0] })),
        })
    };
    let left = graphs::run(&graph(0), base.path()).unwrap();
    assert_eq!((tensor(&left, "load/0").size(), tensor(&left, "load/1").size()), (vec![1, 10, 20, 3], vec![1, 64, 64]));
    let left = graphs::run(&graph(40), base.path()).unwrap();
    assert_eq!(tensor(&left, "load/0").size(), [1, 20, 40, 3]);
}

#[test]
fn lists_become_one_batch() {
    let picture = |batch: i64| node("EmptyImage", json!({ "width": 4, "height": 4, "batch_size": batch, "color": 0 }));
    let graph = json!({
        "a": picture(1), "b": picture(2),
        "list": node("ImpactMakeImageList", json!({ "image1": ["a", 0], "image2": ["b", 0] })),
        "one": node("VHS_Unbatch", json!({ "batched": ["list", 0] })),
        "count": node("VHS_GetImageCount", json!({ "images": ["one", 0] })),
        "texts": node("GODMT_SplitString", json!({ "text": "x,y", "delimiter": "," })),
        "look": node("PreviewAny", json!({ "source": ["count", 0] })),
    });
    let mut graph = graph;
    graph.as_object_mut().unwrap().remove("texts");
    let left = graphs::run(&graph, "nowhere".as_ref()).unwrap();
    assert_eq!(plain(&left, "count/0"), json!(3));
}
