//! Guiders: nodes that choose the conditionings of a sampling run and the strength of guidance.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::recipes::{Guider, Model};
use crate::sampling::guidance::{Guide, Rule};
use crate::values::Conditioning;

/// Samples with a single conditioning, without guidance.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/guiders")]
struct BasicGuider {
    model: Model,
    conditioning: Conditioning,
}

impl Run for BasicGuider {
    type Out = Guider;

    fn run(self, _: &mut Cx) -> anyhow::Result<Guider> {
        let guide = Guide { rule: Rule::Cfg { cfg: 1.0 }, conditionings: vec![self.conditioning] };
        Ok(Guider { model: self.model, guide })
    }
}

/// Classifier-free guidance from a negative towards a positive conditioning.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/guiders")]
struct CFGGuider {
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01, beyond = Both)]
    cfg: f64,
}

impl Run for CFGGuider {
    type Out = Guider;

    fn run(self, _: &mut Cx) -> anyhow::Result<Guider> {
        Ok(Guider { model: self.model, guide: Guide::cfg(&self.positive, &self.negative, self.cfg) })
    }
}

/// Guides from a negative towards a second conditioning, and from the second towards a first one.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/guiders")]
struct DualCFGGuider {
    model: Model,
    cond1: Conditioning,
    cond2: Conditioning,
    negative: Conditioning,
    /// The strength of guidance from the second to the first conditioning.
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01, beyond = Both)]
    cfg_conds: f64,
    /// The strength of guidance from the negative to the second conditioning.
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01, beyond = Both)]
    cfg_cond2_negative: f64,
    style: Style,
}

#[derive(Combo, PartialEq)]
enum Style {
    Regular,
    Nested,
}

impl Run for DualCFGGuider {
    type Out = Guider;

    fn run(self, _: &mut Cx) -> anyhow::Result<Guider> {
        let rule = Rule::Dual {
            conds: self.cfg_conds,
            negative: self.cfg_cond2_negative,
            nested: self.style == Style::Nested,
        };
        Ok(Guider {
            model: self.model,
            guide: Guide { rule, conditionings: vec![self.cond1, self.cond2, self.negative] },
        })
    }
}

/// Guides away only from the part of the negative prediction that is perpendicular to the positive one (Perp-Neg).
#[derive(Node)]
#[node(category = "_for_testing", experimental)]
struct PerpNegGuider {
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    /// The conditioning of an empty prompt.
    empty_conditioning: Conditioning,
    #[input(default = 8.0, min = 0.0, max = 100.0, step = 0.1, round = 0.01, beyond = Both)]
    cfg: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    neg_scale: f64,
}

impl Run for PerpNegGuider {
    type Out = Guider;

    fn run(self, _: &mut Cx) -> anyhow::Result<Guider> {
        let rule = Rule::PerpNeg { cfg: self.cfg, scale: self.neg_scale };
        let conditionings = vec![self.positive, self.empty_conditioning, self.negative];
        Ok(Guider { model: self.model, guide: Guide { rule, conditionings } })
    }
}
