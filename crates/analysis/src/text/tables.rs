//! The estimates as data frames, CSV and Markdown.

use polars_core::frame::DataFrame;
use polars_core::prelude::Column;
use records::ExpectedOutcomes;

use crate::estimate::cell::{CellKey, rate_label};
use crate::estimate::column::{count, displayed, real, text};
use crate::estimate::drawn::DrawnImages;
use crate::estimate::estimates::Estimates;
use crate::estimate::summary::{CellOutcomes, CellSummary, PairedDifference};
use crate::text::csv::{csv, interval_columns};
use crate::text::drops::{CHANGED_NOTE, Statistic, drop_text};
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{ABSENT, INTERVAL_NOTE, NOT_MEASURED, fixed, interval_text, small};
use crate::text::rate::{note, paragraph, rate_note};
use crate::text::terms::Terms;

/// The tables of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Accuracy and accuracy drop of every cell.
    Summary,
    /// Outcomes of decoding in every cell.
    Outcomes,
    /// Protections compared trial by trial.
    Paired,
}

/// A table with all its columns: points and % (or scores, with columns `metric` and `better`) as 64-bit reals, counts as unsigned integers, null
/// where a statistic does not exist. `interval_method` is `bca`, `all-equal` or empty; for `all-equal`
/// `differing_at_most` has the bound that [`crate::Interval::AllEqual`] explains. `changed_probability` is there when some
/// cell draws only changed trials, `fault_free_..._percent` when some protection is lossy (null when it was not
/// measured), `expected_...` (sums over the trials) when something was expected of some cell.
pub fn table_frame(estimates: &Estimates, table: Table) -> DataFrame {
    DataFrame::new_infer_height(table_columns(estimates, table))
        .expect("the columns have distinct names and one length")
}

fn table_columns(estimates: &Estimates, table: Table) -> Vec<Column> {
    match table {
        Table::Summary => {
            summary_columns(estimates.summaries(), Terms::of(estimates), !estimates.lossy.is_empty())
        }
        Table::Outcomes => outcome_columns(estimates.outcomes()),
        Table::Paired => paired_columns(estimates.paired(), Terms::of(estimates)),
    }
}

/// A table as CSV (RFC 4180): one header line, CRLF, reals with as many digits as identify them, rates in the form
/// of [`rate_label`].
pub fn table_csv(estimates: &Estimates, table: Table) -> String {
    csv(table_columns(estimates, table))
}

/// A table for people, with a footnote on its method where one is needed.
pub fn table_markdown(estimates: &Estimates, table: Table) -> String {
    match table {
        Table::Summary => {
            summary_markdown(estimates.summaries(), Terms::of(estimates), !estimates.lossy.is_empty())
        }
        Table::Outcomes => outcomes_markdown(estimates.outcomes()),
        Table::Paired => {
            paired_markdown(estimates.paired(), Terms::of(estimates), estimates.has_changed_trials().0)
        }
    }
}

fn summary_markdown(summaries: &[CellSummary], terms: Terms, lossy: bool) -> String {
    let (word, drop_word) = (terms.word(), terms.drop());
    let any_changed = summaries.iter().any(|s| s.changed_probability.is_some());
    let mut columns = vec![
        MarkdownColumn::text("model"),
        MarkdownColumn::text("fault model"),
        MarkdownColumn::text("protection"),
        MarkdownColumn::number("rate"),
        MarkdownColumn::number("n"),
        MarkdownColumn::number(&terms.heading("clean")),
        MarkdownColumn::number(&terms.heading(word)),
        MarkdownColumn::number(drop_word),
        MarkdownColumn::number("95 % interval"),
        MarkdownColumn::number("sd"),
        MarkdownColumn::number("median"),
        MarkdownColumn::number("min"),
        MarkdownColumn::number("max"),
        MarkdownColumn::number("trimmed"),
    ];
    if lossy {
        columns.insert(6, MarkdownColumn::number(&terms.heading("fault-free")));
    }
    if any_changed {
        columns.insert(5, MarkdownColumn::number("P(changed)"));
    }
    let rows: Vec<Vec<String>> = summaries
        .iter()
        .map(|s| {
            let drop = s.drop;
            let digits = terms.drop_digits(s);
            let mut row = vec![
                s.key.model.clone(),
                s.key.fault_model.to_string(),
                s.key.protection.label(),
                rate_label(s.key.rate),
                s.trials.to_string(),
                terms.number(s.clean),
                terms.number(s.mean),
                digits.text(drop.mean),
                interval_text(drop.interval, s.trials, digits),
                drop.sd.map_or(ABSENT.into(), |sd| digits.text(sd)),
                terms.digits(3).text(drop.median),
                terms.digits(3).text(drop.min),
                terms.digits(3).text(drop.max),
                drop_text(s, Statistic::Trimmed, &terms),
            ];
            if lossy {
                let percent = s.fault_free.map(|value| terms.number(value));
                row.insert(6, percent.unwrap_or_else(|| NOT_MEASURED.into()));
            }
            if any_changed {
                row.insert(5, s.changed_probability.map_or(ABSENT.into(), |p| format!("{p:.3e}")));
            }
            row
        })
        .collect();
    let changed_note = match any_changed {
        true => format!(
            "\n`P(changed)`: probability that some stored word reads back wrong, in closed form. {CHANGED_NOTE}`median`, \
             `min` and `max` are of the trials drawn, and so is n; the interval is P(changed) times that of their \
             mean, and p of equal trials bounds how often an ordinary trial differs.\n"
        ),
        false => String::new(),
    };
    format!(
        "{}\n`{drop_word}` to `trimmed`: {}. `{drop_word}` is the mean of all \
         n trials and `sd` their standard deviation (divisor n - 1{}); `trimmed` is the paper's statistic: \
         without the best and the worst trial, mean ± population standard deviation. {}{INTERVAL_NOTE}{changed_note}{}",
        markdown_table(&columns, &rows),
        match terms.metric() {
            None => format!("{}, {}", terms.drop_in_units(), terms.difference()),
            Some(_) => terms.drop_in_units(),
        },
        if any_changed { ", but of changed trials as below" } else { "" },
        match lossy {
            true => format!(
                "`{}` is of the network, `{}` of the network as its protection stores it. ",
                terms.heading("clean"),
                terms.heading("fault-free")
            ),
            false => String::new(),
        },
        rate_note(summaries.iter().map(|s| &s.key))
    )
}

/// The sources of the variance of drops, if each trial sees a block of the evaluation set; empty otherwise.
pub(crate) fn variance_markdown(estimates: &Estimates) -> String {
    let drawn: Vec<(&CellSummary, DrawnImages)> =
        estimates.summaries().iter().filter_map(|s| Some((s, s.drawn?))).collect();
    if drawn.is_empty() {
        return String::new();
    }
    let columns = [
        MarkdownColumn::text("model"),
        MarkdownColumn::text("fault model"),
        MarkdownColumn::text("protection"),
        MarkdownColumn::number("rate"),
        MarkdownColumn::number("n"),
        MarkdownColumn::number("images a trial"),
        MarkdownColumn::number("sd between trials"),
        MarkdownColumn::number("sd of an image"),
        MarkdownColumn::number("share of images"),
    ];
    let row = |(summary, drawn): &(&CellSummary, DrawnImages)| {
        let text = |value: Option<f64>, text: fn(f64) -> String| value.map_or(ABSENT.into(), text);
        vec![
            summary.key.model.clone(),
            summary.key.fault_model.to_string(),
            summary.key.protection.label(),
            rate_label(summary.key.rate),
            summary.trials.to_string(),
            format!("{} of {}", summary.images, drawn.set),
            text(drawn.between_sd(), |sd| fixed(sd, 3)),
            text(drawn.within_sd(), |sd| fixed(sd, 3)),
            text(drawn.sampling_share(summary.images), |share| format!("{:.0} %", 100.0 * share)),
        ]
    };
    format!(
        "{}\n`sd between trials`: standard deviation of the drop on all images of the set, from trial to trial, in points. `sd of \
         an image`: standard deviation of the loss of one image within a trial, in points; a lost image counts 100. `share of \
         images`: part of the variance of a trial's drop that comes from the choice of its images. Where it is small, more \
         images a trial gain nothing; where it is large, more images gain as much as more trials.\n",
        markdown_table(&columns, &drawn.iter().map(row).collect::<Vec<_>>())
    )
}

fn outcomes_markdown(outcomes: &[CellOutcomes]) -> String {
    let mut columns = vec![
        MarkdownColumn::text("model"),
        MarkdownColumn::text("fault model"),
        MarkdownColumn::text("protection"),
    ];
    let numbers = [
        "rate",
        "n",
        "flips, data",
        "flips, check",
        "words hit",
        "corrected",
        "detected",
        "miscorrected",
        "silent",
        "weights changed",
        "trials unchanged",
    ];
    columns.extend(numbers.map(MarkdownColumn::number));
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|o| {
            let mut row = vec![
                o.key.model.clone(),
                o.key.fault_model.to_string(),
                o.key.protection.label(),
                rate_label(o.key.rate),
            ];
            row.extend([o.trials, o.flips_data, o.flips_check].map(|c| c.to_string()));
            row.extend(EXPECTED.map(|(_, measured, expected)| match &o.expected {
                None => measured(o).to_string(),
                Some(e) => format!("{} ({})", measured(o), expectation(o.trials as f64 * expected(e))),
            }));
            row.extend([o.weights_changed, o.trials_unchanged].map(|c| c.to_string()));
            row
        })
        .collect();
    format!(
        "{}\nSums over the n trials of a cell. `words hit`: code words with a flipped bit. Outcomes of these words: \
         `corrected`; `detected`: declared uncorrectable (DUE); `miscorrected`: changed to a value that was not \
         stored; `silent`: passed as clean although they read back wrong (SDC of a word). `trials unchanged`: no \
         weight read back changed.{}{}\n{}",
        markdown_table(&columns, &rows),
        match outcomes.iter().any(|o| o.expected.is_some()) {
            true => " In brackets the expected number, from the code's outcomes in closed form.",
            false => "",
        },
        match outcomes.iter().any(|o| o.changed_only) {
            true =>
                " Of cells that draw only changed trials, the sums are over those, not over ordinary trials.",
            false => "",
        },
        rate_note(outcomes.iter().map(|o| &o.key))
    )
}

type Measured = fn(&CellOutcomes) -> u64;
type Expected = fn(&ExpectedOutcomes) -> f64;

/// The counts of words: column of the expected number, measured sum, expected number of a trial.
const EXPECTED: [(&str, Measured, Expected); 5] = [
    ("expected_words_hit", |o| o.words_hit, |e| e.words_hit),
    ("expected_corrected", |o| o.corrected, |e| e.corrected),
    ("expected_detected", |o| o.detected, |e| e.detected),
    ("expected_miscorrected", |o| o.miscorrected, |e| e.miscorrected),
    ("expected_silent", |o| o.silent, |e| e.silent),
];

/// An expected number, with the digits that its size makes worth reading.
fn expectation(count: f64) -> String {
    match count {
        100.0.. => format!("{count:.0}"),
        0.1.. => format!("{count:.1}"),
        _ => small(count),
    }
}

fn paired_markdown(paired: &[PairedDifference], terms: Terms, changed: bool) -> String {
    let unpaired = match changed {
        true => {
            "Cells that draw only changed trials meet faults of their own: they are not compared in pairs.\n"
        }
        false => "",
    };
    if changed && paired.is_empty() {
        return unpaired.into();
    }
    let columns = [
        MarkdownColumn::text("model"),
        MarkdownColumn::text("fault model"),
        MarkdownColumn::number("rate"),
        MarkdownColumn::text("first"),
        MarkdownColumn::text("second"),
        MarkdownColumn::number("pairs"),
        MarkdownColumn::number("first - second"),
        MarkdownColumn::number("95 % interval"),
        MarkdownColumn::number("wins"),
        MarkdownColumn::number("ties"),
        MarkdownColumn::number("losses"),
        MarkdownColumn::number("sign test p"),
        MarkdownColumn::number("corrected"),
    ];
    let rows: Vec<Vec<String>> = paired
        .iter()
        .map(|p| {
            vec![
                p.model.clone(),
                p.fault_model.to_string(),
                rate_label(p.rate),
                p.first.label(),
                p.second.label(),
                p.pairs.to_string(),
                terms.digits(3).text(p.mean_difference),
                interval_text(p.interval, p.pairs, terms.digits(3)),
                p.wins.to_string(),
                p.ties.to_string(),
                p.losses.to_string(),
                p_text(p.sign_test_p),
                p_text(p.sign_test_p_corrected),
            ]
        })
        .collect();
    let mut text = format!(
        "{}\n`first - second`: mean difference of the {} over the trials that both have; \
         negative when the first loses less. `wins`: trials in which the first lost less. Sign test: exact, \
         two-sided, over the trials without ties; `corrected`: the same after Holm's correction for the number of \
         comparisons in this table, {}. \
         {INTERVAL_NOTE}",
        markdown_table(&columns, &rows),
        match terms.metric() {
            None => format!("{} drops in points", terms.word()),
            Some(_) => terms.drop_in_units(),
        },
        paired.len()
    );
    let unlike: u64 = paired.iter().map(|p| p.pairs - p.pairs_same_flips).sum();
    if unlike > 0 {
        text.push_str(&format!(
            "\nIn {unlike} pairs the two data planes had different numbers of flipped bits: these trials did \
             not meet the same faults, or their flips depend on the stored bits or on scrubs (column `pairs_same_flips` of the CSV).\n"
        ));
    }
    if changed {
        text.push_str(&format!("\n{unpaired}"));
    }
    text.push_str(&paragraph(note(paired.iter().map(|p| &p.fault_model))));
    text
}

fn summary_columns(summaries: &[CellSummary], terms: Terms, lossy: bool) -> Vec<Column> {
    let mut columns = key_columns(summaries, |s| &s.key);
    columns.push(count("trials", summaries, |s| s.trials));
    if terms.metric().is_none() {
        columns.push(count("images", summaries, |s| s.images));
    }
    columns.extend([
        real(&terms.value_column("clean_"), summaries, |s| Some(s.clean)),
        real(&terms.value_column(""), summaries, |s| Some(s.mean)),
        real(&terms.drop_column("drop_mean"), summaries, |s| Some(s.drop.mean)),
        real(&terms.drop_column("drop_sd"), summaries, |s| s.drop.sd),
        real(&terms.drop_column("drop_median"), summaries, |s| Some(s.drop.median)),
        real(&terms.drop_column("drop_min"), summaries, |s| Some(s.drop.min)),
        real(&terms.drop_column("drop_max"), summaries, |s| Some(s.drop.max)),
    ]);
    columns.extend(interval_columns(&terms, summaries, |s| s.drop.interval));
    columns.extend([
        real(&terms.points_column("trimmed_mean"), summaries, |s| s.drop.trimmed.map(|t| t.mean)),
        real(&terms.points_column("trimmed_population_sd"), summaries, |s| {
            s.drop.trimmed.map(|t| t.population_sd)
        }),
    ]);
    if summaries.iter().any(|s| s.changed_probability.is_some()) {
        columns.push(real("changed_probability", summaries, |s| s.changed_probability));
    }
    if lossy {
        columns.push(real(&terms.value_column("fault_free_"), summaries, |s| s.fault_free));
    }
    if summaries.iter().any(|s| s.drawn.is_some()) {
        columns.extend([
            count("set_images", summaries, |s| s.drawn.map_or(s.images, |drawn| drawn.set)),
            real("between_trials_sd_points", summaries, |s| s.drawn.and_then(|drawn| drawn.between_sd())),
            real("within_trial_sd_points", summaries, |s| s.drawn.and_then(|drawn| drawn.within_sd())),
        ]);
    }
    columns.extend(terms.metric_columns(summaries));
    columns
}

fn outcome_columns(outcomes: &[CellOutcomes]) -> Vec<Column> {
    let mut columns = key_columns(outcomes, |o| &o.key);
    columns.extend([
        count("trials", outcomes, |o| o.trials),
        count("flips_data", outcomes, |o| o.flips_data),
        count("flips_check", outcomes, |o| o.flips_check),
        count("words_hit", outcomes, |o| o.words_hit),
        count("corrected", outcomes, |o| o.corrected),
        count("detected", outcomes, |o| o.detected),
        count("miscorrected", outcomes, |o| o.miscorrected),
        count("silent", outcomes, |o| o.silent),
        count("weights_changed", outcomes, |o| o.weights_changed),
        count("trials_unchanged", outcomes, |o| o.trials_unchanged),
    ]);
    if outcomes.iter().any(|o| o.expected.is_some()) {
        columns.extend(EXPECTED.map(|(name, _, expected)| {
            real(name, outcomes, |o| o.expected.as_ref().map(|e| o.trials as f64 * expected(e)))
        }));
    }
    columns
}

fn paired_columns(paired: &[PairedDifference], terms: Terms) -> Vec<Column> {
    let mut columns = vec![
        text("model", paired, |p| &p.model),
        displayed("fault_model", paired, |p| &p.fault_model),
        real("rate", paired, |p| Some(p.rate)),
        text("first", paired, |p| &p.first),
        text("second", paired, |p| &p.second),
        count("pairs", paired, |p| p.pairs),
        count("pairs_same_flips", paired, |p| p.pairs_same_flips),
        real(&terms.points_column("mean_difference"), paired, |p| Some(p.mean_difference)),
    ];
    columns.extend(interval_columns(&terms, paired, |p| p.interval));
    columns.extend([
        count("wins", paired, |p| p.wins),
        count("ties", paired, |p| p.ties),
        count("losses", paired, |p| p.losses),
        real("sign_test_p", paired, |p| Some(p.sign_test_p)),
        real("sign_test_p_holm", paired, |p| Some(p.sign_test_p_corrected)),
    ]);
    columns.extend(terms.metric_columns(paired));
    columns
}

fn key_columns<T>(items: &[T], key: impl Fn(&T) -> &CellKey) -> Vec<Column> {
    vec![
        text("model", items, |i| &key(i).model),
        displayed("fault_model", items, |i| &key(i).fault_model),
        text("protection", items, |i| &key(i).protection),
        text("paper_name", items, |i| key(i).protection.in_paper().unwrap_or_default()),
        real("rate", items, |i| Some(key(i).rate)),
    ]
}

fn p_text(p: f64) -> String {
    if p < 0.001 { format!("{p:.1e}") } else { fixed(p, 3) }
}
