//! What a report says, in order, made once: `report.md` is these sections joined, `report.html` renders them.

use crate::INTERVAL_METHOD;
use crate::comparison::Comparison;
use crate::drops::Statistic;
use crate::escape::{line, lines};
use crate::folder::Context;
use crate::report::{Measure, Report};
use crate::sensitivity::Sensitivity;
use crate::table::Table;

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
        /// What it shows, plain text.
        shows: String,
        /// How it is read, Markdown.
        caption: String,
    },
}

/// File name, without its ending, of the figure of a report that is no sweep.
pub(crate) fn figure_stem(measure: Measure) -> String {
    format!("{}-vs-rate", measure.word())
}

/// Everything between a report's opening and what `report.html` says of the run.
pub(crate) fn sections(report: &Report, context: &Context, comparison: &Comparison) -> Vec<Section> {
    let (word, figure) = (report.measure.word(), figure_stem(report.measure));
    let capital = word.replacen('a', "A", 1);
    let mut sections = Sections(Vec::new());
    let (some_changed, all_changed) = report.has_changed_trials();
    let points = match some_changed {
        true => {
            "Dashes: single trials, where only changed ones were drawn these. Line: mean of all trials, for which the \
                 changed ones count with their probability."
        }
        false => "Dashes: single trials. Line: mean of all trials.",
    };
    let swept = report.is_swept();
    if swept {
        let sensitivity = Sensitivity::new(report, context.networks);
        sections.figure(
            "sensitivity",
            format!("Mean {word} drop by tensor and bit: {}", context.title),
            "Each field: mean drop in points of all trials in which only cells of that tensor and bit could flip. The \
             same figure as [PNG](sensitivity.png)."
                .into(),
        );
        sections.heading("Sensitivity");
        sections.text(sensitivity.markdown(FIRST_OF_RANKING));
    }
    if !comparison.is_empty() {
        sections.figure(
            "comparison",
            format!("Accuracy of every protection at every rate: {}", context.title),
            "The same figure as [PNG](comparison.png).".into(),
        );
        sections.heading("Comparison");
        sections.text(comparison.markdown());
        sections.figure(
            "overhead",
            format!("Accuracy against stored overhead: {}", context.title),
            "The same figure as [PNG](overhead.png).".into(),
        );
        sections.heading("Outcomes");
        sections.text(comparison.outcomes_markdown());
    }
    if report.panels().is_empty() {
        sections.text(EVERY_CELL.into());
        return sections.closed(report, some_changed);
    }
    let compared = !comparison.is_empty();
    let at_zero = match report.lossy.is_empty() {
        true => ", also the markers at 0",
        false => {
            " of the network; the markers at 0 are of the network as each protection stores it, and missing where that \
             was not measured"
        }
    };
    if !compared {
        let caption = format!(
            "{points} Band and bars: 95 % interval of the mean. Dashed: fault-free {word}{at_zero}. Each shaded strip is \
             one rate; protections are shifted within it by a few pixels so that they do not hide each other. The same \
             figure as [PNG]({figure}.png)."
        );
        let shows = format!("{capital} versus {}: {}", report.rate_name(), context.title);
        sections.figure(&figure, shows, caption);
    }
    sections.heading(&format!("{capital} drop"));
    if compared {
        sections.text(format!(
            "Every version with its protections in a panel of its own, all trials: [SVG]({figure}.svg), [PNG]({figure}.png)."
        ));
    }
    sections.text(report.drop_table(Statistic::AllTrials));
    if !all_changed {
        sections.text(
            "The same with the paper's statistic (Guan et al., NeurIPS 2019, Table 2), for comparison with the \
             paper only:"
                .into(),
        );
        sections.text(report.drop_table(Statistic::Trimmed));
    }
    if swept {
        sections.text(EVERY_CELL.into());
        return sections.closed(report, some_changed);
    }
    sections.heading("Summary");
    sections.table(report, Table::Summary, compared);
    if let Some(stop) = context.stop {
        sections.heading("Failures");
        sections.text(report.failures_markdown(stop));
    }
    if !compared {
        sections.heading("Outcomes");
        sections.text(report.markdown(Table::Outcomes));
    }
    sections.heading("Paired differences");
    sections.table(report, Table::Paired, compared);
    sections.closed(report, some_changed)
}

struct Sections(Vec<Section>);

impl Sections {
    fn heading(&mut self, heading: &str) {
        self.0.push(Section::Heading(heading.into()));
    }

    fn text(&mut self, text: String) {
        self.0.push(Section::Text(text));
    }

    /// A table of a report; of a comparison of many versions only where it lies, when it is too long to be read.
    fn table(&mut self, report: &Report, table: Table, compared: bool) {
        let (rows, of, file) = match table {
            Table::Summary => (report.summaries().len(), "cells", "summary.csv"),
            Table::Outcomes => (report.outcomes().len(), "cells", "outcomes.csv"),
            Table::Paired => (report.paired().len(), "comparisons", "paired.csv"),
        };
        self.text(match compared && rows > MOST_ROWS {
            false => report.markdown(table),
            true => format!("{rows} {of}, too many for this page, are in `{file}` with their intervals."),
        });
    }

    fn figure(&mut self, stem: &str, shows: String, caption: String) {
        self.0.push(Section::Figure { file: format!("{stem}.svg"), shows, caption });
    }

    /// The sections, ended by those on method.
    fn closed(mut self, report: &Report, some_changed: bool) -> Vec<Section> {
        let word = report.measure.word();
        let capital = word.replacen('a', "A", 1);
        self.heading("Method and limits");
        self.text(
            METHOD.replace("{method}", INTERVAL_METHOD).replace("{word}", word).replace("{Word}", &capital),
        );
        if some_changed {
            self.text(CHANGED.into());
        }
        if report.measure == Measure::Agreement {
            self.text(AGREEMENT.into());
        }
        self.0
    }
}

/// The whole report as Markdown.
pub(crate) fn markdown(report: &Report, context: &Context, sections: &[Section]) -> String {
    let mut blocks = vec![format!("# {}", line(context.title)), format!("{}.", report.conditions())];
    blocks.extend(context.run.map(|run| match run.needs_data {
        true => format!(
            "Reproduce with `zerospace {} --data $DATA`, where `$DATA` is the folder of the image sets.",
            run.command
        ),
        false => format!("Reproduce with `zerospace {}`.", run.command),
    }));
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

/// The most rows of a table of cells or pairs that the report of a comparison shows.
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
