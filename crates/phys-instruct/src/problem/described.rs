//! The [`Pde`] that a description makes: fields and a grid, without an equation and a solver.

use phys_instruct_physics::{
    Basis, Channel, Error as PhysicsError, Fields, Grid, InputLaw, Layout, Param, Pde, Solution,
};

use super::description::{Boundary, Description, Field, Points};
use crate::Result;

/// The line that stands in place of an equation.
const NO_EQUATION: &str = "not known: data alone";

/// A PDE that is known by data alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    description: Description,
}

impl Described {
    /// The PDE of a description.
    ///
    /// # Errors
    /// Fails as [`Description::check`] does.
    pub fn new(description: Description) -> Result<Self> {
        description.check()?;
        Ok(Self { description })
    }

    /// The description.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The places of the grid points along y and x.
    pub fn places(&self) -> [Points; 2] {
        let channels = self.channels();
        [0, 1].map(|axis| {
            let bases: Vec<Basis> = channels.iter().map(|channel| channel.basis[axis]).collect();
            let given = self.description.points.map(|points| points[axis]);
            // The first row is the state at the beginning, wherever a basis has its points.
            let is_time = axis == 0 && self.description.time.is_some();
            let suiting = || if is_time { Points::Nodes } else { Points::suiting(&bases) };
            given.unwrap_or_else(suiting)
        })
    }

    fn no_solver(&self) -> PhysicsError {
        PhysicsError::NoSolver { pde: self.description.name.clone() }
    }
}

impl Pde for Described {
    fn name(&self) -> &str {
        &self.description.name
    }

    fn equation(&self) -> &str {
        NO_EQUATION
    }

    fn channels(&self) -> Vec<Channel> {
        let channel = |field: &Field| {
            // Nothing is known of a boundary that is neither described nor seen in data.
            let basis = field.basis.unwrap_or([Boundary::Cosine; 2]).map(Basis::from);
            let channel = Channel::new(&field.name, field.quantity(), basis);
            match field.unit.as_str() {
                "" => channel,
                unit => channel.in_unit(unit),
            }
        };
        self.description.ordered().into_iter().map(channel).collect()
    }

    fn params(&self) -> Vec<Param> {
        Vec::new()
    }

    fn set_param(&mut self, name: &str, _: f64) -> phys_instruct_physics::Result<()> {
        let (pde, known) = (self.name().into(), "none, being known by data alone".into());
        Err(PhysicsError::UnknownParam { pde, name: name.into(), known })
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::Data { two_values: self.description.two_values() }
    }

    fn layout(&self) -> Layout {
        self.description.layout()
    }

    fn has_solver(&self) -> bool {
        false
    }

    fn sides(&self) -> Option<[f64; 2]> {
        self.description.sides
    }

    fn origin(&self) -> [f64; 2] {
        self.description.origin
    }

    fn check_grid(&self, grid: Grid) -> phys_instruct_physics::Result<()> {
        grid.check(self.smallest_grid())?;
        if self.description.is_far(grid.sides()) {
            let reason = format!("too far from 0 for its sides, from {:?} on", self.origin());
            return Err(PhysicsError::BadGrid { grid: grid.to_string(), reason });
        }
        match self.sides().filter(|sides| *sides != grid.sides()) {
            None => Ok(()),
            Some([ly, lx]) => Err(PhysicsError::BadGrid {
                grid: grid.to_string(),
                reason: format!("sides {ly} x {lx} expected, as {} is described", self.name()),
            }),
        }
    }

    fn solve(&self, _: Grid, _: &Fields) -> phys_instruct_physics::Result<Solution> {
        Err(self.no_solver())
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        let ([along_y, along_x], [y, x]) = (self.places(), self.origin());
        [along_y.coordinates(y, grid.ny, grid.ly), along_x.coordinates(x, grid.nx, grid.lx)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::MINE;

    #[test]
    fn a_description_is_a_pde_whose_input_comes_first() {
        let pde = Described::new(Description::from_toml(MINE).unwrap()).unwrap();
        let channels = pde.channels();
        assert_eq!([&channels[0].name, &channels[1].name], ["k", "u"]);
        assert_eq!(channels[1].in_words(), "head (m)");
        assert_eq!(channels[1].basis, [Basis::Fourier, Basis::SineNodes]);
        assert_eq!(pde.layout(), Layout::first_channel(2));
        assert_eq!(pde.description().ranges().collect::<Vec<_>>(), [(0, [0.0, 5.0])]);

        let grid = Grid::new([4, 5], [1.0, 2.0]).unwrap();
        assert_eq!(pde.points(grid), [vec![0.0, 0.25, 0.5, 0.75], vec![0.0, 0.5, 1.0, 1.5, 2.0]]);
        let elsewhere = MINE.replace("sides", "origin = [50.0, -3.0]\nsides");
        let elsewhere = Described::new(Description::from_toml(&elsewhere).unwrap()).unwrap();
        let [ys, xs] = elsewhere.points(grid);
        assert_eq!((ys, xs), (vec![50.0, 50.25, 50.5, 50.75], vec![-3.0, -2.5, -2.0, -1.5, -1.0]));

        pde.check_grid(grid).unwrap();
        assert!(pde.check_grid(Grid::square(8)).unwrap_err().to_string().contains("1 x 2"));

        // Without sides of its own, a description takes those of the data.
        let open = MINE.replace("sides = [1.0, 2.0]", "origin = [5.6e6, 3.2e7]");
        let open = Described::new(Description::from_toml(&open).unwrap()).unwrap();
        open.check_grid(Grid::new([4, 5], [1000.0, 2000.0]).unwrap()).unwrap();
        assert!(open.check_grid(grid).unwrap_err().to_string().contains("too far from 0"));

        let input = Fields::zeros(1, 4, 5);
        assert!(matches!(pde.solve(grid, &input), Err(PhysicsError::NoSolver { .. })));
    }
}
