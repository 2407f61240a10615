//! Advice about operators that are not supported: the nearest supported form, or why there is none.

use super::convert::is_standard;
use super::message::Node;

/// Operators of the standard that people meet, with the nearest supported form.
const NEAREST: &[(&[&str], &str)] = &[
    (
        &[
            "ConvTranspose",
            "Resize",
            "Upsample",
            "GridSample",
            "DepthToSpace",
            "MaxUnpool",
            "Col2Im",
            "AffineGrid",
        ],
        "nothing here enlarges or samples an image again; the nearest are Conv, AveragePool and MaxPool with strides",
    ),
    (&["SpaceToDepth"], "the nearest is Conv with kernel and strides of the block size"),
    (
        &["InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"],
        "its statistics are those of each image; the nearest are BatchNormalization, and LayerNormalization over channels",
    ),
    (
        &["RMSNormalization", "LpNormalization"],
        "the nearest are LayerNormalization over channels and BatchNormalization",
    ),
    (&["LRN"], "a local response norm has no exact int8 form here; the nearest is BatchNormalization"),
    (&["ThresholdedRelu", "Shrink"], "the nearest are Elu and LeakyRelu"),
    (&["Softsign", "Sinh", "Asinh", "Atan"], "the nearest is Tanh"),
    (
        &["Cosh", "Sin", "Cos", "Sign", "Round", "Log"],
        "the nearest functions of one value are Exp, Erf, Tanh and Abs",
    ),
    (&["LpPool", "GlobalLpPool"], "the nearest are AveragePool and MaxPool"),
    (&["ReduceMin"], "the nearest is ReduceMax of the negated values"),
    (
        &["ReduceL1", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "CumSum"],
        "the nearest are ReduceMean and ReduceSum over the image",
    ),
    (
        &["ArgMax", "ArgMin", "TopK", "Hardmax", "NonMaxSuppression"],
        "the network must end in logits: name the tensor before this node as --onnx-output",
    ),
    (&["Einsum"], "export it as Transpose, Reshape and MatMul"),
    (&["Tile"], "the nearest are Expand and Concat"),
    (
        &[
            "GatherElements",
            "GatherND",
            "Scatter",
            "ScatterElements",
            "ScatterND",
            "Compress",
            "NonZero",
            "OneHot",
        ],
        "the nearest are Gather, Slice and Split with constant indices",
    ),
    (
        &["And", "Or", "Xor", "Not", "GreaterOrEqual", "LessOrEqual", "IsNaN", "IsInf"],
        "the nearest are Equal, Greater, Less and Where of constants",
    ),
    (
        &["Attention", "RotaryEmbedding"],
        "export with an operator set below 23, which writes attention as MatMul, Softmax and MatMul",
    ),
    (
        &[
            "Bernoulli",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
            "Multinomial",
        ],
        "export the model in evaluation mode, where nothing is random",
    ),
    (&["If", "Loop", "Scan"], "export the model without control flow"),
    (&["LSTM", "GRU", "RNN"], "networks of images are supported, without recurrent layers"),
    (
        &["SequenceAt", "SequenceConstruct", "SplitToSequence", "ConcatFromSequence", "Optional"],
        "the nearest are Split and Concat of tensors",
    ),
];

/// Returns advice for a node with an operator that is not supported, to follow its name and operator set.
pub(super) fn advice(node: &Node) -> String {
    let operator = node.op_type.as_str();
    let is_quantized = operator.contains("uantize")
        || operator.starts_with("QLinear")
        || operator.starts_with("QGemm")
        || operator.ends_with("Integer");
    if is_quantized {
        return " of integer networks (pass the float model that it was made from; zerospace quantizes it)"
            .into();
    }
    match node.domain.as_str() {
        "com.microsoft" => " of ONNX Runtime's optimizer (pass the model before optimization)".into(),
        domain if is_standard(domain) => {
            let known = NEAREST.iter().find(|(operators, _)| operators.contains(&operator));
            known.map_or(String::new(), |(_, advice)| format!(" ({advice})"))
        }
        _ => " of another domain (inline its functions first)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::operators;
    use super::*;

    /// No supported operator has advice, and every operator that advice names is supported.
    #[test]
    fn advice_leads_to_supported_operators() {
        let refused: Vec<&str> = NEAREST.iter().flat_map(|(operators, _)| *operators).copied().collect();
        for (i, operator) in refused.iter().enumerate() {
            assert!(operators::find(operator).is_none(), "{operator} is supported");
            assert!(!refused[..i].contains(operator), "{operator} is listed twice");
        }
        let mut named = 0;
        for (_, advice) in NEAREST {
            let words = advice.split(|c: char| !c.is_ascii_alphanumeric());
            for word in words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())) {
                assert!(operators::find(word).is_some(), "{word} in {advice:?}");
                named += 1;
            }
        }
        assert!(named > 30);
    }
}
