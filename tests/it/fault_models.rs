//! Fault models other than independent flips, and sweeps: from an experiment file to records that come out again.

use crate::program::{experiment, prepare, succeed, workshop, zerospace};

#[test]
fn trials_of_every_fault_model_come_out_again() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let models = r#"fault_model = [
        "fixed-count", "burst:length=2-4,distance=1", "stuck-at:value=1", "asymmetric:share=0.9",
        "accumulate:hours=6,scrub=2", "accumulate:hours=6", "per-bit:bit=6", "burst:distance=64,length=2,tensor=linear.weight",
        "dram:chip=0.5,single-bit=20",
        "burst:length=4,distance=1,interleave=64"
    ]"#;
    let text = experiment(3).replace("fault_model = \"bernoulli\"", models).replace("0.0, 1e-5, 1e-3, ", "");
    std::fs::write(folder.join("x.toml"), text).unwrap();
    let plan = succeed(folder, &["plan", "x.toml"]);
    for shown in [
        "bernoulli:bit=6 ",
        "burst:length=2,distance=64,tensor=linear.weight ",
        "dram:single-bit=20,chip=0.5 ",
        "burst:length=4,distance=1,interleave=64 ",
        "40 cells x 3 trials",
    ] {
        assert!(plan.contains(shown), "{shown}: {plan}");
    }
    succeed(folder, &["run", "x.toml"]);
    // A fixed count is the count that happens, in every trial.
    let rows = records::read_trials(&folder.join("runs/x/trials.parquet")).unwrap();
    for row in rows.iter().filter(|row| row.fault_model == design::FaultKind::FixedCount.into()) {
        let line = plan.lines().find(|line| line.contains(row.cell.as_str())).unwrap();
        let flips = row.record.flips_data + row.record.flips_check;
        assert!(line.contains(&format!(" exactly {flips} |")), "{flips}: {line}");
    }
    assert_eq!(plan.lines().filter(|line| line.contains(" exactly ")).count(), 4, "{plan}");
    // Each is computed anew, and word by word.
    let verified = zerospace(folder, &["verify", "x.toml", "--sample", "120", "--seed", "1"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stderr.contains("120 of 120 stored trials came out the same"), "{}", verified.stderr);
    for line in plan.lines().filter(|line| line.contains("e-2 ")) {
        let cell = line.trim_matches(['|', ' ']).split(' ').next().unwrap();
        let said = zerospace(folder, &["replay", "x.toml", cell, "2"]);
        assert_eq!(said.code, 0, "{line}: {}", said.stderr);
        assert!(said.stderr.contains("the stored record is the same"), "{}", said.stderr);
    }
    let report = std::fs::read_to_string(folder.join("runs/x/report.md")).unwrap();
    assert!(
        report.contains("](accuracy-vs-rate.svg)")
            && report.contains("**thin**, stuck-at:value=1 (rate: share of bits that are stuck),"),
        "{report}"
    );
}

#[test]
fn a_sweep_ends_in_a_ranking_and_a_heat_map() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let text = experiment(2).replace("\"bernoulli\"\n", "\"bernoulli\"\nsweep = [\"bit\", \"tensor\"]\n");
    let text = text.replace("0.0, 1e-5, 1e-3, ", "").replace(", \"zero\", \"ecc\", \"in-place\"", "");
    std::fs::write(folder.join("x.toml"), text).unwrap();
    let said = succeed(folder, &["run", "x.toml"]);
    assert!(
        said.contains("**thin**, faulty, bernoulli at 1e-2:") && said.contains("sensitivity.png"),
        "{said}"
    );
    let csv = std::fs::read_to_string(folder.join("runs/x/sensitivity.csv")).unwrap();
    // 20 tensors of a ResNet-20 (its shortcuts have none), 8 bits; the last tensor has 10 x 32 weights.
    assert_eq!(csv.lines().count(), 1 + 20 * 8);
    let last = csv.lines().find(|line| line.contains(",linear.weight,7,")).unwrap();
    assert!(last.contains(",linear.weight,7,320,2,"), "{last}");
    assert!(!folder.join("runs/x/accuracy-vs-rate.svg").exists());
}

#[test]
fn failures_in_time_become_rates() {
    let folder = tempfile::tempdir().unwrap();
    let said = succeed(folder.path(), &["fit", "--fit-per-mbit", "1000", "--hours", "8760", "--ber", "1e-6"]);
    // 1000 / (1e9 x 2^20), and ln 1 / (1 - 2e-6) / 2 of it.
    for part in ["9.5367e-13", "8.3542e-9", "| 1e-6 |", "1.0486e6", "| years of 8,766 h |", "1.1962e2"] {
        let squeezed = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(part), "{part}: {said}");
    }
    for (arguments, message) in [
        (["--fit-per-mbit", "0", "--hours", "1"], "--fit-per-mbit: 0 FIT, expected a positive number"),
        (["--fit-per-mbit", "1", "--hours", "inf"], "--hours: inf, expected a number from 0 on"),
    ] {
        let said = zerospace(folder.path(), &[&["fit"], &arguments[..]].concat());
        assert_eq!((said.code, said.stderr.trim_end()), (2, &*format!("error: {message}")));
    }
}
