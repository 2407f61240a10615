//! Correction of p-values for the number of tests.

/// Corrects the p-values of all tests of a family, so that the chance of any wrong rejection is at most the level (Holm, A simple
/// sequentially rejective multiple test procedure, 1979). The tests may depend on each other.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, &test) in order.iter().enumerate() {
        largest = largest.max((p[test] * (p.len() - rank) as f64).min(1.0));
        corrected[test] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::holm;

    /// 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, which must not be less than the one before.
    #[test]
    fn p_values_are_corrected_together() {
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
