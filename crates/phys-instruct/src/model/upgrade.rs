//! Descriptions of older formats, brought into the present shape.
//!
//! Formats 1 and 2 kept the coordinates among the numbers of the diffusion: `preconditioning`,
//! `noise`, `regress`, `joint_modes`; and the curvature `rho` of the sampler, which is EDM's 7.
//! Networks of formats up to 5 could have attention; no file that is bundled has any.

use serde_json::{Map, Value, json};

use super::WITH_COORDINATES;
use crate::{Error, Result};

/// EDM's curvature, which no model of ours had otherwise.
const RHO: f64 = 7.0;

/// The description `card` in the present shape. Its `format` stays, since it tells what else the
/// file has; what is not understood stays too, to be refused by name.
///
/// # Errors
/// [`Error::Config`] for a value that the present shape cannot express.
pub(super) fn upgraded(mut card: Value) -> Result<Value> {
    drop_attention(&mut card, "/net")?;
    drop_attention(&mut card, "/operator/net")?;
    let format = card.get("format").and_then(Value::as_u64);
    let old = format.is_some_and(|format| (1..u64::from(WITH_COORDINATES)).contains(&format));
    let Some(card_fields) = card.as_object_mut().filter(|_| old) else { return Ok(card) };
    let Some(diffusion) = card_fields.get_mut("diffusion").and_then(Value::as_object_mut) else {
        return Ok(card);
    };

    let rho = diffusion.remove("rho").unwrap_or(json!(RHO));
    if rho.as_f64() != Some(RHO) {
        return Err(Error::Config(format!("diffusion.rho = {rho}: {RHO} expected")));
    }
    let coordinates = coordinates(diffusion)?;
    card_fields.insert("coordinates".into(), coordinates);
    Ok(card)
}

/// Takes the levels with attention out of the network at `at`, if there are none in the list.
fn drop_attention(card: &mut Value, at: &str) -> Result<()> {
    let net = card.pointer_mut(at).and_then(Value::as_object_mut);
    match net.and_then(|net| net.remove("attention")) {
        None => Ok(()),
        Some(levels) if levels.as_array().is_some_and(Vec::is_empty) => Ok(()),
        Some(levels) => Err(Error::Config(format!(
            "{}.attention = {levels}: [] expected, for networks have no attention any more",
            at[1..].replace('/', ".")
        ))),
    }
}

/// Takes the coordinates out of the numbers of the diffusion.
fn coordinates(diffusion: &mut Map<String, Value>) -> Result<Value> {
    let kind = diffusion.remove("preconditioning").unwrap_or(json!("modes"));
    let noise = diffusion.remove("noise").unwrap_or(json!("white"));
    let regress = diffusion.remove("regress").unwrap_or(json!(false));
    let modes = diffusion.remove("joint_modes").unwrap_or(json!(16));

    let refused = |reason: String| Err(Error::Config(format!("diffusion.{reason}")));
    match kind.as_str() {
        // The noise of pixels was white, whatever the description said.
        Some("pixel") if regress != json!(true) => Ok(json!({ "kind": "pixel" })),
        Some("pixel") => refused("regress = true: modes expected, pixels found".into()),
        Some("modes") => {
            Ok(json!({ "kind": "modes", "noise": noise, "linear_predictor": regress }))
        }
        Some("joint") if noise == json!("data") || noise.as_f64() == Some(1.0) => {
            Ok(json!({ "kind": "joint", "modes": modes, "linear_predictor": regress }))
        }
        Some("joint") => refused(format!("preconditioning = \"joint\" with noise = {noise}")),
        _ => refused(format!("preconditioning = {kind}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{CoordinatesConfig, NamedNoise, Noise};

    fn read(format: u32, diffusion: Value) -> Result<CoordinatesConfig> {
        let card = upgraded(json!({ "format": format, "diffusion": diffusion }))?;
        Ok(serde_json::from_value(card["coordinates"].clone()).unwrap())
    }

    #[test]
    fn every_kind_of_the_old_formats_is_read() {
        let noise = Noise::Named(NamedNoise::Data);
        for (diffusion, expected) in [
            (json!({ "preconditioning": "pixel", "noise": "data" }), CoordinatesConfig::Pixel {}),
            (
                json!({ "preconditioning": "modes", "noise": "data", "regress": true, "rho": 7.0 }),
                CoordinatesConfig::Modes { noise, linear_predictor: true },
            ),
            (
                json!({ "preconditioning": "modes", "noise": 0.5, "joint_modes": 16 }),
                CoordinatesConfig::Modes { noise: Noise::Power(0.5), linear_predictor: false },
            ),
            (
                json!({ "preconditioning": "joint", "noise": "data", "joint_modes": 9 }),
                CoordinatesConfig::Joint { modes: 9, linear_predictor: false },
            ),
        ] {
            for format in [1, 2] {
                assert_eq!(read(format, diffusion.clone()).unwrap(), expected);
            }
        }
    }

    #[test]
    fn networks_without_attention_are_read() {
        let net = |levels: Value| json!({ "width": 8, "attention": levels });
        let card = |own: Value, other: Value| json!({ "format": 4, "net": own, "operator": { "net": other } });
        let today =
            json!({ "format": 4, "net": { "width": 8 }, "operator": { "net": { "width": 8 } } });
        assert_eq!(upgraded(card(net(json!([])), net(json!([])))).unwrap(), today);
        let message = upgraded(card(net(json!([])), net(json!([1])))).unwrap_err().to_string();
        assert!(message.contains("operator.net.attention = [1]"), "{message}");
    }

    #[test]
    fn what_the_present_shape_cannot_say_is_refused_by_its_old_name() {
        for (diffusion, part) in [
            (json!({ "rho": 3.0 }), "diffusion.rho"),
            (json!({ "preconditioning": "latent" }), "diffusion.preconditioning"),
            (json!({ "preconditioning": "joint", "noise": "white" }), "diffusion.preconditioning"),
            (json!({ "preconditioning": "pixel", "regress": true }), "diffusion.regress"),
        ] {
            let message = read(1, diffusion).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
