use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::node::{Fingerprint, Offer, Run};
use redraft_engine::schema::Kind;

use super::super::held;
use super::load_image::load;
use crate::values::Image;

/// Reads a picture that the editor took with a camera and stored. Nothing is taken here.
#[derive(Node)]
#[node(category = "image", display = "Webcam Capture")]
#[expect(dead_code, reason = "most inputs are for the editor's camera")]
struct WebcamCapture {
    /// The picture's file, `webcam/1.png [temp]`.
    image: Shot,
    /// What the editor asks of the camera; 0 is its own size.
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    width: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    height: i64,
    /// Whether the editor takes a new picture for every run.
    #[input(default = true)]
    capture_on_queue: bool,
}

/// The name of a file that the editor's camera widget holds.
struct Shot(String);

impl Field for Shot {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "WEBCAM".to_owned(), default: None }
    }

    fn from_value(value: &Value) -> Result<Shot, Misfit> {
        held::name(value, "names no picture; take one in the editor, or name a file").map(Shot)
    }
}

impl Run for WebcamCapture {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Image> {
        Ok(load(cx, &self.image.0)?.0)
    }

    fn fingerprint(_: &Offer) -> anyhow::Result<Fingerprint> {
        Ok(held::FINGERPRINT)
    }
}
