//! The lines of a table: its text, the separator and the cells.

use csv::{ReaderBuilder, StringRecord, Trim};

/// A line of the table and its number in the file.
pub(super) struct Row {
    pub line: u64,
    pub cells: StringRecord,
}

impl Row {
    /// A cell without the spaces and quotes around it; empty if the line is too short.
    pub fn cell(&self, column: usize) -> &str {
        let cell = self.cells.get(column).unwrap_or("").trim();
        let quoted = cell.strip_prefix('"').and_then(|c| c.strip_suffix('"'));
        quoted.map_or(cell, str::trim)
    }

    fn is_empty(&self) -> bool {
        (0..self.cells.len()).all(|column| self.cell(column).is_empty())
    }
}

/// The text of a file in UTF-8, or in UTF-16 with a byte order mark, its lines ended by `\n`.
pub(super) fn decode(bytes: &[u8]) -> Result<String, String> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        _ => utf8(bytes)?,
    };
    if text.contains('\0') {
        return Err("holds zero bytes, so that it is no text; save the table as UTF-8".into());
    }
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("line {line}: not UTF-8 text; save the table as UTF-8 (Excel: \"CSV UTF-8\")")
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let units = bytes.chunks(2).map(|pair| unit([pair[0], *pair.get(1).unwrap_or(&0)]));
    char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .map_err(|_| "damaged UTF-16 text; save the table as UTF-8".into())
}

/// The separator of the cells, and the text after a line `sep=;` such as Excel writes.
pub(super) fn separator(text: &str) -> (u8, &str) {
    let told = text.get(..4).filter(|start| start.eq_ignore_ascii_case("sep="));
    if let (Some(_), [_, _, _, _, separator @ (b',' | b';' | b'\t'), b'\n', ..]) =
        (told, text.as_bytes())
    {
        return (*separator, &text[5..]);
    }

    let lines = text.lines().map(str::trim_start);
    let head = lines.clone().find(|l| !l.is_empty() && !l.starts_with('#')).unwrap_or("");
    // If a line is split at its quotes, every other part lies inside quotes.
    let outside = || head.split('"').step_by(2).flat_map(str::bytes);
    let count = |mark: u8| outside().filter(|b| *b == mark).count();
    // Among equally frequent separators the last is taken, which is the rarest in a name.
    let most = [b',', b';', b'\t'].into_iter().max_by_key(|mark| count(*mark));
    (most.unwrap_or(b','), text)
}

/// The lines that are neither empty nor comments.
pub(super) fn rows(text: &str, separator: u8) -> Result<Vec<Row>, String> {
    let mut reader = ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(Trim::All)
        .from_reader(text.as_bytes());

    let mut rows = Vec::new();
    let mut cells = StringRecord::new();
    loop {
        let start = reader.position().clone();
        if !reader.read_record(&mut cells).map_err(|e| e.to_string())? {
            return Ok(rows);
        }
        let row = Row { line: line_of(text, &start), cells: cells.clone() };
        if row.cells.iter().any(|cell| cell.contains('\n')) {
            return Err(format!("line {}: a quote (\") is not closed", row.line));
        }
        if !row.is_empty() && !row.cell(0).starts_with('#') {
            rows.push(row);
        }
    }
}

/// The line on which a record begins. `start` is the reader's position before it, with empty lines
/// and comments possibly in between.
fn line_of(text: &str, start: &csv::Position) -> u64 {
    let mut line = start.line();
    let from = usize::try_from(start.byte()).unwrap_or(usize::MAX);
    for skipped in text.get(from..).unwrap_or("").split('\n') {
        if !skipped.is_empty() && !skipped.starts_with('#') {
            break;
        }
        line += 1;
    }
    line
}
