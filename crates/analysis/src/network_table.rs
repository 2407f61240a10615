//! The paper's Table 1: how good float and int8 networks are, and how large their weights.

use std::path::{Path, PathBuf};

use polars_core::frame::DataFrame;

use crate::AnalysisError;
use crate::axis::grouped;
use crate::cell::points;
use crate::column::{count, real, text};
use crate::folder::write_files;
use crate::report::Measure;
use crate::table::{MarkdownColumn, csv, fixed, markdown};

/// What the paper says of a network on ImageNet: Guan et al., "In-Place Zero-Space Memory Protection for CNN",
/// NeurIPS 2019, Table 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedNetwork {
    /// torchvision's name.
    pub architecture: &'static str,
    /// Top-1 accuracy of the float network, %.
    pub float_percent: f64,
    /// Top-1 accuracy of the int8 network, %.
    pub int8_percent: f64,
    /// Shares of |q| in [0, 32), [32, 64) and [64, 128], %, where they are known here.
    pub magnitude_percent: Option<[f64; 3]>,
    /// Weights of two or more dimensions, as precisely as they are known here.
    pub weights: &'static str,
}

/// The networks of the paper's Table 1, in its order.
pub const PUBLISHED_NETWORKS: [PublishedNetwork; 9] = [
    published("alexnet", 56.52, 55.80, Some([95.09, 4.88, 0.03]), "61.1 M"),
    published("vgg16", 71.59, 71.51, Some([97.69, 2.27, 0.04]), "138,344,128"),
    published("vgg16_bn", 73.36, 72.01, Some([98.84, 1.16, 0.01]), "138 M"),
    published("inception_v3", 69.54, 68.07, Some([98.23, 1.71, 0.05]), "27 M"),
    published("resnet18", 69.76, 69.07, Some([99.56, 0.42, 0.02]), "11,678,912"),
    published("resnet34", 73.31, 72.83, Some([99.72, 0.27, 0.02]), "21.8 M"),
    published("resnet50", 76.13, 75.33, None, "25.5 M"),
    published("resnet152", 78.31, 77.79, None, "60.2 M"),
    published("squeezenet1_0", 58.09, 57.01, Some([95.16, 4.62, 0.22]), "1,244,448"),
];

const fn published(
    architecture: &'static str,
    float_percent: f64,
    int8_percent: f64,
    magnitude_percent: Option<[f64; 3]>,
    weights: &'static str,
) -> PublishedNetwork {
    PublishedNetwork { architecture, float_percent, int8_percent, magnitude_percent, weights }
}

/// A network as it was measured here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredNetwork {
    /// torchvision's name, by which the paper's numbers are found.
    pub architecture: String,
    /// File of the float weights.
    pub weights_file: String,
    /// Its SHA-256.
    pub weights_sha256: String,
    /// Name and split of the image set.
    pub image_set: String,
    /// Images that were evaluated, the first of the set.
    pub images: u64,
    /// Of these, right by the float network; not used where agreement is measured.
    pub float_correct: u64,
    /// Of these, right by the int8 network, or predicted as by the float network.
    pub int8_correct: u64,
    /// Weights of |q| in [0, 32), [32, 64) and [64, 128].
    pub magnitudes: [u64; 3],
    /// Weights that in-place protection cannot store.
    pub violations: u64,
    /// The weights that it can store, in words.
    pub storable: String,
    /// Digest of the images that were evaluated, cut to the network's size.
    pub images_digest: String,
    /// What fixed the ranges of the activations.
    pub calibration: String,
    /// Digest of the images that did; empty for dynamic ranges.
    pub calibration_digest: String,
    /// Whether each batch of images gave the ranges, as in the paper.
    pub dynamic_ranges: bool,
    /// Whether output channels have scales of their own, and not whole tensors as in the paper.
    pub scales_per_channel: bool,
}

impl MeasuredNetwork {
    fn weights(&self) -> u64 {
        self.magnitudes.iter().sum()
    }

    /// The paper's numbers for it, where it has some.
    pub fn published(&self) -> Option<&'static PublishedNetwork> {
        PUBLISHED_NETWORKS.iter().find(|network| network.architecture == self.architecture)
    }

    fn magnitude_percent(&self, range: usize) -> f64 {
        points(self.magnitudes[range] as f64, self.weights())
    }

    fn published_magnitude(&self, range: usize) -> Option<f64> {
        Some(self.published()?.magnitude_percent?[range])
    }
}

/// Shown where the paper has no number, or none that is known here.
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

/// Networks beside the paper's numbers for them.
#[derive(Clone, Debug)]
pub struct NetworkTable {
    measure: Measure,
    networks: Vec<MeasuredNetwork>,
}

impl NetworkTable {
    /// Checks the counts.
    ///
    /// # Errors
    /// Without networks; when one has no images, or more correct ones than images.
    pub fn new(measure: Measure, networks: Vec<MeasuredNetwork>) -> Result<Self, AnalysisError> {
        if networks.is_empty() {
            return Err(AnalysisError::NoNetworks);
        }
        for network in &networks {
            let name = || network.architecture.clone();
            if !(1..=u64::from(u32::MAX)).contains(&network.images) {
                return Err(AnalysisError::Images { cell: name(), images: network.images });
            }
            let counts = [("float_correct", network.float_correct), ("int8_correct", network.int8_correct)];
            if let Some((field, correct)) = counts.into_iter().find(|(_, correct)| *correct > network.images)
            {
                return Err(AnalysisError::Correct { place: name(), field, correct, images: network.images });
            }
        }
        Ok(Self { measure, networks })
    }

    /// The table for people, and below it what its numbers are and how the protocols differ.
    pub fn markdown(&self) -> String {
        let mut columns = vec![MarkdownColumn::text("network")];
        columns.extend(match self.measure {
            Measure::Accuracy => {
                vec![MarkdownColumn::number("float top-1 %"), MarkdownColumn::number("int8 top-1 %")]
            }
            Measure::Agreement => vec![MarkdownColumn::number("int8 agrees with float %")],
        });
        columns.extend(RANGES.map(|range| MarkdownColumn::number(&format!("{range} %"))));
        columns.extend(["weights", "violations"].map(MarkdownColumn::number));
        let rows: Vec<Vec<String>> = self.networks.iter().map(|network| self.row(network)).collect();
        format!("{}\n{}", markdown(&columns, &rows), self.notes())
    }

    fn row(&self, network: &MeasuredNetwork) -> Vec<String> {
        let published = network.published();
        let beside = |ours: f64, paper: Option<f64>| {
            let paper = paper.map_or(UNPUBLISHED.into(), |percent| fixed(percent, 2));
            format!("{} / {paper}", fixed(ours, 2))
        };
        let top1 = |correct: u64| points(correct as f64, network.images);
        let mut row = vec![network.architecture.clone()];
        match self.measure {
            Measure::Accuracy => {
                row.push(beside(top1(network.float_correct), published.map(|p| p.float_percent)));
                row.push(beside(top1(network.int8_correct), published.map(|p| p.int8_percent)));
            }
            Measure::Agreement => row.push(fixed(top1(network.int8_correct), 2)),
        }
        let range = |range| beside(network.magnitude_percent(range), network.published_magnitude(range));
        row.extend((0..RANGES.len()).map(range));
        let weights = published.map_or(UNPUBLISHED, |p| p.weights);
        row.push(format!("{} / {weights}", grouped(network.weights())));
        row.push(grouped(network.violations));
        row
    }

    fn notes(&self) -> String {
        let evaluated =
            |n: &MeasuredNetwork| format!("the first {} images of {}", grouped(n.images), n.image_set);
        let storable = each(&self.networks, |network| network.storable.clone());
        let mut notes = vec![SOURCE.to_string(), format!("{WEIGHTS} {storable}.")];
        if self.networks.iter().any(|network| !network.dynamic_ranges) {
            notes.push(RANGES_DIFFER.into());
        }
        if self.networks.iter().any(|network| network.scales_per_channel) {
            notes.push(SCALES_DIFFER.into());
        }
        notes.push(match self.measure {
            Measure::Accuracy => format!(
                "Our accuracies are of {}.",
                each(&self.networks, evaluated)
            ),
            Measure::Agreement => format!(
                "The images have no labels, so that there is no accuracy: agreement is the share, of {}, on which \
                 the int8 network predicts what the float network does.",
                each(&self.networks, evaluated)
            ),
        });
        notes
            .push(format!("Activation ranges are from {}.", each(&self.networks, |n| n.calibration.clone())));
        if self.networks.iter().any(|network| network.architecture == "inception_v3") {
            notes.push(AUXILIARY.into());
        }
        notes.iter().map(|note| format!("- {}\n", note.replace('\n', "\n  "))).collect()
    }

    /// A page: [`markdown`](Self::markdown) under a title, and where every number comes from.
    pub fn page(&self) -> String {
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
        let rows = self.networks.iter().map(|network| {
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
            self.markdown(),
            markdown(&columns.map(MarkdownColumn::text), &rows.collect::<Vec<_>>())
        )
    }

    /// The table as CSV (RFC 4180), percentages with as many digits as identify them; empty where there is no
    /// number.
    pub fn csv(&self) -> String {
        let all = &self.networks[..];
        let labelled = self.measure == Measure::Accuracy;
        let top1 = |n: &MeasuredNetwork, correct: u64| Some(points(correct as f64, n.images));
        let int8 = match self.measure {
            Measure::Accuracy => "int8_top1_percent",
            Measure::Agreement => "int8_agreement_percent",
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
        csv(&DataFrame::new(all.len(), columns).expect("columns of one length, each with its own name"))
    }

    /// Writes `table1.csv` and `table1.md` into `dir`, which is created if missing. Each file appears only when it
    /// is whole; equal input gives equal bytes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
        let files = [("table1.csv", self.csv().into_bytes()), ("table1.md", self.page().into_bytes())];
        write_files(dir, &files)
    }
}

/// What networks have, once where it is the same for all.
fn each(networks: &[MeasuredNetwork], of: impl Fn(&MeasuredNetwork) -> String) -> String {
    let first = of(&networks[0]);
    if networks.iter().all(|network| of(network) == first) {
        return first;
    }
    let named = networks.iter().map(|network| format!("{} ({})", of(network), network.architecture));
    named.collect::<Vec<_>>().join(", ")
}
