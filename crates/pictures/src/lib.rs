//! The content of pictures and pages of samples and answers. The report crate lays it out.

use std::path::Path;

use phys_instruct::problem;
use phys_instruct_physics::{Grid, Pde};
use phys_instruct_report::sheet::{Axis, Scale, Sheet};
use phys_instruct_report::{Canvas, Result};

pub mod answer;
pub mod page;
pub mod samples;
pub mod words;

/// Pixels to a unit of a PNG picture.
const SCALE: f64 = 2.0;

/// Said of every picture but those of data alone, whose description tells the units.
const DIMENSIONLESS: &str = "All quantities and coordinates are dimensionless.";

/// The bytes of a picture: of PNG, or of SVG where the extension of `path` says so.
///
/// # Errors
/// Fails if the picture cannot be rendered.
pub fn encoded(path: &Path, canvas: &Canvas) -> Result<Vec<u8>> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("svg") => {
            Ok(canvas.to_svg().into_bytes())
        }
        _ => canvas.to_png(SCALE),
    }
}

/// A sheet without rows for fields on a grid.
fn empty_sheet<'a>(pde: &dyn Pde, grid: Grid, title: &str, caption: &str) -> Sheet<'a> {
    let [along_y, along_x] = pde.points(grid).map(|points| edges(&points));
    // Burgers' rows are times, in units of the final time.
    let is_time = pde.layout().input.is_line();
    let aspect = (along_y[1] - along_y[0]) / (along_x[1] - along_x[0]);
    let units = if problem::description(pde).is_none() { DIMENSIONLESS } else { "" };

    Sheet {
        title: title.into(),
        caption: format!("{caption} {units}").trim().into(),
        notes: Vec::new(),
        size: grid.shape(),
        aspect: if is_time { 1.0 } else { aspect },
        y: Axis { name: if is_time { "t".into() } else { "y".into() }, range: along_y },
        x: Axis { name: "x".into(), range: along_x },
        scales: Vec::<Scale>::new(),
        rows: Vec::new(),
    }
}

/// The outer edges of the cells around evenly spaced points.
fn edges(points: &[f64]) -> [f64; 2] {
    let [first, last] = [points.first(), points.last()].map(|p| p.copied().unwrap_or_default());
    let gaps = points.len().saturating_sub(1);
    let half = if gaps == 0 { 0.5 } else { 0.5 * (last - first) / gaps as f64 };
    [first - half, last + half]
}

#[cfg(test)]
mod tests {
    use super::*;
    use phys_instruct_physics::{burgers::Burgers, darcy::Darcy};

    #[test]
    fn a_panel_has_the_shape_of_the_domain_and_time_has_none() {
        let grid = Grid { ny: 48, nx: 80, ly: 0.6, lx: 1.0 };
        let sheet = empty_sheet(&Darcy::default(), grid, "", "");
        assert!((sheet.aspect - 0.6).abs() < 1e-12 && sheet.size == [48, 80]);
        assert!((sheet.y.range[1] - 0.6).abs() + (sheet.x.range[1] - 1.0).abs() < 1e-12);
        let sheet = empty_sheet(&Burgers::default(), Grid { ly: 1.0, lx: 0.5, ..grid }, "", "");
        assert_eq!((sheet.aspect, sheet.y.name.as_str()), (1.0, "t"));
    }

    #[test]
    fn edges_lie_half_a_spacing_beyond_the_points() {
        assert_eq!(edges(&[0.25, 0.75]), [0.0, 1.0]);
        assert_eq!(edges(&[0.0, 0.5, 1.0]), [-0.25, 1.25]);
        assert_eq!(edges(&[2.0]), [1.5, 2.5]);
    }
}
