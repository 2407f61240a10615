use std::fs;
use std::path::{Path, PathBuf};

use records::{NetworkEntry, StopRule};

use crate::comparison::Comparison;
use crate::drops::Statistic;
use crate::report::{Measure, Report};
use crate::sensitivity::Sensitivity;
use crate::table::Table;
use crate::{AnalysisError, INTERVAL_METHOD};

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
    /// Markdown that `report.md` opens with, such as the command and the conditions; may be empty.
    pub notes: &'a str,
}

/// Writes `report.md` and what it refers to into `dir`, which is created if missing: `summary.csv`,
/// `outcomes.csv`, `paired.csv`, `drops.tex`, `accuracy-vs-rate.svg`, `accuracy-vs-rate.png` (`agreement-vs-rate` when that
/// was measured); where networks are versions of one, `comparison.csv`, `comparison.tex`, and `comparison` and
/// `overhead` as `.svg` and `.png`; of a sweep over tensors or bits `sensitivity.csv`, `sensitivity.svg` and `sensitivity.png`, and
/// `drops.tex` and `accuracy-vs-rate` only for what was not swept. Each file appears
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
    files.push(("report.md", report_markdown(report, context, &comparison).into_bytes()));
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

fn figure_stem(measure: Measure) -> String {
    format!("{}-vs-rate", measure.word())
}

fn report_markdown(report: &Report, context: &Context, comparison: &Comparison) -> String {
    let (word, figure) = (report.measure.word(), figure_stem(report.measure));
    let capital = word.replacen('a', "A", 1);
    let mut sections = vec![format!("# {}", context.title), format!("{}.", report.conditions())];
    if !context.notes.trim().is_empty() {
        sections.push(context.notes.trim().into());
    }
    let (some_changed, all_changed) = report.has_changed_trials();
    let points = match some_changed {
        true => {
            "Points: single trials, where only changed ones were drawn these. Line: mean of all trials, for which the \
                 changed ones count with their probability."
        }
        false => "Points: single trials. Line: mean of all trials.",
    };
    let swept = report.is_swept();
    if swept {
        let sensitivity = Sensitivity::new(report, context.networks);
        sections.extend([
            format!("![Mean {word} drop by tensor and bit: {}](sensitivity.svg)", context.title),
            "Each field: mean drop in points of all trials in which only cells of that tensor and bit could flip. The \
             same figure as [PNG](sensitivity.png)."
                .into(),
            "## Sensitivity".into(),
            sensitivity.markdown(FIRST_OF_RANKING),
        ]);
    }
    if !comparison.is_empty() {
        sections.extend([
            format!("![Accuracy of every protection at every rate: {}](comparison.svg)", context.title),
            "The same figure as [PNG](comparison.png).".into(),
            "## Comparison".into(),
            comparison.markdown(),
            format!("![Accuracy against stored overhead: {}](overhead.svg)", context.title),
            "The same figure as [PNG](overhead.png).".into(),
            "## Outcomes".into(),
            comparison.outcomes_markdown(),
            "## Drops".into(),
            format!(
                "Every version with its protections in a panel of its own, all trials: [SVG]({figure}.svg), [PNG]({figure}.png)."
            ),
            report.drop_table(Statistic::AllTrials),
        ]);
    }
    if report.panels().is_empty() || !comparison.is_empty() {
        sections.push(EVERY_CELL.into());
        return closed(sections, report, some_changed);
    }
    sections.extend([
        format!("![{capital} versus bit error rate: {}]({figure}.svg)", context.title),
        format!(
            "{points} Band and bars: 95 % interval of the mean. Dashed: \
         fault-free {word}, also the markers at 0. Each shaded strip is one rate; protections are shifted \
         within it so that they do not hide each other. The same figure as [PNG]({figure}.png)."
        ),
        format!("## {capital} drop"),
        report.drop_table(Statistic::AllTrials),
    ]);
    if !all_changed {
        sections.extend([
            "The same with the paper's statistic (Guan et al., NeurIPS 2019, Table 2), for comparison with the \
             paper only:"
                .into(),
            report.drop_table(Statistic::Trimmed),
        ]);
    }
    if swept {
        sections.push(EVERY_CELL.into());
        return closed(sections, report, some_changed);
    }
    sections.extend(["## Summary".into(), report.markdown(Table::Summary)]);
    if let Some(stop) = context.stop {
        sections.extend(["## Failures".into(), report.failures_markdown(stop)]);
    }
    sections.extend([
        "## Outcomes".into(),
        report.markdown(Table::Outcomes),
        "## Paired differences".into(),
        report.markdown(Table::Paired),
    ]);
    closed(sections, report, some_changed)
}

/// The sections, ended by those on method.
fn closed(mut sections: Vec<String>, report: &Report, some_changed: bool) -> String {
    let word = report.measure.word();
    let capital = word.replacen('a', "A", 1);
    sections.extend([
        "## Method and limits".into(),
        METHOD.replace("{method}", INTERVAL_METHOD).replace("{word}", word).replace("{Word}", &capital),
    ]);
    if some_changed {
        sections.push(CHANGED.into());
    }
    if report.measure == Measure::Agreement {
        sections.push(AGREEMENT.into());
    }
    let sections: Vec<&str> = sections.iter().map(|s| s.trim_end()).collect();
    sections.join("\n\n") + "\n"
}

/// Rows of each ranking that a report shows.
const FIRST_OF_RANKING: usize = 40;

const EVERY_CELL: &str = "Every cell is in `summary.csv`, `outcomes.csv` and `paired.csv`.";

const METHOD: &str = "\
The unit of observation is a trial: one random set of bit flips in the stored weights, evaluated on a fixed \
set of images. All trials count; none is discarded, except in the statistic marked as the paper's. The \
intervals describe the randomness of the faults only. They do not cover the choice of images, nor that of the \
trained weights: both are fixed here, and a difference between networks needs more than one network.

Intervals: {method}. {Word} drops have heavy tails, and every interval from few trials is then too short: a \
collapse that happens in one trial of ten is missed by a third of all samples of ten trials, and no method \
can see it in those. In simulations the nominal 95 % was 62 to 90 % with 10 trials, 90 to 94 % with 30 and \
91 to 96 % with 100. Read intervals from fewer than 30 trials as a lower bound on the uncertainty, and see \
the largest drop beside the mean.

Protections are compared in pairs: trials with the same number meet the same faults in the data plane, so that \
the paired difference is usually more precise than the two intervals side by side suggest. Where a protection has \
check bits, those cells are hit as well, with faults of their own. The sign test asks only which of the two \
loses less more often; its p values are not corrected for the number of comparisons. If a protection runs on \
retrained weights, its fault-free {word} differs, and drops are relative to its own.";

const CHANGED: &str = "\
Changed trials: where a cell has a P(changed), its trials are drawn from those in which some stored word, padding \
included, reads back wrong, with exactly the law that independent flips have given that. All other trials read back \
what was stored and lose nothing, so P(changed) times the mean of the trials drawn estimates the mean of all trials \
without bias, and its interval is P(changed) times theirs. P(changed) is exact, from the number of flip patterns that \
each decoder gets wrong. Protections do not meet the same faults in such trials and are not compared in pairs.";

const AGREEMENT: &str = "\
The images have no labels: the prediction of the fault-free network stands for the label. Agreement is the share \
of images on which the faulty network predicts the same, a drop the share on which faults change the prediction \
(SDC rate). Neither says how often the network is right.";
