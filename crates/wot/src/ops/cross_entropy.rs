/// Returns the mean over the batch of minus the logarithm of the label's softmax. `logits` is `[n, classes]`.
///
/// # Panics
/// Panics if there are no images, if the number of labels differs from the number of rows, or if a label is
/// no class.
pub fn cross_entropy(logits: &[f32], labels: &[u16]) -> f32 {
    let classes = classes(logits, labels);
    let rows = logits.chunks_exact(classes);
    let losses = rows.zip(labels).map(|(row, &label)| softmax(row).1 - f64::from(row[usize::from(label)]));
    (losses.sum::<f64>() / labels.len() as f64) as f32
}

/// Writes the gradient of [`cross_entropy`] into `gradient`, `[n, classes]`.
///
/// # Panics
/// Panics like [`cross_entropy`].
pub fn cross_entropy_backward(logits: &[f32], labels: &[u16], gradient: &mut [f32]) {
    let classes = classes(logits, labels);
    assert_eq!(logits.len(), gradient.len(), "a gradient for each logit");
    let factor = 1.0 / labels.len() as f64;
    let rows = logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes));
    for ((row, gradient), &label) in rows.zip(labels) {
        let target = |class| f64::from(class == usize::from(label));
        for (class, (p, gradient)) in softmax(row).0.into_iter().zip(gradient).enumerate() {
            *gradient = ((p - target(class)) * factor) as f32;
        }
    }
}

fn classes(logits: &[f32], labels: &[u16]) -> usize {
    let n = labels.len();
    assert!(
        n > 0 && !logits.is_empty() && logits.len().is_multiple_of(n),
        "{n} labels for {} logits, expected one per row and at least one",
        logits.len()
    );
    let classes = logits.len() / n;
    if let Some(label) = labels.iter().find(|&&label| usize::from(label) >= classes) {
        panic!("a label is {label}, expected less than {classes}");
    }
    classes
}

/// Returns the softmax of a row, and the logarithm of its denominator plus the largest logit. Computed in f64
/// with `libm`, so that the result does not depend on the platform's `exp`.
fn softmax(row: &[f32]) -> (Vec<f64>, f64) {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exps: Vec<f64> = row.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).collect();
    let sum: f64 = exps.iter().sum();
    (exps.iter().map(|exp| exp / sum).collect(), libm::log(sum) + largest)
}
