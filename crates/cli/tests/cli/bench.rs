//! The tables, from models of no skill.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A folder of models as `bench` looks for them.
pub fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_models();
    sandbox.good("train tiny.toml --out edm --set coordinates.kind='pixel'");
    sandbox.good(
        "train tiny.toml --out pidm --set coordinates.kind='pixel' --set train.start='edm' \
         --set train.residual_weight=0.001",
    );
    sandbox.good(
        "distill tiny.toml --teacher teacher --out diff-instruct \
         --unset distill.matching.guidance --unset distill.anchored",
    );
    std::fs::create_dir_all(sandbox.path("models")).unwrap();
    for kind in ["student", "diff-instruct", "teacher", "edm", "pidm"] {
        let from = sandbox.path(kind).join("model.safetensors");
        let to = sandbox.path("models").join(format!("poisson-8-{kind}.safetensors"));
        std::fs::copy(from, to).unwrap();
    }
    sandbox
}

pub fn rows(text: &str) -> Vec<Value> {
    let mut found: Value = serde_json::from_str(text).unwrap();
    assert_eq!(found["schema"], 1);
    serde_json::from_value(found["rows"].take()).unwrap()
}

#[test]
fn the_table_holds_every_method_with_every_figure_and_is_resumed() {
    let sandbox = sandbox();
    let refused = sandbox.run("bench unconditional --grid 8 --quick --count 8");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("bench tune"), "{}", refused.stderr);
    // The name of an earlier version.
    assert_eq!(sandbox.run("bench five --grid 8 --quick --count 8").stderr, refused.stderr);
    sandbox.good("bench tune --grid 8 --count 4");

    let line = "bench unconditional --grid 8 --quick --count 8 --seeds 2 --polish 1 --json";
    let found = rows(&sandbox.good(line).stdout);
    let mut methods: Vec<&str> = found.iter().map(|r| r["method"].as_str().unwrap()).collect();
    methods.dedup();
    let guided = ["edm", "diffusionpde", "cocogen"];
    let students = ["phys-instruct", "diff-instruct"];
    let expected = [&students[..], &guided, &guided, &["pidm", "solver"]];
    assert_eq!(methods, expected.concat());
    for row in &found {
        for name in [
            "pde",
            "steps",
            "calls",
            "grid",
            "count",
            "seeds",
            "pde_error",
            "data_floor",
            "solution_error",
            "sliced_wasserstein",
            "sliced_wasserstein_floor",
            "std_ratio",
            "spectrum_error_max",
            "latency_seconds",
            "throughput",
        ] {
            assert!(!row[name].is_null(), "{name} of {row}");
        }
    }
    let solver = found.last().unwrap();
    // Every row of a model is followed by that of its samples polished, which are nearer the PDE.
    for pair in found[..found.len() - 1].chunks(2) {
        let errors = [&pair[0], &pair[1]].map(|row| row["pde_error"].as_f64().unwrap());
        assert!(pair[0]["sweeps"].is_null() && pair[1]["sweeps"] == 1, "{pair:?}");
        assert!(pair[0]["steps"] == pair[1]["steps"] && errors[1] < errors[0], "{pair:?}");
    }
    assert!(solver["pde_error"].as_f64().unwrap() < 1e-4 && solver["calls"] == 0);

    let lines =
        || std::fs::read_to_string(sandbox.path("runs/bench-unconditional/rows.jsonl")).unwrap();
    let before = lines();
    let again = rows(&sandbox.good(line).stdout);
    assert!(again.iter().zip(&found).all(|(a, b)| a["latency_seconds"] == b["latency_seconds"]));
    assert_eq!((again.len(), lines()), (found.len(), before), "rows were measured again");

    for file in ["rows.json", "rows.csv", "table.md", "report.html"] {
        let text =
            std::fs::read_to_string(sandbox.path("runs/bench-unconditional").join(file)).unwrap();
        assert!(text.contains("diffusionpde"), "{file}");
    }
    let line =
        "bench unconditional --grid 8 --quick --count 8 --method diff-instruct --json --out some";
    let some = rows(&sandbox.good(line).stdout);
    assert!(!some.is_empty() && some.iter().all(|row| row["method"] == "diff-instruct"));
    let none = sandbox.run("bench unconditional --grid 8 --quick --method solver --out none");
    assert!(none.code == Some(2) && none.stderr.contains("method"), "{}", none.stderr);
    let table = sandbox.good("bench unconditional --grid 8 --quick --count 8 --seeds 2 --polish 1");
    assert!(table.stdout.starts_with("## poisson, 8 x 8"), "{}", table.stdout);
}

#[test]
fn the_conditional_table_holds_every_method_and_is_resumed() {
    let sandbox = sandbox();
    let line = "bench conditional --grid 8 --quick --count 2 --points 20 --steps 3 \
                --guided-ensemble 3 --json";
    let found = rows(&sandbox.good(line).stdout);
    let methods: Vec<&str> = found.iter().map(|r| r["method"].as_str().unwrap()).collect();
    let each = |other| {
        [
            "phys-instruct",
            other,
            "phys-instruct/refinement",
            "phys-instruct/noise-space",
            "diffusionpde",
            "exact-posterior",
            "classical",
            "classical+solve",
        ]
    };
    let [unsolved, solved] = ["phys-instruct/unsolved", "phys-instruct+solve"].map(each);
    assert_eq!(methods, [unsolved, solved, solved].concat());
    for row in &found {
        assert!(row["error"].as_f64() >= row["bayes_limit"].as_f64().map(|l| 0.5 * l), "{row}");
        let model = ["phys-instruct", "diffusionpde"];
        let model = model.iter().any(|m| row["method"].as_str().unwrap().starts_with(m));
        assert_eq!(row["model"].is_string(), model, "{row}");
        // A mean over members errs less than they do, but for a single one.
        let [error, of_one] = ["error", "member_error"].map(|key| row[key].as_f64().unwrap());
        let members = row["ensemble"].as_u64().unwrap();
        assert!(if members == 1 { of_one == error } else { of_one > error }, "{row}");
        if row["method"] == "diffusionpde" {
            let share = row["guidance"]["share"].as_f64().unwrap();
            assert!(members == 3 && (share == 1.0 || share == 0.2), "{row}");
        }
    }

    let folder = sandbox.path("runs/bench-conditional");
    let log = folder.join("rows.jsonl");
    let before = std::fs::read_to_string(&log).unwrap();
    let kept: String = before.lines().take(9).map(|line| format!("{line}\n")).collect();
    std::fs::write(&log, &kept).unwrap();
    let again = rows(&sandbox.good(line).stdout);
    let after = std::fs::read_to_string(&log).unwrap();
    assert!(after.starts_with(&kept), "a finished row is gone");
    assert_eq!(after.lines().count(), before.lines().count(), "rows were measured again");
    let errors = |rows: &[Value]| -> Vec<f64> {
        rows.iter().map(|row| row["error"].as_f64().unwrap()).collect()
    };
    let same = |(a, b): (f64, f64)| (a - b).abs() < 1e-12;
    assert!(errors(&again).into_iter().zip(errors(&found)).all(same));
    for file in ["rows.json", "table.md", "report.html"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains("noise-space"), "{file}");
    }
}

#[test]
fn problems_of_another_law_are_harder_and_have_rows_of_their_own() {
    let sandbox = sandbox();
    let line = "bench conditional --grid 8 --quick --count 4 --points 20 --task forward \
                --method phys-instruct --method exact-posterior --out laws --json";
    let own = rows(&sandbox.good(line).stdout);
    let shifted = rows(&sandbox.good(&format!("{line} --law alpha=1.2 --law tau=9")).stdout);
    let law = serde_json::json!({ "alpha": 1.2, "tau": 9.0 });
    assert!(own.iter().all(|row| row.get("law").is_none()), "{own:?}");
    assert!(shifted.len() == own.len() && shifted.iter().all(|row| row["law"] == law));

    // A rough field is harder to tell from the same places, for whoever knows its law too.
    let error = |rows: &[Value], method: &str| {
        let row = rows.iter().find(|row| row["method"] == method).unwrap();
        row["error"].as_f64().unwrap()
    };
    for method in ["phys-instruct", "exact-posterior"] {
        assert!(error(&shifted, method) > 1.1 * error(&own, method), "{method}: {shifted:?}");
    }
    assert!(error(&shifted, "phys-instruct") > error(&shifted, "exact-posterior"));

    for (law, word) in [("--law beta=1", "beta"), ("--law alpha=3 --law alpha=2", "alpha")] {
        let run = sandbox.run(&format!("{line} {law}"));
        assert!(run.code == Some(2) && run.stderr.contains(word), "{}", run.stderr);
    }

    let asked = "--grid 8 --pde poisson --pde darcy";
    for (asked, whose) in [("--grid 9", " on 9 x 9"), (asked, " of darcy on 8 x 8")] {
        let none = sandbox.run(&format!("bench conditional {asked} --quick --out none"));
        let words = format!("no student{whose} among the models; --grid names another");
        assert!(none.code == Some(2) && none.stderr.contains(&words), "{}", none.stderr);
    }
}

#[test]
fn a_rectangle_s_student_is_measured() {
    let sandbox = Sandbox::new();
    let tiny = "--grid 10x14 --sides 0.6x1";
    sandbox.good(&format!("train tiny.toml {tiny} --out teacher"));
    sandbox.good(&format!("distill tiny.toml {tiny} --teacher teacher --out student"));
    std::fs::create_dir_all(sandbox.path("models")).unwrap();
    let to = sandbox.path("models").join("poisson-10x14-student.safetensors");
    std::fs::copy(sandbox.path("student/model.safetensors"), to).unwrap();

    let line = "bench unconditional --grid 10x14 --quick --count 4 --json";
    let found = rows(&sandbox.good(line).stdout);
    let mut methods: Vec<&str> = found.iter().map(|r| r["method"].as_str().unwrap()).collect();
    methods.dedup();
    assert_eq!(methods, ["phys-instruct", "solver"]);
    let line = "bench conditional --grid 10x14 --quick --count 2 --points 20 --task inverse \
                --method phys-instruct --json";
    let answered = rows(&sandbox.good(line).stdout);
    let grid = serde_json::json!({ "points": [10, 14], "sides": [0.6, 1.0] });
    assert!(found.iter().chain(&answered).all(|row| row["grid"] == grid), "{found:?}");
    let table = sandbox.good("bench unconditional --grid 10x14 --quick --count 4").stdout;
    assert!(table.starts_with("## poisson, 10 x 14 on 0.6 x 1"), "{table}");
    let csv = std::fs::read_to_string(sandbox.path("runs/bench-unconditional/rows.csv")).unwrap();
    assert!(csv.contains(",10 x 14 on 0.6 x 1,"), "{csv}");
}

#[test]
fn a_start_that_does_not_fit_is_refused() {
    let sandbox = Sandbox::with_models();
    for (changes, word) in [
        ("--set train.start='student'", "train.start"),
        ("--set train.start='teacher' --grid 16", "train.start"),
    ] {
        let run = sandbox.run(&format!("train tiny.toml --out other {changes}"));
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(word), "{}", run.stderr);
        assert!(!sandbox.path("other").exists(), "a run was begun");
    }
    // A finer grid may have more noise.
    let finer = "--set train.start='teacher' --grid 16 --set net.patch=4";
    sandbox.good(&format!("train tiny.toml --out finer {finer} --set diffusion.sigma_max=160"));
}
