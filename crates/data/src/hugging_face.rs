//! The parquet files of image data sets on the Hugging Face hub: `img: struct<bytes: binary, path: string>`
//! and `label: int64`, in one or several shards per split, under all names that the hub has given shards.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::FileReader;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};

use crate::set::check_classes;
use crate::{DataError, ImageSet, ImageShape, Split, decode, file};

/// The largest number of bytes of decoded pixels in a parquet set, 4 GiB. The limit is needed because image
/// formats and dictionary encoding let a small file expand to any number of pixels.
pub const MAX_PIXEL_BYTES: u64 = 1 << 32;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 256;

/// Reads a set in the Hugging Face parquet layout from one file, or from a directory that holds all shards of
/// the split: `train-00000-of-00002.parquet` and so on (older names have a fingerprint after the numbers),
/// `train.parquet`, or `train-0.parquet` and so on.
///
/// Images are JPEG or PNG bytes in the column `img.bytes` or `image.bytes`, or in `img` or `image` itself;
/// labels are int64 or int32 in `label`, `labels` or `fine_label`. The first of these columns counts; other
/// columns are ignored. Files may have several row groups, any codec but LZO ([`parquet_guard`]), and plain or
/// dictionary encoding.
///
/// All images must have the shape of the first one. Grey images keep one channel, palettes are looked up,
/// 16-bit samples keep their high byte, alpha is dropped. Scalar code decodes JPEG images, so that pixels are
/// the same on every machine.
///
/// `name`, `split` and `classes` describe the set; `split` also picks the shards in a directory.
///
/// # Errors
/// [`DataError::NoShards`], [`DataError::MissingShard`], [`DataError::DoubleShard`] or [`DataError::MixedShards`] for an
/// incomplete directory; [`DataError::Io`], [`DataError::Parquet`], [`DataError::Column`] or [`DataError::RowCount`] for
/// a file that is missing, damaged or laid out differently; and for single rows [`DataError::Null`],
/// [`DataError::Label`], [`DataError::Image`], [`DataError::ShapeMismatch`] and [`DataError::TooManyPixels`].
/// [`DataError::Decoder`] if a decoder panics on a damaged file; [`DataError::NoImages`] if there are no
/// rows; and [`DataError::Classes`].
pub fn hugging_face_parquet(
    path: &Path,
    name: &str,
    split: Split,
    classes: usize,
) -> Result<ImageSet, DataError> {
    let metadata = std::fs::metadata(path).map_err(|source| file::io_error(path, source))?;
    let files = if metadata.is_dir() {
        shards(path, split)?
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(DataError::NoShards { dir: path.into(), split }))?
    } else {
        vec![path.into()]
    };
    read_files(&files, name, split, classes)
}

/// Reads the shards of a split; `files` must not be empty.
pub(crate) fn read_files(
    files: &[PathBuf],
    name: &str,
    split: Split,
    classes: usize,
) -> Result<ImageSet, DataError> {
    check_classes(name, classes)?;
    let mut images = Images { classes, shape: None, pixels: Vec::new(), labels: Vec::new() };
    for file in files {
        unless_panicked(file, || images.read_file(file))?;
    }
    let Some(shape) = images.shape else {
        return Err(DataError::NoImages { path: files[0].clone() });
    };
    ImageSet::new(name, split, shape, classes, images.pixels, images.labels)
}

/// A naming scheme for the shards of a split. Schemes are ordered by preference.
#[derive(Clone, Copy, Debug)]
enum Naming {
    /// `train-00000-of-00002.parquet`. Until 2023 the hub put a fingerprint before the extension.
    Of { total: usize },
    /// `train.parquet`.
    Whole,
    /// `train-0.parquet`, or `0000.parquet` in a folder `train`; the number has `digits` digits.
    Counted { digits: usize },
}

impl Naming {
    /// The number of shards, if the scheme states it.
    fn total(self) -> Option<usize> {
        match self {
            Self::Of { total } => Some(total),
            Self::Whole | Self::Counted { .. } => None,
        }
    }
}

/// Returns the sets of shards of a split in a directory: the files of a complete set in their order, or the
/// error of an incomplete one. The result is empty if no file is named like a shard.
pub(crate) fn shards(dir: &Path, split: Split) -> Result<Vec<Result<Vec<PathBuf>, DataError>>, DataError> {
    let mut named: Vec<(Naming, usize, String)> = Vec::new();
    // The hub's conversion makes one folder for each split.
    let own_folder = dir
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.strip_prefix("partial-").unwrap_or(name) == split.to_string());
    for entry in std::fs::read_dir(dir).map_err(|source| file::io_error(dir, source))? {
        let entry = entry.map_err(|source| file::io_error(dir, source))?;
        if let Ok(name) = entry.file_name().into_string()
            && let Some((naming, index)) = naming(&name, split, own_folder)
        {
            named.push((naming, index, name));
        }
    }
    let kind = |naming: &Naming| match naming {
        Naming::Of { .. } => 0,
        Naming::Whole => 1,
        Naming::Counted { .. } => 2,
    };
    named.sort_unstable_by(|a, b| (kind(&a.0), a.1, &a.2).cmp(&(kind(&b.0), b.1, &b.2)));
    let sets = named.chunk_by(|(a, ..), (b, ..)| kind(a) == kind(b));
    Ok(sets.map(|shards| complete(dir, split, shards)).collect())
}

/// Returns the files of the shards that follow one naming scheme, if none is missing.
fn complete(dir: &Path, split: Split, shards: &[(Naming, usize, String)]) -> Result<Vec<PathBuf>, DataError> {
    let (naming, _, first_name) = &shards[0];
    let totals = shards.iter().filter_map(|(naming, ..)| naming.total());
    if let (Some(first), Some(second)) = (totals.clone().min(), totals.max())
        && first != second
    {
        return Err(DataError::MixedShards { dir: dir.into(), first, second });
    }
    if let Some(twice) = shards.windows(2).find(|pair| pair[0].1 == pair[1].1) {
        let [one, other] = [&twice[0].2, &twice[1].2].map(|name| dir.join(name));
        return Err(DataError::DoubleShard { path: one, other });
    }
    for index in 0..naming.total().unwrap_or(shards.len()) {
        if shards.get(index).is_none_or(|(_, found, _)| *found != index) {
            let name = match *naming {
                Naming::Of { total } => shard_name(split, index, total),
                Naming::Whole => first_name.clone(),
                Naming::Counted { digits } => {
                    let prefix = first_name.rfind('-').map_or("", |end| &first_name[..=end]);
                    format!("{prefix}{index:0digits$}.parquet")
                }
            };
            return Err(DataError::MissingShard { path: dir.join(name), total: naming.total() });
        }
    }
    Ok(shards.iter().map(|(.., name)| dir.join(name)).collect())
}

/// Returns the number of rows that the footer of a shard declares.
pub(crate) fn rows(shard: &Path) -> Result<u64, DataError> {
    unless_panicked(shard, || {
        let (file, file_bytes) = file::open(shard)?;
        let reader = parquet_guard::open(&file, file_bytes).map_err(|error| parquet_error(shard, error))?;
        Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0))
    })
}

/// Makes a panic of the decoder an error; its message has gone to the panic hook.
fn unless_panicked<T>(path: &Path, read: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(DataError::Decoder { path: path.into() }))
}

/// Returns the naming scheme and the number of a shard; `None` if the file is not named like a shard.
fn naming(name: &str, split: Split, own_folder: bool) -> Option<(Naming, usize)> {
    let stem = name.strip_suffix(".parquet")?;
    let counted = |digits: &str| {
        let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
        Some((Naming::Counted { digits: digits.len() }, number))
    };
    if stem == split.to_string() {
        return Some((Naming::Whole, 0));
    }
    let Some(rest) = stem.strip_prefix(&format!("{split}-")) else {
        return if own_folder { counted(stem) } else { None };
    };
    let Some((index, total)) = rest.split_once("-of-") else { return counted(rest) };
    let total = match total.split_once('-') {
        None => total,
        Some((total, print)) => {
            let fingerprint = !print.is_empty() && print.bytes().all(|b| b.is_ascii_hexdigit());
            fingerprint.then_some(total)?
        }
    };
    let (index, total) = (index.parse().ok()?, total.parse().ok()?);
    let begins = shard_name(split, index, total);
    let sound = index < total && name.starts_with(begins.strip_suffix(".parquet")?);
    sound.then_some((Naming::Of { total }, index))
}

fn shard_name(split: Split, index: usize, total: usize) -> String {
    format!("{split}-{index:05}-of-{total:05}.parquet")
}

/// Pixels and labels of the rows that have been read.
struct Images {
    classes: usize,
    /// Shape of the first image.
    shape: Option<ImageShape>,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Images {
    fn read_file(&mut self, path: &Path) -> Result<(), DataError> {
        let failed = |error| parquet_error(path, error);
        let (file, file_bytes) = file::open(path)?;
        let file = Arc::new(file);
        let reader = parquet_guard::open(&file, file_bytes).map_err(failed)?;
        let metadata = reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let image_column = find(
            path,
            schema,
            "img.bytes or image.bytes (or img or image) of type BYTE_ARRAY",
            &["img.bytes", "image.bytes", "img", "image"],
            &[Type::BYTE_ARRAY],
        )?;
        let label_column = find(
            path,
            schema,
            "label, labels or fine_label of type INT64 or INT32",
            &["label", "labels", "fine_label"],
            &[Type::INT64, Type::INT32],
        )?;
        let mut first_row = 0;
        for group in metadata.row_groups() {
            let rows = usize::try_from(group.num_rows()).map_err(|_| DataError::Parquet {
                path: path.into(),
                reason: format!("a row group of {} rows", group.num_rows()),
            })?;
            let open = |column| Column::open(path, &file, file_bytes, schema, group, rows, column);
            let images = open(image_column)?;
            let labels = open(label_column)?;
            match schema.column(label_column).physical_type() {
                Type::INT32 => self.read_group::<Int32Type>(path, first_row, rows, images, labels)?,
                _ => self.read_group::<Int64Type>(path, first_row, rows, images, labels)?,
            }
            first_row += rows;
        }
        Ok(())
    }

    fn read_group<L: DataType<T: Copy + Into<i64>>>(
        &mut self,
        path: &Path,
        first_row: usize,
        rows: usize,
        images: Column,
        labels: Column,
    ) -> Result<(), DataError> {
        let mut images = images.values::<ByteArrayType>(first_row, rows);
        let mut labels = labels.values::<L>(first_row, rows);
        let label_column = labels.name.clone();
        let mut row = first_row;
        loop {
            let image_batch = images.next_batch(path)?;
            let label_batch = labels.next_batch(path)?;
            if image_batch.is_empty() {
                return Ok(());
            }
            for (image, &label) in image_batch.iter().zip(label_batch) {
                self.push(path, row, image.data(), label.into(), &label_column)?;
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

/// Returns the index of the first of `names` that the file has. `expected` describes them in the error.
fn find(
    path: &Path,
    schema: &SchemaDescriptor,
    expected: &'static str,
    names: &[&str],
    physical_types: &[Type],
) -> Result<usize, DataError> {
    names
        .iter()
        .find_map(|name| {
            schema.columns().iter().position(|column| {
                column.path().string() == *name
                    && physical_types.contains(&column.physical_type())
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

/// A column chunk of one row group, before its type is checked.
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
        let pages = parquet_guard::column_pages(file, file_bytes, chunk, rows)
            .map_err(|error| parquet_error(path, error))?;
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

/// The values of a column chunk. A null value is an error.
struct Values<T: DataType> {
    name: String,
    /// The definition level of a present value. At a lower level the value, or a struct around it, is null.
    max_level: i16,
    reader: ColumnReaderImpl<T>,
    first_row: usize,
    rows: usize,
    /// Number of rows read.
    done: usize,
    levels: Vec<i16>,
    batch: Vec<T::T>,
}

impl<T: DataType> Values<T> {
    /// Reads the next [`BATCH_ROWS`] values, or fewer at the end; an empty slice after all rows of the group.
    fn next_batch(&mut self, path: &Path) -> Result<&[T::T], DataError> {
        let wanted = BATCH_ROWS.min(self.rows - self.done);
        self.levels.clear();
        self.batch.clear();
        // One more row is requested at the end, because a column may hold more rows than its group declares.
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
