//! JPEG images of 16x16 pixels in hex, and the pixel sums of Pillow's decoder. This script prints both
//! (Pillow 13.0.0, libjpeg-turbo 3.2.0):
//!
//! ```python
//! import io, numpy as np
//! from PIL import Image
//! x, y = np.meshgrid(np.arange(16), np.arange(16))
//! rgb = np.stack([x * 15, y * 15, 255 - (x + y) * 8], -1).astype("uint8")
//! def jpeg(mode, **options):
//!     out = io.BytesIO()
//!     Image.fromarray(rgb).convert(mode).save(out, "JPEG", quality=75, optimize=True, **options)
//!     pixels = np.asarray(Image.open(out)).reshape(256, -1)
//!     print(out.getvalue().hex(), pixels.sum(0).tolist())
//! jpeg("RGB", subsampling=2)
//! jpeg("L")
//! jpeg("RGB", progressive=True, subsampling=2)
//! jpeg("CMYK")
//! ```

use data::{DataError, ImageSet, Split, hugging_face_parquet};

use crate::fixtures::{HUGGING_FACE, plain, write_parquet};

const RGB_420: &str = "\
    ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f141d1a1f1e\
    1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffdb0043010909090c0b0c180d0d1832211c213232\
    323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232ffc00011080010\
    001003012200021101031101ffc4001500010100000000000000000000000000000506ffc4001810000203000000000000000000000000\
    000004052231ffc4001501010100000000000000000000000000000204ffc4001811000203000000000000000000000000000005062131\
    ffda000c03010002110311003f0084521f2a3aa43e54a2521f2a3aa43e54a9d4936c31e6f967ffd9\
";
const GREY: &str = "\
    ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f141d1a1f1e\
    1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffc0000b080010001001011100ffc4001500010100\
    000000000000000000000000000506ffc4001810000203000000000000000000000000000004052231ffda0008010100003f0084521f2a\
    3aa43e54a2521f2a3aa43e54ffd9\
";
const PROGRESSIVE: &str = "\
    ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f141d1a1f1e\
    1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffdb0043010909090c0b0c180d0d1832211c213232\
    323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232323232ffc20011080010\
    001003012200021101031101ffc4001500010100000000000000000000000000000405ffc4001501010100000000000000000000000000\
    000103ffda000c0301000210031000000182fa2ea9ffc400161000030000000000000000000000000000000203ffda0008010100010502\
    588b11622c4fffc400161100030000000000000000000000000000000405ffda0008010301013f019ed9ffc40016110003000000000000\
    0000000000000000000405ffda0008010201013f017691ffc40014100100000000000000000000000000000020ffda0008010100063f02\
    1fffc4001510010100000000000000000000000000000061ffda0008010100013f21924924ffda000c0301000200030000001093ffc400\
    161100030000000000000000000000000000002131ffda0008010301013f109b3fffc40016110003000000000000000000000000000000\
    2131ffda0008010201013f10a33fffc4001510010100000000000000000000000000000031ffda0008010100013f109122448fffd9\
";
const CMYK: &str = "\
    ffd8ffee000e41646f626500640000000000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f141d1a1f1e1d1a\
    1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffc000140800100010044311004d11005911004b1100ff\
    c4001500010100000000000000000000000000000700ffc4001c10000200070000000000000000000000000005061622324363a1ffda00\
    0e0443004d0059004b00003f0033847186728ebe08ee1c5d50fe3cc238ca51d7c0fdc38baa201a11c63cca3af84e1c5d510f308e329475\
    f03f70e2ea88ffd9\
";

/// Returns the images in colour, in grey, and progressive.
pub(crate) fn samples() -> [Vec<u8>; 3] {
    [RGB_420, GREY, PROGRESSIVE].map(bytes)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn load(jpeg: Vec<u8>) -> Result<ImageSet, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    write_parquet(&path, HUGGING_FACE, plain(), &[&[(Some(jpeg), Some(0))]]);
    hugging_face_parquet(&path, "x", Split::Test, 1)
}

#[test]
fn colour_grey_and_progressive_agree_with_pillow() {
    let sums: [&[i64]; 3] = [&[28613, 28873, 34533], &[29440], &[28613, 28873, 34533]];
    for (jpeg, sums) in samples().into_iter().zip(sums) {
        let set = load(jpeg).unwrap();
        assert_eq!(set.shape().channels, sums.len());
        for (plane, sum) in set.pixels().chunks(256).zip(sums) {
            let ours: i64 = plane.iter().map(|&byte| i64::from(byte)).sum();
            assert!((ours - sum).abs() < 256, "sum {ours}, Pillow's {sum}");
        }
    }
}

#[test]
fn truncated_and_unknown_images_are_refused() {
    let whole = bytes(RGB_420);
    for length in 3..whole.len() {
        let error = load(whole[..length].to_vec()).unwrap_err().to_string();
        assert!(error.contains("image of row 0: JPEG without an end marker"), "{length}: {error}");
    }
    let mut two = bytes(CMYK);
    let frame = two.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    two[frame + 9] = 2;
    let error = load(two).unwrap_err().to_string();
    assert!(error.contains("image of row 0: "), "{error}");
}
