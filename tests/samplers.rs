//! Every sampler through its node: progress at each step, previews where they are wanted, and an end at the next step when
//! the run is cancelled.

#![allow(clippy::unwrap_used)]

use redraft_engine::cache::Policy;
use redraft_engine::cx::{Cancel, Metadata, Services};
use redraft_engine::event::{Event, Observer};
use redraft_engine::exec::{Engine, Outcome};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{Given, NodeId, Prompt, PromptNode, Targets};
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::sampling::samplers::SAMPLERS;
use serde_json::{Value as Json, json};

const STEPS: usize = 3;

/// Notes the progress of a run, and raises the flag after so many steps.
struct Watch<'a> {
    progress: Vec<(usize, usize)>,
    previews: Vec<usize>,
    wants_previews: bool,
    cancel_after: Option<usize>,
    cancel: &'a Cancel,
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Progress { done, total, .. } => {
                self.progress.push((done, total));
                if self.cancel_after == Some(self.progress.len()) {
                    self.cancel.raise();
                }
            }
            Event::Preview { done, image, .. } => {
                assert!(image.starts_with(b"\xff\xd8\xff"), "a preview is a JPEG file");
                self.previews.push(done);
            }
            _ => {}
        }
    }

    fn wants_previews(&self) -> bool {
        self.wants_previews
    }
}

fn given(value: &Json) -> Given {
    match value.as_array() {
        Some(link) => Given::link(link[0].as_str().unwrap(), usize::try_from(link[1].as_u64().unwrap()).unwrap()),
        None => Given::Constant(value.clone()),
    }
}

/// A picture from nothing with one sampler.
fn prompt(sampler: &str) -> Prompt {
    let nodes = [
        ("4", "CheckpointLoaderSimple", json!({ "ckpt_name": "tiny.safetensors" })),
        ("6", "CLIPTextEncode", json!({ "text": "a clay figure", "clip": ["4", 1] })),
        ("5", "EmptyLatentImage", json!({ "width": 64, "height": 64, "batch_size": 1 })),
        (
            "3",
            "KSampler",
            json!({
                "model": ["4", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["5", 0], "seed": 1,
                "steps": STEPS, "cfg": 2.0, "sampler_name": sampler, "scheduler": "simple", "denoise": 1.0,
            }),
        ),
    ];
    let node = |(id, class, inputs): (&str, &str, Json)| {
        let inputs = inputs.as_object().unwrap().iter().map(|(name, value)| (name.clone(), given(value))).collect();
        (NodeId::from(id), PromptNode { class_type: class.to_owned(), inputs, title: None })
    };
    Prompt { nodes: nodes.into_iter().map(node).collect() }
}

fn run(engine: &mut Engine, sampler: &str, cancel_after: Option<usize>) -> (Outcome, Vec<(usize, usize)>, Vec<usize>) {
    let registry = Registry::linked().unwrap();
    let only = Targets::Only(vec![NodeId::from("3")]);
    let plan = Plan::new(prompt(sampler), &registry, &engine.folders, &only, "").unwrap();
    let cancel = Cancel::default();
    let wants_previews = cancel_after.is_none();
    let mut watch = Watch { progress: Vec::new(), previews: Vec::new(), wants_previews, cancel_after, cancel: &cancel };
    let outcome = engine.run(&plan, &Metadata::default(), &mut watch, &cancel);
    (outcome, watch.progress, watch.previews)
}

#[test]
fn every_sampler_tells_each_step_and_can_be_cancelled_there() {
    let _guard = tch::no_grad_guard();
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("models/checkpoints");
    fs_err::create_dir_all(&checkpoints).unwrap();
    write_random_checkpoint(&checkpoints.join("tiny.safetensors"), Layout::Sd1, Size::Tiny, 1, false).unwrap();
    let mut services = Services::default();
    redraft_nodes::provide(&mut services, Numerics::cpu());
    let policy: Policy = "none".parse().unwrap();
    let mut engine = Engine::with_cache(FolderPaths::below(folder.path()), services, policy);
    assert_eq!(SAMPLERS.len(), 44);
    for sampler in SAMPLERS {
        let name = sampler.name;
        let (outcome, progress, previews) = run(&mut engine, name, None);
        assert_eq!(outcome, Outcome::Done, "{name}");
        let steps = match name {
            // It makes intervals of up to three evaluations; and one that chooses its own steps.
            "dpm_fast" => STEPS / 3 + 1,
            "dpm_adaptive" => progress.len(),
            _ => STEPS,
        };
        let expected: Vec<_> = (1..=steps).map(|done| (done, STEPS)).collect();
        assert_eq!(progress, expected, "{name}");
        assert_eq!(previews, (1..=steps).collect::<Vec<_>>(), "{name}");

        for after in 1..=steps.min(2) {
            let (outcome, progress, previews) = run(&mut engine, name, Some(after));
            assert_eq!(outcome, Outcome::Cancelled, "{name} after {after}");
            assert_eq!(progress.len(), after, "{name} went on after it was cancelled");
            assert!(previews.is_empty(), "{name} made previews that nobody wanted");
        }
    }
}
