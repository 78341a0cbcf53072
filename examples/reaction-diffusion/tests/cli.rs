//! The command line of the own program, verb after verb.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a command in `folder` that must succeed, and returns what it prints.
fn run(folder: &Path, line: &str) -> String {
    let program = env!("CARGO_BIN_EXE_reaction-diffusion-cli");
    let output = Command::new(program).args(line.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, line: &str) -> Value {
    serde_json::from_str(&run(folder, &format!("{line} --json"))).unwrap()
}

#[test]
fn every_list_names_the_own_pde() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| run(folder.path(), line);
    assert!(run("pde list").contains("reaction-diffusion"));
    let shown = run("pde show reaction-diffusion");
    assert!(shown.contains("D lap u - u^3 + a = 0") && shown.contains("0.01"), "{shown}");

    let help = run("--help");
    assert!(help.contains("burgers, reaction-diffusion"), "{help}");
    assert!(help.contains("Usage: reaction-diffusion-cli"), "{help}");
    assert!(run("completions bash").contains("-F _clap_complete_reaction_diffusion_cli"));
}

#[test]
fn data_and_models_of_the_own_pde_pass_from_verb_to_verb() {
    let folder = tempfile::tempdir().unwrap();
    let config = include_str!("../config.toml");
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let run = |line: &str| run(folder.path(), line);
    let json = |line: &str| json(folder.path(), line);

    run("generate reaction-diffusion --count 4 --grid 8 --param diffusion=0.02 --out data");
    assert_eq!(json("data info data")["recipe"]["pde"], "reaction-diffusion");
    run("data verify data");

    // Models of a few steps are bad ones, and yet files that every verb takes.
    run("train config.toml --count 32 --steps 2 --set net.width=8 --out teacher");
    let phases = "--set distill.warm-start.steps=1 --set distill.anchored.steps=1 --steps 2";
    run(&format!("distill config.toml --count 32 {phases} --teacher teacher --out student"));
    run("sample student --count 4 --out samples.npz");
    run("solve student --task inverse --make-obs obs.csv --points 20");
    run("solve student --task inverse --obs obs.csv --ensemble 4");

    let found = json("eval samples.npz --pde reaction-diffusion --reference samples.npz");
    assert!(found["pde_error"].as_f64().unwrap() > 0.0, "{found}");
}
