//! Weights that `in-place-list` keeps in an exception list: what is read when list and array are hit.

use std::collections::BTreeSet;

use campaign::{Network, StoredNetwork, Trial};
use ecc::{BLOCK, Exception, MemoryImage, MemoryLayout, Protection, WordStatus};
use graph::WeightChange;
use inject::{FaultPattern, Faults};
use proptest::prelude::*;

/// Two tensors of 13 and 14 weights, and five of padding.
fn network(weights: &[i8; 27]) -> Network {
    let layout = MemoryLayout::new([("conv.weight", 13), ("fc.weight", 14)]);
    let plane = layout.pack([&weights[..13], &weights[13..]]);
    Network { label: "tiny".into(), digest: "d".into(), evaluator: "none".into(), layout, plane }
}

/// Weight 3 is 100, weight 6 is -128, weight 8 is 64, weight 2 of fc.weight, 18 in the plane, is -65; weight 7 is
/// large where it may be.
fn four_exceptions() -> Network {
    let mut weights: [i8; 27] = std::array::from_fn(|i| 4 * i as i8 - 50);
    for (index, value) in [(3, 100), (6, -128), (7, 127), (8, 64), (15, -65)] {
        weights[index] = value;
    }
    network(&weights)
}

fn stored(network: &Network) -> StoredNetwork<'_> {
    StoredNetwork::new(network, ecc::by_id("in-place-list").unwrap()).unwrap()
}

fn changed(network: &Network, changes: &[(usize, i8)]) -> Vec<WeightChange> {
    let change = |&(index, value)| {
        let (tensor, index) = network.layout.locate(index).unwrap();
        WeightChange { tensor, index, value }
    };
    changes.iter().map(change).collect()
}

fn read_with(memory: &StoredNetwork<'_>, list_bits: &[u64]) -> Trial {
    memory.read(Faults::Flips(FaultPattern { data: Vec::new(), check: list_bits.to_vec() }))
}

/// Words hit, corrected, detected, miscorrected, silent.
fn outcomes(trial: &Trial) -> [u64; 5] {
    [trial.words_hit, trial.corrected, trial.detected, trial.miscorrected, trial.silent]
}

/// Reads all words of a memory; adds those that are hit and the outcomes that [`outcomes`] has.
fn decoded(
    protection: &dyn Protection,
    plane: &[i8],
    [data, check]: [&[u64]; 2],
    sums: &mut [u64; 5],
) -> Vec<i8> {
    let shape = protection.word();
    let mut image = MemoryImage::blank(shape, plane.len());
    protection.encode_plane(plane, &mut image);
    data.iter().for_each(|&bit| image.flip_data(bit));
    check.iter().for_each(|&bit| image.flip_check(bit));
    let hit = data.iter().map(|bit| bit / 64).chain(check.iter().map(|bit| bit / 8));
    sums[0] += hit.collect::<BTreeSet<u64>>().len() as u64;
    let mut read = vec![0; plane.len()];
    for (word, read) in read.chunks_mut(BLOCK).enumerate() {
        let right = protection.as_stored(plane.as_chunks().0[word]);
        match protection.decode_word(&image, word, read) {
            WordStatus::Corrected => sums[if *read == right { 1 } else { 3 }] += 1,
            WordStatus::Detected => sums[2] += 1,
            WordStatus::Clean => sums[4] += u64::from(*read != right),
        }
    }
    read
}

/// What a controller does that knows no shortcut: it reads the whole array and the whole list, and writes all entries
/// over the array.
fn reference(memory: &StoredNetwork<'_>, pattern: &FaultPattern) -> (Vec<WeightChange>, u64, [u64; 5]) {
    let (network, protection) = (memory.network(), memory.protection());
    let list = protection.regions(&network.plane).swap_remove(1);
    let mut sums = [0; 5];
    let mut read = decoded(protection, &network.plane, [&pattern.data, &[]], &mut sums);
    let padding = (0..read.len()).filter(|&i| network.layout.locate(i).is_none() && read[i] != 0).count();
    let place = |bit: &u64| (bit / 72, bit % 72);
    let bits = pattern.check.iter().map(place);
    let (data, check): (Vec<_>, Vec<_>) = bits.partition(|(_, bit)| *bit < 64);
    let data: Vec<u64> = data.into_iter().map(|(entry, bit)| 64 * entry + bit).collect();
    let check: Vec<u64> = check.into_iter().map(|(entry, bit)| 8 * entry + bit - 64).collect();
    let entries = decoded(&*list.code.unwrap(), &list.bytes, [&data, &check], &mut sums);
    for entry in entries.as_chunks().0 {
        let Exception { index, value } = Exception::from_bytes(*entry);
        if let Some(weight) = read.get_mut(index as usize) {
            *weight = value;
        }
    }
    let changes = (0..read.len()).filter(|&i| network.layout.locate(i).is_some());
    let changes: Vec<(usize, i8)> =
        changes.filter(|&i| read[i] != network.plane[i]).map(|i| (i, read[i])).collect();
    (changed(network, &changes), padding as u64, sums)
}

#[test]
fn a_memory_without_faults_reads_as_the_network() {
    let network = four_exceptions();
    let memory = stored(&network);
    assert_eq!((memory.losses().len(), memory.bits().check_bits), (0, 4 * 72));
    let trial = memory.read(Faults::Flips(FaultPattern::default()));
    assert_eq!((outcomes(&trial), trial.changes), ([0; 5], vec![]));
}

#[test]
fn every_single_flip_of_list_and_array_is_corrected() {
    let network = four_exceptions();
    let memory = stored(&network);
    for bit in 0..4 * 72 {
        let trial = read_with(&memory, &[bit]);
        assert_eq!((outcomes(&trial), &trial.changes), ([1, 1, 0, 0, 0], &vec![]), "{bit}");
    }
    for bit in 0..8 * 32 {
        let trial = memory.read(Faults::Flips(FaultPattern { data: vec![bit], check: vec![] }));
        assert_eq!((outcomes(&trial), &trial.changes), ([1, 1, 0, 0, 0], &vec![]), "{bit}");
    }
}

#[test]
fn two_flips_of_an_entry_are_detected_and_it_is_written_as_received() {
    let network = four_exceptions();
    let memory = stored(&network);
    let (mut elsewhere, mut own) = (0, 0);
    for entry in 0..4 {
        for (a, b) in (0..72).flat_map(|a| (a + 1..72).map(move |b| (a, b))) {
            let pattern = FaultPattern { data: vec![], check: vec![72 * entry + a, 72 * entry + b] };
            let trial = read_with(&memory, &pattern.check);
            let (changes, padding, sums) = reference(&memory, &pattern);
            assert_eq!((outcomes(&trial), padding), (sums, 0));
            assert_eq!(trial.detected, 1);
            assert_eq!(trial.changes, changes, "entry {entry}, bits {a} and {b}");
            match trial.changes.len() {
                2 => elsewhere += 1,
                1 => own += 1,
                n => assert_eq!((n, a >= 40), (0, true), "only the index and the value matter"),
            }
        }
    }
    assert!(elsewhere > 50 && own > 1_000, "{elsewhere} {own}");
}

/// S209 of the specification.
#[test]
fn an_entry_that_names_another_weight_overwrites_that_one() {
    let network = four_exceptions();
    let memory = stored(&network);
    let read = |bits: &[u64]| {
        let trial = read_with(&memory, bits);
        assert_eq!(outcomes(&trial), [1, 0, 1, 0, 0]);
        trial.changes
    };
    // Index 3 becomes 0; its own weight stays as the array has it.
    assert_eq!(read(&[0, 1]), changed(&network, &[(0, 100), (3, 63)]));
    // 6, which an entry after it names, and writes over it.
    assert_eq!(read(&[0, 2]), changed(&network, &[(3, 63)]));
    // The second entry: 6 becomes 3, which the entry before it has restored.
    assert_eq!(read(&[72, 74]), changed(&network, &[(3, -128), (6, -64)]));
    // The fourth: 18 becomes 30, which is padding, and more than there are.
    assert_eq!(network.layout.locate(30), None);
    assert_eq!(read(&[3 * 72 + 2, 3 * 72 + 3]), changed(&network, &[(18, -64)]));
    assert_eq!(read(&[3 * 72 + 30, 3 * 72 + 31]), changed(&network, &[(18, -64)]));
    // The value: 64 becomes 0.
    assert_eq!(read(&[2 * 72 + 38, 2 * 72 + 71]), changed(&network, &[(8, 0)]));
}

fn list_bit() -> impl Strategy<Value = u64> {
    // Mostly the bits that decide which weight gets which value.
    (0u64..8, prop_oneof![0u64..5, 32u64..40, 64u64..72, 0u64..72]).prop_map(|(entry, bit)| 72 * entry + bit)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn only_what_was_hit_is_read_and_all_of_it_says_the_same(
        small in proptest::array::uniform27(-64i8..64),
        large in proptest::collection::btree_map(0usize..27, any::<i8>(), 0..10),
        data in proptest::collection::btree_set(0u64..8 * 32, 0..12),
        check in proptest::collection::btree_set(list_bit(), 0..24),
    ) {
        let mut weights = small;
        large.iter().for_each(|(&index, &value)| weights[index] = value);
        let network = network(&weights);
        let memory = stored(&network);
        let bits = memory.bits().check_bits;
        let check: Vec<u64> = check.into_iter().filter(|bit| *bit < bits).collect();
        let pattern = FaultPattern { data: data.into_iter().collect(), check };
        let (changes, padding, sums) = reference(&memory, &pattern);
        let trial = memory.read(Faults::Flips(pattern.clone()));
        prop_assert_eq!(&trial.changes, &changes);
        prop_assert_eq!((outcomes(&trial), trial.padding_changed), (sums, padding));
        prop_assert_eq!(&trial.pattern, &pattern);
    }
}
