//! Foreign data sets: joint samples of a PDE from a file of any format.
//!
//! The layouts of known programs come with each PDE's record (`problem`). Any other is described by
//! a map from channels to arrays. The meaning of an array's axes is decided in `store::reading`.

use std::path::Path;

use phys_instruct_physics::Pde;

use crate::problem::Described;
use crate::store::arrays::{self, Contents, Format};
use crate::store::axes::Axes;
use crate::store::check::Check;
use crate::store::file::bad;
use crate::store::manifest::Manifest;
use crate::store::rasters::{is_data_set, is_folder_of_rasters};
pub use crate::store::reading::{Affine, ImportOptions};
use crate::store::reading::{Given, Reading, Snapshot, Source, is_coordinate};
use crate::{Error, Result, Samples, problem};

/// The array of an `.npz` that holds the lengths of the sides along y and x.
pub const SIDES: &str = "sides";

/// The samples that were read, and the way in which they were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The samples.
    pub samples: Samples,
    /// The axes that were used.
    pub axes: Axes,
    /// The reason for these axes, in words.
    pub reason: String,
    /// The distance of the samples from the equation.
    pub check: Check,
}

/// Reads the joint samples of `pde` from a file of any known format, a data set folder or a folder
/// of ESRI ASCII grids. They are as stored except for the options' cropping and changes of units.
///
/// # Errors
/// Fails as [`import_checked`] does.
pub fn import(path: &Path, pde: &dyn Pde, options: &ImportOptions) -> Result<Samples> {
    Ok(imported(path, pde, options)?.0)
}

/// [`import()`], with the axes that were chosen and the equation's own residual.
///
/// # Errors
/// - [`Error::Config`] for options that name no channel or more samples than there are.
/// - [`Error::Io`].
/// - [`Error::BadFile`] for damage, a missing array, axes that cannot be inferred, unequal counts
///   or grids, and values that are not finite in `f32`.
pub fn import_checked(path: &Path, pde: &dyn Pde, options: &ImportOptions) -> Result<Imported> {
    let (samples, reading, misplaced) = imported(path, pde, options)?;
    let mut check = Check::of(&samples, pde);
    check.misplaced = misplaced;
    Ok(Imported { samples, axes: reading.axes, reason: reading.reason, check })
}

/// The samples, how they were read, and what is wrong with the places that the file tells.
fn imported(
    path: &Path,
    pde: &dyn Pde,
    options: &ImportOptions,
) -> Result<(Samples, Reading, Vec<String>)> {
    let channels = pde.channels();
    let channels: Vec<&str> = channels.iter().map(|c| c.name.as_str()).collect();
    check_options(pde.name(), &channels, options)?;
    check_folder(path, pde)?;
    let layouts = layouts(pde.name(), &channels, options)?;
    let (contents, layout) = read(path, pde, &layouts)?;

    let sides = match options.sides {
        Some(sides) => sides,
        // Those of rasters follow from their cells, once a description is complete.
        None if contents.cells.is_some() => pde.sides().unwrap_or([1.0; 2]),
        None => stated_sides(path)?.or(pde.sides()).unwrap_or([1.0; 2]),
    };
    let given = Given::new(pde, &layout, &contents, options, sides);
    let reading = Reading::choose(&given).map_err(|reason| bad(path, reason))?;
    let mut samples = assemble(&given, &reading, options).map_err(|e| match e {
        Refusal::Range(reason) => Error::Config(format!("{}: {reason}", path.display())),
        Refusal::Data(reason) => bad(path, reason),
    })?;

    let own = problem::description(pde).filter(|_| given.tells_places());
    let complete = own.map(|own| Described::new(own.completed(&samples)?)).transpose()?;
    let placed = complete.as_ref().map_or(pde, |complete| complete);
    if let (Some(cells), None, None) = (contents.cells, options.sides, pde.sides()) {
        samples.sides = cells.sides(placed, samples.grid().shape());
    }
    if pde.sides().is_some() {
        pde.check_grid(samples.grid()).map_err(|e| bad(path, e.to_string()))?;
    }
    // Files of known equations have coordinates of many conventions.
    let misplaced = complete.map(|complete| reading.misplaced(&given, &complete, samples.grid()));
    Ok((samples, reading, misplaced.unwrap_or_default()))
}

/// The lengths of the domain's sides along y and x that a data set folder or a file of this library
/// states; 1 where none are stated.
///
/// # Errors
/// Fails if the file cannot be read, and for rasters, whose sides depend on where the points of the
/// PDE lie.
pub fn stored_sides(path: &Path) -> Result<[f64; 2]> {
    if is_folder_of_rasters(path) {
        return Err(bad(path, "rasters; --sides says how long the sides of the domain are"));
    }
    Ok(stated_sides(path)?.unwrap_or([1.0; 2]))
}

fn stated_sides(path: &Path) -> Result<Option<[f64; 2]>> {
    if is_data_set(path) {
        return Ok(Some(Manifest::read(path)?.recipe.grid.sides()));
    }
    // The array of another program may have this name.
    let mut contents = arrays::read(path, &|name| name == SIDES)?;
    let stored = contents.arrays.remove(SIDES).filter(|array| array.shape == [2]);
    Ok(stored.and_then(|array| array.into_f64().try_into().ok()))
}

fn check_options(pde: &str, channels: &[&str], options: &ImportOptions) -> Result<()> {
    let mapped = options.map.iter().map(|(channel, _)| channel);
    let scaled = options.affine.iter().map(|a| &a.channel);
    let turned = options.axes.iter().filter_map(|(channel, _)| channel.as_ref());
    for name in mapped.chain(scaled).chain(turned) {
        if !channels.contains(&name.as_str()) {
            let known = channels.join(", ");
            return Err(Error::Config(format!("{pde} has no channel `{name}`; it has: {known}")));
        }
    }
    Ok(())
}

/// Refuses a data set folder of another PDE.
fn check_folder(path: &Path, pde: &dyn Pde) -> Result<()> {
    if !is_data_set(path) {
        return Ok(());
    }
    let found = Manifest::read(path)?.recipe.pde;
    if found == pde.name() {
        return Ok(());
    }
    Err(bad(path, format!("data of {found} found, {} expected", pde.name())))
}

fn layouts(pde: &str, channels: &[&str], options: &ImportOptions) -> Result<Vec<Vec<Source>>> {
    if !options.map.is_empty() {
        return Ok(vec![mapped(channels, &options.map)?]);
    }
    // A PDE that is not registered has its own names alone.
    let known = problem::find(pde).map(|problem| problem.arrays().to_vec()).unwrap_or_default();
    let known = known.iter().map(|arrays| known_layout(channels.len(), arrays));
    let own = channels.iter().map(|c| Source { array: (*c).into(), snapshot: Snapshot::Only });
    Ok(known.chain([own.collect()]).collect())
}

fn known_layout(channels: usize, arrays: &[String; 2]) -> Vec<Source> {
    let later = channels.saturating_sub(1);
    (0..channels)
        .map(|c| match (c, later) {
            (0, _) => Source { array: arrays[0].clone(), snapshot: Snapshot::Only },
            (part, of) => {
                Source { array: arrays[1].clone(), snapshot: Snapshot::Part { part, of } }
            }
        })
        .collect()
}

fn mapped(channels: &[&str], map: &[(String, String)]) -> Result<Vec<Source>> {
    channels
        .iter()
        .map(|channel| {
            let named = map.iter().find(|(c, _)| c == channel);
            parse_source(named.map_or(channel, |(_, array)| array))
        })
        .collect()
}

/// Parses `w`, `w[-1]` or, in a group, `group/w`.
///
/// # Errors
/// Fails for brackets around anything but a whole number.
pub(crate) fn parse_source(text: &str) -> Result<Source> {
    let text = text.trim_start_matches('/');
    let Some((array, index)) = text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) else {
        return Ok(Source { array: text.into(), snapshot: Snapshot::Only });
    };
    let index = index.trim().parse().map_err(|_| {
        Error::Config(format!("array `{text}`: a whole number expected between the brackets"))
    })?;
    Ok(Source { array: array.into(), snapshot: Snapshot::At(index) })
}

/// The arrays of the first layout that is complete in the file, and those that may name
/// coordinates.
fn read(path: &Path, pde: &dyn Pde, layouts: &[Vec<Source>]) -> Result<(Contents, Vec<Source>)> {
    let of_rasters = is_folder_of_rasters(path);
    let wanted = |name: &str| {
        let mapped = layouts.iter().flatten().any(|s| s.array == name);
        // A raster is a field, whatever its name.
        mapped || !of_rasters && (is_coordinate(name) || name == arrays::LONE)
    };

    let mut contents = arrays::read(path, &wanted)?;
    // A lone array is the one channel of a PDE that has no other.
    if let (Format::Npy, [only]) = (contents.format, &pde.channels()[..])
        && let Some(array) = contents.arrays.remove(arrays::LONE)
    {
        contents.names = vec![only.name.clone()];
        contents.arrays.insert(only.name.clone(), array);
    }

    let whole = |l: &&Vec<Source>| l.iter().all(|s| contents.arrays.contains_key(&s.array));
    match layouts.iter().find(whole) {
        Some(layout) => Ok((contents, layout.clone())),
        None => Err(bad(path, no_layout(pde, &contents, layouts))),
    }
}

fn no_layout(pde: &dyn Pde, contents: &Contents, layouts: &[Vec<Source>]) -> String {
    let there = |s: &&Source| contents.others.contains_key(&s.array);
    let present = |s: &Source| contents.arrays.contains_key(&s.array) || there(&s);
    let almost = layouts.iter().find(|l| l.iter().all(present));
    if let Some(source) = almost.and_then(|l| l.iter().find(there)) {
        return contents.why_missing(&source.array);
    }

    let join = |sources: &Vec<Source>| {
        let mut names: Vec<&str> = sources.iter().map(|s| s.array.as_str()).collect();
        names.dedup();
        names.join(" + ")
    };
    let expected: Vec<String> = layouts.iter().map(join).collect();

    let channel = pde.channels().first().map_or("u".into(), |c| c.name.clone());
    let array = contents.names.first().map_or("group/array", String::as_str);
    format!(
        "arrays of {} expected ({}), found: {}; `data import --map` names each channel's array, for \
         example --map {channel}={array}",
        pde.name(),
        expected.join(", or "),
        contents.listed(),
    )
}

/// The reason why a reading gave no samples.
enum Refusal {
    /// Samples were asked for that do not exist.
    Range(String),
    /// The data are faulty.
    Data(String),
}

fn assemble(
    given: &Given,
    reading: &Reading,
    options: &ImportOptions,
) -> std::result::Result<Samples, Refusal> {
    let range = options.samples.clone().unwrap_or(0..reading.count);
    if range.end > reading.count || range.is_empty() {
        let (start, end) = (range.start, range.end);
        let count = reading.count;
        return Err(Refusal::Range(format!("samples {start}..{end} asked for, it holds {count}")));
    }

    let samples = reading.samples(given, range.clone());
    let Some(i) = samples.data.iter().position(|v| !v.is_finite()) else { return Ok(samples) };

    let field = i / (samples.height * samples.width).max(1);
    let channel = &samples.channels[field % samples.channels.len()];
    let sample = range.start + field / samples.channels.len();
    let value = samples.data[i];
    let mark = if value.is_nan() { " or a mark for a missing value, such as -9999" } else { "" };
    Err(Refusal::Data(format!(
        "channel `{channel}`, sample {sample}: a value is {value}{mark} (`data import --samples` \
         leaves samples out)"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::ndarray::NdArray;
    use crate::store::npz;
    use crate::testing::dummy::Dummy;
    use crate::testing::fixture;

    fn a(n: usize, y: usize, x: usize) -> f32 {
        (100 * n + 10 * y + x) as f32
    }

    /// Every value of every channel against the formula of the fixtures.
    fn check(samples: &Samples, grid: (usize, usize), want: &[fn(f32) -> f32]) {
        assert_eq!((samples.count, samples.height, samples.width), (3, grid.0, grid.1));
        assert_eq!(samples.channels.len(), want.len());
        for n in 0..3 {
            for (c, want) in want.iter().enumerate() {
                for (i, &v) in samples.field(n, c).iter().enumerate() {
                    assert_eq!(v, want(a(n, i / grid.1, i % grid.1)), "sample {n} channel {c} {i}");
                }
            }
        }
    }

    fn plain(path: &str, pde: &Dummy) -> Samples {
        import(&fixture(path), pde, &ImportOptions::default()).unwrap()
    }

    fn darcy() -> Dummy {
        Dummy::named("darcy", &["a", "u"])
    }

    fn reason(path: &Path, pde: &Dummy, options: &ImportOptions) -> String {
        match import(path, pde, options) {
            Err(Error::BadFile { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_known_layout_gives_the_same_samples() {
        let both: [fn(f32) -> f32; 2] = [|a| a, |a| -a / 8.0];
        check(&plain("diffusionpde_darcy_v73.mat", &darcy()), (8, 8), &both);
        check(&plain("diffusionpde_darcy_last.mat", &darcy()), (8, 8), &both);
        check(&plain("pdebench_darcy.hdf5", &darcy()), (8, 8), &both);
        let poisson = Dummy::named("poisson", &["a", "u"]);
        check(&plain("diffusionpde_poisson_v5.mat", &poisson), (8, 8), &both);
        let helmholtz = Dummy::named("helmholtz", &["a", "u"]);
        check(&plain("diffusionpde_helmholtz_v7.mat", &helmholtz), (8, 8), &both);
    }

    #[test]
    fn snapshots_of_an_evolution_are_evenly_spaced_and_end_at_the_last() {
        let file = "diffusionpde_navier_stokes.h5";
        let ns = Dummy::named("navier-stokes", &["w0", "wT"]);
        check(&plain(file, &ns), (8, 8), &[|a| a, |a| 1e4 - a / 8.0]);
        let ns = Dummy::named("navier-stokes", &["w0", "w1", "w2"]);
        check(&plain(file, &ns), (8, 8), &[|a| a, |a| 5e3 - a / 8.0, |a| 1e4 - a / 8.0]);
        let ns = Dummy::named("navier-stokes", &["w0", "w1", "w2", "w3"]);
        assert!(reason(&fixture(file), &ns, &ImportOptions::default()).contains("multiple of 3"));
    }

    #[test]
    fn a_map_and_a_change_of_units_apply() {
        let map = [("a", "w0"), ("u", "w[-10]")].map(|(c, n)| (c.to_string(), n.to_string()));
        let affine = vec![Affine { channel: "a".into(), scale: 9.0, offset: 3.0 }];
        let options = ImportOptions { map: map.to_vec(), affine, ..Default::default() };
        let samples =
            import(&fixture("diffusionpde_navier_stokes.h5"), &darcy(), &options).unwrap();
        check(&samples, (8, 8), &[|a| 9.0 * a + 3.0, |a| 1e3 - a / 8.0]);
    }

    #[test]
    fn grids_need_not_be_square_and_their_sides_are_those_told() {
        let burgers = Dummy::named("burgers", &["u"]);
        let path = fixture("pdebench_burgers.hdf5");
        let read = |sides| {
            let options = ImportOptions { sides, ..Default::default() };
            import(&path, &burgers, &options)
        };
        check(&read(None).unwrap(), (6, 8), &[|a| -a / 8.0]);
        assert_eq!(read(None).unwrap().sides, [1.0, 1.0]);
        assert_eq!(read(Some([1.0, 2.0])).unwrap().sides, [1.0, 2.0]);
        let message = read(Some([0.0, 1.0])).unwrap_err().to_string();
        assert!(message.contains("above 0"), "{message}");
    }

    #[test]
    fn a_foreign_archive_is_read_by_its_channels_names() {
        let samples = plain("neuralop_darcy_test_16.npz", &darcy());
        assert_eq!((samples.count, samples.height, samples.width), (50, 16, 16));
        assert!(samples.field(7, 0).iter().all(|&v| v == 0.0 || v == 1.0));
        assert!(samples.field(7, 1)[8 * 16 + 8] > 0.0);
    }

    #[test]
    fn cropping_drops_rows_and_columns_of_every_channel() {
        let path = fixture("pdebench_burgers.hdf5");
        let burgers = Dummy::named("burgers", &["u"]);
        let cropped = |crop| {
            let options = ImportOptions { crop, ..Default::default() };
            import(&path, &burgers, &options)
        };
        let samples = cropped([1, 2, 3, 0]).unwrap();
        assert_eq!((samples.count, samples.height, samples.width), (3, 3, 5));
        for (n, i) in (0..3).flat_map(|n| (0..15).map(move |i| (n, i))) {
            assert_eq!(samples.field(n, 0)[i], -a(n, i / 5 + 1, i % 5 + 3) / 8.0, "{n} {i}");
        }
        assert!(cropped([0; 4]).unwrap().data.len() == 3 * 6 * 8);
        for crop in [[3, 3, 0, 0], [0, 0, 9, 0], [7, usize::MAX, 0, 0]] {
            let error = cropped(crop).unwrap_err().to_string();
            assert!(error.contains("leaves nothing of 6 x 8"), "{error}");
        }
        let options = ImportOptions { crop: [1, 0, 1, 0], ..Default::default() };
        let inner = import(&fixture("neuralop_darcy_test_16.npz"), &darcy(), &options).unwrap();
        let all = plain("neuralop_darcy_test_16.npz", &darcy());
        assert_eq!((inner.count, inner.height, inner.width), (50, 15, 15));
        assert_eq!(inner.field(49, 1)[14 * 15 + 3], all.field(49, 1)[15 * 16 + 4]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let poisson = Dummy::named("poisson", &["a", "u"]);
        let none = ImportOptions::default();
        let missing = reason(&fixture("pdebench_burgers.hdf5"), &poisson, &none);
        assert!(missing.contains("f_data + phi_data, or a + u"), "{missing}");
        assert!(missing.contains("found: t"), "{missing}");
        let mapped = |channel: &str, array: &str| ImportOptions {
            map: vec![(channel.into(), array.into())],
            ..Default::default()
        };
        let ns = fixture("diffusionpde_navier_stokes.h5");
        let one = Dummy::named("one", &["w"]);
        assert!(reason(&ns, &one, &none).contains("10 snapshots found"));
        assert!(reason(&ns, &one, &mapped("w", "w[10]")).contains("no such snapshot among 10"));
        assert!(reason(&ns, &one, &mapped("w", "w[-11]")).contains("no such snapshot among 10"));
        let error = import(&ns, &one, &mapped("v", "w")).unwrap_err();
        assert!(error.to_string().contains("no channel `v`"), "{error}");
        assert!(import(&ns, &one, &mapped("w", "w[x]")).is_err());
    }

    #[test]
    fn axes_that_cannot_be_told_are_refused_and_an_option_says_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cube.npz");
        let cube = NdArray::from_f64(vec![4; 4], (0..256).map(f64::from).collect()).unwrap();
        npz::write(&path, &[("w", &cube)]).unwrap();
        let one = Dummy::named("one", &["w"]);
        let map = vec![("w".into(), "w[-1]".into())];
        let mut options = ImportOptions { map, ..ImportOptions::default() };
        let refused = reason(&path, &one, &options);
        assert!(refused.contains("say it with --axes ntyx"), "{refused}");
        assert!(refused.contains("nyxt (4 samples of 4 x 4)"), "{refused}");
        options.axes = vec![(None, "nyxt".parse().unwrap())];
        let last = import(&path, &one, &options).unwrap();
        assert_eq!(last.field(1, 0)[..3], [67.0, 71.0, 75.0]);
        options.axes = vec![(Some("w".into()), "ntxy".parse().unwrap())];
        let turned = import(&path, &one, &options).unwrap();
        assert_eq!(turned.field(1, 0)[..3], [112.0, 116.0, 120.0]);
    }

    #[test]
    fn coordinates_in_the_file_tell_the_axes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shock.npz");
        let ramp = |n: usize| (0..n).map(|i| i as f64).collect::<Vec<_>>();
        let usol = NdArray::from_f64(vec![16, 10], ramp(160)).unwrap();
        let x = NdArray::from_f64(vec![16, 1], ramp(16)).unwrap();
        let t = NdArray::from_f64(vec![10, 1], ramp(10)).unwrap();
        npz::write(&path, &[("usol", &usol), ("x", &x), ("t", &t)]).unwrap();
        let burgers = phys_instruct_physics::burgers::Burgers::default();
        let options =
            ImportOptions { map: vec![("u".into(), "usol".into())], ..ImportOptions::default() };
        let read = import_checked(&path, &burgers, &options).unwrap();
        assert_eq!((read.samples.height, read.samples.width), (10, 16));
        assert_eq!(read.samples.data[..2], [0.0, 10.0]);
        assert_eq!(read.axes.to_string(), "xy");
    }

    #[test]
    fn only_the_samples_that_are_taken_matter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let mut values = vec![1.0; 5 * 16];
        values[3 * 16] = 1e300;
        let array = NdArray::from_f64(vec![5, 4, 4], values).unwrap();
        npz::write(&path, &[("a", &array), ("u", &array)]).unwrap();
        let taken = |samples| {
            let options = ImportOptions { samples: Some(samples), ..ImportOptions::default() };
            import(&path, &darcy(), &options)
        };
        assert_eq!(taken(0..3).unwrap().count, 3);
        assert!(taken(2..4).unwrap_err().to_string().contains("`a`, sample 3: a value is inf"));
        assert!(taken(4..6).unwrap_err().to_string().contains("it holds 5"));
    }

    #[test]
    fn a_lone_array_is_the_channel_of_a_pde_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let array = NdArray::from_f32(vec![2, 4, 4], vec![1.0; 32]).unwrap();
        crate::store::npy::write(&path, &array).unwrap();
        let none = ImportOptions::default();
        assert_eq!(import(&path, &Dummy::named("one", &["w"]), &none).unwrap().count, 2);
        assert!(reason(&path, &darcy(), &none).contains("found: array"));
    }

    #[test]
    fn unequal_shapes_and_overflow_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        let array = |shape: &[usize], v: f64| {
            NdArray::from_f64(shape.to_vec(), vec![v; shape.iter().product()]).unwrap()
        };
        let reason_of = |a: NdArray, u: NdArray| {
            npz::write(&path, &[("a", &a), ("u", &u)]).unwrap();
            reason(&path, &darcy(), &ImportOptions::default())
        };
        let (good, small) = (array(&[3, 4, 4], 1.0), array(&[2, 4, 4], 1.0));
        assert!(reason_of(good.clone(), small).contains("(2, 4, 4) found, (3, 4, 4) expected"));
        assert!(reason_of(good.clone(), array(&[3, 4, 4], 1e300)).contains("`u`, sample 0"));
        assert!(reason_of(array(&[0, 4, 4], 1.0), array(&[0, 4, 4], 1.0)).contains("no values"));
        assert!(reason_of(array(&[48], 1.0), good).contains("two to four axes"));
    }
}
