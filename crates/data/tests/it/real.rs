//! Tests CIFAR-10 as JPEG in the Hugging Face layout, if the real data is available.

use std::io::Write;
use std::path::{Path, PathBuf};

use data::{DataSource, ImageSet, Split};

/// Root of the real data: `ZEROSPACE_DATA`, or a default directory.
fn real_root() -> Option<PathBuf> {
    let root = std::env::var_os("ZEROSPACE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    if root.join("cifar10").is_dir() {
        return Some(root);
    }
    let message = format!("SKIPPED: no real data at {}; set ZEROSPACE_DATA\n", root.display());
    // `eprintln` does not serve here: its output is only shown for failing tests.
    std::io::stderr().write_all(message.as_bytes()).unwrap();
    None
}

/// Sums of red, green and blue in the first five test images as Pillow decodes them, and their labels. Over
/// the whole test set the mean absolute difference of a sample was 0.30 levels, at most 0.45 in one image,
/// and no sample differed by more than 5.
///
/// ```python
/// # Pillow 13.0.0, libjpeg-turbo 3.2.0
/// import io, numpy as np, pyarrow.parquet as pq
/// from PIL import Image
/// rows = pq.read_table("cifar10/test-00000-of-00001.parquet").slice(0, 5).to_pylist()
/// for row in rows:
///     pixels = np.asarray(Image.open(io.BytesIO(row["img"]["bytes"])))
///     print(row["label"], pixels.reshape(-1, 3).sum(0).tolist())
/// ```
const PILLOW: [(u16, [i64; 3]); 5] = [
    (9, [80237, 88922, 74632]),
    (3, [139664, 121893, 100266]),
    (7, [117595, 113093, 105397]),
    (0, [151926, 137590, 124278]),
    (9, [152801, 154824, 152901]),
];

#[test]
fn real_cifar10_test_set() {
    let Some(root) = real_root() else { return };
    let set = ImageSet::open(&root, DataSource::Cifar10, Split::Test).unwrap();
    assert_eq!(set.len(), 10_000);
    assert_eq!(set.shape(), DataSource::Cifar10.shape());
    for class in 0..10 {
        let images = set.labels().iter().filter(|&&label| label == class).count();
        assert_eq!(images, 1000, "class {class}");
    }
    // The digest of this crate on x86-64 when the test was written (zune-jpeg 0.5.15, scalar code): the first
    // thing to check if results change.
    assert_eq!(
        set.take(100).unwrap().digest(),
        "6620653268f3dbe8588ea3ade5091328a804b501dec4b1c0585bdfd52570f0d3"
    );

    for (i, (label, sums)) in PILLOW.into_iter().enumerate() {
        assert_eq!(set.labels()[i], label);
        for (plane, sum) in set.image(i).chunks(1024).zip(sums) {
            let ours: i64 = plane.iter().map(|&byte| i64::from(byte)).sum();
            // The mean difference is below one level.
            assert!((ours - sum).abs() < 1024, "image {i}: sum {ours}, Pillow's {sum}");
        }
    }
}
