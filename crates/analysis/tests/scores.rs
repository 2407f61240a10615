//! Trials with scores of metrics in place of counts of images.

use std::fs;
use std::path::Path;

use analysis::{
    Context, Estimates, Interval, Statistic, Table, accuracy_figure, drop_latex, drop_table, table_csv,
    table_markdown, write_report,
};
use design::{Better, BitErrorRate, FailureRule, Metric, StopRule, TrialRecord};
use records::{Determinism, TrialRow};

const CLEAN: [f64; 2] = [0.75, 12.0];

fn row(protection: &str, rate: f64, trial: u64, scores: [f64; 2]) -> TrialRow {
    let metrics = [("mAP", Better::Higher), ("perplexity", Better::Lower)];
    let metrics = metrics.map(|(name, better)| Metric { name: name.into(), better });
    TrialRow {
        cell: format!("{protection} {}", BitErrorRate::new(rate).expect("a rate").get()).into(),
        model: "net".into(),
        protection: protection.parse().expect("a name"),
        fault_model: "bernoulli".parse().expect("a fault model"),
        rate,
        seed: 7,
        weights: 800,
        data_bits: 6_400,
        check_bits: if protection == "ecc" { 800 } else { 0 },
        data_set: "detector".into(),
        images: 0,
        clean_correct: 0,
        images_per_trial: None,
        changed_probability: None,
        metrics: metrics.into(),
        clean_scores: CLEAN.to_vec(),
        record: TrialRecord {
            trial,
            flips_data: 6,
            flips_check: 0,
            pattern_hash: "h".into(),
            words_hit: 6,
            corrected: 0,
            detected: 0,
            miscorrected: 0,
            silent: 6,
            weights_changed: 6,
            padding_changed: 0,
            weights_hash: "h".into(),
            correct: 0,
            agree: 0,
            predictions_hash: "h".into(),
            scores: scores.to_vec(),
            block: None,
        },
    }
}

/// Losses of mAP 0, 0.25, 0.5, 0.25 and of perplexity 0, 4, 3988, 8 without protection; nothing under ecc, and at the higher
/// rate a quarter of it.
fn rows() -> Vec<TrialRow> {
    let faulty = [[0.75, 12.0], [0.5, 16.0], [0.25, 4_000.0], [0.5, 20.0]];
    let ecc = [[0.75, 12.0], [0.75, 12.0], [0.6875, 13.0], [0.75, 12.0]];
    let cell = |protection, rate, scores: [[f64; 2]; 4]| {
        (0..).zip(scores).map(move |(trial, scores)| row(protection, rate, trial, scores))
    };
    let all = [
        cell("faulty", 1e-4, faulty),
        cell("faulty", 1e-3, faulty),
        cell("ecc", 1e-4, [CLEAN; 4]),
        cell("ecc", 1e-3, ecc),
    ];
    all.into_iter().flatten().collect()
}

fn by_metrics() -> (Estimates, Estimates) {
    let first = Estimates::from_rows(&rows()).expect("good rows");
    let mut further: Vec<Estimates> = first.further().collect();
    assert_eq!(further.len(), 1);
    (first, further.remove(0))
}

#[test]
fn a_degradation_is_what_faults_make_worse_in_either_direction() {
    let (precision, perplexity) = by_metrics();
    let cell = &precision.summaries()[0];
    assert_eq!((cell.clean, cell.mean, cell.images), (0.75, 0.5, 0));
    assert_eq!((cell.drop.mean, cell.drop.median, cell.drop.min, cell.drop.max), (0.25, 0.25, 0.0, 0.5));
    // Deviations -1/4, 0, 0, 1/4: the sum of squares is 1/8, of 4 trials.
    assert_eq!(cell.drop.sd, Some((0.125f64 / 3.0).sqrt()));
    let trimmed = cell.drop.trimmed.expect("four trials");
    assert_eq!((trimmed.mean, trimmed.population_sd), (0.25, 0.0));

    let cell = &perplexity.summaries()[0];
    // (0 + 4 + 3988 + 8) / 4 = 1000.
    assert_eq!((cell.clean, cell.mean, cell.drop.mean, cell.drop.median), (12.0, 1_012.0, 1_000.0, 6.0));
    assert_eq!(cell.drop.trimmed.expect("four trials").mean, 6.0);
    let Interval::Bca { low, high } = cell.drop.interval else { panic!("the trials differ") };
    assert!(low > 0.0 && high <= 3_988.0, "{low} to {high}");

    let pair = &perplexity.paired()[1];
    // Differences 0, 4, 3987, 8.
    assert_eq!((pair.mean_difference, pair.wins, pair.ties, pair.losses), (999.75, 0, 1, 3));
    assert!((pair.sign_test_p - 0.25).abs() < 1e-12);
    assert_eq!(precision.worst_trial().record.trial, 2);
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let mut shuffled = rows();
    let scores = [[0.1, 12.3], [0.7, 1e3], [0.3, 1.0 / 3.0], [0.2, 13.7]];
    for (row, scores) in shuffled.iter_mut().zip(scores) {
        row.record.scores = scores.to_vec();
    }
    let ordered = Estimates::from_rows(&shuffled).expect("good rows");
    shuffled[..4].reverse();
    let reversed = Estimates::from_rows(&shuffled).expect("good rows");
    assert_eq!(ordered.summaries(), reversed.summaries());
    assert_eq!(ordered.paired(), reversed.paired());
}

#[test]
fn tables_name_the_metric_and_its_direction_and_no_images() {
    for (estimates, name, better) in
        [(by_metrics().0, "mAP", "higher is better"), (by_metrics().1, "perplexity", "lower is better")]
    {
        let texts = [
            table_markdown(&estimates, Table::Summary),
            table_markdown(&estimates, Table::Paired),
            drop_table(&estimates, Statistic::AllTrials),
            drop_latex(&estimates, Statistic::Trimmed, "T"),
            accuracy_figure(&estimates, "T", Some(10.0)).svg().expect("a figure"),
        ];
        for text in texts {
            assert!(text.contains(&format!("{name} degradation")) || text.contains("<svg"), "{text}");
            assert!(text.contains(name) && text.contains(better), "{text}");
            let text = text
                .replace("points=", "")
                .replace("95 %", "")
                .replace("95\\,\\%", "")
                .replace("12.5 %", "")
                .replace("12.5\\,\\%", "");
            for word in ["accuracy", "points", "images", " %", "\\%", "chance"] {
                assert!(!text.contains(word), "{word}: {text}");
            }
        }
        let csv = table_csv(&estimates, Table::Summary);
        let (head, first) = (csv.lines().next().unwrap(), csv.lines().nth(1).unwrap());
        assert!(
            head.contains(&format!(",clean_score:{name},score:{name},degradation_mean,degradation_sd,")),
            "{head}"
        );
        assert!(head.ends_with(",metric,better") && first.contains(name), "{csv}");
        assert!(!head.contains("percent") && !head.contains("points") && !head.contains("images"), "{head}");
    }
    let (precision, perplexity) = by_metrics();
    assert!(table_csv(&precision, Table::Summary).contains(",0.75,0.5,0.25,"));
    let table = drop_table(&perplexity, Statistic::AllTrials);
    assert!(table.contains("**net**, bernoulli, perplexity (lower is better), 12.00 fault-free:"), "{table}");
    assert!(table.contains("| 1000.00 ± 1992.00 |"), "{table}");
    assert!(table.contains("(lower is better: faulty - clean perplexity)"), "{table}");
    assert!(accuracy_figure(&perplexity, "T", None).svg().unwrap().contains("logarithmic"));
}

#[test]
fn a_report_has_every_metric_and_the_evaluator() {
    let folder = tempfile::tempdir().unwrap();
    let determinism = Determinism::new(false, "trial 3 of net gave two results".into());
    let context = Context { title: "Scores", determinism: Some(&determinism), ..Context::default() };
    let written = write_report(&by_metrics().0, &context, folder.path()).expect("a report");
    let names: Vec<&str> = written.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    let expected = [
        "summary.csv",
        "outcomes.csv",
        "paired.csv",
        "drops.tex",
        "score-vs-rate-mAP.svg",
        "score-vs-rate-mAP.png",
        "summary-perplexity.csv",
        "paired-perplexity.csv",
        "drops-perplexity.tex",
        "score-vs-rate-perplexity.svg",
        "score-vs-rate-perplexity.png",
        "report.html",
        "report.md",
    ];
    assert_eq!(names, expected);
    let text = |name: &str| fs::read_to_string(Path::new(folder.path()).join(name)).unwrap();
    let report = text("report.md");
    for part in [
        "## mAP degradation",
        "## perplexity degradation",
        "## Summary of perplexity",
        "## Evaluator",
        "- **deterministic**: no; trial 3 of net gave two results.",
        "mAP (higher is better) | perplexity (lower is better) |",
        "0.75 |",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    for word in ["accuracy", "points", "images"] {
        assert!(!report.contains(word), "{word}: {report}");
    }
    assert!(text("report.html").contains("id=\"perplexity-degradation\""));
    let stop = Some(StopRule::Failures(FailureRule { failures: 3, drop_points: 1.0 }));
    let refused = write_report(&by_metrics().0, &Context { stop, ..context }, folder.path()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the stop rule counts images, expected none for trials with scores of mAP"
    );
}

#[test]
fn wrong_scores_are_refused_by_name() {
    let refused = |change: fn(&mut TrialRow)| {
        let mut rows = rows();
        change(&mut rows[3]);
        Estimates::from_rows(&rows).expect_err("wrong scores").to_string()
    };
    let trial = "trial 3 of net faulty bernoulli 1e-4";
    assert_eq!(
        refused(|row| row.record.scores = vec![0.5]),
        format!(
            "{trial}: scores has 1 numbers, expected one for each metric (mAP (higher is better), perplexity (lower is better))"
        )
    );
    assert_eq!(
        refused(|row| row.record.scores[1] = f64::NAN),
        format!("{trial}: scores of perplexity is NaN, expected a finite number of at most 1e150 in size")
    );
    assert!(
        refused(|row| row.clean_scores[0] = 0.5).starts_with("clean_scores is [0.75, 12.0] in trial 0 of")
    );
    let other = refused(|row| {
        row.metrics =
            [Metric { better: Better::Lower, ..row.metrics[0].clone() }, row.metrics[1].clone()].into();
    });
    assert!(other.starts_with("metrics is mAP (higher is better), perplexity"), "{other}");
    assert!(refused(|row| row.metrics = [].into()).contains("expected one for each metric (none)"));
}
