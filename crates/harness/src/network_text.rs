//! Sentences about a network: its form, its input, and warnings about either.

use data::{ImageSet, ResizeCrop};
use graph::{Layer, ModelSpec, Preprocessing, Variant};

use crate::images::has_image_files;
use crate::weights_only::is_weights_only;

/// Standard deviations that separate an accuracy from that of guessing.
const CHANCE_DEVIATIONS: f64 = 3.0;

/// Lines that describe a float network: its form, the choices made on reading it (`reading`), its preprocessing for images
/// of `set`, and warnings.
pub fn description(
    model: &ModelSpec,
    layers: &[Layer],
    reading: &[String],
    preprocessing: &Preprocessing,
    set: &str,
) -> Vec<String> {
    let mut lines = vec![format!("network: {}", architecture(model, layers))];
    lines.extend(reading.iter().map(|choice| format!("read as: {choice}")));
    lines.push(format!("preprocessing: {}", self::preprocessing(preprocessing, model.input, Some(set))));
    lines.extend(Some(model).filter(|_| layers.is_empty()).and_then(indistinguishable));
    lines.extend(suspicious(preprocessing));
    lines
}

/// Architecture, variant, width, input size and classes of a network.
pub fn architecture(model: &ModelSpec, layers: &[Layer]) -> String {
    if is_weights_only(model) {
        return "weights for an evaluator of its own".into();
    }
    let [c, h, w] = model.input;
    let size = match layers.len() {
        0 => format!("width {}", model.width),
        listed => format!("{listed} listed layers"),
    };
    let variant = match layers.is_empty().then(|| variant(model)).flatten() {
        Some(variant) => format!(", {variant}"),
        None => String::new(),
    };
    format!("{}, {size}{variant}, input {c}x{h}x{w}, {} classes", model.architecture, model.classes)
}

/// Variant of a network and its layers, if its architecture has several.
fn variant(model: &ModelSpec) -> Option<String> {
    let (variant, layers) = (zoo::variant(model)?, zoo::variant_layers(model)?);
    Some(format!("variant {} ({layers})", variant.id()))
}

/// Variants whose parameters have the same names and shapes, so that a file does not determine the variant.
pub fn indistinguishable(model: &ModelSpec) -> Option<String> {
    let graph = zoo::build(model).ok()?;
    let alike = |other: &Variant| {
        let other = zoo::model(&model.architecture, Some(*other), model.width, model.classes, model.input);
        let other = other.and_then(|model| zoo::build(&model));
        other.is_ok_and(|other| other.spec() != model && other.parameters() == graph.parameters())
    };
    let variants = zoo::variants(&model.architecture).ok()?.into_iter().filter(alike);
    let ids: Vec<&str> = variants.map(Variant::id).collect();
    match ids.as_slice() {
        [] => None,
        ids => Some(format!("parameters of these shapes also fit --variant {}", ids.join(" or "))),
    }
}

/// Formula from a pixel to an input of the network, and the crop of an image of `set`.
pub fn preprocessing(p: &Preprocessing, input: [usize; 3], set: Option<&str>) -> String {
    let [channels, height, _] = input;
    let order = match channels {
        1 => "one channel",
        3 => "channels in the order red, green, blue",
        _ => "channels in the order of the file",
    };
    let resized = match set.filter(|set| has_image_files(set)).and_then(|_| ResizeCrop::for_side(height)) {
        Some(crop) => format!(
            "shorter side resized to {} pixels, middle {} x {} cut out; ",
            crop.resize(),
            crop.crop(),
            crop.crop()
        ),
        None => String::new(),
    };
    format!("{resized}(pixel / 255 - mean) / std, mean {:?}, std {:?}, {order}", p.mean(), p.std())
}

/// Warns of a preprocessing for pixels in 0..255, where pixels in 0..1 are used.
pub fn suspicious(p: &Preprocessing) -> Option<String> {
    let above = |values: &[f32]| values.iter().copied().find(|value| value.abs() > 1.0);
    let (name, value) =
        above(p.mean()).map(|v| ("mean", v)).or_else(|| above(p.std()).map(|v| ("standard deviation", v)))?;
    Some(format!(
        "warning: a {name} of {value}, but pixels are divided by 255 before it is applied: for numbers on the scale \
         0..255 give each mean and standard deviation divided by 255"
    ))
}

/// Warns of a fault-free network that does no better than guessing, and names likely causes.
pub fn at_chance(correct: usize, images: &ImageSet, model: &ModelSpec, p: &Preprocessing) -> Option<String> {
    let (n, chance) = (images.len() as f64, 1.0 / images.classes() as f64);
    let most = n * chance + CHANCE_DEVIATIONS * (n * chance * (1.0 - chance)).sqrt();
    if !images.is_labelled() || images.classes() < 2 || correct as f64 > most {
        return None;
    }
    let form = match (variant(model), indistinguishable(model)) {
        (Some(variant), Some(others)) => format!("{}, {variant}; {others}", model.architecture),
        (Some(variant), None) => format!("{}, {variant}", model.architecture),
        (None, _) => model.architecture.clone(),
    };
    Some(format!(
        "warning: without faults {correct} of {} images are classified correctly, no better than guessing one of {} \
         classes. Check the preprocessing (mean {:?}, std {:?}, red, green, blue), the network ({form}), and the order \
         of the classes",
        images.len(),
        images.classes(),
        p.mean(),
        p.std(),
    ))
}
