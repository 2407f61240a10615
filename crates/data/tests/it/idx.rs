use std::fs;
use std::io::Write;

use data::{DataError, ImageSet, Split};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::fixtures::{idx_bytes, pixels};

/// Reads a pair of files with this content as a set of 10 classes.
fn load(images: &[u8], labels: &[u8]) -> Result<ImageSet, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let (images_path, labels_path) = (dir.path().join("images"), dir.path().join("labels"));
    fs::write(&images_path, images).unwrap();
    fs::write(&labels_path, labels).unwrap();
    data::idx(&images_path, &labels_path, "digits", Split::Train, 10)
}

fn good_images() -> Vec<u8> {
    idx_bytes(0x0803, &[3, 4, 5], &pixels(0, 60))
}

fn good_labels() -> Vec<u8> {
    idx_bytes(0x0801, &[3], &[9, 0, 4])
}

#[test]
fn a_pair_of_files_is_read() {
    let set = load(&good_images(), &good_labels()).unwrap();
    assert_eq!((set.name(), set.split(), set.len()), ("digits", Split::Train, 3));
    assert_eq!(set.shape().to_string(), "1x4x5");
    assert_eq!(set.labels(), [9, 0, 4]);
    assert_eq!(set.pixels(), pixels(0, 60));
    assert_eq!((set.classes(), set.class_names()), (10, None));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_makes_no_difference() {
    let plain = load(&good_images(), &good_labels()).unwrap();
    assert_eq!(load(&gzip(&good_images()), &gzip(&good_labels())).unwrap(), plain);
    assert_eq!(load(&gzip(&good_images()), &good_labels()).unwrap(), plain);
    let of = |images: &[u8]| message(load(&gzip(images), &good_labels()).unwrap_err(), "/images");
    let unpacked = "expected 76 (16 of header, then 3 x 4 x 5 of images, unpacked)";
    assert_eq!(of(&good_images()[..75]), format!(": 75 bytes, {unpacked}"));
    assert_eq!(of(&[&good_images()[..], &[0; 9]].concat()), format!(": 77 bytes, {unpacked}"));
    assert_eq!(of(&good_images()[..9]), ": 9 bytes, expected 16 or more: the header is cut off");
    assert_eq!(of(&good_labels()), ": magic number 0x00000801, expected 0x00000803 (IDX images)");
    // More than so few bytes unpack to.
    assert!(of(&idx_bytes(0x0803, &[1 << 20, 28, 28], &[])).contains(", expected 822083600 (16 of header"));
    let packed = gzip(&good_images());
    let cut = load(&packed[..packed.len() - 9], &good_labels()).unwrap_err();
    assert!(matches!(cut, DataError::Gzip { .. }), "{cut}");
}

/// The message without the path before it, which ends at `name`.
fn message(error: DataError, name: &str) -> String {
    let text = error.to_string();
    let (_, rest) = text.split_once(name).unwrap();
    rest.to_string()
}

#[test]
fn errors_name_the_defect() {
    let of = |images: &[u8], name| message(load(images, &good_labels()).unwrap_err(), name);
    assert_eq!(
        of(&idx_bytes(0x0801, &[3], &[0; 3]), "/images"),
        ": magic number 0x00000801, expected 0x00000803 (IDX images)"
    );
    assert_eq!(
        of(&good_images()[..75], "/images"),
        ": 75 bytes, expected 76 (16 of header, then 3 x 4 x 5 of images)"
    );
    assert_eq!(of(&good_images()[..9], "/images"), ": 9 bytes, expected 16 or more: the header is cut off");
    assert_eq!(of(&[], "/images"), ": 0 bytes, expected 16 or more: the header is cut off");
    assert_eq!(
        of(&[&good_images()[..], &[0]].concat(), "/images"),
        ": 77 bytes, expected 76 (16 of header, then 3 x 4 x 5 of images)"
    );
    assert!(of(&idx_bytes(0x0803, &[u32::MAX; 3], &[]), "/images").starts_with(": 16 bytes, expected"));
    assert!(of(&[0x1f, 0x8b, 8, 0], "/images").starts_with(": not a valid gzip file: "));
    assert!(of(&idx_bytes(0x0803, &[3, 0, 5], &[]), "/images").starts_with(": shape 1x0x5 "));
    assert!(of(&idx_bytes(0x0803, &[2, 4, 5], &[0; 40]), "/images").starts_with(": 2 images, but "));

    let of = |labels: &[u8]| message(load(&good_images(), labels).unwrap_err(), "/labels");
    assert_eq!(of(&idx_bytes(0x0801, &[3], &[9, 10, 4])), ": label of image 1 is 10, expected 0 to 9");
    assert_eq!(of(&idx_bytes(0x0801, &[4], &[0; 4])), ": 4 labels; expected one label for each image");
    assert_eq!(of(&good_images()), ": magic number 0x00000803, expected 0x00000801 (IDX labels)");
    let empty = load(&idx_bytes(0x0803, &[0, 4, 5], &[]), &idx_bytes(0x0801, &[0], &[]));
    assert!(matches!(empty, Err(DataError::NoImages { .. })));
}
