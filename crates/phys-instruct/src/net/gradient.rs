//! The gradient of a loss at the tensor that it was computed from.

use burn::tensor::Tensor;

use crate::{Error, Result};

/// The gradient of `loss` at `leaf`, which must require gradients, as a plain tensor. `of` names
/// the quantity in error messages.
///
/// # Errors
/// Fails if the loss does not depend on the leaf.
pub fn gradient<const D: usize>(of: &str, loss: &Tensor<1>, leaf: &Tensor<D>) -> Result<Tensor<D>> {
    let independent = || Error::Backend(format!("{of} does not depend on the sample"));
    if !loss.is_tracked() {
        return Err(independent());
    }
    leaf.grad(&loss.backward()).ok_or_else(independent)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Device;

    use super::*;
    use crate::net::params::values;

    fn leaf() -> Tensor<2> {
        Tensor::<2>::ones([2, 3], &Device::flex()).autodiff().require_grad()
    }

    #[test]
    fn a_loss_that_depends_has_its_gradient() {
        let leaf = leaf();
        let loss = (leaf.clone() * 3.0).sum();
        assert_eq!(values(gradient("the loss", &loss, &leaf).unwrap()), vec![3.0; 6]);
    }

    #[test]
    fn a_loss_that_does_not_is_an_error() {
        let other = leaf().sum();
        let constant = Tensor::<2>::ones([2, 3], &Device::flex()).sum();
        for loss in [other, constant.clone(), constant.autodiff()] {
            let message = gradient("the residual", &loss, &leaf()).unwrap_err().to_string();
            assert!(message.contains("the residual does not depend"), "{message}");
        }
    }
}
