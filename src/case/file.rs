//! `case.json`.

use std::path::{Path, PathBuf};

use redraft_engine::prompt::NodeId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{CASE, INPUT, TENSORS, VALUES, WORKFLOW};
use crate::named::FileDigest;

/// What `case.json` holds. Of a case that was made by hand, the tolerance alone is needed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CaseFile {
    pub(crate) tolerance: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) measured: Option<Measured>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<Recorded>,
    /// What was run; every node if nothing stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) targets: Vec<NodeId>,
    /// The nodes whose outputs are expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<Boundary>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) models: Vec<FileDigest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pictures: Vec<FileDigest>,
    /// The files that the case holds below `input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) held: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) saved: Vec<SavedEntry>,
    /// What others have put there.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Json>,
}

/// How the tolerance was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The largest difference of the second run, over the largest expected value or 1.
    pub(crate) largest: f64,
    /// Where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// What the tolerance is a multiple of.
    pub(crate) multiple: f64,
    /// How the second run was made.
    pub(crate) threads: usize,
    pub(crate) attention: String,
    /// Whether both runs had little in common.
    #[serde(default)]
    pub(crate) parted: bool,
}

/// When and with what a case was recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    #[serde(flatten)]
    pub(crate) surroundings: Surroundings,
    #[serde(default)]
    pub(crate) seconds: f64,
    /// BLAKE3 of the workflow.
    #[serde(default)]
    pub(crate) prompt: String,
}

/// What numbers depend on beside workflow and files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Surroundings {
    pub(crate) redraft: String,
    pub(crate) device: String,
    pub(crate) numerics: String,
    pub(crate) threads: usize,
    /// The widest vectors that the CPU has.
    pub(crate) cpu: String,
    /// What the environment says of libtorch's kernels; nothing where it was not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
}

/// A node whose outputs are expected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Boundary {
    pub(crate) node: NodeId,
    #[serde(default)]
    pub(crate) class_type: String,
    pub(crate) slots: Vec<usize>,
}

/// A picture that was saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedEntry {
    pub(crate) node: NodeId,
    /// Below the case's folder.
    pub(crate) file: String,
    /// How far a pixel's value, 0 to 1, may be off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tolerance: Option<f64>,
}

impl CaseFile {
    /// The files of the case: those that this names, and those whose names are always the same.
    pub(crate) fn own_files(&self) -> Vec<PathBuf> {
        let usual = [CASE, WORKFLOW, TENSORS, VALUES].map(PathBuf::from);
        let saved = self.saved.iter().map(|entry| PathBuf::from(&entry.file));
        // Of a redraft that did not write down which it holds.
        let named = self.pictures.iter().filter(|file| self.held.is_empty() && file.folder == "input");
        let held = self.held.iter().chain(named.map(|file| &file.name));
        usual.into_iter().chain(saved).chain(held.map(|name| Path::new(INPUT).join(name))).collect()
    }
}

/// BLAKE3 of a workflow, whatever spaces and line ends its file has.
pub(crate) fn digest_of_prompt(prompt: &Json) -> String {
    blake3::hash(prompt.to_string().as_bytes()).to_hex().to_string()
}

impl Surroundings {
    /// Those of this process, on a device with numerics.
    pub(crate) fn now(numerics: &redraft_nodes::ops::numerics::Numerics) -> Self {
        let device = match numerics.device {
            tch::Device::Cpu => "cpu".to_owned(),
            tch::Device::Cuda(number) => format!("cuda:{number}"),
            other => format!("{other:?}"),
        };
        Self {
            redraft: env!("CARGO_PKG_VERSION").to_owned(),
            device,
            numerics: numerics.describe(),
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(1),
            cpu: cpu(),
            environment: Some(environment()),
        }
    }

    /// What is other than it was: its name, what it is now, and what it was.
    pub(crate) fn changed(&self, before: &Self) -> Vec<(&'static str, String, String)> {
        let all = [
            ("redraft", self.redraft.clone(), before.redraft.clone()),
            ("device", self.device.clone(), before.device.clone()),
            ("numerics", self.numerics.clone(), before.numerics.clone()),
            ("threads", self.threads.to_string(), before.threads.to_string()),
            ("cpu", self.cpu.clone(), before.cpu.clone()),
        ];
        let environments = self.environment.iter().zip(&before.environment);
        let environments = environments.map(|(now, before)| ("environment", now.clone(), before.clone()));
        all.into_iter().chain(environments).filter(|(_, now, before)| now != before).collect()
    }

    /// The same in words; empty if nothing is.
    pub(crate) fn differences(&self, before: &Self) -> String {
        let changed = self.changed(before).into_iter();
        let changed: Vec<_> = changed.map(|(what, now, before)| format!("{what} {now}, then {before}")).collect();
        if changed.is_empty() { String::new() } else { format!("recorded elsewhere ({})", changed.join("; ")) }
    }
}

/// The variables that choose among libtorch's kernels, as a shell would set them.
fn environment() -> String {
    let all = redraft_nodes::ops::numerics::choosing_variables().into_iter();
    let all: Vec<_> = all.map(|(name, value)| format!("{name}={value}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

/// What decides which of libtorch's kernels run.
fn cpu() -> String {
    if let Ok(asked) = std::env::var("ATEN_CPU_CAPABILITY") {
        return asked;
    }
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512".to_owned();
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2".to_owned();
        }
    }
    std::env::consts::ARCH.to_owned()
}
