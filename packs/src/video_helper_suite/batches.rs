//! Nodes that count, split, repeat and thin out batches: each once for pictures, for masks and for latents.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use redraft_nodes::values::{Image, Latent, Mask};

use super::batch::Batch;

/// The numbers that a widget takes.
const MOST: i64 = (1 << 53) - 1;

macro_rules! count {
    ($node:ident, $ty:ty, $field:ident, $class:literal, $display:literal, $category:literal) => {
        /// Counts what is in a batch.
        #[derive(Node)]
        #[node(class = $class, category = $category, display = $display)]
        struct $node {
            $field: $ty,
        }

        impl Run for $node {
            type Out = Counted;

            fn run(self, _: &mut Cx) -> anyhow::Result<Counted> {
                Ok(Counted { count: self.$field.count() })
            }
        }
    };
}

#[derive(Outputs)]
struct Counted {
    #[output(name = "count")]
    count: i64,
}

count!(GetImageCount, Image, images, "VHS_GetImageCount", "Get Image Count 🎥🅥🅗🅢", "Video Helper Suite 🎥🅥🅗🅢/image");
count!(GetMaskCount, Mask, mask, "VHS_GetMaskCount", "Get Mask Count 🎥🅥🅗🅢", "Video Helper Suite 🎥🅥🅗🅢/mask");
count!(
    GetLatentCount,
    Latent,
    latents,
    "VHS_GetLatentCount",
    "Get Latent Count 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/latent"
);

macro_rules! split {
    (
        $node:ident, $out:ident, $ty:ty, $field:ident, $class:literal, $display:literal, $category:literal, $a:literal, $b:literal
    ) => {
        /// Splits a batch in two: what stands before a number, and the rest. A negative number counts from the end.
        #[derive(Node)]
        #[node(class = $class, category = $category, display = $display)]
        struct $node {
            $field: $ty,
            #[input(default = 0, step = 1, min = -MOST, max = MOST)]
            split_index: i64,
        }

        #[derive(Outputs)]
        struct $out {
            #[output(name = $a)]
            a: $ty,
            #[output(name = "A_count")]
            a_count: i64,
            #[output(name = $b)]
            b: $ty,
            #[output(name = "B_count")]
            b_count: i64,
        }

        impl Run for $node {
            type Out = $out;

            fn run(self, _: &mut Cx) -> anyhow::Result<$out> {
                let a = self.$field.part(0, Some(self.split_index), 1)?;
                let b = self.$field.part(self.split_index, None, 1)?;
                let (a_count, b_count) = (a.count(), b.count());
                Ok($out { a, a_count, b, b_count })
            }
        }
    };
}

split!(
    SplitImages,
    SplitImage,
    Image,
    images,
    "VHS_SplitImages",
    "Split Images 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/image",
    "IMAGE_A",
    "IMAGE_B"
);
split!(
    SplitMasks,
    SplitMask,
    Mask,
    mask,
    "VHS_SplitMasks",
    "Split Masks 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/mask",
    "MASK_A",
    "MASK_B"
);
split!(
    SplitLatents,
    SplitLatent,
    Latent,
    latents,
    "VHS_SplitLatents",
    "Split Latents 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/latent",
    "LATENT_A",
    "LATENT_B"
);

/// A batch, and how many there are in it.
macro_rules! batch_and_count {
    ($out:ident, $ty:ty, $name:literal) => {
        #[derive(Outputs)]
        struct $out {
            #[output(name = $name)]
            batch: $ty,
            #[output(name = "count")]
            count: i64,
        }

        impl From<$ty> for $out {
            fn from(batch: $ty) -> Self {
                let count = batch.count();
                Self { batch, count }
            }
        }
    };
}

batch_and_count!(Images, Image, "IMAGE");
batch_and_count!(Masks, Mask, "MASK");
batch_and_count!(Latents, Latent, "LATENT");

macro_rules! repeat {
    ($node:ident, $out:ident, $ty:ty, $field:ident, $class:literal, $display:literal, $category:literal) => {
        /// Repeats a whole batch.
        #[derive(Node)]
        #[node(class = $class, category = $category, display = $display)]
        struct $node {
            $field: $ty,
            #[input(default = 1, min = 1, max = MOST, step = 1)]
            multiply_by: i64,
        }

        impl Run for $node {
            type Out = $out;

            fn run(self, _: &mut Cx) -> anyhow::Result<$out> {
                Ok(self.$field.repeated(self.multiply_by)?.into())
            }
        }
    };
}

repeat!(
    DuplicateImages,
    Images,
    Image,
    images,
    "VHS_DuplicateImages",
    "Repeat Images 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/image"
);
repeat!(DuplicateMasks, Masks, Mask, mask, "VHS_DuplicateMasks", "Repeat Masks 🎥🅥🅗🅢", "Video Helper Suite 🎥🅥🅗🅢/mask");
repeat!(
    DuplicateLatents,
    Latents,
    Latent,
    latents,
    "VHS_DuplicateLatents",
    "Repeat Latents 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/latent"
);

macro_rules! every_nth {
    ($node:ident, $out:ident, $ty:ty, $field:ident, $skip:ident, $class:literal, $display:literal, $category:literal) => {
        /// Keeps every nth of a batch, from a first one on.
        #[derive(Node)]
        #[node(class = $class, category = $category, display = $display)]
        struct $node {
            $field: $ty,
            #[input(default = 1, min = 1, max = MOST, step = 1)]
            select_every_nth: i64,
            #[input(default = 0, min = 0, max = MOST, step = 1)]
            $skip: i64,
        }

        impl Run for $node {
            type Out = $out;

            fn run(self, _: &mut Cx) -> anyhow::Result<$out> {
                Ok(self.$field.part(self.$skip, None, self.select_every_nth)?.into())
            }
        }
    };
}

every_nth!(
    SelectEveryNthImage,
    Images,
    Image,
    images,
    skip_first_images,
    "VHS_SelectEveryNthImage",
    "Select Every Nth Image 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/image"
);
every_nth!(
    SelectEveryNthMask,
    Masks,
    Mask,
    mask,
    skip_first_masks,
    "VHS_SelectEveryNthMask",
    "Select Every Nth Mask 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/mask"
);
every_nth!(
    SelectEveryNthLatent,
    Latents,
    Latent,
    latents,
    skip_first_latents,
    "VHS_SelectEveryNthLatent",
    "Select Every Nth Latent 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/latent"
);
