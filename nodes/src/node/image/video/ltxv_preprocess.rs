use redraft_engine::aside::temporary_folder;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use tch::Tensor;

use crate::media;
use crate::values::Image;

/// Compresses pictures as frames of a video are, for LTX-Video, which moves what looks like a film. It needs the program ffmpeg.
#[derive(Node)]
#[node(category = "image")]
struct LTXVPreprocess {
    image: Image,
    /// The constant rate factor of H.264: 0 leaves pictures as they are, and more makes them worse.
    #[input(default = 35, min = 0, max = 100)]
    img_compression: i64,
}

#[derive(Outputs)]
struct Compressed {
    #[output(name = "output_image")]
    image: Image,
}

impl Run for LTXVPreprocess {
    type Out = Compressed;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Compressed> {
        if self.img_compression == 0 {
            return Ok(Compressed { image: self.image });
        }
        let (count, folder) = (self.image.0.size()[0], temporary_folder("redraft-ltxv-")?);
        let path = folder.path().join("frame.mp4");
        let mut all = Vec::new();
        for at in 0..count {
            let picture = self.image.0.narrow(0, at, 1);
            // H.264 takes even sides alone.
            let even = |side: i64| side / 2 * 2;
            let size = picture.size();
            let picture = picture.narrow(1, 0, even(size[1])).narrow(2, 0, even(size[2]));
            media::write_frame(&path, &Image(picture), self.img_compression, cx)?;
            let frame = media::probe(&path, Some(cx))?.video.map(|stream| media::frames(&path, &stream, cx));
            let frame = frame.transpose()?.map(|frame| frame.0.narrow(0, 0, 1));
            all.push(frame.ok_or_else(|| anyhow::anyhow!("ffmpeg wrote no frame: install ffmpeg with libx264"))?);
            fs_err::remove_file(&path)?;
        }
        Ok(Compressed { image: Image(Tensor::cat(&all, 0)) })
    }
}
