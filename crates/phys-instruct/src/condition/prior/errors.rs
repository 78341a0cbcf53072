//! Estimates of errors that nobody stated, and of errors that are larger than stated.
//!
//! Under the prior the values are normal with the mean m and the covariance V of
//! [`super::expectation`]. Unstated errors are a common share of their field's deviation. The most
//! probable share is taken. The logarithm of the share is normal before the values are seen, with
//! mean ln 0.01 and deviation ln 10. Where few values carry little information on the share, it
//! stays near 1 %.
//!
//! Robust errors follow Student's t with four degrees of freedom instead of the normal law. Each
//! error e is normal with its own variance sd^2 / w. The weight w is iterated to its expectation
//! (4 + 1) / (4 + the expected square of e / sd). This is the EM algorithm of Lange, Little and
//! Taylor, J. Am. Stat. Assoc. 84, 1989.

use faer::Mat;
use faer::linalg::solvers::DenseSolveCore;
use faer::prelude::Solve;

use crate::Result;
use crate::condition::prior::expectation::Seen;
use crate::linalg::cholesky;

/// The expected size of an error, as a share of its field's deviation.
const EXPECTED: f64 = 0.01;
/// The factor by which an error may well be larger or smaller than expected.
const FACTOR: f64 = 10.0;
/// The smallest share that is tried.
const SMALLEST: f64 = 1e-4;
/// The number of factors of 10 that the shares span.
const DECADES: usize = 4;
/// The number of shares for each factor of 10.
const EACH: usize = 6;
/// The degrees of freedom of robust errors: the tails allow an error of ten deviations.
const DEGREES: f64 = 4.0;
/// The least weight: that of an error a million times as large as stated.
const LEAST_WEIGHT: f64 = 1e-12;
/// The most iterations.
const STEPS: usize = 50;
/// The iteration ends when no weight changes by more than this.
const SETTLED: f64 = 1e-3;

impl Seen {
    /// The most probable size of unstated errors, as a share of their field's deviation.
    ///
    /// # Errors
    /// Fails if the covariance is not finite.
    pub(crate) fn likely_share(&self) -> Result<f64> {
        let shares = (0..=DECADES * EACH).map(|i| SMALLEST * 10f64.powf(i as f64 / EACH as f64));
        let mut best = (f64::NEG_INFINITY, EXPECTED);
        for share in shares {
            let before = (share / EXPECTED).ln() / FACTOR.ln();
            let density = self.log_density(share)? - 0.5 * before * before;
            if density > best.0 {
                best = (density, share);
            }
        }
        Ok(best.1)
    }

    /// Returns the logarithm of the values' density under the prior, up to a constant.
    fn log_density(&self, share: f64) -> Result<f64> {
        let n = self.values.len();
        let sd = self.errors(share);
        // In units of each value's field, so that the matrix is well scaled.
        let covariance = Mat::from_fn(n, n, |i, j| {
            let own = if i == j { sd[i] * sd[i] } else { 0.0 };
            (self.expectation.covariance[(i, j)] + own) / (self.unit[i] * self.unit[j])
        });
        let away = self.away();
        let factor = cholesky(&covariance)?;
        let solved = factor.solve(&away);
        let square: f64 = (0..n).map(|i| away[(i, 0)] * solved[(i, 0)]).sum();
        let determinant: f64 = (0..n).map(|i| factor.L()[(i, i)].ln()).sum();
        Ok(-0.5 * square - determinant)
    }

    /// The differences v - m in units of each value's field.
    fn away(&self) -> Mat<f64> {
        let one = |i: usize| (self.values[i] - self.expectation.mean[i]) / self.unit[i];
        Mat::from_fn(self.values.len(), 1, |i, _| one(i))
    }

    /// The deviations of robust errors: those stated, divided by the square root of each error's
    /// weight.
    ///
    /// # Errors
    /// Fails if the covariance is not finite.
    pub(crate) fn robust(&self) -> Result<Vec<f64>> {
        let n = self.values.len();
        let stated = self.errors(EXPECTED);
        let away = self.away();

        let mut weights = vec![1.0; n];
        for _ in 0..STEPS {
            let variance = |i: usize, w: &[f64]| (stated[i] / self.unit[i]).powi(2) / w[i];
            let covariance = Mat::from_fn(n, n, |i, j| {
                let own = if i == j { variance(i, &weights) } else { 0.0 };
                self.expectation.covariance[(i, j)] / (self.unit[i] * self.unit[j]) + own
            });
            let inverse = cholesky(&covariance)?.inverse();
            let pulls = &inverse * &away;

            // Given the values, an error has the mean S b and the variance S - S V^-1 S.
            let next: Vec<f64> = (0..n)
                .map(|i| {
                    let s = variance(i, &weights);
                    let square = (s * pulls[(i, 0)]).powi(2) + s - s * s * inverse[(i, i)];
                    let in_units = square.max(0.0) * (self.unit[i] / stated[i]).powi(2);
                    ((DEGREES + 1.0) / (DEGREES + in_units)).max(LEAST_WEIGHT)
                })
                .collect();

            let moved = next.iter().zip(&weights).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            weights = next;
            if moved < SETTLED {
                break;
            }
        }
        Ok(stated.iter().zip(&weights).map(|(sd, w)| sd / w.sqrt()).collect())
    }
}
