//! The observation operator on tensors.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::condition::Observations;
use crate::condition::observations::Observation;
use crate::condition::observations::place::Stencil;

/// The observation operator H: it takes the observed values of fields.
pub struct Observed {
    /// The entries of all observations, the same number for each; shorter ones have weight 0.
    places: Tensor<1, Int>,
    /// The weights of the entries, `[1, point, entry]`; none if every observation is an entry
    /// itself.
    weights: Option<Tensor<3>>,
}

impl Observed {
    /// The operator of `observations`.
    pub fn new(observations: &Observations, device: &Device) -> Self {
        Self::at(observations.stencils(), device)
    }

    /// The operator that takes the values of `stencils` of a flat joint sample.
    pub fn at(stencils: &[Stencil], device: &Device) -> Self {
        let terms = |stencil: &Stencil| stencil.terms().len();
        let width = stencils.iter().map(terms).max().unwrap_or(0).max(1);

        // Shorter rows are filled up with entries of weight 0.
        let filled = |stencil: &Stencil| {
            let rest = std::iter::repeat_n((0, 0.0), width - terms(stencil));
            stencil.terms().iter().copied().chain(rest).collect::<Vec<_>>()
        };
        let all: Vec<(usize, f64)> = stencils.iter().flat_map(filled).collect();
        let places: Vec<i32> = all.iter().map(|&(entry, _)| entry as i32).collect();
        let places = Tensor::from_data(TensorData::new(places, [all.len()]), device);

        let plain = all.iter().all(|&(_, weight)| weight == 1.0);
        let weights: Vec<f32> = all.iter().map(|&(_, weight)| weight as f32).collect();
        let weights = TensorData::new(weights, [1, stencils.len(), width]);
        Self { places, weights: (!plain).then(|| Tensor::from_data(weights, device)) }
    }

    /// The observed values of fields `[member, channel, y, x]`, `[member, point]`; differentiable.
    pub fn of(&self, x: Tensor<4>) -> Tensor<2> {
        self.of_flat(x.flatten::<2>(1, 3))
    }

    /// The observed values of flat fields, `[member, entry]`.
    pub fn of_flat(&self, x: Tensor<2>) -> Tensor<2> {
        let seen = x.select(1, self.places.clone());
        let Some(weights) = &self.weights else { return seen };
        let [_, points, width] = weights.dims();
        let members = seen.dims()[0];
        let weighted = seen.reshape([members, points, width]) * weights.clone();
        weighted.sum_dim(2).reshape([members, points])
    }
}

/// A tensor with one number for each observation, `[1, point]`.
pub fn row(
    observations: &Observations,
    of: impl Fn(&Observation) -> f64,
    device: &Device,
) -> Tensor<2> {
    let data: Vec<f32> = observations.points().iter().map(|p| of(p) as f32).collect();
    let count = data.len();
    Tensor::from_data(TensorData::new(data, [1, count]), device)
}
