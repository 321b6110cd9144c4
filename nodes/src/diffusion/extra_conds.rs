//! What a network takes with each prompt besides state, noise level and text. A family says what that is; everything between it
//! and the network treats all of it alike, by its kind.

use tch::Tensor;

use crate::ops::composite::fill_batch;

/// Channels that are shown beside the latent's ([`ExtraCond::Planes`]).
pub const CHANNELS: &str = "c_concat";
/// The vector that is added to the embedded noise level ([`ExtraCond::Rows`]).
pub const VECTOR: &str = "y";
/// Latents of pictures to go by ([`ExtraCond::Lists`]).
pub const REFERENCES: &str = "ref_latents";
/// Where these are taken to lie ([`ExtraCond::Constant`]).
pub const REFERENCE_METHOD: &str = "ref_latents_method";

/// How many frames a video has ([`ExtraCond::Constant`]).
pub const FRAMES: &str = "num_video_frames";
/// What stands in place of the text ([`ExtraCond::Rows`]); it is taken out before the network is asked.
pub const CONTEXT: &str = "c_crossattn";

/// One of them.
#[derive(Debug)]
pub enum ExtraCond {
    /// N×C×…×h×w: it lies over the latent, place by place, and is cut as the latent is.
    Planes(Tensor),
    /// N×…: something for each image of the batch.
    Rows(Tensor),
    /// Several such, of any shapes.
    Lists(Vec<Tensor>),
    /// The name of a way to do something.
    Constant(String),
}

/// All of a prompt's, under ComfyUI's names.
#[derive(Debug, Default)]
pub struct ExtraConds(Vec<(&'static str, ExtraCond)>);

impl ExtraCond {
    fn tensors(&self) -> &[Tensor] {
        match self {
            Self::Planes(tensor) | Self::Rows(tensor) => std::slice::from_ref(tensor),
            Self::Lists(tensors) => tensors,
            Self::Constant(_) => &[],
        }
    }

    /// The same with each of its tensors changed.
    fn map(&self, mut change: impl FnMut(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Planes(tensor) => Self::Planes(change(tensor)),
            Self::Rows(tensor) => Self::Rows(change(tensor)),
            Self::Lists(tensors) => Self::Lists(tensors.iter().map(change).collect()),
            Self::Constant(name) => Self::Constant(name.clone()),
        }
    }

    fn fits(&self, other: &Self) -> bool {
        let sizes = |cond: &Self| cond.tensors().iter().map(Tensor::size).collect::<Vec<_>>();
        match (self, other) {
            (Self::Constant(one), Self::Constant(two)) => one == two,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other) && sizes(self) == sizes(other),
        }
    }
}

impl ExtraConds {
    /// The same with one more.
    #[must_use]
    pub fn with(mut self, name: &'static str, cond: ExtraCond) -> Self {
        self.0.push((name, cond));
        self
    }

    fn find(&self, name: &str) -> Option<&ExtraCond> {
        self.0.iter().find(|(of, _)| *of == name).map(|(_, cond)| cond)
    }

    /// The same without the one of that name, and its tensor.
    pub fn without(self, name: &str) -> (Self, Option<Tensor>) {
        let taken = self.get(name).map(Tensor::shallow_clone);
        (Self(self.0.into_iter().filter(|(of, _)| *of != name).collect()), taken)
    }

    /// A tensor by its name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.find(name)?.tensors().first()
    }

    /// Several tensors by their name; none if there is nothing of that name.
    pub fn list(&self, name: &str) -> &[Tensor] {
        self.find(name).map_or(&[], ExtraCond::tensors)
    }

    /// A constant by its name.
    pub fn constant(&self, name: &str) -> Option<&str> {
        match self.find(name)? {
            ExtraCond::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// For `batch` states, of which `cut` takes the part that the prompt acts on.
    pub fn for_states(&self, batch: i64, cut: impl Fn(&Tensor) -> Tensor) -> Self {
        self.map(|cond| {
            let planes = matches!(cond, ExtraCond::Planes(_));
            cond.map(|tensor| if planes { fill_batch(&cut(tensor), batch) } else { fill_batch(tensor, batch) })
        })
    }

    /// Whether two prompts' can go into one call: the same names, of equal shapes.
    pub fn fit(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|(name, cond)| other.find(name).is_some_and(|its| its.fits(cond)))
    }

    /// Those of several prompts that [`fit`](Self::fit) as one batch, in order.
    pub fn joined(all: &[&Self]) -> Self {
        let Some(first) = all.first() else { return Self::default() };
        let joined = |(name, cond): &(&'static str, ExtraCond)| {
            let mut place = 0;
            let cond = cond.map(|_| {
                let parts: Vec<&Tensor> = all.iter().filter_map(|conds| conds.list(name).get(place)).collect();
                place += 1;
                Tensor::cat(&parts, 0)
            });
            (*name, cond)
        };
        Self(first.0.iter().map(joined).collect())
    }

    /// What of them belongs to some places `at` of a dimension of latents, which is `whole` long.
    pub fn within(&self, dim: i64, whole: i64, at: &Tensor) -> Self {
        self.map(|cond| {
            let reaches = matches!(cond, ExtraCond::Planes(_)) || dim == 0;
            cond.map(|tensor| match reaches && tensor.size()[dim as usize] == whole {
                true => tensor.index_select(dim, at),
                false => tensor.shallow_clone(),
            })
        })
    }

    fn map(&self, change: impl Fn(&ExtraCond) -> ExtraCond) -> Self {
        Self(self.0.iter().map(|(name, cond)| (*name, change(cond))).collect())
    }
}

impl Clone for ExtraConds {
    fn clone(&self) -> Self {
        self.map(|cond| cond.map(Tensor::shallow_clone))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind};

    use super::*;

    fn conds(rows: i64, width: i64) -> ExtraConds {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        ExtraConds::default()
            .with(CHANNELS, ExtraCond::Planes(zeros(&[rows, 5, 4, 6])))
            .with(VECTOR, ExtraCond::Rows(zeros(&[rows, width])))
    }

    fn sizes(conds: &ExtraConds) -> [Vec<i64>; 2] {
        [CHANNELS, VECTOR].map(|name| conds.get(name).unwrap().size())
    }

    #[test]
    fn planes_are_cut_and_rows_are_not() {
        let states = conds(1, 8).for_states(3, |planes| planes.narrow(-1, 0, 2));
        assert_eq!(sizes(&states), [vec![3, 5, 4, 2], vec![3, 8]]);
        let part = conds(4, 8).within(3, 6, &Tensor::from_slice(&[0i64, 5]));
        assert_eq!(sizes(&part), [vec![4, 5, 4, 2], vec![4, 8]]);
        let images = conds(4, 8).within(0, 4, &Tensor::from_slice(&[1i64]));
        assert_eq!(sizes(&images), [vec![1, 5, 4, 6], vec![1, 8]]);
    }

    #[test]
    fn only_what_has_equal_names_and_shapes_shares_a_call() {
        assert!(conds(1, 8).fit(&conds(1, 8)));
        assert!(!conds(1, 8).fit(&conds(1, 9)));
        assert!(!conds(1, 8).fit(&ExtraConds::default()) && !ExtraConds::default().fit(&conds(1, 8)));
        let joined = ExtraConds::joined(&[&conds(1, 8), &conds(2, 8)]);
        assert_eq!(sizes(&joined), [vec![3, 5, 4, 6], vec![3, 8]]);
    }
}
