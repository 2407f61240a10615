use std::fmt;

use graph::{Graph, ParameterSpec};
use quant::Parameters;

use crate::architectures::{is_left_out, network_name};
use crate::import::shown;

/// Number of names of each kind that a [`MismatchError`] prints.
const SHOWN: usize = 3;

/// A parameter whose shape differs from that of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshaped {
    /// Parameter name.
    pub name: String,
    /// Shape of the given parameter.
    pub found: Vec<usize>,
    /// Shape that the graph expects.
    pub expected: Vec<usize>,
}

/// A state dict does not fit a graph. Holds all differences; prints the first three of each kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MismatchError {
    /// Description of the graph, e.g. `resnet20 (10 classes, input 3x32x32, width 1)`.
    pub network: String,
    /// Parameters of the graph that are missing, in execution order.
    pub missing: Vec<ParameterSpec>,
    /// Parameters that the graph does not have, in alphabetical order.
    pub unexpected: Vec<String>,
    /// Parameters of another shape, in execution order.
    pub misshaped: Vec<Misshaped>,
}

impl MismatchError {
    /// The message without its subject.
    pub(crate) fn compared(&self) -> Compared<'_> {
        Compared(self)
    }
}

impl fmt::Display for MismatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the parameters {}", self.compared())
    }
}

pub(crate) struct Compared<'a>(&'a MismatchError);

impl fmt::Display for Compared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MismatchError { network, missing, unexpected, misshaped } = self.0;
        write!(f, "do not fit {network}")?;
        list(f, "missing", missing.iter().map(|p| format!("{} {:?}", p.name, p.shape)))?;
        list(f, "unexpected", unexpected.iter().map(|name| shown(name)))?;
        let misshaped =
            misshaped.iter().map(|m| format!("{} is {:?}, expected {:?}", m.name, m.found, m.expected));
        list(f, "of another shape", misshaped)
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    entries: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    let count = entries.len();
    if count == 0 {
        return Ok(());
    }
    let first: Vec<String> = entries.take(SHOWN).collect();
    write!(f, "\n{count} {kind}: {}", first.join("; "))?;
    if count > SHOWN {
        write!(f, "; and {} more", count - SHOWN)?;
    }
    Ok(())
}

/// Keeps exactly the parameters of `graph`, and checks the shape of each.
///
/// Drops `*.num_batches_tracked`, the step counters of PyTorch's batch normalization, and the parameters of
/// Inception v3's auxiliary classifier (`AuxLogits.*`), which only training uses.
///
/// # Errors
/// Parameters are missing, unexpected or of another shape; the error lists all of them.
pub fn bind(graph: &Graph, mut parameters: Parameters) -> Result<Parameters, MismatchError> {
    let architecture = &graph.spec().architecture;
    parameters.retain(|name, _| !name.ends_with(".num_batches_tracked") && !is_left_out(architecture, name));
    check(graph, &parameters)?;
    Ok(parameters)
}

/// Checks that `parameters` are exactly those of `graph`.
pub(crate) fn check(graph: &Graph, parameters: &Parameters) -> Result<(), MismatchError> {
    let expected = graph.parameters();
    let mut missing = Vec::new();
    let mut misshaped = Vec::new();
    let mut unexpected: std::collections::BTreeSet<&String> = parameters.keys().collect();
    for spec in expected {
        unexpected.remove(&spec.name);
        match parameters.get(&spec.name) {
            None => missing.push(spec),
            Some(found) if found.shape() != spec.shape => misshaped.push(Misshaped {
                found: found.shape().to_vec(),
                name: spec.name,
                expected: spec.shape,
            }),
            Some(_) => {}
        }
    }
    if missing.is_empty() && unexpected.is_empty() && misshaped.is_empty() {
        return Ok(());
    }
    Err(MismatchError {
        network: network_name(graph),
        missing,
        unexpected: unexpected.into_iter().cloned().collect(),
        misshaped,
    })
}
