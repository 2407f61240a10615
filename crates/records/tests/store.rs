//! The store and its file formats through the public interface.

use proptest::prelude::*;
use records::{
    CellSpec, Environment, EvaluationSet, ExpectedOutcomes, Manifest, Merged, Part, RECORD_VERSION, Store,
    StoreError, StoredCells, TrialRecord, TrialRow, read_trials, write_trials,
};

fn cell(rate: f64) -> CellSpec {
    CellSpec {
        record_version: RECORD_VERSION,
        evaluator: "e-1".into(),
        model: "m, \"quoted\"".into(),
        network: "n".into(),
        protection: "p".into(),
        protection_parameters: String::new(),
        fault_model: "f".into(),
        rate,
        seed: u64::MAX,
        stored: StoredCells { weights: 5, padding_weights: 3, data_bits: 64, check_bits: 8 },
        evaluation: EvaluationSet {
            name: "d".into(),
            split: "test".into(),
            images: 10,
            digest: "x".into(),
            ..EvaluationSet::default()
        },
        changed_probability: None,
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
    }
}

fn part(rate: f64, first: u64, count: u64) -> Part {
    Part { cell: cell(rate), first, clean_correct: 9, trials: (first..first + count).map(trial).collect() }
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
    assert_eq!(rows[7], TrialRow::new(&cell(0.2), 9, trial(2)));
}

#[test]
fn a_table_with_changed_trials_says_so_and_one_without_is_as_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let ordinary: Vec<TrialRow> = (0..3).map(|t| TrialRow::new(&cell(0.1), 9, trial(t))).collect();
    let conditional = CellSpec { changed_probability: Some(1.2345678901234567e-12), ..cell(0.1) };
    let mut rows = ordinary.clone();
    rows.extend((0..3).map(|t| TrialRow::new(&conditional, 9, trial(t))));
    std::fs::write(&path, write_trials(&rows).unwrap()).unwrap();
    assert_eq!(read_trials(&path).unwrap(), rows);
    let text = |rows: &[TrialRow]| String::from_utf8_lossy(&write_trials(rows).unwrap()).into_owned();
    assert!(text(&rows).contains("changed_probability") && !text(&ordinary).contains("changed_probability"));
    // A program that knows only ordinary trials reads version 1 alone.
    assert!(text(&rows).contains("zerospace.trials\u{18}\u{1}2"), "version 2");
    assert!(text(&ordinary).contains("zerospace.trials\u{18}\u{1}1"), "version 1");
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
    let scan = store.scan().unwrap();
    assert_eq!(scan.done.into_values().collect::<Vec<_>>(), [part(0.1, 0, 2)]);
}

#[test]
fn a_leftover_of_a_killed_writer_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest()).unwrap();
    let id = cell(0.1).id();
    std::fs::write(folder.path().join(format!("parts/{id}-00000000.jsonl.77.partial")), "{").unwrap();
    let scan = store.scan().unwrap();
    assert!(scan.done.is_empty() && scan.rejected.is_empty());
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
    let rows: Vec<TrialRow> = (0..20).map(|t| TrialRow::new(&cell(0.1), 9, trial(t))).collect();
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

proptest! {
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
                let mut row = TrialRow::new(&cell(rate), 9, trial(flips));
                (row.seed, row.model, row.record.flips_data) = (seed, model, flips);
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
