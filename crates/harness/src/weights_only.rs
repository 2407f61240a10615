//! Checkpoints of weights without layers, which only an evaluator of the user's own can run.

use graph::{ModelSpec, Preprocessing};
use quant::{Activations, Checkpoint, Contents, InvalidCheckpoint, Parameters, Provenance, QuantTensor};

/// Architecture of a checkpoint that holds weights and nothing else.
const WEIGHTS_ONLY: &str = "weights-only";

/// A checkpoint of weights in memory order. It has no layers, so that no executor of ours runs it; `source` says where the
/// weights are from.
///
/// # Errors
/// If a weight is -128, a scale is not finite and positive, or values do not fill their shape.
pub fn weights_only(weights: Vec<QuantTensor>, source: &str) -> Result<Checkpoint, InvalidCheckpoint> {
    Checkpoint::new(Contents {
        model: ModelSpec::new(WEIGHTS_ONLY, 1, [1, 1, 1]),
        layers: Vec::new(),
        preprocessing: Preprocessing::new(vec![0.0], vec![1.0]).expect("finite"),
        weights,
        parameters: Parameters::new(),
        activations: Activations::Static(Default::default()),
        provenance: Provenance {
            source: source.into(),
            weight_edits: "none".into(),
            calibration: "none".into(),
            written_by: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
            ..Provenance::default()
        },
    })
}

/// True if a checkpoint holds weights and nothing else.
pub(crate) fn is_weights_only(model: &ModelSpec) -> bool {
    model.architecture == WEIGHTS_ONLY
}

#[cfg(test)]
mod tests {
    use quant::{LevelsPerUnit, WeightScale};

    use super::*;

    #[test]
    fn weights_without_layers_come_back_from_a_file_and_run_nowhere() {
        let scale = WeightScale::Tensor(LevelsPerUnit::ONE);
        let tensor = QuantTensor::new("fc".into(), vec![2, 2], vec![1, -127, 0, 127], scale).unwrap();
        let checkpoint = weights_only(vec![tensor], "a test").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fc.safetensors");
        checkpoint.save(&path).unwrap();
        let read = Checkpoint::load(&path).unwrap();
        assert_eq!((read.digest(), &read.weights), (checkpoint.digest(), &checkpoint.weights));
        assert!(is_weights_only(&read.model));
        let refused = zoo::build_stored(&read.model, &read.layers).unwrap_err().to_string();
        assert!(refused.contains("weights-only"), "{refused}");
    }
}
