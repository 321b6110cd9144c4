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
