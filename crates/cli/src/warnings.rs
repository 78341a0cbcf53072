//! Warnings on stderr, and those about a model.

use phys_instruct::condition::TrialScores;
use phys_instruct::model::Card;

use crate::output::say;

/// Prints warnings to stderr, a line each. The JSON answer of a verb holds them too, under
/// `warnings`.
pub fn warn(warnings: &[String]) {
    warnings.iter().for_each(|text| say!(Warnings, "warning: {text}"));
}

/// The known faults of a model.
pub fn of_model(card: &Card) -> Vec<String> {
    card.collapse().into_iter().collect()
}

/// The fault of test problems that the model was trained on.
pub fn of_trials(scores: &TrialScores) -> Vec<String> {
    let TrialScores { trained_on, problems, .. } = scores;
    let message = || {
        format!(
            "{trained_on} of {problems} test problems are pairs that the model was trained on, so that \
             the scores flatter it: choose others (`fit` holds out the last of its pairs)"
        )
    };
    (*trained_on > 0).then(message).into_iter().collect()
}
