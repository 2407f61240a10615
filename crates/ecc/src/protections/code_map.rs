//! A code of its own for each tensor of a network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{
    BLOCK, Constraint, MemoryImage, MemoryLayout, Protection, Region, TensorRanges, Violation, WordShape,
    WordStatus,
};

/// A code for each tensor, by the tensor's name.
///
/// All bits of the codes are inside the weights, so that the memory is the data plane alone, whatever tensor has which
/// code, and two maps of one network meet the same flips.
#[derive(Clone, Debug)]
pub struct CodeMap {
    id: String,
    source: String,
    codes: BTreeMap<String, Arc<dyn Protection>>,
}

/// The reason for which a code map is refused, or does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeMapError {
    /// The map has no tensors.
    #[error("{source_name}: no tensor has a code, expected one for each tensor of a network")]
    Empty {
        /// File of the map.
        source_name: String,
    },
    /// A code stores bits beside the weights.
    #[error(
        "{source_name}: code of {tensor:?} is {code}, which stores bits beside the weights, expected a code with all bits \
         inside them"
    )]
    Beside {
        /// File of the map.
        source_name: String,
        /// The tensor.
        tensor: String,
        /// Id of its code.
        code: String,
    },
    /// A code changes weights by storing them.
    #[error(
        "{source_name}: code of {tensor:?} is {code}, which changes weights by storing them, expected a code that returns \
         the weights that were stored"
    )]
    Lossy {
        /// File of the map.
        source_name: String,
        /// The tensor.
        tensor: String,
        /// Id of its code.
        code: String,
    },
    /// The map has a code for a tensor that the network does not have.
    #[error("{source_name}: code of {tensor:?} is given, expected codes of the network's tensors: {known}")]
    Unknown {
        /// File of the map.
        source_name: String,
        /// The tensor.
        tensor: String,
        /// Tensors of the network.
        known: String,
    },
    /// The map has no code for a tensor of the network.
    #[error("{source_name}: code of {tensor:?} is missing, expected one for each tensor of the network")]
    Missing {
        /// File of the map.
        source_name: String,
        /// The tensor.
        tensor: String,
    },
}

impl CodeMap {
    /// Takes the codes of tensors. The id names the map in experiments and records, `source` in messages: it is the file of
    /// the map.
    ///
    /// # Errors
    /// When there is no tensor, or a code stores bits beside the weights or changes weights by storing them.
    pub fn new(
        id: &str,
        source: &str,
        codes: BTreeMap<String, Arc<dyn Protection>>,
    ) -> Result<Self, CodeMapError> {
        let source_name = || source.to_owned();
        if codes.is_empty() {
            return Err(CodeMapError::Empty { source_name: source_name() });
        }
        for (tensor, code) in &codes {
            let named = || (source_name(), tensor.clone(), code.id().to_owned());
            let zeros = [0; BLOCK];
            if code.word().check_bits > 0 || code.regions(&zeros).len() > 1 {
                let (source_name, tensor, code) = named();
                return Err(CodeMapError::Beside { source_name, tensor, code });
            }
            if code.is_lossy() {
                let (source_name, tensor, code) = named();
                return Err(CodeMapError::Lossy { source_name, tensor, code });
            }
        }
        Ok(Self { id: id.into(), source: source.into(), codes })
    }

    /// Name in experiments and records.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The codes by the names of their tensors.
    pub fn codes(&self) -> &BTreeMap<String, Arc<dyn Protection>> {
        &self.codes
    }

    /// Definition of all codes with their tensors, on one line. Maps with the same codes have the same text.
    pub fn definition(&self) -> String {
        let mut tensors: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, code) in &self.codes {
            let code = format!("{} ({})", code.id(), code.parameters());
            tensors.entry(code).or_default().push(format!("{tensor:?}"));
        }
        let of_code = |(code, tensors): (String, Vec<String>)| format!("{code} at {}", tensors.join(", "));
        format!("a code for each tensor: {}", tensors.into_iter().map(of_code).collect::<Vec<_>>().join("; "))
    }

    /// Ranges of the weights that the codes can store.
    pub fn ranges(&self) -> TensorRanges {
        TensorRanges::of_each(self.codes.iter().map(|(tensor, code)| (tensor.clone(), code.constraint())))
    }

    /// Returns the protection of a memory with this layout.
    ///
    /// # Errors
    /// When a tensor of the layout has no code, or the map has a code for another tensor.
    pub fn protection(&self, layout: &MemoryLayout) -> Result<Mixed, CodeMapError> {
        let names: Vec<&str> = layout.tensors().iter().map(|span| &span.name[..]).collect();
        self.check_tensors(&names)?;
        let mut parts: Vec<Part> = Vec::new();
        for span in layout.tensors() {
            let code = &self.codes[&span.name];
            match parts.last() {
                Some(part) if part.code.id() == code.id() => {}
                _ => parts.push(Part { start: span.start, code: Arc::clone(code) }),
            }
        }
        let (id, definition, ranges) = (self.id.clone(), self.definition(), self.ranges());
        Ok(Mixed { id, definition, ranges, parts, weights: layout.plane_len() })
    }

    /// Checks that the map has a code for each tensor of a network, and no others.
    ///
    /// # Errors
    /// The first tensor without a code, or the first code without a tensor.
    pub fn check_tensors(&self, tensors: &[&str]) -> Result<(), CodeMapError> {
        let source_name = || self.source.clone();
        if let Some(tensor) = tensors.iter().find(|tensor| !self.codes.contains_key(**tensor)) {
            return Err(CodeMapError::Missing { source_name: source_name(), tensor: (*tensor).into() });
        }
        let known: BTreeSet<&str> = tensors.iter().copied().collect();
        match self.codes.keys().find(|tensor| !known.contains(&tensor[..])) {
            None => Ok(()),
            Some(tensor) => Err(CodeMapError::Unknown {
                source_name: source_name(),
                tensor: tensor.clone(),
                known: tensors.join(", "),
            }),
        }
    }
}

/// The codes of a [`CodeMap`] over the tensors of one memory.
///
/// Its memory has a region for each run of tensors with one code, and each region is read in the words of its code. As a
/// protection of the whole memory it has words of a block: a block is corrected or detected if one of the words in it is.
#[derive(Debug)]
pub struct Mixed {
    id: String,
    definition: String,
    /// Ranges of the weights that the codes can store.
    ranges: TensorRanges,
    /// At least one part if there are weights, in memory order, without gaps.
    parts: Vec<Part>,
    /// Number of weights of the plane.
    weights: usize,
}

/// Tensors that follow each other in memory and have one code.
#[derive(Debug)]
struct Part {
    /// Index of their first weight.
    start: usize,
    code: Arc<dyn Protection>,
}

impl Mixed {
    /// Returns the code of a block of the memory.
    fn code_of(&self, block: usize) -> &dyn Protection {
        let after = self.parts.partition_point(|part| part.start <= block * BLOCK);
        &*self.parts[after - 1].code
    }
}

impl Protection for Mixed {
    fn id(&self) -> &str {
        &self.id
    }

    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 0 }
    }

    /// The weights that every code can store; [`Protection::check`] judges each tensor by its own code.
    fn constraint(&self) -> Constraint {
        self.ranges.all().fold(Constraint::NONE, |all, range| all.and(range))
    }

    fn check(&self, layout: &MemoryLayout, plane: &[i8]) -> Result<(), Violation> {
        self.ranges.check(layout, plane)
    }

    fn regions<'p>(&self, plane: &'p [i8]) -> Vec<Region<'p>> {
        assert_eq!(plane.len(), self.weights, "the plane has another length than the layout of the codes");
        let ends = self.parts.iter().skip(1).map(|part| part.start).chain([self.weights]);
        let region = |(part, end): (&Part, usize)| Region {
            code: Some(Arc::clone(&part.code)),
            first_weight: Some(part.start),
            ..Region::weights(&plane[part.start..end])
        };
        self.parts.iter().zip(ends).map(region).collect()
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.code_of(block).encode_block(weights, image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let code = self.code_of(word);
        let size = code.word().weights;
        let mut status = WordStatus::Clean;
        for (number, weights) in (word * BLOCK / size..).zip(weights.chunks_exact_mut(size)) {
            status = match (status, code.decode_word(image, number, weights)) {
                (WordStatus::Detected, _) | (_, WordStatus::Detected) => WordStatus::Detected,
                (WordStatus::Corrected, _) | (_, WordStatus::Corrected) => WordStatus::Corrected,
                (WordStatus::Clean, WordStatus::Clean) => WordStatus::Clean,
            };
        }
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        let code = self.code_of(word);
        let words = BLOCK / code.word().weights;
        let syndrome = |number| code.syndrome(image, word * words + number);
        // Syndromes of smaller words side by side: a word of 64 / words bits has at most as many rows.
        (0..words).fold(0, |all, number| all | syndrome(number) << (64 / words * number))
    }
}
