//! Arrays of NumPy.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use data::{DataError, ImageSet, Split, numpy_arrays};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::fixtures::{npy, npy_with_header, pixels};

fn npz(path: &Path, members: &[(&str, Vec<u8>)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in members {
        zip.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// Reads an archive of these members.
fn read(members: &[(&str, Vec<u8>)], split: Split) -> Result<(ImageSet, String), DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("set.npz");
    npz(&path, members);
    numpy_arrays(&path, split).map(|read| (read.images, read.reading))
}

fn labels(values: &[i64]) -> Vec<u8> {
    let elements: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy("<i8", "False", &format!("({},)", values.len()), &elements)
}

/// Two images of 3 channels, 4 rows and 5 columns, in CHW order.
fn two_images() -> Vec<u8> {
    [pixels(0, 60), pixels(1, 60)].concat()
}

/// The elements of [`two_images`] with the axes image, channel, row and column in this order in memory.
fn permuted(axes: [usize; 4]) -> Vec<u8> {
    let sizes = [2, 3, 4, 5];
    let chw = two_images();
    (0..120)
        .map(|mut at| {
            let mut index = [0; 4];
            for &axis in axes.iter().rev() {
                index[axis] = at % sizes[axis];
                at /= sizes[axis];
            }
            chw[((index[0] * 3 + index[1]) * 4 + index[2]) * 5 + index[3]]
        })
        .collect()
}

#[test]
fn every_order_of_axes_gives_the_same_images() {
    let forms = [
        ("False", "(2, 3, 4, 5)", [0, 1, 2, 3]),
        ("False", "(2, 4, 5, 3)", [0, 2, 3, 1]),
        ("True", "(2, 3, 4, 5)", [3, 2, 1, 0]),
        ("True", "(2, 4, 5, 3)", [1, 3, 2, 0]),
    ];
    for (fortran, shape, axes) in forms {
        let images = npy("|u1", fortran, shape, &permuted(axes));
        let (set, _) = read(&[("x_test", images), ("y_test", labels(&[1, 0]))], Split::Test).unwrap();
        assert_eq!(set.shape().to_string(), "3x4x5");
        assert_eq!(set.pixels(), two_images(), "{fortran} {shape}");
        assert_eq!((set.labels(), set.classes(), set.name()), (&[1, 0][..], 2, "set.npz"));
    }
}

#[test]
fn labels_of_both_splits_count_the_classes() {
    let images = npy("|u1", "False", "(2, 4, 5)", &pixels(0, 40));
    let members = [
        ("train_images", images.clone()),
        ("train_labels", npy(">u2", "False", "(2, 1)", &[0, 6, 0, 0])),
        ("test_images", images),
        ("test_labels", npy("|u1", "False", "(2, 1)", &[3, 1])),
    ];
    let (test, reading) = read(&members, Split::Test).unwrap();
    assert_eq!((test.classes(), test.labels()), (7, &[3, 1][..]));
    assert_eq!(test.shape().to_string(), "1x4x5");
    assert_eq!(reading, "test_images [2, 4, 5] (rows, columns) and test_labels");
    let (train, _) = read(&members, Split::Train).unwrap();
    assert_eq!((train.classes(), train.labels(), train.split()), (7, &[6, 0][..], Split::Train));
}

#[test]
fn files_are_found_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x_test.npy");
    let images = npy("|u1", "False", "(1, 2, 2, 1)", &[1, 2, 3, 4]);
    fs::write(&path, &images).unwrap();
    let missing = numpy_arrays(&path, Split::Test).unwrap_err().to_string();
    let expected =
        "x_test.npy: no test images: not both files are there, expected x_test.npy with y_test.npy";
    assert!(missing.ends_with(expected), "{missing}");
    fs::write(dir.path().join("y_test.npy"), labels(&[4])).unwrap();
    let set = numpy_arrays(&path, Split::Test).unwrap().images;
    assert_eq!((set.pixels(), set.classes()), (&[1, 2, 3, 4][..], 5));
    fs::write(dir.path().join("x_train.npy"), &images).unwrap();
    fs::write(dir.path().join("y_train.npy"), labels(&[9])).unwrap();
    let set = numpy_arrays(&path, Split::Train).unwrap().images;
    assert_eq!((set.labels(), set.classes()), (&[9][..], 10));
    let path = dir.path().join("digit-images.npy");
    fs::write(&path, &images).unwrap();
    fs::write(dir.path().join("digit-labels.npy"), labels(&[0])).unwrap();
    assert_eq!(numpy_arrays(&path, Split::Test).unwrap().images.len(), 1);
    let train = numpy_arrays(&path, Split::Train).unwrap_err();
    assert!(matches!(train, DataError::NoSplit { split: Split::Train, .. }), "{train}");
}

/// The error of an archive with these images and labels, after the name of the array.
fn defect(images: Vec<u8>, labels: Vec<u8>) -> String {
    let error = read(&[("x", images), ("y", labels)], Split::Test).unwrap_err().to_string();
    error.split_once("set.npz").unwrap().1.into()
}

#[test]
fn unusable_arrays_are_refused() {
    let images = |descr, shape, bytes| npy(descr, "False", shape, &vec![0; bytes]);
    let of = |descr, shape, bytes| defect(images(descr, shape, bytes), labels(&[0, 1]));
    assert_eq!(
        of("<f4", "(2, 3, 4, 5)", 480),
        "/x: images of type \"<f4\", expected uint8 with values of 0 to 255 (|u1): the network's mean and standard \
         deviation are applied to these divided by 255"
    );
    assert_eq!(
        of("|u1", "(2, 12)", 24),
        "/x: images of shape [2, 12], expected [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels"
    );
    assert_eq!(
        of("|u1", "(2, 3, 5, 3)", 90),
        "/x: images of shape [2, 3, 5, 3]: the second and the last axis may be channels"
    );
    assert_eq!(of("|O", "(2, 4, 4)", 32), "/x: elements of type \"|O\", expected numbers");
    assert_eq!(
        of("|u1", "(2, 4, 4)", 31),
        "/x: 31 bytes of elements, expected 32 for |u1 of shape [2, 4, 4]"
    );
    assert_eq!(
        of("|u1", "(2, 4, 4)", 40),
        "/x: 33 bytes or more of elements, expected 32 for |u1 of shape [2, 4, 4]"
    );
    assert!(of("|u1", "(2, 4000000, 4000000)", 8).contains("expected at most 4294967296 bytes"));
    let good = || images("|u1", "(2, 4, 4)", 32);
    assert_eq!(defect(good(), labels(&[0, -1])), "/y: the label of image 1 is negative, expected 0 to 65535");
    assert_eq!(
        defect(good(), labels(&[70_000, 0])),
        "/y: the label of image 0 is above 65535, expected 0 to 65535"
    );
    assert_eq!(defect(good(), images("<f4", "(2,)", 8)), "/y: labels of type \"<f4\", expected integers");
    assert_eq!(
        defect(good(), images("|u1", "(2, 10)", 20)),
        "/y: labels of shape [2, 10], expected [N] or [N, 1]: one class for each image"
    );
    let counts = read(&[("x", good()), ("y", labels(&[0]))], Split::Test).unwrap_err();
    assert!(matches!(counts, DataError::CountMismatch { images: 2, labels: 1, .. }), "{counts}");
    let none = read(&[("x", images("|u1", "(0, 4, 4)", 0)), ("y", labels(&[]))], Split::Test).unwrap_err();
    assert!(matches!(none, DataError::NoImages { .. }), "{none}");
    let names = read(&[("pictures", good()), ("y", labels(&[0]))], Split::Train).unwrap_err().to_string();
    assert!(
        names.ends_with(
            "no train images: the arrays are pictures, y, expected train_images with train_labels, or x_train with \
             y_train, or X_train with y_train"
        ),
        "{names}"
    );
}

#[test]
fn damaged_headers_are_refused() {
    let of = |images: Vec<u8>| defect(images, labels(&[0]));
    assert!(of(b"\x93NUMPX\x01\x00v\x00".to_vec()).starts_with("/x: not an array of NumPy's format"));
    assert!(of(b"\x93NUMPY".to_vec()).starts_with("/x: cannot be read"));
    assert!(of(b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec()).contains("a header of 4294967295 bytes"));
    for header in
        ["", "{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", "{'shape': (1, x)}"]
    {
        let defect = of(npy_with_header(header, &[]));
        assert!(defect.starts_with(&format!("/x: the header is {header:?}, expected one like")), "{defect}");
    }
}
