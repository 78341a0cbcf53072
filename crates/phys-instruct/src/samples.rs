//! Joint fields in memory, as data sets, samplers and metrics exchange them.

use burn::tensor::{Device, Tensor, TensorData};
#[cfg(doc)]
use phys_instruct_physics::InputLaw;
use phys_instruct_physics::{Fields, Grid, Pde};

use crate::{Error, Result};

/// A set of joint samples x in physical units, `f32`, C order `[sample, channel, y, x]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// The PDE's name.
    pub pde: String,
    /// The channels' names.
    pub channels: Vec<String>,
    /// The number of samples.
    pub count: usize,
    /// The number of points along y.
    pub height: usize,
    /// The number of points along x.
    pub width: usize,
    /// The lengths of the domain's sides along y and along x.
    pub sides: [f64; 2],
    /// The values.
    pub data: Vec<f32>,
}

impl Samples {
    /// The grid of every sample.
    pub fn grid(&self) -> Grid {
        let [ly, lx] = self.sides;
        Grid { ny: self.height, nx: self.width, ly, lx }
    }

    /// The number of values in one sample.
    pub fn sample_len(&self) -> usize {
        self.channels.len() * self.height * self.width
    }

    /// The values of sample `i`, `[channel, y, x]`.
    pub fn sample(&self, i: usize) -> &[f32] {
        let n = self.sample_len();
        &self.data[i * n..(i + 1) * n]
    }

    /// The values of field `c` of sample `i`, `[y, x]`.
    pub fn field(&self, i: usize, c: usize) -> &[f32] {
        let n = self.height * self.width;
        &self.sample(i)[c * n..(c + 1) * n]
    }

    /// The first sample with a value that is not finite.
    pub fn first_not_finite(&self) -> Option<usize> {
        let value = self.data.iter().position(|v| !v.is_finite())?;
        Some(value / self.sample_len())
    }

    /// Sample `i` in `f64`, in the form of the physics crate.
    pub fn fields(&self, i: usize) -> Fields {
        Fields {
            channels: self.channels.len(),
            height: self.height,
            width: self.width,
            data: self.sample(i).iter().map(|&v| f64::from(v)).collect(),
        }
    }

    /// Gathers solved fields on a grid.
    ///
    /// # Errors
    /// Fails if there is no sample, and for a sample of another shape.
    pub fn from_fields(
        pde: &str,
        channels: &[impl AsRef<str>],
        grid: Grid,
        fields: &[Fields],
    ) -> Result<Self> {
        if fields.is_empty() {
            return Err(Error::Shape("no samples".into()));
        }

        let shape = (channels.len(), grid.ny, grid.nx);
        if let Some(odd) = fields.iter().find(|f| (f.channels, f.height, f.width) != shape) {
            let got = (odd.channels, odd.height, odd.width);
            return Err(Error::Shape(format!("a sample of shape {got:?} among {shape:?}")));
        }

        let values = fields.iter().flat_map(|f| f.data.iter().map(|&v| v as f32));
        Self::on_grid(pde, channels, grid, values.collect())
    }

    /// The samples on a grid with these values, `[sample, channel, y, x]`.
    ///
    /// # Errors
    /// Fails unless the values fill whole samples.
    pub fn on_grid(
        pde: &str,
        channels: &[impl AsRef<str>],
        grid: Grid,
        data: Vec<f32>,
    ) -> Result<Self> {
        let length = channels.len() * grid.points();
        if length == 0 || !data.len().is_multiple_of(length) {
            let reason = format!("{} values for samples of {length}", data.len());
            return Err(Error::Shape(reason));
        }

        Ok(Self {
            pde: pde.into(),
            channels: channels.iter().map(|c| c.as_ref().to_owned()).collect(),
            count: data.len() / length,
            height: grid.ny,
            width: grid.nx,
            sides: grid.sides(),
            data,
        })
    }

    /// A copy of the samples in `range`.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let n = self.sample_len();
        Self {
            count: range.len(),
            data: self.data[range.start * n..range.end * n].to_vec(),
            ..self.empty_like()
        }
    }

    /// Returns the samples with an input of two values ([`InputLaw::two_values`]) rounded to the
    /// nearer of them. They are unchanged if the law has no such values.
    #[must_use]
    pub fn with_input_rounded(mut self, pde: &dyn Pde) -> Self {
        if let Some(two) = pde.input_law().two_values() {
            let len = self.sample_len().max(1);
            let entries = pde.layout().input.entries(self.height, self.width);
            for sample in self.data.chunks_mut(len) {
                entries.iter().for_each(|&e| sample[e] = two.nearest(sample[e].into()) as f32);
            }
        }
        self
    }

    /// The samples as a tensor, `[sample, channel, y, x]`.
    pub fn into_tensor(self, device: &Device) -> Tensor<4> {
        let shape = [self.count, self.channels.len(), self.height, self.width];
        Tensor::from_data(TensorData::new(self.data, shape), device)
    }

    fn empty_like(&self) -> Self {
        Self {
            pde: self.pde.clone(),
            channels: self.channels.clone(),
            count: 0,
            height: self.height,
            width: self.width,
            sides: self.sides,
            data: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::samples_of;
    use phys_instruct_physics::registry::by_name;

    #[test]
    fn only_an_input_of_two_values_is_rounded() {
        let samples = samples_of(2, 2, 1, 2, vec![2.0, 7.4, 0.1, 0.2, 7.6, 20.0, 0.3, 0.4]);
        let darcy = by_name("darcy").unwrap();
        let rounded = samples.clone().with_input_rounded(darcy.as_ref());
        assert_eq!(rounded.data, [3.0, 3.0, 0.1, 0.2, 12.0, 12.0, 0.3, 0.4]);
        let poisson = by_name("poisson").unwrap();
        assert_eq!(samples.clone().with_input_rounded(poisson.as_ref()), samples);
    }
}
