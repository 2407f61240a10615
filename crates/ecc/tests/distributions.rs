//! The outcome distributions against the decoders, pattern by pattern, and against known probabilities.

use ecc::{
    BLOCK, Constraint, MemoryDistribution, MemoryImage, OutcomeDistribution, Outcomes, Protection, WordShape,
    WordStatus,
};

/// Different blocks.
const BLOCKS: [[i8; BLOCK]; 3] =
    [[0; BLOCK], [1, -2, 3, 63, -64, 17, -1, 127], [-64, 63, 0, -1, 5, 0, 33, -128]];

/// Protections for which what flips do depends on all weights of a word, or of the memory.
const WITHOUT_DISTRIBUTIONS: [&str; 3] = ["dec-64-50", "parity-avg", "in-place-list"];

/// Reads word 0 of a block under every pattern of `flips` flips; counts outcomes.
fn enumerate(protection: &dyn Protection, weights: &[i8; BLOCK], flips: usize) -> Outcomes<u128> {
    let shape = protection.word();
    let (data, size) = (8 * shape.weights, shape.weights);
    let exposed = protection.regions(&[0; BLOCK])[0].check_bits_exposed;
    let bits = data + if exposed { protection.word().check_bits } else { 0 };
    let mut image = MemoryImage::blank(shape, BLOCK);
    protection.encode_block(weights, &mut image, 0);
    let mut counts = Outcomes::default();
    let mut chosen: Vec<usize> = (0..flips).collect();
    let flip = |image: &mut MemoryImage, chosen: &[usize]| {
        for &bit in chosen {
            match bit.checked_sub(data) {
                None => image.flip_data(bit as u64),
                Some(check) => image.flip_check(check as u64),
            }
        }
    };
    let mut read = [0; BLOCK];
    let stored = protection.as_stored(*weights);
    loop {
        flip(&mut image, &chosen);
        let status = protection.decode_word(&image, 0, &mut read[..size]);
        flip(&mut image, &chosen);
        let right = read[..size] == stored[..size];
        *match (status, right) {
            (WordStatus::Clean, true) => &mut counts.clean_right,
            (WordStatus::Clean, false) => &mut counts.clean_wrong,
            (WordStatus::Corrected, true) => &mut counts.corrected_right,
            (WordStatus::Corrected, false) => &mut counts.corrected_wrong,
            (WordStatus::Detected, true) => &mut counts.detected_right,
            (WordStatus::Detected, false) => &mut counts.detected_wrong,
        } += 1;
        // The next subset in lexicographic order.
        let Some(i) = (0..flips).rev().find(|&i| chosen[i] < bits - flips + i) else {
            return counts;
        };
        chosen[i] += 1;
        for j in i + 1..flips {
            chosen[j] = chosen[j - 1] + 1;
        }
    }
}

#[test]
fn every_distribution_is_what_the_decoder_does() {
    for protection in ecc::all() {
        let Some(distributions) = protection.outcome_distributions() else {
            assert!(
                WITHOUT_DISTRIBUTIONS.contains(&protection.id()),
                "{} has a closed form",
                protection.id()
            );
            continue;
        };
        let mut classes = vec![false; distributions.len()];
        // Words of one weight exhaustively, all values; blocks up to four flips, a million patterns.
        let (blocks, most) = match protection.word().weights {
            1 => ((i8::MIN..=i8::MAX).map(|weight| [weight; BLOCK]).collect(), distributions[0].bits()),
            _ => (BLOCKS.to_vec(), 4),
        };
        for mut block in blocks {
            protection.constraint().throttle(&mut block);
            let class = protection.class_of(&block[..protection.word().weights]);
            classes[class] = true;
            for flips in 0..=most {
                let found = enumerate(&*protection, &block, flips);
                assert_eq!(
                    found,
                    distributions[class].patterns()[flips],
                    "{} {block:?} {flips}",
                    protection.id()
                );
            }
        }
        assert_eq!(classes, vec![true; distributions.len()], "{}: every class was seen", protection.id());
    }
}

#[test]
fn a_distribution_under_a_policy_is_what_the_decoder_does() {
    for code in [
        "secded-72-64",
        "in-place-64-57",
        "in-place-dected-64-51",
        "in-place-msb-32-16",
        "in-place-32-26",
        "lsb-64-56",
    ] {
        let protection = ecc::by_id(&format!("{code}+zero-word")).unwrap();
        let distributions = protection.outcome_distributions().unwrap();
        assert_eq!(distributions.len(), 2);
        for (class, mut block) in [(1, BLOCKS[0]), (0, BLOCKS[1]), (0, [4, 0, 0, 0, 0, 0, 0, 0])] {
            protection.constraint().throttle(&mut block);
            let weights = &block[..protection.word().weights];
            assert_eq!(protection.class_of(weights), class, "{code} {block:?}");
            for flips in 0..=4 {
                let found = enumerate(&*protection, &block, flips);
                assert_eq!(found, distributions[class].patterns()[flips], "{code} {block:?} {flips}");
            }
        }
        // What clamping undoes depends on the weights.
        assert_eq!(ecc::by_id(&format!("{code}+range-clamp")).unwrap().outcome_distributions(), None);
    }
}

/// A pattern and its complement end alike in neither code, so many flips are worth their own look.
#[test]
fn the_distribution_holds_for_nearly_all_cells_too() {
    let codes =
        ["secded-72-64", "in-place-64-57", "in-place-dected-64-51", "in-place-msb-32-16", "bch-79-64"];
    for id in codes {
        let protection = ecc::by_id(id).unwrap();
        let distribution = &protection.outcome_distributions().unwrap()[0];
        let mut block = BLOCKS[1];
        protection.constraint().throttle(&mut block);
        for spared in 0..=2 {
            let flips = distribution.bits() - spared;
            assert_eq!(
                enumerate(&*protection, &block, flips),
                distribution.patterns()[flips],
                "{id} {flips}"
            );
        }
    }
}

fn distribution(id: &str) -> OutcomeDistribution {
    ecc::by_id(id).unwrap().outcome_distributions().unwrap().swap_remove(0)
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found:e}, expected {expected:e}");
}

#[test]
fn published_shares_of_misled_patterns_come_out() {
    let share = |id: &str, flips: usize, of: fn(Outcomes<u128>) -> u128| {
        let outcomes = distribution(id).patterns()[flips];
        of(outcomes) as f64 / outcomes.all() as f64
    };
    // All triples of the (64,57) code are miscorrected; 1.639 % of quadruples pass as clean.
    assert_eq!(share("in-place-64-57", 3, |o| o.corrected_wrong), 1.0);
    close(share("in-place-64-57", 4, |o| o.clean_wrong), 0.016_39, 1e-3);
    close(share("secded-72-64", 3, |o| o.corrected_wrong), 0.556_1, 1e-3);
}

#[test]
fn the_probability_of_a_right_in_place_word_is_the_polynomial_worked_out_by_hand() {
    for p in [1e-12, 1e-6, 1e-3, 0.1, 0.5] {
        let q = 1.0 - p;
        let power = |base: f64, n| base.powi(n);
        let expected = power(q, 64)
            + 64.0 * p * power(q, 63)
            + 21.0 * power(p, 2) * power(q, 62)
            + 35.0 * power(p, 4) * power(q, 60)
            + 7.0 * power(p, 6) * power(q, 58);
        let outcomes = distribution("in-place-64-57").probabilities(p);
        close(outcomes.all(), 1.0, 1e-13);
        let right = outcomes.clean_right + outcomes.corrected_right + outcomes.detected_right;
        close(right, expected, 1e-13);
    }
    // Two flips of 64 bits but the 21 pairs of check bits; the next term is 64/3 p times as large.
    let p = 1e-12;
    close(distribution("in-place-64-57").probabilities(p).wrong(), (2016.0 - 21.0) * p * p, 1e-9);
}

#[test]
fn trials_of_a_model_change_as_often_as_worked_out_elsewhere() {
    // 11.7 M weights: P(unchanged) to the digits of an independent computation.
    let plane = vec![1; 11_700_000];
    for (id, rate, unchanged) in [
        ("in-place-64-57", 1e-6, 0.9971),
        ("secded-72-64", 1e-6, 0.9963),
        ("in-place-64-57", 1e-5, 0.747),
        ("secded-72-64", 1e-5, 0.691),
    ] {
        let distribution = MemoryDistribution::of(&*ecc::by_id(id).unwrap(), &plane).unwrap();
        assert!((1.0 - distribution.changed_probability(rate) - unchanged).abs() < 6e-4, "{id} {rate:e}");
    }
    // Far below 1e-16, where 1 - P is 1.
    let distribution = MemoryDistribution::of(&*ecc::by_id("in-place").unwrap(), &plane).unwrap();
    close(distribution.changed_probability(1e-12), 11_700_000.0 / 8.0 * 1995e-24, 1e-9);
}

#[test]
fn expected_numbers_follow_the_classes_of_words() {
    let mut plane = vec![0; 80];
    plane[..30].fill(-3);
    let protection = ecc::by_id("zero").unwrap();
    let distribution = MemoryDistribution::of(&*protection, &plane).unwrap();
    let p: f64 = 1e-3;
    let q = 1.0 - p;
    let odd: f64 = [(1, 9.0), (3, 84.0), (5, 126.0), (7, 36.0), (9, 1.0)]
        .map(|(k, n)| n * p.powi(k) * q.powi(9 - k))
        .iter()
        .sum();
    let even: f64 =
        [(2, 36.0), (4, 126.0), (6, 84.0), (8, 9.0)].map(|(k, n)| n * p.powi(k) * q.powi(9 - k)).iter().sum();
    let expected = distribution.expected(p);
    close(expected.detected_wrong, 30.0 * odd, 1e-12);
    close(expected.detected_right, 50.0 * odd, 1e-12);
    close(expected.clean_wrong, 80.0 * even, 1e-12);
    close(expected.all(), 80.0, 1e-12);
    close(distribution.words_hit(p), 80.0 * (odd + even), 1e-12);
    close(
        distribution.changed_probability(p),
        1.0 - (1.0 - odd - even).powi(30) * (1.0 - even).powi(50),
        1e-9,
    );
}

#[test]
fn the_ends_of_the_scale_are_exact() {
    for protection in ecc::all() {
        let Some(distribution) = MemoryDistribution::of(&*protection, &[7; 16]) else { continue };
        assert_eq!(
            (distribution.changed_probability(0.0), distribution.words_hit(0.0)),
            (0.0, 0.0),
            "{}",
            protection.id()
        );
        assert_eq!(
            distribution.words_hit(1.0),
            (16 / protection.word().weights) as f64,
            "{}",
            protection.id()
        );
        assert!([0.0, 1.0].contains(&distribution.changed_probability(1.0)), "{}", protection.id());
    }
}

/// A protection that nobody has worked out.
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
        WordShape { weights: 1, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, _: &[i8; BLOCK], _: &mut MemoryImage, _: usize) {}

    fn decode_word(&self, _: &MemoryImage, _: usize, weights: &mut [i8]) -> WordStatus {
        weights.fill(0);
        WordStatus::Clean
    }

    fn syndrome(&self, _: &MemoryImage, _: usize) -> u64 {
        0
    }
}

#[test]
fn a_protection_without_a_closed_form_has_no_distribution_of_a_memory() {
    assert_eq!(MemoryDistribution::of(&Unknown, &[0; 8]), None);
}

/// The share of flips that the paper's simulation leaves, and how many words of its networks have two flips or three:
/// worked out from its published code and its networks' sizes, without our distributions.
#[test]
fn idealized_codecs_leave_what_the_paper_s_simulation_leaves() {
    let single = ecc::by_id("idealized-64").unwrap().outcome_distributions().unwrap().remove(0);
    let double = ecc::by_id("idealized-64-t2").unwrap().outcome_distributions().unwrap().remove(0);
    // Of 64 p flips a word, those in words with more than one: 1 - (1 - p)^63.
    for (rate, percent) in [(1e-4, "0.628"), (1e-3, "6.109")] {
        let by_flips = single.wrong_by_flips(rate);
        let left: f64 = (0..).zip(by_flips).map(|(flips, p)| f64::from(flips) * p).sum();
        assert_eq!(format!("{:.3}", 100.0 * left / (64.0 * rate)), percent);
    }
    let words = |weights: u64, distribution: &OutcomeDistribution, rate: f64| {
        (weights as f64 / 8.0 * distribution.probabilities(rate).wrong()).round() as u64
    };
    for (weights, rate, two, three) in [
        (138_344_128, 1e-4, 347, 1),
        (138_344_128, 1e-3, 33_454, 688),
        (11_678_912, 1e-3, 2_824, 58),
        (1_244_448, 1e-3, 301, 6),
    ] {
        assert_eq!((words(weights, &single, rate), words(weights, &double, rate)), (two, three), "{rate}");
    }
}
