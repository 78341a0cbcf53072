//! The student at work: a generator of 1 to K network calls (arXiv 2602.03627), and the calibration
//! of each call. How it is trained is in [`crate::distill`].

pub mod calibration;
pub mod generator;

pub use calibration::Calibration;
pub use generator::Generator;
