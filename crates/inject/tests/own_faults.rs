//! Faults of the user's own: lists of bits, and maps of flip probabilities.

use design::{BitErrorRate, FaultKind};
use inject::{FaultPattern, Faults, FlipMap, PlaneSizes};
use proptest::prelude::*;

const SIZES: PlaneSizes = PlaneSizes { data_bits: 8_000, check_bits: 1_000 };

/// The map that the page defines.
fn map() -> (Vec<f32>, Vec<f32>) {
    let data = (0..8_000).map(|i| match i {
        2_048..2_560 => 0.0,
        4_000 => 1.0,
        _ if i % 1_024 == 5 => 0.5,
        _ => 2f32.powi(-10),
    });
    (data.collect(), vec![2f32.powi(-9); 1_000])
}

/// S126 of the specification. The values are of an implementation in Python.
#[test]
fn a_map_has_the_flips_of_the_page() {
    let page = include_str!("../../../docs/src/specification-faults.md");
    let (data, check) = map();
    let doubles = [&data, &check].map(|p| p.iter().map(|p| f64::from(*p)).collect::<Vec<f64>>());
    let offsets =
        |cell: &str| -> Vec<u64> { cell.split_whitespace().map(|offset| offset.parse().unwrap()).collect() };
    let rows = page.lines().filter_map(|line| line.strip_prefix("| of the map | "));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_end_matches('|').split('|').collect()).collect();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let trial = row[0].trim().parse().unwrap();
        let expected = FaultPattern { data: offsets(row[1]), check: offsets(row[2]) };
        assert_eq!(FlipMap::new(&data, &check).unwrap().sample(2019, trial), expected);
        assert_eq!(FlipMap::new(&doubles[0], &doubles[1]).unwrap().sample(2019, trial), expected);
    }
}

#[test]
fn every_bit_flips_with_its_own_probability() {
    // Parts of 512 bits with one strong bit, of equal ones, of zeros, and a short last part.
    let probability = |i: usize| match (i / 512, i % 512) {
        (0, 77) => 0.9,
        (0, _) => 0.01,
        (1, _) => 0.05,
        (2, _) => 0.0,
        (3, i) => i as f64 / 512.0,
        _ => 0.3,
    };
    let data: Vec<f64> = (0..4 * 512 + 100).map(probability).collect();
    let map = FlipMap::new(&data, &[]).unwrap();
    const TRIALS: u64 = 40_000;
    let mut flips = vec![0u64; data.len()];
    let (mut neighbours, mut total) = (0u64, 0);
    for trial in 0..TRIALS {
        let pattern = map.sample(3, trial);
        assert!(pattern.check.is_empty());
        total += pattern.data.len();
        pattern.data.iter().for_each(|bit| flips[*bit as usize] += 1);
        let both = |pair: &&[u64]| pair == &[600, 601].as_slice();
        neighbours += pattern.data.windows(2).filter(both).count() as u64;
    }
    // Five standard deviations of a binomial, for 2,148 bits and some sums.
    let near = |count: u64, p: f64, n: f64| (count as f64 - n * p).abs() <= 5.0 * (n * p * (1.0 - p)).sqrt();
    for (bit, (&count, &p)) in flips.iter().zip(&data).enumerate() {
        assert!(near(count, p, TRIALS as f64), "bit {bit}: {count} flips at {p}");
    }
    assert!(near(neighbours, 0.05 * 0.05, TRIALS as f64), "{neighbours}");
    let mean = map.mean_flips();
    assert!(
        (total as f64 / TRIALS as f64 - mean).abs() < 5.0 * (mean / TRIALS as f64).sqrt(),
        "{total} {mean}"
    );
}

#[test]
fn a_map_of_equal_probabilities_draws_as_independent_flips_do() {
    // Up to rounding, where a flip moves by a bit: none does here.
    let (data, check) = (vec![1e-3f64; 100_000], vec![1e-3f64; 10_000]);
    let map = FlipMap::new(&data, &check).unwrap();
    let rate = BitErrorRate::new(1e-3).unwrap();
    for trial in 0..50 {
        let expected = inject::sample(FaultKind::Bernoulli, rate, map.sizes(), 11, trial);
        assert_eq!(Faults::Flips(map.sample(11, trial)), expected, "{trial}");
    }
}

#[test]
fn sure_bits_and_bits_that_cannot_flip_are_kept_apart() {
    let data: Vec<f32> = (0..5_000).map(|i| f32::from(i % 7 == 0 || i == 4_999)).collect();
    let map = FlipMap::new(&data, &data[..3]).unwrap();
    let expected =
        FaultPattern { data: (0..5_000).filter(|i| i % 7 == 0 || *i == 4_999).collect(), check: vec![0] };
    assert_eq!(map.sample(1, 2), expected);
    assert_eq!(FlipMap::<f32>::new(&[], &[]).unwrap().sample(1, 2), FaultPattern::default());
    assert_eq!(FlipMap::new(&[0f32; 9_999], &[]).unwrap().mean_flips(), 0.0);
}

#[test]
fn numbers_that_are_no_probabilities_are_named() {
    for (value, text) in [(-0.5, "-0.5"), (1.5, "1.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let error = FlipMap::new(&[0.0, 1.0, value], &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the flip probability of data bit 2 is {text}, expected a number in [0, 1]")
        );
    }
    let error = FlipMap::new(&[0.0], &[0.0, 2.0f32]).unwrap_err().to_string();
    assert!(error.starts_with("the flip probability of check bit 1 is 2, "), "{error}");
}

/// S127 of the specification.
#[test]
fn positions_ascend_within_their_plane() {
    let taken = |data: &[u64], check: &[u64]| FaultPattern::new(data.to_vec(), check.to_vec(), SIZES);
    assert_eq!(taken(&[0, 7_999], &[999]), Ok(FaultPattern { data: vec![0, 7_999], check: vec![999] }));
    let refused = |data: &[u64], check: &[u64]| taken(data, check).unwrap_err().to_string();
    assert_eq!(
        refused(&[3, 8_000], &[]),
        "data bit 1 is 8000, expected less than 8000, the bits of the data plane"
    );
    assert_eq!(
        refused(&[], &[1_000]),
        "check bit 0 is 1000, expected less than 1000, the bits of the check plane"
    );
    assert_eq!(refused(&[], &[4, 4]), "check bit 1 is 4 after 4, expected ascending positions, each once");
    assert_eq!(refused(&[9, 2], &[]), "data bit 1 is 2 after 9, expected ascending positions, each once");
}

proptest! {
    #[test]
    fn flips_ascend_and_could_flip(
        probabilities in prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0..0.01f64, 0.0..1.0f64], 0..3_000),
        seed: u64,
        trial: u64,
    ) {
        let map = FlipMap::new(&probabilities, &[]).unwrap();
        let FaultPattern { data, check } = map.sample(seed, trial);
        prop_assert!(FaultPattern::new(data.clone(), check, map.sizes()).is_ok());
        prop_assert!(data.iter().all(|bit| probabilities[*bit as usize] > 0.0));
        let sure = (0u64..).zip(&probabilities).filter(|(_, p)| **p == 1.0);
        prop_assert!(sure.into_iter().all(|(bit, _)| data.binary_search(&bit).is_ok()));
    }
}
