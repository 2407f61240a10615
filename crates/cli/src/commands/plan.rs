use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use analysis::{FEWEST_TRIALS, PilotedCell, SampleSize, VarianceComponents};
use anyhow::anyhow;
use campaign::{CellTrials, TrialsOf};
use clap::Args;
use design::{CellId, CellSpec, EvaluationSet, FailureRule, FaultKind, Metric, StopRule, TrialRecord};
use serde::Serialize;

use crate::commands::run::evaluated_on;
use crate::terminal::document::{Document, MOST_CELLS, NamedCell, Shown, cells_left_out};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{duration, markdown};
use crate::terminal::progress::Terminal;
use crate::terminal::progress::bar;
use harness::Failure;
use harness::LoadedExperiment;
use harness::Recomputation;
use harness::network_text;

/// Check an experiment and show its cells without running any
///
/// P(changed) is the probability that some stored word, padding included, reads back wrong in an ordinary trial. If it is
/// small, nearly all trials lose nothing, and `trials_of = "changed"` in the experiment draws only the other trials.
/// `unknown` means that there is no closed form.
///
/// Flips are expected values over many trials. Under `fixed-count` every trial flips exactly the printed number of bits: the
/// rate times the bits of each plane, rounded down. For `accumulate` the number covers all hours, before any scrub; for
/// `stuck-at` and `asymmetric` it follows from the stored bits.
///
/// A pilot runs the first trials of each cell and stores nothing. It estimates the time of the plan on this machine and the
/// width of the 95 % interval of each mean drop: 1.96 standard deviations of the pilot's drops divided by the root of the
/// number of trials. Drops have heavy tails, so a small pilot usually underestimates the width. `?` means that all drops
/// were equal.
///
/// With `--half-width` the trials of the pilot see blocks of images (`images_per_trial` of `[data]`, or 200), from which it
/// estimates the variance between trials and within a trial. It then shows the number of trials, and of images a trial, at which every
/// cell's interval for the whole evaluation set has at most this half width at the least cost, beside the cost if every trial saw all
/// images.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Run this number of trials of each cell to estimate time and intervals
    #[arg(long, value_name = "TRIALS", value_parser = clap::value_parser!(u64).range(2..))]
    pilot: Option<u64>,
    /// Show the cheapest trials and images a trial for intervals of this half width, in points
    #[arg(long, value_name = "POINTS", requires = "pilot", value_parser = half_width)]
    half_width: Option<f64>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    machine: Machine,
}

const HELP: &str = "\
Examples:
  zerospace plan experiments/resnet20-cifar10.toml
  zerospace plan experiments/resnet20-cifar10.toml --pilot 5
  zerospace plan experiments/resnet20-cifar10.toml --pilot 30 --half-width 0.5";

/// Images of a trial of a pilot that estimates variances, unless the experiment has its own number.
const PILOT_IMAGES: u64 = 200;

/// Images of a trial of a pilot that measures what a trial costs beside its images.
const SMALL_BLOCK: u64 = 2;

fn half_width(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(points) if points > 0.0 && points <= 100.0 => Ok(points),
        _ => Err("expected points, more than 0 and at most 100".into()),
    }
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let threads = arguments.machine.start()?;
    let loaded =
        LoadedExperiment::load(&arguments.experiment, &arguments.machine.data(), &Terminal::default())?;
    let experiment = &loaded.experiment;
    let piloted = match (arguments.pilot, arguments.half_width) {
        (None, _) => Vec::new(),
        (Some(trials), None) => pilot(&loaded, None, trials, loaded.cells[0].evaluation.images_of_trial())?,
        (Some(trials), Some(_)) => {
            let small = match experiment.evaluator {
                None => Some(in_blocks(arguments, Some(SMALL_BLOCK))?),
                Some(_) => None,
            };
            let planned = loaded.cells[0].evaluation.images_of_trial();
            pilot(&in_blocks(arguments, None)?, small.as_ref(), trials, planned)?
        }
    };
    let design =
        arguments.half_width.map(|half_width| Design::new(half_width, &loaded, &piloted)).transpose()?;
    let expected = campaign::expected_outcomes(&loaded.networks, &loaded.cells);
    let expected: HashMap<CellId, f64> =
        expected.into_iter().map(|e| (e.cell, e.changed_probability)).collect();
    let mut piloted = piloted.into_iter();
    let flips = campaign::mean_flips(&loaded.networks, &loaded.cells).map_err(Failure::input)?;
    let cell = |(cell, expected_flips): (&CellSpec, f64)| CellPlan {
        named: NamedCell::new(cell),
        data_bits: cell.stored.data_bits,
        check_bits: cell.stored.check_bits,
        expected_flips,
        changed_probability: expected.get(&cell.id()).copied(),
        pilot: piloted.next().map(|found| CellPilot {
            seconds_a_trial: found.seconds,
            interval_points: found.interval(experiment.trials),
            variance: found
                .cell
                .zip(arguments.half_width)
                .map(|(piloted, half_width)| CellVariance::new(piloted, half_width, cell.evaluation.images)),
        }),
    };
    let cells: Vec<CellPlan> = loaded.cells.iter().zip(flips).map(cell).collect();
    let networks =
        experiment.models.iter().zip(&loaded.checkpoints).map(|(model, checkpoint)| PlannedNetwork {
            label: &model.label,
            architecture: network_text::architecture(&checkpoint.model, &checkpoint.layers),
            preprocessing: network_text::preprocessing(
                &checkpoint.preprocessing,
                checkpoint.model.input,
                experiment.data.as_ref().map(|data| &data.set[..]),
            ),
            warning: network_text::suspicious(&checkpoint.preprocessing),
        });
    arguments.shown.format.show(&Plan {
        experiment: &experiment.name,
        networks: networks.collect(),
        seed: experiment.seed,
        cell_trials: experiment.trials,
        trials: cells.len() as u64 * experiment.trials,
        changed_trials_only: experiment.trials_of == TrialsOf::Changed,
        stop: experiment.stop,
        evaluation: &loaded.cells[0].evaluation,
        metrics: &loaded.cells[0].metrics,
        evaluated_on: evaluated_on(&loaded.cells[0]),
        pilot: arguments.pilot.map(|trials| Pilot {
            trials,
            threads,
            seconds: cells
                .iter()
                .flat_map(|cell| &cell.pilot)
                .map(|cell| cell.seconds_a_trial * experiment.trials as f64)
                .sum(),
        }),
        design,
        cells,
    });
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Plan<'a> {
    experiment: &'a str,
    networks: Vec<PlannedNetwork<'a>>,
    seed: u64,
    cell_trials: u64,
    trials: u64,
    changed_trials_only: bool,
    stop: Option<StopRule>,
    evaluation: &'a EvaluationSet,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    metrics: &'a [Metric],
    #[serde(skip)]
    evaluated_on: String,
    pilot: Option<Pilot>,
    #[serde(skip_serializing_if = "Option::is_none")]
    design: Option<Design>,
    cells: Vec<CellPlan>,
}

/// Sample sizes for intervals of a half width for the whole evaluation set.
#[derive(Serialize)]
struct Design {
    half_width_points: f64,
    images: u64,
    drawn: DesignCost,
    fixed: DesignCost,
}

/// A sample size and the image evaluations of all cells.
#[derive(Serialize)]
struct DesignCost {
    trials: u64,
    images_per_trial: u64,
    image_evaluations: u64,
}

impl DesignCost {
    fn of(size: SampleSize, cells: u64) -> Self {
        Self {
            trials: size.trials,
            images_per_trial: size.images_per_trial,
            image_evaluations: size.image_evaluations().saturating_mul(cells),
        }
    }

    /// `n x M` for a table.
    fn product(&self) -> String {
        format!("{} x {}", self.trials, self.images_per_trial)
    }
}

impl Design {
    fn new(half_width_points: f64, loaded: &LoadedExperiment, piloted: &[Piloted]) -> Result<Self, Failure> {
        let cells: Option<Vec<PilotedCell>> = piloted.iter().map(|found| found.cell).collect();
        let cells = cells.ok_or_else(|| {
            let expected = "expected at least 2, which show the variance within a trial";
            Failure::Input(anyhow!("`--half-width` with 1 image a trial, {expected}"))
        })?;
        let images = loaded.cells[0].evaluation.images;
        let cost = |size| DesignCost::of(size, cells.len() as u64);
        Ok(Self {
            half_width_points,
            images,
            drawn: cost(SampleSize::cheapest(&cells, half_width_points, images)),
            fixed: cost(SampleSize::fixed(&cells, half_width_points, images)),
        })
    }

    fn text(&self) -> String {
        let Self { half_width_points, images, drawn, fixed } = self;
        format!(
            "\n\n95 % intervals of ± {half_width_points} points for all {images} images in every cell, by the variances of the \
             pilot and at least {FEWEST_TRIALS} trials:\n\
             drawn: trials = {}, images_per_trial = {}: {} image evaluations\n\
             fixed: trials = {}, all images in each: {} image evaluations, {:.1} times as many",
            drawn.trials,
            drawn.images_per_trial,
            drawn.image_evaluations,
            fixed.trials,
            fixed.image_evaluations,
            fixed.image_evaluations as f64 / drawn.image_evaluations as f64
        )
    }
}

#[derive(Serialize)]
struct PlannedNetwork<'a> {
    label: &'a str,
    architecture: String,
    preprocessing: String,
    warning: Option<String>,
}

impl PlannedNetwork<'_> {
    fn lines(&self) -> String {
        let Self { label, architecture, preprocessing, .. } = self;
        let warning = self.warning.iter().map(|warning| format!("\n{label}: {warning}")).collect::<String>();
        format!("{label}: {architecture}\n{label}: preprocessing: {preprocessing}{warning}")
    }
}

/// Time of the plan, estimated by a pilot with this number of trials per cell.
#[derive(Serialize)]
struct Pilot {
    trials: u64,
    threads: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct CellPlan {
    #[serde(flatten)]
    named: NamedCell,
    data_bits: u64,
    check_bits: u64,
    expected_flips: f64,
    changed_probability: Option<f64>,
    pilot: Option<CellPilot>,
}

#[derive(Serialize)]
struct CellPilot {
    seconds_a_trial: f64,
    /// Half width of the interval; `None` if all drops were equal.
    interval_points: Option<f64>,
    #[serde(flatten)]
    variance: Option<CellVariance>,
}

/// Sources of the variance of a cell's drops, of ordinary trials or times the weight of changed ones.
#[derive(Serialize)]
struct CellVariance {
    between_trials_sd_points: f64,
    within_trial_sd_points: f64,
    overhead_images: f64,
    /// The cheapest sample size for this cell alone.
    drawn: DesignCost,
    fixed: DesignCost,
}

impl CellVariance {
    fn new(cell: PilotedCell, half_width: f64, images: u64) -> Self {
        Self {
            between_trials_sd_points: cell.variance.between.sqrt(),
            within_trial_sd_points: cell.variance.within.sqrt(),
            overhead_images: cell.overhead_images,
            drawn: DesignCost::of(SampleSize::cheapest(&[cell], half_width, images), 1),
            fixed: DesignCost::of(SampleSize::fixed(&[cell], half_width, images), 1),
        }
    }
}

impl CellPlan {
    /// True if every trial flips the same number of bits.
    fn flips_exactly(&self) -> bool {
        self.named.fault_model.kind == FaultKind::FixedCount
    }

    fn row(&self) -> Vec<String> {
        let mut row = self.named.columns();
        row.extend([
            self.data_bits.to_string(),
            self.check_bits.to_string(),
            match self.flips_exactly() {
                true => format!("exactly {}", self.expected_flips),
                false => format!("{:.1}", self.expected_flips),
            },
            self.changed_probability.map_or("unknown".into(), |probability| format!("{probability:.3e}")),
        ]);
        if let Some(pilot) = &self.pilot {
            let interval = pilot.interval_points.map_or("?".into(), |points| format!("± {points:.2e}"));
            row.extend([format!("{:.3}", 1e3 * pilot.seconds_a_trial), interval]);
            if let Some(variance) = &pilot.variance {
                row.extend([
                    format!("{:.3}", variance.between_trials_sd_points),
                    format!("{:.3}", variance.within_trial_sd_points),
                    format!("{:.1}", variance.overhead_images),
                    variance.drawn.product(),
                    variance.fixed.product(),
                ]);
            }
        }
        row
    }
}

impl Document for Plan<'_> {
    const FORMAT: &'static str = "zerospace.plan/1";

    fn text(&self) -> String {
        let flips = match self.cells.iter().all(CellPlan::flips_exactly) {
            true => ">flips a trial",
            false => ">expected flips a trial",
        };
        let more = [">data bits", ">check bits", flips, ">P(changed)"];
        let mut columns = [&NamedCell::COLUMNS[..], &more].concat();
        let mut cost = String::new();
        if let Some(pilot) = &self.pilot {
            let interval =
                if self.metrics.is_empty() { ">interval, points" } else { ">interval, in the first metric" };
            columns.extend([">ms a trial", interval]);
            if self.design.is_some() {
                columns.extend([
                    ">sd between trials",
                    ">sd of an image",
                    ">overhead, images",
                    ">drawn",
                    ">fixed",
                ]);
            }
            cost = format!(
                "\n{}{} on {} threads of this machine, by a pilot of {} trials a cell",
                if self.stop.is_some() { "at most " } else { "" },
                duration(pilot.seconds),
                pilot.threads,
                pilot.trials
            );
        }
        let changed = match self.changed_trials_only {
            false => "",
            true => " of those in which a stored word reads back wrong",
        };
        let stop = match self.stop {
            Some(StopRule::Failures(FailureRule { failures, drop_points })) => {
                format!(" at most, a cell until {failures} lose {drop_points} points or more")
            }
            Some(StopRule::HalfWidth(rule)) => format!(
                " at most, a cell until its 95 % interval is ± {} points or less, after {} trials or more",
                rule.half_width,
                rule.fewest_trials_text(self.changed_trials_only)
            ),
            None => String::new(),
        };
        let networks: Vec<String> = self.networks.iter().map(PlannedNetwork::lines).collect();
        format!(
            "{}{}\n{} cells x {} trials{changed} = {} trials{stop}, seed {}, {}{cost}{}\n\n{}",
            markdown(&columns, &self.cells.iter().take(MOST_CELLS).map(CellPlan::row).collect::<Vec<_>>()),
            cells_left_out(self.cells.len()),
            self.cells.len(),
            self.cell_trials,
            self.trials,
            self.seed,
            self.evaluated_on,
            self.design.as_ref().map_or(String::new(), Design::text),
            networks.join("\n"),
        )
    }
}

/// Result of a pilot for a cell.
struct Piloted {
    /// Mean seconds of a trial.
    seconds: f64,
    /// Standard deviation of the drops in points, times the weight of the trials.
    deviation: f64,
    /// Variances and overhead, if trials see blocks of at least two images.
    cell: Option<PilotedCell>,
}

impl Piloted {
    /// Half width of the 95 % interval of the mean over `trials` trials, in points; `None` if all drops were equal.
    fn interval(&self, trials: u64) -> Option<f64> {
        (self.deviation != 0.0).then(|| 1.96 * self.deviation / (trials as f64).sqrt())
    }
}

/// The experiment of a pilot that estimates variances: its trials see blocks of images, of `images` if it is told.
fn in_blocks(arguments: &Arguments, images: Option<u64>) -> Result<LoadedExperiment, Failure> {
    let loaded =
        LoadedExperiment::load(&arguments.experiment, &arguments.machine.data(), &Terminal::default())?;
    let images = match (loaded.experiment.images_per_trial(), images) {
        (Some(_), None) => return Ok(loaded),
        (_, images) => images.unwrap_or(PILOT_IMAGES),
    };
    let all = loaded.cells[0].evaluation.images;
    loaded.with_images_per_trial(images.clamp(1, all))
}

/// Time of evaluations.
#[derive(Clone, Copy, Default)]
struct Spent {
    seconds: f64,
    images: u64,
}

impl Spent {
    fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.images += other.images;
    }

    /// Seconds of one image more, if the other time is that of the same trials with fewer images; all that a trial costs beside its
    /// images is then in both.
    fn an_image(self, fewer: Self) -> Option<f64> {
        let images = self.images.checked_sub(fewer.images).filter(|&images| images > 0)?;
        Some((self.seconds - fewer.seconds) / images as f64).filter(|&seconds| seconds > 0.0)
    }
}

/// Trials of a pilot, and the seconds of drawing them.
struct Drawn {
    records: Vec<TrialRecord>,
    drawing: f64,
    evaluation: Spent,
}

fn drawn(
    recomputation: &mut Recomputation<'_>,
    cell: &CellSpec,
    trials: u64,
    done: &dyn Fn(),
) -> Result<Drawn, Failure> {
    let memory = recomputation.memory(cell)?;
    let cell_trials = CellTrials::new(&memory, cell).map_err(Failure::input)?;
    let mut drawn = Drawn { records: Vec::new(), drawing: 0.0, evaluation: Spent::default() };
    for number in 0..trials {
        let started = Instant::now();
        let trial = cell_trials.trial(number);
        let seconds = started.elapsed().as_secs_f64();
        drawn.drawing += seconds;
        let images = if trial.changes.is_empty() { 0 } else { cell.evaluation.images_of_trial() };
        drawn.records.push(recomputation.record(cell, number, trial)?);
        drawn.evaluation.add(Spent { seconds: started.elapsed().as_secs_f64() - seconds, images });
        done();
    }
    Ok(drawn)
}

/// Runs the first `trials` trials of each cell, and converts time and spread to trials that see `planned` images. The same trials in
/// the blocks of `small`, which has few images, tell what a trial costs beside its images: to draw its faults and to write
/// the changed weights.
fn pilot(
    loaded: &LoadedExperiment,
    small: Option<&LoadedExperiment>,
    trials: u64,
    planned: u64,
) -> Result<Vec<Piloted>, Failure> {
    let experiments: Vec<&LoadedExperiment> = small.into_iter().chain([loaded]).collect();
    let bar = bar(trials * (experiments.len() * loaded.cells.len()) as u64, "trials");
    let mut drawn_of = Vec::new();
    for experiment in experiments {
        let mut recomputation = Recomputation::new(experiment, &Terminal::default())?;
        let mut of_cell = |cell: &CellSpec| {
            bar.set_message(cell.label());
            drawn(&mut recomputation, cell, trials, &|| bar.inc(1))
        };
        drawn_of.push(experiment.cells.iter().map(&mut of_cell).collect::<Result<Vec<Drawn>, _>>()?);
    }
    let timed = drawn_of.pop().expect("of the experiment itself");
    let of_small = drawn_of.pop();
    // By network: cells of rare faults evaluate few images.
    let mut evaluated: BTreeMap<&str, [Spent; 2]> = BTreeMap::new();
    for (number, cell) in loaded.cells.iter().enumerate() {
        let [all, fewer] = evaluated.entry(&cell.network).or_default();
        if timed[number].evaluation.images > 0 {
            all.add(timed[number].evaluation);
            of_small.iter().for_each(|small| fewer.add(small[number].evaluation));
        }
    }
    bar.finish_and_clear();
    let piloted = loaded.cells.iter().zip(timed).enumerate().map(|(number, (cell, drawn))| {
        let Drawn { records, drawing, evaluation } = drawn;
        let weight = cell.changed_probability.unwrap_or(1.0);
        let n = trials as f64;
        let value = |record: &TrialRecord| match (record.scores.first(), record.block) {
            (Some(score), _) => *score,
            (None, None) => record.correct as f64,
            (None, Some(block)) => record.correct as f64 - block.clean_correct as f64,
        };
        let mean = records.iter().map(value).sum::<f64>() / n;
        let variance = records.iter().map(|record| (value(record) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let (block, images) = (cell.evaluation.images_of_trial(), cell.evaluation.images);
        let points = if cell.metrics.is_empty() { 100.0 / block as f64 } else { 1.0 };
        let variances = VarianceComponents::of_trials(&records, block, images);
        let [all, fewer] = evaluated[&cell.network[..]];
        let an_image = all.an_image(fewer).or_else(|| all.an_image(Spent::default()));
        let of_images = |spent: Spent| an_image.unwrap_or(0.0) * spent.images as f64;
        let writing = of_small.as_ref().map_or(0.0, |small| {
            let small = small[number].evaluation;
            (small.seconds - of_images(small)).max(0.0)
        });
        let (more_images, variance) = match variances {
            Some(found) if planned != block => {
                (planned as f64 / block as f64 - 1.0, found.of_drop(planned, images) / points.powi(2))
            }
            _ => (0.0, variance),
        };
        Piloted {
            seconds: (drawing + evaluation.seconds + more_images * of_images(evaluation)).max(0.0) / n,
            deviation: weight * points * variance.sqrt(),
            cell: variances.map(|VarianceComponents { between, within }| PilotedCell {
                variance: VarianceComponents {
                    between: weight.powi(2) * between,
                    within: weight.powi(2) * within,
                },
                overhead_images: an_image.map_or(0.0, |an_image| (drawing + writing) / n / an_image),
            }),
        }
    });
    Ok(piloted.collect())
}
