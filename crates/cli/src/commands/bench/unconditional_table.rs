//! The tables of `bench unconditional`.

use phys_instruct::bench::Row;
use phys_instruct_report::number::significant;
use phys_instruct_report::page::{Picture, Section};

use super::charts::error_against_latency;
use crate::failure::Failure;

/// The head of the short table.
const HEAD: [&str; 10] = [
    "method",
    "steps",
    "calls",
    "samples",
    "PDE error",
    "solution error",
    "sliced Wasserstein",
    "deviation / data's",
    "latency",
    "samples / s",
];

/// The cells of the short table.
fn cells(row: &Row) -> [String; 10] {
    let short = |v: f64| significant(v, 3);
    let spread = |mean: f64, sd: f64| match row.key.seeds.len() {
        1 => short(mean),
        _ => format!("{} ± {}", short(mean), significant(sd, 1)),
    };
    let ratios: Vec<String> = row.std_ratio.iter().map(|r| format!("{r:.2}")).collect();

    [
        row.key.label(),
        row.key.steps.to_string(),
        row.calls.to_string(),
        format!("{} x {}", row.key.count, row.key.seeds.len()),
        spread(row.pde_error, row.pde_error_sd),
        solution(row),
        format!(
            "{} (data {})",
            spread(row.sliced_wasserstein, row.sliced_wasserstein_sd),
            short(row.sliced_wasserstein_floor)
        ),
        ratios.join(", "),
        format!("{} ms", short(1e3 * row.latency_seconds)),
        short(row.throughput),
    ]
}

/// The solution error, with the share of refused samples where there are any.
fn solution(row: &Row) -> String {
    let short = |v: f64| significant(v, 3);
    let refused = (row.refused_share > 0.0)
        .then(|| format!(", {} % refused", significant(100.0 * row.refused_share, 2)));
    let own = row.solution_error.map_or("none solved".into(), short);
    own + &refused.unwrap_or_default()
}

/// One section per PDE, without pictures but the paper's Figure 1.
///
/// # Errors
/// Figures that cannot be drawn.
pub fn sections(rows: &[Row]) -> Result<Vec<Section>, Failure> {
    rows.chunk_by(|a, b| a.key.pde == b.key.pde).map(section).collect()
}

fn section(rows: &[Row]) -> Result<Section, Failure> {
    let first = &rows[0];
    let caption = "PDE error against the latency of one sample; every dot is one number of steps.";
    let chart = error_against_latency(rows).canvas()?.to_svg();
    Ok(Section {
        title: format!("{}, {}", first.key.pde, first.key.grid),
        lead: Some(Picture { caption: caption.into(), svg: chart }),
        head: HEAD.map(str::to_owned).into(),
        lines: rows.iter().map(|row| cells(row).into()).collect(),
        note: format!("Held-out data has the PDE error {}.", significant(first.data_floor, 3)),
        pictures: Vec::new(),
    })
}
