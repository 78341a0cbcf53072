//! What a solver says of an answer that its grid may not carry.

/// The kinds of warnings, by which those of many samples are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningKind {
    /// The solution's spectrum has not fallen off at the largest wave number of the grid.
    UnresolvedSpectrum,
    /// An eigenvalue lies so near that the grid's own error decides the answer.
    NearResonance,
    /// The answer on this grid differs visibly from a more exact one.
    CoarseGrid,
    /// The grid is too large for the answer to be held against a finer one.
    Unchecked,
}

impl WarningKind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnresolvedSpectrum => "unresolved_spectrum",
            Self::NearResonance => "near_resonance",
            Self::CoarseGrid => "coarse_grid",
            Self::Unchecked => "unchecked",
        }
    }
}

/// A doubt about one solution.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// The kind of doubt.
    pub kind: WarningKind,
    /// The number behind it, which grows with the doubt; of a kind, the text says which number it
    /// is.
    pub severity: f64,
    /// The doubt in words, with its number and what to do.
    pub text: String,
}
