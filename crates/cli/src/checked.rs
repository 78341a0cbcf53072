//! The check of data before it is used, and its figures in words.

use phys_instruct::Samples;
use phys_instruct::store::Check;
use phys_instruct_physics::Pde;
use phys_instruct_report::number::plain;

use crate::failure::{Failure, Outcome};
use crate::output::tell;

/// Measures the samples of a file against the equation and the law before training. Samples that
/// fail are refused unless the user allows them. Without a path they were just solved and pass.
pub fn check_data(
    samples: &Samples,
    pde: &dyn Pde,
    path: Option<&str>,
    unchecked: bool,
) -> Outcome {
    let Some(path) = path else { return Ok(()) };
    let check = Check::of(samples, pde);
    tell!("{path}: PDE error {}", described(&check));
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
