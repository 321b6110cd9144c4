//! The options of `redraft against`.

use std::path::PathBuf;

use clap::Args;

use crate::args::{Changes, Compute, Directories, Keeping, Progress};

#[derive(Args, Debug)]
pub(crate) struct AgainstArgs {
    /// A running ComfyUI, http://HOST:8188
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// A workflow: UI or API JSON, or a picture that carries one
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) compute: Compute,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// By how many levels of 255 a pixel may differ
    #[arg(long, value_name = "LEVELS", default_value_t = 1)]
    pub(crate) tolerance: u8,
    /// How long the server may take for one run
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub(crate) timeout: u64,
    /// How progress is shown [default: bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<Progress>,
}
