//! Pictures and pages: sheets of fields, line charts, tables with pictures.
//!
//! This crate knows plain numbers and titles, no tensors and no models: what is to be shown is
//! computed by the caller. A picture is laid out by a [`sheet::Sheet`] or a [`lines::Chart`] on a
//! [`Canvas`], which is an SVG document as text; [`Canvas::to_png`] renders that document.

mod color;
pub mod colormap;
pub mod error;
mod font;
pub mod lines;
pub mod number;
pub mod page;
mod raster;
pub mod sheet;
pub mod svg;
pub mod ticks;

pub use error::{Error, Result};
pub use svg::Canvas;
