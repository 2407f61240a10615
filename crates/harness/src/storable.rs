//! Ranges of weights by the name of what stores them.

use std::path::Path;
use std::sync::Arc;

use campaign::read_code_map;
use ecc::{CodeMap, TensorRanges};

/// Range of the weights that a protection can store, or the codes of a map.
#[derive(Clone, Debug)]
pub enum Storable {
    /// One range for all tensors.
    Range(TensorRanges),
    /// A code for each tensor.
    Codes(Arc<CodeMap>),
}

impl Storable {
    /// Returns true if the name is that of the file of a code map, not of a protection.
    pub fn is_file(name: &str) -> bool {
        Path::new(name).extension().is_some_and(|extension| extension == "toml")
    }

    /// Finds a protection or a registered code map by its name, or reads the file of a code map, whose name ends in `.toml`; a
    /// relative path starts at `folder`.
    ///
    /// # Errors
    /// If there is no such protection, or the file is no code map.
    pub fn named(name: &str, folder: &Path) -> anyhow::Result<Self> {
        if Self::is_file(name) {
            return Ok(Self::Codes(read_code_map("codes", &folder.join(name))?.into()));
        }
        match ecc::registered_map(name) {
            Some(map) => Ok(Self::Codes(map)),
            None => Ok(Self::Range(ecc::by_id(name)?.constraint().into())),
        }
    }

    /// The range of each tensor.
    pub fn ranges(&self) -> TensorRanges {
        match self {
            Self::Range(ranges) => ranges.clone(),
            Self::Codes(map) => map.ranges(),
        }
    }

    /// The range of each tensor of a network with these tensors.
    ///
    /// # Errors
    /// If a code map has not one code for each of them.
    pub fn ranges_of<'n>(&self, tensors: impl IntoIterator<Item = &'n str>) -> anyhow::Result<TensorRanges> {
        if let Self::Codes(map) = self {
            map.check_tensors(&tensors.into_iter().collect::<Vec<_>>())?;
        }
        Ok(self.ranges())
    }
}
