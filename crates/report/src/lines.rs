//! Line charts: training curves, spectra, error against cost.

use crate::error::{Error, Result, check_range};
use crate::font::{text_width, wrapped};
use crate::svg::{
    Anchor, Canvas, Color, FAINT, GREY, INK, LINE, MARGIN, NAME, Point, SMALL, TITLE,
};
use crate::ticks::Ticks;

/// Width and height of the area of the curves.
const AREA: Point = [520.0, 300.0];
/// Left of the area: the y label and the tick labels.
const LEFT: f64 = 68.0;
/// Above the area: the title.
const TOP: f64 = 30.0;
/// Below the area: the x label and the tick labels.
const BOTTOM: f64 = 50.0;
/// Between the area and the legend.
const LEGEND_GAP: f64 = 14.0;
/// Length of a line in the legend.
const LEGEND_MARK: f64 = 22.0;
/// Radius of a dot of area 1.
const DOT: f64 = 4.0;
/// The largest radius of a dot.
const LARGEST_DOT: f64 = 16.0;

/// Colours that the colour-blind can tell apart (Okabe and Ito, 2008), without the yellow and with
/// a grey and a brown.
const PALETTE: [Color; 9] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
    [0, 0, 0],
    [140, 140, 140],
    [110, 70, 30],
];

/// One axis.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Axis {
    /// The quantity that the axis shows, with its unit.
    pub label: String,
    /// True for a logarithmic axis.
    pub log: bool,
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// (x, y), in drawing order.
    pub points: Vec<[f64; 2]>,
    /// The area of a dot at each point, the usual one 1; none where it is empty.
    pub dots: Vec<f64>,
    /// True for dots without a line between them.
    pub scattered: bool,
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// The origin of the curves, written below the axes; may be empty.
    pub caption: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
}

/// An axis with its range on the page.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    ticks: Ticks,
}

impl Chart {
    /// Lays the chart out.
    ///
    /// # Errors
    /// No points, points that are not finite or not positive on a logarithmic axis, or points
    /// further apart than a number can hold.
    pub fn canvas(&self) -> Result<Canvas> {
        self.check()?;
        let [x, y] = [self.scale(0, 6), self.scale(1, 5)];
        check_range(&self.x.label, x.ends())?;
        check_range(&self.y.label, y.ends())?;

        let names = self.series.iter().map(|s| text_width(&s.name, SMALL));
        let legend = LEGEND_GAP + LEGEND_MARK + 8.0 + names.fold(0.0, f64::max);
        let width = (LEFT + AREA[0] + legend).ceil() + 2.0 * MARGIN;
        let caption = wrapped(&self.caption, SMALL, LEFT + AREA[0]);
        let below = BOTTOM + LINE * caption.len() as f64;
        let mut page = Canvas::new(width, 2.0 * MARGIN + TOP + AREA[1] + below);

        page.text([MARGIN, MARGIN + 14.0], &self.title, TITLE, Anchor::Start, INK);
        draw_axes(&mut page, self, &x, &y);
        for (i, series) in self.series.iter().enumerate() {
            draw_series(&mut page, series, &x, &y, PALETTE[i % PALETTE.len()]);
            draw_legend(&mut page, &series.name, i);
        }
        for (i, line) in caption.iter().enumerate() {
            let top = corner()[1] + AREA[1] + BOTTOM + LINE * i as f64;
            page.text([MARGIN, top + 11.0], line, SMALL, Anchor::Start, GREY);
        }
        Ok(page)
    }

    fn check(&self) -> Result<()> {
        if self.series.iter().all(|s| s.points.is_empty()) {
            return Err(Error::Empty("a chart without points".into()));
        }
        for series in &self.series {
            for (i, [x, y]) in series.points.iter().enumerate() {
                let bad = |v: &f64, log: bool| !v.is_finite() || (log && *v <= 0.0);
                if bad(x, self.x.log) || bad(y, self.y.log) {
                    let name = &series.name;
                    return Err(Error::Value(format!("{name}, point {i}: ({x}, {y})")));
                }
            }
        }
        Ok(())
    }

    /// The range and ticks of x (`k` = 0) or y (`k` = 1), with about `count` ticks.
    fn scale(&self, k: usize, count: usize) -> Scale {
        let log = [self.x.log, self.y.log][k];
        let values = self.series.iter().flat_map(|s| s.points.iter().map(|p| p[k]));
        let bounds = |[low, high]: [f64; 2], v: f64| [low.min(v), high.max(v)];
        let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], bounds);
        let [low, high] = if log { widen_log(low, high, k) } else { widen(low, high, k) };
        let ticks = if log {
            Ticks::logarithmic(low, high, count)
        } else {
            Ticks::linear(low, high, count)
        };
        let ticks = if k == 0 { ticks.fitting(AREA[0], SMALL) } else { ticks };
        Scale { log, low, high, ticks }
    }
}

impl Scale {
    /// The two ends, of a logarithmic axis their logarithms.
    fn ends(&self) -> [f64; 2] {
        [self.low, self.high].map(|end| if self.log { end.ln() } else { end })
    }

    /// The position of a value, 0 at the low end and 1 at the high end.
    fn share(&self, value: f64) -> f64 {
        let [low, high] = self.ends();
        let value = if self.log { value.ln() } else { value };
        (value - low) / (high - low)
    }
}

/// A margin above and below for curves (`k` = 1), none at the sides; a range for constants.
fn widen(low: f64, high: f64, k: usize) -> [f64; 2] {
    if high <= low {
        let margin = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
        return [low - margin, high + margin];
    }
    let margin = if k == 1 { 0.05 * (high - low) } else { 0.0 };
    // What starts near zero starts at zero.
    let at_zero = (0.0..0.1 * (high - low)).contains(&low);
    [if at_zero { 0.0 } else { low - margin }, high + margin]
}

fn widen_log(low: f64, high: f64, k: usize) -> [f64; 2] {
    if high <= low {
        return [low / 2.0, high * 2.0];
    }
    let margin = if k == 1 { (0.05 * (high.ln() - low.ln())).exp() } else { 1.0 };
    // The widest margin leads beyond the numbers there are.
    [(low / margin).max(f64::MIN_POSITIVE), (high * margin).min(f64::MAX)]
}

/// The upper left corner of the area.
fn corner() -> Point {
    [MARGIN + LEFT, MARGIN + TOP]
}

fn place(x: &Scale, y: &Scale, point: [f64; 2]) -> Point {
    let [left, top] = corner();
    [left + AREA[0] * x.share(point[0]), top + AREA[1] * (1.0 - y.share(point[1]))]
}

fn draw_axes(page: &mut Canvas, chart: &Chart, x: &Scale, y: &Scale) {
    let [left, top] = corner();
    let [right, bottom] = [left + AREA[0], top + AREA[1]];
    for (value, label) in x.ticks.values.iter().zip(&x.ticks.labels) {
        let at = left + AREA[0] * x.share(*value);
        page.line(&[[at, top], [at, bottom]], FAINT, 1.0);
        page.text([at, bottom + 16.0], label, SMALL, Anchor::Middle, INK);
    }
    for (value, label) in y.ticks.values.iter().zip(&y.ticks.labels) {
        let at = top + AREA[1] * (1.0 - y.share(*value));
        page.line(&[[left, at], [right, at]], FAINT, 1.0);
        page.text([left - 7.0, at + 4.0], label, SMALL, Anchor::End, INK);
    }
    page.frame([left, top], AREA, GREY);

    let name = |axis: &Axis, scale: &Scale| format!("{}{}", axis.label, scale.ticks.factor());
    let middle = [left + AREA[0] / 2.0, bottom + 36.0];
    page.text(middle, &name(&chart.x, x), NAME, Anchor::Middle, INK);
    page.upward_text([MARGIN + 10.0, top + AREA[1] / 2.0], &name(&chart.y, y), NAME, INK);
}

/// Draws a curve and its dots.
fn draw_series(page: &mut Canvas, series: &Series, x: &Scale, y: &Scale, color: Color) {
    let points: Vec<Point> = series.points.iter().map(|p| place(x, y, *p)).collect();
    if !series.scattered {
        page.line(&points, color, 2.0);
    }
    // A single point has no line.
    if points.len() == 1 && series.dots.is_empty() {
        page.disc(points[0], DOT, color);
    }
    for (point, area) in points.into_iter().zip(&series.dots) {
        page.disc(point, (DOT * area.max(0.0).sqrt()).min(LARGEST_DOT), color);
    }
}

/// Draws the line of the legend of curve `i`.
fn draw_legend(page: &mut Canvas, name: &str, i: usize) {
    let left = corner()[0] + AREA[0] + LEGEND_GAP;
    let y = corner()[1] + 10.0 + 20.0 * i as f64;
    page.line(&[[left, y], [left + LEGEND_MARK, y]], PALETTE[i % PALETTE.len()], 2.5);
    page.text([left + LEGEND_MARK + 8.0, y + 4.0], name, SMALL, Anchor::Start, INK);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::raster::tests::Picture;
    use crate::svg::tests::texts;

    fn chart(points: Vec<[f64; 2]>, log: bool) -> Chart {
        let axis = |label: &str| Axis { label: label.into(), log };
        let series = vec![Series { name: "teacher".into(), points, ..Series::default() }];
        let caption = "64 samples".into();
        Chart { title: "t".into(), caption, x: axis("steps"), y: axis("loss"), series }
    }

    fn drawn(chart: &Chart) -> Picture {
        Picture::of(&chart.canvas().unwrap().to_png(1.0).unwrap())
    }

    /// The middle of the first curve's pixels in a column of the area, from its top.
    fn height_of_curve(found: &Picture, x: f64) -> f64 {
        let [left, top] = corner();
        let rows = (0..AREA[1] as usize)
            .filter(|y| found.at([left + x, top + *y as f64]) == PALETTE[0])
            .map(|y| y as f64 + 0.5);
        let rows: Vec<f64> = rows.collect();
        assert!(!rows.is_empty(), "no curve at {x}");
        rows.iter().sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn scattered_points_have_no_line() {
        let mut chart = chart(vec![[0.0, 0.0], [1.0, 1.0]], false);
        chart.series[0].dots = vec![1.0; 2];
        let lines = |chart: &Chart| chart.canvas().unwrap().to_svg().matches("<polyline").count();
        let lined = lines(&chart);
        chart.series[0].scattered = true;
        assert_eq!(lines(&chart), lined - 1);
    }

    #[test]
    fn a_power_law_is_a_straight_line_on_logarithmic_axes() {
        let points = (0..5).map(|i| [10f64.powi(i), 10f64.powi(-2 * i)]).collect();
        let found = drawn(&chart(points, true));
        let [a, b, c] = [0.25, 0.5, 0.75].map(|x| height_of_curve(&found, x * AREA[0]));
        assert!(a < b && b < c && ((b - a) - (c - b)).abs() < 2.0, "{a} {b} {c}");
    }

    #[test]
    fn a_chart_has_its_size_and_all_its_texts() {
        let canvas = chart(vec![[0.0, 1.0], [4.0, 3.0]], false).canvas().unwrap();
        let found = Picture::of(&canvas.to_png(1.0).unwrap());
        assert_eq!([found.width as f64, found.height as f64], [canvas.width, canvas.height]);
        let texts = texts(&canvas.to_svg());
        for text in ["t", "steps", "loss", "teacher", "64 samples", "0", "4"] {
            assert!(texts.iter().any(|found| found == text), "{text} in {texts:?}");
        }
    }

    #[test]
    fn constants_single_points_and_zeros_are_drawn_inside_the_area() {
        for points in [vec![[1.0, 0.0]], vec![[0.0, 3.0], [1.0, 3.0]], vec![[0.0, 0.0], [2.0, 9.0]]]
        {
            let chart = chart(points, false);
            let [x, y] = [chart.scale(0, 6), chart.scale(1, 5)];
            for point in &chart.series[0].points {
                let [[left, top], [x, y]] = [corner(), place(&x, &y, *point)];
                assert!((left..=left + AREA[0]).contains(&x), "{x}");
                assert!((top..=top + AREA[1]).contains(&y), "{y}");
            }
            let found = drawn(&chart);
            assert!(found.pixels.contains(&PALETTE[0]));
        }
    }

    #[test]
    fn a_dot_has_the_area_asked_for() {
        let dots_of = |area: f64| {
            let mut chart = chart(vec![[1.0, 1.0], [2.0, 2.0], [3.0, 1.0]], false);
            let plain = drawn(&chart);
            chart.series[0].dots = vec![0.0, area, 0.0];
            let dotted = drawn(&chart);
            let count = |found: &Picture| found.pixels.iter().filter(|p| **p == PALETTE[0]).count();
            count(&dotted) as f64 - count(&plain) as f64
        };
        // Beside the two pixels of the line below them.
        let [one, nine, endless] = [1.0, 9.0, 1e9].map(dots_of);
        assert!(nine > 5.0 * one.max(20.0) && nine < 500.0, "{one} {nine}");
        assert!(endless < std::f64::consts::PI * LARGEST_DOT.powi(2), "{endless}");
    }

    #[test]
    fn points_that_cannot_be_shown_are_refused_by_name() {
        let refused = |p, log| chart(vec![[1.0, 1.0], p], log).canvas().unwrap_err();
        assert!(refused([2.0, f64::NAN], false).to_string().contains("teacher, point 1"));
        assert!(refused([2.0, 0.0], true).to_string().contains("point 1"));
        assert!(matches!(chart(vec![], false).canvas(), Err(Error::Empty(_))));
        let apart = chart(vec![[0.0, -1.7e308], [1.0, 1.7e308]], false).canvas();
        assert!(matches!(apart, Err(Error::Range { .. })), "{apart:?}");
        assert!(chart(vec![[1.0, 1e-300], [2.0, 1e300]], true).canvas().is_ok());
    }
}
