//! One workflow on both sides.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redraft_engine::check::{Runnable, check};
use redraft_engine::cx::{Cancel, Metadata};
use redraft_engine::error::OutOfMemory;
use redraft_engine::event::{Event, Observer, SavedFile, Ui};
use redraft_engine::exec::Engine;
use redraft_engine::files;
use redraft_engine::node::Registry;
use redraft_engine::plan::Plan;
use redraft_engine::prompt::{Given, NodeId, Prompt, Targets};
use serde_json::{Value as Json, json};

use super::bisect;
use super::compare::{self, Apart};
use super::follow::Followed;
use super::probes::{Needs, Probe, probes};
use super::server::{Patience, Server};
use crate::exit::{Exit, Outcome, Stop};
use crate::named::{Named, named_files};
use crate::out::plain;
use crate::run::{Ready, ended};
use crate::session::{self, of_problems};
use crate::worker::Line;

/// The largest picture that is uploaded, in bytes.
const MAX_PICTURE: u64 = 1 << 30;

pub(super) struct Pair {
    engine: Engine,
    registry: Arc<Registry>,
    server: Server,
    tolerance: u8,
    patience: Duration,
    salt: String,
}

/// Something that a node has shown: a file's bytes, or a text.
enum Shown {
    Picture(Vec<u8>),
    Latent(Vec<u8>),
    Text(Vec<u8>),
    /// A file of another kind.
    Other,
}

/// What the nodes of a run have shown here: files and texts.
#[derive(Default)]
struct Ours {
    shown: HashMap<NodeId, (Ui, Vec<PathBuf>)>,
}

struct Watched<'a> {
    line: &'a mut Line,
    ours: &'a mut Ours,
}

impl Observer for Watched<'_> {
    fn event(&mut self, event: Event) {
        if let Event::Executed { node, output, paths, .. } = &event {
            self.ours.shown.insert(node.clone(), (output.clone(), paths.clone()));
        }
        self.line.event(event);
    }
}

impl Pair {
    pub(super) fn new(engine: Engine, registry: Arc<Registry>, server: Server, tolerance: u8, timeout: u64) -> Self {
        let salt = session::salt(&engine);
        Self { engine, registry, server, tolerance, patience: Duration::from_secs(timeout), salt }
    }

    /// Runs a workflow on both sides and says where they part.
    pub(super) fn compare(&mut self, ready: Ready, line: &mut Line, cancel: &Cancel) -> Outcome {
        let Ready { name, runnable, .. } = ready;
        let order: Vec<NodeId> = {
            let plan = Plan::of(runnable.clone(), &self.registry, &self.engine.folders, &self.salt);
            plan.order().map(|at| plan.step(at).id.clone()).collect()
        };
        let Runnable { prompt, targets } = needed(runnable, &order);
        let renamed = self.upload(&prompt)?;
        let mut far = None;
        let apart = self.look(&name, (&prompt, &targets, &targets), &renamed, line, cancel)?;
        for (node, number, apart) in &apart {
            let class = &prompt.nodes[node].class_type;
            let what = format!("node {node} ({class}), {number}");
            match apart {
                Apart::Equal => line.note(format!("{what}: equal")),
                Apart::Near(words) => line.note(format!("{what}: within the tolerance: {words}")),
                Apart::Far(words) => line.note(format!("{what}: differs: {words}")),
            }
            far = far.or(apart.is_far().then(|| node.clone()));
        }
        if apart.is_empty() {
            let why = "the workflow shows nothing that can be compared; add a node that saves a picture";
            return Err(Stop::wrong(format!("{name}: {why}")));
        }
        match far {
            None => Ok(Exit::Done),
            Some(end) => self.search(&name, (&prompt, &targets), &order, &end, &renamed, line, cancel),
        }
    }

    /// Names the first node that parts.
    #[allow(clippy::too_many_arguments)]
    fn search(
        &mut self,
        name: &str,
        (prompt, targets): (&Prompt, &[NodeId]),
        order: &[NodeId],
        end: &NodeId,
        renamed: &HashMap<String, String>,
        line: &mut Line,
        cancel: &Cancel,
    ) -> Outcome {
        let needs = Needs::of(prompt, order);
        let all = probes(prompt, &self.registry, order);
        let mut found: HashMap<NodeId, String> = HashMap::new();
        let first = bisect::first(all, &needs, end, |probe: &Probe| {
            let class = &prompt.nodes[&probe.node].class_type;
            let with = probe.put_into(prompt);
            let targets = [targets, probe.shown().as_slice()].concat();
            let apart = self.look(name, (&with, &targets, &probe.shown()), renamed, line, cancel)?;
            let far = apart.into_iter().find_map(|(_, _, apart)| match apart {
                Apart::Far(words) => Some(words),
                Apart::Near(_) | Apart::Equal => None,
            });
            let verdict = if far.is_some() { "differs" } else { "the same" };
            line.note(format!("looked behind node {} ({class}): {verdict}", probe.node));
            let differs = far.is_some();
            far.into_iter().for_each(|words| drop(found.insert(probe.node.clone(), words)));
            Ok::<_, Stop>(differs)
        })?;
        let message = match first {
            Some(probe) => {
                let class = &prompt.nodes[&probe.node].class_type;
                let words = found.remove(&probe.node).unwrap_or_default();
                let unseen = self.unseen(prompt, &probe.node);
                format!(
                    "{name}: node {} ({class}) is the first that parts ({}): {words}{unseen}",
                    probe.node,
                    probe.types()
                )
            }
            None => format!("{name}: the nodes before node {end} give the same; what it shows of it differs"),
        };
        Err(Stop::new(Exit::NodeFailed, plain(&message)))
    }

    /// Says which inputs of a node cannot be looked at: what differs may lie there.
    fn unseen(&self, prompt: &Prompt, node: &NodeId) -> String {
        let sources = prompt.nodes[node].inputs.values().filter_map(|given| given.source());
        let mut ids: Vec<NodeId> = sources.cloned().collect();
        ids.dedup();
        ids.retain(|id| probes(prompt, &self.registry, std::slice::from_ref(id)).is_empty());
        let named: Vec<_> = ids.iter().map(|id| format!("{id} ({})", prompt.nodes[id].class_type)).collect();
        match named.as_slice() {
            [] => String::new(),
            named => format!("; it uses what cannot be looked at, of the nodes {}", named.join(", ")),
        }
    }

    /// Runs a prompt on both sides and compares what some of its nodes show.
    fn look(
        &mut self,
        name: &str,
        (prompt, targets, compared): (&Prompt, &[NodeId], &[NodeId]),
        renamed: &HashMap<String, String>,
        line: &mut Line,
        cancel: &Cancel,
    ) -> Outcome<Vec<(NodeId, String, Apart)>> {
        let theirs = self.there(prompt, renamed, cancel)?;
        let ours = self.here(name, prompt, targets, line, cancel)?;
        let fetching = Patience::begin(self.patience);
        let mut apart = Vec::new();
        for node in compared {
            let (ours, theirs) = (self.of_ours(&ours, node)?, listed(&theirs[node.as_str()]));
            // Before anything is fetched.
            if ours.len() != theirs.len() {
                let words = format!("{} things are shown here, {} there", ours.len(), theirs.len());
                apart.push((node.clone(), "all".to_owned(), Apart::Far(words)));
                continue;
            }
            for (number, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let (what, found) = self.apart(ours, &self.fetched(theirs, &fetching, cancel)?)?;
                if let Some(found) = found {
                    apart.push((node.clone(), format!("{what} {}", number + 1), found));
                }
            }
        }
        Ok(apart)
    }

    /// How far two things are apart; nothing if they are of a kind that is not compared.
    fn apart(&self, ours: &Shown, theirs: &Shown) -> Outcome<(&'static str, Option<Apart>)> {
        let wrong = |error: anyhow::Error| match error.downcast_ref::<OutOfMemory>() {
            Some(_) => Stop::new(Exit::OutOfMemory, format!("{error:#}")),
            None => self.server.wrong(format!("shows something that cannot be compared: {error:#}")),
        };
        Ok(match (ours, theirs) {
            (Shown::Picture(a), Shown::Picture(b)) => {
                ("picture", Some(compare::pictures(a, b, self.tolerance).map_err(wrong)?))
            }
            (Shown::Latent(a), Shown::Latent(b)) => {
                ("latent", Some(compare::latents(a, b, self.tolerance).map_err(wrong)?))
            }
            (Shown::Text(a), Shown::Text(b)) => ("text", Some(compare::texts(a, b))),
            (Shown::Other, Shown::Other) => ("file", None),
            _ => ("thing", Some(Apart::Far("it is of another kind there".to_owned()))),
        })
    }

    fn here(
        &mut self,
        name: &str,
        prompt: &Prompt,
        targets: &[NodeId],
        line: &mut Line,
        cancel: &Cancel,
    ) -> Outcome<Ours> {
        let targets = Targets::Only(targets.to_vec());
        let checked = check(prompt, &self.registry, &self.engine.folders, &targets);
        let runnable = checked.whole().map_err(|mut problems| of_problems(&mut problems, None).of_file(name))?;
        let plan = Plan::of(runnable, &self.registry, &self.engine.folders, &self.salt);
        let metadata = Metadata { disabled: true, ..Metadata::default() };
        let mut ours = Ours::default();
        let outcome = self.engine.run(&plan, &metadata, &mut Watched { line, ours: &mut ours }, cancel);
        ended(name, outcome)?;
        Ok(ours)
    }

    fn there(&self, prompt: &Prompt, renamed: &HashMap<String, String>, cancel: &Cancel) -> Outcome<Json> {
        let mut prompt = prompt.clone();
        for Named { node, input, name, .. } in self.pictures(&prompt) {
            if let (Some(node), Some(there)) = (prompt.nodes.get_mut(&node), renamed.get(&name)) {
                node.inputs.insert(input, Given::Constant(json!(there)));
            }
        }
        let mut followed = Followed::open(&self.server)?;
        let run = self.server.submit(&prompt.to_json())?;
        followed.wait(&self.server, &run, self.patience, cancel)?;
        self.server.outputs(&run)
    }

    fn pictures(&self, prompt: &Prompt) -> Vec<Named> {
        let named = named_files(prompt, &self.registry, &self.engine.folders);
        named.into_iter().filter(|file| file.folder == "input").collect()
    }

    /// Gives the server the pictures that a prompt names. Returns what they are called there.
    fn upload(&self, prompt: &Prompt) -> Outcome<HashMap<String, String>> {
        let mut renamed = HashMap::new();
        for picture in self.pictures(prompt) {
            let Some(path) = picture.path(&self.engine.folders) else { continue };
            let name = picture.name;
            if renamed.contains_key(&name) {
                continue;
            }
            let bytes = files::read(&path, MAX_PICTURE).map_err(|e| Stop::wrong(format!("{}: {e}", path.display())))?;
            let there = self.server.upload(&name, &bytes)?;
            renamed.insert(name, there);
        }
        Ok(renamed)
    }

    fn of_ours(&self, ours: &Ours, node: &NodeId) -> Outcome<Vec<Shown>> {
        let Some((ui, paths)) = ours.shown.get(node) else { return Ok(Vec::new()) };
        let file = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let bytes = files::read(path, MAX_PICTURE).map_err(|e| Stop::wrong(format!("{}: {e}", path.display())))?;
            Ok(of_kind(&name, bytes))
        };
        let files = paths.iter().map(file);
        let texts = ui.texts().map(|text| Ok(Shown::Text(text.as_bytes().to_vec())));
        files.chain(texts).collect()
    }

    fn fetched(&self, listed: Listed, fetching: &Patience, cancel: &Cancel) -> Outcome<Shown> {
        let file = match listed {
            Listed::Text(text) => return Ok(Shown::Text(text.as_bytes().to_vec())),
            Listed::File(file) => file,
        };
        let file: SavedFile = serde_json::from_value(file.clone())
            .map_err(|_| self.server.wrong("names a file in a way that is not understood"))?;
        let bytes = self.server.view(&file, fetching, cancel)?;
        Ok(of_kind(&file.filename, bytes))
    }
}

/// Something that a node has shown there, as the server lists it.
enum Listed<'j> {
    File(&'j Json),
    Text(&'j str),
}

fn listed(ui: &Json) -> Vec<Listed<'_>> {
    let list = |name: &str| ui[name].as_array().into_iter().flatten();
    let files = list("images").chain(list("latents")).map(Listed::File);
    files.chain(list("text").filter_map(Json::as_str).map(Listed::Text)).collect()
}

fn of_kind(name: &str, bytes: Vec<u8>) -> Shown {
    match name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).as_deref() {
        Some("latent") => Shown::Latent(bytes),
        Some("png" | "jpg" | "jpeg" | "webp" | "gif") => Shown::Picture(bytes),
        _ => Shown::Other,
    }
}

/// What is needed of a prompt: a server refuses a workflow for nodes that nothing needs, too.
fn needed(runnable: Runnable, order: &[NodeId]) -> Runnable {
    let Runnable { mut prompt, targets } = runnable;
    let needs = Needs::of(&prompt, order);
    prompt.nodes.retain(|id, _| targets.iter().any(|target| needs.needs(target, id)));
    Runnable { prompt, targets }
}
