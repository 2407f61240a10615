//! ImageNet's validation labels, and folders that are read with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use data::{DataError, FolderSource, ImageFolder, ResizeCrop, Split, ValidationLabels};
use tempfile::TempDir;

use crate::fixtures::png_of;

/// Returns the id of class `label`. Ids sort in the order of labels.
fn id(label: usize) -> String {
    format!("n{:08}", 1_000_000 + label * 37)
}

/// Returns the class of image `number`, counted from 1. Classes are shuffled.
fn class_of(number: usize) -> usize {
    let index = number - 1;
    (index * 7919 + index / 1000) % 1000
}

/// Returns the 50,000 lines of the file, 50 for each class.
fn label_lines() -> Vec<String> {
    (1..=50_000).map(|number| id(class_of(number))).collect()
}

fn read(text: impl AsRef<[u8]>) -> Result<ValidationLabels, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(ValidationLabels::FILE_NAME);
    fs::write(&path, text).unwrap();
    ValidationLabels::read(&path).map_err(|e| e.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

/// Makes an `imagenet` directory with these image files, whose grey values count from 1, and the labels.
fn imagenet(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (value, file) in (1..=u8::MAX).cycle().zip(files) {
        let path = root.path().join("imagenet").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, png_of(&[value; 81], 1, 9, 9)).unwrap();
    }
    fs::write(root.path().join("imagenet/validation_labels.txt"), label_lines().join("\n") + "\n").unwrap();
    root
}

fn open(root: &Path, split: Split) -> Result<ImageFolder, String> {
    ImageFolder::open(root, FolderSource::ImageNet, split)
        .map_err(|e| e.to_string().replace(&root.display().to_string(), "ROOT"))
}

/// Returns the grey value and the label of each image, and the number of classes.
fn images(folder: &ImageFolder) -> (Vec<(u8, u16)>, usize) {
    let set = folder.load(ResizeCrop::for_side(8).unwrap(), None, None, &|| {}).unwrap().images;
    let values = (0..set.len()).map(|i| set.image(i)[0]);
    (values.zip(set.labels().iter().copied()).collect(), set.classes())
}

#[test]
fn labels_are_positions_among_the_sorted_ids() {
    let mut counts = BTreeMap::new();
    (1..=50_000).for_each(|number| *counts.entry(class_of(number)).or_insert(0) += 1);
    assert!(counts.len() == 1000 && counts.values().all(|count| *count == 50));

    let labels = read(label_lines().join("\n")).unwrap();
    assert_eq!(labels.ids(), (0..1000).map(id).collect::<Vec<_>>());
    for number in [1, 2, 999, 1000, 12_345, 50_000] {
        let label = Some(class_of(number) as u16);
        assert_eq!(labels.label_of_file(&format!("ILSVRC2012_val_{number:08}.JPEG")), label, "{number}");
        assert_eq!(labels.label_of_id(&id(class_of(number))), label);
    }
    for name in [
        "ILSVRC2012_val_00000000.JPEG",
        "ILSVRC2012_val_00050001.JPEG",
        "ILSVRC2012_val_1.JPEG",
        "ILSVRC2012_val_+0000001.JPEG",
        "ILSVRC2012_val_00000001",
        "ILSVRC2012_test_00000001.JPEG",
        "",
    ] {
        assert_eq!(labels.label_of_file(name), None, "{name}");
    }
    assert_eq!(labels.label_of_id("n99999999"), None);
    // A file with Windows line ends.
    assert_eq!(read(label_lines().join("\r\n")), Ok(labels));
}

#[test]
fn errors_name_the_defect_of_a_label_file() {
    let mut lines = label_lines();
    lines[6] = "1".into();
    assert_eq!(
        read(lines.join("\n")).unwrap_err(),
        "DIR/validation_labels.txt: line 7 begins \"1\", expected a WordNet id, such as n01440764"
    );
    lines = label_lines();
    lines.pop();
    assert_eq!(
        read(lines.join("\n")).unwrap_err(),
        "DIR/validation_labels.txt: 49999 lines, expected 50000, one for each validation image"
    );
    lines = label_lines();
    assert_eq!(lines[0], id(0));
    lines[0] = id(999);
    let error = read(lines.join("\n")).unwrap_err();
    assert_eq!(
        error,
        format!("DIR/validation_labels.txt: 49 images of class {}, expected 50 of each class", id(0))
    );
    assert!(read("").unwrap_err().contains("0 lines"));
    assert!(read([0xff; 9]).unwrap_err().contains("line 1 begins"));
    assert!(read(vec![b'n'; (1 << 20) + 1]).unwrap_err().contains("1048577 bytes, expected 500000"));
    let missing = ValidationLabels::read(Path::new("nowhere.txt")).unwrap_err();
    assert!(matches!(missing, DataError::Io { .. }));
}

#[test]
fn a_flat_val_is_read_with_the_labels_beside_it() {
    // The files are not written in the order of their names, and other files lie beside them.
    let root = imagenet(&[
        "val/ILSVRC2012_val_00000300.JPEG",
        "val/ILSVRC2012_val_00000007.png",
        "val/ILSVRC2012_val_00000045.JPEG",
    ]);
    fs::write(root.path().join("imagenet/val/notes.txt"), "").unwrap();
    let folder = open(root.path(), Split::Test).unwrap();
    assert_eq!((folder.len(), folder.classes().len()), (3, 1000));
    let expected = [(2, 7), (3, 45), (1, 300)].map(|(value, number)| (value, class_of(number) as u16));
    assert_eq!(images(&folder), (expected.to_vec(), 1000));
    let set = root.path().join("imagenet");
    assert_eq!(FolderSource::found_in(&set).unwrap(), FolderSource::ImageNet);

    fs::copy(set.join("val/ILSVRC2012_val_00000007.png"), set.join("val/cat.png")).unwrap();
    assert_eq!(
        open(root.path(), Split::Test).unwrap_err(),
        "ROOT/imagenet/val/cat.png: no validation image of ImageNet by its name, expected ILSVRC2012_val_00000001.JPEG to \
         ILSVRC2012_val_00050000.JPEG"
    );
    fs::write(set.join("validation_labels.txt"), "n01440764\n").unwrap();
    assert!(open(root.path(), Split::Test).unwrap_err().contains("1 lines, expected 50000"));
    fs::remove_file(set.join("validation_labels.txt")).unwrap();
    assert_eq!(
        open(root.path(), Split::Test).unwrap_err(),
        "ROOT/imagenet/val: holds image files and no folders, and validation_labels.txt is not beside it, expected a folder \
         for each class or this file"
    );
    assert_eq!(FolderSource::found_in(&set).unwrap(), FolderSource::Images, "without labels");
}

#[test]
fn a_few_class_folders_keep_their_labels_among_all_classes() {
    let files = |part: &str| {
        [(3, "a"), (3, "b"), (700, "c")].map(|(class, name)| format!("{part}/{}/{name}.png", id(class)))
    };
    let names = [files("val"), files("train")].concat();
    let root = imagenet(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let folder = open(root.path(), Split::Test).unwrap();
    assert_eq!(folder.classes().len(), 1000);
    assert_eq!(images(&folder), (vec![(1, 3), (2, 3), (3, 700)], 1000));
    let folder = open(root.path(), Split::Train).unwrap();
    assert_eq!(images(&folder), (vec![(4, 3), (6, 700), (5, 3)], 1000));

    // Without the file, labels are positions.
    let path = root.path().join("imagenet/validation_labels.txt");
    let text = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(images(&open(root.path(), Split::Test).unwrap()), (vec![(1, 0), (2, 0), (3, 1)], 2));
    fs::write(&path, text).unwrap();

    let stray = root.path().join("imagenet/val/dogs");
    fs::create_dir(&stray).unwrap();
    fs::copy(root.path().join("imagenet").join(&names[0]), stray.join("d.png")).unwrap();
    assert_eq!(
        open(root.path(), Split::Test).unwrap_err(),
        "ROOT/imagenet/val/dogs: no class of validation_labels.txt, expected a folder named by a WordNet id of it, such as \
         n01440764"
    );
}

#[test]
fn all_class_folders_do_not_need_the_labels() {
    let names: Vec<String> = (0..1000).map(|class| format!("val/{}/x.png", id(class))).collect();
    let root = imagenet(&names.iter().map(String::as_str).collect::<Vec<_>>()[..]);
    let with = images(&open(root.path(), Split::Test).unwrap());
    assert_eq!(with.0.iter().map(|(_, label)| *label).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    fs::write(root.path().join("imagenet/validation_labels.txt"), "damaged").unwrap();
    assert_eq!(images(&open(root.path(), Split::Test).unwrap()), with);
}
