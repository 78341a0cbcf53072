//! Output on stdout: figures as JSON or as aligned lines.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use phys_instruct::store::atomic;
use phys_instruct_report::number::plain;
use serde_json::Value;

use crate::failure::{Failure, Outcome, SCHEMA};

/// The words in place of a solution error without a solver.
pub const NO_SOLVER: &str = "not known: data alone, no solver";

/// Writes `text` and a newline to stdout. A reader that has closed it is no error.
pub fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Usage(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// The kinds of lines on stderr, from what must not be missed to what few ask for. Errors are
/// always told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// Nothing. Another process does the talking.
    #[cfg(feature = "mpi")]
    Nothing,
    /// Warnings, and questions without an answer.
    Warnings,
    /// Notes and bars, too.
    Notes,
    /// Which files and settings are used, too.
    Details,
}

/// The most that this process tells.
static MOST: AtomicU8 = AtomicU8::new(Told::Notes as u8);

/// Lets this process tell `most`.
pub fn tell_at_most(most: Told) {
    MOST.store(most as u8, Ordering::Relaxed);
}

/// Tells whether `what` is told.
pub fn is_told(what: Told) -> bool {
    what as u8 <= MOST.load(Ordering::Relaxed)
}

/// Writes a line to stderr, formatted as by `eprintln`, if lines of its kind are told. A reader or
/// a terminal that has closed it is no error.
macro_rules! say {
    ($kind:ident, $($text:tt)*) => {{
        use std::io::Write as _;
        if $crate::output::is_told($crate::output::Told::$kind) {
            let _ = writeln!(std::io::stderr(), $($text)*);
        }
    }};
}
pub(crate) use say;

/// Writes a note to stderr.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::say!(Notes, $($text)*) };
}
pub(crate) use tell;

/// Prints `value` as JSON, or `lines` as two columns.
pub fn show(json: bool, value: Value, lines: &[(String, String)]) -> Outcome {
    if json { print_json(value) } else { print(&columns(lines)) }
}

/// Prints an object as JSON, with the number of its schema.
pub fn print_json(mut value: Value) -> Outcome {
    value["schema"] = SCHEMA.into();
    print(&format!("{value:#}"))
}

/// Makes the parent folder of `path` and tries to write there, before any work is done.
pub fn make_room(path: &Path) -> Outcome {
    Ok(atomic::make_room(path)?)
}

/// Refuses `outputs` that would replace one of the `inputs`, or one another.
pub fn keep_apart<'a>(
    inputs: impl IntoIterator<Item = &'a Path>,
    outputs: impl IntoIterator<Item = &'a Path>,
) -> Outcome {
    let inputs: BTreeSet<PathBuf> = inputs.into_iter().map(in_full).collect();
    let mut taken = BTreeSet::new();
    for path in outputs {
        let own = in_full(path);
        let reason = if inputs.contains(&own) {
            "would replace a file that this command reads; choose another name"
        } else if !taken.insert(own) {
            "stands for two outputs; give each a name of its own"
        } else {
            continue;
        };

        return Err(Failure::Usage(format!("{}: {reason}", path.display())));
    }
    Ok(())
}

/// The path through links and from the root; for a file that does not exist, that of its folder
/// with its name.
fn in_full(path: &Path) -> PathBuf {
    let of_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(of_folder).unwrap_or_else(|| path.into())
}

/// Formats two columns, the first as wide as its longest entry.
pub fn columns(lines: &[(String, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| format!("{name:width$}  {value}");
    lines.iter().map(|l| line(l).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A duration in a unit that suits it.
pub fn seconds(value: f64) -> String {
    match value {
        v if v < 1e-3 => format!("{} us", plain(v * 1e6)),
        v if v < 1.0 => format!("{} ms", plain(v * 1e3)),
        v if v < 120.0 => format!("{} s", plain(v)),
        v if v < 7200.0 => format!("{:.1} min", v / 60.0),
        v => format!("{:.1} h", v / 3600.0),
    }
}

/// Returns `(name, value)` as owned text.
pub fn line(name: &str, value: impl ToString) -> (String, String) {
    (name.into(), value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_choose_their_unit() {
        assert_eq!(seconds(2.5e-4), "250 us");
        assert_eq!(seconds(0.0042), "4.20 ms");
        assert_eq!(seconds(4000.0), "66.7 min");
    }
}
