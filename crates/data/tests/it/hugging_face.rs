use std::fs;
use std::path::Path;
use std::sync::Arc;

use data::{DataError, DataSource, ImageSet, Split, cifar10_binary, hugging_face_parquet};
use parquet::basic::Encoding;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterVersion;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::cifar::write_cifar10_train;
use crate::fixtures::{HUGGING_FACE, Row, pixels, plain, png_of, png_raw, png_rows, snappy, write_parquet};

fn load(path: &Path) -> Result<ImageSet, DataError> {
    hugging_face_parquet(path, "cifar10", Split::Train, 10)
}

/// Loads a file with one row group.
fn load_rows(rows: &[Row]) -> Result<ImageSet, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[rows]);
    load(&path)
}

#[test]
fn codecs_encodings_and_row_groups_make_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    // More rows than one batch, in two row groups with small pages.
    let rows = png_rows(0, 600, 10);
    let two = WriterVersion::PARQUET_2_0;
    for (name, properties) in [
        ("plain", plain()),
        ("snappy", snappy()),
        ("small pages", snappy().set_data_page_row_count_limit(50).set_write_batch_size(10)),
        ("version 2", snappy().set_writer_version(two).set_encoding(Encoding::PLAIN)),
        ("version 2 plain", plain().set_writer_version(two).set_encoding(Encoding::PLAIN)),
    ] {
        let path = dir.path().join(name);
        write_parquet(&path, HUGGING_FACE, properties, &[&rows[..410], &rows[410..]]);
        let set = load(&path).unwrap();
        assert_eq!(set.len(), 600, "{name}");
        assert_eq!(set.shape().to_string(), "3x32x32");
        for i in 0..600 {
            assert_eq!(set.image(i), pixels(i, 3072), "{name}, image {i}");
            assert_eq!(usize::from(set.labels()[i]), i % 10);
        }
    }
}

/// Path of a file that pyarrow or the parquet crate wrote; `golden/codecs.py` makes them.
fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/codecs").join(name)
}

#[test]
fn every_codec_that_tools_write_is_read() {
    let mut digests = Vec::new();
    let codecs = ["snappy", "gzip", "brotli", "zstd", "lz4", "lz4-hadoop"];
    for (codec, version) in codecs.into_iter().flat_map(|codec| [(codec, 1), (codec, 2)]) {
        let set = load(&golden(&format!("{codec}-{version}.parquet"))).unwrap();
        assert_eq!(set.labels(), [0, 1, 2, 0, 1, 2, 0], "{codec}");
        for i in 0..7 {
            assert_eq!(set.image(i), pixels(i % 5, 48), "{codec} {version}, image {i}");
        }
        digests.push(set.digest());
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

/// Older writers name Hadoop's LZ4 and write plain blocks; parquet-format asks readers to expect them.
#[test]
fn lz4_without_framing_is_read_under_its_old_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    for version in [1, 2] {
        let mut bytes = fs::read(golden(&format!("lz4-{version}.parquet"))).unwrap();
        // Field 4 of `ColumnMetaData`, after the path: LZ4_RAW (7) becomes LZ4 (5).
        let mut changed = 0;
        for i in 0..bytes.len() - 3 {
            if [&b"tes\x15\x0e"[..], b"bel\x15\x0e"].iter().any(|field| bytes[i..].starts_with(field)) {
                bytes[i + 4] = 2 * 5;
                changed += 1;
            }
        }
        assert_eq!(changed, 4);
        fs::write(&path, bytes).unwrap();
        assert_eq!(
            load(&path).unwrap().digest(),
            load(&golden(&format!("lz4-{version}.parquet"))).unwrap().digest()
        );
    }
}

#[test]
fn digest_does_not_depend_on_the_format() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10_train(dir.path());
    let path = dir.path().join("train-00000-of-00001.parquet");
    write_parquet(&path, HUGGING_FACE, snappy(), &[&png_rows(0, 15, 10)]);
    let binary = cifar10_binary(dir.path(), Split::Train).unwrap();
    let parquet = load(dir.path()).unwrap();
    assert_eq!(binary.digest(), parquet.digest());
    assert_eq!(binary.digest().len(), 64);
}

#[test]
fn shards_are_read_in_order_and_must_be_complete() {
    let dir = tempfile::tempdir().unwrap();
    let shard = |i| dir.path().join(format!("train-{i:05}-of-00003.parquet"));
    for i in [2, 0, 1] {
        write_parquet(&shard(i), HUGGING_FACE, plain(), &[&png_rows(i * 4, 4, 10)]);
    }
    // Neither of these files is a shard of the split.
    fs::write(dir.path().join("test-00000-of-00001.parquet"), "").unwrap();
    fs::write(dir.path().join("train-0-of-1.parquet"), "").unwrap();
    let set = load(dir.path()).unwrap();
    assert_eq!(set.len(), 12);
    assert!((0..12).all(|i| set.image(i) == pixels(i, 3072)));

    fs::remove_file(shard(1)).unwrap();
    assert_eq!(
        load(dir.path()).unwrap_err().to_string(),
        format!("{}: missing; the names of the other shards declare a total of 3", shard(1).display())
    );
    fs::write(dir.path().join("train-00001-of-00002.parquet"), "").unwrap();
    assert!(matches!(load(dir.path()).unwrap_err(), DataError::MixedShards { first: 2, second: 3, .. }));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        load(empty.path()).unwrap_err().to_string(),
        format!("{}: no train-*-of-*.parquet", empty.path().display())
    );
    assert!(matches!(load(&empty.path().join("none")), Err(DataError::Io { .. })));
}

/// Names by current `datasets`, by `datasets` before 2023 (a fingerprint in each shard), by the hub's
/// conversion to parquet, and by people; each where `hf download` and `git clone` put it below
/// `data/cifar10`.
#[test]
fn every_name_that_the_hub_has_given_shards_is_read() {
    for names in [
        &["plain_text/train-00000-of-00002.parquet", "plain_text/train-00001-of-00002.parquet"][..],
        &[
            "data/train-00000-of-00002-83dd9dbf2ad2e2c1.parquet",
            "data/train-00001-of-00002-0a1b2c3d4e5f6789.parquet",
        ],
        &["plain_text/train/0000.parquet", "plain_text/train/0001.parquet"],
        &["plain_text/partial-train/0000.parquet", "plain_text/partial-train/0001.parquet"],
        &["default/train/0000.parquet", "default/train/0001.parquet"],
        &["train/train-00000-of-00002.parquet", "train/train-00001-of-00002.parquet"],
        &["cifar10/train-0.parquet", "cifar10/train-1.parquet"],
        &["data/train.parquet"],
    ] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cifar10");
        let each = 4 / names.len();
        for (i, name) in names.iter().enumerate() {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(i * each, each, 10)]);
        }
        let found = DataSource::Cifar10.find(root.path(), Split::Train).unwrap();
        let partial = names[0].contains("partial");
        assert_eq!(
            found.form(),
            if partial { "Hugging Face parquet, a first part" } else { "Hugging Face parquet" }
        );
        let set = found.read().unwrap();
        assert_eq!((set.len(), found.images().unwrap()), (4, 4), "{names:?}");
        assert!((0..4).all(|i| set.image(i) == pixels(i, 3072)), "{names:?}");
        assert_eq!(found.place().unwrap(), dir.join(names[0]).parent().unwrap());
        assert!(DataSource::Cifar10.find(root.path(), Split::Test).is_err());
        if names.len() == 2 {
            let first = dir.join(names[0]);
            fs::remove_file(&first).unwrap();
            let error = DataSource::Cifar10.find(root.path(), Split::Train).unwrap_err().to_string();
            // The name of a missing shard is known except for its fingerprint.
            let named = first.display().to_string().replace("-83dd9dbf2ad2e2c1", "");
            let reason = match names[0].contains("-of-") {
                true => "the names of the other shards declare a total of 2",
                false => "there is a later shard",
            };
            assert_eq!(error, format!("{named}: missing; {reason}"));
        }
    }
}

#[test]
fn errors_name_a_missing_and_a_double_shard() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str| fs::write(dir.path().join(name), "").unwrap();
    let refusal = || load(dir.path()).unwrap_err().to_string();
    put("train-0.parquet");
    put("train-2.parquet");
    let here = |name: &str| dir.path().join(name).display().to_string();
    assert_eq!(refusal(), format!("{}: missing; there is a later shard", here("train-1.parquet")));
    put("train-00.parquet");
    assert_eq!(
        refusal(),
        format!(
            "{}: the same shard as {}, expected one of them",
            here("train-0.parquet"),
            here("train-00.parquet")
        )
    );
    for print in ["a1", "b2"] {
        put(&format!("train-00000-of-00001-{print}.parquet"));
    }
    assert_eq!(
        refusal(),
        format!(
            "{}: the same shard as {}, expected one of them",
            here("train-00000-of-00001-a1.parquet"),
            here("train-00000-of-00001-b2.parquet")
        )
    );
}

#[test]
fn column_names_of_other_sets_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let schema = "message schema { optional group image { optional binary bytes; optional binary path (UTF8); } optional int64 fine_label; }";
    write_parquet(&path, schema, plain(), &[&png_rows(0, 3, 10)]);
    assert_eq!(load(&path).unwrap().labels(), [0, 1, 2]);

    let schema = "message schema { optional group img { optional binary data; optional binary path (UTF8); } optional int64 label; }";
    write_parquet(&path, schema, plain(), &[&png_rows(0, 3, 10)]);
    assert_eq!(
        load(&path).unwrap_err().to_string(),
        format!(
            "{}: no column img.bytes or image.bytes (or img or image) of type BYTE_ARRAY; the columns are img.data (BYTE_ARRAY), img.path (BYTE_ARRAY), label (INT64)",
            path.display()
        )
    );
}

/// Files of other writers: bytes without a struct, labels of 32 bits, and a coarse label, which is ignored.
#[test]
fn flat_columns_and_narrow_labels_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let schema = parse_message_type(
        "message schema { required binary image; required int32 coarse_label; required int32 labels; }",
    );
    let properties = Arc::new(plain().build());
    let mut writer =
        SerializedFileWriter::new(fs::File::create(&path).unwrap(), Arc::new(schema.unwrap()), properties)
            .unwrap();
    let mut group = writer.next_row_group().unwrap();
    let images: Vec<ByteArray> = png_rows(0, 3, 10).into_iter().map(|row| row.0.unwrap().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    for labels in [[8, 8, 8], [4, -0, 9]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let set = load(&path).unwrap();
    assert_eq!(set.labels(), [4, 0, 9]);
    assert!((0..3).all(|i| set.image(i) == pixels(i, 3072)));
}

#[test]
fn errors_name_the_row_of_a_null_or_bad_label() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    // The row lies in the second row group; rows are counted over both.
    let check = |change: fn(&mut Row), message: &str| {
        let mut rows = png_rows(0, 8, 10);
        change(&mut rows[6]);
        write_parquet(&path, HUGGING_FACE, snappy(), &[&rows[..5], &rows[5..]]);
        let error = load(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {message}", path.display()));
    };
    check(|row| row.0 = None, "img.bytes of row 6 is null, expected a value");
    check(|row| row.1 = None, "label of row 6 is null, expected a value");
    check(|row| row.1 = Some(-1), "label of image 6 is -1, expected 0 to 9");
    check(|row| row.1 = Some(10), "label of image 6 is 10, expected 0 to 9");
    check(|row| row.1 = Some(1 << 40), "label of image 6 is 1099511627776, expected 0 to 9");
    check(
        |row| row.0 = Some(b"GIF89a".to_vec()),
        "image of row 6: 6 bytes that begin with [47 49 46 38 39 61], expected JPEG (ff d8 ff) or PNG (89 50 4e 47 0d 0a 1a 0a)",
    );
    check(
        |row| row.0 = Some(png_of(&[0; 64], 1, 8, 8)),
        "image 6 has shape 1x8x8 (channels x height x width), expected 3x32x32",
    );
}

#[test]
fn every_kind_of_png_becomes_8_bit_grey_or_rgb() {
    use png::{BitDepth, ColorType};
    let one = |color, depth, width, data: &[u8], palette| {
        let png = png_raw(color, depth, 1, width, data, palette);
        let set = load_rows(&[(Some(png), Some(0))]).unwrap();
        (set.shape().channels, set.pixels().to_vec())
    };
    let rgba = [1, 2, 3, 255, 4, 5, 6, 0];
    assert_eq!(one(ColorType::Rgba, BitDepth::Eight, 2, &rgba, None), (3, vec![1, 4, 2, 5, 3, 6]));
    let palette: &[u8] = &[10, 20, 30, 40, 50, 60];
    assert_eq!(
        one(ColorType::Indexed, BitDepth::One, 2, &[0b0100_0000], Some(palette)),
        (3, vec![10, 40, 20, 50, 30, 60])
    );
    let deep = [1, 99, 2, 99, 3, 99];
    assert_eq!(one(ColorType::Rgb, BitDepth::Sixteen, 1, &deep, None), (3, vec![1, 2, 3]));
    assert_eq!(one(ColorType::Grayscale, BitDepth::Eight, 2, &[7, 8], None), (1, vec![7, 8]));
    assert_eq!(one(ColorType::GrayscaleAlpha, BitDepth::Eight, 1, &[7, 8], None), (1, vec![7]));
}

#[test]
fn too_large_images_are_refused_before_decoding() {
    let mut png = png_of(&[0; 64], 1, 8, 8);
    // Changes the width in the header chunk, then corrects the checksum.
    png[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let error = load_rows(&[(Some(png), Some(0))]).unwrap_err().to_string();
    assert!(
        error.ends_with("image of row 0: 8 rows of 100000 pixels, expected 1 to 4096 of each"),
        "{error}"
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn invalid_parquet_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    for content in [&b""[..], b"PAR1", b"not a parquet file, though long enough to be one"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(load(&path), Err(DataError::Parquet { .. })));
    }
    write_parquet(&path, HUGGING_FACE, plain(), &[]);
    assert!(matches!(load(&path), Err(DataError::NoImages { .. })));

    let delta = plain().set_column_encoding("label".into(), Encoding::DELTA_BINARY_PACKED);
    write_parquet(&path, HUGGING_FACE, delta, &[&png_rows(0, 3, 10)]);
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("a page in encoding DELTA_BINARY_PACKED, expected PLAIN"), "{error}");
}

#[test]
fn classes_must_fit_labels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 3, 10)]);
    for classes in [0, 65537] {
        let error = hugging_face_parquet(&path, "x", Split::Test, classes).unwrap_err();
        assert!(matches!(error, DataError::Classes { .. }));
    }
}
