//! Whole `.safetensors` files of plain tensors: what `--dump` writes and `verify` reads.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use redraft_engine::memory;
use safetensors::{Dtype, View};
use tch::{Device, Kind, Tensor};

use super::weights_file::WeightsFile;

/// The element types that files hold.
pub(crate) const KINDS: [(Kind, Dtype); 8] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

/// All tensors of a file, in the element types it stores.
pub fn load(path: &Path) -> Result<IndexMap<String, Tensor>> {
    Ok(load_with_texts(path)?.0)
}

/// All tensors of a file, in the element types it stores, and the texts in its header.
pub fn load_with_texts(path: &Path) -> Result<(IndexMap<String, Tensor>, BTreeMap<String, String>)> {
    let file = WeightsFile::open(path)?;
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let tensor = |name: &String| file.tensor(name, file.kind(name)?, Device::Cpu);
    let tensors = names.iter().map(|name| Ok((name.clone(), tensor(name)?))).collect::<Result<_>>()?;
    Ok((tensors, file.metadata().clone()))
}

/// Writes tensors into a file, which is half a file until this returns: write aside and rename.
pub fn save<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<()> {
    save_with_texts(path, tensors, HashMap::new())
}

/// As [`save`], with texts in the header.
pub fn save_with_texts<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    texts: HashMap<String, String>,
) -> Result<()> {
    let stored = tensors.into_iter().map(|(name, tensor)| Ok((name, Stored::new(name, tensor)?)));
    let stored = stored.collect::<Result<Vec<_>>>()?;
    let texts = (!texts.is_empty()).then_some(texts);
    safetensors::serialize_to_file(stored, texts, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Tensors and texts as the bytes of a file.
pub fn to_bytes<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let stored = tensors.into_iter().map(|(name, tensor)| Ok((name, Stored::new(name, tensor)?)));
    let stored = stored.collect::<Result<Vec<_>>>()?;
    let bytes: u64 = stored.iter().map(|(_, tensor)| tensor.data_len() as u64).sum();
    // The file, and beside it the tensor that is being written.
    memory::ask(bytes.saturating_mul(2), "the file of tensors")?;
    let metadata = (!metadata.is_empty()).then_some(metadata);
    Ok(safetensors::serialize(stored, metadata)?)
}

/// A tensor with its memory in one piece on the CPU.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    tensor: Tensor,
}

impl Stored {
    fn new(name: &str, tensor: &Tensor) -> Result<Self> {
        let kind = tensor.kind();
        let Some((_, dtype)) = KINDS.into_iter().find(|(of, _)| *of == kind) else {
            bail!("tensor {name} has element type {kind:?}, which a safetensors file does not store");
        };
        let shape = tensor.size().into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
        Ok(Self { dtype, shape, tensor: tensor.to_device(Device::Cpu).contiguous() })
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        self.tensor.copy_data_u8(&mut bytes, self.tensor.numel());
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let tensors = [
            ("7/0", Tensor::from_slice(&[1.5f32, f32::NAN]).view([2, 1])),
            ("7/1/samples", Tensor::from_slice(&[1i64, -2]).transpose(0, 0)),
            ("empty", Tensor::zeros([0, 4], (Kind::Half, Device::Cpu))),
        ];
        let texts = HashMap::from([("order".to_owned(), "[7]".to_owned())]);
        save_with_texts(&path, tensors.iter().map(|(name, tensor)| (*name, tensor)), texts.clone()).unwrap();
        let (read, read_texts) = load_with_texts(&path).unwrap();
        assert!(read_texts.into_iter().eq(texts));
        assert_eq!(read.len(), 3);
        assert_eq!(read["7/0"].size(), [2, 1]);
        assert_eq!(read["7/0"].double_value(&[0, 0]), 1.5);
        assert_eq!(read["7/1/samples"], tensors[1].1);
        assert_eq!((read["empty"].size(), read["empty"].kind()), (vec![0, 4], Kind::Half));
    }
}
