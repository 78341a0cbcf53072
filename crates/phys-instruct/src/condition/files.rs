//! Observations in files.
//!
//! CSV: a [table](super::table), coordinates in the unit square (time over the final time for
//! Burgers). `.npz`: for a field `u` either the array `u` `[y, x]`, observed everywhere, or
//! `u_values` `[n]` with `u_index` `[n, 2]` (rows and columns) or `u_points` `[n, 2]` (y and x);
//! optionally `u_sd`, one number or `[n]`.

use std::collections::BTreeMap;
use std::path::Path;

use phys_instruct_physics::Pde;

use super::table::{self, Entry, Place};
use super::{Observation, Observations, Posterior};
use crate::store::file::{self, bad};
use crate::store::{NdArray, atomic, npz};
use crate::{Error, Result};

/// A file of observations larger than this is not one.
const MOST_BYTES: u64 = 1 << 26;

/// The grid that places refer to.
struct Grid<'a> {
    pde: &'a dyn Pde,
    size: usize,
    channels: Vec<String>,
}

/// Reads a `.csv` or `.npz` file for fields of `pde` on `size` points a side.
///
/// # Errors
/// [`Error::Io`], [`Error::BadFile`] for anything but such a file, naming the line or the array,
/// and [`Error::Observation`] for observations that cannot be used.
pub fn read(path: &Path, pde: &dyn Pde, size: usize) -> Result<Observations> {
    let channels = pde.channels().iter().map(|c| c.name.to_owned()).collect();
    let grid = Grid { pde, size, channels };
    let points = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
        from_arrays(&grid, npz::read(path)?).map_err(|reason| bad(path, reason))?
    } else {
        from_table(&grid, &file::read(path, MOST_BYTES)?).map_err(|reason| bad(path, reason))?
    };
    Observations::new(&grid.channels, size, points)
}

/// Writes a `.csv` file, places as rows and columns.
///
/// # Errors
/// What writing answers.
pub fn write(path: &Path, observations: &Observations) -> Result<()> {
    let mut text = String::from("field,row,column,value,sd\n");
    for Observation { channel, row, column, value, sd } in observations.points() {
        let field = &observations.channels()[*channel];
        text += &format!("{field},{row},{column},{value},{sd}\n");
    }
    atomic::write(path, text.as_bytes())
}

/// Writes a posterior as `.npz`: of every channel `u` the members `u` `[member, y, x]`, their mean
/// `u_mean` and standard deviation `u_sd` `[y, x]`.
///
/// # Errors
/// What writing answers.
pub fn write_posterior(path: &Path, posterior: &Posterior) -> Result<()> {
    let samples = &posterior.samples;
    let [n, points] = [samples.count, samples.height * samples.width];
    let (mean, sd) = (posterior.mean(), posterior.deviation());
    let mut arrays = Vec::new();
    for (c, name) in samples.channels.iter().enumerate() {
        let all = (0..n).flat_map(|i| samples.field(i, c)).copied().collect();
        let part = |field: &[f32]| field[c * points..][..points].to_vec();
        let shape = [samples.height, samples.width];
        for (suffix, shape, data) in [
            ("", [&[n], &shape[..]].concat(), all),
            ("_mean", shape.to_vec(), part(&mean)),
            ("_sd", shape.to_vec(), part(&sd)),
        ] {
            let array = NdArray::from_f32(shape, data)
                .ok_or_else(|| Error::Shape(format!("channel {name} does not fill its grid")))?;
            arrays.push((format!("{name}{suffix}"), array));
        }
    }
    let named: Vec<(&str, &NdArray)> = arrays.iter().map(|(n, a)| (n.as_str(), a)).collect();
    npz::write(path, &named)
}

fn from_table(grid: &Grid, bytes: &[u8]) -> std::result::Result<Vec<Observation>, String> {
    let table = table::parse(bytes, &grid.channels)?;
    table
        .entries
        .into_iter()
        .map(|Entry { line, channel, place, value, sd }| {
            let [row, column] = match place {
                Place::Point { row, column } => [row, column],
                Place::At { y, x } => {
                    grid.nearest([y, x]).map_err(|reason| format!("line {line}: {reason}"))?
                }
            };
            Ok(Observation { channel, row, column, value, sd: sd.unwrap_or(0.0) })
        })
        .collect()
}

fn from_arrays(
    grid: &Grid,
    mut arrays: BTreeMap<String, NdArray>,
) -> std::result::Result<Vec<Observation>, String> {
    let mut points = Vec::new();
    for (channel, name) in grid.channels.iter().enumerate() {
        let found = grid.field(channel, name, &mut arrays)?;
        points.extend(found);
    }
    match arrays.keys().next() {
        None => Ok(points),
        Some(name) => {
            let fields = grid.channels.join(", ");
            Err(format!("array `{name}` is of none of the fields {fields}"))
        }
    }
}

impl Grid<'_> {
    /// Row and column of the grid point nearest to coordinates y, x.
    fn nearest(&self, at: [f64; 2]) -> std::result::Result<[usize; 2], String> {
        if !at.iter().all(|c| (0.0..=1.0).contains(c)) {
            let [y, x] = at;
            return Err(format!("y {y}, x {x} is outside the unit square"));
        }
        let along = |(line, at): (Vec<f64>, f64)| {
            let far = |i: &usize| (line[*i] - at).abs();
            (0..line.len()).min_by(|i, j| far(i).total_cmp(&far(j))).unwrap_or(0)
        };
        let [y, x] = self.pde.points(self.size);
        Ok([along((y, at[0])), along((x, at[1]))])
    }

    /// The observations of one field, taken out of `arrays`.
    fn field(
        &self,
        channel: usize,
        name: &str,
        arrays: &mut BTreeMap<String, NdArray>,
    ) -> std::result::Result<Vec<Observation>, String> {
        let mut take = |part: &str| arrays.remove(&format!("{name}{part}"));
        let (dense, values) = (take(""), take("_values"));
        let (index, at, sd) = (take("_index"), take("_points"), take("_sd"));
        let n = self.size;
        let (places, values) = match (dense, values, index, at) {
            (None, None, None, None) => return Ok(Vec::new()),
            (Some(dense), None, None, None) if is_field(&dense.shape, n) => {
                ((0..n * n).map(|i| [i / n, i % n]).collect::<Vec<_>>(), dense)
            }
            (Some(dense), None, None, None) => {
                return Err(format!("`{name}`: {:?} found, [{n}, {n}] expected", dense.shape));
            }
            (None, Some(values), Some(index), None) => {
                let pairs = pairs(&format!("{name}_index"), index)?;
                let name = format!("{name}_index");
                let place = |[y, x]: &[f64; 2]| Ok([whole(&name, *y)?, whole(&name, *x)?]);
                (pairs.iter().map(place).collect::<std::result::Result<_, String>>()?, values)
            }
            (None, Some(values), None, Some(at)) => {
                let pairs = pairs(&format!("{name}_points"), at)?;
                let place = |p: &[f64; 2]| self.nearest(*p);
                (pairs.iter().map(place).collect::<std::result::Result<_, String>>()?, values)
            }
            _ => {
                return Err(format!(
                    "`{name}` alone, or `{name}_values` with `{name}_index` or `{name}_points`, \
                     is needed"
                ));
            }
        };
        let values = values.into_f64();
        let sd = sd.map_or(vec![0.0], NdArray::into_f64);
        if values.len() != places.len() || !(sd.len() == 1 || sd.len() == values.len()) {
            return Err(format!(
                "`{name}`: {} places, {} values and {} deviations",
                places.len(),
                values.len(),
                sd.len()
            ));
        }
        let point = |(i, ([row, column], value)): (usize, ([usize; 2], f64))| Observation {
            channel,
            row,
            column,
            value,
            sd: sd[i % sd.len()],
        };
        Ok(places.into_iter().zip(values).enumerate().map(point).collect())
    }
}

/// An index, which floating-point arrays may hold too.
fn whole(name: &str, v: f64) -> std::result::Result<usize, String> {
    let fits = v >= 0.0 && v.fract() == 0.0 && v < 1e9;
    fits.then_some(v as usize).ok_or_else(|| format!("{name} {v} is not an index"))
}

fn is_field(shape: &[usize], n: usize) -> bool {
    shape == [n, n] || shape == [1, n, n]
}

fn pairs(name: &str, array: NdArray) -> std::result::Result<Vec<[f64; 2]>, String> {
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

    fn read_csv(text: &str) -> Result<Observations> {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), by_name("darcy").unwrap().as_ref(), 8)
    }

    fn read_npz(arrays: &[(&str, &[usize], &[f64])]) -> Result<Observations> {
        let file = tempfile::Builder::new().suffix(".npz").tempfile().unwrap();
        let arrays: Vec<(&str, NdArray)> = arrays
            .iter()
            .map(|(name, shape, data)| {
                (*name, NdArray::from_f64(shape.to_vec(), data.to_vec()).unwrap())
            })
            .collect();
        let named: Vec<(&str, &NdArray)> = arrays.iter().map(|(n, a)| (*n, a)).collect();
        npz::write(file.path(), &named).unwrap();
        read(file.path(), by_name("darcy").unwrap().as_ref(), 8)
    }

    #[test]
    fn places_by_index_and_by_coordinates_agree() {
        let index =
            read_csv("field,row,column,value,sd\nu,2,7,0.01,0.001\na, 0, 3, 12,\n").unwrap();
        let text = "field,y,x,value,sd\nu,0.30,0.95,0.01,0.001\na,0.01,0.4375,12,0\n";
        assert_eq!(index, read_csv(text).unwrap());
        let npz = read_npz(&[
            ("u_points", &[1, 2], &[0.3, 0.95]),
            ("u_values", &[1], &[0.01]),
            ("u_sd", &[], &[0.001]),
            ("a_index", &[1, 2], &[0.0, 3.0]),
            ("a_values", &[1], &[12.0]),
        ]);
        assert_eq!(index, npz.unwrap());
    }

    #[test]
    fn what_is_written_is_read() {
        let one = read_csv("field,row,column,value,sd\nu,2,7,0.1,0.25\na,1,3,12.5,0\n").unwrap();
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        write(file.path(), &one).unwrap();
        let back = read(file.path(), by_name("darcy").unwrap().as_ref(), 8).unwrap();
        assert_eq!(back, one);
    }

    #[test]
    fn a_whole_field_is_observed_everywhere() {
        let values: Vec<f64> = (0..64).map(f64::from).collect();
        let all = read_npz(&[("a", &[8, 8], &values)]).unwrap();
        assert_eq!(all.points().len(), 64);
        assert_eq!(all.points()[13].value, 13.0);
        assert!(read_npz(&[("a", &[4, 16], &values)]).unwrap_err().to_string().contains("[8, 8]"));
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
            ("field,row,column,value\na,1,1,2\na,1,1,3\n", "as 2 and as 3"),
            ("", "a head such as"),
        ] {
            let message = read_csv(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
        for (arrays, reason) in [
            (vec![("w", &[1usize][..], &[1.0][..])], "none of the fields"),
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
