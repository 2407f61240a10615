//! Networks whose tensors have codes of their own, in campaigns.

use std::path::Path;

use campaign::{
    Experiment, Network, StoredNetwork, Trial, code_map_text, expected_outcomes, plan, read_code_map,
};
use design::{BitErrorRate, EvaluationSet, FaultModel};
use ecc::{BLOCK, MemoryLayout, by_id};
use graph::WeightChange;
use inject::{FaultPattern, Faults};

const TENSORS: [(&str, usize, &str); 5] = [
    ("stem", 100, "in-place-64-57"),
    ("a", 1000, "in-place-msb-64-32"),
    ("b", 3, "in-place-msb-64-32"),
    ("c", 2001, "faulty"),
    ("head", 77, "in-place-32-26+zero-word"),
];

/// Weights in the range of each tensor's code.
fn network() -> Network {
    let layout = MemoryLayout::new(TENSORS.map(|(name, len, _)| (name, len)));
    let tensors: Vec<Vec<i8>> = TENSORS
        .iter()
        .map(|(_, len, code)| {
            let mut values: Vec<i8> = (0..*len).map(|i| (i * 73 % 251) as u8 as i8).collect();
            by_id(code).unwrap().constraint().throttle(&mut values);
            values
        })
        .collect();
    let plane = layout.pack(tensors.iter().map(Vec::as_slice));
    Network { label: "net".into(), digest: "d1".into(), evaluator: "tiny-1".into(), layout, plane }
}

fn map_text() -> String {
    let lines = TENSORS.map(|(name, _, code)| format!("{name} = {code:?}\n"));
    format!("# A comment\n[codes]\n{}", lines.concat())
}

/// An experiment with a map, whose file has this text; the id is the map's, one for each test of the process.
fn experiment(id: &str, map: &str) -> Result<Experiment, String> {
    read(&format!("protections = [\"faulty\", {id:?}]"), id, map)
}

/// The same with conditional sampling.
fn experiment_changed(id: &str, map: &str) -> Experiment {
    read(&format!("trials_of = \"changed\"\nprotections = [{id:?}]"), id, map).unwrap()
}

fn read(keys: &str, id: &str, map: &str) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("codes.toml"), map).unwrap();
    let text = format!(
        "name = \"x\"\ntitle = \"X\"\nseed = 7\ntrials = 3\nfault_model = \"bernoulli\"\nrates = [1e-2]\n{keys}\n\
         [[code_map]]\nname = {id:?}\nfile = \"codes.toml\"\n[[model]]\nlabel = \"net\"\n\
         checkpoint = \"net.safetensors\"\n[data]\nset = \"none\"\nsplit = \"test\"\n"
    );
    let path = folder.path().join("x.toml");
    let read = Experiment::parse(&text, &path);
    read.map_err(|error| error.to_string().replace(&folder.path().display().to_string(), "."))
}

fn evaluation() -> EvaluationSet {
    EvaluationSet { name: "none".into(), split: "test".into(), images: 16, ..EvaluationSet::default() }
}

/// The memory of one tensor alone under its code, and the flips of a pattern in it.
fn alone(network: &Network, tensor: usize, pattern: &FaultPattern) -> Trial {
    let span = &network.layout.tensors()[tensor];
    let stored = span.start..span.start + span.len.next_multiple_of(BLOCK);
    let own = Network {
        layout: MemoryLayout::new([(&span.name[..], span.len)]),
        plane: network.plane[stored.clone()].to_vec(),
        ..network.clone()
    };
    let memory = StoredNetwork::new(&own, by_id(TENSORS[tensor].2).unwrap()).unwrap();
    let bits = 8 * stored.start as u64..8 * stored.end as u64;
    let data = pattern.data.iter().filter(|bit| bits.contains(bit)).map(|bit| bit - bits.start).collect();
    memory.read(Faults::Flips(FaultPattern { data, check: Vec::new() }))
}

#[test]
fn a_trial_is_that_of_each_tensor_alone_under_its_code() {
    experiment("alone", &map_text()).unwrap();
    let network = network();
    let memory = StoredNetwork::new(&network, network.protection("alone").unwrap()).unwrap();
    assert_eq!(memory.regions().len(), 4, "one region for each run of tensors with one code");
    let [data, check] = memory.planes();
    assert_eq!((data.len(), check.len()), (network.plane.len(), 0));
    let faulty = StoredNetwork::new(&network, by_id("faulty").unwrap()).unwrap();
    assert_eq!((memory.bits(), memory.losses()), (faulty.bits(), faulty.losses()));

    let models = [
        "bernoulli",
        "fixed-count",
        "burst:length=4,distance=1",
        "bernoulli:tensor=c",
        "bernoulli:bit=7",
        "bernoulli:interleave=4",
        "asymmetric:share=0.9",
        "accumulate:hours=3,scrub=1",
    ];
    let mut outcomes = [0; 5];
    for model in models {
        let model: FaultModel = model.parse().unwrap();
        let bits = memory.bits_in(&model).unwrap();
        for trial in 0..20 {
            let faults = bits.sample(model.kind, BitErrorRate::new(0.02).unwrap(), 5, trial);
            let trial = memory.read(faults);
            let mut changes = Vec::new();
            let mut sums = [0; 6];
            for tensor in 0..TENSORS.len() {
                let own = alone(&network, tensor, &trial.pattern);
                changes.extend(own.changes.iter().map(|change| WeightChange { tensor, ..*change }));
                let counts = [own.words_hit, own.corrected, own.detected, own.miscorrected, own.silent];
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                sums[5] += own.padding_changed;
            }
            let counts = [trial.words_hit, trial.corrected, trial.detected, trial.miscorrected, trial.silent];
            assert_eq!((&counts[..], trial.padding_changed), (&sums[..5], sums[5]), "{model}");
            assert_eq!(trial.changes, changes, "{model}");
            outcomes.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);

            // Word by word, each in its own tensor.
            let words = memory.account(&trial.pattern);
            assert_eq!(words.len() as u64, trial.words_hit);
            for word in &words {
                let layout = memory.regions()[word.region].layout();
                if let Some((tensor, index)) = layout.locate(word.first) {
                    let name = &layout.tensors()[tensor].name;
                    let span = network.layout.tensors().iter().find(|span| span.name == *name).unwrap();
                    assert_eq!(network.plane[span.start + index], word.weights[0]);
                }
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn faults_of_all_protections_are_the_same_in_the_data_bits() {
    experiment("paired", &map_text()).unwrap();
    let network = network();
    let rate = BitErrorRate::new(0.01).unwrap();
    let patterns = ["paired", "faulty"].map(|id| {
        let memory = StoredNetwork::new(&network, network.protection(id).unwrap()).unwrap();
        memory.trial(design::FaultKind::Bernoulli, rate, 3, 1).pattern
    });
    assert_eq!(patterns[0], patterns[1]);
}

#[test]
fn a_plan_has_the_map_in_the_identity_of_its_cells() {
    let first = experiment("planned", &map_text()).unwrap();
    let cells = plan(&first, &[network()], &evaluation()).unwrap();
    let mixed = &cells[1];
    assert_eq!(mixed.protection.as_str(), "planned");
    let parameters = mixed.protection_parameters.to_string();
    for (name, _, code) in TENSORS {
        assert!(parameters.contains(&format!("{name:?}")) && parameters.contains(code), "{parameters}");
    }
    assert_eq!(mixed.stored, cells[0].stored, "no bit beside the weights");
    let other = map_text().replace("b = \"in-place-msb-64-32\"", "b = \"in-place-msb-48-24\"");
    let second = experiment("planned-otherwise", &other).unwrap();
    let others = plan(&second, &[network()], &evaluation()).unwrap();
    assert_eq!(others[0].id(), cells[0].id());
    assert_ne!(others[1].protection_parameters, mixed.protection_parameters);
    assert_ne!(others[1].id(), mixed.id());
}

#[test]
fn what_does_not_fit_is_named_by_file_tensor_and_value() {
    let refused = |id: &str, from: &str, to: &str| experiment(id, &map_text().replace(from, to)).unwrap_err();
    let file = "./x.toml: code map \"refused\": ./codes.toml";
    let unknown = refused("refused", "\"faulty\"", "\"raid\"");
    assert!(
        unknown.starts_with(&format!("{file}: code of \"c\": unknown protection `raid`, expected one of ")),
        "{unknown}"
    );
    let beside = refused("refused", "\"faulty\"", "\"ecc\"");
    let expected = "which stores bits beside the weights, expected a code with all bits inside them";
    assert_eq!(beside, format!("{file}: code of \"c\" is secded-72-64, {expected}"));
    let section = refused("refused", "[codes]", "[tensors]");
    assert!(section.starts_with(&format!("{file}: line 2: unknown field `tensors`")), "{section}");
    let number = refused("refused", "\"faulty\"", "5");
    assert!(number.starts_with(&format!("{file}: line 6: invalid type: integer `5`")), "{number}");
    let twice = refused("refused", "b = ", "a = ");
    assert!(twice.starts_with(&format!("{file}: line 5: duplicate key")), "{twice}");
    let missing_file = experiment("refused", "").unwrap_err();
    assert!(missing_file.contains("missing field `codes`"), "{missing_file}");
    let built_in = experiment("in-place", &map_text()).unwrap_err();
    assert!(built_in.contains("expected one that no built-in protection has"), "{built_in}");

    let planned = |id: &str, from: &str, to: &str| {
        let experiment = experiment(id, &map_text().replace(from, to)).unwrap();
        let said = plan(&experiment, &[network()], &evaluation()).unwrap_err().to_string();
        let (before, path) = said.split_once(": /").unwrap_or((&said, ""));
        format!("{before}: {}", path.split_once("codes.toml").map_or("", |(_, rest)| rest))
    };
    assert_eq!(
        planned("not-covered", "b = \"in-place-msb-64-32\"\n", ""),
        "not-covered cannot store net: : code of \"b\" is missing, expected one for each tensor of the network"
    );
    assert_eq!(
        planned("of-another", "b = ", "fc = "),
        "of-another cannot store net: : code of \"b\" is missing, expected one for each tensor of the network"
    );
    assert_eq!(
        planned("too-many", "b = ", "fc = \"faulty\"\nb = "),
        "too-many cannot store net: : code of \"fc\" is given, expected codes of the network's tensors: stem, a, b, c, head"
    );
    let narrow = experiment("narrow", &map_text().replace("\"faulty\"", "\"in-place-msb-48-24\"")).unwrap();
    let said = plan(&narrow, &[network()], &evaluation()).unwrap_err().to_string();
    assert_eq!(said, "narrow cannot store net: weight 1 of c is 73, outside [-16, 15]");
}

/// The report prints them beside what was counted.
#[test]
fn expected_outcomes_are_the_sums_over_the_tensors() {
    let text = map_text().replace("in-place-32-26+zero-word", "in-place-32-26");
    let experiment = experiment("expected", &text).unwrap();
    let network = network();
    let cells = plan(&experiment, std::slice::from_ref(&network), &evaluation()).unwrap();
    let expected = expected_outcomes(std::slice::from_ref(&network), &cells);
    let expected = expected.iter().find(|expected| expected.cell == cells[1].id()).unwrap();
    let memory = StoredNetwork::new(&network, network.protection("expected").unwrap()).unwrap();
    let (trials, mut sums) = (4000, [0.0; 5]);
    for trial in 0..trials {
        let trial = memory.trial(design::FaultKind::Bernoulli, cells[1].rate, 11, trial);
        let counts = [trial.words_hit, trial.corrected, trial.detected, trial.miscorrected, trial.silent];
        // A corrected word is counted as right or as miscorrected.
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count as f64 / trials as f64);
    }
    let closed =
        [expected.words_hit, expected.corrected, expected.detected, expected.miscorrected, expected.silent];
    for (found, expected) in sums.into_iter().zip(closed) {
        // Five standard errors of a count of rare words, each at most 1 in its trial.
        let error = 5.0 * (expected / trials as f64).sqrt();
        assert!((found - expected).abs() < error, "{sums:?}, expected {closed:?}");
    }
    // Conditional sampling is for one code.
    let rare = experiment_changed("rare", &text);
    let said = plan(&rare, std::slice::from_ref(&network), &evaluation()).unwrap_err().to_string();
    assert!(
        said.ends_with("the probability that a word of rare reads wrong, which has no closed form"),
        "{said}"
    );
}

#[test]
fn a_written_map_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("codes.toml");
    let names = ["plain.weight", "a \"quoted\" \\ name", "tab\tand\nline \u{7f}\u{85}", "π", ""];
    let codes = names.map(|name| (name.to_owned(), by_id("in-place-64-57+zero-word").unwrap()));
    let map = ecc::CodeMap::new("m", "codes.toml", codes.into_iter().collect()).unwrap();
    std::fs::write(&file, code_map_text(&map, "Two lines\nof comment.")).unwrap();
    let again = read_code_map("m", &file).unwrap();
    assert_eq!(again.definition(), map.definition());
    assert!(
        read_code_map("m", Path::new("nowhere.toml")).unwrap_err().to_string().starts_with("nowhere.toml: ")
    );
}
