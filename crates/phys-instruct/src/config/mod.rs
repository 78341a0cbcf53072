//! The typed run configuration: one TOML file, unknown keys refused.
//!
//! One file serves the teacher (`train`) and the student (`distill`). Each table is a type of
//! its own, and every number is checked beside its definition.

use std::collections::BTreeMap;

use phys_instruct_physics::Grid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod ablation;
pub(crate) mod check;
mod coordinates;
mod data;
mod diffusion;
mod distill;
mod equation;
pub(crate) mod grid;
pub mod load;
mod memory;
mod net;
mod optimizer;
mod overrides;
mod phase;
mod schedule;
mod schema;
pub mod size;
mod train;
mod upgrade;

pub use ablation::{Balance, Divergence, GuidanceAblation, MatchingAblation, MatchingWeight};
pub use check::check_levels;
pub use coordinates::{CoordinatesConfig, CoordinatesKind, NamedNoise, Noise};
pub use data::DataConfig;
pub use diffusion::DiffusionConfig;
pub use distill::{DistillConfig, Skip};
pub use net::NetConfig;
pub use optimizer::OptimizerConfig;
pub use phase::{
    AnchoredConfig, AuxiliaryConfig, CalibrateConfig, Channels, GuidanceConfig, MEASURED,
    MOST_SWEEPS, MatchingConfig, OperatorConfig, PhaseConfig, WarmStartConfig,
};
pub use schedule::Schedule;
pub use train::TrainConfig;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The PDE, by its name in the library or in the program's own records; or, for data alone, the
    /// path of a TOML file with a table `[pde]`.
    pub pde: String,
    /// Points a side of the unit square, or a table of `points` and `sides`, each along y and along
    /// x. Without sides, those of a description of data alone are taken.
    #[serde(with = "crate::grid")]
    #[schemars(schema_with = "crate::grid::schema")]
    pub grid: Grid,
    /// The seed behind every random number of the run.
    #[serde(default)]
    pub seed: u64,
    /// Physical parameters that differ from the PDE's defaults.
    #[serde(default)]
    pub params: BTreeMap<String, f64>,
    /// Training and validation data.
    #[serde(default)]
    pub data: DataConfig,
    /// The network.
    #[serde(default)]
    pub net: NetConfig,
    /// The coordinates of the diffusion's state.
    #[serde(default)]
    pub coordinates: CoordinatesConfig,
    /// The diffusion process.
    #[serde(default)]
    pub diffusion: DiffusionConfig,
    /// The teacher's training.
    #[serde(default)]
    pub train: TrainConfig,
    /// The student's training; a config without it is a teacher's alone.
    pub distill: Option<DistillConfig>,
}

impl Config {
    /// Reads a configuration from TOML text.
    ///
    /// # Errors
    /// Bad TOML, unknown keys, or values [`Config::check`] refuses.
    ///
    /// ```
    /// use phys_instruct::Config;
    /// use phys_instruct::physics::Grid;
    ///
    /// let config = Config::from_toml("pde = 'darcy'\ngrid = 32\n[data]\ncount = 100")?;
    /// assert_eq!((config.grid, config.data.count), (Grid::square(32), 100));
    /// assert!(Config::from_toml("pde = 'darcy'\ngrid = 32\n[data]\ncuont = 100").is_err());
    /// # Ok::<(), phys_instruct::Error>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self =
            toml::from_str(text).map_err(|e| Error::Config(e.to_string().trim_end().into()))?;
        config.completed()
    }

    /// The checked config, in which the default that depends on another table is written out, so
    /// that equal runs have equal configs.
    fn completed(mut self) -> Result<Self> {
        if let Some(distill) = &mut self.distill {
            distill.skip = Some(distill.skip_in(&self.coordinates));
        }
        self.check()?;
        Ok(self)
    }

    /// Checks ranges and consistency.
    ///
    /// # Errors
    /// The first value out of range, with what is expected.
    pub fn check(&self) -> Result<()> {
        grid::check(self.grid)?;
        self.data.check("data")?;
        self.net.check("net", self.grid)?;
        self.check_equation()?;

        // The PDE is looked up only where its channels count, so that a config can be read before
        // its PDE is registered.
        let channels =
            if self.coordinates.linear_predictor() { self.pde()?.channels().len() } else { 1 };
        self.coordinates.check(self.grid, &self.pde, channels)?;
        self.diffusion.check()?;
        self.train.check("train")?;
        let Some(distill) = &self.distill else { return Ok(()) };
        distill.check("distill", &self.coordinates, || self.pde())?;

        // The teacher has seen no noise beyond its largest.
        let most = self.diffusion.sigma_max;
        if let Some(level) = distill.levels.first().filter(|&&level| level > most) {
            return Err(Error::Config(format!(
                "distill.levels[0] = {level}: at most diffusion.sigma_max = {most} expected"
            )));
        }
        distill.operators().try_for_each(|(i, operator)| {
            operator.net.check(&format!("distill.phase[{i}].net"), self.grid)
        })
    }

    /// The settings that are sound and without effect, such as guidance that would begin after the
    /// last step.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> =
            self.train.schedule().warning("train").into_iter().collect();
        for (i, phase) in self.distill.iter().flat_map(|d| d.phases.iter().enumerate()) {
            warnings.extend(phase.warnings(&format!("distill.phase[{i}]")));
        }
        warnings
    }

    /// The PDE with the configured parameters.
    ///
    /// # Errors
    /// An unknown name, or a parameter out of range.
    pub fn pde(&self) -> Result<Box<dyn phys_instruct_physics::Pde>> {
        let mut pde = crate::problem::by_name(&self.pde)?;
        for (name, &value) in &self.params {
            pde.set_param(name, value)?;
        }
        Ok(pde)
    }

    /// The student's training.
    ///
    /// # Errors
    /// A config that has none.
    pub fn student(&self) -> Result<&DistillConfig> {
        self.distill.as_ref().ok_or_else(|| {
            Error::Config(
                "no [distill] and no [[distill.phase]]: this is the config of a teacher alone"
                    .into(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The lines of an operator that follows another.
    const FOLLOWS: &str = "follows = true\nsweeps = 0";

    /// Why a config of `pde` with these lines is refused; nothing if it is taken.
    fn refusal_of(pde: &str, lines: &str) -> String {
        let text = format!("pde = \"{pde}\"\ngrid = 16\n{lines}");
        Config::from_toml(&text).err().map(|e| e.to_string()).unwrap_or_default()
    }

    fn refusal(lines: &str) -> String {
        refusal_of("poisson", lines)
    }

    /// The lines of a student with these phases, each its kind and further lines.
    fn phases(all: &[(&str, &str)]) -> String {
        let phase = |(kind, lines): &(&str, &str)| {
            format!("[[distill.phase]]\nkind = \"{kind}\"\n{lines}\n")
        };
        all.iter().map(phase).collect()
    }

    #[test]
    fn settings_without_effect_are_warned_about() {
        let text = "pde = 'poisson'\ngrid = 16\n[train]\nsteps = 5\nwarmup = 6\n[distill]\n\
                    [[distill.phase]]\nkind = 'matching'\nsteps = 20\nguidance = { start = 20 }\n\
                    [[distill.phase]]\nkind = 'anchored'\nsteps = 30\nwarmup = 31\n";
        let warnings = Config::from_toml(text).unwrap().warnings();
        let expected = ["train.warmup = 6", "distill.phase[0].guidance", "distill.phase[1].warmup"];
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        for (warning, key) in warnings.iter().zip(expected) {
            assert!(warning.starts_with(key), "{warning}");
        }

        let text = text.replace("warmup = 6", "warmup = 5").replace("start = 20", "start = 19");
        let sound = Config::from_toml(&text.replace("warmup = 31", "warmup = 30")).unwrap();
        assert!(sound.warnings().is_empty(), "{:?}", sound.warnings());
    }

    #[test]
    fn the_defaults_pass() {
        assert_eq!(refusal(""), "");
        let all =
            ["warm-start", "matching", "calibrate", "anchored", "operator"].map(|kind| (kind, ""));
        assert_eq!(refusal(&phases(&all)), "");
        assert_eq!(refusal(&phases(&[("matching", "guidance = {}")])), "");
    }

    #[test]
    fn every_shipped_config_is_sound() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let config = load::load(&path, &load::Changes::default());
            assert!(config.is_ok(), "{}: {config:?}", path.display());
            count += 1;
        }
        assert!(count > 10, "{count}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (lines, name) in [
            ("[train]\nsteps = 0", "train.steps = 0"),
            ("[train]\noptimizer.learning_rate = -1.0", "train.optimizer.learning_rate = -1"),
            ("[train]\nresidual_weight = 0.0", "train.residual_weight = 0"),
            ("[train]\ndecay = 1.5", "train.decay = 1.5"),
            ("[train]\ncheckpoint_minutes = -1.0", "train.checkpoint_minutes = -1"),
            ("[distill]\nlevels = [1.0, 2.0]", "distill.levels"),
            ("[distill]\nlevels = [inf, 1.0]", "distill.levels"),
            ("[distill]\nlevels = []", "distill.levels"),
            ("[distill]\nbatch = 0", "distill.batch = 0"),
            ("[coordinates]\nkind = \"modes\"\nnoise = 1.5", "coordinates.noise = 1.5"),
            ("[coordinates]\nkind = \"joint\"\nmodes = 17", "coordinates.modes = 17"),
            ("[diffusion]\nsigma_min = nan", "diffusion.sigma_min"),
            ("[diffusion]\nsigma_max = inf", "diffusion.sigma_max"),
            ("[diffusion]\nsigma_max = 0.001", "diffusion.sigma_max = 0.001"),
            ("[net]\npatch = 3", "net.patch = 3"),
            ("[data]\nvalidation = 2", "data.validation = 2"),
            ("[data]\nseed = 1999999", "data.seed = 1999999: below 1999999"),
            (
                "[distill]\nlevels = [81.0, 3.0]\n[[distill.phase]]\nkind = \"matching\"",
                "distill.levels[0] = 81",
            ),
            ("[net]\nwidth = 1048576", "net.width"),
            ("[net]\nwidth = 12", "net.width = 12"),
            ("[net]\nmultipliers = [1, 1, 1, 1, 1]", "net.multipliers has 5 levels"),
            ("[net]\nmultipliers = [1, 1000000]", "net.multipliers[1]"),
            ("[net]\nblocks = 1000000", "net.blocks"),
        ] {
            assert!(refusal(lines).contains(name), "{lines}: {}", refusal(lines));
        }
        let message =
            Config::from_toml("pde = \"poisson\"\ngrid = 1000000").unwrap_err().to_string();
        assert!(message.contains("grid = 1000000: 8 to 4096 expected"), "{message}");
    }

    #[test]
    fn every_number_of_every_phase_is_refused_by_its_full_name() {
        for (kind, key) in [
            ("warm-start", "steps = 0"),
            ("warm-start", "decay = -0.5"),
            ("warm-start", "optimizer.learning_rate = 0"),
            ("warm-start", "calls = 0"),
            ("warm-start", "calls = 10001"),
            ("warm-start", "batches = 0"),
            ("matching", "steps = 0"),
            ("matching", "decay = 2"),
            ("matching", "optimizer.learning_rate = -1"),
            ("matching", "ln_sigma_std = -1"),
            ("matching", "ln_sigma_mean = inf"),
            ("matching", "auxiliary.steps = 0"),
            ("matching", "auxiliary.optimizer.learning_rate = -1"),
            ("matching", "auxiliary.ln_sigma_mean = nan"),
            ("matching", "auxiliary.ln_sigma_std = 0"),
            ("matching", "guidance.residual_ratio = -3"),
            ("matching", "guidance.preconditioned_ratio = -0.1"),
            ("anchored", "steps = 0"),
            ("anchored", "decay = 1.1"),
            ("anchored", "optimizer.learning_rate = 0"),
            ("anchored", "residual_weight = -1"),
            ("anchored", "preconditioned_weight = inf"),
            ("operator", "steps = 0"),
            ("operator", "decay = 2"),
            ("operator", "sweeps = 101"),
            ("operator", "error_weight = -1"),
            ("operator", "whitened_weight = nan"),
            ("operator", "residual_weight = inf"),
            ("operator", "ema_half_life = 0"),
            ("operator", "optimizer.learning_rate = 0"),
        ] {
            let message = refusal(&phases(&[(kind, key)]));
            let (name, _) = key.split_once(' ').unwrap();
            assert!(message.contains(&format!("distill.phase[0].{name} = ")), "{key}: {message}");
            assert!(message.contains("expected"), "{key}: {message}");
        }
        let message = refusal(&phases(&[(
            "matching",
            "ablation.divergence = { kind = \"sid\", alpha = nan }",
        )]));
        assert!(message.contains("distill.phase[0].ablation.divergence.alpha = NaN"), "{message}");
    }

    #[test]
    fn every_optimizer_is_checked_alike() {
        let places = [
            ("[train]", "train", ""),
            ("[[distill.phase]]\nkind = \"warm-start\"", "distill.phase[0]", ""),
            ("[[distill.phase]]\nkind = \"matching\"", "distill.phase[0]", ""),
            ("[[distill.phase]]\nkind = \"matching\"", "distill.phase[0]", "auxiliary."),
            ("[[distill.phase]]\nkind = \"anchored\"", "distill.phase[0]", ""),
            ("[[distill.phase]]\nkind = \"operator\"", "distill.phase[0]", ""),
        ];
        for (table, name, inner) in places {
            let key = format!("{inner}optimizer");
            for number in ["beta1 = 1", "beta2 = 1.5", "weight_decay = -1", "clip = inf"] {
                let lines = format!("{table}\n{key} = {{ learning_rate = 1e-3, {number} }}");
                let message = refusal(&lines);
                assert!(
                    message.contains(&format!("{name}.{key}.{number}: ")),
                    "{lines}: {message}"
                );
            }
            // A learning rate is no number to be filled in behind one's back.
            let message = refusal(&format!("{table}\n{key}.beta1 = 0.5"));
            assert!(message.contains("learning_rate"), "{message}");
        }
    }

    /// Each of these was taken and did something else than it says, or nothing.
    #[test]
    fn combinations_without_meaning_are_refused() {
        let pixel = "[coordinates]\nkind = \"pixel\"\n";
        let matching = phases(&[("matching", "")]);
        for (lines, part) in [
            // The flow's skip needs whitened modes, and so does a calibration.
            (format!("{pixel}[distill]\nskip = \"flow\"\n{matching}"), "distill.skip = \"flow\""),
            (format!("{pixel}{}", phases(&[("matching", ""), ("calibrate", "")])), "phase[1]"),
            // Guidance that is on pulls, and so does an anchored phase.
            (phases(&[("matching", "guidance.residual_ratio = -3")]), "residual_ratio = -3"),
            (
                phases(&[(
                    "matching",
                    "guidance = { residual_ratio = 0, preconditioned_ratio = 0 }",
                )]),
                "leave the table out",
            ),
            (
                phases(&[
                    ("matching", ""),
                    ("anchored", "residual_weight = 0\npreconditioned_weight = 0"),
                ]),
                "nothing is moved",
            ),
            (
                phases(&[(
                    "operator",
                    "error_weight = 0\nwhitened_weight = 0\nresidual_weight = 0",
                )]),
                "nothing is learnt",
            ),
            // Every network is held to the grid.
            (
                phases(&[("operator", "net = { multipliers = [1, 1, 1, 1, 1] }")]),
                "distill.phase[0].net.multipliers has 5 levels",
            ),
            // One type checks every optimizer.
            (
                phases(&[
                    ("matching", ""),
                    ("anchored", "optimizer = { learning_rate = 1, beta2 = 1.5 }"),
                ]),
                "distill.phase[1].optimizer.beta2 = 1.5",
            ),
            (
                phases(&[(
                    "matching",
                    "auxiliary.optimizer = { learning_rate = 1, epsilon = -1 }",
                )]),
                "epsilon",
            ),
            (phases(&[("matching", "ln_sigma_std = -1")]), "ln_sigma_std = -1"),
            (phases(&[("warm-start", "calls = 0"), ("matching", "")]), "calls = 0"),
            // Only a two-valued input is rounded.
            (format!("[distill]\nround_input = true\n{matching}"), "distill.round_input"),
            (
                phases(&[("matching", "guidance.ablation.threshold_input = true")]),
                "distill.phase[0].guidance.ablation.threshold_input",
            ),
            // Each kind of coordinates has its own keys.
            ("[coordinates]\nkind = \"modes\"\nmodes = 99".into(), "modes"),
            (format!("{pixel}noise = \"data\""), "noise"),
            (format!("{pixel}linear_predictor = true"), "linear_predictor"),
            ("[coordinates]\nkind = \"joint\"\nnoise = \"white\"".into(), "noise"),
            // A phase is there or it is not, and each has its place.
            (phases(&[("matching", ""), ("anchored", "steps = 0")]), "phase[1].steps = 0"),
            (phases(&[("calibrate", "")]), "no phase that takes steps"),
            ("[distill]\nbatch = 8".into(), "no phase that takes steps"),
            (phases(&[("matching", ""), ("warm-start", "")]), "distill.phase[1]"),
            (phases(&[("anchored", ""), ("matching", "")]), "distill.phase[1]"),
            (phases(&[("matching", ""), ("matching", "")]), "distill.phase[1]"),
            (phases(&[("operator", ""), ("anchored", "")]), "distill.phase[1]"),
            (phases(&[("operator", ""), ("operator", "")]), "distill.phase[1]"),
            (phases(&[("operator", "follows = true\nsweeps = 1")]), "sweeps = 0 is expected, 1"),
            (
                phases(&[("operator", FOLLOWS), ("operator", FOLLOWS)]),
                "distill.phase[1] is `operator`: so is the phase before it",
            ),
            (phases(&[("matching", ""), ("calibrate", ""), ("calibrate", "")]), "phase[2]"),
            ("[net]\nattention = [1]".into(), "attention"),
        ] {
            assert!(refusal(&lines).contains(part), "{lines}: {}", refusal(&lines));
        }
    }

    #[test]
    fn what_is_asked_of_the_pde_is_checked() {
        let rounds = format!("[distill]\nround_input = true\n{}", phases(&[("matching", "")]));
        assert_eq!(refusal_of("darcy", &rounds), "");
        let predictor = "[coordinates]\nkind = \"modes\"\nlinear_predictor = true";
        assert_eq!(refusal_of("navier-stokes", predictor), "");
        let message = refusal_of("burgers", predictor);
        assert!(message.contains("coordinates.linear_predictor"), "{message}");
        let solution = phases(&[("matching", ""), ("calibrate", "channels = \"solution\"")]);
        assert_eq!(refusal(&solution), "");
        let message = refusal_of("burgers", &solution);
        assert!(message.contains("distill.phase[1].channels"), "{message}");
    }
}
