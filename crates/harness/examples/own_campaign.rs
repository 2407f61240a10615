//! Flips bits in a checkpoint under three protections and prints accuracy as a table.
#![allow(clippy::print_stdout)]

use campaign::StoredNetwork;
use design::{BitErrorRate, FaultKind};
use harness::{Cut, DataSets, Int8, stored_network};
use quant::Checkpoint;

const TRIALS: u64 = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/networks");
    let checkpoint = Checkpoint::load(format!("{folder}/resnet18-synthetic.safetensors").as_ref())?;
    let images = DataSets::new("data").images("synthetic", "test", Some(100), Cut::DEFAULT, &())?.set;
    let mut int8 = Int8::new(&checkpoint, &images, false, 64 << 20, &|_| {})?;
    let evaluation = int8.evaluation(&images);
    let network = stored_network("resnet18", &checkpoint);

    println!("| protection | fault-free | mean of {TRIALS} trials | DUE words |");
    println!("|---|---:|---:|---:|");
    for protection in ["faulty", "secded-72-64", "in-place-64-57"] {
        let memory = StoredNetwork::new(&network, ecc::by_id(protection)?)?;
        let rate = BitErrorRate::new(1e-3)?;
        let trials = (0..TRIALS).map(|number| memory.trial(FaultKind::Bernoulli, rate, 1, number));
        let records = evaluation.records(0, trials.collect(), &mut int8)?;
        let correct: u64 = records.iter().map(|trial| trial.correct).sum();
        let detected: u64 = records.iter().map(|trial| trial.detected).sum();
        println!(
            "| {protection} | {} % | {:.1} % | {detected} |",
            evaluation.clean_correct(),
            correct as f64 / TRIALS as f64
        );
    }
    Ok(())
}
