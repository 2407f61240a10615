//! The mix of events in a DRAM: which part of a device fails, and how often in comparison with the other parts.
//!
//! # Source
//! The mix of the model `dram` is that of V. Sridharan and D. Liberty, "A study of DRAM failures in the field" (SC 2012): the
//! failures in 10^9 device hours (FIT) of the DDR2 devices of the supercomputer Jaguar, by failure mode. Transient and permanent
//! failures are added. We have not seen the paper itself. Two programs quote the same fourteen numbers: FaultSim, by Nair,
//! Roberts and Qureshi (ACM TACO 12.4, 2015), and the DRAM fault-error simulator of The University of Texas at Austin (J. Kim
//! and others, 2017):
//!
//! | mode | transient | permanent | sum | of one pin |
//! |---|---:|---:|---:|---:|
//! | single bit | 14.2 | 18.6 | 32.8 | |
//! | single word | 1.4 | 0.3 | 1.7 | |
//! | single column | 1.4 | 5.6 | 7.0 | 85.8 % |
//! | single row | 0.2 | 8.2 | 8.4 | 31.1 % |
//! | single bank | 0.8 | 10.0 | 10.8 | 55.5 % |
//! | several banks | 0.3 | 1.4 | 1.7 | 17.5 % |
//! | several ranks | 0.9 | 2.8 | 3.7 | 7.5 % |
//!
//! Only the second program has the last column, the share of the failures that are confined to one data pin (DQ) of the device.
//! There the shares of two, three and four pins do not add up to the rest of two modes, so they are not used here: a failure is
//! of one pin or of all. Failures of several banks and of several ranks are failures of the whole device, because the memory of
//! the model has one rank.

use std::fmt;

use crate::FaultModelError;
use crate::keys::Keys;

/// Part of a DRAM device that an event of the model `dram` hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DramRegion {
    /// One beat: the bits that the device transfers at once.
    Word,
    /// One column of one bank, in all rows.
    Column,
    /// One row of one bank.
    Row,
    /// One bank.
    Bank,
    /// The whole device.
    Chip,
}

/// An event of the model `dram`: a region, on one data pin of the device or on all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DramEvent {
    /// Part of the device.
    pub region: DramRegion,
    /// True if only the bits of one data pin of the region fail.
    pub one_pin: bool,
}

impl DramEvent {
    /// All events, in the order in which they are drawn, written and weighted.
    pub const ALL: [Self; 10] = {
        const fn of(region: DramRegion, one_pin: bool) -> DramEvent {
            DramEvent { region, one_pin }
        }
        [
            of(DramRegion::Word, true),
            of(DramRegion::Word, false),
            of(DramRegion::Column, true),
            of(DramRegion::Column, false),
            of(DramRegion::Row, true),
            of(DramRegion::Row, false),
            of(DramRegion::Bank, true),
            of(DramRegion::Bank, false),
            of(DramRegion::Chip, true),
            of(DramRegion::Chip, false),
        ]
    };

    /// True if the event is one bit: a word of one pin.
    pub fn is_single_bit(self) -> bool {
        self.region == DramRegion::Word && self.one_pin
    }
}

/// Names of the events in the text of a fault model, in the order of [`DramEvent::ALL`].
const KEYS: [&str; 10] =
    ["single-bit", "word", "pin-column", "column", "pin-row", "row", "pin-bank", "bank", "pin", "chip"];

/// FIT of each event in the field: the sums of the table above, divided by its last column.
const FIELD: [f64; 10] = [32.8, 1.7, 6.006, 0.994, 2.6124, 5.7876, 5.994, 4.806, 0.575, 4.825];

/// Largest weight of an event.
const LARGEST: f64 = 1e9;

/// How often each event of the model `dram` occurs in comparison with the others. The default is the mix of the field
/// study that the module names. `Display` writes `key=weight` for each event that occurs, and nothing for the default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DramMix([f64; 10]);

impl Default for DramMix {
    fn default() -> Self {
        Self(FIELD)
    }
}

impl DramMix {
    /// Reads the weights among the keys of a text. Without any it is the default; otherwise events without a key do not
    /// occur.
    pub(crate) fn read(keys: &mut Keys<'_>) -> Result<Self, FaultModelError> {
        let mut weights = [0.0; 10];
        for (weight, key) in weights.iter_mut().zip(KEYS) {
            let read = |value: &str| value.parse().ok().filter(|weight| *weight > 0.0 && *weight <= LARGEST);
            *weight = keys.take(key, "a positive number up to 1e9", read)?.unwrap_or(0.0);
        }
        Ok(if weights == [0.0; 10] { Self::default() } else { Self(weights) })
    }

    /// Returns the share of each event among all events, in the order of [`DramEvent::ALL`]: its weight divided by the sum of
    /// all, which is added up in this order.
    pub fn shares(self) -> [f64; 10] {
        let sum: f64 = self.0.iter().sum();
        self.0.map(|weight| weight / sum)
    }
}

impl fmt::Display for DramMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return Ok(());
        }
        let given = KEYS.iter().zip(self.0).filter(|(_, weight)| *weight > 0.0);
        let pairs: Vec<String> = given.map(|(key, weight)| format!("{key}={weight}")).collect();
        f.write_str(&pairs.join(","))
    }
}
