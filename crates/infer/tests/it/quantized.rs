//! Networks that `onnxruntime.quantization` quantized, against the logits of ONNX Runtime (`quantized/make.py`), bit for bit.

use std::fs;
use std::path::{Path, PathBuf};

use graph::{Preprocessing, WeightChange};
use infer::GivenNetwork;
use quant::{Activations, Checkpoint, Contents, Parameters, Provenance, QuantTensor, Rule};

const NAMES: [&str; 4] = ["qdq-u8s8", "qdq-s8s8", "qdq-u8u8", "qoperator-u8s8"];
const IMAGE: usize = 3 * 12 * 12;
const CLASSES: usize = 7;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/quantized")
}

fn checkpoint(name: &str) -> Checkpoint {
    let read = zoo::read_quantized_onnx(&folder().join(format!("{name}.onnx")), None).unwrap().unwrap();
    let contents = Contents {
        model: read.model,
        layers: read.layers,
        preprocessing: Preprocessing::new(vec![0.5; 3], vec![0.25; 3]).unwrap(),
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

/// S322, S323, S324, S325, S326, S327, S328, S329 and S330: all logits, bit for bit.
#[test]
fn logits_are_those_of_onnx_runtime() {
    let images = images();
    for name in NAMES {
        let mut network = network(&checkpoint(name));
        let bytes = fs::read(folder().join(format!("{name}.bin"))).unwrap();
        let expected: Vec<u32> = bytes.as_chunks().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect();
        let found = network.logits(&network.prepare(&images).unwrap(), &[]);
        let found: Vec<u32> = found.into_iter().map(f32::to_bits).collect();
        assert_eq!(found.len(), images.len() / IMAGE * CLASSES);
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(GivenNetwork::evaluator(Rule::Ort), "int8-ort-1");
}

#[test]
fn a_changed_weight_is_a_changed_byte_of_the_file() {
    let images = images();
    for name in NAMES {
        let clean = checkpoint(name);
        let mut network = network(&clean);
        let inputs = network.prepare(&images).unwrap();
        let before = network.logits(&inputs, &[]);
        for tensor in 0..clean.weights.len() {
            let old = clean.weights[tensor].values()[1];
            let value = old ^ i8::MIN;
            let mut contents = clean.clone().into_contents();
            let mut values = contents.weights[tensor].values().to_vec();
            values[1] = value;
            contents.weights[tensor] = contents.weights[tensor].clone().with_values(values).unwrap();
            let expected = logits_of(&Checkpoint::new(contents).unwrap(), &images);
            let change = WeightChange { tensor, index: 1, value };
            let first = WeightChange { value: 7, ..change };
            assert_eq!(network.logits(&inputs, &[first, change]), expected, "{name}, tensor {tensor}");
        }
        assert_eq!(network.logits(&inputs, &[]), before);
        let classes = network.predict(&inputs, &[]);
        let some = network.predict_block(&inputs, &[5, 0], &[]);
        assert_eq!(some, [classes[5], classes[0]]);
    }
}

fn logits_of(checkpoint: &Checkpoint, images: &[u8]) -> Vec<f32> {
    let mut network = network(checkpoint);
    network.logits(&network.prepare(images).unwrap(), &[])
}

#[test]
fn a_checkpoint_keeps_everything() {
    let place = tempfile();
    for name in NAMES {
        let made = checkpoint(name);
        made.save(&place).unwrap();
        let read = Checkpoint::load(&place).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.digest(), made.digest());
    }
    fs::remove_file(place).unwrap();
}

fn tempfile() -> PathBuf {
    std::env::temp_dir().join(format!("zerospace-given-{}.safetensors", std::process::id()))
}

#[test]
fn weights_are_the_levels_of_the_file() {
    let unsigned = checkpoint("qdq-u8u8");
    let file = fs::read(folder().join("qdq-u8u8.onnx")).unwrap();
    for tensor in &unsigned.weights {
        // An int8 level is 128 below the uint8 level.
        let bytes: Vec<u8> = tensor.values().iter().map(|&value| value as u8 ^ 0x80).collect();
        // Both linear layers have transB, so no weight is transposed.
        assert!(file.windows(bytes.len()).any(|window| window == bytes), "{}", tensor.name());
    }
    let first: &QuantTensor = &unsigned.weights[0];
    let real = first.dequantize();
    let zeros = first.values().iter().zip(real.values()).filter(|(level, _)| **level == 0);
    assert!(zeros.clone().count() > 0);
    assert!(zeros.clone().all(|(_, real)| *real == 0.0));
}

#[test]
fn damaged_quantizations_are_named() {
    let with = |change: fn(&mut Contents)| {
        let mut contents = checkpoint("qdq-u8s8").into_contents();
        change(&mut contents);
        let made = match Checkpoint::new(contents) {
            Ok(made) => made,
            Err(error) => return error.to_string(),
        };
        let graph = zoo::build_stored(&made.model, &made.layers).unwrap();
        GivenNetwork::new(&graph, &made).unwrap_err().to_string()
    };
    let cases: [(String, &str); 5] = [
        (
            with(|c| {
                let Activations::Given(given) = &mut c.activations else { unreachable!() };
                given.points.pop();
            }),
            "given.points is a list of",
        ),
        (
            with(|c| {
                let Activations::Given(given) = &mut c.activations else { unreachable!() };
                given.points[2].as_mut().unwrap().zero_point = 256;
            }),
            "given.points[2] is zero point 256, expected 0..=255",
        ),
        (
            with(|c| {
                let Activations::Given(given) = &mut c.activations else { unreachable!() };
                given.biases.insert("stem.bias".into(), vec![1]);
            }),
            "layer stem has 1 biases, expected 16",
        ),
        (
            with(|c| {
                let Activations::Given(given) = &mut c.activations else { unreachable!() };
                given.biases.get_mut("stem.bias").unwrap()[0] = i32::MIN;
            }),
            "layer stem sums 27 products and a bias of up to 2147483648, expected sums that fit into i32",
        ),
        (
            with(|c| c.activations = Activations::Static(Default::default())),
            "given.weights: scale of stem.weight is present without `given`",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.starts_with(expected), "{found}, expected {expected}");
    }
}
