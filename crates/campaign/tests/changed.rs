//! Trials of which only those are drawn that change something: their distribution against that of ordinary trials which happen
//! to, their estimate against the ordinary one, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use campaign::{
    ChangedTrial, Evaluation, EvaluationError, Evaluator, Experiment, Network, NetworkUnderTest,
    NoChangedTrials, Outputs, RunControl, Shard, StoredNetwork, Trial, expected_outcomes, plan, run,
};
use design::{BitErrorRate, EvaluationSet, FaultKind};
use ecc::{
    BLOCK, Constraint, MemoryDistribution, MemoryImage, MemoryLayout, Protection, WordShape, WordStatus,
};
use graph::WeightChange;
use records::{Environment, ExpectedOutcomes, Manifest, Store, TrialRow, read_trials};
use sha2::{Digest, Sha256};

fn rate(rate: f64) -> BitErrorRate {
    BitErrorRate::new(rate).unwrap()
}

/// `weights` weights in two tensors, every third of them zero, and up to 14 of padding.
fn network(weights: usize) -> Network {
    let sizes = [weights / 2, weights - weights / 2];
    let layout = MemoryLayout::new(["conv.weight", "fc.weight"].into_iter().zip(sizes));
    let value = |i: usize| if i.is_multiple_of(3) { 0 } else { (i * 37 % 128) as i8 - 64 };
    let weights: Vec<i8> = (0..weights).map(value).collect();
    let plane = layout.pack([&weights[..sizes[0]], &weights[sizes[0]..]]);
    Network { label: "tiny".into(), digest: "d1".into(), evaluator: "tiny-1".into(), layout, plane }
}

/// The same with each weight clamped into the range that a protection needs.
fn storable(network: &Network, protection: &dyn Protection) -> Network {
    let mut network = network.clone();
    protection.constraint().throttle(&mut network.plane);
    network
}

fn stored<'a>(network: &'a Network, id: &str) -> StoredNetwork<'a> {
    StoredNetwork::new(network, ecc::by_id(id).unwrap()).unwrap()
}

/// The protections of which trials can be drawn that change something: they lose nothing by storing, and have distributions.
fn drawable() -> Vec<Arc<dyn Protection>> {
    let mut all = ecc::all();
    let every = (i8::MIN..=i8::MAX).map(|weight| [weight; BLOCK]);
    all.retain(|protection| {
        every.clone().all(|block| protection.as_stored(block) == block)
            && protection.outcome_distributions().is_some()
    });
    all
}

fn changes_something(trial: &Trial) -> bool {
    !trial.changes.is_empty() || trial.padding_changed > 0
}

/// Pearson's statistic of two samples of equal size over the categories that both together fill, and the degrees of
/// freedom; categories with few members are joined.
fn two_samples(samples: &[BTreeMap<Vec<u64>, u64>; 2]) -> (f64, usize) {
    let mut joint: BTreeMap<&Vec<u64>, [u64; 2]> = BTreeMap::new();
    for (i, sample) in samples.iter().enumerate() {
        sample.iter().for_each(|(category, n)| joint.entry(category).or_default()[i] += n);
    }
    let (rare, common): (Vec<_>, Vec<_>) = joint.into_values().partition(|[a, b]| a + b < 20);
    let rare = rare.into_iter().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    let groups: Vec<[u64; 2]> = common.into_iter().chain([rare]).filter(|[a, b]| a + b > 0).collect();
    let term = |[a, b]: &[u64; 2]| (*a as f64 - *b as f64).powi(2) / (a + b) as f64;
    (groups.iter().map(term).sum(), groups.len() - 1)
}

/// A chi-square above this has a probability of about 1e-4 (Wilson and Hilferty's approximation).
fn limit(freedom: usize) -> f64 {
    let n = freedom as f64;
    n * (1.0 - 2.0 / (9.0 * n) + 3.72 * (2.0 / (9.0 * n)).sqrt()).powi(3)
}

#[test]
fn changed_trials_have_the_distribution_of_ordinary_trials_that_change_something() {
    const DRAWN: u64 = 20_000;
    let network = network(27);
    for protection in drawable() {
        let id = protection.id();
        let network = storable(&network, &*protection);
        for p in [2e-3, 2e-2, 0.2] {
            let distribution = MemoryDistribution::of(&*protection, &network.plane).unwrap();
            let probability = distribution.changed_probability(p);
            if probability < 5e-3 {
                continue; // Rejection would take too long.
            }
            let memory = stored(&network, id);
            let changed = memory.changed_trials(rate(p)).unwrap();
            let mut tried = 0;
            let mut rejection = || loop {
                let trial = memory.trial(FaultKind::Bernoulli, rate(p), 1, tried);
                tried += 1;
                if changes_something(&trial) {
                    return trial;
                }
            };
            // Where the first wrong word is, how many words are hit and go wrong, and which cells flip.
            let mut seen: [BTreeMap<Vec<u64>, u64>; 2] = Default::default();
            let mut words: [BTreeMap<Vec<u64>, u64>; 2] = Default::default();
            let mut cells: [BTreeMap<Vec<u64>, u64>; 2] = Default::default();
            for number in 0..DRAWN {
                for (i, trial) in [changed.trial(1, number), rejection()].into_iter().enumerate() {
                    assert!(changes_something(&trial));
                    let flips = trial.pattern.data.len() + trial.pattern.check.len();
                    let first = trial.changes.first().map_or(99, |c| 50 * c.tensor + c.index);
                    *seen[i].entry(vec![first as u64, flips.min(9) as u64]).or_default() += 1;
                    let outcomes =
                        [trial.words_hit, trial.corrected, trial.detected, trial.miscorrected, trial.silent];
                    *words[i].entry(outcomes.into()).or_default() += 1;
                    // One cell of each trial, so that the counts are independent.
                    let all = trial.pattern.data.iter().copied();
                    let all: Vec<u64> = all.chain(trial.pattern.check.iter().map(|c| 1000 + c)).collect();
                    *cells[i].entry(vec![all[number as usize % all.len()]]).or_default() += 1;
                }
            }
            for (what, samples) in [("first change", seen), ("words", words), ("cells", cells)] {
                let (statistic, freedom) = two_samples(&samples);
                assert!(statistic < limit(freedom), "{id} {p} {what}: {statistic} for {freedom}");
            }
            // Rejection needed as many ordinary trials as P(changed) says.
            let expected = DRAWN as f64 / probability;
            let sd = (DRAWN as f64 * (1.0 - probability)).sqrt() / probability;
            assert!((tried as f64 - expected).abs() < 4.0 * sd + 1.0, "{id} {p}: {tried} for {expected}");
        }
    }
}

#[test]
fn the_cost_of_a_trial_does_not_depend_on_how_rare_it_is() {
    // 1e-95: rejection would need 1e187 ordinary trials, and more where two flips are corrected.
    let network = network(5_000);
    for protection in drawable() {
        let network = storable(&network, &*protection);
        let memory = stored(&network, protection.id());
        for p in [1e-95, 1e-12, 1e-5] {
            let changed = memory.changed_trials(rate(p)).unwrap();
            let (mut words, mut corrected) = (0, 0);
            for number in 0..200 {
                let trial = changed.trial(1, number);
                assert!(changes_something(&trial));
                words += trial.words_hit;
                corrected += trial.corrected;
            }
            let few = if p < 1e-9 { 200..=200 } else { 200..=1200 };
            assert!(few.contains(&words), "{} {p}: {words} words, {corrected} corrected", protection.id());
        }
    }
}

#[test]
fn the_first_wrong_word_lies_anywhere_also_where_classes_differ() {
    // Two stretches and a bit of words of one weight, of which every third is zero: at a low rate nearly only the
    // others read wrong, all equally often.
    let network = network(10_000);
    let memory = stored(&network, "zero");
    let changed = memory.changed_trials(rate(1e-9)).unwrap();
    let mut places = vec![0u64; 10];
    for number in 0..20_000 {
        let trial = changed.trial(3, number);
        let WeightChange { tensor, index, .. } = trial.changes[0];
        let place = tensor * 5_000 + index;
        assert_ne!(network.plane[place], 0);
        places[place / 1000] += 1;
    }
    let statistic: f64 = places.iter().map(|&n| (n as f64 - 2000.0).powi(2) / 2000.0).sum();
    assert!(statistic < limit(9), "{statistic}: {places:?}");
}

/// S121, S122, S123, S124 and S125 of the specification.
#[test]
fn changed_trials_are_stable() {
    // Fixed by definition: the records of these trials may never change.
    let network = network(10_000);
    let digest = |protection: &str| {
        let memory = stored(&network, protection);
        let mut digest = Sha256::new();
        for p in [1e-9, 1e-6, 1e-3, 0.1, 1.0] {
            let Ok(changed) = memory.changed_trials(rate(p)) else {
                assert_eq!(p, 1.0);
                continue;
            };
            for number in 0..50 {
                digest.update(format!("{:?}", changed.trial(2019, number)));
            }
        }
        durable::hex(&digest.finalize()[..8])
    };
    for (protection, stable) in [
        ("faulty", "da3af085aeb4886c"),
        ("parity-zero", "5c9d1ef489eb50bb"),
        ("secded-72-64", "185fa65b9d531f9c"),
        ("in-place-64-57", "b7b76908ef8161b7"),
        ("idealized-64", "27f342bd5d8f9430"),
        ("idealized-64-t2", "f31f7651f781513a"),
        ("vote", "e076e388bd1f80b4"),
        ("msb-tmr", "2e313cdffc76924d"),
    ] {
        assert_eq!(digest(protection), stable, "{protection}");
    }
}

/// 16 "images"; image i is classified wrongly when a changed weight's index is i modulo 16.
struct Tiny;

impl Evaluator for Tiny {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        let predict = |trial: &ChangedTrial<'_>| {
            let mut classes = vec![1; 16];
            trial.changes.iter().for_each(|change| classes[change.index % 16] = 2);
            Outputs::Predictions(classes)
        };
        Ok(trials.iter().map(predict).collect())
    }

    fn is_deterministic(&self) -> bool {
        true
    }
}

fn toml(trials: u64, trials_of: &str) -> String {
    format!(
        r#"
name = "tiny"
title = "Tiny"
seed = 7
trials = {trials}
unit_trials = 500
trials_of = "{trials_of}"
fault_model = "bernoulli"
rates = [1e-3, 1e-2]
protections = ["faulty", "zero", "ecc", "in-place"]

[[model]]
label = "tiny"
checkpoint = "tiny.safetensors"

[data]
set = "none"
split = "test"
"#
    )
}

fn experiment(text: &str) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = Experiment::load(&path).map(|(experiment, _)| experiment);
    loaded.map_err(|e| e.to_string().replace(&path.display().to_string(), "x.toml"))
}

fn evaluation_set() -> EvaluationSet {
    EvaluationSet { name: "none".into(), split: "test".into(), images: 16, ..EvaluationSet::default() }
}

/// Runs an experiment on the network; the merged rows and what was expected of each cell.
fn rows(root: &Path, network: &Network, text: &str) -> (Vec<TrialRow>, Vec<ExpectedOutcomes>) {
    let experiment = experiment(text).unwrap();
    let cells = plan(&experiment, std::slice::from_ref(network), &evaluation_set()).unwrap();
    let expected = expected_outcomes(std::slice::from_ref(network), &cells);
    let (trials, unit_trials) = (experiment.trials, experiment.unit_trials);
    let manifest = Manifest::new("tiny", text, vec![], cells, trials, unit_trials, Environment::default());
    let store = Store::create(root, manifest).unwrap();
    let evaluation = Evaluation::new(vec![1; 16], vec![1; 16]);
    let subject = NetworkUnderTest { network, evaluator: &mut Tiny, evaluation: &evaluation };
    run(&store, &mut [subject], Shard::WHOLE, &|| RunControl::Continue, &mut |_| ()).unwrap();
    store.merge().unwrap();
    (read_trials(&root.join("trials.parquet")).unwrap(), expected)
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn drops(rows: &[TrialRow], cell: &str) -> Vec<f64> {
    let of_cell = rows.iter().filter(|row| row.cell == cell);
    of_cell.map(|row| row.clean_correct as f64 - row.record.correct as f64).collect()
}

#[test]
fn a_run_of_changed_trials_can_be_given_more() {
    let network = network(97);
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, trials| rows(&folder.path().join(name), &network, &toml(trials, "changed")).0;
    let short = of("grown", 13);
    let long = of("grown", 40);
    assert_eq!(long, of("direct", 40));
    for (short, long) in short.chunks(13).zip(long.chunks(40)) {
        assert_eq!(short, &long[..13]);
    }
}

#[test]
fn both_ways_to_draw_a_cell_estimate_the_same_drop_and_the_outcomes_are_the_expected_ones() {
    let network = network(97);
    let folder = tempfile::tempdir().unwrap();
    let (all, expected) = rows(&folder.path().join("all"), &network, &toml(20_000, "all"));
    let (changed, again) = rows(&folder.path().join("changed"), &network, &toml(2_000, "changed"));
    assert_eq!((all.len(), changed.len(), expected.len()), (8 * 20_000, 8 * 2_000, 8));
    assert!(all.iter().all(|row| row.changed_probability.is_none()));
    let alike = |row: &&TrialRow, like: &TrialRow| row.protection == like.protection && row.rate == like.rate;

    for (expected, of_changed) in expected.iter().zip(&again) {
        let row = all.iter().find(|row| row.cell == expected.cell.as_str()).unwrap();
        let other = changed.iter().find(|other| alike(other, row)).unwrap();
        assert_ne!(row.cell, other.cell, "a cell of changed trials is another cell");
        assert_eq!(other.cell, of_changed.cell.as_str());
        let probability = other.changed_probability.unwrap();
        assert_eq!(probability, expected.changed_probability);
        let label = format!("{} {}", row.protection, row.rate);

        let (plain, plain_error) = mean(&drops(&all, &row.cell));
        let (given, given_error) = mean(&drops(&changed, &other.cell));
        let (weighted, weighted_error) = (probability * given, probability * given_error);
        let error = plain_error.hypot(weighted_error);
        assert!((plain - weighted).abs() < 4.0 * error, "{label}: {plain} against {weighted}, error {error}");
        // As many trials say more.
        let factor = (20_000.0 / 2_000.0) * (plain_error / weighted_error).powi(2);
        assert!(factor > 0.9 / probability, "{label}: {factor}, 1/P is {}", 1.0 / probability);

        // Counts of words: independent words, so their variance is below the mean.
        let total = |get: fn(&TrialRow) -> u64| -> f64 {
            all.iter().filter(|r| r.cell == row.cell).map(|r| get(r) as f64).sum()
        };
        for (what, found, expected) in [
            ("words hit", total(|r| r.record.words_hit), expected.words_hit),
            ("corrected", total(|r| r.record.corrected), expected.corrected),
            ("detected", total(|r| r.record.detected), expected.detected),
            ("miscorrected", total(|r| r.record.miscorrected), expected.miscorrected),
            ("silent", total(|r| r.record.silent), expected.silent),
            (
                "changed trials",
                total(|r| u64::from(r.record.weights_changed + r.record.padding_changed > 0)),
                expected.changed_probability,
            ),
        ] {
            let expected = 20_000.0 * expected;
            assert!(
                (found - expected).abs() <= 4.5 * expected.sqrt(),
                "{label} {what}: {found} for {expected}"
            );
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_in_one_sentence() {
    let good = toml(1, "changed");
    for (from, to, message) in [
        (
            "bernoulli",
            "fixed-count",
            "x.toml: `fault_model` is \"fixed-count\", expected \"bernoulli\" when `trials_of` is \"changed\": only there \
             are words independent",
        ),
        (
            "1e-3, 1e-2",
            "0.0, 1e-2",
            "x.toml: `rates` is 0, expected positive numbers when `trials_of` is \"changed\"",
        ),
        ("\"changed\"", "\"some\"", "x.toml: line 7: unknown variant `some`, expected `all` or `changed`"),
    ] {
        assert_eq!(experiment(&good.replacen(from, to, 1)).unwrap_err(), message);
    }
    // p^2 is not a number any more.
    let tiny = good.replace("1e-3, 1e-2", "1e-200");
    let error = plan(&experiment(&tiny).unwrap(), &[network(97)], &evaluation_set()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tiny under secded-72-64: trials_of = \"changed\" has nothing to draw at rate 1e-200: the probability that any \
         word reads wrong is 0"
    );

    let lossy = good.replace("\"zero\"", "\"weight-nulling\"");
    let error = plan(&experiment(&lossy).unwrap(), &[network(97)], &evaluation_set()).unwrap_err();
    let why = "trials_of = \"changed\" counts a trial in which no word reads wrong as no loss, but weight-nulling \
               changes weights by storing them";
    assert_eq!(error.to_string(), format!("tiny under weight-nulling: {why}"));
    let network = network(97);
    assert_eq!(stored(&network, "weight-nulling").changed_trials(rate(1e-3)).unwrap_err().to_string(), why);

    let unknown = StoredNetwork::new(&network, Arc::new(Unknown)).unwrap();
    let error = unknown.changed_trials(rate(1e-3)).unwrap_err();
    assert_eq!(error, NoChangedTrials::NoClosedForm { protection: "unknown".into() });
    assert_eq!(
        error.to_string(),
        "trials_of = \"changed\" needs the probability that a word of unknown reads wrong, which has no closed form"
    );
}

/// As `faulty`, but nobody has worked out its outcomes.
#[derive(Debug)]
struct Unknown;

impl Protection for Unknown {
    fn id(&self) -> &'static str {
        "unknown"
    }

    fn definition(&self) -> String {
        String::new()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        ecc::by_id("faulty").unwrap().encode_block(weights, image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        for (weight, byte) in weights.iter_mut().zip(&image.data()[word * BLOCK..]) {
            *weight = byte.cast_signed();
        }
        WordStatus::Clean
    }

    fn syndrome(&self, _: &MemoryImage, _: usize) -> u64 {
        0
    }
}
