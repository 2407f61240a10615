//! `torch.save` since 1.6: a zip with `<name>/data.pkl`, `<name>/data/<key>` for each storage, and since
//! 2.1 `<name>/byteorder`.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use pickle::Pickle;
use quant::Parameters;
use zip::ZipArchive;
use zip::result::ZipError;

use super::state_dict::{Storages, load};
use super::{Budget, Kind, shown};

const PICKLE: &str = "data.pkl";

pub(super) fn read(bytes: &[u8]) -> Result<Parameters, Kind> {
    let archive = ZipArchive::new(Cursor::new(bytes))?;
    let pickles = |name: &&str| {
        name.strip_suffix(PICKLE)
            .is_some_and(|root| root.is_empty() || root.ends_with('/') && root.matches('/').count() == 1)
    };
    let mut budget = Budget::new(bytes.len());
    let names: Vec<String> = archive.file_names().filter_map(Result::ok).map(Cow::into_owned).collect();
    let pickle = names.iter().map(String::as_str).find(pickles).ok_or(Kind::NoPickle)?;
    let root = pickle[..pickle.len() - PICKLE.len()].to_string();
    let mut storages = ZippedStorages { archive, root };

    if let Some(order) = storages.entry("byteorder", &mut budget)?
        && order != b"little"
    {
        return Err(Kind::ByteOrder { found: order.escape_ascii().take(20).map(char::from).collect() });
    }
    let pickle = storages.entry(PICKLE, &mut budget)?.ok_or(Kind::NoPickle)?;
    let pickle = Pickle::parse(&pickle, 0)?;
    load(&pickle, &mut storages, &mut budget)
}

struct ZippedStorages<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that holds everything, with its slash.
    root: String,
}

impl ZippedStorages<'_> {
    /// The content of a file, if it exists.
    fn entry(&mut self, name: &str, budget: &mut Budget) -> Result<Option<Vec<u8>>, Kind> {
        let name = format!("{}{name}", self.root);
        let entry = match self.archive.by_name(&name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The header's size may be a lie, so it neither allocates nor ends the reading.
        let mut content = Vec::new();
        entry.take(budget.left as u64 + 1).read_to_end(&mut content)?;
        budget.spend(content.len(), &name)?;
        Ok(Some(content))
    }
}

impl<'a> Storages<'a> for ZippedStorages<'_> {
    fn storage(&mut self, key: &str, budget: &mut Budget) -> Result<Cow<'a, [u8]>, Kind> {
        let content = self.entry(&format!("data/{key}"), budget)?;
        content.map(Cow::Owned).ok_or_else(|| Kind::MissingStorage { key: shown(key) })
    }
}
