//! The fault models in which flips depend on each other, on what is stored or on time; and the scopes.

use std::ops::Range;

use design::{BitErrorRate, DramMix, FaultKind, FaultModel, Scope};
use inject::{FaultPattern, Faults, PlaneSizes, ScopedBits, mean_flips, sample};
use proptest::prelude::*;

const PLANES: PlaneSizes = PlaneSizes { data_bits: 8_000, check_bits: 1_000 };

fn kind(name: &str) -> FaultKind {
    let FaultModel { kind, scope, .. } = name.parse().unwrap();
    assert!(scope.is_whole());
    kind
}

fn rate(rate: f64) -> BitErrorRate {
    BitErrorRate::new(rate).unwrap()
}

fn flips(name: &str, p: f64, planes: PlaneSizes, trial: u64) -> FaultPattern {
    let Faults::Flips(pattern) = sample(kind(name), rate(p), planes, 2019, trial) else {
        panic!("{name} flips whatever is stored")
    };
    pattern
}

fn pattern(data: &[u64], check: &[u64]) -> FaultPattern {
    FaultPattern { data: data.into(), check: check.into() }
}

/// S109, S113, S114, S115, S116 and S117 of the specification.
#[test]
fn values_are_stable() {
    // Fixed by definition: these offsets may never change, or recorded campaigns could not be replayed.
    let drawn = |name, p| sample(kind(name), rate(p), PLANES, 2019, 3);
    assert_eq!(
        drawn("burst:length=3,distance=64", 1e-3),
        Faults::Flips(pattern(&[3721, 3785, 3849], &[942]))
    );
    assert_eq!(
        drawn("burst:length=2-5,distance=1", 1e-3),
        Faults::Flips(pattern(&[4486, 4487, 4488, 4489, 4490], &[]))
    );
    assert_eq!(
        drawn("stuck-at:value=0", 1e-3),
        Faults::ByStoredBit {
            ones: pattern(&[1283, 5322, 5492, 5626, 6040, 7591, 7804], &[356]),
            zeros: pattern(&[], &[])
        }
    );
    assert_eq!(
        drawn("stuck-at:value=1", 1e-3),
        Faults::ByStoredBit {
            ones: pattern(&[], &[]),
            zeros: pattern(&[1283, 5322, 5492, 5626, 6040, 7591, 7804], &[356])
        }
    );
    assert_eq!(
        drawn("asymmetric:share=0.75", 1e-3),
        Faults::ByStoredBit {
            ones: pattern(&[855, 3547, 3661, 3751, 4027, 5061, 5203, 6978, 7151], &[237]),
            zeros: pattern(&[76, 553, 2780, 4537, 7719], &[])
        }
    );
    assert_eq!(
        drawn("accumulate:hours=10", 1e-4),
        Faults::Flips(pattern(&[1284, 5326, 5497, 5632, 6046, 7598, 7811], &[357]))
    );
    assert_eq!(
        drawn("accumulate:hours=10,scrub=4", 1e-4),
        Faults::BetweenScrubs(vec![
            pattern(&[3209], &[892]),
            pattern(&[425, 761, 1795, 5673, 6204], &[]),
            pattern(&[1297], &[])
        ])
    );
    let drawn = |name, p, trial| flips(name, p, PLANES, trial);
    assert_eq!(drawn("dram", 1e-4, 5), pattern(&[685, 915], &[]));
    assert_eq!(drawn("dram:single-bit=1,word=2", 1e-3, 7), pattern(&[400, 3906, 4717], &[934]));
    assert_eq!(drawn("dram:pin-column=1,column=1", 3e-4, 7), pattern(&[1801, 1803, 1805, 1806], &[292, 294]));
}

/// Data bits of a network of 70,000 blocks, whose devices have 69 rows of 8 banks, the last one of 368 columns; and of
/// check bits as many as one device has in these rows.
const ROWS: PlaneSizes = PlaneSizes { data_bits: 64 * 70_000, check_bits: 8 * 70_000 };

/// S108: bit, device, beat, bank and row of a data bit, worked out here from the map.
fn address(bit: u64) -> [u64; 5] {
    let beat = bit / 64;
    [bit % 8, bit / 8 % 8, beat, beat / 1024 % 8, beat / 8192]
}

/// A part of an [`address`], by which regions differ.
type Field = fn([u64; 5]) -> u64;

/// S109 of the specification: all bits of one event lie in one region, and about half of the region's bits flip.
#[test]
fn a_lone_event_stays_in_its_region() {
    let same_pin = |bits: &[u64]| bits.iter().all(|&bit| address(bit)[0] == address(bits[0])[0]);
    let same = |bits: &[u64], fields: &[Field]| {
        fields.iter().all(|field| bits.iter().all(|&bit| field(address(bit)) == field(address(bits[0]))))
    };
    let device: Field = |address| address[1];
    let column: Field = |address| address[2] % 1024;
    let beat: Field = |address| address[2];
    let bank: Field = |address| address[3];
    let row: Field = |address| address[4];
    // The largest number of bits of a region on one pin: 9 rows of 8 banks, and 1,024 columns.
    let events: [(&str, &[Field], f64); 5] = [
        ("word", &[device, beat], 1.0),
        ("column", &[device, bank, column], 9.0),
        ("row", &[device, bank, row], 1024.0),
        ("bank", &[device, bank], 9.0 * 1024.0),
        ("chip", &[device], 70_000.0),
    ];
    for (name, fields, size) in events {
        for (one_pin, text) in [(true, format!("pin-{name}")), (false, name.to_owned())] {
            let text = match &*text {
                "pin-word" => "single-bit",
                "pin-chip" => "pin",
                text => text,
            };
            let mut lone = 0;
            // One event in 20 trials: two are rare.
            let p = 0.05 / ROWS.data_bits as f64;
            for trial in 0..400 {
                let FaultPattern { data, .. } = flips(&format!("dram:{text}=1"), p, ROWS, trial);
                if data.is_empty() || !same(&data, fields) {
                    continue;
                }
                lone += 1;
                assert_eq!(same_pin(&data), one_pin || data.len() == 1, "{text} in trial {trial}: {data:?}");
                let bits = if one_pin { size } else { 8.0 * size };
                let most = if text == "single-bit" { 1.0 } else { bits / 2.0 + 4.0 * (bits / 4.0).sqrt() };
                assert!(data.len() as f64 <= most, "{text} in trial {trial}: {} of {bits}", data.len());
            }
            assert!((5..40).contains(&lone), "{text}: {lone}");
        }
    }
}

/// The number of flips is the mean that plans print, within four standard errors of 300 trials; and bits of all rows, the last
/// included, flip equally often.
#[test]
fn the_mean_of_dram_events_is_what_flips() {
    for (name, p) in [
        ("dram", 2e-6),
        ("dram:single-bit=1,word=1", 1e-4),
        ("dram:pin-column=1,column=1,row=1", 1e-5),
        ("dram:pin-row=1,pin-bank=2,bank=3,pin=1", 2e-6),
        ("dram:chip=1", 1e-7),
    ] {
        let model = kind(name);
        let counts: Vec<f64> = (0..300)
            .map(|trial| flips(name, p, ROWS, trial))
            .map(|pattern| (pattern.data.len() + pattern.check.len()) as f64)
            .collect();
        let mean = counts.iter().sum::<f64>() / 300.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 299.0;
        let expected = mean_flips(model, rate(p), ROWS).drawn(ROWS);
        assert!(
            (mean - expected).abs() < 4.0 * (variance / 300.0).sqrt(),
            "{name}: {mean}, expected {expected}"
        );
    }
    // 1,000 planes of 71 words: each bit is as likely as any other, in the last beat too, which has 7 devices.
    let planes = PlaneSizes { data_bits: 568, check_bits: 0 };
    let mut by_bit = vec![0u32; 568];
    for trial in 0..1000 {
        flips("dram", 0.01, planes, trial).data.iter().for_each(|&bit| by_bit[bit as usize] += 1);
    }
    let expected = 1000.0 * mean_flips(kind("dram"), rate(0.01), planes).drawn(planes) / 568.0;
    for part in [&by_bit[..8], &by_bit[512..], &by_bit[560..]] {
        let mean = f64::from(part.iter().sum::<u32>()) / part.len() as f64;
        assert!((mean - expected).abs() < 4.0 * expected.sqrt(), "{mean}, expected {expected}");
    }
}

#[test]
fn single_bits_of_a_dram_are_independent_flips() {
    let drawn = flips("dram:single-bit=1", 1e-3, PLANES, 5);
    // With probability 1 - exp(-p) in place of p.
    assert_eq!(drawn, flips("bernoulli", -(-1e-3f64).exp_m1(), PLANES, 5));
    assert!(!drawn.data.is_empty());
    assert_eq!(flips("dram", 0.0, PLANES, 5), FaultPattern::default());
    assert_eq!(flips("dram", 1e-3, PlaneSizes { data_bits: 0, check_bits: 0 }, 5), FaultPattern::default());
}

/// Ten million cells: the share that flips is the rate within four standard deviations of independent bursts.
#[test]
fn the_rate_of_bursts_is_the_share_of_cells_that_flip() {
    let planes = PlaneSizes { data_bits: 10_000_000, check_bits: 0 };
    for name in ["burst:length=1,distance=1", "burst:length=8,distance=1", "burst:length=2-6,distance=100"] {
        for p in [1e-3, 0.1, 0.6] {
            let share = flips(name, p, planes, 0).data.len() as f64 / planes.data_bits as f64;
            let deviation = (8.0 * p / planes.data_bits as f64).sqrt();
            assert!((share - p).abs() < 4.0 * deviation, "{name} at {p}: {share}");
        }
    }
}

#[test]
fn bursts_reach_over_both_edges_of_a_plane() {
    // Every cell flips as often as any other; 99.9 % point of chi-square for 19 degrees of freedom: 43.8. The cells
    // of a burst are 5 apart, which is a quarter of the plane.
    let mut by_cell = [0u64; 20];
    let planes = PlaneSizes { data_bits: 20, check_bits: 0 };
    for trial in 0..40_000 {
        flips("burst:length=3,distance=5", 0.02, planes, trial)
            .data
            .iter()
            .for_each(|&c| by_cell[c as usize] += 1);
    }
    let expected = 40_000.0 * 0.02;
    let statistic: f64 = by_cell.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
    assert!(statistic < 43.8, "{statistic}: {by_cell:?}");
}

#[test]
fn the_cells_of_a_lone_burst_are_its_distance_apart() {
    let mut lengths = [0; 5];
    let mut lone = 0;
    for trial in 0..4_000 {
        let cells = flips("burst:length=2-4,distance=7", 1e-5, PLANES, trial).data;
        // Away from the edges.
        let inside = cells.first().is_some_and(|&c| c > 30) && cells.last().is_some_and(|&c| c < 7_970);
        if inside && cells.windows(2).all(|pair| pair[1] - pair[0] == 7) {
            lengths[cells.len()] += 1;
            lone += 1;
        }
    }
    assert_eq!(lengths[..2], [0, 0]);
    assert!(lone > 80 && lengths[2..].iter().all(|&n| n > lone / 5), "{lengths:?}");
}

#[test]
fn a_burst_of_one_cell_is_an_independent_flip() {
    for p in [0.0, 1e-3, 0.5, 1.0] {
        assert_eq!(flips("burst:length=1,distance=9", p, PLANES, 5), flips("bernoulli", p, PLANES, 5));
    }
}

#[test]
fn asymmetric_flips_have_the_share_and_the_mean_that_they_say() {
    let planes = PlaneSizes { data_bits: 1_000_000, check_bits: 0 };
    let Faults::ByStoredBit { ones, zeros } = sample(kind("asymmetric:share=0.8"), rate(0.01), planes, 1, 0)
    else {
        panic!("it depends on the stored bit")
    };
    // 2 p S = 0.016 and 2 p (1 - S) = 0.004 of a million; five standard deviations.
    assert!((ones.data.len() as f64 - 16_000.0).abs() < 5.0 * 16_000f64.sqrt());
    assert!((zeros.data.len() as f64 - 4_000.0).abs() < 5.0 * 4_000f64.sqrt());
}

#[test]
fn a_stuck_cell_is_stuck_at_one_value() {
    for (name, one) in [("stuck-at:value=0", false), ("stuck-at:value=1", true)] {
        let Faults::ByStoredBit { ones, zeros } = sample(kind(name), rate(0.01), PLANES, 1, 0) else {
            panic!("it depends on the stored bit")
        };
        assert_eq!((ones.data.is_empty(), zeros.data.is_empty()), (one, !one));
    }
}

#[test]
fn hours_are_drawn_interval_by_interval() {
    let planes = PlaneSizes { data_bits: 1_000_000, check_bits: 0 };
    let Faults::BetweenScrubs(intervals) =
        sample(kind("accumulate:hours=10,scrub=4"), rate(1e-3), planes, 1, 0)
    else {
        panic!("there are scrubs")
    };
    // Of 4, 4 and 2 hours: an odd number of flips in each, (1 - (1 - 2p)^hours) / 2.
    assert_eq!(intervals.len(), 3);
    for (flips, hours) in intervals.iter().zip([4, 4, 2]) {
        let expected = 1e6 * (1.0 - (1.0f64 - 2e-3).powi(hours)) / 2.0;
        assert!((flips.data.len() as f64 - expected).abs() < 5.0 * expected.sqrt(), "{}", flips.data.len());
    }
    assert_ne!(intervals[0], intervals[1]);
    // A scrub interval that divides the hours leaves no empty interval at the end.
    let exact = sample(kind("accumulate:hours=8,scrub=4"), rate(1e-3), planes, 1, 0);
    assert!(matches!(exact, Faults::BetweenScrubs(intervals) if intervals.len() == 2));
    // An hour is an hour: nothing but a Bernoulli draw.
    assert_eq!(
        flips("accumulate:hours=1", 0.01, PLANES, 4).data.len(),
        flips("bernoulli", 0.01, PLANES, 4).data.len()
    );
    assert_eq!(flips("accumulate:hours=1000000", 0.5, PLANES, 4), flips("bernoulli", 0.5, PLANES, 4));
}

#[test]
fn rates_without_a_meaning_are_refused() {
    let check = |name: &str, p| kind(name).check_rate(rate(p)).map_err(|error| error.to_string());
    assert_eq!(check("asymmetric:share=1", 0.5), Ok(()));
    assert_eq!(
        check("asymmetric:share=0.8", 0.7).unwrap_err(),
        "7e-1, expected at most 6.25e-1 under asymmetric:share=0.8"
    );
    assert_eq!(
        check("accumulate:hours=5,scrub=2", 0.51).unwrap_err(),
        "5.1e-1, expected at most 5e-1 under accumulate:hours=5,scrub=2"
    );
    for name in ["bernoulli", "fixed-count", "burst:length=2,distance=1", "stuck-at:value=1", "dram"] {
        assert_eq!(check(name, 1.0), Ok(()));
    }
}

/// The data cells and check cells that a model at rate 1 reaches in a memory of which a tensor has these.
fn reached(scope: &str, data: Range<u64>, check: Range<u64>) -> (Vec<u64>, Vec<u64>) {
    let FaultModel { kind, scope, .. } = format!("bernoulli:{scope}").parse().unwrap();
    let Faults::Flips(pattern) = ScopedBits::new(&scope, data, check).sample(kind, rate(1.0), 0, 0) else {
        panic!("flips")
    };
    (pattern.data, pattern.check)
}

#[test]
fn scopes_reach_their_cells_and_no_others() {
    assert_eq!(reached("tensor=a", 64..128, 8..16), ((64..128).collect(), (8..16).collect()));
    assert_eq!(reached("bit=7", 0..32, 0..4), (vec![7, 15, 23, 31], vec![]));
    assert_eq!(reached("bit=0,tensor=a", 64..88, 8..16), (vec![64, 72, 80], vec![]));
}

#[test]
fn a_model_takes_the_cells_in_scope_for_all_there_are() {
    // The same flips as of a memory of so many cells, at their places.
    let scope = Scope { bit: Some(3), tensor: None };
    let bits = ScopedBits::new(&scope, 800..8_800, 0..100);
    assert_eq!(bits.sizes(), PlaneSizes { data_bits: 1_000, check_bits: 0 });
    let kind = kind("burst:length=2,distance=1");
    let Faults::Flips(scoped) = bits.sample(kind, rate(0.01), 7, 7) else { panic!("flips") };
    let Faults::Flips(whole) = sample(kind, rate(0.01), bits.sizes(), 7, 7) else { panic!("flips") };
    assert!(!whole.data.is_empty());
    assert_eq!(scoped.data, whole.data.iter().map(|cell| 800 + 8 * cell + 3).collect::<Vec<_>>());
}

/// S110 of the specification.
#[test]
fn bits_of_neighbouring_blocks_take_turns() {
    // Tensors of 5 and 2 blocks, with 64 data bits and 3 check bits a block, from data bit 64 and check bit 6 on.
    let bits = ScopedBits::new(&Scope::default(), 64..64 + 7 * 64, 6..6 + 7 * 3);
    let bits = bits.interleaved(3, &[[5, 5], [2, 2]]);
    // The bits of both planes in the order of their places, by group of blocks.
    let mut at = [vec![], vec![]];
    for (first, blocks) in [(0, 3), (3, 2), (5, 2)] {
        for (at, bits) in at.iter_mut().zip([64, 3]) {
            at.extend((0..bits).flat_map(|j| (first..first + blocks).map(move |block| block * bits + j)));
        }
    }
    let kind = kind("burst:length=4,distance=1");
    for trial in 0..200 {
        let Faults::Flips(found) = bits.sample(kind, rate(0.02), 5, trial) else { panic!("flips") };
        let Faults::Flips(places) = sample(kind, rate(0.02), bits.sizes(), 5, trial) else { panic!("flips") };
        let bits_at = |places: &[u64], at: &[u64], first| {
            let mut bits: Vec<u64> = places.iter().map(|&place| first + at[place as usize]).collect();
            bits.sort_unstable();
            bits
        };
        let expected = pattern(&bits_at(&places.data, &at[0], 64), &bits_at(&places.check, &at[1], 6));
        assert_eq!(found, expected, "trial {trial}");
    }
    // A block has eight bits in scope if one bit of each weight is.
    let scope = Scope { bit: Some(7), tensor: None };
    let bits = ScopedBits::new(&scope, 0..4 * 64, 0..12).interleaved(2, &[[4, 4]]);
    let Faults::Flips(found) = bits.sample(FaultKind::FixedCount, rate(1.0), 5, 0) else { panic!("flips") };
    assert_eq!(found, pattern(&(0..32).map(|weight| 8 * weight + 7).collect::<Vec<_>>(), &[]));
}

proptest! {
    #[test]
    fn patterns_are_ascending_distinct_and_inside(
        p in 0f64..=0.5, data_bits in 0u64..2_000, check_bits in 0u64..300, trial: u64,
        least in 1u64..6, more in 0u64..6, distance in 1u64..700, hours in 1u64..40, scrub in 0u64..40
    ) {
        let planes = PlaneSizes { data_bits, check_bits };
        for kind in [
            FaultKind::Burst { length: (least, least + more), distance },
            FaultKind::StuckAt { one: trial % 2 == 0 },
            FaultKind::Asymmetric { share: p },
            FaultKind::Accumulate { hours, scrub: Some(scrub % hours).filter(|&s| s > 0) },
            FaultKind::Dram { mix: DramMix::default() },
        ] {
            let patterns = match sample(kind, rate(p), planes, 1, trial) {
                Faults::Flips(pattern) => vec![pattern],
                Faults::ByStoredBit { ones, zeros } => vec![ones, zeros],
                Faults::BetweenScrubs(intervals) => intervals,
            };
            for pattern in patterns {
                for (flips, cells) in [(&pattern.data, data_bits), (&pattern.check, check_bits)] {
                    prop_assert!(flips.is_sorted_by(|a, b| a < b));
                    prop_assert!(flips.last().is_none_or(|&last| last < cells));
                }
            }
        }
    }
}
