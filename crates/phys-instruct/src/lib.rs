//! Few-step PDE solving by physics-guided distillation of diffusion models
//! (arXiv [2602.03627](https://arxiv.org/abs/2602.03627)).
//!
//! A diffusion model, the *teacher*, learns the joint law of a PDE's input and its solution from
//! solved samples. A *student* of one to four network calls is distilled from it and pulled onto
//! the equation. It draws such pairs, and it is the prior from which [`condition`] answers given
//! sparse and noisy observations. Fields are in physical units, `[sample, channel, y, x]`.
//!
//! # Draw samples
//!
//! ```
//! use phys_instruct::prelude::*;
//!
//! # fn main() -> phys_instruct::Result<()> {
//! let file = "../../models/poisson-32-student.safetensors";
//! let model = Model::load(file.as_ref(), &device::cpu())?;
//! let options = SampleOptions { count: 4, calls: 1, ..SampleOptions::default() };
//! let drawn = sample(&model, options, &mut |_| ())?.samples;
//!
//! assert_eq!((drawn.count, drawn.height, drawn.width), (4, 32, 32));
//! assert_eq!(drawn.channels, ["a", "u"]);
//! // The mean relative residual: 0 for exact pairs, 1 without any relation of u to a.
//! let residual = problem::residual(model.card.pde()?.as_ref(), model.card.grid, &device::cpu())?;
//! assert!(pde_error(&drawn, residual.as_ref())? < 0.2);
//! # Ok(())
//! # }
//! ```
//!
//! # Solve an inverse problem
//!
//! The solution u of Poisson's equation is known at four places, to 1e-4. The answer is an
//! ensemble of sources a that explain these values.
//!
//! ```
//! use phys_instruct::prelude::*;
//!
//! # fn main() -> phys_instruct::Result<()> {
//! # let file = "../../models/poisson-32-student.safetensors";
//! # let model = Model::load(file.as_ref(), &device::cpu())?;
//! let lattice = Lattice::new(model.card.pde()?.as_ref(), model.card.grid);
//! // Row, column and value; 1 is the channel of u.
//! let seen = [(8, 8, 2.0e-3), (8, 23, 1.0e-3), (23, 8, 1.5e-3), (23, 23, 2.5e-3)];
//! let point = |(y, x, u)| Observation::at_point(1, y, x, u, Some(1e-4));
//! let observations = Observations::on(&lattice, seen.map(point).into())?;
//!
//! let solver = Solver::new(&model)?;
//! let answer = solver.answer(Question::new(Task::Inverse, observations))?;
//! assert!(answer.warnings.is_empty());
//! // The mean misses the values by about the errors that they may have.
//! assert!(answer.explained.chi < 2.0);
//! let mean = answer.posterior.mean_sample();
//! assert_eq!(mean.data.len(), answer.posterior.deviation().len());
//! # Ok(())
//! # }
//! ```
//!
//! # Register a PDE of your own
//!
//! A PDE is a type with the traits [`Pde`](physics::Pde), its law and solver, and
//! [`Residual`](residual::Residual), its equation on tensors. Here it is u + u^3 = a, a reaction
//! without diffusion. Once registered, its name works in configs and model files, and in the verbs
//! of `phys_instruct_cli::run_from_args`. The crate `examples/reaction-diffusion` takes one all the
//! way to a student and to a command line.
//!
//! ```
//! use phys_instruct::physics::random_field::FieldLaw;
//! use phys_instruct::physics::{self, *};
//! use phys_instruct::prelude::*;
//!
//! #[derive(Default)]
//! struct Reaction;
//!
//! impl Pde for Reaction {
//!     fn name(&self) -> &str {
//!         "reaction"
//!     }
//!     fn equation(&self) -> &str {
//!         "u + u^3 = a"
//!     }
//!     fn channels(&self) -> Vec<Channel> {
//!         let basis = [Basis::Cosine; 2];
//!         let channel = |name, meaning| Channel::new(name, meaning, basis);
//!         vec![channel("a", "supply"), channel("u", "concentration")]
//!     }
//!     fn params(&self) -> Vec<Param> {
//!         Vec::new()
//!     }
//!     fn set_param(&mut self, name: &str, _: f64) -> physics::Result<()> {
//!         let (pde, name, known) = ("reaction".into(), name.into(), "none".into());
//!         Err(physics::Error::UnknownParam { pde, name, known })
//!     }
//!     fn input_law(&self) -> InputLaw {
//!         InputLaw::gaussian(GaussianField::Neumann(FieldLaw { alpha: 2.0, tau: 3.0 }))
//!     }
//!     fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
//!         // Cell centres.
//!         let line = |n: usize, l: f64| (0..n).map(|j| (j as f64 + 0.5) / n as f64 * l).collect();
//!         [line(grid.ny, grid.ly), line(grid.nx, grid.lx)]
//!     }
//!     fn solve(&self, _: Grid, input: &Fields) -> physics::Result<Solution> {
//!         // Newton's method, point by point.
//!         let step = |u: f64, a: f64| u - (u + u.powi(3) - a) / (1.0 + 3.0 * u * u);
//!         let solved = |&a: &f64| (0..50).fold(a, |u, _| step(u, a));
//!         let u: Vec<f64> = input.channel(0).iter().map(solved).collect();
//!         let fields = Fields::stack(input.height, input.width, &[input.channel(0), &u]);
//!         Ok(Solution { fields, report: SolveReport::default() })
//!     }
//! }
//!
//! impl Residual for Reaction {
//!     fn terms(&self, x: Tensor<4>, options: ResidualOptions) -> ResidualTerms {
//!         let [a, u] = residual::operator::input_and_solution(x, options.detach_input);
//!         let points = u.dims()[2] * u.dims()[3];
//!         let square = a.clone().detach().square().mean_dims(&[1, 2, 3]);
//!         let scale = square.sqrt().flatten::<1>(0, 3);
//!         ResidualTerms { residual: u.clone() + u.clone() * u.clone() * u - a, scale, points }
//!     }
//! }
//!
//! # fn main() -> phys_instruct::Result<()> {
//! problem::register(Problem::of(|_: &Reaction, _, _| Ok(Box::new(Reaction))))?;
//!
//! let config = Config::from_toml("pde = 'reaction'\ngrid = 16\n[data]\ncount = 8")?;
//! let stop = std::sync::atomic::AtomicBool::new(false);
//! let data = data::training(&config, &mut Watch { progress: &mut |_| (), stop: &stop })?;
//! let residual = problem::residual(config.pde()?.as_ref(), config.grid, &device::cpu())?;
//! assert!(pde_error(&data, residual.as_ref())? < 1e-6);
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | of use to every program | |
//! |---|---|
//! | [`prelude`] | what these examples import |
//! | [`sampling`], [`condition`] | samples; answers from observations |
//! | [`problem`], [`residual`], [`physics`] | records, equations on tensors, laws and solvers |
//! | [`data`], [`samples`], [`store`], [`grid`] | data, in memory and in files; a grid in files |
//! | [`config`], [`teacher`], [`distill`], [`training`] | training |
//! | [`eval`], [`polish`], [`device`], [`memory`] | measures, correction, devices, limits |
//!
//! [`diffusion`], [`net`] and [`student`] are the method's own parts. [`baseline`] and
//! [`mod@bench`] are what it is compared with, and how.
//!
//! # What is stable
//!
//! Names and files that are kept from one minor version to the next. A name that has to go is
//! deprecated for one of them before:
//!
//! - the names at the crate's root and in [`prelude`];
//! - the items of the modules that are of use to every program, those in the module itself and
//!   not in modules below it: [`condition::Solver`], but nothing of [`condition::methods`];
//! - whatever else `examples/reaction-diffusion` imports, [`residual::operator`] for example;
//! - files: later versions read the configs, model files, data sets and observations of earlier
//!   ones. The checkpoints of a run are for the version that wrote them.
//!
//! Other public modules are there for the command line, tests and experiments. They may change
//! with any version.
//!
//! # Features
//!
//! `ndarray`, on unless turned off: views of [`Samples`] as arrays of that crate. `gpu`: graphics
//! processors through wgpu.

pub mod baseline;
pub mod bench;
pub mod bundled;
pub mod condition;
pub mod config;
pub mod data;
pub mod device;
pub mod diffusion;
pub mod distill;
pub mod doubts;
mod error;
pub mod eval;
pub mod figures;
pub mod fit;
pub mod grid;
pub mod job;
mod linalg;
pub mod memory;
pub mod model;
pub mod net;
pub mod parts;
pub mod polish;
pub mod prelude;
pub mod problem;
pub mod residual;
pub mod runs;
pub mod samples;
pub mod sampling;
pub mod seeds;
pub mod store;
pub mod student;
pub mod teacher;
pub mod team;
#[cfg(test)]
mod testing;
pub mod training;
#[cfg(feature = "ndarray")]
mod views;

// The crates whose types stand in public signatures.
pub use burn;
pub use phys_instruct_physics as physics;

pub use config::Config;
pub use error::{Error, Result};
pub use model::Model;
pub use samples::Samples;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
