//! Readers of networks: checkpoints, foreign state dicts, ONNX models, the state of a training.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use data::{ImageSet, ImageShape, Split};
use ecc::Constraint;
use graph::{Conv, Graph, Layer, MaxPool, ModelSpec, Op, Preprocessing};
use quant::{
    ActivationScale, Activations, Checkpoint, Contents, FloatTensor, Parameters, Provenance, QuantTensor,
};
use safetensors::{Dtype, tensor::TensorView};
use wot::{Method, Recipe, Schedule, Trainer, Validation};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};
use zoo::{Selection, bind, build_stored, read_checkpoint, read_onnx, read_quantized_onnx, read_tflite};

use crate::drive::{Place, Reader, on_reader_thread};
use crate::mutate::Numbers;

// A network of six layers.

fn graph() -> Graph {
    let pair = |n| [n, n];
    let conv = Op::Conv(Conv {
        channels: 2,
        groups: 1,
        bias: true,
        kernel: pair(3),
        stride: pair(1),
        padding: pair(1),
        dilation: pair(1),
    });
    let pool = Op::MaxPool(MaxPool {
        kernel: pair(2),
        stride: pair(2),
        padding: pair(0),
        ceil: false,
        after: None,
        dilation: [1, 1],
    });
    let ops = [
        ("conv", conv),
        ("bn", Op::BatchNorm { epsilon: 1e-5 }),
        ("relu", Op::Relu),
        ("pool", pool),
        ("mean", Op::GlobalAvgPool),
        ("fc", Op::Linear { features: 3 }),
    ];
    let layers: Vec<Layer> = (0..)
        .zip(ops)
        .map(|(input, (name, op))| Layer { name: name.into(), inputs: vec![input], op })
        .collect();
    let model = ModelSpec::new("toy", 3, [1, 4, 4]);
    build_stored(&model, &layers).unwrap()
}

fn parameters() -> Parameters {
    let mut numbers = Numbers(3);
    let mut value = || (1 + numbers.below(1000)) as f32 / 1000.0;
    let tensor = |spec: graph::ParameterSpec| {
        let count = spec.shape.iter().product();
        (spec.name, FloatTensor::new(spec.shape, (0..count).map(|_| value()).collect()))
    };
    graph().parameters().into_iter().map(tensor).collect()
}

fn preprocessing() -> Preprocessing {
    Preprocessing::new(vec![0.5], vec![0.25]).unwrap()
}

fn checkpoint(dynamic: bool) -> Checkpoint {
    let graph = graph();
    let mut parameters = parameters();
    let weights = graph.stored_weights().into_iter().map(|spec| {
        let tensor = parameters.remove(&spec.name).unwrap();
        match dynamic {
            true => QuantTensor::quantize_per_channel(&spec.name, &tensor).unwrap(),
            false => QuantTensor::quantize(&spec.name, &tensor).unwrap(),
        }
    });
    let weights = weights.collect();
    let scale = |point: graph::QuantizationPoint| {
        (graph.nodes()[point.node].name.clone(), ActivationScale::from_range(2.0, point.signed))
    };
    let scales: BTreeMap<String, ActivationScale> =
        graph.quantization_points().into_iter().map(scale).collect();
    let contents = Contents {
        model: graph.spec().clone(),
        layers: graph.layers().to_vec(),
        preprocessing: preprocessing(),
        weights,
        parameters,
        activations: match dynamic {
            true => Activations::Dynamic { batch: 8.try_into().unwrap() },
            false => Activations::Static(scales),
        },
        provenance: Provenance::default(),
    };
    Checkpoint::new(contents).unwrap()
}

/// Compiles a network that is ready to run, as the program does.
fn compiled(checkpoint: &Checkpoint) -> Result<(), String> {
    let graph = build_stored(&checkpoint.model, &checkpoint.layers).map_err(|error| error.to_string())?;
    match checkpoint.activations {
        Activations::Static(_) => infer::Network::new(&graph, checkpoint).map(drop),
        Activations::Given(_) => infer::GivenNetwork::new(&graph, checkpoint).map(drop),
        Activations::Dynamic { .. } => infer::DynamicNetwork::new(&graph, checkpoint).map(drop),
    }
    .map_err(|error| error.to_string())
}

#[test]
fn checkpoints() {
    on_reader_thread("checkpoint", |name| {
        let place = Place::new("c.safetensors");
        let saved = |checkpoint: Checkpoint| {
            checkpoint.save(place.path()).unwrap();
            fs::read(place.path()).unwrap()
        };
        let valid = vec![saved(checkpoint(false)), saved(checkpoint(true))];
        let mut read = |bytes: &[u8]| {
            let mut loaded = Checkpoint::load(place.filled(bytes)).map_err(|error| error.to_string());
            // To get beyond the content hash, the test takes the expected hash from the message.
            if let Err(message) = &loaded
                && let Some(hashes) = message.split_once("content hash is ").map(|(_, rest)| rest)
                && let Some((found, recorded)) = hashes.split_once(", the metadata says ")
                && let Some(recorded) = recorded.get(..64)
                && let Some(at) = bytes.windows(64).position(|window| window == recorded.as_bytes())
            {
                let mut sealed = bytes.to_vec();
                sealed[at..at + 64].copy_from_slice(found.as_bytes());
                loaded = Checkpoint::load(place.filled(&sealed)).map_err(|error| error.to_string());
            }
            let checkpoint = loaded?;
            compiled(&checkpoint).map_err(|message| format!("{}: {message}", place.path().display()))
        };
        Reader::new(name, valid, (1 << 20, 256), &mut read).text().names("c.safetensors").run();
    });
}

// PyTorch's files, written by hand.

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn ints(values: &[u8]) -> Vec<u8> {
    let items = values.iter().flat_map(|&value| [b'K', value]);
    std::iter::once(b'(').chain(items).chain([b't']).collect()
}

/// A dict of two tensors in two storages and one in a nested dict, at protocol 2.
fn pickle() -> Vec<u8> {
    let tensor = |key: &str, class: &str, shape: &[u8], strides: &[u8]| {
        [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            format!("ctorch\n{class}\n").as_bytes(),
            &text(key),
            &text("cpu"),
            b"K\x06tQK\x00",
            &ints(shape),
            &ints(strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    };
    [
        &b"\x80\x02}("[..],
        &text("epoch"),
        b"K\x07",
        &text("state_dict"),
        b"ccollections\nOrderedDict\nq\x00)R(",
        &text("fc.weight"),
        &tensor("0", "FloatStorage", &[2, 3], &[3, 1]),
        &text("fc.bias"),
        &tensor("1", "HalfStorage", &[2], &[1]),
        &text("steps"),
        &tensor("2", "LongStorage", &[], &[]),
        b"uu.",
    ]
    .concat()
}

fn zipped(pickle: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let entries: [(&str, &[u8]); 5] = [
        ("net/data.pkl", pickle),
        ("net/byteorder", b"little"),
        ("net/data/0", &[1; 24]),
        ("net/data/1", &[2; 4]),
        ("net/data/2", &[0; 8]),
    ];
    for (name, content) in entries {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn legacy(pickle: &[u8]) -> Vec<u8> {
    let keys = [&b"\x80\x02]("[..], &text("0"), &text("1"), &text("2"), b"e."].concat();
    let counted = |count: u64, bytes: &[u8]| [&count.to_le_bytes(), bytes].concat();
    [
        &b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}."[..],
        pickle,
        &keys,
        &counted(6, &[1; 24]),
        &counted(2, &[2; 4]),
        &counted(1, &[0; 8]),
    ]
    .concat()
}

/// Memory bound of a state dict. The expanded content takes 64 MiB plus 16 times the file's size, and more
/// while the vector of a storage grows; the objects of a pickle take up to 200 bytes for each byte of it.
const STATE_DICT: (usize, usize) = (192 << 20, 512);

/// Returns the network whose parameters the files hold.
fn classifier() -> Graph {
    let layer = |name: &str, input, op| Layer { name: name.into(), inputs: vec![input], op };
    let layers = [layer("mean", 0, Op::GlobalAvgPool), layer("fc", 1, Op::Linear { features: 2 })];
    let model = ModelSpec::new("classifier", 2, [3, 2, 2]);
    build_stored(&model, &layers).unwrap()
}

fn state_dict(place: &Place, bytes: &[u8]) -> Result<(), String> {
    let read = |path: &Path| {
        let file = read_checkpoint(path)?;
        let bound = file.bind(&classifier(), &Selection::default())?;
        file.tensors(&Selection::default()).map(|_| bound)
    };
    read(place.filled(bytes)).map(drop).map_err(|error| error.to_string())
}

#[test]
fn pytorch_zips() {
    on_reader_thread("PyTorch state dict (zip)", |name| {
        let place = Place::new("x.pth");
        let valid =
            [CompressionMethod::Stored, CompressionMethod::Deflated].map(|method| zipped(&pickle(), method));
        let mut read = |bytes: &[u8]| state_dict(&place, bytes);
        Reader::new(name, valid.to_vec(), STATE_DICT, &mut read).names("x.pth").run();
    });
}

/// The zip is valid, so that every input reaches the pickle.
#[test]
fn pytorch_pickles() {
    on_reader_thread("PyTorch pickle in a sound zip", |name| {
        let place = Place::new("x.pth");
        let mut read = |bytes: &[u8]| state_dict(&place, &zipped(bytes, CompressionMethod::Stored));
        Reader::new(name, vec![pickle()], STATE_DICT, &mut read).names("x.pth").run();
    });
}

#[test]
fn pytorch_legacy_files() {
    on_reader_thread("PyTorch state dict (legacy)", |name| {
        let place = Place::new("x.pth");
        let mut read = |bytes: &[u8]| state_dict(&place, bytes);
        Reader::new(name, vec![legacy(&pickle())], STATE_DICT, &mut read).names("x.pth").run();
    });
}

#[test]
fn safetensors_files() {
    on_reader_thread("safetensors", |name| {
        let place = Place::new("x.safetensors");
        let views = [
            ("fc.weight", TensorView::new(Dtype::F32, vec![2, 3], &[1; 24]).unwrap()),
            ("fc.bias", TensorView::new(Dtype::F16, vec![2], &[2; 4]).unwrap()),
            ("steps", TensorView::new(Dtype::I64, vec![], &[0; 8]).unwrap()),
        ];
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        let valid = safetensors::serialize(views, Some(metadata)).unwrap();
        let mut read = |bytes: &[u8]| state_dict(&place, bytes);
        Reader::new(name, vec![valid], STATE_DICT, &mut read).text().names("x.safetensors").run();
    });
}

// ONNX files, written by hand: number fields and byte fields (field numbers below 16).

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn block(field: u8, content: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

fn int(name: &str, value: u64) -> Vec<u8> {
    block(5, &[block(1, name.as_bytes()), number(3, value)].concat())
}

fn list(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|&value| number(8, value)).collect();
    block(5, &[block(1, name.as_bytes()), values].concat())
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| block(1, name.as_bytes())).collect();
    let names = [block(2, output.as_bytes()), block(4, operator.as_bytes())].concat();
    block(1, &[inputs, names, attributes.concat()].concat())
}

fn dims(sizes: &[u64]) -> Vec<u8> {
    sizes.iter().flat_map(|&size| number(1, size)).collect()
}

fn floats(name: &str, sizes: &[u64]) -> Vec<u8> {
    let count = sizes.iter().product::<u64>() as usize;
    let data = [0, 0, 0x80, 0x3f].repeat(count);
    block(5, &[dims(sizes), number(2, 1), block(8, name.as_bytes()), block(9, &data)].concat())
}

fn integers(name: &str, values: &[i64]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    block(
        5,
        &[dims(&[values.len() as u64]), number(2, 7), block(8, name.as_bytes()), block(9, &data)].concat(),
    )
}

fn outside(name: &str, sizes: &[u64]) -> Vec<u8> {
    let entry =
        |key: &str, value: &str| block(13, &[block(1, key.as_bytes()), block(2, value.as_bytes())].concat());
    let content =
        [dims(sizes), number(2, 1), block(8, name.as_bytes()), entry("location", "w.bin"), number(14, 1)];
    block(5, &content.concat())
}

fn value_info(field: u8, name: &str, sizes: &[u64]) -> Vec<u8> {
    let shape: Vec<u8> = sizes.iter().flat_map(|&size| block(1, &number(1, size))).collect();
    block(
        field,
        &[block(1, name.as_bytes()), block(2, &block(1, &[number(1, 1), block(2, &shape)].concat()))]
            .concat(),
    )
}

fn onnx() -> Vec<u8> {
    let graph = [
        node("Pad", &["x", "pads"], "padded", &[]),
        node("Conv", &["padded", "conv.weight", "conv.bias"], "a", &[list("strides", &[1, 1])]),
        node("BatchNormalization", &["a", "bn.weight", "bn.bias", "bn.mean", "bn.var"], "b", &[]),
        node("Relu", &["b"], "c", &[]),
        node("MaxPool", &["c"], "d", &[list("kernel_shape", &[2, 2]), list("pads", &[1, 1, 1, 1])]),
        node(
            "AveragePool",
            &["c"],
            "e",
            &[list("kernel_shape", &[2, 2]), list("pads", &[1, 1, 1, 1]), int("count_include_pad", 1)],
        ),
        node("Concat", &["d", "e"], "f", &[int("axis", 1)]),
        node("Shape", &["f"], "s", &[]),
        node("Gather", &["s", "zero"], "s0", &[]),
        node("Concat", &["s0", "rest"], "s1", &[int("axis", 0)]),
        node("GlobalAveragePool", &["f"], "g", &[]),
        node("Reshape", &["g", "s1"], "h", &[]),
        node("Gemm", &["h", "fc.weight", "fc.bias"], "i", &[int("transB", 1)]),
        node("Relu", &["i"], "j", &[]),
        node("Transpose", &["last"], "turned", &[list("perm", &[1, 0])]),
        node("MatMul", &["j", "turned"], "k", &[]),
        node("Add", &["k", "last.bias"], "l", &[]),
        node("Softmax", &["l"], "y", &[]),
        block(2, b"toy"),
        integers("pads", &[0, 0, 1, 0, 0, 0, 1, 1]),
        integers("zero", &[0]),
        integers("rest", &[-1]),
        floats("conv.weight", &[2, 1, 3, 3]),
        floats("conv.bias", &[2]),
        floats("bn.weight", &[2]),
        floats("bn.bias", &[2]),
        floats("bn.mean", &[2]),
        outside("bn.var", &[2]),
        floats("fc.weight", &[3, 4]),
        floats("fc.bias", &[3]),
        floats("last", &[2, 3]),
        floats("last.bias", &[2]),
        value_info(11, "x", &[1, 1, 6, 6]),
        value_info(12, "y", &[1, 2]),
    ];
    [number(1, 8), block(7, &graph.concat()), block(8, &number(2, 17))].concat()
}

/// Models as exporters write them: a layer norm as arithmetic, dilated pools, weights that the file standardizes.
fn exported() -> Vec<Vec<u8>> {
    let kinds: serde_json::Value =
        serde_json::from_str(include_str!("../../crates/zoo/tests/it/onnx/kinds.json")).unwrap();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let model = |name: &str| kinds[name]["model"].as_str().unwrap().as_bytes().chunks(2).map(byte).collect();
    ["layer_norms_written_out", "dilated_max_pools", "standardized_weights"].map(model).into()
}

#[test]
fn onnx_models() {
    on_reader_thread("ONNX", |name| {
        let place = Place::new("x.onnx");
        fs::write(place.folder().join("w.bin"), [0x3f; 8]).unwrap();
        let mut read = |bytes: &[u8]| {
            let model = read_onnx(place.filled(bytes), None).map_err(|error| error.to_string())?;
            let graph =
                build_stored(&model.model, &model.layers).map_err(|error| format!("x.onnx: {error}"))?;
            bind(&graph, model.parameters).map(drop).map_err(|error| format!("x.onnx: {error}"))
        };
        let models = [vec![onnx()], exported()].concat();
        Reader::new(name, models, (64 << 20, 1024), &mut read).names("x.onnx").run();
    });
}

/// A network that `onnxruntime.quantization` quantized, in both forms.
fn quantized_models() -> Vec<Vec<u8>> {
    let forms = ["qdq-s8s8", "qoperator-u8s8"];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infer/tests/it/quantized");
    forms.map(|form| fs::read(folder.join(format!("{form}.onnx"))).unwrap()).into()
}

/// The checkpoint of a quantized model.
fn given(model: zoo::QuantizedModel) -> Result<Checkpoint, String> {
    let channels = model.model.input[0];
    let preprocessing = Preprocessing::new(vec![0.5; channels], vec![0.25; channels]).unwrap();
    let contents = Contents {
        model: model.model,
        layers: model.layers,
        preprocessing,
        weights: model.weights,
        parameters: Parameters::new(),
        activations: Activations::Given(model.activations),
        provenance: Provenance::default(),
    };
    Checkpoint::new(contents).map_err(|error| error.to_string())
}

#[test]
fn quantized_onnx_models() {
    on_reader_thread("quantized ONNX", |name| {
        let place = Place::new("q.onnx");
        let named = |error: String| format!("q.onnx: {error}");
        let mut read = |bytes: &[u8]| {
            let model = read_quantized_onnx(place.filled(bytes), None).map_err(|error| error.to_string())?;
            let model = model.ok_or_else(|| named("a float network".into()))?;
            given(model).and_then(|checkpoint| compiled(&checkpoint)).map_err(named)
        };
        Reader::new(name, quantized_models(), (64 << 20, 1024), &mut read).names("q.onnx").run();
    });
}

#[test]
fn tflite_models() {
    on_reader_thread("TensorFlow Lite", |name| {
        let place = Place::new("q.tflite");
        let mut read = |bytes: &[u8]| {
            let model = read_tflite(place.filled(bytes)).map_err(|error| error.to_string())?;
            given(model)
                .and_then(|checkpoint| compiled(&checkpoint))
                .map_err(|error| format!("q.tflite: {error}"))
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infer/tests/it/tflite");
        let valid =
            ["int8", "uint8"].map(|name| fs::read(folder.join(format!("{name}.tflite"))).unwrap()).into();
        Reader::new(name, valid, (64 << 20, 1024), &mut read).names("q.tflite").run();
    });
}

// Training states.

fn recipe(method: Method) -> Recipe {
    Recipe {
        method,
        scale: wot::Scale::Largest,
        bit_errors: None,
        iterations: 4,
        batch_images: 2,
        schedule: Schedule::Cosine { rate: 0.01 },
        momentum: 0.9,
        weight_decay: 1e-4,
        augmentation: None,
        validation: Validation { images: 2, seed: 1 },
        check_every: 2,
        seed: 2,
    }
}

#[test]
fn training_states() {
    on_reader_thread("state of a training", |name| {
        let place = Place::new("x.state");
        let method = || Method::Admm { constraint: Constraint::WOT.into(), beta: 0.0015, dual_every: 3 };
        let shape = ImageShape { channels: 1, height: 4, width: 4 };
        let pixels = (0..8 * 16).map(|i| (i * 37 % 251) as u8).collect();
        let images =
            ImageSet::new("x", Split::Train, shape, 3, pixels, vec![0, 1, 2, 0, 1, 2, 0, 1]).unwrap();
        let mut trainer = Trainer::new(&graph(), parameters(), &preprocessing(), recipe(method())).unwrap();
        let mut saved = Vec::new();
        for _ in 0..2 {
            trainer.next_check(&images, |_, _| {}).unwrap();
            trainer.save(place.path()).unwrap();
            saved.push(fs::read(place.path()).unwrap());
        }
        let graph = graph();
        let mut read = |bytes: &[u8]| {
            let resumed = Trainer::resume(
                &graph,
                &parameters(),
                &preprocessing(),
                recipe(method()),
                place.filled(bytes),
            );
            let mut trainer = resumed.map_err(|error| error.to_string())?;
            // Training continues from the state that was read.
            let next = trainer.next_check(&images, |_, _| {});
            next.map(drop).map_err(|error| format!("{}: {error}", place.path().display()))
        };
        Reader::new(name, saved, (1 << 20, 256), &mut read).text().names("x.state").run();
    });
}
