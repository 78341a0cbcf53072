//! Samples as a picture: a row each, a column for each channel and one for the residual.

use phys_instruct::Samples;
use phys_instruct::eval::physics::{ResidualFields, residual_fields};
use phys_instruct::residual::Residual;
use phys_instruct_physics::Pde;
use phys_instruct_report::number::significant;
use phys_instruct_report::sheet::{Panel, Row, Scale};
use phys_instruct_report::{Canvas, Result};

use crate::empty_sheet;

/// The number of samples in a picture.
pub const PICTURED: usize = 4;

/// Samples that are shown, and what is known of their making.
pub struct Shown {
    title: String,
    caption: String,
    samples: Samples,
    /// None without an equation.
    residual: Option<ResidualFields>,
}

impl Shown {
    /// The first `rows` of `samples` with their residual, if there is an equation.
    ///
    /// # Errors
    /// Fails as [`residual_fields`] does.
    pub fn of<'a>(
        samples: &Samples,
        residual: impl Into<Option<&'a dyn Residual>>,
        rows: usize,
        title: &str,
        caption: &str,
    ) -> phys_instruct::Result<Self> {
        let samples = samples.slice(0..rows.min(samples.count));
        let residual = residual.into().map(|r| residual_fields(&samples, r)).transpose()?;
        Ok(Self { title: title.into(), caption: caption.into(), samples, residual })
    }
}

/// A picture of each set of samples. Each channel has one scale in all of them, so that they can be
/// compared: that of the first set, whose ends stand for all values beyond. Residuals, whose sizes
/// differ by orders of magnitude, have their own.
///
/// # Errors
/// Fails for values that are not finite.
pub fn draw(pde: &dyn Pde, sets: &[Shown]) -> Result<Vec<Canvas>> {
    let channel_scale = |(c, channel): (usize, phys_instruct_physics::Channel)| {
        let fields = sets.iter().take(1).flat_map(|set| fields_of(&set.samples, c));
        Scale::fitted(&format!("{}, {}", channel.name, channel.in_words()), fields.flatten())
    };
    let scales: Vec<Scale> = pde.channels().into_iter().enumerate().map(channel_scale).collect();
    sets.iter().map(|set| draw_one(pde, set, &scales)).collect()
}

fn fields_of(samples: &Samples, channel: usize) -> impl Iterator<Item = &[f32]> {
    (0..samples.count).map(move |i| samples.field(i, channel))
}

fn draw_one(pde: &dyn Pde, set: &Shown, scales: &[Scale]) -> Result<Canvas> {
    let Shown { title, caption, samples, residual } = set;
    let mut sheet = empty_sheet(pde, samples.grid(), title, caption);
    sheet.scales = scales.to_vec();
    sheet.rows =
        (0..samples.count).map(|i| row_label(residual.as_ref(), i)).map(empty_row).collect();

    for c in 0..samples.channels.len() {
        for (row, field) in sheet.rows.iter_mut().zip(fields_of(samples, c)) {
            row.panels.push(panel(&samples.channels[c], field, c));
        }
    }
    let equations = residual.as_ref().map_or(&[][..], |residual| &residual.equations);
    for (e, fields) in equations.iter().enumerate() {
        let name = match equations.len() {
            1 => "residual".to_owned(),
            _ => format!("residual {}", e + 1),
        };
        for (row, field) in sheet.rows.iter_mut().zip(fields) {
            row.panels.push(panel(&name, field, sheet.scales.len()));
        }
        sheet.scales.push(Scale::trimmed(&name, fields.iter().flatten()));
    }

    // The columns' names stand above the first row alone.
    for row in sheet.rows.iter_mut().skip(1) {
        row.panels.iter_mut().for_each(|panel| panel.title.clear());
    }
    sheet.canvas()
}

fn row_label(residual: Option<&ResidualFields>, i: usize) -> String {
    match residual.and_then(|residual| residual.relative.get(i)) {
        Some(error) => format!("sample {}: PDE error {}", i + 1, significant(*error, 2)),
        None => format!("sample {}", i + 1),
    }
}

fn empty_row<'a>(label: String) -> Row<'a> {
    Row { label, panels: Vec::new() }
}

fn panel<'a>(title: &str, field: &'a [f32], scale: usize) -> Panel<'a> {
    Panel { title: title.into(), field, scale, marks: Vec::new() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::AtomicBool;

    use phys_instruct::data::{self, Watch};
    use phys_instruct::{device, problem};
    use phys_instruct_physics::Grid;
    use phys_instruct_physics::registry::by_name;

    use super::*;

    #[test]
    fn every_sample_has_its_channels_and_its_residual_on_shared_scales() {
        let pde = by_name("poisson").unwrap();
        let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
        let samples = data::generate(pde.as_ref(), Grid::square(16), 1, 5, &mut watch).unwrap();
        let residual = problem::residual(pde.as_ref(), Grid::square(16), &device::cpu()).unwrap();
        let mut large = samples.clone();
        large.data.iter_mut().for_each(|v| *v *= 9.0);
        let shown = |samples| Shown::of(samples, residual.as_ref(), 3, "t", "Model m.").unwrap();

        let alone = draw(pde.as_ref(), &[shown(&samples)]).unwrap().remove(0).to_svg();
        // Three rows of three panels, and three bars.
        assert_eq!(alone.matches("<image").count(), 3 * 3 + 3);
        for text in ["sample 3: PDE error", "a, source", "u, solution", "residual", "Model m."] {
            assert!(alone.contains(text), "{text}");
        }
        let both = draw(pde.as_ref(), &[shown(&samples), shown(&large)]).unwrap();
        assert_eq!((both.len(), both[0].to_svg()), (2, alone.clone()));
        // Nine times larger samples still have the same bar.
        let bar =
            |svg: &str| svg.lines().find(|line| line.contains("u, solution")).map(String::from);
        let large = both[1].to_svg();
        assert!(large != alone && bar(&large).is_some() && bar(&large) == bar(&alone));
    }
}
