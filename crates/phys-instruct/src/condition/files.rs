//! Observations in files, and in tables that lie in none.
//!
//! - CSV: a [table] with coordinates in the domain (time over the final time for Burgers).
//! - `.npz` and every other array file: a field `u` is the array `u` `[y, x]`, where NaN marks a
//!   point that was not observed. Alternatively it is `u_values` `[n]` with `u_index` `[n, 2]`
//!   (rows and columns) or `u_points` `[n, 2]` (y and x). `u_sd` is optional: one number, `[n]`, or
//!   `[y, x]`.

use std::collections::BTreeMap;
use std::path::Path;

use phys_instruct_physics::{DIMENSIONLESS, Grid, Pde};

use crate::condition::observations::place::Lattice;
use crate::condition::observations::table::{self, Entry, Place, StatedUnit, Table};
use crate::condition::{Observation, Observations};
use crate::store::arrays::{self, Contents};
use crate::store::file::{self, bad};
use crate::store::missing;
use crate::store::{NdArray, atomic};
use crate::{Error, Result};

/// The largest size of a file of observations, in bytes.
const MOST_BYTES: u64 = 1 << 26;

/// The extensions of array files.
const ARRAYS: [&str; 5] = ["npz", "npy", "mat", "h5", "hdf5"];

/// The observations of a file, with an account of the rest of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The observations.
    pub observations: Observations,
    /// The number of places without a value: NaN, or an empty cell.
    pub unobserved: usize,
    /// The columns or arrays that were ignored.
    pub ignored: Vec<String>,
}

type Parsed<T> = std::result::Result<T, String>;

/// Reads observations of `pde` on a grid from a `.csv` or an array file.
///
/// # Errors
/// Fails with [`crate::Error::Io`] if the file cannot be read, and with [`crate::Error::BadFile`]
/// that names the lines or the array if it is not such a file. Observations that cannot be used
/// give an [`crate::Error::Observation`].
pub fn read(path: &Path, pde: &dyn Pde, grid: Grid) -> Result<Observed> {
    let lattice = Lattice::new(pde, grid);
    let read = match is_array(path) {
        true => from_arrays(&lattice, arrays::read(path, &|name| is_asked_for(&lattice, name))?),
        false => from_table(&lattice, &file::read(path, MOST_BYTES)?),
    };
    let read = read.and_then(Unchecked::with_a_value).map_err(|reason| bad(path, reason))?;

    let Unchecked { points, names, unobserved, ignored } = read;
    let observations = Observations::on(&lattice, points)?.with_names(&names);
    Ok(Observed { observations, unobserved, ignored })
}

/// Reads observations from the text of a table that lies in no file. `name` stands for the table in
/// messages, whose lines are counted from 1.
///
/// # Errors
/// Fails with [`Error::Observation`] that names the lines if the text is not such a table, or if no
/// place of it has a value.
pub fn read_table(name: &str, text: &str, lattice: &Lattice) -> Result<Unchecked> {
    from_table(lattice, text.as_bytes())
        .and_then(Unchecked::with_a_value)
        .map_err(|reason| Error::Observation(format!("{name}: {reason}")))
}

/// Observations whose places and values [`Observations::on`] has yet to check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unchecked {
    /// The observations, in the order in which they were given.
    pub points: Vec<Observation>,
    /// The names of their places, for [`Observations::with_names`]; empty where a file has none.
    pub names: Vec<Option<String>>,
    /// The number of places without a value: NaN, or an empty cell.
    pub unobserved: usize,
    /// The columns or arrays that were ignored.
    pub ignored: Vec<String>,
}

impl Unchecked {
    /// Refuses observations of which none has a value.
    fn with_a_value(self) -> Parsed<Self> {
        if self.points.is_empty() && self.unobserved > 0 {
            let count = self.unobserved;
            return Err(format!("all {count} values are NaN or empty; at least one is needed"));
        }
        Ok(self)
    }
}

/// The grid of a file of observations, as far as the file tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GridOf {
    /// Any grid: the places are coordinates.
    Any,
    /// One grid, whose size the file does not tell: the places are rows and columns.
    Points,
    /// One grid of so many points along x: the file holds a whole field.
    Field(usize),
}

/// Returns the grid of a file of observations, as far as the file tells it.
///
/// # Errors
/// Fails as [`read`] does if the file is not one of observations of `pde`.
pub fn grid_of(path: &Path, pde: &dyn Pde) -> Result<GridOf> {
    let names: Vec<String> = pde.channels().iter().map(|channel| channel.name.clone()).collect();
    if is_array(path) {
        let whole = |name: &str| names.iter().any(|own| own == name);
        let mut found = arrays::read(path, &whole)?;
        if let Some(field) = found.names.iter().find(|name| whole(name)).cloned() {
            let array = found.take(&field).map_err(|reason| bad(path, reason))?;
            return Ok(GridOf::Field(array.shape.last().copied().unwrap_or_default()));
        }
        let by_index = names.iter().any(|name| found.names.contains(&format!("{name}_index")));
        return Ok(if by_index { GridOf::Points } else { GridOf::Any });
    }

    let bytes = file::read(path, MOST_BYTES)?;
    let table = table::parse(&bytes, &names).map_err(|reason| bad(path, reason))?;
    let by_index = table.entries.iter().any(|entry| matches!(entry.place, Place::Point { .. }));
    Ok(if by_index { GridOf::Points } else { GridOf::Any })
}

/// Tells an array file by its name, or by its first bytes.
fn is_array(path: &Path) -> bool {
    let known = |e: &std::ffi::OsStr| ARRAYS.iter().any(|known| e.eq_ignore_ascii_case(known));
    path.extension().is_some_and(known) || arrays::format_of(path).is_ok()
}

/// Writes observations of `pde` as a `.csv` file with coordinates as places, so that a model on any
/// grid can answer them.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write(path: &Path, observations: &Observations, pde: &dyn Pde) -> Result<()> {
    let lattice = Lattice::new(pde, observations.grid());
    let mut text = String::from("field,y,x,value,sd\n");
    for Observation { channel, row, column, value, sd } in observations.points() {
        let field = &observations.channels()[*channel];
        let [y, x] = lattice.coordinates(*channel, [*row, *column]);
        let sd = sd.map(|sd| sd.to_string()).unwrap_or_default();
        text += &format!("{field},{y},{x},{value},{sd}\n");
    }
    atomic::write(path, text.as_bytes())
}

fn from_table(lattice: &Lattice, bytes: &[u8]) -> Parsed<Unchecked> {
    let table = table::parse(bytes, lattice.names())?;
    check_units(lattice, &table)?;
    let (mut points, mut faults) = (Vec::with_capacity(table.entries.len()), Vec::new());
    let mut names = Vec::with_capacity(table.entries.len());

    for Entry { line, channel, place, value, sd, name } in table.entries {
        let found = match place {
            Place::Point { row, column } => Ok([row as f64, column as f64]),
            Place::At { y, x } => lattice.locate(channel, [y, x]),
        };
        match found {
            Ok([row, column]) => {
                points.push(Observation { channel, row, column, value, sd });
                names.push(name);
            }
            Err(reason) => faults.push(format!("line {line}: {reason}")),
        }
    }

    if !faults.is_empty() {
        return Err(table::report(&faults));
    }
    let Table { unobserved, ignored_columns: ignored, .. } = table;
    Ok(Unchecked { points, names, unobserved, ignored })
}

/// Refuses a unit in the head of a table that is not its field's own. Where that is not known, a
/// unit of deviations must be that of the values.
fn check_units(lattice: &Lattice, table: &Table) -> Parsed<()> {
    for stated in &table.units {
        let StatedUnit { head, unit, channel, of_deviation } = stated;
        for (c, name) in lattice.names().iter().enumerate() {
            let has_values = || table.entries.iter().any(|entry| entry.channel == c);
            if !channel.map_or_else(has_values, |channel| channel == c) {
                continue;
            }
            let beside = || {
                let values = |u: &&StatedUnit| !u.of_deviation && u.channel == *channel;
                table.units.iter().find(values).map_or("", |u| &u.unit)
            };
            let expected = match &lattice.units()[c] {
                Some(own) => own.as_str(),
                None if *of_deviation => beside(),
                None => continue,
            };
            if normal(unit) != normal(expected) {
                let expected = match expected {
                    DIMENSIONLESS => "without a unit".to_owned(),
                    "" => "in a unit that is not told".to_owned(),
                    known => format!("in {known}"),
                };
                return Err(format!(
                    "`{head}` states the unit `{unit}`, and {name} is {expected}; convert the \
                     values, or rename the column"
                ));
            }
        }
    }
    Ok(())
}

/// A unit without the ways in which its powers and products are written.
fn normal(unit: &str) -> String {
    match unit.to_lowercase().as_str() {
        "-" | "dimensionless" | "none" => return DIMENSIONLESS.into(),
        _ => {}
    }
    let signs = [("²", "2"), ("³", "3"), ("⁻¹", "-1"), ("µ", "μ"), ("°", "deg")];
    let plain = signs.iter().fold(unit.to_owned(), |text, (sign, word)| text.replace(sign, word));
    plain.replace(['^', '*', '·', ' '], "")
}

/// Tells whether an array may hold observations of a field.
fn is_asked_for(lattice: &Lattice, name: &str) -> bool {
    let parts = ["", "_values", "_index", "_points", "_sd"];
    let of_field = |field: &String| {
        name.strip_prefix(field.as_str()).is_some_and(|rest| parts.contains(&rest))
    };
    lattice.names().iter().any(of_field)
}

fn from_arrays(lattice: &Lattice, contents: Contents) -> Parsed<Unchecked> {
    let Contents { names, mut arrays, others, .. } = contents;
    let mut raw = Unchecked::default();
    for (channel, name) in lattice.names().iter().enumerate() {
        field(lattice, channel, name, &mut arrays, &mut raw)?;
    }
    let left =
        names.into_iter().filter(|name| !is_asked_for(lattice, name) || arrays.contains_key(name));
    raw.ignored = left.chain(others.into_keys()).collect();
    if raw.points.is_empty() && raw.unobserved == 0 {
        let (fields, found) = (lattice.names().join(", "), raw.ignored.join(", "));
        return Err(format!("no array of the fields {fields}; found: {found}"));
    }
    Ok(raw)
}

/// Takes the observations of one field out of `arrays`.
fn field(
    lattice: &Lattice,
    channel: usize,
    name: &str,
    arrays: &mut BTreeMap<String, NdArray>,
    raw: &mut Unchecked,
) -> Parsed<()> {
    let mut take = |part: &str| arrays.remove(&format!("{name}{part}"));
    let (dense, values) = (take(""), take("_values"));
    let (index, at, sd) = (take("_index"), take("_points"), take("_sd"));
    let Grid { ny, nx, .. } = lattice.grid();

    let (places, values) = match (dense, values, index, at) {
        (None, None, None, None) => return Ok(()),
        (Some(dense), None, None, None) => {
            if !is_field(&dense.shape, [ny, nx]) {
                return Err(format!("`{name}`: {:?} found, [{ny}, {nx}] expected", dense.shape));
            }
            let places = (0..ny * nx).map(|i| [(i / nx) as f64, (i % nx) as f64]).collect();
            (places, dense)
        }
        (None, Some(values), Some(index), None) => (indexed(name, index, [ny, nx])?, values),
        (None, Some(values), None, Some(at)) => {
            let places = pairs(&format!("{name}_points"), at)?;
            let place = |p: &[f64; 2]| lattice.locate(channel, *p);
            (places.iter().map(place).collect::<Parsed<Vec<_>>>()?, values)
        }
        _ => {
            return Err(format!(
                "`{name}` alone, or `{name}_values` with `{name}_index` or `{name}_points`, \
                 is needed"
            ));
        }
    };

    let values = values.into_f64();
    let sd = sd.map(NdArray::into_f64);
    let deviations = sd.as_ref().map_or(1, Vec::len);
    if values.len() != places.len() || !(deviations == 1 || deviations == values.len()) {
        return Err(format!(
            "`{name}`: {} places, {} values and {deviations} deviations",
            places.len(),
            values.len(),
        ));
    }

    for (i, ([row, column], value)) in places.into_iter().zip(values).enumerate() {
        if value.is_nan() {
            raw.unobserved += 1;
            continue;
        }

        if missing::is_mark(value) {
            return Err(format!(
                "`{name}` has the value {value}, a mark for a missing value; write NaN there"
            ));
        }

        // A deviation of NaN is unknown.
        let sd = sd.as_ref().map(|sd| sd[i % sd.len()]).filter(|sd| !sd.is_nan());
        raw.points.push(Observation { channel, row, column, value, sd });
    }
    Ok(())
}

/// Rows and columns, which may be stored as floating-point numbers.
fn indexed(name: &str, index: NdArray, shape: [usize; 2]) -> Parsed<Vec<[f64; 2]>> {
    let name = format!("{name}_index");
    let places = pairs(&name, index)?;
    let indices = places.iter().flat_map(|place| place.iter().zip(shape));
    let inside = |i: f64, points: usize| i.fract() == 0.0 && (0.0..points as f64).contains(&i);
    match indices.into_iter().find(|&(&i, points)| !inside(i, points)) {
        None => Ok(places),
        Some((i, points)) => {
            Err(format!("{name} {i} is not an index of {points} points, counted from 0"))
        }
    }
}

fn is_field(shape: &[usize], [ny, nx]: [usize; 2]) -> bool {
    shape == [ny, nx] || shape == [1, ny, nx]
}

fn pairs(name: &str, array: NdArray) -> Parsed<Vec<[f64; 2]>> {
    match array.shape.as_slice() {
        [_, 2] => Ok(array.into_f64().chunks(2).map(|p| [p[0], p[1]]).collect()),
        shape => Err(format!("`{name}`: {shape:?} found, [n, 2] expected")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::problem::{Described, Description};
    use crate::store::npz;
    use crate::testing::MINE;

    fn read_csv(text: &str) -> Result<Observations> {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Ok(read(file.path(), by_name("darcy").unwrap().as_ref(), Grid::square(8))?.observations)
    }

    #[test]
    fn places_keep_their_names_in_any_order() {
        let seen = read_csv("well,y,x,u\nB,0.7,0.3,1\nA,0.2,0.3,2\n").unwrap();
        let label = |i| seen.label(i);
        assert_eq!([label(0), label(1)], ["number 2, `A`", "number 1, `B`"]);
        assert_eq!(read_csv("y,x,u\n0.2,0.3,2\n").unwrap().label(0), "number 1");
    }

    #[test]
    fn a_unit_that_is_not_the_field_s_own_is_refused() {
        let with_unit = |unit: &str| {
            let own = Described::new(Description::from_toml(&MINE.replace("'m'", unit)).unwrap())
                .unwrap();
            Lattice::new(&own, Grid::new([8, 8], [1.0, 2.0]).unwrap())
        };
        let of = |unit: &str, text: &str| read_table("a table", text, &with_unit(unit));
        let long = "field,value [ft],y,x\nu,3,0.2,0.3\n";
        for text in ["u [ft],y,x\n3,0.2,0.3\n", "y,x,u (-)\n0.2,0.3,1\n", long] {
            let fault = of("'m'", text).unwrap_err().to_string();
            assert!(fault.contains("and u is in m; convert"), "{fault}");
        }
        assert_eq!(of("'m^2/d'", "u [m² / d],y,x\n3,0.2,0.3\n").unwrap().points.len(), 1);
        // Nothing is known of a field whose unit is not stated.
        assert_eq!(of("'m'", "k [ft],u [m],y,x\n3,1,0.2,0.3\n").unwrap().points.len(), 2);
        assert_eq!(of("'m'", "k [ft],k_sd [ft],y,x\n3,1,0.2,0.3\n").unwrap().points.len(), 1);
        for text in ["k,k_sd (%),y,x\n3,5,0.2,0.3\n", "k [ft],error [in],y,x\n3,5,0.2,0.3\n"] {
            let fault = of("'m'", text).unwrap_err().to_string();
            assert!(fault.contains("and k is in"), "{fault}");
        }
        let fault = of("'m'", "u,u_sd [cm],y,x\n3,5,0.2,0.3\n").unwrap_err().to_string();
        assert!(fault.contains("`u_sd [cm]` states the unit `cm`, and u is in m"), "{fault}");
        let fault = read_csv("u [m],y,x\n3,0.2,0.3\n").unwrap_err().to_string();
        assert!(fault.contains("and u is without a unit"), "{fault}");
        assert_eq!(read_csv("u [dimensionless],y,x\n3,0.2,0.3\n").unwrap().points().len(), 1);
    }

    fn read_npz(arrays: &[(&str, &[usize], &[f64])]) -> Result<Observed> {
        let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
        let arrays: Vec<(&str, NdArray)> = arrays
            .iter()
            .map(|(name, shape, data)| {
                (*name, NdArray::from_f64(shape.to_vec(), data.to_vec()).unwrap())
            })
            .collect();
        let named: Vec<(&str, &NdArray)> = arrays.iter().map(|(n, a)| (*n, a)).collect();
        npz::write(file.path(), &named).unwrap();
        read(file.path(), by_name("darcy").unwrap().as_ref(), Grid::square(8))
    }

    /// A file without arrays.
    fn contents() -> Contents {
        let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
        npz::write(file.path(), &[]).unwrap();
        arrays::read(file.path(), &|_| true).unwrap()
    }

    #[test]
    fn places_by_index_and_by_coordinates_agree() {
        let index =
            read_csv("field,row,column,value,sd\nu,2,7,0.01,0.001\na, 0, 3, 12,\n").unwrap();
        let text = "field,y,x,value,sd\nu,0.3125,0.9375,0.01,0.001\na,0.0625,0.4375,12,\n";
        assert_eq!(index, read_csv(text).unwrap());
        let npz = read_npz(&[
            ("u_points", &[1, 2], &[0.3125, 0.9375]),
            ("u_values", &[1], &[0.01]),
            ("u_sd", &[], &[0.001]),
            ("a_index", &[1, 2], &[0.0, 3.0]),
            ("a_values", &[1], &[12.0]),
        ]);
        // The order of a file shows in the numbers alone.
        let npz = npz.unwrap().observations;
        assert_eq!((index.points(), index.stencils()), (npz.points(), npz.stencils()));
        assert_eq!((index.numbers(), npz.numbers()), (&[2, 1][..], &[1, 2][..]));
    }

    #[test]
    fn what_is_written_is_read() {
        let text = "field,row,column,value,sd\na,1,3,12.5,0\nu,2,7,0.1,0.25\n";
        for pde in ["darcy", "poisson"].map(|name| by_name(name).unwrap()) {
            let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(grid_of(file.path(), pde.as_ref()).unwrap(), GridOf::Points);

            for grid in [Grid::square(8), Grid { ny: 9, nx: 14, ly: 0.6, lx: 1.0 }] {
                std::fs::write(file.path(), text).unwrap();
                let one = read(file.path(), pde.as_ref(), grid).unwrap().observations;
                write(file.path(), &one, pde.as_ref()).unwrap();
                assert_eq!(grid_of(file.path(), pde.as_ref()).unwrap(), GridOf::Any);
                assert_eq!(read(file.path(), pde.as_ref(), grid).unwrap().observations, one);
            }
        }
    }

    #[test]
    fn arrays_of_points_or_of_whole_fields_are_of_one_grid() {
        let darcy = by_name("darcy").unwrap();
        for (names, expected) in [
            (["u_points", "u_values"], GridOf::Any),
            (["u_index", "u_values"], GridOf::Points),
            (["a", "notes"], GridOf::Field(2)),
        ] {
            let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
            let array = NdArray::from_f64(vec![1, 2], vec![0.25, 0.5]).unwrap();
            npz::write(file.path(), &names.map(|name| (name, &array))).unwrap();
            assert_eq!(grid_of(file.path(), darcy.as_ref()).unwrap(), expected, "{names:?}");
        }
    }

    #[test]
    fn a_whole_field_is_observed_everywhere() {
        let values: Vec<f64> = (0..64).map(f64::from).collect();
        let all = read_npz(&[("a", &[8, 8], &values)]).unwrap();
        assert_eq!(all.observations.points().len(), 64);
        assert_eq!(all.observations.points()[13].value, 13.0);
        let holes: Vec<f64> =
            values.iter().map(|v| if v % 5.0 > 0.0 { f64::NAN } else { *v }).collect();
        let array = |shape: &[usize], data: &[f64]| {
            NdArray::from_f64(shape.to_vec(), data.to_vec()).unwrap()
        };
        let arrays = BTreeMap::from([("a".to_owned(), array(&[8, 8], &holes))]);
        let contents = Contents { names: vec!["a".into(), "notes".into()], arrays, ..contents() };
        let lattice = Lattice::new(by_name("darcy").unwrap().as_ref(), Grid::square(8));
        let some = from_arrays(&lattice, contents).unwrap();
        assert_eq!((some.points.len(), some.unobserved), (13, 51));
        assert_eq!(some.ignored, ["notes"]);
        assert!(read_npz(&[("a", &[4, 16], &values)]).unwrap_err().to_string().contains("[8, 8]"));
    }

    #[test]
    fn a_table_in_no_file_is_read_as_one_in_a_file() {
        let lattice = Lattice::new(by_name("darcy").unwrap().as_ref(), Grid::square(8));
        // Python writes it so: an index first, and quotes around every cell.
        let text = "\"\"\t\"Y\"\t\"x\"\t\"u\"\t\"u_sd\"\t\"well; or, well\"\n\
            \"0\"\t\"0.3125\"\t\"0.9375\"\t\"0.01\"\t\"0.001\"\t\"# \"\"7\"\"\"\n\
            \"1\"\t\"0.5\"\t\"0.6\"\t\"\"\t\"\"\t\"\"\n\
            \"2\"\t\"0.5\"\t\"0.7\"\t\"2e-2\"\t\"\"\t\"\"\n";
        let table = read_table("the table", text, &lattice).unwrap();
        assert_eq!((table.unobserved, table.ignored), (1, vec!["well; or, well".to_owned()]));
        assert_eq!(table.points[0], Observation::at_point(1, 2, 7, 0.01, Some(0.001)));
        assert_eq!(Observations::on(&lattice, table.points).unwrap(), read_csv(text).unwrap());

        for (text, reason) in [
            ("y,x,u\n0.5,0.5,wet\n", "the table: line 2: value `wet` is not a number"),
            ("y,x,u\n0.5,1.5,1\n", "the table: line 2: y 0.5, x 1.5 is outside the unit square"),
            ("y,x,a,u,sd\n0.5,0.5,3,1,0\n", "`sd` of which field"),
            ("y,x,u\n0.5,0.5,\n", "all 1 values are NaN or empty; at least one is needed"),
            ("\"\"\t\"y\"\t\"x\"\n\"0\"\t\"1\"\t\"1\"\n", "the columns found are `y`, `x`"),
        ] {
            let error = read_table("the table", text, &lattice).unwrap_err();
            assert!(matches!(error, Error::Observation(_)), "{error}");
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn bad_files_are_named_by_line_or_array() {
        for (text, reason) in [
            ("field,row,column,value\n", "at least one"),
            ("field,row,column,value\nw,1,1,2\n", "no field `w`; the fields are a, u"),
            ("field,row,column,value\na,1,1,two\n", "line 2"),
            ("field,row,column,value\na,1,1,NaN\n", "at least one"),
            ("field,row,column,value\na,1,9,1\n", "8 x 8"),
            ("field,y,x,value\na,0.5,1.2,1\n", "outside the unit square"),
            ("field,row,x,value\na,1,0.2,1\n", "no columns `row` and `column`"),
            ("field,row,column,value,sd\na,1,1,2,0\na,1,1,3,0\n", "as 2 and as 3"),
            ("", "a head such as"),
        ] {
            let message = read_csv(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
        for (arrays, reason) in [
            (vec![("w", &[1usize][..], &[1.0][..])], "no array of the fields a, u; found: w"),
            (vec![("a_values", &[1][..], &[1.0][..])], "`a_index` or `a_points`"),
            (
                vec![("a_values", &[1][..], &[1.0][..]), ("a_index", &[2][..], &[1.0, 1.0][..])],
                "[n, 2]",
            ),
            (
                vec![("a_values", &[1][..], &[1.0][..]), ("a_index", &[1, 2][..], &[0.5, 1.0][..])],
                "0.5",
            ),
        ] {
            let message = read_npz(&arrays).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
    }
}
