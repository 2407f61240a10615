use graph::{Graph, ModelSpec, Op, ParameterSpec, Variant};
use proptest::prelude::*;
use zoo::{ARCHITECTURES, build, model, variants};

pub(crate) fn spec(architecture: &str, classes: usize, side: usize, width: f64) -> ModelSpec {
    ModelSpec { width, ..ModelSpec::new(architecture, classes, [3, side, side]) }
}

fn published(architecture: &str, classes: usize, side: usize) -> Graph {
    build(&spec(architecture, classes, side, 1.0)).unwrap()
}

fn size(p: &ParameterSpec) -> usize {
    p.shape.iter().product()
}

/// Parameters as PyTorch counts them (running statistics are buffers), stored weights, and the number of
/// tensors that hold those.
fn counts(graph: &Graph) -> (usize, usize, usize) {
    let trained = graph.parameters().iter().filter(|p| !p.name.contains(".running_")).map(size).sum();
    let weights = graph.stored_weights();
    (trained, weights.iter().map(size).sum(), weights.len())
}

#[test]
fn parameter_counts_are_the_published_ones() {
    // torchvision's documentation gives the first number of each ImageNet network.
    assert_eq!(counts(&published("resnet18", 1000, 224)), (11_689_512, 11_678_912, 21));
    assert_eq!(counts(&published("alexnet", 1000, 224)).0, 61_100_840);
    // 27,161,264 with the auxiliary classifier, whose convolutions (768 to 128, 1x1; 128 to 768, 5x5), batch
    // norms and 768-1000 linear layer have 3,326,696. Of the rest 2 * 17,216 are batch norm's and 1,000 biases.
    let inception = published("inception_v3", 1000, 299);
    let auxiliary = 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000;
    assert_eq!(counts(&inception), (27_161_264 - auxiliary, 23_799_136, 95));
    assert_eq!(counts(&inception).0, 23_834_568);
    assert_eq!(counts(&published("resnet34", 1000, 224)).0, 21_797_672);
    assert_eq!(counts(&published("resnet50", 1000, 224)).0, 25_557_032);
    assert_eq!(counts(&published("resnet152", 1000, 224)).0, 60_192_808);
    assert_eq!(counts(&published("squeezenet1_0", 1000, 224)), (1_248_424, 1_244_448, 26));
    assert_eq!(counts(&published("squeezenet1_1", 1000, 224)).0, 1_235_496);
    assert_eq!(counts(&published("vgg16", 1000, 224)), (138_357_544, 138_344_128, 16));
    assert_eq!(counts(&published("vgg16_bn", 1000, 224)), (138_365_992, 138_344_128, 16));
    // 0.27 M in table 6 of the paper. By hand: 16 * 27 + 6 * 16 * 144 + 32 * 144 + 5 * 32 * 288 + 64 * 288
    // + 5 * 64 * 576 + 640 weights, 2 * 688 of batch norm, 10 biases.
    assert_eq!(counts(&published("resnet20", 10, 32)), (269_722, 268_336, 20));
    // Two more blocks a stage: 4 * (144 * 16 + 288 * 32 + 576 * 64) weights, 4 * 2 * 112 of batch norm. 0.46 M, 0.66 M and
    // 0.85 M in table 6.
    assert_eq!(counts(&published("resnet32", 10, 32)), (464_154, 461_872, 32));
    assert_eq!(counts(&published("resnet44", 10, 32)), (658_586, 655_408, 44));
    assert_eq!(counts(&published("resnet56", 10, 32)), (853_018, 848_944, 56));
}

#[test]
fn parameters_have_pytorch_names() {
    let names = |graph: &Graph| graph.parameters().into_iter().map(|p| p.name).collect::<Vec<_>>();
    let resnet20 = names(&published("resnet20", 10, 32));
    assert_eq!(resnet20[..2], ["conv1.weight", "bn1.weight"]);
    assert!(resnet20.contains(&"layer3.2.bn2.running_var".into()));
    assert_eq!(resnet20.len(), 97);
    let resnet18 = names(&published("resnet18", 10, 32));
    assert!(resnet18.contains(&"layer2.0.downsample.0.weight".into()));
    assert!(resnet18.contains(&"layer4.0.downsample.1.running_mean".into()));
    assert_eq!(resnet18[resnet18.len() - 2..], ["fc.weight", "fc.bias"]);
    let resnet50 = names(&published("resnet50", 1000, 224));
    assert!(resnet50.contains(&"layer1.0.downsample.0.weight".into()));
    assert!(resnet50.contains(&"layer4.2.bn3.running_var".into()));
    let alexnet = names(&published("alexnet", 1000, 224));
    let expected = [0, 3, 6, 8, 10].map(|i| format!("features.{i}.weight"));
    assert!(expected.iter().all(|name| alexnet.contains(name)), "{alexnet:?}");
    let inception = published("inception_v3", 1000, 299);
    let names_of_weights = inception.stored_weights().into_iter().map(|p| p.name).collect::<Vec<_>>();
    assert_eq!(names_of_weights[0], "Conv2d_1a_3x3.conv.weight");
    assert!(names_of_weights.contains(&"Mixed_7c.branch3x3dbl_3b.conv.weight".into()));
    assert!(names(&inception).contains(&"Mixed_6b.branch7x7_2.bn.running_var".into()));
    let vgg = published("vgg16", 1000, 224);
    let convs: Vec<String> =
        vgg.stored_weights().into_iter().map(|p| p.name.trim_end_matches(".weight").to_string()).collect();
    // torchvision's `features` counts convolutions, ReLUs and pools alike.
    let indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let expected = indices.map(|i| format!("features.{i}"));
    assert_eq!(convs[..13], expected);
    assert_eq!(convs[13..], ["classifier.0", "classifier.3", "classifier.6"]);
    let vgg_bn = published("vgg16_bn", 10, 32);
    assert!(names(&vgg_bn).contains(&"features.41.running_mean".into()), "{:?}", names(&vgg_bn));
    let squeezenet = names(&published("squeezenet1_0", 1000, 224));
    assert!(squeezenet.contains(&"features.12.expand3x3.bias".into()));
    assert!(squeezenet.contains(&"classifier.1.weight".into()));
    // Ours: not in torchvision.
    let plain = names(&published("squeezenet1_1", 10, 32));
    let squeezenet_bn = names(&published("squeezenet1_1_bn", 10, 32));
    assert!(squeezenet_bn.contains(&"features.12.expand3x3_bn.running_var".into()), "{squeezenet_bn:?}");
    let without: Vec<String> = squeezenet_bn.into_iter().filter(|name| !name.contains("_bn.")).collect();
    assert_eq!(without, plain);
}

#[test]
fn specifications_without_a_variant_mean_the_cifar_stem_at_32_pixels() {
    let conv_shape = |graph: &Graph| graph.nodes()[1].shape.clone();
    assert_eq!(conv_shape(&published("resnet18", 10, 32)), [64, 32, 32]);
    assert_eq!(conv_shape(&published("resnet18", 10, 64)), [64, 32, 32]);
    assert_eq!(conv_shape(&published("resnet18", 10, 224)), [64, 112, 112]);
    let pools = |graph: &Graph| graph.nodes().iter().filter(|n| matches!(n.op, Op::MaxPool(_))).count();
    assert_eq!(pools(&published("resnet18", 10, 32)), 0);
    assert_eq!(pools(&published("resnet18", 10, 224)), 1);
    let last_map = |name, side| {
        let graph = published(name, 10, side);
        graph.nodes().iter().rev().find(|n| n.shape.len() == 3).unwrap().shape.clone()
    };
    assert_eq!(last_map("squeezenet1_0", 32), [10, 4, 4]);
    assert_eq!(last_map("squeezenet1_1", 32), [10, 4, 4]);
    assert_eq!(last_map("squeezenet1_0", 224), [10, 13, 13]);
    assert_eq!(last_map("squeezenet1_1", 224), [10, 13, 13]);
    assert_eq!(last_map("inception_v3", 299), [2048, 8, 8]);
    assert_eq!(last_map("vgg16", 32), [512, 1, 1]);
    assert_eq!(last_map("vgg16", 224), [512, 7, 7]);
    // 14.7 M of convolutions, and 512-512-10.
    assert_eq!(counts(&published("vgg16", 10, 32)).0, 14_714_688 + 2 * (512 * 512 + 512) + 5130);
}

#[test]
fn width_scales_hidden_channels_to_multiples_of_eight() {
    let graph = build(&spec("resnet20", 10, 32, 0.3)).unwrap();
    let shape = |name: &str| graph.parameters().into_iter().find(|p| p.name == name).unwrap().shape;
    // 4.8 -> 8 (the least), 9.6 -> 8, 19.2 -> 16.
    assert_eq!(shape("conv1.weight"), [8, 3, 3, 3]);
    assert_eq!(shape("layer2.0.conv1.weight"), [8, 8, 3, 3]);
    assert_eq!(shape("layer3.0.conv1.weight"), [16, 8, 3, 3]);
    assert_eq!(shape("linear.weight"), [10, 16]);
    let graph = build(&spec("vgg16", 10, 224, 0.5)).unwrap();
    assert!(graph.parameters().iter().any(|p| p.name == "classifier.3.weight" && p.shape == [2048, 2048]));
}

#[test]
fn a_bad_specification_is_refused_with_its_field() {
    let error = |spec: ModelSpec| build(&spec).unwrap_err().to_string();
    assert_eq!(
        error(spec("resnet19", 10, 32, 1.0)),
        "architecture is `resnet19`, expected one of alexnet, inception_v3, resnet18, resnet20, resnet32, \
         resnet34, resnet44, resnet50, resnet56, resnet152, squeezenet1_0, squeezenet1_1, squeezenet1_1_bn, vgg16, vgg16_bn"
    );
    assert_eq!(error(spec("vgg16", 0, 32, 1.0)), "classes of vgg16 is 0, expected 1..=1048576");
    for width in [0.0, -1.0, 17.0, f64::NAN, f64::INFINITY] {
        assert_eq!(
            error(spec("resnet20", 10, 32, width)),
            format!("width of resnet20 is {width}, expected a number above 0 and at most 16")
        );
    }
    assert_eq!(
        error(spec("vgg16_bn", 10, 64, 1.0)),
        "input size of vgg16_bn is 64x64, expected 224x224 for its variant torchvision"
    );
    assert_eq!(
        error(named("vgg16_bn", Variant::Torchvision, 32)),
        "input size of vgg16_bn is 32x32, expected 224x224 for its variant torchvision, or its variant cifar"
    );
    assert_eq!(
        error(spec("squeezenet1_0", 10, 28, 1.0)),
        "input size of squeezenet1_0 is 28x28, expected height and width in 29..=4096 for its variant torchvision, or \
         its variant cifar"
    );
    assert_eq!(
        error(spec("resnet20", 10, 7, 1.0)),
        "input size of resnet20 is 7x7, expected height and width in 8..=4096"
    );
    for (architecture, variant, expected) in [
        (
            "resnet20",
            Variant::Torchvision,
            "variant of resnet20 is torchvision, expected none: there is one form of it",
        ),
        ("vgg16", Variant::CifarMaxpool, "variant of vgg16 is cifar-maxpool, expected torchvision or cifar"),
    ] {
        let refused = model(architecture, Some(variant), 1.0, 10, [3, 32, 32]).unwrap_err().to_string();
        assert_eq!(refused, expected);
        let stored = ModelSpec { variant: Some(variant), ..spec(architecture, 10, 32, 1.0) };
        assert_eq!(error(stored), expected);
    }
    assert_eq!(
        error(ModelSpec { input: [0, 32, 32], ..spec("resnet20", 10, 32, 1.0) }),
        "input channels of resnet20 is 0, expected 1..=1024"
    );
}

/// A network by its name, as a person names it.
fn named(architecture: &str, variant: Variant, side: usize) -> ModelSpec {
    model(architecture, Some(variant), 1.0, 10, [3, side, side]).unwrap()
}

#[test]
fn a_name_is_torchvisions_network_at_every_size() {
    let stem = |model: &ModelSpec| match &build(model).unwrap().nodes()[1].op {
        Op::Conv(conv) => (conv.kernel, conv.stride, conv.padding),
        other => panic!("{other:?}"),
    };
    for side in [25, 32, 33, 64, 224] {
        let by_name = |name: &str| model(name, None, 1.0, 10, [3, side, side]).unwrap();
        assert_eq!(stem(&by_name("resnet18")), ([7, 7], [2, 2], [3, 3]), "at {side}");
        assert_eq!(stem(&by_name("squeezenet1_1")), ([3, 3], [2, 2], [0, 0]), "at {side}");
        assert_eq!(stem(&named("resnet18", Variant::Cifar, side)), ([3, 3], [1, 1], [1, 1]), "at {side}");
    }
}

#[test]
fn every_variant_is_built_from_its_least_size_to_its_largest() {
    for (architecture, variant, least) in [
        ("resnet18", Variant::Torchvision, 1),
        ("resnet50", Variant::Cifar, 1),
        ("squeezenet1_0", Variant::Torchvision, 29),
        ("squeezenet1_1", Variant::Torchvision, 25),
        ("squeezenet1_1_bn", Variant::Torchvision, 25),
        ("squeezenet1_0", Variant::Cifar, 12),
        ("squeezenet1_1", Variant::Cifar, 12),
    ] {
        build(&named(architecture, variant, least)).unwrap();
        assert!(build(&named(architecture, variant, least - 1)).is_err(), "{architecture} {variant:?}");
    }
}

#[test]
fn one_network_has_one_specification() {
    for architecture in ARCHITECTURES {
        let variants = variants(architecture).unwrap();
        for side in [32, 64, 224] {
            for variant in variants.iter().copied() {
                let named = named(architecture, variant, side);
                assert_eq!(zoo::variant(&named), Some(variant));
                assert_eq!(named.variant.is_none(), variant == Variant::implied(named.input));
            }
            assert_eq!(zoo::variant(&spec(architecture, 10, side, 1.0)).is_some(), !variants.is_empty());
        }
    }
}

proptest! {
    #[test]
    fn every_specification_is_built_or_refused(
        architecture in 0..ARCHITECTURES.len(),
        classes in prop_oneof![0..20usize, Just(usize::MAX), Just(1 << 20)],
        input in prop::array::uniform3(prop_oneof![0..300usize, Just(32), Just(224), Just(4096), Just(usize::MAX)]),
        width in prop_oneof![0.0..2.0, -1e300..1e300, Just(f64::NAN), Just(1e-300), Just(16.0)],
        variant in prop::option::of(prop::sample::select(Variant::ALL.to_vec())),
    ) {
        let spec = ModelSpec { architecture: ARCHITECTURES[architecture].into(), classes, input, width, variant };
        if let Ok(graph) = build(&spec) {
            prop_assert_eq!(&graph.nodes().last().unwrap().shape, &[classes]);
            for p in graph.stored_weights() {
                prop_assert!(p.shape.iter().all(|&n| n > 0));
            }
        }
    }
}
