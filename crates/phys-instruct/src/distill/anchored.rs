//! The loss of anchored guidance, the phase of a student's training after matching.
//!
//! Matching settles the distribution of the fields. But its noisy gradient is added to that of the
//! guidance, which stops the pull onto the PDE long before the network is at its limit.
//!
//! After matching, the distribution of the solution follows from that of the input by the equation.
//! It is therefore enough to hold the input to the input that the matched student makes of the same
//! noise, the anchor. Guidance moves the solution alone. No teacher and no auxiliary model take
//! part: a step costs a seventh of a matching step.
//!
//! Let a be the input of a sample, a* that of its anchor, R the residual, P the preconditioner,
//! and w_R and w_P the weights. The loss is the mean over samples of three relative errors:
//!
//! ```text
//! |a - a*| / |a*|  +  w_R |R| / |source|  +  w_P |P^-1 R| / |P^-1 source|
//! ```
//!
//! The input is detached in R. With `distill.round_input` it is rounded in R too.
//!
//! The input may be the first line of the only channel. The relative error of its modes is then
//! added to the first term, each mode in units of the data's deviation. High modes have almost no
//! share of |a| and would be free otherwise.

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};

use crate::config::AnchoredConfig;
use crate::distill::calibration::FirstLine;
use crate::parts::Parts;
use crate::residual::{Residual, ResidualOptions};

/// The three relative errors, means over the batch.
pub struct AnchoredTerms {
    /// The relative distance of the input from the anchor's.
    pub input: Tensor<1>,
    /// The relative residual.
    pub residual: Tensor<1>,
    /// The preconditioned relative residual.
    pub preconditioned: Tensor<1>,
}

impl AnchoredTerms {
    /// The weighted sum of the three errors.
    pub fn loss(&self, config: &AnchoredConfig) -> Tensor<1> {
        self.input.clone()
            + self.residual.clone() * config.residual_weight
            + self.preconditioned.clone() * config.preconditioned_weight
    }

    /// The figures of a step with samples of `calls` network calls, for the metrics file.
    pub fn figures(&self, calls: usize) -> Map<String, Value> {
        let scalar = |v: &Tensor<1>| json!(v.clone().detach().into_scalar::<f32>());
        Map::from_iter([
            ("calls".to_owned(), json!(calls)),
            ("input_distance".to_owned(), scalar(&self.input)),
            ("residual".to_owned(), scalar(&self.residual)),
            ("preconditioned".to_owned(), scalar(&self.preconditioned)),
        ])
    }
}

/// The errors of the samples `x` `[batch, channel, y, x]`, in physical units.
///
/// `anchor`, of the same shape, holds the samples that the matched student makes of the same noise.
/// `line` holds the statistics of the first line, if the input is that line.
pub fn terms(
    residual: &dyn Residual,
    parts: &Parts,
    round_input: bool,
    line: Option<&FirstLine>,
    x: Tensor<4>,
    anchor: Tensor<4>,
) -> AnchoredTerms {
    let [input, held] = [x.clone(), anchor].map(|x| parts.input(x));
    let modes = line
        .map(|line| relative_distance(line.whitened(input.clone()), line.whitened(held.clone())));
    let distance = relative_distance(input, held);
    let x = if round_input { parts.rounded(x) } else { x };
    let error = |preconditioned| {
        let options = ResidualOptions { detach_input: true, preconditioned };
        residual.terms(x.clone(), options).relative().mean()
    };
    AnchoredTerms {
        input: modes.map_or(distance.clone(), |modes| distance + modes).mean(),
        residual: error(false),
        preconditioned: error(true),
    }
}

/// |a - b| / |b| of each sample, `[batch]`.
pub(super) fn relative_distance(a: Tensor<4>, b: Tensor<4>) -> Tensor<1> {
    let norm = |t: Tensor<4>| (t.square().mean_dims(&[1, 2, 3]) + 1e-30).sqrt().flatten::<1>(0, 3);
    norm(a - b.clone()) / norm(b)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::{Device, TensorData};
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::net::params::values;
    use crate::testing::samples_from;

    fn exact(pde: &str) -> (Box<dyn Residual>, Parts, Tensor<4>) {
        let pde = by_name(pde).unwrap();
        let samples = samples_from(pde.as_ref(), 3, 16, 1);
        let shape = [3, samples.channels.len(), 16, 16];
        let x = Tensor::from_data(TensorData::new(samples.data, shape), &Device::flex());
        let residual = crate::problem::residual(pde.as_ref(), Grid::square(16), &Device::flex());
        (residual.unwrap(), Parts::of(pde.as_ref()), x)
    }

    fn scalar(t: Tensor<1>) -> f64 {
        f64::from(t.into_scalar::<f32>())
    }

    #[test]
    fn exact_samples_at_their_anchor_have_no_loss() {
        for (pde, floor) in [("poisson", 1e-4), ("burgers", 5e-3)] {
            let (residual, parts, x) = exact(pde);
            let config = AnchoredConfig::default();
            let terms = terms(residual.as_ref(), &parts, false, None, x.clone(), x);
            assert!(scalar(terms.loss(&config)) < floor, "{pde}");
        }
    }

    #[test]
    fn the_residual_moves_the_solution_and_the_anchor_the_input() {
        let (residual, parts, x) = exact("poisson");
        let gradient = |loss: fn(&AnchoredTerms) -> Tensor<1>| {
            let [a, u] = [0, 1].map(|c| x.clone().narrow(1, c, 1));
            let leaf = Tensor::cat(vec![a * 1.1, u * 1.3], 1).autodiff().require_grad();
            let anchor = x.clone().autodiff();
            let loss = loss(&terms(residual.as_ref(), &parts, false, None, leaf.clone(), anchor));
            let size = |t: Tensor<4>| values(t).iter().map(|v| v.abs()).sum::<f32>();
            let all = leaf.grad(&loss.backward()).unwrap();
            [0, 1].map(|c| size(all.clone().narrow(1, c, 1)))
        };
        let [input, solution] = gradient(|terms| terms.input.clone());
        assert!(input > 0.0 && solution == 0.0);
        let pulls: [fn(&AnchoredTerms) -> Tensor<1>; 2] =
            [|terms| terms.residual.clone(), |terms| terms.preconditioned.clone()];
        for pull in pulls {
            let [input, solution] = gradient(pull);
            assert!(input == 0.0 && solution > 0.0, "{input} {solution}");
        }
    }

    #[test]
    fn the_distance_is_relative_and_per_sample() {
        let (residual, parts, x) = exact("burgers");
        let terms = terms(residual.as_ref(), &parts, false, None, x.clone() * 1.25, x);
        assert!((scalar(terms.input) - 0.25).abs() < 1e-5);
    }

    #[test]
    fn a_line_s_high_modes_count_as_much_as_its_low_ones() {
        let (residual, parts, x) = exact("burgers");
        let pde = by_name("burgers").unwrap();
        let data = samples_from(pde.as_ref(), 64, 16, 2);
        let line = FirstLine::of(&data, pde.as_ref(), &Device::flex());
        let wave = |k: f64| {
            let values: Vec<f32> =
                (0..16).map(|i| (std::f64::consts::PI * k * i as f64 / 8.0).cos() as f32).collect();
            let first =
                Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, 16]), &Device::flex());
            Tensor::cat(vec![first, Tensor::zeros([1, 1, 15, 16], &Device::flex())], 2)
        };
        let distance = |wave: Tensor<4>| {
            let off = x.clone() + wave * 1e-3;
            scalar(terms(residual.as_ref(), &parts, false, line.as_ref(), off, x.clone()).input)
        };
        assert!(distance(wave(6.0)) > 5.0 * distance(wave(1.0)));
    }

    #[test]
    fn with_a_rounded_input_the_solution_is_pulled_to_that() {
        let (residual, parts, x) = exact("darcy");
        let [a, u] = [0, 1].map(|c| x.clone().narrow(1, c, 1));
        let off = Tensor::cat(vec![a * 1.1, u], 1);
        let error = |round| {
            scalar(terms(residual.as_ref(), &parts, round, None, off.clone(), x.clone()).residual)
        };
        assert!(error(true) < 1e-3 && error(false) > 0.05);
    }
}
