//! Nodes that each show one behaviour of the executor.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::flow::{Lazy, Rest, Wants};
use redraft_engine::node::{Fingerprint, Offer, Run};
use redraft_nodes::values::{Image, Mask};
use serde_json::Value as Json;
use tch::{Kind, Tensor};

use crate::types::Flag;

/// Mixes two pictures by a mask, and pulls in only those that it needs.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Lazy Mix Images")]
struct TestLazyMixImages {
    image1: Lazy<Image>,
    image2: Lazy<Image>,
    mask: Mask,
}

/// The least and the largest value.
fn range(mask: &Mask) -> (f64, f64) {
    (mask.0.min().double_value(&[]), mask.0.max().double_value(&[]))
}

impl Run for TestLazyMixImages {
    type Out = Image;

    fn needs(&self, wants: &mut Wants) -> anyhow::Result<()> {
        let range = range(&self.mask);
        if range != (1.0, 1.0) {
            wants.ask(&self.image1);
        }
        if range != (0.0, 0.0) {
            wants.ask(&self.image2);
        }
        Ok(())
    }

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        match range(&self.mask) {
            (0.0, 0.0) => self.image1.get(),
            (1.0, 1.0) => self.image2.get(),
            _ => {
                let (image1, image2) = (self.image1.get()?.0, self.image2.get()?.0);
                let mask = self.mask.0.unsqueeze(-1);
                Ok(Image(image1 * (1.0 - &mask) + image2 * mask))
            }
        }
    }
}

/// The mean of `input1` and of as many more as are linked without a gap.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Variadic Average")]
struct TestVariadicAverage {
    input1: Image,
    #[input(rest)]
    more: Rest<Image>,
}

impl Run for TestVariadicAverage {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let further = (2..).map_while(|n| self.more.0.get(&format!("input{n}"))).map(|image| &image.0);
        let all: Vec<_> = std::iter::once(&self.input1.0).chain(further).collect();
        Ok(Image(Tensor::stack(&all, 0).mean_dim(0, false, Kind::Float)))
    }
}

/// Says whether its results may be reused.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Custom IsChanged")]
struct TestCustomIsChanged {
    image: Image,
    #[allow(dead_code, reason = "the fingerprint looks at it")]
    should_change: Option<Flag>,
}

impl Run for TestCustomIsChanged {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(self.image)
    }

    fn fingerprint(offer: &Offer) -> anyhow::Result<Fingerprint> {
        let changes = offer.constant("should_change").and_then(Json::as_bool).unwrap_or(false);
        Ok(if changes { Fingerprint::Never } else { Fingerprint::Inputs })
    }
}

/// Its fingerprint knows constants only.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "IsChanged With Constants")]
struct TestIsChangedWithConstants {
    image: Image,
    #[input(default = 1.0, min = 0.0, max = 10.0)]
    value: f64,
}

impl Run for TestIsChangedWithConstants {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(self.image.0 * self.value))
    }

    fn fingerprint(offer: &Offer) -> anyhow::Result<Fingerprint> {
        Ok(offer.constant("value").map_or(Fingerprint::Inputs, |value| Fingerprint::Of(value.clone())))
    }
}

/// An output node that others may build on.
#[derive(Node)]
#[node(category = "_for_testing", display = "Test Output Node With Socket Output", output)]
struct TestOutputNodeWithSocketOutput {
    image: Image,
    #[input(default = 1.0, min = 0.0, max = 10.0)]
    value: f64,
}

impl Run for TestOutputNodeWithSocketOutput {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(self.image.0 * self.value))
    }
}
