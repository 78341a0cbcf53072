//! Collocations in time other than [`phys_instruct_physics::hermite`], for the tables in the
//! residuals' documentation.

use burn::tensor::Tensor;
use phys_instruct_physics::hermite::Weights;
use phys_instruct_physics::moments::moments;

use super::{mean_square, testing};

/// States an interval apart along `axis`, in mode space, for the comparison of collocations.
pub(super) struct Trajectory<'a> {
    pub states: Tensor<4>,
    pub axis: usize,
    pub interval: f64,
    pub decay: Vec<f64>,
    pub decay_shape: [usize; 4],
    pub rate: &'a dyn Fn(&Tensor<4>) -> Tensor<4>,
    /// The RMS of the second term of each sample.
    pub scale: Tensor<1>,
}

impl Trajectory<'_> {
    /// The mean relative residual of each collocation, in the order of the tables.
    pub(super) fn residuals(&self, through: usize) -> Vec<f64> {
        let all = [self.simpson(), self.interaction(), self.trapezoid(), self.through(through)];
        let relative = |r: &Tensor<4>| {
            let [_, b, c, d] = r.dims();
            let each = testing::values(mean_square(r, b * c * d).sqrt() / self.scale.clone());
            each.iter().sum::<f64>() / each.len() as f64
        };
        all.iter().map(relative).collect()
    }

    fn factor(&self, symbol: impl Fn(f64) -> f64) -> Tensor<4> {
        let values: Vec<f64> = self.decay.iter().map(|&d| symbol(d)).collect();
        testing::tensor(&values, self.decay_shape)
    }

    fn pairs(&self, states: &Tensor<4>) -> [Tensor<4>; 2] {
        let count = states.dims()[self.axis] - 1;
        [0, 1].map(|start| states.clone().narrow(self.axis, start, count))
    }

    /// Hermite-Simpson on the whole right-hand side.
    fn simpson(&self) -> Tensor<4> {
        let (h, decay) = (self.interval, self.factor(|d| d));
        let change = |v: &Tensor<4>| (self.rate)(v) - v.clone() * decay.clone();
        let [a, b] = self.pairs(&self.states);
        let [f_a, f_b] = [change(&a), change(&b)];
        let middle = (a.clone() + b.clone()) * 0.5 + (f_a.clone() - f_b.clone()) * (h / 8.0);
        (b - a) / h - (f_a + change(&middle) * 4.0 + f_b) / 6.0
    }

    /// Hermite-Simpson on e^(decay t) v. The growth is capped to keep it finite in `f32`.
    fn interaction(&self) -> Tensor<4> {
        let h = self.interval;
        let half = self.factor(|d| (-d * h / 2.0).exp());
        let growth = self.factor(|d| (d * h / 2.0).exp().min(1e4));
        let [a, b] = self.pairs(&self.states);
        let [n_a, n_b] = [(self.rate)(&a), (self.rate)(&b)];
        let start = (a.clone() * 0.5 + n_a.clone() * (h / 8.0)) * half.clone();
        let end = (b.clone() * 0.5 - n_b.clone() * (h / 8.0)) * growth;
        let n_m = (self.rate)(&(start + end));
        let seen = (n_a * half.clone() + n_m * 4.0) * half + n_b;
        self.change() - seen / 6.0
    }

    /// Exponential collocation with p linear between the rates at both ends.
    fn trapezoid(&self) -> Tensor<4> {
        let [n_a, n_b] = self.pairs(&(self.rate)(&self.states));
        let start = self.factor(|d| moments(d * self.interval)[0] - moments(d * self.interval)[1]);
        let end = self.factor(|d| moments(d * self.interval)[1]);
        self.change() - n_a * start - n_b * end
    }

    /// Exponential collocation with p the polynomial through the rates at the `count` nearest
    /// states.
    fn through(&self, count: usize) -> Tensor<4> {
        let intervals = self.states.dims()[self.axis] - 1;
        let rates = (self.rate)(&self.states);
        let lowest = |i: usize| (i + 1).saturating_sub(count / 2).min(intervals + 1 - count);
        let offsets: Vec<usize> = (0..intervals).map(|i| i - lowest(i)).collect();

        let weights: Vec<Vec<Option<Tensor<4>>>> = (0..count)
            .map(|offset| {
                let used = offsets.contains(&offset);
                (0..count).map(|j| used.then(|| self.lagrange(count, offset, j))).collect()
            })
            .collect();

        let added = |i: usize| {
            let term = |j: usize| {
                let rate = rates.clone().narrow(self.axis, lowest(i) + j, 1);
                weights[offsets[i]][j].clone().map(|w| rate * w)
            };
            (0..count).filter_map(term).reduce(|a, b| a + b)
        };
        self.change() - Tensor::cat((0..intervals).filter_map(added).collect(), self.axis)
    }

    /// The weight of state `j` of `count`, if the interval starts at state `offset`.
    fn lagrange(&self, count: usize, offset: usize, j: usize) -> Tensor<4> {
        let polynomial = |s: f64| {
            let factor = |m: usize| (s + offset as f64 - m as f64) / (j as f64 - m as f64);
            (0..count).filter(|&m| m != j).map(factor).product::<f64>()
        };
        self.factor(|d| {
            let midpoint = |i: i32| {
                let s = (f64::from(i) + 0.5) / 400.0;
                polynomial(s) * (-d * self.interval * (1.0 - s)).exp() / 400.0
            };
            (0..400).map(midpoint).sum()
        })
    }

    fn change(&self) -> Tensor<4> {
        let [a, b] = self.pairs(&self.states);
        let lost = self.factor(|d| Weights::new(d, self.interval).lost);
        (b - a.clone()) / self.interval + a * lost
    }
}
