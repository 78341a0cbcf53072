//! Mutations of JSON that are JSON again, so that the code behind the parser is tested.

use phys_instruct::problem;
use phys_instruct_physics::rng::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{below, pick, text};

/// Changes the JSON `document` in a few places. A text that is no JSON is changed as text.
pub fn mutate(document: &str, rng: &mut ChaCha8Rng) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(document) else {
        return text::mutate(document, rng);
    };

    for _ in 0..1 + below(rng, 3) {
        change(&mut value, rng);
    }

    let mut document = value.to_string();
    // Numbers beyond `f64` and doubled keys, which JSON values cannot express.
    match below(rng, 6) {
        0 => document = text::replace_number(&document, rng),
        1 => document = with_doubled_key(&document, &value, rng),
        _ => {}
    }
    document
}

/// Changes one node; all nodes are equally likely.
fn change(root: &mut Value, rng: &mut ChaCha8Rng) {
    let all = nodes(root);
    let (own, other) = (below(rng, all.len()), all[below(rng, all.len())].clone());
    drop(all);
    let Some(node) = nth(root, &mut { own }) else { return };
    match below(rng, 10) {
        // A value of another type is mostly refused for its type alone.
        0 => *node = scalar(rng),
        1 => *node = other,
        2 => shorten(node, rng),
        3 => lengthen(node, other, rng),
        4 => reorder(node, rng),
        5 | 6 => nudge(node, rng),
        _ => *node = of_same_type(node, rng),
    }
}

/// Returns an extreme value of the node's own type.
fn of_same_type(node: &Value, rng: &mut ChaCha8Rng) -> Value {
    let same = |value: &Value| {
        let kinds = [Value::is_u64, Value::is_number, Value::is_string, Value::is_boolean];
        kinds.iter().find(|is| is(node)).is_some_and(|is| is(value))
    };
    // Lists, objects and null have no extremes.
    let found = (0..40).map(|_| scalar(rng)).find(same);
    found.unwrap_or_else(|| node.clone())
}

/// Returns all values of the document, itself the first.
fn nodes(value: &Value) -> Vec<&Value> {
    let inner: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    };
    std::iter::once(value).chain(inner.into_iter().flat_map(nodes)).collect()
}

/// Returns node number `n` in the order of [`nodes`].
fn nth<'a>(value: &'a mut Value, n: &mut usize) -> Option<&'a mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, n)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, n)),
        _ => None,
    }
}

fn scalar(rng: &mut ChaCha8Rng) -> Value {
    let words = [
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(-1),
        json!(0.5),
        json!(7),
        json!(4096),
        json!(1u64 << 20),
        json!(1u64 << 40),
        json!(1u64 << 63),
        json!(u64::MAX),
        json!(1e308),
        json!(-1e308),
        json!(1e-320),
        json!(null),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!(""),
        json!("x".repeat(10_000)),
        json!("../../etc/passwd"),
        json!("teacher"),
        json!("student"),
        json!("pixel"),
        json!("modes"),
        json!("joint"),
        json!("data"),
        json!("white"),
        json!("flow"),
        json!("mean"),
    ];

    let names = problem::names().into_iter().map(Value::from);
    pick(rng, &names.chain(words).collect::<Vec<_>>()).clone()
}

fn shorten(node: &mut Value, rng: &mut ChaCha8Rng) {
    match node {
        Value::Array(items) if !items.is_empty() => {
            items.remove(below(rng, items.len()));
        }
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(below(rng, fields.len())).cloned();
            name.and_then(|name| fields.remove(&name));
        }
        other => *other = Value::Null,
    }
}

fn lengthen(node: &mut Value, other: Value, rng: &mut ChaCha8Rng) {
    match node {
        Value::Array(items) => {
            let item = if items.is_empty() { other } else { pick(rng, items).clone() };
            // A copy of a list of lists is kept small: a mutation may follow another.
            let most = if item.is_number() || item.is_string() { 5000 } else { 20 };
            items.extend(vec![item; *pick(rng, &[1, 2, most])]);
        }
        Value::Object(fields) => {
            fields.insert(format!("more{}", below(rng, 9)), other);
        }
        other => *other = json!([other, other]),
    }
}

fn reorder(node: &mut Value, rng: &mut ChaCha8Rng) {
    match node {
        Value::Array(items) if below(rng, 2) == 0 => items.reverse(),
        Value::Array(items) if !items.is_empty() => {
            let by = below(rng, items.len());
            items.rotate_left(by);
        }
        // Two fields exchange their values.
        Value::Object(fields) if fields.len() > 1 => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let [one, two] = [pick(rng, &names), pick(rng, &names)];
            let (a, b) = (fields[one].clone(), fields[two].clone());
            fields.insert(one.clone(), b);
            fields.insert(two.clone(), a);
        }
        other => nudge(other, rng),
    }
}

/// Replaces a number by one near it, and a word by one that is nearly the same.
fn nudge(node: &mut Value, rng: &mut ChaCha8Rng) {
    *node = match &*node {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => {
                let near = [n + 1, n - 1, n * 2, n / 2, -n, n * 8, n + 7].map(Value::from);
                pick(rng, &near).clone()
            }
            (None, Some(x)) => {
                let near = [x * 2.0, x / 2.0, -x, x + 1.0, 0.0, x * 1e10, x * 1e-10];
                json!(*pick(rng, &near))
            }
            _ => Value::Null,
        },
        Value::String(word) => {
            let kinds = [format!("{word}x"), word.to_uppercase(), word.repeat(2), String::new()];
            json!(pick(rng, &kinds))
        }
        _ => scalar(rng),
    };
}

/// Returns the document with one of its fields written a second time, with another value.
fn with_doubled_key(document: &str, value: &Value, rng: &mut ChaCha8Rng) -> String {
    let Some(fields) = value.as_object().filter(|fields| !fields.is_empty()) else {
        return document.into();
    };
    let name = fields.keys().nth(below(rng, fields.len())).cloned().unwrap_or_default();
    let second = format!("{},\"{name}\":{}}}", &document[..document.len() - 1], scalar(rng));
    let first = format!("{{\"{name}\":{},{}", scalar(rng), &document[1..]);
    if below(rng, 2) == 0 { first } else { second }
}
