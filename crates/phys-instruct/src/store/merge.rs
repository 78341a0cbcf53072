//! A whole data set merged from parts that several processes made ([`Plan::part`]).
//!
//! Sample i depends on the recipe and i alone, so that the merged set equals, to the byte, the one
//! that a single process makes. Parts may be of different numbers, such as 1/2, 3/4 and 4/4, as
//! long as they hold every sample once.
//!
//! [`Plan::part`]: crate::store::dataset::Plan

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::job::Part;
use crate::store::dataset::{self, Fault, complete};
use crate::store::file::bad;
use crate::store::manifest::{GENERATOR, Manifest, Partial, Recipe, Shard};
use crate::store::shard::read_fields;
use crate::{Error, Result, Samples, memory, problem};

/// The most faults that an error names.
const NAMED: usize = 5;

/// Merges the parts in `folders` into a data set in `out`, or goes on with a merge begun there.
/// Every shard is checked against its checksum as it is read; the parts are left as they are.
/// `progress` receives the number of samples in finished shards, and of all.
///
/// # Errors
/// - [`Error::BadFile`] for parts of different recipes or versions, for samples held twice or
///   missing, for unfinished parts and damaged shards, and if `out` holds another data set.
/// - [`Error::Io`] and [`Error::Memory`].
/// - [`Error::Interrupted`] once `stop` is raised; the finished shards are then kept.
pub fn merge(
    folders: &[PathBuf],
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
    stop: &AtomicBool,
) -> Result<Manifest> {
    let parts = Parts::open(folders)?;
    parts.check_whole()?;

    let Parts { recipe, names, .. } = &parts;
    let shape = [names.len(), recipe.grid.ny, recipe.grid.nx];
    // A shard is held as it is gathered, with the shard that is read, and as the bytes of its file.
    let bytes = 3.0 * memory::of_samples(recipe.shard_size, shape);
    memory::ask(bytes, format_args!("shards of {} samples", recipe.shard_size))?;

    let mut gathered = |index, progress: &mut dyn FnMut(usize)| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let samples = parts.gather(recipe.range(index))?;
        progress(samples.count);
        Ok(samples)
    };
    complete(names, recipe, out, &mut |done| progress(done, recipe.count), &mut gathered)
}

/// Checks every shard of data sets that are the parts of one, and that together they hold every
/// sample. Returns the number of shards and the faults: damaged shards, unfinished and missing
/// parts.
///
/// # Errors
/// Fails with [`Error::BadFile`] for sets of different recipes, for a sample that is in two of
/// them, and for a damaged manifest.
pub fn verify(folders: &[PathBuf]) -> Result<(usize, Vec<Fault>)> {
    let parts = Parts::open(folders)?;
    let mut faults = Vec::new();
    for Piece { folder, recipe, shards, .. } in &parts.pieces {
        let channels = match parts.names.len() {
            0 => problem::by_name(&recipe.pde)?.channels().len(),
            known => known,
        };
        faults.extend(dataset::faults(folder, shards, recipe.grid, channels));
    }
    faults.extend(parts.not_there());
    let shards = parts.pieces.iter().map(|piece| piece.shards.len()).sum();
    Ok((shards, faults))
}

/// Data sets of one recipe, ordered by their first sample; no sample is in two of them.
struct Parts {
    /// The recipe of the whole set.
    recipe: Recipe,
    /// The names of the channels.
    names: Vec<String>,
    pieces: Vec<Piece>,
    /// The folders in which no shard is finished yet.
    not_begun: Vec<PathBuf>,
}

/// One of the data sets.
struct Piece {
    folder: PathBuf,
    recipe: Recipe,
    /// The names of the channels; none before the set is whole.
    names: Vec<String>,
    /// The finished shards in their order.
    shards: Vec<Shard>,
}

impl Parts {
    fn open(folders: &[PathBuf]) -> Result<Self> {
        let (mut pieces, mut not_begun) = (Vec::new(), Vec::new());
        for folder in folders {
            match Piece::open(folder)? {
                Some(piece) => pieces.push(piece),
                None => not_begun.push(folder.clone()),
            }
        }
        let Some(first) = pieces.first() else {
            return Err(Error::Config("no part of a data set in the folders named".into()));
        };
        let (recipe, origin) = (first.recipe.whole(), first.folder.clone());

        for piece in &pieces {
            if let Some(difference) = difference(&piece.recipe.whole(), &recipe) {
                let reason = format!("another data set: {difference} in {}", origin.display());
                return Err(bad(&piece.folder, reason));
            }
        }

        pieces.sort_by_key(|piece| piece.recipe.samples().start);
        for two in pieces.windows(2) {
            let [one, other] = [&two[0], &two[1]].map(|piece| piece.recipe.samples());
            if other.start < one.end {
                let both = in_words(&(other.start..one.end.min(other.end)));
                let reason = format!("{both} in {} too", two[0].folder.display());
                return Err(bad(&two[1].folder, reason));
            }
        }

        let names = pieces.iter().map(|piece| piece.names.clone()).max_by_key(Vec::len);
        Ok(Self { recipe, names: names.unwrap_or_default(), pieces, not_begun })
    }

    /// Refuses parts that do not hold every sample, and names those that are not there.
    ///
    /// # Errors
    /// Fails with [`Error::BadFile`].
    fn check_whole(&self) -> Result<()> {
        let mut faults = self.not_there().into_iter();
        let Some(first) = faults.next() else { return Ok(()) };

        let mut reason = first.reason;
        for Fault { file, reason: other } in faults.by_ref().take(NAMED - 1) {
            reason += &format!("; {}: {other}", file.display());
        }
        match faults.count() {
            0 => {}
            more => reason += &format!("; and {more} more (`data verify` names them)"),
        }
        Err(bad(&first.file, reason))
    }

    /// The unfinished and the missing parts.
    fn not_there(&self) -> Vec<Fault> {
        let unfinished = self.pieces.iter().filter(|piece| !piece.is_whole()).map(|piece| {
            let done: usize = piece.shards.iter().map(|shard| shard.count).sum();
            let all = piece.recipe.samples().len();
            let reason =
                format!("not finished, {done} of {all} samples: the command that began it goes on");
            Fault { file: piece.folder.clone(), reason }
        });

        // A part without a sample has nothing to begin with: an empty folder is its own.
        let absent = self.absent();
        let not_begun = self.not_begun.iter().filter(|_| !absent.is_empty()).map(|folder| {
            let reason = "not begun, no finished shard: the command of that part makes it".into();
            Fault { file: folder.clone(), reason }
        });

        // A missing part has no folder of its own; the one around the first part stands for all.
        let first = &self.pieces[0].folder;
        let file = first.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(first);
        let absent =
            absent.iter().map(|reason| Fault { file: file.to_path_buf(), reason: reason.clone() });
        unfinished.chain(not_begun).chain(absent).collect()
    }

    /// The samples in none of the sets, in words, by parts where all are cut into as many.
    fn absent(&self) -> Vec<String> {
        let mut gaps: Vec<Range<usize>> = Vec::new();
        let mut next = 0;
        for samples in self.pieces.iter().map(|piece| piece.recipe.samples()) {
            gaps.push(next..samples.start);
            next = samples.end;
        }
        gaps.push(next..self.recipe.count);
        gaps.retain(|gap| !gap.is_empty());

        let cut = |piece: &Piece| piece.recipe.part.map_or(1, Part::of);
        let of = cut(&self.pieces[0]);
        if self.pieces.iter().any(|piece| cut(piece) != of) {
            return gaps.iter().map(|gap| format!("{} in no part", in_words(gap))).collect();
        }
        let inside = |own: &Range<usize>| {
            gaps.iter().any(|gap| gap.start <= own.start && own.end <= gap.end && !own.is_empty())
        };
        let count = self.recipe.count;
        let parts = Part::all(of).filter(|part| inside(&part.range(count)));
        parts
            .map(|part| format!("part {part} is missing: {}", in_words(&part.range(count))))
            .collect()
    }

    /// The samples `range` of the whole set, read from the pieces that hold them.
    fn gather(&self, range: Range<usize>) -> Result<Samples> {
        let Recipe { grid, pde, .. } = &self.recipe;
        let mut gathered = Samples {
            pde: pde.clone(),
            channels: self.names.clone(),
            count: range.len(),
            height: grid.ny,
            width: grid.nx,
            sides: grid.sides(),
            data: Vec::new(),
        };

        for piece in &self.pieces {
            for (i, shard) in piece.shards.iter().enumerate() {
                let own = piece.recipe.range(i);
                let [first, end] = [own.start.max(range.start), own.end.min(range.end)];
                if first >= end {
                    continue;
                }
                let shape = [shard.count, self.names.len(), grid.ny, grid.nx];
                let data = read_fields(&piece.folder, shard, &shape)?;
                let length: usize = shape[1..].iter().product();
                let taken = (first - own.start) * length..(end - own.start) * length;
                gathered.data.extend_from_slice(&data[taken]);
            }
        }
        Ok(gathered)
    }
}

impl Piece {
    /// Opens a data set, finished or not; none before its first shard.
    fn open(folder: &Path) -> Result<Option<Self>> {
        let folder = folder.to_path_buf();
        if folder.is_file() {
            return Err(bad(&folder, "a file, where the folder of a part is expected"));
        }
        if !Manifest::is_begun(&folder) {
            return Ok(None);
        }

        let (piece, generator) = match Partial::read(&folder)? {
            Some(Partial { recipe, shards, generator, .. }) => {
                let shards = shards.into_values().collect();
                (Self { folder, recipe, names: Vec::new(), shards }, generator)
            }
            None => {
                let Manifest { recipe, channels, shards, generator, .. } = Manifest::read(&folder)?;
                let names = channels.into_iter().map(|channel| channel.name).collect();
                (Self { folder, recipe, names, shards }, generator)
            }
        };

        if generator == GENERATOR {
            return Ok(Some(piece));
        }
        let reason =
            format!("made by version {generator}, this is {GENERATOR}: samples may differ");
        Err(bad(&piece.folder, reason))
    }

    fn is_whole(&self) -> bool {
        !self.names.is_empty()
    }
}

/// The first value in which a recipe differs from another: its name, and what `other` has.
fn difference(own: &Recipe, other: &Recipe) -> Option<String> {
    let [own, other] = [own, other].map(|recipe| serde_json::to_value(recipe).unwrap_or_default());
    let fields = own.as_object()?.iter();
    let (name, value) = fields.into_iter().find(|(name, value)| other.get(name) != Some(value))?;
    let there = other.get(name).unwrap_or(&Value::Null);
    Some(format!("{name} is {value}, but {there}"))
}

/// A range of samples in words.
fn in_words(range: &Range<usize>) -> String {
    match range.len() {
        1 => format!("sample {}", range.start),
        _ => format!("samples {} to {}", range.start, range.end - 1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use phys_instruct_physics::Grid;
    use phys_instruct_physics::poisson::Poisson;

    use super::*;
    use crate::store::dataset::{Plan, generate};

    fn plan(part: Option<&str>) -> Plan {
        let part = part.map(|text| text.parse().unwrap());
        Plan { grid: Grid::square(6), count: 11, seed: 3, shard_size: 3, part }
    }

    fn make(plan: Plan, folder: &Path) -> Manifest {
        generate(&Poisson::default(), plan, folder, &mut |_| {}, &AtomicBool::new(false)).unwrap()
    }

    /// The parts of these names in folders below `root`.
    fn made(root: &Path, parts: &[&str]) -> Vec<PathBuf> {
        let folder = |part: &&str| root.join(part.replace('/', "-of-"));
        parts.iter().for_each(|part| drop(make(plan(Some(part)), &folder(part))));
        parts.iter().map(folder).collect()
    }

    fn merged(folders: &[PathBuf], out: &Path) -> Result<Manifest> {
        merge(folders, out, &mut |_, _| {}, &AtomicBool::new(false))
    }

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
    }

    #[test]
    fn merged_parts_are_the_set_made_in_one_go() {
        let root = tempfile::tempdir().unwrap();
        let whole = root.path().join("whole");
        make(plan(None), &whole);
        let cuts: [&[&str]; 4] = [
            &["1/1"],
            &["3/3", "1/3", "2/3"],
            &["1/2", "3/4", "4/4"],
            &[
                "1/11", "2/11", "3/11", "4/11", "5/11", "6/11", "7/11", "8/11", "9/11", "10/11",
                "11/11",
            ],
        ];
        for (i, cut) in cuts.iter().enumerate() {
            let folders = made(&root.path().join(format!("cut-{i}")), cut);
            let out = root.path().join(format!("out-{i}"));
            merged(&folders, &out).unwrap();
            assert_eq!(files(&out), files(&whole), "{cut:?}");
            assert_eq!(verify(&folders).unwrap().1, []);
        }
    }

    #[test]
    fn a_merge_goes_on_where_it_was_stopped() {
        let root = tempfile::tempdir().unwrap();
        let [whole, out] = ["whole", "out"].map(|name| root.path().join(name));
        make(plan(None), &whole);
        let folders = made(root.path(), &["1/2", "2/2"]);
        let stop = AtomicBool::new(false);
        let mut after = |done, _| stop.store(done >= 3, Ordering::Relaxed);
        assert!(matches!(merge(&folders, &out, &mut after, &stop), Err(Error::Interrupted)));
        assert!(out.join("shard-00000.npy").exists() && !out.join("shard-00001.npy").exists());
        merged(&folders, &out).unwrap();
        assert_eq!(files(&out), files(&whole));
    }

    #[test]
    fn missing_parts_are_named() {
        let root = tempfile::tempdir().unwrap();
        let folders = made(root.path(), &["1/4", "4/4"]);
        let reasons: Vec<String> =
            verify(&folders).unwrap().1.into_iter().map(|fault| fault.reason).collect();
        assert_eq!(
            reasons,
            ["part 2/4 is missing: samples 2 to 4", "part 3/4 is missing: samples 5 to 7"]
        );
        let error = merged(&folders, &root.path().join("out")).unwrap_err().to_string();
        assert!(error.contains("part 2/4 is missing"), "{error}");
        assert!(!root.path().join("out").exists());

        let mixed = made(root.path(), &["1/2", "4/4"]);
        let reasons = verify(&mixed).unwrap().1;
        assert_eq!(reasons[0].reason, "samples 5 to 7 in no part");
    }

    #[test]
    fn a_part_without_a_finished_shard_is_named_beside_the_other_faults() {
        let root = tempfile::tempdir().unwrap();
        let mut folders = made(root.path(), &["1/4", "3/4"]);
        let shard = folders[0].join("shard-00000.npy");
        std::fs::write(&shard, b"damaged").unwrap();
        let [killed, absent] = ["killed", "absent"].map(|name| root.path().join(name));
        std::fs::create_dir(&killed).unwrap();
        folders.extend([killed.clone(), absent.clone()]);

        let faults = verify(&folders).unwrap().1;
        let named: Vec<&Path> = faults.iter().map(|fault| fault.file.as_path()).collect();
        assert_eq!(named, [&shard, &killed, &absent, root.path(), root.path()]);
        let error = merged(&folders, &root.path().join("out")).unwrap_err().to_string();
        for word in ["killed: not begun", "absent: not begun", "part 2/4 is missing", "part 4/4"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(verify(&[killed]).unwrap_err().to_string().contains("no part of a data set"));
    }

    #[test]
    fn a_finished_shard_of_an_unfinished_part_is_checked() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("begun");
        let stop = AtomicBool::new(false);
        let mut after = |done| stop.store(done >= 3, Ordering::Relaxed);
        let begun = plan(Some("1/2"));
        generate(&Poisson::default(), begun, &folder, &mut after, &stop).unwrap_err();
        let folders = [folder.clone()];
        assert_eq!(verify(&folders).unwrap().1.len(), 2);
        std::fs::remove_file(folder.join("shard-00000.npy")).unwrap();
        let faults = verify(&folders).unwrap().1;
        assert!(faults.len() == 3 && faults[0].file.ends_with("shard-00000.npy"), "{faults:?}");
    }

    #[test]
    fn parts_without_a_sample_are_not_missed() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (1..=14).map(|k| format!("{k}/14")).collect();
        let part = |name: &&String| !plan(Some(name)).part.unwrap().range(11).is_empty();
        let own: Vec<&str> = names.iter().filter(part).map(String::as_str).collect();
        assert_eq!(own.len(), 11);
        let mut folders = made(root.path(), &own);
        folders.push(root.path().join("1-of-14"));
        assert_eq!(verify(&folders).unwrap().1, []);
        merged(&folders, &root.path().join("out")).unwrap();
        let empty = names.iter().find(|name| !part(name)).unwrap();
        let stop = AtomicBool::new(false);
        let made =
            generate(&Poisson::default(), plan(Some(empty)), root.path(), &mut |_| {}, &stop);
        assert!(made.unwrap_err().to_string().contains("none of 11 samples"));
    }

    #[test]
    fn an_unfinished_part_is_told_from_a_missing_one() {
        let root = tempfile::tempdir().unwrap();
        let mut folders = made(root.path(), &["1/2"]);
        let second = root.path().join("second");
        let stop = AtomicBool::new(false);
        let mut after = |done| stop.store(done >= 3, Ordering::Relaxed);
        let begun = plan(Some("2/2"));
        generate(&Poisson::default(), begun, &second, &mut after, &stop).unwrap_err();
        folders.push(second);
        let faults = verify(&folders).unwrap().1;
        assert_eq!(faults.len(), 1);
        assert!(faults[0].reason.contains("3 of 6 samples"), "{faults:?}");
        assert!(merged(&folders, &root.path().join("out")).is_err());
    }

    #[test]
    fn what_is_twice_damaged_or_of_another_seed_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let folders = made(root.path(), &["1/2", "2/3", "3/3"]);
        let error = merged(&folders, &out).unwrap_err().to_string();
        assert!(error.contains("samples 3 to 4 in"), "{error}");

        let other = root.path().join("other");
        make(Plan { seed: 4, ..plan(Some("2/2")) }, &other);
        let error = merged(&[folders[0].clone(), other], &out).unwrap_err().to_string();
        assert!(error.contains("seed is 4, but 3 in"), "{error}");

        let parts = made(root.path(), &["2/2"]);
        let shard = parts[0].join("shard-00000.npy");
        let mut bytes = std::fs::read(&shard).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&shard, bytes).unwrap();
        let both = [folders[0].clone(), parts[0].clone()];
        assert!(merged(&both, &out).unwrap_err().to_string().contains("SHA-256"));
        assert_eq!(verify(&both).unwrap().1.len(), 1);
    }
}
