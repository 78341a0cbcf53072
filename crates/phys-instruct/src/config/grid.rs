//! A grid in configs, model cards and manifests. A number is so many points a side of the unit
//! square; any other grid is a table `{ points = [48, 80], sides = [0.6, 1.0] }`, y first.

use std::fmt;

use phys_instruct_physics::Grid;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::Keys;
use crate::Result;

/// The fewest points along an axis for a network.
pub(crate) const FEWEST_POINTS: usize = 8;

/// The most points along an axis, as the command line has it.
const MOST_POINTS: usize = 4096;

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

/// Checks points and sides of the grid in a config.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) with the value that is out of range.
pub(super) fn check(grid: Grid) -> Result<()> {
    let range = FEWEST_POINTS..=MOST_POINTS;
    if grid.is_square() && grid.is_unit() {
        return Keys("").count("grid", grid.nx, range);
    }
    let keys = Keys("grid");
    for (axis, points) in grid.shape().into_iter().enumerate() {
        keys.count(&format!("points[{axis}]"), points, range.clone())?;
    }
    for (axis, side) in grid.sides().into_iter().enumerate() {
        keys.above_zero(&format!("sides[{axis}]"), side)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Config;

    fn read(grid: &str) -> Result<Config> {
        Config::from_toml(&format!("pde = \"poisson\"\ngrid = {grid}"))
    }

    #[test]
    fn a_square_is_a_number_and_a_rectangle_a_table_both_ways() {
        let rectangle = Grid { ny: 48, nx: 80, ly: 0.6, lx: 1.0 };
        for (text, grid) in [
            ("32", Grid::square(32)),
            ("{ points = [32, 32] }", Grid::square(32)),
            ("{ points = [48, 80], sides = [0.6, 1.0] }", rectangle),
            (
                "{ points = [16, 16], sides = [2, 2] }",
                Grid { ly: 2.0, lx: 2.0, ..Grid::square(16) },
            ),
        ] {
            let config = read(text).unwrap();
            assert_eq!(config.grid, grid, "{text}");
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(json["grid"].is_u64(), grid == Grid::square(32), "{json}");
            assert_eq!(serde_json::from_value::<Config>(json).unwrap(), config);
            assert_eq!(Config::from_toml(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
    }

    #[test]
    fn what_is_no_grid_is_refused_by_its_key() {
        for (text, part) in [
            ("4", "grid = 4: 8 to 4096"),
            ("-8", "-8 points a side"),
            ("\"8x8\"", "points a side"),
            ("{ points = [48, 4] }", "grid.points[1] = 4"),
            ("{ points = [5000, 48] }", "grid.points[0] = 5000"),
            ("{ points = [48, 80], sides = [0.0, 1.0] }", "grid.sides[0] = 0"),
            ("{ points = [48, 80], sides = [1.0, inf] }", "grid.sides[1] = inf"),
            ("{ sides = [1.0, 1.0] }", "points"),
            ("{ points = [48, 80], side = [1.0, 1.0] }", "side"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let time = Config::from_toml(
            "pde = \"burgers\"\ngrid = { points = [48, 80], sides = [0.6, 1.0] }",
        );
        let problem = time.unwrap().ask_for_teacher().unwrap_err().to_string();
        assert!(problem.contains("share of the final time"), "{problem}");
    }
}
