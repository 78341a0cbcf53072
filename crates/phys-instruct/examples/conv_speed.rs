//! Times the network's kernels against burn's own operations, least time of many:
//! `cargo run --release --example conv_speed`; with `-- --return-memory`, without
//! `keep_freed_memory`.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use phys_instruct::net::ops::{
    conv2d, conv2d_by_burn, keep_freed_memory, norm_film_silu, norm_film_silu_by_burn,
};

type Conv = fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>;
type Norm = fn(Tensor<4>, Tensor<1>, Tensor<1>, usize, Option<(Tensor<2>, Tensor<2>)>) -> Tensor<4>;

#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    channels: usize,
    side: usize,
}

fn main() {
    if std::env::args().all(|a| a != "--return-memory") {
        keep_freed_memory();
    }
    let sizes = [(16, 32, 32), (32, 64, 16), (32, 128, 8), (1, 64, 64)];
    let sizes = sizes.map(|(batch, channels, side)| Size { batch, channels, side });
    println!(
        "3x3 convolution, batch channels side | forward ms, GFLOP/s | and backward ms, GFLOP/s"
    );
    for size @ Size { batch, channels, side } in sizes {
        for (name, conv) in [("ours", conv2d as Conv), ("burn", conv2d_by_burn)] {
            let [forward, both] = [false, true].map(|backward| time_conv(conv, size, backward));
            let flops = (18 * batch * channels * channels * side * side) as f64 * 1e-6;
            println!(
                "{name} {batch:3} {channels:3} {side:2} | {forward:7.2} {:6.0} | {both:7.2} {:6.0}",
                flops / forward,
                3.0 * flops / both
            );
        }
    }
    println!("norm, FiLM, SiLU, batch channels side | forward ms | and backward ms");
    for size @ Size { batch, channels, side } in sizes {
        for (name, norm) in [("ours", norm_film_silu as Norm), ("burn", norm_film_silu_by_burn)] {
            let [forward, both] = [false, true].map(|backward| time_norm(norm, size, backward));
            println!("{name} {batch:3} {channels:3} {side:2} | {forward:7.2} | {both:7.2}");
        }
    }
}

fn time_conv(conv: Conv, size: Size, backward: bool) -> f64 {
    let device = device(backward);
    let weight = random([size.channels, size.channels, 3, 3], &device);
    let bias = random([size.channels], &device);
    time(size, backward, |x| conv(x, weight.clone(), bias.clone()))
}

fn time_norm(norm: Norm, size: Size, backward: bool) -> f64 {
    let device = device(backward);
    let vector = || random([size.channels], &device);
    let film = || random([size.batch, size.channels], &device);
    let (gamma, beta, scale, shift) = (vector(), vector(), film(), film());
    time(size, backward, |x| {
        norm(x, gamma.clone(), beta.clone(), 8, Some((scale.clone(), shift.clone())))
    })
}

/// Least time of many runs, in milliseconds; the backward pass starts from a full gradient.
fn time(size: Size, backward: bool, run: impl Fn(Tensor<4>) -> Tensor<4>) -> f64 {
    let device = device(backward);
    let shape = [size.batch, size.channels, size.side, size.side];
    let x = random(shape, &device);
    let pull = Tensor::<4>::random(shape, Distribution::Default, &device);
    let once = || {
        let start = Instant::now();
        let y = run(x.clone());
        if backward {
            let _ = (y * pull.clone()).sum().backward();
        }
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..40).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn device(backward: bool) -> Device {
    if backward { Device::flex().autodiff() } else { Device::flex() }
}

/// Values that want a gradient where the device can give one.
fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = Tensor::random(shape, Distribution::Default, device);
    if device.is_autodiff() { values.require_grad() } else { values }
}
