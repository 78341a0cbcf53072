//! Samples as arrays of the crate `ndarray`.

use ndarray::{Array4, ArrayView2, ArrayView4, s};

use crate::{Error, Result, Samples};

impl Samples {
    /// The values as an array, `[sample, channel, y, x]`, without a copy.
    ///
    /// # Errors
    /// Fails with [`Error::Shape`] if `data` does not fill the shape.
    ///
    /// ```
    /// use phys_instruct::Samples;
    ///
    /// let samples = Samples {
    ///     pde: "poisson".into(),
    ///     channels: vec!["a".into(), "u".into()],
    ///     count: 1,
    ///     height: 2,
    ///     width: 3,
    ///     sides: [1.0, 1.0],
    ///     data: (0..12).map(|v| v as f32).collect(),
    /// };
    /// assert_eq!(samples.view()?.dim(), (1, 2, 2, 3));
    /// assert_eq!(samples.view()?[[0, 1, 0, 2]], 8.0);
    /// # Ok::<(), phys_instruct::Error>(())
    /// ```
    pub fn view(&self) -> Result<ArrayView4<'_, f32>> {
        let shape = (self.count, self.channels.len(), self.height, self.width);
        let view = ArrayView4::from_shape(shape, &self.data);
        view.map_err(|error| Error::Shape(format!("samples of {shape:?}: {error}")))
    }

    /// Field `c` of sample `i` as an array, `[y, x]`, without a copy.
    ///
    /// # Errors
    /// Fails with [`Error::Shape`] as [`Samples::view`] does, and where there is no such field.
    pub fn field_view(&self, i: usize, c: usize) -> Result<ArrayView2<'_, f32>> {
        let all = self.view()?;
        let (count, channels, ..) = all.dim();
        if i >= count || c >= channels {
            let reason = format!("field {c} of sample {i}: {count} samples of {channels} fields");
            return Err(Error::Shape(reason));
        }
        Ok(all.slice_move(s![i, c, .., ..]))
    }

    /// Samples of `pde` on the unit square with the values of an array, `[sample, channel, y, x]`.
    ///
    /// # Errors
    /// Fails with [`Error::Shape`] if there are not as many channels as names.
    pub fn from_array(pde: &str, channels: &[impl AsRef<str>], array: Array4<f32>) -> Result<Self> {
        let (count, found, height, width) = array.dim();
        if found != channels.len() {
            let named = channels.len();
            return Err(Error::Shape(format!("{found} channels in the array, {named} named")));
        }

        Ok(Self {
            pde: pde.into(),
            channels: channels.iter().map(|name| name.as_ref().to_owned()).collect(),
            count,
            height,
            width,
            sides: [1.0; 2],
            // An array may be stored in another order of its axes.
            data: array.iter().copied().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::samples_of;

    use super::*;

    #[test]
    fn an_array_comes_back_in_any_order_of_axes() {
        let samples = samples_of(2, 2, 3, 4, (0..48).map(|v| v as f32).collect());
        let names = &samples.channels;
        let there = samples.view().unwrap().to_owned();
        assert_eq!(Samples::from_array(&samples.pde, names, there.clone()).unwrap(), samples);
        let mut stored_otherwise = there.reversed_axes().as_standard_layout().to_owned();
        stored_otherwise.swap_axes(0, 3);
        stored_otherwise.swap_axes(1, 2);
        assert_eq!(Samples::from_array(&samples.pde, names, stored_otherwise).unwrap(), samples);
    }

    #[test]
    fn a_field_is_that_of_the_flat_values() {
        let samples = samples_of(2, 2, 3, 4, (0..48).map(|v| v as f32).collect());
        let field = samples.field_view(1, 0).unwrap();
        assert_eq!(field.iter().copied().collect::<Vec<_>>(), samples.field(1, 0));
        assert!(samples.field_view(2, 0).is_err() && samples.field_view(0, 2).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut samples = samples_of(1, 1, 2, 2, vec![0.0; 4]);
        let array = samples.view().unwrap().to_owned();
        assert!(Samples::from_array("poisson", &["a", "u"], array).is_err());
        samples.data.pop();
        assert!(samples.view().unwrap_err().to_string().contains("samples of (1, 1, 2, 2)"));
    }
}
