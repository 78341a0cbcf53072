//! Samples as a file: arrays or a picture.

use std::path::Path;

use phys_instruct::plot::Sheet;
use phys_instruct::residual::Residual;
use phys_instruct::store::{atomic, dataset};
use phys_instruct::{Result, Samples};
use phys_instruct_physics::Pde;

use crate::args::extension;
use crate::failure::{Failure, Outcome};
use crate::output::make_room;

/// Rows of a picture.
const ROWS: usize = 4;
/// Pixels to a unit of a PNG picture.
pub const SCALE: f64 = 2.0;

/// Refuses an output whose extension no writer knows, before any work is done.
pub fn check(path: &Path) -> Outcome {
    match extension(path).as_str() {
        "npz" | "png" | "svg" => make_room(path),
        _ => {
            let name = path.display();
            Err(Failure::Usage(format!(
                "--out {name}: a name ending in .npz, .png or .svg expected"
            )))
        }
    }
}

/// Writes `samples` as their file's extension says.
pub fn write(
    path: &Path,
    samples: &Samples,
    pde: &dyn Pde,
    residual: &dyn Residual,
    headline: &str,
) -> Result<()> {
    let kind = extension(path);
    if kind == "npz" {
        return dataset::write_npz(samples, path);
    }
    let drawing = Sheet::of_samples(samples, pde, Some(residual), ROWS, headline)?.drawing()?;
    match kind.as_str() {
        "svg" => atomic::write(path, drawing.to_svg()?.as_bytes()),
        _ => atomic::write(path, &drawing.to_png(SCALE)?),
    }
}
