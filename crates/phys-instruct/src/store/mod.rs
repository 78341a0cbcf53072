//! Everything that touches files.
//!
//! Writes go through [`atomic`]: a reader finds the old file or the new one, never half of either.
//! Reads check sizes, shapes, element types and finiteness before anything is returned. A damaged
//! file gives [`crate::Error::BadFile`]; nothing is ever loaded in part.

pub mod arrays;
pub mod atomic;
pub mod axes;
mod cells;
pub mod check;
mod contents;
pub mod dataset;
pub(crate) mod file;
mod hdf5;
pub mod import;
pub mod interrupt;
pub mod lock;
mod lzf;
pub mod manifest;
mod mat5;
pub mod merge;
pub(crate) mod missing;
pub mod ndarray;
pub mod npy;
pub mod npz;
pub mod rasters;
mod reading;
pub mod run;
mod shard;
pub mod weights;

pub use axes::Axes;
pub use check::Check;
pub use dataset::{Plan, generate, load, load_any, read_npz, verify, write_npz};
pub use import::{Affine, ImportOptions, Imported, import, import_checked};
pub use manifest::Manifest;
pub use ndarray::{NdArray, NdData};
pub use rasters::is_data_set;
pub use run::Run;
