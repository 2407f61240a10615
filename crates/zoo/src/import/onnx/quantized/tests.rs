//! What a quantized network may not have, on a network of `onnxruntime.quantization` with one thing changed.

use std::path::Path;

use prost::Message;

use super::message::{Attribute, Model, Node};
use super::parse;

/// A QDQ network with uint8 activations, which the tests of `infer` run.
const NETWORK: &[u8] = include_bytes!("../../../../../infer/tests/it/quantized/qdq-u8s8.onnx");

fn refused(change: impl FnOnce(&mut Model)) -> String {
    let mut model = Model::decode(NETWORK).unwrap();
    change(&mut model);
    parse(&model.encode_to_vec(), Path::new(""), None).unwrap_err().to_string()
}

fn node<'a>(model: &'a mut Model, operator: &str) -> &'a mut Node {
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.iter_mut().find(|node| node.op_type == operator).unwrap()
}

#[test]
fn an_unknown_operator_is_named_with_the_nearest() {
    let error = refused(|model| node(model, "Sigmoid").op_type = "Tanh".into());
    assert!(
        error.starts_with("node /Sigmoid (Tanh): is no operator that a quantized network has here"),
        "{error}"
    );
    assert!(error.ends_with("; nearest: Sigmoid, HardSigmoid, HardSwish, LeakyRelu"), "{error}");
}

#[test]
fn an_attribute_that_is_not_read_is_refused() {
    let other = Attribute { name: "speed".into(), i: Some(1), ..Attribute::default() };
    let error = refused(|model| node(model, "Conv").attribute.push(other));
    assert!(error.contains("has attribute speed, expected among auto_pad, dilations,"), "{error}");
}

#[test]
fn weights_with_another_zero_point_are_refused() {
    let error = refused(|model| {
        let tensors = &mut model.graph.as_mut().unwrap().initializer;
        let zero = tensors.iter_mut().find(|tensor| tensor.name == "stem.weight_zero_point").unwrap();
        let count = zero.dims.iter().product::<i64>() as usize;
        (zero.raw_data, zero.int32_data) = (vec![3; count], Vec::new());
    });
    assert!(
        error.contains("weight stem.weight_quantized has zero point 3, expected 0 for int8 or 128"),
        "{error}"
    );
}

#[test]
fn a_relu_that_is_no_saturation_is_refused() {
    let error = refused(|model| {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        // The convolution whose levels are quantized without a ReLU.
        let at = nodes.iter().position(|node| node.name.contains("/excite/Conv") && node.op_type == "Conv");
        let at = at.unwrap();
        let output = std::mem::replace(&mut nodes[at].output[0], "before".into());
        let relu = Node {
            name: "relu".into(),
            op_type: "Relu".into(),
            input: vec!["before".into()],
            output: vec![output],
            ..Node::default()
        };
        nodes.insert(at + 1, relu);
    });
    assert!(error.contains("quantizes values clipped to 0..inf with levels of -"), "{error}");
}

#[test]
fn a_sum_of_a_real_value_without_levels_is_refused() {
    let error = refused(|model| {
        let name = node(model, "Sigmoid").output[0].clone();
        node(model, "Add").input[0] = name;
    });
    assert!(error.contains("is real, without levels: put QuantizeLinear and DequantizeLinear"), "{error}");
}

#[test]
fn levels_are_read_with_the_scale_they_were_computed_with() {
    let error = refused(|model| {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        let reads = |node: &&mut Node| node.op_type == "DequantizeLinear" && node.input[0].starts_with("x_");
        let node = nodes.iter_mut().find(reads).unwrap();
        node.input[1] = "y_scale".into();
    });
    assert!(error.contains("expected those they were computed with"), "{error}");
}

#[test]
fn a_float_network_is_none() {
    let mut model = Model::decode(NETWORK).unwrap();
    model.graph.as_mut().unwrap().node.retain(|node| !node.op_type.contains("quantize"));
    model.graph.as_mut().unwrap().node.retain(|node| !node.op_type.contains("Quantize"));
    assert_eq!(parse(&model.encode_to_vec(), Path::new(""), None).unwrap(), None);
    assert_eq!(parse(b"no model", Path::new(""), None).unwrap(), None);
}
