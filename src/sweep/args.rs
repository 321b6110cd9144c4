//! The options of `redraft sweep`.

use std::path::PathBuf;

use clap::Args;
use redraft_engine::cache::Policy;

use crate::args::{Changes, Compute, Directories, Keeping, Progress};

#[derive(Args, Debug)]
pub(crate) struct SweepArgs {
    /// A workflow: UI or API JSON, or a picture that carries one; `-` is stdin
    pub(crate) file: PathBuf,
    /// An input and the values that it takes: 5..9, 0.1..0.9:0.1 (the ends with it), a,b,c (`\,` is a comma), or @FILE with one a line
    #[arg(long = "axis", value_name = "NODE.INPUT=VALUES")]
    pub(crate) axes: Vec<String>,
    /// One cell a line in place of axes: a JSON object {"NODE.INPUT": VALUE}
    #[arg(long, value_name = "FILE", conflicts_with = "axes")]
    pub(crate) jsonl: Option<PathBuf>,
    /// Each cell N times; every seed of the workflow counts on by one each time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) repeat: u64,
    /// Takes the pictures (cells/), sheet.png, sweep.csv and sweep.json; a sweep that is there already is continued
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print the cells, and run nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Begin anew where another sweep has been, and remove what that has made
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) compute: Compute,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Run this node and what it needs, and nothing else; NODE is an id, a title or a class
    #[arg(long, value_name = "NODE")]
    pub(crate) only: Vec<String>,
    /// What is kept in memory from cell to cell: classic, lru:N, none or ram:GB
    #[arg(long, value_name = "POLICY", default_value = "lru:200")]
    pub(crate) cache: Policy,
    /// Do not write the workflow into saved files
    #[arg(long)]
    pub(crate) disable_metadata: bool,
    /// Write the paths of saved files as they are, with a NUL behind each, in place of lines
    #[arg(long)]
    pub(crate) print0: bool,
    /// How progress is shown [default: bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<Progress>,
}
