//! Parts of Markdown files that come from the records of runs.
//!
//! A part is the text between two comments. The first comment names its content and a directory, relative to the file:
//!
//! ```text
//! <!-- zerospace report: drops results/reproduce -->
//! ...
//! <!-- zerospace report: end -->
//! ```

use std::path::{Path, PathBuf};

use analysis::{Estimates, Statistic, conditions, drop_table};
use anyhow::anyhow;
use records::{Manifest, Store};

use crate::terminal::exit::Outcome;
use crate::terminal::output::{data, markdown};
use crate::terminal::signals;
use harness::{Failure, RunReport};

const BEGIN: &str = "<!-- zerospace report: ";
const CLOSE: &str = " -->";
const END: &str = "<!-- zerospace report: end -->";

/// Rewrites the parts of `files` from their runs, or checks that they agree with them.
pub(crate) fn splice(files: &[PathBuf], check: bool) -> Result<Outcome, Failure> {
    for file in files {
        let name = file.display().to_string();
        let refused = |error| Failure::machine(error).at(name.clone());
        let text = std::fs::read_to_string(file).map_err(refused)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let Spliced { text: new, parts, stale } = spliced(&text, folder).map_err(|e| e.at(name.clone()))?;
        if let (true, Some(first)) = (check, stale.first()) {
            return Err(Failure::Verification(anyhow!(
                "{name}, {first}: differs from the records; `zerospace report --splice {name}` rewrites it"
            )));
        }
        if !stale.is_empty() {
            signals::whole(|| durable::write(file, new.as_bytes())).map_err(refused)?;
        }
        data(&format!("{name}: parts from runs: {parts}, rewritten: {}", stale.len()));
    }
    Ok(Outcome::Done)
}

struct Spliced {
    text: String,
    parts: usize,
    /// Parts that differ from the records: line and name.
    stale: Vec<String>,
}

fn spliced(text: &str, folder: &Path) -> Result<Spliced, Failure> {
    let wrong = |number: usize, what: String| Failure::Input(anyhow!("line {number}: {what}"));
    let mut out = String::new();
    let (mut parts, mut stale) = (0, Vec::new());
    let mut lines = (1..).zip(text.split_inclusive('\n'));
    while let Some((number, line)) = lines.next() {
        out.push_str(line);
        if line.trim() == END {
            return Err(wrong(number, format!("`{END}` without a part before it")));
        }
        let Some(name) = line.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(CLOSE)) else {
            continue;
        };
        let mut old = String::new();
        let end = loop {
            match lines.next() {
                Some((_, line)) if line.trim() == END => break line,
                Some((_, line)) if !line.trim().starts_with(BEGIN) => old.push_str(line),
                _ => return Err(wrong(number, format!("part `{name}` has no end, expected `{END}`"))),
            }
        };
        let place = format!("line {number}, part `{name}`");
        let new = part(name, folder).map_err(|error| error.at(place.clone()))?;
        let new = format!("\n{}\n\n", new.trim());
        parts += 1;
        if new != old {
            stale.push(place);
        }
        out.push_str(&new);
        out.push_str(end);
    }
    if parts == 0 {
        let expected = format!("`{BEGIN}drops results/NAME{CLOSE}`");
        return Err(Failure::Input(anyhow!("no part to splice, expected a line such as {expected}")));
    }
    Ok(Spliced { text: out, parts, stale })
}

fn part(name: &str, folder: &Path) -> Result<String, Failure> {
    match name.split_once(' ') {
        Some(("drops", run)) => drops(run, folder),
        Some(("runs", root)) => runs(root, folder),
        _ => Err(Failure::Input(anyhow!("expected `drops DIR` or `runs DIR`"))),
    }
}

/// The drop table of a run with its conditions and the command that computed it.
fn drops(run: &str, folder: &Path) -> Result<String, Failure> {
    let store = Store::open(&folder.join(run))?;
    let report = RunReport::new(&store)?;
    Ok(format!(
        "{}.\n\n{}\nFrom `{}`; all results are in [{run}]({run}/report.md).",
        conditions(&report.estimates),
        drop_table(&report.estimates, Statistic::AllTrials),
        report.command()
    ))
}

/// A row for each run in a directory, by name.
fn runs(root: &str, folder: &Path) -> Result<String, Failure> {
    let place = folder.join(root);
    let mut names = Vec::new();
    let refused = |error| Failure::machine(error).at(place.display().to_string());
    for entry in std::fs::read_dir(&place).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        if entry.path().join("trials.parquet").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut rows = Vec::new();
    for name in &names {
        let store = Store::open(&place.join(name))?;
        let estimates = RunReport::new(&store)?.estimates;
        rows.push(row(&format!("{root}/{name}").replace("./", ""), name, store.manifest(), &estimates));
    }
    let columns = ["run", "images", "networks", "protections", "fault models", "rates", ">cells", ">trials"];
    Ok(markdown(&columns, &rows))
}

fn row(path: &str, name: &str, manifest: &Manifest, estimates: &Estimates) -> Vec<String> {
    let specs = || manifest.cells.iter().map(|cell| &cell.spec);
    let distinct = |mut names: Vec<String>| {
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    };
    let few = |names: Vec<String>| match names.len() {
        ..=4 => names.join(", "),
        many => many.to_string(),
    };
    let mut rates: Vec<f64> = specs().map(|spec| spec.rate.get()).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let rates = match rates.as_slice() {
        [low, .., high] => format!("{low:e} to {high:e}"),
        rates => rates.iter().map(|rate| format!("{rate:e}")).collect(),
    };
    let evaluation = &manifest.cells[0].spec.evaluation;
    let trials: u64 = estimates.summaries().iter().map(|cell| cell.trials).sum();
    vec![
        format!("[{name}]({path}/report.md)"),
        format!("{} of {}", evaluation.images, evaluation.name),
        few(distinct(specs().map(|spec| spec.model.to_string()).collect())),
        few(distinct(specs().map(|spec| spec.protection.to_string()).collect())),
        few(distinct(specs().map(|spec| format!("`{}`", spec.fault_model)).collect())),
        rates,
        manifest.cells.len().to_string(),
        trials.to_string(),
    ]
}
