use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::InPlace;
use crate::{
    BLOCK, Constraint, Dense, Kernel, MemoryImage, Protection, Region, SecDed, WordShape, WordStatus,
};

/// `in-place-64-57` for any weights, in two regions. The first stores the weights, clamped into the range of in-place
/// protection. The second is the exception list: an [`Exception`] for each weight that clamping changes, ascending by
/// index, in words of `secded-72-64`.
///
/// Once all words are read, each entry in order overwrites the weight that it names then, right or wrong. An entry that
/// names padding, or an index beyond the plane, overwrites no weight.
#[derive(Clone, Debug)]
pub struct InPlaceList(InPlace);

/// Entry of an exception list: a weight outside the range of in-place protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Plane index of the weight.
    pub index: u32,
    /// Value of the weight.
    pub value: i8,
}

impl Exception {
    /// Bytes of an entry: the index in bytes 0..=3, least significant first, the value in byte 4, and zeros.
    pub fn to_bytes(self) -> [i8; BLOCK] {
        let [a, b, c, d] = self.index.to_le_bytes().map(u8::cast_signed);
        [a, b, c, d, self.value, 0, 0, 0]
    }

    /// Entry in eight bytes; the last three may hold anything.
    pub fn from_bytes([a, b, c, d, value, ..]: [i8; BLOCK]) -> Self {
        Self { index: u32::from_le_bytes([a, b, c, d].map(i8::cast_unsigned)), value }
    }
}

impl InPlaceList {
    /// Returns the protection with a given form of the dense loops for the first region.
    pub fn new(kernel: Kernel) -> Self {
        Self(InPlace::new(kernel))
    }
}

impl Protection for InPlaceList {
    fn id(&self) -> &'static str {
        "in-place-list"
    }

    fn definition(&self) -> String {
        format!(
            "{}, large weights clamped and written over by a list of index, 32 bits, and value, columns {} due keep",
            self.0.parameters(),
            SecDed::code().columns_hex()
        )
    }

    fn word(&self) -> WordShape {
        self.0.word()
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, mut weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.0.constraint().throttle(&mut weights);
        weights
    }

    fn loses(&self, _: &[i8]) -> bool {
        false
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.0.encode_block(&self.as_stored(*weights), image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        self.0.decode_word(image, word, weights)
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.0.syndrome(image, word)
    }

    fn dense(&self) -> Option<Dense<'_>> {
        self.0.dense()
    }

    fn encode_plane(&self, plane: &[i8], image: &mut MemoryImage) {
        let mut clamped = plane.to_vec();
        self.0.constraint().throttle(&mut clamped);
        self.0.encode_plane(&clamped, image);
    }

    /// # Panics
    /// When the plane has more than 2^32 weights.
    fn regions<'p>(&self, plane: &'p [i8]) -> Vec<Region<'p>> {
        let mut clamped = plane.to_vec();
        self.0.constraint().throttle(&mut clamped);
        let (mut owners, mut entries) = (Vec::new(), Vec::new());
        for (index, (&value, clamped)) in plane.iter().zip(&clamped).enumerate() {
            if value != *clamped {
                let index = u32::try_from(index).expect("a plane of at most 2^32 weights");
                owners.push(index);
                entries.extend(Exception { index, value }.to_bytes());
            }
        }
        vec![
            Region {
                bytes: Cow::Owned(clamped),
                code: Some(Arc::new(self.0.clone())),
                ..Region::weights(plane)
            },
            Region {
                name: "exception list",
                bytes: Cow::Owned(entries),
                code: Some(Arc::new(SecDed::new(Kernel::fastest()))),
                check_bits_exposed: true,
                first_weight: None,
                owners: Some(owners),
            },
        ]
    }

    fn weights_read(&self, stored: &[&[i8]], wrong: &[BTreeMap<usize, i8>]) -> BTreeMap<usize, i8> {
        let (clamped, entries) = (stored[0], stored[1].as_chunks::<BLOCK>().0);
        let mut wrong_entries: BTreeMap<usize, [i8; BLOCK]> = BTreeMap::new();
        for (&byte, &value) in &wrong[1] {
            let entry = byte / BLOCK;
            wrong_entries.entry(entry).or_insert(entries[entry])[byte % BLOCK] = value;
        }
        let entry_of = |weight: usize| {
            let index = |entry: &[i8; BLOCK]| Exception::from_bytes(*entry).index as usize;
            entries.binary_search_by_key(&weight, index).ok()
        };
        // A weight in the list has its own value if its entry is read right and no later entry overwrites it.
        let right_entry_of = |weight| entry_of(weight).filter(|entry| !wrong_entries.contains_key(entry));

        let mut weights = wrong[0].clone();
        for &entry in wrong_entries.keys() {
            let weight = Exception::from_bytes(entries[entry]).index as usize;
            weights.entry(weight).or_insert(clamped[weight]);
        }
        weights.retain(|weight, _| right_entry_of(*weight).is_none());
        for (&entry, &bytes) in &wrong_entries {
            let Exception { index, value } = Exception::from_bytes(bytes);
            let weight = index as usize;
            if weight < clamped.len() && right_entry_of(weight).is_none_or(|own| own < entry) {
                weights.insert(weight, value);
            }
        }
        weights.retain(|&weight, value| {
            let own = entry_of(weight).map(|entry| Exception::from_bytes(entries[entry]).value);
            *value != own.unwrap_or(clamped[weight])
        });
        weights
    }
}
