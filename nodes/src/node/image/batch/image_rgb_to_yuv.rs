use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use tch::{Kind, Tensor};

use crate::values::Image;

/// Splits pictures into luma (Y) and chroma (U for blue, V for red), as three grey pictures.
///
/// The weights are those of BT.601. All three go from 0 to 1; chroma 0.5 is grey.
#[derive(Node)]
#[node(category = "image/batch")]
struct ImageRGBToYUV {
    image: Image,
}

#[derive(Outputs)]
struct Yuv {
    #[output(name = "Y")]
    y: Image,
    #[output(name = "U")]
    u: Image,
    #[output(name = "V")]
    v: Image,
}

impl Run for ImageRGBToYUV {
    type Out = Yuv;

    fn run(self, _: &mut Cx) -> anyhow::Result<Yuv> {
        let Image(image) = self.image;
        let [red, green, blue] = <[Tensor; 3]>::try_from(image.unbind(3)).map_err(|channels| {
            let count = channels.len();
            anyhow::anyhow!("wants pictures of 3 channels but was given {count}; split the alpha off first")
        })?;
        let y = 0.299 * &red + 0.587 * green + 0.114 * &blue;
        let u = (blue - &y) * 0.564 + 0.5;
        let v = (red - &y) * 0.713 + 0.5;
        let grey = |channel: Tensor| Image(channel.unsqueeze(3).expand_as(&image));
        Ok(Yuv { y: grey(y), u: grey(u), v: grey(v) })
    }
}

/// Joins luma and chroma to pictures in RGB.
#[derive(Node)]
#[node(category = "image/batch")]
struct ImageYUVToRGB {
    /// Luma. Of pictures with several channels the mean is taken; so it is with U and V.
    #[input(name = "Y")]
    y: Image,
    #[input(name = "U")]
    u: Image,
    #[input(name = "V")]
    v: Image,
}

impl Run for ImageYUVToRGB {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let mean = |image: &Image| image.0.mean_dim([-1i64].as_slice(), false, Kind::Float);
        let (y, u, v) = (mean(&self.y), mean(&self.u) - 0.5, mean(&self.v) - 0.5);
        // The exact inverse of the other direction's 0.564 and 0.713.
        let red = &y + 1.4025245442 * &v;
        let green = &y - 0.7144034731 * v - 0.3443401356 * &u;
        let blue = y + 1.7730496454 * u;
        Ok(Image(Tensor::stack(&[red, green, blue], -1).clamp(0.0, 1.0)))
    }
}
