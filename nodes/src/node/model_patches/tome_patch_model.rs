use std::cell::RefCell;
use std::rc::Rc;

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::diffusion::patch::{Patch, Site};
use crate::ops::noise::Stream;
use crate::ops::token_merge::Merge;
use crate::recipes::Model;
use crate::sampling::hooks::{Hook, RunStart};

/// Makes self-attention cheaper: similar tokens are merged into one query.
///
/// Token merging (Bolya and Hoffman 2023, arXiv:2303.17604). The tokens that others may be merged into are random in
/// each call. The random numbers follow those of the run's initial noise.
#[derive(Node)]
#[node(category = "model_patches/unet")]
struct TomePatchModel {
    model: Model,
    /// The share of tokens that are merged into others.
    #[input(default = 0.3, min = 0.0, max = 1.0, step = 0.01)]
    ratio: f64,
}

impl Run for TomePatchModel {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Merged { ratio: self.ratio, chance: None, merge: RefCell::default() }))
    }
}

#[derive(Debug)]
struct Merged {
    ratio: f64,
    chance: Option<Rc<RefCell<Stream>>>,
    /// The merge of the attention call under way.
    merge: RefCell<Option<Merge>>,
}

impl Hook for Merged {
    fn begin(&self, start: &RunStart) -> Option<Rc<dyn Hook>> {
        Some(Rc::new(Merged { chance: Some(start.stream.clone()), merge: RefCell::default(), ratio: self.ratio }))
    }

    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }
}

impl Patch for Merged {
    fn before_self_attention(&self, [q, k, v]: [Tensor; 3], site: &Site) -> [Tensor; 3] {
        let (height, width) = site.call.size;
        let (Some(chance), true) = (&self.chance, q.size()[1] == height * width) else { return [q, k, v] };
        let count = (q.size()[1] as f64 * self.ratio) as i64;
        if count <= 0 || height == 1 || width == 1 {
            return [q, k, v];
        }
        let merge = Merge::of(&q, (height, width), count, &mut |limit, shape| chance.borrow_mut().below(limit, shape));
        let merged = merge.merge(&q);
        self.merge.replace(Some(merge));
        [merged, k, v]
    }

    fn after_self_attention(&self, output: Tensor, _: &Site) -> Tensor {
        match self.merge.take() {
            Some(merge) => merge.unmerge(&output),
            None => output,
        }
    }
}
