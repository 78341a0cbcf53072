//! Warnings about solutions that their grid may not resolve.

/// The kinds of warnings, by which those of many samples are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningKind {
    /// The solution's spectrum has not decayed at the largest wave number of the grid.
    UnresolvedSpectrum,
    /// An eigenvalue lies so near that the grid's own discretisation error decides the answer.
    NearResonance,
    /// The answer on this grid differs visibly from a more exact one.
    CoarseGrid,
    /// The grid is too large for the answer to be compared with one on a finer grid.
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
    /// The number behind the doubt, which grows with it. Its meaning depends on the kind and is
    /// stated in `text`.
    pub severity: f64,
    /// The doubt in words, with its number and a remedy.
    pub text: String,
}
