//! `redraft diff`: where two workflows, dumps or cases part, and why.

mod graphs;
mod matching;
mod outputs;
mod side;

use std::path::Path;

use redraft_engine::cx::Cancel;
use redraft_engine::node::Registry;
use serde_json::{Value as Json, json};

use self::graphs::Graphs;
use self::outputs::Outputs;
use self::side::Side;
use crate::args::{Changes, DiffArgs};
use crate::exit::{Exit, Outcome};
use crate::out::say_json;
use crate::worker::Line;
use crate::{against, directories, front, substitutes};

pub(crate) fn diff(mut args: DiffArgs, quiet: bool) -> Outcome {
    let Some(now) = args.now.take() else {
        let url = args.against.take().unwrap_or_default();
        return against::against(args, &url, quiet);
    };
    front::alone(move |line, cancel| both(&args, &now, line, cancel), |bars, text| bars.said(&text))
}

fn both(args: &DiffArgs, now: &Path, line: &Line, cancel: &Cancel) -> Outcome {
    let registry = Registry::linked()?;
    let folders = directories::folders(&args.directories)?;
    let substitutes = substitutes::named(&args.changes, &args.directories)?;
    let as_it_is = Changes { sets: Vec::new(), inputs: None, ..args.changes.clone() };
    let mut sides = [(args.before.as_path(), &as_it_is), (now, &args.changes)]
        .map(|(path, changes)| Side::read(path, changes, &substitutes, &registry, &folders));
    let runs = args.run || sides.iter().flatten().any(Side::has_outputs);
    if runs {
        // What no output needs says nothing of the outputs.
        sides.iter_mut().flatten().for_each(|side| side.leave_out_unneeded(&registry));
    }
    let [before, now] = sides;
    let (mut before, mut now) = (before?, now?);
    let graphs = match (&before.prompt, &now.prompt) {
        (Some(a), Some(b)) => Some(Graphs::of(a, b)),
        _ => None,
    };
    let outputs = match runs {
        true => Some(Outputs::of((&mut before, &mut now), graphs.as_ref(), args, &registry, folders, line, cancel)?),
        false => None,
    };
    let differ = graphs.as_ref().is_some_and(|graphs| !graphs.are_equal())
        || outputs.as_ref().is_some_and(|outputs| !outputs.are_equal());
    if args.json {
        say_json(&to_json(differ, graphs.as_ref(), outputs.as_ref()), false);
    } else {
        let lines = graphs.iter().flat_map(Graphs::lines).chain(outputs.iter().flat_map(Outputs::lines));
        lines.for_each(|text| line.note(text));
        if !differ {
            line.note(if runs { "equal" } else { "both run the same" });
        }
    }
    Ok(if differ { Exit::NodeFailed } else { Exit::Done })
}

fn to_json(differ: bool, graphs: Option<&Graphs>, outputs: Option<&Outputs>) -> Json {
    json!({
        "equal": !differ,
        "workflow": graphs.map(Graphs::to_json),
        "outputs": outputs.map(Outputs::to_json),
    })
}
