//! The one place where device, element type and memory format are decided.

use tch::{Device, Kind, Tensor};

/// Where the tensors of one network live, in which element type, and in which memory format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    pub device: Device,
    pub kind: Kind,
    /// Whether pictures and convolution weights lie in memory as N×H×W×C instead of N×C×H×W. Shapes do not change.
    pub channels_last: bool,
}

impl Placement {
    /// The CPU, plain memory format, elements of `kind`.
    pub const fn cpu(kind: Kind) -> Self {
        Self { device: Device::Cpu, kind, channels_last: false }
    }

    /// Brings a B×C×H×W tensor to this place, in one step where libtorch can.
    pub fn image(&self, x: &Tensor) -> Tensor {
        let x = x.to_device_(self.device, self.kind, false, false);
        if self.channels_last { channels_last(&x) } else { x.contiguous() }
    }

    /// Brings any other tensor to this place.
    pub fn place(&self, x: &Tensor) -> Tensor {
        x.to_device_(self.device, self.kind, false, false)
    }
}

/// The same B×C×H×W values with memory laid out as B×H×W×C.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Device and element types in force for a run.
///
/// On a CPU everything is computed in float32. On a GPU the UNet runs in half precision and the VAE in bfloat16, as the
/// reference does on a GPU that knows bfloat16. Text encoder weights are held in half precision on every device and
/// computed with in float32, also as the reference does: a float32 text encoder is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numerics {
    pub device: Device,
    pub unet: Kind,
    pub vae: Kind,
    /// Element type in which text encoder weights are held; activations are always float32.
    pub text: Kind,
    pub channels_last: bool,
}

impl Numerics {
    /// The default for `device`. `bfloat16` says whether it computes in bfloat16 natively (compute capability 8.0).
    pub fn new(device: Device, bfloat16: bool) -> Self {
        if !device.is_cuda() {
            return Self { text: Kind::Half, ..Self::float32(device) };
        }
        let vae = if bfloat16 { Kind::BFloat16 } else { Kind::Float };
        Self { device, unet: Kind::Half, vae, text: Kind::Half, channels_last: true }
    }

    /// The default on a CPU.
    pub fn cpu() -> Self {
        Self::new(Device::Cpu, false)
    }

    /// Float32 throughout, on any device.
    pub fn float32(device: Device) -> Self {
        let float = Kind::Float;
        Self { device, unet: float, vae: float, text: float, channels_last: device.is_cuda() }
    }

    /// Where the UNet and everything of its kind (ControlNets) live.
    pub fn unet(&self) -> Placement {
        self.place(self.unet)
    }

    /// Where the VAE lives.
    pub fn vae(&self) -> Placement {
        self.place(self.vae)
    }

    /// Where the text encoder's weights live.
    pub fn text(&self) -> Placement {
        Placement { channels_last: false, ..self.place(self.text) }
    }

    fn place(&self, kind: Kind) -> Placement {
        Placement { device: self.device, kind, channels_last: self.channels_last }
    }

    /// A line that differs whenever results may differ: the salt of cache keys.
    pub fn describe(&self) -> String {
        let device = if self.device.is_cuda() { "cuda" } else { "cpu" };
        format!(
            "{device} unet={:?} vae={:?} text={:?} channels-last={} libtorch=2.11.0",
            self.unet, self.vae, self.text, self.channels_last
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_computes_in_float32_and_holds_text_weights_in_half() {
        let n = Numerics::cpu();
        assert_eq!((n.unet, n.vae, n.text, n.channels_last), (Kind::Float, Kind::Float, Kind::Half, false));
        assert_eq!(n.describe(), "cpu unet=Float vae=Float text=Half channels-last=false libtorch=2.11.0");
    }

    #[test]
    fn a_gpu_computes_in_half_unless_float32_is_forced() {
        let n = Numerics::new(Device::Cuda(1), true);
        assert_eq!((n.unet, n.vae, n.text), (Kind::Half, Kind::BFloat16, Kind::Half));
        assert_eq!(Numerics::new(Device::Cuda(0), false).vae, Kind::Float);
        let n = Numerics::float32(Device::Cuda(0));
        assert_eq!((n.unet, n.vae, n.text), (Kind::Float, Kind::Float, Kind::Float));
    }

    #[test]
    fn channels_last_keeps_values_and_shape() {
        let x = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([1, 2, 3, 4]);
        let y = channels_last(&x);
        assert_eq!(y, x);
        assert_eq!(y.stride(), [24, 1, 8, 2]);
    }
}
