//! Readers of a run's files: manifest, parts, trials.

use std::fs;

use analysis::{Estimates, accuracy_figure};
use design::{
    Better, BitErrorRate, CellSpec, EvaluationSet, FaultKind, Metric, RECORD_VERSION, StoredBits, TrialRecord,
};
use records::{Environment, Manifest, Part, Store, TrialRow, read_trials, write_trials};

use crate::drive::{Place, Reader, on_reader_thread};

fn cell(rate: f64) -> CellSpec {
    CellSpec {
        record_version: RECORD_VERSION,
        evaluator: "e-1".into(),
        model: "m".into(),
        network: "n".into(),
        protection: "faulty".parse().unwrap(),
        protection_parameters: "".into(),
        fault_model: FaultKind::Bernoulli.into(),
        rate: BitErrorRate::new(rate).unwrap(),
        seed: u64::MAX,
        stored: StoredBits { weights: 5, padding_weights: 3, data_bits: 64, check_bits: 8 },
        changed_probability: None,
        metrics: vec![],
        evaluation: EvaluationSet {
            name: "d".into(),
            split: "test".into(),
            images: 100,
            digest: "x".into(),
            ..EvaluationSet::default()
        },
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
        correct: 80 + trial,
        agree: 11,
        predictions_hash: format!("{trial:016x}"),
        scores: vec![],
        block: None,
    }
}

fn part(first: u64, count: u64) -> Part {
    Part {
        cell: cell(0.1),
        first,
        clean_correct: 90,
        clean_scores: vec![],
        trials: (first..first + count).map(trial).collect(),
    }
}

/// Two cells of five trials in units of two.
fn manifest() -> Manifest {
    Manifest::new("x", "toml", vec![], vec![cell(0.1), cell(0.2)], 5, 2, Environment::default())
}

/// Appends the hash of the bytes before it to a part.
fn seal_part(bytes: &mut Vec<u8>) {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let end = body.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    let digest = durable::sha256_hex(bytes);
    bytes.extend(format!("{{\"sha256\":\"{digest}\"}}\n").bytes());
}

#[test]
fn parts() {
    on_reader_thread("part", |name| {
        let valid = vec![part(0, 2).to_bytes(), part(4, 1).to_bytes()];
        let mut read = |bytes: &[u8]| {
            let part = Part::from_bytes(bytes).map_err(|error| error.to_string())?;
            part.unit();
            Ok(())
        };
        Reader::new(name, valid, (1 << 20, 32), &mut read).text().seal(&seal_part).run();
    });
}

#[test]
fn manifests() {
    on_reader_thread("manifest, and the parts that it plans", |name| {
        let run = Place::new("manifest.json");
        let store = Store::create(run.folder(), manifest()).unwrap();
        store.write(&part(0, 2)).unwrap();
        let short = fs::read(run.path()).unwrap();
        Store::create(run.folder(), Manifest { trials: 9, ..manifest() }).unwrap();
        let extended = fs::read(run.path()).unwrap();
        assert_ne!(short, extended);
        let mut read = |bytes: &[u8]| {
            run.filled(bytes);
            let store = Store::open(run.folder()).map_err(|error| error.to_string())?;
            store.scan().map(drop).map_err(|error| error.to_string())
        };
        // The bound covers the largest number of units that a plan may have, listed twice.
        let valid = vec![short, extended];
        Reader::new(name, valid, (512 << 20, 64), &mut read).text().names("manifest.json").run();
    });
}

fn rows(count: u64) -> Vec<TrialRow> {
    (0..count).map(|i| TrialRow::new(&cell(0.1 * (1 + i / 4) as f64), 90, &[], trial(i % 4))).collect()
}

fn scored_rows(count: u64) -> Vec<TrialRow> {
    let metrics = vec![Metric { name: "mAP".into(), better: Better::Higher }];
    let cell = CellSpec { metrics, changed_probability: Some(0.5), ..cell(0.1) };
    let scored = |number| TrialRecord { scores: vec![number as f64 / 3.0], ..trial(number) };
    (0..count).map(|number| TrialRow::new(&cell, 0, &[0.75], scored(number))).collect()
}

#[test]
fn tables_of_trials() {
    on_reader_thread("trials.parquet", |name| {
        let place = Place::new("trials.parquet");
        let tables = [rows(1), rows(6), rows(40), scored_rows(6)];
        let valid = tables.map(|rows| write_trials(&rows).unwrap());
        let mut read =
            |bytes: &[u8]| read_trials(place.filled(bytes)).map(drop).map_err(|error| error.to_string());
        // Text may take 64 MiB plus 256 times the file's size.
        Reader::new(name, valid.to_vec(), (128 << 20, 2048), &mut read).names("trials.parquet").run();
    });
}

/// Reads valid tables with random values, up to a report and its figure.
#[test]
fn tables_of_random_trials() {
    on_reader_thread("trials.parquet, reported", |name| {
        let valid = vec![vec![0; 12], vec![1, 10, 3, 5, 6, 1, 2, 4, 0]];
        let mut read = |bytes: &[u8]| {
            let mut rows = rows(6);
            // Three bytes select a row, a field and a value.
            for change in bytes.chunks_exact(3).take(4) {
                let [row, field, value] = [change[0], change[1], change[2]].map(usize::from);
                let index = row % rows.len();
                let row = &mut rows[index];
                let count = [0, 1, 2, 99, 100, 101, 1 << 32, 1 << 53, u64::MAX / 2, u64::MAX][value % 10];
                let real =
                    [0.0, -0.0, 1.0, 1e-300, 5e-324, f64::NAN, f64::INFINITY, -1.0, 0.5, 1e-9][value % 10];
                match field % 12 {
                    0 => row.rate = real,
                    1 => row.images = count,
                    2 => row.clean_correct = count,
                    3 => row.record.correct = count,
                    4 => row.record.agree = count,
                    5 => row.record.trial = count,
                    6 => row.record.words_hit = count,
                    7 => row.data_bits = count,
                    8 => row.model = ["", "m", "\n|", "ü"][value % 4].into(),
                    9 => row.protection = ["x", "faulty", "secded-72-64", "`|"][value % 4].parse().unwrap(),
                    10 => row.record.flips_data = count,
                    _ => rows.truncate(index),
                }
                if rows.is_empty() {
                    break;
                }
            }
            let report = Estimates::from_rows(&rows).map_err(|error| error.to_string())?;
            accuracy_figure(&report, "", None).svg().map(drop).map_err(|error| error.to_string())
        };
        Reader::new(name, valid, (64 << 20, 64), &mut read).slow(100).run();
    });
}
