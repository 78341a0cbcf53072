//! Folders of ESRI ASCII grids (`.asc`), a file for each field of each sample: `k_1.asc`,
//! `h_1.asc`, `k_2.asc`.
//!
//! A file has the name of its field and, behind `_`, `-` or `.`, the number of its sample. Those of
//! a single sample need no number. The lines of such a file begin in the north. The rows of the
//! arrays begin in the south, at the smallest y, as everywhere in this library.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::store::cells::Cells;
use crate::store::contents::{Collector, Item};
use crate::store::file::{bad, elements, io_error, open, read_text};
use crate::store::manifest::Manifest;
use crate::store::ndarray::NdArray;
use crate::{Error, Result};

/// The largest size of one file, in bytes: 4096 by 4096 values of 24 digits.
const MOST_BYTES: u64 = 512 << 20;

/// The files of each field by the number of the sample.
type Files = BTreeMap<String, BTreeMap<u64, PathBuf>>;

/// Tells whether a path is a folder of such grids, and no data set of this library.
pub fn is_folder_of_rasters(path: &Path) -> bool {
    path.is_dir()
        && !Manifest::is_begun(path)
        // What is wrong with the files is told where they are read.
        && files(path).map_or(true, |files| !files.is_empty())
}

/// Tells whether a path is a folder, and not one of rasters.
pub fn is_data_set(path: &Path) -> bool {
    path.is_dir() && !is_folder_of_rasters(path)
}

/// The bytes of all grids in a folder.
///
/// # Errors
/// Fails as [`files`] does, and for a file that cannot be opened.
pub(crate) fn bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for path in files(folder)?.values().flat_map(BTreeMap::values) {
        sum += open(path, MOST_BYTES)?.1;
    }
    Ok(sum)
}

/// Fills the collector with an array `[sample, y, x]` for each field, and with their cells.
///
/// # Errors
/// Fails for a damaged file. Fails for wanted fields of unequal cells and for one without a sample
/// that another one has, unless each is looked at by itself.
pub(crate) fn fill(folder: &Path, collector: &mut Collector) -> Result<()> {
    let files = files(folder)?;
    let belong_together = collector.each.is_none();
    if belong_together {
        let wanted = files.iter().filter(|(name, _)| collector.wants(name)).collect::<Vec<_>>();
        check_numbers(folder, &wanted)?;
    }

    let mut cells: Option<(PathBuf, Cells)> = None;
    for (name, samples) in &files {
        let item = match collector.wants(name) {
            true => {
                cells = cells.filter(|_| belong_together);
                Item::Array(field(samples, &mut cells, collector)?)
            }
            false => Item::Unread,
        };
        collector.insert(name.clone(), item).map_err(|reason| bad(folder, reason))?;
    }
    collector.found.cells = cells.map(|(_, cells)| cells);
    Ok(())
}

/// Reads the samples of one field, `[sample, y, x]`, whose cells are those of the file beside
/// `cells`; the first file of all sets them.
fn field(
    samples: &BTreeMap<u64, PathBuf>,
    cells: &mut Option<(PathBuf, Cells)>,
    collector: &mut Collector,
) -> Result<NdArray> {
    let mut data = Vec::new();
    let mut shape = Vec::new();
    for path in samples.values() {
        let text = read_text(path, MOST_BYTES)?;
        let (own, body) = head(&text).map_err(|reason| bad(path, reason))?;
        let (first, expected) = cells.get_or_insert_with(|| (path.clone(), own));
        if !own.is_at(expected) {
            let reason = format!("{own} found, {expected} expected as in {}", first.display());
            return Err(bad(path, reason));
        }

        if shape.is_empty() {
            shape = vec![samples.len(), own.rows, own.columns];
            let values = elements(&shape).unwrap_or(usize::MAX);
            collector.allow((values as u64).saturating_mul(4)).map_err(|e| bad(path, e))?;
        }
        data.extend(values(body, own).map_err(|reason| bad(path, reason))?);
    }
    let whole = NdArray::from_f32(shape, data);
    whole.ok_or_else(|| Error::Shape("a raster that is not whole".into()))
}

/// The grids of a folder by field and sample.
///
/// # Errors
/// Fails if the folder cannot be read, and for two files of one field and sample.
fn files(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(|e| io_error(folder, e))? {
        let path = entry.map_err(|e| io_error(folder, e))?.path();
        let is_grid = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("asc"));
        if !is_grid {
            continue;
        }

        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let stem = stem.ok_or_else(|| bad(&path, "its name is not UTF-8"))?;
        let (name, number) = name_and_number(stem);
        let samples = files.entry(name.to_owned()).or_default();
        if let Some(other) = samples.insert(number, path.clone()) {
            let reason = format!("the same field and sample as {}", other.display());
            return Err(bad(&path, reason));
        }
    }
    Ok(files)
}

/// The field and the number of the sample in a file's name; 0 where it has no number.
fn name_and_number(stem: &str) -> (&str, u64) {
    let split = stem.rfind(['_', '-', '.']).and_then(|at| {
        let (name, number) = (&stem[..at], &stem[at + 1..]);
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        (is_number && !name.is_empty()).then(|| Some((name, number.parse().ok()?)))?
    });
    split.unwrap_or((stem, 0))
}

/// Refuses fields of which one has a sample that another one lacks.
fn check_numbers(folder: &Path, fields: &[(&String, &BTreeMap<u64, PathBuf>)]) -> Result<()> {
    for (name, samples) in fields {
        for (other, theirs) in fields {
            if let Some(number) = theirs.keys().find(|number| !samples.contains_key(number)) {
                let reason =
                    format!("`{other}` has a sample {number} and `{name}` has none of that number");
                return Err(bad(folder, reason));
            }
        }
    }
    Ok(())
}

type Parsed<T> = std::result::Result<T, String>;

/// The cells that the head of a file tells, and the rest of the file with its mark for a missing
/// value.
fn head(text: &str) -> Parsed<(Cells, Body<'_>)> {
    let mut keys = BTreeMap::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] if !after.is_empty() => {}
            [key, value] if key.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let number = number(value).map_err(|e| format!("{key}: {e}"))?;
                if keys.insert(key.to_ascii_lowercase(), number).is_some() {
                    return Err(format!("{key} is given twice"));
                }
            }
            _ => break,
        }
        rest = after;
    }

    let mut take = |key: &str| keys.remove(key);
    let count = |key: &str, value: Option<f64>| {
        let value = value.ok_or_else(|| format!("no {key} in its head; no ESRI ASCII grid?"))?;
        let is_count = value.fract() == 0.0 && (1.0..=1e6).contains(&value);
        is_count
            .then_some(value as usize)
            .ok_or_else(|| format!("{key} {value} is no number of cells"))
    };
    let columns = count("ncols", take("ncols"))?;
    let rows = count("nrows", take("nrows"))?;
    let side = take("cellsize").ok_or("no cellsize in its head; cells must be square")?;
    if !(side.is_finite() && side > 0.0) {
        return Err(format!("cellsize {side} is not above 0"));
    }

    let mut first = [0.0; 2];
    for (first, name) in first.iter_mut().zip(["x", "y"]) {
        let (corner, centre) = (take(&format!("{name}llcorner")), take(&format!("{name}llcenter")));
        let corner = corner.map(|corner| corner + 0.5 * side);
        *first = match (corner, centre) {
            (Some(at), None) | (None, Some(at)) if at.is_finite() => at,
            (None, None) => return Err(format!("no {name}llcorner in its head")),
            _ => return Err(format!("{name}llcorner or {name}llcenter is no one number")),
        };
    }
    let missing = take("nodata_value");
    Ok((Cells { columns, rows, first, side }, Body { text: rest, missing }))
}

/// The numbers of a file, and the one that marks a missing value.
struct Body<'a> {
    text: &'a str,
    missing: Option<f64>,
}

/// The values of a file, the southern row first; NaN where one is missing.
fn values(body: Body, Cells { columns, rows, .. }: Cells) -> Parsed<Vec<f32>> {
    let mut values = Vec::new();
    for word in body.text.split_whitespace() {
        if values.len() == rows * columns {
            return Err(format!("more than {rows} x {columns} values"));
        }
        let value = number(word)?;
        values.push(if Some(value) == body.missing { f32::NAN } else { value as f32 });
    }
    if values.len() != rows * columns {
        return Err(format!("{} values found, {rows} x {columns} expected", values.len()));
    }
    Ok(values.chunks_exact(columns).rev().flatten().copied().collect())
}

fn number(word: &str) -> Parsed<f64> {
    word.parse().map_err(|_| format!("`{word}` is not a number"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use std::f64::consts::PI;

    use super::*;
    use crate::problem::{self, Described, Description};
    use crate::store::arrays;
    use crate::store::import::{Imported, import_checked};
    use crate::store::reading::ImportOptions;

    const HEAD: &str = "ncols 3\nnrows 2\nxllcorner 100\nyllcorner 50\ncellsize 10\n";

    /// A folder of files by name.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn grid(values: &str) -> String {
        format!("{HEAD}NODATA_value -1\n{values}\n")
    }

    /// Data alone of the fields k and h, `more` of the table `[pde]` given.
    fn described(more: &str) -> Described {
        let text = format!(
            "[pde]\nname = 'wells'\ninput = 'k'\n{more}\n[[pde.field]]\nname = 'k'\n\
             basis = ['cosine', 'cosine']\n[[pde.field]]\nname = 'h'\nbasis = ['cosine', 'cosine']\n"
        );
        Described::new(Description::from_toml(&text).unwrap()).unwrap()
    }

    fn imported(folder: &Path, more: &str) -> Result<Imported> {
        import_checked(folder, &described(more), &ImportOptions::default())
    }

    fn reason(files: &[(&str, &str)]) -> String {
        imported(folder(files).path(), "").unwrap_err().to_string()
    }

    #[test]
    fn a_folder_of_grids_is_a_set_of_samples_from_the_south_on() {
        let (k, h) = (grid("1 2 3\n4 5 6"), grid("7 8 9 10 11 12"));
        let other = grid("0 0 0\n0 0 5");
        let files = [("k_10.asc", &k), ("k_9.asc", &other), ("h_10.ASC", &h), ("h_009.asc", &h)];
        let folder = folder(&files.map(|(name, text)| (name, text.as_str())));
        fs::write(folder.path().join("notes.txt"), "of 2024").unwrap();

        let read = imported(folder.path(), "origin = [50.0, 100.0]").unwrap();
        assert_eq!(read.samples.field(0, 0), [0.0, 0.0, 5.0, 0.0, 0.0, 0.0]);
        assert_eq!(read.samples.field(1, 0), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
        assert_eq!(read.samples.field(1, 1), [10.0, 11.0, 12.0, 7.0, 8.0, 9.0]);
        assert_eq!(read.samples.sides, [20.0, 30.0]);
        assert!(read.check.misplaced.is_empty(), "{:?}", read.check);
    }

    #[test]
    fn places_other_than_described_are_named() {
        let k = grid("1 2 3\n4 5 6\n7 8 9").replace("nrows 2", "nrows 3");
        let folder = folder(&[("k.asc", &k), ("h.asc", &k)]);
        let told = |more: &str| imported(folder.path(), more).unwrap().check.misplaced.join("; ");
        let elsewhere = told("origin = [50.0, 1000.0]");
        assert!(elsewhere.contains("x of the data runs from 105 to 125"), "{elsewhere}");
        assert!(elsewhere.contains("from 1005 to 1025"), "{elsewhere}");
        assert!(!elsewhere.contains("y of the data"), "{elsewhere}");
        let unplaced = told("sides = [30.0, 30.0]");
        assert!(unplaced.contains("x of the data") && unplaced.contains("y of the data"));

        let turned = ImportOptions {
            axes: vec![(None, "n-yx".parse().unwrap())],
            ..ImportOptions::default()
        };
        let pde = described("origin = [50.0, 100.0]");
        let turned = import_checked(folder.path(), &pde, &turned).unwrap().check.misplaced;
        assert!(turned.join("; ").contains("y of the data runs from 75 to 55"), "{turned:?}");
    }

    #[test]
    fn outermost_points_on_the_boundary_have_a_cell_less_between_them() {
        let k = grid("1 2 3\n4 5 6");
        let folder = folder(&[("k.asc", &k), ("h.asc", &k)]);
        let of = |points: &str| imported(folder.path(), points).unwrap().samples.sides;
        assert_eq!(of("points = ['nodes', 'cells']"), [10.0, 30.0]);
        assert_eq!(of("points = ['inner', 'periodic']"), [30.0, 30.0]);
    }

    #[test]
    fn faulty_folders_are_named() {
        let k = grid("1 2 3\n4 5 6");
        let of = |name: &'static str, text: &str| reason(&[("k_1.asc", &k), (name, text)]);
        assert!(of("h_2.asc", &k).contains("`k` has a sample 1 and `h` has none of that number"));
        assert!(of("k_01.asc", &k).contains("the same field and sample"));
        assert!(of("q_1.asc", &k).contains("found: "));
        assert!(of("h_1.asc", &grid("1 2 3 4 5")).contains("5 values found, 2 x 3 expected"));
        assert!(of("h_1.asc", &grid("1 2 3 4 5 6 7")).contains("more than 2 x 3"));
        assert!(of("h_1.asc", &grid("1 2 3 4 5 -1")).contains("missing"));
        assert!(of("h_1.asc", &grid("1 2 3 4 5 x")).contains("`x` is not a number"));
        let moved = k.replace("xllcorner 100", "xllcorner 101");
        assert!(of("h_1.asc", &moved).contains("from y 55, x 105 on found"));
        let cut = k.replace("cellsize 10\n", "dx 10\ndy 20\n");
        assert!(of("h_1.asc", &cut).contains("cells must be square"));
        assert!(of("h_1.asc", "1 2 3").contains("no ncols"));
        assert!(of("h_1.asc", &k.replace("nrows 2", "nrows 1e9")).contains("no number of cells"));
    }

    #[test]
    fn centres_and_corners_mean_the_same() {
        let corner = head(HEAD).unwrap().0;
        let centre =
            HEAD.replace("xllcorner 100", "XLLCENTER 105").replace("yllcorner 50", "yllcenter 55");
        assert!(corner.is_at(&head(&centre).unwrap().0));
    }

    #[test]
    fn names_end_with_a_number_or_have_none() {
        let cases = [("k_12", "k", 12), ("k.7", "k", 7), ("log-k-003", "log-k", 3), ("k", "k", 0)];
        for (stem, name, number) in cases {
            assert_eq!(name_and_number(stem), (name, number));
        }
        for odd in ["_3", "k_", "k_1b", "k_99999999999999999999"] {
            assert_eq!(name_and_number(odd), (odd, 0));
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(
            head_of in "(ncols [0-9]\n|nrows [0-9]\n|cellsize [0-9.]{1,3}\n|xllcorner .\n|.\n){0,5}",
            body in "[0-9 .e\n-]{0,60}",
        ) {
            for text in [format!("{head_of}{body}"), format!("{HEAD}{body}")] {
                if let Ok((cells, body)) = head(&text) {
                    let read = values(body, cells);
                    prop_assert!(read.is_err() || read.unwrap().len() == cells.rows * cells.columns);
                }
            }
        }
    }

    #[test]
    fn what_a_description_leaves_open_is_chosen_before_the_sides_are() {
        // Heads that are held at the western and the eastern end, and vary between.
        let held = |sample: u32| {
            let [a, b] = [f64::from(sample), f64::from(sample * sample % 5)];
            let value = |row: u32, column: u32| {
                let along_y = (PI * (f64::from(row) + 0.5) / 8.0).cos();
                7.0 + (a + b * along_y) * (PI * f64::from(column) / 8.0).sin()
            };
            let values = (0..72).map(|i| format!("{:.4} ", value(i / 9, i % 9)));
            let head = "ncols 9\nnrows 8\nxllcorner 0\nyllcorner 0\ncellsize 10\n";
            format!("{head}{}", values.collect::<String>())
        };
        let text = "[pde]\nname = 'wells'\ninput = 'k'\n[[pde.field]]\nname = 'k'\n[[pde.field]]\nname = 'h'\n";
        let pde = Described::new(Description::from_toml(text).unwrap()).unwrap();
        let texts: Vec<String> = (0..6).map(held).collect();
        let names: Vec<String> =
            (0..6).flat_map(|i| [format!("k_{i}.asc"), format!("h_{i}.asc")]).collect();
        let files: Vec<(&str, &str)> =
            names.iter().enumerate().map(|(i, name)| (&**name, &*texts[i / 2])).collect();
        let read = import_checked(folder(&files).path(), &pde, &ImportOptions::default()).unwrap();
        // Points on the ends leave eight cells of 10 between them.
        assert_eq!(read.samples.sides[1], 80.0);
        let complete = problem::completed(Box::new(pde), &read.samples).unwrap();
        let points = complete.points(read.samples.grid());
        assert!((points[1][1] - points[1][0] - 10.0).abs() < 1e-9, "{points:?}");
    }

    #[test]
    fn cropped_cells_keep_their_size_and_their_places() {
        let grid = "ncols 6\nnrows 5\nxllcorner 100\nyllcorner 50\ncellsize 10\n";
        let values: String = (0..30).map(|i| format!("{i} ")).collect();
        let text = format!("{grid}{values}");
        let folder = folder(&[("k.asc", &text), ("h.asc", &text)]);
        let options = ImportOptions { crop: [1, 0, 2, 0], ..ImportOptions::default() };
        let at = |origin: &str| {
            import_checked(folder.path(), &described(&format!("origin = {origin}")), &options)
                .unwrap()
        };
        let read = at("[60.0, 120.0]");
        assert_eq!((read.samples.height, read.samples.width), (4, 4));
        assert_eq!((read.samples.sides, read.samples.field(0, 0)[0]), ([40.0, 40.0], 20.0));
        assert!(read.check.misplaced.is_empty(), "{:?}", read.check.misplaced);
        assert_eq!(at("[40.0, 100.0]").check.misplaced.len(), 2);
    }

    #[test]
    fn a_field_may_bear_the_name_of_a_coordinate_and_others_are_passed_over() {
        let (k, t) =
            (grid("1 2 3\n4 5 6"), "ncols 1\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n5");
        let folder = folder(&[("k_2.asc", &k), ("h_2.asc", &k), ("T.asc", t), ("x.asc", t)]);
        let read = imported(folder.path(), "origin = [50.0, 100.0]").unwrap();
        assert_eq!(read.samples.sides, [20.0, 30.0]);
        // Each by itself, as `data info` looks at them.
        let mut shapes = Vec::new();
        let mut look = |name: &str, array: NdArray| shapes.push((name.to_owned(), array.shape));
        arrays::read_each(folder.path(), &mut look).unwrap();
        assert_eq!(shapes.len(), 4);
    }

    #[test]
    fn a_folder_of_something_else_is_none_of_rasters() {
        assert!(!is_folder_of_rasters(folder(&[("k.csv", "1")]).path()));
        assert!(!is_folder_of_rasters(folder(&[("manifest.json", "{}"), ("k.asc", "1")]).path()));
        assert!(!is_folder_of_rasters(Path::new("Cargo.toml")));
        let own = folder(&[("k_1.asc", &grid("1 2 3 4 5 6"))]);
        assert!(is_folder_of_rasters(own.path()));
        let found = arrays::read(own.path(), &|name| name == "k").unwrap();
        assert_eq!(found.arrays["k"].shape, [1, 2, 3]);
    }
}
