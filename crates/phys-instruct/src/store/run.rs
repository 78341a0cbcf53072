//! A run folder: `config.toml` (resolved), `metrics.jsonl` (one JSON object a line, each with its
//! `step`), `checkpoint.safetensors` and the one before it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::Result;
use crate::store::atomic;
use crate::store::file::{bad, read, read_text};
use crate::store::weights::{self, Bundle};

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINT: &str = "checkpoint.safetensors";
const PREVIOUS: &str = "checkpoint.previous.safetensors";
const MODEL: &str = "model.safetensors";
const NEXT: &str = "checkpoint.next.safetensors";
const MAX_CONFIG: u64 = 1 << 20;
const MAX_METRICS: u64 = 1 << 30;

/// The folder of one training run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    folder: PathBuf,
    /// The configuration that replaces the one in the folder once a checkpoint was restored.
    grown: Option<String>,
}

/// The report on a checkpoint that was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// A warning for the user if the newest checkpoint could not be restored.
    pub warning: Option<String>,
}

impl Run {
    /// Begins a run in `folder` with the resolved configuration. A run that failed before its first
    /// checkpoint is begun anew.
    ///
    /// # Errors
    /// Fails with [`crate::Error::BadFile`] if the folder holds a run already, and with
    /// [`crate::Error::Io`].
    pub fn create(folder: &Path, config: &str) -> Result<Self> {
        let run = Self { folder: folder.into(), grown: None };
        if run.exists() {
            let reason = "there is a run in this folder already: resume it or choose another";
            return Err(bad(&run.path(CONFIG), reason));
        }
        atomic::create_folder(folder)?;
        atomic::write(&run.path(CONFIG), config.as_bytes())?;
        Ok(run)
    }

    /// Opens a run and reads its resolved configuration.
    ///
    /// # Errors
    /// Fails with [`crate::Error::Io`] if there is no run, and with [`crate::Error::BadFile`].
    pub fn open(folder: &Path) -> Result<(Self, String)> {
        let run = Self { folder: folder.into(), grown: None };
        let config = read_text(&run.path(CONFIG), MAX_CONFIG)?;
        Ok((run, config))
    }

    /// This run with another resolved configuration, which is written once a checkpoint of the run
    /// fits the training: a run that was given more steps.
    #[must_use]
    pub fn with_config(self, config: String) -> Self {
        Self { grown: Some(config), ..self }
    }

    /// Tells whether `folder` holds something to resume or to lose: a config together with a
    /// checkpoint or a finished model.
    pub fn exists_in(folder: &Path) -> bool {
        Self { folder: folder.into(), grown: None }.exists()
    }

    fn exists(&self) -> bool {
        self.path(CONFIG).exists() && (self.has_checkpoint() || self.path(MODEL).exists())
    }

    /// Tells whether a checkpoint was written.
    pub fn has_checkpoint(&self) -> bool {
        [CHECKPOINT, NEXT, PREVIOUS].iter().any(|name| self.path(name).exists())
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Appends one line of metrics.
    ///
    /// # Errors
    /// Fails with [`crate::Error::BadFile`] for anything but an object with a whole-numbered
    /// `step`, and with [`crate::Error::Io`].
    pub fn append_metrics(&self, line: &impl Serialize) -> Result<()> {
        let path = self.path(METRICS);
        let value = serde_json::to_value(line).map_err(|e| bad(&path, e.to_string()))?;
        step_of(&value).map_err(|reason| bad(&path, reason))?;
        atomic::append_line(&path, &value.to_string())
    }

    /// Reads all lines of metrics. A last line that a crash cut short is ignored.
    ///
    /// # Errors
    /// Fails with [`crate::Error::BadFile`] for any other line that [`Run::append_metrics`] would
    /// not write, and with [`crate::Error::Io`].
    pub fn metrics(&self) -> Result<Vec<Value>> {
        let path = self.path(METRICS);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = read_text(&path, MAX_METRICS)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().enumerate().map(|(i, line)| parse_line(&path, i + 1, line)).collect()
    }

    /// Cuts the metrics after `step`, the checkpoint's, so that a resumed run repeats no line. The
    /// rest of a last line that a crash cut short is removed too. Damaged lines are also removed,
    /// since they must not stop a run, and named in the warning that is returned.
    ///
    /// # Errors
    /// Fails with [`crate::Error::Io`], and with [`crate::Error::BadFile`] for a file larger than
    /// any run's.
    pub fn cut_metrics(&self, step: u64) -> Result<Option<String>> {
        let path = self.path(METRICS);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read(&path, MAX_METRICS)?;
        let text = String::from_utf8_lossy(&bytes);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);

        // Lines are handled as text, so that they stay as they were written, to the byte.
        let (mut kept, mut damage) = (String::new(), Vec::new());
        for (i, line) in whole.lines().enumerate() {
            match parse_line(&path, i + 1, line).map(|value| step_of(&value)) {
                Ok(Ok(found)) if found <= step => kept += &format!("{line}\n"),
                Ok(_) => {}
                Err(error) => damage.push(error.to_string()),
            }
        }
        atomic::write(&path, kept.as_bytes())?;
        let first = damage.first();
        Ok(first.map(|first| format!("{first}; {} damaged lines are left out", damage.len())))
    }

    /// Writes the newest checkpoint and keeps the one before it. At every moment one whole
    /// checkpoint is in place.
    ///
    /// # Errors
    /// Fails as [`weights::write()`] does; the former checkpoints are then untouched.
    pub fn write_checkpoint(&self, bundle: &Bundle) -> Result<()> {
        weights::write(&self.path(NEXT), bundle)?;
        if self.path(CHECKPOINT).exists() {
            atomic::rename(&self.path(CHECKPOINT), &self.path(PREVIOUS))?;
        }
        atomic::rename(&self.path(NEXT), &self.path(CHECKPOINT))
    }

    /// Passes the newest checkpoint to `take`, or the one before if the newest cannot be read or is
    /// refused. Returns none if none was written yet.
    ///
    /// # Errors
    /// Fails with the fault of the newest if the previous one cannot be restored either.
    pub fn restore(&self, take: &mut dyn FnMut(&Bundle) -> Result<()>) -> Result<Option<Restored>> {
        if !self.has_checkpoint() {
            return Ok(None);
        }
        let mut try_one = |path: &Path| {
            let bundle = weights::read(path)?;
            take(&bundle).map_err(|error| bad(path, error.to_string()))
        };
        let Err(error) = try_one(&self.path(CHECKPOINT)) else {
            self.write_grown()?;
            return Ok(Some(Restored { warning: None }));
        };

        // A kill between the two renames of `write_checkpoint` leaves the newest as NEXT.
        for path in [NEXT, PREVIOUS].map(|name| self.path(name)) {
            if try_one(&path).is_ok() {
                self.write_grown()?;
                let warning = Some(format!("{error}; going on from {}", path.display()));
                return Ok(Some(Restored { warning }));
            }
        }
        Err(error)
    }

    /// Writes the configuration of a run that goes on.
    fn write_grown(&self) -> Result<()> {
        match &self.grown {
            Some(config) => atomic::write(&self.path(CONFIG), config.as_bytes()),
            None => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn parse_line(path: &Path, number: usize, line: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(line)
        .map_err(|e| bad(path, format!("line {number} is not JSON: {e}")))?;
    step_of(&value).map_err(|reason| bad(path, format!("line {number}: {reason}")))?;
    Ok(value)
}

fn step_of(line: &Value) -> std::result::Result<u64, String> {
    let step = line.get("step").and_then(Value::as_u64);
    step.ok_or_else(|| "an object with a whole number `step` expected".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::Error;

    fn run() -> (tempfile::TempDir, Run) {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::create(&folder.path().join("run"), "[net]\nbase = 32\n").unwrap();
        (folder, run)
    }

    fn checkpoint(step: u64) -> Bundle {
        Bundle { metadata: json!({ "step": step }), tensors: BTreeMap::new() }
    }

    /// The checkpoint that the run restores, and the warning that comes with it.
    fn restored(run: &Run) -> Result<Option<(Bundle, Option<String>)>> {
        let mut taken = None;
        let news = run.restore(&mut |bundle| {
            taken = Some(bundle.clone());
            Ok(())
        })?;
        Ok(news.map(|news| (taken.unwrap(), news.warning)))
    }

    #[test]
    fn a_run_without_a_checkpoint_is_begun_anew() {
        let (_guard, run) = run();
        Run::create(run.folder(), "other").unwrap();
        assert_eq!(Run::open(run.folder()).unwrap().1, "other");
        std::fs::write(run.path(MODEL), b"").unwrap();
        assert!(Run::create(run.folder(), "third").is_err());
    }

    #[test]
    fn a_checkpoint_that_is_not_taken_gives_way_to_the_one_before() {
        let (_guard, run) = run();
        for step in [1, 2] {
            run.write_checkpoint(&checkpoint(step)).unwrap();
        }
        let refuse = |which: &'static [u64]| {
            move |bundle: &Bundle| match bundle.metadata["step"].as_u64() {
                Some(step) if which.contains(&step) => Err(Error::Config(format!("not {step}"))),
                _ => Ok(()),
            }
        };
        let warning = run.restore(&mut refuse(&[2])).unwrap().unwrap().warning.unwrap();
        assert!(warning.contains("not 2") && warning.contains("going on from"), "{warning}");
        let error = run.restore(&mut refuse(&[1, 2])).unwrap_err().to_string();
        assert!(error.contains("not 2") && error.contains(CHECKPOINT), "{error}");
    }

    #[test]
    fn a_run_is_created_once_and_opened_with_its_config() {
        let (_guard, run) = run();
        run.write_checkpoint(&checkpoint(1)).unwrap();
        assert_eq!(Run::open(run.folder()).unwrap(), (run.clone(), "[net]\nbase = 32\n".into()));
        let error = Run::create(run.folder(), "").unwrap_err();
        assert!(error.to_string().contains("already"), "{error}");
        assert!(matches!(Run::open(&run.folder().join("no")), Err(Error::Io { .. })));
    }

    #[test]
    fn metrics_after_the_checkpoint_are_cut() {
        let (_guard, run) = run();
        run.cut_metrics(0).unwrap();
        for step in [1u64, 2, 3, 4] {
            run.append_metrics(&json!({ "step": step, "loss": 0.1 * step as f64 })).unwrap();
        }
        let before = run.metrics().unwrap();
        let text = std::fs::read_to_string(run.path(METRICS)).unwrap();
        run.cut_metrics(2).unwrap();
        let cut = std::fs::read_to_string(run.path(METRICS)).unwrap();
        assert!(text.starts_with(&cut) && cut.lines().count() == 2);
        run.append_metrics(&json!({ "step": 3, "loss": 9 })).unwrap();
        let after = run.metrics().unwrap();
        assert_eq!(after[..2], before[..2]);
        assert_eq!(after[2..], [json!({ "step": 3, "loss": 9 })]);
    }

    #[test]
    fn a_torn_last_line_and_damaged_ones_are_dropped_and_damage_is_named() {
        let (_guard, run) = run();
        let path = run.path(METRICS);
        std::fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"st").unwrap();
        assert_eq!(run.metrics().unwrap().len(), 2);
        assert_eq!(run.cut_metrics(5).unwrap(), None);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2}\n");
        std::fs::write(&path, "{\"step\":1}\n{\"st\n{\"step\":3}\n").unwrap();
        assert!(run.metrics().unwrap_err().to_string().contains("line 2"));
        let mut damaged = std::fs::read(&path).unwrap();
        damaged.extend(b"{\"step\":-1}\n\xff\n{\"step\":4}\n");
        std::fs::write(&path, damaged).unwrap();
        let warning = run.cut_metrics(4).unwrap().unwrap();
        assert!(warning.contains("line 2") && warning.contains("3 damaged"), "{warning}");
        let kept = "{\"step\":1}\n{\"step\":3}\n{\"step\":4}\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        assert!(run.append_metrics(&json!([1])).is_err());
    }

    #[test]
    fn the_newest_checkpoint_is_restored_and_the_previous_one_when_it_is_damaged() {
        let (_guard, run) = run();
        assert_eq!(restored(&run).unwrap(), None);
        for step in [1, 2, 3] {
            run.write_checkpoint(&checkpoint(step)).unwrap();
            assert_eq!(restored(&run).unwrap(), Some((checkpoint(step), None)));
        }
        let newest = run.path(CHECKPOINT);
        let whole = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
        let (bundle, warning) = restored(&run).unwrap().unwrap();
        assert_eq!(bundle, checkpoint(2));
        assert!(warning.unwrap().contains("going on from"));
        std::fs::remove_file(&newest).unwrap();
        assert_eq!(restored(&run).unwrap().unwrap().0, checkpoint(2));
        // Killed between the two renames.
        weights::write(&run.path(NEXT), &checkpoint(3)).unwrap();
        assert_eq!(restored(&run).unwrap().unwrap().0, checkpoint(3));
        std::fs::remove_file(run.path(NEXT)).unwrap();
        std::fs::write(run.path(PREVIOUS), b"x").unwrap();
        std::fs::write(&newest, b"x").unwrap();
        let error = restored(&run).unwrap_err();
        assert!(error.to_string().contains(CHECKPOINT), "{error}");
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_costs_none_of_the_others() {
        let (_guard, run) = run();
        run.write_checkpoint(&checkpoint(1)).unwrap();
        let mut bad = checkpoint(2);
        bad.tensors.insert("x".into(), weights::Array { shape: vec![1], data: vec![f32::NAN] });
        assert!(run.write_checkpoint(&bad).is_err());
        assert_eq!(restored(&run).unwrap().unwrap().0, checkpoint(1));
    }
}
