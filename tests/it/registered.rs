//! Campaigns under protections that only the process that ran them knows.

use std::sync::Arc;

use campaign::{NetworkUnderTest, RunControl, Shard};
use ecc::{BLOCK, Constraint, MemoryImage, Protection, WordShape, WordStatus};
use harness::{DataSets, LoadedExperiment, ReadyNetwork, measure_fault_free};
use records::{Environment, Store, read_trials};

use crate::program::{experiment, prepare, succeed, workshop, zerospace};

/// The sum of the eight weights beside a block; all weights of a block whose sum differs are read as zero. A lossy one
/// stores weights without their lowest bit.
#[derive(Debug)]
struct Summed {
    id: &'static str,
    lossy: bool,
}

impl Summed {
    fn sum(bytes: u64) -> u64 {
        bytes.to_le_bytes().into_iter().fold(0, u8::wrapping_add).into()
    }
}

impl Protection for Summed {
    fn id(&self) -> &str {
        self.id
    }

    fn definition(&self) -> String {
        format!("sum modulo 256, lowest bit {}", if self.lossy { "lost" } else { "kept" })
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 8 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        if self.lossy { weights.map(|weight| weight & !1) } else { weights }
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let bytes = u64::from_le_bytes(self.as_stored(*weights).map(i8::cast_unsigned));
        image.set_block(block, bytes);
        image.set_check_word(block, 8, Self::sum(bytes));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        if self.syndrome(image, word) != 0 {
            weights.fill(0);
            return WordStatus::Detected;
        }
        let bytes = image.block(word).to_le_bytes().map(u8::cast_signed);
        weights.copy_from_slice(&self.as_stored(bytes));
        WordStatus::Clean
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        Self::sum(image.block(word)) ^ image.check_word(word, 8)
    }
}

#[test]
fn a_campaign_under_registered_protections_is_reported_by_a_program_that_does_not_know_them() {
    for (id, lossy) in [("summed", false), ("summed-lossy", true)] {
        ecc::register(Arc::new(Summed { id, lossy })).unwrap();
    }
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let text = experiment(3)
        .replace(r#"["faulty", "zero", "ecc", "in-place"]"#, r#"["ecc", "summed", "summed-lossy"]"#);
    std::fs::write(folder.join("x.toml"), text).unwrap();
    let file = folder.join("x.toml");
    let loaded = LoadedExperiment::load(&file, &DataSets::new(folder.join("data")), &()).unwrap();
    let mut ready = loaded.ready(&()).unwrap();
    let environment = Environment {
        program: "own".into(),
        platform: String::new(),
        cpu: String::new(),
        threads: 1,
        started_unix_s: 0,
        command: Vec::new(),
        arguments: None,
    };
    let store = Store::create(&folder.join("runs/x"), loaded.manifest(&ready, environment)).unwrap();
    {
        let ReadyNetwork { evaluator, evaluation } = &mut ready[0];
        let mut subjects = [NetworkUnderTest { network: &loaded.networks[0], evaluator, evaluation }];
        let control = || RunControl::Continue;
        campaign::run(&store, &mut subjects, Shard::WHOLE, &control, &mut |_| {}).unwrap();
    }
    measure_fault_free(&store, &loaded, &mut ready, &()).unwrap().expect("both").write(&store).unwrap();

    let said = succeed(folder, &["report", "runs/x", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&said).unwrap();
    let cell = |protection: &str, rate: f64| {
        let mut cells = document["cells"].as_array().unwrap().iter();
        cells.find(|cell| cell["protection"] == protection && cell["rate"] == rate).unwrap()
    };
    for row in read_trials(&folder.join("runs/x/trials.parquet")).unwrap() {
        assert!(row.protection == "secded-72-64" || row.record.corrected == 0, "{row:?}");
        assert!(row.rate < 1e-3 || row.record.detected > 0, "{row:?}");
    }
    let clean = &cell("secded-72-64", 1e-2)["clean_percent"];
    assert_eq!(&cell("summed", 1e-2)["fault_free_percent"], clean);
    assert_eq!(cell("summed-lossy", 1e-2)["fault_free_percent"], cell("summed-lossy", 0.0)["mean_percent"]);
    let report = std::fs::read_to_string(folder.join("runs/x/report.md")).unwrap();
    assert!(report.contains("summed-lossy") && !report.contains("not measured"), "{report}");

    let said = zerospace(folder, &["verify", "x.toml"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains("x.toml: `protections` is \"summed\", expected one of faulty, "),
        "{}",
        said.stderr
    );
}
