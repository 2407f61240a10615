use std::fmt;
use std::str::FromStr;

use crate::{FaultModel, Scope};

/// A fault model and the cells that it is confined to, as plans and records name it: `name` or
/// `name:key=value,key=value`.
///
/// The keys are those of the model ([`FaultModel`]) and, for every model, `bit=K` and `tensor=NAME` ([`Scope`]);
/// `tensor` is the last, and the rest of the text is its value. `per-bit` and `per-tensor` are other names of
/// `bernoulli`, which need the key they speak of. What is displayed reads as the same, and equal models display as
/// equal texts.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopedFaultModel {
    /// How faults fall.
    pub model: FaultModel,
    /// On which cells.
    pub scope: Scope,
}

/// A text that names no fault model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultModelError {
    /// No model has the name.
    #[error("unknown fault model `{0}`, expected one of {known}", known = NAMES.join(", "))]
    Name(String),
    /// The model has no such key.
    #[error("{model} has no key `{key}`, expected {known}")]
    Key {
        /// The model's name.
        model: String,
        /// The key found.
        key: String,
        /// Those that it has.
        known: String,
    },
    /// A key is missing.
    #[error("{model} needs {known}")]
    Missing {
        /// The model's name.
        model: String,
        /// The keys that it needs.
        known: &'static str,
    },
    /// A key is there twice.
    #[error("{model} has the key `{key}` twice")]
    Twice {
        /// The model's name.
        model: String,
        /// The key.
        key: String,
    },
    /// A value makes no sense.
    #[error("`{key}` of {model} is {value:?}, expected {expected}")]
    Value {
        /// The model's name.
        model: String,
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What would do.
        expected: &'static str,
    },
}

const NAMES: [&str; 8] = [
    "bernoulli",
    "fixed-count",
    "burst:length=L[-M],distance=D",
    "stuck-at:value=0|1",
    "asymmetric:share=S",
    "accumulate:hours=H[,scrub=I]",
    "per-bit:bit=K",
    "per-tensor:tensor=NAME",
];

/// Most cells of a burst.
const LONGEST_BURST: u64 = 1024;
/// Most cells between two of a burst.
const FARTHEST: u64 = 1 << 20;
/// Most hours, 114 years: a scrub every hour then takes a million draws a trial.
const MOST_HOURS: u64 = 1_000_000;

impl FromStr for ScopedFaultModel {
    type Err = FaultModelError;

    fn from_str(text: &str) -> Result<Self, FaultModelError> {
        let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let mut keys = Keys { model: name, pairs: rest.map_or(Ok(Vec::new()), |rest| pairs(name, rest))? };
        let model = match name {
            "bernoulli" | "per-bit" | "per-tensor" => FaultModel::Bernoulli,
            "fixed-count" => FaultModel::FixedCount,
            "burst" => burst(&mut keys)?,
            "stuck-at" => FaultModel::StuckAt {
                one: keys.need("value", "value=0 or value=1", "0 or 1", |value| match value {
                    "0" => Some(false),
                    "1" => Some(true),
                    _ => None,
                })?,
            },
            "asymmetric" => FaultModel::Asymmetric {
                share: keys.need("share", "share=S", "a number in [0, 1]", |value| {
                    // -0 is 0, and displays as it.
                    value
                        .parse()
                        .ok()
                        .filter(|share| (0.0..=1.0).contains(share))
                        .map(|share: f64| share.abs())
                })?,
            },
            "accumulate" => accumulate(&mut keys)?,
            _ => return Err(FaultModelError::Name(text.into())),
        };
        let bit =
            keys.take("bit", "0 to 7, 7 for the sign", |value| number(value, 0, 7).map(|bit| bit as u8))?;
        let tensor =
            keys.take("tensor", "a tensor's name", |name| (!name.is_empty()).then(|| name.into()))?;
        match name {
            "per-bit" if bit.is_none() => Err(keys.missing("bit=K")),
            "per-tensor" if tensor.is_none() => Err(keys.missing("tensor=NAME")),
            _ => keys.end(model).map(|()| Self { model, scope: Scope { bit, tensor } }),
        }
    }
}

impl fmt::Display for ScopedFaultModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.to_string();
        let separator = match (self.scope.is_whole(), model.contains(':')) {
            (true, _) => "",
            (false, true) => ",",
            (false, false) => ":",
        };
        write!(f, "{model}{separator}{}", self.scope)
    }
}

fn burst(keys: &mut Keys<'_>) -> Result<FaultModel, FaultModelError> {
    const NEEDED: &str = "length=L or length=L-M, and distance=D";
    let length = keys.need("length", NEEDED, "1 to 1024 cells, as L or L-M with L at most M", |value| {
        let (least, most) = value.split_once('-').unwrap_or((value, value));
        let least = number(least, 1, LONGEST_BURST)?;
        Some((least, number(most, least, LONGEST_BURST)?))
    })?;
    let distance = keys.need("distance", NEEDED, "1 to 1048576 cells", |value| number(value, 1, FARTHEST))?;
    Ok(FaultModel::Burst { length, distance })
}

fn accumulate(keys: &mut Keys<'_>) -> Result<FaultModel, FaultModelError> {
    let hours = keys.need("hours", "hours=H", "1 to 1000000", |value| number(value, 1, MOST_HOURS))?;
    let expected = "fewer hours than `hours`, or 0 for never";
    let scrub = keys.take("scrub", expected, |value| number(value, 0, hours - 1))?;
    Ok(FaultModel::Accumulate { hours, scrub: scrub.filter(|&scrub| scrub > 0) })
}

/// A whole number of plain digits from `least` to `most`.
fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

/// The keys of a text with their values; `tensor` takes the rest.
fn pairs<'a>(model: &str, mut rest: &'a str) -> Result<Vec<(&'a str, &'a str)>, FaultModelError> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    loop {
        let (pair, after) = match rest.split_once(',') {
            Some((pair, after)) if !rest.starts_with("tensor=") => (pair, Some(after)),
            _ => (rest, None),
        };
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if pairs.iter().any(|(known, _)| *known == key) {
            return Err(FaultModelError::Twice { model: model.into(), key: key.into() });
        }
        pairs.push((key, value));
        match after {
            Some(after) => rest = after,
            None => return Ok(pairs),
        }
    }
}

/// The keys that are not understood yet.
struct Keys<'a> {
    model: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl Keys<'_> {
    /// The value of a key, if it is there.
    fn take<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, FaultModelError> {
        let Some(place) = self.pairs.iter().position(|(known, _)| *known == key) else { return Ok(None) };
        let (_, value) = self.pairs.remove(place);
        let wrong =
            || FaultModelError::Value { model: self.model.into(), key, value: value.into(), expected };
        read(value).map(Some).ok_or_else(wrong)
    }

    /// The value of a key that must be there.
    fn need<T>(
        &mut self,
        key: &'static str,
        needed: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, FaultModelError> {
        self.take(key, expected, read)?.ok_or_else(|| self.missing(needed))
    }

    fn missing(&self, known: &'static str) -> FaultModelError {
        FaultModelError::Missing { model: self.model.into(), known }
    }

    /// Checks that no key is left.
    fn end(&self, model: FaultModel) -> Result<(), FaultModelError> {
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        let own: &[&str] = match model {
            FaultModel::Bernoulli | FaultModel::FixedCount => &[],
            FaultModel::Burst { .. } => &["length", "distance"],
            FaultModel::StuckAt { .. } => &["value"],
            FaultModel::Asymmetric { .. } => &["share"],
            FaultModel::Accumulate { .. } => &["hours", "scrub"],
        };
        let known = [own, &["bit", "tensor"]].concat().join(", ");
        Err(FaultModelError::Key { model: self.model.into(), key: (*key).into(), known })
    }
}
