//! Progress on stderr: bars on a terminal, an occasional line elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use phys_instruct_report::number::plain;
use serde_json::{Map, Value};

use crate::output::{Told, is_told, tell};
use crate::warnings::warn;

/// The time between two lines if there is no terminal.
const RARELY: Duration = Duration::from_secs(30);

/// The time between two steps of a spinner.
const OFTEN: Duration = Duration::from_millis(100);

/// The lines that stand for a bar if stderr is no terminal.
struct Lines {
    terminal: bool,
    /// The time from which the next line is counted; none before the first.
    last: Cell<Option<Instant>>,
}

impl Lines {
    /// The lines of a report whose first is due once `last` is long past, or at once without it.
    fn after(last: Option<Instant>) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: Cell::new(last) }
    }

    /// Tells whether a line is due, at the end in any case, and counts the next from here if so.
    fn are_due(&self, at_end: bool) -> bool {
        let is_long_past = self.last.get().is_none_or(|last| last.elapsed() >= RARELY);
        let due = !self.terminal && (is_long_past || at_end);
        if due {
            self.last.set(Some(Instant::now()));
        }
        due
    }
}

/// A bar of items that are done one by one.
pub struct Bar {
    bar: ProgressBar,
    lines: Lines,
}

/// A bar of `total` items.
pub fn bar(total: usize, what: &str) -> Bar {
    let bar = shown(|| ProgressBar::new(total as u64));
    let template = "{msg} [{bar:30}] {pos}/{len}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    Bar { bar, lines: Lines::after(Some(Instant::now())) }
}

impl Bar {
    /// Corrects the number of items.
    pub fn set_length(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Shows that so many items are done.
    pub fn set_position(&self, done: u64) {
        self.bar.set_position(done);
        if self.lines.are_due(false) {
            let total = self.bar.length().unwrap_or(done);
            tell!("{}: {done} of {total}", self.bar.message());
        }
    }

    /// Shows that one more item is done.
    pub fn inc(&self) {
        self.set_position(self.bar.position() + 1);
    }

    /// Removes the bar.
    pub fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Runs `work`, whose length nobody knows, beside a spinner with the seconds so far. Without a
/// terminal a line tells them twice a minute.
pub fn wait<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let spinner = shown(ProgressBar::new_spinner);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message(what.to_owned());
    spinner.enable_steady_tick(OFTEN);

    let result = match std::io::stderr().is_terminal() {
        true => work(),
        false => with_lines(what, work),
    };
    spinner.finish_and_clear();
    result
}

/// Runs `work` while another thread tells the seconds so far.
fn with_lines<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let (at_work, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(RARELY) == Err(RecvTimeoutError::Timeout) {
                tell!("{what}: {:.0} s", start.elapsed().as_secs_f64());
            }
        });
        let result = work();
        drop(at_work);
        result
    })
}

/// The bar that `make` makes, hidden if none is asked for.
fn shown(make: impl FnOnce() -> ProgressBar) -> ProgressBar {
    if is_told(Told::Notes) { make() } else { ProgressBar::hidden() }
}

/// The progress report of a training.
pub struct Talk {
    bar: ProgressBar,
    lines: Lines,
    total: u64,
    /// The warnings so far.
    pub warnings: Vec<String>,
}

impl Talk {
    /// Makes the report of a training of `total` steps.
    pub fn new(total: u64) -> Self {
        let bar = shown(|| ProgressBar::new(total));
        if let Ok(style) = ProgressStyle::with_template("[{bar:24}] {pos}/{len}, {eta} left {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, lines: Lines::after(None), total, warnings: Vec::new() }
    }

    /// Reports one step and its figures, of which most steps have none.
    pub fn step(&mut self, step: u64, figures: &Map<String, Value>) {
        if let Some(Value::String(warning)) = figures.get("warning") {
            self.bar.suspend(|| warn(std::slice::from_ref(warning)));
            self.warnings.push(warning.clone());
            return;
        }

        self.bar.set_position(step);
        if figures.is_empty() {
            return;
        }
        self.bar.set_message(summary(figures));

        if self.lines.are_due(step == self.total) {
            tell!("step {step}/{}: {}", self.total, summary(figures));
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The figures worth watching, in a fixed order.
fn summary(figures: &Map<String, Value>) -> String {
    let names = [
        ("loss", "loss"),
        ("warm_start_loss", "loss"),
        ("auxiliary_loss", "auxiliary loss"),
        ("residual", "residual"),
        ("batch_error", "solution error"),
        ("batch_residual", "residual"),
        ("pde_error", "PDE error"),
        ("std_ratio", "std ratio"),
        ("sliced_wasserstein", "SWD"),
        ("skipped", "skipped"),
    ];

    let text = |value: &Value| match value {
        Value::Number(n) => Some(plain(n.as_f64()?)),
        Value::Array(list) => {
            let all: Option<Vec<_>> = list.iter().map(|v| Some(plain(v.as_f64()?))).collect();
            Some(all?.join(" "))
        }
        _ => None,
    };
    let worth = |name: &str, value: &Value| name != "skipped" || value.as_u64() != Some(0);

    let shown = names.iter().filter_map(|(key, name)| {
        let value = figures.get(*key).filter(|value| worth(key, value))?;
        Some(format!("{name} {}", text(value)?))
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn every_phase_tells_a_figure_of_its_steps() {
        let told = |figures: Value| summary(figures.as_object().unwrap());
        assert_eq!(told(json!({ "warm_start_loss": 0.25, "step": 1, "skipped": 0 })), "loss 0.250");
        let operator = told(json!({ "batch_error": 0.5, "batch_residual": 0.25, "skipped": 0 }));
        assert_eq!(operator, "solution error 0.500, residual 0.250");
    }
}
