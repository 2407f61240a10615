use std::path::{Path, PathBuf};

use clap::Args;
use data::{DataError, DataSource, FolderSource, FoundSet, ImageFolder, Split};
use serde::Serialize;

use crate::terminal::document::{self, Document, Shown};
use crate::terminal::exit::{Outcome, explained};
use crate::terminal::output::{markdown, progress_line};
use harness::Failure;
use harness::fetchable;

const HELP: &str = "\
A set may exist in several forms; each form has a line. The program reads the first form of a split:
Hugging Face parquet, then the published files (CIFAR: binary, pickles, archives of both; MNIST:
plain, then gzip). `complete` compares the number of images with the published number.

Sets are searched in DIR/NAME, where DIR is the directory of --data:
  cifar10, cifar100   train-00000-of-00001.parquet and the hub's other names, also in plain_text and data;
                      data_batch_1.bin or train.bin, as `data fetch` brings them; data_batch_1 or train, the
                      pickles that torchvision keeps, also in DIR/cifar-10-batches-py; cifar-10-python.tar.gz
  mnist, fashion_mnist, kmnist
                      parquet; train-images-idx3-ubyte with or without .gz, also in DIR/MNIST/raw
  imagenet            val/CLASS/*.JPEG and train, or a flat val with the file of `data fetch imagenet-labels`
  images              any JPEG and PNG files, without labels

A set may also be a file of yours, which is not listed: .npz or .npy with arrays of images and labels, .csv with
paths and labels (--set FILE, data.set = \"FILE\").

Examples:
  zerospace data list
  zerospace data list --data /data --format json";

/// List the available data sets in all their forms
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Directory of data sets
    #[arg(long = "data", value_name = "DIR", env = "ZEROSPACE_DATA", default_value = "data")]
    data_root: PathBuf,
    #[command(flatten)]
    shown: Shown,
}

/// All available sets.
#[derive(Serialize)]
struct List {
    root: String,
    forms: Vec<Form>,
    /// Sets without any file.
    missing: Vec<&'static str>,
}

/// A form of a split of a set.
#[derive(Serialize)]
struct Form {
    set: &'static str,
    split: Split,
    /// True if the program reads this form.
    read: bool,
    form: Option<String>,
    path: Option<String>,
    files: Vec<String>,
    images: Option<u64>,
    /// Published number of images of the split, if known.
    published_images: Option<u64>,
    /// True if the split is complete; absent if its published size is unknown.
    complete: Option<bool>,
    problem: Option<String>,
}

pub(super) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let root = &arguments.data_root;
    let mut list = List { root: document::path(root), forms: Vec::new(), missing: Vec::new() };
    for set in DataSource::ALL {
        let forms: Vec<Form> =
            [Split::Train, Split::Test].into_iter().flat_map(|split| published(root, set, split)).collect();
        list.add(set.name(), forms);
    }
    for source in FolderSource::ALL {
        list.add(source.name(), folders(root, source));
    }
    for problem in list.forms.iter().filter_map(|form| form.problem.as_ref()) {
        progress_line(problem);
    }
    arguments.shown.format.show(&list);
    Ok(Outcome::Done)
}

/// Forms of a split of a published set.
fn published(root: &Path, set: DataSource, split: Split) -> Vec<Form> {
    let all = set.find_all(root, split).unwrap_or_else(|error| vec![Err(error)]);
    let form = |(index, found): (usize, Result<FoundSet, DataError>)| {
        let mut form = Form::new(set.name(), split, index == 0);
        form.published_images = Some(set.images(split));
        match found {
            Ok(found) => {
                form.form = Some(found.form().into());
                form.path = found.place().map(document::path);
                form.files = found.files();
                match found.images() {
                    Ok(images) => form.images = Some(images),
                    Err(error) => form.problem = Some(Failure::input(error).to_string()),
                }
            }
            Err(error) => form.problem = Some(Failure::input(error).to_string()),
        }
        form.complete = Some(form.problem.is_none() && form.images >= form.published_images);
        form
    };
    all.into_iter().enumerate().map(form).collect()
}

/// Splits of a folder of image files.
fn folders(root: &Path, source: FolderSource) -> Vec<Form> {
    let set = root.join(source.name());
    let mut forms = Vec::new();
    for split in [Split::Train, Split::Test] {
        if !set.is_dir() || (split == Split::Train && !set.join("train").is_dir()) {
            continue;
        }
        let mut form = Form::new(source.name(), split, true);
        match ImageFolder::open(root, source, split) {
            Ok(folder) => {
                form.images = Some(folder.len() as u64);
                form.form = Some(match folder.classes().len() {
                    0 => "image files".into(),
                    classes => format!("image files, {classes} classes"),
                });
                form.path = Some(document::path(folder.dir()));
            }
            Err(error) => form.problem = Some(explained(&Failure::input(error))),
        }
        forms.push(form);
    }
    forms
}

impl List {
    fn add(&mut self, set: &'static str, forms: Vec<Form>) {
        if forms.is_empty() {
            self.missing.push(set);
        }
        self.forms.extend(forms);
    }
}

impl Form {
    fn new(set: &'static str, split: Split, read: bool) -> Self {
        Self {
            set,
            split,
            read,
            form: None,
            path: None,
            files: Vec::new(),
            images: None,
            published_images: None,
            complete: None,
            problem: None,
        }
    }

    fn row(&self) -> Vec<String> {
        let complete = match (self.complete, &self.problem, self.images, self.published_images) {
            (_, Some(_), ..) => "no, see the message".into(),
            (Some(false), _, Some(images), Some(published)) => format!("no, {images} of {published}"),
            (Some(complete), ..) => if complete { "yes" } else { "no" }.into(),
            (None, ..) => String::new(),
        };
        vec![
            self.set.into(),
            self.split.to_string(),
            self.images.map_or(String::new(), |images| images.to_string()),
            self.form.clone().unwrap_or_else(|| "incomplete".into()),
            self.path.clone().unwrap_or_default(),
            complete,
            if self.read { "yes" } else { "no, the first is" }.into(),
        ]
    }
}

impl Document for List {
    const FORMAT: &'static str = "zerospace.data-list/1";

    fn text(&self) -> String {
        let absent = |set: &'static str| {
            let fetch = set.parse().is_ok_and(fetchable).then(|| format!("zerospace data fetch {set}"));
            let mut row = vec![String::new(); 7];
            row[0] = set.into();
            row[3] = "not there".into();
            row[4] = fetch.unwrap_or_default();
            row
        };
        let mut rows: Vec<Vec<String>> = self.forms.iter().map(Form::row).collect();
        rows.extend(self.missing.iter().map(|&set| absent(set)));
        markdown(&["set", "split", ">images", "form", "where", "complete", "read"], &rows)
    }
}
