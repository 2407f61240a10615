//! The effects of single changes equal those of full passes.

use graph::WeightChange;
use infer::{Effect, Network};

use crate::exactness::{NETWORKS, flips, network, per_channel};
use crate::random::{self, SplitMix64};

const IMAGES: usize = 3;

/// The effect of each change by a full pass.
fn plain(network: &mut Network, pixels: &[u8], labels: &[u16], changes: &[WeightChange]) -> Vec<Effect> {
    let inputs = network.prepare(pixels).unwrap();
    let clean = (network.logits(&inputs, &[]), network.predict_clean(&inputs));
    let effect = |change: &WeightChange| {
        let (logits, classes) = (network.logits(&inputs, &[*change]), network.predict(&inputs, &[*change]));
        let images = clean.0.chunks(clean.0.len() / IMAGES).zip(logits.chunks(logits.len() / IMAGES));
        let differ = |(a, b): &(&[f32], &[f32])| a.iter().zip(*b).any(|(a, b)| a.to_bits() != b.to_bits());
        Effect {
            logits: images.filter(differ).count() as u32,
            top1: clean.1.iter().zip(&classes).filter(|(a, b)| a != b).count() as u32,
            correct: labels.iter().zip(&classes).filter(|(a, b)| a == b).count() as u32,
        }
    };
    changes.iter().map(effect).collect()
}

/// S144: all bits of some weights of every tensor, some weights set to -128, and a change to the value that is there, by every
/// form of the inner loop.
#[test]
fn effects_equal_those_of_full_passes() {
    for i in 0..=NETWORKS.len() {
        let (graph, checkpoint, plain_network) = network(i, 40 + i as u64);
        let mut random = SplitMix64(i as u64);
        let scaled = match i % 2 {
            0 => None,
            _ => Some(per_channel(&graph, checkpoint.clone())),
        };
        let (checkpoint, mut network) = match scaled {
            None => (checkpoint, plain_network),
            Some(scaled) => {
                let network = Network::new(&graph, &scaled).unwrap();
                (scaled, network)
            }
        };
        let mut changes = Vec::new();
        for (tensor, weight) in checkpoint.weights.iter().enumerate() {
            let index = (random.next() % weight.values().len() as u64) as usize;
            let value = weight.values()[index];
            changes.extend((0..8).map(|bit| WeightChange {
                tensor,
                index,
                value: value ^ (1u8 << bit) as i8,
            }));
            changes.push(WeightChange { tensor, index, value });
        }
        let mut others = flips(&checkpoint, 40, &mut random);
        others.sort();
        changes.extend(others);
        let pixels = random::pixels(IMAGES, graph.spec(), 9);
        let labels: Vec<u16> = (0..IMAGES).map(|_| (random.next() % 10) as u16).collect();
        let expected = plain(&mut network, &pixels, &labels, &changes);
        for form in infer::kernel_forms() {
            let network = Network::with_kernel_form(&graph, &checkpoint, form).unwrap();
            let found = network.effects(&network.prepare(&pixels).unwrap(), &labels, &changes);
            for ((change, found), expected) in changes.iter().zip(&found).zip(&expected) {
                assert_eq!(found, expected, "{:?}, {form}: {change:?}", NETWORKS.get(i));
            }
        }
        let some = expected.iter().filter(|effect| effect.logits > 0).count();
        assert!(some > 0 && some < expected.len(), "{:?}: {some} of {}", NETWORKS.get(i), expected.len());
    }
}

/// A whole output channel, so that outcomes are remembered, alone and beside other channels.
#[test]
fn all_weights_of_a_channel_have_the_effects_of_each_alone() {
    let (graph, checkpoint, network) = network(2, 12);
    let pixels = random::pixels(IMAGES, graph.spec(), 4);
    let inputs = network.prepare(&pixels).unwrap();
    let labels = network.predict_clean(&inputs);
    for tensor in [1, checkpoint.weights.len() - 2] {
        let weights = checkpoint.weights[tensor].values();
        let terms = weights.len() / checkpoint.weights[tensor].shape()[0];
        let all: Vec<WeightChange> = (0..2 * terms)
            .flat_map(|index| {
                (0..8).map(move |bit| WeightChange {
                    tensor,
                    index,
                    value: weights[index] ^ (1u8 << bit) as i8,
                })
            })
            .collect();
        let together = network.effects(&inputs, &labels, &all);
        let alone: Vec<Effect> =
            all.iter().flat_map(|change| network.effects(&inputs, &labels, &[*change])).collect();
        assert_eq!(together, alone, "tensor {tensor}");
    }
}

#[test]
fn no_changes_have_no_effects() {
    let (graph, _, network) = network(0, 1);
    let pixels = random::pixels(1, graph.spec(), 4);
    assert_eq!(network.effects(&network.prepare(&pixels).unwrap(), &[0], &[]), []);
}
