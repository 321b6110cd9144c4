//! Nodes that take what is known of a video apart.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use super::wires::{Facts, VideoInfo as Info};

/// Takes what is known of a video apart: as its file has it, and as it was loaded.
#[derive(Node)]
#[node(class = "VHS_VideoInfo", category = "Video Helper Suite 🎥🅥🅗🅢", display = "Video Info 🎥🅥🅗🅢")]
struct VideoInfo {
    video_info: Info,
}

#[derive(Outputs)]
struct Both {
    #[output(name = "source_fps🟨")]
    source_fps: f64,
    #[output(name = "source_frame_count🟨")]
    source_frame_count: i64,
    #[output(name = "source_duration🟨")]
    source_duration: f64,
    #[output(name = "source_width🟨")]
    source_width: i64,
    #[output(name = "source_height🟨")]
    source_height: i64,
    #[output(name = "loaded_fps🟦")]
    loaded_fps: f64,
    #[output(name = "loaded_frame_count🟦")]
    loaded_frame_count: i64,
    #[output(name = "loaded_duration🟦")]
    loaded_duration: f64,
    #[output(name = "loaded_width🟦")]
    loaded_width: i64,
    #[output(name = "loaded_height🟦")]
    loaded_height: i64,
}

impl Run for VideoInfo {
    type Out = Both;

    fn run(self, _: &mut Cx) -> anyhow::Result<Both> {
        let Info { source, loaded } = self.video_info;
        Ok(Both {
            source_fps: source.fps,
            source_frame_count: source.frame_count,
            source_duration: source.duration,
            source_width: source.width,
            source_height: source.height,
            loaded_fps: loaded.fps,
            loaded_frame_count: loaded.frame_count,
            loaded_duration: loaded.duration,
            loaded_width: loaded.width,
            loaded_height: loaded.height,
        })
    }
}

/// Takes what is known of a video's file apart.
#[derive(Node)]
#[node(class = "VHS_VideoInfoSource", category = "Video Helper Suite 🎥🅥🅗🅢", display = "Video Info (Source) 🎥🅥🅗🅢")]
struct VideoInfoSource {
    video_info: Info,
}

#[derive(Outputs)]
struct Source {
    #[output(name = "fps🟨")]
    fps: f64,
    #[output(name = "frame_count🟨")]
    frame_count: i64,
    #[output(name = "duration🟨")]
    duration: f64,
    #[output(name = "width🟨")]
    width: i64,
    #[output(name = "height🟨")]
    height: i64,
}

impl Run for VideoInfoSource {
    type Out = Source;

    fn run(self, _: &mut Cx) -> anyhow::Result<Source> {
        let Facts { fps, frame_count, duration, width, height } = self.video_info.source;
        Ok(Source { fps, frame_count, duration, width, height })
    }
}

/// Takes what is known of a video as it was loaded apart.
#[derive(Node)]
#[node(class = "VHS_VideoInfoLoaded", category = "Video Helper Suite 🎥🅥🅗🅢", display = "Video Info (Loaded) 🎥🅥🅗🅢")]
struct VideoInfoLoaded {
    video_info: Info,
}

#[derive(Outputs)]
struct Loaded {
    #[output(name = "fps🟦")]
    fps: f64,
    #[output(name = "frame_count🟦")]
    frame_count: i64,
    #[output(name = "duration🟦")]
    duration: f64,
    #[output(name = "width🟦")]
    width: i64,
    #[output(name = "height🟦")]
    height: i64,
}

impl Run for VideoInfoLoaded {
    type Out = Loaded;

    fn run(self, _: &mut Cx) -> anyhow::Result<Loaded> {
        let Facts { fps, frame_count, duration, width, height } = self.video_info.loaded;
        Ok(Loaded { fps, frame_count, duration, width, height })
    }
}
