//! Dense factorisations in double precision, to the same bits for any number of threads.

use std::fmt::Debug;
use std::sync::Once;

use faer::linalg::solvers::{Llt, SelfAdjointEigen};
use faer::{Mat, Par, Side};

use crate::{Error, Result};

/// The parts that the crate `faer` divides its work into. It asks for the number of threads
/// otherwise, and its sums depend on the parts.
const PARTS: usize = 8;

/// Fixes the parts of all dense linear algebra of this process, and returns them.
pub(crate) fn parts() -> Par {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| faer::set_global_parallelism(Par::rayon(PARTS)));
    Par::rayon(PARTS)
}

/// Factorises the covariance of observed values (Cholesky); its lower half is read.
///
/// # Errors
/// [`Error::NonFinite`] for a matrix that is not positive definite.
pub(crate) fn cholesky(covariance: &Mat<f64>) -> Result<Llt<f64>> {
    parts();
    covariance
        .llt(Side::Lower)
        .map_err(|reason| singular("covariance of the observed values", reason))
}

/// Decomposes a symmetric matrix into its eigenvectors, in rising order of their values.
///
/// # Errors
/// [`Error::NonFinite`] for an iteration that does not converge; `what` names the matrix.
pub(crate) fn eigen(matrix: &Mat<f64>, what: &str) -> Result<SelfAdjointEigen<f64>> {
    parts();
    matrix.self_adjoint_eigen(Side::Lower).map_err(|reason| singular(what, reason))
}

fn singular(what: &str, reason: impl Debug) -> Error {
    Error::NonFinite(format!("{what}: {reason:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use faer::prelude::Solve;

    use super::*;

    /// A matrix of n rows and its product with its transpose, of full rank or of a third of it.
    fn square(n: usize, rank: usize) -> Mat<f64> {
        let entry = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1009) as f64 / 1009.0 - 0.5;
        let half = Mat::from_fn(n, rank, entry);
        &half * half.transpose()
    }

    fn on_threads<T: Send>(threads: usize, work: impl Fn() -> T + Send + Sync) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        // Large enough to be divided, with eigenvalues that are zero but for rounding.
        let n = 700;
        let matrix = square(n, n / 3);
        let positive = &matrix + Mat::<f64>::identity(n, n);
        let found = [1, 2, 3].map(|threads| {
            on_threads(threads, || {
                let vectors = eigen(&matrix, "a matrix").unwrap().U().to_owned();
                (vectors, cholesky(&positive).unwrap().solve(&matrix))
            })
        });
        assert!(found[0] == found[1] && found[0] == found[2]);
    }

    #[test]
    fn a_matrix_that_is_not_positive_is_named() {
        let error = cholesky(&(-square(4, 4))).err();
        let message = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("covariance of the observed values"), "{message}");
    }
}
