//! One line of the table of unconditional sampling: one method at one number of steps, measured
//! over several sampling seeds.

use std::path::Path;

use phys_instruct_physics::Grid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::method::SamplingMethod;
use crate::config::CoordinatesKind;
use crate::eval::{Distribution, Report};
use crate::store::atomic::append_line;
use crate::store::file::{MAX_BYTES, read_text};
use crate::{Error, Result};

/// The conditions of a row. Rows of the same key on one machine are the same measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The PDE.
    pub pde: String,
    /// The method.
    pub method: SamplingMethod,
    /// The coordinates `pixel`, `modes` or `joint`; none for the solver.
    #[serde(alias = "preconditioning")]
    pub coordinates: Option<CoordinatesKind>,
    /// Tells whether the solution is taken less its linear prediction from the input.
    #[serde(default, alias = "regress")]
    pub linear_predictor: bool,
    /// The number of sampler steps; 0 for the solver.
    pub steps: usize,
    /// The grid.
    #[serde(with = "crate::grid")]
    pub grid: Grid,
    /// The number of samples per seed.
    pub count: usize,
    /// The sampling seeds.
    pub seeds: Vec<u64>,
    /// The weight of the baseline's guidance, or the size of its correction.
    pub weight: Option<f64>,
    /// The share of the steps, the last ones, that DiffusionPDE guides; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The number of sweeps by which the samples are polished; none for samples as drawn.
    #[serde(default)]
    pub sweeps: Option<usize>,
    /// The most samples per seed that are solved for the solution error.
    pub solved: usize,
    /// The number of threads.
    pub threads: usize,
    /// The graphics processor on which the networks ran; none for the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The SHA-256 of the model file.
    pub model: Option<String>,
    /// The edition of methods and measures, [`EDITION`]; 1 for rows that do not tell it.
    #[serde(default = "first_edition")]
    pub edition: u32,
}

/// The edition of methods and measures. It rises where a row of the same conditions would have
/// another figure, so that no table mixes the two.
pub const EDITION: u32 = 2;

fn first_edition() -> u32 {
    1
}

impl Key {
    /// The model's coordinates in words; none for the solver.
    pub fn coordinates_in_words(&self) -> Option<String> {
        let predictor = if self.linear_predictor { ", linear predictor" } else { "" };
        self.coordinates.map(|kind| format!("{}{predictor}", kind.name()))
    }

    /// The method as the table names it: with the model's coordinates, if it has a model, and with
    /// the polish of its samples.
    pub fn label(&self) -> String {
        let polish = if self.sweeps.is_some() { " + polish" } else { "" };
        match self.coordinates_in_words() {
            Some(kind) => format!("{}{polish} ({kind})", self.method),
            None => self.method.to_string(),
        }
    }
}

/// The measures of one row, averaged over seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The conditions of the row.
    #[serde(flatten)]
    pub key: Key,
    /// The number of network calls per sample, a backward pass counted as a call.
    #[serde(alias = "nfe")]
    pub calls: usize,
    /// The relative RMS residual.
    pub pde_error: f64,
    /// The standard deviation of the residual over seeds.
    pub pde_error_sd: f64,
    /// The relative RMS residual of held-out data.
    pub data_floor: f64,
    /// |u - S(a)| / |S(a)|; none if no sample could be solved.
    pub solution_error: Option<f64>,
    /// The standard deviation of the solution error over seeds.
    pub solution_error_sd: Option<f64>,
    /// The share of the samples whose input the solver refused. They are not in the solution error.
    pub refused_share: f64,
    /// The sliced Wasserstein distance to held-out data.
    pub sliced_wasserstein: f64,
    /// The standard deviation of the sliced Wasserstein distance over seeds.
    pub sliced_wasserstein_sd: f64,
    /// The sliced Wasserstein distance of two parts of the held-out data.
    pub sliced_wasserstein_floor: f64,
    /// The standard deviation relative to the data's, per channel.
    pub std_ratio: Vec<f64>,
    /// The largest relative error of the radial spectrum up to half the Nyquist wavenumber, per
    /// channel.
    #[serde(alias = "spectrum_error")]
    pub spectrum_error_max: Vec<f64>,
    /// The share of values nearer the higher of the two that the input takes, and the data's share.
    pub high_share: Option<[f64; 2]>,
    /// The median seconds for one sample drawn by itself.
    #[serde(alias = "latency_s")]
    pub latency_seconds: f64,
    /// The number of samples a second, drawn all together (in batches of 64).
    pub throughput: f64,
}

/// The measures of one seed.
pub struct Measured {
    /// The figures.
    pub report: Report,
    /// The number of network calls per sample.
    pub calls: usize,
    /// The seconds it took to draw all samples.
    pub seconds: f64,
}

impl Row {
    /// Makes the row from the measurements of all seeds, at least one, and the latency of one
    /// sample.
    pub fn of(key: Key, measured: &[Measured], latency_seconds: f64) -> Self {
        let over = |f: &dyn Fn(&Report) -> f64| {
            mean_and_sd(&measured.iter().map(|m| f(&m.report)).collect::<Vec<_>>())
        };
        let solved: Vec<f64> = measured.iter().filter_map(|m| m.report.solution_error).collect();
        let solution = (!solved.is_empty()).then(|| mean_and_sd(&solved));
        // Tables are of PDEs with an equation alone, so that there is a PDE error.
        let (pde_error, pde_error_sd) = over(&|r| r.pde_error.unwrap_or(f64::NAN));
        // Two samples or more are drawn, so that there is a distribution.
        let law = |f: &dyn Fn(&Distribution) -> f64| {
            over(&|r| r.distribution.as_ref().map_or(f64::NAN, f))
        };
        let (sliced_wasserstein, sliced_wasserstein_sd) = law(&|d| d.sliced_wasserstein);
        let first = measured.first().and_then(|m| m.report.distribution.as_ref());
        let channels = first.map_or(0, |d| d.std_ratio.len());

        let seconds: f64 = measured.iter().map(|m| m.seconds).sum();
        let mean_of = |f: &dyn Fn(&Report) -> Option<f64>| {
            let all: Vec<f64> = measured.iter().filter_map(|m| f(&m.report)).collect();
            (!all.is_empty()).then(|| mean_and_sd(&all).0)
        };

        let high = mean_of(&|r| r.marginal.two_valued.as_ref().map(|t| t.high_share));
        let data_high =
            mean_of(&|r| r.marginal.two_valued.as_ref().map(|t| t.high_share_reference));

        Self {
            calls: measured.first().map_or(0, |m| m.calls),
            pde_error,
            pde_error_sd,
            data_floor: over(&|r| r.data_floor.unwrap_or(f64::NAN)).0,
            refused_share: over(&|r| r.refused as f64 / (r.refused + r.solved).max(1) as f64).0,
            solution_error: solution.map(|s| s.0),
            solution_error_sd: solution.map(|s| s.1),
            sliced_wasserstein,
            sliced_wasserstein_sd,
            sliced_wasserstein_floor: law(&|d| d.sliced_wasserstein_floor).0,
            std_ratio: (0..channels).map(|c| law(&|d| d.std_ratio[c]).0).collect(),
            spectrum_error_max: (0..channels)
                .map(|c| law(&|d| d.spectrum_error[c].max).0)
                .collect(),
            high_share: high.zip(data_high).map(|(own, data)| [own, data]),
            latency_seconds,
            throughput: (key.count * measured.len()) as f64 / seconds,
            key,
        }
    }
}

/// Reads the rows of a file of one JSON object a line; none if there is no such file. Lines that
/// are not rows are ignored.
///
/// # Errors
/// Fails for a file that cannot be read.
pub fn read_rows<R: DeserializeOwned>(path: &Path) -> Result<Vec<R>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = read_text(path, MAX_BYTES)?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Appends `row` as a line of such a file.
///
/// # Errors
/// Fails for a file that cannot be written.
pub fn append_row(path: &Path, row: &impl Serialize) -> Result<()> {
    let bad = |e: serde_json::Error| Error::BadFile { path: path.into(), reason: e.to_string() };
    append_line(path, &serde_json::to_string(row).map_err(bad)?)
}

/// The mean and the unbiased standard deviation; the latter is 0 for a single value.
pub(super) fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (mean, (square / (n - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn key(grid: Grid) -> Key {
        Key {
            pde: "poisson".into(),
            method: SamplingMethod::PhysInstruct,
            coordinates: Some(CoordinatesKind::Joint),
            linear_predictor: true,
            steps: 1,
            grid,
            count: 4,
            seeds: vec![0],
            weight: None,
            share: None,
            sweeps: None,
            solved: 4,
            threads: 2,
            adapter: None,
            model: None,
            edition: EDITION,
        }
    }

    /// A key as a part of something else, as rows hold it.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Part {
        #[serde(flatten)]
        key: Key,
    }

    fn read(value: Value) -> Key {
        serde_json::from_value::<Part>(value).unwrap().key
    }

    #[test]
    fn a_row_s_words_are_those_of_configs_and_older_ones_are_read() {
        let own = key(Grid::square(64));
        let value = serde_json::to_value(Part { key: own.clone() }).unwrap();
        assert_eq!(
            [&value["coordinates"], &value["linear_predictor"], &value["grid"]],
            [&json!("joint"), &json!(true), &json!(64)]
        );
        let mut old = value.clone();
        let all = old.as_object_mut().unwrap();
        for (now, then) in [("coordinates", "preconditioning"), ("linear_predictor", "regress")] {
            let held = all.remove(now).unwrap();
            all.insert(then.into(), held);
        }
        assert_eq!([read(value), read(old)], [own.clone(), own]);
    }

    #[test]
    fn a_rectangle_is_written_as_in_cards() {
        let own = key(Grid { ny: 40, nx: 56, ly: 0.6, lx: 1.0 });
        let value = serde_json::to_value(Part { key: own.clone() }).unwrap();
        assert_eq!(value["grid"], json!({ "points": [40, 56], "sides": [0.6, 1.0] }));
        assert_eq!(read(value), own);
    }
}
