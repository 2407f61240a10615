//! Accuracy drops laid out as the paper's Table 2, in Markdown and in LaTeX.

use crate::cell::rate_label;
use crate::comparison::overhead_label;
use crate::estimate::CellSummary;
use crate::report::{Measure, Report};
use crate::style::display_name;
use crate::table::{ABSENT, MarkdownColumn, fixed, markdown, small};

/// Which statistic of the accuracy drops [`Report::drop_table`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Mean ± standard deviation (divisor n - 1) of all trials.
    AllTrials,
    /// The paper's: without the best and the worst trial, mean ± population standard deviation.
    Trimmed,
}

/// The drops of one model under one fault model.
struct Panel<'a> {
    model: &'a str,
    fault_model: &'a str,
    /// Without faults, % of images; `None` where protections differ in that, as versions of a network may.
    clean_percent: Option<f64>,
    /// Ascending.
    rates: Vec<f64>,
    rows: Vec<Row>,
}

struct Row {
    protection: String,
    overhead_percent: f64,
    /// One for each rate of the panel.
    drops: Vec<String>,
}

impl Report {
    /// The accuracy drops in points, laid out as the paper's Table 2: for each model and fault model a heading and a
    /// table with a row a protection, its check cells in % of the data cells, and a column a rate.
    pub fn drop_table(&self, statistic: Statistic) -> String {
        let mut text = String::new();
        for panel in self.drop_panels(statistic) {
            let mut columns =
                vec![MarkdownColumn::text("protection"), MarkdownColumn::number("stored overhead")];
            columns.extend(panel.rates.iter().map(|rate| MarkdownColumn::number(&rate_label(*rate))));
            let rows: Vec<Vec<String>> = panel
                .rows
                .into_iter()
                .map(|row| {
                    let mut cells = vec![row.protection, overhead_label(row.overhead_percent)];
                    cells.extend(row.drops);
                    cells
                })
                .collect();
            let clean =
                panel.clean_percent.map_or(String::new(), |c| format!(", {} % fault-free", fixed(c, 2)));
            let heading = format!("**{}**, {}{clean}:", panel.model, panel.fault_model);
            text.push_str(&format!("{heading}\n\n{}\n", markdown(&columns, &rows)));
        }
        text + &self.drop_note(statistic)
    }

    /// The same as [`Self::drop_table`] as a LaTeX `table` for the package booktabs: `title` and the conditions are its
    /// caption, and models and fault models follow each other in one `tabular`, whose columns are all rates of any of them.
    pub fn drop_latex(&self, statistic: Statistic, title: &str) -> String {
        let panels = self.drop_panels(statistic);
        let mut rates: Vec<f64> = panels.iter().flat_map(|panel| panel.rates.iter().copied()).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        let mut lines = vec![
            "% Needs \\usepackage{booktabs}.".to_string(),
            "\\begin{table}".into(),
            "  \\centering".into(),
            format!(
                "  \\caption{{{}. {} {}.}}",
                latex(title),
                latex(self.drop_note(statistic).trim()),
                latex(&self.conditions())
            ),
            format!("  \\label{{tab:{}}}", label(title)),
            format!("  \\begin{{tabular}}{{lr{}}}", "r".repeat(rates.len())),
            "    \\toprule".into(),
        ];
        let heads = rates.iter().map(|rate| format!(" & {}", latex_number(&rate_label(*rate))));
        lines.push(format!("    protection & overhead{} \\\\", heads.collect::<String>()));
        for panel in &panels {
            let clean = panel.clean_percent.map(|c| format!(", {}\\,\\% fault-free", fixed(c, 2)));
            lines.push("    \\midrule".into());
            lines.push(format!(
                "    \\multicolumn{{{}}}{{l}}{{\\textbf{{{}}}, {}{}}} \\\\",
                rates.len() + 2,
                latex(panel.model),
                latex(panel.fault_model),
                clean.unwrap_or_default()
            ));
            for row in &panel.rows {
                let of = |rate: &f64| panel.rates.iter().position(|own| own == rate);
                let drop = |rate| of(rate).map_or(latex(ABSENT), |i| latex_number(&row.drops[i]));
                let drops: String = rates.iter().map(|rate| format!(" & {}", drop(rate))).collect();
                let (name, overhead) = (latex(&row.protection), latex(&overhead_label(row.overhead_percent)));
                lines.push(format!("    {name} & {overhead}{drops} \\\\"));
            }
        }
        lines.extend(["    \\bottomrule", "  \\end{tabular}", "\\end{table}"].map(String::from));
        lines.join("\n") + "\n"
    }

    fn drop_panels(&self, statistic: Statistic) -> Vec<Panel<'_>> {
        let mut panels = Vec::new();
        for (model, fault_model) in self.panels() {
            let cells = || {
                let all = self.cells.iter().zip(self.summaries());
                all.filter(move |(_, s)| s.key.model == model && s.key.fault_model == fault_model)
            };
            let mut rates: Vec<f64> = cells().map(|(_, s)| s.key.rate).collect();
            rates.sort_by(f64::total_cmp);
            rates.dedup();
            let mut rows = Vec::new();
            for protection in &self.protections {
                let own = || cells().filter(|(_, s)| s.key.protection == *protection);
                let Some((cell, _)) = own().next() else { continue };
                let drop = |rate: &f64| match own().find(|(_, s)| s.key.rate == *rate) {
                    Some((_, summary)) => drop_text(summary, statistic),
                    None => ABSENT.into(),
                };
                rows.push(Row {
                    protection: display_name(protection),
                    overhead_percent: cell.overhead_percent(),
                    drops: rates.iter().map(drop).collect(),
                });
            }
            let mut clean = cells().map(|(_, s)| s.clean_accuracy_percent);
            let first = clean.next();
            let clean_percent = first.filter(|first| clean.all(|other| other == *first));
            panels.push(Panel { model, fault_model, clean_percent, rates, rows });
        }
        panels
    }

    /// What the numbers of a drop table are.
    fn drop_note(&self, statistic: Statistic) -> String {
        let drop = match self.measure {
            Measure::Accuracy => "Accuracy drop in points",
            Measure::Agreement => "Images whose prediction is not that of the fault-free network, in %",
        };
        let estimated = match self.has_changed_trials() {
            (_, true) => CHANGED_NOTE,
            (true, _) => {
                "In some cells (`P(changed)` in the summary) they are estimates from changed trials only.\n"
            }
            _ => "",
        };
        match statistic {
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
        }
    }
}

pub(crate) const CHANGED_NOTE: &str = "Drawn were only trials in which some stored word reads back wrong; all others lose \
     nothing. So the mean of all trials is estimated as the probability of that, P(changed), times the mean of the \
     trials drawn, and the standard deviation likewise.\n";

/// The drop of a cell, `mean ± deviation`.
pub(crate) fn drop_text(summary: &CellSummary, statistic: Statistic) -> String {
    let drop = summary.drop_points;
    match statistic {
        Statistic::AllTrials => match drop.sd {
            Some(sd) if summary.changed_probability.is_some() => {
                format!("{} ± {}", small(drop.mean), small(sd))
            }
            Some(sd) => plus_minus(drop.mean, sd),
            None if summary.changed_probability.is_some() => small(drop.mean),
            None => fixed(drop.mean, 2),
        },
        Statistic::Trimmed => drop.trimmed.map_or(ABSENT.into(), |t| plus_minus(t.mean, t.population_sd)),
    }
}

fn plus_minus(mean: f64, sd: f64) -> String {
    format!("{} ± {}", fixed(mean, 2), fixed(sd, 2))
}

/// Text for LaTeX: its special characters escaped, Markdown's marks of code left out.
fn latex(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.replace(" %", "\u{a0}%").chars() {
        match character {
            '#' | '$' | '%' | '&' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '±' => escaped.push_str("$\\pm$"),
            '·' => escaped.push_str("$\\cdot$"),
            '–' => escaped.push_str("--"),
            '\u{a0}' => escaped.push_str("\\,"),
            '`' => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Numbers for LaTeX's mathematics: `1.0e-3 ± 2.0e-4`, `1e-6`, `0.00 ± 0.01`; anything else as text.
fn latex_number(text: &str) -> String {
    let power = |number: &str| match number.split_once('e') {
        Some(("1", exponent)) => Some(format!("10^{{{exponent}}}")),
        Some((factor, exponent)) => Some(format!("{factor} \\times 10^{{{exponent}}}")),
        None => number.parse::<f64>().is_ok().then(|| number.to_string()),
    };
    let numbers: Option<Vec<String>> = text.split(" ± ").map(power).collect();
    numbers.map_or_else(|| latex(text), |numbers| format!("${}$", numbers.join(" \\pm ")))
}

/// A name for `\ref`: letters and digits of a title, in lower case, with hyphens between.
fn label(title: &str) -> String {
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}
