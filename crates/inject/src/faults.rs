use crate::FaultPattern;

/// Effect of the faults of a trial on the stored bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    /// These bits flip.
    Flips(FaultPattern),
    /// Bits flip where they hold a certain value.
    ByStoredBit {
        /// Bits that flip if they hold 1.
        ones: FaultPattern,
        /// Bits that flip if they hold 0.
        zeros: FaultPattern,
    },
    /// In each of several intervals these bits flip. Between two intervals the memory is scrubbed.
    BetweenScrubs(Vec<FaultPattern>),
}

impl Faults {
    /// Applies `change` to every pattern.
    pub(crate) fn map(self, change: impl Fn(FaultPattern) -> FaultPattern) -> Self {
        match self {
            Self::Flips(pattern) => Self::Flips(change(pattern)),
            Self::ByStoredBit { ones, zeros } => {
                Self::ByStoredBit { ones: change(ones), zeros: change(zeros) }
            }
            Self::BetweenScrubs(intervals) => {
                Self::BetweenScrubs(intervals.into_iter().map(change).collect())
            }
        }
    }
}
