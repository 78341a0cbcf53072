//! The methods that the tables compare.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::baseline::GuidedSampler;

/// Declares methods in the order of their table, each with its name in tables, files and on the
/// command line.
macro_rules! methods {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $method:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$meaning])* #[serde(rename = $text)] $method,)*
        }

        impl $name {
            /// All methods, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$method),*];

            /// Returns the name in tables, files and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$method => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let named = Self::ALL.iter().find(|method| method.name() == text);
                named.copied().ok_or_else(|| Error::Config(format!("no method `{text}`")))
            }
        }
    };
}

/// The strength of a guided method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// The weight of DiffusionPDE's guidance, or the size of CoCoGen's corrections.
    pub weight: f64,
    /// The share of the steps, the last ones, that DiffusionPDE guides. If `None`, all; CoCoGen has
    /// a share of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

methods! {
    /// The methods of the table of unconditional sampling.
    SamplingMethod {
        /// The student.
        PhysInstruct = "phys-instruct",
        /// The student without its operator: input and solution from one pass.
        Joint = "phys-instruct/joint",
        /// A student distilled without guidance.
        DiffInstruct = "diff-instruct",
        /// A teacher's own sampler.
        Edm = "edm",
        /// A teacher guided by the residual at every step.
        DiffusionPde = "diffusionpde",
        /// A teacher corrected by the residual in its last steps.
        CoCoGen = "cocogen",
        /// A teacher trained with the residual in its loss.
        Pidm = "pidm",
        /// The reference solver.
        Solver = "solver",
    }
}

methods! {
    /// The methods of the table of conditional solving.
    SolvingMethod {
        /// The student as `solve` uses it by default.
        PhysInstruct = "phys-instruct",
        /// The student's own solution, for tasks where `solve` takes the reference solver's.
        Unsolved = "phys-instruct/unsolved",
        /// The reference solver's solution, for tasks where `solve` takes the student's.
        Solved = "phys-instruct+solve",
        /// The student's own steps alone, for PDEs where `solve` does more.
        Refinement = "phys-instruct/refinement",
        /// Gauss-Newton in the student's noise.
        NoiseSpace = "phys-instruct/noise-space",
        /// A teacher guided by observations and residual at every step.
        DiffusionPde = "diffusionpde",
        /// The exact posterior, if it is known.
        Exact = "exact-posterior",
        /// Gaussian-process interpolation.
        Classical = "classical",
        /// Gaussian-process interpolation of the input, with the reference solver's solution.
        ClassicalSolved = "classical+solve",
        /// The most probable input, by the adjoint of the reference solver.
        MostProbable = "most-probable",
    }
}

impl SamplingMethod {
    /// Returns the sampler that uses the residual at inference, with its strength; none for another
    /// method.
    pub fn guided(self, Strength { weight, share }: Strength) -> Option<GuidedSampler> {
        match self {
            Self::DiffusionPde => {
                Some(GuidedSampler::DiffusionPde { weight, share: share.unwrap_or(1.0) })
            }
            Self::CoCoGen => Some(GuidedSampler::CoCoGen(weight)),
            _ => None,
        }
    }

    /// Tells whether the method uses the residual at inference.
    pub fn is_guided(self) -> bool {
        matches!(self, Self::DiffusionPde | Self::CoCoGen)
    }
}

impl SolvingMethod {
    /// Tells whether the student gives the answer.
    pub fn is_student(self) -> bool {
        matches!(
            self,
            Self::PhysInstruct
                | Self::Unsolved
                | Self::Solved
                | Self::Refinement
                | Self::NoiseSpace
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for method in SamplingMethod::ALL {
            assert_eq!(method.name().parse::<SamplingMethod>().ok(), Some(*method));
        }
        for method in SolvingMethod::ALL {
            assert_eq!(method.name().parse::<SolvingMethod>().ok(), Some(*method));
            let written = serde_json::to_string(method).unwrap_or_default();
            assert_eq!(written, format!("\"{method}\""));
        }
        assert!("cocogem".parse::<SamplingMethod>().is_err());
    }
}
