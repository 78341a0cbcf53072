//! The Wasserstein distance of two sets of numbers, exact by sorting.
//!
//! W_p^p = int_0^1 |F^-1(t) - G^-1(t)|^p dt, where F and G are the empirical distribution functions
//! (Peyre and Cuturi, "Computational Optimal Transport", 2019, section 2.6). Sets of different size
//! need no resampling: both quantile functions are steps, and the integral is a merge.

/// The mean of `cost(x - y)` under the optimal coupling of two ascending, non-empty lists, for any
/// convex cost. It is W_1 for `cost = abs` and W_2 squared for `cost = square`.
pub fn transport_cost(x: &[f32], y: &[f32], cost: impl Fn(f64) -> f64) -> f64 {
    // Time t is in units of 1 / (n m): x steps every m, y every n.
    let [n, m] = [x.len() as u64, y.len() as u64];
    let [mut i, mut j, mut t] = [0u64; 3];
    let mut sum = 0.0;
    while i < n && j < m {
        let next = ((i + 1) * m).min((j + 1) * n);
        sum += (next - t) as f64 * cost(f64::from(x[i as usize]) - f64::from(y[j as usize]));
        t = next;
        i = t / m;
        j = t / n;
    }
    sum / (n * m) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn equal_sizes_pair_by_rank() {
        let cost = transport_cost(&[0.0, 1.0, 5.0], &[1.0, 3.0, 5.0], |d| d * d);
        assert!((cost - 5.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn repeating_every_value_changes_nothing() {
        let x = [0.0, 0.5, 4.0];
        let y = [1.0, 3.0];
        let twice = [1.0, 1.0, 3.0, 3.0];
        let cost = |y: &[f32]| transport_cost(&x, y, f64::abs);
        // By hand: [0,1/3) 1, [1/3,1/2) 0.5, [1/2,2/3) 2.5, [2/3,1) 1.
        assert!((cost(&y) - (1.0 / 3.0 + 0.5 / 6.0 + 2.5 / 6.0 + 1.0 / 3.0)).abs() < 1e-12);
        assert!((cost(&y) - cost(&twice)).abs() < 1e-12);
        assert_eq!(transport_cost(&y, &twice, f64::abs), 0.0);
    }
}
