//! Times single kernels on the layers of a small U-Net:
//! `cargo bench --manifest-path crates/kernels/bench/Cargo.toml [-- NAME]`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use phys_instruct_kernels::conv::{
    ConvShape, PackedConv, conv2d_forward, conv2d_input_grad, conv2d_weight_grad,
};
use phys_instruct_kernels::group_norm::{
    Modulation, NormShape, norm_film_silu_backward, norm_film_silu_forward,
};
use phys_instruct_kernels::pool::in_pool;

/// Batch, input and output channels, side of the image, side of the kernel.
const CONVOLUTIONS: [[usize; 5]; 6] = [
    [1, 128, 128, 8, 3],
    [1, 64, 64, 16, 3],
    [1, 64, 64, 64, 3],
    [1, 128, 64, 64, 1],
    [16, 64, 64, 16, 3],
    [16, 256, 128, 8, 1],
];

/// Batch, channels, side of the image.
const NORMS: [[usize; 3]; 3] = [[1, 64, 16], [1, 64, 64], [16, 64, 16]];

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (12.9898 * i as f32).sin()).collect()
}

/// Elements per second are floating-point operations of the direct convolution.
fn convolutions(criterion: &mut Criterion) {
    for [batch, in_channels, out_channels, side, kernel] in CONVOLUTIONS {
        let s = ConvShape { batch, in_channels, out_channels, height: side, width: side, kernel };
        let (x, w, bias) = (values(s.input_len()), values(s.weight_len()), values(out_channels));
        let (grad, mut out) = (values(s.output_len()), values(s.output_len()));
        let (mut dx, mut dw, mut db) = (x.clone(), w.clone(), bias.clone());

        let packed = PackedConv::new(&w, &bias, in_channels, kernel);
        let name = format!("{batch}x{in_channels}-{out_channels} {side}x{side} k{kernel}");

        let mut group = criterion.benchmark_group("conv");
        group
            .throughput(Throughput::Elements((2 * s.output_len() * w.len() / out_channels) as u64));

        group.bench_function(BenchmarkId::new("packed", &name), |b| {
            in_pool(|| b.iter(|| packed.forward(&x, [batch, side, side], &mut out)));
        });

        group.bench_function(BenchmarkId::new("forward", &name), |b| {
            in_pool(|| b.iter(|| conv2d_forward(&x, &w, Some(&bias), &s, &mut out)));
        });

        group.bench_function(BenchmarkId::new("input_grad", &name), |b| {
            in_pool(|| b.iter(|| conv2d_input_grad(&grad, &w, &s, &mut dx)));
        });

        group.bench_function(BenchmarkId::new("weight_grad", &name), |b| {
            in_pool(|| b.iter(|| conv2d_weight_grad(&x, &grad, &s, &mut dw, &mut db)));
        });
    }
}

fn norms(criterion: &mut Criterion) {
    for [batch, channels, side] in NORMS {
        let s = NormShape { batch, channels, groups: 8, pixels: side * side, eps: 1e-5 };
        let (x, grad, gamma) = (values(s.len()), values(s.len()), values(channels));
        let (mut out, mut dx) = (x.clone(), x.clone());
        let modulation = Modulation { gamma: &gamma, beta: &gamma, film: None };
        let name = format!("{batch}x{channels} {side}x{side}");

        let mut group = criterion.benchmark_group("norm");
        group.throughput(Throughput::Elements(s.len() as u64));

        group.bench_function(BenchmarkId::new("forward", &name), |b| {
            in_pool(|| b.iter(|| norm_film_silu_forward(&x, &modulation, &s, &mut out)));
        });

        let moments = norm_film_silu_forward(&x, &modulation, &s, &mut out);
        group.bench_function(BenchmarkId::new("backward", &name), |b| {
            in_pool(|| {
                b.iter(|| norm_film_silu_backward(&x, &modulation, &moments, &grad, &s, &mut dx));
            });
        });
    }
}

criterion_group!(benches, convolutions, norms);
criterion_main!(benches);
