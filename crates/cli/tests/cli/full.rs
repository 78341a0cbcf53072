//! A disk that is full at byte n, for whole commands: the system lets no file grow beyond n bytes.
#![cfg(target_os = "linux")]

use std::process::Command;

use phys_instruct::store::weights;

use crate::sandbox::{Run, Sandbox};

/// Runs the command where no file may have more than `most` bytes.
fn limited(sandbox: &Sandbox, line: &str, most: u64) -> Run {
    let command = sandbox.command(line);
    let script = format!("trap '' XFSZ; exec prlimit --fsize={most} -- \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(sandbox.path("."));
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Run::of(shell.output().unwrap(), line)
}

/// The names in a folder and all folders below.
fn names(folder: &std::path::Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(names(&entry.path()));
        }
        all.push(entry.file_name().into_string().unwrap());
    }
    all
}

#[test]
fn a_full_disk_ends_a_command_with_its_file_s_name_and_costs_nothing() {
    let sandbox = Sandbox::with_models();
    sandbox.write("seen.csv", b"field,row,column,value\nu,2,3,0.01\n");
    for (command, out) in [
        ("train tiny.toml --out run", "run"),
        ("distill tiny.toml --teacher teacher --out run", "run"),
        ("generate poisson --count 40 --grid 8 --shard 10 --out set", "set"),
        ("generate poisson --count 40 --grid 8 --out set.npz", "set.npz"),
        ("sample student --count 4 --out drawn.npz", "drawn.npz"),
        ("sample student --count 4 --out drawn.png", "drawn.png"),
        (
            "solve student --task reconstruct --obs seen.csv --ensemble 4 --out answer.npz",
            "answer.npz",
        ),
        ("model pack student --out packed.safetensors", "packed.safetensors"),
    ] {
        for most in [0, 10, 700] {
            let run = limited(&sandbox, command, most);
            assert_eq!(run.code, Some(2), "{command}, {most} bytes: {}", run.stderr);
            assert!(run.stderr.contains("make room"), "{command}, {most} bytes: {}", run.stderr);
            assert!(run.stderr.contains(out), "{command}, {most} bytes: {}", run.stderr);
        }
        // With room again the same command does its work.
        sandbox.good(command);
        let scratch = |name: &&String| name.starts_with(".phys-instruct-") || *name == ".lock";
        assert_eq!(names(&sandbox.path(".")).iter().find(scratch), None, "{command}");
        if out == "run" {
            std::fs::remove_dir_all(sandbox.path(out)).unwrap();
        }
    }
}

#[test]
fn a_training_on_a_full_disk_keeps_its_checkpoint() {
    let sandbox = Sandbox::new();
    sandbox.good("train tiny.toml --out whole");
    sandbox.good("train tiny.toml --out run --until 10");
    let path = sandbox.path("run/checkpoint.safetensors");
    let before = std::fs::read(&path).unwrap();
    let size = before.len() as u64;
    // Not up to the last byte: the next checkpoint's numbers may take fewer digits.
    for most in [1000, size / 2, size - 200] {
        let run = limited(&sandbox, "train tiny.toml --out run", most);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("checkpoint.next.safetensors"), "{}", run.stderr);
        assert!(std::fs::read(&path).unwrap() == before, "{most} bytes");
    }
    sandbox.good("train tiny.toml --out run");
    let [whole, run] = ["whole", "run"]
        .map(|run| weights::read(&sandbox.path(run).join("model.safetensors")).unwrap().tensors);
    assert!(whole == run);
}
