//! Experiment files that bring a code by its parity-check matrix.

use std::path::Path;

use campaign::{Experiment, Network, StoredNetwork, plan};
use design::{BitErrorRate, EvaluationSet, FaultKind};
use ecc::{MemoryLayout, SecDed, by_id};

fn toml(code: &str, protection: &str) -> String {
    format!(
        r#"
name = "tiny"
title = "Tiny"
seed = 7
trials = 3
fault_model = "bernoulli"
rates = [1e-3]
protections = ["ecc", "{protection}"]

[[code]]
{code}

[[model]]
label = "tiny"
checkpoint = "tiny.safetensors"

[data]
set = "cifar10"
split = "test"
"#
    )
}

/// The matrix of secded-72-64 as text.
fn matrix() -> String {
    let row = |row: usize| -> String {
        SecDed::code().columns().iter().map(|column| if column >> row & 1 == 1 { '1' } else { '0' }).collect()
    };
    (0..8).map(|number| row(number) + "\n").collect()
}

#[test]
fn a_code_of_the_experiment_file_has_cells_and_trials() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("h.txt"), matrix()).unwrap();
    let file = folder.path().join("x.toml");
    let text = toml("name = \"of-file\"\nmatrix = \"h.txt\"\ncorrects = 1", "of-file");
    let experiment = Experiment::parse(&text, &file).unwrap();
    // Reading the file again registers the same code.
    assert_eq!(Experiment::parse(&text, &file).unwrap(), experiment);
    let layout = MemoryLayout::new([("fc.weight", 80_000)]);
    let plane = (0..80_000).map(|i| (i * 37 % 256) as u8 as i8).collect();
    let network =
        Network { label: "tiny".into(), digest: "d".into(), evaluator: "tiny".into(), layout, plane };
    let evaluation = EvaluationSet {
        name: "none".into(),
        split: "test".into(),
        images: 1,
        digest: "e".into(),
        unreadable_files: 0,
        label_free: false,
        images_per_trial: None,
    };
    let cells = plan(&experiment, std::slice::from_ref(&network), &evaluation).unwrap();
    assert_eq!(cells.len(), 2);
    let [built_in, own] = [&cells[0], &cells[1]];
    assert!(own.id() != built_in.id());
    let columns = built_in.protection_parameters.split(' ').nth(1).unwrap();
    assert_eq!(
        own.protection_parameters,
        format!("matrix code, 8 weights, 1 flips, bits 0-71, check bits 64-71, columns {columns} due keep")
    );
    let trial = |id: &str| {
        let memory = StoredNetwork::new(&network, by_id(id).unwrap()).unwrap();
        let trial = memory.trial(FaultKind::Bernoulli, BitErrorRate::new(3e-3).unwrap(), 7, 0);
        (trial.changes, trial.pattern, [trial.words_hit, trial.corrected, trial.detected, trial.miscorrected])
    };
    assert_eq!(trial("of-file"), trial("ecc"));
}

#[test]
fn a_code_that_is_none_is_refused_with_its_file_and_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("h.txt"), matrix()).unwrap();
    std::fs::write(folder.path().join("bad.txt"), "101\n1x1\n").unwrap();
    let file = folder.path().join("x.toml");
    let refused = |code: &str| {
        let said = Experiment::parse(&toml(code, "refused"), &file).unwrap_err().to_string();
        said.replace(&format!("{}/", folder.path().display()), "")
    };
    let code = |name: &str, file: &str, corrects: u64| {
        refused(&format!("name = {name:?}\nmatrix = {file:?}\ncorrects = {corrects}"))
    };
    assert!(code("refused", "absent.txt", 1).starts_with("absent.txt: "));
    assert_eq!(code("refused", "bad.txt", 1), "bad.txt: line 2: column 2 is 'x', expected 0 or 1");
    assert_eq!(
        code("refused", "h.txt", 2),
        "x.toml: code \"refused\": 2 flips of 72 bits cannot be corrected by 8 check bits, which have too few syndromes, \
         expected fewer flips"
    );
    assert_eq!(
        code("ecc", "h.txt", 1),
        "x.toml: code \"ecc\": the id of the protection is `ecc`, expected one that no built-in protection has"
    );
    assert!(
        code("a b", "h.txt", 1).starts_with("x.toml: code \"a b\": protection \"a b\": the id is \"a b\", ")
    );
    let text = toml("name = \"other\"\nmatrix = \"h.txt\"\ncorrects = 1", "never");
    let said = Experiment::parse(&text, Path::new(&file)).unwrap_err().to_string();
    assert!(said.contains("`protections` is \"never\", expected one of faulty, "), "{said}");
}
