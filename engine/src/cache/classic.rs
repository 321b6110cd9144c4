use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::{Cache, Owner, Present, Results};
use crate::key::Key;

/// ComfyUI's default: a result is kept if the next run has a node with its key. Results of nodes made at run time are
/// kept as long as the workflow has the node that they descend from, until that node is expanded again.
#[derive(Default)]
pub struct Classic {
    entries: HashMap<Key, Kept>,
    run: u64,
}

struct Kept {
    results: Rc<Results>,
    owner: Option<Owner>,
    used: u64,
}

impl Cache for Classic {
    fn begin(&mut self, present: &Present) {
        let last = self.run;
        let remade: HashSet<Owner> =
            self.entries.values().filter(|kept| kept.used == last).filter_map(|kept| kept.owner.clone()).collect();
        self.entries.retain(|key, kept| match &kept.owner {
            None => present.keys.contains(key),
            Some(owner) => present.nodes.contains(owner) && (kept.used == last || !remade.contains(owner)),
        });
        self.run += 1;
    }

    fn get(&mut self, key: &Key) -> Option<Rc<Results>> {
        let kept = self.entries.get_mut(key)?;
        kept.used = self.run;
        Some(kept.results.clone())
    }

    fn put(&mut self, key: Key, results: Rc<Results>, owner: Option<Owner>) {
        self.entries.insert(key, Kept { results, owner, used: self.run });
    }
}
