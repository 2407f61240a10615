//! The report of a campaign of single faults.

use std::path::{Path, PathBuf};

use design::Strata;
use records::FaultManifest;

use crate::AnalysisError;
use crate::estimate::single_fault::FaultEstimates;
use crate::plot::single_fault::single_fault_figure;
use crate::report::context::FaultCommands;
use crate::report::file::ReportFile;
use crate::report::files::{drawn, write_files};
use crate::report::page::fault_page;
use crate::report::sections::{Section, joined};
use crate::text::escape::line;
use crate::text::single_fault::{
    criteria_note, fault_conditions, pooled_table, ranking_table, strata_csv, total_table,
};

/// Strata that the report ranks.
const RANKED: usize = 40;

/// Writes `report.md`, `report.html`, `strata.csv`, and the heat map `critical` as `.svg` and `.png` into `dir`, which is
/// created if missing. Each file appears under its name only when it is whole; equal input gives equal bytes.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn write_fault_report(
    estimates: &FaultEstimates,
    manifest: &FaultManifest,
    commands: &FaultCommands<'_>,
    dir: &Path,
) -> Result<Vec<PathBuf>, AnalysisError> {
    let title = &manifest.experiment;
    let heading = |text: &str| Section::Heading(text.into());
    let mut sections = vec![
        heading("All faults"),
        Section::Text(total_table(estimates)),
        Section::Text(criteria_note(estimates)),
        Section::Figure {
            file: "critical.svg".into(),
            shows: format!("Critical faults by tensor and bit: {title}"),
            caption: "Each field: % of the single faults in that tensor and bit that change the top-1 class of at least one \
                      image. The same figure as [PNG](critical.png)."
                .into(),
        },
    ];
    for (division, name) in [(Strata::Bit, "By bit"), (Strata::Tensor, "By tensor")] {
        if let Some(table) =
            pooled_table(estimates, division).filter(|_| estimates.spec.sample.strata == Strata::Both)
        {
            sections.extend([heading(name), Section::Text(table)]);
        }
    }
    if estimates.strata.len() > 1 {
        sections.extend([heading("Most critical strata"), Section::Text(ranking_table(estimates, RANKED))]);
    }
    sections.push(Section::Text("Every stratum is in `strata.csv`.".into()));
    sections.extend([heading("Network and images"), Section::Text(notes(manifest))]);
    let mut files =
        vec![ReportFile::text("strata.csv", "the estimates of every stratum", strata_csv(estimates))];
    files.extend(drawn(
        "critical",
        "the heat map of tensors and bits",
        &single_fault_figure(estimates, title),
    )?);
    let conditions = fault_conditions(estimates);
    let opening = vec![
        format!("# {}", line(title)),
        format!("{conditions}."),
        format!("Reproduce with `{}`.", commands.repeat),
    ];
    let report = joined(opening, &sections);
    let report = ReportFile::text("report.md", "this report as Markdown, for version control", report);
    let html = fault_page((manifest, &conditions), commands, &sections, &files, &report);
    files.extend([ReportFile::text("report.html", "", html), report]);
    write_files(dir, files)
}

/// The network and the images, as Markdown.
fn notes(manifest: &FaultManifest) -> String {
    let (network, set) = (&manifest.network, &manifest.spec.evaluation);
    let mut lines = vec![format!(
        "- **{}**: {}; content hash `{}`; {} images correct without faults",
        network.label, network.architecture, network.network, network.clean_correct
    )];
    lines.extend(network.provenance.iter().map(|line| format!("  - {line}")));
    if set.label_free {
        lines.push("- **the images have no labels: the fault-free predictions stand for them**".into());
    }
    lines.push(format!(
        "- **evaluation**: first {} images of {} {}, SHA-256 of the decoded images `{}`",
        set.images, set.name, set.split, set.digest
    ));
    lines.join("\n")
}
