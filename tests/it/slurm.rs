//! A run on a real Slurm cluster, of three virtual nodes on this machine, under everything that clusters do to jobs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{command, prepare, root, say, succeed, workshop};

/// The programs a cluster needs, and what they come in.
const NEEDED: [&str; 5] = ["slurmctld", "slurmd", "sbatch", "scontrol", "munged"];
const PACKAGES: &str = "slurmctld slurmd slurm-client munge";

const NODES: u16 = 3;
const SHARDS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(110);

/// A path of programs that has daemons on it, too.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

struct Cluster {
    lab: PathBuf,
}

impl Cluster {
    /// Starts a cluster, or says why there is none.
    fn start(lab: &Path) -> Option<Self> {
        let lacking = |program: &&&str| {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {program}")])
                .env("PATH", path())
                .output();
            !found.is_ok_and(|found| found.status.success())
        };
        if let Some(program) = NEEDED.iter().find(lacking) {
            say(&format!(
                "SKIPPED a run on Slurm: no {program} (apt-get install --no-install-recommends {PACKAGES})"
            ));
            return None;
        }
        let cluster = Self { lab: lab.into() };
        let port = free_ports();
        let started = cluster.script("up.sh", &[&NODES.to_string(), "2", &port.to_string()]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        Some(cluster)
    }

    fn script(&self, name: &str, arguments: &[&str]) -> std::process::Output {
        let script = root().join("tests/slurm").join(name);
        self.in_cluster(Command::new(script).arg(&self.lab).args(arguments)).output().unwrap()
    }

    fn in_cluster<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("PATH", path()).env("SLURM_CONF", self.lab.join("etc/slurm.conf"))
    }

    /// Asks or orders; what was said.
    fn order(&self, words: &str) -> String {
        let mut words = words.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let output = self.in_cluster(command.args(words)).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Array task and node of everything that runs.
    fn running(&self) -> Vec<(String, String)> {
        let lines =
            self.order("squeue --noheader --array --states=RUNNING --Format=ArrayTaskID:9,NodeList:9");
        let pair = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>().try_into().ok();
        lines.lines().filter_map(pair).map(|[task, node]: [String; 2]| (task, node)).collect()
    }

    /// Stops the controller, which then saves what it knows, and starts it again.
    fn restart_controller(&self) {
        let id = std::fs::read_to_string(self.lab.join("run/slurmctld.pid")).unwrap();
        self.order(&format!("kill {}", id.trim()));
        while Path::new("/proc").join(id.trim()).exists() {
            std::thread::yield_now();
        }
        self.order(&format!("slurmctld -f {}", self.lab.join("etc/slurm.conf").display()));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("down.sh", &[]);
    }
}

/// A port with enough free ones behind it.
fn free_ports() -> u16 {
    let first = 20_000 + (std::process::id() % 2_000) as u16 * 10;
    let free = |port: &u16| (*port..=port + NODES).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    (first..first + 2_000).step_by(10).find(free).unwrap()
}

fn stored(run: &Path) -> usize {
    std::fs::read_dir(run.join("parts")).map_or(0, Iterator::count)
}

/// Waits until something is so; otherwise fails with what the run has said.
fn wait(run: &Path, cluster: &Cluster, what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        if Instant::now() > end {
            let mut said = cluster.order("squeue");
            for log in std::fs::read_dir(run.join("slurm")).unwrap() {
                let log = log.unwrap().path();
                said += &format!("==> {}\n{}", log.display(), std::fs::read_to_string(&log).unwrap());
            }
            panic!("{what}: not in {PATIENCE:?}\n{said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cluster_that_loses_nodes_time_and_its_controller_ends_in_the_same_bytes() {
    let workshop = workshop();
    let folder = workshop.path();
    let Some(cluster) = Cluster::start(&folder.join("lab")) else { return };
    prepare(folder, 200);
    succeed(folder, &["run", "x.toml", "--out", "reference"]);
    let reference = std::fs::read(folder.join("reference/trials.parquet")).unwrap();
    let run = folder.join("run");

    let shards = SHARDS.to_string();
    let submit =
        ["submit", "x.toml", "--engine", "slurm", "--shards", &shards, "--out", "run", "--time", "00:10:00"];
    let submitted = cluster.in_cluster(&mut command(folder, &submit)).output().unwrap();
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));
    assert_eq!(String::from_utf8(submitted.stdout).unwrap(), "shards 1\nfinish 2\n");
    wait(&run, &cluster, "the shards begin", || {
        stored(&run) >= 4 * SHARDS && cluster.running().len() == SHARDS
    });

    // One task is warned of the end of its time; one fails, and is not queued again; a node fails, with all on it.
    let tasks = cluster.running();
    let (_, failed_node) = &tasks[0];
    let others: Vec<&String> =
        tasks.iter().filter(|(_, node)| node != failed_node).map(|(task, _)| task).collect();
    let [warned, ended, ..] = others[..] else { panic!("{tasks:?}") };
    cluster.order(&format!("scancel --signal=USR1 --batch 1_{warned}"));
    cluster.order(&format!("scancel --signal=KILL --batch 1_{ended}"));
    let killed = cluster.script("kill-node.sh", &[failed_node]);
    assert!(killed.status.success(), "{}", String::from_utf8_lossy(&killed.stderr));
    cluster.order(&format!("scontrol update nodename={failed_node} state=down reason=test"));
    // A second copy of a shard is at work all the while, as after a node that was only cut off.
    let copy =
        ["run", "x.toml", "--out", "run", "--shard", &format!("{}/{SHARDS}", tasks[0].0), "--data", "data"];
    let mut copy = command(folder, &copy).stderr(Stdio::null()).spawn().unwrap();
    let log = |name: &str| std::fs::read_to_string(run.join("slurm").join(name)).unwrap();
    let warned_log = || log(&format!("shard-{warned}.log"));
    wait(&run, &cluster, "a warned and a killed task end", || {
        warned_log().contains("stopped by SIGUSR1") && cluster.running().iter().all(|(task, _)| task != ended)
    });
    cluster.restart_controller();

    wait(&run, &cluster, "the run ends", || run.join("report.md").exists());
    assert!(copy.wait().unwrap().success());
    assert!(std::fs::read(run.join("trials.parquet")).unwrap() == reference, "other records than in one run");
    assert!(!run.join("set-aside").exists());
    // Both were unfinished after the first round, and went on in a second.
    let finish = log("finish.log");
    let mut both = [warned.as_str(), ended.as_str()];
    both.sort();
    assert!(finish.contains(&format!("shards {} go on\n", both.join(","))), "{finish}");
}
