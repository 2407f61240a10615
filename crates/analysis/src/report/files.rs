use std::fs;
use std::path::{Path, PathBuf};

use design::StopRule;

use crate::AnalysisError;
use crate::estimate::comparison::Comparison;
use crate::estimate::estimates::Estimates;
use crate::estimate::large_weights::LargeWeights;
use crate::estimate::network::NetworkTable;
use crate::estimate::replication::Replication;
use crate::estimate::sensitivity::Sensitivity;
use crate::estimate::training::Trainings;
use crate::plot::accuracy::accuracy_figure;
use crate::plot::comparison::comparison_figure;
use crate::plot::figure::Figure;
use crate::plot::large_weights::large_weights_figure;
use crate::plot::overhead::overhead_figure;
use crate::plot::sensitivity::sensitivity_figure;
use crate::plot::training::{large_values_figure, throttled_accuracy_figure};
use crate::report::context::Context;
use crate::report::file::ReportFile;
use crate::report::names::Names;
use crate::report::page::page;
use crate::report::sections::{Measured, markdown, sections};
use crate::text::comparison::{comparison_csv, comparison_latex};
use crate::text::conditions::conditions;
use crate::text::drops::{Statistic, drop_latex};
use crate::text::failures::failures_csv;
use crate::text::large_weights::large_weights_csv;
use crate::text::network_table::{network_table_csv, network_table_page};
use crate::text::replication::replication_csv;
use crate::text::sensitivity::sensitivity_csv;
use crate::text::tables::{Table, table_csv};

/// A figure as `.svg` and as `.png`.
pub(crate) fn drawn(
    stem: &str,
    description: &str,
    figure: &Figure,
) -> Result<[ReportFile; 2], AnalysisError> {
    let png = ReportFile {
        name: format!("{stem}.png"),
        description: "the same in pixels".into(),
        bytes: figure.png()?,
    };
    Ok([ReportFile::text(&format!("{stem}.svg"), description, figure.svg()?), png])
}

/// Writes `report.md` and the files that it refers to into `dir`, which is created if missing: `summary.csv`,
/// `outcomes.csv`, `paired.csv`, `drops.tex`, `accuracy-vs-rate.svg` and `.png` (`agreement-vs-rate` if that was
/// measured). If networks are versions of one, it writes `comparison.csv`, `comparison.tex`, and `comparison` and
/// `overhead` as `.svg` and `.png`, and `replication.csv` if they were trained several times. If tensors or bits were swept, it writes `sensitivity.csv`, `.svg` and `.png`, and
/// `drops.tex` and `accuracy-vs-rate` only for the cells that were not swept. `report.html` has the content of `report.md`
/// with figures and the run's plan, and needs no other file. Each file appears under its name only when it is whole;
/// `report.md` is the last. Equal input gives equal bytes.
///
/// If trials have scores, the figure is `score-vs-rate-NAME` with the name of the metric, and each metric after the first has
/// files of its own, `summary-NAME.csv` and so on; in the names of files characters other than letters, digits and
/// points are hyphens.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written; when there is a stop rule, which counts images, and trials have
/// scores.
pub fn write_report(
    estimates: &Estimates,
    context: &Context,
    dir: &Path,
) -> Result<Vec<PathBuf>, AnalysisError> {
    if let (Some(metric), Some(_)) = (estimates.measure.metric(), context.stop) {
        return Err(AnalysisError::StopWithScores { metric: metric.name.clone() });
    }
    let further: Vec<Estimates> = estimates.further().collect();
    let names = Names::of(&estimates.measure, estimates.metrics());
    let measured = |(estimates, names)| {
        let comparison = Comparison::new(estimates, context.networks);
        let replication = Replication::new(&comparison, context.networks);
        Measured { estimates, comparison, replication, names }
    };
    let measures: Vec<Measured<'_>> =
        std::iter::once(estimates).chain(&further).zip(&names).map(measured).collect();
    let mut files = Vec::new();
    for (place, measured) in measures.iter().enumerate() {
        files.extend(measure_files(measured, context, place == 0)?);
    }
    let sections = sections(&measures, context);
    let report = markdown(estimates, context, &sections);
    let report = ReportFile::text("report.md", "this report as Markdown, for version control", report);
    let html = page(estimates, context, &sections, &files, &report);
    files.extend([ReportFile::text("report.html", "", html), report]);
    write_files(dir, files)
}

/// Tables and figures of one measure; `outcomes.csv`, which all have in common, is among those of the first.
fn measure_files(
    measured: &Measured,
    context: &Context,
    first: bool,
) -> Result<Vec<ReportFile>, AnalysisError> {
    let Measured { estimates, comparison, replication, names } = measured;
    let Context { title, networks, .. } = *context;
    let word = estimates.measure.word();
    let of = estimates.measure.metric().map_or(String::new(), |metric| format!(", {metric}"));
    let mut files = vec![ReportFile::text(
        &names.csv("summary"),
        &format!("the estimates of every cell, in full precision{of}"),
        table_csv(estimates, Table::Summary),
    )];
    if first {
        files.push(ReportFile::text(
            "outcomes.csv",
            "outcomes of decoding in every cell",
            table_csv(estimates, Table::Outcomes),
        ));
    }
    files.push(ReportFile::text(
        &names.csv("paired"),
        &format!("protections compared trial by trial{of}"),
        table_csv(estimates, Table::Paired),
    ));
    if estimates.is_swept() {
        let sensitivity = Sensitivity::new(estimates, networks);
        files.push(ReportFile::text(
            &names.csv("sensitivity"),
            &format!("the whole ranking of tensors and bits{of}"),
            sensitivity_csv(&sensitivity),
        ));
        let figure = sensitivity_figure(&sensitivity, title);
        let description = format!("the heat map of tensors and bits{of}");
        files.extend(drawn(&names.stem("sensitivity"), &description, &figure)?);
    }
    if !comparison.is_empty() {
        files.extend([
            ReportFile::text(
                &names.csv("comparison"),
                &format!("every protection on every version of the networks, at every rate{of}"),
                comparison_csv(comparison),
            ),
            ReportFile::text(
                &names.latex("comparison"),
                "the same for LaTeX",
                comparison_latex(comparison, title, &conditions(estimates)),
            ),
        ]);
        if !replication.is_empty() {
            files.push(ReportFile::text(
                &names.csv("replication"),
                &format!("differences of protections over trainings{of}"),
                replication_csv(replication),
            ));
        }
        let figure = comparison_figure(comparison, title);
        let description = format!("the comparison as a shaded table{of}");
        files.extend(drawn(&names.stem("comparison"), &description, &figure)?);
        let figure = overhead_figure(comparison, title);
        let description = format!("{word} against stored overhead");
        files.extend(drawn(&names.stem("overhead"), &description, &figure)?);
    }
    if !estimates.panels().is_empty() {
        let description = match estimates.measure.metric() {
            None => "the table of drops for LaTeX".to_string(),
            Some(metric) => format!("the table of degradations for LaTeX, {metric}"),
        };
        files.push(ReportFile::text(
            &names.latex("drops"),
            &description,
            drop_latex(estimates, Statistic::AllTrials, title),
        ));
        let figure = accuracy_figure(estimates, title, context.chance_percent);
        let description = format!("{word} against the rate of faults");
        files.extend(drawn(&names.figure, &description, &figure)?);
    }
    if let Some(StopRule::Failures(rule)) = context.stop {
        let content = failures_csv(estimates, rule);
        files.push(ReportFile::text("failures.csv", "failures of trials in every cell", content));
    }
    Ok(files)
}

/// Writes `large-values` and `throttled-accuracy`, each as `.svg` and `.png`, into `dir`, which is created if missing. Each
/// file appears only when it is whole; equal input gives equal bytes.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn write_trainings(trainings: &Trainings, dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
    let large_values = drawn("large-values", "", &large_values_figure(trainings))?;
    let accuracy = drawn("throttled-accuracy", "", &throttled_accuracy_figure(trainings))?;
    write_files(dir, large_values.into_iter().chain(accuracy).collect())
}

/// Writes `large-weights.csv`, `large-weights.svg` and `large-weights.png` into `dir`, which is created if missing. Each
/// file appears only when it is whole; equal input gives equal bytes.
///
/// # Errors
/// When the figure cannot be drawn or a file cannot be written.
pub fn write_large_weights(large: &LargeWeights, dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
    let mut files = vec![ReportFile::text("large-weights.csv", "", large_weights_csv(large))];
    files.extend(drawn("large-weights", "", &large_weights_figure(large))?);
    write_files(dir, files)
}

/// Writes `table1.csv` and `table1.md` into `dir`, which is created if missing. Each file appears only when it is whole;
/// equal input gives equal bytes.
///
/// # Errors
/// When a file cannot be written.
pub fn write_network_table(table: &NetworkTable, dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
    let csv = ReportFile::text("table1.csv", "", network_table_csv(table));
    write_files(dir, vec![csv, ReportFile::text("table1.md", "", network_table_page(table))])
}

/// Writes files into `dir`, in order; each appears under its name only when it is whole.
pub(crate) fn write_files(dir: &Path, files: Vec<ReportFile>) -> Result<Vec<PathBuf>, AnalysisError> {
    fs::create_dir_all(dir).map_err(|source| AnalysisError::Io { path: dir.into(), source })?;
    let mut written = Vec::new();
    for file in files {
        let path = dir.join(file.name);
        durable::write(&path, &file.bytes)
            .map_err(|source| AnalysisError::Io { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}
