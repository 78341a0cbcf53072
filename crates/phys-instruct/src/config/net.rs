//! `[net]`: the U-Net.

use phys_instruct_physics::Grid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Keys;
use crate::{Error, Result};

/// A U-Net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetConfig {
    /// Channels of the finest level.
    pub width: usize,
    /// Channels of each level, in units of `width`; each level halves the grid.
    pub multipliers: Vec<usize>,
    /// Residual blocks per level.
    pub blocks: usize,
    /// Side of the pixel-unshuffle patch of the stem: 1, 2, 4, 8 or 16. A network sees little of
    /// what is smaller than a patch: 8 and 16 are for models begun with those of a coarser grid.
    pub patch: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { width: 32, multipliers: vec![1, 2, 2], blocks: 1, patch: 2 }
    }
}

/// The largest `net.width`. The largest networks of the literature have 256; the bounds are there
/// so that no product of them overflows.
const MOST_WIDTH: usize = 4096;
/// The largest of `net.multipliers`.
const MOST_MULTIPLIER: usize = 64;
/// The most residual blocks per level.
const MOST_BLOCKS: usize = 64;

impl NetConfig {
    /// The sides of a patch that there are.
    pub const PATCHES: [usize; 5] = [1, 2, 4, 8, 16];

    /// Checks the ranges, for fields on `grid`; `at` is the table's name.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self, at: &str, grid: Grid) -> Result<()> {
        let keys = Keys(at);
        keys.expect("patch", self.patch, Self::PATCHES.contains(&self.patch), "1, 2, 4, 8 or 16")?;
        let whole = self.width >= 8 && self.width.is_multiple_of(8);
        keys.expect("width", self.width, whole, "a positive multiple of 8")?;
        keys.count("width", self.width, 8..=MOST_WIDTH)?;
        keys.count("blocks", self.blocks, 1..=MOST_BLOCKS)?;
        self.check_levels(at, grid)
    }

    /// Checks the levels and what each of them has.
    fn check_levels(&self, at: &str, grid: Grid) -> Result<()> {
        let levels = self.multipliers.len();
        let refused = |reason: String| Err(Error::Config(reason));
        if levels == 0 {
            return refused(format!("{at}.multipliers = []: at least one level expected"));
        }
        for (level, &multiplier) in self.multipliers.iter().enumerate() {
            let key = format!("multipliers[{level}]");
            Keys(at).count(&key, multiplier, 1..=MOST_MULTIPLIER)?;
        }

        // Each level halves the patches of a side; the coarsest has at least one point.
        let shortest = grid.ny.min(grid.nx);
        let patches = shortest / self.patch.max(1);
        let most_levels = patches.checked_ilog2().unwrap_or(0) as usize + 1;
        if levels > most_levels {
            return refused(format!(
                "{at}.multipliers has {levels} levels; each halves the grid, so a grid of {shortest} \
                 with {at}.patch = {} has at most {most_levels}",
                self.patch
            ));
        }
        Ok(())
    }
}
