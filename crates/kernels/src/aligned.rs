//! Memory that begins with a cache line: a vector that straddles two lines costs twice.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Number of values of a cache line.
pub(crate) const VALUES: usize = LINE / size_of::<f32>();

/// Memory kept from call to call; it holds what the last use has left.
#[derive(Debug, Default)]
pub(crate) struct Aligned(Vec<f32>);

impl Aligned {
    /// Returns the first `len` values, enlarging the memory if necessary. They are left from the
    /// last use.
    pub(crate) fn room(&mut self, len: usize) -> &mut [f32] {
        if self.0.len() < len + VALUES {
            self.0.resize(len + VALUES, 0.0);
        }
        let start = self.start();
        &mut self.0[start..start + len]
    }

    /// Returns the values from the start of the cache line on, as last written.
    pub(crate) fn values(&self) -> &[f32] {
        &self.0[self.start()..]
    }

    fn start(&self) -> usize {
        // Without an offset (never so on a real machine) the memory is merely slower.
        self.0.as_ptr().align_offset(LINE).min(VALUES.min(self.0.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_with_a_line_however_it_grows() {
        let mut memory = Aligned::default();
        assert!(memory.values().is_empty());
        for len in [0, 1, 17, 5, 100_003] {
            memory.room(len).fill(len as f32);
            assert_eq!(memory.values().as_ptr() as usize % LINE, 0);
            assert_eq!(memory.values()[..len], vec![len as f32; len]);
        }
    }
}
