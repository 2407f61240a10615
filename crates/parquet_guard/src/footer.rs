use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use parquet::errors::{ParquetError, Result};
use parquet::file::serialized_reader::SerializedFileReader;

use crate::thrift::{LIST, Walk};

/// Length of the metadata, and the magic `PAR1`.
const TAIL_BYTES: u64 = 8;

/// Most columns and groups of columns of a schema. The parquet crate descends a stack frame for each level, and
/// a schema can be as deep as it is long.
const MAX_SCHEMA: u64 = 256;

/// The schema in `FileMetaData`.
const SCHEMA_FIELD: u64 = 2;

/// Reads the metadata of a parquet file of `file_bytes`, checked before the parquet crate reads it.
///
/// # Errors
/// When the file is no parquet file, or its metadata claims more than it holds, is nested more deeply than any
/// sound file's, or has a schema of more than 256 elements.
pub fn open(file: &File, file_bytes: u64) -> Result<SerializedFileReader<File>> {
    check(file, file_bytes)?;
    SerializedFileReader::new(file.try_clone()?)
}

/// A file that is not parquet at all passes: the parquet crate refuses it.
fn check(mut file: &File, file_bytes: u64) -> Result<()> {
    let Some(tail_start) = file_bytes.checked_sub(TAIL_BYTES) else { return Ok(()) };
    file.seek(SeekFrom::Start(tail_start))?;
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let Some(start) = tail_start.checked_sub(length) else { return Ok(()) };
    let mut metadata = Walk::new(file, start, length)?;
    let mut id = 0;
    while let Some((next, kind)) = metadata.next_field(id)? {
        id = next;
        if (id, kind) != (SCHEMA_FIELD, LIST) {
            metadata.skip(kind)?;
            continue;
        }
        let (elements, kind) = metadata.list()?;
        if elements > MAX_SCHEMA {
            return Err(ParquetError::General(format!(
                "a schema of {elements} elements, expected at most {MAX_SCHEMA}"
            )));
        }
        metadata.skip_elements(elements, kind)?;
    }
    Ok(())
}
