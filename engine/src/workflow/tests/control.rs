//! What the editor changes between two runs.

use super::*;

fn advanced(node: Value) -> Value {
    let info = json!({
        "Sample": {"input": {"required": {
            "seed": ["INT", {"min": 0, "max": u64::MAX}], "steps": ["INT", {"default": 20}],
        }}, "output": ["LATENT"]},
        "Stepped": {"input": {"required": {
            "n": ["INT", {"min": 10, "max": 50, "step": 10, "control_after_generate": true}],
        }}, "output": []},
        "Choose": {"input": {"required": {
            "name": [["red", "green", "dark red"], {"control_after_generate": true}],
        }}, "output": []},
    });
    let schemas = ObjectInfo::from_json(&info);
    let context = Context { schemas: &schemas, folders: &(), seed: 5, now: LocalTime::default() };
    advance(&file(vec![node], json!([])), &context).unwrap()["nodes"][0]["widgets_values"].clone()
}

#[test]
fn numbers_step_within_their_range() {
    let sample = |values: Value| advanced(node(1, "Sample", json!([]), values));
    assert_eq!(sample(json!([7, "fixed", 30])), json!([7, "fixed", 30]));
    assert_eq!(sample(json!([7, "increment", 30])), json!([8, "increment", 30]));
    assert_eq!(sample(json!([0, "decrement", 30])), json!([0, "decrement", 30]));
    // The editor's reach is 2^50, whatever the class allows.
    assert_eq!(sample(json!([u64::MAX, "increment", 30]))[0], 1u64 << 50);
    let drawn = sample(json!([7, "randomize", 30]))[0].as_u64().unwrap();
    assert!(drawn != 7 && drawn < 1 << 50, "{drawn}");
    assert_eq!(sample(json!([7, true, 30]))[0], drawn);
    assert_eq!(sample(json!([7, false, 30]))[0], 7);
    let stepped = advanced(node(1, "Stepped", json!([]), json!([20, "randomize"])))[0].as_u64().unwrap();
    assert!([10, 20, 30, 40].contains(&stepped), "{stepped}");
}

#[test]
fn combos_step_through_what_the_filter_leaves() {
    let choose = |value: &str, control: &str, filter: &str| {
        advanced(node(1, "Choose", json!([]), json!([value, control, filter])))[0].clone()
    };
    assert_eq!(choose("red", "increment", ""), "green");
    assert_eq!(choose("dark red", "increment", ""), "dark red");
    assert_eq!(choose("dark red", "increment-wrap", ""), "red");
    assert_eq!(choose("red", "increment", "RED"), "dark red");
    assert_eq!(choose("red", "decrement", ""), "red");
    assert_eq!(choose("red", "randomize", "green"), "green");
    assert_eq!(choose("red", "randomize", "none such"), "red");
}

#[test]
fn a_primitive_s_range_is_its_target_s() {
    let primitive =
        with(node(1, "PrimitiveNode", json!([]), json!([30, "increment"])), json!({"outputs": [{"links": [1]}]}));
    let target = node(2, "Stepped", json!([["n", "INT", 1, "n"]]), json!([30, "fixed"]));
    let info = json!({"Stepped": {"input": {"required": {
        "n": ["INT", {"min": 10, "max": 50, "step": 10, "control_after_generate": true}],
    }}, "output": []}});
    let schemas = ObjectInfo::from_json(&info);
    let context = Context { schemas: &schemas, folders: &(), seed: 5, now: LocalTime::default() };
    let after = advance(&file(vec![primitive, target], json!([[1, 1, 0, 2, 0, "INT"]])), &context).unwrap();
    assert_eq!(after["nodes"][0]["widgets_values"], json!([40, "increment"]));
}
