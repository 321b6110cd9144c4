//! What the documentation page on image2image says of `start_at_step`, `denoise`, step counts, and image2image at denoise
//! 1.0 on SD1.5; each claim on latents, with its reason.
//!
//! Two checkpoints serve: one with random weights, and a *blind* one whose last layer is zero. The blind network finds no
//! noise in anything, so every step leaves the state as it is and the sampler returns the state that it began from: the
//! experiment that shows how much of the picture and how much noise a sampler starts with.

#![allow(clippy::unwrap_used)]

mod common;

use common::graph::{Graph, advanced, ksampler};
use common::tensors::{Tensors, distance, largest_difference};
use common::{Base, CHECKPOINT, Done, VAE};
use redraft_nodes::diffusion::parameterisation::Parameterisation;
use redraft_nodes::sampling::schedules::{Schedule, window};
use serde_json::json;
use tch::Tensor;

/// What SD1.x multiplies latents by before its network sees them.
const SCALE: f32 = 0.18215;

/// The tensors that left a graph's nodes, and its events.
struct Ran {
    tensors: Tensors,
    done: Done,
}

impl Ran {
    fn of(base: &Base, graph: &Graph) -> Self {
        let (file, dump) = (base.write_json("graph.json", &graph.json()), base.path("dump.safetensors"));
        let done = base.run(&file).arg("--json").arg("--dump").arg(&dump).finish().expect_code(0);
        Self { tensors: Tensors::read(&dump), done }
    }

    #[track_caller]
    fn latent(&self, node: &str) -> Vec<f32> {
        self.tensors.floats(&format!("{node}/0/samples"))
    }

    /// How many steps a sampler made: one event of progress each.
    fn steps(&self, node: &str) -> usize {
        self.done.events_of("progress").iter().filter(|progress| progress["node"] == node).count()
    }
}

/// A graph with one KSamplerAdvanced of 20 steps for each start, under the node id `start-N`.
fn with_starts(starts: &[usize]) -> Graph {
    let mut graph = Graph::image2image();
    for start in starts {
        graph.shown(&format!("start-{start}"), "KSamplerAdvanced", advanced(json!({ "start_at_step": start })));
    }
    graph
}

/// Writes the checkpoint with a network whose output is always zero; its name.
fn blind(base: &Base) -> &'static str {
    let mut tensors = Tensors::read(&base.path("models/checkpoints").join(CHECKPOINT));
    tensors.zero("model.diffusion_model.out.2.");
    tensors.write(&base.path("models/checkpoints/blind.safetensors"));
    "blind.safetensors"
}

/// "start_at_step: 20 … no sampling is done, and no noise is added. The input image is output as it is." With 20 steps
/// there are 21 noise levels; dropping 20 leaves the last one, 0, and no interval to step over. The latent is passed on,
/// not noised and denoised by nothing: equal to the last bit, also beyond the end.
#[test]
fn starting_at_the_last_step_returns_the_input() {
    let base = Base::new();
    let ran = Ran::of(&base, &with_starts(&[20, 21, 10_000]));
    for node in ["start-20", "start-21", "start-10000"] {
        assert_eq!(ran.latent(node), ran.latent("12"), "{node}");
        assert_eq!(ran.steps(node), 0, "{node}");
    }
}

/// "start_at_step: 0 … filled with noise from the beginning": nothing of the schedule is dropped, which is what KSampler
/// does at denoise 1. Same levels, same noise, same steps: the same bits.
#[test]
fn starting_at_0_is_denoise_1() {
    let base = Base::new();
    let mut graph = with_starts(&[0]);
    graph.shown("denoise-1", "KSampler", ksampler(json!({ "denoise": 1.0 })));
    let ran = Ran::of(&base, &graph);
    assert_eq!(ran.latent("start-0"), ran.latent("denoise-1"));
    assert_ne!(ran.latent("start-0"), ran.latent("12"));
}

/// "start_at_step: 1 … the amount of noise added decreases slightly … 9 … decreases significantly": the state that
/// sampling starts from is latent·0.18215 + σ·noise, and σ falls along the schedule. The blind network hands that state
/// back, so the distance to the encoded picture is σ·|noise|/0.18215: it falls strictly, and in the ratio of the levels.
#[test]
fn a_later_start_adds_less_noise() {
    let base = Base::new();
    let starts = [0, 1, 4, 9, 19, 20];
    let graph = with_starts(&starts).with("4", "ckpt_name", json!(blind(&base)));
    let ran = Ran::of(&base, &graph);
    let added = starts.map(|start| distance(&ran.latent(&format!("start-{start}")), &ran.latent("12")));
    assert!(added.is_sorted_by(|a, b| a > b), "{added:?}");
    assert_eq!(added[5], 0.0);

    let levels = Schedule::named("normal").unwrap().levels(&Parameterisation::sd15(), 20).unwrap().0;
    for (start, added_here) in starts.into_iter().zip(added).filter(|(start, _)| (1..20).contains(start)) {
        let (found, expected) = (added_here / added[1], f64::from(levels[start] / levels[1]));
        assert!((found / expected - 1.0).abs() < 1e-3, "start {start}: {found} instead of {expected}");
    }
}

/// "… barely visible" at 1, "the outline and composition remain" at 9: after its input is scaled to unit variance, the
/// network sees the picture with the weight 1/√(σ²+1).
#[test]
fn how_much_of_the_picture_the_network_sees() {
    let sampling = Parameterisation::sd15();
    let levels = Schedule::named("normal").unwrap().levels(&sampling, 20).unwrap().0;
    let seen = |start: usize| sampling.scaled_input(&Tensor::from(1f32), levels[start]).double_value(&[]);
    for (start, weight) in [(0, 0.06826), (1, 0.09265), (4, 0.20171), (9, 0.49299), (19, 0.99957), (20, 1.0)] {
        assert!((seen(start) - weight).abs() < 1e-5, "start {start}: {}", seen(start));
    }
}

/// The same with a network that does something: the later the start, the nearer the result to the picture.
#[test]
fn a_later_start_keeps_more_of_the_picture() {
    let base = Base::new();
    let starts = [0, 1, 9, 19, 20];
    let ran = Ran::of(&base, &with_starts(&starts));
    let away = starts.map(|start| distance(&ran.latent(&format!("start-{start}")), &ran.latent("12")));
    assert!(away.is_sorted_by(|a, b| a > b), "{away:?}");
}

/// "steps: 20, start_at_step: 4 … the actual number is 20 - 4 = 16", "standard … even if you change denoise to 0.5 or 0.1,
/// it still samples 20 times": KSamplerAdvanced drops the beginning of a schedule of `steps`; KSampler takes the last
/// `steps` of a longer one, of steps/denoise.
#[test]
fn advanced_makes_the_remaining_steps_and_ksampler_makes_all() {
    let base = Base::new();
    let mut graph = with_starts(&[0, 4, 9, 19]);
    for denoise in [1.0, 0.8, 0.5, 0.1] {
        graph.shown(&format!("denoise-{denoise}"), "KSampler", ksampler(json!({ "denoise": denoise })));
    }
    let window = json!({ "start_at_step": 4, "end_at_step": 10 });
    graph.shown("window", "KSamplerAdvanced", advanced(window));
    let ran = Ran::of(&base, &graph);
    for start in [0, 4, 9, 19] {
        assert_eq!(ran.steps(&format!("start-{start}")), 20 - start);
    }
    for denoise in [1.0, 0.8, 0.5, 0.1] {
        assert_eq!(ran.steps(&format!("denoise-{denoise}")), 20, "denoise {denoise}");
    }
    assert_eq!(ran.steps("window"), 6);
}

/// "At 0.0, no noise is added at all, so the original image is output as it is." No level is visited; not a bit changes.
#[test]
fn denoise_0_returns_the_input() {
    let base = Base::new();
    let mut graph = Graph::image2image();
    graph.shown("16", "KSampler", ksampler(json!({ "denoise": 0.0 })));
    let ran = Ran::of(&base, &graph);
    assert_eq!(ran.latent("16"), ran.latent("12"));
    assert_eq!(ran.steps("16"), 0);
}

/// steps/denoise is cut to a whole number, so a denoise near 1 may change nothing: 3/0.9 is 3.33, cut to 3, the whole
/// schedule. 20/0.96 is 20.8, cut to 20; 20/0.95 is 21.05, and is shorter by one step.
#[test]
fn a_denoise_near_1_may_change_nothing() {
    let base = Base::new();
    let mut graph = Graph::image2image();
    for (node, steps, denoise) in [("a", 3, 1.0), ("b", 3, 0.9), ("c", 20, 1.0), ("d", 20, 0.96), ("e", 20, 0.95)] {
        graph.shown(node, "KSampler", ksampler(json!({ "steps": steps, "denoise": denoise })));
    }
    let ran = Ran::of(&base, &graph);
    assert_eq!(ran.latent("a"), ran.latent("b"));
    assert_eq!(ran.latent("c"), ran.latent("d"));
    assert_ne!(ran.latent("c"), ran.latent("e"));
}

/// "steps: 20, start_at_step: 4" and "steps: 20, denoise: 0.8 … the appearance of how noise is applied will be close": the
/// first noise level is 4.8557 (timestep 788.7) here and 4.9038 (timestep 790.9) there, 1 % apart, because the one schedule
/// spreads 20 levels over the timesteps and the other 25.
#[test]
fn start_4_of_20_is_close_to_denoise_0_8() {
    let (advanced, standard) = (advanced_levels(20, 4), ksampler_levels(20, 0.8));
    assert_eq!((advanced.len() - 1, standard.len() - 1), (16, 20));
    assert!((advanced[0] - 4.85565).abs() < 1e-4 && (standard[0] - 4.90377).abs() < 1e-4);
    assert!((standard[0] / advanced[0] - 1.00991).abs() < 1e-4);
}

/// "Steps to set ≒ total steps · denoise … It does not match perfectly." With 16 steps at denoise 0.8 the longer schedule
/// has 16/0.8 = 20 steps, of which the last 16 are made: exactly start_at_step 4 of 20, level by level, and the same result
/// to the last bit. So it is for every start of 20. It fails where the division does not come out: of 25 steps the starts
/// 8, 11 and 18 (17/0.68 is a little under 25 in floating point and cut to 24); and where the product is no whole number:
/// 20·0.33 = 6.6, and 7 steps at denoise 0.33 come from a schedule of 21 and start 5 % lower than start_at_step 13 of 20.
#[test]
fn the_page_s_formula_is_exact_where_it_divides() {
    let failing = |total: usize| -> Vec<usize> {
        let exact = |start: usize| {
            let steps = total - start;
            ksampler_levels(steps, steps as f64 / total as f64) == advanced_levels(total, start)
        };
        (1..total).filter(|&start| !exact(start)).collect()
    };
    assert!(failing(20).is_empty(), "{:?}", failing(20));
    assert_eq!(failing(25), [8, 11, 18]);
    let lower = ksampler_levels(7, 0.33)[0] / advanced_levels(20, 13)[0];
    assert!((lower - 0.947).abs() < 1e-3, "{lower}");

    let base = Base::new();
    let mut graph = with_starts(&[4]);
    graph.shown("formula", "KSampler", ksampler(json!({ "steps": 16, "denoise": 0.8 })));
    let ran = Ran::of(&base, &graph);
    assert_eq!(ran.latent("formula"), ran.latent("start-4"));
    assert_eq!(ran.steps("formula"), 16);
}

fn advanced_levels(steps: usize, start: usize) -> Vec<f32> {
    let levels = Schedule::named("normal").unwrap().levels(&Parameterisation::sd15(), steps).unwrap();
    window(&levels, Some(start), None, true).unwrap().0
}

fn ksampler_levels(steps: usize, denoise: f64) -> Vec<f32> {
    Schedule::named("normal").unwrap().for_ksampler(&Parameterisation::sd15(), steps, denoise, false).unwrap().0
}

/// A graph with image2image (node `image`) and text2image (node `text`) at denoise 1.0, alike but for the latent.
fn image_and_text() -> Graph {
    let mut graph = Graph::image2image();
    graph.node("5", "EmptyLatentImage", json!({ "width": 96, "height": 64, "batch_size": 1 }));
    graph.shown("image", "KSampler", ksampler(json!({ "denoise": 1.0 })));
    graph.shown("text", "KSampler", ksampler(json!({ "denoise": 1.0, "latent_image": ["5", 0] })));
    graph
}

/// "When denoise: 1.0 … image2image and text2image … are not the same in Stable Diffusion 1.5." The page does not know why;
/// the next test does.
#[test]
fn image2image_at_denoise_1_is_not_text2image() {
    let base = Base::new();
    let ran = Ran::of(&base, &image_and_text());
    let (image, text) = (ran.latent("image"), ran.latent("text"));
    assert!(largest_difference(&image, &text) > 1e-2, "{}", largest_difference(&image, &text));
}

/// Why: noise is *added* to the picture, which is never faded out. The two initial states differ by exactly the scaled
/// latent, latent·0.18215, whatever the noise: the blind network returns the states, and they do. Once the network's input
/// is scaled, that remainder still has the weight √ᾱ₉₉₉ = 0.06826, because SD1.x was trained on a schedule that ends at
/// ᾱ = 0.00466 instead of 0 (Lin et al. 2023, arXiv:2305.08891): the network has learnt to read brightness and large shapes
/// from it. Models that mix, σ·noise + (1-σ)·latent with σ = 1 first, have no remainder.
#[test]
fn the_difference_is_the_picture_that_shines_through_the_noise() {
    let base = Base::new();
    let graph = image_and_text().with("4", "ckpt_name", json!(blind(&base)));
    let ran = Ran::of(&base, &graph);
    let (image, text, source) = (ran.latent("image"), ran.latent("text"), ran.latent("12"));
    let difference: Vec<f32> = image.iter().zip(&text).map(|(image, text)| image - text).collect();
    let loudest = text.iter().fold(0f32, |most, value| most.max(value.abs()));
    // The states are some hundred times the difference: f32 keeps about 1e-7 of them.
    assert!(largest_difference(&difference, &source) < 1e-6 * loudest, "{difference:?}\n{source:?}");
    assert!(distance(&source, &vec![0.0; source.len()]) > 1.0, "the picture is not black");

    let sampling = Parameterisation::sd15();
    let highest = sampling.sigma_max();
    let noise = Tensor::from_slice(&text);
    let latent = Tensor::from_slice(&source) * f64::from(SCALE);
    let (with, without) =
        (sampling.noised(&latent, &noise, highest), sampling.noised(&latent.zeros_like(), &noise, highest));
    let seen = sampling.scaled_input(&with, highest) - sampling.scaled_input(&without, highest);
    let expected = &latent * 0.068_265;
    assert!((seen - expected).abs().max().double_value(&[]) < 1e-4);
    let alpha = 1.0 / (f64::from(highest).powi(2) + 1.0);
    assert!((alpha - 0.004_66).abs() < 1e-5 && (alpha.sqrt() - 0.068_26).abs() < 1e-5, "{alpha}");
}

/// And so it vanishes where the latent is zero: a VAE that encodes every picture to zero (its last layer is zero) makes
/// image2image at denoise 1.0 the same as text2image, to the last bit. `EmptyLatentImage` is nothing but that zero.
#[test]
fn image2image_from_a_zero_latent_is_text2image() {
    let base = Base::new();
    let mut vae = Tensors::read(&base.path("models/vae").join(VAE));
    vae.zero("quant_conv.");
    vae.write(&base.path("models/vae/zero.safetensors"));
    let mut graph = image_and_text();
    graph.node("11", "VAELoader", json!({ "vae_name": "zero.safetensors" }));
    let ran = Ran::of(&base, &graph.with("12", "vae", json!(["11", 0])));
    assert!(ran.latent("12").iter().all(|value| *value == 0.0));
    assert_eq!(ran.latent("image"), ran.latent("text"));
}
