//! The refusal of configs that ask a PDE known by data alone for an equation or a solver.

use std::path::Path;

use super::{Config, PhaseConfig};
use crate::{Error, Result, problem};

impl Config {
    /// Refuses what needs an equation or a solver, if the PDE is known by data alone.
    pub(super) fn check_equation(&self) -> Result<()> {
        // The file is read only where there is one, so that a config can be read before its PDE is
        // registered.
        if !problem::is_description(Path::new(&self.pde)) {
            return Ok(());
        }
        let pde = self.pde()?;
        pde.check_grid(self.grid)?;

        let refuse = |key: &str, todo: &str| {
            let name = pde.name();
            let reason =
                format!("{key}: {name} is known by data alone, without an equation; {todo}");
            Err(Error::Config(reason))
        };
        if self.data.path.is_none() {
            return refuse("data.path is missing", "no data can be generated");
        }
        if self.train.residual_weight.is_some() {
            return refuse("train.residual_weight", "leave it out");
        }
        for (i, phase) in self.distill.iter().flat_map(|distill| &distill.phases).enumerate() {
            let key = |name: &str| format!("distill.phase[{i}]{name}");
            match phase {
                PhaseConfig::Matching(matching) if matching.guidance.is_some() => {
                    return refuse(&key(".guidance"), "leave the table out");
                }
                PhaseConfig::Anchored(_) => {
                    return refuse(&key(".kind = \"anchored\""), "leave the phase out");
                }
                PhaseConfig::Operator(operator) if operator.sweeps > 0 => {
                    return refuse(&key(".sweeps"), "set it to 0");
                }
                PhaseConfig::Operator(operator) if operator.sees_residual => {
                    return refuse(&key(".sees_residual"), "leave it out");
                }
                PhaseConfig::Operator(operator) if operator.residual_weight > 0.0 => {
                    return refuse(&key(".residual_weight"), "set it to 0");
                }
                _ => (),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::load::of_any_version;

    /// The reason why a config of data alone with these lines is refused; nothing if it is taken.
    fn refusal(lines: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let text = "[pde]\nname = 'mine'\ninput = 'a'\nsides = [1.0, 1.0]\n\
            field = [{ name = 'a' }, { name = 'u' }]";
        std::fs::write(&path, text).unwrap();
        let config = format!("pde = '{}'\ngrid = 16\n{lines}", path.display());
        Config::from_toml(&config).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn guidance_without_an_equation_is_refused_by_its_key() {
        let data = "[data]\npath = 'x.npz'\n";
        let phase = |lines: &str| format!("{data}[[distill.phase]]\n{lines}");
        let first = "kind = 'matching'";
        assert_eq!(refusal(data), "");
        assert_eq!(refusal(&phase(&format!("{first}\n[[distill.phase]]\nkind = 'calibrate'"))), "");
        let operator = "kind = 'operator'\nsweeps = 0\nresidual_weight = 0.0";
        assert_eq!(refusal(&phase(operator)), "");

        for (lines, key) in [
            ("", "data.path is missing"),
            (&*format!("{data}[train]\nresidual_weight = 1.0"), "train.residual_weight"),
            (&phase("kind = 'matching'\nguidance = {}"), "distill.phase[0].guidance"),
            (&phase("kind = 'anchored'"), "distill.phase[0].kind = \"anchored\""),
            (&phase("kind = 'operator'"), "distill.phase[0].sweeps"),
            (&phase("kind = 'operator'\nsweeps = 0"), "distill.phase[0].residual_weight"),
            (
                &phase(&format!("{operator}\nsees_residual = true")),
                "distill.phase[0].sees_residual",
            ),
        ] {
            let message = refusal(lines);
            assert!(message.contains(key) && message.contains("data alone"), "{key}: {message}");
        }
    }

    #[test]
    fn a_grid_takes_the_sides_that_are_described_and_other_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let text = "[pde]\nname = 'mine'\ninput = 'a'\nsides = [1.0, 2.0]\n\
            field = [{ name = 'a' }, { name = 'u' }]";
        std::fs::write(&path, text).unwrap();
        let config = |grid: &str| {
            let pde = path.display();
            of_any_version(&format!("pde = '{pde}'\ngrid = {grid}\n[data]\npath = 'x.npz'"))
        };
        for (grid, points) in [
            ("16", [16, 16]),
            ("{ points = [16, 24] }", [16, 24]),
            ("{ points = [8, 8], sides = [1, 2] }", [8, 8]),
        ] {
            let taken = config(grid).unwrap().grid;
            assert_eq!((taken.shape(), taken.sides()), (points, [1.0, 2.0]), "{grid}");
        }
        let other = config("{ points = [16, 16], sides = [1.0, 1.0] }").unwrap_err().to_string();
        assert!(other.contains("sides 1 x 2 expected, as mine is described"), "{other}");
    }

    #[test]
    fn a_description_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.toml");
        let config = format!("pde = '{}'\ngrid = 16", missing.display());
        assert!(Config::from_toml(&config).unwrap_err().to_string().contains("none.toml"));
    }
}
