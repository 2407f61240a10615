//! What `quantize` says of the network that it built, of its input and of what it did to the weights.

use std::path::Path;

use graph::Variant;
use quant::Checkpoint;

use crate::messages::refuses;
use crate::program::{float_checkpoint, succeed, workshop, zerospace};

/// The workshop's folder with a thin float network of an architecture, in `float.safetensors`.
fn workshop_with(architecture: &str, variant: Variant) -> tempfile::TempDir {
    let workshop = workshop();
    let model = zoo::model(architecture, Some(variant), 0.125, 10, [3, 32, 32]).unwrap();
    std::fs::write(workshop.path().join("float.safetensors"), float_checkpoint(&model)).unwrap();
    workshop
}

/// Quantizes it; returns what was said, and the checkpoint.
fn quantize(folder: &Path, options: &str) -> (String, Checkpoint) {
    let command =
        format!("quantize float.safetensors --width 0.125 --calibration-images 8 -o q.safetensors {options}");
    let said = succeed(folder, &command.split_whitespace().collect::<Vec<_>>());
    (said, Checkpoint::load(&folder.join("q.safetensors")).unwrap())
}

#[test]
fn a_variant_is_asked_for_by_name_said_and_stored() {
    let workshop = workshop_with("squeezenet1_1", Variant::Torchvision);
    let folder = workshop.path();
    let (said, torchvision) = quantize(folder, "--arch squeezenet1_1");
    assert!(
        said.starts_with(
            "network: squeezenet1_1, width 0.125, variant torchvision (stem of 3x3 with stride 2 and no padding), input \
             3x32x32, 10 classes\n"
        ),
        "{said}"
    );
    assert!(said.contains("\nparameters of these shapes also fit --variant cifar\n"), "{said}");
    assert_eq!(torchvision.model.variant, Some(Variant::Torchvision));
    // The form that 32 x 32 pixels imply in files has the same parameters, no field, and another identity.
    let (said, cifar) = quantize(folder, "--arch squeezenet1_1 --variant cifar");
    assert!(said.contains("variant cifar (stem of 3x3 with stride 1 and padding 1)"), "{said}");
    assert!(said.contains("also fit --variant torchvision\n"), "{said}");
    assert_eq!(cifar.model.variant, None);
    assert_eq!(cifar.weights, torchvision.weights);
    assert_ne!(cifar.digest(), torchvision.digest());
    let inspect = succeed(folder, &["inspect", "q.safetensors"]);
    assert!(inspect.contains("squeezenet1_1, width 0.125, variant cifar"), "{inspect}");

    // Where the shapes tell the variants apart, the ones that fit are named.
    let resnet = workshop_with("resnet18", Variant::Cifar);
    let said = zerospace(
        resnet.path(),
        &"quantize float.safetensors --arch resnet18 --width 0.125 --calibration-images 8 -o x"
            .split(' ')
            .collect::<Vec<_>>(),
    );
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("conv1.weight is [8, 3, 3, 3], expected [8, 3, 7, 7]"), "{}", said.stderr);
    let fit = "they fit --arch resnet18 --variant cifar or resnet18 --variant cifar-maxpool";
    assert!(said.stderr.contains(fit), "{}", said.stderr);

    let quantize = "quantize float.safetensors -o x --data nowhere --arch";
    for (options, message) in [
        ("alexnet --variant cifar", "variant of alexnet is cifar, expected none: there is one form of it"),
        ("vgg16 --variant cifar-maxpool", "variant of vgg16 is cifar-maxpool, expected torchvision or cifar"),
        (
            "resnet18 --variant small",
            "--variant: variant is `small`, expected torchvision, cifar or cifar-maxpool",
        ),
    ] {
        let command = format!("{quantize} {options}");
        refuses(folder, &command.split(' ').collect::<Vec<_>>(), 2, message);
    }
}

#[test]
fn preprocessing_is_said_everywhere_and_pixels_of_255_are_a_warning() {
    let workshop = workshop_with("resnet18", Variant::Cifar);
    let folder = workshop.path();
    let (said, _) = quantize(folder, "--arch resnet18 --variant cifar");
    let line = "preprocessing: (pixel / 255 - mean) / std, mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225], channels \
                in the order red, green, blue\n";
    assert!(said.contains(line), "{said}");
    assert!(!said.contains("warning: a mean"), "{said}");
    // Random weights on random images are at chance, and both suspects are named.
    assert!(said.contains("no better than guessing one of 10 classes"), "{said}");
    assert!(said.contains("Check the preprocessing (mean [0.485, 0.456, 0.406]"), "{said}");
    assert!(said.contains("variant cifar (stem of 3x3 with stride 1, no max pool)"), "{said}");

    let (said, _) = quantize(
        folder,
        "--arch resnet18 --variant cifar --mean 123.7,116.3,103.5 --std 58.4,57.1,57.4 --throttle",
    );
    let warning = "warning: a mean of 123.7, but pixels are divided by 255 before it is applied";
    assert!(said.contains(warning), "{said}");
    let inspect = succeed(folder, &["inspect", "q.safetensors"]);
    assert!(inspect.contains("mean [123.7, 116.3, 103.5]") && inspect.contains(warning), "{inspect}");

    std::fs::rename(folder.join("q.safetensors"), folder.join("net.safetensors")).unwrap();
    std::fs::write(folder.join("x.toml"), crate::program::experiment(1)).unwrap();
    let plan = succeed(folder, &["plan", "x.toml"]);
    assert!(plan.contains("mean [123.7, 116.3, 103.5]") && plan.contains(warning), "{plan}");
    succeed(folder, &["run", "x.toml"]);
    for file in ["manifest.json", "report.md", "report.html"] {
        let text = std::fs::read_to_string(folder.join("runs/x").join(file)).unwrap();
        assert!(text.contains("mean [123.7, 116.3, 103.5], std [58.4, 57.1, 57.4]"), "{file}");
        assert!(text.contains("variant cifar"), "{file}");
    }
}

/// The counts of weights outside each range are those of the padded memory, by the constraint of each protection, and
/// the same that --throttle clamps.
#[test]
fn a_preprocessing_file_beside_the_checkpoint_is_taken_said_and_stored() {
    let workshop = workshop_with("resnet18", Variant::Cifar);
    let folder = workshop.path();
    let file = |text: &str| std::fs::write(folder.join("preprocessor_config.json"), text).unwrap();
    file(r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "size": 32, "resample": 2}"#);
    let (said, stored) = quantize(folder, "--arch resnet18 --variant cifar");
    assert!(said.contains("mean [0.5, 0.5, 0.5], std [0.25, 0.25, 0.25]"), "{said}");
    let sentence = "mean and std are those of preprocessor_config.json beside the model";
    assert!(said.contains(sentence), "{said}");
    assert_eq!(stored.preprocessing.mean(), [0.5; 3]);
    assert!(stored.provenance.reading.iter().any(|line| line == sentence), "{:?}", stored.provenance.reading);
    // The command line decides if it says anything.
    let (said, _) = quantize(folder, "--arch resnet18 --variant cifar --mean 0,0,0 --std 1,1,1");
    assert!(said.contains("mean [0.0, 0.0, 0.0]") && !said.contains(sentence), "{said}");

    file(r#"{"image_mean": [0.5], "image_std": [0.25]}"#);
    let command = "quantize float.safetensors --arch resnet18 --variant cifar --width 0.125 --calibration-images 8 -o x";
    let refused = |command: &str, message: &str| {
        refuses(folder, &command.split(' ').collect::<Vec<_>>(), 2, message);
    };
    refused(command, "preprocessor_config.json: mean is [0.5], expected 3 finite numbers, one per channel");
    refused(
        &format!("{command} --preprocessing no.json"),
        "--preprocessing: no.json: No such file or directory (os error 2)",
    );
    file(r#"{"image_mean": [0.5, 0.5, 0.5]}"#);
    refused(command, "preprocessor_config.json: image_std is missing, expected a number for each channel");
}

#[test]
fn the_cost_of_clamping_is_said_for_the_range_of_every_protection() {
    let workshop = workshop_with("resnet18", Variant::Cifar);
    let folder = workshop.path();
    let (said, checkpoint) = quantize(folder, "--arch resnet18 --variant cifar");
    let rows: Vec<Vec<&str>> = said
        .lines()
        .skip_while(|line| !line.contains("weights were kept"))
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .skip(1)
        .map(|row| row.split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<&str>| !row[0].starts_with("---"))
        .collect();
    // One plane of memory, tensor by tensor, each padded with zeros to whole blocks of 8.
    let mut plane: Vec<i8> = Vec::new();
    for tensor in &checkpoint.weights {
        plane.extend(tensor.values());
        plane.resize(plane.len().next_multiple_of(8), 0);
    }
    let mut named = 0;
    for protection in ecc::all() {
        let constraint = protection.constraint();
        let outside = plane.iter().enumerate().filter(|&(place, &weight)| {
            weight < constraint.low[place % 8] || weight > constraint.high[place % 8]
        });
        let outside = outside.count();
        let row = rows.iter().find(|row| row[0].split(", ").any(|id| id == protection.id()));
        match row {
            Some(row) => {
                assert_eq!(row[6], constraint.to_string());
                assert_eq!(row[1], outside.to_string(), "{}", protection.id());
                named += 1;
            }
            None => assert_eq!(outside, 0, "{} is not in\n{said}", protection.id()),
        }
    }
    assert!(rows.len() > 3 && named >= rows.len(), "{said}");
    let (clamped, _) = quantize(folder, "--arch resnet18 --variant cifar --throttle=in-place-msb-48-24");
    let row = rows.iter().find(|row| row[0].contains("in-place-msb-48-24")).unwrap();
    assert!(clamped.contains(&format!("{} of ", row[1])), "{clamped}");
}

/// What is printed is what was clamped, at the scale at which it was clamped.
#[test]
fn the_count_of_clamped_weights_is_that_of_the_stored_network() {
    let workshop = workshop_with("resnet18", Variant::Cifar);
    let folder = workshop.path();
    for options in ["", "--scale least-error"] {
        let (said, checkpoint) = quantize(
            folder,
            &format!("--arch resnet18 --variant cifar --throttle=in-place-msb-48-24 {options}"),
        );
        let number = |text: &str| text.split([' ', ':']).find_map(|word| word.parse::<usize>().ok()).unwrap();
        let line = said.lines().find(|line| line.contains("were clamped")).expect("a line that counts");
        assert_eq!(number(line), number(&checkpoint.provenance.weight_edits), "{options}: {line}");
        assert!(
            number(line) > 0 && line.ends_with("into the range of in-place-msb-48-24: [-16, 15]"),
            "{line}"
        );
    }
    let (said, _) = quantize(folder, "--arch resnet18 --variant cifar --throttle=in-place-list");
    assert!(said.contains("in-place-list stores any weights: none was clamped"), "{said}");
}
