//! Nodes that restrict a conditioning, or a pair of positive and negative conditionings, to a mask and a part of the
//! schedule.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use super::conditioning_set_mask::CondArea;
use crate::values::{Conditioning, ConditioningHooks, Mask, TimestepsRange};

/// An optional mask with its strength, and an optional part of the schedule.
struct Properties {
    strength: f64,
    area: CondArea,
    mask: Option<Mask>,
    timesteps: Option<TimestepsRange>,
}

impl Properties {
    fn on(&self, conditioning: Conditioning) -> Conditioning {
        let mask =
            self.mask.as_ref().map(|mask| if mask.0.dim() < 3 { mask.0.unsqueeze(0) } else { mask.0.shallow_clone() });
        conditioning.map(|entry| {
            if let Some(mask) = &mask {
                entry.mask = Some(mask.shallow_clone());
                entry.mask_strength = Some(self.strength);
                entry.set_area_to_bounds = Some(self.area == CondArea::MaskBounds);
            }
            if let Some(range) = self.timesteps {
                (entry.start_percent, entry.end_percent) = (Some(range.start), Some(range.end));
            }
        })
    }
}

fn joined(mut first: Conditioning, second: Conditioning) -> Conditioning {
    first.0.extend(second.0);
    first
}

#[derive(Outputs)]
struct Both {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
}

/// Restricts a conditioning to a mask and a part of the schedule.
#[derive(Node)]
#[node(category = "advanced/hooks/cond single", display = "Cond Set Props", experimental)]
struct ConditioningSetProperties {
    #[input(name = "cond_NEW")]
    new: Conditioning,
    /// The mask is multiplied by this.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
    set_cond_area: CondArea,
    mask: Option<Mask>,
    #[expect(dead_code, reason = "no node makes any")]
    hooks: Option<ConditioningHooks>,
    timesteps: Option<TimestepsRange>,
}

impl Run for ConditioningSetProperties {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let Self { strength, set_cond_area: area, mask, timesteps, .. } = self;
        Ok(Properties { strength, area, mask, timesteps }.on(self.new))
    }
}

/// Restricts a second conditioning to a mask and a part of the schedule, and adds it to the first.
#[derive(Node)]
#[node(category = "advanced/hooks/cond single", display = "Cond Set Props Combine", experimental)]
struct ConditioningSetPropertiesAndCombine {
    cond: Conditioning,
    #[input(name = "cond_NEW")]
    new: Conditioning,
    /// The mask is multiplied by this.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
    set_cond_area: CondArea,
    mask: Option<Mask>,
    #[expect(dead_code, reason = "no node makes any")]
    hooks: Option<ConditioningHooks>,
    timesteps: Option<TimestepsRange>,
}

impl Run for ConditioningSetPropertiesAndCombine {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let Self { strength, set_cond_area: area, mask, timesteps, .. } = self;
        Ok(joined(self.cond, Properties { strength, area, mask, timesteps }.on(self.new)))
    }
}

/// Adds a default conditioning. It applies wherever no other conditioning does.
#[derive(Node)]
#[node(category = "advanced/hooks/cond single", display = "Cond Set Default Combine", experimental)]
struct ConditioningSetDefaultCombine {
    cond: Conditioning,
    #[input(name = "cond_DEFAULT")]
    default: Conditioning,
    #[expect(dead_code, reason = "no node makes any")]
    hooks: Option<ConditioningHooks>,
}

impl Run for ConditioningSetDefaultCombine {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(joined(self.cond, self.default.map(|entry| entry.default = true)))
    }
}

/// Restricts a positive and a negative conditioning to a mask and a part of the schedule.
#[derive(Node)]
#[node(category = "advanced/hooks/cond pair", display = "Cond Pair Set Props", experimental)]
struct PairConditioningSetProperties {
    #[input(name = "positive_NEW")]
    positive: Conditioning,
    #[input(name = "negative_NEW")]
    negative: Conditioning,
    /// The mask is multiplied by this.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
    set_cond_area: CondArea,
    mask: Option<Mask>,
    #[expect(dead_code, reason = "no node makes any")]
    hooks: Option<ConditioningHooks>,
    timesteps: Option<TimestepsRange>,
}

impl Run for PairConditioningSetProperties {
    type Out = Both;

    fn run(self, _: &mut Cx) -> anyhow::Result<Both> {
        let Self { strength, set_cond_area: area, mask, timesteps, .. } = self;
        let properties = Properties { strength, area, mask, timesteps };
        Ok(Both { positive: properties.on(self.positive), negative: properties.on(self.negative) })
    }
}

/// Restricts a second pair of conditionings to a mask and a part of the schedule, and adds it to the first pair.
#[derive(Node)]
#[node(category = "advanced/hooks/cond pair", display = "Cond Pair Set Props Combine", experimental)]
struct PairConditioningSetPropertiesAndCombine {
    positive: Conditioning,
    negative: Conditioning,
    #[input(name = "positive_NEW")]
    new_positive: Conditioning,
    #[input(name = "negative_NEW")]
    new_negative: Conditioning,
    /// The mask is multiplied by this.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
    set_cond_area: CondArea,
    mask: Option<Mask>,
    #[expect(dead_code, reason = "no node makes any")]
    hooks: Option<ConditioningHooks>,
    timesteps: Option<TimestepsRange>,
}

impl Run for PairConditioningSetPropertiesAndCombine {
    type Out = Both;

    fn run(self, _: &mut Cx) -> anyhow::Result<Both> {
        let Self { strength, set_cond_area: area, mask, timesteps, .. } = self;
        let properties = Properties { strength, area, mask, timesteps };
        Ok(Both {
            positive: joined(self.positive, properties.on(self.new_positive)),
            negative: joined(self.negative, properties.on(self.new_negative)),
        })
    }
}

/// Adds a pair of default conditionings. They apply wherever no other conditioning does.
#[derive(Node)]
#[node(category = "advanced/hooks/cond pair", display = "Cond Pair Set Default Combine", experimental)]
struct PairConditioningSetDefaultCombine {
    positive: Conditioning,
    negative: Conditioning,
    #[input(name = "positive_DEFAULT")]
    default_positive: Conditioning,
    #[input(name = "negative_DEFAULT")]
    default_negative: Conditioning,
    #[expect(dead_code, reason = "no node makes any")]
    hooks: Option<ConditioningHooks>,
}

impl Run for PairConditioningSetDefaultCombine {
    type Out = Both;

    fn run(self, _: &mut Cx) -> anyhow::Result<Both> {
        let as_default = |conditioning: Conditioning| conditioning.map(|entry| entry.default = true);
        Ok(Both {
            positive: joined(self.positive, as_default(self.default_positive)),
            negative: joined(self.negative, as_default(self.default_negative)),
        })
    }
}

/// Joins two pairs of conditionings: positive with positive, negative with negative.
#[derive(Node)]
#[node(category = "advanced/hooks/cond pair", display = "Cond Pair Combine", experimental)]
struct PairConditioningCombine {
    #[input(name = "positive_A")]
    positive: Conditioning,
    #[input(name = "negative_A")]
    negative: Conditioning,
    #[input(name = "positive_B")]
    second_positive: Conditioning,
    #[input(name = "negative_B")]
    second_negative: Conditioning,
}

impl Run for PairConditioningCombine {
    type Out = Both;

    fn run(self, _: &mut Cx) -> anyhow::Result<Both> {
        Ok(Both {
            positive: joined(self.positive, self.second_positive),
            negative: joined(self.negative, self.second_negative),
        })
    }
}
