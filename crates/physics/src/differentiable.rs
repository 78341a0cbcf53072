//! PDEs as differentiable maps from independent standard normal values to an input and its
//! solution.
//!
//! A classical search for the most probable input needs this map and its adjoint.

use crate::{Fields, Grid, Result};

/// A PDE whose joint sample is a smooth map of standard normal values.
pub trait Differentiable: Send + Sync {
    /// The number of standard normal values behind an input on a grid.
    fn unknowns(&self, grid: Grid) -> usize;

    /// Returns the joint sample that `white` is mapped to. Standard normal values give samples with
    /// the law of the data, except that the steps of a two-valued input are smoothed.
    ///
    /// # Errors
    /// Fails as [`Pde::solve`](crate::Pde::solve) does.
    fn sample(&self, grid: Grid, white: &[f64]) -> Result<Fields>;

    /// Returns the gradient of `sum(pull * sample)` with respect to `white`. `sample` is the joint
    /// sample of `white`, and `pull` holds one value for each value of the sample.
    ///
    /// # Errors
    /// Fails as [`Differentiable::sample`] does.
    fn gradient(
        &self,
        grid: Grid,
        white: &[f64],
        sample: &Fields,
        pull: &[f64],
    ) -> Result<Vec<f64>>;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::registry::{by_name, names};
    use crate::{Grid, rng};

    /// Times run along y for some, so that this side is 1.
    const GRIDS: [Grid; 2] = [Grid::square(13), Grid { ny: 13, nx: 12, ly: 1.0, lx: 0.8 }];

    fn draw(pde: &str, stream: &'static str, count: usize) -> Vec<f64> {
        rng::normals(&mut rng::stream(5, stream, 0, pde.len() as u64), count)
    }

    /// Compares `<pull, dx/dwhite change>` by a difference of samples with `<gradient, change>`.
    #[test]
    fn the_gradient_is_the_adjoint_of_the_change() {
        let mut known = 0;
        let own = [("navier-stokes", "intervals", 3.0), ("darcy", "boundary", 1.0)];
        let settings = names();
        let settings = settings.iter().map(|name| (name.as_str(), "", 0.0)).chain(own);
        for ((name, param, value), grid) in settings.flat_map(|s| GRIDS.map(|grid| (s, grid))) {
            let mut pde = by_name(name).unwrap();
            if !param.is_empty() {
                pde.set_param(param, value).unwrap();
            }
            let Some(map) = pde.differentiable() else { continue };
            known += 1;

            let count = map.unknowns(grid);
            let [white, change] = ["white", "change"].map(|stream| draw(name, stream, count));
            let at = |step: f64| {
                let moved: Vec<f64> =
                    white.iter().zip(&change).map(|(w, c)| w + step * c).collect();
                map.sample(grid, &moved).unwrap()
            };

            let sample = at(0.0);
            let pull = draw(name, "pull", sample.data.len());

            let step = 1e-5;
            let [below, above] = [at(-step), at(step)];

            let by_difference: f64 = pull
                .iter()
                .zip(above.data.iter().zip(&below.data))
                .map(|(p, (a, b))| p * (a - b) / (2.0 * step))
                .sum();

            let gradient = map.gradient(grid, &white, &sample, &pull).unwrap();
            let by_adjoint: f64 = gradient.iter().zip(&change).map(|(g, c)| g * c).sum();
            let far = (by_difference - by_adjoint).abs() / by_difference.abs();
            assert!(far < 1e-6, "{name}: {by_difference} by difference, {by_adjoint} by adjoint");
        }
        assert_eq!(known, 5 * GRIDS.len());
    }

    /// Equal standard normal values give the input that the PDE's own draw gives.
    #[test]
    fn samples_of_white_noise_are_those_of_the_law() {
        for (name, grid) in
            ["navier-stokes", "burgers"].into_iter().flat_map(|n| GRIDS.map(|g| (n, g)))
        {
            let pde = by_name(name).unwrap();
            let map = pde.differentiable().unwrap();
            let stream = || rng::stream(9, "input", 0, 0);
            let input = pde.random_input(grid, &mut stream()).unwrap();
            let sample =
                map.sample(grid, &rng::normals(&mut stream(), map.unknowns(grid))).unwrap();
            assert_eq!(pde.input_of(&sample), input, "{name}");
            assert_eq!(sample, pde.solve(grid, &input).unwrap().fields, "{name}");
        }
    }
}
