//! Nodes that let a network steer prompts by a picture.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Inputs, Node, Outputs};
use tch::Tensor;

use crate::models::control::union::UnionType;
use crate::ops::resize::{Crop, Method, resize};
use crate::recipes::{ControlNet, VaeRecipe};
use crate::values::{Conditioning, Control, Image, Mask};

/// Prompts for what to show and what to avoid.
#[derive(Outputs)]
struct Both {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
}

/// Prompts, and what steers them.
#[derive(Inputs)]
struct Steered {
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
}

/// How strongly a network steers, and when.
#[derive(Inputs)]
struct Acting {
    /// How strongly it steers; with 0 it does not.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
    /// Where in the schedule it begins to act, 0 (noise) to 1 (clean).
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.001)]
    start_percent: f64,
    /// Where in the schedule it ceases to act.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.001)]
    end_percent: f64,
}

/// Lets a network steer prompts by a picture.
///
/// If they are a sampler's positive conditioning, it steers the sampler's other conditionings, too, as far as no network steers them.
#[derive(Node)]
#[node(category = "conditioning/controlnet", display = "Apply ControlNet (OLD)", deprecated)]
struct ControlNetApply {
    conditioning: Conditioning,
    control_net: ControlNet,
    /// What it goes by; it is cropped to the result's shape and resized.
    image: Image,
    /// How strongly it steers; with 0 it does not.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
}

impl Run for ControlNetApply {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> Result<Conditioning> {
        if self.strength == 0.0 {
            return Ok(self.conditioning);
        }
        let mut conditioning = self.conditioning;
        for entry in &mut conditioning.0 {
            let mut control = new(&self.control_net, &self.image)?;
            control.strength = self.strength;
            entry.control = Some(Rc::new(control.behind(entry.control.take())?));
            entry.control_for_others = true;
        }
        Ok(conditioning)
    }
}

/// Lets a network steer prompts by a picture, in a part of the schedule.
#[derive(Node)]
#[node(category = "conditioning/controlnet", display = "Apply ControlNet")]
struct ControlNetApplyAdvanced {
    #[input(flatten)]
    steered: Steered,
    /// What it goes by; it is cropped to the result's shape and resized.
    image: Image,
    #[input(flatten)]
    acting: Acting,
    /// What encodes the picture, for networks that take latents.
    vae: Option<VaeRecipe>,
}

impl Run for ControlNetApplyAdvanced {
    type Out = Both;

    fn run(self, _: &mut Cx) -> Result<Both> {
        self.steered.by(&self.image, &self.acting, self.vae, Vec::new())
    }
}

/// Lets a network that takes latents steer prompts by a picture, in a part of the schedule.
#[derive(Node)]
#[node(category = "conditioning/controlnet", display = "Apply Controlnet with VAE", deprecated)]
struct ControlNetApplySD3 {
    #[input(flatten)]
    steered: Steered,
    /// What encodes the picture.
    vae: VaeRecipe,
    /// What it goes by; it is cropped to the result's shape and resized.
    image: Image,
    #[input(flatten)]
    acting: Acting,
}

impl Run for ControlNetApplySD3 {
    type Out = Both;

    fn run(self, _: &mut Cx) -> Result<Both> {
        self.steered.by(&self.image, &self.acting, Some(self.vae), Vec::new())
    }
}

/// Lets a network for inpainting steer prompts by a picture and the mask of what is to be painted over, in a part of the schedule.
///
/// Of a network that takes a mask the picture is black where the mask is; others are shown the picture alone.
#[derive(Node)]
#[node(category = "conditioning/controlnet")]
struct ControlNetInpaintingAliMamaApply {
    #[input(flatten)]
    steered: Steered,
    /// What encodes the picture.
    vae: VaeRecipe,
    /// What it goes by; it is cropped to the result's shape and resized.
    image: Image,
    /// Where the picture is to be painted over.
    mask: Mask,
    #[input(flatten)]
    acting: Acting,
}

impl Run for ControlNetInpaintingAliMamaApply {
    type Out = Both;

    fn run(self, _: &mut Cx) -> Result<Both> {
        let (mut image, mut masks) = (self.image, Vec::new());
        if self.steered.control_net.file.hint()?.masked {
            let size = self.mask.0.size();
            ensure!(
                size.len() >= 2 && self.mask.0.numel() > 0,
                "the mask is shaped {size:?}, and masks are batch x height x width; connect one that is not empty"
            );
            let kept = 1.0 - self.mask.0.reshape([-1, 1, size[size.len() - 2], size[size.len() - 1]]);
            let [pictures, height, width, channels] = sides(&image)?;
            let fitted = resize(&kept, width, height, Method::Bilinear, Crop::Center)?.round();
            let black = fitted.movedim_int(1, -1).repeat([1, 1, 1, channels]);
            let count = black.size()[0];
            ensure!(
                pictures == count || pictures == 1 || count == 1,
                "there are {count} masks for {pictures} pictures; connect one, or as many as there are pictures"
            );
            image = Image(image.0 * black);
            masks.push(kept);
        }
        self.steered.by(&image, &self.acting, Some(self.vae), masks)
    }
}

/// Tells a network that takes pictures of several kinds what its picture shows.
#[derive(Node)]
#[node(category = "conditioning/controlnet")]
struct SetUnionControlNetType {
    control_net: ControlNet,
    /// What the picture shows; `auto` leaves it to the network.
    #[input(name = "type")]
    kind: UnionType,
}

impl Run for SetUnionControlNetType {
    type Out = ControlNet;

    fn run(self, _: &mut Cx) -> Result<ControlNet> {
        Ok(ControlNet { types: self.kind.number().into_iter().collect(), ..self.control_net })
    }
}

/// The count, height, width and channels of pictures that a network goes by.
fn sides(image: &Image) -> Result<[i64; 4]> {
    let size = image.0.size();
    let sides = <[i64; 4]>::try_from(size.as_slice()).ok().filter(|sides| !sides.contains(&0));
    sides.with_context(|| {
        format!(
            "the image is shaped {size:?}, and a ControlNet goes by pictures, batch x height x width x channels; connect one that is not empty"
        )
    })
}

/// A network with its picture.
fn new(net: &ControlNet, image: &Image) -> Result<Control> {
    sides(image)?;
    Ok(Control::new(net.clone(), image.0.movedim_int(-1, 1)))
}

impl Steered {
    /// Both conditionings, steered by pictures, and by masks for networks that take them. Prompts that were steered by one network before are
    /// steered by one now.
    fn by(self, image: &Image, acting: &Acting, vae: Option<VaeRecipe>, masks: Vec<Tensor>) -> Result<Both> {
        let Steered { positive, negative, control_net } = self;
        if acting.strength == 0.0 {
            return Ok(Both { positive, negative });
        }
        let control = || -> Result<Control> {
            let mut control = new(&control_net, image)?;
            control.strength = acting.strength;
            [control.start_percent, control.end_percent] = [acting.start_percent, acting.end_percent];
            control.vae.clone_from(&vae);
            control.masks = masks.iter().map(Tensor::shallow_clone).collect();
            Ok(control)
        };
        let mut made: HashMap<Option<*const Control>, Rc<Control>> = HashMap::new();
        let mut steered = |mut conditioning: Conditioning| -> Result<Conditioning> {
            for entry in &mut conditioning.0 {
                let previous = entry.control.take();
                let key = previous.as_ref().map(Rc::as_ptr);
                let control = match made.get(&key) {
                    Some(control) => control.clone(),
                    None => {
                        let control = Rc::new(control()?.behind(previous)?);
                        made.insert(key, control.clone());
                        control
                    }
                };
                entry.control = Some(control);
                entry.control_for_others = false;
            }
            Ok(conditioning)
        };
        Ok(Both { positive: steered(positive)?, negative: steered(negative)? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind as Elements};

    use super::*;
    use crate::files::tensor_file;
    use crate::files::weights::Weights;
    use crate::models::control::{ControlFile, Kind};
    use crate::values::Entry;

    /// Applies a network of Flux to a prompt each; with 17 channels it takes a mask.
    fn applied(channels: i64, image: Tensor, mask: Tensor) -> Result<Both> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.safetensors");
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Elements::Float, Device::Cpu));
        tensor_file::save(&path, [("pos_embed_input.weight", &zeros(&[1, 4 * channels]))]).unwrap();
        let file = ControlFile { kind: Kind::FluxLatents, weights: Weights::open(&path).unwrap() };
        let prompt = || Conditioning(vec![Entry::new(zeros(&[1, 1, 1]))]);
        let control_net = ControlNet { file, types: Vec::new(), pooled: false };
        Cx::for_test().run(ControlNetInpaintingAliMamaApply {
            steered: Steered { positive: prompt(), negative: prompt(), control_net },
            vae: VaeRecipe { weights: None },
            image: Image(image),
            mask: Mask(mask),
            acting: Acting { strength: 0.5, start_percent: 0.25, end_percent: 0.75 },
        })
    }

    fn half(count: i64) -> Tensor {
        Tensor::full([count, 2, 2, 3], 0.5, (Elements::Float, Device::Cpu))
    }

    #[test]
    fn pictures_are_black_where_they_are_to_be_painted_over() {
        let mask = || Tensor::from_slice(&[1f32, 0.0, 0.25, 0.0]).view([1, 2, 2]);
        let Both { positive, negative } = applied(17, half(1), mask()).unwrap();
        let (control, other) = (positive.0[0].control.as_ref().unwrap(), negative.0[0].control.as_ref().unwrap());
        assert!(Rc::ptr_eq(control, other), "one network steers both");
        assert_eq!((control.strength, control.start_percent, control.end_percent), (0.5, 0.25, 0.75));
        let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
        assert_eq!(control.hint.size(), [1, 3, 2, 2]);
        assert_eq!(values(&control.hint.select(1, 2)), [0.0, 0.5, 0.5, 0.5], "the mask is rounded for the picture");
        assert_eq!(values(&control.masks[0]), [0.0, 1.0, 0.75, 1.0]);
        let plain = applied(16, half(1), mask()).unwrap().positive;
        let plain = plain.0[0].control.as_ref().unwrap();
        assert_eq!((values(&plain.hint), plain.masks.len()), (vec![0.5; 12], 0));
    }

    #[test]
    fn pictures_and_masks_that_do_not_fit_are_named() {
        let refused = |image: Tensor, mask: Tensor, words: &str| {
            let error = format!("{:#}", applied(17, image, mask).err().unwrap());
            assert!(error.contains(words), "{error}");
        };
        let mask = |shape: &[i64]| Tensor::zeros(shape, (Elements::Float, Device::Cpu));
        refused(half(3), mask(&[2, 2, 2]), "there are 2 masks for 3 pictures; connect one");
        refused(half(1).select(0, 0), mask(&[2, 2]), "the image is shaped [2, 2, 3]");
        refused(half(0), mask(&[2, 2]), "connect one that is not empty");
        refused(half(1), mask(&[0, 2, 2]), "the mask is shaped [0, 2, 2]");
    }
}
