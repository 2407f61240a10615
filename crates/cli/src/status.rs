use std::collections::BTreeSet;
use std::path::PathBuf;

use campaign::Shard;
use clap::Args;
use records::{PlannedCell, Rejected, Standing, Store, Unit};

use crate::exit::{Failure, Outcome};
use crate::output::{data, markdown, progress_line};

/// Show how much of a run is done; exit 5 while it is incomplete
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Run directory
    run: PathBuf,
    /// Print only which of N shards are unfinished, with commas between them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    unfinished_shards: Option<u64>,
}

const HELP: &str = "\
Only files are read: no queue, no accounting.

Examples:
  zerospace status runs/resnet20-cifar10
  zerospace status runs/resnet20-cifar10 --unfinished-shards 8";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.run)?;
    let scan = store.scan()?;
    scan.rejected.iter().for_each(report_rejected);
    let manifest = store.manifest();
    let standing = |cell: &PlannedCell| manifest.standing(&cell.id, &scan.done);
    let standings: Vec<Standing> = manifest.cells.iter().map(standing).collect();
    if let Some(count) = arguments.unfinished_shards {
        let missing: BTreeSet<&Unit> = standings.iter().flat_map(|cell| &cell.missing).collect();
        let units = manifest.units().into_iter().enumerate().filter(|(_, unit)| missing.contains(unit));
        let unfinished: BTreeSet<u64> =
            units.map(|(position, _)| Shard::of(position, count).index()).collect();
        data(&unfinished.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
        return Ok(if unfinished.is_empty() { Outcome::Done } else { Outcome::Incomplete });
    }
    let (mut all_done, mut all_needed) = (0, 0);
    let rows: Vec<Vec<String>> = manifest
        .cells
        .iter()
        .zip(&standings)
        .map(|(cell, standing)| {
            let (mut trials, mut unchanged) = (0, 0);
            for unit in &standing.counted {
                trials += unit.count;
                unchanged += scan.done[unit].trials.iter().filter(|t| t.weights_changed == 0).count();
            }
            // A cell with enough failures needs no more.
            let needed = if standing.missing.is_empty() { trials } else { manifest.trials };
            all_done += trials;
            all_needed += needed;
            let spec = &cell.spec;
            vec![
                cell.id.to_string(),
                spec.model.clone(),
                spec.protection.clone(),
                spec.fault_model.clone(),
                format!("{:e}", spec.rate),
                format!("{trials}/{needed}"),
                unchanged.to_string(),
            ]
        })
        .collect();
    let columns = ["cell", "model", "protection", "faults", ">rate", ">trials", ">unchanged"];
    data(&format!("{}\n{all_done} of {all_needed} trials", markdown(&columns, &rows)));
    Ok(if all_done == all_needed { Outcome::Done } else { Outcome::Incomplete })
}

/// Tells of a part that does not count.
pub(crate) fn report_rejected(part: &Rejected) {
    progress_line(&format!("not counted: {}: {}", part.path.display(), part.reason));
}
