//! Campaigns whose evaluator is the user's own: scores in place of predictions, failures, and determinism.

use std::cell::Cell;
use std::path::Path;

use campaign::{
    ChangedTrial, Evaluation, EvaluationError, Evaluator, Experiment, Network, NetworkUnderTest, Outputs,
    RunControl, RunError, RunOutcome, Shard, own_evaluator_id, plan, run,
};
use design::{Better, EvaluationSet, Metric};
use ecc::MemoryLayout;
use records::{Environment, Manifest, Merged, Store, TrialRow, read_trials};

const CLEAN: [f64; 2] = [0.75, 2.0];

fn metrics() -> Vec<Metric> {
    [("mAP", Better::Higher), ("loss", Better::Lower)]
        .map(|(name, better)| Metric { name: name.into(), better })
        .to_vec()
}

fn network() -> Network {
    let layout = MemoryLayout::new([("a", 45), ("b", 52)]);
    let weights: Vec<i8> = (0..97).map(|i| (i * 37 % 128) as i8 - 64).collect();
    let plane = layout.pack([&weights[..45], &weights[45..]]);
    let evaluator = own_evaluator_id("detector", "1", &Outputs::Scores(CLEAN.to_vec()));
    Network { label: "tiny".into(), digest: "d1".into(), evaluator, layout, plane }
}

fn toml() -> &'static str {
    r#"
name = "tiny"
title = "Tiny"
seed = 7
trials = 23
unit_trials = 10
fault_model = "bernoulli"
rates = [1e-3, 1e-2]
protections = ["faulty", "ecc"]

[[model]]
label = "tiny"
checkpoint = "tiny.safetensors"

[evaluator]
name = "detector"
version = "1"
metrics = [{ name = "mAP", better = "higher" }, { name = "loss", better = "lower" }]
"#
}

fn experiment(text: &str) -> Result<Experiment, String> {
    Experiment::parse(text, Path::new("x.toml")).map_err(|error| error.to_string())
}

fn store(root: &Path) -> Store {
    let experiment = experiment(toml()).unwrap();
    let set = EvaluationSet { name: "detector".into(), ..EvaluationSet::default() };
    let cells = plan(&experiment, &[network()], &set).unwrap();
    let manifest = Manifest::new("tiny", toml(), vec![], cells, 23, 10, Environment::default());
    Store::create(root, manifest).unwrap()
}

fn evaluation() -> Evaluation {
    Evaluation::scores(metrics(), Outputs::Scores(CLEAN.to_vec())).unwrap()
}

/// A score per metric: each changed weight takes 1/128 of the mAP and adds its position to the loss.
fn scores(trial: &ChangedTrial<'_>) -> Outputs {
    let positions: usize = trial.changes.iter().map(|change| change.index).sum();
    Outputs::Scores(vec![CLEAN[0] - trial.changes.len() as f64 / 128.0, CLEAN[1] + positions as f64 / 3.0])
}

/// An evaluator whose outputs are a function, which also gets the number of the call.
struct Own<F>(F, u64);

impl<F: FnMut(u64, &ChangedTrial<'_>) -> Result<Outputs, EvaluationError>> Evaluator for Own<F> {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        assert!(trials.iter().all(|trial| !trial.changes.is_empty()), "an unchanged trial has clean outputs");
        self.1 += 1;
        trials.iter().map(|trial| self.0(self.1, trial)).collect()
    }
}

fn run_with(
    root: &Path,
    shard: Shard,
    evaluate: impl FnMut(u64, &ChangedTrial<'_>) -> Result<Outputs, EvaluationError>,
) -> Result<RunOutcome, RunError> {
    let (network, evaluation) = (network(), evaluation());
    let subject =
        NetworkUnderTest { network: &network, evaluator: &mut Own(evaluate, 0), evaluation: &evaluation };
    run(&store(root), &mut [subject], shard, &|| RunControl::Continue, &mut |_| ())
}

fn rows(root: &Path) -> Vec<TrialRow> {
    let Merged::Complete(path) = Store::open(root).unwrap().merge().unwrap() else { panic!("incomplete") };
    read_trials(&path).unwrap()
}

fn merged_bytes(root: &Path) -> Vec<u8> {
    rows(root);
    std::fs::read(root.join("trials.parquet")).unwrap()
}

#[test]
fn scores_are_recorded_and_unchanged_trials_have_the_clean_scores() {
    let folder = tempfile::tempdir().unwrap();
    run_with(folder.path(), Shard::WHOLE, |_, trial| Ok(scores(trial))).unwrap();
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 4 * 23);
    let network = network();
    let mut unchanged = 0;
    for row in &rows {
        assert_eq!((&*row.metrics, &row.clean_scores[..]), (&metrics()[..], &CLEAN[..]));
        assert_eq!((row.images, row.clean_correct, row.record.correct, row.record.agree), (0, 0, 0, 0));
        assert_eq!(row.data_set, "detector");
        assert_eq!(row.record.scores[0], CLEAN[0] - row.record.weights_changed as f64 / 128.0);
        assert_eq!(row.record.predictions_hash, Outputs::Scores(row.record.scores.clone()).hash());
        unchanged += usize::from(row.record.weights_changed == 0);
    }
    assert!(0 < unchanged && unchanged < rows.len(), "{unchanged}");
    // SHA-256 of the little-endian bits of 0.75 and 2.0.
    assert_eq!(network.evaluator, "detector 1 6aa9e5323405e44d");
}

/// A kill, an error, shards and the order of processes leave no trace in the records.
#[test]
fn a_run_with_scores_resumes_and_shards_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    run_with(&at("whole"), Shard::WHOLE, |_, trial| Ok(scores(trial))).unwrap();
    for index in [1, 0, 2] {
        run_with(&at("shards"), Shard::new(index, 3).unwrap(), |_, trial| Ok(scores(trial))).unwrap();
    }
    let whole = merged_bytes(&at("whole"));
    assert_eq!(merged_bytes(&at("shards")), whole);

    let mut errors = 0;
    // Two calls test the evaluator, and the fifth trial that it gets after them fails.
    while let Err(error) = run_with(&at("errors"), Shard::WHOLE, |call, trial| match call {
        8 => Err(EvaluationError::new(trial.number, "out of memory")),
        _ => Ok(scores(trial)),
    }) {
        let RunError::Evaluator { cell, error } = error else { panic!("{error}") };
        assert!(cell.starts_with("tiny "), "{cell}");
        assert_eq!(error.to_string(), format!("trial {}: out of memory", error.trial.unwrap()));
        errors += 1;
    }
    assert!(errors > 3, "{errors}");
    assert_eq!(merged_bytes(&at("errors")), whole);
}

#[test]
fn all_trials_before_a_failure_are_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let failed = Cell::new(None);
    run_with(folder.path(), Shard::WHOLE, |call, trial| match call {
        7 => {
            failed.set(Some(trial.number));
            Err(EvaluationError::new(trial.number, "no memory"))
        }
        _ => Ok(scores(trial)),
    })
    .unwrap_err();
    let scan = store(folder.path()).scan().unwrap();
    let begun: Vec<u64> = scan.begun.values().map(|part| part.first + part.trials.len() as u64).collect();
    assert_eq!(begun, [failed.get().unwrap()]);
}

#[test]
fn wrong_outputs_name_metric_and_trial() {
    let error = |outputs: fn(Vec<f64>) -> Outputs| {
        let folder = tempfile::tempdir().unwrap();
        let failed = run_with(folder.path(), Shard::WHOLE, |call, trial| {
            let Outputs::Scores(right) = scores(trial) else { unreachable!() };
            Ok(if call == 5 { outputs(right) } else { Outputs::Scores(right) })
        });
        let RunError::Evaluator { error, .. } = failed.unwrap_err() else { panic!("another error") };
        assert!(error.trial.is_some());
        error.message
    };
    assert_eq!(
        error(|s| Outputs::Scores(vec![s[0], f64::NAN])),
        "the score of loss is NaN, expected a finite number"
    );
    assert_eq!(
        error(|s| Outputs::Scores(vec![f64::INFINITY, s[1]])),
        "the score of mAP is inf, expected a finite number"
    );
    assert_eq!(error(|s| Outputs::Scores(vec![s[0]])), "1 scores, expected a score for each of mAP, loss");
    assert_eq!(
        error(|_| Outputs::Predictions(vec![1; 3])),
        "3 predictions, expected a score for each of mAP, loss"
    );

    let clean = |outputs| Evaluation::scores(metrics(), outputs).unwrap_err().to_string();
    assert_eq!(
        clean(Outputs::Scores(vec![f64::NAN, 1.0])),
        "without faults: the score of mAP is NaN, expected a finite number"
    );
    let own = |labels, outputs| Evaluation::own_predictions(2, labels, outputs);
    assert_eq!(own(Some(vec![1, 2]), Outputs::Predictions(vec![1, 1])).unwrap().clean_correct(), 1);
    assert_eq!(own(None, Outputs::Predictions(vec![1, 1])).unwrap().clean_correct(), 2);
    for (outputs, found) in
        [(Outputs::Predictions(vec![1; 3]), "3 predictions"), (Outputs::Scores(vec![1.0; 2]), "2 scores")]
    {
        let error = own(Some(vec![1, 2]), outputs).unwrap_err();
        assert_eq!(error.to_string(), format!("without faults: {found}, expected 2 predictions"));
    }
}

/// An evaluator that is not known to be deterministic is tested, not believed.
#[test]
fn determinism_is_tested_and_noted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let noted = |name: &str| Store::open(&at(name)).unwrap().determinism().unwrap().unwrap();
    run_with(&at("exact"), Shard::WHOLE, |_, trial| Ok(scores(trial))).unwrap();
    let found = noted("exact");
    assert!(found.deterministic && found.evidence.starts_with("trial 0 of cell "), "{found:?}");

    let noisy = |call: u64, trial: &ChangedTrial<'_>| {
        let Outputs::Scores(scores) = scores(trial) else { unreachable!() };
        Ok(Outputs::Scores(vec![scores[0], scores[1] + call as f64]))
    };
    run_with(&at("noisy"), Shard::WHOLE, noisy).unwrap();
    let found = noted("noisy");
    assert!(!found.deterministic && found.evidence.ends_with("in the same process"), "{found:?}");
    assert_eq!(rows(&at("noisy")).len(), 4 * 23);

    // A process that computes otherwise than the first, and then one that agrees with the first.
    let other = |_: u64, trial: &ChangedTrial<'_>| {
        let Outputs::Scores(scores) = scores(trial) else { unreachable!() };
        Ok(Outputs::Scores(vec![scores[0], scores[1] + 1.0]))
    };
    run_with(&at("two"), Shard::new(0, 2).unwrap(), |_, trial| Ok(scores(trial))).unwrap();
    assert!(noted("two").deterministic);
    run_with(&at("two"), Shard::new(1, 2).unwrap(), other).unwrap();
    assert!(noted("two").evidence.ends_with("gave other outputs in another process"));
    run_with(&at("two"), Shard::WHOLE, |_, trial| Ok(scores(trial))).unwrap();
    assert!(!noted("two").deterministic);
}

/// Only outputs may differ: other faults are another memory, whatever the evaluator.
#[test]
fn a_process_with_other_faults_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run_with(folder.path(), Shard::new(0, 2).unwrap(), |call, trial| {
        let Outputs::Scores(scores) = scores(trial) else { unreachable!() };
        Ok(Outputs::Scores(vec![call as f64, scores[1]]))
    })
    .unwrap();
    let canary = std::fs::read_dir(folder.path().join("canary")).unwrap().next().unwrap().unwrap().path();
    let mut part = records::Part::from_bytes(&std::fs::read(&canary).unwrap()).unwrap();
    part.trials[0].flips_data += 1;
    std::fs::write(&canary, part.to_bytes()).unwrap();
    let error = run_with(folder.path(), Shard::WHOLE, |_, trial| Ok(scores(trial))).unwrap_err();
    assert!(error.to_string().contains("the part differs from the records computed now"), "{error}");
}

#[test]
fn wrong_sections_are_refused_by_name() {
    let refused = |from: &str, to: &str| {
        assert!(toml().contains(from), "{from}");
        experiment(&toml().replace(from, to)).unwrap_err()
    };
    assert_eq!(
        refused(r#"version = "1""#, r#"version = "1 b""#),
        "x.toml: `evaluator.version` is \"1 b\", expected letters, digits, `-`, `_` and `.`"
    );
    assert_eq!(
        refused(r#"name = "loss""#, r#"name = "mAP""#),
        "x.toml: `evaluator.metrics`: \"mAP\" twice, expected different names"
    );
    assert!(
        refused(r#""lower""#, r#""down""#).contains("unknown variant `down`, expected `higher` or `lower`")
    );
    assert_eq!(
        refused("[evaluator]", "[data]\nset = \"none\"\nsplit = \"test\"\n[evaluator]"),
        "x.toml: `data` is given, expected no section: an `[evaluator]` with `metrics` has data of its own"
    );
    assert_eq!(
        refused("[evaluator]", "[stop]\nfailures = 3\ndrop_points = 1\n[evaluator]"),
        "x.toml: `stop` is given, expected no section with `evaluator.metrics`: its `drop_points` are percent of images"
    );
    let without_metrics =
        toml().lines().filter(|line| !line.starts_with("metrics")).collect::<Vec<_>>().join("\n");
    assert_eq!(
        experiment(&without_metrics).unwrap_err(),
        "x.toml: `data` is absent, expected the evaluation set: only an `[evaluator]` with `metrics` has data of its own"
    );
    for (key, expected) in [
        ("timeout_s = 0", "`evaluator.timeout_s` is 0, expected at least 1"),
        ("command = []", "`evaluator.command` is empty, expected a program and its arguments"),
    ] {
        assert_eq!(refused("version =", &format!("{key}\nversion =")), format!("x.toml: {expected}"));
    }
    assert!(
        refused("version =", "weights = \"all\"\nversion =")
            .contains("expected one of `changes`, `file`, `file-float`")
    );
}
