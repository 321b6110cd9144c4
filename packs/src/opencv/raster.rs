use anyhow::{Result, ensure};
use redraft_engine::memory;

/// Fails when the work shall end.
pub(crate) type Going<'a> = &'a dyn Fn() -> Result<()>;

/// A picture: rows of pixels of `channels` values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raster<T> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    pub(crate) values: Vec<T>,
}

impl<T: Copy + Default> Raster<T> {
    /// A picture of zeros.
    ///
    /// # Errors
    /// If a side is 0, or there is too little memory.
    pub(crate) fn blank(width: usize, height: usize, channels: usize) -> Result<Self> {
        ensure!(width > 0 && height > 0, "a picture of {width} × {height} pixels cannot be made; use larger pictures");
        let count = width.checked_mul(height).and_then(|count| count.checked_mul(channels)).unwrap_or(usize::MAX);
        memory::ask(count.saturating_mul(size_of::<T>()), "a picture")?;
        Ok(Self { width, height, channels, values: vec![T::default(); count] })
    }

    /// The values of a row.
    pub(crate) fn stride(&self) -> usize {
        self.width * self.channels
    }

    pub(crate) fn row(&self, y: usize) -> &[T] {
        let stride = self.stride();
        &self.values[y * stride..][..stride]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[T]> {
        self.values.chunks_exact(self.stride())
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [T]> {
        let stride = self.stride();
        self.values.chunks_exact_mut(stride)
    }

    /// Each value, or each pixel, as something else: `channels` values are made of every pixel.
    ///
    /// # Errors
    /// If there is too little memory, or `going` fails.
    pub(crate) fn pixels<U: Copy + Default>(
        &self,
        channels: usize,
        going: Going,
        mut make: impl FnMut(&[T], &mut [U]),
    ) -> Result<Raster<U>> {
        let mut made = Raster::blank(self.width, self.height, channels)?;
        for (row, into) in self.rows().zip(made.rows_mut()) {
            going()?;
            for (pixel, into) in row.chunks_exact(self.channels).zip(into.chunks_exact_mut(channels)) {
                make(pixel, into);
            }
        }
        Ok(made)
    }

    /// One channel.
    ///
    /// # Errors
    /// If there is too little memory, or `going` fails.
    pub(crate) fn channel(&self, number: usize, going: Going) -> Result<Self> {
        self.pixels(1, going, |pixel, into: &mut [T]| into.copy_from_slice(&pixel[number..=number]))
    }

    /// The part that begins at the left and top with this size at most.
    ///
    /// # Errors
    /// If there is too little memory, or `going` fails.
    pub(crate) fn corner(&self, width: usize, height: usize, going: Going) -> Result<Self> {
        self.cut((0, 0), (width, height), going)
    }

    /// The part that begins at (left, top), as far as the picture reaches.
    ///
    /// # Errors
    /// If nothing is left, there is too little memory, or `going` fails.
    pub(crate) fn cut(
        &self,
        (left, top): (usize, usize),
        (width, height): (usize, usize),
        going: Going,
    ) -> Result<Self> {
        let width = width.min(self.width.saturating_sub(left));
        let height = height.min(self.height.saturating_sub(top));
        let mut part = Self::blank(width, height, self.channels)?;
        let (first, count) = (left * self.channels, part.stride());
        for (row, into) in self.rows().skip(top).zip(part.rows_mut()) {
            going()?;
            into.copy_from_slice(&row[first..][..count]);
        }
        Ok(part)
    }
}
