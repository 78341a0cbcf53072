//! The canvas: a page of shapes and texts that is written as SVG.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use crate::color::{Color, FAINT, GREY, INK, WHITE};
use crate::error::Result;
use crate::{font, raster};

/// A position or a size in pixels: x to the right, y down.
pub type Point = [f64; 2];

/// The space around a page, in pixels like every length here.
pub const MARGIN: f64 = 20.0;
/// The size of letters in a page's title.
pub const TITLE: f64 = 16.0;
/// The size of letters in the names of panels and axes.
pub const NAME: f64 = 12.0;
/// The size of letters in ticks, legends and captions.
pub const SMALL: f64 = 11.0;
/// The height of a line of names, and of captions.
pub const LINE: f64 = 16.0;

/// The point of a text that lies at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The left end of the baseline.
    Start,
    /// The middle of the baseline.
    Middle,
    /// The right end of the baseline.
    End,
}

/// A page, drawn in order on white.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// The elements of the document, a line each.
    elements: String,
}

impl Canvas {
    /// Returns an empty page.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, elements: String::new() }
    }

    /// Adds a horizontal text in letters of `size` pixels.
    pub fn text(&mut self, at: Point, text: &str, size: f64, anchor: Anchor, color: Color) {
        self.add_text(at, text, size, anchor, color, "");
    }

    /// Adds a text that runs upwards, centred at `at`.
    pub fn upward_text(&mut self, at: Point, text: &str, size: f64, color: Color) {
        let [x, y] = at.map(short);
        let turn = format!(" transform=\"rotate(-90 {x} {y})\"");
        self.add_text(at, text, size, Anchor::Middle, color, &turn);
    }

    fn add_text(
        &mut self,
        at: Point,
        text: &str,
        size: f64,
        anchor: Anchor,
        color: Color,
        turn: &str,
    ) {
        let [x, y] = at.map(short);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(&format!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
             fill=\"{}\"{turn}>{}</text>",
            hex(color),
            escape(text)
        ));
    }

    /// Adds connected lines of `width` pixels.
    pub fn line(&mut self, points: &[Point], color: Color, width: f64) {
        let list: Vec<String> =
            points.iter().map(|point| point.map(|v| short(v).to_string()).join(",")).collect();
        self.add(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>",
            list.join(" "),
            hex(color)
        ));
    }

    /// Adds the outline of a rectangle.
    pub fn frame(&mut self, at: Point, size: Point, color: Color) {
        self.add(&format!(
            "<rect {} fill=\"none\" stroke=\"{}\" stroke-width=\"1\"/>",
            rectangle(at, size),
            hex(color)
        ));
    }

    /// Adds a disc with a white rim, so that it is seen on every colour.
    pub fn disc(&mut self, at: Point, radius: f64, color: Color) {
        let [x, y] = at.map(short);
        self.add(&format!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"{}\" stroke=\"#ffffff\" \
             stroke-width=\"0.8\"/>",
            short(radius),
            hex(color)
        ));
    }

    /// Adds rows of `width` pixels stretched over a rectangle, each pixel a sharp block.
    ///
    /// # Errors
    /// No pixels.
    pub fn image(&mut self, at: Point, size: Point, width: usize, pixels: &[Color]) -> Result<()> {
        let data = STANDARD.encode(raster::encode_png(width, pixels)?);
        self.add(&format!(
            "<image {} preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
             href=\"data:image/png;base64,{data}\"/>",
            rectangle(at, size)
        ));
        Ok(())
    }

    fn add(&mut self, element: &str) {
        self.elements.push_str(element);
        self.elements.push('\n');
    }

    /// Returns the page as a self-contained SVG document.
    pub fn to_svg(&self) -> String {
        let [width, height] = [self.width, self.height].map(short);
        let mut document = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{}\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            font::FAMILIES
        );
        document.push_str(&self.elements);
        document.push_str("</svg>\n");
        document
    }

    /// Returns the page as a PNG file of `scale` pixels to a unit; 2 is sharp on every screen.
    ///
    /// # Errors
    /// A page of no size, or one of more than 100 million pixels.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>> {
        raster::render(&self.to_svg(), [self.width, self.height], scale)
    }
}

/// A length to a hundredth of a pixel, which no screen shows.
fn short(length: f64) -> f64 {
    // Adding 0.0 makes a negative zero positive.
    (100.0 * length).round() / 100.0 + 0.0
}

fn rectangle(at: Point, size: Point) -> String {
    let ([x, y], [width, height]) = (at.map(short), size.map(short));
    format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
}

fn hex([r, g, b]: Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A text as it may stand in SVG and HTML. Characters that XML forbids become spaces.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use resvg::usvg::{Group, Node, Options, Tree};

    use super::*;
    use crate::error::Error;
    use crate::raster::tests::Picture;

    /// The texts of a document, as another program reads them.
    pub fn texts(svg: &str) -> Vec<String> {
        fn walk(group: &Group, found: &mut Vec<String>) {
            for node in group.children() {
                match node {
                    Node::Group(group) => walk(group, found),
                    Node::Text(text) => {
                        found.push(text.chunks().iter().map(|chunk| chunk.text()).collect());
                    }
                    _ => (),
                }
            }
        }
        let options = Options { fontdb: font::database(), ..Options::default() };
        let mut found = Vec::new();
        walk(Tree::from_str(svg, &options).unwrap().root(), &mut found);
        found
    }

    fn drawn(canvas: &Canvas) -> Picture {
        Picture::of(&canvas.to_png(1.0).unwrap())
    }

    #[test]
    fn hostile_texts_stay_texts() {
        let mut canvas = Canvas::new(300.0, 50.0);
        let text = "a < b & \"c\" > 'd' </svg> <!-- ]]> &amp;";
        canvas.text([1.0, 20.0], text, 12.0, Anchor::Start, INK);
        canvas.upward_text([1.0, 2.0], "x\u{0}y\u{ffff}z", 12.0, INK);
        assert_eq!(texts(&canvas.to_svg()), [text, "x y z"]);
    }

    #[test]
    fn a_document_names_a_font_that_every_machine_has() {
        assert!(Canvas::new(1.0, 1.0).to_svg().contains("sans-serif"));
    }

    #[test]
    fn a_page_has_its_size_and_pixels_lie_where_they_should() {
        let mut canvas = Canvas::new(6.0, 4.0);
        canvas.image([1.0, 1.0], [4.0, 2.0], 2, &[[10, 0, 0], [20, 0, 0]]).unwrap();
        let found = Picture::of(&canvas.to_png(2.0).unwrap());
        assert_eq!([found.width, found.height], [12, 8]);
        let red = |places: [[f64; 2]; 4]| places.map(|place| found.at(place)[0]);
        assert_eq!(red([[2.0, 2.0], [5.0, 5.0], [6.0, 2.0], [9.0, 5.0]]), [10, 10, 20, 20]);
        let outside = [[1.0, 2.0], [10.0, 2.0], [2.0, 1.0], [2.0, 6.0]];
        assert_eq!(outside.map(|place| found.at(place)), [WHITE; 4]);
        assert!(canvas.image([0.0; 2], [1.0; 2], 0, &[]).is_err());
    }

    #[test]
    fn a_line_has_its_thickness_and_a_frame_is_hollow() {
        let mut canvas = Canvas::new(40.0, 11.0);
        canvas.line(&[[2.0, 5.5], [10.0, 5.5], [18.0, 5.5]], INK, 3.0);
        canvas.frame([22.5, 1.5], [15.0, 8.0], INK);
        let found = drawn(&canvas);
        let dark: Vec<usize> = (0..11).filter(|y| found.at([10.0, *y as f64]) == INK).collect();
        assert_eq!(dark, [4, 5, 6]);
        assert_eq!([found.at([22.0, 5.0]), found.at([30.0, 5.0])], [INK, WHITE]);
    }

    #[test]
    fn a_text_leaves_ink_on_the_side_its_anchor_says() {
        let ink = |anchor| {
            let mut canvas = Canvas::new(120.0, 20.0);
            canvas.text([60.0, 15.0], "Hamburg", 12.0, anchor, INK);
            let found = drawn(&canvas);
            [[0.0, 0.0], [61.0, 0.0]].map(|corner| found.ink(corner, [59.0, 20.0]) > 20)
        };
        assert_eq!(ink(Anchor::Start), [false, true]);
        assert_eq!(ink(Anchor::End), [true, false]);
        assert_eq!(ink(Anchor::Middle), [true, true]);
    }

    #[test]
    fn a_text_is_as_wide_as_it_was_measured() {
        let mut canvas = Canvas::new(200.0, 20.0);
        canvas.text([10.0, 15.0], "MMMMMMMM", 12.0, Anchor::Start, INK);
        let found = drawn(&canvas);
        let width = font::text_width("MMMMMMMM", 12.0);
        let last = (0..200).rev().find(|x| found.ink([f64::from(*x), 0.0], [1.0, 20.0]) > 0);
        assert!((f64::from(last.unwrap()) - 10.0 - width).abs() < 3.0, "{last:?}, {width}");
    }

    #[test]
    fn an_upward_text_is_higher_than_wide() {
        let mut canvas = Canvas::new(120.0, 120.0);
        canvas.upward_text([60.0, 60.0], "Hamburg", 12.0, INK);
        let found = drawn(&canvas);
        let [all, column] =
            [found.ink([0.0, 0.0], [120.0, 120.0]), found.ink([48.0, 30.0], [16.0, 60.0])];
        assert!(all > 20 && all == column, "{all} {column}");
    }

    #[test]
    fn pages_of_no_size_or_too_large_are_refused() {
        for size in [0.0, f64::NAN, 1e6] {
            let answer = Canvas::new(size, size).to_png(1.0);
            assert!(matches!(answer, Err(Error::Size { .. })), "{size}");
        }
    }
}
