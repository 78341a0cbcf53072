//! Places on and between grid points: the grid values that an observation depends on, and their
//! weights.
//!
//! Along each axis a field is interpolated by the polynomial through the six nearest points. Beyond
//! an edge the field is continued as its basis does: periodic for Fourier modes, odd about the wall
//! for sines. A field without slope at its edges uses the six outermost points. Data alone tell the
//! basis of the deviation from the mean, and nothing of the field's own value at a wall: there the
//! outermost points continue the field. An input of two values is constant in each cell, and
//! an observation sees the nearest. At a grid point the weight is 1, exactly.

use phys_instruct_physics::{Basis, Grid, Pde};

use crate::problem;

/// The number of points along an axis that an interpolated value depends on. The error is of order
/// 6 in the spacing.
const POINTS: usize = 6;
/// The number of outermost points that continue a field beyond them where sines suit it, such as a
/// solution held at a wall: smooth, and steep there.
const OF_SINES: usize = 3;
/// The number where cosines suit it, or nothing is known: more would magnify what is rough.
const OF_COSINES: usize = 2;
/// The distance from a grid point, in spacings, below which a place counts as that point. It is
/// above the rounding of coordinates and below any distance that a file states.
const ON_A_POINT: f64 = 1e-7;
/// The distance beyond the domain that counts as rounding, in units of its side.
const AT_THE_EDGE: f64 = 1e-9;

/// A linear functional of a flat joint sample: entries and their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Stencil(Vec<(usize, f64)>);

/// The grid points of a joint sample, and how each channel is interpolated between them.
#[derive(Debug, Clone)]
pub struct Lattice {
    names: Vec<String>,
    units: Vec<Option<String>>,
    axes: Vec<[Axis; 2]>,
    grid: Grid,
}

/// One axis of one channel.
#[derive(Debug, Clone, Copy)]
struct Axis {
    points: usize,
    /// The coordinate of the domain's edge before the first point.
    edge: f64,
    /// The length of the domain's side.
    side: f64,
    /// The coordinate of the first point.
    first: f64,
    /// The distance between two points.
    spacing: f64,
    rule: Rule,
}

/// The continuation of a field beyond the points of an axis. Places are in units of points.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// The first point follows the last.
    Periodic,
    /// The field is odd about both walls, which lie at these places.
    Odd { walls: [f64; 2] },
    /// The field has no slope at its edges.
    Free,
    /// The polynomial through so many outermost points continues the field beyond them.
    Open { outermost: usize },
    /// The deviation from the mean is zero at the outermost points; within them it is free.
    Cut,
    /// The nearest point's value holds.
    Nearest,
}

impl Stencil {
    /// The functional that takes one entry.
    pub fn point(entry: usize) -> Self {
        Self(vec![(entry, 1.0)])
    }

    /// The functionals that take one entry each.
    pub fn points(entries: &[usize]) -> Vec<Self> {
        entries.iter().copied().map(Self::point).collect()
    }

    /// The entries and weights; none where the field is zero by its boundary condition.
    pub fn terms(&self) -> &[(usize, f64)] {
        &self.0
    }

    /// The weight of each of `len` entries in the sum of the `stencils` with these `weights`.
    pub fn weighted_sum(stencils: &[Self], weights: &[f64], len: usize) -> Vec<f64> {
        let mut sum = vec![0.0; len];
        for (stencil, by) in stencils.iter().zip(weights) {
            stencil.terms().iter().for_each(|&(entry, weight)| sum[entry] += by * weight);
        }
        sum
    }

    /// The observed value of the flat joint sample `x`.
    pub fn of(&self, x: &[f32]) -> f64 {
        self.0.iter().map(|&(e, w)| w * f64::from(x[e])).sum()
    }

    /// The observed value of the flat joint sample `x` in double precision.
    pub fn of_f64(&self, x: &[f64]) -> f64 {
        self.0.iter().map(|&(e, w)| w * x[e]).sum()
    }
}

impl Lattice {
    /// The points of the grid on which `pde` is solved.
    pub fn new(pde: &dyn Pde, grid: Grid) -> Self {
        let (points, origin, sides) = (pde.points(grid), pde.origin(), grid.sides());
        let channels = pde.channels();
        let alone = problem::description(pde).is_some();
        let axes = channels.iter().enumerate().map(|(c, channel)| {
            // An input of two values has no value in between to interpolate.
            let is_input = pde.layout().input.channels.contains(&c);
            let nearest = is_input && pde.input_law().two_values().is_some();
            [0, 1].map(|axis| {
                let rule = match (nearest, alone) {
                    (true, _) => Rule::Nearest,
                    (false, true) => Rule::of_data(channel.basis[axis], points[axis].len()),
                    (false, false) => Rule::of_law(channel.basis[axis], points[axis].len()),
                };
                Axis::new(&points[axis], [origin[axis], sides[axis]], rule)
            })
        });

        let axes = axes.collect();
        let names = channels.iter().map(|c| c.name.clone()).collect();
        let units = channels.iter().map(|c| c.unit.clone()).collect();
        Self { names, units, axes, grid }
    }

    /// The channels' names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The channels' units, none where one is not known.
    pub fn units(&self) -> &[Option<String>] {
        &self.units
    }

    /// The grid.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Row and column, in points from 0, of the coordinates y and x of a channel.
    ///
    /// # Errors
    /// Fails for coordinates outside the domain by more than rounding.
    pub fn locate(&self, channel: usize, [y, x]: [f64; 2]) -> Result<[f64; 2], String> {
        let [along_y, along_x] = self.axes[channel];
        let is_inside = |y, x| along_y.contains(y) && along_x.contains(x);
        if !is_inside(y, x) {
            let domain = in_words([along_y, along_x].map(Axis::ends));
            let hint = if is_inside(x, y) { "; with y and x exchanged it lies inside" } else { "" };
            return Err(format!("y {y}, x {x} is outside {domain}{hint}"));
        }

        Ok([along_y.place(y), along_x.place(x)])
    }

    /// The coordinates y and x of a row and a column.
    pub fn coordinates(&self, channel: usize, [row, column]: [f64; 2]) -> [f64; 2] {
        let [along_y, along_x] = self.axes[channel];
        let at = |axis: Axis, place: f64| axis.first + place * axis.spacing;
        [at(along_y, row), at(along_x, column)]
    }

    /// The functional that takes the value of a channel at a row and a column of
    /// [`Lattice::locate`].
    pub fn stencil(&self, channel: usize, [row, column]: [f64; 2]) -> Stencil {
        let [along_y, along_x] = self.axes[channel];
        let columns = along_x.weights(column);
        let mut terms = Vec::new();
        for (y, by_row) in along_y.weights(row) {
            let start = (channel * self.grid.ny + y) * self.grid.nx;
            terms.extend(columns.iter().map(|&(x, by_column)| (start + x, by_row * by_column)));
        }
        Stencil(terms)
    }
}

/// The domain between these ends along y and along x.
fn in_words([[south, north], [west, east]]: [[f64; 2]; 2]) -> String {
    match [south, west, north, east] == [0.0, 0.0, 1.0, 1.0] {
        true => "the unit square".into(),
        false => format!("the domain, [{south}, {north}] along y and [{west}, {east}] along x"),
    }
}

impl Rule {
    /// The rule of a field whose law has the boundary of `basis`.
    fn of_law(basis: Basis, points: usize) -> Self {
        let last = points as f64 - 1.0;
        match basis {
            Basis::Fourier => Self::Periodic,
            Basis::SineNodes => Self::Odd { walls: [0.0, last] },
            Basis::SineCells => Self::Odd { walls: [-0.5, last + 0.5] },
            Basis::SineInner => Self::Odd { walls: [-1.0, last + 1.0] },
            Basis::CosineNodes => Self::Cut,
            Basis::Cosine => Self::Free,
        }
    }

    /// The rule of a field that data alone tell, whose deviation from the mean has the `basis`.
    fn of_data(basis: Basis, points: usize) -> Self {
        match Self::of_law(basis, points) {
            Self::Odd { .. } => Self::Open { outermost: OF_SINES.min(points) },
            Self::Free => Self::Open { outermost: OF_COSINES.min(points) },
            other => other,
        }
    }
}

impl Axis {
    fn new(at: &[f64], [edge, side]: [f64; 2], rule: Rule) -> Self {
        let points = at.len();
        let first = at.first().copied().unwrap_or(0.0);
        let spacing = match points {
            0 | 1 => 1.0,
            n => (at[n - 1] - first) / (n - 1) as f64,
        };
        Self { points, edge, side, first, spacing, rule }
    }

    /// The coordinates of the domain's edges.
    fn ends(self) -> [f64; 2] {
        [self.edge, self.edge + self.side]
    }

    /// The rounding of coordinates far from 0.
    fn rounding(&self) -> f64 {
        self.edge.abs() * f64::EPSILON
    }

    /// Tells whether a coordinate lies in the domain, up to rounding.
    fn contains(&self, at: f64) -> bool {
        let beyond = AT_THE_EDGE * self.side + self.rounding();
        (-beyond..=self.side + beyond).contains(&(at - self.edge))
    }

    /// The place of a coordinate, in points from the first.
    fn place(&self, at: f64) -> f64 {
        let [first, last] = self.ends();
        let place = (at.clamp(first, last) - self.first) / self.spacing;
        let near = ON_A_POINT + 2.0 * self.rounding() / self.spacing;
        let place = if (place - place.round()).abs() < near { place.round() } else { place };
        match self.rule {
            Rule::Periodic => place.rem_euclid(self.points as f64),
            // At most half a cell lies outside the outermost points, and the slope there is zero.
            Rule::Free | Rule::Cut | Rule::Nearest => place.clamp(0.0, self.points as f64 - 1.0),
            Rule::Odd { .. } | Rule::Open { .. } => place,
        }
    }

    /// The points that a place depends on, and their weights.
    fn weights(&self, place: f64) -> Vec<(usize, f64)> {
        let n = self.points;
        let whole = place.round();
        if place == whole && whole >= 0.0 && whole < n as f64 {
            return vec![(whole as usize, 1.0)];
        }

        match self.rule {
            Rule::Nearest => vec![((whole.max(0.0) as usize).min(n - 1), 1.0)],
            Rule::Periodic => {
                let wrapped = |i: i64| Some((i.rem_euclid(n as i64) as usize, 1.0));
                folded(window(place, n, None), place, wrapped)
            }
            Rule::Odd { walls } => folded(window(place, n, None), place, |i| mirrored(i, n, walls)),
            Rule::Open { outermost } if place < 0.0 => folded(0..outermost as i64, place, inside),
            Rule::Open { outermost } if place > n as f64 - 1.0 => {
                folded((n - outermost) as i64..n as i64, place, inside)
            }
            Rule::Free | Rule::Open { .. } => {
                folded(window(place, n, Some([0, n as i64 - 1])), place, inside)
            }
            // Between the wall, where the deviation from the mean is zero, and the next point.
            Rule::Cut if place < 1.0 => folded(0..2, place, inside),
            Rule::Cut if place > n as f64 - 2.0 => folded(n as i64 - 2..n as i64, place, inside),
            Rule::Cut => folded(window(place, n - 2, Some([1, n as i64 - 2])), place, inside),
        }
    }
}

/// The points around `place`, at most `n` of them, moved into the `bounds` where there are some.
fn window(place: f64, n: usize, bounds: Option<[i64; 2]>) -> std::ops::Range<i64> {
    let count = POINTS.min(n) as i64;
    let mut first = place.floor() as i64 - (count - 1) / 2;
    if let Some([low, high]) = bounds {
        first = first.clamp(low, (high + 1 - count).max(low));
    }
    first..first + count
}

/// The weights of the polynomial through the points of `window` at `place`, by Lagrange's formula.
/// `fold` maps a point of the window to one of the grid and the sign of its value.
fn folded(
    window: std::ops::Range<i64>,
    place: f64,
    fold: impl Fn(i64) -> Option<(usize, f64)>,
) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = Vec::with_capacity(POINTS);
    for j in window.clone() {
        let others = window.clone().filter(|&m| m != j);
        let weight: f64 = others.map(|m| (place - m as f64) / (j - m) as f64).product();
        let Some((point, sign)) = fold(j) else { continue };
        match all.iter_mut().find(|(p, _)| *p == point) {
            Some((_, sum)) => *sum += sign * weight,
            None => all.push((point, sign * weight)),
        }
    }
    all
}

fn inside(i: i64) -> Option<(usize, f64)> {
    Some((i as usize, 1.0))
}

/// The grid point whose value, up to a sign, is that of an odd continuation at `i`; none on a wall.
fn mirrored(mut i: i64, n: usize, [low, high]: [f64; 2]) -> Option<(usize, f64)> {
    let mut sign = 1.0;
    // A window may reach beyond one wall, and on a grid of few points beyond both in turn.
    for _ in 0..2 * POINTS {
        let at = i as f64;
        if at == low || at == high {
            return None;
        }
        if (0..n as i64).contains(&i) {
            return Some((i as usize, sign));
        }

        let wall = if at < low { low } else { high };
        i = (2.0 * wall - at).round() as i64;
        sign = -sign;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::f64::consts::PI;

    use phys_instruct_physics::registry::by_name;

    use super::*;
    use crate::problem::{Described, Description};

    fn at(name: &str, channel: usize, size: usize, yx: [f64; 2]) -> Stencil {
        let lattice = Lattice::new(by_name(name).unwrap().as_ref(), Grid::square(size));
        lattice.stencil(channel, lattice.locate(channel, yx).unwrap())
    }

    /// The largest error of a channel's interpolation of `f` over places spread over the square.
    fn error(name: &str, channel: usize, size: usize, f: impl Fn(f64, f64) -> f64) -> f64 {
        let pde = by_name(name).unwrap();
        let [y, x] = pde.points(Grid::square(size));
        let mut field = vec![0.0; pde.channels().len() * size * size];
        let own = &mut field[channel * size * size..][..size * size];
        own.iter_mut().enumerate().for_each(|(i, v)| *v = f(y[i / size], x[i % size]));
        let places = (0..200).map(|i| [(i as f64 * 0.377).fract(), (i as f64 * 0.618).fract()]);
        let wrong = |p: [f64; 2]| (at(name, channel, size, p).of_f64(&field) - f(p[0], p[1])).abs();
        places.map(wrong).fold(0.0, f64::max)
    }

    #[test]
    fn smooth_fields_are_interpolated_to_sixth_order_up_to_the_edges() {
        type F = fn(f64, f64) -> f64;
        let sines: F = |y, x| (2.0 * PI * y).sin() * (PI * x).sin();
        let waves: F = |y, x| (2.0 * PI * (y + 2.0 * x)).cos() + (2.0 * PI * x).sin();
        let line: F = |y, x| (1.0 - 0.8 * y * y) * (2.0 * PI * x).sin();
        for (name, channel, f) in [
            ("poisson", 1, sines),
            ("helmholtz", 1, sines),
            ("darcy", 1, sines),
            ("navier-stokes", 0, waves),
            ("burgers", 0, line),
        ] {
            let [coarse, fine] = [16, 32].map(|size| error(name, channel, size, f));
            assert!(fine < 2e-4, "{name}: {fine}");
            let order = (coarse / fine).log2();
            assert!(order > 4.8, "{name}: order {order} ({coarse}, {fine})");
        }
    }

    #[test]
    fn grid_points_and_the_rounding_of_their_coordinates_are_exact() {
        for name in ["poisson", "helmholtz", "darcy", "navier-stokes", "burgers"] {
            let pde = by_name(name).unwrap();
            let [y, x] = pde.points(Grid::square(32));
            for (row, column) in [(0, 0), (0, 31), (31, 31), (7, 18)] {
                for rounding in [0.0, 3e-16, -3e-16, 1e-10] {
                    let place = [y[row] + rounding, x[column] - rounding];
                    assert_eq!(at(name, 0, 32, place), Stencil::point(row * 32 + column), "{name}");
                }
            }
        }
    }

    #[test]
    fn a_periodic_field_has_no_edge() {
        for end in [1.0, 1.0 - 1e-16, 1.0 - 1e-10, 0.0, -1e-17] {
            assert_eq!(at("navier-stokes", 1, 32, [end, end]), Stencil::point(1024), "{end}");
        }
        let across = at("navier-stokes", 1, 32, [0.5, 0.995]);
        let columns: Vec<usize> = across.terms().iter().map(|(e, _)| e % 32).collect();
        assert!(columns.contains(&31) && columns.contains(&0) && columns.contains(&1));
        let largest = across.terms().iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(largest.0 % 32, 0);
        // Time does not return to its start.
        assert_eq!(at("burgers", 0, 32, [1.0, 1.0]), Stencil::point(31 * 32));
    }

    #[test]
    fn a_wall_is_zero_and_a_cell_of_two_values_is_whole() {
        let wall = at("darcy", 1, 16, [0.0, 0.3]);
        assert!(wall.terms().iter().all(|(_, w)| w.abs() < 1e-12), "{wall:?}");
        for place in [[0.03, 0.97], [0.0, 1.0], [0.06, 0.94]] {
            assert_eq!(at("darcy", 0, 16, place), Stencil::point(15));
        }
        let source = at("helmholtz", 0, 16, [0.02, 0.4]);
        assert!(source.terms().iter().all(|(e, w)| e / 16 <= 1 && w.abs() <= 1.2));
    }

    /// Heads of 90 to 100 at the walls: what is zero there is the deviation from the mean.
    #[test]
    fn a_field_of_data_alone_goes_on_at_a_wall_as_it_does_beside_it() {
        for (points, basis) in [
            ("cells", "sine-cells"),
            ("inner", "sine-inner"),
            ("nodes", "sine-nodes"),
            ("nodes", "cosine-nodes"),
            ("cells", "cosine"),
        ] {
            // Fixed heads are reached steeply; elsewhere a straight line goes on.
            let bend = if basis == "sine-cells" || basis == "sine-inner" { 3.0 } else { 0.0 };
            let text = format!(
                "[pde]\nname = 'aquifer'\ninput = 'T'\npoints = ['{points}', '{points}']\n\
                 [[pde.field]]\nname = 'T'\nbasis = ['{basis}', '{basis}']\n\
                 [[pde.field]]\nname = 'h'\nbasis = ['{basis}', '{basis}']\n"
            );
            let description = Description::from_toml(&text).unwrap();
            let pde = Described::new(description).unwrap();
            let grid = Grid::new([16, 24], [2.0, 3.0]).unwrap();
            let lattice = Lattice::new(&pde, grid);
            let [ys, xs] = pde.points(grid);
            let head = |y: f64, x: f64| 100.0 - 10.0 * x / 3.0 + 0.5 * y + bend * x * (3.0 - x);
            let mut fields = vec![0.0; 16 * 24];
            fields.extend(ys.iter().flat_map(|&y| xs.iter().map(move |&x| head(y, x))));

            for [y, x] in [[0.01, 0.02], [1.0, 2.99], [1.99, 1.5], [0.0, 0.0], [0.7, 1.1]] {
                let stencil = lattice.stencil(1, lattice.locate(1, [y, x]).unwrap());
                let (found, expected) = (stencil.of_f64(&fields), head(y, x));
                assert!((found - expected).abs() < 1e-9, "{points} {y} {x}: {found} {expected}");
            }
        }
    }

    #[test]
    fn places_outside_are_refused_and_found_places_lead_back() {
        let lattice = Lattice::new(by_name("poisson").unwrap().as_ref(), Grid::square(16));
        for bad in [[-1e-6, 0.5], [0.5, 1.1], [f64::NAN, 0.5], [0.5, f64::INFINITY]] {
            assert!(lattice.locate(0, bad).is_err(), "{bad:?}");
        }
        let place = lattice.locate(1, [0.123, 0.77]).unwrap();
        let [y, x] = lattice.coordinates(1, place);
        assert!((y - 0.123).abs() < 1e-12 && (x - 0.77).abs() < 1e-12);
        assert_eq!(lattice.locate(0, [1.0 + 2e-16, -1e-17]).unwrap(), [15.0, 0.0]);
    }

    /// Northing and easting of a map's grid, of an area of 1 by 2 km.
    #[test]
    fn an_origin_moves_all_places_and_changes_no_weight() {
        let text = |origin: &str| {
            format!(
                "[pde]\nname = 'aquifer'\ninput = 'T'\nsides = [1000.0, 2000.0]\n{origin}\n\
                 [[pde.field]]\nname = 'T'\n[[pde.field]]\nname = 'h'\n"
            )
        };
        let grid = Grid::new([16, 24], [1000.0, 2000.0]).unwrap();
        let lattice_of = |origin: &str| {
            let pde = Described::new(Description::from_toml(&text(origin)).unwrap()).unwrap();
            (Lattice::new(&pde, grid), pde.points(grid))
        };
        let (near, _) = lattice_of("");
        let (far, [ys, xs]) = lattice_of("origin = [5641000.1, -356000.3]");

        // Every grid point is found as itself, though its coordinates are rounded.
        for (row, y) in ys.iter().enumerate() {
            for (column, x) in xs.iter().enumerate() {
                let place = far.locate(0, [*y, *x]).unwrap();
                assert_eq!(place, [row as f64, column as f64]);
            }
        }
        for [y, x] in [[0.0, 0.0], [12.3, 1999.9], [1000.0, 2000.0], [512.25, 77.5]] {
            let moved = far.locate(1, [5641000.1 + y, x - 356000.3]).unwrap();
            let own = near.locate(1, [y, x]).unwrap();
            assert!((0..2).all(|axis| (moved[axis] - own[axis]).abs() < 1e-9), "{moved:?} {own:?}");
        }

        let refusal = far.locate(0, [500.0, 500.0]).unwrap_err();
        assert!(refusal.contains("[5641000.1, 5642000.1] along y"), "{refusal}");
        assert!(far.locate(0, [5640999.0, -355000.0]).is_err());
    }
}
