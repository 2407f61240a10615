//! Campaigns on a made-up network: kills, threads, damage, disks.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::program::{Numbers, command, experiment, prepare, say, succeed, workshop, zerospace};

fn merged(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("trials.parquet")).unwrap()
}

/// Runs the experiment in one go; returns the merged records.
fn reference(folder: &Path) -> Vec<u8> {
    succeed(folder, &["run", "x.toml", "--out", "reference"]);
    merged(&folder.join("reference"))
}

#[test]
fn killed_at_random_moments_a_run_resumes_to_the_same_bytes() {
    let workshop = workshop();
    let folder = workshop.path();
    // Many more trials than are evaluated together.
    let trials = 300;
    prepare(folder, trials);
    let units = 16 * trials.div_ceil(3) as usize;
    let started = Instant::now();
    let reference = reference(folder);
    let whole_run = started.elapsed();

    let mut numbers = Numbers(std::process::id().into());
    let parts = folder.join("killed/parts");
    let mut kills = 0;
    let mut finished_units = 0;
    while kills < 3 {
        let mut child = command(folder, &["run", "x.toml", "--out", "killed"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Wait until it has stored something new, then up to a fifth of a run more.
        let stored = || std::fs::read_dir(&parts).map_or(0, Iterator::count);
        while stored() <= finished_units && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let moment = Instant::now() + whole_run.mul_f64(numbers.next() as f64 / u64::MAX as f64 / 5.0);
        while Instant::now() < moment && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if stored() == units {
            // Too fast for this kill: start over and strike earlier.
            std::fs::remove_dir_all(folder.join("killed")).unwrap();
            finished_units = 0;
            continue;
        }
        finished_units = stored();
        kills += 1;
    }
    let status = zerospace(folder, &["status", "killed"]);
    let merge = zerospace(folder, &["merge", "killed"]);
    assert_eq!((status.code, merge.code), (5, 5), "{}{}", status.stdout, merge.stderr);
    assert!(merge.stderr.starts_with("incomplete: "), "{}", merge.stderr);

    succeed(folder, &["run", "x.toml", "--out", "killed"]);
    assert_eq!(merged(&folder.join("killed")), reference);
    assert_eq!(zerospace(folder, &["status", "killed"]).code, 0);
}

#[test]
fn threads_do_not_change_records() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    for threads in ["1", "2", "3"] {
        succeed(folder, &["run", "x.toml", "--out", threads, "--threads", threads]);
    }
    assert_eq!(merged(&folder.join("1")), merged(&folder.join("2")));
    assert_eq!(merged(&folder.join("1")), merged(&folder.join("3")));
}

#[test]
fn a_seed_changes_records_and_repeating_a_run_changes_nothing() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let first = reference(folder);
    let again = zerospace(folder, &["run", "x.toml", "--out", "reference"]);
    assert!(again.stderr.contains("16 units were there, 0 computed"), "{}", again.stderr);
    assert_eq!(merged(&folder.join("reference")), first);

    std::fs::write(folder.join("y.toml"), experiment(3).replace("seed = 5", "seed = 6")).unwrap();
    let other = zerospace(folder, &["run", "y.toml", "--out", "reference"]);
    assert_eq!(other.code, 4);
    assert_eq!(
        other.stderr.lines().last(),
        Some(
            "error: reference: this run was started with another plan: \
             seed of cell thin faulty bernoulli 0e0 is 6, was 5"
        )
    );
    succeed(folder, &["run", "y.toml", "--out", "other"]);
    assert_ne!(merged(&folder.join("other")), first);
}

#[test]
fn every_option_of_an_experiment_matters() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let first = reference(folder);
    for (i, (from, to)) in [
        ("trials = 3\n", "trials = 4\n"),
        ("bernoulli", "fixed-count"),
        ("1e-3", "2e-3"),
        ("\"ecc\", ", ""),
        ("images = 40", "images = 41"),
        ("split = \"test\"", "split = \"train\""),
        ("label = \"thin\"", "label = \"fat\""),
        ("checkpoint = \"net.safetensors\"", "checkpoint = \"net.safetensors\"\nprotections = [\"ecc\"]"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("o{i}");
        assert!(experiment(3).contains(from), "{from}");
        std::fs::write(
            folder.join(&name),
            experiment(3)
                .replacen(from, to, 1)
                .replace("images = 40", if to.contains("train") { "images = 39" } else { "images = 40" }),
        )
        .unwrap();
        let run = format!("run-{name}");
        succeed(folder, &["run", &name, "--out", &run]);
        assert_ne!(merged(&folder.join(run)), first, "{from} -> {to}");
    }
    // unit_trials and title change how the work is cut and what figures say, never a record.
    for (name, from, to) in [("units", "unit_trials = 3", "unit_trials = 2"), ("title", "Random", "Other")] {
        std::fs::write(folder.join(name), experiment(3).replace(from, to)).unwrap();
        let run = format!("run-{name}");
        succeed(folder, &["run", name, "--out", &run]);
        assert_eq!(merged(&folder.join(run)), first);
    }
    assert_eq!(std::fs::read_dir(folder.join("run-units/parts")).unwrap().count(), 32);
    let report = std::fs::read_to_string(folder.join("run-title/report.md")).unwrap();
    assert!(report.starts_with("# Other network\n"), "{report}");
}

#[test]
fn codes_and_policies_go_by_their_names_from_the_experiment_to_the_report() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let names = ["in-place-64-57", "in-place-64-57+zero-word", "secded-72-64+range-clamp", "bch-79-64"];
    let four = r#"["faulty", "zero", "ecc", "in-place"]"#;
    let other = r#"["in-place", "in-place+zero-word", "ecc+range-clamp", "bch-79-64"]"#;
    std::fs::write(folder.join("y.toml"), experiment(3).replace(four, other)).unwrap();
    succeed(folder, &["run", "y.toml", "--out", "named"]);
    let report = std::fs::read_to_string(folder.join("named/report.md")).unwrap();
    for name in names {
        assert!(report.contains(name), "{name}: {report}");
    }

    let rows = records::read_trials(&folder.join("named/trials.parquet")).unwrap();
    let of =
        |name: &str| rows.iter().filter(|row| row.protection == name && row.rate == 1e-2).collect::<Vec<_>>();
    // The same faults and decoder: the policy changes what is read, and nothing that is counted of words.
    for (kept, zeroed) in of(names[0]).into_iter().zip(of(names[1])) {
        assert!(kept.record.detected > 0);
        assert_eq!(kept.record.pattern_hash, zeroed.record.pattern_hash);
        assert_eq!(kept.record.detected, zeroed.record.detected);
        assert_eq!(kept.record.miscorrected, zeroed.record.miscorrected);
        assert_ne!(kept.record.weights_hash, zeroed.record.weights_hash);
    }
    let wrong = |name: &str| of(name).iter().map(|row| row.record.weights_changed).sum::<u64>();
    assert!(wrong("bch-79-64") < wrong("in-place-64-57"));

    succeed(folder, &["verify", "y.toml", "--out", "named"]);
    for row in [of(names[1])[0], of(names[3])[0]] {
        succeed(folder, &["replay", "y.toml", row.cell.as_str(), "0", "--out", "named"]);
    }
}

#[test]
fn a_run_ends_in_tables_and_a_figure() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let stdout = succeed(folder, &["run", "x.toml"]);
    for file in ["manifest.json", "trials.parquet", "report.md", "summary.csv", "outcomes.csv", "paired.csv"]
    {
        assert!(folder.join("runs/x").join(file).is_file(), "{file}");
    }
    let svg = std::fs::read_to_string(folder.join("runs/x/accuracy-vs-rate.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("in-place-64-57"));
    let png = std::fs::read(folder.join("runs/x/accuracy-vs-rate.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    assert!(stdout.contains("| ecc (secded-72-64)"), "{stdout}");

    // Rate 0 and protected cells at 1e-5 leave the network as it was.
    let rows = records::read_trials(&folder.join("runs/x/trials.parquet")).unwrap();
    assert_eq!(rows.len(), 4 * 4 * 3);
    for row in &rows {
        let r = &row.record;
        assert_eq!((row.images, r.weights_changed == 0), (40, r.weights_hash == "e3b0c44298fc1c14"));
        assert!(row.rate > 0.0 || r.words_hit == 0);
        assert!(r.weights_changed > 0 || (r.agree == 40 && r.correct == row.clean_correct));
    }
    // Report alone, elsewhere, gives the same files.
    succeed(folder, &["report", "runs/x", "--out", "elsewhere"]);
    for file in ["report.md", "summary.csv", "accuracy-vs-rate.svg"] {
        let read = |run: &str| std::fs::read(folder.join(run).join(file)).unwrap();
        assert_eq!(read("runs/x"), read("elsewhere"));
    }
}

#[test]
fn damaged_and_foreign_parts_are_set_aside_and_computed_again() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let first = reference(folder);
    let parts = folder.join("reference/parts");
    let mut names: Vec<_> = std::fs::read_dir(&parts).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    std::fs::write(&names[0], b"").unwrap();
    let text = std::fs::read_to_string(&names[1]).unwrap();
    std::fs::write(&names[1], text.replacen("\"correct\":", "\"correct\":1", 1)).unwrap();
    std::fs::copy(&names[3], &names[2]).unwrap();

    let again = zerospace(folder, &["run", "x.toml", "--out", "reference"]);
    assert_eq!(again.code, 0);
    assert!(again.stderr.contains("damaged: the last line is cut off"), "{}", again.stderr);
    assert!(again.stderr.contains("damaged: the content does not match its SHA-256"), "{}", again.stderr);
    assert!(again.stderr.contains("contains trials 0..3 of cell"), "{}", again.stderr);
    assert!(again.stderr.contains("13 units were there, 3 computed"), "{}", again.stderr);
    assert_eq!(merged(&folder.join("reference")), first);
    assert_eq!(std::fs::read_dir(folder.join("reference/set-aside")).unwrap().count(), 3);
}

/// Through every verb that looks at a run, with kills and shards on the way.
#[test]
fn an_experiment_with_more_trials_goes_on_where_its_run_ended() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 20);
    let direct = reference(folder);
    let with = |trials: u64| std::fs::write(folder.join("x.toml"), experiment(trials)).unwrap();
    with(4);
    succeed(folder, &["run", "x.toml"]);
    let run = folder.join("runs/x");
    let short = records::read_trials(&run.join("trials.parquet")).unwrap();
    let part = std::fs::read_dir(run.join("parts")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&part).unwrap();

    // Looked at with more trials, before anything runs.
    with(20);
    let status = zerospace(folder, &["status", "x.toml"]);
    assert!(status.code == 5 && status.stdout.ends_with("\n64 of 320 trials\n"), "{}", status.stdout);
    let message = "x.toml has 20 trials a cell, the run in runs/x has 4: `zerospace run` adds them\n";
    assert_eq!(status.stderr, message);
    assert_eq!(zerospace(folder, &["status", "runs/x"]).code, 0, "the run itself has not changed");
    assert!(succeed(folder, &["plan", "x.toml"]).contains("16 cells x 20 trials = 320 trials"));
    let dry = ["submit", "x.toml", "--engine", "parallel", "--shards", "100", "--dry-run"];
    succeed(folder, &dry);

    // Killed as soon as it has extended the run, then again on the way; a part of it in shards.
    for _ in 0..3 {
        let mut child = command(folder, &["run", "x.toml", "--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = std::fs::read_dir(run.join("parts")).unwrap().count();
        let extended = || std::fs::read_to_string(run.join("manifest.json")).unwrap().contains("extensions");
        while !(extended()
            && (before == 32 || std::fs::read_dir(run.join("parts")).unwrap().count() > before))
            && child.try_wait().unwrap().is_none()
        {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let report = zerospace(folder, &["report", "runs/x"]);
    assert!(report.code == 5 && report.stderr.starts_with("incomplete: "), "{}", report.stderr);
    for shard in ["1/3", "2/3", "0/3"] {
        succeed(folder, &["run", "x.toml", "--shard", shard]);
    }
    succeed(folder, &["merge", "runs/x"]);
    assert_eq!(merged(&run), direct);
    assert_eq!(std::fs::read(&part).unwrap(), bytes);
    let long = records::read_trials(&run.join("trials.parquet")).unwrap();
    for (short, long) in short.chunks(4).zip(long.chunks(20)) {
        assert_eq!(short, &long[..4]);
    }

    // The manifest and the report say so.
    let manifest = records::Store::open(&run).unwrap().manifest().clone();
    assert_eq!((manifest.manifest_version, manifest.trials, manifest.extensions.len()), (3, 20, 1));
    assert_eq!(manifest.extensions[0].trials, 4);
    assert_eq!(manifest.extensions[0].by.arguments(), records::RunArguments::run("x.toml".as_ref()));
    assert!(manifest.source.contains("trials = 20") && !manifest.source.contains("trials = 4"));
    succeed(folder, &["report", "runs/x"]);
    let report = std::fs::read_to_string(run.join("report.md")).unwrap();
    assert!(report.contains("trials a cell: 20") || report.contains("20 trials"), "{report}");
    assert!(report.contains("4 trials a cell at first, then extended to 20"), "{report}");
    assert_eq!(zerospace(folder, &["status", "x.toml"]).code, 0);
    let verified = zerospace(folder, &["verify", "x.toml", "--sample", "40", "--seed", "1"]);
    assert!(verified.code == 0 && verified.stderr.contains("40 of 320 stored trials"), "{}", verified.stderr);
    succeed(folder, &["replay", "x.toml", &long[0].cell, "19"]);
    let again = zerospace(folder, &["run", "x.toml"]);
    assert!(again.code == 0 && again.stderr.contains(" units were there, 0 computed"), "{}", again.stderr);

    // Fewer are refused, and so is everything else.
    with(4);
    let said = zerospace(folder, &["run", "x.toml"]);
    let message = "error: runs/x: this run has 20 trials a cell, and trials is 4: a run keeps its trials, expected trials = 20 or more, or another run directory (--out)\n";
    assert_eq!((said.code, said.but_progress().as_str()), (4, message));
    std::fs::write(folder.join("x.toml"), experiment(50).replace("unit_trials = 3", "unit_trials = 4"))
        .unwrap();
    let said = zerospace(folder, &["run", "x.toml"]);
    let message = "error: runs/x: this run was started with another plan: unit_trials is 4, was 3\n";
    assert_eq!((said.code, said.but_progress().as_str()), (4, message));
    assert_eq!(merged(&run), direct);
}

/// `status` takes what the verbs that run an experiment take.
#[test]
fn status_takes_an_experiment_file() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let said = zerospace(folder, &["status", "x.toml"]);
    let message = "error: no run of x.toml there yet, `zerospace run` begins one: runs/x/manifest.json: No such file or directory (os error 2)\n";
    assert_eq!((said.code, said.stderr.as_str()), (1, message));
    succeed(folder, &["run", "x.toml", "--out", "there", "--shard", "0/2"]);
    let of_folder = zerospace(folder, &["status", "there"]);
    let of_file = zerospace(folder, &["status", "x.toml", "--out", "there"]);
    assert_eq!((of_file.code, of_file.stdout, of_file.stderr), (5, of_folder.stdout, String::new()));
    let shards = zerospace(folder, &["status", "x.toml", "--out", "there", "--unfinished-shards", "2"]);
    assert_eq!((shards.code, shards.stdout.as_str()), (5, "1\n"));
    let said = zerospace(folder, &["status", "there", "--out", "elsewhere"]);
    let message = "error: --out is elsewhere, expected none beside a run directory, there\n";
    assert_eq!((said.code, said.stderr.as_str()), (2, message));
    let said = zerospace(folder, &["status", "net.safetensors"]);
    let message = "error: expected a run directory or an experiment file (TOML): net.safetensors: ";
    assert!(said.code == 2 && said.stderr.starts_with(message), "{}", said.stderr);
}

/// What a log has of a run, from its plan to a line on the way.
#[test]
fn a_log_has_the_plan_the_first_unit_and_how_long_it_will_take() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 2000);
    let mut child = command(folder, &["run", "x.toml", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let lines = lines.map(Result::unwrap).filter(|line| !line.contains(": warning: "));
    let lines: Vec<String> = lines.take(3).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        lines[0],
        "x: 16 cells x 2000 trials = 32000 trials, in units of 3, on 40 images of cifar10 test, to runs/x"
    );
    // Units of several cells are stored together.
    let (done, first) =
        lines[1].split_once(" of 32000 trials; the first unit was stored after ").expect(&lines[1]);
    assert!(done.parse::<u64>().is_ok_and(|done| done >= 3), "{}", lines[1]);
    assert!(first.contains(" s: thin ") && first.contains(" bernoulli "), "{}", lines[1]);
    let words: Vec<&str> = lines[2].split(' ').collect();
    let [done, "of", "32000", "trials", "after", seconds, "s,", rate, "a", "second,", "about", ..] =
        words[..]
    else {
        panic!("{}", lines[2])
    };
    let [done, seconds, rate] = [done, seconds, rate].map(|number| number.parse::<f64>().unwrap());
    assert!(seconds >= 2.0 && (done / seconds - rate).abs() < 0.1 * rate, "{}", lines[2]);
    assert!(lines[2].contains(" left; thin "), "{}", lines[2]);
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    std::fs::write(folder.join("in-the-way"), b"").unwrap();
    let said = zerospace(folder, &["run", "x.toml", "--out", "in-the-way"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("error: in-the-way"), "{}", said.stderr);
}

/// A file system of its own, so small that it fills up; needs root.
pub(crate) struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    pub(crate) fn mount(at: &'a Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        status.is_ok_and(|o| o.status.success()).then_some(Self(at))
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap();
        assert!(status.success(), "mount -o {options}");
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let first = reference(folder);
    let at = folder.join("full");
    let Some(disk) = Disk::mount(&at, "size=64k") else {
        say("SKIPPED a_full_disk_is_an_error_and_loses_nothing: mounting a tmpfs needs root");
        return;
    };
    let said = zerospace(folder, &["run", "x.toml", "--out", "full"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("error: full/parts/") && said.stderr.contains("No space"),
        "{}",
        said.stderr
    );
    assert_eq!(zerospace(folder, &["status", "full"]).code, 5);
    // With room again, the same directory completes.
    disk.remount("size=8m");
    let again = zerospace(folder, &["run", "x.toml", "--out", "full"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(!again.but_progress().starts_with("0 units were there"), "{}", again.stderr);
    assert_eq!(merged(&at), first);
    drop(disk);
}

#[test]
fn a_reader_that_stops_early_ends_the_program_quietly() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let mut child = command(folder, &["inspect", "net.safetensors"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty());
}

#[test]
fn synthetic_images_need_no_files_and_every_output_says_what_they_are() {
    let workshop = workshop();
    let folder = workshop.path();
    std::fs::remove_dir_all(folder.join("data")).unwrap();
    let quantize = "quantize float.safetensors --arch resnet20 --width 0.5 --set synthetic --throttle --calibration-images 8 --images 100 -o net.safetensors";
    let said = zerospace(folder, &quantize.split(' ').collect::<Vec<_>>());
    assert!(said.code == 0 && said.stderr.contains("the images are synthetic"), "{}", said.stderr);
    std::fs::write(folder.join("x.toml"), experiment(3).replace("cifar10", "synthetic")).unwrap();
    let said = zerospace(folder, &["run", "x.toml"]);
    assert!(said.code == 0 && said.stderr.contains("the images are synthetic"), "{}", said.stderr);
    let report = std::fs::read_to_string(folder.join("runs/x/report.md")).unwrap();
    assert!(report.contains("the images are synthetic"), "{report}");
    let figure = std::fs::read_to_string(folder.join("runs/x/accuracy-vs-rate.svg")).unwrap();
    assert!(figure.contains("synthetic test, 40 images"));
}

#[test]
fn a_campaign_of_changed_trials_resumes_merges_and_reports_what_they_stand_for() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 3);
    let changed = |trials| {
        let text = experiment(trials).replace("rates = [0.0, ", "trials_of = \"changed\"\nrates = [1e-9, ");
        text.replace("\"faulty\", \"zero\", ", "")
    };
    std::fs::write(folder.join("c.toml"), changed(6)).unwrap();
    let plan = succeed(folder, &["plan", "c.toml"]);
    assert!(plan.contains("P(changed)") && plan.contains("reads back wrong = 48 trials"), "{plan}");
    let stdout = succeed(folder, &["run", "c.toml"]);
    assert!(stdout.contains("is estimated as P m"), "{stdout}");
    let run = folder.join("runs/x");
    let rows = records::read_trials(&run.join("trials.parquet")).unwrap();
    assert_eq!(rows.len(), 2 * 4 * 6);
    for row in &rows {
        let probability = row.changed_probability.unwrap();
        assert!(plan.contains(&format!("{probability:.3e}")), "{probability}");
        assert!(row.record.weights_changed + row.record.padding_changed > 0);
    }
    // At 1e-9 ordinary trials have nothing to show; these all do.
    assert!(rows.iter().any(|row| row.rate == 1e-9 && row.changed_probability < Some(1e-9)));

    // With a part lost it resumes to the same bytes: the probability came back from the manifest as it was.
    let first = merged(&run);
    let part = std::fs::read_dir(run.join("parts")).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(&part).unwrap().contains("\"changed_probability\":"));
    std::fs::remove_file(part).unwrap();
    let again = zerospace(folder, &["run", "c.toml", "--threads", "1"]);
    assert!(again.code == 0 && again.stderr.contains("15 units were there, 1 computed"), "{}", again.stderr);
    assert_eq!(merged(&run), first);

    // Stored trials come out again, and can be looked at; the number that they count with is part of what is verified.
    let verified = zerospace(folder, &["verify", "c.toml", "--sample", "48"]);
    assert!(verified.stderr.contains("48 of 48 stored trials came out the same"), "{}", verified.stderr);
    succeed(folder, &["replay", "c.toml", &rows[7].cell, "1"]);
    let manifest = std::fs::read_to_string(run.join("manifest.json")).unwrap();
    let probability = format!("\"changed_probability\": {:?}", rows[0].changed_probability.unwrap());
    assert!(manifest.contains(&probability), "{probability}");
    let other = manifest.replace(&probability, "\"changed_probability\": 0.5");
    std::fs::write(run.join("manifest.json"), other).unwrap();
    let said = zerospace(folder, &["verify", "c.toml"]);
    assert!(said.code == 6 && said.stderr.contains("changed_probability of cell"), "{}", said.stderr);
    std::fs::write(run.join("manifest.json"), manifest).unwrap();

    // Ordinary trials of the same cells are another plan.
    std::fs::write(folder.join("d.toml"), changed(6).replace("trials_of = \"changed\"\n", "")).unwrap();
    let other = zerospace(folder, &["run", "d.toml"]);
    assert_eq!(other.code, 4);
    assert!(other.stderr.contains("changed_probability of cell"), "{}", other.stderr);
    // And what is expected of ordinary ones is in their report.
    succeed(folder, &["run", "d.toml", "--out", "ordinary"]);
    let report = std::fs::read_to_string(folder.join("ordinary/report.md")).unwrap();
    assert!(report.contains("In brackets the expected number"), "{report}");

    std::fs::write(folder.join("e.toml"), changed(6).replace("1e-9", "0.0")).unwrap();
    let said = zerospace(folder, &["plan", "e.toml"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (2, "error: e.toml: `rates` is 0, expected positive numbers when `trials_of` is \"changed\"\n")
    );
}

#[test]
fn a_cell_can_end_with_a_number_of_failures() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 60);
    let text = std::fs::read_to_string(folder.join("x.toml")).unwrap();
    let with = |stop: &str| std::fs::write(folder.join("x.toml"), text.replace("[[model]]", stop)).unwrap();
    for (stop, complaint) in [
        ("failures = 0\ndrop_points = 1.0", "`stop.failures` is 0, expected at least 1"),
        ("failures = 2\ndrop_points = 0.0", "`stop.drop_points` is 0, expected more than 0 and at most 100"),
        ("half_width = 0.0", "`stop.half_width` is 0, expected more than 0 and at most 100"),
        ("failures = 2", "expected the keys `failures` and `drop_points`, or `half_width` alone"),
        ("failures = 2\ndrop_points = 1.0\nrounds = 1", "expected the keys `failures` and `drop_points`"),
        ("failures = 2\ndrop_points = 1.0\nhalf_width = 1.0", "or `half_width` alone"),
    ] {
        with(&format!("[stop]\n{stop}\n\n[[model]]"));
        let said = zerospace(folder, &["plan", "x.toml"]);
        assert!(said.code == 2 && said.stderr.contains(complaint), "{}", said.stderr);
    }
    with("[stop]\nfailures = 2\ndrop_points = 2.5\n\n[[model]]");
    let plan = succeed(folder, &["plan", "x.toml", "--pilot", "3"]);
    for shown in
        ["960 trials at most, a cell until 2 lose 2.5 points or more", "ms a trial", "by a pilot of 3 trials"]
    {
        assert!(plan.contains(shown), "expected {shown} in {plan}");
    }
    let said = zerospace(folder, &["run", "x.toml", "--out", "run"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("not needed, their cells have enough failures"), "{}", said.stderr);
    let status = zerospace(folder, &["status", "run"]);
    assert_eq!(status.code, 0);
    assert!(!status.stdout.contains("960 trials"), "{}", status.stdout);
    // Without faults nothing fails, and all trials are run.
    let csv = std::fs::read_to_string(folder.join("run/failures.csv")).unwrap();
    let unfaulty: Vec<&str> = csv.lines().filter(|line| line.contains(",0.0,")).collect();
    assert!(unfaulty.len() >= 4 && unfaulty.iter().all(|line| line.contains(",60,0,0.0,0.0,")), "{csv}");
    assert!(csv.lines().any(|line| line.split(',').nth(5) == Some("2")), "{csv}");
    assert!(std::fs::read_to_string(folder.join("run/report.md")).unwrap().contains("## Failures"));
}

/// Trials that each see a block of the images, from the file to the report; the faults are those of the fixed design.
#[test]
fn trials_that_see_blocks_of_images_run_verify_and_report() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 9);
    let text = std::fs::read_to_string(folder.join("x.toml")).unwrap();
    let drawn = text.replace("images = 40", "images = 40\nimages_per_trial = 12");
    assert_ne!(drawn, text);
    std::fs::write(folder.join("d.toml"), &drawn).unwrap();
    for threads in ["1", "2"] {
        succeed(folder, &["run", "d.toml", "--out", threads, "--threads", threads]);
    }
    assert_eq!(merged(&folder.join("1")), merged(&folder.join("2")));
    succeed(folder, &["run", "x.toml", "--out", "fixed"]);
    let rows = |run: &str| records::read_trials(&folder.join(run).join("trials.parquet")).unwrap();
    let (fixed, found) = (rows("fixed"), rows("1"));
    assert_eq!(fixed.len(), found.len());
    for (fixed, found) in fixed.iter().zip(&found) {
        assert_eq!(fixed.record.weights_hash, found.record.weights_hash);
        assert_eq!((found.images, found.images_per_trial), (40, Some(12)));
        assert!(found.record.correct <= 12 && found.record.block.is_some());
        assert!(fixed.record.block.is_none());
    }
    // All protections and rates have the same blocks.
    let clean = |trial: u64| {
        let of_trial = found.iter().filter(move |row| row.record.trial == trial);
        let counts: std::collections::BTreeSet<u64> =
            of_trial.map(|row| row.record.block.unwrap().clean_correct).collect();
        counts
    };
    assert!((0..9).all(|trial| clean(trial).len() == 1));
    let verified = zerospace(folder, &["verify", "d.toml", "--out", "1", "--sample", "60"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    succeed(folder, &["replay", "d.toml", &found[7].cell, "1", "--out", "1"]);
    let report = std::fs::read_to_string(folder.join("1/report.md")).unwrap();
    for shown in ["40 images, 12 drawn for each trial", "## Variance", "12 of 40", "Images drawn per trial:"]
    {
        assert!(report.contains(shown), "expected {shown} in {report}");
    }
    assert!(!report.contains("Guan et al., NeurIPS 2019, Table 2), for comparison"), "{report}");
    let csv = std::fs::read_to_string(folder.join("1/summary.csv")).unwrap();
    assert!(csv.lines().next().unwrap().contains(",set_images,between_trials_sd_points,"), "{csv}");
    // A run of one design does not go on with another.
    let other = zerospace(folder, &["run", "x.toml", "--out", "1"]);
    assert!(other.code == 4 && other.stderr.contains("images_per_trial of cell"), "{}", other.stderr);
    // A pilot on blocks plans both designs.
    for file in ["x.toml", "d.toml"] {
        let plan = succeed(folder, &["plan", file, "--pilot", "4", "--half-width", "5"]);
        for shown in
            ["± 5 points for all 40 images", "drawn: trials = ", "fixed: trials = ", "sd of an image"]
        {
            assert!(plan.contains(shown), "expected {shown} in {plan}");
        }
    }
    let said = zerospace(folder, &["plan", "x.toml", "--pilot", "4", "--half-width", "0"]);
    assert!(said.code == 2 && said.stderr.contains("more than 0 and at most 100"), "{}", said.stderr);
}
