//! The public API on small sets of rows whose answers can be worked out by hand.

use analysis::{
    AnalysisError, Context, Estimates, Interval, LargeWeightCounts, LargeWeights, Marker, Measure,
    MeasuredNetwork, NetworkTable, PUBLISHED_NETWORKS, Statistic, Table, Training, TrainingCheck, Trainings,
    accuracy_figure, conditions, drop_latex, drop_table, large_values_figure, large_weights_csv,
    large_weights_figure, network_table_csv, network_table_markdown, network_table_page, rate_label,
    style_of, styles_of, table_csv, table_markdown, throttled_accuracy_figure, trials_frame,
    write_large_weights, write_report, write_trainings,
};
use design::{BlockCounts, FaultKind, ProtectionName, TrialRecord};
use records::{ExpectedOutcomes, NetworkEntry, TrialRow};

const IMAGES: u64 = 5_000;
const CLEAN: u64 = 2_851; // 57.02 %

/// An id of 16 digits, another one for each protection and rate.
fn cell_id(protection: &str, rate: f64) -> String {
    let text = format!("{protection} {rate:e}");
    let digits = text.bytes().fold(0_u64, |digits, byte| digits.wrapping_mul(257) + u64::from(byte));
    format!("{digits:016x}")
}

/// A trial that loses `lost` images.
fn row(protection: &str, rate: f64, trial: u64, lost: i64) -> TrialRow {
    TrialRow {
        cell: cell_id(protection, rate).into(),
        model: "squeezenet".into(),
        protection: protection.parse().expect("a name"),
        fault_model: FaultKind::FixedCount.into(),
        rate,
        seed: 7,
        weights: 1_244_448,
        data_bits: 9_955_584,
        check_bits: if protection == "secded-72-64" { 1_244_448 } else { 0 },
        data_set: "imagenet test".into(),
        images: IMAGES,
        clean_correct: CLEAN,
        images_per_trial: None,
        changed_probability: None,
        metrics: [].into(),
        clean_scores: vec![],
        record: TrialRecord {
            trial,
            flips_data: 100 + trial,
            flips_check: 10,
            pattern_hash: "p".into(),
            words_hit: 90,
            corrected: 80,
            detected: 6,
            miscorrected: 3,
            silent: 1,
            weights_changed: u64::from(lost != 0),
            padding_changed: 0,
            weights_hash: "w".into(),
            correct: CLEAN.checked_add_signed(-lost).expect("a count"),
            agree: 0,
            predictions_hash: "h".into(),
            scores: vec![],
            block: None,
        },
    }
}

fn cell(protection: &str, rate: f64, lost: &[i64]) -> Vec<TrialRow> {
    (0..).zip(lost).map(|(trial, lost)| row(protection, rate, trial, *lost)).collect()
}

/// The ten raw `ecc` drops of SqueezeNet at 1e-3 behind the paper's Table 2, in images of 5,000: 6.00
/// 5.06 6.06 4.98 4.96 23.02 4.10 6.08 3.82 5.70 points.
const PAPER: [i64; 10] = [300, 253, 303, 249, 248, 1151, 205, 304, 191, 285];

fn report(rows: &[TrialRow]) -> Estimates {
    Estimates::from_rows(rows).expect("good rows")
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
}

#[test]
fn the_papers_ten_trials_give_the_papers_numbers() {
    let report = report(&cell("secded-72-64", 1e-3, &PAPER));
    let [summary] = report.summaries() else { panic!("one cell") };
    let drop = summary.drop;
    assert_eq!((summary.trials, summary.images), (10, 5_000));
    close(summary.clean, 57.02);
    // The ten sum to 69.78 points.
    close(drop.mean, 6.978);
    close(summary.mean, 57.02 - 6.978);
    // np.std([6.00, ...], ddof=1) and np.median, numpy 2.
    close(drop.sd.expect("ten trials"), 5.691_939_329_730_538);
    close(drop.median, (5.06 + 5.70) / 2.0);
    close(drop.min, 3.82);
    close(drop.max, 23.02);
    let trimmed = drop.trimmed.expect("ten trials");
    close(trimmed.mean, 42.94 / 8.0);
    assert_eq!(format!("{:.2} {:.2}", trimmed.mean, trimmed.population_sd), "5.37 0.66");
    // scipy.stats.bootstrap, BCa, a million resamples: (5.012, 12.81).
    let (low, high) = drop.interval.bounds().expect("the trials differ");
    assert!((low - 5.012).abs() < 0.02 && (high - 12.81).abs() < 0.15, "{low} {high}");
}

#[test]
fn one_trial_has_neither_spread_nor_interval() {
    let report = report(&cell("faulty", 1e-4, &[50]));
    let drop = report.summaries()[0].drop;
    assert_eq!((drop.mean, drop.sd, drop.interval, drop.trimmed), (1.0, None, Interval::Absent, None));
    let line = table_markdown(&report, Table::Summary).lines().nth(2).expect("a row").to_string();
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    assert_eq!(cells[8..11], ["1.000", "–", "–"], "{line}");
    assert_eq!(cells[14], "–", "{line}");
    assert!(table_csv(&report, Table::Summary).ends_with("1.0,,1.0,1.0,1.0,,,,,,\r\n"));
    accuracy_figure(&report, "", None).svg().expect("drawn");
}

#[test]
fn equal_trials_give_a_bound_instead_of_an_interval() {
    let report = report(&cell("faulty", 1e-6, &[0; 10]));
    let drop = report.summaries()[0].drop;
    let Interval::AllEqual { differing_at_most } = drop.interval else { panic!("equal trials") };
    close((1.0 - differing_at_most).powi(10), 0.05);
    assert!(table_markdown(&report, Table::Summary).contains("all 10 equal (P ≤ 0.259)"));
    assert!(table_csv(&report, Table::Summary).contains(",all-equal,,,0.2588655508930523,"));
}

#[test]
fn order_is_that_of_first_appearance_and_rates_ascend() {
    let mut rows = cell("faulty", 1e-3, &[9, 8]);
    rows.extend(cell("secded-72-64", 1e-3, &[2, 1]));
    rows.extend(cell("faulty", 0.0, &[0, 0]));
    rows.extend(cell("faulty", 1e-5, &[1, 0]));
    let report = report(&rows);
    let order: Vec<String> = report.summaries().iter().map(|s| s.key.to_string()).collect();
    assert_eq!(
        order,
        [
            "squeezenet faulty fixed-count 0",
            "squeezenet faulty fixed-count 1e-5",
            "squeezenet faulty fixed-count 1e-3",
            "squeezenet secded-72-64 fixed-count 1e-3",
        ]
    );
    assert_eq!(report.summaries()[0].drop.mean, 0.0);
    assert_eq!(
        conditions(&report),
        "squeezenet · imagenet test, 5000 images · trials a cell: 2 · faults: fixed-count · seed 7"
    );
}

#[test]
fn outcomes_are_sums() {
    let report = report(&cell("parity-zero", 1e-4, &[0, 5, 0]));
    let [o] = report.outcomes() else { panic!("one cell") };
    assert_eq!((o.trials, o.flips_data, o.flips_check, o.words_hit), (3, 303, 30, 270));
    assert_eq!((o.corrected, o.detected, o.miscorrected, o.silent), (240, 18, 9, 3));
    assert_eq!((o.weights_changed, o.trials_unchanged), (1, 2));
}

#[test]
fn pairs_are_trials_with_the_same_number() {
    // Differences by trial: -1, -1, 0, +4, -2; trial 5 exists once only.
    let first = [1, 2, 3, 8, 5];
    let second = [2, 3, 3, 4, 7, 99];
    let mut rows = cell("in-place-64-57", 1e-3, &first);
    rows.extend(cell("secded-72-64", 1e-3, &second));
    let in_order = report(&rows);
    rows.reverse();
    rows.swap(1, 7);
    rows.sort_by_key(|r| r.protection != "in-place-64-57"); // the plan's order is part of the answer
    let shuffled = report(&rows);
    for report in [in_order, shuffled] {
        let [pair] = report.paired() else { panic!("one pair") };
        assert_eq!((pair.first.as_str(), pair.second.as_str()), ("in-place-64-57", "secded-72-64"));
        assert_eq!((pair.pairs, pair.pairs_same_flips), (5, 5));
        assert_eq!((pair.wins, pair.ties, pair.losses), (3, 1, 1));
        assert_eq!(pair.mean_difference, 0.0);
        // Three to one: 2 (1 + 4) / 2^4.
        close(pair.sign_test_p, 0.625);
        let (low, high) = pair.interval.bounds().expect("the differences differ");
        assert!(low < 0.0 && high > 0.0, "{low} {high}");
    }
}

/// Trials of a cell that draws only those that change something, which happens with that probability.
fn changed_cell(protection: &str, rate: f64, probability: f64, lost: &[i64]) -> Vec<TrialRow> {
    let rows = cell(protection, rate, lost).into_iter();
    rows.map(|row| TrialRow { changed_probability: Some(probability), ..row }).collect()
}

/// Trials on blocks of 50 of the 5,000 images; each has the images of its block that are correct without faults, and lost.
fn drawn_cell(protection: &str, trials: &[(u64, u64)]) -> Vec<TrialRow> {
    let row = |(trial, &(clean_correct, lost))| {
        let mut row = row(protection, 1e-3, trial, 0);
        let both_correct = clean_correct - lost;
        row.record.correct = both_correct;
        row.record.block = Some(BlockCounts { clean_correct, both_correct });
        TrialRow { images_per_trial: Some(50), ..row }
    };
    (0..).zip(trials).map(row).collect()
}

/// Drops are those on the blocks; accuracies are of the whole set, however easy the blocks are.
#[test]
fn trials_on_blocks_estimate_the_whole_set() {
    let rows = [
        drawn_cell("faulty", &[(28, 2), (33, 0), (25, 4), (40, 2)]),
        drawn_cell("secded-72-64", &[(28, 1), (33, 0), (25, 1), (40, 0)]),
    ]
    .concat();
    let found = report(&rows);
    let summary = &found.summaries()[0];
    assert_eq!((summary.images, summary.trials), (50, 4));
    close(summary.clean, 57.02);
    close(summary.drop.mean, 4.0);
    close(summary.mean, 53.02);
    assert_eq!((summary.drop.min, summary.drop.max, summary.drop.trimmed), (0.0, 8.0, None));
    let drawn = summary.drawn.expect("blocks");
    assert_eq!(drawn.set, 5_000);
    // Variance of a loss within the blocks: (2 - 4/50) / 49, 0, (4 - 16/50) / 49 and as the first.
    let within = (2.0 * (2.0 - 0.08) + 4.0 - 0.32) / 49.0 / 4.0 * 1e4;
    let variance = drawn.variance.expect("four trials");
    close(variance.within, within);
    // Drops 4, 0, 8 and 4 points have the variance 32/3.
    close(variance.between, (32.0f64 / 3.0 - within * (0.02 - 0.0002)).max(0.0));
    let pair = &found.paired()[0];
    assert_eq!((pair.pairs, pair.losses), (4, 3));
    close(pair.mean_difference, 3.0);
    let table = table_markdown(&found, Table::Summary);
    assert!(table.contains(" 53.02 "), "{table}");
    assert!(conditions(&found).contains("5000 images, 50 drawn for each trial"), "{}", conditions(&found));
    let svg = accuracy_figure(&found, "", None).svg().expect("drawn");
    assert!(svg.contains("Short strokes: single trials, each on its own images."), "{svg}");

    let refused = |edit: &dyn Fn(&mut TrialRow)| {
        let mut rows = rows.clone();
        edit(&mut rows[1]);
        Estimates::from_rows(&rows).expect_err("a wrong row").to_string()
    };
    assert!(refused(&|row| row.record.block = None).contains("expected both or neither"));
    assert!(refused(&|row| row.images_per_trial = Some(49)).contains("images_per_trial is 50"));
    assert!(refused(&|row| row.record.correct = 51).contains("correct is 51 of 50 images"));
    let both =
        |row: &mut TrialRow| row.record.block = Some(BlockCounts { clean_correct: 30, both_correct: 31 });
    assert!(refused(&both).contains("block_both_correct is 31 of 30 images"));
}

#[test]
fn changed_trials_estimate_ordinary_ones() {
    // One trial of a thousand changes something, and loses 1.4 points on average.
    let lost = [0, 50, 100, 200, 0];
    let given = report(&cell("in-place-64-57", 1e-6, &lost));
    let estimated = report(&changed_cell("in-place-64-57", 1e-6, 1e-3, &lost));
    let (given, drop) = (given.summaries()[0].drop, estimated.summaries()[0].drop);
    close(given.mean, 1.4);
    close(drop.mean, 1.4e-3);
    close(estimated.summaries()[0].mean, 57.02 - 1.4e-3);
    // Of an ordinary trial: E d^2 = (1 + 4 + 16) / 5 / 1000.
    close(drop.sd.expect("five trials"), (4.2e-3f64 - 1.4e-3 * 1.4e-3).sqrt());
    let ((low, high), (all_low, all_high)) =
        (drop.interval.bounds().expect("they differ"), given.interval.bounds().expect("they differ"));
    close(low, 1e-3 * all_low);
    close(high, 1e-3 * all_high);
    assert_eq!((drop.median, drop.max, drop.trimmed), (1.0, 4.0, None));
    assert_eq!(estimated.summaries()[0].changed_probability, Some(1e-3));

    // All alike: how often an ordinary trial differs is bounded by as much less.
    let equal = report(&changed_cell("in-place-64-57", 1e-6, 1e-3, &[0; 10]));
    let Interval::AllEqual { differing_at_most } = equal.summaries()[0].drop.interval else {
        panic!("equal trials")
    };
    close(differing_at_most, 0.258_865_550_893_052_3e-3);
    // A probability of 1 leaves the mean and its interval as they are.
    let certain = report(&changed_cell("in-place-64-57", 1e-6, 1.0, &lost)).summaries()[0].drop;
    assert_eq!((certain.mean, certain.interval), (given.mean, given.interval));
}

#[test]
fn a_report_of_changed_trials_says_so_and_pairs_nothing() {
    let mut rows = changed_cell("secded-72-64", 1e-6, 2e-3, &[0, 5, 0]);
    rows.extend(changed_cell("in-place-64-57", 1e-6, 1e-3, &[0, 50, 100]));
    let only = report(&rows);
    assert!(only.paired().is_empty());
    assert_eq!(
        table_markdown(&only, Table::Paired),
        "Cells that draw only changed trials meet faults of their own: they are not compared in pairs.\n"
    );
    assert!(conditions(&only).contains("trials a cell: 3, only changed ones"), "{}", conditions(&only));
    let summary = table_markdown(&only, Table::Summary);
    assert!(summary.contains("P(changed)") && summary.contains("1.000e-3"), "{summary}");
    let header = table_csv(&only, Table::Summary).lines().next().expect("a header").to_string();
    assert!(header.ends_with(",changed_probability"), "{header}");
    let table = drop_table(&only, Statistic::AllTrials);
    assert!(table.contains("1.0e-3 ± ") && table.contains("P(changed), m the mean"), "{table}");
    assert_eq!(trials_frame(&rows).width(), 29);

    // Beside ordinary cells: those are still compared.
    rows.extend(cell("faulty", 1e-6, &[1, 2, 3]));
    rows.extend(cell("parity-zero", 1e-6, &[1, 1, 1]));
    let mixed = report(&rows);
    assert_eq!(mixed.paired().len(), 1);
    assert!(table_markdown(&mixed, Table::Paired).ends_with("not compared in pairs.\n"));
    assert!(conditions(&mixed).contains("in some cells only changed ones"));
    assert!(
        accuracy_figure(&mixed, "", None).svg().expect("drawn").contains("in some cells only changed ones")
    );

    // In the folder: no table with the paper's statistic, and a paragraph on the method.
    let dir = tempfile::tempdir().expect("a directory");
    write_report(&only, &Context::default(), dir.path()).expect("written");
    let page = std::fs::read_to_string(dir.path().join("report.md")).expect("a page");
    assert!(
        !page.contains("The same with the paper's statistic") && page.contains("Changed trials: "),
        "{page}"
    );
    write_report(&report(&cell("faulty", 1e-3, &[1, 2])), &Context::default(), dir.path()).expect("written");
    let page = std::fs::read_to_string(dir.path().join("report.md")).expect("a page");
    assert!(
        page.contains("The same with the paper's statistic") && !page.contains("hanged trials"),
        "{page}"
    );
}

#[test]
fn expected_numbers_stand_beside_measured_ones() {
    let expected = |(protection, rate)| ExpectedOutcomes {
        cell: cell_id(protection, rate).parse().expect("an id"),
        words_hit: 89.5,
        corrected: 80.25,
        detected: 6.0,
        miscorrected: 0.01,
        silent: 1e-9,
        changed_probability: 0.5,
    };
    let mut rows = cell("faulty", 1e-3, &[1, 2]);
    rows.extend(cell("parity-zero", 1e-3, &[1, 2]));
    rows.extend(changed_cell("secded-72-64", 1e-3, 0.5, &[1, 2]));
    let list = [("faulty", 1e-3), ("secded-72-64", 1e-3), ("another", 1.0)].map(expected);
    let report = report(&rows).with_expected(&list);
    assert_eq!(report.outcomes()[0].expected, Some(list[0].clone()));
    assert_eq!(report.outcomes()[1].expected, None);
    assert_eq!(report.outcomes()[2].expected, None, "its sums are not over ordinary trials");
    let text = table_markdown(&report, Table::Outcomes);
    let cells: Vec<&str> = text.lines().nth(2).expect("a row").split('|').map(str::trim).collect();
    assert_eq!(cells[8..13], ["180 (179)", "160 (160)", "12 (12.0)", "6 (2.0e-2)", "2 (2.0e-9)"], "{text}");
    let csv = table_csv(&report, Table::Outcomes);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(
        ",trials_unchanged,expected_words_hit,expected_corrected,expected_detected,expected_miscorrected,expected_silent"
    ));
    assert!(lines[1].ends_with(",179.0,160.5,12.0,0.02,2e-9"), "{csv}");
    assert!(lines[2].ends_with(",,,,,"), "{csv}");
}

#[test]
fn unlike_faults_within_pairs_are_reported() {
    let mut rows = cell("faulty", 1e-3, &[1, 2]);
    rows.extend(cell("parity-zero", 1e-3, &[2, 3]));
    assert!(!table_markdown(&report(&rows), Table::Paired).contains("did not meet the same faults"));
    rows[3].record.flips_data += 1;
    let report = report(&rows);
    assert_eq!(report.paired()[0].pairs_same_flips, 1);
    assert!(table_markdown(&report, Table::Paired).contains("In 1 pairs the two data planes"));
}

#[test]
fn cells_without_a_common_trial_are_no_pair() {
    let mut rows = cell("faulty", 1e-3, &[1, 2]);
    rows.push(row("parity-zero", 1e-3, 9, 2));
    assert!(report(&rows).paired().is_empty());
}

fn message(rows: &[TrialRow]) -> String {
    Estimates::from_rows(rows).expect_err("bad rows").to_string()
}

#[test]
fn bad_rows_are_refused_with_the_cells_name() {
    assert!(matches!(Estimates::from_rows(&[]), Err(AnalysisError::NoTrials)));
    let good = || cell("faulty", 1e-3, &[1, 2]);

    let mut rows = good();
    rows[1].images = 4_999;
    assert_eq!(
        message(&rows),
        "images is 5000 in trial 0 of squeezenet faulty fixed-count 1e-3, \
         but 4999 in trial 1 of squeezenet faulty fixed-count 1e-3"
    );

    let mut rows = good();
    rows.push(row("parity-zero", 1e-3, 0, 1));
    rows[2].seed = 8;
    assert_eq!(
        message(&rows),
        "seed is 7 in trial 0 of squeezenet faulty fixed-count 1e-3, \
         but 8 in trial 0 of squeezenet parity-zero fixed-count 1e-3"
    );

    type Edit = fn(&mut TrialRow);
    let edits: [(&str, Edit); 8] = [
        ("data_set is ", |r| r.data_set = format!("{}x", r.data_set).into()),
        ("weights is ", |r| r.weights += 1),
        ("data_bits is ", |r| r.data_bits += 1),
        ("check_bits is ", |r| r.check_bits += 1),
        ("clean_correct is ", |r| r.clean_correct += 1),
        ("cell is ", |r| r.cell = format!("{}x", r.cell).into()),
        ("changed_probability is ", |r| r.changed_probability = Some(0.5)),
        ("trial 0 of squeezenet faulty fixed-count 1e-3 is recorded twice", |r| r.record.trial = 0),
    ];
    for (start, edit) in edits {
        let mut rows = good();
        edit(&mut rows[1]);
        assert!(message(&rows).starts_with(start), "{}", message(&rows));
    }

    let mut rows = good();
    rows[1].record.correct = 5_001;
    assert_eq!(
        message(&rows),
        "trial 1 of squeezenet faulty fixed-count 1e-3: correct is 5001 of 5000 images"
    );
    for probability in [0.0, 1.1, f64::NAN] {
        let rows = changed_cell("faulty", 1e-3, probability, &[0]);
        assert!(message(&rows).contains("outside (0, 1]"), "{}", message(&rows));
    }
    for rate in [-0.1, 1.1, f64::NAN] {
        assert!(message(&[row("faulty", rate, 0, 0)]).contains("outside [0, 1]"));
    }
    let mut rows = good();
    rows.iter_mut().for_each(|r| (r.images, r.clean_correct, r.record.correct) = (0, 0, 0));
    assert_eq!(message(&rows), "squeezenet faulty fixed-count 1e-3: 0 images, outside [1, 4294967295]");
}

#[test]
fn a_trial_recorded_twice_alike_counts_once() {
    let mut rows = cell("faulty", 1e-3, &[1, 2]);
    rows.extend(rows.clone());
    assert_eq!(report(&rows).summaries()[0].trials, 2);
    assert_eq!(report(&rows).outcomes()[0].trials, 2);
}

#[test]
fn the_frame_has_a_row_a_trial() {
    let frame = trials_frame(&cell("faulty", 1e-3, &PAPER));
    assert_eq!(frame.shape(), (10, 28));
    let drops = frame.column("drop_points").expect("a column").f64().expect("reals");
    assert_eq!(drops.get(5), Some(23.02));
}

#[test]
fn the_drop_table_is_laid_out_as_in_the_paper() {
    let mut rows = cell("secded-72-64", 1e-3, &PAPER);
    rows.extend(cell("secded-72-64", 1e-6, &[0; 10]));
    rows.extend(cell("in-place-64-57", 1e-6, &[-1, 0, 0, 0, 0]));
    let report = report(&rows);
    assert_eq!(
        drop_table(&report, Statistic::Trimmed),
        "\
**squeezenet**, fixed-count, 57.02 % fault-free:

| protection                | stored overhead |        1e-6 |        1e-3 |
| ------------------------- | --------------: | ----------: | ----------: |
| ecc (secded-72-64)        |          12.5 % | 0.00 ± 0.00 | 5.37 ± 0.66 |
| in-place (in-place-64-57) |               0 | 0.00 ± 0.00 |           – |

Accuracy drop in points, the paper's statistic: the best and the worst trial are dropped, mean ± population \
         standard deviation of the others.
"
    );
    // -0.004 is shown as zero without a sign.
    let all = drop_table(&report, Statistic::AllTrials);
    assert!(
        all.contains("| ecc (secded-72-64)        |          12.5 % | 0.00 ± 0.00 | 6.98 ± 5.69 |"),
        "{all}"
    );
    assert!(
        all.contains("| in-place (in-place-64-57) |               0 | 0.00 ± 0.01 |           – |"),
        "{all}"
    );
}

#[test]
fn the_drop_table_is_ready_for_a_paper() {
    let mut rows = cell("secded-72-64", 1e-3, &PAPER);
    rows.extend(cell("in-place-64-57", 1e-6, &[-1, 0, 0, 0, 0]));
    // Another model with a rate of its own, and a name that LaTeX would take for commands.
    let mut other = cell("secded-72-64", 2.5e-4, &[0, 50]);
    other.iter_mut().for_each(|row| row.model = "res_net & 100%".into());
    rows.extend(other);
    assert_eq!(
        drop_latex(&report(&rows), Statistic::AllTrials, "Table 2: {squeezed}"),
        r"% Needs \usepackage{booktabs}.
\begin{table}
  \centering
  \caption{Table 2: \{squeezed\}. Accuracy drop in points: mean $\pm$ standard deviation (divisor n - 1) of all trials. squeezenet, res\_net \& 100\% $\cdot$ imagenet test, 5000 images $\cdot$ trials a cell: 2 to 10 $\cdot$ faults: fixed-count $\cdot$ seed 7.}
  \label{tab:table-2-squeezed}
  \begin{tabular}{lrrrr}
    \toprule
    protection & overhead & $10^{-6}$ & $2.5 \times 10^{-4}$ & $10^{-3}$ \\
    \midrule
    \multicolumn{5}{l}{\textbf{squeezenet}, fixed-count, 57.02\,\% fault-free} \\
    ecc (secded-72-64) & 12.5\,\% & -- & -- & $6.98 \pm 5.69$ \\
    in-place (in-place-64-57) & 0 & $0.00 \pm 0.01$ & -- & -- \\
    \midrule
    \multicolumn{5}{l}{\textbf{res\_net \& 100\%}, fixed-count, 57.02\,\% fault-free} \\
    ecc (secded-72-64) & 12.5\,\% & -- & $0.50 \pm 0.71$ & -- \\
    \bottomrule
  \end{tabular}
\end{table}
"
    );
    let changed = report(&changed_cell("secded-72-64", 1e-6, 2e-3, &[0, 5, 0]));
    let latex = drop_latex(&changed, Statistic::AllTrials, "Rare");
    assert!(latex.contains(r"$6.7 \times 10^{-5} \pm"), "{latex}");
}

#[test]
fn paired_markdown_reads_as_a_table() {
    let mut rows = cell("faulty", 1e-3, &[50, 50]);
    rows.extend(cell("bch|2", 1e-3, &[0, 0]));
    let text = table_markdown(&report(&rows), Table::Paired);
    let expected = "\
| model      | fault model | rate | first  | second | pairs | first - second |           95 % interval | wins | ties | losses | sign test p | corrected |
| ---------- | ----------- | ---: | ------ | ------ | ----: | -------------: | ----------------------: | ---: | ---: | -----: | ----------: | --------: |
| squeezenet | fixed-count | 1e-3 | faulty | bch\\|2 |     2 |          1.000 | all 2 equal (P ≤ 0.776) |    0 |    0 |      2 |       0.500 |     0.500 |
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn csv_quotes_as_rfc_4180_asks() {
    let mut rows = cell("faulty", 2.5e-4, &[1, 2]);
    rows.iter_mut().for_each(|r| r.model = "wide, \"deep\"".into());
    let csv = table_csv(&report(&rows), Table::Outcomes);
    assert_eq!(
        csv,
        "model,fault_model,protection,paper_name,rate,trials,flips_data,flips_check,words_hit,corrected,\
         detected,miscorrected,silent,weights_changed,trials_unchanged\r\n\
         \"wide, \"\"deep\"\"\",fixed-count,faulty,faulty,2.5e-4,2,201,20,180,160,12,6,2,2,0\r\n"
    );
}

#[test]
fn styles_are_fixed_by_id() {
    let name = |text: &str| -> ProtectionName { text.parse().expect("a name") };
    assert_eq!(
        style_of(&name("in-place-64-57")).map(|s| (s.rgb, s.marker)),
        Some(([0, 158, 115], Marker::Diamond))
    );
    assert_eq!(style_of(&name("unknown")), None);
    let styles = styles_of(&["x", "faulty", "y"].map(name));
    assert_eq!(styles[1], style_of(&name("faulty")).expect("known"));
    assert_ne!(styles[0], styles[2]);
    assert_eq!([0.0, 1e-5, 2.5e-4, 1.0].map(rate_label), ["0", "1e-5", "2.5e-4", "1e0"]);
}

fn four_protections() -> Vec<TrialRow> {
    let mut rows = Vec::new();
    for (protection, scale) in
        [("faulty", 200), ("parity-zero", 20), ("secded-72-64", 9), ("in-place-64-57", 8), ("a<b>&c", 5)]
    {
        rows.extend(cell(protection, 0.0, &[0, 0, 0]));
        rows.extend(cell(protection, 1e-5, &[0, 1, 0]));
        rows.extend(cell(protection, 1e-3, &[scale, 2 * scale, 3 * scale]));
    }
    rows
}

/// Tags close in order and attributes are quoted: enough of XML for what plotters writes.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a stray > in {:?}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().expect("a name"));
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn the_svg_says_what_it_shows() {
    let context = Context { title: "Faults & <weights>", chance_percent: Some(0.1), ..Context::default() };
    let report = report(&four_protections());
    let svg = accuracy_figure(&report, context.title, context.chance_percent).svg().expect("drawn");
    assert_well_formed(&svg);
    let labels = [
        "Faults &amp; &lt;weights&gt;",
        "squeezenet · imagenet test, 5000 images · trials a cell: 3 · faults: fixed-count · seed 7",
        "Bands and bars: 95 % intervals of the mean, BCa bootstrap, 10,000 resamples.",
        "\nfaulty\n",
        "\nzero (parity-zero)\n",
        "\necc (secded-72-64)\n",
        "\nin-place (in-place-64-57)\n",
        "\na&lt;b&gt;&amp;c\n",
        "\nfault-free\n",
        "\nchance\n",
        "\nsqueezenet\n",
        "\n0\n",
        "\n1e-5\n",
        "\n1e-3\n",
        "\nbit error rate\n",
        "\ntop-1 accuracy, %\n",
        "font-family=\"sans-serif\"",
        // Under the pointer: means, and the fault-free network.
        "<title>a&lt;b&gt;&amp;c at 1e-3: mean accuracy ",
        "<title>faulty, fault-free: accuracy 57.02 %</title>",
    ];
    for label in labels {
        assert!(svg.contains(label), "{label:?} is missing");
    }
    assert_eq!(svg, accuracy_figure(&report, context.title, context.chance_percent).svg().expect("drawn"));
    let without_chance = accuracy_figure(&report, context.title, None).svg().expect("drawn");
    assert!(!without_chance.contains("chance"));
}

#[test]
fn a_panel_for_each_model_and_fault_model() {
    let mut rows = four_protections();
    let both = |rows: &[TrialRow], edit: fn(&mut TrialRow)| {
        let mut more = rows.to_vec();
        more.iter_mut().for_each(edit);
        more
    };
    let more = both(&rows, |r| r.fault_model = FaultKind::Burst { length: (2, 2), distance: 1 }.into());
    rows.extend(more);
    let svg = accuracy_figure(&report(&rows), "", None).svg().expect("drawn");
    assert!(
        svg.contains("\nsqueezenet, fixed-count\n")
            && svg.contains("\nsqueezenet, burst:length=2,distance=1\n")
    );
    assert_eq!(svg.matches("\nbit error rate\n").count(), 2);
    assert_eq!(svg.matches("\nfaulty\n").count(), 1, "one legend for all panels");
}

#[test]
fn figures_without_a_range_of_rates_are_drawn() {
    for rates in [&[0.0][..], &[1e-4], &[0.0, 3e-4]] {
        let rows: Vec<TrialRow> = rates.iter().flat_map(|rate| cell("faulty", *rate, &[0, 0])).collect();
        let report = report(&rows);
        let svg = accuracy_figure(&report, "", None).svg().expect("drawn");
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("-2147483648"), "{rates:?}");
        for rate in rates {
            assert!(svg.contains(&format!("\n{}\n", rate_label(*rate))), "{rate}");
        }
        accuracy_figure(&report, "", None).png().expect("drawn");
    }
}

#[test]
fn the_png_has_the_size_of_the_svg() {
    let report = report(&four_protections());
    let png = accuracy_figure(&report, "", None).png().expect("drawn");
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    let (width, height) = (number(16), number(20));
    assert_eq!(width, 1600);
    let svg = accuracy_figure(&report, "", None).svg().expect("drawn");
    assert!(svg.starts_with(&format!("<svg width=\"{width}\" height=\"{height}\"")));
}

#[test]
fn without_labels_everything_speaks_of_agreement() {
    let dir = tempfile::tempdir().expect("a directory");
    let context = Context { title: "Squeeze", ..Context::default() };
    let report = report(&four_protections()).with_measure(Measure::Agreement);
    let written = write_report(&report, &context, dir.path()).expect("written");
    assert!(written.iter().any(|path| path.ends_with("agreement-vs-rate.svg")));
    for path in written.iter().filter(|path| path.extension().is_some_and(|e| e != "png")) {
        let text = std::fs::read_to_string(path).expect("text");
        assert!(!text.to_lowercase().contains("accuracy"), "{}: {text}", path.display());
    }
    let svg = accuracy_figure(&report, context.title, context.chance_percent).svg().expect("drawn");
    assert!(svg.contains("agreement with the fault-free network, %"), "{svg}");
}

#[test]
fn a_comparison_without_labels_speaks_of_agreement() {
    let dir = tempfile::tempdir().expect("a directory");
    let network =
        NetworkEntry { label: "squeezenet".into(), family: Some("net".into()), ..NetworkEntry::default() };
    let context = Context { title: "Squeeze", networks: &[network], ..Context::default() };
    let estimates = report(&four_protections()).with_measure(Measure::Agreement);
    let written = write_report(&estimates, &context, dir.path()).expect("written");
    assert!(written.iter().any(|path| path.ends_with("overhead.svg")));
    for path in written.iter().filter(|path| path.extension().is_some_and(|e| e != "png")) {
        let text = std::fs::read_to_string(path).expect("text");
        assert!(!text.to_lowercase().contains("accura"), "{}: {text}", path.display());
    }
    let csv = std::fs::read_to_string(dir.path().join("comparison.csv")).expect("text");
    assert!(csv.contains(",clean_agreement_percent,rate,agreement_percent,"), "{csv}");
}

#[test]
fn a_legend_shows_the_line_of_each_protection() {
    let names: Vec<ProtectionName> =
        (0..14).map(|n| format!("protection-{n}").parse().expect("a name")).collect();
    let rows: Vec<TrialRow> =
        names.iter().flat_map(|name| [1e-4, 1e-3].map(|rate| cell(name, rate, &[1, 2])).concat()).collect();
    let svg = accuracy_figure(&report(&rows), "", None).svg().expect("drawn");
    let styles = styles_of(&names);
    for (name, style) in names.iter().zip(&styles) {
        let label = svg.find(&format!("\n{name}\n")).expect("a label");
        let before = &svg[svg[..label].rfind("</text>").unwrap_or(0)..label];
        let [r, g, b] = style.rgb;
        let strokes = before.matches("<polyline").count();
        assert!(before.contains(&format!("#{r:02X}{g:02X}{b:02X}")), "{name}: {before}");
        // The strokes of a cross are lines too, its white rim included.
        let crossed = if style.marker == Marker::Cross { 4 } else { 0 };
        assert_eq!(strokes - crossed > 1, !style.pattern.is_empty(), "{name}: {before}");
    }
}

#[test]
fn a_report_is_a_folder_of_whole_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = dir.path().join("new/report");
    let context = Context { title: "Squeeze", notes: "Run by hand.\n", ..Context::default() };
    let report = report(&four_protections());
    let written = write_report(&report, &context, &target).expect("written");
    let names: Vec<&str> =
        written.iter().map(|p| p.file_name().expect("a name").to_str().expect("text")).collect();
    assert_eq!(
        names,
        [
            "summary.csv",
            "outcomes.csv",
            "paired.csv",
            "drops.tex",
            "accuracy-vs-rate.svg",
            "accuracy-vs-rate.png",
            "report.html",
            "report.md"
        ]
    );
    assert_eq!(std::fs::read_dir(&target).expect("a directory").count(), 8, "no temporary file stays");
    let read = |name: &str| std::fs::read_to_string(target.join(name)).expect("text");
    assert_eq!(read("summary.csv"), table_csv(&report, Table::Summary));
    let text = read("report.md");
    assert!(text.starts_with("# Squeeze\n\nsqueezenet · imagenet test"), "{text}");
    let parts = [
        "\n\nRun by hand.\n\n",
        "](accuracy-vs-rate.svg)",
        drop_table(&report, Statistic::AllTrials).trim_end(),
        drop_table(&report, Statistic::Trimmed).trim_end(),
        table_markdown(&report, Table::Summary).trim_end(),
        table_markdown(&report, Table::Outcomes).trim_end(),
        table_markdown(&report, Table::Paired).trim_end(),
        "Intervals: BCa bootstrap, 10,000 resamples.",
    ]
    .map(String::from);
    for part in parts {
        assert!(text.contains(&part), "{part}");
    }

    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "").expect("written");
    let error = write_report(&report, &context, &blocked).expect_err("a file is no directory");
    assert!(matches!(error, AnalysisError::Io { ref path, .. } if *path == blocked), "{error}");
}

/// A training of which each check is (iteration, large values, correct before, correct after) of 1,000 images.
fn training(name: &str, checks: &[(u64, u64, u64, u64)]) -> Training {
    let check = |&(iteration, large_values, correct, throttled_correct): &_| TrainingCheck {
        iteration,
        large_values,
        images: 1_000,
        correct,
        throttled_correct,
    };
    Training { name: name.into(), storable: "[-9, 8]".into(), checks: checks.iter().map(check).collect() }
}

fn trainings(all: Vec<Training>) -> Trainings {
    Trainings::new("r20 <tiny>", "the images are synthetic", all).expect("good trainings")
}

fn three_trainings() -> Trainings {
    trainings(vec![
        training("qatt", &[(0, 2_795, 800, 600), (60, 3, 790, 789), (120, 0, 805, 805)]),
        training("admm", &[(0, 2_795, 800, 600), (300, 2_780, 820, 640), (600, 2_772, 830, 650)]),
        training("admm-strong", &[(0, 2_795, 800, 600), (600, 40, 780, 770)]),
    ])
}

/// Discs of the colour of qatt: its markers.
fn qatt_markers(svg: &str) -> usize {
    svg.lines().filter(|line| line.starts_with("<circle") && line.contains("#D55E00")).count()
}

fn assert_says(svg: &str, labels: &[&str]) {
    assert_well_formed(svg);
    for label in labels {
        assert!(svg.contains(label), "{label:?} is missing");
    }
}

#[test]
fn large_values_have_a_line_for_each_training_and_an_axis_with_zero() {
    let figure = three_trainings();
    let svg = large_values_figure(&figure).svg().expect("drawn");
    let labels = [
        "r20 &lt;tiny&gt;",
        "\nthe images are synthetic\n",
        "\nWeights that the protection cannot store. It can store [-9,\u{a0}8]\n",
        "\nqatt: 2,795 → 0\n",
        "\nadmm: 2,795 → 2,772\n",
        "\nadmm-strong: 2,795 → 40\n",
        "\nlarge values, log(1 + n)\n",
        "\n0\n",
        "\n1\n",
        "\n10\n",
        "\n100\n",
        "\n1,000\n",
        "\n600\n",
        "\ntraining iterations\n",
    ];
    assert_says(&svg, &labels);
    assert!(!svg.contains("\n10,000\n"), "no tick beyond the values");
    assert_eq!(qatt_markers(&svg), 3 + 1, "a marker for each check and one in the legend");
    assert_eq!(svg, large_values_figure(&figure).svg().expect("drawn"));
}

#[test]
fn large_values_against_several_ranges_name_the_range_of_each_training() {
    let ranged = |name: &str, storable: &str| Training {
        storable: storable.into(),
        ..training(name, &[(0, 27, 800, 600), (60, 0, 800, 800)])
    };
    let free = Training { storable: "any value".into(), ..training("clipped", &[(0, 0, 700, 700)]) };
    let wide = "[-64, 63] at positions 0 to 6 of each 8-byte block, any value at position 7";
    let all =
        vec![ranged("five", "[-16, 15]"), ranged("one-bit", wide), free, ranged("five-noisy", "[-16, 15]")];
    let svg = large_values_figure(&trainings(all)).svg().expect("drawn");
    let labels = [
        "\nWeights that the protection of each training cannot store. It can store:\n",
        "\nfive, five-noisy: [-16,\u{a0}15]\n",
        // With no-break spaces in brackets and before numbers, so that the line ends between two words.
        "\none-bit: [-64,\u{a0}63] at positions\u{a0}0 to 6 of each 8-byte block, any value at\n",
        "\nposition\u{a0}7\n",
        "\nclipped: any value\n",
    ];
    assert_says(&svg, &labels);
}

#[test]
fn throttled_accuracy_has_a_panel_for_each_training_and_its_iteration_0() {
    let figure = three_trainings();
    let svg = throttled_accuracy_figure(&figure).svg().expect("drawn");
    let labels = [
        "\nr20 &lt;tiny&gt; · 1,000 held-out images\n",
        "\nthe images are synthetic\n",
        "\nbefore throttling\n",
        "\nafter throttling\n",
        "\niteration 0: only quantized, 80.00 %\n",
        "\nqatt\n",
        "\nadmm\n",
        "\nadmm-strong\n",
        "\niteration 600: 83.00 % before, 65.00 % after throttling\n",
    ];
    assert_says(&svg, &labels);
    assert_eq!(svg.matches("\naccuracy, %\n").count(), 3);
    assert_eq!(qatt_markers(&svg), 2 * 3, "before and after at each check");

    // Each training with another start: the line has no one number.
    let other = training("admm", &[(0, 9, 700, 600)]);
    let svg = throttled_accuracy_figure(&trainings(vec![training("qatt", &[(0, 9, 800, 600)]), other])).svg();
    assert!(svg.expect("drawn").contains("\niteration 0: only quantized, at its own scale\n"));
    // A log that begins later does not know that network.
    let svg = throttled_accuracy_figure(&trainings(vec![training("qatt", &[(5, 9, 800, 600)])])).svg();
    assert!(!svg.expect("drawn").contains("quantized"));
}

#[test]
fn short_flat_and_long_trainings_are_drawn() {
    let long: Vec<_> = (0..1_000).map(|i| (i, i % 7, 500, 499)).collect();
    for (checks, markers) in [
        (&[(0, 0, 0, 0)][..], 1),
        (&[(0, 0, 1_000, 1_000), (1, 0, 1_000, 1_000)], 2),
        (&[(7, u64::MAX, 1, 1)], 1),
        (&long, 22),
    ] {
        let figure = trainings(vec![training("qatt", checks)]);
        let (values, accuracy) =
            (large_values_figure(&figure).svg(), throttled_accuracy_figure(&figure).svg());
        for (svg, markers) in [(values, markers + 1), (accuracy, 2 * markers)] {
            let svg = svg.expect("drawn");
            assert_well_formed(&svg);
            assert!(!svg.contains("NaN") && !svg.contains("-2147483648"), "{checks:?}");
            assert_eq!(qatt_markers(&svg), markers, "{checks:?}");
        }
    }
}

#[test]
fn bad_trainings_are_refused_with_their_name() {
    let message = |all: Vec<Training>| Trainings::new("r20", "", all).expect_err("bad trainings").to_string();
    let good = || training("qatt", &[(0, 9, 800, 600), (5, 8, 800, 600)]);
    assert_eq!(message(vec![]), "there are no trainings");
    assert_eq!(message(vec![good(), training("admm", &[])]), "admm has no checks");
    assert_eq!(
        message(vec![training("qatt", &[(5, 9, 8, 6), (5, 8, 8, 6)])]),
        "qatt: iteration 5 follows iteration 5"
    );
    let mut other = good();
    other.checks[1].images = 900;
    assert_eq!(
        message(vec![good(), other]),
        "images is 1000 in iteration 0 of qatt, but 900 in iteration 5 of qatt"
    );
    assert_eq!(
        message(vec![training("qatt", &[(0, 9, 800, 1_001)])]),
        "iteration 0 of qatt: throttled_correct is 1001 of 1000 images"
    );
    let mut empty = good();
    empty.checks[0].images = 0;
    assert!(message(vec![empty]).starts_with("iteration 0 of qatt: 0 images"));
}

fn before_and_after() -> Vec<LargeWeightCounts> {
    let counts = |network: &str, large_at| LargeWeightCounts {
        network: network.into(),
        weights: 20_000,
        blocks: 2_500,
        large_at,
        note: "synthetic".into(),
    };
    vec![
        counts("r20/int8: resnet20", [310, 1_290, 300, 305, 299, 310, 320, 301]),
        counts("r20/qatt: resnet20", [0, 0, 0, 0, 0, 0, 0, 290]),
    ]
}

#[test]
fn large_weights_have_a_bar_for_each_position() {
    let figure = LargeWeights::new(before_and_after(), "[-9, 8]".into()).expect("good counts");
    let svg = large_weights_figure(&figure).svg().expect("drawn");
    let labels = [
        "\nsynthetic\n",
        "\nnot allowed by in-place protection\n",
        "\nfree\n",
        "\nr20/int8: resnet20\n",
        "\nr20/qatt: resnet20\n",
        "\n20,000 weights in 2,500 blocks of 8\n",
        "\nlarge weights at 0 to 6: 3,134 (15.670 %); at 7: 301 (1.505 %)\n",
        "\n1,290\n",
        "\n290\n",
    ];
    assert_says(&svg, &labels);
    assert_eq!(svg.matches("fill=\"#D55E00\"").count(), 7 + 1, "no bar of height 0; one in the legend");
    assert_eq!(svg.matches("\nposition in the block\n").count(), 2);
    assert_eq!(
        large_weights_csv(&figure).lines().collect::<Vec<_>>()[..3],
        [
            "network,weights,blocks,position,blocks_with_large_weight",
            "r20/int8: resnet20,20000,2500,0,310",
            "r20/int8: resnet20,20000,2500,1,1290",
        ]
    );
    assert_eq!(large_weights_csv(&figure).lines().count(), 1 + 2 * 8);

    // Without any large weight there are only zeros.
    let mut nothing = before_and_after();
    nothing.iter_mut().for_each(|counts| counts.large_at = [0; 8]);
    let svg = large_weights_figure(&LargeWeights::new(nothing, "[-9, 8]".into()).expect("good counts"))
        .svg()
        .expect("drawn");
    assert_well_formed(&svg);
    assert_eq!(svg.matches("fill=\"#D55E00\"").count(), 1);
}

#[test]
fn impossible_counts_of_large_weights_are_refused() {
    let message =
        |networks| LargeWeights::new(networks, "[-9, 8]".into()).expect_err("bad counts").to_string();
    assert_eq!(message(vec![]), "there are no networks");
    let mut counts = before_and_after();
    counts[1].large_at[7] = 2_501;
    assert_eq!(
        message(counts),
        "r20/qatt: resnet20: 2501 large weights at a position of 2500 blocks of 20000 weights"
    );
}

#[test]
fn figures_of_training_and_weights_are_whole_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = dir.path().join("new/figures");
    let mut written = write_trainings(&three_trainings(), &target).expect("written");
    let weights = LargeWeights::new(before_and_after(), "[-9, 8]".into()).expect("good counts");
    written.extend(write_large_weights(&weights, &target).expect("written"));
    let names: Vec<&str> =
        written.iter().map(|p| p.file_name().expect("a name").to_str().expect("text")).collect();
    assert_eq!(
        names,
        [
            "large-values.svg",
            "large-values.png",
            "throttled-accuracy.svg",
            "throttled-accuracy.png",
            "large-weights.csv",
            "large-weights.svg",
            "large-weights.png"
        ]
    );
    assert_eq!(std::fs::read_dir(&target).expect("a directory").count(), 7, "no temporary file stays");
    for name in names.iter().filter_map(|name| name.strip_suffix(".png")) {
        let png = std::fs::read(target.join(format!("{name}.png"))).expect("a file");
        let svg = std::fs::read_to_string(target.join(format!("{name}.svg"))).expect("a file");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
        let size = format!("<svg width=\"{}\" height=\"{}\"", number(16), number(20));
        assert!(number(16) == 1_000 && svg.starts_with(&size), "{name}");
    }
}

fn measured(architecture: &str, images: u64, int8_correct: u64) -> MeasuredNetwork {
    MeasuredNetwork {
        architecture: architecture.into(),
        weights_file: format!("{architecture}.pth"),
        weights_sha256: "aa".into(),
        image_set: "imagenet test".into(),
        images,
        float_correct: 5,
        int8_correct,
        magnitudes: [9_000, 900, 100],
        violations: 1_234,
        storable: "[-9, 8]".into(),
        images_digest: "bb".into(),
        calibration: "imagenet train, first 8 images, largest magnitude".into(),
        calibration_digest: "cc".into(),
        dynamic_ranges: false,
        scales_per_channel: false,
    }
}

#[test]
fn networks_stand_beside_the_papers_numbers_for_them() {
    let networks =
        vec![measured("resnet50", 8, 4), measured("alexnet", 10, 3), measured("squeezenet1_1", 8, 4)];
    let table = NetworkTable::new(Measure::Accuracy, networks.clone()).expect("good counts");
    let text = network_table_markdown(&table);
    let lines: Vec<String> =
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines[2..5],
        [
            "| resnet50 | 62.50 / 76.13 | 50.00 / 75.33 | 90.00 / - | 9.00 / - | 1.00 / - | 10,000 / 25.5 M | 1,234 |",
            "| alexnet | 50.00 / 56.52 | 30.00 / 55.80 | 90.00 / 95.09 | 9.00 / 4.88 | 1.00 / 0.03 | 10,000 / 61.1 M | 1,234 |",
            "| squeezenet1_1 | 62.50 / - | 50.00 / - | 90.00 / - | 9.00 / - | 1.00 / - | 10,000 / - | 1,234 |",
        ]
    );
    let images = "the first 8 images of imagenet test";
    let named = format!(
        "of {images} (resnet50), the first 10 images of imagenet test (alexnet), {images} (squeezenet1_1)."
    );
    assert!(text.contains(&named), "{text}");
    assert!(text.contains("cannot store. It can store [-9, 8].\n"), "{text}");
    assert!(text.contains("Activation ranges are from imagenet train, first 8 images, largest magnitude."));
    assert_eq!(
        network_table_csv(&table).lines().nth(1).expect("a line"),
        "resnet50,imagenet test,8,62.5,76.13,50.0,75.33,90.0,,9.0,,1.0,,10000,25.5 M,1234,resnet50.pth,aa,bb,\
         \"imagenet train, first 8 images, largest magnitude\",cc"
    );

    // Without labels there is no accuracy, and so nothing of the paper's to compare it with.
    let table = NetworkTable::new(Measure::Agreement, networks).expect("good counts");
    let text = network_table_markdown(&table);
    assert!(text.contains("| int8 agrees with float % |") && !text.contains("76.13"), "{text}");
    assert!(network_table_page(&table).starts_with("# ") && network_table_page(&table).contains(&text));
}

#[test]
fn the_papers_shares_are_of_all_weights() {
    for network in PUBLISHED_NETWORKS {
        let sum = network.magnitude_percent.map_or(100.0, |shares| shares.iter().sum());
        assert!((sum - 100.0).abs() < 0.015, "{}: {sum}", network.architecture);
        assert!(network.int8_percent < network.float_percent, "{}", network.architecture);
    }
}

#[test]
fn impossible_counts_of_networks_are_refused() {
    let message =
        |networks| NetworkTable::new(Measure::Accuracy, networks).expect_err("bad counts").to_string();
    assert_eq!(message(vec![]), "there are no networks");
    assert_eq!(message(vec![measured("alexnet", 0, 0)]), "alexnet: 0 images, outside [1, 4294967295]");
    assert_eq!(message(vec![measured("alexnet", 8, 9)]), "alexnet: int8_correct is 9 of 8 images");
}
