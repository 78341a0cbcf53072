//! The whole command, as a user runs it. Expected output lies in `tests/snapshots`;
//! `UPDATE_SNAPSHOTS=1 cargo test --release -p phys-instruct-cli` writes it anew.
#![allow(clippy::unwrap_used)]

mod bench;
mod errors;
mod full;
mod help;
mod import;
mod kill;
mod own_data;
mod parts;
mod resume;
mod sandbox;
mod simulate;
mod tables;
mod verbs;
