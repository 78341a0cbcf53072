//! Reading a configuration: a TOML file, `a.b=c` overrides, and refusals that name the key, what
//! was found and what was expected.
//!
//! The checks walk the JSON schema that is derived from [`Config`], so that a message can name the
//! path of the key and the nearest known one; serde's own errors carry neither.

use std::path::Path;

use serde_json::Value as Schema;
use toml::{Table, Value};

use crate::store::file::read_text;
use crate::{Config, Error, Result};

/// Largest configuration file read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// The JSON schema of a configuration.
pub fn schema() -> Schema {
    schemars::schema_for!(Config).to_value()
}

/// Reads `path` and applies `overrides` (`a.b=c`, c as TOML or a bare word), in order.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadFile`] for bad TOML, unknown keys and values of the wrong type;
/// [`Error::Config`] for an override, or for values that do not fit each other.
pub fn load(path: &Path, overrides: &[String]) -> Result<Config> {
    let bad = |reason| Error::BadFile { path: path.into(), reason };
    // A pipe or a device may never end; only an ordinary file has a length to be held to.
    let text = read_text(path, MOST_BYTES)?;
    from_text(&text, overrides, &bad)
}

/// The resolved configuration as TOML, every default written out.
///
/// # Errors
/// A value TOML cannot hold (a seed above 2^63 - 1).
pub fn to_toml(config: &Config) -> Result<String> {
    toml::to_string(config).map_err(|e| Error::Config(e.to_string()))
}

/// The keys at which two configurations differ, with both values.
pub fn differences(ours: &Config, theirs: &Config) -> Vec<String> {
    let tables = [ours, theirs].map(|c| Value::try_from(c).ok());
    let mut found = Vec::new();
    if let [Some(ours), Some(theirs)] = &tables {
        compare(Some(ours), Some(theirs), "", &mut found);
    }
    found
}

fn from_text(text: &str, overrides: &[String], bad: &dyn Fn(String) -> Error) -> Result<Config> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| bad(e.to_string()))?;
    let schema = schema();
    let mut value = Value::Table(table);
    check(&value, &schema, &schema, "").map_err(bad)?;
    for text in overrides {
        let refused = |reason| Error::Config(format!("--set {text}: {reason}"));
        set(&mut value, text).map_err(refused)?;
        check(&value, &schema, &schema, "").map_err(refused)?;
    }
    let missing = schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str);
    if let Some(key) = missing.into_iter().find(|key| value.get(key).is_none()) {
        return Err(bad(format!("`{key}` is missing")));
    }
    let config: Config = value.try_into().map_err(|e: toml::de::Error| bad(e.to_string()))?;
    config.check()?;
    Ok(config)
}

/// Applies one `a.b=c`.
fn set(root: &mut Value, text: &str) -> std::result::Result<(), String> {
    let (path, value) = text.split_once('=').ok_or("`key=value` expected")?;
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or("a key expected before `=`")?;
    let mut at = root;
    for key in keys {
        let table = at.as_table_mut().ok_or_else(|| format!("`{key}` is not in a table"))?;
        at = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
    }
    let table = at.as_table_mut().ok_or_else(|| format!("`{last}` is not in a table"))?;
    table.insert(last.into(), literal(value.trim()));
    Ok(())
}

/// A TOML value, or else the text itself.
fn literal(text: &str) -> Value {
    let table: Option<Table> = format!("v = {text}").parse().ok();
    let only = table.filter(|t| t.len() == 1).and_then(|mut t| t.remove("v"));
    only.unwrap_or_else(|| Value::String(text.into()))
}

/// Checks `value` at `path` against `schema`, a part of `root`.
fn check(
    value: &Value,
    schema: &Schema,
    root: &Schema,
    path: &str,
) -> std::result::Result<(), String> {
    let schema = resolve(schema, root);
    if let Value::Table(table) = value
        && is(schema, "object")
    {
        return table.iter().try_for_each(|(key, value)| check_key(key, value, schema, root, path));
    }
    if let Value::Array(items) = value
        && is(schema, "array")
    {
        let each = |(i, item): (usize, &Value)| {
            check(item, &schema["items"], root, &format!("{path}[{i}]"))
        };
        return items.iter().enumerate().try_for_each(each);
    }
    if fits(value, schema, root) {
        return Ok(());
    }
    let nearest = value.as_str().and_then(|word| nearest(word, words(schema, root)));
    let hint = nearest.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default();
    let (found, expected) = (describe(value), expected(schema, root));
    Err(format!("`{path}`: {found} found, {expected} expected{hint}"))
}

fn check_key(
    key: &str,
    value: &Value,
    schema: &Schema,
    root: &Schema,
    path: &str,
) -> std::result::Result<(), String> {
    let here = |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
    let path = here(key);
    let known = schema["properties"].as_object();
    if let Some(schema) = known.and_then(|known| known.get(key)) {
        return check(value, schema, root, &path);
    }
    if schema["additionalProperties"].is_object() {
        return check(value, &schema["additionalProperties"], root, &path);
    }
    let names: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    Err(match nearest(key, names.iter().copied()) {
        Some(name) => format!("unknown key `{path}`; did you mean `{}`?", here(name)),
        None => format!("unknown key `{path}`; known here: {}", names.join(", ")),
    })
}

fn resolve<'a>(schema: &'a Schema, root: &'a Schema) -> &'a Schema {
    let pointer = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    pointer.and_then(|p| root.pointer(p)).unwrap_or(schema)
}

/// Whether `schema` admits the JSON type `name`.
fn is(schema: &Schema, name: &str) -> bool {
    match &schema["type"] {
        Schema::String(one) => one == name,
        Schema::Array(many) => many.iter().any(|one| one == name),
        _ => false,
    }
}

fn choices(schema: &Schema) -> Option<&Vec<Schema>> {
    schema["oneOf"].as_array().or(schema["anyOf"].as_array())
}

fn fits(value: &Value, schema: &Schema, root: &Schema) -> bool {
    if let Some(choices) = choices(schema) {
        return choices.iter().any(|choice| fits(value, resolve(choice, root), root));
    }
    match value {
        Value::String(text) => match (&schema["const"], &schema["enum"]) {
            (Schema::String(only), _) => only == text,
            (_, Schema::Array(words)) => words.iter().any(|word| word == text),
            _ => is(schema, "string"),
        },
        Value::Integer(n) => {
            let low = schema["minimum"].as_i64().is_some_and(|least| *n < least);
            (is(schema, "integer") && !low) || is(schema, "number")
        }
        Value::Float(x) => is(schema, "number") && x.is_finite(),
        Value::Boolean(_) => is(schema, "boolean"),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => false,
    }
}

/// The words a value may be.
fn words<'a>(schema: &'a Schema, root: &'a Schema) -> Vec<&'a str> {
    if let Some(choices) = choices(schema) {
        return choices.iter().flat_map(|choice| words(resolve(choice, root), root)).collect();
    }
    let several = schema["enum"].as_array().into_iter().flatten();
    schema["const"].as_str().into_iter().chain(several.filter_map(Schema::as_str)).collect()
}

fn expected(schema: &Schema, root: &Schema) -> String {
    let mut all: Vec<String> =
        words(schema, root).iter().map(|word| format!("\"{word}\"")).collect();
    let parts = choices(schema).map_or_else(|| vec![schema], |c| c.iter().collect());
    for part in parts.into_iter().map(|part| resolve(part, root)) {
        if !words(part, root).is_empty() {
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
            if is(part, name) {
                let least = part["minimum"].as_i64().filter(|_| name == "integer");
                all.push(match least {
                    Some(least) => format!("{text} of at least {least}"),
                    None => text.to_owned(),
                });
            }
        }
    }
    all.join(" or ")
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

fn compare(ours: Option<&Value>, theirs: Option<&Value>, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Some(Value::Table(a)), Some(Value::Table(b))) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(a.get(key), b.get(key), &path, found);
            }
        }
        (a, b) if a != b => {
            let show = |v: Option<&Value>| v.map_or("nothing".into(), ToString::to_string);
            found.push(format!("{path} = {} against {}", show(a), show(b)));
        }
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SMALL: &str = "pde = 'poisson'\ngrid = 16\n";

    fn read(text: &str, overrides: &[&str]) -> Result<Config> {
        let overrides: Vec<String> = overrides.iter().map(|&o| o.into()).collect();
        from_text(text, &overrides, &|reason| Error::BadFile { path: "x.toml".into(), reason })
    }

    fn refusal(text: &str, overrides: &[&str]) -> String {
        read(&format!("{SMALL}{text}"), overrides).unwrap_err().to_string()
    }

    #[test]
    fn overrides_are_typed_by_their_key() {
        let config = read(
            SMALL,
            &[
                "train.steps=7",
                "train.optimizer.learning_rate=1",
                "diffusion.noise=data",
                "net.multipliers=[1, 2, 4]",
                "data.path=a/b.npz",
                "params.k=2.5",
            ],
        )
        .unwrap();
        assert_eq!((config.train.steps, config.train.optimizer.learning_rate), (7, 1.0));
        assert_eq!(config.diffusion.noise.power(), 1.0);
        assert_eq!(config.net.multipliers, [1, 2, 4]);
        assert_eq!((config.data.path.as_deref(), config.params["k"]), (Some("a/b.npz"), 2.5));
        assert_eq!(read(SMALL, &["diffusion.noise=0.5"]).unwrap().diffusion.noise.power(), 0.5);
    }

    #[test]
    fn the_resolved_config_reads_back_as_itself() {
        let config = read(SMALL, &["params.k=2", "distill.guidance.ratio=0.1"]).unwrap();
        assert_eq!(read(&to_toml(&config).unwrap(), &[]).unwrap(), config);
    }

    #[test]
    fn what_is_no_ordinary_file_or_too_long_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.toml");
        std::fs::write(&long, vec![b'#'; (MOST_BYTES + 1) as usize]).unwrap();
        for path in [Path::new("/dev/zero"), folder.path(), &long] {
            assert!(load(path, &[]).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let message = refusal("[train]\nstep = 3", &[]);
        assert!(message.contains("`train.step`") && message.contains("`train.steps`"), "{message}");
        let message = refusal("", &["distill.guidance.ration=1"]);
        assert!(
            message.contains("--set") && message.contains("`distill.guidance.ratio`"),
            "{message}"
        );
        assert!(refusal("zzz = 1", &[]).contains("known here: "));
    }

    #[test]
    fn wrong_types_name_key_found_and_expected() {
        for (text, parts) in [
            ("[train]\nsteps = 'many'", ["`train.steps`", "\"many\"", "a whole number"]),
            ("[train]\nsteps = -1", ["`train.steps`", "-1", "at least 0"]),
            ("[train]\ndecay = nan", ["`train.decay`", "NaN", "finite"]),
            ("[net]\nmultipliers = [1, 'a']", ["`net.multipliers[1]`", "\"a\"", "whole"]),
            ("net = 3", ["`net`", "the whole number 3", "a table"]),
            ("[diffusion]\npreconditioning = 'mode'", ["\"mode\"", "\"pixel\"", "mean \"modes\""]),
            ("[diffusion]\nnoise = 'whit'", ["\"whit\"", "a finite number", "mean \"white\""]),
            ("[distill.guidance]\nrelative = 1", ["`distill.guidance.relative`", "1", "true or"]),
        ] {
            let message = refusal(text, &[]);
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn bad_overrides_and_missing_keys_are_refused() {
        assert!(refusal("", &["train"]).contains("`key=value` expected"));
        assert!(refusal("", &["=3"]).contains("a key expected"));
        assert!(refusal("", &["grid.x=3"]).contains("not in a table"));
        assert!(read("grid = 16", &[]).unwrap_err().to_string().contains("`pde` is missing"));
        assert!(read("pde = ", &[]).is_err());
    }

    #[test]
    fn differences_name_both_values() {
        let [a, b] = [[].as_slice(), &["train.steps=7"]].map(|o| read(SMALL, o).unwrap());
        assert_eq!(differences(&a, &a), Vec::<String>::new());
        assert_eq!(differences(&a, &b), ["train.steps = 10000 against 7"]);
    }
}
