//! Questions as users ask them of the bundled students: the answers, and the notes and warnings.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use phys_instruct::condition::Lattice;
use phys_instruct::condition::{
    Answer, Method, Observation, Observations, Options, Question, Solver, Task, Warning,
};
use phys_instruct::{Model, Result, device};
use phys_instruct_physics::{Fields, Grid, Pde, generate, registry::by_name};

const SIZE: usize = 32;

fn model(pde: &str) -> Model {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let file = format!("{folder}/{pde}-{SIZE}-student.safetensors");
    Model::load(Path::new(&file), &device::cpu()).unwrap()
}

fn question(task: Task, observations: Observations) -> Question {
    let options = Options::default();
    let (noise, robust, resolve) = (None, false, None);
    Question { task, observations, noise, robust, resolve, options }
}

/// A solved problem that is in no training data.
fn truth(pde: &dyn Pde) -> Fields {
    generate(pde, Grid::square(SIZE), 9_300_000, 0..1).unwrap().remove(0)
}

/// Observations of a channel at random places, with errors of deviation `sd`. The places are
/// between grid points, with values by the test's own interpolation, or at the nearest grid point.
fn sensors(pde: &dyn Pde, x: &Fields, channel: usize, between: bool, sd: f64) -> Vec<Observation> {
    let lattice = Lattice::new(pde, Grid::square(SIZE));
    let field = x.channel(channel);
    (0..60)
        .map(|i| {
            let at = |step: f64| 0.06 + 0.88 * (0.5 + i as f64 * step).fract();
            let place = lattice.locate(channel, [at(0.754_877), at(0.569_840)]).unwrap();
            let place = if between { place } else { place.map(f64::round) };
            let error = sd * ((i * 7919 % 61) as f64 - 30.0) / 17.6;
            let value = cubic(field, place) + error;
            Observation { channel, row: place[0], column: place[1], value, sd: Some(sd) }
        })
        .collect()
}

/// The Catmull-Rom interpolation of a field, which is not the library's.
fn cubic(field: &[f64], [row, column]: [f64; 2]) -> f64 {
    let weights = |t: f64| {
        let f = t.fract();
        let w = [
            ((2.0 - f) * f - 1.0) * f / 2.0,
            ((3.0 * f - 5.0) * f * f + 2.0) / 2.0,
            ((4.0 - 3.0 * f) * f + 1.0) * f / 2.0,
            (f - 1.0) * f * f / 2.0,
        ];
        let first = t.floor() as isize - 1;
        (0..4).map(move |k| ((first + k as isize).clamp(0, SIZE as isize - 1) as usize, w[k]))
    };
    let line = |y: usize| weights(column).map(|(x, w)| w * field[y * SIZE + x]).sum::<f64>();
    weights(row).map(|(y, w)| w * line(y)).sum()
}

fn answer(pde: &str, task: Task, points: Vec<Observation>) -> Result<Answer> {
    let model = model(pde);
    let lattice = Lattice::new(by_name(pde)?.as_ref(), Grid::square(SIZE));
    Solver::new(&model)?.answer(question(task, Observations::on(&lattice, points)?))
}

fn said(answer: &Answer) -> String {
    said_in(&answer.warnings)
}

fn said_in(warnings: &[Warning]) -> String {
    warnings.iter().map(|w| w.message.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn sensors_between_points_are_worth_as_much_as_on_them() {
    let pde = by_name("poisson").unwrap();
    let truth = truth(pde.as_ref());
    let exact: Vec<f32> = truth.data.iter().map(|&v| v as f32).collect();
    let target = Task::Inverse.target(pde.as_ref(), Grid::square(SIZE));
    let [on, off] = [false, true].map(|between| {
        let points = sensors(pde.as_ref(), &truth, 1, between, 4e-5);
        let answer = answer("poisson", Task::Inverse, points).unwrap();
        assert!(answer.warnings.is_empty(), "{}", said(&answer));
        answer.posterior.score(&exact, &target, None)
    });
    assert!(on.error < 0.35 && off.error < 1.3 * on.error, "{on:?} {off:?}");
    for score in [on, off] {
        let coverage = score.coverage90.unwrap();
        assert!((0.8..=0.98).contains(&coverage), "{score:?}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let pde = by_name("poisson").unwrap();
    let truth = truth(pde.as_ref());
    let good = sensors(pde.as_ref(), &truth, 1, false, 4e-5);
    let with = |change: &dyn Fn(usize, &mut Observation)| {
        let mut points = good.clone();
        points.iter_mut().enumerate().for_each(|(i, p)| change(i, p));
        said(&answer("poisson", Task::Inverse, points).unwrap())
    };
    assert_eq!(with(&|_, _| ()), "");
    let units = with(&|_, p| p.value *= 1e4);
    assert!(units.contains("deviations from what this model knows") && units.contains("units"));
    let small = with(&|_, p| p.value *= 1e-3);
    assert!(small.contains("units"), "{small}");
    let offset = with(&|_, p| p.value += 6e-3);
    assert!(!offset.is_empty());
    let outlier = with(&|i, p| p.value += if i == 17 { 4e-3 } else { 0.0 });
    assert!(outlier.contains("(number 18)"), "{outlier}");
    let exchanged = with(&|_, p| p.value *= 70.0);
    assert!(exchanged.contains("are the fields exchanged, or other units?"), "{exchanged}");
}

#[test]
fn a_rougher_field_is_named_behind_errors_and_errors_stated_too_large_are() {
    let own = by_name("poisson").unwrap();
    let mut rough = by_name("poisson").unwrap();
    rough.set_param("alpha", 1.5).unwrap();

    // Errors of 3 % of the deviation.
    let sd = 4.5e-4;
    let told = |law: &dyn Pde, stated: f64| {
        let mut points = sensors(own.as_ref(), &truth(law), 1, false, sd);
        points.extend(sensors(own.as_ref(), &truth(law), 1, true, sd));
        points.iter_mut().for_each(|point| point.sd = Some(stated));
        said(&answer("poisson", Task::Inverse, points).unwrap())
    };
    assert_eq!(told(own.as_ref(), sd), "");
    let rougher = told(rough.as_ref(), sd);
    assert!(rougher.contains("a rougher field than the law's"), "{rougher}");
    let too_large = told(own.as_ref(), 10.0 * sd);
    assert!(too_large.contains("together the observations lie"), "{too_large}");
}

/// Members in noise-space have the network's own solutions, and are held against such.
#[test]
fn the_network_s_own_error_is_no_misfit_of_an_answer_and_an_error_is_a_number() {
    let (pde, model) = (by_name("poisson").unwrap(), model("poisson"));
    let lattice = Lattice::new(pde.as_ref(), Grid::square(SIZE));
    let points = sensors(pde.as_ref(), &truth(pde.as_ref()), 1, false, 1e-3);
    let asked = question(Task::Inverse, Observations::on(&lattice, points).unwrap());
    let solver = Solver::new(&model).unwrap();
    let options = Options { method: Some(Method::NoiseSpace), ..asked.options };
    let found = solver.answer(Question { options, ..asked.clone() }).unwrap();
    let errors = found.pde_errors.unwrap();
    assert!((0.01..0.2).contains(&errors.model), "{errors:?}");
    assert!(errors.members < 5.0 * errors.model, "{errors:?}");
    assert!(!said(&found).contains("PDE error"), "{}", said(&found));

    for noise in [-0.1, f64::NAN, f64::INFINITY] {
        let wrong = Question { noise: Some(noise), ..asked.clone() };
        let message = solver.answer(wrong).err().unwrap().to_string();
        assert!(message.contains("at least 0 expected"), "{message}");
    }
}

#[test]
fn a_robust_answer_is_not_spoilt_by_a_wrong_value() {
    let pde = by_name("poisson").unwrap();
    let truth = truth(pde.as_ref());
    let exact: Vec<f32> = truth.data.iter().map(|&v| v as f32).collect();
    let target = Task::Inverse.target(pde.as_ref(), Grid::square(SIZE));
    let mut points = sensors(pde.as_ref(), &truth, 1, false, 4e-5);
    let model = model("poisson");
    let solver = Solver::new(&model).unwrap();
    let error = |points: &[Observation], robust| {
        let lattice = Lattice::new(pde.as_ref(), Grid::square(SIZE));
        let observations = Observations::on(&lattice, points.to_vec()).unwrap();
        let asked = Question { robust, ..question(Task::Inverse, observations) };
        let answer = solver.answer(asked).unwrap();
        // What is done already is not advised.
        let is_advised = said(&answer).contains("--robust");
        assert_eq!(is_advised, !robust, "{}", said(&answer));
        answer.posterior.score(&exact, &target, None).error
    };
    let clean = error(&points, true);
    points[17].value += 4e-3;
    let [plain, robust] = [false, true].map(|robust| error(&points, robust));
    assert!(robust < 1.3 * clean && robust < 0.5 * plain, "{clean}, {plain}, {robust}");
}

#[test]
fn a_coefficient_given_everywhere_is_followed_and_one_given_here_and_there_is_held_to_the_law() {
    let everywhere = |value| {
        let at = |i: usize| Observation::at_point(0, i / SIZE, i % SIZE, value, None);
        (0..SIZE * SIZE).map(at).collect::<Vec<_>>()
    };
    let answer_24 = answer("darcy", Task::Forward, everywhere(24.0)).unwrap();
    // -24 lap u = 1: the maximum of the torsion function is divided by 24.
    let u = answer_24.posterior.mean()[SIZE * SIZE..].iter().fold(0.0f32, |m, v| m.max(*v));
    assert!((f64::from(u) - 0.073_671 / 24.0).abs() < 0.01 * 0.073_671 / 24.0, "{u}");
    assert!(answer_24.warnings.is_empty(), "{}", said(&answer_24));
    assert!(answer_24.notes[0].contains("observed everywhere"), "{:?}", answer_24.notes);

    let some = everywhere(24.0).into_iter().step_by(50).collect();
    let message = answer("darcy", Task::Forward, some).err().unwrap().to_string();
    assert!(message.contains("a = 3 and 12 alone"), "{message}");
    let negative = everywhere(-1.0);
    assert!(answer("darcy", Task::Forward, negative).is_err());
}

#[test]
fn a_fixed_boundary_is_held_against_values_on_it() {
    let wall = |value| {
        let inside = (1..6).map(|i| Observation::at_point(1, 5 * i, 4 * i, 1e-3, Some(1e-3)));
        let on = Observation { channel: 1, row: 0.0, column: 12.3, value, sd: Some(0.0) };
        said(&answer("poisson", Task::Inverse, inside.chain([on]).collect()).unwrap())
    };
    assert_eq!(wall(0.0), "");
    assert!(wall(0.5).contains("the boundary condition fixes the value there"));
}

/// Two thermometers in one cell are two observations, whose mean is known better than either.
#[test]
fn two_measurements_of_one_point_are_two() {
    let at = |value| Observation::at_point(1, 10, 10, value, Some(2e-4));
    let [one, two] = [vec![at(8.145e-3)], vec![at(8.0e-3), at(8.2e-3)]].map(|points| {
        // There are enough members to know their spread to a tenth.
        let model = model("darcy");
        let lattice = Lattice::new(by_name("darcy").unwrap().as_ref(), Grid::square(SIZE));
        let asked = question(Task::Inverse, Observations::on(&lattice, points).unwrap());
        let options = Options { ensemble: 100, ..asked.options };
        let answer = Solver::new(&model).unwrap().answer(Question { options, ..asked }).unwrap();
        let entry = SIZE * SIZE + 10 * SIZE + 10;
        (answer.posterior.mean()[entry], answer.posterior.deviation()[entry])
    });
    assert!((two.0 - 8.1e-3).abs() < 1e-4, "{two:?}");
    assert!(two.1 < 0.85 * one.1, "{one:?} {two:?}");
}

#[test]
fn one_sensor_of_burgers_is_followed_by_every_member() {
    let pde = by_name("burgers").unwrap();
    for seed in 0..4 {
        let x = generate(pde.as_ref(), Grid::square(SIZE), 9_300_001, seed..seed + 1)
            .unwrap()
            .remove(0);
        let value = |row: usize| x.data[row * SIZE + 5];
        let points =
            (1..SIZE).map(|row| Observation::at_point(0, row, 5, value(row), Some(1e-3))).collect();
        let answer = answer("burgers", Task::Inverse, points).unwrap();
        assert!(answer.explained.chi < 1.0, "{:?}", answer.explained);
        assert!(answer.explained.chi_of_members < 1.6, "{:?}", answer.explained);
        assert_eq!(answer.posterior.left_out, 0);
    }
}

#[test]
fn a_solver_from_a_file_answers_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    for pde in ["poisson", "darcy"] {
        let model = model(pde);
        let record = by_name(pde).unwrap();
        let lattice = Lattice::new(record.as_ref(), Grid::square(SIZE));
        let truth = truth(record.as_ref());
        let points = sensors(record.as_ref(), &truth, 1, false, 4e-5);
        let members = |solver: &Solver| {
            let observations = Observations::on(&lattice, points.clone()).unwrap();
            let answer = solver.answer(question(Task::Inverse, observations)).unwrap();
            (
                answer.posterior.samples.data,
                said_in(&answer.warnings),
                answer.pde_errors.unwrap().model,
            )
        };
        let stored = |folder: &Path| {
            let (solver, unwritten) = Solver::stored(&model, folder).unwrap();
            (members(&solver), unwritten.is_some())
        };
        let new = members(&Solver::new(&model).unwrap());

        // The first run writes the file, the second reads it.
        let place = folder.path().join(pde);
        for _ in 0..2 {
            assert_eq!(stored(&place), (new.clone(), false), "{pde}");
        }

        // A damaged file is drawn anew and replaced.
        let file = std::fs::read_dir(&place).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&file).unwrap();
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x40;
        for bytes in [&damaged[..], &whole[..middle], b"{}"] {
            std::fs::write(&file, bytes).unwrap();
            assert_eq!(stored(&place), (new.clone(), false), "{pde}");
            assert!(std::fs::read(&file).unwrap() == whole, "{pde}: not written anew");
        }

        // A folder that cannot be made costs nothing but time.
        assert_eq!(stored(&file.join("below")), (new, true), "{pde}");
    }
}
