//! A PDE for tests: u = 2 a, at no cost.

use phys_instruct_physics::rng::normals;
use phys_instruct_physics::{
    Basis, Channel, Error, Fields, InputLaw, Param, Pde, Result, Solution, SolveReport,
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
    fn name(&self) -> &'static str {
        self.name
    }

    fn equation(&self) -> &'static str {
        "u = factor * a"
    }

    fn channels(&self) -> Vec<Channel> {
        let channel = |&name| Channel { name, meaning: "", basis: [Basis::Fourier; 2] };
        self.channels.iter().map(channel).collect()
    }

    fn params(&self) -> Vec<Param> {
        vec![Param { name: "factor", value: self.factor, meaning: "any" }]
    }

    fn set_param(&mut self, name: &str, value: f64) -> Result<()> {
        match name {
            "factor" => self.factor = value,
            _ => {
                let (name, known) = (name.into(), "factor".into());
                return Err(Error::UnknownParam { pde: self.name, name, known });
            }
        }
        Ok(())
    }

    fn input_law(&self) -> InputLaw {
        InputLaw::Data
    }

    fn random_input(&self, size: usize, rng: &mut ChaCha8Rng) -> Result<Fields> {
        let data = normals(rng, size * size);
        Ok(Fields { channels: 1, height: size, width: size, data })
    }

    fn solve(&self, input: &Fields) -> Result<Solution> {
        let u: Vec<f64> = input.data.iter().map(|a| self.factor * a).collect();
        let fields = Fields::stack(input.height, input.width, &[&input.data, &u]);
        Ok(Solution { fields, report: SolveReport::default() })
    }

    fn points(&self, size: usize) -> [Vec<f64>; 2] {
        [vec![0.0; size], vec![0.0; size]]
    }
}
