//! Images from folders: calibrated, evaluated, unreadable files left out.

use std::path::Path;

use graph::ModelSpec;

use crate::program::{Numbers, experiment, float_checkpoint, succeed, zerospace};

/// Images of different sizes and forms, all kinds of one class tinted alike.
fn png(class: u8, numbers: &mut Numbers) -> Vec<u8> {
    let (width, height) = (40 + (numbers.next() % 90) as u32, 40 + (numbers.next() % 90) as u32);
    let pixel = |_| (numbers.next() % 160) as u8 + class * 40;
    let pixels: Vec<u8> = (0..3 * width * height).map(pixel).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// Three classes with so many images each, `n00/0.png` and so on.
pub(crate) fn write_classes(dir: &Path, images: usize, numbers: &mut Numbers) {
    for class in 0..3 {
        let dir = dir.join(format!("n0{class}"));
        std::fs::create_dir_all(&dir).unwrap();
        for i in 0..images {
            std::fs::write(dir.join(format!("{i}.png")), png(class, numbers)).unwrap();
        }
    }
}

/// A folder with a float SqueezeNet for 3 classes and, in `data/imagenet`, 3 training and 7 validation images
/// of each; a JPEG goes before the first class's, and the file after its first is broken.
pub(crate) fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(3);
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/golden/folder/photo.JPEG");
    for (part, images) in [("train", 3), ("val", 7)] {
        write_classes(&folder.path().join("data/imagenet").join(part), images, &mut numbers);
    }
    let class = folder.path().join("data/imagenet/val/n00");
    std::fs::copy(photo, class.join("0.JPEG")).unwrap();
    std::fs::write(class.join("1.png"), "not an image").unwrap();
    let spec = ModelSpec { width: 0.125, ..ModelSpec::new("squeezenet1_1", 3, [3, 64, 64]) };
    std::fs::write(folder.path().join("float.safetensors"), float_checkpoint(&spec)).unwrap();
    folder
}

fn quantize(more: &str) -> Vec<String> {
    let common = "quantize float.safetensors --arch squeezenet1_1 --width 0.125 --side 64 --throttle -o net.safetensors";
    format!("{common} {more}").split(' ').map(String::from).collect()
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Two trials on the first images of a set.
pub(crate) fn campaign(set: &str, images: usize) -> String {
    experiment(2).replace("cifar10", set).replace("images = 40", &format!("images = {images}"))
}

#[test]
fn a_campaign_on_an_image_folder_leaves_out_what_it_cannot_read_and_says_so() {
    let workshop = workshop();
    let folder = workshop.path();
    let arguments = quantize("--set imagenet --calibration-images 9");
    let said = zerospace(folder, &strs(&arguments));
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("| int8, throttled |"), "{}", said.stdout);
    assert!(
        said.stderr.contains("left out: data/imagenet/val/n00/1.png: 12 bytes that begin with [6e 6f 74")
            && said.stderr.contains("1 unreadable files of imagenet test were left out"),
        "{}",
        said.stderr
    );
    let inspect = succeed(folder, &["inspect", "net.safetensors"]);
    assert!(inspect.contains("input 3x64x64, 3 classes"), "{inspect}");
    assert!(inspect.contains("activation ranges from imagenet train, first 9 images"), "{inspect}");

    std::fs::write(folder.join("x.toml"), campaign("imagenet", 12)).unwrap();
    let plan = succeed(folder, &["plan", "x.toml"]);
    assert!(plan.contains("on 12 images of imagenet test, 1 unreadable files left out"), "{plan}");
    succeed(folder, &["run", "x.toml", "--out", "first"]);
    let read = |run: &str, file: &str| std::fs::read(folder.join(run).join(file)).unwrap();
    let report = String::from_utf8(read("first", "report.md")).unwrap();
    assert!(
        report.contains("first 12 images of imagenet test, 1 unreadable files left out, SHA-256"),
        "{report}"
    );
    let manifest = String::from_utf8(read("first", "manifest.json")).unwrap();
    assert!(manifest.contains("\"unreadable_files\": 1"), "{manifest}");

    // Once decoded, images come from the cache, even a damaged one; on one thread, and without a cache.
    let cache = folder.join("data/.zerospace-cache");
    let kept: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect();
    // One file for training images, and one for any number of test images.
    assert_eq!(kept.len(), 2);
    for path in kept {
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 40;
        bytes[last] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let said = zerospace(folder, &["run", "x.toml", "--out", "second", "--threads", "1"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("images were decoded again, the cache was damaged: the content does not match"),
        "{}",
        said.stderr
    );
    assert_eq!(read("first", "trials.parquet"), read("second", "trials.parquet"));
    let said = zerospace(folder, &["run", "x.toml", "--out", "third", "--cache", "x.toml"]);
    assert!(
        said.code == 0 && said.stderr.contains("decoded images are not kept: x.toml/"),
        "{}",
        said.stderr
    );
    assert_eq!(read("first", "trials.parquet"), read("third", "trials.parquet"));

    // Other images, other records: the file that could not be read now can.
    std::fs::copy(folder.join("data/imagenet/val/n00/2.png"), folder.join("data/imagenet/val/n00/1.png"))
        .unwrap();
    let said = zerospace(folder, &["run", "x.toml", "--out", "first"]);
    assert!(said.code == 4 && said.stderr.contains("evaluation.digest of cell"), "{}", said.stderr);
}

#[test]
fn a_table_of_the_files_of_a_folder_gives_the_records_of_the_folder() {
    let workshop = workshop();
    let folder = workshop.path();
    let mut table = String::from("file,class,split\n");
    for (part, split, images) in [("train", "train", 3), ("val", "test", 7)] {
        for class in 0..3 {
            for image in 0..images {
                let extension = if part == "val" && class == 0 && image == 0 { "JPEG" } else { "png" };
                table += &format!("imagenet/{part}/n0{class}/{image}.{extension},n0{class},{split}\n");
            }
        }
    }
    // The folder also has `0.png`, after the JPEG.
    let first = "imagenet/val/n00/0.JPEG,n00,test\n";
    table = table.replace(first, &format!("{first}imagenet/val/n00/0.png,n00,test\n"));
    std::fs::write(folder.join("data/listing.csv"), &table).unwrap();
    let digests = ["imagenet", "listing.csv"].map(|set| {
        let arguments = quantize(&format!("--set {set} --calibration-images 9")).join(" ");
        let said = zerospace(folder, &strs(&arguments.split(' ').map(String::from).collect::<Vec<_>>()));
        assert_eq!(said.code, 0, "{}", said.stderr);
        let reading = "data/listing.csv test: columns file and class, rows whose split is test, 3 classes numbered in \
                       the order of their names";
        assert_eq!(said.stderr.contains(reading), set == "listing.csv", "{}", said.stderr);
        std::fs::write(folder.join("x.toml"), campaign(set, 12)).unwrap();
        succeed(folder, &["run", "x.toml", "--out", set]);
        let manifest = records::Store::open(&folder.join(set)).unwrap().manifest().clone();
        let evaluation = &manifest.cells[0].spec.evaluation;
        assert_eq!(evaluation.name, set);
        (evaluation.digest.clone(), std::fs::read(folder.join("net.safetensors")).unwrap().len())
    });
    assert_eq!(digests[0].0, digests[1].0);

    // Decoded images are kept beside a table that is elsewhere.
    std::fs::create_dir(folder.join("elsewhere")).unwrap();
    std::fs::write(folder.join("elsewhere/listing.csv"), table.replace("imagenet/", "../data/imagenet/"))
        .unwrap();
    std::fs::remove_dir_all(folder.join("data/.zerospace-cache")).unwrap();
    succeed(folder, &strs(&quantize("--set elsewhere/listing.csv --calibration-images 9")));
    assert!(
        folder.join("elsewhere/.zerospace-cache").is_dir() && !folder.join("data/.zerospace-cache").exists()
    );
    let said = zerospace(folder, &strs(&quantize("--set other.csv")));
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("data/other.csv: cannot be read"), "{}", said.stderr);
}

#[test]
fn what_does_not_fit_an_image_folder_is_named() {
    let workshop = workshop();
    let folder = workshop.path();
    let refused = |more: &str| {
        let said = zerospace(folder, &strs(&quantize(more)));
        assert_eq!(said.code, 2, "{more}: {}{}", said.stdout, said.stderr);
        said.stderr.lines().last().unwrap().to_string()
    };
    assert_eq!(
        refused("--set imagenet --calibration-images 9 --classes 4"),
        "error: --classes is 4, but imagenet has 3"
    );
    std::fs::rename(folder.join("data/imagenet/train"), folder.join("data/imagenet/elsewhere")).unwrap();
    assert_eq!(
        refused("--set imagenet"),
        "error: data/imagenet/train: no such folder, expected one that holds a folder of JPEG or PNG files for each \
         class; without training images, --calibration-split test takes the scales from test images"
    );
    assert_eq!(
        refused("--set images"),
        "error: data/images/train: no such folder, expected one that holds JPEG or PNG files; choose the directory of \
         data sets with --data DIR or ZEROSPACE_DATA"
    );
    assert_eq!(
        refused("--set imagenet --calibration-split test"),
        "error: imagenet test: asked for the first 512 images, but there are 22"
    );
    // Few images of all classes, where the first few are of one; evaluation stays class by class.
    let said =
        zerospace(folder, &strs(&quantize("--set imagenet --calibration-split test --calibration-images 6")));
    let told =
        "imagenet test for calibration: images of all classes in turns, the first of each, then the second";
    assert!(said.code == 0 && said.stderr.lines().any(|line| line == told), "{}", said.stderr);
    let inspect = succeed(folder, &["inspect", "net.safetensors"]);
    let ranges =
        "activation ranges from imagenet test, first 6 images of all classes in turns, largest magnitude";
    assert!(inspect.contains(ranges), "{inspect}");
    assert_eq!(
        refused("--set cifar10"),
        "error: --side is 64, but images of cifar10 have a size of their own"
    );

    // A class too few for the network.
    std::fs::rename(folder.join("data/imagenet/val/n02"), folder.join("data/imagenet/n02")).unwrap();
    std::fs::write(folder.join("x.toml"), campaign("imagenet", 6)).unwrap();
    let said = zerospace(folder, &["run", "x.toml"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .ends_with("the network takes [3, 64, 64] images of 3 classes, imagenet has [3, 64, 64] of 2\n"),
        "{}",
        said.stderr
    );
}

#[test]
fn images_without_labels_measure_agreement_and_every_output_says_so() {
    let workshop = workshop();
    let folder = workshop.path();
    std::fs::rename(folder.join("data/imagenet"), folder.join("data/images")).unwrap();
    let arguments = quantize("--set images --classes 3 --calibration-images 9");
    let said = zerospace(folder, &strs(&arguments));
    let label_free = "the images have no labels: what counts is agreement with the fault-free network";
    assert!(said.code == 0 && said.stderr.contains(label_free), "{}", said.stderr);
    let float = said.stdout.lines().find(|line| line.starts_with("| float ")).unwrap();
    let cells: Vec<&str> = float.split('|').map(str::trim).collect();
    assert_eq!(cells[2..6], ["21", "21", "100.00", "+0.00"], "{}", said.stdout);
    assert!(said.stdout.contains("agreement %") && !said.stdout.contains("top-1"), "{}", said.stdout);

    std::fs::write(folder.join("x.toml"), campaign("images", 12)).unwrap();
    let headline = succeed(folder, &["run", "x.toml"]);
    assert!(
        headline.contains("Images whose prediction is not that of the fault-free network, in %"),
        "{headline}"
    );
    let run = folder.join("runs/x");
    let rows = records::read_trials(&run.join("trials.parquet")).unwrap();
    assert_eq!(rows.len(), 4 * 4 * 2);
    assert!(rows.iter().all(|row| row.clean_correct == 12 && row.record.correct == row.record.agree));
    assert!(rows.iter().any(|row| row.record.agree < 12), "the highest rate changes predictions");
    let report = std::fs::read_to_string(run.join("report.md")).unwrap();
    for part in [label_free, "(agreement-vs-rate.svg)", "## Agreement drop", "agreement %", "SDC rate"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    assert!(!report.contains("accuracy drop") && !report.contains("Accuracy"), "{report}");
    let figure = std::fs::read_to_string(run.join("agreement-vs-rate.svg")).unwrap();
    assert!(figure.contains("agreement with the fault-free network, %") && !figure.contains("chance"));
    let summary = std::fs::read_to_string(run.join("summary.csv")).unwrap();
    assert!(summary.contains(",clean_agreement_percent,agreement_percent,"), "{summary}");
    let manifest = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"label_free\": true"), "{manifest}");

    // The same images with labels are another set.
    std::fs::rename(folder.join("data/images"), folder.join("data/imagenet")).unwrap();
    std::fs::write(folder.join("y.toml"), campaign("imagenet", 12)).unwrap();
    let said = zerospace(folder, &["run", "y.toml", "--out", "runs/x"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    let cells = |plan: String| -> Vec<String> {
        plan.lines().skip(2).filter_map(|line| Some(line.split('|').nth(1)?.trim().to_string())).collect()
    };
    let with_labels = cells(succeed(folder, &["plan", "y.toml"]));
    assert!(rows.iter().all(|row| !with_labels.contains(&row.cell.to_string())));
}

#[test]
fn training_needs_labels() {
    let workshop = workshop();
    let recipe = r#"
name = "r"
seed = 1
[network]
architecture = "squeezenet1_1"
width = 0.125
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
import = "float.safetensors"
[data]
set = "images"
validation = 2
side = 64
"#;
    let train = |recipe: &str| {
        std::fs::write(workshop.path().join("r.toml"), recipe).unwrap();
        zerospace(workshop.path(), &["train", "r.toml"])
    };
    let said = train(recipe);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "error: r.toml: data.set is \"images\", expected a set with labels to train on\n")
    );
    let said = train(&recipe.replace("\"images\"", "\"cifar10\""));
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "error: r.toml: data.side is 64, expected none: images of cifar10 have a size of their own\n")
    );
    // No stage to run: the imported network is quantized and measured.
    let said = train(&recipe.replace("\"images\"", "\"imagenet\""));
    assert!(said.code == 0 && said.stdout.contains("| int8 "), "{}{}", said.stdout, said.stderr);
}
