//! The table of `bench conditional`.

use phys_instruct::bench::conditional::{Key, Row};
use phys_instruct_report::number::significant;
use phys_instruct_report::page::Section;

/// The head of the table.
const HEAD: [&str; 13] = [
    "task",
    "observed",
    "noise",
    "method",
    "error",
    "of one member",
    "limit",
    "within 90 %",
    "CRPS",
    "misfit",
    "PDE error",
    "calls",
    "one answer",
];

fn cells(row: &Row) -> [String; 13] {
    let short = |v: f64| significant(v, 3);
    let maybe = |v: Option<f64>| v.map_or("-".to_owned(), short);
    let Key { task, method, steps, points, sensors, noise, .. } = &row.key;
    let steps = if *steps > 0 { format!(", {steps} steps") } else { String::new() };

    [
        task.to_string(),
        sensors.map_or(format!("{points} points"), |n| format!("{n} sensors")),
        noise.to_string(),
        format!("{method}{steps}"),
        format!("{} ± {}", short(row.error), short(row.error_sd)),
        maybe(row.member_error),
        maybe(row.bayes_limit),
        maybe(row.coverage90),
        short(row.crps),
        short(row.misfit),
        maybe(row.pde_error),
        row.calls.to_string(),
        format!("{} ms", short(1e3 * row.seconds)),
    ]
}

/// One section per PDE, without pictures.
pub fn sections(rows: &[Row]) -> Vec<Section> {
    let section = |rows: &[Row]| {
        let Row { key, data_floor, .. } = &rows[0];
        Section {
            title: format!("{}, {}", key.pde, key.grid),
            lead: None,
            head: HEAD.map(str::to_owned).into(),
            lines: rows.iter().map(|row| cells(row).into()).collect(),
            note: format!("The true fields have the PDE error {}.", significant(*data_floor, 3)),
            pictures: Vec::new(),
        }
    };
    rows.chunk_by(|a, b| a.key.pde == b.key.pde).map(section).collect()
}
