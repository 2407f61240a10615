use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use data::{DataError, ImageSet};
use ecc::{Constraint, TensorRanges};
use graph::{Preprocessing, Variant};
use quant::{Checkpoint, QuantTensor};
use zoo::{OnnxFile, OnnxModel, QuantizedModel};

use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::names::{Named, image_sets, protections, variants};
use crate::terminal::output::{self, markdown, percent, progress_line};
use crate::terminal::progress::Terminal;
use crate::terminal::quantization::{RoundingOptions, Within};
use crate::terminal::signals;
use harness::network_text;
use harness::{
    Clamping, Cut, Failure, FloatFile, FloatNetwork, PreprocessingFile, Ranges, Storable, agreeing,
    check_fit, clampings, given_checkpoint, has_image_files, int8_predict, int8_top1, observed, throttled,
    violations,
};

/// Default number of classes of a network for images without labels: ImageNet's.
const DEFAULT_CLASSES: usize = 1000;

const HELP: &str = "\
Weights have one symmetric scale per tensor, 127 / max|w|, and round half to even (the paper's rule), or with
--per-channel one scale per output channel. --scale least-error takes the scale with the least squared error of the
levels. With --throttle it leaves few weights to clamp, so that clamping costs little without any training.
Activations have 8 bits. The first training images fix static ranges; convolution, batch norm and ReLU round once, at
their end. Dynamic ranges are the protocol of the paper and of Distiller: each layer takes the ranges of its input and
its output from the batch of images, and batch norms and ReLUs compute in float in between. The prediction of an image
then depends on the other images of its batch, and every trial of a campaign is a full pass.

Images of a folder (imagenet: DIR/imagenet/val/CLASS/*.JPEG, for calibration DIR/imagenet/train) are resized and cropped
as for torchvision's networks: the shorter side to 256 pixels, then the middle 224 x 224. The set `images` is any folder
of images without labels (DIR/images, for calibration DIR/images/train); the command then prints agreement with the
float network instead of accuracy.

In-place protection stores its check bits in bit 6 of weights 0 to 6 of every 8, which must equal their sign bit.
--throttle clamps the weights into the range that this leaves, and the command prints the range and the cost in
accuracy. --throttle=PROTECTION clamps into the range of another protection, and --throttle=CODES.toml each tensor
into the range of its code (`zerospace search-codes` writes such a file); `zerospace train` reaches a range without
this cost, for ONNX models too. Without --throttle the weights are kept, and a second table says for each range that
protections need how many weights lie outside it and what clamping them alone costs, with the scales of weights and
activations that the checkpoint has.

An ONNX model (operator sets 7 to 28) has its own layers and needs no --arch; its classes and image size must be those of
the set. The memory holds its weights of two or more dimensions in the order of its nodes; weights of MatMul, and of
Gemm without transB, are transposed to (output, input). The command prints the choices made on reading the model, and
the checkpoint keeps them. The model's arithmetic on the image is combined with --mean and --std; a model that takes
bytes ignores these two.

An ONNX model that is already quantized (QDQ or QOperator, for example by onnxruntime.quantization) keeps its weights, scales,
zero points and biases, and is run by the rule `ort`: the arithmetic of ONNX Runtime with session.x64quantprecision=1,
bit for bit. Nothing is calibrated. --throttle clamps its weights; other options that change them are refused.

A TensorFlow Lite model (.tflite) of int8 or uint8 levels keeps the same, and is run by the rule `tflite-reference`: the arithmetic
of the reference kernels of LiteRT, bit for bit. If its input takes bytes and neither --mean nor --std is given, the byte
of a pixel is its level.

A name of torchvision means torchvision's layers at any image size; at 32 x 32 pixels its stem leaves little of an image.
Networks for CIFAR usually have another stem: --variant cifar, a first convolution of 3x3 with stride 1 and no max pool
(cifar-maxpool: with the max pool). The command prints and stores the variant.

Pixels are divided by 255; then --mean is subtracted and --std divides, for red, green and blue in this order.
torchvision's pretrained inception_v3 expects --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5. Without these options a file beside the
checkpoint decides, if there is one: preprocessor_config.json (Hugging Face), or config.json with pretrained_cfg (timm);
--preprocessing names such a file elsewhere. Its mean, standard deviation and image size are taken, the command says so, and the
checkpoint keeps it. A file that resizes images in another way is refused for image files.

Examples:
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 -o resnet20.safetensors
  zerospace quantize mobilenet.onnx --set cifar10 -o mobilenet.safetensors
  zerospace quantize mobilenet-int8.onnx --set cifar10 -o mobilenet-int8.safetensors
  zerospace quantize resnet8-int8.tflite --set cifar10 -o resnet8-int8.safetensors
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 --throttle -o throttled.safetensors
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 --throttle=in-place-msb-48-24 --scale least-error -o five-bit.safetensors
  zerospace quantize resnet18-f37072fd.pth --arch resnet18 --set imagenet --images 5000 -o resnet18.safetensors
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 --activations dynamic -o dynamic.safetensors";

/// Quantize a float checkpoint to int8 and measure the cost in accuracy
///
/// Reads PyTorch files (zip and legacy pickle, without running code in them) and safetensors, with the architecture of
/// --arch, and ONNX models; of models that are already quantized, also TensorFlow Lite files.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Float checkpoint: a PyTorch state dict (.pth, .th, .pt, .tar), safetensors, or an ONNX model
    checkpoint: PathBuf,
    /// Architecture of a state dict; an ONNX model needs none
    #[arg(long = "arch", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(zoo::ARCHITECTURES))]
    architecture: Option<String>,
    /// Variant of the architecture, if it has several: torchvision's layers, or a stem for small images, without
    /// (cifar) or with (cifar-maxpool) torchvision's max pool [default: torchvision]
    #[arg(long, value_name = "NAME", requires = "architecture", value_parser = Named(variants), hide_possible_values = true)]
    variant: Option<String>,
    /// Output of an ONNX model that holds the logits, if it has several outputs
    #[arg(long, value_name = "NAME", conflicts_with = "architecture")]
    onnx_output: Option<String>,
    /// File for the int8 checkpoint
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Data set: its first training images fix the activation scales, its test images measure accuracy. A name of `data
    /// list`, or a file: .npz or .npy with arrays of images and labels, .csv with paths and labels
    #[arg(long, value_name = "NAME", default_value = "cifar10", value_parser = Named(image_sets), hide_possible_values = true)]
    set: String,
    /// Multiplier on the channel counts
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "architecture")]
    width: f64,
    /// Clamp the weights into the range of a protection, without a name that of in-place-64-57, or each tensor into the range
    /// of its code in the file of a code map (.toml)
    #[arg(long, value_name = "PROTECTION", num_args = 0..=1, require_equals = true, default_missing_value = "in-place-64-57", value_parser = Named(protections), hide_possible_values = true)]
    throttle: Option<String>,
    /// Rows and columns to which image files are cut; the shorter side is resized to 8/7 of it before
    /// (299 for Inception) [default: 224, or what an ONNX model takes]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(1..))]
    side: Option<u16>,
    /// Classes of the network [default: those of the data set; 1000 for images without labels]
    #[arg(long, value_name = "N", requires = "architecture", value_parser = clap::value_parser!(u16).range(1..))]
    classes: Option<u16>,
    /// Split whose first images fix the activation scales: `train`, or `test` if there is no other; of image files,
    /// those of all classes in turns
    #[arg(long, value_name = "SPLIT", default_value = "train", value_parser = Named(|| vec!["train", "test"]), hide_possible_values = true)]
    calibration_split: String,
    /// Number of images that fix the activation scales
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    calibration_images: u32,
    /// Number of test images for the accuracy [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Mean of each input channel, of pixels in [0, 1] [default: ImageNet's; with --std, that by which pixels are the levels
    /// of a TensorFlow Lite model that takes bytes]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each input channel [default: as for --mean]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// Preprocessing file of the model [default: preprocessor_config.json or timm's config.json beside the checkpoint]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mean", "std"])]
    preprocessing: Option<PathBuf>,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    rounding: RoundingOptions,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    arguments.machine.start()?;
    check_folder(&arguments.output)?;
    let throttle = arguments.throttle.as_deref().map(|name| Storable::named(name, Path::new("")));
    let throttle = throttle.transpose().context("--throttle").map_err(Failure::Input)?;
    let set = &arguments.set;
    let variant: Option<Variant> = arguments
        .variant
        .as_deref()
        .map(str::parse)
        .transpose()
        .context("--variant")
        .map_err(Failure::Input)?;
    if let Some(architecture) = &arguments.architecture {
        // A variant that does not exist is refused before any image is read.
        zoo::model(architecture, variant, arguments.width, 1, [3, 1, 1]).map_err(Failure::input)?;
    }
    if let (Some(side), false) = (arguments.side, has_image_files(set)) {
        let message = format!("--side is {side}, but images of {set} have a size of their own");
        return Err(Failure::Input(anyhow!(message)));
    }
    let described = preprocessing_file(arguments).map_err(Failure::Input)?;
    let described = described.as_ref();
    let onnx = match arguments.architecture {
        Some(_) => None,
        None if zoo::is_tflite(&arguments.checkpoint) => {
            if arguments.onnx_output.is_some() {
                let message = "--onnx-output is given, but the file is a TensorFlow Lite model";
                return Err(Failure::Input(anyhow!(message)));
            }
            let read = zoo::read_tflite(&arguments.checkpoint).map_err(Failure::input)?;
            return already_quantized(arguments, read, described, throttle.as_ref());
        }
        None => match read_onnx(arguments).map_err(Failure::Input)? {
            OnnxFile::Quantized(quantized) => {
                return already_quantized(arguments, quantized, described, throttle.as_ref());
            }
            OnnxFile::Float(onnx) => Some(onnx),
        },
    };
    let input = onnx.as_ref().map(|onnx| onnx.model.input);
    let cut = Cut::chosen(set, arguments.side.map(usize::from), input, described).map_err(Failure::Input)?;
    let (data, observer) = (arguments.machine.data(), Terminal::default());
    let batch = arguments.rounding.batch().map_err(Failure::Input)?;
    let training = match batch {
        Some(_) => None,
        None => {
            let (split, count) = (&arguments.calibration_split, arguments.calibration_images as usize);
            let images = data.calibration_images(set, split, count, cut, &observer);
            Some(images.map_err(|failure| without_training_images(failure, arguments))?.set)
        }
    };
    let ranges = Ranges::new(batch, training.as_ref());
    let test = data.images(set, "test", arguments.images.map(|n| n as usize), cut, &observer)?.set;
    let preprocessing = preprocessing(arguments, described, test.shape().channels).map_err(Failure::Input)?;
    let mut file = float_file(arguments, variant, onnx, &test, &preprocessing).map_err(Failure::Input)?;
    if let Some(described) = described {
        file.note(described.sentence());
    }
    let network = file.network();
    let FloatNetwork { graph, preprocessing, reading, .. } = network;
    let tensors = graph.stored_weights();
    let throttle =
        throttle.map(|storable| storable.ranges_of(tensors.iter().map(|spec| &spec.name[..]))).transpose();
    let throttle = throttle.context("--throttle").map_err(Failure::Input)?;
    let description = network_text::description(graph.spec(), graph.layers(), reading, preprocessing, set);
    output::data(&description.join("\n"));
    progress_line("float network ...");
    let predictions =
        observed(&test, &observer, || network.predict(&test, &observer)).map_err(Failure::Input)?;
    let labelled = test.is_labelled();
    let test = match labelled {
        true => test,
        false => test.with_labels(graph.spec().classes, predictions.clone()).map_err(Failure::input)?,
    };
    let float = agreeing(&predictions, &test);
    progress_line("int8 network ...");
    let warning = network_text::at_chance(float, &test, graph.spec(), preprocessing);
    let mut checkpoint = network
        .quantized(arguments.rounding.rule(), &TensorRanges::NONE, ranges, &())
        .map_err(Failure::Input)?;
    let total: usize = checkpoint.weights.iter().map(|w| w.values().len()).sum();
    let mut rows = vec![row("float", float, float, test.len())];
    let int8 = int8_top1(&checkpoint, &test, &observer).map_err(Failure::Input)?;
    rows.push(row("int8", int8, float, test.len()));
    let edits = match (&throttle, &arguments.throttle) {
        (Some(storable), Some(protection)) if !storable.is_none() => {
            let rounded = network.rounded(arguments.rounding.rule(), storable).map_err(Failure::Input)?;
            let clamped = rounded.clamped;
            checkpoint = rounded.with_ranges(ranges, &()).map_err(Failure::Input)?;
            let throttled = int8_top1(&checkpoint, &test, &observer).map_err(Failure::Input)?;
            rows.push(row("int8, throttled", throttled, float, test.len()));
            format!(
                "{clamped} of {total} weights ({:.3} %) were clamped into the range of {protection}: {storable}",
                percent(clamped, total)
            )
        }
        (Some(_), Some(protection)) => format!("{protection} stores any weights: none was clamped"),
        _ => {
            let clampings = clampings(&checkpoint, &test, &observer).map_err(Failure::Input)?;
            cost_of_clamping(&clampings, [int8, test.len(), total], labelled)
        }
    };
    signals::last(|| checkpoint.save(&arguments.output)).map_err(Failure::machine)?;

    let columns = match labelled {
        true => ["network", ">correct", ">images", ">top-1 %", ">against float, points"],
        false => ["network", ">as float", ">images", ">agreement %", ">against float, points"],
    };
    output::data(&format!(
        "\n{}\n{edits}\n{}\n{}",
        markdown(&columns, &rows),
        warning.map_or(String::new(), |warning| format!("\n{warning}\n")),
        arguments.output.display()
    ));
    Ok(Outcome::Done)
}

/// Stores a network that another program quantized, and measures its accuracy.
fn already_quantized(
    arguments: &Arguments,
    mut quantized: QuantizedModel,
    described: Option<&PreprocessingFile>,
    throttle: Option<&Storable>,
) -> Result<Outcome, Failure> {
    arguments.rounding.check_given().map_err(Failure::Input)?;
    let (set, observer) = (&arguments.set, Terminal::default());
    let rule = quantized.activations.rule.id();
    let (side, input) = (arguments.side.map(usize::from), Some(quantized.model.input));
    let cut = Cut::chosen(set, side, input, described).map_err(Failure::Input)?;
    let images = arguments.images.map(|n| n as usize);
    let test = arguments.machine.data().images(set, "test", images, cut, &observer)?.set;
    check_fit(&quantized.model, &test).map_err(Failure::Input)?;
    let asked = arguments.mean.is_some() || arguments.std.is_some() || described.is_some();
    let own = quantized.pixels.clone().filter(|_| !asked);
    quantized.notes.extend(described.map(PreprocessingFile::sentence));
    let takes_pixels = own.is_some();
    let preprocessing = match own {
        Some(own) => own,
        None => preprocessing(arguments, described, test.shape().channels).map_err(Failure::Input)?,
    };
    let mut checkpoint =
        given_checkpoint(&arguments.checkpoint, quantized, &preprocessing).map_err(Failure::Input)?;
    let reading = &checkpoint.provenance.reading;
    let (model, layers) = (&checkpoint.model, &checkpoint.layers);
    let description = network_text::description(model, layers, reading, &preprocessing, set);
    output::data(&description.join("\n"));
    output::data(&format!("already quantized; rule {rule}; nothing is calibrated"));
    if takes_pixels {
        output::data(
            "the input takes bytes, and the byte of each pixel is its level; --mean and --std change that",
        );
    }
    progress_line("int8 network ...");
    let predictions = observed(&test, &observer, || int8_predict(&checkpoint, &test, &observer));
    let predictions = predictions.map_err(Failure::Input)?;
    let total: usize = checkpoint.weights.iter().map(|w| w.values().len()).sum();
    let mut networks = vec![("int8", predictions.clone())];
    let edits = match (throttle, &arguments.throttle) {
        (Some(storable), Some(protection)) => {
            let storable = storable.ranges_of(checkpoint.weights.iter().map(QuantTensor::name));
            let storable = storable.context("--throttle").map_err(Failure::Input)?;
            let (throttled, edits) = clamp(checkpoint, &storable, protection).map_err(Failure::Input)?;
            checkpoint = throttled;
            let predictions = observed(&test, &observer, || int8_predict(&checkpoint, &test, &observer));
            networks.push(("int8, throttled", predictions.map_err(Failure::Input)?));
            edits
        }
        _ => {
            let outside = violations(&checkpoint.weights, &Constraint::WOT.into());
            format!(
                "the memory holds the file's own {total} weights; {outside} of them ({:.3} %) lie outside the range of \
                 in-place-64-57: {} (--throttle clamps them; `zerospace inspect` compares all protections)",
                percent(outside, total),
                Constraint::WOT
            )
        }
    };
    signals::last(|| checkpoint.save(&arguments.output)).map_err(Failure::machine)?;
    let mut lines = Vec::new();
    let row = |name: &str, n: usize| {
        vec![name.into(), n.to_string(), test.len().to_string(), format!("{:.2}", percent(n, test.len()))]
    };
    if test.is_labelled() {
        let rows: Vec<Vec<String>> =
            networks.iter().map(|(name, found)| row(name, agreeing(found, &test))).collect();
        lines.push(markdown(&["network", ">correct", ">images", ">top-1 %"], &rows));
        let correct = agreeing(&predictions, &test);
        lines.extend(network_text::at_chance(correct, &test, &checkpoint.model, &checkpoint.preprocessing));
    } else if let [_, (name, throttled)] = networks.as_slice() {
        let same = throttled.iter().zip(&predictions).filter(|(a, b)| a == b).count();
        lines.push(markdown(&["network", ">as before", ">images", ">agreement %"], &[row(name, same)]));
    }
    lines.push(edits);
    lines.push(arguments.output.display().to_string());
    output::data(&format!("\n{}", lines.join("\n")));
    Ok(Outcome::Done)
}

/// Clamps the weights of a network that another program quantized, and says so in its provenance.
fn clamp(
    checkpoint: Checkpoint,
    storable: &TensorRanges,
    protection: &str,
) -> anyhow::Result<(Checkpoint, String)> {
    let total: usize = checkpoint.weights.iter().map(|w| w.values().len()).sum();
    let (checkpoint, changed) = throttled(checkpoint, storable)?;
    let text = match changed {
        0 => format!("{protection} stores these weights as they are: none was clamped"),
        _ => format!(
            "{changed} of the file's own {total} weights ({:.3} %) were clamped into the range of {protection}: {storable}",
            percent(changed, total)
        ),
    };
    Ok((checkpoint, text))
}

/// Number of classes of the network.
fn classes(arguments: &Arguments, images: &ImageSet) -> anyhow::Result<usize> {
    let asked = arguments.classes.map(usize::from);
    if !images.is_labelled() {
        return Ok(asked.unwrap_or(DEFAULT_CLASSES));
    }
    match asked {
        Some(asked) if asked != images.classes() => {
            Err(anyhow!("--classes is {asked}, but {} has {}", images.name(), images.classes()))
        }
        _ => Ok(images.classes()),
    }
}

/// Adds an option that helps if a folder has no training images.
fn without_training_images(failure: Failure, arguments: &Arguments) -> Failure {
    match failure {
        Failure::Input(error)
            if arguments.calibration_split == "train"
                && matches!(
                    error.downcast_ref(),
                    Some(DataError::Layout { .. } | DataError::NoSplit { .. })
                ) =>
        {
            Failure::Input(anyhow!(
                "{error:#}; without training images, --calibration-split test takes the scales from test images"
            ))
        }
        other => other,
    }
}

/// The preprocessing file that the arguments name, or that lies beside the checkpoint.
fn preprocessing_file(arguments: &Arguments) -> anyhow::Result<Option<PreprocessingFile>> {
    if let Some(file) = &arguments.preprocessing {
        return PreprocessingFile::read(file).context("--preprocessing").map(Some);
    }
    if arguments.mean.is_some() || arguments.std.is_some() {
        return Ok(None);
    }
    PreprocessingFile::beside(&arguments.checkpoint)
}

fn read_onnx(arguments: &Arguments) -> anyhow::Result<OnnxFile> {
    zoo::read_any_onnx(&arguments.checkpoint, arguments.onnx_output.as_deref()).map_err(|error| {
        let is_no_onnx = error.is_no_onnx();
        let error = anyhow!(error);
        if is_no_onnx {
            anyhow!("{error:#}, or the architecture of a state dict with --arch NAME")
        } else {
            error
        }
    })
}

/// Reads the network for the images of a set: the named architecture, or an ONNX model.
fn float_file(
    arguments: &Arguments,
    variant: Option<Variant>,
    onnx: Option<OnnxModel>,
    images: &ImageSet,
    preprocessing: &Preprocessing,
) -> anyhow::Result<FloatFile> {
    let file = &arguments.checkpoint;
    if let Some(onnx) = onnx {
        check_fit(&onnx.model, images)?;
        return FloatFile::from_onnx(file, onnx, preprocessing);
    }
    let shape = images.shape();
    let input = [shape.channels, shape.height, shape.width];
    let architecture =
        arguments.architecture.as_deref().expect("what is no ONNX model names its architecture");
    let model = zoo::model(architecture, variant, arguments.width, classes(arguments, images)?, input)?;
    FloatFile::from_state_dict(file, &model, &arguments.within.selection(), preprocessing)
}

/// Checks before the work that the folder of the output exists.
fn check_folder(output: &Path) -> Result<(), Failure> {
    let folder = output.parent().unwrap_or(Path::new(""));
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    Err(Failure::Input(anyhow!("--output is {}, expected a file in a folder that exists", output.display())))
}

/// What clamping alone costs, by range: with the numbers of images that the int8 network classifies correctly, of all
/// images, and of weights.
fn cost_of_clamping(clampings: &[Clamping], [int8, images, total]: [usize; 3], labelled: bool) -> String {
    if clampings.is_empty() {
        return format!("all {total} weights lie in the range of every protection");
    }
    let rows: Vec<Vec<String>> = clampings
        .iter()
        .map(|Clamping { range, protections, outside, correct }| {
            let top1 = percent(*correct, images);
            vec![
                protections.join(", "),
                outside.to_string(),
                format!("{:.3}", percent(*outside, total)),
                correct.to_string(),
                format!("{top1:.2}"),
                format!("{:+.2}", top1 - percent(int8, images)),
                range.to_string(),
            ]
        })
        .collect();
    let [correct, share] = if labelled { [">correct", ">top-1 %"] } else { [">as float", ">agreement %"] };
    let columns =
        ["clamped for", ">weights", ">% of weights", correct, share, ">against int8, points", "range"];
    format!(
        "the {total} weights were kept; clamping those outside a range (--throttle=PROTECTION) costs without training:\n\n{}",
        markdown(&columns, &rows).trim_end()
    )
}

fn row(name: &str, correct: usize, float: usize, images: usize) -> Vec<String> {
    let top1 = percent(correct, images);
    let against = format!("{:+.2}", top1 - percent(float, images));
    vec![name.into(), correct.to_string(), images.to_string(), format!("{top1:.2}"), against]
}

/// Preprocessing that the arguments or a file ask for.
fn preprocessing(
    arguments: &Arguments,
    described: Option<&PreprocessingFile>,
    channels: usize,
) -> anyhow::Result<Preprocessing> {
    let [mean, std] = [&arguments.mean, &arguments.std].map(|numbers| numbers.as_deref());
    PreprocessingFile::or_numbers(described, mean, std, channels, "--")
}
