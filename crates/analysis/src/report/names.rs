//! Names of the files of a report.

use design::Metric;

use crate::estimate::measure::Measure;

/// Names of the files that belong to one measure.
pub(crate) struct Names {
    /// Empty for the measure of the headline.
    suffix: String,
    /// Name, without its ending, of the figure of values against rates.
    pub(crate) figure: String,
}

impl Names {
    /// Names for the headline and for each further metric: the names of the first have no suffix.
    pub(crate) fn of(measure: &Measure, metrics: &[Metric]) -> Vec<Self> {
        if metrics.is_empty() {
            return vec![Self { suffix: String::new(), figure: format!("{}-vs-rate", measure.word()) }];
        }
        let names = |(place, slug): (usize, String)| Self {
            suffix: if place == 0 { String::new() } else { format!("-{slug}") },
            figure: format!("score-vs-rate-{slug}"),
        };
        slugs(metrics).into_iter().enumerate().map(names).collect()
    }

    /// Name of a file without its ending.
    pub(crate) fn stem(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    pub(crate) fn csv(&self, name: &str) -> String {
        self.stem(name) + ".csv"
    }

    pub(crate) fn latex(&self, name: &str) -> String {
        self.stem(name) + ".tex"
    }
}

/// Names of metrics as parts of file names: letters, digits, points and hyphens. No two are equal, not even in a file system
/// that ignores case.
fn slugs(metrics: &[Metric]) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    for Metric { name, .. } in metrics {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let plain: String = name.chars().map(allowed).collect();
        let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
        let plain = if parts.is_empty() { "metric".into() } else { parts.join("-") };
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        let free = |slug: &String| !slugs.iter().any(|taken| taken.eq_ignore_ascii_case(slug));
        let slug = std::iter::once(plain.clone()).chain(numbered).find(free);
        slugs.push(slug.expect("some number is free"));
    }
    slugs
}

#[cfg(test)]
mod tests {
    use design::{Better, Metric};

    use super::slugs;

    #[test]
    fn file_names_are_plain_and_differ_without_case() {
        let names = ["mAP", "map", "map-2", "mAP@[.5:.95]", "a/b", "a b", "../..", "\u{394}", "Δ%"];
        let metrics = names.map(|name| Metric { name: name.into(), better: Better::Higher });
        let expected =
            ["mAP", "map-2", "map-2-2", "mAP-.5-.95", "a-b", "a-b-2", "..-..", "metric", "metric-2"];
        assert_eq!(slugs(&metrics), expected);
    }
}
