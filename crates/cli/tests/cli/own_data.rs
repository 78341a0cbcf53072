//! Data alone: a PDE that is known by a description, from the import to an answer.

use phys_instruct::store::{NdArray, npz};
use phys_instruct::{Model, device};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// A description that leaves the bases to the data.
const MINE: &str = "[pde]
name = 'mine'
input = 'a'

[[pde.field]]
name = 'a'
meaning = 'source'
unit = 'W'

[[pde.field]]
name = 'u'
range = [-100.0, 100.0]
";

const TINY: &str = "pde = 'mine.toml'
grid = 8
seed = 3
[data]
path = 'pairs.npz'
count = 0
validation = 24
[net]
width = 8
multipliers = [1]
[train]
batch = 8
steps = 20
warmup = 2
[distill]
teacher = 'teacher/model.safetensors'
batch = 8
levels = [5.0]
[[distill.phase]]
kind = 'matching'
steps = 4
[[distill.phase]]
kind = 'calibrate'
";

/// A folder with a description, a config and 84 pairs, in truth of Poisson's equation.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("mine.toml", MINE.as_bytes());
    sandbox.write("own.toml", TINY.as_bytes());
    sandbox.good("generate poisson --grid 8 --count 84 --seed 1 --out made.npz");
    sandbox.good("data import made.npz --pde mine.toml --out pairs.npz");
    sandbox
}

/// Refused with exit code 2 and all these parts.
fn refused(sandbox: &Sandbox, line: &str, parts: &[&str]) {
    let run = sandbox.run(line);
    assert_eq!(run.code, Some(2), "{line}\n{}", run.stderr);
    assert!(parts.iter().all(|part| run.stderr.contains(part)), "{line}\n{}", run.stderr);
}

#[test]
fn data_alone_go_the_whole_road() {
    let sandbox = sandbox();
    let shown = sandbox.json("pde show mine.toml");
    assert_eq!((&shown["pde"], &shown["solver"]), (&json!("mine"), &json!(false)));
    assert_eq!(shown["fields"][0]["unit"], json!("W"));
    // A benchmark tells that its fields have none.
    let lines = sandbox.good("pde show darcy").stdout;
    assert!(lines.contains("u: pressure (dimensionless); zero on the boundary"), "{lines}");

    // The boundary is chosen from the data and said.
    let imported = sandbox.json("data import made.npz --pde mine.toml --out again.npz");
    assert_eq!(imported["description"]["field"][1]["basis"], json!(["sine-nodes", "sine-nodes"]));
    assert!(imported["check"]["pde_error"].is_null());
    let said = sandbox.good("data import made.npz --pde mine.toml --out again.npz").stdout;
    assert!(said.contains("zero on the first and last node"), "{said}");

    sandbox.good("config check own.toml");
    sandbox.good("train own.toml --out teacher");
    sandbox.good("distill own.toml --out student");

    // The student knows some of the pairs it was trained on: 60 of 84, on 8 x 8 points.
    let file = sandbox.path("student/model.safetensors");
    let examples = Model::load(&file, &device::cpu()).unwrap().statistics.examples;
    assert_eq!(examples.len(), 60 * 2 * 64);
    let inputs = array(&sandbox, "pairs.npz", "a");
    let is_pair =
        |own: &[f32]| inputs.chunks(64).any(|a| a.iter().zip(own).all(|(a, v)| *a as f32 == *v));
    assert!(examples.chunks(2 * 64).all(|pair| is_pair(&pair[..64])));

    // From here on the model alone is enough.
    std::fs::remove_file(sandbox.path("mine.toml")).unwrap();
    let card = sandbox.json("model info student");
    assert_eq!(card["description"]["field"][1]["basis"], json!(["sine-nodes", "sine-nodes"]));
    let info = sandbox.good("model info student").stdout;
    assert!(info.contains("not known: data alone") && info.contains("source (W)"), "{info}");

    let drawn = sandbox.json("sample student --count 8 --out s.npz --out s.png");
    assert!(drawn.get("pde_error").is_none_or(Value::is_null), "{drawn}");
    assert_eq!(drawn["count"], 8);
    let figures = sandbox.json("eval student --count 16 --reference pairs.npz");
    for unknown in ["pde_error", "data_floor", "solution_error"] {
        assert!(figures[unknown].is_null(), "{unknown}: {figures}");
    }
    assert!(figures["sliced_wasserstein"].as_f64().unwrap() > 0.0);
    let text = sandbox.good("eval student --count 16 --reference pairs.npz").stdout;
    assert!(text.contains("PDE error") && text.contains("not known"), "{text}");

    let trials = "solve student --task inverse --held-out pairs.npz";
    sandbox.good(&format!("{trials} --make-obs o.csv --points 8 --noise 0.01"));
    let solved = sandbox.json("solve student --task inverse --obs o.csv --truth o.truth.npz");
    assert_eq!(solved["equation_used"], false);
    assert!(solved["pde_error"].is_null() && solved["score"]["error"].is_number());
    let said = sandbox.good("solve student --task inverse --obs o.csv --out o.png");
    assert!(said.stderr.contains("no equation was used"), "{}", said.stderr);
    assert!(said.stdout.contains("not known: data alone, no equation"), "{}", said.stdout);
    let scores = sandbox.json(&format!("{trials} --problems 3 --points 8 --noise 0.01"));
    assert_eq!((&scores["problems"], &scores["equation_used"]), (&json!(3), &json!(false)));
    // The first pairs are those that it was trained on.
    assert!(scores["unobserved_error"].is_number() && scores["trained_on"] == json!(3));
    let said = sandbox.good(&format!("{trials} --problems 3 --points 8 --noise 0.01")).stderr;
    assert!(
        said.contains("at least 3 of 3 test problems are pairs that the model was trained on"),
        "{said}"
    );
    sandbox.good(&format!("{} --make-obs f.csv --points 60", trials.replace("inverse", "forward")));
    sandbox.good("solve student --task forward --obs f.csv");
}

/// Northing and easting of an area of 1 by 2 km stand in observations and in answers.
#[test]
fn coordinates_of_a_map_are_those_of_observations_and_answers() {
    let sandbox = sandbox();
    let aside = "sides = [1000.0, 2000.0]\norigin = [5641000.0, 356000.0]";
    let moved = MINE.replacen("input = 'a'", &format!("input = 'a'\n{aside}"), 1);
    sandbox.write("mine.toml", moved.as_bytes());
    let grid = "grid = { points = [8, 8], sides = [1000.0, 2000.0] }";
    sandbox.write("own.toml", TINY.replacen("grid = 8", grid, 1).as_bytes());
    sandbox.good("data import made.npz --pde mine.toml --out pairs.npz");
    sandbox.good("train own.toml --out teacher");
    sandbox.good("distill own.toml --out student");
    let info = sandbox.good("model info student").stdout;
    assert!(info.contains("y from 5641000 to 5642000, x from 356000 to 358000"), "{info}");

    let trials = "solve student --task inverse --held-out pairs.npz --make-obs";
    sandbox.good(&format!("{trials} o.csv --points 8 --noise 0.01"));
    let text_of = |name: &str| std::fs::read_to_string(sandbox.path(name)).unwrap();
    let text = text_of("o.csv");
    let is_there = |line: &str| line.starts_with("u,564") && line.contains(",35");
    assert!(text.lines().skip(1).all(is_there), "{text}");

    let solved = sandbox.json("solve student --task inverse --obs o.csv --out a.csv --out a.svg");
    let place = &solved["next_place"];
    assert!((5_641_000.0..=5_642_000.0).contains(&place["y"].as_f64().unwrap()), "{place}");
    let text = text_of("a.csv");
    let points: Vec<&str> = text.lines().collect();
    assert!(points[1].starts_with("5641000,356000,"), "{}", points[1]);
    assert!(points[64].starts_with("5642000,358000,"), "{}", points[64]);

    // A value that is given twice counts twice, which is said.
    let last = text_of("o.csv").lines().last().unwrap().to_owned();
    sandbox.write("twice.csv", format!("{}{last}\n", text_of("o.csv")).as_bytes());
    let said = sandbox.good("solve student --task inverse --obs twice.csv").stderr;
    assert!(said.contains("1 value is of a place that has another one"), "{said}");

    // Coordinates without the origin are not of this domain.
    sandbox.write("near.csv", b"field,y,x,value,sd\nu,500,700,0.1,0.01\n");
    let line = "solve student --task inverse --obs near.csv";
    refused(&sandbox, line, &["near.csv", "[5641000, 5642000] along y"]);
}

/// The sources of these pairs have both signs, of which the description knows one.
#[test]
fn answers_outside_the_described_range_are_warned_of() {
    let sandbox = sandbox();
    let above = MINE.replacen("unit = 'W'", "unit = 'W'\nrange = [0.0, 9.0]", 1);
    sandbox.write("mine.toml", above.as_bytes());
    sandbox.good("data import made.npz --pde mine.toml --out pairs.npz");
    sandbox.good("train own.toml --unchecked --out teacher");
    sandbox.good("distill own.toml --unchecked --out student");

    let trials = "solve student --task inverse --held-out pairs.npz --make-obs";
    sandbox.good(&format!("{trials} o.csv --points 8 --noise 0.01"));
    let solved = sandbox.json("solve student --task inverse --obs o.csv");
    let concerns = solved["warnings"].as_array().unwrap().iter().map(|w| &w["concern"]);
    assert!(concerns.clone().any(|concern| concern == "out-of-range"), "{solved}");
}

#[test]
fn what_needs_an_equation_or_a_solver_is_refused_with_the_reason() {
    let sandbox = sandbox();
    sandbox.good("train own.toml --out teacher");
    sandbox.good("distill own.toml --out student");
    let alone = "known by data alone";

    refused(&sandbox, "generate mine.toml --out x.npz", &["mine", "given by data"]);
    refused(
        &sandbox,
        "simulate mine.toml --input pairs.npz --map a --out x.npz",
        &[alone, "no solver"],
    );
    refused(&sandbox, "sample student --polish 2", &[alone, "no polish"]);
    refused(&sandbox, "eval student", &[alone, "--reference F"]);
    let make = "solve student --task inverse --make-obs o.csv";
    refused(&sandbox, &format!("{make} --points 8"), &["--held-out F"]);
    sandbox.good(&format!("{make} --held-out pairs.npz --points 8"));
    refused(&sandbox, "solve student --task inverse --obs o.csv --resolve", &[alone, "no solver"]);
    refused(&sandbox, "solve student --task inverse --obs o.csv --method input-space", &[alone]);

    refused(&sandbox, "solve mine.toml --task inverse --obs o.csv", &["describes a PDE"]);
    refused(&sandbox, "pde show none.toml", &["none.toml"]);
    refused(&sandbox, "pde show min", &["unknown PDE `min`", "[pde] table", "Your own data"]);
    refused(&sandbox, "pde show mine.toml --param k=2", &["no parameter `k`"]);
    let guided = "train own.toml --out other --set distill.matching.guidance.residual_ratio=0.3";
    refused(&sandbox, guided, &["distill.phase[0].guidance", alone]);
    refused(
        &sandbox,
        "train own.toml --out other --unset data.path",
        &["data.path is missing", alone],
    );
}

#[test]
fn two_descriptions_of_one_name_are_not_mixed_up() {
    let sandbox = sandbox();
    sandbox.good("train own.toml --out teacher");
    let other = MINE.replace("'W'", "'kW'");
    sandbox.write("mine.toml", other.as_bytes());
    refused(&sandbox, "distill own.toml --out student", &["another mine", "mine.toml"]);
    sandbox.write("mine.toml", MINE.replace("100.0]", "0.001]").as_bytes());
    refused(&sandbox, "train own.toml --out other", &["channel `u`", "0.001"]);
    sandbox.write("mine.toml", MINE.replace("'mine'", "'poisson'").as_bytes());
    refused(&sandbox, "pde show mine.toml", &["pde.name", "choose another"]);
}

#[test]
fn fit_goes_the_whole_road_and_its_config_makes_the_same_model() {
    let sandbox = sandbox();
    let fitted = sandbox.json("fit made.npz --pde mine.toml --minutes 0.4 --out fit --points 8");
    assert_eq!(fitted["equation_used"], false);
    assert!(fitted["trusted"].is_boolean() && fitted["answers"]["coverage90"].is_number());
    assert!(
        fitted["figures"]["pde_error"].is_null() && fitted["chosen"].as_array().unwrap().len() > 3
    );
    for name in ["config.toml", "pde.toml", "data.npz", "samples.png", "report.json"] {
        assert!(sandbox.path("fit").join(name).is_file(), "{name}");
    }

    let told = sandbox.json("model info fit/student")["record"]["figures"].take();
    assert_eq!(told["std_ratio"], fitted["figures"]["std_ratio"], "{told}");
    assert!(told["count"].is_u64() && told["sliced_wasserstein_floor"].is_number(), "{told}");

    // Weights that were rounded have not been measured.
    sandbox.good("model pack fit/student --out packed.safetensors");
    assert!(sandbox.json("model info packed.safetensors")["record"]["figures"].is_null());

    // The config alone reproduces both models: the same samples of the same seed.
    sandbox.good("train fit/config.toml --out teacher");
    sandbox.good("distill fit/config.toml --out student");
    for (model, calls) in [("teacher", 3), ("student", 1)] {
        let drawn = |folder: &str| {
            sandbox.good(&format!("sample {folder}{model} --calls {calls} --count 4 --out s.npz"));
            std::fs::read(sandbox.path("s.npz")).unwrap()
        };
        assert!(drawn("") == drawn("fit/"), "{model}");
    }

    // The same command goes on with the config that it wrote.
    let again = sandbox.good("fit made.npz --pde mine.toml --minutes 9 --out fit --points 8");
    assert!(again.stderr.contains("goes on with"), "{}", again.stderr);
    assert!(again.stdout.contains("may be trusted"), "{}", again.stdout);

    sandbox.good("generate poisson --grid 8 --count 84 --seed 2 --out other.npz");
    refused(&sandbox, "fit other.npz --pde mine.toml --out fit", &["other data", "another --out"]);

    refused(&sandbox, "fit made.npz --minutes 1", &["--pde"]);
    refused(&sandbox, "fit mine.toml --minutes 1", &["describes a PDE", "--pde"]);
    refused(&sandbox, "fit made.npz --pde mine.toml --minutes 0", &["minutes"]);
}

/// A student of a `config` that is trained in `sandbox` on pairs made by `generate LAW`.
fn trained(sandbox: &Sandbox, law: &str, description: &str, config: &str) {
    sandbox.write("mine.toml", description.as_bytes());
    sandbox.write("own.toml", config.as_bytes());
    sandbox.good(&format!("generate {law} --grid 8 --count 84 --seed 1 --out made.npz"));
    sandbox.good("data import made.npz --pde mine.toml --out pairs.npz");
    sandbox.good("train own.toml --out teacher");
    sandbox.good("distill own.toml --out student");
}

/// The values of an array in a file.
fn array(sandbox: &Sandbox, file: &str, name: &str) -> Vec<f64> {
    npz::read(&sandbox.path(file)).unwrap().remove(name).unwrap().into_f64()
}

#[test]
fn an_input_of_two_values_is_seen_in_the_data_and_kept() {
    let sandbox = Sandbox::new();
    let open = "[pde]\nname = 'mine'\ninput = 'a'\nfield = [{ name = 'a' }, { name = 'u' }]\n";
    let rounded = TINY.replace("[distill]", "[distill]\nround_input = true");
    trained(&sandbox, "darcy", open, &rounded);
    let imported = sandbox.json("data import made.npz --pde mine.toml --out again.npz");
    assert_eq!(imported["description"]["field"][0]["values"], json!([3.0, 12.0]));
    assert!(imported["description"]["field"][1]["values"].is_null());
    let info = sandbox.good("model info student").stdout;
    assert!(info.contains("given by data, 3 or 12"), "{info}");

    // What a student of 24 steps draws is far from the law, but has its values.
    sandbox.good("sample student --count 6 --out s.npz");
    let inputs = array(&sandbox, "s.npz", "a");
    assert!(inputs.iter().all(|v| [3.0, 12.0].contains(v)) && inputs.contains(&12.0));
    let make = "solve student --task inverse --held-out pairs.npz --make-obs o.csv --points 20";
    sandbox.good(make);
    sandbox.good("solve student --task inverse --obs o.csv --out answer.npz");
    assert!(array(&sandbox, "answer.npz", "a").iter().all(|v| (3.0..=12.0).contains(v)));

    // The same values in another order are the same; data of others are not of the description.
    let named = open.replace("{ name = 'a' }", "{ name = 'a', values = [12, 3] }");
    sandbox.write("mine.toml", named.as_bytes());
    sandbox.good("distill own.toml --out other");
    sandbox.write("mine.toml", named.replace("[12, 3]", "[3, 24]").as_bytes());
    let said = sandbox.good("data import made.npz --pde mine.toml --out again.npz").stderr;
    assert!(said.contains("a holds values from 3 to 12, the law of mine only 3 and 24"), "{said}");
}

#[test]
fn rows_may_be_times() {
    let sandbox = Sandbox::new();
    let mine = "[pde]\nname = 'mine'\ntime = 'y'\nfield = [{ name = 'u' }]\n";
    trained(&sandbox, "burgers --param nu=0.1", mine, TINY);
    let shown = sandbox.good("pde show mine.toml").stdout;
    assert!(shown.contains("its first row"), "{shown}");

    sandbox.good("sample student --count 4 --out s.npz --out s.png");
    // Forward: the first row is observed. Inverse: later rows are.
    let held_out = "solve student --held-out pairs.npz --make-obs";
    for (task, row_is_first) in [("forward", true), ("inverse", false)] {
        sandbox.good(&format!("{held_out} {task}.csv --task {task} --points 6 --noise 0.01"));
        let table = std::fs::read_to_string(sandbox.path(&format!("{task}.csv"))).unwrap();
        let at_start = table.lines().skip(1).filter(|line| line.starts_with("u,0,")).count();
        assert_eq!(at_start > 0, row_is_first, "{table}");
        let solved = sandbox.json(&format!(
            "solve student --task {task} --obs {task}.csv --truth {task}.truth.npz"
        ));
        assert!(solved["score"]["error"].is_number(), "{solved}");
    }
    let scores = "solve student --task inverse --held-out pairs.npz --problems 2 --points 8";
    assert_eq!(sandbox.json(scores)["problems"], 2);

    // Two values of the first row alone: the later rows have any.
    let path = sandbox.path("steps.npz");
    let step = |i: usize| if i % 64 < 8 { [1.0, 2.0][i / 3 % 2] } else { (i as f32 * 0.7).sin() };
    let field = NdArray::from_f32(vec![60, 8, 8], (0..60 * 64).map(step).collect()).unwrap();
    npz::write(&path, &[("u", &field)]).unwrap();
    let seen = sandbox.json("data import steps.npz --pde mine.toml --out seen.npz");
    assert_eq!(seen["description"]["field"][0]["values"], json!([1.0, 2.0]));
    sandbox.write("named.toml", mine.replace("'u'", "'u', values = [1, 2]").as_bytes());
    let said = sandbox.good("data import steps.npz --pde named.toml --out seen.npz").stderr;
    assert!(!said.contains("the law of mine"), "{said}");
}

#[test]
fn rounding_needs_data_of_two_values() {
    let sandbox = sandbox();
    sandbox.good("train own.toml --out teacher");
    let rounded = "distill own.toml --out student --set distill.round_input=true";
    refused(&sandbox, rounded, &["distill.round_input", "no two values in the teacher's data"]);
}

#[test]
fn a_folder_of_esri_grids_is_imported_with_its_cells() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("rasters")).unwrap();
    for sample in 1..=4 {
        for field in ["a", "u"] {
            let value =
                |i: usize| ((7 * i + sample) as f64).sin() + if field == "a" { 3.0 } else { 0.0 };
            let values: Vec<String> = (0..80).map(|i| format!("{:.4}", value(i))).collect();
            let head = "ncols 10\nnrows 8\nxllcorner 356000\nyllcorner 5641000\ncellsize 50\n";
            let text = format!("{head}NODATA_value -9999\n{}\n", values.join(" "));
            sandbox.write(&format!("rasters/{field}_{sample}.asc"), text.as_bytes());
        }
    }

    let aside = MINE.replace("input = 'a'", "input = 'a'\norigin = [5641000.0, 356000.0]");
    sandbox.write("aside.toml", aside.as_bytes());
    let run = sandbox.good("data import rasters --pde aside.toml --out pairs.npz");
    assert!(run.stdout.contains("4 of mine, 8 x 10 on 400 x 500"), "{}", run.stdout);
    assert!(run.stdout.contains("the south comes first"), "{}", run.stdout);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);

    sandbox.write("unplaced.toml", MINE.as_bytes());
    let run = sandbox.good("data import rasters --pde unplaced.toml --out other.npz");
    let told = "x of the data runs from 356025 to 356475, and the points of mine from 25 to 475";
    assert!(run.stderr.contains(told), "{}", run.stderr);

    assert!(sandbox.good("data info rasters").stdout.contains("[4, 8, 10]"));
    sandbox.good("data verify rasters");
    refused(&sandbox, "data import rasters --out x.npz", &["name its PDE with --pde"]);
    std::fs::remove_file(sandbox.path("rasters/u_3.asc")).unwrap();
    let words = ["`a` has a sample 3 and `u` has none of that number"];
    refused(&sandbox, "data import rasters --pde aside.toml --out x.npz", &words);
}
