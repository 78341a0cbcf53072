//! The font that texts are measured and rendered with.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb::Database;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// DejaVu Sans, cut to the characters that pictures need.
const FILE: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");

/// The font of the file.
pub const FAMILY: &str = "DejaVu Sans";

/// The families that an SVG asks for. Verdana has the widths of DejaVu Sans.
pub const FAMILIES: &str = "'DejaVu Sans', Verdana, Geneva, sans-serif";

/// The share of a letter's size that a character outside the font is taken to be wide.
const UNKNOWN: f32 = 0.6;

/// The fonts that a picture is rendered with: this one alone, so that every machine draws the same.
pub fn database() -> Arc<Database> {
    static DATABASE: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut database = Database::new();
        database.load_font_data(FILE.to_vec());
        Arc::new(database)
    });
    Arc::clone(&DATABASE)
}

/// Width of a line of text in letters of `size` pixels, in pixels.
pub fn text_width(text: &str, size: f64) -> f64 {
    let widths = FontRef::new(FILE).ok().map(|font| {
        (font.charmap(), font.glyph_metrics(Size::new(size as f32), LocationRef::default()))
    });
    let of_letter = |letter: char| {
        let (letters, metrics) = widths.as_ref()?;
        metrics.advance_width(letters.map(letter)?)
    };
    text.chars().map(|c| f64::from(of_letter(c).unwrap_or(UNKNOWN * size as f32))).sum()
}

/// A text in at most `width` pixels: its end gives way to an ellipsis, the `tail` never does.
pub fn fitted(text: &str, tail: &str, size: f64, width: f64) -> String {
    let mut kept = text.to_owned();
    let mut whole = format!("{text}{tail}");
    while text_width(&whole, size) > width && kept.pop().is_some() {
        whole = format!("{}…{tail}", kept.trim_end_matches([' ', ',']));
    }
    whole
}

/// Lines of at most `width` pixels; a word that is longer stands alone and is cut.
pub fn wrapped(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines = Vec::<String>::new();
    for word in text.split_whitespace() {
        let word = fitted(word, "", size, width);
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                *line += &format!(" {word}");
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_font_that_is_named_and_has_the_signs_of_numbers() {
        let database = database();
        let names: Vec<_> = database.faces().flat_map(|face| &face.families).collect();
        assert!(names.iter().any(|(name, _)| name == FAMILY), "{names:?}");
        let letters = FontRef::new(FILE).map(|font| font.charmap());
        for sign in "AZaz09×⁻⁰¹²³⁴⁵⁶⁷⁸⁹−±…∂∇ωéßЖ".chars() {
            assert!(letters.as_ref().is_ok_and(|l| l.map(sign).is_some()), "{sign}");
        }
    }

    #[test]
    fn widths_are_those_of_the_published_font() {
        // DejaVu Sans has 2048 units in a letter's size; its digits are 1303 wide, its i is 569.
        assert!((text_width("0123456789", 2048.0) - 13030.0).abs() < 1.0);
        assert!((text_width("i", 1024.0) - 284.5).abs() < 1.0);
        assert_eq!(text_width("", 12.0), 0.0);
        assert!(text_width("漢", 10.0) > 5.0);
    }

    #[test]
    fn long_texts_give_way_and_their_tail_does_not() {
        assert_eq!(fitted("u, solution", " (×10⁻³)", 12.0, 200.0), "u, solution (×10⁻³)");
        let long = "vorticity at a late time, ".repeat(3);
        let short = fitted(&long, " (×10⁻³)", 12.0, 150.0);
        assert!(text_width(&short, 12.0) <= 150.0 && short.ends_with("… (×10⁻³)"), "{short}");
        assert_eq!(fitted("wide", "tail", 12.0, 1.0), "…tail");
    }

    #[test]
    fn lines_hold_every_word_in_order_and_none_is_too_wide() {
        let text = "one of its values is far from what this model knows ".repeat(4);
        let lines = wrapped(&text, 11.0, 180.0);
        assert!(lines.len() > 3 && lines.iter().all(|line| text_width(line, 11.0) <= 180.0));
        assert_eq!(lines.join(" "), text.trim());
        let cut = wrapped(&"x".repeat(99), 11.0, 100.0);
        assert!(cut.len() == 1 && text_width(&cut[0], 11.0) <= 100.0);
    }
}
