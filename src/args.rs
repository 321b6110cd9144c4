//! The command line, as clap reads it.

mod random;
mod regression;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use redraft_engine::cache::Policy;
use redraft_engine::memory;
use redraft_engine::stock::Version;

pub(crate) use self::random::{CheckpointKind, CheckpointSize};
pub(crate) use self::regression::{DiffArgs, RecordArgs, VerifyArgs};
use crate::changes::Setting;
use crate::manifest::ReplayArgs;
use crate::sweep::SweepArgs;

const EXIT_CODES: &str = "Exit codes:
  0    done
  1    a node failed, or stdout could not be written
  2    the command or the workflow is wrong
  3    a node class, a model file or a picture is missing, or a model's family is not supported yet
  4    out of memory
  130  cancelled";

/// Runs ComfyUI workflows headlessly: no server, no browser, no Python.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say only what is wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more, also how things are done (-vv); REDRAFT_LOG says it in detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs workflows, one after the other; what they have in common is computed once
    Run(RunArgs),
    /// Runs a workflow with every combination of some inputs' values, and makes a sheet of the pictures
    Sweep(SweepArgs),
    /// Runs again what a manifest tells of, and says what has changed since
    Replay(ReplayArgs),
    /// Says everything that is wrong or missing in a workflow, at once, without running it
    Check(CheckArgs),
    /// Prints the API form of a workflow
    Convert(ConvertArgs),
    /// Prints the inputs of a workflow that --set and --inputs can set, as a JSON Schema
    Inputs(FileArgs),
    /// Draws what a workflow runs, for Graphviz or Mermaid
    Graph(GraphArgs),
    /// Makes a case for `verify` of a workflow: what it gives now, and how far that may vary
    Record(RecordArgs),
    /// Holds nodes against recorded outputs, tensor by tensor
    Verify(VerifyArgs),
    /// Looks at the results that are kept from run to run, or removes some
    Cache(CacheArgs),
    /// Says where two workflows, dumps or cases part, and why
    Diff(DiffArgs),
    /// Lists the nodes, or prints one node's documentation
    Nodes { name: Option<String> },
    /// Prints the nodes' declarations as ComfyUI's /object_info does
    ObjectInfo(Directories),
    /// Prints as Markdown which workflows of a folder have all their nodes here, and what the others lack
    #[command(hide = true)]
    Survey { directory: PathBuf },
    /// Writes a checkpoint of Stable Diffusion 1.5's layout with random weights, for tests
    RandomCheckpoint {
        #[arg(long, value_enum, default_value = "plain")]
        kind: CheckpointKind,
        #[arg(long, value_enum, default_value = "tiny")]
        size: CheckpointSize,
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Replace the file if it is there
        #[arg(long)]
        force: bool,
        file: PathBuf,
    },
    /// Puts the tiny trained model that redraft carries into models/, and into substitutes.toml for which names it stands in
    TinyModel(Directories),
    /// Makes a draft picture under the name of each that workflows want and that is missing
    StandIns(StandInsArgs),
    /// Writes a simple picture to start from, in the format that the file's name tells
    DraftPicture {
        #[arg(long, default_value_t = 512)]
        width: u32,
        #[arg(long, default_value_t = 512)]
        height: u32,
        /// Replace the file if it is there
        #[arg(long)]
        force: bool,
        file: PathBuf,
    },
}

/// Where files lie.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Directories {
    /// Holds models/, input/, output/ and temp/, as ComfyUI lays them out [default: the current directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) base_directory: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    pub(crate) models_directory: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    pub(crate) input_directory: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    pub(crate) output_directory: Option<PathBuf>,
    #[arg(long, value_name = "DIR")]
    pub(crate) temp_directory: Option<PathBuf>,
    /// Holds results and digests of model files from run to run [default: $REDRAFT_CACHE_DIR, or redraft below $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_directory: Option<PathBuf>,
    /// More model folders, in the format of ComfyUI's extra_model_paths.yaml
    #[arg(long, value_name = "FILE")]
    pub(crate) extra_model_paths_config: Vec<PathBuf>,
}

impl Directories {
    /// The files that are read of them.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.extra_model_paths_config.iter().map(PathBuf::as_path)
    }
}

/// What is kept from process to process.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Keeping {
    /// Compute everything: neither take results of earlier runs nor keep any
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Take results from this cache directory as well, and write nothing there
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache_from: Vec<PathBuf>,
    /// The most that results may take in the cache directory [default: 10GB, or a tenth of its disk if that is less]
    #[arg(long, value_name = "SIZE", value_parser = size_in_bytes, conflicts_with = "no_cache")]
    pub(crate) cache_size: Option<u64>,
}

/// What the numbers are computed on.
#[derive(Args, Clone, Debug)]
pub(crate) struct Compute {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Compute in float32 on a GPU, too
    #[arg(long)]
    pub(crate) force_fp32: bool,
    /// The most memory that the process may take, 8GB, 500MB or 75%; a node that would take more fails [default: 90%]
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    pub(crate) max_memory: Option<u64>,
}

/// A size in bytes, or a share of the memory that there is.
fn memory_size(text: &str) -> Result<u64, String> {
    let share = text.trim().strip_suffix('%').map(positive);
    match share {
        Some(share) => {
            share.filter(|share| *share <= 100.0).map(|share| (memory::total() as f64 * share / 100.0) as u64)
        }
        None => size_in_bytes(text).ok(),
    }
    .ok_or_else(|| "is no size; write 8GB, 500MB or 75%".to_owned())
}

/// A size in bytes: a number with a unit.
pub(crate) fn size_in_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 4] = [("k", 1024.0), ("m", 1048576.0), ("g", 1073741824.0), ("t", 1099511627776.0)];
    let lower = text.trim().to_lowercase();
    let bare = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let size = UNITS.into_iter().find_map(|(unit, bytes)| Some(positive(bare.strip_suffix(unit)?)? * bytes));
    size.map(|size| size as u64).ok_or_else(|| "is no size; write 8GB or 500MB".to_owned())
}

fn positive(number: &str) -> Option<f64> {
    number.trim().parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite())
}

/// How a workflow file is read.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Decides between the options of dynamic prompts, {a|b}
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) prompt_seed: u64,
    /// Read files by the nodes of this version of ComfyUI: 0.8.0, 0.33.0, or auto, by those that fit each node best
    #[arg(long, value_name = "VERSION", default_value = "auto")]
    pub(crate) semantics: Semantics,
}

impl Reading {
    /// Whether it may make another prompt of a file than it is read as without being told.
    fn is_chosen(&self) -> bool {
        self.prompt_seed != 0 || self.semantics.0.is_some()
    }
}

/// The version by whose declarations files are read; none where each node decides it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Semantics(pub(crate) Option<Version>);

impl FromStr for Semantics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            number => number.parse().map(|version| Self(Some(version))).map_err(|error| format!("{error}, or auto")),
        }
    }
}

/// Changes to a workflow before it is checked.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Set inputs to the values of a JSON object, {"NODE.INPUT": VALUE}; --set comes after
    #[arg(long, value_name = "FILE.json")]
    pub(crate) inputs: Option<PathBuf>,
    /// Set an input; NODE is an id or a title; `redraft inputs` lists what can be set. VALUE @FILE is a file's text, and
    /// `random` a random number where a whole one belongs
    #[arg(long = "set", value_name = "NODE.INPUT=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Use FILE where a model or picture that matches PATTERN (`*` and `?`) is missing
    #[arg(long = "substitute", value_name = "PATTERN=FILE")]
    pub(crate) substitutes: Vec<String>,
    /// More of them: a table "PATTERN" = "FILE" for each kind of folder, [checkpoints], [loras], … [besides: substitutes.toml in
    /// the base directory]
    #[arg(long = "substitutes", value_name = "FILE.toml")]
    pub(crate) substitute_files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Take a model of the same name in another folder for missing, in place of using it
    #[arg(long)]
    pub(crate) strict_names: bool,
    /// What the program itself sets, behind all of these.
    #[arg(skip)]
    pub(crate) then: Vec<Setting>,
    /// What is added to every seed, in the end.
    #[arg(skip)]
    pub(crate) count_on: u64,
}

impl Changes {
    /// Whether anything is to be changed.
    pub(crate) fn are_any(&self) -> bool {
        self.inputs.is_some() || !self.sets.is_empty() || self.substitute() || self.reading.is_chosen()
    }

    /// The files that they are read from: `--inputs`, texts of `--set`, and stand-ins.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.inputs.iter().chain(&self.substitute_files).map(PathBuf::as_path).chain(self.texts())
    }

    /// The texts that `--set` takes from files.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Path> {
        self.sets
            .iter()
            .filter_map(move |set| set.split_once('='))
            .filter_map(|(_, value)| value.strip_prefix('@').filter(|file| !file.starts_with('@')).map(Path::new))
    }

    /// Whether stand-ins are named.
    pub(crate) fn substitute(&self) -> bool {
        !self.substitutes.is_empty() || !self.substitute_files.is_empty()
    }
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Workflows: UI or API JSON, or a picture that carries one; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) keeping: Keeping,
    #[command(flatten)]
    pub(crate) compute: Compute,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Run this node and what it needs, whether it saves something or not, and nothing else; NODE is an id, a title or a class
    #[arg(long, value_name = "NODE")]
    pub(crate) only: Vec<String>,
    /// What is kept from one workflow to the next: classic (what the next one has, too), lru:N (N results), none, or ram:GB
    /// (everything while so much memory is free)
    #[arg(long, value_name = "POLICY", default_value_t)]
    pub(crate) cache: Policy,
    /// Go on with the next workflow where one fails; the exit code is that of the first failure
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Run the outputs that nothing is wrong with, as ComfyUI does, and only warn of the others
    #[arg(long)]
    pub(crate) allow_partial: bool,
    /// Do not write the workflow into saved files
    #[arg(long)]
    pub(crate) disable_metadata: bool,
    /// Write every tensor that left a node into a file, keyed node/slot[/part]; every node is called for it, as with --no-cache
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) dump: Option<PathBuf>,
    /// Write down what was run, on what, and what came of it, node by node [default: beside the first saved file]
    // With a space, a workflow behind it would be taken for the manifest, and written over.
    #[arg(long, value_name = "FILE.json", num_args = 0..=1, require_equals = true)]
    pub(crate) manifest: Option<Option<PathBuf>>,
    /// Write what a sampler has under way into this folder, one picture a step: NODE-STEP.jpg
    #[arg(long, value_name = "DIR")]
    pub(crate) preview_directory: Option<PathBuf>,
    /// How previews are made [default: auto with --preview-directory, else none]
    #[arg(long, value_enum, value_name = "METHOD")]
    pub(crate) preview_method: Option<PreviewMethod>,
    /// One event per line on stdout; docs/json-events.md describes them
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the paths of saved files as they are, with a NUL behind each, in place of lines
    #[arg(long, conflicts_with = "json")]
    pub(crate) print0: bool,
    /// How progress is shown [default: bar on a terminal, else plain; none with --json]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<Progress>,
}

#[derive(Args, Debug)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
    /// [default: $REDRAFT_CACHE_DIR, or redraft below $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) cache_directory: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Says where the results lie, how many there are, of which classes, and how large they are
    Info {
        #[arg(long)]
        json: bool,
    },
    /// Removes all results, and the digests of model files
    Clear,
    /// Reads every result and removes what is damaged; exit code 1 if anything was
    Verify,
    /// Removes results that were not used for the longest time
    Prune {
        /// How much may stay [default: what --cache-size defaults to]
        #[arg(long, value_name = "SIZE", value_parser = size_in_bytes)]
        size: Option<u64>,
        /// Remove what was not used for so many days
        #[arg(long, value_name = "DAYS")]
        unused_for: Option<f64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A bar, drawn anew
    Bar,
    /// Lines
    Plain,
    /// Not at all
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PreviewMethod {
    /// Not at all
    None,
    /// The best that there is: latent2rgb
    Auto,
    /// Each latent pixel by a fixed matrix: coarse and at once
    #[value(name = "latent2rgb")]
    LatentToRgb,
}

impl RunArgs {
    /// Whether previews are made.
    pub(crate) fn previews(&self) -> bool {
        match self.preview_method {
            Some(method) => method != PreviewMethod::None,
            None => self.preview_directory.is_some(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub(crate) source: FileArgs,
    /// Say on stderr everything that was left out, moved, defaulted or renamed
    #[arg(long)]
    pub(crate) explain: bool,
}

/// A workflow that is only read.
#[derive(Args, Debug)]
pub(crate) struct FileArgs {
    /// A workflow: UI or API JSON, or a file that carries one
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) directories: Directories,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

#[derive(Args, Debug)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) source: FileArgs,
    #[arg(long, value_enum, default_value = "dot")]
    pub(crate) format: GraphFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Graphviz: `redraft graph FILE | dot -Tsvg > graph.svg`
    Dot,
    /// For Markdown files
    Mermaid,
}

#[derive(Args, Debug)]
pub(crate) struct StandInsArgs {
    /// Workflows: UI or API JSON, or a picture that carries one
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) directories: Directories,
    /// Of each picture that is made, in pixels
    #[arg(long, default_value_t = 512)]
    pub(crate) width: u32,
    #[arg(long, default_value_t = 512)]
    pub(crate) height: u32,
}
