//! The parts of a joint sample x = (a, u): the input a, which a solver is given, and the solution
//! u.

use std::ops::Range;

use crate::Fields;

/// The rows of a part's channels, counted along y.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rows {
    /// Every row.
    All,
    /// The first row alone: the initial state of an evolution whose time runs along y.
    First,
    /// Every row but the first.
    Later,
}

/// A range of channels of a joint sample, with all their rows or some.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    /// The range of channels.
    pub channels: Range<usize>,
    /// The rows of each channel.
    pub rows: Rows,
}

/// The division of a joint sample into input and solution.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The coefficient, source or initial condition.
    pub input: Part,
    /// The fields that are solved for.
    pub solution: Part,
}

impl Layout {
    /// Returns the layout of `channels` fields of which the first is the input.
    pub fn first_channel(channels: usize) -> Self {
        let whole = |channels| Part { channels, rows: Rows::All };
        Self { input: whole(0..1), solution: whole(1..channels) }
    }

    /// Returns the layout of one field whose first row evolves into the others.
    pub fn first_row() -> Self {
        let part = |rows| Part { channels: 0..1, rows };
        Self { input: part(Rows::First), solution: part(Rows::Later) }
    }

    /// Tells whether input and solution are whole channels, and different ones.
    pub fn is_by_channels(&self) -> bool {
        let [input, solution] = [&self.input, &self.solution].map(|part| &part.channels);
        let apart = input.end <= solution.start || solution.end <= input.start;
        self.input.is_whole() && self.solution.is_whole() && apart
    }
}

impl Part {
    /// Tells whether the part is whole channels.
    pub fn is_whole(&self) -> bool {
        self.rows == Rows::All
    }

    /// Tells whether the part is a single line of a field.
    pub fn is_line(&self) -> bool {
        self.rows == Rows::First
    }

    /// Returns the range of the part's rows in fields that are `height` points high.
    pub fn rows_of(&self, height: usize) -> Range<usize> {
        match self.rows {
            Rows::All => 0..height,
            Rows::First => 0..height.min(1),
            Rows::Later => height.min(1)..height,
        }
    }

    /// Copies the part out of a joint sample.
    ///
    /// # Panics
    /// Panics on a sample without these channels.
    pub fn of(&self, sample: &Fields) -> Fields {
        let rows = self.rows_of(sample.height);
        let parts: Vec<&[f64]> = self
            .channels
            .clone()
            .map(|c| &sample.channel(c)[rows.start * sample.width..rows.end * sample.width])
            .collect();
        Fields::stack(rows.len(), sample.width, &parts)
    }

    /// Returns the flat indices of the part in a joint sample `[channel, y, x]`, in order.
    pub fn entries(&self, height: usize, width: usize) -> Vec<usize> {
        let rows = self.rows_of(height);
        let of_channel =
            |c: usize| (c * height + rows.start) * width..(c * height + rows.end) * width;
        self.channels.clone().flat_map(of_channel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_copied_from_their_entries() {
        // Each value is its own flat index.
        let data: Vec<f64> = (0..24).map(f64::from).collect();
        let sample = Fields { channels: 2, height: 3, width: 4, data };
        let [channel, row] = [Layout::first_channel(2), Layout::first_row()];
        for part in [&channel.input, &channel.solution, &row.input, &row.solution] {
            let places: Vec<f64> = part.entries(3, 4).iter().map(|&e| e as f64).collect();
            assert_eq!(part.of(&sample).data, places, "{part:?}");
        }
        assert_eq!(channel.solution.entries(3, 4), (12..24).collect::<Vec<_>>());
        assert_eq!(row.input.entries(3, 4), [0, 1, 2, 3]);
        assert_eq!(row.solution.entries(3, 4), (4..12).collect::<Vec<_>>());
        assert!(row.input.is_line() && !channel.input.is_line());
    }
}
