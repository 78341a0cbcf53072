//! One good run of every command, at tiny sizes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::Sandbox;

#[test]
fn generate_writes_a_set_or_a_file() {
    let sandbox = Sandbox::new();
    let line = "generate darcy --count 5 --grid 8 --seed 1 --out set --shard 2";
    sandbox.good(line).matches("generate-set");
    sandbox
        .good("generate darcy --count 5 --grid 8 --seed 1 --out set.npz")
        .matches("generate-file");
    sandbox.good("data info set").matches_but_for_numbers("data-info-set");
    sandbox.good("data info set.npz").matches_but_for_numbers("data-info-file");
    sandbox.good("data verify set").matches("data-verify");
    sandbox.good("data import set --out copy.npz").matches("data-import");
    let files = ["set.npz", "copy.npz"].map(|name| std::fs::read(sandbox.path(name)).unwrap());
    assert_eq!(files[0], files[1]);
}

#[test]
fn a_pde_is_shown_with_its_fields_and_models() {
    let sandbox = Sandbox::new();
    sandbox.good("pde list").matches("pde-list");
    let listed = sandbox.json("pde list")["pdes"].take();
    for entry in listed.as_array().unwrap() {
        let name = entry["pde"].as_str().unwrap();
        let shown = sandbox.json(&format!("pde show {name}"));
        assert_eq!(shown["equation"], entry["equation"]);
        assert!(!shown["fields"].as_array().unwrap().is_empty(), "{name}");
    }
    let k = |line: &str| sandbox.json(line)["params"][0]["value"].as_f64();
    assert_eq!(k("pde show helmholtz"), Some(1.0));
    assert_eq!(k("pde show helmholtz --param k=2.5"), Some(2.5));
    sandbox.good("pde show poisson").matches("pde-show");
    assert!(sandbox.run("pde show darcie").stderr.contains("known: "));
}

#[test]
fn generate_depends_on_the_seed_alone() {
    let sandbox = Sandbox::new();
    let bytes = |rest: &str| {
        sandbox.good(&format!("generate burgers --count 3 --grid 16 --out x.npz {rest}"));
        std::fs::read(sandbox.path("x.npz")).unwrap()
    };
    assert_eq!(bytes("--seed 1 --threads 1"), bytes("--seed 1 --threads 3"));
    assert_ne!(bytes("--seed 1"), bytes("--seed 2"));
}

#[test]
fn import_changes_units() {
    let sandbox = Sandbox::new();
    sandbox.good("generate darcy --count 4 --grid 8 --out set.npz");
    sandbox.good("data import set.npz --pde darcy --scale a=2,-1 --out new.npz");
    let extremes = |name: &str| {
        let info = sandbox.json(&format!("data info {name}"))["arrays"].take();
        ["min", "max"].map(|key| info["a"][key].as_f64().unwrap())
    };
    assert_eq!(extremes("set.npz"), [3.0, 12.0]);
    assert_eq!(extremes("new.npz"), [5.0, 23.0]);
}

#[test]
fn simulate_solves_for_a_given_input() {
    let sandbox = Sandbox::new();
    sandbox.good("generate poisson --count 3 --grid 9 --out x.npz");
    let line = "simulate poisson --input x.npz --out y.npz";
    sandbox.good(line).matches_but_for_numbers("simulate");
    let [x, y] =
        ["x.npz", "y.npz"].map(|name| sandbox.json(&format!("data info {name}"))["arrays"].take());
    assert_eq!(x["u"]["shape"], y["u"]["shape"]);
    let gap = x["u"]["std"].as_f64().unwrap() / y["u"]["std"].as_f64().unwrap() - 1.0;
    assert!(gap.abs() < 1e-6, "{gap}");
    sandbox.good("generate burgers --count 2 --grid 16 --out b.npz");
    let line = sandbox.json("simulate helmholtz --input x.npz --param k=2 --out h.npz");
    assert_eq!((&line["count"], &line["params"]["k"]), (&3.into(), &2.0.into()));
}

#[test]
fn the_road_from_training_to_samples() {
    let sandbox = Sandbox::new();
    let quiet = |mut run: crate::sandbox::Run| {
        run.stderr.clear();
        run
    };
    let train = sandbox.good("train tiny.toml --out teacher");
    assert!(train.stderr.contains("step 20/20: loss "), "{}", train.stderr);
    quiet(train).matches_but_for_numbers("train");
    let distill =
        sandbox.good("distill tiny.toml --teacher teacher --out student --set distill.skip=mean");
    assert!(distill.stderr.contains("step 10/10: auxiliary loss "), "{}", distill.stderr);
    assert!(distill.stderr.contains("warning: the student has collapsed: "), "{}", distill.stderr);
    quiet(distill).matches_but_for_numbers("distill");
    sandbox.good("model info student").matches_but_for_numbers("model-info");
    let sample = sandbox.good("sample student --count 8 --out s.npz --out s.png --out s.svg");
    sample.matches_but_for_numbers("sample");
    sandbox.good("eval s.npz --pde poisson").matches_but_for_numbers("eval-file");
    let begins =
        |name: &str, magic: &[u8]| std::fs::read(sandbox.path(name)).unwrap().starts_with(magic);
    assert!(begins("s.png", b"\x89PNG") && begins("s.svg", b"<"));
    let arrays = sandbox.json("data info s.npz")["arrays"].take();
    assert_eq!(arrays["a"]["shape"], serde_json::json!([8, 8, 8]));
    assert_eq!(arrays["u"]["shape"], arrays["a"]["shape"]);
    metrics_show_a_collapse(&sandbox);
    absent_figures_are_absent(&sandbox);
    a_single_pair_has_no_distribution(&sandbox);
    figures_are_complete(&sandbox);
    the_bundled_student_is_found(&sandbox);
}

fn a_single_pair_has_no_distribution(sandbox: &Sandbox) {
    sandbox.good("generate poisson --count 1 --grid 8 --seed 5 --out pair.npz");
    let figures = sandbox.json("eval pair.npz --pde poisson");
    assert!(figures["solution_error"].as_f64().unwrap() < 1e-6, "{figures}");
    assert!(figures["pde_error"].as_f64().unwrap() < 1e-4, "{figures}");
    assert!(figures.get("sliced_wasserstein").is_none(), "{figures}");
    let text = sandbox.good("eval pair.npz --pde poisson").stdout;
    assert!(text.contains("solution error") && !text.contains("Wasserstein"), "{text}");
}

fn metrics_show_a_collapse(sandbox: &Sandbox) {
    let text = std::fs::read_to_string(sandbox.path("student/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let steps: Vec<u64> = lines.iter().map(|l| l["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [2, 4, 5, 6, 8, 10]);
    for key in ["matching_norm", "guidance_norm", "residual", "auxiliary_loss"] {
        assert!(lines.iter().all(|l| l[key].is_number()), "{key}");
    }
    for line in [&lines[2], &lines[5]] {
        assert_eq!(line["std_ratio"].as_array().unwrap().len(), 2);
        assert!(line["sliced_wasserstein"].is_number() && line["pde_error"].is_number());
    }
    // After ten steps the student is far from the data: its last line and every sample say so.
    assert!(lines[4]["collapse"].is_null() && lines[5]["collapse"].is_string());
    assert_eq!(lines[5]["std_ratio_by_calls"].as_array().unwrap().len(), 2);
    let warnings = &sandbox.json("sample student --count 8")["warnings"];
    assert_eq!(warnings[0], lines[5]["collapse"]);
}

fn absent_figures_are_absent(sandbox: &Sandbox) {
    let phases = "--set distill.warm-start.steps=2 --set distill.anchored.steps=2";
    sandbox.good(&format!("distill tiny.toml --teacher teacher {phases} --out phases"));
    let text = std::fs::read_to_string(sandbox.path("phases/metrics.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (first, last) = (lines.first().unwrap(), lines.last().unwrap());
    assert!(first["warm_start_loss"].is_number() && last["input_distance"].is_number());
    for line in [first, last] {
        assert!(line.get("auxiliary_loss").is_none(), "{line}");
    }
    assert!(lines.iter().any(|line| line["auxiliary_loss"].is_number()));
    assert!(!text.contains("null"), "{text}");
}

fn figures_are_complete(sandbox: &Sandbox) {
    for line in ["sample student --count 8 --seed 5", "eval teacher --count 8 --seed 5 --calls 5"] {
        let figures = sandbox.json(line);
        assert_eq!(figures["pde"], "poisson");
        assert_eq!(figures["model"], "model.safetensors");
        for (key, value) in [("grid", 8), ("count", 8), ("seed", 5)] {
            assert_eq!(figures[key], value, "{key}");
        }
        assert_eq!(figures["calls"], if line.contains("teacher") { 5 } else { 1 });
        for key in [
            "pde_error",
            "data_floor",
            "solution_error",
            "sliced_wasserstein",
            "sliced_wasserstein_floor",
            "seconds_per_sample",
        ] {
            assert!(figures[key].as_f64().is_some_and(|v| v > 0.0), "{key} in {figures}");
        }
        assert_eq!(figures["std_ratio"].as_array().unwrap().len(), 2);
        assert!(figures["data_floor"].as_f64() < figures["pde_error"].as_f64());
    }
}

fn the_bundled_student_is_found(sandbox: &Sandbox) {
    std::fs::create_dir(sandbox.path("models")).unwrap();
    let bundled = sandbox.path("models/poisson-32-student.safetensors");
    std::fs::copy(sandbox.path("student/model.safetensors"), bundled).unwrap();
    let figures = sandbox.json("sample poisson --count 4");
    assert_eq!(figures["model"], "poisson-32-student.safetensors");
    assert!(sandbox.path("poisson.png").is_file());
    let doctor = sandbox.json("doctor --threads 1");
    #[cfg(not(feature = "gpu"))]
    assert_eq!((&doctor["gpu"], &doctor["adapter"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(doctor["models"], serde_json::json!(["poisson-32-student"]));
    let listed = sandbox.json("pde list")["pdes"].take();
    let poisson = listed.as_array().unwrap().iter().find(|entry| entry["pde"] == "poisson");
    assert_eq!(poisson.unwrap()["channels"], serde_json::json!(["a", "u"]));
    assert_eq!(poisson.unwrap()["models"], serde_json::json!(["poisson-32-student"]));
    assert_eq!(
        (&doctor["threads"], &doctor["version"]),
        (&1.into(), &env!("CARGO_PKG_VERSION").into())
    );
}

#[test]
fn equal_seeds_give_equal_samples() {
    let sandbox = Sandbox::with_models();
    let bytes = |rest: &str| {
        sandbox.good(&format!("sample student --count 4 --calls 2 --out s.npz {rest}"));
        std::fs::read(sandbox.path("s.npz")).unwrap()
    };
    assert_eq!(bytes("--seed 1 --threads 1"), bytes("--seed 1 --threads 2"));
    assert_ne!(bytes("--seed 1"), bytes("--seed 2"));
}

#[test]
fn the_number_of_threads_changes_no_answer_and_no_joint_component() {
    let sandbox = Sandbox::with_models();
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 20");
    let answer = |threads| {
        let solve = "solve student --task inverse --obs obs.csv --ensemble 4 --out answer.npz";
        sandbox.good(&format!("{solve} --threads {threads}"));
        std::fs::read(sandbox.path("answer.npz")).unwrap()
    };
    assert!(answer(1) == answer(3));

    // Few samples of many components: their eigenvalues are zero but for rounding.
    let tensors = |threads| {
        let train = "train tiny.toml --set grid=32 --set coordinates.kind='joint' \
                     --set coordinates.modes=24 --until 1";
        sandbox.good(&format!("{train} --out run-{threads} --threads {threads}"));
        let path = sandbox.path(&format!("run-{threads}/checkpoint.safetensors"));
        phys_instruct::store::weights::read(&path).unwrap().tensors
    };
    assert!(tensors(1) == tensors(3));
}

#[test]
fn an_answer_is_written_for_other_programs_and_for_people() {
    let sandbox = Sandbox::with_models();
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 20 --seed 1");
    let solve = "solve student --task inverse --obs obs.csv --ensemble 4";
    let outs = ["npz", "nc", "csv", "asc", "html"].map(|kind| format!("--out x.{kind}")).join(" ");
    let run = sandbox.good(&format!("{solve} {outs} --above a=0.5 --table table.csv --json"));
    let next = &serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap()["next_place"];
    assert_eq!(next["field"], "u");

    let checked: serde_json::Value = sandbox.json(&format!("{solve} --check 3"));
    assert_eq!(
        (&checked["check"]["problems"], &checked["check"]["points"]),
        (&3.into(), &20.into())
    );
    assert!(checked["check"]["error"].as_f64().unwrap() > 0.0);
    sandbox.good("generate poisson --grid 6 --count 3 --out coarse");
    let other = sandbox.run(&format!("{solve} --check 3 --held-out coarse"));
    let words = "samples are of a, u on a grid of 6 x 6; the model has a, u on 8 x 8";
    assert!(other.code == Some(2) && other.stderr.contains(words), "{}", other.stderr);

    let text = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    assert!(text("x.csv").starts_with("y,x,a_mean,a_sd,a_p10,a_p50,a_p90,u_mean,"));
    assert!(text("x.a_above_0.5.asc").starts_with("ncols 8\nnrows 8\n"));
    assert_eq!(&std::fs::read(sandbox.path("x.nc")).unwrap()[..3], b"CDF");

    // Every observation has its line, with what the others say of it.
    let table = text("table.csv");
    assert_eq!(table.lines().count(), 21);
    assert!(table.lines().all(|line| line.split(',').count() == 13));

    // The page holds its pictures, the observations and the command.
    let page = text("x.html");
    assert_eq!(page.matches("<svg").count(), 3);
    for part in ["One more value would tell most", "expected from the others", "--above a=0.5"] {
        assert!(page.contains(part), "{part}");
    }

    let refusal = |rest: &str| {
        let run = sandbox.run(&format!("{solve} {rest}"));
        assert_eq!(run.code, Some(2), "{rest}: {}", run.stderr);
        run.stderr
    };
    assert!(refusal("--out x.tif").contains(".npz, .nc, .csv, .asc, .html, .png or .svg"));
    assert!(refusal("--out x.npz --above a").contains("such as a=7.5"));
    assert!(refusal("--out x.npz --above b=1").contains("no field `b`; the fields are a, u"));
}

#[test]
fn quiet_leaves_notes_out_and_verbose_adds_details() {
    let sandbox = Sandbox::with_models();
    let said = |flags: &str| sandbox.good(&format!("sample student --count 2 {flags}")).stderr;
    assert!(said("").contains("wrote poisson.png") && !said("").contains("threads"));
    assert_eq!(said("-q"), "");
    let all = said("-v");
    for part in ["2 threads", "model student", "wrote poisson.png", "took "] {
        assert!(all.contains(part), "{part}: {all}");
    }
    // Warnings and errors are told all the same.
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 20");
    let far = std::fs::read_to_string(sandbox.path("obs.csv")).unwrap().replace(",0.", ",9.");
    sandbox.write("far.csv", far.as_bytes());
    let run = sandbox.run("solve student -q --task inverse --obs far.csv --ensemble 2");
    assert!(!run.stderr.is_empty() && !run.stderr.contains("note:"), "{}", run.stderr);
    for both in ["-q -v pde list", "-q pde list -v", "pde -v list -q"] {
        sandbox.refuses(both, "--quiet and --verbose");
    }
}

#[test]
fn a_packed_file_tells_its_making() {
    let sandbox = Sandbox::with_models();
    let pack = "model pack student --out p.safetensors";
    sandbox.good(&format!("{pack} --measure 8 --licence MIT --date 2026-01-31"));
    let record = sandbox.json("model info p.safetensors")["record"].clone();
    assert_eq!((&record["licence"], &record["date"]), (&"MIT".into(), &"2026-01-31".into()));
    assert_eq!(record["parent"], sandbox.json("model info teacher")["sha256"]);

    // The figures are those that `eval` prints of the file, and the config is one.
    let figures = sandbox.json("eval p.safetensors --count 8");
    for name in ["pde_error", "data_floor", "sliced_wasserstein", "std_ratio", "reference_count"] {
        assert!(!figures[name].is_null());
        assert_eq!(record["figures"][name], figures[name], "{name}");
    }
    sandbox.write("told.toml", record["config"].as_str().unwrap().as_bytes());
    sandbox.good("config check told.toml");
    let info = sandbox.good("model info p.safetensors").stdout;
    for part in ["8 samples, 1 call", "PDE error", "(data: ", "licence", "lines, under"] {
        assert!(info.contains(part), "{part}: {info}");
    }
    let teacher = sandbox.good("model info teacher").stdout;
    assert!(teacher.contains("64 samples of the reference solver, seed 1000"), "{teacher}");

    // What is told is kept by another copy.
    sandbox.good("model pack p.safetensors --out q.safetensors");
    assert_eq!(sandbox.json("model info q.safetensors")["record"], record);
    sandbox.refuses(&format!("{pack} --reference set.npz"), "--measure");

    // What is refused leaves no file behind.
    let other = "model pack student --out none.safetensors";
    sandbox.refuses(&format!("{other} --date yesterday"), "record.date");
    sandbox.refuses(&format!("{other} --measure 8 --reference none.npz"), "none.npz");
    assert!(!sandbox.path("none.safetensors").exists());
}

#[test]
fn polish_brings_samples_onto_the_equation_and_says_what_it_took() {
    let sandbox = Sandbox::with_models();
    let [plain, polished] = ["", " --polish 2"]
        .map(|rest| sandbox.json(&format!("sample student --count 4 --out s.npz{rest}")));
    assert_eq!(polished["polish"]["sweeps"], 2);
    assert!(plain.get("polish").is_none());
    let [plain, polished] = [plain, polished].map(|f| f["pde_error"].as_f64().unwrap());
    assert!(polished < 1e-4 && plain > 10.0 * polished, "{plain} {polished}");
    sandbox.good("sample student --count 4 --out raw.npz");
    let file = sandbox.json("eval raw.npz --pde poisson --polish 2");
    assert_eq!(file["polish"]["sweeps"], 2);
    assert!(file["pde_error"].as_f64().unwrap() < 1e-4, "{file}");
}

#[test]
fn train_takes_data_from_a_file() {
    let sandbox = Sandbox::new();
    sandbox.good("generate poisson --count 40 --grid 8 --seed 1000 --out set.npz");
    sandbox.good("train tiny.toml --steps 2 --count 24 --set data.path=set.npz --out file");
    sandbox.good("train tiny.toml --steps 2 --count 24 --out made");
    let mean = |run: &str| {
        let path = sandbox.path(run).join("model.safetensors");
        phys_instruct::store::weights::read(&path).unwrap().tensors["statistics.mean"].clone()
    };
    assert_eq!(mean("file"), mean("made"));
    let sample = sandbox.good("sample file --count 4 --calls 3");
    assert!(sample.stderr.contains("imported data"), "{}", sample.stderr);
}

#[test]
fn config_check_writes_every_default_out() {
    let sandbox = Sandbox::new();
    let check = sandbox.good(
        "config check tiny.toml --set distill.matching.ablation.divergence.kind=sid \
         --set distill.matching.guidance.start=3 --unset train.warmup --steps 7",
    );
    check.matches("config-check");
    sandbox.write("resolved.toml", check.stdout.as_bytes());
    assert_eq!(sandbox.good("config check resolved.toml").stdout, check.stdout);
    let schema: Value = serde_json::from_str(&sandbox.good("config schema").stdout).unwrap();
    assert!(schema["properties"]["grid"].is_object());
}

#[test]
fn the_small_ones() {
    let sandbox = Sandbox::new();
    assert!(sandbox.good("cite").stdout.contains("eprint = {2602.03627}"));
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.good(&format!("completions {shell}")).stdout;
        assert!(script.contains("phys-instruct") && script.contains("PHYS_INSTRUCT_COMPLETE"));
    }
    sandbox.good("man pages");
    let page = std::fs::read_to_string(sandbox.path("pages/phys-instruct-solve.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("ensemble"), "{page}");
    let version = sandbox.good("--version").stdout;
    assert_eq!(version.trim(), concat!("phys-instruct ", env!("CARGO_PKG_VERSION")));
}

/// The words that bash offers behind the words of a line, whose last one is not finished.
fn offered(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_phys-instruct"));
    let mut path = vec![program.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let script = "source <(phys-instruct completions bash); COMP_WORDS=(phys-instruct \"$@\"); \
                  COMP_CWORD=$#; COMP_TYPE=9; \
                  _clap_complete_phys_instruct phys-instruct \"${@: -1}\"; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let run = Command::new("bash")
        .args(["-c", script, "bash"])
        .args(words)
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(sandbox.path("."))
        .output()
        .unwrap();
    String::from_utf8(run.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn bash_completes_pdes_models_tasks_and_keys() {
    let sandbox = Sandbox::with_models();
    let cases: [(&[&str], &str); 8] = [
        (&["dis"], "distill"),
        (&["sample", "--po"], "--polish"),
        (&["sample", "navier"], "navier-stokes"),
        (&["sample", "darcy-"], "darcy-64"),
        (&["sample", "tea"], "teacher"),
        (&["solve", "darcy", "--task", "inv"], "inverse"),
        (&["pde", "show", "tin"], "tiny.toml"),
        (
            &["train", "tiny.toml", "--set", "distill.matching.gui"],
            "distill.matching.guidance.start=",
        ),
    ];
    for (words, expected) in cases {
        let found = offered(&sandbox, words);
        let fits = |word: &String| word.trim_end_matches('/') == expected;
        assert!(found.iter().any(fits), "{words:?}: {found:?}");
    }
}

#[test]
fn colours_are_left_out_where_no_color_is_set() {
    let sandbox = Sandbox::new();
    let help = |no_color: Option<&str>| {
        let mut command = sandbox.command("pde --help");
        command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        command.output().unwrap().stdout
    };
    assert!(help(None).contains(&0x1b), "no colours where they are forced");
    assert!(!help(Some("1")).contains(&0x1b), "colours beside NO_COLOR");
}

#[test]
fn the_vector_unit_can_be_named() {
    let sandbox = Sandbox::new();
    let doctor = |unit: &str| {
        let mut command = sandbox.command("doctor --json");
        command.env("PHYS_INSTRUCT_SIMD", unit).output().unwrap()
    };
    let portable = doctor("portable");
    let found: serde_json::Value = serde_json::from_slice(&portable.stdout).unwrap();
    assert!(!["AVX-512", "AVX2 and FMA"].contains(&found["simd"].as_str().unwrap()), "{found}");
    let wrong = doctor("avx3");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("avx512, avx2, neon, portable"));
}

#[test]
fn solve_draws_a_problem_and_answers_it() {
    let sandbox = Sandbox::with_models();
    sandbox.good("solve student --task reconstruct --make-obs obs.csv --points 20 --seed 1");
    let line = "solve student --task reconstruct --obs obs.csv --truth obs.truth.npz --ensemble 3";
    for method in ["refinement", "noise-space"] {
        let found = sandbox.json(&format!("{line} --method {method} --out x.npz --out x.png"));
        assert!(found["misfit"].as_f64().unwrap() < 0.05, "{method}: {found}");
        assert!(found["score"]["error"].as_f64().unwrap() < 2.0, "{method}: {found}");
        assert_eq!(found["ensemble"], 3);
    }
    let info = sandbox.json("data info x.npz")["arrays"].take();
    assert_eq!(info["u"]["shape"], serde_json::json!([3, 8, 8]));
    assert_eq!(info["a_mean"]["shape"], serde_json::json!([8, 8]));
    let solved = sandbox.json(&format!("{line} --resolve"));
    // The name of an earlier version.
    assert!(sandbox.run(&format!("{line} --physics=false")).code == Some(0));
    assert!(solved["pde_error"].as_f64().unwrap() < 1e-3, "{solved}");
}

#[test]
fn solve_refuses_what_it_cannot_use() {
    let sandbox = Sandbox::with_models();
    sandbox.write("w.csv", b"field,row,column,value\nw,1,1,2\n");
    sandbox.write("far.csv", b"field,row,column,value\nu,1,9,2\n");
    sandbox.write("u.csv", b"field,row,column,value\nu,1,1,0.001\n");
    for (line, reason) in [
        ("solve student --task inverse --obs w.csv", "no field `w`"),
        ("solve student --task inverse --obs far.csv", "8 x 8"),
        ("solve student --task inverse --make-obs o.csv --points 65", "there are 64 to observe"),
        ("solve student --task inverse --make-obs o.csv --sensors 9", "there are 8 to observe"),
        ("solve student --task forward --obs u.csv", "use reconstruct"),
        ("solve student --task inverse", "--obs"),
        ("solve student --task invers --obs u.csv", "forward, inverse or reconstruct"),
        ("solve teacher --task inverse --obs u.csv", "name a student"),
    ] {
        sandbox.refuses(line, reason);
    }
}

#[test]
fn every_verb_takes_a_rectangle() {
    let sandbox = Sandbox::new();
    let rectangle = "--grid 48x80 --sides 0.6x1";
    let table = serde_json::json!({ "points": [48, 80], "sides": [0.6, 1.0] });

    // A file keeps its sides: what was generated is solved again on the same rectangle.
    let made = sandbox.json(&format!("generate darcy --count 2 {rectangle} --out x.npz"));
    assert_eq!(made["grid"], table);
    sandbox.good("simulate darcy --input x.npz --out y.npz");
    sandbox.good("simulate darcy --input x.npz --sides 1x1 --out unit.npz");
    let deviation = |name: &str| {
        let info = sandbox.json(&format!("data info {name}"))["arrays"].take();
        assert_eq!(info["u"]["shape"], serde_json::json!([2, 48, 80]), "{name}");
        info["u"]["std"].as_f64().unwrap()
    };
    let [own, again, other] = ["x.npz", "y.npz", "unit.npz"].map(deviation);
    assert!((again / own - 1.0).abs() < 1e-6 && other > 1.2 * own, "{own} {again} {other}");

    sandbox.good(&format!("generate darcy --count 2 {rectangle} --out set"));
    let info = sandbox.json("data info set");
    assert_eq!((&info["recipe"]["grid"], info.get("grid")), (&table, None));
    sandbox.good("data import set --out copy.npz");
    let files = ["x.npz", "copy.npz"].map(|name| std::fs::read(sandbox.path(name)).unwrap());
    assert_eq!(files[0], files[1]);
    assert!(sandbox.json("eval copy.npz --pde darcy")["pde_error"].as_f64().unwrap() < 1e-4);

    // Training, sampling and an answer, at a tiny size.
    let tiny = "--grid 10x14 --sides 0.6x1";
    sandbox.good(&format!("train tiny.toml {tiny} --out teacher"));
    sandbox.good(&format!("distill tiny.toml {tiny} --teacher teacher --out student"));
    let card = sandbox.json("model info student");
    assert_eq!(card["grid"], serde_json::json!({ "points": [10, 14], "sides": [0.6, 1.0] }));
    let line = "sample student --count 8 --out s.npz --out s.svg";
    sandbox.good(line).matches_but_for_numbers("sample-rectangle");
    sandbox.good("solve student --task inverse --make-obs obs.csv --points 9");
    sandbox.good("solve student --task inverse --obs obs.csv --ensemble 2 --out a.npz --out a.png");

    // The picture is as high as the rectangle.
    let picture = std::fs::read_to_string(sandbox.path("s.svg")).unwrap();
    let image = picture.split("<image").nth(1).unwrap();
    let number = |name: &str| {
        let value = image.split(&format!(" {name}=\"")).nth(1).unwrap();
        value.split('"').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((number("height") / number("width") - 0.6).abs() < 0.05, "{image:.200}");
}

#[test]
fn a_rectangle_that_is_none_is_refused() {
    let sandbox = Sandbox::new();
    for (line, part) in [
        ("generate poisson --out x --grid 48x", "48x80"),
        ("generate poisson --out x --grid 48x2", "2 is not in 4..=4096"),
        ("generate poisson --out x --sides 0.6", "two lengths above 0"),
        ("generate poisson --out x --sides 0x1", "two lengths above 0"),
        ("generate poisson --out x --sides 1xinf", "two lengths above 0"),
        ("generate burgers --out x --grid 48x80 --sides 0.6x1", "share of the final time"),
        ("train tiny.toml --sides 0.6x1 --out x", "--grid"),
        ("train tiny.toml --grid 10x4 --out x", "grid.points[1] = 4"),
        ("train tiny.toml --set grid.points=[10,14] --out x", "table"),
    ] {
        let run = sandbox.run(line);
        assert_eq!(run.code, Some(2), "{line}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{line}: {}", run.stderr);
    }
}
