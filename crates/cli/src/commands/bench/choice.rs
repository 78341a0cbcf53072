//! What a table is asked to measure: the PDEs, the methods, and values in place of the defaults.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use phys_instruct::bench::row::{append_row, read_rows};
use phys_instruct::bench::tuning::Tuning;
use phys_instruct::problem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::table::LOG;
use crate::args::PartArgs;
use crate::failure::Failure;
use crate::models;
use crate::output::tell;

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
        let reason = match asked {
            [] => "no models of any PDE found".into(),
            asked => format!("{}: known by data alone; tables are of equations", asked.join(", ")),
        };
        return Err(Failure::Usage(reason));
    }
    Ok(all)
}

/// The rows that are taken over, and those that are measured.
#[derive(Args)]
pub struct RowsArgs {
    /// Take the rows of another folder of this bench over, such as one of a part; repeatable
    #[arg(long, value_name = "DIR")]
    rows: Vec<PathBuf>,
    #[command(flatten)]
    pub job: PartArgs,
}

impl RowsArgs {
    /// Reads the rows in the log of `out`, after it has received those of the other folders that
    /// it lacks. `same` tells whether two rows are of one key.
    ///
    /// # Errors
    /// Fails for a folder without rows.
    pub fn known<R: DeserializeOwned + Serialize>(
        &self,
        out: &Path,
        same: impl Fn(&R, &R) -> bool,
    ) -> Result<Vec<R>, Failure> {
        let log = out.join(LOG);
        // A part without a row of its own leaves an empty file, so that it is told from none.
        let made = OpenOptions::new().create(true).append(true).open(&log);
        made.map_err(|error| Failure::Usage(format!("{}: {error}", log.display())))?;

        let mut known = read_rows::<R>(&log)?;
        for folder in &self.rows {
            let theirs = folder.join(LOG);
            let rows = read_rows::<R>(&theirs)?;
            // A part without a row of its own has an empty file.
            let is_empty = std::fs::metadata(&theirs).is_ok_and(|file| file.len() == 0);
            if rows.is_empty() && !is_empty {
                let name = folder.display();
                return Err(Failure::Usage(format!("--rows {name}: no rows of this bench in it")));
            }
            for row in rows {
                if !known.iter().any(|own| same(own, &row)) {
                    append_row(&log, &row)?;
                    known.push(row);
                }
            }
        }
        if !self.rows.is_empty() {
            tell!("{} rows read; those that are asked for are taken over", known.len());
        }
        Ok(known)
    }

    /// The machines of the rows, in words, with the graphics processors of their networks.
    pub fn machines<'a>(&self, adapters: impl Iterator<Item = Option<&'a str>>) -> String {
        let others = "the machines that measured the rows";
        let machines = if self.rows.is_empty() { "this machine" } else { others };

        let adapters: BTreeSet<&str> = adapters.flatten().collect();
        match adapters.is_empty() {
            true => machines.into(),
            false => {
                let names: Vec<&str> = adapters.into_iter().collect();
                format!("{machines}, networks on {}", names.join(", "))
            }
        }
    }

    /// Says where the rows of a part are, and how they become a table.
    pub fn tell_part(&self, count: usize, out: &Path) {
        if let Some(part) = self.job.part {
            let out = out.display();
            tell!("part {part}: {count} rows in {out}; the same command with --rows {out} and the");
            tell!("other parts' folders, and without --part, makes the tables");
        }
    }
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
