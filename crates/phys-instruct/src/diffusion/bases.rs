//! The bases that fit the channels' boundaries, as matrices on a device.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::{Channel, Grid, transform::basis_matrix};

/// The basis matrices of every channel, `[1, channel, mode, point]`.
#[derive(Debug, Clone)]
pub struct Bases {
    /// The matrices along y.
    pub y: Tensor<4>,
    /// The matrices along x.
    pub x: Tensor<4>,
}

impl Bases {
    /// Builds the bases of `channels` for fields on a grid.
    pub fn new(channels: &[Channel], grid: Grid, device: &Device) -> Self {
        let stack = |axis: usize| {
            let size = grid.shape()[axis];
            let data: Vec<f32> = channels
                .iter()
                .flat_map(|c| basis_matrix(c.basis[axis], size))
                .map(|v| v as f32)
                .collect();
            Tensor::from_data(TensorData::new(data, [1, channels.len(), size, size]), device)
        };
        Self { y: stack(0), x: stack(1) }
    }

    /// The modes of `fields`, both `[batch, channel, y, x]`.
    pub fn modes(&self, fields: Tensor<4>) -> Tensor<4> {
        self.y.clone().matmul(fields).matmul(self.x.clone().swap_dims(2, 3))
    }

    /// The fields of `modes`, both `[batch, channel, y, x]`.
    pub fn fields(&self, modes: Tensor<4>) -> Tensor<4> {
        self.y.clone().swap_dims(2, 3).matmul(modes).matmul(self.x.clone())
    }
}
