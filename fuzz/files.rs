//! What is asked of any bytes that stand where a picture or a file of weights belongs: an error or a value, no panic, no end of the
//! process. The fuzz targets call these functions, and so does a test that mutates some seeds (`nodes/tests/fuzz.rs`).
#![allow(dead_code, clippy::unwrap_used)]

use std::io::Cursor;
use std::path::Path;

use redraft_nodes::files::TorchFile;
use redraft_nodes::files::pickle::Value;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::pictures::read::{Channel, read, read_mask};

/// The most bytes of numbers that a torch file may claim here.
const LIMIT: u64 = 1 << 20;

fn with_file(bytes: &[u8], name: &str, use_it: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    use_it(&path);
}

pub(crate) fn picture(bytes: &[u8]) {
    // A few bytes may claim many pixels: less than what the fuzzer takes for too much.
    redraft_engine::memory::set_ceiling(1 << 30, false);
    with_file(bytes, "x", |path| {
        if let Ok(picture) = read(path) {
            let size = picture.image.size();
            assert!(size.len() == 4 && size[3] == 3 && picture.mask.size()[0] == size[0]);
            assert_eq!(read_mask(path, Channel::Alpha).unwrap().0.size().len(), 3);
        }
    });
}

/// Both of torch's formats.
pub(crate) fn torch(bytes: &[u8]) {
    let zip =
        zip::ZipArchive::new(Cursor::new(bytes)).map_err(Into::into).and_then(|zip| TorchFile::from_zip(zip, LIMIT));
    for file in [zip, TorchFile::from_legacy(bytes, LIMIT)].into_iter().flatten() {
        for (_, value) in file.pickle().entries(file.pickle().root()).into_iter().flatten() {
            if let Value::Tensor(view) = value {
                let _ = file.tensor(view).map(|tensor| tensor.size());
            }
        }
    }
}

pub(crate) fn safetensors(bytes: &[u8]) {
    with_file(bytes, "x.safetensors", |path| {
        let Ok(weights) = Weights::open(path) else { return };
        for name in weights.names() {
            let shape = weights.shape(&name).unwrap();
            let _ = weights.tensor(&name, &shape).map(|tensor| tensor.size());
        }
    });
}
