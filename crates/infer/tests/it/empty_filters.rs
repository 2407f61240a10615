//! Batch norms behind filters without weights are constants, and dangerous until they are written as such.

use graph::WeightChange;
use infer::Network;
use quant::{Checkpoint, Contents};

use crate::random;

/// A network whose filter 3 of the first layer is empty, with the running variance that training leaves behind it.
fn with_an_empty_filter(graph: &graph::Graph) -> Contents {
    let mut contents = random::checkpoint(graph, 5).into_contents();
    let first = contents.weights[0].clone();
    let mut values = first.values().to_vec();
    let filter = values.len() / first.shape()[0];
    values[3 * filter..4 * filter].fill(0);
    contents.weights[0] = first.with_values(values).unwrap();
    for (suffix, value) in [("running_var", 1e-9), ("running_mean", 0.0)] {
        let tensor = contents.parameters.get_mut(&format!("bn1.{suffix}")).unwrap();
        tensor.values_mut()[3] = value;
    }
    contents
}

#[test]
fn folded_they_give_the_same_logits_and_faults_behind_them_none() {
    let graph = zoo::build(&random::spec("resnet20", 0.5, 32)).unwrap();
    let contents = with_an_empty_filter(&graph);
    let amplified = contents.amplified_filters(&graph);
    assert_eq!((amplified.len(), amplified[0].weights.as_str()), (1, "conv1.weight"));
    assert_eq!((amplified[0].channel, amplified[0].nonzero), (3, 0));
    assert!(amplified[0].gain > 100.0 && amplified[0].median < 3.0, "{amplified:?}");

    let mut folded = contents.clone();
    assert_eq!(folded.fold_empty_filters(&graph), 1);
    assert_eq!(folded.fold_empty_filters(&graph), 0);
    assert!(folded.amplified_filters(&graph).is_empty());
    let pixels = random::pixels(12, graph.spec(), 9);
    let [mut before, mut after] =
        [contents, folded].map(|contents| Network::new(&graph, &Checkpoint::new(contents).unwrap()).unwrap());
    let inputs = before.prepare(&pixels).unwrap();
    assert_eq!(before.logits(&inputs, &[]), after.logits(&inputs, &[]));
    let filter = 3 * 3 * 3;
    let flip = [WeightChange { tensor: 0, index: 3 * filter + 4, value: 64 }];
    assert_ne!(before.logits(&inputs, &flip), before.logits(&inputs, &[]));
    assert_eq!(after.logits(&inputs, &flip), after.logits(&inputs, &[]));
    let elsewhere = [WeightChange { tensor: 0, index: 4, value: -128 }];
    assert_eq!(before.logits(&inputs, &elsewhere), after.logits(&inputs, &elsewhere));
}
