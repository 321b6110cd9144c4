//! What is trained beside a checkpoint.

use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::lora::{Lora, layers};
use redraft_nodes::models::control::ControlFile;
use redraft_nodes::models::families::recognise;
use redraft_nodes::ops::noise::randn;
use tch::{Device, Kind, Tensor};

use super::{batch, numerics, random, value};
use crate::companion::Companion;
use crate::control::Net;
use crate::data::token_rows;
use crate::denoiser::{Denoiser, Draw};
use crate::inpainting::Unet;
use crate::inversion::{Vectors, turquoise};
use crate::lora::Matrices;
use crate::optimiser::Optimiser;
use crate::train::update;

#[test]
fn companions_begin_as_the_checkpoint_and_their_losses_fall() {
    let (folder, weights) = random();
    let file = folder.path().join("file.safetensors");
    let (latents, tokens, draw) = batch(2);
    let plain = {
        let denoiser = Denoiser::new(&weights, &numerics(), false).unwrap();
        let [loss, _] = denoiser.loss(&latents, &tokens, &draw).unwrap();
        value(&loss)
    };
    let mut lora = Matrices::new(&weights, &numerics(), 2, file.clone()).unwrap();
    assert!(falls(&mut lora, &latents, &tokens, &draw, 1e-2, Some(plain)));
    let layers = layers::unet(&weights.at("model.diffusion_model"));
    let average = {
        let parameters = lora.parameters();
        parameters.named(&parameters.flat)
    };
    let count = average.len() / 2;
    lora.write(average, 3).unwrap();
    let changed = weights.changed(Lora::open(&file).unwrap().fit(&layers).delta(&layers, 1.0));
    let differs = |layer: &&layers::Layer| {
        let read =
            |weights: &Weights| weights.tensor(&layer.slot.name, &weights.shape(&layer.slot.name).unwrap()).unwrap();
        read(&weights) != read(&changed)
    };
    let touched = layers.iter().filter(differs).count();
    assert_eq!(touched, count, "every pair of matrices fits a layer");

    let mut unet = Unet::new(&weights, &numerics(), file.clone()).unwrap();
    let shown = Tensor::cat(&[&latents, &randn(8, &[2, 5, 16, 16])], 1);
    assert!(falls(&mut unet, &shown, &tokens, &draw, 1e-3, Some(plain)));
    unet.write(unet.parameters.named(&unet.parameters.flat), 3).unwrap();
    let mut again = Unet::new(&weights, &numerics(), file.clone()).unwrap();
    again.parameters.take(&tensor_file::load(&file).unwrap()).unwrap();
    assert!(value(&(&again.parameters.flat - &unet.parameters.flat).abs().max()) < 2e-3, "half precision");
    assert!(lora.parameters().take(&tensor_file::load(&file).unwrap()).is_err(), "a file of another kind");
    assert_eq!(recognise(&Weights::open(&file).unwrap()).unwrap().model().unwrap().family.name, "Stable Diffusion 1.x");

    let mut net = Net::new(&weights, &numerics(), file.clone()).unwrap();
    let packed = Tensor::cat(&[&latents, &randn(9, &[2, 64, 16, 16]).gt(1.0).to_kind(Kind::Float)], 1);
    assert!(falls(&mut net, &packed, &tokens, &draw, 1e-3, Some(plain)));
    net.write(net.parameters.named(&net.parameters.flat), 3).unwrap();
    let control = ControlFile::recognise(&Weights::open(&file).unwrap()).unwrap();
    control.fits(recognise(&weights).unwrap().model().unwrap()).unwrap();

    let mut vectors = Vectors::new(&weights, &numerics(), "green blue", file).unwrap();
    let tokens = token_rows([turquoise(1, 0, 8).tokens.as_slice(), turquoise(1, 1, 8).tokens.as_slice()], Device::Cpu);
    assert!(falls(&mut vectors, &latents, &tokens, &draw, 1e-2, None));
}

/// Whether the loss falls in two steps; it begins at `begin`.
fn falls(
    companion: &mut impl Companion,
    held: &Tensor,
    tokens: &Tensor,
    draw: &Draw,
    rate: f64,
    begin: Option<f64>,
) -> bool {
    let mut optimiser = Optimiser::new(companion.parameters());
    let losses: Vec<f64> = (0..3)
        .map(|_| {
            let [loss, _] = companion.loss(held, tokens, draw).unwrap();
            update(companion.parameters(), &mut optimiser, &loss, rate);
            value(&loss)
        })
        .collect();
    assert!(begin.is_none_or(|begin| (losses[0] / begin - 1.0).abs() < 1e-4), "{losses:?}, and not {begin:?}");
    losses.windows(2).all(|pair| pair[1] < pair[0])
}
