//! The rows as CSV and as the short tables.

use super::Row;
use super::charts::error_against_latency;
use super::page::{Picture, Section};
use crate::Result;
use crate::plot::ticks::significant;

/// A column: its name, and a function that returns a row's value.
type Column = (&'static str, fn(&Row) -> String);

/// The measures in the order of the tables.
const FIGURES: [Column; 16] = [
    ("pde_error", |r| exact(r.pde_error)),
    ("pde_error_sd", |r| exact(r.pde_error_sd)),
    ("data_floor", |r| exact(r.data_floor)),
    ("solution_error", |r| maybe(r.solution_error)),
    ("solution_error_sd", |r| maybe(r.solution_error_sd)),
    ("rounded_solution_error", |r| maybe(r.rounded_solution_error)),
    ("refused_share", |r| exact(r.refused_share)),
    ("sliced_wasserstein", |r| exact(r.sliced_wasserstein)),
    ("sliced_wasserstein_sd", |r| exact(r.sliced_wasserstein_sd)),
    ("sliced_wasserstein_floor", |r| exact(r.sliced_wasserstein_floor)),
    ("std_ratio", |r| list(&r.std_ratio)),
    ("spectrum_error", |r| list(&r.spectrum_error)),
    ("high_share", |r| r.high_share.map_or(String::new(), |both| list(&both))),
    ("weight", |r| maybe(r.key.weight)),
    ("latency_s", |r| exact(r.latency_s)),
    ("throughput", |r| exact(r.throughput)),
];

const KEYS: [Column; 9] = [
    ("pde", |r| r.key.pde.clone()),
    ("method", |r| r.key.method.to_string()),
    ("preconditioning", |r| r.key.preconditioning.map_or(String::new(), |p| p.name().into())),
    ("regress", |r| r.key.regress.to_string()),
    ("steps", |r| r.key.steps.to_string()),
    ("nfe", |r| r.nfe.to_string()),
    ("grid", |r| r.key.grid.to_string()),
    ("count", |r| r.key.count.to_string()),
    ("seeds", |r| r.key.seeds.len().to_string()),
];

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

/// The head of the short table.
pub const HEAD: [&str; 10] = [
    "method",
    "steps",
    "passes",
    "samples",
    "PDE error",
    "solution error",
    "sliced Wasserstein",
    "deviation / data's",
    "latency",
    "samples / s",
];

/// The cells of the short table.
pub fn cells(row: &Row) -> [String; 10] {
    let short = |v: f64| significant(v, 3);
    let spread = |mean: f64, sd: f64| match row.key.seeds.len() {
        1 => short(mean),
        _ => format!("{} ± {}", short(mean), significant(sd, 1)),
    };
    let ratios: Vec<String> = row.std_ratio.iter().map(|r| format!("{r:.2}")).collect();
    [
        match row.key.coordinates() {
            Some(kind) => format!("{} ({kind})", row.key.method),
            None => row.key.method.to_string(),
        },
        row.key.steps.to_string(),
        row.nfe.to_string(),
        format!("{} x {}", row.key.count, row.key.seeds.len()),
        spread(row.pde_error, row.pde_error_sd),
        solution(row),
        format!(
            "{} (data {})",
            spread(row.sliced_wasserstein, row.sliced_wasserstein_sd),
            short(row.sliced_wasserstein_floor)
        ),
        ratios.join(", "),
        format!("{} ms", short(1e3 * row.latency_s)),
        short(row.throughput),
    ]
}

/// The solution error, with the share of refused samples if there are any.
fn solution(row: &Row) -> String {
    let short = |v: f64| significant(v, 3);
    let rounded = row.rounded_solution_error.map(|e| format!(", input rounded {}", short(e)));
    let refused = (row.refused_share > 0.0)
        .then(|| format!(", {} % refused", significant(100.0 * row.refused_share, 2)));
    let own = row.solution_error.map_or("none solved".into(), short);
    own + &rounded.unwrap_or_default() + &refused.unwrap_or_default()
}

/// The sections of the page, one per PDE, with no picture but the paper's Figure 1.
///
/// # Errors
/// Fails for figures that cannot be drawn.
pub fn sections(rows: &[Row]) -> Result<Vec<Section>> {
    rows.chunk_by(|a, b| a.key.pde == b.key.pde).map(section).collect()
}

fn section(rows: &[Row]) -> Result<Section> {
    let first = &rows[0];
    let caption = "PDE error against the latency of one sample; every dot is one number of steps.";
    let chart = error_against_latency(rows).drawing()?.to_svg()?;
    Ok(Section {
        title: format!("{}, {1} x {1}", first.key.pde, first.key.grid),
        lead: Some(Picture { caption: caption.into(), svg: chart }),
        head: HEAD.map(str::to_owned).into(),
        lines: rows.iter().map(|row| cells(row).into()).collect(),
        note: format!("Held-out data has the PDE error {}.", significant(first.data_floor, 3)),
        pictures: Vec::new(),
    })
}
