//! Masked few-step refinement: the student's own steps, with what is observed put in between.
//!
//! A sample of one call is moved by the best linear step ([`Gain`]) so that it agrees with the
//! observations; noise of the next level is added and the student called again, which makes a
//! sample of the prior of it that is near the one before; and so on to the last level. At high
//! noise large structures follow the observations, at low noise the small ones. Nothing is
//! differentiated: K forward calls for each member of the ensemble, K of them in the plain form.
//! Each member aims at observations with errors of its own (randomised maximum likelihood).

use burn::tensor::Tensor;

use super::covariance::Gain;
use super::observed::{Aim, Observed};
use crate::diffusion::Denoiser;
use crate::diffusion::noise::Draw;
use crate::distill::Generator;
use crate::model::Model;

/// Members of the posterior, `[member, channel, y, x]`, and network calls behind each; `rounds`
/// calls at each level but the first.
pub(super) fn infer(
    model: &Model,
    gain: &Gain,
    observed: &Observed,
    aim: &Aim,
    rounds: usize,
    seed: u64,
) -> (Tensor<4>, usize) {
    let network = &model.network;
    let levels = &model.card.levels;
    let generator = Generator { denoiser: network, levels };
    let shape = aim.noise.dims();
    let consistent = |x: Tensor<4>| {
        let misfit = aim.values.clone() - observed.of(x.clone());
        x + gain.apply(misfit)
    };
    let call = |y, number| network.coordinates.decode(generator.call(y, number));
    let mut x = call(aim.noise.clone() * network.profile() * levels[0], 1);
    let mut calls = 1;
    for (before, &sigma) in levels.iter().skip(1).enumerate() {
        for _ in 0..rounds {
            let draw = Draw { seed, stream: "refinement", step: calls as u64, first: 0 };
            let noise = draw.normal(shape, &model.device()) * network.profile() * sigma;
            x = call(network.coordinates.encode(consistent(x)) + noise, before + 2);
            calls += 1;
        }
    }
    (consistent(x), calls)
}
