//! Warnings on stderr, and those about a model.

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
