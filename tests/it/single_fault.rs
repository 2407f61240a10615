//! Campaigns of single faults, as their users run them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::json::document;
use crate::program::{command, root, said, succeed, zerospace};

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
    assert!(report("whole").contains("Reproduce with `zerospace run x.toml`."), "{}", report("whole"));

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

/// The commands for GNU parallel, run one after the other, make the same campaign.
#[test]
fn shards_for_parallel_make_a_whole_campaign() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "x.toml", "strata = \"bit\"\nmargin = 0.2");
    let refused = zerospace(folder, &["submit", "x.toml", "--engine", "parallel", "--shards", "3"]);
    assert!(
        refused.code == 2
            && refused.stderr.contains("--shards is 3, expected at most 2, the units of the plan"),
        "{}",
        refused.stderr
    );
    succeed(folder, &["submit", "x.toml", "--engine", "parallel", "--shards", "2"]);
    for line in fs::read_to_string(folder.join("runs/few/parallel/shards.txt")).unwrap().lines() {
        let ran = Command::new("sh").args(["-c", line]).current_dir(folder).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    succeed(folder, &["merge", "runs/few"]);
    succeed(folder, &["run", "x.toml", "--out", "whole"]);
    let table = |run: &str| fs::read(folder.join(run).join("faults.parquet")).unwrap();
    assert_eq!(table("runs/few"), table("whole"));

    let said = zerospace(folder, &["replay", "x.toml", "3f2a", "0"]);
    assert!(
        said.code == 2 && said.stderr.contains("`zerospace verify` recomputes its record"),
        "{}",
        said.stderr
    );
}

/// The Slurm job behind the shards, with a stand-in for sbatch that notes how it was called.
#[test]
fn a_slurm_job_goes_on_with_unfinished_shards_of_a_campaign() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "x.toml", "strata = \"bit\"\nmargin = 0.12");
    let (bin, calls) = (folder.join("bin"), folder.join("calls"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("sbatch"), format!("#!/bin/sh\necho \"$@\" >> '{}'\necho 7\n", calls.display()))
        .unwrap();
    fs::set_permissions(bin.join("sbatch"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let submit = ["submit", "x.toml", "--engine", "slurm", "--shards", "3", "--out", "run"];
    let submitted = said(command(folder, &submit).env("PATH", &path).output().unwrap());
    assert_eq!(submitted.stdout, "shards 7\nfinish 7\n", "{}", submitted.stderr);

    succeed(folder, &["run", "x.toml", "--out", "run", "--shard", "1/3"]);
    let status = document(folder, &["status", "run"], 5);
    assert_eq!((&status["faults"], &status["needed_faults"]), (&200.into(), &536.into()));
    let unfinished = document(folder, &["status", "run", "--unfinished-shards", "3"], 5);
    assert_eq!(unfinished["unfinished"], serde_json::json!([0, 2]));
    let finish = folder.canonicalize().unwrap().join("run/slurm/finish.sbatch");
    let finished = |stored: &str| {
        let _ = fs::remove_file(&calls);
        let ran = said(
            Command::new("bash")
                .arg(&finish)
                .arg(stored)
                .current_dir(folder)
                .env("PATH", &path)
                .output()
                .unwrap(),
        );
        (ran.code, fs::read_to_string(&calls).unwrap_or_default(), ran.stderr)
    };
    let (code, called, message) = finished("0");
    assert!(code == 0 && called.contains("--array=0,2 ") && called.ends_with(" 200\n"), "{called}{message}");
    let (code, called, message) = finished("200");
    assert!(
        code == 5 && called.is_empty() && message.contains("the last round has stored nothing"),
        "{message}"
    );
    for shard in ["0/3", "2/3"] {
        succeed(folder, &["run", "x.toml", "--out", "run", "--shard", shard]);
    }
    let (code, called, message) = finished("200");
    assert!(code == 0 && called.is_empty(), "{called}{message}");
    assert!(folder.join("run/report.md").exists());
}
