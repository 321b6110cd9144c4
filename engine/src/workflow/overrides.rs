//! Inputs that are set from outside: they come first, and options, names and dates in texts are worked on after them.

use indexmap::IndexMap;
use serde_json::Value;

use super::convert::converted;
use super::dynamic_prompt::Chooser;
use super::emission::Settings;
use super::types::{Context, Override, ReadError, Remark, Severity, Workflow};
use super::{replace, write_back};
use crate::prompt::{Given, Prompt};
use crate::schema::Kind;
use crate::settable::input_of;

/// A file in the editor's form with inputs set: the values are written into its widgets, and it is converted then.
pub(super) fn set_in_editor_form(
    file: &Value,
    context: &Context<'_>,
    overrides: &[Override],
) -> Result<Workflow, ReadError> {
    let written = write_back::write(file, overrides, context)?;
    let mut settings = Settings { by_input: IndexMap::new() };
    for (place, wanted) in overrides.iter().enumerate() {
        let value = written.left.contains(&place).then(|| wanted.value.clone());
        settings.by_input.insert((wanted.node.clone(), wanted.input.clone()), value);
    }
    let mut workflow = converted(&written.file, context, &settings)?.workflow;
    let left: Vec<_> = written.left.iter().map(|place| &overrides[*place]).collect();
    tell(&mut workflow, &left);
    Ok(workflow)
}

/// A prompt in the API form with inputs set; the editor's form beside it, if there is one, is given the same values.
pub(super) fn set_in_prompt(workflow: &mut Workflow, context: &Context<'_>, overrides: &[Override]) {
    for wanted in overrides {
        if let Some(node) = workflow.prompt.nodes.get_mut(&wanted.node) {
            node.inputs.insert(wanted.input.clone(), Given::Constant(wanted.value.clone()));
        }
    }
    let mut chooser = Chooser::new(context.seed);
    let mut worked: Vec<Override> = overrides.to_vec();
    for wanted in &mut worked {
        if let Some(text) = work(&workflow.prompt, wanted, context, &mut chooser) {
            wanted.value = Value::String(text);
        }
    }
    for wanted in &worked {
        if let Some(node) = workflow.prompt.nodes.get_mut(&wanted.node) {
            node.inputs.insert(wanted.input.clone(), Given::Constant(wanted.value.clone()));
        }
    }
    workflow.prompt_json = workflow.prompt.to_json();
    let Some(editor) = &workflow.workflow_json else { return };
    let (file, left) = match write_back::write(editor, &worked, context) {
        Ok(written) => (written.file, written.left),
        Err(_) => (editor.clone(), (0..worked.len()).collect()),
    };
    workflow.workflow_json = Some(file);
    let left: Vec<_> = left.iter().map(|place| &worked[*place]).collect();
    tell(workflow, &left);
}

/// A text with its options chosen and its names filled in, if it is of a kind that has any.
fn work(prompt: &Prompt, wanted: &Override, context: &Context<'_>, chooser: &mut Chooser) -> Option<String> {
    let Value::String(text) = &wanted.value else { return None };
    let class = &prompt.nodes.get(&wanted.node)?.class_type;
    let declared = context.schemas.schema(class).and_then(|schema| input_of(schema, &wanted.input));
    if declared.is_some_and(|input| matches!(input.kind, Kind::Text { dynamic_prompts: true, .. })) {
        return Some(chooser.choose(text));
    }
    let named = wanted.input == "filename_prefix" && replace::applies(class, declared.is_some());
    named.then(|| replace::replaced_in(prompt, text, context.now))
}

/// Says which inputs the editor's form could not take, here and in the form itself.
fn tell(workflow: &mut Workflow, left: &[&Override]) {
    if left.is_empty() {
        return;
    }
    if let Some(file) = &mut workflow.workflow_json {
        write_back::remark(file, left);
    }
    let names: Vec<_> = left.iter().map(|wanted| format!("{}.{}", wanted.node, wanted.input)).collect();
    let text = format!(
        "the workflow in saved files shows other values for {}, which its widgets cannot hold; the prompt in them has the right \
         ones",
        names.join(", ")
    );
    workflow.remarks.push(Remark::general(Severity::Note, text));
}
