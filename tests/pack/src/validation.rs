//! Nodes that check their inputs themselves.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::{Offer, Run};
use redraft_nodes::values::Image;
use serde_json::Value as Json;

use crate::types::{Factor, plain_image};

const INPUTS: [&str; 2] = ["input1", "input2"];

/// Constants must be numbers with a point.
fn floats_only(offer: &Offer) -> Result<(), String> {
    for name in INPUTS {
        if let Some(value) = offer.constant(name).filter(|value| !value.is_f64()) {
            return Err(format!("Invalid type of {name}: {value}"));
        }
    }
    Ok(())
}

/// What is linked must be of one of these types.
fn linked_to(offer: &Offer, types: &[&str]) -> Result<(), String> {
    for name in INPUTS {
        if let Some(ty) = offer.linked_type(name).filter(|ty| !types.contains(&ty.as_str())) {
            return Err(format!("Invalid type of {name}: {ty}"));
        }
    }
    Ok(())
}

/// Checks its constants.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Custom Validation 1", validates("input1", "input2"))]
struct TestCustomValidation1 {
    input1: Factor,
    input2: Factor,
}

impl Run for TestCustomValidation1 {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(self.input1.times(self.input2))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        floats_only(offer)
    }
}

/// Checks its constants, and the types of what is linked.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Custom Validation 2", validates("input1", "input2"), validates_types)]
struct TestCustomValidation2 {
    input1: Factor,
    input2: Factor,
}

impl Run for TestCustomValidation2 {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(self.input1.times(self.input2))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        floats_only(offer)?;
        linked_to(offer, &["IMAGE", "FLOAT"])
    }
}

/// Checks the types of what is linked.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Custom Validation 3", validates_types)]
struct TestCustomValidation3 {
    input1: Factor,
    input2: Factor,
}

impl Run for TestCustomValidation3 {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(self.input1.times(self.input2))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        linked_to(offer, &["IMAGE", "FLOAT", "IMAGE,FLOAT", "*"])
    }
}

/// Checks constants that are converted before.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Custom Validation 4", validates("input1", "input2"))]
struct TestCustomValidation4 {
    input1: f64,
    input2: f64,
}

impl Run for TestCustomValidation4 {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(plain_image(self.input1 * self.input2))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        floats_only(offer)
    }
}

/// Checks everything, so that its limits do not count.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Custom Validation 5", validates("*"))]
struct TestCustomValidation5 {
    #[input(min = 0.0, max = 1.0)]
    input1: f64,
    #[input(min = 0.0, max = 1.0)]
    input2: f64,
}

impl Run for TestCustomValidation5 {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(plain_image(self.input1 * self.input2))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        match offer.constant("input2").and_then(Json::as_f64) {
            Some(7.0) => Err("a seven is not taken here; use another number".to_owned()),
            _ => Ok(()),
        }
    }
}

/// Takes values up to a threshold.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Validation", validates("value", "threshold"))]
struct TestAsyncValidation {
    #[input(default = 5.0)]
    value: f64,
    #[input(default = 10.0)]
    #[allow(dead_code, reason = "the check looks at it")]
    threshold: f64,
}

/// Fails if the first constant is greater than the second.
fn at_most(offer: &Offer, names: [&str; 2]) -> Result<(), String> {
    let [value, most] = names.map(|name| offer.constant(name).and_then(Json::as_f64));
    match (value, most) {
        (Some(value), Some(most)) if value > most => Err(format!("{value} is more than {most}; use a smaller value")),
        _ => Ok(()),
    }
}

impl Run for TestAsyncValidation {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(plain_image(self.value / 10.0))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        at_most(offer, ["value", "threshold"])
    }
}

/// Takes values up to a maximum.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Async Validation Error", validates("value", "max_value"))]
struct TestAsyncValidationError {
    #[input(default = 5.0)]
    value: f64,
    #[input(default = 10.0)]
    max_value: f64,
}

impl Run for TestAsyncValidationError {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(plain_image(self.value / self.max_value))
    }

    fn validate(offer: &Offer) -> Result<(), String> {
        at_most(offer, ["value", "max_value"])
    }
}
