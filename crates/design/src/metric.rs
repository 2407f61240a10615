use std::fmt;

use serde::{Deserialize, Serialize};

/// A quantity by which an evaluator of one's own scores a network, e.g. the mean average precision of a detector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name in tables, figures and columns.
    pub name: String,
    /// Direction in which the network is better.
    pub better: Better,
}

/// Direction in which a score is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// A higher score is better: accuracy, mean average precision.
    Higher,
    /// A lower score is better: loss, perplexity.
    Lower,
}

impl Metric {
    /// Returns the loss of a trial against the fault-free network, in the metric's unit; negative if the faults helped.
    pub fn drop(&self, clean: f64, score: f64) -> f64 {
        match self.better {
            Better::Higher => clean - score,
            Better::Lower => score - clean,
        }
    }

    /// Most metrics of a cell.
    pub const MOST: usize = 16;

    /// Checks the metrics of a cell: at most [`Metric::MOST`], names of 1 to 60 printable characters without `|`, each once.
    ///
    /// # Errors
    /// The first wrong name and the names that are possible.
    pub fn check(metrics: &[Self]) -> Result<(), MetricError> {
        if metrics.len() > Self::MOST {
            return Err(MetricError::Number(metrics.len()));
        }
        for (i, Self { name, .. }) in metrics.iter().enumerate() {
            let length = name.chars().count();
            let printable = !name.contains(|c: char| c.is_control() || c == '|') && name.trim() == name;
            if !printable || !(1..=60).contains(&length) {
                return Err(MetricError::Name(name.clone()));
            }
            if metrics[..i].iter().any(|other| other.name == *name) {
                return Err(MetricError::Twice(name.clone()));
            }
        }
        Ok(())
    }
}

/// The reason for which a list of metrics is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// There are too many.
    #[error("{0} metrics, expected at most {most}", most = Metric::MOST)]
    Number(usize),
    /// The name is empty, long, or has characters that no column can have.
    #[error(
        "{0:?}, expected names of 1 to 60 printable characters without `|` and without spaces at the ends"
    )]
    Name(String),
    /// The name stands for two metrics.
    #[error("{0:?} twice, expected different names")]
    Twice(String),
}

impl Better {
    /// One word, as in files: `higher` or `lower`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

impl fmt::Display for Better {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is better", self.word())
    }
}

impl fmt::Display for Metric {
    /// Writes the name and the direction: `mAP (higher is better)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.better)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, better: Better) -> Metric {
        Metric { name: name.into(), better }
    }

    #[test]
    fn a_drop_is_a_loss_in_both_directions() {
        assert_eq!(metric("mAP", Better::Higher).drop(0.5, 0.125), 0.375);
        assert_eq!(metric("perplexity", Better::Lower).drop(8.0, 10.5), 2.5);
        assert_eq!(metric("perplexity", Better::Lower).drop(8.0, 7.0), -1.0);
    }

    #[test]
    fn names_are_checked() {
        let check = |names: &[&str]| {
            Metric::check(&names.iter().map(|name| metric(name, Better::Higher)).collect::<Vec<_>>())
        };
        assert_eq!(check(&["mAP", "mAP@0.5 (box)", "Δ loss"]), Ok(()));
        assert_eq!(check(&["a", "b", "a"]), Err(MetricError::Twice("a".into())));
        assert_eq!(check(&["a"; 17]), Err(MetricError::Number(17)));
        for wrong in ["", " a", "a|b", "a\nb", &"x".repeat(61)] {
            assert_eq!(check(&[wrong]), Err(MetricError::Name(wrong.into())));
        }
    }

    #[test]
    fn the_forms_in_files_and_texts_are_fixed() {
        let lower = metric("loss", Better::Lower);
        let json = r#"{"name":"loss","better":"lower"}"#;
        assert_eq!(serde_json::to_string(&lower).unwrap(), json);
        assert_eq!(serde_json::from_str::<Metric>(json).unwrap(), lower);
        assert_eq!(lower.to_string(), "loss (lower is better)");
    }
}
