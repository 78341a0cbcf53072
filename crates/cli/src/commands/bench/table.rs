//! A measured table, and the files it goes into.

use std::path::Path;

use phys_instruct::store::atomic;
use phys_instruct_report::Canvas;
use phys_instruct_report::page::{self, Picture, Section};
use serde::Serialize;

use crate::args::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{print, print_json, tell};

/// The file of finished rows, from which a table is resumed.
pub const LOG: &str = "rows.jsonl";

/// A measured table: its rows, and the sections of the page by PDE.
pub struct Table<'a, R> {
    pub title: &'a str,
    pub note: String,
    pub rows: &'a [R],
    pub sections: Vec<Section>,
}

impl<R: Serialize> Table<'_, R> {
    /// Writes rows, table and page into the folder `out`, and prints the rows as JSON or the table.
    pub fn finish(&self, out: &Path, global: &Global) -> Outcome {
        let rows = serde_json::to_string_pretty(self.rows);
        let rows = rows.map_err(|e| Failure::Usage(e.to_string()))?;
        let table = page::markdown(&self.sections);
        let page = page::html(self.title, &self.note, &self.sections);
        for (name, text) in [("rows.json", &rows), ("table.md", &table), ("report.html", &page)] {
            atomic::write(&out.join(name), text.as_bytes())?;
        }
        if global.json {
            return print_json(serde_json::json!({ "rows": self.rows }));
        }
        tell!("tables and page: {}", out.display());
        print(table.trim_end())
    }
}

/// A picture of a page.
pub fn picture(caption: &str, canvas: &Canvas) -> Picture {
    Picture { caption: caption.into(), svg: canvas.to_svg() }
}
