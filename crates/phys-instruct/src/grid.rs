//! The form of a grid in configs, model cards and manifests. A number is so many points a side of
//! the unit square; any other grid is a table `{ points = [48, 80], sides = [0.6, 1.0] }`, y first.

use std::fmt;

use phys_instruct_physics::Grid;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The grid as a table.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rectangle {
    /// Points along y and along x.
    points: [usize; 2],
    /// Lengths of the sides along y and along x.
    #[serde(default = "unit")]
    sides: [f64; 2],
}

fn unit() -> [f64; 2] {
    [1.0, 1.0]
}

/// The forms that a grid may have in a config.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Form {
    /// Points a side of the unit square.
    Square(usize),
    /// Points and sides of a rectangle.
    Rectangle(Rectangle),
}

/// The schema of a grid.
pub fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Form>()
}

/// Writes a grid: a number for a square grid on the unit square, else a table.
///
/// # Errors
/// Fails as the serializer does.
pub fn serialize<S: Serializer>(
    grid: &Grid,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    if grid.is_unit() && grid.is_square() {
        return grid.nx.serialize(serializer);
    }
    Rectangle { points: grid.shape(), sides: grid.sides() }.serialize(serializer)
}

/// The grid as JSON, in the same forms.
pub fn json(grid: Grid) -> serde_json::Value {
    serialize(&grid, serde_json::value::Serializer).unwrap_or_default()
}

/// Reads a grid of either form. Its values are not checked.
///
/// # Errors
/// Fails for anything else.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Grid, D::Error> {
    struct Either;

    impl<'de> Visitor<'de> for Either {
        type Value = Grid;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("points a side, or a table of points and sides")
        }

        fn visit_u64<E: serde::de::Error>(self, points: u64) -> std::result::Result<Grid, E> {
            let too_many = || E::custom(format!("{points} points a side are too many"));
            Ok(Grid::square(points.try_into().map_err(|_| too_many())?))
        }

        fn visit_i64<E: serde::de::Error>(self, points: i64) -> std::result::Result<Grid, E> {
            let negative = || E::custom(format!("{points} points a side: a count expected"));
            self.visit_u64(points.try_into().map_err(|_| negative())?)
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> std::result::Result<Grid, M::Error> {
            let Rectangle { points: [ny, nx], sides: [ly, lx] } =
                Rectangle::deserialize(MapAccessDeserializer::new(map))?;
            Ok(Grid { ny, nx, ly, lx })
        }
    }

    from.deserialize_any(Either)
}
