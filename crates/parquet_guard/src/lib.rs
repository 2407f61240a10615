//! Validates untrusted Parquet files before the parquet crate reads them.
//!
//! The crate (60.1) reserves what a page header declares, up to 2 GiB for a page and 2^32 values for a
//! dictionary or a delta encoding; it descends into a schema as deep as the schema says, until the stack
//! ends; it steps over 2^31 values that take no byte; and it panics on column offsets below zero, on level
//! lengths beyond the page, on a dictionary that never came, and if a page ends inside a value. So
//!
//! 1. the footer is walked before the crate sees it ([`open`]),
//! 2. the page headers of a column chunk are walked once, reading only sizes, and every page is expanded and
//!    checked between the crate's page reader and its column reader ([`column_pages`]).
//!
//! A page that ends inside a value's length still panics inside the crate (60.1), so a caller reads columns under
//! [`std::panic::catch_unwind`] and discards what it has read.
//!
//! # Memory
//! What the crate then reserves for metadata is bounded by the footer's size (about 1 KiB for each of its
//! bytes). A page is expanded here, not by the crate: to the size that its header says and no further, and only when
//! so many bytes of its codec can stand for so many.
//!
//! | codec | largest page |
//! |---|---|
//! | `UNCOMPRESSED` | as stored |
//! | `SNAPPY` | 32 times as large as stored |
//! | `LZ4`, `LZ4_RAW` | 255 times |
//! | `GZIP` | 1032 times |
//! | `ZSTD`, `BROTLI` | 1032 times, or 4 MiB, whichever is more |
//! | `LZO` | refused |
//!
//! `LZ4` is Hadoop's framing of blocks; as in other readers, LZ4's own frames and a plain block stand for it too.

mod chunk;
mod codec;
mod footer;
mod thrift;

pub use chunk::column_pages;
pub use footer::open;
