//! `zerospace replay` and `zerospace verify`: records that come out again, and those that do not.

use std::path::{Path, PathBuf};

use design::TrialRecord;
use records::Part;

use crate::program::{prepare, root, succeed, workshop, zerospace};

/// The stored parts of a run, with their paths.
fn parts(run: &Path) -> Vec<(PathBuf, Part)> {
    let files = std::fs::read_dir(run.join("parts")).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), Part::from_bytes(&std::fs::read(path).unwrap()).unwrap())).collect()
}

/// The cells of a Markdown table's rows, from the line after its header named by `first_column`.
fn rows<'a>(text: &'a str, first_columns: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().skip_while(|line| !squeezed(line).starts_with(first_columns)).skip(2);
    let table = lines.take_while(|line| line.starts_with('|'));
    table.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_trial_is_replayed_flip_by_flip_to_its_stored_record() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    succeed(folder, &["run", "x.toml"]);
    let mut outcomes = std::collections::BTreeSet::new();
    for (_, part) in parts(&folder.join("runs/x")) {
        let id = part.cell.id();
        for stored in &part.trials {
            let said =
                zerospace(folder, &["replay", "x.toml", &id.as_str()[..12], &stored.trial.to_string()]);
            assert_eq!(said.code, 0, "{}", said.stderr);
            assert!(said.stderr.contains("the stored record is the same"), "{}", said.stderr);
            let shown: TrialRecord = serde_json::from_str(said.stdout.lines().last().unwrap()).unwrap();
            assert_eq!(shown, *stored);

            let flips = rows(&said.stdout, "| word | cell of |");
            assert_eq!(flips.len() as u64, stored.flips_data + stored.flips_check);
            let in_check = flips.iter().filter(|row| row[1] == "check bits").count() as u64;
            assert_eq!(in_check, stored.flips_check);
            for row in flips.iter().filter(|row| row[1] != "check bits") {
                let bits = |text: &str| {
                    let (value, bits) = text.split_once(' ').unwrap();
                    let byte = u8::from_str_radix(bits, 2).unwrap();
                    assert_eq!(value.parse::<i8>().unwrap(), byte.cast_signed());
                    byte
                };
                let bit: u32 = row[2].parse().unwrap();
                assert_eq!(bits(row[3]) ^ bits(row[4]), 1 << bit, "{row:?}");
            }
            let words = rows(&said.stdout, "| word | from |");
            assert_eq!(words.len() as u64, stored.words_hit);
            let with = |outcome: &str| words.iter().filter(|row| row[4] == outcome).count() as u64;
            assert_eq!(with("corrected"), stored.corrected);
            assert_eq!(with("detected"), stored.detected);
            assert_eq!(with("miscorrected"), stored.miscorrected);
            assert_eq!(with("silent"), stored.silent);
            for row in words {
                assert_eq!(row[4] == "silent" || row[4] == "harmless", row[3] == "0x00", "{row:?}");
                if let "corrected" | "harmless" = row[4] {
                    assert_eq!(row[6], "the same");
                }
                outcomes.insert(row[4].to_string());
            }
        }
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["corrected", "detected", "miscorrected", "silent"]);
}

#[test]
fn a_replay_needs_a_cell_and_no_stored_records() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    for (cell, complaint) in [("", "several cells' ids begin with"), ("xyz", "no cell's id begins with")] {
        let said = zerospace(folder, &["replay", "x.toml", cell, "0"]);
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains(complaint) && said.stderr.contains("in-place-64-57"), "{}", said.stderr);
    }
    let plan = succeed(folder, &["plan", "x.toml"]);
    let cell = rows(&plan, "| cell |")[0][0];
    let said = zerospace(folder, &["replay", "x.toml", cell, "1000000"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("runs/x: no record of this trial"), "{}", said.stderr);
}

#[test]
fn a_record_that_does_not_come_out_again_is_exit_6_and_shows_both() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    succeed(folder, &["run", "x.toml"]);
    let all = ["verify", "x.toml", "--sample", "1000000"];
    let said = zerospace(folder, &all);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("48 of 48 stored trials came out the same"), "{}", said.stderr);
    let few = zerospace(folder, &["verify", "x.toml", "--sample", "5", "--seed", "3"]);
    assert!(few.stderr.contains("5 of 48 stored trials came out the same"), "{}", few.stderr);
    assert_eq!(
        rows(&few.stdout, "| cell |").iter().map(|row| row[5].parse::<u64>().unwrap()).sum::<u64>(),
        5
    );

    // As a machine would store it that computes one prediction differently.
    let (path, mut part) = parts(&folder.join("runs/x")).pop().unwrap();
    part.trials[1].correct ^= 1;
    std::fs::write(path, part.to_bytes()).unwrap();
    let id = part.cell.id().to_string();
    for verb in [&all[..], &["replay", "x.toml", &id, &part.trials[1].trial.to_string()]] {
        let said = zerospace(folder, verb);
        assert_eq!(said.code, 6, "{}", said.stderr);
        let correct = |correct: u64| format!("\"correct\":{correct},");
        let both = format!("{}{}", said.stdout, said.stderr);
        for shown in [correct(part.trials[1].correct), correct(part.trials[1].correct ^ 1)] {
            assert!(both.contains(&shown), "expected {shown} in {both}");
        }
    }
    let other = std::fs::read_to_string(folder.join("x.toml")).unwrap().replace("seed = 5", "seed = 6");
    std::fs::write(folder.join("x.toml"), other).unwrap();
    assert_eq!(zerospace(folder, &all).code, 4);
}

/// A lossy protection changes weights in every trial, words that were not hit included.
#[test]
fn storage_losses_are_said_recorded_and_come_out_again() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let lossy = std::fs::read_to_string(folder.join("x.toml")).unwrap();
    let lossy = lossy.replace(r#"["faulty", "zero", "ecc", "in-place"]"#, r#"["weight-nulling"]"#);
    std::fs::write(folder.join("x.toml"), lossy).unwrap();
    succeed(folder, &["run", "x.toml"]);
    let verified = zerospace(folder, &["verify", "x.toml", "--sample", "1000"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stderr.contains("12 of 12 stored trials came out the same"), "{}", verified.stderr);
    for (_, part) in parts(&folder.join("runs/x")) {
        let id = part.cell.id();
        for stored in &part.trials {
            let said = succeed(folder, &["replay", "x.toml", id.as_str(), &stored.trial.to_string()]);
            let losses = said.lines().nth(1).unwrap();
            let (losses, rest) = losses.split_once(' ').unwrap();
            assert_eq!(rest, "weights change by being stored; words are compared with what was stored");
            let losses: u64 = losses.parse().unwrap();
            // About half of all weights have an odd parity. A word that was hit may read as the network has it.
            assert!((stored.weights_changed + stored.words_hit) >= losses && losses > 20_000, "{losses}");
            assert!(part.cell.rate.get() > 0.0 || stored.weights_changed == losses);
            for word in rows(&said, "| word | from |") {
                assert_eq!(word[4], if word[3] == "0x00" { "silent" } else { "detected" }, "{word:?}");
            }
        }
    }
}

/// Entries of an exception list are hit, counted, shown and verified as words are.
#[test]
fn a_network_with_large_weights_runs_with_an_exception_list_that_is_hit_too() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let quantize =
        "quantize float.safetensors --arch resnet20 --width 0.5 --calibration-images 8 -o net.safetensors";
    succeed(folder, &quantize.split(' ').collect::<Vec<_>>());
    let refused = zerospace(folder, &["plan", "x.toml"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("in-place-64-57 cannot store thin"), "{}", refused.stderr);
    let listed = std::fs::read_to_string(folder.join("x.toml")).unwrap();
    let listed = listed.replace(r#"["faulty", "zero", "ecc", "in-place"]"#, r#"["in-place-list"]"#);
    std::fs::write(folder.join("x.toml"), listed).unwrap();

    let plan = succeed(folder, &["plan", "x.toml"]);
    for row in rows(&plan, "| cell |") {
        let [data, check] = [5, 6].map(|column| row[column].parse::<u64>().unwrap());
        assert!(check > 0 && check.is_multiple_of(72) && check < data, "{row:?}");
        assert_eq!(row[8], "unknown");
    }
    succeed(folder, &["run", "x.toml"]);
    let verified = zerospace(folder, &["verify", "x.toml", "--sample", "1000"]);
    assert!(verified.stderr.contains("12 of 12 stored trials came out the same"), "{}", verified.stderr);
    let mut outcomes = std::collections::BTreeSet::new();
    for (_, part) in parts(&folder.join("runs/x")) {
        let id = part.cell.id();
        for stored in &part.trials {
            // Weights that are listed are no loss.
            assert!(part.cell.rate.get() > 0.0 || stored.weights_changed + stored.words_hit == 0);
            let said = zerospace(folder, &["replay", "x.toml", id.as_str(), &stored.trial.to_string()]);
            assert_eq!(said.code, 0, "{}", said.stderr);
            let flips = rows(&said.stdout, "| word | cell of |");
            let in_list = |place: &str| place == "check bits" || place.starts_with("exception list[");
            assert_eq!(flips.iter().filter(|row| in_list(row[1])).count() as u64, stored.flips_check);
            assert_eq!(flips.len() as u64, stored.flips_data + stored.flips_check);
            let words = rows(&said.stdout, "| word | from |");
            assert_eq!(words.len() as u64, stored.words_hit);
            outcomes.extend(words.iter().filter(|row| in_list(row[1])).map(|row| row[4].to_string()));
        }
    }
    assert!(outcomes.contains("corrected") && outcomes.contains("detected"), "{outcomes:?}");
}

/// The records that the repository publishes, on the machine that runs this.
#[test]
fn published_records_come_out_again() {
    for (experiment, stored) in [("reproduce", 480), ("rare-events", 9_600)] {
        let (file, out) = (format!("experiments/{experiment}.toml"), format!("results/{experiment}"));
        let verify = ["verify", &file, "--out", &out, "--sample", "60", "--seed", "1"];
        let said = zerospace(&root(), &verify);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let all = format!("60 of {stored} stored trials came out the same");
        assert!(said.stderr.contains(&all), "{}", said.stderr);
    }
}
