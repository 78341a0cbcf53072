//! Named arrays from any file: `.npy`, `.npz`, MATLAB's `.mat` of versions 5 to 7.3, HDF5; from a
//! data set folder, or a folder of ESRI ASCII grids. Formats of files are recognised by their first
//! bytes, not by their names.
//!
//! Only wanted arrays are decoded. Anything that is no array of numbers is skipped and described,
//! so that an error can say why it is missing.

use std::io::Read;
use std::path::Path;

use crate::Result;
use crate::store::contents::{Collector, Each, Item};
pub use crate::store::contents::{Contents, Format, LONE};
use crate::store::file::{MAX_BYTES, bad, io_error, open};
use crate::store::ndarray::NdArray;
use crate::store::rasters::{self, is_folder_of_rasters};
use crate::store::{hdf5, mat5, npy, npz, shard};

/// The bytes that begin every HDF5 file, perhaps after a block of the user's own.
const HDF5_MARK: &[u8] = b"\x89HDF\r\n\x1a\n";
/// The places where HDF5 looks for its mark: at zero, then at 512 and its doubles. MATLAB uses 512.
const HDF5_STARTS: [usize; 4] = [0, 512, 1024, 2048];
/// Bytes that tell the format.
const START: u64 = 2056;

/// Reads the arrays whose names are `wanted`. Arrays that are not wanted are never an error, nor is
/// anything that is no array of numbers: it is listed in [`Contents::others`].
///
/// # Errors
/// Fails with [`crate::Error::Io`], or with [`crate::Error::BadFile`] for a file of another format,
/// a damaged file or a wanted array that is damaged or larger than the file can hold.
pub fn read(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Contents> {
    let mut collector = Collector::new(length(path)?, wanted);
    let format = fill(path, &mut collector)?;
    Ok(Contents { format, ..collector.found })
}

/// Passes every array of numbers to `each`, one after the other, so that a file may be larger than
/// the memory. [`Contents::arrays`] is then empty.
///
/// # Errors
/// Fails as [`read`] does.
pub fn read_each<'a>(path: &Path, each: &'a mut Each<'a>) -> Result<Contents> {
    let mut collector = Collector::new(length(path)?, &|_| true);
    collector.each = Some(each);
    let format = fill(path, &mut collector)?;
    Ok(Contents { format, ..collector.found })
}

/// The bytes of a file; the shards of a data set folder are bounded by their manifest.
fn length(path: &Path) -> Result<u64> {
    if is_folder_of_rasters(path) {
        return rasters::bytes(path);
    }
    if path.is_dir() { Ok(0) } else { Ok(open(path, MAX_BYTES)?.1) }
}

/// Fills the collector from a file of any format, which is returned.
fn fill(path: &Path, collector: &mut Collector) -> Result<Format> {
    if is_folder_of_rasters(path) {
        rasters::fill(path, collector)?;
        return Ok(Format::Rasters);
    }
    if path.is_dir() {
        data_set(path, collector)?;
        return Ok(Format::DataSet);
    }

    let format = format_of(path)?;
    match format {
        Format::Npz => npz::fill(path, collector)?,
        Format::Matlab => mat5::fill(path, collector)?,
        Format::Hdf5 => hdf5::fill(path, collector)?,
        Format::Npy | Format::DataSet | Format::Rasters => lone(path, collector)?,
    }
    Ok(format)
}

fn lone(path: &Path, collector: &mut Collector) -> Result<()> {
    let item = npy::read_item(path, collector)?;
    collector.insert(LONE.into(), item).map_err(|reason| bad(path, reason))
}

/// The channels of a data set folder, `[sample, y, x]` each.
fn data_set(folder: &Path, collector: &mut Collector) -> Result<()> {
    let samples = shard::load(folder)?;
    for (c, name) in samples.channels.iter().enumerate() {
        let shape = vec![samples.count, samples.height, samples.width];
        let item = if collector.wants(name) {
            let fields = (0..samples.count).flat_map(|i| samples.field(i, c)).copied().collect();
            let array = NdArray::from_f32(shape, fields);
            Item::Array(array.ok_or_else(|| bad(folder, format!("channel `{name}` is not whole")))?)
        } else {
            Item::Unread
        };
        collector.insert(name.clone(), item).map_err(|reason| bad(folder, reason))?;
    }
    Ok(())
}

/// The format by the file's first bytes.
pub(crate) fn format_of(path: &Path) -> Result<Format> {
    let (file, _) = open(path, MAX_BYTES)?;
    let mut start = Vec::new();
    file.take(START).read_to_end(&mut start).map_err(|e| io_error(path, e))?;
    let matlab = matches!(start.get(126..128), Some(b"IM" | b"MI"));
    let hdf5 = |at: &usize| start.get(*at..).is_some_and(|rest| rest.starts_with(HDF5_MARK));

    if start.starts_with(b"\x93NUMPY") {
        Ok(Format::Npy)
    } else if start.starts_with(b"PK") {
        Ok(Format::Npz)
    } else if HDF5_STARTS.iter().any(hdf5) {
        Ok(Format::Hdf5)
    } else if matlab {
        Ok(Format::Matlab)
    } else {
        Err(bad(path, unknown(path, &start)))
    }
}

/// Says what a file of unknown format seems to be, and how to convert it.
fn unknown(path: &Path, start: &[u8]) -> String {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let matlab = extension.eq_ignore_ascii_case("mat");

    // Version 4 begins with a code below 5000, so that one of the first four bytes is zero.
    if matlab && start.len() >= 20 && start[..4].contains(&0) {
        return "a MATLAB 4 file; save it again with -v7".into();
    }

    let found = match start {
        [] => "an empty file",
        [0x1f, 0x8b, ..] => "a gzip file (unpack it first)",
        [0x80, 2..=5, ..] => "a Python pickle (save its arrays with numpy.savez)",
        [b'C', b'D', b'F', 1 | 2 | 5, ..] => "a NetCDF 3 file (nccopy -k nc4 makes HDF5 of it)",
        _ if matlab => "no MATLAB file of version 5 to 7.3 (damaged, or cut short)",
        _ => "a file of no known format",
    };
    format!("{found}; one of NumPy (.npy, .npz), MATLAB (.mat) or HDF5 (.h5) expected")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::npy;

    #[test]
    fn the_first_bytes_tell_the_format_whatever_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fields.dat");
        let array = NdArray::from_f32(vec![2], vec![1.0, f32::NAN]).unwrap();
        let finite = NdArray::from_f32(vec![2], vec![1.0, 2.0]).unwrap();
        npy::write(&path, &finite).unwrap();
        let contents = read(&path, &|_| true).unwrap();
        assert_eq!((contents.format, &contents.arrays[LONE]), (Format::Npy, &finite));
        assert_eq!(read(&path, &|_| false).unwrap().arrays.len(), 0);
        npz::write(&path, &[("u", &finite)]).unwrap();
        let contents = read(&path, &|_| true).unwrap();
        assert_eq!((contents.format, &contents.arrays["u"]), (Format::Npz, &finite));
        // A value that is not finite is the caller's to judge.
        let mut bytes = Vec::new();
        npy::to_writer(&mut bytes, &array).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let nan = read(&path, &|_| true).unwrap().take(LONE).unwrap();
        assert!(nan.into_f32()[1].is_nan());
    }

    #[test]
    fn what_is_no_array_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let reason = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            read(&path, &|_| true).unwrap_err().to_string()
        };
        assert!(reason("a.npz", b"").contains("an empty file"));
        assert!(reason("a.csv", b"y,x\n1,2\n").contains("no known format"));
        assert!(reason("a.npy.gz", b"\x1f\x8b\x08").contains("unpack"));
        assert!(reason("a.pt", b"\x80\x02}").contains("pickle"));
        let old = [0u32, 8, 8, 0, 7].map(u32::to_le_bytes).concat();
        assert!(reason("a.mat", &old).contains("MATLAB 4 file; save it again with -v7"));
        assert!(reason("a.mat", b"MATLAB 5.0 MAT-file, cut").contains("cut short"));
    }

    #[test]
    fn devices_are_refused_and_names_cannot_command_a_terminal() {
        for path in ["/dev/zero", "/dev/null"] {
            let error = read(Path::new(path), &|_| true).unwrap_err().to_string();
            assert!(error.contains("not an ordinary file"), "{error}");
        }
        let mut collector = Collector::new(0, &|_| true);
        collector.insert("\u{1b}[2Ja\n".into(), Item::Unread).unwrap();
        assert_eq!(collector.found.listed(), "\\u{1b}[2Ja\\n");
    }

    #[test]
    fn arrays_that_together_are_too_much_are_refused_one_by_one_too() {
        let mut collector = Collector::new(1 << 10, &|_| true);
        let mut each = |_: &str, _: NdArray| {};
        collector.each = Some(&mut each);
        assert!(collector.allow(60 << 20).is_ok());
        assert!(collector.allow(60 << 20).unwrap_err().contains("120 MiB declared"));
    }

    #[test]
    fn what_is_missing_is_explained() {
        let mut collector = Collector::new(0, &|_| true);
        collector.insert("u".into(), Item::Unread).unwrap();
        collector.insert("a".into(), Item::Other("complex numbers".into())).unwrap();
        let mut contents = collector.found;
        assert!(contents.take("a").unwrap_err().contains("complex numbers"));
        assert_eq!(contents.take("w").unwrap_err(), "no array `w`; found: u, a (complex numbers)");
    }
}
