//! The steps of a training or of one of its phases, and the course of their learning rate.

use super::check::Keys;
use crate::Result;

/// Steps whose learning rate rises linearly, is held, and falls to zero as a cosine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Steps.
    pub steps: usize,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Share of the steps over which the learning rate falls to zero at the end.
    pub decay: f64,
}

impl Schedule {
    /// Checks the numbers; `at` is the table's name.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        let keys = Keys(at);
        keys.count("steps", self.steps, 1..=usize::MAX)?;
        keys.share("decay", self.decay)
    }

    /// A warm-up that outlasts the steps; `at` is the table's name.
    pub(super) fn warning(&self, at: &str) -> Option<String> {
        let Self { steps, warmup, .. } = *self;
        (warmup > steps).then(|| {
            format!(
                "{at}.warmup = {warmup} is more than {at}.steps = {steps}: the learning rate stays \
                 below its peak"
            )
        })
    }

    /// The share of the peak learning rate at `step`, counted from 0.
    pub fn share(&self, step: u64) -> f64 {
        let rise = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let progress = step as f64 / self.steps.max(1) as f64;
        let into_decay = (progress - (1.0 - self.decay)) / self.decay.max(1e-9);
        rise * 0.5 * (1.0 + (std::f64::consts::PI * into_decay.clamp(0.0, 1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_holds_and_falls_to_zero() {
        let schedule = Schedule { steps: 1000, warmup: 100, decay: 0.5 };
        assert!(schedule.share(0) < 0.011 && schedule.share(49) < 0.51);
        assert_eq!(schedule.share(300), 1.0);
        assert!((schedule.share(750) - 0.5).abs() < 1e-9);
        assert!(schedule.share(999) < 1e-4);
    }
}
