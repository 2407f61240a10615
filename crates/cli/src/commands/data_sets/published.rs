use std::path::Path;

use data::{DataError, DataSource, Split, ValidationLabels, cifar10_binary, cifar100_binary};

/// A file that others publish, and the files that it contains.
pub(super) struct Published {
    /// Name for messages.
    pub(super) name: &'static str,
    /// The data set, if the file is a complete one.
    pub(super) set: Option<DataSource>,
    /// Directory of its files, inside the directory of data sets.
    pub(super) dir: &'static str,
    pub(super) url: &'static str,
    /// Length of the published file.
    pub(super) bytes: u64,
    /// SHA-256 of the published file.
    pub(super) sha256: &'static str,
    /// True if the published file is a gzipped tar archive of the files; otherwise it is the file itself.
    pub(super) packed: bool,
    /// Files that loaders read, with their SHA-256.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Reads the files of a directory as loaders do, and describes their content.
    pub(super) read: fn(&Path) -> Result<String, DataError>,
}

/// CIFAR-10 in its binary version. Length and SHA-256 of the archive are those that TensorFlow Datasets checks
/// (`url_checksums/cifar10.txt`), the files' those that torchvision-ruby checks (`lib/torchvision/datasets/cifar10.rb`).
pub(super) const CIFAR10: Published = Published {
    name: "cifar10",
    set: Some(DataSource::Cifar10),
    dir: "cifar10",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    packed: true,
    files: &[
        ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
        ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
        ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
        ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
        ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
        ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    ],
    read: |dir| {
        let [train, test] = both(|split| Ok(cifar10_binary(dir, split)?.len()))?;
        Ok(format!("{train} training and {test} test images"))
    },
};

/// CIFAR-100 in its binary version. The values are from the places named at [`CIFAR10`]: `url_checksums/cifar100.txt` and
/// `lib/torchvision/datasets/cifar100.rb`.
pub(super) const CIFAR100: Published = Published {
    name: "cifar100",
    set: Some(DataSource::Cifar100),
    dir: "cifar100",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    bytes: 168_513_733,
    sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    packed: true,
    files: &[
        ("train.bin", "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
        ("test.bin", "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
    ],
    read: |dir| {
        let [train, test] = both(|split| Ok(cifar100_binary(dir, split)?.len()))?;
        Ok(format!("{train} training and {test} test images"))
    },
};

/// The WordNet ids of ImageNet's validation images, in the order of the images' numbers. The repository of TensorFlow's
/// models publishes them, here at a fixed commit; TensorFlow Datasets ships the same bytes (`imagenet2012/validation_labels.txt`
/// of its package 4.9.10, of which length and SHA-256 were taken).
pub(super) const IMAGENET_LABELS: Published = Published {
    name: "imagenet-labels",
    set: None,
    dir: "imagenet",
    url: "https://raw.githubusercontent.com/tensorflow/models/8b12ae202a3ccf8f965c730a4e7617204e32000b/research/slim/datasets/imagenet_2012_validation_synset_labels.txt",
    bytes: 500_000,
    sha256: IMAGENET_LABELS_SHA256,
    packed: false,
    files: &[(ValidationLabels::FILE_NAME, IMAGENET_LABELS_SHA256)],
    read: |dir| {
        let labels = ValidationLabels::read(&dir.join(ValidationLabels::FILE_NAME))?;
        Ok(format!("the classes of 50000 validation images, {} classes", labels.ids().len()))
    },
};

const IMAGENET_LABELS_SHA256: &str = "313fc3f23c864dde9183c9a368809065765dd1b657a6904fded44e3e46d34604";

fn both(count: impl Fn(Split) -> Result<usize, DataError>) -> Result<[usize; 2], DataError> {
    Ok([count(Split::Train)?, count(Split::Test)?])
}
