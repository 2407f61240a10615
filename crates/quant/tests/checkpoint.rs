//! The checkpoint file: round trip, determinism, and refusal of everything that is wrong.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use graph::{AvgPool, Conv, Function, Layer, MaxPool, ModelSpec, Op, Preprocessing, Variant};
use quant::{
    ActivationScale, Activations, Checkpoint, Contents, FloatTensor, InvalidCheckpoint, LevelsPerUnit,
    Parameters, Provenance, QuantTensor, WeightScale,
};
use safetensors::{Dtype, tensor::TensorView};

fn contents() -> Contents {
    let conv = FloatTensor::new(vec![2, 1, 1, 3], vec![0.1, -0.2, 0.3, 0.75, -1.0, 0.0]);
    let fc = FloatTensor::new(vec![1, 2], vec![0.5, -0.25]);
    Contents {
        model: ModelSpec::new("toy", 1, [1, 1, 3]),
        layers: vec![],
        preprocessing: Preprocessing::new(vec![0.5], vec![0.25]).unwrap(),
        weights: vec![
            QuantTensor::quantize("conv.weight", &conv).unwrap(),
            QuantTensor::quantize("a.fc.weight", &fc).unwrap(),
        ],
        parameters: Parameters::from([("a.fc.bias".into(), FloatTensor::new(vec![1], vec![0.1]))]),
        activations: Activations::Static(BTreeMap::from([(
            "input".into(),
            ActivationScale::from_range(2.0, true),
        )])),
        provenance: Provenance { source: "toy.pth".into(), ..Provenance::default() },
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(contents()).unwrap()
}

fn edited(
    checkpoint: &Checkpoint,
    edit: impl FnOnce(&mut Contents),
) -> Result<Checkpoint, InvalidCheckpoint> {
    let mut contents = checkpoint.clone().into_contents();
    edit(&mut contents);
    Checkpoint::new(contents)
}

fn changed(checkpoint: &Checkpoint, edit: impl FnOnce(&mut Contents)) -> Checkpoint {
    edited(checkpoint, edit).unwrap()
}

/// The same network, layer by layer.
fn listed() -> Checkpoint {
    let layer = |name: &str, input, op: &Op| Layer { name: name.into(), inputs: vec![input], op: op.clone() };
    let pair = [1, 1];
    let conv = Op::Conv(Conv {
        channels: 2,
        groups: 1,
        bias: false,
        kernel: [1, 3],
        stride: pair,
        padding: [0, 0],
        dilation: pair,
    });
    let layers = vec![
        layer("conv", 0, &conv),
        layer("clip", 1, &Op::ClippedRelu { max: 6.0 }),
        layer("mean", 2, &Op::GlobalAvgPool),
        layer("a.fc", 3, &Op::Linear { features: 1 }),
    ];
    changed(&checkpoint(), |c| c.layers = layers)
}

/// The same network with a scale for each output channel.
fn per_channel() -> Checkpoint {
    changed(&checkpoint(), |c| {
        for weight in &mut c.weights {
            *weight = QuantTensor::quantize_per_channel(weight.name(), &weight.dequantize()).unwrap();
        }
    })
}

/// The same network with dynamic ranges of activations.
fn dynamic(batch: u32) -> Checkpoint {
    let activations = Activations::Dynamic { batch: batch.try_into().unwrap() };
    changed(&checkpoint(), |c| c.activations = activations)
}

fn rescaled(tensor: &mut QuantTensor, scale: WeightScale) {
    let (name, shape) = (tensor.name().into(), tensor.shape().to_vec());
    *tensor = QuantTensor::new(name, shape, tensor.values().to_vec(), scale).unwrap();
}

fn saved(checkpoint: &Checkpoint, folder: &Path) -> Vec<u8> {
    let path = folder.join("c.safetensors");
    checkpoint.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// The error on reading `bytes`, without the path.
fn refusal(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let message = Checkpoint::load(&path).unwrap_err().to_string();
    message.strip_prefix(&format!("{}: ", path.display())).expect("the file is named").into()
}

/// The file of a checkpoint, with its metadata text edited.
fn with_metadata(checkpoint: &Checkpoint, edit: impl Fn(String) -> String) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(checkpoint, folder.path());
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let text = edit(header.metadata().as_ref().unwrap()["zerospace"].clone());
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let metadata = HashMap::from([("zerospace".to_string(), text)]);
    safetensors::serialize(file.tensors(), Some(metadata)).unwrap()
}

#[test]
fn a_checkpoint_comes_back_as_it_was_with_the_same_bytes() {
    for checkpoint in [checkpoint(), listed(), per_channel(), dynamic(100)] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = saved(&checkpoint, folder.path());
        let back = Checkpoint::load(&folder.path().join("c.safetensors")).unwrap();
        assert_eq!(back, checkpoint);
        assert_eq!(saved(&back, folder.path()), bytes);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }
}

#[test]
fn networks_by_name_keep_their_file_and_their_digest() {
    // Recorded with the program that knew version 1 alone.
    assert_eq!(checkpoint().digest(), "79a58983d7e8dbd44d3e49c095a80900524e5d0eec18d76f16cb534c4dbf83e3");
    with_metadata(&checkpoint(), |text| {
        assert!(text.starts_with(r#"{"version":1,"digest":"#), "{text}");
        assert!(!text.contains("layers"), "{text}");
        text
    });
}

#[test]
fn a_variant_that_the_image_size_does_not_imply_is_part_of_the_network() {
    for variant in [Variant::Cifar, Variant::CifarMaxpool] {
        let named = changed(&checkpoint(), |c| c.model.variant = Some(variant));
        assert_ne!(named.digest(), checkpoint().digest());
        let folder = tempfile::tempdir().unwrap();
        saved(&named, folder.path());
        assert_eq!(Checkpoint::load(&folder.path().join("c.safetensors")).unwrap(), named);
        with_metadata(&named, |text| {
            assert!(text.starts_with(r#"{"version":4,"#), "{text}");
            let id = variant.id();
            assert!(text.contains(&format!(r#""width":1.0,"variant":"{id}"}}"#)), "{text}");
            text
        });
    }
}

#[test]
fn one_network_has_one_spelling() {
    let with = |checkpoint: &Checkpoint, variant| edited(checkpoint, |c| c.model.variant = Some(variant));
    assert_eq!(
        with(&checkpoint(), Variant::Torchvision).unwrap_err().to_string(),
        "model.variant is `torchvision`, expected none, since images of this size imply it"
    );
    assert_eq!(
        with(&listed(), Variant::Cifar).unwrap_err().to_string(),
        "model.variant is `cifar`, expected none beside listed layers"
    );
    let message = retold(&checkpoint(), r#""width":1.0}"#, r#""width":1.0,"variant":"torchvision"}"#);
    assert_eq!(message, "model.variant is `torchvision`, expected none, since images of this size imply it");
    assert_eq!(Variant::implied([3, 32, 32]), Variant::Cifar);
    assert_eq!(Variant::implied([3, 32, 33]), Variant::Torchvision);
}

#[test]
fn choices_of_the_reader_are_kept_and_change_no_identity() {
    let read = changed(&checkpoint(), |c| {
        c.provenance.reading = vec!["the state dict under `state_dict`".into()];
    });
    assert_eq!(read.digest(), checkpoint().digest());
    let folder = tempfile::tempdir().unwrap();
    saved(&read, folder.path());
    assert_eq!(Checkpoint::load(&folder.path().join("c.safetensors")).unwrap(), read);
    let bytes = with_metadata(&read, |text| text.replace(r#""version":4"#, r#""version":1"#));
    assert_eq!(refusal(&bytes), "version is 1, expected 4, the oldest that can hold what the file holds");
}

#[test]
fn listed_layers_are_part_of_the_network() {
    assert_ne!(listed().digest(), checkpoint().digest());
    let other = changed(&listed(), |c| c.layers[1].op = Op::ClippedRelu { max: 5.0 });
    assert_ne!(listed().digest(), other.digest());
    let edited = |from: &str, to: &str| retold(&listed(), from, to);
    assert!(edited(r#""max":6.0"#, r#""max":5.0"#).starts_with("content hash is "));
    let message = edited(r#""version":2"#, r#""version":1"#);
    assert_eq!(message, "version is 1, expected 2, the oldest that can hold what the file holds");
    let message = edited("global_avg_pool", "hard_swish");
    let unknown = "layer mean has the operation `hard_swish`, which this program does not know";
    assert_eq!(message, format!("{unknown}; a newer zerospace may read the file"));
    let message = edited(r#"{"clipped_relu":"#, r#"{"hard_swish":"#);
    assert!(message.starts_with("layer clip has the operation `hard_swish`, which"), "{message}");
    let newer = with_metadata(&listed(), |text| {
        text.replace("global_avg_pool", "hard_swish").replace(r#""version":2"#, r#""version":6"#)
    });
    assert_eq!(
        refusal(&newer),
        format!("format version 6, newest known is 5: a newer zerospace reads the file; {unknown}")
    );
    let message = edited(r#""groups":1"#, r#""groups":1,"offset":2"#);
    assert!(message.starts_with("metadata: unknown field `offset`"), "{message}");
}

/// What version 2 had is written as before, to the byte; what it had not needs version 4.
#[test]
fn newer_layers_are_written_as_version_4() {
    with_metadata(&listed(), |text| {
        assert!(text.starts_with(r#"{"version":2,"#), "{text}");
        let conv = r#"{"conv":{"channels":2,"groups":1,"bias":false,"kernel":[1,3],"stride":[1,1],"padding":[0,0]}}"#;
        assert!(text.contains(conv), "{text}");
        text
    });
    let pair = [1, 1];
    let pool = |after| {
        Op::MaxPool(MaxPool {
            kernel: pair,
            stride: pair,
            padding: pair,
            ceil: true,
            after,
            dilation: [1, 1],
        })
    };
    let mean = |ceil, after| {
        let (kernel, stride, padding, count_include_pad) = (pair, pair, pair, false);
        Op::AvgPool(AvgPool { kernel, stride, padding, count_include_pad, ceil, after })
    };
    let conv = |dilation| {
        let (channels, groups, bias) = (2, 1, false);
        Op::Conv(Conv { channels, groups, bias, kernel: [1, 3], stride: pair, padding: [0, 0], dilation })
    };
    for (place, op, version) in [
        (1, pool(None), 2),
        (1, pool(Some(pair)), 4),
        (1, mean(false, None), 2),
        (1, mean(true, None), 4),
        (1, mean(false, Some(pair)), 4),
        (0, conv(pair), 2),
        (0, conv([1, 2]), 4),
        (1, Op::BatchNorm { epsilon: 0.5 }, 2),
        (3, Op::BatchNorm { epsilon: 0.5 }, 4),
        (1, Op::PadShortcut { stride: 2, before: 1, after: 0 }, 4),
        (1, Op::LeakyRelu { slope: 0.5 }, 4),
        (1, Op::Function(Function::HardSwish), 4),
        (1, Op::Function(Function::Elu { alpha: 0.5 }), 4),
        (1, Op::ChannelShuffle { groups: 1 }, 4),
        (1, Op::TokenEmbedding { class_tokens: 1 }, 4),
        (1, Op::Attention { heads: 1, scale: 0.5 }, 4),
        (1, Op::SelectToken { index: 0 }, 4),
    ] {
        let network = changed(&listed(), |c| c.layers[place].op = op);
        let folder = tempfile::tempdir().unwrap();
        saved(&network, folder.path());
        assert_eq!(Checkpoint::load(&folder.path().join("c.safetensors")).unwrap(), network);
        with_metadata(&network, |text| {
            assert!(text.starts_with(&format!(r#"{{"version":{version},"#)), "{text}");
            text
        });
    }
}

/// The refusal of a file with a piece of its metadata replaced.
fn retold(checkpoint: &Checkpoint, from: &str, to: &str) -> String {
    refusal(&with_metadata(checkpoint, |text| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replacen(from, to, 1)
    }))
}

#[test]
fn scales_of_channels_are_part_of_the_network() {
    let channels = per_channel();
    assert_ne!(channels.digest(), checkpoint().digest());
    let scales = [423.3333, 120.0].map(|scale| LevelsPerUnit::new(scale).unwrap());
    let other = changed(&channels, |c| rescaled(&mut c.weights[0], WeightScale::Channels(scales.into())));
    assert_ne!(channels.digest(), other.digest());
    // A single channel: the same numbers, another network.
    assert_eq!(channels.weights[1].scale().values(), checkpoint().weights[1].scale().values());
    let mixed = changed(&checkpoint(), |c| c.weights[1] = channels.weights[1].clone());
    assert_ne!(mixed.digest(), checkpoint().digest());

    with_metadata(&channels, |text| {
        assert!(text.starts_with(r#"{"version":3,"digest":"#), "{text}");
        text
    });
    let message = retold(&channels, r#""version":3"#, r#""version":2"#);
    assert_eq!(message, "version is 2, expected 3, the oldest that can hold what the file holds");
    let message = retold(&channels, r#""scales":[254.0]"#, r#""scales":[254.0,1.0]"#);
    assert_eq!(
        message,
        "a.fc.weight has 2 scales and shape [1, 2], expected one scale for each output channel (first dimension)"
    );
    let message = retold(&channels, r#""scales":[254.0]"#, r#""scales":[-254.0]"#);
    assert_eq!(message, "scale of a.fc.weight is -254, expected a finite positive number");
    for both in [r#""scale":1.0,"scales":[254.0]"#, r#""name":"a.fc.weight""#] {
        let from = if both.contains("scales") {
            r#""scales":[254.0]"#
        } else {
            r#""name":"a.fc.weight","scales":[254.0]"#
        };
        assert_eq!(
            retold(&channels, from, both),
            "weight tensor a.fc.weight has several or none of `scale`, `scales` and `given`, expected one of them"
        );
    }
}

#[test]
fn dynamic_ranges_and_their_batch_are_part_of_the_network() {
    assert_ne!(dynamic(100).digest(), checkpoint().digest());
    assert_ne!(dynamic(100).digest(), dynamic(256).digest());
    let whole = r#""dynamic_activations":{"batch":100},"#;
    for (from, to, message) in [
        (r#""version":3"#, r#""version":1"#, "version is 1, expected 3, the oldest that can hold what the"),
        (r#""batch":100"#, r#""batch":101"#, "content hash is "),
        (r#""batch":100"#, r#""batch":0"#, "metadata: invalid value: integer `0`, expected a nonzero u32"),
        (whole, "", "metadata has several or none of `activations`, `dynamic_activations` and `given`"),
        (whole, r#""activations":{},"dynamic_activations":{"batch":100},"#, "metadata has several or none"),
    ] {
        let message_found = retold(&dynamic(100), from, to);
        assert!(message_found.starts_with(message), "{message_found}");
    }
}

#[test]
fn the_digest_covers_what_is_computed_and_not_where_it_came_from() {
    type Edit = fn(&mut Contents);
    let edits: [Edit; 8] = [
        |c| c.model.width = 0.5,
        |c| c.preprocessing = Preprocessing::new(vec![0.4], vec![0.25]).unwrap(),
        |c| {
            let w = &mut c.weights[0];
            let mut values = w.values().to_vec();
            values[2] += 1;
            *w = w.clone().with_values(values).unwrap();
        },
        |c| rescaled(&mut c.weights[1], WeightScale::Tensor(LevelsPerUnit::ONE)),
        |c| c.weights.swap(0, 1),
        |c| {
            let w = &mut c.weights[1];
            let (name, values) = (w.name().into(), w.values().to_vec());
            *w = QuantTensor::new(name, vec![2, 1], values, w.scale().clone()).unwrap();
        },
        |c| c.activations.scales_mut().unwrap().get_mut("input").unwrap().signed = false,
        |c| drop(c.parameters.insert("a.fc.bias".into(), FloatTensor::new(vec![1], vec![0.2]))),
    ];
    let mut digests = std::collections::BTreeSet::from([checkpoint().digest()]);
    for edit in edits {
        assert!(digests.insert(changed(&checkpoint(), edit).digest()));
    }
    let moved = changed(&checkpoint(), |c| c.provenance.source = "elsewhere".into());
    assert_eq!(moved.digest(), checkpoint().digest());
}

#[test]
fn edited_metadata_is_refused() {
    for (from, to, message) in [
        (r#""version":1"#, r#""version":6"#, "format version 6, newest known is 5"),
        (r#""signed":true"#, r#""signed":1"#, "metadata: invalid type: integer `1`, expected a boolean"),
        (r#""model":"#, r#""modle":"#, "metadata: unknown field `modle`"),
        ("a.fc.bias", "b", "tensor b is named in the metadata and missing from the file"),
        (
            r#""parameters":["a.fc.bias"]"#,
            r#""parameters":[]"#,
            "tensor a.fc.bias is not named in the metadata",
        ),
        ("conv.weight", "a.fc.bias", "tensor a.fc.bias has type F32, expected I8"),
        (
            r#""scale":127.0"#,
            r#""scale":-127.0"#,
            "scale of conv.weight is -127, expected a finite positive number",
        ),
        (
            r#""std":[0.25]"#,
            r#""std":[0.0]"#,
            "metadata: preprocessing.std is [0.0], expected 1 positive numbers, one per channel",
        ),
        (
            r#""mean":[0.5],"std":[0.25]"#,
            r#""mean":[],"std":[]"#,
            "preprocessing.mean is [], expected 1 finite numbers, one per channel",
        ),
        (r#""width":1.0"#, r#""width":2.0"#, "content hash is "),
    ] {
        let error = retold(&checkpoint(), from, to);
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn other_files_are_refused() {
    assert!(refusal(b"").starts_with("not a safetensors file: "));
    assert!(refusal(b"[data] set = 'cifar10'").starts_with("not a safetensors file: "));
    let float = |what: &str, options: &str| {
        format!(
            "the file is {what}, expected an int8 checkpoint: make one of it with `zerospace quantize FILE{options} -o \
             int8.safetensors`"
        )
    };
    assert_eq!(refusal(b"PK\x03\x04"), float("a zip, as torch.save writes it", " --arch NAME"));
    assert_eq!(refusal(b"\x80\x02\x8a\x0a"), float("a pickle, as torch.save writes it", " --arch NAME"));
    // How PyTorch's exporter begins: version 8, producer `pytorch`.
    assert_eq!(refusal(b"\x08\x08\x12\x07pytorch"), float("an ONNX model", ""));
    let data = [0u8; 4];
    let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
    let foreign = safetensors::serialize([("w", view)], None).unwrap();
    assert!(
        refusal(&foreign).starts_with("not a zerospace checkpoint: its metadata has no `zerospace` entry")
    );
}

#[test]
fn values_that_would_spoil_the_arithmetic_are_refused() {
    type Edit = fn(&mut Contents);
    let edits: [(Edit, &str); 3] = [
        (|c| set(c, "a.fc.bias", f32::NAN), "value 0 of a.fc.bias is NaN, expected a finite number"),
        (
            |c| set(c, "bn.running_var", -1e-9),
            "value 0 of bn.running_var is -0.000000001, expected a variance of at least 0",
        ),
        (|c| c.model.input[0] = 3, "preprocessing.mean is [0.5], expected 3 finite numbers, one per channel"),
    ];
    for (edit, message) in edits {
        assert_eq!(edited(&checkpoint(), edit).unwrap_err().to_string(), message);
    }
    for (from, to, message) in [
        (
            r#""scale":127.0"#,
            r#""scale":0.0"#,
            "scale of conv.weight is 0, expected a finite positive number",
        ),
        (
            r#""levels_per_unit":63.5"#,
            r#""levels_per_unit":-0.0"#,
            "scale of input is -0, expected a finite positive number",
        ),
    ] {
        assert_eq!(retold(&checkpoint(), from, to), message);
    }
}

#[test]
fn a_tensor_that_no_network_can_hold_is_refused() {
    let tensor = |values: &[i8], scale: WeightScale| {
        QuantTensor::new("conv.weight".into(), vec![2, 1, 1, 3], values.to_vec(), scale)
    };
    let refusal = |values: &[i8], scale| tensor(values, scale).unwrap_err().to_string();
    let one = || WeightScale::Tensor(LevelsPerUnit::ONE);
    assert_eq!(
        refusal(&[0, 1, 2, 3, -128, 5], one()),
        "weight 4 of conv.weight is -128, expected -127..=127 (only a fault makes -128)"
    );
    assert_eq!(refusal(&[0; 5], one()), "conv.weight has 5 values, expected 6");
    assert_eq!(
        refusal(&[0; 6], WeightScale::Channels(vec![LevelsPerUnit::ONE; 3])),
        "conv.weight has 3 scales and shape [2, 1, 1, 3], expected one scale for each output channel (first dimension)"
    );
    let whole = tensor(&[0; 6], one()).unwrap();
    assert_eq!(whole.clone().with_values(vec![-127; 6]).unwrap().values(), [-127; 6]);
    assert_eq!(
        whole.with_values(vec![0; 7]).unwrap_err().to_string(),
        "conv.weight has 7 values, expected 6"
    );
}

fn set(contents: &mut Contents, name: &str, value: f32) {
    contents.parameters.insert(name.into(), FloatTensor::new(vec![1], vec![value]));
}

#[test]
fn no_truncation_and_no_flipped_bit_passes_or_panics() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = saved(&checkpoint(), folder.path());
    for length in 0..bytes.len() {
        refusal(&bytes[..length]);
    }
    let path = folder.path().join("flipped");
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        // A flip in the provenance or in the header's padding leaves the network as it was.
        if let Ok(read) = Checkpoint::load(&path) {
            assert_eq!(read.digest(), checkpoint().digest(), "bit {bit}");
        }
        // Some file systems flush a file that is cut to nothing and written again; a new one is quicker.
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = checkpoint().save(&folder.path().join("missing").join("c")).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

/// Else a file could hold one large tensor and name it a thousand times.
#[test]
fn a_tensor_is_named_once() {
    let message =
        retold(&checkpoint(), r#""parameters":["a.fc.bias"]"#, r#""parameters":["a.fc.bias","a.fc.bias"]"#);
    assert_eq!(message, "tensor a.fc.bias is named twice in the metadata");
    let message = retold(&checkpoint(), "a.fc.weight", "conv.weight");
    assert_eq!(message, "tensor conv.weight is named twice in the metadata");
}
