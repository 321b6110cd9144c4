//! `redraft check` and `redraft convert`.

use redraft_engine::node::Registry;
use redraft_engine::plan::{Plan, Targets};
use redraft_engine::workflow::Severity;
use serde_json::json;

use crate::args::{CheckArgs, ConvertArgs};
use crate::exit::{Exit, Outcome, Stop, say, tell};
use crate::session::of_problems;
use crate::{places, source};

pub(crate) fn check(args: &CheckArgs) -> Outcome {
    let registry = Registry::linked();
    let folders = places::folders(&args.places)?;
    let mut notes = Vec::new();
    let loaded = source::load(&args.file, &args.changes, &registry, &folders, &mut |note| notes.push(note));
    let workflow = match loaded {
        Err(stop) if args.json => {
            say(json!({ "ok": false, "error": stop.message, "problems": [], "remarks": [] }));
            return Ok(stop.exit);
        }
        loaded => loaded?,
    };
    let remarks: Vec<_> = notes.into_iter().chain(workflow.remarks.iter().map(ToString::to_string)).collect();
    let planned = Plan::new(workflow.prompt, &registry, &folders, &Targets::Outputs, "");
    let stop = planned.err().map(|problems| (of_problems(&args.file, &problems), problems));
    if args.json {
        let problems: Vec<_> = stop.iter().flat_map(|(_, all)| all.0.iter().map(|problem| problem.to_json())).collect();
        say(json!({ "ok": stop.is_none(), "problems": problems, "remarks": remarks }));
        return Ok(stop.map_or(Exit::Done, |(stop, _)| stop.exit));
    }
    remarks.iter().for_each(|remark| tell(format!("{}: {remark}", args.file.display())));
    match stop {
        Some((stop, _)) => Err(stop),
        None => {
            say(format!("{}: nothing is wrong or missing", args.file.display()));
            Ok(Exit::Done)
        }
    }
}

pub(crate) fn convert(args: &ConvertArgs) -> Outcome {
    let registry = Registry::linked();
    let folders = places::folders(&args.places)?;
    let workflow = source::read(&args.file, args.prompt_seed, &registry, &folders)?;
    for remark in workflow.remarks.iter().filter(|remark| remark.severity == Severity::Warning) {
        tell(format!("{}: {remark}", args.file.display()));
    }
    say(serde_json::to_string_pretty(&workflow.prompt.to_json()).map_err(Stop::wrong)?);
    Ok(Exit::Done)
}
