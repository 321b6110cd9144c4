//! `redraft nodes` and `redraft object-info`: the declarations, for people and for programs.

use redraft_engine::node::Registry;
use redraft_engine::schema::{Input, Schema};
use redraft_engine::stock::Known;
use serde_json::{Map, Value as Json};

use crate::args::Directories;
use crate::directories;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::{say_json, say_text as say};

pub(crate) fn nodes(name: Option<&str>) -> Outcome {
    let registry = Registry::linked()?;
    let Some(name) = name else {
        for class in registry.iter() {
            let schema = &class.schema;
            let line = schema.description.lines().next().unwrap_or_default();
            let first = line.split_inclusive(". ").next().unwrap_or_default().trim();
            let pack = class.pack().map(|pack| format!(" [{}]", pack.name)).unwrap_or_default();
            say(format!("{:<24} {:<20} {first}{pack}", schema.class, schema.category));
        }
        return Ok(Exit::Done);
    };
    let Some(class) = registry.class(name) else {
        let known = Known(&registry);
        if let Some(schema) = known.declared(name) {
            document(schema);
            match known.foreign(name) {
                Some(foreign) => say(format!("\nIt is {}: it is not implemented here.", foreign.describe())),
                None => say("\nIt is one of ComfyUI's own nodes, which redraft cannot run yet."),
            }
            return Ok(Exit::Done);
        }
        let near = registry.nearest(name).map(|near| format!(" did you mean {near}?")).unwrap_or_default();
        let message = format!("there is no node class {name};{near} `redraft nodes` lists all");
        return Err(Stop::new(Exit::Missing, message));
    };
    document(&class.schema);
    if let Some(pack) = class.pack() {
        say(format!("\nIt is written anew after {} ({}, {}).", pack.name, pack.source, pack.licence));
    }
    Ok(Exit::Done)
}

fn document(schema: &Schema) {
    say(format!("{} ({}), in {}", schema.class, schema.display_name, schema.category));
    say(format!("\n{}", schema.description));
    if !schema.inputs.is_empty() {
        say("\ninputs");
    }
    schema.inputs.iter().for_each(|input| say(format!("  {}", describe(input))));
    if !schema.outputs.is_empty() {
        say("\noutputs");
    }
    for output in &schema.outputs {
        let list = if output.is_list { ", a list" } else { "" };
        say(format!("  {}: {}{list}  {}", output.name, output.ty, output.tooltip).trim_end());
    }
}

fn describe(input: &Input) -> String {
    let entry = input.kind.to_json(&());
    let options = entry.get(1).and_then(Json::as_object).cloned().unwrap_or_default();
    let options: Vec<_> = options.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let optional = if input.optional { ", optional" } else { "" };
    let choices = match entry.get(0) {
        Some(Json::Array(choices)) if !choices.is_empty() => {
            let names: Vec<_> = choices.iter().filter_map(Json::as_str).collect();
            format!(": {}", names.join(" "))
        }
        _ => String::new(),
    };
    let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
    let line = format!("{}: {}{optional}{options}{choices}", input.name, input.kind.type_name());
    if input.tooltip.is_empty() { line } else { format!("{line}\n      {}", input.tooltip) }
}

pub(crate) fn object_info(directories: &Directories) -> Outcome {
    let folders = directories::folders(directories)?;
    let registry = Registry::linked()?;
    let entries = registry.iter().map(|class| (class.schema.class.clone(), class.schema.to_object_info(&folders)));
    let all: Map<String, Json> = entries.collect();
    say_json(&Json::Object(all), true);
    Ok(Exit::Done)
}
