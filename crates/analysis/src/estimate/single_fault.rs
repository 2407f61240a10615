//! Critical rates of single faults.

use design::{FaultRecord, SingleFaultSpec, Strata, Stratum};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::estimate::hypergeometric::interval;

/// When a fault counts as critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// Some logit of some image differs in any bit.
    Logits,
    /// The top-1 class of at least one image differs from that of the fault-free network.
    Top1,
    /// More images are lost than the campaign's `drop_points` allow.
    Accuracy,
}

impl Criterion {
    /// All criteria, the widest first.
    pub const ALL: [Self; 3] = [Self::Logits, Self::Top1, Self::Accuracy];
}

/// A critical rate with its interval, as shares of the faults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalRate {
    /// Critical faults in the sample.
    pub critical: u64,
    /// Estimate.
    pub rate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Estimates of a set of faults.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultEstimate {
    /// The faults.
    pub stratum: Stratum,
    /// Number of them in the sample.
    pub sampled: u64,
    /// Rate by each criterion, in the order of [`Criterion::ALL`].
    pub rates: [CriticalRate; 3],
    /// Mean share of images whose top-1 class differs: the probability of SDC-1 of Li et al. (2017), over faults and images.
    pub sdc1: f64,
}

/// Estimates of a campaign of single faults.
#[derive(Clone, Debug)]
pub struct FaultEstimates {
    /// Conditions of the campaign.
    pub spec: SingleFaultSpec,
    /// Percent of the images beyond which a fault is critical by accuracy.
    pub drop_points: f64,
    /// Images that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// Estimates of each stratum, with exact intervals.
    pub strata: Vec<FaultEstimate>,
    /// Estimate of all faults: the strata weighted by their numbers of faults.
    pub total: FaultEstimate,
}

/// Counts of a stratum's sample.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sampled: u64,
    critical: [u64; 3],
    top1_images: u64,
}

impl FaultEstimates {
    /// Estimates the critical rates of a campaign from its records.
    ///
    /// # Panics
    /// When a record is of a fault that does not exist.
    pub fn new(spec: SingleFaultSpec, drop_points: f64, clean_correct: u64, records: &[FaultRecord]) -> Self {
        let strata = spec.strata(spec.sample.strata);
        let mut counts = vec![Counts::default(); strata.len()];
        let images = spec.evaluation.images;
        for record in records {
            let (tensor, _, bit) = spec.place(record.fault);
            let place = match spec.sample.strata {
                Strata::Network => 0,
                Strata::Tensor => tensor,
                Strata::Bit => usize::from(bit),
                Strata::Both => 8 * tensor + usize::from(bit),
            };
            let lost = clean_correct as f64 - f64::from(record.correct);
            let critical = [record.logits > 0, record.top1 > 0, lost > drop_points / 100.0 * images as f64];
            let counts = &mut counts[place];
            counts.sampled += 1;
            counts
                .critical
                .iter_mut()
                .zip(critical)
                .for_each(|(count, critical)| *count += u64::from(critical));
            counts.top1_images += u64::from(record.top1);
        }
        let confidence = spec.sample.confidence;
        let estimate = |(stratum, counts): (&Stratum, &Counts)| {
            let sampled = counts.sampled;
            FaultEstimate {
                stratum: *stratum,
                sampled,
                rates: counts.critical.map(|critical| {
                    let range = interval(stratum.faults, sampled, critical, confidence);
                    let share = |count: u64| count as f64 / stratum.faults.max(1) as f64;
                    CriticalRate {
                        critical,
                        rate: critical as f64 / sampled.max(1) as f64,
                        low: share(*range.start()),
                        high: share(*range.end()),
                    }
                }),
                sdc1: counts.top1_images as f64 / (sampled.max(1) * images.max(1)) as f64,
            }
        };
        let estimates: Vec<FaultEstimate> = strata.iter().zip(&counts).map(estimate).collect();
        let whole = Stratum { tensor: None, bit: None, faults: spec.faults() };
        let total = weighted(whole, &estimates.iter().collect::<Vec<_>>(), confidence);
        Self { spec, drop_points, clean_correct, strata: estimates, total }
    }

    /// The strata put together by tensor or by bit; empty if they do not divide them.
    pub fn pooled(&self, division: Strata) -> Vec<FaultEstimate> {
        let finer = match division {
            Strata::Network => true,
            Strata::Tensor => matches!(self.spec.sample.strata, Strata::Tensor | Strata::Both),
            Strata::Bit => matches!(self.spec.sample.strata, Strata::Bit | Strata::Both),
            Strata::Both => self.spec.sample.strata == Strata::Both,
        };
        let pools = if finer { self.spec.strata(division) } else { Vec::new() };
        let pool = |pool: Stratum| {
            let belongs = |own: &&FaultEstimate| {
                pool.tensor.is_none_or(|tensor| own.stratum.tensor == Some(tensor))
                    && pool.bit.is_none_or(|bit| own.stratum.bit == Some(bit))
            };
            weighted(
                pool,
                &self.strata.iter().filter(belongs).collect::<Vec<_>>(),
                self.spec.sample.confidence,
            )
        };
        pools.into_iter().map(pool).collect()
    }

    /// Strata by falling critical rate of a criterion; equals by the next wider one, then in memory order.
    pub fn ranked(&self, criterion: Criterion) -> Vec<&FaultEstimate> {
        let place = Criterion::ALL.iter().position(|known| *known == criterion).expect("one of all");
        let mut ranked: Vec<&FaultEstimate> = self.strata.iter().collect();
        ranked.sort_by(|a, b| {
            let by = |place: usize| b.rates[place].rate.total_cmp(&a.rates[place].rate);
            by(place).then(b.sdc1.total_cmp(&a.sdc1)).then(by(0))
        });
        ranked
    }
}

/// Puts strata together by their numbers of faults. The interval of one stratum is its own; that of several is normal, with the
/// variance of a stratified sample and the correction for finite populations (Cochran, Sampling Techniques, 1977, section
/// 5.4). Half a fault of each kind is added to a stratum's counts for its variance, so that a rate of 0 is not taken for certain.
fn weighted(whole: Stratum, parts: &[&FaultEstimate], confidence: f64) -> FaultEstimate {
    if let [part] = parts {
        return FaultEstimate { stratum: whole, ..(*part).clone() };
    }
    let weight = |part: &FaultEstimate| part.stratum.faults as f64 / whole.faults.max(1) as f64;
    let t = quantile(confidence);
    let rates = std::array::from_fn(|place| {
        let (mut rate, mut variance, mut critical) = (0.0, 0.0, 0);
        for part in parts.iter().filter(|part| part.sampled > 0) {
            let n = part.sampled as f64;
            let own = part.rates[place];
            let smoothed = (own.critical as f64 + 0.5) / (n + 1.0);
            let unseen = 1.0 - n / part.stratum.faults as f64;
            rate += weight(part) * own.rate;
            variance += weight(part).powi(2) * unseen * smoothed * (1.0 - smoothed) / n;
            critical += own.critical;
        }
        let half = t * variance.sqrt();
        CriticalRate { critical, rate, low: (rate - half).max(0.0), high: (rate + half).min(1.0) }
    });
    FaultEstimate {
        stratum: whole,
        sampled: parts.iter().map(|part| part.sampled).sum(),
        rates,
        sdc1: parts.iter().map(|part| weight(part) * part.sdc1).sum(),
    }
}

/// Half-width, in standard deviations, of an interval of a normal distribution.
fn quantile(confidence: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + confidence / 2.0)
}

#[cfg(test)]
mod tests {
    use design::{EvaluationSet, FaultSample, FaultedTensor};

    use super::*;

    fn spec(strata: Strata) -> SingleFaultSpec {
        let tensor = |name: &str, weights| FaultedTensor { name: name.into(), weights };
        SingleFaultSpec {
            record_version: 1,
            evaluator: "int8-1".into(),
            model: "net".into(),
            network: "ab".into(),
            tensors: vec![tensor("a", 4), tensor("b", 6)],
            seed: 1,
            sample: FaultSample {
                strata,
                margin: 0.0,
                confidence: 0.95,
                expected_rate: 0.5,
                exhaustive: true,
            },
            evaluation: EvaluationSet { images: 100, ..EvaluationSet::default() },
        }
    }

    /// All faults of bit 7 change 2 of 100 images and lose them; those of bit 6 change logits.
    fn record(fault: u64) -> FaultRecord {
        match fault % 8 {
            7 => FaultRecord { fault, logits: 9, top1: 2, correct: 88 },
            6 => FaultRecord { fault, logits: 1, top1: 0, correct: 90 },
            _ => FaultRecord { fault, logits: 0, top1: 0, correct: 90 },
        }
    }

    #[test]
    fn quantiles_are_those_of_tables() {
        for (confidence, t) in [(0.95, 1.959_963_985), (0.99, 2.575_829_304), (0.5, 0.674_489_75)] {
            assert!((quantile(confidence) - t).abs() < 1e-8, "{confidence}");
        }
    }

    /// An exhaustive campaign has no uncertainty, however it is divided, and its parts add up.
    #[test]
    fn an_exhaustive_campaign_gives_exact_rates() {
        let records: Vec<FaultRecord> = (0..80).map(record).collect();
        for strata in [Strata::Network, Strata::Tensor, Strata::Bit, Strata::Both] {
            let estimates = FaultEstimates::new(spec(strata), 1.0, 90, &records);
            for (place, expected) in [(0, 0.25), (1, 0.125), (2, 0.125)] {
                let CriticalRate { rate, low, high, .. } = estimates.total.rates[place];
                assert!(
                    [rate, low, high].iter().all(|value| (value - expected).abs() < 1e-12),
                    "{strata:?} {place}"
                );
            }
            assert!((estimates.total.sdc1 - 0.02 / 8.0).abs() < 1e-12);
            for pool in estimates.pooled(Strata::Bit) {
                let expected = if pool.stratum.bit == Some(7) { 1.0 } else { 0.0 };
                assert_eq!(pool.rates[1].rate, expected, "{pool:?}");
            }
        }
        let estimates = FaultEstimates::new(spec(Strata::Both), 1.0, 90, &records);
        assert_eq!(estimates.ranked(Criterion::Top1)[0].stratum.bit, Some(7));
        assert_eq!(estimates.ranked(Criterion::Logits)[2].stratum.bit, Some(6));
    }

    /// A loss of exactly the given points is not more than them.
    #[test]
    fn accuracy_counts_losses_beyond_the_points() {
        let records: Vec<FaultRecord> = (0..80).map(record).collect();
        let critical =
            |points| FaultEstimates::new(spec(Strata::Network), points, 90, &records).total.rates[2].critical;
        assert_eq!([critical(1.9), critical(2.0)], [10, 0]);
    }

    /// A sampled stratum has the exact interval; the total of several contains the truth's neighbourhood.
    #[test]
    fn a_sample_has_exact_intervals_in_its_strata() {
        let records: Vec<FaultRecord> = (0..80).filter(|fault| fault / 8 % 2 == 0).map(record).collect();
        let estimates = FaultEstimates::new(spec(Strata::Bit), 1.0, 90, &records);
        let sign = &estimates.strata[7];
        assert_eq!((sign.sampled, sign.rates[1].critical, sign.rates[1].high), (5, 5, 1.0));
        let range = interval(10, 5, 5, 0.95);
        assert_eq!(sign.rates[1].low, *range.start() as f64 / 10.0);
        let total = estimates.total.rates[1];
        assert!(total.low < 0.125 && 0.125 < total.high && total.rate == 0.125, "{total:?}");
    }
}
