//! The page of an answer: its fields, the settings and figures behind it, and how it agrees with
//! the observations.

use phys_instruct::condition::Answer;
use phys_instruct::condition::digits::{place, within};
use phys_instruct::condition::explained::Fit;
use phys_instruct_physics::Pde;
use phys_instruct_report::Result;
use phys_instruct_report::lines::{Axis, Chart, Series};
use phys_instruct_report::number::plain;
use phys_instruct_report::page::{self, Picture, Section};

use crate::answer::{self, Answered};

/// The most observations that the page lists; a table of its own holds them all.
const LISTED: usize = 200;
/// The bars of the histogram of ranks.
const BARS: usize = 10;

/// The texts of the page.
pub struct Texts {
    /// The settings and figures, each with its name.
    pub figures: Vec<(String, String)>,
    /// The command that makes the page again.
    pub command: String,
    /// Advice on the place of one more value.
    pub advice: Option<String>,
    /// The place of those observations that the page does not list.
    pub all: &'static str,
}

/// The page as HTML, with its pictures inside.
///
/// # Errors
/// Fails as [`answer::draw`] does.
pub fn html(pde: &dyn Pde, answered: &Answered, answer: &Answer, texts: &Texts) -> Result<String> {
    let picture = |svg: String, caption: &str| Picture { caption: caption.into(), svg };
    let fields = Section {
        title: "Fields".into(),
        lead: Some(picture(answer::draw(pde, answered)?.to_svg(), "")),
        note: texts.advice.clone().unwrap_or_default(),
        ..Section::default()
    };

    let cells = |(name, value): &(String, String)| vec![name.clone(), value.clone()];
    let figures = Section {
        title: "Settings and figures".into(),
        head: ["", ""].map(str::to_owned).into(),
        lines: texts.figures.iter().map(cells).collect(),
        note: format!("Made by: {}", texts.command),
        ..Section::default()
    };

    let mut observations = table(answer, texts.all);
    let fits = &answer.explained.fits;
    observations.pictures.push(picture(
        one_to_one(fits).canvas()?.to_svg(),
        "Given values and the answer at their places, in deviations of the given values of each \
         field. On the line they agree.",
    ));
    if let Some(ranks) = ranks(fits) {
        observations.pictures.push(picture(
            ranks.canvas()?.to_svg(),
            "Ranks of the given values in what the model expects of each from all others. Near 1 \
             everywhere if errors and model are right: high ends say that errors are larger than \
             stated, a high middle that they are smaller.",
        ));
    }

    Ok(page::html(answered.title, answered.caption, &[fields, figures, observations]))
}

/// The table of the observations, those that the answer misses by most first. `all` says where all
/// of them are.
fn table(answer: &Answer, all: &str) -> Section {
    let mut fits: Vec<&Fit> = answer.explained.fits.iter().collect();
    fits.sort_by(|a, b| b.chi.total_cmp(&a.chi));
    let line = |fit: &&Fit| {
        let [y, x] = place([fit.y, fit.x], answer.observations.grid());
        let left_out = fit.left_out.map_or("-".into(), |left| {
            let value = within(left.value, left.sd);
            format!("{value} ± {} ({})", plain(left.sd), plain(left.distance))
        });
        vec![
            match &fit.name {
                Some(name) => format!("{}, {name}", fit.number),
                None => fit.number.to_string(),
            },
            fit.field.clone(),
            y,
            x,
            format!("{} ± {}", within(fit.value, fit.sd), plain(fit.sd)),
            format!("{} ± {}", within(fit.answer, fit.answer_sd), plain(fit.answer_sd)),
            plain(fit.chi),
            left_out,
        ]
    };

    let more = match fits.len().saturating_sub(LISTED) {
        0 => String::new(),
        n => format!(" {n} more are not listed; {all}."),
    };
    let head = ["number", "field", "y", "x", "given", "answer", "chi", "expected from the others"];
    Section {
        title: "Observations".into(),
        head: head.map(str::to_owned).into(),
        lines: fits.iter().take(LISTED).map(line).collect(),
        note: format!(
            "Those that the answer misses by most stand first; chi counts in errors, and the last \
             column's bracket in deviations.{more}"
        ),
        ..Section::default()
    }
}

/// Given values against the answer, each field in units of its given values' deviation.
fn one_to_one(fits: &[Fit]) -> Chart {
    let mut fields: Vec<&str> = fits.iter().map(|fit| fit.field.as_str()).collect();
    fields.dedup();

    let mut ends = [f64::INFINITY, f64::NEG_INFINITY];
    let mut series: Vec<Series> = Vec::new();
    for name in fields {
        let own: Vec<&Fit> = fits.iter().filter(|fit| fit.field == name).collect();
        let mean = own.iter().map(|fit| fit.value).sum::<f64>() / own.len() as f64;
        let square: f64 = own.iter().map(|fit| (fit.value - mean).powi(2)).sum();
        // A single value, or equal ones, have no deviation.
        let unit = Some((square / own.len() as f64).sqrt()).filter(|unit| *unit > 0.0);
        let unit = unit.unwrap_or(mean.abs().max(f64::MIN_POSITIVE));

        let points: Vec<[f64; 2]> =
            own.iter().map(|fit| [fit.value, fit.answer].map(|v| (v - mean) / unit)).collect();
        for value in points.iter().flatten() {
            ends = [ends[0].min(*value), ends[1].max(*value)];
        }
        let dots = vec![1.0; points.len()];
        series.push(Series { name: name.into(), points, dots, scattered: true });
    }

    let line = ends.map(|end| [end; 2]).to_vec();
    series.push(Series { name: "equal".into(), points: line, ..Series::default() });
    let axis = |label: &str| Axis { label: label.into(), log: false };
    Chart { x: axis("given"), y: axis("answer"), series, ..Chart::default() }
}

/// The histogram of the ranks, its mean 1; none without ranks.
fn ranks(fits: &[Fit]) -> Option<Chart> {
    let mut counts = [0.0; BARS];
    let ranks = fits.iter().filter_map(|fit| fit.left_out.map(|left| left.rank));
    for rank in ranks {
        counts[((rank * BARS as f64) as usize).min(BARS - 1)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    if all == 0.0 {
        return None;
    }

    let bar = |(i, count): (usize, f64)| {
        let height = count * BARS as f64 / all;
        [i, i + 1].map(|edge| [edge as f64 / BARS as f64, height])
    };
    let points = counts.into_iter().enumerate().flat_map(bar).collect();
    let even = Series {
        name: "as expected".into(),
        points: vec![[0.0, 1.0], [1.0, 1.0]],
        ..Series::default()
    };
    let found = Series { name: "found".into(), points, ..Series::default() };
    let axis = |label: &str| Axis { label: label.into(), log: false };
    let (x, y) = (axis("rank"), axis("share over that expected"));
    Some(Chart { x, y, series: vec![found, even], ..Chart::default() })
}
