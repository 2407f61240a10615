//! TensorFlow Lite models, against the levels of LiteRT's reference kernels (ai-edge-litert 2.3.0, `tflite/make.py`).

use std::fs;
use std::path::{Path, PathBuf};

use graph::WeightChange;
use infer::GivenNetwork;
use quant::{Activations, Checkpoint, Contents, Parameters, Provenance, Rule, WeightScale};

const NAMES: [&str; 2] = ["int8", "uint8"];
const IMAGE: usize = 3 * 11 * 11;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tflite")
}

fn checkpoint(name: &str) -> Checkpoint {
    let read = zoo::read_tflite(&folder().join(format!("{name}.tflite"))).unwrap();
    let contents = Contents {
        model: read.model,
        layers: read.layers,
        preprocessing: read.pixels.unwrap(),
        weights: read.weights,
        parameters: Parameters::new(),
        activations: Activations::Given(read.activations),
        provenance: Provenance::default(),
    };
    Checkpoint::new(contents).unwrap()
}

fn network(checkpoint: &Checkpoint) -> GivenNetwork {
    GivenNetwork::new(&zoo::build_stored(&checkpoint.model, &checkpoint.layers).unwrap(), checkpoint).unwrap()
}

fn images() -> Vec<u8> {
    fs::read(folder().join("images.bin")).unwrap()
}

/// S331, S332, S333, S334, S335, S336, S337, S338, S339 and S340: all levels, bit for bit, with images in tiles of any size.
#[test]
fn levels_are_those_of_the_reference_kernels() {
    let images = images();
    for name in NAMES {
        let checkpoint = checkpoint(name);
        let Activations::Given(given) = &checkpoint.activations else { panic!("the levels are given") };
        let point = given.points.last().unwrap().unwrap();
        let levels = fs::read(folder().join(format!("{name}.bin"))).unwrap();
        let level = |&byte: &u8| i16::from(byte) - if point.signed && byte > 127 { 256 } else { 0 };
        let expected: Vec<f32> =
            levels.iter().map(|byte| point.scale * f32::from(level(byte) - point.zero_point)).collect();
        let mut network = network(&checkpoint);
        assert_eq!(network.logits(&network.prepare(&images).unwrap(), &[]), expected, "{name}");
        let one = network.logits(&network.prepare(&images[3 * IMAGE..4 * IMAGE]).unwrap(), &[]);
        assert_eq!(one, expected[3 * network.classes()..4 * network.classes()], "{name}, one image");
    }
    assert_eq!(GivenNetwork::evaluator(Rule::TfliteReference), "int8-tflite-reference-1");
}

#[test]
fn a_changed_weight_is_a_changed_byte_of_the_file() {
    let images = images();
    for name in NAMES {
        let clean = checkpoint(name);
        let mut network = network(&clean);
        let inputs = network.prepare(&images).unwrap();
        let before = network.logits(&inputs, &[]);
        let mut changed = 0;
        for tensor in 0..clean.weights.len() {
            let value = clean.weights[tensor].values()[1] ^ i8::MIN;
            let mut contents = clean.clone().into_contents();
            let mut values = contents.weights[tensor].values().to_vec();
            values[1] = value;
            contents.weights[tensor] = contents.weights[tensor].clone().with_values(values).unwrap();
            let other = Checkpoint::new(contents).unwrap();
            let mut other = self::network(&other);
            let expected = other.logits(&other.prepare(&images).unwrap(), &[]);
            assert_eq!(network.logits(&inputs, &[WeightChange { tensor, index: 1, value }]), expected);
            changed += usize::from(expected != before);
        }
        assert!(changed > clean.weights.len() / 2, "{name}: {changed} changes show");
        assert_eq!(network.logits(&inputs, &[]), before);
    }
}

#[test]
fn a_checkpoint_keeps_rule_and_zero_points() {
    let place = std::env::temp_dir().join(format!("zerospace-tflite-{}.safetensors", std::process::id()));
    for name in NAMES {
        let made = checkpoint(name);
        made.save(&place).unwrap();
        let read = Checkpoint::load(&place).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.digest(), made.digest());
    }
    fs::remove_file(place).unwrap();
}

#[test]
fn weights_are_the_levels_of_the_file() {
    let file = fs::read(folder().join("uint8.tflite")).unwrap();
    let made = checkpoint("uint8");
    let last = made.weights.last().unwrap();
    // An int8 level is 128 below the uint8 level.
    let bytes: Vec<u8> = last.values().iter().map(|&value| value as u8 ^ 0x80).collect();
    assert!(file.windows(bytes.len()).any(|window| window == bytes), "{}", last.name());
    for tensor in &made.weights {
        let WeightScale::Given(scale) = tensor.scale() else { panic!("the scale is given") };
        let zero = scale.zero_point();
        let real = tensor.dequantize();
        let unit = scale.units_per_level()[0];
        for (&level, &real) in tensor.values().iter().zip(real.values()) {
            assert_eq!(real, f32::from(i16::from(level) - i16::from(zero)) * unit);
        }
    }
}
