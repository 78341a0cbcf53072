//! Colours for numbers: viridis for fields of one sign, a blue-white-red map for signed ones.
//!
//! Viridis (Smith and van der Walt, 2015, CC0) by a degree-six polynomial fit. The diverging map
//! is made in Oklab (Ottosson, "A perceptual color space for image processing", 2020): lightness
//! falls linearly from the middle to both ends, so that equal steps look equal on both sides.

use super::drawing::Color;

/// How a number between 0 and 1 becomes a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colormap {
    /// Dark violet to yellow.
    Viridis,
    /// Blue at 0, nearly white at 1/2, red at 1.
    Diverging,
}

impl Colormap {
    /// The colour of `t`; values outside [0, 1] take the end's.
    pub fn color(self, t: f64) -> Color {
        let t = t.clamp(0.0, 1.0);
        let rgb = match self {
            Self::Viridis => viridis(t),
            Self::Diverging => srgb(diverging(2.0 * t - 1.0)),
        };
        rgb.map(|v| (255.0 * v.clamp(0.0, 1.0)).round() as u8)
    }
}

/// Coefficients of 1, t, ..., t^6 for red, green and blue.
const VIRIDIS: [[f64; 3]; 7] = [
    [0.277_727_3, 0.005_407_3, 0.334_099_8],
    [0.105_093_0, 1.404_613_5, 1.384_590_2],
    [-0.330_861_8, 0.214_847_6, 0.095_095_2],
    [-4.634_230_5, -5.799_101_0, -19.332_441_0],
    [6.228_269_9, 14.179_933_4, 56.690_552_6],
    [4.776_385_0, -13.745_145_4, -65.353_032_6],
    [-5.435_455_9, 4.645_852_6, 26.312_435_2],
];

fn viridis(t: f64) -> [f64; 3] {
    [0, 1, 2].map(|k| VIRIDIS.iter().rev().fold(0.0, |sum, c| sum * t + c[k]))
}

/// Linear-light RGB of `t` in [-1, 1].
fn diverging(t: f64) -> [f64; 3] {
    let strength = t.abs();
    let lightness = 0.97 - 0.54 * strength;
    let chroma = 0.13 * (1.0 - (1.0 - strength).powi(2));
    let hue: f64 = if t < 0.0 { 255.0 } else { 28.0 };
    let (sin, cos) = hue.to_radians().sin_cos();
    oklab_to_linear(lightness, chroma * cos, chroma * sin)
}

fn oklab_to_linear(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// The sRGB transfer function.
fn srgb(linear: [f64; 3]) -> [f64; 3] {
    linear.map(|v| if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_passes_through_its_published_colours() {
        let anchors: [(f64, Color); 5] = [
            (0.0, [68, 1, 84]),
            (0.25, [59, 82, 139]),
            (0.5, [33, 145, 140]),
            (0.75, [94, 201, 98]),
            (1.0, [253, 231, 37]),
        ];
        for (t, expected) in anchors {
            let found = Colormap::Viridis.color(t);
            for k in 0..3 {
                assert!(found[k].abs_diff(expected[k]) <= 6, "{t}: {found:?} {expected:?}");
            }
        }
    }

    #[test]
    fn the_diverging_map_needs_no_clipping_and_is_neutral_in_the_middle() {
        for i in -50..=50 {
            let rgb = srgb(diverging(f64::from(i) / 50.0));
            assert!(rgb.iter().all(|v| (-1e-3..=1.001).contains(v)), "{i}: {rgb:?}");
        }
        let [r, g, b] = Colormap::Diverging.color(0.5);
        assert!(r.abs_diff(g) <= 1 && g.abs_diff(b) <= 1 && r > 240);
        let [blue, red] = [Colormap::Diverging.color(0.0), Colormap::Diverging.color(1.0)];
        assert!(blue[2] > 2 * blue[0] && red[0] > 2 * red[2]);
    }

    #[test]
    fn values_outside_take_the_colour_of_the_end() {
        for map in [Colormap::Viridis, Colormap::Diverging] {
            assert_eq!(map.color(-3.0), map.color(0.0));
            assert_eq!(map.color(7.0), map.color(1.0));
        }
    }
}
