//! Safetensors files, read and written whole.

use std::path::Path;

use indexmap::IndexMap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The tensors of a file by their names.
#[derive(Clone)]
pub struct Tensors(pub IndexMap<String, Tensor>);

impl Tensors {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |view: TensorView| Tensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        Self(file.iter().map(|(name, view)| (name.to_owned(), tensor(view))).collect())
    }

    pub fn write(&self, path: &Path) {
        let views = self
            .0
            .iter()
            .map(|(name, tensor)| (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
        safetensors::serialize_to_file(views, None, path).unwrap();
    }

    /// Makes every value of the tensors whose names begin like this zero; there must be some.
    #[track_caller]
    pub fn zero(&mut self, prefix: &str) {
        let mut found = self.0.iter_mut().filter(|(name, _)| name.starts_with(prefix)).peekable();
        assert!(found.peek().is_some(), "there is no tensor {prefix}");
        found.for_each(|(_, tensor)| tensor.bytes.fill(0));
    }

    #[track_caller]
    pub fn shape(&self, name: &str) -> Vec<usize> {
        let names: Vec<_> = self.0.keys().collect();
        self.0.get(name).unwrap_or_else(|| panic!("there is no {name} among {names:?}")).shape.clone()
    }

    /// A tensor's values, which must be f32.
    #[track_caller]
    pub fn floats(&self, name: &str) -> Vec<f32> {
        let names: Vec<_> = self.0.keys().collect();
        let tensor = self.0.get(name).unwrap_or_else(|| panic!("there is no {name} among {names:?}"));
        assert_eq!(tensor.dtype, Dtype::F32, "{name}");
        tensor.bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }
}

/// The largest difference of two tensors' values.
#[track_caller]
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The Euclidean distance.
#[track_caller]
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}
