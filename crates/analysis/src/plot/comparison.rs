//! A comparison as a table of shaded means.

use crate::estimate::cell::rate_label;
use crate::estimate::comparison::{Accuracy, Comparison, Contender, Family};
use crate::plot::fields::{Field, FieldTable};
use crate::plot::figure::Figure;
use crate::plot::header::{Header, Page};
use crate::plot::panel::Panel;
use crate::text::comparison::{better, common_rate_name, contender_label, terms};
use crate::text::number::{NOT_MEASURED, overhead_label};
use crate::text::terms::Terms;

/// A loss of this many points has the deepest colour; of a score, the largest loss.
const DEEPEST: f64 = 60.0;

/// Draws mean means, or agreements, as a table for each family: a row for each contender, a column for each rate.
pub fn comparison_figure(comparison: &Comparison, title: &str) -> Figure {
    let mut contenders = comparison.families.iter().flat_map(|family| &family.contenders);
    let unmeasured = contenders.any(|contender| contender.fault_free.is_none());
    let explanation = format!(
        "Mean {}, by {}. The darker a field, the more is lost against the best version without faults. Framed: \
         nothing with as little stored overhead has a {} mean{}",
        terms(comparison).values(),
        common_rate_name(comparison),
        better(comparison),
        if unmeasured { ". A question mark: not measured" } else { "" }
    );
    let header = Header::new(Page::WIDE, title, &[&explanation], Vec::new());
    let tables: Vec<(Panel, FieldTable)> = comparison
        .families
        .iter()
        .map(|family| {
            (Panel::new(&family.name, &[], Page::WIDE.inner_width()), table(family, terms(comparison)))
        })
        .collect();
    let height = |(panel, table): &(Panel, FieldTable)| panel.height() + table.height() + 36;
    let (mut figure, mut top) = header.figure(tables.iter().map(height).sum());
    for panel in &tables {
        let (x, (heading, table)) = (Page::WIDE.margin, panel);
        heading.draw(&mut figure, (x, top));
        table.draw(&mut figure, (x, top + heading.height()), Page::WIDE.inner_width());
        top += height(panel);
    }
    figure
}

fn table(family: &Family, terms: Terms) -> FieldTable {
    let best = family.best_clean();
    // The square root keeps small losses apart.
    let lost = |value: f64| family.lead(best, value).max(0.0);
    let means = family.contenders.iter().flat_map(|c| c.means.iter().flatten()).map(|mean| lost(mean.mean));
    let deepest = match terms.metric() {
        None => DEEPEST,
        Some(_) => means.fold(0.0, f64::max).max(f64::MIN_POSITIVE),
    };
    let shade = |value: f64| Some((lost(value) / deepest).sqrt());
    let mut fields = Vec::new();
    for (row, contender) in family.contenders.iter().enumerate() {
        let label = contender_label(contender);
        let plain = |column, text, shade, value| Field { row, column, text, shade, framed: false, value };
        fields.push(plain(0, overhead_label(contender.overhead_percent), None, String::new()));
        fields.push(match contender.fault_free {
            Some(value) => plain(
                1,
                terms.digits(1).text(value),
                shade(value),
                format!("{label}: fault-free {}", terms.value(value)),
            ),
            None => plain(1, "?".into(), None, format!("{label}: fault-free {NOT_MEASURED}")),
        });
        for (rate, accuracy) in contender.means.iter().enumerate() {
            fields.extend(accuracy.map(|accuracy| Field {
                framed: family.is_on_front(contender, rate),
                ..plain(
                    rate + 2,
                    terms.digits(1).text(accuracy.mean),
                    shade(accuracy.mean),
                    mean_value(family, contender, terms, rate, &accuracy),
                )
            }));
        }
    }
    let heads = ["overhead".to_string(), "fault-free".into()];
    FieldTable {
        rows: family.contenders.iter().map(contender_label).collect(),
        heads: heads.into_iter().chain(family.rates.iter().map(|rate| rate_label(*rate))).collect(),
        fields,
    }
}

/// Text of a mean: protection and version, rate, mean and its interval.
pub(crate) fn mean_value(
    family: &Family,
    contender: &Contender,
    terms: Terms,
    rate: usize,
    accuracy: &Accuracy,
) -> String {
    let interval = accuracy.interval.map_or(String::new(), |(low, high)| {
        format!(", 95 % interval [{}, {}]", terms.number(low), terms.number(high))
    });
    let rate = rate_label(family.rates[rate]);
    let mean = terms.value(accuracy.mean);
    format!("{} at {rate}: mean {mean}{interval}", contender_label(contender))
}
