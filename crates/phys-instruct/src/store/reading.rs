//! The choice between the possible meanings of the axes of a file's arrays.
//!
//! Every order of the axes that the shapes allow is tried, with y and x as stored, exchanged and
//! reversed. Each is compared by the PDE's own residual. A clear winner is taken. If several fit
//! about as well, the order as stored is taken only if none fits better: an equation with the
//! square's symmetries cannot distinguish its turns. If nothing fits, the shapes and the habits of
//! the formats decide. Data that none of these settle are refused.

use std::collections::BTreeMap;
use std::ops::Range;

use phys_instruct_physics::{Grid, Pde};

use crate::Samples;
use crate::problem;
use crate::residual::Residual;
use crate::store::arrays::{Contents, Format};
use crate::store::axes::{Axes, View};
use crate::store::check;
use crate::store::missing;
use crate::store::ndarray::{NdArray, NdData};

/// A linear change of units: value = scale * stored + offset.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// The channel it applies to.
    pub channel: String,
    /// The factor.
    pub scale: f64,
    /// The number that is added.
    pub offset: f64,
}

/// Options for reading a foreign file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// Pairs of channel and array name. `w[3]` and `w[-1]` choose one snapshot of an array with a
    /// time axis. If empty, the known layouts are tried, then the channels' own names.
    pub map: Vec<(String, String)>,
    /// Changes of units, at most one a channel.
    pub affine: Vec<Affine>,
    /// The lengths of the domain's sides along y and along x. If `None`, those of the file's own
    /// array `sides` or of its rasters' cells, those that are described, or else 1.
    pub sides: Option<[f64; 2]>,
    /// The rows dropped at the top and the bottom, then the columns dropped at the left and the
    /// right: points on the boundary, or outside of what the residual covers.
    pub crop: [usize; 4],
    /// The axes of the stored arrays: those of one channel, or with `None` those of all others. If
    /// empty, they are inferred from the shapes and the equation.
    pub axes: Vec<(Option<String>, Axes)>,
    /// The range of samples to take, all if `None`. The content of the others does not matter.
    pub samples: Option<Range<usize>>,
}

/// The number of samples on which the readings are compared; fewer on grids of more than `POINTS`
/// points.
const COMPARED: usize = 4;
const POINTS: usize = 256 * 256;
/// The longest axis of a grid that is not square and is compared. A number of samples, which may
/// be large, is taken for points in some readings.
const LONGEST: usize = 512;
/// The largest misfit with which a reading fits: a tenth of the equation's terms.
const FITS: f64 = 0.1;
/// A reading whose misfit is within this factor of the best one's fits about as well.
const NEAR: f64 = 5.0;
/// A reading whose misfit is within this factor of the best one's fits as well as it. Symmetries of
/// the equation change the misfit by rounding alone.
const EQUAL: f64 = 1.1;
/// A misfit below this is the rounding of stored values.
const ROUNDING: f64 = 1e-5;

/// The source of one channel's values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub array: String,
    pub snapshot: Snapshot,
}

/// A point of an array's time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Snapshot {
    /// The only point.
    Only,
    /// A point counted from the first, or from the last if negative.
    At(i64),
    /// The end of part `part` of `of` equal parts, counted from 1.
    Part { part: usize, of: usize },
}

/// The contents of a file, and the options for reading them.
pub(crate) struct Given<'a> {
    pde: &'a dyn Pde,
    options: &'a ImportOptions,
    contents: &'a Contents,
    /// The lengths of the domain's sides along y and x.
    sides: [f64; 2],
    /// The name, the source and the array of each channel.
    channels: Vec<(String, &'a Source, &'a NdArray)>,
}

impl<'a> Given<'a> {
    /// The channels of `pde` with their sources, all of whose arrays must be in the contents.
    pub fn new(
        pde: &'a dyn Pde,
        layout: &'a [Source],
        contents: &'a Contents,
        options: &'a ImportOptions,
        sides: [f64; 2],
    ) -> Self {
        let names = pde.channels().into_iter().map(|c| c.name);
        let channel = |(name, source): (String, &'a Source)| {
            Some((name, source, contents.arrays.get(&source.array)?))
        };
        let channels = names.zip(layout).filter_map(channel).collect();
        Self { pde, options, contents, sides, channels }
    }

    /// Tells whether the file says where its points lie.
    pub fn tells_places(&self) -> bool {
        self.contents.cells.is_some() || coordinates(self).next().is_some()
    }

    /// The coordinates along y or x that the file holds beside its fields.
    fn coordinates_along(&self, letter: &str) -> Option<Vec<f64>> {
        if let Some(cells) = self.contents.cells {
            return Some(cells.centres(letter));
        }
        let (name, ..) = coordinates(self).find(|(_, own, _)| *own == letter)?;
        Some(self.contents.arrays.get(name)?.clone().into_f64())
    }

    /// The axes from the options, if they give them for every channel.
    fn told(&self) -> Option<&Axes> {
        let all = self.options.axes.iter().find(|(channel, _)| channel.is_none());
        let each = || self.channels.iter().map(|(name, ..)| self.told_of(name));
        let common = || each().collect::<Option<Vec<&Axes>>>()?.first().copied();
        all.map(|(_, axes)| axes).or_else(common)
    }

    /// The axes that the options give for one channel.
    fn told_of(&self, channel: &str) -> Option<&Axes> {
        let own = self.options.axes.iter().find(|(c, _)| c.as_deref() == Some(channel));
        own.map(|(_, axes)| axes)
    }
}

/// A possible meaning of the arrays' axes.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub axes: Axes,
    /// The reason why it was chosen, in words.
    pub reason: String,
    pub count: usize,
    height: usize,
    width: usize,
    /// The view of each channel's array, and the snapshot.
    parts: Vec<(View, usize)>,
    /// True for an order in which programs usually write.
    usual: bool,
    /// The distance from the equation, if it can be measured.
    misfit: Option<f64>,
    /// The reason why it lacks the snapshots asked for; none if it has them.
    problem: Option<String>,
}

impl Reading {
    /// Chooses a reading.
    ///
    /// # Errors
    /// Fails if no reading fits all arrays, or if several do and nothing distinguishes them.
    pub fn choose(given: &Given) -> Result<Self, String> {
        let reading = Self::uncropped(given)?;
        if let Some(problem) = reading.problem {
            return Err(problem);
        }
        let reading = reading.cropped(given.options.crop)?;
        reading.grid(given).check(1).map_err(|e| e.to_string())?;
        Ok(reading)
    }

    /// The grid of the samples.
    fn grid(&self, given: &Given) -> Grid {
        let [ly, lx] = given.sides;
        Grid { ny: self.height, nx: self.width, ly, lx }
    }

    fn uncropped(given: &Given) -> Result<Self, String> {
        if let Some(axes) = given.told() {
            return Self::new(given, axes, "as told");
        }
        match given.contents.format {
            Format::DataSet => {
                return Self::new(given, &Axes::of_this_library(), "as data sets are stored");
            }
            Format::Rasters => {
                let reason = "ESRI grids, turned so that the south comes first";
                return Self::new(given, &Axes::of_this_library(), reason);
            }
            _ => {}
        }

        let mut readings = candidates(given)?;
        let mut residuals = Residuals::new();
        for reading in &mut readings {
            reading.misfit = reading.measured(given, &mut residuals);
        }
        match fitting(&readings)? {
            Some(reading) => Ok(reading),
            None => usual(given, readings),
        }
    }

    /// Reads all arrays by the same axes, or by a channel's own if the options give them.
    fn new(given: &Given, axes: &Axes, reason: &str) -> Result<Self, String> {
        let (mut parts, mut problem) = (Vec::new(), None);
        for (channel, source, array) in &given.channels {
            let about = |e| format!("channel `{channel}`, array `{}`: {e}", source.array);
            let view = given.told_of(channel).unwrap_or(axes).view(&array.shape).map_err(about)?;
            let at = snapshot(source.snapshot, view.shape[1]).map_err(about);
            problem = problem.or(at.as_ref().err().cloned());
            parts.push((view, at.unwrap_or(0)));
        }
        let (count, height, width) = common_shape(given, &parts)?;
        let (axes, reason, usual, misfit) = (axes.clone(), reason.to_string(), true, None);
        Ok(Self { axes, reason, count, height, width, parts, usual, misfit, problem })
    }

    fn cropped(mut self, crop: [usize; 4]) -> Result<Self, String> {
        for (view, _) in &mut self.parts {
            *view = view.clone().cropped(crop)?;
            [self.height, self.width] = [view.shape[2], view.shape[3]];
        }
        Ok(self)
    }

    /// The samples `range`, in the user's units.
    pub fn samples(&self, given: &Given, range: std::ops::Range<usize>) -> Samples {
        let points = self.height * self.width;
        let mut data = Vec::with_capacity(range.len() * given.channels.len() * points);
        for sample in range.clone() {
            for ((view, snapshot), (channel, _, array)) in self.parts.iter().zip(&given.channels) {
                let affine = given.options.affine.iter().find(|a| a.channel == *channel);
                let (scale, offset) = affine.map_or((1.0, 0.0), |a| (a.scale, a.offset));
                // In other units a mark would be a value.
                let convert = |v: f64| match missing::is_mark(v) {
                    true => f32::NAN,
                    false => (scale * v + offset) as f32,
                };
                let places = view.field(sample, *snapshot);
                match &array.data {
                    NdData::F32(v) => data.extend(places.map(|i| convert(v[i].into()))),
                    NdData::F64(v) => data.extend(places.map(|i| convert(v[i]))),
                }
            }
        }

        let channels = given.channels.iter().map(|(name, ..)| name.clone()).collect();
        let (height, width) = (self.height, self.width);
        let pde = given.pde.name().into();
        Samples { pde, channels, count: range.len(), height, width, sides: given.sides, data }
    }

    /// The axes along which coordinates in the file are not where `pde` has its points on a grid,
    /// by more than one point, in words.
    pub fn misplaced(&self, given: &Given, pde: &dyn Pde, grid: Grid) -> Vec<String> {
        let points = pde.points(grid);
        let along = |(axis, letter): (usize, &str)| {
            let mut found = given.coordinates_along(letter)?;
            if self.axes.is_reversed(axis) {
                found.reverse();
            }
            let crop = &given.options.crop[2 * axis..];
            let found = found.get(crop[0]..found.len().saturating_sub(crop[1]))?;
            let (&[first, .., last], &[from, .., to]) = (found, &points[axis][..]) else {
                return None;
            };

            let spacing = (to - from).abs() / (points[axis].len() - 1) as f64;
            let off = (first - from).abs().max((last - to).abs());
            let is_off = found.len() == points[axis].len() && off > spacing * (1.0 + 1e-6);
            is_off.then(|| {
                format!(
                    "{letter} of the data runs from {first} to {last}, and the points of {} from \
                     {from} to {to}: another `origin` or other `sides`, or stored in reverse \
                     (`data import --axes`)?",
                    pde.name()
                )
            })
        };
        [(0, "y"), (1, "x")].into_iter().filter_map(along).collect()
    }

    /// The misfit on a few samples; none if the equation has no residual on such a grid or the
    /// values are not finite.
    fn measured(&self, given: &Given, residuals: &mut Residuals) -> Option<f64> {
        let cropped = self.clone().cropped(given.options.crop).ok()?;
        let grid = cropped.grid(given);
        let long = grid.ny != grid.nx && grid.ny.max(grid.nx) > LONGEST;
        if self.problem.is_some() || long {
            return None;
        }
        let build = || problem::residual(given.pde, grid, &crate::device::cpu()).ok();
        let residual = residuals.entry(grid.shape()).or_insert_with(build).as_ref()?;

        let range = given.options.samples.clone().unwrap_or(0..self.count);
        let compared = (COMPARED * POINTS / grid.points()).clamp(1, COMPARED);
        let end = range.end.min(self.count).min(range.start + compared);
        if range.start >= end {
            return None;
        }
        let samples = cropped.samples(given, range.start..end);
        check::misfit(&samples, residual.as_ref())
    }
}

/// The residuals built so far, by points along y and x; none if the equation has none there.
type Residuals = BTreeMap<[usize; 2], Option<Box<dyn Residual>>>;

/// Every reading that the shapes allow, in the order of habit. Those with y and x as stored come
/// first.
///
/// # Errors
/// Fails with the first reading's reason if none is possible.
fn candidates(given: &Given) -> Result<Vec<Reading>, String> {
    let shapes = || given.channels.iter().map(|(_, source, array)| (&source.array, &array.shape));
    if let Some((name, shape)) = shapes().find(|(_, shape)| !(2..=4).contains(&shape.len())) {
        return Err(format!("`{name}`: shape {shape:?} found, two to four axes expected"));
    }

    let rank = shapes().map(|(_, shape)| shape.len()).max().unwrap_or(0);
    let mut readings: Vec<Reading> = Vec::new();
    let mut reason = None;
    for (order, usual) in Axes::orders(rank) {
        for axes in order.turned() {
            match Reading::new(given, &axes, "") {
                // One sample and one snapshot give the same view.
                Ok(reading) if readings.iter().any(|r| r.parts == reading.parts) => {}
                Ok(reading) => readings.push(Reading { usual, ..reading }),
                Err(e) => reason = reason.or(Some(e)),
            }
        }
    }

    prefer(&mut readings, |r| r.problem.is_none());
    by_coordinates(given, &mut readings);
    // A grid of a single row is taken only if there is no other.
    prefer(&mut readings, |r| r.height.min(r.width) > 1);

    match reason {
        Some(reason) if readings.iter().all(|r| r.problem.is_some() && !r.usual) => Err(reason),
        _ => Ok(readings),
    }
}

/// Keeps the readings whose axes are as long as the coordinates in the file, if it has any.
fn by_coordinates(given: &Given, readings: &mut Vec<Reading>) {
    let rows = if given.pde.layout().input.is_line() { "t" } else { "y" };
    for (_, letter, points) in coordinates(given) {
        let agrees = |r: &Reading| match letter {
            "x" => r.width == points,
            letter if letter == rows => r.height == points,
            _ => true,
        };
        prefer(readings, agrees);
    }
}

/// The vectors in the file that bear the names of coordinates: name, letter and length.
fn coordinates<'a>(
    given: &'a Given,
) -> impl Iterator<Item = (&'a str, &'static str, usize)> + use<'a> {
    let channels = |name: &str| given.channels.iter().any(|(_, source, _)| source.array == name);
    given.contents.arrays.iter().filter(move |(name, _)| !channels(name)).filter_map(
        |(name, array)| {
            let points = array.data.len();
            let vector = array.shape.iter().all(|&n| n == 1 || n == points);
            coordinate(name).filter(|_| vector).map(|letter| (name.as_str(), letter, points))
        },
    )
}

/// Tells whether an array's name is that of a coordinate.
pub(crate) fn is_coordinate(name: &str) -> bool {
    coordinate(name).is_some()
}

fn coordinate(name: &str) -> Option<&'static str> {
    let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    match last.trim_end_matches("-coordinate").trim_end_matches("_coordinate") {
        "x" => Some("x"),
        "y" => Some("y"),
        "t" | "time" => Some("t"),
        _ => None,
    }
}

/// The reading that fits the equation clearly better than others, or as well as any and as stored;
/// none if nothing fits.
///
/// # Errors
/// Fails if several fit about as well, and the one as stored is not among the best.
fn fitting(readings: &[Reading]) -> Result<Option<Reading>, String> {
    let misfits = readings.iter().filter_map(|r| r.misfit);
    let best = misfits.fold(f64::INFINITY, f64::min);
    if best > FITS {
        return Ok(None);
    }
    let within = |factor: f64, r: &Reading| {
        r.misfit.is_some_and(|misfit| misfit <= (factor * best).max(ROUNDING))
    };
    let mut near: Vec<&Reading> = readings.iter().filter(|r| within(NEAR, r)).collect();

    let named = |why: &str, reading: &Reading| Reading { reason: why.into(), ..reading.clone() };
    if let [only] = near[..] {
        return Ok(Some(named("the only ones that fit the equation", only)));
    }
    let mut plain = near.iter().copied().filter(|r| r.axes.is_plain());
    if let (Some(stored), None) = (plain.next(), plain.next())
        && within(EQUAL, stored)
    {
        return Ok(Some(named("as stored; they fit the equation", stored)));
    }

    let misfit = |r: &Reading| r.misfit.unwrap_or(f64::INFINITY);
    near.sort_by(|a, b| misfit(a).total_cmp(&misfit(b)));
    Err(undecided(&near, "fit the equation about as well"))
}

fn undecided(readings: &[&Reading], what: &str) -> String {
    let one = |r: &&Reading| {
        let misfit = r.misfit.map(|m| format!(", misfit {m:.1e}")).unwrap_or_default();
        format!("{} ({} samples of {} x {}{misfit})", r.axes, r.count, r.height, r.width)
    };
    let all: Vec<String> = readings.iter().map(one).collect();
    let example = readings.first().map(|r| r.axes.to_string()).unwrap_or_default();
    let all = all.join(", ");
    format!("which axes are which cannot be told: {all} {what}; say it with --axes {example}")
}

/// The reading by the shapes and the format's habits, if the equation cannot decide. Square grids
/// are preferred if the PDE's are square, and so is an order with the samples first.
///
/// # Errors
/// Fails for several square readings of a format whose writers differ in their habits.
fn usual(given: &Given, mut readings: Vec<Reading>) -> Result<Reading, String> {
    let rows_are_times = given.pde.layout().input.is_line();
    // NumPy's own habit is samples first; only MATLAB's and HDF5's writers differ among themselves.
    let of_numpy = !matches!(given.contents.format, Format::Matlab | Format::Hdf5);
    // The file's coordinates may have left only exchanged orders.
    prefer(&mut readings, |r| r.axes.is_plain());
    if of_numpy || rows_are_times {
        prefer(&mut readings, |r| r.axes.samples_first());
    }
    if !rows_are_times {
        prefer(&mut readings, |r| r.height == r.width);
    }
    prefer(&mut readings, |r| r.usual);

    if !rows_are_times {
        let square: Vec<&Reading> = readings.iter().filter(|r| r.height == r.width).collect();
        if square.len() > 1 {
            return Err(undecided(&square, "are possible"));
        }
    }
    prefer(&mut readings, |r| r.axes.samples_first());
    let reason = "by their lengths; the equation does not tell".into();
    let first = readings.into_iter().next().ok_or("no reading of the axes")?;
    Ok(Reading { reason, ..first })
}

/// Keeps the readings that pass, if there are any.
fn prefer(readings: &mut Vec<Reading>, test: impl Fn(&Reading) -> bool) {
    if readings.iter().any(&test) {
        readings.retain(test);
    }
}

fn snapshot(wanted: Snapshot, times: usize) -> Result<usize, String> {
    let none = || format!("no such snapshot among {times}");
    match wanted {
        Snapshot::Only if times == 1 => Ok(0),
        Snapshot::Only => Err(format!("{times} snapshots found; choose one as in array[-1]")),
        Snapshot::At(i) if i < 0 => usize::try_from(times as i64 + i).map_err(|_| none()),
        Snapshot::At(i) => usize::try_from(i).ok().filter(|&i| i < times).ok_or_else(none),
        Snapshot::Part { part, of } if times > 0 && times.is_multiple_of(of) => {
            Ok(part * (times / of) - 1)
        }
        Snapshot::Part { of, .. } => {
            Err(format!("{times} snapshots found, a multiple of {of} expected"))
        }
    }
}

/// The numbers of samples, rows and columns, which all channels must share.
fn common_shape(given: &Given, parts: &[(View, usize)]) -> Result<(usize, usize, usize), String> {
    let of = |(view, _): &(View, usize)| (view.shape[0], view.shape[2], view.shape[3]);
    let first = parts.first().map(of).ok_or("no channel")?;
    let named = given.channels.iter().map(|(channel, ..)| channel);

    if let Some((channel, odd)) = named.zip(parts).find(|(_, part)| of(part) != first) {
        let odd = of(odd);
        return Err(format!(
            "channel `{channel}`: (samples, y, x) = {odd:?} found, {first:?} expected as in the \
             first channel"
        ));
    }

    let (count, height, width) = first;
    if count == 0 || height == 0 || width == 0 {
        return Err(format!("no values: (samples, y, x) = {first:?}"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use phys_instruct_physics::registry;

    use super::*;
    use crate::store::import::import_checked;
    use crate::store::npz;
    use crate::testing::samples_from;

    const SIZE: usize = 16;

    fn solved(pde: &dyn Pde, count: u64) -> Samples {
        samples_from(pde, count, SIZE, 11)
    }

    /// The samples in the order and direction of `axes`, one array a channel.
    fn stored(samples: &Samples, axes: &str) -> Vec<(String, NdArray)> {
        let axes: Axes = axes.parse().unwrap();
        // The shape must be that for which the view has the samples' own.
        let letters = axes.to_string().replace('-', "");
        let points = |letter| if letter == 'n' { samples.count } else { SIZE };
        let shape: Vec<usize> = letters.chars().map(points).collect();
        let view = axes.view(&shape).unwrap();
        let one = |(c, name): (usize, &String)| {
            let mut data = vec![0.0; samples.count * SIZE * SIZE];
            for i in 0..samples.count {
                for (place, value) in view.field(i, 0).zip(samples.field(i, c)) {
                    data[place] = *value;
                }
            }
            (name.clone(), NdArray::from_f32(shape.clone(), data).unwrap())
        };
        samples.channels.iter().enumerate().map(one).collect()
    }

    fn read(
        arrays: &[(String, NdArray)],
        pde: &dyn Pde,
        format: Format,
    ) -> Result<Reading, String> {
        let contents = Contents {
            names: arrays.iter().map(|(name, _)| name.clone()).collect(),
            arrays: arrays.iter().cloned().collect(),
            format,
            ..Contents::default()
        };
        let layout: Vec<Source> = arrays
            .iter()
            .map(|(name, _)| Source { array: name.clone(), snapshot: Snapshot::Only })
            .collect();
        let options = ImportOptions::default();
        Reading::choose(&Given::new(pde, &layout, &contents, &options, [1.0; 2]))
    }

    #[test]
    fn navier_stokes_is_turned_as_it_was_solved() {
        let pde = registry::by_name("navier-stokes").unwrap();
        let samples = solved(pde.as_ref(), 3);
        for axes in ["nyx", "nxy", "n-yx", "nx-y", "yxn", "xyn", "-x-yn"] {
            for format in [Format::Npz, Format::Hdf5, Format::Matlab] {
                let reading = read(&stored(&samples, axes), pde.as_ref(), format).unwrap();
                assert_eq!(reading.axes.to_string(), axes);
                assert!(reading.reason.contains("fit the equation"), "{}", reading.reason);
            }
        }
    }

    #[test]
    fn as_many_samples_as_points_are_told_apart_by_the_equation() {
        for (name, all) in [
            ("poisson", &["nyx", "yxn"][..]),
            ("darcy", &["nyx", "yxn"]),
            ("burgers", &["nyx", "nxy", "yxn", "ynx"]),
        ] {
            let pde = registry::by_name(name).unwrap();
            let samples = solved(pde.as_ref(), SIZE as u64);
            for axes in all {
                let reading = read(&stored(&samples, axes), pde.as_ref(), Format::Hdf5).unwrap();
                assert_eq!(&reading.axes.to_string(), axes, "{name}");
            }
        }
    }

    #[test]
    fn a_single_sample_is_read_with_or_without_its_axis() {
        for name in ["poisson", "navier-stokes", "burgers"] {
            let pde = registry::by_name(name).unwrap();
            let mut arrays = stored(&solved(pde.as_ref(), 1), "nyx");
            for shape in [vec![1, SIZE, SIZE], vec![SIZE, SIZE], vec![1, 1, SIZE, SIZE]] {
                arrays.iter_mut().for_each(|(_, array)| array.shape = shape.clone());
                let reading = read(&arrays, pde.as_ref(), Format::Matlab).unwrap();
                assert_eq!((reading.count, reading.height), (1, SIZE), "{name} {shape:?}");
                assert!(reading.axes.is_plain() && reading.misfit.unwrap() < 0.01);
            }
        }
    }

    #[test]
    fn an_equation_with_the_square_s_symmetries_keeps_the_order_of_the_file() {
        let pde = registry::by_name("poisson").unwrap();
        let samples = solved(pde.as_ref(), 3);
        let reading = read(&stored(&samples, "nxy"), pde.as_ref(), Format::Npz).unwrap();
        assert_eq!(reading.axes.to_string(), "nyx");
        assert!(reading.reason.starts_with("as stored"), "{}", reading.reason);
    }

    #[test]
    fn the_order_of_the_file_does_not_win_over_one_that_fits_better() {
        let reading = |(axes, misfit): (&str, f64)| Reading {
            axes: axes.parse().unwrap(),
            reason: String::new(),
            count: 3,
            height: SIZE,
            width: SIZE,
            parts: Vec::new(),
            usual: true,
            misfit: Some(misfit),
            problem: None,
        };
        let fitted = |stored, turned| fitting(&[("nyx", stored), ("nxy", turned)].map(reading));
        let axes = |stored, turned| fitted(stored, turned).unwrap().unwrap().axes.to_string();
        assert_eq!(axes(0.0105, 0.01), "nyx", "equal but for rounding");
        assert_eq!(axes(9e-6, 1e-7), "nyx", "both are rounding");
        assert_eq!(axes(0.01, 0.03), "nyx", "the stored order fits best");
        assert_eq!(axes(0.06, 0.01), "nxy", "a clear winner");
        let refused = fitted(0.03, 0.01).unwrap_err();
        assert!(refused.contains("nxy (3 samples of 16 x 16, misfit 1.0e-2), nyx"), "{refused}");
        assert!(refused.ends_with("say it with --axes nxy"), "{refused}");

        let two = [("nyx", 0.01), ("yxn", 0.01)].map(reading);
        assert!(fitting(&two).unwrap_err().contains("--axes nyx"));
        assert!(fitting(&[("nyx", 0.2), ("nxy", 0.3)].map(reading)).unwrap().is_none());
    }

    #[test]
    fn what_fits_no_equation_is_read_by_habit_or_refused() {
        let pde = registry::by_name("poisson").unwrap();
        let ramp = |shape: &[usize]| {
            let n = shape.iter().product::<usize>();
            let array = NdArray::from_f64(shape.to_vec(), (0..n).map(|i| i as f64).collect());
            ["a", "u"].map(|name| (name.to_string(), array.clone().unwrap()))
        };
        let axes = |shape: &[usize], format| {
            read(&ramp(shape), pde.as_ref(), format).map(|r| r.axes.to_string())
        };
        assert_eq!(axes(&[3, 8, 8], Format::Matlab).unwrap(), "nyx");
        assert_eq!(axes(&[8, 8, 3], Format::Hdf5).unwrap(), "yxn");
        assert_eq!(axes(&[8, 8, 8], Format::Npz).unwrap(), "nyx");
        let refused = axes(&[8, 8, 8], Format::Matlab).unwrap_err();
        assert!(refused.contains("--axes nyx") && refused.contains("yxn"), "{refused}");

        let pde = registry::by_name("burgers").unwrap();
        let arrays = [("u".to_string(), ramp(&[8, 8, 16])[0].1.clone())];
        let reading = read(&arrays, pde.as_ref(), Format::Hdf5).unwrap();
        assert_eq!((reading.axes.to_string(), reading.count), ("nyx".into(), 8));
        assert_eq!((reading.height, reading.width), (8, 16));
    }

    #[test]
    fn turned_fields_come_out_of_every_format_as_they_were() {
        let pde = registry::by_name("navier-stokes").unwrap();
        let samples = solved(pde.as_ref(), 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let arrays = stored(&samples, "nxy");
        let named: Vec<_> = arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
        npz::write(&path, &named).unwrap();
        let options = ImportOptions::default();
        let read = import_checked(&path, pde.as_ref(), &options).unwrap();
        assert_eq!((read.samples, read.axes.to_string()), (samples, "nxy".into()));
        assert!(read.check.passed() && read.check.misfit.unwrap() < 0.01);
    }
}
