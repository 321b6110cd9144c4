use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use serde_json::{Map, Value as Json};

use super::save_image::{announce, metadata};
use crate::pictures::names::save_location;
use crate::pictures::write::write_numbered;
use crate::python::json::dumps_indented;
use crate::values::Svg;

/// Saves drawings as SVG files in the output folder, each with the workflow that made it.
#[derive(Node)]
#[node(class = "SaveSVGNode", category = "image/save", output, hidden("prompt", "extra_pnginfo"))]
struct SaveSvg {
    svg: Svg,
    /// The prefix of the files' names. It may contain subfolders.
    #[input(default = "svg/ComfyUI")]
    filename_prefix: String,
}

impl Run for SaveSvg {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let now = chrono::Local::now().naive_local();
        let location = save_location(&self.filename_prefix, &cx.folders.output, 0, 0, now)?;
        let metadata: Map<String, Json> = metadata(cx).into_iter().collect();
        let mut counter = location.counter;
        for (number, drawing) in self.svg.0.iter().enumerate() {
            let text = with_metadata(drawing, metadata.clone());
            let name =
                |counter| format!("{}_{counter:05}_.svg", location.name.replace("%batch_num%", &number.to_string()));
            let saved = write_numbered(&location, &mut counter, name, text.as_bytes())?;
            announce(cx, "images", &location, saved, "output")?;
        }
        Ok(())
    }
}

/// The drawing with the metadata inserted after each of its `<svg>` tags.
fn with_metadata(drawing: &str, metadata: Map<String, Json>) -> String {
    if metadata.is_empty() {
        return drawing.to_owned();
    }
    let json = dumps_indented(&Json::Object(metadata), 2);
    let element = format!(
        "\n  <metadata>\n                <![CDATA[\n            {json}\n                ]]>\n            </metadata>\n            "
    );
    let mut text = String::with_capacity(drawing.len() + element.len());
    let mut rest = drawing;
    while let Some(at) = rest.find("<svg") {
        let Some(end) = rest[at..].find('>').map(|length| at + length + 1) else { break };
        text += &rest[..end];
        text += &element;
        rest = &rest[end..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Python's `re.sub(r'(<svg[^>]*>)', ...)` inserts the metadata at the same positions.
    #[test]
    fn metadata_stands_behind_every_opening_tag() {
        let metadata = json!({"prompt": {"1": ["ü", 1.0]}, "workflow": {}}).as_object().cloned().unwrap_or_default();
        let saved = with_metadata("<?xml?><svg width='1'>\n<g/><svg></svg></svg><svg", metadata);
        let element = "\n  <metadata>\n                <![CDATA[\n            {\n  \"prompt\": {\n    \"1\": [\n      \
                       \"\\u00fc\",\n      1.0\n    ]\n  },\n  \"workflow\": {}\n}\n                ]]>\n            \
                       </metadata>\n            ";
        assert_eq!(saved, format!("<?xml?><svg width='1'>{element}\n<g/><svg>{element}</svg></svg><svg"));
        assert_eq!(with_metadata("<svg/>", Map::new()), "<svg/>");
    }
}
