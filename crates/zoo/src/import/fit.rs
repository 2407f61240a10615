//! Finds the tensors of a file that are the parameters of a network.
//!
//! The full name of the parameter `conv1.weight` may be `state_dict.module.conv1.weight`. Keys of dicts and
//! prefixes of names are treated alike: together they form a *base* that all parameters have in common. Every
//! base under which some tensor has a parameter's name is a candidate. The candidate that has all parameters
//! in their shapes is read. If there are several, weights that are no averages are preferred, and a note
//! reports the choice.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use graph::{Graph, ParameterSpec};

use super::search::{Content, Dict, Entry, Table, joined};
use super::tensor::Problem;
use super::{Budget, Kind, shown};
use crate::architectures::{is_left_out, network_name};
use crate::bind::{MismatchError, Misshaped};
use crate::{ARCHITECTURES, build, model, variants};

/// Number of names that a note lists.
const SHOWN: usize = 3;
/// Number of other fitting candidates that the notes name.
const MOST_NAMED: usize = 4;
/// Number of fitting candidates that are examined in detail.
const MOST_FITTING: usize = 16;
/// Keras's names of a batch norm's parameters, and PyTorch's.
const KERAS_NAMES: [(&str, &str); 4] = [
    (".gamma", ".weight"),
    (".beta", ".bias"),
    (".moving_mean", ".running_mean"),
    (".moving_variance", ".running_var"),
];

/// Largest number of entries for which other architectures are tried, for a hint.
const MOST_ENTRIES_FOR_HINTS: usize = 20_000;

/// The user's choice of the parameters' place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Keys that lead to the dict, joined by dots: `state_dict_ema`, `ema.model`. `None`: found by fit.
    pub key: Option<String>,
    /// Prefix of the names in it: `module.`. `None`: found by fit.
    pub prefix: Option<String>,
}

/// The parameters of a network in a file: an entry of the table for each.
pub(super) struct Fit {
    pub(super) entries: Vec<(String, usize)>,
    /// Notes on how the file was read, one sentence each.
    pub(super) reading: Vec<String>,
}

/// The tensors under one base that have names of the network's parameters.
struct Candidate {
    base: String,
    /// Index of the entry, by the index of the parameter.
    hits: BTreeMap<usize, usize>,
    /// Number of hits with the right type and shape.
    exact: usize,
}

/// The other content of the dicts of a candidate.
#[derive(Default)]
struct Others {
    unexpected: Vec<String>,
    /// Counters and measurements of training, and parameters that only training uses.
    of_training: Vec<String>,
    integers: Vec<String>,
    objects: Vec<String>,
    /// Names outside the base.
    beside: BTreeSet<String>,
}

/// The kind of weights under a base, in order of preference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Raw,
    Averaged,
    /// State of an optimizer, which never counts as parameters.
    Optimizer,
}

/// Finds the parameters of `graph` in the table.
pub(super) fn fit(
    table: &Table,
    graph: &Graph,
    selection: &Selection,
    budget: &mut Budget,
) -> Result<Fit, Kind> {
    let parameters = graph.parameters();
    let search = Search::new(table, graph, &parameters, selection)?;
    let candidates = search.candidates(budget)?;
    let fitting = search.fitting(&candidates);
    let Some((chosen, others)) = fitting.first() else {
        return Err(search.misfit(&candidates, budget));
    };
    if !others.unexpected.is_empty() {
        return Err(Kind::Misfit(Box::new(search.mismatch(chosen, others, budget))));
    }
    let reading = search.reading(chosen, others, fitting[1..].iter().map(|(other, _)| *other), &candidates);
    let entries =
        chosen.hits.iter().map(|(&parameter, &entry)| (parameters[parameter].name.clone(), entry)).collect();
    Ok(Fit { entries, reading })
}

/// Returns the shape of a parameter of `graph` in the file. It may differ from the shape in the graph.
pub(super) fn shape<'t>(
    table: &'t Table,
    graph: &Graph,
    selection: &Selection,
    name: &str,
    budget: &mut Budget,
) -> Option<&'t [usize]> {
    let parameters = graph.parameters();
    let search = Search::new(table, graph, &parameters, selection).ok()?;
    let candidates = search.candidates(budget).ok()?;
    let best = search.nearest(&candidates)?;
    let position = parameters.iter().position(|parameter| parameter.name == name)?;
    match &table.entries[*best.hits.get(&position)?].content {
        Content::Floats(shape) => Some(shape),
        _ => None,
    }
}

struct Search<'s> {
    table: &'s Table,
    graph: &'s Graph,
    parameters: &'s [ParameterSpec],
    selection: &'s Selection,
    /// Index of each parameter, by name.
    names: HashMap<&'s str, usize>,
    /// True for each dict that may hold the parameters.
    allowed: Vec<bool>,
    /// Bases that hold `n_averaged`, the counter of torch.optim.swa_utils.AveragedModel; the averages lie
    /// beside it.
    counted_averages: HashSet<String>,
}

impl<'s> Search<'s> {
    fn new(
        table: &'s Table,
        graph: &'s Graph,
        parameters: &'s [ParameterSpec],
        selection: &'s Selection,
    ) -> Result<Self, Kind> {
        let names =
            parameters.iter().enumerate().map(|(i, parameter)| (parameter.name.as_str(), i)).collect();
        let allowed = allowed(table, selection)?;
        let counters = table.entries.iter().filter(|entry| entry.name.ends_with("n_averaged"));
        let counted_averages = counters
            .filter_map(|entry| table.full_name(entry).strip_suffix("n_averaged").map(Into::into))
            .collect();
        Ok(Self { table, graph, parameters, selection, names, allowed, counted_averages })
    }

    fn candidates(&self, budget: &mut Budget) -> Result<Vec<Candidate>, Kind> {
        let most_dots = self.parameters.iter().map(|p| p.name.matches('.').count()).max().unwrap_or(0);
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (entry, found) in self.table.entries.iter().enumerate() {
            if !self.allowed[found.dict] {
                continue;
            }
            let full = self.table.full_name(found);
            for start in self.starts(found, &full, most_dots) {
                let Some(&parameter) = self.names.get(&full[start..]) else { continue };
                let base = &full[..start];
                budget.spend(64, "the names of tensors")?;
                if !positions.contains_key(base) {
                    budget.spend(size_of::<Candidate>() + 2 * base.len(), "the names of tensors")?;
                }
                let position = *positions.entry(base.into()).or_insert_with(|| {
                    candidates.push(Candidate { base: base.into(), hits: BTreeMap::new(), exact: 0 });
                    candidates.len() - 1
                });
                candidates[position].hits.insert(parameter, entry);
            }
        }
        for candidate in &mut candidates {
            let exact = |(&parameter, &entry): (&usize, &usize)| match &self.table.entries[entry].content {
                Content::Floats(shape) => *shape == self.parameters[parameter].shape,
                _ => false,
            };
            candidate.exact = candidate.hits.iter().filter(|&hit| exact(hit)).count();
        }
        Ok(candidates)
    }

    /// Returns the positions in an entry's full name at which a parameter's name may begin.
    fn starts(&self, entry: &Entry, full: &str, most_dots: usize) -> Vec<usize> {
        let name = full.len() - entry.name.len();
        if let Some(prefix) = &self.selection.prefix {
            let Some(rest) = entry.name.strip_prefix(prefix.as_str()) else { return Vec::new() };
            let start = full.len() - rest.len();
            let behind_dot = rest.starts_with('.').then_some(start + 1);
            return std::iter::once(start.max(name)).chain(behind_dot).collect();
        }
        let behind_dots = full.rmatch_indices('.').take(most_dots + 1).map(|(dot, _)| dot + 1);
        let mut starts: Vec<usize> = behind_dots.collect();
        if starts.len() <= most_dots {
            starts.push(0);
        }
        starts
    }

    /// Returns the candidates that hold every parameter, in order of preference.
    fn fitting<'c>(&self, candidates: &'c [Candidate]) -> Vec<(&'c Candidate, Others)> {
        let fits = |candidate: &&Candidate| {
            candidate.exact == self.parameters.len()
                && (self.selection.key.is_some() || self.role(candidate) != Role::Optimizer)
        };
        let mut fitting: Vec<_> = candidates
            .iter()
            .filter(fits)
            .take(MOST_FITTING)
            .map(|candidate| (candidate, self.others(candidate)))
            .collect();
        // The sort is stable: of equal candidates, the first in the file wins.
        fitting.sort_by_key(|(candidate, others)| (!others.unexpected.is_empty(), self.role(candidate)));
        fitting
    }

    /// Returns the candidate for the error message if none fits.
    fn nearest<'c>(&self, candidates: &'c [Candidate]) -> Option<&'c Candidate> {
        let key = |candidate: &&Candidate| {
            let role = self.role(candidate);
            (role != Role::Optimizer, candidate.hits.len(), candidate.exact, role == Role::Raw)
        };
        // The first of equal candidates wins.
        candidates.iter().rev().max_by_key(key)
    }

    fn role(&self, candidate: &Candidate) -> Role {
        let mut role = Role::Raw;
        for part in candidate.base.split('.') {
            let part = part.to_ascii_lowercase();
            if part.contains("optim") || part.starts_with("exp_avg") || part.contains("momentum_buffer") {
                return Role::Optimizer;
            }
            let words: Vec<&str> = part.split(['_', '-', ' ']).collect();
            let is_average = |word: &&str| {
                matches!(*word, "ema" | "emas" | "swa" | "avg" | "averaged" | "average" | "polyak")
                    || matches!(*word, "shadow" | "teacher" | "momentum")
                    || (word.starts_with("ema") && word.len() <= 5)
            };
            if words.iter().any(is_average) || part == "encoder_k" || part.ends_with("ema") {
                role = Role::Averaged;
            }
        }
        match candidate.base.strip_suffix("module.") {
            Some(outer) if self.counted_averages.contains(outer) => Role::Averaged,
            _ => role,
        }
    }

    fn dicts(&self, candidate: &Candidate) -> BTreeSet<usize> {
        candidate.hits.values().map(|&entry| self.table.entries[entry].dict).collect()
    }

    fn others(&self, candidate: &Candidate) -> Others {
        let dicts = self.dicts(candidate);
        let mut others = Others::default();
        for entry in &self.table.entries {
            // If the parameters lie in several dicts, a layer in a separate dict is also unexpected.
            if dicts.len() == 1 && !dicts.contains(&entry.dict) {
                continue;
            }
            let full = self.table.full_name(entry);
            let Some(rest) = full.strip_prefix(candidate.base.as_str()) else {
                if dicts.contains(&entry.dict) && !matches!(entry.content, Content::Object) {
                    let first = entry.name.split('.').next().unwrap_or_default();
                    let is_whole = first.len() == entry.name.len();
                    others.beside.insert(if is_whole { shown(first) } else { format!("{}.*", shown(first)) });
                }
                continue;
            };
            if self.names.contains_key(rest) {
                continue;
            }
            let of_training =
                is_of_training(rest, &entry.content) || is_left_out(&self.graph.spec().architecture, rest);
            match &entry.content {
                Content::Object => others.objects.push(shown(rest)),
                _ if of_training => others.of_training.push(shown(rest)),
                Content::Integers(_) => others.integers.push(shown(rest)),
                _ => others.unexpected.push(rest.into()),
            }
        }
        others
    }

    /// Returns the dict that holds a candidate, and the prefix of the names in it.
    fn place<'c>(&'c self, candidate: &'c Candidate) -> (&'c Dict, &'c str) {
        let root = &self.table.dicts[0];
        let first = candidate.hits.values().next().map(|&entry| self.table.entries[entry].dict);
        let mut next = first;
        while let Some(dict) = next.map(|dict| &self.table.dicts[dict]) {
            if dict.path.is_empty() {
                return (dict, &candidate.base);
            }
            let inside = candidate.base.strip_prefix(dict.path.as_str());
            if let Some(prefix) = inside.and_then(|rest| rest.strip_prefix('.')) {
                return (dict, prefix);
            }
            next = dict.parent;
        }
        (root, &candidate.base)
    }

    /// Returns notes on how the file was read.
    fn reading<'c>(
        &self,
        chosen: &Candidate,
        others: &Others,
        fitting: impl Iterator<Item = &'c Candidate>,
        candidates: &'c [Candidate],
    ) -> Vec<String> {
        let mut lines = Vec::new();
        let (dict, prefix) = self.place(chosen);
        let ignored = self.ignored(dict, others, !prefix.is_empty());
        if !dict.path.is_empty() || !prefix.is_empty() {
            let averaged = match self.role(chosen) {
                Role::Averaged => ", which are averages,",
                _ => "",
            };
            lines.push(format!("{}{averaged} were read{ignored}", described(&dict.path, prefix)));
        } else if !ignored.is_empty() {
            lines.push(format!("the tensors were read{ignored}"));
        }
        for other in fitting.take(MOST_NAMED) {
            lines.push(format!(
                "{} fit, too{}: to read them instead, {}",
                described(&self.place(other).0.path, self.place(other).1),
                if self.role(other) == Role::Averaged { ", and are averages" } else { "" },
                self.options(other, &dict.path),
            ));
        }
        // Averages may cover the weights alone, without the statistics of batch norms.
        let weights = self.parameters.iter().filter(|p| p.shape.len() > 1).count();
        let partial = candidates.iter().filter(|other| {
            let has = other.hits.keys().filter(|&&p| self.parameters[p].shape.len() > 1).count();
            2 * has > weights
                && other.exact < self.parameters.len()
                && other.base != chosen.base
                && self.role(other) == Role::Averaged
        });
        for other in partial.take(MOST_NAMED) {
            let (dict, prefix) = self.place(other);
            lines.push(format!(
                "{} are averages of {} of the {} parameters, and were not read",
                described(&dict.path, prefix),
                other.exact,
                self.parameters.len()
            ));
        }
        for (names, one, many) in [
            (&others.of_training, "tensor that only training uses is", "tensors that only training uses are"),
            (&others.integers, "tensor of integers is", "tensors of integers are"),
            (&others.objects, "value that is no tensor is", "values that are no tensors are"),
        ] {
            if !names.is_empty() {
                let what = if names.len() == 1 { one } else { many };
                lines.push(format!("{} {what} left out: {}", names.len(), first(names, SHOWN)));
            }
        }
        lines
    }

    /// Lists the content beside the dict and its ancestors, and beside the names with the prefix.
    fn ignored(&self, dict: &Dict, others: &Others, has_prefix: bool) -> String {
        let mut names = Vec::new();
        let mut more = 0;
        let mut inner = dict;
        while let Some(outer) = inner.parent.map(|parent| &self.table.dicts[parent]) {
            let own = inner.path.strip_prefix(outer.path.as_str()).unwrap_or(&inner.path);
            let own = own.strip_prefix('.').unwrap_or(own);
            names.extend(outer.keys.iter().filter(|key| **key != shown(own)).cloned());
            more += outer.more;
            inner = outer;
        }
        if has_prefix {
            names.extend(others.beside.iter().cloned());
        }
        if names.is_empty() {
            return String::new();
        }
        more += names.len().saturating_sub(8);
        names.truncate(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("; ignored beside them: {}{more}", names.join(", "))
    }

    /// Returns the command-line options that choose a candidate.
    fn options(&self, candidate: &Candidate, read: &str) -> String {
        let (dict, prefix) = self.place(candidate);
        match dict.path.is_empty() || dict.path == read {
            true => format!("--prefix {}", if prefix.is_empty() { "''" } else { prefix }),
            false => format!("--key {}", dict.path),
        }
    }

    // The rest reports that no candidate fits.

    fn misfit(&self, candidates: &[Candidate], budget: &mut Budget) -> Kind {
        let nearest = self.nearest(candidates);
        let has = nearest.map_or(0, |nearest| nearest.hits.len());
        if let (Some(module), true) = (self.table.modules.first(), 2 * has < self.parameters.len()) {
            let (class, path) = (module.class.clone(), module.path.clone());
            return Kind::Module { class, path, way_out: String::new() };
        }
        let undotted = self.undotted().filter(|(_, count)| *count > has);
        let nearest = match nearest {
            Some(nearest) if undotted.is_none() && 4 * has >= self.parameters.len() => nearest,
            _ => return self.nothing(undotted, budget),
        };
        // An unsupported tensor explains more than a list of missing ones.
        for (&parameter, &entry) in &nearest.hits {
            let tensor = || shown(&self.parameters[parameter].name);
            match &self.table.entries[entry].content {
                Content::Floats(_) => {}
                Content::Integers(_) => {
                    return Kind::Tensor { tensor: tensor(), problem: Problem::Integers };
                }
                Content::Refused(problem) => {
                    return Kind::Tensor { tensor: tensor(), problem: problem.clone() };
                }
                Content::Object => {
                    return Kind::NotATensor {
                        tensor: tensor(),
                        id: self.table.entries[entry].id,
                        class: String::new(),
                    };
                }
            }
        }
        Kind::Misfit(Box::new(self.mismatch(nearest, &self.others(nearest), budget)))
    }

    fn mismatch(&self, candidate: &Candidate, others: &Others, budget: &mut Budget) -> Misfit {
        let mut missing = Vec::new();
        let mut misshaped = Vec::new();
        for (position, parameter) in self.parameters.iter().enumerate() {
            match candidate.hits.get(&position).map(|&entry| &self.table.entries[entry].content) {
                Some(Content::Floats(shape)) if *shape != parameter.shape => misshaped.push(Misshaped {
                    name: parameter.name.clone(),
                    found: shape.clone(),
                    expected: parameter.shape.clone(),
                }),
                Some(_) => {}
                None => missing.push(parameter.clone()),
            }
        }
        let (dict, prefix) = self.place(candidate);
        let place = described(&dict.path, prefix);
        if let Some(hint) = self.way_out(candidate, &missing) {
            // The lists would repeat this in many lines.
            let none = MismatchError {
                network: network_name(self.graph),
                missing: Vec::new(),
                unexpected: Vec::new(),
                misshaped: Vec::new(),
            };
            return Misfit { place, mismatch: none, hints: vec![hint] };
        }
        let mut hints = self.hints(&missing, &misshaped, others, budget);
        if hints.is_empty() && self.table.entries.len() <= MOST_ENTRIES_FOR_HINTS {
            hints.extend(self.rewrite(candidate, &missing, &misshaped, others));
        }
        let mut unexpected = others.unexpected.clone();
        unexpected.sort();
        let network = network_name(self.graph);
        Misfit { place, mismatch: MismatchError { network, missing, unexpected, misshaped }, hints }
    }

    /// Returns advice if a missing weight is stored as other tensors from which it is computed.
    fn way_out(&self, candidate: &Candidate, missing: &[ParameterSpec]) -> Option<String> {
        if self.table.entries.len() > MOST_ENTRIES_FOR_HINTS {
            return None;
        }
        let names: Vec<String> = self.table.entries.iter().map(|entry| self.table.full_name(entry)).collect();
        let names: HashSet<&str> =
            names.iter().filter_map(|name| name.strip_prefix(candidate.base.as_str())).collect();
        missing.iter().find_map(|parameter| reparametrized(&names, &parameter.name))
    }

    fn hints(
        &self,
        missing: &[ParameterSpec],
        misshaped: &[Misshaped],
        others: &Others,
        budget: &mut Budget,
    ) -> Vec<String> {
        if missing.is_empty()
            && others.unexpected.is_empty()
            && let Some(classes) = self.classes(misshaped)
        {
            let expected = self.graph.spec().classes;
            return vec![format!(
                "the network in the file has {classes} classes, the one asked for {expected}"
            )];
        }
        self.other_networks(misshaped, budget)
    }

    /// Returns the change that makes the file fit, as a line of Python, or the reason why none does.
    fn rewrite(
        &self,
        candidate: &Candidate,
        missing: &[ParameterSpec],
        misshaped: &[Misshaped],
        others: &Others,
    ) -> Option<String> {
        let unexpected = others.unexpected.as_slice();
        if self.dicts(candidate).len() > 1 {
            // The lines of Python are for a dict of tensors.
            return None;
        }
        if missing.is_empty() && unexpected.is_empty() {
            return transposition(misshaped);
        }
        if !misshaped.is_empty() {
            return None;
        }
        if missing.is_empty() {
            let names = unexpected.iter().map(|name| shown(&format!("{}{name}", self.place(candidate).1)));
            let names: Vec<String> = names.collect();
            return (names.len() <= SHOWN).then(|| {
                format!(
                    "if the network computes its classes without them, leave them out: in Python, \
                     {{k: v for k, v in state.items() if k not in {names:?}}}"
                )
            });
        }
        let is_statistic =
            |p: &ParameterSpec| p.name.ends_with(".running_mean") || p.name.ends_with(".running_var");
        if unexpected.is_empty() && missing.iter().all(is_statistic) {
            return Some(
                "its batch norms have no running statistics (track_running_stats=False), so they depend on the batch: \
                 train the network with them"
                    .into(),
            );
        }
        if let Some(hint) = self.beside(candidate, missing) {
            return Some(hint);
        }
        let last = self.graph.stored_weights().last()?.name.rsplit_once('.')?.0.to_string();
        let is_last = |p: &ParameterSpec| p.name.rsplit_once('.').is_some_and(|(layer, _)| layer == last);
        if unexpected.is_empty() && missing.iter().all(is_last) {
            return Some(format!(
                "the file has all layers but the last, {last}: save the network with its classifier"
            ));
        }
        self.renaming(candidate, missing, unexpected)
    }

    /// Returns advice if the missing parameters are in the file, without the prefix of the others.
    fn beside(&self, candidate: &Candidate, missing: &[ParameterSpec]) -> Option<String> {
        let (_, prefix) = self.place(candidate);
        let outer = candidate.base.strip_suffix(prefix).filter(|_| !prefix.is_empty())?;
        let is_there = |parameter: &ParameterSpec| {
            self.table.entries.iter().any(|entry| {
                matches!(&entry.content, Content::Floats(shape) if *shape == parameter.shape)
                    && self.table.full_name(entry).strip_prefix(outer) == Some(parameter.name.as_str())
            })
        };
        missing.iter().all(is_there).then(|| {
            format!(
                "these are in the file without the prefix `{0}`: in Python, \
                 {{k.removeprefix(\"{0}\"): v for k, v in state.items()}}",
                shown(prefix)
            )
        })
    }

    /// Returns the replacements in names after which all parameters are there: those of Keras's batch norms, or the
    /// only other one.
    fn renaming(
        &self,
        candidate: &Candidate,
        missing: &[ParameterSpec],
        unexpected: &[String],
    ) -> Option<String> {
        let base = candidate.base.as_str();
        let mut shapes: HashMap<String, &[usize]> = HashMap::new();
        for entry in &self.table.entries {
            if let Content::Floats(shape) = &entry.content
                && let Some(rest) = self.table.full_name(entry).strip_prefix(base)
            {
                shapes.insert(rest.into(), shape);
            }
        }
        let fits = |pairs: &[(String, String)]| {
            let renamed =
                |name: &str| pairs.iter().fold(name.to_string(), |name, (from, to)| name.replace(from, to));
            let found: HashMap<String, &[usize]> =
                unexpected.iter().filter_map(|name| Some((renamed(name), *shapes.get(name)?))).collect();
            let hits = candidate.hits.keys().map(|&parameter| &self.parameters[parameter].name);
            found.len() == missing.len()
                && missing.iter().all(|p| found.get(&p.name).is_some_and(|shape| *shape == p.shape))
                && hits.into_iter().all(|name| renamed(name) == *name)
        };
        let said = |pairs: &[(String, String)]| {
            let replaced = |(from, to): &(String, String)| format!(".replace({from:?}, {to:?})");
            let replaced: String = pairs.iter().map(replaced).collect();
            format!("they fit after a renaming: in Python, {{k{replaced}: v for k, v in state.items()}}")
        };
        let keras: Vec<(String, String)> =
            KERAS_NAMES.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
        if fits(&keras) {
            return Some(said(&keras));
        }
        let first = missing.first()?;
        let mut pairs: Vec<(String, String)> = unexpected
            .iter()
            .filter(|name| shapes.get(*name).is_some_and(|shape| *shape == first.shape))
            .filter_map(|name| replacement(name, &first.name))
            .collect();
        pairs.sort();
        pairs.dedup();
        pairs.retain(|pair| fits(std::slice::from_ref(pair)));
        match pairs.as_slice() {
            [pair] => Some(said(std::slice::from_ref(pair))),
            _ => None,
        }
    }

    /// Returns the number of classes of the network in the file, if nothing else differs.
    fn classes(&self, misshaped: &[Misshaped]) -> Option<usize> {
        let last = self.graph.stored_weights().last()?.name.clone();
        let layer = last.rsplit_once('.')?.0;
        let is_last = |m: &Misshaped| {
            m.name.rsplit_once('.').is_some_and(|(owner, _)| owner == layer)
                && m.found.get(1..) == m.expected.get(1..)
        };
        (!misshaped.is_empty() && misshaped.iter().all(is_last))
            .then(|| misshaped[0].found.first().copied())?
    }

    /// Returns the networks of the zoo that fit the file.
    fn other_networks(&self, misshaped: &[Misshaped], budget: &mut Budget) -> Vec<String> {
        let spec = self.graph.spec();
        if !self.graph.layers().is_empty() || self.table.entries.len() > MOST_ENTRIES_FOR_HINTS {
            return Vec::new();
        }
        let mut fits = |spec: &graph::ModelSpec| -> bool {
            let Ok(graph) = build(spec) else { return false };
            let parameters = graph.parameters();
            let Ok(search) = Search::new(self.table, &graph, &parameters, self.selection) else {
                return false;
            };
            let Ok(candidates) = search.candidates(budget) else { return false };
            search.fitting(&candidates).first().is_some_and(|(_, others)| others.unexpected.is_empty())
        };
        let width = misshaped.first().and_then(|m| {
            let (found, expected) = (*m.found.first()?, *m.expected.first()?);
            Some(spec.width * found as f64 / expected as f64)
        });
        if let Some(width) = width
            && fits(&graph::ModelSpec { width, ..spec.clone() })
        {
            return vec![format!("they fit {} with --width {width}", spec.architecture)];
        }
        let forms = ARCHITECTURES.iter().flat_map(|name| {
            let variants = variants(name).unwrap_or_default();
            let named =
                variants.into_iter().map(|variant| (Some(variant), format!(" --variant {}", variant.id())));
            // The first is the architecture by its name alone.
            let alone = std::iter::once((None, String::new()));
            alone.chain(named.skip(1)).map(move |(variant, option)| (*name, variant, option))
        });
        let fitting: Vec<String> = forms
            .filter(|(name, variant, _)| {
                let form = model(name, *variant, spec.width, spec.classes, spec.input);
                form.is_ok_and(|form| fits(&form))
            })
            .map(|(name, _, option)| format!("{name}{option}"))
            .collect();
        match fitting.is_empty() {
            true => Vec::new(),
            false => vec![format!("they fit --arch {}", fitting.join(" or "))],
        }
    }

    /// Returns a prefix without a final dot, and the number of the network's names behind it.
    fn undotted(&self) -> Option<(String, usize)> {
        let name = self.parameters.first()?.name.as_str();
        let entries = || self.table.entries.iter().filter(|entry| self.allowed[entry.dict]);
        let is_prefix = |prefix: &&str| !prefix.is_empty() && !prefix.ends_with('.');
        // The shortest prefix counts, because one name may end with another.
        let prefixes = entries().filter_map(|entry| entry.name.strip_suffix(name)).filter(is_prefix);
        let prefix = prefixes.min_by_key(|prefix| prefix.len())?;
        let named = |entry: &&Entry| {
            entry.name.strip_prefix(prefix).is_some_and(|rest| self.names.contains_key(rest))
        };
        Some((prefix.into(), entries().filter(named).count()))
    }

    fn nothing(&self, undotted: Option<(String, usize)>, budget: &mut Budget) -> Kind {
        let network = network_name(self.graph);
        let mut hints = Vec::new();
        match (undotted, &self.selection.prefix) {
            (_, Some(prefix)) => {
                hints.push(format!("--prefix is `{}`, expected a prefix of its names", shown(prefix)));
            }
            (Some((prefix, count)), None) => {
                let prefix = shown(&prefix);
                hints.push(format!("{count} names differ by the prefix `{prefix}`: --prefix {prefix}"));
            }
            (None, None) => hints.extend(self.other_networks(&[], budget)),
        }
        let mut counts = vec![0; self.table.dicts.len()];
        for entry in &self.table.entries {
            counts[entry.dict] +=
                usize::from(!matches!(entry.content, Content::Object) && self.allowed[entry.dict]);
        }
        let largest =
            (0..counts.len()).rev().max_by_key(|&dict| counts[dict]).filter(|&dict| counts[dict] > 0);
        let Some(largest) = largest else { return no_tensors(self.table) };
        let held = |entry: &&Entry| entry.dict == largest && !matches!(entry.content, Content::Object);
        let examples: Vec<String> =
            self.table.entries.iter().filter(held).map(named_shape).take(SHOWN + 1).collect();
        let wanted: Vec<String> =
            self.parameters.iter().take(SHOWN + 1).map(|p| format!("{} {:?}", p.name, p.shape)).collect();
        Kind::Nothing(Box::new(Nothing {
            network,
            place: described(&self.table.dicts[largest].path, ""),
            count: counts[largest],
            examples: first(&examples, SHOWN),
            wanted: first(&wanted, SHOWN),
            hints: hints.iter().map(|hint| format!("\n{hint}")).collect(),
        }))
    }
}

/// Returns advice if a weight is stored as other tensors from which it is computed.
fn reparametrized(names: &HashSet<&str>, name: &str) -> Option<String> {
    let (module, weight) = name.rsplit_once('.').unwrap_or(("", name));
    let has = |form: &str| names.contains(joined(module, &form.replace('?', weight)).as_str());
    let (parts, by, undo) = if has("?_g") && has("?_v") {
        ("`?_g` and `?_v`", "weight norm", "torch.nn.utils.remove_weight_norm(module)")
    } else if has("?_orig") && has("?_mask") {
        ("`?_orig` and `?_mask`", "pruning", "torch.nn.utils.prune.remove(module, \"?\")")
    } else if has("?_orig") {
        ("`?_orig` and vectors", "spectral norm", "torch.nn.utils.remove_spectral_norm(module)")
    } else if has("parametrizations.?.original") || has("parametrizations.?.original0") {
        let undo = "torch.nn.utils.parametrize.remove_parametrizations(module, \"?\")";
        ("`parametrizations.?.*`", "a parametrization", undo)
    } else {
        return None;
    };
    let [parts, undo] = [parts, undo].map(|text| text.replace('?', weight));
    Some(format!(
        "{name} is stored as {parts} ({by}), expected the weight itself: in Python, call {undo} for each such module, \
         then save model.state_dict()"
    ))
}

fn named_shape(entry: &Entry) -> String {
    match &entry.content {
        Content::Floats(shape) | Content::Integers(shape) => format!("{} {shape:?}", shown(&entry.name)),
        Content::Refused(_) | Content::Object => shown(&entry.name),
    }
}

/// Returns a flag for each dict: true if it may hold the parameters. These are all dicts, or the selected
/// dict and its descendants.
fn allowed(table: &Table, selection: &Selection) -> Result<Vec<bool>, Kind> {
    let Some(key) = &selection.key else { return Ok(vec![true; table.dicts.len()]) };
    let mut allowed: Vec<bool> = Vec::with_capacity(table.dicts.len());
    for dict in &table.dicts {
        allowed.push(dict.path == *key || dict.parent.is_some_and(|parent| allowed[parent]));
    }
    if allowed.contains(&true) {
        return Ok(allowed);
    }
    let mut known = Vec::new();
    for entry in &table.entries {
        let path = &table.dicts[entry.dict].path;
        if matches!(entry.content, Content::Floats(_)) && !path.is_empty() && !known.contains(path) {
            known.push(path.clone());
        }
        if known.len() > 8 {
            break;
        }
    }
    let known: Vec<String> = known.iter().map(|path| shown(path)).collect();
    Err(Kind::NoKey { key: shown(key), known: known.join(", ") })
}

/// Returns the float tensors of the dict that holds most of them.
pub(super) fn largest(table: &Table, selection: &Selection) -> Result<Vec<(String, usize)>, Kind> {
    let allowed = allowed(table, selection)?;
    let mut counts = vec![0; table.dicts.len()];
    for entry in &table.entries {
        let is_tensor = matches!(entry.content, Content::Floats(_) | Content::Refused(_));
        counts[entry.dict] += usize::from(allowed[entry.dict] && is_tensor);
    }
    // The first of equal dicts wins.
    let largest = (0..counts.len()).rev().max_by_key(|&dict| counts[dict]).filter(|&dict| counts[dict] > 0);
    let Some(largest) = largest else {
        return Err(match table.modules.first() {
            Some(module) => Kind::Module {
                class: module.class.clone(),
                path: module.path.clone(),
                way_out: String::new(),
            },
            None => no_tensors(table),
        });
    };
    let prefix = selection.prefix.as_deref().unwrap_or_default();
    let mut entries = Vec::new();
    for (position, entry) in table.entries.iter().enumerate().filter(|(_, entry)| entry.dict == largest) {
        let Some(name) = entry.name.strip_prefix(prefix) else { continue };
        match &entry.content {
            Content::Floats(_) => entries.push((name.into(), position)),
            Content::Integers(_) | Content::Object => {}
            Content::Refused(problem) => {
                return Err(Kind::Tensor { tensor: shown(name), problem: problem.clone() });
            }
        }
    }
    Ok(entries)
}

/// Returns the error for a file without tensors. It names an object in their place, or lists the file's own
/// keys.
fn no_tensors(table: &Table) -> Kind {
    if let Some(object) = table.entries.iter().find(|entry| matches!(entry.content, Content::Object)) {
        let (tensor, id) = (shown(&table.full_name(object)), object.id);
        return Kind::NotATensor { tensor, id, class: String::new() };
    }
    let Some(root) = table.dicts.first() else { return Kind::NoTensors { keys: String::new() } };
    let more = if root.more > 0 { format!(" and {} more", root.more) } else { String::new() };
    Kind::NoTensors { keys: format!("{}{more}", root.keys.join(", ")) }
}

/// True if a tensor is a counter or a measurement of training: step counters of batch norms, of averages and
/// of profilers, and single numbers that are named after a measurement.
fn is_of_training(name: &str, content: &Content) -> bool {
    const COUNTERS: [&str; 4] = ["num_batches_tracked", "n_averaged", "total_ops", "total_params"];
    const MEASURED: [&str; 15] = [
        "acc",
        "acc1",
        "accuracy",
        "best",
        "epoch",
        "global",
        "iter",
        "iteration",
        "loss",
        "prec1",
        "step",
        "test",
        "top1",
        "train",
        "val",
    ];
    let last = name.rsplit('.').next().unwrap_or(name);
    let (Content::Floats(shape) | Content::Integers(shape)) = content else { return false };
    let is_one = shape.iter().product::<usize>() == 1;
    let word = name.split(['_', '-']).next().unwrap_or(name);
    COUNTERS.contains(&last) || is_one && !name.contains('.') && MEASURED.contains(&word)
}

/// Describes the place of tensors.
fn described(path: &str, prefix: &str) -> String {
    let mut text = String::from("the tensors");
    if !path.is_empty() {
        text += &format!(" under `{}`", shown(path));
    }
    if !prefix.is_empty() {
        text += &format!(" without the prefix `{}`", shown(prefix));
    }
    text
}

/// Lists the first names, and the number of further ones.
fn first(names: &[String], most: usize) -> String {
    let shown = names[..names.len().min(most)].join(", ");
    if names.len() > most { format!("{shown}, ...") } else { shown }
}

/// No dict in a file has many of a network's names.
#[derive(Debug, thiserror::Error)]
#[error(
    "no dict in the file resembles {network} ({wanted}); the largest, {place}, has {count}: {examples}{hints}"
)]
pub(super) struct Nothing {
    network: String,
    wanted: String,
    place: String,
    count: usize,
    examples: String,
    hints: String,
}

/// A file does not hold the parameters of a network; the error describes the nearest ones.
#[derive(Debug)]
pub(super) struct Misfit {
    place: String,
    mismatch: MismatchError,
    hints: Vec<String>,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.mismatch.compared())?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

/// Returns advice if all weights of another shape are there in Keras's order of axes.
fn transposition(misshaped: &[Misshaped]) -> Option<String> {
    let moved = |Misshaped { found, expected, .. }: &Misshaped| match *expected.as_slice() {
        [out, inputs, rows, columns] => *found == [rows, columns, inputs, out],
        [out, inputs] => *found == [inputs, out],
        _ => false,
    };
    if misshaped.is_empty() || !misshaped.iter().all(moved) {
        return None;
    }
    let names: Vec<&String> = misshaped.iter().map(|m| &m.name).collect();
    let linear = misshaped.iter().all(|m| m.expected.len() == 2);
    Some(match linear {
        true if names.len() <= SHOWN => format!(
            "they are transposed, as Keras stores them: in Python, \
             {{k: v.t().contiguous() if k.endswith(({})) else v for k, v in state.items()}}",
            names.iter().map(|name| format!("{name:?},")).collect::<Vec<_>>().join(" ")
        ),
        true => "they are transposed, as Keras stores them: in Python, \
                 {k: v.t().contiguous() if v.dim() == 2 else v for k, v in state.items()}"
            .into(),
        false => "they are in Keras's order of axes (height, width, input, output): in Python, \
                  {k: v.permute(3, 2, 0, 1).contiguous() if v.dim() == 4 else v.t().contiguous() if v.dim() == 2 else v \
                  for k, v in state.items()}"
            .into(),
    })
}

/// Returns the text to replace in `name`, and the text to put there, for it to become `wanted`: the parts between dots
/// that differ, with a dot.
fn replacement(name: &str, wanted: &str) -> Option<(String, String)> {
    let [from, to] = [name, wanted].map(|name| name.split('.').collect::<Vec<_>>());
    let equal = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let front = equal(&mut from.iter().zip(&to));
    let shortest = from.len().min(to.len());
    let back = equal(&mut from.iter().rev().zip(to.iter().rev())).min(shortest - front.min(shortest));
    let [from, to] = [&from, &to].map(|parts| &parts[front..parts.len() - back]);
    if from.is_empty() || to.is_empty() {
        return None;
    }
    let with_dot = |parts: &[&str]| match back {
        0 => format!(".{}", parts.join(".")),
        _ => format!("{}.", parts.join(".")),
    };
    Some((with_dot(from), with_dot(to)))
}
