//! What a denoising network is asked, and what it offers.

use anyhow::Result;
use tch::{Device, Tensor};

use super::control::Residuals;
use super::extra_conds::ExtraConds;
use super::patch::Call;

/// What a network is asked: a batch of states at one noise level, each under a prompt. All tensors are on
/// [`Network::device`], float32.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The states, scaled to what the network was trained on: B×C×h×w. Behind the latent's channels come those that are shown
    /// beside it.
    pub x: &'a Tensor,
    /// The noise level as the network takes it, B values.
    pub timestep: &'a Tensor,
    /// The text, B×T×W.
    pub context: &'a Tensor,
    /// What the model's family takes besides, a row for each state.
    pub extra: &'a ExtraConds,
    /// What networks that steer this one add inside of it.
    pub control: Option<&'a Residuals>,
    /// What is changed inside of the network.
    pub call: &'a Call<'a>,
}

/// A denoising network, without guidance.
pub trait Network {
    /// The network's raw output, with the latent's number of channels.
    fn predict(&self, inputs: &Inputs) -> Result<Tensor>;

    /// Whether it makes no difference if a text is repeated, so that texts of several lengths may share a call.
    fn repeats_text(&self) -> bool {
        true
    }

    /// Whether what inpainting keeps is shown to it without noise. It is told then which frames are known.
    fn takes_known_clean(&self) -> bool {
        false
    }

    /// Whether EasyCache may answer in its place. ComfyUI has no place for that in some networks, where the node then changes nothing.
    fn may_be_left_out(&self) -> bool {
        true
    }

    /// Where the network computes.
    fn device(&self) -> Device {
        Device::Cpu
    }
}
