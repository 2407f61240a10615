//! `zerospace reproduce`, and the networks that it carries.

use std::path::Path;

use sha2::{Digest, Sha256};

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

#[test]
fn every_network_in_the_repository_fits_the_code_and_names_its_recipe() {
    let networks = root().join("experiments/networks");
    let mut total = 0;
    for file in std::fs::read_dir(&networks).unwrap() {
        let path = file.unwrap().path();
        let shown = succeed(&root(), &["inspect", path.to_str().unwrap()]);
        assert!(shown.contains("in-place-64-57 can store this network"), "{shown}");
        let recipe = format!("{}.toml", path.file_stem().unwrap().to_str().unwrap());
        let bytes = std::fs::read(root().join("experiments/recipes").join(&recipe)).unwrap();
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let origin = format!("weights from {recipe} (SHA-256 {hash})");
        assert!(shown.contains(&origin), "expected `{origin}` in\n{shown}");
        total += std::fs::metadata(&path).unwrap().len();
    }
    assert!(total < 8 << 20, "networks take {total} bytes, expected under 8 MiB");
}
