//! The bases that boundary conditions ask for.

/// The orthonormal basis along one axis of `n` points that fits the boundary condition of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Basis {
    /// Zero normal derivative, points at cell centres: type-II cosines.
    Cosine,
    /// Zero on the first and last node: type-I sines on the `n - 2` inner nodes.
    SineNodes,
    /// Cut to zero on the first and last node: type-II cosines on the `n - 2` inner nodes.
    CosineNodes,
    /// Zero half a cell outside the first and last cell centre: type-II sines.
    SineCells,
    /// Zero one spacing outside the first and last point: type-I sines on all `n` points.
    SineInner,
    /// Periodic: real Fourier modes.
    Fourier,
}

impl Basis {
    /// Returns the boundary condition of a field and the places of its points, in words.
    pub fn boundary(self) -> &'static str {
        match self {
            Self::Cosine => "zero slope on the boundary, points at cell centres",
            Self::SineNodes => "zero on the first and last node",
            Self::CosineNodes => "cut to zero on the first and last node",
            Self::SineCells => "zero on the boundary, points at cell centres",
            Self::SineInner => "zero one spacing outside the first and last point",
            Self::Fourier => "periodic",
        }
    }
}
