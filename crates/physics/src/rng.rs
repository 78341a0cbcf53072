//! Counter-based random numbers. Every draw is a function of (seed, stream, step, index), so that
//! resuming, reordering and the number of workers change nothing.

pub use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Returns a generator that depends on its four coordinates alone.
///
/// `stream` names the purpose (`"input"`, `"noise"`). `step` is the training step or 0, and `index`
/// is the sample within the step.
pub fn stream(seed: u64, stream: &str, step: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(stream).to_le_bytes());
    key[16..24].copy_from_slice(&step.to_le_bytes());
    key[24..].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Returns a uniform draw in the open interval (0, 1).
pub fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Returns a standard normal draw (by Box and Muller).
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * uniform(rng).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(rng)).cos()
}

/// Returns `n` standard normal draws.
pub fn normals(rng: &mut ChaCha8Rng, n: usize) -> Vec<f64> {
    (0..n).map(|_| normal(rng)).collect()
}

/// Returns the 64-bit FNV-1a hash of a text.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_coordinate_changes_the_stream() {
        let first = |s, name, step, i| stream(s, name, step, i).next_u64();
        let all = [
            first(1, "a", 0, 0),
            first(2, "a", 0, 0),
            first(1, "b", 0, 0),
            first(1, "a", 1, 0),
            first(1, "a", 0, 1),
        ];
        for (i, x) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|y| y != x));
        }
        assert_eq!(first(1, "a", 0, 0), all[0]);
    }

    #[test]
    fn normal_draws_have_the_moments_of_a_standard_normal() {
        let draws = normals(&mut stream(7, "moments", 0, 0), 200_000);
        let mean = |p: i32| draws.iter().map(|x| x.powi(p)).sum::<f64>() / draws.len() as f64;
        assert!(mean(1).abs() < 0.01);
        assert!((mean(2) - 1.0).abs() < 0.02);
        assert!((mean(4) - 3.0).abs() < 0.1);
    }
}
