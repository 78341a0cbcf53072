//! Pictures: sheets of fields and line charts, as SVG or PNG, from one layout.
//!
//! A picture is a [`Drawing`], a list of images, rectangles, lines and texts; [`Drawing::to_svg`]
//! and [`Drawing::to_png`] are the two ways to show it.

pub mod answer;
pub mod colormap;
pub mod drawing;
mod font;
pub mod lines;
mod raster;
pub mod sheet;
pub mod svg;
pub mod ticks;

pub use colormap::Colormap;
pub use drawing::Drawing;
pub use lines::{Axis, Chart, Series};
pub use sheet::{Column, Row, Sheet};
