//! The part of `report.html` that a reader can play with: the cells as data, and the script that draws and lists them.
//!
//! A browser without scripts shows nothing of it. Texts of numbers are those of the summary table, so that each number is
//! rounded in one place. The page's policy names the script by its hash, and lets no other one run.

use design::FaultModel;
use serde_json::{Value, json};

use crate::estimate::cell::{ascending, first_appearances, rate_label};
use crate::estimate::estimates::Estimates;
use crate::estimate::interval::Interval;
use crate::estimate::summary::CellSummary;
use crate::plot::style::{Marker, Style, styles_of};
use crate::report::context::Context;
use crate::text::escape::line;
use crate::text::number::interval_text;
use crate::text::rate::rate_name;
use crate::text::terms::Terms;

/// The script, between its tags to the byte.
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// Heading of the section.
pub(crate) const HEADING: &str = "Explore";

/// Explanation of the marks, plain text.
pub(crate) const EXPLANATION: &str = "Lines: means of all trials. Bars: 95 % intervals of the means. Dashed line and marks at 0: \
     without faults. Protections are shifted sideways by a few pixels. A mark shows its numbers under the pointer.";

/// Source of the script for a content security policy: `'sha256-...'`.
pub(crate) fn script_source() -> String {
    format!("'sha256-{}'", durable::sha256_base64(SCRIPT.as_bytes()))
}

/// The cells as JSON for an element `script`, with every `<` escaped; `None` if the report shows no curves, because tensors or
/// bits were swept. Rates ascend; all other lists have the order of the figures, and cells refer to places in them.
pub(crate) fn data(estimates: &Estimates, context: &Context) -> Option<String> {
    let panels = estimates.panels();
    if panels.is_empty() {
        return None;
    }
    let networks: Vec<&str> = first_appearances(&panels, |(network, _)| network);
    let fault_models: Vec<&FaultModel> = first_appearances(&panels, |(_, fault_model)| fault_model);
    let summaries = estimates.summaries().iter();
    let shown: Vec<&CellSummary> =
        summaries.filter(|s| panels.contains(&(&s.key.model, &s.key.fault_model))).collect();
    let rates = ascending(shown.iter().map(|summary| summary.key.rate));
    let mut families: Vec<&str> = Vec::new();
    let networks_of_families: Vec<Value> = networks
        .iter()
        .map(|network| {
            let entry = context.networks.iter().find(|entry| entry.label == *network);
            let family = entry.and_then(|entry| entry.family.as_deref());
            let place = family.map(|family| {
                position(&families, |known| *known == family).unwrap_or_else(|| {
                    families.push(family);
                    families.len() - 1
                })
            });
            json!({ "name": line(network), "family": place })
        })
        .collect();

    let terms = Terms::of(estimates);
    let network_of = |s: &CellSummary| position(&networks, |network| *network == s.key.model);
    let protection_of = |s: &CellSummary| position(&estimates.protections, |p| *p == s.key.protection);
    let cells: Vec<Value> = shown
        .iter()
        .map(|s| {
            let digits = terms.drop_digits(s);
            json!({
                "network": network_of(s),
                "faultModel": position(&fault_models, |model| **model == s.key.fault_model),
                "protection": protection_of(s),
                "rate": position(&rates, |rate| *rate == s.key.rate),
                "trials": s.trials,
                "value": values(s, estimates),
                "drop": drops(s),
                "text": [
                    terms.number(s.mean),
                    digits.text(s.drop.mean),
                    interval_text(s.drop.interval, s.trials, digits),
                ],
            })
        })
        .collect();
    let mut stored: Vec<(&str, &CellSummary)> = Vec::new();
    for s in &shown {
        let known = |(network, other): &(&str, &CellSummary)| {
            *network == s.key.model && other.key.protection == s.key.protection
        };
        if !stored.iter().any(known) {
            stored.push((&s.key.model, s));
        }
    }
    let stored: Vec<Value> = stored
        .iter()
        .map(|(_, s)| {
            let fault_free = s.fault_free.map(|value| {
                json!({ "value": value, "drop": estimates.measure.loss(s.clean, value), "text": terms.number(value) })
            });
            json!({
                "network": network_of(s),
                "protection": protection_of(s),
                "clean": { "value": s.clean, "drop": 0 },
                "faultFree": fault_free,
            })
        })
        .collect();
    let chance = context.chance_percent.filter(|_| terms.metric().is_none());
    let data = json!({
        "words": {
            "value": line(terms.word()),
            "drop": terms.drop(),
            "unit": terms.heading(""),
            "points": terms.points(),
        },
        "headings": { "value": line(&terms.heading(terms.word())), "drop": terms.drop() },
        "axes": { "value": line(&terms.axis(terms.word())), "drop": line(&terms.drop_in_units()) },
        "percent": terms.metric().is_none(),
        "chance": chance,
        "families": families.iter().map(|family| line(family)).collect::<Vec<_>>(),
        "networks": networks_of_families,
        "faultModels": fault_models
            .iter()
            .map(|model| json!({ "name": line(&model.to_string()), "rate": rate_name(model) }))
            .collect::<Vec<_>>(),
        "protections": estimates
            .protections
            .iter()
            .zip(styles_of(&estimates.protections))
            .map(|(name, style)| look(&line(&name.label()), style))
            .collect::<Vec<_>>(),
        "rates": rates.iter().map(|rate| json!({ "value": rate, "text": rate_label(*rate) })).collect::<Vec<_>>(),
        "stored": stored,
        "cells": cells,
    });
    Some(data.to_string().replace('<', "\\u003c"))
}

fn position<T>(items: &[T], is_wanted: impl Fn(&T) -> bool) -> Option<usize> {
    items.iter().position(is_wanted)
}

/// Mean drop of a cell with the ends of its 95 % interval, which are null if it has none.
fn drops(summary: &CellSummary) -> [Option<f64>; 3] {
    let mean = summary.drop.mean;
    match summary.drop.interval {
        Interval::Absent => [Some(mean), None, None],
        Interval::AllEqual { .. } => [Some(mean); 3],
        Interval::Bca { low, high } => [Some(mean), Some(low), Some(high)],
    }
}

/// The same of the value that the drops leave.
fn values(summary: &CellSummary, estimates: &Estimates) -> [Option<f64>; 3] {
    let [_, low, high] = drops(summary);
    let ends = low.zip(high).map(|ends| estimates.measure.ends_after(summary.clean, ends));
    [Some(summary.mean), ends.map(|(low, _)| low), ends.map(|(_, high)| high)]
}

fn look(name: &str, style: Style) -> Value {
    let [red, green, blue] = style.rgb;
    let marker = match style.marker {
        Marker::Circle => "circle",
        Marker::Square => "square",
        Marker::TriangleUp => "triangle-up",
        Marker::Diamond => "diamond",
        Marker::TriangleDown => "triangle-down",
        Marker::Cross => "cross",
    };
    json!({
        "name": name,
        "color": format!("#{red:02x}{green:02x}{blue:02x}"),
        "marker": marker,
        "dash": style.pattern,
    })
}
