//! Draws of numbers and sets from a stream of random bits.
//!
//! The values for a given stream, and the numbers that a draw takes from it, never change: recorded trials depend on them,
//! and tests fix them. Logarithms come from `libm`.

use rand_core::RngCore;

/// Draws every offset below `bits` with probability `p`, independently; ascending. Geometric skipping: the number of bits
/// before the next flip is floor(ln u / ln(1 - p)) for u uniform in (0, 1] (Devroye 1986, chapter X.2).
pub fn bernoulli(rng: &mut impl RngCore, bits: u64, p: f64) -> Vec<u64> {
    if p == 0.0 {
        return Vec::new();
    }
    if p == 1.0 {
        return (0..bits).collect();
    }
    // Room for the mean and six standard deviations: no reallocation in practice.
    let mean = bits as f64 * p;
    let mut flips = Vec::with_capacity((mean + 6.0 * mean.sqrt()) as usize + 1);
    let scale = 1.0 / libm::log1p(-p);
    let mut next = 0u64;
    loop {
        let gap = libm::log(uniform(rng)) * scale;
        if gap >= (bits - next) as f64 {
            return flips;
        }
        next += gap as u64;
        flips.push(next);
        next += 1;
    }
}

/// Draws a uniform number in (0, 1], a multiple of 2^-53.
pub fn uniform(rng: &mut impl RngCore) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 * 2f64.powi(-53)
}

/// Draws a set of `count` distinct offsets below `bits`, all sets equally likely; ascending.
///
/// Draws as many offsets as are missing, drops repeats, and goes on until none is missing. The distribution of the
/// result does not change when bits are renamed, so all sets are equally likely.
///
/// # Panics
/// When `count` is above `bits`.
pub fn distinct(rng: &mut impl RngCore, bits: u64, count: u64) -> Vec<u64> {
    assert!(count <= bits, "{count} distinct bits of {bits}");
    if count > bits / 2 {
        let spared = distinct(rng, bits, bits - count);
        let mut spared = spared.into_iter().peekable();
        return (0..bits).filter(|bit| spared.next_if_eq(bit).is_none()).collect();
    }
    let count = usize::try_from(count).expect("a pattern fits into memory");
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let known = chosen.len();
        chosen.extend((known..count).map(|_| below(rng, bits)));
        sort(&mut chosen[known..], bits);
        // Two ascending runs, which the stable sort finds and merges in linear time.
        chosen.sort();
        chosen.dedup();
    }
    chosen
}

/// Sorts values below `bound`; 512 or more by their digits in base 2048, which is twice as fast as comparing them.
fn sort(values: &mut [u64], bound: u64) {
    const FEW: usize = 512;
    const DIGIT: usize = 11;
    if values.len() < FEW {
        values.sort_unstable();
        return;
    }
    let mut other = vec![0; values.len()];
    for shift in (0..=bound.ilog2()).step_by(DIGIT) {
        let digit = |value: u64| (value >> shift) as usize % (1 << DIGIT);
        let mut places = [0; 1 << DIGIT];
        values.iter().for_each(|&value| places[digit(value)] += 1);
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for &value in &*values {
            let place = &mut places[digit(value)];
            other[*place] = value;
            *place += 1;
        }
        values.copy_from_slice(&other);
    }
}

/// Draws a uniform number below `bound`, without bias (Lemire 2019, algorithm 5).
pub fn below(rng: &mut impl RngCore, bound: u64) -> u64 {
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        // The remainder is below `bound`, so the division is seldom needed.
        if product as u64 >= bound || product as u64 >= bound.wrapping_neg() % bound {
            return (product >> 64) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::stream::stream;

    fn first() -> ChaCha8Rng {
        stream(2019, *b"data\0\0\0\0", 0)
    }

    /// S101, S102, S103, S104, S105 and S106 of the specification. The values are of an implementation in Python.
    #[test]
    fn draws_are_stable() {
        let mut rng = first();
        let numbers: [u64; 4] = std::array::from_fn(|_| rng.next_u64());
        let expected =
            [0x046b_d88c_40f6_2020, 0xba12_f5b0_5278_66d2, 0x2152_7468_576e_5205, 0xb55b_d5d5_5dad_0223];
        assert_eq!(numbers, expected);
        assert_eq!(uniform(&mut first()), 0.01727059768833128);
        let mut rng = first();
        assert_eq!(bernoulli(&mut rng, 100, 0.05), [79, 86]);
        assert_eq!(
            bernoulli(&mut rng, 100, 0.05),
            [6, 12, 18, 76],
            "the number that ends the first is used up"
        );
        let mut rng = first();
        assert_eq!(std::array::from_fn(|_| below(&mut rng, 10)), [0, 7, 1, 7, 7, 7, 0, 0]);
        assert_eq!(distinct(&mut first(), 20, 5), [0, 1, 2, 14, 15]);
        let others: Vec<u64> = (3..14).chain(16..20).collect();
        assert_eq!(distinct(&mut first(), 20, 15), others);
        // Draws at probability 0 and 1 use no number.
        let mut rng = first();
        assert_eq!((bernoulli(&mut rng, 9, 0.0).len(), bernoulli(&mut rng, 9, 1.0).len()), (0, 9));
        assert_eq!(rng.next_u64(), expected[0]);
        // A draw of no bits uses one.
        let mut rng = first();
        assert_eq!((bernoulli(&mut rng, 0, 0.5).len(), rng.next_u64()), (0, expected[1]));
    }

    /// S105 of the specification: numbers whose product leaves a low half below 2^64 mod n are drawn again.
    #[test]
    fn a_number_that_would_favour_some_is_drawn_again() {
        struct Given(Vec<u64>);
        impl RngCore for Given {
            fn next_u32(&mut self) -> u32 {
                unreachable!("numbers have 64 bits")
            }
            fn next_u64(&mut self) -> u64 {
                self.0.remove(0)
            }
            fn fill_bytes(&mut self, _: &mut [u8]) {
                unreachable!("numbers have 64 bits")
            }
        }
        // 2^64 mod 10 is 6: 0 has the low half 0, and 2^63 + 1 has 10.
        assert_eq!(below(&mut Given(vec![0, (1 << 63) + 1, 7]), 10), 5);
    }
}
