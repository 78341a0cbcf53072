//! Round trips: anything that is written is read back the same.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use phys_instruct::Config;
use phys_instruct::condition::{Observation, Observations, files};
use phys_instruct::config::load;
use phys_instruct::store::manifest::{ChannelStats, FORMAT, Manifest, Recipe, Shard};
use phys_instruct::store::weights::{self, Array, Bundle};
use phys_instruct::store::{NdArray, Run, npy, npz};
use phys_instruct_physics::Grid;
use phys_instruct_physics::poisson::Poisson;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any finite `f32`, with the rarest kinds as often as any other.
fn finite() -> impl Strategy<Value = f32> {
    use proptest::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    NORMAL | SUBNORMAL | ZERO | POSITIVE | NEGATIVE
}

/// A shape of up to four axes, and values to fill it; some shapes hold none.
fn shaped() -> impl Strategy<Value = (Vec<usize>, Vec<f32>)> {
    prop::collection::vec(0usize..5, 0..4).prop_flat_map(|shape| {
        let count = shape.iter().product::<usize>();
        (Just(shape), prop::collection::vec(finite(), count))
    })
}

fn array() -> impl Strategy<Value = NdArray> {
    let single = shaped().prop_map(|(shape, data)| NdArray::from_f32(shape, data).unwrap());
    let double = shaped().prop_map(|(shape, data)| {
        let data = data.into_iter().map(|v| f64::from(v) / 3.0).collect();
        NdArray::from_f64(shape, data).unwrap()
    });
    prop_oneof![single, double]
}

/// JSON of at most three levels. Fractions are left out, since their last place may change.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let tree = leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    // The checksum has a name of its own, which documents must not use.
    prop::collection::btree_map("[a-rt-z]{1,9}", tree, 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn in_file<T>(name: &str, work: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    work(&folder.path().join(name))
}

/// Bits and not values are compared, since 0 equals -0.
fn bits(array: &NdArray) -> (Vec<usize>, Vec<u64>) {
    (array.shape.clone(), array.clone().into_f64().iter().map(|v| v.to_bits()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_array_comes_back_to_the_bit(array in array()) {
        let back = in_file("x.npy", |path| {
            npy::write(path, &array).unwrap();
            npy::read(path).unwrap()
        });
        prop_assert_eq!(bits(&back), bits(&array));
    }

    #[test]
    fn an_archive_comes_back_to_the_bit(
        arrays in prop::collection::btree_map("[a-zA-Z_é][a-z0-9 _+-]{0,9}", array(), 0..4),
    ) {
        let named: Vec<(&str, &NdArray)> = arrays.iter().map(|(n, a)| (n.as_str(), a)).collect();
        let back = in_file("x.npz", |path| {
            npz::write(path, &named).unwrap();
            npz::read(path).unwrap()
        });
        prop_assert_eq!(back.keys().collect::<Vec<_>>(), arrays.keys().collect::<Vec<_>>());
        for (name, array) in &arrays {
            prop_assert_eq!(bits(&back[name]), bits(array));
        }
    }

    #[test]
    fn weights_come_back_to_the_bit(
        tensors in prop::collection::btree_map(any::<String>(), shaped(), 0..4),
        metadata in document(),
    ) {
        let tensors: BTreeMap<String, Array> = tensors
            .into_iter()
            // The container uses this name for its own metadata.
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, (shape, data))| (name, Array { shape, data }))
            .collect();
        let bundle = Bundle { metadata, tensors };
        let (back, again) = in_file("x.safetensors", |path| {
            weights::write(path, &bundle).unwrap();
            let back = weights::read(path).unwrap();
            let first = std::fs::read(path).unwrap();
            weights::write(path, &back).unwrap();
            (back, first == std::fs::read(path).unwrap())
        });
        prop_assert_eq!(back, bundle);
        prop_assert!(again, "the same content gave other bytes");
    }

    #[test]
    fn a_config_comes_back(
        pde in prop::sample::select(&["darcy", "poisson", "helmholtz", "navier-stokes", "burgers"]),
        seed in 0..i64::MAX as u64,
        [grid, blocks, batch] in [3u32..8, 1..4, 1..99].prop_map(|[g, b, n]| [1 << g, b, n]),
        [rate, noise, weight] in [1e-9f64..1.0, 1e-3..10.0, 0.0..1e9],
    ) {
        let text = format!(
            "pde = '{pde}'\ngrid = {grid}\nseed = {seed}\n[net]\nblocks = {blocks}\n\
             [train]\nbatch = {batch}\nresidual_weight = {weight}\n\
             optimizer = {{ learning_rate = {rate:e} }}\n[diffusion]\nln_sigma_std = {noise}\n"
        );
        let config = Config::from_toml(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let written = load::to_toml(&config).unwrap();
        let back = Config::from_toml(&written).unwrap();
        prop_assert_eq!(load::to_toml(&back).unwrap(), written);
        prop_assert_eq!(back, config);
    }

    #[test]
    fn observations_come_back(
        points in prop::collection::btree_map(
            (0usize..2, 0u8..16, 0u8..16),
            (-1e9f64..1e9, prop::option::of(0.0f64..1e3)),
            1..20,
        ),
    ) {
        let point = |((channel, row, column), (value, sd))| Observation {
            channel,
            row: f64::from(row),
            column: f64::from(column),
            value,
            sd,
        };
        let pde = Poisson::default();
        let names = ["a".to_owned(), "u".to_owned()];
        let points: Vec<Observation> = points.into_iter().map(point).collect();
        let observations = Observations::new(&names, Grid::square(16), points).unwrap();
        let back = in_file("x.csv", |path| {
            files::write(path, &observations, &pde).unwrap();
            files::read(path, &pde, Grid::square(16)).unwrap()
        });
        prop_assert_eq!(back.observations.points(), observations.points());
    }

    #[test]
    fn metrics_come_back(steps in prop::collection::vec(any::<u64>(), 0..9), more in document()) {
        let line = |step: &u64| {
            let mut line = more.clone();
            line["step"] = json!(step);
            line
        };
        let lines: Vec<Value> = steps.iter().map(line).collect();
        let back = in_file("run", |folder| {
            let run = Run::create(folder, "").unwrap();
            lines.iter().for_each(|line| run.append_metrics(line).unwrap());
            run.metrics().unwrap()
        });
        prop_assert_eq!(back, lines);
    }

    #[test]
    fn a_manifest_comes_back(
        pde in any::<String>(),
        params in prop::collection::btree_map(any::<String>(), -1e9f64..1e9, 0..3),
        seed in any::<u64>(),
        [ny, nx, count, shard_size] in [1usize..99, 1..99, 1..99, 1..99],
        [ly, lx] in [0.1f64..9.0, 0.1..9.0],
        [mean, std] in [-1e9f64..1e9, 0.0..1e9],
    ) {
        let shards = (0..count.div_ceil(shard_size)).map(|i| Shard {
            file: format!("shard-{i:05}.npy"),
            count: shard_size.min(count - i * shard_size),
            sha256: "0123456789abcdef".repeat(4),
        });
        // A value that has passed through JSON once does not change again.
        let manifest: Manifest = through_json(&Manifest {
            format: FORMAT,
            generator: pde.clone(),
            recipe: Recipe {
                pde,
                params,
                seed,
                grid: Grid { ny, nx, ly, lx },
                count,
                shard_size,
                part: None,
            },
            channels: vec![ChannelStats { name: "a".into(), mean, std }],
            shards: shards.collect(),
        });
        let back = in_file("manifest.json", |path| {
            std::fs::write(path, serde_json::to_string(&manifest).unwrap()).unwrap();
            Manifest::read(path.parent().unwrap()).unwrap()
        });
        prop_assert_eq!(back, through_json(&manifest));
    }
}

fn through_json(manifest: &Manifest) -> Manifest {
    serde_json::from_str(&serde_json::to_string(manifest).unwrap()).unwrap()
}
