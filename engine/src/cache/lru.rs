use std::collections::HashMap;
use std::rc::Rc;

use super::{Cache, Owner, Present, Results};
use crate::key::Key;

/// Each result carries the number of the run that used it last. While there are more than `size` results, all results
/// of the oldest run are dropped; those of the current run always stay.
pub struct Lru {
    size: usize,
    entries: HashMap<Key, (Rc<Results>, u64)>,
    run: u64,
    /// Nothing used before this run is left.
    oldest: u64,
}

impl Lru {
    pub fn new(size: usize) -> Self {
        Self { size, entries: HashMap::new(), run: 0, oldest: 0 }
    }
}

impl Cache for Lru {
    fn begin(&mut self, present: &Present) {
        self.run += 1;
        let run = self.run;
        self.entries.iter_mut().filter(|(key, _)| present.keys.contains(*key)).for_each(|(_, (_, used))| *used = run);
        while self.entries.len() > self.size && self.oldest < self.run {
            self.oldest += 1;
            let oldest = self.oldest;
            self.entries.retain(|_, (_, used)| *used >= oldest);
        }
    }

    fn get(&mut self, key: &Key) -> Option<Rc<Results>> {
        let (results, used) = self.entries.get_mut(key)?;
        *used = self.run;
        Some(results.clone())
    }

    fn put(&mut self, key: Key, results: Rc<Results>, _: Option<Owner>) {
        self.entries.insert(key, (results, self.run));
    }
}
