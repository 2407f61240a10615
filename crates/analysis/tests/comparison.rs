//! Versions of one network, compared.

use analysis::{
    Comparison, Context, Estimates, comparison_csv, comparison_figure, comparison_latex, comparison_markdown,
    comparison_outcomes, conditions, overhead_figure, write_report,
};
use design::{FaultKind, TrialRecord};
use records::{NetworkEntry, TrialRow};

const IMAGES: u64 = 100;

/// A trial of a cell, `correct` of whose images are classified correctly.
fn row(model: &str, protection: &str, rate: f64, trial: u64, clean_correct: u64, correct: u64) -> TrialRow {
    TrialRow {
        cell: format!("{model} {protection} {rate}").into(),
        model: model.into(),
        protection: protection.parse().expect("a name"),
        fault_model: FaultKind::Bernoulli.into(),
        rate,
        seed: 7,
        weights: 300,
        data_bits: 2_400,
        check_bits: if protection == "secded-72-64" { 300 } else { 0 },
        data_set: "cifar10 test".into(),
        images: IMAGES,
        clean_correct,
        images_per_trial: None,
        changed_probability: None,
        metrics: [].into(),
        clean_scores: vec![],
        record: TrialRecord {
            trial,
            flips_data: 4,
            flips_check: 0,
            pattern_hash: "p".into(),
            words_hit: 4,
            corrected: 2,
            detected: 1,
            miscorrected: 1,
            silent: 0,
            weights_changed: 6,
            padding_changed: 0,
            weights_hash: "w".into(),
            correct,
            agree: 0,
            predictions_hash: "h".into(),
            scores: vec![],
            block: None,
        },
    }
}

/// Unprotected the network collapses; a code beside it and one inside a narrower version do not, and the latter, without
/// overhead, is the best of all at the higher rate.
fn rows() -> Vec<TrialRow> {
    let mut rows = Vec::new();
    for (model, protection, clean, [low, high]) in [
        ("net-int8", "faulty", 90, [80, 20]),
        ("net-int8", "secded-72-64", 90, [90, 50]),
        ("net-narrow", "in-place-msb-48-24", 88, [88, 86]),
        ("other", "faulty", 70, [60, 10]),
    ] {
        for (rate, correct) in [(1e-3, low), (1e-2, high)] {
            for trial in 0..3 {
                rows.push(row(model, protection, rate, trial, clean, correct - trial));
            }
        }
    }
    rows
}

fn network(label: &str, family: Option<&str>) -> NetworkEntry {
    NetworkEntry { label: label.into(), family: family.map(String::from), ..NetworkEntry::default() }
}

fn networks() -> Vec<NetworkEntry> {
    vec![network("net-int8", Some("net")), network("net-narrow", Some("net")), network("other", None)]
}

#[test]
fn accuracies_stand_beside_overheads_and_the_front_is_marked() {
    let report = Estimates::from_rows(&rows()).unwrap();
    let comparison = Comparison::new(&report, &networks());
    assert_eq!(
        comparison_markdown(&comparison),
        "\
**net**, accuracy in %:

| protection         | network    | stored overhead | fault-free |      1e-3 |      1e-2 |
| ------------------ | ---------- | --------------: | ---------: | --------: | --------: |
| faulty             | net-int8   |               0 |      90.00 |     79.00 |     19.00 |
| in-place-msb-48-24 | net-narrow |               0 |      88.00 | **87.00** | **85.00** |
| ecc (secded-72-64) | net-int8   |          12.5 % |      90.00 | **89.00** |     49.00 |

Bold: no protection with as little stored overhead has a higher mean at that rate.
"
    );
    let latex = comparison_latex(&comparison, "Study", &conditions(&report));
    assert!(latex.starts_with("% Needs \\usepackage{booktabs}.\n\\begin{table}"), "{latex}");
    assert!(
        latex.contains("\\caption{Study: net. Accuracy in\\,\\%, mean over the trials. Bold: "),
        "{latex}"
    );
    let row = "    in-place-msb-48-24 & net-narrow & 0 & 88.00 & \\textbf{87.00} & \\textbf{85.00} \\\\\n";
    assert!(latex.contains(row), "{latex}");
    let csv = comparison_csv(&comparison);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 3 * 2);
    assert!(lines[1].starts_with("net,net-int8,faulty,0.0,90.0,1e-3,79.0,"), "{}", lines[1]);
    assert!(lines[6].starts_with("net,net-int8,secded-72-64,12.5,90.0,1e-2,49.0,"), "{}", lines[6]);
    assert!(lines[6].ends_with(",no"), "{}", lines[6]);
    let outcomes = comparison_outcomes(&comparison);
    assert!(outcomes.contains("**net**, at 1e-2:"), "{outcomes}");
    assert!(
        outcomes.contains("4.0 |       2.0 |      1.0 |          1.0 |    0.0 |             6.0"),
        "{outcomes}"
    );
}

#[test]
fn a_report_of_a_family_has_its_figures_beside_the_curves() {
    let report = Estimates::from_rows(&rows()).unwrap();
    let names = |networks: &[NetworkEntry]| {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { title: "t", networks, ..Context::default() };
        let written = write_report(&report, &context, folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
        let names: Vec<String> =
            written.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect();
        assert!(names.iter().filter(|n| n.ends_with(".svg")).all(|svg| page.contains(&format!("({svg})"))));
        names
    };
    let families = names(&networks());
    for file in ["comparison.csv", "comparison.svg", "comparison.png", "overhead.svg", "accuracy-vs-rate.svg"]
    {
        assert!(families.iter().any(|name| name == file), "{families:?}");
    }
    let without = names(&[]);
    assert!(without.iter().any(|name| name == "accuracy-vs-rate.svg"), "{without:?}");
    assert!(!without.iter().any(|name| name.starts_with("comparison")), "{without:?}");
}

/// Two families of three trainings each: the second protection is better by 10, 11 and 12 images in one, by 4, 6 and 8 in the other.
#[test]
fn the_spread_between_trainings_stands_beside_differences() {
    let (mut rows, mut networks) = (Vec::new(), Vec::new());
    for (family, gains) in [("a", [10, 11, 12]), ("b", [4, 6, 8])] {
        for (training, gain) in (1..).zip(gains) {
            for (version, protection, correct) in
                [("int8", "faulty", 50), ("four-bit", "in-place-msb-64-32", 50 + gain)]
            {
                let label = format!("{family}-{version}-{training}");
                rows.extend((0..3).map(|trial| row(&label, protection, 1e-2, trial, 90, correct)));
                networks.push(NetworkEntry { training: Some(training), ..network(&label, Some(family)) });
            }
        }
    }
    let report = Estimates::from_rows(&rows).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let context = Context { title: "t", networks: &networks, ..Context::default() };
    write_report(&report, &context, folder.path()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    let section = page.split("## Spread between trainings").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(section.contains("**a**, 3 trainings, accuracy in %:"), "{section}");
    assert!(
        section.contains("| in-place-msb-64-32 on four-bit | 90.00 ± 0.00 | 61.00 ± 1.00 |"),
        "{section}"
    );
    // The half width of a: 4.302653 / sqrt 3 = 2.4841; of b twice as much.
    assert!(section.contains("**-11.00 [-13.48, -8.52]**"), "{section}");
    assert!(section.contains("-6.00 [-10.97, -1.03]"), "{section}");
    // Of six: the deviation of 10, 11, 12, 4, 6, 8 is 3.0822, and the quantile 2.570582.
    assert!(section.contains("**all networks**, 6 trainings"), "{section}");
    assert!(section.contains("-8.50 [-11.73, -5.27]"), "{section}");
    let csv = std::fs::read_to_string(folder.path().join("replication.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 3 * 2, "{csv}");
    assert!(
        lines[2].starts_with("a,1e-2,faulty,int8,in-place-msb-64-32,four-bit,3,-11.0,1.0,-13.48"),
        "{csv}"
    );
}

#[test]
fn equal_rows_give_equal_figures() {
    let report = Estimates::from_rows(&rows()).unwrap();
    let draw = || {
        let comparison = Comparison::new(&report, &networks());
        (comparison_figure(&comparison, "t").svg().unwrap(), overhead_figure(&comparison, "t").svg().unwrap())
    };
    let (table, overhead) = draw();
    assert_eq!(draw(), (table.clone(), overhead.clone()));
    assert!(table.contains("in-place-msb-48-24 on net-narrow"), "the rows are named");
    assert!(overhead.contains("in-place-msb-48-24 on narrow"), "the letters are explained");
}
