//! What third-party packs declare of their nodes, also of those that we cannot run: it lets a file that uses them be converted, checked,
//! and explained. `scripts/pack-declarations.py` makes the table.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::folder_kinds::FolderKind;
use crate::schema::{Input, Kind, Options, Schema};
use crate::table::Row;
use crate::versions::Line;

/// A line that names a pack, and behind it its classes, each a line as those of ComfyUI's own.
const LINES: &str = include_str!("../data/packs.jsonl");

/// A pack of nodes, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ForeignPack {
    pub name: String,
    pub source: String,
    /// `GPL-3.0`, or that none is named.
    pub licence: String,
}

/// The line that names a pack.
#[derive(Deserialize)]
struct Head {
    pack: ForeignPack,
}

/// A class of a pack.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    pub pack: &'static ForeignPack,
    line: &'static Line,
}

struct Table {
    packs: Vec<ForeignPack>,
    /// Each class's line and the place of its pack.
    classes: HashMap<&'static str, (usize, Line)>,
}

/// It is read when the first class is asked for that is not ComfyUI's own.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { packs: Vec::new(), classes: HashMap::new() };
    for text in LINES.lines() {
        match Line::of(text) {
            Some(line) => {
                table.classes.entry(line.class).or_insert((table.packs.len().saturating_sub(1), line));
            }
            None => table.packs.extend(serde_json::from_str(text).map(|head: Head| head.pack)),
        }
    }
    table
});

impl Foreign {
    /// A class, if a pack declares it.
    pub fn of(class: &str) -> Option<Self> {
        let (pack, line) = TABLE.classes.get(class)?;
        Some(Self { pack: TABLE.packs.get(*pack)?, line })
    }

    /// The names of all classes, in no order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.classes.keys().copied()
    }

    /// The declaration. A combo whose choices are files that only the pack has takes any value.
    pub fn schema(&self) -> &'static Schema {
        self.line.schema(|entry| {
            let mut schema = Schema::from_object_info(self.line.class, entry);
            schema.inputs.iter_mut().for_each(|input| read_from_folder(input, &entry["folders"][&input.name]));
            schema
        })
    }

    /// Whether the node reads a model: it lists a folder of them, or chooses one by name.
    pub fn needs_model(&self) -> bool {
        let lists = |folders: &Value| folders.as_object().is_some_and(|folders| !folders.is_empty());
        let chooses = |input: &Input| {
            let named = ["model", "ckpt"].iter().any(|word| input.name.contains(word));
            let combo = matches!(&input.kind, Kind::Combo { .. })
                || matches!(&input.kind, Kind::Widget { ty, .. } if ty == "COMBO");
            named && combo
        };
        lists(&self.line.entry()["folders"]) || self.schema().inputs.iter().any(chooses)
    }

    /// Which pack the class is of, in words.
    pub fn describe(&self) -> String {
        let model = if self.needs_model() { " and a model" } else { "" };
        let ForeignPack { name, source, licence } = self.pack;
        format!("a node of the pack {name} ({source}, {licence}), which needs that pack{model}")
    }
}

/// Gives a combo of files its folder. `folder` is the kind's name and choices beside the files, where the declaration has them.
fn read_from_folder(input: &mut Input, folder: &Value) {
    let Kind::Combo { options, upload, default, .. } = &mut input.kind else { return };
    let known = folder[0].as_str().filter(|kind| FolderKind::find(kind).is_some());
    let folder_of = known.or(upload.is_some().then_some("input"));
    let empty = matches!(options, Options::Fixed(choices) if choices.is_empty());
    match folder_of {
        Some(kind) => {
            let besides = folder.as_array().into_iter().flatten().skip(1).filter_map(Value::as_str);
            *options = Options::Files { folder: kind.to_owned(), besides: besides.map(str::to_owned).collect() };
        }
        None if empty => {
            input.kind =
                Kind::Widget { ty: "COMBO".to_owned(), default: default.as_ref().map(|default| json!(default)) };
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    /// What holds of every declaration that a conversion can be made with.
    fn flaw(foreign: Foreign) -> Option<String> {
        let schema = foreign.schema();
        let mut names = HashSet::new();
        for input in &schema.inputs {
            if input.name.is_empty() || !names.insert(&input.name) {
                return Some(format!("an input is called `{}` like another", input.name));
            }
            let default = input.kind.default(&());
            let within = match &input.kind {
                Kind::Int { min: Some(min), max: Some(max), .. } => min <= max,
                Kind::Float { min: Some(min), max: Some(max), .. } => min <= max,
                Kind::Combo { options: Options::Fixed(choices), default, .. } => {
                    let known = |default: &String| default.is_empty() || choices.contains(default);
                    !choices.is_empty() && default.as_ref().is_none_or(known)
                }
                Kind::Socket(ty) => !ty.is_empty(),
                _ => true,
            };
            if !within {
                return Some(format!("`{}` has the default {default:?} and is {:?}", input.name, input.kind));
            }
        }
        schema.outputs.iter().any(|output| output.ty.is_empty()).then(|| "an output has no type".to_owned())
    }

    #[test]
    fn every_line_is_a_pack_or_one_of_its_classes() {
        let classes = LINES.lines().filter(|text| Line::of(text).is_some()).count();
        assert_eq!(classes, Foreign::names().count());
        assert_eq!(LINES.lines().count(), classes + TABLE.packs.len());
        for pack in &TABLE.packs {
            assert!(pack.source.starts_with("https://github.com/") && !pack.licence.is_empty(), "{pack:?}");
        }
        for class in Foreign::names() {
            let foreign = Foreign::of(class).unwrap();
            assert!(foreign.line.entry().is_object(), "{class}");
            assert_eq!(flaw(foreign), None, "{class} of {}", foreign.pack.name);
        }
    }

    #[test]
    fn combos_of_files_know_their_folder_or_take_any_value() {
        let kind = |class: &str, input: &str| Foreign::of(class).unwrap().schema().input(input).unwrap().kind.clone();
        let of = |class: &str, input: &str| match kind(class, input) {
            Kind::Combo { options: Options::Files { folder, .. }, .. } => folder,
            Kind::Widget { ty, .. } => ty,
            other => panic!("{class}.{input}: {other:?}"),
        };
        assert_eq!(of("UltralyticsDetectorProvider", "model_name"), "COMBO");
        assert_eq!(of("Efficient Loader", "ckpt_name"), "checkpoints");
        assert_eq!(of("VHS_LoadVideo", "video"), "COMBO");
    }

    #[test]
    fn a_class_says_of_which_pack_it_is() {
        assert_eq!(
            Foreign::of("SAMLoader").unwrap().describe(),
            "a node of the pack ComfyUI-Impact-Pack (https://github.com/ltdrdata/ComfyUI-Impact-Pack, GPL-3.0), which needs that pack \
             and a model"
        );
        assert!(!Foreign::of("CannyEdgePreprocessor").unwrap().needs_model());
    }
}
