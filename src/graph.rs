//! `redraft graph`.

use redraft_engine::draw::{Format, draw};
use redraft_engine::node::Registry;
use redraft_engine::stock::Known;

use crate::args::{GraphArgs, GraphFormat};
use crate::exit::{Exit, Outcome};
use crate::out::say_text;
use crate::{directories, workflow_file};

pub(crate) fn graph(args: &GraphArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.source.directories)?;
    let mut workflow = workflow_file::read(&args.source.file, args.source.reading, &registry, &folders)?;
    // As `run` does.
    workflow.leave_out_muted(&Known(&registry));
    let format = match args.format {
        GraphFormat::Dot => Format::Dot,
        GraphFormat::Mermaid => Format::Mermaid,
    };
    say_text(draw(&workflow.prompt, &registry, format).trim_end());
    Ok(Exit::Done)
}
