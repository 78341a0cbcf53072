//! A bundled student on a finer grid than the one that it was trained on, without training.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use phys_instruct::data::{self, Watch};
use phys_instruct::eval::{EvalOptions, evaluate};
use phys_instruct::sampling::{SampleOptions, sample};
use phys_instruct::{Model, Samples, device};
use phys_instruct_physics::Grid;

fn student(name: &str) -> Model {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let file = format!("{folder}/{name}-student.safetensors");
    Model::load(Path::new(&file), &device::cpu()).unwrap()
}

/// Solved samples of the student's PDE.
fn solved(student: &Model, side: usize, seed: u64, count: usize) -> Samples {
    let mut watch = Watch { progress: &mut |_| (), stop: &AtomicBool::new(false) };
    let pde = student.card.pde().unwrap();
    data::generate(pde.as_ref(), Grid::square(side), seed, count, &mut watch).unwrap()
}

#[test]
fn a_refined_student_has_the_coarse_structure_and_its_solution() {
    let coarse = student("darcy-64");
    for (side, patch, most) in [(128, 4, 2), (256, 8, 1)] {
        let fine = coarse.refined(&solved(&coarse, side, 1, 200)).unwrap();
        assert_eq!((fine.card.grid, fine.card.net.patch), (Grid::square(side), patch));
        assert_eq!(fine.card.record.parent, coarse.checksum);

        // The same from a file.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fine.safetensors");
        fine.save(&path).unwrap();
        let fine = Model::load(&path, &device::cpu()).unwrap();

        let reference = solved(&fine, side, 2, 128);
        for calls in 1..=most {
            let options = SampleOptions { count: 64, calls, seed: 3, ..SampleOptions::default() };
            let drawn = sample(&fine, options, &mut |_| ()).unwrap().samples;
            let pde = fine.card.pde().unwrap();
            let report =
                evaluate(&drawn, &reference, pde.as_ref(), None, EvalOptions::default()).unwrap();
            let law = report.distribution.as_ref().unwrap();
            assert!(law.sliced_wasserstein < 1.25 * law.sliced_wasserstein_floor, "{law:?}");
            assert!(law.std_ratio.iter().all(|ratio| (0.85..1.15).contains(ratio)), "{law:?}");
            assert!(report.solution_error.unwrap() < 0.02, "{report:?}");
        }
    }
}

#[test]
fn what_has_no_finer_grid_is_refused() {
    let refused = |name: &str, side: usize| {
        let coarse = student(name);
        coarse.refined(&solved(&coarse, side, 1, 4)).unwrap_err().to_string()
    };
    assert!(refused("darcy-32", 48).contains("48 x 48 is not 2 or 4 times as fine"));
    assert!(refused("darcy-32", 16).contains("16 x 16 is not 2 or 4 times as fine"));
    assert!(refused("poisson-32", 64).contains("joint components"));

    let coarse = student("darcy-32");
    let finer = coarse.refined(&solved(&coarse, 128, 1, 4)).unwrap();
    let finest = finer.refined(&solved(&coarse, 512, 1, 4)).unwrap_err().to_string();
    assert!(finest.contains("patches of 32 points a side, there are [1, 2, 4, 8, 16]"), "{finest}");
}
