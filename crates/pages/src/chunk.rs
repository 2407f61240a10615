use std::fs::File;
use std::sync::Arc;

use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::thrift::{I32, Walk, error};

/// No byte of Snappy, the only codec read, stands for more than 64/3 bytes; a page this much larger than its
/// stored form is a lie.
const MAX_EXPANSION: u64 = 32;

/// The pages of a column chunk, checked. `file_bytes` is the length of `file`, `rows` that of the row group.
///
/// # Errors
/// When the chunk does not lie in the file, or its page headers claim what their pages cannot hold. Reading a
/// page errs where it is larger than it may be, or in an encoding other than plain and dictionary.
pub fn column_pages(
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
            Type::INT64 | Type::DOUBLE => 8,
            // A length prefix at the least.
            _ => 4,
        },
        dictionary: false,
    }))
}

/// Walks the page headers of a chunk and refuses a page that claims to be larger than its stored form can
/// expand to.
fn check_sizes(file: &File, start: u64, length: u64) -> Result<()> {
    let mut chunk = Walk::new(file, start, length)?;
    while chunk.left > 0 {
        let (expanded, stored) = sizes(&mut chunk)?;
        if expanded > stored.saturating_mul(MAX_EXPANSION) {
            return Err(ParquetError::General(format!(
                "a page of {stored} bytes claims to expand to {expanded}"
            )));
        }
        chunk.skip_bytes(stored)?;
    }
    Ok(())
}

/// Uncompressed and compressed size of the page that follows: fields 2 and 3 of `PageHeader`.
fn sizes(chunk: &mut Walk) -> Result<(u64, u64)> {
    let (mut expanded, mut stored) = (None, None);
    let mut id = 0;
    while let Some((next, kind)) = chunk.next_field(id)? {
        id = next;
        match (id, kind) {
            (2, I32) => expanded = Some(chunk.size()?),
            (3, I32) => stored = Some(chunk.size()?),
            _ => chunk.skip(kind)?,
        }
    }
    expanded.zip(stored).ok_or_else(|| error("a page header without sizes"))
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
