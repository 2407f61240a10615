use std::path::Path;
use std::process::Command;

use anyhow::{Context, anyhow};

use super::{Arguments, Job};
use crate::terminal::shell;
use harness::Failure;

const SHARDS: &str = "shards.sbatch";
const FINISH: &str = "finish.sbatch";

/// The batch files: an array of shards, and the job behind it.
pub(super) fn files(job: &Job<'_>, arguments: &Arguments) -> Result<Vec<(&'static str, String)>, Failure> {
    let folder = job.run.join("slurm").display().to_string();
    if folder.contains(|c: char| c.is_whitespace() || "\"'%\\#".contains(c)) {
        let expected =
            "a path without spaces, quotes, `%`, `#` and `\\`, which sbatch does not take as they are";
        return Err(Failure::Input(anyhow!(
            "the run directory is {}, expected {expected}",
            job.run.display()
        )));
    }
    let own = [
        ("--time", &arguments.time),
        ("--partition", &arguments.partition),
        ("--account", &arguments.account),
    ];
    let own = own.into_iter().filter_map(|(option, value)| Some(format!("{option}={}", value.as_ref()?)));
    let options: Vec<String> = own.chain(arguments.sbatch_arg.iter().cloned()).collect();
    if let Some(option) = options.iter().find(|option| option.contains(char::is_control)) {
        return Err(Failure::Input(anyhow!("{option:?}: expected an option of sbatch in one line")));
    }
    let options: String = options.iter().map(|option| format!("#SBATCH {option}\n")).collect();

    let Job { name, shards, threads, .. } = job;
    let word = |path: &Path| shell::word(&path.display().to_string());
    let (program, run) = (word(&job.program), word(&job.run));
    let status = format!("{program} status {} --out {run}", word(&job.experiment));
    let at_once = job.max_running.map_or(String::new(), |most| format!("%{most}"));
    let last = shards - 1;
    let command: Vec<String> = job.run_arguments().iter().map(|word| shell::word(word)).collect();
    let command = command.join(" ");
    let shards_file = format!(
        r#"#!/bin/bash
# The shards of {name}, written by `zerospace submit`. What is unfinished is submitted again with
#   sbatch --array="$({status} --unfinished-shards {shards})" {folder}/{SHARDS}
#SBATCH --job-name={name}
#SBATCH --array=0-{last}{at_once}
#SBATCH --cpus-per-task={threads}
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --output={folder}/shard-%a.log
#SBATCH --open-mode=append
{options}
# In the place of the shell, so that the warning 2 minutes before the end of the time reaches it. The number of
# shards is written out, because SLURM_ARRAY_TASK_COUNT is that of one submission, which may be of a few.
exec {program} {command} "$SLURM_ARRAY_TASK_ID/{shards}"
"#
    );
    let finish_file = format!(
        r#"#!/bin/bash
# Merges and reports {name}, written by `zerospace submit`. It comes after all shards, however they ended; when trials
# are missing and the last round has finished some, the unfinished shards are submitted again, and this behind them.
#SBATCH --job-name={name}-finish
#SBATCH --requeue
#SBATCH --output={folder}/finish.log
#SBATCH --open-mode=append
{options}
stored_before=${{1:-0}}
unfinished=$({status} --unfinished-shards {shards})
code=$?
if [ $code = 0 ]; then
    {program} merge {run} && exec {program} report {run}
    exit
fi
# The last line is "N of M trials" or "N of M faults".
stored=$({status} | tail -n 1 | cut -d ' ' -f 1)
if [ $code != 5 ] || [ "$stored" = "$stored_before" ]; then
    echo "the last round has stored nothing: see {folder}/shard-*.log; {folder}/{SHARDS} says how to go on" >&2
    exit $code
fi
echo "shards $unfinished go on" >&2
round=$(sbatch --parsable --array="$unfinished{at_once}" {folder}/{SHARDS}) || exit 5
exec sbatch --parsable --dependency="afterany:${{round%%;*}}" {folder}/{FINISH} "$stored"
"#
    );
    Ok(vec![(SHARDS, shards_file), (FINISH, finish_file)])
}

/// Submits both files and returns their ids, one per line. `stored` is the number of trials or single faults in the run directory.
pub(super) fn submit(folder: &Path, stored: u64) -> Result<String, Failure> {
    let shards = sbatch(&[], &folder.join(SHARDS), None)?;
    // "ID" or "ID;CLUSTER".
    let id = shards.split(';').next().unwrap_or_default();
    // It runs after any end of the shards: a failed shard must not block the merge of the others.
    let dependency = format!("--dependency=afterany:{id}");
    let finish = sbatch(&[&dependency], &folder.join(FINISH), Some(stored))
        .map_err(|failure| Failure::Machine(anyhow!("the shards are queued as {id}, but {failure}")))?;
    Ok(format!("shards {shards}\nfinish {finish}"))
}

fn sbatch(options: &[&str], file: &Path, argument: Option<u64>) -> Result<String, Failure> {
    let mut command = Command::new("sbatch");
    command.arg("--parsable").args(options).arg(file).args(argument.map(|argument| argument.to_string()));
    let without = "sbatch (--dry-run only shows the files, --engine parallel needs no cluster)";
    let output = command.output().context(without).map_err(Failure::Machine)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => {
            let said = text(&output.stderr).replace('\n', "; ");
            Err(Failure::Machine(anyhow!("sbatch {}: {said}", file.display())))
        }
    }
}
