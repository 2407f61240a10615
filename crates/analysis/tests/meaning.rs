//! What captions, axes, columns and notes say is what is shown.

use std::path::Path;

use analysis::{
    AnalysisError, Comparison, Context, Estimates, LossyStorage, Statistic, Table, accuracy_figure,
    comparison_csv, comparison_figure, comparison_markdown, drop_latex, drop_table, overhead_figure,
    table_csv, table_markdown, write_report,
};
use design::TrialRecord;
use records::{NetworkEntry, TrialRow};

const IMAGES: u64 = 1_000;
const CLEAN: u64 = 676;

/// A trial in which `wrong` words read back wrong and `correct` images are right.
fn row(protection: &str, fault_model: &str, rate: f64, trial: u64, wrong: u64, correct: u64) -> TrialRow {
    TrialRow {
        cell: format!("{protection} {fault_model} {rate:e}").into(),
        model: "net".into(),
        protection: protection.parse().expect("a name"),
        fault_model: fault_model.parse().expect("a fault model"),
        rate,
        seed: 7,
        weights: 300,
        data_bits: 2_400,
        check_bits: if protection == "secded-72-64" { 300 } else { 0 },
        data_set: "cifar10 test".into(),
        images: IMAGES,
        clean_correct: CLEAN,
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
            corrected: 4 - wrong,
            detected: 0,
            miscorrected: 0,
            silent: wrong,
            weights_changed: if protection == "lsb-64-56" { 90 } else { wrong },
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

fn cell(protection: &str, fault_model: &str, rate: f64, correct: &[u64]) -> Vec<TrialRow> {
    (0..)
        .zip(correct)
        .map(|(trial, correct)| row(protection, fault_model, rate, trial, 1, *correct))
        .collect()
}

fn report(rows: &[TrialRow]) -> Estimates {
    Estimates::from_rows(rows).expect("good rows")
}

fn written(report: &Estimates, context: &Context) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    write_report(report, context, folder.path()).expect("written");
    folder
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("text")
}

#[test]
fn an_axis_is_a_bit_error_rate_only_where_the_rate_is_one() {
    let names = [
        ("bernoulli", "bit error rate"),
        ("burst:length=2,distance=1", "bit error rate"),
        ("bernoulli:bit=7", "bit error rate, of bits in scope"),
        ("accumulate:hours=10,scrub=1", "probability that a bit flips in an hour"),
        ("stuck-at:value=1", "share of bits that are stuck"),
        ("asymmetric:share=0.9", "bit error rate if half of the bits are ones"),
        ("dram", "fault events per stored bit"),
    ];
    for (fault_model, name) in names {
        let rows = [1e-3, 1e-2].map(|rate| cell("faulty", fault_model, rate, &[600, 500])).concat();
        let report = report(&rows);
        let context = Context { title: "T", ..Context::default() };
        let svg = accuracy_figure(&report, context.title, context.chance_percent).svg().expect("drawn");
        assert!(svg.contains(&format!("\n{name}\n")), "{fault_model}: no axis {name:?}");
        let folder = written(&report, &context);
        let page = read(folder.path(), "report.md");
        let is_rate = name.starts_with("bit error rate") && !name.contains("half");
        assert_eq!(page.contains("![Accuracy versus bit error rate: T]"), is_rate, "{fault_model}");
        // Under each table with a column `rate`, and at the head of the table of drops.
        let notes = page.matches("\n`rate`: bit error rate; of `").count();
        assert_eq!(notes, if is_rate { 0 } else { 2 }, "{fault_model}: {page}");
        let heading = format!("**net**, {fault_model} (rate: {name}), 67.60 % fault-free:");
        assert_eq!(drop_table(&report, Statistic::AllTrials).contains(&heading), !is_rate, "{fault_model}");
        assert_eq!(read(folder.path(), "drops.tex").contains("(rate: "), !is_rate, "{fault_model}");
    }
}

#[test]
fn rates_have_one_form_in_every_csv() {
    let rates = [0.0, 1e-6, 1e-5, 1e-4, 2.5e-4, 1e-3, 1e-2, 0.5, 1.0];
    let rows: Vec<TrialRow> = rates
        .iter()
        .flat_map(|rate| {
            [cell("faulty", "bernoulli", *rate, &[600]), cell("vote", "bernoulli", *rate, &[600])]
        })
        .flatten()
        .collect();
    let report = report(&rows);
    let forms = ["0", "1e-6", "1e-5", "1e-4", "2.5e-4", "1e-3", "1e-2", "5e-1", "1e0"];
    for table in [Table::Summary, Table::Outcomes, Table::Paired] {
        let csv = table_csv(&report, table);
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().expect("a header");
        let place = head.iter().position(|name| *name == "rate").expect("a column");
        let mut found: Vec<String> = lines.map(|line| line[place].to_string()).collect();
        for form in &found {
            let number: f64 = form.parse().expect("a number");
            assert!(rates.contains(&number), "{form}");
        }
        found.dedup();
        found.sort();
        found.dedup();
        let mut expected = forms.map(String::from).to_vec();
        expected.sort();
        assert_eq!(found, expected, "{table:?}");
    }
}

#[test]
fn the_standard_deviation_of_changed_trials_is_described_as_it_is_computed() {
    let mut rows = cell("faulty", "bernoulli", 1e-6, &[676, 576, 476]);
    rows.iter_mut().for_each(|row| row.changed_probability = Some(0.25));
    let changed = report(&rows);
    // The mean of the drops is 10 points, that of their squares (0 + 100 + 400) / 3.
    let sd = changed.summaries()[0].drop.sd.expect("three trials");
    assert!((sd - (0.25 * 500.0 / 3.0 - 2.5f64.powi(2)).sqrt()).abs() < 1e-9, "{sd}");
    let text = table_markdown(&changed, Table::Summary);
    for part in [
        "`sd` their standard deviation (divisor n - 1, but of changed trials as below)",
        "P m and their standard deviation as the square root of P q - (P m)^2, where P",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let ordinary = table_markdown(&report(&cell("faulty", "bernoulli", 1e-6, &[676, 576])), Table::Summary);
    assert!(ordinary.contains("(divisor n - 1); `trimmed`"), "{ordinary}");
}

#[test]
fn names_of_the_papers_release_are_known() {
    let csv = table_csv(&report(&cell("parity-avg", "bernoulli", 1e-3, &[600])), Table::Summary);
    assert!(csv.contains("\r\nnet,bernoulli,parity-avg,avg,1e-3,"), "{csv}");
}

#[test]
fn no_hidden_character_of_a_name_gets_into_a_report() {
    // An escape sequence, a null, a C1 control, a mark that turns the direction of text, and what XML forbids.
    const HIDDEN: &str = "a\u{1b}[31mb\0c\u{9b}d\u{202e}e\u{ffff}f";
    let mut rows = cell("faulty", "bernoulli", 1e-3, &[600, 500]);
    rows.extend(cell("vote", "bernoulli", 1e-3, &[600, 510]));
    rows.iter_mut().for_each(|row| {
        row.model = HIDDEN.into();
        row.fault_model.scope.tensor = Some(HIDDEN.into());
        row.data_set = HIDDEN.into();
    });
    let networks =
        [NetworkEntry { label: HIDDEN.into(), family: Some(HIDDEN.into()), ..NetworkEntry::default() }];
    let report = report(&rows);
    for networks in [&networks[..], &[]] {
        let context = Context { title: HIDDEN, notes: HIDDEN, networks, ..Context::default() };
        let folder = written(&report, &context);
        let mut texts = 0;
        for entry in std::fs::read_dir(folder.path()).expect("a directory") {
            let path = entry.expect("a file").path();
            let extension = path.extension().expect("an extension").to_str().expect("text").to_string();
            // A CSV holds data: names are there as they are.
            if ["png", "csv"].contains(&extension.as_str()) {
                continue;
            }
            texts += 1;
            let text = std::fs::read_to_string(&path).expect("text");
            let hidden = text.chars().find(|c| {
                c.is_control() && !['\n', '\t'].contains(c) || ['\u{202e}', '\u{ffff}'].contains(c)
            });
            assert_eq!(hidden, None, "{}", path.display());
            let shown = if extension == "tex" { "a?[31mb?c?d?e?f" } else { "a\u{fffd}[31mb\u{fffd}c" };
            assert!(text.contains(shown), "{}", path.display());
        }
        assert!(texts >= 4, "{texts} texts");
    }
    assert!(!drop_table(&report, Statistic::AllTrials).contains('\u{1b}'));
    assert!(!comparison_markdown(&Comparison::new(&report, &networks)).contains('\u{1b}'));
}

/// Attributes of the first tag in each line that begins with `start`.
fn numbers<const N: usize>(svg: &str, start: &str, names: [&str; N]) -> Vec<[i32; N]> {
    let number = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\"")).expect("the attribute");
        rest.split('"').next().expect("its value").parse().expect("a number")
    };
    svg.lines()
        .filter(|line| line.starts_with(start))
        .map(|line| names.map(|name| number(line, name)))
        .collect()
}

#[test]
fn every_mean_is_drawn_at_its_rate() {
    let protections = ["faulty", "parity-zero", "secded-72-64", "in-place-64-57", "vote", "parity-avg"];
    for count in [1, 4, 6] {
        let mut rows = Vec::new();
        for protection in &protections[..count] {
            for rate in [1e-5, 1e-4, 1e-3, 1e-2] {
                rows.extend(cell(protection, "bernoulli", rate, &[600, 590, 610]));
                rows.extend(cell(protection, "burst:length=2,distance=1", rate, &[600, 590, 610]));
            }
        }
        let svg = accuracy_figure(&report(&rows), "", None).svg().expect("drawn");
        for label in ["1e-5", "1e-4", "1e-3", "1e-2"] {
            // A tick of each panel: the text is in the line after its tag.
            let lines: Vec<&str> = svg.lines().collect();
            let ticks: Vec<i32> = lines
                .windows(2)
                .filter(|pair| pair[1] == label && pair[0].starts_with("<text"))
                .map(|pair| numbers(pair[0], "<text", ["x"])[0][0])
                .collect();
            assert_eq!(ticks.len(), 2, "{label}");
            let hovers = svg.lines().filter(|line| line.contains(&format!(" at {label}: mean ")));
            let mut markers = 0;
            for line in hovers {
                let [x] = numbers(line, "<circle", ["cx"])[0];
                let nearest = ticks.iter().map(|tick| (tick - x).abs()).min().expect("two ticks");
                assert!(nearest <= 10, "{count} protections: {nearest} pixels from {label}");
                markers += 1;
            }
            assert_eq!(markers, 2 * count);
        }
    }
}

#[test]
fn letters_of_the_overhead_figure_lie_beside_the_markers() {
    // Three contenders so near to each other that a letter above and to the right of one falls on the next, and one
    // behind the front.
    let mut rows = Vec::new();
    for (protection, check_bits, correct) in
        [("faulty", 0, 640), ("in-place-list", 25, 641), ("dec-64-50", 60, 642), ("bch-79-64", 560, 643)]
    {
        for (rate, lost) in [(1e-5, 0), (1e-4, 1), (1e-3, 2)] {
            let mut own = cell(protection, "bernoulli", rate, &[correct - lost, correct - lost]);
            own.iter_mut().for_each(|row| row.check_bits = check_bits);
            rows.extend(own);
        }
    }
    rows.extend(cell("vote", "bernoulli", 1e-4, &[400, 400]));
    let networks =
        [NetworkEntry { label: "net".into(), family: Some("net".into()), ..NetworkEntry::default() }];
    let svg = overhead_figure(&Comparison::new(&report(&rows), &networks), "Title").svg().expect("drawn");
    let markers = numbers(&svg, "<circle cx", ["cx", "cy"]);
    assert!(markers.len() >= 12, "{markers:?}");
    let lines: Vec<&str> = svg.lines().collect();
    let letters: Vec<[i32; 2]> = lines
        .windows(2)
        .filter(|pair| pair[0].contains("font-weight=\"bold\"") && pair[1].len() == 1)
        .map(|pair| numbers(pair[0], "<text", ["x", "y"])[0])
        .collect();
    assert_eq!(letters.len(), 12, "a letter for each protection on the front at each rate");
    // A letter is about 18 pixels wide and 20 high, a marker has a radius of 10.
    for [x, y] in &letters {
        for [cx, cy] in &markers {
            let apart = x - cx >= 10 || cx - (x + 18) >= 10 || y - 10 - cy >= 10 || cy - (y + 10) >= 10;
            assert!(apart, "a letter at {x}, {y} over a marker at {cx}, {cy}");
        }
        for [other_x, other_y] in letters.iter().filter(|other| *other != &[*x, *y]) {
            assert!((x - other_x).abs() >= 18 || (y - other_y).abs() >= 20, "letters on each other");
        }
    }
}

#[test]
fn a_report_of_a_family_has_what_a_report_of_a_network_has() {
    let networks =
        [NetworkEntry { label: "net".into(), family: Some("net".into()), ..NetworkEntry::default() }];
    let rows = |protections: usize| -> Vec<TrialRow> {
        (0..protections)
            .flat_map(|i| cell(&format!("p{i}"), "bernoulli", 1e-3, &[600, 590, 610, 580 + i as u64]))
            .collect()
    };
    let few = report(&rows(3));
    let context = Context { title: "T", networks: &networks, ..Context::default() };
    let folder = written(&few, &context);
    let page = read(folder.path(), "report.md");
    for part in [
        "## Comparison",
        drop_table(&few, Statistic::AllTrials).trim_end(),
        drop_table(&few, Statistic::Trimmed).trim_end(),
        table_markdown(&few, Table::Summary).trim_end(),
        table_markdown(&few, Table::Paired).trim_end(),
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("## Outcomes").count(), 1);

    // 25 protections make 300 comparisons, which nobody reads on a page.
    let many = report(&rows(25));
    let page = read(written(&many, &context).path(), "report.md");
    assert!(page.contains("\n300 comparisons, too many for this page, are in `paired.csv`"), "{page}");
    assert!(page.contains(table_markdown(&many, Table::Summary).trim_end()));
    // Of one network they are all there.
    let alone = Context { networks: &[], ..context };
    assert!(
        read(written(&many, &alone).path(), "report.md")
            .contains(table_markdown(&many, Table::Paired).trim_end())
    );
}

fn storage(protection: &str, correct: Option<u64>) -> LossyStorage {
    LossyStorage { model: "net".into(), protection: protection.parse().expect("a name"), correct }
}

/// An exact protection and a lossy one, of which every trial has wrong words.
fn with_a_lossy_one() -> Vec<TrialRow> {
    let mut rows = cell("secded-72-64", "bernoulli", 1e-4, &[670, 672]);
    rows.extend(cell("lsb-64-56", "bernoulli", 1e-4, &[226, 224]));
    rows
}

#[test]
fn what_a_lossy_protection_leaves_without_faults_is_shown_in_every_place() {
    let report = report(&with_a_lossy_one())
        .with_lossy(vec![storage("lsb-64-56", Some(228))])
        .expect("nothing contradicts it");
    let [exact, lossy] = report.summaries() else { panic!("two cells") };
    assert_eq!((exact.fault_free, lossy.fault_free), (Some(67.6), Some(22.8)));
    assert_eq!(lossy.clean, 67.6);
    let drops = drop_table(&report, Statistic::AllTrials);
    assert!(
        drops.contains("| protection         | stored overhead | fault-free |         1e-4 |"),
        "{drops}"
    );
    assert!(
        drops.contains("| ecc (secded-72-64) |          12.5 % |       0.00 |  0.50 ± 0.14 |"),
        "{drops}"
    );
    assert!(
        drops.contains("| lsb-64-56          |               0 |      44.80 | 45.10 ± 0.14 |"),
        "{drops}"
    );
    assert!(drops.contains("`fault-free`: drop without any fault"), "{drops}");
    let latex = drop_latex(&report, Statistic::AllTrials, "T");
    assert!(latex.contains("lsb-64-56 & 0 & $44.80$ & $45.10 \\pm 0.14$ \\\\"), "{latex}");
    let summary = table_markdown(&report, Table::Summary);
    assert!(summary.contains("| clean % | fault-free % |"), "{summary}");
    assert!(summary.contains("|   67.60 |        22.80 |"), "{summary}");
    let csv = table_csv(&report, Table::Summary);
    assert!(csv.lines().next().expect("a header").ends_with(",fault_free_accuracy_percent"), "{csv}");
    assert!(csv.lines().nth(2).expect("a line").ends_with(",22.8"), "{csv}");
    let svg = accuracy_figure(&report, "", None).svg().expect("drawn");
    assert!(svg.contains("<title>lsb-64-56, fault-free: accuracy 22.80 %</title>"), "{svg}");
    assert!(svg.contains("\nfault-free network\n"), "{svg}");
    // The marker at 0 is as low as the marker of the trials, which lose hardly more.
    let place = |what: &str| {
        let line = svg.lines().find(|line| line.contains(what)).expect("a hover value");
        numbers(line, "<circle", ["cy"])[0][0]
    };
    assert!((place("<title>lsb-64-56, fault-free") - place("<title>lsb-64-56 at 1e-4")).abs() < 20);
    assert!(place("<title>ecc (secded-72-64), fault-free") + 100 < place("<title>lsb-64-56, fault-free"));

    let networks =
        [NetworkEntry { label: "net".into(), family: Some("net".into()), ..NetworkEntry::default() }];
    let comparison = Comparison::new(&report, &networks);
    let table = comparison_markdown(&comparison);
    assert!(table.contains("| lsb-64-56          | net     |               0 |      22.80 |"), "{table}");
    let svg = comparison_figure(&comparison, "T").svg().expect("drawn");
    assert!(svg.contains("<title>lsb-64-56 on net: fault-free 22.80 %</title>"), "{svg}");
    let csv = comparison_csv(&comparison);
    assert!(csv.lines().next().expect("a header").ends_with(",on_front,fault_free_accuracy_percent"));
    assert!(csv.lines().nth(1).expect("a line").ends_with(",22.8"), "{csv}");
}

#[test]
fn what_nobody_has_measured_is_not_shown_as_a_number() {
    let rows = with_a_lossy_one();
    let report = report(&rows).with_lossy(vec![storage("lsb-64-56", None)]).expect("good");
    assert_eq!(report.summaries()[1].fault_free, None);
    let drops = drop_table(&report, Statistic::AllTrials);
    assert!(drops.contains("| lsb-64-56          |               0 | not measured |"), "{drops}");
    assert!(table_markdown(&report, Table::Summary).contains("|   67.60 | not measured |"));
    assert!(table_csv(&report, Table::Summary).ends_with(",\r\n"));
    let svg = accuracy_figure(&report, "", None).svg().expect("drawn");
    assert!(!svg.contains("lsb-64-56, fault-free"), "a marker at a number that nobody knows");
    assert!(svg.contains("none where that was not measured"), "{svg}");
    let networks =
        [NetworkEntry { label: "net".into(), family: Some("net".into()), ..NetworkEntry::default() }];
    let comparison = Comparison::new(&report, &networks);
    assert!(comparison_markdown(&comparison).contains("| not measured |"));
    let svg = comparison_figure(&comparison, "T").svg().expect("drawn");
    assert!(svg.contains("fault-free not measured</title>") && svg.contains("\n?\n"), "{svg}");
}

#[test]
fn a_trial_whose_words_all_read_right_tells_what_is_left_without_faults() {
    let mut rows = with_a_lossy_one();
    rows.push(row("lsb-64-56", "bernoulli", 1e-4, 2, 0, 228));
    let known = report(&rows).with_lossy(vec![storage("lsb-64-56", None)]).expect("good");
    assert_eq!(known.summaries()[1].fault_free, Some(22.8));

    // What was measured must agree with it, and such trials with each other.
    let contradicted =
        report(&rows).with_lossy(vec![storage("lsb-64-56", Some(229))]).expect_err("229 is not 228");
    assert!(
        matches!(contradicted, AnalysisError::FaultFree { correct: 228, measured: 229, .. }),
        "{contradicted}"
    );
    rows.push(row("lsb-64-56", "bernoulli", 1e-4, 3, 0, 230));
    let error = report(&rows).with_lossy(vec![storage("lsb-64-56", None)]).expect_err("230 is not 228");
    assert!(matches!(error, AnalysisError::Disagreement { field: "correct", .. }), "{error}");

    // A protection that changes no weight of this network loses nothing, and needs no column.
    let mut rows = with_a_lossy_one();
    rows.truncate(2);
    rows.push(row("secded-72-64", "bernoulli", 1e-4, 2, 0, CLEAN));
    let exact = report(&rows).with_lossy(vec![storage("secded-72-64", None)]).expect("good");
    assert_eq!(exact.summaries()[0].fault_free, Some(67.6));
    assert!(!drop_table(&exact, Statistic::AllTrials).contains("| fault-free |"));
}
