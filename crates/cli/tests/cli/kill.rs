//! Processes killed (SIGKILL) at any moment, again and again: what the last one leaves is what one
//! that was never killed leaves, bit for bit.
//!
//! Ten kills each; `scripts/kill-loop` asks for more by `PHYS_INSTRUCT_KILLS`.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use phys_instruct::store::weights;
use phys_instruct_physics::rng;

use crate::sandbox::{PHASES, Sandbox, TINY};

/// The content of one file, as far as it is compared.
#[derive(Debug, PartialEq)]
enum Content {
    Bytes(Vec<u8>),
    /// All but the seconds, which no two runs share.
    Weights(weights::Bundle),
    Metrics(Vec<serde_json::Value>),
}

fn kills() -> usize {
    std::env::var("PHYS_INSTRUCT_KILLS").map_or(10, |text| text.parse().unwrap())
}

/// Every file of a folder without what tells the time.
fn contents(folder: &Path) -> BTreeMap<String, Content> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    // Which checkpoint is the one before depends on when it was written.
    let compared = named.filter(|(name, _)| name != "checkpoint.previous.safetensors");
    compared.map(|(name, path)| (name, content(&path))).collect()
}

fn content(path: &Path) -> Content {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let mut bundle = weights::read(path).unwrap();
            without_seconds(&mut bundle.metadata);
            without_seconds(&mut bundle.metadata["card"]);
            Content::Weights(bundle)
        }
        Some("jsonl") => {
            let text = std::fs::read_to_string(path).unwrap();
            let mut lines: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            lines.iter_mut().for_each(without_seconds);
            Content::Metrics(lines)
        }
        _ => Content::Bytes(std::fs::read(path).unwrap()),
    }
}

fn without_seconds(value: &mut serde_json::Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("seconds");
    }
}

/// Runs `line`, whose output is the folder `out`, to its end, and again with kills at random
/// moments of the first `most` milliseconds of a process; both must leave the same. A process that
/// ends before its kill begins the folder anew.
fn assert_kills_change_nothing(sandbox: &Sandbox, line: &str, out: &str, most: f64) {
    sandbox.good(&format!("{line} --out whole"));
    let whole = contents(&sandbox.path("whole"));
    let assert_whole = || {
        let found = contents(&sandbox.path(out));
        let names = |all: &BTreeMap<String, Content>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&whole));
        if let (Some(Content::Metrics(one)), Some(Content::Metrics(other))) =
            (whole.get("metrics.jsonl"), found.get("metrics.jsonl"))
        {
            assert_eq!(one, other);
        }
        let changed: Vec<_> = whole.keys().filter(|name| found[*name] != whole[*name]).collect();
        assert!(changed.is_empty(), "{changed:?} differ");
    };

    let mut moments = rng::stream(1, line, 0, 0);
    let mut killed = 0;
    while killed < kills() {
        let mut command = sandbox.command(&format!("{line} --out {out}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(1e-3 * most * rng::uniform(&mut moments)));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            continue;
        }
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_whole();
        std::fs::remove_dir_all(sandbox.path(out)).unwrap();
    }
    sandbox.good(&format!("{line} --out {out}"));
    assert_whole();
    println!("{killed} kills: {line}");
}

#[test]
fn a_killed_training_with_skipped_steps_ends_with_the_same_weights() {
    let sandbox = Sandbox::new();
    let line = "train tiny.toml --steps 2000 --set train.log_every=50 \
                --set diffusion.ln_sigma_std=24 --set train.checkpoint_minutes=0.01";
    assert_kills_change_nothing(&sandbox, line, "killed", 900.0);
    let skipped =
        &weights::read(&sandbox.path("killed/checkpoint.safetensors")).unwrap().metadata["skipped"];
    assert!(skipped.as_u64().is_some_and(|n| (1..1000).contains(&n)), "{skipped}");
}

#[test]
fn a_killed_distillation_ends_with_the_same_weights() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    sandbox.write("phases.toml", format!("{TINY}{PHASES}").as_bytes());
    let line = "distill phases.toml --teacher teacher --set distill.checkpoint_minutes=0.01 \
                --set distill.warm-start.steps=150 --steps 200 \
                --set distill.evaluate_every=100 --set distill.anchored.steps=100";
    assert_kills_change_nothing(&sandbox, line, "killed", 900.0);
}

#[test]
fn a_killed_data_set_is_completed_to_the_same_bytes() {
    let sandbox = Sandbox::new();
    let line = "generate poisson --count 6000 --grid 32 --shard 200";
    assert_kills_change_nothing(&sandbox, line, "killed", 300.0);
}

/// A single file is there whole, as before or as after.
#[test]
fn a_killed_file_is_the_old_one_or_the_new_one() {
    let sandbox = Sandbox::new();
    let make = |seed: u32, out: &str| {
        format!("generate poisson --count 600 --grid 32 --seed {seed} --out {out}")
    };
    let [old, new] = [(1, "old.npz"), (2, "new.npz")].map(|(seed, out)| {
        sandbox.good(&make(seed, out));
        std::fs::read(sandbox.path(out)).unwrap()
    });
    let mut moments = rng::stream(1, "file", 0, 0);
    for _ in 0..kills() {
        sandbox.write("x.npz", &old);
        let mut command = sandbox.command(&make(2, "x.npz"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(0.15 * rng::uniform(&mut moments)));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = std::fs::read(sandbox.path("x.npz")).unwrap();
        assert!(found == old || found == new, "{} bytes found", found.len());
    }
}
