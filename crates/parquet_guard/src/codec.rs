use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::CompressionCodec;
use parquet::errors::{ParquetError, Result};

use crate::thrift::error;

/// A page may be as large as this whatever its stored form, where the codec sets no bound itself. Writers end pages
/// at about 1 MiB.
const ANY_PAGE: u64 = 4 << 20;

/// The most bytes that a byte of deflate stands for.
const DEFLATE_EXPANSION: u64 = 1032;

/// Bytes that a brotli decoder reads at a time.
const BUFFER_BYTES: usize = 4096;

/// Compression of the pages of a column chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codec(CompressionCodec);

impl Codec {
    /// # Errors
    /// For a codec that is not read here.
    pub(crate) fn new(codec: CompressionCodec) -> Result<Self> {
        match codec {
            CompressionCodec::LZO => {
                Err(error("codec LZO, expected UNCOMPRESSED, SNAPPY, GZIP, BROTLI, ZSTD, LZ4 or LZ4_RAW"))
            }
            known => Ok(Self(known)),
        }
    }

    /// The largest page that this many stored bytes can stand for.
    ///
    /// Three bounds are those of the formats: no byte of Snappy stands for more than 64/3, of LZ4 for more than 255,
    /// of deflate for more than 1032. A few bytes of Zstandard or Brotli may stand for megabytes, and do where a
    /// column holds one value only, so these may make a page of common size from nothing.
    pub(crate) fn largest_page(self, stored: u64) -> u64 {
        match self.0 {
            CompressionCodec::LZ4 | CompressionCodec::LZ4_RAW => stored.saturating_mul(255),
            CompressionCodec::GZIP => stored.saturating_mul(DEFLATE_EXPANSION),
            CompressionCodec::ZSTD | CompressionCodec::BROTLI => {
                stored.saturating_mul(DEFLATE_EXPANSION).max(ANY_PAGE)
            }
            // An uncompressed page has its own size, whatever its header claims.
            _ => stored.saturating_mul(32),
        }
    }

    /// Returns true if pages are compressed.
    pub(crate) fn compresses(self) -> bool {
        self.0 != CompressionCodec::UNCOMPRESSED
    }

    /// Appends to `page` the `bytes` bytes that `stored` stands for. No more memory is used than for these, and a few
    /// megabytes.
    ///
    /// # Errors
    /// When it stands for more or fewer, or for none.
    pub(crate) fn expand(self, stored: &[u8], page: &mut Vec<u8>, bytes: usize) -> Result<()> {
        let damaged = |reason: String| {
            ParquetError::General(format!("a page that is not sound {:?}: {reason}", self.0))
        };
        let start = page.len();
        let found = match self.0 {
            CompressionCodec::GZIP => read(MultiGzDecoder::new(stored), page, bytes),
            CompressionCodec::BROTLI => {
                read(brotli_decompressor::Decompressor::new(stored, BUFFER_BYTES), page, bytes)
            }
            codec => {
                page.resize(start + bytes, 0);
                let into = &mut page[start..];
                match codec {
                    CompressionCodec::SNAPPY => {
                        snap::raw::Decoder::new().decompress(stored, into).map_err(|e| e.to_string())
                    }
                    CompressionCodec::ZSTD => zstd_safe::DCtx::create()
                        .decompress(into, stored)
                        .map_err(|code| zstd_safe::get_error_name(code).to_string()),
                    CompressionCodec::LZ4_RAW => block(stored, into),
                    _ => lz4(stored, page, start),
                }
            }
        };
        match found.map_err(damaged)? {
            found if found == bytes => Ok(()),
            found => Err(damaged(format!("{found} bytes or more, expected {bytes}"))),
        }
    }
}

/// At most one byte more than `bytes`.
fn read(decoder: impl Read, page: &mut Vec<u8>, bytes: usize) -> std::result::Result<usize, String> {
    page.reserve_exact(bytes);
    decoder.take(bytes as u64 + 1).read_to_end(page).map_err(|e| e.to_string())
}

fn block(stored: &[u8], into: &mut [u8]) -> std::result::Result<usize, String> {
    lz4_flex::block::decompress_into(stored, into).map_err(|e| e.to_string())
}

/// The codec that is called LZ4 is Hadoop's framing, in files of some writers LZ4's own, and in files of others none.
fn lz4(stored: &[u8], page: &mut Vec<u8>, start: usize) -> std::result::Result<usize, String> {
    let bytes = page.len() - start;
    if let Some(found) = hadoop(stored, &mut page[start..]) {
        return Ok(found);
    }
    if stored.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
        page.truncate(start);
        return read(lz4_flex::frame::FrameDecoder::new(stored), page, bytes);
    }
    block(stored, &mut page[start..])
}

/// Blocks behind their expanded and stored size, big-endian; `None` where it is not that.
fn hadoop(mut stored: &[u8], into: &mut [u8]) -> Option<usize> {
    let mut done = 0_usize;
    while !stored.is_empty() {
        let (sizes, rest) = stored.split_first_chunk::<8>()?;
        let expanded = u32::from_be_bytes(*sizes.first_chunk()?) as usize;
        let length = u32::from_be_bytes(*sizes.last_chunk()?) as usize;
        let (content, rest) = rest.split_at_checked(length)?;
        let place = into.get_mut(done..done.checked_add(expanded)?)?;
        if block(content, place) != Ok(expanded) {
            return None;
        }
        done += expanded;
        stored = rest;
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of the three forms that the codec LZ4 has had, of all lengths around the ends of blocks.
    #[test]
    fn lz4_in_each_of_its_forms() {
        for length in (0..300_usize).chain([65_535, 65_536, 65_537]) {
            let page: Vec<u8> = (0..length).map(|i| (i * i / 7 % 251) as u8).collect();
            let raw = lz4_flex::block::compress(&page);
            let mut frame = lz4_flex::frame::FrameEncoder::new(Vec::new());
            std::io::Write::write_all(&mut frame, &page).unwrap();
            let mut hadoop = Vec::new();
            for part in page.chunks(100) {
                let block = lz4_flex::block::compress(part);
                hadoop.extend((part.len() as u32).to_be_bytes());
                hadoop.extend((block.len() as u32).to_be_bytes());
                hadoop.extend(block);
            }
            for stored in [raw, frame.finish().unwrap(), hadoop] {
                let expand = |bytes| {
                    let mut whole = b"levels".to_vec();
                    Codec(CompressionCodec::LZ4).expand(&stored, &mut whole, bytes).map(|()| whole)
                };
                assert_eq!(expand(length).unwrap(), [b"levels", &page[..]].concat());
                assert!(expand(length + 1).is_err());
                assert!(length == 0 || expand(length - 1).is_err());
            }
        }
    }
}
