//! Large plans: grids of cells, compressed parts, shares of a run, and tables of more than one block.

use std::path::{Path, PathBuf};

use design::{
    BitErrorRate, CellSpec, EvaluationSet, FailureRule, FaultKind, FaultModel, Scope, StopRule, StoredBits,
    TrialRecord,
};
use proptest::prelude::*;
use records::{
    Environment, Manifest, Merged, Part, Store, TrialRow, Unit, read_cells, read_trials, write_trials,
};

fn cell(bit: Option<u8>, rate: f64, changed_probability: Option<f64>) -> CellSpec {
    CellSpec {
        record_version: 1,
        evaluator: "int8-1".into(),
        model: "network".into(),
        network: "ab".into(),
        protection: "faulty".parse().unwrap(),
        protection_parameters: "".into(),
        fault_model: FaultModel {
            kind: FaultKind::Bernoulli,
            interleave: None,
            scope: Scope { bit, tensor: None },
        },
        rate: BitErrorRate::new(rate).unwrap(),
        seed: 1,
        stored: StoredBits { weights: 16, padding_weights: 0, data_bits: 128, check_bits: 0 },
        evaluation: EvaluationSet { name: "set".into(), images: 10, ..EvaluationSet::default() },
        changed_probability,
        metrics: Vec::new(),
    }
}

fn trial(number: u64) -> TrialRecord {
    let hash = |of: u64| format!("{:016x}", of.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    TrialRecord {
        trial: number,
        flips_data: number % 5,
        flips_check: 0,
        pattern_hash: hash(number),
        words_hit: number % 3,
        corrected: 0,
        detected: 0,
        miscorrected: 0,
        silent: number % 3,
        weights_changed: number % 5,
        padding_changed: 0,
        weights_hash: hash(number / 2),
        correct: 9 - number % 4,
        agree: 8,
        predictions_hash: hash(number % 7),
        scores: vec![],
        block: None,
    }
}

fn part(cell: &CellSpec, unit: &Unit) -> Part {
    let trials = (unit.first..unit.first + unit.count).map(trial).collect();
    Part { cell: cell.clone(), first: unit.first, clean_correct: 9, clean_scores: vec![], trials }
}

fn manifest(cells: Vec<CellSpec>, trials: u64, unit_trials: u64) -> Manifest {
    Manifest::new("title", "toml", vec![], cells, trials, unit_trials, Environment::default())
}

/// Rates x bits, more than a manifest lists.
fn many() -> Vec<CellSpec> {
    let bits = (0..8).map(Some);
    bits.flat_map(|bit| (1..=2100).map(move |i| cell(bit, f64::from(i) * 1e-6, None))).collect()
}

fn complete(store: &Store) {
    for planned in &store.manifest().cells {
        for unit in store.manifest().units_of(&planned.id) {
            store.write(&part(&planned.spec, &unit)).unwrap();
        }
    }
}

fn merged(store: &Store) -> Vec<u8> {
    let Merged::Complete(path) = store.merge().unwrap() else { panic!("all units are there") };
    std::fs::read(path).unwrap()
}

#[test]
fn a_manifest_of_many_cells_is_small_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("manifest.json");
    let planned = manifest(many(), 10, 10);
    let store = Store::create(folder.path(), planned.clone()).unwrap();
    assert_eq!((store.manifest(), planned.manifest_version), (&planned, 7));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.len() < 60_000, "{} bytes for {} cells", text.len(), planned.cells.len());

    // The ids are checked, although they are not listed.
    std::fs::write(&path, text.replacen("\"seed\": 1", "\"seed\": 2", 1)).unwrap();
    let error = Store::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("manifest.json: cells_sha256 is "), "{error}");
    std::fs::write(&path, text.replacen("\"fault_models\": [", "\"fault_models\": [], \"x\": [", 1)).unwrap();
    assert!(Store::open(folder.path()).unwrap_err().to_string().contains("unknown field `x`"));

    // A plan of the same cells continues the run, another one is refused.
    std::fs::write(&path, text).unwrap();
    assert_eq!(Store::create(folder.path(), planned.clone()).unwrap().manifest(), &planned);
    let mut other = many();
    other[5].seed = 7;
    let error = Store::create(folder.path(), manifest(other, 10, 10)).unwrap_err().to_string();
    assert!(error.contains("seed of cell network faulty bernoulli:bit=0 6e-6 is 7, was 1"), "{error}");
}

#[test]
fn few_cells_are_listed_as_ever() {
    let listed = manifest(many()[..1 << 14].to_vec(), 10, 10);
    assert_eq!((listed.manifest_version, listed.compressed_parts), (1, false));
    let text = serde_json::to_string(&listed).unwrap();
    assert!(!text.contains("compressed_parts") && text.contains("\"cells\":[{\"id\":"));
}

#[test]
fn large_runs_have_compressed_parts_and_the_same_table() {
    let cells: Vec<CellSpec> = many()[..3].to_vec();
    assert!(manifest(cells.clone(), 1 << 23, 1 << 20).compressed_parts);
    let plain = tempfile::tempdir().unwrap();
    let store = Store::create(plain.path(), manifest(cells.clone(), 40, 25)).unwrap();
    complete(&store);
    let expected = merged(&store);

    let folder = tempfile::tempdir().unwrap();
    let compressed =
        Manifest { compressed_parts: true, manifest_version: 7, ..manifest(cells.clone(), 40, 25) };
    let store = Store::create(folder.path(), compressed).unwrap();
    complete(&store);
    assert_eq!(merged(&store), expected);
    // The first trials of an unfinished unit are read back too.
    let begun_folder = tempfile::tempdir().unwrap();
    let begun = Store::create(begun_folder.path(), store.manifest().clone()).unwrap();
    let whole = begun.manifest().units()[0];
    let first = part(&cells[0], &Unit { count: 3, ..whole });
    begun.keep(&first).unwrap();
    let scan = begun.scan().unwrap();
    assert_eq!((scan.begun.get(&whole), scan.rejected.len()), (Some(&first), 0));

    // A reopened run still knows, and a second computation of a unit is compared with the first.
    let store = Store::open(folder.path()).unwrap();
    let unit = store.manifest().units()[0];
    assert!(store.write(&part(&cells[0], &unit)).unwrap().is_none());
    let mut other = part(&cells[0], &unit);
    other.trials[3].correct -= 1;
    assert!(store.write(&other).unwrap_err().to_string().contains("differs from the records computed now"));

    let path = |root: &Path| root.join(format!("parts/{}-00000000.jsonl.gz", cells[0].id()));
    let bytes = std::fs::read(path(folder.path())).unwrap();
    let text = part(&cells[0], &unit).to_bytes();
    assert!(2 * bytes.len() < text.len(), "{} of {}", bytes.len(), text.len());
    for damaged in [&bytes[..bytes.len() / 2], &text[..], b""] {
        std::fs::write(path(folder.path()), damaged).unwrap();
        let scan = store.scan().unwrap();
        let reason = scan.rejected[0].reason.to_string();
        assert_eq!((reason.as_str(), scan.rejected.len()), ("damaged: it cannot be decompressed", 1));
        assert!(matches!(store.merge().unwrap(), Merged::Missing(units) if units == [unit]));
    }
    assert!(store.write(&part(&cells[0], &unit)).unwrap().is_some(), "it is set aside");
    assert_eq!(merged(&store), expected);
}

#[test]
fn a_share_reads_its_own_parts_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path(), manifest(many()[..4].to_vec(), 10, 5)).unwrap();
    complete(&store);
    let units = store.manifest().units();
    let (own, others) = units.split_at(3);
    let path = |unit: &Unit| folder.path().join(format!("parts/{}-{:08}.jsonl", unit.cell, unit.first));
    for other in others {
        std::fs::write(path(other), "nothing").unwrap();
    }
    std::fs::write(folder.path().join("parts/0123456789abcdef-00000000.jsonl"), "foreign").unwrap();
    let scan = store.scan_units(|unit| own.contains(unit)).unwrap();
    assert_eq!(scan.done.keys().collect::<Vec<_>>(), {
        let mut own: Vec<&Unit> = own.iter().collect();
        own.sort();
        own
    });
    assert_eq!(scan.rejected.len(), 1, "a part that no unit has is read by everybody");
    assert_eq!(store.scan().unwrap().rejected.len(), 1 + others.len());
}

/// The tables of the results were written before tables were written in blocks.
#[test]
fn published_tables_keep_their_bytes() {
    let results = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../results"));
    let mut most = 0;
    for folder in std::fs::read_dir(&results).unwrap() {
        let path = folder.unwrap().path().join("trials.parquet");
        if !path.exists() {
            continue;
        }
        let rows = read_trials(&path).unwrap();
        assert!(write_trials(&rows).unwrap() == std::fs::read(&path).unwrap(), "{}", path.display());
        let mut by_cell = Vec::new();
        read_cells::<records::TableError>(&path, &mut |cell| {
            assert!(cell.iter().all(|row| row.cell == *cell[0].cell));
            by_cell.extend(cell);
            Ok(())
        })
        .unwrap();
        assert_eq!(by_cell, rows);
        most = most.max(rows.len());
    }
    assert!(most > 16 * 1024, "a table of several blocks, of {most} rows");
}

/// More rows than a group has.
#[test]
fn a_long_table_has_several_groups_and_reads_back() {
    let row = TrialRow::new(&cell(None, 1e-3, None), 9, &[], trial(0));
    let rows: Vec<TrialRow> =
        (0..(1 << 20) + 5).map(|number| TrialRow { record: trial(number), ..row.clone() }).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    std::fs::write(&path, write_trials(&rows).unwrap()).unwrap();
    let mut read = 0;
    read_cells::<records::TableError>(&path, &mut |cell| {
        let numbers = cell.iter().map(|row| row.record.trial);
        assert!(numbers.eq(0..rows.len() as u64) && cell.last() == rows.last());
        read += cell.len();
        Ok(())
    })
    .unwrap();
    assert_eq!(read, rows.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the sizes of units, blocks and reads: the merge writes the table of all rows that count.
    #[test]
    fn a_merge_is_the_table_of_all_rows(
        cells in 1usize..6,
        trials in 1u64..60,
        unit_trials in 1u64..70,
        failures in proptest::option::of(1u64..20),
        compressed_parts: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let cells: Vec<CellSpec> = many()[..cells].to_vec();
        let stop = failures.map(|failures| StopRule::Failures(FailureRule { failures, drop_points: 15.0 }));
        let planned = Manifest { stop, compressed_parts, ..manifest(cells.clone(), trials, unit_trials) };
        let manifest_version = if compressed_parts { 7 } else { planned.manifest_version };
        let store = Store::create(folder.path(), Manifest { manifest_version, ..planned }).unwrap();
        complete(&store);
        let done = store.scan().unwrap().done;
        let mut rows = Vec::new();
        for cell in &cells {
            for unit in store.manifest().progress(&cell.id(), &done).counted {
                let part = part(cell, &unit);
                rows.extend(part.trials.into_iter().map(|trial| TrialRow::new(cell, 9, &[], trial)));
            }
        }
        prop_assert!(stop.is_some() || rows.len() as u64 == trials * cells.len() as u64);
        prop_assert_eq!(merged(&store), write_trials(&rows).unwrap());
    }

    /// Grids stand for any list of cells.
    #[test]
    fn any_cells_read_back_from_grids(
        choices in proptest::collection::vec((0u8..3, 0u8..3, any::<bool>(), 0u64..2), 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut cells: Vec<CellSpec> = Vec::new();
        for (bit, rate, changed, seed) in choices {
            let probability = changed.then_some(0.25 + f64::from(rate));
            let rate = 0.01 * (1.0 + f64::from(rate));
            let cell = CellSpec { seed, ..cell((bit > 0).then_some(bit), rate, probability) };
            if cells.iter().all(|other| other.id() != cell.id()) {
                cells.push(cell);
            }
        }
        let planned = Manifest { compressed_parts: true, manifest_version: 7, ..manifest(cells, 3, 3) };
        Store::create(folder.path(), planned.clone()).unwrap();
        let store = Store::open(folder.path()).unwrap();
        prop_assert_eq!(store.manifest(), &planned);
    }
}
