//! Hostile inputs for everything that reads a file, made by mutation of small files of our own.
//!
//! A [`Target`] is a reader with its seeds and the form of its inputs. The program `mutate` gives
//! every target many mutated seeds, and counts panics, aborts, hangs and memory. It needs no other
//! toolchain than the project's. `cargo fuzz` gives the same targets to libFuzzer, which looks for
//! inputs that reach new code.

// A test tool: a failure to set something up ends it.
#![allow(clippy::unwrap_used)]

use phys_instruct_physics::rng::{self, ChaCha8Rng};

pub mod bytes;
pub mod container;
pub mod json;
pub mod mutation;
pub mod readers;
pub mod seeds;
pub mod text;

use mutation::Form;

/// The answer of a reader: nothing, or the text of its refusal.
pub type Answer = Result<(), String>;

/// A reader that is attacked.
pub struct Target {
    /// The name of the target, of its folder and of its fuzz program.
    pub name: &'static str,
    /// Reads one input and uses what was read.
    pub read: fn(&[u8]) -> Answer,
    /// Returns small inputs that the reader accepts.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The form of the inputs, which the mutation respects.
    pub form: Form,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "npy", read: readers::npy, seeds: seeds::npy, form: Form::Npy },
    Target { name: "npz", read: readers::npz, seeds: seeds::npz, form: Form::Npz },
    Target { name: "mat", read: readers::arrays, seeds: seeds::mat, form: Form::Bytes },
    Target { name: "hdf5", read: readers::arrays, seeds: seeds::hdf5, form: Form::Bytes },
    Target { name: "import", read: readers::import, seeds: seeds::import, form: Form::Import },
    Target { name: "card", read: readers::model, seeds: seeds::model, form: Form::Card },
    Target { name: "model", read: readers::model, seeds: seeds::model, form: Form::Weights },
    Target {
        name: "checkpoint",
        read: readers::checkpoint,
        seeds: seeds::checkpoint,
        form: Form::Checkpoint,
    },
    Target { name: "config", read: readers::config, seeds: seeds::config, form: Form::Text },
    Target {
        name: "description",
        read: readers::description,
        seeds: seeds::description,
        form: Form::Text,
    },
    Target { name: "override", read: readers::set, seeds: seeds::set, form: Form::Text },
    Target { name: "table", read: readers::table, seeds: seeds::table, form: Form::Text },
    Target { name: "raster", read: readers::raster, seeds: seeds::raster, form: Form::Text },
    Target { name: "arrays", read: readers::observed, seeds: seeds::observed, form: Form::Npz },
    Target { name: "manifest", read: readers::manifest, seeds: seeds::manifest, form: Form::Json },
    Target { name: "partial", read: readers::partial, seeds: seeds::partial, form: Form::Json },
    Target { name: "shard", read: readers::shard, seeds: seeds::shard, form: Form::Npy },
    Target { name: "metrics", read: readers::metrics, seeds: seeds::metrics, form: Form::Text },
    Target { name: "results", read: readers::results, seeds: seeds::results, form: Form::Text },
];

impl Target {
    /// Returns the target of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Returns input number `index`, which depends on seed, name and number alone.
    pub fn input(&self, seeds: &[Vec<u8>], seed: u64, index: u64) -> Vec<u8> {
        mutation::mutated(self.form, seeds, &mut rng::stream(seed, self.name, 0, index))
    }
}

/// Returns a random number below `n`, for `n` of at least 1.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((rng::uniform(rng) * n as f64) as usize).min(n.saturating_sub(1))
}

/// Returns one of `choices`, of which there must be one.
pub(crate) fn pick<'a, T>(rng: &mut ChaCha8Rng, choices: &'a [T]) -> &'a T {
    &choices[below(rng, choices.len())]
}

/// Defines the entry points of one libFuzzer program: the reader, and a mutator that knows its
/// form. The mutator takes turns with libFuzzer's own.
#[macro_export]
macro_rules! libfuzzer {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            let target = $crate::Target::named($name).expect("a target");
            let _ = (target.read)(data);
        });
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if seed % 2 == 0 {
                return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
            }
            let target = $crate::Target::named($name).expect("a target");
            let mutated = target.input(&[data[..size].to_vec()], 0, u64::from(seed));
            let len = mutated.len().min(max_size);
            data[..len].copy_from_slice(&mutated[..len]);
            len
        });
    };
}
