//! The memory that a network takes, estimated from its configuration before it is built.

use phys_instruct_physics::Grid;

use super::NetConfig;

/// The number of copies of the weights during training. They are the weights, their gradient,
/// AdamW's two moments, the average, the auxiliary models, and a checkpoint being written. Measured
/// at the 64 x 64 networks: 17 to 18.
const TRAINING_COPIES: f64 = 20.0;

/// The bytes of a number.
const BYTES: f64 = 4.0;

/// Returns the number of weights, within about a third.
fn weights(net: &NetConfig, [inputs, outputs]: [usize; 2]) -> f64 {
    let embedding = 4.0 * net.width as f64;
    let area = (net.patch * net.patch) as f64;
    let widths: Vec<f64> = net.multipliers.iter().map(|&m| (m * net.width) as f64).collect();
    let (finest, coarsest) = (widths[0], widths[widths.len() - 1]);

    // A block has two convolutions of 3 x 3 and takes its scale and shift from the embedding.
    let block = |from: f64, to: f64| 9.0 * to * (from + to) + 2.0 * embedding * to;
    // The first block on the way up takes the skipped channels too, which a convolution of 1 x 1
    // reduces.
    let level = |&w: &f64| {
        let blocks = net.blocks as f64;
        (2.0 * blocks - 1.0) * block(w, w) + block(2.0 * w, w) + 2.0 * w * w
    };
    // Four points become one and the other way round, by a convolution of 1 x 1 each.
    let between = |pair: &[f64]| 2.0 * 4.0 * pair[0] * pair[1];

    let ends = 9.0 * area * finest * (inputs + outputs + 2) as f64;
    widths.iter().map(level).sum::<f64>()
        + widths.windows(2).map(between).sum::<f64>()
        + block(coarsest, coarsest)
        + embedding * embedding
        + ends
}

/// Returns the bytes that the states between a network's layers take for one sample.
fn states(net: &NetConfig, grid: Grid) -> f64 {
    let [rows, columns] = grid.shape().map(|n| n as f64 / net.patch as f64);
    let points = rows * columns;
    let all: f64 = net
        .multipliers
        .iter()
        .enumerate()
        .map(|(level, &m)| (m * net.width) as f64 * points / 4f64.powi(level as i32))
        .sum();
    // Measured at the 64 x 64 networks of one block: 15 states of each level.
    BYTES * all * (6.0 + 12.0 * net.blocks as f64)
}

/// Returns the bytes that training takes beside the data, with `batch` samples a step.
/// `channels` are the network's inputs and outputs.
pub fn of_training(net: &NetConfig, channels: [usize; 2], grid: Grid, batch: usize) -> f64 {
    BYTES * weights(net, channels) * TRAINING_COPIES + batch as f64 * states(net, grid)
}

/// Returns the bytes that one sample takes while a gradient goes through the network.
pub fn of_gradient(net: &NetConfig, grid: Grid) -> f64 {
    states(net, grid)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::net::{UNet, params};

    #[test]
    fn the_estimate_is_near_the_network_that_is_built() {
        let net = |width, multipliers: &[usize], blocks, patch| NetConfig {
            width,
            multipliers: multipliers.to_vec(),
            blocks,
            patch,
        };
        for config in [
            net(32, &[1, 2, 2, 2], 1, 2),
            net(8, &[1, 1], 2, 2),
            net(16, &[1, 2, 4], 1, 1),
            net(24, &[2], 3, 4),
        ] {
            let built = UNet::new(&config, 4, 2, 1, &Device::flex());
            let tensors = params::to_arrays(&built, "").unwrap_or_default();
            let exact: usize = tensors.values().map(|array| array.data.len()).sum();
            let ratio = weights(&config, [4, 2]) / exact as f64;
            assert!((0.75..1.35).contains(&ratio), "{config:?}: {ratio}");
        }
    }
}
