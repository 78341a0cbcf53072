//! A stack of scalar fields on one grid.

/// Scalar fields on one grid, in C order `[channel, y, x]` and physical units.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    /// Number of fields.
    pub channels: usize,
    /// Points along y (instants of time for Burgers).
    pub height: usize,
    /// Points along x.
    pub width: usize,
    /// The values, `channels * height * width` of them.
    pub data: Vec<f64>,
}

impl Fields {
    /// Returns fields of zeros.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, data: vec![0.0; channels * height * width] }
    }

    /// Stacks fields of `height * width` values each.
    pub fn stack(height: usize, width: usize, fields: &[&[f64]]) -> Self {
        Self { channels: fields.len(), height, width, data: fields.concat() }
    }

    /// Returns the values of field `c`, row by row.
    pub fn channel(&self, c: usize) -> &[f64] {
        let n = self.height * self.width;
        &self.data[c * n..(c + 1) * n]
    }

    /// Returns the values of field `c`, row by row, to be changed.
    pub fn channel_mut(&mut self, c: usize) -> &mut [f64] {
        let n = self.height * self.width;
        &mut self.data[c * n..(c + 1) * n]
    }

    /// Tells whether every value is finite.
    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|v| v.is_finite())
    }
}
