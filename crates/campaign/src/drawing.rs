use inject::{
    BitErrorRate, FaultModel, FaultModelError, RateError, RateTooHigh, ScopedCells, ScopedFaultModel,
};
use rayon::prelude::*;
use records::CellSpec;

use crate::{ChangedTrials, NoChangedTrials, StoredNetwork, Trial, UnknownTensor};

/// Flips and storage losses of the trials that are drawn together, about. They and what they change take at most 32
/// bytes each.
const FLIPS_TOGETHER: f64 = (1 << 21) as f64;

/// Trials that a thread draws or records at least: handing them out then costs little beside that.
pub(crate) const FEWEST_FOR_A_THREAD: usize = 16;

/// The trials of a cell, before any network is run.
#[derive(Debug)]
pub struct Drawing<'a> {
    memory: &'a StoredNetwork<'a>,
    trials: Trials<'a>,
    rate: BitErrorRate,
    seed: u64,
}

#[derive(Debug)]
enum Trials<'a> {
    All(FaultModel, ScopedCells),
    Changed(ChangedTrials<'a>),
}

/// Why a cell has no trials.
#[derive(Debug, thiserror::Error)]
pub enum DrawingError {
    /// Its fault model is not known.
    #[error(transparent)]
    FaultModel(#[from] FaultModelError),
    /// The network has no tensor of the name.
    #[error(transparent)]
    Tensor(#[from] UnknownTensor),
    /// Its rate is none.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// Its fault model makes no sense at its rate.
    #[error("the rate is {0}")]
    RateTooHigh(#[from] RateTooHigh),
    /// It draws changed trials only, of which there are none.
    #[error(transparent)]
    NoChangedTrials(#[from] NoChangedTrials),
}

impl<'a> Drawing<'a> {
    /// The trials of a cell whose network and protection are those of `memory`.
    ///
    /// # Errors
    /// When the cell's fault model or rate makes no sense, or it draws only changed trials and none changes anything.
    pub fn new(memory: &'a StoredNetwork<'a>, cell: &CellSpec) -> Result<Self, DrawingError> {
        let ScopedFaultModel { model, scope } = cell.fault_model.parse()?;
        let rate = BitErrorRate::new(cell.rate)?;
        model.check_rate(rate)?;
        let trials = match cell.changed_probability {
            Some(_) => Trials::Changed(memory.changed_trials(rate)?),
            None => Trials::All(model, memory.network().cells_in(&scope, memory.protection())?),
        };
        Ok(Self { memory, trials, rate, seed: cell.seed })
    }

    /// The trial of that number.
    pub fn trial(&self, number: u64) -> Trial {
        match &self.trials {
            Trials::All(model, cells) => {
                let faults = cells.sample(*model, self.rate, self.seed, number);
                self.memory.read(self.memory.resolve(faults))
            }
            Trials::Changed(changed) => changed.trial(self.seed, number),
        }
    }

    /// Trials from number `first` on, in the current rayon pool: at most `most`, and at least one, but no more than
    /// fit into some tens of megabytes.
    pub(crate) fn trials(&self, first: u64, most: u64) -> Vec<Trial> {
        let flips = match &self.trials {
            Trials::All(model, cells) => model.mean_flips(self.rate, cells.sizes()),
            Trials::Changed(_) => self.memory.cells() as f64 * self.rate.get(),
        };
        let losses = self.memory.losses().len() as f64;
        let count = ((FLIPS_TOGETHER / (1.0 + flips + losses)) as u64).clamp(1, most);
        let offsets = (0..usize::try_from(count).expect("64-bit")).into_par_iter();
        offsets.with_min_len(FEWEST_FOR_A_THREAD).map(|offset| self.trial(first + offset as u64)).collect()
    }
}
