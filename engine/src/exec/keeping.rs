//! What a run takes from the disk, and what it leaves there.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use petgraph::graph::NodeIndex;

use crate::cache::Results;
use crate::cache::disk::Disk;
use crate::codec;
use crate::digests::Lasting;
use crate::event::Event;
use crate::key::Key;

use super::run::Run;

/// How long is waited for files to be read before it is looked whether the run was cancelled.
const GLANCE: Duration = Duration::from_millis(50);

/// The results of one run that are on their way to the disk.
#[derive(Default)]
pub(super) struct Keeping {
    /// Results whose keys depend on a file that is still being read: of a node, and the seconds that they took.
    waiting: Vec<(NodeIndex, Rc<Results>, f64)>,
    /// The keys of such results, once all files are read.
    settled: Option<HashMap<NodeIndex, Key>>,
    /// Whether a file was changed after its digest was taken: what is made since may not be what the keys say.
    changed: bool,
    /// For nodes whose results are not on the disk: the seconds that it takes to make them again from what is.
    effort: HashMap<NodeIndex, f64>,
    /// What was warned of while a node's results and those that they were made of were made, as far as this run knows.
    warned: HashMap<NodeIndex, Vec<String>>,
}

impl Run<'_, '_> {
    /// Finds the keys of what depends on large files, if all of them are read.
    pub(super) fn settle_keys(&mut self) {
        let folders = &self.engine.folders;
        if self.engine.disk.is_some() && self.keeping.settled.is_none() && !folders.digests.is_reading() {
            self.keeping.settled = Some(self.plan.settled_keys(folders));
        }
    }

    /// Whether the disk has a node's results. What is there may turn out to be damaged.
    pub(super) fn is_on_disk(&self, at: NodeIndex) -> bool {
        self.lasting_key(at).is_some_and(|key| self.engine.disk.as_ref().is_some_and(|disk| disk.has(&key)))
    }

    /// The results that the disk has of a node. They go into memory, too.
    pub(super) fn read_from_disk(&mut self, at: NodeIndex) -> Option<Rc<Results>> {
        let key = self.lasting_key(at)?;
        // Keys in what other processes wrote are not those of this one, where it goes by other keys for files that it had not read.
        let own_keys = self.lasting_keys().reversed();
        match self.engine.disk.as_ref()?.get(&key, &own_keys) {
            Ok(results) => {
                let results = Rc::new(results?);
                self.warn_again(at, &results);
                let (own, owner) = (self.nodes.step(at).key, self.owner(at));
                self.engine.cache.put(own, results.clone(), owner);
                Some(results)
            }
            Err(message) => {
                let node = Some(self.nodes.step(at).id.clone());
                self.observer.event(Event::Warning { node, message });
                None
            }
        }
    }

    /// Who did not see results made is told what was warned of then; each once.
    fn warn_again(&mut self, at: NodeIndex, results: &Results) {
        for message in &results.shown.warnings {
            if !self.keeping.warned.values().flatten().any(|told| told == message) {
                let node = Some(self.nodes.step(at).id.clone());
                self.observer.event(Event::Warning { node, message: message.clone() });
            }
        }
        self.keeping.warned.insert(at, results.shown.warnings.clone());
    }

    /// What was warned of while results were made: by their node, and by those that its inputs come from.
    fn warnings_of(&self, results: &Results, links: &[(NodeIndex, usize)]) -> Vec<String> {
        let mut all = results.shown.warnings.clone();
        for (from, _) in links {
            let of_source = self.keeping.warned.get(from).into_iter().flatten();
            let known = self.done.get(from).into_iter().flat_map(|results| &results.shown.warnings);
            for message in of_source.chain(known) {
                if !all.contains(message) {
                    all.push(message.clone());
                }
            }
        }
        all
    }

    /// By which keys every process knows what this one knows by others.
    fn lasting_keys(&self) -> codec::Lasting {
        let keys = self.keeping.settled.iter().flatten();
        keys.map(|(at, key)| (self.nodes.step(*at).key, *key)).collect()
    }

    /// The key under which other processes find a node's results, if it is known. Nodes that save or show something always run.
    fn lasting_key(&self, at: NodeIndex) -> Option<Key> {
        let step = self.nodes.step(at);
        match step.lasting {
            _ if step.class.schema.output_node => None,
            Lasting::Yes => Some(step.key),
            Lasting::NotYet => self.keeping.settled.as_ref()?.get(&at).copied(),
            Lasting::No => None,
        }
    }

    /// A node was called and has made its results: they are kept on the disk if they are worth it. Its sources are still at hand.
    pub(super) fn keep(&mut self, at: NodeIndex, results: &Rc<Results>, seconds: f64) {
        let step = self.nodes.step(at);
        if self.engine.disk.is_none() || step.class.schema.output_node || step.lasting == Lasting::No {
            return;
        }
        let links: Vec<_> = step.links().collect();
        let warned = self.warnings_of(results, &links);
        if !warned.is_empty() {
            self.keeping.warned.insert(at, warned);
        }
        let effort = |from| self.keeping.effort.get(&from).copied().unwrap_or_default();
        let seconds = seconds + links.iter().map(|(from, _)| effort(*from)).sum::<f64>();
        // To make it again a model would have to be opened.
        let of_recipe = links.iter().any(|(from, slot)| {
            let socket = self.done.get(from).and_then(|results| results.outputs.get(*slot));
            socket.is_some_and(|socket| socket.iter().any(|value| !value.is_data()))
        });
        if of_recipe || Disk::is_worth(results, seconds) {
            self.keeping.waiting.push((at, results.clone(), seconds));
        } else {
            self.keeping.effort.insert(at, seconds);
        }
        self.write_kept();
    }

    /// Writes what waits, as far as its keys are known.
    fn write_kept(&mut self) {
        if self.keeping.waiting.is_empty() {
            return;
        }
        let digests = &self.engine.folders.digests;
        self.keeping.changed |= digests.changed();
        if self.keeping.changed {
            self.keeping.waiting.clear();
            return;
        }
        self.settle_keys();
        let lasting = self.lasting_keys();
        for (at, results, seconds) in std::mem::take(&mut self.keeping.waiting) {
            match self.lasting_key(at) {
                Some(key) => {
                    let class = &self.nodes.step(at).class.schema.class;
                    let warnings = self.keeping.warned.get(&at).map_or(&[][..], Vec::as_slice);
                    if let Some(disk) = &mut self.engine.disk {
                        disk.put(&key, (class, seconds), &results, warnings, &lasting);
                    }
                }
                // Nodes that others have put in their place have no such keys: the results of those others are kept.
                None if self.keeping.settled.is_some() => {}
                None => self.keeping.waiting.push((at, results, seconds)),
            }
        }
    }

    /// The run is over: waits for the keys of what is to be kept, unless it was cancelled.
    pub(super) fn finish_keeping(&mut self) {
        self.write_kept();
        while !self.keeping.waiting.is_empty() && !self.cancel.is_raised() {
            self.engine.folders.digests.wait(GLANCE);
            self.write_kept();
        }
    }
}
