//! Mutations of seeds that respect the form of the inputs.

use phys_instruct_physics::rng::ChaCha8Rng;
use serde_json::Value;

use crate::container::{self, Weights};
use crate::{below, bytes, json, pick, text};

/// The largest number of bytes of an input.
const MOST_BYTES: usize = 1 << 20;

/// The form of inputs.
#[derive(Clone, Copy)]
pub enum Form {
    /// Bytes without any known meaning.
    Bytes,
    /// Text in lines.
    Text,
    /// A JSON document.
    Json,
    /// NumPy's array file.
    Npy,
    /// An archive of `.npy` files.
    Npz,
    /// A file of arrays, after two bytes that choose the PDE and the options.
    Import,
    /// A model file.
    Weights,
    /// A checkpoint file, after a byte that chooses the training.
    Checkpoint,
    /// A model file of which only the description changes, with the right checksum.
    Card,
}

/// Returns an input made from one of `seeds`, or from parts of two.
pub fn mutated(form: Form, seeds: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut input = pick(rng, seeds).clone();
    let other = pick(rng, seeds);

    // Mostly one mutation: two often hide each other.
    let count = *pick(rng, &[1, 1, 1, 2, 2, 4]);
    for _ in 0..count {
        input = once(form, input, other, rng);
        input.truncate(MOST_BYTES);
    }
    input
}

fn once(form: Form, input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    match form {
        Form::Bytes => of_bytes(input, other, rng),
        Form::Text => of_text(input, other, rng, text::mutate),
        Form::Json => of_text(input, other, rng, json::mutate),
        Form::Npy => of_npy(input, other, rng),
        Form::Npz => of_npz(input, other, rng),
        Form::Import => of_import(input, other, rng),
        Form::Weights => of_weights(input, other, rng),
        Form::Checkpoint => of_checkpoint(input, other, rng),
        Form::Card => of_card(input, rng),
    }
}

fn of_bytes(mut input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    bytes::mutate(&mut input, other, rng);
    input
}

fn of_text(
    input: Vec<u8>,
    other: &[u8],
    rng: &mut ChaCha8Rng,
    mutate: fn(&str, &mut ChaCha8Rng) -> String,
) -> Vec<u8> {
    match std::str::from_utf8(&input) {
        Ok(text) if below(rng, 4) > 0 => mutate(text, rng).into_bytes(),
        _ => of_bytes(input, other, rng),
    }
}

fn of_npy(input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    match container::npy_parts(&input) {
        Some((start, header, data)) if below(rng, 2) == 0 => {
            container::npy_bytes((start, text::mutate(&header, rng), data))
        }
        _ => of_bytes(input, other, rng),
    }
}

fn of_npz(input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    if below(rng, 3) == 0 {
        return of_bytes(input, other, rng);
    }
    let Some(mut entries) = container::zip_entries(&input).filter(|all| !all.is_empty()) else {
        return of_bytes(input, other, rng);
    };

    let i = below(rng, entries.len());
    if below(rng, 5) == 0 {
        entries[i].0 = text::mutate(&entries[i].0, rng);
    } else {
        let inner = std::mem::take(&mut entries[i].1);
        let other = pick(rng, &entries).1.clone();
        entries[i].1 = of_npy(inner, &other, rng);
    }

    container::zip_bytes(&entries, below(rng, 2) == 0).unwrap_or(input)
}

fn of_import(mut input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    if input.len() < 2 || below(rng, 5) == 0 {
        input.resize(input.len().max(2), 0);
        let at = below(rng, 2);
        input[at] = below(rng, 256) as u8;
        return input;
    }
    let rest = input.split_off(2);
    let other = other.get(2..).unwrap_or_default();
    input.extend(of_npz(rest, other, rng));
    input
}

fn of_weights(input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Some(mut weights) = Weights::parse(&input) else {
        return of_bytes(input, other, rng);
    };

    match below(rng, 8) {
        0 | 1 => return of_bytes(input, other, rng),
        2 | 3 => {
            let header = Value::Object(weights.header.clone()).to_string();
            if let Ok(Value::Object(header)) = serde_json::from_str(&json::mutate(&header, rng)) {
                weights.header = header;
            }
        }
        4 if weights.data.len() >= 4 => {
            let extremes = [0.0f32, -1.0, 1e30, f32::MAX, f32::MIN_POSITIVE, f32::NAN];
            let at = 4 * below(rng, weights.data.len() / 4);
            weights.data[at..at + 4].copy_from_slice(&pick(rng, &extremes).to_le_bytes());
        }
        _ => weights.document = json::mutate(&weights.document, rng),
    }

    weights.sealed().to_bytes()
}

fn of_checkpoint(mut input: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    if input.is_empty() || below(rng, 50) == 0 {
        input.resize(input.len().max(1), 0);
        input[0] ^= 1;
        return input;
    }
    let rest = input.split_off(1);
    input.extend(of_weights(rest, other.get(1..).unwrap_or_default(), rng));
    input
}

fn of_card(input: Vec<u8>, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Some(mut weights) = Weights::parse(&input) else { return input };
    weights.document = json::mutate(&weights.document, rng);
    weights.sealed().to_bytes()
}
