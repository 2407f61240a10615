//! A network in memory: regions, faults in them, and the weights that are read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use design::{BitErrorRate, FaultKind, FaultModel, Scope};
use ecc::{BLOCK, CodeMapError, NoProtection, Protection, UnsoundProtection, Violation};
use graph::WeightChange;
use inject::{FaultPattern, Faults, PlaneSizes, ScopedBits};

use crate::changed::WordClasses;
use crate::region::{BlockFlips, StoredRegion, check_plane_bits};
use crate::{ChangedTrials, Network, NoChangedTrials, Trial, WordAccount};

/// A scope that names a tensor which the network does not have.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{model} has no tensor {tensor:?}, expected one of {known}")]
pub struct UnknownTensor {
    /// Network label.
    pub model: String,
    /// The name found.
    pub tensor: String,
    /// Names of the network's tensors.
    pub known: String,
}

/// The reason for which a network cannot be stored under a protection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnstorableNetwork {
    /// The code map of the protection does not fit the network.
    #[error(transparent)]
    Map(#[from] CodeMapError),
    /// A weight is outside the range of the protection.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// The protection breaks a rule with these weights.
    #[error(transparent)]
    Unsound(#[from] UnsoundProtection),
}

impl Network {
    /// Returns the protection that a name stands for in this network's memory.
    ///
    /// # Errors
    /// When nothing has the name, or a code map has not one code for each tensor.
    pub fn protection(&self, name: &str) -> Result<Arc<dyn Protection>, NoProtection> {
        ecc::for_layout(name, &self.layout)
    }

    /// Stored bits that a fault model sees under a protection.
    pub(crate) fn bits_in(
        &self,
        fault_model: &FaultModel,
        protection: &dyn Protection,
    ) -> Result<ScopedBits, UnknownTensor> {
        let FaultModel { interleave, scope, .. } = fault_model;
        let weights = self.weights_in(scope)?;
        let regions = protection.regions(&self.plane);
        // A tensor's bits in the check plane are one range: so far one region at most has bits there.
        let in_check_plane = regions.iter().find_map(|region| {
            let code = region.code.as_deref().unwrap_or(protection);
            let bits = check_plane_bits(region, code);
            (bits > 0).then_some((region, bits))
        });
        let check_blocks =
            |weight: usize| in_check_plane.map_or(0, |(region, _)| region.blocks_before(weight) as u64);
        let check_bits = |weight: usize| in_check_plane.map_or(0, |(_, bits)| bits) * check_blocks(weight);
        let data_bits = |weight: usize| 8 * weight as u64;
        let [start, end] = [weights.start, weights.end];
        let bits =
            ScopedBits::new(scope, data_bits(start)..data_bits(end), check_bits(start)..check_bits(end));
        let Some(depth) = *interleave else { return Ok(bits) };
        let tensors = self
            .layout
            .tensors()
            .iter()
            .map(|span| span.start..span.start + span.len.next_multiple_of(BLOCK));
        let in_scope = tensors.filter(|tensor| start <= tensor.start && tensor.end <= end);
        let blocks = in_scope.map(|tensor| {
            let data_blocks = (tensor.end - tensor.start) / BLOCK;
            [data_blocks as u64, check_blocks(tensor.end) - check_blocks(tensor.start)]
        });
        Ok(bits.interleaved(depth, &blocks.collect::<Vec<_>>()))
    }

    /// Plane indices of the weights in a scope, padding included.
    fn weights_in(&self, scope: &Scope) -> Result<Range<usize>, UnknownTensor> {
        match &scope.tensor {
            None => Ok(0..self.plane.len()),
            Some(name) => self.stored_tensor(name),
        }
    }
}

/// A network stored under a protection, ready for trials.
#[derive(Debug)]
pub struct StoredNetwork<'a> {
    network: &'a Network,
    protection: Arc<dyn Protection>,
    regions: Vec<StoredRegion<'a>>,
    /// Found when first asked for; `None` without a closed form.
    classes: OnceLock<Option<WordClasses>>,
}

impl<'a> StoredNetwork<'a> {
    /// Checks that the protection can store a network, by storing it and reading it back, and notes the weights that
    /// storage alone changes.
    ///
    /// # Errors
    /// The first weight that the protection cannot store, or the first block that is read back otherwise than
    /// [`Protection::as_stored`] says.
    ///
    /// # Panics
    /// When the protection is made of a code map for a network of another layout ([`Network::protection`]).
    pub fn new(network: &'a Network, protection: Arc<dyn Protection>) -> Result<Self, UnstorableNetwork> {
        protection.check(&network.layout, &network.plane)?;
        let mut regions: Vec<StoredRegion<'_>> = Vec::new();
        for region in protection.regions(&network.plane) {
            let check_start = regions.last().map_or(0, |before| before.check_plane().end);
            regions.push(StoredRegion::new(region, &protection, &network.layout, check_start)?);
        }
        if regions.len() > 1 && regions.iter().any(|region| !region.losses().is_empty()) {
            return Err(UnstorableNetwork::Unsound(UnsoundProtection {
                id: protection.id().into(),
                found: "one of several regions loses bytes by storing them".into(),
                expected: "regions that lose nothing".into(),
            }));
        }
        Ok(Self { network, protection, regions, classes: OnceLock::new() })
    }

    /// Weights that storage alone changes, in memory order; none under a lossless protection.
    pub fn losses(&self) -> &[WeightChange] {
        self.regions[0].losses()
    }

    /// The network that is stored.
    pub fn network(&self) -> &Network {
        self.network
    }

    /// The protection of the network.
    pub fn protection(&self) -> &dyn Protection {
        &*self.protection
    }

    /// The regions of the memory; the first ones store a byte for each weight.
    pub fn regions(&self) -> &[StoredRegion<'a>] {
        &self.regions
    }

    /// Stored bits that faults reach, in the two planes of a pattern.
    pub fn bits(&self) -> PlaneSizes {
        PlaneSizes {
            data_bits: 8 * self.network.plane.len() as u64,
            check_bits: self.regions.last().map_or(0, |last| last.check_plane().end),
        }
    }

    /// Stored bits from which a fault model draws, in their order in the memory.
    ///
    /// # Errors
    /// When the network has no tensor of the name in the model's scope.
    pub fn bits_in(&self, fault_model: &FaultModel) -> Result<ScopedBits, UnknownTensor> {
        self.network.bits_in(fault_model, &*self.protection)
    }

    /// The stored bits as bytes: the data plane, then the check plane. Bit i of a plane is bit i mod 8 of its byte i div 8;
    /// unused bits of the last byte are 0.
    pub fn planes(&self) -> [Vec<u8>; 2] {
        let mut check = vec![0; self.bits().check_bits.div_ceil(8) as usize];
        let mut data = Vec::with_capacity(self.network.plane.len());
        for region in &self.regions {
            let bytes = region.write(&mut check);
            if region.holds_weights() {
                data.extend(bytes);
            }
        }
        [data, check]
    }

    /// Draws the faults of a trial and reads the memory under them.
    pub fn trial(&self, kind: FaultKind, rate: BitErrorRate, seed: u64, trial: u64) -> Trial {
        self.read(inject::sample(kind, rate, self.bits(), seed, trial))
    }

    /// Trials under independent flips of which only those are drawn in which some word, padding included, reads back
    /// wrong.
    ///
    /// # Errors
    /// When the protection has no closed form for how often that is, or there are none.
    pub fn changed_trials(&self, rate: BitErrorRate) -> Result<ChangedTrials<'_>, NoChangedTrials> {
        let classes = self.classes.get_or_init(|| WordClasses::of(&*self.protection, &self.network.plane));
        match classes {
            _ if !self.losses().is_empty() => {
                Err(NoChangedTrials::Lossy { protection: self.protection.id().into() })
            }
            Some(classes) => ChangedTrials::new(self, classes, rate),
            None => Err(NoChangedTrials::NoClosedForm { protection: self.protection.id().into() }),
        }
    }

    /// Reads the memory under faults. The pattern of the trial is the bits that differ from what was stored.
    ///
    /// # Panics
    /// When the faults are in bits that the memory does not have.
    pub fn read(&self, faults: Faults) -> Trial {
        let flips: Vec<Vec<BlockFlips>> = self
            .regions
            .iter()
            .map(|region| match &faults {
                Faults::Flips(pattern) => self.flips(region, pattern),
                Faults::ByStoredBit { ones, zeros } => {
                    region.flips_by_stored_bit(self.flips(region, ones), self.flips(region, zeros))
                }
                Faults::BetweenScrubs(intervals) => region.flips_between_scrubs(
                    intervals.iter().map(|pattern| self.flips(region, pattern)).collect(),
                ),
            })
            .collect();
        let mut trial = Trial::default();
        let mut changes = Vec::new();
        for (region, flips) in self.regions.iter().zip(&flips) {
            region.read(flips, &mut trial);
            changes.push(std::mem::take(&mut trial.changes));
        }
        trial.changes = match self.regions.iter().all(StoredRegion::holds_weights) {
            true => changes.concat(),
            false => self.weights_read(&changes),
        };
        trial.pattern = match faults {
            Faults::Flips(pattern) => pattern,
            _ => {
                let mut pattern = FaultPattern::default();
                self.regions
                    .iter()
                    .zip(&flips)
                    .for_each(|(region, flips)| region.add_to(&mut pattern, flips));
                pattern
            }
        };
        trial
    }

    fn flips(&self, region: &StoredRegion<'_>, pattern: &FaultPattern) -> Vec<BlockFlips> {
        let end = self.bits().check_bits;
        assert!(
            pattern.check.last().is_none_or(|bit| *bit < end),
            "a flip in the check plane beyond {end} bits"
        );
        region.flips(pattern)
    }

    /// Weights that are read with other values than the network's, where bytes of the regions are.
    fn weights_read(&self, changes: &[Vec<WeightChange>]) -> Vec<WeightChange> {
        let stored: Vec<&[i8]> = self.regions.iter().map(StoredRegion::bytes).collect();
        let wrong = self.regions.iter().zip(changes).map(|(region, changes)| {
            let tensors = region.layout().tensors();
            changes.iter().map(|change| (tensors[change.tensor].start + change.index, change.value)).collect()
        });
        let wrong: Vec<BTreeMap<usize, i8>> = wrong.collect();
        let read = self.protection.weights_read(&stored, &wrong).into_iter();
        let change = |(index, value)| {
            let (tensor, index) = self.network.layout.locate(index)?;
            Some(WeightChange { tensor, index, value })
        };
        read.filter_map(change).collect()
    }

    /// Goes through the words that a pattern hits, one by one, region by region in the order of memory.
    ///
    /// # Panics
    /// When the pattern flips bits that the memory does not have.
    pub fn account(&self, pattern: &FaultPattern) -> Vec<WordAccount> {
        let regions = self.regions.iter().enumerate();
        regions.flat_map(|(number, region)| region.account(number, &self.flips(region, pattern))).collect()
    }

    /// Number of bits in a scope that hold 1.
    pub(crate) fn ones_in(&self, scope: &Scope) -> Result<u64, UnknownTensor> {
        let weights = self.network.weights_in(scope)?;
        Ok(self.regions.iter().map(|region| region.ones_of(weights.clone(), scope.bit)).sum())
    }
}
