//! The making of a model as its file tells it: config, parent, figures, licence, date.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, load};
use crate::{Error, Model, Result};

/// The longest config that is taken from a file, in bytes.
const LONGEST_CONFIG: usize = 1 << 18;
/// The most characters of a licence or a date.
const LONGEST_LINE: usize = 200;

/// The making of a model, beside what inference needs of it. Files of older versions have none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The settled config of the last training, TOML; empty where it is not known. Paths in it are
    /// those of the machine that trained.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// The SHA-256 of the model from which that training began, such as a student's teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The figures of its samples beside those of held-out data, as `eval --json` prints them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Value>,
    /// The licence under which the weights are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The date on which the file was made, year-month-day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

impl Record {
    /// The record of a training by `config` that begins from `parent`.
    ///
    /// # Errors
    /// Fails for a config that TOML cannot hold, and where the device does not give the parent's
    /// weights back.
    pub fn of_training(config: &Config, parent: Option<&Model>) -> Result<Self> {
        // Weights that were read from a packed file are told by that file's checksum.
        let told = |model: &Model| model.checksum.clone().map_or_else(|| model.sha256(), Ok);
        let parent = parent.map(told).transpose()?;
        Ok(Self { config: load::to_toml(config)?, parent, ..Self::default() })
    }

    /// The data of the last training in words, in one line; none where the config is not known.
    pub fn data(&self) -> Option<String> {
        let known = (!self.config.is_empty()).then(|| load::of_any_version(&self.config));
        Some(known?.ok()?.data.in_words())
    }

    /// Tells whether nothing is told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks lengths, and that what is printed is one line.
    ///
    /// # Errors
    /// [`Error::Config`] with the first fault.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &str, expected: &str| {
            Err(Error::Config(format!("record.{key}: {expected} expected")))
        };
        if self.config.len() > LONGEST_CONFIG {
            return refuse("config", &format!("at most {LONGEST_CONFIG} bytes"));
        }
        if self.figures.as_ref().is_some_and(|figures| figures["count"].as_u64().is_none()) {
            return refuse("figures", "figures of a number of samples, `count`,");
        }
        if self.licence.as_deref().is_some_and(|text| text.trim().is_empty()) {
            return refuse("licence", "a licence's name");
        }
        if self.date.as_deref().is_some_and(|text| !is_date(text)) {
            return refuse("date", "year-month-day, such as 2026-01-31,");
        }

        let lines = [("parent", &self.parent), ("licence", &self.licence)];
        let is_line = |text: &str| {
            text.chars().count() <= LONGEST_LINE && !text.chars().any(char::is_control)
        };
        match lines.iter().find(|(_, text)| text.as_deref().is_some_and(|text| !is_line(text))) {
            None => Ok(()),
            Some((key, _)) => {
                refuse(key, &format!("one line of at most {LONGEST_LINE} characters"))
            }
        }
    }
}

/// Tells whether a text is year-month-day.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |i: usize, digits: usize| -> Option<u32> {
        let part = parts.get(i).filter(|part| part.len() == digits)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is_day = || {
        let (month, day) = (number(1, 2)?, number(2, 2)?);
        number(0, 4)?;
        Some((1..=12).contains(&month) && (1..=31).contains(&day))
    };
    parts.len() == 3 && is_day().unwrap_or(false)
}
