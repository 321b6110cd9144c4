//! Values that the nodes of ComfyUI-VideoHelperSuite kept in older files, brought to the names and widgets of today, as the pack's own
//! script does when it opens a file.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::ui;

/// The widgets of a file that has its values in a list; nothing for a button.
fn listed(class: &str) -> Option<&'static [&'static str]> {
    Some(match class {
        "VHS_LoadImages" => &["directory", "", "image_load_cap", "skip_first_images", "select_every_nth"],
        "VHS_LoadImagesPath" => &["directory", "image_load_cap", "skip_first_images", "select_every_nth"],
        "VHS_VideoCombine" => &["frame_rate", "loop_count", "filename_prefix", "format", "pingpong", "save_output"],
        "VHS_LoadVideo" | "VHS_LoadVideoPath" => {
            &["video", "force_rate", "force_size", "frame_load_cap", "skip_first_frames", "select_every_nth"]
        }
        _ => return None,
    })
}

/// A node with its values by the names of today.
pub(super) fn in_node(raw: Cow<'_, ui::Node>) -> Cow<'_, ui::Node> {
    if !raw.class.starts_with("VHS_") {
        return raw;
    }
    let Some(named) = named(&raw) else { return raw };
    let mut node = raw.into_owned();
    (node.widgets, node.named) = (Value::Object(named), Value::Null);
    Cow::Owned(node)
}

/// The values by name, if anything about them is old.
fn named(raw: &ui::Node) -> Option<Map<String, Value>> {
    let mut named = match (&raw.widgets, listed(&raw.class)) {
        (Value::Object(named), _) => named.clone(),
        // The list of a file of today is not read by name: a button stands in it, and a size is a text there.
        (Value::Array(values), Some(names)) if is_old(&raw.class, values) && values.len() >= names.len() => {
            let pairs = names.iter().zip(values).filter(|(name, _)| !name.is_empty());
            pairs.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        }
        _ => return None,
    };
    let before = named.clone();
    if let (true, false, Some(value)) =
        (raw.class == "VHS_VideoCombine", named.contains_key("save_output"), named.get("save_image").cloned())
    {
        named.shift_remove("save_image");
        named.insert("save_output".to_owned(), value);
    }
    if let Some(size) = named.shift_remove("force_size") {
        let size = size.as_str().unwrap_or_default().to_owned();
        sides(&size).into_iter().for_each(|(name, side)| drop(named.insert(name.to_owned(), json!(side))));
    }
    (raw.widgets.is_array() || named != before).then_some(named)
}

fn is_old(class: &str, values: &[Value]) -> bool {
    match class {
        "VHS_LoadImages" => values.get(1).is_some_and(Value::is_string),
        "VHS_LoadVideo" | "VHS_LoadVideoPath" => values.get(2).is_some_and(Value::is_string),
        _ => false,
    }
}

/// The sides that a size such as `256x?` or `Custom Width` sets; 0 leaves a side as it is.
fn sides(size: &str) -> Vec<(&'static str, u64)> {
    const NAMES: [&str; 2] = ["custom_width", "custom_height"];
    if let Some((width, height)) = size.split_once('x') {
        return NAMES.into_iter().zip([width, height].map(|side| side.parse().unwrap_or(0))).collect();
    }
    let width = matches!(size, "Disabled" | "Custom Height").then_some((NAMES[0], 0));
    let height = matches!(size, "Disabled" | "Custom Width").then_some((NAMES[1], 0));
    width.into_iter().chain(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today(class: &str, widgets: Value) -> Value {
        let raw = ui::Node { class: class.to_owned(), widgets, ..ui::Node::default() };
        in_node(Cow::Owned(raw)).into_owned().widgets
    }

    #[test]
    fn sizes_of_old_files_are_two_numbers() {
        let named = today("VHS_LoadVideo", json!({ "video": "a.mp4", "force_size": "256x?" }));
        assert_eq!(named, json!({ "video": "a.mp4", "custom_width": 256, "custom_height": 0 }));
        let listed = today("VHS_LoadVideoPath", json!(["input/a.mp4", 0, "Disabled", 16, 2, 1, null]));
        let wanted = json!({
            "video": "input/a.mp4", "force_rate": 0, "frame_load_cap": 16, "skip_first_frames": 2, "select_every_nth": 1,
            "custom_width": 0, "custom_height": 0
        });
        assert_eq!(listed, wanted);
        let kept = today("VHS_LoadVideo", json!({ "force_size": "Custom Width", "custom_width": 64 }));
        assert_eq!(kept, json!({ "custom_width": 64, "custom_height": 0 }));
    }

    #[test]
    fn saving_in_the_output_folder_was_called_otherwise() {
        let named = today("VHS_VideoCombine", json!({ "save_image": false, "crf": 20 }));
        assert_eq!(named, json!({ "crf": 20, "save_output": false }));
        let listed = json!([8, 0, "AnimateDiff", "image/gif", false, true]);
        assert_eq!(today("VHS_VideoCombine", listed.clone()), listed);
        let others = json!(["a.png", "image"]);
        assert_eq!(today("LoadImage", others.clone()), others);
    }
}
