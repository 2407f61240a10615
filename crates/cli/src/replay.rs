use std::path::PathBuf;

use anyhow::anyhow;
use campaign::{Drawing, StoredNetwork, WordAccount, WordOutcome};
use clap::Args;
use records::{CellSpec, TrialRecord};

use crate::exit::{Failure, Outcome};
use crate::loading::{Machine, Prepared};
use crate::output::{data, markdown, progress_line};
use crate::rerun::{Rerun, json, stored_records};
use crate::run::run_directory;

const HELP: &str = "\
Prints three things: every flipped cell with the stored byte before and after it; every code word that was hit,
with its syndrome, what became of it and what was read; and the trial's record, computed anew. Where the run
directory has the trial, the records are compared, and exit 6 tells of a difference. Entries of an exception list
come last, as eight bytes: four of the index of a weight, least significant first, then its value.

Examples:
  zerospace replay experiments/resnet20-cifar10.toml 3f2a 7
  zerospace replay experiments/resnet20-cifar10.toml 3f2a 7 --out /scratch/r20";

/// Show all that happened in one trial, flip by flip, and compute its record anew
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Cell, by its id (see `zerospace plan`) or the beginning of it
    cell: String,
    /// Number of the trial, from 0
    trial: u64,
    /// Run directory to compare with [default: runs/NAME, if it is there]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    arguments.machine.start()?;
    let prepared = Prepared::load(&arguments.experiment, &arguments.machine)?;
    let cell = find(&prepared, &arguments.cell)?;
    let number = arguments.trial;
    let root = run_directory(&prepared.experiment, arguments.out.as_deref());
    let stored = match arguments.out.is_some() || root.exists() {
        true => stored_records(&prepared, &root)?
            .remove(cell.id().as_str())
            .and_then(|mut trials| trials.remove(&number)),
        false => None,
    };

    let mut rerun = Rerun::new(&prepared)?;
    let memory = rerun.memory(cell)?;
    let trial = Drawing::new(&memory, cell).map_err(Failure::input)?.trial(number);
    let memories = memory.memories(&trial.pattern).into_iter();
    let accounts: Vec<Account<'_>> =
        memories.map(|(memory, flips)| (memory, memory.account(&flips))).collect();
    let record = rerun.record(cell, number, trial);
    check(&accounts, &record)?;
    data(&format!(
        "cell {} ({}), trial {number}, seed {}{}\n\n{}\n{}\n{}",
        cell.id(),
        cell.label(),
        cell.seed,
        losses(&memory),
        flips(&accounts),
        outcomes(&accounts),
        json(&record),
    ));
    match stored {
        None => progress_line(&format!("{}: no record of this trial to compare with", root.display())),
        Some(stored) if stored == record => {
            progress_line(&format!("{}: the stored record is the same", root.display()));
        }
        Some(stored) => {
            return Err(Failure::Verification(anyhow!(
                "{}: the stored record is another: {}",
                root.display(),
                json(&stored)
            )));
        }
    }
    Ok(Outcome::Done)
}

/// What happens to the network before any cell flips.
fn losses(memory: &StoredNetwork<'_>) -> String {
    match memory.losses().len() {
        0 => String::new(),
        losses => {
            format!("\n{losses} weights change by being stored; words are compared with what was stored")
        }
    }
}

/// The only cell whose id begins so.
fn find<'a>(prepared: &'a Prepared, beginning: &str) -> Result<&'a CellSpec, Failure> {
    let mut found = prepared.cells.iter().filter(|cell| cell.id().as_str().starts_with(beginning));
    let known = || {
        let cells = prepared.cells.iter().map(|cell| format!("\n  {} {}", cell.id(), cell.label()));
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

/// A memory, of a network's words or of its exception list, and the words of it that were hit.
type Account<'a> = (&'a StoredNetwork<'a>, Vec<WordAccount>);

/// The account was found by another way than the record: they must say the same.
fn check(accounts: &[Account<'_>], record: &TrialRecord) -> Result<(), Failure> {
    let words = || accounts.iter().flat_map(|(_, words)| words);
    let with = |outcome| words().filter(|word| word.outcome == outcome).count() as u64;
    let account = [
        words().count() as u64,
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

/// Tensor and index of a weight, or that it is padding.
fn place(memory: &StoredNetwork<'_>, plane_index: usize) -> String {
    let layout = &memory.network().layout;
    match layout.locate(plane_index) {
        Some((tensor, index)) => format!("{}[{index}]", layout.tensors()[tensor].name),
        None => "padding".into(),
    }
}

fn flips(accounts: &[Account<'_>]) -> String {
    let words = accounts.iter().flat_map(|(memory, words)| words.iter().map(move |word| (memory, word)));
    let mut rows = Vec::new();
    for (memory, word) in words {
        let check_bits = memory.protection().word().check_bits as u64;
        let mut bytes = word.stored.clone();
        for flip in &word.data_flips {
            let weight = (flip / 8) as usize;
            let byte = &mut bytes[weight - word.first];
            let before = *byte;
            *byte ^= 1 << (flip % 8);
            rows.push(vec![
                word.word.to_string(),
                place(memory, weight),
                (flip % 8).to_string(),
                format!("{:4} {before:08b}", before.cast_signed()),
                format!("{:4} {byte:08b}", byte.cast_signed()),
            ]);
        }
        for flip in &word.check_flips {
            let bit = flip % check_bits;
            rows.push(vec![
                word.word.to_string(),
                "check bits".into(),
                bit.to_string(),
                "".into(),
                "".into(),
            ]);
        }
    }
    markdown(&[">word", "cell of", ">bit", ">stored", ">after the flip"], &rows)
}

fn outcomes(accounts: &[Account<'_>]) -> String {
    let list = |weights: &[i8]| weights.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let row = |memory: &StoredNetwork<'_>, word: &WordAccount| {
        vec![
            word.word.to_string(),
            place(memory, word.first),
            (word.data_flips.len() + word.check_flips.len()).to_string(),
            format!("{:#04x}", word.syndrome),
            word.outcome.to_string(),
            list(&word.weights),
            if word.read == word.weights { "the same".into() } else { list(&word.read) },
        ]
    };
    let columns = [">word", "from", ">flips", ">syndrome", "outcome", "weights", "read as"];
    let rows = accounts.iter().flat_map(|(memory, words)| words.iter().map(|word| row(memory, word)));
    markdown(&columns, &rows.collect::<Vec<_>>())
}
