//! Foreign data sets: one entry for `.npz`, `.mat`, `.h5` and `.hdf5`.
//!
//! Known by name are the layouts of DiffusionPDE (Huang et al., NeurIPS 2024), PDEBench (Takamoto
//! et al., NeurIPS 2022) and the Fourier neural operator's data (Li et al., ICLR 2021); any other
//! is described by a map from channels to arrays.

use std::collections::BTreeMap;
use std::path::Path;

use phys_instruct_physics::Pde;

use crate::store::arrays::{self, Contents};
use crate::store::file::bad;
use crate::store::ndarray::NdArray;
use crate::{Error, Result, Samples};

/// The arrays of the channels in order, as known programs name them. Of an evolution's last array
/// the later channels are evenly spaced snapshots.
const LAYOUTS: &[(&str, [&str; 2])] = &[
    ("darcy", ["thresh_a_data", "thresh_p_data"]),
    ("darcy", ["nu", "tensor"]),
    ("darcy", ["coeff", "sol"]),
    ("poisson", ["f_data", "phi_data"]),
    ("helmholtz", ["f_data", "psi_data"]),
    ("helmholtz", ["f_data", "phi_data"]),
    ("navier-stokes", ["w0", "w"]),
    ("navier-stokes", ["a", "u"]),
    ("navier-stokes", ["input", "output"]),
    ("burgers", ["output", ""]),
    ("burgers", ["tensor", ""]),
];

/// A linear change of units: value = scale * stored + offset.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// The channel it applies to.
    pub channel: String,
    /// The factor.
    pub scale: f64,
    /// What is added.
    pub offset: f64,
}

/// How to read a foreign file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportOptions {
    /// Pairs of channel and array name; `w[3]` and `w[-1]` choose one snapshot of an array with a
    /// time axis. Empty: the known layouts are tried, then the channels' own names.
    pub map: Vec<(String, String)>,
    /// Changes of units, at most one a channel.
    pub affine: Vec<Affine>,
    /// Whether grids with different numbers of points along y and x are allowed.
    pub any_grid: bool,
    /// Rows dropped at the top and the bottom, then columns dropped at the left and the right:
    /// points on the boundary, or outside of what the residual covers.
    pub crop: [usize; 4],
    /// Whether samples lie along the last axis instead of the first; None: judged by which axes
    /// make a square grid (always the first in an `.npz`).
    pub samples_last: Option<bool>,
}

/// Reads the joint samples of `pde` from a file of any known format, as they are stored but for
/// the options' cropping and changes of units.
///
/// # Errors
/// [`Error::Config`] for options that name no channel, [`Error::Io`], or [`Error::BadFile`] for
/// damage, a missing array, unequal counts or grids, and values that are not finite in `f32`.
pub fn import(path: &Path, pde: &dyn Pde, options: &ImportOptions) -> Result<Samples> {
    let channels: Vec<&str> = pde.channels().iter().map(|c| c.name).collect();
    check_options(pde.name(), &channels, options)?;
    let layouts = layouts(pde.name(), &channels, options)?;
    let wanted = |name: &str| layouts.iter().flatten().any(|s| s.array == name);
    let contents = arrays::read(path, &wanted)?;
    let layout = layouts
        .iter()
        .find(|l| l.iter().all(|s| contents.arrays.contains_key(&s.array)))
        .ok_or_else(|| bad(path, no_layout(pde.name(), &contents.names, &layouts)))?;
    // NumPy's own habit is samples first; only MATLAB's and HDF5's writers differ among themselves.
    let samples_last = options.samples_last.or(is_npz(path).then_some(false));
    let stacks = stacks(layout, contents, samples_last, options.crop).map_err(|e| bad(path, e))?;
    let samples = assemble(pde.name(), &channels, layout, &stacks, options);
    samples.map_err(|reason| bad(path, reason))
}

fn check_options(pde: &str, channels: &[&str], options: &ImportOptions) -> Result<()> {
    let mapped = options.map.iter().map(|(channel, _)| channel);
    for name in mapped.chain(options.affine.iter().map(|a| &a.channel)) {
        if !channels.contains(&name.as_str()) {
            let known = channels.join(", ");
            return Err(Error::Config(format!("{pde} has no channel `{name}`; it has: {known}")));
        }
    }
    Ok(())
}

/// Where the values of one channel come from.
#[derive(Debug, Clone, PartialEq)]
struct Source {
    array: String,
    snapshot: Snapshot,
}

/// Which point of an array's time axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Snapshot {
    /// The only one.
    Only,
    /// Counted from the first, or from the last where negative.
    At(i64),
    /// The end of part `part` of `of` equal parts, counted from 1.
    Part { part: usize, of: usize },
}

fn layouts(pde: &str, channels: &[&str], options: &ImportOptions) -> Result<Vec<Vec<Source>>> {
    if !options.map.is_empty() {
        return Ok(vec![mapped(channels, &options.map)?]);
    }
    let known = LAYOUTS.iter().filter(|(name, _)| *name == pde);
    let known = known.map(|(_, arrays)| known_layout(channels.len(), arrays));
    let own = channels.iter().map(|c| Source { array: (*c).into(), snapshot: Snapshot::Only });
    Ok(known.chain([own.collect()]).collect())
}

fn known_layout(channels: usize, arrays: &[&str; 2]) -> Vec<Source> {
    let later = channels.saturating_sub(1);
    (0..channels)
        .map(|c| match (c, later) {
            (0, _) => Source { array: arrays[0].into(), snapshot: Snapshot::Only },
            (part, of) => Source { array: arrays[1].into(), snapshot: Snapshot::Part { part, of } },
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

/// `w` or `w[-1]`.
fn parse_source(text: &str) -> Result<Source> {
    let Some((array, index)) = text.strip_suffix(']').and_then(|t| t.rsplit_once('[')) else {
        return Ok(Source { array: text.into(), snapshot: Snapshot::Only });
    };
    let index = index.trim().parse().map_err(|_| {
        Error::Config(format!("array `{text}`: a whole number expected between the brackets"))
    })?;
    Ok(Source { array: array.into(), snapshot: Snapshot::At(index) })
}

fn no_layout(pde: &str, names: &[String], layouts: &[Vec<Source>]) -> String {
    let join = |sources: &Vec<Source>| {
        let mut names: Vec<&str> = sources.iter().map(|s| s.array.as_str()).collect();
        names.dedup();
        names.join(" + ")
    };
    let expected: Vec<String> = layouts.iter().map(join).collect();
    let found = if names.is_empty() { "none".into() } else { names.join(", ") };
    format!(
        "arrays of {pde} expected ({}), found: {found}; name them with a map such as \
         channel=array",
        expected.join(", or ")
    )
}

pub(crate) fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"))
}

/// An array brought into the order `[sample, snapshot, y, x]`.
struct Stack {
    shape: [usize; 4],
    data: Vec<f32>,
}

impl Stack {
    /// The values of one sample and snapshot, `[y, x]`.
    fn field(&self, sample: usize, snapshot: usize) -> &[f32] {
        let [_, times, height, width] = self.shape;
        let n = height * width;
        let at = (sample * times + snapshot) * n;
        &self.data[at..at + n]
    }

    /// Without the first and last rows and columns that `crop` counts.
    fn cropped(self, crop: [usize; 4]) -> std::result::Result<Self, String> {
        let [samples, times, height, width] = self.shape;
        let [top, bottom, left, right] = crop;
        let rest = |n: usize, from: usize, to: usize| n.checked_sub(from)?.checked_sub(to);
        let inner = rest(height, top, bottom).zip(rest(width, left, right));
        let Some((rows, columns)) = inner.filter(|&(rows, columns)| rows * columns > 0) else {
            return Err(format!("a crop of {crop:?} leaves nothing of {height} x {width} points"));
        };
        let data = self
            .data
            .chunks_exact(width)
            .enumerate()
            .filter(|(row, _)| (top..top + rows).contains(&(row % height)))
            .flat_map(|(_, row)| &row[left..left + columns])
            .copied()
            .collect();
        Ok(Self { shape: [samples, times, rows, columns], data })
    }
}

fn stacks(
    layout: &[Source],
    mut contents: Contents,
    samples_last: Option<bool>,
    crop: [usize; 4],
) -> std::result::Result<BTreeMap<String, Stack>, String> {
    let mut stacks = BTreeMap::new();
    for source in layout {
        let name = &source.array;
        if let Some(array) = contents.arrays.remove(name) {
            let stack = stack(array, samples_last)
                .and_then(|stack| stack.cropped(crop))
                .map_err(|e| format!("`{name}`: {e}"))?;
            stacks.insert(name.clone(), stack);
        }
    }
    Ok(stacks)
}

fn stack(array: NdArray, samples_last: Option<bool>) -> std::result::Result<Stack, String> {
    let found = array.shape.clone();
    let array = match (&found[..], samples_last) {
        ([a, b, c], None) if a == b && b != c => array.transposed(&[2, 0, 1]),
        ([_, _, _], Some(true)) => array.transposed(&[2, 0, 1]),
        ([_, _, _, _], Some(true)) => array.transposed(&[3, 0, 1, 2]),
        _ => array,
    };
    let (shape, axes) = match array.shape[..] {
        [y, x] => ([1, 1, y, x], None),
        [n, y, x] => ([n, 1, y, x], None),
        [_, p, q, r] if p == q && q == r && p != 1 => {
            return Err(format!("shape {found:?}: which axis is time cannot be told"));
        }
        [n, y, x, t] if y == x || t == 1 => ([n, t, y, x], Some([0, 3, 1, 2])),
        [n, t, y, x] => ([n, t, y, x], None),
        _ => return Err(format!("shape {found:?} found, two to four axes expected")),
    };
    let array = match axes {
        Some(axes) => array.transposed(&axes),
        None => array,
    };
    Ok(Stack { shape, data: array.into_f32() })
}

fn assemble(
    pde: &str,
    channels: &[&str],
    layout: &[Source],
    stacks: &BTreeMap<String, Stack>,
    options: &ImportOptions,
) -> std::result::Result<Samples, String> {
    let parts = channels
        .iter()
        .zip(layout)
        .map(|(channel, source)| part(channel, source, &stacks[&source.array], options))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let (count, height, width) = common_shape(channels, &parts, options.any_grid)?;
    let mut data = Vec::with_capacity(count * channels.len() * height * width);
    for i in 0..count {
        for part in &parts {
            let convert = |&v: &f32| (part.scale * f64::from(v) + part.offset) as f32;
            data.extend(part.stack.field(i, part.snapshot).iter().map(convert));
        }
    }
    let n = height * width;
    if let Some(i) = data.iter().position(|v| !v.is_finite()) {
        let (sample, channel) = (i / (n * channels.len()), channels[i / n % channels.len()]);
        return Err(format!("channel `{channel}`, sample {sample}: a value is {}", data[i]));
    }
    let channels = channels.iter().map(|c| c.to_string()).collect();
    Ok(Samples { pde: pde.into(), channels, count, height, width, data })
}

/// One channel's values and what is done to them.
struct Part<'a> {
    stack: &'a Stack,
    snapshot: usize,
    scale: f64,
    offset: f64,
}

fn part<'a>(
    channel: &str,
    source: &Source,
    stack: &'a Stack,
    options: &ImportOptions,
) -> std::result::Result<Part<'a>, String> {
    let snapshot = snapshot(source.snapshot, stack.shape[1])
        .map_err(|e| format!("channel `{channel}`, array `{}`: {e}", source.array))?;
    let affine = options.affine.iter().find(|a| a.channel == channel);
    let (scale, offset) = affine.map_or((1.0, 0.0), |a| (a.scale, a.offset));
    Ok(Part { stack, snapshot, scale, offset })
}

fn snapshot(wanted: Snapshot, times: usize) -> std::result::Result<usize, String> {
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

fn common_shape(
    channels: &[&str],
    parts: &[Part<'_>],
    any_grid: bool,
) -> std::result::Result<(usize, usize, usize), String> {
    let of = |p: &Part<'_>| (p.stack.shape[0], p.stack.shape[2], p.stack.shape[3]);
    let first = parts.first().map(of).ok_or("no channel")?;
    if let Some((channel, odd)) = channels.iter().zip(parts).find(|(_, p)| of(p) != first) {
        let odd = of(odd);
        return Err(format!(
            "channel `{channel}`: (samples, y, x) = {odd:?} found, {first:?} expected as in `{}`",
            channels[0]
        ));
    }
    let (count, height, width) = first;
    if count == 0 || height == 0 || width == 0 {
        return Err(format!("no values: (samples, y, x) = {first:?}"));
    }
    if height != width && !any_grid {
        return Err(format!("a grid of {height} x {width} points found, a square one expected"));
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;
    use crate::store::dummy::Dummy;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

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
    fn grids_that_are_not_square_need_a_word() {
        let burgers = Dummy::named("burgers", &["u"]);
        let path = fixture("pdebench_burgers.hdf5");
        assert!(reason(&path, &burgers, &ImportOptions::default()).contains("6 x 8"));
        let options = ImportOptions { any_grid: true, ..Default::default() };
        check(&import(&path, &burgers, &options).unwrap(), (6, 8), &[|a| -a / 8.0]);
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
            let options = ImportOptions { crop, any_grid: true, ..Default::default() };
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
        assert!(reason(Path::new("x.csv"), &one, &none).contains("extension"));
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
        assert!(reason_of(array(&[3, 4, 4, 4], 1.0), good.clone()).contains("which axis is time"));
        assert!(reason_of(array(&[48], 1.0), good).contains("two to four axes"));
    }
}
