use anyhow::anyhow;

use super::{Arguments, Job};
use harness::Failure;

pub(super) const FILE: &str = "job.yaml";

/// Longest name of a job; Kubernetes appends a suffix for each pod.
const NAME_LENGTH: usize = 50;

/// An Indexed Job with a shard for each index.
pub(super) fn files(job: &Job<'_>, arguments: &Arguments) -> Result<Vec<(&'static str, String)>, Failure> {
    let Job { name, shards, threads, .. } = job;
    let (image, claim) = (arguments.image.as_deref(), arguments.claim.as_deref());
    let (image, claim) = image.zip(claim).expect("required with this engine");
    for (option, path) in [("EXPERIMENT", &job.experiment), ("--out", &job.run), ("--data", &job.data_root)] {
        let text = path.display().to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if path.is_absolute() || text.starts_with('-') || !text.chars().all(plain) {
            let expected = "a path relative to the claim, of letters, digits, `-`, `_`, `.` and `/`";
            return Err(Failure::Input(anyhow!("{option} is {text}, expected {expected}")));
        }
    }
    for (option, value) in [("--image", image), ("--claim", claim)] {
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@".contains(c)) {
            let message =
                format!("{option} is {value:?}, expected letters, digits, `-`, `_`, `.`, `/`, `:` and `@`");
            return Err(Failure::Input(anyhow!(message)));
        }
    }
    let label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let label = format!("zerospace-{label}");
    let label = label[..label.len().min(NAME_LENGTH)].trim_end_matches('-');
    let parallelism = job.max_running.unwrap_or(*shards).min(*shards);
    // Retries of the whole job: several for each shard.
    let backoff = 6 * shards;
    let mut words = job.run_arguments();
    words.push(format!("$(JOB_COMPLETION_INDEX)/{shards}"));
    let command: String = words.iter().map(|word| format!("            - \"{word}\"\n")).collect();
    let run = job.run.display();
    let yaml = format!(
        r#"# The shards of {name}, written by `zerospace submit`:
#   kubectl apply -f {FILE} && kubectl wait --for=condition=complete --timeout=-1s job/{label}
# and then `zerospace merge {run}` and `zerospace report {run}`, where the claim is mounted.
apiVersion: batch/v1
kind: Job
metadata:
  name: {label}
spec:
  completionMode: Indexed
  completions: {shards}
  parallelism: {parallelism}
  backoffLimit: {backoff}
  podFailurePolicy:
    rules:
      # Stopped by a signal, in good order, or taken from its node: begun again, and not counted.
      - action: Ignore
        onExitCodes:
          containerName: shard
          operator: In
          values: [75]
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
      # Wrong input, another plan, records that contradict each other: no use in trying again.
      - action: FailJob
        onExitCodes:
          containerName: shard
          operator: In
          values: [2, 4, 6]
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120
      containers:
        - name: shard
          image: "{image}"
          workingDir: /campaign
          command: ["zerospace"]
          args:
{command}          resources:
            requests:
              cpu: "{threads}"
          volumeMounts:
            - name: campaign
              mountPath: /campaign
      volumes:
        - name: campaign
          persistentVolumeClaim:
            claimName: "{claim}"
"#
    );
    Ok(vec![(FILE, yaml)])
}
