//! Tables of image files and their labels, as CSV.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use csv_core::ReadRecordResult;

use crate::{DataError, Split, file};

/// Accepted names of the columns, compared without case.
const PATH_NAMES: [&str; 6] = ["path", "file", "filename", "file_name", "image", "image_path"];
const LABEL_NAMES: [&str; 4] = ["label", "class", "target", "category"];
const SPLIT_NAMES: [&str; 2] = ["split", "subset"];

/// Values of the split column for test images. The first that occurs in the table counts.
const TEST_NAMES: [&str; 4] = ["test", "val", "valid", "validation"];

/// The rows of one split.
pub(crate) struct Listing {
    /// The names of the classes in the order of their labels. Numbers name themselves.
    pub(crate) classes: Vec<String>,
    /// Path and label of each image, in the order of the rows.
    pub(crate) files: Vec<(PathBuf, u16)>,
    /// Sentence that names the columns and the rows that were read.
    pub(crate) reading: String,
}

impl Listing {
    /// Reads the rows of a split. The first row names the columns: one of paths, one of labels, and optionally one of
    /// splits; others are ignored. Without a column of splits all images are test images.
    ///
    /// Labels are numbers, or else names of classes, whose sorted order gives the numbers. The classes are those of
    /// all rows of the table.
    ///
    /// # Errors
    /// [`DataError::Row`] for a row that cannot be read, [`DataError::Layout`] for missing columns,
    /// [`DataError::NoSplit`] if no row belongs to the split.
    pub(crate) fn read(path: &Path, split: Split) -> Result<Self, DataError> {
        let row_error = |row, reason| DataError::Row { path: path.into(), row, reason };
        let mut table =
            records(&file::read(path)?).map_err(|row| row_error(row, "not UTF-8".into()))?.into_iter();
        let header = table.next().unwrap_or_default();
        let column = |names: &[&str]| {
            header.iter().position(|name| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        };
        let (Some(path_column), Some(label_column)) = (column(&PATH_NAMES), column(&LABEL_NAMES)) else {
            return Err(DataError::Layout {
                path: path.into(),
                found: format!("the first row is {}", header.join(",")),
                expected: "names of columns, one of them path, file, filename, file_name, image or image_path, and one \
                           label, class, target or category",
            });
        };
        let split_column = column(&SPLIT_NAMES);
        let mut rows = Vec::new();
        for (index, record) in table.enumerate() {
            if record.len() != header.len() {
                let reason =
                    format!("{} fields, expected {} as in the first row", record.len(), header.len());
                return Err(row_error(index + 2, reason));
            }
            let (image, label) = (&record[path_column], &record[label_column]);
            if image.is_empty() || label.is_empty() {
                let empty = if image.is_empty() { path_column } else { label_column };
                return Err(row_error(index + 2, format!("{} is empty", header[empty])));
            }
            let part = split_column.map_or("test", |column| &record[column]);
            rows.push((image.clone(), label.clone(), part.to_string()));
        }
        let numbers: Option<Vec<u16>> = rows.iter().map(|(_, label, _)| label.parse().ok()).collect();
        let classes: Vec<String> = match &numbers {
            Some(numbers) => {
                (0..=numbers.iter().copied().max().unwrap_or_default()).map(|n| n.to_string()).collect()
            }
            None => {
                rows.iter().map(|(_, label, _)| label).collect::<BTreeSet<_>>().into_iter().cloned().collect()
            }
        };
        crate::set::check_classes(&path.display().to_string(), classes.len())?;
        let known: BTreeSet<&str> = rows.iter().map(|(_, _, split)| &split[..]).collect();
        let wanted = match split {
            Split::Train => Some("train").filter(|name| known.contains(name)),
            Split::Test => TEST_NAMES.into_iter().find(|name| known.contains(name)),
        };
        let Some(wanted) = wanted else {
            return Err(DataError::NoSplit {
                path: path.into(),
                split,
                found: match split_column {
                    None => "there is no column split, so all images are test images".into(),
                    Some(column) => {
                        let known: Vec<&str> = known.into_iter().collect();
                        format!("{} is {}", &header[column], known.join(", "))
                    }
                },
                expected: match split {
                    Split::Train => "rows whose split is train".into(),
                    Split::Test => format!("rows whose split is {}", TEST_NAMES.join(", or ")),
                },
            });
        };
        let label_of = |index: usize, label: &String| match &numbers {
            Some(numbers) => numbers[index],
            // `check_classes` bounds the number of classes by 65536.
            None => classes.binary_search(label).expect("a class of the table") as u16,
        };
        let chosen = rows.iter().enumerate().filter(|(_, (_, _, split))| split == wanted);
        let files: Vec<(PathBuf, u16)> =
            chosen.map(|(index, (image, label, _))| (PathBuf::from(image), label_of(index, label))).collect();
        let reading = format!(
            "columns {} and {}{}, {} classes{}",
            &header[path_column],
            &header[label_column],
            split_column
                .map_or(String::new(), |column| format!(", rows whose {} is {wanted}", &header[column])),
            classes.len(),
            if numbers.is_some() { "" } else { " numbered in the order of their names" },
        );
        Ok(Self { classes, files, reading })
    }
}

/// Splits CSV (RFC 4180) into records of fields without the space around them; empty lines are left out. The error is
/// the number of the first record that is not UTF-8, counted from 1.
fn records(bytes: &[u8]) -> Result<Vec<Vec<String>>, usize> {
    let mut input = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv_core::Reader::new();
    // No record has more text than the file, or more fields than the file has bytes.
    let (mut text, mut ends) = (vec![0; input.len()], vec![0; input.len() + 1]);
    let (mut written, mut fields) = (0, 0);
    let mut records = Vec::new();
    loop {
        let (result, read, wrote, ended) =
            reader.read_record(input, &mut text[written..], &mut ends[fields..]);
        input = &input[read..];
        (written, fields) = (written + wrote, fields + ended);
        match result {
            ReadRecordResult::Record => {
                let text = str::from_utf8(&text[..written]).map_err(|_| records.len() + 1)?;
                let starts = std::iter::once(&0).chain(&ends[..fields]);
                let field =
                    |(&start, &end): (&usize, &usize)| text.get(start..end).map(|field| field.trim().into());
                records.push(
                    starts.zip(&ends[..fields]).map(field).collect::<Option<_>>().ok_or(records.len() + 1)?,
                );
                (written, fields) = (0, 0);
            }
            ReadRecordResult::End => return Ok(records),
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                unreachable!("the outputs are as large as the input")
            }
        }
    }
}
