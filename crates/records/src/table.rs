//! `trials.parquet`: one row a trial, the cell's conditions repeated in each.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use design::{BlockCounts, CellSpec, FaultKind, FaultModel, Metric, ProtectionName, TrialRecord};
use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

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
    pub cell: String,
    /// Label of the network in the plan.
    pub model: String,
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
    pub data_set: String,
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
            cell: cell.id().to_string(),
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
            cell: text(),
            model: text(),
            protection: "faulty".parse().expect("a name"),
            fault_model: FaultKind::Bernoulli.into(),
            rate: 0.0,
            seed: 0,
            weights: 0,
            data_bits: 0,
            check_bits: 0,
            data_set: text(),
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

/// Accessor from a row to the field of a column.
#[derive(Clone, Copy)]
enum Field {
    Text(fn(&mut TrialRow) -> &mut String),
    /// A value of a checked type, as its text.
    Checked {
        text: fn(&TrialRow) -> String,
        /// Sets the value, or says what its text should be.
        set: fn(&mut TrialRow, &str) -> Result<(), String>,
    },
    Count(fn(&mut TrialRow) -> &mut u64),
    Real(fn(&mut TrialRow) -> &mut f64),
    /// May be null.
    OptionalReal(fn(&mut TrialRow) -> &mut Option<f64>),
    /// The number at a place of a list.
    RealAt(fn(&mut TrialRow) -> &mut Vec<f64>, usize),
}

/// The columns, in file order.
const COLUMNS: &[(&str, Field)] = &[
    ("cell", Field::Text(|r| &mut r.cell)),
    ("model", Field::Text(|r| &mut r.model)),
    (
        "protection",
        Field::Checked {
            text: |r| r.protection.to_string(),
            set: |r, text| {
                r.protection = ProtectionName::new(text).map_err(|error| error.to_string())?;
                Ok(())
            },
        },
    ),
    (
        "fault_model",
        Field::Checked {
            text: |r| r.fault_model.to_string(),
            set: |r, text| {
                r.fault_model = FaultModel::from_normal_form(text).map_err(|error| error.to_string())?;
                Ok(())
            },
        },
    ),
    ("rate", Field::Real(|r| &mut r.rate)),
    ("seed", Field::Count(|r| &mut r.seed)),
    ("weights", Field::Count(|r| &mut r.weights)),
    ("data_bits", Field::Count(|r| &mut r.data_bits)),
    ("check_bits", Field::Count(|r| &mut r.check_bits)),
    ("data_set", Field::Text(|r| &mut r.data_set)),
    ("images", Field::Count(|r| &mut r.images)),
    ("clean_correct", Field::Count(|r| &mut r.clean_correct)),
    ("trial", Field::Count(|r| &mut r.record.trial)),
    ("flips_data", Field::Count(|r| &mut r.record.flips_data)),
    ("flips_check", Field::Count(|r| &mut r.record.flips_check)),
    ("pattern_hash", Field::Text(|r| &mut r.record.pattern_hash)),
    ("words_hit", Field::Count(|r| &mut r.record.words_hit)),
    ("corrected", Field::Count(|r| &mut r.record.corrected)),
    ("detected", Field::Count(|r| &mut r.record.detected)),
    ("miscorrected", Field::Count(|r| &mut r.record.miscorrected)),
    ("silent", Field::Count(|r| &mut r.record.silent)),
    ("weights_changed", Field::Count(|r| &mut r.record.weights_changed)),
    ("padding_changed", Field::Count(|r| &mut r.record.padding_changed)),
    ("weights_hash", Field::Text(|r| &mut r.record.weights_hash)),
    ("correct", Field::Count(|r| &mut r.record.correct)),
    ("agree", Field::Count(|r| &mut r.record.agree)),
    ("predictions_hash", Field::Text(|r| &mut r.record.predictions_hash)),
];

/// The column after these in a table with cells of changed trials; null in rows of ordinary cells.
const CHANGED_PROBABILITY: (&str, Field) =
    ("changed_probability", Field::OptionalReal(|r| &mut r.changed_probability));

/// The last columns of a table whose trials see blocks of the evaluation set.
const BLOCK_COLUMNS: [(&str, Field); 3] = [
    ("images_per_trial", Field::Count(|r| r.images_per_trial.get_or_insert_default())),
    ("block_clean_correct", Field::Count(|r| &mut r.record.block.get_or_insert_default().clean_correct)),
    ("block_both_correct", Field::Count(|r| &mut r.record.block.get_or_insert_default().both_correct)),
];

/// The columns of a table, which depend on its metrics, on whether some cell has changed trials only, and on whether trials
/// see blocks of images.
fn columns(changed: bool, metrics: &[Metric], blocks: bool) -> Vec<(String, Field)> {
    let of_blocks = BLOCK_COLUMNS.iter().filter(|_| blocks);
    let known = COLUMNS.iter().chain(changed.then_some(&CHANGED_PROBABILITY)).chain(of_blocks);
    let mut columns: Vec<_> = known.map(|(name, field)| (String::from(*name), *field)).collect();
    for (i, Metric { name, .. }) in metrics.iter().enumerate() {
        columns.push((format!("clean_score:{name}"), Field::RealAt(|r| &mut r.clean_scores, i)));
        columns.push((format!("score:{name}"), Field::RealAt(|r| &mut r.record.scores, i)));
    }
    columns
}

/// The file's bytes for `rows`; equal rows give equal bytes. Counts are stored as 64-bit integers
/// (unsigned, so seeds above 2^63 survive), text as UTF-8, one row group. Without cells of changed trials, metrics and blocks
/// of images it is a table of version 1.
///
/// # Errors
/// Only when the parquet library refuses.
///
/// # Panics
/// When the rows have different metrics, or another number of scores; when some trials see blocks of images and others do not.
pub fn write_trials(rows: &[TrialRow]) -> Result<Vec<u8>, TableError> {
    let changed = rows.iter().any(|row| row.changed_probability.is_some());
    let metrics = rows.first().map_or(&[][..], |row| &row.metrics);
    let alike = |row: &TrialRow| {
        let scores = [&row.clean_scores, &row.record.scores];
        *row.metrics == *metrics && scores.iter().all(|scores| scores.len() == metrics.len())
    };
    assert!(rows.iter().all(alike), "all rows have the metrics of the first, and a score of each");
    let blocks = rows.first().is_some_and(|row| row.images_per_trial.is_some());
    let in_blocks =
        |row: &TrialRow| [row.images_per_trial.is_some(), row.record.block.is_some()] == [blocks; 2];
    assert!(rows.iter().all(in_blocks), "all trials see blocks of images, or none does");
    let columns = columns(changed, metrics, blocks);
    let mut fields = Vec::new();
    for (name, field) in &columns {
        let (physical, converted, repetition) = match field {
            Field::Text(_) | Field::Checked { .. } => {
                (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8, Repetition::REQUIRED)
            }
            Field::Count(_) => (PhysicalType::INT64, ConvertedType::UINT_64, Repetition::REQUIRED),
            Field::Real(_) | Field::RealAt(..) => {
                (PhysicalType::DOUBLE, ConvertedType::NONE, Repetition::REQUIRED)
            }
            Field::OptionalReal(_) => (PhysicalType::DOUBLE, ConvertedType::NONE, Repetition::OPTIONAL),
        };
        let column = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_converted_type(converted)
            .build()?;
        fields.push(Arc::new(column));
    }
    let schema = Arc::new(Type::group_type_builder("trials").with_fields(fields).build()?);
    let version = match (metrics, changed) {
        _ if blocks => BLOCKS_VERSION,
        ([], false) => TABLE_VERSION,
        ([], true) => CHANGED_VERSION,
        _ => SCORES_VERSION,
    };
    let mut pairs = vec![KeyValue::new(VERSION_KEY.into(), Some(version.into()))];
    if !metrics.is_empty() {
        let metrics = serde_json::to_string(metrics).expect("plain data serializes");
        pairs.push(KeyValue::new(METRICS_KEY.into(), Some(metrics)));
    }
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(pairs))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let mut rows = rows.to_vec();
    for (_, field) in &columns {
        let mut column = group.next_column()?.expect("as many columns as the schema has");
        match field {
            Field::Text(get) => {
                let values: Vec<ByteArray> = rows.iter_mut().map(|r| get(r).as_str().into()).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
            }
            Field::Checked { text, .. } => {
                let values: Vec<ByteArray> = rows.iter().map(|r| text(r).into_bytes().into()).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
            }
            Field::Count(get) => {
                let values: Vec<i64> = rows.iter_mut().map(|r| get(r).cast_signed()).collect();
                column.typed::<Int64Type>().write_batch(&values, None, None)?;
            }
            Field::Real(get) => {
                let values: Vec<f64> = rows.iter_mut().map(|r| *get(r)).collect();
                column.typed::<DoubleType>().write_batch(&values, None, None)?;
            }
            Field::RealAt(get, i) => {
                let values: Vec<f64> = rows.iter_mut().map(|r| get(r)[*i]).collect();
                column.typed::<DoubleType>().write_batch(&values, None, None)?;
            }
            Field::OptionalReal(get) => {
                let all: Vec<Option<f64>> = rows.iter_mut().map(|r| *get(r)).collect();
                let defined: Vec<i16> = all.iter().map(|value| i16::from(value.is_some())).collect();
                let values: Vec<f64> = all.into_iter().flatten().collect();
                column.typed::<DoubleType>().write_batch(&values, Some(&defined), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    Ok(file.into_inner()?)
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
    let io = |source| TableError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let read = match metadata.is_file() {
        true => catch_unwind(AssertUnwindSafe(|| Table::open(file, metadata.len())?.rows())).unwrap_or_else(
            |_| Err("the parquet decoder panicked, expected an undamaged table of trials".into()),
        ),
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
    /// Bytes of text that may still come.
    text_left: u64,
}

impl Table {
    fn open(file: File, file_bytes: u64) -> Result<Self, String> {
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
            let nulls = i16::from(matches!(field, Field::OptionalReal(_)));
            if column.max_def_level() != nulls || column.max_rep_level() > 0 {
                let values = if nulls == 1 { "at most one value" } else { "one value" };
                return Err(format!("column {name} may be null or repeated, expected {values} a row"));
            }
        }
        let text_left = text_limit(file_bytes);
        Ok(Self {
            file: Arc::new(file),
            file_bytes,
            columns: expected,
            metrics: metrics.into(),
            blocks,
            reader,
            text_left,
        })
    }

    fn rows(mut self) -> Result<Vec<TrialRow>, String> {
        let mut all = Vec::new();
        for group in 0..self.reader.num_row_groups() {
            let count = self.reader.metadata().row_group(group).num_rows();
            // Every row has hashes of its own, so a row takes more than a byte; a larger count is damage.
            let count =
                u64::try_from(count).ok().filter(|&count| count <= self.file_bytes).ok_or_else(|| {
                    format!("row group {group} claims {count} rows in {} bytes", self.file_bytes)
                })?;
            self.read_group(group, count as usize, &mut all)?;
        }
        Ok(all)
    }

    fn read_group(&mut self, group: usize, count: usize, all: &mut Vec<TrialRow>) -> Result<(), String> {
        let mut readers: Vec<ColumnReader> =
            (0..self.columns.len()).map(|i| self.column(group, i, count)).collect::<Result<_, _>>()?;
        let mut done = 0;
        // At the end a row more is asked for, because a column may hold more than its group declares.
        loop {
            let wanted = BATCH_ROWS.min(count - done);
            let first = all.len();
            all.resize(first + wanted, TrialRow::empty(&self.metrics, self.blocks));
            for (index, column) in readers.iter_mut().enumerate() {
                let (name, field) = &self.columns[index];
                let (name, field) = (name.clone(), *field);
                let read = self.read_batch(&name, field, column, &mut all[first..])?;
                if read != wanted {
                    let found = done + read;
                    return Err(format!("column {name} has {found} values, expected {count}"));
                }
            }
            if wanted == 0 {
                return Ok(());
            }
            done += wanted;
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
        self.text_left = self
            .text_left
            .checked_sub(text.len() as u64)
            .ok_or_else(|| format!("its text takes more than {} bytes", text_limit(self.file_bytes)))?;
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
            (Field::Text(get), ColumnReader::ByteArrayColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                for (row, value) in rows.iter_mut().zip(&values) {
                    *get(row) = self.text(value)?.into();
                }
                Ok(values.len())
            }
            (Field::Checked { set, .. }, ColumnReader::ByteArrayColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                for (row, value) in rows.iter_mut().zip(&values) {
                    set(row, self.text(value)?).map_err(|error| format!("column {name}: {error}"))?;
                }
                Ok(values.len())
            }
            (Field::Count(get), ColumnReader::Int64ColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                rows.iter_mut().zip(&values).for_each(|(row, value)| *get(row) = value.cast_unsigned());
                Ok(values.len())
            }
            (Field::Real(get), ColumnReader::DoubleColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                rows.iter_mut().zip(&values).for_each(|(row, value)| *get(row) = *value);
                Ok(values.len())
            }
            (Field::RealAt(get, i), ColumnReader::DoubleColumnReader(column)) => {
                let values = next_values(column, rows.len())?;
                rows.iter_mut().zip(&values).for_each(|(row, value)| get(row)[i] = *value);
                Ok(values.len())
            }
            (Field::OptionalReal(get), ColumnReader::DoubleColumnReader(column)) => {
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
