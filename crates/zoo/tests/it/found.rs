//! State dicts where trainers leave them. Files are written by hand in the forms that PyTorch writes (2.15 and earlier);
//! what is read is checked for a small network with batch norm: `conv.weight`, `bn.*`, `fc.weight`, `fc.bias`.

use std::fs;

use graph::{Conv, Graph, Layer, ModelSpec, Op, Variant};
use quant::{FloatTensor, Parameters};
use zoo::{Bound, Selection, build, build_stored, read_checkpoint};

use crate::torch::{Archive, Value, archive, dict, legacy};

fn graph() -> Graph {
    let layer = |name: &str, input, op| Layer { name: name.into(), inputs: vec![input], op };
    let conv = Op::Conv(Conv {
        channels: 2,
        groups: 1,
        bias: false,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
    });
    let layers = [
        layer("conv", 0, conv),
        layer("bn", 1, Op::BatchNorm { epsilon: 1e-5 }),
        layer("mean", 2, Op::GlobalAvgPool),
        layer("fc", 3, Op::Linear { features: 3 }),
    ];
    let model = ModelSpec::new("toy", 3, [1, 4, 4]);
    build_stored(&model, &layers).unwrap()
}

/// Parameters of the network whose values begin with `first`.
fn state(first: f32) -> Vec<(String, Value)> {
    let tensor = |spec: graph::ParameterSpec| (spec.name, Value::tensor(&spec.shape, first));
    graph().parameters().into_iter().map(tensor).collect()
}

fn values(first: f32) -> Parameters {
    let tensor = |spec: graph::ParameterSpec| {
        let count: usize = spec.shape.iter().product();
        let values = (0..count).map(|i| first + i as f32).collect();
        (spec.name, FloatTensor::new(spec.shape, values))
    };
    graph().parameters().into_iter().map(tensor).collect()
}

fn prefixed(prefix: &str, state: Vec<(String, Value)>) -> Vec<(String, Value)> {
    state.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

fn under(key: &str, value: Value) -> (String, Value) {
    (key.into(), value)
}

fn bind_with(file: &[u8], graph: &Graph, key: Option<&str>, prefix: Option<&str>) -> Result<Bound, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.pth");
    fs::write(&path, file).unwrap();
    let selection = Selection { key: key.map(Into::into), prefix: prefix.map(Into::into) };
    let bound = read_checkpoint(&path).and_then(|file| file.bind(graph, &selection));
    let prefix = format!("{}: ", path.display());
    bound.map_err(|error| error.to_string().strip_prefix(&prefix).expect("the file is named").to_string())
}

fn bind(items: Vec<(String, Value)>) -> Result<Bound, String> {
    bind_with(&archive(&dict(items)), &graph(), None, None)
}

#[track_caller]
fn reads(items: Vec<(String, Value)>, first: f32, reading: &[&str]) {
    let bound = bind(items).unwrap();
    assert_eq!(bound.parameters, values(first));
    assert_eq!(bound.reading, reading);
}

// Zips.

/// Every name of 21 letters failed: its first entry takes 76 bytes in the directory, as many as the zip64 records that
/// PyTorch writes behind the directory, and the reader of zips took the archive for shifted.
#[test]
fn an_archive_opens_under_every_name() {
    let graph = graph();
    for letters in 1..=130 {
        let name = "n".repeat(letters);
        let file = Archive { name: &name, ..Archive::default() }.write(&dict(state(1.0)));
        let bound = bind_with(&file, &graph, None, None);
        assert_eq!(bound.expect(&name).parameters, values(1.0), "{letters} letters");
    }
}

#[test]
fn an_archive_may_be_deflated_big_endian_or_large_by_its_records() {
    let graph = graph();
    for archive in [
        Archive { deflated: true, ..Archive::default() },
        Archive { big_endian: true, ..Archive::default() },
        Archive { name: "twenty-one-letters-xx", zip64: true, ..Archive::default() },
        Archive { zip64: true, ..Archive::default() },
    ] {
        let bound = bind_with(&archive.write(&dict(state(1.0))), &graph, None, None);
        assert_eq!(bound.unwrap().parameters, values(1.0), "{archive:?}");
    }
}

#[test]
fn other_files_are_called_what_they_are() {
    let zip = |entries: &[&str]| Archive::default().of(entries.iter().map(|name| (*name, &b"x"[..])));
    let said = |file: &[u8]| bind_with(file, &graph(), None, None).unwrap_err();
    for (file, what) in [
        (zip(&["data.pkl", "constants.pkl", "code/net.py"]), "the file is a TorchScript archive"),
        (Archive::default().of([("../conv.weight.npy", &b"x"[..])]), "the file is a NumPy archive (.npz)"),
        (Archive::default().of([("../model.weights.h5", &b"x"[..])]), "the file is a Keras model"),
        (zip(&["archive_format"]), "the file is a program of torch.export"),
        (b"\x89HDF\r\n\x1a\n".to_vec(), "the file is HDF5, as Keras writes it"),
        (b"\x93NUMPY\x01\0".to_vec(), "the file is a NumPy array (.npy)"),
        (b"\x1f\x8b\x08\0".to_vec(), "the file is compressed by gzip"),
        (b"<!DOCTYPE html><html>".to_vec(), "the file is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "the file is a pointer of Git LFS"),
        (b"\x08\x08\x12\x07pytorch".to_vec(), "the file is an ONNX model"),
    ] {
        assert!(said(&file).starts_with(what), "{}", said(&file));
    }
}

// Where the state dict lies.

#[test]
fn a_state_dict_alone_leaves_nothing_to_say() {
    reads(state(1.0), 1.0, &[]);
    assert_eq!(
        bind_with(&legacy(&dict(state(1.0))), &graph(), None, None).unwrap().reading,
        Vec::<String>::new()
    );
}

#[test]
fn a_state_dict_is_found_under_any_key_beside_anything() {
    // PyTorch's ImageNet example.
    let items = vec![
        under("epoch", Value::Int(90)),
        under("arch", Value::Text("toy")),
        under("state_dict", dict(state(1.0))),
        under("best_acc1", Value::tensor(&[], 91.7)),
    ];
    let ignored = "the tensors under `state_dict` were read; ignored beside them: epoch, arch, best_acc1";
    reads(items, 1.0, &[ignored]);
    let object = || Value::Object("argparse", "Namespace");
    let deep = dict(vec![under("args", object()), under("params_ema_not", dict(state(2.0)))]);
    let items = vec![under("cfg", object()), under("runner", deep)];
    let at = "the tensors under `runner.params_ema_not`, which are averages, were read; ignored beside them: args, cfg";
    reads(items, 2.0, &[at]);
    let optimizer = dict(vec![under("exp_avg", dict(state(9.0)))]);
    let items = vec![under("optimizer", optimizer), under("weights", dict(state(3.0)))];
    reads(items, 3.0, &["the tensors under `weights` were read; ignored beside them: optimizer"]);
}

#[test]
fn a_state_dict_may_be_pairs_or_of_a_class_of_its_own_or_in_parts() {
    let pairs = state(1.0).into_iter().map(|(name, value)| Value::Tuple(vec![Value::Owned(name), value]));
    reads(vec![under("model", Value::List(pairs.collect()))], 1.0, &["the tensors under `model` were read"]);
    let subclass = Value::DictOf("mine", "StateDict", state(1.0));
    reads(vec![under("model", subclass)], 1.0, &["the tensors under `model` were read"]);
    let part = |layer: &str| {
        let own = state(1.0).into_iter().filter_map(|(name, value)| {
            name.strip_prefix(layer)?.strip_prefix('.').map(|rest| (rest.to_string(), value))
        });
        (layer.to_string(), dict(own.collect()))
    };
    let parts = dict(["conv", "bn", "fc"].map(part).into());
    reads(vec![under("net", parts.clone())], 1.0, &["the tensors under `net` were read"]);
    // A layer too many is one in a dict of its own, too.
    let Value::Dict(mut parts) = parts else { panic!() };
    parts.push(under("conv2", dict(vec![under("weight", Value::tensor(&[2, 2, 3, 3], 0.0))])));
    assert_eq!(
        bind(vec![under("net", dict(parts))]).unwrap_err(),
        "the tensors under `net` do not fit toy (3 classes, input 1x4x4, width 1)\n1 unexpected: conv2.weight"
    );
    let file = archive(&Value::BytesDict(state(1.0)));
    assert_eq!(bind_with(&file, &graph(), None, None).unwrap().parameters, values(1.0));
}

#[test]
fn a_prefix_is_found_even_beside_other_names() {
    for prefix in ["module.", "model.", "_orig_mod.", "net.", "module._orig_mod.", "a.b.c.d.e."] {
        let line = format!("the tensors without the prefix `{prefix}` were read");
        reads(prefixed(prefix, state(1.0)), 1.0, &[&line]);
    }
    let mut items = prefixed("model.", state(1.0));
    items.push(under("criterion.weight", Value::tensor(&[3], 0.0)));
    let line = "the tensors without the prefix `model.` were read; ignored beside them: criterion.*";
    reads(items, 1.0, &[line]);
}

#[test]
fn raw_weights_are_read_and_averages_beside_them_are_named() {
    let fit = |place: &str, option: &str| {
        format!("the tensors {place} fit, too, and are averages: to read them instead, {option}")
    };
    for (raw, averaged) in
        [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("net", "averaged_model"), ("a", "swa")]
    {
        let line = format!("the tensors under `{raw}` were read; ignored beside them: {averaged}");
        let other = fit(&format!("under `{averaged}`"), &format!("--key {averaged}"));
        let both = || [under(raw, dict(state(1.0))), under(averaged, dict(state(2.0)))];
        reads(both().into(), 1.0, &[&line, &other]);
        // Whichever comes first.
        let reversed: Vec<_> = both().into_iter().rev().collect();
        reads(reversed.clone(), 1.0, &[&line, &other]);
        let file = archive(&dict(reversed));
        let read = bind_with(&file, &graph(), Some(averaged), None).unwrap();
        assert_eq!(read.parameters, values(2.0));
        let line = format!(
            "the tensors under `{averaged}`, which are averages, were read; ignored beside them: {raw}"
        );
        assert_eq!(read.reading, [line]);
    }
    // In one dict, as torch.optim.swa_utils.AveragedModel beside a model.
    let mut items = prefixed("model_ema.module.", state(2.0));
    items.push(under("model_ema.n_averaged", Value::tensor(&[], 5.0)));
    items.extend(prefixed("model.", state(1.0)));
    let line = "the tensors without the prefix `model.` were read; ignored beside them: model_ema.*";
    let other = fit("without the prefix `model_ema.module.`", "--prefix model_ema.module.");
    reads(items.clone(), 1.0, &[line, &other]);
    for prefix in ["model_ema.module.", "model_ema.module"] {
        let read = bind_with(&archive(&dict(items.clone())), &graph(), None, Some(prefix)).unwrap();
        assert_eq!(read.parameters, values(2.0));
    }
    // Alone, an average is read and called one.
    let mut items = prefixed("module.", state(2.0));
    items.push(under("n_averaged", Value::tensor(&[], 5.0)));
    let line = "the tensors without the prefix `module.`, which are averages, were read; ignored beside them: n_averaged";
    reads(items, 2.0, &[line]);
    // Without the statistics of batch norms it does not fit, and is named.
    let partial = state(2.0).into_iter().filter(|(name, _)| !name.contains("running")).collect();
    let items =
        vec![under("model", dict(state(1.0))), under("ema", dict(vec![under("shadow", dict(partial))]))];
    reads(
        items,
        1.0,
        &[
            "the tensors under `model` were read; ignored beside them: ema",
            "the tensors under `ema.shadow` are averages of 5 of the 7 parameters, and were not read",
        ],
    );
}

#[test]
fn two_dicts_that_fit_are_both_named() {
    reads(
        vec![under("best", dict(state(1.0))), under("last", dict(state(2.0)))],
        1.0,
        &[
            "the tensors under `best` were read; ignored beside them: last",
            "the tensors under `last` fit, too: to read them instead, --key last",
        ],
    );
}

#[test]
fn counters_and_measurements_of_a_training_are_left_out_and_counted() {
    let mut items = state(1.0);
    items.push(under("bn.num_batches_tracked", Value::tensor(&[], 5.0)));
    items.push(under("conv.total_ops", Value::tensor(&[1], 5.0)));
    items.push(under("best_acc1", Value::tensor(&[], 5.0)));
    items.push(under("epoch", Value::Int(5)));
    items.push(under("args", Value::Object("argparse", "Namespace")));
    items.push(under("position_ids", Value::tensor(&[4], 0.0).integers()));
    reads(
        items,
        1.0,
        &[
            "3 tensors that only training uses are left out: bn.num_batches_tracked, conv.total_ops, best_acc1",
            "1 tensor of integers is left out: position_ids",
            "1 value that is no tensor is left out: args",
        ],
    );
    let mut items = state(1.0);
    items.push(under("logit_scale", Value::tensor(&[], 5.0)));
    assert_eq!(
        bind(items).unwrap_err(),
        "the tensors do not fit toy (3 classes, input 1x4x4, width 1)\n1 unexpected: logit_scale\n\
         if the network computes its classes without them, leave them out: in Python, \
         {k: v for k, v in state.items() if k not in [\"logit_scale\"]}"
    );
}

// How tensors are written.

#[test]
fn every_form_of_a_dense_tensor_is_read() {
    let form = |change: fn(Value) -> Value| {
        let items: Vec<_> = state(1.0).into_iter().map(|(name, value)| (name, change(value))).collect();
        let read = bind(items).unwrap();
        assert_eq!(read.reading, Vec::<String>::new());
        read.parameters
    };
    let negated = |parameters: Parameters| -> Parameters {
        let negative = |t: FloatTensor| {
            FloatTensor::new(t.shape().to_vec(), t.values().iter().map(|value| -value).collect())
        };
        parameters.into_iter().map(|(name, tensor)| (name, negative(tensor))).collect()
    };
    assert_eq!(form(Value::parameter), values(1.0));
    assert_eq!(form(Value::parameter_with_attributes), values(1.0));
    assert_eq!(form(Value::tensor_with_attributes), values(1.0));
    assert_eq!(form(Value::untyped), values(1.0));
    assert_eq!(form(Value::of_a_device), values(1.0));
    assert_eq!(form(Value::numpy), values(1.0));
    assert_eq!(form(|value| value.with_metadata(&[("neg", true)])), negated(values(1.0)));
    assert_eq!(form(|value| value.with_metadata(&[("neg", true)]).in_a_parameter()), negated(values(1.0)));
    assert_eq!(form(|value| value.with_metadata(&[("conj", true), ("neg", false)])), values(1.0));
}

#[test]
fn what_is_not_understood_of_a_tensor_is_refused_by_name() {
    let said = |change: fn(Value) -> Value| {
        let change = |(name, value): (String, Value)| match name.as_str() {
            "fc.weight" => (name, change(value)),
            _ => (name, value),
        };
        bind(state(1.0).into_iter().map(change).collect()).unwrap_err()
    };
    for (change, expected) in [
        (
            (|value| value.with_metadata(&[("twisted", true)])) as fn(Value) -> Value,
            "fc.weight has metadata twisted, expected neg or conj",
        ),
        (
            |value| value.of_subclass("mine", "Twisted"),
            "fc.weight is of the subclass mine.Twisted, expected torch.Tensor or torch.nn.Parameter: in Python, \
             call .as_subclass(torch.Tensor) on the tensors and save them again",
        ),
        (
            |value| value.with_another_argument(),
            "fc.weight: the tensor has other arguments than PyTorch writes",
        ),
        (
            |_| Value::Call("torch._utils", "_rebuild_qtensor", vec![]),
            "fc.weight is built by torch._utils._rebuild_qtensor, expected a dense tensor: it is quantized: save \
             the float network, or in Python .dequantize() each tensor",
        ),
        (
            |_| Value::Call("torch._utils", "_rebuild_sparse_tensor", vec![]),
            "fc.weight is built by torch._utils._rebuild_sparse_tensor, expected a dense tensor: in Python, .to_dense() it",
        ),
        (
            |_| Value::Call("torch._utils", "_rebuild_meta_tensor_no_storage", vec![]),
            "fc.weight is built by torch._utils._rebuild_meta_tensor_no_storage, expected a dense tensor: it was on the \
             device `meta`, and the file has no values of it",
        ),
        (
            |value| value.integers(),
            "fc.weight holds integers, expected f64, f32, f16 or bf16: if the network is quantized, pass the float network",
        ),
        (
            |_| Value::Object("mine", "Thing"),
            "fc.weight is built by mine.Thing, expected tensors: save model.state_dict()",
        ),
    ] {
        assert_eq!(said(change), expected);
    }
    // Beside the parameters it is no matter.
    let items = vec![
        under("model", dict(state(1.0))),
        under("q", Value::Call("torch._utils", "_rebuild_qtensor", vec![])),
    ];
    assert!(bind(items).is_ok());
}

#[test]
fn weights_that_are_computed_from_others_are_refused_with_the_way_out() {
    for (parts, way_out) in [
        (&["weight_g", "weight_v"][..], "torch.nn.utils.remove_weight_norm(module)"),
        (&["weight_orig", "weight_mask"], "torch.nn.utils.prune.remove(module, \"weight\")"),
        (&["weight_orig", "weight_u", "weight_v"], "torch.nn.utils.remove_spectral_norm(module)"),
        (
            &["parametrizations.weight.original0", "parametrizations.weight.original1"],
            "torch.nn.utils.parametrize.remove_parametrizations(module, \"weight\")",
        ),
        (
            &["parametrizations.weight.original"],
            "torch.nn.utils.parametrize.remove_parametrizations(module, \"weight\")",
        ),
    ] {
        let mut items = state(1.0);
        items.retain(|(name, _)| name != "conv.weight");
        items.extend(parts.iter().map(|part| (format!("conv.{part}"), Value::tensor(&[2, 1, 3, 3], 1.0))));
        let said = bind(items).unwrap_err();
        assert!(said.contains("conv.weight is stored as `"), "{said}");
        let rest = format!(
            "expected the weight itself: in Python, call {way_out} for each such module, then save model.state_dict()"
        );
        assert!(said.ends_with(&rest), "{said}");
    }
}

// When nothing fits.

#[test]
fn what_differs_from_the_nearest_dict_is_said_in_a_few_lines() {
    let toy = "toy (3 classes, input 1x4x4, width 1)";
    let changed = |from: &str, to: &str| -> Vec<(String, Value)> {
        state(1.0).into_iter().map(|(name, value)| (name.replace(from, to), value)).collect()
    };
    assert_eq!(
        bind(vec![under("model", dict(prefixed("module.", changed("fc.", "head."))))]).unwrap_err(),
        format!(
            "the tensors under `model` without the prefix `module.` do not fit {toy}\n\
             2 missing: fc.weight [3, 2]; fc.bias [3]\n2 unexpected: head.bias; head.weight\n\
             they fit after a renaming: in Python, {{k.replace(\"head.\", \"fc.\"): v for k, v in state.items()}}"
        )
    );
    let classes = |(name, value): (String, Value)| match name.as_str() {
        "fc.weight" => (name, Value::tensor(&[7, 2], 0.0)),
        "fc.bias" => (name, Value::tensor(&[7], 0.0)),
        _ => (name, value),
    };
    assert_eq!(
        bind(state(1.0).into_iter().map(classes).collect()).unwrap_err(),
        format!(
            "the tensors do not fit {toy}\n\
             2 of another shape: fc.weight is [7, 2], expected [3, 2]; fc.bias is [7], expected [3]\n\
             the network in the file has 7 classes, the one asked for 3"
        )
    );
    assert_eq!(
        bind(prefixed("net_", state(1.0))).unwrap_err(),
        format!(
            "no dict in the file resembles {toy} (conv.weight [2, 1, 3, 3], bn.weight [2], bn.bias [2], ...); the \
             largest, the tensors, has 7: net_conv.weight [2, 1, 3, 3], net_bn.weight [2], net_bn.bias [2], ...\n\
             7 names differ by the prefix `net_`: --prefix net_"
        )
    );
    let file = archive(&dict(prefixed("net_", state(1.0))));
    let bound = bind_with(&file, &graph(), None, Some("net_")).unwrap();
    assert_eq!(bound.parameters, values(1.0));
    let file = archive(&dict(vec![under("a", dict(vec![under("b", dict(state(1.0)))]))]));
    assert_eq!(
        bind_with(&file, &graph(), Some("ema"), None).unwrap_err(),
        "--key is ema, expected keys that lead to tensors: a.b"
    );
    assert!(bind_with(&file, &graph(), Some("a"), None).is_ok());
    let said = bind_with(&file, &graph(), None, Some("model.")).unwrap_err();
    assert!(said.ends_with("\n--prefix is `model.`, expected a prefix of its names"), "{said}");
}

/// A state dict that nearly fits is refused with the line of Python that mends it, or the reason why nothing does.
#[test]
fn the_way_out_of_a_near_miss_is_said() {
    let way_out = |items: Vec<(String, Value)>| {
        let said = bind(items).unwrap_err();
        said.lines().last().unwrap().to_string()
    };
    let shaped = |name: &'static str, shape: &'static [usize]| {
        move |item: (String, Value)| if item.0 == name { (item.0, Value::tensor(shape, 1.0)) } else { item }
    };
    let transposed = state(1.0).into_iter().map(shaped("fc.weight", &[2, 3]));
    assert_eq!(
        way_out(transposed.clone().collect()),
        "they are transposed, as Keras stores them: in Python, \
         {k: v.t().contiguous() if k.endswith((\"fc.weight\",)) else v for k, v in state.items()}"
    );
    assert_eq!(
        way_out(transposed.map(shaped("conv.weight", &[3, 3, 1, 2])).collect()),
        "they are in Keras's order of axes (height, width, input, output): in Python, \
         {k: v.permute(3, 2, 0, 1).contiguous() if v.dim() == 4 else v.t().contiguous() if v.dim() == 2 else v \
         for k, v in state.items()}"
    );
    let keras = |name: String| {
        let replaced = name.replace("bn.weight", "bn.gamma").replace("bn.bias", "bn.beta");
        replaced.replace("running_mean", "moving_mean").replace("running_var", "moving_variance")
    };
    assert_eq!(
        way_out(state(1.0).into_iter().map(|(name, value)| (keras(name), value)).collect()),
        "they fit after a renaming: in Python, {k.replace(\".gamma\", \".weight\").replace(\".beta\", \".bias\")\
         .replace(\".moving_mean\", \".running_mean\").replace(\".moving_variance\", \".running_var\"): \
         v for k, v in state.items()}"
    );
    let backbone = |(name, value): (String, Value)| match name.starts_with("fc") {
        true => (name, value),
        false => (format!("backbone.{name}"), value),
    };
    assert_eq!(
        way_out(state(1.0).into_iter().map(backbone).collect()),
        "these are in the file without the prefix `backbone.`: in Python, \
         {k.removeprefix(\"backbone.\"): v for k, v in state.items()}"
    );
    let without = |part: &str| state(1.0).into_iter().filter(|(name, _)| !name.contains(part)).collect();
    assert_eq!(
        way_out(without("running")),
        "its batch norms have no running statistics (track_running_stats=False), so they depend on the batch: train the \
         network with them"
    );
    assert_eq!(
        way_out(without("fc")),
        "the file has all layers but the last, fc: save the network with its classifier"
    );
    // Two renamings fit, so none is advised.
    let ambiguous = |(name, value): (String, Value)| match name.as_str() {
        "bn.running_mean" => ("bn.first".into(), value),
        "bn.running_var" => ("bn.second".into(), value),
        _ => (name, value),
    };
    let said = way_out(state(1.0).into_iter().map(ambiguous).collect());
    assert_eq!(said, "2 unexpected: bn.first; bn.second");
}

#[test]
fn the_network_that_does_fit_is_said() {
    let network = |architecture: &str, variant: Option<Variant>, width: f64| {
        build(&zoo::model(architecture, variant, width, 10, [3, 32, 32]).unwrap()).unwrap()
    };
    let said = |file: Graph, asked: Graph| {
        let zeros = |spec: graph::ParameterSpec| (spec.name, Value::zeros(&spec.shape));
        let items = file.parameters().into_iter().map(zeros).collect();
        let said = bind_with(&archive(&dict(items)), &asked, None, None).unwrap_err();
        said.lines().last().unwrap().to_string()
    };
    let resnet18 = || network("resnet18", Some(Variant::Cifar), 0.25);
    let two_forms = "they fit --arch resnet34 --variant cifar or resnet34 --variant cifar-maxpool";
    let cases = [
        (network("resnet34", Some(Variant::Torchvision), 0.25), "they fit --arch resnet34"),
        (network("resnet34", Some(Variant::Cifar), 0.25), two_forms),
        (network("resnet18", None, 0.25), "they fit --arch resnet18"),
        (network("resnet20", None, 0.25), "they fit --arch resnet20"),
        (network("resnet18", Some(Variant::Cifar), 0.5), "they fit resnet18 with --width 0.5"),
    ];
    for (file, expected) in cases {
        assert_eq!(said(file, resnet18()), expected);
    }
}
