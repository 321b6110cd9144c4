use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use super::colour::{difference, from_lab, lab};
use super::scene::HELD_OUT;
use super::{Colour, Kind, Scene, Split};

fn scenes(seed: u64, split: Split, count: usize) -> Vec<(Scene, String)> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let scene = |_| {
        let scene = Scene::random(&mut rng, split);
        let caption = scene.caption(&mut rng);
        (scene, caption)
    };
    (0..count).map(scene).collect()
}

#[test]
fn a_seed_gives_the_same_scenes_captions_and_pictures_again() {
    let [one, again, other] = [7, 7, 8].map(|seed| {
        let drawn = scenes(seed, Split::Train, 20).into_iter().map(|(scene, caption)| (scene.draw(64), caption));
        drawn.collect::<Vec<_>>()
    });
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[test]
fn training_shows_no_pair_that_is_held_out_and_every_other_often() {
    let mut seen = BTreeMap::new();
    let mut counts = [0; 4];
    for (scene, _) in scenes(1, Split::Train, 4000) {
        counts[scene.shapes.len()] += 1;
        for shape in scene.shapes {
            *seen.entry((shape.colour, shape.kind)).or_insert(0) += 1;
        }
    }
    for colour in Colour::ALL {
        for kind in Kind::ALL {
            let times = seen.get(&(colour, kind)).copied().unwrap_or(0);
            if HELD_OUT.contains(&(colour, kind)) {
                assert_eq!(times, 0, "{colour:?} {kind:?}");
            } else {
                assert!(times > 40, "{colour:?} {kind:?}: {times} of 4000");
            }
        }
    }
    assert!((2200..2600).contains(&counts[1]) && counts[2] > 1000 && counts[3] > 300, "{counts:?}");
}

#[test]
fn held_out_scenes_show_one_shape_of_a_pair_and_name_the_background() {
    for (scene, caption) in scenes(2, Split::HeldOut, 500) {
        let [shape] = scene.shapes.as_slice() else { panic!("{} shapes", scene.shapes.len()) };
        assert!(HELD_OUT.contains(&(shape.colour, shape.kind)));
        assert!(caption.contains("background") && caption.contains(scene.background.tones[0].name), "{caption}");
    }
}

#[test]
fn captions_name_the_colour_and_kind_of_every_shape() {
    for (scene, caption) in scenes(3, Split::Train, 2000) {
        for shape in &scene.shapes {
            let pair = format!("{} {}", shape.colour.name(), shape.kind.name());
            assert!(caption.contains(&pair), "{pair}: {caption}");
        }
        assert!(caption.is_ascii() && !caption.contains("  ") && !caption.contains("a orange"), "{caption}");
    }
}

#[test]
fn captions_vary() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let scene = Scene::random(&mut rng, Split::Train);
    let captions: std::collections::BTreeSet<String> = (0..200).map(|_| scene.caption(&mut rng)).collect();
    assert!(captions.len() > 15, "{captions:?}");
}

#[test]
fn shapes_lie_inside_and_apart() {
    for (scene, _) in scenes(5, Split::Train, 1000) {
        for (i, shape) in scene.shapes.iter().enumerate() {
            for at in shape.centre {
                assert!(at - shape.reach() > 0.02 && at + shape.reach() < 0.98, "{shape:?}");
            }
            for other in &scene.shapes[..i] {
                let apart = (shape.centre[0] - other.centre[0]).hypot(shape.centre[1] - other.centre[1]);
                assert!(apart > shape.reach() + other.reach(), "{shape:?} {other:?}");
            }
        }
    }
}

#[test]
fn the_middle_of_a_shape_looks_unlike_the_background() {
    for (scene, caption) in scenes(6, Split::Train, 300) {
        let pixels = scene.draw(128);
        let at = |x: f32, y: f32| -> [f32; 3] {
            let pixel = (y * 128.0) as usize * 128 + (x * 128.0) as usize;
            std::array::from_fn(|i| f32::from(pixels[3 * pixel + i]))
        };
        for shape in &scene.shapes {
            // Between the hole and the edge of a ring, in the body of every other kind.
            let right = if shape.kind == Kind::Ring { 0.75 * shape.radius } else { 0.0 };
            let middle = at(shape.centre[0] + right, shape.centre[1]);
            for corner in [at(0.0, 0.0), at(0.99, 0.0), at(0.0, 0.99), at(0.99, 0.99)] {
                assert!(difference(middle, corner) > 10.0, "{caption}: {middle:?} {corner:?}");
            }
        }
    }
}

#[test]
fn no_picture_is_flat() {
    for (scene, caption) in scenes(7, Split::Train, 50) {
        let pixels = scene.draw(64);
        let corner = [[0, 0], [7, 3], [2, 6]].map(|[x, y]: [usize; 2]| &pixels[3 * (64 * y + x)..][..3]);
        assert!(corner[0] != corner[1] || corner[1] != corner[2], "{caption}");
    }
}

#[test]
fn cielab_agrees_with_published_values_and_goes_back() {
    // sRGB red, and mid grey (128): values of Lindbloom's calculator.
    for (rgb, want) in [([255., 0., 0.], [53.24, 80.09, 67.20]), ([128., 128., 128.], [53.59, 0.0, 0.0])] {
        let got = lab(rgb);
        assert!(got.iter().zip(want).all(|(a, b): (&f32, f32)| (a - b).abs() < 0.1), "{got:?} for {want:?}");
    }
    for colour in Colour::ALL {
        let (rgb, back) = (colour.rgb(), from_lab(lab(colour.rgb())));
        assert!(difference(rgb, back) < 0.1, "{rgb:?} {back:?}");
    }
}
