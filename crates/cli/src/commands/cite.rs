//! `cite`: BibTeX.

use clap::Args;

use crate::failure::Outcome;
use crate::output::print;

/// Print BibTeX entries of the method's paper and of this software
///
/// Example: phys-instruct cite >> references.bib
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Cite {}

impl Cite {
    pub fn run(&self) -> Outcome {
        print(BIBTEX.replace("VERSION", env!("CARGO_PKG_VERSION")).trim_end())
    }
}

const BIBTEX: &str = r"@misc{kong2026ultra,
  title = {Ultra Fast {PDE} Solving via Physics Guided Few-step Diffusion},
  author = {Kong, Cindy Xiangrui and Wang, Yueqi and Zheng, Haoyang and Luo, Weijian and Lin, Guang},
  year = {2026},
  eprint = {2602.03627},
  archivePrefix = {arXiv},
  url = {https://arxiv.org/abs/2602.03627},
}

@software{phys-instruct,
  title = {Phys-Instruct: few-step {PDE} solving by physics-guided distillation of diffusion models},
  version = {VERSION},
  year = {2026},
  license = {MIT OR Apache-2.0},
}
";
