//! Sections of a report in order: `report.md` joins them, `report.html` renders them.

use crate::estimate::comparison::Comparison;
use crate::estimate::estimates::{Estimates, Measure};
use crate::estimate::interval::INTERVAL_METHOD;
use crate::estimate::sensitivity::Sensitivity;
use crate::report::context::Context;
use crate::text::comparison::{comparison_markdown, comparison_outcomes};
use crate::text::conditions::conditions;
use crate::text::drops::{Statistic, drop_table};
use crate::text::escape::{line, lines};
use crate::text::failures::failures_markdown;
use crate::text::rate::common_rate_name;
use crate::text::sensitivity::sensitivity_markdown;
use crate::text::tables::{Table, table_markdown};

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

/// File name, without its ending, of the figure of a report that is no sweep.
pub(crate) fn figure_stem(measure: Measure) -> String {
    format!("{}-vs-rate", measure.word())
}

/// All sections between a report's opening and the run's own sections in `report.html`.
pub(crate) fn sections(estimates: &Estimates, context: &Context, comparison: &Comparison) -> Vec<Section> {
    let measure = estimates.measure;
    let (word, capital, figure) = (measure.word(), measure.capital(), figure_stem(measure));
    let mut sections = Sections(Vec::new());
    let (some_changed, all_changed) = estimates.has_changed_trials();
    let points = match some_changed {
        true => {
            "Short strokes: single trials; of cells that draw only changed trials, these. Line: mean of all trials, to \
             which the changed ones contribute with their probability."
        }
        false => "Short strokes: single trials. Line: mean of all trials.",
    };
    let swept = estimates.is_swept();
    if swept {
        let sensitivity = Sensitivity::new(estimates, context.networks);
        sections.figure(
            "sensitivity",
            format!("Mean {word} drop by tensor and bit: {}", context.title),
            "Each field: mean drop in points of all trials in which only bits of that tensor and position could flip. The \
             same figure as [PNG](sensitivity.png)."
                .into(),
        );
        sections.heading("Sensitivity");
        sections.text(sensitivity_markdown(&sensitivity, FIRST_OF_RANKING));
    }
    if !comparison.is_empty() {
        sections.figure(
            "comparison",
            format!("{capital} of every protection at every rate: {}", context.title),
            "The same figure as [PNG](comparison.png).".into(),
        );
        sections.heading("Comparison");
        sections.text(comparison_markdown(comparison));
        sections.figure(
            "overhead",
            format!("{capital} against stored overhead: {}", context.title),
            "The same figure as [PNG](overhead.png).".into(),
        );
        sections.heading("Outcomes");
        sections.text(comparison_outcomes(comparison));
    }
    if estimates.panels().is_empty() {
        sections.text(EVERY_CELL.into());
        return sections.closed(estimates, some_changed);
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
            "{points} Band and bars: 95 % interval of the mean. Dashed grey line: fault-free {word}{at_zero}. Each shaded \
             strip is one rate; protections are shifted within it by a few pixels so that they do not hide each other. The \
             same figure as [PNG]({figure}.png)."
        );
        let shows = format!("{capital} versus {}: {}", common_rate_name(estimates), context.title);
        sections.figure(&figure, shows, caption);
    }
    sections.heading(&format!("{capital} drop"));
    if compared {
        sections.text(format!(
            "Every version with its protections in a panel of its own, all trials: [SVG]({figure}.svg), [PNG]({figure}.png)."
        ));
    }
    sections.text(drop_table(estimates, Statistic::AllTrials));
    if !all_changed {
        sections.text(
            "The same with the paper's statistic (Guan et al., NeurIPS 2019, Table 2), for comparison with the \
             paper only:"
                .into(),
        );
        sections.text(drop_table(estimates, Statistic::Trimmed));
    }
    if swept {
        sections.text(EVERY_CELL.into());
        return sections.closed(estimates, some_changed);
    }
    sections.heading("Summary");
    sections.table(estimates, Table::Summary, compared);
    if let Some(stop) = context.stop {
        sections.heading("Failures");
        sections.text(failures_markdown(estimates, stop));
    }
    if !compared {
        sections.heading("Outcomes");
        sections.text(table_markdown(estimates, Table::Outcomes));
    }
    sections.heading("Paired differences");
    sections.table(estimates, Table::Paired, compared);
    sections.closed(estimates, some_changed)
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
    fn table(&mut self, estimates: &Estimates, table: Table, compared: bool) {
        let (rows, of, file) = match table {
            Table::Summary => (estimates.summaries().len(), "cells", "summary.csv"),
            Table::Outcomes => (estimates.outcomes().len(), "cells", "outcomes.csv"),
            Table::Paired => (estimates.paired().len(), "comparisons", "paired.csv"),
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
    fn closed(mut self, estimates: &Estimates, some_changed: bool) -> Vec<Section> {
        self.heading("Method and limits");
        self.text(
            METHOD
                .replace("{method}", INTERVAL_METHOD)
                .replace("{word}", estimates.measure.word())
                .replace("{Word}", estimates.measure.capital()),
        );
        if some_changed {
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

Protections are compared in pairs: trials with the same number meet the same faults in the data plane, so \
the paired difference is usually more precise than the two intervals side by side suggest. If a protection has \
check bits, these are hit as well, with faults of their own. The sign test asks only which of the two \
loses less more often; its p values are not corrected for the number of comparisons. If a protection runs on \
retrained weights, its fault-free {word} differs, and drops are relative to its own.";

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
