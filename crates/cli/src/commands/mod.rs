//! One command, one file.

pub mod bench;
pub mod cite;
pub mod completions;
pub mod config;
pub mod data;
pub mod distill;
pub mod doctor;
pub mod eval;
pub mod fit;
pub mod generate;
pub mod model;
pub mod pde;
pub mod sample;
pub mod simulate;
pub mod solve;
pub mod train;
