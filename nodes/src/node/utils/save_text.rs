use redraft_engine::cx::Cx;
use redraft_engine::memory::ask_text;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};
use serde_json::Value as Json;

use crate::node::image::announce;
use crate::pictures::names::save_location;
use crate::pictures::write::write_numbered;
use crate::python::json::dumps_readable;

/// Saves a text in the output folder, and passes it on. JSON is written with a line for each value, if the text is any.
#[derive(Node)]
#[node(category = "text", display = "Save Text", output, hidden("prompt", "extra_pnginfo"))]
struct SaveText {
    #[input(force_input)]
    text: String,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
    #[input(default = "txt")]
    format: Format,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Format {
    Txt,
    Csv,
    Md,
    Json,
}

#[derive(Outputs)]
struct Passed {
    #[output(name = "text")]
    text: String,
}

impl Run for SaveText {
    type Out = Passed;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Passed> {
        let now = chrono::Local::now().naive_local();
        let location = save_location(&self.filename_prefix, &cx.folders.output, 1, 1, now)?;
        let ending = match self.format {
            Format::Txt => "txt",
            Format::Csv => "csv",
            Format::Md => "md",
            Format::Json => "json",
        };
        ask_text(self.text.len())?;
        let json: Option<Json> = if self.format == Format::Json { serde_json::from_str(&self.text).ok() } else { None };
        let written = json.map_or_else(|| self.text.clone(), |json| dumps_readable(&json, 2));
        let mut counter = location.counter;
        let name = |counter| format!("{}_{counter:05}.{ending}", location.name);
        let saved = write_numbered(&location, &mut counter, name, written.as_bytes())?;
        cx.ui("text", self.text.clone());
        announce(cx, "files", &location, saved, "output")?;
        Ok(Passed { text: self.text })
    }
}
