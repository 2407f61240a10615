use std::collections::HashSet;

use data::{DataError, DataSource, ImageSet, SYNTHETIC_IMAGES, SYNTHETIC_SEED, Split, synthetic};

fn first(split: Split, count: usize) -> ImageSet {
    synthetic(split, count, SYNTHETIC_SEED).unwrap()
}

/// The digests are those of the first version. A change to any image would invalidate earlier results on this
/// set: add another set instead.
#[test]
fn the_images_are_fixed_for_ever() {
    let train = first(Split::Train, 200);
    let test = first(Split::Test, 200);
    assert_eq!(train.labels()[..10], [4, 7, 9, 5, 1, 0, 2, 6, 3, 8]);
    assert_eq!(test.labels()[..10], [2, 1, 0, 8, 9, 4, 6, 5, 3, 7]);
    assert_eq!(test.image(0)[..8], [111, 96, 117, 87, 90, 98, 94, 107]);
    assert_eq!(train.digest(), "3caffe4e1bd20478ee4f1229245f6ea77de3a2e4bbf2fcdeb46daf7c2b42365e");
    assert_eq!(test.digest(), "3c062baf53b8c91e96a5d00b6694c3fe6ffd27b0a3c28f8a295275bbb2e01f73");
    let other_seed = synthetic(Split::Test, 10, u64::MAX).unwrap();
    assert_eq!(other_seed.digest(), "0e4f21cae886a95559877e3fd527c34aeaca47abc562990e886f90686e6a41f1");
}

#[test]
fn a_smaller_set_is_the_beginning_of_a_larger_one() {
    let all = first(Split::Train, 43);
    for count in [0, 1, 10, 42, 43] {
        assert_eq!(first(Split::Train, count), all.take(count).unwrap(), "{count} images");
    }
}

#[test]
fn a_set_states_its_origin() {
    let set = first(Split::Test, 3);
    assert_eq!((set.name(), set.split(), set.len()), ("synthetic", Split::Test, 3));
    assert_eq!(set.shape(), DataSource::Synthetic.shape());
    assert_eq!(set.classes(), 10);
    assert_eq!(set.class_names(), Some(DataSource::Synthetic.class_names()));
    assert!(set.is_synthetic() && set.take(1).unwrap().is_synthetic());
    let copy =
        ImageSet::new("synthetic", set.split(), set.shape(), 10, set.pixels().into(), set.labels().into());
    assert!(!copy.unwrap().is_synthetic(), "a name alone does not mark a set as synthetic");
    let sources = [DataSource::Cifar10, DataSource::Cifar100, DataSource::Mnist, DataSource::Synthetic];
    assert_eq!(sources.map(DataSource::is_synthetic), [false, false, false, true]);
}

#[test]
fn opening_the_set_reads_no_file() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("synthetic")).unwrap();
    std::fs::write(root.path().join("synthetic/test-00000-of-00001.parquet"), "not parquet").unwrap();
    let set = ImageSet::open(root.path(), DataSource::Synthetic, Split::Test).unwrap();
    assert_eq!((set.len(), set.is_synthetic()), (5_000, true));
    assert_eq!(set.digest(), "728c54297aa0673a3f85117cfd3853185c03d9db1ed3e0a16d289bbadd678d3f");
    assert_eq!(set.take(20).unwrap(), first(Split::Test, 20));
}

#[test]
fn more_images_than_a_split_has_are_refused() {
    let error = synthetic(Split::Train, SYNTHETIC_IMAGES + 1, 7).unwrap_err();
    assert!(matches!(error, DataError::NotEnough { .. }));
    assert_eq!(
        error.to_string(),
        "synthetic train: asked for the first 1048577 images, but there are 1048576"
    );
}

#[test]
fn ten_neighbours_have_every_class_once_in_random_order() {
    let set = first(Split::Test, 500);
    let mut orders = HashSet::new();
    for ten in set.labels().chunks(10) {
        let mut sorted = ten.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<u16>>());
        orders.insert(ten);
    }
    assert_eq!(orders.len(), 50);
}

#[test]
fn no_image_appears_twice_in_splits_or_seeds() {
    let sets = [
        first(Split::Train, 1_000),
        first(Split::Test, 1_000),
        synthetic(Split::Train, 1_000, SYNTHETIC_SEED + 1).unwrap(),
        synthetic(Split::Train, 1_000, SYNTHETIC_SEED << 32).unwrap(),
    ];
    let images: HashSet<&[u8]> = sets.iter().flat_map(|set| (0..set.len()).map(|i| set.image(i))).collect();
    assert_eq!(images.len(), 4_000);
}

/// Brightness, colour and contrast must not reveal the class.
#[test]
fn classes_agree_in_colour() {
    let set = first(Split::Train, 2_000);
    let statistics = |label: Option<u16>, channel: usize| {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for i in (0..set.len()).filter(|&i| label.is_none_or(|l| set.labels()[i] == l)) {
            for &value in &set.image(i)[channel * 1024..(channel + 1) * 1024] {
                sum += f64::from(value);
                squares += f64::from(value) * f64::from(value);
                count += 1.0;
            }
        }
        let mean: f64 = sum / count;
        (mean, (squares / count - mean * mean).sqrt())
    };
    for channel in 0..3 {
        let (mean, deviation) = statistics(None, channel);
        assert!((115.0..140.0).contains(&mean) && (30.0..60.0).contains(&deviation), "{mean} {deviation}");
        for label in 0..10 {
            let (of_class, deviation_of_class) = statistics(Some(label), channel);
            // Means of 200 images have a standard error of 2.4 levels.
            assert!(
                (of_class - mean).abs() < 9.0,
                "class {label}, channel {channel}: {of_class}, not {mean}"
            );
            assert!((deviation_of_class - deviation).abs() < 6.0, "class {label}: {deviation_of_class}");
        }
    }
}

/// Chance accuracy is 10 %. The nearest class mean is a linear classifier.
#[test]
fn pixels_alone_do_not_reveal_the_class() {
    let (train, test) = (first(Split::Train, 500), first(Split::Test, 100));
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let image = |set: &ImageSet, i| set.image(i).iter().map(|&v| f32::from(v)).collect::<Vec<f32>>();
    let train: Vec<(u16, Vec<f32>)> =
        (0..train.len()).map(|i| (train.labels()[i], image(&train, i))).collect();
    let mut means = vec![(0, vec![0.0; 3072]); 10];
    for (label, pixels) in &train {
        let (of, mean) = &mut means[usize::from(*label)];
        *of = *label;
        mean.iter_mut().zip(pixels).for_each(|(m, p)| *m += p / 50.0);
    }
    for (kind, known) in [("class mean", &means), ("neighbour", &train)] {
        let nearest = |i| {
            let pixels = image(&test, i);
            let by_distance = known.iter().map(|(label, known)| (distance(known, &pixels), *label));
            by_distance.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
        };
        let right = (0..test.len()).filter(|&i| nearest(i) == test.labels()[i]).count();
        assert!(right < 35, "the nearest {kind} is right for {right} of 100 images");
    }
}
