use std::borrow::Cow;
use std::path::{Path, PathBuf};

use pickle::Pickle;
use quant::Parameters;

use super::fit::{self, Selection};
use super::legacy::Legacy;
use super::search::{Table, class_of};
use super::tensor::{TensorRef, tensor};
use super::zipped::Zipped;
use super::{Budget, ImportError, Kind, kind_of_file, legacy, safetensors_file, shown, zipped};
use crate::graph::Graph;

/// A float checkpoint: every named tensor in a file, whose values are read when it is known which are wanted.
#[derive(Debug)]
pub struct FloatCheckpoint {
    path: PathBuf,
    file: File,
    table: Table,
    /// What may still be spent, after listing.
    budget: Budget,
}

#[derive(Debug)]
pub(super) enum File {
    Zip(Zipped),
    Legacy(Legacy),
    Safetensors(Vec<u8>),
}

/// The parameters of a network, from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Exactly the parameters of the network.
    pub parameters: Parameters,
    /// How the file was read, a sentence each; none where there was nothing to choose.
    pub reading: Vec<String>,
}

/// The raw elements that the tensors of a pickle are views of.
pub(super) trait Storages {
    /// The bytes of a storage.
    fn storage(&mut self, key: &str, budget: &mut Budget) -> Result<Cow<'_, [u8]>, Kind>;
}

/// Reads what is in a float checkpoint: everything that `torch.save` writes, in its zip format (since 1.6) and its legacy
/// format, safetensors, and plain pickles of NumPy arrays.
///
/// A pickle is only taken apart: nothing that it names is imported or called.
///
/// # Errors
/// With the file's name: a file that cannot be read, is in no known format, is damaged or truncated; a TorchScript
/// archive; a file that expands to more than 64 MiB plus 16 times its size.
pub fn read_checkpoint(path: &Path) -> Result<FloatCheckpoint, ImportError> {
    let read = || -> Result<FloatCheckpoint, Kind> {
        let bytes = std::fs::read(path)?;
        let mut budget = Budget::new(bytes.len());
        let (file, table) = match *bytes.as_slice() {
            // First, since a length can begin with anything.
            [_, _, _, _, _, _, _, _, b'{', ..] => safetensors_file::read(bytes, &mut budget)?,
            [b'P', b'K', 3, 4, ..] => zipped::read(bytes, &mut budget)?,
            [0x80, 1..=5, ..] | [b'L', b'1', b'1', b'9', ..] => legacy::read(bytes, &mut budget)?,
            _ => return Err(kind_of_file(&bytes)),
        };
        Ok(FloatCheckpoint { path: path.into(), file, table, budget })
    };
    read().map_err(|kind| ImportError { path: path.into(), kind })
}

impl FloatCheckpoint {
    /// The parameters of `graph`: of the dict, and behind the prefix of its names, under which all of them are found in
    /// their shapes. The dict can lie under any keys. Of several, one that is not called after averages (`ema`,
    /// `averaged_model`) is read, and that of an optimizer never; [`Bound::reading`] says so.
    ///
    /// Tensors that only training uses (`num_batches_tracked`, Inception's auxiliary classifier), integers, and what lies
    /// beside the parameters are left out. f64, f16 and bf16 become f32.
    ///
    /// # Errors
    /// With the file's name: parameters that are missing, left over, of another shape, or of a kind that is not
    /// understood (sparse, quantized, of a subclass), for the dict that is nearest to the graph; a module that was
    /// pickled whole.
    pub fn bind(&self, graph: &Graph, selection: &Selection) -> Result<Bound, ImportError> {
        let mut budget = self.budget;
        let bind = || -> Result<Bound, Kind> {
            let fit = fit::fit(&self.table, graph, selection, &mut budget)?;
            let parameters = self.values(&fit.entries, &mut budget)?;
            Ok(Bound { parameters, reading: fit.reading })
        };
        self.named(bind)
    }

    /// The float tensors of the dict that holds most of them, by their names without the selection's prefix: for those
    /// who have no network to choose by.
    ///
    /// # Errors
    /// With the file's name: no tensors, or one of a kind that is not understood.
    pub fn tensors(&self, selection: &Selection) -> Result<Parameters, ImportError> {
        let mut budget = self.budget;
        self.named(|| self.values(&fit::largest(&self.table, selection)?, &mut budget))
    }

    /// The shape of a parameter in the dict that is nearest to `graph`, whatever shape the graph gives it.
    pub fn shape(&self, graph: &Graph, selection: &Selection, name: &str) -> Option<&[usize]> {
        fit::shape(&self.table, graph, selection, name, &mut self.budget.clone())
    }

    fn named<T>(&self, read: impl FnOnce() -> Result<T, Kind>) -> Result<T, ImportError> {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        read().map_err(|kind| ImportError { path: self.path.clone(), kind: self.explained(kind, &file) })
    }

    /// What a message needs of the file.
    fn explained(&self, kind: Kind, file: &str) -> Kind {
        match kind {
            Kind::NotATensor { tensor, id, .. } => {
                let class = self.pickle().ok().and_then(|pickle| class_of(&pickle, id)).unwrap_or_default();
                Kind::NotATensor { tensor, id, class }
            }
            Kind::Module { class, path, .. } => {
                let under: String =
                    path.iter().flat_map(|path| path.split('.')).map(|key| format!("[\"{key}\"]")).collect();
                let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
                let file = shown(file);
                let way_out = format!(
                    "\n  model = torch.load(\"{file}\", weights_only=False){under}\n  \
                     torch.save(model.state_dict(), \"{}-state.pth\")",
                    shown(stem)
                );
                Kind::Module { class, path, way_out }
            }
            other => other,
        }
    }

    fn pickle(&self) -> Result<Pickle<'_>, Kind> {
        Ok(match &self.file {
            File::Zip(zip) => Pickle::parse(&zip.pickle, 0)?,
            File::Legacy(legacy) => Pickle::parse(&legacy.bytes, legacy.object)?,
            File::Safetensors(_) => return Err(Kind::NoPickle),
        })
    }

    /// The values of some entries of the table.
    fn values(&self, entries: &[(String, usize)], budget: &mut Budget) -> Result<Parameters, Kind> {
        let entries: Vec<(&str, usize)> =
            entries.iter().map(|(name, entry)| (name.as_str(), self.table.entries[*entry].id)).collect();
        match &self.file {
            File::Safetensors(bytes) => safetensors_file::values(bytes, &entries, budget),
            File::Zip(zip) => gather(&self.pickle()?, &mut zip.storages()?, zip.big_endian, &entries, budget),
            File::Legacy(legacy) => gather(&self.pickle()?, &mut legacy.storages(), false, &entries, budget),
        }
    }
}

/// Reads tensors of a pickle, storage by storage, so that one is held at a time.
fn gather(
    pickle: &Pickle<'_>,
    storages: &mut impl Storages,
    big_endian: bool,
    entries: &[(&str, usize)],
    budget: &mut Budget,
) -> Result<Parameters, Kind> {
    let mut tensors: Vec<(&str, TensorRef<'_>)> = Vec::new();
    for &(name, id) in entries {
        let Some(tensor) = tensor(pickle, id, budget) else { continue };
        let tensor = tensor.map_err(|problem| Kind::Tensor { tensor: shown(name), problem })?;
        budget.spend(tensor.bytes(), name)?;
        tensors.push((name, tensor));
    }
    tensors.sort_by(|(_, a), (_, b)| a.storage().cmp(&b.storage()));
    let mut parameters = Parameters::new();
    for same in tensors.chunk_by(|(_, a), (_, b)| a.storage() == b.storage()) {
        let storage = match same[0].1.storage() {
            Some(key) => storages.storage(key, budget)?,
            None => Cow::Borrowed(&[][..]),
        };
        for (name, tensor) in same {
            parameters.insert((*name).into(), tensor.values(name, &storage, big_endian, budget)?);
        }
    }
    Ok(parameters)
}
