//! Reading a configuration: a TOML file, changes by the name of a key, and refusals that name the
//! key, what was found and what was expected.

use std::path::Path;

use toml::{Table, Value};

pub use super::overrides::Changes;
use super::overrides::apply;
use super::schema::{Part, join};
pub use super::schema::{keys, nearest, schema};
use super::upgrade::upgrade;
use crate::store::file::read_text;
use crate::{Config, Error, Result, problem};

/// Largest configuration file read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Reads `path` and applies `changes`, first what they unset, then what they set.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadFile`] for bad TOML, unknown keys and values of the wrong type;
/// [`Error::Config`] for a change, or for values that do not fit each other.
pub fn load(path: &Path, changes: &Changes) -> Result<Config> {
    Ok(load_noting(path, changes)?.0)
}

/// [`load`], with the keys of an older form that were read as those of today.
///
/// # Errors
/// Fails as [`load`] does.
pub fn load_noting(path: &Path, changes: &Changes) -> Result<(Config, Vec<String>)> {
    let bad = |reason| Error::BadFile { path: path.into(), reason };
    // A pipe or a device may never end; only an ordinary file has a length to be held to.
    let text = read_text(path, MOST_BYTES)?;
    from_text(&text, changes, &bad)
}

/// The resolved configuration as TOML, every default written out.
///
/// # Errors
/// A value TOML cannot hold (a seed above 2^63 - 1).
pub fn to_toml(config: &Config) -> Result<String> {
    toml::to_string(config).map_err(|e| Error::Config(e.to_string()))
}

/// The keys at which two configurations differ, with both values.
pub fn differences(ours: &Config, theirs: &Config) -> Vec<String> {
    let tables = [ours, theirs].map(|c| Value::try_from(c).ok());
    let mut found = Vec::new();
    if let [Some(ours), Some(theirs)] = &tables {
        compare(Some(ours), Some(theirs), "", &mut found);
    }
    found
}

/// A path as text, which configs hold.
///
/// # Errors
/// [`Error::Request`] for a path that is not UTF-8.
pub fn utf8(path: &Path) -> Result<String> {
    let name = path.display();
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::Request(format!("{name}: the config holds this path, which has to be UTF-8"))
    })
}

/// Reads the text of a config of any version, such as the one that a run folder keeps.
///
/// # Errors
/// Fails as [`load`] does.
pub fn of_any_version(text: &str) -> Result<Config> {
    Ok(from_text(text, &Changes::default(), &Error::Config)?.0)
}

fn from_text(
    text: &str,
    changes: &Changes,
    bad: &dyn Fn(String) -> Error,
) -> Result<(Config, Vec<String>)> {
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| bad(e.to_string()))?;
    if table.get("pde").is_some_and(Value::is_table) {
        let reason = "a description of data alone, which has a table [pde], and no config: `fit` makes \
                      a model of such data, and a config's `pde` may be the file's name";
        return Err(bad(reason.into()));
    }

    let old = upgrade(&mut table);
    let schema = schema();
    let mut value = Value::Table(table);
    Part::whole(&schema).check(&value, "").map_err(bad)?;
    apply(&mut value, changes, &schema).map_err(Error::Config)?;

    Part::whole(&schema).check_complete(&value, "").map_err(bad)?;
    take_described_sides(&mut value)?;
    let config: Config = value.try_into().map_err(|e: toml::de::Error| bad(e.to_string()))?;
    Ok((config.completed()?, old))
}

/// Gives a grid without sides those that the description of the PDE states, if it is known by data
/// alone.
///
/// # Errors
/// Fails for a description that cannot be read.
fn take_described_sides(config: &mut Value) -> Result<()> {
    let pde = config.get("pde").and_then(Value::as_str).map(str::to_owned);
    let Some(pde) = pde.filter(|pde| problem::is_description(Path::new(pde))) else {
        return Ok(());
    };
    let Some([ly, lx]) = problem::by_name(&pde)?.sides() else { return Ok(()) };

    let sides = Value::from(vec![ly, lx]);
    match config.get_mut("grid") {
        Some(Value::Table(grid)) => {
            grid.entry("sides").or_insert(sides);
        }
        Some(grid @ Value::Integer(_)) => {
            let points = Value::from(vec![grid.clone(), grid.clone()]);
            *grid = Value::Table(
                [("points".into(), points), ("sides".into(), sides)].into_iter().collect(),
            );
        }
        _ => {}
    }
    Ok(())
}

fn compare(ours: Option<&Value>, theirs: Option<&Value>, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Some(Value::Table(a)), Some(Value::Table(b))) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                compare(a.get(key), b.get(key), &join(path, key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if holds_tables(a) || holds_tables(b) => {
            for i in 0..a.len().max(b.len()) {
                compare(a.get(i), b.get(i), &format!("{path}[{i}]"), found);
            }
        }
        (a, b) if a != b => {
            let show = |v: Option<&Value>| v.map_or("nothing".into(), ToString::to_string);
            found.push(format!("{path} = {} against {}", show(a), show(b)));
        }
        _ => (),
    }
}

fn holds_tables(values: &[Value]) -> bool {
    values.iter().any(Value::is_table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{CoordinatesConfig, NamedNoise, Noise, PhaseConfig};

    const SMALL: &str = "pde = 'poisson'\ngrid = 16\n";
    /// A student of all kinds of phases, one of them twice.
    const STUDENT: &str = "pde = 'poisson'\ngrid = 16\n\
        [[distill.phase]]\nkind = 'matching'\nsteps = 7\nguidance = {}\n\
        [[distill.phase]]\nkind = 'calibrate'\n\
        [[distill.phase]]\nkind = 'anchored'\n\
        [[distill.phase]]\nkind = 'calibrate'\nchannels = 'solution'\n";

    fn read(text: &str, set: &[&str]) -> Result<Config> {
        changed(text, &Changes::setting(set))
    }

    fn changed(text: &str, changes: &Changes) -> Result<Config> {
        let bad = |reason| Error::BadFile { path: "x.toml".into(), reason };
        Ok(from_text(text, changes, &bad)?.0)
    }

    fn without(text: &str, unset: &[&str]) -> Result<Config> {
        let unset = unset.iter().map(|&name| name.into()).collect();
        changed(text, &Changes { unset, ..Changes::default() })
    }

    fn refusal(text: &str, set: &[&str]) -> String {
        read(&format!("{SMALL}{text}"), set).unwrap_err().to_string()
    }

    fn kinds(config: &Config) -> Vec<&'static str> {
        config.distill.as_ref().unwrap().phases.iter().map(PhaseConfig::kind).collect()
    }

    #[test]
    fn overrides_are_typed_by_their_key() {
        let config = read(
            SMALL,
            &[
                "train.steps=7",
                "train.optimizer.learning_rate=1",
                "coordinates.noise=data",
                "net.multipliers=[1, 2, 4]",
                "data.path=a/b.npz",
                "params.k=2.5",
            ],
        )
        .unwrap();
        assert_eq!((config.train.steps, config.train.optimizer.learning_rate), (7, 1.0));
        assert_eq!(config.coordinates.noise(), Noise::Named(NamedNoise::Data));
        assert_eq!(config.net.multipliers, [1, 2, 4]);
        assert_eq!((config.data.path.as_deref(), config.params["k"]), (Some("a/b.npz"), 2.5));
        let config = read(SMALL, &["coordinates.noise=0.5"]).unwrap();
        assert_eq!(config.coordinates.noise().power(), 0.5);
    }

    #[test]
    fn another_kind_comes_first_and_drops_the_keys_it_does_not_have() {
        let text = format!("{SMALL}[coordinates]\nkind = 'modes'\nnoise = 'data'\n");
        let joint = read(&text, &["coordinates.modes=4", "coordinates.kind=joint"]).unwrap();
        let expected = CoordinatesConfig::Joint { modes: 4, linear_predictor: false };
        assert_eq!(joint.coordinates, expected);
        let same = read(&text, &["coordinates.kind=modes"]).unwrap();
        assert_eq!(same.coordinates.noise().power(), 1.0);
        let message = read(&text, &["coordinates.noise=data", "coordinates.kind=pixel"]);
        let message = message.unwrap_err().to_string();
        assert!(message.contains("`coordinates.noise` of kind \"pixel\""), "{message}");
    }

    #[test]
    fn phases_are_named_by_kind_or_number() {
        let steps = |set: &[&str], number: usize| {
            read(STUDENT, set).unwrap().student().unwrap().phases[number].steps()
        };
        assert_eq!(steps(&[], 0), Some(7));
        assert_eq!(steps(&["distill.matching.steps=9"], 0), Some(9));
        assert_eq!(steps(&["distill.phase[2].steps=11"], 2), Some(11));

        let message = |set| read(STUDENT, &[set]).unwrap_err().to_string();
        let several = message("distill.calibrate.channels=all");
        assert!(several.contains("`distill.phase[1]`, `distill.phase[3]`"), "{several}");
        let beyond = message("distill.phase[4].steps=2");
        assert!(beyond.contains("there are 4, counted from 0"), "{beyond}");
        let misspelt = message("distill.matching.step=2");
        assert!(misspelt.contains("did you mean `distill.phase[0].steps`"), "{misspelt}");
        let unknown = message("distill.matchin.steps=2");
        assert!(unknown.contains("unknown key `distill.matchin`"), "{unknown}");
    }

    #[test]
    fn a_phase_that_is_not_there_is_added_at_its_place() {
        let config = read(STUDENT, &["distill.warm-start.steps=3"]).unwrap();
        assert_eq!(kinds(&config)[..2], ["warm-start", "matching"]);
        let set = ["distill.anchored.steps=3", "distill.matching.steps=2", "distill.batch=8"];
        assert_eq!(kinds(&read(SMALL, &set).unwrap()), ["matching", "anchored"]);
    }

    #[test]
    fn keys_tables_and_phases_are_taken_out() {
        let names = ["distill.anchored", "distill.calibrate", "distill.matching.guidance"];
        let config = without(STUDENT, &names).unwrap();
        assert_eq!(kinds(&config), ["matching"]);
        let PhaseConfig::Matching(matching) = &config.student().unwrap().phases[0] else {
            panic!()
        };
        assert!(matching.guidance.is_none() && matching.steps == 7);
        assert_eq!(kinds(&without(STUDENT, &["distill.phase[0]"]).unwrap()).len(), 3);
        // What is not there need not be taken out, but has to be known.
        for known in ["distill.warm-start.calls", "train.start", "distill", "params.k"] {
            without(STUDENT, &[known]).unwrap();
        }
        for unknown in ["distil", "train.stop", "distill.matching.guide", "grid.x", "distill.", ""]
        {
            assert!(without(STUDENT, &[unknown]).is_err(), "{unknown}");
        }
    }

    #[test]
    fn the_resolved_config_reads_back_as_itself() {
        for text in [SMALL, STUDENT] {
            let config = read(text, &["params.tau=2", "coordinates.kind=joint"]).unwrap();
            assert_eq!(read(&to_toml(&config).unwrap(), &[]).unwrap(), config);
        }
    }

    #[test]
    fn what_is_no_ordinary_file_or_too_long_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.toml");
        std::fs::write(&long, vec![b'#'; (MOST_BYTES + 1) as usize]).unwrap();
        for path in [Path::new("/dev/zero"), folder.path(), &long] {
            assert!(load(path, &Changes::default()).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let message = refusal("[train]\nstep = 3", &[]);
        assert!(message.contains("`train.step`") && message.contains("`train.steps`"), "{message}");
        let message = refusal("", &["distill.matching.guidance.residual_ration=1"]);
        assert!(
            message.contains("--set") && message.contains("guidance.residual_ratio`"),
            "{message}"
        );
        assert!(refusal("zzz = 1", &[]).contains("known here: "));
    }

    #[test]
    fn a_description_is_told_from_a_config() {
        let error = read(crate::testing::MINE, &[]).unwrap_err().to_string();
        assert!(
            error.contains("a description of data alone") && error.contains("`fit`"),
            "{error}"
        );
    }

    #[test]
    fn wrong_types_name_key_found_and_expected() {
        for (text, parts) in [
            ("[train]\nsteps = 'many'", ["`train.steps`", "\"many\"", "a whole number"]),
            ("[train]\nsteps = -1", ["`train.steps`", "-1", "at least 0"]),
            ("[train]\ndecay = nan", ["`train.decay`", "NaN", "finite"]),
            ("[net]\nmultipliers = [1, 'a']", ["`net.multipliers[1]`", "\"a\"", "whole"]),
            ("net = 3", ["`net`", "the whole number 3", "a table"]),
            ("distill = 3", ["`distill`", "the whole number 3", "a table"]),
            ("[coordinates]\nkind = 'mode'", ["\"mode\"", "\"pixel\"", "mean \"modes\""]),
            (
                "[coordinates]\nnoise = 0.5",
                ["`coordinates.kind` is missing", "\"pixel\"", "\"joint\""],
            ),
            (
                "[coordinates]\nkind = 'modes'\nnoise = 'whit'",
                ["\"whit\"", "a finite number", "mean \"white\""],
            ),
            (
                "[[distill.phase]]\nkind = 'matching'\nguidance = { ablation = { relative = 1 } }",
                ["`distill.phase[0].guidance.ablation.relative`", "1", "true or"],
            ),
            ("[[distill.phase]]\nsteps = 3", ["`distill.phase[0].kind`", "missing", "warm-start"]),
        ] {
            let message = refusal(text, &[]);
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn bad_overrides_and_missing_keys_are_refused() {
        assert!(refusal("", &["train"]).contains("`key=value` expected"));
        assert!(refusal("", &["=3"]).contains("a key expected"));
        assert!(refusal("", &["grid.x=3"]).contains("not in a table"));
        assert!(refusal("", &["grid[0]=3"]).contains("a key expected"));
        assert!(refusal("", &["grid[0].x=3"]).contains("not in an array"));
        assert!(refusal("", &["grid[x].y=3"]).contains("a number in brackets expected"));
        let message = refusal("", &["distill.matching.auxiliary.optimizer.beta1=0.5"]);
        assert!(
            message.contains("`distill.phase[0].auxiliary.optimizer.learning_rate` is missing")
        );
        assert!(read("grid = 16", &[]).unwrap_err().to_string().contains("`pde` is missing"));
        assert!(read("pde = ", &[]).is_err());
    }

    #[test]
    fn differences_name_both_values() {
        let [a, b] = [[].as_slice(), &["train.steps=7"]].map(|o| read(SMALL, o).unwrap());
        assert_eq!(differences(&a, &a), Vec::<String>::new());
        assert_eq!(differences(&a, &b), ["train.steps = 5000 against 7"]);
        let [a, b] =
            [[].as_slice(), &["distill.matching.steps=9"]].map(|o| read(STUDENT, o).unwrap());
        assert_eq!(differences(&a, &b), ["distill.phase[0].steps = 7 against 9"]);
    }
}
