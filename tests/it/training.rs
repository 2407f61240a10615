//! `zerospace train`: made-up images, a real training, a kill in the middle.

use std::path::Path;
use std::process::Stdio;

use crate::program::{command, experiment, prepare, succeed, workshop, zerospace};

pub(crate) const RECIPE: &str = r#"
name = "tiny"
seed = 3

[network]
architecture = "resnet20"
width = 0.5
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

[data]
set = "cifar10"
validation = 8

[float]
method = "float"
iterations = 6
batch = 8
rate = 0.05
schedule = "cosine"
shift = 2
check_every = 2

[[wot]]
name = "qatt"
method = "qatt"
iterations = 4
batch = 8
rate = 0.01
schedule = "constant"
check_every = 1

[[wot]]
name = "admm"
method = "admm"
iterations = 4
batch = 8
rate = 0.01
schedule = "constant"
dual_every = 2
check_every = 2
"#;

pub(crate) fn results(folder: &Path) -> Vec<Vec<u8>> {
    let files = [
        "int8.safetensors",
        "qatt.safetensors",
        "admm.safetensors",
        "float.csv",
        "qatt.csv",
        "admm.csv",
        "large-values.svg",
        "throttled-accuracy.svg",
    ];
    files.iter().map(|file| std::fs::read(folder.join(file)).unwrap()).collect()
}

#[test]
fn a_trained_network_fits_the_code_and_a_killed_training_ends_in_the_same_weights() {
    let workshop = workshop();
    let folder = workshop.path();
    std::fs::write(folder.join("r.toml"), RECIPE).unwrap();
    let table = succeed(folder, &["train", "r.toml", "--out", "whole"]);
    let reference = results(&folder.join("whole"));
    for row in ["| float ", "| int8 ", "| qatt ", "| admm "] {
        assert!(table.contains(row), "{table}");
    }
    let log = String::from_utf8(reference[4].clone()).unwrap();
    assert!(
        log.starts_with("iteration,loss,validation_images,correct,large_values,throttled_correct\n0,NaN,8,"),
        "{log}"
    );
    assert_eq!(log.lines().count(), 1 + 5);

    // Killed once its first states are there, on another number of threads.
    let mut child = command(folder, &["train", "r.toml", "--out", "killed", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !folder.join("killed/float.state").exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join("killed/admm.safetensors").exists(), "it was killed too late to show anything");
    succeed(folder, &["train", "r.toml", "--out", "killed", "--threads", "3"]);
    assert_eq!(results(&folder.join("killed")), reference);

    // What came out can be stored in place and run.
    prepare(folder, 3);
    for network in ["qatt", "admm"] {
        let file = format!("whole/{network}.safetensors");
        let report = succeed(folder, &["inspect", &file]);
        assert!(report.contains("in-place-64-57 can store this network"), "{report}");
        std::fs::write(folder.join("x.toml"), experiment(3).replace("net.safetensors", &file)).unwrap();
        succeed(folder, &["run", "x.toml", "--out", &format!("run-{network}")]);
    }
}

/// A recipe of an ONNX model with clipped ReLUs and depthwise convolutions.
const IMPORTED: &str = r#"
name = "imported"
seed = 3

[network]
import = "mine.onnx"

[data]
set = "synthetic"
images = 200
test_images = 100
validation = 40

[[wot]]
name = "five-bit"
method = "qatt"
protection = "in-place-msb-48-24"
iterations = 4
batch = 8
rate = 0.001
schedule = "constant"
check_every = 2
"#;

/// The training of an imported network holds its layers, resumes to the same weights, and its results are run by the
/// int8 executor.
#[test]
fn an_onnx_model_is_trained_into_a_range() {
    let workshop = workshop();
    let folder = workshop.path();
    let model = format!("{}/../zoo/tests/it/onnx/mobilenet_v2.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(model, folder.join("mine.onnx")).unwrap();
    std::fs::write(folder.join("r.toml"), IMPORTED).unwrap();
    let table = succeed(folder, &["train", "r.toml", "--out", "t"]);
    assert!(table.contains("| five-bit "), "{table}");
    let page = std::fs::read_to_string(folder.join("t/training.md")).unwrap();
    assert!(page.starts_with("# imported, seed 3: mine.onnx\n"), "{page}");
    let trained = std::fs::read(folder.join("t/five-bit.safetensors")).unwrap();
    let checkpoint = quant::Checkpoint::load(&folder.join("t/five-bit.safetensors")).unwrap();
    let int8 = quant::Checkpoint::load(&folder.join("t/int8.safetensors")).unwrap();
    assert_eq!(checkpoint.layers, int8.layers);
    assert!(!checkpoint.layers.is_empty() && checkpoint.provenance.source == "mine.onnx");
    assert!(
        checkpoint
            .weights
            .iter()
            .flat_map(quant::QuantTensor::values)
            .all(|weight| (-16..=15).contains(weight))
    );
    assert!(
        int8.weights.iter().flat_map(quant::QuantTensor::values).any(|weight| !(-16..=15).contains(weight))
    );

    // From the state of an earlier check it goes on to the same weights.
    let short = IMPORTED.replace("iterations = 4", "iterations = 2");
    std::fs::write(folder.join("short.toml"), short).unwrap();
    let said = zerospace(folder, &["train", "short.toml", "--out", "t"]);
    assert!(said.code == 2 && said.stderr.contains("recipe is {"), "{}", said.stderr);
    std::fs::remove_file(folder.join("t/five-bit.safetensors")).unwrap();
    succeed(folder, &["train", "r.toml", "--out", "t"]);
    assert_eq!(std::fs::read(folder.join("t/five-bit.safetensors")).unwrap(), trained);

    for (line, more, message) in [
        (
            "import = \"mine.onnx\"",
            "width = 0.5",
            "network.width is 0.5, expected none without network.architecture",
        ),
        ("import = \"mine.onnx\"", "onnx_output = \"x\"", "mine.onnx: "),
        (
            "import = \"r.toml\"",
            "",
            "expected an ONNX model, or the architecture of a state dict as network.architecture",
        ),
    ] {
        let text = IMPORTED.replace("import = \"mine.onnx\"", &format!("{line}\n{more}"));
        std::fs::write(folder.join("r.toml"), text).unwrap();
        let said = zerospace(folder, &["train", "r.toml", "--out", "u"]);
        assert!(said.code == 2 && said.stderr.contains(message), "{}", said.stderr);
    }
}

/// Like `quantize`, a training takes the preprocessing of a file beside the network that it imports, says so and stores it.
#[test]
fn an_imported_network_is_trained_with_the_preprocessing_beside_it() {
    let workshop = workshop();
    let folder = workshop.path();
    let model = format!("{}/../zoo/tests/it/onnx/mobilenet_v2.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(model, folder.join("mine.onnx")).unwrap();
    let with = |line: &str| IMPORTED.replace("[network]\n", &format!("[network]\n{line}\n"));
    let file = r#"{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(folder.join("preprocessor_config.json"), file).unwrap();
    let train = |recipe: String| {
        std::fs::write(folder.join("r.toml"), recipe).unwrap();
        let _ = std::fs::remove_dir_all(folder.join("t"));
        zerospace(folder, &["train", "r.toml", "--out", "t"])
    };
    let sentence = |file: &str| format!("mean and std are those of {file} beside the model");
    let stored = || quant::Checkpoint::load(&folder.join("t/five-bit.safetensors")).unwrap();

    let said = train(IMPORTED.into());
    assert!(said.stderr.contains("mean [0.1, 0.2, 0.3], std [0.5, 0.5, 0.5]"), "{}", said.stderr);
    assert!(said.stderr.contains(&sentence("preprocessor_config.json")), "{}", said.stderr);
    assert_eq!(stored().preprocessing.mean(), [0.1, 0.2, 0.3]);
    let reading = &stored().provenance.reading;
    assert!(reading.contains(&sentence("preprocessor_config.json")), "{reading:?}");

    // The recipe's own numbers decide, and so does a file that it names.
    train(with("mean = [0.5, 0.5, 0.5]"));
    assert_eq!(stored().preprocessing.mean(), [0.5; 3]);
    std::fs::write(folder.join("p.json"), file.replace("0.1", "0.4")).unwrap();
    train(with("preprocessing = \"p.json\""));
    assert_eq!(stored().preprocessing.mean(), [0.4, 0.2, 0.3]);

    let said = train(with("preprocessing = \"q.json\""));
    let message = "error: r.toml: network.preprocessing: q.json: No such file or directory (os error 2)";
    assert!(said.code == 2 && said.stderr.contains(message), "{}", said.stderr);
    std::fs::write(folder.join("preprocessor_config.json"), r#"{"image_mean": [0], "image_std": [1]}"#)
        .unwrap();
    let said = train(IMPORTED.into());
    let message = "preprocessor_config.json: mean is [0.0], expected 3 finite numbers, one per channel";
    assert!(said.code == 2 && said.stderr.contains(message), "{}", said.stderr);
}

#[test]
fn another_recipe_does_not_go_on_with_a_training() {
    let workshop = workshop();
    let folder = workshop.path();
    let short = RECIPE.replace("iterations = 6", "iterations = 2");
    std::fs::write(folder.join("r.toml"), &short).unwrap();
    succeed(folder, &["train", "r.toml", "--out", "t"]);
    std::fs::write(folder.join("r.toml"), short.replace("rate = 0.05", "rate = 0.06")).unwrap();
    let said = zerospace(folder, &["train", "r.toml", "--out", "t"]);
    assert_eq!(said.code, 2);
    let last = said.stderr.lines().last().unwrap();
    assert!(last.starts_with("error: r.toml: t/float.state: "), "{}", said.stderr);
}

#[test]
fn wrong_recipes_are_named() {
    let workshop = workshop();
    let folder = workshop.path();
    for (from, to, message) in [
        (
            "width",
            "with",
            "r.toml: line 7: unknown field `with`, expected one of `architecture`, `variant`, `width`, `mean`, `std`, \
             `preprocessing`, `import`, `onnx_output`, `key`, `prefix`",
        ),
        (
            "method = \"qatt\"",
            "method = \"float\"",
            "r.toml: wot.method is \"float\", expected \"qatt\" or \"admm\"",
        ),
        ("name = \"admm\"", "name = \"qatt\"", "r.toml: wot.name is \"qatt\", expected a name of its own"),
        (
            "std = [0.25, 0.25, 0.25]",
            "std = [0.25, 0.25, 0.25]\nimport = \"f\"",
            "r.toml: expected either a [float] stage or network.import",
        ),
        (
            "std = [0.25, 0.25, 0.25]",
            "std = [0.25, 0.25, 0.25]\nkey = \"ema\"",
            "r.toml: network.key is \"ema\", expected none without network.import",
        ),
        (
            "std = [0.25, 0.25, 0.25]",
            "preprocessing = \"p.json\"",
            "r.toml: network.mean is [0.5, 0.5, 0.5], expected none beside network.preprocessing, which is p.json",
        ),
        (
            "mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]",
            "preprocessing = \"p.json\"",
            "r.toml: network.preprocessing is p.json, expected none without network.import",
        ),
        (
            "architecture = \"resnet20\"",
            "",
            "r.toml: network.architecture is missing, expected one, or an ONNX model as network.import",
        ),
        (
            "width = 0.5",
            "onnx_output = \"logits\"",
            "r.toml: network.onnx_output is \"logits\", expected none beside network.architecture: an ONNX model has its \
             own layers",
        ),
        ("batch = 8", "batch = 1", "r.toml: batch_images is 1, expected at least 2"),
        ("rate = 0.05", "rate = -1.0", "r.toml: rate is -1, expected a finite number above 0"),
        (
            "validation = 8",
            "validation = 39",
            "r.toml: 40 training images, expected at least 47: 39 held out and a batch",
        ),
        (
            "architecture = \"resnet20\"",
            "architecture = \"lenet\"",
            "r.toml: architecture is `lenet`, expected one of alexnet",
        ),
    ] {
        assert!(RECIPE.contains(from));
        std::fs::write(folder.join("r.toml"), RECIPE.replacen(from, to, 1)).unwrap();
        let said = zerospace(folder, &["train", "r.toml"]);
        assert_eq!(said.code, 2, "{}", said.stderr);
        // A recipe that can be read is followed by its network in words.
        let error = said.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(error.starts_with(&format!("error: {message}")), "{error} is not {message}");
    }
}

/// Shapes that mark a check, or a key of the legend: discs of qatt's colour, triangles of admm's.
fn markers(svg: &str, shape: &str, color: &str) -> usize {
    svg.lines().filter(|line| line.starts_with(shape) && line.contains(color)).count()
}

#[test]
fn a_training_ends_in_figures_that_can_be_drawn_again_from_its_logs() {
    let workshop = workshop();
    let folder = workshop.path();
    std::fs::remove_dir_all(folder.join("data")).unwrap();
    let recipe =
        RECIPE.replace("cifar10", "synthetic").replace("validation = 8", "images = 40\nvalidation = 8");
    let recipe =
        recipe.replace("iterations = 6", "iterations = 2").replace("[float]", "test_images = 10\n[float]");
    std::fs::write(folder.join("r.toml"), &recipe).unwrap();
    let said = zerospace(folder, &["train", "r.toml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let table = said.stdout;
    // The log has a line for every check, with what the CSV has.
    for stage in ["float", "qatt", "admm"] {
        let csv = std::fs::read_to_string(folder.join(format!("runs/train/tiny/{stage}.csv"))).unwrap();
        let line = |row: &str| {
            let fields: Vec<&str> = row.split(',').collect();
            let [iteration, loss, held_out, correct, large, throttled] = fields[..] else { panic!("{row}") };
            let loss: f64 = loss.parse().unwrap();
            let loss = if loss.is_nan() { String::new() } else { format!(", loss {loss:.3}") };
            let clamped = match large {
                "" => String::new(),
                _ => format!(", {throttled} after {large} out of range are clamped"),
            };
            let judged = format!("{correct} of {held_out} held-out images correct{clamped}");
            (format!("{stage}: iteration {iteration} of "), format!("{loss}, {judged}"))
        };
        let mut lines = said.stderr.lines().filter(|line| line.starts_with(&format!("{stage}: iteration ")));
        for (begin, end) in csv.lines().skip(1).map(line) {
            let found = lines.next().unwrap();
            assert!(found.starts_with(&begin) && found.ends_with(&end), "{found}");
        }
        assert_eq!(lines.next(), None);
        assert!(said.stderr.contains(&format!("{stage}: 0 of ")), "{}", said.stderr);
    }
    let files = ["large-values.svg", "large-values.png", "throttled-accuracy.svg", "throttled-accuracy.png"];
    let read = |run: &str| files.map(|file| std::fs::read(folder.join(run).join(file)).unwrap());
    let paths = files.map(|file| format!("runs/train/tiny/{file}\n")).concat();
    assert!(table.ends_with(&paths), "{table}");

    let drawn = read("runs/train/tiny");
    assert!(drawn[1].starts_with(b"\x89PNG") && drawn[3].starts_with(b"\x89PNG"));
    for (svg, markers_of_a_check, keys) in [(&drawn[0], 1, 1), (&drawn[2], 2, 0)] {
        let svg = std::str::from_utf8(svg).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("tiny: resnet20, width 0.5") && svg.contains("\nSynthetic images: "), "{svg}");
        assert!(svg.contains("\nqatt") && svg.contains("\nadmm"), "{svg}");
        // Checks at 0, 1, 2, 3, 4 and at 0, 2, 4.
        assert_eq!(markers(svg, "<circle", "#D55E00"), 5 * markers_of_a_check + keys);
        assert_eq!(markers(svg, "<polygon", "#56B4E9"), 3 * markers_of_a_check + keys);
    }

    // Nothing but logs, and the same figures.
    std::fs::create_dir(folder.join("logs")).unwrap();
    for log in ["qatt.csv", "admm.csv"] {
        std::fs::copy(folder.join("runs/train/tiny").join(log), folder.join("logs").join(log)).unwrap();
    }
    let said = succeed(folder, &["train", "r.toml", "--out", "logs", "--figures-only"]);
    assert_eq!(said, files.map(|file| format!("logs/{file}\n")).concat());
    assert_eq!(read("logs"), drawn);

    // One log damaged; none at all.
    let log = std::fs::read_to_string(folder.join("logs/qatt.csv")).unwrap();
    std::fs::write(folder.join("logs/qatt.csv"), log.replace("\n2,", "\ntwo,")).unwrap();
    let said = zerospace(folder, &["train", "r.toml", "--out", "logs", "--figures-only"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "error: logs/qatt.csv: line 4 is no check of a training\n")
    );
    let said = zerospace(folder, &["train", "r.toml", "--out", "elsewhere", "--figures-only"]);
    assert_eq!(said.code, 2);
    assert_eq!(said.stderr, "error: elsewhere: no log of an int8 training of tiny\n");
    assert!(!folder.join("elsewhere").exists());

    // A float training has nothing to throttle.
    std::fs::write(folder.join("f.toml"), &recipe[..recipe.find("[[wot]]").unwrap()]).unwrap();
    let table = succeed(folder, &["train", "f.toml", "--out", "float"]);
    assert!(
        table.ends_with("\nfloat\nfloat/training.md\n") && !folder.join("float/large-values.svg").exists(),
        "{table}"
    );
}

#[test]
fn inspect_draws_large_weights_before_and_after() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let quantize =
        "quantize float.safetensors --arch resnet20 --width 0.5 --calibration-images 8 -o free.safetensors";
    succeed(folder, &quantize.split(' ').collect::<Vec<_>>());
    let alone = succeed(folder, &["inspect", "free.safetensors"]);
    let both = succeed(folder, &["inspect", "free.safetensors", "net.safetensors", "--figure", "figures"]);
    assert!(both.starts_with(alone.trim_end()), "the tables do not change: {both}");
    let paths = ["csv", "svg", "png"].map(|kind| format!("figures/large-weights.{kind}\n")).concat();
    assert!(both.ends_with(&paths), "{both}");

    let svg = std::fs::read_to_string(folder.join("figures/large-weights.svg")).unwrap();
    assert!(svg.contains("\nfree: resnet20, width 0.5\n"), "{svg}");
    assert!(svg.contains("\nnet: resnet20, width 0.5\n") && !svg.contains("Synthetic"), "{svg}");
    let csv = std::fs::read_to_string(folder.join("figures/large-weights.csv")).unwrap();
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.rsplit(',').collect()).collect();
    assert_eq!(lines.len(), 1 + 2 * 8, "{csv}");
    let large = |line: &[&str]| line[0].parse::<u64>().unwrap();
    for (position, (before, after)) in lines[1..9].iter().zip(&lines[9..]).enumerate() {
        assert!(alone.contains(&format!("| {position}        | {:>6} |", before[0])), "{alone}");
        assert!(large(before) > 0, "{csv}");
        assert_eq!(large(after), if position == 7 { large(before) } else { 0 }, "{csv}");
    }
}
