use anyhow::Result;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::values::video::Components;
use crate::values::{Audio, Image, Video};

/// Makes a video of pictures, with or without sound.
#[derive(Node)]
#[node(category = "image/video", display = "Create Video")]
struct CreateVideo {
    /// The frames.
    images: Image,
    /// Frames per second.
    #[input(default = 30.0, min = 1.0, max = 120.0, step = 1.0)]
    fps: f64,
    /// What is heard.
    audio: Option<Audio>,
}

impl Run for CreateVideo {
    type Out = Video;

    fn run(self, _: &mut Cx) -> Result<Video> {
        Ok(Video::Components(Components { images: self.images, audio: self.audio, rate: self.fps }))
    }
}

/// Takes a video apart: its frames, its sound if it has any, and its frames per second.
#[derive(Node)]
#[node(category = "image/video", display = "Get Video Components")]
struct GetVideoComponents {
    video: Video,
}

#[derive(Outputs)]
struct Parts {
    #[output(name = "images")]
    images: Image,
    #[output(name = "audio")]
    audio: Option<Audio>,
    #[output(name = "fps")]
    fps: f64,
}

impl Run for GetVideoComponents {
    type Out = Parts;

    fn run(self, cx: &mut Cx) -> Result<Parts> {
        let Components { images, audio, rate } = self.video.components(cx)?;
        Ok(Parts { images, audio, fps: rate })
    }
}
