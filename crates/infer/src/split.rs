//! Weights as sums of small weights, whose products with bytes need 16 bits, and a sparse rest.
//!
//! `vpmaddubsw` multiplies twice as many values as `vpmaddwd`, but adds two products in i16, where 2 * 255 * 127
//! saturates. Most weights of trained networks are far smaller than 127, so that even four products fit: if the positive
//! ones among four weights have a sum of at most 128, and the negative ones too, then no sum of their products with bytes
//! exceeds 255 * 128 = 32,640. A weight w is therefore stored as w = small + rest. The small weights obey this bound,
//! and the rest, which is 0 nearly everywhere, is multiplied in i16.
//!
//! A changed weight changes the rest only. If the rest grows to more than a quarter of the pairs of weights, multiplying
//! everything in i16 is faster, and [`Split::pays`] says so.

use crate::kernel::{Format, LANES, Small, StepWeights, Words};

type Weights = <Words as Format>::Weights;

/// The largest sum of the small positive weights of an i16 sum, and of the negative ones.
const LARGEST_SUM: i16 = 128;
const _: () = assert!(255 * LARGEST_SUM as i32 <= i16::MAX as i32);

/// Pairs of weights in a step of small ones.
const PAIRS: usize = Small::STEP / Words::STEP;

/// Marks a pair without a rest.
const NONE: u32 = u32::MAX;

/// The weights of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Split {
    small: Vec<<Small as Format>::Weights>,
    /// For each pair of weights of all lanes, the index of its rest, or `NONE`.
    rest_of: Vec<u32>,
    /// The pairs with a rest, in no order.
    pairs: Vec<u32>,
    /// For each of these, the offset of its inputs from the start of a window.
    places: Vec<u32>,
    rest: Vec<Weights>,
}

impl Split {
    /// Splits the weights of a panel, given as pairs. `place` returns the offset of a pair's inputs from the start of a
    /// window. The number of pairs must be a multiple of four.
    pub(crate) fn new(pairs: &[Weights], place: impl Fn(usize) -> u32) -> Self {
        let (steps, left) = pairs.as_chunks::<PAIRS>();
        assert!(left.is_empty(), "whole steps");
        let mut small = vec![StepWeights([[[0; 4]; LANES]; 2]); steps.len()];
        let mut split = Self {
            small: Vec::new(),
            rest_of: vec![NONE; pairs.len()],
            pairs: Vec::new(),
            places: Vec::new(),
            rest: Vec::new(),
        };
        for (step, (weights, small)) in steps.iter().zip(&mut small).enumerate() {
            for lane in 0..LANES {
                for half in 0..2 {
                    // The pairs whose products are added in i16.
                    let [a, b] = [weights[half].0[lane], weights[half + 2].0[lane]];
                    let kept = bounded([a[0], a[1], b[0], b[1]]);
                    for (part, (kept, whole)) in kept.as_chunks::<2>().0.iter().zip([a, b]).enumerate() {
                        for (i, (&kept, whole)) in kept.iter().zip(whole).enumerate() {
                            small.0[part][lane][2 * half + i] = kept as i8;
                            let pair = PAIRS * step + half + 2 * part;
                            split.add(pair, i, lane, whole - kept, &place);
                        }
                    }
                }
            }
        }
        split.small = small;
        split
    }

    /// Adds `change` to a weight of a pair and lane; `place` is as in [`Split::new`].
    pub(crate) fn add(
        &mut self,
        pair: usize,
        in_pair: usize,
        lane: usize,
        change: i16,
        place: impl Fn(usize) -> u32,
    ) {
        if change == 0 {
            return;
        }
        if self.rest_of[pair] == NONE {
            self.rest_of[pair] = self.rest.len() as u32;
            self.pairs.push(pair as u32);
            self.places.push(place(pair));
            self.rest.push(StepWeights([[0; 2]; LANES]));
        }
        let index = self.rest_of[pair] as usize;
        let rest = &mut self.rest[index].0;
        rest[lane][in_pair] += change;
        if rest.as_flattened().iter().all(|&weight| weight == 0) {
            self.rest.swap_remove(index);
            self.places.swap_remove(index);
            self.pairs.swap_remove(index);
            self.rest_of[pair] = NONE;
            if let Some(&moved) = self.pairs.get(index) {
                self.rest_of[moved as usize] = index as u32;
            }
        }
    }

    /// True if multiplying the split weights is faster than multiplying all in i16.
    pub(crate) fn pays(&self) -> bool {
        self.rest.len() * 4 <= self.rest_of.len()
    }

    pub(crate) fn small(&self) -> &[<Small as Format>::Weights] {
        &self.small
    }

    /// Returns the places and weights of the rest.
    pub(crate) fn rest(&self) -> (&[u32], &[Weights]) {
        (&self.places, &self.rest)
    }
}

/// Moves weights towards 0 until the positive ones have a sum of at most [`LARGEST_SUM`], and the negative ones too. Takes
/// as much as possible from one weight, so that the rest is sparse.
fn bounded(mut weights: [i16; 4]) -> [i16; 4] {
    for sign in [1, -1] {
        let sum: i16 = weights.iter().map(|weight| (sign * weight).max(0)).sum();
        let mut excess = sum - LARGEST_SUM;
        while excess > 0 {
            let largest = weights.iter_mut().max_by_key(|weight| sign * **weight).expect("four weights");
            let taken = excess.min(sign * *largest);
            *largest -= sign * taken;
            excess -= taken;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn small_weights_obey_the_bound(weights in any::<[i8; 4]>()) {
            let weights = weights.map(i16::from);
            let small = bounded(weights);
            for sign in [1, -1] {
                prop_assert!(small.iter().map(|w| (sign * w).max(0)).sum::<i16>() <= LARGEST_SUM);
            }
            for (small, weight) in small.into_iter().zip(weights) {
                prop_assert!(small * weight >= 0 && small.abs() <= weight.abs());
                prop_assert!(i8::try_from(small).is_ok());
            }
        }

        #[test]
        fn small_weights_and_rest_make_the_weights(
            weights in proptest::collection::vec(any::<[[i8; 2]; LANES]>(), 1..4),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..2usize, 0..LANES, any::<i8>()), 0..9),
        ) {
            let mut pairs: Vec<Weights> = weights
                .iter()
                .flat_map(|weights| [StepWeights(weights.map(|pair| pair.map(i16::from))); PAIRS])
                .collect();
            let mut split = Split::new(&pairs, |pair| 2 * pair as u32);
            for (pair, in_pair, lane, value) in changes {
                let pair = pair.index(pairs.len());
                let weight = &mut pairs[pair].0[lane][in_pair];
                split.add(pair, in_pair, lane, i16::from(value) - *weight, |pair| 2 * pair as u32);
                *weight = value.into();
            }
            let (places, rest) = split.rest();
            for (pair, weights) in pairs.iter().enumerate() {
                let own: Vec<usize> = (0..places.len()).filter(|&i| places[i] == 2 * pair as u32).collect();
                prop_assert!(own.len() <= 1);
                for lane in 0..LANES {
                    for i in 0..2 {
                        let half = pair % 2;
                        let small = split.small()[pair / PAIRS].0[pair % PAIRS / 2][lane][2 * half + i];
                        let rest = own.first().map_or(0, |&own| rest[own].0[lane][i]);
                        prop_assert_eq!(i16::from(small) + rest, weights.0[lane][i]);
                    }
                }
            }
        }
    }
}
