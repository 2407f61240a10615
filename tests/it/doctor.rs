//! `zerospace doctor`: the record that it compares with, and what it finds.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{root, succeed, workshop, zerospace};

fn record() -> Value {
    let path = root().join("results/bench/2026-11-28-intel-xeon/doctor.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_recorded_trials_are_published_ones() {
    let rows = records::read_trials(&root().join("results/reproduce/trials.parquet")).unwrap();
    let trials = record()["trials"].as_array().unwrap().clone();
    let networks: Vec<&str> = trials.iter().map(|trial| trial["network"].as_str().unwrap()).collect();
    assert_eq!(networks, ["vgg16", "resnet18", "squeezenet"]);
    for trial in &trials {
        let record: design::TrialRecord = serde_json::from_value(trial["record"].clone()).unwrap();
        let published =
            rows.iter().find(|row| row.cell == trial["cell"].as_str().unwrap() && row.record == record);
        let published = published.unwrap_or_else(|| panic!("no such trial in results/reproduce: {trial}"));
        assert_eq!(published.model, trial["network"].as_str().unwrap());
        assert!(record.weights_changed > 0, "the network is not run: {trial}");
    }
}

#[test]
fn a_sound_machine_is_ready_and_its_document_says_what_the_text_says() {
    let workshop = workshop();
    let folder = workshop.path();
    fs::create_dir(folder.join("data/checkpoints")).unwrap();
    fs::write(folder.join("data/checkpoints/resnet20.th"), "").unwrap();
    let said = zerospace(folder, &["doctor"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.ends_with("\nready\n"), "{}", said.stdout);
    assert_eq!(said.stdout.matches("| the same bits |").count(), 3, "{}", said.stdout);
    assert!(said.stdout.contains("- checkpoints: data/checkpoints/resnet20.th\n"), "{}", said.stdout);
    assert!(!folder.join("runs").exists(), "it makes nothing");

    let document: Value = serde_json::from_str(&succeed(folder, &["doctor", "--format", "json"])).unwrap();
    assert_eq!((&document["format"], &document["ready"]), (&"zerospace.doctor/1".into(), &true.into()));
    let set = |name: &str| {
        let sets = document["sets"].as_array().or(document["data"]["sets"].as_array()).unwrap();
        sets.iter().find(|set| set["set"] == name).unwrap().clone()
    };
    assert_eq!(set("cifar10")["test"], "binary");
    assert_eq!(set("synthetic")["train"], "drawn");
    assert!(set("mnist")["test"].is_null());
    let missing = set("mnist")["missing"].as_str().unwrap().to_string();
    assert!(missing.contains("t10k-images-idx3-ubyte") && said.stdout.contains(&missing), "{missing}");
    for (trial, recorded) in
        document["trials"].as_array().unwrap().iter().zip(record()["trials"].as_array().unwrap())
    {
        assert_eq!((&trial["record"], &trial["same"]), (&recorded["record"], &true.into()));
    }
    let speeds = document["speeds"].as_array().unwrap();
    assert_eq!(speeds.len(), record()["speeds"].as_array().unwrap().len());
    for speed in speeds {
        let [here, there, ratio] = ["value", "recorded", "ratio"].map(|name| speed[name].as_f64().unwrap());
        assert!(here > 0.0 && (here / there - ratio).abs() < 1e-9, "{speed}");
    }
    for place in document["places"].as_array().unwrap() {
        assert!(place["problem"].is_null() && place["free_bytes"].as_u64().unwrap() > 0, "{place}");
    }
    let forms = document["inference_kernels"].as_array().unwrap();
    assert!(forms.len() >= infer::kernel_forms().len() && forms[0] == "portable");
}

#[test]
fn a_machine_that_cannot_write_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A file where a directory must be, which stops the superuser too.
    let said = zerospace(folder, &["doctor", "--out", "/proc/self/runs"]);
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    let sentence = "/proc/self/runs: run directories cannot be made there: ";
    assert!(said.stdout.contains(&format!("to mend:\n- {sentence}")), "{}", said.stdout);
    assert!(
        said.stderr.contains(&format!("\nerror: this machine is not ready: {sentence}")),
        "{}",
        said.stderr
    );
}

#[test]
fn a_record_is_what_the_program_carries() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(succeed(folder, &["doctor", "--record", "here.json"]), "here.json\n");
    let here: Value =
        serde_json::from_str(&fs::read_to_string(Path::new(folder).join("here.json")).unwrap()).unwrap();
    assert_eq!((&here["format"], &here["trials"]), (&record()["format"], &record()["trials"]));
    let names = |record: &Value| -> Vec<Value> {
        record["speeds"].as_array().unwrap().iter().map(|speed| speed["name"].clone()).collect()
    };
    assert_eq!(names(&here), names(&record()));
}
