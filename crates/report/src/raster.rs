//! Pixels: PNG files, and the rendering of an SVG document.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::color::Color;
use crate::error::{Error, Result};
use crate::font;

/// The most pixels of a picture; a sheet of many samples has some ten million.
const MOST_PIXELS: f64 = 1e8;

/// Renders the document `svg`, of `width` and `height` units, at `scale` pixels to a unit as PNG.
///
/// # Errors
/// A picture of no size or of more than 100 million pixels; a document that cannot be read.
pub fn render(svg: &str, [width, height]: [f64; 2], scale: f64) -> Result<Vec<u8>> {
    let [across, down] = [width, height].map(|side| (side * scale).round());
    if !(across >= 1.0 && down >= 1.0 && across * down <= MOST_PIXELS) {
        return Err(Error::Size { width: across, height: down });
    }
    let options = Options {
        font_family: font::FAMILY.into(),
        fontdb: font::database(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|e| Error::Encoding(e.to_string()))?;

    let mut page = Pixmap::new(across as u32, down as u32)
        .ok_or(Error::Size { width: across, height: down })?;
    let stretch = Transform::from_scale(across as f32 / width as f32, down as f32 / height as f32);
    resvg::render(&tree, stretch, &mut page.as_mut());

    // The page is opaque: a white rectangle lies below everything.
    let pixels: Vec<Color> = page.data().chunks_exact(4).map(|p| [p[0], p[1], p[2]]).collect();
    encode_png(across as usize, &pixels)
}

/// Encodes rows of `width` pixels as a PNG file.
///
/// # Errors
/// No pixels, or more than the format can hold.
pub fn encode_png(width: usize, pixels: &[Color]) -> Result<Vec<u8>> {
    let height = pixels.len() / width.max(1);
    let size = |side: usize| u32::try_from(side).map_err(|e| Error::Encoding(e.to_string()));
    let failed = |e: png::EncodingError| Error::Encoding(e.to_string());

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size(width)?, size(height)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels.as_flattened()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A decoded picture.
    pub struct Picture {
        pub width: usize,
        pub height: usize,
        pub pixels: Vec<Color>,
    }

    impl Picture {
        /// Decodes a PNG file.
        pub fn of(file: &[u8]) -> Self {
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
            let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut bytes).unwrap();
            let pixels = bytes.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
            Self { width: info.width as usize, height: info.height as usize, pixels }
        }

        /// The colour at a place of the page, rendered at one pixel to a unit.
        pub fn at(&self, [x, y]: [f64; 2]) -> Color {
            self.pixels[y as usize * self.width + x as usize]
        }

        /// The number of dark pixels in a rectangle of the page.
        pub fn ink(&self, [left, top]: [f64; 2], [width, height]: [f64; 2]) -> usize {
            let rows = top as usize..(top + height) as usize;
            let dark = |y: usize, x: usize| self.pixels[y * self.width + x][0] < 128;
            rows.map(|y| (left as usize..(left + width) as usize).filter(|x| dark(y, *x)).count())
                .sum()
        }
    }

    #[test]
    fn a_png_holds_the_pixels_it_was_given() {
        let pixels = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [255, 0, 128]];
        let found = Picture::of(&encode_png(2, &pixels).unwrap());
        assert_eq!((found.width, found.height, found.pixels), (2, 2, pixels.to_vec()));
        assert!(encode_png(0, &[]).is_err());
    }

    #[test]
    fn documents_that_are_none_are_refused() {
        for bad in ["", "<svg>", "<svg xmlns=\"http://www.w3.org/2000/svg\"><text></svg>"] {
            assert!(matches!(render(bad, [5.0; 2], 1.0), Err(Error::Encoding(_))), "{bad}");
        }
    }
}
