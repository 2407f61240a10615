use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::values::{output, read, slice, tensor};

/// Mean over the batch of minus the logarithm of the label's softmax: a scalar. `logits` is `[n, classes]`.
///
/// # Errors
/// No images, another number of labels than rows, a label that is no class.
pub fn cross_entropy(logits: &Tensor, labels: &[u16]) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(CrossEntropy { labels: labels.to_vec() })
}

struct CrossEntropy {
    labels: Vec<u16>,
}

/// Softmax of a row, and the logarithm of its denominator plus the largest logit. In f64, by `libm`, so
/// that no platform's `exp` enters.
fn softmax(row: &[f32]) -> (Vec<f64>, f64) {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exps: Vec<f64> = row.iter().map(|&logit| libm::exp(f64::from(logit) - largest)).collect();
    let sum: f64 = exps.iter().sum();
    (exps.iter().map(|exp| exp / sum).collect(), libm::log(sum) + largest)
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = layout.shape().dims2()?;
        if n == 0 || n != self.labels.len() {
            bail!("{} labels for {n} rows of logits, expected one a row and at least one", self.labels.len());
        }
        if let Some(label) = self.labels.iter().find(|&&label| usize::from(label) >= classes) {
            bail!("a label is {label}, expected less than {classes}");
        }
        let rows = slice(logits, layout)?.chunks_exact(classes);
        let losses =
            rows.zip(&self.labels).map(|(row, &label)| softmax(row).1 - f64::from(row[usize::from(label)]));
        output(vec![(losses.sum::<f64>() / n as f64) as f32], ())
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (n, classes) = logits.dims2()?;
        let factor = f64::from(gradient.to_scalar::<f32>()?) / n as f64;
        let values = read(logits, |logits| {
            let mut values = Vec::with_capacity(n * classes);
            for (row, &label) in logits.chunks_exact(classes).zip(&self.labels) {
                let target = |class| f64::from(class == usize::from(label));
                let softmax = softmax(row).0.into_iter().enumerate();
                values.extend(softmax.map(|(class, p)| ((p - target(class)) * factor) as f32));
            }
            values
        })?;
        Ok(Some(tensor(values, logits.shape())?))
    }
}
