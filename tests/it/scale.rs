//! A campaign of more cells than a manifest lists, as shards, merged and reported.

use std::fs;

use crate::program::{root, succeed, zerospace};

/// Cells: 168 tensors and bits x 98 rates.
const CELLS: usize = 168 * 98;

#[test]
fn a_large_plan_runs_in_shards_and_its_report_stays_small() {
    let workshop = tempfile::tempdir().unwrap();
    let folder = workshop.path();
    let network = root().join("experiments/networks/resnet18-synthetic.safetensors");
    fs::copy(network, folder.join("network.safetensors")).unwrap();
    let rates: Vec<String> = (1..=98).map(|i| format!("{i}e-7")).collect();
    let experiment = format!(
        "name = \"x\"\ntitle = \"Large\"\nseed = 1\ntrials = 1\nunit_trials = 1\nfault_model = \"bernoulli\"\n\
         sweep = [\"tensor\", \"bit\"]\nrates = [{}]\nprotections = [\"faulty\"]\n[[model]]\nlabel = \"resnet18\"\n\
         checkpoint = \"network.safetensors\"\n[data]\nset = \"synthetic\"\nsplit = \"test\"\nimages = 2\n",
        rates.join(", ")
    );
    fs::write(folder.join("x.toml"), experiment).unwrap();
    let plan = succeed(folder, &["plan", "x.toml"]);
    assert!(plan.contains(&format!("\n{} more cells; `--format json` shows all\n", CELLS - 1000)));
    assert!(plan.contains(&format!("{CELLS} cells x 1 trials = {CELLS} trials")), "{plan}");

    succeed(folder, &["run", "x.toml", "--shard", "0/2"]);
    let incomplete = zerospace(folder, &["merge", "runs/x"]);
    assert_eq!(incomplete.code, 5);
    let said = format!("incomplete: {} of {CELLS} units are missing", CELLS / 2);
    assert!(incomplete.stderr.contains(&said), "{}", incomplete.stderr);
    succeed(folder, &["run", "x.toml", "--shard", "1/2"]);
    let status = succeed(folder, &["status", "runs/x"]);
    assert!(status.ends_with(&format!("\n{CELLS} of {CELLS} trials\n")), "{status}");
    succeed(folder, &["merge", "runs/x"]);
    let report = succeed(folder, &["report", "runs/x"]);
    assert!(report.contains("runs/x/cells.csv"), "{report}");

    let run = folder.join("runs/x");
    let size = |name: &str| fs::metadata(run.join(name)).unwrap().len();
    assert!(size("manifest.json") < 100_000, "{} bytes", size("manifest.json"));
    assert!(size("report.md") < 100_000 && size("report.html") < 300_000);
    let cells = fs::read_to_string(run.join("cells.csv")).unwrap();
    assert_eq!(cells.lines().count(), 1 + CELLS);
    let text = fs::read_to_string(run.join("report.md")).unwrap();
    for part in [
        &format!("This run has {CELLS} cells and {CELLS} trials")[..],
        "## By tensor",
        "## Cells that lose most",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let json = succeed(folder, &["report", "runs/x", "--format", "json"]);
    assert!(json.contains(&format!("\"large\": {{\n    \"cells\": {CELLS},")), "{json}");
}
