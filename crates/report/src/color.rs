//! Colours, and those of every page.

/// Red, green, blue, sRGB.
pub type Color = [u8; 3];

/// Near black, for text.
pub const INK: Color = [34, 34, 34];
/// Grey, for frames, ticks and secondary text.
pub const GREY: Color = [100, 100, 100];
/// Light grey, for grid lines.
pub const FAINT: Color = [228, 228, 228];
/// The background.
pub const WHITE: Color = [255, 255, 255];
