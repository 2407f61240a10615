//! Tables for other programs: as Arrow through its C interface, and as columns of values.

use polars_core::frame::DataFrame;
use polars_core::prelude::{CompatLevel, DataType};
use polars_core::utils::arrow::array::{Array, StructArray};
use polars_core::utils::arrow::datatypes::{ArrowDataType, Field};
use polars_core::utils::arrow::ffi::{self, ArrowArrayStream, ArrowSchema};
use records::TrialRow;

use crate::estimate::cell::trials_frame;
use crate::estimate::estimates::Estimates;
use crate::text::tables::{Table, table_frame};

/// Values of a column; `None` is null.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Texts.
    Text(Vec<Option<String>>),
    /// Counts.
    Count(Vec<Option<u64>>),
    /// Real numbers.
    Real(Vec<Option<f64>>),
}

/// A table that other programs read without a copy.
#[derive(Clone, Debug)]
pub struct ArrowTable(DataFrame);

impl ArrowTable {
    /// The trials of a run ([`trials_frame`]).
    pub fn trials(rows: &[TrialRow]) -> Self {
        Self(trials_frame(rows))
    }

    /// A table of estimates ([`table_frame`]).
    pub fn of(estimates: &Estimates, table: Table) -> Self {
        Self(table_frame(estimates, table))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.0.height()
    }

    /// True if the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the columns, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.columns().iter().map(|column| column.name().to_string()).collect()
    }

    /// The columns with their values, in order.
    ///
    /// # Panics
    /// When a column holds something else than texts, counts and reals, which no table does.
    pub fn columns(&self) -> Vec<(String, Values)> {
        let values = |column: &polars_core::prelude::Column| match column.dtype() {
            DataType::String => {
                let texts = column.str().expect("it is a column of texts");
                Values::Text(texts.iter().map(|text| text.map(str::to_owned)).collect())
            }
            DataType::UInt64 => {
                Values::Count(column.u64().expect("it is a column of counts").iter().collect())
            }
            DataType::Float64 => {
                Values::Real(column.f64().expect("it is a column of reals").iter().collect())
            }
            other => unreachable!("a column of {other}"),
        };
        self.0.columns().iter().map(|column| (column.name().to_string(), values(column))).collect()
    }

    /// The schema for Arrow's C data interface: a struct with a field for each column.
    pub fn schema(&self) -> ArrowSchema {
        ffi::export_field_to_c(&self.batch().1)
    }

    /// The table for Arrow's C stream interface, as one batch.
    pub fn stream(&self) -> ArrowArrayStream {
        let (batch, field) = self.batch();
        ffi::export_iterator(Box::new(std::iter::once(Ok(batch))), field)
    }

    /// All rows as one array of structs, with its type.
    fn batch(&self) -> (Box<dyn Array>, Field) {
        // The oldest types are those that every reader knows.
        let arrays = self.0.rechunk_to_arrow(CompatLevel::oldest());
        let names = self.0.columns().iter().map(|column| column.name().clone());
        let fields = names.zip(&arrays).map(|(name, array)| Field::new(name, array.dtype().clone(), true));
        let struct_type = ArrowDataType::Struct(fields.collect());
        let field = Field::new("".into(), struct_type.clone(), false);
        (Box::new(StructArray::new(struct_type, self.len(), arrays, None)), field)
    }
}
