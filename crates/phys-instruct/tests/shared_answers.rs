//! Answers whose members are drawn by several processes, here by threads that exchange as processes
//! do.
#![allow(clippy::unwrap_used)]

mod threads;

use std::path::Path;

use phys_instruct::condition::{
    Answer, Method, Observations, Options, Posterior, Question, Solver, Task,
};
use phys_instruct::data::{self, Watch};
use phys_instruct::team::Team;
use phys_instruct::{Model, Samples, device};
use phys_instruct_physics::Grid;
use phys_instruct_physics::registry::by_name;

use self::threads::together;

const SIZE: usize = 32;

/// A question about a solved problem that is in no training data.
struct Problem {
    model: Model,
    /// The place of the prepared solver.
    folder: tempfile::TempDir,
    truth: Samples,
}

impl Problem {
    fn of(pde: &str) -> Self {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
        let file = format!("{models}/{pde}-{SIZE}-student.safetensors");
        let model = Model::load(Path::new(&file), &device::cpu()).unwrap();
        let (equation, stop) = (by_name(pde).unwrap(), false.into());
        let mut watch = Watch { progress: &mut |_| (), stop: &stop };
        let grid = Grid::square(SIZE);
        let truth = data::generate(equation.as_ref(), grid, 9_400_000, 1, &mut watch).unwrap();
        Self { model, folder: tempfile::tempdir().unwrap(), truth }
    }

    /// Observations for a task: `points` values with errors of a share `noise` of the deviation.
    fn question(&self, task: Task, points: usize, noise: f64, options: Options) -> Question {
        let pde = self.model.card.pde().unwrap();
        let seen = task.observed(pde.as_ref(), Grid::square(SIZE));
        let points = points.min(seen.len());
        let observations = Observations::draw(&self.truth, 0, &seen, points, noise, 4).unwrap();
        Question { options, ..Question::new(task, observations) }
    }

    fn answer(&self, question: &Question, team: Team) -> Answer {
        let (solver, unwritten) = Solver::stored(&self.model, self.folder.path()).unwrap();
        assert!(unwritten.is_none(), "{unwritten:?}");
        solver.with_team(team).unwrap().answer(question.clone()).unwrap()
    }
}

/// The values of the members, to the sign of a zero.
fn bits(posterior: &Posterior) -> Vec<u32> {
    posterior.samples.data.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn the_members_of_an_answer_are_those_of_one_process() {
    let named = |method| Options { method, ensemble: 10, ..Options::default() };
    let odd = Options { ensemble: 7, ..Options::default() };
    let all = usize::MAX;
    for (pde, scale, cases) in [
        (
            "poisson",
            1.0,
            vec![
                (Task::Inverse, 40, 0.02, named(None)),
                (Task::Inverse, 40, 0.02, odd),
                (Task::Inverse, 40, 0.02, named(Some(Method::NoiseSpace))),
                // The reference solver's solutions of the members, and of an exact input.
                (Task::Forward, 40, 0.02, named(None)),
                (Task::Forward, all, 0.0, named(None)),
            ],
        ),
        // An input that the law does not know is solved for as it was seen.
        ("poisson", 20.0, vec![(Task::Forward, all, 0.02, named(None))]),
        (
            "darcy",
            1.0,
            vec![(Task::Inverse, 40, 0.02, named(None)), (Task::Inverse, 40, 0.02, odd)],
        ),
        ("burgers", 1.0, vec![(Task::Inverse, 40, 0.02, named(None))]),
        // Values of no solution: the search leaves all members out.
        ("burgers", 40.0, vec![(Task::Inverse, 40, 0.001, named(None))]),
    ] {
        let mut problem = Problem::of(pde);
        problem.truth.data.iter_mut().for_each(|value| *value *= scale);
        for (task, points, noise, options) in cases {
            let question = problem.question(task, points, noise, options);
            let alone = together(1, |_| problem.answer(&question, Team::ALONE)).remove(0);
            assert_eq!(
                alone.posterior.calls == 0,
                points == all,
                "{pde}, {task}: the solver alone"
            );
            assert_eq!(alone.posterior.left_out > 0, scale == 40.0, "{pde}, {task}: left out");

            // Three processes have members of unequal numbers.
            for count in [1, 2, 3] {
                for answer in together(count, |team| problem.answer(&question, team)) {
                    let case = format!("{pde}, {task}, {points}, {options:?}, {count} processes");
                    let [ours, theirs] = [&answer.posterior, &alone.posterior];
                    assert!(bits(ours) == bits(theirs), "{case}");
                    let figures = |p: &Posterior| (p.calls, p.left_out, p.mirrored);
                    assert_eq!(figures(ours), figures(theirs), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_process_without_a_member_is_refused() {
    let problem = Problem::of("poisson");
    let options = Options { ensemble: 4, ..Options::default() };
    let question = problem.question(Task::Inverse, 20, 0.02, options);
    let errors = together(3, |team| {
        let (solver, _) = Solver::stored(&problem.model, problem.folder.path()).unwrap();
        solver.with_team(team).unwrap().answer(question.clone()).unwrap_err().to_string()
    });
    let refused = "an ensemble of 4: 3 processes each draw a pair";
    assert!(errors.iter().all(|error| error.contains(refused)), "{errors:?}");
}

#[test]
fn processes_that_ask_different_questions_are_refused() {
    let problem = Problem::of("poisson");
    let errors = together(2, |team| {
        let (solver, _) = Solver::stored(&problem.model, problem.folder.path()).unwrap();
        let options = Options { seed: team.rank() as u64, ..Options::default() };
        let question = problem.question(Task::Inverse, 20, 0.02, options);
        solver.with_team(team).unwrap().answer(question).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("another question")), "{errors:?}");
}
