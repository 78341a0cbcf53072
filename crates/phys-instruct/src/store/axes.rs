//! The meaning of an array's axes: sample, time, y and x.
//!
//! Each axis has a letter: `n` for the sample, `t` for the snapshot, `y` and `x` for the grid. A
//! minus before `y` or `x` says that it is stored in reverse. `nyx` is the order of this library,
//! `nxy` that of programs that write w(x, y) as `w[i, j]`. If rows are times, as for Burgers, `t`
//! may stand for `y`.

use std::fmt;
use std::str::FromStr;

/// One axis of a stored array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Sample,
    Time,
    Y,
    X,
}

/// The axes of a stored array, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axes {
    order: Vec<Axis>,
    /// True for y and for x if they are stored in reverse.
    reversed: [bool; 2],
}

/// The orders that are tried for arrays of two, three and four axes, the most usual first. The last
/// of each are taken only if no other is possible, or if they fit the equation.
const ORDERS: [(&[&str], &[&str]); 3] = [
    (&["yx"], &[]),
    (&["nyx", "yxn"], &["ynx", "tyx", "yxt"]),
    (&["ntyx", "nyxt", "yxtn"], &["tyxn", "tnyx", "yxnt"]),
];

impl Axes {
    /// Tells whether y, for 0, or x, for 1, is stored in reverse.
    pub(crate) fn is_reversed(&self, axis: usize) -> bool {
        self.reversed[axis]
    }

    /// Sample, y, x.
    pub(crate) fn of_this_library() -> Self {
        Self { order: vec![Axis::Sample, Axis::Y, Axis::X], reversed: [false; 2] }
    }

    /// The orders to try for arrays of at most `rank` axes, each with whether it is usual. In each,
    /// y comes before x and nothing is reversed.
    pub(crate) fn orders(rank: usize) -> impl Iterator<Item = (Self, bool)> {
        let (usual, rare) = rank.checked_sub(2).and_then(|i| ORDERS.get(i)).unwrap_or(&(&[], &[]));
        let usual = usual.iter().map(|text| (text, true));
        let all = usual.chain(rare.iter().map(|text| (text, false)));
        all.filter_map(|(text, usual)| Some((text.parse().ok()?, usual)))
    }

    /// This order with y and x as stored, exchanged and reversed: eight in all.
    pub(crate) fn turned(&self) -> [Self; 8] {
        [0, 1, 2, 3, 4, 5, 6, 7].map(|k| {
            let exchanged = |axis: &Axis| match axis {
                Axis::Y if k & 4 > 0 => Axis::X,
                Axis::X if k & 4 > 0 => Axis::Y,
                other => *other,
            };
            Self {
                order: self.order.iter().map(exchanged).collect(),
                reversed: [k & 2 > 0, k & 1 > 0],
            }
        })
    }

    /// Tells whether y and x are in their order and direction.
    pub(crate) fn is_plain(&self) -> bool {
        let place = |axis| self.order.iter().position(|&a| a == axis);
        self.reversed == [false; 2] && place(Axis::Y) < place(Axis::X)
    }

    /// Tells whether samples, if there is an axis of them, come first.
    pub(crate) fn samples_first(&self) -> bool {
        self.order.iter().position(|&a| a == Axis::Sample).is_none_or(|at| at == 0)
    }

    /// Views an array of the given shape as `[sample, snapshot, y, x]`. An array with fewer axes
    /// lacks time first, then the sample. In an array with more, axes of one point are left out.
    ///
    /// # Errors
    /// Fails for a shape that does not have these axes.
    pub(crate) fn view(&self, shape: &[usize]) -> Result<View, String> {
        let mut order = self.order.clone();
        for missing in [Axis::Time, Axis::Sample] {
            if order.len() > shape.len() {
                order.retain(|&axis| axis != missing);
            }
        }

        let mut dims = Vec::with_capacity(shape.len());
        let mut stride = 1;
        for &points in shape.iter().rev() {
            dims.insert(0, (points, stride));
            stride *= points as isize;
        }
        while dims.len() > order.len() {
            let one = dims.iter().position(|&(points, _)| points == 1);
            dims.remove(one.ok_or_else(|| format!("shape {shape:?} found, axes {self} expected"))?);
        }
        if dims.len() < order.len() {
            return Err(format!("shape {shape:?} found, axes {self} expected"));
        }

        let mut view = View { shape: [1; 4], strides: [0; 4], start: 0 };
        for (axis, &(points, stride)) in order.iter().zip(&dims) {
            let place = *axis as usize;
            let reversed = place >= 2 && self.reversed[place - 2];
            view.shape[place] = points;
            // An axis of one point takes no steps, so that equal views compare as equal.
            if points < 2 {
                continue;
            }
            view.strides[place] = if reversed { -stride } else { stride };
            if reversed {
                view.start += (points as isize - 1) * stride;
            }
        }
        Ok(view)
    }
}

impl FromStr for Axes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "axes `{text}`: each of the letters n (sample), t (time), y and x at most once \
                 expected, y and x always, a minus before y or x where it is stored in reverse; \
                 for example nyx, nxy, yxn, ntyx, n-yx"
            )
        };
        let (mut order, mut reversed, mut minus) = (Vec::new(), [false; 2], false);

        for letter in text.chars().filter(|c| !c.is_whitespace() && *c != ',') {
            let axis = match letter {
                'n' => Axis::Sample,
                't' => Axis::Time,
                'y' => Axis::Y,
                'x' => Axis::X,
                '-' if !minus => {
                    minus = true;
                    continue;
                }
                _ => return Err(wrong()),
            };
            let place = axis as usize;

            if order.contains(&axis) || (minus && place < 2) {
                return Err(wrong());
            }
            if minus {
                reversed[place - 2] = true;
            }
            minus = false;
            order.push(axis);
        }

        // Without y, times are the rows.
        if !order.contains(&Axis::Y)
            && let Some(rows) = order.iter_mut().find(|axis| **axis == Axis::Time)
        {
            *rows = Axis::Y;
        }

        let whole = order.contains(&Axis::Y) && order.contains(&Axis::X) && !minus;
        if whole { Ok(Self { order, reversed }) } else { Err(wrong()) }
    }
}

impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for axis in &self.order {
            let letter = match axis {
                Axis::Sample => "n",
                Axis::Time => "t",
                Axis::Y if self.reversed[0] => "-y",
                Axis::Y => "y",
                Axis::X if self.reversed[1] => "-x",
                Axis::X => "x",
            };
            f.write_str(letter)?;
        }
        Ok(())
    }
}

/// An array viewed as `[sample, snapshot, y, x]` without moving its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub shape: [usize; 4],
    strides: [isize; 4],
    start: isize,
}

impl View {
    /// The view without `[top, bottom]` rows and `[left, right]` columns.
    ///
    /// # Errors
    /// Fails if nothing would be left.
    pub fn cropped(mut self, crop: [usize; 4]) -> Result<Self, String> {
        let [_, _, height, width] = self.shape;
        let rest = |n: usize, from: usize, to: usize| n.checked_sub(from)?.checked_sub(to);
        let inner = rest(height, crop[0], crop[1]).zip(rest(width, crop[2], crop[3]));
        let Some((rows, columns)) = inner.filter(|&(rows, columns)| rows * columns > 0) else {
            return Err(format!("a crop of {crop:?} leaves nothing of {height} x {width} points"));
        };
        self.start += crop[0] as isize * self.strides[2] + crop[2] as isize * self.strides[3];
        [self.shape[2], self.shape[3]] = [rows, columns];
        Ok(self)
    }

    /// The indices in the stored array of one field's points, row by row. Sample and snapshot must
    /// be within the shape.
    pub fn field(&self, sample: usize, snapshot: usize) -> impl Iterator<Item = usize> + use<'_> {
        let [_, _, height, width] = self.shape;
        let [n, t, y, x] = self.strides;
        let first = self.start + sample as isize * n + snapshot as isize * t;
        (0..height).flat_map(move |row| {
            let first = first + row as isize * y;
            (0..width).map(move |column| (first + column as isize * x) as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn axes(text: &str) -> Axes {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_parsed_is_printed() {
        for text in ["yx", "nyx", "nx-y", "-y-xn", "tnxy"] {
            assert_eq!(axes(text).to_string(), text);
        }
        assert_eq!(axes("n, t, -y, x").to_string(), "nt-yx");
        assert_eq!(axes("nxt").to_string(), "nxy", "rows are times");
        for text in ["", "n", "ny", "nt", "nyxx", "-nyx", "nyx-", "n--yx", "abc", "nyxz"] {
            let error = text.parse::<Axes>().unwrap_err();
            assert!(error.contains("for example nyx"), "{text}");
        }
    }

    #[test]
    fn every_order_and_direction_is_the_index_formula() {
        // Stored as [x, n, y] with y in reverse: value at x, n, y is (x * 2 + n) * 3 + (2 - y).
        let view = axes("xn-y").view(&[5, 2, 3]).unwrap();
        assert_eq!(view.shape, [2, 1, 3, 5]);
        let places: Vec<usize> = view.field(1, 0).collect();
        let want = (0..3).flat_map(|y| (0..5).map(move |x| (x * 2 + 1) * 3 + (2 - y)));
        assert_eq!(places, want.collect::<Vec<_>>());
        let inner: Vec<usize> = view.cropped([1, 0, 2, 1]).unwrap().field(0, 0).collect();
        assert_eq!(inner, [(2, 1), (3, 1), (2, 0), (3, 0)].map(|(x, back)| x * 6 + back));
    }

    #[test]
    fn missing_axes_are_time_then_the_sample_and_axes_of_one_point_go() {
        assert_eq!(axes("nyxt").view(&[4, 6, 7]).unwrap().shape, [4, 1, 6, 7]);
        assert_eq!(axes("nyxt").view(&[6, 7]).unwrap().shape, [1, 1, 6, 7]);
        assert_eq!(axes("nyx").view(&[4, 1, 6, 7]).unwrap().shape, [4, 1, 6, 7]);
        assert!(axes("nyx").view(&[4, 2, 6, 7]).unwrap_err().contains("axes nyx expected"));
        assert!(axes("yx").view(&[4]).is_err());
    }

    #[test]
    fn the_eight_turns_differ_and_one_is_plain() {
        let all = axes("nyx").turned();
        assert_eq!(all.iter().filter(|a| a.is_plain()).count(), 1);
        let texts: std::collections::BTreeSet<String> = all.iter().map(Axes::to_string).collect();
        assert_eq!(texts.len(), 8);
        assert!(texts.contains("n-xy"));
    }
}
