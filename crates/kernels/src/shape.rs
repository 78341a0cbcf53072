//! The sizes of a convolution, and the way its result reaches the output.

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Number of samples.
    pub batch: usize,
    /// Number of channels of the input.
    pub in_channels: usize,
    /// Number of channels of the output.
    pub out_channels: usize,
    /// Number of rows of the image.
    pub height: usize,
    /// Number of points in a row.
    pub width: usize,
    /// Side of the square kernel, odd.
    pub kernel: usize,
}

impl ConvShape {
    /// Returns the number of values of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.pixels()
    }

    /// Returns the number of values of the output.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.pixels()
    }

    /// Returns the number of values of the weight.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.taps()
    }

    /// Returns the shape of the convolution whose forward pass is this one's gradient of the input.
    pub(crate) fn transposed(&self) -> Self {
        Self { in_channels: self.out_channels, out_channels: self.in_channels, ..*self }
    }

    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch * self.pixels() == 0
    }
}

/// The way in which a result reaches the output array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accumulate {
    /// The result overwrites the array.
    Write,
    /// The result is added to the array.
    Add,
}

impl Accumulate {
    #[inline(always)]
    pub(crate) fn store(self, from: &[f32], to: &mut [f32]) {
        match self {
            Self::Write => to.copy_from_slice(from),
            Self::Add => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
        }
    }
}
