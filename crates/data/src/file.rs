use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::DataError;

/// Opens a regular file and returns it with its length in bytes.
///
/// Other files are refused: a pipe or a device has no length that could bound an allocation.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    // The check comes before opening, because opening a pipe blocks until somebody writes to it.
    let metadata = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
    if !metadata.is_file() {
        return Err(DataError::NotAFile { path: path.into() });
    }
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    Ok((file, metadata.len()))
}

/// Returns the whole content of a regular file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    read_opened(path, open(path)?)
}

/// Returns the content of a file that [`open`] returned.
pub(crate) fn read_opened(path: &Path, (file, length): (File, u64)) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(|source| io_error(path, source))?;
    Ok(bytes)
}

pub(crate) fn io_error(path: &Path, source: std::io::Error) -> DataError {
    DataError::Io { path: path.into(), source }
}
