use std::fmt::Write;
use std::path::PathBuf;

use analysis::csv_field;
use anyhow::{Context, anyhow};
use campaign::code_map_text;
use clap::Args;
use data::ImageSet;
use design::BitErrorRate;
use harness::{CodeSearch, EvaluatedMap, Failure, FoundCodes, held_out_images, input_cut};
use quant::Checkpoint;

use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::names::{Named, image_sets, protections};
use crate::terminal::output::{self, lines, markdown, percent};
use crate::terminal::progress::Terminal;
use crate::terminal::quantization::ScaleRule;
use crate::terminal::signals;

const HELP: &str = "\
A code that keeps its check bits inside the weights needs weights of few bits. Some tensors lose much by that, others nearly
nothing. The search gives each tensor a code of its own, and judges a map from tensors to codes by two numbers: accuracy
without faults, and mean accuracy of trials at the bit error rate.

It evaluates each of --codes for all tensors, and starts from the best one at the rate. Of all maps that differ in the code of
one tensor it goes on with the one that gains most at the rate, by the mean over the trials less two standard errors, until that
is not above 0; then with those that are most accurate without faults. It measures a change again only when its last known gain
is the largest, and ends when no change gains or the budget is spent. All maps meet the same flips in a trial, so their
differences have little noise; few trials still let luck choose. The same arguments give the same maps, on any machine.

Images are of the training split: those that training recipes with `validation = N` hold out (--held-out N), or the first ones.
Test images have no part in it. Choosing by few images and trials flatters the chosen map; a campaign on test images says
how good it is.

One evaluation is one image classified by one network: a map costs --images x (1 + --trials).

The folder receives steps.csv with all maps that were evaluated. NAME.toml is a code map and NAME.safetensors the network with
its weights brought into the ranges of the map: `codes` is the one at which the search at the rate ended, `front-N` are the others
that no map beats in both numbers, and uniform-CODE the networks with one code. Activation ranges stay those of the checkpoint. To make the network
from its float file instead, with new ranges, use `zerospace quantize --throttle=codes.toml --scale least-error`, or
`protection = \"codes.toml\"` in a training recipe. An experiment names the map in a section [[code_map]].

Examples:
  zerospace search-codes resnet20.safetensors --set cifar10 --held-out 5000 --rate 1e-2 -o runs/codes/resnet20
  zerospace search-codes net.safetensors --codes in-place-64-57,in-place-msb-48-24 --rate 1e-3 --budget 500000 -o runs/codes/net";

/// Search a code of its own for each tensor of an int8 network, by its accuracy with and without faults
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Int8 checkpoint, made by `zerospace quantize` or `zerospace train`
    checkpoint: PathBuf,
    /// Codes that a tensor may have, with all their bits inside the weights [default: in-place-64-57, in-place-msb-32-16,
    /// in-place-msb-48-24, in-place-msb-64-32]
    #[arg(
        long,
        value_name = "IDS",
        value_delimiter = ',',
        default_values = ["in-place-64-57", "in-place-msb-32-16", "in-place-msb-48-24", "in-place-msb-64-32"],
        hide_default_value = true,
        value_parser = Named(protections),
        hide_possible_values = true
    )]
    codes: Vec<String>,
    /// Bit error rate of the trials
    #[arg(long, value_name = "RATE")]
    rate: f64,
    /// Most image evaluations
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    budget: u64,
    /// Images on which each map is judged
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Trials of each map
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..))]
    trials: u32,
    /// Seed of the trials
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Take the images that training recipes with this number as `validation` hold out of the training split [default: the
    /// first images of the split]
    #[arg(long, value_name = "N")]
    held_out: Option<u32>,
    /// Rule from the weights of a tensor to its scale in the range of a code
    #[arg(long, value_name = "RULE", value_enum, default_value = "least-error")]
    scale: ScaleRule,
    /// Data set whose training images judge the maps
    #[arg(long, value_name = "NAME", default_value = "cifar10", value_parser = Named(image_sets), hide_possible_values = true)]
    set: String,
    /// Folder for the results
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    arguments.machine.start()?;
    let rate =
        BitErrorRate::new(arguments.rate).map_err(|error| Failure::Input(anyhow!("--rate: {error}")))?;
    let codes = arguments.codes.iter().map(|name| ecc::by_id(name)).collect::<Result<Vec<_>, _>>();
    let codes = codes.context("--codes").map_err(Failure::Input)?;
    let checkpoint = Checkpoint::load(&arguments.checkpoint).map_err(Failure::input)?;
    let observer = Terminal::default();
    let images = images(arguments, &checkpoint, &observer)?;
    let search = CodeSearch {
        checkpoint: &checkpoint,
        images: &images,
        codes,
        scale: arguments.scale.into(),
        rate,
        trials: arguments.trials.into(),
        seed: arguments.seed,
        budget: arguments.budget,
    };
    let place = || arguments.checkpoint.display().to_string();
    let found = search.run(&observer).with_context(place).map_err(Failure::Input)?;
    let written = signals::last(|| write(arguments, &found)).map_err(Failure::Machine)?;
    output::data(&format!("{}\n{}", text(&found, images.len()), lines(&written)));
    Ok(Outcome::Done)
}

/// Images of the training split.
fn images(arguments: &Arguments, checkpoint: &Checkpoint, observer: &Terminal) -> Result<ImageSet, Failure> {
    let (set, sets) = (&arguments.set, arguments.machine.data());
    let cut = input_cut(set, checkpoint).map_err(Failure::Input)?;
    let count = arguments.images as usize;
    let Some(held_out) = arguments.held_out else {
        return Ok(sets.calibration_images(set, "train", count, cut, observer)?.set);
    };
    let all = sets.images(set, "train", None, cut, observer)?.set;
    let held_out = held_out_images(&all, held_out as usize).and_then(|images| Ok(images.take(count)?));
    held_out.context("--held-out").map_err(Failure::Input)
}

/// Names of the maps whose files are written: the one at which the search by accuracy at the rate ended, then the others of the front by ascending fault-free
/// accuracy, then those with one code, which the search evaluates first.
fn named(found: &FoundCodes<'_>) -> Vec<(String, usize)> {
    let chosen = found.chosen();
    let mut names = vec![("codes".to_owned(), chosen)];
    let codes = found.search().codes.iter().enumerate();
    let others = found.front().into_iter().filter(|number| *number != chosen && *number >= codes.len());
    names.extend((1..).zip(others).map(|(i, number)| (format!("front-{i}"), number)));
    names.extend(codes.map(|(number, code)| (format!("uniform-{}", code.id()), number)));
    names
}

fn write(arguments: &Arguments, found: &FoundCodes<'_>) -> anyhow::Result<Vec<PathBuf>> {
    let out = &arguments.out;
    durable::create_folder(out).with_context(|| out.display().to_string())?;
    let mut written = Vec::new();
    let file = |name: String, text: &str| {
        let path = out.join(name);
        durable::write(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
        anyhow::Ok(path)
    };
    written.push(file("steps.csv".into(), &steps(found))?);
    for (name, number) in named(found) {
        let (map, evaluated) = (found.map(number)?, &found.maps()[number]);
        let CodeSearch { images, rate, trials, seed, .. } = found.search();
        let comment = format!(
            "Codes of the tensors of {}: map {number} of `zerospace search-codes`.\n{} of {} images of {} {} correct without \
             faults, on average {:.1} at {rate} ({trials} trials, seed {seed}).",
            arguments.checkpoint.display(),
            evaluated.clean,
            images.len(),
            images.name(),
            images.split(),
            evaluated.faulty_sum() as f64 / *trials as f64
        );
        written.push(file(format!("{name}.toml"), &code_map_text(&map, &comment))?);
        written.push(out.join(format!("{name}.safetensors")));
        found.checkpoint(number)?.save(&written[written.len() - 1])?;
    }
    Ok(written)
}

/// All maps, a line for each: the changed tensor and its code, or the one code of all tensors.
fn steps(found: &FoundCodes<'_>) -> String {
    let mut csv =
        String::from("map,from,tensor,code,clean_correct,mean_correct_at_rate,evaluations,taken,front\n");
    let (front, search) = (found.front(), found.search());
    for (number, map) in found.maps().iter().enumerate() {
        let (from, tensor, code) = match map.changed {
            None => (String::new(), String::new(), map.codes[0]),
            Some((from, tensor)) => {
                (from.to_string(), csv_field(search.checkpoint.weights[tensor].name()), map.codes[tensor])
            }
        };
        let EvaluatedMap { clean, evaluations, taken, .. } = map;
        let mean = map.faulty_sum() as f64 / search.trials as f64;
        let (code, front) = (search.codes[code].id(), front.contains(&number));
        writeln!(csv, "{number},{from},{tensor},{code},{clean},{mean},{evaluations},{taken},{front}")
            .expect("a string grows");
    }
    csv
}

fn text(found: &FoundCodes<'_>, images: usize) -> String {
    let search = found.search();
    let mut columns = vec!["map".to_owned(), ">top-1 %".into(), format!(">top-1 % at {}", search.rate)];
    columns.extend(search.codes.iter().map(|code| format!(">% of weights in {}", code.id())));
    let row = |(name, number): (String, usize)| {
        let map = &found.maps()[number];
        let all = images * search.trials as usize;
        let mut row = vec![
            name,
            format!("{:.2}", percent(map.clean as usize, images)),
            format!("{:.2}", percent(map.faulty_sum() as usize, all)),
        ];
        row.extend((0..search.codes.len()).map(|code| format!("{:.1}", share(search, &map.codes, code))));
        row
    };
    let rows: Vec<Vec<String>> = named(found).into_iter().map(row).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let end = match found.is_exhausted() {
        true => "the budget allows no further map",
        false => "no change of one tensor gains",
    };
    format!(
        "{} maps, {} of {} image evaluations; {end}\n\n{}",
        found.maps().len(),
        found.evaluations(),
        search.budget,
        markdown(&columns, &rows)
    )
}

/// Percent of the weights that have a code.
fn share(search: &CodeSearch<'_>, codes: &[usize], code: usize) -> f64 {
    let sizes = search.checkpoint.weights.iter().map(|tensor| tensor.values().len());
    let all: usize = sizes.clone().sum();
    percent(sizes.zip(codes).filter(|(_, own)| **own == code).map(|(size, _)| size).sum(), all)
}
