//! Events in the devices of a DRAM.
//!
//! # The memory
//! The data plane is one rank of eight devices with eight data pins each. A beat transfers 64 bits, one block of eight weights:
//! byte d of the beat is that of device d, and its bit b that of pin b. The check plane is on one more device, as on a module
//! with ECC. Successive beats lie in the columns of one row; after 1,024 columns comes the row of the next of eight banks, and
//! after the eight banks the next row of each. The devices hold the plane and nothing else, so a small network has few rows.
//!
//! # The draw
//! Events of each kind arrive in the whole plane as a Poisson process with a mean of rate x bits x share events, in regions of
//! the kind with equal probability. A region is therefore hit, once or more, with a probability that is the same for all regions of
//! a kind, independently of the others. This is what is drawn, kind by kind. A single bit that is hit flips. The bits of all
//! other regions take random values: they flip with probability 1/2 each, however many events hit them.
//!
//! # Precision
//! Regions are drawn like independent flips ([`super::bernoulli`]).

use design::{DramEvent, DramMix, DramRegion};
use rand_core::RngCore;

use super::Planes;
use crate::sampling::bernoulli;
use crate::{FaultPattern, Faults, PlaneSizes};

/// Columns of a row.
const COLUMNS: u64 = 1024;
/// Banks of a device.
const BANKS: u64 = 8;
/// Data pins of a device: bits of a word.
const PINS: u64 = 8;
/// Devices of the data plane.
const DATA_DEVICES: u64 = 8;
/// Devices of the check plane.
const CHECK_DEVICES: u64 = 1;

pub(super) fn sample(planes: &mut Planes, p: f64, mix: DramMix) -> Faults {
    let draw = |rng: &mut _, bits, devices| Devices { bits, devices }.draw(rng, p, mix);
    Faults::Flips(FaultPattern {
        data: draw(&mut planes.data.0, planes.data.1, DATA_DEVICES),
        check: draw(&mut planes.check.0, planes.check.1, CHECK_DEVICES),
    })
}

pub(super) fn mean_flips(p: f64, mix: DramMix, sizes: PlaneSizes) -> f64 {
    Devices { bits: sizes.data_bits, devices: DATA_DEVICES }.mean_flips(p, mix)
        + Devices { bits: sizes.check_bits, devices: CHECK_DEVICES }.mean_flips(p, mix)
}

/// The devices that hold a plane.
struct Devices {
    /// Bits of the plane.
    bits: u64,
    devices: u64,
}

impl Devices {
    /// Words of all devices: bytes of the plane.
    fn words(&self) -> u64 {
        self.bits.div_ceil(8)
    }

    /// Bytes of the plane between a word and the word of the same device in the next row of the same bank.
    fn row_pitch(&self) -> u64 {
        BANKS * COLUMNS * self.devices
    }

    /// Number of regions of a kind on one pin or all.
    fn regions(&self, region: DramRegion) -> u64 {
        let rows = self.words().div_ceil(self.devices * COLUMNS);
        match region {
            DramRegion::Word => self.words(),
            DramRegion::Column => self.words().min(self.row_pitch()),
            DramRegion::Row => rows * self.devices,
            DramRegion::Bank => rows.min(BANKS) * self.devices,
            DramRegion::Chip => self.devices,
        }
    }

    /// Number of places at which an event can occur.
    fn places(&self, event: DramEvent) -> u64 {
        match (event.is_single_bit(), event.one_pin) {
            (true, _) => self.bits,
            (false, true) => PINS * self.regions(event.region),
            (false, false) => self.regions(event.region),
        }
    }

    /// Probability with which each place of an event of this share is hit.
    fn hit_probability(&self, event: DramEvent, share: f64, p: f64) -> f64 {
        let mean = (p * self.bits as f64) * share;
        -libm::expm1(-(mean / self.places(event) as f64))
    }

    /// Draws the bits that flip, ascending.
    fn draw(&self, rng: &mut impl RngCore, p: f64, mix: DramMix) -> Vec<u64> {
        if self.bits == 0 {
            return Vec::new();
        }
        let mut flips = Vec::new();
        // Bit b of byte w: bit b of word w takes a random value.
        let mut random: Vec<u8> = Vec::new();
        for (event, share) in DramEvent::ALL.into_iter().zip(mix.shares()) {
            let hit = bernoulli(rng, self.places(event), self.hit_probability(event, share, p));
            if event.is_single_bit() {
                flips = hit;
                continue;
            }
            if random.is_empty() && !hit.is_empty() {
                random = vec![0; self.words() as usize];
            }
            for place in hit {
                let (number, pins) =
                    if event.one_pin { (place / PINS, 1 << (place % PINS)) } else { (place, 0xff) };
                self.for_each_word(event.region, number, |word| random[word as usize] |= pins);
            }
        }
        let single = flips.len();
        let (mut numbers, mut left) = (0u64, 0);
        for (word, pins) in random.iter().enumerate().filter(|(_, pins)| **pins != 0) {
            for pin in (0..PINS).filter(|pin| pins >> pin & 1 == 1) {
                let bit = PINS * word as u64 + pin;
                if bit >= self.bits {
                    break;
                }
                if left == 0 {
                    (numbers, left) = (rng.next_u64(), u64::BITS);
                }
                if numbers & 1 == 1 {
                    flips.push(bit);
                }
                numbers >>= 1;
                left -= 1;
            }
        }
        if single > 0 && single < flips.len() {
            flips.sort_unstable();
            flips.dedup();
        }
        flips
    }

    /// Calls `found` with every word of region `number` of its kind.
    fn for_each_word(&self, region: DramRegion, number: u64, mut found: impl FnMut(u64)) {
        let words = self.words();
        let of_row = |row: u64| {
            let first = (number / self.devices + row) * COLUMNS * self.devices + number % self.devices;
            (first..words.min(first + COLUMNS * self.devices)).step_by(self.devices as usize)
        };
        match region {
            DramRegion::Word => found(number),
            DramRegion::Column => (number..words).step_by(self.row_pitch() as usize).for_each(found),
            DramRegion::Row => of_row(0).for_each(found),
            DramRegion::Bank => {
                let rows = words.div_ceil(self.devices * COLUMNS);
                (0..rows).step_by(BANKS as usize).flat_map(of_row).for_each(found);
            }
            DramRegion::Chip => (number..words).step_by(self.devices as usize).for_each(found),
        }
    }

    /// Mean number of flips. All bits flip with one probability: a bit is in one region of each kind.
    fn mean_flips(&self, p: f64, mix: DramMix) -> f64 {
        if self.bits == 0 {
            return 0.0;
        }
        // Mean number of events that hit a bit: as a single bit, and in a region.
        let (mut single, mut in_region) = (0.0, 0.0);
        for (event, share) in DramEvent::ALL.into_iter().zip(mix.shares()) {
            let mean = p * self.bits as f64 * share / self.places(event) as f64;
            *(if event.is_single_bit() { &mut single } else { &mut in_region }) += mean;
        }
        // 1 - (1 - flips alone) (1 - random / 2), without cancellation.
        let (flips, random) = (-libm::expm1(-single), -libm::expm1(-in_region) / 2.0);
        self.bits as f64 * (flips + random - flips * random)
    }
}
