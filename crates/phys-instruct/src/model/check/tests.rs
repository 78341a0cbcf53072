//! Tests of the checks of a model file.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::config::{Config, Skip};
use crate::device::cpu;
use crate::diffusion::{Coordinates, Network};
use crate::model::Model;
use crate::net::UNet;
use crate::parts::Parts;
use crate::store::weights::{self, Bundle};
use crate::student::operator::{Guess, Operator, OperatorStatistics};
use crate::testing::{samples_from, tiny};

/// An untrained student of Poisson's equation.
fn student() -> Model {
    let pde = crate::problem::by_name("poisson").unwrap();
    let net = tiny(&[1, 2]);
    let config = Config { net, ..Config::from_toml("pde = \"poisson\"\ngrid = 8").unwrap() };
    let data = samples_from(pde.as_ref(), 20, 8, 1);
    let (coordinates, statistics) =
        Coordinates::fit(&data, &Parts::of(pde.as_ref()), &config.coordinates, &cpu()).unwrap();
    let net = UNet::new(&config.net, coordinates.inputs(), 2, 3, &cpu());
    let network = Network::new(net, coordinates).with_skip(Skip::Flow).valid().freeze();
    let card = Card {
        levels: vec![5.0, 1.0],
        skip: Skip::Flow,
        ..Card::new(Kind::Student, &config, pde.as_ref())
    };
    Model { card, statistics, network, calibrations: Vec::new(), operator: None, checksum: None }
}

/// Writes the description of `bundle` as the first format had it.
fn as_first_format(bundle: &mut Bundle) {
    let metadata = &mut bundle.metadata;
    metadata["format"] = json!(1);
    let fields = metadata.as_object_mut().unwrap();
    fields.remove("bases");
    let coordinates = fields.remove("coordinates").unwrap();
    metadata["diffusion"]["preconditioning"] = coordinates["kind"].clone();
    metadata["diffusion"]["noise"] = coordinates["noise"].clone();
    metadata["diffusion"]["rho"] = json!(7.0);
    metadata["diffusion"]["joint_modes"] = json!(16);
}

/// Loads the file that `bundle` makes, its checksum right.
fn loaded(bundle: &Bundle) -> Result<Model> {
    let file = tempfile::NamedTempFile::new().unwrap();
    weights::write(file.path(), bundle).unwrap();
    Model::load(file.path(), &cpu())
}

/// Asserts that a file is refused as a bad one by a reason that has `part` in it.
fn assert_refused(bundle: &Bundle, part: &str, what: &str) {
    match loaded(bundle) {
        Err(Error::BadFile { reason, .. }) => {
            assert!(reason.contains(part), "{what}: {reason}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn a_description_that_breaks_a_rule_is_refused_by_its_field() {
    let whole = student().to_bundle().unwrap();
    loaded(&whole).unwrap();
    for (field, value, part) in [
        ("/format", json!(0), "format 0"),
        ("/format", json!(FORMAT + 1), "format "),
        (
            "/operator",
            json!({ "net": { "width": 12 }, "sweeps": 1, "steps": 0 }),
            "operator.net.width",
        ),
        (
            "/operator",
            json!({ "net": { "multipliers": [1, 1, 1, 1, 1] }, "sweeps": 1, "steps": 0 }),
            "operator.net.multipliers has 5 levels",
        ),
        (
            "/operator",
            json!({ "net": { "multipliers": [1] }, "sweeps": 101, "steps": 0 }),
            "operator.sweeps",
        ),
        (
            "/operator",
            json!({ "net": { "multipliers": [1] }, "sweeps": 1, "steps": 0 }),
            "operator.net.embed_out.weight",
        ),
        ("/kind", json!("oracle"), "oracle"),
        ("/kind", json!("teacher"), "levels"),
        ("/pde", json!("posson"), "pde"),
        ("/pde", json!("navier-stokes"), "channels"),
        ("/params", json!({}), "params"),
        ("/params/alpha", json!(-1e300), "params"),
        ("/params/gamma", json!(1.0), "params"),
        ("/grid", json!(0), "grid"),
        ("/grid", json!(1u64 << 40), "statistics.mean"),
        ("/grid", json!(16), "statistics.mean"),
        ("/channels", json!(["u", "a"]), "channels"),
        ("/channels", json!(["a"]), "channels"),
        ("/channels", json!([]), "channels"),
        ("/bases", json!([]), "bases"),
        ("/bases/1/0", json!("Fourier"), "bases"),
        ("/net/width", json!(0), "net.width"),
        ("/net/width", json!(12), "net.width"),
        ("/net/width", json!(16), "net.width"),
        ("/net/width", json!(4096), "net.width"),
        ("/net/width", json!(8192), "net.width"),
        ("/net/width", json!(1u64 << 63), "net.width"),
        ("/net/multipliers", json!([]), "net.multipliers"),
        ("/net/multipliers", json!([1]), "net.middle"),
        ("/net/multipliers", json!([1, 2, 2]), "net.multipliers[2]"),
        ("/net/multipliers", json!([1, 0]), "net.multipliers"),
        ("/net/multipliers", json!([1, 3]), "net.multipliers[1]"),
        ("/net/multipliers", json!([1, 1u64 << 62]), "net.multipliers"),
        ("/net/multipliers", json!(vec![1; 60]), "net.multipliers"),
        ("/net/blocks", json!(0), "net.blocks"),
        ("/net/blocks", json!(2), "net.blocks"),
        ("/net/blocks", json!(1u64 << 30), "net.blocks"),
        ("/net/attention", json!([1]), "net.attention = [1]"),
        ("/net/attention", json!(null), "net.attention = null"),
        ("/net/patch", json!(0), "net.patch"),
        ("/net/patch", json!(2), "net.stem.weight"),
        ("/net/depth", json!(2), "depth"),
        ("/coordinates", json!({ "kind": "joint", "modes": 4 }), "statistics.components"),
        ("/coordinates", json!({ "kind": "joint", "modes": 9 }), "coordinates.modes"),
        ("/coordinates", json!({ "kind": "pixel" }), "net.stem.weight"),
        ("/coordinates/kind", json!("pixel"), "unknown field"),
        ("/coordinates/kind", json!("latent"), "latent"),
        ("/coordinates/noise", json!(1.5), "coordinates.noise"),
        ("/coordinates/noise", json!("red"), "Noise"),
        ("/coordinates/linear_predictor", json!(true), "statistics.regression"),
        ("/diffusion/sigma_min", json!(0.0), "sigma_min"),
        ("/diffusion/sigma_max", json!(1e-3), "sigma_max"),
        ("/diffusion/rho", json!(7.0), "rho"),
        ("/diffusion/ln_sigma_std", json!(-1.0), "diffusion.ln_sigma_std"),
        ("/levels", json!([]), "levels"),
        ("/levels", json!([1.0, 5.0]), "levels"),
        ("/levels", json!([1.0, 0.0]), "levels"),
        ("/levels", json!((1..1000).rev().collect::<Vec<u32>>()), "levels"),
        ("/seconds", json!(-1.0), "seconds"),
        ("/steps", json!(-1), "u64"),
        ("/record", json!({ "licence": "MIT\nor not" }), "record.licence"),
        ("/record", json!({ "licence": " " }), "record.licence"),
        ("/record", json!({ "parent": "1".repeat(201) }), "record.parent"),
        ("/record", json!({ "date": "yesterday" }), "record.date"),
        ("/record", json!({ "date": "2026-13-01" }), "record.date"),
        ("/record", json!({ "figures": {} }), "record.figures"),
        ("/record", json!({ "config": "#".repeat(1 << 20) }), "record.config"),
    ] {
        let mut metadata = whole.metadata.clone();
        match (metadata.pointer_mut(field), field.rsplit_once('/')) {
            (Some(place), _) => *place = value.clone(),
            (None, Some((parent, name))) => {
                metadata.pointer_mut(parent).unwrap()[name] = value.clone();
            }
            (None, None) => panic!("{field}"),
        }
        let changed = Bundle { metadata, ..whole.clone() };
        assert_refused(&changed, part, &format!("{field} = {value}"));
    }
}

#[test]
fn a_field_that_is_missing_or_of_another_type_is_refused() {
    let whole = student().to_bundle().unwrap();
    for name in
        ["format", "kind", "pde", "params", "grid", "channels", "bases", "net", "coordinates"]
    {
        let mut without = whole.clone();
        without.metadata.as_object_mut().unwrap().remove(name);
        let mut other = whole.clone();
        other.metadata[name] = json!(["x"]);
        for changed in [without, other] {
            assert!(matches!(loaded(&changed), Err(Error::BadFile { .. })), "{name}");
        }
    }
    let none = Bundle { metadata: Value::Null, ..whole };
    assert_refused(&none, "description", "null");
}

#[test]
fn tensors_that_are_missing_more_or_of_another_shape_are_named() {
    let whole = student().to_bundle().unwrap();
    for name in whole.tensors.keys() {
        let mut without = whole.clone();
        without.tensors.remove(name);
        assert_refused(&without, name, "missing");

        let mut reshaped = whole.clone();
        reshaped.tensors.get_mut(name).unwrap().shape.insert(0, 1);
        assert_refused(&reshaped, name, "of another shape");
    }

    let one = Array { shape: vec![1], data: vec![1.0] };
    for name in ["net.levels.0.down.1.x", "calibration.1.gain", "statistics.regression", "x"] {
        let mut more = whole.clone();
        more.tensors.insert(name.into(), one.clone());
        assert_refused(&more, name, "more");
    }
    let mut partly = whole.clone();
    let calibration = Array { shape: vec![1, 2, 8, 8], data: vec![1.0; 128] };
    for name in ["calibration.1.shift", "calibration.1.gain"] {
        partly.tensors.insert(name.into(), calibration.clone());
    }
    assert_refused(&partly, "calibration.2", "the second call is not calibrated");
}

#[test]
fn negative_deviations_and_another_pde_s_weights_are_refused() {
    let whole = student().to_bundle().unwrap();
    let mut negative = whole.clone();
    negative.tensors.get_mut("statistics.spectrum").unwrap().data[9] = -1.0;
    assert_refused(&negative, "statistics.spectrum: the deviation 9", "negative");

    let darcy = crate::problem::by_name("darcy").unwrap();
    let mut other = whole;
    other.metadata["pde"] = json!("darcy");
    other.metadata["params"] =
        darcy.params().iter().map(|p| (p.name.to_owned(), json!(p.value))).collect();
    assert_refused(&other, "bases", "as Darcy's");
    as_first_format(&mut other);
    assert_refused(&other, "another PDE's weights", "as Darcy's, without bases");
}

#[test]
fn a_file_of_the_first_format_is_read_and_written_anew_with_a_checksum() {
    let mut old = student().to_bundle().unwrap();
    as_first_format(&mut old);
    let model = loaded(&old).unwrap();
    assert!(model.card.bases.is_empty());
    assert_eq!(model.card.coordinates, student().card.coordinates);

    let file = tempfile::NamedTempFile::new().unwrap();
    model.save(file.path()).unwrap();
    let model = Model::load(file.path(), &cpu()).unwrap();
    assert_eq!(model.card.format, FORMAT);
    assert_eq!(model.card.bases[1], ["SineNodes", "SineNodes"]);
    assert_eq!(model.checksum.as_ref().unwrap().len(), 64);
}

#[test]
fn flipped_bits_anywhere_in_a_model_file_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    student().save_packed(file.path()).unwrap();
    let whole = std::fs::read(file.path()).unwrap();
    let bits = 8 * whole.len();
    let header = 8 * (8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize);
    // Prime steps, so that every place in a byte and in a value has its turn.
    let chosen = (0..header).step_by(37).chain((header..bits).step_by((bits / 300) | 1));
    for bit in chosen {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file.path(), &bytes).unwrap();
        let refused = Model::load(file.path(), &cpu());
        assert!(matches!(refused, Err(Error::BadFile { .. })), "bit {bit} of {bits}");
    }
}

#[test]
fn the_bundled_models_are_those_of_the_listed_checksums_and_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let list = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let listed: BTreeMap<PathBuf, &str> = list
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, name)| (folder.join(name), sum))
        .collect();
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let models: BTreeSet<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), models);
    for (path, sum) in listed {
        let found = Sha256::digest(std::fs::read(&path).unwrap());
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, sum, "{}", path.display());
        Model::load(&path, &cpu()).unwrap();
    }
}

/// A student whose operator adds something to its guess.
fn student_with_operator() -> Model {
    let student = student();
    let pde = student.card.pde().unwrap();
    let data = samples_from(pde.as_ref(), 20, 8, 1);
    let shape = [data.count, 2, 8, 8];
    let x = Tensor::<4>::from_data(TensorData::new(data.data.clone(), shape), &cpu());
    let frame = student.card.frame(&cpu()).unwrap();
    let sweeps = Guess::Sweeps(1);
    let statistics = OperatorStatistics::of(&x, &frame, &sweeps).unwrap();
    let statistics = statistics.with_residual(&data, &frame, &sweeps).unwrap();

    let net = student.card.net.clone();
    let card = OperatorCard { net, sweeps: 1, sees_residual: true, steps: 7, before: None };
    let seen = frame.pictures(true);
    let net = UNet::new(&card.net, seen.inputs.len(), seen.outputs.len(), 5, &cpu()).valid();
    let operator = Operator::new(card.clone(), net, statistics, sweeps, frame).freeze();
    Model {
        card: Card { operator: Some(card), ..student.card.clone() },
        operator: Some(operator),
        ..student
    }
}

/// A student whose operator is followed by another.
fn student_with_two_operators() -> Model {
    let student = student_with_operator();
    let first = student.operator.clone().unwrap();
    let data = samples_from(student.card.pde().unwrap().as_ref(), 20, 8, 1);
    let guess = Guess::Before(Arc::new(first.clone()));
    let statistics = OperatorStatistics::of_data(&data, first.frame(), &guess).unwrap();
    let statistics = statistics.with_residual(&data, first.frame(), &guess).unwrap();

    let card = OperatorCard { sweeps: 0, before: guess.before(), ..first.card.clone() };
    let frame = first.frame().clone();
    let operator = Operator::new(card.clone(), first.net, statistics, guess, frame).freeze();
    Model {
        card: Card { operator: Some(card), ..student.card.clone() },
        operator: Some(operator),
        ..student
    }
}

#[test]
fn a_file_gives_both_operators_back() {
    let model = student_with_two_operators();
    let file = tempfile::NamedTempFile::new().unwrap();
    let drawn =
        |model: &Model| crate::sampling::student_samples(model, 3, 2, 1, &mut |_| ()).unwrap().data;
    model.save(file.path()).unwrap();
    let back = Model::load(file.path(), &cpu()).unwrap();
    assert_eq!(back.card, model.card);
    assert_eq!(drawn(&back), drawn(&model));
    assert_ne!(drawn(&back), drawn(&student_with_operator()));
    assert_eq!(drawn(&back.joint().unwrap()), drawn(&student()));

    model.save_packed(file.path()).unwrap();
    let packed = Model::load(file.path(), &cpu()).unwrap();
    assert_eq!(drawn(&packed), drawn(&model.rounded().unwrap()));
}

#[test]
fn operators_in_a_row_are_two_at_most_and_the_last_has_no_sweeps() {
    let bundle = student_with_two_operators().to_bundle().unwrap();
    let loaded = |bundle: &Bundle| Model::from_bundle(bundle, &cpu()).unwrap_err().to_string();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut bundle = bundle.clone();
        change(&mut bundle.metadata["operator"]);
        loaded(&bundle)
    };
    for name in ["operator.gain", "operator.before.gain", "operator.before.left_mean"] {
        let mut bundle = bundle.clone();
        bundle.tensors.remove(name).unwrap();
        let message = loaded(&bundle);
        assert!(message.contains(name), "{message}");
    }
    let mut old = bundle.clone();
    old.metadata["format"] = json!(6);
    assert!(loaded(&old).contains("operator.before found, which format 6 does not have"));

    let message = refused(&|operator| operator["sweeps"] = json!(1));
    assert!(message.contains("operator.sweeps 1 found, 0 to 0 expected"), "{message}");
    let message = refused(&|operator| operator["before"]["sweeps"] = json!(101));
    assert!(message.contains("operator.before.sweeps 101 found"), "{message}");
    let message = refused(&|operator| operator["before"]["net"]["width"] = json!(4096));
    assert!(message.contains("operator.before.net"), "{message}");
    let message = refused(&|operator| {
        let first = operator["before"].clone();
        operator["before"]["before"] = first;
        operator["before"]["sweeps"] = json!(0);
    });
    assert!(message.contains("more than 2 operators in a row"), "{message}");
}

#[test]
fn a_file_gives_the_operator_back() {
    let model = student_with_operator();
    let file = tempfile::NamedTempFile::new().unwrap();
    model.save(file.path()).unwrap();
    let back = Model::load(file.path(), &cpu()).unwrap();
    assert_eq!(back.card, model.card);
    let drawn =
        |model: &Model| crate::sampling::student_samples(model, 3, 2, 1, &mut |_| ()).unwrap().data;
    assert_eq!(drawn(&back), drawn(&model));
    // Without it, the generator's own solution is seen.
    let joint = model.joint().unwrap();
    assert_ne!(drawn(&joint), drawn(&model));
    assert_eq!(drawn(&joint), drawn(&student()));
    assert!(joint.joint().is_none());

    model.save_packed(file.path()).unwrap();
    assert_eq!(Model::load(file.path(), &cpu()).unwrap().card, model.card);
}

#[test]
fn an_operator_that_breaks_a_rule_is_refused() {
    let whole = student_with_operator().to_bundle().unwrap();
    loaded(&whole).unwrap();
    for (name, at) in [
        ("operator.guess_deviation", 3),
        ("operator.left_deviation", 0),
        ("operator.input", 1),
        ("operator.residual", 0),
    ] {
        for value in [0.0, -1.0] {
            let mut changed = whole.clone();
            changed.tensors.get_mut(name).unwrap().data[at] = value;
            assert_refused(&changed, name, name);
        }
    }

    let mut without = whole.clone();
    without.metadata.as_object_mut().unwrap().remove("operator");
    assert_refused(&without, "tensor `operator.", "no card");
    let mut older = whole.clone();
    older.metadata["format"] = json!(3);
    assert_refused(&older, "which format 3 does not have", "an older format");
    let mut teacher = whole;
    teacher.metadata["kind"] = json!("teacher");
    teacher.metadata["levels"] = json!([]);
    assert_refused(&teacher, "operator found", "a teacher");
}
