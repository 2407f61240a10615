//! `trials.parquet`: one row a trial, the cell's conditions repeated in each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::{CellSpec, TrialRecord};

/// Version of the table's schema, in the file's key-value metadata.
const TABLE_VERSION: &str = "1";
/// Version of a table with cells of changed trials, whose rows must not be taken for ordinary trials: it has a
/// further column, [`CHANGED_PROBABILITY`].
const CHANGED_VERSION: &str = "2";
const VERSION_KEY: &str = "zerospace.trials";

/// A trial with the conditions of its cell.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialRow {
    /// Cell id.
    pub cell: String,
    /// The plan's label for the network.
    pub model: String,
    /// Protection id.
    pub protection: String,
    /// Fault model id.
    pub fault_model: String,
    /// Bit error rate.
    pub rate: f64,
    /// The campaign's seed.
    pub seed: u64,
    /// Stored weights, without padding.
    pub weights: u64,
    /// Cells of the data plane.
    pub data_bits: u64,
    /// Cells of the check plane.
    pub check_bits: u64,
    /// Name of the evaluation set.
    pub data_set: String,
    /// Images evaluated.
    pub images: u64,
    /// Images that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// For a cell that draws only trials in which some stored word reads back wrong: the probability of that in an
    /// ordinary trial.
    pub changed_probability: Option<f64>,
    /// The trial.
    pub record: TrialRecord,
}

/// Why a table cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be opened.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
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
        /// What was found and expected.
        message: String,
    },
}

impl TrialRow {
    /// Joins a trial with its cell.
    pub fn new(cell: &CellSpec, clean_correct: u64, record: TrialRecord) -> Self {
        Self {
            cell: cell.id().to_string(),
            model: cell.model.clone(),
            protection: cell.protection.clone(),
            fault_model: cell.fault_model.clone(),
            rate: cell.rate,
            seed: cell.seed,
            weights: cell.stored.weights,
            data_bits: cell.stored.data_bits,
            check_bits: cell.stored.check_bits,
            data_set: format!("{} {}", cell.evaluation.name, cell.evaluation.split),
            images: cell.evaluation.images,
            clean_correct,
            changed_probability: cell.changed_probability,
            record,
        }
    }

    fn empty() -> Self {
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
        };
        Self {
            cell: text(),
            model: text(),
            protection: text(),
            fault_model: text(),
            rate: 0.0,
            seed: 0,
            weights: 0,
            data_bits: 0,
            check_bits: 0,
            data_set: text(),
            images: 0,
            clean_correct: 0,
            changed_probability: None,
            record,
        }
    }
}

/// How a column reaches its field.
enum Field {
    Text(fn(&mut TrialRow) -> &mut String),
    Count(fn(&mut TrialRow) -> &mut u64),
    Real(fn(&mut TrialRow) -> &mut f64),
    /// May be null.
    OptionalReal(fn(&mut TrialRow) -> &mut Option<f64>),
}

/// The columns, in file order.
const COLUMNS: &[(&str, Field)] = &[
    ("cell", Field::Text(|r| &mut r.cell)),
    ("model", Field::Text(|r| &mut r.model)),
    ("protection", Field::Text(|r| &mut r.protection)),
    ("fault_model", Field::Text(|r| &mut r.fault_model)),
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

/// The last column of a table with cells of changed trials; null in rows of ordinary cells.
const CHANGED_PROBABILITY: (&str, Field) =
    ("changed_probability", Field::OptionalReal(|r| &mut r.changed_probability));

/// The columns of a table, which depend on whether some cell has changed trials only.
fn columns(changed: bool) -> impl Iterator<Item = &'static (&'static str, Field)> {
    COLUMNS.iter().chain(changed.then_some(&CHANGED_PROBABILITY))
}

/// The file's bytes for `rows`; equal rows give equal bytes. Counts are stored as 64-bit integers
/// (unsigned, so seeds above 2^63 survive), text as UTF-8, one row group. Without cells of changed trials it is a table of
/// version 1, otherwise of version 2.
///
/// # Errors
/// Only when the parquet library refuses.
pub fn write_trials(rows: &[TrialRow]) -> Result<Vec<u8>, TableError> {
    let changed = rows.iter().any(|row| row.changed_probability.is_some());
    let mut fields = Vec::new();
    for (name, field) in columns(changed) {
        let (physical, converted, repetition) = match field {
            Field::Text(_) => (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8, Repetition::REQUIRED),
            Field::Count(_) => (PhysicalType::INT64, ConvertedType::UINT_64, Repetition::REQUIRED),
            Field::Real(_) => (PhysicalType::DOUBLE, ConvertedType::NONE, Repetition::REQUIRED),
            Field::OptionalReal(_) => (PhysicalType::DOUBLE, ConvertedType::NONE, Repetition::OPTIONAL),
        };
        let column = Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_converted_type(converted)
            .build()?;
        fields.push(Arc::new(column));
    }
    let schema = Arc::new(Type::group_type_builder("trials").with_fields(fields).build()?);
    let version =
        KeyValue::new(VERSION_KEY.into(), Some(if changed { CHANGED_VERSION } else { TABLE_VERSION }.into()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(vec![version]))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    let mut rows = rows.to_vec();
    for (_, field) in columns(changed) {
        let mut column = group.next_column()?.expect("as many columns as the schema has");
        match field {
            Field::Text(get) => {
                let values: Vec<ByteArray> = rows.iter_mut().map(|r| get(r).as_str().into()).collect();
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

/// Reads a table written by [`write_trials`].
///
/// # Errors
/// When the file is missing, damaged, not a table of trials, or of a newer version.
pub fn read_trials(path: &Path) -> Result<Vec<TrialRow>, TableError> {
    let io = |source| TableError::Io { path: path.into(), source };
    let schema_error = |message: String| TableError::Schema { path: path.into(), message };
    let not_parquet = |e: ParquetError| schema_error(format!("not a readable parquet file: {e}"));
    let file = std::fs::File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let reader = SerializedFileReader::new(file).map_err(not_parquet)?;
    let metadata = reader.metadata().file_metadata();
    let version = metadata
        .key_value_metadata()
        .and_then(|pairs| pairs.iter().find(|p| p.key == VERSION_KEY)?.value.clone())
        .ok_or_else(|| schema_error(format!("not a table of trials: no `{VERSION_KEY}` in its metadata")))?;
    let changed = version == CHANGED_VERSION;
    if version != TABLE_VERSION && !changed {
        return Err(schema_error(format!(
            "table version {version}, expected {TABLE_VERSION} or {CHANGED_VERSION}"
        )));
    }
    let names: Vec<&str> = metadata.schema_descr().columns().iter().map(|c| c.name()).collect();
    if !names.iter().eq(columns(changed).map(|(name, _)| name)) {
        return Err(schema_error(format!("columns {names:?} are not those of a table of trials")));
    }

    let mut all = Vec::new();
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(not_parquet)?;
        // Every row has hashes of its own, so a row takes more than a byte; a larger count is damage.
        let count = group.metadata().num_rows();
        if !u64::try_from(count).is_ok_and(|c| c <= length) {
            return Err(schema_error(format!("row group {index} claims {count} rows in {length} bytes")));
        }
        let count = count as usize;
        let mut rows = vec![TrialRow::empty(); count];
        for (i, (name, field)) in columns(changed).enumerate() {
            let column = group.get_column_reader(i).map_err(not_parquet)?;
            let read = match (field, column) {
                (Field::Text(get), ColumnReader::ByteArrayColumnReader(mut c)) => {
                    let mut values = Vec::new();
                    c.read_records(count, None, None, &mut values).map_err(not_parquet)?;
                    for (row, value) in rows.iter_mut().zip(&values) {
                        *get(row) = value.as_utf8().map_err(not_parquet)?.to_string();
                    }
                    values.len()
                }
                (Field::Count(get), ColumnReader::Int64ColumnReader(mut c)) => {
                    let mut values = Vec::new();
                    c.read_records(count, None, None, &mut values).map_err(not_parquet)?;
                    for (row, value) in rows.iter_mut().zip(&values) {
                        *get(row) = value.cast_unsigned();
                    }
                    values.len()
                }
                (Field::Real(get), ColumnReader::DoubleColumnReader(mut c)) => {
                    let mut values = Vec::new();
                    c.read_records(count, None, None, &mut values).map_err(not_parquet)?;
                    for (row, value) in rows.iter_mut().zip(&values) {
                        *get(row) = *value;
                    }
                    values.len()
                }
                (Field::OptionalReal(get), ColumnReader::DoubleColumnReader(mut c)) => {
                    let (mut defined, mut values) = (Vec::new(), Vec::new());
                    c.read_records(count, Some(&mut defined), None, &mut values).map_err(not_parquet)?;
                    let mut values = values.into_iter();
                    for (row, defined) in rows.iter_mut().zip(&defined) {
                        *get(row) = if *defined == 1 { values.next() } else { None };
                    }
                    defined.len()
                }
                _ => {
                    return Err(schema_error(format!(
                        "column {name} has another type than a table of trials"
                    )));
                }
            };
            if read != count {
                return Err(schema_error(format!("column {name} has {read} values, expected {count}")));
            }
        }
        all.extend(rows);
    }
    Ok(all)
}
