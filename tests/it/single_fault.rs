//! Campaigns of single faults, as their users run them.

use std::fs;
use std::path::Path;

use crate::program::{root, succeed, zerospace};

/// Writes an experiment on a committed network and few images.
fn write(folder: &Path, name: &str, more: &str) {
    let network = root().join("experiments/networks/resnet18-synthetic.safetensors");
    let text = format!(
        "name = \"few\"\ntitle = \"Few faults\"\ndesign = \"single-fault\"\nseed = 3\n{more}\nunit_faults = 100\n[[model]]\nlabel \
         = \"resnet18\"\ncheckpoint = {network:?}\n[data]\nset = \"synthetic\"\nsplit = \"test\"\nimages = 3\n"
    );
    fs::write(folder.join(name), text).unwrap();
}

/// Shards, a resume after a lost and after a damaged part, and one run in one go end in the same records and report.
#[test]
fn a_campaign_of_single_faults_is_a_function_of_its_plan() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "x.toml", "strata = \"bit\"\nmargin = 0.1");
    let printed = succeed(folder, &["run", "x.toml", "--out", "whole", "--threads", "2"]);
    assert!(printed.contains("faults.parquet\n") && printed.contains("Most critical strata:"), "{printed}");
    let table = |run: &str| fs::read(folder.join(run).join("faults.parquet")).unwrap();
    let report = |run: &str| fs::read_to_string(folder.join(run).join("report.md")).unwrap();

    for shard in ["0/2", "1/2"] {
        succeed(folder, &["run", "x.toml", "--out", "shards", "--shard", shard, "--threads", "1"]);
        let code = zerospace(folder, &["status", "shards"]).code;
        assert_eq!(code, if shard == "0/2" { 5 } else { 0 });
    }
    // Of the eight bits 96 faults each: 768 in 8 units.
    let parts = folder.join("shards/parts");
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 8);
    fs::remove_file(parts.join("faults-00000001.jsonl")).unwrap();
    let damaged = parts.join("faults-00000002.jsonl");
    let text = fs::read_to_string(&damaged).unwrap();
    fs::write(&damaged, text.replacen(",0]", ",1]", 1).replacen(",0,", ",1,", 1)).unwrap();
    assert_eq!(zerospace(folder, &["merge", "shards"]).code, 5);
    let said = zerospace(folder, &["run", "x.toml", "--out", "shards"]);
    assert!(said.stderr.contains("6 units were there, 2 computed"), "{}", said.stderr);
    assert_eq!(table("shards"), table("whole"));
    succeed(folder, &["report", "whole", "--out", "report-of-whole"]);
    assert_eq!(report("shards"), report("whole"));
    assert_eq!(report("report-of-whole"), report("whole"));
    let html = fs::read_to_string(folder.join("whole/report.html")).unwrap();
    assert!(
        html.contains("zerospace verify x.toml --out DIR") && html.contains("<svg"),
        "the page has its figure"
    );

    // Full passes find the same records, also from the merged table alone.
    fs::remove_dir_all(folder.join("whole/parts")).unwrap();
    let said = zerospace(folder, &["verify", "x.toml", "--out", "whole", "--sample", "30", "--seed", "1"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("30 of 768 stored faults came out the same"), "{}", said.stderr);
    assert_eq!(zerospace(folder, &["status", "whole"]).code, 0);

    // Another plan in the same directory is refused, and so is another command.
    write(folder, "y.toml", "strata = \"bit\"\nmargin = 0.2");
    let said = zerospace(folder, &["run", "y.toml", "--out", "whole"]);
    assert!(
        said.code != 0 && said.stderr.contains("this run was started with another plan: faults is"),
        "{}",
        said.stderr
    );
    let said = zerospace(folder, &["plan", "x.toml"]);
    assert!(
        said.code != 0 && said.stderr.contains("`design` is \"single-fault\", expected no such key"),
        "{}",
        said.stderr
    );
}
