//! Codes for single tensors: the search, the networks in their ranges, trainings and campaigns.

use std::collections::BTreeMap;
use std::path::Path;

use quant::Checkpoint;

use crate::program::{experiment, succeed, workshop, zerospace};
use crate::training::RECIPE;

const QUANTIZE: &str = "quantize float.safetensors --arch resnet20 --width 0.5 --calibration-images 8";

const SEARCH: &str = "search-codes int8.safetensors --codes in-place-64-57,in-place-msb-48-24,in-place-msb-64-32 --rate 3e-2 \
                      --images 20 --trials 2 --budget 2400";

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The workshop with its network quantized, without clamping.
fn prepared() -> tempfile::TempDir {
    let workshop = workshop();
    succeed(workshop.path(), &words(&format!("{QUANTIZE} -o int8.safetensors")));
    workshop
}

/// Tensors and their codes in the file of a map.
fn codes(file: &Path) -> BTreeMap<String, String> {
    let map = campaign::read_code_map("m", file).unwrap();
    map.codes().iter().map(|(tensor, code)| (tensor.clone(), code.id().to_owned())).collect()
}

/// Runs the program, which refuses its input in one line with these words.
fn refuses(folder: &Path, arguments: &[&str], expected: &str) {
    let said = zerospace(folder, arguments);
    let error = said.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or("");
    assert!(error.contains(expected), "{arguments:?}: {}", said.stderr);
    assert_eq!(said.code, 2, "{arguments:?}");
}

/// Number of weights outside the ranges of their tensors' codes.
fn outside(checkpoint: &Checkpoint, codes: &BTreeMap<String, String>) -> usize {
    let violations = checkpoint.weights.iter().map(|tensor| {
        let range = ecc::by_id(&codes[tensor.name()]).unwrap().constraint();
        range.violations(tensor.values()).count()
    });
    violations.sum()
}

fn fits(checkpoint: &Checkpoint, codes: &BTreeMap<String, String>) -> bool {
    outside(checkpoint, codes) == 0
}

/// A line of `steps.csv`.
#[derive(Debug)]
struct Step {
    from: Option<usize>,
    tensor: String,
    code: String,
    clean: u64,
    faulty: f64,
    evaluations: u64,
    taken: bool,
    front: bool,
}

fn steps(folder: &Path) -> Vec<Step> {
    let text = std::fs::read_to_string(folder.join("steps.csv")).unwrap();
    let lines = text.lines().skip(1).enumerate().map(|(number, line)| {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[0], number.to_string());
        Step {
            from: fields[1].parse().ok(),
            tensor: fields[2].into(),
            code: fields[3].into(),
            clean: fields[4].parse().unwrap(),
            faulty: fields[5].parse().unwrap(),
            evaluations: fields[6].parse().unwrap(),
            taken: fields[7] == "true",
            front: fields[8] == "true",
        }
    });
    lines.collect()
}

#[test]
fn a_search_keeps_to_its_budget_and_says_every_step() {
    let workshop = prepared();
    let folder = workshop.path();
    let said = succeed(folder, &words(&format!("{SEARCH} -o found")));
    assert!(
        said.starts_with("40 maps, 2400 of 2400 image evaluations; the budget allows no further map\n"),
        "{said}"
    );
    let steps = steps(&folder.join("found"));
    assert_eq!(steps.len(), 40);
    let names: Vec<String> = Checkpoint::load(&folder.join("int8.safetensors"))
        .unwrap()
        .weights
        .iter()
        .map(|tensor| tensor.name().to_owned())
        .collect();
    let mut maps: Vec<BTreeMap<String, String>> = Vec::new();
    let mut at = None;
    for (number, step) in steps.iter().enumerate() {
        assert_eq!(step.evaluations, 60 * (number as u64 + 1), "one pass without faults and two trials");
        let map = match step.from {
            None => names.iter().map(|name| (name.clone(), step.code.clone())).collect(),
            Some(from) => {
                assert!(number >= 3 && steps[from].taken, "{step:?}");
                // Earlier maps are not gone back to.
                assert!(at.is_none_or(|at| at <= from), "{step:?}");
                at = Some(from);
                let mut map = maps[from].clone();
                assert_ne!(map.insert(step.tensor.clone(), step.code.clone()).as_ref(), Some(&step.code));
                map
            }
        };
        assert!(!maps.contains(&map), "map {number} is evaluated again");
        maps.push(map);
    }
    let worse = |a: &Step, b: &Step| {
        b.clean >= a.clean && b.faulty >= a.faulty && (b.clean, b.faulty) != (a.clean, a.faulty)
    };
    for step in &steps {
        assert!(!step.front || !steps.iter().any(|other| worse(step, other)), "{step:?}");
        let alike = |other: &Step| (other.clean, other.faulty) == (step.clean, step.faulty) && other.front;
        assert!(steps.iter().any(|other| worse(step, other)) || steps.iter().any(alike), "{step:?}");
    }
    let chosen = maps.iter().position(|map| *map == codes(&folder.join("found/codes.toml"))).unwrap();
    let uniform = steps[..3].iter().map(|step| step.faulty).fold(0.0, f64::max);
    assert!(steps[chosen].taken && steps[chosen].faulty >= uniform, "{:?}", steps[chosen]);
    let checkpoint = Checkpoint::load(&folder.join("found/codes.safetensors")).unwrap();
    assert!(fits(&checkpoint, &maps[chosen]));
    for id in ["in-place-64-57", "in-place-msb-48-24", "in-place-msb-64-32"] {
        let uniform = codes(&folder.join(format!("found/uniform-{id}.toml")));
        assert!(uniform.values().all(|code| code == id));
        let checkpoint = Checkpoint::load(&folder.join(format!("found/uniform-{id}.safetensors"))).unwrap();
        assert!(fits(&checkpoint, &uniform));
    }

    // The same on one thread, to the bit; other trials give other numbers.
    succeed(folder, &words(&format!("{SEARCH} --threads 1 -o again")));
    for file in ["steps.csv", "codes.toml", "codes.safetensors"] {
        let [found, again] =
            ["found", "again"].map(|out| std::fs::read(folder.join(out).join(file)).unwrap());
        assert!(found == again, "{file}");
    }
    succeed(folder, &words(&format!("{SEARCH} --seed 2 -o other")));
    let numbers = |out: &str| std::fs::read(folder.join(out).join("steps.csv")).unwrap();
    assert_ne!(numbers("found"), numbers("other"));
}

#[test]
fn a_search_ends_when_nothing_gains() {
    let workshop = prepared();
    let folder = workshop.path();
    let said = succeed(
        folder,
        &words(
            "search-codes int8.safetensors --codes faulty,in-place-64-57 --rate 0 --scale largest --images 1 --trials 2 -o found",
        ),
    );
    assert!(said.contains(" of 2000000 image evaluations; no change of one tensor gains\n"), "{said}");
    // Without faults a trial is as good as none, and the accuracy at rate 0 is that without faults.
    assert!(steps(&folder.join("found")).iter().all(|step| step.clean as f64 == step.faulty));
    let int8 = Checkpoint::load(&folder.join("int8.safetensors")).unwrap();
    let uniform = Checkpoint::load(&folder.join("found/uniform-faulty.safetensors")).unwrap();
    assert_eq!(uniform.weights, int8.weights, "faulty stores any weights, and the largest scale is kept");
}

#[test]
fn held_out_images_are_those_of_a_training() {
    let workshop = prepared();
    let folder = workshop.path();
    let search =
        "search-codes int8.safetensors --rate 1e-3 --images 8 --trials 2 --budget 96 -o found --held-out";
    succeed(folder, &words(&format!("{search} 8")));
    let train = harness::DataSets::new(folder.join("data"));
    let train = train.images("cifar10", "train", None, harness::Cut::DEFAULT, &()).unwrap().set;
    let held_out = harness::held_out_images(&train, 8).unwrap();
    assert_eq!(held_out.len(), 8);
    let image = |set: &data::ImageSet, index: usize| (set.image(index).to_vec(), set.labels()[index]);
    let all: Vec<_> = (0..train.len()).map(|index| image(&train, index)).collect();
    assert!((0..8).all(|index| all.contains(&image(&held_out, index))));
    assert_ne!(held_out.digest(), train.take(8).unwrap().digest());
    let said = zerospace(folder, &words(&format!("{search} 41")));
    let expected = "error: --held-out: 41 images are held out of cifar10 train, expected at most 40";
    assert_eq!((said.code, said.stderr.lines().last()), (2, Some(expected)));
}

#[test]
fn a_search_that_cannot_be_is_refused() {
    let workshop = prepared();
    let folder = workshop.path();
    let refused = |options: &str, expected: &str| {
        refuses(folder, &words(&format!("search-codes int8.safetensors -o found {options}")), expected);
        assert!(!folder.join("found").exists());
    };
    refused("--rate 2", "--rate: bit error rate 2, expected a number in [0, 1]");
    refused(
        "--rate 1e-2 --codes faulty --images 10",
        "int8.safetensors: the codes are faulty, expected at least two different ones",
    );
    refused("--rate 1e-2 --codes faulty,raid", "--codes: unknown protection `raid`, expected one of");
    refused(
        "--rate 1e-2 --codes faulty,in-place --images 10 --trials 3 --budget 79",
        "int8.safetensors: the budget is 79 evaluations, expected at least 80: 10 images in 3 trials and without faults, for each \
         of 2 codes",
    );
    refused(
        "--rate 1e-2 --codes ecc,in-place --images 10",
        "code of \"conv1.weight\" is secded-72-64, which stores bits beside the weights, expected a code with all bits inside them",
    );
    succeed(folder, &words(&format!("{QUANTIZE} --per-channel -o int8.safetensors")));
    refused(
        "--rate 1e-2 --images 10",
        "int8.safetensors: scales of least error need one scale of our own for each tensor, conv1.weight has others: expected the \
         scales that the checkpoint has",
    );
}

/// S232 of the specification: a map of every code that may be in one, from its file to records.
#[test]
fn a_map_is_a_protection_of_campaigns_and_a_range_of_quantization_and_training() {
    let workshop = prepared();
    let folder = workshop.path();
    let inside =
        ["in-place-64-57", "in-place-msb-48-24", "in-place-msb-64-32+zero-word", "faulty", "in-place-32-26"];
    let int8 = Checkpoint::load(&folder.join("int8.safetensors")).unwrap();
    let names: Vec<&str> = int8.weights.iter().map(quant::QuantTensor::name).collect();
    let lines: Vec<String> = names
        .iter()
        .zip(inside.iter().cycle())
        .map(|(name, code)| format!("{name:?} = {code:?}\n"))
        .collect();
    let file = |lines: &[String]| {
        std::fs::write(folder.join("codes.toml"), format!("[codes]\n{}", lines.concat())).unwrap();
    };
    file(&lines);
    let map = codes(&folder.join("codes.toml"));

    let throttle = format!("{QUANTIZE} --throttle=codes.toml --scale least-error -o mixed.safetensors");
    let said = succeed(folder, &words(&throttle));
    assert!(said.contains(" were clamped into the range of codes.toml: "), "{said}");
    assert!(said.contains("4 tensors [-8, 7]"), "{said}");
    let mixed = Checkpoint::load(&folder.join("mixed.safetensors")).unwrap();
    assert!(fits(&mixed, &map) && !fits(&int8, &map));
    let inspected = |file: &str| succeed(folder, &["inspect", file, "--codes", "codes.toml"]);
    assert!(inspected("mixed.safetensors").trim_end().ends_with("the codes can store this network"));
    let found = inspected("int8.safetensors");
    let outside = outside(&int8, &map);
    let end = format!(
        "the codes cannot store this network: {outside} weights are outside their ranges (quantize --throttle=FILE)"
    );
    assert!(found.trim_end().ends_with(&end), "{found}");
    // Each tensor is as it is if all have its code.
    for code in inside {
        let uniform = format!("{QUANTIZE} --throttle={code} --scale least-error -o uniform.safetensors");
        succeed(folder, &words(&uniform));
        let uniform = Checkpoint::load(&folder.join("uniform.safetensors")).unwrap();
        let tensors = mixed.weights.iter().zip(&uniform.weights);
        for (mixed, uniform) in tensors.filter(|(mixed, _)| map[mixed.name()] == code) {
            assert_eq!(mixed, uniform);
        }
    }

    let text = experiment(3).replace(
        r#"["faulty", "zero", "ecc", "in-place"]"#,
        "[\"faulty\", \"layer-wise\"]\n[[code_map]]\nname = \"layer-wise\"\nfile = \"codes.toml\"",
    );
    std::fs::write(folder.join("x.toml"), text.replace("net.safetensors", "mixed.safetensors")).unwrap();
    succeed(folder, &["plan", "x.toml"]);
    succeed(folder, &["run", "x.toml"]);
    succeed(folder, &["verify", "x.toml"]);
    let rows = records::read_trials(&folder.join("runs/x/trials.parquet")).unwrap();
    let of = |protection: &str| {
        rows.iter().filter(|row| row.protection == protection).map(|row| &row.record).collect::<Vec<_>>()
    };
    let (faulty, layer_wise) = (of("faulty"), of("layer-wise"));
    assert_eq!((faulty.len(), layer_wise.len()), (12, 12));
    for (faulty, layer_wise) in faulty.iter().zip(&layer_wise) {
        assert_eq!(faulty.pattern_hash, layer_wise.pattern_hash, "the same flips");
        assert!(layer_wise.weights_changed <= faulty.weights_changed);
    }
    assert!(layer_wise.iter().any(|record| record.corrected > 0 && record.silent > 0));
    let report = std::fs::read_to_string(folder.join("runs/x/report.md")).unwrap();
    assert!(report.contains("| layer-wise | "), "{report}");

    // The same range for the stage of a training.
    let recipe = RECIPE
        .replace("name = \"qatt\"", "name = \"qatt\"\nprotection = \"codes.toml\"\nscale = \"least-error\"");
    std::fs::write(folder.join("r.toml"), &recipe).unwrap();
    succeed(folder, &["train", "r.toml", "--out", "trained"]);
    assert!(fits(&Checkpoint::load(&folder.join("trained/qatt.safetensors")).unwrap(), &map));

    // A map that lacks a tensor, or has too many.
    let missing =
        "codes.toml: code of \"conv1.weight\" is missing, expected one for each tensor of the network";
    file(&lines[1..]);
    refuses(folder, &words(&throttle), &format!("--throttle: {missing}"));
    refuses(folder, &["plan", "x.toml"], &format!("layer-wise cannot store thin: {missing}"));
    refuses(folder, &["train", "r.toml", "--out", "lacking"], missing);
    file(&[&lines[..], &["fc = \"faulty\"\n".to_owned()]].concat());
    let many = "codes.toml: code of \"fc\" is given, expected codes of the network's tensors: conv1.weight, ";
    refuses(folder, &words(&throttle), &format!("--throttle: {many}"));
    refuses(folder, &["plan", "x.toml"], many);
    std::fs::remove_file(folder.join("codes.toml")).unwrap();
    refuses(folder, &["plan", "x.toml"], "x.toml: code map \"layer-wise\": codes.toml: ");
    refuses(folder, &["train", "r.toml", "--out", "lacking"], "r.toml: protection: codes.toml: ");
}
