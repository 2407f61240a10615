use std::path::PathBuf;

use crate::{DataSource, ImageShape, Split};

/// The reason why an image set cannot be read, made or written.
///
/// Images and rows are counted from 0, within the named file, or within the named set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system cannot read the file or directory.
    #[error("{path}: cannot be read")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The path is not a regular file.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file or folder holds no image.
    #[error("{path}: holds no images, expected at least one")]
    NoImages {
        /// The file or folder; the first of several.
        path: PathBuf,
    },
    /// A file of fixed-size records ends inside a record.
    #[error(
        "{path}: {length} bytes, expected a multiple of {record_bytes}; record {} is cut off after {} bytes",
        length / record_bytes,
        length % record_bytes
    )]
    RecordSize {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// Bytes a record.
        record_bytes: usize,
    },
    /// A label is not below the number of classes.
    #[error("{place}: {field} of image {image} is {label}, expected 0 to {}", classes - 1)]
    Label {
        /// The file, or the name of a set that is made from parts.
        place: String,
        /// The field or column of the label.
        field: String,
        /// The image, counted from 0.
        image: usize,
        /// The value found.
        label: i64,
        /// The number of classes.
        classes: usize,
    },
    /// 16-bit labels cannot name that many classes.
    #[error("{name}: {classes} classes, expected 1 to 65536")]
    Classes {
        /// The set.
        name: String,
        /// The number of classes.
        classes: usize,
    },
    /// The set does not support the image shape.
    #[error(
        "{place}: shape {shape} (channels x height x width), expected 1 or 3 channels and sides of 1 to {}",
        crate::MAX_SIDE
    )]
    Shape {
        /// The set, the file, or the row of a file.
        place: String,
        /// The image shape.
        shape: ImageShape,
    },
    /// An image has another shape than the first image or the known data set.
    #[error("{place}: image {image} has shape {found} (channels x height x width), expected {expected}")]
    ShapeMismatch {
        /// The file or the set.
        place: String,
        /// The image, counted from 0.
        image: usize,
        /// Shape of the image.
        found: ImageShape,
        /// The shape of the first image, or of the known data set.
        expected: ImageShape,
    },
    /// The number of pixel bytes does not match the shape and the number of labels.
    #[error("{name}: {found} pixel bytes, expected {expected} for {images} labels and shape {shape}")]
    PixelCount {
        /// The set.
        name: String,
        /// Bytes given.
        found: usize,
        /// Bytes expected.
        expected: usize,
        /// Labels given.
        images: usize,
        /// The shape of one image.
        shape: ImageShape,
    },
    /// A set has fewer images than the caller asked for.
    #[error("{name}: asked for the first {asked} images, but there are {available}")]
    NotEnough {
        /// The set.
        name: String,
        /// Number of images asked for.
        asked: usize,
        /// Number of images in the set.
        available: usize,
    },
    /// A gzipped tar archive is damaged or lacks a file.
    #[error("{path}: {reason}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// A gzip file does not unpack.
    #[error("{path}: not a valid gzip file: {reason}")]
    Gzip {
        /// The file.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// A pickle holds no batch of images.
    #[error("{path}: {reason}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The defect, and the expectation.
        reason: String,
    },
    /// An array of NumPy, or an archive of arrays, cannot be read as images or labels.
    #[error("{path}: {reason}")]
    Array {
        /// The file, or the archive and the name of the array.
        path: PathBuf,
        /// The defect, and the expectation.
        reason: String,
    },
    /// A row of a table of image files cannot be read.
    #[error("{path}: row {row}: {reason}")]
    Row {
        /// The table.
        path: PathBuf,
        /// The row, counted from 1; the first names the columns.
        row: usize,
        /// The defect.
        reason: String,
    },
    /// A file of images has none of the split.
    #[error("{path}: no {split} images: {found}{}", match &expected[..] {
        "" => String::new(),
        names => format!(", expected {names}"),
    })]
    NoSplit {
        /// The file.
        path: PathBuf,
        /// The split.
        split: Split,
        /// The content of the file.
        found: String,
        /// Names that would be read; empty if there are none.
        expected: String,
    },
    /// The magic number is not that of the expected kind of IDX file.
    #[error("{path}: magic number {found:#010x}, expected {expected:#010x} (IDX {kind})")]
    Magic {
        /// The file.
        path: PathBuf,
        /// The first four bytes, big-endian.
        found: u32,
        /// The expected magic number.
        expected: u32,
        /// Expected content of the file: `images` or `labels`.
        kind: &'static str,
    },
    /// The length of the file does not match its header.
    #[error("{path}: {found} bytes, expected {expected} {reason}")]
    FileLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length that follows from the header; a lower bound if the header itself is cut off.
        expected: u64,
        /// The derivation of the expected length.
        reason: String,
    },
    /// The files of images and of labels hold different numbers of images.
    #[error(
        "{images_path}: {images} images, but {labels_path}: {labels} labels; expected one label for each image"
    )]
    CountMismatch {
        /// The file of images.
        images_path: PathBuf,
        /// Number of images in it.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Number of labels in it.
        labels: usize,
    },
    /// A file is not valid parquet, or uses an unsupported encoding or codec.
    #[error("{path}: not readable as parquet: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The defect.
        reason: String,
    },
    /// A column is missing, or has another type than the Hugging Face layout.
    #[error("{path}: no column {expected}; the columns are {found}")]
    Column {
        /// The file.
        path: PathBuf,
        /// Accepted column names, and their type.
        expected: &'static str,
        /// The columns of the file, with their types.
        found: String,
    },
    /// A value is missing.
    #[error("{path}: {column} of row {row} is null, expected a value")]
    Null {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The row, counted from 0 over all row groups.
        row: usize,
    },
    /// A column has fewer or more rows than its row group declares.
    #[error("{path}: {column} has {found} rows in a row group of {expected}")]
    RowCount {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Rows read; the count stops at the first surplus row.
        found: usize,
        /// Rows declared.
        expected: usize,
    },
    /// An image could not be decoded.
    #[error("{path}: image of row {row}: {reason}")]
    Image {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0 over all row groups.
        row: usize,
        /// The defect, and the expectation.
        reason: String,
    },
    /// The parquet crate panicked on a damaged file; its message has gone to the panic hook.
    #[error("{path}: damaged file: the decoder panicked")]
    Decoder {
        /// The file.
        path: PathBuf,
    },
    /// The decoded images would take more memory than [`MAX_PIXEL_BYTES`](crate::MAX_PIXEL_BYTES).
    #[error("{path}: more than {limit} bytes of decoded pixels at row {row}")]
    TooManyPixels {
        /// The file.
        path: PathBuf,
        /// The row at which the decoded pixels exceed the limit.
        row: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// A directory holds no shard of the split.
    #[error("{dir}: no {split}-*-of-*.parquet")]
    NoShards {
        /// The directory.
        dir: PathBuf,
        /// The split.
        split: Split,
    },
    /// A shard of a set is missing.
    #[error(
        "{path}: missing; {}",
        total.map_or("there is a later shard".into(), |total| format!("the names of the other shards declare a total of {total}"))
    )]
    MissingShard {
        /// The first missing file.
        path: PathBuf,
        /// The number of shards, if the file names state it.
        total: Option<usize>,
    },
    /// Two files hold the same shard of a split.
    #[error("{path}: the same shard as {other}, expected one of them")]
    DoubleShard {
        /// One of the files.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// One directory holds shards of two different sets.
    #[error("{dir}: holds two sets of shards, of {first} and {second} files; expected one set")]
    MixedShards {
        /// The directory.
        dir: PathBuf,
        /// Number of files of one set.
        first: usize,
        /// Number of files of the other set.
        second: usize,
    },
    /// A folder of images, or its file of labels, has an unexpected layout.
    #[error("{path}: {found}, expected {expected}")]
    Layout {
        /// The folder or the file.
        path: PathBuf,
        /// The defect.
        found: String,
        /// The expected layout.
        expected: &'static str,
    },
    /// A flat folder of ImageNet's validation images, without the file of labels beside it.
    #[error(
        "{path}: holds image files and no folders, and {labels} is not beside it, expected a folder for each class or \
         this file",
        labels = crate::ValidationLabels::FILE_NAME
    )]
    NoLabels {
        /// The folder.
        path: PathBuf,
    },
    /// No file of a folder of images could be decoded.
    #[error("{dir}: none of {files} image files can be decoded; the first, {first}: {reason}")]
    NoneReadable {
        /// The folder.
        dir: PathBuf,
        /// Files tried.
        files: usize,
        /// The first file, relative to the folder.
        first: PathBuf,
        /// The reason why the first file cannot be decoded.
        reason: String,
    },
    /// The decoded images would take more memory than [`MAX_FOLDER_BYTES`](crate::MAX_FOLDER_BYTES).
    #[error(
        "{name}: {images} images of {image_bytes} bytes, expected at most {} together; ask for fewer images",
        crate::MAX_FOLDER_BYTES
    )]
    TooManyImages {
        /// The set.
        name: String,
        /// Number of images asked for.
        images: usize,
        /// Bytes of one image.
        image_bytes: usize,
    },
    /// The directory holds no known layout of the data set.
    #[error(
        "{dir}: no {split} set of {data_source} there; looked for {}{}",
        looked_for.join(", "),
        match &passed_over[..] {
            [] => String::new(),
            names => format!("; ignored {}, whose names do not match", names.join(", ")),
        }
    )]
    NotFound {
        /// The directory searched.
        dir: PathBuf,
        /// The data set.
        data_source: DataSource,
        /// The split.
        split: Split,
        /// Each layout of the set with the file names that identify it.
        looked_for: Vec<String>,
        /// Other parquet files in the directory, whose names do not match.
        passed_over: Vec<String>,
    },
    /// A file could not be written.
    #[error("{path}: cannot be written")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file that would be written exists already.
    #[error("{path}: exists already, expected a directory without it")]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// No published layout can hold the set.
    #[error("{name}: {found}, expected {expected}")]
    NoForm {
        /// The set.
        name: String,
        /// The property of the set that prevents it.
        found: String,
        /// The sets that can be written.
        expected: &'static str,
    },
    /// A name is unknown.
    #[error("{kind} is {found:?}, expected one of {expected}")]
    UnknownName {
        /// The kind of thing named, such as `split`.
        kind: &'static str,
        /// The given name.
        found: String,
        /// The known names.
        expected: String,
    },
}
