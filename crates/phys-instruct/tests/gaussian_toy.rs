//! Distillation in a case that is known exactly: teacher, student and auxiliary model are Gaussians
//! with independent entries, whose denoisers, divergences and optima have closed forms.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct::config::{
    Balance, CoordinatesConfig, Divergence, GuidanceAblation, GuidanceConfig, MatchingAblation,
    MatchingWeight,
};
use phys_instruct::diffusion::noise::Draw;
use phys_instruct::diffusion::sampler::constant;
use phys_instruct::diffusion::statistics::Statistics;
use phys_instruct::diffusion::{Coordinates, ExactGaussian};
use phys_instruct::distill::guidance::{self, At};
use phys_instruct::distill::matching::gradient;
use phys_instruct::net::params::values;
use phys_instruct::parts::Parts;
use phys_instruct::residual::{Residual, ResidualOptions, ResidualTerms};
use phys_instruct::team::Team;
use phys_instruct_physics::{Basis, Channel, Grid};

const SIDE: usize = 8;
const AREA: usize = SIDE * SIDE;
const BATCH: usize = 512;
const TARGET_MEAN: [f64; 2] = [0.6, -0.4];
const TARGET_STD: [f64; 2] = [1.0, 0.5];

static ALONE: Team = Team::ALONE;

fn at(step: u64, match_norm: f64) -> At<'static> {
    At { step, match_norm, team: &ALONE }
}

/// A student whose two channels are N(mean, std^2) in every entry.
#[derive(Clone, Copy, Debug)]
struct Student {
    mean: [f64; 2],
    std: [f64; 2],
}

fn field(values: [f64; 2]) -> Tensor<4> {
    let data: Vec<f32> = values.iter().flat_map(|&v| vec![v as f32; AREA]).collect();
    Tensor::from_data(TensorData::new(data, [1, 2, SIDE, SIDE]), &Device::flex())
}

fn gaussian(mean: [f64; 2], std: [f64; 2]) -> ExactGaussian {
    ExactGaussian::white(field(mean), field(std))
}

fn normal(stream: &str, step: u64) -> Tensor<4> {
    let draw = Draw { seed: 3, stream, step, first: 0 };
    draw.normal([BATCH, 2, SIDE, SIDE], &Device::flex())
}

/// The means of `x` and of `x` times `z`, per channel.
fn moments(x: &Tensor<4>, z: &Tensor<4>) -> [[f64; 2]; 2] {
    let mean = |t: Tensor<4>| -> [f64; 2] {
        let per_channel = values(t.mean_dims(&[0, 2, 3]));
        [f64::from(per_channel[0]), f64::from(per_channel[1])]
    };
    [mean(x.clone()), mean(x.clone() * z.clone())]
}

/// The matching gradient with respect to the student's mean and standard deviation, at one level.
fn measured(student: Student, divergence: Divergence, sigma: f64, step: u64) -> [[f64; 2]; 2] {
    let z = normal("z", step);
    let y0 = field(student.mean) + z.clone() * field(student.std);
    let settings = MatchingAblation { divergence, weight: MatchingWeight::One };
    let (teacher, auxiliary) =
        (gaussian(TARGET_MEAN, TARGET_STD), gaussian(student.mean, student.std));
    let level = constant(sigma, &y0);
    let noise = normal("n", step);
    moments(&gradient(&settings, &teacher, &auxiliary, y0, noise, level).unwrap(), &z)
}

/// The product of sigma^2 and the gradient of KL(N(mean, std^2 + sigma^2) || N(m, s^2 + sigma^2)).
fn exact_kl_gradient(student: Student, sigma: f64) -> [[f64; 2]; 2] {
    let square = sigma * sigma;
    let entry = |c: usize| {
        let (own, target) = (student.std[c].powi(2) + square, TARGET_STD[c].powi(2) + square);
        let mean = (student.mean[c] - TARGET_MEAN[c]) / target;
        let std = student.std[c] / target - student.std[c] / own;
        [square * mean, square * std]
    };
    let (a, b) = (entry(0), entry(1));
    [[a[0], b[0]], [a[1], b[1]]]
}

#[test]
fn the_ikl_gradient_is_that_of_the_kl_divergence() {
    let student = Student { mean: [0.1, 0.3], std: [0.4, 0.9] };
    for sigma in [0.2, 1.0, 4.0] {
        let got = measured(student, Divergence::Ikl {}, sigma, 0);
        let expected = exact_kl_gradient(student, sigma);
        for (g, e) in got.iter().flatten().zip(expected.iter().flatten()) {
            assert!((g - e).abs() < 0.02 * e.abs() + 0.005, "sigma {sigma}: {got:?} {expected:?}");
        }
    }
}

#[test]
fn both_matchings_reach_the_mean_and_the_covariance_of_the_data() {
    let sid = |alpha| Divergence::Sid { alpha };
    for divergence in [Divergence::Ikl {}, sid(1.0), sid(1.2)] {
        let mut student = Student { mean: [-0.5, 0.5], std: [0.3, 1.2] };
        for step in 0..150 {
            let sigma = [0.5, 1.0, 2.0][step as usize % 3];
            let [mean, std] = measured(student, divergence, sigma, step);
            for c in 0..2 {
                student.mean[c] -= 0.5 * mean[c];
                student.std[c] -= 0.5 * std[c];
            }
        }
        for c in 0..2 {
            assert!((student.mean[c] - TARGET_MEAN[c]).abs() < 0.02, "{divergence:?}: {student:?}");
            assert!((student.std[c] - TARGET_STD[c]).abs() < 0.02, "{divergence:?}: {student:?}");
        }
    }
}

/// The linear constraint "channel 0 equals channel 1", measured against 1.
struct Equal;

impl Residual for Equal {
    fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
        let (mut a, u) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1));
        if options.detach_input {
            a = a.detach();
        }
        let scale = Tensor::from_data(TensorData::new(vec![1f32; BATCH], [BATCH]), &u.device());
        ResidualTerms { residual: u - a, scale, points: AREA }
    }
}

fn parts() -> Parts {
    Parts::first_channel(&["a", "u"].map(|name| Channel::new(name, "toy", [Basis::Cosine; 2])))
}

/// Coordinates in which y equals x.
fn identity() -> Coordinates {
    let statistics = Statistics {
        mean: vec![0.0; 2 * AREA],
        spectrum: vec![0.5; 2 * AREA],
        regression: None,
        components: None,
        examples: Vec::new(),
    };
    let config = CoordinatesConfig::Pixel {};
    Coordinates::new(&statistics, &parts(), Grid::square(SIDE), &config, &Device::flex()).unwrap()
}

/// Guidance of a fixed weight.
fn fixed(detach_input: bool) -> GuidanceAblation {
    GuidanceAblation { balance: Balance::Fixed, detach_input, ..GuidanceAblation::default() }
}

fn guided_optimum(guidance: &GuidanceConfig, sigma: f64) -> Student {
    let coordinates = identity();
    let mut student = Student { mean: TARGET_MEAN, std: TARGET_STD };
    for step in 0..200 {
        let z = normal("z", step);
        let y0 = field(student.mean) + z.clone() * field(student.std);
        let [matched, _] = measured(student, Divergence::Ikl {}, sigma, step);
        let pull =
            guidance::pull(guidance, &Equal, &parts(), &coordinates, &y0, at(step, 1.0)).unwrap();
        let [pulled, _] = moments(&pull.gradient, &z);
        for c in 0..2 {
            student.mean[c] -= 0.5 * (matched[c] + pulled[c]);
        }
    }
    student
}

#[test]
fn guidance_moves_the_optimum_as_a_linear_constraint_predicts() {
    let weight = 40.0;
    let guidance = GuidanceConfig {
        residual_ratio: weight,
        preconditioned_ratio: 0.0,
        ablation: fixed(false),
        start: 0,
        ramp: 1,
    };
    let sigma = 1.0;
    let student = guided_optimum(&guidance, sigma);
    // The pull kappa_c (mean_c - m_c) balances +-weight delta / (points rms(delta)).
    let kappa: Vec<f64> =
        TARGET_STD.iter().map(|s| sigma * sigma / (s * s + sigma * sigma)).collect();
    let spread = TARGET_STD.iter().map(|s| s * s).sum::<f64>();
    let mut delta = TARGET_MEAN[0] - TARGET_MEAN[1];
    for _ in 0..200 {
        let pull = weight * delta / (AREA as f64 * (delta * delta + spread).sqrt());
        let moved = TARGET_MEAN[0] - TARGET_MEAN[1] - pull * (1.0 / kappa[0] + 1.0 / kappa[1]);
        delta += 0.1 * (moved - delta);
    }
    let got = student.mean[0] - student.mean[1];
    assert!(delta < 0.7, "the guidance must bite: {delta}");
    assert!((got - delta).abs() < 0.03, "{got} against {delta}");
}

#[test]
fn a_detached_input_is_not_moved() {
    let guidance = GuidanceConfig {
        residual_ratio: 40.0,
        preconditioned_ratio: 0.0,
        ablation: fixed(true),
        start: 0,
        ramp: 1,
    };
    let student = guided_optimum(&guidance, 1.0);
    assert!((student.mean[0] - TARGET_MEAN[0]).abs() < 0.02, "{student:?}");
    assert!((student.mean[1] - TARGET_MEAN[1]).abs() > 0.2, "{student:?}");
}

#[test]
fn held_guidance_has_the_asked_share_of_the_matching_norm_and_ramps_in() {
    let config = GuidanceConfig {
        residual_ratio: 0.3,
        preconditioned_ratio: 0.0,
        start: 10,
        ramp: 20,
        ..GuidanceConfig::default()
    };
    let y0 = normal("y", 0);
    let norm_at = |step| {
        let pull =
            guidance::pull(&config, &Equal, &parts(), &identity(), &y0, at(step, 7.0)).unwrap();
        guidance::norm(&pull.gradient, &ALONE).unwrap()
    };
    assert!(norm_at(5) == 0.0);
    assert!((norm_at(19) - 0.5 * 0.3 * 7.0).abs() < 1e-3);
    assert!((norm_at(500) - 0.3 * 7.0).abs() < 1e-3);
}
