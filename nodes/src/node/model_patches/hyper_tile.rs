use std::cell::RefCell;
use std::rc::Rc;

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::diffusion::patch::{Patch, Site};
use crate::ops::noise::Stream;
use crate::recipes::Model;
use crate::sampling::hooks::{Hook, RunStart};

/// Makes self-attention cheaper on large pictures: the queries of each tile attend to only a part of the picture's
/// keys.
///
/// The size of the tiles is random in each call. The random numbers follow those of the run's initial noise.
#[derive(Node)]
#[node(category = "model_patches/unet")]
struct HyperTile {
    model: Model,
    /// The smallest side of a tile in pixels.
    #[input(default = 256, min = 1, max = 2048)]
    tile_size: i64,
    /// The number of sizes from which that of the tiles is drawn.
    #[input(default = 2, min = 1, max = 128)]
    swap_size: usize,
    /// The number of UNet levels that are tiled, besides the first.
    #[input(default = 0, min = 0, max = 10)]
    max_depth: u32,
    /// Whether tiles cover a larger part of the picture in deeper levels.
    #[input(default = false)]
    scale_depth: bool,
}

impl Run for HyperTile {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let settings = Settings {
            tile: self.tile_size.max(32) / 8,
            choices: self.swap_size,
            depth: self.max_depth,
            scale_depth: self.scale_depth,
        };
        Ok(self.model.with_hook(Tiled { settings, chance: None, tiles: RefCell::default() }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    /// The smallest side of a tile in latent pixels.
    tile: i64,
    choices: usize,
    depth: u32,
    scale_depth: bool,
}

#[derive(Debug)]
struct Tiled {
    settings: Settings,
    chance: Option<Rc<RefCell<Stream>>>,
    /// The tiles of the attention call under way.
    tiles: RefCell<Option<Tiles>>,
}

/// A picture of `rows` × `columns` tokens, cut into `down` × `across` tiles.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    down: i64,
    across: i64,
    rows: i64,
    columns: i64,
}

impl Tiled {
    /// The number of tiles along a side. Their length divides the side, and is one of the smallest divisors from
    /// `least` on.
    fn cut(&self, side: i64, least: i64) -> i64 {
        let lengths = (least.min(side)..=side).filter(|length| side % length == 0);
        let counts: Vec<i64> = lengths.take(self.settings.choices).map(|length| side / length).collect();
        // As ComfyUI draws: the last choice never comes up.
        let drawn = match (&self.chance, counts.len()) {
            (Some(chance), 2..) => chance.borrow_mut().below(counts.len() as i64 - 1, &[1]).int64_value(&[0]),
            _ => 0,
        };
        counts.get(drawn as usize).copied().unwrap_or(1)
    }

    /// The tiles of a level with so many tokens, or nothing for a level that is not tiled.
    fn tiles(&self, places: i64, (height, width): (i64, i64)) -> Option<Tiles> {
        let of_level =
            |level: u32| (height as f64 / 2f64.powi(level as i32)) * (width as f64 / 2f64.powi(level as i32));
        let level = (0..=self.settings.depth).find(|level| of_level(*level) == places as f64)?;
        let aspect = width as f64 / height as f64;
        let side = |square: f64| square.sqrt().round_ties_even() as i64;
        // ComfyUI takes these as height and width, which is right for squares only.
        let (rows, columns) = (side(places as f64 * aspect), side(places as f64 / aspect));
        let least = self.settings.tile * if self.settings.scale_depth { 1 << level } else { 1 };
        let (down, across) = (self.cut(rows, least), self.cut(columns, least));
        (down * across > 1).then_some(Tiles { down, across, rows, columns })
    }
}

impl Hook for Tiled {
    fn begin(&self, start: &RunStart) -> Option<Rc<dyn Hook>> {
        Some(Rc::new(Tiled { chance: Some(start.stream.clone()), tiles: RefCell::default(), settings: self.settings }))
    }

    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }
}

impl Patch for Tiled {
    fn before_self_attention(&self, [q, k, v]: [Tensor; 3], site: &Site) -> [Tensor; 3] {
        let size = q.size();
        let Some(tiles) = self.tiles(size[1], site.call.size) else { return [q, k, v] };
        self.tiles.replace(Some(tiles));
        [tiles.split(&q), k, v]
    }

    fn after_self_attention(&self, output: Tensor, _: &Site) -> Tensor {
        match self.tiles.take() {
            Some(tiles) => tiles.join(&output),
            None => output,
        }
    }
}

impl Tiles {
    /// B×(rows·columns)×C as (B·down·across)×(tokens of a tile)×C.
    fn split(&self, x: &Tensor) -> Tensor {
        let Tiles { down, across, rows, columns } = *self;
        let (batch, width) = (x.size()[0], x.size()[2]);
        let cut = x.view([batch, down, rows / down, across, columns / across, width]);
        cut.permute([0, 1, 3, 2, 4, 5]).reshape([batch * down * across, -1, width])
    }

    /// The inverse of [`Tiles::split`].
    fn join(&self, x: &Tensor) -> Tensor {
        let Tiles { down, across, rows, columns } = *self;
        let (batch, width) = (x.size()[0] / (down * across), x.size()[2]);
        let cut = x.view([batch, down, across, rows / down, columns / across, width]);
        cut.permute([0, 1, 3, 2, 4, 5]).reshape([batch, rows * columns, width])
    }
}
