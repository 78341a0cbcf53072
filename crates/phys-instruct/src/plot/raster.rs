//! A drawing as PNG. Lines and letters are covered by their distance to each pixel's centre, which
//! smooths their edges.

use super::drawing::{Anchor, Color, Drawing, Item, Point, WHITE};
use super::font;
use crate::{Error, Result};

const MOST_PIXELS: f64 = 1e8;

/// The page at `scale` pixels to a unit.
pub fn render(drawing: &Drawing, scale: f64) -> Result<Vec<u8>> {
    let [width, height] = [drawing.width, drawing.height].map(|v| (v * scale).round());
    if !(width >= 1.0 && height >= 1.0 && width * height <= MOST_PIXELS) {
        return Err(Error::Picture(format!("{width} x {height} pixels")));
    }
    let mut page = Page::new(width as usize, height as usize, scale);
    drawing.items.iter().for_each(|item| page.draw(item));
    encode_png(page.width, page.pixels.as_flattened())
}

/// Encodes RGB bytes, `3 * width` to a row, as a PNG file.
pub fn encode_png(width: usize, rgb: &[u8]) -> Result<Vec<u8>> {
    let height = rgb.len() / (3 * width.max(1));
    let size = |v: usize| u32::try_from(v).map_err(|e| Error::Picture(e.to_string()));
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size(width)?, size(height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let failed = |e: png::EncodingError| Error::Picture(e.to_string());
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

struct Page {
    width: usize,
    height: usize,
    scale: f64,
    pixels: Vec<Color>,
    /// Coverage of the stroke being drawn, so that its segments do not darken their overlap.
    mask: Vec<f32>,
}

impl Page {
    fn new(width: usize, height: usize, scale: f64) -> Self {
        let pixels = width * height;
        Self { width, height, scale, pixels: vec![WHITE; pixels], mask: vec![0.0; pixels] }
    }

    fn draw(&mut self, item: &Item) {
        match item {
            Item::Image { at, size, width, pixels } => self.image(*at, *size, *width, pixels),
            Item::Rect { at, size, color } => self.image(*at, *size, 1, &[*color]),
            Item::Line { points, color, width } => {
                self.strokes(std::slice::from_ref(points), *color, *width)
            }
            Item::Text { at, text, size, anchor, upward, color } => {
                let strokes = text_strokes(*at, text, *size, *anchor, *upward);
                // Small text needs a full pixel of ink to keep its contrast.
                self.strokes(&strokes, *color, (0.095 * size).max(1.1));
            }
        }
    }

    fn image(&mut self, at: Point, size: Point, width: usize, pixels: &[Color]) {
        let rows = pixels.len() / width.max(1);
        let [left, top] = at.map(|v| (v * self.scale).round());
        let across = (size[0] * self.scale).round().max(1.0);
        let down = (size[1] * self.scale).round().max(1.0);
        for y in clip(top, top + down, self.height) {
            let row = ((y as f64 + 0.5 - top) / down * rows as f64) as usize;
            for x in clip(left, left + across, self.width) {
                let column = ((x as f64 + 0.5 - left) / across * width as f64) as usize;
                let source = row.min(rows - 1) * width + column.min(width - 1);
                self.pixels[y * self.width + x] = pixels[source];
            }
        }
    }

    /// Draws lines as one shape, in page units.
    fn strokes(&mut self, strokes: &[Vec<Point>], color: Color, width: f64) {
        let reach = 0.5 * width * self.scale;
        let mut touched = Vec::new();
        for points in strokes {
            let points: Vec<Point> = points.iter().map(|p| p.map(|v| v * self.scale)).collect();
            // A single point is a dot, a little larger than the pen, as in print.
            let reach = if points.len() == 1 { 1.35 * reach } else { reach };
            for i in 0..points.len().saturating_sub(1).max(points.len().min(1)) {
                let end = points[(i + 1).min(points.len() - 1)];
                self.cover(points[i], end, reach, &mut touched);
            }
        }
        for i in touched {
            let share = std::mem::take(&mut self.mask[i]);
            self.pixels[i] = blend(self.pixels[i], color, share);
        }
    }

    fn cover(&mut self, a: Point, b: Point, reach: f64, touched: &mut Vec<usize>) {
        let margin = reach + 1.0;
        let bounds = |k: usize| [a[k].min(b[k]) - margin, a[k].max(b[k]) + margin];
        let [[left, right], [top, bottom]] = [bounds(0), bounds(1)];
        for y in clip(top.floor(), bottom.ceil(), self.height) {
            for x in clip(left.floor(), right.ceil(), self.width) {
                let away = distance([x as f64 + 0.5, y as f64 + 0.5], a, b);
                let share = (reach + 0.5 - away).clamp(0.0, 1.0) as f32;
                let i = y * self.width + x;
                if share > self.mask[i] {
                    if self.mask[i] == 0.0 {
                        touched.push(i);
                    }
                    self.mask[i] = share;
                }
            }
        }
    }
}

fn text_strokes(at: Point, text: &str, size: f64, anchor: Anchor, upward: bool) -> Vec<Vec<Point>> {
    let shift = match anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * font::width(text, size),
        Anchor::End => -font::width(text, size),
    };
    let place = |[x, y]: Point| {
        let x = x + shift;
        if upward { [at[0] + y, at[1] - x] } else { [at[0] + x, at[1] + y] }
    };
    let strokes = font::strokes(text, size);
    strokes.into_iter().map(|stroke| stroke.into_iter().map(place).collect()).collect()
}

fn clip(from: f64, to: f64, end: usize) -> std::ops::Range<usize> {
    (from.max(0.0) as usize)..(to.max(0.0) as usize).min(end)
}

/// Distance of a point to a segment.
fn distance(p: Point, a: Point, b: Point) -> f64 {
    let [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    let [px, py] = [p[0] - a[0], p[1] - a[1]];
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((px * dx + py * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (px - along * dx).hypot(py - along * dy)
}

fn blend(under: Color, over: Color, share: f32) -> Color {
    let mix = |k: usize| f32::from(under[k]) + share * (f32::from(over[k]) - f32::from(under[k]));
    [0, 1, 2].map(|k| mix(k).round() as u8)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::drawing::INK;
    use super::*;

    /// Width, height and pixels of a PNG file.
    pub fn decode(file: &[u8]) -> (usize, usize, Vec<Color>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let pixels = bytes.chunks(3).map(|c| [c[0], c[1], c[2]]).collect();
        (info.width as usize, info.height as usize, pixels)
    }

    #[test]
    fn a_page_has_its_size_and_blocks_lie_where_they_should() {
        let mut drawing = Drawing::new(6.0, 4.0);
        let pixels = vec![[10, 0, 0], [20, 0, 0]];
        drawing.items.push(Item::Image { at: [1.0, 1.0], size: [4.0, 2.0], width: 2, pixels });
        let (width, height, found) = decode(&drawing.to_png(2.0).unwrap());
        assert_eq!((width, height), (12, 8));
        let at = |x: usize, y: usize| found[y * 12 + x];
        assert_eq!([at(2, 2), at(5, 5), at(6, 2), at(9, 5)].map(|c| c[0]), [10, 10, 20, 20]);
        assert_eq!([at(1, 2), at(10, 2), at(2, 1), at(2, 6)], [WHITE; 4]);
    }

    #[test]
    fn a_line_has_its_thickness_and_only_there() {
        let mut drawing = Drawing::new(20.0, 11.0);
        drawing.line(&[[2.0, 5.5], [10.0, 5.5], [18.0, 5.5]], INK, 3.0);
        let (_, _, found) = decode(&drawing.to_png(1.0).unwrap());
        let column: Vec<bool> = (0..11).map(|y| found[y * 20 + 10] == INK).collect();
        assert_eq!(column.iter().filter(|c| **c).count(), 3);
        assert!(column[4] && column[5] && column[6]);
        assert_eq!(found[2 * 20 + 10], WHITE);
    }

    #[test]
    fn text_leaves_ink_on_the_side_its_anchor_says() {
        let ink = |anchor| {
            let mut drawing = Drawing::new(100.0, 20.0);
            drawing.text([50.0, 15.0], "Hamburg", 12.0, anchor, INK);
            let (_, _, found) = decode(&drawing.to_png(1.0).unwrap());
            let dark = |x: usize| (0..20).filter(|y| found[y * 100 + x][0] < 128).count();
            let sides = [(0..49).map(dark).sum::<usize>(), (51..100).map(dark).sum()];
            sides.map(|n| n > 10)
        };
        assert_eq!(ink(Anchor::Start), [false, true]);
        assert_eq!(ink(Anchor::End), [true, false]);
        assert_eq!(ink(Anchor::Middle), [true, true]);
    }

    #[test]
    fn pages_of_no_size_or_too_large_are_refused() {
        for size in [0.0, f64::NAN, 1e6] {
            assert!(Drawing::new(size, size).to_png(1.0).is_err());
        }
    }
}
