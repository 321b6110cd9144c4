//! Nodes that put one batch behind another.

use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs, memory};
use redraft_nodes::ops::resize::{Crop, Method, resize};
use redraft_nodes::values::{Image, Latent, Mask};
use tch::Tensor;

/// Whose size both get, where they differ.
#[derive(Combo, Clone, Copy, PartialEq)]
enum Strategy {
    #[combo(name = "match A")]
    A,
    #[combo(name = "match B")]
    B,
    #[combo(name = "match smaller")]
    Smaller,
    #[combo(name = "match larger")]
    Larger,
}

#[derive(Combo, Clone, Copy)]
enum Scale {
    #[combo(name = "nearest-exact")]
    NearestExact,
    Bilinear,
    Area,
    Bicubic,
    Bislerp,
}

impl Scale {
    fn method(self) -> Method {
        match self {
            Scale::NearestExact => Method::NearestExact,
            Scale::Bilinear => Method::Bilinear,
            Scale::Area => Method::Area,
            Scale::Bicubic => Method::Bicubic,
            Scale::Bislerp => Method::Bislerp,
        }
    }
}

macro_rules! merge {
    (
        $node:ident, $out:ident, $ty:ty, $a:ident, $b:ident, $class:literal, $display:literal, $category:literal, $name:literal,
        $planes:expr, $whole:expr
    ) => {
        /// Puts one batch behind another. Where their sizes differ, one is resized.
        #[derive(Node)]
        #[node(class = $class, category = $category, display = $display)]
        #[allow(non_snake_case, reason = "the names are the pack's")]
        struct $node {
            $a: $ty,
            $b: $ty,
            merge_strategy: Strategy,
            scale_method: Scale,
            crop: Crop,
        }

        #[derive(Outputs)]
        struct $out {
            #[output(name = $name)]
            batch: $ty,
            #[output(name = "count")]
            count: i64,
        }

        impl Run for $node {
            type Out = $out;

            fn run(self, _: &mut Cx) -> Result<$out> {
                let planes: fn($ty) -> Tensor = $planes;
                let whole: fn(Tensor) -> $ty = $whole;
                let how = (self.merge_strategy, self.scale_method.method(), self.crop);
                let merged = merged(planes(self.$a), planes(self.$b), how)?;
                let count = merged.size()[0];
                Ok($out { batch: whole(merged), count })
            }
        }
    };
}

merge!(
    MergeImages,
    MergedImages,
    Image,
    images_A,
    images_B,
    "VHS_MergeImages",
    "Merge Images 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/image",
    "IMAGE",
    |images| images.0.movedim_int(-1, 1),
    |planes| Image(planes.movedim_int(1, -1))
);
merge!(
    MergeMasks,
    MergedMasks,
    Mask,
    mask_A,
    mask_B,
    "VHS_MergeMasks",
    "Merge Masks 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/mask",
    "MASK",
    |mask| mask.0.unsqueeze(1),
    |planes| Mask(planes.squeeze_dim(1))
);
merge!(
    MergeLatents,
    MergedLatents,
    Latent,
    latents_A,
    latents_B,
    "VHS_MergeLatents",
    "Merge Latents 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/latent",
    "LATENT",
    |latent| latent.samples,
    Latent::new
);

/// Two batches N×C×H×W behind one another.
fn merged(a: Tensor, b: Tensor, (strategy, method, crop): (Strategy, Method, Crop)) -> Result<Tensor> {
    let (of_a, of_b) = (size(&a)?, size(&b)?);
    let (a, b) = if of_a == of_b {
        (a, b)
    } else if strategy.takes_a(of_a, of_b) {
        let b = resize(&b, of_a.0, of_a.1, method, crop)?;
        (a, b)
    } else {
        (resize(&a, of_b.0, of_b.1, method, crop)?, b)
    };
    ensure!(
        a.size()[1..] == b.size()[1..],
        "batches of the shapes {:?} and {:?} cannot be merged: connect ones with equally many channels",
        a.size(),
        b.size()
    );
    memory::ask(a.numel().saturating_add(b.numel()).saturating_mul(4), "the merged batch")?;
    Ok(Tensor::cat(&[a, b], 0))
}

/// Width and height.
fn size(planes: &Tensor) -> Result<(i64, i64)> {
    match planes.size()[..] {
        [_, _, .., height, width] => Ok((width, height)),
        _ => anyhow::bail!("a batch of shape {:?} cannot be merged: connect pictures, masks or latents", planes.size()),
    }
}

impl Strategy {
    /// Whether the second batch gets the size of the first. As in the pack, where the first one has more points it is the first one's,
    /// whether the smaller or the larger size is asked for.
    fn takes_a(self, (width_a, height_a): (i64, i64), (width_b, height_b): (i64, i64)) -> bool {
        match self {
            Strategy::A => true,
            Strategy::B => false,
            Strategy::Smaller => true,
            Strategy::Larger => width_a * height_a > width_b * height_b,
        }
    }
}
