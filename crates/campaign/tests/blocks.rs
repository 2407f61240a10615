//! Campaigns whose trials each see a block of the images, through the public interface.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use campaign::{
    CellTrials, ChangedTrial, Evaluation, EvaluationError, Evaluator, Experiment, Network, NetworkUnderTest,
    Outputs, RunControl, Shard, StoredNetwork, plan, run,
};
use design::{EvaluationSet, HalfWidthRule, StopRule, TrialRecord};
use ecc::MemoryLayout;
use inject::ImageBlocks;
use records::{Environment, Manifest, Merged, Store, TrialRow};

const IMAGES: u64 = 24;

fn network() -> Network {
    let layout = MemoryLayout::new([("fc.weight", 400)]);
    let plane = (0..400).map(|i| (i * 37 % 128) as i8 - 64).collect();
    Network { label: "tiny".into(), digest: "d1".into(), evaluator: "tiny-1".into(), layout, plane }
}

/// Image i is classified wrongly when a changed weight's index is i modulo 24.
struct Tiny;

impl Evaluator for Tiny {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        let of = |trial: &ChangedTrial<'_>| {
            let class = |image: u32| match trial.changes.iter().any(|c| c.index % 24 == image as usize) {
                true => 2,
                false => clean(image),
            };
            match trial.images {
                None => Outputs::Predictions((0..24).map(class).collect()),
                Some(images) => Outputs::Predictions(images.iter().map(|&image| class(image)).collect()),
            }
        };
        Ok(trials.iter().map(of).collect())
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}

/// Every fifth image is classified as another class than the others.
fn clean(image: u32) -> u16 {
    u16::from(!image.is_multiple_of(5))
}

/// The label of image 6 is the class that faults give; all others are 1.
fn labels() -> Vec<u16> {
    (0..24).map(|image| if image == 6 { 2 } else { 1 }).collect()
}

fn text(per_trial: &str) -> String {
    format!(
        r#"
name = "tiny"
title = "Tiny"
seed = 7
trials = 23
unit_trials = 10
fault_model = "bernoulli"
rates = [1e-4, 1e-3, 1e-2]
protections = ["faulty", "secded-72-64"]

[[model]]
label = "tiny"
checkpoint = "tiny.safetensors"

[data]
set = "none"
split = "test"
{per_trial}
"#
    )
}

fn experiment(text: &str) -> Result<Experiment, String> {
    Experiment::parse(text, Path::new("x.toml")).map_err(|error| error.to_string())
}

fn manifest(per_trial: &str) -> Manifest {
    let text = text(per_trial);
    let experiment = experiment(&text).unwrap();
    let set = EvaluationSet {
        name: "none".into(),
        split: "test".into(),
        images: IMAGES,
        digest: "e".into(),
        ..EvaluationSet::default()
    };
    let cells = plan(&experiment, &[network()], &set).unwrap();
    Manifest::new("tiny", &text, vec![], cells, 23, 10, Environment::default())
}

fn evaluation(per_trial: Option<u64>) -> Evaluation {
    Evaluation::new(labels(), (0..24).map(clean).collect()).in_blocks(7, per_trial)
}

fn run_in(root: &Path, manifest: Manifest, evaluation: &Evaluation) -> Result<Vec<TrialRow>, String> {
    let network = network();
    let store = Store::create(root, manifest).unwrap();
    let subject = NetworkUnderTest { network: &network, evaluator: &mut Tiny, evaluation };
    let ran = run(&store, &mut [subject], Shard::WHOLE, &|| RunControl::Continue, &mut |_| {});
    ran.map_err(|error| error.to_string())?;
    let Merged::Complete(path) = store.merge().unwrap() else { panic!("all units were computed") };
    Ok(records::read_trials(&path).unwrap())
}

/// A trial has on its block the counts that the whole set has there, under the faults of the design with all images.
#[test]
fn a_trial_sees_its_block_under_the_faults_of_the_whole_set() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let whole = run_in(folders[0].path(), manifest(""), &evaluation(None)).unwrap();
    let drawn = manifest("images_per_trial = 7");
    assert_eq!(drawn.manifest_version, 5);
    let rows = run_in(folders[1].path(), drawn, &evaluation(Some(7))).unwrap();
    assert_eq!(rows.len(), whole.len());
    let blocks = ImageBlocks::new(7, 24, 7);
    let (memory, labels) = (network(), labels());
    let mut changed = 0;
    for (row, whole) in rows.iter().zip(&whole) {
        let TrialRecord { trial, .. } = row.record;
        assert_ne!(row.cell, whole.cell);
        assert_eq!((row.images, row.images_per_trial), (24, Some(7)));
        assert_eq!(row.clean_correct, whole.clean_correct);
        assert_eq!(row.record.pattern_hash, whole.record.pattern_hash);
        assert_eq!(row.record.weights_hash, whole.record.weights_hash);
        let block = blocks.block(trial);
        let protection = ecc::by_id(&row.protection).unwrap();
        let stored = StoredNetwork::new(&memory, protection).unwrap();
        let rate = design::BitErrorRate::new(row.rate).unwrap();
        let trials = CellTrials::ordinary(&stored, &row.fault_model, rate, 7).unwrap();
        let changes = trials.trial(trial).changes;
        let all = [ChangedTrial { number: trial, changes: &changes, images: None }];
        let Outputs::Predictions(classes) = Tiny.evaluate(&all).unwrap().remove(0) else { unreachable!() };
        let count = |is: &dyn Fn(usize) -> bool| block.iter().filter(|&&i| is(i as usize)).count() as u64;
        let is_clean = |i: usize| clean(i as u32) == labels[i];
        let counts = row.record.block.unwrap();
        assert_eq!(row.record.correct, count(&|i| classes[i] == labels[i]));
        assert_eq!(row.record.agree, count(&|i| classes[i] == clean(i as u32)));
        assert_eq!(counts.clean_correct, count(&is_clean));
        assert_eq!(counts.both_correct, count(&|i| is_clean(i) && classes[i] == labels[i]));
        let of_block = Outputs::Predictions(block.iter().map(|&i| classes[i as usize]).collect());
        assert_eq!(row.record.predictions_hash, of_block.hash());
        changed += usize::from(!changes.is_empty());
    }
    assert!((20..130).contains(&changed), "{changed} of {} trials have changes", rows.len());
    // Every image is used equally often over a cell: 23 x 7 = 161 uses of 24 images are 6 or 7 each.
    let mut uses = vec![0; 24];
    (0..23).flat_map(|trial| blocks.block(trial)).for_each(|image| uses[image as usize] += 1);
    assert!(uses.iter().all(|&count| count == 6 || count == 7), "{uses:?}");
}

/// A cell ends with the first unit after which its interval is narrow enough, whatever the threads and shards.
#[test]
fn a_stop_rule_ends_cells_whose_intervals_are_narrow() {
    let rule = HalfWidthRule { half_width: 2.0 };
    let planned = |stop| Manifest { trials: 400, stop, ..manifest("images_per_trial = 7") };
    let all = tempfile::tempdir().unwrap();
    let all = run_in(all.path(), planned(None), &evaluation(Some(7))).unwrap();
    let mut expected: Vec<TrialRow> = Vec::new();
    let mut lengths = BTreeSet::new();
    for cell in planned(None).cells {
        let trials: Vec<&TrialRow> = all.iter().filter(|row| row.cell == cell.id.as_str()).collect();
        let drops: Vec<f64> = trials
            .iter()
            .map(|row| row.record.block.unwrap().clean_correct as f64 - row.record.correct as f64)
            .map(|drop| 100.0 * drop / 7.0)
            .collect();
        let is_narrow = |end: usize| {
            let (n, drops) = (end as f64, &drops[..end]);
            let mean = drops.iter().sum::<f64>() / n;
            let variance = drops.iter().map(|drop| (drop - mean).powi(2)).sum::<f64>() / (n - 1.0);
            1.96 * (variance / n).sqrt() <= 2.0
        };
        // 300 / 2 is 150.
        let end = (150..=400).step_by(10).find(|&end| is_narrow(end)).unwrap_or(400);
        lengths.insert(end);
        expected.extend(trials.into_iter().take(end).cloned());
    }
    assert!(lengths.len() > 1 && lengths.contains(&150), "the rule matters: {lengths:?}");

    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let stop = Some(StopRule::HalfWidth(rule));
        let found = pool.install(|| run_in(folder.path(), planned(stop), &evaluation(Some(7))).unwrap());
        assert_eq!(found, expected, "{threads} threads");
        assert_eq!(Store::open(folder.path()).unwrap().manifest().manifest_version, 6);
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), planned(Some(StopRule::HalfWidth(rule)))).unwrap();
    let (network, evaluation) = (network(), evaluation(Some(7)));
    for index in [2, 0, 1] {
        let subject = NetworkUnderTest { network: &network, evaluator: &mut Tiny, evaluation: &evaluation };
        let shard = Shard::new(index, 3).unwrap();
        run(&store, &mut [subject], shard, &|| RunControl::Continue, &mut |_| {}).unwrap();
    }
    let Merged::Complete(path) = store.merge().unwrap() else { panic!("all shards have run") };
    assert_eq!(records::read_trials(&path).unwrap(), expected);
}

/// A stop in the middle keeps the trials of all units in work.
#[test]
fn a_stopped_run_resumes_in_the_middle_of_several_units() {
    let whole = tempfile::tempdir().unwrap();
    let expected = run_in(whole.path(), manifest("images_per_trial = 7"), &evaluation(Some(7))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest("images_per_trial = 7")).unwrap();
    let (network, evaluation) = (network(), evaluation(Some(7)));
    let mut begun = Vec::new();
    loop {
        let asked = Cell::new(0);
        let control = || {
            asked.set(asked.get() + 1);
            if asked.get() > 9 { RunControl::Stop } else { RunControl::Continue }
        };
        let subject = NetworkUnderTest { network: &network, evaluator: &mut Tiny, evaluation: &evaluation };
        let outcome = run(&store, &mut [subject], Shard::WHOLE, &control, &mut |_| {}).unwrap();
        begun.extend(outcome.begun);
        if outcome.left == 0 {
            break;
        }
    }
    assert!(begun.iter().any(|&(_, of)| of == 60), "six units are in work together: {begun:?}");
    let Merged::Complete(path) = store.merge().unwrap() else { panic!("nothing is left") };
    assert_eq!(records::read_trials(&path).unwrap(), expected);
}

/// An evaluator whose classes depend on the block gives the classes without faults there too.
#[test]
fn the_fault_free_classes_of_a_block_may_be_its_own() {
    struct Ranked;
    /// Class 1 for the images in the first half of the block.
    fn classes(block: &[u32]) -> Vec<u16> {
        (0..block.len()).map(|place| u16::from(place < block.len() / 2)).collect()
    }
    impl Evaluator for Ranked {
        fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
            let blocks = trials.iter().map(|trial| trial.images.unwrap());
            Ok(blocks.map(|block| Outputs::Predictions(classes(block))).collect())
        }

        fn clean_on(&mut self, blocks: &[Vec<u32>]) -> Result<Option<Vec<Vec<u16>>>, EvaluationError> {
            Ok(Some(blocks.iter().map(|block| classes(block)).collect()))
        }
    }
    let network = network();
    let memory = StoredNetwork::new(&network, ecc::by_id("faulty").unwrap()).unwrap();
    let rate = design::BitErrorRate::new(1e-3).unwrap();
    let trials = CellTrials::ordinary(&memory, &"bernoulli".parse().unwrap(), rate, 7).unwrap();
    let drawn: Vec<_> = (0..20).map(|number| trials.trial(number)).collect();
    let changed = drawn.iter().filter(|trial| !trial.changes.is_empty()).count();
    assert!((1..20).contains(&changed), "{changed} of 20 trials have changes");
    for record in evaluation(Some(7)).records(0, drawn, &mut Ranked).unwrap() {
        let counts = record.block.unwrap();
        assert_eq!((record.agree, counts.clean_correct), (7, counts.both_correct));
        assert_eq!(record.correct, counts.clean_correct);
    }
}

/// An evaluation of another design than the plan's is found before the first trial.
#[test]
fn a_plan_and_its_evaluation_have_one_design() {
    let folder = tempfile::tempdir().unwrap();
    let error = run_in(folder.path(), manifest("images_per_trial = 7"), &evaluation(Some(6))).unwrap_err();
    assert!(error.ends_with("the evaluation gives a trial 6 images, expected 7"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = run_in(folder.path(), manifest(""), &evaluation(Some(6))).unwrap_err();
    assert!(error.ends_with("the evaluation gives a trial 6 images, expected all"), "{error}");
}

#[test]
fn an_impossible_number_of_images_a_trial_is_refused() {
    let refused = |more: &str| experiment(&text(more)).unwrap_err();
    assert_eq!(
        refused("images_per_trial = 0"),
        "x.toml: `data.images_per_trial` is 0, expected 1 to the number of images"
    );
    assert_eq!(
        refused("images = 10\nimages_per_trial = 11"),
        "x.toml: `data.images_per_trial` is 11, expected 1 to 10"
    );
    let stop = refused("images_per_trial = 5\n[stop]\nfailures = 3\ndrop_points = 1.0");
    assert_eq!(
        stop,
        "x.toml: `data.images_per_trial` is 5, expected no key with `stop.failures`, only with `stop.half_width`: a trial's loss is known on its own images only"
    );
    assert!(experiment(&text("images_per_trial = 5\n[stop]\nhalf_width = 0.5")).is_ok());
    assert!(experiment(&text("images_per_trial = 5\n[evaluator]\nname = \"a\"\nversion = \"1\"")).is_ok());
    let many = experiment(&text("images_per_trial = 25")).unwrap();
    let set = EvaluationSet { images: IMAGES, ..EvaluationSet::default() };
    let error = plan(&many, &[network()], &set).unwrap_err().to_string();
    assert_eq!(error, "`data.images_per_trial` is 25, expected 1 to 24, the number of images");
    assert!(experiment(&text("images_per_trial = 24")).is_ok());
}
