use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Inputs, Node};
use tch::Tensor;

use super::{Prepared, Seen};
use crate::values::Latent;
use crate::values::extras::Extras;

/// A picture of a thing, the size of the results, and where they look from.
#[derive(Inputs)]
struct Thing {
    #[input(flatten)]
    seen: Seen,
    #[input(default = 256, min = 16, max = 16384, step = 8)]
    width: i64,
    #[input(default = 256, min = 16, max = 16384, step = 8)]
    height: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
    /// How much further above the results look from, in degrees.
    #[input(default = 0.0, min = -180.0, max = 180.0, step = 0.1)]
    elevation: f64,
    /// How far around the thing, in degrees.
    #[input(default = 0.0, min = -180.0, max = 180.0, step = 0.1)]
    azimuth: f64,
}

/// Prompts and empty latents for pictures in which Zero123 shows a thing from another side.
#[derive(Node)]
#[node(category = "conditioning/3d_models")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct StableZero123_Conditioning {
    #[input(flatten)]
    thing: Thing,
}

/// The same for a batch whose pictures look from one side after the other.
#[derive(Node)]
#[node(category = "conditioning/3d_models")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct StableZero123_Conditioning_Batched {
    #[input(flatten)]
    thing: Thing,
    /// How much further above each picture looks from than the one before.
    #[input(default = 0.0, min = -180.0, max = 180.0, step = 0.1)]
    elevation_batch_increment: f64,
    /// How much further around.
    #[input(default = 0.0, min = -180.0, max = 180.0, step = 0.1)]
    azimuth_batch_increment: f64,
}

impl Run for StableZero123_Conditioning {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> Result<Prepared> {
        self.thing.prepared(cx, &[(self.thing.elevation, self.thing.azimuth)])
    }
}

impl Run for StableZero123_Conditioning_Batched {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> Result<Prepared> {
        let first = (self.thing.elevation, self.thing.azimuth);
        let next = |(elevation, azimuth): &(f64, f64)| {
            Some((elevation + self.elevation_batch_increment, azimuth + self.azimuth_batch_increment))
        };
        let sides = std::iter::successors(Some(first), next).zip(0..self.thing.batch_size).map(|(side, _)| side);
        let prepared = self.thing.prepared(cx, &sides.collect::<Vec<_>>())?;
        // All have the noise of the first.
        let batch_index = Some(vec![0; usize::try_from(self.thing.batch_size)?]);
        Ok(Prepared { latent: Latent { batch_index, ..prepared.latent }, ..prepared })
    }
}

impl Thing {
    /// With a token for each of the sides that are looked from.
    fn prepared(&self, cx: &mut Cx, sides: &[(f64, f64)]) -> Result<Prepared> {
        let told = self.seen.told(cx, (self.width, self.height), Ok)?;
        let count = told.embeds.size()[1];
        ensure!(
            count == 1,
            "init_image holds {count} pictures, and Zero123 goes by one; choose one with ImageFromBatch"
        );
        let sides = Tensor::cat(&sides.iter().map(|&side| embedded(side)).collect::<Vec<_>>(), 0);
        let seen = told.embeds.repeat([sides.size()[0], 1, 1]);
        let [positive, negative] = told.prompts(Tensor::f_cat(&[seen, sides], -1)?, &Extras::default());
        let latent = Latent::zeros(&[self.batch_size, 4, self.height / 8, self.width / 8])?;
        Ok(Prepared { positive, negative, latent })
    }
}

/// A side, in degrees, as Zero123 takes it: 1×1×4.
fn embedded((elevation, azimuth): (f64, f64)) -> Tensor {
    let number = |value: f64| Tensor::from_slice(&[value as f32]);
    let around = number(azimuth).deg2rad();
    let below = (90f64 - number(elevation)) - 90f64;
    let parts = [below.deg2rad(), around.sin(), around.cos(), number(90.0).deg2rad()];
    Tensor::stack(&parts, -1).unsqueeze(1)
}
