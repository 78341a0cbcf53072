//! The probability laws of the inputs: how they are drawn, and which values they can take.

use std::fmt;

use rand_chacha::ChaCha8Rng;

use crate::random_field::{FieldLaw, LineLaw, Modes};
use crate::{Error, Fields, Grid, Result, rng};

/// A Gaussian field of mean 0 on a rectangle, or on a line along x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GaussianField {
    /// A field with zero normal derivative on the boundary.
    Neumann(FieldLaw),
    /// A periodic field.
    Periodic(FieldLaw),
    /// A periodic line, which is one row.
    Line(LineLaw),
}

impl GaussianField {
    /// Returns the field's independent modes on a grid.
    pub fn modes(&self, grid: Grid) -> Modes {
        match self {
            Self::Neumann(law) => law.neumann_modes(grid),
            Self::Periodic(law) => law.periodic_modes(grid),
            Self::Line(law) => law.periodic_modes(grid.nx, grid.lx),
        }
    }

    /// Draws the field on a grid, `[1, ny, nx]` or `[1, 1, nx]`.
    pub fn draw(&self, grid: Grid, rng: &mut ChaCha8Rng) -> Fields {
        let modes = self.modes(grid);
        let height = modes.deviations().len() / grid.nx.max(1);
        let data = modes.field(&rng::normals(rng, modes.deviations().len()));
        Fields { channels: 1, height, width: grid.nx, data }
    }
}

/// The two values of a two-valued field, `low < high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoValues {
    /// The smaller value.
    pub low: f64,
    /// The larger value.
    pub high: f64,
}

impl TwoValues {
    /// Returns the two values, given in either order.
    pub fn new(one: f64, other: f64) -> Self {
        Self { low: one.min(other), high: one.max(other) }
    }

    /// Returns the two values that a list takes; none if it takes one alone, or others too.
    pub fn of(values: impl Iterator<Item = f32> + Clone) -> Option<Self> {
        let low = values.clone().reduce(f32::min)?;
        let high = values.clone().reduce(f32::max)?;
        let only = low < high && values.clone().all(|v| v == low || v == high);
        only.then(|| Self::new(low.into(), high.into()))
    }

    /// The midpoint; values at or above it are nearer to the larger value.
    pub fn middle(self) -> f64 {
        0.5 * (self.low + self.high)
    }

    /// Tells whether the larger value is the nearer one.
    pub fn is_high(self, value: f64) -> bool {
        value >= self.middle()
    }

    /// Returns the nearer of the two values.
    pub fn nearest(self, value: f64) -> f64 {
        if self.is_high(value) { self.high } else { self.low }
    }

    /// Returns the distance to the nearer of the two values.
    pub fn distance(self, value: f64) -> f64 {
        (value - self.low).abs().min((value - self.high).abs())
    }

    /// Returns the distance between the two values.
    pub fn gap(self) -> f64 {
        self.high - self.low
    }
}

/// The probability law of a PDE's inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InputLaw {
    /// A Gaussian field.
    Gaussian {
        /// The field.
        field: GaussianField,
        /// Tells whether the field is set to zero on the boundary nodes.
        zero_boundary: bool,
    },
    /// A field of two values, chosen by the sign of a Gaussian field.
    TwoValued {
        /// The Gaussian field.
        field: GaussianField,
        /// The value where the Gaussian field is negative.
        negative: f64,
        /// The value elsewhere.
        positive: f64,
    },
    /// Inputs given by data alone, without a formula for their law.
    Data {
        /// The two values, where the inputs have no others.
        two_values: Option<TwoValues>,
    },
}

impl fmt::Display for GaussianField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |what: &str, law: &FieldLaw| {
            format!("a Gaussian {what}, alpha = {}, tau = {}", law.alpha, law.tau)
        };
        let text = match self {
            Self::Neumann(law) => of("field with zero slope on the boundary", law),
            Self::Periodic(law) => of("periodic field", law),
            Self::Line(LineLaw { gamma, tau, sigma }) => format!(
                "a periodic Gaussian line along x, gamma = {gamma}, tau = {tau}, sigma = {sigma}"
            ),
        };
        f.write_str(&text)
    }
}

/// Says the law in words.
impl fmt::Display for InputLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gaussian { field, zero_boundary: false } => write!(f, "{field}"),
            Self::Gaussian { field, zero_boundary: true } => {
                write!(f, "{field}, cut to zero on the boundary")
            }
            Self::TwoValued { field, negative, positive } => {
                write!(f, "{negative} where {field}, is below 0, {positive} elsewhere")
            }
            Self::Data { two_values: None } => write!(f, "given by data"),
            Self::Data { two_values: Some(two) } => {
                write!(f, "given by data, {} or {}", two.low, two.high)
            }
        }
    }
}

impl InputLaw {
    /// The law of a Gaussian field that is used unchanged.
    pub fn gaussian(field: GaussianField) -> Self {
        Self::Gaussian { field, zero_boundary: false }
    }

    /// Draws the input of `pde` on a grid.
    ///
    /// # Errors
    /// Fails with [`Error::NoLaw`] if the inputs are given by data alone.
    pub fn draw(&self, pde: &str, grid: Grid, rng: &mut ChaCha8Rng) -> Result<Fields> {
        match *self {
            Self::Gaussian { field, zero_boundary } => {
                let mut drawn = field.draw(grid, rng);
                if zero_boundary {
                    clear_boundary(grid, &mut drawn.data);
                }
                Ok(drawn)
            }
            Self::TwoValued { field, negative, positive } => {
                let mut drawn = field.draw(grid, rng);
                drawn
                    .data
                    .iter_mut()
                    .for_each(|g| *g = if *g >= 0.0 { positive } else { negative });
                Ok(drawn)
            }
            Self::Data { .. } => Err(Error::NoLaw { pde: pde.into() }),
        }
    }

    /// Returns the two values of a two-valued input.
    pub fn two_values(&self) -> Option<TwoValues> {
        match *self {
            Self::TwoValued { negative, positive, .. } => Some(TwoValues::new(negative, positive)),
            Self::Data { two_values } => two_values,
            Self::Gaussian { .. } => None,
        }
    }
}

/// Sets the outermost nodes of a field to zero.
pub(crate) fn clear_boundary(grid: Grid, field: &mut [f64]) {
    let last_row = (grid.ny - 1) * grid.nx;
    field[..grid.nx].fill(0.0);
    field[last_row..].fill(0.0);
    for row in field.chunks_exact_mut(grid.nx) {
        row[0] = 0.0;
        row[grid.nx - 1] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_nearer_of_two() {
        let two = TwoValues::new(12.0, 3.0);
        assert_eq!([two.low, two.high, two.middle(), two.gap()], [3.0, 12.0, 7.5, 9.0]);
        let nearest = [-1.0, 7.4, 7.5, 40.0].map(|v| two.nearest(v));
        assert_eq!(nearest, [3.0, 3.0, 12.0, 12.0]);
        assert_eq!([2.0, 8.0].map(|v| two.distance(v)), [1.0, 4.0]);
    }

    #[test]
    fn a_list_has_two_values_or_not() {
        let of = |values: &[f32]| TwoValues::of(values.iter().copied());
        assert_eq!(of(&[12.0, 3.0, 3.0]), Some(TwoValues::new(3.0, 12.0)));
        for other in [&[][..], &[3.0], &[3.0, 3.0], &[3.0, 12.0, 4.0], &[3.0, f32::NAN, 12.0]] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }

    #[test]
    fn data_alone_draw_nothing() {
        let law = InputLaw::Data { two_values: None };
        let drawn = law.draw("mine", Grid::square(8), &mut rng::stream(0, "input", 0, 0));
        let message = drawn.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("mine"), "{message}");
    }
}
