//! Lists of pictures and of other values, as Impact makes them.

use redraft_nodes::values::Part;
use serde_json::{Value as Json, json};

use crate::graphs;

fn node(class: &str, inputs: Json) -> Json {
    json!({ "class_type": class, "inputs": inputs })
}

fn picture(width: u64, batch: u64) -> Json {
    node("EmptyImage", json!({ "width": width, "height": 4, "batch_size": batch, "color": 0 }))
}

/// The number that a node of the graph gives, at a place of its list.
fn int(left: &graphs::Left, key: &str) -> Option<i64> {
    match left.0.get(key) {
        Some(Part::Plain(plain)) => plain.as_i64(),
        _ => None,
    }
}

#[test]
fn what_stands_behind_a_list_runs_for_each_of_it() {
    let graph = json!({
        "a": picture(3, 1), "b": picture(5, 2), "c": picture(7, 3),
        "list": node("ImpactMakeImageList", json!({ "image1": ["a", 0], "image2": ["b", 0], "image4": ["c", 0] })),
        "any": node("ImpactMakeAnyList", json!({ "value1": ["c", 0], "value3": ["a", 0] })),
        "each": node("ImpactImageBatchToImageList", json!({ "image": ["c", 0] })),
        "size": node("GetImageSize", json!({ "image": ["list", 0] })),
        "anysize": node("GetImageSize", json!({ "image": ["any", 0] })),
        "eachsize": node("GetImageSize", json!({ "image": ["each", 0] })),
    });
    let left = graphs::run(&graph, "nowhere".as_ref()).unwrap();
    let all =
        |key: &str| [0, 1, 2, 3].map(|at| int(&left, &if at == 0 { key.to_owned() } else { format!("{key}/#{at}") }));
    assert_eq!(all("size/0"), [Some(3), Some(5), Some(7), None]);
    assert_eq!(all("size/2"), [Some(1), Some(2), Some(3), None]);
    assert_eq!(all("anysize/0"), [Some(7), Some(3), None, None]);
    assert_eq!(all("eachsize/2"), [Some(1), Some(1), Some(1), None]);
}

#[test]
fn one_value_of_a_list_is_taken() {
    let chosen = |index: i64| {
        let graph = json!({
            "a": picture(3, 1), "b": picture(5, 1),
            "list": node("ImpactMakeAnyList", json!({ "value1": ["a", 0], "value2": ["b", 0] })),
            "one": node("ImpactSelectNthItemOfAnyList", json!({ "any_list": ["list", 0], "index": index })),
            "size": node("GetImageSize", json!({ "image": ["one", 0] })),
        });
        graphs::run(&graph, "nowhere".as_ref()).map(|left| int(&left, "size/0"))
    };
    assert_eq!([0, 1, 9, -1, -2].map(|index| chosen(index).unwrap()), [3, 5, 5, 5, 3].map(Some));
    assert!(chosen(-3).err().unwrap().contains("the list has 2 values"));
}

/// Another size than the first picture's is resized, and another number of channels refused.
#[test]
fn batches_are_of_pictures_alike() {
    let graph = json!({
        "a": picture(8, 1), "b": picture(5, 2),
        "batch": node("ImpactMakeImageBatch", json!({ "image1": ["a", 0], "image2": ["b", 0] })),
        "size": node("GetImageSize", json!({ "image": ["batch", 0] })),
        "mask": node("SolidMask", json!({ "value": 0.5, "width": 8, "height": 4 })),
        "alpha": node("JoinImageWithAlpha", json!({ "image": ["a", 0], "alpha": ["mask", 0] })),
    });
    let left = graphs::run(&graph, "nowhere".as_ref()).unwrap();
    assert_eq!([0, 1, 2].map(|slot| int(&left, &format!("size/{slot}"))), [8, 4, 3].map(Some));
    let mut mixed = graph;
    mixed["batch"]["inputs"]["image3"] = json!(["alpha", 0]);
    let error = graphs::run(&mixed, "nowhere".as_ref()).err().unwrap();
    assert!(error.contains("input 'image3' has 4 channels beside 3"), "{error}");
}

/// A list becomes one value and a list again.
#[test]
fn a_list_is_one_value_in_between() {
    let graph = json!({
        "a": picture(3, 1), "b": picture(5, 2),
        "list": node("ImpactMakeAnyList", json!({ "value1": ["a", 0], "value2": ["b", 0] })),
        "one": node("GODMT_ListToBatch", json!({ "ANY": ["list", 0] })),
        "again": node("GODMT_BatchToList", json!({ "LIST": ["one", 0] })),
        "size": node("GetImageSize", json!({ "image": ["again", 0] })),
        "split": node("GODMT_SplitString", json!({ "STRING": "x,yy", "delimiter": ",", "splitlines": false, "strip": true })),
        "texts": node("GODMT_BatchToList", json!({ "LIST": ["split", 1] })),
        "length": node("StringLength", json!({ "string": ["texts", 0] })),
    });
    let left = graphs::run(&graph, "nowhere".as_ref()).unwrap();
    let all =
        |key: &str| [0, 1, 2].map(|at| int(&left, &if at == 0 { key.to_owned() } else { format!("{key}/#{at}") }));
    assert_eq!(all("size/0"), [Some(3), Some(5), None]);
    assert_eq!(all("size/2"), [Some(1), Some(2), None]);
    assert_eq!(all("length/0"), [Some(1), Some(2), None]);
}

/// Pictures that one graph saves, another reads from their folder.
#[test]
fn pictures_are_read_from_a_folder() {
    let base = tempfile::tempdir().unwrap();
    let base = base.path();
    let save = |width: u64, prefix: &str| {
        let graph = json!({ "a": picture(width, 1), "s": node("SaveImage", json!({ "images": ["a", 0], "filename_prefix": prefix })) });
        graphs::run(&graph, base).unwrap();
    };
    (2..5).for_each(|width| save(width, &format!("frames/p{width}")));
    let load = |class: &str, inputs: Json| {
        let graph = json!({
            "l": node(class, inputs), "size": node("GetImageSize", json!({ "image": ["l", 0] })),
            "mask": node("MaskToImage", json!({ "mask": ["l", 1] })), "masks": node("GetImageSize", json!({ "image": ["mask", 0] })),
        });
        graphs::run(&graph, base)
    };
    let inputs = json!({ "directory": "output/frames", "image_load_cap": 2, "start_index": 1, "load_always": false, "sort_method": "None" });
    let batch = load("LoadImagesFromDir //Inspire", inputs.clone()).unwrap();
    assert_eq!(
        ["size/0", "size/1", "size/2", "l/2", "masks/0"].map(|key| int(&batch, key)),
        [3, 4, 2, 2, 64].map(Some)
    );
    let list = load("LoadImageListFromDir //Inspire", inputs).unwrap();
    let widths = ["size/0", "size/0/#1", "size/0/#2"].map(|key| int(&list, key));
    assert_eq!(widths, [Some(3), Some(4), None]);
    let elsewhere = load("LoadImagesFromDir //Inspire", json!({ "directory": "/etc" })).err().unwrap();
    assert!(elsewhere.contains("leads out of the folders input, output and temp"), "{elsewhere}");
}

/// What only the other branch needs does not run.
#[test]
fn a_switch_runs_what_it_passes_on() {
    let graph = json!({
        "a": picture(3, 1), "wrong": node("ImpactSelectNthItemOfAnyList", json!({ "any_list": ["a", 0], "index": -9 })),
        "switch": node("ImpactSwitch", json!({ "select": 2, "sel_mode": false, "input1": ["wrong", 0], "input2": ["a", 0] })),
        "size": node("GetImageSize", json!({ "image": ["switch", 0] })),
        "puter": node("Power Puter (rgthree)", json!({
            "outputs": { "outputs": ["INT"] }, "code": "_, height, width, _ = a.shape\nreturn height * 100 + width", "a": ["switch", 0],
        })),
        "sum": node("SimpleMath+", json!({ "value": "a + 1", "a": ["puter", 0] })),
    });
    let left = graphs::run_for(&graph, "nowhere".as_ref(), &["size", "sum"]).unwrap();
    assert_eq!([int(&left, "size/0"), int(&left, "sum/0")], [Some(3), Some(404)]);
}
