#![allow(clippy::unwrap_used)]
//! Real files of all containers, and damaged ones.

use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The files of `engine/tests/data/metadata`, which `scripts/metadata-samples.py` made.
fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metadata");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files
        .map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(file).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn every_container_gives_both_texts() {
    let samples = samples();
    assert!(samples.len() >= 16, "{}", samples.len());
    for (name, bytes) in samples {
        let found = texts(&bytes).unwrap_or_else(|| panic!("{name} is not recognised")).unwrap();
        assert_eq!(found.problems, [""; 0], "{name}");
        let part = |keyword: &str| {
            let text = found.by_keyword.get(keyword).unwrap_or_else(|| panic!("{name} has no {keyword}: {found:?}"));
            json::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}: {text}")).0
        };
        let inputs = json!({"text": "größe 图 ]]> \"x\"", "seed": u64::MAX});
        assert_eq!(part("prompt"), json!({"1": {"class_type": "ToyEnd", "inputs": inputs}}), "{name}");
        let workflow = json!({"version": 0.4, "nodes": [{"id": 1, "type": "ToyEnd"}], "links": []});
        assert_eq!(part("workflow"), workflow, "{name}");
    }
}

#[test]
fn a_file_without_metadata_says_what_it_is() {
    let schemas = crate::object_info::ObjectInfo::default();
    let now = crate::workflow::LocalTime::default();
    let context = crate::workflow::Context { schemas: &schemas, folders: &(), seed: 0, now };
    let error = |bytes: &[u8]| crate::workflow::read(bytes, &context).unwrap_err().to_string();
    let glb = [&b"glTF\x02\0\0\0\x18\0\0\0\x04\0\0\0JSON"[..], b"{}  "].concat();
    for (bytes, what) in [
        (&b"\xff\xd8\xff\xda"[..], "a JPEG picture"),
        (b"\0\0\0\x0cftypavif", "an AVIF or HEIF picture"),
        (b"\0\0\0\x0cftypisom", "an MP4 or QuickTime video"),
        (b"\x1a\x45\xdf\xa3\x80", "a WebM or Matroska video"),
        (b"fLaC\x80\0\0\0", "a FLAC sound"),
        (b"OggS", "an Ogg sound"),
        (b"ID3\x04\0\0\0\0\0\0", "an MP3 sound"),
        (b" <svg></svg>", "an SVG drawing"),
        (&glb, "a GLB model"),
        (b"\x02\0\0\0\0\0\0\0{}", "a safetensors file"),
    ] {
        let text = error(bytes);
        assert!(text.starts_with(&format!("this is {what} without a workflow in its metadata: give one")), "{text}");
    }
    assert!(error(b"GIF89a").starts_with("this is a GIF picture, in which ComfyUI saves no workflow: give"));
}

#[test]
fn a_comment_that_is_an_object_is_unpacked() {
    let text = r#"{"prompt": "{\"1\": {}}", "workflow": {"nodes": []}, "CRF": 19}"#;
    let length = u16::try_from(text.len() + 2).unwrap().to_be_bytes();
    let bytes = [&[0xff, 0xd8, 0xff, 0xfe], &length[..], text.as_bytes(), &[0xff, 0xd9]].concat();
    let found = texts(&bytes).unwrap().unwrap();
    assert_eq!(found.by_keyword["prompt"], "{\"1\": {}}");
    assert_eq!(found.by_keyword["workflow"], "{\"nodes\":[]}");
    assert_eq!(found.by_keyword.len(), 2);
}

#[test]
fn of_a_checkpoint_only_the_header_is_needed() {
    let (_, latent) = samples().into_iter().find(|(name, _)| name == "sample.latent").unwrap();
    let length = needed(&latent[..16]).unwrap();
    assert_eq!(length, latent.len() as u64 - 4);
    let found = texts(&latent[..usize::try_from(length).unwrap()]).unwrap().unwrap();
    assert!(found.by_keyword.contains_key("prompt"));
    assert_eq!(needed(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), None);
    assert_eq!(needed(b"{\"nodes\": [], \"li"), None);
}

/// Many entries that share one long text must not be read as many long texts.
#[test]
fn entries_that_share_their_bytes_take_no_longer() {
    let text = [&b"prompt:"[..], &vec![b' '; 1 << 20]].concat();
    let count = 50_000u16;
    let start = u32::from(count) * 12 + 14;
    let mut tiff = [&b"II*\0\x08\0\0\0"[..], &count.to_le_bytes()].concat();
    for _ in 0..count {
        tiff.extend([0x10, 1, 2, 0]);
        tiff.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        tiff.extend(start.to_le_bytes());
    }
    tiff.extend([0; 4]);
    tiff.extend(text);
    let mut found = Texts::default();
    exif::texts(&tiff, &mut found);
    assert_eq!(found.by_keyword["prompt"].len(), 1 << 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_files_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let all = samples();
        let (_, mut bytes) = all[which.index(all.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some(Ok(found)) = texts(&bytes) {
            prop_assert!(found.problems.len() <= MAX_PROBLEMS);
            prop_assert!(found.by_keyword.values().map(String::len).sum::<usize>() <= 4 * bytes.len());
        }
    }
}
