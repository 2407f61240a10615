use design::{Better, Metric};

/// Quantity by which the trials of a run are valued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Images whose prediction is the label.
    #[default]
    Accuracy,
    /// Images whose prediction is that of the fault-free network, for images without labels: 100 % without
    /// faults. A drop is then the share of images on which faults change the prediction (SDC rate).
    Agreement,
    /// Score of an evaluator of the user's own. It has no unit; a drop is the amount by which faults make it worse.
    Score(Metric),
}

impl Measure {
    /// Name in texts and columns: `accuracy`, `agreement`, or the name of the metric.
    pub fn word(&self) -> &str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Agreement => "agreement",
            Self::Score(metric) => &metric.name,
        }
    }

    /// The name at the beginning of a sentence.
    pub(crate) fn capital(&self) -> &str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::Agreement => "Agreement",
            Self::Score(metric) => &metric.name,
        }
    }

    /// The metric, if the trials have scores.
    pub fn metric(&self) -> Option<&Metric> {
        match self {
            Self::Score(metric) => Some(metric),
            Self::Accuracy | Self::Agreement => None,
        }
    }

    /// True if a network is better with a lower value.
    pub(crate) fn is_lower_better(&self) -> bool {
        self.metric().is_some_and(|metric| metric.better == Better::Lower)
    }

    /// Returns the value after a drop from `clean`.
    pub(crate) fn after(&self, clean: f64, drop: f64) -> f64 {
        if self.is_lower_better() { clean + drop } else { clean - drop }
    }

    /// Returns the drop from `clean` to a value.
    pub(crate) fn loss(&self, clean: f64, value: f64) -> f64 {
        if self.is_lower_better() { value - clean } else { clean - value }
    }

    /// Returns the ends, lower first, of the interval of a mean value, from those of the mean drop.
    pub(crate) fn ends_after(&self, clean: f64, (low, high): (f64, f64)) -> (f64, f64) {
        let (one, other) = (self.after(clean, low), self.after(clean, high));
        if self.is_lower_better() { (one, other) } else { (other, one) }
    }
}

/// Unit of the values of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Images, of a set with this number of images.
    Images(u64),
    /// That of a metric.
    Score,
}

impl Unit {
    /// Returns a value of this unit as tables show it: in % of all images, or the score as it is.
    pub fn shown(self, value: f64) -> f64 {
        match self {
            Self::Images(images) => points(value, images),
            Self::Score => value,
        }
    }
}

/// A number of images in % of all images.
pub fn points(count: f64, images: u64) -> f64 {
    count * 100.0 / images as f64
}
