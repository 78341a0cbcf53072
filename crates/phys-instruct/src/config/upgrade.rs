//! The conversion of configs of the first form into the present form. In the first form a student's
//! training is a table of numbers instead of a list of phases. The coordinates are among the
//! numbers of the diffusion.

use toml::{Table, Value};

/// Old keys of `[distill]` that a phase has under the same or another name: `(old, new)`.
const WARM_START: [(&str, &str); 3] =
    [("warm_start", "steps"), ("warm_start_nfe", "calls"), ("warm_start_pairs", "batches")];
const MATCHING: [(&str, &str); 5] = [
    ("steps", "steps"),
    ("weight", "weight"),
    ("ln_sigma_mean", "ln_sigma_mean"),
    ("ln_sigma_std", "ln_sigma_std"),
    ("optimizer", "optimizer"),
];
const AUXILIARY: [(&str, &str); 4] = [
    ("auxiliary_steps", "steps"),
    ("auxiliary_ln_sigma_mean", "ln_sigma_mean"),
    ("auxiliary_ln_sigma_std", "ln_sigma_std"),
    ("auxiliary_optimizer", "optimizer"),
];
const GUIDANCE: [(&str, &str); 2] =
    [("ratio", "residual_ratio"), ("round_input", "threshold_input")];
/// Keys of a matching phase that stand in its table `ablation` today.
const MATCHING_ABLATION: [&str; 2] = ["divergence", "weight"];
/// Keys of guidance that stand in its table `ablation` today.
const GUIDANCE_ABLATION: [&str; 4] = ["balance", "relative", "detach_input", "threshold_input"];

/// Old keys that say what is the same everywhere today.
const DROPPED: [&str; 4] = ["mode_weight", "warm_start_mode_weight", "warm_start_rate", "alpha"];

/// Rewrites the old keys of a config and returns their names; none for a config of today.
pub(super) fn upgrade(config: &mut Table) -> Vec<String> {
    let mut old = without_attention(config);
    if let Some(train) = table(config, "train") {
        old.extend(renamed(train, "train", &[("physics_weight", "residual_weight")]));
    }

    let coordinates =
        table(config, "diffusion").and_then(|diffusion| coordinates(diffusion, &mut old));
    if let Some(coordinates) = coordinates {
        config.entry("coordinates").or_insert(Value::Table(coordinates));
    }

    if let Some(distill) = table(config, "distill") {
        if !distill.contains_key("phase") {
            let phases = phases(distill, &mut old);
            if !phases.is_empty() {
                distill.insert("phase".into(), Value::Array(phases));
                // The default was `mean` then.
                distill.entry("skip").or_insert(Value::from("mean"));
            }
        }
        let phases = distill.get_mut("phase").and_then(Value::as_array_mut);
        for phase in phases.into_iter().flatten().filter_map(Value::as_table_mut) {
            ablation(phase, &mut old);
        }
    }
    old
}

fn table<'a>(parent: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    parent.get_mut(name).and_then(Value::as_table_mut)
}

/// Takes the empty list `attention` out of every network's table. Networks had attention once; a
/// list with levels in it stays, to be refused by name.
fn without_attention(config: &mut Table) -> Vec<String> {
    let mut old = Vec::new();
    let mut drop_from = |parent: &mut Table, at: &str| {
        let Some(net) = table(parent, "net") else { return };
        if net.get("attention").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            net.remove("attention");
            old.push(format!("{at}net.attention"));
        }
    };
    drop_from(config, "");

    let phases = table(config, "distill").and_then(|distill| distill.get_mut("phase"));
    for phase in phases.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(phase) = phase.as_table_mut() {
            drop_from(phase, "distill.phase.");
        }
    }
    old
}

/// Moves the keys of a matching phase that are for comparison alone into their tables `ablation`.
fn ablation(phase: &mut Table, old: &mut Vec<String>) {
    if phase.get("kind").and_then(Value::as_str) != Some("matching") {
        return;
    }
    into_ablation(phase, "distill.phase", &MATCHING_ABLATION, old);
    if let Some(guidance) = table(phase, "guidance") {
        into_ablation(guidance, "distill.phase.guidance", &GUIDANCE_ABLATION, old);
    }
}

/// Moves those keys of a table that are among `names` into its table `ablation`.
fn into_ablation(from: &mut Table, at: &str, names: &[&str], old: &mut Vec<String>) {
    for name in names {
        let Some(value) = from.remove(*name) else { continue };
        old.push(format!("{at}.{name}"));
        let ablation = from.entry("ablation").or_insert_with(|| Value::Table(Table::new()));
        if let Some(ablation) = ablation.as_table_mut() {
            ablation.insert((*name).into(), value);
        }
    }
}

/// Gives keys of a table their new names.
fn renamed(table: &mut Table, at: &str, names: &[(&str, &str)]) -> Vec<String> {
    let mut old = Vec::new();
    for (before, now) in names {
        if let Some(value) = table.remove(*before) {
            table.insert((*now).into(), value);
            old.push(format!("{at}.{before}"));
        }
    }
    old
}

/// Takes the keys out of `from`, in their new names.
fn taken(from: &mut Table, names: &[(&str, &str)], old: &mut Vec<String>) -> Table {
    let mut found = Table::new();
    for (before, now) in names {
        if let Some(value) = from.remove(*before) {
            found.insert((*now).into(), value);
            old.push(format!("distill.{before}"));
        }
    }
    found
}

/// Takes the coordinates out of the numbers of the diffusion; none where there were none.
fn coordinates(diffusion: &mut Table, old: &mut Vec<String>) -> Option<Table> {
    let mut take = |name: &str| {
        let value = diffusion.remove(name);
        old.extend(value.is_some().then(|| format!("diffusion.{name}")));
        value
    };
    let [kind, noise, regress, modes, rho] =
        ["preconditioning", "noise", "regress", "joint_modes", "rho"].map(&mut take);
    // The sampler's curvature is EDM's for every model.
    drop(rho);
    if kind.is_none() && noise.is_none() && regress.is_none() && modes.is_none() {
        return None;
    }

    let kind = kind.unwrap_or(Value::from("modes"));
    let name = kind.as_str().unwrap_or_default().to_owned();
    let mut found = Table::from_iter([("kind".to_owned(), kind)]);
    let mut keep = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            found.insert(key.into(), value);
        }
    };

    // The noise of joint components is the data's, that of pixels white.
    if name == "modes" {
        keep("noise", noise);
    }
    if name == "joint" {
        keep("modes", modes);
    }
    if name != "pixel" {
        keep("linear_predictor", regress);
    }
    Some(found)
}

/// The phases that the old numbers of `[distill]` describe.
fn phases(distill: &mut Table, old: &mut Vec<String>) -> Vec<Value> {
    let phase = |kind: &str, mut keys: Table| {
        keys.insert("kind".into(), Value::from(kind));
        Value::Table(keys)
    };
    let steps = |keys: &Table| keys.get("steps").and_then(Value::as_integer).unwrap_or(0);

    let anchored = distill.remove("anchored");
    old.extend(anchored.is_some().then(|| "distill.anchored".to_owned()));
    let guidance = distill.remove("guidance");
    old.extend(guidance.is_some().then(|| "distill.guidance".to_owned()));

    let warm_start = taken(distill, &WARM_START, old);
    let mut matching = taken(distill, &MATCHING, old);
    let auxiliary = taken(distill, &AUXILIARY, old);
    let course = taken(distill, &[("warmup", "warmup"), ("decay", "decay")], old);

    if let Some(matched) = distill.remove("matching") {
        old.push("distill.matching".into());
        matching.insert(
            "divergence".into(),
            Value::Table(Table::from_iter([("kind".into(), matched)])),
        );
    }
    for name in DROPPED {
        old.extend(distill.remove(name).is_some().then(|| format!("distill.{name}")));
    }

    if old.iter().all(|key| !key.starts_with("distill.")) {
        return Vec::new();
    }

    let mut all = Vec::new();
    if steps(&warm_start) > 0 {
        all.push(phase("warm-start", warm_start.into_iter().chain(course.clone()).collect()));
    }

    // Matching had steps unless they were taken away.
    if !matching.contains_key("steps") || steps(&matching) > 0 {
        matching.extend(course);
        if !auxiliary.is_empty() {
            matching.insert("auxiliary".into(), Value::Table(auxiliary));
        }
        if let Some(Value::Table(mut guidance)) = guidance {
            let _ = renamed(&mut guidance, "distill.guidance", &GUIDANCE);
            matching.insert("guidance".into(), Value::Table(guidance));
        }
        all.push(phase("matching", matching));
    }

    if let Some(Value::Table(mut anchored)) =
        anchored.filter(|a| a.as_table().is_some_and(|a| steps(a) > 0))
    {
        let calibrate =
            anchored.remove("calibrate").and_then(|value| value.as_bool()) == Some(true);
        anchored.remove("input_weight");
        let calibration = |channels: &str| {
            phase("calibrate", Table::from_iter([("channels".into(), Value::from(channels))]))
        };
        all.extend(calibrate.then(|| calibration("all")));
        all.push(phase("anchored", anchored));
        all.extend(calibrate.then(|| calibration("solution")));
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Config;
    use crate::config::load::to_toml;

    fn upgraded(text: &str) -> (Config, Vec<String>) {
        let mut table: Table = text.parse().unwrap();
        let old = upgrade(&mut table);
        (Config::from_toml(&toml::to_string(&table).unwrap()).unwrap(), old)
    }

    #[test]
    fn numbers_become_phases() {
        let (config, old) = upgraded(
            "pde = 'darcy'\ngrid = 16\n[train]\nphysics_weight = 0.5\n\
             [diffusion]\npreconditioning = 'joint'\nnoise = 'data'\njoint_modes = 4\nregress = true\n\
             [distill]\nwarm_start = 5\nwarm_start_nfe = 3\nwarm_start_pairs = 2\nsteps = 20\n\
             matching = 'ikl'\nauxiliary_steps = 3\nwarmup = 7\n\
             [distill.guidance]\nratio = 0.2\n[distill.anchored]\nsteps = 10\ncalibrate = true\n",
        );
        let text = to_toml(&config).unwrap();
        let (today, none) = upgraded(
            "pde = 'darcy'\ngrid = 16\n[train]\nresidual_weight = 0.5\n\
             [coordinates]\nkind = 'joint'\nmodes = 4\nlinear_predictor = true\n[distill]\nskip = 'mean'\n\
             [[distill.phase]]\nkind = 'warm-start'\nsteps = 5\ncalls = 3\nbatches = 2\nwarmup = 7\n\
             [[distill.phase]]\nkind = 'matching'\nsteps = 20\nwarmup = 7\nauxiliary = { steps = 3 }\n\
             guidance = { residual_ratio = 0.2 }\n[[distill.phase]]\nkind = 'calibrate'\n\
             [[distill.phase]]\nkind = 'anchored'\nsteps = 10\n\
             [[distill.phase]]\nkind = 'calibrate'\nchannels = 'solution'\n",
        );
        assert_eq!(text, to_toml(&today).unwrap());
        assert!(none.is_empty(), "{none:?}");
        for key in ["train.physics_weight", "diffusion.preconditioning", "distill.warm_start"] {
            assert!(old.iter().any(|name| name == key), "{key}: {old:?}");
        }
    }

    #[test]
    fn keys_for_comparison_move_into_their_tables() {
        let (config, old) = upgraded(
            "pde = 'poisson'\ngrid = 16\n[distill]\n[[distill.phase]]\nkind = 'matching'\n\
             weight = 'one'\nguidance = { balance = 'fixed', ramp = 3 }\n",
        );
        let (today, none) = upgraded(
            "pde = 'poisson'\ngrid = 16\n[distill]\n[[distill.phase]]\nkind = 'matching'\n\
             ablation = { weight = 'one' }\n\
             guidance = { ablation = { balance = 'fixed' }, ramp = 3 }\n",
        );
        assert_eq!(config, today);
        assert_eq!(old, ["distill.phase.weight", "distill.phase.guidance.balance"]);
        assert!(none.is_empty(), "{none:?}");
    }

    #[test]
    fn an_empty_list_of_attention_is_dropped() {
        let text = "pde = 'poisson'\ngrid = 16\n[net]\nattention = []\n[distill]\n\
                    [[distill.phase]]\nkind = 'operator'\nnet = { attention = [], width = 8 }\n";
        let (_, old) = upgraded(text);
        assert_eq!(old, ["net.attention", "distill.phase.net.attention"]);
        let mut table: Table = text.replacen("[]", "[1]", 1).parse().unwrap();
        assert_eq!(upgrade(&mut table), ["distill.phase.net.attention"]);
        assert!(table["net"].get("attention").is_some());
    }

    #[test]
    fn a_config_of_today_is_left_as_it_is() {
        let text =
            "pde = 'poisson'\ngrid = 16\n[diffusion]\nln_sigma_std = 2.0\n[distill]\nbatch = 4\n";
        let mut table: Table = text.parse().unwrap();
        assert!(upgrade(&mut table).is_empty());
        assert_eq!(table, text.parse().unwrap());
    }
}
