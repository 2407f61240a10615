use std::fs;
use std::path::{Path, PathBuf};

use design::StopRule;
use records::{Manifest, NetworkEntry};

use crate::AnalysisError;
use crate::comparison::Comparison;
use crate::drops::Statistic;
use crate::page::page;
use crate::report::Report;
use crate::sections::{figure_stem, markdown, sections};
use crate::sensitivity::Sensitivity;
use crate::table::Table;

/// What a report says beyond its records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The experiment's name.
    pub title: &'a str,
    /// Accuracy of guessing, % of images (100 / number of classes): the figure then shows it.
    pub chance_percent: Option<f64>,
    /// When cells ended before the plan's last trial: a section and `failures.csv` then say how often trials fail.
    pub stop: Option<StopRule>,
    /// What is known of the networks: the sizes of tensors in the table of a sweep.
    pub networks: &'a [NetworkEntry],
    /// Markdown on the networks and the images; may be empty.
    pub notes: &'a str,
    /// The run, when it is known: how to repeat it, and in `report.html` its plan and its machine.
    pub run: Option<Run<'a>>,
}

/// The run behind the records of a report.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Its plan and where it was first started.
    pub manifest: &'a Manifest,
    /// The arguments of `zerospace` that repeat all of it, but for `--data`.
    pub command: &'a str,
    /// Whether its images come from files, which `--data` says the folder of.
    pub needs_data: bool,
    /// The experiment file, as arguments of `zerospace verify` and `replay` name it.
    pub experiment: &'a str,
    /// SHA-256 of its `trials.parquet`, 64 hex digits.
    pub trials_sha256: &'a str,
}

/// Writes `report.md` and what it refers to into `dir`, which is created if missing: `summary.csv`,
/// `outcomes.csv`, `paired.csv`, `drops.tex`, `accuracy-vs-rate.svg`, `accuracy-vs-rate.png` (`agreement-vs-rate` when that
/// was measured); where networks are versions of one, `comparison.csv`, `comparison.tex`, and `comparison` and
/// `overhead` as `.svg` and `.png`; of a sweep over tensors or bits `sensitivity.csv`, `sensitivity.svg` and `sensitivity.png`, and
/// `drops.tex` and `accuracy-vs-rate` only for what was not swept. `report.html` says the same as `report.md` and what it was
/// made from, figures included, and needs no other file. Each file appears
/// under its name only when it is whole; `report.md` is the last. Equal input gives equal bytes.
///
/// # Errors
/// When the figure cannot be drawn or a file cannot be written.
pub fn write_report(report: &Report, context: &Context, dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
    let figure = figure_stem(report.measure);
    let (svg, png) = (format!("{figure}.svg"), format!("{figure}.png"));
    let mut files = vec![
        ("summary.csv", report.csv(Table::Summary).into_bytes()),
        ("outcomes.csv", report.csv(Table::Outcomes).into_bytes()),
        ("paired.csv", report.csv(Table::Paired).into_bytes()),
    ];
    if report.is_swept() {
        let sensitivity = Sensitivity::new(report, context.networks);
        files.extend([
            ("sensitivity.csv", sensitivity.csv().into_bytes()),
            ("sensitivity.svg", sensitivity.figure_svg(context.title)?.into_bytes()),
            ("sensitivity.png", sensitivity.figure_png(context.title)?),
        ]);
    }
    let comparison = Comparison::new(report, context.networks);
    if !comparison.is_empty() {
        files.extend([
            ("comparison.csv", comparison.csv().into_bytes()),
            ("comparison.tex", comparison.latex(context.title, &report.conditions()).into_bytes()),
            ("comparison.svg", comparison.table_svg(context.title)?.into_bytes()),
            ("comparison.png", comparison.table_png(context.title)?),
            ("overhead.svg", comparison.overhead_svg(context.title)?.into_bytes()),
            ("overhead.png", comparison.overhead_png(context.title)?),
        ]);
    }
    if !report.panels().is_empty() {
        files.push(("drops.tex", report.drop_latex(Statistic::AllTrials, context.title).into_bytes()));
        files.push((svg.as_str(), report.figure_svg(context)?.into_bytes()));
        files.push((png.as_str(), report.figure_png(context)?));
    }
    files.extend(context.stop.map(|stop| ("failures.csv", report.failures_csv(stop).into_bytes())));
    let sections = sections(report, context, &comparison);
    let html = page(report, context, &sections, &files);
    let markdown = markdown(report, context, &sections);
    files.extend([("report.html", html.into_bytes()), ("report.md", markdown.into_bytes())]);
    write_files(dir, &files)
}

/// Writes files into `dir`, in order; each appears under its name only when it is whole.
pub(crate) fn write_files(dir: &Path, files: &[(&str, Vec<u8>)]) -> Result<Vec<PathBuf>, AnalysisError> {
    fs::create_dir_all(dir).map_err(|source| AnalysisError::Io { path: dir.into(), source })?;
    let mut written = Vec::new();
    for (name, bytes) in files {
        let path = dir.join(name);
        records::write_durably(&path, bytes)
            .map_err(|source| AnalysisError::Io { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}
