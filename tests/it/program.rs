//! Running the program, and small inputs for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use graph::ModelSpec;
use quant::Parameters;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What a finished process said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// What was said on stderr but for lines about progress, which come at times, and that the workshop's network, which is
    /// untrained, guesses.
    pub(crate) fn but_progress(&self) -> String {
        let left_out = [
            " cells x ",
            " trials; the first unit was stored after ",
            " a second, ",
            " a minute, ",
            ": warning: without faults ",
        ];
        let lines = self.stderr.lines().filter(|line| !left_out.iter().any(|words| line.contains(words)));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

/// The program with `arguments`, in `folder`.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zerospace"));
    command.args(arguments).current_dir(folder).env_remove("ZEROSPACE_DATA");
    command
}

/// Runs the program to its end.
pub(crate) fn zerospace(folder: &Path, arguments: &[&str]) -> Said {
    said(command(folder, arguments).output().unwrap())
}

pub(crate) fn said(output: Output) -> Said {
    let Output { status, stdout, stderr } = output;
    Said {
        code: status.code().unwrap_or(-1),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Runs the program and expects success; returns stdout.
pub(crate) fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let said = zerospace(folder, arguments);
    assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.stdout, said.stderr);
    said.stdout
}

/// SplitMix64: a stream of numbers that look random, the same everywhere.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Roughly normal, mean 0, variance 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.next() as f32 / u64::MAX as f32).sum::<f32>() - 6.0
    }
}

/// A folder with everything for a campaign that needs no data of others: CIFAR-10 in its binary form
/// with random pixels, and an untrained thin ResNet-20. Accuracy means nothing here, records do.
pub(crate) fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(7);
    let set = folder.path().join("data/cifar10");
    std::fs::create_dir_all(&set).unwrap();
    let mut batch = |records: usize| -> Vec<u8> {
        (0..records)
            .flat_map(|_| {
                let label = (numbers.next() % 10) as u8;
                let tint = (numbers.next() % 128) as u8;
                let pixels = (0..3072).map(|_| tint + (numbers.next() % 128) as u8);
                std::iter::once(label).chain(pixels).collect::<Vec<u8>>()
            })
            .collect()
    };
    for i in 1..=5 {
        std::fs::write(set.join(format!("data_batch_{i}.bin")), batch(8)).unwrap();
    }
    std::fs::write(set.join("test_batch.bin"), batch(60)).unwrap();
    std::fs::write(folder.path().join("float.safetensors"), float_checkpoint(&spec())).unwrap();
    folder
}

fn spec() -> ModelSpec {
    ModelSpec { width: 0.5, ..ModelSpec::new("resnet20", 10, [3, 32, 32]) }
}

/// A float state dict with random values of plausible size.
pub(crate) fn float_checkpoint(spec: &ModelSpec) -> Vec<u8> {
    let mut numbers = Numbers(1);
    let graph = zoo::build(spec).unwrap();
    let parameters: Parameters = graph
        .parameters()
        .into_iter()
        .map(|p| {
            let count: usize = p.shape.iter().product();
            let fan_in: usize = p.shape.iter().skip(1).product();
            let values = (0..count).map(|_| {
                let noise = numbers.normal();
                match p.name.rsplit('.').next() {
                    Some("running_var") => 1.0 + 0.1 * noise.abs(),
                    _ if p.shape.len() > 1 => noise * (2.0 / fan_in as f32).sqrt(),
                    Some("weight") => 1.0 + 0.1 * noise,
                    _ => 0.1 * noise,
                }
            });
            let values = values.collect();
            (p.name, quant::FloatTensor::new(p.shape, values))
        })
        .collect();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = parameters
        .iter()
        .map(|(name, t)| {
            (name.clone(), t.shape().to_vec(), t.values().iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Quantizes the workshop's network, throttled, to `net.safetensors`, and writes `x.toml`.
pub(crate) fn prepare(folder: &Path, trials: u64) {
    let quantize = "quantize float.safetensors --arch resnet20 --width 0.5 --throttle --calibration-images 8 -o net.safetensors";
    succeed(folder, &quantize.split(' ').collect::<Vec<_>>());
    std::fs::write(folder.join("x.toml"), experiment(trials)).unwrap();
}

pub(crate) fn experiment(trials: u64) -> String {
    format!(
        r#"name = "x"
title = "Random network"
seed = 5
trials = {trials}
unit_trials = 3
fault_model = "bernoulli"
rates = [0.0, 1e-5, 1e-3, 1e-2]
protections = ["faulty", "zero", "ecc", "in-place"]

[[model]]
label = "thin"
checkpoint = "net.safetensors"

[data]
set = "cifar10"
split = "test"
images = 40
"#
    )
}

/// The directory of real data sets, or `None` after saying loudly what is skipped.
pub(crate) fn real_data(skipped: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ZEROSPACE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    if root.join("cifar10").is_dir() {
        return Some(root.canonicalize().unwrap());
    }
    say(&format!("SKIPPED {skipped}: no data sets at {} (set ZEROSPACE_DATA)", root.display()));
    None
}

/// Tells people something even from a test that passes, whose `eprintln!` the harness hides.
pub(crate) fn say(note: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{note}\n").as_bytes()).unwrap();
}
