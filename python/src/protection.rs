//! Protections that a user writes in Python, which handle many words in a call.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use ecc::{BLOCK, CodeMap, Constraint, MemoryImage, Protection, RegistrationError, WordShape, WordStatus};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::boundary::detached;

/// Read by every running campaign, and written to by whoever puts a protection in the place of another one.
static CAMPAIGNS: RwLock<()> = RwLock::new(());

/// Keeps registered protections as they are while a campaign runs.
pub(crate) fn fixed() -> RwLockReadGuard<'static, ()> {
    CAMPAIGNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a protection, also in place of another one with its id, unless a campaign is running.
pub(crate) fn known(protection: Arc<dyn Protection>) -> Result<(), RegistrationError> {
    registered(protection, ecc::register, ecc::replace)
}

/// Registers a code map as [`known`] does a protection.
pub(crate) fn known_map(map: Arc<CodeMap>) -> Result<(), RegistrationError> {
    registered(map, ecc::register_map, ecc::replace_map)
}

fn registered<T>(
    protection: T,
    beside_others: fn(T) -> Result<(), RegistrationError>,
    in_place_of_others: fn(T) -> Result<(), RegistrationError>,
) -> Result<(), RegistrationError> {
    match CAMPAIGNS.try_write() {
        Err(TryLockError::WouldBlock) => beside_others(protection),
        Ok(_alone) => in_place_of_others(protection),
        Err(TryLockError::Poisoned(_alone)) => in_place_of_others(protection),
    }
}

/// Returns the id that an argument is or has: an id, a subclass of `zerospace.Protection` or an instance of one, a linear code, or a
/// code map. Registers what is not an id.
///
/// # Errors
/// The exceptions of a registration.
pub(crate) fn id_of(protection: &Bound<'_, PyAny>) -> PyResult<String> {
    match protection.extract::<String>() {
        Ok(id) => Ok(id),
        Err(_) => {
            let named = protection.py().import("zerospace._protection")?.call_method1("id_of", (protection,));
            named?.extract()
        }
    }
}

/// An exception of a Python protection. It passes through the crates below as the payload of an unwinding: their protections
/// cannot fail.
struct Exception(PyErr);

/// Returns the Python exception that an unwinding carries, or its payload.
pub(crate) fn exception(panic: Box<dyn Any + Send>) -> Result<PyErr, Box<dyn Any + Send>> {
    panic.downcast::<Exception>().map(|exception| exception.0)
}

/// A protection whose words a Python object stores and reads.
#[derive(Debug)]
struct OwnProtection {
    id: String,
    definition: String,
    word: WordShape,
    constraint: Constraint,
    lossy: bool,
    /// Stores words: `(weights)` to `(data, check)`.
    encode: Py<PyAny>,
    /// Reads words: `(data, check)` to `(weights, statuses)`.
    decode: Py<PyAny>,
}

impl OwnProtection {
    /// Stores words: their bytes, and a byte for each of their check bits.
    fn stored(&self, weights: &[i8]) -> (Vec<u8>, Vec<u8>) {
        let weights: Vec<u8> = weights.iter().map(|weight| weight.cast_unsigned()).collect();
        self.called("storing", weights.len(), |py| {
            let stored = self.encode.bind(py).call1((PyBytes::new(py, &weights),))?;
            stored.extract()
        })
    }

    /// Reads words of which the bytes and the check bits are given.
    fn read(&self, data: &[u8], check: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.called("reading", data.len(), |py| {
            let read = self.decode.bind(py).call1((PyBytes::new(py, data), PyBytes::new(py, check)))?;
            read.extract()
        })
    }

    fn called(
        &self,
        doing: &str,
        weights: usize,
        call: impl FnOnce(Python<'_>) -> PyResult<(Vec<u8>, Vec<u8>)>,
    ) -> (Vec<u8>, Vec<u8>) {
        Python::attach(|py| {
            call(py).map_err(|error| {
                let words = weights / self.word.weights;
                let place = format!("in the protection {:?}, {doing} {words} words", self.id);
                // Python 3.10 has no notes.
                let _ = error.value(py).call_method1("add_note", (place,));
                Exception(error)
            })
        })
        .unwrap_or_else(|exception| resume_unwind(Box::new(exception)))
    }
}

impl Protection for OwnProtection {
    fn id(&self) -> &str {
        &self.id
    }

    fn definition(&self) -> String {
        self.definition.clone()
    }

    fn word(&self) -> WordShape {
        self.word
    }

    fn constraint(&self) -> Constraint {
        self.constraint
    }

    fn as_stored(&self, mut weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.as_stored_plane(&mut weights);
        weights
    }

    fn as_stored_plane(&self, plane: &mut [i8]) {
        if !self.lossy || plane.is_empty() {
            return;
        }
        let (data, check) = self.stored(plane);
        let (read, _) = self.read(&data, &check);
        plane.iter_mut().zip(read).for_each(|(weight, byte)| *weight = byte.cast_signed());
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let (data, check) = self.stored(weights);
        image.set_block(block, u64::from_le_bytes(data.try_into().expect("bytes of a block")));
        let value = (0..).zip(check).fold(0, |value, (bit, set)| value | u64::from(set) << bit);
        image.set_check_word(block, self.word.check_bits_of(BLOCK), value);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let mut status = [WordStatus::Clean];
        self.decode_words(image, &[word], weights, &mut status);
        status[0]
    }

    fn decode_words(
        &self,
        image: &MemoryImage,
        words: &[usize],
        weights: &mut [i8],
        statuses: &mut [WordStatus],
    ) {
        if words.is_empty() {
            return;
        }
        let WordShape { weights: size, check_bits } = self.word;
        let data: Vec<u8> =
            words.iter().flat_map(|word| &image.data()[word * size..][..size]).copied().collect();
        let bits = |&word: &usize| {
            let bits = image.check_word(word, check_bits);
            (0..check_bits).map(move |bit| (bits >> bit & 1) as u8)
        };
        let check: Vec<u8> = words.iter().flat_map(bits).collect();
        let (read, found) = self.read(&data, &check);
        weights.iter_mut().zip(read).for_each(|(weight, byte)| *weight = byte.cast_signed());
        for (status, found) in statuses.iter_mut().zip(found) {
            *status = match found {
                0 => WordStatus::Clean,
                1 => WordStatus::Corrected,
                _ => WordStatus::Detected,
            };
        }
    }

    /// Always 0: a Python protection tells no syndrome.
    fn syndrome(&self, _: &MemoryImage, _: usize) -> u64 {
        0
    }

    fn encode_plane(&self, plane: &[i8], image: &mut MemoryImage) {
        assert_eq!(plane.len(), image.data().len(), "the plane and the memory differ in length");
        if plane.is_empty() {
            return;
        }
        let (data, check) = self.stored(plane);
        let byte = |bits: &[u8]| (0..).zip(bits).fold(0, |byte, (place, bit)| byte | bit << place);
        *image = MemoryImage::new(data, check.chunks(8).map(byte).collect());
    }
}

/// Register a protection whose words `encode` and `decode` store and read, as bytes.
///
/// `encode(weights)` returns the stored bytes and a byte for each check bit, 0 or 1; `decode(data, check)` returns the weights and a
/// byte for the status of each word: 0 clean, 1 corrected, 2 detected. `low` and `high` are the range at each position of a block.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub(crate) fn register_protection(
    py: Python<'_>,
    id: String,
    definition: String,
    weights: usize,
    check_bits: usize,
    low: [i8; BLOCK],
    high: [i8; BLOCK],
    lossy: bool,
    encode: Py<PyAny>,
    decode: Py<PyAny>,
) -> PyResult<()> {
    let word = WordShape { weights, check_bits };
    let constraint = Constraint { low, high };
    let own = OwnProtection { id, definition, word, constraint, lossy, encode, decode };
    let known = detached(py, || known(Arc::new(own)))?;
    known.map_err(|error| PyValueError::new_err(error.to_string()))
}
