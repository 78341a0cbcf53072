//! A PDE for tests: u = 2 a, at no cost.

use phys_instruct_physics::rng::normals;
use phys_instruct_physics::{
    Basis, Channel, Error, Fields, Grid, InputLaw, Param, Pde, Result, Solution, SolveReport,
};
use rand_chacha::ChaCha8Rng;

/// A PDE with the name and the channels that a test needs.
pub(crate) struct Dummy {
    name: &'static str,
    channels: Vec<&'static str>,
    factor: f64,
}

impl Dummy {
    pub(crate) fn named(name: &'static str, channels: &[&'static str]) -> Self {
        Self { name, channels: channels.to_vec(), factor: 2.0 }
    }
}

impl Pde for Dummy {
    fn name(&self) -> &str {
        self.name
    }

    fn equation(&self) -> &str {
        "u = factor * a"
    }

    fn channels(&self) -> Vec<Channel> {
        let channel = |&name| Channel::new(name, "", [Basis::Fourier; 2]);
        self.channels.iter().map(channel).collect()
    }

    fn params(&self) -> Vec<Param> {
        vec![Param::new("factor", self.factor, "any")]
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        match name {
            "factor" => self.factor = value,
            _ => {
                let (name, known) = (name.into(), "factor".into());
                return Err(Error::UnknownParam { pde: self.name.into(), name, known });
            }
        }
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::Data { two_values: None }
    }

    fn random_input(&self, grid: Grid, rng: &mut ChaCha8Rng) -> Result<Fields> {
        let data = normals(rng, grid.points());
        Ok(Fields { channels: 1, height: grid.ny, width: grid.nx, data })
    }

    fn solve(&self, _grid: Grid, input: &Fields) -> Result<Solution> {
        let u: Vec<f64> = input.data.iter().map(|a| self.factor * a).collect();
        let fields = Fields::stack(input.height, input.width, &[&input.data, &u]);
        Ok(Solution { fields, report: SolveReport::default() })
    }

    fn points(&self, grid: Grid) -> [Vec<f64>; 2] {
        grid.shape().map(|n| vec![0.0; n])
    }
}
