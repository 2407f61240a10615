//! The cells of a large plan as grids: fault models x rates under equal other conditions. A million cells then take some
//! kilobytes instead of 700 bytes each.

use design::{BitErrorRate, CellSpec, FaultModel, StopRule};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::manifest::MAX_UNITS;
use crate::{Environment, ExpectedOutcomes, Extension, Manifest, NetworkEntry, PlannedCell};

/// Most metrics of all cells together.
const MOST_METRICS: u64 = 1 << 22;

/// `manifest.json` of a large plan (version 7): a [`Manifest`] with grids in the place of cells.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GridManifest {
    manifest_version: u32,
    experiment: String,
    source: String,
    networks: Vec<NetworkEntry>,
    /// Grids in plan order.
    grids: Vec<Grid>,
    /// SHA-256 of the ids of all cells in plan order, without separators.
    cells_sha256: String,
    trials: u64,
    unit_trials: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expected: Vec<ExpectedOutcomes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop: Option<StopRule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<Extension>,
    compressed_parts: bool,
    environment: Environment,
}

/// Cells that differ in fault model and rate only: for each fault model, in order, a cell for each rate, in order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grid {
    /// The first cell; the others have its other conditions.
    first: CellSpec,
    fault_models: Vec<FaultModel>,
    rates: Vec<BitErrorRate>,
    /// [`CellSpec::changed_probability`] at each rate; absent for ordinary cells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changed_probabilities: Vec<f64>,
}

impl Grid {
    /// Divides cells into as few grids as follow each other.
    fn divided(cells: &[PlannedCell]) -> Vec<Self> {
        let mut grids = Vec::new();
        let mut rest = cells;
        while let Some(PlannedCell { spec: first, .. }) = rest.first() {
            let alike = |cell: &CellSpec| {
                cell.changed_probability.is_some() == first.changed_probability.is_some()
                    && *cell
                        == CellSpec {
                            fault_model: cell.fault_model.clone(),
                            rate: cell.rate,
                            changed_probability: cell.changed_probability,
                            ..first.clone()
                        }
            };
            let at_first =
                |cell: &&PlannedCell| alike(&cell.spec) && cell.spec.fault_model == first.fault_model;
            let row: Vec<&CellSpec> = rest.iter().take_while(at_first).map(|cell| &cell.spec).collect();
            let repeats = |cells: &&[PlannedCell]| {
                let model = &cells[0].spec.fault_model;
                cells.len() == row.len()
                    && cells.iter().zip(&row).all(|(PlannedCell { spec, .. }, of_row)| {
                        alike(spec)
                            && spec.fault_model == *model
                            && spec.rate == of_row.rate
                            && spec.changed_probability == of_row.changed_probability
                    })
            };
            let fault_models: Vec<FaultModel> = rest
                .chunks(row.len())
                .take_while(repeats)
                .map(|cells| cells[0].spec.fault_model.clone())
                .collect();
            let (length, models) = (row.len(), fault_models.len());
            grids.push(Self {
                first: first.clone(),
                fault_models,
                rates: row.iter().map(|cell| cell.rate).collect(),
                changed_probabilities: row.iter().filter_map(|cell| cell.changed_probability).collect(),
            });
            rest = &rest[length * models..];
        }
        grids
    }

    /// Checks the grid, number `place`, and returns its number of cells.
    fn checked(&self, place: usize) -> Result<u64, String> {
        let Self { first, fault_models, rates, changed_probabilities } = self;
        if fault_models.is_empty() || rates.is_empty() {
            return Err(format!("grid {place} has no cells, expected fault_models and rates"));
        }
        let expected = if first.changed_probability.is_some() { rates.len() } else { 0 };
        if changed_probabilities.len() != expected {
            let found = changed_probabilities.len();
            return Err(format!("grid {place} has {found} changed_probabilities, expected {expected}"));
        }
        Ok((fault_models.len() as u64).saturating_mul(rates.len() as u64))
    }

    /// The cells of the grid, in order.
    fn cells(&self) -> impl Iterator<Item = CellSpec> + '_ {
        self.fault_models.iter().flat_map(move |fault_model| {
            self.rates.iter().enumerate().map(move |(i, &rate)| CellSpec {
                fault_model: fault_model.clone(),
                rate,
                changed_probability: self.changed_probabilities.get(i).copied(),
                ..self.first.clone()
            })
        })
    }
}

impl GridManifest {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let Manifest { experiment, source, networks, expected, extensions, environment, .. } = manifest;
        Self {
            manifest_version: manifest.manifest_version,
            experiment: experiment.clone(),
            source: source.clone(),
            networks: networks.clone(),
            grids: Grid::divided(&manifest.cells),
            cells_sha256: sha256_of_ids(&manifest.cells),
            trials: manifest.trials,
            unit_trials: manifest.unit_trials,
            expected: expected.clone(),
            stop: manifest.stop,
            extensions: extensions.clone(),
            compressed_parts: manifest.compressed_parts,
            environment: environment.clone(),
        }
    }

    /// The manifest with its cells. The error says what is wrong with the grids.
    pub(crate) fn expanded(self) -> Result<Manifest, String> {
        let mut count: u64 = 0;
        for (place, grid) in self.grids.iter().enumerate() {
            count = count.saturating_add(grid.checked(place)?);
        }
        if count > MAX_UNITS {
            return Err(format!("it plans {count} cells, expected at most {MAX_UNITS}"));
        }
        // Each cell holds the list of metrics, which the file has once.
        let metrics = self.grids.iter().map(|grid| grid.first.metrics.len() as u64).max().unwrap_or(0);
        if count.saturating_mul(metrics) > MOST_METRICS {
            return Err(format!(
                "{count} cells with {metrics} metrics each, expected at most {MOST_METRICS} in all"
            ));
        }
        let specs: Vec<CellSpec> = self.grids.iter().flat_map(Grid::cells).collect();
        let cells: Vec<PlannedCell> =
            specs.into_par_iter().map(|spec| PlannedCell { id: spec.id(), spec }).collect();
        let found = sha256_of_ids(&cells);
        if found != self.cells_sha256 {
            return Err(format!(
                "cells_sha256 is {}, but the ids of the cells hash to {found}",
                self.cells_sha256
            ));
        }
        Ok(Manifest {
            manifest_version: self.manifest_version,
            experiment: self.experiment,
            source: self.source,
            networks: self.networks,
            cells,
            trials: self.trials,
            unit_trials: self.unit_trials,
            expected: self.expected,
            stop: self.stop,
            extensions: self.extensions,
            compressed_parts: self.compressed_parts,
            environment: self.environment,
        })
    }
}

fn sha256_of_ids(cells: &[PlannedCell]) -> String {
    let ids: String = cells.iter().map(|cell| cell.id.as_str()).collect();
    durable::sha256_hex(ids.as_bytes())
}
