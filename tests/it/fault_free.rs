//! What lossy protections leave of a network without faults: measured by a run, shown by its report.

use crate::program::{experiment, prepare, succeed, workshop, zerospace};

/// The workshop's experiment with an exact and a lossy protection at some rates.
fn lossy(name: &str, rates: &str) -> String {
    experiment(3)
        .replacen("name = \"x\"", &format!("name = \"{name}\""), 1)
        .replace(r#"["faulty", "zero", "ecc", "in-place"]"#, r#"["ecc", "weight-nulling"]"#)
        .replace("[0.0, 1e-5, 1e-3, 1e-2]", rates)
}

#[test]
fn a_run_measures_what_a_lossy_protection_leaves_without_faults() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    // At this rate words read back wrong in every trial, so that no record tells.
    std::fs::write(folder.join("x.toml"), lossy("x", "[1e-2]")).unwrap();
    std::fs::write(folder.join("zero.toml"), lossy("zero", "[0.0]")).unwrap();
    let text = succeed(folder, &["run", "x.toml"]);
    succeed(folder, &["run", "zero.toml"]);

    // The right value, by another way: a cell at rate 0.
    let cells = |run: &str| -> Vec<serde_json::Value> {
        let said = succeed(folder, &["report", &format!("runs/{run}"), "--format", "json"]);
        let document: serde_json::Value = serde_json::from_str(&said).unwrap();
        document["cells"].as_array().unwrap().clone()
    };
    let nulled = |run: &str| {
        let own = |cell: &&serde_json::Value| cell["protection"] == "weight-nulling";
        cells(run).iter().find(own).unwrap().clone()
    };
    let right = nulled("zero")["mean_percent"].as_f64().unwrap();
    assert_eq!(nulled("x")["fault_free_percent"].as_f64(), Some(right));
    let exact = &cells("x")[0];
    assert_eq!(exact["fault_free_percent"], exact["clean_percent"]);
    let drop = exact["clean_percent"].as_f64().unwrap() - right;
    let row = text.lines().find(|line| line.starts_with("| weight-nulling ")).unwrap();
    let shown: f64 = row.split('|').nth(3).unwrap().trim().parse().unwrap();
    assert!((shown - drop).abs() < 0.006 && text.contains("| fault-free |"), "{drop}: {text}");

    // Without the file nobody knows, and a report can measure it later; the records stay as they are.
    let file = folder.join("runs/x/fault-free.json");
    let measured = std::fs::read(&file).unwrap();
    let records = std::fs::read(folder.join("runs/x/trials.parquet")).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(nulled("x")["fault_free_percent"], serde_json::Value::Null);
    let report = std::fs::read_to_string(folder.join("runs/x/report.md")).unwrap();
    assert!(report.contains("| not measured |"), "{report}");
    succeed(folder, &["report", "runs/x", "--fault-free", "x.toml"]);
    assert_eq!(std::fs::read(&file).unwrap(), measured);
    assert_eq!(std::fs::read(folder.join("runs/x/trials.parquet")).unwrap(), records);
    let again = zerospace(folder, &["report", "runs/x", "--fault-free", "x.toml"]);
    assert!(!again.stderr.contains("under weight-nulling"), "measured twice: {}", again.stderr);

    // A file of another network, or one that contradicts the records, is no answer.
    let text = String::from_utf8(measured).unwrap();
    let network = text.split("\"network\": \"").nth(1).unwrap()[..64].to_string();
    std::fs::write(&file, text.replace(&network, &"0".repeat(64))).unwrap();
    let said = zerospace(folder, &["report", "runs/x"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains("runs/x/fault-free.json: thin under weight-nulling belongs to another network"),
        "{}",
        said.stderr
    );
    std::fs::write(&file, text.replace("\"fault_free_version\": 1", "\"fault_free_version\": 9")).unwrap();
    let said = zerospace(folder, &["report", "runs/x"]);
    assert!(said.stderr.contains("fault_free_version is 9, expected 1"), "{}", said.stderr);
    let zero = std::fs::read_to_string(folder.join("runs/zero/fault-free.json")).unwrap();
    let correct = zero.split("\"correct\": ").nth(1).unwrap().split(',').next().unwrap().to_string();
    let other = zero.replace(&format!("\"correct\": {correct},"), "\"correct\": 0,");
    assert_ne!(
        (other.as_str(), correct.as_str()),
        (zero.as_str(), "0"),
        "this network gets some images right"
    );
    std::fs::write(folder.join("runs/zero/fault-free.json"), other).unwrap();
    let said = zerospace(folder, &["report", "runs/zero"]);
    assert!(said.stderr.contains("but 0 was measured without faults"), "{}", said.stderr);
}

#[test]
fn names_of_the_papers_release_are_those_of_the_registry() {
    let table = std::fs::read_to_string(crate::program::root().join("crates/ecc/src/lib.rs")).unwrap();
    for protection in ecc::all() {
        let id = protection.id();
        let name = design::ProtectionName::new(id).unwrap().in_paper();
        if let Some(name) = name {
            assert_eq!(ecc::by_id(name).unwrap().id(), id, "{name}");
        }
        let row = table.lines().find_map(|line| line.strip_prefix(&format!("//! | `{id}` | ")));
        if let Some(row) = row {
            assert_eq!(row.split('|').next().unwrap().trim(), name.unwrap_or_default(), "{id}");
        }
    }
}

#[test]
fn a_title_with_a_control_character_is_refused() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let text = experiment(3);
    let title = text.lines().find(|line| line.starts_with("title = ")).unwrap();
    for hidden in ["\\u001b[31m", "\\u0000", "\\n", "\\u009b"] {
        std::fs::write(folder.join("x.toml"), text.replace(title, &format!("title = \"a{hidden}b\"")))
            .unwrap();
        let said = zerospace(folder, &["plan", "x.toml"]);
        assert_eq!(said.code, 2, "{hidden}: {}", said.stderr);
        assert!(
            said.stderr.contains("x.toml: `title` is \"a")
                && said.stderr.trim_end().ends_with("expected text without control characters"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains(|c: char| c.is_control() && c != '\n'), "{:?}", said.stderr);
    }
}
