//! A storm of faults over a run directory: kills, signals, a full and a read-only disk, damaged and lost files, leftovers,
//! two processes at once, in random order and at random moments. Whatever strikes, a stored unit stays stored, an error
//! names what it is about, and the run ends in the records of a run in peace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::campaign::Disk;
use crate::program::{Numbers, Said, command, experiment, prepare, said, say, succeed, workshop};

const STRIKES: usize = 240;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strike {
    Kill,
    Signal,
    TwoAtOnce,
    FullDisk,
    ReadOnlyDisk,
    TruncatedPart,
    FlippedBit,
    Leftover,
    Stray,
    LostParts,
    DamagedTable,
    DamagedManifest,
}

use Strike::{
    DamagedManifest, DamagedTable, FlippedBit, FullDisk, Kill, Leftover, LostParts, ReadOnlyDisk, Signal,
    Stray, TruncatedPart, TwoAtOnce,
};

/// Kills are what happens most.
const KINDS: [Strike; 16] = [
    Kill,
    Kill,
    Kill,
    Kill,
    Signal,
    Signal,
    TwoAtOnce,
    FullDisk,
    ReadOnlyDisk,
    TruncatedPart,
    FlippedBit,
    Leftover,
    Stray,
    LostParts,
    DamagedTable,
    DamagedManifest,
];

struct Storm<'a> {
    folder: &'a Path,
    run: PathBuf,
    disk: Option<Disk<'a>>,
    numbers: Numbers,
    /// How long a run in peace takes, at least.
    peace: Duration,
    /// Parts of a run in peace.
    parts: BTreeMap<String, Vec<u8>>,
    table: Vec<u8>,
    /// What has happened, for people.
    story: Vec<String>,
}

#[test]
fn a_storm_of_faults_loses_nothing_that_was_stored() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder, 6);
    fs::write(folder.join("x.toml"), experiment(6).replace("images = 40", "images = 4")).unwrap();
    let begun = Instant::now();
    succeed(folder, &["run", "x.toml", "--out", "peace"]);
    let peace = begun.elapsed();

    let at = folder.join("disk");
    let disk = Disk::mount(&at, "size=4m");
    if disk.is_none() {
        say("SKIPPED strikes on the disk: mounting a tmpfs needs root");
        fs::create_dir_all(&at).unwrap();
    }
    let seed = std::process::id();
    let mut storm = Storm {
        folder,
        run: at.join("run"),
        disk,
        numbers: Numbers(seed.into()),
        peace,
        parts: parts(&folder.join("peace")).into_iter().collect(),
        table: fs::read(folder.join("peace/trials.parquet")).unwrap(),
        story: vec![format!("seed {seed}")],
    };
    let mut seen = BTreeMap::new();
    while seen.values().sum::<usize>() < STRIKES {
        let kind = KINDS[storm.below(KINDS.len())];
        if storm.strike(kind) {
            *seen.entry(kind).or_default() += 1;
        }
        if storm.below(6) == 0 {
            storm.end_in_peace();
        }
    }
    storm.end_in_peace();
    let possible =
        KINDS.iter().filter(|kind| storm.disk.is_some() || !matches!(kind, FullDisk | ReadOnlyDisk));
    assert!(possible.clone().all(|kind| seen.contains_key(kind)), "{seen:?}");
}

/// Names and contents of the parts that a run directory has.
fn parts(run: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(run.join("parts")).into_iter().flatten().map(|entry| entry.unwrap());
    let part = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        name.ends_with(".jsonl").then(|| (name, fs::read(entry.path()).unwrap()))
    };
    entries.filter_map(part).collect()
}

impl Storm<'_> {
    fn below(&mut self, end: usize) -> usize {
        (self.numbers.next() % end as u64) as usize
    }

    /// A moment in a run.
    fn moment(&mut self) -> Duration {
        self.peace.mul_f64(self.numbers.next() as f64 / u64::MAX as f64)
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.story.push(what.into());
    }

    /// Fails with the story when something is not so.
    fn expect(&self, so: bool, what: &str, said: &Said) {
        assert!(
            so,
            "{what}; exit code {}: {}{}\n{}",
            said.code,
            said.stdout,
            said.stderr,
            self.story.join("\n")
        );
    }

    /// Parts with the bytes that they have in peace.
    fn sound(&self) -> BTreeSet<String> {
        let sound = |(name, bytes): &(String, Vec<u8>)| self.parts.get(name) == Some(bytes);
        parts(&self.run).into_iter().filter(sound).map(|(name, _)| name).collect()
    }

    /// Starts the run, or a shard of it.
    fn start(&mut self) -> Child {
        let threads = (1 + self.below(2)).to_string();
        let mut arguments = vec!["run", "x.toml", "--out", "disk/run", "--threads", &threads];
        let count = 2 + self.below(3);
        let shard = format!("{}/{count}", self.below(count));
        if self.below(3) == 0 {
            arguments.extend(["--shard", &shard]);
        }
        self.tell(format!("  {}", arguments.join(" ")));
        let mut command = command(self.folder, &arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Lets a process go on for a while, and sends it a signal.
    fn interrupt(&mut self, child: &Child, signal: &str) {
        let moment = self.moment();
        std::thread::sleep(moment);
        self.tell(format!("  {signal} after {moment:?}"));
        // A process that has ended is still there to be waited for.
        let sent =
            Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for a process, and tells how it ended.
    fn finish(&mut self, child: Child) -> Said {
        let said = said(child.wait_with_output().unwrap());
        self.tell(format!("  exit code {}: {}", said.code, said.stderr));
        said
    }

    /// Ends, as an error that is not the program's own must, in one line that names it.
    fn expect_refusal(&self, said: &Said, named: &str) {
        let error = said.stderr.lines().last().unwrap_or_default();
        self.expect(
            error.starts_with("error: ") && error.contains(named),
            &format!("an error with {named:?}"),
            said,
        );
    }

    /// Strikes, where there is something to strike at; returns whether it did. What a strike does not damage itself
    /// stays stored.
    fn strike(&mut self, kind: Strike) -> bool {
        if self.sound().len() == self.parts.len() {
            self.strike_parts(LostParts);
        }
        self.tell(format!("{kind:?}"));
        let before = self.sound();
        let struck = match kind {
            Kill | Signal | TwoAtOnce => self.strike_process(kind),
            FullDisk | ReadOnlyDisk => self.strike_disk(kind),
            TruncatedPart | FlippedBit | LostParts => return self.strike_parts(kind),
            Leftover | Stray => self.add_files(kind),
            DamagedTable | DamagedManifest => self.damage_file(kind),
        };
        let after = self.sound();
        let lost: Vec<&String> = before.difference(&after).collect();
        assert!(lost.is_empty(), "lost: {lost:?}\n{}", self.story.join("\n"));
        struck
    }

    fn strike_process(&mut self, kind: Strike) -> bool {
        let child = self.start();
        let other = (kind == TwoAtOnce).then(|| self.start());
        let signal = if kind == Signal { ["TERM", "USR1", "INT"][self.below(3)] } else { "KILL" };
        self.interrupt(&child, signal);
        let said = self.finish(child);
        // -1: killed, if only before the program had a chance to say how it takes signals.
        let code = match signal {
            "KILL" => -1,
            "INT" => 130,
            _ => 75,
        };
        self.expect([0, code, -1].contains(&said.code), "stopped or done", &said);
        if said.code > 0 {
            let command = said.stderr.lines().last().unwrap_or_default().split_once("; resume with: ");
            self.expect(command.is_some(), "how to go on", &said);
        }
        if let Some(other) = other {
            let said = self.finish(other);
            self.expect(said.code == 0, "the other is not disturbed", &said);
        }
        said.code != 0
    }

    fn strike_disk(&mut self, kind: Strike) -> bool {
        if self.disk.is_none() {
            return false;
        }
        let filler = self.run.with_file_name("filler");
        let message = match kind {
            FullDisk => {
                let mut file = fs::File::create(&filler).unwrap();
                while file.write_all(&[0; 4096]).is_ok() {}
                let full = file.metadata().unwrap().len();
                file.set_len(full.saturating_sub(self.below(1 << 18) as u64)).unwrap();
                "No space left on device"
            }
            _ => {
                self.remount("ro");
                "Read-only file system"
            }
        };
        let child = self.start();
        let said = self.finish(child);
        if said.code != 0 {
            self.expect(said.code == 1, "the machine refuses", &said);
            self.expect_refusal(&said, message);
        }
        match kind {
            FullDisk => fs::remove_file(filler).unwrap(),
            _ => self.remount("rw"),
        }
        true
    }

    fn remount(&self, options: &str) {
        self.disk.as_ref().expect("there is a disk").remount(options);
    }

    fn strike_parts(&mut self, kind: Strike) -> bool {
        let folder = self.run.join("parts");
        let names: Vec<String> = self.sound().into_iter().collect();
        if names.is_empty() {
            return false;
        }
        if kind == LostParts {
            names
                .iter()
                .filter(|_| self.below(2) == 0)
                .for_each(|name| fs::remove_file(folder.join(name)).unwrap());
        } else {
            let path = folder.join(&names[self.below(names.len())]);
            self.damage(&path, kind == FlippedBit);
        }
        true
    }

    /// Flips a bit of a file, or cuts it off.
    fn damage(&mut self, path: &Path, flip: bool) {
        let mut bytes = fs::read(path).unwrap();
        let bit = self.below(8 * bytes.len());
        match flip {
            true => bytes[bit / 8] ^= 1 << (bit % 8),
            false => bytes.truncate(bit / 8),
        }
        fs::write(path, bytes).unwrap();
    }

    fn add_files(&mut self, kind: Strike) -> bool {
        let folder = self.run.join("parts");
        if !folder.exists() {
            return false;
        }
        let (name, bytes) = self.parts.first_key_value().unwrap();
        if kind == Leftover {
            fs::write(folder.join(format!("{name}.host-7-00ff.partial")), &bytes[..bytes.len() / 2]).unwrap();
        } else {
            // A whole part under a name of no unit, and something that is none.
            fs::write(folder.join(name.replace("-0", "-9")), bytes).unwrap();
            fs::write(folder.join("notes.jsonl"), "{}\n").unwrap();
            // And half of what was kept of a unit.
            let begun = self.run.join("begun");
            fs::create_dir_all(&begun).unwrap();
            fs::write(begun.join(name), &bytes[..bytes.len() / 2]).unwrap();
        }
        true
    }

    fn damage_file(&mut self, kind: Strike) -> bool {
        let path = self.run.join(if kind == DamagedTable { "trials.parquet" } else { "manifest.json" });
        if !path.exists() {
            return false;
        }
        let flip = self.below(2) == 0;
        self.damage(&path, flip);
        if kind == DamagedManifest {
            let child = self.start();
            let said = self.finish(child);
            // What is there for people alone may say something else.
            if said.code != 0 {
                self.expect([1, 2, 4].contains(&said.code), "the manifest is refused", &said);
                self.expect_refusal(
                    &said,
                    if said.code == 4 { "another plan" } else { "run/manifest.json: " },
                );
            }
            // Without it, the parts are taken over as they are.
            fs::remove_file(&path).unwrap();
        }
        true
    }

    /// Runs to the end: exactly the records of a run in peace, and nothing else that counts. Then makes room for more.
    fn end_in_peace(&mut self) {
        self.tell("to the end");
        let arguments = ["run", "x.toml", "--out", "disk/run"];
        let begun = Instant::now();
        let said = self.finish(
            command(self.folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap(),
        );
        self.peace = self.peace.min(begun.elapsed());
        self.expect(said.code == 0, "a run ends", &said);
        let table = fs::read(self.run.join("trials.parquet")).unwrap();
        self.expect(table == self.table, "the records of a run in peace", &said);
        let parts: BTreeMap<String, Vec<u8>> = parts(&self.run).into_iter().collect();
        self.expect(parts == self.parts, "the parts of a run in peace", &said);
        if self.below(2) == 0 {
            fs::remove_dir_all(&self.run).unwrap();
        } else {
            let _ = fs::remove_dir_all(self.run.join("set-aside"));
            fs::remove_file(self.run.join("trials.parquet")).unwrap();
            self.strike_parts(LostParts);
        }
    }
}
