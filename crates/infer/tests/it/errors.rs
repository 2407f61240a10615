//! Each error names the place, the value and the expectation.

use infer::Network;
use quant::{Checkpoint, Contents, FloatTensor, LevelsPerUnit, QuantTensor, WeightScale};

use crate::random;

/// Returns the compilation error for a checkpoint of a small ResNet-20 after `damage`.
fn refusal(damage: impl FnOnce(&mut Contents)) -> String {
    let graph = zoo::build(&random::spec("resnet20", 0.25, 32)).unwrap();
    let mut contents = random::checkpoint(&graph, 3).into_contents();
    damage(&mut contents);
    let checkpoint = Checkpoint::new(contents).unwrap();
    Network::new(&graph, &checkpoint).unwrap_err().to_string()
}

fn set(checkpoint: &mut Contents, name: &str, index: usize, value: f32) {
    let tensor = &checkpoint.parameters[name];
    let (shape, mut values) = (tensor.shape().to_vec(), tensor.values().to_vec());
    values[index] = value;
    checkpoint.parameters.insert(name.into(), FloatTensor::new(shape, values));
}

#[test]
fn another_model() {
    assert_eq!(
        refusal(|c| c.model.classes = 11),
        "the checkpoint is of resnet20 (11 classes, input 3x32x32, width 0.25), expected resnet20 (10 classes, \
         input 3x32x32, width 0.25), which the graph was built from"
    );
}

#[test]
fn other_layers() {
    let graph = crate::listed::graph();
    let contents = random::checkpoint(&graph, 3).into_contents();
    let checkpoint = Checkpoint::new(Contents { layers: vec![], ..contents }).unwrap();
    assert_eq!(
        Network::new(&graph, &checkpoint).unwrap_err().to_string(),
        "the checkpoint is of listed (10 classes, input 3x13x11, width 1), expected listed (10 classes, input \
         3x13x11, width 1) with 33 listed layers, which the graph was built from"
    );
}

#[test]
fn weights_out_of_order_or_shape() {
    assert_eq!(
        refusal(|c| {
            c.weights.pop();
        }),
        "the checkpoint has 19 weight tensors, expected 20"
    );
    assert_eq!(
        refusal(|c| c.weights.swap(1, 2)),
        "weight tensor 1 is layer1.0.conv2.weight [8, 8, 3, 3], expected layer1.0.conv1.weight [8, 8, 3, 3]"
    );
    assert_eq!(
        refusal(|c| {
            let w = &c.weights[0];
            let (name, values) = (w.name().into(), w.values().to_vec());
            c.weights[0] = QuantTensor::new(name, vec![8, 27], values, w.scale().clone()).unwrap();
        }),
        "weight tensor 0 is conv1.weight [8, 27], expected conv1.weight [8, 3, 3, 3]"
    );
}

#[test]
fn scales() {
    assert_eq!(
        refusal(|c| c.activations.scales_mut().unwrap().get_mut("input").unwrap().signed = false),
        "the activation scale of input has signed = false, expected true"
    );
    assert_eq!(
        refusal(|c| {
            c.activations.scales_mut().unwrap().remove("input");
        }),
        "the checkpoint has no activation scale for input"
    );
}

#[test]
fn parameters() {
    assert_eq!(
        refusal(|c| {
            c.parameters.remove("bn1.running_mean");
        }),
        "parameter bn1.running_mean is missing from the checkpoint"
    );
    assert_eq!(
        refusal(|c| {
            c.parameters.insert("bn1.bias".into(), FloatTensor::new(vec![2], vec![0.0; 2]));
        }),
        "parameter bn1.bias has shape [2], expected [8]"
    );
}

#[test]
fn scales_that_leave_f32() {
    let message = refusal(|c| {
        set(c, "bn1.weight", 2, 3e38);
        let (w, scale) = (&c.weights[0], WeightScale::Tensor(LevelsPerUnit::new(1e-30).unwrap()));
        let (name, shape) = (w.name().into(), w.shape().to_vec());
        c.weights[0] = QuantTensor::new(name, shape, w.values().to_vec(), scale).unwrap();
    });
    assert!(message.starts_with("the requantization of channel 2 of "), "{message}");
    assert!(message.contains(" is x * inf + "), "{message}");
}

#[test]
fn pixels() {
    let graph = zoo::build(&random::spec("resnet20", 0.25, 32)).unwrap();
    let checkpoint = random::checkpoint(&graph, 3);
    let network = Network::new(&graph, &checkpoint).unwrap();
    assert_eq!(
        network.prepare(&[0; 3073]).unwrap_err().to_string(),
        "3073 pixel values, expected a multiple of 3072, the size of one image"
    );
}
