//! The fuzz targets' harness over some mutated seeds: what `make fuzz` does for longer and better.
//!
//! `REDRAFT_FUZZ_RUNS` says how many each target is given.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/harness.rs"]
mod harness;

use std::fs;
use std::path::Path;

/// Some seconds of work for each target.
const RUNS: u64 = 5000;

/// A seed's own random numbers: a failure is found again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants; only the high bits are any good.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The words of a dictionary of libFuzzer's.
fn words(name: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(name)).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(|word| word.replace("\\\"", "\"").replace("\\x00", "\0").into_bytes()).collect()
}

fn mutate(bytes: &mut Vec<u8>, words: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(40)).min(bytes.len());
    match random.below(6) {
        0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let part = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, part);
        }
        4 => drop(bytes.splice(at..at, words[random.below(words.len())].iter().copied())),
        _ => {
            let word = &words[random.below(words.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
    }
}

fn fuzz(harness: fn(&[u8]), seeds: &[Vec<u8>], words: &[Vec<u8>]) {
    let runs = std::env::var("REDRAFT_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let mut random = Random(1);
    seeds.iter().for_each(|seed| harness(seed));
    for _ in 0..runs {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut bytes, words, &mut random);
        }
        harness(&bytes);
    }
}

#[test]
fn ui() {
    fuzz(harness::ui, &files("fuzz/seeds/ui"), &words("json.dict"));
}

#[test]
fn api() {
    fuzz(harness::api, &files("fuzz/seeds/api"), &words("json.dict"));
}

#[test]
fn picture_metadata() {
    fuzz(harness::picture_metadata, &files("engine/tests/data/metadata"), &words("media.dict"));
}

/// 10 MB of nested JSON are refused: as a file, within a workflow, and in a picture.
#[test]
fn ten_megabytes_of_nested_json_are_refused() {
    let schemas = redraft_engine::object_info::ObjectInfo::default();
    let now = redraft_engine::workflow::LocalTime::default();
    let context = redraft_engine::workflow::Context { schemas: &schemas, folders: &(), seed: 0, now };
    let half = 5 << 20;
    let lists = "[".repeat(half) + &"]".repeat(half);
    let objects = "{\"a\":".repeat(2 << 20) + "1" + &"}".repeat(2 << 20);
    let nodes = format!("{{\"nodes\":[{{\"id\":1,\"type\":\"A\",\"widgets_values\":{lists}}}]}}");
    let prompt = format!("{{\"1\":{{\"class_type\":\"A\",\"inputs\":{{\"x\":{lists}}}}}}}");
    let mut picture = b"\x89PNG\r\n\x1a\n".to_vec();
    picture.extend(u32::try_from(lists.len() + 7).unwrap().to_be_bytes());
    picture.extend(b"tEXtprompt\0");
    picture.extend(lists.as_bytes());
    picture.extend([0; 4]);
    let drawing = format!("<svg><metadata><![CDATA[{lists}]]></metadata></svg>");
    for bytes in
        [lists.as_bytes(), objects.as_bytes(), nodes.as_bytes(), prompt.as_bytes(), &picture, drawing.as_bytes()]
    {
        let error = redraft_engine::workflow::read(bytes, &context).unwrap_err().to_string();
        assert!(
            ["nested deeper than 128 levels", "more than 2097152 values"].iter().any(|why| error.contains(why)),
            "{error}"
        );
    }
}
