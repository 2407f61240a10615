use std::path::PathBuf;

use anyhow::{Context, anyhow};
use campaign::{CellTrials, StoredNetwork};
use clap::Args;
use design::{BitErrorRate, FaultModel, ProtectionName};
use harness::{Failure, stored_tensors};
use quant::{TensorFile, WeightsAs};
use serde::Serialize;

use crate::terminal::document::{Document, Shown, path};
use crate::terminal::exit::Outcome;
use crate::terminal::output::markdown;

const HELP: &str = "\
The trial has the flips of trial N of a cell with the same weights, protection, fault model, rate and seed, and so the
same `pattern_hash` and `weights_hash` in the records of `zerospace run`.

The input is a checkpoint, or any safetensors file with tensors of type I8. The memory holds the tensors of a checkpoint
in the order of its layers, and those of another file in the order of their bytes in the file. Tensors of other types
are copied. Only a checkpoint has the scales that --float needs.

Examples:
  zerospace corrupt resnet20.safetensors --protection secded-72-64 --rate 1e-3 --seed 1 --trial 0 -o read.safetensors
  zerospace corrupt weights.safetensors --protection faulty --model bernoulli:bit=7 --rate 1e-4 --seed 1 --trial 7 \\
      -o read.safetensors --format json | jq .weights_changed";

/// Write the weights that a trial reads from a faulty memory, for an evaluation by any other program
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Checkpoint, or any safetensors file with tensors of type I8
    input: PathBuf,
    /// Protection of the memory
    #[arg(long, value_name = "ID")]
    protection: ProtectionName,
    /// Bit error rate, or the quantity that the fault model takes instead
    #[arg(long, value_name = "RATE")]
    rate: f64,
    /// Fault model, as in an experiment file
    #[arg(long, value_name = "MODEL", default_value = "bernoulli")]
    model: FaultModel,
    /// Seed of the campaign
    #[arg(long, value_name = "SEED")]
    seed: u64,
    /// Number of the trial, from 0
    #[arg(long, value_name = "N")]
    trial: u64,
    /// Write weights as floats: the integers divided by the stored levels per unit
    #[arg(long)]
    float: bool,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    shown: Shown,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let rate =
        BitErrorRate::new(arguments.rate).map_err(|error| Failure::Input(anyhow!("--rate: {error}")))?;
    let protection = ecc::by_id(&arguments.protection)
        .map_err(|error| Failure::Input(anyhow!("--protection: {error}")))?;
    let place = || arguments.input.display().to_string();
    let file = TensorFile::load(&arguments.input).map_err(Failure::input)?;
    let network = stored_tensors(&place(), &file);
    let memory = StoredNetwork::new(&network, protection)
        .with_context(|| format!("{} cannot store {}", arguments.protection, place()))
        .map_err(Failure::Input)?;
    let trials = CellTrials::ordinary(&memory, &arguments.model, rate, arguments.seed)
        .with_context(|| format!("--model {}", arguments.model))
        .map_err(Failure::Input)?;
    let trial = trials.trial(arguments.trial);
    let form = if arguments.float { WeightsAs::Float } else { WeightsAs::Int8 };
    let bytes = file
        .with_changes(&trial.changes, form)
        .with_context(|| format!("--float: {}", place()))
        .map_err(Failure::Input)?;
    durable::write(&arguments.output, &bytes)
        .with_context(|| arguments.output.display().to_string())
        .map_err(Failure::Machine)?;
    arguments.shown.format.show(&Corrupted {
        input: path(&arguments.input),
        output: path(&arguments.output),
        network: file.digest().into(),
        protection: &arguments.protection,
        fault_model: &arguments.model,
        rate,
        seed: arguments.seed,
        trial: arguments.trial,
        float: arguments.float,
        flips_data: trial.pattern.data.len(),
        flips_check: trial.pattern.check.len(),
        pattern_hash: trial.pattern_hash(),
        words_hit: trial.words_hit,
        corrected: trial.corrected,
        detected: trial.detected,
        miscorrected: trial.miscorrected,
        silent: trial.silent,
        weights_changed: trial.changes.len(),
        padding_changed: trial.padding_changed,
        weights_hash: trial.weights_hash(),
        copied: file.others().map(|(name, dtype)| Copied { name: name.into(), dtype }).collect(),
    });
    Ok(Outcome::Done)
}

/// Conditions of the trial, and the fields of its record that do not depend on an evaluation.
#[derive(Serialize)]
struct Corrupted<'a> {
    input: String,
    output: String,
    network: String,
    protection: &'a ProtectionName,
    fault_model: &'a FaultModel,
    rate: BitErrorRate,
    seed: u64,
    trial: u64,
    float: bool,
    flips_data: usize,
    flips_check: usize,
    pattern_hash: String,
    words_hit: u64,
    corrected: u64,
    detected: u64,
    miscorrected: u64,
    silent: u64,
    weights_changed: usize,
    padding_changed: u64,
    weights_hash: String,
    copied: Vec<Copied>,
}

/// A tensor that is not int8.
#[derive(Serialize)]
struct Copied {
    name: String,
    #[serde(rename = "type")]
    dtype: String,
}

impl Document for Corrupted<'_> {
    const FORMAT: &'static str = "zerospace.corrupt/1";

    fn text(&self) -> String {
        let counts = [
            ("flipped data bits", self.flips_data.to_string()),
            ("flipped check bits", self.flips_check.to_string()),
            ("words hit", self.words_hit.to_string()),
            ("corrected", self.corrected.to_string()),
            ("detected", self.detected.to_string()),
            ("miscorrected", self.miscorrected.to_string()),
            ("silent", self.silent.to_string()),
            ("weights changed", self.weights_changed.to_string()),
            ("padding changed", self.padding_changed.to_string()),
            ("pattern hash", self.pattern_hash.clone()),
            ("weights hash", self.weights_hash.clone()),
        ];
        let rows: Vec<Vec<String>> =
            counts.into_iter().map(|(name, value)| vec![name.into(), value]).collect();
        let copied: Vec<String> =
            self.copied.iter().map(|other| format!("{} ({})", other.name, other.dtype)).collect();
        let copied = match &copied[..] {
            [] => String::new(),
            names => format!("\ncopied as they are: {}", names.join(", ")),
        };
        format!(
            "{} under {}, {} at {}, seed {}, trial {}\n\n{}\n{}{copied}",
            self.input,
            self.protection,
            self.fault_model,
            self.rate,
            self.seed,
            self.trial,
            markdown(&["count", ">value"], &rows),
            self.output
        )
    }
}
