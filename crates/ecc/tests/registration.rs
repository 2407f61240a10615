//! Protections of a user: what registering one takes, and each way in which it is refused.

use std::sync::Arc;

use ecc::{
    BLOCK, Constraint, DuePolicy, MemoryImage, OutcomeDistribution, Protection, RegistrationError, WordShape,
    WordStatus, all, by_id, check_protection, register, registered, replace,
};

/// A rule that a protection breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Breach {
    Nothing,
    Parameters,
    WordOfThree,
    NineCheckBits,
    NoZero,
    ZeroStored,
    ReadBack,
    OtherBits,
    Status,
    AloneAsStored,
    AloneBits,
    Neighbour,
    Syndrome,
    Panics,
    Unsteady,
    AmongOthers,
    OtherWord,
    Distribution,
    Class,
}

/// A weight and a copy of its sign; a weight whose sign differs from the copy is read as zero.
#[derive(Debug)]
struct SignZero {
    id: String,
    breach: Breach,
    reads: std::sync::atomic::AtomicU64,
}

impl SignZero {
    fn breaking(breach: Breach) -> Self {
        Self::named("sign-zero", breach)
    }

    fn named(id: &str, breach: Breach) -> Self {
        Self { id: id.into(), breach, reads: 0.into() }
    }

    fn breaks(&self, breach: Breach) -> bool {
        self.breach == breach
    }
}

impl Protection for SignZero {
    fn id(&self) -> &str {
        &self.id
    }

    fn definition(&self) -> String {
        if self.breaks(Breach::Parameters) { "copy\nof bit 7".into() } else { "copy of bit 7".into() }
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn word(&self) -> WordShape {
        match self.breach {
            Breach::WordOfThree => WordShape { weights: 3, check_bits: 1 },
            Breach::NineCheckBits => WordShape { weights: 1, check_bits: 9 },
            _ => WordShape { weights: 1, check_bits: 1 },
        }
    }

    fn constraint(&self) -> Constraint {
        let mut constraint = Constraint::NONE;
        if self.breaks(Breach::NoZero) {
            constraint.low[3] = 1;
        }
        constraint
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        match self.breach {
            Breach::ZeroStored => [1; BLOCK],
            Breach::AloneAsStored => [0; BLOCK],
            Breach::OtherBits => [0; BLOCK],
            _ => weights,
        }
    }

    fn as_stored_plane(&self, plane: &mut [i8]) {
        match self.breach {
            Breach::ZeroStored => plane.fill(1),
            Breach::OtherBits => plane.fill(0),
            _ => {}
        }
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let bytes = weights.map(i8::cast_unsigned);
        image.set_block(block, u64::from_le_bytes(bytes));
        for (i, byte) in bytes.into_iter().enumerate() {
            image.set_check_word(BLOCK * block + i, 1, u64::from(byte >> 7));
        }
        let alone = image.data().len() == 3 * BLOCK;
        if self.breaks(Breach::AloneBits) && alone {
            image.flip_data(64);
        }
        if self.breaks(Breach::Neighbour) && alone {
            image.flip_check(16);
        }
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let reads = self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let byte = image.data()[word];
        let differs = u64::from(byte >> 7) != image.check_word(word, 1);
        assert!(!(self.breaks(Breach::Panics) && differs), "signs differ");
        (weights[0], _) = match self.breach {
            Breach::ReadBack if byte == 77 => (78, 0),
            Breach::OtherBits => (0, 0),
            Breach::Unsteady if differs => ((reads / 1000) as i8, 0),
            Breach::OtherWord if word % 8 == 2 => ((image.data()[word + 1] & 1) as i8, 0),
            _ if differs => (0, 0),
            _ => (byte.cast_signed(), 0),
        };
        match (differs, self.breaks(Breach::Status) && byte == 3) {
            (true, _) => WordStatus::Detected,
            (false, true) => WordStatus::Corrected,
            (false, false) => WordStatus::Clean,
        }
    }

    fn decode_words(
        &self,
        image: &MemoryImage,
        words: &[usize],
        weights: &mut [i8],
        statuses: &mut [WordStatus],
    ) {
        for ((&word, weights), status) in words.iter().zip(weights.chunks_exact_mut(1)).zip(statuses) {
            *status = self.decode_word(image, word, weights);
            if self.breaks(Breach::AmongOthers) && *status == WordStatus::Detected {
                weights[0] = 1;
            }
        }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        let sign = u64::from(image.data()[word] >> 7);
        if self.breaks(Breach::Syndrome) { sign } else { sign ^ image.check_word(word, 1) }
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        match self.breach {
            Breach::Distribution => by_id("faulty").unwrap().outcome_distributions(),
            Breach::OtherBits => None,
            _ => {
                let sound = Self::breaking(Breach::Nothing);
                Some([1, 0].map(|weight| OutcomeDistribution::of_weight(&sound, weight)).into())
            }
        }
    }

    fn class_of(&self, weights: &[i8]) -> usize {
        if self.breaks(Breach::Class) && weights[0] == -7 { 2 } else { usize::from(weights[0] == 0) }
    }
}

#[test]
fn built_in_protections_are_sound_under_every_policy() {
    for protection in all() {
        assert_eq!(check_protection(&*protection), Ok(()));
        for policy in protection.due_policies() {
            let id = format!("{}+{}", protection.id(), policy.id());
            let protection = by_id(&id).unwrap();
            // A policy is part of the id, which only a registered protection may not have.
            let refused = check_protection(&*protection).err().map(|error| error.found);
            assert_eq!(refused, (*policy != DuePolicy::Keep).then(|| format!("the id is {id:?}")));
        }
    }
}

#[test]
fn a_broken_rule_is_named_with_what_came_back() {
    let known = [
        (Breach::Parameters, r#"the parameters are "copy\nof bit 7 due keep", expected one line of text"#),
        (Breach::WordOfThree, "a word has 3 weights, expected 1, 2, 4 or 8"),
        (
            Breach::NineCheckBits,
            "a word of 1 weights has 9 check bits, expected at most 8: a block of 8 weights has at most 64",
        ),
        (
            Breach::NoZero,
            "position 3 stores weights from 1 to 127, expected a range with 0, which pads tensors",
        ),
        (
            Breach::ZeroStored,
            "zeros are stored as [1, 1, 1, 1, 1, 1, 1, 1], expected zeros, which pad tensors",
        ),
        (
            Breach::Status,
            "word 3 of block [-28, -49, 17, 3, 32, 105, -26, -76] is Corrected without a flip, expected Clean",
        ),
        (
            Breach::AloneAsStored,
            "block [-128, -128, -128, -128, -128, -128, -128, -128] alone is stored as [0, 0, 0, 0, 0, 0, 0, 0], \
             expected [-128, -128, -128, -128, -128, -128, -128, -128], as among other blocks",
        ),
        (
            Breach::AloneBits,
            "block [0, 0, 0, 0, 0, 0, 0, 0] alone is stored as the bits (1, 0) (data, check), expected (0, 0), as among \
             other blocks",
        ),
        (
            Breach::Neighbour,
            "storing [0, 0, 0, 0, 0, 0, 0, 0] as block 1 changes bits of block 2, expected bits of block 1 alone to change",
        ),
        (
            Breach::Syndrome,
            "word 0 of block [-128, -128, -128, -128, -128, -128, -128, -128] has syndrome 0x1 without a flip, expected 0",
        ),
        (Breach::Panics, "reading 72 blocks panics: signs differ, expected no panic"),
        (
            Breach::AmongOthers,
            "word 0 with bit 7 of block [0, 0, 0, 0, 0, 0, 0, 0] flipped is read as ([0], Detected), expected ([1], \
             Detected), as among other words",
        ),
        (
            Breach::Distribution,
            "an outcome distribution counts patterns of 8 bits, expected 9, the bits of a word",
        ),
        (
            Breach::Class,
            "the class of the word [-7] is 2, expected one of the 2 outcome distributions, from 0 on",
        ),
    ];
    for (breach, message) in known {
        let error = check_protection(&SignZero::breaking(breach)).unwrap_err();
        assert_eq!(error.to_string(), format!("protection \"sign-zero\": {message}"), "{breach:?}");
    }
    let said = |breach| check_protection(&SignZero::breaking(breach)).unwrap_err().found;
    assert!(said(Breach::ReadBack).ends_with("without a flip"), "{}", said(Breach::ReadBack));
    assert!(
        said(Breach::OtherBits).contains("which is stored as the bits (0, 0)"),
        "{}",
        said(Breach::OtherBits)
    );
    assert!(said(Breach::Unsteady).contains("word 0 with bit 7 of block"), "{}", said(Breach::Unsteady));
    assert!(said(Breach::OtherWord).contains("is read as"), "{}", said(Breach::OtherWord));
    for id in ["", "a b", "code+zero-word", ".hidden", "größe", &"x".repeat(65)] {
        let error = check_protection(&SignZero::named(id, Breach::Nothing)).unwrap_err();
        assert_eq!(error.found, format!("the id is {id:?}"));
    }
}

#[test]
fn a_registered_protection_is_found_by_its_id() {
    let id = "sign-zero-of-the-user";
    let sound = |id: &str| Arc::new(SignZero::named(id, Breach::Nothing));
    assert!(by_id(id).is_err());
    register(sound(id)).unwrap();
    let found = by_id(id).unwrap();
    assert_eq!((found.id(), found.parameters()), (id, "copy of bit 7 due keep".into()));
    assert_eq!(by_id(&format!("{id}+zero-word")).unwrap().parameters(), "copy of bit 7 due zero-word");
    assert!(by_id("raid").unwrap_err().expected.ends_with(&format!(", {id}")));
    assert!(all().iter().all(|protection| protection.id() != id), "it is not built in");

    // The same protection again takes its place; another one does not.
    let later = sound(id);
    register(later.clone()).unwrap();
    let only: Vec<_> = registered().into_iter().filter(|protection| protection.id() == id).collect();
    assert!(only.len() == 1 && std::ptr::addr_eq(Arc::as_ptr(&only[0]), Arc::as_ptr(&later)));
    for taken in ["ecc", "secded-72-64", "zero"] {
        assert_eq!(register(sound(taken)), Err(RegistrationError::BuiltIn(taken.into())));
    }
    assert!(matches!(
        register(Arc::new(SignZero::named("x", Breach::Status))),
        Err(RegistrationError::Unsound(_))
    ));
    assert!(by_id("x").is_err());
    let renamed = Arc::new(Renamed(by_id("ecc").unwrap(), id));
    let error = register(renamed.clone()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the id of the protection is `sign-zero-of-the-user`, which is registered with the parameters \"copy of bit 7 due \
             keep\", expected another id for the parameters \"columns "
        ),
        "{error}"
    );
    assert_eq!(by_id(id).unwrap().parameters(), "copy of bit 7 due keep");

    replace(renamed.clone()).unwrap();
    assert_eq!(by_id(id).unwrap().parameters(), renamed.parameters());
    assert_eq!(found.parameters(), "copy of bit 7 due keep", "who has the other one keeps it");
    register(renamed).unwrap();
    assert_eq!(replace(sound("ecc")), Err(RegistrationError::BuiltIn("ecc".into())));
    let unsound = Arc::new(SignZero::named(id, Breach::Status));
    assert!(matches!(replace(unsound), Err(RegistrationError::Unsound(_))));
}

/// A built-in protection under another id.
#[derive(Debug)]
struct Renamed(Arc<dyn Protection>, &'static str);

impl Protection for Renamed {
    fn id(&self) -> &str {
        self.1
    }

    fn definition(&self) -> String {
        self.0.definition()
    }

    fn word(&self) -> WordShape {
        self.0.word()
    }

    fn constraint(&self) -> Constraint {
        self.0.constraint()
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.0.encode_block(weights, image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        self.0.decode_word(image, word, weights)
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.0.syndrome(image, word)
    }
}
