//! Records to estimates, tables and figures.
//!
//! [`Estimates::from_rows`] checks the trials of one experiment, groups them into cells (model,
//! protection, fault model, rate) and estimates, for each cell, accuracy and accuracy drop
//! ([`CellSummary`]) and the outcomes of decoding ([`CellOutcomes`]); and, for each two protections
//! under the same faults, their difference trial by trial ([`PairedDifference`]). Estimates are typed values.
//! Functions turn them into text ([`table_csv`], [`table_markdown`], [`drop_table`]) and into a [`Figure`]
//! ([`accuracy_figure`]), which renders as SVG and PNG. [`write_report`] writes all of it into a folder, with a report as
//! Markdown and as one page of HTML that needs no other file.
//!
//! If a fault model was swept over tensors or bits, a curve for each would be unreadable: the report then ranks them
//! ([`Sensitivity`]), and a heat map takes the place of the curves. Versions of one network are compared with each other
//! ([`Comparison`]).
//!
//! An **accuracy drop** is clean - faulty accuracy in points, each in % of the evaluated images;
//! negative when faults happened to help; for images without labels agreement with the fault-free network takes
//! the place of accuracy ([`Measure`]). If an evaluator scores the network by metrics, the score of a metric takes that
//! place, and a drop is the amount by which faults make it worse ([`Estimates::further`]). All trials count. The statistic of the paper (Guan et al.,
//! "In-Place Zero-Space Memory Protection for CNN", NeurIPS 2019), which drops the best and the worst
//! trial, is computed beside it for comparison only ([`Trimmed`]).
//!
//! Campaigns of single faults have estimates of their own: critical rates with intervals that are exact for finite populations
//! ([`FaultEstimates`], [`write_fault_report`]).
//!
//! Beside campaigns, the crate draws weights and trainings: [`LargeWeights`] are the positions of large weights in their
//! blocks, [`Trainings`] the courses of trainings that remove them. [`NetworkTable`] puts float and int8 networks beside
//! the paper's numbers for them.
//!
//! Everything here is a function of its arguments: equal rows give equal bytes, figures included. The
//! bootstrap behind the intervals ([`Interval`]) has a fixed seed.
//!
//! The crate has four floors, `estimate`, `text`, `plot` and `report`; each uses only those before it.

mod error;
mod estimate;
mod plot;
mod report;
mod text;

pub use error::AnalysisError;
pub use estimate::cell::{CellKey, rate_label, trials_frame};
pub use estimate::comparison::Comparison;
pub use estimate::drawn::{DrawnImages, FEWEST_TRIALS, PilotedCell, SampleSize, VarianceComponents};
pub use estimate::estimates::Estimates;
pub use estimate::failures::{FailureEstimate, failures};
pub use estimate::interval::{INTERVAL_METHOD, Interval, SplitMix64};
pub use estimate::large::{LargeEstimates, LargeEstimator};
pub use estimate::large_weights::{LargeWeightCounts, LargeWeights};
pub use estimate::lossy::LossyStorage;
pub use estimate::measure::{Measure, Unit, points};
pub use estimate::network::{MeasuredNetwork, NetworkTable, PUBLISHED_NETWORKS, PublishedNetwork};
pub use estimate::sensitivity::Sensitivity;
pub use estimate::single_fault::{Criterion, CriticalRate, FaultEstimate, FaultEstimates};
pub use estimate::summary::{CellOutcomes, CellSummary, DropStatistics, PairedDifference, Trimmed};
pub use estimate::training::{Training, TrainingCheck, Trainings};
pub use plot::accuracy::accuracy_figure;
pub use plot::comparison::comparison_figure;
pub use plot::figure::Figure;
pub use plot::large_weights::large_weights_figure;
pub use plot::overhead::overhead_figure;
pub use plot::sensitivity::sensitivity_figure;
pub use plot::single_fault::single_fault_figure;
pub use plot::style::{Marker, Style, style_of, styles_of};
pub use plot::training::{large_values_figure, throttled_accuracy_figure};
pub use report::context::{Commands, Context, FaultCommands, Run};
pub use report::files::{write_large_weights, write_network_table, write_report, write_trainings};
pub use report::large::write_large_report;
pub use report::single_fault::write_fault_report;
pub use text::arrow::{ArrowTable, Values};
pub use text::comparison::{comparison_csv, comparison_latex, comparison_markdown, comparison_outcomes};
pub use text::conditions::conditions;
pub use text::csv::csv_field;
pub use text::drops::{Statistic, drop_latex, drop_table};
pub use text::large::worst_cells_table;
pub use text::large_weights::large_weights_csv;
pub use text::markdown::{MarkdownColumn, markdown_table};
pub use text::network_table::{network_table_csv, network_table_markdown, network_table_page};
pub use text::sensitivity::{sensitivity_csv, sensitivity_markdown};
pub use text::single_fault::{fault_conditions, ranking_table, strata_csv, total_table};
pub use text::tables::{Table, table_csv, table_frame, table_markdown};
