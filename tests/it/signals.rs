//! Ctrl-C, SIGTERM and SIGUSR1 at every stage of every long verb: what is on the disk is whole, and the command that is
//! printed, given to a shell as it stands, ends as if nothing had happened.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command};

use crate::image_folder::write_classes;
use crate::program::{Numbers, Said, command, prepare, said, succeed, workshop, zerospace};
use crate::shards::{TRIALS, UNITS, finish, merged, start, stored, wait_for_progress, with_reference};
use crate::table1::write_weights;
use crate::training::{RECIPE, results};

const SIGNALS: [(&str, i32); 3] = [("USR1", 75), ("TERM", 75), ("INT", 130)];

fn send(child: &Child, signal: &str) {
    let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap();
    assert!(kill.success());
}

/// What is typed to go on: the end of the last line on stderr, after `words`.
fn printed(said: &Said, words: &str) -> String {
    let last = said.stderr.lines().last().unwrap_or_default();
    let (_, command) = last.split_once(words).unwrap_or_else(|| panic!("no `{words}` in {}", said.stderr));
    command.into()
}

/// Gives a command to a shell, and expects success.
fn shell(folder: &Path, command: &str) -> Said {
    let mut sh = Command::new("sh");
    let said =
        said(sh.args(["-c", command]).current_dir(folder).env_remove("ZEROSPACE_DATA").output().unwrap());
    assert_eq!(said.code, 0, "{command}: {}{}", said.stdout, said.stderr);
    said
}

/// A file of which a process reads nothing until somebody writes: the process waits at a known place.
struct Gate<'a> {
    path: &'a Path,
    text: Vec<u8>,
}

impl<'a> Gate<'a> {
    fn at(path: &'a Path) -> Self {
        let text = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        Self { path, text }
    }

    /// Waits until a process has come to read; it is held as long as the result lives.
    fn reached(&self) -> File {
        OpenOptions::new().write(true).open(self.path).unwrap()
    }

    /// Puts the file back.
    fn open(self) {
        fs::remove_file(self.path).unwrap();
        fs::write(self.path, self.text).unwrap();
    }
}

/// Starts a verb that will read `file`, strikes when it does, and puts the file back.
fn struck_at(folder: &Path, arguments: &[&str], file: &str, signal: &str) -> Said {
    let path = folder.join(file);
    let gate = Gate::at(&path);
    let child = start(folder, arguments);
    let held = gate.reached();
    send(&child, signal);
    let said = finish(child);
    drop(held);
    gate.open();
    said
}

/// Names of all files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found.sort();
    found
}

#[test]
fn a_run_stopped_before_its_first_trial_goes_on_by_the_printed_command() {
    let (workshop, reference) = with_reference(3);
    let folder = workshop.path();
    fs::rename(folder.join("x.toml"), folder.join("an experiment's.toml")).unwrap();
    let program = env!("CARGO_BIN_EXE_zerospace");
    for (signal, code) in SIGNALS {
        let arguments = ["run", "an experiment's.toml", "--out", "run"];
        let said = struck_at(folder, &arguments, "an experiment's.toml", signal);
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{}", said.stderr);
        let resume = format!("{program} run \"an experiment's.toml\" --out run");
        assert_eq!(said.stderr, format!("stopped by SIG{signal}; resume with: {resume}\n"));
        assert!(!folder.join("run").exists());
        shell(folder, &printed(&said, "; resume with: "));
        assert_eq!(merged(&folder.join("run")), reference);
        fs::remove_dir_all(folder.join("run")).unwrap();
    }
}

#[test]
fn a_run_stopped_in_its_middle_goes_on_by_the_printed_command() {
    let (workshop, reference) = with_reference(TRIALS);
    let folder = workshop.path();
    let run = folder.join("run");
    let program = env!("CARGO_BIN_EXE_zerospace");
    let until = [
        "after the trials in work",
        "after the trials in work; once more: at once",
        "after the trials in work; once more: at once",
    ];
    let mut resume = String::new();
    for ((signal, code), until) in SIGNALS.into_iter().zip(until) {
        let mut child = start(folder, &["run", "x.toml", "--out", "run"]);
        wait_for_progress(&mut child, &run);
        send(&child, signal);
        let said = finish(child);
        assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{}", said.stderr);
        let stored = stored(&run);
        // A signal between two units leaves nothing begun.
        let kept = begun(&run);
        let of_the_unit =
            ["3", "1"].map(|of| format!(", {kept} of {of} trials of the units in work are kept"));
        let of_the_unit =
            of_the_unit.into_iter().find(|words| said.stderr.contains(words)).unwrap_or_default();
        let expected = format!(
            "SIG{signal}: stopping {until}\n\
             stopped by SIG{signal}: {stored} of {UNITS} units are stored{of_the_unit}, no finished trial is lost; \
             resume with: {program} run x.toml --out run\n"
        );
        assert_eq!(said.but_progress(), expected);
        assert_eq!(fs::read_dir(run.join("parts")).unwrap().count(), stored, "nothing temporary");
        assert!(!run.join("trials.parquet").exists());
        resume = printed(&said, "; resume with: ");
    }
    shell(folder, &resume);
    assert_eq!(merged(&run), reference);

    // A shard says its own command, and where the data are when only the environment did.
    let mut shard = command(folder, &["run", "x.toml", "--out", "shards", "--shard", "1/2"]);
    fs::rename(folder.join("data"), folder.join("the data")).unwrap();
    shard
        .env("ZEROSPACE_DATA", "the data")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = shard.spawn().unwrap();
    wait_for_progress(&mut child, &folder.join("shards"));
    send(&child, "USR1");
    let said = finish(child);
    assert_eq!(said.code, 75, "{}", said.stderr);
    let resume = printed(&said, "; resume with: ");
    assert_eq!(resume, format!("ZEROSPACE_DATA='the data' {program} run x.toml --out shards --shard 1/2"));
    let resumed = shell(folder, &resume);
    assert!(resumed.but_progress().starts_with("shard 1/2: "), "{}", resumed.stderr);
    succeed(folder, &["run", "x.toml", "--out", "shards", "--data", "the data"]);
    assert_eq!(merged(&folder.join("shards")), reference);
}

/// Trials on the disk of units that are not finished.
fn begun(run: &Path) -> usize {
    let scan = records::Store::open(run).unwrap().scan().unwrap();
    scan.begun.values().map(|part| part.trials.len()).sum()
}

/// One unit a cell, so that nothing but what is kept of it survives. That it ends in the same bytes, the tests of campaign
/// show.
#[test]
fn a_stop_in_a_long_unit_loses_no_finished_trial() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 100_000);
    let long = fs::read_to_string(folder.join("x.toml")).unwrap();
    let long =
        long.replace("unit_trials = 3", "unit_trials = 100000").replace("[0.0, 1e-5, 1e-3, 1e-2]", "[1e-2]");
    fs::write(folder.join("x.toml"), long).unwrap();
    let run = folder.join("run");
    // Strikes when the log tells of trials; what it said last.
    let strike = |signals: &[&str], code: i32| {
        let mut child = start(folder, &["run", "x.toml", "--out", "run", "--threads", "1"]);
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        let begins = "x: 4 cells x 100000 trials = 400000 trials, in units of 100000, on 40 images";
        assert!(lines.next().unwrap().unwrap().starts_with(begins));
        let told = lines.find(|line| line.as_ref().unwrap().contains(" of 400000 trials after "));
        let told = told.unwrap().unwrap();
        signals.iter().for_each(|signal| send(&child, signal));
        let last = lines.last().unwrap().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{last}");
        (told.split(' ').next().unwrap().parse::<usize>().unwrap(), last)
    };
    let mut before = 0;
    for (signal, code) in [("TERM", 75), ("USR1", 75)] {
        let (told, last) = strike(&[signal], code);
        let kept = begun(&run);
        // What was finished before is taken up, and goes on.
        assert!(told > before && kept >= told, "{kept} kept, {told} told of, {before} before");
        let words =
            format!("0 of 4 units are stored, {kept} of 100000 trials of the units in work are kept, no ");
        assert!(last.contains(&words), "{last}");
        let status = zerospace(folder, &["status", "run"]);
        let counted = format!("\n{kept} of 400000 trials\n");
        assert!(status.code == 5 && status.stdout.ends_with(&counted), "{}", status.stdout);
        before = kept;
    }
    // A second signal does not wait, but where the trials in work are quicker; what it loses is said.
    let (_, last) = strike(&["INT", "INT"], 130);
    let at_once =
        last.starts_with("stopped by SIGINT at once: the trials in work ") && last.contains(" lost; ");
    assert!(at_once || last.contains(", no finished trial is lost; resume with: "), "{last}");
    assert!(begun(&run) >= before);
}

#[test]
fn a_run_stopped_in_its_report_has_all_records_and_goes_on_by_the_printed_command() {
    let (workshop, reference) = with_reference(8);
    let folder = workshop.path();
    let run = folder.join("run");
    let arguments = ["run", "x.toml", "--out", "run"];
    succeed(folder, &arguments);
    let whole = |run: &Path| {
        let files =
            ["report.md", "summary.csv", "paired.csv", "accuracy-vs-rate.svg", "accuracy-vs-rate.png"];
        files.map(|file| fs::read(run.join(file)).unwrap())
    };
    let report = whole(&run);
    let mut stopped = 0;
    // It may be quicker than the signal, which then must change nothing.
    for _ in 0..20 {
        for file in ["trials.parquet", "report.md"] {
            fs::remove_file(run.join(file)).unwrap();
        }
        let mut child = start(folder, &arguments);
        while !run.join("trials.parquet").exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        send(&child, "INT");
        let said = finish(child);
        assert_eq!(merged(&run), reference);
        assert!(!files(&run).iter().any(|file| file.ends_with(".partial")), "{:?}", files(&run));
        if said.code != 0 {
            assert_eq!(said.code, 130, "{}", said.stderr);
            shell(folder, &printed(&said, "stopped by SIGINT; resume with: "));
            stopped += 1;
        }
        assert_eq!(whole(&run), report);
        if stopped == 2 {
            break;
        }
    }
    assert!(stopped > 0, "none of 20 reports was stopped");

    // The verb on its own, held where it begins.
    let before = files(&run);
    let said = struck_at(folder, &["report", "run", "--out", "again"], "run/manifest.json", "TERM");
    assert_eq!((said.code, said.stdout.as_str()), (75, ""), "{}", said.stderr);
    assert!(!folder.join("again").exists() && files(&run) == before);
    shell(folder, &printed(&said, "stopped by SIGTERM; nothing was written; start again with: "));
    assert_eq!(whole(&folder.join("again")), report);
}

#[test]
fn a_merge_is_whole_before_it_stops() {
    let (workshop, reference) = with_reference(3);
    let folder = workshop.path();
    let run = folder.join("run");
    succeed(folder, &["run", "x.toml", "--out", "run", "--shard", "0/1"]);
    let parts = files(&run.join("parts"));
    let part = Path::new(&parts[3]);
    let gate = Gate::at(part);
    let child = start(folder, &["merge", "run"]);
    let mut held = gate.reached();
    send(&child, "INT");
    // It has said that it will stop before it can read on.
    let text = gate.text.clone();
    let mut child = child;
    let mut said = String::new();
    let stderr = child.stderr.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
    said += &lines.next().unwrap().unwrap();
    assert_eq!(said, "SIGINT: stopping when its files are written; once more: at once");
    held.write_all(&text).unwrap();
    drop(held);
    let last = lines.next().unwrap().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    gate.open();
    assert_eq!(merged(&run), reference);
    let words = "stopped by SIGINT; files that were written are whole; start again with: ";
    shell(folder, last.strip_prefix(words).unwrap_or_else(|| panic!("{last}")));
    assert_eq!(merged(&run), reference);
}

#[test]
fn verbs_that_have_written_nothing_say_so_and_begin_again_by_the_printed_command() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    succeed(folder, &["run", "x.toml"]);
    let quantized = fs::read(folder.join("net.safetensors")).unwrap();
    fs::copy(folder.join("net.safetensors"), folder.join("before.safetensors")).unwrap();
    let quantize = "quantize float.safetensors --arch resnet20 --width 0.5 --throttle --calibration-images 8 -o net.safetensors";
    let cases = [
        (vec!["plan", "x.toml", "--pilot", "2"], "x.toml"),
        (vec!["verify", "x.toml", "--seed", "1"], "runs/x/manifest.json"),
        (quantize.split(' ').collect(), "float.safetensors"),
    ];
    let before = files(folder);
    for (arguments, file) in cases {
        for (signal, code) in SIGNALS {
            let said = struck_at(folder, &arguments, file, signal);
            assert_eq!((said.code, said.stdout.as_str()), (code, ""), "{}", said.stderr);
            assert_eq!(files(folder), before, "{arguments:?}");
            let words = format!("stopped by SIG{signal}; nothing was written; start again with: ");
            let again = shell(folder, &printed(&said, &words));
            assert!(!again.stdout.is_empty(), "{arguments:?}");
        }
    }
    assert_eq!(fs::read(folder.join("net.safetensors")).unwrap(), quantized);
}

#[test]
fn a_training_stopped_anywhere_ends_by_the_printed_command_in_the_same_weights() {
    let workshop = workshop();
    let folder = workshop.path();
    fs::write(folder.join("r.toml"), RECIPE).unwrap();
    succeed(folder, &["train", "r.toml", "--out", "whole"]);
    let reference = results(&folder.join("whole"));

    let train = ["train", "r.toml", "--out", "stopped"];
    let said = struck_at(folder, &train, "r.toml", "INT");
    assert_eq!(said.code, 130, "{}", said.stderr);
    let mut resume = printed(&said, "stopped by SIGINT; resume with: ");
    assert!(!folder.join("stopped").exists());
    // Then at the first state of each stage.
    for (stage, (signal, code)) in ["float", "qatt", "admm"].into_iter().zip(SIGNALS) {
        let mut child = Command::new("sh");
        child.args(["-c", &format!("exec {resume}")]).current_dir(folder).env_remove("ZEROSPACE_DATA");
        child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        let state = folder.join(format!("stopped/{stage}.state"));
        while !state.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it came to {stage}");
            std::thread::yield_now();
        }
        send(&child, signal);
        let said = finish(child);
        assert_eq!(said.code, code, "{}", said.stderr);
        let partial = files(&folder.join("stopped")).into_iter().find(|file| file.ends_with(".partial"));
        assert_eq!(partial, None);
        resume = printed(&said, &format!("stopped by SIG{signal}; resume with: "));
    }
    shell(folder, &resume);
    assert_eq!(results(&folder.join("stopped")), reference);
}

#[test]
fn a_table_stopped_between_its_networks_is_whole_and_begins_again_by_the_printed_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_weights(
        folder,
        &[("squeezenet1_1", "squeezenet1_1.safetensors"), ("resnet18", "resnet18.safetensors")],
    );
    write_classes(&folder.join("images/val"), 4, &mut Numbers(4));
    let table1 = |out| {
        [
            "table1",
            "--models",
            "squeezenet1_1,resnet18",
            "--weights",
            "weights",
            "--images",
            "images",
            "--out",
            out,
        ]
    };
    succeed(folder, &table1("whole"));
    let table =
        |out: &str| ["table1.md", "table1.csv"].map(|file| fs::read(folder.join(out).join(file)).unwrap());

    let mut child = start(folder, &table1("stopped"));
    while !folder.join("stopped/table1.md").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it wrote anything");
        std::thread::yield_now();
    }
    send(&child, "INT");
    let said = finish(child);
    assert_eq!((said.code, said.stdout.as_str()), (130, ""), "{}", said.stderr);
    let [page, rows] = table("stopped").map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(page.contains("squeezenet1_1") && !page.contains("resnet18"), "{page}");
    assert_eq!(rows.lines().count(), 2, "{rows}");
    let words = "stopped by SIGINT; files that were written are whole; start again with: ";
    shell(folder, &printed(&said, words));
    assert_eq!(table("stopped"), table("whole"));
}
