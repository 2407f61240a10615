//! `corrupt` writes the weights of a trial: those of the records, in any safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::json::document;
use crate::program::{root, succeed, workshop, zerospace};

/// The tensors of a file: type, shape and bytes by name.
fn tensors(path: &Path) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView<'_>)| {
        (name, (view.dtype(), view.shape().into(), view.data().into()))
    };
    file.tensors().into_iter().map(tensor).collect()
}

#[test]
fn the_weights_of_a_published_trial_have_the_counts_and_hashes_of_its_record() {
    let workshop = workshop();
    let folder = workshop.path();
    let rows = records::read_trials(&root().join("results/reproduce/trials.parquet")).unwrap();
    let input = root().join("experiments/networks/squeezenet-synthetic.safetensors");
    let clean = tensors(&input);
    let checkpoint = quant::Checkpoint::load(&input).unwrap();
    let of_network = rows.iter().filter(|row| row.model == "squeezenet" && row.record.trial == 3);
    let chosen: Vec<_> = of_network.filter(|row| row.rate >= 1e-3).collect();
    assert_eq!(chosen.len(), 2 * 4);
    for row in chosen {
        let (rate, trial) = (row.rate.to_string(), row.record.trial.to_string());
        let (seed, model) = (row.seed.to_string(), row.fault_model.to_string());
        let arguments = [
            "corrupt",
            input.to_str().unwrap(),
            "--protection",
            row.protection.as_str(),
            "--rate",
            &rate,
            "--model",
            &model,
            "--seed",
            &seed,
            "--trial",
            &trial,
            "-o",
        ];
        let int8 = document(folder, &[&arguments[..], &["int8.safetensors"]].concat(), 0);
        let record = serde_json::to_value(&row.record).unwrap();
        for field in [
            "trial",
            "flips_data",
            "flips_check",
            "pattern_hash",
            "words_hit",
            "corrected",
            "detected",
            "miscorrected",
            "silent",
            "weights_changed",
            "padding_changed",
            "weights_hash",
        ] {
            assert_eq!(int8[field], record[field], "{field} under {} at {rate}", row.protection);
        }
        let written = tensors(&folder.join("int8.safetensors"));
        assert!(written.keys().eq(clean.keys()));
        let changed = written.iter().map(|(name, (dtype, shape, bytes))| {
            let (clean_dtype, clean_shape, clean_bytes) = &clean[name];
            assert_eq!((dtype, shape), (clean_dtype, clean_shape));
            assert!(*dtype == Dtype::I8 || bytes == clean_bytes);
            bytes.iter().zip(clean_bytes).filter(|(a, b)| a != b).count() as u64
        });
        assert_eq!(changed.sum::<u64>(), row.record.weights_changed);

        let text = succeed(folder, &[&arguments[..], &["float.safetensors", "--float"]].concat());
        assert!(text.contains(&format!("| weights hash       | {} |", row.record.weights_hash)), "{text}");
        let float = tensors(&folder.join("float.safetensors"));
        for weights in &checkpoint.weights {
            let (dtype, _, bytes) = &float[weights.name()];
            assert_eq!(*dtype, Dtype::F32);
            let (_, _, levels) = &written[weights.name()];
            let size = levels.len() / weights.scale().values().len();
            let real = bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk));
            for (i, (real, level)) in real.zip(levels).enumerate() {
                assert_eq!(real, f32::from(level.cast_signed()) / weights.scale().of(i / size).get());
            }
        }
    }
}

/// Writes a file by hand: the bytes of `b` come before those of `a`.
fn foreign(path: &Path) {
    let header = r#"{"a":{"dtype":"I8","shape":[16],"data_offsets":[24,40]},"b":{"dtype":"I8","shape":[3,8],"data_offsets":[0,24]},"bias":{"dtype":"F32","shape":[2],"data_offsets":[40,48]}}"#;
    let padded = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    let mut bytes = (padded.len() as u64).to_le_bytes().to_vec();
    bytes.extend(padded.as_bytes());
    bytes.extend((0..40).chain([0, 0, 128, 63, 0, 0, 0, 64]));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn int8_tensors_of_another_file_are_stored_in_the_order_of_its_bytes() {
    let workshop = workshop();
    let folder = workshop.path();
    foreign(&folder.join("in.safetensors"));
    let arguments = [
        "corrupt",
        "in.safetensors",
        "--protection",
        "faulty",
        "--rate",
        "1",
        "--seed",
        "1",
        "--trial",
        "0",
        "-o",
        "out.safetensors",
    ];
    // At rate 1 every bit flips.
    let every = document(folder, &arguments, 0);
    assert_eq!((&every["flips_data"], &every["weights_changed"]), (&320.into(), &40.into()));
    assert_eq!(every["copied"], serde_json::json!([{ "name": "bias", "type": "F32" }]));
    let written = tensors(&folder.join("out.safetensors"));
    assert_eq!(written["b"].2, (0..24).map(|value: u8| !value).collect::<Vec<_>>());
    assert_eq!(written["a"].2, (24..40).map(|value: u8| !value).collect::<Vec<_>>());
    assert_eq!(written["bias"].2, [0, 0, 128, 63, 0, 0, 0, 64]);
    // The first tensor of the memory is the one whose bytes come first.
    let first = [&arguments[..], &["--model", "bernoulli:tensor=b"]].concat();
    let first = document(folder, &first, 0);
    assert_eq!((&first["flips_data"], &first["weights_changed"]), (&192.into(), &24.into()));
    let text = succeed(folder, &arguments);
    assert!(text.ends_with("\nout.safetensors\ncopied as they are: bias (F32)\n"), "{text}");
}

#[test]
fn what_cannot_be_corrupted_is_named() {
    let workshop = workshop();
    let folder = workshop.path();
    foreign(&folder.join("in.safetensors"));
    let float = std::fs::read(folder.join("in.safetensors")).unwrap();
    let float = String::from_utf8_lossy(&float).into_owned().into_bytes();
    std::fs::write(folder.join("broken.safetensors"), &float[..30]).unwrap();
    let refused = |input: &str, more: &[&str]| {
        let rate = if more.contains(&"--rate") { &[][..] } else { &["--rate", "1e-3"] };
        let protection = if more.contains(&"--protection") { &[][..] } else { &["--protection", "faulty"] };
        let common = ["--seed", "1", "--trial", "0", "-o", "out.safetensors"];
        let said = zerospace(folder, &[&["corrupt", input], protection, rate, &common, more].concat());
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(!folder.join("out.safetensors").exists());
        said.stderr
    };
    let scale = refused("in.safetensors", &["--float"]);
    assert!(
        scale.contains("--float: in.safetensors: tensor b has no scale, expected a zerospace checkpoint for weights as floats"),
        "{scale}"
    );
    let name = refused("in.safetensors", &["--protection", "raid"]);
    assert!(name.contains("--protection: unknown protection `raid`, expected "), "{name}");
    assert!(
        refused("in.safetensors", &["--rate", "2"])
            .contains("--rate: bit error rate 2, expected a number in [0, 1]")
    );
    let tensor = refused("in.safetensors", &["--model", "bernoulli:tensor=c"]);
    assert!(tensor.contains("has no tensor \"c\", expected one of b, a"), "{tensor}");
    assert!(refused("broken.safetensors", &[]).contains("broken.safetensors: not a safetensors file: "));
    let mut bytes = std::fs::read(folder.join("in.safetensors")).unwrap();
    bytes.iter_mut().skip(8).filter(|byte| **byte == b'I').for_each(|byte| *byte = b'U');
    std::fs::write(folder.join("u8.safetensors"), bytes).unwrap();
    let none = refused("u8.safetensors", &[]);
    assert!(
        none.contains("u8.safetensors: no tensor of type I8, expected int8 weights; its types are F32, U8"),
        "{none}"
    );
}
