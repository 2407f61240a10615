use data::{DataError, DataSource, FolderSource, ImageSet, ImageShape, Split};

const SHAPE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

fn small() -> ImageSet {
    ImageSet::new("small", Split::Test, SHAPE, 4, (0..18).collect(), vec![3, 0, 1]).unwrap()
}

#[test]
fn accessors_give_back_what_went_in() {
    let set = small();
    assert_eq!(set.name(), "small");
    assert_eq!(set.split(), Split::Test);
    assert_eq!((set.len(), set.is_empty()), (3, false));
    assert_eq!(set.shape(), SHAPE);
    assert_eq!(set.shape().to_string(), "1x2x3");
    assert_eq!((set.classes(), set.class_names()), (4, None));
    assert_eq!(set.labels(), [3, 0, 1]);
    assert_eq!(set.pixels(), (0..18).collect::<Vec<u8>>());
    assert_eq!(set.image(1), [6, 7, 8, 9, 10, 11]);
}

#[test]
fn take_keeps_stored_order_and_refuses_more_than_there_is() {
    let two = small().take(2).unwrap();
    assert_eq!(two.labels(), [3, 0]);
    assert_eq!(two.pixels(), (0..12).collect::<Vec<u8>>());
    assert_eq!(small().take(3).unwrap(), small());
    assert!(small().take(0).unwrap().is_empty());
    let error = small().take(4).unwrap_err();
    assert!(matches!(error, DataError::NotEnough { asked: 4, available: 3, .. }));
    assert_eq!(error.to_string(), "small test: asked for the first 4 images, but there are 3");
}

#[test]
fn errors_of_new_name_the_defect() {
    let new = |shape, classes, pixels: usize, labels: Vec<u16>| {
        ImageSet::new("x", Split::Train, shape, classes, vec![0; pixels], labels).unwrap_err().to_string()
    };
    assert_eq!(new(SHAPE, 4, 12, vec![0, 4]), "x: label of image 1 is 4, expected 0 to 3");
    assert_eq!(new(SHAPE, 4, 11, vec![0, 1]), "x: 11 pixel bytes, expected 12 for 2 labels and shape 1x2x3");
    assert_eq!(new(SHAPE, 0, 0, vec![]), "x: 0 classes, expected 1 to 65536");
    assert_eq!(new(SHAPE, 65537, 0, vec![]), "x: 65537 classes, expected 1 to 65536");
    for shape in [
        ImageShape { channels: 2, ..SHAPE },
        ImageShape { height: 0, ..SHAPE },
        ImageShape { width: 4097, ..SHAPE },
        ImageShape { height: usize::MAX, width: usize::MAX, ..SHAPE },
    ] {
        assert!(new(shape, 4, 0, vec![]).starts_with(&format!("x: shape {shape} ")));
    }
}

/// import hashlib, struct
/// m = b"zerospace image set 1\n" + struct.pack("<4IQ3H", 1, 2, 3, 4, 3, 3, 0, 1) + bytes(range(18))
/// print(hashlib.sha256(m).hexdigest())
#[test]
fn digest_is_the_documented_one() {
    assert_eq!(small().digest(), "b3f59da509fb3e444c7b5e61907a6934c19a6114c8756f9a349b84c9b35506d1");
}

#[test]
fn digest_covers_every_part_but_the_names() {
    let make = |name, split, shape, classes, pixels, labels| {
        ImageSet::new(name, split, shape, classes, pixels, labels).unwrap().digest()
    };
    let pixels: Vec<u8> = (0..18).collect();
    let same = make("other", Split::Train, SHAPE, 4, pixels.clone(), vec![3, 0, 1]);
    assert_eq!(same, small().digest());

    let turned = ImageShape { height: 3, width: 2, ..SHAPE };
    let mut other_pixels = pixels.clone();
    other_pixels[17] = 0;
    let all = [
        same,
        make("small", Split::Test, turned, 4, pixels.clone(), vec![3, 0, 1]),
        make("small", Split::Test, SHAPE, 5, pixels.clone(), vec![3, 0, 1]),
        make("small", Split::Test, SHAPE, 4, pixels, vec![3, 0, 2]),
        make("small", Split::Test, SHAPE, 4, other_pixels, vec![3, 0, 1]),
        small().take(2).unwrap().digest(),
    ];
    for (i, a) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|b| a != b), "digest {i} is not new");
    }
}

#[test]
fn names_parse_and_print() {
    for split in [Split::Train, Split::Test] {
        assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        let json = serde_json::to_string(&split).unwrap();
        assert_eq!(json, format!("\"{split}\""));
        assert_eq!(serde_json::from_str::<Split>(&json).unwrap(), split);
    }
    assert_eq!(
        "Test".parse::<Split>().unwrap_err().to_string(),
        "split is \"Test\", expected one of train, test"
    );
    for source in [DataSource::Cifar10, DataSource::Cifar100, DataSource::Mnist, DataSource::Synthetic] {
        assert_eq!(source.to_string().parse::<DataSource>().unwrap(), source);
        let names = source.class_names();
        assert!(names.iter().enumerate().all(|(i, n)| !names[..i].contains(n)));
    }
    // CIFAR-100 numbers its classes in alphabetical order.
    assert!(DataSource::Cifar100.class_names().is_sorted());
    assert_eq!(
        "emnist".parse::<DataSource>().unwrap_err().to_string(),
        "data set is \"emnist\", expected one of cifar10, cifar100, mnist, fashion_mnist, kmnist, synthetic, imagenet, images"
    );
    for source in [FolderSource::ImageNet, FolderSource::Images] {
        assert_eq!(FolderSource::named(source.name()), Some(source));
    }
    assert_eq!(FolderSource::named("cifar10"), None);
}
