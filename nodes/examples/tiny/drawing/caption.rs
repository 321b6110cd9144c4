//! Scenes in words.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::{Background, Outline, Scene, Shape, Size, Split, Texture};

impl Scene {
    /// One of many plain descriptions: the colour and kind of every shape, the rest sometimes.
    pub(crate) fn caption(&self, rng: &mut impl Rng) -> String {
        let terse = rng.random_bool(0.15);
        let shapes: Vec<String> = self.shapes.iter().map(|shape| shape.words(rng, terse)).collect();
        let places: Vec<Option<&str>> = self.shapes.iter().map(|shape| shape.place(rng)).collect();
        let named = |i: usize, likely: bool| match places[i] {
            Some(place) if likely => format!("{} {place}", shapes[i]),
            _ => shapes[i].clone(),
        };
        let text = match self.shapes.as_slice() {
            [_] => named(0, rng.random_bool(0.45)),
            [one, other] => {
                let relation = between(one, other, rng);
                match relation {
                    Some(relation) if rng.random_bool(0.6) => format!("{} {relation} {}", shapes[0], shapes[1]),
                    _ => {
                        let placed = rng.random_bool(0.3);
                        let and = *["and", "and", "with"].choose(rng).expect("not empty");
                        let and = if placed { "and" } else { and };
                        format!("{} {and} {}", named(0, placed), named(1, placed))
                    }
                }
            }
            _ => {
                let placed = rng.random_bool(0.25);
                let all: Vec<String> = (0..shapes.len()).map(|i| named(i, placed)).collect();
                let (last, first) = all.split_last().expect("at least one shape");
                format!("{} and {last}", first.join(", "))
            }
        };
        let text = match rng.random_range(0..10) {
            0..6 => text,
            _ if terse => text,
            6..8 => format!("a drawing of {text}"),
            8 => format!("a picture of {text}"),
            _ => format!("an image of {text}"),
        };
        if self.split == Split::HeldOut || rng.random_bool(0.6) {
            self.background.joined(&text, rng, terse)
        } else {
            text
        }
    }
}

impl Shape {
    fn words(&self, rng: &mut impl Rng, terse: bool) -> String {
        let mut words: Vec<&str> = Vec::new();
        let mut said = |likely: f64, of: &[&'static str]| {
            if let (true, Some(word)) = (rng.random_bool(likely), of.choose(rng)) {
                words.push(word);
            }
        };
        match self.size {
            Size::Small => said(0.5, &["small", "small", "little"]),
            Size::Medium => said(0.1, &["medium"]),
            Size::Large => said(0.5, &["large", "large", "big"]),
        }
        match self.texture {
            Texture::Plain => said(0.05, &["plain"]),
            Texture::Striped => said(0.75, &["striped"]),
            Texture::Dotted => said(0.75, &["dotted", "dotted", "spotted"]),
            Texture::Checked => said(0.75, &["checked", "checked", "checkered"]),
        }
        words.extend([self.colour.name(), self.kind.name()]);
        let mut text = words.join(" ");
        if !terse {
            text = with_article(&text);
        }
        let outline: &[&str] = match self.outline {
            Outline::None => return text,
            Outline::Dark => &["with a dark outline", "outlined in black"],
            Outline::White => &["with a white outline", "outlined in white"],
        };
        if rng.random_bool(0.5) {
            text = format!("{text} {}", outline.choose(rng).expect("not empty"));
        }
        text
    }

    /// Where it is, if one word for it fits clearly.
    fn place(&self, rng: &mut impl Rng) -> Option<&'static str> {
        let [across, down] = self.centre.map(|at| match at {
            ..0.38 => Some(0),
            0.44..0.56 => Some(1),
            0.62.. => Some(2),
            _ => None,
        });
        let phrases: &[&str] = match (across?, down?) {
            (0, 0) => &["at the top left", "in the top left corner"],
            (1, 0) => &["at the top"],
            (2, 0) => &["at the top right", "in the top right corner"],
            (0, 1) => &["on the left", "at the left"],
            (1, 1) => &["in the centre", "in the middle", "in the center"],
            (2, 1) => &["on the right", "at the right"],
            (0, _) => &["at the bottom left", "in the bottom left corner"],
            (1, _) => &["at the bottom"],
            _ => &["at the bottom right", "in the bottom right corner"],
        };
        phrases.choose(rng).copied()
    }
}

/// How the first of two shapes lies to the other, if one word for it fits clearly.
fn between(one: &Shape, other: &Shape, rng: &mut impl Rng) -> Option<&'static str> {
    let [dx, dy] = [other.centre[0] - one.centre[0], other.centre[1] - one.centre[1]];
    let phrases: &[&str] = match () {
        () if dx.abs() > 2.0 * dy.abs() && dx > 0.0 => &["left of", "to the left of", "next to", "beside"],
        () if dx.abs() > 2.0 * dy.abs() => &["right of", "to the right of", "next to", "beside"],
        () if dy.abs() > 2.0 * dx.abs() && dy > 0.0 => &["above", "over"],
        () if dy.abs() > 2.0 * dx.abs() => &["below", "under"],
        () => return None,
    };
    phrases.choose(rng).copied()
}

impl Background {
    /// The text with words for this background before or after it.
    fn joined(&self, text: &str, rng: &mut impl Rng, terse: bool) -> String {
        let [first, second] = self.tones.map(|tone| tone.name);
        let (plain, tail) = if first == second {
            (with_article(&format!("{first} background")), format!("{first} background"))
        } else {
            let fading = ["fading", "graded"].choose(rng).expect("not empty");
            let [first, second] = if rng.random_bool(0.5) { [first, second] } else { [second, first] };
            (
                format!("a background {fading} from {first} to {second}"),
                format!("background {fading} from {first} to {second}"),
            )
        };
        match rng.random_range(0..10) {
            _ if terse => format!("{text}, {tail}"),
            0..6 => format!("{text} on {plain}"),
            6 | 7 => format!("{text}, {tail}"),
            8 => format!("{text} against {plain}"),
            _ => format!("on {plain}, {text}"),
        }
    }
}

fn with_article(text: &str) -> String {
    let article = if text.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {text}")
}
