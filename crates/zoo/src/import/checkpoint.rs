use std::borrow::Cow;
use std::path::{Path, PathBuf};

use graph::Graph;
use pickle::Pickle;
use quant::Parameters;

use super::fit::{self, Selection};
use super::legacy::Legacy;
use super::search::{Table, class_of};
use super::tensor::{TensorRef, tensor};
use super::zipped::Zipped;
use super::{Budget, ImportError, Kind, kind_of_file, legacy, safetensors_file, shown, zipped};

/// A float checkpoint: the named tensors of a file. Values are read once the wanted tensors are known.
#[derive(Debug)]
pub struct FloatCheckpoint {
    path: PathBuf,
    file: File,
    table: Table,
    /// Memory that reading may still take after the tensors are listed.
    budget: Budget,
}

#[derive(Debug)]
pub(super) enum File {
    Zip(Zipped),
    Legacy(Legacy),
    Safetensors(Vec<u8>),
}

/// The parameters of a network, read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Exactly the parameters of the network.
    pub parameters: Parameters,
    /// Notes on how the file was read, one sentence each; empty if there was no choice.
    pub reading: Vec<String>,
}

/// The storages of a file: the raw elements that the tensors of its pickle are views of.
pub(super) trait Storages {
    /// Returns the bytes of a storage.
    fn storage(&mut self, key: &str, budget: &mut Budget) -> Result<Cow<'_, [u8]>, Kind>;
}

/// Reads a float checkpoint: a file of `torch.save` in its zip format (since 1.6) or its legacy format, a
/// safetensors file, or a plain pickle of NumPy arrays.
///
/// A pickle is only parsed: nothing that it names is imported or called.
///
/// # Errors
/// The file cannot be read, has no known format, is damaged or truncated, is a TorchScript archive, or
/// expands to more than 64 MiB plus 16 times its size. The error names the file.
pub fn read_checkpoint(path: &Path) -> Result<FloatCheckpoint, ImportError> {
    let read = || -> Result<FloatCheckpoint, Kind> {
        let bytes = std::fs::read(path)?;
        let mut budget = Budget::new(bytes.len());
        let (file, table) = match *bytes.as_slice() {
            // This arm comes first, because the length before the brace may begin with any bytes.
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
    /// Returns the parameters of `graph`. It reads the dict and the prefix of names with which all parameters
    /// are found in their shapes; the dict may lie at any keys. If several match, weights that are no
    /// averages (`ema`, `averaged_model`) are preferred; dicts of an optimizer never count.
    /// [`Bound::reading`] reports the choice.
    ///
    /// Tensors that only training uses (`num_batches_tracked`, Inception's auxiliary classifier), integers,
    /// and values beside the parameters are left out. f64, f16 and bf16 become f32.
    ///
    /// # Errors
    /// No dict matches: the error lists missing, unexpected, mis-shaped and unsupported (sparse, quantized,
    /// subclass) parameters of the nearest dict. Or the file holds a pickled module instead of a state dict.
    /// The error names the file.
    pub fn bind(&self, graph: &Graph, selection: &Selection) -> Result<Bound, ImportError> {
        let mut budget = self.budget;
        let bind = || -> Result<Bound, Kind> {
            let fit = fit::fit(&self.table, graph, selection, &mut budget)?;
            let parameters = self.values(&fit.entries, &mut budget)?;
            Ok(Bound { parameters, reading: fit.reading })
        };
        self.named(bind)
    }

    /// Returns the float tensors of the dict that holds most of them, by their names without the selection's
    /// prefix. No network is needed.
    ///
    /// # Errors
    /// The file has no tensors, or an unsupported one. The error names the file.
    pub fn tensors(&self, selection: &Selection) -> Result<Parameters, ImportError> {
        let mut budget = self.budget;
        self.named(|| self.values(&fit::largest(&self.table, selection)?, &mut budget))
    }

    /// Returns the shape of a parameter in the dict that is nearest to `graph`. It may differ from the shape
    /// in the graph.
    pub fn shape(&self, graph: &Graph, selection: &Selection, name: &str) -> Option<&[usize]> {
        fit::shape(&self.table, graph, selection, name, &mut self.budget.clone())
    }

    fn named<T>(&self, read: impl FnOnce() -> Result<T, Kind>) -> Result<T, ImportError> {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        read().map_err(|kind| ImportError { path: self.path.clone(), kind: self.explained(kind, &file) })
    }

    /// Completes an error with facts from the file.
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

    /// Reads the values of some entries of the table.
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

/// Reads tensors of a pickle. Storages are read one after the other, so that memory holds one at a time.
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
