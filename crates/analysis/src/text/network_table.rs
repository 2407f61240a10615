//! The paper's Table 1: how good float and int8 networks are, and how large their weights.

use crate::estimate::column::{count, real, text};
use crate::estimate::measure::Measure;
use crate::estimate::measure::points;
use crate::estimate::network::{MeasuredNetwork, NetworkTable};
use crate::text::csv::csv;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{fixed, grouped};

/// Text in place of a number that the paper does not have, or that is not known here.
const UNPUBLISHED: &str = "-";

const RANGES: [&str; 3] = ["[0,32)", "[32,64)", "[64,128]"];

const SOURCE: &str = "\
Ours / the paper's: Guan et al., \"In-Place Zero-Space Memory Protection for CNN\", NeurIPS 2019, Table 1; `-`
where it has none, or none that is known here.";

const WEIGHTS: &str = "\
Weights are those of two or more dimensions, q their int8 values, and violations those that in-place protection
cannot store. It can store";

const RANGES_DIFFER: &str = "\
The protocols differ: our ranges of activations are static, fixed before the evaluation; the paper's are dynamic,
those of each batch.";

const SCALES_DIFFER: &str = "\
Each output channel of our weights has a scale of its own; the paper has one for each tensor.";

const AUXILIARY: &str = "\
Inception v3 is without its auxiliary classifier, which only training uses; the paper's number of weights seems to
count it.";

/// The table as Markdown, and below it the meaning of its numbers and the differences of the protocols.
pub fn network_table_markdown(table: &NetworkTable) -> String {
    let mut columns = vec![MarkdownColumn::text("network")];
    columns.extend(match table.measure == Measure::Accuracy {
        true => {
            vec![MarkdownColumn::number("float top-1 %"), MarkdownColumn::number("int8 top-1 %")]
        }
        false => vec![MarkdownColumn::number("int8 agrees with float %")],
    });
    columns.extend(RANGES.map(|range| MarkdownColumn::number(&format!("{range} %"))));
    columns.extend(["weights", "violations"].map(MarkdownColumn::number));
    let rows: Vec<Vec<String>> = table.networks.iter().map(|network| row(table, network)).collect();
    format!("{}\n{}", markdown_table(&columns, &rows), notes(table))
}

fn row(table: &NetworkTable, network: &MeasuredNetwork) -> Vec<String> {
    let published = network.published();
    let beside = |ours: f64, paper: Option<f64>| {
        let paper = paper.map_or(UNPUBLISHED.into(), |percent| fixed(percent, 2));
        format!("{} / {paper}", fixed(ours, 2))
    };
    let top1 = |correct: u64| points(correct as f64, network.images);
    let mut row = vec![network.architecture.clone()];
    match table.measure == Measure::Accuracy {
        true => {
            row.push(beside(top1(network.float_correct), published.map(|p| p.float_percent)));
            row.push(beside(top1(network.int8_correct), published.map(|p| p.int8_percent)));
        }
        false => row.push(fixed(top1(network.int8_correct), 2)),
    }
    let range = |range| beside(network.magnitude_percent(range), network.published_magnitude(range));
    row.extend((0..RANGES.len()).map(range));
    let weights = published.map_or(UNPUBLISHED, |p| p.weights);
    row.push(format!("{} / {weights}", grouped(network.weights())));
    row.push(grouped(network.violations));
    row
}

fn notes(table: &NetworkTable) -> String {
    let evaluated =
        |n: &MeasuredNetwork| format!("the first {} images of {}", grouped(n.images), n.image_set);
    let storable = each(&table.networks, |network| network.storable.clone());
    let mut notes = vec![SOURCE.to_string(), format!("{WEIGHTS} {storable}.")];
    if table.networks.iter().any(|network| !network.dynamic_ranges) {
        notes.push(RANGES_DIFFER.into());
    }
    if table.networks.iter().any(|network| network.scales_per_channel) {
        notes.push(SCALES_DIFFER.into());
    }
    notes.push(match table.measure == Measure::Accuracy {
        true => format!(
            "Our accuracies are of {}.",
            each(&table.networks, evaluated)
        ),
        false => format!(
            "The images have no labels, so that there is no accuracy: agreement is the share, of {}, on which \
             the int8 network predicts what the float network does.",
            each(&table.networks, evaluated)
        ),
    });
    notes.push(format!("Activation ranges are from {}.", each(&table.networks, |n| n.calibration.clone())));
    if table.networks.iter().any(|network| network.architecture == "inception_v3") {
        notes.push(AUXILIARY.into());
    }
    notes.iter().map(|note| format!("- {}\n", note.replace('\n', "\n  "))).collect()
}

/// A page: [`markdown`](network_table_markdown) under a title, and where every number comes from.
pub fn network_table_page(table: &NetworkTable) -> String {
    let columns = [
        "network",
        "weights file",
        "its SHA-256",
        "images",
        "set",
        "their digest",
        "calibration",
        "its digest",
    ];
    let rows = table.networks.iter().map(|network| {
        vec![
            network.architecture.clone(),
            network.weights_file.clone(),
            network.weights_sha256.clone(),
            network.images.to_string(),
            network.image_set.clone(),
            network.images_digest.clone(),
            network.calibration.clone(),
            network.calibration_digest.clone(),
        ]
    });
    format!(
        "# Float and int8 networks, and the distribution of their weights\n\n{}\n## Where the numbers come \
         from\n\n{}",
        network_table_markdown(table),
        markdown_table(&columns.map(MarkdownColumn::text), &rows.collect::<Vec<_>>())
    )
}

/// The table as CSV (RFC 4180), percentages with as many digits as identify them; empty where there is no
/// number.
pub fn network_table_csv(table: &NetworkTable) -> String {
    let all = &table.networks[..];
    let labelled = table.measure == Measure::Accuracy;
    let top1 = |n: &MeasuredNetwork, correct: u64| Some(points(correct as f64, n.images));
    let int8 = match table.measure == Measure::Accuracy {
        true => "int8_top1_percent",
        false => "int8_agreement_percent",
    };
    let mut columns = vec![
        text("network", all, |n| &n.architecture),
        text("image_set", all, |n| &n.image_set),
        count("images", all, |n| n.images),
        real("float_top1_percent", all, |n| top1(n, n.float_correct).filter(|_| labelled)),
        real("paper_float_top1_percent", all, |n| n.published().map(|p| p.float_percent)),
        real(int8, all, |n| top1(n, n.int8_correct)),
        real("paper_int8_top1_percent", all, |n| n.published().map(|p| p.int8_percent)),
    ];
    for (range, name) in ["below_32", "32_to_63", "64_to_128"].into_iter().enumerate() {
        let ours = |n: &MeasuredNetwork| Some(n.magnitude_percent(range));
        columns.push(real(&format!("{name}_percent"), all, ours));
        columns.push(real(&format!("paper_{name}_percent"), all, |n| n.published_magnitude(range)));
    }
    columns.extend([
        count("weights", all, MeasuredNetwork::weights),
        text("paper_weights", all, |n| n.published().map_or("", |p| p.weights)),
        count("violations", all, |n| n.violations),
        text("weights_file", all, |n| &n.weights_file),
        text("weights_sha256", all, |n| &n.weights_sha256),
        text("images_digest", all, |n| &n.images_digest),
        text("calibration", all, |n| &n.calibration),
        text("calibration_digest", all, |n| &n.calibration_digest),
    ]);
    csv(columns)
}

/// A property of networks: once if it is the same for all, otherwise with their names.
fn each(networks: &[MeasuredNetwork], of: impl Fn(&MeasuredNetwork) -> String) -> String {
    let first = of(&networks[0]);
    if networks.iter().all(|network| of(network) == first) {
        return first;
    }
    let named = networks.iter().map(|network| format!("{} ({})", of(network), network.architecture));
    named.collect::<Vec<_>>().join(", ")
}
