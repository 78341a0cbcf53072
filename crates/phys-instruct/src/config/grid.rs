//! The range of a grid in configs.

use phys_instruct_physics::Grid;

use super::check::Keys;
use crate::Result;

/// The fewest points along an axis for a network.
pub(crate) const FEWEST_POINTS: usize = 8;

/// The most points along an axis, as the command line has it.
const MOST_POINTS: usize = 4096;

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
