//! Data frame columns from records.

use polars_core::prelude::Column;

pub(crate) fn text<T>(name: &str, items: &[T], get: impl Fn(&T) -> &str) -> Column {
    Column::new(name.into(), items.iter().map(get).collect::<Vec<_>>())
}

/// The texts that values are displayed as.
pub(crate) fn displayed<T, D: ToString>(name: &str, items: &[T], get: impl Fn(&T) -> &D) -> Column {
    Column::new(name.into(), items.iter().map(|item| get(item).to_string()).collect::<Vec<_>>())
}

pub(crate) fn count<T>(name: &str, items: &[T], get: impl Fn(&T) -> u64) -> Column {
    Column::new(name.into(), items.iter().map(get).collect::<Vec<_>>())
}

/// `None` becomes null.
pub(crate) fn real<T>(name: &str, items: &[T], get: impl Fn(&T) -> Option<f64>) -> Column {
    Column::new(name.into(), items.iter().map(get).collect::<Vec<_>>())
}

/// `None` becomes null.
pub(crate) fn optional_count<T>(name: &str, items: &[T], get: impl Fn(&T) -> Option<u64>) -> Column {
    Column::new(name.into(), items.iter().map(get).collect::<Vec<_>>())
}
