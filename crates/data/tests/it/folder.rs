//! Folders of image files. torchvision computed the expected values of the files in `tests/golden/folder`;
//! `folder.py` there is the script.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use data::{CacheOutcome, DataError, FolderImages, FolderSource, ImageFolder, ImageSet, ResizeCrop, Split};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::fixtures::{pixels, png_of};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Makes a root directory with these files, given by path and content.
fn root_with<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

/// A square PNG of one grey value, which no resize changes.
fn flat(value: u8) -> Vec<u8> {
    png_of(&[value; 9 * 9], 1, 9, 9)
}

fn open(root: &TempDir, source: FolderSource, split: Split) -> Result<ImageFolder, DataError> {
    ImageFolder::open(root.path(), source, split)
}

fn load(folder: &ImageFolder, images: Option<usize>) -> Result<FolderImages, DataError> {
    folder.load(ResizeCrop::for_side(8).unwrap(), images, None, &|| {})
}

/// The grey value of each image.
fn values(set: &ImageSet) -> Vec<u8> {
    (0..set.len()).map(|i| set.image(i)[0]).collect()
}

/// One file of the golden folder, cropped to `side`.
fn cropped(name: &str, side: usize) -> ImageSet {
    let bytes = fs::read(golden().join("folder").join(name)).unwrap();
    let root = root_with([(format!("images/{name}").as_str(), bytes)]);
    let folder = open(&root, FolderSource::Images, Split::Test).unwrap();
    folder.load(ResizeCrop::for_side(side).unwrap(), None, None, &|| {}).unwrap().images
}

#[test]
fn lossless_images_agree_with_torchvision_to_the_bit() {
    let text = fs::read_to_string(golden().join("folder.json")).unwrap();
    let expected: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 8);
    for (name, digests) in expected {
        for (side, digest) in digests {
            let set = cropped(&format!("{name}.png"), side.parse().unwrap());
            let found = durable::sha256_hex(set.pixels());
            assert_eq!(found, digest, "{name} at {side}");
        }
    }
}

#[test]
fn jpeg_images_differ_from_torchvision_by_less_than_a_level() {
    let names = ["photo", "upright", "full-chroma", "progressive", "small", "luma", "cmyk"];
    for name in names {
        let set = cropped(&format!("{name}.JPEG"), 64);
        let file = fs::File::open(golden().join(format!("folder/expected/{name}.png"))).unwrap();
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut expected = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut expected).unwrap();
        let plane = 64 * 64;
        let levels = |i: usize| f64::from(set.pixels()[i].abs_diff(expected[i % plane * 3 + i / plane]));
        let mean = (0..3 * plane).map(levels).sum::<f64>() / (3 * plane) as f64;
        assert!(mean < 1.0, "{name}: {mean} levels");
    }
}

/// Decoded pixels are part of a record's identity and lie in caches. If a new version of a decoder changes
/// this value, also raise the number in the first line of cache files.
#[test]
fn decoded_pixels_are_stable() {
    let set = cropped("photo.JPEG", 64);
    assert_eq!(set.digest(), "16049f6160cb00b629de86441f38c2ef2df0e041f82c0830c42133d7cbcdee3c");
}

#[test]
fn validation_images_come_by_class_and_training_images_in_turns() {
    let files = |part: &str| {
        [("b/2.png", 12), ("b/1.PNG", 11), ("a/x.JPEG", 1), ("a/sub/y.png", 2), ("c/0.jpeg", 20)]
            .map(|(path, value)| (format!("imagenet/{part}/{path}"), flat(value)))
    };
    let files: Vec<_> = files("train").into_iter().chain(files("val")).collect();
    let root = root_with(files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())));
    fs::write(root.path().join("imagenet/val/synset_words.txt"), "").unwrap();
    fs::write(root.path().join("imagenet/val/a/notes.txt"), "").unwrap();

    let test = open(&root, FolderSource::ImageNet, Split::Test).unwrap();
    assert_eq!((test.classes(), test.len()), (&["a", "b", "c"].map(String::from)[..], 5));
    let set = load(&test, None).unwrap().images;
    assert_eq!((set.name(), set.split(), set.classes()), ("imagenet", Split::Test, 3));
    assert_eq!((values(&set), set.labels()), (vec![1, 2, 11, 12, 20], &[0, 0, 1, 1, 2][..]));
    assert_eq!(set.shape().to_string(), "3x8x8");
    let first = load(&test, Some(3)).unwrap().images;
    assert_eq!((first.clone(), first.classes()), (set.take(3).unwrap(), 3));

    let train = open(&root, FolderSource::ImageNet, Split::Train).unwrap();
    let set = load(&train, None).unwrap().images;
    assert_eq!((values(&set), set.labels()), (vec![1, 11, 20, 2, 12], &[0, 1, 2, 0, 1][..]));
}

#[test]
fn images_without_labels_are_found_in_every_layout() {
    let root =
        root_with([("images/b.png", flat(3)), ("images/a/c/1.png", flat(2)), ("images/a-b/1.png", flat(1))]);
    let test = open(&root, FolderSource::Images, Split::Test).unwrap();
    assert!(test.classes().is_empty());
    let set = load(&test, None).unwrap().images;
    assert_eq!((values(&set), set.labels(), set.is_labelled()), (vec![3, 1, 2], &[][..], false));
    assert_eq!((set.len(), set.classes(), set.take(2).unwrap().len()), (3, 0, 2));
    let labelled = set.clone().with_labels(3, vec![2, 0, 1]).unwrap();
    assert_ne!(labelled.digest(), set.digest());
    assert!(set.with_labels(3, vec![2, 0]).is_err());

    let error = open(&root, FolderSource::Images, Split::Train).unwrap_err().to_string();
    assert!(error.ends_with("images/train: no such folder, expected one that holds JPEG or PNG files"));
    let root = root_with([("images/train/x/1.png", flat(4)), ("images/val/1.png", flat(5))]);
    for (split, value) in [(Split::Train, 4), (Split::Test, 5)] {
        let set = load(&open(&root, FolderSource::Images, split).unwrap(), None).unwrap().images;
        assert_eq!((values(&set), set.split()), (vec![value], split));
    }
}

#[test]
fn unreadable_files_are_listed_and_replaced_by_later_ones() {
    let photo = fs::read(golden().join("folder/photo.JPEG")).unwrap();
    let mut huge = flat(0);
    huge[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let root = root_with([
        ("imagenet/val/a/0.png", flat(1)),
        ("imagenet/val/a/1.JPEG", b"RIFF____WEBP".to_vec()),
        ("imagenet/val/a/2.JPEG", photo[..photo.len() / 2].to_vec()),
        ("imagenet/val/a/3.png", huge),
        ("imagenet/val/a/4.png", flat(2)),
        ("imagenet/val/b/5.png", flat(3)),
        ("imagenet/val/b/6.png", Vec::new()),
        ("imagenet/val/b/7.png", flat(4)),
    ]);
    let folder = open(&root, FolderSource::ImageNet, Split::Test).unwrap();
    let three = load(&folder, Some(3)).unwrap();
    assert_eq!((values(&three.images), three.images.labels()), (vec![1, 2, 3], &[0, 0, 1][..]));
    let listed: Vec<String> = three
        .unreadable
        .iter()
        .map(|u| format!("{}: {}", u.path.strip_prefix(root.path()).unwrap().display(), u.reason))
        .collect();
    assert_eq!(
        listed,
        [
            "imagenet/val/a/1.JPEG: 12 bytes that begin with [52 49 46 46 5f 5f 5f 5f], expected JPEG (ff d8 ff) or PNG (89 50 4e 47 0d 0a 1a 0a)",
            "imagenet/val/a/2.JPEG: JPEG without an end marker (ff d9) after its last scan: the file is cut off",
            "imagenet/val/a/3.png: 16384 rows of 16384 pixels, expected at most 67108864 pixels",
        ]
    );
    let all = load(&folder, None).unwrap();
    assert_eq!((values(&all.images), all.unreadable.len()), (vec![1, 2, 3, 4], 4));
    let error = load(&folder, Some(5)).unwrap_err().to_string();
    assert_eq!(
        error,
        "imagenet test without 4 unreadable files: asked for the first 5 images, but there are 4"
    );
    let error = load(&folder, Some(9)).unwrap_err().to_string();
    assert_eq!(error, "imagenet test: asked for the first 9 images, but there are 8");
}

#[test]
fn errors_name_wrong_layouts() {
    let message = |files: &[&str], split| {
        let root = root_with(files.iter().map(|&path| (path, b"x".to_vec())));
        let error =
            open(&root, FolderSource::ImageNet, split).and_then(|folder| load(&folder, None)).unwrap_err();
        error.to_string().replace(&format!("{}/", root.path().display()), "")
    };
    assert_eq!(
        message(&["imagenet/val/a/0.png"], Split::Train),
        "imagenet/train: no such folder, expected one that holds a folder of JPEG or PNG files for each class"
    );
    assert_eq!(
        message(&["imagenet/val/0.png"], Split::Test),
        "imagenet/val: holds image files and no folders, and validation_labels.txt is not beside it, expected a folder \
         for each class or this file"
    );
    assert_eq!(
        message(&["imagenet/val/a/0.png", "imagenet/val/b/0.txt"], Split::Test),
        "imagenet/val/b: holds no images, expected at least one"
    );
    assert_eq!(
        message(&["imagenet/val/a/0.png", "imagenet/val/b/0.png"], Split::Test),
        "imagenet/val: none of 2 image files can be decoded; the first, a/0.png: 1 bytes that begin with [78], \
         expected JPEG (ff d8 ff) or PNG (89 50 4e 47 0d 0a 1a 0a)"
    );
}

#[cfg(unix)]
#[test]
fn a_cyclic_link_is_an_error() {
    let root = root_with([("images/a/1.png", flat(1))]);
    std::os::unix::fs::symlink(root.path().join("images"), root.path().join("images/a/back")).unwrap();
    let error = open(&root, FolderSource::Images, Split::Test).unwrap_err().to_string();
    assert!(
        error.ends_with("a folder 17 deep in the set, expected at most 16, and no link that leads back"),
        "{error}"
    );
}

#[test]
fn a_set_larger_than_memory_is_refused_before_reservation() {
    let root = root_with([("images/0.png", flat(1))]);
    for i in 1..400 {
        fs::write(root.path().join(format!("images/{i}.png")), flat(1)).unwrap();
    }
    let folder = open(&root, FolderSource::Images, Split::Test).unwrap();
    let error = folder.load(ResizeCrop::for_side(4096).unwrap(), None, None, &|| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "images test: 400 images of 50331648 bytes, expected at most 17179869184 together; ask for fewer images"
    );
}

#[test]
fn a_cache_saves_decoding_until_a_file_changes() {
    let broken = || b"broken".to_vec();
    let root = root_with([
        ("images/0.png", flat(1)),
        ("images/1.png", broken()),
        ("images/2.png", png_of(&pixels(1, 12), 1, 3, 4)),
        ("images/3.png", flat(3)),
    ]);
    let cache = root.path().join("cache");
    let crop = ResizeCrop::for_side(8).unwrap();
    let load = |images| {
        let folder = open(&root, FolderSource::Images, Split::Test).unwrap();
        let decoded = AtomicUsize::new(0);
        let count = || {
            decoded.fetch_add(1, Ordering::Relaxed);
        };
        let loaded = folder.load(crop, images, Some(&cache), &count).unwrap();
        (loaded, decoded.into_inner())
    };
    let (first, decoded) = load(Some(2));
    assert_eq!((first.images.len(), first.unreadable.len(), decoded), (2, 1, 3));
    assert!(matches!(first.cache, CacheOutcome::Written { damage: None }));
    let (second, decoded) = load(Some(2));
    assert!(matches!(second.cache, CacheOutcome::Read));
    assert_eq!((&second.images, &second.unreadable, decoded), (&first.images, &first.unreadable, 0));
    // The cache serves any other number; missing images are decoded and added.
    assert_eq!(load(Some(1)).1, 0);
    assert_eq!(load(None).1, 1);
    assert_eq!(load(None).1, 0);
    assert_eq!((load(Some(2)).1, load(Some(3)).1), (0, 0));
    let (again, _) = load(Some(2));
    assert_eq!((&again.images, &again.unreadable), (&first.images, &first.unreadable));
    let files = || -> Vec<PathBuf> { fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).collect() };
    assert_eq!(files().len(), 1);

    // Damage at any byte is detected and repaired.
    for path in files() {
        let whole = fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[place] ^= 4;
            fs::write(&path, damaged).unwrap();
            let (two, all) = (load(Some(2)).0, load(None).0);
            assert_eq!((two.images, all.images.len()), (first.images.clone(), 3), "byte {place}");
            assert_eq!(fs::read(&path).unwrap(), whole, "byte {place}");
        }
        for length in [0, 5, 100, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let outcomes = [load(Some(2)).0.cache, load(None).0.cache];
            let repaired = outcomes.iter().any(|o| matches!(o, CacheOutcome::Written { damage: Some(_) }));
            assert!(repaired, "{length} bytes: {outcomes:?}");
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    // The file is intact, except that the second unreadable entry is a copy of the first.
    for path in files() {
        let whole = fs::read(&path).unwrap();
        let head = 27 + 32 + 24;
        assert_eq!(whole[head..head + 8], 1_u64.to_le_bytes());
        let twice = [&whole[head..head + 16 + usize::from(whole[head + 8])]; 2].concat();
        let mut forged = [&whole[..head], &twice, &whole[head + twice.len() / 2..whole.len() - 32]].concat();
        forged[27 + 32] += 1;
        forged[27 + 32 + 8] += 1;
        let digest = Sha256::digest(&forged);
        forged.extend(digest);
        fs::write(&path, forged).unwrap();
        let loaded = [load(Some(2)).0, load(None).0];
        assert_eq!(loaded.map(|loaded| loaded.images.len()), [2, 3]);
    }

    // One file is changed, one is new, one is missing.
    fs::write(root.path().join("images/0.png"), png_of(&[9; 16], 1, 4, 4)).unwrap();
    let (changed, decoded) = load(Some(2));
    assert_eq!((values(&changed.images)[0], decoded), (9, 3));
    fs::write(root.path().join("images/4.png"), flat(4)).unwrap();
    let (grown, decoded) = load(None);
    assert_eq!((grown.images.len(), values(&grown.images)[2..].to_vec(), decoded), (4, vec![3, 4], 2));
    assert_eq!(load(Some(2)).1, 0);
    fs::remove_file(root.path().join("images/4.png")).unwrap();
    fs::remove_file(root.path().join("images/3.png")).unwrap();
    assert_eq!(load(None).0.images.len(), 2);
    assert_eq!(files().len(), 1);
}

/// There are more files than one cache file holds, and some are unreadable. For every sequence of requested
/// numbers of images, the result equals that of decoding, and no file is decoded twice.
#[test]
fn one_cache_serves_every_number_of_images() {
    let root = root_with([]);
    let set = root.path().join("images");
    fs::create_dir(&set).unwrap();
    let total = 1300;
    let bad = |i: usize| i % 7 == 3 || (505..515).contains(&i);
    for i in 0..total {
        let file = if bad(i) { b"broken".to_vec() } else { png_of(&[(i % 251) as u8], 1, 1, 1) };
        fs::write(set.join(format!("{i:04}.png")), file).unwrap();
    }
    let folder = open(&root, FolderSource::Images, Split::Test).unwrap();
    let crop = ResizeCrop::for_side(1).unwrap();
    let cache = root.path().join("cache");
    let readable = (0..total).filter(|&i| !bad(i)).count();
    let mut examined = 0;
    for images in [Some(1), Some(600), Some(40), Some(readable - 1), None, Some(readable), Some(1)] {
        let decoded = AtomicUsize::new(0);
        let count = || {
            decoded.fetch_add(1, Ordering::Relaxed);
        };
        let cached = folder.load(crop, images, Some(&cache), &count).unwrap();
        let plain = folder.load(crop, images, None, &|| {}).unwrap();
        assert_eq!((&cached.images, &cached.unreadable), (&plain.images, &plain.unreadable), "{images:?}");
        let wanted = images.unwrap_or(readable);
        assert_eq!(cached.images.len(), wanted);
        let expected: Vec<u8> =
            (0..total).filter(|&i| !bad(i)).take(wanted).map(|i| (i % 251) as u8).collect();
        assert_eq!(values(&cached.images), expected);
        // The number of files up to the last one that is needed, or of all files.
        let last = match images {
            Some(images) => (0..total).filter(|&i| !bad(i)).nth(images - 1).unwrap() + 1,
            None => total,
        };
        assert_eq!(decoded.into_inner(), last.saturating_sub(examined), "{images:?}");
        examined = examined.max(last);
    }
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 3);
}

/// A cache of version 1 had one file for each number of images.
#[test]
fn caches_of_older_versions_are_left_alone() {
    let root = root_with([("images/0.png", flat(1))]);
    let cache = root.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let older = cache.join("0123456789abcdef.images");
    fs::write(&older, "zerospace decoded images 1\n").unwrap();
    let folder = open(&root, FolderSource::Images, Split::Test).unwrap();
    let load = || folder.load(ResizeCrop::for_side(8).unwrap(), None, Some(&cache), &|| {}).unwrap().cache;
    assert!(matches!(load(), CacheOutcome::Written { damage: None }));
    assert!(matches!(load(), CacheOutcome::Read));
    assert_eq!(fs::read(&older).unwrap(), b"zerospace decoded images 1\n");
}

#[test]
fn validation_images_in_turns_cover_all_classes() {
    let root = root_with([
        ("imagenet/val/b/1.png", flat(1)),
        ("imagenet/val/b/2.png", flat(2)),
        ("imagenet/val/b/3.png", flat(3)),
        ("imagenet/val/a/4.png", flat(4)),
        ("imagenet/val/c/5.png", flat(5)),
        ("imagenet/val/c/sub/6.png", flat(6)),
    ]);
    let cache = root.path().join("cache");
    let folder = open(&root, FolderSource::ImageNet, Split::Test).unwrap();
    let crop = ResizeCrop::for_side(8).unwrap();
    let load = |folder: &ImageFolder| folder.load(crop, None, Some(&cache), &|| {}).unwrap();
    let turns = folder.clone().in_turns();
    // The two orders have separate caches.
    for _ in 0..2 {
        let (plain, turned) = (load(&folder), load(&turns));
        assert_eq!(values(&plain.images), [4, 1, 2, 3, 5, 6]);
        assert_eq!((plain.images.labels(), plain.images.is_in_turns()), (&[0, 1, 1, 1, 2, 2][..], false));
        assert_eq!(values(&turned.images), [4, 1, 5, 2, 6, 3]);
        assert_eq!((turned.images.labels(), turned.images.is_in_turns()), (&[0, 1, 2, 1, 2, 1][..], true));
        assert!(turned.images.take(2).unwrap().is_in_turns());
    }
    assert!(matches!((load(&folder).cache, load(&turns).cache), (CacheOutcome::Read, CacheOutcome::Read)));
    // Without classes the order does not change.
    let root =
        root_with([("images/a/1.png", flat(1)), ("images/a/2.png", flat(2)), ("images/b/3.png", flat(3))]);
    let images = open(&root, FolderSource::Images, Split::Test).unwrap().in_turns();
    let images = load(&images).images;
    assert_eq!((values(&images), images.is_in_turns()), (vec![1, 2, 3], false));
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let root = root_with([("images/0.png", flat(1)), ("in-the-way", Vec::new())]);
    let folder = open(&root, FolderSource::Images, Split::Test).unwrap();
    let cache = root.path().join("in-the-way");
    let loaded = folder.load(ResizeCrop::for_side(8).unwrap(), None, Some(&cache), &|| {}).unwrap();
    assert_eq!(values(&loaded.images), [1]);
    let CacheOutcome::Failed { path, .. } = loaded.cache else { panic!("{:?}", loaded.cache) };
    assert!(path.starts_with(cache));
}

#[test]
fn the_kind_of_a_set_follows_from_its_folders() {
    let kind = |files: &[&str]| {
        let root = root_with(files.iter().map(|file| (*file, flat(9))));
        FolderSource::found_in(root.path())
            .map_err(|error| error.to_string().replace(&root.path().display().to_string(), "SET"))
    };
    assert_eq!(kind(&["val/a/1.png", "val/2.png"]), Ok(FolderSource::ImageNet));
    assert_eq!(kind(&["val/a.JPEG", "train/a.png", "val/.cache/b.png"]), Ok(FolderSource::Images));
    assert_eq!(kind(&["a.png", "note.txt", ".cache/b.png"]), Ok(FolderSource::Images));
    assert_eq!(
        kind(&["train/a/1.png"]),
        Err("SET/val: no such folder, expected one that holds a folder of JPEG or PNG files for each class"
            .into())
    );
    assert_eq!(kind(&["note.txt"]), Err("SET: holds no images, expected at least one".into()));
    assert_eq!(kind(&["val/note.txt"]), Err("SET/val: holds no images, expected at least one".into()));

    // A set in any directory equals the set in the directory of its name.
    let root = root_with([("imagenet/val/a/1.png", flat(1)), ("imagenet/val/b/1.png", flat(2))]);
    let named = open(&root, FolderSource::ImageNet, Split::Test).unwrap();
    let there =
        ImageFolder::open_in(&root.path().join("imagenet"), FolderSource::ImageNet, Split::Test).unwrap();
    assert_eq!((there.name(), there.dir()), ("imagenet", named.dir()));
    assert_eq!(load(&there, None).unwrap().images, load(&named, None).unwrap().images);
}
