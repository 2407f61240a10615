//! Readers of files that people write (experiments, recipes and code maps), and of the log of a training.

use std::fs;

use campaign::{Experiment, read_code_map};

use crate::drive::{Place, Reader, on_reader_thread};
use harness::{PreprocessingFile, Recipe, TrainingLog};

const HELD: (usize, usize) = (1 << 20, 64);

#[test]
fn experiments() {
    on_reader_thread("experiment (TOML)", |name| {
        let place = Place::new("x.toml");
        let valid = ["resnet20-wot-cifar10", "table2-cifar10", "reproduce"].map(|name| {
            fs::read(format!("{}/../../experiments/{name}.toml", env!("CARGO_MANIFEST_DIR"))).unwrap()
        });
        let mut read = |bytes: &[u8]| match Experiment::load(place.filled(bytes)) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        Reader::new(name, valid.to_vec(), HELD, &mut read).text().names("x.toml").run();
    });
}

#[test]
fn recipes() {
    on_reader_thread("recipe (TOML)", |name| {
        let place = Place::new("x.toml");
        let valid = ["resnet20-cifar10", "resnet18-synthetic"].map(|name| {
            fs::read(format!("{}/../../experiments/recipes/{name}.toml", env!("CARGO_MANIFEST_DIR"))).unwrap()
        });
        let mut read = |bytes: &[u8]| match Recipe::load(place.filled(bytes)) {
            Ok(_) => Ok(()),
            // The message as the program prints it.
            Err(error) => Err(format!("{error:#}")),
        };
        Reader::new(name, valid.to_vec(), HELD, &mut read).text().names("x.toml").run();
    });
}

#[test]
fn code_maps() {
    on_reader_thread("code map (TOML)", |name| {
        let place = Place::new("x.toml");
        let valid = "# Of a ResNet\n[codes]\n\"conv1.weight\" = \"in-place-64-57\"\n\
                     'layer1.0.conv1.weight' = \"in-place-msb-48-24+zero-word\"\n\
                     \"fc \\\"weight\\\" \\u00e9\" = \"faulty\"\nhead = \"in-place-32-26\"\n";
        let mut read = |bytes: &[u8]| match read_code_map("codes", place.filled(bytes)) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        Reader::new(name, vec![valid.into()], HELD, &mut read).text().names("x.toml").run();
    });
}

#[test]
fn training_logs() {
    on_reader_thread("training log (CSV)", |name| {
        let place = Place::new("x.csv");
        let valid = "iteration,loss,validation_images,correct,large_values,throttled_correct\n\
                     0,NaN,5000,4321,120,4300\n\
                     100,0.25,5000,4400,7,4390\n\
                     200,0.125,5000,4410,,\n";
        let mut read = |bytes: &[u8]| match TrainingLog::read(place.filled(bytes)) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        };
        Reader::new(name, vec![valid.into()], HELD, &mut read).text().names("x.csv").run();
    });
}

#[test]
fn preprocessing_files() {
    on_reader_thread("preprocessing file (JSON)", |name| {
        let place = Place::new("preprocessor_config.json");
        let valid = [
            r#"{"do_normalize": true, "do_resize": true, "do_rescale": true, "rescale_factor": 0.00392156862745098, "crop_size":
               {"height": 224, "width": 224}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
               "resample": 3, "size": {"shortest_edge": 256}, "do_pad": false}"#,
            r#"{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic",
               "crop_pct": 0.95, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}"#,
        ];
        let mut read = |bytes: &[u8]| match PreprocessingFile::read(place.filled(bytes)) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        };
        let valid = valid.map(|text| text.as_bytes().to_vec());
        Reader::new(name, valid.to_vec(), HELD, &mut read).text().names("preprocessor_config.json").run();
    });
}
