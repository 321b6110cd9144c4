//! `redraft inputs`.

use redraft_engine::node::Registry;
use redraft_engine::settable;

use crate::args::FileArgs;
use crate::exit::{Exit, Outcome};
use crate::out::say_json;
use crate::{directories, workflow_file};

pub(crate) fn inputs(args: &FileArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let workflow = workflow_file::read(&args.file, args.prompt_seed, &registry, &folders)?;
    let schema = settable::schema(&workflow.prompt, &registry, &folders);
    say_json(&schema, true);
    Ok(Exit::Done)
}
