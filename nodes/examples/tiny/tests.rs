//! Gradients against finite differences, losses that fall, and training that goes on where it stopped.
#![allow(clippy::unwrap_used)]

mod companions;

use std::path::Path;
use std::rc::Rc;

use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::families::recognise;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::noise::randn;
use redraft_nodes::ops::numerics::Numerics;
use tch::{Device, Kind, Tensor};

use crate::autoencoder::{Autoencoder, LossWeights, Spread};
use crate::budget::rate;
use crate::checkpoint::{Training, join, split};
use crate::data::{Sample, pictures, sample, token_rows, tokens};
use crate::denoiser::{Denoiser, Draw, Networks};
use crate::drawing::Split;
use crate::parameters::Parameters;
use crate::pool::Pool;
use crate::train::{begin, update};

fn numerics() -> Numerics {
    Numerics::float32(Device::Cpu)
}

fn random() -> (tempfile::TempDir, Weights) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.safetensors");
    write_random_checkpoint(&path, Layout::Sd1, Size::Small, 1, false).unwrap();
    let weights = Weights::open(path).unwrap();
    (folder, weights)
}

fn samples(count: u64, size: u32) -> Vec<Sample> {
    (0..count).map(|index| sample(1, index, size, Split::Train)).collect()
}

fn value(loss: &Tensor) -> f64 {
    loss.double_value(&[])
}

/// Below each prefix the loss rises as the gradient says when the parameters move along it, and every parameter that the loss
/// can depend on has a gradient.
fn agrees_with_finite_differences(
    parameters: &Parameters,
    prefixes: &[&str],
    unused: impl Fn(&str) -> bool,
    loss: impl Fn() -> Tensor,
) {
    let without = parameters.without_gradient(&loss());
    let missing: Vec<&String> = without.iter().filter(|name| !unused(name)).collect();
    assert!(missing.is_empty(), "no gradient: {missing:?}");
    let covered = parameters.names().all(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
    assert!(covered, "the prefixes leave parameters out");
    let gradient = parameters.gradient(&loss());
    let _guard = tch::no_grad_guard();
    let (start, mut flat) = (parameters.flat.copy(), parameters.flat.shallow_clone());
    for prefix in prefixes {
        let part = &gradient * parameters.mask(prefix);
        let norm = value(&part.norm());
        assert!(norm > 0.0, "nothing below {prefix}");
        let direction = part / norm;
        // It changes the loss by a few thousandths: far above float32's rounding of about 1e-6, and still nearly straight.
        let step = (2e-3 / norm).min(0.02);
        let mut at = |distance: f64| {
            flat.copy_(&(&start + &direction * distance));
            value(&loss())
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        flat.copy_(&start);
        assert!((slope / norm - 1.0).abs() < 0.02, "{prefix}: the loss rises by {slope}, the gradient says {norm}");
    }
}

#[test]
fn gradients_of_the_autoencoder_agree_with_finite_differences() {
    let (_folder, weights) = random();
    let autoencoder = Autoencoder::new(&weights, &numerics(), false).unwrap();
    let drawn = pictures(&samples(2, 16), 16, Device::Cpu);
    let noise = randn(3, &autoencoder.latent_shape(&drawn));
    let parts = [
        "encoder.conv_in.",
        "encoder.down.",
        "encoder.mid.",
        "encoder.norm_out.",
        "encoder.conv_out.",
        "quant_conv.",
        "post_quant_conv.",
        "decoder.conv_in.",
        "decoder.mid.",
        "decoder.up.0.",
        "decoder.up.",
        "decoder.norm_out.",
        "decoder.conv_out.",
    ];
    let prefixes = parts.map(|part| format!("first_stage_model.{part}"));
    agrees_with_finite_differences(
        &autoencoder.parameters,
        &prefixes.each_ref().map(String::as_str),
        // Attention does not see what is added to all keys alike.
        |name| name.ends_with("attn_1.k.bias"),
        || {
            let [loss, _] = autoencoder.loss(&drawn, &noise, &LossWeights::default(), 1.0);
            loss
        },
    );
}

/// Latents, captions and random numbers of a small batch; the deepest attention then is over four places.
fn batch(count: i64) -> (Tensor, Tensor, Draw) {
    let samples = samples(count as u64, 8);
    let tokens = token_rows(samples.iter().map(|sample| sample.tokens.as_slice()), Device::Cpu);
    let draw = Draw {
        timesteps: Tensor::arange(count, (Kind::Int64, Device::Cpu)) * (900 / count) + 50,
        noise: randn(5, &[count, 4, 16, 16]),
        dropped: Tensor::from_slice(&(0..count).map(|i| i == 1).collect::<Vec<bool>>()).view([-1, 1]),
    };
    (randn(4, &[count, 4, 16, 16]), tokens, draw)
}

#[test]
fn gradients_of_unet_and_text_encoder_agree_with_finite_differences() {
    let (_folder, weights) = random();
    let denoiser = Denoiser::new(&weights, &numerics(), false).unwrap();
    let (latents, tokens, draw) = batch(2);
    let unet = ["time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "out."];
    let blocks = ["input_blocks.4.1.", "middle_block.1."];
    let text = ["embeddings.", "encoder.", "final_layer_norm."];
    let prefixes: Vec<String> = unet
        .iter()
        .chain(&blocks)
        .map(|part| format!("model.diffusion_model.{part}"))
        .chain(text.iter().map(|part| format!("cond_stage_model.transformer.text_model.{part}")))
        .collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    agrees_with_finite_differences(
        &denoiser.parameters,
        &prefixes,
        |name| name.ends_with("k_proj.bias"),
        || {
            let [loss, _] = denoiser.loss(&latents, &tokens, &draw).unwrap();
            loss
        },
    );
}

#[test]
fn the_losses_fall_on_a_batch_that_stays_the_same() {
    let mut training = begin(None, &numerics(), 1).unwrap();
    let drawn = pictures(&samples(2, 32), 32, Device::Cpu);
    let autoencoder = &mut training.autoencoder;
    let noise = randn(3, &autoencoder.latent_shape(&drawn));
    let mut losses = Vec::new();
    for step in 0..8 {
        let [loss, _] = autoencoder.loss(&drawn, &noise, &LossWeights::default(), 0.0);
        losses.push(value(&loss));
        update(&mut autoencoder.parameters, &mut autoencoder.optimiser, &loss, rate(1e-3, 0.0, step, 3));
    }
    assert!(losses[7] < 0.75 * losses[0], "{losses:?}");
    let (latents, tokens, draw) = batch(2);
    let denoiser = &mut training.denoiser;
    losses.clear();
    for step in 0..10 {
        let [loss, plain] = denoiser.loss(&latents, &tokens, &draw).unwrap();
        if step == 0 {
            let noise = value(&draw.noise.square().mean(Kind::Float));
            assert!((value(&plain) - noise).abs() < 1e-5, "an untrained UNet predicts nothing");
        }
        losses.push(value(&loss));
        update(&mut denoiser.parameters, &mut denoiser.optimiser, &loss, rate(1e-3, 0.0, step, 3));
    }
    assert!(losses[9] < 0.85 * losses[0], "{losses:?}");
}

/// One step of both stages.
fn step(training: &mut Training) {
    let drawn = pictures(&samples(1, 32), 32, Device::Cpu);
    let autoencoder = &mut training.autoencoder;
    let noise = randn(3, &autoencoder.latent_shape(&drawn));
    let [loss, _] = autoencoder.loss(&drawn, &noise, &LossWeights::default(), 0.0);
    update(&mut autoencoder.parameters, &mut autoencoder.optimiser, &loss, 1e-3);
    let (latents, tokens, draw) = batch(2);
    let denoiser = &mut training.denoiser;
    let [loss, _] = denoiser.loss(&latents, &tokens, &draw).unwrap();
    update(&mut denoiser.parameters, &mut denoiser.optimiser, &loss, 1e-3);
}

#[test]
fn training_goes_on_from_its_state_as_if_it_had_not_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let mut first = begin(None, &numerics(), 1).unwrap();
    (first.seed, first.next_scene) = (7, 99);
    step(&mut first);
    first.spread = Some(Spread { mean: Tensor::from_slice(&[0.5f32; 4]), std: Tensor::from_slice(&[2.0f32; 4]) });
    first.save(&path).unwrap();
    let mut second = begin(None, &numerics(), 2).unwrap();
    second.restore(&path).unwrap();
    assert_eq!((second.seed, second.next_scene, second.denoiser.optimiser.steps), (7, 99, 1));
    assert_eq!(second.spread.as_ref().unwrap().std, Tensor::from_slice(&[2.0f32; 4]));
    step(&mut first);
    step(&mut second);
    assert_eq!(first.autoencoder.parameters.flat, second.autoencoder.parameters.flat);
    assert_eq!(first.denoiser.parameters.flat, second.denoiser.parameters.flat);
    assert_eq!(first.denoiser.optimiser.average, second.denoiser.optimiser.average);
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut training = begin(None, &numerics(), 1).unwrap();
    step(&mut training);
    let denoiser = &mut training.denoiser;
    let before: Vec<Tensor> = denoiser.optimiser.state()[..2].iter().map(|(_, tensor)| tensor.copy()).collect();
    let parameters = denoiser.parameters.flat.copy();
    let gradient = parameters.zeros_like();
    for bad in [f64::NAN, f64::INFINITY] {
        let _ = gradient.narrow(0, 5, 1).fill_(bad);
        denoiser.optimiser.update(&mut denoiser.parameters, &gradient, 1e-3);
    }
    assert_eq!(parameters, denoiser.parameters.flat);
    for (before, (_, after)) in before.iter().zip(denoiser.optimiser.state()) {
        assert_eq!(before, after);
    }
}

#[test]
fn folding_the_spread_scales_latents_and_keeps_pictures() {
    let _guard = tch::no_grad_guard();
    let (_folder, weights) = random();
    let autoencoder = Autoencoder::new(&weights, &numerics(), false).unwrap();
    let vae = |weights: &Weights| Vae::load(&weights.at("first_stage_model"), &numerics()).unwrap();
    let drawn = pictures(&samples(4, 64), 64, Device::Cpu);
    let before = vae(&weights);
    let [mean, log_variance] = before.moments(&drawn);
    let spread = Spread::of(&mean);
    let mut tensors = autoencoder.parameters.named(&autoencoder.parameters.flat);
    spread.fold(&mut tensors).unwrap();
    let after = vae(&weights.trained(Rc::new(tensors)));
    let [folded, folded_log_variance] = after.moments(&drawn);
    let Spread { mean: middle, std } = Spread::of(&folded);
    let largest = |t: Tensor| value(&t.abs().max());
    assert!(largest(middle * 0.18215) < 1e-5);
    assert!(largest(std * 0.18215 - 1.0) < 1e-5);
    assert!(largest(before.decode_latent(&mean) - after.decode_latent(&folded)) < 1e-4);
    let scale = (spread.std * 0.18215).log().view([1, -1, 1, 1]) * 2.0;
    assert!(largest(log_variance - folded_log_variance - scale) < 1e-4);
}

#[test]
fn what_is_deployed_is_read_again_whole_and_from_parts() {
    let folder = tempfile::tempdir().unwrap();
    let training = begin(None, &numerics(), 1).unwrap();
    let path = folder.path().join("tiny.safetensors");
    training.export(&path).unwrap();
    let (_folder, random) = random();
    let deployed = Weights::open(&path).unwrap();
    assert_eq!(deployed.names(), random.names());
    let contents = recognise(&deployed).unwrap();
    assert_eq!(contents.model().unwrap().family.name, "Stable Diffusion 1.x");
    assert!(contents.text.is_some() && contents.vae.is_some());
    let parts = split(&path, None).unwrap();
    assert!(parts.len() == 3 && parts.iter().all(|part| part.metadata().unwrap().len() < 15 << 20));
    let whole = folder.path().join("whole.safetensors");
    join(&parts, &whole).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&whole).unwrap());
    assert!(join(&parts[..2], Path::new(&whole)).is_err(), "a part is missing");
}

#[test]
fn prompts_are_encoded_as_they_are_for_inference() {
    use redraft_nodes::models::text_recipes::SD1;
    use redraft_nodes::text::embeddings::EmbeddingFiles;
    let _guard = tch::no_grad_guard();
    let (_folder, weights) = random();
    let networks = redraft_nodes::networks::Networks::new(numerics());
    let folders = redraft_engine::folders::FolderPaths::below(Path::new("."));
    let encoder = (SD1.encoders[0].open)(&networks, &weights.at("cond_stage_model.transformer"), &folders).unwrap();
    let own = Networks::load(&weights, &numerics()).unwrap();
    for prompt in ["", "a small red circle on the left, on a blue background"] {
        let chunks = encoder.chunks(prompt.into(), &EmbeddingFiles::default()).unwrap();
        let expected = encoder.encode(chunks, None).unwrap().cond;
        let found = own.encode(&token_rows([tokens(prompt).as_slice()], Device::Cpu)).unwrap();
        assert!(value(&(expected - found).abs().max()) < 1e-5, "{prompt:?}");
    }
}

#[test]
fn a_pool_holds_the_last_drawings_whatever_their_number() {
    let (_folder, weights) = random();
    let latents = |count: u64| -> Vec<f64> {
        let mut pool = Pool::new(&weights, &numerics(), 5, |_, pictures| {
            pictures.mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float)
        })
        .unwrap();
        assert!(pool.batch(1).is_err(), "there is nothing yet");
        let mut next = 0;
        let mut take = |count: usize| -> Vec<Sample> {
            next += count as u64;
            (next - count as u64..next).map(|index| sample(1, index, 8, Split::Train)).collect()
        };
        pool.fill(2, 8, |count| Ok(take(count))).unwrap();
        if count > 5 {
            pool.add(&take(count as usize - 5), 8);
        }
        let mut held = Vec::<f64>::try_from(pool.in_vae_units().unwrap().to_kind(Kind::Double).flatten(0, -1)).unwrap();
        held.sort_by(f64::total_cmp);
        held
    };
    let drawn = |from: u64, to: u64| -> Vec<f64> {
        let all: Vec<Sample> = (from..to).map(|index| sample(1, index, 8, Split::Train)).collect();
        let means = pictures(&all, 8, Device::Cpu).mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float) / 0.18215;
        let mut means = Vec::<f64>::try_from(means.to_kind(Kind::Double)).unwrap();
        means.sort_by(f64::total_cmp);
        means
    };
    for count in [5, 6, 8, 13] {
        let (held, expected) = (latents(count), drawn(count - 5, count));
        assert!(held.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{count}: {held:?} {expected:?}");
    }
}
