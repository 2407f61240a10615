//! Tables of image files.

use std::fs;
use std::path::Path;

use data::{DataError, ImageFolder, ImageSet, ResizeCrop, Split};

use crate::fixtures::{pixels, png_of};

const SIDE: usize = 8;

/// Writes images `0.png` to `5.png` of 8 x 8 pixels in colour, and `grey.png`.
fn write_images(dir: &Path) {
    for index in 0..6 {
        let name = format!("{index}.png");
        fs::write(dir.join(name), png_of(&pixels(index, 3 * SIDE * SIDE), 3, SIDE, SIDE)).unwrap();
    }
    fs::write(dir.join("grey.png"), png_of(&pixels(9, SIDE * SIDE), 1, SIDE, SIDE)).unwrap();
}

/// Files in a folder that is removed with the value.
struct Listed {
    _files: tempfile::TempDir,
    folder: ImageFolder,
}

fn listed(table: &str, split: Split) -> Result<Listed, DataError> {
    let files = tempfile::tempdir().unwrap();
    write_images(files.path());
    let path = files.path().join("set.csv");
    fs::write(&path, table).unwrap();
    ImageFolder::listed(&path, split).map(|folder| Listed { _files: files, folder })
}

fn load(folder: &ImageFolder, crop: ResizeCrop) -> ImageSet {
    folder.load(crop, None, None, &|| ()).unwrap().images
}

fn colour() -> ResizeCrop {
    ResizeCrop::for_side(SIDE - 1).unwrap()
}

#[test]
fn rows_give_paths_and_labels() {
    let table =
        "id,Image,label,split\n7,0.png,2,test\n8,1.png,0,train\n9,\"2.png\",1,test\n1,3.png,5,train\n";
    let Listed { folder: test, _files } = listed(table, Split::Test).unwrap();
    assert_eq!(test.reading(), Some("columns Image and label, rows whose split is test, 6 classes"));
    let set = load(&test, colour());
    assert_eq!((set.name(), set.labels(), set.classes()), ("set.csv", &[2, 1][..], 6));
    assert_eq!(set.shape().to_string(), "3x7x7");
    assert_eq!(load(&listed(table, Split::Train).unwrap().folder, colour()).labels(), [0, 5]);
}

#[test]
fn names_of_classes_are_numbered_in_their_order() {
    let table = "path,class\n0.png,dog\n1.png,cat\n2.png,dog\n3.png,ant\n4.png,cat\n";
    let Listed { folder, _files } = listed(table, Split::Test).unwrap();
    assert_eq!(folder.classes(), ["ant", "cat", "dog"]);
    assert_eq!(
        folder.reading(),
        Some("columns path and class, 3 classes numbered in the order of their names")
    );
    assert_eq!(load(&folder, colour()).labels(), [2, 1, 2, 0, 1]);
    assert_eq!(load(&folder.in_turns(), colour()).labels(), [0, 1, 2, 1, 2]);
}

#[test]
fn training_images_come_in_turns_and_validation_takes_the_place_of_tests() {
    let table =
        "path,label,split\n0.png,0,train\n1.png,0,train\n2.png,1,train\n3.png,0,train\n4.png,1,validation\n";
    assert_eq!(load(&listed(table, Split::Train).unwrap().folder, colour()).labels(), [0, 1, 0, 0]);
    let Listed { folder: test, _files } = listed(table, Split::Test).unwrap();
    assert_eq!(test.reading(), Some("columns path and label, rows whose split is validation, 2 classes"));
    assert_eq!(load(&test, colour()).labels(), [1]);
}

#[test]
fn colour_becomes_grey_as_in_pillow() {
    let table = "path,label\n0.png,0\ngrey.png,1\n";
    let Listed { folder, _files } = listed(table, Split::Test).unwrap();
    let set = load(&folder, colour().grey());
    assert_eq!(set.shape().to_string(), "1x7x7");
    let [colour, grey] = [set.image(0), set.image(1)];
    // Pillow 13: Image.fromarray(rgb).convert("L").resize((8, 8), BILINEAR), cropped to 7 x 7 from (0, 0).
    let luma: Vec<u8> = {
        let rgb = pixels(0, 3 * SIDE * SIDE);
        let value = |i: usize| {
            19595 * u32::from(rgb[i]) + 38470 * u32::from(rgb[64 + i]) + 7471 * u32::from(rgb[128 + i])
        };
        (0..SIDE * SIDE).map(|i| ((value(i) + 32768) >> 16) as u8).collect()
    };
    let cropped = |image: &[u8]| -> Vec<u8> {
        (0..7).flat_map(|row| image[row * SIDE..row * SIDE + 7].to_vec()).collect()
    };
    assert_eq!(colour, cropped(&luma));
    assert_eq!(grey, cropped(&pixels(9, SIDE * SIDE)));
}

#[test]
fn unusable_tables_are_refused() {
    let message = |table: &str, split| {
        let error = listed(table, split).err().expect("a refusal").to_string();
        error.split_once("set.csv: ").unwrap().1.to_string()
    };
    assert!(
        message("0.png,1\n1.png,0\n", Split::Test)
            .starts_with("the first row is 0.png,1, expected names of columns")
    );
    assert_eq!(message("path,label\n0.png,\n", Split::Test), "row 2: label is empty");
    assert!(message("path,label\n0.png,1\n1.png\n", Split::Test).starts_with("row 3: "));
    assert_eq!(
        message("path,label\n0.png,1\n", Split::Train),
        "no train images: there is no column split, so all images are test images, expected rows whose split is train"
    );
    assert_eq!(
        message("path,label,split\n0.png,1,dev\n", Split::Test),
        "no test images: split is dev, expected rows whose split is test, or val, or valid, or validation"
    );
    assert!(message("", Split::Test).starts_with("the first row is , expected"));
    assert!(message("path,label\n", Split::Test).starts_with("no test images"));
}
