//! The `redraft` command: runs ComfyUI workflows headlessly.

mod args;
mod bars;
mod check;
mod directories;
mod dump;
mod exit;
mod front;
mod graph;
mod inputs;
mod nodes;
mod previews;
mod process;
mod run;
mod session;
mod stand_ins;
mod substitutes;
mod survey;
mod tiny_model;
mod told_families;
mod verify;
mod worker;
mod workflow_file;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use redraft_engine::memory;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::pictures::draft::write_draft;

use crate::args::{CheckpointKind, CheckpointSize, Cli, Command};
use crate::exit::{Exit, Outcome, tell};

#[global_allocator]
static ALLOCATOR: process::Allocator = process::Allocator;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("REDRAFT_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    log.without_time().with_target(false).init();
    memory::set_ceiling(memory::usual_ceiling(), false);
    let exit = dispatch(Cli::parse().command).unwrap_or_else(|stop| {
        stop.message.lines().for_each(|line| tell(format!("error: {line}")));
        stop.exit
    });
    process::end_if_abandoned(exit);
    exit.into()
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(&args),
        Command::Convert(args) => check::convert(&args),
        Command::Inputs(args) => inputs::inputs(&args),
        Command::Graph(args) => graph::graph(&args),
        Command::Verify(args) => verify::verify(args),
        Command::Nodes { name } => nodes::nodes(name.as_deref()),
        Command::ObjectInfo(directories) => nodes::object_info(&directories),
        Command::Survey { directory } => survey::survey(&directory),
        Command::RandomCheckpoint { kind, size, seed, force, file } => {
            let layout = match kind {
                CheckpointKind::Plain => Layout::Sd1,
                CheckpointKind::Inpainting => Layout::Sd1Inpainting,
                CheckpointKind::InstructPix2Pix => Layout::Sd1InstructPix2Pix,
                CheckpointKind::Sd2 => Layout::Sd2,
                CheckpointKind::Sdxl => Layout::Sdxl,
                CheckpointKind::SdxlInpainting => Layout::SdxlInpainting,
                CheckpointKind::SdxlRefiner => Layout::SdxlRefiner,
            };
            let size = match size {
                CheckpointSize::Tiny => Size::Tiny,
                CheckpointSize::Real => Size::Real,
            };
            write_random_checkpoint(&file, layout, size, seed, force)?;
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
