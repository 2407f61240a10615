//! Records to estimates, tables and figures.
//!
//! [`Report::from_rows`] checks the trials of one experiment, groups them into cells (model,
//! protection, fault model, rate) and estimates, for each cell, accuracy and accuracy drop
//! ([`CellSummary`]) and what the protection did ([`CellOutcomes`]); and, for each two protections
//! under the same faults, their difference trial by trial ([`PairedDifference`]). The estimates are
//! typed values; [`Table`] turns them into data frames, CSV and Markdown, [`Report::figure_svg`] and
//! [`Report::figure_png`] draw them, and [`write_report`] writes it all into a folder, with a report as Markdown
//! and as one page of HTML that needs no other file.
//!
//! Where a fault model was swept over tensors or bits, a curve for each would be unreadable: the report then ranks them
//! ([`Sensitivity`]), and a heat map takes the place of the curves.
//!
//! An **accuracy drop** is clean - faulty accuracy in points, each in % of the evaluated images;
//! negative when faults happened to help; for images without labels agreement with the fault-free network takes
//! the place of accuracy ([`Measure`]). All trials count. The statistic of the paper (Guan et al.,
//! "In-Place Zero-Space Memory Protection for CNN", NeurIPS 2019), which drops the best and the worst
//! trial, is computed beside it for comparison only ([`Trimmed`]).
//!
//! Beside campaigns, it draws what happens to weights before them: [`LargeWeights`], where in their blocks
//! the large weights are, and [`Trainings`], how training removes them and what that costs. [`NetworkTable`] puts
//! float and int8 networks beside the paper's numbers for them.
//!
//! Everything here is a function of its arguments: equal rows give equal bytes, figures included. The
//! bootstrap behind the intervals ([`Interval`]) has a fixed seed.

mod axis;
mod canvas;
mod cell;
mod column;
mod comparison;
mod comparison_figure;
mod drops;
mod error;
mod escape;
mod estimate;
mod failures;
mod figure;
mod folder;
mod interval;
mod large_weights;
mod latex;
mod lossy;
mod network_table;
mod page;
mod rate;
mod rendering;
mod report;
mod sections;
mod sensitivity;
mod sensitivity_figure;
mod style;
mod table;
mod training;
mod training_figure;

pub use cell::{CellKey, rate_label, trials_frame};
pub use comparison::Comparison;
pub use drops::Statistic;
pub use error::AnalysisError;
pub use estimate::{CellOutcomes, CellSummary, DropStatistics, PairedDifference, Trimmed};
pub use failures::FailureEstimate;
pub use folder::{Context, Run, write_report};
pub use interval::{INTERVAL_METHOD, Interval};
pub use large_weights::{LargeWeightCounts, LargeWeights};
pub use lossy::LossyStorage;
pub use network_table::{MeasuredNetwork, NetworkTable, PUBLISHED_NETWORKS, PublishedNetwork};
pub use report::{Measure, Report};
pub use sensitivity::Sensitivity;
pub use style::{Marker, Style, paper_name, style_of, styles_of};
pub use table::Table;
pub use training::{Training, TrainingCheck, Trainings};
