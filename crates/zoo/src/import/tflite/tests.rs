//! What a TensorFlow Lite model may not have, on a network of one convolution with one thing changed.

use flatbuffers::{FlatBufferBuilder, WIPOffset};
use graph::Op;

use super::schema::*;
use super::{TfliteProblem, parse};
use crate::import::QuantizedModel;

/// A 1x1 convolution of two channels to three classes.
struct File {
    version: u32,
    code: BuiltinOperator,
    levels: TensorType,
    level_zero: i64,
    weight_zeros: Vec<i64>,
    weight_scales: Vec<f32>,
    activation: ActivationFunctionType,
    padding: Padding,
    side: i32,
    biases: usize,
    /// Buffer of the weights.
    weights: u32,
    has_options: bool,
    outputs: Vec<i32>,
    is_sparse: bool,
}

impl Default for File {
    fn default() -> Self {
        Self {
            version: 3,
            code: BuiltinOperator::CONV_2D,
            levels: TensorType::INT8,
            level_zero: -128,
            weight_zeros: vec![0; 3],
            weight_scales: vec![0.5; 3],
            activation: ActivationFunctionType::RELU,
            padding: Padding::SAME,
            side: 1,
            biases: 3,
            weights: 1,
            has_options: true,
            outputs: vec![3],
            is_sparse: false,
        }
    }
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let mut b = FlatBufferBuilder::new();
        let floats = [self.levels, TensorType::INT32];
        let side = self.side;
        let x = tensor(&mut b, "x", &[1, side, side, 2], floats[0], (&[0.5], &[self.level_zero]), 0, false);
        let (scales, zeros) = (&self.weight_scales[..], &self.weight_zeros[..]);
        let w =
            tensor(&mut b, "w;y", &[3, 1, 1, 2], floats[0], (scales, zeros), self.weights, self.is_sparse);
        let c = tensor(&mut b, "b", &[self.biases as i32], floats[1], (&[], &[]), 2, false);
        let y = tensor(&mut b, "y", &[1, side, side, 3], floats[0], (&[0.5], &[self.level_zero]), 0, false);
        let tensors = b.create_vector(&[x, w, c, y]);
        let options = Conv2DOptions::create(
            &mut b,
            &Conv2DOptionsArgs {
                padding: self.padding,
                stride_w: 1,
                stride_h: 1,
                fused_activation_function: self.activation,
                ..Conv2DOptionsArgs::default()
            },
        );
        let (inputs, outputs) = (b.create_vector(&[0, 1, 2]), b.create_vector(&self.outputs));
        let mut operator =
            OperatorArgs { inputs: Some(inputs), outputs: Some(outputs), ..OperatorArgs::default() };
        if self.has_options {
            operator.builtin_options_type = BuiltinOptions::Conv2DOptions;
            operator.builtin_options = Some(options.as_union_value());
        }
        let operator = Operator::create(&mut b, &operator);
        let operators = b.create_vector(&[operator]);
        let (inputs, outputs) = (b.create_vector(&[0]), b.create_vector(&[3]));
        let name = b.create_string("net");
        let graph = SubGraph::create(
            &mut b,
            &SubGraphArgs {
                tensors: Some(tensors),
                inputs: Some(inputs),
                outputs: Some(outputs),
                operators: Some(operators),
                name: Some(name),
            },
        );
        let buffers = [vec![], vec![1u8, 2, 3, 250, 5, 6], vec![7; 4 * self.biases]].map(|data| {
            let data = (!data.is_empty()).then(|| b.create_vector(&data));
            Buffer::create(&mut b, &BufferArgs { data, offset: 0 })
        });
        let buffers = b.create_vector(&buffers);
        let code = OperatorCode::create(
            &mut b,
            &OperatorCodeArgs { builtin_code: self.code, ..OperatorCodeArgs::default() },
        );
        let (codes, graphs) = (b.create_vector(&[code]), b.create_vector(&[graph]));
        let model = Model::create(
            &mut b,
            &ModelArgs {
                version: self.version,
                operator_codes: Some(codes),
                subgraphs: Some(graphs),
                buffers: Some(buffers),
            },
        );
        b.finish(model, Some(MODEL_IDENTIFIER));
        b.finished_data().to_vec()
    }

    fn read(&self) -> Result<QuantizedModel, TfliteProblem> {
        parse(&self.bytes())
    }

    fn refused(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

fn tensor<'a>(
    b: &mut FlatBufferBuilder<'a>,
    name: &str,
    shape: &[i32],
    kind: TensorType,
    (scales, zeros): (&[f32], &[i64]),
    buffer: u32,
    is_sparse: bool,
) -> WIPOffset<Tensor<'a>> {
    let (scale, zero_point) = (b.create_vector(scales), b.create_vector(zeros));
    let quantization = QuantizationParameters::create(
        b,
        &QuantizationParametersArgs {
            scale: Some(scale),
            zero_point: Some(zero_point),
            ..QuantizationParametersArgs::default()
        },
    );
    let sparsity = is_sparse.then(|| SparsityParameters::create(b, &SparsityParametersArgs {}));
    let (name, shape) = (b.create_string(name), b.create_vector(shape));
    let args = TensorArgs {
        shape: Some(shape),
        type_: kind,
        buffer,
        name: Some(name),
        quantization: Some(quantization),
        is_variable: false,
        sparsity,
    };
    Tensor::create(b, &args)
}

#[test]
fn the_network_itself_is_read() {
    let read = File::default().read().unwrap();
    assert_eq!(read.weights[0].values(), [1, 2, 3, -6, 5, 6]);
    assert_eq!(read.activations.biases["w.bias"], [0x0707_0707; 3]);
    // ReLU is the saturation at the lowest level; the pixel becomes three logits.
    assert_eq!(read.layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>(), ["w", "logits"]);
    assert_eq!((read.model.architecture.as_str(), read.model.classes), ("net", 3));
    // The value (p + 128 - 128) 0.5 of pixel p has the byte p.
    let pixels = read.pixels.unwrap();
    assert_eq!((pixels.mean(), pixels.std()), (&[0.0, 0.0][..], &[1.0 / 127.5; 2][..]));
    let six = File { activation: ActivationFunctionType::RELU6, ..File::default() }.read().unwrap();
    assert_eq!(six.layers[1].op, Op::ClippedRelu { max: 6.0 });
    let unsigned = File {
        levels: TensorType::UINT8,
        level_zero: 9,
        weight_zeros: vec![77],
        weight_scales: vec![0.5],
        ..File::default()
    };
    let read = unsigned.read().unwrap();
    assert_eq!(read.weights[0].dequantize().values()[..2], [-38.0, -37.5]);
    assert_eq!(read.layers[1].op, Op::Relu);
}

#[test]
fn refusals_name_what_was_found_and_expected() {
    let file = File::default;
    for (refused, start) in [
        (File { version: 2, ..file() }, "version of the model is 2, expected 3"),
        (
            File { code: BuiltinOperator::LEAKY_RELU, ..file() },
            "operator 0 (LEAKY_RELU): is not read, expected one of CONV_2D, ",
        ),
        (File { code: BuiltinOperator(999), ..file() }, "operator 0 (code 999): is not read"),
        (
            File { levels: TensorType::INT16, ..file() },
            "input of the model x holds INT16, expected INT8 or UINT8",
        ),
        (
            File { levels: TensorType::FLOAT32, ..file() },
            "operator 0 (CONV_2D): reads the float image x, expected levels: quantize the model to int8",
        ),
        (File { level_zero: 200, ..file() }, "input of the model x has zero point 200, expected -128 to 127"),
        (
            File { weight_zeros: vec![0, 3, 0], ..file() },
            "operator 0 (CONV_2D): weight w;y has zero point 3, expected 0 for each scale",
        ),
        (
            File { weight_scales: vec![0.5; 2], ..file() },
            "operator 0 (CONV_2D): weight w;y of [3, 1, 1, 2] has 2 scales along dimension 0, expected one, or one for",
        ),
        (
            File { weight_scales: vec![0.5, -1.0, 1.0], ..file() },
            "operator 0 (CONV_2D): a scale of w;y is -1, expected",
        ),
        (
            File { activation: ActivationFunctionType::TANH, ..file() },
            "operator 0 (CONV_2D): has activation TANH, expected NONE, RELU, RELU6 or RELU_N1_TO_1",
        ),
        (
            File { padding: Padding(4), ..file() },
            "operator 0 (CONV_2D): padding is 4, expected SAME (0) or VALID (1)",
        ),
        (
            File { side: 2, ..file() },
            "output of the model y is [3, 2, 2] for each image, expected one value a class",
        ),
        (File { biases: 4, ..file() }, "operator 0 (CONV_2D): bias b has 4 values, expected 3"),
        (
            File { weights: 0, ..file() },
            "operator 0 (CONV_2D): w;y has its values not in the file, expected a constant",
        ),
        (File { weights: 9, ..file() }, "operator 0 (CONV_2D): w;y names buffer 9, expected one of the file"),
        (
            File { weights: 2, ..file() },
            "operator 0 (CONV_2D): w;y of [3, 1, 1, 2] has 12 bytes, expected 1 a value",
        ),
        (
            File { has_options: false, ..file() },
            "operator 0 (CONV_2D): has no options, expected those of the operator",
        ),
        (
            File { outputs: vec![3, 0], ..file() },
            "operator 0 (CONV_2D): has 3 inputs and 2 outputs, expected",
        ),
        (
            File { outputs: vec![8], ..file() },
            "output of the model y is no value of the image, expected logits",
        ),
        (File { is_sparse: true, ..file() }, "operator 0 (CONV_2D): w;y is variable or sparse, expected"),
    ] {
        let found = refused.refused();
        assert!(found.starts_with(start), "{found}\nexpected {start}");
    }
}

#[test]
fn damage_is_found_before_anything_is_read() {
    let bytes = File::default().bytes();
    let error = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    assert_eq!(error(b"PK"), "does not have the mark TFL3 at byte 4, expected a TensorFlow Lite model");
    let cut = error(&bytes[..bytes.len() / 2]);
    assert!(
        cut.starts_with("is damaged or cut off (") && cut.ends_with("), expected a TensorFlow Lite model"),
        "{cut}"
    );
    assert!(!cut.contains('\n'), "{cut}");
}
