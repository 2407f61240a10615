//! Campaigns of single faults on disk.

use design::{EvaluationSet, FaultRecord, FaultSample, FaultedTensor, SingleFaultSpec, Strata};
use records::{Environment, FaultManifest, FaultStore, MergedFaults, NetworkEntry, StoreError};

fn manifest() -> FaultManifest {
    let spec = SingleFaultSpec {
        record_version: 1,
        evaluator: "int8-1".into(),
        model: "net".into(),
        network: "ab".into(),
        tensors: vec![FaultedTensor { name: "a".into(), weights: 400 }],
        seed: 1,
        sample: FaultSample {
            strata: Strata::Network,
            margin: 0.0,
            confidence: 0.95,
            expected_rate: 0.5,
            exhaustive: true,
        },
        evaluation: EvaluationSet { images: 50, ..EvaluationSet::default() },
    };
    FaultManifest::new("t", "", spec, 3200, 1000, 1.0, NetworkEntry::default(), Environment::default())
}

fn record(fault: u64) -> FaultRecord {
    let count = |salt: u64| (fault.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> salt) as u32 % 51;
    FaultRecord { fault, logits: count(20), top1: count(30), correct: count(32) }
}

fn unit(number: u64) -> Vec<FaultRecord> {
    (number * 1000..(number * 1000 + 1000).min(3200)).map(record).collect()
}

#[test]
fn a_merged_table_has_every_fault_in_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = FaultStore::create(folder.path(), manifest()).unwrap();
    for number in [3, 0, 2] {
        store.write(number, &unit(number)).unwrap();
    }
    assert_eq!(store.merge().unwrap(), MergedFaults::Missing(1));
    assert!(store.all().unwrap_err().to_string().contains("1 units are missing"));
    store.write(1, &unit(1)).unwrap();
    let from_parts = store.all().unwrap();
    let MergedFaults::Complete(path) = store.merge().unwrap() else { panic!("all units exist") };
    let all: Vec<FaultRecord> = (0..3200).map(record).collect();
    assert_eq!(from_parts, all);
    assert_eq!(FaultStore::open(folder.path()).unwrap().all().unwrap(), all);
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 3200 * 5, "{bytes} bytes");
}

/// A part that was cut or changed does not count, and is written again; one with other records is a contradiction.
#[test]
fn a_damaged_part_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let store = FaultStore::create(folder.path(), manifest()).unwrap();
    store.write(0, &unit(0)).unwrap();
    let path = folder.path().join("parts/faults-00000000.jsonl");
    let whole = std::fs::read(&path).unwrap();
    for place in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        for bytes in [&damaged[..], &whole[..place]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(store.read(0).unwrap(), None, "byte {place}");
        }
    }
    store.write(0, &unit(0)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    let mut other = unit(0);
    other[5].top1 ^= 1;
    assert!(matches!(store.write(0, &other), Err(StoreError::Contradiction { .. })));
}

#[test]
fn another_plan_and_a_damaged_table_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FaultStore::create(folder.path(), manifest()).unwrap();
    assert!(FaultStore::is_at(folder.path()));
    let other = FaultManifest { drop_points: 2.0, ..manifest() };
    let error = FaultStore::create(folder.path(), other).unwrap_err().to_string();
    assert!(
        error.ends_with("this run was started with another plan: drop_points is 2.0, was 1.0"),
        "{error}"
    );
    (0..4).for_each(|number| store.write(number, &unit(number)).unwrap());
    let MergedFaults::Complete(path) = store.merge().unwrap() else { panic!("all units exist") };
    let whole = std::fs::read(&path).unwrap();
    for len in [0, 4, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = store.all().unwrap_err().to_string();
        assert!(error.contains("faults.parquet: "), "{error}");
    }
}
