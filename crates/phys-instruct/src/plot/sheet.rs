//! A sheet of fields: one row per sample, one column per channel and one for the residual.
//!
//! Each column has one colour range and a colour bar. The origin is the lower left corner: x runs
//! to the right and y (time, for Burgers) upwards.

use burn::tensor::{Device, Tensor, TensorData};
use phys_instruct_physics::Pde;

use super::colormap::Colormap;
use super::drawing::{Anchor, Drawing, GREY, INK, Item, Point, text_width};
use super::ticks::{Ticks, power_of_ten, significant};
use crate::residual::{Residual, ResidualOptions};
use crate::{Error, Result, Samples};

pub(super) const MARGIN: f64 = 24.0;
pub(super) const PANEL: f64 = 192.0;
const GAP: f64 = 20.0;
/// Left of the panels, for the rows' labels.
const GUTTER: f64 = 20.0;
/// Above the panels: headline, then the columns' titles.
pub(super) const HEAD: f64 = 64.0;
/// Below the panels: colour bar and its labels.
const FOOT: f64 = 42.0;
const TITLE: f64 = 13.0;
const BAR: f64 = 10.0;
const BAR_STEPS: usize = 256;

/// What the columns show and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The title, with the unit if there is one.
    pub title: String,
    /// The colours.
    pub colormap: Colormap,
    /// The values at the two ends of the colour bar.
    pub range: [f64; 2],
}

/// One sample's fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Written at the left, upwards.
    pub label: String,
    /// One field per column, `[y, x]`.
    pub fields: Vec<Vec<f32>>,
}

/// A grid of panels under a headline.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// The first line, for example `poisson, 1 network call, PDE error 0.08`.
    pub headline: String,
    /// Points along y.
    pub height: usize,
    /// Points along x.
    pub width: usize,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Column {
    /// A column for values of one channel: viridis over their range if they are of one sign, else
    /// the diverging map over a range symmetric about zero.
    pub fn fitted<'a>(title: &str, values: impl Iterator<Item = &'a f32>) -> Self {
        let bounds = |[low, high]: [f64; 2], &v: &f32| [low.min(v.into()), high.max(v.into())];
        let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], bounds);
        if low < 0.0 && high > 0.0 {
            return Self::symmetric(title, high.max(-low));
        }
        // A constant field needs a range too.
        let room = if high > low { 0.0 } else { 0.5 * low.abs().max(1.0) };
        let range = [low - room, high + room];
        Self { title: title.into(), colormap: Colormap::Viridis, range }
    }

    /// A column for signed values: the diverging map from `-largest` to `largest`.
    pub fn symmetric(title: &str, largest: f64) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let range = [-largest, largest];
        Self { title: title.into(), colormap: Colormap::Diverging, range }
    }

    /// The pixels of a field of `width` points along x, the top row (largest y) first.
    pub fn pixels(&self, field: &[f32], width: usize) -> Vec<[u8; 3]> {
        let [low, high] = self.range;
        let color = |&v: &f32| self.colormap.color((f64::from(v) - low) / (high - low));
        field.chunks(width).rev().flatten().map(color).collect()
    }
}

impl Sheet {
    /// The first `rows` samples: every channel, and every equation's residual (in the units of
    /// the source term, colours up to the 99th percentile of its size).
    ///
    /// # Errors
    /// No samples, more channels than the PDE has, or values that are not finite.
    pub fn of_samples(
        samples: &Samples,
        pde: &dyn Pde,
        residual: Option<&dyn Residual>,
        rows: usize,
        headline: &str,
    ) -> Result<Self> {
        let samples = samples.slice(0..rows.min(samples.count));
        let channels = pde.channels();
        let [count, found, known] = [samples.count, samples.channels.len(), channels.len()];
        if count == 0 || found != known {
            let reason = format!("{count} samples of {found} channels; {} has {known}", pde.name());
            return Err(Error::Shape(reason));
        }
        let mut sheet = Self::empty(headline, &samples);
        for (c, channel) in channels.iter().enumerate() {
            let fields: Vec<_> = (0..samples.count).map(|i| samples.field(i, c).to_vec()).collect();
            let title = format!("{}, {}", channel.name, channel.meaning);
            sheet.add(Column::fitted(&title, fields.iter().flatten()), fields);
        }
        if let Some(residual) = residual {
            sheet.add_residual(&samples, residual)?;
        }
        Ok(sheet)
    }

    fn empty(headline: &str, samples: &Samples) -> Self {
        let row = |i| Row { label: format!("sample {i}"), fields: Vec::new() };
        Self {
            headline: headline.into(),
            height: samples.height,
            width: samples.width,
            columns: Vec::new(),
            rows: (1..=samples.count).map(row).collect(),
        }
    }

    /// Adds a column, one field per row.
    pub fn add(&mut self, column: Column, fields: Vec<Vec<f32>>) {
        self.columns.push(column);
        for (row, field) in self.rows.iter_mut().zip(fields) {
            row.fields.push(field);
        }
    }

    fn add_residual(&mut self, samples: &Samples, residual: &dyn Residual) -> Result<()> {
        let shape = [samples.count, samples.channels.len(), samples.height, samples.width];
        let x =
            Tensor::<4>::from_data(TensorData::new(samples.data.clone(), shape), &Device::flex());
        let terms = residual.terms(x, ResidualOptions::default());
        let failed = |e: burn::tensor::TensorReadError| Error::Backend(e.to_string());
        let relative: Vec<f32> = terms.relative().try_into_vec_as().map_err(failed)?;
        for (row, error) in self.rows.iter_mut().zip(relative) {
            row.label += &format!(", PDE error {}", significant(error.into(), 2));
        }
        let equations = terms.residual.dims()[1];
        let values: Vec<f32> = terms.residual.try_into_vec_as().map_err(failed)?;
        let fields: Vec<&[f32]> = values.chunks(samples.height * samples.width).collect();
        for e in 0..equations {
            let number = if equations == 1 { String::new() } else { format!(" {}", e + 1) };
            let title = format!("residual{number}, 99 % of values");
            let fields: Vec<Vec<f32>> =
                fields.iter().skip(e).step_by(equations).map(|f| f.to_vec()).collect();
            self.add(Column::symmetric(&title, percentile_99(&fields)), fields);
        }
        Ok(())
    }

    /// Lays the sheet out.
    ///
    /// # Errors
    /// No rows or columns, fields of another size, or values that are not finite, naming the
    /// column and the row.
    pub fn drawing(&self) -> Result<Drawing> {
        self.check()?;
        let panel = [PANEL, (PANEL * self.height as f64 / self.width as f64).round()];
        let [across, down] = [self.columns.len() as f64, self.rows.len() as f64];
        let grid = [across * (panel[0] + GAP) - GAP, down * (panel[1] + GAP) - GAP];
        let headline = text_width(&self.headline, 17.0) * 1.05;
        let width = 2.0 * MARGIN + (GUTTER + grid[0].max(headline)).ceil();
        let mut page = Drawing::new(width, HEAD + grid[1] + FOOT + MARGIN);
        page.text([left_of(0), 32.0], &self.headline, 17.0, Anchor::Start, INK);
        for (r, row) in self.rows.iter().enumerate() {
            let top = HEAD + r as f64 * (panel[1] + GAP);
            page.upward_text([MARGIN + 8.0, top + panel[1] / 2.0], &row.label, 11.0, GREY);
            for (c, column) in self.columns.iter().enumerate() {
                let at = [left_of(c), top];
                let pixels = column.pixels(&row.fields[c], self.width);
                page.items.push(Item::Image { at, size: panel, width: self.width, pixels });
                page.frame(at, panel, GREY);
            }
        }
        for (c, column) in self.columns.iter().enumerate() {
            draw_bar(&mut page, column, [left_of(c), HEAD + grid[1] + 14.0]);
        }
        Ok(page)
    }

    fn check(&self) -> Result<()> {
        if self.rows.is_empty() || self.columns.is_empty() || self.height * self.width == 0 {
            return Err(Error::Picture("a sheet without rows, columns or points".into()));
        }
        for row in &self.rows {
            if row.fields.len() != self.columns.len() {
                let [got, want] = [row.fields.len(), self.columns.len()];
                return Err(Error::Picture(format!("{}: {got} of {want} fields", row.label)));
            }
            for (field, column) in row.fields.iter().zip(&self.columns) {
                check_field(field, self.height * self.width, &row.label, column)?;
            }
        }
        Ok(())
    }
}

fn check_field(field: &[f32], points: usize, row: &str, column: &Column) -> Result<()> {
    let title = &column.title;
    if field.len() != points {
        let got = field.len();
        return Err(Error::Picture(format!("{row}, {title}: {got} values, not {points}")));
    }
    if field.iter().any(|v| !v.is_finite()) || !column.range.iter().all(|v| v.is_finite()) {
        return Err(Error::NonFinite(format!("{row}, {title}")));
    }
    Ok(())
}

pub(super) fn left_of(column: usize) -> f64 {
    MARGIN + GUTTER + column as f64 * (PANEL + GAP)
}

/// The column's title above the panels, and its colour bar at `at`.
fn draw_bar(page: &mut Drawing, column: &Column, at: Point) {
    let [low, high] = column.range;
    let ticks = Ticks::linear(low, high, 4);
    let unit = match ticks.exponent {
        0 => String::new(),
        power => format!(" (×{})", power_of_ten(power)),
    };
    let title = fitted(&column.title, &unit, PANEL);
    page.text([at[0], HEAD - 8.0], &title, TITLE, Anchor::Start, INK);
    let shade = |i: usize| column.colormap.color(i as f64 / (BAR_STEPS - 1) as f64);
    let pixels = (0..BAR_STEPS).map(shade).collect();
    let size = [PANEL, BAR];
    page.items.push(Item::Image { at, size, width: BAR_STEPS, pixels });
    page.frame(at, size, GREY);
    for (value, label) in ticks.values.iter().zip(&ticks.labels) {
        let x = at[0] + PANEL * (value - low) / (high - low);
        page.line(&[[x, at[1] + BAR], [x, at[1] + BAR + 4.0]], GREY, 1.0);
        page.text([x, at[1] + BAR + 17.0], label, 11.0, Anchor::Middle, INK);
    }
}

/// A title that does not run into its neighbour: its end gives way, never the unit.
fn fitted(title: &str, unit: &str, room: f64) -> String {
    let mut kept = title.to_string();
    let mut text = format!("{title}{unit}");
    while text_width(&text, TITLE) > room && kept.pop().is_some() {
        text = format!("{}...{unit}", kept.trim_end());
    }
    text
}

/// The size that 99 % of the values do not exceed.
fn percentile_99(fields: &[Vec<f32>]) -> f64 {
    let mut sizes: Vec<f32> = fields.iter().flatten().map(|v| v.abs()).collect();
    if sizes.is_empty() {
        return 0.0;
    }
    let rank = (sizes.len() - 1) * 99 / 100;
    f64::from(*sizes.select_nth_unstable_by(rank, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::eval::testing::{DifferenceOfChannels, poisson_samples};
    use crate::plot::raster::tests::decode;
    use crate::plot::svg::tests::assert_well_formed;

    fn sheet(rows: usize) -> Sheet {
        let (pde, samples) = poisson_samples(4, 16, 1);
        let residual = Some(&DifferenceOfChannels as &dyn Residual);
        Sheet::of_samples(&samples, &pde, residual, rows, "poisson & <co>").unwrap()
    }

    #[test]
    fn a_sheet_has_a_panel_per_sample_and_column_in_both_formats() {
        let drawing = sheet(3).drawing().unwrap();
        let images = drawing.items.iter().filter(|i| matches!(i, Item::Image { .. })).count();
        assert_eq!(images, 3 * 3 + 3);
        let (width, height, _) = decode(&drawing.to_png(1.0).unwrap());
        assert_eq!([width as f64, height as f64], [drawing.width, drawing.height]);
        assert_eq!(drawing.width, 2.0 * MARGIN + GUTTER + 3.0 * PANEL + 2.0 * GAP);
        let svg = drawing.to_svg().unwrap();
        assert_well_formed(&svg);
        assert!(svg.contains("poisson &amp; &lt;co&gt;") && svg.contains("sample 3, PDE error"));
    }

    #[test]
    fn the_ends_of_a_bar_are_the_colours_of_the_extremes_and_y_runs_upwards() {
        let field = [1.0, 2.0, 3.0, 5.0];
        let column = Column::fitted("a", field.iter());
        assert_eq!((column.range, column.colormap), ([1.0, 5.0], Colormap::Viridis));
        let pixels = column.pixels(&field, 2);
        assert_eq!(pixels[2], Colormap::Viridis.color(0.0));
        assert_eq!(pixels[1], Colormap::Viridis.color(1.0));
        let mut page = Drawing::new(300.0, 300.0);
        draw_bar(&mut page, &column, [0.0, 100.0]);
        let Some(Item::Image { pixels: bar, .. }) =
            page.items.iter().find(|i| matches!(i, Item::Image { .. }))
        else {
            panic!("no bar")
        };
        assert_eq!([bar[0], bar[BAR_STEPS - 1]], [pixels[2], pixels[1]]);
    }

    #[test]
    fn signed_fields_get_a_symmetric_range_and_constant_ones_a_range_at_all() {
        assert_eq!(Column::fitted("u", [-1.0, 3.0].iter()).range, [-3.0, 3.0]);
        let [low, high] = Column::fitted("u", [0.0, 0.0].iter()).range;
        assert!(low < 0.0 && high > 0.0);
        let outlier: Vec<f32> = (0..200).map(|i| if i == 7 { 1e6 } else { 1.0 }).collect();
        assert_eq!(percentile_99(&[outlier]), 1.0);
    }

    #[test]
    fn long_titles_give_way_to_their_unit() {
        assert_eq!(fitted("u, solution", " (×10⁻³)", PANEL), "u, solution (×10⁻³)");
        let short = fitted(&"vorticity at a late time ".repeat(3), " (×10⁻³)", PANEL);
        assert!(text_width(&short, TITLE) <= PANEL && short.ends_with("... (×10⁻³)"), "{short}");
    }

    #[test]
    fn a_field_with_a_hole_is_refused_by_name() {
        let mut holed = sheet(2);
        holed.rows[1].fields[0][5] = f32::NAN;
        let error = holed.drawing().unwrap_err().to_string();
        assert!(error.contains("sample 2") && error.contains("a, source"), "{error}");
        holed.rows[1].fields[0].pop();
        assert!(holed.drawing().unwrap_err().to_string().contains("255 values, not 256"));
        holed.rows.clear();
        assert!(holed.drawing().is_err());
    }
}
