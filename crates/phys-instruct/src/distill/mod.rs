//! The training of a student ([`crate::student`]). It is matched to the teacher's noisy
//! distributions while guidance pulls its clean output onto the PDE (arXiv 2602.03627).

pub mod anchored;
pub mod auxiliary;
pub mod calibration;
pub mod guidance;
pub mod matching;
pub mod monitor;
pub mod phases;
pub mod student;
pub mod train;

pub use auxiliary::Auxiliary;
