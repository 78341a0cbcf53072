//! Phys-Instruct: few-step PDE solving by physics-guided distillation of diffusion models
//! (arXiv 2602.03627).

pub mod baseline;
pub mod bench;
pub mod condition;
pub mod config;
pub mod data;
pub mod device;
pub mod diffusion;
pub mod distill;
pub mod error;
pub mod eval;
mod linalg;
pub mod memory;
pub mod model;
pub mod net;
pub mod polish;
pub mod problem;
pub mod residual;
pub mod samples;
pub mod sampling;
pub mod seeds;
pub mod store;
pub mod student;
pub mod teacher;
pub mod training;

pub use config::Config;
pub use error::{Error, Result};
pub use model::Model;
pub use samples::Samples;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
