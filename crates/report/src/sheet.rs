//! A sheet of fields: rows of panels with axes, and a colour bar for every scale.
//!
//! The first row of a field is the lowest of its panel: x runs to the right and y upwards. Panels
//! that share a [`Scale`] can be compared; its bar lies below the last row that uses it.

use crate::colormap::Colormap;
use crate::error::{Error, Result, check_range};
use crate::font::{fitted, text_width, wrapped};
use crate::svg::{Anchor, Canvas, Color, GREY, INK, LINE, MARGIN, NAME, Point, SMALL, TITLE};
use crate::ticks::Ticks;

/// Width of a panel.
const PANEL: f64 = 180.0;
/// Between panels, across and down.
const GAP: Point = [24.0, 14.0];
/// The least and the most height of a panel over its width.
const ASPECTS: Point = [0.2, 3.0];
/// Length of a tick, and from its end to the baseline of a label below it.
const TICK: f64 = 4.0;
const BELOW_TICK: f64 = 11.0;
/// Below the last row of panels: the labels of the x axis and its name.
const X_AXIS: f64 = TICK + BELOW_TICK + LINE;
/// Below that: the bar, its labels and its name.
const BAR: f64 = 10.0;
const BAR_BLOCK: f64 = 8.0 + BAR + TICK + BELOW_TICK + LINE + 8.0;
/// Colours of a bar.
const BAR_STEPS: usize = 256;
/// Pixels of a bar to one of its ticks, about, and the most ticks.
const BAR_TICK: f64 = 45.0;
const BAR_TICKS: f64 = 7.0;
/// The least width of the words above and below the panels.
const WORDS: f64 = 430.0;
/// Radius of a mark.
const MARK: f64 = 2.2;
/// Values of the other sign that do not make a quantity signed: a share of the largest.
const UNDERSHOOT: f64 = 0.1;
/// The share of its values whose size a trimmed scale shows.
const SHOWN: f64 = 0.99;
/// The most bytes of a unit that stays whole where a scale's label is shortened.
const UNIT: usize = 16;

/// One axis of all panels.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The coordinate, with its unit if it has one: `x`, `t, s`.
    pub name: String,
    /// The coordinates of the outer edges of the first and the last point's cell.
    pub range: [f64; 2],
}

/// The colours of a quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The quantity, with its unit if it has one.
    pub label: String,
    /// The colours.
    pub colormap: Colormap,
    /// The values at the two ends of the colour bar.
    pub range: [f64; 2],
}

/// One field of a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel<'a> {
    /// The text above it; may be empty.
    pub title: String,
    /// The values, `[y, x]`.
    pub field: &'a [f32],
    /// The number of its scale among the sheet's.
    pub scale: usize,
    /// Coordinates `[x, y]` that are marked; those outside the axes are left out.
    pub marks: Vec<[f64; 2]>,
}

/// One row of panels.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// The text at the left, running upwards; may be empty.
    pub label: String,
    /// The panels, from the left.
    pub panels: Vec<Panel<'a>>,
}

/// Rows of panels under a title.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet<'a> {
    /// The first line; may be empty.
    pub title: String,
    /// The origin of the fields, written below the title; may be empty.
    pub caption: String,
    /// Paragraphs below the panels.
    pub notes: Vec<String>,
    /// Points along y and along x of every field.
    pub size: [usize; 2],
    /// Height of a panel over its width: the domain's, or 1 where an axis is time. Values below 0.2
    /// and above 3 are drawn as these.
    pub aspect: f64,
    /// The axis upwards.
    pub y: Axis,
    /// The axis to the right.
    pub x: Axis,
    /// The scales.
    pub scales: Vec<Scale>,
    /// The rows, from the top.
    pub rows: Vec<Row<'a>>,
}

impl Scale {
    /// A scale for the values of one quantity. It is viridis over their range if they are of one
    /// sign but for an undershoot, else the diverging map over a range symmetric about zero.
    pub fn fitted<'a>(label: &str, values: impl IntoIterator<Item = &'a f32>) -> Self {
        let bounds = |[low, high]: [f64; 2], &v: &f32| [low.min(v.into()), high.max(v.into())];
        let [low, high] = values.into_iter().fold([f64::INFINITY, f64::NEG_INFINITY], bounds);
        if high.min(-low) > UNDERSHOOT * high.max(-low) {
            return Self::symmetric(label, high.max(-low));
        }
        // A constant field needs a range too.
        let margin = if low == high { 0.5 * low.abs().max(1.0) } else { 0.0 };
        let range = [low - margin, high + margin];
        Self { label: label.into(), colormap: Colormap::Viridis, range }
    }

    /// A scale for signed values: the diverging map from `-largest` to `largest`.
    pub fn symmetric(label: &str, largest: f64) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let range = [-largest, largest];
        Self { label: label.into(), colormap: Colormap::Diverging, range }
    }

    /// A symmetric scale up to the size that 99 % of the values do not exceed, so that a few large
    /// ones do not make all others pale.
    pub fn trimmed<'a>(label: &str, values: impl IntoIterator<Item = &'a f32>) -> Self {
        let mut sizes: Vec<f32> = values.into_iter().map(|v| v.abs()).collect();
        sizes.sort_unstable_by(f32::total_cmp);
        let last = sizes.len().saturating_sub(1);
        let shown = sizes.get((SHOWN * last as f64) as usize).filter(|size| **size > 0.0);
        let largest = shown.or(sizes.last()).copied().unwrap_or_default();
        Self::symmetric(&format!("{label} (99 % of values)"), largest.into())
    }

    /// The pixels of a field of `width` points along x, the top row (largest y) first.
    fn pixels(&self, field: &[f32], width: usize) -> Vec<Color> {
        let [low, high] = self.range;
        let color = |&v: &f32| self.colormap.color((f64::from(v) - low) / (high - low));
        field.chunks(width).rev().flatten().map(color).collect()
    }
}

impl Sheet<'_> {
    /// Lays the sheet out.
    ///
    /// # Errors
    /// Fails for no rows, panels or points, for an unknown scale, and for axes and scales whose
    /// range does not rise. Fails for a field of another size or with a value that is not finite;
    /// the error names its row and title.
    pub fn canvas(&self) -> Result<Canvas> {
        self.check()?;
        let layout = Layout::of(self);
        let mut page = Canvas::new(layout.width, layout.height);
        let mut baseline = MARGIN;
        if !self.title.is_empty() {
            page.text([MARGIN, baseline + 14.0], &self.title, TITLE, Anchor::Start, INK);
            baseline += TITLE + 8.0;
        }
        draw_lines(&mut page, &layout.caption, baseline, GREY);

        for (r, row) in self.rows.iter().enumerate() {
            self.draw_row(&mut page, &layout, r, row)?;
        }

        let notes = layout.height - MARGIN - LINE * layout.notes.len() as f64;
        draw_lines(&mut page, &layout.notes, notes, INK);
        Ok(page)
    }

    fn check(&self) -> Result<()> {
        let [height, width] = self.size;

        if self.rows.is_empty() || self.rows.iter().any(|row| row.panels.is_empty()) {
            return Err(Error::Empty("a sheet without rows, or a row without panels".into()));
        }
        if height * width == 0 {
            return Err(Error::Empty(format!("fields of {height} x {width} points")));
        }

        for row in &self.rows {
            for panel in &row.panels {
                self.check_panel(&row.label, panel)?;
            }
        }

        for axis in [&self.y, &self.x] {
            check_range(&axis.name, axis.range)?;
        }
        self.scales.iter().try_for_each(|scale| check_range(&scale.label, scale.range))?;
        // Zero, a negative number and NaN are no aspect.
        check_range("height over width of a panel", [0.0, self.aspect])
    }

    fn check_panel(&self, row: &str, panel: &Panel) -> Result<()> {
        let [scales, points] = [self.scales.len(), self.size[0] * self.size[1]];
        let Some(scale) = self.scales.get(panel.scale) else {
            let number = panel.scale;
            return Err(Error::Empty(format!("{row}: scale {number}, where there are {scales}")));
        };

        let what = [row, &panel.title, &scale.label];
        let what: Vec<&str> = what.into_iter().filter(|name| !name.is_empty()).collect();
        let what = what.join(", ");

        if panel.field.len() != points {
            return Err(Error::Shape { what, found: panel.field.len(), expected: points });
        }
        match panel.field.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(i) => {
                let (y, x, value) = (i / self.size[1], i % self.size[1], panel.field[i]);
                Err(Error::Value(format!("{what}: {value} at row {y}, column {x}")))
            }
        }
    }

    /// Draws the panels of row `r`, and below them the axis and the bars that end there.
    fn draw_row(&self, page: &mut Canvas, layout: &Layout, r: usize, row: &Row) -> Result<()> {
        let (top, [_, height]) = (layout.tops[r], layout.panel);
        let middle = top + 0.5 * height;
        let label = fitted(&row.label, "", SMALL, height.max(60.0) + GAP[1]);
        page.upward_text([MARGIN + 8.0, middle], &label, SMALL, INK);
        self.draw_y_axis(page, layout, top);

        for (c, panel) in row.panels.iter().enumerate() {
            let at = [layout.left_of(c), top];
            let title = fitted(&panel.title, "", NAME, PANEL + GAP[0] - 4.0);
            page.text([at[0], top - 5.0], &title, NAME, Anchor::Start, INK);
            let pixels = self.scales[panel.scale].pixels(panel.field, self.size[1]);
            page.image(at, layout.panel, self.size[1], &pixels)?;
            page.frame(at, layout.panel, GREY);
            self.draw_marks(page, layout, at, panel);
            if self.ends_a_scale(r) {
                self.draw_x_axis(page, [at[0], top + height]);
            }
        }
        for (scale, columns) in self.bars(r) {
            let left = layout.left_of(columns[0]);
            let length = layout.left_of(columns[1]) + PANEL - left;
            draw_bar(page, &self.scales[scale], [left, top + height + X_AXIS + 8.0], length)?;
        }
        Ok(())
    }

    fn draw_marks(&self, page: &mut Canvas, layout: &Layout, [left, top]: Point, panel: &Panel) {
        for &[x, y] in &panel.marks {
            let [across, up] = [share(x, self.x.range), share(y, self.y.range)];
            if (0.0..=1.0).contains(&across) && (0.0..=1.0).contains(&up) {
                let [width, height] = layout.panel;
                page.disc([left + across * width, top + (1.0 - up) * height], MARK, INK);
            }
        }
    }

    /// Draws the ticks, labels and name of y at the left of the first panel.
    fn draw_y_axis(&self, page: &mut Canvas, layout: &Layout, top: f64) {
        let (left, height) = (layout.left_of(0), layout.panel[1]);
        let ticks = y_ticks(&self.y, height);
        for (value, label) in ticks.values.iter().zip(&ticks.labels) {
            let at = top + (1.0 - share(*value, self.y.range)) * height;
            page.line(&[[left - TICK, at], [left, at]], GREY, 1.0);
            page.text([left - TICK - 3.0, at + 4.0], label, SMALL, Anchor::End, INK);
        }
        let name = format!("{}{}", self.y.name, ticks.factor());
        let x = left - TICK - 8.0 - ticks.widest(SMALL);
        page.upward_text([x, top + 0.5 * height], &name, NAME, INK);
    }

    /// Draws the ticks, labels and name of x below a panel whose lower left corner is at `left`,
    /// `bottom`.
    fn draw_x_axis(&self, page: &mut Canvas, [left, bottom]: Point) {
        let ticks = Ticks::linear(self.x.range[0], self.x.range[1], 4).fitting(PANEL, SMALL);
        for (value, label) in ticks.values.iter().zip(&ticks.labels) {
            let at = left + share(*value, self.x.range) * PANEL;
            page.line(&[[at, bottom], [at, bottom + TICK]], GREY, 1.0);
            let baseline = bottom + TICK + BELOW_TICK;
            page.text([at, baseline], label, SMALL, Anchor::Middle, INK);
        }
        let name = format!("{}{}", self.x.name, ticks.factor());
        let at = [left + 0.5 * PANEL, bottom + X_AXIS - 3.0];
        page.text(at, &name, NAME, Anchor::Middle, INK);
    }

    fn ends_a_scale(&self, r: usize) -> bool {
        !self.bars(r).is_empty()
    }

    /// The bars below row `r`. These are the scales that no later row uses, with the first and the
    /// last column of each run of panels that share one.
    fn bars(&self, r: usize) -> Vec<(usize, [usize; 2])> {
        let mut bars = Vec::<(usize, [usize; 2])>::new();
        let later = |scale| self.rows[r + 1..].iter().flat_map(|row| &row.panels).any(uses(scale));
        for (c, panel) in self.rows[r].panels.iter().enumerate() {
            match bars.last_mut() {
                Some((scale, [_, last])) if *scale == panel.scale && *last + 1 == c => *last = c,
                _ if later(panel.scale) => (),
                _ => bars.push((panel.scale, [c, c])),
            }
        }
        bars
    }
}

fn uses(scale: usize) -> impl Fn(&Panel) -> bool {
    move |panel| panel.scale == scale
}

/// The positions of everything on the page.
struct Layout {
    width: f64,
    height: f64,
    /// Left edge of the first panel.
    left: f64,
    /// Width and height of a panel.
    panel: Point,
    /// Upper edge of each row's panels.
    tops: Vec<f64>,
    /// Lines of the caption and of the notes.
    caption: Vec<String>,
    notes: Vec<String>,
}

impl Layout {
    fn of(sheet: &Sheet) -> Self {
        let panel = [PANEL, (PANEL * sheet.aspect.clamp(ASPECTS[0], ASPECTS[1])).round()];
        let labels = if sheet.rows.iter().all(|row| row.label.is_empty()) { 0.0 } else { LINE };
        let y_axis = y_ticks(&sheet.y, panel[1]).widest(SMALL).ceil() + TICK + 3.0 + LINE;
        let left = MARGIN + labels + y_axis;

        let columns = sheet.rows.iter().map(|row| row.panels.len()).max().unwrap_or_default();
        let across = left - MARGIN + columns as f64 * (PANEL + GAP[0]) - GAP[0];
        let words = across.max(WORDS).max(text_width(&sheet.title, TITLE).ceil());
        let caption = wrapped(&sheet.caption, SMALL, words);
        let notes: Vec<String> =
            sheet.notes.iter().flat_map(|note| wrapped(note, SMALL, words)).collect();

        let mut y = MARGIN + LINE * caption.len() as f64;
        y += if sheet.title.is_empty() { 0.0 } else { TITLE + 12.0 };
        let mut tops = Vec::new();
        for (r, row) in sheet.rows.iter().enumerate() {
            y += if row.panels.iter().all(|p| p.title.is_empty()) { 0.0 } else { LINE + 4.0 };
            tops.push(y);
            y += panel[1] + GAP[1];
            y += if sheet.ends_a_scale(r) { X_AXIS + BAR_BLOCK } else { 0.0 };
        }
        let below = if notes.is_empty() { 0.0 } else { GAP[1] + LINE * notes.len() as f64 };
        let height = y - GAP[1] + below + MARGIN;
        Self { width: words + 2.0 * MARGIN, height, left, panel, tops, caption, notes }
    }

    fn left_of(&self, column: usize) -> f64 {
        self.left + column as f64 * (PANEL + GAP[0])
    }
}

fn y_ticks(axis: &Axis, height: f64) -> Ticks {
    // Labels above each other need a line each, as wide as one is high.
    let count = (height / 40.0).clamp(1.0, 5.0) as usize;
    Ticks::linear(axis.range[0], axis.range[1], count)
}

/// The position of a value in a range, 0 at the low end and 1 at the high end.
fn share(value: f64, [low, high]: [f64; 2]) -> f64 {
    (value - low) / (high - low)
}

fn draw_lines(page: &mut Canvas, lines: &[String], top: f64, color: Color) {
    for (i, line) in lines.iter().enumerate() {
        let at = [MARGIN, top + LINE * i as f64 + 11.0];
        page.text(at, line, SMALL, Anchor::Start, color);
    }
}

/// Draws a colour bar of `length` pixels with its ticks and its name.
fn draw_bar(page: &mut Canvas, scale: &Scale, [left, top]: Point, length: f64) -> Result<()> {
    let shade = |i: usize| scale.colormap.color(i as f64 / (BAR_STEPS - 1) as f64);
    let pixels: Vec<Color> = (0..BAR_STEPS).map(shade).collect();
    page.image([left, top], [length, BAR], BAR_STEPS, &pixels)?;
    page.frame([left, top], [length, BAR], GREY);

    let [low, high] = scale.range;
    let count = (length / BAR_TICK).min(BAR_TICKS) as usize;
    let ticks = Ticks::linear(low, high, count).fitting(length, SMALL);
    for (value, label) in ticks.values.iter().zip(&ticks.labels) {
        let x = left + share(*value, scale.range) * length;
        page.line(&[[x, top + BAR], [x, top + BAR + TICK]], GREY, 1.0);
        let at = [x, top + BAR + TICK + BELOW_TICK];
        page.text(at, label, SMALL, Anchor::Middle, INK);
    }
    let (words, unit) = words_and_unit(&scale.label);
    let tail = format!("{unit}{}", ticks.factor());
    let name = fitted(words, &tail, NAME, length + GAP[0] - 4.0);
    let at = [left + 0.5 * length, top + BAR + TICK + BELOW_TICK + LINE];
    page.text(at, &name, NAME, Anchor::Middle, INK);
    Ok(())
}

/// The words of a label, which may give way, and the short unit in brackets behind them, which must
/// not.
fn words_and_unit(label: &str) -> (&str, &str) {
    let unit =
        label.rfind(" (").filter(|start| label.ends_with(')') && label.len() - start <= UNIT);
    label.split_at(unit.unwrap_or(label.len()))
}

#[cfg(test)]
mod tests;
