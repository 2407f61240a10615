//! Tests the table of operators against the code: no attribute or input of a node or a model is ignored
//! silently.

use std::path::Path;

use prost::Message;

use super::attribute::Kind;
use super::message::*;
use super::operators::{NEWEST_OPSET, OPERATORS, Operator};
use super::{OnnxModel, parse};

fn node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<Attribute>) -> Node {
    Node {
        input: inputs.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        name: format!("{operator}-{output}"),
        op_type: operator.into(),
        attribute,
        ..Node::default()
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i: Some(i), r#type: Kind::Int.number(), ..Attribute::default() }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: ints.to_vec(), r#type: Kind::Ints.number(), ..Attribute::default() }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(f), r#type: Kind::Float.number(), ..Attribute::default() }
}

fn string(name: &str, s: &str) -> Attribute {
    let s = Some(s.as_bytes().to_vec());
    Attribute { name: name.into(), s, r#type: Kind::String.number(), ..Attribute::default() }
}

fn with_tensor(name: &str, t: Tensor) -> Attribute {
    Attribute { name: name.into(), t: Some(t), r#type: Kind::Tensor.number(), ..Attribute::default() }
}

fn floats(name: &str, dims: &[i64]) -> Tensor {
    let count: i64 = dims.iter().product();
    let value = |i: i64| (i * 7 % 11) as f32 / 8.0 + 0.25;
    let float_data = (0..count).map(value).collect();
    Tensor { name: name.into(), dims: dims.to_vec(), data_type: 1, float_data, ..Tensor::default() }
}

fn integers(name: &str, values: &[i64]) -> Tensor {
    let dims = vec![values.len() as i64];
    Tensor { name: name.into(), dims, data_type: 7, int64_data: values.to_vec(), ..Tensor::default() }
}

fn number(name: &str, value: f32) -> Tensor {
    Tensor { name: name.into(), data_type: 1, float_data: vec![value], ..Tensor::default() }
}

/// A boolean scalar.
fn truth(name: &str, value: i32) -> Tensor {
    Tensor { name: name.into(), data_type: 9, int32_data: vec![value], ..Tensor::default() }
}

fn value_info(name: &str, dims: &[Option<i64>]) -> ValueInfo {
    let dim = |n: &Option<i64>| Dimension { dim_value: *n, dim_param: n.is_none().then(|| "N".into()) };
    let shape = Shape { dim: dims.iter().map(dim).collect() };
    let tensor_type = TensorType { elem_type: 1, shape: Some(shape) };
    ValueInfo { name: name.into(), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

/// A model with the image `x`, `[N, 2, 4, 4]`, and the logits `y`.
fn model(opset: i64, nodes: Vec<Node>) -> Model {
    let initializer = vec![
        floats("conv", &[3, 2, 3, 3]),
        floats("image_bias", &[1, 2, 1, 1]),
        floats("square", &[2, 2]),
        floats("all", &[32, 3]),
        floats("pointwise", &[3, 2, 1, 1]),
        floats("two", &[2]),
        floats("one", &[]),
        integers("space", &[2, 3]),
        integers("second", &[1]),
        integers("ends", &[4]),
        integers("zero", &[0]),
        integers("four", &[0, 1, 2, 3]),
        integers("shape", &[1, 2, 4, 4]),
        integers("flat_shape", &[0, -1]),
        integers("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
        truth("yes", 1),
        number("root", std::f32::consts::SQRT_2),
        number("unit", 1.0),
        number("half", 0.5),
        number("square_exponent", 2.0),
    ];
    let graph = Graph {
        node: nodes,
        name: "tiny".into(),
        initializer,
        input: vec![value_info("x", &[None, Some(2), Some(4), Some(4)])],
        output: vec![value_info("y", &[])],
        ..Graph::default()
    };
    let set = OperatorSet { domain: String::new(), version: opset };
    Model { ir_version: 8, graph: Some(graph), opset_import: vec![set], ..Model::default() }
}

fn read(model: &Model) -> Result<OnnxModel, String> {
    parse(&model.encode_to_vec(), Path::new(""), None).map_err(|problem| problem.to_string())
}

/// Nodes that turn an image into logits.
fn classifier(of: &str) -> Vec<Node> {
    vec![
        node("GlobalAveragePool", &[of], "mean", vec![]),
        node("Flatten", &["mean"], "features", vec![]),
        node("MatMul", &["features", "square"], "y", vec![]),
    ]
}

/// Nodes that turn an image into logits that depend on the order of its values.
fn linear(of: &str) -> Vec<Node> {
    vec![node("Flatten", &[of], "features", vec![]), node("MatMul", &["features", "all"], "y", vec![])]
}

/// A constant that must equal the shape of the image; another shape is refused or gives another network.
fn as_shape(of: &str) -> Vec<Node> {
    [vec![node("Reshape", &["x", of], "image", vec![])], classifier("image")].concat()
}

/// A network with a node of an operator, whose output is `t`. If `attribute` is one of several forms of a
/// parameter, the node uses that form.
fn base(operator: &str, opset: i64, attribute: &str) -> Vec<Node> {
    let with = |attributes: Vec<Attribute>| node(operator, &["x"], "t", attributes);
    let several = |nodes: Vec<Vec<Node>>| nodes.concat();
    let then = |target: Node, rest: Vec<Node>| several(vec![vec![target], rest]);
    let pool = || vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
    match operator {
        "AveragePool" => then(with([pool(), vec![ints("pads", &[1, 1, 1, 1])]].concat()), classifier("t")),
        "MaxPool" => then(with(pool()), classifier("t")),
        "BatchNormalization" => {
            then(node(operator, &["x", "two", "two", "two", "two"], "t", vec![]), classifier("t"))
        }
        "Cast" => then(with(vec![int("to", 1)]), classifier("t")),
        "Clip" if opset < 11 => then(with(vec![float("min", 0.0), float("max", 6.0)]), classifier("t")),
        "Clip" => several(vec![
            vec![node("Sub", &["one", "one"], "nothing", vec![])],
            vec![node(operator, &["x", "nothing", "one"], "t", vec![])],
            classifier("t"),
        ]),
        "Concat" => several(vec![
            vec![node(operator, &["x", "x"], "t", vec![int("axis", 1)])],
            vec![node("Conv", &["t", "conv4"], "u", vec![])],
            classifier("u"),
        ]),
        "Constant" => {
            let value = match attribute {
                "value_int" => int(attribute, 1),
                "value_ints" => ints(attribute, &[1, 2, 4, 4]),
                "value_float" => float(attribute, 1.0),
                "value_floats" => Attribute {
                    name: attribute.into(),
                    floats: vec![1.0, 2.0],
                    r#type: 6,
                    ..Attribute::default()
                },
                _ => with_tensor("value", integers("", &[1, 2, 4, 4])),
            };
            let target = node(operator, &[], "t", vec![value]);
            match attribute {
                "value_float" => {
                    several(vec![vec![target], vec![node("Mul", &["x", "t"], "u", vec![])], classifier("u")])
                }
                "value_floats" => several(vec![
                    vec![target],
                    vec![
                        node("GlobalAveragePool", &["x"], "mean", vec![]),
                        node("Flatten", &["mean"], "f", vec![]),
                    ],
                    vec![
                        node("Mul", &["f", "t"], "u", vec![]),
                        node("MatMul", &["u", "square"], "y", vec![]),
                    ],
                ]),
                "value_int" => several(vec![
                    vec![target, node("Gather", &["shape", "t"], "size", vec![])],
                    vec![
                        node("Mul", &["shape", "size"], "twice", vec![]),
                        node("Div", &["twice", "size"], "u", vec![]),
                    ],
                    as_shape("u"),
                ]),
                _ => then(target, as_shape("t")),
            }
        }
        "ConstantOfShape" => several(vec![
            vec![node(operator, &["ends"], "t", vec![with_tensor("value", integers("", &[1]))])],
            vec![node("Mul", &["t", "shape"], "u", vec![])],
            as_shape("u"),
        ]),
        "Conv" => then(
            node(operator, &["x", "conv", ""], "t", vec![]),
            vec![
                node("Conv", &["t", "after"], "u", vec![]),
                node("GlobalAveragePool", &["u"], "mean", vec![]),
                node("Flatten", &["mean"], "features", vec![]),
                node("MatMul", &["features", "square"], "y", vec![]),
            ],
        ),
        "Div" | "Mul" | "Sub" | "Add" => {
            then(node(operator, &["x", "image_bias"], "t", vec![]), classifier("t"))
        }
        "Sum" => then(node(operator, &["x", "image_bias"], "t", vec![]), classifier("t")),
        "Max" | "Min" => several(vec![
            vec![node("Sub", &["one", "one"], "nothing", vec![])],
            vec![node(operator, &["x", if operator == "Max" { "nothing" } else { "one" }], "t", vec![])],
            vec![node("Relu", &["t"], "u", vec![])],
            classifier("u"),
        ]),
        "Equal" => several(vec![
            vec![node(operator, &["shape", "shape"], "t", vec![]), node("Mul", &["t", "shape"], "u", vec![])],
            as_shape("u"),
        ]),
        "Expand" => several(vec![
            vec![node(operator, &["second", "ends"], "t", vec![]), node("Mul", &["t", "shape"], "u", vec![])],
            as_shape("u"),
        ]),
        "Gather" => then(node(operator, &["shape", "four"], "t", vec![]), as_shape("t")),
        "Gemm" => several(vec![
            vec![node("GlobalAveragePool", &["x"], "mean", vec![]), node("Flatten", &["mean"], "f", vec![])],
            vec![node(operator, &["f", "square", "two"], "y", vec![])],
        ]),
        "Flatten" => vec![node(operator, &["x"], "f", vec![]), node("MatMul", &["f", "all"], "y", vec![])],
        "MatMul" => linear("x"),
        "Softmax" | "LogSoftmax" => several(vec![
            classifier("x")[..2].to_vec(),
            vec![node("MatMul", &["features", "square"], "t", vec![]), node(operator, &["t"], "y", vec![])],
        ]),
        "Abs" => then(node(operator, &["shape"], "t", vec![]), as_shape("t")),
        "Ceil" | "Floor" => several(vec![
            vec![node("Cast", &["shape"], "f", vec![int("to", 1)]), node(operator, &["f"], "t", vec![])],
            vec![node("Cast", &["t"], "u", vec![int("to", 7)])],
            as_shape("u"),
        ]),
        "Greater" | "Less" | "Mod" | "Size" => {
            let inputs: &[&str] = match operator {
                "Greater" => &["ends", "zero"],
                "Less" => &["zero", "ends"],
                "Mod" => &["second", "ends"],
                _ => &["zero"],
            };
            let target = node(operator, inputs, "t", vec![]);
            several(vec![vec![target, node("Mul", &["t", "shape"], "u", vec![])], as_shape("u")])
        }
        "Neg" => several(vec![
            vec![node(operator, &["shape"], "t", vec![]), node("Neg", &["t"], "u", vec![])],
            as_shape("u"),
        ]),
        "Exp" | "Reciprocal" | "Sqrt" => several(vec![
            vec![node(operator, &["one"], "t", vec![]), node("Mul", &["x", "t"], "u", vec![])],
            classifier("u"),
        ]),
        "Pad" if opset < 11 => then(with(vec![ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])]), classifier("t")),
        "Pad" => then(node(operator, &["x", "pads"], "t", vec![]), classifier("t")),
        "Range" => several(vec![
            vec![node("Squeeze", &["zero"], "start", vec![]), node("Squeeze", &["ends"], "end", vec![])],
            vec![node("Squeeze", &["second"], "step", vec![])],
            vec![node(operator, &["start", "end", "step"], "t", vec![])],
            vec![node("Gather", &["shape", "t"], "u", vec![])],
            as_shape("u"),
        ]),
        "ReduceMean" | "ReduceMax" | "ReduceSum" => {
            let last_attribute = if operator == "ReduceSum" { 13 } else { 18 };
            let inputs: &[&str] = if opset < last_attribute || attribute == "noop_with_empty_axes" {
                &["x"]
            } else {
                &["x", "space"]
            };
            let axes = if opset < last_attribute { vec![ints("axes", &[2, 3])] } else { vec![] };
            let kept = vec![int("keepdims", 0)];
            let rest = if attribute == "noop_with_empty_axes" {
                linear("t")
            } else {
                vec![node("MatMul", &["t", "square"], "y", vec![])]
            };
            then(node(operator, inputs, "t", [axes, kept].concat()), rest)
        }
        // The reduced constant is a 1x1 kernel.
        "ReduceL2" | "ReduceProd" => {
            let inputs: &[&str] = match opset < 18 || attribute == "noop_with_empty_axes" {
                true => &["conv"],
                false => &["conv", "space"],
            };
            let axes = if opset < 18 { vec![ints("axes", &[2, 3])] } else { vec![] };
            let convolved =
                vec![node("Conv", &["x", "t", ""], "c", vec![]), node("Conv", &["c", "after"], "u", vec![])];
            then(node(operator, inputs, "t", axes), several(vec![convolved, classifier("u")]))
        }
        "Erf" => several(vec![
            vec![node("Relu", &["x"], "r", vec![]), node("Div", &["r", "root"], "d", vec![])],
            vec![node(operator, &["d"], "e", vec![]), node("Add", &["e", "unit"], "a", vec![])],
            vec![node("Mul", &["r", "a"], "m", vec![]), node("Mul", &["m", "half"], "t", vec![])],
            classifier("t"),
        ]),
        "LayerNormalization" => several(vec![
            vec![node("Transpose", &["x"], "last", vec![ints("perm", &[0, 2, 3, 1])])],
            vec![node(operator, &["last", "two"], "n", vec![])],
            vec![node("Transpose", &["n"], "t", vec![ints("perm", &[0, 3, 1, 2])])],
            classifier("t"),
        ]),
        "PRelu" => then(node(operator, &["x", "image_bias"], "t", vec![]), classifier("t")),
        "Pow" => then(node(operator, &["x", "square_exponent"], "t", vec![]), classifier("t")),
        "Split" => {
            let mut split = node(operator, &["x"], "first", vec![int("axis", 1)]);
            split.output.push("second_half".into());
            let joined = node("Concat", &["second_half", "first"], "t", vec![int("axis", 1)]);
            then(split, several(vec![vec![joined], classifier("t")]))
        }
        "Reshape" => vec![
            node(operator, &["x", "flat_shape"], "f", vec![]),
            node("MatMul", &["f", "all"], "y", vec![]),
        ],
        "Shape" => then(with(vec![]), as_shape("t")),
        "Slice" if opset < 10 => {
            let attributes = vec![ints("axes", &[0]), ints("ends", &[4]), ints("starts", &[0])];
            then(node(operator, &["shape"], "t", attributes), as_shape("t"))
        }
        "Slice" => then(node(operator, &["shape", "zero", "ends"], "t", vec![]), as_shape("t")),
        "Squeeze" => {
            let (inputs, axes): (&[&str], _) = match opset < 13 {
                true => (&["mean"], vec![ints("axes", &[2, 3])]),
                false => (&["mean", "space"], vec![]),
            };
            several(vec![
                vec![node("GlobalAveragePool", &["x"], "mean", vec![]), node(operator, inputs, "t", axes)],
                vec![node("MatMul", &["t", "square"], "y", vec![])],
            ])
        }
        "Unsqueeze" => {
            let (inputs, axes): (&[&str], _) = match opset < 13 {
                true => (&["features"], vec![ints("axes", &[2, 3])]),
                false => (&["features", "space"], vec![]),
            };
            several(vec![
                classifier("x")[..2].to_vec(),
                vec![node(operator, inputs, "t", axes), node("Conv", &["t", "pointwise"], "c", vec![])],
                vec![node("Flatten", &["c"], "y", vec![])],
            ])
        }
        "Transpose" => then(with(vec![ints("perm", &[0, 1, 2, 3])]), linear("t")),
        "Where" => {
            several(vec![vec![node(operator, &["second", "shape", "shape"], "t", vec![])], as_shape("t")])
        }
        _ => then(with(vec![]), classifier("t")),
    }
}

/// Returns another value of an attribute than [`base`] or the default has.
fn other(operator: &str, attribute: &str) -> Attribute {
    match (operator, attribute) {
        (_, "auto_pad") => string(attribute, "SAME_UPPER"),
        (_, "approximate") => string(attribute, "tanh"),
        ("HardSigmoid", "beta") => float(attribute, 0.25),
        ("Split", "split") => ints(attribute, &[2]),
        (_, "mode") => string(attribute, "reflect"),
        (_, "round_mode") => string(attribute, "nearest"),
        (_, "kernel_shape") => ints(attribute, &[2, 2]),
        (_, "dilations") => ints(attribute, &[2, 2]),
        ("MaxPool", "strides") => ints(attribute, &[1, 1]),
        ("Conv", "strides") => ints(attribute, &[2, 2]),
        (_, "strides") => ints(attribute, &[1, 1]),
        ("Pad", "pads") => ints(attribute, &[0, 0, 2, 1, 0, 0, 1, 1]),
        (_, "pads") => ints(attribute, &[1, 0, 0, 1]),
        (_, "perm") => ints(attribute, &[0, 1, 3, 2]),
        ("Slice", "axes") => ints(attribute, &[1]),
        (_, "axes") => ints(attribute, &[1, 2]),
        (_, "starts") => ints(attribute, &[1]),
        (_, "ends") => ints(attribute, &[3]),
        (_, "value_ints") => ints(attribute, &[1, 32, 1, 1]),
        (_, "value_int") => int(attribute, 9),
        (_, "value_float") => float(attribute, 2.0),
        (_, "value_floats") => {
            Attribute { name: attribute.into(), floats: vec![2.0, 3.0], r#type: 6, ..Attribute::default() }
        }
        ("ConstantOfShape", "value") => with_tensor(attribute, integers("", &[2])),
        ("Constant", "value") => with_tensor(attribute, integers("", &[1, 32, 1, 1])),
        (_, "value") => float(attribute, 1.0),
        (_, "to") => int(attribute, 6),
        ("Concat" | "Flatten", "axis") => int(attribute, 2),
        ("Gather", "axis") => int(attribute, 1),
        (_, "axis") => int(attribute, 0),
        (_, "group") => int(attribute, 2),
        ("ReduceMean" | "ReduceMax" | "ReduceSum", "keepdims") => int(attribute, 1),
        ("ReduceL2" | "ReduceProd", "keepdims") => int(attribute, 0),
        ("Shape", "end") => int(attribute, 2),
        (_, "spatial") => int(attribute, 0),
        (_, "epsilon" | "alpha" | "beta" | "gamma" | "momentum" | "ratio" | "min" | "max") => {
            float(attribute, 0.5)
        }
        _ => int(attribute, 1),
    }
}

/// Returns the network of [`base`], and the index of its node.
fn around(operator: &str, opset: i64, attribute: &str) -> (Model, usize) {
    let nodes = base(operator, opset, attribute);
    let place = nodes.iter().position(|node| node.op_type == operator).unwrap();
    let mut model = model(opset, nodes);
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.extend([floats("conv4", &[2, 4, 1, 1]), floats("after", &[2, 3, 1, 1])]);
    (model, place)
}

fn node_of(model: &mut Model, place: usize) -> &mut Node {
    &mut model.graph.as_mut().unwrap().node[place]
}

/// Returns the operator sets in which an operator changes, and the newest one.
fn sets(operator: &Operator) -> Vec<i64> {
    let begins = operator.inputs.iter().map(|inputs| inputs.since);
    let rows = operator.attributes.iter().flat_map(|row| [row.since, row.until.min(NEWEST_OPSET)]);
    let mut sets: Vec<i64> = begins.chain(rows).chain([NEWEST_OPSET]).map(|set| set.max(7)).collect();
    let oldest = operator.inputs[0].since;
    sets.retain(|&set| set >= oldest);
    sets.sort_unstable();
    sets.dedup();
    sets
}

/// An attribute that changes nothing is neither supported nor refused, and fails the test.
#[test]
fn every_attribute_is_understood_or_refused() {
    let mut changed = 0;
    for operator in OPERATORS {
        let name = operator.name;
        for opset in sets(operator) {
            let case = format!("{name} of set {opset}");
            // An unknown attribute of each kind is refused in every operator.
            let (plain, place) = around(name, opset, "");
            let read_plain = read(&plain);
            // Some base networks need an operator of a later set.
            let later = |message: &String| message.contains("which brought this operator");
            let usable = !read_plain.as_ref().is_err_and(later);
            assert!(!usable || read_plain.is_ok(), "{case}: {read_plain:?}");
            for novel in [int("novel", 1), ints("novel", &[1]), float("novel", 1.0), string("novel", "a")] {
                let mut model = plain.clone();
                node_of(&mut model, place).attribute.push(novel);
                let message = read(&model).unwrap_err();
                assert!(!usable || message.contains("attribute novel is not known"), "{case}: {message}");
            }
            for row in operator.attributes {
                let (mut model, place) = around(name, opset, row.name);
                let before = read(&model);
                let known = (row.since..=row.until).contains(&opset);
                let value = other(name, row.name);
                assert_eq!(value.r#type, row.kind.number(), "{case}: {}", row.name);
                let attributes = &mut node_of(&mut model, place).attribute;
                attributes.retain(|attribute| attribute.name != row.name);
                attributes.push(value.clone());
                let after = read(&model);
                let case = format!("{case}, {}: {before:?}, then {after:?}", row.name);
                if before.as_ref().is_err_and(later) {
                    continue;
                }
                if !known {
                    assert!(
                        after.unwrap_err().contains(&format!("attribute {} is not known", row.name)),
                        "{case}"
                    );
                    continue;
                }
                if row.idle {
                    assert!(before.is_ok() && before == after, "{case}");
                } else {
                    assert_ne!(before, after, "{case}");
                    changed += 1;
                }
                // The attribute has another kind, comes from a function, or is given twice.
                for (edit, said) in [
                    (&(|a: &mut Attribute| a.r#type = 5) as &dyn Fn(&mut Attribute), "a graph"),
                    (&|a| a.ref_attr_name = "outer".into(), "of a function"),
                    (&|a| a.sparse_tensor = Some(Anything {}), "a sparse tensor"),
                    (&|a| a.strings = vec![vec![]], "strings"),
                ] {
                    let mut model = model.clone();
                    let edited = node_of(&mut model, place).attribute.last_mut().unwrap();
                    edit(edited);
                    let message = read(&model).unwrap_err();
                    assert!(message.contains(row.name) && message.contains(said), "{case}: {message}");
                }
                let mut twice = model.clone();
                node_of(&mut twice, place).attribute.push(value);
                let message = read(&twice).unwrap_err();
                assert!(
                    message.contains(&format!("attribute {} is given twice", row.name)),
                    "{case}: {message}"
                );
            }
            // The node has one input more, or lacks one.
            let inputs = operator.inputs(opset).unwrap();
            if usable && !inputs.names.last().is_some_and(|name| name.ends_with("...")) {
                let mut model = plain.clone();
                node_of(&mut model, place).input.resize(inputs.names.len(), String::new());
                node_of(&mut model, place).input.push("x".into());
                let message = read(&model).unwrap_err();
                assert!(message.contains("has the inputs x"), "{case}: {message}");
            }
            for missing in (0..inputs.least).filter(|_| usable) {
                let mut model = plain.clone();
                node_of(&mut model, place).input[missing].clear();
                assert!(read(&model).unwrap_err().contains(" is missing"), "{case}, {missing}");
            }
        }
    }
    assert!(changed > 60, "{changed}");
}

/// Changing an optional input changes the network.
#[test]
fn every_optional_input_is_understood_or_refused() {
    for (operator, place, name) in [
        ("Clip", 1, "one"),
        ("Clip", 2, ""),
        ("Conv", 2, "three"),
        ("Dropout", 2, "yes"),
        ("Gemm", 2, ""),
        ("Pad", 2, "one"),
        ("Pad", 3, "space"),
        ("LayerNormalization", 2, "two"),
        ("ReduceMax", 1, "second"),
        ("ReduceMean", 1, "second"),
        ("Slice", 3, "second"),
        ("Slice", 4, "two_steps"),
        ("Split", 1, "two_steps"),
        ("Squeeze", 1, "second"),
    ] {
        let (mut model, at) = around(operator, 18, "");
        let extra = [floats("three", &[3]), integers("two_steps", &[2])];
        model.graph.as_mut().unwrap().initializer.extend(extra);
        let before = read(&model);
        let inputs = &mut node_of(&mut model, at).input;
        inputs.resize(inputs.len().max(place + 1), String::new());
        inputs[place] = name.into();
        let after = read(&model);
        assert!(before.is_ok() && before != after, "{operator}, input {place}: {before:?}, then {after:?}");
    }
    // The ratio matters only in training.
    let (mut model, at) = around("Dropout", 18, "");
    let before = read(&model);
    node_of(&mut model, at).input.push("one".into());
    assert_eq!(before, read(&model));
}

/// Returns the error for a valid model after an edit.
fn said(edit: impl Fn(&mut Model)) -> String {
    let mut model = model(13, classifier("x"));
    assert!(read(&model).is_ok());
    edit(&mut model);
    read(&model).unwrap_err()
}

fn graph(model: &mut Model) -> &mut Graph {
    model.graph.as_mut().unwrap()
}

#[test]
fn unsupported_parts_of_a_model_are_refused_by_name() {
    let none = Vec::new;
    for (edit, expected) in [
        (
            &(|m: &mut Model| m.ir_version = 0) as &dyn Fn(&mut Model),
            "ir_version of the model is 0, expected 3..=14",
        ),
        (&|m| m.ir_version = 99, "ir_version of the model is 99, expected 3..=14"),
        (&|m| m.training_info.push(Anything {}), "training_info of the model is there"),
        (
            &|m| m.functions.push(Function { name: "Relu".into(), domain: String::new() }),
            "functions of the model holds Relu",
        ),
        (&|m| m.opset_import.clear(), "operator set of the model is missing"),
        (&|m| m.opset_import[0].version = 6, "operator set of the model is 6, expected 7 to 28: "),
        (&|m| m.opset_import[0].version = 29, "operator set of the model is 29, expected 7 to 28: "),
        (
            &|m| m.opset_import.push(OperatorSet { domain: "ai.onnx".into(), version: 9 }),
            "operator set of the model is [13, 9], expected one",
        ),
        (
            &|m| graph(m).sparse_initializer.push(SparseTensor { values: Some(floats("s", &[2])) }),
            "sparse_initializer of the model holds s, expected dense tensors only",
        ),
        (
            &|m| graph(m).quantization_annotation.push(Annotation { tensor_name: "square".into() }),
            "quantization_annotation of the model names square, expected a float model",
        ),
        (
            &|m| graph(m).initializer.push(floats("square", &[2])),
            "initializer of the model square is there twice",
        ),
        (
            &|m| graph(m).node.push(node("Relu", &["x"], "features", none())),
            "node of the model features is computed twice",
        ),
        (&|m| graph(m).node.push(node("Relu", &["x"], "x", none())), "node of the model x is computed twice"),
        (&|m| graph(m).node[0].overload = "a".into(), "asks for the overload a, expected none"),
        (
            &|m| graph(m).node[0].domain = "mine".into(),
            "has operator mine.GlobalAveragePool of operator set 13 of another domain",
        ),
        (&|m| graph(m).input[0].r#type = None, "input of the model x is no tensor"),
    ] {
        let message = said(edit);
        assert!(message.contains(expected), "{message}, expected {expected}");
    }
    for (kind, expected) in
        [(0, "number 0 of TensorProto"), (3, "int8"), (7, "int64"), (9, "bool"), (17, "float8e4m3fn")]
    {
        let message = said(|m| {
            graph(m).input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = kind;
        });
        let expected = format!("has elements of type {expected}");
        assert!(message.contains(&expected), "{message}, expected {expected}");
    }
    // The input holds bytes, and there is no Cast.
    let message =
        said(|m| graph(m).input[0].r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().elem_type = 2);
    assert!(message.ends_with("input x holds bytes, expected a Cast to float before it"), "{message}");
}

#[test]
fn content_of_a_tensor_is_read_or_refused_by_name() {
    let with = |tensor: Tensor| {
        let mut model = model(13, classifier("x"));
        let graph = graph(&mut model);
        graph.initializer.retain(|other| other.name != "square");
        graph.initializer.push(Tensor { name: "square".into(), ..tensor });
        read(&model).map(|read| read.parameters["MatMul-y.weight"].values().to_vec())
    };
    let plain = |data_type| Tensor { dims: vec![2, 2], data_type, ..Tensor::default() };
    // The values 1, -2, 0.5, 3 in each type, which the reader transposes. Halves are IEEE 754 bits.
    let (halves, bf16) = ([0x3c00, 0xc000, 0x3800, 0x4200], [0x3f80, 0xc000, 0x3f00, 0x4040]);
    let expected = Ok(vec![1.0, 0.5, -2.0, 3.0]);
    let values = [1.0, -2.0, 0.5, 3.0];
    for (tensor, what) in [
        (Tensor { float_data: values.map(|v| v as f32).to_vec(), ..plain(1) }, "float"),
        (Tensor { double_data: values.to_vec(), ..plain(11) }, "double"),
        (Tensor { int32_data: halves.to_vec(), ..plain(10) }, "float16"),
        // Some writers extend the sign.
        (Tensor { int32_data: halves.map(|n| i32::from(n as u16 as i16)).to_vec(), ..plain(10) }, "signed"),
        (Tensor { int32_data: bf16.to_vec(), ..plain(16) }, "bfloat16"),
        (
            Tensor { raw_data: halves.iter().flat_map(|&n| (n as u16).to_le_bytes()).collect(), ..plain(10) },
            "raw",
        ),
        (
            Tensor { raw_data: values.iter().flat_map(|n: &f64| n.to_le_bytes()).collect(), ..plain(11) },
            "raw double",
        ),
    ] {
        assert_eq!(with(tensor), expected, "{what}");
    }
    for (tensor, expected) in [
        (Tensor { segment: Some(Anything {}), ..plain(1) }, "square is a segment of a larger tensor"),
        (plain(1), "square has no values, expected 4"),
        (Tensor { float_data: vec![1.0; 3], ..plain(1) }, "square has 3 values in float_data, expected 4"),
        (
            Tensor { int32_data: vec![0x3c00; 3], ..plain(10) },
            "square has 3 values in int32_data, expected 4",
        ),
        (Tensor { int32_data: vec![1 << 20; 4], ..plain(10) }, "square has int32_data beyond 16 bits"),
        (
            Tensor { float_data: vec![1.0; 4], ..plain(10) },
            "of type float16 in float_data, expected int32_data or raw",
        ),
        (
            Tensor { float_data: vec![1.0; 4], raw_data: vec![0; 16], ..plain(1) },
            "square has values in float_data and in raw_data",
        ),
        (
            Tensor { raw_data: vec![0; 15], ..plain(1) },
            "square has 15 bytes in raw_data, expected 4 values of 4 bytes",
        ),
        (Tensor { string_data: vec![vec![]; 4], ..plain(8) }, "square holds values of type string"),
        (Tensor { raw_data: vec![0; 4], ..plain(3) }, "input square holds integers, expected floats"),
        (Tensor { raw_data: vec![0; 4], ..plain(17) }, "square holds values of type float8e4m3fn"),
        (Tensor { float_data: vec![1.0; 4], data_location: 2, ..plain(1) }, "square lies at location 2"),
    ] {
        let message = with(tensor).unwrap_err();
        assert!(message.contains(expected), "{message}, expected {expected}");
    }
}

/// An attention of the image's 16 pixels to themselves, with nodes between products and Softmax. `scores` and `weights` are
/// the inputs of Softmax and of the second product.
fn attention(axis: i64, between: Vec<Node>, scores: &str, weights: &str) -> Result<OnnxModel, String> {
    let before = vec![
        node("Reshape", &["x", "sequence"], "columns", vec![]),
        node("Transpose", &["columns"], "tokens", vec![ints("perm", &[0, 2, 1])]),
        node("Transpose", &["tokens"], "keys", vec![ints("perm", &[0, 2, 1])]),
        node("MatMul", &["tokens", "keys"], "scores", vec![]),
    ];
    let after = vec![
        node("Softmax", &[scores], "weights", vec![int("axis", axis)]),
        node("MatMul", &[weights, "tokens"], "attended", vec![]),
        node("ReduceMean", &["attended"], "mean", vec![ints("axes", &[1]), int("keepdims", 0)]),
        node("MatMul", &["mean", "square"], "y", vec![]),
    ];
    let mut model = model(13, [before, between, after].concat());
    graph(&mut model).initializer.push(integers("sequence", &[1, 2, 16]));
    graph(&mut model).initializer.push(floats("mask", &[16, 16]));
    read(&model)
}

#[test]
fn attention_is_recognised_or_refused_by_name() {
    let scaled = || vec![node("Mul", &["scores", "half"], "scaled", vec![])];
    let layers = attention(-1, scaled(), "scaled", "weights").unwrap().layers;
    assert_eq!(layers[0].inputs, [0, 0, 0]);
    assert_eq!(layers[0].op, ::graph::Op::Attention { heads: 1, scale: 0.5 });
    let masked = vec![node("Add", &["scores", "mask"], "masked", vec![])];
    let clipped = vec![node("Relu", &["scores"], "clipped", vec![])];
    for (found, expected) in [
        (
            attention(-1, masked, "masked", "weights"),
            "node Add-masked (Add): adds to attention scores, expected none: a mask or a relative position bias has no rule",
        ),
        (
            attention(1, vec![], "scores", "weights"),
            "node Softmax-weights (Softmax): axis is 1 of [1, 16, 16], expected the last one, once",
        ),
        (
            attention(-1, vec![], "scores", "scores"),
            "node MatMul-attended (MatMul): multiplies attention scores, expected a Softmax of them first",
        ),
        (
            attention(-1, clipped, "clipped", "weights"),
            "node Relu-clipped (Relu): input scores is a product of queries and keys, expected a Softmax of it and a product",
        ),
    ] {
        let message = found.unwrap_err();
        assert!(message.contains(expected), "{message}, expected {expected}");
    }
}
