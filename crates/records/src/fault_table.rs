//! `faults.parquet`: one row a fault.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use design::FaultRecord;
use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::Int64Type;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::FileReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::TableError;

const VERSION_KEY: &str = "zerospace.faults";
const VERSION: &str = "1";
const COLUMNS: [&str; 5] = ["weight", "bit", "logits", "top1", "correct"];

/// Bits of a weight.
const BITS: u64 = 8;

/// Rows of a row group, so that the dictionary of its weights stays small.
const GROUP_ROWS: usize = 1 << 16;

/// Most rows of a table: 2^30.
const MOST_ROWS: i64 = 1 << 30;

/// The file's bytes for records; equal records give equal bytes. All columns are 64-bit integers.
///
/// # Errors
/// Only when the parquet library refuses.
pub(crate) fn write_faults(records: &[FaultRecord]) -> Result<Vec<u8>, TableError> {
    let mut fields = Vec::new();
    for name in COLUMNS {
        let column = Type::primitive_type_builder(name, PhysicalType::INT64)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(ConvertedType::UINT_64)
            .build()?;
        fields.push(Arc::new(column));
    }
    let schema = Arc::new(Type::group_type_builder("faults").with_fields(fields).build()?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(vec![KeyValue::new(VERSION_KEY.into(), Some(VERSION.into()))]))
        .build();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    for records in records.chunks(GROUP_ROWS) {
        let mut group = file.next_row_group()?;
        for place in 0..COLUMNS.len() {
            let values: Vec<i64> =
                records.iter().map(|record| fields_of(record)[place].cast_signed()).collect();
            let mut column = group.next_column()?.expect("as many columns as the schema has");
            column.typed::<Int64Type>().write_batch(&values, None, None)?;
            column.close()?;
        }
        group.close()?;
    }
    Ok(file.into_inner()?)
}

fn fields_of(record: &FaultRecord) -> [u64; 5] {
    let FaultRecord { fault, logits, top1, correct } = *record;
    [fault / BITS, fault % BITS, logits.into(), top1.into(), correct.into()]
}

/// Reads a table that [`write_faults`] wrote.
///
/// # Errors
/// When the file is missing, damaged, or not a table of faults.
pub(crate) fn read_faults(path: &Path) -> Result<Vec<FaultRecord>, TableError> {
    let io = |source| TableError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let read = match metadata.is_file() {
        true => catch_unwind(AssertUnwindSafe(|| rows(file, metadata.len()))).unwrap_or_else(|_| {
            Err("the parquet decoder panicked, expected an undamaged table of faults".into())
        }),
        false => Err("not a regular file".into()),
    };
    read.map_err(|message| TableError::Schema { path: path.into(), message })
}

fn rows(file: File, bytes: u64) -> Result<Vec<FaultRecord>, String> {
    let not_parquet = |error| format!("not a readable parquet file: {error}");
    let reader = parquet_guard::open(&file, bytes).map_err(not_parquet)?;
    let metadata = reader.metadata();
    let pairs = metadata.file_metadata().key_value_metadata();
    let version = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == VERSION_KEY)?.value.as_deref());
    if version != Some(VERSION) {
        return Err(format!("`{VERSION_KEY}` in its metadata is {version:?}, expected {VERSION}"));
    }
    let descriptions = metadata.file_metadata().schema_descr().columns();
    if !descriptions.iter().map(|column| column.name()).eq(COLUMNS) {
        return Err(format!("its columns are not {}", COLUMNS.join(", ")));
    }
    let file = Arc::new(file);
    let mut records = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = metadata.row_group(group);
        let count = group.num_rows();
        if !(0..=MOST_ROWS).contains(&count) {
            return Err(format!("a row group claims {count} rows, expected at most {MOST_ROWS}"));
        }
        let mut columns = Vec::new();
        for (index, name) in COLUMNS.iter().enumerate() {
            let chunk =
                group.columns().get(index).ok_or_else(|| format!("a row group has no column {name}"))?;
            let pages =
                parquet_guard::column_pages(&file, bytes, chunk, count as usize).map_err(not_parquet)?;
            let ColumnReader::Int64ColumnReader(mut column) =
                get_column_reader(descriptions[index].clone(), pages)
            else {
                return Err(format!("column {name} is not of 64-bit integers"));
            };
            if descriptions[index].max_def_level() > 0 || descriptions[index].max_rep_level() > 0 {
                return Err(format!("column {name} may be null or repeated, expected one value a row"));
            }
            let mut values = Vec::new();
            while values.len() <= count as usize {
                let before = values.len();
                column.read_records(BATCH_ROWS, None, None, &mut values).map_err(not_parquet)?;
                if values.len() == before {
                    break;
                }
            }
            if values.len() != count as usize {
                return Err(format!("column {name} has {} values, expected {count}", values.len()));
            }
            columns.push(values);
        }
        let [weights, bits, counts @ ..] = &columns[..] else { unreachable!("a list for each column") };
        for (row, (&weight, &bit)) in weights.iter().zip(bits).enumerate() {
            let (weight, bit) = (weight.cast_unsigned(), bit.cast_unsigned());
            let fault = weight.checked_mul(BITS).filter(|_| bit < BITS).map(|first| first + bit);
            let count = |place: usize| {
                let value = counts[place][row];
                let expected = || format!("{} is {value}, expected less than 2^32", COLUMNS[2 + place]);
                u32::try_from(value).map_err(|_| expected())
            };
            records.push(FaultRecord {
                fault: fault.ok_or_else(|| format!("bit {bit} of weight {weight}, expected bits 0 to 7"))?,
                logits: count(0)?,
                top1: count(1)?,
                correct: count(2)?,
            });
        }
    }
    Ok(records)
}

/// Rows read at a time, so that memory follows what a file holds and not what it claims.
const BATCH_ROWS: usize = 1 << 16;
