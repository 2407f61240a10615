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
    pages::open(&file, bytes).map(drop).unwrap_err().to_string()
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
    let reader = pages::open(&file, length).map_err(|error| error.to_string())?;
    let chunk = reader.metadata().row_group(0).column(0);
    let pages = pages::column_pages(&Arc::new(file), length, chunk, 3).map_err(|error| error.to_string())?;
    Ok(pages.filter_map(Result::ok).count())
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

#[test]
fn a_panic_is_a_message() {
    assert_eq!(pages::caught(|| 1), Ok(1));
    let ends = |length: usize| [1, 2, 3][length];
    assert_eq!(
        pages::caught(|| ends(3)),
        Err("index out of bounds: the len is 3 but the index is 3".to_string())
    );
}
