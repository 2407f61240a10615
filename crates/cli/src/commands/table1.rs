use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use analysis::{
    Measure, MeasuredNetwork, NetworkTable, PUBLISHED_NETWORKS, network_table_markdown, write_network_table,
};
use anyhow::{Context, anyhow};
use clap::Args;
use clap::builder::PossibleValuesParser;
use data::{DataError, FolderSource, ImageFolder, ImageSet, Split};
use ecc::{Constraint, TensorRanges};
use graph::{Graph, Preprocessing};
use serde::{Serialize, Serializer};
use zoo::{Bound, Selection};

use crate::terminal::document::{Document, Shown, paths};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Resources;
use crate::terminal::output::progress_line;
use crate::terminal::progress::Terminal;
use crate::terminal::quantization::RoundingOptions;
use crate::terminal::signals;
use harness::{
    Cut, DEFAULT_SIDE, Distribution, Failure, FloatNetwork, Observer, Ranges, agreeing, find_weights,
    int8_predict,
};

/// Size of the paper's subset of ImageNet's validation images.
const DEFAULT_IMAGES: usize = 5000;

const DEFAULT_CALIBRATION_IMAGES: usize = 512;

/// Stands for every network of the paper's table.
const ALL: &str = "all";

/// Classes of ImageNet, assumed until the weights tell the network's own number.
const CLASSES: usize = 1000;

const HELP: &str = "\
Weights: --weights holds one file for each network, with torchvision's name (resnet18-f37072fd.pth,
alexnet-owt-7be5be79.pth, inception_v3_google-0cc3c7bd.pth) or the plain name (resnet18.pth, .pt, .th,
.safetensors). All files are searched before the first measurement.

Images: --images is a directory in torchvision's layout, with DIR/val/CLASS/*.JPEG for the evaluation and
DIR/train/CLASS/*.JPEG for the activation ranges. Without train, val gives the ranges too, and the table says so.
The label of an image is the position of its class folder by name, so every class of the networks needs a folder.
With DIR/validation_labels.txt (`zerospace data fetch imagenet-labels`), some folders or ImageNet's flat val suffice.
If DIR/val (or DIR) holds image files without folders and there is no such file, the images have no labels, and
the table shows the agreement of the int8 network with the float network instead of accuracy. Every network gets
images of its own size, 299 pixels for inception_v3 and 224 for the others, and torchvision's normalization.

Weights have one scale per tensor, 127 / max|w|, or with --per-channel one per output channel. Activations have the
static ranges of `zerospace quantize`, or with --activations dynamic the ranges of each batch of --batch images, the
paper's protocol.

The networks are measured one after the other, so memory holds one at a time. With --out, table1.md and table1.csv
are written after each network; they also name weights, images and calibration by SHA-256.

Examples:
  zerospace table1 --models all --weights ~/.cache/torch/hub/checkpoints --images /data/imagenet
  zerospace table1 --models resnet18,squeezenet1_0 --weights weights --images imagenet --first 500 --out table1
  zerospace table1 --models all --weights weights --images imagenet --activations dynamic --out table1-dynamic";

/// Measure the paper's Table 1: float and int8 accuracy and the distribution of weights, beside its numbers
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Networks by torchvision's names, or `all` of the paper's table
    #[arg(long, value_name = "NAMES", required = true, value_delimiter = ',', value_parser = names())]
    models: Vec<String>,
    /// Directory of float weights, one file for each network
    #[arg(long, value_name = "DIR")]
    weights: PathBuf,
    /// Directory of images, with `val` and optionally `train` in it
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Number of evaluated images, the first by sorted class [default: 5000, or all if there are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    first: Option<u32>,
    /// Number of images that fix the activation ranges [default: 512, or all if there are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    calibration: Option<u32>,
    /// Folder for table1.md and table1.csv
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    rounding: RoundingOptions,
    #[command(flatten)]
    resources: Resources,
}

/// torchvision's networks.
fn names() -> PossibleValuesParser {
    let ours = ["resnet20", "squeezenet1_1_bn"];
    let theirs = zoo::ARCHITECTURES.iter().copied().filter(|name| !ours.contains(name));
    PossibleValuesParser::new(std::iter::once(ALL).chain(theirs))
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let models = models(&arguments.models).map_err(Failure::Input)?;
    let file = |model: &String| find_weights(&arguments.weights, model);
    let files: Vec<PathBuf> = models.iter().map(file).collect::<Result<_, _>>().map_err(Failure::Input)?;
    let mut measurement = Measurement::new(arguments).map_err(Failure::Input)?;
    if let Some(out) = &arguments.out {
        std::fs::create_dir_all(out).with_context(|| out.display().to_string()).map_err(Failure::Machine)?;
    }
    arguments.rounding.batch().map_err(Failure::Input)?;
    arguments.resources.start()?;

    let mut networks = Vec::new();
    let mut table = None;
    for (number, (model, file)) in (1..).zip(models.iter().zip(&files)) {
        networks.push(measurement.measure(model, file).map_err(Failure::Input)?);
        let so_far = NetworkTable::new(measurement.counts(), networks.clone()).map_err(Failure::input)?;
        if let Some(out) = &arguments.out {
            let write = || write_network_table(&so_far, out);
            let written = if number == models.len() { signals::last(write) } else { signals::whole(write) };
            written.map_err(Failure::machine)?;
        }
        table = Some(so_far);
    }
    let written = arguments.out.iter().map(|out| ["table1.md", "table1.csv"].map(|name| out.join(name)));
    arguments.shown.format.show(&Table {
        measure: measurement.counts(),
        networks: networks.iter().map(Measured::new).collect(),
        written: paths(&written.flatten().collect::<Vec<_>>()),
        markdown: network_table_markdown(&table.expect("at least one network is named")),
    });
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Table<'a> {
    #[serde(serialize_with = "word")]
    measure: Measure,
    networks: Vec<Measured<'a>>,
    written: Vec<String>,
    #[serde(skip)]
    markdown: String,
}

/// Writes the measure by its name in documents.
pub(crate) fn word<S: Serializer>(measure: &Measure, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(measure.word())
}

/// A network of the table: our counts and the paper's percentages.
#[derive(Serialize)]
struct Measured<'a> {
    network: &'a str,
    images: u64,
    image_set: &'a str,
    float_correct: u64,
    int8_correct: u64,
    magnitudes: [u64; 3],
    violations: u64,
    calibration: &'a str,
    weights_file: &'a str,
    weights_sha256: &'a str,
    images_digest: &'a str,
    published: Option<Published>,
}

#[derive(Serialize)]
struct Published {
    float_percent: f64,
    int8_percent: f64,
    magnitude_percent: Option<[f64; 3]>,
}

impl<'a> Measured<'a> {
    fn new(measured: &'a MeasuredNetwork) -> Self {
        let published = measured.published().map(|published| Published {
            float_percent: published.float_percent,
            int8_percent: published.int8_percent,
            magnitude_percent: published.magnitude_percent,
        });
        Self {
            network: &measured.architecture,
            images: measured.images,
            image_set: &measured.image_set,
            float_correct: measured.float_correct,
            int8_correct: measured.int8_correct,
            magnitudes: measured.magnitudes,
            violations: measured.violations,
            calibration: &measured.calibration,
            weights_file: &measured.weights_file,
            weights_sha256: &measured.weights_sha256,
            images_digest: &measured.images_digest,
            published,
        }
    }
}

impl Document for Table<'_> {
    const FORMAT: &'static str = "zerospace.table1/1";

    fn text(&self) -> String {
        format!("{}\n{}", self.markdown, self.written.join("\n"))
    }
}

/// Expands `all` and refuses repeated networks; keeps the order.
fn models(named: &[String]) -> anyhow::Result<Vec<String>> {
    let mut models: Vec<String> = Vec::new();
    for name in named {
        let meant = match name.as_str() {
            ALL => PUBLISHED_NETWORKS.iter().map(|network| network.architecture.to_string()).collect(),
            _ => vec![name.clone()],
        };
        for model in meant {
            if models.contains(&model) {
                return Err(anyhow!("--models names {model} twice, expected each network once"));
            }
            models.push(model);
        }
    }
    Ok(models)
}

/// The images on which all networks are measured.
struct Measurement<'a> {
    arguments: &'a Arguments,
    evaluation: Part,
    calibration: Part,
    /// Notes on images that have been printed.
    told: BTreeSet<String>,
}

/// The first images of a folder; all if there is no number.
struct Part {
    folder: ImageFolder,
    images: Option<usize>,
}

impl Part {
    fn new(folder: ImageFolder, asked: Option<u32>, default: usize) -> Result<Self, DataError> {
        let available = folder.len();
        let images = asked.map(|n| n as usize).or_else(|| Some(default).filter(|&n| n < available));
        match images {
            Some(asked) if asked > available => {
                Err(DataError::NotEnough { name: folder.dir().display().to_string(), asked, available })
            }
            _ => Ok(Self { folder, images }),
        }
    }
}

impl<'a> Measurement<'a> {
    fn new(arguments: &'a Arguments) -> anyhow::Result<Self> {
        let dir = &arguments.images;
        let source = FolderSource::found_in(dir)?;
        let evaluation = ImageFolder::open_in(dir, source, Split::Test)?;
        let calibration = match dir.join("train").is_dir() {
            true => ImageFolder::open_in(dir, source, Split::Train)?,
            false => evaluation.clone().in_turns(),
        };
        Ok(Self {
            arguments,
            evaluation: Part::new(evaluation, arguments.first, DEFAULT_IMAGES)?,
            calibration: Part::new(calibration, arguments.calibration, DEFAULT_CALIBRATION_IMAGES)?,
            told: BTreeSet::new(),
        })
    }

    fn is_labelled(&self) -> bool {
        self.evaluation.folder.is_labelled()
    }

    /// Measure that the images allow.
    fn counts(&self) -> Measure {
        if self.is_labelled() { Measure::Accuracy } else { Measure::Agreement }
    }

    /// Decodes the images of a part for a network, or takes them from the cache.
    fn images(&mut self, part: fn(&Self) -> &Part, side: usize) -> anyhow::Result<ImageSet> {
        let Part { folder, images } = part(self);
        let data = self.arguments.resources.data_in(&self.arguments.images);
        let decoded = data.decode(folder, *images, Cut { side, ..Cut::DEFAULT }, &Terminal::default())?;
        for note in decoded.notes {
            if self.told.insert(note.clone()) {
                progress_line(&note);
            }
        }
        Ok(decoded.set)
    }

    fn measure(&mut self, model: &str, file: &Path) -> anyhow::Result<MeasuredNetwork> {
        let (side, preprocessing) = input_of(model);
        let (graph, Bound { parameters, reading }) = self.float_network(model, file, side)?;
        let float = FloatNetwork {
            graph: &graph,
            parameters: &parameters,
            preprocessing: &preprocessing,
            source: file,
            reading: &reading,
        };
        // Float weights go before the calibration, and the images that are evaluated come back after it, so that
        // never all are in memory.
        let rounded = float.rounded(self.arguments.rounding.rule(), &TensorRanges::NONE)?;
        let images = self.images(|part| &part.evaluation, side)?;
        let observer = Terminal::default();
        observer.begin(2 * images.len() as u64, "images");
        observer.subject(&format!("{model}, float"));
        let (predictions, float_seconds) = timed(|| float.predict(&images, &observer))?;
        drop((parameters, images));
        observer.subject(&format!("{model}, ranges of activations"));
        let batch = self.arguments.rounding.batch()?;
        let calibration = match batch {
            Some(_) => None,
            None => Some(self.images(|part| &part.calibration, side)?),
        };
        let ranges = Ranges::new(batch, calibration.as_ref());
        let (checkpoint, ranges_seconds) = timed(|| rounded.with_ranges(ranges, &()))?;
        drop(calibration);
        let images = self.images(|part| &part.evaluation, side)?;
        let images_digest = images.digest();
        let images = match self.is_labelled() {
            true => images,
            false => images.with_labels(graph.spec().classes, predictions.clone())?,
        };
        observer.subject(&format!("{model}, int8"));
        let (int8, int8_seconds) = timed(|| int8_predict(&checkpoint, &images, &observer))?;
        observer.end();
        progress_line(&format!(
            "{model}: {} images: float {float_seconds:.2} s, ranges {ranges_seconds:.2} s, int8 {int8_seconds:.2} s",
            images.len()
        ));

        let weights = Distribution::of_all(&checkpoint.weights);
        let provenance = checkpoint.into_contents().provenance;
        let from_evaluation = self.calibration.folder.dir() == self.evaluation.folder.dir();
        let calibration = match from_evaluation && batch.is_none() {
            true => format!("{}, for want of training images", provenance.calibration),
            false => provenance.calibration,
        };
        Ok(MeasuredNetwork {
            architecture: model.into(),
            weights_file: provenance.source,
            weights_sha256: provenance.source_sha256,
            image_set: format!("{} {}", images.name(), images.split()),
            images: images.len() as u64,
            float_correct: agreeing(&predictions, &images) as u64,
            int8_correct: agreeing(&int8, &images) as u64,
            magnitudes: weights.magnitudes.map(|n| n as u64),
            violations: weights.violations as u64,
            storable: Constraint::WOT.to_string(),
            images_digest,
            calibration,
            calibration_digest: provenance.calibration_digest,
            dynamic_ranges: batch.is_some(),
            scales_per_channel: self.arguments.rounding.per_channel,
        })
    }

    /// Reads a network with the number of classes of its weights, which labelled images must have too.
    fn float_network(&self, model: &str, path: &Path, side: usize) -> anyhow::Result<(Graph, Bound)> {
        let file = zoo::read_checkpoint(path)?;
        let build = |classes| zoo::build(&zoo::model(model, None, 1.0, classes, [3, side, side])?);
        let published = build(CLASSES)?;
        let selection = Selection::default();
        let weights = published.stored_weights();
        let last = weights.last().and_then(|weight| file.shape(&published, &selection, &weight.name));
        let classes = last.and_then(|shape| shape.first().copied()).unwrap_or(CLASSES);
        let graph = build(classes)?;
        let bound = file.bind(&graph, &selection)?;
        let folder = &self.evaluation.folder;
        if self.is_labelled() && folder.classes().len() != classes {
            return Err(anyhow!(
                "{} holds {} class folders, expected {classes}, one for each class of {}: labels are the positions \
                 of the folders by name (or of WordNet ids, with the file of `zerospace data fetch imagenet-labels`)",
                folder.dir().display(),
                folder.classes().len(),
                path.display()
            ));
        }
        Ok((graph, bound))
    }
}

/// Returns the result of some work and its seconds.
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let began = Instant::now();
    Ok((work()?, began.elapsed().as_secs_f64()))
}

/// Rows and columns of torchvision's network, and its normalization.
fn input_of(model: &str) -> (usize, Preprocessing) {
    let (side, mean, std) = match model {
        "inception_v3" => (299, [0.5; 3], [0.5; 3]),
        _ => (DEFAULT_SIDE, Preprocessing::IMAGENET_MEAN, Preprocessing::IMAGENET_STD),
    };
    (side, Preprocessing::new(mean.to_vec(), std.to_vec()).expect("torchvision's numbers are valid"))
}
