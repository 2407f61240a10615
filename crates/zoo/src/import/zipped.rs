//! Files of `torch.save` since 1.6: a zip with `<name>/data.pkl`, `<name>/data/<key>` for each storage, and
//! since 2.1 `<name>/byteorder`. `<name>` is that of the file, or `archive`.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use pickle::Pickle;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::checkpoint::{File, Storages};
use super::search::Table;
use super::{Budget, Kind, shown};

const PICKLE: &str = "data.pkl";

/// The parts of the file that are kept.
#[derive(Debug)]
pub(super) struct Zipped {
    bytes: Vec<u8>,
    /// Name of the folder that holds all entries, with a final slash.
    root: String,
    pub(super) pickle: Vec<u8>,
    pub(super) big_endian: bool,
}

pub(super) fn read(bytes: Vec<u8>, budget: &mut Budget) -> Result<(File, Table), Kind> {
    let mut archive = open(&bytes)?;
    let names: Vec<String> = archive.file_names().filter_map(Result::ok).map(Cow::into_owned).collect();
    let is_pickle = |name: &&str| {
        name.strip_suffix(PICKLE)
            .is_some_and(|root| root.is_empty() || root.ends_with('/') && root.matches('/').count() == 1)
    };
    let Some(pickle) = names.iter().map(String::as_str).find(is_pickle) else {
        return Err(without_pickle(&names));
    };
    let root = pickle[..pickle.len() - PICKLE.len()].to_string();
    let constants = format!("{root}constants.pkl");
    let code = format!("{root}code/");
    if names.iter().any(|name| *name == constants || name.starts_with(&code)) {
        return Err(Kind::TorchScript);
    }
    let big_endian = match entry(&mut archive, &root, "byteorder", budget)?.as_deref() {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(order) => {
            let found = order.escape_ascii().take(20).map(char::from).collect();
            return Err(Kind::ByteOrder { found });
        }
    };
    let pickle = entry(&mut archive, &root, PICKLE, budget)?.ok_or(Kind::NoPickle)?;
    let table = Table::of(&Pickle::parse(&pickle, 0)?, budget)?;
    Ok((File::Zip(Zipped { bytes, root, pickle, big_endian }), table))
}

/// Opens the archive at byte 0, where PyTorch's archives begin. By default the zip reader guesses the offset.
/// It guesses wrong if the directory entry of the first file is as long as the zip64 records after it, which
/// happens for names of 21 letters.
fn open(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>, Kind> {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    Ok(ZipArchive::with_config(config, Cursor::new(bytes))?)
}

/// Names the kind of a zip that `torch.save` did not write.
fn without_pickle(names: &[String]) -> Kind {
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    if has(".npy") {
        Kind::Numpy { name: ".npz" }
    } else if has("model.weights.h5") {
        Kind::Keras
    } else if has("archive_format") || has("serialized_exported_program.json") {
        Kind::Exported
    } else {
        Kind::NoPickle
    }
}

/// Returns the content of a file of the archive, or `None` if there is none.
fn entry(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    root: &str,
    name: &str,
    budget: &mut Budget,
) -> Result<Option<Vec<u8>>, Kind> {
    let name = format!("{root}{name}");
    let entry = match archive.by_name(&name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // The size in the header may be wrong, so it neither reserves memory nor ends the reading.
    let mut content = Vec::new();
    entry.take(budget.left as u64 + 1).read_to_end(&mut content)?;
    budget.spend(content.len(), &name)?;
    Ok(Some(content))
}

impl Zipped {
    pub(super) fn storages(&self) -> Result<ZippedStorages<'_>, Kind> {
        Ok(ZippedStorages { archive: open(&self.bytes)?, root: &self.root })
    }
}

pub(super) struct ZippedStorages<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    root: &'a str,
}

impl Storages for ZippedStorages<'_> {
    fn storage(&mut self, key: &str, budget: &mut Budget) -> Result<Cow<'_, [u8]>, Kind> {
        let content = entry(&mut self.archive, self.root, &format!("data/{key}"), budget)?;
        content.map(Cow::Owned).ok_or_else(|| Kind::MissingStorage { key: shown(key) })
    }
}
