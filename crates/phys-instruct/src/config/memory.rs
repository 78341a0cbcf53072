//! The memory that a run takes, asked for before its data are made.

use super::{Config, PhaseConfig};
use crate::net::size;
use crate::{Result, memory};

impl Config {
    /// Refuses a teacher's training that the memory cannot hold.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] naming what is too large, and an unknown PDE.
    pub fn ask_for_teacher(&self) -> Result<()> {
        let pde = self.pde()?;
        pde.check_grid(self.grid)?;
        let fields = pde.channels().len();
        let data = self.data_bytes(fields, self.data.count)?;
        self.ask_for_steps(fields, self.train.batch, "train.batch", data)
    }

    /// Refuses a student's distillation that the memory cannot hold.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] naming what is too large, and an unknown PDE.
    pub fn ask_for_student(&self) -> Result<()> {
        let (distill, fields) = (self.student()?, self.pde()?.channels().len());
        let data = self.data_bytes(fields, self.data.validation)?;

        // A pair of batches for every call is kept once it was drawn.
        let kept = distill.phases.iter().find_map(|phase| match phase {
            PhaseConfig::WarmStart(phase) => Some(phase.batches.min(phase.steps)),
            _ => None,
        });
        let kept = kept.unwrap_or(0);
        let calls = distill.levels.len() as f64;
        let batch = memory::of_samples(distill.batch, [fields, self.grid.ny, self.grid.nx]);
        let pairs = 2.0 * calls * kept as f64 * batch;
        let what = format_args!("{kept} pairs of batches a call (distill.warm-start.batches)");
        memory::ask(data + pairs, what)?;
        self.ask_for_steps(fields, distill.batch, "distill.batch", data + pairs)
    }

    /// The bytes of so many samples, once they alone can be held. A file's are asked for when it
    /// is read.
    fn data_bytes(&self, fields: usize, count: usize) -> Result<f64> {
        if self.data.path.is_some() {
            return Ok(0.0);
        }
        let bytes = memory::of_samples(count, [fields, self.grid.ny, self.grid.nx]);
        memory::ask(
            bytes,
            format_args!("{count} samples of {} x {} (data)", self.grid.ny, self.grid.nx),
        )?;
        Ok(bytes)
    }

    /// Asks for steps of `batch` samples beside `others`, bytes that are held all the time.
    fn ask_for_steps(&self, fields: usize, batch: usize, key: &str, others: f64) -> Result<()> {
        // Coordinates can add the input's channels to those that the network sees.
        let channels = [2 * fields, fields];
        let one = size::of_training(&self.net, channels, self.grid, 1);
        memory::ask(others + one, "a network of this size and its optimizer (net)")?;
        let all = size::of_training(&self.net, channels, self.grid, batch);
        memory::ask(others + all, format_args!("steps of {batch} samples ({key})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_beyond_any_memory_is_refused_by_its_key() {
        let refusal = |line: &str| {
            let phase = "[[distill.phase]]\nkind = \"matching\"";
            let text = format!("pde = \"poisson\"\ngrid = 16\n{line}\n{phase}");
            let config = Config::from_toml(&text)?;
            config.ask_for_teacher()?;
            config.ask_for_student()
        };
        assert!(refusal("").is_ok());
        for (line, key) in [
            ("[data]\ncount = 1000000000000", "(data)"),
            ("[data]\nvalidation = 1000000000000", "(data)"),
            ("[train]\nbatch = 1000000000000", "(train.batch)"),
            ("[distill]\nbatch = 1000000000000", "(distill.batch)"),
            ("[net]\nwidth = 4096\nmultipliers = [64]", "(net)"),
            (
                "[[distill.phase]]\nkind = \"warm-start\"\nsteps = 1000000000000\n\
                 batches = 1000000000000",
                "(distill.warm-start.batches)",
            ),
        ] {
            let message = refusal(line).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(key) && message.contains("of memory"), "{line}: {message}");
        }
    }
}
