//! Critical rates of single faults as tables and sentences.

use design::{SingleFaultSpec, Strata};

use crate::estimate::column::{count, optional_count, real, text};
use crate::estimate::single_fault::{Criterion, CriticalRate, FaultEstimate, FaultEstimates};
use crate::text::csv::csv;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{fixed, grouped};

/// Name of a criterion, for headings of columns.
pub(crate) fn criterion_name(criterion: Criterion) -> &'static str {
    match criterion {
        Criterion::Logits => "any logit",
        Criterion::Top1 => "top-1",
        Criterion::Accuracy => "accuracy",
    }
}

/// Tensor of a stratum or pool in words.
pub(crate) fn tensor_name(spec: &SingleFaultSpec, tensor: Option<usize>) -> &str {
    tensor.map_or("all", |tensor| &spec.tensors[tensor].name)
}

/// The strata as CSV (RFC 4180), in memory order; rates are shares of the faults, `bit` and `tensor` are empty where a stratum
/// has all.
pub fn strata_csv(estimates: &FaultEstimates) -> String {
    let (spec, strata) = (&estimates.spec, &estimates.strata[..]);
    let name = |own: &FaultEstimate| own.stratum.tensor.map_or("", |tensor| &spec.tensors[tensor].name);
    let names: Vec<(&str, &FaultEstimate)> = strata.iter().map(|own| (name(own), own)).collect();
    let mut columns = vec![
        text("tensor", &names, |(name, _)| name),
        optional_count("bit", strata, |own| own.stratum.bit.map(u64::from)),
        count("faults", strata, |own| own.stratum.faults),
        count("sampled", strata, |own| own.sampled),
    ];
    for (place, key) in ["logits", "top1", "accuracy"].into_iter().enumerate() {
        let rate = |own: &FaultEstimate| own.rates[place];
        columns.push(count(&format!("critical_{key}"), strata, |own| rate(own).critical));
        columns.push(real(&format!("rate_{key}"), strata, |own| Some(rate(own).rate)));
        columns.push(real(&format!("low_{key}"), strata, |own| Some(rate(own).low)));
        columns.push(real(&format!("high_{key}"), strata, |own| Some(rate(own).high)));
    }
    columns.push(real("sdc1", strata, |own| Some(own.sdc1)));
    csv(columns)
}

/// A rate in percent with its interval; without one if that has no width.
pub(crate) fn percent(rate: &CriticalRate) -> String {
    let value = |share: f64| fixed(100.0 * share, 3);
    match rate.high - rate.low < 1e-12 {
        true => value(rate.rate),
        false => format!("{} [{}, {}]", value(rate.rate), value(rate.low), value(rate.high)),
    }
}

/// Estimates as a Markdown table; `ranks` numbers the rows.
fn table(estimates: &FaultEstimates, rows: &[&FaultEstimate], ranks: bool) -> String {
    let mut columns = vec![MarkdownColumn::text("tensor"), MarkdownColumn::text("bit")];
    if ranks {
        columns.insert(0, MarkdownColumn::number("rank"));
    }
    columns.extend(["faults", "sampled"].map(MarkdownColumn::number));
    columns.extend(
        Criterion::ALL.map(|criterion| MarkdownColumn::number(&format!("{} %", criterion_name(criterion)))),
    );
    columns.push(MarkdownColumn::number("SDC-1 %"));
    let row = |(rank, own): (usize, &&FaultEstimate)| {
        let mut row = vec![
            tensor_name(&estimates.spec, own.stratum.tensor).to_string(),
            own.stratum.bit.map_or("all".into(), |bit| bit.to_string()),
            grouped(own.stratum.faults),
            grouped(own.sampled),
        ];
        if ranks {
            row.insert(0, rank.to_string());
        }
        row.extend(own.rates.iter().map(percent));
        row.push(fixed(100.0 * own.sdc1, 4));
        row
    };
    markdown_table(&columns, &(1..).zip(rows).map(row).collect::<Vec<_>>())
}

/// All faults in one row.
pub fn total_table(estimates: &FaultEstimates) -> String {
    table(estimates, &[&estimates.total], false)
}

/// The `most` most critical strata by top-1.
pub fn ranking_table(estimates: &FaultEstimates, most: usize) -> String {
    let ranked = estimates.ranked(Criterion::Top1);
    table(estimates, &ranked[..most.min(ranked.len())], true)
}

/// The strata put together by tensor or by bit; `None` if that is not finer than all and coarser than the strata.
pub(crate) fn pooled_table(estimates: &FaultEstimates, division: Strata) -> Option<String> {
    let pools = estimates.pooled(division);
    (!pools.is_empty()).then(|| table(estimates, &pools.iter().collect::<Vec<_>>(), false))
}

/// The conditions of a campaign in one sentence without a full stop.
pub fn fault_conditions(estimates: &FaultEstimates) -> String {
    let FaultEstimates { spec, total, .. } = estimates;
    let drawn = match spec.sample.exhaustive {
        true => format!("all {} single faults", grouped(total.sampled)),
        false => format!(
            "{} of {} single faults, drawn for a margin of {} points at {} % confidence",
            grouped(total.sampled),
            grouped(spec.faults()),
            100.0 * spec.sample.margin,
            100.0 * spec.sample.confidence
        ),
    };
    let set = &spec.evaluation;
    format!("{}: {drawn}, on {} images of {} {}", spec.model, set.images, set.name, set.split)
}

/// Definitions of the columns, as Markdown.
pub(crate) fn criteria_note(estimates: &FaultEstimates) -> String {
    let sample = &estimates.spec.sample;
    let images = estimates.spec.evaluation.images as f64;
    let intervals = match sample.exhaustive {
        true => "Every fault was evaluated, so the rates are exact and have no intervals.".to_string(),
        false => format!(
            "In brackets: {} % intervals. Those of a stratum are exact (hypergeometric, by inversion of both tails); those of \
             several strata together are normal, weighted by the numbers of faults.",
            100.0 * sample.confidence
        ),
    };
    format!(
        "A fault is one flipped bit of one stored weight, alone; no protection. It is critical by\n\n- **any logit** if a logit of \
         at least one image differs in any bit;\n- **top-1** if the top-1 class of at least one image differs from that of the \
         fault-free network;\n- **accuracy** if it loses more than {} % of the images: more than {} images fewer are correct.\n\n\
         **SDC-1** is the share of pairs of a fault and an image whose top-1 class differs (Li et al., SC 2017). {intervals}",
        estimates.drop_points,
        estimates.drop_points / 100.0 * images,
    )
}
