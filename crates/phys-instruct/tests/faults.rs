//! Writes that fail at byte n, for every kind of file: the system refuses to let a file grow
//! beyond n bytes (RLIMIT_FSIZE), which it does in the middle of a write as a full disk would.
//!
//! A limit holds for a whole process, so that the test runs itself again under each.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use phys_instruct_physics::Grid;
use phys_instruct_physics::poisson::Poisson;
use serde_json::json;

use phys_instruct::Result;
use phys_instruct::bench::row::append_row;
use phys_instruct::condition::{Observation, Observations, files};
use phys_instruct::store::weights::{Array, Bundle};
use phys_instruct::store::{NdArray, Plan, Run, dataset, npy, npz, weights};

const CHILD: &str = "PHYS_INSTRUCT_TEST_FAULT";
const NAME: &str = "a_write_that_fails_at_byte_n_leaves_what_was_there";

/// The files that are written, each by its own writer, with content number 0 or 1.
type Writer = (&'static str, fn(&Path, usize) -> Result<()>);

const WRITERS: [Writer; 7] = [
    ("model.safetensors", |path, n| weights::write(path, &bundle(n))),
    ("packed.safetensors", |path, n| weights::write_packed(path, &bundle(n), &["net."])),
    ("array.npy", |path, n| npy::write(path, &array(n))),
    ("arrays.npz", |path, n| npz::write(path, &[("a", &array(n)), ("u", &array(n))])),
    ("observations.csv", |path, n| files::write(path, &observations(n), &Poisson::default())),
    ("rows.jsonl", |path, n| append_row(path, &json!({ "row": "x".repeat(200), "n": n }))),
    ("new/config.toml", |path, n| {
        Run::create(path.parent().unwrap(), &"# a config\n".repeat(20 + n)).map(drop)
    }),
];

const PLAN: Plan = Plan { grid: Grid::square(8), count: 4, seed: 1, shard_size: 2, part: None };

fn array(n: usize) -> NdArray {
    NdArray::from_f32(vec![8, 9], vec![n as f32; 72]).unwrap()
}

fn bundle(n: usize) -> Bundle {
    let tensor = Array { shape: vec![10], data: vec![n as f32; 10] };
    let tensors = BTreeMap::from([("net.a".into(), tensor.clone()), ("b".into(), tensor)]);
    Bundle { metadata: json!({ "step": n }), tensors }
}

fn observations(n: usize) -> Observations {
    let channels = ["a".to_owned(), "u".to_owned()];
    let point = |row| Observation { channel: 1, row, column: 2.0, value: n as f64, sd: None };
    Observations::new(&channels, Grid::square(8), (0..8).map(|row| point(f64::from(row))).collect())
        .unwrap()
}

/// Every file below a folder, to the byte.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            let inner = contents(&entry.path()).into_iter();
            all.extend(inner.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            all.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    all
}

/// Makes the data set, or resumes it.
fn make_set(folder: &Path) -> Result<()> {
    let stop = AtomicBool::new(false);
    dataset::generate(&Poisson::default(), PLAN, folder, &mut |_| {}, &stop).map(drop)
}

/// Writes the first content of everything.
fn prepare(folder: &Path) {
    for (name, write) in WRITERS {
        write(&folder.join(name), 0).unwrap();
    }
    let run = Run::create(&folder.join("run"), "").unwrap();
    run.write_checkpoint(&bundle(0)).unwrap();
    run.append_metrics(&json!({ "step": 0 })).unwrap();
}

/// Writes everything anew in a process whose files may not grow beyond some bytes. Each write
/// either succeeds, or fails and changes nothing.
fn write_all(folder: &Path) {
    let mut before = contents(folder);
    let mut check = |file: &str, answer: Result<()>| {
        let after = contents(folder);
        match answer {
            Err(error) => {
                assert!(error.to_string().contains(file), "{file}: {error}");
                assert!(error.to_string().contains("make room"), "{file}: {error}");
                assert!(after == before, "{file} changed: {:?}", after.keys());
                println!("failed");
            }
            Ok(()) => before = after,
        }
    };
    for (name, write) in WRITERS {
        check(name, write(&folder.join(name), 1));
    }

    let run = Run::open(&folder.join("run")).unwrap().0;
    check("checkpoint.next.safetensors", run.write_checkpoint(&bundle(1)));
    check("metrics.jsonl", run.append_metrics(&json!({ "step": 1, "loss": 0.125 })));
    let restored = run.restore(&mut |checkpoint| {
        println!("checkpoint {}", checkpoint.metadata["step"]);
        Ok(())
    });
    assert_eq!(restored.unwrap().unwrap().warning, None);
    assert!(!run.metrics().unwrap().is_empty());
    // A lock that cannot be signed, a shard or a manifest.
    if let Err(error) = make_set(&folder.join("set")) {
        assert!(error.to_string().contains("/set/"), "{error}");
    }
}

#[test]
fn a_write_that_fails_at_byte_n_leaves_what_was_there() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return write_all(Path::new(&folder));
    }

    let whole = tempfile::tempdir().unwrap();
    make_set(whole.path()).unwrap();
    let whole = contents(whole.path());
    // Every file is longer than the smallest limits, and the largest is above them all.
    for limit in (0..40).step_by(5).chain((40..1200).step_by(67)).chain([4000]) {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let limited = format!("trap '' XFSZ; exec prlimit --fsize={limit} -- \"$0\" \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &limited])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{limit} bytes: {text}{output:?}");
        let failed = text.matches("failed\n").count();
        match limit {
            0..20 => assert_eq!(failed, WRITERS.len() + 2, "{limit} bytes: {text}"),
            4000 => assert_eq!(failed, 0, "{text}"),
            _ => {}
        }

        // Without a limit the set is completed to the same bytes, and nothing else is left.
        make_set(&folder.path().join("set")).unwrap();
        assert!(contents(&folder.path().join("set")) == whole, "{limit} bytes");
        let left = contents(folder.path());
        assert!(!left.keys().any(|name| name.contains(".phys-instruct-")), "{:?}", left.keys());
    }
}
