//! Instances of subgraphs: their slots follow the definition, and some of their inputs own a widget.

use std::collections::HashMap;

use serde_json::Value;

use super::bounds::{Allowance, weight};
use super::graph::{Graph, Slot, Widget};
use super::stored::Kept;
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
    set_values(&mut parts.widgets, raw, remarks);
    parts.outputs = widgets::outputs(inner.outputs.iter().map(|output| &output.ty), raw);
    Ok(parts)
}

/// Gives the promoted widgets the values that the instance was saved with: by place, then by what `proxyWidgets` says of
/// each place, then by name.
fn set_values(widgets: &mut [Widget], raw: &ui::Node, remarks: &mut Vec<Remark>) {
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for (number, widget) in widgets.iter().enumerate() {
        by_name.entry(widget.name.clone()).or_insert(number);
    }
    let mut set = |number: usize, kept: Kept, value: &Value| {
        let widget = &mut widgets[number];
        widget.value = Some(value.clone());
        widget.saved = true;
        widget.stored = Some(match widget.stored.take() {
            Some(before) => Kept { place: kept.place.or(before.place), name: kept.name.or(before.name) },
            None => kept,
        });
    };
    let at = |place: usize| Kept { place: Some(place), name: None };
    let proxies = proxies(&raw.properties["proxyWidgets"]);
    if let Value::Array(values) = &raw.widgets {
        // The instance's own inputs say which value is whose, if there is one for each.
        let own: Vec<&str> =
            raw.inputs.iter().filter_map(|input| input.widget.as_ref().map(|_| input.name.as_str())).collect();
        let named = proxies.is_empty() && own.len() == values.len();
        for (place, value) in values.iter().enumerate() {
            match own.get(place).filter(|_| named).map(|name| by_name.get(*name)) {
                Some(Some(&number)) => set(number, at(place), value),
                Some(None) => {
                    let text =
                        format!("the subgraph has no widget `{}`: its value is left out", own[place].escape_debug());
                    remarks.push(Remark::warning(&raw.id, text));
                }
                None if place < by_name.len() => set(place, at(place), value),
                None => {}
            }
        }
        for (place, (entry, value)) in proxies.iter().zip(values).enumerate() {
            let own = entry.as_ref().filter(|(node, _)| node == "-1");
            if let Some(&number) = own.and_then(|(_, name)| by_name.get(name))
                && !value.is_null()
            {
                set(number, at(place), value);
            }
        }
    }
    let named = raw.named.as_object().or_else(|| raw.widgets.as_object());
    for (name, value) in named.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        // What `proxyWidgets` merely shows lives inside.
        let shown = proxies.iter().flatten().any(|(node, widget)| node != "-1" && widget == name);
        if let Some(&number) = by_name.get(name).filter(|_| !shown) {
            set(number, Kept { place: None, name: Some(name.clone()) }, value);
        }
    }
}

/// The entries of `proxyWidgets`: node and widget name, `None` for what is neither.
pub(super) fn proxies(property: &Value) -> Vec<Option<(String, String)>> {
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
