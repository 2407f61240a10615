//! Versions of one network, each under the protections that fit it, side by side: which protection costs what, and
//! what it is worth at each rate.

use polars_core::frame::DataFrame;
use records::NetworkEntry;

use crate::cell::{Cell, ascending, first_appearances, rate_label};
use crate::column::{real, text};
use crate::escape::lines;
use crate::estimate::{CellOutcomes, CellSummary};
use crate::interval::Interval;
use crate::latex::{self, LatexTable};
use crate::lossy::NOT_MEASURED;
use crate::report::Report;
use crate::style::display_name;
use crate::table::{ABSENT, MarkdownColumn, csv, markdown};

/// The families of an experiment: the networks that its plan calls versions of one.
///
/// Accuracies are compared, not drops: versions of a network differ without faults too, and what a version has lost in
/// making room for a code counts against the code.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub(crate) families: Vec<Family>,
    /// What all rates are.
    pub(crate) rate_name: &'static str,
    /// Whether some protection loses by storing.
    lossy: bool,
}

/// A family under one fault model.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    /// Ascending.
    pub(crate) rates: Vec<f64>,
    /// By stored overhead, then in the plan's order.
    pub(crate) contenders: Vec<Contender>,
}

/// A protection on a version of the network.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) model: String,
    pub(crate) protection: String,
    /// Check cells for each data cell, %.
    pub(crate) overhead_percent: f64,
    /// Of the version without faults, % of images.
    clean_percent: f64,
    /// Of the version as the protection stores it, without faults; `None` when that was not measured.
    pub(crate) fault_free_percent: Option<f64>,
    /// Mean accuracy at each rate, and its 95 % interval where there is one.
    pub(crate) accuracies: Vec<Option<Accuracy>>,
    /// What became of code words at each rate.
    outcomes: Vec<Option<CellOutcomes>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Accuracy {
    pub(crate) mean_percent: f64,
    pub(crate) interval_percent: Option<(f64, f64)>,
}

impl Contender {
    /// The protection, and the version it runs on.
    pub(crate) fn label(&self) -> String {
        format!("{} on {}", display_name(&self.protection), self.model)
    }
}

impl Family {
    /// Whether no other contender at a rate is at least as accurate at no more overhead, and better in one of the two.
    pub(crate) fn is_on_front(&self, contender: &Contender, rate: usize) -> bool {
        let Some(own) = contender.accuracies[rate] else { return false };
        !self.contenders.iter().any(|other| {
            other.accuracies[rate].is_some_and(|accuracy| {
                let (cheaper, better) = (
                    other.overhead_percent.total_cmp(&contender.overhead_percent),
                    own.mean_percent.total_cmp(&accuracy.mean_percent),
                );
                cheaper.is_le() && better.is_le() && (cheaper.is_lt() || better.is_lt())
            })
        })
    }

    /// What tables say of a contender: protection, version, overhead, accuracy without faults and at each rate, which
    /// `bold` marks where it is on the front.
    fn row(&self, contender: &Contender, absent: &str, bold: fn(String) -> String) -> Vec<String> {
        let mut row = vec![
            display_name(&contender.protection),
            contender.model.clone(),
            overhead_label(contender.overhead_percent),
            contender.fault_free_percent.map_or(NOT_MEASURED.into(), |percent| format!("{percent:.2}")),
        ];
        row.extend(contender.accuracies.iter().enumerate().map(|(rate, accuracy)| {
            let Some(accuracy) = accuracy else { return absent.into() };
            let mean = format!("{:.2}", accuracy.mean_percent);
            if self.is_on_front(contender, rate) { bold(mean) } else { mean }
        }));
        row
    }

    /// The most accurate version without faults.
    pub(crate) fn best_clean_percent(&self) -> f64 {
        self.contenders.iter().map(|c| c.clean_percent).fold(0.0, f64::max)
    }
}

const FRONT_NOTE: &str = "Bold: no protection with as little stored overhead has a higher mean at that rate.";

impl Comparison {
    /// The families that `networks` name; empty when they name none.
    pub fn new(report: &Report, networks: &[NetworkEntry]) -> Self {
        let family_of = |model: &str| networks.iter().find(|n| n.label == model)?.family.as_deref();
        let mut families: Vec<Family> = Vec::new();
        let estimates = report.summaries().iter().zip(report.outcomes());
        let all: Vec<Member<'_>> = report.cells.iter().zip(estimates).map(|(c, (s, o))| (c, s, o)).collect();
        let fault_models = first_appearances(&report.cells, |cell| &cell.key.fault_model);
        let mut names: Vec<&str> = Vec::new();
        for name in report.cells.iter().filter_map(|cell| family_of(&cell.key.model)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for fault_model in &fault_models {
            for &name in &names {
                let members = all.iter().filter(|(cell, _, _)| {
                    cell.key.fault_model == **fault_model && family_of(&cell.key.model) == Some(name)
                });
                let title = match fault_models.len() {
                    1 => name.to_string(),
                    _ => format!("{name}, {fault_model}"),
                };
                families.extend(family(title, members.copied().collect()));
            }
        }
        Self { families, rate_name: report.rate_name(), lossy: !report.lossy.is_empty() }
    }

    /// Whether no network was said to be of a family.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// A row for each protection on each version of each network, with a column for each rate.
    fn frame(&self) -> DataFrame {
        struct Row<'a>(&'a Family, &'a Contender, usize);
        let rows: Vec<Row<'_>> = self
            .families
            .iter()
            .flat_map(|f| {
                f.contenders.iter().flat_map(move |c| (0..f.rates.len()).map(move |r| Row(f, c, r)))
            })
            .filter(|Row(_, c, rate)| c.accuracies[*rate].is_some())
            .collect();
        let accuracy = |row: &Row<'_>| row.1.accuracies[row.2];
        let mut columns = vec![
            text("family", &rows, |r| &r.0.name),
            text("model", &rows, |r| &r.1.model),
            text("protection", &rows, |r| &r.1.protection),
            real("stored_overhead_percent", &rows, |r| Some(r.1.overhead_percent)),
            real("clean_accuracy_percent", &rows, |r| Some(r.1.clean_percent)),
            real("rate", &rows, |r| Some(r.0.rates[r.2])),
            real("accuracy_percent", &rows, |r| Some(accuracy(r)?.mean_percent)),
            real("interval_low_percent", &rows, |r| Some(accuracy(r)?.interval_percent?.0)),
            real("interval_high_percent", &rows, |r| Some(accuracy(r)?.interval_percent?.1)),
            text("on_front", &rows, |r| if r.0.is_on_front(r.1, r.2) { "yes" } else { "no" }),
        ];
        if self.lossy {
            columns.push(real("fault_free_accuracy_percent", &rows, |r| r.1.fault_free_percent));
        }
        DataFrame::new(rows.len(), columns).expect("the columns have distinct names and one length")
    }

    /// [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), a line for each contender and rate.
    pub fn csv(&self) -> String {
        csv(&self.frame())
    }

    /// A table for each family: mean accuracy at each rate, in bold where nothing cheaper or as cheap is better.
    pub fn markdown(&self) -> String {
        let mut sections = Vec::new();
        for family in &self.families {
            let mut columns = vec![
                MarkdownColumn::text("protection"),
                MarkdownColumn::text("network"),
                MarkdownColumn::number("stored overhead"),
                MarkdownColumn::number("fault-free"),
            ];
            columns.extend(family.rates.iter().map(|rate| MarkdownColumn::number(&rate_label(*rate))));
            let row = |contender| family.row(contender, "", |mean| format!("**{mean}**"));
            let rows: Vec<Vec<String>> = family.contenders.iter().map(row).collect();
            sections.push(format!("**{}**, accuracy in %:\n\n{}", family.name, markdown(&columns, &rows)));
        }
        lines(format!("{}\n{FRONT_NOTE}\n", sections.join("\n")))
    }

    /// The same as [`Self::markdown`] as LaTeX: a `table` for each family, for the package booktabs, with the
    /// conditions in its caption.
    pub fn latex(&self, title: &str, conditions: &str) -> String {
        let table = |family: &Family| {
            let mut heads = ["protection", "network", "overhead", "fault-free"].map(String::from).to_vec();
            heads.extend(family.rates.iter().map(|rate| latex::number(&rate_label(*rate))));
            let row = |contender| {
                let absent = latex::escaped(ABSENT);
                let mut row = family.row(contender, &absent, |mean| format!("\\textbf{{{mean}}}"));
                // The names; numbers need no escape.
                row[..3].iter_mut().for_each(|name| *name = latex::escaped(name));
                row
            };
            LatexTable {
                title: &format!("{title}: {}", family.name),
                caption: latex::escaped(&format!(
                    "Accuracy in %, mean over the trials. {FRONT_NOTE} {conditions}."
                )),
                text_columns: 2,
                heads,
                groups: vec![(String::new(), family.contenders.iter().map(row).collect())],
            }
            .write()
        };
        self.families.iter().map(table).collect::<Vec<_>>().join("\n")
    }

    /// What the decoders did at the middle rate of each family, a trial on average.
    pub fn outcomes_markdown(&self) -> String {
        let heads = ["words hit", "corrected", "detected", "miscorrected", "silent", "weights changed"];
        let mut sections = Vec::new();
        for family in &self.families {
            let rate = family.rates.len() / 2;
            let mut columns = vec![MarkdownColumn::text("protection"), MarkdownColumn::text("network")];
            columns.extend(heads.map(MarkdownColumn::number));
            let row = |contender: &Contender| {
                let o = contender.outcomes[rate].as_ref()?;
                let counts =
                    [o.words_hit, o.corrected, o.detected, o.miscorrected, o.silent, o.weights_changed];
                let means = counts.map(|count| format!("{:.1}", count as f64 / o.trials as f64));
                let names = [display_name(&contender.protection), contender.model.clone()];
                Some(names.into_iter().chain(means).collect())
            };
            let rows: Vec<Vec<String>> = family.contenders.iter().filter_map(row).collect();
            let label = rate_label(family.rates[rate]);
            sections.push(format!("**{}**, at {label}:\n\n{}", family.name, markdown(&columns, &rows)));
        }
        let note = "\nMeans over the trials. *Weights changed* counts against the network's own weights, so that for a \
                    lossy protection it holds what is lost without faults.\n";
        lines(sections.join("\n") + note)
    }
}

/// `0`, `1.56 %`.
pub(crate) fn overhead_label(percent: f64) -> String {
    if percent == 0.0 { "0".into() } else { format!("{} %", (percent * 100.0).round() / 100.0) }
}

/// A cell with its estimates.
type Member<'a> = (&'a Cell, &'a CellSummary, &'a CellOutcomes);

fn family(name: String, members: Vec<Member<'_>>) -> Option<Family> {
    let rates = ascending(members.iter().map(|(cell, _, _)| cell.key.rate));
    let mut contenders: Vec<Contender> = Vec::new();
    for (cell, summary, outcomes) in members {
        let key = &cell.key;
        let known = contenders.iter().position(|c| c.model == key.model && c.protection == key.protection);
        let place = known.unwrap_or(contenders.len());
        if known.is_none() {
            contenders.push(Contender {
                model: key.model.clone(),
                protection: key.protection.clone(),
                overhead_percent: cell.overhead_percent(),
                clean_percent: summary.clean_accuracy_percent,
                fault_free_percent: summary.fault_free_percent,
                accuracies: vec![None; rates.len()],
                outcomes: vec![None; rates.len()],
            });
        }
        let rate = rates.iter().position(|rate| *rate == key.rate).expect("gathered above");
        let clean = summary.clean_accuracy_percent;
        contenders[place].outcomes[rate] = Some(outcomes.clone());
        contenders[place].accuracies[rate] = Some(Accuracy {
            mean_percent: summary.accuracy_percent,
            interval_percent: match summary.drop_points.interval {
                Interval::Bca { low, high } => Some((clean - high, clean - low)),
                Interval::Absent | Interval::AllEqual { .. } => None,
            },
        });
    }
    contenders.sort_by(|a, b| a.overhead_percent.total_cmp(&b.overhead_percent));
    (!contenders.is_empty()).then_some(Family { name, rates, contenders })
}
