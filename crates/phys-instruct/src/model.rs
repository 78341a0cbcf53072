//! A trained model: everything needed to sample from it, and its file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::Device;
use phys_instruct_physics::{Grid, Pde};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, CoordinatesConfig, DiffusionConfig, NetConfig, Skip};
use crate::diffusion::joint::Components;
use crate::diffusion::regression::Regression;
use crate::diffusion::statistics::Statistics;
use crate::diffusion::{Coordinates, Network};
use crate::net::{UNet, params};
use crate::parts::Parts;
use crate::problem::{self, Description};
use crate::store::weights::{self, Array, Bundle};
use crate::student::operator::{Frame, Operator, OperatorCard};
use crate::student::{Calibration, Generator};
use crate::{Error, Result};

mod check;
mod record;
pub mod refine;
mod upgrade;

pub use record::Record;

/// The version of the metadata in the files that are written. Older ones are read too, see
/// [`upgrade`].
const FORMAT: u32 = 7;
/// The first version with a checksum and the channels' bases.
const SEALED: u32 = 2;
/// The first version whose coordinates are a table of their own.
const WITH_COORDINATES: u32 = 3;
/// The first version in which a student may have an operator.
const WITH_OPERATOR: u32 = 4;
/// The first version in which an operator multiplies its guess mode by mode. From version 6 on it
/// may see the residual of its guess.
const WITH_GAIN: u32 = 5;
/// The first version in which an operator may follow another.
const WITH_FOLLOWING: u32 = 7;

/// The name of the array of [`Statistics::examples`].
const EXAMPLES: &str = "statistics.examples";
/// The beginnings of the names of the arrays that a packed file holds in 16 bits: weights, and the
/// maps of the calls, which are of order 1.
const PACKED: [&str; 4] = ["net.", "operator.net.", "operator.before.net.", "calibration."];

/// Teacher or student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A denoiser, sampled with an ODE solver.
    Teacher,
    /// A generator of a few steps.
    Student,
}

/// The description of a model, stored as the metadata of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Version of this description.
    pub format: u32,
    /// Teacher or student.
    pub kind: Kind,
    /// The PDE's name.
    pub pde: String,
    /// The description of a PDE that is known by data alone; none for a PDE with an equation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// The physical parameters of the PDE by name.
    pub params: BTreeMap<String, f64>,
    /// The grid.
    #[serde(with = "crate::grid")]
    pub grid: Grid,
    /// The channels' names.
    pub channels: Vec<String>,
    /// The basis of each channel along y and x, in which the statistics and the coordinates are;
    /// empty in a file of the first format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<[String; 2]>,
    /// The network.
    pub net: NetConfig,
    /// The coordinates of the diffusion's state.
    pub coordinates: CoordinatesConfig,
    /// The diffusion process.
    pub diffusion: DiffusionConfig,
    /// The generator's noise levels; empty for a teacher.
    pub levels: Vec<f64>,
    /// The factor of the noisy state to which the network's output is added.
    #[serde(default = "skip_of_old")]
    pub skip: Skip,
    /// The operator that makes a student's solutions; none in files before format 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorCard>,
    /// True for a student in whose samples a two-valued input is rounded to the nearer value.
    #[serde(default)]
    pub round_input: bool,
    /// Training steps of the last run behind the weights.
    pub steps: u64,
    /// Samples seen in training, by a student in all its runs.
    pub samples_seen: u64,
    /// Seconds of training, by a student in all its runs.
    pub seconds: f64,
    /// The path of the imported data set that the model was trained on; empty for generated data.
    #[serde(default)]
    pub data: String,
    /// The ratio of the standard deviation of a student's samples to that of the data, indexed by
    /// the network calls less 1 and the channel. `None` where a sample is not finite; empty where
    /// the ratios were not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std_ratio: Vec<Vec<Option<f64>>>,
    /// The making of the model; empty in older files and while it is trained.
    #[serde(default, skip_serializing_if = "Record::is_empty")]
    pub record: Record,
}

/// The fields in which the description of a training model changes, and those that files of the
/// first format lack.
const COUNTS: [&str; 7] =
    ["steps", "samples_seen", "seconds", "std_ratio", "format", "bases", "operator"];

/// The ratios of deviations at which the samples count as distributed like the data. A matched
/// student is within a few percent of 1. Beyond a quarter, samples lack or exaggerate whole modes.
const MATCHED: std::ops::RangeInclusive<f64> = 0.8..=1.25;

/// A trained model on one device, ready for inference.
#[derive(Debug, Clone)]
pub struct Model {
    /// The description.
    pub card: Card,
    /// The statistics of the data that define the coordinates.
    pub statistics: Statistics,
    /// The network.
    pub network: Network,
    /// One calibration for each network call; empty for teachers and uncalibrated students.
    pub calibrations: Vec<Calibration>,
    /// The operator that makes a student's solutions; none for teachers and joint students.
    pub operator: Option<Operator>,
    /// The SHA-256 that the model's file tells and was found to have. None for a model that is from
    /// no file, or from one of the first format, which does not tell it. A model on a finer grid
    /// has the one of the coarse model that it was refined from.
    pub checksum: Option<String>,
}

/// The skip of a file that names none.
fn skip_of_old() -> Skip {
    Skip::Mean
}

impl Card {
    /// The description of a fresh model.
    pub fn new(kind: Kind, config: &Config, pde: &dyn Pde) -> Self {
        Self {
            format: FORMAT,
            kind,
            pde: pde.name().into(),
            description: problem::description(pde).cloned(),
            params: pde.params().iter().map(|p| (p.name.clone(), p.value)).collect(),
            grid: config.grid,
            channels: pde.channels().iter().map(|c| c.name.clone()).collect(),
            bases: check::bases(&pde.channels()),
            net: config.net.clone(),
            coordinates: config.coordinates.clone(),
            diffusion: config.diffusion.clone(),
            levels: Vec::new(),
            skip: Skip::Mean,
            operator: None,
            round_input: false,
            steps: 0,
            samples_seen: 0,
            seconds: 0.0,
            data: String::new(),
            std_ratio: Vec::new(),
            record: Record::default(),
        }
    }

    /// A warning if the student is known to have collapsed: the deviation of its samples is not the
    /// data's in some channel after some number of calls. `None` otherwise.
    pub fn collapse(&self) -> Option<String> {
        let unmatched = |ratio: &Option<f64>| !ratio.is_some_and(|r| MATCHED.contains(&r));
        let mut found = Vec::new();
        for (calls, ratios) in (1..).zip(&self.std_ratio) {
            for (channel, ratio) in self.channels.iter().zip(ratios) {
                if unmatched(ratio) {
                    let ratio = ratio.map_or("not finite".into(), |r| format!("{r:.2}"));
                    let plural = if calls == 1 { "" } else { "s" };
                    found.push(format!("{channel} {ratio} at {calls} call{plural}"));
                }
            }
        }

        let [least, most] = [MATCHED.start(), MATCHED.end()];
        (!found.is_empty()).then(|| {
            format!(
                "the student has collapsed: its samples' deviation over the data's is {}, {least} to \
                 {most} expected",
                found.join(", ")
            )
        })
    }

    /// The PDE with the model's parameters.
    ///
    /// # Errors
    /// Fails for a name or a parameter that this version does not know.
    pub fn pde(&self) -> Result<Box<dyn Pde>> {
        let mut pde = problem::stored(&self.pde, self.description.as_ref())?;
        for (name, &value) in &self.params {
            pde.set_param(name, value)?;
        }
        Ok(pde)
    }

    /// This description with the counts of the description `checkpoint`, which must be of the same
    /// model.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field that differs; [`Error::Shape`] if `checkpoint` is no
    /// description.
    pub(crate) fn with_counts_of(&self, checkpoint: &Value) -> Result<Self> {
        let not_one = |e: serde_json::Error| Error::Shape(format!("checkpoint: {e}"));
        let other: Self = serde_json::from_value(checkpoint.clone()).map_err(not_one)?;
        // Both through the same type, which fills in what older files do not tell.
        let [own, found] = [self, &other].map(serde_json::to_value);
        let (own, found) = (own.map_err(not_one)?, found.map_err(not_one)?);
        for (name, own) in own.as_object().into_iter().flatten() {
            let found = &found[name];
            if !COUNTS.contains(&name.as_str()) && !is_same(own, found) {
                let reason = format!(
                    "the checkpoint is of another model: {name} {found} found, {own} expected"
                );
                return Err(Error::Config(reason));
            }
        }

        let Self { steps, samples_seen, seconds, std_ratio, .. } = other;
        Ok(Self { steps, samples_seen, seconds, std_ratio, ..self.clone() })
    }

    /// The network of this description with the weights of `tensors`.
    fn network(
        &self,
        statistics: &Statistics,
        tensors: &BTreeMap<String, Array>,
        device: &Device,
    ) -> Result<Network> {
        let parts = Parts::of(self.pde()?.as_ref());
        let coordinates =
            Coordinates::new(statistics, &parts, self.grid, &self.coordinates, device)?;
        let net = UNet::zeros(&self.net, coordinates.inputs(), parts.channels.len(), device);
        let net = params::from_arrays(net, tensors, "net.")?;
        Ok(Network::new(net, coordinates).with_skip(self.skip).valid().freeze())
    }
}

impl Card {
    /// The frame of an operator for this model's samples.
    ///
    /// # Errors
    /// Fails as [`Card::pde`] does.
    pub fn frame(&self, device: &Device) -> Result<Frame> {
        Frame::new(self.pde()?.as_ref(), self.grid, device)
    }

    /// The operator of this description with the weights of `tensors`.
    fn operator_of(
        &self,
        tensors: &BTreeMap<String, Array>,
        device: &Device,
    ) -> Result<Option<Operator>> {
        let Some(operator) = &self.operator else { return Ok(None) };
        if self.format >= WITH_GAIN {
            for (at, _) in operator.chain() {
                if !tensors.contains_key(&format!("{at}gain")) {
                    return Err(Error::Shape(format!("{at}gain is missing")));
                }
            }
        }
        let operator = Operator::from_arrays(tensors, operator, self.frame(device)?)?;
        Ok(Some(operator.freeze()))
    }
}

impl Model {
    /// The device that holds the model.
    pub fn device(&self) -> Device {
        self.network.coordinates.device()
    }

    /// The generator of a student.
    pub fn generator(&self) -> Generator<'_> {
        Generator {
            network: &self.network,
            levels: &self.card.levels,
            calibrations: &self.calibrations,
        }
    }

    /// This student without its operator: the solution is the one that its generator makes with
    /// the input. None for a model that has no operator.
    pub fn joint(&self) -> Option<Self> {
        self.operator.as_ref()?;
        // Deviations and figures were measured with the operator.
        let record = Record { figures: None, ..self.card.record.clone() };
        let card = Card { operator: None, std_ratio: Vec::new(), record, ..self.card.clone() };
        Some(Self { card, operator: None, checksum: None, ..self.clone() })
    }

    /// Standard deviation of each channel of the training data, root mean square over the grid,
    /// physical units.
    pub fn deviations(&self) -> Vec<f64> {
        // A channel's spectrum is one value throughout (`pixel`) or that of orthonormal modes:
        // either way its mean square is that over points.
        let rms = |spectrum: &[f32]| {
            let sum: f64 = spectrum.iter().map(|&v| f64::from(v).powi(2)).sum();
            (sum / spectrum.len() as f64).sqrt()
        };
        self.statistics.spectrum.chunks(self.card.grid.points()).map(rms).collect()
    }

    /// The model as one file's content.
    ///
    /// # Errors
    /// Fails for a description that cannot be written as JSON, or where the device does not give
    /// the weights back.
    pub fn to_bundle(&self) -> Result<Bundle> {
        let mut tensors = params::to_arrays(&self.network.net, "net.")?;
        tensors.extend(statistics_arrays(&self.statistics, &self.card));
        tensors.extend(Calibration::to_arrays(&self.calibrations)?);
        if let Some(operator) = &self.operator {
            tensors.extend(operator.to_arrays()?);
        }
        // A model that was read from a file of an older format is written in the present one.
        let bases = check::bases(&self.card.pde()?.channels());
        let operator = self.operator.as_ref().map(|operator| operator.card.clone());
        let card = Card { format: FORMAT, bases, operator, ..self.card.clone() };
        let metadata = serde_json::to_value(&card).map_err(|e| Error::Config(e.to_string()))?;
        Ok(Bundle { metadata, tensors })
    }

    /// The SHA-256 of the model's description, weights and statistics that [`Model::save`] would
    /// tell, in hexadecimal digits.
    ///
    /// # Errors
    /// Fails as [`Model::to_bundle`] does.
    pub fn sha256(&self) -> Result<String> {
        weights::sha256_of(&self.to_bundle()?)
    }

    /// Writes the model.
    ///
    /// # Errors
    /// Fails as [`weights::write`] does.
    pub fn save(&self, path: &Path) -> Result<()> {
        weights::write(path, &self.to_bundle()?)
    }

    /// This model with its weights rounded to 16 bits, as a packed file gives it back.
    ///
    /// # Errors
    /// Fails as [`Model::to_bundle`] and [`Model::from_bundle`] do, and for weights that do not fit
    /// into 16 bits.
    pub fn rounded(&self) -> Result<Self> {
        Self::from_bundle(&weights::rounded(&self.to_bundle()?, &PACKED)?, &self.device())
    }

    /// Writes the model with its weights rounded to 16 bits, at half the size.
    ///
    /// # Errors
    /// Fails as [`weights::write_packed`] does.
    pub fn save_packed(&self, path: &Path) -> Result<()> {
        weights::write_packed(path, &self.to_bundle()?, &PACKED)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`Error::BadFile`] for a file that is damaged, of another format version, whose description
    /// breaks a rule, or whose arrays are not those of its description.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let bad = |reason| Error::BadFile { path: path.into(), reason };
        let (bundle, checksum) = weights::read_with_checksum(path)?;
        let model = Self::from_bundle(&bundle, device).map_err(|error| match error {
            Error::BadFile { .. } => error,
            Error::Config(reason) => bad(format!("the model's description: {reason}")),
            other => bad(other.to_string()),
        })?;
        if model.card.format >= SEALED && checksum.is_none() {
            return Err(bad(format!("sha256 is missing, which format {SEALED} has")));
        }
        Ok(Self { checksum, ..model })
    }

    /// Builds a model from one file's content.
    ///
    /// # Errors
    /// [`Error::Config`] for a description that breaks a rule or that the tensors do not bear out,
    /// [`Error::Shape`] for tensors that are missing or of another shape.
    pub fn from_bundle(bundle: &Bundle, device: &Device) -> Result<Self> {
        let tensors = &bundle.tensors;
        let metadata = upgrade::upgraded(bundle.metadata.clone())?;
        let card: Card = serde_json::from_value(metadata)
            .map_err(|e| Error::Shape(format!("not a model's description: {e}")))?;

        // Nothing is built before the description has been held against rules and file.
        card.check()?;
        card.check_size(tensors)?;
        let statistics = statistics_from(tensors, &card)?;
        card.check_statistics(&statistics)?;

        let network = card.network(&statistics, tensors, device)?;
        let calls = card.levels.len();
        let calibrations = Calibration::from_arrays(tensors, calls, &network.coordinates)?;

        let operator = card.operator_of(tensors, device)?;
        let mut used: BTreeSet<String> = params::names(&network.net, "net.");
        used.extend(statistics_arrays(&statistics, &card).into_keys());
        used.extend(Calibration::names(calibrations.len()));
        used.extend(operator.iter().flat_map(Operator::names));
        check::check_no_more(tensors, &used)?;
        Ok(Self { card, statistics, network, calibrations, operator, checksum: None })
    }
}

/// Tells whether two values are equal but for the last places of numbers, which JSON may change.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs(),
            _ => a == b,
        },
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        _ => one == other,
    }
}

/// The statistics as arrays by name, shaped as the model `card` describes.
pub fn statistics_arrays(statistics: &Statistics, card: &Card) -> BTreeMap<String, Array> {
    let shape = vec![card.channels.len(), card.grid.ny, card.grid.nx];
    let array = |data: &Vec<f32>, shape: Vec<usize>| Array { shape, data: data.clone() };
    let mut arrays = BTreeMap::from([
        ("statistics.mean".to_owned(), array(&statistics.mean, shape.clone())),
        ("statistics.spectrum".to_owned(), array(&statistics.spectrum, shape)),
    ]);

    if let Some(Regression { gain, remainder }) = &statistics.regression {
        let solved = gain.len() / card.grid.points().max(1);
        let shape = vec![solved, card.grid.ny, card.grid.nx];
        arrays.insert("statistics.regression".into(), array(gain, shape.clone()));
        arrays.insert("statistics.remainder".into(), array(remainder, shape));
    }

    if let Some(Components { vectors, std, .. }) = &statistics.components {
        let n = std.len();
        arrays.insert("statistics.components".into(), array(vectors, vec![n, n]));
        arrays.insert("statistics.component_std".into(), array(std, vec![n]));
    }

    if !statistics.examples.is_empty() {
        let [c, y, x] = [card.channels.len(), card.grid.ny, card.grid.nx];
        let count = statistics.examples.len() / (c * y * x).max(1);
        arrays.insert(EXAMPLES.into(), array(&statistics.examples, vec![count, c, y, x]));
    }
    arrays
}

/// Restores the statistics from the arrays of [`statistics_arrays`].
///
/// # Errors
/// [`Error::Shape`] for arrays that are missing or do not fit the description.
pub fn statistics_from(tensors: &BTreeMap<String, Array>, card: &Card) -> Result<Statistics> {
    let fields = [card.channels.len(), card.grid.ny, card.grid.nx];
    let get = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
        Ok(weights::of_shape(tensors, name, shape)?.data.clone())
    };

    let components = if let Some(side) = card.coordinates.joint_modes() {
        let n = side
            .checked_pow(2)
            .and_then(|square| square.checked_mul(card.channels.len()))
            .ok_or_else(|| Error::Shape(format!("{side} joint modes are too many")))?;
        let vectors = get("statistics.components", &[n, n])?;
        let std = get("statistics.component_std", &[n])?;
        Some(Components { side, vectors, std })
    } else {
        None
    };

    let regression = if card.coordinates.linear_predictor() {
        let solved = card.pde()?.layout().solution.channels.len();
        let solution = [solved, card.grid.ny, card.grid.nx];
        let gain = get("statistics.regression", &solution)?;
        Some(Regression { gain, remainder: get("statistics.remainder", &solution)? })
    } else {
        None
    };

    let examples = match tensors.get(EXAMPLES) {
        Some(array) => {
            let count = array.shape.first().copied().unwrap_or_default();
            get(EXAMPLES, &[count, fields[0], fields[1], fields[2]])?
        }
        None => Vec::new(),
    };

    let mean = get("statistics.mean", &fields)?;
    let spectrum = get("statistics.spectrum", &fields)?;
    Ok(Statistics { mean, spectrum, regression, components, examples })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::samples_from;

    #[test]
    fn a_card_tells_a_collapse_and_old_cards_are_read() {
        let pde = crate::problem::by_name("darcy").unwrap();
        let config = Config::from_toml("pde = \"darcy\"\ngrid = 8").unwrap();
        let card = Card::new(Kind::Student, &config, pde.as_ref());
        assert_eq!(card.collapse(), None);
        let json = serde_json::to_value(&card).unwrap();
        assert!(json.get("std_ratio").is_none());
        assert_eq!(serde_json::from_value::<Card>(json).unwrap(), card);

        let with = |ratios: [[Option<f64>; 2]; 2]| {
            let std_ratio = ratios.map(|r| r.to_vec()).to_vec();
            let card = Card { std_ratio, ..card.clone() };
            let text = serde_json::to_string(&card).unwrap();
            assert_eq!(serde_json::from_str::<Card>(&text).unwrap(), card);
            card.collapse()
        };
        assert_eq!(with([[Some(0.8), Some(1.25)], [Some(1.0); 2]]), None);
        let told = with([[Some(1.0), Some(0.79)], [None, Some(1.26)]]).unwrap();
        let expected = "u 0.79 at 1 call, a not finite at 2 calls, u 1.26 at 2 calls";
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn regressed_statistics_are_restored_and_their_absence_is_named() {
        let pde = crate::problem::by_name("darcy").unwrap();
        let text =
            "pde = 'darcy'\ngrid = 8\n[coordinates]\nkind = 'modes'\nlinear_predictor = true";
        let config = Config::from_toml(text).unwrap();
        let data = samples_from(pde.as_ref(), 20, 8, 1);
        let device = crate::device::cpu();
        let (_, statistics) =
            Coordinates::fit(&data, &Parts::of(pde.as_ref()), &config.coordinates, &device)
                .unwrap();
        let card = Card::new(Kind::Teacher, &config, pde.as_ref());
        let arrays = statistics_arrays(&statistics, &card);
        assert_eq!(statistics_from(&arrays, &card).unwrap(), statistics);
        for name in ["statistics.regression", "statistics.remainder"] {
            let mut missing = arrays.clone();
            missing.remove(name);
            let mut cut = arrays.clone();
            cut.get_mut(name).unwrap().shape[0] = 2;
            for damaged in [missing, cut] {
                let error = statistics_from(&damaged, &card).unwrap_err();
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}
