//! The warnings about many solutions, each kind once.

use std::collections::BTreeMap;

use phys_instruct_physics::{Solution, Warning, WarningKind};
use serde_json::{Value, json};

/// The number of ranges of sample numbers that a line names before it counts the rest.
const NAMED: usize = 8;

/// One kind of warning.
struct Doubt<'a> {
    /// The warning of highest severity.
    worst: &'a Warning,
    /// The number of the sample with that warning.
    worst_sample: usize,
    /// The numbers of all samples concerned, from 0.
    samples: Vec<usize>,
}

/// The kinds of warnings about some solutions.
pub struct Gathered<'a>(BTreeMap<WarningKind, Doubt<'a>>);

impl<'a> Gathered<'a> {
    /// Collects the warnings about the solutions.
    pub fn of(solutions: &'a [Solution]) -> Self {
        let mut kinds: BTreeMap<WarningKind, Doubt> = BTreeMap::new();
        for (sample, solution) in solutions.iter().enumerate() {
            for warning in &solution.report.warnings {
                let doubt = kinds.entry(warning.kind).or_insert_with(|| Doubt {
                    worst: warning,
                    worst_sample: sample,
                    samples: Vec::new(),
                });
                if warning.severity > doubt.worst.severity {
                    (doubt.worst, doubt.worst_sample) = (warning, sample);
                }
                if doubt.samples.last() != Some(&sample) {
                    doubt.samples.push(sample);
                }
            }
        }

        Self(kinds)
    }

    /// The warnings, a line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.values().map(|Doubt { worst, worst_sample, samples }| match samples.len() {
            1 => format!("sample {worst_sample}: {}", worst.text),
            _ => {
                format!("samples {}; worst, sample {worst_sample}: {}", ranges(samples), worst.text)
            }
        })
    }

    /// Returns the warnings as a list of objects.
    pub fn to_json(&self) -> Value {
        let one = |(kind, doubt): (&WarningKind, &Doubt)| {
            json!({
                "kind": kind.name(), "text": doubt.worst.text, "severity": doubt.worst.severity,
                "worst_sample": doubt.worst_sample, "samples": doubt.samples,
            })
        };
        self.0.iter().map(one).collect()
    }
}

/// Formats ascending numbers as `0-3, 5`.
fn ranges(numbers: &[usize]) -> String {
    let mut found: Vec<[usize; 2]> = Vec::new();
    for &n in numbers {
        match found.last_mut() {
            Some([_, end]) if *end + 1 == n => *end = n,
            _ => found.push([n, n]),
        }
    }

    let text = |[first, last]: &[usize; 2]| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let named = found.iter().take(NAMED).map(text).collect::<Vec<_>>().join(", ");
    match found.get(NAMED..).unwrap_or_default() {
        [] => named,
        rest => {
            let more: usize = rest.iter().map(|[first, last]| last - first + 1).sum();
            format!("{named} and {more} more")
        }
    }
}

#[cfg(test)]
mod tests {
    use phys_instruct_physics::{Fields, SolveReport};

    use super::*;

    fn solution(severities: &[f64]) -> Solution {
        let warning = |&severity| Warning {
            kind: WarningKind::CoarseGrid,
            severity,
            text: format!("off by {severity}"),
        };
        let warnings = severities.iter().map(warning).collect();
        let report = SolveReport { warnings, ..SolveReport::default() };
        Solution { fields: Fields::zeros(1, 1, 1), report }
    }

    #[test]
    fn a_kind_is_told_once_with_its_samples_and_the_worst() {
        let solutions = [&[0.1][..], &[], &[0.3, 0.2], &[0.2]].map(solution);
        let gathered = Gathered::of(&solutions);
        let lines: Vec<String> = gathered.lines().collect();
        assert_eq!(lines, ["samples 0, 2-3; worst, sample 2: off by 0.3"]);
        let json = gathered.to_json();
        assert_eq!(json[0]["samples"], json!([0, 2, 3]));
        assert_eq!(json[0]["kind"], "coarse_grid");
    }

    #[test]
    fn no_doubt_is_no_line() {
        let solutions = [solution(&[])];
        assert_eq!(Gathered::of(&solutions).lines().count(), 0);
        assert_eq!(Gathered::of(&solutions).to_json(), json!([]));
    }

    #[test]
    fn many_ranges_are_cut() {
        let even: Vec<usize> = (0..30).map(|i| 2 * i).collect();
        assert!(ranges(&even).ends_with("14 and 22 more"), "{}", ranges(&even));
    }
}
