//! The kinds of models that ComfyUI has folders for.

/// The endings of files of models.
pub(crate) const MODEL_EXTENSIONS: &[&str] = &["ckpt", "pt", "pt2", "bin", "pth", "safetensors", "pkl", "sft"];
/// A kind of model, and the folders below `models/` that hold it.
#[derive(Debug)]
pub struct FolderKind {
    /// ComfyUI's name, `checkpoints`.
    pub name: &'static str,
    pub below_models: &'static [&'static str],
    /// The kind whose folders it looks in, if it has none of its own.
    pub like: Option<&'static str>,
    /// The folders below the base directory that hold it, too: where ComfyUI brings files of its own. They are searched last.
    pub below_base: &'static [&'static str],
    /// The endings of its files, lower case, without a dot.
    pub extensions: &'static [&'static str],
}

crate::open_table!(
    /// Tables of kinds of models; another crate may add one.
    pub FOLDER_KIND_TABLES: FolderKind = FOLDER_KINDS, "kind of model folder"
);

impl FolderKind {
    /// A kind whose files may end as those of all models do.
    pub const fn new(name: &'static str, below_models: &'static [&'static str]) -> Self {
        Self { name, below_models, below_base: &[], like: None, extensions: MODEL_EXTENSIONS }
    }

    /// A kind of files in the folders of another kind, with endings of their own.
    pub const fn like(name: &'static str, kind: &'static str, extensions: &'static [&'static str]) -> Self {
        Self { name, below_models: &[], below_base: &[], like: Some(kind), extensions }
    }
}

/// ComfyUI's kinds.
const FOLDER_KINDS: &[FolderKind] = &[
    FolderKind::new("checkpoints", &["checkpoints"]),
    FolderKind { name: "configs", below_models: &["configs"], below_base: &[], like: None, extensions: &["yaml"] },
    FolderKind::new("loras", &["loras"]),
    FolderKind::new("vae", &["vae"]),
    FolderKind::new("text_encoders", &["text_encoders", "clip"]),
    FolderKind::new("diffusion_models", &["unet", "diffusion_models"]),
    FolderKind::new("diffusers", &["diffusers"]),
    FolderKind::new("clip_vision", &["clip_vision"]),
    FolderKind::new("style_models", &["style_models"]),
    FolderKind::new("embeddings", &["embeddings"]),
    FolderKind::new("vae_approx", &["vae_approx"]),
    FolderKind::new("controlnet", &["controlnet", "t2i_adapter"]),
    FolderKind::new("gligen", &["gligen"]),
    FolderKind::new("upscale_models", &["upscale_models"]),
    FolderKind::new("latent_upscale_models", &["latent_upscale_models"]),
    FolderKind::new("hypernetworks", &["hypernetworks"]),
    FolderKind::new("photomaker", &["photomaker"]),
    FolderKind::new("model_patches", &["model_patches"]),
    FolderKind::new("audio_encoders", &["audio_encoders"]),
    FolderKind::new("background_removal", &["background_removal"]),
    FolderKind::new("frame_interpolation", &["frame_interpolation"]),
    FolderKind::new("geometry_estimation", &["geometry_estimation"]),
    FolderKind::new("optical_flow", &["optical_flow"]),
    FolderKind::new("detection", &["detection"]),
    // Llama 3's vocabulary, which is the user's to bring. It is not among those that ComfyUI can be told of.
    FolderKind {
        name: "llama_tokenizer",
        below_models: &["llama_tokenizer", "text_encoders/llama_tokenizer"],
        below_base: &["comfy/text_encoders/llama_tokenizer"],
        like: None,
        extensions: &["json"],
    },
    // Pile-T5's, by the same rules.
    FolderKind {
        name: "t5_pile_tokenizer",
        below_models: &["t5_pile_tokenizer", "text_encoders/t5_pile_tokenizer"],
        below_base: &["comfy/text_encoders/t5_pile_tokenizer"],
        like: None,
        extensions: &["model"],
    },
];
