//! What a table is asked to measure: the PDEs, the methods, and values in place of the defaults.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use phys_instruct::bench::tuning::Tuning;
use phys_instruct::problem;

use crate::failure::Failure;
use crate::models;

/// The file of searched weights, beside the models.
pub const WEIGHTS: &str = "baselines.toml";
/// The PDEs asked for, or those for which `has` is true.
pub fn chosen(asked: &[String], has: impl Fn(&str) -> bool) -> Result<Vec<String>, Failure> {
    for name in asked {
        problem::find(name)?;
    }
    let wanted =
        |name: &str| if asked.is_empty() { has(name) } else { asked.iter().any(|a| a == name) };
    let all: Vec<String> = problem::names().into_iter().filter(|name| wanted(name)).collect();
    if all.is_empty() {
        return Err(Failure::Usage("no models of any PDE found".into()));
    }
    Ok(all)
}

/// The values asked for, or else `base`.
pub fn given_or<T: Clone>(asked: &[T], base: Vec<T>) -> Vec<T> {
    if asked.is_empty() { base } else { asked.to_vec() }
}

/// A parser of methods by their names in the table.
pub fn method<M>(names: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = M>
where
    M: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<M>())
}

/// The path and the content of the file of searched weights.
pub fn weights() -> Result<(PathBuf, Tuning), Failure> {
    let path = models::file(WEIGHTS).unwrap_or_else(|| models::folder().join(WEIGHTS));
    let tuning = Tuning::read(&path)?.unwrap_or_default();
    Ok((path, tuning))
}
