use std::fs;
use std::io::Write;
use std::path::PathBuf;

use data::{DataError, DataSource, ImageSet, Split};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::cifar::{records, write_cifar10_train};
use crate::fixtures::{HUGGING_FACE, Row, idx_bytes, pixels, plain, png_rows, write_parquet};
use crate::pickles::of_python_2;

/// Makes a root with an empty directory in it; returns the path of the directory.
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

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Tests MNIST and the sets in its format in torchvision's directories and flat, plain and gzipped.
#[test]
fn idx_files_are_found_where_people_have_them() {
    let images = idx_bytes(0x0803, &[2, 28, 28], &pixels(3, 2 * 784));
    let labels = idx_bytes(0x0801, &[2], &[7, 9]);
    for (source, folder) in [
        (DataSource::Mnist, "MNIST"),
        (DataSource::FashionMnist, "FashionMNIST"),
        (DataSource::Kmnist, "KMNIST"),
    ] {
        let mut found = Vec::new();
        for place in [
            source.name().into(),
            format!("{}/raw", source.name()),
            format!("{}/{folder}/raw", source.name()),
            format!("{folder}/raw"),
        ] {
            let (root, dir) = root_with(&place);
            let put = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).unwrap();
            put("t10k-images-idx3-ubyte.gz", &gzip(&images));
            put("t10k-labels-idx1-ubyte.gz", &gzip(&labels));
            let form = || source.find(root.path(), Split::Test).unwrap().form();
            assert_eq!(form(), "IDX, gzip");
            found.push(ImageSet::open(root.path(), source, Split::Test).unwrap());
            put("t10k-images-idx3-ubyte", &images);
            // The labels are still gzipped.
            assert_eq!(form(), "IDX");
            found.push(ImageSet::open(root.path(), source, Split::Test).unwrap());
            let forms = source.find_all(root.path(), Split::Test).unwrap();
            assert_eq!(
                forms.into_iter().map(|form| form.unwrap().form()).collect::<Vec<_>>(),
                ["IDX", "IDX, gzip"]
            );
        }
        let (root, dir) = root_with(source.name());
        fs::write(dir.join("t10k-images.idx3-ubyte"), &images).unwrap();
        fs::write(dir.join("t10k-labels.idx1-ubyte"), &labels).unwrap();
        found.push(ImageSet::open(root.path(), source, Split::Test).unwrap());
        assert_eq!((found[0].name(), found[0].labels()), (source.name(), &[7, 9][..]));
        assert_eq!(found[0].pixels(), pixels(3, 2 * 784));
        found.dedup();
        assert_eq!(found.len(), 1);
    }
}

/// Makes a gzipped tar archive with its members in a folder.
fn archive(folder: &str, members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in members {
        let mut header = [0_u8; 512];
        let path = format!("{folder}/{name}");
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        let sum: u64 = header.iter().map(|&b| u64::from(b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend(header);
        tar.extend(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    gzip(&tar)
}

/// All forms of one set lie side by side and are removed one after the other.
#[test]
fn forms_of_cifar10_are_read_in_a_fixed_order_and_have_one_digest() {
    let (root, dir) = root_with("cifar10");
    let root = root.path();
    let record = records(0, 2, |i| vec![[7, 3][i]]);
    let pickle = of_python_2(2, &[7, 3]);
    let put = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let rows: Vec<Row> =
        png_rows(0, 2, 10).into_iter().zip([7, 3]).map(|(row, label)| (row.0, Some(label))).collect();
    let parquet = "cifar10/plain_text/test-00000-of-00001.parquet";
    put(parquet, b"");
    write_parquet(&root.join(parquet), HUGGING_FACE, plain(), &[&rows]);
    let others = [
        ("cifar10/test_batch.bin", &record, "binary"),
        ("cifar10/cifar-10-batches-bin/test_batch.bin", &record, "binary"),
        ("cifar-10-batches-bin/test_batch.bin", &record, "binary"),
        ("cifar10/test_batch", &pickle, "pickles"),
        ("cifar10/cifar-10-batches-py/test_batch", &pickle, "pickles"),
        ("cifar-10-batches-py/test_batch", &pickle, "pickles"),
        (
            "cifar10/cifar-10-binary.tar.gz",
            &archive(
                "cifar-10-batches-bin",
                &[("readme.html", b"x".to_vec()), ("test_batch.bin", record.clone())],
            ),
            "binary, archive",
        ),
        (
            "cifar-10-python.tar.gz",
            &archive(
                "cifar-10-batches-py",
                &[("batches.meta", b"x".to_vec()), ("test_batch", pickle.clone())],
            ),
            "pickles, archive",
        ),
    ];
    for (path, bytes, _) in &others {
        put(path, bytes);
    }
    let find = || DataSource::Cifar10.find_all(root, Split::Test).unwrap();
    let forms: Vec<&str> = find().into_iter().map(|found| found.unwrap().form()).collect();
    let mut expected = vec!["Hugging Face parquet"];
    expected.extend(others.iter().map(|other| other.2));
    assert_eq!(forms, expected);

    let mut digests = Vec::new();
    for path in [parquet].into_iter().chain(others.iter().map(|other| other.0)) {
        let found = DataSource::Cifar10.find(root, Split::Test).unwrap();
        assert!(root.join(path).starts_with(found.place().unwrap()), "{path}: {found:?}");
        let set = ImageSet::open(root, DataSource::Cifar10, Split::Test).unwrap();
        assert_eq!((set.len(), found.images().unwrap()), (2, 2), "{path}");
        assert_eq!(set.class_names().unwrap()[3], "cat");
        digests.push(set.digest());
        fs::remove_file(root.join(path)).unwrap();
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
    assert!(find().is_empty());

    // One batch lacks the others, and an archive lacks the wanted file.
    fs::write(dir.join("data_batch_4"), &pickle).unwrap();
    let error = ImageSet::open(root, DataSource::Cifar10, Split::Train).unwrap_err();
    assert!(
        matches!(&error, DataError::Io { path, .. } if path.ends_with("cifar10/data_batch_1")),
        "{error}"
    );
    put("cifar-10-python.tar.gz", &archive("x", &[("data_batch_1", pickle.clone())]));
    let error = ImageSet::open(root, DataSource::Cifar10, Split::Test).unwrap_err().to_string();
    assert!(error.ends_with("cifar-10-python.tar.gz: the archive holds no test_batch"), "{error}");
}

#[test]
fn the_error_for_an_empty_directory_lists_all_layouts() {
    let root = tempfile::tempdir().unwrap();
    let open = |source, split| ImageSet::open(root.path(), source, split).unwrap_err().to_string();
    let dir = |name| root.path().join(name).display().to_string();
    assert_eq!(
        open(DataSource::Cifar10, Split::Train),
        format!(
            "{}: no train set of cifar10 there; looked for Hugging Face parquet (train-*.parquet, also in data, plain_text or \
             cifar10), the binary version (data_batch_1.bin, also in cifar-10-batches-bin, or cifar-10-binary.tar.gz), \
             pickles (data_batch_1, also in cifar-10-batches-py, or cifar-10-python.tar.gz)",
            dir("cifar10")
        )
    );
    assert_eq!(
        open(DataSource::Cifar100, Split::Test),
        format!(
            "{}: no test set of cifar100 there; looked for Hugging Face parquet (test-*.parquet, also in data, plain_text or \
             cifar100), the binary version (test.bin, also in cifar-100-binary, or cifar-100-binary.tar.gz), \
             pickles (test, also in cifar-100-python, or cifar-100-python.tar.gz)",
            dir("cifar100")
        )
    );
    fs::create_dir_all(root.path().join("mnist/data")).unwrap();
    for other in ["mnist/validation.parquet", "mnist/data/test-a.parquet"] {
        fs::write(root.path().join(other), "").unwrap();
    }
    assert_eq!(
        open(DataSource::Mnist, Split::Test),
        format!(
            "{}: no test set of mnist there; looked for Hugging Face parquet (test-*.parquet, also in data, plain_text or \
             mnist), IDX (t10k-images-idx3-ubyte, also with .gz, or in MNIST/raw); ignored data/test-a.parquet, \
             validation.parquet, whose names do not match",
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
    assert_eq!((found.form(), found.images().unwrap(), found.place()), ("binary", 15, Some(&*dir)));
    assert!(!found.is_parquet());
    assert_eq!(found.read().unwrap().len(), 15);
    assert!(matches!(find(DataSource::Cifar10, Split::Test), Err(DataError::NotFound { .. })));
    fs::remove_file(dir.join("data_batch_5.bin")).unwrap();
    assert!(matches!(found.images(), Err(DataError::Io { .. })));

    let path = dir.join("train-00000-of-00001.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 7, 10), &png_rows(0, 4, 10)]);
    let found = find(DataSource::Cifar10, Split::Train).unwrap();
    assert_eq!((found.form(), found.images().unwrap()), ("Hugging Face parquet", 11));
    assert!(found.is_parquet());
    fs::write(&path, "no parquet").unwrap();
    assert!(matches!(found.images(), Err(DataError::Parquet { .. })));

    let mnist = root.path().join("mnist");
    fs::create_dir(&mnist).unwrap();
    fs::write(mnist.join("t10k-images-idx3-ubyte"), idx_bytes(0x803, &[3, 28, 28], &[0; 3 * 784])).unwrap();
    let found = find(DataSource::Mnist, Split::Test).unwrap();
    assert!(matches!(found.images(), Err(DataError::Io { .. })));
    fs::write(mnist.join("t10k-labels-idx1-ubyte"), idx_bytes(0x801, &[3], &[0; 3])).unwrap();
    assert_eq!((found.form(), found.images().unwrap(), found.place()), ("IDX", 3, Some(&*mnist)));
    let drawn = find(DataSource::Synthetic, Split::Test).unwrap();
    assert_eq!((drawn.form(), drawn.images().unwrap(), drawn.place()), ("drawn", 5000, None));
}
