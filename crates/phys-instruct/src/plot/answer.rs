//! The answer to a conditional question: for each channel the truth (if it is known), the mean, its
//! error and the spread, and where it was observed.

use super::drawing::{Anchor, Drawing, INK, Item, WHITE, text_width};
use super::sheet::{Column, HEAD, MARGIN, PANEL, Row, Sheet, left_of};
use crate::condition::{Observations, Posterior};
use crate::{Result, Samples};

/// Side of a mark at an observed point, in pixels.
const MARK: f64 = 3.0;
/// Fields observed at a larger share of their points are not marked.
const SPARSE: f64 = 0.2;

/// Size of the words below the picture, and the height of a line, in pixels.
const WORDS: f64 = 11.0;
const LINE: f64 = 16.0;

/// The picture under a `headline` and over the `words` of what does not fit; `truth` is a joint
/// sample `[channel, y, x]`.
///
/// # Errors
/// Values that are not finite.
pub fn answer(
    posterior: &Posterior,
    observations: &Observations,
    truth: Option<&[f32]>,
    headline: &str,
    words: &[&str],
) -> Result<Drawing> {
    let known = Known { truth, mean: posterior.mean(), spread: posterior.deviation() };
    let mut page: Option<Drawing> = None;
    for channel in 0..posterior.samples.channels.len() {
        let title = if channel == 0 { headline } else { "" };
        let part = of_channel(&posterior.samples, observations, &known, channel, title)?;
        match &mut page {
            None => page = Some(part),
            Some(page) => page.below(part),
        }
    }
    let mut page =
        page.ok_or_else(|| crate::Error::Picture("a posterior without channels".into()))?;
    words.iter().for_each(|words| caption(&mut page, &format!("Warning: {words}")));
    Ok(page)
}

/// Sets words below what is there, as many lines as they need.
fn caption(page: &mut Drawing, words: &str) {
    let width = page.width - left_of(0) - MARGIN;
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let line = lines.last().map_or("", String::as_str);
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        match lines.last_mut() {
            Some(line) if line.is_empty() || text_width(&longer, WORDS) <= width => *line = longer,
            _ => lines.push(word.to_owned()),
        }
    }
    for line in lines {
        page.text([left_of(0), page.height], &line, WORDS, Anchor::Start, INK);
        page.height += LINE;
    }
}

/// Joint samples, `[channel, y, x]`.
struct Known<'a> {
    truth: Option<&'a [f32]>,
    mean: Vec<f32>,
    spread: Vec<f32>,
}

fn of_channel(
    samples: &Samples,
    observations: &Observations,
    known: &Known,
    channel: usize,
    headline: &str,
) -> Result<Drawing> {
    let points = samples.height * samples.width;
    let name = &samples.channels[channel];
    let field = |all: &[f32]| all[channel * points..][..points].to_vec();
    let (mean, spread) = (field(&known.mean), field(&known.spread));
    let mut sheet = Sheet {
        headline: headline.into(),
        height: samples.height,
        width: samples.width,
        columns: Vec::new(),
        rows: vec![Row { label: name.clone(), fields: Vec::new() }],
    };
    if let Some(truth) = known.truth.map(field) {
        let error = mean.iter().zip(&truth).map(|(m, t)| m - t).collect::<Vec<f32>>();
        let column = |title: &str| Column {
            title: format!("{name}, {title}"),
            ..Column::fitted("", truth.iter())
        };
        sheet.add(column("truth"), vec![truth.clone()]);
        sheet.add(column("mean"), vec![mean]);
        let largest = error.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let title = format!("{name}, mean - truth");
        sheet.add(Column::symmetric(&title, largest.into()), vec![error]);
    } else {
        sheet.add(Column::fitted(&format!("{name}, mean"), mean.iter()), vec![mean.clone()]);
    }
    let title = format!("{name}, standard deviation");
    sheet.add(Column::fitted(&title, spread.iter()), vec![spread.clone()]);
    let mut page = sheet.drawing()?;
    let seen = if known.truth.is_some() { 1 } else { 0 };
    mark(&mut page, observations, channel, seen);
    Ok(page)
}

/// Marks the observed points of `channel` on the panel of a column.
fn mark(page: &mut Drawing, observations: &Observations, channel: usize, column: usize) {
    let size = observations.size() as f64;
    let seen = || observations.points().iter().filter(|p| p.channel == channel);
    if seen().count() as f64 > SPARSE * size * size {
        return;
    }
    for point in seen() {
        let x = left_of(column) + (point.column + 0.5) * PANEL / size;
        let y = HEAD + PANEL - (point.row + 0.5) * PANEL / size;
        for (side, color) in [(MARK, WHITE), (MARK - 1.0, INK)] {
            let at = [x - side / 2.0, y - side / 2.0];
            page.items.push(Item::Rect { at, size: [side; 2], color });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::condition::Observation;
    use crate::eval::testing::gaussian_samples;

    #[test]
    fn every_channel_has_its_panels_and_marks() {
        let mut samples = gaussian_samples(4, 2, 16, 1);
        samples.channels = vec!["a".into(), "u".into()];
        let truth = samples.sample(0).to_vec();
        let point = |row| Observation::at_point(1, row, 3, 0.1, Some(0.0));
        let observations =
            Observations::new(&samples.channels, 16, vec![point(0), point(5)]).unwrap();
        let posterior = Posterior::of(samples, false, 4);
        let count = |page: &Drawing| {
            let images = page.items.iter().filter(|i| matches!(i, Item::Image { .. })).count();
            let marks = page.items.iter().filter(|i| matches!(i, Item::Rect { .. })).count();
            (images, marks)
        };
        let with = answer(&posterior, &observations, Some(&truth), "known", &[]).unwrap();
        assert_eq!(count(&with), (2 * 4 + 2 * 4, 2 * 2));
        let without = answer(&posterior, &observations, None, "unknown", &[]).unwrap();
        assert_eq!(count(&without), (2 * 2 + 2 * 2, 2 * 2));
        let words = "one of its values is far from what this model knows, ".repeat(9);
        let told = answer(&posterior, &observations, None, "unknown", &[&words]).unwrap();
        assert!(told.height > without.height + 2.0 * LINE && told.width == without.width);
        let lowest = with.items.iter().rev().find_map(|item| match item {
            Item::Rect { at, .. } => Some(at[1]),
            _ => None,
        });
        assert!(lowest.unwrap() > with.height / 2.0);
    }
}
