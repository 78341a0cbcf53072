//! The check of samples: their distance from the equation that they should solve, and the values
//! that the law allows for their inputs.

use phys_instruct_physics::{Pde, TwoValues};
use serde::Serialize;

use crate::device;
use crate::eval::physics::pde_error;
use crate::problem::{self, Description};
use crate::residual::{Residual, ResidualOptions};
use crate::{Error, Result, Samples};

/// The largest misfit with which samples count as solutions. Data of the same equation from other
/// discretisations have 0.001 to 0.1, those of another equation or scale mostly above 0.5.
pub const MOST: f64 = 0.3;
/// The largest share of inputs' values that may be none of the law's two.
const MOST_OFF_LAW: f64 = 0.05;
/// Two values count as equal within this share of the distance between the law's two.
const SAME: f64 = 0.01;
/// The number of samples that are measured, spread evenly over the set; fewer on grids of more than
/// `POINTS` points.
const MEASURED: usize = 32;
const POINTS: usize = 256 * 256;

/// The distance of samples from the equation and from the law of its input.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Check {
    /// Samples that were measured.
    pub measured: usize,
    /// The PDE error as `eval` measures it: the mean relative residual. High modes count most in
    /// it, so that it can be large for data of another discretisation.
    pub pde_error: Option<f64>,
    /// The preconditioned relative residual, which is about the relative error of the solution.
    pub misfit: Option<f64>,
    /// The share of the input's values that are none of the law's two; none if the law has no two
    /// values.
    pub off_law: Option<f64>,
    /// The reason why the equation has no residual on this grid, if it has none.
    pub unmeasured: Option<String>,
    /// The faults that were found, in words.
    pub complaints: Vec<String>,
    /// The axes along which the data's coordinates are not where a description has its points, in
    /// words.
    pub misplaced: Vec<String>,
}

impl Check {
    /// Measures some of the samples.
    pub fn of(samples: &Samples, pde: &dyn Pde) -> Self {
        let some = spread(samples);
        let mut check = Self { measured: some.count, ..Self::default() };
        check.constants(&some);
        check.ranges(samples, pde);

        match equation(&some, pde) {
            Ok([pde_error, misfit]) => {
                (check.pde_error, check.misfit) = (Some(pde_error), Some(misfit));
                if misfit > MOST {
                    check.complaints.push(format!(
                        "these are no solutions of {} with its present parameters: misfit \
                         {misfit:.2e}, at most {MOST} expected",
                        pde.name()
                    ));
                }
            }
            Err(Error::NonFinite(_)) => check.complaints.push(not_finite(&some, pde)),
            Err(e) => check.unmeasured = Some(e.to_string()),
        }

        check.law(&some, pde);
        check
    }

    /// Tells whether no fault was found.
    pub fn passed(&self) -> bool {
        self.complaints.is_empty()
    }

    /// Names channels that have one value throughout, from which nothing can be learned.
    fn constants(&mut self, samples: &Samples) {
        for (c, name) in samples.channels.iter().enumerate() {
            let mut values = (0..samples.count).flat_map(|i| samples.field(i, c));
            if let Some(first) = values.next()
                && values.all(|v| v == first)
            {
                self.complaints.push(format!("channel `{name}` is constant, {first} everywhere"));
            }
        }
    }

    /// Names channels with values outside the range that the PDE's description gives.
    fn ranges(&mut self, samples: &Samples, pde: &dyn Pde) {
        let ranges = problem::description(pde).into_iter().flat_map(Description::ranges);
        for (c, [low, high]) in ranges {
            let values = || (0..samples.count).flat_map(|i| samples.field(i, c));
            let [least, most] = values()
                .fold([f32::INFINITY, f32::NEG_INFINITY], |[l, m], &v| [l.min(v), m.max(v)]);
            // A bound of double precision is exact to the rounding of the samples alone.
            if f64::from(least) >= f64::from(low as f32)
                && f64::from(most) <= f64::from(high as f32)
            {
                continue;
            }
            let name = samples.channels.get(c).map_or("", String::as_str);
            self.complaints.push(format!(
                "channel `{name}` holds values from {least} to {most}, the range of its description \
                 is {low} to {high} (`data import --scale` changes units)"
            ));
        }
    }

    fn law(&mut self, samples: &Samples, pde: &dyn Pde) {
        let Some(two) = pde.input_law().two_values() else { return };
        let TwoValues { low, high } = two;

        let entries = pde.layout().input.entries(samples.height, samples.width);
        let of_sample = |i: usize| entries.iter().map(move |&entry| samples.sample(i)[entry]);
        let inputs = || (0..samples.count).flat_map(of_sample).map(f64::from);
        let off = |v: &f64| two.distance(*v) > SAME * two.gap();
        let total = inputs().count().max(1) as f64;
        let share = inputs().filter(off).count() as f64 / total;
        self.off_law = Some(share);

        if share > MOST_OFF_LAW {
            let least = inputs().fold(f64::INFINITY, f64::min);
            let most = inputs().fold(f64::NEG_INFINITY, f64::max);
            let channel = samples.channels.first().map_or("the input", String::as_str);
            self.complaints.push(format!(
                "{channel} holds values from {least} to {most}, the law of {} only {low} and \
                 {high} (`data import --scale` changes units, --param the law)",
                pde.name()
            ));
        }
    }
}

/// A part of the samples, spread evenly.
fn spread(samples: &Samples) -> Samples {
    let points = (samples.height * samples.width).max(1);
    let count = samples.count.min((MEASURED * POINTS / points).clamp(1, MEASURED));
    let mut some = samples.slice(0..0);
    for i in 0..count {
        some.data.extend_from_slice(samples.sample(i * samples.count / count));
    }
    some.count = count;
    some
}

/// The complaint about samples whose residual is not finite.
fn not_finite(samples: &Samples, pde: &dyn Pde) -> String {
    let largest = samples.data.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    format!(
        "the residual of {} is not finite, so that nothing tells whether these are solutions: \
         their values reach {largest:.1e} (`data import --scale` changes units)",
        pde.name()
    )
}

/// The PDE error and the misfit.
///
/// # Errors
/// Fails for a grid without a residual, and with [`Error::NonFinite`].
fn equation(samples: &Samples, pde: &dyn Pde) -> Result<[f64; 2]> {
    let residual = problem::residual(pde, samples.grid(), &device::cpu())?;
    let pde_error = pde_error(samples, residual.as_ref())?;
    let misfit = misfit(samples, residual.as_ref());
    Ok([pde_error, misfit.ok_or_else(|| Error::NonFinite("the residual".into()))?])
}

/// The mean preconditioned relative residual of the samples: about the relative error of the
/// solution, for any discretisation. None if it is not finite.
pub(crate) fn misfit(samples: &Samples, residual: &dyn Residual) -> Option<f64> {
    let x = samples.clone().into_tensor(&device::cpu());
    let options = ResidualOptions { preconditioned: true, ..ResidualOptions::default() };
    let terms = residual.terms(x, options);
    // A scale that overflowed would make any residual a small one.
    let scale: Vec<f32> = terms.scale.clone().try_into_vec_as().ok()?;
    if scale.iter().any(|v| !v.is_finite()) {
        return None;
    }

    let relative: Vec<f32> = terms.relative().try_into_vec_as().ok()?;
    let sum: f64 = relative.iter().map(|&v| f64::from(v)).sum();
    let mean = sum / relative.len() as f64;
    mean.is_finite().then_some(mean)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use phys_instruct_physics::registry;

    use super::*;
    use crate::testing::samples_from;

    fn samples(pde: &dyn Pde) -> Samples {
        samples_from(pde, 40, 32, 3)
    }

    #[test]
    fn solved_samples_pass_for_every_equation() {
        for name in registry::names() {
            let pde = registry::by_name(&name).unwrap();
            let check = Check::of(&samples(pde.as_ref()), pde.as_ref());
            assert!(check.passed(), "{name}: {check:?}");
            assert_eq!(check.measured, MEASURED);
            assert!(check.misfit.unwrap() < 1e-3, "{name}: {check:?}");
        }
    }

    #[test]
    fn a_solution_of_another_scale_or_law_is_named() {
        let pde = registry::by_name("darcy").unwrap();
        let good = samples(pde.as_ref());
        let field = good.height * good.width;
        let changed = |channel: usize, change: &dyn Fn(f32) -> f32| {
            let mut data = good.data.clone();
            for (i, v) in data.iter_mut().enumerate() {
                *v = if i / field % 2 == channel { change(*v) } else { *v };
            }
            Check::of(&Samples { data, ..good.clone() }, pde.as_ref())
        };
        let tripled = changed(1, &|u| 3.0 * u);
        assert!(tripled.complaints[0].contains("no solutions of darcy"), "{tripled:?}");
        assert!((tripled.misfit.unwrap() - 2.0).abs() < 0.1);
        // The raw file of another program has 0 and 1 for the law's two values.
        let raw = changed(0, &|a| (a - 3.0) / 9.0);
        assert_eq!(raw.off_law, Some(1.0));
        assert!(raw.complaints.last().unwrap().contains("from 0 to 1"), "{raw:?}");
    }

    #[test]
    fn a_grid_without_a_residual_is_said_to_be_unchecked() {
        let pde = registry::by_name("poisson").unwrap();
        let data = (0..2 * 2 * 8).map(|i| i as f32).collect();
        let channels = vec!["a".into(), "u".into()];
        let ramp = Samples {
            pde: "poisson".into(),
            channels,
            count: 1,
            height: 2,
            width: 8,
            sides: [1.0; 2],
            data,
        };
        let check = Check::of(&ramp, pde.as_ref());
        assert_eq!((check.misfit, check.passed()), (None, true));
        assert!(check.unmeasured.unwrap().contains("2 x 8"));
    }

    #[test]
    fn a_residual_that_is_not_finite_does_not_pass() {
        for name in registry::names() {
            let pde = registry::by_name(&name).unwrap();
            let mut huge = samples(pde.as_ref());
            huge.data.iter_mut().for_each(|v| *v *= 1e30);
            let check = Check::of(&huge, pde.as_ref());
            assert!(check.complaints[0].contains("is not finite"), "{name}: {check:?}");
            assert_eq!((check.misfit, check.unmeasured.clone()), (None, None), "{name}");
            assert!(!check.passed());
        }
    }

    #[test]
    fn a_constant_channel_is_named() {
        let pde = registry::by_name("poisson").unwrap();
        let mut flat = samples(pde.as_ref());
        let field = flat.height * flat.width;
        for (i, v) in flat.data.iter_mut().enumerate() {
            *v = if (i / field).is_multiple_of(2) { 1.5 } else { *v };
        }
        let check = Check::of(&flat, pde.as_ref());
        let constant: Vec<_> =
            check.complaints.iter().filter(|c| c.contains("is constant")).collect();
        let channel = &flat.channels[0];
        assert_eq!(constant, [&format!("channel `{channel}` is constant, 1.5 everywhere")]);
    }
}
