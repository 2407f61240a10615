//! The table of supported operators, with all attributes and inputs of each.
//!
//! Every node is checked against this table first: an attribute or an input that is not in it is refused by
//! name. The code of the operator reads each entry of the table, except idle ones, which never change a class
//! ([`Row::idle`]).

use super::attribute::Kind;
use super::convert::Done;
use super::message::Node;
use crate::import::shown;

/// The newest operator set that this table covers.
pub(super) const NEWEST_OPSET: i64 = 28;

/// An operator, its attributes and its inputs.
pub(super) struct Operator {
    pub(super) name: &'static str,
    pub(super) attributes: &'static [Row],
    /// The inputs, by the operator set that introduced them, ascending.
    pub(super) inputs: &'static [Inputs],
}

/// The inputs of an operator from one operator set on.
pub(super) struct Inputs {
    pub(super) since: i64,
    /// Number of required inputs.
    pub(super) least: usize,
    /// Names of the inputs; one that ends in `...` may be repeated.
    pub(super) names: &'static [&'static str],
}

/// An attribute of an operator.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Operator sets in which it exists.
    pub(super) since: i64,
    pub(super) until: i64,
    /// True if a node must have it.
    required: bool,
    /// True if no value of it changes a class.
    pub(super) idle: bool,
}

impl Row {
    const fn of(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, since: 1, until: i64::MAX, required: false, idle: false }
    }

    const fn since(self, since: i64) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: i64) -> Self {
        Self { until, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn idle(self) -> Self {
        Self { idle: true, ..self }
    }
}

const fn int(name: &'static str) -> Row {
    Row::of(name, Kind::Int)
}

const fn ints(name: &'static str) -> Row {
    Row::of(name, Kind::Ints)
}

const fn float(name: &'static str) -> Row {
    Row::of(name, Kind::Float)
}

const fn string(name: &'static str) -> Row {
    Row::of(name, Kind::String)
}

const fn tensor(name: &'static str) -> Row {
    Row::of(name, Kind::Tensor)
}

const fn since(since: i64, least: usize, names: &'static [&'static str]) -> Inputs {
    Inputs { since, least, names }
}

const fn operator(name: &'static str, attributes: &'static [Row], inputs: &'static [Inputs]) -> Operator {
    Operator { name, attributes, inputs }
}

/// Inputs that mean the same in all operator sets.
const ONE: &[Inputs] = &[since(1, 1, &["X"])];
const TWO: &[Inputs] = &[since(7, 2, &["A", "B"])];
const MANY: &[Inputs] = &[since(8, 1, &["data..."])];
const AXES_AS_INPUT: &[Inputs] = &[since(1, 1, &["data"]), since(13, 1, &["data", "axes"])];

/// The operators, sorted by name.
pub(super) static OPERATORS: &[Operator] = &[
    operator("Abs", &[], &[since(6, 1, &["X"])]),
    operator("Add", &[], TWO),
    operator(
        "AveragePool",
        &[
            string("auto_pad"),
            int("ceil_mode").since(10),
            int("count_include_pad"),
            ints("dilations").since(19),
            ints("kernel_shape").required(),
            ints("pads"),
            ints("strides"),
        ],
        ONE,
    ),
    operator(
        "BatchNormalization",
        &[
            float("epsilon"),
            // Momentum of the running statistics, used only in training.
            float("momentum").idle(),
            int("spatial").until(8),
            int("training_mode").since(14),
        ],
        &[since(7, 5, &["X", "scale", "B", "mean", "var"])],
    ),
    // The last two attributes concern only 8-bit floats, which are refused.
    operator(
        "Cast",
        &[int("to").required(), int("saturate").since(19).idle(), string("round_mode").since(24).idle()],
        ONE,
    ),
    operator("Ceil", &[], &[since(6, 1, &["X"])]),
    operator("Celu", &[float("alpha")], &[since(12, 1, &["X"])]),
    operator(
        "Clip",
        &[float("min").until(10), float("max").until(10)],
        &[since(6, 1, &["input"]), since(11, 1, &["input", "min", "max"])],
    ),
    operator("Concat", &[int("axis").required()], &[since(4, 1, &["inputs..."])]),
    operator(
        "Constant",
        &[
            tensor("value"),
            int("value_int").since(12),
            ints("value_ints").since(12),
            float("value_float").since(12),
            Row::of("value_floats", Kind::Floats).since(12),
        ],
        &[since(1, 0, &[])],
    ),
    operator("ConstantOfShape", &[tensor("value")], &[since(9, 1, &["input"])]),
    operator(
        "Conv",
        &[
            string("auto_pad"),
            ints("dilations"),
            int("group"),
            ints("kernel_shape"),
            ints("pads"),
            ints("strides"),
        ],
        &[since(1, 2, &["X", "W", "B"])],
    ),
    operator("Div", &[], TWO),
    operator(
        "Dropout",
        // Ratio and seed of the dropout, used only in training.
        &[float("ratio").until(11).idle(), int("seed").since(12).idle()],
        &[since(7, 1, &["data"]), since(12, 1, &["data", "ratio", "training_mode"])],
    ),
    operator("Elu", &[float("alpha")], &[since(6, 1, &["X"])]),
    operator("Equal", &[], TWO),
    operator("Erf", &[], &[since(9, 1, &["input"])]),
    operator("Exp", &[], &[since(6, 1, &["input"])]),
    operator("Expand", &[], &[since(8, 2, &["input", "shape"])]),
    operator("Flatten", &[int("axis")], ONE),
    operator("Floor", &[], &[since(6, 1, &["X"])]),
    operator("Gather", &[int("axis")], &[since(1, 2, &["data", "indices"])]),
    operator("Gelu", &[string("approximate")], &[since(20, 1, &["X"])]),
    operator(
        "Gemm",
        &[float("alpha"), float("beta"), int("transA"), int("transB")],
        &[since(7, 3, &["A", "B", "C"]), since(11, 2, &["A", "B", "C"])],
    ),
    operator("GlobalAveragePool", &[], ONE),
    operator("GlobalMaxPool", &[], ONE),
    operator("Greater", &[], TWO),
    operator("HardSigmoid", &[float("alpha"), float("beta")], &[since(6, 1, &["X"])]),
    operator("HardSwish", &[], &[since(14, 1, &["X"])]),
    operator("Identity", &[], ONE),
    // Type in which halves are normalized; everything computes in f32 or wider here.
    operator(
        "LayerNormalization",
        &[int("axis"), float("epsilon"), int("stash_type").idle()],
        &[since(17, 2, &["X", "Scale", "B"])],
    ),
    operator("LeakyRelu", &[float("alpha")], &[since(6, 1, &["X"])]),
    operator("Less", &[], TWO),
    operator("LogSoftmax", &[int("axis")], ONE),
    operator("MatMul", &[], &[since(1, 2, &["A", "B"])]),
    operator("Max", &[], MANY),
    operator(
        "MaxPool",
        &[
            string("auto_pad"),
            int("ceil_mode").since(10),
            ints("dilations").since(10),
            ints("kernel_shape").required(),
            ints("pads"),
            // Order of the indices, a second output that nothing may read.
            int("storage_order").since(8).idle(),
            ints("strides"),
        ],
        ONE,
    ),
    operator("Min", &[], MANY),
    operator("Mish", &[], &[since(18, 1, &["X"])]),
    operator("Mod", &[int("fmod")], &[since(10, 2, &["A", "B"])]),
    operator("Mul", &[], TWO),
    operator("Neg", &[], &[since(6, 1, &["X"])]),
    operator("PRelu", &[], &[since(7, 2, &["X", "slope"])]),
    operator(
        "Pad",
        &[string("mode"), ints("pads").since(2).until(10).required(), float("value").until(10)],
        &[
            since(2, 1, &["data"]),
            since(11, 2, &["data", "pads", "constant_value"]),
            since(18, 2, &["data", "pads", "constant_value", "axes"]),
        ],
    ),
    operator("Pow", &[], &[since(7, 2, &["X", "Y"])]),
    // Type in which a range of halves is summed; it does not apply to integers.
    operator("Range", &[int("stash_type").since(27).idle()], &[since(11, 3, &["start", "limit", "delta"])]),
    operator("Reciprocal", &[], &[since(6, 1, &["X"])]),
    operator(
        "ReduceL2",
        &[ints("axes").until(17), int("keepdims"), int("noop_with_empty_axes").since(18)],
        &[since(1, 1, &["data"]), since(18, 1, &["data", "axes"])],
    ),
    operator(
        "ReduceMax",
        &[ints("axes").until(17), int("keepdims"), int("noop_with_empty_axes").since(18)],
        &[since(1, 1, &["data"]), since(18, 1, &["data", "axes"])],
    ),
    operator(
        "ReduceMean",
        &[ints("axes").until(17), int("keepdims"), int("noop_with_empty_axes").since(18)],
        &[since(1, 1, &["data"]), since(18, 1, &["data", "axes"])],
    ),
    operator(
        "ReduceProd",
        &[ints("axes").until(17), int("keepdims"), int("noop_with_empty_axes").since(18)],
        &[since(1, 1, &["data"]), since(18, 1, &["data", "axes"])],
    ),
    operator(
        "ReduceSum",
        &[ints("axes").until(12), int("keepdims"), int("noop_with_empty_axes").since(13)],
        &[since(1, 1, &["data"]), since(13, 1, &["data", "axes"])],
    ),
    operator("Relu", &[], &[since(6, 1, &["X"])]),
    operator("Reshape", &[int("allowzero").since(14)], &[since(5, 2, &["data", "shape"])]),
    operator("Selu", &[float("alpha"), float("gamma")], &[since(6, 1, &["X"])]),
    operator("Shape", &[int("end").since(15), int("start").since(15)], ONE),
    operator("Sigmoid", &[], &[since(6, 1, &["X"])]),
    operator("Size", &[], ONE),
    operator(
        "Slice",
        &[ints("axes").until(9), ints("ends").until(9).required(), ints("starts").until(9).required()],
        &[since(1, 1, &["data"]), since(10, 3, &["data", "starts", "ends", "axes", "steps"])],
    ),
    operator("Softmax", &[int("axis")], ONE),
    operator("Softplus", &[], ONE),
    operator(
        "Split",
        &[int("axis"), int("num_outputs").since(18), ints("split").until(12)],
        &[since(2, 1, &["input"]), since(13, 1, &["input", "split"])],
    ),
    operator("Sqrt", &[], &[since(6, 1, &["X"])]),
    operator("Squeeze", &[ints("axes").until(12)], AXES_AS_INPUT),
    operator("Sub", &[], TWO),
    operator("Sum", &[], MANY),
    operator("Swish", &[float("alpha")], &[since(24, 1, &["X"])]),
    operator("Tanh", &[], &[since(6, 1, &["input"])]),
    operator("Transpose", &[ints("perm")], ONE),
    operator(
        "Unsqueeze",
        &[ints("axes").until(12)],
        &[since(1, 1, &["data"]), since(13, 2, &["data", "axes"])],
    ),
    operator("Where", &[], &[since(9, 3, &["condition", "X", "Y"])]),
];

pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

/// Returns the names of all operators, for messages.
pub(super) fn names() -> String {
    OPERATORS.iter().map(|operator| operator.name).collect::<Vec<_>>().join(", ")
}

impl Operator {
    /// Returns the row of an attribute.
    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.attributes.iter().find(|row| row.name == name)
    }

    /// Returns the inputs in an operator set.
    pub(super) fn inputs(&self, opset: i64) -> Option<&Inputs> {
        self.inputs.iter().rev().find(|inputs| inputs.since <= opset)
    }

    /// Checks that a node has only attributes and inputs of the table.
    pub(super) fn check(&self, node: &Node, opset: i64) -> Done<()> {
        let Some(inputs) = self.inputs(opset) else {
            let first = self.inputs[0].since;
            return Err(format!("is of operator set {opset}, expected {first}, which brought this operator"));
        };
        for (i, attribute) in node.attribute.iter().enumerate() {
            let name = shown(&attribute.name);
            if node.attribute[..i].iter().any(|other| other.name == attribute.name) {
                return Err(format!("attribute {name} is given twice"));
            }
            let known = |row: &&Row| (row.since..=row.until).contains(&opset);
            let Some(row) = self.row(&attribute.name).filter(known) else {
                let names: Vec<&str> = self.attributes.iter().filter(known).map(|row| row.name).collect();
                let expected = if names.is_empty() { "none".into() } else { names.join(", ") };
                return Err(format!(
                    "attribute {name} is not known in operator set {opset}, expected {expected}"
                ));
            };
            row.kind.check(attribute)?;
        }
        let missing = |row: &&Row| row.required && (row.since..=row.until).contains(&opset);
        let mut required = self.attributes.iter().filter(missing);
        if let Some(row) = required.find(|row| node.attribute.iter().all(|other| other.name != row.name)) {
            return Err(format!("attribute {} is missing", row.name));
        }
        let repeated = inputs.names.last().is_some_and(|name| name.ends_with("..."));
        let given = node.input.len();
        if given > inputs.names.len() && !repeated {
            let extra: Vec<String> =
                node.input[inputs.names.len()..].iter().map(|name| shown(name)).collect();
            return Err(format!("has the inputs {}, which this operator lacks", extra.join(", ")));
        }
        let is_missing = |&i: &usize| node.input.get(i).is_none_or(String::is_empty);
        if let Some(missing) = (0..inputs.least).find(is_missing) {
            return Err(format!("input {} is missing", inputs.names[missing.min(inputs.names.len() - 1)]));
        }
        if !node.overload.is_empty() {
            return Err(format!("asks for the overload {}, expected none", shown(&node.overload)));
        }
        Ok(())
    }
}
