//! The report of a large run: groups of cells in place of cells.

use std::path::{Path, PathBuf};

use crate::AnalysisError;
use crate::estimate::large::LargeEstimates;
use crate::plot::large::large_figure;
use crate::report::context::Context;
use crate::report::file::ReportFile;
use crate::report::files::{drawn, write_files};
use crate::report::page::large_page;
use crate::report::sections::{Section, joined};
use crate::text::escape::line;
use crate::text::large::{group_note, group_tables, large_conditions, terms, worst_cells_table, write_cells};

/// Writes `report.md`, `report.html`, the figure `drops` as `.svg` and `.png`, and `cells.csv`, a line for each cell, into
/// `dir`, which is created if missing. The size of all but `cells.csv` does not grow with the number of cells. Each file appears
/// under its name only when it is whole; equal input gives equal bytes.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn write_large_report(
    estimates: &LargeEstimates,
    context: &Context,
    dir: &Path,
) -> Result<Vec<PathBuf>, AnalysisError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| AnalysisError::Io { path, source }
    };
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    let cells = dir.join("cells.csv");
    durable::write_with(&cells, |file| write_cells(estimates, file)).map_err(io(&cells))?;

    let (title, terms) = (context.title, terms(estimates));
    let heading = |text: String| Section::Heading(text);
    let mut sections = vec![
        heading("A large run".into()),
        Section::Text(format!(
            "This run has {} cells and {} trials, too many for a table or a curve of each. Tables and figures show groups of \
             cells, and the cells that lose most. `cells.csv` has a line for every cell, with the standard error of its mean {}; \
             95 % intervals, which take a bootstrap each, are given for the cells that lose most, if they have at most 8192 \
             trials. Protections are not compared in pairs.",
            estimates.cells.len(),
            estimates.trials(),
            terms.drop()
        )),
        Section::Text(group_note(estimates)),
        Section::Figure {
            file: "drops.svg".into(),
            shows: format!("Mean {} by protection and rate: {title}", terms.drop()),
            caption: "Each field: the cells of a protection whose rates have the same power of ten; every cell has the same \
                      weight. The same figure as [PNG](drops.png)."
                .into(),
        },
    ];
    for (property, table) in group_tables(estimates) {
        sections.extend([heading(format!("By {property}")), Section::Text(table)]);
    }
    sections.extend([heading("Cells that lose most".into()), Section::Text(worst_cells_table(estimates))]);
    if let Some(metric) = terms.metric() {
        sections.push(Section::Text(format!(
            "Values are those of the first metric, {}; `trials.parquet` has the others.",
            metric.name
        )));
    }
    let description = "the shaded table of protections and rates";
    let files = Vec::from(drawn("drops", description, &large_figure(estimates, title))?);
    let conditions = large_conditions(estimates);
    let mut opening = vec![format!("# {}", line(title)), format!("{conditions}.")];
    if let Some(run) = context.run {
        opening.push(format!("Reproduce with `{}`{}.", run.commands.repeat, run.commands.explanation()));
    }
    if !context.notes.trim().is_empty() {
        opening.push(context.notes.trim().into());
    }
    let report = ReportFile::text(
        "report.md",
        "this report as Markdown, for version control",
        joined(opening, &sections),
    );
    let html = large_page(context, &conditions, &sections, &files, &report);
    let mut all = files;
    all.extend([ReportFile::text("report.html", "", html), report]);
    let mut written = vec![cells];
    written.extend(write_files(dir, all)?);
    Ok(written)
}
