use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use analysis::{LargeWeightCounts, LargeWeights, write_large_weights};
use anyhow::Context;
use campaign::read_code_map;
use clap::Args;
use ecc::{CodeMap, Constraint};
use graph::ModelSpec;
use quant::{Checkpoint, LevelsPerUnit, QuantTensor};
use serde::Serialize;

use crate::terminal::document::{self, Document, Shown, paths};
use crate::terminal::exit::Outcome;
use crate::terminal::output::{markdown, percent};
use harness::Distribution;
use harness::Failure;
use harness::StorageCost;
use harness::network_text::{self, suspicious};
use harness::provenance;
use harness::{SYNTHETIC_SHORT, calibrated_on_synthetic};

/// Longest bar in the table by position, in characters.
const BAR: usize = 40;

/// Most warnings of filters with large gains.
const MOST_AMPLIFIED: usize = 5;

const HELP: &str = "\
--figure draws the second table with a panel for each checkpoint, for example before and after training:
large-weights.svg, .png, and the numbers as .csv.

Examples:
  zerospace inspect resnet20.safetensors
  zerospace inspect resnet20.safetensors --codes codes.toml
  zerospace inspect runs/train/r20/int8.safetensors runs/train/r20/qatt.safetensors --figure runs/train/r20";

/// Show int8 checkpoints: weight distribution, large values by position, the in-place constraint
///
/// The first table is the paper's Table 1 for each tensor: shares of |q| below 32, below 64, and up to 128. The second
/// table is the paper's Figure 1: the number of 8-byte blocks with a large value at each byte position. The third shows the
/// change that each protection makes to these weights: some clamp them into a range, some give up their lowest bits.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Int8 checkpoints, made by `zerospace quantize` or `zerospace train`
    #[arg(required = true, value_name = "CHECKPOINT")]
    checkpoints: Vec<PathBuf>,
    /// Draw the large values by position, into this folder
    #[arg(long, value_name = "DIR")]
    figure: Option<PathBuf>,
    /// Count the weights outside the ranges of a code map, a code for each tensor (`zerospace search-codes`)
    #[arg(long, value_name = "FILE")]
    codes: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let map = arguments.codes.as_deref().map(|file| read_code_map("codes", file));
    let map = map.transpose().map_err(Failure::input)?;
    let mut checkpoints = Vec::new();
    let mut counts = Vec::new();
    for path in &arguments.checkpoints {
        let checkpoint = Checkpoint::load(path).map_err(Failure::input)?;
        let mut inspected = Inspected::new(path, &checkpoint);
        if let Some(map) = &map {
            let coded = coded_tensors(&checkpoint, map);
            inspected.codes =
                Some(coded.with_context(|| path.display().to_string()).map_err(Failure::Input)?);
        }
        let total = &inspected.total;
        counts.push(LargeWeightCounts {
            network: network(path, &checkpoint.model),
            weights: total.weights as u64,
            blocks: total.blocks as u64,
            large_at: total.large_at.map(|large| large as u64),
            note: if calibrated_on_synthetic(&checkpoint) { SYNTHETIC_SHORT.into() } else { String::new() },
        });
        checkpoints.push(inspected);
    }
    let written = match &arguments.figure {
        Some(dir) => {
            let figure =
                LargeWeights::new(counts, Distribution::small().to_string()).map_err(Failure::input)?;
            paths(&write_large_weights(&figure, dir).map_err(Failure::machine)?)
        }
        None => Vec::new(),
    };
    arguments.shown.format.show(&Inspection { checkpoints, written });
    Ok(Outcome::Done)
}

/// What `zerospace inspect` says about a checkpoint under the name `path`: its text, and its JSON document.
pub fn inspection(path: &Path, checkpoint: &Checkpoint) -> (String, String) {
    let inspection = Inspection { checkpoints: vec![Inspected::new(path, checkpoint)], written: Vec::new() };
    (inspection.text(), document::json(&inspection))
}

/// Folder, file and architecture of a checkpoint.
fn network(path: &Path, model: &ModelSpec) -> String {
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let folder = text(path.parent().and_then(Path::file_name));
    let file = text(path.file_stem());
    let name = if folder.is_empty() { file } else { format!("{folder}/{file}") };
    format!("{name}: {}, width {}", model.architecture, model.width)
}

#[derive(Serialize)]
struct Inspection {
    checkpoints: Vec<Inspected>,
    written: Vec<String>,
}

impl Document for Inspection {
    const FORMAT: &'static str = "zerospace.inspect/1";

    fn text(&self) -> String {
        let mut texts: Vec<String> = self.checkpoints.iter().map(Inspected::text).collect();
        if !self.written.is_empty() {
            texts.push(self.written.join("\n"));
        }
        texts.join("\n\n")
    }
}

#[derive(Serialize)]
struct Inspected {
    path: String,
    architecture: String,
    content_hash: String,
    provenance: Vec<String>,
    tensors: Vec<InspectedTensor>,
    total: Distribution,
    /// Cost of storing these weights under each protection.
    protections: Vec<StorageCost>,
    /// Filters in which a faulty weight does more than eight times as much as in others of their layer.
    amplified_filters: Vec<Amplified>,
    /// Codes of the tensors by the map of `--codes`.
    codes: Option<Vec<CodedTensor>>,
}

#[derive(Serialize)]
struct CodedTensor {
    tensor: String,
    code: String,
    weights: usize,
    /// Number of weights outside the range of the code.
    outside: usize,
}

#[derive(Serialize)]
struct Amplified {
    tensor: String,
    channel: usize,
    nonzero_weights: usize,
    gain: f64,
    median_gain: f64,
}

#[derive(Serialize)]
struct InspectedTensor {
    name: String,
    shape: Vec<usize>,
    levels_a_unit: Vec<LevelsPerUnit>,
    #[serde(flatten)]
    distribution: Distribution,
}

impl Inspected {
    fn new(path: &Path, checkpoint: &Checkpoint) -> Self {
        let mut total = Distribution::default();
        let mut tensors = Vec::new();
        for tensor in &checkpoint.weights {
            let distribution = Distribution::of(tensor.values());
            total.add(&distribution);
            let levels_a_unit = tensor.scale().values().to_vec();
            let (name, shape) = (tensor.name().into(), tensor.shape().to_vec());
            tensors.push(InspectedTensor { name, shape, levels_a_unit, distribution });
        }
        Self {
            path: document::path(path),
            architecture: network_text::architecture(&checkpoint.model, &checkpoint.layers),
            content_hash: checkpoint.digest(),
            provenance: provenance(checkpoint, None)
                .into_iter()
                .chain(suspicious(&checkpoint.preprocessing))
                .collect(),
            tensors,
            total,
            protections: StorageCost::of_all(&checkpoint.weights),
            amplified_filters: amplified_filters(checkpoint),
            codes: None,
        }
    }

    /// The two tables.
    fn text(&self) -> String {
        let columns = [
            "tensor",
            "shape",
            ">weights",
            ">levels a unit",
            ">[0,32) %",
            ">[32,64) %",
            ">[64,128] %",
            ">violations",
        ];
        let mut rows: Vec<Vec<String>> = self.tensors.iter().map(InspectedTensor::row).collect();
        rows.push(row(&self.total, "all", "", ""));

        let total = &self.total;
        let most = total.large_at.iter().copied().max().unwrap_or(0).max(1);
        let positions = total.large_at.iter().enumerate().map(|(position, &large)| {
            let bar = "#".repeat((large * BAR).div_ceil(most));
            vec![position.to_string(), large.to_string(), bar]
        });
        let positions: Vec<Vec<String>> = positions.collect();

        let mut text = format!(
            "{}: {}\ncontent hash {}\n{}\n\n{}\n\
             Blocks of 8 weights with a value outside {}, by position (position 7 is free in place):\n\n{}\n{}",
            self.path,
            self.architecture,
            self.content_hash,
            self.provenance.join("\n"),
            markdown(&columns, &rows),
            Distribution::small(),
            markdown(&["position", ">blocks", ""], &positions),
            match total.violations {
                0 => "in-place-64-57 can store this network".to_string(),
                n => format!(
                    "in-place-64-57 cannot store this network: {n} weights violate its range, {} (quantize --throttle)",
                    Constraint::WOT
                ),
            }
        );
        text += &format!("\n\n{}", storage_costs(&self.protections, total.weights));
        text += &self.codes.as_deref().map(code_table).unwrap_or_default();
        for filter in self.amplified_filters.iter().take(MOST_AMPLIFIED) {
            text += &format!(
                "\nwarning: {} channel {}, with {} weights that are not zero, has a batch norm of gain {:.1} (median of the \
                 layer {:.1}): a flipped bit there does {:.0} times as much as elsewhere",
                filter.tensor,
                filter.channel,
                filter.nonzero_weights,
                filter.gain,
                filter.median_gain,
                filter.gain / filter.median_gain
            );
        }
        if let Some(more) = self.amplified_filters.len().checked_sub(MOST_AMPLIFIED + 1) {
            text += &format!("\n{} more such filters (--format json lists them)", more + 1);
        }
        text
    }
}

/// The protections that return these weights as they are, and a table of the changes that the others make.
pub(crate) fn storage_costs(costs: &[StorageCost], weights: usize) -> String {
    let overhead = |cost: &StorageCost| match cost.extra_bits {
        0 => "0".to_string(),
        _ => format!("{:.2} %", cost.overhead_percent),
    };
    let named = |cost: &StorageCost| format!("{} ({})", cost.protection, overhead(cost));
    let free: Vec<String> = costs.iter().filter(|cost| cost.is_free()).map(named).collect();
    let free = format!(
        "Protections that store these weights as they are, with the bits that they add: {}",
        free.join(", ")
    );
    let changing = costs.iter().filter(|cost| !cost.is_free());
    let count = |n: usize| format!("{n} ({:.3} %)", percent(n, weights));
    let rows: Vec<Vec<String>> = changing
        .map(|cost| {
            let way = match cost.clamped {
                0 => "none needed".into(),
                _ => format!("--throttle={}", cost.protection),
            };
            vec![
                cost.protection.clone(),
                overhead(cost),
                count(cost.clamped),
                cost.largest_clamp.to_string(),
                count(cost.lost),
                cost.largest_loss.to_string(),
                way,
            ]
        })
        .collect();
    if rows.is_empty() {
        return free;
    }
    let columns = [
        "protection",
        ">stored overhead",
        ">clamped",
        ">by at most",
        ">changed when stored",
        ">by at most",
        "option of quantize",
    ];
    format!(
        "{free}\n\nThe others change weights, by at most so many of 256 levels; none needs training, and quantize and run \
         measure the cost in accuracy:\n\n{}",
        markdown(&columns, &rows).trim_end()
    )
}

/// The code of each tensor by a map, in memory order.
fn coded_tensors(checkpoint: &Checkpoint, map: &CodeMap) -> anyhow::Result<Vec<CodedTensor>> {
    let names: Vec<&str> = checkpoint.weights.iter().map(QuantTensor::name).collect();
    map.check_tensors(&names)?;
    let coded = |tensor: &QuantTensor| {
        let code = &map.codes()[tensor.name()];
        let outside = code.constraint().violations(tensor.values()).count();
        let (name, weights) = (tensor.name().into(), tensor.values().len());
        CodedTensor { tensor: name, code: code.id().into(), weights, outside }
    };
    Ok(checkpoint.weights.iter().map(coded).collect())
}

fn code_table(coded: &[CodedTensor]) -> String {
    let outside: usize = coded.iter().map(|tensor| tensor.outside).sum();
    let found = match outside {
        0 => "the codes can store this network".to_string(),
        n => format!(
            "the codes cannot store this network: {n} weights are outside their ranges (quantize --throttle=FILE)"
        ),
    };
    let row = |tensor: &CodedTensor| {
        let (code, count) = (tensor.code.clone(), tensor.weights.to_string());
        let percent = format!("{:.3}", percent(tensor.outside, tensor.weights));
        vec![tensor.tensor.clone(), code, count, tensor.outside.to_string(), percent]
    };
    let rows: Vec<Vec<String>> = coded.iter().map(row).collect();
    let columns = ["tensor", "code", ">weights", ">outside its range", ">%"];
    format!("\n\nA code for each tensor:\n\n{}\n{found}", markdown(&columns, &rows))
}

/// Filters with large gains; none if the file holds weights without a network.
fn amplified_filters(checkpoint: &Checkpoint) -> Vec<Amplified> {
    let Ok(graph) = zoo::build_stored(&checkpoint.model, &checkpoint.layers) else { return Vec::new() };
    let amplified = checkpoint.amplified_filters(&graph).into_iter();
    amplified
        .map(|filter| Amplified {
            tensor: filter.weights,
            channel: filter.channel,
            nonzero_weights: filter.nonzero,
            gain: filter.gain,
            median_gain: filter.median,
        })
        .collect()
}

impl InspectedTensor {
    fn row(&self) -> Vec<String> {
        let shape = self.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        row(&self.distribution, &self.name, &shape, &levels_a_unit(&self.levels_a_unit))
    }
}

/// Levels per unit of a tensor, or the smallest and largest of its channels.
fn levels_a_unit(scales: &[LevelsPerUnit]) -> String {
    match scales {
        [scale] => format!("{:.3}", scale.get()),
        scales => {
            let least = scales.iter().map(|scale| scale.get()).fold(f32::INFINITY, f32::min);
            let most = scales.iter().map(|scale| scale.get()).fold(0.0, f32::max);
            format!("{least:.3} to {most:.3}")
        }
    }
}

/// A row of the first table.
fn row(d: &Distribution, name: &str, shape: &str, scale: &str) -> Vec<String> {
    let shares = d.magnitudes.map(|n| format!("{:.3}", percent(n, d.weights)));
    let mut row = vec![name.into(), shape.into(), d.weights.to_string(), scale.into()];
    row.extend(shares);
    row.push(d.violations.to_string());
    row
}
