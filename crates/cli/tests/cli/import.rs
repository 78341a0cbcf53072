//! Data that was made elsewhere: the fixture's 50 Darcy samples on 16 x 16 nodes.

use std::path::Path;

use serde_json::json;

use super::sandbox::{Sandbox, all_match};

const BRING: &str = "data import foreign.npz --pde darcy";

/// A folder with the fixture in it.
fn sandbox() -> Sandbox {
    let fixture = "../phys-instruct/tests/data/neuralop_darcy_test_16.npz";
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("foreign.npz", &bytes);
    sandbox
}

#[test]
fn foreign_nodes_become_inner_nodes_in_physical_units() {
    let sandbox = sandbox();
    let units = "--scale a=0.3554,0.0201 --crop 1,0,1,0";
    sandbox.good(&format!("{BRING} {units} --out all.npz")).matches("data-import-foreign");
    let part = sandbox.json(&format!("{BRING} {units} --samples 40..50 --out part.npz"));
    assert_eq!(
        ["count", "height", "width"].map(|key| part[key].clone()),
        [10, 15, 15].map(|n| json!(n))
    );
    let info = sandbox.json("data info all.npz");
    assert!((info["a"]["min"].as_f64().unwrap() - 0.0201).abs() < 1e-6);
    assert!(info["u"]["min"].as_f64().unwrap() > 0.0);
    let figures = sandbox.json(
        "eval part.npz --pde darcy --param low=0.0201 --param high=0.3755 --param boundary=1 \
         --reference all.npz",
    );
    assert!((0.06..0.1).contains(&figures["solution_error"].as_f64().unwrap()), "{figures}");
}

#[test]
fn what_cannot_be_cropped_or_chosen_is_refused() {
    let sandbox = sandbox();
    sandbox.good("generate darcy --count 4 --grid 8 --out set");
    let refused = [
        format!("{BRING} --crop 1,0,1 --out x.npz"),
        format!("{BRING} --crop 8,8,0,0 --out x.npz"),
        format!("{BRING} --samples 40..51 --out x.npz"),
        format!("{BRING} --samples 7..7 --out x.npz"),
        "data import set --crop 1,0,1,0 --out x.npz".into(),
    ];
    let runs: Vec<_> = refused.iter().map(|line| sandbox.run(line)).collect();
    assert!(runs.iter().all(|run| run.code == Some(2)));
    all_match("error-import", &runs);
}
