use std::fs;
use std::path::PathBuf;

use data::{DataError, DataSource, ImageSet, Split};
use tempfile::TempDir;

use crate::cifar::{records, write_cifar10_train};
use crate::fixtures::{HUGGING_FACE, idx_bytes, pixels, plain, png_rows, write_parquet};

/// A root with an empty directory in it, by its path.
fn root_with(dir: &str) -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join(dir);
    fs::create_dir_all(&dir).unwrap();
    (root, dir)
}

#[test]
fn cifar10_is_found_in_each_layout() {
    let (here, dir) = root_with("cifar10");
    write_cifar10_train(&dir);
    let (archive, dir) = root_with("cifar10/cifar-10-batches-bin");
    write_cifar10_train(&dir);
    let (parquet, dir) = root_with("cifar10");
    let path = dir.join("train-00000-of-00001.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 15, 10)]);
    let sets = [here, archive, parquet]
        .map(|root| ImageSet::open(root.path(), DataSource::Cifar10, Split::Train).unwrap());
    assert_eq!((sets[0].name(), sets[0].len()), ("cifar10", 15));
    assert_eq!(sets[0].class_names().unwrap()[0], "airplane");
    assert_eq!(sets[0], sets[1]);
    assert_eq!(sets[0], sets[2]);
}

#[test]
fn parquet_goes_before_binary() {
    let (root, dir) = root_with("cifar10");
    write_cifar10_train(&dir);
    let path = dir.join("train-00000-of-00001.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 2, 10)]);
    let set = ImageSet::open(root.path(), DataSource::Cifar10, Split::Train).unwrap();
    assert_eq!(set.len(), 2);
}

#[test]
fn cifar100_is_found_in_both_places() {
    let bytes = records(0, 4, |i| vec![0, 50 + i as u8]);
    for place in ["cifar100", "cifar100/cifar-100-binary"] {
        let (root, dir) = root_with(place);
        fs::write(dir.join("test.bin"), &bytes).unwrap();
        let set = ImageSet::open(root.path(), DataSource::Cifar100, Split::Test).unwrap();
        assert_eq!((set.classes(), set.labels()), (100, &[50, 51, 52, 53][..]));
        assert_eq!(set.class_names().unwrap()[53], "orange");
    }
}

#[test]
fn mnist_is_found_by_its_published_names() {
    let (root, dir) = root_with("mnist");
    for (prefix, images) in [("train", 3), ("t10k", 2)] {
        let body = pixels(0, images * 784);
        let bytes = idx_bytes(0x0803, &[images as u32, 28, 28], &body);
        fs::write(dir.join(format!("{prefix}-images-idx3-ubyte")), bytes).unwrap();
        let bytes = idx_bytes(0x0801, &[images as u32], &vec![7; images]);
        fs::write(dir.join(format!("{prefix}-labels-idx1-ubyte")), bytes).unwrap();
    }
    for (split, images) in [(Split::Train, 3), (Split::Test, 2)] {
        let set = ImageSet::open(root.path(), DataSource::Mnist, split).unwrap();
        assert_eq!((set.split(), set.len()), (split, images));
        assert_eq!(set.shape(), DataSource::Mnist.shape());
    }
}

#[test]
fn compressed_mnist_is_recognised() {
    let (root, dir) = root_with("mnist");
    fs::write(dir.join("t10k-images-idx3-ubyte.gz"), [0x1f, 0x8b, 8, 0, 0]).unwrap();
    let error = ImageSet::open(root.path(), DataSource::Mnist, Split::Test).unwrap_err();
    assert!(matches!(error, DataError::Gzip { .. }));
    assert!(error.to_string().contains("run gunzip on it first"));
}

#[test]
fn nothing_there_lists_what_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let open = |source, split| ImageSet::open(root.path(), source, split).unwrap_err().to_string();
    let dir = |name| root.path().join(name).display().to_string();
    assert_eq!(
        open(DataSource::Cifar10, Split::Train),
        format!(
            "{}: no train set of cifar10 there; looked for train-*-of-*.parquet, data_batch_1.bin, cifar-10-batches-bin/data_batch_1.bin",
            dir("cifar10")
        )
    );
    assert_eq!(
        open(DataSource::Cifar100, Split::Test),
        format!(
            "{}: no test set of cifar100 there; looked for test-*-of-*.parquet, test.bin, cifar-100-binary/test.bin",
            dir("cifar100")
        )
    );
    assert_eq!(
        open(DataSource::Mnist, Split::Test),
        format!(
            "{}: no test set of mnist there; looked for test-*-of-*.parquet, t10k-images-idx3-ubyte, t10k-images-idx3-ubyte.gz",
            dir("mnist")
        )
    );
}

#[test]
fn a_set_of_another_shape_is_refused() {
    let (root, dir) = root_with("mnist");
    let path = dir.join("test-00000-of-00001.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 2, 10)]);
    let error = ImageSet::open(root.path(), DataSource::Mnist, Split::Test).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} (test set of mnist): image 0 has shape 3x32x32 (channels x height x width), expected 1x28x28",
            dir.display()
        )
    );
}

#[test]
fn sets_are_found_and_counted_without_reading_them() {
    let (root, dir) = root_with("cifar10");
    write_cifar10_train(&dir);
    let find = |source: DataSource, split| source.find(root.path(), split);
    let found = find(DataSource::Cifar10, Split::Train).unwrap();
    assert_eq!((found.layout(), found.images().unwrap(), found.dir()), ("binary", 15, Some(&*dir)));
    assert!(!found.is_parquet());
    assert_eq!(found.read().unwrap().len(), 15);
    assert!(matches!(find(DataSource::Cifar10, Split::Test), Err(DataError::NotFound { .. })));
    fs::remove_file(dir.join("data_batch_5.bin")).unwrap();
    assert!(matches!(found.images(), Err(DataError::Io { .. })));

    let path = dir.join("train-00000-of-00001.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 7, 10), &png_rows(0, 4, 10)]);
    let found = find(DataSource::Cifar10, Split::Train).unwrap();
    assert_eq!((found.layout(), found.images().unwrap()), ("Hugging Face parquet", 11));
    assert!(found.is_parquet());
    fs::write(&path, "no parquet").unwrap();
    assert!(matches!(found.images(), Err(DataError::Parquet { .. })));

    let mnist = root.path().join("mnist");
    fs::create_dir(&mnist).unwrap();
    fs::write(mnist.join("t10k-images-idx3-ubyte"), idx_bytes(0x803, &[3, 28, 28], &[0; 3 * 784])).unwrap();
    let found = find(DataSource::Mnist, Split::Test).unwrap();
    assert_eq!((found.layout(), found.images().unwrap(), found.dir()), ("IDX", 3, Some(&*mnist)));
    let drawn = find(DataSource::Synthetic, Split::Test).unwrap();
    assert_eq!((drawn.layout(), drawn.images().unwrap(), drawn.dir()), ("drawn", 5000, None));
}
