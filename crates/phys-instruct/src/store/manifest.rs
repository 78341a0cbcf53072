//! `manifest.json` of a data set folder: the samples, their recipe, and the SHA-256 of every shard.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use phys_instruct_physics::Grid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::job::Part;
use crate::store::atomic;
use crate::store::file::{MAX_BYTES, bad, elements, read_text};
use crate::{Error, Result};

/// The layout of the folder that this version writes and reads.
pub const FORMAT: u32 = 1;
/// The version of this library, which made the samples.
pub const GENERATOR: &str = env!("CARGO_PKG_VERSION");

const FILE: &str = "manifest.json";
const PARTIAL: &str = "manifest.partial.json";
const MAX_TEXT: u64 = 16 << 20;
const MAX_CHANNELS: usize = 64;

/// The values that determine the samples; equal recipes give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The name of the PDE.
    pub pde: String,
    /// The physical parameters of the PDE.
    pub params: BTreeMap<String, f64>,
    /// The seed.
    pub seed: u64,
    /// The grid; `size` in older files.
    #[serde(alias = "size", with = "crate::grid")]
    pub grid: Grid,
    /// The number of samples of the whole set.
    pub count: usize,
    /// The number of samples in a shard; the last may hold fewer.
    pub shard_size: usize,
    /// The part of the whole set that the folder holds; none for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// One file of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// The file's name in the folder.
    pub file: String,
    /// The number of samples in the file.
    pub count: usize,
    /// The SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
}

/// One channel and the statistics of all its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelStats {
    /// The channel's name.
    pub name: String,
    /// The mean, in physical units.
    pub mean: f64,
    /// The standard deviation about the mean, in physical units.
    pub std: f64,
}

/// A whole data set's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the data set, [`FORMAT`].
    pub format: u32,
    /// The version of the program that made the samples.
    pub generator: String,
    /// The recipe of the samples.
    pub recipe: Recipe,
    /// The channels in order.
    pub channels: Vec<ChannelStats>,
    /// The shards in order.
    pub shards: Vec<Shard>,
}

/// The record of a set whose generation is unfinished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partial {
    pub format: u32,
    pub generator: String,
    pub recipe: Recipe,
    /// The finished shards by their index.
    pub shards: BTreeMap<usize, Shard>,
}

impl Manifest {
    /// Reads and checks the manifest of `folder`.
    ///
    /// # Errors
    /// Fails with [`Error::Io`], or with [`Error::BadFile`] for a damaged manifest or an unfinished
    /// set.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.exists() && folder.join(PARTIAL).exists() {
            let reason = "not there: the set is not finished; the command that began it resumes it";
            return Err(bad(&path, reason));
        }
        let manifest = Self::from_json(read_json(&path)?).map_err(|reason| bad(&path, reason))?;
        manifest.check().map_err(|reason| bad(&path, reason))?;
        Ok(manifest)
    }

    /// Tells whether a data set was begun in `folder`: whether a shard of it is finished.
    pub(crate) fn is_begun(folder: &Path) -> bool {
        folder.join(FILE).exists() || folder.join(PARTIAL).exists()
    }

    /// Writes the manifest, which makes the set whole.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(FILE), self)?;
        let partial = folder.join(PARTIAL);
        match std::fs::remove_file(&partial) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Io { path: partial, source: e })
            }
            _ => Ok(()),
        }
    }

    /// Reads a manifest whose grid is in the recipe alone, or also by itself, as in older files.
    fn from_json(mut value: Value) -> std::result::Result<Self, String> {
        let points = value.as_object_mut().and_then(|all| all.remove("grid"));
        let manifest: Self = serde_json::from_value(value).map_err(|e| e.to_string())?;
        let own = manifest.recipe.grid.shape();
        match points.filter(|points| *points != json!(own)) {
            Some(other) => Err(format!("grid {other}: that of the recipe, {own:?}, expected")),
            None => Ok(manifest),
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format: {} found, {FORMAT} expected", self.format));
        }
        if !(1..=MAX_CHANNELS).contains(&self.channels.len()) {
            return Err(format!("channels: {} found, 1 to 64 expected", self.channels.len()));
        }
        if let Some(c) =
            self.channels.iter().find(|c| !c.mean.is_finite() || c.std.is_nan() || c.std < 0.0)
        {
            return Err(format!("channel `{}`: mean {}, std {}", c.name, c.mean, c.std));
        }

        self.recipe.check()?;
        let Recipe { grid, count, .. } = self.recipe;
        let shape = [self.recipe.samples().len(), self.channels.len(), grid.ny, grid.nx, 4];
        if elements(&shape).is_none_or(|n| n as u64 > MAX_BYTES) {
            return Err(format!("grid {grid}, {count} samples: too many"));
        }

        if self.shards.len() != self.recipe.shards() {
            let (found, wanted) = (self.shards.len(), self.recipe.shards());
            return Err(format!("shards: {found} found, {wanted} expected"));
        }
        self.shards.iter().enumerate().try_for_each(|(i, s)| s.check(i, &self.recipe))
    }
}

impl Recipe {
    /// Returns the samples that the folder holds, by their number in the whole set.
    pub fn samples(&self) -> Range<usize> {
        Part::range_of(self.part, self.count)
    }

    /// The recipe of the whole set.
    pub(crate) fn whole(&self) -> Self {
        Self { part: None, ..self.clone() }
    }

    /// The number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.samples().len().div_ceil(self.shard_size)
    }

    /// The samples in shard `i`, by their number in the whole set.
    pub(crate) fn range(&self, i: usize) -> Range<usize> {
        let Range { start, end } = self.samples();
        start + i * self.shard_size..(start + (i + 1) * self.shard_size).min(end)
    }

    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let most = 1 << 40;
        let fine = |n: usize| (1..=most).contains(&n);
        self.grid.check(1).map_err(|e| e.to_string())?;
        if fine(self.count) && fine(self.shard_size) && self.grid.shape().into_iter().all(fine) {
            return self.check_part();
        }
        let (count, shard, grid) = (self.count, self.shard_size, self.grid);
        Err(format!("count {count}, shard size {shard}, {grid}: 1 or more expected"))
    }

    fn check_part(&self) -> std::result::Result<(), String> {
        match self.part.filter(|part| part.range(self.count).is_empty()) {
            None => Ok(()),
            Some(part) => Err(format!("part {part}: none of {} samples", self.count)),
        }
    }
}

impl Shard {
    /// The name of shard `i`; no other is ever opened.
    pub(crate) fn file_name(i: usize) -> String {
        format!("shard-{i:05}.npy")
    }

    pub(crate) fn check(&self, i: usize, recipe: &Recipe) -> std::result::Result<(), String> {
        let (file, count) = (Self::file_name(i), recipe.range(i).len());
        if self.file != file || self.count != count {
            let found = (&self.file, self.count);
            return Err(format!("shard {i}: {found:?} found, {:?} expected", (file, count)));
        }
        if self.sha256.len() == 64 && self.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        Err(format!("shard {i}: sha256 of 64 hexadecimal digits expected"))
    }
}

impl Partial {
    pub(crate) fn new(recipe: Recipe) -> Self {
        Self { format: FORMAT, generator: GENERATOR.into(), recipe, shards: BTreeMap::new() }
    }

    /// Reads the record of the unfinished set in `folder`; none if the set is whole, or if there is
    /// none.
    ///
    /// # Errors
    /// Fails with [`Error::Io`], or with [`Error::BadFile`] for a damaged record.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(PARTIAL);
        if folder.join(FILE).exists() || !path.exists() {
            return Ok(None);
        }
        let partial: Self = read_json(&path)?;
        partial.check().map_err(|reason| bad(&path, reason))?;
        Ok(Some(partial))
    }

    /// Reads the shards that an earlier call for the same recipe left in `folder`, finished or not.
    ///
    /// # Errors
    /// Fails with [`Error::BadFile`] if the folder holds another set.
    pub(crate) fn resume(folder: &Path, recipe: Recipe) -> Result<Self> {
        let (path, stored) = match (folder.join(FILE), folder.join(PARTIAL)) {
            (whole, _) if whole.exists() => (whole, Self::from(Manifest::read(folder)?)),
            (_, partial) if partial.exists() => {
                let stored = read_json(&partial)?;
                (partial, stored)
            }
            _ => return Ok(Self::new(recipe)),
        };
        let asked = Self::new(recipe);
        stored.check_same(&asked).map_err(|reason| bad(&path, reason))?;
        Ok(Self { shards: stored.shards, ..asked })
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(PARTIAL), self)
    }

    fn check_same(&self, asked: &Self) -> std::result::Result<(), String> {
        let heads = |p: &Self| {
            let recipe = serde_json::to_string(&p.recipe).unwrap_or_default();
            // Decimal fractions can lose their last bit in reading: compare what has been read.
            let recipe: Option<Recipe> = serde_json::from_str(&recipe).ok();
            (p.format, p.generator.clone(), recipe)
        };

        if heads(self) != heads(asked) {
            return Err(format!(
                "the folder holds another data set: {}; asked for: {}; choose another folder",
                self.summary(),
                asked.summary()
            ));
        }
        self.check()
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.recipe.check()?;
        self.shards.iter().try_for_each(|(&i, shard)| match i < self.recipe.shards() {
            true => shard.check(i, &self.recipe),
            false => Err(format!("shard {i}: beyond the last")),
        })
    }

    fn summary(&self) -> String {
        let recipe = serde_json::to_string(&self.recipe).unwrap_or_default();
        format!("format {}, version {}, {recipe}", self.format, self.generator)
    }
}

impl From<Manifest> for Partial {
    fn from(m: Manifest) -> Self {
        let shards = m.shards.into_iter().enumerate().collect();
        Self { format: m.format, generator: m.generator, recipe: m.recipe, shards }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path, MAX_TEXT)?).map_err(|e| bad(path, e.to_string()))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| bad(path, e.to_string()))?;
    atomic::write(path, format!("{text}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest() -> Manifest {
        let shard = |i, count| Shard {
            file: Shard::file_name(i),
            count,
            sha256: "0123456789abcdef".repeat(4),
        };
        Manifest {
            format: FORMAT,
            generator: GENERATOR.into(),
            recipe: Recipe {
                pde: "darcy".into(),
                params: BTreeMap::from([("tau".into(), 0.1 + 0.2)]),
                seed: u64::MAX,
                grid: Grid::square(8),
                count: 5,
                shard_size: 3,
                part: None,
            },
            channels: vec![ChannelStats { name: "a".into(), mean: 7.5, std: 4.5 }],
            shards: vec![shard(0, 3), shard(1, 2)],
        }
    }

    fn refused(change: impl Fn(&mut Manifest)) -> String {
        let mut m = manifest();
        change(&mut m);
        let folder = tempfile::tempdir().unwrap();
        m.write(folder.path()).unwrap();
        Manifest::read(folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        manifest().write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), manifest());
    }

    /// The grid was stated twice, and the recipe's was called its size.
    #[test]
    fn older_manifests_are_read() {
        let old = |size: Value, grid: Value| {
            let mut value = serde_json::to_value(manifest()).unwrap();
            value["grid"] = grid;
            let recipe = value["recipe"].as_object_mut().unwrap();
            recipe.remove("grid").unwrap();
            recipe.insert("size".into(), size);
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(FILE), value.to_string()).unwrap();
            Manifest::read(folder.path())
        };
        assert_eq!(old(json!(8), json!([8, 8])).unwrap(), manifest());
        let wide = old(json!({ "points": [4, 9], "sides": [1.0, 2.0] }), json!([4, 9])).unwrap();
        assert_eq!(wide.recipe.grid, Grid { ny: 4, nx: 9, ly: 1.0, lx: 2.0 });
        let error = old(json!(8), json!([8, 9])).unwrap_err().to_string();
        assert!(error.contains("grid [8,9]") && error.contains("[8, 8]"), "{error}");
    }

    #[test]
    fn every_field_is_checked() {
        assert!(refused(|m| m.format = 2).contains("format: 2 found"));
        assert!(refused(|m| m.channels.clear()).contains("channels: 0"));
        assert!(refused(|m| m.channels[0].std = -1.0).contains("`a`"));
        assert!(refused(|m| m.recipe.count = usize::MAX).contains("count"));
        assert!(refused(|m| m.recipe.shard_size = 0).contains("shard size 0"));
        assert!(refused(|m| m.recipe.grid = Grid::square(1 << 40)).contains("grid"));
        assert!(refused(|m| m.recipe.grid.ny = 0).contains("grid"));
        assert!(refused(|m| m.recipe.count = 7).contains("shards: 2 found, 3 expected"));
        let part = |text: &str| text.parse().ok();
        assert!(refused(|m| m.recipe.part = part("1/9")).contains("none of 5 samples"));
        assert!(refused(|m| m.recipe.part = part("1/2")).contains("shards: 2 found, 1 expected"));
        assert!(refused(|m| m.shards[1].file = "../x.npy".into()).contains("../x.npy"));
        assert!(refused(|m| m.shards[0].count = 2).contains("shard 0"));
        assert!(refused(|m| m.shards[0].sha256 = "é".repeat(32)).contains("sha256"));
    }

    #[test]
    fn damaged_text_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        manifest().write(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(Manifest::read(folder.path()).is_err(), "{len} bytes");
        }
        for i in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[i] ^= 0x15;
            std::fs::write(&path, &bytes).unwrap();
            let _ = Manifest::read(folder.path());
        }
    }
}
