//! Numbers in one piece.

use std::borrow::Cow;

pub use safetensors::Dtype;

/// Numbers in one piece: their type, their shape, and their bytes, little-endian, the last dimension closest.
#[derive(Clone, Debug, PartialEq)]
pub struct Blob<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Blob<'a> {
    /// Nothing if the bytes are more or fewer than the shape wants.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: impl Into<Cow<'a, [u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
        let wanted = count.checked_mul(dtype.bitsize())?;
        (wanted == bytes.len().checked_mul(8)?).then_some(Self { dtype, shape, bytes })
    }

    /// A row of numbers.
    pub fn of<T: Element>(numbers: &[T]) -> Self {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_bytes()).collect();
        Self { dtype: T::DTYPE, shape: vec![numbers.len()], bytes: bytes.into() }
    }

    /// The numbers of a row; nothing if they are of another type, or no row.
    pub fn numbers<T: Element>(&self) -> Option<Vec<T>> {
        let fits = self.dtype == T::DTYPE && self.shape.len() == 1;
        fits.then(|| self.bytes.chunks_exact(T::DTYPE.bitsize() / 8).filter_map(T::from_bytes).collect())
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl safetensors::View for &Blob<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A type of number that a row may hold.
pub trait Element: Copy {
    const DTYPE: Dtype;

    fn to_bytes(self) -> Vec<u8>;

    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! elements {
    ($($ty:ty: $dtype:ident),*) => { $(impl Element for $ty {
        const DTYPE: Dtype = Dtype::$dtype;

        fn to_bytes(self) -> Vec<u8> {
            self.to_le_bytes().to_vec()
        }

        fn from_bytes(bytes: &[u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_le_bytes)
        }
    })* };
}
elements!(f32: F32, f64: F64, i64: I64, u8: U8);
