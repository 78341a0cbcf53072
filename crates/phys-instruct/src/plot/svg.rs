//! A drawing as SVG: text stays text, images are embedded as base64 PNG.

use super::drawing::{Anchor, Color, Drawing, Item, Point};
use super::raster::encode_png;
use crate::Result;

/// The whole document.
pub fn render(drawing: &Drawing) -> Result<String> {
    let [width, height] = [drawing.width, drawing.height];
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" \
         font-family=\"Inter, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for item in &drawing.items {
        out.push_str(&element(item)?);
        out.push('\n');
    }
    out.push_str("</svg>\n");
    Ok(out)
}

fn element(item: &Item) -> Result<String> {
    Ok(match item {
        Item::Image { at, size, width, pixels } => {
            let png = encode_png(*width, pixels.as_flattened())?;
            let href = base64(&png);
            format!(
                "<image {} preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
                 href=\"data:image/png;base64,{href}\"/>",
                box_of(*at, *size)
            )
        }
        Item::Rect { at, size, color } => {
            format!("<rect {} fill=\"{}\"/>", box_of(*at, *size), hex(*color))
        }
        Item::Line { points, color, width } => polyline(points, *color, *width),
        Item::Text { at, text, size, anchor, upward, color } => {
            let turn = if *upward { rotation(*at) } else { String::new() };
            format!(
                "<text x=\"{}\" y=\"{}\" font-size=\"{size}\" text-anchor=\"{}\" \
                 fill=\"{}\"{turn}>{}</text>",
                at[0],
                at[1],
                anchor_name(*anchor),
                hex(*color),
                escape(text)
            )
        }
    })
}

fn polyline(points: &[Point], color: Color, width: f64) -> String {
    let list: Vec<String> = points.iter().map(|[x, y]| format!("{x:.2},{y:.2}")).collect();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" \
         stroke-linejoin=\"round\"/>",
        list.join(" "),
        hex(color)
    )
}

fn rotation([x, y]: Point) -> String {
    format!(" transform=\"rotate(-90 {x} {y})\"")
}

fn anchor_name(anchor: Anchor) -> &'static str {
    match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    }
}

fn box_of([x, y]: Point, [width, height]: Point) -> String {
    format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
}

fn hex([r, g, b]: Color) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Text as XML character data; control characters, which XML forbids, become spaces.
/// Text as it may stand in SVG and HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::drawing::INK;
    use super::*;

    /// Fails unless every tag is closed in order and every `&` begins an entity.
    pub fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("an unclosed tag");
            assert!(!text.contains('>'), "bare > in {text}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap());
            }
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        }
        assert!(open.is_empty(), "{open:?}");
        for entity in svg.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot"].contains(&name), "&{name}");
        }
    }

    #[test]
    fn base64_matches_the_vectors_of_the_standard() {
        let found = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|s| base64(s.as_bytes()));
        assert_eq!(found, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut drawing = Drawing::new(100.0, 50.0);
        let text = "a < b & \"c\" > </svg>\u{0}";
        drawing.text([1.0, 2.0], text, 12.0, Anchor::End, INK);
        drawing.upward_text([1.0, 2.0], "up", 12.0, INK);
        drawing.frame([0.0; 2], [10.0; 2], INK);
        let svg = drawing.to_svg().unwrap();
        assert_well_formed(&svg);
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot; &gt; &lt;/svg&gt; </text>"));
    }

    #[test]
    fn an_image_is_embedded_as_a_png_of_its_own_pixels() {
        let mut drawing = Drawing::new(10.0, 10.0);
        let pixels = vec![[1, 2, 3], [4, 5, 6]];
        drawing.items.push(Item::Image { at: [0.0; 2], size: [10.0; 2], width: 2, pixels });
        let svg = drawing.to_svg().unwrap();
        assert_well_formed(&svg);
        // The PNG signature in base64.
        assert!(svg.contains("base64,iVBORw0KGgo"));
    }
}
