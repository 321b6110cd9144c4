//! One decoded picture in eight bits per channel, and the limit on how many pixels a file may hold.

use anyhow::{Result, ensure};
use redraft_engine::memory;

/// The most pixels that a file may hold in all its frames together. Pillow refuses larger files as decompression bombs
/// (twice its `MAX_IMAGE_PIXELS`). As 32-bit floats these are about 2 GB.
pub const MAX_PIXELS: u64 = 178_956_970;

/// As so many pixels a smaller frame counts: it bounds how many there are.
const LEAST: u64 = 4096;

/// Bytes that a pixel takes until it is read: in eight bits as its decoder has it and as we have it, and in floats.
const BYTES_EACH: u64 = 4 + 4 + 16;

/// A decoded picture: `rgb` is height × width × 3, `alpha` is height × width if the picture has transparency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
    pub(super) alpha: Option<Vec<u8>>,
    /// Whether the alpha comes from a single transparent colour, in a picture without alpha channel or palette.
    /// LoadImage ignores such alpha, LoadImageMask uses it.
    pub(super) alpha_is_colour_key: bool,
    /// Whether the file ended before the picture did.
    pub(super) cut: bool,
}

impl Frame {
    /// A picture without transparency; `rgb` holds three bytes a pixel.
    pub(super) fn opaque(width: usize, height: usize, rgb: Vec<u8>) -> Frame {
        Frame { width, height, rgb, alpha: None, alpha_is_colour_key: false, cut: false }
    }

    /// A picture of one byte a pixel, as three equal channels.
    pub(super) fn grey(width: usize, height: usize, grey: &[u8]) -> Frame {
        Frame::opaque(width, height, grey.iter().flat_map(|&v| [v; 3]).collect())
    }

    /// A picture of four bytes a pixel, split into colour and alpha.
    pub(super) fn rgba(width: usize, height: usize, rgba: &[u8]) -> Frame {
        let rgb = rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        let alpha = rgba.chunks_exact(4).map(|p| p[3]).collect();
        Frame { alpha: Some(alpha), ..Frame::opaque(width, height, rgb) }
    }
}

/// What is left of [`MAX_PIXELS`] while a file is read.
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    pub(super) fn new() -> Budget {
        Budget { left: MAX_PIXELS }
    }

    /// Takes the pixels of a frame from the budget. Must be called before memory for the frame is taken.
    pub(super) fn take(&mut self, width: impl Into<u64>, height: impl Into<u64>) -> Result<()> {
        let (width, height) = (width.into(), height.into());
        ensure!(width > 0 && height > 0, "is {width} × {height} pixels: export it again with at least one pixel");
        let pixels = width.saturating_mul(height);
        ensure!(
            pixels <= self.left,
            "is {width} × {height} pixels; a file may hold {MAX_PIXELS} in all its frames: \
             scale it down, or keep fewer frames"
        );
        // Each frame costs its decoder some work, however small it is.
        self.left = self.left.saturating_sub(pixels.max(LEAST));
        // Decoded in eight bits, and as floats.
        memory::ask(pixels.saturating_mul(BYTES_EACH), "the picture")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn budget_counts_all_frames_together() {
        let mut budget = Budget::new();
        budget.take(10_000u32, 10_000u32).unwrap();
        let error = budget.take(10_000u32, 10_000u32).unwrap_err().to_string();
        assert!(error.starts_with("is 10000 × 10000 pixels; a file may hold 178956970"), "{error}");
        assert!(Budget::new().take(u64::MAX, u64::MAX).is_err());
        assert!(Budget::new().take(0u32, 5u32).is_err());
    }
}
