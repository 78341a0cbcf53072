//! The loss of a teacher that is trained with the residual: PIDM (arXiv 2403.14404, eq. 13).
//!
//! The loss is the denoiser's own plus the likelihood of a vanishing residual R at its clean
//! estimate D(y; sigma). With the weight w the second part is w |R(D(y; sigma))|^2 / (2 c_out^2). A
//! trained teacher is tuned with it (`train.start`, `train.residual_weight`) and then sampled as
//! any other.
//!
//! PIDM divides by the variance of the estimate. Here that is the one of EDM's preconditioning,
//! c_out^2 = sigma^2 sigma_data^2 / (sigma^2 + sigma_data^2), by which EDM's loss is divided too.
//! The residual is relative to its source term.

use burn::tensor::Tensor;

use super::{Coordinates, Denoiser, Network};
use crate::residual::{Residual, ResidualOptions};

/// EDM's loss plus `residual_weight` times the residual's part. `y0` is clean, `noise` is standard
/// normal of the same shape, and `sigma` is `[batch]`.
pub fn physics_informed(
    network: &Network,
    residual: &dyn Residual,
    [y0, noise]: [Tensor<4>; 2],
    sigma: Tensor<1>,
    residual_weight: f64,
) -> Tensor<1> {
    let level = sigma.clone().reshape([-1, 1, 1, 1]) * network.profile();
    let y = y0.clone() + noise * level.clone();
    let denoised = network.denoise(y, sigma.clone());
    let error = (denoised.clone() - y0) / network.c_out(level) * network.coordinates.present();
    let relative = relative_residual(residual, &network.coordinates, denoised);
    let physics = relative.square() / (network.c_out(sigma).square() * 2.0);
    error.square().mean() / network.coordinates.present().mean().into_scalar::<f32>()
        + physics.mean() * residual_weight
}

/// The relative residual of the clean state `y`, `[batch]`.
pub fn relative_residual(
    residual: &dyn Residual,
    coordinates: &Coordinates,
    y: Tensor<4>,
) -> Tensor<1> {
    residual.terms(coordinates.decode(y), ResidualOptions::default()).relative()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::config::CoordinatesConfig;
    use crate::diffusion::noise::Draw;
    use crate::net::UNet;
    use crate::parts::Parts;
    use crate::problem;
    use crate::testing::{samples_from, tiny};

    const SIZE: usize = 8;

    #[test]
    fn pidm_s_loss_is_edm_s_plus_the_weighted_residual() {
        let pde = by_name("poisson").unwrap();
        let device = Device::flex();
        let data = samples_from(pde.as_ref(), 64, SIZE, 1);
        let config = CoordinatesConfig::Pixel {};
        let (coordinates, _) =
            Coordinates::fit(&data, &Parts::of(pde.as_ref()), &config, &device).unwrap();
        let net = tiny(&[1]);
        let net = UNet::new(&net, coordinates.inputs(), 2, 3, &device);
        let network = Network::new(net, coordinates).valid().freeze();
        let residual = problem::residual(pde.as_ref(), Grid::square(SIZE), &device).unwrap();

        let draw = |stream| Draw { seed: 1, stream, step: 0, first: 0 };
        let [y0, noise] =
            ["y0", "noise"].map(|s| draw(s).normal([5, 2, SIZE, SIZE], &device) * 0.5);
        let sigma = draw("sigma").sigma(5, -0.5, 1.0, &device);
        let loss = |weight| {
            let fields = [y0.clone(), noise.clone()];
            let residual = residual.as_ref();
            let loss = physics_informed(&network, residual, fields, sigma.clone(), weight);
            f64::from(loss.into_scalar::<f32>())
        };
        let edm = network.loss(y0.clone(), noise.clone(), sigma.clone());
        let edm = f64::from(edm.into_scalar::<f32>());
        assert!((loss(0.0) / edm - 1.0).abs() < 1e-4, "{} {edm}", loss(0.0));
        let [one, two] = [1e-3, 2e-3].map(|c| loss(c) - loss(0.0));
        assert!(one > 0.0 && (two / one - 2.0).abs() < 0.02, "{one} {two}");
    }
}
