//! Text in a picture: wrapped to a width, cut to a number of lines.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use image::{Rgb, RgbImage};

/// The height of letters, and of a line, in pixels.
const SIZE: f32 = 15.0;
pub(super) const LINE: u32 = 18;
/// The longest text that is looked at, in characters: more than any label has room for.
const LONGEST: usize = 2000;

const INK: [u8; 3] = [32, 32, 32];

/// Writes text with the Hack font, every letter of which is as wide as the others.
pub(super) struct Lettering {
    font: FontRef<'static>,
}

impl Lettering {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { font: FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR)? })
    }

    fn advance(&self) -> f32 {
        let font = self.font.as_scaled(PxScale::from(SIZE));
        font.h_advance(font.glyph_id('x')).max(1.0)
    }

    /// How wide a text is on one line.
    pub(super) fn width(&self, text: &str) -> u32 {
        (text.chars().take(LONGEST).count() as f32 * self.advance()).ceil() as u32
    }

    /// The lines that a text takes in a width, at most so many; what does not fit is cut.
    pub(super) fn wrapped(&self, text: &str, width: u32, most: usize) -> Vec<String> {
        wrap(text, ((width as f32 / self.advance()) as usize).max(1), most)
    }

    /// Draws a line whose upper left corner is at a point. What would lie outside is not drawn.
    pub(super) fn draw(&self, picture: &mut RgbImage, (left, top): (u32, u32), line: &str) {
        let font = self.font.as_scaled(PxScale::from(SIZE));
        let baseline = top as f32 + font.ascent();
        for (n, c) in line.chars().enumerate() {
            let at = ab_glyph::point(left as f32 + n as f32 * self.advance(), baseline);
            let glyph = font.glyph_id(c).with_scale_and_position(PxScale::from(SIZE), at);
            let Some(outline) = self.font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, covered| {
                let (x, y) = (corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y));
                let place = u32::try_from(x).ok().zip(u32::try_from(y).ok());
                if let Some(pixel) = place.and_then(|(x, y)| picture.get_pixel_mut_checked(x, y)) {
                    *pixel = mixed(*pixel, covered.clamp(0.0, 1.0));
                }
            });
        }
    }
}

fn mixed(below: Rgb<u8>, share: f32) -> Rgb<u8> {
    let [r, g, b] = below.0;
    let [over_r, over_g, over_b] = INK;
    let mix = |below: u8, over: u8| (f32::from(below) * (1.0 - share) + f32::from(over) * share).round() as u8;
    Rgb([mix(r, over_r), mix(g, over_g), mix(b, over_b)])
}

/// Lines of at most `width` characters, broken at spaces where there are some.
fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let cut_text = text.chars().count() > LONGEST;
    let clean = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut lines = vec![String::new()];
    for word in clean.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let gap = usize::from(used > 0);
            if used + gap + rest.len() <= width || (used == 0 && rest.len() > width) {
                let part: String = rest.drain(..rest.len().min(width)).collect();
                if let Some(line) = lines.last_mut() {
                    line.extend((gap > 0).then_some(' '));
                    line.push_str(&part);
                }
            } else {
                lines.push(String::new());
            }
        }
    }
    let cut = lines.len() > most || cut_text;
    lines.truncate(most);
    if cut && let Some(last) = lines.last_mut() {
        *last = last.chars().take(width.saturating_sub(1)).chain(['…']).collect();
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn long_texts_are_wrapped_and_cut() {
        assert_eq!(wrap("a red ball on a table", 10, 9), ["a red ball", "on a table"]);
        assert_eq!(wrap("a red ball on a table", 10, 1), ["a red bal…"]);
        assert_eq!(wrap("abcdefghijkl m", 5, 9), ["abcde", "fghij", "kl m"]);
        assert_eq!(wrap("", 5, 9), [""]);
        assert_eq!(wrap("a\n\u{1b}[2Jb", 9, 9), ["a [2Jb"]);
        assert_eq!(wrap(&"x ".repeat(100_000), 1, 2), ["x", "…"]);
        assert_eq!(wrap("abc", 1, 9), ["a", "b", "c"]);
    }

    #[test]
    fn letters_are_ink_within_the_picture() {
        let lettering = Lettering::new().unwrap();
        let mut picture = RgbImage::from_pixel(40, 20, Rgb([255; 3]));
        lettering.draw(&mut picture, (2, 1), "cfg ä 8.5 and what has no room");
        let dark = picture.pixels().filter(|pixel| pixel.0[0] < 128).count();
        assert!((20..400).contains(&dark), "{dark}");
    }
}
