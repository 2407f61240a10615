use std::path::PathBuf;

use crate::{DataSource, ImageShape, Split};

/// Why a set could not be made.
///
/// Images and rows are counted from 0, within the file that is named, or within the set where a set is named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused; the source says why.
    #[error("{path}: cannot be read")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Something other than a regular file stands where a file was expected.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
    },
    /// The file or folder holds no image.
    #[error("{path}: holds no images, expected at least one")]
    NoImages {
        /// The file or folder, or the first of several.
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
    /// A label names no class.
    #[error("{place}: {field} of image {image} is {label}, expected 0 to {}", classes - 1)]
    Label {
        /// The file, or the name of a set that was made from parts.
        place: String,
        /// Which label: the field or column.
        field: String,
        /// The image, counted from 0.
        image: usize,
        /// The value found.
        label: i64,
        /// The number of classes.
        classes: usize,
    },
    /// A number of classes which 16-bit labels cannot name.
    #[error("{name}: {classes} classes, expected 1 to 65536")]
    Classes {
        /// The set.
        name: String,
        /// The number asked for.
        classes: usize,
    },
    /// A shape outside what this crate holds.
    #[error(
        "{place}: shape {shape} (channels x height x width), expected 1 or 3 channels and sides of 1 to {}",
        crate::MAX_SIDE
    )]
    Shape {
        /// The set, the file, or the row of a file.
        place: String,
        /// The shape found.
        shape: ImageShape,
    },
    /// An image differs in shape from what it must match.
    #[error("{place}: image {image} has shape {found} (channels x height x width), expected {expected}")]
    ShapeMismatch {
        /// The file or the set.
        place: String,
        /// The image, counted from 0.
        image: usize,
        /// Its shape.
        found: ImageShape,
        /// The shape of the first image, or of the known data set.
        expected: ImageShape,
    },
    /// The number of pixels does not follow from shape and number of labels.
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
    /// More images were asked for than there are.
    #[error("{name}: asked for the first {asked} images, but there are {available}")]
    NotEnough {
        /// The set.
        name: String,
        /// Images asked for.
        asked: usize,
        /// Images there.
        available: usize,
    },
    /// A gzipped tar archive that is damaged or lacks a file.
    #[error("{path}: {reason}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A compressed file that does not unpack.
    #[error("{path}: not a sound gzip file: {reason}")]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// A pickle that holds no batch of images.
    #[error("{path}: {reason}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What was wrong, and what was expected.
        reason: String,
    },
    /// Not an IDX file of the expected kind.
    #[error("{path}: magic number {found:#010x}, expected {expected:#010x} (IDX {kind})")]
    Magic {
        /// The file.
        path: PathBuf,
        /// The first four bytes, big-endian.
        found: u32,
        /// What they should be.
        expected: u32,
        /// What the file should hold.
        kind: &'static str,
    },
    /// The file's length does not follow from its header.
    #[error("{path}: {found} bytes, expected {expected} {reason}")]
    FileLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length its header calls for; a lower bound when the header itself is cut off.
        expected: u64,
        /// How the expected length comes about.
        reason: String,
    },
    /// Two files that go together disagree on the number of images.
    #[error("{images_path}: {images} images, but {labels_path}: {labels} labels; expected as many")]
    CountMismatch {
        /// The file of images.
        images_path: PathBuf,
        /// How many it holds.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// How many it holds.
        labels: usize,
    },
    /// The file is not sound parquet, or uses an encoding or codec that is not read here.
    #[error("{path}: not readable as parquet: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// A column is not there, or not of the type of the Hugging Face layout.
    #[error("{path}: no column {expected}; the columns are {found}")]
    Column {
        /// The file.
        path: PathBuf,
        /// Column names accepted, and their type.
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
        /// Rows read; of rows too many only the first is counted.
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
        /// What was wrong, and what was expected.
        reason: String,
    },
    /// A parquet or image decoder panicked on damaged content; its message has gone to the panic hook as
    /// well.
    #[error("{path}: damaged content, on which a decoder panicked: {reason}")]
    Decoder {
        /// The file.
        path: PathBuf,
        /// The message of the panic.
        reason: String,
    },
    /// The decoded images would take more memory than [`MAX_PIXEL_BYTES`](crate::MAX_PIXEL_BYTES).
    #[error("{path}: more than {limit} bytes of decoded pixels at row {row}")]
    TooManyPixels {
        /// The file.
        path: PathBuf,
        /// The row at which the limit was passed.
        row: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// A directory holds no shard of the split.
    #[error("{dir}: no {split}-*-of-*.parquet")]
    NoShards {
        /// The directory.
        dir: PathBuf,
        /// The split looked for.
        split: Split,
    },
    /// A shard of a set is not there.
    #[error(
        "{path}: missing; {}",
        total.map_or("there is a later shard".into(), |total| format!("the names of the other shards say that there are {total}"))
    )]
    MissingShard {
        /// The first missing file.
        path: PathBuf,
        /// The number of shards, where their names say it.
        total: Option<usize>,
    },
    /// Two files are the same shard of a split.
    #[error("{path}: the same shard as {other}, expected one of them")]
    DoubleShard {
        /// One of the files.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Shards of two different sets lie in one directory.
    #[error("{dir}: holds shards of two sets, of {first} and of {second} files; expected one")]
    MixedShards {
        /// The directory.
        dir: PathBuf,
        /// Shards of one set.
        first: usize,
        /// Shards of the other.
        second: usize,
    },
    /// A folder of images, or the file of labels beside it, is not laid out as expected.
    #[error("{path}: {found}, expected {expected}")]
    Layout {
        /// The folder or the file.
        path: PathBuf,
        /// What is wrong.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// No file of a folder of images could be decoded.
    #[error("{dir}: none of {files} image files can be decoded; the first, {first}: {reason}")]
    NoneReadable {
        /// The folder.
        dir: PathBuf,
        /// Files tried.
        files: usize,
        /// The first, relative to the folder.
        first: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
    /// The decoded images would take more memory than
    /// [`MAX_FOLDER_BYTES`](crate::MAX_FOLDER_BYTES).
    #[error(
        "{name}: {images} images of {image_bytes} bytes, expected at most {} together; ask for fewer images",
        crate::MAX_FOLDER_BYTES
    )]
    TooManyImages {
        /// The set.
        name: String,
        /// Images asked for.
        images: usize,
        /// Bytes an image.
        image_bytes: usize,
    },
    /// None of the layouts of a data set was found.
    #[error(
        "{dir}: no {split} set of {data_source} there; looked for {}{}",
        looked_for.join(", "),
        match &passed_over[..] {
            [] => String::new(),
            names => format!("; passed over {}, whose names are none of these", names.join(", ")),
        }
    )]
    NotFound {
        /// The directory searched.
        dir: PathBuf,
        /// The data set.
        data_source: DataSource,
        /// The split.
        split: Split,
        /// Each form of the set and the file names by which it is known.
        looked_for: Vec<String>,
        /// Parquet files in the directory under other names.
        passed_over: Vec<String>,
    },
    /// A file could not be written.
    #[error("{path}: cannot be written")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file that would be written is there already.
    #[error("{path}: there already, expected a directory without it")]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// A set that has no published form to be written in.
    #[error("{name}: {found}, expected {expected}")]
    NoForm {
        /// The set.
        name: String,
        /// What stands against it.
        found: String,
        /// What can be written.
        expected: &'static str,
    },
    /// A name that means nothing here.
    #[error("{kind} is {found:?}, expected one of {expected}")]
    UnknownName {
        /// What was to be named.
        kind: &'static str,
        /// The name given.
        found: String,
        /// The names that exist.
        expected: &'static str,
    },
}
