//! Words and digits of what was measured: percentages and points of images, or the scores of a metric.

use crate::estimate::estimates::Estimates;
use crate::estimate::measure::Measure;
use crate::estimate::summary::CellSummary;
use crate::text::number::Digits;
use design::Metric;
use polars_core::prelude::Column;

/// Terms of a measure.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    measure: &'a Measure,
    /// Digits after the point of a score.
    decimals: usize,
}

impl<'a> Terms<'a> {
    pub(crate) fn of(estimates: &'a Estimates) -> Self {
        Self::new(&estimates.measure, estimates.decimals())
    }

    pub(crate) fn new(measure: &'a Measure, decimals: usize) -> Self {
        Self { measure, decimals }
    }

    pub(crate) fn metric(&self) -> Option<&'a Metric> {
        self.measure.metric()
    }

    /// `accuracy`, or the name of the metric.
    pub(crate) fn word(&self) -> &'a str {
        self.measure.word()
    }

    /// The word for what faults take: a score gets worse, in whichever direction.
    pub(crate) fn drop(&self) -> &'static str {
        if self.measure.metric().is_some() { "degradation" } else { "drop" }
    }

    /// Name of a drop in texts: `accuracy drop in points`, `mAP degradation (higher is better: clean - faulty mAP)`.
    pub(crate) fn drop_in_units(&self) -> String {
        let word = self.word();
        match self.measure.metric() {
            None => format!("{word} drop in points"),
            Some(_) => format!("{word} degradation ({}: {})", self.direction(), self.difference()),
        }
    }

    /// Definition of a drop: `clean - faulty accuracy`.
    pub(crate) fn difference(&self) -> String {
        let word = self.word();
        if self.measure.is_lower_better() {
            format!("faulty - clean {word}")
        } else {
            format!("clean - faulty {word}")
        }
    }

    /// `higher is better` or `lower is better`, for a metric.
    pub(crate) fn direction(&self) -> String {
        self.measure.metric().map_or(String::new(), |metric| metric.better.to_string())
    }

    /// Name of the values with unit or direction, for axes: `accuracy, %`, `mAP (higher is better)`.
    pub(crate) fn axis(&self, word: &str) -> String {
        self.measure.metric().map_or_else(|| format!("{word}, %"), ToString::to_string)
    }

    /// Name of the values in a sentence: `accuracy in %`, `mAP (higher is better)`.
    pub(crate) fn values(&self) -> String {
        self.measure.metric().map_or_else(|| format!("{} in %", self.word()), ToString::to_string)
    }

    /// Adds ` %` to the heading of a column of percentages.
    pub(crate) fn heading(&self, heading: &str) -> String {
        if self.measure.metric().is_some() { heading.into() } else { format!("{heading} %") }
    }

    /// ` points`; a score has no unit.
    pub(crate) fn points(&self) -> &'static str {
        if self.measure.metric().is_some() { "" } else { " points" }
    }

    /// Digits of a number that has this number of decimals if it is in % or in points.
    pub(crate) fn digits(&self, decimals: usize) -> Digits {
        match self.measure.metric() {
            None => Digits::Fixed(decimals),
            Some(_) => Digits::Score(self.decimals),
        }
    }

    /// Digits of a cell's drops: drops of rare events may be far below fixed decimals.
    pub(crate) fn drop_digits(&self, summary: &CellSummary) -> Digits {
        if summary.changed_probability.is_some() { Digits::Small } else { self.digits(3) }
    }

    /// Name of a column of values: `accuracy_percent`, `clean_accuracy_percent` with the prefix `clean_`, or as in the records
    /// `score:mAP` and `clean_score:mAP`.
    pub(crate) fn value_column(&self, prefix: &str) -> String {
        let word = self.word();
        if self.measure.metric().is_some() {
            format!("{prefix}score:{word}")
        } else {
            format!("{prefix}{word}_percent")
        }
    }

    /// Name of a column of drops: `drop_mean_points`, `degradation_mean`.
    pub(crate) fn drop_column(&self, statistic: &str) -> String {
        self.points_column(&statistic.replace("drop", self.drop()))
    }

    /// Adds the unit to the name of a column: `interval_low_points`, `interval_low`.
    pub(crate) fn points_column(&self, name: &str) -> String {
        if self.measure.metric().is_some() { name.into() } else { format!("{name}_points") }
    }

    /// Columns that name a metric and its direction, `metric` and `better`; none if images are counted.
    pub(crate) fn metric_columns<T>(&self, items: &[T]) -> Vec<Column> {
        let Some(metric) = self.measure.metric() else { return Vec::new() };
        let column = |name: &str, text: &str| Column::new(name.into(), vec![text; items.len()]);
        vec![column("metric", &metric.name), column("better", metric.better.word())]
    }

    /// A value without its unit: `93.25`.
    pub(crate) fn number(&self, value: f64) -> String {
        self.digits(2).text(value)
    }

    /// A value with its unit: `93.25 %`.
    pub(crate) fn value(&self, value: f64) -> String {
        self.heading(&self.number(value))
    }
}
