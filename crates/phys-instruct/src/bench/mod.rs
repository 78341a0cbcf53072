//! The comparison tables: methods side by side, on the same machine, in the same run, by the same
//! measures.

pub mod conditional;
pub mod method;
pub mod row;
pub mod table;
pub mod tuning;
pub mod unconditional;

pub use method::{SamplingMethod, SolvingMethod, Strength};
pub use row::Row;
