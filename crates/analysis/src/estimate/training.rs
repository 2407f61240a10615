use crate::AnalysisError;

/// Evaluation of an int8 network in training, on held-out images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingCheck {
    /// Iterations done; 0 before the first, when the network is only quantized, at the training's own scale.
    pub iteration: u64,
    /// Weights that the training's own protection cannot store ([`Training::storable`]), before throttling.
    pub large_values: u64,
    /// Number of held-out images.
    pub images: u64,
    /// Images classified correctly before throttling.
    pub correct: u64,
    /// Images classified correctly after throttling.
    pub throttled_correct: u64,
}

/// A training that brings weights into the range of in-place protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Training {
    /// Its name, such as `qatt`, which also fixes how it looks.
    pub name: String,
    /// The weights that its protection can store, in words, such as `[-16, 15]` or `any value`. All others are large
    /// values.
    pub storable: String,
    /// Iterations ascend.
    pub checks: Vec<TrainingCheck>,
}

/// Trainings of one network, judged by the same held-out images.
#[derive(Clone, Debug)]
pub struct Trainings {
    pub(crate) network: String,
    pub(crate) note: String,
    pub(crate) trainings: Vec<Training>,
}

impl Trainings {
    /// Checks the trainings of `network`, a name for subtitles; `note` tells readers about the images, and may be empty.
    ///
    /// # Errors
    /// Without trainings; when one has no checks; when iterations do not ascend; when the number of held-out
    /// images is not the same everywhere, or more are correct. Each error names the training.
    pub fn new(network: &str, note: &str, trainings: Vec<Training>) -> Result<Self, AnalysisError> {
        let first = trainings.first().ok_or(AnalysisError::NoTrainings)?;
        let images = first.checks.first().map_or(0, |check| check.images);
        for Training { name, checks, .. } in &trainings {
            if checks.is_empty() {
                return Err(AnalysisError::NoChecks { training: name.clone() });
            }
            if let Some(pair) = checks.windows(2).find(|pair| pair[0].iteration >= pair[1].iteration) {
                let (before, iteration) = (pair[0].iteration, pair[1].iteration);
                return Err(AnalysisError::Iterations { training: name.clone(), before, iteration });
            }
            for check in checks {
                let place = |training: &str, iteration: u64| format!("iteration {iteration} of {training}");
                let here = place(name, check.iteration);
                if !(1..=u64::from(u32::MAX)).contains(&check.images) {
                    return Err(AnalysisError::Images { cell: here, images: check.images });
                }
                if check.images != images {
                    return Err(AnalysisError::Disagreement {
                        field: "images",
                        one: place(&first.name, first.checks[0].iteration),
                        one_value: images.to_string(),
                        other: here,
                        other_value: check.images.to_string(),
                    });
                }
                for (field, correct) in
                    [("correct", check.correct), ("throttled_correct", check.throttled_correct)]
                {
                    if correct > check.images {
                        let images = check.images;
                        return Err(AnalysisError::Correct { place: here, field, correct, images });
                    }
                }
            }
        }
        Ok(Self { network: network.into(), note: note.into(), trainings })
    }
}
