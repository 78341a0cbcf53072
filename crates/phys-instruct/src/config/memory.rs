//! The memory that a run takes, asked for before its data are made.

use super::{Config, MEASURED, NetConfig, PhaseConfig, size};
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
        // Coordinates can add the input's channels to those that the network sees.
        let net = Wanted { net: &self.net, name: "net", channels: [2 * fields, fields] };
        self.ask_for_steps(net, self.train.batch, "train.batch", data)
    }

    /// Refuses a student's distillation that the memory cannot hold.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] naming what is too large, and an unknown PDE.
    pub fn ask_for_student(&self) -> Result<()> {
        let (distill, fields) = (self.student()?, self.pde()?.channels().len());
        let validation = self.data_bytes(fields, self.data.validation)?;
        let operator = distill.operator();
        let data = match operator {
            Some(_) => validation + self.pairs_bytes(fields)?,
            None => validation,
        };

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

        let (key, held) = ("distill.batch", data + pairs);
        let net = Wanted { net: &self.net, name: "net", channels: [2 * fields, fields] };
        self.ask_for_steps(net, distill.batch, key, held)?;
        distill.operators().try_for_each(|(i, operator)| {
            // The input, and two pictures of the guess of each field.
            let channels = [3 * fields, fields];
            let name = &format!("distill.phase[{i}].net");
            let net = Wanted { net: &operator.net, name, channels };
            self.ask_for_steps(net, distill.batch, key, held)
        })
    }

    /// Refuses training data that the memory cannot hold.
    ///
    /// # Errors
    /// [`crate::Error::Memory`], and an unknown PDE.
    pub fn ask_for_pairs(&self) -> Result<()> {
        let bytes = self.pairs_bytes(self.pde()?.channels().len())?;
        memory::ask(bytes, format_args!("{} samples and their statistics (data)", self.data.count))
    }

    /// The bytes of an operator's pairs, and of the work of measuring their statistics.
    fn pairs_bytes(&self, fields: usize) -> Result<f64> {
        // The fields, their guesses, what is left and its modes, some of them twice.
        let copies = 8.0;
        let measured = self.data.count.min(MEASURED);
        let work = memory::of_samples(measured, [fields, self.grid.ny, self.grid.nx]);
        Ok(self.data_bytes(fields, self.data.count)? + copies * work)
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
    fn ask_for_steps(&self, wanted: Wanted, batch: usize, key: &str, others: f64) -> Result<()> {
        let Wanted { net, name, channels } = wanted;
        let one = size::of_training(net, channels, self.grid, 1);
        let what = format_args!("a network of this size and its optimizer ({name})");
        memory::ask(others + one, what)?;
        let all = size::of_training(net, channels, self.grid, batch);
        memory::ask(others + all, format_args!("steps of {batch} samples ({key})"))
    }
}

/// A network that is to be trained.
struct Wanted<'a> {
    net: &'a NetConfig,
    /// The name of its table.
    name: &'a str,
    /// The numbers of its inputs and outputs.
    channels: [usize; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_beyond_any_memory_is_refused_by_its_key() {
        let matching = "[[distill.phase]]\nkind = \"matching\"";
        let operator = "[[distill.phase]]\nkind = \"operator\"";
        let refusal = |line: &str| {
            // What is not a table goes to the last phase.
            let phases = match line.starts_with('[') {
                true => format!("{line}\n{matching}"),
                false => format!("{matching}\n{operator}\n{line}"),
            };
            let text = format!("pde = \"poisson\"\ngrid = 16\n{phases}");
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
            ("net = { width = 4096, multipliers = [64] }", "(distill.phase[1].net)"),
        ] {
            let message = refusal(line).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(key) && message.contains("of memory"), "{line}: {message}");
        }
    }
}
