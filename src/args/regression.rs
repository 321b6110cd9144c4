//! The options of `record`, `verify` and `diff`.

use std::path::PathBuf;

use clap::Args;

use super::{Changes, Compute, Directories, Progress};

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Each folder below with a case.json is a case
    #[arg(required = true, value_name = "DIR")]
    pub(crate) cases: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// A TOML file of cases that are known to differ, each with its size and reason: they are told apart from failures
    #[arg(long, value_name = "FILE")]
    pub(crate) known_differences: Option<PathBuf>,
    /// Write the result in JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// One case per line on stdout, as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only cases whose path has this in it; `*` and `?` stand for any text and any character
    #[arg(short = 'k', long = "filter", value_name = "PATTERN")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Take what differs for what is expected from now on, and say what was changed
    #[arg(long, conflicts_with = "known_differences")]
    pub(crate) accept: bool,
    /// Write a page for a browser: expected and found pictures, their differences, and what parts first
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// Workflows: UI or API JSON, or a picture that carries one; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The case's folder; of several FILEs each gets one in it, named as the file is
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) compute: Compute,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Expect the outputs of this node; NODE is an id, a title or a class [default: what enters the nodes that save or show, and what
    /// samplers give]
    #[arg(long = "node", value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    /// How far outputs may be off, over the largest expected value or 1 [default: measured by a second run with other kernels]
    #[arg(long, value_name = "X", value_parser = tolerance)]
    pub(crate) tolerance: Option<f64>,
    /// Replace cases that are there
    #[arg(long)]
    pub(crate) force: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "is no tolerance; write a number such as 1e-4".to_owned())
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// A workflow, a dump (`run --dump`) or a case's folder
    #[arg(value_name = "A")]
    pub(crate) before: PathBuf,
    /// What it is compared with
    #[arg(value_name = "B", required_unless_present = "against")]
    pub(crate) now: Option<PathBuf>,
    /// In place of B: run A here and on a running ComfyUI, http://HOST:8188, and say where the two part first
    #[arg(long, value_name = "URL", conflicts_with_all = ["now", "run", "json"])]
    pub(crate) against: Option<String>,
    /// With --against: how long the server may take for one run
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, requires = "against")]
    pub(crate) timeout: u64,
    /// How progress is shown, with --against [default: bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "HOW", requires = "against")]
    pub(crate) progress: Option<Progress>,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Stand-ins are for both, where they are workflows; --set and --inputs change B
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Run two workflows as well, and say where their outputs part first
    #[arg(long)]
    pub(crate) run: bool,
    /// How far outputs may be off, over the largest value of A or 1 [default: a case's own, else 0; with --against one of a pixel's 255 levels]
    #[arg(long, value_name = "X", value_parser = tolerance)]
    pub(crate) tolerance: Option<f64>,
    /// The result as one JSON value on stdout
    #[arg(long)]
    pub(crate) json: bool,
}
