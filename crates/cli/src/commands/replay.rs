use std::path::{Path, PathBuf};

use anyhow::anyhow;
use campaign::{CellTrials, StoredNetwork, WordAccount, WordOutcome};
use clap::Args;
use design::{CellSpec, TrialRecord};
use serde::Serialize;

use crate::commands::{run, single_fault};
use crate::terminal::document::{self, Document, NamedCell, Shown};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{markdown, progress_line};
use crate::terminal::progress::Terminal;
use harness::{Failure, LoadedExperiment, Observer, Recomputation, json, stored_records};

const HELP: &str = "\
The command prints every flipped bit with the stored byte before and after the flip; every code word with a flip,
with its syndrome, its outcome and the decoded weights; and the recomputed record of the trial. If the run directory
holds the trial, the records are compared, and a difference ends with exit code 6. Entries of an exception list come
last, as eight bytes: four bytes of a weight's index, least significant first, then its value.

Examples:
  zerospace replay experiments/resnet20-cifar10.toml 3f2a 7
  zerospace replay experiments/resnet20-cifar10.toml 3f2a 7 --out /scratch/r20";

/// Show one trial flip by flip and word by word, and recompute its record
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Id of the cell (see `zerospace plan`), or its first digits
    cell: String,
    /// Number of the trial, from 0
    trial: u64,
    /// Run directory to compare with [default: runs/NAME, if it exists]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    if single_fault::source(&arguments.experiment).is_some() {
        return Err(Failure::Input(anyhow!(
            "{}: `design` is \"single-fault\", expected an experiment of trials: a single fault is one flip of one weight, and \
             `zerospace verify` recomputes its record",
            arguments.experiment.display()
        )));
    }
    let (loaded, root) = run::open(&arguments.experiment, arguments.out.as_deref(), &arguments.machine)?;
    let cell = find(&loaded, &arguments.cell)?;
    let number = arguments.trial;
    let stored = match arguments.out.is_some() || root.exists() {
        true => stored_records(&loaded, &root)?
            .remove(cell.id().as_str())
            .and_then(|mut trials| trials.remove(&number)),
        false => None,
    };

    let replayed = Replay::new(&loaded, cell, number, stored, &Terminal::default())?;
    arguments.shown.format.show(&replayed);
    replayed.compare(&root)?;
    progress_line(&match replayed.stored {
        None => format!("{}: no record of this trial to compare with", root.display()),
        Some(_) => format!("{}: the stored record is the same", root.display()),
    });
    Ok(Outcome::Done)
}

/// Computes a trial again, flip by flip and word by word, and compares its record with that of the run directory `root`, if this has
/// one. `cell` is the id of the cell, or its first digits. Returns the text and the JSON document of `zerospace replay`.
///
/// # Errors
/// If there is no such cell or the trial cannot be computed, and if the stored record is another.
pub fn replay(
    loaded: &LoadedExperiment,
    root: &Path,
    cell: &str,
    trial: u64,
) -> Result<(String, String), Failure> {
    let cell = find(loaded, cell)?;
    let mut stored = stored_records(loaded, root)?;
    let stored = stored.remove(cell.id().as_str()).and_then(|mut trials| trials.remove(&trial));
    let replayed = Replay::new(loaded, cell, trial, stored, &())?;
    replayed.compare(root)?;
    Ok((replayed.text(), document::json(&replayed)))
}

#[derive(Serialize)]
struct Replay {
    #[serde(flatten)]
    named: NamedCell,
    trial: u64,
    seed: u64,
    /// Number of weights that a lossy protection changes without faults.
    losses: usize,
    flips: Vec<Flip>,
    words: Vec<ReplayedWord>,
    record: TrialRecord,
    /// The run directory's record of the trial.
    stored: Option<TrialRecord>,
    #[serde(skip)]
    label: String,
}

/// A flipped cell, and the stored byte before and after it; check bits have none.
#[derive(Serialize)]
struct Flip {
    word: u64,
    cell_of: String,
    bit: u64,
    stored: Option<i8>,
    flipped: Option<i8>,
}

#[derive(Serialize)]
struct ReplayedWord {
    word: u64,
    from: String,
    flips: usize,
    syndrome: u64,
    outcome: String,
    weights: Vec<i8>,
    read: Vec<i8>,
}

impl Replay {
    fn new(
        loaded: &LoadedExperiment,
        cell: &CellSpec,
        trial: u64,
        stored: Option<TrialRecord>,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let mut recomputation = Recomputation::new(loaded, observer)?;
        let memory = recomputation.memory(cell)?;
        let drawn = CellTrials::new(&memory, cell).map_err(Failure::input)?.trial(trial);
        let words = memory.account(&drawn.pattern);
        let record = recomputation.record(cell, trial, drawn)?;
        check(&words, &record)?;
        Ok(Self {
            named: NamedCell::new(cell),
            trial,
            seed: cell.seed,
            losses: memory.losses().len(),
            flips: flips(&memory, &words),
            words: words.iter().map(|word| ReplayedWord::new(&memory, word)).collect(),
            record,
            stored,
            label: cell.label(),
        })
    }

    /// Refuses a stored record that is another one.
    fn compare(&self, root: &Path) -> Result<(), Failure> {
        match &self.stored {
            Some(stored) if *stored != self.record => Err(Failure::Verification(anyhow!(
                "{}: the stored record is another: {}",
                root.display(),
                json(stored)
            ))),
            _ => Ok(()),
        }
    }
}

impl Document for Replay {
    const FORMAT: &'static str = "zerospace.replay/1";

    fn text(&self) -> String {
        // What happens to the network before any cell flips.
        let losses = match self.losses {
            0 => String::new(),
            losses => {
                format!("\n{losses} weights change by being stored; words are compared with what was stored")
            }
        };
        let flips: Vec<Vec<String>> = self.flips.iter().map(Flip::row).collect();
        let words: Vec<Vec<String>> = self.words.iter().map(ReplayedWord::row).collect();
        let columns = [">word", "from", ">flips", ">syndrome", "outcome", "weights", "read as"];
        format!(
            "cell {} ({}), trial {}, seed {}{losses}\n\n{}\n{}\n{}",
            self.named.cell,
            self.label,
            self.trial,
            self.seed,
            markdown(&[">word", "cell of", ">bit", ">stored", ">after the flip"], &flips),
            markdown(&columns, &words),
            json(&self.record),
        )
    }
}

/// Returns the only cell whose id starts with `beginning`.
fn find<'a>(loaded: &'a LoadedExperiment, beginning: &str) -> Result<&'a CellSpec, Failure> {
    let mut found = loaded.cells.iter().filter(|cell| cell.id().as_str().starts_with(beginning));
    let known = || {
        let cells = loaded.cells.iter().map(|cell| format!("\n  {} {}", cell.id(), cell.label()));
        cells.collect::<String>()
    };
    match (found.next(), found.next()) {
        (Some(cell), None) => Ok(cell),
        (None, _) => {
            Err(Failure::Input(anyhow!("no cell's id begins with {beginning:?}; the cells are{}", known())))
        }
        (Some(_), Some(_)) => Err(Failure::Input(anyhow!(
            "several cells' ids begin with {beginning:?}; the cells are{}",
            known()
        ))),
    }
}

/// Compares the account of the words with the record; they are computed in different ways.
fn check(words: &[WordAccount], record: &TrialRecord) -> Result<(), Failure> {
    let with = |outcome| words.iter().filter(|word| word.outcome == outcome).count() as u64;
    let account = [
        words.len() as u64,
        with(WordOutcome::Corrected),
        with(WordOutcome::Detected),
        with(WordOutcome::Miscorrected),
        with(WordOutcome::Silent),
    ];
    let recorded = [record.words_hit, record.corrected, record.detected, record.miscorrected, record.silent];
    if account == recorded {
        return Ok(());
    }
    Err(Failure::Verification(anyhow!(
        "words hit, corrected, detected, miscorrected and silent are {account:?} word by word, but {recorded:?} in \
         the record"
    )))
}

/// Tensor and index of a byte of a word's region, or `padding`.
fn place(memory: &StoredNetwork<'_>, word: &WordAccount, byte: usize) -> String {
    let layout = memory.regions()[word.region].layout();
    match layout.locate(byte) {
        Some((tensor, index)) => format!("{}[{index}]", layout.tensors()[tensor].name),
        None => "padding".into(),
    }
}

fn flips(memory: &StoredNetwork<'_>, words: &[WordAccount]) -> Vec<Flip> {
    let mut flips = Vec::new();
    for word in words {
        let check_bits = memory.regions()[word.region].code().word().check_bits as u64;
        let mut bytes = word.stored.clone();
        for flip in &word.data_flips {
            let index = (flip / 8) as usize;
            let byte = &mut bytes[index - word.first];
            let before = *byte;
            *byte ^= 1 << (flip % 8);
            flips.push(Flip {
                word: word.word,
                cell_of: place(memory, word, index),
                bit: flip % 8,
                stored: Some(before.cast_signed()),
                flipped: Some(byte.cast_signed()),
            });
        }
        let checks = word.check_flips.iter().map(|flip| Flip {
            word: word.word,
            cell_of: "check bits".into(),
            bit: flip % check_bits,
            stored: None,
            flipped: None,
        });
        flips.extend(checks);
    }
    flips
}

impl Flip {
    fn row(&self) -> Vec<String> {
        let byte = |byte: Option<i8>| {
            byte.map_or(String::new(), |byte| format!("{byte:4} {:08b}", byte.cast_unsigned()))
        };
        vec![
            self.word.to_string(),
            self.cell_of.clone(),
            self.bit.to_string(),
            byte(self.stored),
            byte(self.flipped),
        ]
    }
}

impl ReplayedWord {
    fn new(memory: &StoredNetwork<'_>, word: &WordAccount) -> Self {
        Self {
            word: word.word,
            from: place(memory, word, word.first),
            flips: word.data_flips.len() + word.check_flips.len(),
            syndrome: word.syndrome,
            outcome: word.outcome.to_string(),
            weights: word.weights.clone(),
            read: word.read.clone(),
        }
    }

    fn row(&self) -> Vec<String> {
        let list = |weights: &[i8]| weights.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        vec![
            self.word.to_string(),
            self.from.clone(),
            self.flips.to_string(),
            format!("{:#04x}", self.syndrome),
            self.outcome.clone(),
            list(&self.weights),
            if self.read == self.weights { "the same".into() } else { list(&self.read) },
        ]
    }
}
