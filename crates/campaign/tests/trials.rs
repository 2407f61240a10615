//! Trials and runs through the public interface, with a tiny network whose "accuracy" is a function of
//! its weights.

use std::collections::BTreeSet;
use std::path::Path;

use campaign::{
    ChangedTrial, Evaluation, EvaluationError, Evaluator, Experiment, Network, NetworkUnderTest, Outputs,
    RunControl, RunOutcome, Shard, StoredNetwork, Trial, WordAccount, WordOutcome, plan, run,
};
use design::{BitErrorRate, EvaluationSet, FailureRule, FaultKind, StopRule};
use ecc::{MemoryImage, MemoryLayout, Protection, WordStatus};
use graph::WeightChange;
use inject::{FaultPattern, Faults};
use records::{Environment, Manifest, Merged, Store, TrialRow};
use sha2::{Digest, Sha256};

const BOTH: [FaultKind; 2] = [FaultKind::Bernoulli, FaultKind::FixedCount];

/// 97 weights in two tensors: 7 of padding.
fn network() -> Network {
    network_of([45, 52])
}

fn network_of(sizes: [usize; 2]) -> Network {
    let layout = MemoryLayout::new(["conv.weight", "fc.weight"].into_iter().zip(sizes));
    let weights: Vec<i8> = (0..sizes[0] + sizes[1]).map(|i| (i * 37 % 128) as i8 - 64).collect();
    let plane = layout.pack([&weights[..sizes[0]], &weights[sizes[0]..]]);
    Network { label: "tiny".into(), digest: "d1".into(), evaluator: "tiny-1".into(), layout, plane }
}

/// The same with each weight clamped into the range that a protection needs.
fn storable(network: &Network, protection: &dyn Protection) -> Network {
    let mut network = network.clone();
    protection.constraint().throttle(&mut network.plane);
    network
}

/// 16 "images"; image i is classified wrongly when a changed weight's index is i modulo 16.
#[derive(Default)]
struct Tiny {
    asked: usize,
    /// Trials in a call at most; 0 for 1.
    together: usize,
}

impl Evaluator for Tiny {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        self.asked += trials.len();
        let predict = |trial: &ChangedTrial<'_>| {
            let changes = trial.changes;
            assert!(!changes.is_empty(), "nobody asks about an unchanged network");
            let mut classes = vec![1; 16];
            changes.iter().for_each(|change| classes[change.index % 16] = 2);
            match trial.images {
                None => Outputs::Predictions(classes),
                Some(images) => Outputs::Predictions(images.iter().map(|&i| classes[i as usize]).collect()),
            }
        };
        assert!(trials.len() <= self.together(), "{} trials in a call", trials.len());
        Ok(trials.iter().map(predict).collect())
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn together(&self) -> usize {
        self.together.max(1)
    }
}

fn evaluation() -> Evaluation {
    let mut labels = vec![1; 16];
    labels[3] = 0;
    Evaluation::new(labels, vec![1; 16])
}

fn toml() -> &'static str {
    r#"
name = "tiny"
title = "Tiny"
seed = 7
trials = 23
unit_trials = 10
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
}

fn experiment(text: &str) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = Experiment::load(&path).map(|(experiment, _)| experiment);
    loaded.map_err(|e| e.to_string().replace(&path.display().to_string(), "x.toml"))
}

fn evaluation_set() -> EvaluationSet {
    EvaluationSet {
        name: "none".into(),
        split: "test".into(),
        images: 16,
        digest: "e".into(),
        ..EvaluationSet::default()
    }
}

fn manifest(network: &Network) -> Manifest {
    let experiment = experiment(toml()).unwrap();
    let cells = plan(&experiment, std::slice::from_ref(network), &evaluation_set()).unwrap();
    Manifest::new(
        "tiny",
        toml(),
        vec![],
        cells,
        experiment.trials,
        experiment.unit_trials,
        Environment::default(),
    )
}

/// What a run did, and about how many trials the evaluator was asked.
fn run_all(root: &Path, network: &Network) -> (RunOutcome, usize) {
    run_with(root, network, Tiny::default())
}

fn run_with(root: &Path, network: &Network, mut evaluator: Tiny) -> (RunOutcome, usize) {
    let store = Store::create(root, manifest(network)).unwrap();
    let subject = NetworkUnderTest { network, evaluator: &mut evaluator, evaluation: &evaluation() };
    let mut told = 0;
    let outcome = run(&store, &mut [subject], Shard::WHOLE, &|| RunControl::Continue, &mut |progress| {
        assert!(progress.done >= told && progress.done <= progress.total);
        told = progress.done;
    });
    (outcome.unwrap(), evaluator.asked)
}

/// Runs a shard, as far as `control` lets it.
fn run_shard(root: &Path, shard: Shard, control: &dyn Fn() -> RunControl) -> RunOutcome {
    let network = network();
    let store = Store::create(root, manifest(&network)).unwrap();
    let subject =
        NetworkUnderTest { network: &network, evaluator: &mut Tiny::default(), evaluation: &evaluation() };
    run(&store, &mut [subject], shard, control, &mut |_| {}).unwrap()
}

fn merged(root: &Path) -> Vec<u8> {
    let Merged::Complete(path) = Store::open(root).unwrap().merge().unwrap() else {
        panic!("units are missing")
    };
    std::fs::read(path).unwrap()
}

/// Memory that stores a plane of weights.
fn image_of(protection: &dyn Protection, plane: &[i8]) -> MemoryImage {
    let mut image = MemoryImage::blank(protection.word(), plane.len());
    protection.encode_plane(plane, &mut image);
    image
}

/// S205, S206, S207 and S208 of the specification.
#[test]
fn trials_see_what_a_read_of_the_whole_memory_sees() {
    // 104 weights, which the word codecs read alone, and 5,016, of which the dense loops read the clean groups.
    for (sizes, rates) in [([45, 52], [0.03, 0.3]), ([1_999, 3_005], [1e-3, 3e-2])] {
        for protection in ecc::all() {
            let network = storable(&network_of(sizes), &*protection);
            let clean = image_of(&*protection, &network.plane);
            let stored = StoredNetwork::new(&network, ecc::by_id(protection.id()).unwrap()).unwrap();
            let mut as_stored = vec![0; network.plane.len()];
            protection.decode(&clean, &mut as_stored);
            let lossy: usize = as_stored.iter().zip(&network.plane).filter(|(a, b)| a != b).count();
            assert_eq!(stored.losses().len(), lossy);
            let mut seen = [0; 4];
            for (model, rate) in BOTH.into_iter().zip(rates).chain([(FaultKind::Bernoulli, rates[0])]) {
                for trial in 0..200 {
                    let found = stored.trial(model, BitErrorRate::new(rate).unwrap(), 1, trial);
                    let outcomes =
                        compare_with_dense(&network, &*protection, clean.clone(), &as_stored, &found);
                    compare_with_account(&stored, &as_stored, &found);
                    seen.iter_mut().zip(outcomes).for_each(|(sum, n)| *sum += n);
                }
            }
            let seen = seen.map(|n| n > 0);
            let possible = match protection.id() {
                "faulty" => [false, false, false, true],
                "idealized-64" | "idealized-64-t2" => [true, true, false, false],
                "vote" | "msb-tmr" | "mset-8" => [true, false, true, true],
                "parity-zero" | "parity-avg" | "weight-nulling" | "cep-8" => [false, true, false, true],
                "secded-72-64" | "in-place-64-57" | "in-place-list" => [true; 4],
                // Of some, too few words are code words for one to be met here.
                _ => [true, true, true, seen[3]],
            };
            assert_eq!(seen, possible, "{}: {seen:?}", protection.id());
        }
    }
}

/// The account of a trial names exactly its flips, words and outcomes, and reads what the trial read.
/// Offsets of the bits of a plane that hold 1.
fn set_bits(plane: &[u8]) -> Vec<u64> {
    (0..8 * plane.len() as u64).filter(|bit| plane[(bit / 8) as usize] >> (bit % 8) & 1 == 1).collect()
}

#[test]
fn the_planes_hold_1_where_a_fault_that_clears_bits_flips_them() {
    let mut free = network();
    free.plane[3] = 100;
    free.plane[50] = -128;
    for protection in ecc::all() {
        let id = protection.id().to_owned();
        let network = storable(&free, &*protection);
        let stored = StoredNetwork::new(&network, protection).unwrap();
        let all = FaultPattern {
            data: (0..stored.bits().data_bits).collect(),
            check: (0..stored.bits().check_bits).collect(),
        };
        let cleared = stored.read(Faults::ByStoredBit { ones: all, zeros: FaultPattern::default() }).pattern;
        let [data, check] = stored.planes();
        assert_eq!(data.len(), network.plane.len(), "{id}");
        assert_eq!((set_bits(&data), set_bits(&check)), (cleared.data, cleared.check), "{id}");
    }
}

fn compare_with_account(stored: &StoredNetwork<'_>, as_stored: &[i8], found: &Trial) {
    let account = stored.account(&found.pattern);
    let flips = |of: fn(&WordAccount) -> &[u64]| account.iter().flat_map(of).copied().collect::<Vec<_>>();
    assert_eq!(flips(|word| &word.data_flips), found.pattern.data);
    assert_eq!(flips(|word| &word.check_flips), found.pattern.check);
    let with = |outcome| account.iter().filter(|word| word.outcome == outcome).count() as u64;
    assert_eq!(account.len() as u64, found.words_hit);
    assert_eq!(with(WordOutcome::Corrected), found.corrected);
    assert_eq!(with(WordOutcome::Detected), found.detected);
    assert_eq!(with(WordOutcome::Miscorrected), found.miscorrected);
    assert_eq!(with(WordOutcome::Silent), found.silent);
    let mut read = as_stored.to_vec();
    for word in &account {
        let place = word.first..word.first + word.weights.len();
        assert_eq!(word.weights, as_stored[place.clone()]);
        read[place].copy_from_slice(&word.read);
        let flipped = word.stored.iter().zip(&word.received).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        assert_eq!(flipped as usize, word.data_flips.len());
    }
    assert_eq!(changes(stored.network(), &read), (found.changes.clone(), found.padding_changed));
}

/// The weights that read differently than the network has them, and how much padding does.
fn changes(network: &Network, read: &[i8]) -> (Vec<WeightChange>, u64) {
    let (mut changes, mut padding) = (Vec::new(), 0);
    for (index, (&value, own)) in read.iter().zip(&network.plane).enumerate() {
        match network.layout.locate(index) {
            _ if value == *own => {}
            Some((tensor, index)) => changes.push(WeightChange { tensor, index, value }),
            None => padding += 1,
        }
    }
    (changes, padding)
}

/// Flips the cells of a trial in a whole memory and reads all of it; returns the outcomes: corrected, detected,
/// miscorrected, silent.
fn compare_with_dense(
    network: &Network,
    protection: &dyn Protection,
    mut image: MemoryImage,
    as_stored: &[i8],
    found: &Trial,
) -> [u64; 4] {
    let FaultPattern { data, check } = &found.pattern;
    data.iter().for_each(|&bit| image.flip_data(bit));
    check.iter().for_each(|&bit| image.flip_check(bit));
    let mut dense = vec![0; network.plane.len()];
    let counts = protection.decode(&image, &mut dense);

    // The weights: those that changed are exactly those that read differently.
    assert_eq!((found.changes.clone(), found.padding_changed), changes(network, &dense));

    // The words: each has the outcome that its status and its weights give it.
    let size = protection.word().weights;
    let mut outcomes = [0; 4];
    let mut read = vec![0; size];
    for (word, original) in as_stored.chunks(size).enumerate() {
        let status = protection.decode_word(&image, word, &mut read);
        assert_eq!(read, dense[word * size..][..size]);
        let right = read == original;
        outcomes[0] += u64::from(status == WordStatus::Corrected && right);
        outcomes[1] += u64::from(status == WordStatus::Detected);
        outcomes[2] += u64::from(status == WordStatus::Corrected && !right);
        outcomes[3] += u64::from(status == WordStatus::Clean && !right);
    }
    assert_eq!([found.corrected, found.detected, found.miscorrected, found.silent], outcomes);
    assert_eq!((found.corrected + found.miscorrected, found.detected), (counts.corrected, counts.detected));
    let words =
        |bits: &[u64], cells: usize| bits.iter().map(|&bit| bit / cells.max(1) as u64).collect::<Vec<_>>();
    let hit: BTreeSet<u64> =
        [words(data, 8 * size), words(check, protection.word().check_bits)].into_iter().flatten().collect();
    assert_eq!(found.words_hit, hit.len() as u64);
    outcomes
}

/// S206, S401, S402 and S403 of the specification.
#[test]
fn records_are_stable() {
    // Fixed by definition: the records of these trials may never change.
    let network = network();
    let mut large = network.clone();
    [(3, 100), (6, -128), (7, 127), (59, 64)].into_iter().for_each(|(i, value)| large.plane[i] = value);
    let digest = |protection: &str| {
        let network = if protection == "in-place-list" { &large } else { &network };
        let stored = StoredNetwork::new(network, ecc::by_id(protection).unwrap()).unwrap();
        let mut digest = Sha256::new();
        for model in BOTH {
            for rate in [1e-3, 1e-2, 0.1, 0.5, 1.0] {
                for trial in 0..100 {
                    let found = stored.trial(model, BitErrorRate::new(rate).unwrap(), 2019, trial);
                    let records = evaluation().records(trial, vec![found], &mut Tiny::default()).unwrap();
                    digest.update(
                        format!("{:?}", records[0]).replace(", scores: []", "").replace(", block: None", ""),
                    );
                }
            }
        }
        durable::hex(&digest.finalize()[..8])
    };
    for (protection, stable) in [
        ("faulty", "e33685d454b1615d"),
        ("parity-zero", "903894d4c1d09e21"),
        ("secded-72-64", "9e211740900d798f"),
        ("in-place-64-57", "17cdd565ef8e60fb"),
        ("in-place-list", "ed85dab4a3a795da"),
        ("parity-avg", "6b033671a09a6e4b"),
        ("vote", "799acc6a8200151f"),
        ("msb-tmr", "2f5d20497ede671c"),
        ("cep-8", "90894a6763dbdc4c"),
        ("mset-8", "d0616ea1a83cf48c"),
        ("idealized-64", "0fd2cb764e00506e"),
        ("idealized-64-t2", "ecff1add3028956a"),
        ("weight-nulling", "54ef02a9a96b1933"),
    ] {
        assert_eq!(digest(protection), stable, "{protection}");
    }
}

/// At rate 0, which no flip hides, a lossy protection shows what it loses by storing, and a lossless one nothing.
#[test]
fn storage_losses_are_in_every_trial_and_in_its_predictions() {
    let network = network();
    let memory = |id| StoredNetwork::new(&network, ecc::by_id(id).unwrap()).unwrap();
    let never = BitErrorRate::new(0.0).unwrap();
    let records = |memory: &StoredNetwork<'_>, evaluator: &mut Tiny| {
        let trials = (0..3).map(|t| memory.trial(FaultKind::Bernoulli, never, 1, t)).collect();
        evaluation().records(0, trials, evaluator).unwrap()
    };
    let (lossless, lossy) = (memory("in-place"), memory("weight-nulling"));
    let (mut asked, mut evaluator) = (Tiny::default(), Tiny { together: usize::MAX, ..Tiny::default() });
    assert!(records(&lossless, &mut asked).iter().all(|record| record.correct == 15));
    assert_eq!((lossless.losses().len(), asked.asked), (0, 0));
    // Half of all weights have an odd number of ones.
    let odd = network.plane.iter().filter(|weight| weight.count_ones() % 2 == 1).count();
    assert_eq!(lossy.losses().len(), odd);
    for record in records(&lossy, &mut evaluator) {
        assert_eq!((record.words_hit, record.weights_changed, record.padding_changed), (0, odd as u64, 0));
        assert!(record.correct < 15 && record.agree < 16);
    }
}

#[test]
fn every_protection_meets_the_same_data_flips() {
    let network = network();
    let mut patterns = ecc::all().into_iter().map(|protection| {
        let network = storable(&network, &*protection);
        let stored = StoredNetwork::new(&network, protection).unwrap();
        (0..50)
            .map(|t| stored.trial(FaultKind::Bernoulli, BitErrorRate::new(0.01).unwrap(), 9, t).pattern.data)
            .collect::<Vec<_>>()
    });
    let first = patterns.next().unwrap();
    assert!(patterns.all(|other| other == first));
}

/// S404 of the specification.
#[test]
fn an_unchanged_network_is_never_run_and_scores_as_clean() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, asked) = run_all(folder.path(), &network());
    assert_eq!((outcome.kept, outcome.computed, outcome.left), (0, 4 * 2 * 3, 0));
    let rows = {
        merged(folder.path());
        records::read_trials(&folder.path().join("trials.parquet")).unwrap()
    };
    assert_eq!(rows.len(), 4 * 2 * 23);
    // And once for the canary, the first trial of the first cell of highest rate.
    let changed = |row: &&TrialRow| row.record.weights_changed > 0;
    let canary = rows.iter().find(|row| row.rate == 1e-2).filter(changed);
    assert_eq!(rows.iter().filter(changed).count() + usize::from(canary.is_some()), asked);
    for row in rows {
        assert_eq!((row.clean_correct, row.images), (15, 16));
        if row.record.weights_changed == 0 {
            assert_eq!((row.record.correct, row.record.agree), (15, 16));
        }
    }
}

#[test]
fn trials_evaluated_together_give_the_same_records() {
    let (single, several) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, asked) = run_all(single.path(), &network());
    let together = Tiny { together: usize::MAX, ..Tiny::default() };
    assert_eq!(run_with(several.path(), &network(), together).1, asked);
    assert_eq!(merged(single.path()), merged(several.path()));
}

#[test]
fn a_run_resumes_to_the_same_bytes() {
    let network = network();
    let whole = tempfile::tempdir().unwrap();
    run_all(whole.path(), &network);
    let reference = merged(whole.path());

    let broken = tempfile::tempdir().unwrap();
    run_all(broken.path(), &network);
    let mut parts: Vec<_> =
        std::fs::read_dir(broken.path().join("parts")).unwrap().map(|e| e.unwrap().path()).collect();
    parts.sort();
    // One part lost, one cut short, one with a flipped bit, one of another cell under a wrong name.
    std::fs::remove_file(&parts[0]).unwrap();
    let bytes = std::fs::read(&parts[1]).unwrap();
    std::fs::write(&parts[1], &bytes[..bytes.len() / 2]).unwrap();
    let mut bytes = std::fs::read(&parts[2]).unwrap();
    bytes[40] ^= 4;
    std::fs::write(&parts[2], bytes).unwrap();
    std::fs::copy(&parts[4], &parts[3]).unwrap();
    let store = Store::open(broken.path()).unwrap();
    let Merged::Missing(units) = store.merge().unwrap() else { panic!("four parts do not count") };
    assert_eq!(units.len(), 4);

    let (outcome, _) = run_all(broken.path(), &network);
    assert_eq!((outcome.kept, outcome.computed), (20, 4));
    assert_eq!(std::fs::read_dir(broken.path().join("set-aside")).unwrap().count(), 3);
    assert_eq!(merged(broken.path()), reference);
}

#[test]
fn shards_in_any_order_and_number_end_in_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    run_all(whole.path(), &network());
    let reference = merged(whole.path());
    for count in [2, 7, 40] {
        let folder = tempfile::tempdir().unwrap();
        let computed = |index| {
            let outcome =
                run_shard(folder.path(), Shard::new(index, count).unwrap(), &|| RunControl::Continue);
            assert_eq!((outcome.kept, outcome.left), (0, 0));
            outcome.computed
        };
        let sizes: Vec<usize> = (0..count).rev().map(computed).collect();
        let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
        assert!(most - least <= 1 && sizes.iter().sum::<usize>() == 24, "{sizes:?}");
        assert_eq!(merged(folder.path()), reference);
    }
    // Others take over what one has begun, cut in another number, with one of its parts damaged.
    let folder = tempfile::tempdir().unwrap();
    let begun = run_shard(folder.path(), Shard::new(1, 3).unwrap(), &|| RunControl::Continue).computed;
    let damaged = std::fs::read_dir(folder.path().join("parts")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(damaged, "").unwrap();
    let halves =
        [0, 1].map(|half| run_shard(folder.path(), Shard::new(half, 2).unwrap(), &|| RunControl::Continue));
    assert_eq!(halves.iter().map(|half| half.kept).sum::<usize>(), begun - 1);
    assert_eq!(halves.iter().map(|half| half.set_aside.len()).sum::<usize>(), 1);
    assert_eq!(merged(folder.path()), reference);
}

/// Cells end with the unit in which failures reach a number, however the units are computed; what was computed beyond
/// that does not count.
#[test]
fn a_stop_rule_keeps_the_shortest_prefix_of_units_with_enough_failures() {
    let network = network();
    let stop = StopRule::Failures(FailureRule { failures: 8, drop_points: 100.0 / 16.0 });
    let planned = Manifest { trials: 95, stop: Some(stop), ..manifest(&network) };
    let run_in = |root: &Path, planned: &Manifest, shard| {
        let store = Store::create(root, planned.clone()).unwrap();
        let subject = NetworkUnderTest {
            network: &network,
            evaluator: &mut Tiny::default(),
            evaluation: &evaluation(),
        };
        run(&store, &mut [subject], shard, &|| RunControl::Continue, &mut |_| {}).unwrap()
    };
    let rows = |root: &Path| {
        merged(root);
        records::read_trials(&root.join("trials.parquet")).unwrap()
    };
    let all = tempfile::tempdir().unwrap();
    run_in(all.path(), &Manifest { stop: None, ..planned.clone() }, Shard::WHOLE);
    let mut expected = Vec::new();
    let mut lengths = BTreeSet::new();
    for cell in &planned.cells {
        let id = cell.id.to_string();
        let trials: Vec<_> = rows(all.path()).into_iter().filter(|row| row.cell == id).collect();
        let failures = |end: usize| {
            let failed = trials[..end].iter().filter(|row| row.record.correct < row.clean_correct);
            failed.count()
        };
        let ends = (10..95).step_by(10).chain([95]);
        let end = ends.into_iter().find(|&end| failures(end) >= 8).unwrap_or(95);
        lengths.insert(end);
        expected.extend(trials.into_iter().take(end));
    }
    assert!(lengths.len() > 2 && lengths.contains(&95), "the rule matters, and not everywhere: {lengths:?}");

    let whole = tempfile::tempdir().unwrap();
    let outcome = run_in(whole.path(), &planned, Shard::WHOLE);
    assert_eq!(rows(whole.path()), expected);
    assert_eq!((outcome.computed + outcome.spared, outcome.left), (80, 0));
    assert!(outcome.spared > 0 && run_in(whole.path(), &planned, Shard::WHOLE).computed == 0);
    // A shard alone cannot know that a cell has ended, and computes more; the same counts.
    for order in [[0, 1, 2], [2, 0, 1]] {
        let shards = tempfile::tempdir().unwrap();
        let outcomes = order.map(|i| run_in(shards.path(), &planned, Shard::new(i, 3).unwrap()));
        assert!(outcomes.iter().map(|o| o.computed).sum::<usize>() > outcome.computed);
        assert_eq!(merged(shards.path()), merged(whole.path()));
    }
    let Err(refused) = Store::create(whole.path(), Manifest { stop: None, ..planned }) else {
        panic!("another plan");
    };
    assert!(refused.to_string().ends_with("stop is absent, was 8 failures of 6.25 points"), "{refused}");
}

/// A machine that computes other predictions is found before it stores anything, whatever units it works on.
#[test]
fn a_canary_tells_machines_apart_that_compute_differently() {
    let folder = tempfile::tempdir().unwrap();
    run_shard(folder.path(), Shard::new(0, 2).unwrap(), &|| RunControl::Continue);
    let network = network();
    let store = Store::create(folder.path(), manifest(&network)).unwrap();
    let parts = || std::fs::read_dir(folder.path().join("parts")).unwrap().count();
    let before = parts();
    let evaluation = Evaluation::new(vec![1; 16], vec![1; 16]);
    let subject =
        NetworkUnderTest { network: &network, evaluator: &mut Tiny::default(), evaluation: &evaluation };
    let half = Shard::new(1, 2).unwrap();
    let error =
        run(&store, &mut [subject], half, &|| RunControl::Continue, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("canary") && error.contains("differs from the records computed now"), "{error}");
    assert_eq!(parts(), before);
}

#[test]
fn a_shard_meets_every_cell_about_equally_often() {
    // 16 units a round: dealt by turns, shard 3 of 4 would see one rate of four, or one protection, for ever.
    for count in [2, 4, 8] {
        for index in 0..count {
            let shard = Shard::new(index, count).unwrap();
            let mut met = [0; 16];
            (0..16 * 64).filter(|&unit| shard.takes(unit)).for_each(|unit| met[unit % 16] += 1);
            assert_eq!(met, [64 / count; 16], "shard {shard}");
        }
    }
}

#[test]
fn a_wrong_shard_is_refused() {
    let refused = |text: &str| text.parse::<Shard>().unwrap_err().to_string();
    assert_eq!(refused("3"), "a shard is K/N, two whole numbers, such as 0/8");
    assert_eq!(refused("-1/3"), refused("1/3/3"));
    assert_eq!(refused("3/3"), "shards of 3 are numbered from 0, expected K below 3");
    assert_eq!(refused("0/0"), "0 shards, expected at least 1");
    assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
}

/// A control that is `wish` when it is asked for the n-th time, and from then on where that is a stop.
fn at_question(n: usize, wish: RunControl) -> impl Fn() -> RunControl {
    let asked = std::cell::Cell::new(0);
    move || {
        asked.set(asked.get() + 1);
        match wish {
            RunControl::Stop if asked.get() >= n => RunControl::Stop,
            _ if asked.get() == n => wish,
            _ => RunControl::Continue,
        }
    }
}

/// Trials on the disk of units that are not finished.
fn begun(root: &Path) -> usize {
    let scan = Store::open(root).unwrap().scan().unwrap();
    scan.begun.values().map(|part| part.trials.len()).sum()
}

#[test]
fn a_run_that_is_stopped_keeps_every_finished_trial_and_goes_on_with_them() {
    let whole = tempfile::tempdir().unwrap();
    run_all(whole.path(), &network());
    let reference = merged(whole.path());
    let all_asked = run_all(tempfile::tempdir().unwrap().path(), &network()).1;
    // Asked before each unit and before each call of the evaluator.
    for n in [1, 2, 3, 4, 11, 12, 30, 77, 100] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path(), manifest(&network())).unwrap();
        let (mut evaluator, network) = (Tiny::default(), network());
        let mut done = 0;
        let subject =
            NetworkUnderTest { network: &network, evaluator: &mut evaluator, evaluation: &evaluation() };
        let control = at_question(n, RunControl::Stop);
        let outcome =
            run(&store, &mut [subject], Shard::WHOLE, &control, &mut |progress| done = progress.done);
        let outcome = outcome.unwrap();
        let stored: u64 = store.scan().unwrap().done.keys().map(|unit| unit.count).sum();
        assert_eq!(stored + begun(folder.path()) as u64, done, "every trial that was told of, stop at {n}");
        if let Some((kept, of)) = outcome.begun {
            assert!(kept < of && kept == begun(folder.path()) as u64, "{kept} of {of}");
        }
        let asked_before = evaluator.asked;
        // Nothing is computed twice but the canary.
        let (outcome, asked) = run_all(folder.path(), &network);
        assert_eq!((outcome.left, outcome.begun, begun(folder.path())), (0, None, 0));
        assert!(asked_before + asked <= all_asked + 1, "{asked_before} and {asked} of {all_asked}");
        assert_eq!(merged(folder.path()), reference);
    }
}

/// What a kill leaves of a run that was told to keep its trials.
#[test]
fn trials_that_are_kept_on_the_way_survive_a_kill_and_are_not_computed_again() {
    let whole = tempfile::tempdir().unwrap();
    let all_asked = run_all(whole.path(), &network()).1;
    let mut most_begun = 0;
    for n in 3..14 {
        let folder = tempfile::tempdir().unwrap();
        let network = network();
        let store = Store::create(folder.path(), manifest(&network)).unwrap();
        let questions = std::cell::Cell::new(0);
        let control = || {
            questions.set(questions.get() + 1);
            assert!(questions.get() < n, "killed");
            RunControl::Save
        };
        let mut evaluator = Tiny::default();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let subject =
                NetworkUnderTest { network: &network, evaluator: &mut evaluator, evaluation: &evaluation() };
            run(&store, &mut [subject], Shard::WHOLE, &control, &mut |_| {})
        }));
        assert!(died.is_err());
        most_begun = most_begun.max(begun(folder.path()));
        let before = evaluator.asked;
        let (outcome, asked) = run_all(folder.path(), &network);
        assert_eq!((outcome.left, begun(folder.path())), (0, 0));
        // Computed twice: the canary, and the trial before the kill.
        assert!(before + asked <= all_asked + 2, "{before} and {asked} of {all_asked}");
        assert_eq!(merged(folder.path()), merged(whole.path()));
    }
    assert!(most_begun > 0);
}

/// A run that is given more trials, several times, cut into shards, stopped and damaged, has the records of a run that had
/// as many from the beginning; and what it had before is as it was.
#[test]
fn more_trials_end_in_the_bytes_of_a_run_that_had_them_from_the_beginning() {
    let network = network();
    let stop = Some(StopRule::Failures(FailureRule { failures: 8, drop_points: 100.0 / 16.0 }));
    let cases: [(_, &[u64]); 4] =
        [(None, &[4, 23]), (None, &[7, 10, 13, 24]), (stop, &[15, 31]), (stop, &[5, 32, 65])];
    let mut random = 1u64;
    let mut below = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for (stop, history) in cases {
        let planned = |trials: u64| Manifest { trials, stop, ..manifest(&network) };
        let work = |root: &Path, trials, shard, control: &dyn Fn() -> RunControl| {
            let store = Store::create(root, planned(trials)).unwrap();
            let subject = NetworkUnderTest {
                network: &network,
                evaluator: &mut Tiny::default(),
                evaluation: &evaluation(),
            };
            run(&store, &mut [subject], shard, control, &mut |_| {}).unwrap()
        };
        let direct = |trials| {
            let folder = tempfile::tempdir().unwrap();
            work(folder.path(), trials, Shard::WHOLE, &|| RunControl::Continue);
            merged(folder.path())
        };
        let grown = tempfile::tempdir().unwrap();
        let mut parts: Vec<(std::path::PathBuf, Vec<u8>)> = Vec::new();
        for &trials in history {
            // Stopped a few times, then in shards, the last of which may have been started with fewer trials.
            for _ in 0..3 {
                work(
                    grown.path(),
                    trials,
                    Shard::WHOLE,
                    &at_question(1 + below(60) as usize, RunControl::Stop),
                );
            }
            let count = 1 + below(3);
            for index in 0..count {
                work(grown.path(), trials, Shard::new(index, count).unwrap(), &|| RunControl::Continue);
            }
            merged(grown.path());
            assert!(parts.iter().all(|(path, bytes)| std::fs::read(path).unwrap() == *bytes));
            let folder = std::fs::read_dir(grown.path().join("parts")).unwrap();
            let read = |path: std::path::PathBuf| (path.clone(), std::fs::read(path).unwrap());
            parts = folder.map(|entry| read(entry.unwrap().path())).collect();
        }
        let trials = *history.last().unwrap();
        assert_eq!(merged(grown.path()), direct(trials), "{history:?}");
        assert!(!grown.path().join("set-aside").exists());
        let manifest = Store::open(grown.path()).unwrap().manifest().clone();
        let before: Vec<u64> = manifest.extensions.iter().map(|extension| extension.trials).collect();
        assert_eq!(before, history[..history.len() - 1]);
    }
}

#[test]
fn another_plan_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path(), manifest(&network())).unwrap();
    let mut other = network();
    other.digest = "d2".into();
    let error = Store::create(folder.path(), manifest(&other)).unwrap_err().to_string();
    assert!(error.ends_with(r#"network of cell tiny faulty bernoulli 1e-3 is "d2", was "d1""#), "{error}");
}

#[test]
fn a_network_that_a_protection_cannot_store_is_refused_when_planning() {
    let mut large = network();
    large.plane[50] = 90;
    let error = plan(&experiment(toml()).unwrap(), &[large], &evaluation_set()).unwrap_err().to_string();
    assert_eq!(error, "in-place-64-57 cannot store tiny: weight 2 of fc.weight is 90, outside [-64, 63]");
}

#[test]
fn a_network_can_have_protections_of_its_own() {
    let own = toml().replace("tiny.safetensors\"", "tiny.safetensors\"\nprotections = [\"ecc\"]");
    let cells = plan(&experiment(&own).unwrap(), &[network()], &evaluation_set()).unwrap();
    let protections: Vec<&str> = cells.iter().map(|c| c.protection.as_str()).collect();
    assert_eq!(protections, ["secded-72-64"; 2]);
}

/// S203 of the specification.
///
/// A copy that faults cannot reach is no stored cell: it is not counted, and nothing flips in it.
#[test]
fn cells_out_of_reach_of_faults_do_not_count() {
    let own = toml().replace("\"ecc\"", "\"idealized\"");
    let network = network();
    let cells = plan(&experiment(&own).unwrap(), std::slice::from_ref(&network), &evaluation_set()).unwrap();
    let check_bits = |id: &str| cells.iter().find(|cell| cell.protection == id).unwrap().stored.check_bits;
    assert_eq!(["parity-zero", "idealized-64", "in-place-64-57"].map(check_bits), [104, 0, 0]);
    let memory = StoredNetwork::new(&network, ecc::by_id("idealized").unwrap()).unwrap();
    let always = memory.trial(FaultKind::Bernoulli, BitErrorRate::new(1.0).unwrap(), 1, 0);
    assert_eq!((always.pattern.data.len(), always.pattern.check.len(), always.detected), (8 * 104, 0, 13));
}

#[test]
fn one_network_under_two_labels_is_refused() {
    let mut twin = network();
    twin.label = "twin".into();
    let second = toml().replace("[data]", "[[model]]\nlabel = \"twin\"\ncheckpoint = \"t\"\n[data]");
    let error = plan(&experiment(&second).unwrap(), &[network(), twin], &evaluation_set()).unwrap_err();
    assert_eq!(error.to_string(), "models tiny and twin are the same network (content hash d1)");
}

#[test]
fn a_wrong_experiment_file_is_refused_in_one_sentence() {
    for (from, to, message) in [
        (
            "trials = 23",
            "trails = 23",
            "x.toml: line 5: unknown field `trails`, expected one of `name`, `title`, `seed`, `trials`, `unit_trials`, `trials_of`, `stop`, `fault_model`, `sweep`, `rates`, `code`, `code_map`, `protections`, `model`, `data`, `evaluator`",
        ),
        ("trials = 23", "trials = 0", "x.toml: `trials` is 0, expected at least 1"),
        ("trials = 23", "trials = -1", "x.toml: line 5: invalid value: integer `-1`, expected u64"),
        (
            "trials = 23",
            "trials = 10000000000",
            "x.toml: `trials` is 10000000000, expected fewer, or more unit_trials: 8 cells make 8000000000 units, and a run has at most 1048576",
        ),
        ("1e-3, 1e-2", "0.0, -0.0", "x.toml: `rates` is -0e0 twice, expected different numbers"),
        ("1e-3, 1e-2", "1e-3, 1.5", "x.toml: `rates` is 1.5, expected numbers in [0, 1]"),
        ("1e-3, 1e-2", "1e-3, 0.001", "x.toml: `rates` is 1e-3 twice, expected different numbers"),
        ("1e-3, 1e-2", "", "x.toml: `rates` is empty, expected at least one"),
        (
            "\"zero\"",
            "\"faulty\"",
            "x.toml: `protections` is \"faulty\" twice, expected different protections",
        ),
        (
            "\"zero\"",
            "\"raid\"",
            &format!(
                "x.toml: `protections` is \"raid\", expected {}",
                ecc::by_id("raid").unwrap_err().expected
            ),
        ),
        (
            "\"zero\"",
            "\"zero+zero-word\"",
            "x.toml: `protections` is \"zero+zero-word\", expected parity-zero alone, which has no choice of what a \
             detected word reads as",
        ),
        (
            "\"zero\"",
            "\"parity zero\"",
            "x.toml: line 9: protection name \"parity zero\", expected `code` or `code+policy` in printable ASCII \
             characters without spaces",
        ),
        (
            "bernoulli",
            "cosmic",
            "x.toml: `fault_model`: unknown fault model `cosmic`, expected one of bernoulli, fixed-count, \
             burst:length=L[-M],distance=D, stuck-at:value=0|1, asymmetric:share=S, accumulate:hours=H[,scrub=I], \
             dram[:EVENT=WEIGHT,...], per-bit:bit=K, per-tensor:tensor=NAME",
        ),
        (
            "\"bernoulli\"",
            "3",
            "x.toml: line 7: invalid type: integer `3`, expected a string or a list of strings",
        ),
        ("\"bernoulli\"", "[]", "x.toml: `fault_model` is empty, expected at least one"),
        (
            "\"bernoulli\"",
            "[\"bernoulli:bit=7\", \"per-bit:bit=7\"]",
            "x.toml: `fault_model` is \"bernoulli:bit=7\" twice, expected different fault models",
        ),
        (
            "\"bernoulli\"",
            "\"per-bit:bit=7\"\nsweep = [\"bit\"]",
            "x.toml: `fault_model` is \"bernoulli:bit=7\", expected no `bit`, over which `sweep` goes",
        ),
        (
            "\"bernoulli\"",
            "\"bernoulli\"\nsweep = [\"bit\", \"bit\"]",
            "x.toml: `sweep` is [Bit, Bit], expected \"tensor\", \"bit\" or both, each once",
        ),
        (
            "label = \"tiny\"",
            "label = \"a/b\"",
            "x.toml: `model.label` is \"a/b\", expected letters, digits, `-`, `_` and `.`",
        ),
        (
            "name = \"tiny\"",
            "name = \"..\"",
            "x.toml: `name` is \"..\", expected letters, digits, `-`, `_` and `.`",
        ),
        ("seed = 7", "", "x.toml: line 1: missing field `seed`"),
    ] {
        assert!(toml().contains(from));
        assert_eq!(experiment(&toml().replacen(from, to, 1)).unwrap_err(), message);
    }
}
