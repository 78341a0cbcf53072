//! `[data]`: where training and validation data come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use crate::{Result, seeds};

/// The source of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// A data set folder or file; without one the data is generated from `seed`.
    pub path: Option<String>,
    /// Training samples to generate, or to take from `path` (0: all but the validation samples).
    pub count: usize,
    /// Samples held out: the last ones of `path`, or generated from another seed.
    pub validation: usize,
    /// The seed of generated data; the validation samples come from the one after it.
    pub seed: u64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { path: None, count: 20_000, validation: 1_000, seed: 1_000 }
    }
}

impl DataConfig {
    /// The data of a training in words, in one line.
    pub fn in_words(&self) -> String {
        let Self { path, count, validation, seed } = self;
        match path {
            None => format!("{count} samples of the reference solver, seed {seed}"),
            Some(path) if *count == 0 => format!("{path}, all but the last {validation} samples"),
            Some(path) => format!("{path}, {count} samples"),
        }
    }

    /// Checks the numbers; `at` is the table's name.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        // The floor of the figures is the distance of two halves, of two samples each at least.
        let keys = Keys(at);
        keys.count("validation", self.validation, 4..=usize::MAX)?;
        // The validation samples take the seed after it.
        keys.expect(
            "seed",
            self.seed,
            self.seed < seeds::RESERVED - 1,
            "below 1999999: data of larger seeds serve tests and tables",
        )
    }
}
