//! `trials.parquet`: one row a trial, the cell's conditions repeated in each.
//!
//! The table is written and read in blocks of rows, so that memory does not grow with the number of trials.

use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use design::{BlockCounts, CellSpec, FaultKind, FaultModel, Metric, ProtectionName, SharedText, TrialRecord};
use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{Type, TypePtr};
use rayon::prelude::*;

use crate::PlannedCell;

/// Version of the table's schema, in the file's key-value metadata.
const TABLE_VERSION: &str = "1";
/// Version of a table with cells of changed trials, whose rows must not be taken for ordinary trials: it has a
/// further column, [`CHANGED_PROBABILITY`].
const CHANGED_VERSION: &str = "2";
/// Version of a table with metrics, whose rows must not be taken for predictions: its last columns are `clean_score:NAME` and
/// `score:NAME` of each metric, after [`CHANGED_PROBABILITY`] if some cell has changed trials only.
const SCORES_VERSION: &str = "3";
/// Version of a table whose trials see blocks of the evaluation set, so that `correct` and `agree` count the images of a block:
/// its last columns are [`BLOCK_COLUMNS`], after [`CHANGED_PROBABILITY`] if some cell has changed trials only.
const BLOCKS_VERSION: &str = "4";
/// Key of the metrics in the metadata, as JSON.
const METRICS_KEY: &str = "zerospace.metrics";
const VERSION_KEY: &str = "zerospace.trials";

/// A trial with the conditions of its cell: one row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRow {
    /// Cell id.
    pub cell: SharedText,
    /// Label of the network in the plan.
    pub model: SharedText,
    /// Protection id.
    pub protection: ProtectionName,
    /// Fault model.
    pub fault_model: FaultModel,
    /// Bit error rate, or the quantity that the fault model takes instead.
    pub rate: f64,
    /// The campaign's seed.
    pub seed: u64,
    /// Stored weights, without padding.
    pub weights: u64,
    /// Bits of the data plane.
    pub data_bits: u64,
    /// Bits of the check plane.
    pub check_bits: u64,
    /// Name of the evaluation set.
    pub data_set: SharedText,
    /// Images of the evaluation set.
    pub images: u64,
    /// Images of the evaluation set that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// Images that each trial sees, if not all; the record then has the counts of the trial's block.
    pub images_per_trial: Option<u64>,
    /// Conditional sampling: [`CellSpec::changed_probability`].
    pub changed_probability: Option<f64>,
    /// Metrics of the cell; none if the network gives predictions.
    pub metrics: Arc<[Metric]>,
    /// Scores of the fault-free network, one for each metric.
    pub clean_scores: Vec<f64>,
    /// The trial.
    pub record: TrialRecord,
}

/// The reason for which a table cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be opened.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The parquet library refused.
    #[error("trials table: {0}")]
    Parquet(#[from] ParquetError),
    /// It is a parquet file, but not of trials, or of a newer version.
    #[error("{path}: {message}", path = .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The value found and the expectation.
        message: String,
    },
}

impl TrialRow {
    /// Joins a trial with its cell.
    pub fn new(cell: &CellSpec, clean_correct: u64, clean_scores: &[f64], record: TrialRecord) -> Self {
        Self {
            cell: cell.id().as_str().into(),
            model: cell.model.clone(),
            protection: cell.protection.clone(),
            fault_model: cell.fault_model.clone(),
            rate: cell.rate.get(),
            seed: cell.seed,
            weights: cell.stored.weights,
            data_bits: cell.stored.data_bits,
            check_bits: cell.stored.check_bits,
            data_set: format!("{} {}", cell.evaluation.name, cell.evaluation.split).trim_end().into(),
            images: cell.evaluation.images,
            clean_correct,
            images_per_trial: cell.evaluation.images_per_trial,
            changed_probability: cell.changed_probability,
            metrics: cell.metrics.as_slice().into(),
            clean_scores: clean_scores.to_vec(),
            record,
        }
    }

    /// Joins trials with their cell, as [`TrialRow::new`] does.
    pub(crate) fn of_trials(
        cell: &PlannedCell,
        clean_correct: u64,
        clean_scores: &[f64],
        trials: Vec<TrialRecord>,
    ) -> impl Iterator<Item = Self> + use<> {
        let Self { record, .. } = Self::empty(&[].into(), false);
        let row = Self::new(&cell.spec, clean_correct, clean_scores, record);
        trials.into_iter().map(move |record| Self { record, ..row.clone() })
    }

    /// A row without values, with the metrics of its table, and with counts of a block if its trials see blocks.
    fn empty(metrics: &Arc<[Metric]>, blocks: bool) -> Self {
        let text = String::new;
        let record = TrialRecord {
            trial: 0,
            flips_data: 0,
            flips_check: 0,
            pattern_hash: text(),
            words_hit: 0,
            corrected: 0,
            detected: 0,
            miscorrected: 0,
            silent: 0,
            weights_changed: 0,
            padding_changed: 0,
            weights_hash: text(),
            correct: 0,
            agree: 0,
            predictions_hash: text(),
            scores: vec![0.0; metrics.len()],
            block: blocks.then(BlockCounts::default),
        };
        Self {
            cell: SharedText::default(),
            model: SharedText::default(),
            protection: "faulty".parse().expect("a name"),
            fault_model: FaultKind::Bernoulli.into(),
            rate: 0.0,
            seed: 0,
            weights: 0,
            data_bits: 0,
            check_bits: 0,
            data_set: SharedText::default(),
            images: 0,
            clean_correct: 0,
            images_per_trial: blocks.then_some(0),
            changed_probability: None,
            metrics: metrics.clone(),
            clean_scores: vec![0.0; metrics.len()],
            record,
        }
    }
}

/// Accessors from a row to the field of a column.
#[derive(Clone, Copy)]
enum Field {
    Text(fn(&TrialRow) -> &String, fn(&mut TrialRow) -> &mut String),
    /// Text that most rows share with the row before.
    Shared(fn(&TrialRow) -> &SharedText, fn(&mut TrialRow) -> &mut SharedText),
    /// A value of a checked type, as its text.
    Checked {
        text: fn(&TrialRow) -> String,
        /// Compares the values of two rows.
        equal: fn(&TrialRow, &TrialRow) -> bool,
        /// Sets the value, or says what its text should be.
        set: fn(&mut TrialRow, &str) -> Result<(), String>,
        /// Sets the value to that of another row.
        copy: fn(&mut TrialRow, &TrialRow),
    },
    Count(fn(&TrialRow) -> u64, fn(&mut TrialRow) -> &mut u64),
    Real(fn(&TrialRow) -> f64, fn(&mut TrialRow) -> &mut f64),
    /// May be null.
    OptionalReal(fn(&TrialRow) -> Option<f64>, fn(&mut TrialRow) -> &mut Option<f64>),
    /// The number at a place of a list.
    RealAt(fn(&TrialRow) -> &[f64], fn(&mut TrialRow) -> &mut Vec<f64>, usize),
}

/// A column of the variant `$kind` for a field of a row.
macro_rules! column {
    (Text, $name:literal, $($field:ident).+) => {
        ($name, Field::Text(|r| &r.$($field).+, |r| &mut r.$($field).+))
    };
    (Shared, $name:literal, $($field:ident).+) => {
        ($name, Field::Shared(|r| &r.$($field).+, |r| &mut r.$($field).+))
    };
    ($kind:ident, $name:literal, $($field:ident).+) => {
        ($name, Field::$kind(|r| r.$($field).+, |r| &mut r.$($field).+))
    };
    (checked $name:literal, $field:ident, $read:expr) => {
        (
            $name,
            Field::Checked {
                text: |r| r.$field.to_string(),
                equal: |a, b| a.$field == b.$field,
                set: |r, text| {
                    r.$field = $read(text).map_err(|error| error.to_string())?;
                    Ok(())
                },
                copy: |r, other| r.$field = other.$field.clone(),
            },
        )
    };
}

/// The columns, in file order.
const COLUMNS: &[(&str, Field)] = &[
    column!(Shared, "cell", cell),
    column!(Shared, "model", model),
    column!(checked "protection", protection, ProtectionName::new),
    column!(checked "fault_model", fault_model, FaultModel::from_normal_form),
    column!(Real, "rate", rate),
    column!(Count, "seed", seed),
    column!(Count, "weights", weights),
    column!(Count, "data_bits", data_bits),
    column!(Count, "check_bits", check_bits),
    column!(Shared, "data_set", data_set),
    column!(Count, "images", images),
    column!(Count, "clean_correct", clean_correct),
    column!(Count, "trial", record.trial),
    column!(Count, "flips_data", record.flips_data),
    column!(Count, "flips_check", record.flips_check),
    column!(Text, "pattern_hash", record.pattern_hash),
    column!(Count, "words_hit", record.words_hit),
    column!(Count, "corrected", record.corrected),
    column!(Count, "detected", record.detected),
    column!(Count, "miscorrected", record.miscorrected),
    column!(Count, "silent", record.silent),
    column!(Count, "weights_changed", record.weights_changed),
    column!(Count, "padding_changed", record.padding_changed),
    column!(Text, "weights_hash", record.weights_hash),
    column!(Count, "correct", record.correct),
    column!(Count, "agree", record.agree),
    column!(Text, "predictions_hash", record.predictions_hash),
];

/// The column after these in a table with cells of changed trials; null in rows of ordinary cells.
const CHANGED_PROBABILITY: (&str, Field) = column!(OptionalReal, "changed_probability", changed_probability);

/// The last columns of a table whose trials see blocks of the evaluation set.
const BLOCK_COLUMNS: [(&str, Field); 3] = [
    (
        "images_per_trial",
        Field::Count(
            |r| r.images_per_trial.unwrap_or_default(),
            |r| r.images_per_trial.get_or_insert_default(),
        ),
    ),
    (
        "block_clean_correct",
        Field::Count(
            |r| r.record.block.map_or(0, |block| block.clean_correct),
            |r| &mut r.record.block.get_or_insert_default().clean_correct,
        ),
    ),
    (
        "block_both_correct",
        Field::Count(
            |r| r.record.block.map_or(0, |block| block.both_correct),
            |r| &mut r.record.block.get_or_insert_default().both_correct,
        ),
    ),
];

/// The columns of a table, which depend on its metrics, on whether some cell has changed trials only, and on whether trials
/// see blocks of images.
fn columns(changed: bool, metrics: &[Metric], blocks: bool) -> Vec<(String, Field)> {
    let of_blocks = BLOCK_COLUMNS.iter().filter(|_| blocks);
    let known = COLUMNS.iter().chain(changed.then_some(&CHANGED_PROBABILITY)).chain(of_blocks);
    let mut columns: Vec<_> = known.map(|(name, field)| (String::from(*name), *field)).collect();
    for (i, Metric { name, .. }) in metrics.iter().enumerate() {
        let clean = Field::RealAt(|r| &r.clean_scores, |r| &mut r.clean_scores, i);
        columns.push((format!("clean_score:{name}"), clean));
        let score = Field::RealAt(|r| &r.record.scores, |r| &mut r.record.scores, i);
        columns.push((format!("score:{name}"), score));
    }
    columns
}

/// Rows of a row group. A table with more has several, so that a writer holds the encoded columns of no more.
const GROUP_ROWS: usize = 1 << 20;

/// Rows that are encoded at a time: a multiple of the rows at which the parquet library may end a page, so that pages do not
/// depend on the division into blocks.
const BLOCK_ROWS: usize = 16 * 1024;

/// The form of a table, which all of its rows have.
#[derive(Clone, Debug)]
pub(crate) struct TableForm {
    /// True if some cell has changed trials only.
    pub(crate) changed: bool,
    /// Metrics of all cells; none if networks give predictions.
    pub(crate) metrics: Arc<[Metric]>,
    /// True if trials see blocks of images.
    pub(crate) blocks: bool,
}

impl TableForm {
    /// Checks that a row has the form.
    fn check(&self, row: &TrialRow) {
        let scores = [&row.clean_scores, &row.record.scores];
        let alike =
            *row.metrics == *self.metrics && scores.iter().all(|scores| scores.len() == self.metrics.len());
        assert!(alike, "all rows have the metrics of the first, and a score of each");
        let in_blocks = [row.images_per_trial.is_some(), row.record.block.is_some()] == [self.blocks; 2];
        assert!(in_blocks, "all trials see blocks of images, or none does");
    }
}

/// Writes a table to a sink, and returns the sink; equal rows give equal bytes, those of [`write_trials`]. Memory holds the
/// encoded columns of one row group and the rows of one block.
///
/// # Errors
/// When the parquet library refuses, or with the first error among the rows.
///
/// # Panics
/// When a row has not the form.
pub(crate) fn write_table<W: Write + Send, E: From<TableError>>(
    sink: W,
    form: &TableForm,
    rows: impl IntoIterator<Item = Result<TrialRow, E>>,
) -> Result<W, E> {
    let columns = columns(form.changed, &form.metrics, form.blocks);
    let schema = schema(&columns).map_err(TableError::from)?;
    let version = match (&form.metrics[..], form.changed) {
        _ if form.blocks => BLOCKS_VERSION,
        ([], false) => TABLE_VERSION,
        ([], true) => CHANGED_VERSION,
        _ => SCORES_VERSION,
    };
    let mut pairs = vec![KeyValue::new(VERSION_KEY.into(), Some(version.into()))];
    if !form.metrics.is_empty() {
        let metrics = serde_json::to_string(&form.metrics[..]).expect("plain data serializes");
        pairs.push(KeyValue::new(METRICS_KEY.into(), Some(metrics)));
    }
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(pairs))
        .build();
    let properties = Arc::new(properties);
    let mut file = SerializedFileWriter::new(sink, schema, properties.clone()).map_err(TableError::from)?;
    let mut rows = rows.into_iter().peekable();
    loop {
        let blocks = std::iter::from_fn(|| {
            let block: Result<Vec<TrialRow>, E> = rows.by_ref().take(BLOCK_ROWS).collect();
            block.map(|block| (!block.is_empty()).then_some(block)).transpose()
        });
        write_group(&mut file, &properties, &columns, form, blocks.take(GROUP_ROWS / BLOCK_ROWS))?;
        if rows.peek().is_none() {
            return Ok(file.into_inner().map_err(TableError::from)?);
        }
    }
}

/// Writes a row group: all columns grow together in memory, and are put one behind the other at the end.
fn write_group<W: Write + Send, E: From<TableError>>(
    file: &mut SerializedFileWriter<W>,
    properties: &WriterPropertiesPtr,
    columns: &[(String, Field)],
    form: &TableForm,
    blocks: impl Iterator<Item = Result<Vec<TrialRow>, E>>,
) -> Result<(), E> {
    let mut sinks: Vec<TrackedWrite<Vec<u8>>> =
        columns.iter().map(|_| TrackedWrite::new(Vec::new())).collect();
    let mut writers: Vec<ColumnWriter<'_>> = sinks
        .iter_mut()
        .zip(file.schema_descr().columns())
        .map(|(sink, column)| {
            get_column_writer(column.clone(), properties.clone(), Box::new(SerializedPageWriter::new(sink)))
        })
        .collect();
    for block in blocks {
        let block = block?;
        block.iter().for_each(|row| form.check(row));
        let encoded = writers
            .par_iter_mut()
            .zip(columns)
            .try_for_each(|(writer, (_, field))| field.write(writer, &block));
        encoded.map_err(TableError::from)?;
    }
    let closed: Result<Vec<ColumnCloseResult>, ParquetError> =
        writers.into_iter().map(ColumnWriter::close).collect();
    let append = |closed: Vec<ColumnCloseResult>| {
        let mut group = file.next_row_group()?;
        for (sink, close) in sinks.into_iter().zip(closed) {
            group.append_column(&Bytes::from(sink.into_inner()?), close)?;
        }
        group.close()
    };
    closed.and_then(append).map_err(TableError::from)?;
    Ok(())
}

impl Field {
    /// Encodes the column's values of some rows.
    fn write(self, column: &mut ColumnWriter<'_>, rows: &[TrialRow]) -> Result<(), ParquetError> {
        match (self, column) {
            (Self::Text(get, _), ColumnWriter::ByteArrayColumnWriter(column)) => {
                let values: Vec<ByteArray> = rows.iter().map(|r| get(r).as_str().into()).collect();
                column.write_batch(&values, None, None)?;
            }
            (Self::Shared(get, _), ColumnWriter::ByteArrayColumnWriter(column)) => {
                let values = repeated(rows, |a, b| get(a) == get(b), |r| get(r).as_str().into());
                column.write_batch(&values, None, None)?;
            }
            (Self::Checked { text, equal, .. }, ColumnWriter::ByteArrayColumnWriter(column)) => {
                let values = repeated(rows, equal, |r| text(r).into_bytes().into());
                column.write_batch(&values, None, None)?;
            }
            (Self::Count(get, _), ColumnWriter::Int64ColumnWriter(column)) => {
                let values: Vec<i64> = rows.iter().map(|r| get(r).cast_signed()).collect();
                column.write_batch(&values, None, None)?;
            }
            (Self::Real(get, _), ColumnWriter::DoubleColumnWriter(column)) => {
                let values: Vec<f64> = rows.iter().map(get).collect();
                column.write_batch(&values, None, None)?;
            }
            (Self::RealAt(get, _, i), ColumnWriter::DoubleColumnWriter(column)) => {
                let values: Vec<f64> = rows.iter().map(|r| get(r)[i]).collect();
                column.write_batch(&values, None, None)?;
            }
            (Self::OptionalReal(get, _), ColumnWriter::DoubleColumnWriter(column)) => {
                let defined: Vec<i16> = rows.iter().map(|r| i16::from(get(r).is_some())).collect();
                let values: Vec<f64> = rows.iter().filter_map(get).collect();
                column.write_batch(&values, Some(&defined), None)?;
            }
            _ => unreachable!("the schema gives each field's column its type"),
        }
        Ok(())
    }
}

/// The text of each row, made once for rows with equal ones that follow each other.
fn repeated(
    rows: &[TrialRow],
    equal: impl Fn(&TrialRow, &TrialRow) -> bool,
    text: impl Fn(&TrialRow) -> ByteArray,
) -> Vec<ByteArray> {
    let mut values: Vec<ByteArray> = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let value = match values.last().filter(|_| equal(&rows[i - 1], row)) {
            Some(last) => last.clone(),
            None => text(row),
        };
        values.push(value);
    }
    values
}

/// The schema of a table with these columns.
fn schema(columns: &[(String, Field)]) -> Result<TypePtr, ParquetError> {
    let mut fields = Vec::new();
    for (name, field) in columns {
        let (physical, converted, repetition) = match field {
            Field::Text(..) | Field::Shared(..) | Field::Checked { .. } => {
                (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8, Repetition::REQUIRED)
            }
            Field::Count(..) => (PhysicalType::INT64, ConvertedType::UINT_64, Repetition::REQUIRED),
            Field::Real(..) | Field::RealAt(..) => {
                (PhysicalType::DOUBLE, ConvertedType::NONE, Repetition::REQUIRED)
            }
            Field::OptionalReal(..) => (PhysicalType::DOUBLE, ConvertedType::NONE, Repetition::OPTIONAL),
        };
        let column = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_converted_type(converted)
            .build()?;
        fields.push(Arc::new(column));
    }
    Ok(Arc::new(Type::group_type_builder("trials").with_fields(fields).build()?))
}

/// The file's bytes for `rows`; equal rows give equal bytes. Counts are stored as 64-bit integers
/// (unsigned, so seeds above 2^63 survive), text as UTF-8; a row group has 2^20 rows. Without cells of changed trials, metrics
/// and blocks of images it is a table of version 1.
///
/// # Errors
/// Only when the parquet library refuses.
///
/// # Panics
/// When the rows have different metrics, or another number of scores; when some trials see blocks of images and others do not.
pub fn write_trials(rows: &[TrialRow]) -> Result<Vec<u8>, TableError> {
    let form = TableForm {
        changed: rows.iter().any(|row| row.changed_probability.is_some()),
        metrics: rows.first().map_or_else(|| [].into(), |row| row.metrics.clone()),
        blocks: rows.first().is_some_and(|row| row.images_per_trial.is_some()),
    };
    write_table(Vec::new(), &form, rows.iter().cloned().map(Ok))
}

/// Rows read at a time, so that memory follows what a file holds and not what it claims.
const BATCH_ROWS: usize = 1024;

/// Bytes of text that the rows of a file may take: 64 MiB and 256 times its length. A dictionary lets a small file
/// stand for any amount; an honest row takes a hundred or so bytes of text, and more than one in the file.
fn text_limit(file_bytes: u64) -> u64 {
    file_bytes.saturating_mul(256).saturating_add(64 << 20)
}

/// Reads a table written by [`write_trials`].
///
/// # Errors
/// When the file is missing, damaged, not a table of trials, or of a newer version; when its text takes more than
/// 64 MiB and 256 times its length.
pub fn read_trials(path: &Path) -> Result<Vec<TrialRow>, TableError> {
    let mut all = Vec::new();
    let limit = |bytes| Some(text_limit(bytes));
    read_blocks(path, limit, &mut |rows| {
        all.extend(rows);
        Ok(())
    })?;
    Ok(all)
}

/// Reads a table cell by cell: calls `each` with the rows of every cell, which follow each other in the file. Memory holds the
/// rows of one cell.
///
/// # Errors
/// As [`read_trials`], whatever the length of its text; with the error of `each`, which ends the reading.
pub fn read_cells<E: From<TableError>>(
    path: &Path,
    each: &mut dyn FnMut(Vec<TrialRow>) -> Result<(), E>,
) -> Result<(), E> {
    let (mut cell, mut failed) = (Vec::<TrialRow>::new(), None);
    let mut of_block = |rows: Vec<TrialRow>| {
        for row in rows {
            if cell.last().is_some_and(|last| last.cell != row.cell)
                && let Err(error) = each(std::mem::take(&mut cell))
            {
                failed = Some(error);
                return Err("not read to its end".into());
            }
            cell.push(row);
        }
        Ok(())
    };
    let read = read_blocks(path, |_| None, &mut of_block);
    if let Some(error) = failed {
        return Err(error);
    }
    read?;
    if cell.is_empty() { Ok(()) } else { each(cell) }
}

/// Calls `each` with the rows of a table, some at a time. `text_limit` gives the most bytes of text for the length of the file.
fn read_blocks(
    path: &Path,
    text_limit: impl Fn(u64) -> Option<u64>,
    each: &mut dyn FnMut(Vec<TrialRow>) -> Result<(), String>,
) -> Result<(), TableError> {
    let io = |source| TableError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let length = metadata.len();
    let read = match metadata.is_file() {
        true => catch_unwind(AssertUnwindSafe(|| Table::open(file, length, text_limit(length))?.read(each)))
            .unwrap_or_else(|_| {
                Err("the parquet decoder panicked, expected an undamaged table of trials".into())
            }),
        // A pipe or a device has no length to compare its claims with.
        false => Err("not a regular file".into()),
    };
    read.map_err(|message| TableError::Schema { path: path.into(), message })
}

/// An opened table whose columns are those of a table of trials; errors say what is wrong with it.
struct Table {
    file: Arc<File>,
    file_bytes: u64,
    reader: SerializedFileReader<File>,
    columns: Vec<(String, Field)>,
    metrics: Arc<[Metric]>,
    /// True if the trials see blocks of images.
    blocks: bool,
    /// Bytes of text that may still come, if they are limited.
    text_left: Option<u64>,
    /// The last row of the block before, whose texts a row shares where they are equal.
    last: TrialRow,
}

impl Table {
    fn open(file: File, file_bytes: u64, text_left: Option<u64>) -> Result<Self, String> {
        let reader = parquet_guard::open(&file, file_bytes).map_err(not_parquet)?;
        let metadata = reader.metadata().file_metadata();
        let value = |key: &str| {
            let pairs = metadata.key_value_metadata();
            pairs
                .and_then(|pairs| pairs.iter().find(|p| p.key == key)?.value.clone())
                .ok_or_else(|| format!("not a table of trials: no `{key}` in its metadata"))
        };
        let found = metadata.schema_descr().columns();
        let names: Vec<&str> = found.iter().map(|c| c.name()).collect();
        let changes = names.contains(&CHANGED_PROBABILITY.0);
        let (changed, metrics, blocks) = match &value(VERSION_KEY)?[..] {
            TABLE_VERSION => (false, Vec::new(), false),
            CHANGED_VERSION => (true, Vec::new(), false),
            BLOCKS_VERSION => (changes, Vec::new(), true),
            SCORES_VERSION => {
                let metrics: Vec<Metric> = serde_json::from_str(&value(METRICS_KEY)?)
                    .map_err(|error| format!("`{METRICS_KEY}`: {error}"))?;
                Metric::check(&metrics).map_err(|error| format!("`{METRICS_KEY}`: {error}"))?;
                (changes, metrics, false)
            }
            version => {
                return Err(format!("table version {version}, expected {TABLE_VERSION} to {BLOCKS_VERSION}"));
            }
        };
        let expected = columns(changed, &metrics, blocks);
        if !names.iter().eq(expected.iter().map(|(name, _)| name)) {
            return Err(format!("columns {names:?} are not those of a table of trials"));
        }
        for (column, (name, field)) in found.iter().zip(&expected) {
            let nulls = i16::from(matches!(field, Field::OptionalReal(..)));
            if column.max_def_level() != nulls || column.max_rep_level() > 0 {
                let values = if nulls == 1 { "at most one value" } else { "one value" };
                return Err(format!("column {name} may be null or repeated, expected {values} a row"));
            }
        }
        let metrics: Arc<[Metric]> = metrics.into();
        Ok(Self {
            last: TrialRow::empty(&metrics, blocks),
            file: Arc::new(file),
            file_bytes,
            columns: expected,
            metrics,
            blocks,
            reader,
            text_left,
        })
    }

    fn read(mut self, each: &mut dyn FnMut(Vec<TrialRow>) -> Result<(), String>) -> Result<(), String> {
        for group in 0..self.reader.num_row_groups() {
            let count = self.reader.metadata().row_group(group).num_rows();
            // Every row has hashes of its own, so a row takes more than a byte; a larger count is damage.
            let count =
                u64::try_from(count).ok().filter(|&count| count <= self.file_bytes).ok_or_else(|| {
                    format!("row group {group} claims {count} rows in {} bytes", self.file_bytes)
                })?;
            self.read_group(group, count as usize, each)?;
        }
        Ok(())
    }

    fn read_group(
        &mut self,
        group: usize,
        count: usize,
        each: &mut dyn FnMut(Vec<TrialRow>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut readers: Vec<ColumnReader> =
            (0..self.columns.len()).map(|i| self.column(group, i, count)).collect::<Result<_, _>>()?;
        let mut done = 0;
        // At the end a row more is asked for, because a column may hold more than its group declares.
        loop {
            let wanted = BATCH_ROWS.min(count - done);
            let mut rows = vec![TrialRow::empty(&self.metrics, self.blocks); wanted];
            for (index, column) in readers.iter_mut().enumerate() {
                let (name, field) = &self.columns[index];
                let (name, field) = (name.clone(), *field);
                let read = self.read_batch(&name, field, column, &mut rows)?;
                if read != wanted {
                    let found = done + read;
                    return Err(format!("column {name} has {found} values, expected {count}"));
                }
            }
            let Some(last) = rows.last() else { return Ok(()) };
            self.last = last.clone();
            done += wanted;
            each(rows)?;
        }
    }

    fn column(&self, group: usize, index: usize, rows: usize) -> Result<ColumnReader, String> {
        let (name, _) = &self.columns[index];
        let metadata = self.reader.metadata();
        let chunk = metadata.row_group(group).columns().get(index);
        let chunk = chunk.ok_or_else(|| format!("row group {group} has no column {name}"))?;
        let pages =
            parquet_guard::column_pages(&self.file, self.file_bytes, chunk, rows).map_err(not_parquet)?;
        Ok(get_column_reader(metadata.file_metadata().schema_descr().column(index), pages))
    }

    /// Counts a value's text against the limit.
    fn text<'v>(&mut self, value: &'v ByteArray) -> Result<&'v str, String> {
        let text = value.as_utf8().map_err(not_parquet)?;
        if let Some(left) = &mut self.text_left {
            *left = left
                .checked_sub(text.len() as u64)
                .ok_or_else(|| format!("its text takes more than {} bytes", text_limit(self.file_bytes)))?;
        }
        Ok(text)
    }

    /// Reads the next values of a column, one a row, and returns their number.
    fn read_batch(
        &mut self,
        name: &str,
        field: Field,
        column: &mut ColumnReader,
        rows: &mut [TrialRow],
    ) -> Result<usize, String> {
        match (field, column) {
            (Field::Text(_, get), ColumnReader::ByteArrayColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                for (row, value) in rows.iter_mut().zip(&values) {
                    *get(row) = self.text(value)?.into();
                }
                Ok(values.len())
            }
            (Field::Shared(get, get_mut), ColumnReader::ByteArrayColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                let mut last = get(&self.last).clone();
                for (row, value) in rows.iter_mut().zip(&values) {
                    let text = self.text(value)?;
                    if last != *text {
                        last = text.into();
                    }
                    *get_mut(row) = last.clone();
                }
                Ok(values.len())
            }
            (Field::Checked { text, set, copy, .. }, ColumnReader::ByteArrayColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                let mut last = self.last.clone();
                let mut last_text = text(&last);
                for (row, value) in rows.iter_mut().zip(&values) {
                    let text = self.text(value)?;
                    if text != last_text {
                        set(&mut last, text).map_err(|error| format!("column {name}: {error}"))?;
                        last_text = text.into();
                    }
                    copy(row, &last);
                }
                Ok(values.len())
            }
            (Field::Count(_, get), ColumnReader::Int64ColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                rows.iter_mut().zip(&values).for_each(|(row, value)| *get(row) = value.cast_unsigned());
                Ok(values.len())
            }
            (Field::Real(_, get), ColumnReader::DoubleColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                rows.iter_mut().zip(&values).for_each(|(row, value)| *get(row) = *value);
                Ok(values.len())
            }
            (Field::RealAt(_, get, i), ColumnReader::DoubleColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                rows.iter_mut().zip(&values).for_each(|(row, value)| get(row)[i] = *value);
                Ok(values.len())
            }
            (Field::OptionalReal(_, get), ColumnReader::DoubleColumnReader(column)) => {
                let (mut defined, mut values) = (Vec::new(), Vec::new());
                let count = rows.len().max(1);
                column.read_records(count, Some(&mut defined), None, &mut values).map_err(not_parquet)?;
                let mut values = values.into_iter();
                for (row, defined) in rows.iter_mut().zip(&defined) {
                    *get(row) = if *defined == 1 { values.next() } else { None };
                }
                Ok(defined.len())
            }
            _ => Err(format!("column {name} has another type than a table of trials")),
        }
    }
}

/// Reads up to `count` values, and one where `count` is 0 and a value is left.
fn next_values<T: DataType>(column: &mut ColumnReaderImpl<T>, count: usize) -> Result<Vec<T::T>, String> {
    let mut values = Vec::new();
    column.read_records(count.max(1), None, None, &mut values).map_err(not_parquet)?;
    Ok(values)
}

fn not_parquet(error: ParquetError) -> String {
    format!("not a readable parquet file: {error}")
}
