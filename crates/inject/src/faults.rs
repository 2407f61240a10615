use crate::FaultPattern;

/// What the faults of a trial do to the bits that are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    /// These cells flip.
    Flips(FaultPattern),
    /// Cells flip where they hold a certain bit.
    ByStoredBit {
        /// Those that flip if they hold 1.
        ones: FaultPattern,
        /// Those that flip if they hold 0.
        zeros: FaultPattern,
    },
    /// In each of several intervals these cells flip. Between two intervals the memory is scrubbed.
    BetweenScrubs(Vec<FaultPattern>),
}

impl Faults {
    /// The same with every pattern changed.
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
