//! Nodes that put other nodes in their place.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::flow::{Expand, Feed, Graph};
use redraft_engine::node::Run;
use redraft_nodes::recipes::{Clip, Model, VaeRecipe};
use redraft_nodes::values::Image;

use crate::types::plain_image;

fn text(text: &str) -> Feed {
    Feed::from(text.to_owned())
}

/// Puts nodes in its place that depend on each other.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Dynamic Dependency Cycle")]
struct TestDynamicDependencyCycle {
    input1: Image,
    input2: Image,
}

impl Run for TestDynamicDependencyCycle {
    type Out = Expand<Image>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let mut graph = Graph::new(cx);
        let mask = graph.node("StubMask", [("value", Feed::from(0.5))]);
        let mix1 =
            graph.node("TestLazyMixImages", [("image1", Feed::from(self.input1)), ("mask", Feed::link(&mask, 0))]);
        let inputs =
            [("image1", Feed::link(&mix1, 0)), ("image2", Feed::from(self.input2)), ("mask", Feed::link(&mask, 0))];
        let mix2 = graph.node("TestLazyMixImages", inputs);
        graph.set(&mix1, "image2", Feed::link(&mix2, 0));
        Ok(Expand::Into(graph, vec![Feed::link(&mix2, 0)]))
    }
}

/// Puts nodes in its place for some values only.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Mixed Expansion Returns")]
struct TestMixedExpansionReturns {
    input1: f64,
}

impl Run for TestMixedExpansionReturns {
    type Out = Expand<(Image, Image)>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let white = plain_image(1.0);
        if self.input1 <= 0.1 {
            return Ok(Expand::Done((plain_image(0.1), white)));
        }
        let mut graph = Graph::new(cx);
        if self.input1 <= 0.2 {
            return Ok(Expand::Into(graph, vec![Feed::from(plain_image(0.2)), Feed::from(white)]));
        }
        let mask = graph.node("StubMask", [("value", Feed::from(0.3))]);
        let [dark, light] = ["BLACK", "WHITE"].map(|content| graph.node("StubImage", [("content", text(content))]));
        let inputs =
            [("image1", Feed::link(&dark, 0)), ("image2", Feed::link(&light, 0)), ("mask", Feed::link(&mask, 0))];
        let mix = graph.node("TestLazyMixImages", inputs);
        Ok(Expand::Into(graph, vec![Feed::link(&mix, 0), Feed::from(white)]))
    }
}

/// Makes a picture from a text, by nodes in its place.
#[derive(Node)]
#[node(category = "Testing/Nodes", display = "Sampling In Expansion")]
struct TestSamplingInExpansion {
    model: Model,
    clip: Clip,
    vae: VaeRecipe,
    #[input(default = 0, min = 0, max = u64::MAX)]
    seed: u64,
    #[input(default = 20, min = 1, max = 100)]
    steps: u64,
    #[input(default = 7.0, min = 0.0, max = 30.0)]
    cfg: f64,
    #[input(default = "a wide valley with a river", multiline)]
    prompt: String,
    #[input(default = "blurred", multiline)]
    negative_prompt: String,
}

impl Run for TestSamplingInExpansion {
    type Out = Expand<Image>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let mut graph = Graph::new(cx);
        let clip = Feed::from(self.clip);
        let [positive, negative] = [self.prompt, self.negative_prompt]
            .map(|prompt| graph.node("CLIPTextEncode", [("text", Feed::from(prompt)), ("clip", clip.clone())]));
        let empty = graph.node("EmptyLatentImage", [("batch_size", Feed::from(1_i64))]);
        let sampler = graph.node(
            "KSampler",
            [
                ("model", Feed::from(self.model)),
                ("positive", Feed::link(&positive, 0)),
                ("negative", Feed::link(&negative, 0)),
                ("latent_image", Feed::link(&empty, 0)),
                ("seed", Feed::from(self.seed)),
                ("steps", Feed::from(self.steps)),
                ("cfg", Feed::from(self.cfg)),
                ("sampler_name", text("euler_ancestral")),
                ("scheduler", text("normal")),
            ],
        );
        let decoded = graph.node("VAEDecode", [("samples", Feed::link(&sampler, 0)), ("vae", Feed::from(self.vae))]);
        Ok(Expand::Into(graph, vec![Feed::link(&decoded, 0)]))
    }
}

/// Three nodes that wait side by side, and the mean of what they give.
#[derive(Node)]
#[node(category = "_for_testing", display = "Test Parallel Sleep", output, hidden("unique_id"))]
struct TestParallelSleep {
    image1: Image,
    image2: Image,
    image3: Image,
    #[input(default = 0.5, min = 0.0, max = 10.0, step = 0.01)]
    sleep1: f64,
    #[input(default = 0.5, min = 0.0, max = 10.0, step = 0.01)]
    sleep2: f64,
    #[input(default = 0.5, min = 0.0, max = 10.0, step = 0.01)]
    sleep3: f64,
}

impl Run for TestParallelSleep {
    type Out = Expand<Image>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let all = [(self.image1, self.sleep1), (self.image2, self.sleep2), (self.image3, self.sleep3)];
        Ok(asleep(cx, all))
    }
}

/// As many nodes that wait side by side as it is told.
#[derive(Node)]
#[node(category = "_for_testing/async", display = "Test Dynamic Async Generation")]
struct TestDynamicAsyncGeneration {
    image1: Image,
    image2: Image,
    #[input(default = 3, min = 1, max = 10)]
    num_async_nodes: usize,
    #[input(default = 0.2, min = 0.1, max = 1.0)]
    sleep_duration: f64,
}

impl Run for TestDynamicAsyncGeneration {
    type Out = Expand<Image>;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Self::Out> {
        let images = [self.image1, self.image2];
        let each = (0..self.num_async_nodes).map(|i| (images[i % 2].clone(), self.sleep_duration));
        Ok(asleep(cx, each))
    }
}

/// The mean of pictures each of which a node holds back for some seconds.
fn asleep(cx: &mut Cx, all: impl IntoIterator<Item = (Image, f64)>) -> Expand<Image> {
    let mut graph = Graph::new(cx);
    let each = all.into_iter().map(|(image, seconds)| {
        graph.node("TestSleep", [("value", Feed::from(image)), ("seconds", Feed::from(seconds))])
    });
    let sleepers: Vec<_> = each.collect();
    let mean = graph.node("TestVariadicAverage", []);
    for (i, sleeper) in sleepers.iter().enumerate() {
        graph.set(&mean, &format!("input{}", i + 1), Feed::link(sleeper, 0));
    }
    Expand::Into(graph, vec![Feed::link(&mean, 0)])
}
