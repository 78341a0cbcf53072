//! The rows as CSV.

use phys_instruct_physics::Grid;

use super::Row;

/// A column: its name, and a function that returns a row's value.
type Column = (&'static str, fn(&Row) -> String);

/// The measures in the order of the tables.
const FIGURES: [Column; 16] = [
    ("pde_error", |r| exact(r.pde_error)),
    ("pde_error_sd", |r| exact(r.pde_error_sd)),
    ("data_floor", |r| exact(r.data_floor)),
    ("solution_error", |r| maybe(r.solution_error)),
    ("solution_error_sd", |r| maybe(r.solution_error_sd)),
    ("refused_share", |r| exact(r.refused_share)),
    ("sliced_wasserstein", |r| exact(r.sliced_wasserstein)),
    ("sliced_wasserstein_sd", |r| exact(r.sliced_wasserstein_sd)),
    ("sliced_wasserstein_floor", |r| exact(r.sliced_wasserstein_floor)),
    ("std_ratio", |r| list(&r.std_ratio)),
    ("spectrum_error_max", |r| list(&r.spectrum_error_max)),
    ("high_share", |r| r.high_share.map_or(String::new(), |both| list(&both))),
    ("weight", |r| maybe(r.key.weight)),
    ("share", |r| maybe(r.key.share)),
    ("latency_seconds", |r| exact(r.latency_seconds)),
    ("throughput", |r| exact(r.throughput)),
];

const KEYS: [Column; 10] = [
    ("pde", |r| r.key.pde.clone()),
    ("method", |r| r.key.method.to_string()),
    ("coordinates", |r| r.key.coordinates.map_or(String::new(), |c| c.name().into())),
    ("linear_predictor", |r| r.key.linear_predictor.to_string()),
    ("steps", |r| r.key.steps.to_string()),
    ("calls", |r| r.calls.to_string()),
    ("sweeps", |r| r.key.sweeps.map_or(String::new(), |sweeps| sweeps.to_string())),
    ("grid", |r| grid(r.key.grid)),
    ("count", |r| r.key.count.to_string()),
    ("seeds", |r| r.key.seeds.len().to_string()),
];

/// A number for a square grid on the unit square, else points and sides in words.
fn grid(grid: Grid) -> String {
    match grid.is_unit() && grid.is_square() {
        true => grid.nx.to_string(),
        false => grid.to_string(),
    }
}

fn exact(value: f64) -> String {
    value.to_string()
}

fn maybe(value: Option<f64>) -> String {
    value.map(exact).unwrap_or_default()
}

fn list(values: &[f64]) -> String {
    values.iter().map(|v| exact(*v)).collect::<Vec<_>>().join(" ")
}

/// All measures as CSV, one line a row. Lists are separated by spaces.
pub fn csv(rows: &[Row]) -> String {
    let columns = || KEYS.iter().chain(&FIGURES);
    let mut text = columns().map(|c| c.0).collect::<Vec<_>>().join(",") + "\n";
    for row in rows {
        text += &(columns().map(|c| c.1(row)).collect::<Vec<_>>().join(",") + "\n");
    }
    text
}
