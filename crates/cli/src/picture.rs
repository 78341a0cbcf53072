//! The files that pictures go into.

use std::path::Path;

use phys_instruct::store::atomic;
use phys_instruct_pictures::encoded;
use phys_instruct_report::Canvas;

use crate::args::extension;
use crate::failure::{Failure, Outcome};
use crate::output::make_room;

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

/// Writes a picture as PNG, or as SVG where the file's extension says so.
pub fn write(path: &Path, canvas: &Canvas) -> Outcome {
    Ok(atomic::write(path, &encoded(path, canvas)?)?)
}
