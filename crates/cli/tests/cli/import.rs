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
    let info = sandbox.json("data info all.npz")["arrays"].take();
    assert!((info["a"]["min"].as_f64().unwrap() - 0.0201).abs() < 1e-6);
    assert!(info["u"]["min"].as_f64().unwrap() > 0.0);
    let figures = sandbox.json(
        "eval part.npz --pde darcy --param low=0.0201 --param high=0.3755 --param boundary=1 \
         --reference all.npz",
    );
    assert!((0.06..0.1).contains(&figures["solution_error"].as_f64().unwrap()), "{figures}");
}

#[test]
fn axes_are_told_by_the_equation_and_kept_beside_the_samples() {
    let sandbox = Sandbox::new();
    sandbox.good("generate navier-stokes --count 3 --grid 16 --out ns.npz");
    sandbox.good("data import ns.npz --pde navier-stokes --axes nxy --out turned.npz");
    let back = "data import turned.npz --pde navier-stokes --out back.npz";
    let told = sandbox.json(back);
    assert_eq!(told["axes"], json!("nxy"), "{told}");
    assert!(told["check"]["misfit"].as_f64().unwrap() < 0.01, "{told}");
    let [ns, back] = ["ns.npz", "back.npz"].map(|name| std::fs::read(sandbox.path(name)).unwrap());
    assert_eq!(ns, back);
    let kept = std::fs::read_to_string(sandbox.path("back.import.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept).unwrap(), told);
}

#[test]
fn data_of_another_equation_are_warned_of_and_not_trained_on() {
    let sandbox = Sandbox::new();
    sandbox.good("generate poisson --count 80 --grid 8 --out p.npz");
    let bring = "data import p.npz --pde poisson --scale u=3 --out wrong.npz";
    assert!(sandbox.good(bring).stderr.contains("no solutions of poisson"));
    assert_eq!(sandbox.good(&format!("{bring} --unchecked")).stderr, "");
    // Every warning on stderr is in the JSON answer too.
    let told = sandbox.run(&format!("{bring} --json"));
    let answer: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let warnings = answer["warnings"].as_array().unwrap();
    let lines: Vec<&str> =
        told.stderr.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    assert!(!lines.is_empty());
    assert_eq!(warnings.iter().map(|w| w.as_str().unwrap()).collect::<Vec<_>>(), lines);
    assert_eq!(sandbox.json(&format!("{bring} --unchecked"))["warnings"], json!([]));
    let train = "train tiny.toml --set data.path=wrong.npz --out run";
    let refused = sandbox.run(train);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--unchecked"), "{}", refused.stderr);
    sandbox.good(&format!("{train} --unchecked"));
    sandbox.good("train tiny.toml --set data.path=p.npz --out right");
}

#[test]
fn every_verb_that_takes_data_reads_every_format() {
    let sandbox = Sandbox::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../phys-instruct/tests/data");
    for name in ["structures.mat", "latest.h5"] {
        sandbox.write(name, &std::fs::read(folder.join(name)).unwrap());
    }
    let info = sandbox.json("data info structures.mat")["arrays"].take();
    assert_eq!(info["run/f_data"]["shape"], json!([3, 8, 8]));
    assert!(info["sparse"]["kind"].as_str().unwrap().contains("sparse"));
    let map = "--map a=run/f_data --map u=run/inner/phi_data";
    sandbox.good(&format!("data import structures.mat --pde poisson {map} --out x.npz"));
    let missing = sandbox.run("data import structures.mat --pde poisson --out x.npz");
    assert!(missing.stderr.contains("run/f_data"), "{}", missing.stderr);
    assert!(missing.stderr.contains("--map"), "{}", missing.stderr);
    sandbox.good("simulate poisson --input structures.mat --map run/f_data --out y.npz");
    sandbox.good("simulate poisson --input latest.h5 --map half --out y.npz");
    let many = sandbox.run("simulate poisson --input latest.h5 --out y.npz");
    assert!(many.stderr.contains("--map a=ARRAY"), "{}", many.stderr);
    sandbox.good("generate poisson --count 3 --grid 8 --out set");
    sandbox.good("simulate poisson --input set --out y.npz");
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
        format!("{BRING} --axes nyy --out x.npz"),
        format!("{BRING} --axes ntyx --map u=v --out x.npz"),
    ];
    let runs: Vec<_> = refused.iter().map(|line| sandbox.run(line)).collect();
    assert!(runs.iter().all(|run| run.code == Some(2)));
    all_match("error-import", &runs);
}
