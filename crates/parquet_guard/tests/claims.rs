//! Footers and page headers that claim what they do not hold.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use parquet::data_type::Int64Type;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::FileReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

fn file(bytes: &[u8]) -> (File, u64) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    (file, bytes.len() as u64)
}

/// The error for a file of this metadata alone.
fn refusal(metadata: &[u8]) -> String {
    let length = (metadata.len() as u32).to_le_bytes();
    let (file, bytes) = file(&[b"PAR1", metadata, &length, b"PAR1"].concat());
    parquet_guard::open(&file, bytes).map(drop).unwrap_err().to_string()
}

/// Field 1, the version (i32).
const VERSION: [u8; 2] = [0x15, 2];

/// An element of a schema: field 4, a name, and field 5, one child.
const PARENT: [u8; 5] = [0x48, 1, b'a', 0x15, 2];

/// The parquet crate descends as deep as the schema says, and its stack ends.
#[test]
fn a_deep_schema() {
    let mut metadata = VERSION.to_vec();
    // Field 2, a list of 100,000 structs.
    metadata.extend([0x19, 0xfc, 0xa0, 0x8d, 0x06]);
    for _ in 0..100_000 {
        metadata.extend(PARENT);
        metadata.push(0);
    }
    metadata.push(0);
    assert_eq!(refusal(&metadata), "Parquet error: a schema of 100000 elements, expected at most 256");
}

/// The crate steps over 2^31 booleans one by one, and none takes a byte.
#[test]
fn lists_that_take_no_bytes() {
    let list = |kind: u8| [&VERSION[..], &[0xf9, 0xf0 | kind, 0xff, 0xff, 0xff, 0xff, 7, 0]].concat();
    assert_eq!(refusal(&list(1)), "Parquet error: a list of 2147483647 in 1 bytes");
    let short = [&VERSION[..], &[0xf9, 0x21, 1, 1, 0]].concat();
    assert_eq!(refusal(&short), "Parquet error: a header with a list of booleans");
}

/// Fields in each other, deeper than the crate's own limit.
#[test]
fn deep_fields() {
    let metadata = [&VERSION[..], &[0xfc; 200]].concat();
    assert_eq!(refusal(&metadata), "Parquet error: a header nested too deeply");
}

#[test]
fn fields_out_of_order() {
    // Field 1 by its number, a zigzag integer, after field 1.
    assert_eq!(refusal(&[0x15, 2, 5, 2, 2, 0]), "Parquet error: a header whose fields are out of order");
}

fn one_column() -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message schema { required int64 a; }").unwrap());
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// What becomes of the only column.
fn pages_of(bytes: &[u8]) -> Result<usize, String> {
    let (file, length) = file(bytes);
    let reader = parquet_guard::open(&file, length).map_err(|error| error.to_string())?;
    let chunk = reader.metadata().row_group(0).column(0);
    let pages =
        parquet_guard::column_pages(&Arc::new(file), length, chunk, 3).map_err(|error| error.to_string())?;
    pages
        .map(|page| page.map_err(|error| error.to_string()))
        .try_fold(0, |count, page| page.map(|_| count + 1))
}

/// A page header begins at byte 4: type, expanded and stored size, each 0x15 and a zigzag integer.
#[test]
fn sizes_of_pages() {
    let sound = one_column();
    assert_eq!(pages_of(&sound), Ok(1));
    assert_eq!(sound[4..6], [0x15, 0]);
    assert_eq!((sound[6], sound[7], sound[8], sound[9]), (0x15, 48, 0x15, 48));
    let with = |place: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[place] = byte;
        pages_of(&bytes).unwrap_err()
    };
    assert_eq!(with(9, 2), "Parquet error: a page header without sizes");
    assert_eq!(with(9, 3), "Parquet error: a page of negative size");
    // Field 24 by its number, a zigzag integer, in the place of field 2.
    assert_eq!(with(6, 5), "Parquet error: a page header without sizes");
}

/// One column of 140,000 int64 in one page: its sizes are numbers of four bytes in the page header.
fn one_large_page() -> Vec<u8> {
    let schema = Arc::new(parse_message_type("message schema { required int64 a; }").unwrap());
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(1 << 24)
        .set_data_page_row_count_limit(1 << 20)
        .set_write_batch_size(1 << 20);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&(0..140_000).collect::<Vec<_>>(), None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// A number as four bytes of a variable-length integer, zigzag.
fn four_bytes(value: u32) -> [u8; 4] {
    let zigzag = value * 2;
    let part = |i: u32| ((zigzag >> (7 * i)) & 0x7f) as u8;
    [part(0) | 0x80, part(1) | 0x80, part(2) | 0x80, part(3)]
}

/// Gives the only column another codec, by its number in parquet's enum.
fn set_codec(bytes: &mut [u8], codec: u8) {
    // Field 3 of `ColumnMetaData`, a list of one name, and field 4.
    let place = bytes.windows(5).rposition(|w| w == [0x19, 0x18, 1, b'a', 0x15]).unwrap();
    bytes[place + 5] = codec * 2;
}

const CODECS: [(&str, u8); 6] =
    [("SNAPPY", 1), ("GZIP", 2), ("BROTLI", 4), ("LZ4", 5), ("ZSTD", 6), ("LZ4_RAW", 7)];

/// The reader of a page header must not reserve what it says before so many bytes can stand for it.
#[test]
fn no_codec_lets_a_page_claim_more_than_its_bytes_stand_for() {
    let sound = one_large_page();
    assert_eq!(pages_of(&sound), Ok(1));
    let size = four_bytes(140_000 * 8);
    let sizes = [&[0x15][..], &size, &[0x15], &size].concat();
    assert_eq!(sound[6..16], sizes);
    let claim = |codec: u8, expanded: u32, stored: u32| {
        let mut bytes = sound.clone();
        set_codec(&mut bytes, codec);
        bytes[7..11].copy_from_slice(&four_bytes(expanded));
        bytes[12..16].copy_from_slice(&four_bytes(stored));
        pages_of(&bytes)
    };
    for (name, codec) in CODECS {
        let most = match name {
            "SNAPPY" => 32 * 10_000,
            "LZ4" | "LZ4_RAW" => 255 * 10_000,
            _ => 1032 * 10_000,
        };
        let lie = format!("Parquet error: a page of 10000 bytes claims to expand to {}", most + 1);
        assert_eq!(claim(codec, most + 1, 10_000), Err(lie), "{name}");
        let allowed = claim(codec, most, 10_000).unwrap_err();
        assert!(!allowed.contains("claims to expand"), "{name}: {allowed}");
    }
    // A column of one value takes a few bytes in these two, so that a page of 4 MiB is believable.
    for codec in [4, 6] {
        assert!(!claim(codec, 4 << 20, 10).unwrap_err().contains("claims to expand"));
        let lie = format!("Parquet error: a page of 10 bytes claims to expand to {}", (4 << 20) + 1);
        assert_eq!(claim(codec, (4 << 20) + 1, 10), Err(lie));
    }
}

/// What stands in a page is no stream of its codec: here the values themselves.
#[test]
fn no_codec_takes_other_bytes_for_a_page() {
    for (name, codec) in CODECS {
        let mut bytes = one_column();
        set_codec(&mut bytes, codec);
        let (file, length) = file(&bytes);
        let reader = parquet_guard::open(&file, length).unwrap();
        let chunk = reader.metadata().row_group(0).column(0);
        let mut pages = parquet_guard::column_pages(&Arc::new(file), length, chunk, 3).unwrap();
        let error = pages.get_next_page().unwrap_err().to_string();
        let begin = format!("Parquet error: a page that is not sound {name}: ");
        assert!(error.starts_with(&begin), "{name}: {error}");
    }
}

#[test]
fn a_codec_that_is_not_read_is_named() {
    let mut bytes = one_column();
    set_codec(&mut bytes, 3);
    let expected =
        "Parquet error: codec LZO, expected UNCOMPRESSED, SNAPPY, GZIP, BROTLI, ZSTD, LZ4 or LZ4_RAW";
    assert_eq!(pages_of(&bytes), Err(expected.into()));
    set_codec(&mut bytes, 8);
    let error = pages_of(&bytes).unwrap_err();
    assert!(error.contains("CompressionCodec") && error.contains('8'), "{error}");
}
