//! The record of a PDE: what the library has to know of it beside the equation itself, and the
//! table of all records, by name.
//!
//! Configs and model files hold a PDE's name, and everything comes here to find what belongs to it.
//! The PDEs that the library brings, those of [`with_pdes`], are in the table from the start. A
//! program with an own PDE calls [`register`] first thing in `main`; nothing else of the library
//! has to know.
//!
//! A PDE that is known by data alone has no place in the table. The path of its description, a TOML
//! file, stands for its name ([`Description`]), and a model file carries the description. Two
//! descriptions of one name therefore never meet.

use std::any::Any;
use std::path::Path;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use burn::tensor::Device;
use phys_instruct_physics::{Error as PhysicsError, Grid, Pde, with_pdes};

use crate::residual::{self, Residual};
use crate::{Error, Result, Samples};

mod bases;
mod described;
mod description;

pub use described::Described;
pub use description::{Boundary, Description, Field, Names, Points, Time};

type NewPde = dyn Fn() -> Box<dyn Pde> + Send + Sync;
type NewResidual = dyn Fn(&dyn Pde, Grid, &Device) -> Result<Box<dyn Residual>> + Send + Sync;

/// Everything the library knows of one PDE.
#[derive(Clone)]
pub struct Problem {
    name: String,
    pde: Arc<NewPde>,
    /// The equation on tensors; none where data alone are known.
    residual: Option<Arc<NewResidual>>,
    arrays: Vec<[String; 2]>,
}

impl Problem {
    /// The record of the PDE `name`. `pde` makes it with its default parameters, and `residual`
    /// builds the residual for a PDE with its present parameters, on a grid.
    pub fn new(
        name: &str,
        pde: impl Fn() -> Box<dyn Pde> + Send + Sync + 'static,
        residual: impl Fn(&dyn Pde, Grid, &Device) -> Result<Box<dyn Residual>> + Send + Sync + 'static,
    ) -> Self {
        let (pde, residual): (Arc<NewPde>, Arc<NewResidual>) = (Arc::new(pde), Arc::new(residual));
        Self { name: name.into(), pde, residual: Some(residual), arrays: Vec::new() }
    }

    /// The record of a PDE that is known by data alone.
    ///
    /// # Errors
    /// Fails as [`Description::check`] does.
    pub fn described(description: Description) -> Result<Self> {
        let own = Described::new(description)?;
        let (name, pde) = (own.name().to_owned(), move || Box::new(own.clone()) as Box<dyn Pde>);
        Ok(Self { name, pde: Arc::new(pde), residual: None, arrays: Vec::new() })
    }

    /// The record of a PDE of type `P`. `residual` builds the residual for a PDE with its present
    /// parameters, on a grid.
    pub fn of<P: Pde + Default + 'static>(
        residual: impl Fn(&P, Grid, &Device) -> Result<Box<dyn Residual>> + Send + Sync + 'static,
    ) -> Self {
        let build = move |pde: &dyn Pde, grid: Grid, device: &Device| {
            let own = (pde as &dyn Any).downcast_ref::<P>().ok_or_else(|| {
                Error::Config(format!("{} is not of the type it was registered with", pde.name()))
            })?;
            residual(own, grid, device)
        };
        Self::new(P::default().name(), || Box::new(P::default()), build)
    }

    /// This record with the names that a known program gives the array of the input and that of the
    /// solution. In an evolution the later channels are evenly spaced snapshots of the second; it
    /// is empty where one array holds all.
    #[must_use]
    pub fn with_arrays(mut self, input: &str, solution: &str) -> Self {
        self.arrays.push([input.into(), solution.into()]);
        self
    }

    /// The name in configs, model files and on the command line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the PDE with its default parameters.
    pub fn pde(&self) -> Box<dyn Pde> {
        (self.pde)()
    }

    /// Builds the residual of `pde`, which is this record's with any parameters.
    ///
    /// # Errors
    /// A PDE of another type, or a grid too small for it; [`Error::NoEquation`].
    pub fn residual(
        &self,
        pde: &dyn Pde,
        grid: Grid,
        device: &Device,
    ) -> Result<Box<dyn Residual>> {
        match &self.residual {
            Some(residual) => residual(pde, grid, device),
            None => Err(Error::NoEquation { pde: self.name.clone() }),
        }
    }

    /// The arrays of input and solution by the names that known programs give them.
    pub fn arrays(&self) -> &[[String; 2]] {
        &self.arrays
    }
}

/// Makes a function that returns the records of the PDEs that the library brings. A PDE's module in
/// [`residual`](mod@residual) has its residual and the names of its arrays.
macro_rules! records {
    ($($module:ident::$pde:ident),* $(,)?) => {
        fn brought() -> Vec<Problem> {
            vec![$(
                residual::$module::ARRAYS.into_iter().fold(
                    Problem::of(residual::$module::residual),
                    |record, [input, solution]| record.with_arrays(input, solution),
                )
            ),*]
        }
    };
}
with_pdes!(records);

static TABLE: LazyLock<RwLock<Vec<Problem>>> = LazyLock::new(|| RwLock::new(brought()));

/// Makes a PDE known to configs, model files and everything built on them, for the whole process.
/// The crate's [first page](crate#register-a-pde-of-your-own) has an example.
///
/// # Errors
/// [`Error::Config`] for a name that is taken.
pub fn register(problem: Problem) -> Result<()> {
    let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
    if table.iter().any(|known| known.name == problem.name) {
        let name = &problem.name;
        return Err(Error::Config(format!("a PDE named `{name}` is registered already")));
    }
    table.push(problem);
    Ok(())
}

/// The names of all PDEs, the benchmarks first.
pub fn names() -> Vec<String> {
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    table.iter().map(|problem| problem.name.clone()).collect()
}

/// The record of that name, or of the description at that path, which ends in `.toml`.
///
/// # Errors
/// No PDE of that name; the message lists those there are. Fails as [`Description::read`] does.
pub fn find(name: &str) -> Result<Problem> {
    let path = Path::new(name);
    if is_description(path) {
        return Problem::described(Description::read(path)?);
    }
    find_known(name)
}

/// Tells whether `path` names the description of a PDE.
pub fn is_description(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// The record of that name in the table; no file is looked at.
fn find_known(name: &str) -> Result<Problem> {
    let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
    let found = table.iter().find(|problem| problem.name == name).cloned();
    drop(table);
    found.ok_or_else(|| {
        let (name, known) = (name.into(), names().join(", "));
        Error::Physics(PhysicsError::UnknownPde { name, known })
    })
}

/// The PDE of a name in a file, beside which its `description` stands if it is known by data alone.
///
/// # Errors
/// No PDE of that name, and a description of another one.
pub(crate) fn stored(name: &str, description: Option<&Description>) -> Result<Box<dyn Pde>> {
    match description {
        None => Ok(find_known(name)?.pde()),
        Some(own) if own.name == name => Ok(Problem::described(own.clone())?.pde()),
        Some(other) => {
            Err(Error::Config(format!("the description of {} found beside {name}", other.name)))
        }
    }
}

/// The record of `pde`: that of its description, or that of its name in the table.
///
/// # Errors
/// A PDE that is in no record.
pub fn of(pde: &dyn Pde) -> Result<Problem> {
    match description(pde) {
        Some(own) => Problem::described(own.clone()),
        None => find_known(pde.name()),
    }
}

/// The description of a PDE that is known by data alone; none for any other.
pub fn description(pde: &dyn Pde) -> Option<&Description> {
    as_described(pde).map(Described::description)
}

/// `pde` as the PDE of a description; none for any other.
pub fn as_described(pde: &dyn Pde) -> Option<&Described> {
    (pde as &dyn Any).downcast_ref()
}

/// The PDE of that name, or of the description at that path, with its default parameters.
///
/// # Errors
/// Fails as [`find`] does.
pub fn by_name(name: &str) -> Result<Box<dyn Pde>> {
    Ok(find(name)?.pde())
}

/// The PDE with all that its description leaves open chosen from `data`; any other as it is.
///
/// # Errors
/// Fails as [`Description::completed`] does.
pub fn completed(pde: Box<dyn Pde>, data: &Samples) -> Result<Box<dyn Pde>> {
    match description(pde.as_ref()) {
        None => Ok(pde),
        Some(own) => Ok(Box::new(Described::new(own.completed(data)?)?)),
    }
}

/// The residual of `pde`, with its current parameters, on a grid.
///
/// # Errors
/// Fails for a PDE without a residual, with [`Error::NoEquation`] for one that is known by data
/// alone, and for a grid too small for it.
pub fn residual(pde: &dyn Pde, grid: Grid, device: &Device) -> Result<Box<dyn Residual>> {
    pde.check_grid(grid)?;
    of(pde)?.residual(pde, grid, device)
}

/// The [`residual`](fn@residual) of `pde`, none if it is known by data alone.
///
/// # Errors
/// Fails for a PDE that is in no record, and for a grid too small for it.
pub fn equation(pde: &dyn Pde, grid: Grid, device: &Device) -> Result<Option<Box<dyn Residual>>> {
    match residual(pde, grid, device) {
        Err(Error::NoEquation { .. }) => Ok(None),
        built => built.map(Some),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use phys_instruct_physics::darcy::Darcy;
    use phys_instruct_physics::poisson::Poisson;
    use phys_instruct_physics::{generate, registry};

    use super::*;
    use crate::residual::poisson::PoissonResidual;
    use crate::testing::residual as testing;

    // What `register` makes possible is tested in `examples/reaction-diffusion`, in a process of
    // its own.

    #[test]
    fn a_name_of_the_library_is_refused() {
        let own = Problem::of(|_: &Poisson, grid, device| {
            Ok(Box::new(PoissonResidual::new(grid, device)?))
        });
        assert!(register(own).unwrap_err().to_string().contains("`poisson` is registered already"));
    }

    #[test]
    fn names_lead_where_those_of_the_physics_do() {
        assert!(registry::names().iter().all(|name| names().contains(name)));
        for name in names() {
            assert_eq!(by_name(&name).unwrap().name(), name);
        }
        let ours = by_name("posson").err().unwrap().to_string();
        assert_eq!(ours, registry::by_name("posson").err().unwrap().to_string());
    }

    #[test]
    fn a_residual_wants_the_pde_it_is_of() {
        let error = find("poisson")
            .unwrap()
            .residual(&Darcy::default(), Grid::square(8), &Device::flex())
            .err();
        assert!(error.unwrap().to_string().contains("darcy is not of the type"));
    }

    #[test]
    fn the_residual_is_built_with_the_present_parameters() {
        for (name, param) in [
            ("poisson", None),
            ("helmholtz", Some(("k", 3.0))),
            ("darcy", Some(("source", 3.0))),
            ("darcy", Some(("boundary", 1.0))),
        ] {
            let mut pde = by_name(name).unwrap();
            if let Some((param, value)) = param {
                pde.set_param(param, value).unwrap();
            }
            let built = residual(pde.as_ref(), Grid::square(64), &Device::flex()).unwrap();
            let samples = generate(pde.as_ref(), Grid::square(64), 1, 0..2).unwrap();
            let floor = testing::relative(built.as_ref(), &samples, false);
            assert!(floor < 1e-4, "{name}: {floor}");
        }
    }

    /// The discretisation is the solver's own: on another rectangle the same samples have a large
    /// residual.
    #[test]
    fn reference_data_on_a_rectangle_has_almost_no_residual() {
        for name in names() {
            let mut pde = by_name(&name).unwrap();
            let line = pde.layout().input.is_line();
            let settings: &[f64] = if name == "darcy" { &[0.5, 1.0] } else { &[0.0] };
            let sides = if line { [1.0, 0.6] } else { [0.6, 1.0] };
            let grid = Grid::new([48, 80], sides).unwrap();
            let [ly, lx] = if line { [1.0, 0.62] } else { [0.61, 1.0] };

            for &boundary in settings {
                if boundary > 0.0 {
                    pde.set_param("boundary", boundary).unwrap();
                }
                let samples = generate(pde.as_ref(), grid, 5, 0..4).unwrap();
                let of = |grid: Grid, preconditioned: bool| {
                    let built = residual(pde.as_ref(), grid, &Device::flex()).unwrap();
                    testing::relative(built.as_ref(), &samples, preconditioned)
                };
                let floors = [false, true].map(|preconditioned| of(grid, preconditioned));
                assert!(floors.iter().all(|f| *f < 3e-4), "{name}: {floors:?}");
                let off = of(Grid { ly, lx, ..grid }, false);
                assert!(off > 3e-3 && off > 30.0 * floors[0], "{name}: {floors:?}, {off}");
            }
        }
    }

    #[test]
    fn evolution_residuals_follow_the_parameters() {
        let cases = [
            ("navier-stokes", "nu", 0.01),
            ("navier-stokes", "forcing", 0.3),
            ("navier-stokes", "time", 0.5),
            ("burgers", "nu", 0.03),
        ];
        for (name, param, value) in cases {
            let mut pde = by_name(name).unwrap();
            let benchmark = residual(pde.as_ref(), Grid::square(32), &Device::flex()).unwrap();
            pde.set_param(param, value).unwrap();
            let own = residual(pde.as_ref(), Grid::square(32), &Device::flex()).unwrap();
            let samples = generate(pde.as_ref(), Grid::square(32), 1, 0..2).unwrap();
            let [floor, other] =
                [own, benchmark].map(|r| testing::relative(r.as_ref(), &samples, false));
            assert!(floor < 0.02 && other > 10.0 * floor, "{name} {param}: {floor} {other}");
        }
    }
}
