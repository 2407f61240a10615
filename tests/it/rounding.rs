//! Networks rounded in other ways than the default, from `quantize` to a campaign.

use crate::program::{experiment, succeed, workshop, zerospace};

const QUANTIZE: &str =
    "quantize float.safetensors --arch resnet20 --width 0.5 --calibration-images 8 --throttle";

/// Quantizes the workshop's network with more options.
fn quantize(folder: &std::path::Path, options: &str, output: &str) -> String {
    // `--throttle=PROTECTION` is one word.
    let command = format!("{QUANTIZE} {options} -o {output}").replace("--throttle =", "--throttle=");
    succeed(folder, &command.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn scales_of_channels_reach_a_campaign() {
    let workshop = workshop();
    let folder = workshop.path();
    quantize(folder, "", "net.safetensors");
    quantize(folder, "--per-channel", "channels.safetensors");
    let [whole, channels] = ["net.safetensors", "channels.safetensors"]
        .map(|file| quant::Checkpoint::load(&folder.join(file)).unwrap());
    assert_ne!(whole.digest(), channels.digest());
    assert_eq!(channels.weights[0].scale().values().len(), channels.weights[0].shape()[0]);
    // Every channel has its largest level, unless it was clamped at one of the positions 0 to 6.
    let fills = |values: &[i8]| values.iter().any(|value| value.unsigned_abs() >= 63);
    let rows = channels.weights.iter().flat_map(|w| w.values().chunks(w.values().len() / w.shape()[0]));
    assert!(rows.into_iter().all(fills));

    let inspect = succeed(folder, &["inspect", "channels.safetensors"]);
    assert!(inspect.lines().any(|line| line.contains("conv1.weight") && line.contains(" to ")), "{inspect}");
    let both = experiment(3).replace(
        "[data]",
        "[[model]]\nlabel = \"channels\"\ncheckpoint = \"channels.safetensors\"\n\n[data]",
    );
    std::fs::write(folder.join("x.toml"), both).unwrap();
    succeed(folder, &["run", "x.toml"]);
    let rows = records::read_trials(&folder.join("runs/x/trials.parquet")).unwrap();
    assert_eq!(rows.iter().filter(|row| row.model == "channels").count(), 4 * 4 * 3);
}

/// The narrowest range but one, reached by clamping at the paper's scale and at that of least error.
#[test]
fn scales_of_least_error_leave_less_to_clamp() {
    let workshop = workshop();
    let folder = workshop.path();
    let load = |options: &str| {
        let said = quantize(folder, &format!("=in-place-msb-48-24 {options}"), "net.safetensors");
        (said, quant::Checkpoint::load(&folder.join("net.safetensors")).unwrap())
    };
    let constraint = ecc::by_id("in-place-msb-48-24").unwrap().constraint();
    let clamped = |options: &str| -> usize {
        let (_, checkpoint) = load(options);
        assert!(checkpoint.weights.iter().all(|w| constraint.violations(w.values()).next().is_none()));
        let edits = &checkpoint.provenance.weight_edits;
        assert_eq!(edits.ends_with("; scales of least squared error"), !options.is_empty(), "{edits}");
        edits.split([' ', ':']).find_map(|word| word.parse().ok()).unwrap()
    };
    let [largest, least] = ["", "--scale least-error"].map(clamped);
    assert!(least < largest / 4, "{least} of {largest}");
    let experiment = experiment(1).replace(
        "[data]",
        "[[model]]\nlabel = \"narrow\"\ncheckpoint = \"net.safetensors\"\nprotections = [\"in-place-msb-48-24\"]\n\n[data]",
    );
    quantize(folder, "", "wide.safetensors");
    std::fs::write(folder.join("x.toml"), experiment.replacen("net.safetensors", "wide.safetensors", 1))
        .unwrap();
    succeed(folder, &["plan", "x.toml"]);
}

#[test]
fn an_int8_checkpoint_is_no_float_network() {
    let workshop = workshop();
    let folder = workshop.path();
    quantize(folder, "--per-channel", "channels.safetensors");
    let again = QUANTIZE.replace("float.safetensors", "channels.safetensors") + " -o x.safetensors";
    let said = zerospace(folder, &again.split(' ').collect::<Vec<_>>());
    let message =
        "error: channels.safetensors: an int8 checkpoint, expected the float network that it was made from";
    assert_eq!((said.code, said.stderr.lines().last()), (2, Some(message)));
}

#[test]
fn dynamic_ranges_reach_a_campaign_and_name_their_batch() {
    let workshop = workshop();
    let folder = workshop.path();
    quantize(folder, "", "net.safetensors");
    let cells = |options: &str| {
        let said = quantize(folder, &format!("--activations dynamic {options}"), "dynamic.safetensors");
        assert!(said.contains("int8, throttled"), "{said}");
        let two = experiment(2).replace(
            "[data]",
            "[[model]]\nlabel = \"dynamic\"\ncheckpoint = \"dynamic.safetensors\"\n\n[data]",
        );
        std::fs::write(folder.join("x.toml"), two).unwrap();
        succeed(folder, &["plan", "x.toml"])
    };
    let by_default = cells("");
    assert_ne!(by_default, cells("--batch 8"));
    let inspect = succeed(folder, &["inspect", "dynamic.safetensors"]);
    assert!(
        inspect.contains("activation ranges from each batch of 8 images, largest magnitude\n"),
        "{inspect}"
    );

    succeed(folder, &["run", "x.toml", "--threads", "2"]);
    let manifest = std::fs::read_to_string(folder.join("runs/x/manifest.json")).unwrap();
    for evaluator in ["\"int8-1\"", "\"int8-dynamic-1/8\""] {
        assert!(manifest.contains(evaluator), "{manifest}");
    }
    let rows = records::read_trials(&folder.join("runs/x/trials.parquet")).unwrap();
    let of = |model: &str| rows.iter().filter(|row| row.model == model).collect::<Vec<_>>();
    assert_eq!((of("thin").len(), of("dynamic").len()), (4 * 4 * 2, 4 * 4 * 2));
    // The same weights in the same memory.
    for (fixed, dynamic) in of("thin").into_iter().zip(of("dynamic")) {
        assert_eq!(fixed.record.weights_hash, dynamic.record.weights_hash);
    }

    // One thread, again: the same records.
    succeed(folder, &["run", "x.toml", "--out", "again", "--threads", "1"]);
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    assert_eq!(read("runs/x/trials.parquet"), read("again/trials.parquet"));

    let command = format!("{QUANTIZE} --batch 8 -o x.safetensors");
    let said = zerospace(folder, &command.split(' ').collect::<Vec<_>>());
    let message = "error: --batch is 8, but only --activations dynamic has batches";
    assert_eq!((said.code, said.stderr.trim_end()), (2, message));
}
