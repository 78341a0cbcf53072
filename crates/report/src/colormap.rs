//! Colours for numbers: viridis for fields of one sign, blue over white to red for signed ones.

use crate::color::Color;

/// A way from a number between 0 and 1 to a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colormap {
    /// Dark violet to yellow (Smith and van der Walt, 2015).
    Viridis,
    /// Blue at 0, nearly white at 1/2, red at 1 (ColorBrewer's RdBu).
    Diverging,
}

impl Colormap {
    /// Returns the colour of `t`; values outside [0, 1] take the end's.
    pub fn color(self, t: f64) -> Color {
        let t = t.clamp(0.0, 1.0);
        let color = match self {
            Self::Viridis => colorous::VIRIDIS.eval_continuous(t),
            Self::Diverging => colorous::RED_BLUE.eval_continuous(1.0 - t),
        };
        color.as_array()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_has_its_published_ends() {
        let ends = [0.0, 1.0].map(|t| Colormap::Viridis.color(t));
        assert_eq!(ends, [[68, 1, 84], [253, 231, 37]]);
    }

    #[test]
    fn the_diverging_map_is_blue_below_red_above_and_neutral_in_the_middle() {
        let [r, g, b] = Colormap::Diverging.color(0.5);
        assert!(r.abs_diff(g) <= 6 && g.abs_diff(b) <= 6 && r > 235, "{r} {g} {b}");
        let [blue, red] = [Colormap::Diverging.color(0.0), Colormap::Diverging.color(1.0)];
        assert!(blue[2] > 2 * blue[0] && red[0] > 2 * red[2]);
    }

    #[test]
    fn values_outside_take_the_colour_of_the_end() {
        for map in [Colormap::Viridis, Colormap::Diverging] {
            assert_eq!(map.color(-3.0), map.color(0.0));
            assert_eq!(map.color(f64::INFINITY), map.color(1.0));
        }
    }
}
