//! Answers in files that other programs read: NumPy arrays, tables, ESRI ASCII grids and NetCDF.
//!
//! Every file holds the same layers. For a field `u` they are:
//!
//! | layer | holds |
//! |---|---|
//! | `u_mean`, `u_sd` | the mean over members, and their standard deviation |
//! | `u_p10`, `u_p50`, `u_p90` | the values below which u lies with probability 0.1, 0.5, 0.9 |
//! | `u_above_0.5` | the probability that u lies above 0.5, for a level that was asked for |
//!
//! Coordinates are those of the grid's points, `y` and `x`. For Burgers y is the time.

mod netcdf;

use std::path::{Path, PathBuf};

use phys_instruct_physics::{Channel, DIMENSIONLESS, Grid, Pde};

use crate::condition::explained::Fit;
use crate::condition::{Answer, Posterior};
use crate::store::{NdArray, atomic, npz};
use crate::{Error, Result};

/// The quantiles of every field, and the names of their layers.
const QUANTILES: [(f64, &str); 3] = [(0.1, "p10"), (0.5, "p50"), (0.9, "p90")];
/// Two spacings of a grid that differ by less than this share are the same. Far from the origin of
/// a map's grid, coordinates are rounded to 1e-9 of a side.
const SAME_SPACING: f64 = 1e-8;

/// A level of a field, for the probability that the field lies above it.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// The name of the field.
    pub field: String,
    /// The level, in the field's unit.
    pub value: f64,
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `.npz`: the layers `[y, x]`, the members of u as `u` `[member, y, x]`, and `y`, `x`.
    Npz,
    /// `.csv`: a line a point, with the layers of all fields.
    Csv,
    /// `.asc`: an ESRI ASCII grid for each layer, `answer.u_mean.asc` and so on.
    Asc,
    /// `.nc`: NetCDF-3 with the layers, the members of u as `u(member, y, x)`, and `y`, `x`.
    NetCdf,
}

impl Format {
    /// All formats with their extensions.
    pub const ALL: [(Self, &str); 4] =
        [(Self::Npz, "npz"), (Self::Csv, "csv"), (Self::Asc, "asc"), (Self::NetCdf, "nc")];

    /// The format of a file by its extension.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_lowercase();
        Self::ALL.into_iter().find(|(_, own)| *own == extension).map(|(format, _)| format)
    }
}

/// One number for each point of the grid.
struct Layer {
    name: String,
    /// The quantity, in words.
    meaning: String,
    /// The unit, 1 where there is none; none where nobody has told it.
    unit: Option<String>,
    /// `[y, x]`, the rows from the smallest y.
    values: Vec<f32>,
}

/// The layers of a posterior, with the coordinates of its points.
pub struct Layers<'a> {
    posterior: &'a Posterior,
    layers: Vec<Layer>,
    /// The coordinates along y and along x.
    points: [Vec<f64>; 2],
    channels: Vec<Channel>,
    /// The words for y.
    along_y: &'static str,
    title: String,
}

impl<'a> Layers<'a> {
    /// Summarises a posterior of `pde`. `title` is written into files that have a place for it.
    ///
    /// # Errors
    /// Fails for a level of a field that the PDE does not have, and for one that is not finite.
    pub fn of(
        posterior: &'a Posterior,
        pde: &dyn Pde,
        levels: &[Level],
        title: &str,
    ) -> Result<Self> {
        let samples = &posterior.samples;
        let points = samples.height * samples.width;
        let mut layers = Vec::new();

        let whole = [
            ("mean", "mean", posterior.mean()),
            ("sd", "standard deviation", posterior.deviation()),
        ];
        let mut all: Vec<(&str, String, Vec<f32>)> =
            whole.into_iter().map(|(name, words, values)| (name, words.into(), values)).collect();
        for (share, name) in QUANTILES {
            all.push((name, format!("quantile {share}"), posterior.quantile(share)?));
        }

        let channels = pde.channels();
        for (c, channel) in channels.iter().enumerate() {
            for (name, words, values) in &all {
                layers.push(Layer {
                    name: format!("{}_{name}", channel.name),
                    meaning: format!("{}, {words}", channel.meaning),
                    unit: channel.unit.clone(),
                    values: values[c * points..(c + 1) * points].to_vec(),
                });
            }
        }

        for Level { field, value } in levels {
            let names = &samples.channels;
            let c = names.iter().position(|name| name == field).ok_or_else(|| {
                Error::Config(format!("no field `{field}`; the fields are {}", names.join(", ")))
            })?;
            layers.push(Layer {
                name: format!("{field}_above_{value}"),
                meaning: format!("probability that {field} is above {value}"),
                unit: Some(DIMENSIONLESS.into()),
                values: posterior.share_above(c, *value)?,
            });
        }

        let points = pde.points(samples.grid());
        let along_y = if pde.layout().input.is_line() { "time" } else { "y" };
        Ok(Self { posterior, layers, points, channels, along_y, title: title.into() })
    }

    /// Writes the layers in the format of the path's extension, and returns the files' names.
    ///
    /// # Errors
    /// Fails for an unknown extension, for an ESRI grid whose cells are not square, and if a file
    /// cannot be written.
    pub fn write(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let format = Format::of(path).ok_or_else(|| {
            let known = Format::ALL.map(|(_, extension)| format!(".{extension}")).join(", ");
            Error::Config(format!("{}: a name ending in {known} expected", path.display()))
        })?;
        match format {
            Format::Npz => self.write_npz(path)?,
            Format::Csv => atomic::write(path, self.csv().as_bytes())?,
            Format::Asc => return self.write_grids(path),
            Format::NetCdf => atomic::write(path, &self.netcdf(path)?)?,
        }
        Ok(vec![path.to_owned()])
    }

    /// The members of each channel, `[member, y, x]`.
    fn members(&self) -> impl Iterator<Item = (&String, Vec<f32>)> {
        let samples = &self.posterior.samples;
        let points = samples.height * samples.width;
        samples.channels.iter().enumerate().map(move |(c, name)| {
            let of_member = |i: usize| &samples.sample(i)[c * points..(c + 1) * points];
            (name, (0..samples.count).flat_map(of_member).copied().collect())
        })
    }

    fn write_npz(&self, path: &Path) -> Result<()> {
        let samples = &self.posterior.samples;
        let plane = vec![samples.height, samples.width];
        let whole = vec![samples.count, samples.height, samples.width];
        let of_shape = |name: &str, array: Option<NdArray>| {
            array.ok_or_else(|| Error::Shape(format!("channel {name} does not fill its grid")))
        };

        let mut arrays = Vec::new();
        for (name, values) in self.members() {
            let array = NdArray::from_f32(whole.clone(), values);
            arrays.push((name.clone(), of_shape(name, array)?));
        }
        for Layer { name, values, .. } in &self.layers {
            let array = NdArray::from_f32(plane.clone(), values.clone());
            arrays.push((name.clone(), of_shape(name, array)?));
        }
        for (name, along) in ["y", "x"].into_iter().zip(&self.points) {
            let array = NdArray::from_f64(vec![along.len()], along.clone());
            arrays.push((name.into(), of_shape(name, array)?));
        }

        let named: Vec<(&str, &NdArray)> = arrays.iter().map(|(n, a)| (n.as_str(), a)).collect();
        npz::write(path, &named)
    }

    fn csv(&self) -> String {
        let names: Vec<&str> = self.layers.iter().map(|layer| layer.name.as_str()).collect();
        let mut text = format!("y,x,{}\n", names.join(","));
        let [ys, xs] = &self.points;
        for (row, y) in ys.iter().enumerate() {
            for (column, x) in xs.iter().enumerate() {
                text += &format!("{y},{x}");
                for layer in &self.layers {
                    text += &format!(",{}", layer.values[row * xs.len() + column]);
                }
                text.push('\n');
            }
        }
        text
    }

    /// Writes an ESRI ASCII grid for each layer. Its first line of numbers is that of the largest
    /// y, which lies in the north.
    fn write_grids(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let dx = check_cells(path, &self.points)?;
        let [ys, xs] = &self.points;
        let head = format!(
            "ncols {}\nnrows {}\nxllcenter {}\nyllcenter {}\ncellsize {dx}\nNODATA_value -9999\n",
            xs.len(),
            ys.len(),
            xs[0],
            ys[0]
        );

        let mut written = Vec::new();
        for layer in &self.layers {
            let line = |row: &[f32]| row.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
            let lines: Vec<String> = layer.values.chunks(xs.len()).rev().map(line).collect();
            let own = path.with_extension(format!("{}.asc", layer.name));
            atomic::write(&own, format!("{head}{}\n", lines.join("\n")).as_bytes())?;
            written.push(own);
        }
        Ok(written)
    }
}

/// Refuses a path that cannot hold the answers of `pde` on a grid, before anything is computed.
///
/// # Errors
/// Fails for an ESRI grid whose cells are not square.
pub fn check(path: &Path, pde: &dyn Pde, grid: Grid) -> Result<()> {
    match Format::of(path) {
        Some(Format::Asc) => check_cells(path, &pde.points(grid)).map(drop),
        _ => Ok(()),
    }
}

/// The side of the square cells around the points of an ESRI grid.
fn check_cells(path: &Path, points: &[Vec<f64>; 2]) -> Result<f64> {
    let [dy, dx] = [0, 1].map(|axis| spacing(&points[axis]));
    if (dy - dx).abs() <= SAME_SPACING * dx.abs() {
        return Ok(dx);
    }
    Err(Error::Config(format!(
        "{}: an ESRI grid has square cells, and these are {dy} by {dx}; .nc holds any",
        path.display()
    )))
}

/// The distance between neighbouring points of an axis; 1 for a single one.
fn spacing(along: &[f64]) -> f64 {
    match along {
        [first, .., last] => (last - first) / (along.len() - 1) as f64,
        _ => 1.0,
    }
}

/// Writes the observations of an answer as a table, a line each in the order of their file.
///
/// A line holds the given value and the error that was used, the answer there and its deviation,
/// and how far the answer is off, in errors (`chi`). The columns `left_out` say what the prior
/// expects of the value from all others, with its deviation and the distance from it in deviations.
/// The last column names the place, if the file does.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write_observations(path: &Path, answer: &Answer) -> Result<()> {
    let mut text = String::from(
        "number,field,y,x,value,sd,answer,answer_sd,chi,left_out,left_out_sd,left_out_distance,name\n",
    );
    let fits = answer.explained.by_number();
    for Fit { number, name, field, y, x, value, sd, answer, answer_sd, chi, left_out } in fits {
        text += &format!("{number},{field},{y},{x},{value},{sd},{answer},{answer_sd},{chi},");
        text += &match left_out {
            Some(left) => format!("{},{},{},", left.value, left.sd, left.distance),
            None => ",,,".into(),
        };
        text += &quoted(name.as_deref().unwrap_or_default());
        text.push('\n');
    }
    atomic::write(path, text.as_bytes())
}

/// A text as a cell of a CSV file.
fn quoted(text: &str) -> String {
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::registry::by_name;
    use phys_instruct_physics::{Fields, Grid};

    use super::*;
    use crate::Samples;
    use crate::problem::{Described, Description};
    use crate::store::arrays;
    use crate::testing::MINE;

    const GRID: Grid = Grid { ny: 3, nx: 5, ly: 0.5, lx: 1.0 };

    /// Four members of Poisson's two fields; every entry differs.
    fn posterior() -> Posterior {
        let names = ["a".to_owned(), "u".to_owned()];
        let fields: Vec<Fields> = (0..4)
            .map(|i| {
                let mut fields = Fields::zeros(2, GRID.ny, GRID.nx);
                fields.data.iter_mut().enumerate().for_each(|(at, value)| {
                    *value = at as f64 + [0.0, 0.5, 0.25, 1.0][i] * (1.0 + at as f64);
                });
                fields
            })
            .collect();
        Posterior::of(Samples::from_fields("poisson", &names, GRID, &fields).unwrap(), false, 1)
    }

    fn level(field: &str) -> Level {
        Level { field: field.into(), value: 7.5 }
    }

    fn layers(posterior: &Posterior) -> Layers<'_> {
        Layers::of(posterior, by_name("poisson").unwrap().as_ref(), &[level("a")], "a test")
            .unwrap()
    }

    #[test]
    fn every_format_holds_the_same_numbers() {
        let posterior = posterior();
        let layers = layers(&posterior);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);

        layers.write(&file("x.npz")).unwrap();
        let mut contents = arrays::read(&file("x.npz"), &|_| true).unwrap();
        let mut array = |name: &str| contents.take(name).unwrap().into_f64();
        assert_eq!(
            (array("y"), array("x")),
            (vec![0.0, 0.25, 0.5], (0..5).map(|i| f64::from(i) / 4.0).collect())
        );
        assert_eq!(array("u").len(), 4 * 15);
        let [mean, above] = [array("a_mean"), array("a_above_7.5")];
        assert!(above.is_sorted() && above[0] < 0.01 && above[14] > 0.9, "{above:?}");
        assert!((mean[14] - (14.0 + 0.4375 * 15.0)).abs() < 1e-5, "{mean:?}");

        layers.write(&file("x.csv")).unwrap();
        let text = std::fs::read_to_string(file("x.csv")).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let column = lines[0].iter().position(|name| *name == "a_mean").unwrap();
        let found: Vec<f64> = lines[1..].iter().map(|line| line[column].parse().unwrap()).collect();
        assert_eq!((found, &lines[8][..2]), (mean.clone(), &["0.25", "0.5"][..]));

        let written = layers.write(&file("x.asc")).unwrap();
        assert_eq!(written.len(), 2 * 5 + 1);
        let text = std::fs::read_to_string(file("x.a_mean.asc")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["ncols 5", "nrows 3"]);
        assert_eq!(lines[4], "cellsize 0.25");
        // The first line is the northernmost, of the largest y.
        let first: Vec<f64> = lines[6].split(' ').map(|value| value.parse().unwrap()).collect();
        assert_eq!(first, mean[10..]);

        layers.write(&file("x.nc")).unwrap();
        let mut netcdf = netcdf3::FileReader::open(file("x.nc")).unwrap();
        let found = netcdf.read_var_f32("a_mean").unwrap();
        assert_eq!(found.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), mean);
        assert_eq!(netcdf.read_var_f32("u").unwrap().len(), 4 * 15);
        let words = netcdf.data_set().get_var_attr_as_string("u_sd", "long_name").unwrap();
        assert!(words.ends_with("standard deviation"), "{words}");
        let unit = netcdf.data_set().get_var_attr_as_string("u_sd", "units").unwrap();
        assert_eq!(unit, "1");
    }

    #[test]
    fn the_units_of_a_description_are_in_a_netcdf_file() {
        let text = MINE.replace("unit = 'm'", "unit = 'K'");
        let pde = Described::new(Description::from_toml(&text).unwrap()).unwrap();
        let names: Vec<String> = pde.channels().into_iter().map(|channel| channel.name).collect();
        let grid = Grid { ny: 4, nx: 4, ly: 1.0, lx: 2.0 };
        let fields = [Fields::zeros(names.len(), 4, 4)];
        let samples = Samples::from_fields("mine", &names, grid, &fields).unwrap();
        let posterior = Posterior::of(samples, false, 1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.nc");
        Layers::of(&posterior, &pde, &[], "").unwrap().write(&path).unwrap();
        let netcdf = netcdf3::FileReader::open(&path).unwrap();
        let unit = |name: &str| netcdf.data_set().get_var_attr_as_string(name, "units");
        assert_eq!((unit("u"), unit("u_mean")), (Some("K".into()), Some("K".into())));
        // Nobody has told the input's.
        assert_eq!(unit("k_mean"), None);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let posterior = posterior();
        let pde = by_name("poisson").unwrap();
        let unknown = Layers::of(&posterior, pde.as_ref(), &[level("b")], "");
        let message = unknown.err().unwrap().to_string();
        assert!(message.contains("no field `b`; the fields are a, u"), "{message}");

        let message = layers(&posterior).write(Path::new("x.tif")).unwrap_err().to_string();
        assert!(message.contains(".npz, .csv, .asc, .nc"), "{message}");

        let grid = Grid { ly: 1.0, ..GRID };
        let fields = [Fields::zeros(2, GRID.ny, GRID.nx)];
        let names = ["a".to_owned(), "u".to_owned()];
        let samples = Samples::from_fields("poisson", &names, grid, &fields).unwrap();
        let other = Posterior::of(samples, false, 1);
        let written = layers(&other).write(Path::new("x.asc")).map(drop);
        // The same is said before anything is computed.
        for refused in [written, check(Path::new("x.asc"), pde.as_ref(), grid)] {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("square cells, and these are 0.5 by 0.25"), "{message}");
        }
        check(Path::new("x.nc"), pde.as_ref(), grid).unwrap();
    }
}
