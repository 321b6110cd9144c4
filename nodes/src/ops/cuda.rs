//! Choosing a device, and opening libtorch's CUDA part at run time.
//!
//! The binary links libtorch's CPU part only, so that one binary serves machines with and without a GPU. `libtorch_cuda.so`
//! registers its kernels when it is opened; that must happen before anything else is computed, because libtorch asks once
//! for its CUDA part and remembers the answer.
// Opening libraries and calling their functions is what this file is for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use libloading::Library;
use tch::Device;

use super::numerics::Numerics;

/// The device that a user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU if there is one that works, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// The GPU of this number, counted from 0.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = anyhow::Error;

    /// Parses `auto`, `cpu`, `cuda` (the first GPU) or `cuda:N`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(index)) => Ok(Self::Cuda(index)),
                _ => bail!("unknown device {text:?}; use auto, cpu, cuda or cuda:N"),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device and decides the numerics; `float32` forces float32 throughout.
    ///
    /// Call it once, before any tensor is made. `cpu` and, where no NVIDIA driver is installed, `auto` cost nothing. An
    /// error if a GPU was asked for by name and cannot be used; `auto` then falls back to the CPU.
    pub fn open(self, float32: bool) -> Result<Numerics> {
        let gpu = match self {
            Self::Cpu => None,
            Self::Cuda(index) => Some(open_gpu(index).with_context(|| format!("cannot use device {self}"))?),
            Self::Auto => open_gpu(0).inspect_err(|e| tracing::debug!("no GPU: {e:#}")).ok(),
        };
        let numerics = match gpu {
            None => Numerics::cpu(),
            Some(gpu) => Numerics::new(Device::Cuda(gpu.index), gpu.capability >= (8, 0)),
        };
        Ok(if float32 { Numerics::float32(numerics.device) } else { numerics })
    }
}

/// A GPU that the driver knows.
struct Gpu {
    index: usize,
    /// Compute capability, major and minor.
    capability: (c_int, c_int),
}

fn open_gpu(index: usize) -> Result<Gpu> {
    let gpu = ask_driver(index)?;
    open_libtorch_cuda()?;
    ensure!(
        tch::Cuda::is_available(),
        "libtorch's CUDA part does not start on this driver; update the driver, or use --device cpu"
    );
    allow_tf32(false)?;
    Ok(gpu)
}

/// Bytes of memory of a GPU, if the driver knows it.
pub fn memory(index: usize) -> Option<u64> {
    // SAFETY: as in `ask_driver`, which has opened the driver before.
    let driver = unsafe { Library::new("libcuda.so.1") }.ok()?;
    let mut bytes = 0;
    // SAFETY: the names and signatures are those of the CUDA driver API; the pointers passed are valid for one value each.
    let error = unsafe {
        let get = driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0").ok()?;
        let total = driver.get::<unsafe extern "C" fn(*mut usize, c_int) -> c_int>(b"cuDeviceTotalMem_v2\0").ok()?;
        let mut device = 0;
        match get(&raw mut device, c_int::try_from(index).ok()?) {
            0 => total(&raw mut bytes, device),
            error => error,
        }
    };
    std::mem::forget(driver);
    (error == 0).then_some(bytes as u64)
}

/// Asks the NVIDIA driver for a GPU, without libtorch and without making a CUDA context.
fn ask_driver(index: usize) -> Result<Gpu> {
    // SAFETY: opening the driver's library runs its initialisers, which every CUDA program relies on.
    let driver = unsafe { Library::new("libcuda.so.1") }
        .map_err(|_| anyhow!("no NVIDIA driver is installed (libcuda.so.1 not found); use --device cpu"))?;
    // SAFETY: the names and signatures are those of the CUDA driver API, stable since CUDA 2; the library stays open for as
    // long as the symbols are used, and the pointers passed are valid for one `int` each.
    let (found, count, capability) = unsafe {
        let init = driver.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit\0")?;
        let device_count = driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDeviceGetCount\0")?;
        let get = driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0")?;
        let attribute =
            driver.get::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(b"cuDeviceGetAttribute\0")?;
        let mut count = 0;
        let found = match init(0) {
            0 => device_count(&raw mut count),
            error => error,
        };
        let (mut capability, mut device) = ((0, 0), 0);
        let index = c_int::try_from(index)?;
        if found == 0 && index < count && get(&raw mut device, index) == 0 {
            // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
            attribute(&raw mut capability.0, 75, device);
            attribute(&raw mut capability.1, 76, device);
        }
        (found, count, capability)
    };
    // The driver is in use from here on; libtorch opens it again in any case.
    std::mem::forget(driver);
    match found {
        0 => {}
        100 => bail!("the NVIDIA driver finds no GPU; use --device cpu"),
        error => {
            bail!("the NVIDIA driver does not start (CUDA error {error}); check `nvidia-smi`, or use --device cpu")
        }
    }
    ensure!(
        index < usize::try_from(count)?,
        "there is no GPU number {index}; this machine has {count}, counted from 0"
    );
    Ok(Gpu { index, capability })
}

/// Opens `libtorch_cuda.so` for the whole process.
#[cfg(unix)]
fn open_libtorch_cuda() -> Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    let beside = libtorch_directory().map(|dir| dir.join("libtorch_cuda.so")).filter(|path| path.exists());
    let path = beside.unwrap_or_else(|| PathBuf::from("libtorch_cuda.so"));
    // SAFETY: its initialisers register kernels with the libtorch_cpu.so that is loaded already, which is of the same build
    // when both lie in one directory. It is never closed.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| {
        anyhow!(
            "libtorch's CUDA part cannot be opened ({e}); install a CUDA build of libtorch 2.11.0, or use --device cpu"
        )
    })?;
    std::mem::forget(library);
    Ok(())
}

#[cfg(not(unix))]
fn open_libtorch_cuda() -> Result<()> {
    bail!("GPUs are supported on Linux only; use --device cpu")
}

/// The directory of the libtorch that this process has loaded.
fn libtorch_directory() -> Option<PathBuf> {
    directory_of("libtorch_cpu.so", &fs_err::read_to_string("/proc/self/maps").ok()?)
}

/// The directory of a library, from the text of `/proc/self/maps`: address, permissions, offset, device, inode, path.
fn directory_of(library: &str, maps: &str) -> Option<PathBuf> {
    let path = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..])).map(Path::new);
    path.filter(|path| path.file_name().is_some_and(|name| name == library))
        .find_map(|path| Some(path.parent()?.into()))
}

/// Whether cuDNN and cuBLAS may compute float32 with the 10-bit mantissa of TF32. libtorch allows cuDNN to;
/// [`DeviceChoice::open`] forbids it to both.
///
/// tch has no name for these switches; they are functions of the libtorch we link (2.11.0), found by their C++ names.
pub fn allow_tf32(allowed: bool) -> Result<()> {
    #[cfg(unix)]
    let this = libloading::os::unix::Library::this();
    #[cfg(not(unix))]
    let this = libloading::os::windows::Library::this()?;
    // SAFETY: `at::globalContext()` returns a reference to a static, `at::Context::setAllowTF32…(bool)` are methods of it; by
    // the Itanium C++ ABI a reference and `this` are pointers, so these C signatures call them.
    unsafe {
        let missing = "this libtorch is not the 2.11.0 that redraft was built for; install that one";
        let context =
            this.get::<unsafe extern "C" fn() -> *mut c_void>(b"_ZN2at13globalContextEv\0").context(missing)?();
        for name in [&b"_ZN2at7Context17setAllowTF32CuDNNEb\0"[..], b"_ZN2at7Context18setAllowTF32CuBLASEb\0"] {
            this.get::<unsafe extern "C" fn(*mut c_void, bool)>(name).context(missing)?(context, allowed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn devices_parse_and_print() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            let message = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(message.contains("use auto, cpu, cuda or cuda:N"), "{message}");
        }
    }

    #[test]
    fn the_cpu_always_opens() {
        assert_eq!(DeviceChoice::Cpu.open(false).unwrap(), Numerics::cpu());
        assert_eq!(DeviceChoice::Cpu.open(true).unwrap(), Numerics::float32(Device::Cpu));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_by_name_and_the_cpu_by_auto() {
        if ask_driver(0).is_ok() {
            return;
        }
        let message = format!("{:#}", DeviceChoice::Cuda(0).open(false).unwrap_err());
        assert!(message.starts_with("cannot use device cuda:0: ") && message.contains("--device cpu"), "{message}");
        assert_eq!(DeviceChoice::Auto.open(false).unwrap(), Numerics::cpu());
    }

    #[test]
    fn a_gpu_number_that_does_not_exist_is_an_error() {
        assert!(DeviceChoice::Cuda(1000).open(false).is_err());
    }

    #[test]
    fn libtorch_is_found_where_it_was_loaded_from() {
        let maps =
            "7f00-7f01 r-xp 0000 08:01 42   /usr/lib/libc.so.6\n7f02-7f03 r-xp 0 08:01 7 /a b/lib/libtorch_cpu.so\n";
        assert_eq!(directory_of("libtorch_cpu.so", maps).unwrap(), Path::new("/a b/lib"));
        assert_eq!(directory_of("libnone.so", maps), None);
        let _ = tch::Tensor::from(1.0);
        assert!(libtorch_directory().unwrap().join("libtorch_cpu.so").exists());
    }

    #[test]
    fn the_tf32_switches_exist_in_this_libtorch() {
        let _ = tch::Tensor::from(1.0);
        allow_tf32(false).unwrap();
    }
}
