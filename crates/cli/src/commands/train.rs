use std::path::{Path, PathBuf};

use analysis::{Training, TrainingCheck, Trainings, write_trainings};
use anyhow::{Context, anyhow};
use clap::Args;
use data::{FolderSource, ImageSet};
use ecc::{Constraint, TensorRanges};
use graph::{Graph, Preprocessing};
use quant::{Activations, Checkpoint, Contents, Parameters, Provenance};
use wot::{Check, Trainer};
use zoo::{OnnxFile, OnnxModel};

use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{self, lines, markdown, percent, progress_line};
use crate::terminal::progress::{Terminal, bar, log_line};
use crate::terminal::signals;
use harness::{
    Cut, Failure, FloatFile, FloatNetwork, PreprocessingFile, Ranges, Recipe, Rounding, SYNTHETIC_SHORT,
    Stage, TrainingLog, check_fit, fold_empty_filters, int8_top1, is_synthetic, network_text, violations,
};

/// Number of training images that fix the activation scales of the quantized float network.
const CALIBRATION_IMAGES: usize = 512;

/// Explanation of the columns of the final table.
const TABLE: &str = "\
Accuracy on test images, which took no part in training. *Violations*: weights after training
that the protection of the training cannot store (for int8: in-place-64-57). *Clamped at the end*: weights that training left out of range and the last step clamped.";

const HELP: &str = "\
A recipe (TOML) names a network, a data set and stages: a float training from scratch or an imported network (a
state dict with its architecture, or an ONNX model, which has its own layers), then any number of int8 trainings.
Each int8 training starts from the float network and brings the weights into the range of its protection. Weights
have one scale per tensor, which the training keeps. Images held out of the training split judge the networks; the
test split only measures the results.

The folder receives int8.safetensors (the quantized float network), an int8 checkpoint for each training, its
log with every check, its state, and the final table in training.md. After a kill the same command resumes at
the last check and reaches the same weights; after Ctrl-C, SIGTERM or SIGUSR1 the last line on stderr is that
command.

In a log, large_values counts the weights that the protection of the stage cannot store, before they are
throttled. It is 0 for a protection that stores any weight.

At the end the command draws two figures of all int8 trainings against iterations, as SVG and PNG:
large-values shows these counts with the range of each training, and throttled-accuracy shows the held-out
accuracy before and after throttling. --figures-only draws them again from the logs at any time, also while a
training runs, and needs nothing but logs.

Examples:
  zerospace train experiments/recipes/resnet18-synthetic.toml
  zerospace train experiments/recipes/resnet18-synthetic.toml --seed 2
  zerospace train experiments/recipes/resnet18-synthetic.toml --figures-only";

/// Train a network whose int8 weights leave room for a code (WOT)
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Recipe file (TOML)
    recipe: PathBuf,
    /// Folder for the results [default: runs/train/NAME, with the recipe's name, and -seed-N after --seed N]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Train with this seed in the place of the recipe's: another training of the same networks
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Draw the figures from the logs in the folder, without training or images
    #[arg(long)]
    figures_only: bool,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    arguments.machine.start()?;
    let mut recipe = Recipe::load(&arguments.recipe).map_err(Failure::Input)?;
    let mut folder = recipe.name.clone();
    if let Some(seed) = arguments.seed {
        recipe.seed = seed;
        folder += &format!("-seed-{seed}");
    }
    let out = arguments.out.clone().unwrap_or_else(|| Path::new("runs/train").join(folder));
    if arguments.figures_only {
        let drawn = signals::last(|| draw(&recipe, &out)).map_err(Failure::Input)?;
        if drawn.is_empty() {
            let nothing = anyhow!("{}: no log of an int8 training of {}", out.display(), recipe.name);
            return Err(Failure::Input(nothing));
        }
        output::data(&lines(&drawn));
        return Ok(Outcome::Done);
    }
    let data = &recipe.data;
    if data.set == FolderSource::Images.name() {
        let message = "data.set is \"images\", expected a set with labels to train on";
        return Err(Failure::Input(anyhow!("{}: {message}", arguments.recipe.display())));
    }
    let in_recipe = |error: anyhow::Error| error.context(arguments.recipe.display().to_string());
    let onnx = read_onnx(&recipe).map_err(in_recipe).map_err(Failure::Input)?;
    let described = recipe.network.preprocessing_file().map_err(in_recipe).map_err(Failure::Input)?;
    let input = onnx.as_ref().map(|onnx| onnx.model.input);
    let cut = Cut::chosen(&data.set, data.side, input, described.as_ref());
    let cut = cut.map_err(in_recipe).map_err(Failure::Input)?;
    let (sets, observer) = (arguments.machine.data(), Terminal::default());
    let training = sets.images(&data.set, "train", data.images, cut, &observer)?.set;
    let test = sets.images(&data.set, "test", data.test_images, cut, &observer)?.set;
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string()).map_err(Failure::Machine)?;
    let rows = Job::new(&recipe, &out, &training, onnx, described.as_ref())
        .and_then(|job| job.run(&arguments.recipe, &test))
        .map_err(in_recipe)
        .map_err(Failure::Input)?;
    let columns = [
        "network",
        ">correct",
        ">images",
        ">top-1 %",
        ">against int8, points",
        ">iterations",
        ">violations",
        ">clamped at the end",
    ];
    let mut table = markdown(&columns, &rows);
    if test.is_synthetic() {
        table += &format!("\n{SYNTHETIC_SHORT}.\n");
    }
    let mut written = vec![out.join("training.md")];
    let page = format!("# {}, seed {}: {}\n\n{TABLE}\n\n{table}", recipe.name, recipe.seed, recipe.network);
    let figures = signals::last(|| {
        durable::write(&written[0], page.as_bytes()).with_context(|| written[0].display().to_string())?;
        draw(&recipe, &out)
    });
    written.extend(figures.map_err(Failure::Machine)?);
    output::data(&format!("{table}\n{}\n{}", out.display(), lines(&written)));
    Ok(Outcome::Done)
}

/// Reads the ONNX model of a recipe that names no architecture.
fn read_onnx(recipe: &Recipe) -> anyhow::Result<Option<OnnxModel>> {
    let network = &recipe.network;
    let (None, Some(file)) = (&network.architecture, &network.import) else { return Ok(None) };
    match zoo::read_any_onnx(file, network.onnx_output.as_deref()) {
        Ok(OnnxFile::Float(onnx)) => Ok(Some(onnx)),
        Ok(OnnxFile::Quantized(_)) => Err(anyhow!(
            "{}: the network is already quantized and keeps its own levels, expected the float network that it was made from",
            file.display()
        )),
        Err(error) if error.is_no_onnx() => {
            Err(anyhow!("{error}, or the architecture of a state dict as network.architecture"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Draws the int8 trainings of a recipe from the logs that are in `out`; returns the files, none without logs.
fn draw(recipe: &Recipe, out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut trainings = Vec::new();
    for stage in &recipe.wot {
        let path = out.join(format!("{}.csv", stage.name));
        if path.exists() {
            let log = TrainingLog::read(&path)?;
            let checks = log.checks().iter().filter_map(drawn_check).collect();
            let storable = stage.storable().ranges().to_string();
            trainings.push(Training { name: stage.name.clone(), storable, checks });
        }
    }
    if trainings.is_empty() {
        return Ok(Vec::new());
    }
    let network = format!("{}: {}", recipe.name, recipe.network);
    let note = if is_synthetic(&recipe.data.set) { SYNTHETIC_SHORT } else { "" };
    let trainings = Trainings::new(&network, note, trainings).with_context(|| out.display().to_string())?;
    Ok(write_trainings(&trainings, out)?)
}

/// Line of a log on a check of a training.
fn checked(name: &str, iterations: u64, check: &Check) -> String {
    let Check { iteration, loss, validation_images, correct, throttled } = check;
    let throttled = throttled.as_ref().map_or(String::new(), |throttled| {
        format!(", {} after {} out of range are clamped", throttled.correct, throttled.large_values)
    });
    // The check before the first iteration has no loss.
    let loss = if loss.is_nan() { String::new() } else { format!(", loss {loss:.3}") };
    format!(
        "{name}: iteration {iteration} of {iterations}{loss}, {correct} of {validation_images} held-out images correct{throttled}"
    )
}

/// Counts of a check of an int8 training for the figures.
fn drawn_check(check: &Check) -> Option<TrainingCheck> {
    check.throttled.as_ref().map(|throttled| TrainingCheck {
        iteration: check.iteration,
        large_values: throttled.large_values as u64,
        images: check.validation_images as u64,
        correct: check.correct as u64,
        throttled_correct: throttled.correct as u64,
    })
}

/// A recipe with the state that its trainings share.
struct Job<'a> {
    recipe: &'a Recipe,
    out: &'a Path,
    training: &'a ImageSet,
    graph: Graph,
    preprocessing: Preprocessing,
    /// The imported network; absent if the recipe trains from scratch.
    imported: Option<FloatFile>,
}

impl<'a> Job<'a> {
    fn new(
        recipe: &'a Recipe,
        out: &'a Path,
        training: &'a ImageSet,
        onnx: Option<OnnxModel>,
        described: Option<&PreprocessingFile>,
    ) -> anyhow::Result<Self> {
        let (network, shape) = (&recipe.network, training.shape());
        let preprocessing = network.preprocessing(described, shape.channels)?;
        let mut imported = match (&network.architecture, &network.import) {
            (None, Some(file)) => {
                let onnx = onnx.expect("what names no architecture was read as an ONNX model");
                check_fit(&onnx.model, training)?;
                FloatFile::from_onnx(file, onnx, &preprocessing)?
            }
            (Some(architecture), import) => {
                let input = [shape.channels, shape.height, shape.width];
                let classes = training.classes();
                let model = zoo::model(architecture, network.variant, network.width, classes, input)?;
                let Some(file) = import else {
                    let graph = zoo::build(&model)?;
                    return Ok(Self { recipe, out, training, graph, preprocessing, imported: None });
                };
                FloatFile::from_state_dict(file, &model, &network.selection(), &preprocessing)?
            }
            (None, None) => unreachable!("a recipe names an architecture or a file, which was checked"),
        };
        if let Some(described) = described {
            imported.note(described.sentence());
        }
        let FloatNetwork { graph, preprocessing, .. } = imported.network();
        let (graph, preprocessing) = (graph.clone(), preprocessing.clone());
        Ok(Self { recipe, out, training, graph, preprocessing, imported: Some(imported) })
    }

    /// Runs all stages; returns a table row for each network.
    fn run(&self, file: &Path, test: &ImageSet) -> anyhow::Result<Vec<Vec<String>>> {
        let (parameters, reading) = self.float_network()?;
        let calibration = self.training.take(self.training.len().min(CALIBRATION_IMAGES))?;
        let float = FloatNetwork {
            graph: &self.graph,
            parameters: &parameters,
            preprocessing: &self.preprocessing,
            source: self.recipe.network.import.as_deref().unwrap_or(file),
            reading: &reading,
        };
        let int8 = float.quantized(
            Rounding::default(),
            &TensorRanges::NONE,
            Ranges::Calibration(&calibration),
            &(),
        )?;
        signals::whole(|| int8.save(&self.out.join("int8.safetensors")))?;

        let (images, observer) = (test.len(), Terminal::default());
        let baseline = int8_top1(&int8, test, &observer)?;
        let row = |name: &str, correct: usize, rest: [String; 3]| {
            let top1 = percent(correct, images);
            let against = format!("{:+.2}", top1 - percent(baseline, images));
            let mut row =
                vec![name.into(), correct.to_string(), images.to_string(), format!("{top1:.2}"), against];
            row.extend(rest);
            row
        };
        let none = String::new;
        let mut rows = vec![
            row("float", float.top1(test, &observer)?, [none(), none(), none()]),
            row(
                "int8",
                baseline,
                [none(), violations(&int8.weights, &Constraint::WOT.into()).to_string(), none()],
            ),
        ];
        for stage in &self.recipe.wot {
            let (trainer, log) = self.train(stage, parameters.clone())?;
            let iterations = trainer.iteration();
            let trained = trainer.finish()?;
            let last = log.last().expect("a training gives a check before its first iteration");
            let held_out = last.throttled.as_ref().map_or(last.correct, |t| t.correct);
            let mut contents = Contents {
                model: self.graph.spec().clone(),
                layers: self.graph.layers().to_vec(),
                preprocessing: self.preprocessing.clone(),
                weights: trained.weights,
                parameters: trained.parameters,
                activations: Activations::Static(trained.activations),
                provenance: Provenance {
                    calibration: format!("{}, moving ranges while training", self.training.name()),
                    calibration_digest: self.training.digest(),
                    weight_edits: format!(
                        "{} of recipe {}, seed {}, {iterations} iterations: {held_out} of {} held-out images correct, {} weights clamped at the end",
                        stage.name,
                        self.recipe.name,
                        self.recipe.seed,
                        last.validation_images,
                        trained.clamped_at_end
                    ),
                    ..int8.provenance.clone()
                },
            };
            fold_empty_filters(&mut contents, &self.graph);
            let checkpoint = Checkpoint::new(contents)?;
            signals::whole(|| checkpoint.save(&self.out.join(format!("{}.safetensors", stage.name))))?;
            let rest = [
                iterations.to_string(),
                violations(&checkpoint.weights, &stage.storable().ranges()).to_string(),
                trained.clamped_at_end.to_string(),
            ];
            rows.push(row(&stage.name, int8_top1(&checkpoint, test, &observer)?, rest));
        }
        Ok(rows)
    }

    fn describe(&self, reading: &[String]) {
        let (model, set) = (self.graph.spec(), &self.recipe.data.set);
        let layers = self.graph.layers();
        let lines = network_text::description(model, layers, reading, &self.preprocessing, set);
        lines.iter().for_each(|line| progress_line(line));
    }

    /// Parameters of the float network, trained by the recipe or imported, and the choices made on reading its file.
    fn float_network(&self) -> anyhow::Result<(Parameters, Vec<String>)> {
        match (&self.recipe.float, &self.imported) {
            (Some(stage), _) => {
                self.describe(&[]);
                let start = wot::initialize(&self.graph, self.recipe.seed);
                Ok((self.train(stage, start)?.0.parameters(), Vec::new()))
            }
            (None, Some(imported)) => {
                let FloatNetwork { parameters, reading, .. } = imported.network();
                self.describe(reading);
                Ok((parameters.clone(), reading.to_vec()))
            }
            (None, None) => unreachable!("a recipe without a float stage imports, which was checked"),
        }
    }

    /// Trains one stage to its end, or goes on with it.
    fn train(&self, stage: &Stage, start: Parameters) -> anyhow::Result<(Trainer, TrainingLog)> {
        let name = &stage.name;
        let tensors = self.graph.stored_weights();
        let ranges = stage.storable().ranges_of(tensors.iter().map(|spec| &spec.name[..]))?;
        let recipe = stage.recipe(self.recipe.seed, self.recipe.data.validation, ranges);
        let checks = (recipe.check_every, recipe.validation.images);
        let state = self.out.join(format!("{name}.state"));
        let log = self.out.join(format!("{name}.csv"));
        let (mut trainer, mut log) = if state.exists() {
            let trainer = Trainer::resume(&self.graph, &start, &self.preprocessing, recipe, &state)?;
            let done = trainer.iteration();
            (trainer, TrainingLog::resume(&log, done)?)
        } else {
            let trainer = Trainer::new(&self.graph, start, &self.preprocessing, recipe)?;
            (trainer, TrainingLog::begin(&log))
        };
        let bar = bar(stage.iterations, &format!("iterations of {name}"));
        log_line(&format!(
            "{name}: {} of {} iterations are done, on {} images of {} {}, checked every {} on {} of them",
            trainer.iteration(),
            stage.iterations,
            self.training.len(),
            self.training.name(),
            self.training.split(),
            checks.0,
            checks.1,
        ));
        bar.begin_at(trainer.iteration());
        while !(stage.early_stop && log.reached_the_baseline()) {
            let check = trainer.next_check(self.training, |done, loss| {
                bar.set_position(done);
                bar.set_message(format!("loss {loss:.3}"));
            })?;
            let Some(check) = check else { break };
            log_line(&checked(name, stage.iterations, &check));
            // The log first: a check whose state is lost to a kill comes again.
            signals::whole(|| {
                log.push(check)?;
                anyhow::Ok(trainer.save(&state)?)
            })?;
        }
        bar.finish_and_clear();
        progress_line(&format!("{name}: {} iterations", trainer.iteration()));
        Ok((trainer, log))
    }
}
