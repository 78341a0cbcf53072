//! The physical parameters of a PDE.

/// A physical parameter and its current value.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// The name used on the command line and in configs.
    pub name: String,
    /// The current value.
    pub value: f64,
    /// The meaning and the valid range, in words.
    pub meaning: String,
}

impl Param {
    /// Returns a parameter with its name, its value and its meaning.
    pub fn new(name: &str, value: f64, meaning: &str) -> Self {
        Self { name: name.into(), value, meaning: meaning.into() }
    }
}
