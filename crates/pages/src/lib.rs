//! Parquet files that nobody vouches for: what they claim is checked before the parquet crate believes it.
//!
//! The crate (60.1) reserves what a page header declares, up to 2 GiB for a page and 2^32 values for a
//! dictionary or a delta encoding; it descends into a schema as deep as the schema says, until the stack
//! ends; it steps over 2^31 values that take no byte; and it panics on column offsets below zero, on level
//! lengths beyond the page, on a dictionary that never came, and where a page ends inside a value. So
//!
//! 1. the footer is walked before the crate sees it ([`open`]),
//! 2. the page headers of a column chunk are walked once, reading only sizes, and every page is expanded and looked
//!    over between the crate's page reader and its column reader ([`column_pages`]),
//! 3. what still panics is caught ([`caught`]).
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
mod panics;
mod thrift;

pub use chunk::column_pages;
pub use footer::open;
pub use panics::caught;
