//! A process as evaluator, by the example of the manual.

use std::path::Path;

use crate::program::{root, succeed, workshop, zerospace};

/// The text of the first block of a language in the manual's page.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/src/own-evaluator.md")).unwrap();
    let (_, after) = page.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0.into()
}

fn prepare(folder: &Path) {
    let network = root().join("experiments/networks/squeezenet-synthetic.safetensors");
    std::fs::copy(network, folder.join("squeezenet.safetensors")).unwrap();
    std::fs::write(folder.join("score.toml"), block("toml")).unwrap();
    std::fs::write(folder.join("score.sh"), block("sh,ignore")).unwrap();
}

#[test]
fn the_example_of_the_manual_scores_resumes_and_verifies() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder);
    let plan = succeed(folder, &["plan", "score.toml"]);
    assert!(plan.contains("scored by unchanged (higher is better)"), "{plan}");
    succeed(folder, &["run", "score.toml", "--shard", "1/2", "--out", "shards"]);
    succeed(folder, &["run", "score.toml", "--shard", "0/2", "--out", "shards"]);
    succeed(folder, &["merge", "shards"]);
    succeed(folder, &["run", "score.toml"]);
    let rows = records::read_trials(&folder.join("runs/score/trials.parquet")).unwrap();
    assert_eq!(rows, records::read_trials(&folder.join("shards/trials.parquet")).unwrap());
    assert_eq!(rows.len(), 2 * 2 * 4);
    for row in &rows {
        assert_eq!(row.clean_scores, [100.0]);
        assert!(
            row.record.scores[0] <= 100.0
                && (row.record.weights_changed == 0) == (row.record.scores[0] == 100.0)
        );
    }
    let finding = std::fs::read_to_string(folder.join("runs/score/determinism.json")).unwrap();
    assert!(finding.contains("\"deterministic\": true"), "{finding}");
    succeed(folder, &["status", "score.toml"]);
    let verified = zerospace(folder, &["verify", "score.toml", "--sample", "16"]);
    assert!(verified.code == 0 && verified.stderr.contains("16 of 16 stored trials"), "{}", verified.stderr);
    let replayed = succeed(folder, &["replay", "score.toml", rows[0].cell.as_str(), "0"]);
    assert!(replayed.contains("\"scores\":["), "{replayed}");

    // The form of the weights does not enter: the process sees a line of other length, but the same trials.
    let files = block("toml").replace("[evaluator]", "[evaluator]\nweights = \"file-float\"");
    std::fs::write(folder.join("files.toml"), files.replace("name = \"score\"", "name = \"files\"")).unwrap();
    std::fs::write(
        folder.join("score.sh"),
        "read -r header\necho '{\"ready\": true}'\nwhile read -r trial; do\n  file=${trial#*\\\"file\\\":\\\"}\n  \
         size=$(wc -c < \"${file%%\\\"*}\")\n  echo \"{\\\"scores\\\": {\\\"unchanged\\\": $((size))}}\"\ndone\n",
    )
    .unwrap();
    succeed(folder, &["run", "files.toml"]);
    let rows = records::read_trials(&folder.join("runs/files/trials.parquet")).unwrap();
    let weights = rows[0].weights as f64;
    assert!(
        rows.iter().all(|row| row.record.scores[0] > 4.0 * weights && row.record.scores == row.clean_scores)
    );
}

#[test]
fn wrong_processes_are_named_with_command_trial_and_expectation() {
    let workshop = workshop();
    let folder = workshop.path();
    prepare(folder);
    let ready = "read -r header\necho '{\"ready\": true}'\n";
    let good = "read -r trial\necho '{\"scores\": {\"unchanged\": 1}}'\n";
    let refused = |script: &str| {
        std::fs::write(folder.join("score.sh"), script).unwrap();
        let said = zerospace(folder, &["run", "score.toml", "--out", "wrong"]);
        assert_eq!(said.code, 2, "{}", said.stderr);
        said.stderr.lines().find(|line| line.starts_with("error: ")).unwrap().to_string()
    };
    let expected = "expected {\"scores\": {\"unchanged\": NUMBER}}";
    assert_eq!(
        refused("read -r header\necho hello\n"),
        "error: evaluator `sh score.sh` answered `hello`, expected {\"ready\": true} after the first line"
    );
    assert_eq!(
        refused("exit 3\n"),
        "error: evaluator `sh score.sh` ended with exit status: 3, expected {\"ready\": true} after the first line"
    );
    let clean = refused(&format!("{ready}read -r trial\necho '{{\"scores\": {{\"unchanged\": NaN}}}}'\n"));
    assert!(
        clean.ends_with(&format!(
            "squeezenet: without faults: evaluator `sh score.sh` answered `{{\"scores\": {{\"unchanged\": NaN}}}}`, {expected}"
        )),
        "{clean}"
    );
    let ended = refused(&format!("{ready}{good}"));
    assert!(
        ended.contains(", trial 0: evaluator `sh score.sh` ended with exit status: 0, expected "),
        "{ended}"
    );
    // Three trials are finished before it: two evaluations of one trial, and a trial.
    refused(&format!("{ready}{good}{good}{good}{good}"));
    assert!(std::fs::read_dir(folder.join("wrong/begun")).unwrap().count() > 0);
    let slow = block("toml").replace("[evaluator]", "[evaluator]\ntimeout_s = 1");
    std::fs::write(folder.join("score.toml"), slow).unwrap();
    assert_eq!(
        refused("read -r header\nread -r nothing\nsleep 600\n"),
        "error: evaluator `sh score.sh` gave no answer in 1 s (`evaluator.timeout_s`), expected {\"ready\": true} \
         after the first line"
    );
}
