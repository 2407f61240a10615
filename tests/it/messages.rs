//! What the program says when something is wrong: one sentence, a documented exit code.

use std::path::Path;

use crate::program::{experiment, prepare, succeed, workshop, zerospace};

/// Expects `code`, and exactly the error on stderr behind the lines of a log.
pub(crate) fn refuses(folder: &Path, arguments: &[&str], code: i32, message: &str) {
    let said = zerospace(folder, arguments);
    let error = said.stderr.lines().skip_while(|line| !line.starts_with("error: "));
    assert_eq!(error.collect::<Vec<_>>().join("\n"), format!("error: {message}"), "{arguments:?}");
    assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{arguments:?}");
}

#[test]
fn wrong_inputs_are_named() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();

    refuses(folder, &["plan", "no.toml"], 2, "no.toml: No such file or directory (os error 2)");
    write("typo.toml", &experiment(3).replace("seed", "sead"));
    let known = "`name`, `title`, `seed`, `trials`, `unit_trials`, `trials_of`, `stop`, `fault_model`, `sweep`, `rates`, `code`, `code_map`, `protections`, `model`, `data`, `evaluator`";
    refuses(
        folder,
        &["run", "typo.toml"],
        2,
        &format!("typo.toml: line 3: unknown field `sead`, expected one of {known}"),
    );
    write("rate.toml", &experiment(3).replace("1e-2", "-1e-2"));
    refuses(folder, &["plan", "rate.toml"], 2, "rate.toml: `rates` is -0.01, expected numbers in [0, 1]");
    write("more.toml", &experiment(3).replace("images = 40", "images = 61"));
    let said = zerospace(folder, &["plan", "more.toml"]);
    assert!(said.code == 2 && said.stderr.contains("61") && said.stderr.contains("60"), "{}", said.stderr);
    write("set.toml", &experiment(3).replace("cifar10", "cifar11"));
    let said = zerospace(folder, &["plan", "set.toml"]);
    assert!(
        said.code == 2 && said.stderr.contains("cifar11") && said.stderr.contains("cifar100"),
        "{}",
        said.stderr
    );

    write("junk.safetensors", "not a checkpoint");
    let said = zerospace(folder, &["inspect", "junk.safetensors"]);
    assert!(said.stderr.starts_with("error: junk.safetensors: not a safetensors file: "), "{}", said.stderr);
    assert_eq!((said.code, said.stderr.lines().count()), (2, 1));
    let said = zerospace(folder, &["inspect", "float.safetensors"]);
    assert!(said.stderr.contains("make one with `zerospace quantize`"), "{}", said.stderr);

    refuses(
        folder,
        &["status", "nowhere"],
        1,
        "nowhere/manifest.json: No such file or directory (os error 2)",
    );
    std::fs::create_dir(folder.join("foreign")).unwrap();
    write("foreign/manifest.json", "{}");
    refuses(
        folder,
        &["status", "foreign"],
        2,
        "foreign/manifest.json: not a zerospace manifest: missing field `manifest_version` at line 1 column 2",
    );
    write("foreign/manifest.json", r#"{"manifest_version": 9, "news": 1}"#);
    refuses(folder, &["merge", "foreign"], 2, "foreign/manifest.json: manifest version 9, newest known is 8");

    // A part that a newer program has left beside ours.
    succeed(folder, &["run", "x.toml"]);
    write("runs/x/parts/news.jsonl", "{\"zerospace_part\":2,\"news\":1}\n{}\n");
    let message = "runs/x/parts/news.jsonl: part format version 2, newest known is 1: \
                   a newer version wrote this run, expected a resume with that version";
    for arguments in [["run", "x.toml"], ["merge", "runs/x"], ["status", "runs/x"]] {
        refuses(folder, &arguments, 2, message);
    }
    assert!(folder.join("runs/x/parts/news.jsonl").exists());
}

#[test]
fn quantize_names_what_does_not_fit() {
    let workshop = workshop();
    let folder = workshop.path();
    let quantize = |rest: &[&str]| {
        let mut arguments = vec!["quantize", "float.safetensors", "--calibration-images", "8", "-o", "q"];
        arguments.extend(rest);
        let said = zerospace(folder, &arguments);
        assert!(!folder.join("q").exists(), "nothing is written on failure");
        (said.code, said.stderr)
    };
    // Width 1 has other shapes than the file.
    let (code, message) = quantize(&["--arch", "resnet20"]);
    assert_eq!(code, 2);
    assert!(message.starts_with("error: float.safetensors: "), "{message}");
    assert!(message.contains("conv1.weight") && message.contains("[8, 3, 3, 3]"), "{message}");
    // Another architecture has other keys.
    let (code, message) = quantize(&["--arch", "vgg16", "--variant", "cifar"]);
    let nothing =
        "no dict in the file resembles vgg16 (cifar, 10 classes, input 3x32x32, width 1) (features.0.weight";
    assert!(code == 2 && message.contains(nothing), "{message}");
    // A network at another width, in another architecture's name.
    let (code, message) = quantize(&["--arch", "resnet18", "--width", "0.5"]);
    assert!(code == 2 && message.ends_with("\nthey fit --arch resnet20\n"), "{message}");
    let (code, message) = quantize(&["--arch", "resnet20", "--width", "0.5", "--std", "1,0,1"]);
    assert_eq!(code, 2);
    assert!(message.contains("--std is [1.0, 0.0, 1.0], expected 3 positive numbers"), "{message}");
    let (code, message) = quantize(&["--arch", "lenet"]);
    assert!(code == 2 && message.contains("resnet20"), "{message}");
    let (code, message) = quantize(&["--arch", "resnet20", "--width", "0.5", "--data", "elsewhere"]);
    assert!(code == 2 && message.contains("--data DIR or ZEROSPACE_DATA"), "{message}");
    // A NaN is named by tensor and index.
    let mut bytes = std::fs::read(folder.join("float.safetensors")).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(folder.join("float.safetensors"), bytes).unwrap();
    let (code, message) = quantize(&["--arch", "resnet20", "--width", "0.5"]);
    assert!(code == 2 && message.contains("NaN") && message.contains("linear.weight"), "{message}");
}

#[test]
fn an_output_that_has_nowhere_to_go_is_refused_before_the_work() {
    let workshop = workshop();
    let arguments =
        ["quantize", "float.safetensors", "--arch", "resnet20", "--width", "0.5", "-o", "no/where"];
    refuses(workshop.path(), &arguments, 2, "--output is no/where, expected a file in a folder that exists");
}

#[test]
fn in_place_refuses_a_network_that_was_not_throttled_until_it_is() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let quantize = [
        "quantize",
        "float.safetensors",
        "--arch",
        "resnet20",
        "--width",
        "0.5",
        "--calibration-images",
        "8",
        "-o",
    ];
    let plain = succeed(folder, &[&quantize[..], &["net.safetensors"]].concat());
    assert!(
        plain.contains("weights were kept; clamping those outside a range (--throttle=PROTECTION)"),
        "{plain}"
    );
    let said = zerospace(folder, &["plan", "x.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.starts_with("error: in-place-64-57 cannot store thin: weight "), "{}", said.stderr);
    assert!(said.stderr.contains("outside [-64, 63] (throttle the checkpoint"), "{}", said.stderr);
    let report = succeed(folder, &["inspect", "net.safetensors"]);
    assert!(report.contains("in-place-64-57 cannot store this network: "), "{report}");

    let throttled = succeed(folder, &[&quantize[..], &["net.safetensors", "--throttle"]].concat());
    assert!(throttled.contains("int8, throttled"), "{throttled}");
    succeed(folder, &["plan", "x.toml"]);
    let report = succeed(folder, &["inspect", "net.safetensors"]);
    assert!(report.contains("in-place-64-57 can store this network"), "{report}");
}

#[test]
fn help_teaches() {
    let folder = tempfile::tempdir().unwrap();
    let help = succeed(folder.path(), &["--help"]);
    for part in [
        "Start here:",
        "Exit codes:",
        "data",
        "quantize",
        "inspect",
        "table1",
        "plan",
        "run",
        "submit",
        "status",
        "merge",
        "report",
        "75  stopped by SIGTERM or SIGUSR1",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    for verb in
        ["data", "quantize", "inspect", "table1", "plan", "run", "submit", "status", "merge", "report", "fit"]
    {
        let help = succeed(folder.path(), &[verb, "--help"]);
        assert!(help.contains(&format!("zerospace {verb} ")) && help.contains("Example"), "{help}");
    }
    assert_eq!(zerospace(folder.path(), &[]).code, 2);
    assert_eq!(zerospace(folder.path(), &["run"]).code, 2);
}
