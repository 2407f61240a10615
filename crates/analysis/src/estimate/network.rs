//! Float and int8 networks beside the numbers of the paper's Table 1.

use crate::AnalysisError;
use crate::estimate::measure::Measure;
use crate::estimate::measure::points;

/// Numbers of the paper for a network on ImageNet: Guan et al., "In-Place Zero-Space Memory Protection for CNN",
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
    /// SHA-256 of this file.
    pub weights_sha256: String,
    /// Name and split of the image set.
    pub image_set: String,
    /// Number of evaluated images, the first of the set.
    pub images: u64,
    /// Images that the float network classifies correctly; not used if agreement is measured.
    pub float_correct: u64,
    /// Images that the int8 network classifies correctly, or as the float network does if agreement is measured.
    pub int8_correct: u64,
    /// Weights of |q| in [0, 32), [32, 64) and [64, 128].
    pub magnitudes: [u64; 3],
    /// Weights that in-place protection cannot store.
    pub violations: u64,
    /// The weights that it can store, in words.
    pub storable: String,
    /// Digest of the images that were evaluated, cut to the network's size.
    pub images_digest: String,
    /// Source of the activations' ranges.
    pub calibration: String,
    /// Digest of the images that fixed these ranges; empty for dynamic ranges.
    pub calibration_digest: String,
    /// True if each batch of images has ranges of its own, as in the paper.
    pub dynamic_ranges: bool,
    /// True if each output channel has a scale of its own; in the paper each tensor has one.
    pub scales_per_channel: bool,
}

impl MeasuredNetwork {
    pub(crate) fn weights(&self) -> u64 {
        self.magnitudes.iter().sum()
    }

    /// The paper's numbers for it, where it has some.
    pub fn published(&self) -> Option<&'static PublishedNetwork> {
        PUBLISHED_NETWORKS.iter().find(|network| network.architecture == self.architecture)
    }

    pub(crate) fn magnitude_percent(&self, range: usize) -> f64 {
        points(self.magnitudes[range] as f64, self.weights())
    }

    pub(crate) fn published_magnitude(&self, range: usize) -> Option<f64> {
        Some(self.published()?.magnitude_percent?[range])
    }
}

/// Networks beside the paper's numbers for them.
#[derive(Clone, Debug)]
pub struct NetworkTable {
    pub(crate) measure: Measure,
    pub(crate) networks: Vec<MeasuredNetwork>,
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
}
