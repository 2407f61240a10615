//! The files that `submit` writes, without a cluster.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{command, experiment, prepare, said, say, succeed, workshop, zerospace};

const SLURM: [&str; 6] = ["submit", "x.toml", "--engine", "slurm", "--shards", "7"];
const KUBERNETES: [&str; 12] = [
    "submit",
    "x.toml",
    "--engine",
    "kubernetes",
    "--shards",
    "7",
    "--out",
    "runs/x",
    "--image",
    "r.example/z:0.1",
    "--claim",
    "campaigns",
];

fn text(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn slurm_files_say_what_was_asked_and_a_dry_run_writes_nothing() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let plain = succeed(folder, &[&SLURM[..], &["--dry-run"]].concat());
    assert!(!folder.join("runs").exists());
    let (shards, finish) = plain.split_once("==> runs/x/slurm/finish.sbatch\n").unwrap();
    assert!(shards.starts_with("==> runs/x/slurm/shards.sbatch\n#!/bin/bash\n"), "{shards}");
    let run = folder.canonicalize().unwrap().join("runs/x").display().to_string();
    for line in [
        "#SBATCH --array=0-6",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR1@120",
        "#SBATCH --open-mode=append",
        "#SBATCH --cpus-per-task=1",
        &format!("#SBATCH --output={run}/slurm/shard-%a.log"),
    ] {
        assert!(shards.lines().any(|found| found == line), "{line}\n{shards}");
    }
    // Directives end where the first command begins; the last line is the program, in the shell's place.
    let last = shards.trim_end().lines().last().unwrap();
    assert!(
        last.starts_with("exec /") && last.ends_with(" --threads 1 --shard \"$SLURM_ARRAY_TASK_ID/7\""),
        "{last}"
    );
    assert!(last.contains(&format!(
        "zerospace run {}/x.toml --out {run} --data ",
        folder.canonicalize().unwrap().display()
    )));
    assert!(finish.contains("--dependency=\"afterany:") && !finish.contains("afterok"), "{finish}");
    // What each option adds or changes, in both files or in the shards' alone.
    for (option, line, both) in [
        (&["--time", "01:30:00"][..], "#SBATCH --time=01:30:00", true),
        (&["--time", "1-00:00:00"], "#SBATCH --time=1-00:00:00", true),
        (&["--time", "90"], "#SBATCH --time=90", true),
        (&["--partition", "short"], "#SBATCH --partition=short", true),
        (&["--account", "dnn"], "#SBATCH --account=dnn", true),
        (&["--sbatch-arg", "--mem=4G"], "#SBATCH --mem=4G", true),
        (&["--threads", "3"], "#SBATCH --cpus-per-task=3", false),
        (&["--max-running", "2"], "#SBATCH --array=0-6%2", false),
    ] {
        let shown = succeed(folder, &[&SLURM[..], &["--dry-run"], option].concat());
        assert!(!plain.contains(line));
        assert_eq!(
            shown.lines().filter(|found| *found == line).count(),
            1 + usize::from(both),
            "{line}\n{shown}"
        );
    }
    for (name, file) in [("shards", shards.split_once('\n').unwrap().1), ("finish", finish)] {
        std::fs::write(folder.join(name), file).unwrap();
        let checked = Command::new("bash").arg("-n").arg(folder.join(name)).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn what_cannot_be_submitted_is_named() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let refused = |arguments: &[&str], more: &[&str], message: &str| {
        let said = zerospace(folder, &[arguments, more].concat());
        assert!(said.code == 2 && said.stderr.contains(message), "{}", said.stderr);
        assert!(!folder.join("runs").exists());
    };
    refused(
        &SLURM,
        &["--time", "1h"],
        "expected minutes, minutes:seconds, hours:minutes:seconds, days-hours",
    );
    refused(
        &SLURM,
        &["--time", "00:04:59"],
        "expected at least 5 minutes: shards are warned 2 minutes before its end",
    );
    refused(&SLURM, &["--image", "z"], "error: --image is for --engine kubernetes\n");
    refused(&SLURM, &["--out", "a b"], "a b, expected a path without spaces");
    refused(&SLURM[..5], &["17"], "error: --shards is 17, expected at most 16, the units of the plan\n");
    refused(&SLURM, &["--sbatch-arg", "--mem=4G\nrm"], "expected an option of sbatch in one line");
    refused(&KUBERNETES[..10], &[], "--claim <NAME>");
    refused(&KUBERNETES, &["--account", "a"], "error: --account is for --engine slurm\n");
    let message = "error: --time is for --engine slurm; a Kubernetes job runs until it is done\n";
    refused(&KUBERNETES, &["--time", "1-0"], message);
    let message = "error: --time is for --engine slurm; GNU parallel has `parallel --timeout SECONDS`\n";
    refused(&[&SLURM[..3], &["parallel", "--shards", "7"]].concat(), &["--time", "1-0"], message);
    refused(
        &KUBERNETES,
        &["--data", "/data"],
        "error: --data is /data, expected a path relative to the claim",
    );
    std::fs::remove_file(folder.join("net.safetensors")).unwrap();
    refused(&SLURM, &[], "error: net.safetensors: No such file");

    // Where there is no Slurm, that is said; the files are there to look at.
    prepare(folder, 3);
    let said = said(command(folder, &SLURM).env("PATH", "/nowhere").output().unwrap());
    assert_eq!(said.code, 1);
    assert!(said.stderr.starts_with("error: sbatch (--dry-run only shows the files"), "{}", said.stderr);
    assert!(folder.join("runs/x/slurm/shards.sbatch").is_file());
}

/// With a stand-in for sbatch that notes how it was called and gives every job the id 7.
#[test]
fn the_job_behind_the_shards_submits_what_is_unfinished_as_long_as_it_helps() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let sbatch = folder.join("bin/sbatch");
    std::fs::create_dir(folder.join("bin")).unwrap();
    let calls = folder.join("calls");
    std::fs::write(&sbatch, format!("#!/bin/sh\necho \"$@\" >> '{}'\necho '7;cluster'\n", calls.display()))
        .unwrap();
    std::fs::set_permissions(&sbatch, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let slurm = folder.canonicalize().unwrap().join("run/slurm");
    let finish = |stored: usize| {
        let mut bash = Command::new("bash");
        bash.arg(slurm.join("finish.sbatch")).arg(stored.to_string()).current_dir(folder).env("PATH", &path);
        let _ = std::fs::remove_file(&calls);
        let said = said(bash.output().unwrap());
        (said.code, said.stderr, std::fs::read_to_string(&calls).unwrap_or_default())
    };
    let behind = |stored: usize| {
        format!("--parsable --dependency=afterany:7 {} {stored}\n", slurm.join("finish.sbatch").display())
    };
    let shards = slurm.join("shards.sbatch").display().to_string();

    let mut submit = command(folder, &[&SLURM[..], &["--out", "run", "--max-running", "2"]].concat());
    let submitted = said(submit.env("PATH", &path).output().unwrap());
    assert_eq!(submitted.stdout, "shards 7;cluster\nfinish 7;cluster\n", "{}", submitted.stderr);
    let calls = std::fs::read_to_string(&calls).unwrap();
    assert_eq!(
        calls,
        "--parsable run/slurm/shards.sbatch\n\
         --parsable --dependency=afterany:7 run/slurm/finish.sbatch 0\n"
    );

    // No shard has come so far as to begin the run.
    let (code, message, calls) = finish(0);
    assert!((code, calls.as_str()) == (1, "") && message.contains("run/manifest.json"), "{message}{calls}");
    // Two have ended, the others did not: these go on.
    for shard in ["0/7", "4/7"] {
        succeed(folder, &["run", "x.toml", "--out", "run", "--shard", shard]);
    }
    // Of three trials each.
    let stored = 3 * std::fs::read_dir(folder.join("run/parts")).unwrap().count();
    let (code, message, calls) = finish(0);
    assert_eq!(
        (code, calls),
        (0, format!("--parsable --array=1,2,3,5,6%2 {shards}\n{}", behind(stored))),
        "{message}"
    );
    // Nothing came of that.
    let (code, message, calls) = finish(stored);
    assert!(
        (code, calls.as_str()) == (5, "") && message.contains("the last round has stored nothing"),
        "{message}"
    );
    // All are there.
    for shard in 0..7 {
        succeed(folder, &["run", "x.toml", "--out", "run", "--shard", &format!("{shard}/7")]);
    }
    let (code, message, calls) = finish(stored);
    assert_eq!((code, calls.as_str()), (0, ""), "{message}");
    assert!(folder.join("run/trials.parquet").exists() && folder.join("run/report.md").exists());

    // With more trials the run is not complete, though nobody has extended it yet; a finished trial is progress, though
    // no unit is stored.
    std::fs::write(folder.join("x.toml"), experiment(8)).unwrap();
    let said = zerospace(folder, &["status", "x.toml", "--out", "run", "--unfinished-shards", "7"]);
    assert_eq!((said.code, said.stdout.as_str()), (5, "0,1,2,3,4,5,6\n"), "{}", said.stderr);
    let (code, message, calls) = finish(0);
    assert!(code == 0 && calls.starts_with("--parsable --array=0,1,2,3,4,5,6%2 "), "{message}{calls}");
    succeed(folder, &["run", "x.toml", "--out", "run", "--shard", "0/1"]);
    let (code, message, _) = finish(0);
    assert_eq!(code, 0, "{message}");
    let rows = records::read_trials(&folder.join("run/trials.parquet")).unwrap();
    assert_eq!(rows.len(), 16 * 8);
}

/// Runs the lines as a shell would; GNU parallel does nothing else.
#[test]
fn the_commands_for_parallel_make_a_whole_run() {
    let workshop = workshop();
    // Its name is one that a shell would take apart.
    let folder = &workshop.path().join("it's a run");
    std::fs::create_dir(folder).unwrap();
    for entry in ["data", "float.safetensors"] {
        std::fs::rename(workshop.path().join(entry), folder.join(entry)).unwrap();
    }
    prepare(folder, 3);
    succeed(folder, &["run", "x.toml", "--out", "reference"]);
    let file =
        succeed(folder, &["submit", "x.toml", "--engine", "parallel", "--shards", "5", "--threads", "2"]);
    assert_eq!(file, "runs/x/parallel/shards.txt\n");
    let commands = text(folder, "runs/x/parallel/shards.txt");
    assert_eq!(commands.lines().count(), 5);
    for line in commands.lines().rev() {
        assert_eq!(zerospace(folder, &["merge", "runs/x"]).code, if line.ends_with("4/5") { 1 } else { 5 });
        assert!(line.contains(" --threads 2 "), "{line}");
        let done = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    succeed(folder, &["merge", "runs/x"]);
    let records = |run: &str| std::fs::read(folder.join(run).join("trials.parquet")).unwrap();
    assert!(records("runs/x") == records("reference"));
}

#[test]
fn the_manifest_for_kubernetes_is_an_indexed_job() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let file = succeed(folder, &[&KUBERNETES[..], &["--max-running", "3", "--threads", "2"]].concat());
    assert_eq!(file, "runs/x/kubernetes/job.yaml\n");
    let yaml = text(folder, "runs/x/kubernetes/job.yaml");
    let job = read_yaml(&yaml);
    let spec = &job["spec"];
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];
    let volume = &pod["volumes"][0];
    let rules = spec["podFailurePolicy"]["rules"].as_array().unwrap();
    for (found, expected) in [
        (&job["apiVersion"], "batch/v1"),
        (&job["kind"], "Job"),
        (&job["metadata"]["name"], "zerospace-x"),
        (&spec["completionMode"], "Indexed"),
        (&spec["completions"], "7"),
        (&spec["parallelism"], "3"),
        (&spec["backoffLimit"], "42"),
        (&rules[0]["action"], "Ignore"),
        (&rules[0]["onExitCodes"]["values"], "[75]"),
        (&rules[0]["onExitCodes"]["containerName"], "shard"),
        (&rules[1]["onPodConditions"][0]["type"], "DisruptionTarget"),
        (&rules[2]["action"], "FailJob"),
        (&rules[2]["onExitCodes"]["values"], "[2, 4, 6]"),
        (&pod["restartPolicy"], "Never"), // what a podFailurePolicy needs
        (&container["name"], "shard"),
        (&container["image"], "r.example/z:0.1"),
        (&container["command"], "[\"zerospace\"]"),
        (&container["resources"]["requests"]["cpu"], "2"),
        (&container["workingDir"], "/campaign"),
        (&container["volumeMounts"][0]["mountPath"], "/campaign"),
        (&container["volumeMounts"][0]["name"], volume["name"].as_str().unwrap()),
        (&volume["persistentVolumeClaim"]["claimName"], "campaigns"),
    ] {
        assert_eq!(found, expected, "{yaml}");
    }
    let expected = ["run", "x.toml", "--out", "runs/x", "--data", "data", "--threads", "2", "--shard"];
    let arguments: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    assert_eq!(arguments[..9], expected);
    assert_eq!(arguments[9], "$(JOB_COMPLETION_INDEX)/7");

    // Kubernetes' own reader, where there is one; it needs no cluster for this.
    let local = ["label", "--local", "-f", "runs/x/kubernetes/job.yaml", "-o", "json", "checked=yes"];
    match Command::new("kubectl").args(local).current_dir(folder).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let read: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(read["spec"]["completionMode"], "Indexed");
            assert_eq!(read["spec"]["completions"], 7);
            let policy = &read["spec"]["podFailurePolicy"]["rules"];
            assert_eq!(policy[2]["onExitCodes"]["values"], serde_json::json!([2, 4, 6]));
            assert_eq!(
                read["spec"]["template"]["spec"]["containers"][0]["args"][9],
                "$(JOB_COMPLETION_INDEX)/7"
            );
        }
        Err(_) => say("SKIPPED the manifest read by kubectl: it is not installed"),
    }
}

/// Reads as much of YAML as a manifest of ours needs: mappings and lists by indentation; every scalar is text.
fn read_yaml(text: &str) -> Value {
    let lines: Vec<(usize, String)> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
        .map(|line| (line.len() - line.trim_start().len(), line.trim().to_string()))
        .collect();
    let (value, rest) = read_block(&lines);
    assert!(rest.is_empty(), "{rest:?}");
    value
}

/// The block that begins with the first line, and the lines behind it.
fn read_block(lines: &[(usize, String)]) -> (Value, &[(usize, String)]) {
    let indent = lines[0].0;
    let scalar = |text: &str| Value::from(text.trim_matches('"'));
    let mut rest = lines;
    let (mut list, mut mapping) = (Vec::new(), serde_json::Map::new());
    while let Some((depth, line)) = rest.first().filter(|(depth, _)| *depth >= indent) {
        assert_eq!(*depth, indent, "{line}");
        if let Some(item) = line.strip_prefix("- ") {
            // An item is a block that begins two columns further right.
            let end = rest[1..].iter().position(|(depth, _)| *depth <= indent).map_or(rest.len(), |n| n + 1);
            let mut block = rest[..end].to_vec();
            block[0] = (indent + 2, item.into());
            let is_mapping = !item.starts_with('"') && item.contains(':');
            list.push(if is_mapping { read_block(&block).0 } else { scalar(item) });
            rest = &rest[end..];
        } else {
            let (key, value) = line.split_once(':').unwrap();
            rest = &rest[1..];
            let value = match value.trim() {
                "" => {
                    let (value, behind) = read_block(rest);
                    rest = behind;
                    value
                }
                text => scalar(text),
            };
            assert!(mapping.insert(key.into(), value).is_none(), "{key} twice");
        }
    }
    (if list.is_empty() { Value::Object(mapping) } else { Value::Array(list) }, rest)
}
