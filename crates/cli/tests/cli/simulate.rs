//! The warnings of `simulate` about grids that do not resolve the answer.

use std::f64::consts::PI;

use phys_instruct::store::{NdArray, npz};
use serde_json::json;

use crate::sandbox::Sandbox;

/// Writes samples of `height * width` values as the array `name` of x.npz.
fn write(sandbox: &Sandbox, name: &str, [height, width]: [usize; 2], samples: &[Vec<f64>]) {
    let shape = match height {
        1 => vec![samples.len(), width],
        _ => vec![samples.len(), height, width],
    };
    let array = NdArray::from_f64(shape, samples.concat()).unwrap();
    npz::write(&sandbox.path("x.npz"), &[(name, &array)]).unwrap();
}

fn first_mode(size: usize) -> Vec<f64> {
    let wave = |i: usize| (PI * i as f64 / (size - 1) as f64).sin();
    (0..size * size).map(|i| wave(i / size) * wave(i % size)).collect()
}

#[test]
fn a_near_resonance_is_told_once_for_all_samples() {
    let sandbox = Sandbox::new();
    write(&sandbox, "a", [33, 33], &[first_mode(33), first_mode(33)]);
    let line = "simulate helmholtz --input x.npz --param k=4.44 --out y.npz";
    let talk = sandbox.good(line).stderr;
    assert_eq!(talk.matches("warning: ").count(), 1, "{talk}");
    assert!(talk.contains("warning: samples 0-1; ") && talk.contains("19.7392088"), "{talk}");

    let warnings = &sandbox.json(line)["warnings"];
    assert_eq!(warnings.as_array().unwrap().len(), 1);
    assert_eq!(warnings[0]["kind"], "near_resonance");
    assert_eq!(warnings[0]["samples"], json!([0, 1]));
    // The grid's amplitude over the exact one.
    assert!((warnings[0]["severity"].as_f64().unwrap() - 1.624).abs() < 0.01, "{warnings}");
}

#[test]
fn a_front_is_solved_on_a_finer_grid_without_a_warning() {
    let sandbox = Sandbox::new();
    let sine = (0..128).map(|j| 0.5 * (2.0 * PI * f64::from(j) / 128.0).sin()).collect();
    write(&sandbox, "u", [1, 128], &[sine]);
    let line = "simulate burgers --input x.npz --param nu=8e-4 --out y.npz";
    assert_eq!(sandbox.good(line).stderr, "");
    let report = sandbox.json(line);
    assert!(report["inner_points"].as_u64().unwrap() > 128);
    assert_eq!(report["warnings"], json!([]));
}

#[test]
fn a_high_contrast_names_the_samples_it_concerns() {
    let sandbox = Sandbox::new();
    let board = |i: usize| if (i / 64 + i % 16 / 4).is_multiple_of(2) { 1e6 } else { 1.0 };
    let samples = [vec![3.0; 256], (0..256).map(board).collect()];
    write(&sandbox, "a", [16, 16], &samples);
    let talk = sandbox.good("simulate darcy --input x.npz --out y.npz").stderr;
    assert!(talk.starts_with("warning: sample 1: darcy: the pressure differs by "), "{talk}");
}
