//! Complete trainings of a small network on a small set.

use std::collections::HashMap;

use data::{ImageSet, ImageShape, Split};
use ecc::{Constraint, TensorRanges};
use graph::{Conv, Function, Graph, Layer, ModelSpec, Op, Preprocessing};
use quant::FloatTensor;
use wot::{
    Augmentation, BitErrors, Check, Method, Recipe, Scale, Schedule, StateError, Trained, Trainer,
    Validation, WotError,
};

use crate::noise::noise;

const NARROW: Constraint =
    Constraint { low: [-32, -32, -32, -32, -32, -32, -32, -64], high: [31, 31, 31, 31, 31, 31, 31, 63] };

fn graph() -> Graph {
    let spec = ModelSpec { width: 0.25, ..ModelSpec::new("resnet20", 4, [3, 8, 8]) };
    zoo::build(&spec).unwrap()
}

/// Four classes of noisy colours.
fn images(count: usize) -> ImageSet {
    let shape = ImageShape { channels: 3, height: 8, width: 8 };
    let labels: Vec<u16> = (0..count).map(|i| (i * 7 % 4) as u16).collect();
    let values = noise(count * 192, 5);
    let pixels = values.iter().enumerate().map(|(i, noise)| {
        let (label, channel) = (labels[i / 192], i / 64 % 3);
        let center = if usize::from(label) == channel { 160.0 } else { 100.0 };
        (center + noise * 150.0) as u8
    });
    ImageSet::new("colours", Split::Train, shape, 4, pixels.collect(), labels.clone()).unwrap()
}

fn preprocessing() -> Preprocessing {
    Preprocessing::new(vec![0.45; 3], vec![0.25; 3]).unwrap()
}

fn recipe(method: Method) -> Recipe {
    Recipe {
        method,
        scale: Scale::Largest,
        bit_errors: None,
        iterations: 12,
        batch_images: 8,
        schedule: Schedule::Cosine { rate: 0.01 },
        momentum: 0.9,
        weight_decay: 1e-4,
        augmentation: Some(Augmentation { shift: 1, mirror: true }),
        validation: Validation { images: 20, seed: 1 },
        check_every: 4,
        seed: 2,
    }
}

fn trainer(method: Method) -> Trainer {
    Trainer::new(&graph(), wot::initialize(&graph(), 3), &preprocessing(), recipe(method)).unwrap()
}

/// A range of its own for every third tensor, none for the others.
fn of_tensors() -> TensorRanges {
    let tensors = graph().stored_weights();
    let names = tensors.iter().enumerate();
    let range = |i: usize| if i.is_multiple_of(3) { NARROW } else { Constraint::NONE };
    TensorRanges::of_each(names.map(|(i, spec)| (spec.name.clone(), range(i))))
}

fn methods() -> [Method; 5] {
    let admm = Method::Admm { constraint: Constraint::WOT.into(), beta: 0.0015, dual_every: 3 };
    [
        Method::Float,
        Method::QATT,
        Method::Qatt { constraint: NARROW.into() },
        Method::Qatt { constraint: of_tensors() },
        admm,
    ]
}

fn run(trainer: &mut Trainer) -> Vec<Check> {
    std::iter::from_fn(|| trainer.next_check(&images(70), |_, _| {}).unwrap()).collect()
}

fn bits(trainer: &Trainer) -> Vec<(String, Vec<u32>)> {
    let bits =
        |(name, tensor): (String, FloatTensor)| (name, tensor.values().iter().map(|v| v.to_bits()).collect());
    trainer.parameters().into_iter().map(bits).collect()
}

fn start() -> quant::Parameters {
    wot::initialize(&graph(), 3)
}

#[test]
fn stopping_and_resuming_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for method in methods() {
        let mut whole = trainer(method.clone());
        let expected = run(&mut whole);
        assert_eq!(expected.iter().map(|check| check.iteration).collect::<Vec<_>>(), [0, 4, 8, 12]);
        for stop in 1..4 {
            let mut first = trainer(method.clone());
            let mut checks: Vec<Check> =
                (0..stop).map(|_| first.next_check(&images(70), |_, _| {}).unwrap().unwrap()).collect();
            first.save(&path).unwrap();
            drop(first);
            let mut second =
                Trainer::resume(&graph(), &start(), &preprocessing(), recipe(method.clone()), &path).unwrap();
            checks.extend(run(&mut second));
            assert_eq!(format!("{checks:?}"), format!("{expected:?}"), "{method:?}, stopped at check {stop}");
            assert_eq!(bits(&second), bits(&whole), "{method:?}, stopped at check {stop}");
            if method != Method::Float && stop == 1 {
                let second =
                    Trainer::resume(&graph(), &start(), &preprocessing(), recipe(method.clone()), &path)
                        .unwrap();
                second.save(&path).unwrap();
                let mut second =
                    Trainer::resume(&graph(), &start(), &preprocessing(), recipe(method.clone()), &path)
                        .unwrap();
                run(&mut second);
                assert_eq!(second.finish().unwrap(), finish(method.clone()));
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }
}

/// If the second pass of an iteration with bit errors flips no bits, it equals the first pass.
#[test]
fn bit_errors_change_nothing_else_in_a_training() {
    let with = |bit_errors| {
        let recipe = Recipe { bit_errors, ..recipe(Method::QATT) };
        let mut trainer =
            Trainer::new(&graph(), wot::initialize(&graph(), 3), &preprocessing(), recipe).unwrap();
        let checks = run(&mut trainer);
        (format!("{checks:?}"), bits(&trainer))
    };
    let never = Some(BitErrors { rate: 1e-30, bits: 0xff });
    let plain = with(None);
    assert!(with(never) == plain);
    let often = with(Some(BitErrors { rate: 0.1, bits: 0xff }));
    assert!(often != plain);
    assert!(with(Some(BitErrors { rate: 0.1, bits: 0x0f })) != often);
    assert!(with(Some(BitErrors { rate: 0.1, bits: 0xff })) == often);
}

#[test]
fn a_training_with_bit_errors_and_another_scale_resumes_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    for scale in [Scale::LeastError, Scale::Clipped { deviations: 2.0 }] {
        let bit_errors = Some(BitErrors { rate: 0.01, bits: 0xff });
        let recipe = Recipe { scale, bit_errors, ..recipe(Method::Qatt { constraint: NARROW.into() }) };
        let new =
            |recipe| Trainer::new(&graph(), wot::initialize(&graph(), 3), &preprocessing(), recipe).unwrap();
        let mut whole = new(recipe.clone());
        run(&mut whole);
        let mut first = new(recipe.clone());
        first.next_check(&images(70), |_, _| {}).unwrap();
        first.next_check(&images(70), |_, _| {}).unwrap();
        first.save(&path).unwrap();
        let mut second = Trainer::resume(&graph(), &start(), &preprocessing(), recipe, &path).unwrap();
        run(&mut second);
        assert_eq!(bits(&second), bits(&whole));
        let trained = second.finish().unwrap();
        assert!(trained.weights.iter().all(|w| NARROW.violations(w.values()).next().is_none()));
    }
}

fn finish(method: Method) -> Trained {
    let mut trainer = trainer(method);
    run(&mut trainer);
    trainer.finish().unwrap()
}

#[test]
fn threads_change_no_bit() {
    let on = |threads: usize, method: Method| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = trainer(method);
            let checks = run(&mut trainer);
            (format!("{checks:?}"), bits(&trainer))
        })
    };
    for method in [Method::Float, Method::QATT] {
        let expected = on(1, method.clone());
        for threads in [2, 5] {
            assert!(on(threads, method.clone()) == expected, "{method:?} on {threads} threads");
        }
    }
}

#[test]
fn every_stored_weight_satisfies_the_constraint() {
    for method in methods() {
        let Some(constraint) = method.constraint().cloned() else { continue };
        let initial = wot::initialize(&graph(), 3);
        let trained = finish(method.clone());
        let names: Vec<String> = graph().stored_weights().into_iter().map(|spec| spec.name).collect();
        assert_eq!(trained.weights.iter().map(quant::QuantTensor::name).collect::<Vec<_>>(), names);
        for tensor in &trained.weights {
            assert_eq!(
                constraint.of(tensor.name()).violations(tensor.values()).count(),
                0,
                "{method:?}: {}",
                tensor.name()
            );
            assert!(tensor.values().iter().all(|&value| value != i8::MIN));
            // The scale is exactly that of the initial weights.
            let start = quant::QuantTensor::quantize(tensor.name(), &initial[tensor.name()]).unwrap();
            assert_eq!(tensor.scale(), start.scale(), "{method:?}: {}", tensor.name());
        }
        // Levels survive a conversion to real numbers and back.
        for tensor in &trained.weights {
            let back: Vec<i8> = tensor
                .dequantize()
                .values()
                .iter()
                .map(|w| (w * tensor.scale().of(0).get()).round_ties_even() as i8)
                .collect();
            assert_eq!(back, tensor.values());
        }
    }
}

#[test]
fn training_learns_and_reduces_large_values() {
    let graph = graph();
    let float = Recipe { iterations: 100, check_every: 100, ..recipe(Method::Float) };
    let mut first =
        Trainer::new(&graph, wot::initialize(&graph, 3), &preprocessing(), float.clone()).unwrap();
    let mut seen = Vec::new();
    let mut last = None;
    while let Some(check) = first.next_check(&images(200), |i, loss| seen.push((i, loss))).unwrap() {
        last = Some(check);
    }
    let last = last.unwrap();
    assert!(last.throttled.is_none());
    assert!(last.correct >= 16, "{last:?}");
    assert_eq!(seen.iter().map(|(i, _)| *i).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());

    let parameters = first.parameters();
    for method in [Method::QATT, Method::ADMM] {
        let recipe = Recipe { method: method.clone(), iterations: 30, check_every: 10, ..float.clone() };
        let mut second = Trainer::new(&graph, parameters.clone(), &preprocessing(), recipe).unwrap();
        let checks: Vec<Check> =
            std::iter::from_fn(|| second.next_check(&images(200), |_, _| {}).unwrap()).collect();
        let large: Vec<usize> =
            checks.iter().map(|check| check.throttled.as_ref().unwrap().large_values).collect();
        assert!(large[0] > 0 && checks[0].loss.is_nan(), "{checks:?}");
        if method == Method::QATT {
            assert!(large[1..].iter().all(|later| *later < large[0]), "{large:?}");
        }
        let trained = second.finish().unwrap();
        // QATT throttles its weights at the last check; ADMM's weights stay unthrottled until the end.
        let left = if method == Method::QATT { 0 } else { *large.last().unwrap() };
        assert_eq!(trained.clamped_at_end, left);
    }
}

#[test]
fn another_training_or_a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let mut saved = trainer(Method::QATT);
    saved.next_check(&images(70), |_, _| {}).unwrap();
    saved.save(&path).unwrap();
    let resume = |recipe: Recipe, preprocessing: &Preprocessing| {
        Trainer::resume(&graph(), &start(), preprocessing, recipe, &path).map(|_| ()).unwrap_err()
    };
    let other = [
        Recipe { seed: 9, ..recipe(Method::QATT) },
        Recipe { momentum: 0.8, ..recipe(Method::QATT) },
        recipe(Method::ADMM),
    ];
    for recipe in other {
        let error = resume(recipe, &preprocessing());
        assert!(
            matches!(error, WotError::State { kind: StateError::OtherTraining { what: "recipe", .. }, .. }),
            "{error}"
        );
    }
    let error = resume(recipe(Method::QATT), &Preprocessing::new(vec![0.0; 3], vec![1.0; 3]).unwrap());
    assert!(error.to_string().contains(r#"preprocessing is {"mean":["#), "{error}");

    // Other first parameters, as of another float network, are another training; an older state does not know.
    let other = wot::initialize(&graph(), 4);
    let resume_from_other =
        || Trainer::resume(&graph(), &other, &preprocessing(), recipe(Method::QATT), &path).map(drop);
    let error = resume_from_other().unwrap_err().to_string();
    assert!(
        error.contains("start is ") && error.ends_with("the state belongs to another training"),
        "{error}"
    );
    let bytes = std::fs::read(&path).unwrap();
    let older = with_metadata(&bytes, |metadata| {
        metadata["version"] = 2.into();
        metadata.as_object_mut().unwrap().remove("start");
    });
    std::fs::write(&path, older).unwrap();
    resume_from_other().unwrap();

    for len in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert!(matches!(resume(recipe(Method::QATT), &preprocessing()), WotError::State { .. }));
    }
    // The tensor `scales` comes after `ranges` and is the last in the file.
    let mut negative = bytes.clone();
    let end = negative.len();
    negative[end - 1] |= 0x80;
    std::fs::write(&path, negative).unwrap();
    let error = resume(recipe(Method::QATT), &preprocessing()).to_string();
    assert!(error.contains(" of tensor scales is -") && error.ends_with("expected at least 0"), "{error}");
    let mut zero = bytes.clone();
    zero[end - 4..].fill(0);
    std::fs::write(&path, zero).unwrap();
    let error = resume(recipe(Method::QATT), &preprocessing()).to_string();
    assert!(
        error.contains("scale of ") && error.ends_with(" is 0, expected a finite positive number"),
        "{error}"
    );
    let mut infinite = bytes.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&path, infinite).unwrap();
    let error = resume(recipe(Method::QATT), &preprocessing()).to_string();
    assert!(
        error.contains("state.safetensors: value ") && error.contains(" is inf, expected a finite"),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    let error = resume(recipe(Method::QATT), &preprocessing());
    assert!(matches!(error, WotError::State { kind: StateError::Io(_), .. }), "{error}");
}

/// Returns a state's file with its metadata edited.
fn with_metadata(bytes: &[u8], edit: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).unwrap();
    let text = &header.metadata().as_ref().unwrap()["zerospace-training"];
    let mut metadata = serde_json::from_str(text).unwrap();
    edit(&mut metadata);
    let entry = HashMap::from([("zerospace-training".to_string(), metadata.to_string())]);
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    safetensors::serialize(file.tensors(), Some(entry)).unwrap()
}

/// Texts in the files of states. None may change without another version of the format.
const NETWORK: &str = r#"{"architecture":"resnet20","classes":4,"input":[3,8,8],"width":0.25}"#;
const PREPROCESSING: &str = r#"{"mean":[0.45,0.45,0.45],"std":[0.25,0.25,0.25]}"#;
const RECIPE: &str = concat!(
    r#"{"method":{"admm":{"constraint":[[-64,-64,-64,-64,-64,-64,-64,-128],[63,63,63,63,63,63,63,127]],"#,
    r#""beta":0.0015,"dual_every":100}},"scale":"largest","bit_errors":null,"iterations":12,"batch_images":8,"#,
    r#""schedule":{"cosine":{"rate":0.01}},"momentum":0.9,"weight_decay":0.0001,"#,
    r#""augmentation":{"shift":1,"mirror":true},"validation":{"images":20,"seed":1},"check_every":4,"seed":2}"#,
);

#[test]
fn a_state_names_its_training_by_json_and_that_of_version_1_by_debug_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let mut saved = trainer(Method::ADMM);
    saved.next_check(&images(70), |_, _| {}).unwrap();
    saved.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let resume = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Trainer::resume(&graph(), &start(), &preprocessing(), recipe(Method::ADMM), &path)
    };

    with_metadata(&bytes, |metadata| {
        assert_eq!(metadata["version"], 3);
        assert_eq!(metadata["network"], NETWORK);
        assert_eq!(metadata["preprocessing"], PREPROCESSING);
        assert_eq!(metadata["recipe"], RECIPE);
    });
    let first = with_metadata(&bytes, |metadata| {
        metadata["version"] = 1.into();
        metadata["network"] = format!("{:?}", graph().spec()).into();
        metadata["preprocessing"] = format!("{:?}", preprocessing()).into();
        metadata["recipe"] = format!("{:?}", recipe(Method::ADMM)).into();
    });
    assert_eq!(resume(&first).unwrap().parameters(), resume(&bytes).unwrap().parameters());
    let other = with_metadata(&first, |metadata| metadata["recipe"] = RECIPE.into());
    let error = resume(&other).map(drop).unwrap_err().to_string();
    assert!(error.contains("recipe is {") && error.contains("expected Recipe {"), "{error}");
    let newer = with_metadata(&bytes, |metadata| metadata["version"] = 4.into());
    let error = resume(&newer).map(drop).unwrap_err().to_string();
    let expected = "format version 4, newest known is 3: a newer zerospace reads the file";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn recipes_that_cannot_be_used_are_refused() {
    let base = || recipe(Method::QATT);
    let bad = [
        ("iterations", Recipe { iterations: 0, ..base() }),
        ("check_every", Recipe { check_every: 0, ..base() }),
        ("batch_images", Recipe { batch_images: 1, ..base() }),
        ("momentum", Recipe { momentum: 1.0, ..base() }),
        ("weight_decay", Recipe { weight_decay: f32::NAN, ..base() }),
        ("rate", Recipe { schedule: Schedule::Constant { rate: 0.0 }, ..base() }),
        ("every", Recipe { schedule: Schedule::Step { rate: 0.1, every: 0, factor: 0.5 }, ..base() }),
        ("factor", Recipe { schedule: Schedule::Step { rate: 0.1, every: 1, factor: -0.5 }, ..base() }),
        (
            "beta",
            Recipe { method: Method::Admm { constraint: NARROW.into(), beta: 0.0, dual_every: 1 }, ..base() },
        ),
        ("clip", Recipe { scale: Scale::Clipped { deviations: 0.0 }, ..base() }),
        ("bit_errors.rate", Recipe { bit_errors: Some(BitErrors { rate: 0.0, bits: 1 }), ..base() }),
        ("bit_errors.bits", Recipe { bit_errors: Some(BitErrors { rate: 0.1, bits: 0 }), ..base() }),
        ("method", Recipe { scale: Scale::LeastError, ..recipe(Method::Float) }),
        (
            "dual_every",
            Recipe { method: Method::Admm { constraint: NARROW.into(), beta: 0.1, dual_every: 0 }, ..base() },
        ),
        (
            "constraint",
            Recipe {
                method: Method::Qatt { constraint: Constraint { low: [1; 8], high: [5; 8] }.into() },
                ..base()
            },
        ),
    ];
    for (name, recipe) in bad {
        let result = Trainer::new(&graph(), wot::initialize(&graph(), 3), &preprocessing(), recipe);
        match result.map(|_| ()) {
            Err(WotError::Recipe { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn images_and_parameters_that_do_not_fit_are_refused() {
    let error = trainer(Method::QATT).next_check(&images(27), |_, _| {}).unwrap_err();
    assert_eq!(error.to_string(), "27 training images, expected at least 28: 20 held out and a batch");
    let grey = ImageShape { channels: 1, height: 8, width: 8 };
    let grey = ImageSet::new("grey", Split::Train, grey, 4, vec![0; 64 * 40], vec![0; 40]).unwrap();
    let error = trainer(Method::QATT).next_check(&grey, |_, _| {}).unwrap_err();
    assert!(matches!(error, WotError::Images { found: [1, 8, 8], .. }), "{error}");

    let mut parameters = wot::initialize(&graph(), 3);
    parameters.insert("linear.bias".into(), FloatTensor::new(vec![4], vec![0.0, f32::NAN, 0.0, 0.0]));
    let new = |parameters, preprocessing: &Preprocessing| {
        Trainer::new(&graph(), parameters, preprocessing, recipe(Method::QATT)).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        new(parameters, &preprocessing()).to_string(),
        "value 1 of linear.bias is NaN, expected a finite number"
    );
    let grey = Preprocessing::new(vec![0.0], vec![1.0]).unwrap();
    let error = new(wot::initialize(&graph(), 3), &grey);
    assert!(matches!(error, WotError::Preprocessing(_)), "{error}");
    let error = new(Default::default(), &preprocessing());
    assert_eq!(error.to_string(), "parameter conv1.weight is missing");
}

#[test]
fn attention_is_refused_by_name() {
    let layer = |name: &str, inputs: &[usize], op| Layer { name: name.into(), inputs: inputs.into(), op };
    let layers = [
        layer("attention", &[0, 0, 0], Op::Attention { heads: 1, scale: 0.5 }),
        layer("mean", &[1], Op::GlobalAvgPool),
        layer("linear", &[2], Op::Linear { features: 4 }),
    ];
    let graph = Graph::listed(&ModelSpec::new("attention", 4, [3, 8, 8]), &layers).unwrap();
    let parameters = wot::initialize(&graph, 3);
    let error =
        Trainer::new(&graph, parameters, &preprocessing(), recipe(Method::QATT)).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer attention is Attention { heads: 1, scale: 0.5 }, which cannot be trained here, expected a network without it"
    );
}

/// A network of listed layers, with one activation.
fn listed(activation: Op) -> Graph {
    let conv = Conv {
        channels: 6,
        groups: 1,
        bias: true,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
    };
    let ops = [Op::Conv(conv), activation, Op::GlobalAvgPool, Op::Linear { features: 4 }];
    let named = ops.into_iter().zip(["conv", "activation", "mean", "logits"]).enumerate();
    let layers: Vec<Layer> =
        named.map(|(place, (op, name))| Layer { name: name.into(), inputs: vec![place], op }).collect();
    Graph::listed(&ModelSpec::new("listed", 4, [3, 8, 8]), &layers).unwrap()
}

/// Networks of one name and size differ in their layers, which a state knows.
#[test]
fn a_training_of_listed_layers_resumes_with_the_same_layers_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let silu = listed(Op::Function(Function::Silu));
    let new = |graph: &Graph| {
        Trainer::new(graph, wot::initialize(graph, 3), &preprocessing(), recipe(Method::QATT)).unwrap()
    };
    let mut whole = new(&silu);
    run(&mut whole);
    let mut first = new(&silu);
    first.next_check(&images(70), |_, _| {}).unwrap();
    first.next_check(&images(70), |_, _| {}).unwrap();
    first.save(&path).unwrap();
    let resume = |graph: &Graph| {
        Trainer::resume(graph, &wot::initialize(graph, 3), &preprocessing(), recipe(Method::QATT), &path)
    };
    let mut second = resume(&silu).unwrap();
    run(&mut second);
    assert_eq!(bits(&second), bits(&whole));
    let error = resume(&listed(Op::Function(Function::HardSwish))).map(drop).unwrap_err();
    assert!(
        matches!(error, WotError::State { kind: StateError::OtherTraining { what: "network", .. }, .. }),
        "{error}"
    );
}

#[test]
fn slopes_of_a_parametric_relu_begin_at_a_quarter() {
    let graph = listed(Op::PRelu);
    assert_eq!(wot::initialize(&graph, 3)["activation.weight"].values(), [0.25; 6]);
    let mut trainer =
        Trainer::new(&graph, wot::initialize(&graph, 3), &preprocessing(), recipe(Method::QATT)).unwrap();
    run(&mut trainer);
    assert_ne!(trainer.parameters()["activation.weight"].values(), [0.25; 6]);
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let mut trainer = trainer(Method::QATT);
    let mut step = |shape: &[usize], labels: &[u16]| {
        let images = FloatTensor::new(shape.to_vec(), vec![0.5; shape.iter().product()]);
        trainer.step(&images, labels).map(|_| ()).map_err(|error| error.to_string())
    };
    let wrong = |found: &str, labels: usize| {
        Err(format!(
            "a batch is {found} with {labels} labels, expected at least 2 images of [3, 8, 8], each with one"
        ))
    };
    assert_eq!(step(&[2, 3, 8, 9], &[0, 1]), wrong("[2, 3, 8, 9]", 2));
    assert_eq!(step(&[2, 3, 8, 8], &[0, 1, 2]), wrong("[2, 3, 8, 8]", 3));
    assert_eq!(step(&[1, 3, 8, 8], &[0]), wrong("[1, 3, 8, 8]", 1));
    assert_eq!(step(&[2, 3, 8, 8], &[0, 4]), Err("label 1 is 4, expected less than 4".into()));
    assert_eq!(step(&[2, 3, 8, 8], &[0, 3]), Ok(()));
}

#[test]
fn a_diverging_training_is_an_error() {
    let recipe =
        Recipe { schedule: Schedule::Constant { rate: 1e30 }, iterations: 50, ..recipe(Method::Float) };
    let mut trainer = Trainer::new(&graph(), wot::initialize(&graph(), 3), &preprocessing(), recipe).unwrap();
    let error =
        std::iter::repeat_with(|| trainer.next_check(&images(70), |_, _| {})).find_map(Result::err).unwrap();
    assert!(matches!(error, WotError::Diverged { iteration: 2.., .. }), "{error}");
}

#[test]
fn a_float_network_has_no_int8_form() {
    let error = trainer(Method::Float).finish().unwrap_err();
    assert_eq!(error.to_string(), "an int8 network requires a quantizing method");
    let error = trainer(Method::QATT).finish().unwrap_err();
    assert_eq!(error.to_string(), "an activation scale requires a check or a step");
}

#[test]
fn initial_weights_have_the_variance_of_he() {
    let graph = graph();
    let parameters = wot::initialize(&graph, 3);
    assert_eq!(parameters, wot::initialize(&graph, 3));
    assert_ne!(parameters, wot::initialize(&graph, 4));
    assert!(zoo::bind(&graph, parameters.clone()).is_ok());
    let weights = parameters["layer3.2.conv2.weight"].values();
    let square = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
    let expected = 2.0 / (16.0 * 9.0);
    assert!((square / expected - 1.0).abs() < 0.15, "{square}, expected {expected}");
    assert!(parameters["bn1.weight"].values().iter().all(|&v| v == 1.0));
    assert!(parameters["bn1.running_var"].values().iter().all(|&v| v == 1.0));
    assert!(parameters["bn1.running_mean"].values().iter().all(|&v| v == 0.0));
    assert!(parameters["linear.bias"].values().iter().all(|&v| v == 0.0));
}
