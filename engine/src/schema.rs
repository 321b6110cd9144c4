//! What a node class declares. `/object_info`, the conversion of UI files, validation and the documentation all read it
//! from here.

use serde_json::{Value, json};

use crate::versions::Version;

/// The name of the type that fits every other.
pub const ANY: &str = "*";

/// The declaration of one node class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// The name in workflow files, `KSampler`.
    pub class: String,
    /// The title the editor shows.
    pub display_name: String,
    /// The menu path, `latent/batch`.
    pub category: String,
    pub description: String,
    /// In declared order, required and optional as they come.
    pub inputs: Vec<Input>,
    pub hidden: Vec<(String, Hidden)>,
    pub outputs: Vec<Output>,
    /// Whether it is an output node: it saves or shows something.
    pub output_node: bool,
    pub deprecated: bool,
    pub experimental: bool,
}

/// One declared input.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub name: String,
    pub kind: Kind,
    pub optional: bool,
    /// Pulled in only when the node asks for it.
    pub lazy: bool,
    /// A socket although its type has a widget.
    pub force_input: bool,
    /// The node takes the link instead of what comes over it.
    pub raw_link: bool,
    /// Which linked numbers outside the declared range are taken all the same.
    pub beyond: Beyond,
    pub tooltip: String,
}

/// What an input accepts: a widget with its options, or a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Int {
        default: i128,
        min: Option<i128>,
        max: Option<i128>,
        step: Option<i128>,
        control: Control,
    },
    Float {
        default: f64,
        min: Option<f64>,
        max: Option<f64>,
        step: Option<f64>,
        round: Option<f64>,
        control: Control,
    },
    Boolean {
        default: bool,
    },
    Text {
        default: String,
        multiline: bool,
        dynamic_prompts: bool,
    },
    Combo {
        options: Options,
        default: Option<String>,
        upload: Option<Upload>,
        control: Control,
    },
    /// Only another node can give this; the type's name, `LATENT`, or `A,B` where either will do.
    Socket(String),
    /// A widget of the editor with no rules of its own: `MARKDOWN`, `COLOR`, `WEBCAM`, ...
    Widget {
        ty: String,
        default: Option<Value>,
    },
    /// A combo whose choice brings further inputs, which are named `name.key`.
    DynamicCombo(Vec<Choice>),
    /// Sockets that the editor adds as they are filled, named `name.image0`, `name.image1`, ...
    Autogrow(Autogrow),
}

/// One choice of a [`Kind::DynamicCombo`].
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub key: String,
    pub inputs: Vec<Input>,
}

/// The pattern of a [`Kind::Autogrow`].
#[derive(Clone, Debug, PartialEq)]
pub struct Autogrow {
    /// What each socket accepts.
    pub template: Box<Input>,
    pub names: GrowNames,
    /// How many sockets there are at least, and at most.
    pub min: usize,
    pub max: usize,
}

/// How the sockets of an [`Autogrow`] are named.
#[derive(Clone, Debug, PartialEq)]
pub enum GrowNames {
    Listed(Vec<String>),
    /// `image0`, `image1`, ...
    Prefix(String),
}

/// Whether the editor puts a `control_after_generate` widget behind this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Not declared; the editor still adds one to an INT named `seed` or `noise_seed`.
    #[default]
    Unset,
    On,
    Off,
}

/// On which side of its declared range an input takes linked numbers: there the node is defined, as ComfyUI's is. A constant
/// outside of the range is refused everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beyond {
    #[default]
    Nowhere,
    Below,
    Above,
    Both,
}

/// The choices of a combo.
#[derive(Clone, Debug, PartialEq)]
pub enum Options {
    Fixed(Vec<String>),
    /// Choices of which some are not strings, such as durations in seconds.
    Values(Vec<Value>),
    /// The files of one of ComfyUI's model folders (`checkpoints`), or of `input`.
    Files {
        folder: String,
        /// Choices that need no file, such as the VAE loader's `pixel_space`.
        besides: Vec<String>,
    },
}

/// Which upload button the editor puts on a combo of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    Image,
    AnimatedImage,
    Video,
    Audio,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: String,
    /// The wire type, `IMAGE`.
    pub ty: String,
    /// Whether the node returns a list of values here.
    pub is_list: bool,
    pub tooltip: String,
}

/// What the runner itself hands to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    Prompt,
    ExtraPngInfo,
    UniqueId,
    DynPrompt,
    /// A value that only a node made at run time can be given. Under the name `*`, values of any name.
    Any,
}

/// The files on this machine, from which combos of files take their choices.
pub trait Folders {
    /// The file names in a model folder or in `input`, as ComfyUI lists them (`sub/name.safetensors`), sorted.
    fn list(&self, folder: &str) -> Vec<String>;

    /// The file names in `input` that a combo with this upload button lists.
    fn uploads(&self, _: Upload) -> Vec<String> {
        self.list("input")
    }
}

impl Folders for () {
    fn list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Declarations by class name. The registry of runnable nodes is one; a table of foreign declarations may be another.
pub trait Schemas {
    /// The declaration by which a node of the class runs.
    fn schema(&self, class: &str) -> Option<&Schema>;

    /// The declarations by which a node of the class may have been saved: the one by which it runs first, where it is one of
    /// them, then others.
    fn saved_by(&self, class: &str) -> Vec<Edition<'_>> {
        self.schema(class).map(|schema| Edition { version: None, schema }).into_iter().collect()
    }
}

/// A class as one version of ComfyUI declares it.
#[derive(Clone, Copy, Debug)]
pub struct Edition<'a> {
    /// Unknown where the class is not ComfyUI's own.
    pub version: Option<Version>,
    pub schema: &'a Schema,
}

impl Options {
    pub fn list(&self, folders: &dyn Folders) -> Vec<String> {
        match self {
            Self::Fixed(options) => options.clone(),
            Self::Values(options) => options.iter().map(written).collect(),
            Self::Files { folder, besides } => {
                folders.list(folder).into_iter().chain(besides.iter().cloned()).collect()
            }
        }
    }
}

impl Hidden {
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Prompt => "PROMPT",
            Self::ExtraPngInfo => "EXTRA_PNGINFO",
            Self::UniqueId => "UNIQUE_ID",
            Self::DynPrompt => "DYNPROMPT",
            Self::Any => ANY,
        }
    }
}

impl Kind {
    /// The type's name in `/object_info` and in messages.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Int { .. } => "INT",
            Self::Float { .. } => "FLOAT",
            Self::Boolean { .. } => "BOOLEAN",
            Self::Text { .. } => "STRING",
            Self::Combo { .. } => "COMBO",
            Self::Socket(name) => name,
            Self::Widget { ty, .. } => ty,
            Self::DynamicCombo(_) => "COMFY_DYNAMICCOMBO_V3",
            Self::Autogrow(_) => "COMFY_AUTOGROW_V3",
        }
    }

    /// What a combo offers, as texts; nothing of another kind.
    pub fn choices(&self, folders: &dyn Folders) -> Vec<String> {
        match self {
            Self::Combo { options: Options::Files { folder, besides }, upload: Some(upload), .. }
                if folder == "input" =>
            {
                folders.uploads(*upload).into_iter().chain(besides.iter().cloned()).collect()
            }
            Self::Combo { options, .. } => options.list(folders),
            _ => Vec::new(),
        }
    }

    /// The value of a widget nobody set. A socket has none, and neither has a combo without choices.
    pub fn default(&self, folders: &dyn Folders) -> Option<Value> {
        match self {
            Self::Int { default, .. } => Some(integer(*default)),
            Self::Float { default, .. } => Some(json!(default)),
            Self::Boolean { default } => Some(json!(default)),
            Self::Text { default, .. } => Some(json!(default)),
            Self::Combo { options: Options::Values(values), default, .. } => {
                let declared = default.as_ref().and_then(|d| values.iter().find(|v| written(v) == *d));
                declared.or(values.first()).cloned()
            }
            Self::Combo { default: Some(default), .. } if !default.is_empty() => Some(json!(default)),
            Self::Combo { .. } => self.choices(folders).first().map(|first| json!(first)),
            // What the editor sends of a viewer that has shown nothing yet.
            Self::Widget { default: None, ty } if ty == "IMAGECOMPARE" => Some(json!(["", ""])),
            Self::Widget { default, .. } => default.clone(),
            Self::DynamicCombo(choices) => choices.first().map(|choice| json!(choice.key)),
            Self::Socket(_) | Self::Autogrow(_) => None,
        }
    }
}

impl Upload {
    /// The option's name in `/object_info`.
    pub fn option(self) -> &'static str {
        match self {
            Self::Image => "image_upload",
            Self::AnimatedImage => "animated_image_upload",
            Self::Video => "video_upload",
            Self::Audio => "audio_upload",
        }
    }
}

impl Input {
    /// Whether the editor shows a widget for this input.
    pub fn is_widget(&self) -> bool {
        !self.force_input && !matches!(self.kind, Kind::Socket(_) | Kind::Autogrow(_))
    }

    /// Whether a control widget follows this one in `widgets_values`.
    pub fn has_control(&self) -> bool {
        self.has_control_as(&self.name)
    }

    /// The same where the input stands under another name: that a choice brings is called `choice.seed`, which is no seed to
    /// the editor.
    pub fn has_control_as(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Int { control: Control::Unset, .. } => name == "seed" || name == "noise_seed",
            Kind::Int { control, .. } | Kind::Float { control, .. } | Kind::Combo { control, .. } => {
                *control == Control::On
            }
            _ => false,
        }
    }
}

impl Autogrow {
    /// The name of socket number `index`, without the input's own name before it.
    pub fn name(&self, index: usize) -> Option<String> {
        match &self.names {
            GrowNames::Listed(names) => names.get(index).cloned(),
            GrowNames::Prefix(prefix) => (index < self.max).then(|| format!("{prefix}{index}")),
        }
    }
}

impl Schema {
    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// Whether the class takes constants that it does not declare.
    pub fn takes_any(&self) -> bool {
        self.hidden.iter().any(|(name, kind)| name == ANY && *kind == Hidden::Any)
    }
}

/// A choice of a combo as text: a string as it is, anything else as JSON writes it.
fn written(choice: &Value) -> String {
    choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)
}

/// A JSON integer; one beyond 64 bits, which no file can hold, becomes a float.
pub fn integer(value: i128) -> Value {
    match (u64::try_from(value), i64::try_from(value)) {
        (Ok(v), _) => json!(v),
        (_, Ok(v)) => json!(v),
        _ => json!(value as f64),
    }
}
