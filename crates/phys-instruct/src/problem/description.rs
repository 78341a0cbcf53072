//! The description of a PDE that is known by data alone, in a TOML file or a model's card.
//!
//! The file stands wherever a PDE's name stands. It has neither an equation nor a solver, so that
//! whatever needs one is refused. A model file carries the description of its PDE.
//!
//! ```toml
//! [pde]
//! name = "reactor"
//! input = "a"              # or several: ["a", "k"]; or, instead, time = "y"
//! sides = [1.0, 2.0]       # along y and x; left out: those of the data, or 1
//! origin = [0.0, 0.0]      # the corner of least y and x; left out: 0
//!
//! [[pde.field]]
//! name = "a"
//! meaning = "source"
//! unit = "W/m^3"
//! values = [1.0, 2.0]      # the input has these two values alone; left out: seen in the data
//!
//! [[pde.field]]
//! name = "u"
//! range = [0.0, 900.0]     # values that data and observations may have; left out: any
//! basis = ["sine-nodes", "sine-nodes"]   # left out: chosen from the data
//! ```

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use phys_instruct_physics::{Basis, Layout, Part, Rows, TwoValues};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::bases;
use crate::{Error, Result, Samples};

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// The most fields of a description.
const MOST_FIELDS: usize = 64;
/// The farthest origin, in units of the domain's sides. Double precision then holds coordinates to
/// 2e-9 of a side.
const FARTHEST: f64 = 1e7;
/// The most characters of a name.
const LONGEST_NAME: usize = 64;
/// The most characters of a meaning or a unit.
const LONGEST_TEXT: usize = 200;
/// Names of other things: the columns of tables of observations, and the arrays beside the fields.
const RESERVED: [&str; 10] =
    ["field", "row", "column", "y", "x", "value", "sd", "sides", "member", "sample"];
/// The ends of the names that files have for each field: of the layers of an answer
/// ([`crate::condition::export`]), and of observations ([`crate::condition::files`]).
const DERIVED: [&str; 8] = ["mean", "sd", "p10", "p50", "p90", "values", "index", "points"];

/// The description of a PDE that is known by data alone, as the table `[pde]` of a TOML file and as
/// a part of a model's card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The name in data, models and pictures; no name of a PDE that the program knows.
    pub name: String,
    /// The names of the input's fields; the other fields are the solution. None with a `time`.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub input: Names,
    /// The axis of time, along which the first line of every field is the input, and the later
    /// ones are the solution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The lengths of the domain's sides along y and x. If `None`, those of the data.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "two")]
    pub sides: Option<[f64; 2]>,
    /// The coordinates along y and x of the domain's corner where both are least, such as northing
    /// and easting. Observations and answers have coordinates from there on.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "pair")]
    pub origin: [f64; 2],
    /// The places of the grid points along y and x. If `None`, those that suit the bases.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "two")]
    pub points: Option<[Points; 2]>,
    /// The fields, at least one of the input and one of the solution; with a `time` at least one.
    #[serde(rename = "field")]
    pub fields: Vec<Field>,
}

/// An axis of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Time {
    /// Rows are times: the first row, at y = 0, is the input.
    Y,
}

/// One name, or several, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One name.
    One(String),
    /// Several names.
    Several(Vec<String>),
}

/// The description of one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The name, which is that of the array in files.
    pub name: String,
    /// The quantity, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub meaning: String,
    /// The unit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The least and the largest value that data and observations may have. If `None`, any.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "two")]
    pub range: Option<[f64; 2]>,
    /// The two values that the input has, and no others. If `None`, chosen from the data.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "two")]
    pub values: Option<[f64; 2]>,
    /// The bases along y and x, which are the boundary conditions. If `None`, chosen from the data.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "two")]
    pub basis: Option<[Boundary; 2]>,
}

/// The places of the points of a grid along one side of length l, with n points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Points {
    /// Points from 0 to l, both ends among them.
    Nodes,
    /// The centres of n cells.
    Cells,
    /// The n nodes inside, without the ends.
    Inner,
    /// Points from 0 on; the one at l would be that at 0.
    Periodic,
}

/// A [`Basis`] by its name in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boundary {
    /// [`Basis::Cosine`].
    Cosine,
    /// [`Basis::SineNodes`].
    SineNodes,
    /// [`Basis::CosineNodes`].
    CosineNodes,
    /// [`Basis::SineCells`].
    SineCells,
    /// [`Basis::SineInner`].
    SineInner,
    /// [`Basis::Fourier`].
    Fourier,
}

impl From<Boundary> for Basis {
    fn from(boundary: Boundary) -> Self {
        match boundary {
            Boundary::Cosine => Self::Cosine,
            Boundary::SineNodes => Self::SineNodes,
            Boundary::CosineNodes => Self::CosineNodes,
            Boundary::SineCells => Self::SineCells,
            Boundary::SineInner => Self::SineInner,
            Boundary::Fourier => Self::Fourier,
        }
    }
}

impl From<Basis> for Boundary {
    fn from(basis: Basis) -> Self {
        match basis {
            Basis::Cosine => Self::Cosine,
            Basis::SineNodes => Self::SineNodes,
            Basis::CosineNodes => Self::CosineNodes,
            Basis::SineCells => Self::SineCells,
            Basis::SineInner => Self::SineInner,
            Basis::Fourier => Self::Fourier,
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Names {
    fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

impl Points {
    /// The places that suit a field of these bases along one axis.
    pub(super) fn suiting(bases: &[Basis]) -> Self {
        let has = |wanted: &[Basis]| bases.iter().any(|basis| wanted.contains(basis));
        if has(&[Basis::SineNodes, Basis::CosineNodes]) {
            Self::Nodes
        } else if has(&[Basis::Fourier]) {
            Self::Periodic
        } else if has(&[Basis::SineInner]) {
            Self::Inner
        } else {
            Self::Cells
        }
    }

    /// The places in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Nodes => "nodes, those on the boundary among them",
            Self::Cells => "cell centres",
            Self::Inner => "nodes inside, without the boundary",
            Self::Periodic => "periodic",
        }
    }

    /// The coordinates of `n` points along a side of length `l` that begins at `origin`.
    pub(super) fn coordinates(self, origin: f64, n: usize, l: f64) -> Vec<f64> {
        let [first, parts] = match self {
            Self::Nodes => [0.0, n.saturating_sub(1).max(1) as f64],
            Self::Cells => [0.5, n as f64],
            Self::Inner => [1.0, (n + 1) as f64],
            Self::Periodic => [0.0, n as f64],
        };
        (0..n).map(|j| origin + (j as f64 + first) / parts * l).collect()
    }
}

/// Reads a list of two, of which an array type would pass over what is too much.
fn pair<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<[T; 2], D::Error> {
    let list: Vec<T> = Vec::deserialize(from)?;
    let count = list.len();
    list.try_into().map_err(|_| D::Error::invalid_length(count, &"a list of two"))
}

/// Reads a list of two that may be left out.
fn two<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> std::result::Result<Option<[T; 2]>, D::Error> {
    pair(from).map(Some)
}

/// Tells the origin that is left out.
fn is_zero(origin: &[f64; 2]) -> bool {
    *origin == [0.0; 2]
}

/// The text of an ordinary file, cut where it is too long.
fn text_of(path: &Path) -> std::io::Result<String> {
    // A pipe or a device may never end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not an ordinary file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// The whole of a TOML file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pde: Description,
}

impl Description {
    /// Reads the description of a TOML file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadFile`] for bad TOML, unknown keys, and values that
    /// [`Description::check`] refuses.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |reason| Error::BadFile { path: path.into(), reason };
        let text = text_of(path).map_err(|source| Error::Io { path: path.into(), source })?;
        if text.len() as u64 > MOST_BYTES {
            return Err(bad(format!("more than {MOST_BYTES} bytes found")));
        }

        Self::from_toml(&text).map_err(|error| match error {
            Error::Config(reason) => bad(reason),
            other => other,
        })
    }

    /// Reads a description from TOML text.
    ///
    /// # Errors
    /// [`Error::Config`] for bad TOML, unknown keys, and values that [`Description::check`]
    /// refuses.
    ///
    /// ```
    /// use phys_instruct::problem::Description;
    ///
    /// let text = "[pde]\nname = 'mine'\ninput = 'a'\nfield = [{ name = 'a' }, { name = 'u' }]";
    /// let description = Description::from_toml(text)?;
    /// assert_eq!((description.name.as_str(), description.fields.len()), ("mine", 2));
    /// assert!(Description::from_toml("[pde]\nname = 'mine'").is_err());
    /// # Ok::<(), phys_instruct::Error>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: File =
            toml::from_str(text).map_err(|e| Error::Config(e.to_string().trim_end().into()))?;
        file.pde.check()?;
        Ok(file.pde)
    }

    /// The description as the text of a TOML file.
    ///
    /// # Errors
    /// Fails for values that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String> {
        #[derive(Serialize)]
        struct Whole<'a> {
            pde: &'a Description,
        }
        toml::to_string(&Whole { pde: self }).map_err(|e| Error::Config(e.to_string()))
    }

    /// Checks names, numbers, and that there are an input and a solution.
    ///
    /// # Errors
    /// [`Error::Config`] with the first fault. Names of PDEs that the program knows are taken.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &str, reason: String| Err(Error::Config(format!("pde.{key}{reason}")));
        if !is_word(&self.name, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            let expected = "lower-case letters, digits and hyphens, a letter first, expected";
            return refuse("name", format!(" = {:?}: {expected}", self.name));
        }
        if super::names().contains(&self.name) {
            let reason = "the program knows a PDE of that name with its equation; choose another";
            return refuse("name", format!(" = {:?}: {reason}", self.name));
        }

        let (count, least) = (self.fields.len(), if self.time.is_some() { 1 } else { 2 });
        if !(least..=MOST_FIELDS).contains(&count) {
            return refuse("field", format!(": {count} found, {least} to {MOST_FIELDS} expected"));
        }
        let mut seen = BTreeSet::new();
        for (i, field) in self.fields.iter().enumerate() {
            field.check().map_err(|reason| Error::Config(format!("pde.field[{i}].{reason}")))?;
            if !seen.insert(&field.name) {
                return refuse(&format!("field[{i}].name"), format!(" = {:?}: twice", field.name));
            }
        }
        let is_derived = |name: &str| {
            let (stem, end) = name.rsplit_once('_').unwrap_or_default();
            DERIVED.contains(&end) && seen.iter().any(|other| *other == stem)
        };
        if let Some(i) = self.fields.iter().position(|field| is_derived(&field.name)) {
            let name = &self.fields[i].name;
            let reason = "a name that files have for a part of another field; choose another";
            return refuse(&format!("field[{i}].name"), format!(" = {name:?}: {reason}"));
        }

        let input = self.input.all();
        if let Some(name) = input.iter().find(|name| !seen.contains(name)) {
            let names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
            return refuse("input", format!(" = {name:?}: one of {} expected", names.join(", ")));
        }
        let distinct: BTreeSet<&String> = input.iter().collect();
        if self.time.is_some() && !input.is_empty() {
            let reason = "with a time the input is the first row of every field; leave it out";
            return refuse("input", format!(": {reason}"));
        }
        if self.time.is_none()
            && (input.is_empty() || distinct.len() < input.len() || distinct.len() == count)
        {
            let reason = ": at least one field, each once, and not all of them expected; or, where \
                          the first row of every field is the input, time = \"y\" instead";
            return refuse("input", reason.into());
        }
        self.check_time().map_err(Error::Config)?;

        let has_values = |field: &Field| field.values.is_some();
        if let Some(i) = self.fields.iter().position(has_values)
            && self.only_input() != Some(i)
        {
            let reason = ": only the input may have two values, and only an input of one field";
            return refuse(&format!("field[{i}].values"), reason.into());
        }

        let is_length = |side: &f64| side.is_finite() && *side > 0.0;
        if let Some(sides) = self.sides.filter(|sides| !sides.iter().all(is_length)) {
            return refuse("sides", format!(" = {sides:?}: two lengths above 0 expected"));
        }
        self.check_origin().map_err(Error::Config)
    }

    /// Refuses an origin that is no place, and one so far away that coordinates are rounded to
    /// more than a part of the domain.
    fn check_origin(&self) -> std::result::Result<(), String> {
        let refuse = |reason: String| Err(format!("pde.origin = {:?}: {reason}", self.origin));
        if !self.origin.iter().all(|at| at.is_finite()) {
            return refuse("two finite coordinates expected".into());
        }

        match self.sides.filter(|sides| self.is_far(*sides)) {
            None => Ok(()),
            Some(sides) => {
                refuse(format!("at most {FARTHEST:e} times the sides {sides:?} expected"))
            }
        }
    }

    /// Tells whether the origin is so far away that a domain of these `sides` is lost in rounding.
    pub(super) fn is_far(&self, sides: [f64; 2]) -> bool {
        self.origin.iter().zip(sides).any(|(at, side)| at.abs() > FARTHEST * side)
    }

    /// Refuses what contradicts a first row at the time 0.
    fn check_time(&self) -> std::result::Result<(), String> {
        if self.time.is_none() {
            return Ok(());
        }
        let expected = "with a time the first row is its beginning";
        if let Some([along_y, _]) = self.points.filter(|[along_y, _]| *along_y != Points::Nodes) {
            let name = serde_json::to_string(&along_y).unwrap_or_default();
            return Err(format!("pde.points = [{name}, ..]: {expected}: \"nodes\" expected"));
        }
        if self.origin[0] != 0.0 {
            return Err(format!("pde.origin = {:?}: {expected}: 0 along y expected", self.origin));
        }

        let is_periodic = |field: &Field| field.basis.is_some_and(|b| b[0] == Boundary::Fourier);
        match self.fields.iter().position(is_periodic) {
            None => Ok(()),
            Some(i) => {
                Err(format!("pde.field[{i}].basis: {expected}, and no period along y is possible"))
            }
        }
    }

    /// The fields in the order of a sample's channels, those of the input first.
    pub(super) fn ordered(&self) -> Vec<&Field> {
        let is_input = |field: &&Field| self.input.all().contains(&field.name);
        let (input, solution): (Vec<_>, Vec<_>) = self.fields.iter().partition(is_input);
        [input, solution].concat()
    }

    /// The number of the field that is the input, if the input is of one field.
    fn only_input(&self) -> Option<usize> {
        match (self.time, self.input.all()) {
            (Some(Time::Y), _) => (self.fields.len() == 1).then_some(0),
            (None, [name]) => self.fields.iter().position(|field| field.name == *name),
            (None, _) => None,
        }
    }

    /// Tells whether the input may turn out to have two values, which nobody has stated.
    pub fn is_open(&self) -> bool {
        self.only_input().is_some_and(|i| self.fields[i].values.is_none())
    }

    /// The two values of the input, if it has no others.
    pub fn two_values(&self) -> Option<TwoValues> {
        let [one, other] = self.fields.get(self.only_input()?)?.values?;
        Some(TwoValues::new(one, other))
    }

    /// The division of a sample into input and solution.
    pub fn layout(&self) -> Layout {
        let (count, input) = (self.fields.len(), self.input.all().len());
        let part = |channels, rows| Part { channels, rows };
        match self.time {
            Some(Time::Y) => {
                Layout { input: part(0..count, Rows::First), solution: part(0..count, Rows::Later) }
            }
            None => {
                Layout { input: part(0..input, Rows::All), solution: part(input..count, Rows::All) }
            }
        }
    }

    /// The ranges that are given, by the number of the channel.
    pub fn ranges(&self) -> impl Iterator<Item = (usize, [f64; 2])> {
        self.ordered().into_iter().enumerate().filter_map(|(c, field)| Some((c, field.range?)))
    }

    /// This description with the bases and the two values of the input that it leaves open chosen
    /// from `data`.
    ///
    /// # Errors
    /// [`Error::Shape`] for data without the described channels, or without a sample.
    pub fn completed(&self, data: &Samples) -> Result<Self> {
        let mut complete = self.clone();
        for field in complete.fields.iter_mut().filter(|field| field.basis.is_none()) {
            let channel = data.channels.iter().position(|name| *name == field.name);
            let Some(channel) = channel.filter(|_| data.count > 0) else {
                let reason = format!("{} samples without a field `{}`", data.count, field.name);
                return Err(Error::Shape(reason));
            };
            field.basis = Some(bases::chosen(data, channel).map(Boundary::from));
        }

        let input = self.only_input().map(|i| &mut complete.fields[i]);
        if let Some(field) = input.filter(|field| field.values.is_none()) {
            let entries = self.layout().input.entries(data.height, data.width);
            let of_sample = |sample| entries.iter().map(move |&entry| data.sample(sample)[entry]);
            let found = TwoValues::of((0..data.count).flat_map(of_sample));
            // The shortest number that is stored as this one, such as 0.1 in `f32`.
            let told = |v: f64| (v as f32).to_string().parse().unwrap_or(v);
            field.values = found.map(|two| [two.low, two.high].map(told));
        }
        Ok(complete)
    }

    /// Tells whether `complete` may have come of this description: all that is given here is the
    /// same there.
    pub fn may_become(&self, complete: &Self) -> bool {
        // Two values are the same in either order, and as they are stored.
        let stored = |values: [f64; 2]| {
            let [one, other] = values.map(|v| v as f32);
            [one.min(other), one.max(other)]
        };
        let given = |field: &Field, other: &Field| Field {
            basis: field.basis.and(other.basis),
            values: match field.values.map(stored) == other.values.map(stored) {
                true => field.values,
                false => field.values.and(other.values),
            },
            ..other.clone()
        };

        let fields = self.fields.iter().zip(&complete.fields);
        let fields = fields.map(|(field, other)| given(field, other)).collect();
        let same_count = self.fields.len() == complete.fields.len();
        same_count && *self == Self { fields, ..complete.clone() }
    }
}

impl Field {
    fn check(&self) -> std::result::Result<(), String> {
        if !is_word(&self.name, |c| c.is_ascii_alphanumeric() || c == '_') {
            let expected = "letters, digits and _, a letter first, expected";
            return Err(format!("name = {:?}: {expected}", self.name));
        }
        if RESERVED.iter().any(|name| self.name.eq_ignore_ascii_case(name)) {
            let reason = "a name that tables of observations and data files use themselves";
            return Err(format!("name = {:?}: {reason}; choose another", self.name));
        }

        for (key, text) in [("meaning", &self.meaning), ("unit", &self.unit)] {
            if text.chars().count() > LONGEST_TEXT || text.chars().any(char::is_control) {
                return Err(format!(
                    "{key}: one line of at most {LONGEST_TEXT} characters expected"
                ));
            }
        }

        if let Some([one, other]) = self.values {
            let stored = [one, other].map(|v| v as f32);
            if stored.iter().any(|v| !v.is_finite()) || stored[0] == stored[1] {
                return Err(format!("values = [{one}, {other}]: two different numbers expected"));
            }
            let within = |v: f64| self.range.is_none_or(|[low, high]| (low..=high).contains(&v));
            if !within(one) || !within(other) {
                return Err(format!("values = [{one}, {other}]: numbers of the range expected"));
            }
        }

        match self.range {
            Some([low, high]) if !(low.is_finite() && high.is_finite() && low < high) => {
                Err(format!("range = [{low}, {high}]: two numbers, the smaller first, expected"))
            }
            _ => Ok(()),
        }
    }

    /// The quantity in words; its name where nothing is told of it.
    pub(super) fn quantity(&self) -> &str {
        if self.meaning.is_empty() { &self.name } else { &self.meaning }
    }
}

/// Tells whether `name` is a letter and further `allowed` characters.
fn is_word(name: &str, allowed: impl Fn(char) -> bool) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() && allowed(c))
        && name.len() <= LONGEST_NAME
        && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::MINE;

    fn refusal(from: &str, to: &str) -> String {
        assert!(MINE.contains(from), "{from}");
        Description::from_toml(&MINE.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn a_description_reads_back_as_itself() {
        let elsewhere = MINE.replacen("sides", "origin = [-3.5, 1e6]\nsides", 1);
        for text in [MINE, &elsewhere] {
            let own = Description::from_toml(text).unwrap();
            assert_eq!(Description::from_toml(&own.to_toml().unwrap()).unwrap(), own);
            let json = serde_json::to_string(&own).unwrap();
            assert_eq!(serde_json::from_str::<Description>(&json).unwrap(), own);
        }
    }

    #[test]
    fn faults_are_named_with_what_is_expected() {
        for (from, to, parts) in [
            ("'mine'", "'Mine'", ["pde.name", "lower-case"]),
            ("'mine'", "'poisson'", ["pde.name", "choose another"]),
            ("'mine'", "'../mine'", ["pde.name", "lower-case"]),
            ("input = 'k'", "input = 'a'", ["pde.input", "one of u, k expected"]),
            ("input = 'k'", "input = ['k', 'u']", ["pde.input", "not all"]),
            ("input = 'k'", "input = ['k', 'k']", ["pde.input", "each once"]),
            ("[1.0, 2.0]", "[1.0, 0.0]", ["pde.sides", "above 0"]),
            ("sides", "origin = [1.0, inf]\nsides", ["pde.origin", "finite"]),
            ("sides", "origin = [1.0, -3e7]\nsides", ["pde.origin", "1e7 times the sides"]),
            ("sides", "origin = [1.0]\nsides", ["1", "a list of two"]),
            ("name = 'u'", "name = 'k'", ["pde.field[1].name", "twice"]),
            ("name = 'u'", "name = 'sides'", ["pde.field[0].name", "sides"]),
            ("name = 'u'", "name = 'Y'", ["pde.field[0].name", "use themselves"]),
            ("name = 'u'", "name = 'k_mean'", ["pde.field[0].name", "part of another field"]),
            ("[0.0, 5.0]", "[5.0, 0.0]", ["pde.field[1].range", "smaller first"]),
            ("[0.0, 5.0]", "[0.0, 5.0]\nvalues = [2.0, 2.0]", ["field[1].values", "different"]),
            ("[0.0, 5.0]", "[0.0, 5.0]\nvalues = [2.0, 7.0]", ["field[1].values", "of the range"]),
            ("[0.0, 5.0]", "[0.0, 5.0, 9.0]", ["3", "a list of two"]),
            ("[1.0, 2.0]", "[1.0]", ["1", "a list of two"]),
            ("unit = 'm'", "values = [2.0, 3.0]", ["field[0].values", "only the input"]),
            ("input = 'k'", "input = []", ["pde.input", "time = \"y\""]),
            ("input = 'k'", "time = 'y'", ["pde.field[0].basis", "no period"]),
            (
                "input = 'k'\nsides = [1.0, 2.0]",
                "time = 'y'\npoints = ['cells', 'cells']",
                ["pde.points", "\"nodes\" expected"],
            ),
            (
                "input = 'k'\nsides = [1.0, 2.0]",
                "time = 'y'\norigin = [1.0, 0.0]",
                ["pde.origin", "0 along y expected"],
            ),
            ("input = 'k'", "time = 'y'\ninput = 'k'", ["pde.input", "leave it out"]),
            ("input = 'k'", "time = 'x'", ["time", "`y`"]),
            ("'fourier'", "'fourrier'", ["fourrier", "`fourier`"]),
            ("unit", "units", ["units", "`unit`"]),
        ] {
            let message = refusal(from, to);
            assert!(parts.iter().all(|part| message.contains(part)), "{to}: {message}");
        }
    }

    #[test]
    fn two_values_are_the_same_in_either_order_and_as_stored() {
        let of = |values: &str| {
            let text = MINE.replace("range = [0.0, 5.0]", &format!("values = {values}"));
            Description::from_toml(&text).unwrap()
        };
        assert!(of("[0.1, 3]").may_become(&of("[3, 0.10000000149011612]")));
        assert!(!of("[0.1, 3]").may_become(&of("[0.1, 4]")));
        let open = Description::from_toml(MINE).unwrap();
        assert!(open.is_open() && !of("[0.1, 3]").is_open());

        // Three samples of k, the input, and u on 2 x 2 points.
        let data = [[0.1_f32; 4], [7.0; 4]].concat().repeat(2);
        let last = [0.1, 3.0, 3.0, 0.1, 1.0, 2.0, 3.0, 4.0];
        let mut samples = crate::testing::samples_of(3, 2, 2, 2, [data, last.to_vec()].concat());
        samples.channels = vec!["k".into(), "u".into()];
        let complete = open.completed(&samples).unwrap();
        assert_eq!(complete.fields[1].values, Some([0.1, 3.0]));
        assert!(open.may_become(&complete) && of("[3, 0.1]").two_values() == complete.two_values());
    }

    #[test]
    fn what_is_given_may_not_change_and_what_is_open_may() {
        let open = Description::from_toml(MINE).unwrap();
        let mut complete = open.clone();
        complete.fields[1].basis = Some([Boundary::Cosine; 2]);
        assert!(open.may_become(&complete) && open.may_become(&open));
        assert!(!complete.may_become(&open));
        for change in [
            |d: &mut Description| d.fields[0].basis = Some([Boundary::Cosine; 2]),
            |d: &mut Description| d.fields[0].unit = "km".into(),
            |d: &mut Description| d.sides = None,
            |d: &mut Description| d.fields.truncate(1),
        ] {
            let mut other = complete.clone();
            change(&mut other);
            assert!(!open.may_become(&other));
        }
    }
}
