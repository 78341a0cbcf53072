//! The student at work: a generator of 1 to K network calls (arXiv 2602.03627), the calibration of
//! each call, and an operator that makes the solution. How they are trained is in
//! [`crate::distill`].

pub mod calibration;
pub(crate) mod generator;
pub mod operator;

pub use calibration::Calibration;
pub use generator::Generator;
pub use operator::{Operator, OperatorCard};
