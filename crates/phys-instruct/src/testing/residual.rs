//! Shared checks of residuals against an independent residual in `f64`.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::{Fields, Grid, Pde, generate, rng};

use crate::residual::{Residual, ResidualOptions};

type OfSample = Box<dyn Fn(&Fields) -> Vec<f64>>;
type OfField = Box<dyn Fn(&[f64], usize) -> Vec<f64>>;

/// An independent residual in plain `f64` loops, for one sample.
pub(crate) struct Oracle {
    /// R of a sample.
    pub residual: OfSample,
    /// The source term of a sample.
    pub source: OfSample,
    /// The preconditioner P on a field of `n * n` values.
    pub operator: OfField,
    /// The number of points at which the equation holds, on a grid of n points a side.
    pub points: fn(usize) -> usize,
    /// The constant that is added to the random input where it has to be positive.
    pub offset: f64,
}

pub(crate) fn tensor<const D: usize>(data: &[f64], shape: [usize; D]) -> Tensor<D> {
    let data: Vec<f32> = data.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(data, shape), &Device::flex())
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f32>().map(f64::from).collect()
}

pub(crate) fn batch(samples: &[Fields]) -> Tensor<4> {
    let data: Vec<f64> = samples.iter().flat_map(|s| s.data.clone()).collect();
    let Fields { channels, height, width, .. } = samples[0];
    tensor(&data, [samples.len(), channels, height, width])
}

pub(crate) fn options(detach_input: bool, preconditioned: bool) -> ResidualOptions {
    ResidualOptions { detach_input, preconditioned }
}

/// The mean relative residual of samples.
pub(crate) fn relative(residual: &dyn Residual, samples: &[Fields], preconditioned: bool) -> f64 {
    let terms = residual.terms(batch(samples), options(false, preconditioned));
    values(terms.relative()).iter().sum::<f64>() / samples.len() as f64
}

/// Rough random samples, rounded to `f32`.
fn rough(size: usize, count: u64, offset: f64) -> Vec<Fields> {
    let sample = |i| {
        let mut rng = rng::stream(3, "rough", size as u64, i);
        let a: Vec<f64> =
            (0..size * size).map(|_| offset + rng::normal(&mut rng).clamp(-3.0, 3.0)).collect();
        let mut x = Fields::stack(size, size, &[&a, &rng::normals(&mut rng, size * size)]);
        x.data.iter_mut().for_each(|v| *v = f64::from(*v as f32));
        x
    };
    (0..count).map(sample).collect()
}

pub(crate) fn rms(field: &[f64], points: usize) -> f64 {
    (field.iter().map(|v| v * v).sum::<f64>() / points as f64).sqrt()
}

pub(crate) fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let size = rms(expected, expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() < tolerance * size, "entry {i}: {g}, expected {e} of {size}");
    }
}

/// Checks residual and scale of a batch of rough samples, plain and preconditioned.
pub(crate) fn check_values(residual: &dyn Residual, size: usize, oracle: &Oracle) {
    let samples = rough(size, 3, oracle.offset);
    let plain = residual.terms(batch(&samples), options(false, false));
    let smooth = residual.terms(batch(&samples), options(false, true));
    let points = (oracle.points)(size);
    assert_eq!([plain.points, smooth.points], [points; 2]);
    assert_eq!(plain.residual.dims(), [3, 1, size, size]);
    let [plain_scale, smooth_scale] = [&plain, &smooth].map(|t| values(t.scale.clone()));
    let relative = values(plain.relative());

    let cells = size * size;
    for (i, x) in samples.iter().enumerate() {
        let expected = (oracle.residual)(x);
        let source = (oracle.source)(x);
        assert_close(&values(plain.residual.clone())[i * cells..][..cells], &expected, 1e-5);
        assert!((plain_scale[i] / rms(&source, points) - 1.0).abs() < 1e-5);
        assert!((relative[i] / (rms(&expected, points) / rms(&source, points)) - 1.0).abs() < 1e-5);
        let solved = &values(smooth.residual.clone())[i * cells..][..cells];
        assert_close(&(oracle.operator)(solved, size), &expected, 1e-3);
        let solved_source = solve(oracle, &source, size);
        assert!((smooth_scale[i] / rms(&solved_source, points) - 1.0).abs() < 1e-4);
    }
}

/// P^-1 of a field by conjugate gradients on the oracle's own operator.
fn solve(oracle: &Oracle, field: &[f64], size: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let [mut v, mut r, mut p] = [vec![0.0; field.len()], field.to_vec(), field.to_vec()];
    for _ in 0..4 * field.len() {
        let [square, image] = [vec![dot(&r, &r)], (oracle.operator)(&p, size)];
        if square[0] < 1e-24 * dot(field, field) {
            break;
        }
        let step = square[0] / dot(&p, &image);
        v.iter_mut().zip(&p).for_each(|(v, p)| *v += step * p);
        r.iter_mut().zip(&image).for_each(|(r, i)| *r -= step * i);
        let turn = dot(&r, &r) / square[0];
        p.iter_mut().zip(&r).for_each(|(p, r)| *p = r + turn * *p);
    }
    v
}

/// The derivative of a `loss` at `x` in entry `i`, by a central difference.
pub(crate) fn difference(x: &Fields, i: usize, loss: impl Fn(&Fields) -> f64) -> f64 {
    let moved = |by: f64| {
        let mut moved = x.clone();
        moved.data[i] += by;
        loss(&moved)
    };
    (moved(1e-4) - moved(-1e-4)) / 2e-4
}

/// Checks the gradient of the squared relative residual, at fixed scale, against central
/// differences of the oracle's. If the input is detached, its gradient must be exactly 0.
pub(crate) fn check_gradient(residual: &dyn Residual, size: usize, oracle: &Oracle) {
    let x = &rough(size, 1, oracle.offset)[0];
    let points = (oracle.points)(size);
    let scale = rms(&(oracle.source)(x), points);
    let loss = |x: &Fields| (rms(&(oracle.residual)(x), points) / scale).powi(2);
    let expected: Vec<f64> = (0..x.data.len()).map(|i| difference(x, i, loss)).collect();

    let free = gradient(residual, x, options(false, false));
    assert_close(&free, &expected, 1e-3);
    let detached = gradient(residual, x, options(true, false));
    let cells = size * size;
    assert!(detached[..cells].iter().all(|g| *g == 0.0));
    assert!(free[..cells].iter().any(|g| *g != 0.0));
    assert_close(&detached[cells..], &expected[cells..], 1e-3);
    check_preconditioned_gradient(residual, x, oracle);
}

/// Checks the gradient of the preconditioned loss. It is quadratic in u, so that its slope is a
/// difference of two losses.
fn check_preconditioned_gradient(residual: &dyn Residual, x: &Fields, oracle: &Oracle) {
    let size = x.height;
    let points = (oracle.points)(size);
    let scale = rms(&solve(oracle, &(oracle.source)(x), size), points);
    let loss =
        |x: &Fields| (rms(&solve(oracle, &(oracle.residual)(x), size), points) / scale).powi(2);

    let got = gradient(residual, x, options(true, true));
    let cells = size * size;
    let expected: Vec<f64> = (cells..2 * cells)
        .map(|i| {
            let moved = |by: f64| {
                let mut moved = x.clone();
                moved.data[i] += by;
                loss(&moved)
            };
            (moved(0.1) - moved(-0.1)) / 0.2
        })
        .collect();

    assert!(got[..cells].iter().all(|g| *g == 0.0));
    assert_close(&got[cells..], &expected, 1e-3);
}

pub(crate) fn gradient(residual: &dyn Residual, x: &Fields, options: ResidualOptions) -> Vec<f64> {
    let leaf = batch(std::slice::from_ref(x)).autodiff().require_grad();
    let loss = residual.terms(leaf.clone(), options).relative_square().sum();
    values(leaf.grad(&loss.backward()).expect("the residual depends on the sample"))
}

/// The relative residual of reference data held in `f32`.
pub(crate) fn check_floor(pde: &dyn Pde, residual: &dyn Residual, size: usize, bound: f64) {
    let samples = generate(pde, Grid::square(size), 5, 0..4).expect("the reference solver");
    for (preconditioned, bound) in [(false, bound), (true, 1e-7)] {
        let floor = relative(residual, &samples, preconditioned);
        assert!(floor < bound, "{} {size} {preconditioned}: {floor}", pde.name());
    }
}
