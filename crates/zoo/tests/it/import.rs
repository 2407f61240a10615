//! Files are built byte by byte, so that what is tested is the format and not a writer's habits.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use graph::{Graph, Layer, ModelSpec, Op};
use quant::{FloatTensor, Parameters};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};
use zoo::{Bound, ImportError, Selection, build, build_stored, read_checkpoint};

use crate::architectures::spec;

// Builders.

/// A pickle under construction, protocol 2.
#[derive(Clone)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    fn int(self, value: i64) -> Self {
        self.op(&[0x8a, 8]).op(&value.to_le_bytes())
    }

    fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.op(b"("), |p, &v| p.int(v)).op(b"t")
    }

    fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    fn storage(self, key: &str, class: &str, view: Option<&[i64]>) -> Self {
        let p = self.op(b"(").text("storage").global("torch", class).text(key).text("cpu").int(0);
        match view {
            Some([offset, size]) => p.op(b"(").text("view").int(*offset).int(*size).op(b"tt"),
            _ => p.op(b"Nt"),
        }
        .op(b"Q")
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`
    fn tensor(self, key: &str, class: &str, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"(")
            .storage(key, class, None)
            .int(offset)
            .ints(shape)
            .ints(strides)
            .op(b"\x89")
            .global("collections", "OrderedDict")
            .op(b")RtR")
    }

    fn stop(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// A dict of entries, each a key and what pushes its value.
fn dict(entries: &[(&str, &dyn Fn(Pickle) -> Pickle)]) -> Vec<u8> {
    let items = entries.iter().fold(Pickle::new().op(b"}("), |p, (key, value)| value(p.text(key)));
    items.op(b"u").stop()
}

/// One f32 tensor `w` of shape [2] in storage 0.
fn pair() -> Vec<u8> {
    dict(&[("w", &|p| p.tensor("0", "FloatStorage", 0, &[2], &[1]))])
}

fn zipped_with(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn zipped(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("net/data/{key}")).collect();
    let mut entries = vec![("net/data.pkl", pickle), ("net/byteorder", &b"little"[..])];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().map(|s| s.1)));
    zipped_with(CompressionMethod::Stored, &entries)
}

const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Storages are (key, number of elements, bytes).
fn legacy(pickle: &[u8], storages: &[(&str, i64, &[u8])]) -> Vec<u8> {
    let protocol = Pickle::new().op(b"M\xe9\x03").stop();
    let system = dict(&[("little_endian", &|p| p.op(b"\x88"))]);
    let keys = storages.iter().fold(Pickle::new().op(b"]("), |p, (key, ..)| p.text(key)).op(b"e").stop();
    let mut file = [MAGIC, &protocol, &system, pickle, &keys].concat();
    for (_, count, bytes) in storages {
        file.extend(count.to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn tensor(shape: &[usize], values: &[f32]) -> FloatTensor {
    FloatTensor::new(shape.to_vec(), values.to_vec())
}

// Readers.

/// The tensors of the largest dict.
fn read_state_dict(path: &Path) -> Result<Parameters, ImportError> {
    read_checkpoint(path)?.tensors(&Selection::default())
}

struct File(tempfile::TempDir);

impl File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("f")
    }

    fn read(&self, bytes: &[u8]) -> Result<Parameters, String> {
        fs::write(self.path(), bytes).unwrap();
        let result = read_state_dict(&self.path());
        let prefix = format!("{}: ", self.path().display());
        result.map_err(|e| e.to_string().strip_prefix(&prefix).expect("the error names the file").to_string())
    }

    /// Flips bits of the byte at `at`, which is `byte`, reads the file, and restores it. A flip in a name
    /// or a number is no error, so any answer will do; a panic will not.
    fn answers_with_flip(&self, at: usize, byte: u8, flip: u8) {
        let file = fs::File::options().write(true).open(self.path()).unwrap();
        file.write_all_at(&[byte ^ flip], at as u64).unwrap();
        drop(read_state_dict(&self.path()));
        file.write_all_at(&[byte], at as u64).unwrap();
    }
}

fn read(bytes: &[u8]) -> Result<Parameters, String> {
    File::new().read(bytes)
}

#[track_caller]
fn error(bytes: &[u8]) -> String {
    read(bytes).unwrap_err()
}

/// `fc.weight [2, 3]` and `fc.bias [2]`.
fn classifier() -> Graph {
    let layer = |name: &str, input, op| Layer { name: name.into(), inputs: vec![input], op };
    let layers = [layer("mean", 0, Op::GlobalAvgPool), layer("fc", 1, Op::Linear { features: 2 })];
    let model = ModelSpec::new("classifier", 2, [3, 2, 2]);
    build_stored(&model, &layers).unwrap()
}

/// What is read for a network.
fn bound(bytes: &[u8], graph: &Graph) -> Result<Bound, String> {
    let file = File::new();
    fs::write(file.path(), bytes).unwrap();
    let read = read_checkpoint(&file.path()).and_then(|file| file.bind(graph, &Selection::default()));
    let prefix = format!("{}: ", file.path().display());
    read.map_err(|e| e.to_string().strip_prefix(&prefix).expect("the error names the file").to_string())
}

/// The error of a zip with this pickle and a storage 0 of two f32.
#[track_caller]
fn pickle_error(pickle: &[u8]) -> String {
    error(&zipped(pickle, &[("0", &f32s(&[1.0, 2.0]))]))
}

// The real files.

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn real(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("ZEROSPACE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let path = data.join("checkpoints").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("\n*** SKIP: {} is missing; set ZEROSPACE_DATA to test with it ***\n", path.display());
    None
}

#[test]
fn both_real_files_are_one_network_that_binds() {
    let (Some(legacy), Some(zipped)) = (real("resnet20-cifar10.th"), real("resnet20-cifar10.pth")) else {
        return;
    };
    let graph = build(&spec("resnet20", 10, 32, 1.0)).unwrap();
    let read = |path: &Path| read_checkpoint(path).unwrap().bind(&graph, &Selection::default()).unwrap();
    let Bound { parameters: bound, reading } = read(&legacy);
    assert_eq!((&bound, &reading), (&read(&zipped).parameters, &read(&zipped).reading));
    assert_eq!(bound.len(), 97);
    assert_eq!(bound.values().map(|t| t.values().len()).sum::<usize>(), 271_098);
    assert_eq!(
        reading,
        [
            "the tensors under `state_dict` without the prefix `module.` were read; ignored beside them: best_prec1"
        ]
    );
    zoo::FloatNetwork::from_parameters(&graph, &bound).unwrap();

    // Read from the zip with Python's zipfile, pickle and struct.
    let ends = |name: &str| {
        let values = bound[name].values();
        (values[0], values[1], values[values.len() - 1])
    };
    assert_eq!(ends("conv1.weight"), (-0.138_181_46, -0.162_417_68, 0.308_710_2));
    assert_eq!(ends("layer3.2.bn2.running_var"), (0.301_602_27, 0.215_666_19, 0.175_081_33));
    assert_eq!(ends("linear.weight"), (-1.059_812_5, 0.568_857_85, 0.226_676_97));
    assert_eq!(ends("linear.bias"), (0.193_559_07, -0.343_100_88, -0.270_259_4));
}

#[test]
fn flipped_bytes_in_real_files_never_panic() {
    for (name, iterations) in [("resnet20-cifar10.th", 1500), ("resnet20-cifar10.pth", 750)] {
        let Some(path) = real(name) else { return };
        let bytes = fs::read(path).unwrap();
        let copy = File::new();
        fs::write(copy.path(), &bytes).unwrap();
        // The pickles are the first 14 KiB; a zip's directory is its last 10 KiB.
        let (head, tail) = (14_000, 10_000);
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for _ in 0..iterations {
            let at = match random(head + tail) {
                at if at < head => at,
                at => bytes.len() - 1 - (at - head),
            };
            let flip = 1 + random(255) as u8;
            copy.answers_with_flip(at, bytes[at], flip);
        }
        assert!(read_state_dict(&copy.path()).is_ok());
    }
}

// What is read.

#[test]
fn the_three_containers_hold_the_same() {
    let data = f32s(&[1.5, -2.5]);
    let expected = Parameters::from([("w".to_string(), tensor(&[2], &[1.5, -2.5]))]);
    assert_eq!(read(&zipped(&pair(), &[("0", &data)])), Ok(expected.clone()));
    assert_eq!(read(&legacy(&pair(), &[("0", 2, &data)])), Ok(expected.clone()));
    let entries: [(&str, &[u8]); 2] = [("a b/data.pkl", &pair()), ("a b/data/0", &data)];
    assert_eq!(read(&zipped_with(CompressionMethod::Deflated, &entries)), Ok(expected.clone()));
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).unwrap();
    assert_eq!(read(&safetensors::serialize([("w", view)], None).unwrap()), Ok(expected));
}

#[test]
fn views_select_from_shared_storages() {
    let pickle = dict(&[
        ("whole", &|p| p.tensor("0", "FloatStorage", 0, &[2, 3], &[3, 1])),
        ("transposed", &|p| p.tensor("0", "FloatStorage", 0, &[3, 2], &[1, 3])),
        ("offset", &|p| p.tensor("0", "FloatStorage", 4, &[2], &[1])),
        ("column", &|p| p.tensor("0", "FloatStorage", 1, &[2, 1], &[3, 1])),
        ("expanded", &|p| p.tensor("0", "FloatStorage", 5, &[2, 2], &[0, 0])),
        ("scalar", &|p| p.tensor("0", "FloatStorage", 2, &[], &[])),
        ("empty", &|p| p.tensor("0", "FloatStorage", 0, &[0, 3], &[3, 1])),
        ("other", &|p| p.tensor("1", "FloatStorage", 0, &[1], &[1])),
    ]);
    let data = f32s(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let expected = Parameters::from(
        [
            ("whole", tensor(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])),
            ("transposed", tensor(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])),
            ("offset", tensor(&[2], &[4.0, 5.0])),
            ("column", tensor(&[2, 1], &[1.0, 4.0])),
            ("expanded", tensor(&[2, 2], &[5.0; 4])),
            ("scalar", tensor(&[], &[2.0])),
            ("empty", tensor(&[0, 3], &[])),
            ("other", tensor(&[1], &[9.0])),
        ]
        .map(|(name, tensor)| (name.to_string(), tensor)),
    );
    let other = f32s(&[9.0]);
    assert_eq!(read(&zipped(&pickle, &[("0", &data), ("1", &other)])), Ok(expected.clone()));
    assert_eq!(read(&legacy(&pickle, &[("1", 1, &other), ("0", 6, &data)])), Ok(expected));
}

#[test]
fn a_legacy_view_of_a_storage_begins_at_its_offset() {
    let pickle = dict(&[("w", &|p| {
        p.global("torch._utils", "_rebuild_tensor")
            .op(b"(")
            .storage("0", "FloatStorage", Some(&[2, 2]))
            .int(1)
            .ints(&[1])
            .ints(&[1])
            .op(b"tR")
    })]);
    let parameters = read(&legacy(&pickle, &[("0", 4, &f32s(&[0.0, 1.0, 2.0, 3.0]))])).unwrap();
    assert_eq!(parameters["w"], tensor(&[1], &[3.0]));
}

#[test]
fn floats_become_f32_and_integers_are_left_out() {
    let pickle = dict(&[
        ("double", &|p| p.tensor("d", "DoubleStorage", 0, &[2], &[1])),
        ("half", &|p| p.tensor("h", "HalfStorage", 1, &[2], &[1])),
        ("bfloat16", &|p| p.tensor("b", "BFloat16Storage", 0, &[2], &[1])),
        ("bn.num_batches_tracked", &|p| p.tensor("l", "LongStorage", 0, &[], &[])),
        ("mask", &|p| p.tensor("m", "BoolStorage", 0, &[2], &[1])),
    ]);
    let double: Vec<u8> = [0.1f64, -1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
    let half = [0u16, 0x3c00, 0xc500].map(u16::to_le_bytes).concat();
    let bfloat16 = [0x3f80u16, 0xc0a0].map(u16::to_le_bytes).concat();
    let expected = Parameters::from(
        [
            ("double", tensor(&[2], &[0.1, f32::NEG_INFINITY])),
            ("half", tensor(&[2], &[1.0, -5.0])),
            ("bfloat16", tensor(&[2], &[1.0, -5.0])),
        ]
        .map(|(name, tensor)| (name.to_string(), tensor)),
    );
    let file = zipped(&pickle, &[("d", &double), ("h", &half), ("b", &bfloat16)]);
    assert_eq!(read(&file), Ok(expected.clone()));
    let file = legacy(
        &pickle,
        &[("b", 2, &bfloat16), ("d", 2, &double), ("h", 3, &half), ("l", 1, &[7; 8]), ("m", 2, &[1, 0])],
    );
    assert_eq!(read(&file), Ok(expected));
}

#[test]
fn safetensors_types_are_converted_too() {
    use safetensors::Dtype::{BF16, F8_E4M3, F16, F64, I64};
    let view = |dtype, bytes| safetensors::tensor::TensorView::new(dtype, vec![1], bytes).unwrap();
    let double = 0.5f64.to_le_bytes();
    let views = [
        ("d", view(F64, &double)),
        ("h", view(F16, &[0, 0x3c])),
        ("b", view(BF16, &[0x80, 0x3f])),
        ("n", view(I64, &[0; 8])),
    ];
    let expected =
        Parameters::from([("b", 1.0), ("d", 0.5), ("h", 1.0)].map(|(n, v)| (n.into(), tensor(&[1], &[v]))));
    assert_eq!(read(&safetensors::serialize(views, None).unwrap()), Ok(expected));
    let file = safetensors::serialize([("w", view(F8_E4M3, &[0]))], None).unwrap();
    assert_eq!(error(&file), "w has type F8_E4M3, expected f64, f32, f16 or bf16");
}

#[test]
fn python_writes_the_same_checkpoint_at_every_protocol() {
    let expected = Parameters::from(["a", "b"].map(|n| (n.into(), tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]))));
    let data = f32s(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    for pickle in [
        &include_bytes!("pickles/protocol2.pkl")[..],
        include_bytes!("pickles/protocol3.pkl"),
        include_bytes!("pickles/protocol4.pkl"),
        include_bytes!("pickles/protocol5.pkl"),
    ] {
        assert_eq!(read(&zipped(pickle, &[("7", &data)])), Ok(expected.clone()));
        assert_eq!(read(&legacy(pickle, &[("7", 6, &data)])), Ok(expected.clone()));
    }
}

#[test]
fn python_2_writes_byte_strings_and_lists_of_pairs() {
    let pair = |p: Pickle| p.op(b"](U\x01w").tensor("0", "FloatStorage", 0, &[2], &[1]).op(b"e");
    let pickle = pair(Pickle::new().global("collections", "OrderedDict").op(b"](")).op(b"e\x85R").stop();
    let parameters = read(&legacy(&pickle, &[("0", 2, &f32s(&[1.0, 2.0]))])).unwrap();
    assert_eq!(parameters["w"], tensor(&[2], &[1.0, 2.0]));
}

// What is refused.

#[test]
fn a_call_of_anything_else_is_inert_and_named_where_a_tensor_is_needed() {
    let attack = |p: Pickle| p.global("os", "system").text("touch /tmp/zerospace-was-here").op(b"\x85R");
    let good = |p: Pickle| p.tensor("0", "FloatStorage", 0, &[2], &[1]);
    assert_eq!(
        pickle_error(&dict(&[("w", &attack)])),
        "w is built by os.system, expected tensors: save model.state_dict()"
    );
    let network = classifier();
    let beside = dict(&[("fc.bias", &good), ("fc.weight", &attack)]);
    assert_eq!(
        bound(&zipped(&beside, &[("0", &f32s(&[1.0, 2.0]))]), &network).unwrap_err(),
        "fc.weight is built by os.system, expected tensors: save model.state_dict()"
    );
    assert_eq!(
        pickle_error(&attack(Pickle::new()).stop()),
        "the file holds an object built by os.system, expected parameters alone: save model.state_dict()"
    );
    let beside = dict(&[("args", &attack), ("net", &|p| good(p.op(b"}").text("w")).op(b"s"))]);
    assert!(read(&zipped(&beside, &[("0", &f32s(&[1.0, 2.0]))])).is_ok());
    assert!(!Path::new("/tmp/zerospace-was-here").exists());
}

#[test]
fn a_module_pickled_whole_is_refused_with_advice() {
    let place = |place: &str, key: &str| {
        format!(
            "the file holds a whole module (models.Net){place}, which only its own Python code can load, expected its \
             parameters alone. In Python, where that code is:
  model = torch.load(\"f\", weights_only=False){key}
  torch.save(model.state_dict(), \"f-state.pth\")"
        )
    };
    let pickle = include_bytes!("pickles/whole_module.pkl");
    assert_eq!(pickle_error(pickle), place(" under `model`", "[\"model\"]"));
    assert_eq!(
        bound(&zipped(pickle, &[]), &classifier()).unwrap_err(),
        place(" under `model`", "[\"model\"]")
    );
    // The legacy format refers to the class through a persistent id that carries its source.
    let module = Pickle::new()
        .op(b"(")
        .text("module")
        .global("models", "Net")
        .text("models.py")
        .text("class Net: pass")
        .op(b"tQ)\x81}(")
        .text("training")
        .op(b"\x88")
        .text("_parameters")
        .op(b"}")
        .text("_modules")
        .op(b"}ub")
        .stop();
    assert_eq!(error(&legacy(&module, &[])), place("", ""));
    let object = Pickle::new().global("models", "Net").op(b")\x81}b").stop();
    assert_eq!(
        error(&legacy(&object, &[])),
        "the file holds an object built by models.Net, expected parameters alone: save model.state_dict()"
    );
}

#[test]
fn tensors_of_other_kinds_are_named() {
    let sparse = |p: Pickle| p.global("torch._utils", "_rebuild_sparse_tensor").op(b")R");
    let good = |p: Pickle| p.tensor("0", "FloatStorage", 0, &[2], &[1]);
    assert_eq!(
        pickle_error(&dict(&[("v", &good), ("w", &sparse)])),
        "w is built by torch._utils._rebuild_sparse_tensor, expected a dense tensor: in Python, .to_dense() it"
    );
    let complex = |p: Pickle| p.tensor("0", "ComplexFloatStorage", 0, &[2], &[1]);
    assert_eq!(
        pickle_error(&dict(&[("w", &complex)])),
        "w has type complex64, expected f64, f32, f16 or bf16"
    );
    assert_eq!(
        error(&legacy(&dict(&[("w", &complex)]), &[("0", 1, &[0; 8])])),
        "w has type complex64, expected f64, f32, f16 or bf16"
    );
    // Beside the parameters it does not matter, if its size is known.
    let unknown = |p: Pickle| p.tensor("0", "OctonionStorage", 0, &[2], &[1]);
    assert_eq!(
        pickle_error(&dict(&[("w", &unknown)])),
        "w has type torch.OctonionStorage, expected f64, f32, f16 or bf16"
    );
    assert_eq!(
        error(&legacy(&dict(&[("w", &unknown)]), &[("0", 1, &[0; 8])])),
        "storage 0 has type torch.OctonionStorage, whose element size is unknown"
    );
}

#[test]
fn a_tensor_needs_a_name_and_the_last_of_two_counts() {
    let good = |p: Pickle| p.tensor("0", "FloatStorage", 0, &[2], &[1]);
    let long = "w".repeat(1025);
    assert_eq!(
        pickle_error(&dict(&[(&long, &good)])),
        format!("the name {}... has 1025 bytes, expected at most 1024", "w".repeat(200))
    );
    let second = |p: Pickle| p.tensor("1", "FloatStorage", 0, &[1], &[1]);
    let data = [f32s(&[1.0, 2.0]), f32s(&[3.0])];
    for (keys, expected) in [(["0", "1"], tensor(&[1], &[3.0])), (["1", "0"], tensor(&[2], &[1.0, 2.0]))] {
        let entries: [(&str, &dyn Fn(Pickle) -> Pickle); 2] =
            keys.map(|key| ("w", if key == "0" { &good as &dyn Fn(Pickle) -> Pickle } else { &second }));
        let parameters = read(&zipped(&dict(&entries), &[("0", &data[0]), ("1", &data[1])])).unwrap();
        assert_eq!(parameters["w"], expected);
    }
}

#[test]
fn views_that_leave_their_storage_are_refused() {
    let beyond = "w: the view reaches beyond its storage";
    for (offset, shape, strides, expected) in [
        (1, &[2][..], &[1][..], beyond),
        (0, &[3], &[1], beyond),
        (0, &[2], &[2], beyond),
        (i64::MAX, &[2], &[1], beyond),
        (0, &[2, 2], &[i64::MAX, i64::MAX], beyond),
        (0, &[i64::MAX, i64::MAX], &[0, 0], beyond),
        (-1, &[2], &[1], "w: the storage offset is not a size"),
        (0, &[-2], &[1], "w: the shape is not a tuple of at most 64 sizes"),
        (0, &[2], &[-1], "w: the strides are not a tuple of at most 64 sizes"),
        (0, &[2], &[1, 1], "w: the shape and the strides differ in length"),
        (0, &[1; 65], &[1; 65], "w: the shape is not a tuple of at most 64 sizes"),
    ] {
        let pickle = dict(&[("w", &|p| p.tensor("0", "FloatStorage", offset, shape, strides))]);
        assert_eq!(pickle_error(&pickle), expected);
    }
}

#[test]
fn small_files_cannot_expand_without_bound() {
    let expanded = dict(&[("w", &|p| p.tensor("0", "FloatStorage", 0, &[1 << 40], &[0]))]);
    let message = pickle_error(&expanded);
    assert!(message.starts_with("w takes more than 671"), "{message}");

    let many = Pickle::new().op(b"}(");
    let many = (0..20)
        .fold(many, |p, i| p.text(&format!("w{i:02}")).tensor("0", "FloatStorage", 0, &[1 << 20], &[0]));
    let message = pickle_error(&many.op(b"u").stop());
    assert!(message.starts_with("w16 takes more than"), "{message}");

    let zeros = vec![0; 80 << 20];
    let entries: [(&str, &[u8]); 2] = [("net/data.pkl", &pair()), ("net/data/0", &zeros)];
    let message = error(&zipped_with(CompressionMethod::Deflated, &entries));
    assert!(message.starts_with("net/data/0 takes more than"), "{message}");
}

#[test]
fn nesting_has_no_depth_that_hurts() {
    const DEPTH: usize = 1_000_000;
    let good = |p: Pickle| p.tensor("0", "FloatStorage", 0, &[2], &[1]);
    let tuples = |p: Pickle| p.op(b")").op(&b"\x85".repeat(DEPTH));
    let lists = |p: Pickle| p.op(&b"]".repeat(DEPTH)).op(&b"a".repeat(DEPTH - 1));
    let calls = |p: Pickle| p.global("a", "b").op(&b")R".repeat(DEPTH));
    let references = |p: Pickle| p.int(1).op(&b"Q".repeat(DEPTH));
    let storages = [("0", f32s(&[1.0, 2.0]))];
    let storages = [(storages[0].0, storages[0].1.as_slice())];
    let file = File::new();
    for ignored in [&tuples as &dyn Fn(Pickle) -> Pickle, &lists, &calls, &references] {
        assert!(file.read(&zipped(&dict(&[("x", ignored), ("w", &good)]), &storages)).is_ok());
    }
    for (opaque, class) in
        [(&calls as &dyn Fn(Pickle) -> Pickle, "a.b"), (&references, "a persistent reference")]
    {
        let message = file.read(&zipped(&dict(&[("x", opaque)]), &storages)).unwrap_err();
        assert_eq!(message, format!("x is built by {class}, expected tensors: save model.state_dict()"));
    }

    // `_rebuild_parameter` of itself a hundred thousand times, with no tensor at the bottom.
    let parameter = "ctorch._utils\n_rebuild_parameter\n";
    let start = Pickle::new().op(b"}").text("w").op(parameter.repeat(100_000).as_bytes()).op(b"N");
    let message =
        file.read(&zipped(&start.op(&b"\x89N\x87R".repeat(100_000)).op(b"s").stop(), &storages)).unwrap_err();
    assert_eq!(message, "w: the parameter wraps something that is not a dense tensor");

    // A dict that holds itself under `model`, and a list that holds itself.
    let cycle = Pickle::new().op(b"}q\0").text("model").op(b"h\0s").stop();
    let nothing = "the file holds no tensors with names, expected a state dict; its keys are";
    assert_eq!(file.read(&zipped(&cycle, &[])).unwrap_err(), format!("{nothing} [model]"));
    let cycle = Pickle::new().op(b"]q\0h\0a").stop();
    assert_eq!(file.read(&zipped(&cycle, &[])).unwrap_err(), format!("{nothing} [0]"));
    let number = Pickle::new().int(5).stop();
    let expected = "the file holds a value of type int, expected a dict of tensors";
    assert_eq!(file.read(&zipped(&number, &[])).unwrap_err(), expected);
}

#[test]
fn a_malformed_pickle_is_refused_with_its_position() {
    let error = |ops: &[u8]| pickle_error(&Pickle::new().op(ops).0);
    assert_eq!(error(b"h\x07."), "pickle: at byte 2: memo entry 7 was never stored");
    assert_eq!(error(b"N"), "pickle: at byte 3: the input ends too early");
}

#[test]
fn work_is_bounded() {
    // One long chain of parameters under many keys.
    let deep = b"ctorch._utils\n_rebuild_parameter\n".repeat(100_000);
    let chain = Pickle::new().op(&deep).op(b"N").op(&b"\x89N\x87R".repeat(100_000)).op(b"q\0");
    let many = chain.op(b"}(").op(&b"U\x01wh\0".repeat(100_000)).op(b"u").stop();
    assert_eq!(pickle_error(&many), "w: the parameter wraps something that is not a dense tensor");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let data = f32s(&[1.5, -2.5]);
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).unwrap();
    let deflated: [(&str, &[u8]); 2] = [("net/data.pkl", &pair()), ("net/data/0", &data)];
    let file = File::new();
    for whole in [
        zipped(&pair(), &[("0", &data)]),
        zipped_with(CompressionMethod::Deflated, &deflated),
        legacy(&pair(), &[("0", 2, &data)]),
        safetensors::serialize([("w", view)], None).unwrap(),
    ] {
        assert!(file.read(&whole).is_ok());
        let cut = fs::File::options().write(true).open(file.path()).unwrap();
        for length in (0..whole.len()).rev() {
            cut.set_len(length as u64).unwrap();
            assert!(read_state_dict(&file.path()).is_err(), "cut at {length} of {}", whole.len());
        }
    }
}

#[test]
fn any_flipped_byte_of_small_files_has_an_answer() {
    let data = f32s(&[1.5, -2.5]);
    let file = File::new();
    for whole in [zipped(&pair(), &[("0", &data)]), legacy(&pair(), &[("0", 2, &data)])] {
        assert!(file.read(&whole).is_ok());
        for (at, &byte) in whole.iter().enumerate() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                file.answers_with_flip(at, byte, flip);
            }
        }
    }
}

#[test]
fn damaged_containers_are_refused() {
    let data = f32s(&[1.0, 2.0]);
    assert_eq!(
        error(b""),
        "the file begins with [], expected a safetensors file or one written by torch.save"
    );
    assert_eq!(
        error(b"a text file"),
        "the file begins with [61, 20, 74, 65, 78, 74, 20, 66], expected a safetensors file or one written by \
         torch.save"
    );
    let middle: [(&str, &[u8]); 2] = [("net/data.pkl", &pair()), ("net/byteorder", b"middle")];
    assert_eq!(
        error(&zipped_with(CompressionMethod::Stored, &middle)),
        "byte order is `middle`, expected `little` or `big`"
    );
    let other: [(&str, &[u8]); 1] = [("readme.txt", b"")];
    assert_eq!(
        error(&zipped_with(CompressionMethod::Stored, &other)),
        "the zip holds no data.pkl, expected one written by torch.save"
    );
    assert_eq!(error(&zipped(&pair(), &[])), "storage 0 is missing or truncated");
    assert_eq!(error(&zipped(&pair(), &[("0", &data[..7])])), "w: the view reaches beyond its storage");

    assert_eq!(error(&legacy(&pair(), &[])), "storage 0 is missing or truncated");
    assert_eq!(error(&legacy(&pair(), &[("0", 2, &data[..7])])), "storage 0 is missing or truncated");
    assert_eq!(error(&legacy(&pair(), &[("0", -1, &data)])), "storage 0 is missing or truncated");
    assert_eq!(error(&legacy(&pair(), &[("0", i64::MAX, &data)])), "storage 0 is missing or truncated");
    assert_eq!(
        error(&legacy(&pair(), &[("1", 2, &data)])),
        "no tensor refers to storage 1, so its element size is unknown"
    );
    let two_types = dict(&[
        ("v", &|p| p.tensor("0", "FloatStorage", 0, &[2], &[1])),
        ("w", &|p| p.tensor("0", "HalfStorage", 0, &[2], &[1])),
    ]);
    assert_eq!(error(&legacy(&two_types, &[("0", 2, &data)])), "storage 0 has two types");
    assert_eq!(
        error(b"\x80\x02\x8a\x01\x05."),
        "not written by torch.save: the first pickle is not PyTorch's magic number"
    );
    assert_eq!(
        error(&[MAGIC, b"\x80\x02K\x01."].concat()),
        "the second pickle is not protocol version 1001 of torch.save"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = read_state_dict("/nowhere/a.pth".as_ref()).unwrap_err();
    assert_eq!(error.to_string(), "/nowhere/a.pth: No such file or directory (os error 2)");
}

/// Every item of a dict hangs on the end of one chain of calls, which would have to be followed for each.
#[test]
fn a_chain_of_calls_is_not_followed_item_by_item() {
    let mut pickle = Pickle::new().op(b"}(N");
    for _ in 0..200_000 {
        pickle = pickle.op(b")R");
    }
    pickle = pickle.op(b"q\x000");
    for item in 0..200_000 {
        pickle = pickle.op(b"X\x06\0\0\0").op(format!("{item:06}").as_bytes()).op(b"h\0");
    }
    let began = std::time::Instant::now();
    let message = pickle_error(&pickle.clone().op(b"u").stop());
    assert_eq!(message, "000000 is built by a call of None, expected tensors: save model.state_dict()");
    let pickle = pickle.text("w").tensor("0", "FloatStorage", 0, &[2], &[1]).op(b"u").stop();
    assert!(read(&zipped(&pickle, &[("0", &f32s(&[1.0, 2.0]))])).is_ok());
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn a_name_in_a_message_cannot_command_the_terminal() {
    let name = "a\x1b[2J\nb";
    let pickle = dict(&[(name, &|p| p.global("os", "system"))]);
    let expected = r"a\u{1b}[2J\nb is built by os.system, expected tensors: save model.state_dict()";
    assert_eq!(pickle_error(&pickle), expected);
}
