//! Protections whose faults only some weights show.

use std::sync::Arc;

use campaign::{Network, StoredNetwork};
use ecc::{BLOCK, Constraint, MemoryImage, MemoryLayout, Protection, WordShape, WordStatus};

/// Stores bytes as they are, and reads the byte 77 as 76; says so (`lossy`), or says that it loses nothing.
#[derive(Debug)]
struct Off {
    /// The byte that is read as 76.
    byte: i8,
    lossy: bool,
}

impl Off {
    fn read(&self, weight: i8) -> i8 {
        if weight == self.byte { 76 } else { weight }
    }
}

impl Protection for Off {
    fn id(&self) -> &'static str {
        "off"
    }

    fn definition(&self) -> String {
        String::new()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        if self.lossy { weights.map(|weight| self.read(weight)) } else { weights }
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, u64::from_le_bytes(weights.map(i8::cast_unsigned)));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let bytes = image.block(word).to_le_bytes();
        weights.copy_from_slice(&bytes.map(|byte| self.read(byte.cast_signed())));
        WordStatus::Clean
    }

    fn syndrome(&self, _: &MemoryImage, _: usize) -> u64 {
        0
    }
}

#[test]
fn a_block_that_is_read_otherwise_than_it_is_stored_is_an_error() {
    let layout = MemoryLayout::new([("fc", 11)]);
    let plane = layout.pack([[1, 2, 3, 4, 5, 6, 7, 8, 9, 77, 10].as_slice()]);
    let network =
        Network { label: "tiny".into(), digest: "d".into(), evaluator: "tiny-1".into(), layout, plane };
    let stored = |byte, lossy| StoredNetwork::new(&network, Arc::new(Off { byte, lossy }));
    assert_eq!(
        stored(77, false).unwrap_err().to_string(),
        "protection \"off\": block [9, 77, 10, 0, 0, 0, 0, 0] is read as [9, 76, 10, 0, 0, 0, 0, 0] without a flip, expected \
         [9, 77, 10, 0, 0, 0, 0, 0], as it is stored"
    );
    assert_eq!(
        stored(0, true).unwrap_err().to_string(),
        "protection \"off\": padding is stored as 76, expected 0"
    );
    let lossy = stored(77, true).unwrap();
    assert_eq!((lossy.losses().len(), lossy.losses()[0].index, lossy.losses()[0].value), (1, 9, 76));
    assert!(stored(-1, false).unwrap().losses().is_empty());
}
