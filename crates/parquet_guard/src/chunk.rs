use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use parquet::basic::{CompressionCodec, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::codec::Codec;
use crate::thrift::{I32, Walk, error};

/// The type of a page that the parquet crate passes over.
const INDEX_PAGE: u64 = 1;

/// The pages of a column chunk, checked and expanded. `file_bytes` is the length of `file`, `rows` that of the row group.
///
/// # Errors
/// When the chunk does not lie in the file, its codec is LZO, or its page headers claim what their pages cannot hold.
/// Reading a page errs where it expands to another size than its header says, or is in an encoding other than plain
/// and dictionary.
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
    let codec = Codec::new(chunk.compression_codec())?;
    let sizes = page_sizes(file, start, length, codec)?;
    // The crate hands the pages on as they are stored.
    let as_stored =
        chunk.clone().into_builder().set_compression_codec(CompressionCodec::UNCOMPRESSED).build()?;
    Ok(Box::new(CheckedPages {
        pages: SerializedPageReader::new(Arc::clone(file), &as_stored, rows, None)?,
        codec,
        sizes,
        value_bytes: match chunk.column_type() {
            Type::INT64 | Type::DOUBLE => 8,
            // A length prefix at the least.
            _ => 4,
        },
        dictionary: false,
    }))
}

/// Walks the page headers of a chunk and refuses a page that claims to be larger than its stored form can
/// expand to. Gives the expanded sizes.
fn page_sizes(file: &File, start: u64, length: u64, codec: Codec) -> Result<VecDeque<usize>> {
    let mut chunk = Walk::new(file, start, length)?;
    let mut all = VecDeque::new();
    while chunk.left > 0 {
        let PageSizes { kind, expanded, stored } = PageSizes::read(&mut chunk)?;
        if expanded > codec.largest_page(stored) {
            return Err(ParquetError::General(format!(
                "a page of {stored} bytes claims to expand to {expanded}"
            )));
        }
        if kind != INDEX_PAGE {
            // At most 2^31, as was checked.
            all.push_back(expanded as usize);
        }
        chunk.skip_bytes(stored)?;
    }
    Ok(all)
}

/// Fields 1 to 3 of `PageHeader`.
struct PageSizes {
    kind: u64,
    expanded: u64,
    stored: u64,
}

impl PageSizes {
    /// Header of the following page.
    fn read(chunk: &mut Walk) -> Result<Self> {
        let (mut page_kind, mut expanded, mut stored) = (None, None, None);
        let mut id = 0;
        while let Some((next, kind)) = chunk.next_field(id)? {
            id = next;
            match (id, kind) {
                (1, I32) => page_kind = Some(chunk.size()?),
                (2, I32) => expanded = Some(chunk.size()?),
                (3, I32) => stored = Some(chunk.size()?),
                _ => chunk.skip(kind)?,
            }
        }
        match (page_kind, expanded, stored) {
            (Some(kind), Some(expanded), Some(stored)) => Ok(Self { kind, expanded, stored }),
            _ => Err(error("a page header without sizes")),
        }
    }
}

/// Hands on the pages whose claims about themselves hold.
struct CheckedPages {
    /// Gives them as they are stored.
    pages: SerializedPageReader<File>,
    codec: Codec,
    /// Bytes of the pages that are still to come, once expanded.
    sizes: VecDeque<usize>,
    /// Least number of bytes a plainly encoded value takes.
    value_bytes: usize,
    /// True if the dictionary has been seen.
    dictionary: bool,
}

impl CheckedPages {
    /// The page that `page` is the stored form of.
    fn expanded(&mut self, mut page: Page) -> Result<Page> {
        let expanded = self.sizes.pop_front().ok_or_else(|| error("more pages than page headers"))?;
        if !self.codec.compresses() {
            return Ok(page);
        }
        let (stored, levels) = match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(page),
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                // Levels are never compressed.
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                let held = buf.len().min(expanded);
                let levels =
                    usize::try_from(levels).ok().filter(|&levels| levels <= held).ok_or_else(|| {
                        ParquetError::General(format!(
                            "a page of {held} bytes claims {levels} bytes of levels"
                        ))
                    })?;
                (buf, levels)
            }
        };
        let mut whole = stored[..levels].to_vec();
        // A page of nulls alone holds no values, and nothing is stored of it.
        if expanded > levels {
            self.codec.expand(&stored[levels..], &mut whole, expanded - levels)?;
        }
        *stored = whole.into();
        Ok(page)
    }

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
        let Some(stored) = self.pages.get_next_page()? else { return Ok(None) };
        let page = self.expanded(stored)?;
        self.check(&page)?;
        Ok(Some(page))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.sizes.pop_front();
        self.pages.skip_next_page()
    }
}
