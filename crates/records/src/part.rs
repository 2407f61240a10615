//! The part file: one unit's trials as JSON lines.
//!
//! The first line is a header; each following line is a trial; the last line is the SHA-256 of all bytes before it.
//! Text, so that standard tools can read, search and compare records.

use design::{BlockCounts, CellSpec, TrialRecord};
use serde::{Deserialize, Serialize};

use crate::Unit;
use crate::lines::{Footer, closed, json_line};

/// Version of the part format. Scores and blocks of images need no other: only manifests of version 4 and later plan them.
const PART_VERSION: u32 = 1;

/// A finished unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Conditions of the cell.
    pub cell: CellSpec,
    /// First trial.
    pub first: u64,
    /// Images that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// Scores of the fault-free network, one for each metric of the cell.
    pub clean_scores: Vec<f64>,
    /// The trials `first..first + trials.len()`, in order.
    pub trials: Vec<TrialRecord>,
}

/// A fault of a part file.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The closing line is missing, or its hash is not that of the content.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// A line is not what the format says.
    #[error("line {line}: {source}")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// Error of the JSON reader.
        source: serde_json::Error,
    },
    /// A newer version of the program wrote it.
    #[error("part format version {0}, newest known is {PART_VERSION}")]
    Version(u32),
    /// The trial numbers do not follow each other from the header's `first` on.
    #[error("line {line}: trial {found}, expected {expected}")]
    Trial {
        /// Line number, from 1.
        line: usize,
        /// The number found.
        found: u64,
        /// The number expected.
        expected: u64,
    },
    /// A line has another number of scores than the cell has metrics.
    #[error("line {line}: {found} scores, expected {expected}, one for each metric")]
    Scores {
        /// Line number, from 1.
        line: usize,
        /// Number of scores found.
        found: usize,
        /// Number of metrics.
        expected: usize,
    },
    /// A trial has counts of a block of images and its cell draws none, or the other way round; or impossible counts.
    #[error("line {line}: counts of a block are {found}, expected {expected}")]
    Block {
        /// Line number, from 1.
        line: usize,
        /// The counts found.
        found: String,
        /// Counts that are possible.
        expected: String,
    },
    /// The part is whole, but belongs to another plan, or has the name of another unit.
    #[error("contains trials {first}..{end} of cell {cell}, which do not match its file name or the plan")]
    Foreign {
        /// Id of the cell, computed from the part's content.
        cell: String,
        /// First trial.
        first: u64,
        /// One past the last trial.
        end: u64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    zerospace_part: u32,
    cell: CellSpec,
    first: u64,
    clean_correct: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clean_scores: Vec<f64>,
}

impl Part {
    /// Returns the unit of the part.
    pub fn unit(&self) -> Unit {
        Unit { cell: self.cell.id(), first: self.first, count: self.trials.len() as u64 }
    }

    /// Returns true if another part has the same trials with the same faults and decoded weights, whatever the evaluator made
    /// of them.
    pub(crate) fn has_faults_of(&self, other: &Self) -> bool {
        let without_outputs = |part: &Self| {
            let mut part = Self { clean_correct: 0, clean_scores: Vec::new(), ..part.clone() };
            for trial in &mut part.trials {
                (trial.correct, trial.agree) = (0, 0);
                trial.predictions_hash.clear();
                trial.scores.clear();
                trial.block = None;
            }
            part
        };
        without_outputs(self) == without_outputs(other)
    }

    /// Returns true if the part holds the first trials of a unit, at least one.
    pub(crate) fn begins(&self, unit: &Unit) -> bool {
        let Unit { cell, first, count } = self.unit();
        cell == unit.cell && first == unit.first && (1..=unit.count).contains(&count)
    }

    /// Returns the file's bytes; equal parts have equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            zerospace_part: PART_VERSION,
            cell: self.cell.clone(),
            first: self.first,
            clean_correct: self.clean_correct,
            clean_scores: self.clean_scores.clone(),
        };
        let mut bytes = json_line(&header);
        for trial in &self.trials {
            bytes.extend(json_line(trial));
        }
        closed(bytes)
    }

    /// Reads and verifies a part.
    ///
    /// # Errors
    /// When the hash does not match, a line is malformed, the trials do not follow each other, or a newer version of the
    /// program wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PartError> {
        let body = bytes.strip_suffix(b"\n").ok_or(PartError::Damaged("the last line is cut off"))?;
        let footer_start = body
            .iter()
            .rposition(|&b| b == b'\n')
            .map(|i| i + 1)
            .ok_or(PartError::Damaged("there is no closing line"))?;
        let content = &bytes[..footer_start];
        let mut lines = content[..content.len() - 1].split(|&b| b == b'\n').zip(1..);
        let (first_line, _) = lines.next().expect("split yields at least one piece");
        let version = durable::version(first_line, "zerospace_part");
        let newer = version.as_ref().ok().copied().filter(|&version| version > PART_VERSION);
        // A newer format may close in another way. Closed in ours, the version itself may be what is damaged.
        match serde_json::from_slice::<Footer>(&body[footer_start..]) {
            Ok(footer) if !footer.closes(content) => {
                return Err(PartError::Damaged("the content does not match its SHA-256"));
            }
            Ok(_) => {}
            Err(_) if newer.is_some() => {}
            Err(_) => return Err(PartError::Damaged("there is no closing line")),
        }
        if let Some(newer) = newer {
            return Err(PartError::Version(newer));
        }
        let at = |line| move |source| PartError::Line { line, source };
        version.map_err(at(1))?;
        let header: Header = serde_json::from_slice(first_line).map_err(at(1))?;
        let expected = header.cell.metrics.len();
        let scores = |line, scores: &[f64]| match scores.len() {
            found if found == expected => Ok(()),
            found => Err(PartError::Scores { line, found, expected }),
        };
        scores(1, &header.clean_scores)?;
        let mut trials: Vec<TrialRecord> = Vec::new();
        for (text, line) in lines {
            let trial: TrialRecord = serde_json::from_slice(text).map_err(at(line))?;
            scores(line, &trial.scores)?;
            check_block(line, &trial, header.cell.evaluation.images_per_trial)?;
            // Stopping short of u64::MAX, so that one past the last trial is a number.
            let expected = header.first.saturating_add(trials.len() as u64);
            if trial.trial != expected || expected == u64::MAX {
                return Err(PartError::Trial { line, found: trial.trial, expected });
            }
            trials.push(trial);
        }
        let Header { cell, first, clean_correct, clean_scores, .. } = header;
        Ok(Self { cell, first, clean_correct, clean_scores, trials })
    }
}

/// Checks that a trial has possible counts of a block of this number of images, and none without blocks.
fn check_block(line: usize, trial: &TrialRecord, images: Option<u64>) -> Result<(), PartError> {
    let wrong = |expected: &str| {
        let found = trial.block.map_or("absent".into(), |BlockCounts { clean_correct, both_correct }| {
            format!("clean_correct {clean_correct} and both_correct {both_correct}")
        });
        Err(PartError::Block { line, found, expected: expected.into() })
    };
    match (trial.block, images) {
        (None, None) => Ok(()),
        (Some(BlockCounts { clean_correct, both_correct }), Some(images)) => {
            let possible = clean_correct.max(trial.correct) <= images
                && both_correct <= clean_correct.min(trial.correct)
                && clean_correct - both_correct <= images - trial.correct;
            match possible {
                true => Ok(()),
                false => wrong(&format!("counts of {images} images, {} of them correct", trial.correct)),
            }
        }
        (Some(_), None) => wrong("absent, because every trial of the cell sees all images"),
        (None, Some(images)) => wrong(&format!("counts of {images} images")),
    }
}
