//! The network's costly operations. On the CPU they are the kernels of `phys-instruct-kernels`,
//! forward and backward; elsewhere they are burn's own operations.

use burn::backend::autodiff::{
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::tensor::activation::silu;
use burn::tensor::module::conv2d as burn_conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, Tensor, TensorData};
use phys_instruct_kernels::conv::{
    ConvShape, conv2d_forward, conv2d_input_grad, conv2d_weight_grad,
};
use phys_instruct_kernels::group_norm::{
    Modulation, Moments, NormShape, norm_film_silu_backward, norm_film_silu_forward,
};
use phys_instruct_kernels::memory::room;
use phys_instruct_kernels::patches;

pub use phys_instruct_kernels::memory::{keep_freed_memory, recycle};
pub use phys_instruct_kernels::pool::in_pool;

/// The constant that [`norm_film_silu`] adds to the variance.
pub const NORM_EPS: f32 = 1e-5;

/// "Same" convolution with stride 1 and zero padding. `x` is `[batch, in, y, x]`, `weight` `[out,
/// in, k, k]` with odd k, and `bias` `[out]`; the result is `[batch, out, y, x]`.
///
/// # Panics
/// Panics if the shapes do not fit each other.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    if !has_kernels(&x) {
        return conv2d_by_burn(x, weight, bias);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NetOps>::conv2d_same(x, weight, bias))
}

/// [`conv2d`] by burn's operations, on any device: the fallback, and the reference of the tests.
pub fn conv2d_by_burn(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let pad = weight.dims()[2] / 2;
    burn_conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [pad, pad], [1, 1], 1))
}

/// silu(h (1 + scale) + shift), where h is the group normalisation of `x` `[batch, channel, y, x]`
/// with `gamma` and `beta` `[channel]` and [`NORM_EPS`]. Scale and shift are `[batch, channel]`, or
/// zero if none are given.
///
/// # Panics
/// Panics if the shapes do not fit each other, or if the channels are no multiple of `groups`.
pub fn norm_film_silu(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
) -> Tensor<4> {
    if !has_kernels(&x) {
        return norm_film_silu_by_burn(x, gamma, beta, groups, scale_shift);
    }

    let [batch, channels, ..] = x.dims();
    let zeros = || Tensor::zeros([batch, channels], &x.device());
    let (scale, shift) = scale_shift.unwrap_or_else(|| (zeros(), zeros()));
    let [gamma, beta] = [gamma, beta].map(Tensor::into_dispatch);
    let [scale, shift] = [scale, shift].map(Tensor::into_dispatch);
    let x = x.into_dispatch();
    Tensor::from_dispatch(<Dispatch as NetOps>::norm_film_silu(
        x, gamma, beta, scale, shift, groups,
    ))
}

/// [`norm_film_silu`] by burn's operations, on any device: the fallback, and the reference of the
/// tests.
pub fn norm_film_silu_by_burn(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    groups: usize,
    scale_shift: Option<(Tensor<2>, Tensor<2>)>,
) -> Tensor<4> {
    let shape = x.dims();
    let [batch, channels, height, width] = shape;

    let x = x.reshape([batch, groups, channels / groups * height * width]);
    let x = x.clone() - x.mean_dim(2);
    let variance = (x.clone() * x.clone()).mean_dim(2);
    let x = (x / (variance + NORM_EPS).sqrt()).reshape(shape);

    let [gamma, beta] = [gamma, beta].map(|t| t.reshape([1, channels, 1, 1]));
    let h = x * gamma + beta;
    silu(match scale_shift {
        None => h,
        Some((scale, shift)) => {
            let [scale, shift] = [scale, shift].map(|t| t.reshape([batch, channels, 1, 1]));
            h * (scale + 1.0) + shift
        }
    })
}

/// Folds `side` x `side` patches into channels: `[b, c, y, x]` to `[b, c s^2, y/s, x/s]`.
///
/// # Panics
/// Panics if `side` does not divide the image's sides.
pub fn unshuffle(x: Tensor<4>, side: usize) -> Tensor<4> {
    if side == 1 {
        return x;
    }
    if !has_kernels(&x) {
        return unshuffle_by_burn(x, side);
    }
    Tensor::from_dispatch(<Dispatch as NetOps>::fold(x.into_dispatch(), side, Fold::IntoChannels))
}

/// The inverse of [`unshuffle`].
///
/// # Panics
/// Panics if the channels are no multiple of `side^2`.
pub fn shuffle(x: Tensor<4>, side: usize) -> Tensor<4> {
    if side == 1 {
        return x;
    }
    if !has_kernels(&x) {
        return shuffle_by_burn(x, side);
    }
    Tensor::from_dispatch(<Dispatch as NetOps>::fold(x.into_dispatch(), side, Fold::IntoImage))
}

/// [`unshuffle`] by burn's operations, on any device: the fallback, and the reference of the tests.
pub fn unshuffle_by_burn(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [b, c, y, w] = x.dims();
    let folded = [b, c * side * side, y / side, w / side];
    x.reshape([b, c, y / side, side, w / side, side]).permute([0, 1, 3, 5, 2, 4]).reshape(folded)
}

/// [`shuffle`] by burn's operations, on any device: the fallback, and the reference of the tests.
pub fn shuffle_by_burn(x: Tensor<4>, side: usize) -> Tensor<4> {
    let [b, c, y, w] = x.dims();
    let c = c / (side * side);
    let image = [b, c, y * side, w * side];
    x.reshape([b, c, side, side, y, w]).permute([0, 1, 4, 2, 5, 3]).reshape(image)
}

fn has_kernels(x: &Tensor<4>) -> bool {
    x.dtype() == DType::F32 && x.device() == Device::flex()
}

/// The operations of a backend with kernels of its own.
#[backend_extension(Flex, Autodiff)]
trait NetOps: Backend {
    fn conv2d_same(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn norm_film_silu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;

    fn fold(x: FloatTensor<Self>, side: usize, to: Fold) -> FloatTensor<Self>;
}

/// The direction of a fold.
#[derive(Debug, Clone, Copy)]
enum Fold {
    /// Patches into channels, as [`unshuffle`] does.
    IntoChannels,
    /// Channels into patches, as [`shuffle`] does.
    IntoImage,
}

type Cpu = FloatTensor<Flex>;

impl NetOps for Flex {
    fn conv2d_same(x: Cpu, weight: Cpu, bias: Cpu) -> Cpu {
        let shape = conv_shape(&x, &weight);
        let mut out = room(shape.output_len());
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        conv2d_forward(values(&x), values(&weight), Some(values(&bias)), &shape, &mut out);
        tensor(out, &[shape.batch, shape.out_channels, shape.height, shape.width])
    }

    fn norm_film_silu(x: Cpu, gamma: Cpu, beta: Cpu, scale: Cpu, shift: Cpu, groups: usize) -> Cpu {
        NormState::forward([x, gamma, beta, scale, shift], groups).1
    }

    fn fold(x: Cpu, side: usize, to: Fold) -> Cpu {
        folded(&contiguous(x), side, to)
    }
}

impl<C: CheckpointStrategy> NetOps for Autodiff<Flex, C> {
    fn conv2d_same(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let guards = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let out = Flex::conv2d_same(x.clone(), weight.clone(), bias.into_primitive());
        match ConvBackward.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn norm_film_silu(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        let inputs = [x, gamma, beta, scale, shift];
        let guards = inputs.each_ref().map(|t| t.node());
        let (state, out) = NormState::forward(inputs.map(|t| t.into_primitive()), groups);
        match NormBackward.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn fold(x: FloatTensor<Self>, side: usize, to: Fold) -> FloatTensor<Self> {
        let guards = [x.node()];
        let out = Flex::fold(x.into_primitive(), side, to);
        match FoldBackward.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((side, to), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[derive(Debug)]
struct ConvBackward;

impl Backward<Flex, 3> for ConvBackward {
    type State = (Cpu, Cpu);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, weight) = (contiguous(ops.state.0), contiguous(ops.state.1));
        let shape = conv_shape(&x, &weight);
        let [x_node, weight_node, bias_node] = ops.parents;

        if weight_node.is_some() || bias_node.is_some() {
            let mut weight_grad = room(shape.weight_len());
            let mut bias_grad = room(shape.out_channels);
            conv2d_weight_grad(values(&x), values(&grad), &shape, &mut weight_grad, &mut bias_grad);
            if let Some(node) = weight_node {
                grads.register::<Flex>(node.id, tensor(weight_grad, weight.layout().shape()));
            }
            if let Some(node) = bias_node {
                grads.register::<Flex>(node.id, tensor(bias_grad, &[shape.out_channels]));
            }
        }

        if let Some(node) = x_node {
            let mut x_grad = room(shape.input_len());
            conv2d_input_grad(values(&grad), values(&weight), &shape, &mut x_grad);
            grads.register::<Flex>(node.id, tensor(x_grad, x.layout().shape()));
        }
        spend([grad, x]);
    }
}

/// The state of the normalisation that the backward pass needs.
#[derive(Debug, Clone)]
struct NormState {
    /// The inputs x, gamma, beta, scale and shift, contiguous.
    inputs: [Cpu; 5],
    shape: NormShape,
    moments: Moments,
}

impl NormState {
    fn forward(inputs: [Cpu; 5], groups: usize) -> (Self, Cpu) {
        let inputs = inputs.map(contiguous);
        let dims = inputs[0].layout().shape().clone();
        let (batch, channels, pixels) = (dims[0], dims[1], dims[2] * dims[3]);
        let shape = NormShape { batch, channels, groups, pixels, eps: NORM_EPS };
        let mut out = room(shape.len());
        let mut state = Self { inputs, shape, moments: Vec::new() };
        let x = values(&state.inputs[0]);
        state.moments = norm_film_silu_forward(x, &state.modulation(), &shape, &mut out);
        (state, tensor(out, &dims))
    }

    fn modulation(&self) -> Modulation<'_> {
        let [_, gamma, beta, scale, shift] = self.inputs.each_ref().map(values);
        Modulation { gamma, beta, film: Some((scale, shift)) }
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 5> for NormBackward {
    type State = NormState;

    fn backward(
        self,
        ops: Ops<Self::State, 5>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let state = ops.state;
        let mut x_grad = room(state.shape.len());
        let other = norm_film_silu_backward(
            values(&state.inputs[0]),
            &state.modulation(),
            &state.moments,
            values(&grad),
            &state.shape,
            &mut x_grad,
        );

        let all = [x_grad, other.gamma, other.beta, other.scale, other.shift];
        for ((node, grad), input) in ops.parents.into_iter().zip(all).zip(&state.inputs) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, tensor(grad, input.layout().shape()));
            }
        }
        let [x, ..] = state.inputs;
        spend([grad, x]);
    }
}

#[derive(Debug)]
struct FoldBackward;

impl Backward<Flex, 1> for FoldBackward {
    /// The side, and the direction of the fold.
    type State = (usize, Fold);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [Some(node)] = ops.parents else { return };
        let (side, to) = ops.state;
        let back = match to {
            Fold::IntoChannels => Fold::IntoImage,
            Fold::IntoImage => Fold::IntoChannels,
        };
        grads.register::<Flex>(node.id, folded(&grad, side, back));
        spend([grad]);
    }
}

/// The fold of a contiguous tensor.
fn folded(x: &Cpu, side: usize, to: Fold) -> Cpu {
    let shape = x.layout().shape();
    let (b, c, y, w) = (shape[0], shape[1], shape[2], shape[3]);
    let mut out = room(b * c * y * w);
    match to {
        Fold::IntoChannels => {
            patches::unshuffle(values(x), [y * w, w], side, &mut out);
            tensor(out, &[b, c * side * side, y / side, w / side])
        }
        Fold::IntoImage => {
            let (c, y, w) = (c / (side * side), y * side, w * side);
            patches::shuffle(values(x), [y * w, w], side, &mut out);
            tensor(out, &[b, c, y, w])
        }
    }
}

fn conv_shape(x: &Cpu, weight: &Cpu) -> ConvShape {
    let (x, w) = (x.layout().shape(), weight.layout().shape());
    assert!(w[1] == x[1] && w[2] == w[3] && w[2] % 2 == 1, "conv2d of {x:?} by {w:?}");
    ConvShape {
        batch: x[0],
        in_channels: x[1],
        out_channels: w[0],
        height: x[2],
        width: x[3],
        kernel: w[2],
    }
}

/// Returns a contiguous tensor itself, so that no second handle holds its memory.
fn contiguous(tensor: Cpu) -> Cpu {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a contiguous `f32` tensor.
fn values(tensor: &Cpu) -> &[f32] {
    tensor.as_slice().expect("made contiguous by the caller; the front functions pass f32 only")
}

/// Gives the memory of tensors that are no longer in use to the next outputs.
fn spend<const N: usize>(tensors: [Cpu; N]) {
    for tensor in tensors.into_iter().filter(Cpu::is_unique) {
        if let Ok(values) = tensor.into_data().try_into_vec::<f32>() {
            recycle(values);
        }
    }
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> Cpu {
    Cpu::from_data(TensorData::new(values, shape.to_vec()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    type Norm =
        fn(Tensor<4>, Tensor<1>, Tensor<1>, usize, Option<(Tensor<2>, Tensor<2>)>) -> Tensor<4>;

    /// Values in [-1, 1), the same on every run.
    fn fill<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let values: Vec<f32> =
            (0..count).map(|i| (12.9898 * (i + 1 + 977 * seed) as f32).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn assert_agree<const D: usize>(ours: Tensor<D>, oracle: Tensor<D>, what: &str) {
        assert_eq!(ours.dims(), oracle.dims(), "{what}");
        let values = |t: Tensor<D>| t.into_data().try_into_vec::<f32>().unwrap();
        let (ours, oracle) = (values(ours), values(oracle));
        let scale = oracle.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        for (a, b) in ours.iter().zip(&oracle) {
            assert!((a - b).abs() < 1e-4 * scale, "{what}: {a} for {b}");
        }
    }

    #[test]
    fn conv2d_and_its_gradients_agree_with_burn() {
        let device = Device::flex().autodiff();
        for (batch, cin, cout, height, width) in
            [(1, 1, 3, 1, 1), (3, 3, 5, 3, 5), (2, 17, 8, 7, 7), (1, 5, 17, 16, 16)]
        {
            for kernel in [1, 3] {
                let run = |conv: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>| {
                    let x = fill([batch, cin, height, width], 1, &device).require_grad();
                    let w = fill([cout, cin, kernel, kernel], 2, &device).require_grad();
                    let b = fill([cout], 3, &device).require_grad();
                    let y = conv(x.clone(), w.clone(), b.clone());
                    let pull = fill([batch, cout, height, width], 4, &device);
                    let grads = (y.clone() * pull).sum().backward();
                    let [dx, dw] = [x, w].map(|t| t.grad(&grads).unwrap());
                    (y.inner(), dx, dw, b.grad(&grads).unwrap())
                };
                let (ours, oracle) = (run(conv2d), run(conv2d_by_burn));
                let what = format!("{batch} {cin}->{cout} {height}x{width} kernel {kernel}");
                assert_agree(ours.0, oracle.0, &format!("output of {what}"));
                assert_agree(ours.1, oracle.1, &format!("input gradient of {what}"));
                assert_agree(ours.2, oracle.2, &format!("weight gradient of {what}"));
                assert_agree(ours.3, oracle.3, &format!("bias gradient of {what}"));
            }
        }
    }

    #[test]
    fn norm_film_silu_and_its_gradients_agree_with_burn() {
        let device = Device::flex().autodiff();
        for (batch, channels, groups, height, width) in
            [(1, 1, 1, 3, 5), (3, 6, 2, 7, 7), (2, 17, 1, 1, 1), (2, 8, 8, 16, 16)]
        {
            for film in [true, false] {
                let run = |norm: Norm| {
                    let x = fill([batch, channels, height, width], 1, &device).require_grad();
                    let vectors = [2, 3].map(|s| fill([channels], s, &device).require_grad());
                    let films = [4, 5].map(|s| fill([batch, channels], s, &device).require_grad());
                    let [gamma, beta] = vectors.clone();
                    let scale_shift = film.then(|| films.clone().into());
                    let y = norm(x.clone(), gamma, beta, groups, scale_shift);
                    let pull = fill([batch, channels, height, width], 6, &device);
                    let grads = (y.clone() * pull).sum().backward();
                    let vectors = vectors.map(|t| t.grad(&grads).unwrap());
                    let films = films.map(|t| t.grad(&grads));
                    ([y.inner(), x.grad(&grads).unwrap()], vectors, films)
                };
                let (ours, oracle) = (run(norm_film_silu), run(norm_film_silu_by_burn));
                let what = format!("{batch} {channels}/{groups} {height}x{width} {film}");
                ours.0.into_iter().zip(oracle.0).for_each(|(a, b)| assert_agree(a, b, &what));
                ours.1.into_iter().zip(oracle.1).for_each(|(a, b)| assert_agree(a, b, &what));
                for (a, b) in ours.2.into_iter().zip(oracle.2) {
                    assert_eq!((a.is_some(), b.is_some()), (film, film));
                    if let (Some(a), Some(b)) = (a, b) {
                        assert_agree(a, b, &what);
                    }
                }
            }
        }
    }

    #[test]
    fn patches_and_their_gradients_agree_with_burn() {
        let device = Device::flex().autodiff();
        type Fold = fn(Tensor<4>, usize) -> Tensor<4>;
        let pairs: [[Fold; 2]; 2] = [[unshuffle, unshuffle_by_burn], [shuffle, shuffle_by_burn]];
        for (shape, side) in [([2, 4, 6, 4], 2), ([1, 9, 3, 6], 3), ([2, 3, 5, 1], 1)] {
            for [own, oracle] in pairs {
                let run = |fold: Fold| {
                    let x = fill(shape, 1, &device).require_grad();
                    let y = fold(x.clone().swap_dims(2, 3).swap_dims(2, 3), side);
                    let pull = fill(y.dims(), 2, &device);
                    let grads = (y.clone() * pull).sum().backward();
                    [y.inner(), x.grad(&grads).unwrap()]
                };
                let both = run(own).into_iter().zip(run(oracle));
                both.for_each(|(ours, oracle)| assert_agree(ours, oracle, "patches"));
            }
        }
    }

    #[test]
    fn frozen_parents_and_strided_inputs() {
        let device = Device::flex().autodiff();
        let run = |conv: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>| {
            let x = fill([2, 3, 4, 5], 1, &device).require_grad();
            let w = fill([3, 7, 3, 3], 2, &device).swap_dims(0, 1);
            let y = conv(x.clone().swap_dims(2, 3), w.clone(), fill([7], 3, &device));
            let grads = y.powi_scalar(2).sum().backward();
            assert!(w.grad(&grads).is_none());
            x.grad(&grads).unwrap()
        };
        assert_agree(run(conv2d), run(conv2d_by_burn), "input gradient, frozen weights");
    }
}
