//! The seeds behind the sets of samples that no config names, in one place so that no two sets
//! meet.
//!
//! A run's own seed and its data's come from its config; shipped configs stay below [`RESERVED`].

/// The seed from which on all are taken: a config's data must come from one below.
pub const RESERVED: u64 = 2_000_000;

/// The number of seeds that each set below may count up from its first.
pub const ROOM: u64 = 500_000;

/// Held-out data that `sample`, `eval` and `bench unconditional` measure against.
pub const REFERENCE: u64 = 2_000_000;
/// The reference solver's own row of `bench unconditional`.
pub const SOLVER: u64 = 3_000_000;
/// The data on which `bench tune` searches.
pub const TUNING: u64 = 4_000_000;
/// The noise of the samples by which a distillation is watched.
pub const MONITOR: u64 = 5_000_000;
/// The test problems of `solve --make-obs`.
pub const PROBLEM: u64 = 6_000_000;
/// The problems of `bench conditional`.
pub const CONDITIONAL: u64 = 7_000_000;
/// The problems on which `bench conditional` searches the weights of guidance.
pub const CONDITIONAL_TUNING: u64 = 7_500_000;
/// The problems of `solve --check`.
pub const CHECK: u64 = 8_500_000;
/// The samples by which `bench conditional` interpolates.
pub const INTERPOLATION: u64 = 8_000_000;
/// The problems of `experiments/warnings`.
pub const WARNED: u64 = 9_000_000;

/// The noise of the samples of `bench tune`, which no table uses. Noise has streams of its own, so
/// that it shares none with data of the same seed.
pub const TUNING_NOISE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sets_share_a_seed() {
        let mut all = [
            REFERENCE,
            SOLVER,
            TUNING,
            MONITOR,
            PROBLEM,
            CONDITIONAL,
            CONDITIONAL_TUNING,
            INTERPOLATION,
            CHECK,
            WARNED,
        ];
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= ROOM), "{all:?}");
        assert_eq!(all.first(), Some(&RESERVED));
    }
}
