//! Files of `torch.save` before 1.6: five pickles (magic number, protocol version, system info, the object,
//! the list of storage keys), then for each key an i64 count of elements and the elements, little-endian on
//! every machine (`torch/serialization.py`, `_legacy_save`). A single pickle is read as an object without
//! storages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use pickle::{Object, Pickle};

use super::checkpoint::{File, Storages};
use super::search::Table;
use super::tensor::storage_ref;
use super::{Budget, Kind, shown};

/// The magic number 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The magic number in the form of protocol 1.
const MAGIC_DIGITS: &str = "119547037146038801333356";

/// The parts of the file that are kept.
#[derive(Debug)]
pub(super) struct Legacy {
    pub(super) bytes: Vec<u8>,
    /// Byte at which the pickle of the object begins.
    pub(super) object: usize,
    by_key: HashMap<String, Range<usize>>,
}

pub(super) fn read(bytes: Vec<u8>, budget: &mut Budget) -> Result<(File, Table), Kind> {
    let first = Pickle::parse(&bytes, 0)?;
    match first.get(first.root()) {
        Object::Long(number) if *number == MAGIC => {}
        Object::Digits(digits) if *digits == MAGIC_DIGITS => {}
        Object::Dict(_) | Object::List(_) | Object::Tuple(_) | Object::Call { .. } => {
            let table = Table::of(&first, budget)?;
            return Ok((File::Legacy(Legacy { bytes, object: 0, by_key: HashMap::new() }), table));
        }
        _ => return Err(Kind::Magic),
    }
    let protocol = Pickle::parse(&bytes, first.end())?;
    if !matches!(protocol.get(protocol.root()), Object::Int(1001)) {
        return Err(Kind::Protocol);
    }
    let system = Pickle::parse(&bytes, protocol.end())?;
    let object = Pickle::parse(&bytes, system.end())?;
    let keys = Pickle::parse(&bytes, object.end())?;
    let by_key = slice_storages(&bytes, &object, &keys)?;
    let table = Table::of(&object, budget)?;
    let object = system.end();
    Ok((File::Legacy(Legacy { bytes, object, by_key }), table))
}

/// Finds the bytes of each storage. Only the object holds the element types of the storages, so its
/// references are collected first.
fn slice_storages(
    bytes: &[u8],
    object: &Pickle<'_>,
    keys: &Pickle<'_>,
) -> Result<HashMap<String, Range<usize>>, Kind> {
    let mut dtypes = HashMap::new();
    for id in 0..object.objects().len() {
        let Some(storage) = storage_ref(object, id) else { continue };
        let unknown = || Kind::StorageType { key: shown(storage.key), found: storage.class() };
        let dtype = storage.dtype.ok_or_else(unknown)?;
        let earlier = dtypes.insert(storage.key, dtype);
        if earlier.is_some_and(|earlier| earlier != dtype) {
            return Err(Kind::AmbiguousStorage { key: shown(storage.key) });
        }
    }
    let Object::List(keys_in_order) = keys.get(keys.root()) else { return Err(Kind::StorageKeys) };
    let mut by_key = HashMap::new();
    let mut at = keys.end();
    for &key in keys_in_order {
        let key = keys.text(key).ok_or(Kind::StorageKeys)?;
        let dtype = dtypes.get(key).ok_or_else(|| Kind::UnreferencedStorage { key: shown(key) })?;
        let missing = || Kind::MissingStorage { key: shown(key) };
        let (count, data) = bytes[at..].split_first_chunk().ok_or_else(missing)?;
        let length =
            usize::try_from(i64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(dtype.size()));
        let length = length.filter(|&length| length <= data.len()).ok_or_else(missing)?;
        let start = at + size_of::<i64>();
        by_key.insert(key.to_string(), start..start + length);
        at = start + length;
    }
    Ok(by_key)
}

impl Legacy {
    pub(super) fn storages(&self) -> LegacyStorages<'_> {
        LegacyStorages(self)
    }
}

pub(super) struct LegacyStorages<'a>(&'a Legacy);

impl Storages for LegacyStorages<'_> {
    fn storage(&mut self, key: &str, _: &mut Budget) -> Result<Cow<'_, [u8]>, Kind> {
        let range = self.0.by_key.get(key).ok_or_else(|| Kind::MissingStorage { key: shown(key) })?;
        Ok(Cow::Borrowed(&self.0.bytes[range.clone()]))
    }
}
