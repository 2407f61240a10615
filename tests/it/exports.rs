//! What people take out of a run: parts of their own texts, and trials for their own programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::program::{root, say, succeed, zerospace};

#[test]
fn the_published_texts_say_what_the_records_say() {
    let said = succeed(&root(), &["report", "--splice", "README.md", "results/README.md", "--check"]);
    assert_eq!(
        said,
        "README.md: parts from runs: 1, rewritten: 0\nresults/README.md: parts from runs: 1, rewritten: 0\n"
    );
}

#[test]
fn a_part_is_written_anew_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = root().join("results/resnet20-wot-cifar10");
    std::os::unix::fs::symlink(run, folder.path().join("run")).unwrap();
    let page = folder.path().join("page.md");
    let part = |inside: &str| {
        format!(
            "# Mine\n\n<!-- zerospace report: drops run -->\n{inside}<!-- zerospace report: end -->\n\nAfter."
        )
    };
    std::fs::write(&page, part("")).unwrap();

    let stale = zerospace(folder.path(), &["report", "--splice", "page.md", "--check"]);
    assert_eq!(stale.code, 6, "{}", stale.stderr);
    assert!(
        stale.stderr.starts_with("error: page.md, line 3, part `drops run`: differs from the records;"),
        "{}",
        stale.stderr
    );
    assert_eq!(std::fs::read_to_string(&page).unwrap(), part(""), "a check writes nothing");

    succeed(folder.path(), &["report", "--splice", "page.md"]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("# Mine\n\n<!-- zerospace report: drops run -->\n\nresnet20-wot · "), "{text}");
    assert!(text.ends_with("<!-- zerospace report: end -->\n\nAfter."), "{text}");
    assert!(
        text.contains("| ecc (secded-72-64)        |          12.5 % | 0.00 ± 0.00 | 0.02 ± 0.08 |"),
        "{text}"
    );
    succeed(folder.path(), &["report", "--splice", "page.md", "--check"]);

    // A number that somebody has changed is found.
    std::fs::write(&page, text.replace("0.02 ± 0.08", "0.01 ± 0.08")).unwrap();
    assert_eq!(zerospace(folder.path(), &["report", "--splice", "page.md", "--check"]).code, 6);
}

#[test]
fn parts_that_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    let (begin, end) = ("<!-- zerospace report: drops nowhere -->", "<!-- zerospace report: end -->");
    for (text, expected) in [
        ("# Nothing\n".to_string(), "page.md: no part to splice, expected a line such as"),
        (format!("{begin}\n"), "page.md: line 1: part `drops nowhere` has no end"),
        (format!("{begin}\n{begin}\n{end}\n"), "page.md: line 1: part `drops nowhere` has no end"),
        (format!("\n{end}\n"), "page.md: line 2: `<!-- zerospace report: end -->` without a part before it"),
        (format!("{begin}\n{end}\n"), "page.md: line 1, part `drops nowhere`: nowhere/manifest.json"),
        (
            format!("<!-- zerospace report: winners . -->\n{end}\n"),
            "page.md: line 1, part `winners .`: expected `drops DIR` or `runs DIR`",
        ),
    ] {
        std::fs::write(&page, &text).unwrap();
        let said = zerospace(folder.path(), &["report", "--splice", "page.md"]);
        assert!(said.code == 2 || said.code == 1, "{text}: {}", said.code);
        assert!(said.stderr.starts_with(&format!("error: {expected}")), "{text}: {}", said.stderr);
        assert_eq!(std::fs::read_to_string(&page).unwrap(), text);
    }
}

/// The snippets of the manual, on runs with ordinary and with changed trials, against the tables of their reports.
#[test]
fn the_manuals_snippets_read_the_trials() {
    let python = std::env::var("ZEROSPACE_PYTHON").unwrap_or_else(|_| "python3".into());
    for run in ["results/reproduce", "results/rare-events"] {
        let trials = root().join(run).join("trials.parquet");
        let expected = means(&std::fs::read_to_string(root().join(run).join("summary.csv")).unwrap());
        match can(&python, &["-c", "import pandas, pyarrow"]) {
            true => compare(&output(Command::new(&python).arg(snippet("trials.py")).arg(&trials)), &expected),
            false => say(&format!("docs/src/trials.py not run: {python} has no pandas with pyarrow")),
        }
        if can("Rscript", &["-e", "library(nanoparquet)"]) {
            compare(&output(Command::new("Rscript").arg(snippet("trials.R")).arg(&trials)), &expected);
        } else if can("Rscript", &["-e", "library(reticulate)"])
            && can(&python, &["-c", "import pandas, pyarrow"])
        {
            // Where the R package is not to be had, the same file is read through Python.
            let script = std::fs::read_to_string(snippet("trials.R")).unwrap();
            let reader = "(\\(p) reticulate::import('pyarrow.parquet')$read_table(p)$to_pydict())";
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("trials.R");
            std::fs::write(&path, script.replace("nanoparquet::read_parquet", reader)).unwrap();
            let mut command = Command::new("Rscript");
            compare(&output(command.arg(&path).arg(&trials).env("RETICULATE_PYTHON", &python)), &expected);
        } else {
            say("docs/src/trials.R not run: no Rscript with nanoparquet, or with reticulate and pandas");
        }
    }
}

fn snippet(name: &str) -> std::path::PathBuf {
    root().join("docs/src").join(name)
}

fn can(program: impl AsRef<Path>, arguments: &[&str]) -> bool {
    Command::new(program.as_ref()).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Mean drop and number of trials by model, fault model, protection and rate.
type Means = BTreeMap<(String, String, String, String), (f64, u64)>;

fn means(csv: &str) -> Means {
    let mut lines = csv.lines().map(|line| line.split(',').map(|v| v.trim_matches('"')).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let column = |names: [&str; 2]| head.iter().position(|name| names.contains(name)).unwrap();
    let [model, fault_model, protection] =
        ["model", "fault_model", "protection"].map(|name| column([name, name]));
    let (rate, mean) = (column(["rate", "rate"]), column(["mean", "drop_mean_points"]));
    let count = column(["count", "trials"]);
    lines
        .map(|line| {
            let rate: f64 = line[rate].parse().unwrap();
            let [model, fault_model, protection] =
                [model, fault_model, protection].map(|place| line[place].to_string());
            let key = (model, fault_model, protection, format!("{rate:e}"));
            (key, (line[mean].parse().unwrap(), line[count].parse().unwrap()))
        })
        .collect()
}

fn compare(csv: &str, expected: &Means) {
    let found = means(csv);
    assert_eq!(found.len(), expected.len());
    for (key, (mean, count)) in expected {
        let (found_mean, found_count) = found[key];
        assert_eq!(found_count, *count, "{key:?}");
        assert!((found_mean - mean).abs() <= 1e-12 + 1e-9 * mean.abs(), "{key:?}: {found_mean} for {mean}");
    }
}
