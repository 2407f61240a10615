//! Cells under each fault model, from an experiment file to what is read.

use std::collections::BTreeSet;

use campaign::{CellTrials, Experiment, Network, StoredNetwork, Trial, plan};
use design::{CellSpec, EvaluationSet};
use ecc::{MemoryImage, MemoryLayout, Protection, WordStatus};
use inject::{FaultPattern, Faults, PlaneSizes};
use sha2::{Digest, Sha256};

/// 2,005 and 3,001 weights in [-64, 63], and padding after both.
fn network() -> Network {
    let sizes = [2_005, 3_001];
    let layout = MemoryLayout::new(["conv.weight", "fc.weight"].into_iter().zip(sizes));
    let weights: Vec<i8> = (0..5_006).map(|i| (i * 37 % 128) as i8 - 64).collect();
    let plane = layout.pack([&weights[..sizes[0]], &weights[sizes[0]..]]);
    Network { label: "small".into(), digest: "d2".into(), evaluator: "none-1".into(), layout, plane }
}

fn experiment(fault_model: &str, rates: &str) -> Result<Experiment, String> {
    experiment_under("['faulty', 'zero', 'ecc', 'in-place']", fault_model, rates)
}

fn experiment_under(protections: &str, fault_model: &str, rates: &str) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let text = format!(
        "name = 'x'\ntitle = 'X'\nseed = 7\ntrials = 10\nfault_model = {fault_model}\nrates = [{rates}]\n\
         protections = {protections}\n[[model]]\nlabel = 'small'\ncheckpoint = 'c'\n\
         [data]\nset = 'none'\nsplit = 'test'\n"
    );
    std::fs::write(&path, text).unwrap();
    let loaded = Experiment::load(&path).map(|(experiment, _)| experiment);
    loaded.map_err(|e| e.to_string().replace(&path.display().to_string(), "x.toml"))
}

fn planned(fault_model: &str, rates: &str) -> Result<Vec<CellSpec>, String> {
    planned_for(network(), &experiment(fault_model, rates)?)
}

fn planned_for(network: Network, experiment: &Experiment) -> Result<Vec<CellSpec>, String> {
    let set = EvaluationSet { name: "none".into(), split: "test".into(), images: 16, ..Default::default() };
    plan(experiment, &[network], &set).map_err(|error| error.to_string())
}

/// The cells of a plan, with one fault model and one rate, by protection.
fn cells(fault_model: &str, rate: f64) -> Vec<CellSpec> {
    planned(&format!("{fault_model:?}"), &format!("{rate:e}")).unwrap()
}

/// The first `count` trials of each protection.
fn trials(fault_model: &str, rate: f64, count: u64) -> Vec<(CellSpec, Vec<Trial>)> {
    let network = network();
    let of = |cell: CellSpec| {
        let memory = StoredNetwork::new(&network, ecc::by_id(&cell.protection).unwrap()).unwrap();
        let cell_trials = CellTrials::new(&memory, &cell).unwrap();
        let trials = (0..count).map(|number| cell_trials.trial(number)).collect();
        (cell, trials)
    };
    cells(fault_model, rate).into_iter().map(of).collect()
}

/// What the model says of a trial of a cell that is not scoped.
fn drawn(cell: &CellSpec, number: u64) -> Faults {
    let planes = PlaneSizes { data_bits: cell.stored.data_bits, check_bits: cell.stored.check_bits };
    inject::sample(cell.fault_model.kind, cell.rate, planes, cell.seed, number)
}

/// Memory that stores a plane of weights.
fn image_of(protection: &dyn Protection, plane: &[i8]) -> MemoryImage {
    let mut image = MemoryImage::blank(protection.word(), plane.len());
    protection.encode_plane(plane, &mut image);
    image
}

fn is_set(plane: &[u8], bit: u64) -> bool {
    plane[(bit / 8) as usize] >> (bit % 8) & 1 == 1
}

#[test]
fn a_burst_of_two_defeats_secded_unless_its_cells_lie_in_two_words() {
    let mut bursts = [0; 2];
    for (case, distance) in [1, 64].into_iter().enumerate() {
        for (cell, trials) in trials(&format!("burst:length=2,distance={distance}"), 2e-5, 200) {
            let block_code = ["secded-72-64", "in-place-64-57"].contains(&&*cell.protection);
            for trial in trials.into_iter().filter(|_| block_code) {
                // A lone burst that is whole and lies in the data plane.
                let [a, b] = trial.pattern.data[..] else { continue };
                if b - a != distance || !trial.pattern.check.is_empty() {
                    continue;
                }
                bursts[case] += 1;
                let expected = if a / 64 == b / 64 { [1, 1, 0] } else { [2, 0, 2] };
                assert_eq!([trial.words_hit, trial.detected, trial.corrected], expected);
                assert!(distance == 1 || a / 64 != b / 64);
            }
        }
    }
    assert!(bursts.iter().all(|&n| n > 20), "{bursts:?}");
}

#[test]
fn a_stuck_or_asymmetric_cell_flips_where_it_holds_the_other_bit() {
    let network = network();
    for name in ["stuck-at:value=0", "stuck-at:value=1", "asymmetric:share=0.9"] {
        for (cell, trials) in trials(name, 0.01, 20) {
            let protection = ecc::by_id(&cell.protection).unwrap();
            let image = image_of(&*protection, &network.plane);
            let mut flips = 0;
            for (number, trial) in (0..).zip(trials) {
                let Faults::ByStoredBit { ones, zeros } = drawn(&cell, number) else { panic!("{name}") };
                let expected = |plane: &[u8], ones: Vec<u64>, zeros: Vec<u64>| {
                    let ones = ones.into_iter().filter(|&bit| is_set(plane, bit));
                    let zeros = zeros.into_iter().filter(|&bit| !is_set(plane, bit));
                    ones.chain(zeros).collect::<BTreeSet<u64>>().into_iter().collect::<Vec<u64>>()
                };
                assert_eq!(trial.pattern.data, expected(image.data(), ones.data, zeros.data));
                assert_eq!(trial.pattern.check, expected(image.check(), ones.check, zeros.check));
                flips += trial.pattern.data.len();
            }
            // About half the bits are ones, and share or not, half of what was drawn flips: 20 trials of 40,064 cells.
            let expected =
                20.0 * 0.01 * cell.stored.data_bits as f64 * if name.starts_with('s') { 0.5 } else { 1.0 };
            assert!((flips as f64 / expected - 1.0).abs() < 0.1, "{name}: {flips}, expected {expected}");
        }
    }
}

#[test]
fn a_memory_of_zeros_is_stuck_at_zero_already() {
    let mut network = network();
    network.plane.fill(0);
    for (name, flips) in
        [("stuck-at:value=0", false), ("asymmetric:share=1", false), ("stuck-at:value=1", true)]
    {
        for cell in cells(name, 0.01) {
            let memory = StoredNetwork::new(&network, ecc::by_id(&cell.protection).unwrap()).unwrap();
            let trial = CellTrials::new(&memory, &cell).unwrap().trial(0);
            assert_eq!(!trial.pattern.data.is_empty(), flips, "{name} {}", cell.protection);
        }
    }
}

/// The whole memory goes through the hours: flips in each interval, and a pass over all words between two.
fn net_flips(network: &Network, protection: &dyn Protection, intervals: &[FaultPattern]) -> FaultPattern {
    let stored = image_of(protection, &network.plane);
    let size = protection.word().weights;
    let check_bits = protection.word().check_bits;
    let mut image = stored.clone();
    for (number, flips) in intervals.iter().enumerate() {
        if number > 0 {
            let mut read = network.plane.clone();
            let mut corrected = BTreeSet::new();
            for word in 0..read.len() / size {
                let mut weights = vec![0; size];
                if protection.decode_word(&image, word, &mut weights) == WordStatus::Corrected {
                    read[word * size..][..size].copy_from_slice(&weights);
                    corrected.insert(word as u64);
                }
            }
            let mut anew = MemoryImage::blank(protection.word(), read.len());
            protection.encode_plane(&read, &mut anew);
            for bit in (0..8 * read.len() as u64).filter(|bit| corrected.contains(&(bit / (8 * size as u64))))
            {
                if is_set(image.data(), bit) != is_set(anew.data(), bit) {
                    image.flip_data(bit);
                }
            }
            for bit in 0..protection.word().check_bits_of(read.len()) as u64 {
                let rewritten = corrected.contains(&(bit / check_bits as u64));
                if rewritten && is_set(image.check(), bit) != is_set(anew.check(), bit) {
                    image.flip_check(bit);
                }
            }
        }
        flips.data.iter().for_each(|&bit| image.flip_data(bit));
        flips.check.iter().for_each(|&bit| image.flip_check(bit));
    }
    let differing = |a: &[u8], b: &[u8]| {
        (0..8 * a.len() as u64).filter(|&bit| is_set(a, bit) != is_set(b, bit)).collect()
    };
    FaultPattern {
        data: differing(image.data(), stored.data()),
        check: differing(image.check(), stored.check()),
    }
}

/// S118 of the specification.
#[test]
fn scrubbed_memories_end_as_a_pass_over_all_words_leaves_them() {
    let network = network();
    let mut ends = BTreeSet::new();
    for (name, rate) in [("accumulate:hours=50,scrub=7", 1e-4), ("accumulate:hours=9,scrub=1", 3e-3)] {
        for (cell, trials) in trials(name, rate, 12) {
            let protection = ecc::by_id(&cell.protection).unwrap();
            for (number, trial) in (0..).zip(trials) {
                let Faults::BetweenScrubs(intervals) = drawn(&cell, number) else { panic!("{name}") };
                assert_eq!(trial.pattern, net_flips(&network, &*protection, &intervals));
                // A wrong correction that was stored is a code word: it reads wrong, and nobody notices.
                if trial.silent > 0 {
                    ends.insert(cell.protection.to_string());
                }
            }
        }
    }
    assert!(ends.contains("secded-72-64") && ends.contains("in-place-64-57"), "{ends:?}");
}

/// Lossy ones too, whose words store other weights than the network has, and those with cells that nothing reaches.
#[test]
fn every_protection_is_scrubbed_as_a_pass_over_all_words_leaves_it() {
    for protection in ecc::all() {
        let mut network = network();
        protection.constraint().throttle(&mut network.plane);
        let memory = StoredNetwork::new(&network, ecc::by_id(protection.id()).unwrap()).unwrap();
        let mut cell = cells("accumulate:hours=9,scrub=1", 3e-3).swap_remove(0);
        cell.protection = protection.id().parse().unwrap();
        cell.stored.check_bits = memory.bits().check_bits;
        let cell_trials = CellTrials::new(&memory, &cell).unwrap();
        for number in 0..3 {
            let Faults::BetweenScrubs(intervals) = drawn(&cell, number) else {
                panic!("{}", cell.protection)
            };
            let net = net_flips(&network, &*protection, &intervals);
            assert_eq!(cell_trials.trial(number).pattern, net, "{}", cell.protection);
        }
    }
}

/// The same with some weights that in-place protection cannot hold; how many in conv.weight, and in both.
fn with_exceptions() -> (Network, [usize; 2]) {
    let mut network = network();
    (4..5_006).step_by(128).for_each(|i| network.plane[i] = 64 + (i % 59) as i8);
    (2_012..5_006).step_by(128).for_each(|i| network.plane[i] = -128);
    let large =
        network.plane.iter().enumerate().filter(|&(i, weight)| i % 8 < 7 && !(-64..64).contains(weight));
    let in_conv = large.clone().filter(|(i, _)| *i < 2_008).count();
    let all = large.count();
    (network, [in_conv, all])
}

/// The first cell under `in-place-list` of an experiment with one.
fn listed_cell(fault_model: &str, rate: f64) -> CellSpec {
    let experiment =
        experiment_under("['in-place-list']", &format!("{fault_model:?}"), &format!("{rate:e}")).unwrap();
    planned_for(with_exceptions().0, &experiment).unwrap().swap_remove(0)
}

/// The entries of the list of `network` as a network's weights.
fn list_of(network: &Network) -> Network {
    let protection = ecc::by_id("in-place-list").unwrap();
    let plane = protection.regions(&network.plane)[1].bytes.to_vec();
    Network { layout: MemoryLayout::new([("list", plane.len())]), plane, ..network.clone() }
}

/// The cells of a pattern that are those of entries.
fn of_list(pattern: &FaultPattern) -> FaultPattern {
    let (data, check): (Vec<u64>, Vec<u64>) = pattern.check.iter().partition(|&cell| cell % 72 < 64);
    FaultPattern {
        data: data.into_iter().map(|cell| cell / 72 * 64 + cell % 72).collect(),
        check: check.into_iter().map(|cell| cell / 72 * 8 + cell % 72 - 64).collect(),
    }
}

fn of_array(pattern: &FaultPattern) -> FaultPattern {
    FaultPattern { data: pattern.data.clone(), check: vec![] }
}

/// S118 and S204 of the specification.
#[test]
fn an_exception_list_is_scrubbed_as_a_memory_of_its_own() {
    let (network, _) = with_exceptions();
    let (array, secded) = (ecc::by_id("in-place-list").unwrap(), ecc::by_id("ecc").unwrap());
    let list = list_of(&network);
    let mut of_the_list = 0;
    for (name, rate) in [("accumulate:hours=50,scrub=7", 1e-4), ("accumulate:hours=9,scrub=1", 3e-3)] {
        let cell = listed_cell(name, rate);
        let memory = StoredNetwork::new(&network, ecc::by_id(&cell.protection).unwrap()).unwrap();
        let cell_trials = CellTrials::new(&memory, &cell).unwrap();
        for number in 0..12 {
            let Faults::BetweenScrubs(intervals) = drawn(&cell, number) else { panic!("{name}") };
            let parts = |of: fn(&FaultPattern) -> FaultPattern| intervals.iter().map(of).collect::<Vec<_>>();
            let found = cell_trials.trial(number).pattern;
            assert_eq!(of_array(&found), net_flips(&network, &*array, &parts(of_array)));
            assert_eq!(of_list(&found), net_flips(&list, &*secded, &parts(of_list)));
            of_the_list += found.check.len();
        }
    }
    assert!(of_the_list > 20, "{of_the_list}");
}

#[test]
fn a_stuck_cell_of_an_exception_list_flips_where_it_holds_the_other_bit() {
    let (network, _) = with_exceptions();
    let list = list_of(&network);
    let image = image_of(&*ecc::by_id("ecc").unwrap(), &list.plane);
    let cell = listed_cell("stuck-at:value=1", 0.05);
    let memory = StoredNetwork::new(&network, ecc::by_id(&cell.protection).unwrap()).unwrap();
    let cell_trials = CellTrials::new(&memory, &cell).unwrap();
    for number in 0..20 {
        let Faults::ByStoredBit { ones, zeros } = drawn(&cell, number) else { panic!() };
        assert!(ones.check.is_empty() && !zeros.check.is_empty());
        let FaultPattern { data, check } = of_list(&zeros);
        let expected = FaultPattern {
            data: data.into_iter().filter(|&bit| !is_set(image.data(), bit)).collect(),
            check: check.into_iter().filter(|&bit| !is_set(image.check(), bit)).collect(),
        };
        assert_eq!(of_list(&cell_trials.trial(number).pattern), expected);
    }
}

/// S119 and S204 of the specification.
#[test]
fn exceptions_are_planned_counted_and_in_the_tensor_that_they_name() {
    let (network, [in_conv, all]) = with_exceptions();
    assert!(in_conv > 10 && all > 2 * in_conv);
    let cells = 72 * all as u64;
    let whole = listed_cell("bernoulli", 1e-3);
    assert_eq!((whole.stored.data_bits, whole.stored.check_bits), (8 * network.plane.len() as u64, cells));
    let mean = campaign::mean_flips(std::slice::from_ref(&network), std::slice::from_ref(&whole)).unwrap()[0];
    assert!((mean - 1e-3 * (whole.stored.data_bits + cells) as f64).abs() < 1e-9);

    // All cells flip at rate 1.
    let check = |fault_model: &str| {
        let cell = listed_cell(fault_model, 1.0);
        assert_eq!(cell.stored.check_bits, cells);
        let memory = StoredNetwork::new(&network, ecc::by_id(&cell.protection).unwrap()).unwrap();
        let pattern = CellTrials::new(&memory, &cell).unwrap().trial(0).pattern;
        pattern.check.first().copied().zip(pattern.check.last().copied())
    };
    assert_eq!(check("bernoulli"), Some((0, cells - 1)));
    assert_eq!(check("bernoulli:tensor=conv.weight"), Some((0, 72 * in_conv as u64 - 1)));
    assert_eq!(check("bernoulli:tensor=fc.weight"), Some((72 * in_conv as u64, cells - 1)));
    assert_eq!(check("bernoulli:bit=3"), None);

    let changed = "'bernoulli'\ntrials_of = 'changed'";
    let experiment = experiment_under("['in-place-list']", changed, "1e-3").unwrap();
    assert_eq!(
        planned_for(network, &experiment).unwrap_err(),
        "small under in-place-list: trials_of = \"changed\" needs the probability that a word of in-place-list reads \
         wrong, which has no closed form"
    );
}

#[test]
fn scrubbing_keeps_single_flips_from_meeting() {
    let wrong = |name: &str| {
        let all = trials(name, 1e-5, 40);
        let of = |id: &str| {
            let (_, trials) = all.iter().find(|(cell, _)| cell.protection == id).unwrap();
            trials.iter().map(|trial| trial.changes.len() + trial.padding_changed as usize).sum::<usize>()
        };
        [of("secded-72-64"), of("faulty")]
    };
    // 40 x 40,064 cells, 1e-3 in 100 hours: about 1,600 flips without check bits, scrubbed or not; about 50 words
    // with two, unless no two hours' flips can meet.
    let ([coded, bare], [coded_scrubbed, bare_scrubbed]) =
        (wrong("accumulate:hours=100"), wrong("accumulate:hours=100,scrub=1"));
    assert!(bare > 1_400 && bare_scrubbed > 1_400, "{bare} {bare_scrubbed}");
    assert!(coded > 40 && coded_scrubbed * 10 < coded, "{coded} {coded_scrubbed}");
}

#[test]
fn scoped_faults_stay_in_their_tensor_and_bit() {
    for (cell, trials) in trials("bernoulli:bit=6,tensor=fc.weight", 0.1, 5) {
        for trial in trials {
            // fc.weight begins after 2,005 weights and their padding.
            assert!(
                trial.pattern.data.iter().all(|bit| bit % 8 == 6 && bit / 8 >= 2_008),
                "{}",
                cell.protection
            );
            assert!(trial.pattern.data.len() > 200 && trial.pattern.check.is_empty());
            assert!(trial.changes.iter().all(|change| change.tensor == 1));
        }
    }
    for (cell, trials) in trials("fixed-count:tensor=conv.weight", 0.1, 5) {
        for trial in trials {
            assert!(trial.pattern.data.iter().all(|bit| bit / 8 < 2_008));
            assert_eq!(trial.pattern.data.len(), 8 * 2_008 / 10);
            assert!(trial.pattern.check.iter().all(|&bit| bit < 2_008), "{}", cell.protection);
            // A check cell a weight, with any of these codes that keeps some beside the data.
            let expected = if cell.stored.check_bits == 0 { 0 } else { 200 };
            assert_eq!(trial.pattern.check.len(), expected, "{}", cell.protection);
            assert!(trial.changes.iter().all(|change| change.tensor == 0));
        }
    }
}

#[test]
fn protections_meet_the_same_faults_of_their_data_cells() {
    for name in [
        "burst:length=1-4,distance=2",
        "burst:length=1-4,distance=2,interleave=63",
        "dram:word=1",
        "bernoulli:tensor=conv.weight",
        "per-bit:bit=3",
    ] {
        let mut all = trials(name, 0.01, 10)
            .into_iter()
            .map(|(_, trials)| trials.into_iter().map(|trial| trial.pattern.data).collect::<Vec<_>>());
        let first = all.next().unwrap();
        assert!(all.all(|other| other == first), "{name}");
    }
}

/// S108 and S110 of the specification: a code word has a byte on each device and a bit on each pin, and with an odd depth of
/// interleaving still one bit on each pin, but no two in one word of a device.
#[test]
fn one_event_hits_as_many_bits_of_a_code_word_as_the_map_says() {
    // Most flips in a block of eight weights, in trials with few events.
    let most = |name: &str| {
        let (_, trials) = trials(name, 2e-6, 300).remove(0);
        let flips = trials.iter().map(|trial| {
            let mut by_block = std::collections::BTreeMap::new();
            trial.pattern.data.iter().for_each(|bit| *by_block.entry(bit / 64).or_insert(0) += 1);
            by_block.into_values().max().unwrap_or(0)
        });
        flips.max().unwrap()
    };
    let row = ["dram:pin-row=1", "dram:pin-row=1,interleave=63", "dram:pin-row=1,interleave=64"].map(most);
    assert!(row[0] <= 2 && row[1] <= 4 && row[2] > 20, "{row:?}");
    let word = ["dram:word=1", "dram:word=1,interleave=63", "dram:word=1,interleave=64"].map(most);
    assert!(word[0] > 5 && word[1] <= 2 && word[2] <= 2, "{word:?}");
}

/// S118, S119 and S120 of the specification.
#[test]
fn trials_are_stable() {
    // Fixed by definition: the records of these trials may never change.
    let digest = |name: &str, rate: f64| {
        let mut digest = Sha256::new();
        for (_, trials) in trials(name, rate, 30) {
            trials.iter().for_each(|trial| digest.update(format!("{trial:?}")));
        }
        durable::hex(&digest.finalize()[..8])
    };
    let found = [
        digest("burst:length=2-4,distance=3", 1e-3),
        digest("stuck-at:value=1", 1e-3),
        digest("asymmetric:share=0.75", 1e-3),
        digest("accumulate:hours=24", 1e-4),
        digest("accumulate:hours=24,scrub=5", 1e-3),
        digest("bernoulli:bit=7", 1e-2),
        digest("fixed-count:tensor=fc.weight", 1e-2),
        digest("accumulate:hours=24,scrub=5,bit=6,tensor=fc.weight", 1e-3),
        digest("dram", 1e-4),
        digest("stuck-at:value=0,interleave=63,tensor=fc.weight", 1e-3),
    ];
    assert_eq!(
        found,
        [
            "fefb6802bdc8cdac",
            "753d4734a7fcf913",
            "b95a0d79c7efe6c7",
            "0b8ac04a0197d545",
            "2cae17bd0aac7b5d",
            "a16744f9b8d07b89",
            "df9ea1020d9f1349",
            "1eddde42222bb08f",
            "37f8781780e752ea",
            "9288917e46f93119",
        ]
    );
}

#[test]
fn fault_models_are_an_axis_between_protections_and_rates() {
    let models = |cells: &[CellSpec]| -> Vec<(String, String, f64)> {
        cells.iter().map(|c| (c.protection.to_string(), c.fault_model.to_string(), c.rate.get())).collect()
    };
    let cells = planned("['bernoulli', 'per-bit:bit=7']", "1e-3, 1e-2").unwrap();
    assert_eq!(cells.len(), 16);
    let first: Vec<_> = models(&cells[..4]);
    let row = |model: &str, rate| ("faulty".to_string(), model.to_string(), rate);
    assert_eq!(
        first,
        [
            row("bernoulli", 1e-3),
            row("bernoulli", 1e-2),
            row("bernoulli:bit=7", 1e-3),
            row("bernoulli:bit=7", 1e-2)
        ]
    );
    // One in a list, or one alone, is the same plan.
    let alone = planned("'bernoulli'", "1e-3").unwrap();
    assert_eq!(planned("['bernoulli']", "1e-3").unwrap(), alone);
    assert_eq!(alone[0].fault_model.to_string(), "bernoulli");
}

/// S410 of the specification.
#[test]
fn a_sweep_goes_over_tensors_in_memory_order_and_bits() {
    let names = |sweep: &str| -> Vec<String> {
        let cells = planned(&format!("'burst:length=2,distance=1'\nsweep = {sweep}"), "1e-3").unwrap();
        let distinct: BTreeSet<_> = cells.iter().map(CellSpec::id).collect();
        assert_eq!(distinct.len(), cells.len());
        cells.into_iter().filter(|c| c.protection == "faulty").map(|c| c.fault_model.to_string()).collect()
    };
    assert_eq!(
        names("['tensor']"),
        ["burst:length=2,distance=1,tensor=conv.weight", "burst:length=2,distance=1,tensor=fc.weight"]
    );
    assert_eq!(names("['bit']").len(), 8);
    // What the shards of a job are counted by is what is planned: 10 trials a unit, 4 protections.
    let swept = experiment("'bernoulli'\nsweep = ['bit', 'tensor']", "1e-3").unwrap();
    assert_eq!(swept.units(&[2]), 2 * 8 * 4);
    let both = names("['bit', 'tensor']");
    assert_eq!(both.len(), 16);
    assert_eq!(both[1], "burst:length=2,distance=1,bit=1,tensor=conv.weight");
    assert_eq!(both[8], "burst:length=2,distance=1,bit=0,tensor=fc.weight");
}

#[test]
fn what_cannot_be_planned_is_refused_in_one_sentence() {
    for (fault_model, rates, message) in [
        (
            "'per-tensor:tensor=fc.bias'",
            "1e-3",
            "fault_model: small has no tensor \"fc.bias\", expected one of conv.weight, fc.weight",
        ),
        (
            "'asymmetric:share=0.8'",
            "1e-3, 0.7",
            "x.toml: `rates` is 7e-1, expected at most 6.25e-1 under asymmetric:share=0.8",
        ),
        (
            "['bernoulli', 'fixed-count']\ntrials_of = 'changed'",
            "1e-3",
            "x.toml: `fault_model` is \"fixed-count\", expected \"bernoulli\" when `trials_of` is \"changed\": only there are words independent",
        ),
        (
            "'bernoulli'\nsweep = ['bit']\ntrials_of = 'changed'",
            "1e-3",
            "x.toml: `sweep` is not empty, expected nothing when `trials_of` is \"changed\"",
        ),
        (
            "'bernoulli'\nsweep = ['layer']",
            "1e-3",
            "x.toml: line 6: unknown variant `layer`, expected `tensor` or `bit`",
        ),
        (
            "'bernoulli'\nsweep = ['tensor']\nunit_trials = 1",
            &*(1..20_000).map(|i| format!("{i}e-6")).collect::<Vec<_>>().join(", "),
            "the sweep makes 1599920 units, expected at most 1048576: fewer trials, or more unit_trials",
        ),
    ] {
        assert_eq!(planned(fault_model, rates).unwrap_err(), message);
    }
}

/// Where it depends on the stored bits what flips, the mean does: at these rates every trial flips that many.
#[test]
fn the_mean_of_flips_counts_the_bits_that_are_stored() {
    for (model, rate) in [
        ("stuck-at:value=0", 1.0),
        ("stuck-at:value=1", 1.0),
        ("asymmetric:share=1", 0.5),
        ("asymmetric:share=0", 0.5),
    ] {
        for scope in ["", ",bit=6", ",tensor=conv.weight", ",bit=7,tensor=fc.weight"] {
            let fault_model = format!("{model}{scope}");
            let check = |network: &Network, cell: &CellSpec| {
                let memory = StoredNetwork::new(network, ecc::by_id(&cell.protection).unwrap()).unwrap();
                let pattern = CellTrials::new(&memory, cell).unwrap().trial(0).pattern;
                let flips = (pattern.data.len() + pattern.check.len()) as f64;
                let mean = campaign::mean_flips(std::slice::from_ref(network), std::slice::from_ref(cell))
                    .unwrap()[0];
                assert_eq!(mean, flips, "{} {fault_model}", cell.protection);
                assert!(flips > 0.0);
            };
            let cells = cells(&fault_model, rate);
            assert!(cells.len() > 2);
            cells.iter().for_each(|cell| check(&network(), cell));
            check(&with_exceptions().0, &listed_cell(&fault_model, rate));
        }
    }
}
