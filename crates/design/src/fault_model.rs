use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::keys::{Keys, number};
use crate::{BitErrorRate, DramMix, Scope};

/// A fault model: a kind of faults, the order of the stored bits in the memory, and the bits that the faults are confined to.
///
/// Its text is `name` or `name:key=value,key=value`, with the keys of the kind ([`FaultKind`]) and, for every kind,
/// `interleave=D`, and `bit=K` and `tensor=NAME` ([`Scope`]); `tensor` comes last, and its value is the rest of the text. `per-bit` and `per-tensor` are
/// other names of `bernoulli`, which need the key they speak of. `Display` writes the normal form, in which equal
/// models have equal texts. Cells are identified by this form, and files of records hold no other.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultModel {
    /// Kind of faults, with its parameters.
    pub kind: FaultKind,
    /// Number of neighbouring blocks of a tensor whose bits take turns in the memory, 2 to 1048576: first bit 0 of each, then
    /// bit 1 of each, and so on. `None`: a block lies in one piece.
    pub interleave: Option<u64>,
    /// Bits that the faults are confined to.
    pub scope: Scope,
}

/// Distribution of faults in a memory at a rate. `Display` writes the text without a scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// `bernoulli`: every bit flips with the given probability, independently of all others.
    Bernoulli,
    /// `fixed-count`: exactly floor(bits * rate) distinct bits of each plane flip, all sets equally likely: the
    /// paper's protocol, where n = int(weights * 8 * rate). The released code draws the sites tensor by
    /// tensor, in proportion to size; here they are drawn from the whole plane.
    FixedCount,
    /// `burst:length=L[-M],distance=D`: bursts of L to M bits, all lengths equally likely, whose bits are D apart
    /// (1: adjacent; physically adjacent bits of a memory that interleaves D words are D apart in logical
    /// addresses).
    ///
    /// Bursts start at each position independently, with a probability s for which every bit flips with the given
    /// rate p. A bit stays if none of the bursts that could cover it occurs: 1 - p = prod over j < M of
    /// (1 - s P(length > j)). A bit that several bursts cover flips once (union). Bursts that begin before a
    /// plane and reach into it count too, so that p holds at the edges; no burst crosses from one plane to another.
    Burst {
        /// Fewest and most bits of a burst.
        length: (u64, u64),
        /// Distance from one of its bits to the next, in bits.
        distance: u64,
    },
    /// `stuck-at:value=V`: every bit is stuck at V with the given probability, and flips if the other value was
    /// stored.
    StuckAt {
        /// True if bits are stuck at 1.
        one: bool,
    },
    /// `asymmetric:share=S`: a stored 1 flips with probability 2 p S, a stored 0 with 2 p (1 - S), so that p is the
    /// flip probability of a memory with equal numbers of ones and zeros, and S is the share of its flips from 1 to 0.
    Asymmetric {
        /// S, in [0, 1].
        share: f64,
    },
    /// `accumulate:hours=H[,scrub=I]`: the rate is the probability with which a bit flips in an hour, and the
    /// memory is read at the end of H hours. If I is given, the memory is scrubbed every I hours before that: each
    /// word is decoded, and if the decoder changes it, the decoded word is stored, whether right or wrong.
    Accumulate {
        /// H.
        hours: u64,
        /// I, less than H; `None`: the memory is never scrubbed.
        scrub: Option<u64>,
    },
    /// `dram[:EVENT=WEIGHT,...]`: events in the devices of a DRAM, each a single bit or a region of one device whose bits take
    /// random values. The rate is the mean number of events per stored bit.
    Dram {
        /// Weights of the events.
        mix: DramMix,
    },
}

/// The forms of all models, as error messages list them.
const FORMS: [&str; 9] = [
    "bernoulli",
    "fixed-count",
    "burst:length=L[-M],distance=D",
    "stuck-at:value=0|1",
    "asymmetric:share=S",
    "accumulate:hours=H[,scrub=I]",
    "dram[:EVENT=WEIGHT,...]",
    "per-bit:bit=K",
    "per-tensor:tensor=NAME",
];

/// Most bits of a burst.
const LONGEST_BURST: u64 = 1024;
/// Largest distance between two neighbours of a burst, in bits.
const FARTHEST: u64 = 1 << 20;
/// Most blocks whose bits take turns.
const DEEPEST: u64 = 1 << 20;
/// Most hours, 114 years: a scrub every hour then takes a million draws a trial.
const MOST_HOURS: u64 = 1_000_000;

impl FaultKind {
    /// Reads the parameters of the kind `name`.
    fn read(name: &str, keys: &mut Keys<'_>) -> Result<Self, FaultModelError> {
        Ok(match name {
            "bernoulli" | "per-bit" | "per-tensor" => Self::Bernoulli,
            "fixed-count" => Self::FixedCount,
            "burst" => {
                const NEEDED: &str = "length=L or length=L-M, and distance=D";
                let expected = "1 to 1024 cells, as L or L-M with L at most M";
                let length = keys.need("length", NEEDED, expected, |value| {
                    let (least, most) = value.split_once('-').unwrap_or((value, value));
                    let least = number(least, 1, LONGEST_BURST)?;
                    Some((least, number(most, least, LONGEST_BURST)?))
                })?;
                let expected = "1 to 1048576 cells";
                let distance = keys.need("distance", NEEDED, expected, |value| number(value, 1, FARTHEST))?;
                Self::Burst { length, distance }
            }
            "stuck-at" => Self::StuckAt {
                one: keys.need("value", "value=0 or value=1", "0 or 1", |value| match value {
                    "0" => Some(false),
                    "1" => Some(true),
                    _ => None,
                })?,
            },
            "asymmetric" => Self::Asymmetric {
                share: keys.need("share", "share=S", "a number in [0, 1]", |value| {
                    let share: f64 = value.parse().ok()?;
                    // -0 is 0, and displays as it.
                    (0.0..=1.0).contains(&share).then_some(share.abs())
                })?,
            },
            "accumulate" => {
                let hours =
                    keys.need("hours", "hours=H", "1 to 1000000", |value| number(value, 1, MOST_HOURS))?;
                let expected = "fewer hours than `hours`, or 0 for never";
                let scrub = keys.take("scrub", expected, |value| number(value, 0, hours - 1))?;
                Self::Accumulate { hours, scrub: scrub.filter(|&scrub| scrub > 0) }
            }
            "dram" => Self::Dram { mix: DramMix::read(keys)? },
            _ => return Err(FaultModelError::Name(name.into())),
        })
    }

    /// Checks that the kind has a meaning at a rate. `asymmetric` has one where both of its probabilities are at most 1,
    /// `accumulate` up to 1/2 (a bit that flips within the hour more likely than not has no rate); the others always.
    ///
    /// # Errors
    /// When the rate is too high.
    pub fn check_rate(self, rate: BitErrorRate) -> Result<(), RateTooHigh> {
        let most = match self {
            Self::Asymmetric { share } => 0.5 / share.max(1.0 - share),
            Self::Accumulate { .. } => 0.5,
            Self::Bernoulli
            | Self::FixedCount
            | Self::Burst { .. }
            | Self::StuckAt { .. }
            | Self::Dram { .. } => 1.0,
        };
        if rate.get() <= most {
            return Ok(());
        }
        Err(RateTooHigh { rate: rate.get(), most, model: self.to_string() })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bernoulli => f.write_str("bernoulli"),
            Self::FixedCount => f.write_str("fixed-count"),
            Self::Burst { length: (least, most), distance } if least == most => {
                write!(f, "burst:length={least},distance={distance}")
            }
            Self::Burst { length: (least, most), distance } => {
                write!(f, "burst:length={least}-{most},distance={distance}")
            }
            Self::StuckAt { one } => write!(f, "stuck-at:value={}", u8::from(one)),
            Self::Asymmetric { share } => write!(f, "asymmetric:share={share}"),
            Self::Accumulate { hours, scrub: None } => write!(f, "accumulate:hours={hours}"),
            Self::Accumulate { hours, scrub: Some(scrub) } => {
                write!(f, "accumulate:hours={hours},scrub={scrub}")
            }
            Self::Dram { mix } if mix == DramMix::default() => f.write_str("dram"),
            Self::Dram { mix } => write!(f, "dram:{mix}"),
        }
    }
}

/// The kind on all bits of a memory.
impl From<FaultKind> for FaultModel {
    fn from(kind: FaultKind) -> Self {
        Self { kind, interleave: None, scope: Scope::default() }
    }
}

impl FromStr for FaultModel {
    type Err = FaultModelError;

    fn from_str(text: &str) -> Result<Self, FaultModelError> {
        let (name, pairs) = text.split_once(':').map_or((text, None), |(name, pairs)| (name, Some(pairs)));
        let mut keys = Keys::split(name, pairs)?;
        let kind = FaultKind::read(name, &mut keys)?;
        let interleave = keys.take("interleave", "2 to 1048576", |value| number(value, 2, DEEPEST))?;
        let bit =
            keys.take("bit", "0 to 7, 7 for the sign", |value| number(value, 0, 7).map(|bit| bit as u8))?;
        let tensor =
            keys.take("tensor", "a tensor's name", |name| (!name.is_empty()).then(|| name.into()))?;
        match name {
            "per-bit" if bit.is_none() => Err(keys.missing("bit=K")),
            "per-tensor" if tensor.is_none() => Err(keys.missing("tensor=NAME")),
            _ => keys.end().map(|()| Self { kind, interleave, scope: Scope { bit, tensor } }),
        }
    }
}

impl fmt::Display for FaultModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.kind.to_string();
        let interleave = self.interleave.map(|depth| format!("interleave={depth}"));
        let scope = (!self.scope.is_whole()).then(|| self.scope.to_string());
        for pairs in [interleave, scope].into_iter().flatten() {
            text.push(if text.contains(':') { ',' } else { ':' });
            text.push_str(&pairs);
        }
        f.write_str(&text)
    }
}

impl Serialize for FaultModel {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FaultModel {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::from_normal_form(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl FaultModel {
    /// Returns the model on all bits of a memory.
    pub fn unscoped(&self) -> Self {
        Self { scope: Scope::default(), ..self.clone() }
    }

    /// Reads the normal form, which is the only one in files of records: the text is part of a cell's identity.
    ///
    /// # Errors
    /// When the text names no fault model, or names one in another form.
    pub fn from_normal_form(text: &str) -> Result<Self, FaultModelError> {
        let model: Self = text.parse()?;
        let normal = model.to_string();
        if normal == text { Ok(model) } else { Err(FaultModelError::Form { text: text.into(), normal }) }
    }
}

/// The reason for which a text names no fault model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultModelError {
    /// No model has the name.
    #[error("unknown fault model `{0}`, expected one of {known}", known = FORMS.join(", "))]
    Name(String),
    /// The model has no such key.
    #[error("{model} has no key `{key}`, expected {known}")]
    Key {
        /// Name of the model.
        model: String,
        /// The key found.
        key: String,
        /// The keys that the model has.
        known: String,
    },
    /// A key is missing.
    #[error("{model} needs {known}")]
    Missing {
        /// Name of the model.
        model: String,
        /// The keys that the model needs.
        known: &'static str,
    },
    /// A key is present twice.
    #[error("{model} has the key `{key}` twice")]
    Twice {
        /// Name of the model.
        model: String,
        /// The key.
        key: String,
    },
    /// A key has an impossible value.
    #[error("`{key}` of {model} is {value:?}, expected {expected}")]
    Value {
        /// Name of the model.
        model: String,
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// The values that the key can have.
        expected: &'static str,
    },
    /// A file of records holds a text that is not the normal form.
    #[error("fault model `{text}`, expected its normal form `{normal}`")]
    Form {
        /// The text found.
        text: String,
        /// Its normal form.
        normal: String,
    },
}

/// A rate at which a fault model has no meaning.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{rate:e}, expected at most {most:e} under {model}")]
pub struct RateTooHigh {
    /// The rate found.
    pub rate: f64,
    /// Highest rate that has a meaning.
    pub most: f64,
    /// Text of the model.
    pub model: String,
}
