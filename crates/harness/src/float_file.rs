//! A float network from a file: a state dict with its architecture, or an ONNX model.

use std::path::{Path, PathBuf};

use anyhow::Context;
use graph::{Graph, ModelSpec, Preprocessing};
use quant::Parameters;
use zoo::{OnnxModel, Selection};

use crate::{FloatNetwork, import};

/// A float network and the file that it was read from.
#[derive(Clone, Debug)]
pub struct FloatFile {
    graph: Graph,
    parameters: Parameters,
    preprocessing: Preprocessing,
    source: PathBuf,
    reading: Vec<String>,
}

impl FloatFile {
    /// Reads the parameters of an architecture from a PyTorch or safetensors file.
    ///
    /// # Errors
    /// If there is no such network, or the file is damaged or does not fit it.
    pub fn from_state_dict(
        source: &Path,
        model: &ModelSpec,
        selection: &Selection,
        preprocessing: &Preprocessing,
    ) -> anyhow::Result<Self> {
        let graph = zoo::build(model)?;
        let bound = import(&graph, source, selection)?;
        Ok(Self {
            graph,
            parameters: bound.parameters,
            preprocessing: preprocessing.clone(),
            source: source.into(),
            reading: bound.reading,
        })
    }

    /// Takes the model that [`zoo::read_onnx`] has read from `source`. The model's arithmetic on its input is combined with
    /// `preprocessing`.
    ///
    /// # Errors
    /// If the network cannot be built, or its arithmetic leaves no valid preprocessing.
    pub fn from_onnx(source: &Path, onnx: OnnxModel, preprocessing: &Preprocessing) -> anyhow::Result<Self> {
        let preprocessing = onnx.arithmetic.preprocessing(preprocessing)?;
        let place = || source.display().to_string();
        let graph = zoo::build_stored(&onnx.model, &onnx.layers).with_context(place)?;
        let parameters = zoo::bind(&graph, onnx.parameters).with_context(place)?;
        Ok(Self { graph, parameters, preprocessing, source: source.into(), reading: onnx.notes })
    }

    /// Adds a sentence on a choice made on reading.
    pub fn note(&mut self, choice: String) {
        self.reading.push(choice);
    }

    /// The network.
    pub fn network(&self) -> FloatNetwork<'_> {
        FloatNetwork {
            graph: &self.graph,
            parameters: &self.parameters,
            preprocessing: &self.preprocessing,
            source: &self.source,
            reading: &self.reading,
        }
    }
}
