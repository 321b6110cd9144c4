use std::collections::HashMap;
use std::rc::Rc;

use super::{Cache, Owner, Present, Results};
use crate::key::Key;

/// Bytes in what the user calls a gigabyte.
const GIGABYTE: f64 = (1u64 << 30) as f64;

/// Eviction goes on until this multiple of the limit is free.
const BEYOND: f64 = 1.1;

/// Added to every weight, so that age counts for results of unknown size, too.
const UNKNOWN: f64 = 0.1;

/// Tensors on the CPU weigh half: they took work to make.
const TENSORS: f64 = 0.5;

/// How much heavier a result grows with every run that did not use it.
const AGE: f64 = 1.3;

/// Tells how many bytes of memory are free.
pub struct Memory(Box<dyn FnMut() -> u64>);

impl Memory {
    pub fn new(free: impl FnMut() -> u64 + 'static) -> Self {
        Self(Box::new(free))
    }

    fn gigabytes(&mut self) -> f64 {
        (self.0)() as f64 / GIGABYTE
    }
}

impl Default for Memory {
    /// The machine's, or of the container if that has less.
    fn default() -> Self {
        let mut system = sysinfo::System::new();
        Self::new(move || {
            system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
            let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
            system.available_memory().min(limit)
        })
    }
}

/// Keeps everything while so much memory is free. Then the heaviest results go, where old ones are heavier than new ones.
pub struct Ram {
    /// In gigabytes.
    free: f64,
    memory: Memory,
    entries: HashMap<Key, Kept>,
    run: u64,
    /// Counts uses, to break ties.
    clock: u64,
}

struct Kept {
    results: Rc<Results>,
    run: u64,
    touched: u64,
}

impl Ram {
    pub fn new(free: f64, memory: Memory) -> Self {
        Self { free, memory, entries: HashMap::new(), run: 0, clock: 0 }
    }

    fn weight(&self, kept: &Kept) -> f64 {
        let age = i32::try_from(self.run - kept.run).unwrap_or(i32::MAX);
        AGE.powi(age) * (UNKNOWN + kept.results.bytes() as f64 * TENSORS)
    }
}

impl Cache for Ram {
    fn begin(&mut self, present: &Present) {
        self.run += 1;
        let run = self.run;
        self.entries.iter_mut().filter(|(key, _)| present.keys.contains(*key)).for_each(|(_, kept)| kept.run = run);
    }

    fn get(&mut self, key: &Key) -> Option<Rc<Results>> {
        let kept = self.entries.get_mut(key)?;
        self.clock += 1;
        (kept.run, kept.touched) = (self.run, self.clock);
        Some(kept.results.clone())
    }

    fn put(&mut self, key: Key, results: Rc<Results>, _: Option<Owner>) {
        self.clock += 1;
        self.entries.insert(key, Kept { results, run: self.run, touched: self.clock });
    }

    fn make_room(&mut self) {
        if self.entries.is_empty() || self.memory.gigabytes() > self.free {
            return;
        }
        // Dropping a result that a node still holds would free nothing.
        let idle = self.entries.iter().filter(|(_, kept)| Rc::strong_count(&kept.results) == 1);
        let mut heaviest: Vec<_> = idle.map(|(key, kept)| (self.weight(kept), kept.touched, *key)).collect();
        heaviest.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        while let Some((_, _, key)) = heaviest.pop() {
            if self.memory.gigabytes() >= self.free * BEYOND {
                break;
            }
            self.entries.remove(&key);
        }
    }
}
