//! Jobs in parts: data, answers to many files, tables.

use serde_json::Value;

use crate::bench::{rows, sandbox as with_table_models};
use crate::sandbox::{Run, Sandbox};

#[test]
fn parts_of_a_data_set_are_verified_and_merged() {
    let sandbox = Sandbox::new();
    let generate = "generate poisson --count 10 --grid 8 --seed 3 --shard 4";
    sandbox.good(&format!("{generate} --out whole"));
    let second = sandbox.json(&format!("{generate} --part 2/3 --out parts/2"));
    assert_eq!((&second["count"], &second["first"]), (&3.into(), &3.into()));
    sandbox.good(&format!("{generate} --part 1/3 --out parts/1"));

    let missing = sandbox.run("data verify parts/1 parts/2");
    assert_eq!(missing.code, Some(1));
    assert!(missing.stdout.contains("part 3/3 is missing: samples 6 to 9"), "{}", missing.stdout);
    let early = sandbox.run("data merge parts/2 parts/1 --out merged");
    assert_eq!(early.code, Some(2));
    assert!(early.stderr.contains("part 3/3 is missing"), "{}", early.stderr);

    sandbox.good(&format!("{generate} --part 3/3 --out parts/3"));
    sandbox.good("data verify parts/1 parts/2 parts/3");
    sandbox.good("data merge parts/3 parts/2 parts/1 --out merged");
    for file in ["manifest.json", "shard-00000.npy", "shard-00002.npy"] {
        let read = |folder: &str| std::fs::read(sandbox.path(folder).join(file)).unwrap();
        assert!(read("merged") == read("whole"), "{file}");
    }
    assert!(sandbox.good("data info parts/2").stdout.contains("2/3 of 10 samples, from 3"));

    // More parts than samples: one without any is no fault.
    let empty = sandbox.good(&format!("{generate} --part 1/12 --out parts/empty"));
    assert!(empty.stderr.contains("none of 10 samples") && !sandbox.path("parts/empty").exists());
    // A part that is verified by itself is said to be one.
    let alone = sandbox.good("data verify parts/2").stdout;
    assert!(alone.contains("part 2/3 alone"), "{alone}");

    for (line, reason) in [
        (format!("{generate} --part 4/3 --out x"), "from 1 to the number of parts"),
        (format!("{generate} --part 1/3 --out x.npz"), "needs a folder"),
        (format!("{generate} --part 1/2 --out parts/1"), "another data set"),
    ] {
        sandbox.refuses(&line, reason);
    }
}

#[test]
fn many_files_are_answered_each_by_itself_and_a_log_is_gone_on_with() {
    let sandbox = Sandbox::with_models();
    for (name, seed) in [("b", 1), ("a", 2), ("c", 3)] {
        let make = format!("--make-obs obs/{name}.csv --points 20 --seed {seed}");
        sandbox.good(&format!("solve student --task inverse {make}"));
    }
    sandbox.write("obs/bad.csv", b"field,row,column,value\nw,1,1,2\n");

    let solve = "solve student --task inverse --ensemble 4 --seed 5";
    let all =
        format!("{solve} --obs obs --truth obs/{{}}.truth.npz --out out/{{}}.npz --log log.jsonl");
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    std::fs::copy(sandbox.path("obs/a.truth.npz"), sandbox.path("obs/bad.truth.npz")).unwrap();
    let first = sandbox.run(&format!("{all} --json"));
    assert_eq!(first.code, Some(1), "{}", first.stderr);
    assert!(first.stderr.contains("bad.csv: no answer:"), "{}", first.stderr);
    assert!(first.stderr.contains("1 of 4 files without an answer"), "{}", first.stderr);
    let found = lines(&first.stdout);
    assert_eq!(found.len(), 3);
    assert!(found[0]["question"]["file"].as_str().unwrap().ends_with("a.csv"));
    assert!(found.iter().all(|row| row["score"]["error"].is_f64() && row["schema"] == 1));

    // The answer is that of the file alone.
    sandbox.good(&format!("{solve} --obs obs/c.csv --out alone.npz"));
    let read = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    assert!(read("out/c.npz") == read("alone.npz"));

    // What the log answers is passed over; another question is not.
    std::fs::remove_file(sandbox.path("obs/bad.csv")).unwrap();
    assert_eq!(sandbox.good(&all).stdout, "");
    let other = all.replace("--seed 5", "--seed 6");
    assert_eq!(sandbox.good(&other).stdout.lines().count(), 3);
    // Its answers have taken the places of the first ones, which are made again, to the byte.
    assert_eq!(sandbox.good(&all).stdout.lines().count(), 3);
    assert!(read("out/c.npz") == read("alone.npz"));
    std::fs::write(sandbox.path("out/a.npz"), b"").unwrap();
    assert_eq!(sandbox.good(&all).stdout.lines().count(), 1);

    // A list, and parts of it.
    sandbox.write("list.txt", b"# two of them\nobs/c.csv\n\nobs/a.csv\n");
    let part = |k: usize| {
        let line = format!("{solve} --obs list.txt --part {k}/2 --json");
        lines(&sandbox.good(&line).stdout)
    };
    let [one, two] = [part(1), part(2)];
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_eq!([&one[0]["misfit"], &two[0]["misfit"]], [&found[2]["misfit"], &found[0]["misfit"]]);

    for (line, reason) in [
        (format!("{solve} --obs obs --out one.npz"), "put {} where"),
        (format!("{solve} --obs nowhere --part 1/2"), "nowhere: no such file or folder"),
        (format!("{solve} --obs obs/a.csv --log x.jsonl"), "for many files"),
        (format!("{solve} --obs obs/a.csv --part 1/2"), "for many files"),
        (format!("{solve} --obs student"), "no file of observations"),
    ] {
        sandbox.refuses(&line, reason);
    }
}

#[test]
fn one_of_several_processes_is_told_how_to_share_the_work() {
    let sandbox = Sandbox::with_models();
    for (line, word) in [
        ("sample student --out x.png", "deploy/part"),
        ("generate poisson --count 4 --grid 16 --out x", "deploy/part"),
        ("train tiny.toml --out x", "MPI"),
    ] {
        let output = sandbox.command(line).env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap();
        let run = Run::of(output, line);
        assert!(run.code == Some(2) && run.stderr.contains(word), "{line}: {}", run.stderr);
    }
    let mut alone = sandbox.command("sample student --out x.png");
    assert!(alone.env("OMPI_COMM_WORLD_SIZE", "1").output().unwrap().status.success());
}

#[test]
fn a_file_that_cannot_be_read_does_not_choose_the_model() {
    let sandbox = Sandbox::new();
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let run = |line: &str| {
        let output = sandbox.command(line).env("PHYS_INSTRUCT_MODELS", models).output();
        Run::of(output.unwrap(), line)
    };
    std::fs::create_dir(sandbox.path("obs")).unwrap();
    sandbox.write("obs/a.csv", b"no table\n");
    // Points by row and column are of 32 x 32 points, as they are where a file is asked alone.
    sandbox.write("obs/b.csv", b"field,row,column,value\nu,9,9,0.001\nu,20,9,0.002\n");
    sandbox.write("obs/c.csv", b"field,y,x,value\nu,0.5,0.5,0.001\nu,0.3,0.3,0.001\n");
    let solve = "solve poisson --task inverse --ensemble 2 --json";
    let all = run(&format!("{solve} --obs obs"));
    assert_eq!(all.code, Some(1), "{}", all.stderr);
    let rows: Vec<Value> =
        all.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["grid"]), (1, &32.into()), "{}", all.stderr);
    assert!(all.stderr.contains("a.csv: no answer"), "{}", all.stderr);
    assert!(all.stderr.contains("c.csv: no answer: of another grid"), "{}", all.stderr);

    let part = run(&format!("{solve} --obs obs --part 2/3"));
    assert_eq!(serde_json::from_str::<Value>(&part.stdout).unwrap()["misfit"], rows[0]["misfit"]);
}

#[test]
fn tables_are_made_from_the_rows_of_parts() {
    let sandbox = with_table_models();
    sandbox.good("bench tune --grid 8 --count 4");
    for (kind, options) in [
        ("unconditional", "--method phys-instruct --method solver --count 8 --seeds 1"),
        ("conditional", "--method phys-instruct --count 1 --points 5 --points 7 --task inverse"),
    ] {
        let bench = format!("bench {kind} --quick --grid 8 {options}");
        for k in [1, 2] {
            let part = sandbox.good(&format!("{bench} --part {k}/2 --out {kind}-{k}"));
            assert!(part.stderr.contains(&format!("part {k}/2:")), "{}", part.stderr);
        }
        let merged = format!("{bench} --rows {kind}-1 --rows {kind}-2 --out {kind} --json");
        let all = rows(&sandbox.good(&merged).stdout);
        let log = |folder: &str| {
            let text = std::fs::read_to_string(sandbox.path(folder).join("rows.jsonl"));
            text.map_or(0, |text| text.lines().count())
        };
        let parts = [1, 2].map(|k| log(&format!("{kind}-{k}")));
        assert_eq!(parts[0] + parts[1], all.len(), "{kind}: no row is measured twice");
        assert_eq!(log(kind), all.len());
        // A part beyond all rows has an empty file of them.
        sandbox.good(&format!("{bench} --part 99/99 --out {kind}-99"));
        sandbox.good(&format!("{bench} --rows {kind} --rows {kind}-99 --out {kind}-again"));
        let none = sandbox.run(&format!("{bench} --rows student --out x"));
        assert!(none.code == Some(2) && none.stderr.contains("no rows"), "{}", none.stderr);
    }
}
