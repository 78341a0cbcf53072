//! The parts of a PDE's samples as tensors: the input, the solution, and the values that the input
//! may take.

use burn::tensor::Tensor;
use phys_instruct_physics::{Channel, Layout, Part, Pde, TwoValues};

/// The channels of a PDE's samples, their division into input and solution, and the input's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// The channels, in order.
    pub channels: Vec<Channel>,
    /// The division into input and solution.
    pub layout: Layout,
    /// The two values of the input; none if its law has no such values.
    pub values: Option<TwoValues>,
}

impl Parts {
    /// The parts of the samples of `pde`.
    pub fn of(pde: &dyn Pde) -> Self {
        let values = pde.input_law().two_values();
        Self { channels: pde.channels(), layout: pde.layout(), values }
    }

    /// The parts of samples whose first channel is an input of any values.
    pub fn first_channel(channels: &[Channel]) -> Self {
        let layout = Layout::first_channel(channels.len());
        Self { channels: channels.to_vec(), layout, values: None }
    }

    /// The input of samples `x` `[batch, channel, y, x]`.
    pub fn input(&self, x: Tensor<4>) -> Tensor<4> {
        part_of(x, &self.layout.input)
    }

    /// The samples `x` with an input of two values rounded to the nearer of them, which detaches
    /// it. They are unchanged if the law has no such values.
    pub fn rounded(&self, x: Tensor<4>) -> Tensor<4> {
        let Some(two) = self.values else { return x };
        let input = self.input(x.clone()).detach();
        let high = input.greater_equal_elem(two.middle()).float();
        with_part(x, &self.layout.input, high * two.gap() + two.low)
    }
}

/// A part of samples `x` `[batch, channel, y, x]`.
pub(crate) fn part_of(x: Tensor<4>, part: &Part) -> Tensor<4> {
    let rows = part.rows_of(x.dims()[2]);
    x.narrow(1, part.channels.start, part.channels.len()).narrow(2, rows.start, rows.len())
}

/// The samples `x` with other `values` in a part of them.
pub(crate) fn with_part(x: Tensor<4>, part: &Part, values: Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = x.dims();
    let ranges = [0..batch, part.channels.clone(), part.rows_of(height), 0..width];
    x.slice_assign(ranges, values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;
    use phys_instruct_physics::registry;

    use super::*;
    use crate::net::params::values;
    use crate::testing::{samples_from, samples_of};

    /// The rounding is that of [`crate::Samples::with_input_rounded`].
    #[test]
    fn only_an_input_of_two_values_is_rounded() {
        let samples = samples_of(2, 2, 1, 2, vec![2.0, 7.4, 0.1, 0.2, 7.5, 20.0, 0.3, 0.4]);
        for pde in ["darcy", "poisson"].map(|name| registry::by_name(name).unwrap()) {
            let rounded =
                Parts::of(pde.as_ref()).rounded(samples.clone().into_tensor(&Device::flex()));
            assert_eq!(values(rounded), samples.clone().with_input_rounded(pde.as_ref()).data);
        }
    }

    #[test]
    fn a_line_of_two_values_is_rounded_and_what_follows_is_not() {
        let two = Some(TwoValues::new(0.0, 1.0));
        let parts = Parts { layout: Layout::first_row(), values: two, ..Parts::first_channel(&[]) };
        let x = samples_of(1, 1, 2, 2, vec![0.4, 0.7, 0.4, 0.7]).into_tensor(&Device::flex());
        let x = x.autodiff().require_grad();
        let rounded = parts.rounded(x.clone());
        assert_eq!(values(rounded.clone().inner()), [0.0, 1.0, 0.4, 0.7]);
        let gradients = rounded.sum().backward();
        assert_eq!(values(x.grad(&gradients).unwrap()), [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn the_input_is_the_one_that_the_solver_takes() {
        for pde in registry::all() {
            let samples = samples_from(pde.as_ref(), 1, 16, 1);
            let input = pde.input_of(&samples.fields(0));
            let found = Parts::of(pde.as_ref()).input(samples.into_tensor(&Device::flex()));
            assert_eq!(found.dims(), [1, input.channels, input.height, input.width]);
            assert!(values(found).iter().zip(&input.data).all(|(a, b)| f64::from(*a) == *b));
        }
    }
}
