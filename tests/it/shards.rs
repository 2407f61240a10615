//! A run in several processes.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::program::{Said, command, prepare, said, succeed, workshop, zerospace};

/// Trials of a run that is long enough to be stopped in its middle, also on a busy machine: 16 cells x 54 units.
pub(crate) const TRIALS: u64 = 160;
pub(crate) const UNITS: usize = 864;

pub(crate) fn merged(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("trials.parquet")).unwrap()
}

/// A workshop with an experiment, and its merged records from one run in one go.
pub(crate) fn with_reference(trials: u64) -> (tempfile::TempDir, Vec<u8>) {
    let workshop = workshop();
    prepare(workshop.path(), trials);
    succeed(workshop.path(), &["run", "x.toml", "--out", "reference"]);
    let reference = merged(&workshop.path().join("reference"));
    (workshop, reference)
}

pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn finish(child: Child) -> Said {
    said(child.wait_with_output().unwrap())
}

/// Number of parts that are stored.
pub(crate) fn stored(run: &Path) -> usize {
    let parts = std::fs::read_dir(run.join("parts")).into_iter().flatten();
    parts.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "jsonl")).count()
}

/// Waits until a run has stored something new.
pub(crate) fn wait_for_progress(child: &mut Child, run: &Path) {
    let before = stored(run);
    while stored(run) == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it stored anything");
        std::thread::yield_now();
    }
}

#[test]
fn shards_side_by_side_and_one_run_end_in_the_same_bytes() {
    let (workshop, reference) = with_reference(8);
    let folder = workshop.path();
    for count in [1, 2, 7] {
        let run = format!("of-{count}");
        // All at once, and of the first two copies, on different numbers of threads.
        let children: Vec<Child> = (0..count)
            .chain([0])
            .map(|index| {
                let (shard, threads) = (format!("{index}/{count}"), (1 + index % 3).to_string());
                start(folder, &["run", "x.toml", "--out", &run, "--shard", &shard, "--threads", &threads])
            })
            .collect();
        for (index, child) in children.into_iter().enumerate() {
            let said = finish(child);
            assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{}", said.stderr);
            let shard = format!("shard {}/{count}: ", index as u64 % count);
            assert!(said.but_progress().starts_with(&shard), "{}", said.stderr);
        }
        let run = folder.join(run);
        assert!(!run.join("trials.parquet").exists(), "merging is a step of its own");
        for _ in 0..2 {
            succeed(folder, &["merge", run.to_str().unwrap()]);
            assert_eq!(merged(&run), reference);
        }
        // Records are the same; the report says how to have them all again.
        succeed(folder, &["report", run.to_str().unwrap()]);
        let report = std::fs::read_to_string(run.join("report.md")).unwrap();
        assert!(report.contains("Reproduce with `zerospace run x.toml --data $DATA`, where"), "{report}");
        assert!(std::fs::read_dir(run.join("parts")).unwrap().count() == stored(&run), "nothing temporary");
    }
}

#[test]
fn a_killed_shard_is_named_and_made_up_for_by_any_other_division() {
    let (workshop, reference) = with_reference(TRIALS);
    let folder = workshop.path();
    let run = folder.join("run");
    succeed(folder, &["run", "x.toml", "--out", "run", "--shard", "0/3"]);
    let mut child = start(folder, &["run", "x.toml", "--out", "run", "--shard", "2/3"]);
    wait_for_progress(&mut child, &run);
    child.kill().unwrap();
    child.wait().unwrap();
    let (missing, done) = (UNITS - stored(&run), stored(&run));

    let status = zerospace(folder, &["status", "run", "--unfinished-shards", "3"]);
    assert_eq!((status.code, status.stdout.as_str()), (5, "1,2\n"));
    let merge = zerospace(folder, &["merge", "run"]);
    assert_eq!(merge.code, 5);
    let first = format!("incomplete: {missing} of {UNITS} units are missing; `zerospace run` resumes\n");
    assert!(merge.stderr.starts_with(&first), "{}", merge.stderr);
    assert!(
        merge.stderr.contains("missing: trials ") && merge.stderr.ends_with(" of 8 more cells\n"),
        "{}",
        merge.stderr
    );

    for half in ["1/2", "0/2"] {
        succeed(folder, &["run", "x.toml", "--out", "run", "--shard", half]);
    }
    let status = zerospace(folder, &["status", "run", "--unfinished-shards", "3"]);
    assert_eq!((status.code, status.stdout.as_str()), (0, "\n"));
    let again = zerospace(folder, &["run", "x.toml", "--out", "run"]);
    assert!(again.stderr.contains(&format!("{UNITS} units were there, 0 computed")), "{}", again.stderr);
    assert!(done < UNITS && merged(&run) == reference);
}

#[test]
fn a_wrong_shard_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let said = zerospace(folder.path(), &["run", "x.toml", "--shard", "3/3"]);
    assert_eq!(said.code, 2);
    let expected =
        "invalid value '3/3' for '--shard <K/N>': shards of 3 are numbered from 0, expected K below 3";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}
