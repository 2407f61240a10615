//! What a damaged or hostile page could do to the parquet crate, stopped before it gets there.
//!
//! The crate (60.1) reserves what a page header declares, up to 2 GiB for a page and 2^32 values for a
//! dictionary or a delta encoding, and it panics on column offsets below zero, on level lengths beyond the
//! page and on a dictionary that never came. So the page headers of a column chunk are walked once, reading
//! only sizes ([`check_sizes`]), and every page is looked over between the crate's page reader and its column
//! reader ([`CheckedPages`]).

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

/// No byte of Snappy, the only codec read, stands for more than 64/3 bytes; a page this much larger than its
/// stored form is a lie.
const MAX_EXPANSION: u64 = 32;

/// The pages of a column chunk, checked. `file_bytes` is the length of `file`.
pub(crate) fn open(
    file: &Arc<File>,
    file_bytes: u64,
    chunk: &ColumnChunkMetaData,
    rows: usize,
) -> Result<Box<dyn PageReader>> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let (Ok(start), Ok(length)) = (u64::try_from(start), u64::try_from(chunk.compressed_size())) else {
        return Err(error("a column chunk of negative offset or length"));
    };
    if start.checked_add(length).is_none_or(|end| end > file_bytes) {
        return Err(ParquetError::General(format!(
            "a column chunk of {length} bytes at offset {start}, beyond the file's {file_bytes} bytes"
        )));
    }
    check_sizes(file, start, length)?;
    Ok(Box::new(CheckedPages {
        pages: SerializedPageReader::new(Arc::clone(file), chunk, rows, None)?,
        value_bytes: match chunk.column_type() {
            Type::INT64 => 8,
            // A length prefix at the least.
            _ => 4,
        },
        dictionary: false,
    }))
}

fn error(message: &str) -> ParquetError {
    ParquetError::General(message.into())
}

/// Walks the page headers of a chunk and refuses a page that claims to be larger than its stored form can
/// expand to.
fn check_sizes(file: &File, start: u64, length: u64) -> Result<()> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(start))?;
    let mut header = Header { bytes: BufReader::new(file), left: length };
    while header.left > 0 {
        let (expanded, stored) = header.sizes()?;
        if expanded > stored.saturating_mul(MAX_EXPANSION) {
            return Err(ParquetError::General(format!(
                "a page of {stored} bytes claims to expand to {expanded}"
            )));
        }
        header.skip_bytes(stored)?;
    }
    Ok(())
}

/// A page header in Thrift's compact protocol
/// (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).
struct Header {
    bytes: BufReader<File>,
    /// Bytes to the end of the column chunk.
    left: u64,
}

impl Header {
    /// Uncompressed and compressed size of the page that follows: fields 2 and 3 of `PageHeader`.
    fn sizes(&mut self) -> Result<(u64, u64)> {
        let (mut expanded, mut stored) = (None, None);
        let mut id = 0_u64;
        loop {
            let (delta, kind) = self.field()?;
            match (delta, kind) {
                (_, 0) => break,
                (0, _) => id = self.varint()?,
                (delta, _) => id = id.saturating_add(delta.into()),
            }
            match (id, kind) {
                (2, 5) => expanded = Some(self.size()?),
                (3, 5) => stored = Some(self.size()?),
                _ => self.skip(kind, 0)?,
            }
        }
        expanded.zip(stored).ok_or_else(|| error("a page header without sizes"))
    }

    /// The two halves of a field or list header.
    fn field(&mut self) -> Result<(u8, u8)> {
        let byte = self.byte()?;
        Ok((byte >> 4, byte & 15))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<()> {
        if depth > 8 {
            return Err(error("a page header nested too deeply"));
        }
        match kind {
            // Booleans, whose value is the type itself.
            1 | 2 => Ok(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip_bytes(8),
            8 => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            9 | 10 => {
                let (short, kind) = self.field()?;
                let count = if short == 15 { self.varint()? } else { short.into() };
                for _ in 0..count {
                    // In a list a boolean takes a byte.
                    self.skip(if kind < 3 { 3 } else { kind }, depth + 1)?;
                }
                Ok(())
            }
            12 => loop {
                let (delta, kind) = self.field()?;
                if kind == 0 {
                    return Ok(());
                }
                if delta == 0 {
                    self.varint()?;
                }
                self.skip(kind, depth + 1)?;
            },
            _ => Err(error("a page header with a field of unknown type")),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        self.advance(1)?;
        let mut byte = [0];
        self.bytes.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(error("a page header with an integer of more than 64 bits"))
    }

    /// A zigzag integer that must not be negative.
    fn size(&mut self) -> Result<u64> {
        let value = self.varint()?;
        if value & 1 == 1 {
            return Err(error("a page of negative size"));
        }
        Ok(value >> 1)
    }

    fn skip_bytes(&mut self, count: u64) -> Result<()> {
        self.advance(count)?;
        // At most the file's length, which the file system keeps in an i64.
        self.bytes.seek_relative(count as i64)?;
        Ok(())
    }

    fn advance(&mut self, count: u64) -> Result<()> {
        self.left = self
            .left
            .checked_sub(count)
            .ok_or_else(|| error("a page that reaches beyond its column chunk"))?;
        Ok(())
    }
}

/// Hands on the pages whose claims about themselves hold.
struct CheckedPages {
    pages: SerializedPageReader<File>,
    /// Least number of bytes a plainly encoded value takes.
    value_bytes: usize,
    /// Whether the dictionary was seen.
    dictionary: bool,
}

impl CheckedPages {
    fn check(&mut self, page: &Page) -> Result<()> {
        let encoding = match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                if *num_values as usize > buf.len() / self.value_bytes {
                    return Err(ParquetError::General(format!(
                        "a dictionary of {} bytes claims {num_values} values",
                        buf.len()
                    )));
                }
                self.dictionary = true;
                return Ok(());
            }
            Page::DataPage { encoding, .. } => encoding,
            Page::DataPageV2 { buf, encoding, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                if levels > buf.len() as u64 {
                    return Err(ParquetError::General(format!(
                        "a page of {} bytes claims {levels} bytes of levels",
                        buf.len()
                    )));
                }
                encoding
            }
        };
        match encoding {
            Encoding::PLAIN => Ok(()),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY if self.dictionary => Ok(()),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                Err(error("a page in dictionary encoding without a dictionary"))
            }
            other => Err(ParquetError::General(format!(
                "a page in encoding {other}, expected PLAIN or RLE_DICTIONARY"
            ))),
        }
    }
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}
