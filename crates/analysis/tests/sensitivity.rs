//! Sweeps over tensors and bits: rankings and heat maps.

use analysis::{
    Context, Estimates, LossyStorage, Sensitivity, accuracy_figure, sensitivity_csv, sensitivity_markdown,
    write_report,
};
use design::TrialRecord;
use records::{NetworkEntry, TensorEntry, TrialRow};

const IMAGES: u64 = 1_000;
const CLEAN: u64 = 900;

/// A trial under a fault model that flips `flips` cells and loses `lost` images.
fn row(protection: &str, fault_model: &str, trial: u64, flips: u64, lost: u64) -> TrialRow {
    TrialRow {
        cell: format!("{protection} {fault_model}").into(),
        model: "net".into(),
        protection: protection.parse().expect("a name"),
        fault_model: fault_model.parse().expect("a fault model"),
        rate: 1e-2,
        seed: 7,
        weights: 300,
        data_bits: 2_400,
        check_bits: 0,
        data_set: "cifar10 test".into(),
        images: IMAGES,
        clean_correct: CLEAN,
        images_per_trial: None,
        changed_probability: None,
        metrics: [].into(),
        clean_scores: vec![],
        record: TrialRecord {
            trial,
            flips_data: flips,
            flips_check: 0,
            pattern_hash: "p".into(),
            words_hit: flips,
            corrected: 0,
            detected: 0,
            miscorrected: 0,
            silent: flips,
            weights_changed: flips,
            padding_changed: 0,
            weights_hash: "w".into(),
            correct: CLEAN - lost,
            agree: 0,
            predictions_hash: "h".into(),
            scores: vec![],
            block: None,
        },
    }
}

/// Two trials for each bit of two tensors: bit b loses 10 and 20 times b images in `a.weight`, half of it in `b.weight`.
fn sweep() -> Vec<TrialRow> {
    let mut rows = Vec::new();
    for protection in ["faulty", "in-place-64-57"] {
        for (tensor, part) in [("a.weight", 1), ("b.weight", 2)] {
            for bit in 0..8 {
                let model = format!("bernoulli:bit={bit},tensor={tensor}");
                let lost = if protection == "faulty" { 10 * bit / part } else { 0 };
                rows.push(row(protection, &model, 0, 4, lost));
                rows.push(row(protection, &model, 1, 6, 2 * lost));
            }
        }
    }
    rows
}

fn networks() -> [NetworkEntry; 1] {
    let tensors = [("a.weight", 100), ("b.weight", 200)];
    let tensors = tensors.map(|(name, weights)| TensorEntry { name: name.into(), weights }).into();
    [NetworkEntry { label: "net".into(), tensors, ..NetworkEntry::default() }]
}

#[test]
fn the_most_sensitive_come_first() {
    let report = Estimates::from_rows(&sweep()).unwrap();
    let sensitivity = Sensitivity::new(&report, &networks());
    let csv = sensitivity_csv(&sensitivity);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 2 * 16);
    assert_eq!(
        lines[0],
        "model,fault_model,protection,paper_name,rate,rank,tensor,bit,weights,trials,flips,mean_drop_points,\
         interval_method,interval_low_points,interval_high_points,differing_at_most,drop_per_flip_points"
    );
    // 70 and 140 of 1,000 images are 10.5 points in the mean, 21 in all, by 10 flips.
    assert!(
        lines[1].starts_with("net,bernoulli,faulty,faulty,1e-2,1,a.weight,7,100,2,10,10.5,bca,"),
        "{}",
        lines[1]
    );
    assert!(lines[1].ends_with(",2.1"), "{}", lines[1]);
    let places = |lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| line.split(',').skip(5).take(3).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(places(&lines[2..6]), ["2 a.weight 6", "3 a.weight 5", "4 a.weight 4", "5 b.weight 7"]);
    // Equal drops stay in plan order.
    assert_eq!(places(&lines[17..19]), ["1 a.weight 0", "2 a.weight 1"]);
    assert!(
        lines[17]
            .starts_with("net,bernoulli,in-place-64-57,in-place,1e-2,1,a.weight,0,100,2,10,0.0,all-equal")
    );

    let text = sensitivity_markdown(&sensitivity, 3, "sensitivity.csv");
    assert!(text.contains("**net**, faulty, bernoulli at 1e-2:\n"), "{text}");
    assert!(text.contains("13 more in `sensitivity.csv`"), "{text}");
    assert!(text.contains("|    1 | a.weight | 7   |     100 |           5.0 |    10.500 |"), "{text}");
}

#[test]
fn a_sweep_has_heat_maps_instead_of_curves() {
    let folder = tempfile::tempdir().unwrap();
    let report = Estimates::from_rows(&sweep()).unwrap();
    let networks = networks();
    let context = Context { title: "Sweep", networks: &networks, ..Context::default() };
    let written = write_report(&report, &context, folder.path()).unwrap();
    let names: Vec<&str> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "summary.csv",
            "outcomes.csv",
            "paired.csv",
            "sensitivity.csv",
            "sensitivity.svg",
            "sensitivity.png",
            "report.html",
            "report.md"
        ]
    );
    let svg = std::fs::read_to_string(folder.path().join("sensitivity.svg")).unwrap();
    // A panel a protection, rows without what all names end in, the sign first, and each field's number.
    for text in ["net, faulty, bernoulli at 1e-2", "a", "10", "5.2", "mean accuracy drop, points"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text}");
    }
    assert!(svg.find("\n7\n").unwrap() < svg.find("\n6\n").unwrap());
    let report = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert!(report.contains("faults: bernoulli, in one tensor or bit at a time"), "{report}");
    assert!(report.contains("](sensitivity.svg)") && !report.contains("accuracy-vs-rate"), "{report}");
    assert!(report.len() < 12_000, "no table of all cells");
}

#[test]
fn what_is_not_swept_keeps_its_curve() {
    let mut rows = sweep();
    rows.extend([row("faulty", "bernoulli", 0, 9, 3), row("faulty", "bernoulli", 1, 9, 4)]);
    let folder = tempfile::tempdir().unwrap();
    let report = Estimates::from_rows(&rows).unwrap();
    let written = write_report(&report, &Context::default(), folder.path()).unwrap();
    assert!(written.iter().any(|path| path.ends_with("accuracy-vs-rate.svg")));
    let svg = std::fs::read_to_string(folder.path().join("accuracy-vs-rate.svg")).unwrap();
    assert_eq!(svg.matches("\nbit error rate\n").count(), 1);
    assert_eq!(sensitivity_csv(&Sensitivity::new(&report, &[])).lines().count(), 1 + 2 * 16);
}

#[test]
fn a_few_scopes_are_shown_side_by_side() {
    let rows: Vec<TrialRow> =
        ["bernoulli", "bernoulli:bit=7"].map(|model| row("faulty", model, 0, 1, 1)).into_iter().collect();
    let report = Estimates::from_rows(&rows).unwrap();
    assert!(Sensitivity::new(&report, &[]).is_empty());
    let svg = accuracy_figure(&report, "", None).svg().unwrap();
    assert!(svg.contains("\nnet, bernoulli:bit=7\n"));
}

#[test]
fn a_ranking_under_a_lossy_protection_says_what_storing_costs() {
    let mut rows = sweep();
    rows.iter_mut()
        .filter(|row| row.protection != "faulty")
        .for_each(|row| row.protection = "lsb-64-56".parse().expect("a name"));
    for (correct, told) in [
        (
            Some(700),
            "**net**, lsb-64-56, bernoulli at 1e-2; 20.00 points of every drop come from storing alone:",
        ),
        (
            None,
            "**net**, lsb-64-56, bernoulli at 1e-2; every drop includes what storing alone costs, not measured:",
        ),
    ] {
        let lossy =
            LossyStorage { model: "net".into(), protection: "lsb-64-56".parse().expect("a name"), correct };
        let report = Estimates::from_rows(&rows).unwrap().with_lossy(vec![lossy]).unwrap();
        let text = sensitivity_markdown(&Sensitivity::new(&report, &networks()), 5, "sensitivity.csv");
        assert!(text.contains(told), "{text}");
        assert!(text.contains("**net**, faulty, bernoulli at 1e-2:"), "{text}");
    }
}
