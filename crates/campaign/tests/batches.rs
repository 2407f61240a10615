//! Protections that handle many blocks at once, and nothing alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use campaign::{Network, StoredNetwork, WordAccount};
use design::{BitErrorRate, FaultKind};
use ecc::{
    BLOCK, Constraint, Dense, MemoryImage, MemoryLayout, Protection, Region, WordShape, WordStatus, all,
    by_id,
};
use inject::FaultPattern;

/// A protection whose codec for single blocks and words is never used.
#[derive(Debug)]
struct Together {
    code: Arc<dyn Protection>,
    calls: AtomicUsize,
}

impl Together {
    fn call(&self) -> &dyn Protection {
        self.calls.fetch_add(1, Relaxed);
        &*self.code
    }
}

impl Protection for Together {
    fn id(&self) -> &str {
        self.code.id()
    }

    fn definition(&self) -> String {
        self.code.definition()
    }

    fn word(&self) -> WordShape {
        self.code.word()
    }

    fn constraint(&self) -> Constraint {
        self.code.constraint()
    }

    fn as_stored(&self, _: [i8; BLOCK]) -> [i8; BLOCK] {
        unreachable!("blocks are never alone")
    }

    fn as_stored_plane(&self, plane: &mut [i8]) {
        self.call().as_stored_plane(plane);
    }

    fn regions<'p>(&self, plane: &'p [i8]) -> Vec<Region<'p>> {
        self.code.regions(plane)
    }

    fn encode_block(&self, _: &[i8; BLOCK], _: &mut MemoryImage, _: usize) {
        unreachable!("blocks are never alone")
    }

    fn encode_plane(&self, plane: &[i8], image: &mut MemoryImage) {
        self.call().encode_plane(plane, image);
    }

    fn decode_word(&self, _: &MemoryImage, _: usize, _: &mut [i8]) -> WordStatus {
        unreachable!("words are never alone")
    }

    fn decode_words(
        &self,
        image: &MemoryImage,
        words: &[usize],
        weights: &mut [i8],
        statuses: &mut [WordStatus],
    ) {
        self.call().decode_words(image, words, weights, statuses);
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.code.syndrome(image, word)
    }

    fn dense(&self) -> Option<Dense<'_>> {
        None
    }
}

/// Weights of 100,000 blocks in two tensors.
fn network(protection: &dyn Protection) -> Network {
    let layout = MemoryLayout::new([("first", 500_000), ("second", 299_997)]);
    let mut plane: Vec<i8> = (0..layout.plane_len()).map(|i| (i * 37 % 256) as u8 as i8).collect();
    plane[799_997..].fill(0);
    protection.constraint().throttle(&mut plane);
    Network { label: "large".into(), digest: "d".into(), evaluator: "none".into(), layout, plane }
}

#[test]
fn trials_handle_all_blocks_that_they_hit_in_a_few_calls() {
    let kinds = [
        FaultKind::Bernoulli,
        FaultKind::Asymmetric { share: 0.75 },
        FaultKind::Accumulate { hours: 5, scrub: Some(2) },
    ];
    for code in all().into_iter().filter(|code| code.id() != "in-place-list") {
        let network = network(&*code);
        let together = Arc::new(Together { code: by_id(code.id()).unwrap(), calls: 0.into() });
        let expected = StoredNetwork::new(&network, code).unwrap();
        let stored = StoredNetwork::new(&network, together.clone()).unwrap();
        assert_eq!(stored.losses(), expected.losses());
        for kind in kinds {
            // Ten thousand blocks are hit or more, at most 4,096 in a call.
            let trial =
                |memory: &StoredNetwork<'_>| memory.trial(kind, BitErrorRate::new(2e-3).unwrap(), 2019, 3);
            together.calls.store(0, Relaxed);
            let (found, expected) = (trial(&stored), trial(&expected));
            assert!((4..130).contains(&together.calls.load(Relaxed)), "{:?}", together.calls);
            let numbers = |trial: &campaign::Trial| {
                [
                    trial.words_hit,
                    trial.corrected,
                    trial.detected,
                    trial.miscorrected,
                    trial.silent,
                    trial.padding_changed,
                ]
            };
            assert_eq!(numbers(&found), numbers(&expected), "{together:?} {kind:?}");
            assert_eq!(found.pattern, expected.pattern);
            assert!(found.changes == expected.changes);
        }
        let pattern = FaultPattern { data: vec![3, 70_000, 6_399_999], check: Vec::new() };
        let (found, expected): (Vec<WordAccount>, _) = (stored.account(&pattern), expected.account(&pattern));
        assert_eq!((found.len(), &found), (3, &expected));
    }
}
