//! Instances of subgraphs: their slots follow the definition, and some of their inputs own a widget.

use std::collections::HashMap;

use serde_json::Value;

use super::bounds::{Allowance, weight};
use super::graph::{Graph, Slot, Widget};
use super::types::{ReadError, Remark};
use super::ui;
use super::widgets::{self, Parts};

/// The slots and promoted widgets of an instance.
///
/// An input of the boundary is *promoted* when something with a widget hangs on it inside; the instance then owns a
/// widget of its own, which starts with the inner value. Widgets that `proxyWidgets` merely shows live inside, and
/// the instance's saved values for them are stale.
///
/// # Errors
/// When the values, copied to this instance as well, take more than is left of `allowance`.
pub(super) fn instance(
    inner: &Graph,
    raw: &ui::Node,
    allowance: &mut Allowance,
    remarks: &mut Vec<Remark>,
) -> Result<Parts, ReadError> {
    let mut parts = Parts::default();
    let mut saved: HashMap<&str, &ui::Input> = raw.inputs.iter().rev().map(|i| (i.name.as_str(), i)).collect();
    for boundary in &inner.inputs {
        let template = boundary.template.map(|(node, widget)| &inner.nodes[node].widgets[widget].value);
        let copied = template.and_then(Option::as_ref).map_or(0, weight);
        allowance.spend(100 + boundary.name.len() + boundary.ty.len() + copied)?;
        let widget = template.map(|value| {
            let value = value.clone();
            parts.widgets.push(Widget { name: boundary.name.clone(), value, ..Widget::default() });
            parts.widgets.len() - 1
        });
        let link = saved.remove(boundary.name.as_str()).and_then(|input| input.link.clone());
        parts.inputs.push(Slot { name: boundary.name.clone(), ty: boundary.ty.clone(), link, widget });
    }
    for input in raw.inputs.iter().filter(|i| i.link.is_some() && saved.contains_key(i.name.as_str())) {
        let text = format!("the subgraph `{}` has no input `{}`: its link is left out", inner.name, input.name);
        remarks.push(Remark::warning(&raw.id, text));
    }
    set_values(&mut parts.widgets, raw);
    parts.outputs = widgets::outputs(inner.outputs.iter().map(|output| &output.ty), raw);
    Ok(parts)
}

fn set_values(widgets: &mut [Widget], raw: &ui::Node) {
    match &raw.widgets {
        Value::Array(values) => {
            for (widget, value) in widgets.iter_mut().zip(values) {
                widget.value = Some(value.clone());
            }
            let mut by_name: HashMap<String, &mut Widget> = HashMap::new();
            for widget in widgets {
                by_name.entry(widget.name.clone()).or_insert(widget);
            }
            for (entry, value) in proxies(&raw.properties["proxyWidgets"]).into_iter().zip(values) {
                let own = entry.as_ref().filter(|(node, _)| node == "-1");
                if let Some(widget) = own.and_then(|(_, name)| by_name.get_mut(name))
                    && !value.is_null()
                {
                    widget.value = Some(value.clone());
                }
            }
        }
        Value::Object(values) => {
            for widget in widgets {
                widget.value = values.get(&widget.name).cloned().or(widget.value.take());
            }
        }
        _ => {}
    }
}

/// The entries of `proxyWidgets`: node and widget name, `None` for what is neither.
fn proxies(property: &Value) -> Vec<Option<(String, String)>> {
    let parsed;
    let entries = match property {
        // Some versions saved the array as text.
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).unwrap_or_default();
            parsed.as_array()
        }
        other => other.as_array(),
    };
    let pair = |entry: &Value| Some((ui::id(&entry[0])?, entry[1].as_str()?.to_owned()));
    entries.into_iter().flatten().map(pair).collect()
}
