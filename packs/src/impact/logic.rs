//! Switches, branches and constants.

use anyhow::Result;
use redraft_engine::cx::Cx;
use redraft_engine::flow::{Lazy, Wants};
use redraft_engine::io::{Rest, Value, Wildcard};
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

/// Passes one of its inputs on, by its number from 1. What only the first nine of the others need does not run.
#[derive(Node)]
#[node(class = "ImpactSwitch", category = "ImpactPack/Util", display = "Switch (Any)")]
#[allow(dead_code, reason = "`sel_mode` is the editor's")]
struct Switch {
    #[input(default = 1, min = 1, max = 999_999, step = 1)]
    select: i64,
    #[input(default = false)]
    sel_mode: Option<bool>,
    input1: Lazy<Option<Wildcard>>,
    input2: Lazy<Option<Wildcard>>,
    input3: Lazy<Option<Wildcard>>,
    input4: Lazy<Option<Wildcard>>,
    input5: Lazy<Option<Wildcard>>,
    input6: Lazy<Option<Wildcard>>,
    input7: Lazy<Option<Wildcard>>,
    input8: Lazy<Option<Wildcard>>,
    input9: Lazy<Option<Wildcard>>,
    #[input(rest)]
    more: Rest<Wildcard>,
}

#[derive(Outputs)]
struct Selected {
    #[output(name = "selected_value")]
    value: Wildcard,
    /// The input's name.
    #[output(name = "selected_label")]
    label: String,
    #[output(name = "selected_index")]
    index: i64,
}

impl Switch {
    /// The input that is chosen, if it is one of the first.
    fn first(&self) -> Option<&Lazy<Option<Wildcard>>> {
        let first = [
            &self.input1,
            &self.input2,
            &self.input3,
            &self.input4,
            &self.input5,
            &self.input6,
            &self.input7,
            &self.input8,
            &self.input9,
        ];
        first.get(usize::try_from(self.select).ok()?.checked_sub(1)?).copied()
    }
}

impl Run for Switch {
    type Out = Selected;

    fn needs(&self, wants: &mut Wants) -> Result<()> {
        if let Some(input) = self.first() {
            wants.ask(input);
        }
        Ok(())
    }

    fn run(self, cx: &mut Cx) -> Result<Selected> {
        let index = self.select;
        let name = format!("input{index}");
        let chosen = match self.first() {
            Some(input) => input.here().cloned().flatten(),
            None => self.more.0.get(&name).cloned(),
        };
        Ok(match chosen {
            Some(value) => Selected { value, label: name, index },
            None => {
                cx.warn(format!(
                    "input '{name}' is not connected, and nothing is passed on: connect it, or set another select"
                ));
                Selected { value: Wildcard(Value::nothing()), label: String::new(), index }
            }
        })
    }
}

/// Passes one of two values on. The nodes that only the other value needs are not run.
#[derive(Node)]
#[node(class = "ImpactConditionalBranch", category = "ImpactPack/Logic", display = "ImpactConditionalBranch")]
struct ConditionalBranch {
    cond: bool,
    tt_value: Lazy<Wildcard>,
    ff_value: Lazy<Wildcard>,
}

impl Run for ConditionalBranch {
    type Out = Wildcard;

    fn needs(&self, wants: &mut Wants) -> Result<()> {
        wants.ask(if self.cond { &self.tt_value } else { &self.ff_value });
        Ok(())
    }

    fn run(self, _: &mut Cx) -> Result<Wildcard> {
        let chosen = if self.cond { self.tt_value } else { self.ff_value };
        chosen.get()
    }
}

/// A whole number.
#[derive(Node)]
#[node(class = "ImpactInt", category = "ImpactPack/Logic", display = "ImpactInt")]
struct Int {
    #[input(default = 0, min = 0, max = i64::MAX, step = 1)]
    value: i64,
}

impl Run for Int {
    type Out = i64;

    fn run(self, _: &mut Cx) -> Result<i64> {
        Ok(self.value)
    }
}

/// A number.
#[derive(Node)]
#[node(class = "ImpactFloat", category = "ImpactPack/Logic", display = "ImpactFloat")]
struct Float {
    #[input(default = 1.0, min = -3.402823466e38, max = 3.402823466e38)]
    value: f64,
}

impl Run for Float {
    type Out = f64;

    fn run(self, _: &mut Cx) -> Result<f64> {
        Ok(self.value)
    }
}
