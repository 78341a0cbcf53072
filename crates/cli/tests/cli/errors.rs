//! Every refusal: its exit code, and a message that says what was found and what was expected.

use phys_instruct::store::{NdArray, npy, npz};

use crate::sandbox::{Run, Sandbox, TINY, all_match};

fn refused(sandbox: &Sandbox, lines: &[&str]) -> Vec<Run> {
    let runs: Vec<Run> = lines.iter().map(|line| sandbox.run(line)).collect();
    for (run, line) in runs.iter().zip(lines) {
        assert!(run.code.is_some_and(|code| code != 0), "{line} was not refused");
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
    runs
}

fn usage(sandbox: &Sandbox, lines: &[&str]) -> Vec<Run> {
    let runs = refused(sandbox, lines);
    let odd = runs.iter().zip(lines).find(|(run, _)| run.code != Some(2));
    assert!(odd.is_none(), "{:?}", odd.map(|o| o.1));
    runs
}

#[test]
fn words_and_flags() {
    let sandbox = Sandbox::new();
    let runs = usage(
        &sandbox,
        &[
            "generate posson --out x",
            "sample posson",
            "sample nowhere",
            "sample poisson",
            "sample models/none.safetensors",
            "generate poisson --out x --colour",
            "generate poisson",
            "generate poisson --out x --count 0",
            "generate poisson --out x --grid 2",
            "generate poisson --out x.mat",
            "generate helmholtz --out x --param kk=2",
            "generate helmholtz --out x --param k",
            "generate darcy --out x --param low=-1",
            "sample poisson --calls 0",
            "sample poisson --calls many",
            "sample poisson --out x.gif",
            "train tiny.toml --threads 0",
            "train tiny.toml --device tpu",
            "data verify x --device gpu",
            "generate poisson --out x --device gpu",
            "tran tiny.toml",
        ],
    );
    all_match("error-words-and-flags", &runs);
}

#[test]
fn configs() {
    let sandbox = Sandbox::new();
    sandbox.write("syntax.toml", b"pde = \n");
    sandbox.write("missing.toml", b"grid = 16\n");
    sandbox.write("unknown.toml", b"pde = 'poisson'\ngrid = 16\n[train]\nstep = 3\n");
    sandbox.write("type.toml", b"pde = 'poisson'\ngrid = 'large'\n");
    sandbox.write("word.toml", b"pde = 'poisson'\ngrid = 16\n[coordinates]\nkind = 'mode'\n");
    sandbox.write("range.toml", b"pde = 'poisson'\ngrid = 16\n[net]\npatch = 3\n");
    sandbox.write("pde.toml", b"pde = 'posson'\ngrid = 16\n");
    sandbox.write("bytes.toml", &[0xff, 0xfe, 0x00]);
    let lines = [
        "train nowhere.toml",
        "train syntax.toml",
        "train missing.toml",
        "train unknown.toml",
        "train type.toml",
        "train word.toml",
        "train range.toml",
        "train pde.toml",
        "train bytes.toml",
        "train tiny.toml --set train.steps",
        "train tiny.toml --set train.stepps=3",
        "train tiny.toml --set train.steps=many",
        "train tiny.toml --set train.steps=-3",
        "train tiny.toml --set grid.x=3",
        "train tiny.toml --set data.path=nowhere.npz",
        "train tiny.toml --unset train.step",
        "train tiny.toml --set distill.matching.step=3",
        "train tiny.toml --set distill.phase[1].steps=3",
        "train tiny.toml --set distill.anchored.optimizer.beta2=1.5",
        "train tiny.toml --set distill.anchored.residual_weight=-1",
        "train tiny.toml --set coordinates.noise=data --set coordinates.kind=pixel",
        "distill tiny.toml --unset distill",
        "distill tiny.toml",
        "distill tiny.toml --teacher nowhere",
    ];
    all_match("error-configs", &usage(&sandbox, &lines));
    let checks = refused(&sandbox, &["config check unknown.toml", "config check range.toml"]);
    assert!(checks.iter().all(|run| run.code == Some(1)));
    all_match("error-config-check", &checks);
}

#[test]
fn models() {
    let sandbox = Sandbox::with_models();
    let whole = std::fs::read(sandbox.path("student/model.safetensors")).unwrap();
    sandbox.write("short.safetensors", &whole[..whole.len() / 2]);
    sandbox.write("text.safetensors", b"not a model at all");
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    sandbox.write("nan.safetensors", &nan);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.write("other.toml", TINY.replace("grid = 8", "grid = 12").as_bytes());
    let runs = usage(
        &sandbox,
        &[
            "model info short.safetensors",
            "model info text.safetensors",
            "sample nan.safetensors",
            "sample empty",
            "model info teacher/checkpoint.safetensors",
            "sample student --calls 3",
            "distill tiny.toml --teacher student --out again",
            "distill other.toml --teacher teacher --out again",
            "train tiny.toml --out teacher --steps 30 --set train.batch=4",
        ],
    );
    all_match("error-models", &runs);
    #[cfg(not(feature = "gpu"))]
    sandbox.run("sample student --device gpu").matches("error-gpu");
}

#[test]
fn data() {
    let sandbox = Sandbox::new();
    sandbox.good("generate poisson --count 6 --grid 8 --shard 3 --out set");
    sandbox.good("generate poisson --count 6 --grid 8 --out set.npz");
    sandbox.good("generate burgers --count 2 --grid 16 --out line.npz");
    let whole = std::fs::read(sandbox.path("set.npz")).unwrap();
    sandbox.write("short.npz", &whole[..whole.len() / 2]);
    let runs = usage(
        &sandbox,
        &[
            "generate poisson --count 7 --grid 8 --shard 3 --out set",
            "data info nowhere",
            "data info short.npz",
            "data import set.npz --out y.npz",
            "data import line.npz --pde poisson --out y.npz",
            "data import set.npz --pde poisson --map b=u --out y.npz",
            "data import set.npz --pde poisson --scale a=large --out y.npz",
            "data import set.npz --pde poisson --out y.mat",
            "eval set.npz",
            "eval line.npz --pde poisson",
            "simulate burgers --input set.npz --out y.npz",
            "simulate navier-stokes --input set.npz --out y.npz",
            "simulate poisson --input set.npz --out y.png",
            "simulate helmholtz --input set.npz --param k=-1 --out y.npz",
            "train tiny.toml --set data.path=set.npz",
        ],
    );
    all_match("error-data", &runs);
    let negative = sandbox.run("simulate darcy --input set.npz --out y.npz");
    assert!(negative.code == Some(2) && negative.stderr.contains("expected above 0"));
    let shard = sandbox.path("set/shard-00001.npy");
    let mut bytes = std::fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let verify = sandbox.run("data verify set");
    assert_eq!(verify.code, Some(1));
    assert!(verify.stdout.contains("shard-00001.npy: SHA-256"), "{}", verify.stdout);
    assert!(verify.stderr.contains("1 of 2 damaged"), "{}", verify.stderr);
    sandbox.good("generate poisson --count 6 --grid 8 --shard 3 --out set");
    sandbox.good("data verify set");
}

/// A reader that goes away, as `head` does, is no error and no panic.
#[test]
#[cfg(unix)]
fn a_closed_pipe_is_no_error() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("config schema");
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
#[cfg(unix)]
fn outputs_that_are_no_files() {
    let sandbox = Sandbox::new();
    sandbox.write("file", b"kept");
    std::fs::create_dir(sandbox.path("folder.npz")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(sandbox.path("fifo.npz")).status();
    assert!(fifo.unwrap().success());
    std::os::unix::fs::symlink("/dev/null", sandbox.path("null.npz")).unwrap();
    let generate = "generate poisson --count 2 --grid 8";
    for (out, expected) in [
        ("folder.npz", "folder.npz: this is a folder"),
        ("fifo.npz", "fifo.npz: this is no ordinary file"),
        ("null.npz", "null.npz: this is no ordinary file"),
        ("file", "file: a folder expected"),
        ("file/x.npz", "file: a folder expected"),
        ("fifo.npz/set", "fifo.npz/set: "),
    ] {
        let run = sandbox.run(&format!("{generate} --out {out}"));
        assert_eq!(run.code, Some(2), "{out}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{out}: {}", run.stderr);
    }
    let run = sandbox.run("train tiny.toml --out file");
    assert!(run.code == Some(2) && run.stderr.contains("a folder expected"), "{}", run.stderr);
    assert_eq!(std::fs::read(sandbox.path("file")).unwrap(), b"kept");
}

/// A name of bytes that are no UTF-8 is an ordinary name.
#[test]
#[cfg(target_os = "linux")]
fn names_of_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::with_models();
    let named = |line: &str, bytes: &[u8]| {
        let name = std::ffi::OsStr::from_bytes(bytes);
        let output = sandbox.command(line).arg(name).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (line, bytes) in [
        ("generate poisson --count 80 --grid 8 --json --out", &b"\xff\xfe.npz"[..]),
        ("data import --pde poisson --json --out copy.npz", b"\xff\xfe.npz"),
        ("train tiny.toml --json --until 3 --out", b"\xff"),
        ("train tiny.toml --json --out", b"\xff"),
        ("model info", b"\xff"),
    ] {
        let (code, stderr) = named(line, bytes);
        assert_eq!(code, Some(0), "{line}: {stderr}");
    }
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 5");
    for name in [&b"\xff\xfe.npz"[..], b"\xff\xfe.html"] {
        let (code, stderr) = named("solve student --task inverse --obs obs.csv --out", name);
        assert_eq!(code, Some(0), "{stderr}");
    }
    let (code, stderr) = named("distill tiny.toml --teacher", b"\xff");
    assert!(code == Some(2) && stderr.contains("UTF-8"), "{stderr}");
}

#[test]
fn options_given_twice() {
    let sandbox = Sandbox::new();
    for line in [
        "train tiny.toml --seed 1 --seed 2",
        "train tiny.toml --set seed=1 --set seed=2",
        "train tiny.toml --set train.steps=5 --steps 6",
        "train tiny.toml --set train={steps=7} --set train.batch=8",
        "generate helmholtz --count 1 --out x.npz --param k=1 --param k=2",
        "doctor --threads 1 --threads 2",
        "--threads 1 doctor --threads 2",
        "--json doctor --json",
        "--memory-limit 1G doctor --memory-limit=2G",
        "data import x.npz --pde poisson --map a=b --map a=u --out y.npz",
        "data import x.npz --pde poisson --scale a=1,0 --scale a=2,0 --out y.npz",
    ] {
        let run = sandbox.run(line);
        assert_eq!(run.code, Some(2), "{line}: {}", run.stderr);
        let told = ["given twice", "multiple times"].iter().any(|part| run.stderr.contains(part));
        assert!(told, "{line}: {}", run.stderr);
    }
}

#[test]
fn an_output_never_replaces_what_the_command_reads() {
    let sandbox = Sandbox::with_models();
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 5");
    sandbox.good("generate poisson --count 2 --grid 8 --out set.npz");
    let files = ["obs.csv", "obs.truth.npz", "set.npz"].map(|name| sandbox.path(name));
    let before = files.clone().map(|file| std::fs::read(file).unwrap());

    let solve = "solve student --task inverse --obs obs.csv";
    for line in [
        format!("{solve} --out obs.csv"),
        format!("{solve} --table ./obs.csv"),
        format!("{solve} --truth obs.truth.npz --out obs.truth.npz"),
        "data import set.npz --pde poisson --out set.npz".into(),
        "simulate poisson --input set.npz --out set.npz".into(),
        "sample student --reference set.npz --out set.npz".into(),
    ] {
        sandbox.refuses(&line, "would replace a file that this command reads");
    }
    sandbox.refuses(&format!("{solve} --out a.csv --table a.csv"), "stands for two outputs");
    assert_eq!(files.map(|file| std::fs::read(file).unwrap()), before);
}

#[test]
fn files_of_another_kind_than_asked_for_are_told() {
    let sandbox = Sandbox::with_models();
    sandbox.write("matrix.txt", b"1.0 2.0 3.0\n4.0 5.0 6.0\n");
    let list = "matrix.txt: a list of files, one a line, expected";
    sandbox.refuses("solve student --task inverse --obs matrix.txt", list);

    let field = NdArray::from_f32(vec![8, 8], vec![0.5; 64]).unwrap();
    npz::write(&sandbox.path("u.npz"), &[("u", &field)]).unwrap();
    let solved = "simulate poisson --input u.npz --out solved.npz";
    sandbox.refuses(solved, "`u` is a solution of poisson");
    sandbox.good(&format!("{solved} --map a=u"));

    sandbox.write("wells.csv", b"y,x,u\n0.2,0.3,0.01\n0.5,0.5,-9999\n");
    let missing = "line 3: value `-9999` is a mark for a missing value";
    sandbox.refuses("solve student --task inverse --obs wells.csv", missing);
    let holes = NdArray::from_f32(vec![8, 8], vec![-9999.0; 64]).unwrap();
    npz::write(&sandbox.path("holes.npz"), &[("a", &holes), ("u", &field)]).unwrap();
    let missing = "channel `a`, sample 0: a value is NaN or a mark for a missing value";
    sandbox.refuses("data import holes.npz --pde poisson --out whole.npz", missing);
    npz::write(&sandbox.path("holes.npz"), &[("u", &holes)]).unwrap();
    let missing = "`u` has the value -9999, a mark for a missing value";
    sandbox.refuses("solve student --task inverse --obs holes.npz", missing);
}

/// Requests that no machine has the memory for, by every kind of number that asks for some.
#[test]
fn requests_beyond_the_memory_are_refused_at_once() {
    let sandbox = Sandbox::with_models();
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 5");
    // A line of a million points has a million million values over all times.
    let line = NdArray::from_f32(vec![1_000_000], vec![0.0; 1_000_000]).unwrap();
    npy::write(&sandbox.path("line.npy"), &line).unwrap();
    for line in [
        "sample student --count 1000000000",
        "eval student --count 1000000000",
        "generate poisson --count 1000000000 --out set.npz",
        "generate darcy --count 1000000000 --shard 1000000000 --grid 4096 --out set",
        "solve student --task inverse --obs obs.csv --ensemble 1000000000",
        "train tiny.toml --set train.batch=1000000000",
        "train tiny.toml --set data.count=1000000000",
        "train tiny.toml --set net.width=4096 --set net.blocks=64 --set net.multipliers=[64]",
        "distill tiny.toml --teacher teacher --set distill.batch=1000000000",
        "distill tiny.toml --teacher teacher --set data.validation=1000000000",
        "distill tiny.toml --teacher teacher --set distill.warm-start.batches=1000000000 \
         --set distill.warm-start.steps=1000000000",
        "sample student --count 1000 --memory-limit 1M",
        "simulate burgers --input line.npy --out solved.npz",
    ] {
        let refused = sandbox.run(line);
        assert_eq!(refused.code, Some(2), "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains("of memory, and "), "{line}: {}", refused.stderr);
    }
    // Numbers that take time alone have plain bounds.
    for line in [
        "sample student --calls 1000000000",
        "sample student --polish 1000000000",
        "sample student --threads 1000000000",
        "generate poisson --grid 1000000000 --out set.npz",
        "solve student --task inverse --obs obs.csv --rounds 1000000000",
    ] {
        let refused = sandbox.run(line);
        assert_eq!(refused.code, Some(2), "{line}: {}", refused.stderr);
    }
}

#[test]
fn with_json_an_error_is_json() {
    let sandbox = Sandbox::new();
    for (line, code, text) in [
        ("data info nowhere --json", 2, "nowhere"),
        ("sample poison --json", 2, "did you mean `poisson`?"),
        ("sample poisson --json --cuont 3", 2, "--cuont"),
        ("config check tiny.toml --json --set train.steps=0", 1, "train.steps"),
        ("--json doctor --json", 2, "given twice"),
    ] {
        let run = sandbox.run(line);
        let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!((run.code, &error["exit_code"]), (Some(code), &code.into()), "{line}");
        assert_eq!(error["schema"], 1);
        assert!(error["error"].as_str().unwrap().contains(text), "{}", run.stderr);
    }
    let help = sandbox.good("sample --json --help");
    assert!(help.stdout.contains("Usage: phys-instruct sample"));
}
