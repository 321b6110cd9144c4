//! `redraft inputs`.

use redraft_engine::node::Registry;
use redraft_engine::settable;
use redraft_engine::stock::Known;
use serde_json::json;

use crate::args::FileArgs;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::say_json;
use crate::{directories, workflow_file};

pub(crate) fn inputs(args: &FileArgs) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let mut workflow = workflow_file::read(&args.file, args.reading, &registry, &folders)?;
    // As `run` does.
    workflow.leave_out_muted(&Known(&registry));
    let mut schema = settable::schema(&workflow.prompt, &registry, &folders);
    let app = workflow_file::app(&workflow, args.reading, &registry, &folders);
    let app = app.map_err(|error| Stop::wrong(error).of_file(&workflow_file::name(&args.file)))?;
    settable::put_first(&mut schema, app.inputs.iter().map(|(node, input)| (node, input.as_str())));
    if !app.outputs.is_empty() {
        schema["x-app-outputs"] = json!(app.outputs);
    }
    say_json(&schema, true);
    Ok(Exit::Done)
}
