//! Networks that were trained several times: the spread between trainings beside every difference of two protections.
//!
//! Trials describe faults. They say nothing about the training, whose seed decides the order of images and the initial weights, and
//! which moves the accuracy of a network as much as many protections do. [`Replication`] takes the mean over the trials of a
//! training as one observation, and estimates means and differences over trainings from these.
//!
//! Differences are paired: both values of a training come from one float network. The interval is Student's, with n - 1 degrees of
//! freedom for n trainings, so three trainings give 4.30 standard errors on each side. A second table takes the trainings of
//! all networks together, because a rule for the reader must hold on more than one network; it treats their differences as one
//! sample. The p-values of a table are corrected together by Holm's method (1979).

use std::collections::BTreeMap;

use records::NetworkEntry;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::estimate::comparison::{Comparison, Contender, Family};
use crate::estimate::holm::holm;
use crate::estimate::measure::Measure;

/// Error probability of the intervals and of the corrected tests.
const ALPHA: f64 = 0.05;

/// Protections on networks of several trainings.
#[derive(Clone, Debug)]
pub(crate) struct Replication {
    /// The families with several trainings, and last all of them together if there are several.
    pub(crate) groups: Vec<Group>,
    pub(crate) measure: Measure,
    pub(crate) decimals: usize,
}

/// The trainings of a family, or of all families, under one fault model.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Name of the family, or `all networks`.
    pub(crate) name: String,
    /// Number of trainings, over all families of the group.
    pub(crate) trainings: usize,
    /// Ascending; without the condition "no faults".
    pub(crate) rates: Vec<f64>,
    pub(crate) versions: Vec<Version>,
    pub(crate) differences: Vec<Difference>,
}

/// A protection on a version of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VersionName {
    /// Protection with its policy, as tables show it.
    pub(crate) protection: String,
    /// Label of the network without its family and the number of the training.
    pub(crate) version: String,
}

impl VersionName {
    /// Both names, as tables show them.
    pub(crate) fn label(&self) -> String {
        format!("{} on {}", self.protection, self.version)
    }
}

/// Values of a protection on a version, over trainings.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) name: VersionName,
    /// Without faults, then at each rate; `None` where no training has a value.
    pub(crate) spreads: Vec<Option<Spread>>,
}

/// Difference of two protections on their versions, first minus second, over trainings.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) first: VersionName,
    pub(crate) second: VersionName,
    /// Without faults, then at each rate; `None` with fewer than two trainings that have both values.
    pub(crate) spreads: Vec<Option<Tested>>,
}

/// Mean and spread over trainings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) trainings: usize,
    pub(crate) mean: f64,
    /// Standard deviation, divisor n - 1; `None` of one training.
    pub(crate) deviation: Option<f64>,
}

/// A mean difference with its test against 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tested {
    pub(crate) spread: Spread,
    /// 95 % interval of the mean.
    pub(crate) interval: (f64, f64),
    /// Two-sided p-value; 0 if all differences are equal and not 0, 1 if all are 0.
    pub(crate) p: f64,
    /// The same after Holm's correction for all tests of the group.
    pub(crate) corrected: f64,
}

impl Tested {
    /// True if the difference is significant after the correction.
    pub(crate) fn is_significant(&self) -> bool {
        self.corrected < ALPHA
    }
}

impl Replication {
    /// The trainings that `networks` number; empty when they number none.
    pub(crate) fn new(comparison: &Comparison, networks: &[NetworkEntry]) -> Self {
        let number = |model: &str| networks.iter().find(|network| network.label == model)?.training;
        let mut groups: Vec<Group> = Vec::new();
        let mut pooled: Vec<(&str, Observations)> = Vec::new();
        for family in &comparison.families {
            let observations = Observations::of(family, number);
            if observations.trainings() < 2 {
                continue;
            }
            groups.push(observations.group(&family.name, &family.rates));
            match pooled.iter_mut().find(|(title, all)| *title == family.title && all.rates == family.rates) {
                Some((_, all)) => all.join(observations),
                None => pooled.push((&family.title, observations)),
            }
        }
        let all = pooled.iter().filter(|(_, all)| all.families > 1).map(|(title, all)| {
            let name =
                if title.is_empty() { "all networks".into() } else { format!("all networks, {title}") };
            all.group(&name, &all.rates)
        });
        let all: Vec<Group> = all.collect();
        groups.extend(all);
        Self { groups, measure: comparison.measure.clone(), decimals: comparison.decimals }
    }

    /// True if no family has several trainings.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// A training of a family: the place of the family in the group, and the number of the training.
type TrainingId = (usize, u32);

/// Values of one protection on one version: of each training without faults, then at each rate.
type ByTraining = BTreeMap<TrainingId, Vec<Option<f64>>>;

/// Values of trainings, for each protection on a version in the order of the comparison.
struct Observations {
    families: usize,
    rates: Vec<f64>,
    versions: Vec<(VersionName, ByTraining)>,
}

impl Observations {
    fn of(family: &Family, number: impl Fn(&str) -> Option<u32>) -> Self {
        let mut versions: Vec<(VersionName, ByTraining)> = Vec::new();
        for contender in &family.contenders {
            let Some(training) = number(&contender.model) else { continue };
            let name = version_name(contender, &family.network, training);
            let values = std::iter::once(contender.fault_free)
                .chain(contender.means.iter().map(|mean| mean.map(|mean| mean.mean)));
            let place = versions.iter().position(|(other, _)| *other == name).unwrap_or(versions.len());
            if place == versions.len() {
                versions.push((name, BTreeMap::new()));
            }
            versions[place].1.insert((0, training), values.collect());
        }
        Self { families: 1, rates: family.rates.clone(), versions }
    }

    /// Adds the trainings of another family. Only protections on versions that both have remain.
    fn join(&mut self, other: Self) {
        let place = self.families;
        self.families += 1;
        self.versions.retain_mut(|(name, values)| {
            let Some((_, more)) = other.versions.iter().find(|(version, _)| version == name) else {
                return false;
            };
            values.extend(more.iter().map(|(&(_, training), of)| ((place, training), of.clone())));
            true
        });
    }

    fn trainings(&self) -> usize {
        let mut all: Vec<TrainingId> =
            self.versions.iter().flat_map(|(_, values)| values.keys().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    fn group(&self, name: &str, rates: &[f64]) -> Group {
        let conditions = 1 + rates.len();
        let versions = self.versions.iter().map(|(name, values)| Version {
            name: name.clone(),
            spreads: (0..conditions)
                .map(|condition| {
                    Spread::new(&values.values().filter_map(|of| of[condition]).collect::<Vec<_>>())
                })
                .collect(),
        });
        let mut differences = Vec::new();
        for (i, (first, ours)) in self.versions.iter().enumerate() {
            for (second, theirs) in &self.versions[i + 1..] {
                let at = |condition: usize| {
                    let pairs = ours.iter().filter_map(|(training, own)| {
                        Some(own[condition]? - theirs.get(training)?[condition]?)
                    });
                    tested(&pairs.collect::<Vec<_>>())
                };
                differences.push(Difference {
                    first: first.clone(),
                    second: second.clone(),
                    spreads: (0..conditions).map(at).collect(),
                });
            }
        }
        let mut tests: Vec<&mut Tested> =
            differences.iter_mut().flat_map(|difference| difference.spreads.iter_mut().flatten()).collect();
        let corrected = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
        tests.iter_mut().zip(corrected).for_each(|(test, corrected)| test.corrected = corrected);
        Group {
            name: name.into(),
            trainings: self.trainings(),
            rates: rates.to_vec(),
            versions: versions.collect(),
            differences,
        }
    }
}

/// The version of a contender: its label without the family in front and the number of the training at the end.
fn version_name(contender: &Contender, network: &str, training: u32) -> VersionName {
    let label = contender.model.as_str();
    let version = label.strip_suffix(&format!("-{training}")).unwrap_or(label);
    let own = version.strip_prefix(network).and_then(|rest| rest.strip_prefix('-'));
    VersionName { protection: contender.protection.label(), version: own.unwrap_or(version).into() }
}

impl Spread {
    /// `None` without values.
    fn new(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        Some(Self { trainings: n, mean, deviation })
    }
}

/// Tests the mean of differences against 0; `None` of fewer than two.
fn tested(differences: &[f64]) -> Option<Tested> {
    let spread = Spread::new(differences)?;
    let deviation = spread.deviation?;
    let error = deviation / (spread.trainings as f64).sqrt();
    let student =
        StudentsT::new(0.0, 1.0, (spread.trainings - 1) as f64).expect("at least one degree of freedom");
    let half = student.inverse_cdf(1.0 - ALPHA / 2.0) * error;
    let p = match (error > 0.0, spread.mean == 0.0) {
        (true, _) => 2.0 * student.cdf(-(spread.mean / error).abs()),
        (false, true) => 1.0,
        (false, false) => 0.0,
    };
    Some(Tested { spread, interval: (spread.mean - half, spread.mean + half), p, corrected: p })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With two degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t²), and the 97.5 % quantile is 4.302653. Here t = sqrt 7.
    #[test]
    fn a_difference_is_tested_as_by_students_test() {
        let Tested { spread, interval, p, .. } = tested(&[1.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.trainings, spread.mean), (3, 7.0 / 3.0));
        assert!((spread.deviation.unwrap() - 1.527_525_231_65).abs() < 1e-10);
        assert!((interval.0 - -1.461_250_6).abs() < 1e-6, "{interval:?}");
        assert!((interval.1 - 6.127_917_3).abs() < 1e-6, "{interval:?}");
        assert!((p - (1.0 - 7.0_f64.sqrt() / 3.0)).abs() < 1e-9, "{p}");
    }

    #[test]
    fn equal_differences_have_no_spread() {
        assert_eq!(tested(&[0.5, 0.5]).unwrap().p, 0.0);
        assert_eq!(tested(&[0.0, 0.0, 0.0]).unwrap().p, 1.0);
        assert_eq!(tested(&[0.5]), None);
    }
}
