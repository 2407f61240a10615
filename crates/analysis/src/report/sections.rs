//! Sections of a report in order: `report.md` joins them, `report.html` renders them.

use design::{CellSpec, StopRule};

use crate::estimate::cell::first_appearances;
use crate::estimate::comparison::Comparison;
use crate::estimate::estimates::Estimates;
use crate::estimate::interval::INTERVAL_METHOD;
use crate::estimate::measure::Measure;
use crate::estimate::replication::Replication;
use crate::estimate::sensitivity::Sensitivity;
use crate::report::context::Context;
use crate::report::names::Names;
use crate::text::comparison::{comparison_markdown, comparison_outcomes};
use crate::text::conditions::conditions;
use crate::text::drops::{Statistic, drop_table};
use crate::text::escape::{line, lines};
use crate::text::failures::failures_markdown;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::rate::common_rate_name;
use crate::text::replication::replication_markdown;
use crate::text::sensitivity::sensitivity_markdown;
use crate::text::tables::{Table, table_markdown, variance_markdown};
use crate::text::terms::Terms;

/// A piece of a report, below its title and conditions.
pub(crate) enum Section {
    /// A heading of the second level, plain text.
    Heading(String),
    /// Paragraphs, lists and tables in Markdown.
    Text(String),
    /// A figure of the folder.
    Figure {
        /// Its SVG file.
        file: String,
        /// Title, plain text.
        shows: String,
        /// Caption, Markdown.
        caption: String,
    },
}

/// The estimates by one measure, and the names of the files that they are in.
pub(crate) struct Measured<'a> {
    pub(crate) estimates: &'a Estimates,
    pub(crate) comparison: Comparison,
    pub(crate) replication: Replication,
    pub(crate) names: &'a Names,
}

/// All sections between a report's opening and the run's own sections in `report.html`. The first measure is the headline.
pub(crate) fn sections(measures: &[Measured], context: &Context) -> Vec<Section> {
    let mut sections = Sections(Vec::new());
    for (place, measured) in measures.iter().enumerate() {
        add_measure(&mut sections, measured, context, place == 0);
    }
    let headline = measures[0].estimates;
    if let Some(evaluator) = evaluator(headline, context) {
        sections.heading("Evaluator");
        sections.text(evaluator);
    }
    sections.closed(headline)
}

/// Identity of an evaluator of the user's own, its determinism and the scores of each network without faults; `None` if the
/// program evaluates.
fn evaluator(estimates: &Estimates, context: &Context) -> Option<String> {
    let metrics = estimates.metrics();
    if metrics.is_empty() && context.determinism.is_none() {
        return None;
    }
    let mut lines = Vec::new();
    if let Some(run) = context.run {
        let cells: Vec<&CellSpec> = run.manifest.cells.iter().map(|cell| &cell.spec).collect();
        let names = first_appearances(&cells, |cell| cell.evaluator.as_str());
        let identity = "name, version and hash of the results without faults";
        lines.extend(names.iter().map(|name| format!("- **evaluator**: `{name}` ({identity})")));
    }
    lines.push(match context.determinism {
        None => "- **deterministic**: not tested".into(),
        Some(found) if found.deterministic => format!("- **deterministic**: yes; {}", found.evidence),
        Some(found) => format!(
            "- **deterministic**: no; {}. The intervals then also cover the randomness of the evaluator, and another run may \
             find other values",
            found.evidence
        ),
    });
    let mut text = lines.join("\n") + "\n";
    if !metrics.is_empty() {
        let mut columns = vec![MarkdownColumn::text("network"), MarkdownColumn::text("protection")];
        columns.extend(metrics.iter().map(|metric| MarkdownColumn::number(&metric.to_string())));
        let mut rows: Vec<Vec<String>> = Vec::new();
        for cell in &estimates.cells {
            let names = [cell.key.model.clone(), cell.key.protection.label()];
            if !rows.iter().any(|row| row[..2] == names) {
                let scores = cell.trials[0].clean_scores.iter().map(f64::to_string);
                rows.push(names.into_iter().chain(scores).collect());
            }
        }
        text.push_str(&format!("\nScores without faults:\n\n{}", markdown_table(&columns, &rows)));
    }
    Some(text)
}

/// Adds figures and tables of one measure.
fn add_measure(sections: &mut Sections, measured: &Measured, context: &Context, first: bool) {
    let Measured { estimates, comparison, replication, names } = measured;
    let (measure, terms) = (&estimates.measure, Terms::of(estimates));
    let (word, capital, figure) = (measure.word(), measure.capital(), &names.figure);
    // Sections of several metrics differ in their headings.
    let of = measure.metric().map_or(String::new(), |metric| format!(" of {}", metric.name));
    let by = measure.metric().map_or(String::new(), |metric| format!(" Vertical axis: {metric}."));
    let (some_changed, all_changed) = estimates.has_changed_trials();
    let points = match some_changed {
        true => {
            "Short strokes: single trials; of cells that draw only changed trials, these. Line: mean of all trials, to \
             which the changed ones contribute with their probability."
        }
        false if estimates.has_drawn_images() => {
            "Short strokes: single trials, each on its own images. Line: mean of all trials, the fault-free value less their \
             mean drop."
        }
        false => "Short strokes: single trials. Line: mean of all trials.",
    };
    let swept = estimates.is_swept();
    if swept {
        let sensitivity = Sensitivity::new(estimates, context.networks);
        sections.figure(
            &names.stem("sensitivity"),
            format!("Mean {word} {} by tensor and bit: {}", terms.drop(), context.title),
            format!(
                "Each field: mean {} of all trials in which only bits of that tensor and position could flip. The \
                 same figure as [PNG]({}.png).",
                match measure.metric() {
                    None => "drop in points".into(),
                    Some(_) => terms.drop_in_units(),
                },
                names.stem("sensitivity")
            ),
        );
        sections.heading(&format!("Sensitivity{of}"));
        sections.text(sensitivity_markdown(&sensitivity, FIRST_OF_RANKING, &names.csv("sensitivity")));
    }
    if !comparison.is_empty() {
        sections.figure(
            &names.stem("comparison"),
            format!("{capital} of every protection at every rate: {}", context.title),
            format!("The same figure as [PNG]({}.png).", names.stem("comparison")),
        );
        sections.heading(&format!("Comparison{of}"));
        sections.text(comparison_markdown(comparison));
        if !replication.is_empty() {
            sections.heading(&format!("Spread between trainings{of}"));
            sections.text(replication_markdown(replication, &names.csv("replication")));
        }
        sections.figure(
            &names.stem("overhead"),
            format!("{capital} against stored overhead: {}", context.title),
            format!("The same figure as [PNG]({}.png).", names.stem("overhead")),
        );
        if first {
            sections.heading("Outcomes");
            sections.text(comparison_outcomes(comparison));
        }
    }
    if estimates.panels().is_empty() {
        sections.text(every_cell(names));
        return;
    }
    let compared = !comparison.is_empty();
    let at_zero = match estimates.lossy.is_empty() {
        true => ", also the markers at 0",
        false => {
            " of the network. Markers at 0: the network as each protection stores it, where that was measured"
        }
    };
    if !compared {
        let caption = format!(
            "{points}{by} Band and bars: 95 % interval of the mean. Dashed grey line: fault-free {word}{at_zero}. Each shaded \
             strip is one rate; protections are shifted within it by a few pixels so that they do not hide each other. The \
             same figure as [PNG]({figure}.png)."
        );
        let shows = format!("{capital} versus {}: {}", common_rate_name(estimates), context.title);
        sections.figure(figure, shows, caption);
    }
    sections.heading(&format!("{capital} {}", terms.drop()));
    if compared {
        sections.text(format!(
            "Every version with its protections in a panel of its own, all trials: [SVG]({figure}.svg), [PNG]({figure}.png)."
        ));
    }
    sections.text(drop_table(estimates, Statistic::AllTrials));
    if !all_changed && !estimates.has_drawn_images() {
        sections.text(
            "The same with the paper's statistic (Guan et al., NeurIPS 2019, Table 2), for comparison with the \
             paper only:"
                .into(),
        );
        sections.text(drop_table(estimates, Statistic::Trimmed));
    }
    if swept {
        sections.text(every_cell(names));
        return;
    }
    sections.heading(&format!("Summary{of}"));
    sections.table(measured, Table::Summary, compared);
    if estimates.has_drawn_images() {
        sections.heading("Variance");
        sections.text(variance_markdown(estimates));
    }
    if let Some(StopRule::Failures(rule)) = context.stop {
        sections.heading("Failures");
        sections.text(failures_markdown(estimates, rule));
    }
    if let Some(StopRule::HalfWidth(rule)) = context.stop {
        sections.heading("Ends of cells");
        sections.text(format!(
            "A cell ends with the first unit after which the 95 % interval of its mean drop, by the normal distribution of its trials so \
             far, has a half width of {} points or less, and not before {} trials. The intervals of the summary are those of the \
             same trials by the bootstrap.\n",
            rule.half_width,
            rule.fewest_trials_text(estimates.has_changed_trials().0)
        ));
    }
    if !compared && first {
        sections.heading("Outcomes");
        sections.text(table_markdown(estimates, Table::Outcomes));
    }
    sections.heading(&format!("Paired differences{of}"));
    sections.table(measured, Table::Paired, compared);
}

struct Sections(Vec<Section>);

impl Sections {
    fn heading(&mut self, heading: &str) {
        self.0.push(Section::Heading(heading.into()));
    }

    fn text(&mut self, text: String) {
        self.0.push(Section::Text(text));
    }

    /// A table of a report; in a comparison of many versions, a long table is replaced by the name of its file.
    fn table(&mut self, measured: &Measured, table: Table, compared: bool) {
        let Measured { estimates, names, .. } = measured;
        let (rows, of, file) = match table {
            Table::Summary => (estimates.summaries().len(), "cells", names.csv("summary")),
            Table::Outcomes => (estimates.outcomes().len(), "cells", "outcomes.csv".into()),
            Table::Paired => (estimates.paired().len(), "comparisons", names.csv("paired")),
        };
        self.text(match compared && rows > MOST_ROWS {
            false => table_markdown(estimates, table),
            true => format!("{rows} {of}, too many for this page, are in `{file}` with their intervals."),
        });
    }

    fn figure(&mut self, stem: &str, shows: String, caption: String) {
        self.0.push(Section::Figure { file: format!("{stem}.svg"), shows, caption });
    }

    /// The sections, ended by those on method.
    fn closed(mut self, estimates: &Estimates) -> Vec<Section> {
        self.heading("Method and limits");
        let measure = &estimates.measure;
        let (data, drop, drops, value) = match measure.metric() {
            None => ("images", "drop", format!("{} drops", measure.capital()), measure.word()),
            Some(_) => ("data", "degradation", "Degradations".into(), "score"),
        };
        self.text(
            METHOD
                .replace("{method}", INTERVAL_METHOD)
                .replace("{data}", data)
                .replace("{drop}", drop)
                .replace("{Drops}", &drops)
                .replace("{value}", value),
        );
        if measure.metric().is_some() {
            self.text(DEGRADATION.into());
        }
        if estimates.has_drawn_images() {
            self.text(DRAWN.into());
        }
        if estimates.has_changed_trials().0 {
            self.text(CHANGED.into());
        }
        if estimates.measure == Measure::Agreement {
            self.text(AGREEMENT.into());
        }
        self.0
    }
}

/// The whole report as Markdown.
pub(crate) fn markdown(estimates: &Estimates, context: &Context, sections: &[Section]) -> String {
    let mut blocks = vec![format!("# {}", line(context.title)), format!("{}.", conditions(estimates))];
    blocks.extend(
        context
            .run
            .map(|run| format!("Reproduce with `{}`{}.", run.commands.repeat, run.commands.explanation())),
    );
    let mut notes = context.notes.trim().to_string();
    if let Some(run) = context.run {
        let environment = &run.manifest.environment;
        notes.push_str(&format!(
            "\n- **first started** with {}, {}, {}, {} threads (none of which the records depend on)",
            environment.program, environment.platform, environment.cpu, environment.threads
        ));
    }
    if !notes.is_empty() {
        blocks.push(notes.trim_start().into());
    }
    joined(blocks, sections)
}

/// Joins blocks and sections.
pub(crate) fn joined(mut blocks: Vec<String>, sections: &[Section]) -> String {
    for section in sections {
        match section {
            Section::Heading(heading) => blocks.push(format!("## {heading}")),
            Section::Text(text) => blocks.push(text.clone()),
            Section::Figure { file, shows, caption } => {
                let shows = line(shows).replace('[', "\\[").replace(']', "\\]");
                blocks.extend([format!("![{shows}]({file})"), caption.clone()]);
            }
        }
    }
    let blocks: Vec<&str> = blocks.iter().map(|block| block.trim_end()).collect();
    lines(blocks.join("\n\n") + "\n")
}

/// Rows of each ranking that a report shows.
const FIRST_OF_RANKING: usize = 40;

/// Most rows of a table of cells or pairs that the report of a comparison shows.
const MOST_ROWS: usize = 200;

fn every_cell(names: &Names) -> String {
    format!("Every cell is in `{}`, `outcomes.csv` and `{}`.", names.csv("summary"), names.csv("paired"))
}

const METHOD: &str = "\
The unit of observation is a trial: one random set of bit flips in the stored weights, evaluated on a fixed \
set of {data}. All trials count; none is discarded, except in the statistic marked as the paper's. The \
intervals describe the randomness of the faults only. They do not cover the choice of {data}, nor that of the \
trained weights: both are fixed here, and a difference between networks needs more than one network.

Intervals: {method}. {Drops} have heavy tails, and every interval from few trials is then too short: a \
collapse that happens in one trial of ten is missed by a third of all samples of ten trials, and no method \
can see it in those. In simulations the nominal 95 % was 62 to 90 % with 10 trials, 90 to 94 % with 30 and \
91 to 96 % with 100. Read intervals from fewer than 30 trials as a lower bound on the uncertainty, and see \
the largest {drop} beside the mean.

Protections are compared in pairs: trials with the same number meet the same faults in the data plane, so \
the paired difference is usually more precise than the two intervals side by side suggest. If a protection has \
check bits, these are hit as well, with faults of their own. The sign test asks only which of the two \
loses less more often; its p values are not corrected for the number of comparisons. If a protection runs on \
retrained weights, its fault-free {value} differs, and {drop}s are relative to its own.";

const DEGRADATION: &str = "\
The evaluator is the user's own: the program knows its scores and the direction in which each is better. A degradation is \
the amount by which faults make a score worse, in the unit of the score; it is negative if faults helped. Scores have no \
common scale, so that degradations of different metrics or data cannot be compared.";

const DRAWN: &str = "\
Images drawn per trial: each trial sees a block of the evaluation set, not the fixed set that the first paragraph speaks of. The \
blocks are cut from random orders of the set, so that over a cell all images are used equally often, and the trials of a number \
have the same block under every protection and at every rate. The drop of a trial is the difference between the fault-free and the \
faulty network on its block. The mean drop estimates the drop on the whole set without bias, and its interval covers the \
choice of the blocks beside the randomness of the faults. Balanced blocks make the mean more precise than independent ones; the \
interval does not count on that, and is too wide where faults always lose the same images. Accuracies are those of the \
fault-free network on the whole set less the mean drop. Strokes, median, smallest and largest drop are of single blocks.";

const CHANGED: &str = "\
Changed trials: conditional sampling. If a cell has a P(changed), its trials are drawn from those in which some stored \
word, padding included, reads back wrong, with exactly the conditional distribution of independent flips. All other \
trials read back the stored words and lose nothing, so P(changed) times the mean of the trials drawn estimates the mean of all trials \
without bias, and its interval is P(changed) times theirs. P(changed) is exact, from the number of flip patterns that \
each decoder reads wrong. Protections do not meet the same faults in such trials and are not compared in pairs.";

const AGREEMENT: &str = "\
The images have no labels: the prediction of the fault-free network stands for the label. Agreement is the share \
of images on which the faulty network predicts the same, a drop the share on which faults change the prediction \
(SDC rate). Neither says how often the network is right.";
