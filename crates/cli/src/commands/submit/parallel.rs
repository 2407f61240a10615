use super::Job;
use crate::terminal::shell;

pub(super) const FILE: &str = "shards.txt";

/// Commands, one per line; their order does not matter.
pub(super) fn files(job: &Job<'_>) -> Vec<(&'static str, String)> {
    let program = job.program.display().to_string();
    let command = |index: u64| {
        let mut words = vec![program.clone()];
        words.extend(job.run_arguments());
        words.push(format!("{index}/{}", job.shards));
        words.iter().map(|word| shell::word(word)).collect::<Vec<_>>().join(" ") + "\n"
    };
    vec![(FILE, (0..job.shards).map(command).collect())]
}
