use graph::Graph;
use quant::{FloatTensor, Parameters};
use zoo::{bind, build};

use crate::architectures::spec;

fn zeros(graph: &Graph) -> Parameters {
    let zero = |shape: Vec<usize>| FloatTensor::new(shape.clone(), vec![0.0; shape.iter().product()]);
    graph.parameters().into_iter().map(|p| (p.name, zero(p.shape))).collect()
}

#[test]
fn exactly_the_parameters_of_the_graph_are_kept() {
    let graph = build(&spec("resnet20", 10, 32, 1.0)).unwrap();
    let mut parameters = zeros(&graph);
    parameters.insert("bn1.num_batches_tracked".into(), FloatTensor::new(vec![], vec![1.0]));
    assert_eq!(bind(&graph, parameters).unwrap(), zeros(&graph));
}

#[test]
fn the_auxiliary_classifier_is_left_out_knowingly() {
    let graph = build(&spec("inception_v3", 10, 75, 0.1)).unwrap();
    let mut parameters = zeros(&graph);
    parameters.insert("AuxLogits.fc.bias".into(), FloatTensor::new(vec![10], vec![0.0; 10]));
    assert_eq!(bind(&graph, parameters).unwrap(), zeros(&graph));
    // Elsewhere such a parameter is as unexpected as any other.
    let graph = build(&spec("resnet20", 10, 32, 0.5)).unwrap();
    let mut parameters = zeros(&graph);
    parameters.insert("AuxLogits.fc.bias".into(), FloatTensor::new(vec![10], vec![0.0; 10]));
    assert_eq!(bind(&graph, parameters).unwrap_err().unexpected, ["AuxLogits.fc.bias"]);
}

#[test]
fn everything_that_does_not_fit_is_listed() {
    let graph = build(&spec("resnet20", 10, 32, 1.0)).unwrap();
    let mut parameters = zeros(&graph);
    parameters.remove("conv1.weight");
    parameters.remove("linear.bias");
    parameters.insert("fc.bias".into(), FloatTensor::new(vec![10], vec![0.0; 10]));
    parameters.insert("linear.weight".into(), FloatTensor::new(vec![100, 64], vec![0.0; 6400]));
    // The same number of elements is not the same shape.
    parameters.insert("layer1.0.conv1.weight".into(), FloatTensor::new(vec![16, 144], vec![0.0; 2304]));
    assert_eq!(
        bind(&graph, parameters).unwrap_err().to_string(),
        "the parameters do not fit resnet20 (10 classes, input 3x32x32, width 1)
2 missing: conv1.weight [16, 3, 3, 3]; linear.bias [10]
1 unexpected: fc.bias
2 of another shape: layer1.0.conv1.weight is [16, 144], expected [16, 16, 3, 3]; \
         linear.weight is [100, 64], expected [10, 64]"
    );
}

#[test]
fn a_long_list_is_cut_and_counted() {
    let graph = build(&spec("resnet20", 10, 32, 0.5)).unwrap();
    let error = bind(&graph, Parameters::new()).unwrap_err();
    assert_eq!(error.missing.len(), 97);
    assert_eq!(
        error.to_string(),
        "the parameters do not fit resnet20 (10 classes, input 3x32x32, width 0.5)
97 missing: conv1.weight [8, 3, 3, 3]; bn1.weight [8]; bn1.bias [8]; and 94 more"
    );
}
