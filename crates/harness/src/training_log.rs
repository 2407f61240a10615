//! The checks of a training as CSV, kept beside its state so that a resumed training knows its past.
//!
//! `large_values` counts the weights that the stage's own constraint forbids, before they are throttled; it and
//! `throttled_correct` are empty for float training.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use wot::{Check, Throttled};

const HEADER: &str = "iteration,loss,validation_images,correct,large_values,throttled_correct";

/// All checks of one training, in order.
#[derive(Debug)]
pub struct TrainingLog {
    path: PathBuf,
    checks: Vec<Check>,
}

impl TrainingLog {
    /// An empty log that [`TrainingLog::push`] writes to `path`.
    pub fn begin(path: &Path) -> Self {
        Self { path: path.into(), checks: Vec::new() }
    }

    /// Reads the log of a training, finished or not.
    ///
    /// # Errors
    /// With the file and the damaged line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let mut log = Self::begin(path);
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        for (number, line) in text.lines().enumerate().skip(1) {
            let check = parse(line).ok_or_else(|| {
                anyhow!("{}: line {} is no check of a training", path.display(), number + 1)
            })?;
            log.checks.push(check);
        }
        Ok(log)
    }

    /// Reads the log of a training that has done `iterations`. Later checks, whose state a kill has lost, are dropped:
    /// the training repeats them.
    ///
    /// # Errors
    /// As [`TrainingLog::read`].
    pub fn resume(path: &Path, iterations: u64) -> anyhow::Result<Self> {
        let mut log = Self::read(path)?;
        log.checks.retain(|check| check.iteration <= iterations);
        Ok(log)
    }

    /// Adds a check and replaces the file atomically.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn push(&mut self, check: Check) -> anyhow::Result<()> {
        self.checks.push(check);
        let lines: Vec<String> = self.checks.iter().map(line).collect();
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        durable::write(&self.path, text.as_bytes()).with_context(|| self.path.display().to_string())
    }

    /// The checks so far.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The latest check.
    pub fn last(&self) -> Option<&Check> {
        self.checks.last()
    }

    /// Returns true if the throttled network classifies as many held-out images correctly as the network did before
    /// training, quantized at the training's own scale: the paper's criterion.
    pub fn reached_the_baseline(&self) -> bool {
        let (Some(first), Some(last)) = (self.checks.first(), self.checks.last()) else { return false };
        last.iteration > 0 && last.throttled.as_ref().is_some_and(|t| t.correct >= first.correct)
    }
}

fn line(check: &Check) -> String {
    let Check { iteration, loss, validation_images, correct, throttled } = check;
    let (large, after) = match throttled {
        Some(t) => (t.large_values.to_string(), t.correct.to_string()),
        None => (String::new(), String::new()),
    };
    format!("{iteration},{loss},{validation_images},{correct},{large},{after}")
}

fn parse(line: &str) -> Option<Check> {
    let mut fields = line.split(',');
    let mut next = || fields.next();
    let check = Check {
        iteration: next()?.parse().ok()?,
        loss: next()?.parse().ok()?,
        validation_images: next()?.parse().ok()?,
        correct: next()?.parse().ok()?,
        throttled: match (next()?, next()?) {
            ("", "") => None,
            (large, after) => {
                Some(Throttled { large_values: large.parse().ok()?, correct: after.parse().ok()? })
            }
        },
    };
    next().is_none().then_some(check)
}
