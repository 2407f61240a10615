use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use parquet::errors::{ParquetError, Result};

/// Structs and lists in each other; the footer has nine.
const MAX_DEPTH: usize = 16;

/// Kinds of fields that are asked for.
pub(crate) const I32: u8 = 5;
pub(crate) const LIST: u8 = 9;

pub(crate) fn error(message: &str) -> ParquetError {
    ParquetError::General(message.into())
}

/// A part of a file, walked in Thrift's compact protocol
/// (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).
///
/// Refuses input that the parquet crate reads differently or forever: numbers of fields that go down,
/// lists of booleans (which its readers step over without moving), maps.
pub(crate) struct Walk {
    bytes: BufReader<File>,
    /// Bytes to the end of the part.
    pub(crate) left: u64,
}

impl Walk {
    /// The `length` bytes from `start` on.
    pub(crate) fn new(file: &File, start: u64, length: u64) -> Result<Self> {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { bytes: BufReader::new(file), left: length })
    }

    /// Number and kind of the next field of a struct whose last one was `id`; none at its end.
    pub(crate) fn next_field(&mut self, id: u64) -> Result<Option<(u64, u8)>> {
        let (delta, kind) = self.halves()?;
        if kind == 0 {
            return Ok(None);
        }
        let next = match delta {
            0 => self.unsigned("a field of negative number")?,
            delta => id + u64::from(delta),
        };
        // The crate's fields are numbered in an i16, and no writer goes down.
        if next <= id || next > i16::MAX as u64 {
            return Err(error("a header whose fields are out of order"));
        }
        Ok(Some((next, kind)))
    }

    /// Number and kind of the elements of a list.
    pub(crate) fn list(&mut self) -> Result<(u64, u8)> {
        let (short, kind) = self.halves()?;
        let count = if short == 15 { self.varint()? } else { short.into() };
        // Each takes a byte at least.
        if count > self.left {
            return Err(ParquetError::General(format!("a list of {count} in {} bytes", self.left)));
        }
        Ok((count, kind))
    }

    /// Steps over a value.
    pub(crate) fn skip(&mut self, kind: u8) -> Result<()> {
        self.skip_at(kind, 0)
    }

    /// A size in bytes, an i32 that must not be negative.
    pub(crate) fn size(&mut self) -> Result<u64> {
        let size = self.unsigned("a page of negative size")?;
        if size > i32::MAX as u64 { Err(error("a page of more than 2 GiB")) } else { Ok(size) }
    }

    pub(crate) fn skip_bytes(&mut self, count: u64) -> Result<()> {
        self.advance(count)?;
        // At most the file's length, which the file system keeps in an i64.
        self.bytes.seek_relative(count as i64)?;
        Ok(())
    }

    pub(crate) fn skip_elements(&mut self, count: u64, kind: u8) -> Result<()> {
        self.skip_elements_at(count, kind, 0)
    }

    fn skip_elements_at(&mut self, count: u64, kind: u8, depth: usize) -> Result<()> {
        if count > 0 && kind < 3 {
            return Err(error("a header with a list of booleans"));
        }
        (0..count).try_for_each(|_| self.skip_at(kind, depth))
    }

    fn skip_at(&mut self, kind: u8, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(error("a header nested too deeply"));
        }
        match kind {
            // Booleans, whose value is the kind itself.
            1 | 2 => Ok(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip_bytes(8),
            8 => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                self.skip_elements_at(count, kind, depth + 1)
            }
            12 => {
                let mut id = 0;
                while let Some((next, kind)) = self.next_field(id)? {
                    id = next;
                    self.skip_at(kind, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(error("a header with a field of unknown type")),
        }
    }

    /// The two halves of a field or list header.
    fn halves(&mut self) -> Result<(u8, u8)> {
        let byte = self.byte()?;
        Ok((byte >> 4, byte & 15))
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
        Err(error("a header with an integer of more than 64 bits"))
    }

    /// A zigzag integer that must not be negative.
    fn unsigned(&mut self, negative: &str) -> Result<u64> {
        let value = self.varint()?;
        if value & 1 == 1 { Err(error(negative)) } else { Ok(value >> 1) }
    }

    fn advance(&mut self, count: u64) -> Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            error("a page that reaches beyond its column chunk, or a header beyond its end")
        })?;
        Ok(())
    }
}
