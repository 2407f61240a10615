//! CIFAR as pickles: the published form of Python 2, and forms of Python 3 and numpy 2 in `golden/pickles`.

use std::fs;
use std::path::{Path, PathBuf};

use data::{DataError, ImageSet, Split, cifar10_binary, cifar10_pickles, cifar100_pickles};

use crate::cifar::records;
use crate::fixtures::pixels;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pickles");
    fs::read(folder.join(name)).unwrap()
}

/// Reads a file as the test batch of CIFAR-10.
fn load(bytes: &[u8]) -> Result<ImageSet, DataError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("test_batch"), bytes).unwrap();
    cifar10_pickles(dir.path(), Split::Test)
}

/// Returns the error for the file, without its path.
fn refusal(bytes: &[u8]) -> String {
    let error = load(bytes).unwrap_err().to_string();
    error.split_once("/test_batch: ").unwrap().1.into()
}

const FORMS: [&str; 10] = [
    "bytes-2",
    "bytes-3",
    "bytes-4",
    "bytes-5",
    "text-4",
    "fortran-2",
    "fortran-5",
    "images-5",
    "lists-4",
    "rows-4",
];

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some(place) = rest.windows(from.len()).position(|window| window == from) {
        all.extend(&rest[..place]);
        all.extend(to);
        rest = &rest[place + from.len()..];
    }
    assert!(!all.is_empty(), "nothing to replace");
    [&all[..], rest].concat()
}

#[test]
fn every_form_of_a_batch_has_the_digest_of_the_binary_version() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("test_batch.bin"), records(0, 2, |i| vec![[7, 3][i]])).unwrap();
    let binary = cifar10_binary(dir.path(), Split::Test).unwrap();
    for form in FORMS {
        let set = load(&golden(form)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(set, binary, "{form}");
        assert_eq!(set.digest(), binary.digest(), "{form}");
    }
    // numpy 1 has other module names.
    for form in ["bytes-2", "bytes-3", "fortran-2"] {
        let older = replaced(&golden(form), b"numpy._core.multiarray", b"numpy.core.multiarray");
        assert_eq!(load(&older).unwrap(), binary, "{form}");
    }
}

/// A batch in the form of Python 2 at protocol 2. Like the published files it begins with `80 02 7d 71 01 28
/// 55 0b`, stores keys and bytes as `SHORT_BINSTRING` and `BINSTRING`, and uses numpy's old module names.
pub(crate) fn of_python_2(images: usize, labels: &[u8]) -> Vec<u8> {
    let mut bytes =
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
            .to_vec();
    labels.iter().for_each(|&label| bytes.extend([b'K', label]));
    bytes.extend(b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09");
    bytes.extend(b"(K\x01J");
    bytes.extend((images as u32).to_le_bytes());
    bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    bytes.extend((images as u32 * 3072).to_le_bytes());
    (0..images).for_each(|image| bytes.extend(pixels(image, 3072)));
    bytes.extend(b"tbu.");
    bytes
}

#[test]
fn the_published_form_is_read() {
    let set = load(&of_python_2(3, &[9, 0, 4])).unwrap();
    assert_eq!(set.labels(), [9, 0, 4]);
    assert!((0..3).all(|image| set.image(image) == pixels(image, 3072)));
    assert_eq!(set.class_names().unwrap()[9], "truck");
}

#[test]
fn training_batches_are_read_in_order_and_must_be_complete() {
    let dir = tempfile::tempdir().unwrap();
    for batch in 1..=5_u8 {
        fs::write(dir.path().join(format!("data_batch_{batch}")), of_python_2(1, &[batch])).unwrap();
    }
    assert_eq!(cifar10_pickles(dir.path(), Split::Train).unwrap().labels(), [1, 2, 3, 4, 5]);
    let third: PathBuf = dir.path().join("data_batch_3");
    fs::remove_file(&third).unwrap();
    let error = cifar10_pickles(dir.path(), Split::Train).unwrap_err();
    assert!(matches!(&error, DataError::Io { path, .. } if *path == third), "{error}");
}

#[test]
fn cifar100_has_its_fine_labels() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("test"), golden("fine-4")).unwrap();
    let set = cifar100_pickles(dir.path(), Split::Test).unwrap();
    assert_eq!((set.classes(), set.labels()), (100, &[53, 99][..]));
    assert_eq!(set.image(1), pixels(1, 3072));
    assert_eq!(
        refusal(&golden("fine-4")),
        "no key \"labels\"; the keys are \"filenames\", \"fine_labels\", \"coarse_labels\", \"data\""
    );
}

#[test]
fn errors_name_the_defect() {
    let list =
        |data: &[u8], labels: &[u8]| [b"\x80\x02}(U\x04data", data, b"U\x06labels", labels, b"u."].concat();
    assert_eq!(refusal(b""), "not a supported pickle: at byte 0: the input ends too early");
    assert_eq!(refusal(b"\x80\x02]."), "a pickled list, expected a dict");
    assert_eq!(refusal(b"\x80\x02}."), "no key \"data\"; the keys are ");
    assert_eq!(refusal(&list(b"K\x01", b"]")), "data is of type int, expected an array");
    assert_eq!(refusal(&list(b"](]e", b"]")), "data of image 0 has 0, expected 3072 values");
    assert_eq!(refusal(&list(b"](K\x01e", b"]")), "data of image 0 is of type int, expected 3072 values");
    let row = [&b"](]("[..], &[b'K', 9].repeat(3071), b"M\x00\x01ee"].concat();
    assert_eq!(refusal(&list(&row, b"](K\x01e")), "data holds 256, expected 0 to 255");
    let row = replaced(&row, b"M\x00\x01", b"K\x01");
    assert_eq!(refusal(&list(&row, b"]")), "labels has 0 values, expected 1, one for each row of data");
    assert_eq!(refusal(&list(&row, b"](Ne")), "labels holds a None, expected integers");
    assert_eq!(refusal(&list(&row, b"K\x01")), "labels is of type int, expected a list");
    assert_eq!(refusal(&list(&row, b"](K\x0ae")), "labels of image 0 is 10, expected 0 to 9");
    assert_eq!(refusal(&list(b"]", b"]")), "holds no images, expected at least one");

    let sound = of_python_2(2, &[1, 2]);
    let other = |from: &[u8], to: &[u8]| refusal(&replaced(&sound, from, to));
    assert_eq!(other(b"U\x02u1", b"U\x02i1"), "data holds -123, expected 0 to 255");
    assert_eq!(other(b"U\x02u1", b"U\x02f1"), "data has elements of type f1, expected integers");
    assert_eq!(
        other(b"M\x00\x0c\x86", b"M\x01\x0c\x86"),
        "data cannot be read: the number of bytes does not match the shape and type of the array"
    );
    assert_eq!(
        other(b"M\x00\x0c\x86", b"M\x00\x04K\x03\x87"),
        "data has shape [2, 1024, 3], expected (images, 3072)"
    );
    assert_eq!(
        other(b"cnumpy\nndarray", b"cnumpy\nmatrix"),
        "data cannot be read: the array is of a subclass of numpy.ndarray"
    );
}
