use anyhow::{Context, Result};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::media::look_for_video;
use crate::values::Video;

/// Names a video in the input folder. It is read by the nodes that need it.
#[derive(Node)]
#[node(category = "image/video", display = "Load Video")]
struct LoadVideo {
    /// The video's file.
    #[input(files = "input", upload = Video)]
    file: String,
}

impl Run for LoadVideo {
    type Out = Video;

    fn run(self, cx: &mut Cx) -> Result<Video> {
        let gone = || format!("the video '{}' is not there any more; put it back", self.file);
        cx.folders.find("input", &self.file).map(Video::File).with_context(gone)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("file", "input"), look_for_video)
    }
}
