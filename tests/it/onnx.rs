//! An ONNX model all the way: quantized, shown, planned and run, though no architecture name stands for it.

use std::path::Path;

use crate::program::{experiment, succeed, workshop, zerospace};

/// A thin MobileNetV2 for 32x32 images of 10 classes.
fn model(name: &str) -> String {
    let file = format!("../zoo/tests/it/onnx/{name}.onnx");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file).to_str().unwrap().into()
}

#[test]
fn an_onnx_model_is_quantized_shown_planned_and_run() {
    let workshop = workshop();
    let folder = workshop.path();
    let model = model("mobilenet_v2");
    let said = succeed(
        folder,
        &["quantize", &model, "--throttle", "--calibration-images", "8", "-o", "net.safetensors"],
    );
    assert!(said.contains("int8, throttled"), "{said}");

    let said = succeed(folder, &["inspect", "net.safetensors"]);
    assert!(
        said.contains("net.safetensors: main_graph, 53 listed layers, input 3x32x32, 10 classes"),
        "{said}"
    );
    assert!(said.contains("weights from mobilenet_v2.onnx (SHA-256 "), "{said}");
    // Depthwise weights keep their names and lie in the order of the nodes.
    let [first, second] = ["features.0.0.weight", "features.1.conv.0.0.weight"].map(|name| said.find(name));
    assert!(first.is_some() && first < second, "{said}");
    assert!(said.contains("| 8x1x3x3 "), "{said}");

    std::fs::write(folder.join("x.toml"), experiment(3)).unwrap();
    assert!(succeed(folder, &["plan", "x.toml"]).contains("thin"));
    succeed(folder, &["run", "x.toml", "--out", "first"]);
    succeed(folder, &["run", "x.toml", "--out", "second", "--threads", "1"]);
    let trials = |out: &str| std::fs::read(folder.join(out).join("trials.parquet")).unwrap();
    assert_eq!(trials("first"), trials("second"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let workshop = workshop();
    let folder = workshop.path();
    let refused = |arguments: &[&str]| {
        let fixed = ["--calibration-images", "8", "-o", "q"];
        let said = zerospace(folder, &[&["quantize"], arguments, &fixed].concat());
        assert_eq!(said.code, 2, "{}{}", said.stdout, said.stderr);
        said.stderr
    };
    let message = refused(&["float.safetensors"]);
    let expected = "float.safetensors: is a safetensors file, which holds tensors and no layers, expected an ONNX \
                    model, or the architecture of a state dict with --arch NAME";
    assert!(message.contains(expected), "{message}");
    let message = refused(&[&model("mobilenet_v2"), "--onnx-output", "features"]);
    assert!(message.contains("output of the model features is not there, expected one of "), "{message}");
    let message = refused(&[&model("mixed")]);
    let expected = "the network takes [1, 15, 15] images of 10 classes, cifar10 has [3, 32, 32] of 10";
    assert!(message.contains(expected), "{message}");
    let message = refused(&[&model("mobilenet_v2"), "--width", "0.5"]);
    assert!(message.contains("--arch <NAME>"), "{message}");
    let message = refused(&[&model("mobilenet_v2"), "--classes", "10"]);
    assert!(message.contains("--arch <NAME>"), "{message}");
    let message = refused(&[&model("mobilenet_v2"), "--arch", "resnet20"]);
    assert!(message.contains("expected a safetensors file or one written by torch.save"), "{message}");
}
