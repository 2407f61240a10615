//! The parquet files of Hugging Face image data sets: `img: struct<bytes: binary, path: string>` and
//! `label: int64`, one or several shards a split.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::FileReader;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::set::check_classes;
use crate::{DataError, ImageSet, ImageShape, Split, decode, file};

/// The most bytes of decoded pixels that a parquet set may have, 4 GiB: image formats and dictionary encoding
/// allow a small file to stand for an unbounded amount of pixels.
pub const MAX_PIXEL_BYTES: u64 = 1 << 32;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 256;

/// A set in the Hugging Face parquet layout, from one file, or from a directory that holds all shards of the
/// split, named as in `train-00000-of-00002.parquet`.
///
/// Columns, with other columns ignored: images as JPEG or PNG bytes in `img.bytes` or `image.bytes`, labels
/// as int64 in `label` or `fine_label`; where a file has both, the first. Files may have several row groups,
/// uncompressed or in any codec but LZO ([`pages`]), in plain or dictionary encoding.
///
/// All images must have the shape of the first. Grey images stay one channel; palettes are looked up, 16-bit
/// samples keep their high byte, alpha is dropped. JPEG images are decoded by scalar code, for pixels that
/// are the same on every machine.
///
/// `name`, `split` and `classes` describe the set; `split` also picks the shards in a directory.
///
/// # Errors
/// [`DataError::NoShards`], [`DataError::MissingShard`] or [`DataError::MixedShards`] for an incomplete
/// directory; [`DataError::Io`], [`DataError::Parquet`], [`DataError::Column`] or [`DataError::RowCount`] for
/// a file that is missing, damaged or laid out differently; and for single rows [`DataError::Null`],
/// [`DataError::Label`], [`DataError::Image`], [`DataError::ShapeMismatch`] and [`DataError::TooManyPixels`].
/// [`DataError::Decoder`] where a decoder panics on what it is given. [`DataError::NoImages`] when there are
/// no rows at all, and [`DataError::Classes`].
pub fn hugging_face_parquet(
    path: &Path,
    name: &str,
    split: Split,
    classes: usize,
) -> Result<ImageSet, DataError> {
    check_classes(name, classes)?;
    let metadata = std::fs::metadata(path).map_err(|source| file::io_error(path, source))?;
    let files = if metadata.is_dir() {
        let files = shards(path, split)?;
        if files.is_empty() {
            return Err(DataError::NoShards { dir: path.into(), split });
        }
        files
    } else {
        vec![path.into()]
    };
    let mut images = Images { classes, shape: None, pixels: Vec::new(), labels: Vec::new() };
    for file in &files {
        pages::caught(|| images.read_file(file))
            .unwrap_or_else(|reason| Err(DataError::Decoder { path: file.clone(), reason }))?;
    }
    let Some(shape) = images.shape else {
        return Err(DataError::NoImages { path: files[0].clone() });
    };
    ImageSet::new(name, split, shape, classes, images.pixels, images.labels)
}

/// The shards of a split in a directory, in their order; none when no file is named like one.
pub(crate) fn shards(dir: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|source| file::io_error(dir, source))? {
        let entry = entry.map_err(|source| file::io_error(dir, source))?;
        if let Ok(name) = entry.file_name().into_string()
            && let Some(total) = shard_total(&name, split)
        {
            names.push((total, name));
        }
    }
    names.sort_unstable();
    let Some(&(total, _)) = names.first() else {
        return Ok(Vec::new());
    };
    if let Some(&(second, _)) = names.iter().find(|(other, _)| *other != total) {
        return Err(DataError::MixedShards { dir: dir.into(), first: total, second });
    }
    for index in 0..total {
        let expected = shard_name(split, index, total);
        if names.get(index).is_none_or(|(_, name)| *name != expected) {
            return Err(DataError::MissingShard { path: dir.join(expected), total });
        }
    }
    Ok(names.into_iter().map(|(_, name)| dir.join(name)).collect())
}

/// The number of rows that a shard says it has.
pub(crate) fn rows(shard: &Path) -> Result<u64, DataError> {
    let count = || {
        let (file, file_bytes) = file::open(shard)?;
        let reader = pages::open(&file, file_bytes).map_err(|error| parquet_error(shard, error))?;
        Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
    };
    pages::caught(count).unwrap_or_else(|reason| Err(DataError::Decoder { path: shard.into(), reason }))
}

/// The number of shards that a file's name speaks of, if it is the name of a shard.
fn shard_total(name: &str, split: Split) -> Option<usize> {
    let (index, total) =
        name.strip_prefix(&format!("{split}-"))?.strip_suffix(".parquet")?.split_once("-of-")?;
    let (index, total) = (index.parse().ok()?, total.parse().ok()?);
    (index < total && name == shard_name(split, index, total)).then_some(total)
}

fn shard_name(split: Split, index: usize, total: usize) -> String {
    format!("{split}-{index:05}-of-{total:05}.parquet")
}

/// What has been read so far.
struct Images {
    classes: usize,
    /// Of the first image.
    shape: Option<ImageShape>,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Images {
    fn read_file(&mut self, path: &Path) -> Result<(), DataError> {
        let failed = |error| parquet_error(path, error);
        let (file, file_bytes) = file::open(path)?;
        let file = Arc::new(file);
        let reader = pages::open(&file, file_bytes).map_err(failed)?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let image_column = find(
            path,
            schema,
            "img.bytes or image.bytes of type BYTE_ARRAY",
            &["img.bytes", "image.bytes"],
            Type::BYTE_ARRAY,
        )?;
        let label_column =
            find(path, schema, "label or fine_label of type INT64", &["label", "fine_label"], Type::INT64)?;
        let mut first_row = 0;
        for group in metadata.row_groups() {
            let rows = usize::try_from(group.num_rows()).map_err(|_| DataError::Parquet {
                path: path.into(),
                reason: format!("a row group of {} rows", group.num_rows()),
            })?;
            let open = |column| Column::open(path, &file, file_bytes, schema, group, rows, column);
            let images = open(image_column)?;
            let labels = open(label_column)?;
            self.read_group(path, first_row, rows, images, labels)?;
            first_row += rows;
        }
        Ok(())
    }

    fn read_group(
        &mut self,
        path: &Path,
        first_row: usize,
        rows: usize,
        images: Column,
        labels: Column,
    ) -> Result<(), DataError> {
        let mut images = images.values::<ByteArrayType>(first_row, rows);
        let mut labels = labels.values::<Int64Type>(first_row, rows);
        let label_column = labels.name.clone();
        let mut row = first_row;
        loop {
            let image_batch = images.next_batch(path)?;
            let label_batch = labels.next_batch(path)?;
            if image_batch.is_empty() {
                return Ok(());
            }
            for (image, &label) in image_batch.iter().zip(label_batch) {
                self.push(path, row, image.data(), label, &label_column)?;
                row += 1;
            }
        }
    }

    fn push(
        &mut self,
        path: &Path,
        row: usize,
        image: &[u8],
        label: i64,
        label_column: &str,
    ) -> Result<(), DataError> {
        let label = u16::try_from(label).ok().filter(|&label| usize::from(label) < self.classes).ok_or_else(
            || DataError::Label {
                place: path.display().to_string(),
                field: label_column.into(),
                image: row,
                label,
                classes: self.classes,
            },
        )?;
        let (found, pixels) =
            decode::decode(image).map_err(|reason| DataError::Image { path: path.into(), row, reason })?;
        let expected = *self.shape.get_or_insert(found);
        if found != expected {
            return Err(DataError::ShapeMismatch {
                place: path.display().to_string(),
                image: row,
                found,
                expected,
            });
        }
        if (self.pixels.len() + pixels.len()) as u64 > MAX_PIXEL_BYTES {
            return Err(DataError::TooManyPixels { path: path.into(), row, limit: MAX_PIXEL_BYTES });
        }
        self.pixels.extend_from_slice(&pixels);
        self.labels.push(label);
        Ok(())
    }
}

/// The index of the first of `names` that the file has. `expected` says them, for the error.
fn find(
    path: &Path,
    schema: &SchemaDescriptor,
    expected: &'static str,
    names: &[&str],
    physical_type: Type,
) -> Result<usize, DataError> {
    names
        .iter()
        .find_map(|name| {
            schema.columns().iter().position(|column| {
                column.path().string() == *name
                    && column.physical_type() == physical_type
                    && column.max_rep_level() == 0
            })
        })
        .ok_or_else(|| DataError::Column {
            path: path.into(),
            expected,
            found: schema
                .columns()
                .iter()
                .map(|column| format!("{} ({})", column.path().string(), column.physical_type()))
                .collect::<Vec<_>>()
                .join(", "),
        })
}

fn parquet_error(path: &Path, error: ParquetError) -> DataError {
    DataError::Parquet { path: path.into(), reason: error.to_string() }
}

/// A column chunk of one row group, its type not yet fixed.
struct Column {
    descriptor: ColumnDescPtr,
    pages: Box<dyn parquet::column::page::PageReader>,
}

impl Column {
    fn open(
        path: &Path,
        file: &Arc<File>,
        file_bytes: u64,
        schema: &SchemaDescriptor,
        group: &RowGroupMetaData,
        rows: usize,
        column: usize,
    ) -> Result<Self, DataError> {
        let descriptor = schema.column(column);
        let name = descriptor.path().string();
        let chunk = group.columns().get(column).ok_or_else(|| DataError::Parquet {
            path: path.into(),
            reason: format!("a row group without {name}"),
        })?;
        let pages =
            pages::column_pages(file, file_bytes, chunk, rows).map_err(|error| parquet_error(path, error))?;
        Ok(Self { descriptor, pages })
    }

    fn values<T: DataType>(self, first_row: usize, rows: usize) -> Values<T> {
        Values {
            name: self.descriptor.path().string(),
            max_level: self.descriptor.max_def_level(),
            reader: ColumnReaderImpl::new(self.descriptor, self.pages),
            first_row,
            rows,
            done: 0,
            levels: Vec::new(),
            batch: Vec::new(),
        }
    }
}

/// The values of a column chunk, none of which may be null.
struct Values<T: DataType> {
    name: String,
    /// The definition level of a value that is there; below it the value, or a struct around it, is null.
    max_level: i16,
    reader: ColumnReaderImpl<T>,
    first_row: usize,
    rows: usize,
    /// Rows read.
    done: usize,
    levels: Vec<i16>,
    batch: Vec<T::T>,
}

impl<T: DataType> Values<T> {
    /// The next values, [`BATCH_ROWS`] of them except at the end; none after all rows of the group.
    fn next_batch(&mut self, path: &Path) -> Result<&[T::T], DataError> {
        let wanted = BATCH_ROWS.min(self.rows - self.done);
        self.levels.clear();
        self.batch.clear();
        // At the end one more is asked for, because a column may hold more rows than its group declares.
        let (records, _, _) = self
            .reader
            .read_records(wanted.max(1), Some(&mut self.levels), None, &mut self.batch)
            .map_err(|error| parquet_error(path, error))?;
        if let Some(null) = self.levels.iter().position(|&level| level < self.max_level) {
            return Err(DataError::Null {
                path: path.into(),
                column: self.name.clone(),
                row: self.first_row + self.done + null,
            });
        }
        self.done += records;
        if records != wanted {
            return Err(DataError::RowCount {
                path: path.into(),
                column: self.name.clone(),
                found: self.done,
                expected: self.rows,
            });
        }
        Ok(&self.batch)
    }
}
