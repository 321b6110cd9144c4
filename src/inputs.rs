//! `redraft inputs`.

use redraft_engine::node::Registry;
use redraft_engine::settable;
use redraft_engine::stock::Known;

use crate::args::FileArgs;
use crate::exit::{Exit, Outcome};
use crate::out::say_json;
use crate::{directories, workflow_file};

pub(crate) fn inputs(args: &FileArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let mut workflow = workflow_file::read(&args.file, args.prompt_seed, &registry, &folders)?;
    // As `run` does.
    workflow.leave_out_muted(&Known(&registry));
    let schema = settable::schema(&workflow.prompt, &registry, &folders);
    say_json(&schema, true);
    Ok(Exit::Done)
}
