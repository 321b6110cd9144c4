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
