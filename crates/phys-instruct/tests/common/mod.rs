//! The samples that several tests of whole trainings begin with.

use std::sync::atomic::AtomicBool;

use phys_instruct::data::{self, Watch};
use phys_instruct::{Config, Samples};

/// The training and the held-out data of a config.
pub fn samples(config: &Config) -> [Samples; 2] {
    let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
    let training = data::training(config, &mut watch).unwrap();
    [training, data::validation(config, &mut watch).unwrap()]
}
