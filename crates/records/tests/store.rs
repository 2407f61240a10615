//! The store and its file formats through the public interface.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use design::{
    Better, BitErrorRate, BlockCounts, CellSpec, EvaluationSet, FailureRule, FaultKind, Metric,
    RECORD_VERSION, StopRule, StoredBits, TrialRecord,
};
use proptest::prelude::*;
use records::{
    Determinism, Environment, ExpectedOutcomes, Extension, FinishedUnit, Manifest, Merged, Part, PartError,
    Store, StoreError, TrialRow, Unit, read_trials, write_trials,
};

fn cell(rate: f64) -> CellSpec {
    CellSpec {
        record_version: RECORD_VERSION,
        evaluator: "e-1".into(),
        model: "m, \"quoted\"".into(),
        network: "n".into(),
        protection: "p".parse().unwrap(),
        protection_parameters: "".into(),
        fault_model: FaultKind::Bernoulli.into(),
        rate: BitErrorRate::new(rate).unwrap(),
        seed: u64::MAX,
        stored: StoredBits { weights: 5, padding_weights: 3, data_bits: 64, check_bits: 8 },
        evaluation: EvaluationSet {
            name: "d".into(),
            split: "test".into(),
            images: 10,
            digest: "x".into(),
            ..EvaluationSet::default()
        },
        changed_probability: None,
        metrics: vec![],
    }
}

fn trial(trial: u64) -> TrialRecord {
    TrialRecord {
        trial,
        flips_data: 1,
        flips_check: 2,
        pattern_hash: "00ff".into(),
        words_hit: 3,
        corrected: 4,
        detected: 5,
        miscorrected: 6,
        silent: 7,
        weights_changed: 8,
        padding_changed: 9,
        weights_hash: "aa".into(),
        correct: 10,
        agree: 11,
        predictions_hash: "bb".into(),
        scores: vec![],
        block: None,
    }
}

fn part(rate: f64, first: u64, count: u64) -> Part {
    Part {
        cell: cell(rate),
        first,
        clean_correct: 9,
        clean_scores: vec![],
        trials: (first..first + count).map(trial).collect(),
    }
}

/// Two cells of five trials in units of two: 2 + 2 + 1 each.
fn manifest() -> Manifest {
    Manifest::new("title", "toml", vec![], vec![cell(0.1), cell(0.2)], 5, 2, Environment::default())
}

fn complete(store: &Store) {
    for rate in [0.2, 0.1] {
        for (first, count) in [(4, 1), (0, 2), (2, 2)] {
            store.write(&part(rate, first, count)).unwrap();
        }
    }
}

#[test]
fn merging_needs_every_unit_and_gives_rows_in_plan_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    store.write(&part(0.1, 0, 2)).unwrap();
    let Merged::Missing(units) = store.merge().unwrap() else { panic!("one unit is not all") };
    assert_eq!(units.len(), 5);
    assert!(!folder.path().join("trials.parquet").exists());
    complete(&store);
    let Merged::Complete(path) = store.merge().unwrap() else { panic!("all units are there") };
    let rows = read_trials(&path).unwrap();
    let order: Vec<(f64, u64)> = rows.iter().map(|r| (r.rate, r.record.trial)).collect();
    let expected: Vec<(f64, u64)> = [0.1, 0.2].iter().flat_map(|&r| (0..5).map(move |t| (r, t))).collect();
    assert_eq!(order, expected);
    assert_eq!(rows[7], TrialRow::new(&cell(0.2), 9, &[], trial(2)));
}

#[test]
fn a_table_with_changed_trials_says_so_and_one_without_is_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let ordinary: Vec<TrialRow> = (0..3).map(|t| TrialRow::new(&cell(0.1), 9, &[], trial(t))).collect();
    let conditional = CellSpec { changed_probability: Some(1.2345678901234567e-12), ..cell(0.1) };
    let mut rows = ordinary.clone();
    rows.extend((0..3).map(|t| TrialRow::new(&conditional, 9, &[], trial(t))));
    std::fs::write(&path, write_trials(&rows).unwrap()).unwrap();
    assert_eq!(read_trials(&path).unwrap(), rows);
    let text = |rows: &[TrialRow]| String::from_utf8_lossy(&write_trials(rows).unwrap()).into_owned();
    assert!(text(&rows).contains("changed_probability") && !text(&ordinary).contains("changed_probability"));
    // A program that knows only ordinary trials reads version 1 alone.
    assert!(text(&rows).contains("zerospace.trials\u{18}\u{1}2"), "version 2");
    assert!(text(&ordinary).contains("zerospace.trials\u{18}\u{1}1"), "version 1");
}

fn scored(rate: f64) -> CellSpec {
    let metrics = [("mAP", Better::Higher), ("loss", Better::Lower)];
    let metrics = metrics.map(|(name, better)| Metric { name: name.into(), better });
    CellSpec { metrics: metrics.to_vec(), ..cell(rate) }
}

fn scored_part(scores: [f64; 2]) -> Part {
    let trials = vec![TrialRecord { scores: scores.to_vec(), ..trial(0) }];
    Part { cell: scored(0.1), first: 0, clean_correct: 0, clean_scores: vec![0.75, -0.0], trials }
}

/// Scores come back to the last bit, and files without scores say nothing of them.
#[test]
fn a_part_with_scores_comes_back_and_one_without_is_as_ever() {
    let part_with = scored_part([1.0 / 3.0, f64::MIN_POSITIVE]);
    let text = String::from_utf8(part_with.to_bytes()).unwrap();
    assert!(text.starts_with(r#"{"zerospace_part":1,"#), "{text}");
    assert!(text.contains(r#""clean_scores":[0.75,-0.0]}"#), "{text}");
    assert!(text.contains(r#""scores":[0.3333333333333333,2.2250738585072014e-308]}"#), "{text}");
    assert_eq!(Part::from_bytes(text.as_bytes()).unwrap(), part_with);
    let without = String::from_utf8(part(0.1, 0, 2).to_bytes()).unwrap();
    assert!(without.starts_with(r#"{"zerospace_part":1,"#) && !without.contains("scores"), "{without}");

    let mut short = part_with.clone();
    short.trials[0].scores.pop();
    let error = Part::from_bytes(&short.to_bytes()).unwrap_err().to_string();
    assert_eq!(error, "line 2: 1 scores, expected 2, one for each metric");
    let mut short = part_with;
    short.clean_scores.pop();
    let error = Part::from_bytes(&short.to_bytes()).unwrap_err().to_string();
    assert_eq!(error, "line 1: 1 scores, expected 2, one for each metric");
}

#[test]
fn a_table_with_scores_has_columns_for_them_and_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let row = |spec: &CellSpec, number: u64| {
        let record = TrialRecord { scores: vec![number as f64 / 3.0, -1e300], ..trial(number) };
        TrialRow::new(spec, 0, &[0.75, 2.0], record)
    };
    let mut rows: Vec<TrialRow> = (0..2000).map(|number| row(&scored(0.1), number)).collect();
    let text = |rows: &[TrialRow]| String::from_utf8_lossy(&write_trials(rows).unwrap()).into_owned();
    assert!(text(&rows).contains("zerospace.trials\u{18}\u{1}3") && text(&rows).contains("clean_score:loss"));
    for changed_probability in [None, Some(0.25)] {
        rows.push(row(&CellSpec { changed_probability, ..scored(0.2) }, 7));
        std::fs::write(&path, write_trials(&rows).unwrap()).unwrap();
        assert_eq!(read_trials(&path).unwrap(), rows);
    }
}

fn in_blocks(rate: f64, images_per_trial: u64) -> CellSpec {
    let mut cell = cell(rate);
    cell.evaluation.images_per_trial = Some(images_per_trial);
    cell
}

fn block_trial(number: u64, counts: [u64; 3]) -> TrialRecord {
    let [clean_correct, correct, both_correct] = counts;
    TrialRecord { correct, block: Some(BlockCounts { clean_correct, both_correct }), ..trial(number) }
}

/// Counts of blocks come back; parts and tables without them are as ever.
#[test]
fn records_of_blocks_come_back_and_others_say_nothing_of_them() {
    let of =
        |trials| Part { cell: in_blocks(0.1, 4), first: 0, clean_correct: 9, clean_scores: vec![], trials };
    let part_with = of(vec![block_trial(0, [4, 1, 1]), block_trial(1, [3, 2, 1])]);
    let text = String::from_utf8(part_with.to_bytes()).unwrap();
    assert!(text.starts_with(r#"{"zerospace_part":1,"#), "{text}");
    assert!(text.contains(r#","block":{"clean_correct":4,"both_correct":1}}"#), "{text}");
    assert_eq!(Part::from_bytes(text.as_bytes()).unwrap(), part_with);
    let without = String::from_utf8(part(0.1, 0, 2).to_bytes()).unwrap();
    assert!(!without.contains("block") && !without.contains("images_per_trial"), "{without}");

    let refused = |part: Part| Part::from_bytes(&part.to_bytes()).unwrap_err().to_string();
    assert_eq!(
        refused(of(vec![trial(0)])),
        "line 2: counts of a block are absent, expected counts of 4 images"
    );
    for counts in [[5, 1, 1], [4, 5, 4], [4, 1, 2], [1, 2, 2], [4, 2, 1]] {
        let [clean, correct, both] = counts;
        assert_eq!(
            refused(of(vec![block_trial(0, counts)])),
            format!(
                "line 2: counts of a block are clean_correct {clean} and both_correct {both}, expected counts of 4 images, \
                 {correct} of them correct"
            )
        );
    }
    let plain = Part { cell: cell(0.1), ..of(vec![block_trial(0, [4, 1, 1])]) };
    assert!(refused(plain).ends_with("expected absent, because every trial of the cell sees all images"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let row = |cell: &CellSpec, number| TrialRow::new(cell, 9, &[], block_trial(number, [4, 1, 1]));
    let mut rows: Vec<TrialRow> = (0..2000).map(|number| row(&in_blocks(0.1, 4), number)).collect();
    for changed_probability in [None, Some(0.25)] {
        rows.push(row(&CellSpec { changed_probability, ..in_blocks(0.2, 4) }, 7));
        let bytes = write_trials(&rows).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("zerospace.trials\u{18}\u{1}4") && text.contains("block_both_correct"));
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read_trials(&path).unwrap(), rows);
    }
    let ordinary = write_trials(&[TrialRow::new(&cell(0.1), 9, &[], trial(0))]).unwrap();
    assert!(!String::from_utf8_lossy(&ordinary).contains("block"));
}

#[test]
fn a_manifest_has_one_number_of_images_a_trial_and_the_version_that_knows_it() {
    let manifest_of =
        |cells: Vec<CellSpec>| Manifest::new("x", "", vec![], cells, 1, 1, Environment::default());
    let folder = tempfile::tempdir().unwrap();
    let both = manifest_of(vec![in_blocks(0.1, 4), in_blocks(0.2, 4)]);
    let made = Store::create(&folder.path().join("a"), both).unwrap();
    assert_eq!((made.manifest().manifest_version, made.manifest().images_per_trial()), (5, Some(4)));
    for other in [cell(0.2), in_blocks(0.2, 5)] {
        let plan = manifest_of(vec![in_blocks(0.1, 4), other]);
        let error = Store::create(&folder.path().join("b"), plan).unwrap_err();
        assert!(error.to_string().ends_with("from that of the first cell, expected one number"), "{error}");
    }
}

#[test]
fn a_manifest_has_one_list_of_metrics_and_the_version_that_knows_it() {
    let manifest_of =
        |cells: Vec<CellSpec>| Manifest::new("x", "", vec![], cells, 1, 1, Environment::default());
    let folder = tempfile::tempdir().unwrap();
    let made = Store::create(&folder.path().join("a"), manifest_of(vec![scored(0.1), scored(0.2)])).unwrap();
    assert_eq!((made.manifest().manifest_version, made.manifest().metrics().len()), (4, 2));
    assert_eq!(manifest_of(vec![cell(0.1)]).manifest_version, 1);
    let error =
        Store::create(&folder.path().join("b"), manifest_of(vec![scored(0.1), cell(0.2)])).unwrap_err();
    assert!(error.to_string().ends_with("differ from those of the first cell, expected one list"), "{error}");
}

/// The first finding of a difference is final, and then unequal outputs are no contradiction; unequal faults still are.
#[test]
fn a_finding_of_nondeterminism_stays() {
    let folder = tempfile::tempdir().unwrap();
    let spec = scored(0.1);
    let plan = Manifest::new("x", "", vec![], vec![spec], 1, 1, Environment::default());
    let store = Store::create(folder.path(), plan).unwrap();
    assert_eq!(store.determinism().unwrap(), None);
    store.write(&scored_part([1.0, 2.0])).unwrap();
    let other = scored_part([1.0, 3.0]);
    store.note_determinism(&Determinism::new(true, "equal".into())).unwrap();
    let error = store.write(&other).unwrap_err();
    assert!(matches!(error, StoreError::Contradiction { outputs_only: true, .. }), "{error}");
    store.note_determinism(&Determinism::new(false, "first".into())).unwrap();
    store.note_determinism(&Determinism::new(true, "equal".into())).unwrap();
    store.note_determinism(&Determinism::new(false, "second".into())).unwrap();
    assert_eq!(store.determinism().unwrap(), Some(Determinism::new(false, "first".into())));
    store.write(&other).unwrap();
    assert_eq!(done(&store), [scored_part([1.0, 2.0])]);
    let mut faults = other;
    faults.trials[0].flips_data += 1;
    let error = store.write(&faults).unwrap_err();
    assert!(matches!(error, StoreError::Contradiction { outputs_only: false, .. }), "{error}");

    std::fs::write(folder.path().join("determinism.json"), "{\"determinism_version\": 2}").unwrap();
    let error = store.determinism().unwrap_err().to_string();
    assert!(error.ends_with("determinism.json: determinism_version is 2, expected 1"), "{error}");
}

#[test]
fn a_manifest_may_expect_something_and_is_the_same_plan_without() {
    let folder = tempfile::tempdir().unwrap();
    let expected = ExpectedOutcomes {
        cell: cell(0.1).id(),
        words_hit: 1.5,
        corrected: 1.0,
        detected: 0.25,
        miscorrected: 0.125,
        silent: 1e-12,
        changed_probability: 0.1,
    };
    let with = Manifest { expected: vec![expected], ..manifest() };
    Store::create(folder.path(), with.clone()).unwrap();
    assert_eq!(Store::open(folder.path()).unwrap().manifest(), &with);
    Store::create(folder.path(), manifest()).unwrap();
    assert!(!serde_json::to_string(&manifest()).unwrap().contains("expected"));
}

#[test]
fn nothing_temporary_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    complete(&Store::create(folder.path(), manifest()).unwrap());
    for entry in std::fs::read_dir(folder.path().join("parts")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".jsonl"), "{name}");
    }
}

#[test]
fn writing_a_unit_again_is_harmless_when_equal_and_an_error_when_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    store.write(&part(0.1, 0, 2)).unwrap();
    store.write(&part(0.1, 0, 2)).unwrap();
    let mut other = part(0.1, 0, 2);
    other.trials[1].correct += 1;
    let error = store.write(&other).unwrap_err();
    assert!(matches!(error, StoreError::Contradiction { .. }));
    assert!(
        error.to_string().contains("\"correct\":10") && error.to_string().contains("\"correct\":11"),
        "{error}"
    );
    // The records that were there stay.
    assert_eq!(done(&store), [part(0.1, 0, 2)]);
}

/// The finished parts of a run, in the order of their units.
fn done(store: &Store) -> Vec<Part> {
    store.scan().unwrap().done.keys().map(|unit| store.read(unit).unwrap().unwrap()).collect()
}

/// The part file of the cell of a rate, first unit.
fn part_file(root: &Path, rate: f64) -> PathBuf {
    root.join(format!("parts/{}-00000000.jsonl", cell(rate).id()))
}

#[test]
fn a_leftover_of_a_killed_writer_never_counts_and_is_removed_after_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    let name = |name: &str| folder.path().join(format!("{name}.host-77-00ff.partial"));
    let leftovers = [name("manifest.json"), name("trials.parquet"), name("parts/x-00000000.jsonl")];
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for leftover in &leftovers {
        std::fs::write(leftover, part(0.1, 0, 2).to_bytes()).unwrap();
        File::options().write(true).open(leftover).unwrap().set_modified(now).unwrap();
    }
    let scan = store.scan().unwrap();
    assert!(scan.done.is_empty() && scan.rejected.is_empty());
    // A writer may still be at work; and clocks differ.
    for time in [now + Duration::from_secs(3599), now - Duration::from_secs(3600)] {
        store.remove_leftovers(time).unwrap();
        assert!(leftovers.iter().all(|leftover| leftover.exists()));
    }
    store.remove_leftovers(now + Duration::from_secs(3600)).unwrap();
    assert!(!leftovers.iter().any(|leftover| leftover.exists()));
    assert!(folder.path().join("manifest.json").exists());
}

#[test]
fn a_damaged_part_is_set_aside_when_its_unit_is_stored_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    let path = part_file(folder.path(), 0.1);
    for (n, content) in [vec![], part(0.1, 0, 2).to_bytes()[..40].to_vec(), part(0.2, 0, 2).to_bytes()]
        .into_iter()
        .enumerate()
    {
        std::fs::write(&path, &content).unwrap();
        let [rejected] = &store.scan().unwrap().rejected[..] else { panic!("one part does not count") };
        assert_eq!(rejected.unit.as_ref(), Some(&part(0.1, 0, 2).unit()));
        let aside = store.write(&part(0.1, 0, 2)).unwrap().unwrap();
        assert_eq!(
            aside.path,
            folder.path().join("set-aside").join(format!("{}-00000000.jsonl.{n}", cell(0.1).id()))
        );
        assert_eq!(std::fs::read(&aside.path).unwrap(), content);
        assert_eq!(done(&store), [part(0.1, 0, 2)]);
        std::fs::remove_file(&path).unwrap();
    }
}

/// A newer program may be writing beside us.
#[test]
fn a_part_of_a_newer_version_is_refused_by_name_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    let path = part_file(folder.path(), 0.1);
    let text = String::from_utf8(part(0.1, 0, 2).to_bytes()).unwrap();
    let text = text.replacen("\"zerospace_part\":1,", "\"zerospace_part\":2,\"news\":1,", 1);
    let lines: Vec<&str> = text.lines().collect();
    let content = lines[..3].join("\n") + "\n";
    let digest = durable::sha256_hex(content.as_bytes());
    for closing in [format!("{{\"sha256\":\"{digest}\"}}\n"), "{\"blake3\":\"00\"}\n".into()] {
        let newer = content.clone() + &closing;
        std::fs::write(&path, &newer).unwrap();
        let errors = [
            store.scan().unwrap_err(),
            store.merge().unwrap_err(),
            store.write(&part(0.1, 0, 2)).unwrap_err(),
        ];
        for error in errors {
            let expected = format!("{}: part format version 2, newest known is 1: ", path.display());
            assert!(
                matches!(error, StoreError::Newer { .. }) && error.to_string().starts_with(&expected),
                "{error}"
            );
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
    }
    // A flipped bit in the version is damage, and no news.
    assert!(matches!(Part::from_bytes(text.as_bytes()), Err(PartError::Damaged(_))));
}

#[test]
fn processes_that_start_a_run_together_share_one_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("some/where");
    let start = |threads: usize| {
        let environment = Environment { threads, ..Environment::default() };
        Store::create(&root, Manifest { environment, ..manifest() }).unwrap()
    };
    let stores: Vec<Store> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..16).map(|threads| scope.spawn(move || start(threads))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = Store::open(&root).unwrap();
    assert!(stores.iter().all(|store| store.manifest() == first.manifest()));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 2, "manifest.json and parts");

    // They may compute the same units, too.
    std::thread::scope(|scope| stores.iter().for_each(|store| drop(scope.spawn(|| complete(store)))));
    let Merged::Complete(_) = first.merge().unwrap() else { panic!("all units are there") };
    assert_eq!(std::fs::read_dir(root.join("parts")).unwrap().count(), 6);
}

#[test]
fn of_two_plans_that_start_together_in_one_directory_one_is_refused() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let start = |unit_trials: u64| Store::create(folder.path(), Manifest { unit_trials, ..manifest() });
        let results: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = [2, 3].map(|trials| scope.spawn(move || start(trials))).into();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let refused = results.into_iter().find_map(Result::err).unwrap();
        assert!(matches!(refused, StoreError::OtherPlan { .. }), "{refused}");
    }
}

#[test]
fn another_plan_is_refused_with_the_first_field_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path(), manifest()).unwrap();
    let refused = |edit: &dyn Fn(&mut CellSpec)| {
        let mut cells = [cell(0.1), cell(0.2)];
        edit(&mut cells[1]);
        let other = Manifest::new("title", "toml", vec![], cells.into(), 5, 2, Environment::default());
        let error = Store::create(folder.path(), other).unwrap_err().to_string();
        error.rsplit_once("another plan: ").unwrap().1.to_string()
    };
    let digest = refused(&|cell| cell.evaluation.digest = "y".into());
    assert_eq!(digest, "evaluation.digest of cell m, \"quoted\" p bernoulli 2e-1 is \"y\", was \"x\"");
    let unreadable = refused(&|cell| cell.evaluation.unreadable_files = 3);
    assert_eq!(
        unreadable,
        "evaluation.unreadable_files of cell m, \"quoted\" p bernoulli 2e-1 is 3, was null"
    );
    let fewer = Manifest::new("title", "toml", vec![], vec![cell(0.1)], 5, 2, Environment::default());
    let fewer = Store::create(folder.path(), fewer).unwrap_err().to_string();
    assert!(fewer.ends_with("another plan: the plan has 1 cells, had 2"), "{fewer}");
}

#[test]
fn a_manifest_whose_ids_do_not_match_its_cells_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path(), manifest()).unwrap();
    let path = folder.path().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"rate\": 0.1", "\"rate\": 0.3", 1)).unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("but its content hashes to"), "{error}");
}

#[test]
fn a_damaged_table_is_refused_at_every_length_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let rows: Vec<TrialRow> = (0..20).map(|t| TrialRow::new(&cell(0.1), 9, &[], trial(t))).collect();
    let bytes = write_trials(&rows).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        read_trials(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
    }
    std::fs::write(&path, "PAR1 but not really PAR1").unwrap();
    let error = read_trials(&path).unwrap_err().to_string();
    assert!(error.contains("not a readable parquet file"), "{error}");
}

/// The manifest of a run that had each of these numbers of trials, one after the other.
fn extended(trials: &[u64], unit_trials: u64) -> Manifest {
    let (last, before) = trials.split_last().unwrap();
    let by = Environment::default();
    let extensions = before.iter().map(|&trials| Extension { trials, by: by.clone() }).collect();
    Manifest { trials: *last, unit_trials, extensions, ..manifest() }
}

#[test]
fn more_trials_extend_a_run_and_the_manifest_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let environment = |threads| Environment { threads, ..Environment::default() };
    let asked = |trials, threads| Manifest { trials, environment: environment(threads), ..manifest() };
    let started = Store::create(folder.path(), asked(5, 1)).unwrap();
    assert_eq!((started.extended_from(), started.manifest().manifest_version), (None, 1));
    complete(&started);
    let Merged::Complete(path) = started.merge().unwrap() else { panic!("all units are there") };
    let short = read_trials(&path).unwrap();

    let longer = Store::create(folder.path(), Manifest { source: "more".into(), ..asked(9, 2) }).unwrap();
    assert_eq!(longer.extended_from(), Some(5));
    assert_eq!(Store::open(folder.path()).unwrap().manifest(), longer.manifest());
    let expected = Manifest {
        manifest_version: 2,
        source: "more".into(),
        extensions: vec![Extension { trials: 5, by: environment(2) }],
        ..asked(9, 1)
    };
    assert_eq!(longer.manifest(), &expected);
    assert_eq!(expected.latest().threads, 2);
    // What was there counts, and the rest is missing: 5..6 fills the unit that was cut short.
    assert_eq!(longer.scan().unwrap().done.len(), 6);
    let Merged::Missing(units) = longer.merge().unwrap() else { panic!("trials are missing") };
    let missing: Vec<_> = units.iter().map(|unit| (unit.first, unit.count)).collect();
    assert_eq!(missing, [(5, 1), (5, 1), (6, 2), (6, 2), (8, 1), (8, 1)]);

    // The same again changes nothing, and neither does a process that still works on the shorter run: it stores, and
    // leaves alone what is not of its plan.
    let again = Store::create(folder.path(), asked(9, 3)).unwrap();
    assert_eq!((again.extended_from(), again.manifest()), (None, longer.manifest()));
    longer.write(&part(0.1, 5, 1)).unwrap();
    longer.keep(&part(0.2, 6, 1)).unwrap();
    started.write(&part(0.1, 4, 1)).unwrap();
    let scan = started.scan().unwrap();
    assert!(scan.rejected.is_empty() && scan.begun.is_empty() && scan.done.len() == 6, "{scan:?}");

    for unit in units {
        longer
            .write(&part(if unit.cell == cell(0.1).id() { 0.1 } else { 0.2 }, unit.first, unit.count))
            .unwrap();
    }
    let Merged::Complete(path) = longer.merge().unwrap() else { panic!("all units are there") };
    let direct = tempfile::tempdir().unwrap();
    let store = Store::create(direct.path(), asked(9, 1)).unwrap();
    for unit in store.manifest().units() {
        store
            .write(&part(if unit.cell == cell(0.1).id() { 0.1 } else { 0.2 }, unit.first, unit.count))
            .unwrap();
    }
    store.merge().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(direct.path().join("trials.parquet")).unwrap());
    let long = read_trials(&path).unwrap();
    assert_eq!((&long[..5], &long[9..14]), (&short[..5], &short[5..]));
}

#[test]
fn fewer_trials_and_every_other_change_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path(), manifest()).unwrap();
    let before = std::fs::read(folder.path().join("manifest.json")).unwrap();
    let refused = |manifest: Manifest| {
        let error = Store::create(folder.path(), manifest).unwrap_err().to_string();
        error.strip_prefix(&format!("{}: ", folder.path().display())).unwrap().to_string()
    };
    assert_eq!(
        refused(Manifest { trials: 4, ..manifest() }),
        "this run has 5 trials a cell, and trials is 4: a run keeps its trials, expected trials = 5 or more"
    );
    let another = "this run was started with another plan: ";
    let stop = Some(StopRule::Failures(FailureRule { failures: 3, drop_points: 1.0 }));
    for (manifest, difference) in [
        (Manifest { unit_trials: 3, ..manifest() }, "unit_trials is 3, was 2"),
        (Manifest { stop, ..manifest() }, "stop is 3 failures of 1 points, was absent"),
        (Manifest { cells: manifest().cells[..1].into(), ..manifest() }, "the plan has 1 cells, had 2"),
    ] {
        // With more trials, too.
        for trials in [5, 50] {
            assert_eq!(refused(Manifest { trials, ..manifest.clone() }), format!("{another}{difference}"));
        }
    }
    let beyond = Store::create(folder.path(), Manifest { trials: 1 << 40, ..manifest() });
    let beyond = beyond.unwrap_err().to_string();
    assert!(
        beyond.ends_with("manifest.json: it plans 1099511627778 units, expected at most 1048576"),
        "{beyond}"
    );
    assert_eq!(std::fs::read(folder.path().join("manifest.json")).unwrap(), before);
}

#[test]
fn processes_that_extend_a_run_together_end_in_the_longest() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        Store::create(folder.path(), manifest()).unwrap();
        let extend = |trials: u64| Store::create(folder.path(), Manifest { trials, ..manifest() });
        let targets = [9, 30, 7, 12, 30, 5, 21, 8];
        let results: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = targets.map(|trials| scope.spawn(move || extend(trials))).into();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let last = Store::open(folder.path()).unwrap();
        assert_eq!(last.manifest().trials, 30);
        let history: Vec<u64> = last.manifest().extensions.iter().map(|extension| extension.trials).collect();
        assert!(history[0] == 5 && history.is_sorted(), "{history:?}");
        let units = last.manifest().units();
        for (result, trials) in results.iter().zip(targets) {
            match result {
                // Whatever such a process stores counts in the end.
                Ok(store) => assert!(store.manifest().units().iter().all(|unit| units.contains(unit))),
                Err(error) => {
                    assert!(matches!(error, StoreError::FewerTrials { .. }) && trials < 30, "{error}");
                }
            }
        }
        assert!(results.iter().zip(targets).all(|(result, trials)| trials < 30 || result.is_ok()));
    }
}

#[test]
fn an_impossible_extension_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path(), manifest()).unwrap();
    for (trials, message) in [
        (vec![5], "extensions.trials is 5, expected more than 0 and less than trials, 5"),
        (vec![0], "extensions.trials is 0, expected more than 0 and less than trials, 5"),
        (vec![3, 3], "extensions.trials is 3, expected more than 3 and less than trials, 5"),
        (vec![4, 2], "extensions.trials is 2, expected more than 4 and less than trials, 5"),
    ] {
        let bad = extended(&[&trials[..], &[5]].concat(), 2);
        let path = folder.path().join("manifest.json");
        std::fs::write(&path, serde_json::to_string(&bad).unwrap()).unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {message}", path.display()));
    }
}

/// A cell whose failures suffice where the run once ended goes on to the end of the unit, as in a run that was long from
/// the beginning.
#[test]
fn a_cell_of_an_extended_run_ends_with_the_same_trial_as_one_of_a_long_run() {
    let stop = Some(StopRule::Failures(FailureRule { failures: 4, drop_points: 1.0 }));
    let id = cell(0.1).id();
    let fails = |mut part: Part| {
        part.trials.iter_mut().for_each(|trial| trial.correct = 0);
        part
    };
    let counted = |manifest: &Manifest| {
        let units = manifest.units_of(&id).map(|unit| (unit, fails(part(0.1, unit.first, unit.count))));
        let counts = units.map(|(unit, part)| (unit, FinishedUnit::of(&part, stop)));
        let progress = manifest.progress(&id, &counts.collect());
        assert!(progress.missing.is_empty());
        progress.counted.iter().map(|unit| unit.count).sum::<u64>()
    };
    for history in [vec![20], vec![4, 20], vec![4, 5, 20], vec![3, 6, 20], vec![5, 10, 20]] {
        assert_eq!(counted(&Manifest { stop, ..extended(&history, 3) }), 6, "{history:?}");
    }
    assert_eq!(counted(&Manifest { stop, ..extended(&[5], 3) }), 5);
    assert_eq!(counted(&Manifest { stop, ..extended(&[1, 2, 3], 3) }), 3);
}

#[test]
fn kept_trials_are_found_until_their_unit_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    let begun = || store.scan().unwrap().begun.into_iter().collect::<Vec<_>>();
    let unit = |rate, first, count| Unit { cell: cell(rate).id(), first, count };
    assert_eq!(begun(), []);
    store.keep(&part(0.2, 2, 1)).unwrap();
    assert_eq!(begun(), [(unit(0.2, 2, 2), part(0.2, 2, 1))]);
    store.keep(&part(0.2, 2, 2)).unwrap();
    assert_eq!(begun(), [(unit(0.2, 2, 2), part(0.2, 2, 2))]);
    assert!(matches!(store.merge().unwrap(), Merged::Missing(units) if units.len() == 6), "no unit is whole");
    store.write(&part(0.2, 2, 2)).unwrap();
    assert_eq!((begun(), store.scan().unwrap().done.len()), (vec![], 1));
    assert_eq!(std::fs::read_dir(folder.path().join("begun")).unwrap().count(), 0);

    // Killed between storing and removing: it does not count, and goes when the run is started again.
    store.keep(&part(0.2, 2, 1)).unwrap();
    assert_eq!(begun(), []);
    store.remove_leftovers(UNIX_EPOCH).unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("begun")).unwrap().count(), 0);

    // Damaged, too long, empty, or of another unit: never taken up, and named.
    let path = |name: &str| folder.path().join("begun").join(name);
    let name = format!("{}-00000000.jsonl", cell(0.1).id());
    for (content, reason) in [
        (part(0.1, 0, 2).to_bytes()[..100].to_vec(), "damaged: "),
        (part(0.1, 0, 3).to_bytes(), "contains trials 0..3 of cell "),
        (part(0.1, 0, 0).to_bytes(), "contains trials 0..0 of cell "),
        (part(0.1, 1, 1).to_bytes(), "contains trials 1..2 of cell "),
        (part(0.2, 0, 1).to_bytes(), "contains trials 0..1 of cell "),
    ] {
        std::fs::write(path(&name), content).unwrap();
        let scan = store.scan().unwrap();
        let [rejected] = <[_; 1]>::try_from(scan.rejected).unwrap();
        assert!(scan.begun.is_empty() && rejected.reason.to_string().starts_with(reason), "{rejected:?}");
        let aside = store.set_aside(rejected).unwrap().unwrap();
        assert!(aside.path.starts_with(folder.path().join("set-aside")));
    }
}

proptest! {
    /// An extension only adds units, and units end wherever those of a run do that was long from the beginning.
    #[test]
    fn the_units_of_a_shorter_run_are_units_of_the_longer(
        trials in proptest::collection::btree_set(1u64..200, 1..6),
        unit_trials in 1u64..40,
    ) {
        let trials: Vec<u64> = trials.into_iter().collect();
        let id = cell(0.1).id();
        let units = |count: usize| extended(&trials[..count], unit_trials).units_of(&id).collect::<Vec<_>>();
        let longest = units(trials.len());
        let mut end = 0;
        for unit in &longest {
            prop_assert!(unit.first == end && (1..=unit_trials).contains(&unit.count));
            end += unit.count;
        }
        prop_assert_eq!(end, *trials.last().unwrap());
        for count in 1..trials.len() {
            prop_assert!(units(count).iter().all(|unit| longest.contains(unit)));
        }
        let direct = extended(&trials[trials.len() - 1..], unit_trials);
        let starts = |unit: &Unit| longest.iter().any(|other| other.first == unit.first);
        prop_assert!(direct.units_of(&id).all(|unit| starts(&unit)));
    }

    #[test]
    fn parts_come_back_and_no_flipped_bit_passes(first in 0u64..1000, count in 0u64..4, bit: prop::sample::Index) {
        let part = part(0.25, first, count);
        let bytes = part.to_bytes();
        prop_assert_eq!(&Part::from_bytes(&bytes).unwrap(), &part);
        let mut flipped = bytes.clone();
        let bit = bit.index(8 * bytes.len());
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Part::from_bytes(&flipped).is_err());
        prop_assert!(Part::from_bytes(&bytes[..bit / 8]).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_part(bytes: Vec<u8>) {
        prop_assert!(Part::from_bytes(&bytes).is_err());
    }

    #[test]
    fn tables_come_back_as_they_were(values in proptest::collection::vec(any::<(u64, u64, f64, String)>(), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let rows: Vec<TrialRow> = values
            .into_iter()
            .map(|(seed, flips, rate, model)| {
                let mut row = TrialRow::new(&cell(0.1), 9, &[], trial(flips));
                (row.seed, row.model, row.rate, row.record.flips_data) = (seed, model.into(), rate, flips);
                row
            })
            .collect();
        let bytes = write_trials(&rows).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let back = read_trials(&path).unwrap();
        prop_assert_eq!(write_trials(&back).unwrap(), bytes);
        prop_assert_eq!(format!("{back:?}"), format!("{rows:?}"));
    }
}

#[test]
fn a_plan_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path(), manifest()).unwrap();
    let path = folder.path().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"trials\": 5", "\"trials\": 18446744073709551615", 1)).unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("manifest.json: it plans 18446744073709551615 units, expected at most 1048576"),
        "{error}"
    );
}

/// One past the last trial must be a number.
#[test]
fn a_part_ends_before_the_last_number() {
    let mut last = part(0.1, u64::MAX - 1, 1);
    assert_eq!(Part::from_bytes(&last.to_bytes()).unwrap(), last);
    last.first = u64::MAX;
    last.trials[0].trial = u64::MAX;
    let error = Part::from_bytes(&last.to_bytes()).unwrap_err().to_string();
    assert_eq!(error, format!("line 2: trial {0}, expected {0}", u64::MAX));
}

fn table(rows: u64, model: &str) -> Vec<u8> {
    let row = |t| TrialRow { model: model.into(), ..TrialRow::new(&cell(0.1), 9, &[], trial(t)) };
    write_trials(&(0..rows).map(row).collect::<Vec<_>>()).unwrap()
}

/// The error for a table, without the path.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    std::fs::write(&path, bytes).unwrap();
    let message = read_trials(&path).unwrap_err().to_string();
    message.strip_prefix(&format!("{}: ", path.display())).expect("the file is named").into()
}

#[test]
fn a_table_with_an_unknown_fault_model_is_refused_by_its_name() {
    let unknown = refusal(&replaced(&table(1, "m"), b"bernoulli", b"bernoulla"));
    assert!(
        unknown.starts_with("column fault_model: unknown fault model `bernoulla`, expected one of"),
        "{unknown}"
    );
}

#[test]
fn a_table_whose_protection_is_no_name_is_refused() {
    let row =
        TrialRow { protection: "secded".parse().unwrap(), ..TrialRow::new(&cell(0.1), 9, &[], trial(0)) };
    let refused = refusal(&replaced(&write_trials(&[row]).unwrap(), b"secded", b"sec ed"));
    assert!(
        refused.starts_with("column protection: protection name \"sec ed\", expected `code` or"),
        "{refused}"
    );
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// A string that stands once in a dictionary and is meant a thousand times.
#[test]
fn text_is_bounded_by_the_file() {
    let bytes = table(1100, &"m".repeat(80_000));
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    let message = refusal(&bytes);
    assert_eq!(message, format!("its text takes more than {} bytes", (64 << 20) + 256 * bytes.len()));
}

/// In the footer a row group has its number of rows, here 20, in field 3 (0x16, zigzag).
#[test]
fn a_table_with_fewer_or_more_rows_than_it_declares_is_refused() {
    let bytes = table(20, "m");
    for (declared, message) in [(19, "has 20 values, expected 19"), (21, "has 20 values, expected 21")] {
        let at = bytes.windows(3).rposition(|window| window == [0x16, 2 * 20, 0x26]).unwrap();
        let mut other = bytes.clone();
        other[at + 1] = 2 * declared;
        assert!(refusal(&other).ends_with(message), "{}", refusal(&other));
    }
}

/// A dictionary page has, after its sizes, a struct (0x4c) whose first field is its number of values.
#[test]
fn a_dictionary_that_claims_to_be_huge_is_refused() {
    let bytes = replaced(&table(20, "m"), &[0x4c, 0x15, 0x02], &[0x4c, 0x15, 0x7e]);
    let message = refusal(&bytes);
    assert!(message.ends_with("a dictionary of 20 bytes claims 63 values"), "{message}");
}
