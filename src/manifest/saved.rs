//! Files that a run has saved, by what they show.

use std::path::Path;

use redraft_engine::folders::FolderPaths;
use redraft_engine::memory;
use serde::{Deserialize, Serialize};

/// A file that was saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Below the output or temp folder if it lies there, else its whole path.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Of the file, which holds the workflow, too.
    pub(super) blake3: String,
    /// Of a picture that can be read; only the first of an animation.
    pub(super) pixels: Option<Pixels>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Of 16-bit RGBA values, row by row, little-endian.
    pub(super) blake3: String,
}

/// The size and BLAKE3 of a file.
fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(redraft_engine::files::open(path)?)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

impl Saved {
    pub(super) fn of(path: &Path, folders: &FolderPaths) -> Self {
        // Nodes tell absolute paths; the options may name others.
        let roots = [&folders.output, &folders.temp].map(|root| std::path::absolute(root).unwrap_or(root.clone()));
        let below = roots.iter().find_map(|root| path.strip_prefix(root).ok()).unwrap_or(path);
        let (bytes, blake3) = digest(path).unwrap_or_default();
        Self { name: below.display().to_string(), bytes, blake3, pixels: Pixels::of(path) }
    }
}

impl Pixels {
    fn of(path: &Path) -> Option<Self> {
        let (width, height) = image::image_dimensions(path).ok()?;
        let pixels = u64::from(width) * u64::from(height);
        memory::ask(pixels.saturating_mul(20), "a saved picture's digest").ok()?;
        let picture = image::open(path).ok()?.into_rgba16();
        let mut hasher = blake3::Hasher::new();
        for row in picture.rows() {
            let bytes: Vec<u8> = row.flat_map(|pixel| pixel.0.map(u16::to_le_bytes)).flatten().collect();
            hasher.update(&bytes);
        }
        Some(Self { width, height, blake3: hasher.finalize().to_hex().to_string() })
    }
}
