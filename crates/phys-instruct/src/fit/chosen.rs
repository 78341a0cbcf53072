//! The config that suits pairs without an equation.

use std::path::Path;

use burn::tensor::Device;
use phys_instruct_physics::{Grid, Pde, TwoValues};

use crate::config::load::utf8;
use crate::config::{
    CalibrateConfig, Config, CoordinatesConfig, DataConfig, DistillConfig, MatchingConfig,
    NamedNoise, NetConfig, Noise, OptimizerConfig, PhaseConfig, Skip, TrainConfig,
};
use crate::diffusion::Coordinates;
use crate::parts::Parts;
use crate::problem::Description;
use crate::store::{atomic, dataset};
use crate::{Error, Result, Samples, problem};

/// The fewest pairs of which a student is made.
pub const FEWEST_PAIRS: usize = 40;
/// One of so many pairs is held out, and the fewest and the most of them.
const HELD_OUT: [usize; 3] = [10, 10, 100];

/// The most modes an axis of joint components.
const MOST_MODES: usize = 16;
/// The fewest modes an axis for which joint components are taken.
const FEWEST_MODES: usize = 3;
/// Pairs for each joint component.
const PAIRS_A_COMPONENT: f64 = 1.5;
/// The share of the solution's variance from which on a linear predictor is taken.
const WELL_PREDICTED: f64 = 0.5;

/// The pairs below which a network has half the width.
const FEW_PAIRS: usize = 300;
/// The steps of the teacher and of the matching, before they are scaled to the time there is.
const STEPS: [usize; 2] = [1_000, 20];

/// A config, with the reasons for what was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The config.
    pub config: Config,
    /// The choices and their reasons, a sentence each.
    pub reasons: Vec<String>,
}

/// The number of pairs, of so many, that are held out.
///
/// # Errors
/// [`Error::Config`] for fewer than [`FEWEST_PAIRS`].
pub fn held_out_of(pairs: usize) -> Result<usize> {
    if pairs < FEWEST_PAIRS {
        let reason = format!("{pairs} pairs found, at least {FEWEST_PAIRS} expected");
        return Err(Error::Config(reason));
    }
    let [share, least, most] = HELD_OUT;
    Ok((pairs / share).clamp(least, most))
}

/// Chooses the network, the coordinates and the phases for `data`, all pairs of the `pde`. The
/// names `pde_path` and `data_path` stand in the config for the description and for the data.
///
/// # Errors
/// Fails for too few pairs, and for a grid that is too small for a network.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use phys_instruct::data::{self, Watch};
/// use phys_instruct::physics::Grid;
/// use phys_instruct::{device, fit, problem};
///
/// let stop = AtomicBool::new(false);
/// let mut watch = Watch { progress: &mut |_| (), stop: &stop };
/// let pde = problem::by_name("poisson")?;
/// let pairs = data::generate(pde.as_ref(), Grid::square(16), 1, 60, &mut watch)?;
/// let names = ["poisson", "pairs.npz"];
/// let choice = fit::chosen(pde.as_ref(), &pairs, names, 0, &device::cpu())?;
/// assert_eq!((choice.config.data.validation, choice.config.net.width), (10, 16));
/// # Ok::<(), phys_instruct::Error>(())
/// ```
pub fn chosen(
    pde: &dyn Pde,
    data: &Samples,
    [pde_path, data_path]: [&str; 2],
    seed: u64,
    device: &Device,
) -> Result<Chosen> {
    let held_out = held_out_of(data.count)?;
    let pairs = data.slice(0..data.count - held_out);
    let mut reasons =
        vec![format!("the first {} pairs to train on, the last {held_out} held out", pairs.count)];

    let net = net_for(pairs.count, data.grid());
    reasons.push(format!(
        "network: width {}, multipliers {:?}, patch {}, as suits {} pairs on {}",
        net.width,
        net.multipliers,
        net.patch,
        pairs.count,
        data.grid()
    ));
    let known = problem::description(pde).and_then(Description::two_values);
    if let Some(TwoValues { low, high }) = known {
        reasons.push(format!("input: {low} or {high} and nothing between, so samples are rounded"));
    }
    let (coordinates, reason) = coordinates_for(pde, &pairs, device)?;
    reasons.push(reason);

    let [train, matching] = STEPS;
    let mut levels = DistillConfig::default().levels;
    if !pde.has_solver() {
        levels.truncate(1);
        let reason = "student: one network call, the one that answers without an equation use";
        reasons.push(reason.into());
    }
    let distill = DistillConfig {
        levels,
        round_input: known.is_some(),
        skip: Some(Skip::Flow),
        phases: vec![
            PhaseConfig::Matching(MatchingConfig {
                steps: matching,
                optimizer: OptimizerConfig::at(1e-5),
                ..MatchingConfig::default()
            }),
            PhaseConfig::Calibrate(CalibrateConfig::default()),
        ],
        ..DistillConfig::default()
    };
    let config = Config {
        pde: pde_path.into(),
        grid: data.grid(),
        seed,
        params: pde.params().into_iter().map(|p| (p.name, p.value)).collect(),
        data: DataConfig {
            path: Some(data_path.into()),
            count: 0,
            validation: held_out,
            ..DataConfig::default()
        },
        net,
        coordinates,
        diffusion: Default::default(),
        train: TrainConfig { steps: train, ..TrainConfig::default() },
        distill: Some(distill),
    };
    Ok(Chosen { config, reasons })
}

/// Writes pairs of the PDE that `named` means into a folder, and chooses what suits them. The
/// folder then holds data.npz and, of a PDE that is known by data alone, its completed description
/// pde.toml. The config names both. The completed PDE stands beside.
///
/// # Errors
/// Fails as [`chosen`] does, for a folder whose name is not UTF-8, and where it cannot be written.
pub fn prepared(
    folder: &Path,
    named: &str,
    pde: Box<dyn Pde>,
    pairs: &Samples,
    seed: u64,
    device: &Device,
) -> Result<(Box<dyn Pde>, Chosen)> {
    let copied = folder.join("data.npz");
    dataset::write_npz(pairs, &copied)?;
    let pde = problem::completed(pde, pairs)?;
    let mut pde_path = named.to_owned();
    if let Some(description) = problem::description(pde.as_ref()) {
        let path = folder.join("pde.toml");
        atomic::write(&path, description.to_toml()?.as_bytes())?;
        pde_path = utf8(&path)?;
    }
    let chosen = chosen(pde.as_ref(), pairs, [&pde_path, &utf8(&copied)?], seed, device)?;
    Ok((pde, chosen))
}

/// The network for so many pairs on a grid.
fn net_for(pairs: usize, grid: Grid) -> NetConfig {
    let width = if pairs < FEW_PAIRS { 16 } else { 32 };
    let shortest = grid.ny.min(grid.nx);
    let patch = match shortest {
        0..32 => 1,
        32..192 => 2,
        _ => 4,
    };
    // The coarsest level has eight to fifteen patches a side, where there are as many.
    let levels = (shortest / patch / 8).max(1).ilog2() as usize + 1;
    let multipliers = (0..levels).map(|level| if level == 0 { 1 } else { 2 }).collect();
    NetConfig { width, multipliers, patch, ..NetConfig::default() }
}

/// The coordinates for these pairs, and the reason.
fn coordinates_for(
    pde: &dyn Pde,
    pairs: &Samples,
    device: &Device,
) -> Result<(CoordinatesConfig, String)> {
    let predicted = predicted_share(pde, pairs, device)?;
    let linear_predictor = predicted.is_some_and(|share| share >= WELL_PREDICTED);
    let said = match predicted {
        Some(share) => format!(
            "a linear predictor, mode by mode, explains {:.0} % of the solution's variance and is {}",
            100.0 * share,
            if linear_predictor { "taken" } else { "left out" }
        ),
        None => "no linear predictor, the solution being no channel of its own".into(),
    };

    let channels = pairs.channels.len() as f64;
    let most = (pairs.count as f64 / PAIRS_A_COMPONENT / channels).sqrt() as usize;
    let modes = most.min(MOST_MODES).min(pairs.height.min(pairs.width) / 2);
    if modes < FEWEST_MODES {
        let noise = Noise::Named(NamedNoise::Data);
        let coordinates = CoordinatesConfig::Modes { noise, linear_predictor };
        return Ok((coordinates, format!("coordinates: modes by themselves, few pairs; {said}")));
    }
    let reason = format!(
        "coordinates: the lowest {modes} x {modes} modes of all fields by their joint components, of \
         which {} pairs tell {}; {said}",
        pairs.count,
        (channels as usize) * modes * modes
    );
    Ok((CoordinatesConfig::Joint { modes, linear_predictor }, reason))
}

/// The share of the solution's variance that a linear predictor, one factor a mode, makes of the
/// input; none where the solution is no channel of its own.
fn predicted_share(pde: &dyn Pde, pairs: &Samples, device: &Device) -> Result<Option<f64>> {
    if !pde.layout().is_by_channels() {
        return Ok(None);
    }
    let noise = Noise::Named(NamedNoise::Data);
    let with = CoordinatesConfig::Modes { noise, linear_predictor: true };
    let parts = Parts::of(pde);
    let (_, statistics) = Coordinates::fit(pairs, &parts, &with, device)?;
    let Some(regression) = &statistics.regression else { return Ok(None) };

    let points = pairs.height * pairs.width;
    let solution = parts.layout.solution.channels;
    let own = &statistics.spectrum[solution.start * points..solution.end * points];
    let power = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let all = power(own);
    Ok((all > 0.0).then(|| 1.0 - power(&regression.remainder) / all))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::problem::Described;
    use crate::testing::poisson_samples;

    #[test]
    fn a_tenth_of_the_pairs_and_at_most_a_hundred_are_held_out() {
        assert!(held_out_of(39).is_err());
        assert_eq!([40, 500, 100_000].map(|n| held_out_of(n).unwrap()), [10, 50, 100]);
    }

    /// Pairs of Darcy's law of which names alone are told.
    #[test]
    fn an_input_of_two_values_is_rounded_by_the_student() {
        let darcy = problem::by_name("darcy").unwrap();
        let data = crate::testing::samples_from(darcy.as_ref(), 40, 16, 1);
        let text = "[pde]\nname = 'mine'\ninput = 'a'\nfield = [{ name = 'a' }, { name = 'u' }]";
        let open = Description::from_toml(text).unwrap();
        for (two_valued, description) in
            [(true, open.completed(&data).unwrap()), (false, open.clone())]
        {
            let pde = Described::new(description).unwrap();
            let choice =
                chosen(&pde, &data, ["mine.toml", "x.npz"], 1, &crate::device::cpu()).unwrap();
            let said = choice.reasons.iter().any(|reason| reason.contains("3 or 12"));
            assert_eq!(
                (choice.config.distill.unwrap().round_input, said),
                (two_valued, two_valued)
            );
        }
    }

    #[test]
    fn networks_fit_their_grids() {
        for (points, levels) in [([8, 8], 1), ([15, 15], 1), ([64, 64], 3), ([128, 300], 4)] {
            let grid = Grid::new(points, [1.0; 2]).unwrap();
            let net = net_for(1_000, grid);
            net.check("net", grid).unwrap();
            assert_eq!(net.multipliers.len(), levels, "{points:?}");
        }
    }

    /// Poisson's equation holds mode by mode; a solution of another input is no function of it.
    #[test]
    fn a_linear_predictor_is_taken_where_it_predicts() {
        let device = crate::device::cpu();
        let (poisson, data) = poisson_samples(60, 16, 1);
        let choice = |data| chosen(&poisson, data, ["poisson", "x.npz"], 1, &device).unwrap();
        let own = choice(&data);
        own.config.check().unwrap();
        assert!(own.config.coordinates.linear_predictor(), "{:?}", own.reasons);

        let mut mixed = data.clone();
        let (len, points) = (data.sample_len(), 16 * 16);
        for i in 0..data.count {
            let other = (i + 7) % data.count;
            let from = other * len + points..(other + 1) * len;
            mixed.data[i * len + points..(i + 1) * len].copy_from_slice(&data.data[from]);
        }
        let other = choice(&mixed);
        assert!(!other.config.coordinates.linear_predictor(), "{:?}", other.reasons);
    }
}
