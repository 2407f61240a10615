//! The fast executor equals the plain one bit for bit, for every division of the work.

use std::sync::atomic::{AtomicUsize, Ordering};

use graph::Graph;
use graph::WeightChange;
use infer::{Baseline, BlockBaseline, BlockTrial, Network};
use quant::{Activations, Checkpoint, LevelsPerUnit, QuantTensor};

use crate::listed;
use crate::random::{self, SplitMix64};
use crate::reference;

/// Architectures, widths and sizes that reach every operation; their numbers of channels are no multiples of
/// a panel.
pub(crate) const NETWORKS: [(&str, f64, usize); 8] = [
    ("resnet20", 0.5, 32),
    ("resnet20", 0.35, 19),
    ("resnet18", 0.125, 32),
    ("vgg16", 0.07, 32),
    ("vgg16_bn", 0.125, 32),
    ("squeezenet1_0", 0.125, 67),
    ("squeezenet1_1", 0.2, 32),
    ("inception_v3", 0.125, 75),
];

const IMAGES: usize = 21;

/// Number of networks of [`network`].
pub(crate) const COUNT: usize = NETWORKS.len() + 3;

/// Number of those without attention, which come first.
pub(crate) const WITHOUT_ATTENTION: usize = COUNT - 1;

/// The networks of the list; the indices after the last are [`listed::graph`], [`listed::modern`] and
/// [`listed::transformer`].
pub(crate) fn network(i: usize, seed: u64) -> (Graph, Checkpoint, Network) {
    let graph = match NETWORKS.get(i) {
        Some((architecture, width, size)) => zoo::build(&random::spec(architecture, *width, *size)).unwrap(),
        None if i == NETWORKS.len() => listed::graph(),
        None if i == NETWORKS.len() + 1 => listed::modern(),
        None => listed::transformer(),
    };
    let checkpoint = random::checkpoint(&graph, seed);
    let network = Network::new(&graph, &checkpoint).unwrap();
    (graph, checkpoint, network)
}

/// Returns the same network with a scale for each output channel, calibrated again.
pub(crate) fn per_channel(graph: &Graph, checkpoint: Checkpoint) -> Checkpoint {
    let mut contents = checkpoint.into_contents();
    for weight in &mut contents.weights {
        *weight = QuantTensor::quantize_per_channel(weight.name(), &weight.dequantize()).unwrap();
    }
    let images = random::pixels(4, graph.spec(), 3);
    let scales = zoo::calibrate(graph, &contents.dequantized(), &contents.preprocessing, &images).unwrap();
    contents.activations = Activations::Static(scales);
    Checkpoint::new(contents).unwrap()
}

/// Draws random bit flips; every fourth changed weight becomes -128.
pub(crate) fn flips(checkpoint: &Checkpoint, count: usize, random: &mut SplitMix64) -> Vec<WeightChange> {
    let mut below = |n: usize| (random.next() % n as u64) as usize;
    (0..count)
        .map(|i| {
            let tensor = below(checkpoint.weights.len());
            let index = below(checkpoint.weights[tensor].values().len());
            let flipped = checkpoint.weights[tensor].values()[index] ^ (1u8 << below(8)) as i8;
            WeightChange { tensor, index, value: if i % 4 == 0 { i8::MIN } else { flipped } }
        })
        .collect()
}

/// Returns the levels of each weight tensor after `changes`.
pub(crate) fn changed(checkpoint: &Checkpoint, changes: &[WeightChange]) -> Vec<Vec<i8>> {
    let mut weights: Vec<Vec<i8>> = checkpoint.weights.iter().map(|w| w.values().to_vec()).collect();
    for change in changes {
        weights[change.tensor][change.index] = change.value;
    }
    weights
}

/// Rules S305, S306, S307, S308, S309, S310, S312, S313, S314, S318, S319, S320, S321, S341, S342 and S343 of the specification.
#[test]
fn levels_and_logits_equal_the_plain_reference() {
    for i in 0..COUNT {
        let name = NETWORKS.get(i);
        let (graph, checkpoint, mut network) = network(i, 100 + i as u64);
        let mut random = SplitMix64(i as u64);
        let pixels = random::pixels(3, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        for count in [0, 1, 40] {
            let changes = flips(&checkpoint, count, &mut random);
            let faulty = changed(&checkpoint, &changes);
            let levels = network.levels(&inputs, &changes);
            let logits = network.logits(&inputs, &changes);
            let classes = network.predict(&inputs, &changes);
            for (n, pixels) in pixels.chunks(pixels.len() / 3).enumerate() {
                let expected = reference::run(&graph, &checkpoint, &faulty, pixels);
                assert!(levels.keys().eq(expected.levels.keys()), "{name:?}: other nodes store levels");
                for (node, expected) in &expected.levels {
                    let found = &levels[node][n * expected.len()..][..expected.len()];
                    assert_eq!(found, expected, "{name:?}, image {n}, {count} changes, levels of {node}");
                }
                let found = &logits[n * 10..][..10];
                assert_eq!(found, expected.logits, "{name:?}, image {n}, {count} changes");
                let best = (0..10).rev().max_by(|&a, &b| found[a].total_cmp(&found[b])).unwrap();
                assert_eq!(usize::from(classes[n]), best, "{name:?}, image {n}, {count} changes");
            }
        }
    }
}

#[test]
fn scales_by_channel_equal_the_plain_reference() {
    // Networks with residual, concatenated and grouped convolutions.
    for i in [1, 6, NETWORKS.len(), COUNT - 2, COUNT - 1] {
        let name = NETWORKS.get(i);
        let (graph, checkpoint, mut whole) = network(i, 100 + i as u64);
        let checkpoint = per_channel(&graph, checkpoint);
        let scales = checkpoint.weights[0].scale();
        assert!((0..scales.values().len()).any(|channel| scales.of(channel) != scales.of(0)));
        let mut network = Network::new(&graph, &checkpoint).unwrap();
        let pixels = random::pixels(3, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        for count in [0, 40] {
            let changes = flips(&checkpoint, count, &mut SplitMix64(i as u64));
            let faulty = changed(&checkpoint, &changes);
            let (levels, logits) = (network.levels(&inputs, &changes), network.logits(&inputs, &changes));
            for (n, pixels) in pixels.chunks(pixels.len() / 3).enumerate() {
                let expected = reference::run(&graph, &checkpoint, &faulty, pixels);
                for (node, expected) in &expected.levels {
                    let found = &levels[node][n * expected.len()..][..expected.len()];
                    assert_eq!(found, expected, "{name:?}, image {n}, {count} changes, levels of {node}");
                }
                assert_eq!(&logits[n * 10..][..10], expected.logits, "{name:?}, image {n}, {count} changes");
            }
        }
        assert_ne!(network.logits(&inputs, &[]), whole.logits(&inputs, &[]), "{name:?}");
    }
}

#[test]
fn trials_on_a_baseline_equal_full_passes() {
    for i in 0..COUNT {
        let name = NETWORKS.get(i);
        let (graph, checkpoint, mut network) = network(i, 100 + i as u64);
        let mut random = SplitMix64(40 + i as u64);
        let pixels = random::pixels(IMAGES, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        // A few changes stay sparse and many become dense, in all layers, in the first or in the last.
        let mut trials: Vec<Vec<WeightChange>> =
            [0, 1, 1, 1, 2, 3, 8, 40, 700].map(|count| flips(&checkpoint, count, &mut random)).into();
        for tensor in [0, checkpoint.weights.len() - 1] {
            for count in [1, 3, 30] {
                let here = flips(&checkpoint, 4000, &mut random).into_iter();
                trials.push(here.filter(|change| change.tensor == tensor).take(count).collect());
            }
        }
        let expected: Vec<Vec<f32>> = trials.iter().map(|t| network.logits(&inputs, t)).collect();
        let classes: Vec<Vec<u16>> = trials.iter().map(|t| network.predict(&inputs, t)).collect();
        let trials: Vec<&[WeightChange]> = trials.iter().map(Vec::as_slice).collect();
        let clean = network.predict_clean(&inputs);
        // Memory for none, some, or all of the images.
        for memory in [0, 600_000, usize::MAX] {
            let network = Network::new(&graph, &checkpoint).unwrap();
            let finished = AtomicUsize::new(0);
            let mut baseline = Baseline::new(network, inputs, memory, &|images| {
                finished.fetch_add(images, Ordering::Relaxed);
            });
            assert_eq!(finished.into_inner(), IMAGES, "{name:?}, {memory} bytes");
            let kept = baseline.images_kept();
            assert!(if memory == 0 { kept == 0 } else { kept <= IMAGES }, "{name:?}: {kept}");
            assert_eq!(baseline.clean(), clean, "{name:?}, {memory} bytes");
            for (trial, expected) in trials.iter().zip(&expected) {
                let logits = baseline.logits(trial);
                assert_eq!(&logits, expected, "{name:?}, {memory} bytes, {} changes", trial.len());
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let found = pool.install(|| baseline.predict(&trials));
                assert_eq!(found, classes, "{name:?}, {memory} bytes, {threads} threads");
            }
            assert_eq!(
                baseline.logits(trials[0]),
                expected[0],
                "{name:?}, {memory} bytes, changes are undone"
            );
        }
    }
}

/// Trials with few changes, so many that sums are kept, by every form of the inner loop: of one weight, of several weights of a
/// channel, a panel or neighbouring layers, to the value that is there, and twice of one weight.
#[test]
fn trials_on_kept_sums_equal_full_passes() {
    for i in 0..COUNT {
        let name = NETWORKS.get(i);
        let (graph, checkpoint, mut network) = network(i, 100 + i as u64);
        let mut random = SplitMix64(90 + i as u64);
        let pixels = random::pixels(IMAGES, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        let mut trials: Vec<Vec<WeightChange>> = vec![flips(&checkpoint, 1, &mut random); 8];
        for (tensor, weight) in checkpoint.weights.iter().enumerate() {
            let (values, terms) = (weight.values(), weight.values().len() / weight.shape()[0]);
            let mut at = |count: usize| (random.next() % count as u64) as usize;
            let index = at(values.len());
            let in_channel = index / terms * terms + at(terms);
            let in_panel = at(terms.min(values.len()));
            let flip = |index: usize, bit: usize| WeightChange {
                tensor,
                index,
                value: values[index] ^ (1u8 << bit) as i8,
            };
            let next = (tensor + 1) % checkpoint.weights.len();
            let value = checkpoint.weights[next].values()[0] ^ 64;
            trials.push(vec![flip(index, 7)]);
            trials.push(match tensor % 4 {
                0 => vec![flip(index, at(7)), flip(in_channel, at(8)), flip(in_panel, 6)],
                1 => vec![flip(index, 6), WeightChange { tensor: next, index: 0, value }],
                2 => vec![flip(index, 7), flip(index, 2)],
                _ => vec![WeightChange { tensor, index, value: values[index] }],
            });
        }
        let expected: Vec<Vec<f32>> = trials.iter().map(|t| network.logits(&inputs, t)).collect();
        // The fastest form also with memory for no or some sums.
        let fastest = infer::kernel_forms().pop().unwrap();
        let all = infer::kernel_forms().into_iter().map(|form| (form, usize::MAX));
        for (form, memory) in all.chain([(fastest, 2_000_000), (fastest, 8_000_000)]) {
            let network = Network::with_kernel_form(&graph, &checkpoint, form).unwrap();
            let mut baseline = Baseline::new(network, inputs, memory, &|_| ());
            for (trial, expected) in trials.iter().zip(&expected) {
                assert_eq!(&baseline.logits(trial), expected, "{name:?}, {form}, {memory} bytes, {trial:?}");
            }
            assert!(memory < usize::MAX || baseline.layers_with_sums() > 0, "{name:?}, {form}");
        }
    }
}

/// Blocks of images in any order, kept or not, give what a full pass over these images gives.
#[test]
fn trials_on_blocks_equal_full_passes() {
    for i in (0..=NETWORKS.len()).chain([COUNT - 1]) {
        let name = NETWORKS.get(i);
        let (graph, checkpoint, mut network) = network(i, 100 + i as u64);
        let mut random = SplitMix64(70 + i as u64);
        let pixels = random::pixels(IMAGES, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        let trials: Vec<Vec<WeightChange>> =
            [1, 2, 5, 700].map(|count| flips(&checkpoint, count, &mut random)).into();
        let classes: Vec<Vec<u16>> = trials.iter().map(|t| network.predict(&inputs, t)).collect();
        let blocks: Vec<Vec<u32>> = [1, 3, 0]
            .map(|step| (0..IMAGES as u32).filter(|image| step == 0 || image % 4 == step).collect())
            .into();
        // By number of the trial, as campaigns ask: all trials of a block share its levels, or one is alone.
        let each: Vec<(&[u32], &[WeightChange], Vec<u16>)> = blocks
            .iter()
            .flat_map(|block| trials.iter().zip(&classes).map(move |(trial, all)| (block, trial, all)))
            .map(|(block, trial, all)| {
                let expected = block.iter().map(|&image| all[image as usize]).collect();
                (&block[..], &trial[..], expected)
            })
            .collect();
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let network = Network::new(&graph, &checkpoint).unwrap();
                let mut baseline = BlockBaseline::new(network, inputs, &|_| ());
                assert_eq!(
                    baseline.clean(),
                    Network::new(&graph, &checkpoint).unwrap().predict_clean(&inputs)
                );
                for together in [1, 3, each.len()] {
                    for trials in each.chunks(together) {
                        let asked: Vec<BlockTrial<'_>> = trials
                            .iter()
                            .map(|(images, changes, _)| BlockTrial { images, changes })
                            .collect();
                        let found = baseline.predict(&asked);
                        for ((block, changes, expected), found) in trials.iter().zip(&found) {
                            let context = (name, threads, together, block.len(), changes.len());
                            assert_eq!(found, expected, "{context:?}");
                        }
                    }
                }
            });
        }
    }
}

#[test]
fn activations_are_alive_in_the_tested_networks() {
    // If all activations were 0, every comparison above would be trivial.
    for i in 0..COUNT {
        let name = NETWORKS.get(i);
        let (graph, _, mut network) = network(i, 100 + i as u64);
        let pixels = random::pixels(3, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        for (node, levels) in network.levels(&inputs, &[]) {
            let alive = levels.iter().filter(|&&level| level != 0).count();
            assert!(
                alive * 20 > levels.len(),
                "{name:?}: {alive} of {} levels of {node} are not 0",
                levels.len()
            );
        }
    }
}

/// Rule S306 of the specification.
#[test]
fn a_clipped_relu_clips_at_the_level_of_its_bound() {
    let (graph, checkpoint, _) = network(NETWORKS.len(), 5);
    let mut contents = checkpoint.into_contents();
    // These scales are coarser than calibrated ones: 1.5 becomes level 45, and 0.375 becomes 11.25, rounded to 11.
    for node in ["stem_clip", "alone"] {
        contents.activations.scales_mut().unwrap().get_mut(node).unwrap().levels_per_unit =
            LevelsPerUnit::new(30.0).unwrap();
    }
    let checkpoint = Checkpoint::new(contents).unwrap();
    let mut network = Network::new(&graph, &checkpoint).unwrap();
    let pixels = random::pixels(1, graph.spec(), 7);
    let levels = network.levels(&network.prepare(&pixels).unwrap(), &[]);
    let expected = reference::run(&graph, &checkpoint, &changed(&checkpoint, &[]), &pixels);
    for (node, highest) in [("stem_clip", 45), ("alone", 11)] {
        assert_eq!(levels[node].iter().max(), Some(&highest), "{node}");
        assert_eq!(levels[node], expected.levels[node], "{node}");
    }
    let logits = network.logits(&network.prepare(&pixels).unwrap(), &[]);
    assert_eq!(logits, expected.logits);
    assert!(logits.iter().all(|v| (0.0..=0.5).contains(v)) && logits.contains(&0.5), "{logits:?}");
}

/// Rule S316 of the specification.
#[test]
fn threads_and_batches_change_nothing() {
    let (graph, checkpoint, mut network) = network(0, 5);
    let changes = flips(&checkpoint, 10, &mut SplitMix64(3));
    let pixels = random::pixels(61, graph.spec(), 8);
    let image = pixels.len() / 61;
    let inputs = network.prepare(&pixels).unwrap();
    let expected = network.logits(&inputs, &changes);
    let classes = network.predict(&inputs, &changes);
    assert_eq!((inputs.len(), classes.len()), (61, 61));
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for batch in [1, 7, 16, 40, 61] {
            let run = |part: &[u8]| network.logits(&network.prepare(part).unwrap(), &changes);
            let logits: Vec<f32> = pool.install(|| pixels.chunks(batch * image).flat_map(run).collect());
            assert_eq!(logits, expected, "{threads} threads, batches of {batch}");
        }
        assert_eq!(pool.install(|| network.predict(&inputs, &changes)), classes, "{threads} threads");
    }
}

#[test]
fn changes_last_for_one_call() {
    let (graph, checkpoint, mut network) = network(2, 6);
    let pixels = random::pixels(5, graph.spec(), 9);
    let inputs = network.prepare(&pixels).unwrap();
    let clean = network.logits(&inputs, &[]);
    let changes = flips(&checkpoint, 200, &mut SplitMix64(4));
    assert_ne!(network.logits(&inputs, &changes), clean);
    assert_eq!(network.logits(&inputs, &[]), clean);
    let same =
        |tensor: usize| WeightChange { tensor, index: 1, value: checkpoint.weights[tensor].values()[1] };
    let unchanged: Vec<WeightChange> = (0..checkpoint.weights.len()).map(same).collect();
    assert_eq!(network.logits(&inputs, &unchanged), clean);
    assert_eq!(network.predict_clean(&inputs), network.predict(&inputs, &unchanged));
}

#[test]
fn the_last_change_of_a_weight_counts() {
    let (graph, checkpoint, mut network) = network(0, 6);
    let pixels = random::pixels(2, graph.spec(), 9);
    let inputs = network.prepare(&pixels).unwrap();
    let change = |value| WeightChange { tensor: 0, index: 0, value };
    let clean = change(checkpoint.weights[0].values()[0]);
    assert_eq!(network.logits(&inputs, &[change(-128), clean]), network.logits(&inputs, &[]));
}

/// Rule S315 of the specification.
#[test]
fn equal_logits_give_the_lowest_class() {
    let graph = zoo::build(&random::spec("resnet20", 0.25, 32)).unwrap();
    let mut contents = random::checkpoint(&graph, 1).into_contents();
    let last = contents.weights.pop().unwrap();
    let zeros = vec![0; last.values().len()];
    contents.weights.push(last.with_values(zeros).unwrap());
    let bias = graph.parameters().last().unwrap().name.clone();
    let mut values = vec![-1.0; 10];
    (values[4], values[7]) = (2.0, 2.0);
    contents.parameters.insert(bias, quant::FloatTensor::new(vec![10], values));
    let checkpoint = Checkpoint::new(contents).unwrap();
    let network = Network::new(&graph, &checkpoint).unwrap();
    let pixels = random::pixels(3, graph.spec(), 2);
    let inputs = network.prepare(&pixels).unwrap();
    assert_eq!(network.predict_clean(&inputs), [4, 4, 4]);
}

#[test]
fn no_images_give_no_classes() {
    let (_, _, network) = network(0, 1);
    let inputs = network.prepare(&[]).unwrap();
    assert!(inputs.is_empty());
    assert_eq!(network.predict_clean(&inputs), [0u16; 0]);
}

#[test]
#[should_panic(expected = "names a weight outside 0..")]
fn a_change_outside_its_tensor_is_a_bug() {
    let (_, _, mut network) = network(0, 1);
    let index = network.weight_counts()[2];
    network.predict(&network.prepare(&[]).unwrap(), &[WeightChange { tensor: 2, index, value: 0 }]);
}

#[test]
#[should_panic(expected = "names a tensor outside 0..")]
fn a_change_outside_the_memory_is_a_bug() {
    let (_, _, mut network) = network(0, 1);
    let tensor = network.weight_counts().len();
    network.predict(&network.prepare(&[]).unwrap(), &[WeightChange { tensor, index: 0, value: 0 }]);
}
