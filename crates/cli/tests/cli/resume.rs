//! Interruption and resumption in fresh processes: bit for bit as if nothing had happened.

use std::time::{Duration, Instant};

use phys_instruct::store::weights::{self, Bundle};
use serde_json::json;

use crate::sandbox::{PHASES, Sandbox, TINY};

fn checkpoint(sandbox: &Sandbox, run: &str) -> Bundle {
    weights::read(&sandbox.path(run).join("checkpoint.safetensors")).unwrap()
}

fn assert_same(sandbox: &Sandbox, runs: [&str; 2]) {
    for file in ["checkpoint.safetensors", "model.safetensors"] {
        let [one, other] =
            runs.map(|run| weights::read(&sandbox.path(run).join(file)).unwrap().tensors);
        assert!(one.len() > 10);
        let keys: Vec<_> = one.keys().filter(|key| one.get(*key) != other.get(*key)).collect();
        assert!(keys.is_empty() && one.len() == other.len(), "{file}: {keys:?} differ");
    }
}

#[test]
fn a_teacher_of_20_steps_is_one_of_10_and_10() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out whole");
    let pause = sandbox.good("train tiny.toml --out parts --until 10");
    assert!(pause.stdout.contains("10 of 20"), "{}", pause.stdout);
    assert!(pause.stderr.contains("parts: a new run"), "{}", pause.stderr);
    assert!(!sandbox.path("parts/model.safetensors").exists());
    assert_ne!(checkpoint(&sandbox, "parts").tensors, checkpoint(&sandbox, "whole").tensors);
    let rest = sandbox.good("train tiny.toml --out parts");
    assert!(rest.stderr.contains("parts: goes on"), "{}", rest.stderr);
    assert_same(&sandbox, ["whole", "parts"]);
    let steps = |run: &str| {
        let text = std::fs::read_to_string(sandbox.path(run).join("metrics.jsonl")).unwrap();
        text.lines().count()
    };
    assert_eq!((steps("whole"), steps("parts")), (4, 4));
}

#[test]
fn a_student_of_10_steps_is_one_of_4_and_6() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    let distill = "distill tiny.toml --teacher teacher --set distill.warm-start.steps=3";
    sandbox.good(&format!("{distill} --out whole"));
    sandbox.good(&format!("{distill} --out parts --until 2"));
    sandbox.good(&format!("{distill} --out parts --until 7"));
    sandbox.good(&format!("{distill} --out parts"));
    assert_same(&sandbox, ["whole", "parts"]);
}

#[test]
fn an_anchored_student_is_one_stopped_in_every_phase() {
    let sandbox = Sandbox::new();
    sandbox.good(
        "train tiny.toml --out teacher --set coordinates.kind='joint' \
         --set coordinates.modes=4 --set coordinates.linear_predictor=true",
    );
    sandbox.write("phases.toml", format!("{TINY}{PHASES}").as_bytes());
    let distill = "distill phases.toml --teacher teacher --set distill.warm-start.steps=2 \
                   --steps 3";
    sandbox.good(&format!("{distill} --out whole"));
    for until in [1, 2, 4, 5, 6, 8] {
        sandbox.good(&format!("{distill} --out parts --until {until}"));
    }
    sandbox.good(&format!("{distill} --out parts"));
    assert_same(&sandbox, ["whole", "parts"]);
    let on = "distill phases.toml --teacher whole --unset distill.matching \
              --set distill.anchored.steps=2 --out on";
    sandbox.good(on);
    assert_ne!(checkpoint(&sandbox, "on").tensors, checkpoint(&sandbox, "whole").tensors);
}

#[test]
fn a_run_of_an_older_version_s_keys_goes_on() {
    let sandbox = Sandbox::new();
    let [train, distill] =
        ["train tiny.toml", "distill tiny.toml --teacher whole-teacher --set distill.skip=mean"];
    for (verb, role) in [(train, "teacher"), (distill, "student")] {
        sandbox.good(&format!("{verb} --out whole-{role}"));
        let run = format!("parts-{role}");
        sandbox.good(&format!("{verb} --out {run} --until 4"));

        // An older version had a key that means nothing today, in the folder and the checkpoint.
        let config = sandbox.path(&run).join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let older = text.replacen("[net]\n", "[net]\nattention = []\n", 1);
        assert_ne!(text, older);
        std::fs::write(&config, older).unwrap();
        let path = sandbox.path(&run).join("checkpoint.safetensors");
        let mut checkpoint = weights::read(&path).unwrap();
        checkpoint.metadata["config"]["net"]["attention"] = serde_json::json!([]);
        checkpoint.metadata["origin"]["config"] = "0".repeat(64).into();
        weights::write(&path, &checkpoint).unwrap();

        let other = sandbox.run(&format!("{verb} --out {run} --set data.count=60"));
        assert_eq!(other.code, Some(2), "{}", other.stderr);
        sandbox.good(&format!("{verb} --out {run}"));
        assert_same(&sandbox, [&format!("whole-{role}"), &run]);
    }
}

#[test]
fn an_operator_is_one_stopped_on_the_way() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    let distill = "distill tiny.toml --teacher teacher --set distill.operator.steps=8 \
                   --set distill.operator.net={width=8,multipliers=[1]} \
                   --set distill.operator.residual_weight=0.3 --steps 3";
    sandbox.good(&format!("{distill} --out whole"));
    for until in [2, 3, 6, 10] {
        sandbox.good(&format!("{distill} --out parts --until {until}"));
    }
    sandbox.good(&format!("{distill} --out parts"));
    assert_same(&sandbox, ["whole", "parts"]);
    let drawn = |run: &str, options: &str| {
        sandbox.good(&format!("sample {run} --count 2 --calls 2 --out drawn.npz {options}"));
        std::fs::read(sandbox.path("drawn.npz")).unwrap()
    };
    assert_eq!(drawn("whole", ""), drawn("parts", ""));

    // A run that is finished keeps its model to the byte.
    let model = || std::fs::read(sandbox.path("whole/model.safetensors")).unwrap();
    let before = model();
    sandbox.good(&format!("{distill} --out whole"));
    assert!(before == model(), "the model changed");

    // The generator is the one that the operator was trained beside.
    sandbox.good("distill tiny.toml --teacher teacher --steps 3 --out joint");
    assert_eq!(drawn("whole", "--joint"), drawn("joint", ""));
    let refused = sandbox.run("sample joint --joint --count 2");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("no operator"), "{}", refused.stderr);

    // Pairs that are no longer the same are noticed.
    let other = sandbox.run(&format!("{distill} --out parts --set data.count=65"));
    assert_eq!(other.code, Some(2), "{}", other.stderr);
}

#[test]
fn an_operator_is_not_left_behind() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    let operator = "--set distill.operator.steps=2 \
                    --set distill.operator.net={width=8,multipliers=[1]}";
    sandbox.good(&format!("distill tiny.toml --teacher teacher {operator} --out student"));
    let on = "distill tiny.toml --teacher student --unset distill.matching \
              --set distill.anchored.steps=2 --out on";
    let refused = sandbox.run(on);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("has an operator, which would be lost"), "{}", refused.stderr);
    sandbox.good(&format!("{on} {operator}"));
}

#[test]
fn a_student_of_a_coarser_grid_goes_on_on_a_finer_one() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    let operator = |patch: usize| {
        format!("--set distill.operator.net={{width=8,multipliers=[1],patch={patch}}}")
    };
    let coarse = "distill tiny.toml --teacher teacher --set distill.operator.steps=4";
    sandbox.good(&format!("{coarse} {} --out coarse", operator(1)));
    let told = sandbox.json("model info coarse");

    let (head, _) = TINY.split_once("[[distill.phase]]").unwrap();
    let finer = head.replace("grid = 8", "grid = 16").replace("[5.0, 1.0]", "[10.0, 2.0]");
    let phases = "[[distill.phase]]\nkind = 'calibrate'\n\
                  [[distill.phase]]\nkind = 'operator'\nsteps = 6\ngo_on = true\nsees_residual = true\n";
    sandbox.write("finer.toml", (finer + phases).as_bytes());
    let finer = "distill finer.toml --teacher coarse";
    let whole = format!("{finer} {}", operator(2));
    sandbox.good(&format!("{whole} --out whole"));
    let fine = sandbox.json("model info whole");
    assert_eq!(fine["record"]["parent"], told["sha256"]);
    assert_eq!([&fine["net"]["patch"], &fine["grid"]], [&json!(4), &json!(16)]);

    // Interrupted before and within the operator's phase.
    for until in [1, 4] {
        sandbox.good(&format!("{whole} --out parts --until {until}"));
    }
    sandbox.good(&format!("{whole} --out parts"));
    assert_same(&sandbox, ["whole", "parts"]);

    let other_levels = format!("{whole} --set distill.levels=[5,1] --out other");
    sandbox.refuses(&other_levels, "keeps its levels [10.0, 2.0]");
    let other_net = format!("{finer} {} --out other", operator(1));
    sandbox.refuses(&other_net, "has one of the network");
    let blind = "--set distill.operator.sees_residual=false --out other";
    let blind = format!("distill finer.toml --teacher whole {} {blind}", operator(2));
    sandbox.refuses(&blind, "and 1 sweeps that does not follow another and sees the residual");
    assert!(!sandbox.path("other").exists(), "a run was begun");
}

#[test]
fn a_phase_remembers_only_what_it_needs() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    sandbox.write("phases.toml", format!("{TINY}{PHASES}").as_bytes());
    let distill = "distill phases.toml --teacher teacher --set distill.warm-start.steps=2 \
                   --steps 3 --out run";
    for (until, phase, kept, gone) in [
        (1, "warm-start", "net.", ["auxiliary.", "anchor."]),
        (5, "matching", "auxiliary.", ["calibration.", "anchor."]),
        (6, "anchored", "calibration.", ["auxiliary.", "auxiliary_optimizer."]),
        (10, "anchored", "anchor.", ["auxiliary.", "auxiliary_optimizer."]),
    ] {
        sandbox.good(&format!("{distill} --until {until} --set distill.log_every=1"));
        let tensors = checkpoint(&sandbox, "run").tensors;
        let has = |prefix: &str| tensors.keys().any(|name| name.starts_with(prefix));
        assert!(has(kept) && !gone.iter().any(|prefix| has(prefix)), "{until}");
        let text = std::fs::read_to_string(sandbox.path("run/metrics.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&last["phase"], &last["step"]), (&phase.into(), &until.into()));
    }

    // The last calibration measures the solution anew, and leaves the input's as it was.
    let shift = |run: &str| {
        let model = weights::read(&sandbox.path(run).join("model.safetensors")).unwrap();
        model.tensors["calibration.1.shift"].data.clone()
    };
    sandbox.good(&distill.replace("--out run", "--unset distill.phase[3] --out once"));
    let [run, once] = ["run", "once"].map(shift);
    let area = 64;
    assert_eq!(run[..area], once[..area]);
    assert_ne!(run[area..], once[area..]);
}

#[test]
fn a_finished_run_goes_on_to_more_steps() {
    let sandbox = Sandbox::new();
    let steps = |run: &str| checkpoint(&sandbox, run).metadata["card"]["steps"].clone();
    sandbox.good("train tiny.toml --out teacher");
    let first = checkpoint(&sandbox, "teacher").tensors;
    let on = sandbox.good("train tiny.toml --out teacher --steps 30");
    assert!(on.stderr.contains("goes on to more steps"), "{}", on.stderr);
    assert_eq!(steps("teacher"), 30);
    assert_ne!(checkpoint(&sandbox, "teacher").tensors, first);

    // Neither fewer steps nor anything else beside more steps.
    for other in ["--steps 20", "--steps 40 --seed 9"] {
        let refused = sandbox.run(&format!("train tiny.toml --out teacher {other}"));
        assert_eq!(refused.code, Some(2), "{other}: {}", refused.stderr);
        assert!(refused.stderr.contains("another config"), "{other}: {}", refused.stderr);
    }
    sandbox.good("train tiny.toml --out parts");
    sandbox.good("train tiny.toml --out parts --steps 30 --until 25");
    sandbox.good("train tiny.toml --out parts --steps 30");
    assert_same(&sandbox, ["teacher", "parts"]);

    // More of the last phase that takes steps, though a calibration comes after it.
    sandbox.write("phases.toml", format!("{TINY}{PHASES}").as_bytes());
    let distill =
        "distill phases.toml --teacher teacher --set distill.anchored.steps=3 --out student";
    sandbox.good(distill);
    sandbox.good(&distill.replace("anchored.steps=3", "anchored.steps=5"));
    assert_eq!(steps("student"), 15);
    let earlier = sandbox.run(&format!("{distill} --steps 20"));
    assert_eq!(earlier.code, Some(2), "{}", earlier.stderr);
}

#[test]
fn a_refused_command_leaves_its_run_alone() {
    let sandbox = Sandbox::new();
    let train = "train tiny.toml --set data.path=set.npz --out run";
    let data = |seed| {
        sandbox.good(&format!("generate poisson --count 80 --grid 8 --seed {seed} --out set.npz"));
    };
    data(1);
    sandbox.good(train);

    // More steps on other data: neither the run nor its config changes.
    data(2);
    let refused = sandbox.run(&format!("{train} --steps 40"));
    assert!(refused.stderr.contains("another data"), "{}", refused.stderr);
    data(1);
    sandbox.good(train);
}

#[test]
fn a_run_that_pauses_after_a_skipped_step_has_not_failed() {
    let sandbox = Sandbox::new();
    let train = "train tiny.toml --steps 200 --set diffusion.ln_sigma_std=24";
    let skipped = |seed: &u64| {
        sandbox.good(&format!("{train} --seed {seed} --out run-{seed} --until 1"));
        checkpoint(&sandbox, &format!("run-{seed}")).metadata["skipped"] == 1
    };
    assert!((1..40).any(|seed| skipped(&seed)), "no first step was skipped");
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out whole");
    for until in [5, 10] {
        sandbox.good(&format!("train tiny.toml --out parts --until {until}"));
    }
    let newest = sandbox.path("parts/checkpoint.safetensors");
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let resumed = sandbox.good("train tiny.toml --out parts");
    assert!(resumed.stderr.contains("warning: "), "{}", resumed.stderr);
    assert_same(&sandbox, ["whole", "parts"]);
}

/// Wide noise levels overflow in some steps, which are skipped; their loss is no number.
#[test]
fn a_training_with_skipped_steps_goes_on_to_the_same_bytes() {
    let sandbox = Sandbox::new();
    let train = "train tiny.toml --steps 200 --set train.log_every=50 \
                 --set diffusion.ln_sigma_std=24";
    sandbox.good(&format!("{train} --out whole"));
    for until in [70, 149, 149] {
        let pause = sandbox.good(&format!("{train} --out parts --until {until}"));
        assert!(pause.stdout.contains(&format!("{until} of 200")), "{}", pause.stdout);
    }
    sandbox.good(&format!("{train} --out parts"));
    let skipped = &checkpoint(&sandbox, "whole").metadata["skipped"];
    assert!(skipped.as_u64().is_some_and(|n| (1..100).contains(&n)), "{skipped}");
    assert_same(&sandbox, ["whole", "parts"]);

    // The mean loss over skipped and other steps comes out the same to the bit, pauses and all.
    let losses = ["whole", "parts"].map(|run| {
        let text = std::fs::read_to_string(sandbox.path(run).join("metrics.jsonl")).unwrap();
        let line = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|text| line(text)["loss"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(losses[0], losses[1]);
}

#[test]
fn a_training_of_skipped_steps_fails_and_leaves_its_folder_free() {
    let sandbox = Sandbox::new();
    let failed = sandbox.run("train tiny.toml --set diffusion.ln_sigma_std=2000 --out run");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("diffusion.ln_sigma_std"), "{}", failed.stderr);
    assert!(!sandbox.path("run/model.safetensors").exists());
    sandbox.good("train tiny.toml --out run");
}

#[test]
fn a_checkpoint_made_from_other_data_or_another_teacher_is_not_taken() {
    let sandbox = Sandbox::new();
    let train = "train tiny.toml --set data.path=set.npz --out run";
    sandbox.good("generate poisson --count 80 --grid 8 --seed 1 --out set.npz");
    sandbox.good(&format!("{train} --until 4"));
    sandbox.good("generate poisson --count 80 --grid 8 --seed 2 --out set.npz");
    let refused = sandbox.run(train);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("another data"), "{}", refused.stderr);

    let distill = "distill tiny.toml --teacher teacher --out student";
    sandbox.good("train tiny.toml --out teacher");
    sandbox.good(&format!("{distill} --until 4"));
    std::fs::remove_dir_all(sandbox.path("teacher")).unwrap();
    sandbox.good("train tiny.toml --seed 4 --out teacher");
    let refused = sandbox.run(distill);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("another teacher"), "{}", refused.stderr);
}

/// A checkpoint's description of its model is compared with the training before anything is built.
#[test]
fn a_checkpoint_of_another_model_is_not_taken() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out teacher");
    let distill = "distill tiny.toml --teacher teacher --out student";
    for (run, command) in [("run", "train tiny.toml --out run"), ("student", distill)] {
        sandbox.good(&format!("{command} --until 4"));
        let path = sandbox.path(run).join("checkpoint.safetensors");
        let whole = checkpoint(&sandbox, run);
        for (field, value) in [
            ("grid", json!(16)),
            ("grid", json!(1u64 << 40)),
            ("channels", json!(["a"])),
            ("levels", json!([5.0])),
            ("net", json!({ "width": 1u64 << 40 })),
        ] {
            let mut changed = whole.clone();
            changed.metadata["card"][field] = value.clone();
            weights::write(&path, &changed).unwrap();
            let refused = sandbox.run(command);
            assert_eq!(refused.code, Some(2), "{field} = {value}: {}", refused.stderr);
            let named = format!("another model: {field}");
            assert!(refused.stderr.contains(&named), "{field} = {value}: {}", refused.stderr);
        }
    }
}

/// A training that goes on until it is stopped, after its first line of metrics.
#[cfg(unix)]
fn endless(sandbox: &Sandbox, run: &str) -> std::process::Child {
    let mut command = sandbox.command(&format!("train tiny.toml --steps 1000000 --out {run}"));
    let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !sandbox.path(run).join("metrics.jsonl").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no step within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

#[cfg(unix)]
fn send(signal: &str, child: &std::process::Child) {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
}

#[test]
#[cfg(unix)]
fn one_process_at_a_time_writes_a_run() {
    let sandbox = Sandbox::new();
    let mut child = endless(&sandbox, "run");
    let second = sandbox.run("train tiny.toml --steps 1000000 --out run");
    send("-KILL", &child);
    child.wait().unwrap();
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    let name = format!("process {}", child.id());
    assert!(second.stderr.contains(&name), "{name}: {}", second.stderr);

    // What the killed process left neither blocks nor stays.
    let path = |name: &str| sandbox.path("run").join(name);
    assert!(path(".lock").exists());
    std::fs::write(path(".phys-instruct-abcdef"), b"half").unwrap();
    let metrics = std::fs::read_to_string(path("metrics.jsonl")).unwrap();
    std::fs::write(path("metrics.jsonl"), metrics + "{\"step\": 1").unwrap();
    sandbox.good("train tiny.toml --steps 1000000 --out run --until 5");
    assert!(!path(".lock").exists() && !path(".phys-instruct-abcdef").exists());
    let metrics = std::fs::read_to_string(path("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(serde_json::from_str::<serde_json::Value>);
    assert_eq!(lines.map(|line| line.unwrap()["step"].as_u64()).collect::<Vec<_>>(), [Some(5)]);
}

#[test]
#[cfg(unix)]
fn sighup_writes_the_checkpoint_first() {
    if phys_instruct::store::interrupt::hangup_ignored() {
        return;
    }
    let sandbox = Sandbox::new();
    let mut child = endless(&sandbox, "run");
    send("-HUP", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(checkpoint(&sandbox, "run").metadata["card"]["steps"].as_u64() >= Some(5));
}

#[test]
#[cfg(unix)]
fn a_stderr_that_is_gone_does_not_end_a_training() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("train tiny.toml --out run");
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(sandbox.path("run/model.safetensors").exists());
}

#[test]
#[cfg(unix)]
fn sigterm_writes_the_checkpoint_first() {
    let sandbox = Sandbox::new();
    let train = "train tiny.toml --steps 1000000";
    let mut child = endless(&sandbox, "cut");
    send("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let cut = checkpoint(&sandbox, "cut");
    let step = cut.metadata["card"]["steps"].as_u64().unwrap();
    assert!((5..1_000_000).contains(&step), "{step}");
    let until = step + 5;
    let resumed = sandbox.good(&format!("{train} --out cut --until {until}"));
    assert!(resumed.stdout.contains(&format!("{until} of 1000000")), "{}", resumed.stdout);
    sandbox.good(&format!("{train} --out straight --until {until}"));
    let [cut, straight] = ["cut", "straight"].map(|run| checkpoint(&sandbox, run).tensors);
    assert!(cut == straight, "the interrupted run differs");
}
