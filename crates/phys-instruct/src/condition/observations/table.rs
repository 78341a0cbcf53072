//! Tables of observations as spreadsheets, loggers, pandas or R write them in CSV.
//!
//! A head names the columns, in any order and in capitals or not:
//!
//! | column | other names | holds |
//! |---|---|---|
//! | `field` | channel, variable | the field's name; not needed where there is one field only |
//! | `row`, `column` | i; col, j | a point of the grid, from 0 |
//! | `y`, `x` | t, time or northing; easting | coordinates |
//! | `value` | val | the value |
//! | `sd` | std, sigma, error | standard deviation of its error; 0 is exact |
//! | `name` | well, station, site, sensor, label, id | what the place is called; not needed |
//!
//! Instead of `field` and `value` a table may have a column for each field, under its name; for a
//! field u, `u_sd` then holds the deviations, as does `sd` where there is one field. An empty cell
//! is not observed. So are NaN, NA and null. Other columns are ignored, and a column named
//! after a field is never anything else.
//!
//! A unit in brackets may follow the name of a column of values or deviations, as in `h [m]`. It
//! must be the field's own.
//!
//! Cells are separated by commas, semicolons or tabs, whichever is most frequent in the head. A
//! number may have a decimal comma if commas separate no cells and no number has a point. Lines
//! that begin with `#` are comments. A line may give its place by `row` and `column` or by `y` and
//! `x`; where the table has all four, one pair must be empty.

mod head;
mod lines;
mod numbers;

use self::head::{FieldOf, Head, Pair, Values, position};
use self::lines::{Row, decode, rows, separator};
use self::numbers::Numbers;

/// The most faults of a table that are reported one by one.
const MOST_FAULTS: usize = 20;

/// The place of an observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// A point of the grid, from 0.
    Point {
        /// Index along y.
        row: usize,
        /// Index along x.
        column: usize,
    },
    /// Coordinates, finite.
    At {
        /// The coordinate along y, which for Burgers is the time.
        y: f64,
        /// Along x.
        x: f64,
    },
}

/// One value of a table, whose form is checked, but not its place on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The line of the file it stands on, from 1.
    pub line: u64,
    /// Index of the field.
    pub channel: usize,
    /// The place of the value.
    pub place: Place,
    /// The value, finite.
    pub value: f64,
    /// The standard deviation of its error, finite and at least 0; none if the table gives none.
    pub sd: Option<f64>,
    /// The name of the place; none if the table does not tell.
    pub name: Option<String>,
}

/// A unit in the head of a column of values or of deviations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedUnit {
    /// The head, such as `h [m]`.
    pub head: String,
    /// The unit in its brackets.
    pub unit: String,
    /// The index of the field; none for a column that holds values of several.
    pub channel: Option<usize>,
    /// Tells whether the column holds deviations of errors.
    pub of_deviation: bool,
}

/// The observations of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The observed values, in the order of the file.
    pub entries: Vec<Entry>,
    /// The number of values that are empty or NaN.
    pub unobserved: usize,
    /// The names of the columns that were ignored.
    pub ignored_columns: Vec<String>,
    /// The units that columns of values state.
    pub units: Vec<StatedUnit>,
}

/// Reads a table of observations of the fields `channels` from a file's bytes.
///
/// # Errors
/// Fails with all faults of the table, a line of text for each. After twenty, only the number of
/// the others is given.
pub fn parse(bytes: &[u8], channels: &[String]) -> Result<Table, String> {
    let text = decode(bytes)?;
    let (separator, text) = separator(&text);
    let mut rows = rows(text, separator)?.into_iter();

    let first = rows.next().ok_or("empty; a head such as field,row,column,value expected")?;
    let head = Head::new(&first, channels).map_err(|faults| report(&faults))?;
    let rows: Vec<Row> = rows.collect();
    let numbers = Numbers::of(&rows, &head, separator)?;

    let mut faults = Vec::new();
    let mut table = Table {
        ignored_columns: head.ignored.clone(),
        units: head.units.clone(),
        ..Table::default()
    };
    for row in &rows {
        head.read(row, channels, numbers, &mut table, &mut faults);
    }
    if faults.is_empty() { Ok(table) } else { Err(report(&faults)) }
}

impl Head {
    /// Adds the observations of one line to `table`, or its faults to `faults`.
    fn read(
        &self,
        row: &Row,
        channels: &[String],
        numbers: Numbers,
        table: &mut Table,
        faults: &mut Vec<String>,
    ) {
        let line = row.line;
        let mut fault = |reason: String| faults.push(format!("line {line}: {reason}"));
        let full = (self.width..row.cells.len()).all(|extra| row.cell(extra).is_empty());
        if row.cells.len() < self.width || !full {
            return fault(format!("{} cells under {} columns", row.cells.len(), self.width));
        }

        let name = self.name(row);
        let mut placed = false;
        for values in &self.values {
            let value = numbers.value(row.cell(values.value));
            if value == Ok(None) {
                table.unobserved += 1;
                continue;
            }
            let place = self.place(row, numbers);
            let channel = values.channel(row, channels);
            let sd = values.sd.map_or(Ok(None), |column| numbers.deviation(row.cell(column)));
            match (&value, &place, &channel, &sd) {
                (Ok(Some(value)), Ok(place), Ok(channel), Ok(sd)) => {
                    let (channel, place, value, sd) = (*channel, *place, *value, *sd);
                    let name = name.clone();
                    table.entries.push(Entry { line, channel, place, value, sd, name });
                }
                _ => {
                    // A faulty place is reported once a line, however many values the line has.
                    let place = place.err().filter(|_| !placed);
                    let all = [channel.err(), place, value.err(), sd.err()];
                    all.into_iter().flatten().for_each(&mut fault);
                }
            }
            placed = true;
        }
    }

    /// The name of a line's place. A terminal must not obey a file, so control characters are left
    /// out.
    fn name(&self, row: &Row) -> Option<String> {
        let name: String = row.cell(self.name?).chars().filter(|c| !c.is_control()).collect();
        (!name.is_empty()).then_some(name)
    }

    fn place(&self, row: &Row, numbers: Numbers) -> Result<Place, String> {
        let given = |pair: Pair| {
            pair.map(|pair| pair.map(|i| row.cell(i)))
                .filter(|cells| cells.iter().any(|cell| !numbers.is_missing(cell)))
        };
        match (given(self.point), given(self.at)) {
            (Some([row, column]), None) => Ok(Place::Point {
                row: numbers.index("row", row)?,
                column: numbers.index("column", column)?,
            }),
            (None, Some([y, x])) => {
                Ok(Place::At { y: numbers.coordinate("y", y)?, x: numbers.coordinate("x", x)? })
            }
            (None, None) => Err("no place; row and column, or y and x, are needed".into()),
            (Some(_), Some(_)) => {
                Err("two places, by row and column and by y and x; leave one of them out".into())
            }
        }
    }
}

impl Values {
    fn channel(&self, row: &Row, channels: &[String]) -> Result<usize, String> {
        match self.field {
            FieldOf::Channel(channel) => Ok(channel),
            FieldOf::Cell(column) => {
                let name = row.cell(column);
                position(name, channels).ok_or_else(|| {
                    format!("no field `{name}`; the fields are {}", channels.join(", "))
                })
            }
        }
    }
}

/// Formats the faults, a line each, and counts those beyond the first twenty.
pub(crate) fn report(faults: &[String]) -> String {
    let mut told = faults[..faults.len().min(MOST_FAULTS)].join("\n");
    if faults.len() > MOST_FAULTS {
        told += &format!("\nand {} more", faults.len() - MOST_FAULTS);
    }
    told
}

#[cfg(test)]
mod tests;
