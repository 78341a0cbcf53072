//! The wording of warnings.

use phys_instruct_physics::Pde;
use serde::Serialize;

use crate::Samples;
use crate::condition::Observations;
use crate::condition::digits::{given, place, short, within};
use crate::condition::explained::Explained;
use crate::condition::observations::{label, place::Lattice};
use crate::condition::prior::expectation::Surprise;
use crate::model::Card;
use crate::problem::{self, Description};

/// A number above its usual one by this factor is unusual. One in a hundred of the prior's samples
/// exceeds a usual number. Six numbers are examined, so that about two cases in a hundred are
/// warned of without cause.
const UNUSUAL: f64 = 1.2;
/// The factor for a value given all others. It is small, since that number grows slowly with the
/// rarity of a sample.
const CONTRADICTED: f64 = 1.05;
/// The factor for the size of a field's values, either way.
const MISSIZED: f64 = 1.5;
/// All values together, or the field that they show, are unusually near the mean if their number is
/// below the least usual one by this factor. It is large, since strongly dependent values are often
/// near the mean by chance.
const QUIET: f64 = 2.0;
/// The least number of values whose size, and whose closeness to the mean, is examined.
const FEW: usize = 5;
/// The largest chi that passes. At the truth, the chi of a single value exceeds it in three cases
/// of a thousand, and that of many values never.
const LARGEST_CHI: f64 = 3.0;
/// The largest share of a field's deviation that unstated errors may seem to have.
const LARGEST_SHARE: f64 = 0.25;
/// The largest chi of a single value that passes, among thousands of them.
const LARGEST_SINGLE: f64 = 6.0;
/// The largest PDE error of an answer that passes, relative to the model's own.
const LARGEST_PDE_ERROR: f64 = 10.0;
/// The number of its errors by which a value may miss its field's range.
const OUT_OF_RANGE: f64 = 3.0;
/// The share of an answer's values outside their field's range from which on they are warned of.
const LARGEST_SHARE_OUTSIDE: f64 = 0.01;
/// The most observations that a warning names.
const NAMED: usize = 3;
/// A field's typical size fits another field of the model if both agree within this factor.
const FITS: f64 = 3.0;

/// The subject of warnings about what is left of the observations without their errors.
const SHOWN: &str = "the field that the observations show, less their errors, lies";

/// The subject of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concern {
    /// A value that the model does not know.
    OutsidePrior,
    /// A value that its neighbours contradict.
    Outlier,
    /// All values together.
    Together,
    /// A common offset of a field's values.
    Offset,
    /// A model that is known to have collapsed.
    Model,
    /// An answer with values that its field cannot have.
    OutOfRange,
    /// An answer that does not agree with the observations.
    Unexplained,
    /// An answer that does not satisfy the equation.
    PdeError,
    /// Members without an answer.
    LeftOut,
}

/// A warning about observations or an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Warning {
    /// The subject.
    pub concern: Concern,
    /// The finding, its place, and the likely cause.
    pub message: String,
}

/// The mean and the standard deviation of a channel of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FieldLaw {
    pub mean: f64,
    pub deviation: f64,
}

fn warning(concern: Concern, message: String) -> Warning {
    Warning { concern, message }
}

/// Describes an observation: `u = 45.3 at y 0.21, x 0.34 (number 7)`.
pub(super) fn named(observations: &Observations, lattice: &Lattice, i: usize) -> String {
    let point = &observations.points()[i];
    let at = lattice.coordinates(point.channel, [point.row, point.column]);
    let (field, label) = (&observations.channels()[point.channel], observations.label(i));
    let [y, x] = place(at, lattice.grid());
    format!("{field} = {} at y {y}, x {x} ({label})", given(point.value))
}

/// The advice on a wrong value, behind a warning; empty where the answer is robust already.
pub(super) fn advice(is_robust: bool) -> &'static str {
    if is_robust { "" } else { " --robust keeps a wrong value from spoiling the rest" }
}

/// The warnings about observations before any answer, with the `advice` on a wrong value.
pub(super) fn of_surprise(
    surprise: &Surprise,
    observations: &Observations,
    lattice: &Lattice,
    laws: &[FieldLaw],
    advice: &str,
) -> Vec<Warning> {
    let case = Case { surprise, observations, lattice, laws, advice };
    let outside = ordered(&surprise.alone, UNUSUAL * surprise.usual.alone);
    let mut warnings = Vec::from_iter(case.outside(&outside));

    // A single wrong value explains the other numbers too, so they add nothing.
    if outside.len() == 1 && surprise.alone.len() > 1 {
        return warnings;
    }

    // If values lie outside by themselves, their neighbours and their sizes add nothing.
    if outside.is_empty() {
        warnings.extend(case.contradicted());
    }
    warnings.extend(case.far_together().or_else(|| case.rougher()));
    if outside.is_empty() {
        warnings.extend(case.missized());
    }
    warnings.extend(case.near_together());
    warnings.extend(case.offset());
    warnings
}

/// Observations and their comparison with the model.
#[derive(Clone, Copy)]
struct Case<'a> {
    surprise: &'a Surprise,
    observations: &'a Observations,
    lattice: &'a Lattice,
    laws: &'a [FieldLaw],
    /// The advice on a wrong value.
    advice: &'a str,
}

impl Case<'_> {
    /// The description of a value among those compared.
    fn named(&self, i: usize) -> String {
        named(self.observations, self.lattice, self.surprise.chosen[i])
    }

    /// A warning of the values `outside` what the model knows, the farthest of them first.
    fn outside(&self, outside: &[usize]) -> Option<Warning> {
        let surprise = self.surprise;
        let &worst = outside.first()?;
        let others = match outside.len() {
            1 => String::new(),
            n => format!("; {} of {} observations lie outside", n, surprise.alone.len()),
        };

        let message = format!(
            "{} lies {} deviations from what this model knows ({} +- {}){others}: {}",
            self.named(worst),
            short(surprise.alone[worst].abs()),
            within(surprise.mean[worst], surprise.deviation[worst]),
            short(surprise.deviation[worst]),
            self.cause(worst, outside.len())
        );
        Some(warning(Concern::OutsidePrior, message))
    }

    /// A warning of values that all others contradict.
    fn contradicted(&self) -> Option<Warning> {
        let surprise = self.surprise;
        let most = CONTRADICTED * surprise.usual.given_rest;
        let contradicted = ordered(&surprise.given_rest, most);
        if contradicted.is_empty() || surprise.alone.len() <= 1 {
            return None;
        }

        let one = |&i: &usize| {
            let [expected, sd] = surprise.expected[i];
            format!(
                "{}, where {} +- {} is expected, {} deviations away",
                self.named(i),
                within(expected, sd),
                short(sd),
                short(surprise.given_rest[i].abs())
            )
        };
        let listed: Vec<String> = contradicted.iter().take(NAMED).map(one).collect();
        let message = format!(
            "the other observations and the model contradict {}: a wrong value, or a smaller error \
             stated than it has?{}",
            listed.join("; "),
            self.advice
        );
        Some(warning(Concern::Outlier, message))
    }

    /// A warning if all values together lie unusually far from the mean.
    fn far_together(&self) -> Option<Warning> {
        let (found, usual) = (self.surprise.distances.together, self.surprise.usual.together);
        let message = || {
            format!(
                "together the observations lie {} deviations each from what this model knows, where \
                 at most {} is usual: other units, another domain, another law or equation, or \
                 larger errors than stated?",
                short(found),
                short(usual)
            )
        };
        let far = found > UNUSUAL * usual && self.surprise.alone.len() > 1;
        far.then(|| warning(Concern::Together, message()))
    }

    /// A warning if the field that the values show lies unusually far from the mean.
    fn rougher(&self) -> Option<Warning> {
        let (found, usual) = (self.surprise.distances.shown, self.surprise.usual.shown);
        let message = || {
            format!(
                "{SHOWN} {} deviations each from what this model knows, where at most {} is usual: a \
                 rougher field than the law's, or another law or equation? The answer's spread may \
                 be too small",
                short(found),
                short(usual)
            )
        };
        let far = found > UNUSUAL * usual && self.surprise.alone.len() >= FEW;
        far.then(|| warning(Concern::Together, message()))
    }

    /// A warning of every field whose values are unusually large or small.
    fn missized(&self) -> impl Iterator<Item = Warning> {
        self.surprise.sizes.iter().enumerate().filter_map(|(channel, size)| {
            let size = size.filter(|size| size.count >= FEW)?;
            let [least, most] = size.usual;
            let message = || {
                format!(
                    "the values of {} are {} times the size that this model expects, where {} to {} \
                     are usual: other units, another domain, or errors stated larger than they are?",
                    self.observations.channels()[channel],
                    short(size.found),
                    short(least),
                    short(most)
                )
            };
            let fits = (least / MISSIZED..MISSIZED * most).contains(&size.found);
            (!fits).then(|| warning(Concern::OutsidePrior, message()))
        })
    }

    /// A warning if all values together, or the field that they show, lie unusually near the mean.
    /// Errors stated too large hide the field, and a smooth field hides behind right ones.
    fn near_together(&self) -> Option<Warning> {
        let Surprise { distances, least_together, least_shown, .. } = self.surprise;
        let count = self.surprise.alone.len();
        let near = |found: f64, least: f64| QUIET * found < least && count >= FEW;
        let (what, found, least) = if near(distances.together, *least_together) {
            ("together the observations lie", distances.together, *least_together)
        } else if near(distances.shown, *least_shown) {
            (SHOWN, distances.shown, *least_shown)
        } else {
            return None;
        };

        let message = format!(
            "{what} {} deviations each from what this model knows, where at least {} is usual: \
             errors stated larger than they are, other units, or a far smoother field?",
            short(found),
            short(least)
        );
        Some(warning(Concern::Together, message))
    }

    /// A warning if a field's values are off by a common amount.
    fn offset(&self) -> Option<Warning> {
        let (found, usual) = (self.surprise.distances.offset, self.surprise.usual.offset);
        let message = || {
            format!(
                "a field's values are off by a common amount, {} deviations, where at most {} is \
                 usual: an offset, another reference?",
                short(found),
                short(usual)
            )
        };
        let off = found > UNUSUAL * usual && self.surprise.alone.len() > 1;
        off.then(|| warning(Concern::Offset, message()))
    }

    /// The likely cause of values outside the prior.
    fn cause(&self, worst: usize, outside: usize) -> String {
        let Self { surprise, observations, laws, .. } = *self;
        let point = &observations.points()[surprise.chosen[worst]];
        let law = laws[point.channel];
        if surprise.deviation[worst] < 1e-2 * law.deviation
            && surprise.mean[worst].abs() < law.deviation
        {
            return "the boundary condition fixes the value there".into();
        }
        if outside == 1 && surprise.alone.len() > 1 {
            return format!("a wrong value?{}", self.advice);
        }

        // The typical size of the field's observed values, compared with each field of the model.
        let own = surprise.chosen.iter().map(|&i| &observations.points()[i]);
        let own: Vec<f64> = own.filter(|p| p.channel == point.channel).map(|p| p.value).collect();
        let rms = |values: &[f64]| {
            (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
        };
        let ratio = |law: FieldLaw| rms(&own) / law.mean.hypot(law.deviation);
        let fits = |r: f64| (1.0 / FITS..FITS).contains(&r);

        let others = (0..laws.len()).filter(|&c| c != point.channel && !fits(ratio(law)));
        if let Some(other) = others.into_iter().find(|&c| fits(ratio(laws[c]))) {
            let name = &observations.channels()[other];
            return format!(
                "its values are of the size of {name}: are the fields exchanged, or other units?"
            );
        }

        match ratio(law) {
            r if fits(r) => "another law, an offset?".into(),
            r => format!(
                "its values are {} times those of the model: other units? another domain?",
                short(r)
            ),
        }
    }
}

/// The indices of the `distances` above `most`, the largest distance first.
fn ordered(distances: &[f64], most: f64) -> Vec<usize> {
    let mut all: Vec<usize> = (0..distances.len()).filter(|&i| distances[i].abs() > most).collect();
    all.sort_by(|&i, &j| distances[j].abs().total_cmp(&distances[i].abs()));
    all
}

/// A warning of every field with observations outside the range that its description gives, by more
/// than three of their errors, with the `advice` on a wrong value.
pub(super) fn of_ranges(
    observations: &Observations,
    pde: &dyn Pde,
    lattice: &Lattice,
    advice: &str,
) -> Vec<Warning> {
    let ranges = problem::description(pde).into_iter().flat_map(Description::ranges);
    let outside = ranges.filter_map(|(channel, [low, high])| {
        let off = |i: &usize| {
            let point = &observations.points()[*i];
            let most = OUT_OF_RANGE * point.deviation();
            point.channel == channel && !(low - most..=high + most).contains(&point.value)
        };

        let mut all = (0..observations.points().len()).filter(off);
        let first = named(observations, lattice, all.next()?);
        let others = match all.count() {
            0 => String::new(),
            n => format!(" and {n} others"),
        };

        let message = format!(
            "{first}{others}: outside {} to {}, the range that {}'s description gives: other \
             units?{advice}",
            short(low),
            short(high),
            pde.name()
        );
        Some(warning(Concern::OutsidePrior, message))
    });
    outside.collect()
}

/// A warning of every field whose members leave the range that its description gives, in more than
/// one value of a hundred.
pub(super) fn of_members(members: &Samples, pde: &dyn Pde) -> Vec<Warning> {
    let area = members.height * members.width;
    let ranges = problem::description(pde).into_iter().flat_map(Description::ranges);
    let outside = ranges.filter_map(|(channel, [low, high])| {
        let of_channel = |i: usize| &members.sample(i)[channel * area..(channel + 1) * area];
        // A bound of double precision is exact to the rounding of the members alone.
        let is_off = |value: &&f32| !(low as f32..=high as f32).contains(*value);
        let count: usize =
            (0..members.count).map(|i| of_channel(i).iter().filter(is_off).count()).sum();
        let share = count as f64 / (members.count * area).max(1) as f64;

        let message = || {
            format!(
                "{} % of the answer's values of {} lie outside {} to {}, the range that {}'s \
                 description gives; a field that is above 0 and varies by factors is better learnt \
                 by its logarithm",
                short(100.0 * share),
                members.channels[channel],
                short(low),
                short(high),
                pde.name()
            )
        };
        (share > LARGEST_SHARE_OUTSIDE).then(|| warning(Concern::OutOfRange, message()))
    });
    outside.collect()
}

/// A warning of a model that is known to have collapsed.
pub(super) fn of_model(card: &Card) -> Option<Warning> {
    card.collapse().map(|message| warning(Concern::Model, message))
}

/// A warning if unstated errors must be large for the values to follow this model's law.
pub(super) fn of_share(field: &str, share: f64) -> Option<Warning> {
    let message = || {
        format!(
            "the values of {field} are of this model's law only with errors of {} % of its deviation: \
             other units, another law or equation, or noise?",
            short(100.0 * share)
        )
    };
    (share > LARGEST_SHARE).then(|| warning(Concern::Unexplained, message()))
}

/// A warning if an answer does not explain the observations.
pub(super) fn of_explained(explained: &Explained) -> Option<Warning> {
    let largest = explained.chi.max(explained.chi_of_members);
    let single = explained.worst.first().map_or(0.0, |worst| worst.chi);
    if largest <= LARGEST_CHI && single <= LARGEST_SINGLE {
        return None;
    }

    let one = |w: &crate::condition::explained::Fit| {
        let (value, answer, chi) = (given(w.value), within(w.answer, w.sd), short(w.chi));
        let label = label(w.number, w.name.as_deref());
        format!("{label} ({} = {value}, answered {answer}, chi {chi})", w.field)
    };
    let worst: Vec<String> = explained.worst.iter().map(one).collect();

    let message = format!(
        "the answer does not agree with the observations within their errors: chi {} of the mean, {} \
         of the members, where 1 is expected; worst {}",
        short(explained.chi),
        short(explained.chi_of_members),
        worst.join(", ")
    );
    Some(warning(Concern::Unexplained, message))
}

/// A warning if an answer satisfies the equation worse than the model's own samples.
pub(super) fn of_pde_error(answer: f64, own: f64) -> Option<Warning> {
    let most = LARGEST_PDE_ERROR * own;
    let message = || {
        format!(
            "the answer's PDE error {} is {} times that of the model's own samples",
            short(answer),
            short(answer / own)
        )
    };
    (answer > most).then(|| warning(Concern::PdeError, message()))
}

/// A warning if members were left out.
pub(super) fn of_left_out(left_out: usize, asked: usize) -> Option<Warning> {
    let message = || match left_out == asked {
        true => "no input was found whose solution follows the observations; the answer is the \
                 student's own and not solved for: errors stated too small, or another equation?"
            .into(),
        false => format!(
            "{left_out} of {asked} members are left out, since they or those they are paired with \
             found no input that follows the observations: errors stated too small?"
        ),
    };
    (left_out > 0).then(|| warning(Concern::LeftOut, message()))
}
