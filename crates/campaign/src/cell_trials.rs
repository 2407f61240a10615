use design::{BitErrorRate, CellSpec, FaultKind, FaultModel, RateTooHigh};
use inject::ScopedBits;

use crate::{ChangedTrials, NoChangedTrials, StoredNetwork, Trial, UnknownTensor};

/// Fewest trials, without flips, that a thread draws or records at a time: distributing them then costs little.
const FEWEST_FOR_A_THREAD: usize = 16;

/// Number of flips whose trials are enough for a thread at a time.
const FLIPS_FOR_A_THREAD: f64 = 512.0;

/// Fewest trials with `flips` flips each that a thread draws or records at a time.
pub(crate) fn fewest_for_a_thread(flips: f64) -> usize {
    ((FLIPS_FOR_A_THREAD / (1.0 + flips)) as usize).clamp(1, FEWEST_FOR_A_THREAD)
}

/// The trials of a cell, before any network is run.
#[derive(Debug)]
pub struct CellTrials<'a> {
    memory: &'a StoredNetwork<'a>,
    trials: Trials<'a>,
    rate: BitErrorRate,
    seed: u64,
}

#[derive(Debug)]
enum Trials<'a> {
    All(FaultKind, ScopedBits),
    Changed(ChangedTrials<'a>),
}

/// The reason for which a cell has no trials.
#[derive(Debug, thiserror::Error)]
pub enum CellTrialsError {
    /// The network has no tensor of the scope's name.
    #[error(transparent)]
    Tensor(#[from] UnknownTensor),
    /// The fault model has no meaning at the rate.
    #[error("the rate is {0}")]
    RateTooHigh(#[from] RateTooHigh),
    /// The cell draws changed trials only, and no trial changes anything.
    #[error(transparent)]
    NoChangedTrials(#[from] NoChangedTrials),
}

impl<'a> CellTrials<'a> {
    /// Prepares the trials of a cell, whose network and protection are those of `memory`.
    ///
    /// # Errors
    /// When the cell's fault model has no meaning for the network or at the rate, or the cell draws only changed trials and no
    /// trial changes anything.
    pub fn new(memory: &'a StoredNetwork<'a>, cell: &CellSpec) -> Result<Self, CellTrialsError> {
        let CellSpec { fault_model, rate, seed, .. } = cell;
        match cell.changed_probability {
            None => Self::ordinary(memory, fault_model, *rate, *seed),
            Some(_) => {
                fault_model.kind.check_rate(*rate)?;
                let trials = Trials::Changed(memory.changed_trials(*rate)?);
                Ok(Self { memory, trials, rate: *rate, seed: *seed })
            }
        }
    }

    /// Prepares the ordinary trials of a memory under a fault model: those of every cell with these conditions.
    ///
    /// # Errors
    /// When the fault model has no meaning for the network or at the rate.
    pub fn ordinary(
        memory: &'a StoredNetwork<'a>,
        fault_model: &FaultModel,
        rate: BitErrorRate,
        seed: u64,
    ) -> Result<Self, CellTrialsError> {
        fault_model.kind.check_rate(rate)?;
        let bits = memory.network().bits_in(fault_model, memory.protection())?;
        Ok(Self { memory, trials: Trials::All(fault_model.kind, bits), rate, seed })
    }

    /// Draws the trial of this number and reads the memory under its faults.
    pub fn trial(&self, number: u64) -> Trial {
        match &self.trials {
            Trials::All(kind, bits) => self.memory.read(bits.sample(*kind, self.rate, self.seed, number)),
            Trials::Changed(changed) => changed.trial(self.seed, number),
        }
    }

    /// Expected flips of a trial and storage losses, which together are its approximate size.
    pub(crate) fn flips(&self) -> f64 {
        let flips = match &self.trials {
            Trials::All(kind, bits) => {
                let sizes = bits.sizes();
                inject::mean_flips(*kind, self.rate, sizes).drawn(sizes)
            }
            Trials::Changed(_) => {
                let bits = self.memory.bits();
                (bits.data_bits + bits.check_bits) as f64 * self.rate.get()
            }
        };
        flips + self.memory.losses().len() as f64
    }
}
