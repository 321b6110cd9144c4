//! Writing `.safetensors` files whose tensors are made one after the other, as each is written.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use redraft_engine::memory;
use safetensors::{Dtype, View};
use tch::{Device, Kind, Tensor};

use super::tensor_file::KINDS;

/// A tensor that is to be written.
pub struct Pending {
    pub name: String,
    pub kind: Kind,
    pub shape: Vec<i64>,
    /// Makes it, in this shape; its element type is converted.
    pub make: Box<dyn Fn() -> Result<Tensor>>,
}

impl Pending {
    /// A tensor that is there.
    pub fn of(name: impl Into<String>, tensor: Tensor) -> Self {
        let (kind, shape) = (tensor.kind(), tensor.size());
        Self { name: name.into(), kind, shape, make: Box::new(move || Ok(tensor.shallow_clone())) }
    }

    /// The same under another name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// How many bytes it takes in the file.
    pub fn bytes(&self) -> u64 {
        memory::product(&self.shape, self.kind.elt_size_in_bytes() as u64)
    }

    /// How many bytes of memory it takes while it is written: as it is made in float32, as it is held, and as it is in the file.
    fn bytes_while_written(&self) -> u64 {
        memory::product(&self.shape, 4).saturating_add(self.bytes().saturating_mul(2))
    }
}

/// The 8-bit types, which files of plain tensors do not have.
const EIGHT_BITS: [(Kind, Dtype); 4] = [
    (Kind::Float8e4m3fn, Dtype::F8_E4M3),
    (Kind::Float8e5m2, Dtype::F8_E5M2),
    (Kind::Int8, Dtype::I8),
    (Kind::Int16, Dtype::I16),
];

/// Writes tensors and texts into a file, which is half a file until this returns: write aside and rename.
///
/// One tensor after the other is in memory. `check` is asked before each of them; its error ends the writing.
///
/// # Errors
/// If a tensor cannot be made, or has another shape than was said; if two have one name; if the disk is full.
pub fn write(
    path: &Path,
    tensors: &[Pending],
    texts: HashMap<String, String>,
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let failed = RefCell::new(None);
    let stored = tensors.iter().map(|pending| Ok((pending.name.as_str(), Stored::new(pending, check, &failed)?)));
    let mut stored = stored.collect::<Result<Vec<_>>>()?;
    stored.sort_unstable_by_key(|(name, _)| *name);
    if let Some([(name, _), _]) = stored.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(anyhow!("two tensors of the file would have the name {name}"));
    }
    let texts = (!texts.is_empty()).then_some(texts);
    let written = safetensors::serialize_to_file(stored, texts, path);
    match failed.take() {
        Some(error) => Err(error),
        None => written
            .with_context(|| format!("cannot write {}: check the folder's permissions and space", path.display())),
    }
}

struct Stored<'a> {
    pending: &'a Pending,
    dtype: Dtype,
    shape: Vec<usize>,
    check: &'a dyn Fn() -> Result<()>,
    /// What went wrong first. The rest of the file is written without its numbers, and thrown away.
    failed: &'a RefCell<Option<anyhow::Error>>,
}

impl<'a> Stored<'a> {
    fn new(
        pending: &'a Pending,
        check: &'a dyn Fn() -> Result<()>,
        failed: &'a RefCell<Option<anyhow::Error>>,
    ) -> Result<Self> {
        let Pending { name, kind, shape, .. } = pending;
        let dtype = KINDS.iter().chain(&EIGHT_BITS).find(|(of, _)| of == kind).map(|(_, dtype)| *dtype);
        let dtype =
            dtype.with_context(|| format!("tensor {name} has element type {kind:?}, which a file does not store"))?;
        let shape = shape.iter().map(|size| usize::try_from(*size)).collect::<Result<_, _>>()?;
        Ok(Self { pending, dtype, shape, check, failed })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        (self.check)()?;
        let Pending { name, kind, shape, make } = self.pending;
        memory::ask(self.pending.bytes_while_written(), "a tensor that is being saved")?;
        let tensor = make()?.to_device(Device::Cpu).to_kind(*kind).contiguous();
        ensure!(tensor.size() == *shape, "{name} was to have shape {shape:?}, and has {:?}", tensor.size());
        let mut bytes = vec![0; self.data_len()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(bytes)
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.failed.borrow().is_some() {
            return Cow::Borrowed(&[]);
        }
        Cow::Owned(self.bytes().unwrap_or_else(|error| {
            *self.failed.borrow_mut() = Some(error);
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.pending.kind.elt_size_in_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::tensor_file;

    fn pending(name: &str, make: impl Fn() -> Result<Tensor> + 'static) -> Pending {
        Pending { name: name.to_owned(), kind: Kind::Half, shape: vec![2], make: Box::new(make) }
    }

    #[test]
    fn tensors_are_made_as_they_are_written_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let column = Tensor::from_slice(&[1.5f32, 7.0, -2.0, 7.0]).view([2, 2]).select(1, 0);
        let all = [
            pending("b", move || Ok(column.shallow_clone())),
            Pending::of("a", Tensor::zeros([0], (Kind::Float, Device::Cpu))),
            Pending::of("c", Tensor::from_slice(&[3i64])),
        ];
        let texts = HashMap::from([("prompt".to_owned(), "{}".to_owned())]);
        write(&path, &all, texts, &|| Ok(())).unwrap();
        let (read, texts) = tensor_file::load_with_texts(&path).unwrap();
        assert_eq!(texts["prompt"], "{}");
        assert_eq!(read.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((read["b"].kind(), Vec::<f64>::try_from(&read["b"]).unwrap()), (Kind::Half, vec![1.5, -2.0]));
    }

    #[test]
    fn what_goes_wrong_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let fails = |all: &[Pending], check: &dyn Fn() -> Result<()>| {
            write(&path, all, HashMap::new(), check).unwrap_err().to_string()
        };
        let fine = || pending("a", || Ok(Tensor::zeros([2], (Kind::Float, Device::Cpu))));
        let fine_check: &dyn Fn() -> Result<()> = &|| Ok(());
        assert_eq!(fails(&[fine(), pending("b", || Err(anyhow!("gone")))], fine_check), "gone");
        assert_eq!(fails(&[fine(), fine()], fine_check), "two tensors of the file would have the name a");
        assert_eq!(fails(&[fine()], &|| Err(anyhow!("cancelled"))), "cancelled");
        let other = pending("a", || Ok(Tensor::zeros([3], (Kind::Float, Device::Cpu))));
        assert_eq!(fails(&[other], fine_check), "a was to have shape [2], and has [3]");
        let large = Pending { shape: vec![1 << 40, 1 << 40], ..fine() };
        assert_eq!((large.bytes(), large.bytes_while_written()), (u64::MAX, u64::MAX));
    }

    #[test]
    fn three_copies_are_there_while_one_is_written() {
        assert_eq!((pending("a", || Err(anyhow!(""))).bytes_while_written()), 2 * 4 + 2 * 2 + 2 * 2);
    }
}
