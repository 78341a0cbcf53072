//! Checks of a model's description against the rules of a configuration, the PDE and the tensors
//! of its file. A file may come from a stranger, so that all checks are made before a network is
//! built.

use std::collections::{BTreeMap, BTreeSet};

use phys_instruct_physics::{Channel, Pde, TwoValues};

use super::{Card, FORMAT, Kind, SEALED, WITH_FOLLOWING, WITH_OPERATOR};
use crate::config::grid::FEWEST_POINTS;
use crate::config::{MOST_SWEEPS, NetConfig, check_levels};
use crate::diffusion::statistics::Statistics;
use crate::problem;
use crate::store::weights::Array;
use crate::student::OperatorCard;
use crate::{Error, Result};

/// The most operators that a student calls one after the other.
const MOST_OPERATORS: usize = 2;

/// The bases of `channels` along y and x, by their names in
/// [`Basis`](phys_instruct_physics::Basis).
pub(super) fn bases(channels: &[Channel]) -> Vec<[String; 2]> {
    channels.iter().map(|channel| channel.basis.map(|basis| format!("{basis:?}"))).collect()
}

impl Card {
    /// Checks every field against the rules of a configuration and against the PDE.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field that breaks a rule.
    pub fn check(&self) -> Result<()> {
        if !(1..=FORMAT).contains(&self.format) {
            let reason = format!("format {} found, 1 to {FORMAT} expected", self.format);
            return Err(Error::Config(reason));
        }
        let named = |field: &str, error: Error| Error::Config(format!("{field}: {error}"));
        self.grid.check(FEWEST_POINTS).map_err(|e| named("grid", e.into()))?;

        problem::stored(&self.pde, self.description.as_ref()).map_err(|e| named("pde", e))?;
        let pde = self.pde().map_err(|e| named("params", e))?;
        pde.check_grid(self.grid).map_err(|e| named("grid", e.into()))?;
        if self.params.is_empty() && !pde.params().is_empty() {
            let names: Vec<String> = pde.params().into_iter().map(|p| p.name).collect();
            let reason =
                format!("params: none found, {} of {} expected", names.join(", "), self.pde);
            return Err(Error::Config(reason));
        }

        self.check_channels(pde.as_ref())?;
        self.net.check("net", self.grid)?;
        self.check_operator()?;
        self.coordinates.check(self.grid, &self.pde, self.channels.len())?;
        self.diffusion.check()?;
        self.check_calls()?;
        self.record.check()?;
        if self.seconds.is_finite() && self.seconds >= 0.0 {
            return Ok(());
        }
        Err(Error::Config(format!("seconds {} found, at least 0 expected", self.seconds)))
    }

    /// The channels are the PDE's, in its order, and so are their bases.
    fn check_channels(&self, pde: &dyn Pde) -> Result<()> {
        let channels = pde.channels();
        let names: Vec<&str> = channels.iter().map(|c| c.name.as_str()).collect();
        if self.channels != names {
            let (found, pde) = (&self.channels, &self.pde);
            let reason = format!("channels {found:?} found, {names:?} of {pde} expected");
            return Err(Error::Config(reason));
        }

        // Files of the first format do not tell their bases.
        let expected = bases(&channels);
        if self.bases == expected || self.bases.is_empty() && self.format < SEALED {
            return Ok(());
        }
        Err(Error::Config(format!(
            "bases {:?} found, {expected:?} of {} expected: the model's coefficients are those of \
             another version's basis; train it anew",
            self.bases, self.pde
        )))
    }

    /// A student may have an operator, and its network obeys the rules of one.
    fn check_operator(&self) -> Result<()> {
        let Some(operator) = &self.operator else { return Ok(()) };

        if self.kind == Kind::Teacher {
            return Err(Error::Config("operator found, which a teacher does not have".into()));
        }
        if self.format < WITH_OPERATOR {
            let format = self.format;
            return Err(Error::Config(format!(
                "operator found, which format {format} does not have"
            )));
        }

        if operator.before.is_some() && self.format < WITH_FOLLOWING {
            let format = self.format;
            let reason = format!("operator.before found, which format {format} does not have");
            return Err(Error::Config(reason));
        }
        if operator.chain().count() > MOST_OPERATORS {
            let reason = format!("more than {MOST_OPERATORS} operators in a row found");
            return Err(Error::Config(reason));
        }
        operator.chain().try_for_each(|(at, operator)| self.check_one_operator(&at, operator))
    }

    /// Checks an operator without those before it; `at` is the prefix of its keys.
    fn check_one_operator(&self, at: &str, operator: &OperatorCard) -> Result<()> {
        let sweeps = operator.sweeps;
        let most = if operator.before.is_some() { 0 } else { MOST_SWEEPS };
        if sweeps > most {
            let reason = format!("{at}sweeps {sweeps} found, 0 to {most} expected");
            return Err(Error::Config(reason));
        }
        if operator.sees_residual && self.description.is_some() {
            let reason = format!("{at}sees_residual found, and the PDE is known by data alone");
            return Err(Error::Config(reason));
        }
        operator.net.check(&format!("{at}net"), self.grid)
    }

    /// A student has noise levels and a teacher none.
    fn check_calls(&self) -> Result<()> {
        match self.kind {
            Kind::Student => check_levels("levels", &self.levels),
            Kind::Teacher if self.levels.is_empty() => Ok(()),
            Kind::Teacher => {
                Err(Error::Config("levels found, which a teacher does not have".into()))
            }
        }
    }

    /// Holds the size of the network to the tensors that only a network of that size has, so that
    /// none is built that is much larger than the file.
    ///
    /// # Errors
    /// [`Error::Config`] with the field that asks for a tensor the file does not hold so.
    pub(super) fn check_size(&self, tensors: &BTreeMap<String, Array>) -> Result<()> {
        self.check_size_of(&self.net, "", tensors)?;
        let mut operators = self.operator.iter().flat_map(OperatorCard::chain);
        operators.try_for_each(|(at, operator)| self.check_size_of(&operator.net, &at, tensors))
    }

    /// Holds the size of the network `net` to its tensors, before whose names `prefix` stands.
    fn check_size_of(
        &self,
        net: &NetConfig,
        prefix: &str,
        tensors: &BTreeMap<String, Array>,
    ) -> Result<()> {
        let expect = |field: String, name: &str, shape: &[usize]| match tensors.get(name) {
            Some(array) if array.shape == shape => Ok(()),
            Some(array) => Err(Error::Config(format!(
                "{field} asks for the shape {shape:?} of tensor `{name}`, which has {:?}",
                array.shape
            ))),
            None => {
                Err(Error::Config(format!("{field} asks for tensor `{name}`, which is missing")))
            }
        };

        let embedding = 4 * net.width;
        let width = format!("{prefix}net.width = {}", net.width);
        expect(width, &format!("{prefix}net.embed_out.weight"), &[embedding, embedding])?;

        for (level, multiplier) in net.multipliers.iter().enumerate() {
            let channels = multiplier * net.width;
            for block in 0..net.blocks {
                let field = match block {
                    0 => format!("{prefix}net.multipliers[{level}] = {multiplier}"),
                    _ => format!("{prefix}net.blocks = {}", net.blocks),
                };
                let name = format!("{prefix}net.levels.{level}.down.{block}.block.conv_out.weight");
                expect(field, &name, &[channels, channels, 3, 3])?;
            }
        }
        Ok(())
    }

    /// Checks that the statistics can be those of the PDE's data.
    ///
    /// # Errors
    /// [`Error::Config`] for a negative deviation, or a two-valued input whose mean lies beyond
    /// the two values.
    pub(super) fn check_statistics(&self, statistics: &Statistics) -> Result<()> {
        let Statistics { mean, spectrum, regression, components, examples } = statistics;
        if !examples.is_empty() && self.description.is_none() {
            let reason =
                "statistics.examples: samples of the data are for a PDE without an equation";
            return Err(Error::Config(reason.into()));
        }
        let deviations = [
            ("statistics.spectrum", Some(spectrum)),
            ("statistics.remainder", regression.as_ref().map(|r| &r.remainder)),
            ("statistics.component_std", components.as_ref().map(|c| &c.std)),
        ];
        for (name, values) in deviations {
            if let Some(at) = values.and_then(|values| values.iter().position(|&v| v < 0.0)) {
                return Err(Error::Config(format!("{name}: the deviation {at} is negative")));
            }
        }

        // Imported data may follow another law.
        let law = self.pde()?.input_law();
        let Some(two) = law.two_values().filter(|_| self.data.is_empty()) else {
            return Ok(());
        };

        let TwoValues { low, high } = two;
        let rounding = 1e-3 * two.gap();
        let fits = |v: &f32| (low - rounding..=high + rounding).contains(&f64::from(*v));
        match mean.iter().take(self.grid.points()).find(|v| !fits(v)) {
            None => Ok(()),
            Some(beyond) => Err(Error::Config(format!(
                "pde: the mean of {}'s {} is between {low} and {high}, but statistics.mean has \
                 {beyond}: these are another PDE's weights",
                self.pde, self.channels[0]
            ))),
        }
    }
}

/// Refuses a file that holds a tensor no part of the model is made of.
///
/// # Errors
/// [`Error::Config`] with the tensor's name.
pub(super) fn check_no_more(
    tensors: &BTreeMap<String, Array>,
    used: &BTreeSet<String>,
) -> Result<()> {
    match tensors.keys().find(|name| !used.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::Config(format!(
            "tensor `{name}` is none of the networks, the statistics and the calibrations described"
        ))),
    }
}

#[cfg(test)]
mod tests;
