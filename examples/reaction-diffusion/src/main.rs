//! A PDE of your own, from the equation to samples of a one-step student, without a change to the
//! library. The book's chapter "Add your own PDE" walks through it.
//!
//! Exit codes: 0 the student passed [`passes`]; 1 it did not; 2 something failed.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use phys_instruct::data::{self, Watch};
use phys_instruct::distill::{monitor, train::StudentTraining};
use phys_instruct::eval::{EvalOptions, Report, evaluate};
use phys_instruct::sampling::{SampleOptions, sample};
use phys_instruct::teacher::TeacherTraining;
use phys_instruct::training::Training;
use phys_instruct::{Config, Model, Result, Samples, device};
use reaction_diffusion::register;

/// Number of samples drawn from each model.
const COUNT: usize = 500;

/// Number of network calls of the teacher.
const TEACHER_CALLS: usize = 35;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    register()?;
    let config = Config::from_toml(include_str!("../config.toml"))?;
    let stop = AtomicBool::new(false);
    let mut watch = Watch { progress: &mut |_| (), stop: &stop };
    let training = data::training(&config, &mut watch)?;
    let held_out = data::validation(&config, &mut watch)?;

    let teacher = teach(&config, training)?;
    let taught = measure("teacher", &teacher, TEACHER_CALLS, &held_out)?;
    let student = distill(&config, teacher, held_out.clone())?;
    let learned = measure("student", &student, 1, &held_out)?;
    Ok(passes(&taught, &learned))
}

fn teach(config: &Config, data: Samples) -> Result<Model> {
    let pde = config.pde()?;
    let mut training = TeacherTraining::new(config, pde.as_ref(), data, None, &device::cpu())?;
    finish(&mut training)?;
    Ok(training.model())
}

fn distill(config: &Config, teacher: Model, held_out: Samples) -> Result<Model> {
    let (pde, device) = (config.pde()?, device::cpu());
    let residual = || phys_instruct::problem::residual(pde.as_ref(), config.grid, &device);
    let monitor = monitor::against(held_out.clone(), config.pde()?, residual()?);
    let mut training =
        StudentTraining::new(config, teacher, residual()?, monitor, &held_out, &device)?;
    finish(&mut training)?;
    Ok(training.model())
}

/// Takes every step of a training. `phys_instruct::training::run` does the same with checkpoints,
/// metrics and Ctrl-C.
fn finish(training: &mut dyn Training) -> Result<()> {
    while training.step_count() < training.total() {
        training.step()?;
    }
    Ok(())
}

/// Draws from a model, and prints and returns its measures.
fn measure(name: &str, model: &Model, calls: usize, held_out: &Samples) -> Result<Report> {
    let options = SampleOptions { count: COUNT, calls, ..SampleOptions::default() };
    let drawn = sample(model, options, &mut |_| ())?;
    let pde = model.card.pde()?;
    let residual = phys_instruct::problem::residual(pde.as_ref(), model.card.grid, &device::cpu())?;

    let report = evaluate(
        &drawn.samples,
        held_out,
        pde.as_ref(),
        residual.as_ref(),
        EvalOptions::default(),
    )?;

    println!("{name}, {} network call(s)", drawn.calls);
    let [error, floor] = [report.pde_error, report.data_floor].map(|v| v.unwrap_or(f64::NAN));
    println!("  PDE error          {error:.3} (data: {floor:.1e})");
    println!("  solution error     {:.3}", report.solution_error.unwrap_or(f64::NAN));
    if let Some(law) = &report.distribution {
        let [distance, floor] = [law.sliced_wasserstein, law.sliced_wasserstein_floor];
        println!("  sliced Wasserstein {distance:.3} (data: {floor:.3})");
        let [a, u] = [0, 1].map(|channel| law.std_ratio[channel]);
        println!("  deviation / data's a {a:.2}, u {u:.2}");
    }
    Ok(report)
}

/// Tells whether the student's one call has a clearly smaller PDE error than its teacher's 35,
/// while its fields vary as much as the data's. (Without the second test a student that always
/// draws the same good field would pass.)
fn passes(teacher: &Report, student: &Report) -> bool {
    let errors = student.pde_error.zip(teacher.pde_error);
    let error = errors.is_some_and(|(student, teacher)| student < 0.7 * teacher);
    let law = student.distribution.as_ref();
    let kept = |ratio: &f64| (0.85..1.15).contains(ratio);
    let size = law.is_some_and(|law| law.std_ratio.iter().all(kept));
    println!("PDE error below 0.7 of the teacher's: {error}; deviations within 15 %: {size}");
    error && size
}
