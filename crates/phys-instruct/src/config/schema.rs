//! The walk along the JSON schema that is derived from [`Config`], so that a refusal can name the
//! path of the key and the nearest known one; serde's own errors carry neither.

use serde_json::Value as Schema;
use toml::{Table, Value};

use crate::Config;
use crate::config::PhaseConfig;

/// The key that tells which of several kinds a table is.
pub(super) const KIND: &str = "kind";

/// The outcome of a check, or why it failed.
pub(super) type Checked<T = ()> = Result<T, String>;

/// The JSON schema of a configuration.
pub fn schema() -> Schema {
    schemars::schema_for!(Config).to_value()
}

/// The names of all keys of a configuration, as `--set` takes them, in alphabetical order:
/// `data.count`, `distill.matching.guidance.start`.
pub fn keys() -> Vec<String> {
    let schema = schema();
    let mut names = Vec::new();
    Part::whole(&schema).add_names("", &mut names);
    names.sort_unstable();
    names.dedup();
    // The kind of a phase is its name already.
    let kinds = PhaseConfig::KINDS.map(|kind| format!("distill.{kind}.{KIND}"));
    names.retain(|name| !kinds.contains(name));
    names
}

/// A part of a schema, together with the whole that its references point into.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    part: &'a Schema,
    root: &'a Schema,
}

impl<'a> Part<'a> {
    /// The whole schema.
    pub fn whole(root: &'a Schema) -> Self {
        Self { part: root, root }
    }

    fn with(self, part: &'a Schema) -> Self {
        Self { part, ..self }
    }

    /// Everything that a value may be, references followed.
    fn alternatives(self) -> Vec<Self> {
        let pointer = self.part["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
        let part = pointer.and_then(|p| self.root.pointer(p)).unwrap_or(self.part);
        match part["oneOf"].as_array().or(part["anyOf"].as_array()) {
            Some(choices) => choices.iter().flat_map(|c| self.with(c).alternatives()).collect(),
            None => vec![self.with(part)],
        }
    }

    /// Tells whether the JSON type `name` is admitted, references and choices not followed.
    fn is(self, name: &str) -> bool {
        match &self.part["type"] {
            Schema::String(one) => one == name,
            Schema::Array(many) => many.iter().any(|one| one == name),
            _ => false,
        }
    }

    /// The names of a table's keys.
    fn keys(self) -> Vec<&'a str> {
        let known = self.part["properties"].as_object();
        known.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// The kind of the tables that this alternative describes, if they have one.
    pub fn kind(self) -> Option<&'a str> {
        self.part["properties"][KIND]["const"].as_str()
    }

    /// The kinds of table that a value may be.
    pub fn kinds(self) -> Vec<Self> {
        self.alternatives().into_iter().filter(|a| a.kind().is_some()).collect()
    }

    /// The schema of the value of `key` in a table of any kind.
    pub fn property(self, key: &str) -> Option<Self> {
        self.alternatives().into_iter().find_map(|table| table.own_property(key))
    }

    fn own_property(self, key: &str) -> Option<Self> {
        let free = &self.part["additionalProperties"];
        let known = self.part["properties"].get(key);
        known.or(free.is_object().then_some(free)).map(|part| self.with(part))
    }

    /// The schema of each value of an array.
    pub fn items(self) -> Option<Self> {
        let array = self.alternatives().into_iter().find(|a| a.is("array"))?;
        Some(array.with(&array.part["items"]))
    }

    /// The kind of the table that stands where nothing is written.
    pub fn default_kind(self) -> Option<&'a str> {
        self.part["default"][KIND].as_str()
    }

    /// Adds the names under which `--set` knows the keys below this part, which stands at `path`. A
    /// phase of the student is named by its kind.
    fn add_names(self, path: &str, names: &mut Vec<String>) {
        for table in self.alternatives() {
            for key in table.keys().into_iter().filter(|key| *key != KIND) {
                let Some(value) = table.own_property(key) else { continue };
                let at = join(path, key);
                match value.items().map(Self::kinds).filter(|kinds| !kinds.is_empty()) {
                    Some(kinds) => {
                        for kind in kinds {
                            let name = join(path, kind.kind().unwrap_or_default());
                            kind.add_names(&name, names);
                        }
                    }
                    None if value.alternatives().iter().any(|a| !a.keys().is_empty()) => {
                        value.add_names(&at, names);
                    }
                    None => names.push(at),
                }
            }
            if table.kind().is_some() && !path.is_empty() {
                names.push(join(path, KIND));
            }
        }
    }

    /// Checks `value` at `path`.
    pub fn check(self, value: &Value, path: &str) -> Checked {
        match value {
            Value::Table(table) if self.admits("object") => self.check_table(table, path),
            Value::Array(items) if self.admits("array") => {
                let Some(part) = self.items() else { return Ok(()) };
                let mut each = items.iter().enumerate();
                each.try_for_each(|(i, item)| part.check(item, &format!("{path}[{i}]")))
            }
            _ if self.alternatives().into_iter().any(|a| a.fits(value)) => Ok(()),
            _ => {
                let nearest = value.as_str().and_then(|word| nearest(word, self.words()));
                let hint = nearest.map(|word| format!("; did you mean \"{word}\"?"));
                let (found, expected) = (describe(value), self.expected());
                let hint = hint.unwrap_or_default();
                Err(format!("`{path}`: {found} found, {expected} expected{hint}"))
            }
        }
    }

    fn admits(self, name: &str) -> bool {
        self.alternatives().into_iter().any(|a| a.is(name))
    }

    /// Checks the keys of a table, those of its kind where there are several kinds.
    fn check_table(self, table: &Table, path: &str) -> Checked {
        let part = match self.kinds().as_slice() {
            [] => self.alternatives().into_iter().find(|a| a.is("object")).unwrap_or(self),
            kinds => of_kind(kinds, table.get(KIND), path)?,
        };
        table.iter().try_for_each(|(key, value)| part.check_key(key, value, path))
    }

    /// Checks that no table lacks a key that has no default. `value` has passed [`Part::check`].
    pub fn check_complete(self, value: &Value, path: &str) -> Checked {
        match value {
            Value::Table(table) => {
                let alternatives = self.alternatives();
                let kind = table.get(KIND).and_then(Value::as_str);
                let own = alternatives.iter().find(|a| a.is("object") && a.kind() == kind);
                let Some(part) = own.or(alternatives.first()) else { return Ok(()) };

                let required = part.part["required"].as_array().into_iter().flatten();
                let mut required = required.filter_map(Schema::as_str);
                if let Some(key) = required.find(|key| !table.contains_key(*key)) {
                    return Err(format!("`{}` is missing", join(path, key)));
                }
                table.iter().try_for_each(|(key, value)| match part.own_property(key) {
                    Some(part) => part.check_complete(value, &join(path, key)),
                    None => Ok(()),
                })
            }
            Value::Array(items) => {
                let Some(part) = self.items() else { return Ok(()) };
                let mut each = items.iter().enumerate();
                each.try_for_each(|(i, item)| part.check_complete(item, &format!("{path}[{i}]")))
            }
            _ => Ok(()),
        }
    }

    fn check_key(self, key: &str, value: &Value, path: &str) -> Checked {
        match self.own_property(key) {
            Some(part) => part.check(value, &join(path, key)),
            None => Err(self.unknown(key, path)),
        }
    }

    /// The refusal of a key that a table at `path` does not have.
    pub fn unknown(self, key: &str, path: &str) -> String {
        let of_kind = self.kind().map(|kind| format!(" of kind \"{kind}\"")).unwrap_or_default();
        let full = join(path, key);
        let names: Vec<&str> = self.alternatives().into_iter().flat_map(Self::keys).collect();
        match nearest(key, names.iter().copied()) {
            Some(name) => {
                format!("unknown key `{full}`{of_kind}; did you mean `{}`?", join(path, name))
            }
            None => format!("unknown key `{full}`{of_kind}; known here: {}", names.join(", ")),
        }
    }

    fn fits(self, value: &Value) -> bool {
        let schema = self.part;
        match value {
            Value::String(text) => match (&schema["const"], &schema["enum"]) {
                (Schema::String(only), _) => only == text,
                (_, Schema::Array(words)) => words.iter().any(|word| word == text),
                _ => self.is("string"),
            },
            Value::Integer(n) => {
                let low = schema["minimum"].as_i64().is_some_and(|least| *n < least);
                (self.is("integer") && !low) || self.is("number")
            }
            Value::Float(x) => self.is("number") && x.is_finite(),
            Value::Boolean(_) => self.is("boolean"),
            Value::Datetime(_) | Value::Array(_) | Value::Table(_) => false,
        }
    }

    /// The words a value may be.
    fn words(self) -> Vec<&'a str> {
        let of = |a: Self| {
            let several = a.part["enum"].as_array().into_iter().flatten();
            let only = a.part["const"].as_str().into_iter();
            only.chain(several.filter_map(Schema::as_str)).collect::<Vec<_>>()
        };
        self.alternatives().into_iter().flat_map(of).collect()
    }

    /// Everything that a value may be, in words.
    fn expected(self) -> String {
        let mut all: Vec<String> = self.words().iter().map(|word| format!("\"{word}\"")).collect();
        for part in self.alternatives() {
            if !part.words().is_empty() {
                continue;
            }

            for (name, text) in [
                ("integer", "a whole number"),
                ("number", "a finite number"),
                ("string", "a string"),
                ("boolean", "true or false"),
                ("array", "an array"),
                ("object", "a table"),
            ] {
                if part.is(name) {
                    let least = part.part["minimum"].as_i64().filter(|_| name == "integer");
                    all.push(match least {
                        Some(least) => format!("{text} of at least {least}"),
                        None => text.to_owned(),
                    });
                }
            }
        }

        all.dedup();
        all.join(" or ")
    }
}

/// The one of several kinds of table that `found` names.
fn of_kind<'a>(kinds: &[Part<'a>], found: Option<&Value>, path: &str) -> Checked<Part<'a>> {
    let names: Vec<&str> = kinds.iter().filter_map(|part| part.kind()).collect();
    let expected: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let (key, expected) = (join(path, KIND), expected.join(" or "));

    let Some(found) = found else {
        return Err(format!("`{key}` is missing, {expected} expected"));
    };

    let word = found.as_str().unwrap_or_default();
    match kinds.iter().find(|part| part.kind() == Some(word)) {
        Some(part) => Ok(*part),
        None => {
            let hint = nearest(word, names).map(|name| format!("; did you mean \"{name}\"?"));
            let hint = hint.unwrap_or_default();
            Err(format!("`{key}`: {} found, {expected} expected{hint}", describe(found)))
        }
    }
}

/// The full name of `key` in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string \"{text}\""),
        Value::Integer(n) => format!("the whole number {n}"),
        Value::Float(x) => format!("the number {x}"),
        Value::Boolean(b) => format!("{b}"),
        Value::Datetime(_) => "a date".into(),
        Value::Array(_) => "an array".into(),
        Value::Table(_) => "a table".into(),
    }
}

/// The most similar of `known`, if one is similar at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(word, name), name));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|best| best.1)
}
