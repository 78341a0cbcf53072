//! The tables as one self-contained HTML page: for each PDE error against latency (the paper's
//! Figure 1), pictures of samples, and the table.

use super::charts::error_against_latency;
use super::{Row, table};
use crate::Result;
use crate::plot::svg::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;\
padding:0 1em;color:#222}table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .7em;\
border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:left}\
figure{margin:1em 0;overflow-x:auto}figcaption{color:#666}";

/// A picture of samples, as SVG, with its title.
pub struct Picture {
    /// The PDE it belongs to.
    pub pde: String,
    /// What it shows.
    pub title: String,
    /// The picture.
    pub svg: String,
}

/// The page of `rows`, each PDE's together, in their order.
///
/// # Errors
/// Figures that cannot be drawn.
pub fn html(title: &str, note: &str, rows: &[Row], pictures: &[Picture]) -> Result<String> {
    let mut body = format!("<h1>{}</h1><p>{}</p>", escape(title), escape(note));
    for group in rows.chunk_by(|a, b| a.key.pde == b.key.pde) {
        let pde = &group[0].key.pde;
        body += &format!("<h2>{}, {1} × {1}</h2>", escape(pde), group[0].key.grid);
        body += &figure(
            &error_against_latency(group).drawing()?.to_svg()?,
            "PDE error against the latency of one sample; every dot is one number of steps.",
        );
        body += &table_of(group);
        for picture in pictures.iter().filter(|p| p.pde == *pde) {
            body += &figure(&picture.svg, &picture.title);
        }
    }
    Ok(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>\
         <style>{STYLE}</style><body>{body}</body></html>\n",
        escape(title)
    ))
}

fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption))
}

fn table_of(rows: &[Row]) -> String {
    let line = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
        format!("<tr>{cells}</tr>")
    };
    let head = line("th", &table::HEAD.map(str::to_owned));
    let lines: String = rows.iter().map(|r| line("td", &table::cells(r))).collect();
    format!("<table>{head}{lines}</table>")
}
