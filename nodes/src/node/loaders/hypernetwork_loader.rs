use std::fmt;
use std::rc::Rc;

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use tch::{Device, Tensor};

use crate::diffusion::patch::{Patch, Site};
use crate::models::hypernetwork::Hypernetwork;
use crate::networks::Networks;
use crate::recipes::Model;
use crate::sampling::hooks::Hook;

/// Lays a hypernetwork over a model's attentions: small networks that add to what keys and values are made of.
#[derive(Node)]
#[node(category = "loaders")]
struct HypernetworkLoader {
    model: Model,
    /// The hypernetwork's file, as `torch.save` wrote it (`.pt`).
    #[input(files = "hypernetworks")]
    hypernetwork_name: String,
    /// What the additions are multiplied by.
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01)]
    strength: f64,
}

impl Run for HypernetworkLoader {
    type Out = Model;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Model> {
        let path = super::file(cx, "hypernetworks", &self.hypernetwork_name)?;
        let networks = cx.service::<Networks>()?;
        let device = networks.numerics().device;
        let network = networks.of_file(&path, |path| Hypernetwork::load(path, device))?;
        if network.drops_out {
            cx.warn(format!(
                "'{}' was trained with dropout; ComfyUI drops values at random where it is used, too, and here none are dropped",
                self.hypernetwork_name
            ));
        }
        Ok(self.model.with_hook(Beside { network, name: self.hypernetwork_name, strength: self.strength }))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("hypernetwork_name", "hypernetworks"), |path| {
            Hypernetwork::load(path, Device::Cpu).map(drop)
        })
    }
}

/// A hypernetwork beside the attentions.
struct Beside {
    network: Rc<Hypernetwork>,
    name: String,
    strength: f64,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hypernetwork {} with strength {}", self.name, self.strength)
    }
}

impl Hook for Beside {
    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }
}

impl Patch for Beside {
    fn before_self_attention(&self, [q, k, v]: [Tensor; 3], _: &Site) -> [Tensor; 3] {
        let [k, v] = self.network.applied(k, v, self.strength);
        [q, k, v]
    }

    fn before_cross_attention(&self, [q, k, v]: [Tensor; 3], _: &Site) -> [Tensor; 3] {
        let [k, v] = self.network.applied(k, v, self.strength);
        [q, k, v]
    }
}
