//! One recorded case: what it runs, what it expects, how near is near enough.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indexmap::IndexMap;
use redraft_nodes::files::tensor_file;
use serde_json::{Map, Value as Json, json};
use tch::{Kind, Tensor};

use crate::dump::Taken;

pub(crate) struct Case {
    pub(crate) workflow: PathBuf,
    /// The largest difference allowed, over the largest expected value or 1.
    pub(crate) tolerance: f64,
    tensors: IndexMap<String, Tensor>,
    plain: Map<String, Json>,
}

/// The first output, in execution order, that differs from what is expected.
pub(crate) struct Difference {
    key: String,
    /// Over the largest expected value or 1; infinite where a value or a shape is missing.
    size: f64,
    tolerance: f64,
    what: String,
}

impl Case {
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let object = |name: &str| -> anyhow::Result<Map<String, Json>> {
            let path = folder.join(name);
            let text = fs_err::read_to_string(&path)?;
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON object", path.display()))
        };
        let named =
            ["prompt.json", "workflow.json"].map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
        let Some(workflow) = named else {
            bail!("{}: a case needs a prompt.json or a workflow.json", folder.display());
        };
        let settings = object("case.json")?;
        let Some(tolerance) = settings.get("tolerance").and_then(Json::as_f64) else {
            bail!("{}: case.json has no tolerance", folder.display());
        };
        let expected = folder.join("expected.safetensors");
        let tensors = if expected.is_file() { tensor_file::load(&expected)? } else { IndexMap::new() };
        let plain = if folder.join("expected.json").is_file() { object("expected.json")? } else { Map::new() };
        if tensors.is_empty() && plain.is_empty() {
            bail!("{}: a case needs an expected.safetensors or an expected.json that is not empty", folder.display());
        }
        Ok(Self { workflow, tolerance, tensors, plain })
    }

    /// The largest difference, and the first one beyond the tolerance.
    pub(crate) fn compare(&self, taken: &Taken) -> anyhow::Result<(f64, Option<Difference>)> {
        let mut differences = Vec::new();
        for (key, expected) in &self.tensors {
            let (size, what) = match taken.tensors.get(key) {
                None => (f64::INFINITY, "no such output".to_owned()),
                Some(found) => distance(expected, found),
            };
            differences.push(Difference { key: key.clone(), size, tolerance: self.tolerance, what });
        }
        for (key, expected) in &self.plain {
            let found = taken.plain.get(key).unwrap_or(&Json::Null);
            let same = equal(expected, found);
            let what = format!("expected {expected}, found {found}");
            let size = if same { 0.0 } else { f64::INFINITY };
            differences.push(Difference { key: key.clone(), size, tolerance: self.tolerance, what });
        }
        let largest = differences.iter().map(|d| d.size).fold(0.0, f64::max);
        let place = |d: &Difference| {
            let node = d.key.split('/').next().unwrap_or_default();
            taken.order.iter().position(|id| id.as_str() == node).unwrap_or(usize::MAX)
        };
        differences.retain(|d| d.size.is_nan() || d.size > self.tolerance);
        differences.sort_by_key(place);
        Ok((largest, differences.into_iter().next()))
    }
}

/// The largest difference over the largest expected value or 1, and the words for it. NaN equals NaN.
fn distance(expected: &Tensor, found: &Tensor) -> (f64, String) {
    if expected.size() != found.size() {
        let what = format!("expected the shape {:?}, found {:?}", expected.size(), found.size());
        return (f64::INFINITY, what);
    }
    if expected.numel() == 0 {
        return (0.0, String::new());
    }
    let (expected, found) = (expected.to_kind(Kind::Double), found.to_kind(Kind::Double));
    let same = expected.eq_tensor(&found).logical_or(&expected.isnan().logical_and(&found.isnan()));
    let difference = (&expected - &found).abs().masked_fill(&same, 0.0);
    let finite = expected.abs().masked_fill(&expected.isfinite().logical_not(), 0.0);
    let scale = finite.max().double_value(&[]).max(1.0);
    let largest = difference.max().double_value(&[]);
    let size = if largest.is_nan() { f64::INFINITY } else { largest / scale };
    (
        size,
        format!("largest difference {size:.3e} (mean {:.3e})", difference.mean(Kind::Double).double_value(&[]) / scale),
    )
}

/// Whether two JSON values are equal; numbers up to the precision of float32.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => a == b || (x - y).abs() <= 1e-6 * x.abs().max(1.0),
            _ => false,
        },
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| equal(v, w)))
        }
        (a, b) => a == b,
    }
}

impl Difference {
    pub(crate) fn to_json(&self) -> Json {
        json!({ "key": self.key, "difference": self.size, "tolerance": self.tolerance, "what": self.what })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.key.splitn(3, '/');
        let (node, slot) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let part = parts.next().map(|part| format!(" ({part})")).unwrap_or_default();
        write!(f, "node {node}, slot {slot}{part}: {}, tolerance {:.1e}", self.what, self.tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(a: &[f32], b: &[f32]) -> f64 {
        distance(&Tensor::from_slice(a), &Tensor::from_slice(b)).0
    }

    #[test]
    fn differences_are_measured_against_the_largest_value() {
        assert_eq!(size(&[0.5, 0.25], &[0.5, 0.5]), 0.25);
        assert_eq!(size(&[-4.0, 0.0], &[-4.0, 1.0]), 0.25);
        assert_eq!(size(&[f32::NAN, f32::INFINITY], &[f32::NAN, f32::INFINITY]), 0.0);
        assert_eq!(size(&[1.0], &[f32::NAN]), f64::INFINITY);
        assert_eq!(size(&[1.0], &[1.0, 1.0]), f64::INFINITY);
    }

    #[test]
    fn plain_values_are_compared_by_meaning() {
        assert!(equal(&json!([1, 0.8, "a"]), &json!([1, 0.800_000_001, "a"])));
        assert!(!equal(&json!([1]), &json!([1, 2])) && !equal(&json!(1), &json!("1")));
    }
}
