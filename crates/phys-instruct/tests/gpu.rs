//! A forward pass and a training step on a graphics processor agree with the CPU's. Run by
//! `scripts/gpu-check`; needs the feature `gpu` and a Vulkan driver.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use phys_instruct::diffusion::sampler::Method;
use phys_instruct::sampling::{SampleOptions, sample};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, Samples, device};

const CONFIG: &str = r#"
pde = "poisson"
grid = 8
[net]
width = 8
multipliers = [1, 2]
blocks = 1
patch = 1
[train]
batch = 4
warmup = 1
"#;

fn samples_after_two_steps(device: &Device) -> Samples {
    let config = Config::from_toml(CONFIG).unwrap();
    let pde = config.pde().unwrap();
    let fields = phys_instruct_physics::generate(pde.as_ref(), config.grid, 1, 0..16).unwrap();
    let names: Vec<&str> = pde.channels().iter().map(|c| c.name).collect();
    let data = Samples::from_fields(pde.name(), &names, &fields).unwrap();
    let mut training = TeacherTraining::new(&config, pde.as_ref(), data, None, device).unwrap();
    for _ in 0..2 {
        assert!(!training.step().unwrap().skipped);
    }
    let options = SampleOptions { count: 2, calls: 3, method: Method::Heun, seed: 0 };
    sample(&training.model(), options, &mut |_| ()).unwrap().samples
}

#[test]
fn training_and_sampling_agree_with_the_cpu() {
    let ours = samples_after_two_steps(&device::gpu().unwrap());
    let reference = samples_after_two_steps(&device::cpu());
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let difference: Vec<f32> = ours.data.iter().zip(&reference.data).map(|(a, b)| a - b).collect();
    let relative = norm(&difference) / norm(&reference.data);
    assert!(relative < 1e-3, "relative difference {relative}");
}
