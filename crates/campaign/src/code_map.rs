//! The file of a code map.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ecc::{CodeMap, CodeMapError, Protection, UnknownProtection};
use serde::Deserialize;

use crate::from_toml;

/// The reason for which the file of a code map is refused.
#[derive(Debug, thiserror::Error)]
pub enum CodeMapFileError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML, or has other keys than `codes`.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, key and what was expected.
        message: String,
    },
    /// The code of a tensor is no protection.
    #[error("{path}: code of {tensor:?}: {error}")]
    Unknown {
        /// The file.
        path: String,
        /// The tensor.
        tensor: String,
        /// The name that was given.
        error: UnknownProtection,
    },
    /// A code cannot stand beside others.
    #[error(transparent)]
    Map(#[from] CodeMapError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    codes: BTreeMap<String, String>,
}

/// Reads the file of a code map, TOML with a table `[codes]` from the names of tensors to the names of protections. The map
/// has the given id.
///
/// # Errors
/// With the file, the tensor and the name of its code.
pub fn read_code_map(id: &str, file: &Path) -> Result<CodeMap, CodeMapFileError> {
    let path = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|source| CodeMapFileError::Io { path: path.clone(), source })?;
    let File { codes } =
        from_toml(&text).map_err(|message| CodeMapFileError::Syntax { path: path.clone(), message })?;
    let code = |(tensor, name): (String, String)| match ecc::by_id(&name) {
        Ok(code) => Ok((tensor, code)),
        Err(error) => Err(CodeMapFileError::Unknown { path: path.clone(), tensor, error }),
    };
    let codes = codes.into_iter().map(code).collect::<Result<BTreeMap<String, Arc<dyn Protection>>, _>>()?;
    Ok(CodeMap::new(id, &path, codes)?)
}

/// Text of the file of a code map, which [`read_code_map`] reads. `comment` has lines for its head.
pub fn code_map_text(map: &CodeMap, comment: &str) -> String {
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    let codes = map.codes().iter();
    let codes = codes.map(|(tensor, code)| format!("{} = {}\n", quoted(tensor), quoted(code.id())));
    format!("{comment}\n[codes]\n{}", codes.collect::<String>())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let escaped = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        _ if character.is_control() => format!("\\U{:08x}", u32::from(character)),
        _ => character.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}
