//! The `redraft` command: runs ComfyUI workflows headlessly. [`main`] is all of it; a program with nodes of its own calls it, too.

mod against;
mod args;
mod bars;
mod bench;
mod cache;
mod case;
mod changes;
mod check;
mod compare;
mod diff;
mod directories;
mod dump;
mod exit;
mod extra_paths;
mod footprint;
mod front;
mod graph;
mod inputs;
mod manifest;
mod named;
mod nodes;
mod out;
mod previews;
mod process;
mod record;
mod run;
mod screen;
mod session;
mod stand_ins;
mod substitutes;
mod survey;
mod sweep;
mod tiny_model;
mod told_families;
mod verify;
mod worker;
mod workflow_file;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use redraft_engine::memory;
use redraft_nodes::models::random::write_random_checkpoint;
use redraft_nodes::pictures::draft::write_draft;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Outcome};
use crate::out::tell;

#[global_allocator]
static ALLOCATOR: process::Allocator = process::Allocator;

/// Reads the command line, does what it says and answers with the exit code. The nodes of all crates that the program
/// links are there.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version come this way, too.
        Err(said) => {
            let code = u8::try_from(said.exit_code()).unwrap_or(Exit::Wrong as u8);
            let failed = said.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
            return ExitCode::from(if failed && code == 0 { Exit::NodeFailed as u8 } else { code });
        }
    };
    // Warnings are said with `-q`, too.
    let usual = match cli.verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("REDRAFT_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    log.without_time().with_target(false).init();
    memory::set_ceiling(memory::usual_ceiling(), false);
    let exit = dispatch(cli.command, cli.quiet).unwrap_or_else(|stop| {
        stop.message.lines().for_each(|line| tell(format!("error: {line}")));
        stop.exit
    });
    let exit = match (exit, out::failure()) {
        (Exit::Done, Some(why)) => {
            tell(format!("error: stdout: {why}"));
            Exit::NodeFailed
        }
        (exit, _) => exit,
    };
    process::end_if_abandoned(exit);
    exit.into()
}

fn dispatch(command: Command, quiet: bool) -> Outcome {
    match command {
        Command::Run(args) => run::run(args, quiet),
        Command::Sweep(args) => sweep::sweep(args, quiet),
        Command::Replay(args) => manifest::replay(&args),
        Command::Check(args) => check::check(&args),
        Command::Convert(args) => check::convert(&args),
        Command::Inputs(args) => inputs::inputs(&args),
        Command::Graph(args) => graph::graph(&args),
        Command::Record(args) => record::record(args),
        Command::Verify(args) => verify::verify(args),
        Command::Cache(args) => cache::cache(&args),
        Command::Diff(args) => diff::diff(args, quiet),
        Command::Nodes { name } => nodes::nodes(name.as_deref()),
        Command::ObjectInfo(directories) => nodes::object_info(&directories),
        Command::Survey { directory } => survey::survey(&directory),
        Command::RandomCheckpoint { kind, size, seed, force, file } => {
            write_random_checkpoint(&file, kind.layout(), size.size(), seed, force)?;
            Ok(Exit::Done)
        }
        Command::TinyModel(directories) => tiny_model::tiny_model(&directories),
        Command::StandIns(args) => stand_ins::stand_ins(&args),
        Command::DraftPicture { width, height, force, file } => {
            write_draft(&file, (width, height), force)?;
            Ok(Exit::Done)
        }
    }
}
