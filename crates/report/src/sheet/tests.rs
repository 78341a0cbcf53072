//! Tests of sheets.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::raster::tests::Picture;
use crate::svg::WHITE;
use crate::svg::tests::texts;

fn axis(name: &str, range: [f64; 2]) -> Axis {
    Axis { name: name.into(), range }
}

fn panel<'a>(title: &str, field: &'a [f32], scale: usize) -> Panel<'a> {
    Panel { title: title.into(), field, scale, marks: Vec::new() }
}

/// One row of fields of `size`, all on the scale of the first.
fn sheet<'a>(size: [usize; 2], fields: &[&'a [f32]]) -> Sheet<'a> {
    let panels = fields.iter().map(|field| panel("a field", field, 0)).collect();
    Sheet {
        title: "poisson & <co> \"x\"".into(),
        caption: "Model m.safetensors, 1 network call, seed 7; PDE error 0.08".into(),
        notes: Vec::new(),
        size,
        aspect: 1.0,
        y: axis("y", [0.0, 1.0]),
        x: axis("x", [0.0, 1.0]),
        scales: vec![Scale::fitted("u, solution", fields[0])],
        rows: vec![Row { label: "sample 1".into(), panels }],
    }
}

fn drawn(sheet: &Sheet) -> Picture {
    Picture::of(&sheet.canvas().unwrap().to_png(1.0).unwrap())
}

/// The colour at a place of a panel, in shares of it from its lower left corner.
fn inside(sheet: &Sheet, row: usize, column: usize, [across, up]: Point) -> Color {
    let layout = Layout::of(sheet);
    let [width, height] = layout.panel;
    let left = layout.left_of(column);
    drawn(sheet).at([left + across * width, layout.tops[row] + (1.0 - up) * height])
}

#[test]
fn x_runs_to_the_right_and_y_upwards() {
    // Rows of y, from y = 0: 1 2 3, then 4 5 9.
    let field = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0];
    let sheet = sheet([2, 3], &[&field]);
    let color = |value: f64| Colormap::Viridis.color((value - 1.0) / 8.0);
    assert_eq!(inside(&sheet, 0, 0, [0.1, 0.1]), color(1.0));
    assert_eq!(inside(&sheet, 0, 0, [0.9, 0.1]), color(3.0));
    assert_eq!(inside(&sheet, 0, 0, [0.1, 0.9]), color(4.0));
    assert_eq!(inside(&sheet, 0, 0, [0.9, 0.9]), color(9.0));
}

#[test]
fn panels_of_one_scale_show_a_value_in_one_colour() {
    let [first, second] = [[-4.0, 2.0], [2.0, 1.0]];
    let sheet = sheet([1, 2], &[&first, &second]);
    let two = inside(&sheet, 0, 0, [0.75, 0.5]);
    assert_eq!(two, inside(&sheet, 0, 1, [0.25, 0.5]));
    assert_eq!(two, Colormap::Diverging.color(0.75));
    // And one bar serves both.
    assert_eq!(sheet.bars(0), [(0, [0, 1])]);
}

#[test]
fn a_bar_lies_below_the_last_row_of_its_scale_and_its_ends_are_the_extremes() {
    let field = [1.0, 5.0];
    let mut sheet = sheet([1, 2], &[&field, &field, &field]);
    sheet.scales.push(Scale::trimmed("residual", &field));
    sheet.rows[0].panels[2].scale = 1;
    sheet.rows.push(sheet.rows[0].clone());
    assert_eq!((sheet.bars(0), sheet.bars(1)), (vec![], vec![(0, [0, 1]), (1, [2, 2])]));
    let layout = Layout::of(&sheet);
    let top = layout.tops[1] + layout.panel[1] + X_AXIS + 8.0 + 0.5 * BAR;
    let found = drawn(&sheet);
    let right = layout.left_of(1) + PANEL;
    let ends = [layout.left + 1.5, right - 1.5].map(|x| found.at([x, top]));
    for (end, t) in ends.into_iter().zip([0.0, 1.0]) {
        let published = Colormap::Viridis.color(t);
        assert!((0..3).all(|k| end[k].abs_diff(published[k]) <= 3), "{end:?}");
    }
}

#[test]
fn a_sheet_has_its_size_and_all_its_texts() {
    let field = [1e-3f32, 2e-3, 3e-3, 4e-3];
    let sheet = sheet([2, 2], &[&field]);
    let canvas = sheet.canvas().unwrap();
    let found = drawn(&sheet);
    assert_eq!([found.width as f64, found.height as f64], [canvas.width, canvas.height.round()]);
    let texts = texts(&canvas.to_svg());
    let caption = &sheet.caption;
    for text in [&sheet.title, caption, "sample 1", "a field", "x", "y", "0.5", "1.0"] {
        assert!(texts.iter().any(|found| found == text), "{text} in {texts:?}");
    }
    assert!(texts.iter().any(|found| found == "u, solution (×10⁻³)"), "{texts:?}");
}

#[test]
fn titles_leave_ink_where_they_are_read() {
    let field = [1.0, 2.0];
    let titled = sheet([1, 2], &[&field]);
    let bare = Sheet { title: " ".into(), ..titled.clone() };
    let ink = |sheet: &Sheet| drawn(sheet).ink([0.0, 0.0], [300.0, MARGIN + TITLE]);
    assert!(ink(&titled) > 100 && ink(&bare) == 0);
}

#[test]
fn words_lie_inside_the_page() {
    let field = [1.0, 2.0];
    let mut sheet = sheet([1, 2], &[&field]);
    sheet.caption = "a caption of many words ".repeat(20);
    sheet.notes = vec!["a warning of many words ".repeat(20), "another".into()];
    let found = drawn(&sheet);
    let [width, height] = [found.width as f64, found.height as f64];
    assert_eq!(found.ink([width - MARGIN + 1.0, 0.0], [MARGIN - 1.0, height]), 0);
    assert_eq!(found.ink([0.0, height - 10.0], [width, 10.0]), 0);
    assert!(found.ink([0.0, height - MARGIN - LINE], [width, LINE]) > 20);
}

#[test]
fn ticks_lie_at_their_coordinates() {
    let field = [0.0; 16];
    let mut sheet = sheet([4, 4], &[&field]);
    // Four nodes from 0 to 3: the cells reach half a spacing beyond.
    sheet.x = axis("x", [-0.5, 3.5]);
    let layout = Layout::of(&sheet);
    let found = drawn(&sheet);
    let bottom = layout.tops[0] + layout.panel[1] + 2.0;
    let is_tick = |x: f64| found.at([layout.left + PANEL * (x + 0.5) / 4.0, bottom]) != WHITE;
    assert!([0.0, 1.0, 2.0, 3.0].into_iter().all(is_tick));
    assert!(![0.4, 1.6, 2.5].into_iter().any(is_tick));
}

#[test]
fn marks_lie_at_their_coordinates_and_none_outside() {
    let field = [1.0; 4];
    let mut sheet = sheet([2, 2], &[&field]);
    sheet.y = axis("y", [0.0, 2.0]);
    sheet.rows[0].panels[0].marks = vec![[0.25, 1.5], [7.0, 1.0]];
    assert_eq!(inside(&sheet, 0, 0, [0.25, 0.75]), INK);
    assert_ne!(inside(&sheet, 0, 0, [0.25, 0.25]), INK);
    assert_eq!(sheet.canvas().unwrap().to_svg().matches("<circle").count(), 1);
}

#[test]
fn rectangles_keep_their_shape() {
    let field = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut sheet = sheet([3, 2], &[&field]);
    sheet.aspect = 1.5;
    let tall = Layout::of(&sheet);
    assert_eq!(tall.panel, [PANEL, 1.5 * PANEL]);
    sheet.aspect = 1e-9;
    assert_eq!(Layout::of(&sheet).panel[1], ASPECTS[0] * PANEL);
    assert!(sheet.canvas().is_ok());
}

#[test]
fn scales_fit_their_values() {
    assert_eq!(Scale::fitted("u", &[-1.0, 3.0]).range, [-3.0, 3.0]);
    assert_eq!(Scale::fitted("u", &[1.0, 3.0]).range, [1.0, 3.0]);
    let undershoot = Scale::fitted("u", &[-0.25, 3.0]);
    assert_eq!((undershoot.range, undershoot.colormap), ([-0.25, 3.0], Colormap::Viridis));
    let outlier: Vec<f32> = (0..200).map(|i| if i == 7 { 1e6 } else { 1.0 }).collect();
    assert_eq!(Scale::trimmed("r", &outlier).range, [-1.0, 1.0]);
    let rare: Vec<f32> = (0..200).map(|i| if i == 7 { 2.0 } else { 0.0 }).collect();
    assert_eq!(Scale::trimmed("r", &rare).range, [-2.0, 2.0]);
}

#[test]
fn unusual_fields_are_drawn() {
    let huge = [f32::MAX, f32::MIN, 0.0, 1.0];
    let tiny = [1e-45, 0.0, 1e-45, 0.0];
    let near = [1.0, 1.0 + f32::EPSILON, 1.0, 1.0];
    for field in [&[0.0; 4], &[-7.0; 4], &[f32::MAX; 4], &huge, &tiny, &near] {
        for size in [[2, 2], [1, 4], [4, 1]] {
            let sheet = sheet(size, &[field]);
            let found = drawn(&sheet);
            assert!(found.pixels.len() > 10_000, "{field:?} {size:?}");
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_by_name() {
    let mut field = [1.0; 4];
    field[2] = f32::NAN;
    let error = sheet([2, 2], &[&field]).canvas().unwrap_err();
    assert!(matches!(error, Error::Value(_)));
    let told = error.to_string();
    let named = "sample 1, a field, u, solution: NaN at row 1, column 0";
    assert!(told.contains(named), "{told}");

    let error = sheet([2, 3], &[&field]).canvas().unwrap_err();
    assert!(matches!(error, Error::Shape { found: 4, expected: 6, .. }), "{error}");

    let good = [1.0; 4];
    let refused = |change: &dyn Fn(&mut Sheet)| {
        let mut sheet = sheet([2, 2], &[&good]);
        change(&mut sheet);
        sheet.canvas().unwrap_err()
    };
    assert!(matches!(refused(&|s| s.rows.clear()), Error::Empty(_)));
    assert!(matches!(refused(&|s| s.rows[0].panels.clear()), Error::Empty(_)));
    assert!(matches!(refused(&|s| s.rows[0].panels[0].scale = 3), Error::Empty(_)));
    assert!(matches!(refused(&|s| s.size = [0, 4]), Error::Empty(_)));
    assert!(matches!(refused(&|s| s.x.range = [1.0, 1.0]), Error::Range { .. }));
    assert!(matches!(refused(&|s| s.scales[0].range[0] = f64::NAN), Error::Range { .. }));
    assert!(matches!(refused(&|s| s.aspect = 0.0), Error::Range { .. }));
}

#[test]
fn a_long_label_keeps_its_unit() {
    let field = [1.0, 2.0, 3.0, 4.0];
    let mut long = sheet([2, 2], &[&field]);
    let words = "a quantity of many words that no bar of colours is as long as";
    for (unit, is_kept) in [(" (m²/d)", true), (" (a unit of many words, too)", false)] {
        long.scales[0].label = format!("{words}{unit}");
        let drawn = long.canvas().unwrap().to_svg();
        assert_eq!(drawn.contains(&format!("…{unit}")), is_kept, "{unit}");
    }
}
