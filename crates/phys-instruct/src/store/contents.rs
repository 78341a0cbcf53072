//! The contents of a file of arrays, whatever its format: what was found, and what a reader may
//! take.

use std::collections::BTreeMap;

use crate::memory;
use crate::store::cells::Cells;
use crate::store::file::most_decompressed;
use crate::store::ndarray::NdArray;

/// The name of the one array of an `.npy` file, which has none of its own.
pub const LONE: &str = "array";

/// A file's format, as far as readers treat formats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One array of NumPy's.
    #[default]
    Npy,
    /// An archive of NumPy's arrays.
    Npz,
    /// A MATLAB file of version 5 to 7.
    Matlab,
    /// An HDF5 file, MATLAB's version 7.3 among them.
    Hdf5,
    /// A folder written by this library.
    DataSet,
    /// A folder of ESRI ASCII grids.
    Rasters,
}

/// The contents of a file.
#[derive(Debug, Default)]
pub struct Contents {
    /// The names of all arrays of numbers, in the order of the file. Arrays in groups of HDF5 or in
    /// structures of MATLAB are named by their path, `group/array`.
    pub names: Vec<String>,
    /// The arrays that were wanted; values may be NaN or infinite.
    pub arrays: BTreeMap<String, NdArray>,
    /// Everything else by name, with its kind in words: "text", "complex numbers".
    pub others: BTreeMap<String, String>,
    /// The file's format.
    pub format: Format,
    /// The cells of rasters.
    pub cells: Option<Cells>,
}

/// The thing that is stored under one name.
#[derive(Debug)]
pub(crate) enum Item {
    /// Numbers that were wanted.
    Array(NdArray),
    /// Numbers that were not wanted, and are not decoded.
    Unread,
    /// Anything else, in words.
    Other(String),
}

/// Peak memory of reading an array, in its decoded bytes: the raw bytes, the numbers, and the
/// numbers in another order of axes.
const COPIES: f64 = 3.0;

/// A function that takes arrays by name.
pub(crate) type Each<'a> = dyn FnMut(&str, NdArray) + 'a;

/// The arrays that a reader looks for, the memory it may use, and the items that it finds.
pub(crate) struct Collector<'a> {
    wanted: &'a dyn Fn(&str) -> bool,
    /// A function that takes every wanted array at once, so that no two are held in memory.
    pub each: Option<&'a mut Each<'a>>,
    /// The decoded bytes of all arrays, kept or handed on.
    decoded: u64,
    /// The most bytes that may be decoded.
    most: u64,
    pub found: Contents,
}

impl<'a> Collector<'a> {
    /// Makes a collector for a file of `len` bytes.
    pub fn new(len: u64, wanted: &'a dyn Fn(&str) -> bool) -> Self {
        let most = most_decompressed(len);
        Self { wanted, each: None, decoded: 0, most, found: Contents::default() }
    }

    /// Tells whether the array of that name is to be decoded.
    pub fn wants(&self, name: &str) -> bool {
        (self.wanted)(name)
    }

    /// Allows an array of so many decoded bytes, before any is decoded.
    ///
    /// # Errors
    /// Fails with a reason if the file cannot honestly hold as much, or the machine has less.
    pub fn allow(&mut self, bytes: u64) -> std::result::Result<(), String> {
        self.decoded = self.decoded.saturating_add(bytes);
        if self.decoded > self.most {
            return Err(format!(
                "{} declared, at most {} allowed for a file of this size (--memory-limit sets \
                 another bound)",
                memory::sized(self.decoded as f64),
                memory::sized(self.most as f64)
            ));
        }
        let held = if self.each.is_some() { bytes } else { self.decoded };
        memory::ask(COPIES * held as f64, "its arrays").map_err(|e| e.to_string())
    }

    /// Files one item under its name; fails for a second array of that name.
    pub fn insert(&mut self, name: String, item: Item) -> std::result::Result<(), String> {
        // A terminal must not obey what a file calls its arrays.
        let name = match name.chars().any(char::is_control) {
            true => name.escape_default().to_string(),
            false => name,
        };

        match item {
            Item::Other(kind) => {
                self.found.others.insert(name, kind);
                return Ok(());
            }
            Item::Array(array) => match &mut self.each {
                Some(each) => each(&name, array),
                None if self.found.arrays.insert(name.clone(), array).is_some() => {
                    return Err(format!("two arrays named `{name}`"));
                }
                None => {}
            },
            Item::Unread => {}
        }

        self.found.names.push(name);
        Ok(())
    }
}

impl Contents {
    /// Removes the array of that name and returns it.
    ///
    /// # Errors
    /// Fails with the names or the kind of the items that are there instead.
    pub fn take(&mut self, name: &str) -> std::result::Result<NdArray, String> {
        self.arrays.remove(name).ok_or_else(|| self.why_missing(name))
    }

    /// Tells why there is no array of that name.
    pub fn why_missing(&self, name: &str) -> String {
        match self.others.get(name) {
            Some(kind) => format!("`{name}` is no array of numbers: {kind}"),
            None => format!("no array `{name}`; found: {}", self.listed()),
        }
    }

    /// Lists everything there is, in one line.
    pub fn listed(&self) -> String {
        let others = self.others.iter().map(|(name, kind)| format!("{name} ({kind})"));
        let all: Vec<String> = self.names.iter().cloned().chain(others).collect();
        if all.is_empty() { "nothing".into() } else { all.join(", ") }
    }
}
