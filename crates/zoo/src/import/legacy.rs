//! `torch.save` before 1.6: five pickles (magic number, protocol version, system info, the object, the
//! list of storage keys), then for each key an i64 count of elements and the elements, little-endian
//! whatever the machine (`torch/serialization.py`, `_legacy_save`).

use std::borrow::Cow;
use std::collections::HashMap;

use pickle::{Object, Pickle};
use quant::Parameters;

use super::state_dict::{Storages, load, storage_ref};
use super::{Budget, Kind, shown};

/// 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

pub(super) fn read(bytes: &[u8]) -> Result<Parameters, Kind> {
    let magic = Pickle::parse(bytes, 0)?;
    if !matches!(magic.get(magic.root()), Object::Long(number) if *number == MAGIC) {
        return Err(Kind::Magic);
    }
    let protocol = Pickle::parse(bytes, magic.end())?;
    if !matches!(protocol.get(protocol.root()), Object::Int(1001)) {
        return Err(Kind::Protocol);
    }
    let system = Pickle::parse(bytes, protocol.end())?;
    let object = Pickle::parse(bytes, system.end())?;
    let keys = Pickle::parse(bytes, object.end())?;
    let mut storages = LegacyStorages { by_key: slice_storages(bytes, &object, &keys)? };
    load(&object, &mut storages, &mut Budget::new(bytes.len()))
}

/// Only the object says how large the elements of a storage are, so its references are collected first.
fn slice_storages<'a>(
    bytes: &'a [u8],
    object: &Pickle<'a>,
    keys: &Pickle<'a>,
) -> Result<HashMap<&'a str, &'a [u8]>, Kind> {
    let mut dtypes = HashMap::new();
    for id in 0..object.objects().len() {
        let Some(storage) = storage_ref(object, id) else { continue };
        let dtype =
            storage.dtype.ok_or_else(|| storage.type_error(format!("storage {}", shown(storage.key))))?;
        let earlier = dtypes.insert(storage.key, dtype);
        if earlier.is_some_and(|earlier| earlier != dtype) {
            return Err(Kind::AmbiguousStorage { key: shown(storage.key) });
        }
    }
    let Object::List(keys_in_order) = keys.get(keys.root()) else { return Err(Kind::StorageKeys) };
    let mut by_key = HashMap::new();
    let mut rest = &bytes[keys.end()..];
    for &key in keys_in_order {
        let key = keys.text(key).ok_or(Kind::StorageKeys)?;
        let dtype = dtypes.get(key).ok_or_else(|| Kind::UnreferencedStorage { key: shown(key) })?;
        let missing = || Kind::MissingStorage { key: shown(key) };
        let (count, data) = rest.split_first_chunk().ok_or_else(missing)?;
        let length =
            usize::try_from(i64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(dtype.size()));
        let (data, after) = length.and_then(|length| data.split_at_checked(length)).ok_or_else(missing)?;
        by_key.insert(key, data);
        rest = after;
    }
    Ok(by_key)
}

struct LegacyStorages<'a> {
    by_key: HashMap<&'a str, &'a [u8]>,
}

impl<'a> Storages<'a> for LegacyStorages<'a> {
    fn storage(&mut self, key: &str, _: &mut Budget) -> Result<Cow<'a, [u8]>, Kind> {
        let bytes = self.by_key.get(key).ok_or_else(|| Kind::MissingStorage { key: shown(key) })?;
        Ok(Cow::Borrowed(bytes))
    }
}
