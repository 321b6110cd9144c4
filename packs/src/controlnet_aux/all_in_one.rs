use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::{Offer, Run};
use redraft_nodes::values::Image;

use super::hints::{RESOLUTION, each};
use super::{binary, canny, colour, lineart, pyra_canny, recolour, scribble, shuffle, tile};
use crate::opencv::{Going, Raster};

/// Runs one of the pack's preprocessors, by its name, with the values that it has by itself. Those that need a network are not here.
#[derive(Node)]
#[node(class = "AIO_Preprocessor", category = "ControlNet Preprocessors", display = "AIO Aux Preprocessor")]
pub(super) struct AllInOne {
    pub(super) image: Image,
    /// Its class; none passes the pictures on.
    #[input(default = "none")]
    pub(super) preprocessor: Option<Preprocessor>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for AllInOne {
    type Out = Image;

    fn validate(offer: &Offer) -> Result<(), String> {
        let name = offer.constant("preprocessor").and_then(|name| name.as_str());
        match name.and_then(Preprocessor::named) {
            Some(Preprocessor { name, way: Way::Missing }) => Err(missing(name)),
            _ => Ok(()),
        }
    }

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        match self.preprocessor {
            None | Some(Preprocessor { way: Way::Nothing, .. }) => Ok(self.image),
            Some(Preprocessor { way: Way::Here(detect), .. }) => {
                each(&self.image, cx, |picture, going| detect(picture, resolution, going))
            }
            Some(Preprocessor { name, way: Way::Missing }) => anyhow::bail!(missing(name)),
        }
    }
}

fn missing(name: &str) -> String {
    let here = ALL.iter().filter(|other| matches!(other.way, Way::Here(_))).map(|other| other.name);
    format!("cannot run {name} here; choose one of {}", here.collect::<Vec<_>>().join(", "))
}

/// A preprocessor of the pack.
#[derive(Clone, Copy)]
pub(super) struct Preprocessor {
    pub(super) name: &'static str,
    way: Way,
}

/// How it is run.
#[derive(Clone, Copy)]
enum Way {
    Nothing,
    /// With its own values; it is given the resolution.
    Here(fn(&Raster<u8>, i64, Going) -> Result<Raster<u8>>),
    /// It needs a network, or is not written.
    Missing,
}

impl Preprocessor {
    fn named(name: &str) -> Option<Self> {
        ALL.iter().copied().find(|preprocessor| preprocessor.name == name)
    }
}

impl redraft_engine::io::Combo for Preprocessor {
    fn names() -> Vec<&'static str> {
        ALL.iter().map(|preprocessor| preprocessor.name).collect()
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::named(name)
    }
}
redraft_engine::combo_field!(Preprocessor);

const fn here(name: &'static str, detect: fn(&Raster<u8>, i64, Going) -> Result<Raster<u8>>) -> Preprocessor {
    Preprocessor { name, way: Way::Here(detect) }
}

const fn not_here(name: &'static str) -> Preprocessor {
    Preprocessor { name, way: Way::Missing }
}

/// In the pack's order.
const ALL: &[Preprocessor] = &[
    Preprocessor { name: "none", way: Way::Nothing },
    here("ImageLuminanceDetector", recolour::usual_luminance),
    here("ImageIntensityDetector", recolour::usual_intensity),
    not_here("TEEDPreprocessor"),
    not_here("DepthAnythingV2Preprocessor"),
    not_here("MediaPipe-FaceMeshPreprocessor"),
    not_here("MiDaS-NormalMapPreprocessor"),
    not_here("MiDaS-DepthMapPreprocessor"),
    not_here("Metric3D-DepthMapPreprocessor"),
    not_here("Metric3D-NormalMapPreprocessor"),
    not_here("MeshGraphormer-DepthMapPreprocessor"),
    not_here("OpenposePreprocessor"),
    not_here("PiDiNetPreprocessor"),
    not_here("OneFormer-COCO-SemSegPreprocessor"),
    not_here("OneFormer-ADE20K-SemSegPreprocessor"),
    not_here("DensePosePreprocessor"),
    here("BinaryPreprocessor", binary::usual),
    here("LineartStandardPreprocessor", lineart::usual),
    not_here("BAE-NormalMapPreprocessor"),
    not_here("LineArtPreprocessor"),
    not_here("DWPreprocessor"),
    not_here("AnimalPosePreprocessor"),
    not_here("DepthAnythingPreprocessor"),
    not_here("Zoe_DepthAnythingPreprocessor"),
    not_here("Zoe-DepthMapPreprocessor"),
    here("ShufflePreprocessor", shuffle::usual),
    here("PyraCannyPreprocessor", pyra_canny::usual),
    here("TilePreprocessor", tile::usual),
    not_here("TTPlanet_TileGF_Preprocessor"),
    here("TTPlanet_TileSimple_Preprocessor", tile::usual_simple),
    here("CannyEdgePreprocessor", canny::usual),
    not_here("UniFormer-SemSegPreprocessor"),
    not_here("SemSegPreprocessor"),
    not_here("SAMPreprocessor"),
    not_here("AnimeLineArtPreprocessor"),
    not_here("M-LSDPreprocessor"),
    not_here("AnyLineArtPreprocessor_aux"),
    here("ScribblePreprocessor", scribble::scribble),
    here("Scribble_XDoG_Preprocessor", scribble::usual_differences),
    not_here("Scribble_PiDiNet_Preprocessor"),
    here("ColorPreprocessor", colour::palette),
    not_here("DSINE-NormalMapPreprocessor"),
    not_here("HEDPreprocessor"),
    not_here("FakeScribblePreprocessor"),
    not_here("AnimeFace_SemSegPreprocessor"),
    not_here("LeReS-DepthMapPreprocessor"),
    not_here("Manga2Anime_LineArt_Preprocessor"),
];
