//! Data sets in the forms that people have: which is read, which are listed, and what is written out.

use std::path::Path;

use serde_json::Value;

use crate::data_sets::{archive, files, gzip};
use crate::json::document;
use crate::program::{succeed, zerospace};

fn put(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Two images in the pickle of Python 3 that the tests of the data crate have.
fn pickle() -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/golden/pickles/bytes-4");
    std::fs::read(golden).unwrap()
}

#[test]
fn each_form_of_a_set_is_listed_and_the_one_that_is_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, bytes) in files() {
        put(folder, &format!("data/cifar10/{name}"), &bytes);
    }
    put(folder, "data/cifar-10-batches-py/test_batch", &pickle());
    put(folder, "data/cifar10/cifar-10-binary.tar.gz", &archive());
    put(folder, "data/cifar10/train-00001-of-00002.parquet", b"");
    let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28][..], &[7; 784]].concat();
    put(folder, "data/MNIST/raw/t10k-images-idx3-ubyte.gz", &gzip(&images));
    put(folder, "data/MNIST/raw/t10k-labels-idx1-ubyte.gz", &gzip(&[0, 0, 8, 1, 0, 0, 0, 1, 9]));

    let list = document(folder, &["data", "list"], 0);
    let rows: Vec<String> = list["forms"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|form| form["set"] != "synthetic")
        .map(|form| {
            ["set", "split", "read", "form", "path", "images", "complete"]
                .map(|name| form[name].to_string())
                .join(" ")
        })
        .map(|row| row.replace('"', ""))
        .collect();
    assert_eq!(
        rows,
        [
            "cifar10 train true null null null false",
            "cifar10 train false binary data/cifar10 10 false",
            "cifar10 train false binary, archive data/cifar10/cifar-10-binary.tar.gz 10 false",
            "cifar10 test true binary data/cifar10 3 false",
            "cifar10 test false pickles data/cifar-10-batches-py 2 false",
            "cifar10 test false binary, archive data/cifar10/cifar-10-binary.tar.gz 3 false",
            "mnist test true IDX, gzip data/MNIST/raw 1 false",
        ]
    );
    let missing = "data/cifar10/train-00000-of-00002.parquet: missing; the names of the other shards declare a total of 2";
    assert_eq!(list["forms"][0]["problem"], missing);
    assert_eq!(list["forms"][1]["published_images"], 50_000);
    assert_eq!(
        list["missing"],
        serde_json::json!(["cifar100", "fashion_mnist", "kmnist", "imagenet", "images"])
    );
    let said = zerospace(folder, &["data", "list"]);
    assert_eq!(said.stderr.trim_end(), missing);
    let row = "| cifar10       | test  |      3 | binary          | data/cifar10                        | no, 3 of 10000      | yes              |";
    assert!(said.stdout.contains(row), "{}", said.stdout);
    assert!(said.stdout.contains("| synthetic     | test  |   5000 | drawn "), "{}", said.stdout);

    // What is read is said where there is a choice.
    let said = zerospace(folder, &["data", "write", "cifar10", "out"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(
        said.stderr,
        "cifar10 test: read as binary (data/cifar10: test_batch.bin); not read, though there: pickles \
         (data/cifar-10-batches-py: test_batch) and binary, archive (data/cifar10/cifar-10-binary.tar.gz: test_batch.bin)\n"
    );
    assert_eq!(std::fs::read(folder.join("out/test_batch.bin")).unwrap(), files()["test_batch.bin"]);
    let said = zerospace(folder, &["data", "write", "cifar10", "--split", "train", "out"]);
    assert_eq!((said.code, said.stderr), (2, format!("error: {missing}\n")));
    let said = zerospace(folder, &["data", "write", "mnist", "out"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert_eq!(std::fs::read(folder.join("out/t10k-images-idx3-ubyte")).unwrap(), images);
}

#[test]
fn synthetic_images_are_written_and_read_back_with_the_same_digest() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (split, images) in [("test", 30), ("train", 12)] {
        let count = images.to_string();
        let written = document(
            folder,
            &["data", "write", "synthetic", "out/cifar10", "--split", split, "--images", &count],
            0,
        );
        let again =
            document(folder, &["data", "write", "cifar10", "--data", "out", "--split", split, "again"], 0);
        let of =
            |document: &Value| ["digest", "images", "shape", "classes"].map(|name| document[name].clone());
        assert_eq!(of(&written), of(&again));
        assert_eq!(written["images"], images);
        for file in written["files"].as_array().unwrap() {
            let file = file.as_str().unwrap();
            let same = file.replace("out/cifar10", "again");
            assert_eq!(std::fs::read(folder.join(file)).unwrap(), std::fs::read(folder.join(same)).unwrap());
        }
    }
    // The first image of the test set: label, and the sums of its planes.
    let bytes = std::fs::read(folder.join("out/cifar10/test_batch.bin")).unwrap();
    assert_eq!(bytes.len(), 30 * 3073);
    let set = data::synthetic(data::Split::Test, 30, data::SYNTHETIC_SEED).unwrap();
    for (record, (image, &label)) in bytes.chunks(3073).zip((0..30).map(|i| set.image(i)).zip(set.labels())) {
        assert_eq!((u16::from(record[0]), &record[1..]), (label, image));
    }
    let text = succeed(folder, &["data", "write", "synthetic", "text", "--images", "30"]);
    let expected =
        format!("text/test_batch.bin\n30 images of synthetic test in 10 classes, SHA-256 {}\n", set.digest());
    assert_eq!(text, expected);
    let said = zerospace(folder, &["data", "write", "synthetic", "text", "--images", "3"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr
            .ends_with("error: text/test_batch.bin: exists already, expected a directory without it\n")
    );
}

#[test]
fn arrays_of_numpy_have_the_digest_of_the_set_that_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let set = data::synthetic(data::Split::Test, 30, data::SYNTHETIC_SEED).unwrap();
    let npy = |descr: &str, shape: &str, elements: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:117}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), elements].concat()
    };
    let labels: Vec<u8> = set.labels().iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
    put(folder, "data/x_test.npy", &npy("|u1", "(30, 3, 32, 32)", set.pixels()));
    put(folder, "elsewhere/y_test.npy", &npy("<i8", "(30,)", &labels));
    let said = zerospace(folder, &["data", "write", "x_test.npy", "out"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr
            .ends_with("no test images: not both files are there, expected x_test.npy with y_test.npy\n"),
        "{}",
        said.stderr
    );
    std::fs::rename(folder.join("elsewhere/y_test.npy"), folder.join("data/y_test.npy")).unwrap();
    let said = zerospace(folder, &["data", "write", "x_test.npy", "out"]);
    assert_eq!(
        said.stderr,
        "data/x_test.npy test: x_test.npy [30, 3, 32, 32] (channels, rows, columns) and y_test.npy, 10 classes\n"
    );
    let expected =
        format!("out/test_batch.bin\n30 images of x_test.npy test in 10 classes, SHA-256 {}\n", set.digest());
    assert_eq!(said.stdout, expected);
    // A file outside the directory of data sets is named by its own path.
    std::fs::rename(folder.join("data"), folder.join("mine")).unwrap();
    let written = document(folder, &["data", "write", "mine/x_test.npy", "again"], 0);
    assert_eq!(written["digest"], set.digest());
}

#[test]
fn a_missing_set_lists_what_was_looked_for_and_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |set: &str| {
        let said = zerospace(folder.path(), &["data", "write", set, "out"]);
        assert_eq!(said.code, 2, "{}", said.stderr);
        said.stderr
    };
    assert_eq!(
        refused("cifar10"),
        "error: data/cifar10: no test set of cifar10 there; looked for Hugging Face parquet (test-*.parquet, also in data, \
         plain_text or cifar10), the binary version (test_batch.bin, also in cifar-10-batches-bin, or \
         cifar-10-binary.tar.gz), pickles (test_batch, also in cifar-10-batches-py, or cifar-10-python.tar.gz); fetch it \
         with `zerospace data fetch cifar10`, or choose the directory of data sets with --data DIR or ZEROSPACE_DATA\n"
    );
    let mnist = refused("kmnist");
    assert!(
        mnist.contains("IDX (t10k-images-idx3-ubyte, also with .gz, or in KMNIST/raw); choose the directory"),
        "{mnist}"
    );
}
