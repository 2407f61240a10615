use std::sync::Arc;

use crate::{
    BLOCK, Constraint, Dense, MemoryImage, OutcomeDistribution, Outcomes, Protection, WordShape, WordStatus,
};

/// Reading of a word that is declared uncorrectable (DUE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuePolicy {
    /// The word is read as received. The paper does this.
    Keep,
    /// All weights of the word are read as 0.
    ZeroWord,
    /// The word is read as received, and each weight is clamped into the narrowest range of the constraint, or into
    /// that of [`Constraint::WOT`] without a constraint: a flipped bit 6 or 7 of a small weight does most of the damage.
    RangeClamp,
}

impl DuePolicy {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Keep, Self::ZeroWord, Self::RangeClamp];

    /// Name of the policy in protection ids, after a `+`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::ZeroWord => "zero-word",
            Self::RangeClamp => "range-clamp",
        }
    }
}

/// A code whose detected words are read by another policy than [`DuePolicy::Keep`].
#[derive(Debug)]
pub(crate) struct UnderPolicy {
    code: Arc<dyn Protection>,
    policy: DuePolicy,
    id: String,
}

impl UnderPolicy {
    /// Reads the words that `code` detects by `policy`.
    pub(crate) fn new(code: Arc<dyn Protection>, policy: DuePolicy) -> Self {
        let id = format!("{}+{}", code.id(), policy.id());
        Self { code, policy, id }
    }

    /// Replaces the weights of a detected word by those that the network reads.
    fn read_detected(&self, weights: &mut [i8]) {
        match self.policy {
            DuePolicy::Keep => {}
            DuePolicy::ZeroWord => weights.fill(0),
            DuePolicy::RangeClamp => {
                let range = match self.constraint() {
                    Constraint::NONE => Constraint::WOT.narrowest(),
                    constraint => constraint.narrowest(),
                };
                for weight in weights {
                    *weight = (*weight).clamp(*range.start(), *range.end());
                }
            }
        }
    }

    /// True if the word that stores `weights` is the word that stores zeros.
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

    fn definition(&self) -> String {
        self.code.definition()
    }

    fn due_policy(&self) -> DuePolicy {
        self.policy
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

    fn as_stored_plane(&self, plane: &mut [i8]) {
        self.code.as_stored_plane(plane);
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.code.encode_block(weights, image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let status = self.code.decode_word(image, word, weights);
        if status == WordStatus::Detected {
            self.read_detected(weights);
        }
        status
    }

    fn decode_words(
        &self,
        image: &MemoryImage,
        words: &[usize],
        weights: &mut [i8],
        statuses: &mut [WordStatus],
    ) {
        self.code.decode_words(image, words, weights, statuses);
        let words = weights.chunks_exact_mut(self.word().weights).zip(statuses);
        for (weights, _) in words.filter(|(_, status)| **status == WordStatus::Detected) {
            self.read_detected(weights);
        }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.code.syndrome(image, word)
    }

    /// `zero-word` splits each class of the code in two: a detected word is always wrong if it stores anything but
    /// zeros, and always right if it stores zeros. `range-clamp` has no closed form: the flips that clamping undoes
    /// depend on every weight of the word.
    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        let distributions = self.code.outcome_distributions()?;
        let zeroed = |distribution: &OutcomeDistribution, zeros: bool| {
            let outcomes = distribution.patterns().iter().map(|&outcomes| {
                let detected = outcomes.detected();
                let (detected_right, detected_wrong) = if zeros { (detected, 0) } else { (0, detected) };
                Outcomes { detected_right, detected_wrong, ..outcomes }
            });
            OutcomeDistribution::new(outcomes.collect())
        };
        match self.policy {
            DuePolicy::Keep => Some(distributions),
            DuePolicy::ZeroWord => Some(
                distributions
                    .iter()
                    .flat_map(|distribution| [false, true].map(|zeros| zeroed(distribution, zeros)))
                    .collect(),
            ),
            DuePolicy::RangeClamp => None,
        }
    }

    fn class_of(&self, weights: &[i8]) -> usize {
        let class = self.code.class_of(weights);
        match self.policy {
            DuePolicy::ZeroWord => 2 * class + usize::from(self.stores_zeros(weights)),
            DuePolicy::Keep | DuePolicy::RangeClamp => class,
        }
    }

    fn dense(&self) -> Option<Dense<'_>> {
        self.code.dense()
    }

    fn encode_plane(&self, plane: &[i8], image: &mut MemoryImage) {
        self.code.encode_plane(plane, image);
    }
}
