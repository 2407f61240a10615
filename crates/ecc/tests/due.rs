//! What detected words read as, under each policy.

use std::sync::Arc;

use ecc::{BLOCK, Constraint, DuePolicy, MemoryImage, Protection, StatusCounts, WordStatus, all, by_id};

type UnderPolicies = Vec<(DuePolicy, Arc<dyn Protection>)>;

/// Every protection that has a choice, with the others of its policies.
fn choices() -> Vec<(Arc<dyn Protection>, UnderPolicies)> {
    let choice = |kept: Arc<dyn Protection>| {
        let others = kept.due_policies().iter().filter(|policy| **policy != DuePolicy::Keep);
        let others =
            others.map(|&policy| (policy, by_id(&format!("{}+{}", kept.id(), policy.id())).unwrap()));
        let others: UnderPolicies = others.collect();
        (kept, others)
    };
    all().into_iter().map(choice).filter(|(_, others)| !others.is_empty()).collect()
}

/// Blocks that a protection can store.
fn plane(protection: &dyn Protection) -> Vec<i8> {
    let mut plane: Vec<i8> = (0..400 * BLOCK).map(|i| (i * 37 % 251) as i8 >> (i / 8 % 4)).collect();
    plane[..BLOCK].fill(0);
    protection.constraint().throttle(&mut plane);
    plane
}

/// S210 of the specification.
#[test]
fn detected_words_read_as_the_policy_says_and_others_as_without_it() {
    for (kept, others) in choices() {
        let plane = plane(&*kept);
        let size = kept.word().weights;
        let mut image = MemoryImage::blank(kept.word(), plane.len());
        kept.encode_plane(&plane, &mut image);
        // Runs of one to nine flips, some words apart.
        for start in (0..image.data_bits() - 9).step_by(149) {
            (0..1 + start % 9).for_each(|flip| image.flip_data(start + flip));
        }
        let mut as_received = vec![0; plane.len()];
        let counts = kept.decode(&image, &mut as_received);
        for (policy, other) in others {
            let narrow = match kept.constraint() {
                Constraint::NONE => -64..=63,
                constraint => constraint.narrowest(),
            };
            let mut seen = StatusCounts::default();
            let mut expected = as_received.clone();
            for (word, weights) in expected.chunks_exact_mut(size).enumerate() {
                let status = kept.decode_word(&image, word, &mut vec![0; size]);
                seen += status;
                if status == WordStatus::Detected {
                    match policy {
                        DuePolicy::ZeroWord => weights.fill(0),
                        DuePolicy::RangeClamp => {
                            weights.iter_mut().for_each(|w| *w = (*w).clamp(*narrow.start(), *narrow.end()));
                        }
                        DuePolicy::Keep => unreachable!("has no suffix"),
                    }
                }
            }
            let mut read = vec![0; plane.len()];
            assert_eq!(other.decode(&image, &mut read), counts, "{}", other.id());
            assert_eq!(seen, counts, "{}", other.id());
            assert!(counts.detected > 30 && counts.corrected > 20, "{}: {counts:?}", other.id());
            assert!(read == expected, "{}", other.id());
            assert_eq!(other.verify(&image), counts, "{}", other.id());
            if policy == DuePolicy::ZeroWord {
                assert!(read != as_received, "{}", other.id());
            }
        }
    }
}

#[test]
fn ids_and_parameters_name_the_policy() {
    for (kept, others) in choices() {
        assert!(kept.parameters().ends_with(" due keep"), "{}", kept.parameters());
        assert_eq!(by_id(&format!("{}+keep", kept.id())).unwrap().id(), kept.id());
        for (policy, other) in others {
            assert_eq!(other.id(), format!("{}+{}", kept.id(), policy.id()));
            let columns = kept.parameters().replace(" due keep", "");
            assert_eq!(other.parameters(), format!("{columns} due {}", policy.id()));
            assert_eq!(other.constraint(), kept.constraint());
            assert_eq!(other.word(), kept.word());
        }
    }
    assert_eq!(by_id("ecc+zero-word").unwrap().id(), "secded-72-64+zero-word");
    assert_eq!(by_id("in-place+range-clamp").unwrap().id(), "in-place-64-57+range-clamp");
}

#[test]
fn what_there_is_instead_is_said() {
    for (name, expected) in [
        ("zero+zero-word", "parity-zero alone, which has no choice of what a detected word reads as"),
        ("faulty+keep", "faulty alone, which has no choice of what a detected word reads as"),
        ("ecc+panic", "secded-72-64 with one of +keep, +zero-word, +range-clamp"),
        (
            "in-place+zero-weights",
            "in-place-64-57 with one of +keep, +zero-word, +range-clamp: it cannot tell which weights of a detected \
             word are wrong",
        ),
    ] {
        let error = by_id(name).unwrap_err();
        assert_eq!(error.to_string(), format!("unknown protection `{name}`, expected {expected}"));
    }
    assert!(by_id("raid+zero-word").unwrap_err().to_string().contains("one of faulty, parity-zero, "));
}
