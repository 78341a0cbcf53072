//! The picture of an answer to a conditional question. For each channel it shows the truth (if it
//! is known), the mean and a member on one scale, the mean's error, the spread, and the observed
//! places.

use phys_instruct::condition::{Observations, Posterior};
use phys_instruct_physics::{Channel, Pde};
use phys_instruct_report::sheet::{Panel, Row, Scale, Sheet};
use phys_instruct_report::{Canvas, Result};

use crate::empty_sheet;

/// Fields observed at a larger share of their points are not marked.
const SPARSE: f64 = 0.2;

/// An answer with its texts.
pub struct Answered<'a> {
    /// The members.
    pub posterior: &'a Posterior,
    /// The observations behind the answer.
    pub observations: &'a Observations,
    /// The true fields, `[channel, y, x]`.
    pub truth: Option<&'a [f32]>,
    /// The first line.
    pub title: &'a str,
    /// The origin of the answer, written below the title.
    pub caption: &'a str,
    /// Paragraphs below the fields.
    pub notes: Vec<String>,
}

/// Joint samples `[channel, y, x]` that the picture shows.
struct Shown<'a> {
    truth: Option<&'a [f32]>,
    mean: Vec<f32>,
    member: Option<&'a [f32]>,
    /// The mean less the truth; empty where that is unknown.
    error: Vec<f32>,
    spread: Vec<f32>,
}

/// Draws the answer.
///
/// # Errors
/// Fails for a truth of another size, and for values that are not finite.
pub fn draw(pde: &dyn Pde, answered: &Answered) -> Result<Canvas> {
    let posterior = answered.posterior;
    let mean = posterior.mean();
    let difference = |truth: &[f32]| mean.iter().zip(truth).map(|(m, t)| m - t).collect();

    let shown = Shown {
        truth: answered.truth,
        error: answered.truth.map(difference).unwrap_or_default(),
        mean,
        member: (posterior.samples.count > 1).then(|| posterior.samples.sample(0)),
        spread: posterior.deviation(),
    };

    let mut sheet = empty_sheet(pde, posterior.samples.grid(), answered.title, answered.caption);
    for (c, channel) in pde.channels().iter().enumerate() {
        add_row(&mut sheet, &shown, c, channel, answered.observations);
    }
    sheet.notes = answered.notes.clone();
    sheet.canvas()
}

/// Adds the row of one channel.
fn add_row<'a>(
    sheet: &mut Sheet<'a>,
    shown: &'a Shown,
    c: usize,
    channel: &Channel,
    observations: &Observations,
) {
    let points = sheet.size[0] * sheet.size[1];
    let of_channel = |all: &'a [f32]| all.get(c * points..(c + 1) * points).unwrap_or_default();
    let first = sheet.scales.len();
    let panel = |title: &str, all, scale| Panel {
        title: title.into(),
        field: of_channel(all),
        scale: first + scale,
        marks: Vec::new(),
    };

    let mut panels = Vec::new();
    panels.extend(shown.truth.map(|all| panel("truth", all, 0)));
    let seen = panels.len();
    panels.push(panel("mean, and observed places", &shown.mean, 0));
    panels.extend(shown.member.map(|all| panel("a member", all, 0)));

    let values = panels.iter().flat_map(|panel| panel.field);
    let name = &channel.name;
    let mut scales = vec![Scale::fitted(&format!("{name}, {}", channel.in_words()), values)];

    if !shown.error.is_empty() {
        let largest = of_channel(&shown.error).iter().fold(0.0f32, |m, v| m.max(v.abs()));
        panels.push(panel("mean − truth", &shown.error, scales.len()));
        scales.push(Scale::symmetric(&format!("error of {name}"), largest.into()));
    }

    panels.push(panel("standard deviation", &shown.spread, scales.len()));
    let spread = of_channel(&shown.spread);
    scales.push(Scale::fitted(&format!("deviation of {name}"), spread));

    let marks = places(sheet, observations, c);
    if marks.is_empty() {
        panels[seen].title = "mean".into();
    }
    panels[seen].marks = marks;
    sheet.scales.extend(scales);
    sheet.rows.push(Row { label: name.clone(), panels });
}

/// The coordinates `[x, y]` at which a channel was observed; none where it was at many.
fn places(sheet: &Sheet, observations: &Observations, channel: usize) -> Vec<[f64; 2]> {
    let at = |place: f64, points: usize, [low, high]: [f64; 2]| {
        low + (place + 0.5) / points as f64 * (high - low)
    };
    let [height, width] = sheet.size;
    let of_channel = observations.points().iter().filter(|point| point.channel == channel);
    let places: Vec<[f64; 2]> = of_channel
        .map(|p| [at(p.column, width, sheet.x.range), at(p.row, height, sheet.y.range)])
        .collect();
    let many = places.len() as f64 > SPARSE * (height * width) as f64;
    if many { Vec::new() } else { places }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicBool;

    use phys_instruct::condition::Observation;
    use phys_instruct::data::{self, Watch};
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;

    #[test]
    fn every_channel_has_its_panels_and_marks() {
        let pde = by_name("darcy").unwrap();
        let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
        let samples = data::generate(pde.as_ref(), Grid::square(16), 1, 4, &mut watch).unwrap();
        let truth = samples.sample(0).to_vec();
        let point = |row| Observation::at_point(1, row, 3, 0.1, Some(0.0));
        let observations =
            Observations::new(&samples.channels, Grid::square(16), vec![point(0), point(5)])
                .unwrap();
        let posterior = Posterior::of(samples, false, 4);
        let drawn = |truth, notes: &[&str]| {
            let answered = Answered {
                posterior: &posterior,
                observations: &observations,
                truth,
                title: "darcy",
                caption: "Model m.",
                notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            };
            draw(pde.as_ref(), &answered).unwrap()
        };
        let count = |canvas: &Canvas| {
            let svg = canvas.to_svg();
            ["<image", "<circle"].map(|element| svg.matches(element).count())
        };
        // Two channels of five panels and three bars, or of three panels and two bars.
        assert_eq!(count(&drawn(Some(&truth), &[])), [2 * (5 + 3), 2]);
        assert_eq!(count(&drawn(None, &[])), [2 * (3 + 2), 2]);
        let words = "one of its values is far from what this model knows, ".repeat(9);
        let [without, told] = [drawn(None, &[]), drawn(None, &[&words])];
        assert!(told.height > without.height + 30.0 && told.width == without.width);
    }
}
