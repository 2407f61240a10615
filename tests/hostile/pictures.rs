//! Readers of image sets and image files.

use std::fs;
use std::path::Path;

use data::{
    CacheOutcome, DataSource, FolderSource, ImageFolder, ImageSet, ResizeCrop, Split, cifar10_binary,
    cifar10_pickles, cifar100_binary, hugging_face_parquet, idx, numpy_arrays,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::basic::Encoding;
use parquet::file::properties::WriterVersion;
use sha2::{Digest, Sha256};

use crate::drive::{Place, Reader, on_reader_thread};
use crate::fixtures::{
    HUGGING_FACE, Row, idx_bytes, npy, pixels, plain, png_of, png_raw, snappy, write_parquet,
};
use crate::jpeg;

fn said<T>(result: Result<T, data::DataError>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

#[test]
fn cifar_files() {
    on_reader_thread("CIFAR-10 binary", |name| {
        let place = Place::new("test_batch.bin");
        let valid = [[7; 3073].to_vec(), [3; 2 * 3073].to_vec()];
        let mut read = |bytes: &[u8]| {
            place.filled(bytes);
            said(cifar10_binary(place.folder(), Split::Test))
        };
        Reader::new(name, valid.to_vec(), (1 << 20, 8), &mut read).names("test_batch.bin").run();
    });
    on_reader_thread("CIFAR-100 binary", |name| {
        let place = Place::new("test.bin");
        let mut read = |bytes: &[u8]| {
            place.filled(bytes);
            said(cifar100_binary(place.folder(), Split::Test))
        };
        Reader::new(name, vec![[7; 3074].to_vec()], (1 << 20, 8), &mut read).names("test.bin").run();
    });
}

/// Returns the pickles of the data crate's tests, in every form.
fn pickles() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/golden/pickles");
    let mut paths: Vec<_> = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| !path.ends_with("fine-4"));
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn cifar_pickles() {
    on_reader_thread("CIFAR-10 pickles", |name| {
        let place = Place::new("test_batch");
        let mut read = |bytes: &[u8]| {
            place.filled(bytes);
            said(cifar10_pickles(place.folder(), Split::Test))
        };
        // The pickle reader's bound, plus a row of 3072 pixels for each reference of two bytes to an existing list.
        Reader::new(name, pickles(), (1 << 20, 2048), &mut read).names("test_batch").slow(300).run();
    });
}

/// Mutates the content before it is compressed: names, sizes and checksums of members are in the first 512
/// bytes.
#[test]
fn cifar_archives() {
    on_reader_thread("CIFAR-10 archive", |name| {
        let place = Place::new("cifar-10-python.tar.gz");
        let mut header = [0_u8; 512];
        let content = pickles().swap_remove(3);
        header[..12].copy_from_slice(b"x/test_batch");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        let tar = [&header[..], &content, &[0; 2048]].concat();
        let packed = |tar: &[u8]| {
            let mut tar = tar.to_vec();
            if tar.len() >= 512 {
                let sum: u64 =
                    (0..512).map(|i| if (148..156).contains(&i) { 32 } else { u64::from(tar[i]) }).sum();
                tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            std::io::Write::write_all(&mut encoder, &tar).unwrap();
            encoder.finish().unwrap()
        };
        let root = place.folder().to_path_buf();
        let mut read = |bytes: &[u8]| {
            place.filled(&packed(bytes));
            said(ImageSet::open(&root, DataSource::Cifar10, Split::Test))
        };
        Reader::new(name, vec![tar], (2 << 20, 2048), &mut read)
            .names("cifar-10-python.tar.gz")
            .slow(300)
            .run();
    });
    on_reader_thread("gzip of a CIFAR-10 archive", |name| {
        let place = Place::new("cifar-10-python.tar.gz");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut encoder, &[0; 4096]).unwrap();
        let nothing = encoder.finish().unwrap();
        let root = place.folder().to_path_buf();
        let mut read = |bytes: &[u8]| {
            place.filled(bytes);
            match said(ImageSet::open(&root, DataSource::Cifar10, Split::Test)) {
                Err(message) if message.ends_with("the archive holds no test_batch") => Ok(()),
                other => other,
            }
        };
        Reader::new(name, vec![nothing], (1 << 20, 2048), &mut read).names("cifar-10-python.tar.gz").run();
    });
}

#[test]
fn idx_files() {
    let files = || (Place::new("images-idx"), Place::new("labels-idx"));
    on_reader_thread("IDX images", move |name| {
        let (image_file, label_file) = files();
        label_file.filled(&idx_bytes(0x0801, &[3], &[9, 0, 4]));
        let valid = vec![idx_bytes(0x0803, &[3, 4, 5], &pixels(0, 60))];
        let mut read =
            |bytes: &[u8]| said(idx(image_file.filled(bytes), label_file.path(), "x", Split::Test, 10));
        Reader::new(name, valid, (1 << 20, 8), &mut read).names("-idx").run();
    });
    on_reader_thread("IDX images, gzip", move |name| {
        let (image_file, label_file) = files();
        label_file.filled(&idx_bytes(0x0801, &[3], &[9, 0, 4]));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        let plain = idx_bytes(0x0803, &[3, 4, 5], &pixels(0, 60));
        std::io::Write::write_all(&mut encoder, &plain).unwrap();
        let valid = vec![encoder.finish().unwrap()];
        let mut read =
            |bytes: &[u8]| said(idx(image_file.filled(bytes), label_file.path(), "x", Split::Test, 10));
        Reader::new(name, valid, (1 << 20, 2 * 1032), &mut read).names("-idx").run();
    });
    on_reader_thread("IDX labels", move |name| {
        let (image_file, label_file) = files();
        image_file.filled(&idx_bytes(0x0803, &[3, 4, 5], &pixels(0, 60)));
        let valid = vec![idx_bytes(0x0801, &[3], &[9, 0, 4])];
        let mut read =
            |bytes: &[u8]| said(idx(image_file.path(), label_file.filled(bytes), "x", Split::Test, 10));
        Reader::new(name, valid, (1 << 20, 8), &mut read).names("-idx").run();
    });
}

#[test]
fn numpy_files() {
    let images = || npy("|u1", "False", "(3, 4, 5)", &pixels(0, 60));
    let labels = || npy("<i2", "False", "(3,)", &[9, 0, 0, 0, 4, 0]);
    on_reader_thread("images (npy)", move |name| {
        let place = Place::new("x.npy");
        fs::write(place.folder().join("y.npy"), labels()).unwrap();
        let in_colour = npy("|u1", "False", "(3, 4, 5, 1)", &pixels(0, 60));
        let mut read = |bytes: &[u8]| said(numpy_arrays(place.filled(bytes), Split::Test));
        Reader::new(name, vec![images(), in_colour], (1 << 20, 8), &mut read).names("x.npy").run();
    });
    on_reader_thread("labels (npy)", move |name| {
        let place = Place::new("x.npy");
        place.filled(&images());
        let mut read = |bytes: &[u8]| {
            fs::write(place.folder().join("y.npy"), bytes).unwrap();
            said(numpy_arrays(place.path(), Split::Test))
        };
        Reader::new(name, vec![labels()], (1 << 20, 8), &mut read).names(".npy").run();
    });
    on_reader_thread("images and labels (npz)", move |name| {
        let place = Place::new("set.npz");
        let archive = |method| {
            let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            for (member, bytes) in [("x_test.npy", images()), ("y_test.npy", labels())] {
                zip.start_file(member, options).unwrap();
                std::io::Write::write_all(&mut zip, &bytes).unwrap();
            }
            zip.finish().unwrap().into_inner()
        };
        let valid = vec![archive(zip::CompressionMethod::Stored), archive(zip::CompressionMethod::Deflated)];
        let mut read = |bytes: &[u8]| said(numpy_arrays(place.filled(bytes), Split::Test));
        // A byte of deflate expands to at most 1032.
        Reader::new(name, valid, (1 << 20, 2 * 1032), &mut read).names("set.npz").run();
    });
}

#[test]
fn tables_of_image_files() {
    on_reader_thread("table of image files (CSV)", |name| {
        let place = Place::new("set.csv");
        let valid =
            ["path,label,split\na.png,3,test\nb.png,1,train\n", "file,class\na.png,cat\n\"b.png\",dog\n"];
        let valid = valid.map(|table| table.as_bytes().to_vec());
        let mut read = |bytes: &[u8]| said(ImageFolder::listed(place.filled(bytes), Split::Test));
        // A label of 65535 has as many names of classes before it.
        Reader::new(name, valid.to_vec(), (8 << 20, 512), &mut read).text().names("set.csv").run();
    });
}

#[test]
fn hugging_face_files() {
    on_reader_thread("image set (parquet)", |name| {
        let place = Place::new("x.parquet");
        let rows: Vec<Row> =
            (0..6).map(|i| (Some(png_of(&pixels(i % 2, 48), 3, 4, 4)), Some(i as i64))).collect();
        let v2 = WriterVersion::PARQUET_2_0;
        let valid = [
            plain(),
            snappy(),
            plain().set_writer_version(v2).set_encoding(Encoding::PLAIN),
            snappy().set_writer_version(v2).set_encoding(Encoding::PLAIN),
        ]
        .map(|properties| {
            write_parquet(place.path(), HUGGING_FACE, properties, &[&rows[..3], &rows[3..]]);
            fs::read(place.path()).unwrap()
        });
        let mut read = |bytes: &[u8]| said(hugging_face_parquet(place.filled(bytes), "x", Split::Test, 10));
        // The bound of the image decoders, plus that of the parquet crate.
        Reader::new(name, valid.to_vec(), (1 << 20, DECODED.1), &mut read).names("x.parquet").run();
    });
    on_reader_thread("image set (parquet, other codecs)", |name| {
        let place = Place::new("x.parquet");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/golden/codecs");
        let mut valid: Vec<_> = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
        valid.sort();
        let valid = valid.into_iter().map(|path| fs::read(path).unwrap()).collect();
        let mut read = |bytes: &[u8]| said(hugging_face_parquet(place.filled(bytes), "x", Split::Test, 10));
        // Brotli's window has 16 MiB. A few bytes may expand to a page of 4 MiB: a dictionary of a million values of 32 bytes.
        Reader::new(name, valid, (48 << 20, DECODED.1), &mut read).names("x.parquet").run();
    });
}

/// Reads a folder of image files, as the program does.
fn decoded(set: &Path, cache: Option<&Path>) -> Result<data::FolderImages, data::DataError> {
    let crop = ResizeCrop::for_side(4).unwrap();
    ImageFolder::open_in(set, FolderSource::Images, Split::Test)?.load(crop, None, cache, &|| {})
}

/// Memory bound of decoding. A byte of PNG encodes at most 1032 * 8 pixels, of four bytes each when decoded.
/// A byte of JPEG encodes at most 512 pixels, which progressive decoding holds as three i16 and three bytes.
const DECODED: (usize, usize) = (1 << 20, 2 * 4 * 8 * 1032);

#[test]
fn png_files() {
    on_reader_thread("image (PNG)", |name| {
        let place = Place::new("x.png");
        let grey = png_of(&pixels(0, 64), 1, 8, 8);
        let rgb = png_of(&pixels(1, 192), 3, 8, 8);
        let depth = png::BitDepth::Sixteen;
        let deep = png_raw(png::ColorType::Rgba, depth, 4, 4, &pixels(2, 128), None);
        let (indexed, four) = (png::ColorType::Indexed, png::BitDepth::Four);
        let palette = png_raw(indexed, four, 4, 4, &[0x12; 8], Some(&pixels(3, 48)));
        let mut read = |bytes: &[u8]| {
            place.filled(bytes);
            said(decoded(place.folder(), None))
        };
        Reader::new(name, vec![grey, rgb, deep, palette], DECODED, &mut read)
            .names("x.png")
            .seal(&|bytes| png_sums(bytes))
            .run();
    });
}

/// Corrects the checksum of every chunk.
fn png_sums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let end = at + 8 + length;
        let Some(content) = bytes.get(at + 4..end) else { return };
        let sum = crc32(content).to_be_bytes();
        let Some(place) = bytes.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&sum);
        at = end + 4;
    }
}

/// The CRC of ISO 3309, as in PNG's specification.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

#[test]
fn jpeg_files() {
    on_reader_thread("image (JPEG)", |name| {
        let place = Place::new("x.jpg");
        let mut read = |bytes: &[u8]| {
            place.filled(bytes);
            said(decoded(place.folder(), None))
        };
        Reader::new(name, jpeg::samples().to_vec(), DECODED, &mut read).names("x.jpg").run();
    });
}

#[test]
fn decoded_image_caches() {
    on_reader_thread("cache of decoded images", |name| {
        let set = Place::new("a.png");
        set.filled(&png_of(&pixels(0, 192), 3, 8, 8));
        fs::write(set.folder().join("b.png"), "no image").unwrap();
        fs::write(set.folder().join("c.png"), png_of(&pixels(1, 64), 1, 8, 8)).unwrap();
        let folder = Place::new("unused");
        decoded(set.folder(), Some(folder.folder())).unwrap();
        let file = fs::read_dir(folder.folder()).unwrap().next().unwrap().unwrap().path();
        let valid = fs::read(&file).unwrap();
        let mut read = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            match decoded(set.folder(), Some(folder.folder())).map_err(|error| error.to_string())?.cache {
                CacheOutcome::Read => Ok(()),
                CacheOutcome::Written { damage } => Err(damage.unwrap_or("of other files".into())),
                other => panic!("{other:?}"),
            }
        };
        let seal = |bytes: &mut Vec<u8>| {
            if let Some(end) = bytes.len().checked_sub(32) {
                let digest = Sha256::digest(&bytes[..end]);
                bytes[end..].copy_from_slice(&digest);
            }
        };
        // Damaged pieces are decoded again.
        Reader::new(name, vec![valid], (1 << 20, 64), &mut read).seal(&seal).run();
    });
}
