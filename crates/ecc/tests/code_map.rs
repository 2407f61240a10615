//! Networks whose tensors have codes of their own.

use std::sync::Arc;

use ecc::{
    BLOCK, CodeMap, CodeMapError, Constraint, MemoryImage, MemoryLayout, NoProtection, Protection,
    RegistrationError, StatusCounts, WordStatus, by_id, for_layout, known_id, register_map,
};
use proptest::prelude::*;

/// The codes that a map may name.
const INSIDE: [&str; 9] = [
    "faulty",
    "in-place-64-57",
    "in-place-dected-64-51",
    "in-place-32-26",
    "in-place-dected-64-48",
    "in-place-msb-32-16",
    "in-place-msb-16-8",
    "in-place-msb-48-24",
    "in-place-msb-64-32+zero-word",
];

fn map(id: &str, codes: &[(&str, &str)]) -> Result<CodeMap, CodeMapError> {
    let code = |(tensor, code): &(&str, &str)| ((*tensor).to_owned(), by_id(code).unwrap());
    CodeMap::new(id, "codes.toml", codes.iter().map(code).collect())
}

/// Blocks, and the code of each tensor.
#[derive(Clone, Debug)]
struct Memory {
    tensors: Vec<(usize, &'static str)>,
    weights: Vec<i8>,
    flips: Vec<u64>,
}

fn memories() -> impl Strategy<Value = Memory> {
    let tensors = prop::collection::vec((0usize..40, prop::sample::select(&INSIDE[..])), 1..6);
    let flips = prop::collection::btree_set(0u64..5 * 40 * 8, 0..80);
    (tensors, prop::collection::vec(any::<i8>(), 5 * 40), flips)
        .prop_map(|(tensors, weights, flips)| Memory { tensors, weights, flips: flips.into_iter().collect() })
}

proptest! {
    /// Every tensor is stored and read as its own code stores and reads it alone.
    #[test]
    fn a_map_reads_each_tensor_as_its_code_reads_it_alone(memory in memories()) {
        let names: Vec<String> = (0..memory.tensors.len()).map(|i| format!("t{i}")).collect();
        let layout = MemoryLayout::new(names.iter().zip(&memory.tensors).map(|(name, (len, _))| (&name[..], *len)));
        let codes: Vec<Arc<dyn Protection>> =
            memory.tensors.iter().map(|(_, code)| by_id(code).unwrap()).collect();
        let named = names.iter().cloned().zip(codes.iter().cloned());
        let map = CodeMap::new("mixed", "codes.toml", named.collect()).unwrap();
        let mixed = map.protection(&layout).unwrap();

        let mut plane = vec![0; layout.plane_len()];
        for (span, code) in layout.tensors().iter().zip(&codes) {
            let tensor = &mut plane[span.range()];
            tensor.copy_from_slice(&memory.weights[..span.len]);
            code.constraint().throttle(tensor);
        }
        prop_assert_eq!(mixed.check(&layout, &plane), Ok(()));
        prop_assert_eq!(mixed.constraint(), codes.iter().fold(Constraint::NONE, |all, code| {
            let own = code.constraint();
            Constraint {
                low: std::array::from_fn(|i| all.low[i].max(own.low[i])),
                high: std::array::from_fn(|i| all.high[i].min(own.high[i])),
            }
        }));

        let mut image = MemoryImage::blank(mixed.word(), plane.len());
        mixed.encode_plane(&plane, &mut image);
        let mut read = vec![1; plane.len()];
        let clean = mixed.decode(&image, &mut read);
        prop_assert_eq!(&read, &plane);
        let words = (plane.len() / BLOCK) as u64;
        prop_assert_eq!(clean, StatusCounts { clean: words, ..StatusCounts::default() });

        let bits = image.data_bits();
        memory.flips.iter().filter(|bit| **bit < bits).for_each(|bit| image.flip_data(*bit));
        let mut counts = mixed.decode(&image, &mut read);
        prop_assert_eq!(mixed.verify(&image), counts);
        for (span, code) in layout.tensors().iter().zip(&codes) {
            let stored = span.start..span.start + span.len.next_multiple_of(BLOCK);
            let mut own = MemoryImage::blank(code.word(), stored.len());
            code.encode_plane(&plane[stored.clone()], &mut own);
            let flips = memory.flips.iter().filter_map(|bit| bit.checked_sub(8 * stored.start as u64));
            flips.filter(|bit| *bit < 8 * stored.len() as u64).for_each(|bit| own.flip_data(bit));
            prop_assert_eq!(&image.data()[stored.clone()], own.data());
            let mut alone = vec![0; stored.len()];
            code.decode(&own, &mut alone);
            prop_assert_eq!(&read[stored.clone()], &alone);

            let words_of_block = BLOCK / code.word().weights;
            let bits_of_word = 64 / words_of_block;
            for block in 0..stored.len() / BLOCK {
                let words = words_of_block * block..words_of_block * (block + 1);
                let syndromes: Vec<u64> = words.clone().map(|word| code.syndrome(&own, word)).collect();
                let all = (0..).zip(&syndromes).fold(0, |all, (i, syndrome)| all | syndrome << (bits_of_word * i));
                prop_assert_eq!(mixed.syndrome(&image, stored.start / BLOCK + block), all);
                let mut weights = vec![0; code.word().weights];
                let statuses: Vec<WordStatus> =
                    words.map(|word| code.decode_word(&own, word, &mut weights)).collect();
                let count = match statuses {
                    _ if statuses.contains(&WordStatus::Detected) => &mut counts.detected,
                    _ if statuses.contains(&WordStatus::Corrected) => &mut counts.corrected,
                    _ => &mut counts.clean,
                };
                *count -= 1;
            }
        }
        prop_assert_eq!(counts, StatusCounts::default());
    }
}

#[test]
fn regions_are_runs_of_tensors_with_one_code_and_cover_the_plane() {
    let layout = MemoryLayout::new([("a", 9), ("b", 8), ("empty", 0), ("c", 1)]);
    let codes = [("a", "in-place-64-57"), ("b", "in-place-64-57"), ("empty", "faulty"), ("c", "faulty")];
    let mixed = map("mixed", &codes).unwrap().protection(&layout).unwrap();
    let plane: Vec<i8> = (0..32).collect();
    let regions = mixed.regions(&plane);
    let found: Vec<_> =
        regions.iter().map(|r| (r.first_weight, &r.bytes[..], r.code.as_ref().unwrap().id())).collect();
    assert_eq!(found, [(Some(0), &plane[..24], "in-place-64-57"), (Some(24), &plane[24..], "faulty")]);
    // A tensor's blocks are found in the region that holds them, and nowhere else.
    let blocks =
        |weight: usize| regions.iter().map(|region| region.blocks_before(weight)).collect::<Vec<_>>();
    assert_eq!([0, 16, 24, 32].map(blocks), [[0, 0], [2, 0], [3, 0], [3, 1]]);
}

#[test]
fn each_tensor_is_checked_by_its_own_range() {
    let layout = MemoryLayout::new([("a", 8), ("b", 8)]);
    let mixed = map("mixed", &[("a", "in-place-msb-64-32"), ("b", "in-place-msb-48-24")]).unwrap();
    let mixed = mixed.protection(&layout).unwrap();
    let mut plane = vec![0; 16];
    (plane[1], plane[9]) = (7, -16);
    assert_eq!(mixed.check(&layout, &plane), Ok(()));
    plane[9] = 16;
    let found = mixed.check(&layout, &plane).unwrap_err().to_string();
    assert_eq!(found, "weight 1 of b is 16, outside [-16, 15]");
    plane[1] = -9;
    let found = mixed.check(&layout, &plane).unwrap_err().to_string();
    assert_eq!(found, "weight 1 of a is -9, outside [-8, 7]");
}

#[test]
fn maps_that_cannot_be_are_refused_by_tensor_and_code() {
    let refused = |codes: &[(&str, &str)]| map("mixed", codes).unwrap_err().to_string();
    let expected = "which stores bits beside the weights, expected a code with all bits inside them";
    for code in ["secded-72-64", "in-place-list", "idealized-64", "parity-zero"] {
        let found = refused(&[("a", "in-place-64-57"), ("b", code)]);
        assert_eq!(found, format!("codes.toml: code of \"b\" is {code}, {expected}"));
    }
    for code in ["lsb-64-56", "cep-8", "mset-8", "weight-nulling"] {
        let expected = "which changes weights by storing them, expected a code that returns the weights that were stored";
        assert_eq!(refused(&[("a", code)]), format!("codes.toml: code of \"a\" is {code}, {expected}"));
    }
    assert_eq!(refused(&[]), "codes.toml: no tensor has a code, expected one for each tensor of a network");
    for code in INSIDE {
        map("mixed", &[("a", code)]).unwrap();
    }

    let layout = MemoryLayout::new([("a", 9), ("b", 8)]);
    let misfit =
        |codes: &[(&str, &str)]| map("mixed", codes).unwrap().protection(&layout).unwrap_err().to_string();
    assert_eq!(
        misfit(&[("a", "faulty")]),
        "codes.toml: code of \"b\" is missing, expected one for each tensor of the network"
    );
    assert_eq!(
        misfit(&[("a", "faulty"), ("b", "faulty"), ("B", "faulty")]),
        "codes.toml: code of \"B\" is given, expected codes of the network's tensors: a, b"
    );
}

#[test]
fn a_definition_names_codes_and_tensors_whatever_the_order() {
    let codes = [("b", "in-place-64-57"), ("c", "faulty"), ("a", "in-place-64-57")];
    let definition = map("mixed", &codes).unwrap().definition();
    let turned: Vec<_> = codes.into_iter().rev().collect();
    assert_eq!(map("other", &turned).unwrap().definition(), definition);
    let [in_place, faulty] = ["in-place-64-57", "faulty"].map(|id| by_id(id).unwrap().parameters());
    assert_eq!(
        definition,
        format!(
            "a code for each tensor: faulty ({faulty}) at \"c\"; in-place-64-57 ({in_place}) at \"a\", \"b\""
        )
    );
    // Neither another tensor nor another policy has the same text.
    for other in [("b", "in-place-64-57+zero-word"), ("b", "faulty"), ("d", "in-place-64-57")] {
        let others = [other, codes[1], codes[2]];
        assert_ne!(map("mixed", &others).unwrap().definition(), definition);
    }
    // A name cannot forge another map.
    let forged = map("mixed", &[("a\", \"b", "faulty")]).unwrap().definition();
    assert_ne!(forged, map("mixed", &[("a", "faulty"), ("b", "faulty")]).unwrap().definition());
}

#[test]
fn a_registered_map_is_known_for_layouts_that_have_its_tensors() {
    let codes = [("a", "in-place-64-57"), ("b", "faulty")];
    register_map(map("registered-map", &codes).unwrap().into()).unwrap();
    register_map(map("registered-map", &codes).unwrap().into()).unwrap();
    let layout = MemoryLayout::new([("a", 9), ("b", 8)]);
    let mixed = for_layout("registered-map", &layout).unwrap();
    assert_eq!((mixed.id(), mixed.parameters()), ("registered-map", map("x", &codes).unwrap().definition()));
    assert_eq!(known_id("registered-map").unwrap(), "registered-map");
    assert_eq!(known_id("ecc").unwrap(), "secded-72-64");
    assert_eq!(for_layout("ecc", &layout).unwrap().id(), "secded-72-64");
    assert!(by_id("registered-map").is_err(), "a map is no protection of blocks");
    let other = MemoryLayout::new([("a", 9)]);
    assert!(matches!(
        for_layout("registered-map", &other),
        Err(NoProtection::Map(CodeMapError::Unknown { .. }))
    ));
    assert!(matches!(for_layout("no-map", &layout), Err(NoProtection::Unknown(_))));

    let other = register_map(map("registered-map", &[("a", "faulty")]).unwrap().into());
    assert!(matches!(other, Err(RegistrationError::Taken { .. })), "{other:?}");
    for (id, expected) in
        [("ecc", "the id of the protection is `ecc`"), ("", "the id is \"\""), ("a b", "the id is \"a b\"")]
    {
        let found = register_map(map(id, &codes).unwrap().into()).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }
}
