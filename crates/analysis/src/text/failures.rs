//! Failure probabilities, in campaigns that end a cell after a number of failures.

use design::FailureRule;

use crate::estimate::cell::rate_label;
use crate::estimate::column::{count, displayed, real, text};
use crate::estimate::estimates::Estimates;
use crate::estimate::failures::{FailureEstimate, failures};
use crate::text::csv::csv;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::rate::rate_note;

/// Failures of every cell as CSV.
pub(crate) fn failures_csv(estimates: &Estimates, stop: FailureRule) -> String {
    let all = failures(estimates, stop);
    let columns = vec![
        text("model", &all, |f| &f.key.model),
        displayed("fault_model", &all, |f| &f.key.fault_model),
        text("protection", &all, |f| &f.key.protection),
        real("rate", &all, |f| Some(f.key.rate)),
        count("trials", &all, |f| f.trials),
        count("failures", &all, |f| f.failures),
        real("probability", &all, |f| Some(f.probability)),
        real("interval_low", &all, |f| Some(f.interval.0)),
        real("interval_high", &all, |f| Some(f.interval.1)),
    ];
    csv(columns)
}

/// Failures of every cell as a Markdown table with a note.
pub(crate) fn failures_markdown(estimates: &Estimates, stop: FailureRule) -> String {
    let text = ["model", "fault model", "protection"].map(MarkdownColumn::text);
    let numbers = ["rate", "n", "failures", "P(failure)", "95 % interval"].map(MarkdownColumn::number);
    let columns: Vec<MarkdownColumn> = text.into_iter().chain(numbers).collect();
    let row = |f: &FailureEstimate| {
        vec![
            f.key.model.clone(),
            f.key.fault_model.to_string(),
            f.key.protection.label(),
            rate_label(f.key.rate),
            f.trials.to_string(),
            f.failures.to_string(),
            format!("{:.3e}", f.probability),
            format!("{:.3e} to {:.3e}", f.interval.0, f.interval.1),
        ]
    };
    let rows: Vec<Vec<String>> = failures(estimates, stop).iter().map(row).collect();
    let FailureRule { failures, drop_points } = stop;
    format!(
        "{}\nA trial fails when it loses {drop_points} points or more. A cell ends with the unit in which its \
         {failures}. failure comes; n counts the trials up to that failure, or all. The interval is Clopper and \
         Pearson's. Means over the trials of cells that ended so lean towards larger drops, because a failure \
         was the last to be waited for: by about 1/{failures}.\n{}",
        markdown_table(&columns, &rows),
        rate_note(estimates.cells.iter().map(|cell| &cell.key))
    )
}
