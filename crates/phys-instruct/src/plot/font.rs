//! A small plotter font: every letter a few straight strokes on a grid.
//!
//! Columns 0 to 6, rows 0 to 8: the baseline is row 2, small letters reach row 6, capitals and
//! figures row 8, descenders row 0. Superscripts are the plain figures, smaller and raised.

use super::drawing::Point;

/// Column and row in units of the font size: capitals are 0.72 of it, as in common sans serifs.
const COLUMN: f64 = 0.088;
const ROW: f64 = 0.12;
/// Columns between letters.
const GAP: f64 = 2.0;
const SUPERSCRIPT: f64 = 0.68;

/// A letter's columns, and its strokes: points as column and row digits, strokes parted by `/`.
type Glyph = (u8, &'static str);

/// Drawn for characters the font does not have.
const UNKNOWN: Glyph = (4, "02 08 48 42 02");

/// The width of a text of the given font size, in the same unit.
pub fn width(text: &str, size: f64) -> f64 {
    let columns: f64 = text.chars().map(advance).sum();
    (columns - GAP).max(0.0) * COLUMN * size
}

/// The strokes of a text whose baseline starts at the origin, y down.
pub fn strokes(text: &str, size: f64) -> Vec<Vec<Point>> {
    let mut all = Vec::new();
    let mut left = 0.0;
    for c in text.chars() {
        let (plain, scale, raise) = shape(c);
        for stroke in glyph(plain).1.split('/').filter(|s| !s.is_empty()) {
            let place = |(column, row): (f64, f64)| {
                let x = left + scale * column;
                [x * COLUMN * size, -(scale * row + raise) * ROW * size]
            };
            all.push(points(stroke).map(place).collect());
        }
        left += advance(c);
    }
    all
}

fn advance(c: char) -> f64 {
    let (plain, scale, _) = shape(c);
    scale * f64::from(glyph(plain).0) + GAP * scale.sqrt()
}

/// The plain character, its scale and how many rows it is raised.
fn shape(c: char) -> (char, f64, f64) {
    const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    let plain = match c {
        '⁻' => Some('−'),
        c => RAISED.chars().position(|r| r == c).and_then(|i| char::from_digit(i as u32, 10)),
    };
    plain.map_or((c, 1.0, 0.0), |p| (p, SUPERSCRIPT, 2.8))
}

/// Points as (column, row above the baseline).
fn points(stroke: &'static str) -> impl Iterator<Item = (f64, f64)> {
    stroke.split(' ').filter_map(|pair| {
        let [column, row] = pair.as_bytes() else { return None };
        Some((f64::from(column - b'0'), f64::from(*row) - f64::from(b'0') - 2.0))
    })
}

fn glyph(c: char) -> Glyph {
    match c {
        'A'..='Z' => CAPITALS[c as usize - 'A' as usize],
        'a'..='z' => SMALL[c as usize - 'a' as usize],
        '0'..='9' => FIGURES[c as usize - '0' as usize],
        c => sign(c),
    }
}

const FIGURES: [Glyph; 10] = [
    (4, "12 32 43 47 38 18 07 03 12"),
    (4, "06 28 22/02 42"),
    (4, "07 18 38 47 46 02 42"),
    (4, "07 18 38 47 46 35 15/35 44 43 32 12 03"),
    (4, "32 38 04 44"),
    (4, "48 08 05 35 44 43 32 12 03"),
    (4, "47 38 18 07 03 12 32 43 44 35 15 04"),
    (4, "08 48 12"),
    (4, "15 06 07 18 38 47 46 35 15 04 03 12 32 43 44 35"),
    (4, "03 12 32 43 47 38 18 07 06 15 35 46"),
];

const CAPITALS: [Glyph; 26] = [
    (4, "02 28 42/14 34"),
    (4, "02 08 38 47 46 35 05/35 44 43 32 02"),
    (4, "47 38 18 07 03 12 32 43"),
    (4, "02 08 28 46 44 22 02"),
    (4, "48 08 02 42/05 35"),
    (4, "48 08 02/05 35"),
    (4, "47 38 18 07 03 12 32 43 45 25"),
    (4, "08 02/48 42/05 45"),
    (2, "08 28/18 12/02 22"),
    (3, "38 33 22 12 03"),
    (4, "08 02/48 04/15 42"),
    (4, "08 02 42"),
    (4, "02 08 25 48 42"),
    (4, "02 08 42 48"),
    (5, "12 42 53 57 48 18 07 03 12"),
    (4, "02 08 38 47 46 35 05"),
    (5, "12 42 53 57 48 18 07 03 12/34 52"),
    (4, "02 08 38 47 46 35 05/25 42"),
    (4, "47 38 18 07 06 15 35 44 43 32 12 03"),
    (4, "08 48/28 22"),
    (4, "08 03 12 32 43 48"),
    (4, "08 22 48"),
    (6, "08 12 36 52 68"),
    (4, "08 42/02 48"),
    (4, "08 25 48/25 22"),
    (4, "08 48 02 42"),
];

const SMALL: [Glyph; 26] = [
    (4, "42 46/45 36 16 05 03 12 32 43"),
    (4, "08 02/03 12 32 43 45 36 16 05"),
    (4, "45 36 16 05 03 12 32 43"),
    (4, "48 42/43 32 12 03 05 16 36 45"),
    (4, "04 44 45 36 16 05 03 12 32 43"),
    (3, "38 28 17 12/06 36"),
    (4, "46 41 30 10 01/45 36 16 05 03 12 32 43"),
    (4, "08 02/05 16 36 45 42"),
    (0, "02 06/08"),
    (1, "16 11 00/18"),
    (3, "08 02/36 04/15 32"),
    (1, "08 03 12"),
    (6, "02 06/05 16 26 35 32/35 46 56 65 62"),
    (4, "02 06/05 16 36 45 42"),
    (4, "12 32 43 45 36 16 05 03 12"),
    (4, "00 06/03 12 32 43 45 36 16 05"),
    (4, "40 46/43 32 12 03 05 16 36 45"),
    (3, "02 06/05 16 36"),
    (4, "45 36 16 05 14 34 43 32 12 03"),
    (3, "18 13 22 32/06 36"),
    (4, "06 03 12 32 43/46 42"),
    (4, "06 22 46"),
    (6, "06 12 35 52 66"),
    (4, "06 42/02 46"),
    (4, "06 22/46 10 00"),
    (4, "06 46 02 42"),
];

fn sign(c: char) -> Glyph {
    match c {
        ' ' => (2, ""),
        '!' => (0, "08 04/02"),
        '"' => (2, "08 06/28 26"),
        '#' => (4, "12 18/32 38/04 44/06 46"),
        '$' => (4, "47 38 18 07 06 15 35 44 43 32 12 03/29 21"),
        '%' => (6, "02 68/07 18 27 16 07/43 54 63 52 43"),
        '&' => (4, "42 07 18 27 05 03 12 22 44"),
        '\'' => (0, "08 06"),
        '(' => (2, "29 17 13 21"),
        ')' => (2, "09 17 13 01"),
        '*' => (4, "28 24/07 45/47 05"),
        '+' => (4, "23 27/05 45"),
        ',' => (1, "12 01"),
        '-' => (2, "04 24"),
        '−' => (4, "05 45"),
        '.' => (0, "02"),
        '/' => (3, "01 39"),
        ':' => (0, "02/06"),
        ';' => (1, "12 01/16"),
        '<' => (4, "47 05 43"),
        '=' => (4, "04 44/06 46"),
        '>' => (4, "07 45 03"),
        '?' => (4, "07 18 38 47 46 25 24/22"),
        '@' => (5, "44 34 25 36 46 44 53 57 48 18 07 03 12 42"),
        '[' => (2, "29 09 01 21"),
        '\\' => (3, "09 31"),
        ']' => (2, "09 29 21 01"),
        '^' => (4, "06 28 46"),
        '_' => (4, "01 41"),
        '`' => (1, "08 17"),
        '{' => (2, "29 18 16 05 14 12 21"),
        '|' => (0, "09 01"),
        '}' => (2, "09 18 16 25 14 12 01"),
        '~' => (4, "05 16 34 45"),
        '×' => (4, "03 47/07 43"),
        '·' => (0, "05"),
        '±' => (4, "24 28/06 46/02 42"),
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ascii_character_is_drawn_inside_its_own_box() {
        for c in ('!'..='~').chain("×·±−".chars()) {
            let glyph = glyph(c);
            assert!(c == '[' || glyph != UNKNOWN, "{c}");
            let all: Vec<_> = glyph.1.split('/').flat_map(points).collect();
            let pairs = glyph.1.split(['/', ' ']).count();
            assert_eq!(all.len(), pairs, "{c}");
            assert!(all.iter().all(|p| p.0 <= f64::from(glyph.0) && p.1 <= 7.0), "{c}");
        }
    }

    #[test]
    fn no_two_letters_look_alike() {
        let all: Vec<char> = ('!'..='~').collect();
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| glyph(*a) != glyph(*b)), "{a}");
        }
    }

    #[test]
    fn strokes_span_the_width_and_scale_with_the_size() {
        let right = |size| {
            let points = strokes("MW", size).concat();
            points.iter().map(|p| p[0]).fold(0.0, f64::max)
        };
        assert!((right(10.0) - width("MW", 10.0)).abs() < 1e-9);
        assert!((right(20.0) - 2.0 * right(10.0)).abs() < 1e-9);
    }

    #[test]
    fn superscripts_stand_higher_and_narrower() {
        let top = |text| strokes(text, 10.0).concat().iter().map(|p| p[1]).fold(0.0, f64::min);
        let bottom = |text| strokes(text, 10.0).concat().iter().map(|p| p[1]).fold(-99.0, f64::max);
        assert!(bottom("⁸") < bottom("8") - 2.0 && top("⁸") < top("8"));
        assert!(width("⁸⁸", 10.0) < width("88", 10.0));
        assert_eq!(glyph('é'), UNKNOWN);
    }
}
