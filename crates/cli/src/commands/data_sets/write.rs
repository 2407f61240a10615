use std::path::PathBuf;

use clap::Args;
use data::DataError;
use serde::Serialize;

use crate::terminal::document::{self, Document, Shown};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::names::{Named, image_sets};
use crate::terminal::progress::Terminal;
use harness::Cut;
use harness::Failure;

const HELP: &str = "\
Images of 3 x 32 x 32 are written in CIFAR's binary format (DIR/test_batch.bin, or DIR/data_batch_1.bin to 5; for 100
classes DIR/test.bin or DIR/train.bin): a record has one label byte, two for 100 classes, and 3072 bytes, red before
green before blue, rows from the top. Grey images are written as a pair of IDX files like MNIST's. The pixels are the
networks' input before mean and standard deviation: JPEG is decoded, and synthetic images are drawn.

The command prints the SHA-256 of the images, which plans, manifests and reports name; the set that is read back from
DIR has the same one. No file is overwritten.

Examples:
  zerospace data write synthetic --split test --images 1000 out/cifar10
  zerospace data write cifar10 --split test out/cifar10
  zerospace plan my-experiment.toml --data out      # reads them back, as the set cifar10";

/// Write the first images of a set in a published format, for use by other programs
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Data set
    #[arg(value_name = "SET", value_parser = Named(image_sets), hide_possible_values = true)]
    set: String,
    /// Directory for the files
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Split: `train` or `test`
    #[arg(long, value_name = "SPLIT", default_value = "test", value_parser = Named(|| vec!["train", "test"]), hide_possible_values = true)]
    split: String,
    /// Number of images, from the first [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    shown: Shown,
}

/// A written set.
#[derive(Serialize)]
struct Written {
    set: String,
    split: String,
    images: usize,
    /// Channels, rows and columns.
    shape: [usize; 3],
    classes: usize,
    digest: String,
    files: Vec<String>,
}

pub(super) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let Arguments { set, dir, split, images, machine, shown } = arguments;
    machine.start()?;
    let images = machine
        .data()
        .images(set, split, images.map(|n| n as usize), Cut::DEFAULT, &Terminal::default())?
        .set;
    let files = images.write(dir).map_err(|error| match error {
        DataError::Write { .. } => Failure::machine(error),
        _ => Failure::input(error),
    })?;
    let shape = images.shape();
    shown.format.show(&Written {
        set: images.name().into(),
        split: images.split().to_string(),
        images: images.len(),
        shape: [shape.channels, shape.height, shape.width],
        classes: images.classes(),
        digest: images.digest(),
        files: document::paths(&files),
    });
    Ok(Outcome::Done)
}

impl Document for Written {
    const FORMAT: &'static str = "zerospace.data-write/1";

    fn text(&self) -> String {
        let Self { set, split, images, classes, digest, files, .. } = self;
        format!(
            "{}\n{images} images of {set} {split} in {classes} classes, SHA-256 {digest}",
            files.join("\n")
        )
    }
}
