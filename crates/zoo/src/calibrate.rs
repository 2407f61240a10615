use std::collections::BTreeMap;

use graph::{Graph, Op, Preprocessing};
use quant::{ActivationScale, FloatTensor, Parameters};
use rayon::prelude::*;

use crate::{FloatNetwork, Range, ZooError};

/// Number of images in one pass of the float network. More are no faster, because the threads take different
/// batches, and candle's unfolded windows of one VGG-16 layer on ImageNet take 115 MB an image.
const BATCH: usize = 4;

/// Determines the scale of every quantization point of a graph: the largest magnitude over `pixels` becomes
/// the largest level.
///
/// The float network runs on the images. Give it the dequantized weights of the int8 network
/// ([`quant::QuantTensor::dequantize`]), so that the ranges match those of the int8 network. The input's
/// range follows from the preprocessing (pixel values 0 and 255 of each channel), whatever the images
/// contain. `pixels` are u8, image by image, each in [channels, height, width]. Batches are spread over the
/// current rayon pool; a maximum does not depend on their order.
///
/// # Errors
/// There are no images, the pixels are not a whole number of images, the preprocessing does not fit, or the
/// float network fails.
pub fn calibrate(
    graph: &Graph,
    parameters: &Parameters,
    preprocessing: &Preprocessing,
    pixels: &[u8],
) -> Result<BTreeMap<String, ActivationScale>, ZooError> {
    calibrate_observed(graph, parameters, preprocessing, pixels, &|_| ())
}

/// Determines the scales as [`calibrate`] does. Before every batch it calls `done` with 0, and after it with the number of its
/// images, from several threads. An unwinding of `done` ends the work.
///
/// # Errors
/// As [`calibrate`].
pub fn calibrate_observed(
    graph: &Graph,
    parameters: &Parameters,
    preprocessing: &Preprocessing,
    pixels: &[u8],
    done: &(dyn Fn(usize) + Sync),
) -> Result<BTreeMap<String, ActivationScale>, ZooError> {
    let [channels, height, width] = graph.spec().input;
    let image = channels * height * width;
    if !pixels.len().is_multiple_of(image) {
        return Err(ZooError::PixelCount { found: pixels.len(), image });
    }
    if pixels.is_empty() {
        return Err(ZooError::NoImages);
    }
    preprocessing.check_channels(channels)?;
    let float_network = FloatNetwork::from_parameters(graph, parameters)?;

    let observe = |batch: &[u8]| -> Result<Vec<Range>, ZooError> {
        done(0);
        let values = preprocessing.values(batch, height * width);
        let shape = vec![batch.len() / image, channels, height, width];
        let mut ranges = vec![Range::EMPTY; graph.nodes().len()];
        float_network.observe(&FloatTensor::new(shape, values), &mut ranges)?;
        done(batch.len() / image);
        Ok(ranges)
    };
    let ranges: Vec<Vec<Range>> = pixels.par_chunks(BATCH * image).map(observe).collect::<Result<_, _>>()?;

    let scales = graph.quantization_points().into_iter().map(|point| {
        let node = &graph.nodes()[point.node];
        let max_abs = match node.op {
            Op::Input => preprocessing.max_abs(),
            _ => ranges.iter().map(|batch| batch[point.node].max_abs()).fold(0.0, f32::max),
        };
        (node.name.clone(), ActivationScale::from_range(max_abs, point.signed))
    });
    Ok(scales.collect())
}
