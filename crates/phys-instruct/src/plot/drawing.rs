//! The display list that every picture is made of.

use crate::Result;

/// Red, green, blue, sRGB.
pub type Color = [u8; 3];

/// Near black, for text.
pub const INK: Color = [34, 34, 34];
/// For frames, ticks and secondary text.
pub const GREY: Color = [120, 120, 120];
/// For grid lines.
pub const FAINT: Color = [228, 228, 228];
/// The background.
pub const WHITE: Color = [255, 255, 255];

/// Which point of a text lies at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The left end of the baseline.
    Start,
    /// The middle of the baseline.
    Middle,
    /// The right end of the baseline.
    End,
}

/// A position, or a size, in pixels: x to the right, y down.
pub type Point = [f64; 2];

/// One thing to draw.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A small picture stretched over a rectangle, each of its pixels a sharp block.
    Image {
        /// Upper left corner.
        at: Point,
        /// Size on the page.
        size: Point,
        /// Pixels across.
        width: usize,
        /// The pixels, row by row from the top.
        pixels: Vec<Color>,
    },
    /// A filled rectangle.
    Rect {
        /// Upper left corner.
        at: Point,
        /// Size.
        size: Point,
        /// Fill.
        color: Color,
    },
    /// Connected straight lines.
    Line {
        /// The corners.
        points: Vec<Point>,
        /// Colour.
        color: Color,
        /// Thickness in pixels.
        width: f64,
    },
    /// One line of text.
    Text {
        /// Where the anchor lies.
        at: Point,
        /// The text.
        text: String,
        /// Font size in pixels.
        size: f64,
        /// Which end of the text lies at `at`.
        anchor: Anchor,
        /// Whether the text runs upwards instead of to the right.
        upward: bool,
        /// Colour.
        color: Color,
    },
}

/// A page of things, drawn in order on white.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// What is on it.
    pub items: Vec<Item>,
}

impl Drawing {
    /// An empty page.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, items: Vec::new() }
    }

    /// Adds a horizontal text.
    pub fn text(&mut self, at: Point, text: &str, size: f64, anchor: Anchor, color: Color) {
        let text = text.to_string();
        self.items.push(Item::Text { at, text, size, anchor, upward: false, color });
    }

    /// Adds a text that runs upwards, centred at `at`.
    pub fn upward_text(&mut self, at: Point, text: &str, size: f64, color: Color) {
        let (text, anchor) = (text.to_string(), Anchor::Middle);
        self.items.push(Item::Text { at, text, size, anchor, upward: true, color });
    }

    /// Adds connected lines.
    pub fn line(&mut self, points: &[Point], color: Color, width: f64) {
        self.items.push(Item::Line { points: points.to_vec(), color, width });
    }

    /// Adds the outline of a rectangle.
    pub fn frame(&mut self, [x, y]: Point, [width, height]: Point, color: Color) {
        let [right, bottom] = [x + width, y + height];
        let corners = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]];
        self.line(&corners, color, 1.0);
    }

    /// Adds another page below this one.
    pub fn below(&mut self, other: Drawing) {
        let by = self.height;
        let down = |[x, y]: Point| [x, y + by];
        self.items.extend(other.items.into_iter().map(|mut item| {
            match &mut item {
                Item::Image { at, .. } | Item::Rect { at, .. } | Item::Text { at, .. } => {
                    *at = down(*at);
                }
                Item::Line { points, .. } => points.iter_mut().for_each(|p| *p = down(*p)),
            }
            item
        }));
        self.width = self.width.max(other.width);
        self.height += other.height;
    }

    /// The page as a self-contained SVG document.
    ///
    /// # Errors
    /// An image that cannot be encoded.
    pub fn to_svg(&self) -> Result<String> {
        super::svg::render(self)
    }

    /// The page as a PNG file of `scale` pixels to each unit (2 is sharp on every screen).
    ///
    /// # Errors
    /// A page of no size, or one of more than 100 million pixels.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>> {
        super::raster::render(self, scale)
    }
}

/// The width of a text in pixels in the PNG's font, about that of the SVG's.
pub fn text_width(text: &str, size: f64) -> f64 {
    super::font::width(text, size)
}
