use crate::law::OutcomeLaw;
use crate::{BLOCK, Constraint, Dense, MemoryImage, Outcomes, Protection, WordShape, WordStatus};

/// What a word reads as that is declared uncorrectable (DUE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuePolicy {
    /// As received, the paper's.
    Keep,
    /// All its weights read as 0.
    ZeroWord,
    /// As received, each weight clamped into the narrowest range of the constraint, or into [-64, 63] where there is
    /// none: a flipped bit 6 or 7 of a small weight is most of the damage.
    RangeClamp,
}

impl DuePolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Keep, Self::ZeroWord, Self::RangeClamp];

    /// The name in ids, after a `+`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::ZeroWord => "zero-word",
            Self::RangeClamp => "range-clamp",
        }
    }
}

/// A word code that reads detected words otherwise than as received.
#[derive(Debug)]
pub(crate) struct UnderPolicy {
    code: Box<dyn Protection>,
    policy: DuePolicy,
    id: String,
}

impl UnderPolicy {
    /// `code` keeps detected words, and says `due keep` in its parameters.
    pub(crate) fn new(code: Box<dyn Protection>, policy: DuePolicy) -> Self {
        let id = format!("{}+{}", code.id(), policy.id());
        Self { code, policy, id }
    }

    /// Whether a word that stores `weights` stores zeros: weights that no fault-free memory tells from them.
    fn stores_zeros(&self, weights: &[i8]) -> bool {
        let mut block = [0; BLOCK];
        block[..weights.len()].copy_from_slice(weights);
        self.as_stored(block) == [0; BLOCK]
    }
}

impl Protection for UnderPolicy {
    fn id(&self) -> &str {
        &self.id
    }

    fn parameters(&self) -> String {
        self.code.parameters().replace("due keep", &format!("due {}", self.policy.id()))
    }

    fn word(&self) -> WordShape {
        self.code.word()
    }

    fn constraint(&self) -> Constraint {
        self.code.constraint()
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        self.code.due_policies()
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.code.as_stored(weights)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.code.encode_block(weights, image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let status = self.code.decode_word(image, word, weights);
        if status == WordStatus::Detected {
            match self.policy {
                DuePolicy::Keep => {}
                DuePolicy::ZeroWord => weights.fill(0),
                DuePolicy::RangeClamp => {
                    let range = match self.constraint() {
                        Constraint::NONE => -64..=63,
                        constraint => constraint.narrowest(),
                    };
                    for weight in weights {
                        *weight = (*weight).clamp(*range.start(), *range.end());
                    }
                }
            }
        }
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.code.syndrome(image, word)
    }

    /// With `zero-word`, of each of the code's classes two: of words that store anything but zeros, where a detected
    /// word is always wrong, and of words that store zeros, where it is always right. With `range-clamp` none: which
    /// flips clamping undoes depends on every weight of the word.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        let laws = self.code.outcome_laws()?;
        let zeroed = |law: &OutcomeLaw, zeros: bool| {
            let outcomes = law.patterns().iter().map(|&outcomes| {
                let detected = outcomes.detected();
                let (detected_right, detected_wrong) = if zeros { (detected, 0) } else { (0, detected) };
                Outcomes { detected_right, detected_wrong, ..outcomes }
            });
            OutcomeLaw::new(outcomes.collect())
        };
        match self.policy {
            DuePolicy::Keep => Some(laws),
            DuePolicy::ZeroWord => {
                Some(laws.iter().flat_map(|law| [false, true].map(|zeros| zeroed(law, zeros))).collect())
            }
            DuePolicy::RangeClamp => None,
        }
    }

    fn law_of(&self, weights: &[i8]) -> usize {
        let class = self.code.law_of(weights);
        match self.policy {
            DuePolicy::ZeroWord => 2 * class + usize::from(self.stores_zeros(weights)),
            DuePolicy::Keep | DuePolicy::RangeClamp => class,
        }
    }

    fn dense(&self) -> Option<Dense> {
        self.code.dense()
    }
}
