#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use super::*;
use crate::codec::Codec;
use crate::io::{Value, Wire};

#[derive(Clone)]
struct Block(usize);

impl Wire for Block {
    const TYPE: &'static str = "BLOCK";
    const CODEC: Codec<Self> = Codec::Recipe;

    fn bytes(&self) -> usize {
        self.0
    }
}

fn key(n: u8) -> Key {
    Key::from_bytes([n; 32])
}

fn results(bytes: usize) -> Rc<Results> {
    Rc::new(Results { outputs: vec![[Value::wire(Block(bytes))].into()], ..Results::default() })
}

fn present(keys: &[u8]) -> Present {
    Present { keys: keys.iter().map(|n| key(*n)).collect(), nodes: HashSet::new() }
}

fn held(cache: &mut dyn Cache, keys: impl IntoIterator<Item = u8>) -> Vec<u8> {
    keys.into_iter().filter(|n| cache.get(&key(*n)).is_some()).collect()
}

#[test]
fn policies_are_read_as_they_are_written() {
    for text in ["classic", "lru:0", "lru:100", "none", "ram:4", "ram:0.5"] {
        assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
    }
    for text in ["", "lru", "lru:-1", "lru:x", "ram", "ram:0", "ram:inf", "ram:nan", "none:1", "Classic"] {
        let error = text.parse::<Policy>().unwrap_err();
        assert_eq!(error, format!("'{text}' is no cache policy; use classic, lru:N, none or ram:GB"));
    }
}

#[test]
fn classic_keeps_what_the_next_run_has() {
    let mut cache = Classic::default();
    cache.begin(&present(&[1, 2]));
    cache.put(key(1), results(1), None);
    cache.put(key(2), results(1), None);
    cache.begin(&present(&[2, 3]));
    assert_eq!(held(&mut cache, 1..=3), [2]);
}

#[test]
fn classic_keeps_what_was_made_at_run_time_with_its_node() {
    let owner = || Some((NodeId::from("7"), "Loop".to_owned()));
    let with_owner = || Present { nodes: owner().into_iter().collect(), ..Present::default() };
    let mut cache = Classic::default();
    cache.begin(&with_owner());
    cache.put(key(1), results(1), owner());
    cache.put(key(2), results(1), owner());
    // The loop itself was cached: nothing is made anew.
    cache.begin(&with_owner());
    cache.begin(&with_owner());
    assert_eq!(held(&mut cache, 1..=2), [1, 2]);
    // It is made anew, and only the first is there again.
    cache.begin(&with_owner());
    assert_eq!(held(&mut cache, [1]), [1]);
    cache.begin(&with_owner());
    assert_eq!(held(&mut cache, 1..=2), [1]);
    cache.begin(&Present::default());
    assert!(held(&mut cache, 1..=2).is_empty());
}

#[test]
fn lru_drops_the_runs_longest_ago() {
    let mut cache = Lru::new(2);
    for run in 1..=3 {
        cache.begin(&present(&[run]));
        cache.put(key(run), results(1), None);
    }
    // Three are held until the next run begins; the run's own result counts as used.
    cache.begin(&present(&[3]));
    assert_eq!(held(&mut cache, 1..=3), [2, 3]);
    // What was looked at is young again.
    cache.begin(&present(&[4]));
    cache.put(key(4), results(1), None);
    cache.begin(&present(&[2]));
    assert_eq!(held(&mut cache, 1..=4), [2, 4]);
}

#[test]
fn lru_of_nothing_keeps_the_run_at_hand() {
    let mut cache = Lru::new(0);
    cache.begin(&present(&[1, 2]));
    cache.put(key(1), results(1), None);
    cache.put(key(2), results(1), None);
    cache.begin(&present(&[1]));
    assert_eq!(held(&mut cache, 1..=2), [1]);
}

#[test]
fn none_keeps_nothing() {
    let mut cache = Policy::None.open();
    cache.begin(&present(&[1]));
    cache.put(key(1), results(1), None);
    assert!(held(&mut *cache, [1]).is_empty());
}

#[test]
fn ram_drops_the_heaviest_and_oldest_until_enough_is_free() {
    const GB: u64 = 1 << 30;
    let free = Rc::new(Cell::new(8 * GB));
    let memory = || {
        let free = free.clone();
        // Every look at the memory finds half a gigabyte more, as if what was dropped had been freed.
        Memory::new(move || {
            free.set(free.get() + GB / 2);
            free.get()
        })
    };
    let fill = |cache: &mut Ram| {
        cache.begin(&present(&[1]));
        cache.put(key(1), results(1000), None);
        cache.put(key(2), results(900), None);
        cache.begin(&present(&[1, 3]));
        cache.put(key(3), results(950), None);
    };
    let mut cache = Ram::new(4.0, memory());
    fill(&mut cache);
    cache.make_room();
    assert_eq!(held(&mut cache, 1..=3), [1, 2, 3], "enough is free");

    // The first look finds 3.0, then 3.5 and 4.0 each cost a result, and 4.5 is enough. 900 bytes of the run before weigh more
    // than 1000 of this one.
    let mut cache = Ram::new(4.0, memory());
    fill(&mut cache);
    free.set(2 * GB + GB / 2);
    cache.make_room();
    assert_eq!(held(&mut cache, 1..=3), [3]);

    let mut cache = Ram::new(4.0, memory());
    fill(&mut cache);
    free.set(3 * GB);
    cache.make_room();
    assert_eq!(held(&mut cache, 1..=3), [1, 3], "the oldest goes first");

    let mut cache = Ram::new(4.0, memory());
    fill(&mut cache);
    let in_use = cache.get(&key(2));
    free.set(0);
    cache.make_room();
    assert_eq!(held(&mut cache, 1..=3), [2], "what a node waits with would not become free");
    drop(in_use);
}
