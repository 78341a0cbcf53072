//! Anderson acceleration of a fixed-point iteration x <- x + g(x) (Walker and Ni, SIAM J. Numer.
//! Anal. 49, 2011).
//!
//! The linearised g predicts g at every combination of the earlier iterates. Each step starts from
//! the combination where the predicted g is smallest, and adds that g. On a linear g the iterates
//! are those of GMRES.

/// Number of earlier directions that a step takes into account; the oldest is dropped first.
const MEMORY: usize = 12;

/// The history of the iteration: changes of the plain step g, and the moves of x that caused them.
#[derive(Debug, Clone)]
pub struct Anderson {
    /// Share of a new direction, in (0, 1), that must be independent of the stored ones. A
    /// direction with less is left out.
    independent: f64,
    /// The last x and its plain step.
    last: Option<[Vec<f64>; 2]>,
    /// Orthonormal changes of the plain step, and the changes of x + g(x) that belong to them.
    changes: Vec<Vec<f64>>,
    moves: Vec<Vec<f64>>,
}

impl Anderson {
    /// Returns a method with an empty history.
    ///
    /// A new direction is dropped if the part of it outside the space of the others is at most the
    /// share `independent`, in (0, 1). That part is treated as rounding.
    pub fn new(independent: f64) -> Self {
        Self { independent, last: None, changes: Vec::new(), moves: Vec::new() }
    }

    /// Advances `x`, whose plain step g(x) is `step`. Both have the same length at every call.
    pub fn advance(&mut self, x: &mut [f64], step: &[f64]) {
        let last = self.last.replace([x.to_vec(), step.to_vec()]);
        if let Some([last_x, last_step]) = last {
            self.learn(difference(x, &last_x), difference(step, &last_step));
        }

        x.iter_mut().zip(step).for_each(|(x, s)| *x += s);
        for (change, moved) in self.changes.iter().zip(&self.moves) {
            subtract(x, dot(step, change), moved);
        }
    }

    /// Adds to the history that the move `moved` of x changed the plain step by `change`. Both are
    /// orthogonalised against the stored directions first.
    fn learn(&mut self, mut moved: Vec<f64>, mut change: Vec<f64>) {
        moved.iter_mut().zip(&change).for_each(|(m, c)| *m += c);

        let whole = dot(&change, &change).sqrt();
        for (known, known_move) in self.changes.iter().zip(&self.moves) {
            let share = dot(&change, known);
            subtract(&mut change, share, known);
            subtract(&mut moved, share, known_move);
        }

        let rest = dot(&change, &change).sqrt();
        if rest <= self.independent * whole {
            return;
        }

        if self.changes.len() == MEMORY {
            self.changes.remove(0);
            self.moves.remove(0);
        }

        change.iter_mut().for_each(|c| *c /= rest);
        moved.iter_mut().for_each(|m| *m /= rest);
        self.changes.push(change);
        self.moves.push(moved);
    }
}

fn difference(new: &[f64], old: &[f64]) -> Vec<f64> {
    new.iter().zip(old).map(|(n, o)| n - o).collect()
}

/// The dot product, in eight partial sums that the compiler keeps in vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Subtracts `share * what` from `from`.
fn subtract(from: &mut [f64], share: f64, what: &[f64]) {
    from.iter_mut().zip(what).for_each(|(f, w)| *f -= share * w);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain steps of this system diverge: an eigenvalue of I - A is -2.
    #[test]
    fn a_linear_system_is_solved_in_one_step_more_than_it_has_unknowns() {
        const A: [[f64; 3]; 3] = [[3.0, 1.0, 0.0], [0.0, 0.5, -1.0], [0.0, 1.0, 2.0]];
        const SOLUTION: [f64; 3] = [1.0, -2.0, 0.5];
        let step = |x: &[f64]| -> Vec<f64> {
            let row = |row: &[f64; 3]| (0..3).map(|j| row[j] * (SOLUTION[j] - x[j])).sum();
            A.iter().map(row).collect()
        };
        let (mut method, mut x) = (Anderson::new(1e-8), vec![0.0; 3]);
        for _ in 0..4 {
            let step = step(&x);
            method.advance(&mut x, &step);
        }
        let far = x.iter().zip(SOLUTION).map(|(x, s)| (x - s).abs()).fold(0.0, f64::max);
        assert!(far < 1e-12, "{x:?}");
    }
}
