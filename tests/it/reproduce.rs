//! `zerospace reproduce`, and the networks that it carries.

use std::path::Path;

use crate::program::{root, succeed, zerospace};

#[test]
fn the_papers_experiment_runs_offline_to_the_published_records() {
    let folder = tempfile::tempdir().unwrap();
    let said = zerospace(folder.path(), &["reproduce"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("the images are synthetic"), "{}", said.stderr);
    let run = folder.path().join("runs/reproduce");
    for network in ["vgg16", "resnet18", "squeezenet"] {
        assert!(said.stdout.contains(&format!("**{network}**")), "{}", said.stdout);
    }
    for file in ["report.md", "accuracy-vs-rate.svg"] {
        assert!(said.stdout.contains(&format!("runs/reproduce/{file}")), "{}", said.stdout);
        assert!(run.join(file).exists());
    }
    // Any machine, any instruction set: the bytes in the repository.
    let records = |folder: &Path| std::fs::read(folder.join("trials.parquet")).unwrap();
    assert!(
        records(&run) == records(&root().join("results/reproduce")),
        "records differ from results/reproduce; summary:\n{}",
        said.stdout
    );

    let again = zerospace(folder.path(), &["reproduce"]);
    assert!(again.stderr.contains("96 units were there, 0 computed"), "{}", again.stderr);
}

/// The SHA-256 of a recipe as it was when its networks were trained: before variants had names, so that images of 32 x 32
/// pixels meant what `variant = "cifar"` says.
fn as_trained(recipe: &str) -> String {
    let text = std::fs::read_to_string(root().join("experiments/recipes").join(recipe)).unwrap();
    durable::sha256_hex(text.replace("variant = \"cifar\"\n", "").as_bytes())
}

#[test]
fn every_network_in_the_repository_fits_the_code_and_names_its_recipe() {
    let networks = root().join("experiments/networks");
    let mut total = 0;
    for file in std::fs::read_dir(&networks).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let shown = succeed(&root(), &["inspect", path.to_str().unwrap()]);
        assert!(shown.contains("in-place-64-57 can store this network"), "{shown}");
        let recipe = format!("{}.toml", path.file_stem().unwrap().to_str().unwrap());
        let hash = as_trained(&recipe);
        let origin = format!("weights from {recipe} (SHA-256 {hash})");
        assert!(shown.contains(&origin), "expected `{origin}` in\n{shown}");
        total += std::fs::metadata(&path).unwrap().len();
    }
    assert!(total < 8 << 20, "networks take {total} bytes, expected under 8 MiB");
}

/// Checks that a network has the weights of a recipe, in the range of its version, and returns it.
fn checked_network(path: &Path, version: &str, recipe: &str, sha256: &str) -> quant::Checkpoint {
    let name = path.display();
    let checkpoint = quant::Checkpoint::load(path).unwrap();
    let provenance = &checkpoint.provenance;
    let origin = (provenance.source.as_str(), provenance.source_sha256.as_str());
    assert_eq!(origin, (recipe, sha256), "{name}");
    let protection = ecc::by_id(match version {
        "one-bit" | "qatt" => "in-place-64-57",
        "two-bit" | "two-bit-largest" => "in-place-dected-64-51",
        "six-bit" | "six-bit-randbet" => "in-place-msb-32-16",
        "five-bit" => "in-place-msb-48-24",
        "four-bit" => "in-place-msb-64-32",
        "int8" | "clipped" | "randbet" => "faulty",
        other => panic!("no version is called {other}"),
    });
    let constraint = protection.unwrap().constraint();
    for weights in &checkpoint.weights {
        assert_eq!(constraint.violations(weights.values()).next(), None, "{name}");
    }
    checkpoint
}

#[test]
fn every_network_in_a_narrower_range_fits_its_code_and_names_its_recipe() {
    let mut total = 0;
    for file in std::fs::read_dir(root().join("experiments/networks/zero-space")).unwrap() {
        let path = file.unwrap().path();
        let (network, version) = path.file_stem().unwrap().to_str().unwrap().split_once('-').unwrap();
        let recipe = format!("{network}-zero-space-cifar10.toml");
        checked_network(&path, version, &recipe, &as_trained(&recipe));
        total += std::fs::metadata(&path).unwrap().len();
    }
    assert!(total < 16 << 20, "networks take {total} bytes, expected under 16 MiB");
}

#[test]
fn every_network_of_another_training_fits_its_code_and_names_its_recipe() {
    for file in std::fs::read_dir(root().join("experiments/networks/trainings")).unwrap() {
        let path = file.unwrap().path();
        let (name, training) = path.file_stem().unwrap().to_str().unwrap().rsplit_once('-').unwrap();
        let (network, version) = name.split_once('-').unwrap();
        let recipe = format!("{network}-trainings-cifar10.toml");
        let text = std::fs::read(root().join("experiments/recipes").join(&recipe)).unwrap();
        let checkpoint = checked_network(&path, version, &recipe, &durable::sha256_hex(&text));
        let edits = &checkpoint.provenance.weight_edits;
        assert!(version == "int8" || edits.contains(&format!(", seed {training}, ")), "{name}: {edits}");
    }
}
