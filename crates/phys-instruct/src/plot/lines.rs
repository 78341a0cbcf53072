//! Line charts: training curves, spectra, error against cost.

use super::drawing::{Anchor, Color, Drawing, FAINT, GREY, INK, Point, text_width};
use super::ticks::{Ticks, power_of_ten};
use crate::{Error, Result};

const MARGIN: f64 = 20.0;
const AREA: Point = [520.0, 300.0];
/// Left of the area: the y label and the tick labels.
const LEFT: f64 = 62.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 42.0;
/// Between the area and the legend.
const LEGEND_GAP: f64 = 14.0;
const LEGEND_MARK: f64 = 22.0;
/// Side of a dot of area 1.
const DOT: f64 = 7.0;
/// The largest side of a dot.
const LARGEST_DOT: f64 = 28.0;

/// Colours that the colour-blind can tell apart (Okabe and Ito, 2008), yellow left out, a grey and a
/// brown added.
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
    /// What it shows, with the unit.
    pub label: String,
    /// Whether it is logarithmic.
    pub log: bool,
}

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// (x, y), in drawing order.
    pub points: Vec<[f64; 2]>,
    /// The area of a dot at each point, the usual one 1; none where it is empty.
    pub dots: Vec<f64>,
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chart {
    /// The title.
    pub title: String,
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
    /// No points, or points that are not finite or not positive on a logarithmic axis.
    pub fn drawing(&self) -> Result<Drawing> {
        self.check()?;
        let [x, y] = [self.scale(0, 6), self.scale(1, 5)];
        let names = self.series.iter().map(|s| text_width(&s.name, 12.0));
        let legend = LEGEND_GAP + LEGEND_MARK + 8.0 + 1.05 * names.fold(0.0, f64::max);
        let width = (LEFT + AREA[0] + legend).ceil() + 2.0 * MARGIN;
        let mut page = Drawing::new(width, 2.0 * MARGIN + TOP + AREA[1] + BOTTOM);
        page.text([MARGIN + LEFT, MARGIN + 14.0], &self.title, 16.0, Anchor::Start, INK);
        draw_axes(&mut page, self, &x, &y);
        for (i, series) in self.series.iter().enumerate() {
            let color = PALETTE[i % PALETTE.len()];
            let points: Vec<Point> = series.points.iter().map(|p| place(&x, &y, *p)).collect();
            page.line(&points, color, 2.0);
            for ([x, y], area) in points.into_iter().zip(&series.dots) {
                let side = (DOT * area.sqrt()).min(LARGEST_DOT);
                page.line(&[[x - 0.5 * side, y], [x + 0.5 * side, y]], color, side);
            }
            let [left, top] = [corner()[0] + AREA[0] + LEGEND_GAP, corner()[1] + 10.0];
            let row = top + 20.0 * i as f64;
            page.line(&[[left, row], [left + LEGEND_MARK, row]], color, 2.5);
            let at = [left + LEGEND_MARK + 8.0, row + 4.5];
            page.text(at, &series.name, 12.0, Anchor::Start, INK);
        }
        Ok(page)
    }

    fn check(&self) -> Result<()> {
        if self.series.iter().all(|s| s.points.is_empty()) {
            return Err(Error::Picture("a chart without points".into()));
        }
        for series in &self.series {
            for (i, [x, y]) in series.points.iter().enumerate() {
                let bad = |v: &f64, log: bool| !v.is_finite() || (log && *v <= 0.0);
                if bad(x, self.x.log) || bad(y, self.y.log) {
                    let name = &series.name;
                    return Err(Error::NonFinite(format!("{name}, point {i}: ({x}, {y})")));
                }
            }
        }
        Ok(())
    }

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
        Scale { log, low, high, ticks }
    }
}

impl Scale {
    /// The position of a value, 0 at the low end and 1 at the high end.
    fn share(&self, value: f64) -> f64 {
        if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

/// Room above and below for curves (`k` = 1), none at the sides; a range for constants.
fn widen(low: f64, high: f64, k: usize) -> [f64; 2] {
    if high <= low {
        let room = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
        return [low - room, high + room];
    }
    let room = if k == 1 { 0.05 * (high - low) } else { 0.0 };
    // What starts near zero starts at zero.
    let at_zero = (0.0..0.1 * (high - low)).contains(&low);
    [if at_zero { 0.0 } else { low - room }, high + room]
}

fn widen_log(low: f64, high: f64, k: usize) -> [f64; 2] {
    if high <= low {
        return [low / 2.0, high * 2.0];
    }
    let room = if k == 1 { (high / low).powf(0.05) } else { 1.0 };
    [low / room, high * room]
}

/// The upper left corner of the area.
fn corner() -> Point {
    [MARGIN + LEFT, MARGIN + TOP]
}

fn place(x: &Scale, y: &Scale, point: [f64; 2]) -> Point {
    let [left, top] = corner();
    [left + AREA[0] * x.share(point[0]), top + AREA[1] * (1.0 - y.share(point[1]))]
}

fn draw_axes(page: &mut Drawing, chart: &Chart, x: &Scale, y: &Scale) {
    let [left, top] = corner();
    let [right, bottom] = [left + AREA[0], top + AREA[1]];
    for (value, label) in x.ticks.values.iter().zip(&x.ticks.labels) {
        let at = left + AREA[0] * x.share(*value);
        page.line(&[[at, top], [at, bottom]], FAINT, 1.0);
        page.text([at, bottom + 17.0], label, 12.0, Anchor::Middle, INK);
    }
    for (value, label) in y.ticks.values.iter().zip(&y.ticks.labels) {
        let at = top + AREA[1] * (1.0 - y.share(*value));
        page.line(&[[left, at], [right, at]], FAINT, 1.0);
        page.text([left - 8.0, at + 4.5], label, 12.0, Anchor::End, INK);
    }
    page.frame([left, top], AREA, GREY);
    let middle = left + AREA[0] / 2.0;
    page.text([middle, bottom + 38.0], &titled(&chart.x, x), 13.0, Anchor::Middle, INK);
    let upward = [MARGIN + 10.0, top + AREA[1] / 2.0];
    page.upward_text(upward, &titled(&chart.y, y), 13.0, INK);
}

fn titled(axis: &Axis, scale: &Scale) -> String {
    match scale.ticks.exponent {
        0 => axis.label.clone(),
        power => format!("{} (×{})", axis.label, power_of_ten(power)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plot::drawing::Item;
    use crate::plot::raster::tests::decode;
    use crate::plot::svg::tests::assert_well_formed;

    fn chart(points: Vec<[f64; 2]>, log: bool) -> Chart {
        let axis = |label: &str| Axis { label: label.into(), log };
        let series = vec![Series { name: "teacher".into(), points, dots: vec![] }];
        Chart { title: "t".into(), x: axis("steps"), y: axis("loss"), series }
    }

    /// The corners of the first curve.
    fn curve(drawing: &Drawing) -> Vec<Point> {
        let find = |item: &Item| match item {
            Item::Line { points, color, .. } if *color == PALETTE[0] => Some(points.clone()),
            _ => None,
        };
        drawing.items.iter().find_map(find).unwrap()
    }

    #[test]
    fn a_power_law_is_a_straight_line_on_logarithmic_axes() {
        let points = (0..5).map(|i| [10f64.powi(i), 10f64.powi(-2 * i)]).collect();
        let drawing = chart(points, true).drawing().unwrap();
        let curve = curve(&drawing);
        let slope = |i: usize| (curve[i + 1][1] - curve[i][1]) / (curve[i + 1][0] - curve[i][0]);
        assert!((1..4).all(|i| (slope(i) - slope(0)).abs() < 1e-9) && slope(0) > 0.0);
        assert_eq!(curve[0][0], corner()[0]);
        assert!((curve[4][0] - corner()[0] - AREA[0]).abs() < 1e-9);
        assert_well_formed(&drawing.to_svg().unwrap());
        let (width, height, _) = decode(&drawing.to_png(1.0).unwrap());
        assert_eq!([width as f64, height as f64], [drawing.width, drawing.height]);
    }

    #[test]
    fn constants_single_points_and_zeros_are_drawn_inside_the_area() {
        for points in [vec![[1.0, 0.0]], vec![[0.0, 3.0], [1.0, 3.0]], vec![[0.0, 0.0], [2.0, 9.0]]]
        {
            for [x, y] in curve(&chart(points, false).drawing().unwrap()) {
                let [left, top] = corner();
                assert!((left..=left + AREA[0]).contains(&x), "{x}");
                assert!((top..=top + AREA[1]).contains(&y), "{y}");
            }
        }
    }

    #[test]
    fn a_dot_has_the_area_asked_for() {
        let mut chart = chart(vec![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], false);
        chart.series[0].dots = vec![1.0, 4.0, 1e9];
        let dot = |item: &Item| match item {
            Item::Line { points, color, width } if *color == PALETTE[0] && points.len() == 2 => {
                Some([points[1][0] - points[0][0], *width])
            }
            _ => None,
        };
        let sides: Vec<_> = chart.drawing().unwrap().items.iter().filter_map(dot).collect();
        assert_eq!(sides[..3], [[DOT; 2], [2.0 * DOT; 2], [LARGEST_DOT; 2]]);
    }

    #[test]
    fn points_that_cannot_be_shown_are_refused_by_name() {
        let reason = |p, log| chart(vec![[1.0, 1.0], p], log).drawing().unwrap_err().to_string();
        assert!(reason([2.0, f64::NAN], false).contains("teacher, point 1"));
        assert!(reason([2.0, 0.0], true).contains("point 1"));
        assert!(chart(vec![], false).drawing().is_err());
    }
}
