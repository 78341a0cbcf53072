//! The head of a table: the meaning of each column.

use super::StatedUnit;
use super::lines::Row;

/// The names of each column, the first being the one used in messages.
const FIELD: &[&str] = &["field", "channel", "variable"];
const ROW: &[&str] = &["row", "i"];
const COLUMN: &[&str] = &["column", "col", "j"];
/// The names of coordinates, the most certain first: beside `y` or `northing`, a column `t` may
/// hold anything, such as a transmissivity.
const Y: &[&[&str]] = &[&["y"], &["northing"], &["t", "time"]];
const X: &[&[&str]] = &[&["x"], &["easting"]];
const VALUE: &[&str] = &["value", "val"];
const SD: &[&str] = &["sd", "std", "sigma", "error"];
/// The names of the column of places' names. The first that a table has is taken, since it may well
/// number its wells, too.
const NAME: &[&str] = &["name", "well", "station", "site", "sensor", "label", "id"];

/// Two columns that together give a place.
pub(super) type Pair = Option<[usize; 2]>;

/// A column of values.
pub(super) struct Values {
    /// The field of all values, or the column that names the field of each.
    pub field: FieldOf,
    pub value: usize,
    pub sd: Option<usize>,
}

pub(super) enum FieldOf {
    Cell(usize),
    Channel(usize),
}

/// The meaning of the columns.
pub(super) struct Head {
    pub width: usize,
    pub point: Pair,
    pub at: Pair,
    pub values: Vec<Values>,
    /// The column of the places' names.
    pub name: Option<usize>,
    /// The units that columns of values state.
    pub units: Vec<StatedUnit>,
    pub ignored: Vec<String>,
}

impl Head {
    pub fn new(first: &Row, channels: &[String]) -> Result<Self, Vec<String>> {
        let mut columns = Columns::new(first, channels);
        let [row, column] = [ROW, COLUMN].map(|known| columns.known(known));
        let [y, x] = [Y, X].map(|all| all.iter().find_map(|names| columns.known(names)));
        let values = columns.values();
        let name = NAME.iter().find_map(|&name| columns.known(&[name]));
        let pair = |first: Option<usize>, second: Option<usize>| Some([first?, second?]);
        let (point, at) = (pair(row, column), pair(y, x));
        if point.is_none() && at.is_none() {
            columns.faults.push("no columns `row` and `column`, or `y` and `x`".into());
        }
        if values.is_empty() {
            let fields = channels.join(", ");
            let fault = format!("no columns `field` and `value`, nor one named after {fields}");
            columns.faults.push(fault);
        }

        // Half a pair gives no place: beside y and x, a column `i` may well number the lines.
        for (half, pair) in [(row, point), (column, point), (y, at), (x, at)] {
            if let (Some(half), None) = (half, pair) {
                columns.used[half] = false;
            }
        }

        let units = columns.units_of(&values);
        let Columns { heads: names, used, mut faults, .. } = columns;
        if faults.is_empty() {
            // A column without a name is an index, as pandas and R write it.
            let ignored = names.iter().zip(used).filter(|(name, used)| !used && !name.is_empty());
            let ignored = ignored.map(|(name, _)| (*name).to_owned()).collect();
            return Ok(Self { width: names.len(), point, at, values, name, units, ignored });
        }
        let named = names.iter().filter(|name| !name.is_empty());
        let found: Vec<String> = named.map(|name| format!("`{name}`")).collect();
        faults.push(format!("the columns found are {}", found.join(", ")));
        Err(faults.into_iter().map(|fault| format!("line {}: {fault}", first.line)).collect())
    }

    /// The columns that hold numbers.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        let places = self.point.into_iter().chain(self.at).flatten();
        places.chain(self.values.iter().flat_map(|v| [Some(v.value), v.sd].into_iter().flatten()))
    }
}

/// The names of a head, and the record of those that have been recognised.
struct Columns<'a> {
    /// The cells of the head.
    heads: Vec<&'a str>,
    /// The names in them, without a unit in brackets.
    names: Vec<&'a str>,
    channels: &'a [String],
    used: Vec<bool>,
    faults: Vec<String>,
}

impl<'a> Columns<'a> {
    fn new(head: &'a Row, channels: &'a [String]) -> Self {
        let heads: Vec<&str> = (0..head.cells.len()).map(|i| head.cell(i)).collect();
        let bare = |head: &&'a str| {
            let (name, unit) = name_and_unit(head);
            let holds_values = position(name, channels).or(deviation_of(name, channels)).is_some()
                || VALUE.iter().chain(SD).any(|known| known.eq_ignore_ascii_case(name));
            // Beside `u`, a column `u (raw)` is another one. A field's own name may have brackets.
            let is_other = heads.iter().any(|other| other.eq_ignore_ascii_case(name))
                || position(head, channels).is_some();
            if unit.is_some() && holds_values && !is_other { name } else { *head }
        };
        let names = heads.iter().map(bare).collect();
        Self { used: vec![false; heads.len()], heads, names, channels, faults: Vec::new() }
    }

    /// The only column whose name fits.
    fn find(&mut self, fits: impl Fn(&str) -> bool) -> Option<usize> {
        let found: Vec<usize> = (0..self.names.len()).filter(|&i| fits(self.names[i])).collect();
        found.iter().for_each(|&i| self.used[i] = true);
        if let [first, second, ..] = found[..] {
            self.alike(first, second);
        }
        found.first().copied()
    }

    /// The column with one of the `known` names, unless a field has that name.
    fn known(&mut self, known: &[&str]) -> Option<usize> {
        let channels = self.channels;
        self.find(|name| {
            known.iter().any(|k| k.eq_ignore_ascii_case(name)) && position(name, channels).is_none()
        })
    }

    /// The units that the columns of `values` and of their deviations state.
    fn units_of(&self, values: &[Values]) -> Vec<StatedUnit> {
        let mut units = Vec::new();
        for Values { field, value, sd } in values {
            let channel = match field {
                FieldOf::Channel(channel) => Some(*channel),
                FieldOf::Cell(_) => None,
            };

            let columns = [Some((*value, false)), sd.map(|sd| (sd, true))];
            for (column, of_deviation) in columns.into_iter().flatten() {
                let [head, name] = [self.heads[column], self.names[column]];
                let stated = name_and_unit(head).1.filter(|unit| head != name && !unit.is_empty());
                units.extend(stated.map(|unit| StatedUnit {
                    head: head.into(),
                    unit: unit.into(),
                    channel,
                    of_deviation,
                }));
            }
        }
        units
    }

    /// Records the fault that two columns mean the same.
    fn alike(&mut self, first: usize, second: usize) {
        let [a, b] = [self.heads[first], self.heads[second]];
        self.faults.push(if a == b {
            format!("two columns `{a}`")
        } else {
            format!("the columns `{a}` and `{b}` mean the same")
        });
    }

    /// The columns of values: one `value`, or one for each field.
    fn values(&mut self) -> Vec<Values> {
        let [field, value, sd] = [FIELD, VALUE, SD].map(|known| self.known(known));
        match (field, value) {
            (Some(field), Some(value)) => {
                vec![Values { field: FieldOf::Cell(field), value, sd }]
            }
            (None, Some(value)) if self.channels.len() == 1 => {
                vec![Values { field: FieldOf::Channel(0), value, sd }]
            }
            (None, None) => self.fields(sd),
            // One of the two columns without the other gives no values.
            _ => Vec::new(),
        }
    }

    /// The columns named after fields, with their deviations.
    fn fields(&mut self, sd: Option<usize>) -> Vec<Values> {
        let channels = self.channels;
        let mut values = Vec::new();
        for channel in 0..channels.len() {
            let Some(value) = self.find(|name| position(name, channels) == Some(channel)) else {
                continue;
            };
            let sd = self.find(|name| deviation_of(name, channels) == Some(channel));
            values.push(Values { field: FieldOf::Channel(channel), value, sd });
        }

        // A single `sd` belongs to a single field.
        match (sd, &mut values[..]) {
            (Some(sd), [Values { sd: Some(own), .. }]) => self.alike(sd, *own),
            (Some(_), [only]) => only.sd = sd,
            (Some(sd), [_, ..]) => {
                let (sd, field) = (self.names[sd], &channels[0]);
                self.faults.push(format!("`{sd}` of which field? Name it so, as `{field}_sd`"));
            }
            _ => (),
        }
        values
    }
}

/// The field whose deviations a column called `name` holds, as `u_sd` does.
fn deviation_of(name: &str, channels: &[String]) -> Option<usize> {
    let (field, _) = name.rsplit_once('_').filter(|(_, end)| end.eq_ignore_ascii_case("sd"))?;
    position(field, channels)
}

/// The name in a head, and the unit in brackets behind it.
fn name_and_unit(head: &str) -> (&str, Option<&str>) {
    let inside = |open, close| {
        let (name, unit) = head.strip_suffix(close)?.rsplit_once(open)?;
        Some((name.trim_end(), Some(unit.trim())))
    };
    let found = inside('[', ']').or_else(|| inside('(', ')'));
    found.filter(|(name, _)| !name.is_empty()).unwrap_or((head, None))
}

/// The field called `name`. Capitals count only if two fields differ by nothing else.
pub(super) fn position(name: &str, channels: &[String]) -> Option<usize> {
    let exact = channels.iter().position(|c| c == name);
    exact.or_else(|| {
        let mut alike = (0..channels.len()).filter(|&i| channels[i].eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    })
}
