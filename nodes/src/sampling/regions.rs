//! Regions: where in the latent, when in the schedule, and how strongly each prompt of a conditioning acts.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use super::control::ReadyControl;
use super::grounding::ReadyGrounding;
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::parameterisation::Parameterisation;
use crate::values::{Area, Conditioning, Entry};

/// A prompt made ready for one sampling run: sizes in the run's latent units, tensors on its device.
#[derive(Debug)]
pub struct Region {
    /// The text embedding, N×T×W.
    pub(crate) context: Tensor,
    pub(crate) area: Option<Rect>,
    strength: f64,
    /// N×H×W, of the latent's size.
    mask: Option<Tensor>,
    mask_strength: f64,
    /// It acts at `from` ≥ σ ≥ `until`.
    from: Option<f32>,
    until: Option<f32>,
    /// Whether it fills what the other entries leave uncovered.
    pub(crate) default: bool,
    /// What the network takes besides the text.
    pub(crate) extra: ExtraConds,
    /// What steers the network.
    pub(crate) control: Option<Rc<ReadyControl>>,
    /// Whether it steers prompts of other lists, too, that have nothing of their own.
    pub(crate) control_for_others: bool,
    /// A name, the same in all steps.
    pub(crate) id: usize,
    /// What tells the network what lies where.
    pub(crate) grounding: Option<Rc<ReadyGrounding>>,
}

/// The next region's name.
static NEXT_ID: AtomicUsize = AtomicUsize::new(0);

/// A rectangle in latent units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) height: i64,
    pub(crate) width: i64,
    pub(crate) y: i64,
    pub(crate) x: i64,
}

/// How far the weight of an area rises from its edges, at most.
const FEATHER: i64 = 8;
/// The least side of an area that is fitted to a mask.
const LEAST_SIDE: i64 = 8;

impl Rect {
    /// Cut to a latent of that size; an error if nothing is left.
    pub(crate) fn cut_to(self, height: i64, width: i64) -> Result<Rect> {
        let cut = Rect { height: self.height.min(height - self.y), width: self.width.min(width - self.x), ..self };
        ensure!(
            cut.height > 0 && cut.width > 0 && cut.y >= 0 && cut.x >= 0,
            "the conditioning's area (height {}, width {}, y {}, x {}) lies outside the latent of {height}x{width}: \
             move it inside (units are pixels / 8)",
            self.height,
            self.width,
            self.y,
            self.x
        );
        Ok(cut)
    }

    /// This part of a tensor whose last dimensions are height and width, as a view.
    pub(crate) fn of(&self, tensor: &Tensor) -> Tensor {
        tensor.narrow(-2, self.y, self.height).narrow(-1, self.x, self.width)
    }

    fn contains(&self, other: &Rect) -> bool {
        other.y >= self.y
            && other.x >= self.x
            && other.y + other.height <= self.y + self.height
            && other.x + other.width <= self.x + self.width
    }
}

impl Region {
    /// The prompts of a conditioning for latents of B×C×`height`×`width`.
    pub fn resolve_all(
        conditioning: &Conditioning,
        (height, width): (i64, i64),
        device: Device,
        sampling: &Parameterisation,
    ) -> Result<Vec<Region>> {
        conditioning.0.iter().map(|entry| Region::resolve(entry, (height, width), device, sampling)).collect()
    }

    fn resolve(
        entry: &Entry,
        (height, width): (i64, i64),
        device: Device,
        sampling: &Parameterisation,
    ) -> Result<Region> {
        ensure!(
            entry.cond.dim() == 3 && entry.cond.numel() > 0,
            "a conditioning is shaped {:?}, but a text embedding is batch x tokens x width: encode a prompt",
            entry.cond.size()
        );
        let mask = entry.mask.as_ref().map(|mask| resized_mask(mask, height, width, device)).transpose()?;
        let area = match (&mask, entry.set_area_to_bounds) {
            (Some(mask), Some(true)) => Some(bounds(mask)),
            _ => entry.area.map(|area| in_latent_units(area, height, width)),
        };
        let level = |percent: f64| sampling.percent_to_sigma(percent) as f32;
        Ok(Region {
            context: entry.cond.to_device(device).to_kind(Kind::Float),
            area,
            strength: entry.strength.unwrap_or(1.0),
            mask,
            mask_strength: entry.mask_strength.unwrap_or(1.0),
            from: entry.start_percent.map(level),
            until: entry.end_percent.map(level),
            default: entry.default,
            extra: ExtraConds::default(),
            control: None,
            control_for_others: entry.control_for_others,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            grounding: None,
        })
    }

    /// Whether it acts at this noise level.
    pub(crate) fn acts_at(&self, sigma: f32) -> bool {
        self.from.is_none_or(|from| sigma <= from) && self.until.is_none_or(|until| sigma >= until)
    }

    /// Whether it covers the whole latent with weight 1.
    pub(crate) fn is_plain(&self) -> bool {
        self.area.is_none() && self.mask.is_none() && self.strength == 1.0
    }

    /// The weight of its prediction at each point of `area` (already cut; the whole of `x` without one): N×1×h×w with
    /// N 1 or the batch size of `x`, which is B×C×H×W. Without a mask, the weight of an area rises from its edges,
    /// except where they are the latent's.
    pub(crate) fn weight(&self, x: &Tensor, area: Option<Rect>) -> Result<Tensor> {
        let size = x.size();
        let (batch, height, width) = (size[0], size[size.len() - 2], size[size.len() - 1]);
        // N×h×w, with dimensions of 1 between, as many as `x` has.
        let spread = |weight: &Tensor| (3..size.len()).fold(weight.shallow_clone(), |weight, _| weight.unsqueeze(1));
        let rect = area.unwrap_or(Rect { height, width, y: 0, x: 0 });
        let options = (x.kind(), x.device());
        if let Some(mask) = &self.mask {
            let count = mask.size()[0].min(batch);
            ensure!(
                batch % count == 0,
                "a conditioning's mask has {count} pictures for a batch of {batch}: use one mask, or one per image"
            );
            let mask = rect.of(&mask.narrow(0, 0, count)).to_kind(x.kind()) * self.mask_strength;
            return Ok(spread(&(mask.repeat([batch / count, 1, 1]) * self.strength)));
        }
        let weight = Tensor::ones([1, rect.height, rect.width], options) * self.strength;
        if area.is_none() {
            return Ok(spread(&weight));
        }
        let rows = feather(rect.height, rect.y > 0, rect.y + rect.height < height);
        let columns = feather(rect.width, rect.x > 0, rect.x + rect.width < width);
        let vector = |values: Vec<f64>| Tensor::from_slice(&values).to_kind(x.kind()).to_device(x.device());
        Ok(spread(&(weight * vector(rows).view([1, -1, 1]) * vector(columns).view([1, 1, -1]))))
    }

    /// The part of it at the indices `at` of the latent's dimension `dim`, which is `whole` long.
    pub(crate) fn within(&self, dim: i64, whole: i64, at: &Tensor) -> Region {
        let cut = |tensor: &Tensor, dim: i64| {
            if tensor.size()[dim as usize] == whole { tensor.index_select(dim, at) } else { tensor.shallow_clone() }
        };
        let mask = |mask: &Tensor| match self.area {
            _ if dim == 0 => cut(mask, 0),
            // A mask has no channels.
            None => cut(mask, dim - 1),
            // An area lies in each window as it would in the whole, and the mask with it.
            Some(_) => mask.shallow_clone(),
        };
        Region {
            context: if dim == 0 { cut(&self.context, 0) } else { self.context.shallow_clone() },
            mask: self.mask.as_ref().map(mask),
            extra: self.extra.within(dim, whole, at),
            control: self.control.clone(),
            grounding: self.grounding.clone(),
            ..*self
        }
    }

    /// The same area, mask and range of noise levels with the text of another.
    fn with_text_of(&self, other: &Region) -> Region {
        Region {
            context: other.context.shallow_clone(),
            mask: self.mask.as_ref().map(Tensor::shallow_clone),
            extra: other.extra.clone(),
            control: self.control.clone(),
            grounding: self.grounding.clone(),
            ..*self
        }
    }
}

/// Gives every region with an area a counterpart in each other list, so that all predictions see the same crop: a copy
/// with the text of the other list's smallest region around it.
pub fn match_areas(lists: &mut [Vec<Region>]) {
    for from in 0..lists.len() {
        let given = std::mem::take(&mut lists[from]);
        for (to, list) in lists.iter_mut().enumerate() {
            if to != from {
                add_counterparts(&given, list);
            }
        }
        lists[from] = given;
    }
}

/// Gives the prompts of the other lists what steers those of the first, if it is for them, too, and what lies where in them: without an
/// area, and in lists where no prompt without an area has its own. `names` are the lists'.
///
/// # Errors
/// If such a list has no prompt without an area.
pub fn share(lists: &mut [Vec<Region>], names: [&str; 3]) -> Result<()> {
    let control = Shared::<Rc<ReadyControl>> {
        what: "ControlNet",
        instead: "apply the ControlNet with ControlNetApplyAdvanced",
        of: |region| region.control.clone(),
        is_for_others: |region| region.control_for_others,
        give: |region, control| region.control = Some(control),
    };
    let grounding = Shared::<Rc<ReadyGrounding>> {
        what: "GLIGEN model",
        instead: "leave GLIGENTextBoxApply out",
        of: |region| region.grounding.clone(),
        is_for_others: |_| true,
        give: |region, grounding| region.grounding = Some(grounding),
    };
    control.over(lists, names)?;
    grounding.over(lists, names)
}

/// Something that prompts have, and those of other lists are given.
struct Shared<T> {
    what: &'static str,
    /// What to do if it cannot be given.
    instead: &'static str,
    of: fn(&Region) -> Option<T>,
    is_for_others: fn(&Region) -> bool,
    give: fn(&mut Region, T),
}

impl<T: Clone> Shared<T> {
    fn over(&self, lists: &mut [Vec<Region>], [of, names @ ..]: [&str; 3]) -> Result<()> {
        let Some((first, others)) = lists.split_first_mut() else { return Ok(()) };
        let shared = first.iter().filter(|region| region.area.is_none() && (self.is_for_others)(region));
        let shared: Vec<_> = shared.filter_map(self.of).collect();
        if shared.is_empty() {
            return Ok(());
        }
        for (list, name) in others.iter_mut().zip(names) {
            if list.iter().any(|region| region.area.is_none() && (self.of)(region).is_some()) {
                continue;
            }
            let mut free: Vec<_> = list.iter_mut().filter(|region| region.area.is_none()).collect();
            ensure!(
                !free.is_empty(),
                "a {} of the {of} conditioning acts on the {name} conditioning, too, which has no prompt without an area; add one to \
                 it, or {}",
                self.what,
                self.instead
            );
            let count = free.len();
            for (place, value) in shared.iter().enumerate() {
                (self.give)(free[place % count], value.clone());
            }
        }
        Ok(())
    }
}

fn add_counterparts(from: &[Region], to: &mut Vec<Region>) {
    for region in from {
        let Some(area) = region.area else { continue };
        if let Some(smallest) = smallest_around(to, &area)
            && to[smallest].area != Some(area)
        {
            let counterpart = region.with_text_of(&to[smallest]);
            to.push(counterpart);
        }
    }
}

/// The first of the smallest regions around an area. A region without area counts only as long as no other is found.
fn smallest_around(regions: &[Region], area: &Rect) -> Option<usize> {
    let mut smallest: Option<usize> = None;
    for (index, region) in regions.iter().enumerate() {
        let better = match (region.area, smallest.map(|s| regions[s].area)) {
            (None, found) => found.is_none(),
            (Some(around), _) if !around.contains(area) => false,
            (Some(_), None | Some(None)) => true,
            (Some(around), Some(Some(found))) => around.height * around.width < found.height * found.width,
        };
        if better {
            smallest = Some(index);
        }
    }
    smallest
}

/// Factors along a side: rising over up to 8 points from each edge that is not the latent's.
fn feather(side: i64, at_start: bool, at_end: bool) -> Vec<f64> {
    let reach = FEATHER.min(side / 4);
    let rise = |distance: i64| (1.0 / reach as f64) * (distance + 1) as f64;
    let factor = |point: i64| {
        if at_start && point < reach {
            rise(point)
        } else if at_end && point >= side - reach {
            rise(side - 1 - point)
        } else {
            1.0
        }
    };
    (0..side).map(factor).collect()
}

fn in_latent_units(area: Area, height: i64, width: i64) -> Rect {
    match area {
        Area::Latent { height, width, y, x } => Rect { height, width, y, x },
        Area::Fraction { height: h, width: w, y, x } => {
            let part = |fraction: f64, side: i64| (fraction * side as f64).round_ties_even() as i64;
            Rect { height: part(h, height).max(1), width: part(w, width).max(1), y: part(y, height), x: part(x, width) }
        }
    }
}

/// A mask as N×H×W of the latent's size, bilinear.
fn resized_mask(mask: &Tensor, height: i64, width: i64, device: Device) -> Result<Tensor> {
    let mask = mask.to_device(device).to_kind(Kind::Float);
    let mask = if mask.dim() == 2 { mask.unsqueeze(0) } else { mask };
    ensure!(
        mask.dim() == 3 && mask.numel() > 0,
        "a conditioning's mask is shaped {:?}, but masks are height x width or batch x height x width",
        mask.size()
    );
    if mask.size()[1..] == [height, width] {
        return Ok(mask);
    }
    Ok(mask.unsqueeze(1).upsample_bilinear2d([height, width], false, None, None).squeeze_dim(1))
}

/// The box around all points where any of the masks is not 0, at least 8×8; at the origin if there is none.
fn bounds(mask: &Tensor) -> Rect {
    let any = mask.abs().amax([0], false).not_equal(0.0);
    let extent = |along: i64| -> Option<(i64, i64)> {
        let points = any.any_dim(along, false).nonzero();
        if points.numel() == 0 {
            return None;
        }
        Some((points.min().int64_value(&[]), points.max().int64_value(&[])))
    };
    let (Some((top, bottom)), Some((left, right))) = (extent(1), extent(0)) else {
        return Rect { height: LEAST_SIDE, width: LEAST_SIDE, y: 0, x: 0 };
    };
    Rect { height: (bottom - top + 1).max(LEAST_SIDE), width: (right - left + 1).max(LEAST_SIDE), y: top, x: left }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::control::{ControlInputs, ControlNetwork, Residuals};
    use crate::files::gathered::Gathered;
    use crate::files::weights::Weights;
    use crate::models::control::{self, ControlFile, Steerer};
    use crate::recipes::ControlNet;
    use crate::sampling::control::{ControlParts, Controls};
    use crate::values::Control;

    fn region(edit: impl FnOnce(&mut Entry)) -> Region {
        let mut entry = Entry::new(Tensor::zeros([1, 77, 8], (Kind::Float, Device::Cpu)));
        edit(&mut entry);
        Region::resolve(&entry, (32, 48), Device::Cpu, &Parameterisation::sd15()).unwrap()
    }

    fn x(batch: i64) -> Tensor {
        Tensor::zeros([batch, 4, 32, 48], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn fractions_round_to_even() {
        let area = |height, width, y, x| in_latent_units(Area::Fraction { height, width, y, x }, 10, 10);
        assert_eq!(area(0.25, 0.35, 0.45, 0.0), Rect { height: 2, width: 4, y: 4, x: 0 });
        assert_eq!(area(0.0, 0.01, 0.0, 0.0), Rect { height: 1, width: 1, y: 0, x: 0 });
    }

    #[test]
    fn an_area_fades_only_at_inner_edges() {
        let area = Area::Latent { height: 16, width: 8, y: 0, x: 40 };
        let region = region(|entry| (entry.area, entry.strength) = (Some(area), Some(2.0)));
        let weight = region.weight(&x(1), Some(region.area.unwrap())).unwrap();
        assert_eq!(weight.size(), [1, 1, 16, 8]);
        let at = |y, x| weight.double_value(&[0, 0, y, x]);
        assert_eq!((at(0, 7), at(15, 7), at(14, 7), at(0, 0), at(0, 1)), (2.0, 0.5, 1.0, 1.0, 2.0));
        assert_eq!(at(15, 0), 0.25);
    }

    #[test]
    fn areas_are_cut_and_refused_outside() {
        let rect = Rect { height: 32, width: 32, y: 16, x: 32 };
        assert_eq!(rect.cut_to(32, 48).unwrap(), Rect { height: 16, width: 16, ..rect });
        let message = rect.cut_to(16, 48).unwrap_err().to_string();
        assert!(message.contains("outside the latent of 16x48"), "{message}");
    }

    #[test]
    fn mask_bounds() {
        let mask = Tensor::zeros([1, 32, 48], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(1, 5, 20).narrow(2, 30, 3).fill_(0.5);
        let found = region(|entry| (entry.mask, entry.set_area_to_bounds) = (Some(mask), Some(true)));
        assert_eq!(found.area, Some(Rect { height: 20, width: 8, y: 5, x: 30 }));
        let empty = Tensor::zeros([1, 32, 48], (Kind::Float, Device::Cpu));
        let found = region(|entry| (entry.mask, entry.set_area_to_bounds) = (Some(empty), Some(true)));
        assert_eq!(found.area, Some(Rect { height: 8, width: 8, y: 0, x: 0 }));
    }

    #[test]
    fn masks_are_scaled_and_repeated_over_the_batch() {
        let mask = Tensor::full([2, 32, 48], 0.5, (Kind::Float, Device::Cpu));
        let region = region(|entry| {
            (entry.mask, entry.mask_strength, entry.strength) = (Some(mask), Some(3.0), Some(2.0));
        });
        let weight = region.weight(&x(4), None).unwrap();
        assert_eq!(weight.size(), [4, 1, 32, 48]);
        assert_eq!(weight.double_value(&[3, 0, 0, 0]), 3.0);
        assert!(region.weight(&x(3), None).is_err());
    }

    #[test]
    fn time_range() {
        let region = region(|entry| (entry.start_percent, entry.end_percent) = (Some(0.2), Some(0.8)));
        let acts: Vec<bool> = [14.6, 5.0, 1.0, 0.58, 0.5].map(|sigma| region.acts_at(sigma)).to_vec();
        assert_eq!(acts, [false, true, true, true, false]);
    }

    #[test]
    fn every_area_gets_a_counterpart() {
        let area = |height| Some(Area::Latent { height, width: height, y: 0, x: 0 });
        let positive = vec![region(|entry| entry.area = area(8))];
        let negative = vec![region(|_| ()), region(|entry| entry.area = area(16))];
        let mut lists = [positive, negative];
        match_areas(&mut lists);
        let sides = lists.map(|regions| regions.iter().map(|r| r.area.map(|a| a.height)).collect::<Vec<_>>());
        // Nothing of the positive list encloses the negative's 16x16.
        assert_eq!(sides, [vec![Some(8)], vec![None, Some(16), Some(8)]]);
    }

    /// A control of its own, of a network that is never asked.
    fn steering() -> Rc<ReadyControl> {
        let weights = Weights::gathered(Gathered::new("net"));
        let file = ControlFile { kind: control::Kind::UNet, weights };
        let net = ControlNet { file, types: Vec::new(), pooled: false };
        let parts = |control: &Control| {
            let steerer = Steerer::Control(Rc::new(Nothing));
            Ok(ControlParts { steerer, hint: control.net.file.hint()?, vae: None })
        };
        let control = Control::new(net, Tensor::zeros([1, 3, 8, 8], (Kind::Float, Device::Cpu)));
        Controls::new(&parts, &Parameterisation::sd15(), Device::Cpu).ready(&Rc::new(control)).unwrap()
    }

    struct Nothing;

    impl ControlNetwork for Nothing {
        fn residuals(&self, _: &ControlInputs) -> Result<Residuals> {
            Ok(Residuals::default())
        }
    }

    #[test]
    fn what_steers_the_first_list_steers_others_that_nothing_steers() {
        let (one, two, own) = (steering(), steering(), steering());
        let steered = |control: &Rc<ReadyControl>, for_others: bool| Region {
            control: Some(control.clone()),
            control_for_others: for_others,
            ..region(|_| ())
        };
        let plain = || region(|_| ());
        let in_an_area = || region(|entry| entry.area = Some(Area::Latent { height: 8, width: 8, y: 0, x: 0 }));
        let names = ["positive", "empty", "negative"];
        let shared = |first: Vec<Region>, second: Vec<Region>, third: Vec<Region>| {
            let mut lists = [first, second, third];
            share(&mut lists, names)?;
            let controls = lists[1..].iter().map(|list| list.iter().map(|region| region.control.clone()).collect());
            Ok::<Vec<Vec<Option<Rc<ReadyControl>>>>, anyhow::Error>(controls.collect())
        };
        let is = |found: &[Option<Rc<ReadyControl>>], wanted: &[Option<&Rc<ReadyControl>>]| {
            let at = |control: Option<&Rc<ReadyControl>>| control.map(Rc::as_ptr);
            assert!(found.iter().map(|control| at(control.as_ref())).eq(wanted.iter().map(|control| at(*control))));
        };
        let first = || vec![steered(&one, true), steered(&own, false), plain(), steered(&two, true)];
        let found = shared(first(), vec![in_an_area(), plain(), plain(), plain()], vec![plain()]).unwrap();
        is(&found[0], &[None, Some(&one), Some(&two), None]);
        is(&found[1], &[Some(&two)]);
        // A list that is steered already is left, and so is one where only an area's control would be shared.
        let found = shared(first(), vec![plain(), steered(&own, false)], vec![plain()]).unwrap();
        is(&found[0], &[None, Some(&own)]);
        let area = Region { control: Some(one.clone()), control_for_others: true, ..in_an_area() };
        is(&shared(vec![area], vec![plain()], vec![in_an_area()]).unwrap()[0], &[None]);
        let error = shared(first(), vec![plain()], vec![in_an_area()]).err().unwrap().to_string();
        for part in ["of the positive conditioning", "the negative conditioning, too", "ControlNetApplyAdvanced"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
