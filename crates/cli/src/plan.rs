use std::path::PathBuf;

use campaign::TrialsOf;
use clap::Args;

use crate::exit::{Failure, Outcome};
use crate::images::left_out;
use crate::loading::{Machine, Prepared};
use crate::output::{data, markdown};

/// Check an experiment and show its cells; run nothing
///
/// P(changed) is the probability that in an ordinary trial some stored word, padding included, reads back wrong: where it
/// is small, nearly all trials lose nothing, and `trials_of = "changed"` in the experiment draws only the others.
/// `unknown` where it has no closed form.
#[derive(Args)]
#[command(after_help = "Example:\n  zerospace plan experiments/resnet20-cifar10.toml")]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let prepared = Prepared::load(&arguments.experiment, &arguments.machine)?;
    let experiment = &prepared.experiment;
    let expected = campaign::expected_outcomes(&prepared.networks, &prepared.cells);
    let rows: Vec<Vec<String>> = prepared
        .cells
        .iter()
        .map(|cell| {
            let id = cell.id();
            let changed = expected.iter().find(|e| e.cell == id);
            let bits = cell.stored.data_bits + cell.stored.check_bits;
            vec![
                id.to_string(),
                cell.model.clone(),
                cell.protection.clone(),
                format!("{:e}", cell.rate),
                cell.stored.data_bits.to_string(),
                cell.stored.check_bits.to_string(),
                format!("{:.1}", bits as f64 * cell.rate),
                changed.map_or("unknown".into(), |e| format!("{:.3e}", e.changed_probability)),
            ]
        })
        .collect();
    let columns = [
        "cell",
        "model",
        "protection",
        ">rate",
        ">data bits",
        ">check bits",
        ">expected flips a trial",
        ">P(changed)",
    ];
    let trials = match experiment.trials_of {
        TrialsOf::All => "",
        TrialsOf::Changed => " of those in which a stored word reads back wrong",
    };
    let set = &prepared.cells[0].evaluation;
    data(&format!(
        "{}\n{} cells x {} trials{trials} = {} trials, {} faults, seed {}, on {} images of {} {}{}",
        markdown(&columns, &rows),
        rows.len(),
        experiment.trials,
        rows.len() as u64 * experiment.trials,
        experiment.fault_model,
        experiment.seed,
        set.images,
        set.name,
        set.split,
        left_out(set),
    ));
    Ok(Outcome::Done)
}
