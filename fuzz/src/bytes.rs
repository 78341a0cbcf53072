//! Mutations of bytes without any known meaning.

use phys_instruct_physics::rng::ChaCha8Rng;

use crate::{below, pick};

/// Values at which integers overflow, change their sign or ask for too much memory.
const INTEGERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    1 << 20,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Bytes of the largest chunk that one mutation moves.
const MOST_MOVED: usize = 64;

/// Changes `bytes` in one place. `other` is an input of the same kind, from which a part may be
/// taken.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(below(rng, 256) as u8);
        return;
    }

    let at = below(rng, bytes.len());
    let end = (at + 1 + below(rng, MOST_MOVED)).min(bytes.len());

    match below(rng, 10) {
        0 | 1 => bytes[at] ^= 1 << below(rng, 8),
        2 => bytes[at] = *pick(rng, &[0, 1, 0x7f, 0x80, 0xff]),
        3 | 4 => set_integer(bytes, at, rng),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let chunk = bytes[at..end].repeat(1 + below(rng, 4));
            bytes.splice(at..at, chunk);
        }
        7 => bytes.truncate(at),
        8 => bytes[at..end].fill(0),
        _ => {
            let from = below(rng, other.len().max(1)).min(other.len());
            let to = (from + end - at).min(other.len());
            bytes.splice(at..end, other[from..to].iter().copied());
        }
    }
}

/// Overwrites the bytes at `at` by an extreme integer of 1 to 8 bytes, of either byte order.
fn set_integer(bytes: &mut [u8], at: usize, rng: &mut ChaCha8Rng) {
    let width = (1 << below(rng, 4)).min(bytes.len() - at);
    let value = *pick(rng, &INTEGERS);
    let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
    let chosen = if below(rng, 2) == 0 { &little[..width] } else { &big[8 - width..] };
    bytes[at..at + width].copy_from_slice(chosen);
}
