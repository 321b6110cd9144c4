//! Latent spaces: how a latent in VAE units becomes what a network was trained on, and back.

use tch::{Device, Kind, Tensor};

/// A latent space.
#[derive(Debug, PartialEq)]
pub struct LatentFormat {
    /// Channels of a latent.
    pub channels: i64,
    /// Whether a latent is that of a video, B×C×T×h×w.
    pub video: bool,
    /// What is taken off a latent in VAE units.
    pub shift: f64,
    /// What is left, times this, is in the network's scale.
    pub scale: f64,
    /// Mean and spread of each channel in VAE units, which are taken off before the scale is applied.
    pub spread: Option<(&'static [f32], &'static [f32])>,
    /// Red, green and blue, from -1 to 1, of each channel in the network's scale: a rough picture without the VAE.
    pub rgb: &'static [[f32; 3]],
    /// What is added to that picture.
    pub rgb_bias: [f32; 3],
}

/// Stable Diffusion 1.x and 2.x.
pub static SD15: LatentFormat = LatentFormat {
    channels: 4,
    video: false,
    shift: 0.0,
    scale: 0.18215,
    spread: None,
    rgb: &[[0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177]],
    rgb_bias: [0.0; 3],
};

/// SDXL and its refiner.
pub static SDXL: LatentFormat = LatentFormat {
    channels: 4,
    video: false,
    shift: 0.0,
    scale: 0.13025,
    spread: None,
    rgb: &[
        [0.3651, 0.4232, 0.4341],
        [-0.2533, -0.0042, 0.1068],
        [0.1076, 0.1111, -0.0362],
        [-0.3165, -0.2492, -0.2188],
    ],
    rgb_bias: [0.1084, -0.0175, -0.0011],
};

/// Playground v2.5.
pub static PLAYGROUND: LatentFormat = LatentFormat {
    channels: 4,
    video: false,
    shift: 0.0,
    scale: 0.5,
    spread: Some((&[-1.6574, 1.886, -1.383, 2.5155], &[8.4927, 5.9022, 6.5498, 5.2299])),
    rgb: &[
        [0.3920, 0.4054, 0.4549],
        [-0.2634, -0.0196, 0.0653],
        [0.0568, 0.1687, -0.0755],
        [-0.3112, -0.2359, -0.2076],
    ],
    rgb_bias: [0.0; 3],
};

/// Stable Diffusion 3.
pub static SD3: LatentFormat = LatentFormat {
    channels: 16,
    video: false,
    shift: 0.0609,
    scale: 1.5305,
    spread: None,
    rgb: &[
        [-0.0922, -0.0175, 0.0749],
        [0.0311, 0.0633, 0.0954],
        [0.1994, 0.0927, 0.0458],
        [0.0856, 0.0339, 0.0902],
        [0.0587, 0.0272, -0.0496],
        [-0.0006, 0.1104, 0.0309],
        [0.0978, 0.0306, 0.0427],
        [-0.0042, 0.1038, 0.1358],
        [-0.0194, 0.0020, 0.0669],
        [-0.0488, 0.0130, -0.0268],
        [0.0922, 0.0988, 0.0951],
        [-0.0278, 0.0524, -0.0542],
        [0.0332, 0.0456, 0.0895],
        [-0.0069, -0.0030, -0.0810],
        [-0.0596, -0.0465, -0.0293],
        [-0.1448, -0.1463, -0.1189],
    ],
    rgb_bias: [0.2394, 0.2135, 0.1925],
};

/// Flux.
pub static FLUX: LatentFormat = LatentFormat {
    channels: 16,
    video: false,
    shift: 0.1159,
    scale: 0.3611,
    spread: None,
    rgb: &[
        [-0.0346, 0.0244, 0.0681],
        [0.0034, 0.0210, 0.0687],
        [0.0275, -0.0668, -0.0433],
        [-0.0174, 0.0160, 0.0617],
        [0.0859, 0.0721, 0.0329],
        [0.0004, 0.0383, 0.0115],
        [0.0405, 0.0861, 0.0915],
        [-0.0236, -0.0185, -0.0259],
        [-0.0245, 0.0250, 0.1180],
        [0.1008, 0.0755, -0.0421],
        [-0.0515, 0.0201, 0.0011],
        [0.0428, -0.0012, -0.0036],
        [0.0817, 0.0765, 0.0749],
        [-0.1264, -0.0522, -0.1103],
        [-0.0280, -0.0881, -0.0499],
        [-0.1262, -0.0982, -0.0778],
    ],
    rgb_bias: [-0.0329, -0.0718, -0.0851],
};

/// Wan 2.1, and Qwen-Image.
pub static WAN21: LatentFormat = LatentFormat {
    channels: 16,
    video: true,
    shift: 0.0,
    scale: 1.0,
    spread: Some((
        &[
            -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
            -0.1922, -0.9497, 0.2503, -0.2921,
        ],
        &[
            2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
            1.1253, 2.8251, 1.9160,
        ],
    )),
    rgb: &[
        [-0.1299, -0.1692, 0.2932],
        [0.0671, 0.0406, 0.0442],
        [0.3568, 0.2548, 0.1747],
        [0.0372, 0.2344, 0.1420],
        [0.0313, 0.0189, -0.0328],
        [0.0296, -0.0956, -0.0665],
        [-0.3477, -0.4059, -0.2925],
        [0.0166, 0.1902, 0.1975],
        [-0.0412, 0.0267, -0.1364],
        [-0.1293, 0.0740, 0.1636],
        [0.0680, 0.3019, 0.1128],
        [0.0032, 0.0581, 0.0639],
        [-0.1251, 0.0927, 0.1699],
        [0.0060, -0.0633, 0.0005],
        [0.3477, 0.2275, 0.2950],
        [0.1984, 0.0913, 0.1861],
    ],
    rgb_bias: [-0.1835, -0.0868, -0.3360],
};

impl LatentFormat {
    /// A latent of a run in VAE units in the network's scale. An empty one, all zeros, is not shifted.
    pub fn in_network_scale(&self, latent: &Tensor) -> Tensor {
        let shifts = self.shift != 0.0 || self.spread.is_some();
        if shifts && latent.count_nonzero(None::<i64>).int64_value(&[]) == 0 {
            return latent.shallow_clone();
        }
        self.shown(latent)
    }

    /// A latent that is shown to a network, in its scale, whether it is empty or not.
    pub fn shown(&self, latent: &Tensor) -> Tensor {
        match self.spread {
            Some((mean, spread)) => (latent - channels(mean, latent)) * self.scale / channels(spread, latent),
            None if self.shift != 0.0 => (latent - self.shift) * self.scale,
            None => latent * self.scale,
        }
    }

    /// A latent in the network's scale as VAE units, float32 on the CPU.
    pub fn in_vae_units(&self, latent: &Tensor) -> Tensor {
        let latent = latent.to_kind(Kind::Float);
        let latent = match self.spread {
            None if self.shift != 0.0 => latent / self.scale + self.shift,
            None => latent / self.scale,
            Some((mean, spread)) => &latent * channels(spread, &latent) / self.scale + channels(mean, &latent),
        };
        latent.to_device(Device::Cpu)
    }
}

/// One value for each channel, for a tensor whose second dimension is the channels.
fn channels(values: &[f32], latent: &Tensor) -> Tensor {
    let mut shape = vec![1; latent.dim()];
    shape[1] = -1;
    Tensor::from_slice(values).view(shape.as_slice()).to_device(latent.device())
}
