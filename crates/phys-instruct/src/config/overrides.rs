//! Changes to a configuration by the name of a key: `a.b=c` sets one, `a.b` takes one out.
//!
//! Two forms of a name are more than a path of tables. `distill.matching.steps` is a key of the
//! phase of that kind, which is added at its place in the sequence if there is none.
//! `distill.phase[1].steps` is a key of the phase of that number, counted from 0. If a `kind` is
//! set to another one, the keys that the new kind does not have are removed.

use serde_json::Value as Schema;
use toml::{Table, Value};

use super::PhaseConfig;
use super::phase::place_of;
use super::schema::{Checked, KIND, Part, join};

/// Changes to a configuration file.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Keys, tables and phases to take out.
    pub unset: Vec<String>,
    /// Values to set, each as `key=value`, the value as TOML or a bare word.
    pub set: Vec<String>,
}

impl Changes {
    /// Changes that set values alone.
    pub fn setting(set: &[&str]) -> Self {
        Self { unset: Vec::new(), set: set.iter().map(|&text| text.into()).collect() }
    }
}

/// Applies all changes to `root`, a table of `schema`.
pub(super) fn apply(root: &mut Value, changes: &Changes, schema: &Schema) -> Checked {
    for name in &changes.unset {
        unset(root, name, schema).map_err(|reason| format!("--unset {name}: {reason}"))?;
    }

    // Kinds come first, since they decide which keys there are.
    let is_kind = |text: &&String| {
        let name = text.split('=').next().unwrap_or_default();
        name.trim().rsplit('.').next() == Some(KIND)
    };
    let (kinds, others): (Vec<&String>, Vec<&String>) = changes.set.iter().partition(is_kind);
    for text in kinds.into_iter().chain(others) {
        let done = set(root, text, schema);
        let checked = done.and_then(|()| Part::whole(schema).check(root, ""));
        checked.map_err(|reason| format!("--set {text}: {reason}"))?;
    }
    Ok(())
}

/// One step along the name of a key.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The steps of a name such as `distill.phase[1].steps`.
fn steps(name: &str) -> Checked<Vec<Step>> {
    let mut all = Vec::new();
    for part in name.trim().split('.') {
        let (key, rest) = part.split_once('[').map_or((part, None), |(k, r)| (k, Some(r)));
        if key.is_empty() {
            return Err("the name of a key expected".into());
        }
        all.push(Step::Key(key.into()));

        if let Some(rest) = rest {
            let number = rest.strip_suffix(']').and_then(|digits| digits.parse().ok());
            let number =
                number.ok_or_else(|| format!("`{part}`: a number in brackets expected"))?;
            all.push(Step::Index(number));
        }
    }
    Ok(all)
}

/// Applies one `a.b=c`.
fn set(root: &mut Value, text: &str, schema: &Schema) -> Checked {
    let (name, value) = text.split_once('=').ok_or("`key=value` expected")?;
    if name.trim().is_empty() {
        return Err("a key expected before `=`".into());
    }
    let mut path = steps(name)?;
    number_phase(root, &mut path)?;
    let Some(Step::Key(last)) = path.pop() else {
        return Err("a key expected before `=`".into());
    };

    let mut at = root;
    let mut part = Some(Part::whole(schema));
    for step in &path {
        (at, part) = match step {
            Step::Key(key) => {
                let part = part.and_then(|part| part.property(key));
                let table =
                    at.as_table_mut().ok_or_else(|| format!("`{key}` is not in a table"))?;
                (table.entry(key).or_insert_with(|| Value::Table(fresh(part))), part)
            }
            Step::Index(index) => (item(at, *index)?, part.and_then(Part::items)),
        };
    }

    let table = at.as_table_mut().ok_or_else(|| format!("`{last}` is not in a table"))?;
    table.insert(last.clone(), literal(value.trim()));
    if last == KIND {
        drop_other_keys(table, part);
    }
    Ok(())
}

/// A table of the kind that stands where nothing is written.
fn fresh(part: Option<Part>) -> Table {
    let kind = part.and_then(Part::default_kind);
    kind.map(|kind| (KIND.to_owned(), Value::String(kind.into()))).into_iter().collect()
}

/// Drops the keys that a table of this kind does not have; all are kept for an unknown kind.
fn drop_other_keys(table: &mut Table, part: Option<Part>) {
    let kind = table.get(KIND).and_then(Value::as_str).unwrap_or_default();
    let kinds = part.map(Part::kinds).unwrap_or_default();
    if let Some(part) = kinds.into_iter().find(|part| part.kind() == Some(kind)) {
        table.retain(|key, _| part.property(key).is_some());
    }
}

/// The phases of a configuration, if it has any.
fn phases(root: &mut Value) -> Option<&mut Vec<Value>> {
    root.get_mut("distill")?.get_mut("phase")?.as_array_mut()
}

/// The kind of phase that a name goes through, as in `distill.matching`.
fn kind_of_phase(path: &[Step]) -> Option<&'static str> {
    match path {
        [Step::Key(table), Step::Key(kind), ..] if table == "distill" => {
            PhaseConfig::KINDS.into_iter().find(|known| known == kind)
        }
        _ => None,
    }
}

/// Tells whether a phase is of a kind.
fn is_of(phase: &Value, kind: &str) -> bool {
    phase.get(KIND).and_then(Value::as_str) == Some(kind)
}

/// Replaces the kind of a phase in a name by the phase's number. A phase that is not there is added
/// before the first one that has to come later.
fn number_phase(root: &mut Value, path: &mut Vec<Step>) -> Checked {
    let Some(kind) = kind_of_phase(path).filter(|_| path.len() > 2) else { return Ok(()) };
    let table = root.as_table_mut().ok_or("no table")?;
    let distill = table.entry("distill").or_insert_with(|| Value::Table(Table::new()));
    let distill = distill.as_table_mut().ok_or("`distill` is not a table")?;
    let phases = distill.entry("phase").or_insert_with(|| Value::Array(Vec::new()));
    let phases = phases.as_array_mut().ok_or("`distill.phase` is not an array")?;

    let found: Vec<usize> = (0..phases.len()).filter(|&i| is_of(&phases[i], kind)).collect();
    let index = match found.as_slice() {
        [] => {
            let later = |phase: &Value| {
                let other = phase.get(KIND).and_then(Value::as_str).unwrap_or_default();
                place_of(other) > place_of(kind)
            };
            let index = phases.iter().position(later).unwrap_or(phases.len());
            let new = Table::from_iter([(KIND.to_owned(), Value::String(kind.into()))]);
            phases.insert(index, Value::Table(new));
            index
        }
        [only] => *only,
        several => {
            let names: Vec<String> =
                several.iter().map(|i| format!("`distill.phase[{i}]`")).collect();
            return Err(format!("there are several phases of this kind: {}", names.join(", ")));
        }
    };

    path.splice(1..2, [Step::Key("phase".into()), Step::Index(index)]);
    Ok(())
}

/// Takes out a key, a table, a phase by its number, or all phases of a kind. A known key that is
/// not there is no error.
fn unset(root: &mut Value, name: &str, schema: &Schema) -> Checked {
    let path = steps(name)?;
    check_known(&path, schema)?;

    let Some(kind) = kind_of_phase(&path) else {
        remove(root, &path);
        return Ok(());
    };

    let Some(phases) = phases(root) else { return Ok(()) };
    match &path[2..] {
        [] => phases.retain(|phase| !is_of(phase, kind)),
        rest => {
            let of_kind = phases.iter_mut().filter(|phase| is_of(phase, kind));
            of_kind.for_each(|phase| remove(phase, rest));
        }
    }
    Ok(())
}

/// Refuses a name that no configuration has.
fn check_known(path: &[Step], schema: &Schema) -> Checked {
    let mut part = Part::whole(schema);
    let mut at = String::new();
    let kind = kind_of_phase(path);
    for (i, step) in path.iter().enumerate() {
        let next = match (step, kind) {
            (Step::Key(_), Some(kind)) if i == 1 => {
                let phases = part.property("phase").and_then(Part::items);
                let kinds = phases.map(Part::kinds).unwrap_or_default();
                kinds.into_iter().find(|part| part.kind() == Some(kind))
            }
            (Step::Key(key), _) => part.property(key),
            (Step::Index(_), _) => part.items(),
        };

        let Step::Key(key) = step else {
            part = next.ok_or_else(|| format!("`{at}` is not an array"))?;
            continue;
        };
        part = next.ok_or_else(|| part.unknown(key, &at))?;
        at = join(&at, key);
    }
    Ok(())
}

/// Removes what stands at `path`, if anything does.
fn remove(root: &mut Value, path: &[Step]) {
    let Some((last, path)) = path.split_last() else { return };
    let mut at = Some(root);
    for step in path {
        at = match step {
            Step::Key(key) => at.and_then(|value| value.get_mut(key)),
            Step::Index(index) => at.and_then(|value| value.get_mut(*index)),
        };
    }

    match (at, last) {
        (Some(Value::Table(table)), Step::Key(key)) => drop(table.remove(key)),
        (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => (),
    }
}

/// The value of a number in an array.
fn item(at: &mut Value, index: usize) -> Checked<&mut Value> {
    let items = at.as_array_mut().ok_or_else(|| format!("`[{index}]` is not in an array"))?;
    let count = items.len();
    items.get_mut(index).ok_or_else(|| format!("`[{index}]`: there are {count}, counted from 0"))
}

/// A TOML value, or else the text itself.
fn literal(text: &str) -> Value {
    let table: Option<Table> = format!("v = {text}").parse().ok();
    let only = table.filter(|t| t.len() == 1).and_then(|mut t| t.remove("v"));
    only.unwrap_or_else(|| Value::String(text.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::schema::{keys, schema};

    #[test]
    fn every_key_that_is_listed_is_known() {
        let (names, schema) = (keys(), schema());
        for name in ["data.count", "distill.matching.guidance.start", "coordinates.kind", "pde"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        for name in names {
            check_known(&steps(&name).unwrap(), &schema).unwrap();
        }
    }
}
