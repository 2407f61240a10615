//! Accuracy drops laid out as the paper's Table 2, in Markdown and in LaTeX.

use design::FaultModel;

use crate::estimate::cell::{ascending, rate_label};
use crate::estimate::estimates::Estimates;
use crate::estimate::measure::Measure;
use crate::estimate::summary::CellSummary;
use crate::text::conditions::conditions;
use crate::text::escape::lines;
use crate::text::latex::{self, LatexTable};
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{ABSENT, NOT_MEASURED, overhead_label, small};
use crate::text::rate::heading_note;
use crate::text::terms::Terms;

/// Statistic of the accuracy drops that [`drop_table`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean ± standard deviation (divisor n - 1) of all trials.
    AllTrials,
    /// The paper's: without the best and the worst trial, mean ± population standard deviation.
    Trimmed,
}

/// Drops of one model under one fault model.
struct Panel<'a> {
    model: &'a str,
    fault_model: &'a FaultModel,
    /// Accuracy without faults, % of images, or score; `None` if protections differ in it, as versions of a network may.
    clean: Option<f64>,
    /// Ascending.
    rates: Vec<f64>,
    rows: Vec<Row>,
    terms: Terms<'a>,
}

struct Row {
    /// Label of the protection.
    label: String,
    overhead_percent: f64,
    /// Drop by storing alone; `None` if no row of the panel has one.
    fault_free: Option<String>,
    /// Drops, one for each rate of the panel.
    drops: Vec<String>,
}

/// The accuracy drops in points, or the degradations of a score, laid out as the paper's Table 2: for each model and fault model a heading and a
/// table with a row for each protection, its check bits in % of the data bits, and a column for each rate.
pub fn drop_table(estimates: &Estimates, statistic: Statistic) -> String {
    let mut text = String::new();
    for panel in drop_panels(estimates, statistic) {
        let mut columns = vec![MarkdownColumn::text("protection"), MarkdownColumn::number("stored overhead")];
        if panel.is_lossy() {
            columns.push(MarkdownColumn::number("fault-free"));
        }
        columns.extend(panel.rates.iter().map(|rate| MarkdownColumn::number(&rate_label(*rate))));
        let rows: Vec<Vec<String>> = panel
            .rows
            .into_iter()
            .map(|row| {
                let mut cells = vec![row.label, overhead_label(row.overhead_percent)];
                cells.extend(row.fault_free);
                cells.extend(row.drops);
                cells
            })
            .collect();
        let clean = panel.clean.map_or(String::new(), |c| format!(", {} fault-free", panel.terms.value(c)));
        let rate = heading_note(panel.fault_model);
        let metric = panel.terms.metric().map_or(String::new(), |metric| format!(", {metric}"));
        let heading = format!("**{}**, {}{rate}{metric}{clean}:", panel.model, panel.fault_model);
        text.push_str(&format!("{heading}\n\n{}\n", markdown_table(&columns, &rows)));
    }
    lines(text + &drop_note(estimates, statistic))
}

/// The tables of [`drop_table`] as a LaTeX `table` for the package booktabs: `title` and the conditions are its
/// caption, and models and fault models follow each other in one `tabular`, whose columns are all rates of any of them.
pub fn drop_latex(estimates: &Estimates, statistic: Statistic, title: &str) -> String {
    let panels = drop_panels(estimates, statistic);
    let rates = ascending(panels.iter().flat_map(|panel| panel.rates.iter().copied()));
    let mut heads = vec!["protection".to_string(), "overhead".into()];
    let lossy = panels.iter().any(Panel::is_lossy);
    if lossy {
        heads.push("fault-free".into());
    }
    heads.extend(rates.iter().map(|rate| latex::number(&rate_label(*rate))));
    let group = |panel: &Panel| {
        let clean = panel.clean.map(|c| format!(", {} fault-free", latex::escaped(&panel.terms.value(c))));
        let heading = format!(
            "\\textbf{{{}}}, {}{}{}",
            latex::escaped(panel.model),
            latex::escaped(&panel.fault_model.to_string()),
            latex::escaped(&heading_note(panel.fault_model)),
            clean.unwrap_or_default()
        );
        let row = |row: &Row| {
            let drop = |rate| match panel.rates.iter().position(|own| own == rate) {
                Some(place) => latex::number(&row.drops[place]),
                None => latex::escaped(ABSENT),
            };
            let names = [row.label.clone(), overhead_label(row.overhead_percent)];
            let fault_free = row
                .fault_free
                .as_ref()
                .map_or(latex::number(&panel.terms.number(0.0)), |drop| latex::number(drop));
            let fault_free = lossy.then_some(fault_free);
            let names = names.iter().map(|name| latex::escaped(name));
            names.chain(fault_free).chain(rates.iter().map(drop)).collect()
        };
        (heading, panel.rows.iter().map(row).collect())
    };
    let caption = format!("{} {}.", drop_note(estimates, statistic).trim(), conditions(estimates));
    LatexTable {
        title,
        caption: latex::escaped(&caption),
        text_columns: 1,
        heads,
        groups: panels.iter().map(group).collect(),
    }
    .write()
}

fn drop_panels(estimates: &Estimates, statistic: Statistic) -> Vec<Panel<'_>> {
    let (mut panels, terms) = (Vec::new(), Terms::of(estimates));
    for (model, fault_model) in estimates.panels() {
        let cells = || {
            let all = estimates.cells.iter().zip(estimates.summaries());
            all.filter(move |(_, s)| s.key.model == model && s.key.fault_model == *fault_model)
        };
        let rates = ascending(cells().map(|(_, s)| s.key.rate));
        let lossy = cells().any(|(_, s)| estimates.is_lossy(model, &s.key.protection));
        let mut rows = Vec::new();
        for protection in &estimates.protections {
            let own = || cells().filter(|(_, s)| s.key.protection == *protection);
            let Some((cell, _)) = own().next() else { continue };
            let drop = |rate: &f64| match own().find(|(_, s)| s.key.rate == *rate) {
                Some((_, summary)) => drop_text(summary, statistic, &terms),
                None => ABSENT.into(),
            };
            rows.push(Row {
                label: protection.label(),
                overhead_percent: cell.overhead_percent(),
                fault_free: lossy.then(|| fault_free_text(estimates, own().next().expect("found above").1)),
                drops: rates.iter().map(drop).collect(),
            });
        }
        let mut clean = cells().map(|(_, s)| s.clean);
        let first = clean.next();
        let clean = first.filter(|first| clean.all(|other| other == *first));
        panels.push(Panel { model, fault_model, clean, rates, rows, terms });
    }
    panels
}

/// Explanation below a drop table.
fn drop_note(estimates: &Estimates, statistic: Statistic) -> String {
    let drop = match estimates.measure {
        Measure::Accuracy => "Accuracy drop in points",
        Measure::Agreement => "Images whose prediction is not that of the fault-free network, in %",
        Measure::Score(_) => &Terms::of(estimates).drop_in_units(),
    };
    let estimated = match estimates.has_changed_trials() {
        (_, true) => CHANGED_NOTE,
        (true, _) => {
            "In some cells (`P(changed)` in the summary) they are estimates from changed trials only.\n"
        }
        _ => "",
    };
    let fault_free = match (estimates.lossy.is_empty(), estimates.measure.metric()) {
        (true, _) => String::new(),
        (false, None) => FAULT_FREE_NOTE.into(),
        (false, Some(_)) => FAULT_FREE_NOTE.replace("drop", "degradation"),
    };
    let statistic = match statistic {
        Statistic::AllTrials if !estimated.is_empty() => {
            format!("{drop}: mean ± standard deviation of all trials. {estimated}")
        }
        Statistic::AllTrials => {
            format!("{drop}: mean ± standard deviation (divisor n - 1) of all trials.\n")
        }
        Statistic::Trimmed => format!(
            "{drop}, the paper's statistic: the best and the worst trial are dropped, mean ± population \
             standard deviation of the others.\n"
        ),
    };
    format!("{statistic}{fault_free}")
}

impl Panel<'_> {
    /// True if some protection changes weights by storing them.
    fn is_lossy(&self) -> bool {
        self.rows.iter().any(|row| row.fault_free.is_some())
    }
}

/// Text of the drop without faults.
fn fault_free_text(estimates: &Estimates, summary: &CellSummary) -> String {
    let loss = |value| Terms::of(estimates).number(estimates.measure.loss(summary.clean, value));
    let drop = summary.fault_free.map(loss);
    drop.unwrap_or_else(|| NOT_MEASURED.into())
}

pub(crate) const CHANGED_NOTE: &str = "Only trials in which some stored word reads back wrong were drawn; all others lose \
     nothing. So the mean of all trials is estimated as P m and their standard deviation as the square root of \
     P q - (P m)^2, where P is the probability of such a trial, P(changed), m the mean of the drops drawn and q the mean \
     of their squares.\n";

/// Text of a cell's drop, `mean ± deviation`.
pub(crate) fn drop_text(summary: &CellSummary, statistic: Statistic, terms: &Terms) -> String {
    let plus_minus = |mean, sd| format!("{} ± {}", terms.number(mean), terms.number(sd));
    let drop = summary.drop;
    match statistic {
        Statistic::AllTrials => match drop.sd {
            Some(sd) if summary.changed_probability.is_some() => {
                format!("{} ± {}", small(drop.mean), small(sd))
            }
            Some(sd) => plus_minus(drop.mean, sd),
            None if summary.changed_probability.is_some() => small(drop.mean),
            None => terms.number(drop.mean),
        },
        Statistic::Trimmed => drop.trimmed.map_or(ABSENT.into(), |t| plus_minus(t.mean, t.population_sd)),
    }
}

/// Note below a table with a column `fault-free`.
pub(crate) const FAULT_FREE_NOTE: &str = "`fault-free`: drop without any fault: the cost of a lossy protection, which \
     changes weights when it stores them.\n";
