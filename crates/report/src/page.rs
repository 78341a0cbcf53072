//! Tables and pictures as Markdown or as a self-contained HTML page.

use crate::svg::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;\
padding:0 1em;color:#222}table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .7em;\
border-bottom:1px solid #ddd;text-align:right}th:first-child,td:first-child{text-align:left}\
figure{margin:1em 0;overflow-x:auto}figcaption{color:#666}svg{max-width:100%;height:auto}\
code{background:#f4f4f4;padding:.1em .3em}";

/// A picture with its caption.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The text below the picture.
    pub caption: String,
    /// The picture, as SVG.
    pub svg: String,
}

/// The part of a page about one PDE: a table with pictures.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// The picture above the table, if any.
    pub lead: Option<Picture>,
    /// The table's head, and its lines.
    pub head: Vec<String>,
    /// Cells of each line.
    pub lines: Vec<Vec<String>>,
    /// The text below the table.
    pub note: String,
    /// The pictures below.
    pub pictures: Vec<Picture>,
}

/// The tables of `sections`, without pictures.
pub fn markdown(sections: &[Section]) -> String {
    let mut text = String::new();
    for Section { title, head, lines, note, .. } in sections {
        text +=
            &format!("## {title}\n\n| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for cells in lines {
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text += &format!("\n{note}\n\n");
    }
    text
}

/// The page of `sections`.
pub fn html(title: &str, note: &str, sections: &[Section]) -> String {
    let mut body = format!("<h1>{}</h1><p>{}</p>", escape(title), escape(note));
    for section in sections {
        body += &format!("<h2>{}</h2>", escape(&section.title));
        body += &section.lead.iter().map(figure).collect::<String>();
        body += &table(&section.head, &section.lines);
        body += &format!("<p>{}</p>", escape(&section.note));
        body += &section.pictures.iter().map(figure).collect::<String>();
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{}</title>\
         <style>{STYLE}</style><body>{body}</body></html>\n",
        escape(title)
    )
}

fn figure(picture: &Picture) -> String {
    let Picture { caption, svg } = picture;
    format!("<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption))
}

fn table(head: &[String], lines: &[Vec<String>]) -> String {
    if lines.is_empty() {
        return String::new();
    }

    let line = |tag: &str, cells: &[String]| {
        let cells: String = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
        format!("<tr>{cells}</tr>")
    };
    let lines: String = lines.iter().map(|cells| line("td", cells)).collect();
    format!("<table>{}{lines}</table>", line("th", head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_told_in_both_ways() {
        let picture = |caption: &str| Picture { caption: caption.into(), svg: "<svg/>".into() };
        let section = Section {
            title: "Poisson".into(),
            lead: Some(picture("Picture above")),
            head: ["method", "error"].map(String::from).into(),
            lines: vec![["a < b", "0.1"].map(String::from).into()],
            note: "Floor 1e-6.".into(),
            pictures: vec![picture("Picture below")],
        };
        let text = markdown(std::slice::from_ref(&section));
        assert_eq!(
            text,
            "## Poisson\n\n| method | error |\n|---|---|\n| a < b | 0.1 |\n\nFloor 1e-6.\n\n"
        );
        let page = html("Title", "Note", &[section]);
        let places = ["Title", "Note", "Poisson", "above", "a &lt; b", "Floor", "below"];
        let found: Vec<_> = places.iter().map(|part| page.find(part)).collect();
        assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{found:?}");
    }
}
