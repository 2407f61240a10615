//! Commands on campaigns of single faults; the commands of the same names on trials hand these over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use campaign::{Shard, SingleFaultExperiment, run_faults};
use design::{FaultRecord, FaultedTensor, SingleFaultSpec};
use harness::{Failure, FaultReport, SingleFaults};
use inject::sampling::distinct;
use quant::Checkpoint;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use records::{Environment, FAULTS, FaultStore, MergedFaults, RunArguments};
use serde::Serialize;

use crate::commands::run::environment;
use crate::commands::status::Unfinished;
use crate::terminal::document::{Document, Shown, path, paths};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{data, progress_line};
use crate::terminal::progress::{Terminal, bar, log_line};
use crate::terminal::signals;

/// Returns the text of an experiment file if it is one of single faults.
pub(crate) fn source(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().filter(|text| campaign::is_single_fault(text))
}

/// Runs what is missing of a campaign in `out`; then merges and reports, unless it was only a shard.
pub(crate) fn run(
    (path, source): (&Path, String),
    by: RunArguments,
    out: Option<&Path>,
    shard: Option<Shard>,
    machine: &Machine,
) -> Result<Outcome, Failure> {
    let threads = machine.start()?;
    let observer = Terminal::default();
    let loaded = SingleFaults::load(source, path, &machine.data(), &observer)?;
    let root = out.map_or_else(|| loaded.experiment.run_directory(), Path::to_path_buf);
    let manifest = loaded.manifest(Environment { arguments: Some(by), ..environment(threads) });
    log_line(&format!(
        "{}: {} of {} single faults of {}, in units of {}, on {} images of {} {}, to {}",
        loaded.experiment.name,
        manifest.faults,
        loaded.spec.faults(),
        loaded.spec.model,
        manifest.unit_faults,
        loaded.spec.evaluation.images,
        loaded.spec.evaluation.name,
        loaded.spec.evaluation.split,
        root.display()
    ));
    let store = signals::whole(|| FaultStore::create(&root, manifest))?;
    let share = shard.unwrap_or(Shard::WHOLE);
    let own = (0..store.manifest().units()).filter(|&unit| share.takes(unit as usize));
    let bar = bar(own.map(|unit| store.manifest().unit_size(unit)).sum(), "faults");
    let mut begun = false;
    let mut progress = |stored| match std::mem::replace(&mut begun, true) {
        false => bar.begin_at(stored),
        true => bar.set_position(stored),
    };
    let mut evaluate = |faults: &[u64]| loaded.evaluate(faults);
    let outcome = signals::polled(|| {
        run_faults(&store, &loaded.faults, share, &mut evaluate, &signals::control, &mut progress)
    });
    bar.finish_and_clear();
    let outcome = outcome?;
    let stored = (outcome.kept + outcome.computed) as usize;
    if (outcome.left > 0 || shard.is_none())
        && let Some(stopped) = signals::stopped(stored, stored + outcome.left as usize, None)
    {
        return Ok(stopped);
    }
    let counts = format!("{} units were there, {} computed", outcome.kept, outcome.computed);
    match shard {
        Some(shard) => {
            progress_line(&format!("shard {shard}: {counts}"));
            Ok(Outcome::Done)
        }
        None => {
            progress_line(&counts);
            match merge(&root)? {
                Outcome::Done => report(&root, &root),
                other => Ok(other),
            }
        }
    }
}

/// Merges the parts of a campaign into `faults.parquet`.
pub(crate) fn merge(root: &Path) -> Result<Outcome, Failure> {
    let store = FaultStore::open(root)?;
    match signals::whole(|| store.merge())? {
        MergedFaults::Complete(path) => {
            data(&path.display().to_string());
            Ok(Outcome::Done)
        }
        MergedFaults::Missing(missing) => {
            progress_line(&format!(
                "incomplete: {missing} of {} units are missing; `zerospace run` resumes",
                store.manifest().units()
            ));
            Ok(Outcome::Incomplete)
        }
    }
}

/// Writes the report of a campaign, which is merged first if it is not yet.
pub(crate) fn report(root: &Path, out: &Path) -> Result<Outcome, Failure> {
    let store = FaultStore::open(root)?;
    if !root.join(FAULTS).exists() && merge(root)? != Outcome::Done {
        return Ok(Outcome::Incomplete);
    }
    let report = FaultReport::new(&store)?;
    let written = signals::last(|| report.write(out))?;
    data(&format!("{}\n{}", report.headline(), paths(&written).join("\n")));
    Ok(Outcome::Done)
}

/// Prints how many faults of a campaign are stored, or which of its shards are unfinished.
pub(crate) fn status(root: &Path, shards: Option<u64>, shown: &Shown) -> Result<Outcome, Failure> {
    let store = FaultStore::open(root)?;
    let manifest = store.manifest();
    let done = done(&store)?;
    match shards {
        Some(count) => {
            let missing = (0..manifest.units()).filter(|unit| !done.contains(unit));
            let unfinished: BTreeSet<u64> =
                missing.map(|unit| Shard::of(unit as usize, count).index()).collect();
            let unfinished = unfinished.into_iter().collect();
            shown.format.show(&Unfinished { run: path(root), shards: count, unfinished });
        }
        None => shown.format.show(&Status {
            run: path(root),
            experiment: &manifest.experiment,
            faults: done.iter().map(|&unit| manifest.unit_size(unit)).sum(),
            needed_faults: manifest.faults,
        }),
    }
    Ok(if done.len() as u64 == manifest.units() { Outcome::Done } else { Outcome::Incomplete })
}

/// Returns the stored units of a campaign: those with a part, or all if it is merged and has no parts any more.
fn done(store: &FaultStore) -> Result<BTreeSet<u64>, Failure> {
    let merged = !store.root().join("parts").exists() && store.all().is_ok();
    Ok(if merged { (0..store.manifest().units()).collect() } else { store.done()? })
}

/// Returns the number of stored faults of a run directory, if it is one of single faults.
pub(crate) fn stored(root: &Path) -> Result<Option<u64>, Failure> {
    if !FaultStore::is_at(root) {
        return Ok(None);
    }
    let store = FaultStore::open(root)?;
    Ok(Some(done(&store)?.iter().map(|&unit| store.manifest().unit_size(unit)).sum()))
}

/// Progress of a campaign.
#[derive(Serialize)]
struct Status<'a> {
    run: String,
    experiment: &'a str,
    faults: u64,
    needed_faults: u64,
}

impl Document for Status<'_> {
    const FORMAT: &'static str = "zerospace.fault-status/1";

    fn text(&self) -> String {
        format!("{} of {} faults", self.faults, self.needed_faults)
    }
}

/// Returns name, run directory and number of units of a campaign for `zerospace submit`, which reads no images.
pub(crate) fn shards_of(
    (path, source): (&Path, String),
    out: Option<&Path>,
) -> Result<(String, PathBuf, u64), Failure> {
    let experiment = SingleFaultExperiment::parse(&source, path).map_err(Failure::input)?;
    let checkpoint = Checkpoint::load(&experiment.model().checkpoint).map_err(Failure::input)?;
    let tensors = checkpoint
        .weights
        .iter()
        .map(|weight| FaultedTensor { name: weight.name().into(), weights: weight.values().len() as u64 });
    let units = experiment.units(tensors.collect());
    let root = out.map_or_else(|| experiment.run_directory(), Path::to_path_buf);
    Ok((experiment.name, root, units))
}

/// Recomputes a sample of the stored faults by full passes, and compares the records.
pub(crate) fn verify(
    (path, source): (&Path, String),
    out: Option<&Path>,
    (sample, seed): (usize, u64),
    machine: &Machine,
) -> Result<Outcome, Failure> {
    machine.start()?;
    let mut loaded = SingleFaults::load(source, path, &machine.data(), &Terminal::default())?;
    let root = out.map_or_else(|| loaded.experiment.run_directory(), Path::to_path_buf);
    let store = FaultStore::open(&root)?;
    let there = &store.manifest().id;
    if *there != loaded.spec.id() {
        return Err(Failure::OtherPlan(anyhow!(
            "{}: this campaign has the id {there}, expected {} of the experiment",
            root.display(),
            loaded.spec.id()
        )));
    }
    let stored = store.all()?;
    let count = sample.min(stored.len()) as u64;
    let chosen = distinct(&mut ChaCha8Rng::seed_from_u64(seed), stored.len() as u64, count);
    let bar = bar(count, "faults");
    for index in chosen {
        let record = stored[index as usize];
        let computed = loaded.evaluate_in_full(&[record.fault])[0];
        if computed != record {
            bar.finish_and_clear();
            return Err(Failure::Verification(anyhow!(
                "{}: {} is stored as {} but recomputed as {}",
                root.display(),
                named(&loaded.spec, &record),
                json(&record),
                json(&computed)
            )));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    progress_line(&format!(
        "{count} of {} stored faults came out the same in full passes (--sample {sample} --seed {seed})",
        stored.len()
    ));
    Ok(Outcome::Done)
}

/// A fault in words.
fn named(spec: &SingleFaultSpec, record: &FaultRecord) -> String {
    let (tensor, index, bit) = spec.place(record.fault);
    format!("fault {}, bit {bit} of weight {index} of {},", record.fault, spec.tensors[tensor].name)
}

fn json(record: &FaultRecord) -> String {
    serde_json::to_string(record).expect("plain data serializes")
}

/// Returns the run directory of a command's argument, a directory or an experiment file of single faults; `None` if it is of
/// trials.
pub(crate) fn directory(run: &Path, out: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if run.is_dir() {
        return Ok(FaultStore::is_at(run).then(|| run.to_path_buf()));
    }
    let Some(source) = source(run) else { return Ok(None) };
    let experiment = SingleFaultExperiment::parse(&source, run).map_err(Failure::input)?;
    let root = out.map_or_else(|| experiment.run_directory(), Path::to_path_buf);
    fs::metadata(root.join("manifest.json"))
        .with_context(|| {
            format!("no campaign of {} in {}, `zerospace run` begins one", run.display(), root.display())
        })
        .map_err(Failure::Input)?;
    Ok(Some(root))
}
