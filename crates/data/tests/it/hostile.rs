//! No content of a file may make a loader panic. Files are truncated and changed at positions from a fixed
//! pseudo-random sequence.

use std::fs;
use std::path::Path;

use data::{Split, cifar10_binary, hugging_face_parquet, idx};
use parquet::basic::Encoding;
use parquet::file::properties::{WriterPropertiesBuilder, WriterVersion};

use crate::cifar::records;
use crate::fixtures::{HUGGING_FACE, Row, idx_bytes, pixels, plain, png_of, snappy, write_parquet};
use crate::jpeg;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Writes `count` damaged forms of `valid` to `path` and calls `load` after each. One in four is truncated;
/// the others have one to four bytes changed inside `range`.
fn damage(path: &Path, valid: &[u8], range: std::ops::Range<usize>, count: usize, load: impl Fn() -> bool) {
    let mut numbers = Numbers(valid.len() as u64);
    let mut refused = 0;
    for round in 0..count {
        let mut bytes = valid.to_vec();
        if round % 4 == 0 {
            bytes.truncate(numbers.below(bytes.len()));
        } else {
            for _ in 0..=numbers.below(4) {
                let at = range.start + numbers.below(range.len());
                bytes[at] = match numbers.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ (1 << numbers.below(8)),
                    _ => numbers.below(256) as u8,
                };
            }
        }
        replace(path, &bytes);
        refused += usize::from(!load());
    }
    assert!(refused >= count / 5, "{refused} of {count} refused");
}

/// Writes a new file. ext4 flushes a file that is truncated and rewritten, and thousands are written here.
fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_cifar_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test_batch.bin");
    let valid = records(0, 3, |i| vec![i as u8]);
    damage(&path, &valid, 0..valid.len(), 400, || cifar10_binary(dir.path(), Split::Test).is_ok());
}

#[test]
fn damaged_idx_files() {
    let dir = tempfile::tempdir().unwrap();
    let (images, labels) = (dir.path().join("images"), dir.path().join("labels"));
    let valid_images = idx_bytes(0x0803, &[3, 4, 5], &pixels(0, 60));
    let valid_labels = idx_bytes(0x0801, &[3], &[9, 0, 4]);
    let load = || idx(&images, &labels, "x", Split::Test, 10).is_ok();
    fs::write(&labels, &valid_labels).unwrap();
    damage(&images, &valid_images, 0..24, 2000, load);
    fs::write(&images, &valid_images).unwrap();
    damage(&labels, &valid_labels, 0..valid_labels.len(), 2000, load);
}

#[test]
fn damaged_parquet_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let rows: Vec<Row> =
        (0..6).map(|i| (Some(png_of(&pixels(i % 2, 48), 3, 4, 4)), Some(i as i64))).collect();
    let v2 = WriterVersion::PARQUET_2_0;
    for properties in [
        plain(),
        snappy(),
        plain().set_writer_version(v2).set_encoding(Encoding::PLAIN),
        snappy().set_writer_version(v2).set_encoding(Encoding::PLAIN),
    ] {
        write_parquet(&path, HUGGING_FACE, properties, &[&rows[..3], &rows[3..]]);
        let valid = fs::read(&path).unwrap();
        let load = || hugging_face_parquet(&path, "x", Split::Test, 10).is_ok();
        assert!(load());
        damage(&path, &valid, 0..valid.len(), 2000, load);
    }
}

/// The parquet file itself is valid, so that the damage reaches the image decoders.
#[test]
fn damaged_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let image = dir.path().join("image");
    let load = || {
        let row = (Some(fs::read(&image).unwrap()), Some(0));
        let _ = fs::remove_file(&path);
        write_parquet(&path, HUGGING_FACE, plain(), &[&[row]]);
        hugging_face_parquet(&path, "x", Split::Test, 1).is_ok()
    };
    let png = png_of(&pixels(0, 768), 3, 16, 16);
    damage(&image, &png, 8..png.len(), 1000, load);
    for jpeg in jpeg::samples() {
        damage(&image, &jpeg, 3..jpeg.len(), 1500, load);
    }
}

/// Returns the position of `needle` in `bytes`.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// Returns bytes that are no images, but easy to find.
fn markers() -> [Vec<u8>; 2] {
    [vec![0xaa; 50], vec![0xbb; 50]]
}

/// Returns the error for a file of two images after `change`.
fn error_after(
    properties: WriterPropertiesBuilder,
    images: [Vec<u8>; 2],
    change: impl Fn(&mut [u8]),
) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let rows = images.map(|image| (Some(image), Some(0)));
    write_parquet(&path, HUGGING_FACE, properties, &[&rows]);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    let error = hugging_face_parquet(&path, "x", Split::Test, 10).unwrap_err();
    error.to_string().split_once("x.parquet: ").unwrap().1.to_string()
}

/// The first page header begins at byte 4, after the magic. Type, uncompressed size and compressed size are
/// each a byte 0x15 and a zigzag varint.
#[test]
fn a_page_that_claims_to_be_huge_is_refused_before_it_is_read() {
    let error = error_after(plain(), markers(), |bytes| {
        assert_eq!((bytes[4], bytes[6], bytes[9]), (0x15, 0x15, 0x15));
        bytes[7..9].copy_from_slice(&[0xfe, 0x7f]);
    });
    assert!(error.starts_with("not readable as parquet: "), "{error}");
    assert!(error.ends_with("a page of 114 bytes claims to expand to 8191"), "{error}");
}

/// In a dictionary page, a struct (0x4c) whose first field is the number of values follows the sizes.
#[test]
fn a_dictionary_that_claims_to_be_huge_is_refused() {
    let error = error_after(plain().set_dictionary_enabled(true), markers(), |bytes| {
        let at = find(bytes, &[0x4c, 0x15, 0x04]);
        bytes[at + 2] = 0x7e;
    });
    assert!(error.ends_with("a dictionary of 108 bytes claims 63 values"), "{error}");
}

/// In the footer, field 3 of a row group (0x16, zigzag) is its number of rows, here 2; field 5 (0x26)
/// follows.
#[test]
fn a_row_group_with_fewer_or_more_rows_than_it_declares_is_refused() {
    for declared in [1, 3] {
        let images = [0, 1].map(|i| png_of(&pixels(i, 48), 3, 4, 4));
        let error = error_after(plain(), images, |bytes| {
            let at = find(bytes, &[0x16, 2 * 2, 0x26]);
            bytes[at + 1] = 2 * declared;
        });
        assert_eq!(error, format!("img.bytes has 2 rows in a row group of {declared}"));
    }
}

/// One image would take 64 MiB and is in 70 bytes; the other has three hundred scans.
#[test]
fn images_that_claim_more_than_their_files_can_hold_are_refused() {
    let small = png_of(&pixels(0, 48), 3, 4, 4);
    let mut large = small.clone();
    large[16..24].copy_from_slice(&[0, 0, 16, 0, 0, 0, 16, 0]);
    let sum = 0x7dc1_b340_u32; // zlib.crc32 of the chunk
    large[29..33].copy_from_slice(&sum.to_be_bytes());
    let error = error_after(plain(), [large.clone(), small.clone()], |_| {});
    let expected = format!("{} bytes, too few for the 16777216 pixels that the header declares", large.len());
    assert!(error.ends_with(&expected), "{error}");

    let [jpeg, ..] = jpeg::samples();
    let end = jpeg.len() - 2;
    let scans = [&jpeg[..end], &[0xff, 0xda].repeat(300), &jpeg[end..]].concat();
    let error = error_after(plain(), [scans, small], |_| {});
    assert!(error.ends_with("JPEG of 301 scans, expected at most 256"), "{error}");
}

/// The changed length of the first value leaves 2 bytes for the second value, too few for its length.
#[test]
fn a_panic_of_the_parquet_crate_is_an_error() {
    let error = error_after(plain(), markers(), |bytes| {
        let at = find(bytes, &[0xaa; 50]);
        assert_eq!(bytes[at - 4..at], [50, 0, 0, 0]);
        bytes[at - 4] = 50 + 4 + 50 - 2;
    });
    assert_eq!(error, "damaged file: the decoder panicked");
}
