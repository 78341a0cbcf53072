//! Numbers in the cells of a table.

use super::head::Head;
use super::lines::Row;
use crate::store::missing;

/// The texts, beside an empty cell, that mark a value as not observed.
const MISSING: [&str; 5] = ["nan", "-nan", "na", "n/a", "null"];

/// The notation of numbers.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    decimal_comma: bool,
}

impl Numbers {
    /// Detects the notation of a table's numbers.
    pub fn of(rows: &[Row], head: &Head, separator: u8) -> Result<Self, String> {
        let point = Self { decimal_comma: false };
        if separator == b',' {
            return Ok(point);
        }

        let cells =
            || rows.iter().flat_map(|row| head.numbers().map(move |i| (row.line, row.cell(i))));
        let find = |mark: char| cells().find(|(_, cell)| cell.contains(mark));
        let Some((line, cell)) = find(',') else { return Ok(point) };
        if let Some((other, pointed)) = find('.') {
            return Err(format!(
                "line {line}: `{cell}` has a comma, and `{pointed}` on line {other} a point; write \
                 every number with a decimal point"
            ));
        }

        // Semicolons separate cells only if commas are decimal. Tabs allow no such conclusion.
        let grouped = |(_, cell): (u64, &str)| !cell.contains(',') || is_grouped(cell);
        if separator == b'\t' && cells().all(grouped) {
            return Err(format!(
                "line {line}: the comma in `{cell}` may part thousands or be a decimal one; write \
                 every number with a decimal point"
            ));
        }
        Ok(Self { decimal_comma: true })
    }

    pub fn is_missing(self, cell: &str) -> bool {
        cell.is_empty() || MISSING.iter().any(|word| word.eq_ignore_ascii_case(cell))
    }

    /// Parses a finite number; none for an empty cell or NaN.
    pub fn finite(self, name: &str, cell: &str) -> Result<Option<f64>, String> {
        if self.is_missing(cell) {
            return Ok(None);
        }
        let point = if self.decimal_comma && cell.matches(',').count() == 1 {
            cell.replace(',', ".")
        } else {
            cell.to_owned()
        };
        match point.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            Ok(_) => Err(format!("{name} `{cell}` is not finite")),
            Err(_) => Err(format!("{name} `{cell}` is not a number")),
        }
    }

    /// Parses an observed value; none for an empty cell or NaN.
    pub fn value(self, cell: &str) -> Result<Option<f64>, String> {
        match self.finite("value", cell)? {
            Some(value) if missing::is_mark(value) => {
                Err(format!("value `{cell}` is a mark for a missing value; leave its cell empty"))
            }
            value => Ok(value),
        }
    }

    /// Parses an index, which a spreadsheet or pandas may write as 3.0.
    pub fn index(self, name: &str, cell: &str) -> Result<usize, String> {
        let number = self.finite(name, cell)?.ok_or_else(|| format!("no {name}"))?;
        let whole = number >= 0.0 && number.fract() == 0.0 && number < 1e9;
        whole
            .then_some(number as usize)
            .ok_or_else(|| format!("{name} `{cell}` is not an index (0, 1, 2, ...)"))
    }

    pub fn coordinate(self, name: &str, cell: &str) -> Result<f64, String> {
        self.finite(name, cell)?.ok_or_else(|| format!("no {name}"))
    }

    pub fn deviation(self, cell: &str) -> Result<Option<f64>, String> {
        match self.finite("sd", cell)? {
            Some(sd) if sd < 0.0 => Err(format!("sd `{cell}` is negative")),
            sd => Ok(sd),
        }
    }
}

/// Tells whether a comma in `cell` can part thousands: three digits after it, one to three before.
fn is_grouped(cell: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = cell.trim_start_matches(['+', '-']);
    let mut groups = unsigned.split(',');
    let first = groups.next().unwrap_or("");
    (1..4).contains(&first.len())
        && digits(first)
        && !first.starts_with('0')
        && groups.all(|group| group.len() == 3 && digits(group))
}
