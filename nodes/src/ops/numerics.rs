//! Device, element types and memory format. They are decided here and nowhere else.

use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

use crate::files::weights::Weights;

/// Where the tensors of one network live, in which element type, and in which memory format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    pub device: Device,
    pub kind: Kind,
    /// Whether pictures and convolution weights are channels-last in memory (N×H×W×C). Their shapes do not change.
    pub channels_last: bool,
}

impl Placement {
    /// The CPU, plain memory format, elements of `kind`.
    pub const fn cpu(kind: Kind) -> Self {
        Self { device: Device::Cpu, kind, channels_last: false }
    }

    /// Moves a B×C×H×W tensor here, converted to element type and memory format in one step if libtorch can.
    pub fn image(&self, x: &Tensor) -> Tensor {
        let x = x.to_device_(self.device, self.kind, false, false);
        if self.channels_last { channels_last(&x) } else { x.contiguous() }
    }

    /// Moves any other tensor here, converted to the element type.
    pub fn place(&self, x: &Tensor) -> Tensor {
        x.to_device_(self.device, self.kind, false, false)
    }
}

/// What the variables that choose kernels and their precision begin with: of libtorch, oneDNN by its new and its old name, MKL and the
/// libraries of CUDA.
const CHOOSING: [&str; 12] = [
    "ATEN_",
    "TORCH_",
    "PYTORCH_",
    "ONEDNN_",
    "DNNL_",
    "MKLDNN_",
    "MKL_",
    "CUBLAS_",
    "CUBLASLT_",
    "CUDNN_",
    "NVIDIA_TF32",
    "OPENBLAS_",
];

/// The variables of the environment that may change how libtorch rounds, sorted by name.
pub fn choosing_variables() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let mut found: Vec<_> = all.filter(|(name, _)| CHOOSING.iter().any(|begin| name.starts_with(begin))).collect();
    found.sort_unstable();
    found
}

/// What tells which kernels libtorch takes on a CPU, which round otherwise: instruction sets, what the environment says of them, and the
/// number of threads.
fn kernels() -> String {
    #[cfg(target_arch = "x86_64")]
    let sets = [
        std::is_x86_feature_detected!("avx2"),
        std::is_x86_feature_detected!("avx512f"),
        std::is_x86_feature_detected!("avx512vnni"),
        std::is_x86_feature_detected!("avx512bf16"),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let sets = std::env::consts::ARCH;
    let told = choosing_variables();
    format!("threads={} sets={sets:?} told={told:?}", tch::get_num_threads())
}

/// The same B×C×H×W tensor, channels-last in memory.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Device and element types of a run.
///
/// On a CPU everything is computed in float32. On a GPU the UNet runs in half precision and the VAE in bfloat16, as in
/// ComfyUI on a GPU with bfloat16. Text encoders are computed in float32, but on every device their weights are rounded
/// to half precision, again as in ComfyUI.
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
    /// The default for `device`. `bfloat16` tells whether it supports bfloat16 natively (compute capability 8.0 and
    /// up).
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

    /// Where a transformer's weights live. They are computed with in float32 on a CPU: where they would take more than half of the memory
    /// so, they stay as the file has them, and each is widened when it is used.
    pub fn transformer(&self, weights: &Weights) -> Placement {
        let room = memory::ceiling().min(memory::total()) / 2;
        let own = weights.names().iter().find_map(|name| weights.kind(name).ok().filter(|kind| *kind != Kind::Float));
        match own {
            Some(kind) if !self.device.is_cuda() && weights.numel() * 4 > room => self.place(kind),
            _ => self.place(if self.device.is_cuda() { self.vae } else { self.unet }),
        }
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

    /// All that results depend on besides the inputs: these numerics, the build, and which kernels libtorch takes. Part of cache keys.
    pub fn salt(&self) -> String {
        format!("{} {} sources={}", self.describe(), kernels(), env!("REDRAFT_SOURCES"))
    }

    /// A description that differs if results may differ on one machine.
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
