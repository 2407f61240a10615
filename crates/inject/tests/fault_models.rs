//! The fault models through the public interface: values, distribution, pairing, and the paper's
//! counts (reference/paper.md, section 6 of the project's notes).

use design::{BitErrorRate, FaultKind};
use inject::{FaultPattern, Faults, MeanFlips, PlaneSizes, WordFaults};
use proptest::prelude::*;

fn rate(rate: f64) -> BitErrorRate {
    BitErrorRate::new(rate).unwrap()
}

fn sample(kind: FaultKind, p: f64, data_bits: u64, check_bits: u64, trial: u64) -> FaultPattern {
    flips(inject::sample(kind, rate(p), PlaneSizes { data_bits, check_bits }, 2019, trial))
}

fn flips(faults: Faults) -> FaultPattern {
    let Faults::Flips(pattern) = faults else { panic!("these flip whatever is stored") };
    pattern
}

const BOTH: [FaultKind; 2] = [FaultKind::Bernoulli, FaultKind::FixedCount];

/// S111 and S112 of the specification.
#[test]
fn values_are_stable() {
    // Fixed by definition: these offsets may never change, or recorded campaigns could not be replayed.
    let pattern = sample(FaultKind::Bernoulli, 1e-3, 8000, 1000, 0);
    assert_eq!(pattern.data, [4056, 4375, 6413, 6758, 7047, 7312]);
    assert_eq!(pattern.check, [764]);
    let pattern = sample(FaultKind::FixedCount, 1e-3, 8000, 1000, 7);
    assert_eq!(pattern.data, [34, 889, 1356, 2486, 3194, 6106, 6999, 7893]);
    assert_eq!(pattern.check, [732]);
}

/// FNV-1a over the offsets of both planes.
fn digest(pattern: &FaultPattern) -> u64 {
    let bytes = pattern.data.iter().chain([&u64::MAX]).chain(&pattern.check).flat_map(|o| o.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn whole_patterns_are_stable() {
    // As above, for patterns too long to list: many flips, repeats among the draws, more than half.
    let planes = [(93_431_296, 11_678_912), (8 * 138_344_128, 0), (4_096, 512)];
    let digests = |kind: FaultKind| -> Vec<u64> {
        let draw = |&(data_bits, check_bits): &(u64, u64), p, seed, trial| {
            digest(&flips(inject::sample(kind, rate(p), PlaneSizes { data_bits, check_bits }, seed, trial)))
        };
        vec![
            draw(&planes[0], 1e-6, 2019, 0),
            draw(&planes[0], 1e-4, 2019, 1),
            draw(&planes[0], 1e-3, 2019, 2),
            draw(&planes[0], 1e-3, u64::MAX, u64::MAX),
            draw(&planes[1], 1e-6, 7, 3),
            draw(&planes[1], 1e-4, 7, 4),
            draw(&planes[2], 0.3, 1, 5),
            draw(&planes[2], 0.5, 1, 6),
            draw(&planes[2], 0.9, 1, 7),
        ]
    };
    assert_eq!(
        digests(FaultKind::Bernoulli),
        [
            0x152e_a468_52d1_d19e,
            0xd66e_8b16_aa0e_c96e,
            0xa979_cc33_2ba6_d354,
            0xf734_e0ad_2411_ffba,
            0xa7ff_311a_a8ee_f635,
            0x148a_1ea2_2cdf_cd18,
            0x26be_82b5_8450_3e07,
            0x7310_7384_4ff7_0312,
            0x77de_f2b1_e3ba_b470,
        ]
    );
    assert_eq!(
        digests(FaultKind::FixedCount),
        [
            0xc0da_9a3a_2e43_26f5,
            0xb891_776f_7e06_9c00,
            0xd2c5_a9d5_04b4_c93f,
            0xe565_c276_7751_e9f3,
            0xea9f_4c65_4820_a0c8,
            0x54ba_cfab_9cb9_ab1c,
            0x97d4_09b4_dd4f_26f1,
            0x9d73_d68b_1651_8e23,
            0xc606_73d1_b453_c753,
        ]
    );
}

#[test]
fn the_papers_fault_counts_are_reproduced() {
    for (weights, count) in [(138_344_128, 1_106_753), (11_678_912, 93_431), (1_244_448, 9_955)] {
        let pattern = sample(FaultKind::FixedCount, 1e-3, 8 * weights, 0, 0);
        assert_eq!(pattern.data.len(), count);
    }
}

/// S107 of the specification.
#[test]
fn check_bits_do_not_disturb_the_data_plane() {
    for kind in BOTH {
        for trial in 0..20 {
            let bare = sample(kind, 1e-2, 6400, 0, trial);
            let coded = sample(kind, 1e-2, 6400, 800, trial);
            assert_eq!(bare.data, coded.data);
            assert!(bare.check.is_empty());
        }
    }
}

#[test]
fn trials_seeds_and_planes_have_streams_of_their_own() {
    let planes = PlaneSizes { data_bits: 10_000, check_bits: 10_000 };
    for kind in BOTH {
        let draw = |seed, trial| flips(inject::sample(kind, rate(0.01), planes, seed, trial));
        let patterns = [draw(1, 0), draw(1, 1), draw(2, 0), draw(1 << 63, 0)];
        for (i, a) in patterns.iter().enumerate() {
            assert_ne!(a.data, a.check);
            assert!(patterns[..i].iter().all(|b| a.data != b.data && a.check != b.check));
        }
    }
}

#[test]
fn rates_of_zero_and_one_mean_none_and_all() {
    for kind in BOTH {
        assert_eq!(sample(kind, 0.0, 100, 10, 0), FaultPattern::default());
        let all = sample(kind, 1.0, 100, 10, 0);
        assert_eq!((all.data, all.check), ((0..100).collect(), (0..10).collect()));
        assert!(sample(kind, f64::MIN_POSITIVE, u64::MAX / 2, 0, 0).data.is_empty());
    }
}

/// Pearson's statistic for `observed` counts against equal expectation.
fn chi_square(observed: &[u64]) -> f64 {
    let expected = observed.iter().sum::<u64>() as f64 / observed.len() as f64;
    observed.iter().map(|&o| (o as f64 - expected).powi(2) / expected).sum()
}

#[test]
fn flips_fall_evenly_on_cells_and_on_bit_positions() {
    // 99.9 % points of chi-square: 1,000 for 866 degrees of freedom, 24.3 for 7.
    for kind in BOTH {
        let mut by_cell = vec![0; 867];
        let mut by_bit = vec![0; 8];
        for trial in 0..40_000 {
            for flip in sample(kind, 0.01, 867, 0, trial).data {
                by_cell[flip as usize] += 1;
                by_bit[(flip % 8) as usize] += 1;
            }
        }
        assert!(chi_square(&by_cell) < 1_000.3, "{kind}: {}", chi_square(&by_cell));
        // 867 = 108 * 8 + 3: the first three bit positions have one cell more.
        for (bit, count) in by_bit.iter_mut().enumerate() {
            *count = *count * 108 / if bit < 3 { 109 } else { 108 };
        }
        assert!(chi_square(&by_bit) < 24.3, "{kind}: {}", chi_square(&by_bit));
    }
}

#[test]
fn all_pairs_of_a_fixed_count_are_equally_likely() {
    // 2 of 6 cells: 15 sets; the 99.9 % point for 14 degrees of freedom is 36.1.
    let mut by_set = [0; 36];
    for trial in 0..30_000 {
        let flips = sample(FaultKind::FixedCount, 2.0 / 6.0, 6, 0, trial).data;
        by_set[(flips[0] * 6 + flips[1]) as usize] += 1;
    }
    let seen: Vec<u64> = by_set.into_iter().filter(|&n| n > 0).collect();
    assert_eq!(seen.len(), 15);
    assert!(chi_square(&seen) < 36.1, "{}", chi_square(&seen));
}

#[test]
fn bernoulli_counts_are_binomial() {
    // 200 cells at 0.02: mean 4. Classes 0..=9 and "10 or more"; 99.9 % point for 10 degrees: 29.6.
    let (cells, p, trials) = (200u64, 0.02f64, 50_000u64);
    let mut observed = [0f64; 11];
    for trial in 0..trials {
        let n = sample(FaultKind::Bernoulli, p, cells, 0, trial).data.len();
        observed[n.min(10)] += 1.0;
    }
    let mut expected = [0f64; 11];
    let mut probability = (1.0 - p).powi(200);
    for (k, e) in expected[..10].iter_mut().enumerate() {
        *e = probability * trials as f64;
        probability *= (200 - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
    }
    expected[10] = trials as f64 - expected[..10].iter().sum::<f64>();
    let statistic: f64 = observed.iter().zip(expected).map(|(o, e)| (o - e).powi(2) / e).sum();
    assert!(statistic < 29.6, "{statistic}");
}

/// Flips that share a block of `block` cells with another one, and blocks with at least 2 and 3.
fn crowded(cells: u64, block: u64, p: f64, trials: u64) -> (f64, f64, f64) {
    let (mut flips, mut left, mut two, mut three) = (0u64, 0u64, 0u64, 0u64);
    for trial in 0..trials {
        let pattern = sample(FaultKind::Bernoulli, p, cells, 0, trial).data;
        for group in pattern.chunk_by(|a, b| a / block == b / block) {
            let n = group.len() as u64;
            flips += n;
            left += if n > 1 { n } else { 0 };
            two += u64::from(n >= 2);
            three += u64::from(n >= 3);
        }
    }
    let per_trial = |n: u64| n as f64 / trials as f64;
    (left as f64 / flips as f64, per_trial(two), per_trial(three))
}

#[test]
fn the_share_of_flips_that_revert_single_flips_would_leave_is_the_papers() {
    // 1 - (1-p)^63: 0.628 % at 1e-4, 6.11 % at 1e-3 for 64-bit blocks; 3.06 % at 1e-3 for 32-bit.
    let near = |measured: f64, expected: f64| assert!((measured / expected - 1.0).abs() < 0.02, "{measured}");
    near(crowded(93_431_296, 64, 1e-3, 4).0, 1.0 - (1.0f64 - 1e-3).powi(63));
    near(crowded(93_431_296, 32, 1e-3, 8).0, 1.0 - (1.0f64 - 1e-3).powi(31));
    near(crowded(93_431_296, 64, 1e-4, 100).0, 1.0 - (1.0f64 - 1e-4).powi(63));
    assert_eq!(format!("{:.2}", 100.0 * (1.0 - (1.0f64 - 1e-3).powi(63))), "6.11");
    assert_eq!(format!("{:.3}", 100.0 * (1.0 - (1.0f64 - 1e-4).powi(63))), "0.628");
}

#[test]
fn words_with_two_and_three_flips_are_as_many_as_expected() {
    // ResNet18, 11,678,912 weights: 29.3 / 0.06 at 1e-4 and 2,824 / 58 at 1e-3.
    let (_, two, three) = crowded(93_431_296, 64, 1e-3, 10);
    assert!((two / 2_824.0 - 1.0).abs() < 0.02 && (three / 58.0 - 1.0).abs() < 0.15, "{two} {three}");
    let (_, two, _) = crowded(93_431_296, 64, 1e-4, 40);
    assert!((two / 29.3 - 1.0).abs() < 0.1, "{two}");
}

#[test]
fn impossible_rates_are_refused() {
    for bad in [-1e-9, 1.0 + 1e-9, f64::NAN, f64::INFINITY] {
        let message = BitErrorRate::new(bad).unwrap_err().to_string();
        assert_eq!(message, format!("bit error rate {bad}, expected a number in [0, 1]"));
    }
}

proptest! {
    #[test]
    fn patterns_are_ascending_distinct_and_inside(
        p in 0f64..=1.0, data_bits in 0u64..2_000, check_bits in 0u64..300, trial: u64
    ) {
        for kind in BOTH {
            let pattern = sample(kind, p, data_bits, check_bits, trial);
            for (flips, cells) in [(&pattern.data, data_bits), (&pattern.check, check_bits)] {
                prop_assert!(flips.is_sorted_by(|a, b| a < b));
                prop_assert!(flips.last().is_none_or(|&last| last < cells));
                if kind == FaultKind::FixedCount {
                    prop_assert_eq!(flips.len(), (cells as f64 * p) as usize);
                }
            }
        }
    }
}

/// S104 and S106 of the specification.
#[test]
fn word_faults_are_stable_and_have_a_stream_of_their_own() {
    // Fixed by definition, as above.
    let mut faults = WordFaults::new(2019, 7);
    assert_eq!(faults.flips(8000, rate(1e-3)), [1330, 2636, 3059, 3764, 5757, 6553, 7075]);
    assert_eq!(faults.distinct(72, 3), [11, 34, 70]);
    assert_eq!(faults.uniform(), 0.051695147303782774);
    let mut faults = WordFaults::new(2019, 7);
    let flips = faults.flips(8000, rate(1e-3));
    assert_ne!(flips, sample(FaultKind::Bernoulli, 1e-3, 8000, 8000, 7).data);
    assert_ne!(flips, sample(FaultKind::Bernoulli, 1e-3, 8000, 8000, 7).check);
    assert_ne!(flips, WordFaults::new(2019, 8).flips(8000, rate(1e-3)));
    assert_ne!(flips, WordFaults::new(2020, 7).flips(8000, rate(1e-3)));
}

#[test]
fn exponentials_within_a_bound_have_the_law_they_say() {
    // Ten equally likely ranges, by the inverse of the law; the 99.9 % point for 9 degrees of freedom is 27.9.
    for bound in [1e-12, 0.5, 3.0, f64::INFINITY] {
        let mut faults = WordFaults::new(1, 0);
        let mut counts = vec![0; 10];
        for _ in 0..20_000 {
            let drawn = faults.exponential_within(bound);
            assert!(drawn > 0.0 && drawn <= bound);
            let share = f64::exp_m1(-drawn) / f64::exp_m1(-bound);
            counts[((share * 10.0).ceil() as usize - 1).min(9)] += 1;
        }
        assert!(chi_square(&counts) < 27.9, "{bound}: {}", chi_square(&counts));
    }
}

/// A fixed count is no mean: it is rounded down in each plane, and happens in every trial.
#[test]
fn the_mean_of_a_fixed_count_is_what_flips() {
    for (data_bits, check_bits) in [(1, 0), (999_999, 0), (10_000_000, 1_250_000), (9_955_584, 1_244_448)] {
        let planes = PlaneSizes { data_bits, check_bits };
        for rate in [0.0, 1e-6, 3.3e-5, 0.25, 1.0].map(|rate| BitErrorRate::new(rate).unwrap()) {
            let Faults::Flips(flips) = inject::sample(FaultKind::FixedCount, rate, planes, 1, 2) else {
                panic!()
            };
            let count = flips.data.len() + flips.check.len();
            let mean = inject::mean_flips(FaultKind::FixedCount, rate, planes);
            assert_eq!(mean, MeanFlips::OfMemory(count as f64), "{planes:?} {rate:?}");
        }
    }
    // Ten cells and a fifth of one are ten.
    let planes = PlaneSizes { data_bits: 9_955_584, check_bits: 1_244_448 };
    let mean = inject::mean_flips(FaultKind::FixedCount, BitErrorRate::new(1e-6).unwrap(), planes);
    assert_eq!(mean, MeanFlips::OfMemory(10.0));
}
