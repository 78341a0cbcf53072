//! Mutations of text: numbers, words and lines.

use phys_instruct_physics::rng::ChaCha8Rng;

use crate::{below, pick};

/// Numbers that are too large, too small, no numbers, or of the wrong kind.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "0.5",
    "7.7",
    "1048576",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e999",
    "1e-320",
    "NaN",
    "inf",
    "-inf",
    "''",
    "[]",
];

/// Parts that parsers treat specially.
const ODD: [&str; 10] =
    ["\"", "'", "\\u0000", "\u{feff}", "\r", ",,", ";", "[[[[[[[[", "{{{{{{{{", "\u{202e}"];

/// Changes `text` in one place.
pub fn mutate(text: &str, rng: &mut ChaCha8Rng) -> String {
    match below(rng, 8) {
        0..=2 => replace_number(text, rng),
        3 => swap_words(text, rng),
        4 => with_lines(text, rng, |lines, i, _| drop(lines.remove(i))),
        5 => with_lines(text, rng, |lines, i, rng| {
            let copies = vec![lines[i].clone(); 1 + below(rng, 50)];
            lines.splice(i..i, copies);
        }),
        6 => with_lines(text, rng, |lines, i, rng| {
            let j = below(rng, lines.len());
            lines.swap(i, j);
        }),
        _ => insert_odd(text, rng),
    }
}

/// Replaces one of the text's numbers by an extreme one.
pub fn replace_number(text: &str, rng: &mut ChaCha8Rng) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    replace_one(text, is_part, rng, |_, rng| (*pick(rng, &NUMBERS)).into())
}

fn swap_words(text: &str, rng: &mut ChaCha8Rng) -> String {
    let is_part = |c: char| c.is_alphabetic() || c == '_' || c == '-';
    let all: Vec<String> = words(text, is_part).map(|(_, word)| word.to_owned()).collect();
    replace_one(text, is_part, rng, |own, rng| match all.is_empty() {
        true => own.into(),
        false => pick(rng, &all).clone(),
    })
}

/// Returns the runs of characters for which `is_part` holds, with their positions in bytes.
fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    text.split(move |c| !is_part(c))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

fn replace_one(
    text: &str,
    is_part: impl Fn(char) -> bool,
    rng: &mut ChaCha8Rng,
    by: impl Fn(&str, &mut ChaCha8Rng) -> String,
) -> String {
    let found: Vec<(usize, &str)> = words(text, is_part).collect();
    if found.is_empty() {
        return text.into();
    }
    let (at, word) = found[below(rng, found.len())];
    [&text[..at], &by(word, rng), &text[at + word.len()..]].concat()
}

fn with_lines(
    text: &str,
    rng: &mut ChaCha8Rng,
    change: impl Fn(&mut Vec<String>, usize, &mut ChaCha8Rng),
) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(Into::into).collect();
    if lines.is_empty() {
        return text.into();
    }
    let i = below(rng, lines.len());
    change(&mut lines, i, rng);
    lines.concat()
}

fn insert_odd(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut at = below(rng, text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    // Some parsers recurse for every bracket.
    let odd = pick(rng, &ODD).repeat(*pick(rng, &[1, 1, 2, 1000]));
    [&text[..at], &odd, &text[at..]].concat()
}
