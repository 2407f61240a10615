use std::fs;
use std::path::Path;

use data::{
    DataError, DataSource, ImageSet, ImageShape, Split, cifar10_binary, cifar100_binary,
    hugging_face_parquet, idx, synthetic,
};

use crate::fixtures::{HUGGING_FACE, pixels, plain, png_of, png_rows, write_parquet};

fn names(files: &[std::path::PathBuf]) -> Vec<&str> {
    files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn a_written_set_is_read_back_with_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let test = synthetic(Split::Test, 23, 1).unwrap();
    assert_eq!(names(&test.write(&dir.join("a/b")).unwrap()), ["test_batch.bin"]);
    assert_eq!(cifar10_binary(&dir.join("a/b"), Split::Test).unwrap().digest(), test.digest());
    // Numbers of images around multiples of the number of batches.
    for images in [5, 6, 9, 23] {
        let train = synthetic(Split::Train, images, 7).unwrap();
        let place = dir.join(images.to_string());
        assert_eq!(train.write(&place).unwrap().len(), 5);
        let back = cifar10_binary(&place, Split::Train).unwrap();
        assert_eq!((back.digest(), back.pixels()), (train.digest(), train.pixels()));
    }

    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let fine = |classes: Vec<u16>| {
        let pixels = (0..classes.len()).flat_map(|i| pixels(i, 3072)).collect();
        ImageSet::new("fine", Split::Train, shape, 100, pixels, classes).unwrap()
    };
    let all = fine((0..100).collect());
    assert_eq!(names(&all.write(&dir.join("fine")).unwrap()), ["train.bin"]);
    assert_eq!(cifar100_binary(&dir.join("fine"), Split::Train).unwrap().digest(), all.digest());

    let shape = ImageShape { channels: 1, height: 5, width: 7 };
    let grey = ImageSet::new("grey", Split::Test, shape, 256, pixels(1, 3 * 35), vec![0, 255, 7]).unwrap();
    let files = grey.write(&dir.join("grey")).unwrap();
    assert_eq!(names(&files), ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]);
    assert_eq!(idx(&files[0], &files[1], "grey", Split::Test, 256).unwrap().digest(), grey.digest());
    let one = grey.take(1).unwrap();
    let files = one.write(&dir.join("one")).unwrap();
    assert_eq!(idx(&files[0], &files[1], "grey", Split::Test, 256).unwrap().digest(), one.digest());
}

/// The superclasses of the published page, each with five classes.
const SUPERCLASSES: [(&str, [&str; 5]); 20] = [
    ("aquatic_mammals", ["beaver", "dolphin", "otter", "seal", "whale"]),
    ("fish", ["aquarium_fish", "flatfish", "ray", "shark", "trout"]),
    ("flowers", ["orchid", "poppy", "rose", "sunflower", "tulip"]),
    ("food_containers", ["bottle", "bowl", "can", "cup", "plate"]),
    ("fruit_and_vegetables", ["apple", "mushroom", "orange", "pear", "sweet_pepper"]),
    ("household_electrical_devices", ["clock", "keyboard", "lamp", "telephone", "television"]),
    ("household_furniture", ["bed", "chair", "couch", "table", "wardrobe"]),
    ("insects", ["bee", "beetle", "butterfly", "caterpillar", "cockroach"]),
    ("large_carnivores", ["bear", "leopard", "lion", "tiger", "wolf"]),
    ("large_man-made_outdoor_things", ["bridge", "castle", "house", "road", "skyscraper"]),
    ("large_natural_outdoor_scenes", ["cloud", "forest", "mountain", "plain", "sea"]),
    ("large_omnivores_and_herbivores", ["camel", "cattle", "chimpanzee", "elephant", "kangaroo"]),
    ("medium_mammals", ["fox", "porcupine", "possum", "raccoon", "skunk"]),
    ("non-insect_invertebrates", ["crab", "lobster", "snail", "spider", "worm"]),
    ("people", ["baby", "boy", "girl", "man", "woman"]),
    ("reptiles", ["crocodile", "dinosaur", "lizard", "snake", "turtle"]),
    ("small_mammals", ["hamster", "mouse", "rabbit", "shrew", "squirrel"]),
    ("trees", ["maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"]),
    ("vehicles_1", ["bicycle", "bus", "motorcycle", "pickup_truck", "train"]),
    ("vehicles_2", ["lawn_mower", "rocket", "streetcar", "tank", "tractor"]),
];

#[test]
fn coarse_labels_are_the_published_superclasses() {
    assert!(SUPERCLASSES.is_sorted());
    let names = DataSource::Cifar100.class_names();
    let shape = ImageShape { channels: 3, height: 32, width: 32 };
    let set =
        ImageSet::new("fine", Split::Test, shape, 100, vec![0; 100 * 3072], (0..100).collect()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let files = set.write(dir.path()).unwrap();
    for (fine, record) in fs::read(&files[0]).unwrap().chunks(3074).enumerate() {
        assert_eq!(usize::from(record[1]), fine);
        let (superclass, classes) = SUPERCLASSES[usize::from(record[0])];
        assert!(classes.contains(&names[fine]), "{} is in {superclass}", names[fine]);
    }
}

#[test]
fn errors_name_the_reason_against_writing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    let refused = |set: &ImageSet| set.write(dir.path()).unwrap_err().to_string();
    let parquet = |classes| hugging_face_parquet(&path, "x", Split::Train, classes).unwrap();
    write_parquet(&path, HUGGING_FACE, plain(), &[&png_rows(0, 4, 4)]);
    assert_eq!(
        refused(&parquet(4)),
        "x train: images of 3x32x32 in 4 classes, expected 3x32x32 in 10 or 100 classes (CIFAR's binary version), or one \
         channel in at most 256 (IDX)"
    );
    assert_eq!(
        refused(&parquet(10)),
        "x train: 4 images, expected one for each batch at the least: 5 training images of CIFAR-10"
    );
    write_parquet(&path, HUGGING_FACE, plain(), &[&[(Some(png_of(&[0; 192], 3, 8, 8)), Some(0))]]);
    assert!(refused(&parquet(10)).starts_with("x train: images of 3x8x8 in 10 classes, expected 3x32x32"));

    let set = synthetic(Split::Test, 3, 1).unwrap();
    let file = dir.path().join("test_batch.bin");
    fs::write(&file, "mine").unwrap();
    assert_eq!(refused(&set), format!("{}: exists already, expected a directory without it", file.display()));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let error = set.write(&file).unwrap_err();
    assert!(matches!(&error, DataError::Write { path, .. } if path == &file), "{error}");
    let here = |name: &str| Path::new(dir.path()).join(name).exists();
    assert!(!here("data_batch_1.bin") && !here("test.bin"));
}
