//! Moments of the exponential, the coefficients of exponential time differencing.

/// Returns the moments `int_0^1 s^p e^(-z (1 - s)) ds` for p = 0, 1, 2, 3 and z >= 0. In the usual
/// notation they are `p! phi_(p+1)(-z)`.
pub fn moments(z: f64) -> [f64; 4] {
    // The recursion divides by z; below 1 it would lose digits, and the series converges at once.
    if z < 1.0 {
        return [0, 1, 2, 3].map(|p| moment_by_series(z, p));
    }

    let mut moments = [-(-z).exp_m1() / z; 4];
    for p in 1..4 {
        moments[p] = (1.0 - p as f64 * moments[p - 1]) / z;
    }
    moments
}

/// Sums the series `sum_j (-z)^j p! / (p + j + 1)!`, which converges to rounding for z < 1.
fn moment_by_series(z: f64, p: u32) -> f64 {
    let mut term = 1.0 / f64::from(p + 1);
    let mut sum = term;
    for j in 0..20 {
        term *= -z / f64::from(p + j + 2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_agree_with_quadrature() {
        for z in [0.0, 1e-9, 0.3, 0.999, 1.001, 4.0, 50.0] {
            for (p, moment) in moments(z).into_iter().enumerate() {
                let count = 20_000;
                let midpoint = |i: i32| {
                    let s = (f64::from(i) + 0.5) / f64::from(count);
                    s.powi(p as i32) * (-z * (1.0 - s)).exp() / f64::from(count)
                };
                let expected: f64 = (0..count).map(midpoint).sum();
                assert!(
                    (moment / expected - 1.0).abs() < 2e-6,
                    "z {z}, p {p}: {moment} {expected}"
                );
            }
        }
    }

    #[test]
    fn both_branches_meet() {
        let [below, above] = [1.0 - 1e-15, 1.0].map(moments);
        for (b, a) in below.iter().zip(above) {
            assert!((b / a - 1.0).abs() < 1e-14, "{b} {a}");
        }
    }
}
