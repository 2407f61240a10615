use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use analysis::{LargeWeightCounts, LargeWeights};
use clap::Args;
use quant::{Checkpoint, ModelSpec, WeightScale};

use crate::distribution::Distribution;
use crate::exit::{Failure, Outcome};
use crate::images::{SYNTHETIC_SHORT, calibrated_on_synthetic};
use crate::loading::{architecture, provenance};
use crate::output::{data, lines, markdown, percent};

/// Width of the bars in the table by position.
const BAR: usize = 40;

const HELP: &str = "\
--figure draws the second table, a panel for each checkpoint, such as before and after training:
large-weights.svg, .png, and the numbers as .csv.

Examples:
  zerospace inspect resnet20.safetensors
  zerospace inspect runs/train/r20/int8.safetensors runs/train/r20/qatt.safetensors --figure runs/train/r20";

/// Show int8 checkpoints: weight distribution, large values by position, the in-place constraint
///
/// The first table is the paper's Table 1 for each tensor: shares of |q| below 32, below 64, and up to 128.
/// The second is its Figure 1: how many 8-byte blocks have a large value at each byte position.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Int8 checkpoints, made by `zerospace quantize` or `zerospace train`
    #[arg(required = true, value_name = "CHECKPOINT")]
    checkpoints: Vec<PathBuf>,
    /// Draw the large values by position, into this folder
    #[arg(long, value_name = "DIR")]
    figure: Option<PathBuf>,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut texts = Vec::new();
    let mut counts = Vec::new();
    for path in &arguments.checkpoints {
        let checkpoint = Checkpoint::load(path).map_err(Failure::input)?;
        let (text, total) = describe(path, &checkpoint);
        texts.push(text);
        counts.push(LargeWeightCounts {
            network: network(path, &checkpoint.model),
            weights: total.weights as u64,
            blocks: total.blocks as u64,
            large_at: total.large_at.map(|large| large as u64),
            note: if calibrated_on_synthetic(&checkpoint) { SYNTHETIC_SHORT.into() } else { String::new() },
        });
    }
    if let Some(dir) = &arguments.figure {
        let figure = LargeWeights::new(counts).map_err(Failure::input)?;
        texts.push(lines(&figure.write(dir).map_err(Failure::machine)?));
    }
    data(&texts.join("\n\n"));
    Ok(Outcome::Done)
}

/// Folder, file and architecture: what training has made of which network.
fn network(path: &Path, model: &ModelSpec) -> String {
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let folder = text(path.parent().and_then(Path::file_name));
    let file = text(path.file_stem());
    let name = if folder.is_empty() { file } else { format!("{folder}/{file}") };
    format!("{name}: {}, width {}", model.architecture, model.width)
}

/// The tables of a checkpoint, and its weights in total.
fn describe(path: &Path, checkpoint: &Checkpoint) -> (String, Distribution) {
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
    let mut rows = Vec::new();
    let mut total = Distribution::default();
    for tensor in &checkpoint.weights {
        let one = Distribution::of(&tensor.values);
        let shape = tensor.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        rows.push(row(&one, &tensor.name, &shape, &levels_a_unit(&tensor.scale)));
        total.add(&one);
    }
    rows.push(row(&total, "all", "", ""));

    let most = total.large_at.iter().copied().max().unwrap_or(0).max(1);
    let positions = total.large_at.iter().enumerate().map(|(position, &large)| {
        let bar = "#".repeat((large * BAR).div_ceil(most));
        vec![position.to_string(), large.to_string(), bar]
    });
    let positions: Vec<Vec<String>> = positions.collect();

    let text = format!(
        "{}: {}\ncontent hash {}\n{}\n\n{}\n\
         Blocks of 8 weights with a value outside [-64, 63], by position (position 7 is free in place):\n\n{}\n{}",
        path.display(),
        architecture(checkpoint),
        checkpoint.digest(),
        provenance(checkpoint).join("\n"),
        markdown(&columns, &rows),
        markdown(&["position", ">blocks", ""], &positions),
        match total.violations {
            0 => "in-place-64-57 can store this network".to_string(),
            n => format!(
                "in-place-64-57 cannot store this network: {n} weights violate its range (quantize --throttle)"
            ),
        }
    );
    (text, total)
}

/// A scale, or the least and the greatest where channels have their own.
fn levels_a_unit(scale: &WeightScale) -> String {
    match scale {
        WeightScale::Tensor(scale) => format!("{scale:.3}"),
        WeightScale::Channels(scales) => {
            let least = scales.iter().copied().fold(f32::INFINITY, f32::min);
            let most = scales.iter().copied().fold(0.0, f32::max);
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
