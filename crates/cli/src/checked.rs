//! The data of a training, its check before it is used, and the check's figures in words.

use std::sync::atomic::AtomicBool;

use phys_instruct::data::Watch;
use phys_instruct::store::Check;
use phys_instruct::{Config, Samples, problem};
use phys_instruct_physics::Pde;
use phys_instruct_report::number::plain;

use crate::failure::{Failure, Outcome, interrupted};
use crate::output::tell;
use crate::progress::bar;

/// Draws or reads data by `samples`, with a bar of `count` named `what`.
pub fn data_with_bar(
    config: &Config,
    (count, what): (usize, &'static str),
    stop: &AtomicBool,
    samples: fn(&Config, &mut Watch) -> phys_instruct::Result<Samples>,
) -> Result<Samples, Failure> {
    let bar = bar(count, what);
    let mut watch = Watch { progress: &mut |done| bar.set_position(done as u64), stop };
    let samples = samples(config, &mut watch).map_err(|e| interrupted(e, "no step was taken"))?;
    bar.finish_and_clear();
    Ok(samples)
}

/// The data of a training, drawn or read by `samples` as by [`data_with_bar`]. Those of a file are
/// measured, and refused where they are no solutions, unless they are taken `unchecked`.
pub fn checked_data(
    config: &Config,
    counted: (usize, &'static str),
    unchecked: bool,
    stop: &AtomicBool,
    samples: fn(&Config, &mut Watch) -> phys_instruct::Result<Samples>,
) -> Result<Samples, Failure> {
    let data = data_with_bar(config, counted, stop, samples)?;
    check_data(&data, config.pde()?.as_ref(), config.data.path.as_deref(), unchecked)?;
    Ok(data)
}

/// Measures the samples of a file against the equation and the law before training. Samples that
/// fail are refused unless the user allows them. Without a path they were just solved and pass.
fn check_data(samples: &Samples, pde: &dyn Pde, path: Option<&str>, unchecked: bool) -> Outcome {
    let Some(path) = path else { return Ok(()) };
    let check = Check::of(samples, pde);
    // Of data alone the import has said that there is no PDE error.
    if problem::description(pde).is_none() {
        tell!("{path}: PDE error {}", described(&check));
    }
    if check.passed() || unchecked {
        return Ok(());
    }
    let reasons = check.complaints.join("; ");
    Err(Failure::Usage(format!("{path}: {reasons}; --unchecked takes them all the same")))
}

/// The figures of a check, in words.
pub fn described(check: &Check) -> String {
    match (check.pde_error, check.misfit, &check.unmeasured) {
        (Some(error), Some(misfit), _) => format!(
            "{}, about {} of the solution ({} samples measured)",
            plain(error),
            plain(misfit),
            check.measured
        ),
        (_, _, Some(reason)) => format!("not measured: {reason}"),
        _ => "not finite".into(),
    }
}
