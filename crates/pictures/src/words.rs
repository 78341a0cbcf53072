//! The words about samples and answers: their origin, an answer's figures, and where one more value
//! would tell most.

use phys_instruct::condition::digits::place;
use phys_instruct::condition::{Answer, AnswerFigures, Task, TrialScores};
use phys_instruct::figures::Figures;
use phys_instruct_physics::Pde;
use phys_instruct_report::number::{plain, significant};

/// The PDE error where no equation is known.
pub const NO_EQUATION: &str = "not known: data alone, no equation";

/// Network calls in words.
pub fn calls(count: usize) -> String {
    if count == 1 { "1 network call".into() } else { format!("{count} network calls") }
}

/// The part of an operator in samples, to follow the network calls.
pub fn of_operator(figures: &Figures) -> &'static str {
    match figures.operator {
        None => "",
        Some(true) => ", and as many of the operator",
        Some(false) => ", without the operator",
    }
}

/// The title of a picture of samples.
pub fn title_of_samples(figures: &Figures) -> String {
    format!("{}: samples on {} × {} points", figures.pde, figures.grid.ny, figures.grid.nx)
}

/// The origin of samples and their PDE error, in a sentence or two.
pub fn caption_of_samples(figures: &Figures) -> String {
    let making = [
        figures.model.as_ref().map(|name| format!("model {name}")),
        figures.calls.map(|count| format!("{}{}", calls(count), of_operator(figures))),
        figures.polish.map(|p| format!("{} sweeps of polish", p.sweeps)),
        figures.seed.map(|seed| format!("seed {seed}")),
    ];
    let making: Vec<String> = making.into_iter().flatten().collect();

    let making = making.join(", ");
    let errors = figures.report.as_ref().map(|r| (r.count, r.pde_error, r.data_floor));
    let Some((count, Some(error), Some(floor))) = errors else {
        return format!("Made by {making}. No equation is known, and so no PDE error.");
    };
    let [error, floor] = [error, floor].map(|v| significant(v, 3));
    format!("Made by {making}. PDE error of all {count} samples {error}; of held-out data {floor}.")
}

/// The origin of an answer that the `model` of that name gave, in a sentence or two.
pub fn caption(answer: &Answer, model: &str, seed: u64) -> String {
    let Answer { posterior, pde_errors, .. } = answer;
    let errors = match pde_errors {
        Some(errors) => {
            let [members, mean] = [errors.members, errors.mean].map(|v| significant(v, 3));
            format!("PDE error of the members {members}, of their mean {mean}.")
        }
        None => "No equation was used: none is known.".into(),
    };

    let (members, calls) = (posterior.samples.count, calls(posterior.calls));
    format!("Made by model {model}, {members} members of {calls}, seed {seed}. {errors}")
}

/// The title of an answer.
pub fn title(answer: &Answer, pde: &str, task: Task) -> String {
    let count = answer.observations.points().len();
    format!("{pde}, {task}: {count} observations")
}

/// The figures of an answer, each with its name, and those of a check by test problems.
pub fn figures(
    answer: &Answer,
    figures: &AnswerFigures,
    pde: &dyn Pde,
    check: Option<&TrialScores>,
) -> Vec<(String, String)> {
    let Answer { posterior, observations, explained, pde_errors, .. } = answer;
    let [chi, of_members] = [explained.chi, explained.chi_of_members].map(plain);
    let errors = pde_errors.map(|e| {
        let [members, mean, model] = [e.members, e.mean, e.model].map(plain);
        format!("{members}, of the mean {mean}; the model's own {model}")
    });

    let mut lines = vec![
        ("PDE", pde.equation().to_owned()),
        ("task", figures.task.to_string()),
        ("observations", observations.points().len().to_string()),
        ("ensemble", posterior.samples.count.to_string()),
        ("misfit of the mean", format!("{} of the fields' deviation", plain(figures.misfit))),
        ("chi", format!("{chi} of the mean, {of_members} of the members; 1 is expected")),
        ("PDE error", errors.unwrap_or_else(|| NO_EQUATION.into())),
    ];
    if let Some(score) = figures.score {
        lines.push(("error", plain(score.error)));
        lines.extend(figures.unobserved_error.map(|e| ("error of the mean alone", plain(e))));
        lines.extend(score.coverage90.map(|c| ("within the 90 % interval", plain(c))));
        lines.push(("ranked score (CRPS)", plain(score.crps)));
    }

    if let Some(check) = check {
        let [error, sd, chi] = [check.error, check.error_sd, check.chi].map(plain);
        let covered = check.coverage90.map_or("-".into(), plain);
        lines.push(("check", format!("{} problems of the same places", check.problems)));
        lines.push(("  error", format!("{error}, standard deviation {sd}")));
        lines.push(("  error of the mean alone", plain(check.unobserved_error)));
        lines.push(("  within 90 %", covered));
        lines.push(("  chi", format!("{chi} of the mean")));
    }
    lines.push(("network calls", posterior.calls.to_string()));
    lines.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// Advice on the place of one more value; none if nothing is unknown.
pub fn advice(figures: &AnswerFigures) -> Option<String> {
    let next = figures.next_place.as_ref()?;
    let [y, x] = place([next.y, next.x], figures.grid);
    Some(format!("One more value would tell most at y {y}, x {x} of {}.", next.field))
}
