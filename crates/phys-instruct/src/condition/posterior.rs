//! A posterior as an ensemble of joint fields, and its score against a known truth.

use phys_instruct_physics::{Pde, TwoValues};
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::eval::marginal;
use crate::team::Team;
use crate::{Error, Model, Result, Samples};

/// Members that differ by less than this share of the truth's root mean square count as equal. The
/// share is below the rounding of `f32` and above what remains of values that should be zero.
const ALIKE: f64 = 1e-10;

/// Members drawn from a posterior.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// The members.
    pub samples: Samples,
    /// Tells whether members 2 i and 2 i + 1 were drawn from noise of opposite sign
    /// ([`Draw::mirrored`](crate::diffusion::noise::Draw::mirrored)). Their mean varies less than
    /// that of independent members, and they lie further apart. An ensemble with an odd number of
    /// members counts as independent, which makes intervals too wide rather than too narrow.
    pub mirrored: bool,
    /// Network calls behind each member, a backward pass counted as a call.
    pub calls: usize,
    /// The number of members that were asked for and left out because they do not follow the
    /// observations.
    pub left_out: usize,
}

/// The score of a posterior against a known truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// The relative error |mean - truth| / |truth| over the entries asked for. Where each entry has
    /// one of two values, the share of entries on the wrong side.
    pub error: f64,
    /// The share of the entries within the 90 % interval; none for a single member.
    ///
    /// An entry of one of two values has no interval that holds it nine times in ten; nor has one
    /// whose members coincide to rounding. There the truth is ranked among the members, ties broken
    /// at random, and the score is the share of ranks within the middle 90 %. For two values this
    /// detects members that are too sure; only the CRPS detects members that are too unsure.
    pub coverage90: Option<f64>,
    /// The continuous ranked probability score, averaged over the entries and divided by the
    /// truth's root mean square.
    pub crps: f64,
}

/// Entries with one of two values, such as Darcy's coefficient.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoValuedEntries {
    values: TwoValues,
    /// The entries in a flat joint sample, ascending.
    entries: Vec<usize>,
}

impl TwoValuedEntries {
    /// Returns the input entries of `truths`, if the truths or the law of `pde` give the input two
    /// values alone.
    pub fn of(truths: &Samples, pde: &dyn Pde) -> Option<Self> {
        let values =
            marginal::values_of_input(truths, pde).or_else(|| pde.input_law().two_values())?;
        let entries = pde.layout().input.entries(truths.height, truths.width);
        Some(Self { values, entries })
    }

    fn contains(&self, entry: usize) -> bool {
        self.entries.binary_search(&entry).is_ok()
    }

    fn is_high(&self, value: f64) -> bool {
        self.values.is_high(value)
    }
}

impl Posterior {
    /// Returns a posterior of which no member was left out.
    pub fn of(samples: Samples, mirrored: bool, calls: usize) -> Self {
        Self { samples, mirrored, calls, left_out: 0 }
    }

    /// The mean of a model's data as a single member: the answer that uses no observation.
    ///
    /// # Errors
    /// Fails for a mean of another shape than the model's grid.
    pub fn unobserved(model: &Model) -> Result<Self> {
        let (card, mean) = (&model.card, model.statistics.mean.clone());
        let mean = Samples::on_grid(&card.pde, &card.channels, card.grid, mean)?;
        Ok(Self::of(mean, false, 0))
    }

    /// The posterior of member `i` alone, counted from 0.
    pub fn member(&self, i: usize) -> Self {
        Self { samples: self.samples.slice(i..i + 1), mirrored: false, ..*self }
    }

    /// The mean over members, `[channel, y, x]`.
    pub fn mean(&self) -> Vec<f32> {
        self.moments(|values| mean(values) as f32)
    }

    /// The mean over members as a set of one sample.
    pub fn mean_sample(&self) -> Samples {
        Samples { count: 1, data: self.mean(), ..self.samples.slice(0..0) }
    }

    /// The standard deviation over members, `[channel, y, x]`; 0 for a single one.
    pub fn deviation(&self) -> Vec<f32> {
        self.moments(|values| self.deviation_of(values) as f32)
    }

    /// The standard deviation of one entry's members. The divisor is the number of members n for
    /// mirrored pairs, whose mean is fixed by construction, and n - 1 otherwise.
    pub(super) fn deviation_of(&self, values: &[f64]) -> f64 {
        let mean = mean(values);
        let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let free = values.len() as f64 - if self.mirrored { 0.0 } else { 1.0 };
        (square / free.max(1.0)).sqrt()
    }

    fn moments(&self, of: impl Fn(&[f64]) -> f32) -> Vec<f32> {
        (0..self.samples.sample_len()).map(|entry| of(&self.at(entry))).collect()
    }

    /// The values of all members at one entry.
    pub(super) fn at(&self, entry: usize) -> Vec<f64> {
        (0..self.samples.count).map(|i| f64::from(self.samples.sample(i)[entry])).collect()
    }

    /// Returns the members as pairs of the equation, at the cost of one solve each. Every input is
    /// brought to the nearest admissible one (Darcy's two values), and the solution is replaced by
    /// the reference solver's.
    ///
    /// # Errors
    /// Fails if the solver refuses an input, or returns solutions of another shape.
    pub fn solved(&self, pde: &dyn Pde) -> Result<Self> {
        self.solved_by(pde, &Team::ALONE)
    }

    /// Returns the members as [`Posterior::solved`] does, with the solves shared out among the
    /// processes of a team.
    ///
    /// # Errors
    /// Fails as [`Posterior::solved`], and if the connection to the other processes does.
    pub(super) fn solved_by(&self, pde: &dyn Pde, team: &Team) -> Result<Self> {
        let rounded = self.samples.clone().with_input_rounded(pde);
        let (grid, length) = (rounded.grid(), rounded.sample_len());
        let solve = |i: usize| -> Result<Vec<f64>> {
            let pair = pde.solve(grid, &pde.input_of(&rounded.fields(i)))?.fields.data;
            if pair.len() != length {
                return Err(Error::Shape("the solver answers on another grid".into()));
            }
            Ok(pair)
        };
        let own = team.members(rounded.count).into_par_iter().map(solve);
        let own = own.collect::<Result<Vec<_>>>()?;
        let own = own.iter().flatten().map(|&v| v as f32).collect();
        let data = team.gathered(rounded.count, length, own)?;
        Ok(Self { samples: Samples { data, ..rounded }, ..*self })
    }

    /// Scores the posterior against the joint sample `truth` at `entries`. If all of them are
    /// among `two_valued`, the error is the share of entries nearer the wrong value.
    pub fn score(
        &self,
        truth: &[f32],
        entries: &[usize],
        two_valued: Option<&TwoValuedEntries>,
    ) -> Score {
        let n = entries.len() as f64;
        let half = interval(self.samples.count, self.mirrored);
        let norm: f64 = entries.iter().map(|&entry| f64::from(truth[entry]).powi(2)).sum();
        let alike = ALIKE * (norm / n).sqrt();
        let (mut square, mut inside, mut crps) = (0.0, 0.0, 0.0);
        let (mut cells, mut wrong) = (0, 0);

        for &entry in entries {
            let (members, truth) = (self.at(entry), f64::from(truth[entry]));
            let mean = mean(&members);
            square += (mean - truth).powi(2);
            crps += ranked_probability(&members, self.mirrored, truth);

            // Coverage of a cell, of values known to their rounding, and of any other value.
            if let Some(two) = two_valued.filter(|two| two.contains(entry)) {
                cells += 1;
                wrong += usize::from(two.is_high(mean) != two.is_high(truth));
                let same = members.iter().filter(|&&m| two.is_high(m) == two.is_high(truth));
                inside += within_middle(0, same.count(), members.len());
            } else if coincide(&members, alike) {
                let below = members.iter().filter(|&&m| m < truth - alike).count();
                let same = members.iter().filter(|&&m| (m - truth).abs() <= alike).count();
                inside += within_middle(below, same, members.len());
            } else if let Some(half) = half {
                let within = (mean - truth).abs() <= half * self.deviation_of(&members);
                inside += if within { 1.0 } else { 0.0 };
            }
        }

        let all = cells == entries.len();
        Score {
            error: if all { wrong as f64 / n } else { (square / norm).sqrt() },
            coverage90: half.map(|_| inside / n),
            crps: crps / n / (norm / n).sqrt(),
        }
    }
}

/// The share of a truth's randomised rank that lies within the middle 90 % of all ranks.
///
/// Among the `members`, `below` lie below the truth and `alike` are equal to it. The truth's rank
/// among the equal ones is drawn at random. The mean share is 0.9 where the truth is distributed as
/// the members are. This is the randomised probability integral transform (Czado, Gneiting and
/// Held, Biometrics 65, 2009).
fn within_middle(below: usize, alike: usize, members: usize) -> f64 {
    let [start, end] = [below, below + alike + 1].map(|rank| rank as f64 / (members + 1) as f64);
    (end.min(0.95) - start.max(0.05)).max(0.0) / (end - start)
}

/// Tells whether any two members differ by at most `alike`.
pub(super) fn coincide(members: &[f64], alike: f64) -> bool {
    let mut sorted = members.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.windows(2).any(|pair| pair[1] - pair[0] <= alike)
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Student's t that holds for a further draw from a normal law: its law, and its scale in standard
/// deviations of `members` draws; none for a single member.
///
/// There are `members - 1` degrees of freedom, and the scale is sqrt(1 + 1 / `members`) for the
/// error of the draws' mean. For `mirrored` pairs there are `members / 2` degrees, and the mean has
/// no such error.
pub(super) fn further_draw(members: usize, mirrored: bool) -> Option<(StudentsT, f64)> {
    if members < 2 {
        return None;
    }
    let (degrees, of_mean) =
        if mirrored { (members / 2, 0.0) } else { (members - 1, 1.0 / members as f64) };
    let law = StudentsT::new(0.0, 1.0, degrees as f64).ok()?;
    Some((law, f64::sqrt(1.0 + of_mean)))
}

/// Half the 90 % interval of a further draw, in standard deviations of `members` draws; none for a
/// single member.
fn interval(members: usize, mirrored: bool) -> Option<f64> {
    further_draw(members, mirrored).map(|(law, scale)| scale * law.inverse_cdf(0.95))
}

/// The fair estimate of the CRPS, E|X - t| - E|X - X'| / 2, from the members (Ferro 2014).
///
/// - Independent members: X - X' runs over all pairs.
/// - Mirrored pairs: only members of different pairs count.
/// - A single mirrored pair: its distance over sqrt(2), as for a normal law.
/// - One member: |x - t|.
fn ranked_probability(members: &[f64], mirrored: bool, truth: f64) -> f64 {
    let n = members.len() as f64;
    let to_truth = members.iter().map(|x| (x - truth).abs()).sum::<f64>() / n;
    if members.len() == 1 {
        return to_truth;
    }

    // The sum of |x - x'| over all pairs, from the sorted members.
    let mut sorted = members.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = |(i, x): (usize, &f64)| (2.0 * i as f64 + 1.0 - n) * x;
    let mut spread: f64 = sorted.iter().enumerate().map(rank).sum();
    let mut pairs = n * (n - 1.0) / 2.0;

    if mirrored && members.len() == 2 {
        spread *= std::f64::consts::FRAC_1_SQRT_2;
    } else if mirrored {
        let apart = members.chunks_exact(2).map(|pair| (pair[0] - pair[1]).abs());
        pairs -= apart.len() as f64;
        spread -= apart.sum::<f64>();
    }
    to_truth - spread / (2.0 * pairs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::rng;

    use super::*;
    use crate::testing::{gaussian_samples, samples_from, samples_of};

    #[test]
    fn the_score_of_standard_normal_members_is_the_known_one() {
        // The expected CRPS of a normal forecast of its own law is 1 / sqrt(pi). The mean of 20
        // independent members is off by sqrt(1 + 1 / 20) of the truth, that of mirrored ones by
        // the truth alone.
        let truth = gaussian_samples(1, 1, 64, 1);
        let entries: Vec<usize> = (0..64 * 64).collect();
        for (members, mirrored, error) in
            [(20, false, 1.05f64.sqrt()), (20, true, 1.0), (2, true, 1.0)]
        {
            let mut samples = gaussian_samples(members, 1, 64, 2);
            if mirrored {
                samples.data.chunks_mut(2 * 64 * 64).for_each(mirror);
            }
            let posterior = Posterior::of(samples, mirrored, 1);
            let score = posterior.score(truth.sample(0), &entries, None);
            assert!((score.error - error).abs() < 0.01 * error, "{score:?}");
            assert!((score.coverage90.unwrap() - 0.9).abs() < 0.015, "{score:?}");
            assert!((score.crps - 1.0 / std::f64::consts::PI.sqrt()).abs() < 0.01, "{score:?}");
        }
    }

    /// Makes the second half of a pair the negative of the first.
    fn mirror<T: Copy + std::ops::Neg<Output = T>>(pair: &mut [T]) {
        let (one, other) = pair.split_at_mut(pair.len() / 2);
        other.iter_mut().zip(one).for_each(|(to, v)| *to = -*v);
    }

    #[test]
    fn the_interval_holds_nine_in_ten_for_any_number_of_members() {
        let covered = |members: usize, drawn_mirrored: bool, mirrored: bool| {
            let half = interval(members, mirrored).unwrap();
            let any = Posterior::of(gaussian_samples(1, 1, 1, 0), mirrored, 1);
            let hit = |i: u64| {
                let mut draws = rng::normals(&mut rng::stream(3, "interval", 0, i), members + 1);
                let (next, own) = draws.split_last_mut().unwrap();
                if drawn_mirrored {
                    own.chunks_exact_mut(2).for_each(mirror);
                }
                (*next - mean(own)).abs() <= half * any.deviation_of(own)
            };
            (0..20_000).filter(|&i| hit(i)).count() as f64 / 20_000.0
        };
        let share = |members, mirrored| covered(members, mirrored, mirrored);
        let left_over = |members| covered(members, true, false);
        for members in [2, 3, 4, 5, 8, 40] {
            let share = share(members, false);
            assert!((share - 0.9).abs() < 0.01, "{members}: {share}");
        }
        for members in [2, 4, 6, 8, 16, 40] {
            let share = share(members, true);
            assert!((share - 0.9).abs() < 0.01, "{members} in pairs: {share}");
        }
        for members in [3, 5, 15] {
            let share = left_over(members);
            assert!((0.89..0.98).contains(&share), "{members} with one left over: {share}");
        }
        assert_eq!((interval(1, false), interval(1, true)), (None, None));
    }

    #[test]
    fn the_ranked_score_is_the_mean_over_pairs() {
        let members = [0.3f64, -1.0, 2.0, 0.5];
        let pairs: f64 =
            members.iter().flat_map(|a| members.iter().map(move |b| (a - b).abs())).sum();
        let direct = members.iter().map(|x: &f64| (x - 0.1).abs()).sum::<f64>() / 4.0;
        let expected = direct - pairs / (2.0 * 12.0);
        assert!((ranked_probability(&members, false, 0.1) - expected).abs() < 1e-12);
        let expected = direct - (pairs - 2.0 * (1.3 + 1.5)) / (2.0 * 8.0);
        assert!((ranked_probability(&members, true, 0.1) - expected).abs() < 1e-12);
        assert_eq!(ranked_probability(&[2.0], true, 0.5), 1.5);
    }

    #[test]
    fn two_valued_fields_are_scored_by_their_wrong_entries() {
        let truth = [3.0, 12.0, 12.0, 3.0];
        let samples = samples_of(1, 1, 2, 2, vec![4.0, 7.0, 11.0, 9.0]);
        let posterior = Posterior::of(samples, false, 1);
        let two = TwoValuedEntries { values: TwoValues::new(3.0, 12.0), entries: vec![0, 1, 2, 3] };
        let score = posterior.score(&truth, &[0, 1, 2, 3], Some(&two));
        assert_eq!((score.error, score.coverage90), (0.5, None));
        let some = TwoValuedEntries { entries: vec![0, 1, 2], ..two };
        let score = posterior.score(&truth, &[0, 1, 2, 3], Some(&some));
        assert!((score.error - (63.0f64 / 306.0).sqrt()).abs() < 1e-6);
    }

    /// Three members: one is low in the first cell, all are low in the second; the third entry is
    /// no cell.
    #[test]
    fn cells_and_values_are_covered_each_in_their_way() {
        let members = vec![4.0, 3.0, 1.0, 11.0, 3.5, 2.0, 12.0, 4.0, 3.0];
        let posterior = Posterior::of(samples_of(3, 1, 1, 3, members), false, 1);
        let two = TwoValuedEntries { values: TwoValues::new(3.0, 12.0), entries: vec![0, 1] };
        let covered = |truth: [f32; 3], entries: &[usize]| {
            posterior.score(&truth, entries, Some(&two)).coverage90.unwrap()
        };
        assert!((covered([12.0, 3.0, 0.0], &[0]) - 0.7 / 0.75).abs() < 1e-12);
        assert!((covered([3.0, 3.0, 0.0], &[0]) - 0.45 / 0.5).abs() < 1e-12);
        assert!((covered([3.0, 3.0, 0.0], &[1]) - 0.9).abs() < 1e-12);
        assert_eq!(covered([3.0, 3.0, 2.5], &[2]), 1.0);
        assert_eq!(covered([3.0, 3.0, 99.0], &[2]), 0.0);
        assert!((covered([12.0, 3.0, 99.0], &[0, 1, 2]) - (0.7 / 0.75 + 0.9) / 3.0).abs() < 1e-12);
    }

    /// Cells are high with probabilities from certainty to 1/2. Members that do not know the
    /// probability are detected.
    #[test]
    fn ranks_of_two_values_are_within_the_middle_nine_times_in_ten() {
        const CELLS: u64 = 20_000;
        let covered = |members: usize, mirrored: bool, sure: bool| {
            let cell = |i: u64| {
                let mut draws = rng::normals(&mut rng::stream(4, "cells", 0, i), members + 1);
                if mirrored {
                    draws[..members].chunks_exact_mut(2).for_each(mirror);
                }
                let high: Vec<bool> = draws.iter().map(|v| *v > (i % 8) as f64 * 0.5).collect();
                let alike = |&&own: &&bool| high[members] == (own && !sure);
                within_middle(0, high[..members].iter().filter(alike).count(), members)
            };
            (0..CELLS).map(cell).sum::<f64>() / CELLS as f64
        };
        for members in [2, 5, 16] {
            let share = covered(members, false, false);
            assert!((share - 0.9).abs() < 0.01, "{members}: {share}");
        }

        // Mirrored pairs coincide less often.
        let share = covered(16, true, false);
        assert!((share - 0.9).abs() < 0.02, "{share}");
        assert!(covered(16, false, true) < 0.85);
    }

    /// Normal values are rounded to a step of the size of their deviation. An interval that holds
    /// a value then holds all values that round to it.
    #[test]
    fn rounded_values_are_covered_nine_times_in_ten() {
        const STEP: f32 = 1.5;
        let entries: Vec<usize> = (0..64 * 64).collect();
        let rounded = |samples: &mut Samples| {
            samples.data.iter_mut().for_each(|v| *v = (*v / STEP).round() * STEP);
        };
        let mut truth = gaussian_samples(1, 1, 64, 1);
        rounded(&mut truth);
        let covered = |samples: Samples, mirrored: bool| {
            let posterior = Posterior::of(samples, mirrored, 1);
            posterior.score(truth.sample(0), &entries, None).coverage90.unwrap()
        };
        for mirrored in [false, true] {
            let mut samples = gaussian_samples(16, 1, 64, 2);
            if mirrored {
                samples.data.chunks_mut(2 * 64 * 64).for_each(mirror);
            }
            rounded(&mut samples);
            let share = covered(samples, mirrored);
            assert!((share - 0.9).abs() < 0.01, "{mirrored}: {share}");
        }
        // Zero has two signs.
        let known = [0.0, -0.0].map(|zero| samples_of(2, 1, 1, 1, vec![zero, -zero]));
        for samples in known {
            let posterior = Posterior::of(samples, false, 1);
            let share = posterior.score(&[0.0], &[0], None).coverage90.unwrap();
            assert!((share - 0.9).abs() < 1e-12, "{share}");
        }
    }

    #[test]
    fn solved_members_are_pairs_of_the_equation() {
        let pde = phys_instruct_physics::poisson::Poisson::default();
        let mut samples = samples_from(&pde, 2, 16, 3);
        let exact = samples.clone();
        for sample in samples.data.chunks_mut(512) {
            sample[256..].fill(0.0);
        }
        let solved = Posterior::of(samples, false, 1).solved(&pde).unwrap();
        let far = solved.samples.data.iter().zip(&exact.data).map(|(a, b)| (a - b).abs());
        assert!(far.fold(0.0, f32::max) < 1e-6);
    }
}
