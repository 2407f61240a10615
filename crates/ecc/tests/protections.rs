//! What holds for every protection, through the public trait.

use ecc::{
    BLOCK, BlockCode, Constraint, InPlace, Kernel, MemoryImage, MemoryLayout, Protection, SecDed,
    StatusCounts, WordStatus, all, by_id,
};
use proptest::prelude::*;

/// Weights that a protection can store, in a layout with odd sizes.
fn plane_for(protection: &dyn Protection, layout: &MemoryLayout, bytes: &[i8]) -> Vec<i8> {
    let mut source = bytes.iter().copied().cycle();
    let tensors: Vec<Vec<i8>> = layout
        .tensors()
        .iter()
        .map(|span| {
            let mut tensor: Vec<i8> = source.by_ref().take(span.len).collect();
            protection.constraint().throttle(&mut tensor);
            tensor
        })
        .collect();
    layout.pack(tensors.iter().map(Vec::as_slice))
}

/// What a memory without faults reads as.
/// Memory that stores a plane of weights.
fn stored(protection: &dyn Protection, plane: &[i8]) -> MemoryImage {
    let mut image = MemoryImage::blank(protection.word(), plane.len());
    protection.encode_plane(plane, &mut image);
    image
}

fn as_stored(protection: &dyn Protection, plane: &[i8]) -> Vec<i8> {
    plane.as_chunks::<BLOCK>().0.iter().flat_map(|block| protection.as_stored(*block)).collect()
}

proptest! {
    #[test]
    fn clean_memories_read_back(sizes in proptest::collection::vec(0usize..70, 1..5), bytes in proptest::collection::vec(any::<i8>(), 1..64)) {
        let names: Vec<String> = (0..sizes.len()).map(|i| format!("t{i}")).collect();
        let layout = MemoryLayout::new(names.iter().map(String::as_str).zip(sizes));
        for protection in all() {
            let plane = plane_for(&*protection, &layout, &bytes);
            let image = stored(&*protection, &plane);
            let mut read = vec![1; plane.len()];
            let counts = protection.decode(&image, &mut read);
            let (blocks, _) = plane.as_chunks::<BLOCK>();
            let as_stored: Vec<i8> = blocks.iter().flat_map(|block| protection.as_stored(*block)).collect();
            prop_assert_eq!(&read, &as_stored);
            let mut again = MemoryImage::blank(protection.word(), plane.len());
            protection.encode_plane(&as_stored, &mut again);
            prop_assert_eq!(&again, &image);
            let words = (plane.len() / protection.word().weights) as u64;
            prop_assert_eq!(counts, StatusCounts { clean: words, corrected: 0, detected: 0 });
            let check_bits = words * protection.word().check_bits as u64;
            prop_assert_eq!(image.check_bits(), check_bits.next_multiple_of(8));
        }
    }

    #[test]
    fn the_first_weight_outside_its_range_is_named(
        sizes in proptest::collection::vec(0usize..100, 1..4),
        bytes in proptest::collection::vec(any::<i8>(), 1..64),
        large in proptest::collection::vec((any::<usize>(), any::<i8>()), 0..3),
    ) {
        let names: Vec<String> = (0..sizes.len()).map(|i| format!("t{i}")).collect();
        let layout = MemoryLayout::new(names.iter().map(String::as_str).zip(sizes));
        for protection in all() {
            let mut plane = plane_for(&*protection, &layout, &bytes);
            for &(index, value) in &large {
                let index = index % plane.len().max(1);
                if !plane.is_empty() && layout.locate(index).is_some() {
                    plane[index] = value;
                }
            }
            let constraint = protection.constraint();
            let first = layout.tensors().iter().find_map(|span| {
                let outside = constraint.violations(&plane[span.range()]).next();
                outside.map(|(index, value)| (span.name.clone(), index, value))
            });
            let named = constraint.check(&layout, &plane).err();
            prop_assert_eq!(named.map(|v| (v.tensor, v.index, v.value)), first);
        }
    }

    #[test]
    fn a_flip_reaches_no_word_but_its_own(
        bytes in proptest::collection::vec(any::<i8>(), 40),
        flips in proptest::collection::btree_set(0u64..360, 0..12),
    ) {
        let layout = MemoryLayout::new([("t", 40)]);
        for protection in all() {
            let plane = plane_for(&*protection, &layout, &bytes);
            let mut image = stored(&*protection, &plane);
            let shape = protection.word();
            let mut hit = std::collections::BTreeSet::new();
            for &flip in &flips {
                if flip < image.data_bits() {
                    image.flip_data(flip);
                    hit.insert(flip as usize / (8 * shape.weights));
                } else if flip - image.data_bits() < shape.check_bits_of(plane.len()) as u64 {
                    let bit = flip - image.data_bits();
                    image.flip_check(bit);
                    hit.insert(bit as usize / shape.check_bits);
                }
            }
            // Sparse: only the words that were hit; dense: all of them.
            let mut sparse = as_stored(&*protection, &plane);
            for word in hit {
                let range = word * shape.weights..(word + 1) * shape.weights;
                protection.decode_word(&image, word, &mut sparse[range]);
            }
            let mut dense = vec![0; plane.len()];
            protection.decode(&image, &mut dense);
            prop_assert_eq!(sparse, dense);
        }
    }
}

/// One flip and two of every bit of a word: the sum of their columns of the parity-check matrix.
#[test]
fn syndromes_are_those_of_the_parity_check_matrix() {
    let kernel = Kernel::fastest();
    let inside = [
        BlockCode::in_place_dected(kernel),
        BlockCode::in_place_32(kernel),
        BlockCode::in_place_msb(kernel),
        BlockCode::in_place_msb_of_four(kernel),
        BlockCode::lsb(kernel),
        BlockCode::bch(kernel),
    ];
    let inside = inside
        .iter()
        .map(|protection| (protection.id(), protection.code().clone(), protection.positions().to_vec()));
    let folds = [("in-place", InPlace::code()), ("ecc", SecDed::code())].map(|(name, code)| {
        let bits = (0..code.bits()).collect();
        (name, code, bits)
    });
    for (name, code, bits) in folds.into_iter().chain(inside) {
        let protection = by_id(name).unwrap();
        let mut plane: Vec<i8> = (0..16).map(|i| i * 7 - 60).collect();
        protection.constraint().throttle(&mut plane);
        for (a, b) in (0..code.bits()).flat_map(|a| (0..=a).map(move |b| (a, b))) {
            let mut image = MemoryImage::blank(protection.word(), plane.len());
            protection.encode_plane(&plane, &mut image);
            assert_eq!(protection.syndrome(&image, 1), 0);
            let mut expected = 0;
            for bit in [Some(a), (a != b).then_some(b)].into_iter().flatten() {
                match bits[bit].checked_sub(8 * protection.word().weights) {
                    None => image.flip_data((8 * protection.word().weights + bits[bit]) as u64),
                    Some(check) => image.flip_check((protection.word().check_bits + check) as u64),
                }
                expected ^= code.columns()[bit];
            }
            assert_eq!(protection.syndrome(&image, 1), u64::from(expected), "{name}: bits {a} and {b}");
        }
    }
}

#[test]
fn what_a_lossy_protection_stores_is_what_it_reads_and_stores_again_alike() {
    let stored = |protection: &dyn Protection, block: &[i8; BLOCK]| {
        let mut image = MemoryImage::blank(protection.word(), BLOCK);
        protection.encode_block(block, &mut image, 0);
        image
    };
    for protection in all() {
        let mut lossy = false;
        for i in 0..4_000i32 {
            let mut block: [i8; BLOCK] =
                std::array::from_fn(|w| ((i * (2 * w as i32 + 77)) >> (i % 5)) as i8);
            protection.constraint().throttle(&mut block);
            let read = protection.as_stored(block);
            lossy |= read != block;
            assert_eq!(protection.as_stored(read), read, "{} {block:?}", protection.id());
            assert_eq!(
                stored(&*protection, &read),
                stored(&*protection, &block),
                "{} {block:?}",
                protection.id()
            );
        }
        let known = ["in-place-list", "lsb-64-56", "dec-64-50", "weight-nulling", "cep-8", "mset-8"];
        assert_eq!(lossy, known.contains(&protection.id()), "{}", protection.id());
    }
}

#[test]
fn lossy_protections_lose_low_bits_of_the_weights_they_name() {
    let lsb = by_id("lsb-64-56").unwrap();
    assert_eq!(lsb.as_stored([0, 1, -1, 127, -128, -127, 31, 2]), [0, 0, -2, 126, -128, -128, 30, 2]);
    let dec = by_id("dec-64-50").unwrap();
    // Small: weight 7 may have any size.
    let small = [0, 1, -1, 31, -31, 30, -29, 127];
    assert_eq!(dec.as_stored(small), small);
    // Large for one weight, which all but weight 7 pay for, two bits of magnitude each.
    assert_eq!(dec.as_stored([0, 1, -1, 32, -31, 30, -29, 127]), [0, 0, 0, 32, -28, 28, -28, 127]);
    assert_eq!(dec.as_stored([-128, -127, 127, 64, -33, 3, 5, -128]), [-124, -124, 124, 64, -32, 0, 4, -127]);
}

#[test]
fn parity_zero_zeroes_odd_flips_and_misses_even_ones() {
    let protection = by_id("zero").unwrap();
    for value in i8::MIN..=i8::MAX {
        let plane = [value; 8];
        for flips in 0u32..512 {
            // Bits 0..8 hit weight 3, bit 8 its parity bit.
            let mut image = MemoryImage::blank(protection.word(), plane.len());
            protection.encode_plane(&plane, &mut image);
            (0..8).filter(|i| flips >> i & 1 == 1).for_each(|i| image.flip_data(3 * 8 + i));
            if flips >> 8 & 1 == 1 {
                image.flip_check(3);
            }
            let mut read = [0];
            let status = protection.decode_word(&image, 3, &mut read);
            if flips.count_ones() % 2 == 1 {
                assert_eq!((read, status), ([0], WordStatus::Detected));
            } else {
                let expected = value ^ (flips & 0xff) as u8 as i8;
                assert_eq!((read, status), ([expected], WordStatus::Clean));
            }
        }
    }
}

#[test]
fn in_place_refuses_a_large_weight_by_name_index_and_value() {
    let protection = by_id("in-place").unwrap();
    let layout = MemoryLayout::new([("conv1.weight", 9), ("features.3.weight", 20)]);
    let mut second = vec![0; 20];
    second[7] = -128;
    second[15] = 127;
    second[17] = -93;
    let plane = layout.pack([&[0; 9][..], &second]);
    let error = protection.constraint().check(&layout, &plane).unwrap_err();
    assert_eq!(error.to_string(), "weight 17 of features.3.weight is -93, outside [-64, 63]");
}

#[test]
fn every_range_has_one_text_of_its_own() {
    let text = |id: &str| by_id(id).unwrap().constraint().to_string();
    assert_eq!(text("faulty"), "any value");
    assert_eq!(
        text("in-place"),
        "[-64, 63] at positions 0 to 6 of each 8-byte block, any value at position 7"
    );
    assert_eq!(
        text("in-place-dected-64-51"),
        "[-32, 31] at positions 0 to 5 of each 8-byte block, [-64, 63] at position 6, any value at position 7"
    );
    assert_eq!(
        text("in-place-32-26"),
        "[-32, 31] at positions 0 to 2 and 4 to 6 of each 8-byte block, any value at positions 3 and 7"
    );
    assert_eq!(text("in-place-msb-32-16"), "[-32, 31]");
    assert_eq!(text("in-place-msb-48-24"), "[-16, 15]");
    assert_eq!(text("in-place-msb-64-32"), "[-8, 7]");

    // A free position between others, one range in three runs, and the range that is free but for one end.
    let mut odd = Constraint { low: [-1; 8], high: [1; 8] };
    (odd.low[0], odd.high[0]) = (i8::MIN, i8::MAX);
    odd.low[2] = i8::MIN;
    odd.high[5] = 2;
    assert_eq!(
        odd.to_string(),
        "[-1, 1] at positions 1, 3, 4, 6 and 7 of each 8-byte block, [-128, 1] at position 2, [-1, 2] at position 5, \
         any value at position 0"
    );

    let mut texts: Vec<String> = Vec::new();
    let mut seen: Vec<Constraint> = Vec::new();
    for constraint in all().iter().map(|protection| protection.constraint()).chain([odd]) {
        if !seen.contains(&constraint) {
            seen.push(constraint);
            texts.push(constraint.to_string());
        }
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), seen.len());
}

#[test]
fn throttling_clamps_positions_0_to_6_only() {
    let mut tensor: Vec<i8> = vec![64, -65, 63, -64, 127, -128, 0, 127, -127, 65];
    let changed = by_id("in-place").unwrap().constraint().throttle(&mut tensor);
    assert_eq!(tensor, [63, -64, 63, -64, 63, -64, 0, 127, -64, 63]);
    assert_eq!(changed, 6);
}

#[test]
fn protections_answer_to_their_other_names() {
    for (alias, id) in [
        ("faulty", "faulty"),
        ("zero", "parity-zero"),
        ("ecc", "secded-72-64"),
        ("in-place", "in-place-64-57"),
        ("avg", "parity-avg"),
        ("idealized", "idealized-64"),
    ] {
        assert_eq!(by_id(alias).unwrap().id(), id);
        assert_eq!(by_id(id).unwrap().id(), id);
    }
    let error = by_id("raid").unwrap_err().to_string();
    let known = all().iter().map(|p| p.id().to_owned()).collect::<Vec<_>>().join(", ");
    assert_eq!(error, format!("unknown protection `raid`, expected one of {known}"));
    assert!(known.starts_with("faulty, parity-zero, secded-72-64, in-place-64-57, "));
}

/// S222 and S230 of the specification.
#[test]
fn parameters_are_stable() {
    // They enter the identity of every record; a change here is a change of the code itself.
    let known = [
        ("faulty", ""),
        ("parity-zero", "even"),
        (
            "secded-72-64",
            "columns 0e323d545ba4c2f10d313e5758a7c1f20b3738515ea1c7f4073b345d52adcbf81f232c454ab5d3e0\
             2f131c757a85e3d04f737c151ae583b08fb3bcd5da2543700102040810204080 due keep",
        ),
        (
            "in-place-64-57",
            "columns 546732792c1f014a5764317a2f1c02495162377c291a044f5d6e3b7025160843457623683d0e105b\
             754613580d3e206b152673386d5e400b2a194c0752617f34 due keep",
        ),
        (
            "in-place-list",
            "columns 546732792c1f014a5764317a2f1c02495162377c291a044f5d6e3b7025160843457623683d0e105b\
             754613580d3e206b152673386d5e400b2a194c0752617f34 due keep, large weights clamped and written over by a \
             list of index, 32 bits, and value, columns \
             0e323d545ba4c2f10d313e5758a7c1f20b3738515ea1c7f4073b345d52adcbf81f232c454ab5d3e0\
             2f131c757a85e3d04f737c151ae583b08fb3bcd5da2543700102040810204080 due keep",
        ),
        (
            "in-place-dected-64-51",
            "columns 0e14050b106c0447075f000100020fd512bf0ec31f420bf307930004000815bb140e11e309151fcc\
             04a30010002012f11425197e14540b2d086300400080153614890b0a154d1cb4118c0100020010c516391c28\
             112906cd18c2040008001de61cf904bd1a5601db0dfa0aef1000038507f9081b07aa076c1d071bbc1ef20763 \
             due keep",
        ),
        (
            "in-place-32-26",
            "columns 070b0d0e1301021516191a1c1f0408232526292a2c10202f31323437383b3d3e due keep",
        ),
        (
            "in-place-dected-64-48",
            "columns ba09daaa513fb05a075f00010002153afd1e142c2f42111c6c2f000400088b493ee1fe42cc5bf06d\
             db0200100020494d5576f6df4fe8d48c086300400080912b4f350b0a915098a9959101000200519626399835\
             4a95d96c437e0400080099fb820b75eeef18b5c6d25b10002000038507f9081bc2e4763f2d07400080000763 \
             due keep",
        ),
        (
            "in-place-msb-32-16",
            "bits 4-7 columns a7a000010002096797e700040008259c56fb0010002096705bee0040008050a76fba01\
             000200429ebeea040008000a7af2cf1000200029e8c25940008000a84b due keep",
        ),
        ("in-place-msb-16-8", "bits 4-7 columns 7b0102f0970408ba5d1020e90f4080de due keep"),
        ("in-place-msb-48-24", "double circulant 076d7f radius 5 due keep"),
        ("in-place-msb-64-32", "double circulant 5a6755bd radius 5 due keep"),
        (
            "lsb-64-56",
            "bit 0 zero columns 01070b0d0e13151602191a1c23252629042a2c3132343843084546494a4c51521\
             05458616264687020838586898a8c9140929498a1a2a4a880b0c1c2c4c8d0e0 due keep",
        ),
        (
            "bch-79-64",
            "columns 7671297b52f6607505730ae615cc2b9857306bf9126b24d649ac56c1681b15af2b5e56bc68e1\
             145b28b6516c67410b1b16362c6c58d874292dcb5b9672b520f341e64655493357ff6a67115722ae455c\
             4f215bdb722f21c7438e4285409344bf4ce75c577d373ff77fee3a45748a2c8d591a77ad2ac355866e95\
             18b3316662cc000100020004000800100020004000800100020004000800100020004000 due keep",
        ),
        (
            "dec-64-50",
            "sign-magnitude, marker, columns 298924f6191806f52190000100023c2019372ccb12561bd43953\
             0004000839a512ea0c3f3f6e19662c69001000202fb13d9e30fc349d13ae0eb70040008001d73f5d0ad5\
             1b51388e3adc01000200075c34512b541b722b1d2255040008001d70186112431bfe1367364710002000\
             03f617b23f3a19ce3baa103936363f130fd828fe due keep",
        ),
        ("parity-avg", "even, mean within the block, toward zero"),
        ("vote", "flag on [-32, 31], majority of bits 5, 6 and 7"),
        ("weight-nulling", "even parity in bit 0"),
        ("msb-tmr", "bit 7 three times"),
        ("cep-8", "sign and magnitude, even parity of bits 5..=7 in bit 1 and of bits 2..=4 in bit 0"),
        ("mset-8", "bit 7 three times, in bits 7, 1 and 0"),
        ("idealized-64", "1 of 64 cells restored from an immune copy, due keep"),
        ("idealized-64-t2", "2 of 64 cells restored from an immune copy, due keep"),
    ];
    for (id, parameters) in known {
        assert_eq!(by_id(id).unwrap().parameters(), parameters, "{id}");
    }
    let ids: Vec<_> = known.iter().map(|(id, _)| *id).collect();
    assert_eq!(all().iter().map(|p| p.id().to_owned()).collect::<Vec<_>>(), ids, "each is pinned");
}

/// S219 of the specification.
#[test]
fn an_idealized_protection_restores_what_it_is_said_to_correct_and_keeps_the_rest() {
    for (id, corrects) in [("idealized-64", 1), ("idealized-64-t2", 2)] {
        let protection = by_id(id).unwrap();
        assert!(!protection.regions(&[0; BLOCK])[0].check_bits_exposed);
        let block = [-128, 127, 0, -1, 64, -65, 3, 90];
        let read = |bits: &[u64]| {
            let mut image = MemoryImage::blank(protection.word(), 16);
            protection.encode_block(&block, &mut image, 1);
            bits.iter().for_each(|bit| image.flip_data(64 + bit));
            let mut weights = [0; 8];
            let status = protection.decode_word(&image, 1, &mut weights);
            (weights, status)
        };
        assert_eq!(read(&[]), (block, WordStatus::Clean));
        for a in 0..64 {
            assert_eq!(read(&[a]), (block, WordStatus::Corrected));
            for b in 0..a {
                for c in 0..=b {
                    let bits = if b == c { vec![a, b] } else { vec![a, b, c] };
                    let received = bits.iter().fold(block, |mut weights, &bit| {
                        weights[bit as usize / 8] ^= (1u8 << (bit % 8)) as i8;
                        weights
                    });
                    let expected = match bits.len() <= corrects {
                        true => (block, WordStatus::Corrected),
                        false => (received, WordStatus::Detected),
                    };
                    assert_eq!(read(&bits), expected, "{id} {bits:?}");
                }
            }
        }
    }
}

#[test]
fn lossy_protections_are_told_from_others() {
    let all = ecc::all();
    let lossy: Vec<&str> = all.iter().filter(|p| p.is_lossy()).map(|p| p.id()).collect();
    assert_eq!(lossy, ["lsb-64-56", "dec-64-50", "weight-nulling", "cep-8", "mset-8"]);
}
