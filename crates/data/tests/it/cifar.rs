use std::fs;
use std::path::Path;

use data::{DataError, DataSource, ImageShape, Split, cifar10_binary, cifar100_binary};

use crate::fixtures::pixels;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Records of images `first..first + count`; `head` returns the bytes before the image of an index.
pub(crate) fn records(first: usize, count: usize, head: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    (first..first + count).flat_map(|i| [head(i), pixels(i, 3072)].concat()).collect()
}

pub(crate) fn write_cifar10_train(dir: &Path) {
    for batch in 0..5 {
        let bytes = records(batch * 3, 3, |i| vec![(i % 10) as u8]);
        fs::write(dir.join(format!("data_batch_{}.bin", batch + 1)), bytes).unwrap();
    }
}

#[test]
fn cifar10_reads_batches_in_order() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10_train(dir.path());
    let set = cifar10_binary(dir.path(), Split::Train).unwrap();
    assert_eq!((set.name(), set.split(), set.len()), ("cifar10", Split::Train, 15));
    assert_eq!((set.shape(), set.classes()), (SHAPE, 10));
    assert_eq!(set.class_names().unwrap()[9], "truck");
    for i in 0..15 {
        assert_eq!(set.image(i), pixels(i, 3072));
        assert_eq!(usize::from(set.labels()[i]), i % 10);
    }
}

#[test]
fn cifar100_keeps_the_fine_label() {
    let dir = tempfile::tempdir().unwrap();
    for (file, first) in [("train.bin", 0), ("test.bin", 90)] {
        let bytes = records(first, 10, |i| vec![(i / 5) as u8, i as u8]);
        fs::write(dir.path().join(file), bytes).unwrap();
    }
    let set = cifar100_binary(dir.path(), Split::Test).unwrap();
    assert_eq!((set.name(), set.len(), set.classes()), ("cifar100", 10, 100));
    assert_eq!(set.labels(), (90..100).collect::<Vec<u16>>());
    assert_eq!(set.class_names().unwrap()[99], "worm");
    assert_eq!(set.class_names().unwrap().len(), DataSource::Cifar100.class_names().len());
    assert_eq!(set.image(9), pixels(99, 3072));
    let train = cifar100_binary(dir.path(), Split::Train).unwrap();
    assert_eq!(train.labels()[0], 0);
}

#[test]
fn the_error_names_a_missing_batch() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10_train(dir.path());
    let third = dir.path().join("data_batch_3.bin");
    fs::remove_file(&third).unwrap();
    let error = cifar10_binary(dir.path(), Split::Train).unwrap_err();
    assert!(matches!(&error, DataError::Io { path, .. } if *path == third));
    assert_eq!(error.to_string(), format!("{}: cannot be read", third.display()));
    fs::create_dir(&third).unwrap();
    let error = cifar10_binary(dir.path(), Split::Train).unwrap_err();
    assert!(matches!(error, DataError::NotAFile { .. }));
}

#[test]
fn the_error_names_a_truncated_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test_batch.bin");
    let mut bytes = records(0, 3, |_| vec![0]);
    bytes.truncate(2 * 3073 + 100);
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        cifar10_binary(dir.path(), Split::Test).unwrap_err().to_string(),
        format!(
            "{}: 6246 bytes, expected a multiple of 3073; record 2 is cut off after 100 bytes",
            path.display()
        )
    );
    fs::write(&path, []).unwrap();
    assert!(matches!(cifar10_binary(dir.path(), Split::Test).unwrap_err(), DataError::NoImages { .. }));
}

#[test]
fn the_error_names_a_label_out_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test_batch.bin");
    fs::write(&path, records(0, 4, |i| vec![[1, 2, 10, 3][i]])).unwrap();
    assert_eq!(
        cifar10_binary(dir.path(), Split::Test).unwrap_err().to_string(),
        format!("{}: label of image 2 is 10, expected 0 to 9", path.display())
    );
    let path = dir.path().join("test.bin");
    for (head, message) in [
        ([19, 100], "fine label of image 0 is 100, expected 0 to 99"),
        ([20, 99], "coarse label of image 0 is 20, expected 0 to 19"),
    ] {
        fs::write(&path, records(0, 1, |_| head.to_vec())).unwrap();
        assert_eq!(
            cifar100_binary(dir.path(), Split::Test).unwrap_err().to_string(),
            format!("{}: {message}", path.display())
        );
    }
}
