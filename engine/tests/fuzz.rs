//! The fuzz targets' harness over some mutated seeds: what `make fuzz` does for longer and better.
//!
//! `REDRAFT_FUZZ_RUNS` says how many each target is given.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/harness.rs"]
mod harness;
#[path = "../../fuzz/random.rs"]
mod random;

use std::fs;
use std::path::Path;

use random::{Random, mutate};

/// Some seconds of work for each target.
const RUNS: u64 = 5000;

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
