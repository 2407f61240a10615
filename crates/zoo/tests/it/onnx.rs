//! ONNX models against ONNX Runtime, whose logits `onnx/make.py` recorded, and files that are damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use graph::{AvgPool, Conv, Graph, MaxPool, Op, Preprocessing};
use quant::FloatTensor;
use serde_json::Value;
use zoo::{FloatNetwork, InputArithmetic, OnnxModel, bind, build_stored, read_onnx};

const MODELS: [&str; 4] = ["mobilenet_v2", "mobilenet_v2_traced", "efficientnet_lite", "mixed"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/onnx/{name}.onnx"))
}

fn read(name: &str) -> OnnxModel {
    read_onnx(&file(name), None).unwrap()
}

fn network_of(model: OnnxModel) -> (Graph, FloatNetwork) {
    let graph = build_stored(&model.model, &model.layers).unwrap();
    let parameters = bind(&graph, model.parameters).unwrap();
    let network = FloatNetwork::from_parameters(&graph, &parameters).unwrap();
    (graph, network)
}

/// The image of `onnx/make.py`.
fn image([channels, height, width]: [usize; 3]) -> FloatTensor {
    let value = |i: u64| {
        let hashed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (hashed % 4001) as f32 / 1000.0 - 2.0
    };
    let values = (0..(channels * height * width) as u64).map(value).collect();
    FloatTensor::new(vec![1, channels, height, width], values)
}

#[test]
fn models_agree_with_onnx_runtime() {
    let golden: Value = serde_json::from_str(include_str!("onnx/golden.json")).unwrap();
    for name in MODELS {
        let (graph, network) = network_of(read(name));
        let logits = network.logits(&image(graph.spec().input)).unwrap();
        let expected: Vec<f64> =
            golden[name]["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let mut found: Vec<f64> = logits.values().iter().map(|&v| v.into()).collect();
        if name == "mixed" {
            // The file ends in a Softmax, which the layers do not have.
            let sum: f64 = found.iter().map(|v| v.exp()).sum();
            found.iter_mut().for_each(|v| *v = v.exp() / sum);
        }
        assert_eq!(found.len(), expected.len(), "{name}");
        let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            // Measured: at most 3e-6.
            assert!((found - expected).abs() < 1e-5 * largest, "{name}: {found}, expected {expected}");
        }
    }
}

fn kinds() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("onnx/kinds.json")).unwrap()
}

/// The file of one of [`kinds`].
fn bytes_of(kind: &Value) -> Vec<u8> {
    let pairs = kind["model"].as_str().unwrap().as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Small models of the kinds that tools write, with ONNX Runtime's logits: `onnx/make_kinds.py`.
#[test]
fn kinds_agree_with_onnx_runtime() {
    let kinds = kinds();
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (name, kind) in &kinds {
        let path = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&path, bytes_of(kind)).unwrap();
        let model = match read_onnx(&path, None) {
            Ok(model) => model,
            Err(error) => {
                wrong.push(error.to_string());
                continue;
            }
        };
        let [channels, height, width] = model.model.input;
        // The image of `onnx/make_kinds.py`, in the file's order of axes.
        let last = model.notes.iter().any(|note| note.contains("channels-last"));
        let drawn = image([channels, height, width]);
        let mut x = vec![0.0; drawn.values().len()];
        for (i, own) in x.iter_mut().enumerate() {
            let (channel, pixel) = (i / (height * width), i % (height * width));
            let value = drawn.values()[if last { pixel * channels + channel } else { i }];
            let value = if model.arithmetic.bytes { ((value + 2.0) * 63.0).floor() } else { value };
            let (scale, offset) = (model.arithmetic.scale[channel], model.arithmetic.offset[channel]);
            *own = (f64::from(value) * scale + offset) as f32;
        }
        let (_, network) = network_of(model);
        let logits = network.logits(&FloatTensor::new(vec![1, channels, height, width], x)).unwrap();
        let mut found: Vec<f64> = logits.values().iter().map(|&v| v.into()).collect();
        let expected: Vec<f64> = serde_json::from_value(kind["logits"].clone()).unwrap();
        // A softmax at the end, which the layers do not have.
        let sum: f64 = found.iter().map(|v| v.exp()).sum();
        match name.as_str() {
            "operator_set_7" | "a_fixed_batch_in_the_shapes" => {
                found.iter_mut().for_each(|v| *v = v.exp() / sum);
            }
            "operator_set_12" => found.iter_mut().for_each(|v| *v -= sum.ln()),
            _ => {}
        }
        let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let error = found.iter().zip(&expected).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest;
        // Measured: at most 1e-6; ONNX Runtime computes one of them in halves.
        let tolerance = if name == "halves" { 3e-3 } else { 1e-5 };
        if error > tolerance || found.len() != expected.len() {
            wrong.push(format!("{name}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty() && kinds.len() > 40, "{} kinds\n{}", kinds.len(), wrong.join("\n"));
}

/// What is chosen in reading is said.
#[test]
fn choices_are_said() {
    let kinds = kinds();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let read = |name: &str, output: Option<&str>| {
        std::fs::write(&path, bytes_of(&kinds[name])).unwrap();
        read_onnx(&path, output)
    };
    for (name, notes) in [
        ("bias_behind_a_convolution", &[][..]),
        (
            "a_fixed_batch",
            &["the file fixes a batch of 3, which is left out: images are processed one by one"],
        ),
        (
            "arithmetic_on_the_image",
            &["the file's arithmetic on the image is folded into mean and standard deviation"],
        ),
        ("arithmetic_on_one_reading_of_the_image", &[]),
        (
            "bytes_as_input",
            &["the file takes pixels as bytes, 0 to 255, and has its own mean and standard deviation"],
        ),
        ("halves", &["the file computes in float16, the float network here in float32"]),
        ("operator_set_12", &["the softmax at the end is left out: it keeps the order of the classes"]),
        (
            "features_beside_logits",
            &["output Gemm6 is read because it is the only list of classes; not read: Conv3"],
        ),
        (
            "channels_last",
            &[
                "images are channels-last in the file; the layers here have channels first",
                "the weights of fc are in the order of channels, height, width here",
                "the file's arithmetic on the image is folded into mean and standard deviation",
            ],
        ),
        ("gemms", &["the weights of Gemm4 are those of the file times its alpha, 0.5"]),
    ] {
        assert_eq!(read(name, None).unwrap().notes, notes, "{name}");
    }
    assert_eq!(read("features_beside_logits", Some("Gemm6")).unwrap().notes, [""; 0]);
    let refused = |output| read("features_beside_logits", Some(output)).unwrap_err().to_string();
    assert!(refused("Conv3").ends_with("output of the model Conv3 is an image, expected [batch, classes]"));
    assert!(refused("fc").ends_with("output of the model fc is not there, expected one of Gemm6, Conv3"));
}

/// ((p / 255 - 0.5) / 0.25) * 2 + 1 = (p / 255 - 0.375) / 0.125, and (p - 51) * 0.02 = (p / 255 - 0.2) / (0.02 * 255)^-1.
#[test]
fn arithmetic_on_the_image_is_preprocessing() {
    let asked = Preprocessing::new(vec![0.5], vec![0.25]).unwrap();
    let arithmetic = InputArithmetic { bytes: false, scale: vec![2.0], offset: vec![1.0] };
    let expected = Preprocessing::new(vec![0.375], vec![0.125]).unwrap();
    assert_eq!(arithmetic.preprocessing(&asked).unwrap(), expected);
    let bytes = InputArithmetic { bytes: true, scale: vec![0.02], offset: vec![-51.0 * 0.02] };
    let found = bytes.preprocessing(&asked).unwrap();
    assert!((found.mean()[0] - 0.2).abs() < 1e-7 && (found.std()[0] - 1.0 / 5.1).abs() < 1e-7, "{found:?}");
}

fn count(model: &OnnxModel, wanted: impl Fn(&Op) -> bool) -> usize {
    model.layers.iter().filter(|layer| wanted(&layer.op)).count()
}

#[test]
fn both_exporters_of_pytorch_give_the_same_network() {
    let [new, traced] = ["mobilenet_v2", "mobilenet_v2_traced"].map(read);
    assert_eq!(new.model, traced.model);
    assert_eq!(new.model.architecture, "main_graph");
    let ops = |model: &OnnxModel| model.layers.iter().map(|layer| layer.op.clone()).collect::<Vec<_>>();
    assert_eq!(ops(&new), ops(&traced));
    // Weights that keep PyTorch's names name their layers, others are called after their node.
    let names: Vec<&str> = new.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names[0], "features.0.0");
    assert_eq!(traced.layers[0].name, "/features/features.0/features.0.0/Conv");
    assert_eq!(traced.layers.last().unwrap().name, "classifier.1");
    let depthwise = count(&new, |op| matches!(op, Op::Conv(Conv { groups, .. }) if *groups > 1));
    assert_eq!(depthwise, 9);
    assert!(new.layers.iter().any(|layer| layer.op == Op::ClippedRelu { max: 6.0 }));
    // Memory order is execution order.
    let (graph, _) = network_of(new);
    let weights: Vec<String> = graph.stored_weights().into_iter().map(|p| p.name).collect();
    assert_eq!(weights[..2], ["features.0.0.weight", "features.1.conv.0.0.weight"]);
    assert_eq!(weights.last().unwrap(), "classifier.1.weight");
}

#[test]
fn batch_norms_and_padding_become_layers_only_where_they_must() {
    let model = read("efficientnet_lite");
    assert_eq!(count(&model, |op| matches!(op, Op::BatchNorm { epsilon: 1e-3 })), 28);
    // Stride 2 with "same" padding has more zeros below and on the right, but not for 3 pixels, the last;
    // the others are symmetric.
    assert_eq!(count(&model, |op| matches!(op, Op::Pad { .. })), 4);
    let same = |op: &Op| matches!(op, Op::Conv(Conv { kernel: [5, 5], stride: [1, 1], padding: [2, 2], .. }));
    assert!(count(&model, same) > 0);
}

#[test]
fn what_the_other_models_lack() {
    let model = read("mixed");
    let ops: Vec<&Op> = model.layers.iter().map(|layer| &layer.op).collect();
    let average = |included: bool| {
        ops.iter().any(
            |op| matches!(op, Op::AvgPool(AvgPool { count_include_pad, .. }) if *count_include_pad == included),
        )
    };
    assert!(average(true) && average(false));
    assert!(ops.contains(&&Op::Pad { before: [0, 1], after: [2, 2] }));
    assert!(ops.contains(&&Op::ClippedRelu { max: 2.5 }));
    assert!(ops.iter().any(|op| matches!(op, Op::MaxPool(MaxPool { ceil: true, .. }))));
    assert!(matches!(ops.last().unwrap(), Op::Linear { features: 10 }), "the Softmax is dropped");
    // MatMul's weights are stored as OI; the one without an Add has a bias of zeros.
    assert_eq!(model.parameters["hidden.weight"].shape(), [20, 144]);
    assert!(model.parameters["hidden.bias"].values().iter().all(|&v| v == 0.0));
    assert!(model.parameters["logits.bias"].values().iter().any(|&v| v != 0.0));
}

/// The smallest protobuf: fields of bytes.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// `TensorProto` with f32 values.
fn tensor(name: &str, dims: &[u8], values: &[f32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = dims.iter().flat_map(|&n| [1 << 3, n]).collect();
    bytes.extend([2 << 3, 1]);
    bytes.extend(message(8, name.as_bytes()));
    bytes.extend(message(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()));
    bytes
}

fn node(operator: &str, name: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = inputs.iter().flat_map(|input| message(1, input.as_bytes())).collect();
    bytes.extend(message(2, output.as_bytes()));
    bytes.extend(message(3, name.as_bytes()));
    bytes.extend(message(4, operator.as_bytes()));
    bytes.extend(attributes.iter().flat_map(|attribute| message(5, attribute)));
    bytes
}

/// `AttributeProto` with integers.
fn ints(name: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = message(1, name.as_bytes());
    bytes.extend(values.iter().flat_map(|&n| [8 << 3, n]));
    bytes
}

/// A model of an image `x`, `[batch, 2, 4, 4]`, and logits `y`. A size of 0 is symbolic.
fn model(opset: u8, batch: u8, nodes: &[Vec<u8>], initializers: &[Vec<u8>]) -> Vec<u8> {
    let dims = [batch, 2, 4, 4].map(|n| if n == 0 { message(2, b"N") } else { vec![1 << 3, n] });
    let shape: Vec<u8> = dims.iter().flat_map(|dim| message(1, dim)).collect();
    let image =
        [message(1, b"x"), message(2, &message(1, &[vec![1 << 3, 1], message(2, &shape)].concat()))].concat();
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| message(1, node)).collect();
    graph.extend(message(2, b"tiny"));
    graph.extend(initializers.iter().flat_map(|tensor| message(5, tensor)));
    graph.extend(message(11, &image));
    graph.extend(message(12, &message(1, b"y")));
    [vec![1 << 3, 8], message(7, &graph), message(8, &[2 << 3, opset])].concat()
}

/// What reading such a file says, without the file's name.
fn outcome(bytes: &[u8]) -> Result<OnnxModel, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    outcome_of(&path)
}

fn outcome_of(path: &Path) -> Result<OnnxModel, String> {
    read_onnx(path, None).map_err(|error| {
        let message = error.to_string();
        message.strip_prefix(&format!("{}: ", path.display())).expect("the file is named").into()
    })
}

fn classifier() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let nodes = vec![
        node("GlobalAveragePool", "mean", &["x"], "m", &[]),
        node("Flatten", "flat", &["m"], "f", &[]),
        node("Gemm", "fc", &["f", "w"], "y", &[]),
    ];
    (nodes, vec![tensor("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])])
}

#[test]
fn gemm_without_transb_is_stored_transposed() {
    let (nodes, weights) = classifier();
    for batch in [0, 1] {
        let read = outcome(&model(13, batch, &nodes, &weights)).unwrap();
        assert_eq!((read.model.classes, read.model.architecture.as_str()), (3, "tiny"));
        assert_eq!(read.parameters["fc.weight"].shape(), [3, 2]);
        assert_eq!(read.parameters["fc.weight"].values(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}

#[test]
fn a_pointwise_convolution_of_a_mean_is_a_linear_layer() {
    let nodes = [
        node("GlobalAveragePool", "mean", &["x"], "m", &[]),
        node("Conv", "fc", &["m", "w"], "c", &[]),
        node("Flatten", "flat", &["c"], "y", &[]),
    ];
    let weights = [tensor("w", &[3, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
    let read = outcome(&model(13, 1, &nodes, &weights)).unwrap();
    let ops: Vec<&Op> = read.layers.iter().map(|layer| &layer.op).collect();
    assert_eq!(ops, [&Op::GlobalAvgPool, &Op::Linear { features: 3 }]);
    assert_eq!(read.parameters["fc.weight"].shape(), [3, 2]);
}

#[test]
fn a_bias_is_added_only_to_a_product_that_nobody_else_reads() {
    let (mut nodes, mut weights) = classifier();
    weights.push(tensor("b", &[3], &[1.0, 2.0, 3.0]));
    nodes[2] = node("MatMul", "fc", &["f", "w"], "h", &[]);
    nodes.push(node("Add", "bias", &["b", "h"], "y", &[]));
    let read = outcome(&model(13, 1, &nodes, &weights)).unwrap();
    assert_eq!(read.parameters["fc.bias"].values(), [1.0, 2.0, 3.0]);
    assert_eq!(read.layers.len(), 2);
    nodes[3] = node("Add", "bias", &["b", "h"], "z", &[]);
    nodes.push(node("Add", "sum", &["z", "h"], "y", &[]));
    // As a layer of its own.
    let read = outcome(&model(13, 1, &nodes, &weights)).unwrap();
    assert_eq!(read.parameters["fc.bias"].values(), [0.0; 3]);
    assert_eq!(read.layers[2].op, Op::BatchNorm { epsilon: 0.0 });
    assert_eq!(read.parameters["bias.bias"].values(), [1.0, 2.0, 3.0]);
}

#[test]
fn what_cannot_be_expressed_is_named() {
    let channels = [message(1, b"axis"), vec![3 << 3, 1]].concat();
    let (nodes, mut weights) = classifier();
    let integer = |name: &str, value: u8| {
        [&[1 << 3, 1, 2 << 3, 7, 7 << 3, value], &message(8, name.as_bytes())[..]].concat()
    };
    weights.extend([integer("one", 1), integer("two", 2)]);
    let with = |replaced: usize, node: Vec<u8>| {
        let mut nodes = nodes.clone();
        nodes.splice(replaced..=replaced, [node]);
        outcome(&model(17, 1, &nodes, &weights)).unwrap_err()
    };
    let message = with(0, node("Resize", "body/up", &["x"], "m", &[]));
    assert!(message.starts_with(
        "node body/up has operator Resize of operator set 17 (nothing here enlarges or samples an image again; the nearest are \
         Conv, AveragePool and MaxPool with strides), expected one of Abs, Add, AveragePool, "
    ));
    let message = with(0, node("DequantizeLinear", "dq", &["x"], "m", &[]));
    let expected = "node dq has operator DequantizeLinear of operator set 17 of integer networks (pass the float model that it was \
                    made from; zerospace quantizes it), expected one of ";
    assert!(message.starts_with(expected), "{message}");
    let unnamed = with(0, node("Det", "", &["x"], "m", &[]));
    assert!(unnamed.starts_with("node m has operator Det of operator set 17, expected one of"), "{unnamed}");
    for (replaced, node, message) in [
        (
            0,
            node("Conv", "c", &["x", "w"], "m", &[]),
            "node c (Conv): weight w is [2, 3], expected 4 dimensions",
        ),
        (
            0,
            node("MaxPool", "p", &["x"], "m", &[ints("kernel_shape", &[3, 3]), ints("dilations", &[2, 1])]),
            "node p (MaxPool): dilations is [2, 1], with which a window of [3, 3] covers [5, 3], expected at most [4, 4]",
        ),
        (
            0,
            node("MaxPool", "p", &["x"], "m", &[ints("kernel_shape", &[9, 3])]),
            "node p (MaxPool): kernel [9, 3] with padding [0, 0], expected one that fits into [4, 4]",
        ),
        (
            0,
            node("Add", "a", &["x", "w"], "m", &[]),
            "node a (Add): has a constant of [2, 3] beside [1, 2, 4, 4], expected one number, or one for each channel: it \
             varies along several axes",
        ),
        (
            0,
            node("Softmax", "s", &["x"], "m", &[]),
            "node s (Softmax): axis is -1 of [1, 2, 4, 4], expected the one with the 32 classes",
        ),
        (
            1,
            node("Softmax", "s", &["m"], "f", std::slice::from_ref(&channels)),
            "node fc (Gemm): input f is a Softmax's output, expected it at the end only",
        ),
        (0, node("Relu", "r", &["z"], "m", &[]), "node r (Relu): input z is computed by no node before it"),
        (
            1,
            node("Identity", "i", &["x"], "f", &[]),
            "node fc (Gemm): reads [1, 2, 4, 4], expected [batch, 32 features]",
        ),
        (
            0,
            node("Div", "m", &["x", "x"], "m", &[]),
            "node m (Div): divides computed values, expected a constant divisor",
        ),
        (
            0,
            node("Erf", "e", &["x"], "m", &[]),
            "node flat (Flatten): reads the output of e, which is no known function, expected one of Sigmoid, \
             HardSigmoid { slope: 0.16666667, offset: 0.5 }, HardSwish, Silu, Tanh, Gelu, GeluTanh, Mish, Softplus",
        ),
        (
            0,
            node("Slice", "s", &["x", "one", "two", "two"], "m", &[]),
            "node s (Slice): takes 1 of 4 from 1 on along axis 2, expected all, or every n-th row and column from \
             the first one on",
        ),
    ] {
        assert_eq!(with(replaced, node), message);
    }
    let (nodes, weights) = classifier();
    assert_eq!(
        outcome(&model(6, 1, &nodes, &weights)).unwrap_err(),
        "operator set of the model is 6, expected 7 to 28: export the model again, or convert it with \
         onnx.version_converter.convert_version(model, 17)"
    );
    let batch = outcome(&model(13, 8, &nodes, &weights)).unwrap();
    assert_eq!(batch.layers, outcome(&model(13, 0, &nodes, &weights)).unwrap().layers);
    assert_eq!(
        batch.notes,
        ["the file fixes a batch of 8, which is left out: images are processed one by one"]
    );
    let mut shared = nodes.clone();
    shared[2] = node("MatMul", "fc", &["f", "w"], "h", &[]);
    shared.push(node("MatMul", "again", &["h", "w"], "y", &[]));
    let square = [tensor("w", &[2, 2], &[1.0; 4])];
    assert_eq!(
        outcome(&model(13, 1, &shared, &square)).unwrap_err(),
        "node again (MatMul): shares weight w with node fc, expected a separate weight"
    );
    for (bytes, said) in [
        (&b"PK\x03\x04"[..], "is a zip file, as torch.save writes state dicts, which do not describe layers"),
        (
            b"\x80\x02}q\x00",
            "is a Python pickle, as torch.save writes state dicts, which do not describe layers",
        ),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "is a safetensors file, which holds tensors and no layers"),
        (b"", "is empty"),
        (b"\x08\x08", "holds no graph"),
    ] {
        assert_eq!(outcome(bytes).unwrap_err(), format!("{said}, expected an ONNX model"));
    }
    assert!(
        outcome(b"hello")
            .unwrap_err()
            .starts_with("is damaged, cut off or of another kind (failed to decode ")
    );
}

#[test]
fn external_data_lies_beside_the_model_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u8> = (1..=6).flat_map(|n| (n as f32).to_le_bytes()).collect();
    std::fs::write(folder.path().join("w.data"), [vec![0; 8], values].concat()).unwrap();
    let (nodes, _) = classifier();
    let read = |location: &str, length: &str| {
        let entry = |key: &str, value: &str| {
            message(13, &[message(1, key.as_bytes()), message(2, value.as_bytes())].concat())
        };
        let weight = [
            vec![1 << 3, 2, 1 << 3, 3, 2 << 3, 1, 14 << 3, 1],
            message(8, b"w"),
            entry("location", location),
            entry("offset", "8"),
            entry("length", length),
        ];
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, model(13, 1, &nodes, &[weight.concat()])).unwrap();
        read_onnx(&path, None).map_err(|error| error.to_string())
    };
    assert_eq!(read("w.data", "24").unwrap().parameters["fc.weight"].values()[1], 4.0);
    for location in ["../w.data", "/etc/passwd", ""] {
        let message = read(location, "24").unwrap_err();
        assert!(message.ends_with(&format!("lies in `{location}`, expected a file beside the model")));
    }
    assert!(read("w.data", "4000").unwrap_err().ends_with("takes 4000 bytes of w.data, expected 24"));
    assert!(read("none.data", "24").unwrap_err().contains("none.data, which holds tensor w: "));
}

/// Goes as far as a caller would; what is left of a damaged file may still be a network.
fn survive(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let Ok(read) = outcome_of(path) else { return };
    let Ok(graph) = build_stored(&read.model, &read.layers) else { return };
    let _ = bind(&graph, read.parameters);
}

#[test]
fn no_truncation_and_no_flipped_bit_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    for name in MODELS {
        let bytes = std::fs::read(file(name)).unwrap();
        // The two exports of MobileNetV2 have nothing that these lack.
        let lengths = if name.starts_with("mobilenet") { 0..0 } else { 0..bytes.len() };
        for length in lengths.step_by(64) {
            survive(&path, &bytes[..length]);
        }
        let mut flipped = bytes.clone();
        for (index, bit) in (0..bytes.len()).step_by(bytes.len() / 500).zip(0..) {
            flipped[index] ^= 1 << (bit % 8);
            survive(&path, &flipped);
            flipped[index] = bytes[index];
        }
    }
    for (index, (_, kind)) in kinds().into_iter().enumerate() {
        let mut flipped = bytes_of(&kind);
        for (place, bit) in (index..flipped.len()).step_by(101).zip(0..) {
            flipped[place] ^= 1 << (bit % 8);
            survive(&path, &flipped);
            flipped[place] ^= 1 << (bit % 8);
        }
    }
    let (nodes, weights) = classifier();
    let bytes = model(13, 1, &nodes, &weights);
    for length in 0..bytes.len() {
        survive(&path, &bytes[..length]);
    }
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        survive(&path, &flipped);
    }
}

#[test]
fn listed_layers_are_checked_one_by_one() {
    let read = read("mixed");
    let refused = |edit: &dyn Fn(&mut OnnxModel)| {
        let mut edited = read.clone();
        edit(&mut edited);
        build_stored(&edited.model, &edited.layers).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|m| m.layers[1].name = "stem".into()),
        "layer stem: the name is empty or taken, expected one of its own"
    );
    assert_eq!(
        refused(&|m| m.layers[1].inputs = vec![7]),
        "layer node_relu: reads place 7, expected one before 2"
    );
    assert_eq!(
        refused(&|m| m.model.classes = 9),
        "layer logits: is the last and gives [10], expected [9] logits"
    );
    assert_eq!(
        refused(&|m| m.model.width = 0.5),
        "width of main_graph is 0.5, expected 1, since its layers are listed"
    );
    assert_eq!(
        refused(&|m| m.layers[1].op = Op::Add),
        "layer node_relu: reads 1 places, expected another number for Add"
    );
    assert_eq!(
        refused(&|m| {
            let Op::Conv(Conv { groups, .. }) = &mut m.layers[0].op else { panic!("a convolution") };
            *groups = 3;
        }),
        "layer stem: 3 groups, expected a divisor of its 1 input and 8 output channels"
    );
    assert_eq!(
        refused(&|m| {
            m.layers.pop();
        }),
        "layer node_relu_2: is the last and gives [20], expected [10] logits"
    );
    let names: BTreeMap<&str, usize> = read.layers.iter().map(|l| (l.name.as_str(), 1)).collect();
    assert_eq!(names.len(), read.layers.len());
}

/// A node can name any constant again, and what is made of it can be named again.
#[test]
fn constants_cannot_multiply() {
    let error = |nodes: Vec<Vec<u8>>, initializers: &[Vec<u8>]| {
        let (mut last, weights) = classifier();
        last[0] = node("GlobalAveragePool", "mean", &["z"], "m", &[]);
        outcome(&model(13, 1, &[nodes, last].concat(), &[initializers, &weights].concat())).unwrap_err()
    };
    // A list joined to itself, forty times.
    let name = |i: usize| format!("t{i}");
    let axis = [message(1, b"axis"), vec![3 << 3, 0]].concat();
    let mut nodes = vec![node("Shape", "shape", &["x"], &name(0), &[])];
    nodes.extend(
        (0..40).map(|i| {
            node("Concat", "join", &[&name(i), &name(i)], &name(i + 1), std::slice::from_ref(&axis))
        }),
    );
    nodes.push(node("Reshape", "all", &["x", &name(40)], "z", &[]));
    assert_eq!(error(nodes, &[]), "node join (Concat): makes 128 integers, expected at most 64");

    // 64 KiB turned around, two thousand times.
    let turned = |i| node("Transpose", "turn", &[&name(i)], &name(i + 1), &[ints("perm", &[1, 0])]);
    let mut nodes: Vec<Vec<u8>> = (0..2000).map(turned).collect();
    nodes.push(node("Add", "all", &["x", &name(2000)], "z", &[]));
    let sides = [1 << 3, 0x80, 1, 1 << 3, 0x80, 1, 2 << 3, 1];
    let large = [&sides[..], &message(8, b"t0"), &message(9, &[0; 4 * 128 * 128])].concat();
    let said = error(nodes, &[large]);
    assert!(said.starts_with("node turn (Transpose): constants take more than "), "{said}");

    // Axes added, two thousand times.
    let longer = |i| node("Unsqueeze", "grow", &[&name(i), "zeros"], &name(i + 1), &[]);
    let mut nodes = vec![node("GlobalAveragePool", "mean", &["x"], &name(0), &[])];
    nodes.extend((0..2000).map(longer));
    nodes.push(node("Reshape", "all", &[&name(2000), "zeros"], "z", &[]));
    let zero = [&[1 << 3, 1, 2 << 3, 7][..], &message(8, b"zeros"), &message(9, &[0; 8])].concat();
    let said = error(nodes, &[zero]);
    assert_eq!(said, "node grow (Unsqueeze): makes 65 dimensions, expected at most 64");
}

/// 2 x 2^31 x 2^32 values are none in 64 bits.
#[test]
fn an_input_that_no_network_can_have_is_refused() {
    let sizes: [&[u8]; 4] = [&[1], &[2], &[0x80, 0x80, 0x80, 0x80, 8], &[0x80, 0x80, 0x80, 0x80, 0x10]];
    let dims = sizes.map(|size| message(1, &[&[1 << 3], size].concat())).concat();
    let image =
        [message(1, b"x"), message(2, &message(1, &[vec![1 << 3, 1], message(2, &dims)].concat()))].concat();
    let flat = message(1, &node("Flatten", "flat", &["x"], "y", &[]));
    let graph = [flat, message(11, &image), message(12, &message(1, b"y"))].concat();
    let said =
        outcome(&[vec![1 << 3, 8], message(7, &graph), message(8, &[2 << 3, 13])].concat()).unwrap_err();
    assert_eq!(
        said,
        "input of the model x is [1, 2, 2147483648, 4294967296], expected at most 1024 channels and 4194304 pixels, \
         4096 a side"
    );
}
