//! Pictures for prompts, in one sheet.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::painter::{Canvas, Extras, Painter, Part, Settings};
use crate::report::sheet;

/// Draws a row of pictures for each prompt.
#[derive(Debug, clap::Args)]
pub(crate) struct Draw {
    checkpoint: PathBuf,
    #[arg(required = true)]
    prompts: Vec<String>,
    /// The picture that is written.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    canvas: Canvas,
    /// Pictures for each prompt, each from noise of its own.
    #[arg(long, default_value_t = 1)]
    each: usize,
    #[arg(long, default_value_t = 7.0)]
    guidance: f64,
    /// A LoRA for the UNet.
    #[arg(long)]
    lora: Option<PathBuf>,
    /// How much of it.
    #[arg(long, default_value_t = 1.0)]
    strength: f64,
    /// A directory of textual inversions.
    #[arg(long)]
    embeddings: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Draw {
    pub(crate) fn run(&self) -> Result<()> {
        let extras = Extras {
            lora: self.lora.as_deref().map(|file| (file, self.strength)),
            embeddings: self.embeddings.as_deref(),
            ..Extras::default()
        };
        let painter = Painter::with(&self.checkpoint, self.canvas.device.open(false)?, &self.settings, extras)?;
        let prompts: Vec<&String> =
            self.prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, self.each)).collect();
        let empty = painter.empty(prompts.len(), self.canvas.size);
        let latents = painter.sample(&prompts, &empty, self.guidance, Part::Denoise(1.0))?;
        let pictures = painter.pictures(&latents)?;
        let columns = if self.each == 1 { prompts.len().min(8) } else { self.each };
        let rows: Vec<_> = pictures.chunks(columns).map(<[_]>::to_vec).collect();
        sheet(&rows, self.canvas.size, columns, &self.out)
            .with_context(|| format!("cannot write {}", self.out.display()))
    }
}
