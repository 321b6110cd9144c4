//! What commands that run nodes have in common: an engine with its folders, device and services.

use std::sync::Arc;

use redraft_engine::cache::Policy;
use redraft_engine::cache::disk::Disk;
use redraft_engine::cx::Services;
use redraft_engine::exec::Engine;
use redraft_engine::folders::FolderPaths;
use redraft_engine::memory;
use redraft_engine::problem::Problems;
use redraft_engine::workflow::Hints;
use redraft_nodes::ops::cuda::DeviceChoice;
use redraft_nodes::ops::numerics::Numerics;
use serde_json::Value as Json;

use crate::args::Compute;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::plain;

/// The device that the options choose, not opened yet.
#[derive(Clone)]
pub(crate) struct Device {
    choice: DeviceChoice,
    force_fp32: bool,
    max_memory: u64,
}

pub(crate) fn device(compute: &Compute) -> Outcome<Device> {
    let max_memory = compute.max_memory.unwrap_or_else(memory::ceiling);
    memory::set_ceiling(max_memory, false);
    Ok(Device { choice: compute.device.parse()?, force_fp32: compute.force_fp32, max_memory })
}

impl Device {
    /// Opens it, once.
    pub(crate) fn open(&self) -> Outcome<Numerics> {
        Ok(self.choice.open(self.force_fp32)?)
    }
}

/// An engine on a device. Without a disk nothing outlasts it.
pub(crate) fn engine(folders: Arc<FolderPaths>, device: Device, cache: Policy, disk: Option<Disk>) -> Outcome<Engine> {
    let numerics = device.open()?;
    engine_on(folders, &device, numerics, cache, disk)
}

/// The same on a device that was opened.
pub(crate) fn engine_on(
    folders: Arc<FolderPaths>,
    device: &Device,
    numerics: Numerics,
    cache: Policy,
    disk: Option<Disk>,
) -> Outcome<Engine> {
    memory::set_ceiling(device.max_memory, numerics.device == tch::Device::Cpu);
    let mut services = Services::default();
    redraft_nodes::provide(&mut services, numerics);
    let engine = Engine::with_cache(folders, services, cache);
    Ok(match disk {
        Some(disk) => engine.with_disk(disk),
        None => engine,
    })
}

/// What changes the numbers of every node: part of all cache keys.
pub(crate) fn salt(engine: &Engine) -> String {
    engine.services.get::<Numerics>().map(|numerics| numerics.salt()).unwrap_or_default()
}

/// A workflow with problems: all of them, one a line, with what its editor's form says of them; and the exit code.
pub(crate) fn of_problems(problems: &mut Problems, editor: Option<&Json>) -> Stop {
    problems.explain(&Hints::of(editor));
    let exit = if problems.only_missing() { Exit::Missing } else { Exit::Wrong };
    let lines: Vec<_> = problems.0.iter().map(|problem| plain(&problem.to_string()).into_owned()).collect();
    Stop { exit, message: lines.join("\n"), problems: problems.0.clone() }
}
