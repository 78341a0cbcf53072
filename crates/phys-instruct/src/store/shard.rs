//! The shards of a data set folder, read and checked against its manifest.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::store::file::{MAX_BYTES, bad, read as read_file};
use crate::store::manifest::{Manifest, Shard};
use crate::store::ndarray::NdArray;
use crate::store::npy;
use crate::{Result, Samples, memory};

/// Reads a whole data set, checking every shard against its hash, shape and finiteness.
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for the first fault.
pub fn load(folder: &Path) -> Result<Samples> {
    let manifest = Manifest::read(folder)?;
    let [height, width] = manifest.recipe.grid.shape();
    let count = manifest.recipe.samples().len();
    let bytes = memory::of_samples(count, [manifest.channels.len(), height, width]);
    memory::ask(bytes, format_args!("{count} samples of {height} x {width}"))?;

    let mut samples = Samples {
        pde: manifest.recipe.pde.clone(),
        channels: manifest.channels.iter().map(|c| c.name.clone()).collect(),
        count,
        height,
        width,
        sides: manifest.recipe.grid.sides(),
        data: Vec::new(),
    };

    for shard in &manifest.shards {
        let shape = [shard.count, manifest.channels.len(), height, width];
        samples.data.extend(read_fields(folder, shard, &shape)?);
    }
    Ok(samples)
}

/// The array of a shard, once its hash is verified.
pub(crate) fn read_shard(folder: &Path, shard: &Shard) -> Result<NdArray> {
    let path = folder.join(&shard.file);
    let bytes = read_file(&path, MAX_BYTES)?;
    let found = sha256(&bytes);
    if found != shard.sha256.to_ascii_lowercase() {
        return Err(bad(&path, format!("SHA-256 {found} found, {} expected", shard.sha256)));
    }
    npy::from_reader(&bytes[..], bytes.len() as u64).map_err(|reason| bad(&path, reason))
}

/// The values of a shard, which must have the given shape.
pub(crate) fn read_fields(folder: &Path, shard: &Shard, shape: &[usize]) -> Result<Vec<f32>> {
    let array = read_shard(folder, shard)?;
    if array.shape == shape {
        return Ok(array.into_f32());
    }
    let found = array.shape;
    Err(bad(&folder.join(&shard.file), format!("shape {found:?} found, {shape:?} expected")))
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// SHA-256 of a file's bytes, in hexadecimal digits.
///
/// # Errors
/// Fails for a file that cannot be read.
pub fn file_hash(file: &Path) -> Result<String> {
    Ok(sha256(&read_file(file, MAX_BYTES)?))
}
