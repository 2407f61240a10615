//! Lists all tensors of a file, at any depth.
//!
//! Training programs store a state dict beside epochs, arguments, optimizers and other state dicts, at any
//! depth. [`Table`] lists every named tensor with the dict that holds it; [`super::fit`] picks the parameters
//! of a network.

use std::collections::{HashMap, HashSet, VecDeque};

use pickle::{Id, Object, Pickle};

use super::dtype::Dtype;
use super::tensor::{MAX_NAME_BYTES, Problem, is_tensor, tensor};
use super::{Budget, Kind, shown};

/// The largest depth of nested dicts. Nested checkpoints have two or three levels.
const MAX_NESTING: usize = 12;
/// Number of keys of a dict that messages may list.
const SHOWN_KEYS: usize = 12;
/// Number of attributes of an object that are searched for those of a module, which come before all others.
const MODULE_ATTRIBUTES: usize = 32;

/// The named tensors of a file, and the dicts that hold them.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The dicts. A parent precedes its children; the first is the root of the file.
    pub(super) dicts: Vec<Dict>,
    pub(super) entries: Vec<Entry>,
    /// Modules that were pickled as objects.
    pub(super) modules: Vec<Module>,
}

/// A dict, or a list, of the file.
#[derive(Debug)]
pub(super) struct Dict {
    pub(super) parent: Option<usize>,
    /// Keys that lead to the dict, joined by dots.
    pub(super) path: String,
    /// The first keys of the dict.
    pub(super) keys: Vec<String>,
    /// Number of further keys.
    pub(super) more: usize,
}

/// A named tensor, or a named object of some class.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dict: usize,
    pub(super) name: String,
    pub(super) content: Content,
    /// The object of the pickle.
    pub(super) id: Id,
}

#[derive(Debug)]
pub(super) enum Content {
    Floats(Vec<usize>),
    Integers(Vec<usize>),
    /// An unsupported tensor.
    Refused(Problem),
    /// An object that is no tensor.
    Object,
}

/// A module that was pickled as an object.
#[derive(Debug)]
pub(super) struct Module {
    /// Keys that lead to the module, joined by dots; `None` if it is the root of the file.
    pub(super) path: Option<String>,
    pub(super) class: String,
}

impl Table {
    /// Makes a table of one empty dict.
    pub(super) fn flat() -> Self {
        let root = Dict { parent: None, path: String::new(), keys: Vec::new(), more: 0 };
        Self { dicts: vec![root], ..Self::default() }
    }

    /// The keys of the entry's dict and its name, joined by dots.
    pub(super) fn full_name(&self, entry: &Entry) -> String {
        joined(&self.dicts[entry.dict].path, &entry.name)
    }

    /// Lists the tensors and dicts of a pickle.
    pub(super) fn of(pickle: &Pickle<'_>, budget: &mut Budget) -> Result<Self, Kind> {
        let mut table = Self::default();
        let mut seen = HashSet::new();
        let mut waiting = VecDeque::from([(pickle.root(), None, String::new(), 0)]);
        table.module(pickle, pickle.root(), None);
        if table.modules.is_empty() && items(pickle, pickle.root()).is_none() {
            return Err(match class_of(pickle, pickle.root()) {
                Some(class) => Kind::Object { class },
                None => Kind::NotADict { found: pickle.get(pickle.root()).kind() },
            });
        }
        while let Some((id, parent, path, depth)) = waiting.pop_front() {
            if !seen.insert(id) {
                continue;
            }
            let Some(items) = items(pickle, id) else { continue };
            let dict = table.dicts.len();
            table.dicts.push(Dict { parent, path, keys: Vec::new(), more: 0 });
            let mut positions = HashMap::new();
            let mut waits = |table: &Self, key: &str, value: Id, budget: &mut Budget| {
                let path = joined(&table.dicts[dict].path, key);
                if depth < MAX_NESTING && path.len() <= MAX_NAME_BYTES && !seen.contains(&value) {
                    budget.spend(size_of::<Dict>() + 2 * path.len(), "the names of dicts")?;
                    waiting.push_back((value, Some(dict), path, depth + 1));
                }
                Ok::<(), Kind>(())
            };
            for (key, value) in items {
                let Some(key) = key_text(pickle, &key) else { continue };
                let tensor = tensor(pickle, value, budget);
                if key.len() > MAX_NAME_BYTES {
                    if tensor.is_some() {
                        let (name, bytes) = (shown(&key), key.len());
                        return Err(Kind::LongName { name, bytes, limit: MAX_NAME_BYTES });
                    }
                    continue;
                }
                let held = &mut table.dicts[dict];
                match held.keys.len() < SHOWN_KEYS {
                    true => held.keys.push(shown(&key)),
                    false => held.more += 1,
                }
                let content = match (tensor, pickle.get(value)) {
                    // A NumPy scalar counts as a Python number.
                    (Some(Ok(tensor)), _) if tensor.storage().is_none() && tensor.shape.is_empty() => {
                        continue;
                    }
                    (Some(Ok(tensor)), _) => {
                        // Many items can share one tensor or one shape, so each is charged.
                        budget.spend(tensor.bytes(), &key)?;
                        match tensor.dtype {
                            dtype if dtype.is_float() => Content::Floats(tensor.shape),
                            Dtype::Other(name, _) => Content::Refused(Problem::Type { found: name.into() }),
                            _ => Content::Integers(tensor.shape),
                        }
                    }
                    (Some(Err(problem)), _) => Content::Refused(problem),
                    (None, Object::Dict(_) | Object::List(_) | Object::Tuple(_)) => {
                        waits(&table, &key, value, budget)?;
                        continue;
                    }
                    (None, Object::Call { .. }) if pickle.items(value).is_some() => {
                        waits(&table, &key, value, budget)?;
                        continue;
                    }
                    (None, Object::Call { .. } | Object::Global { .. } | Object::Persistent(_)) => {
                        table.module(pickle, value, Some((dict, &key)));
                        Content::Object
                    }
                    (None, _) => continue,
                };
                budget.spend(size_of::<Entry>() + 2 * key.len(), &key)?;
                let entry = Entry { dict, name: key.clone().into_owned(), content, id: value };
                // The last of equal keys counts, as in Python.
                match positions.get(&*key) {
                    Some(&position) => table.entries[position] = entry,
                    None => {
                        positions.insert(key.into_owned(), table.entries.len());
                        table.entries.push(entry);
                    }
                }
            }
        }
        Ok(table)
    }

    /// Records an object that has the attributes of a module. `place` is its dict and key, or `None` for the
    /// root of the file.
    fn module(&mut self, pickle: &Pickle<'_>, id: Id, place: Option<(usize, &str)>) {
        const MOST: usize = 8;
        if self.modules.len() == MOST {
            return;
        }
        let Some(attributes) = pickle.state(id).and_then(|state| pickle.items(state)) else { return };
        let has =
            |name| attributes.iter().take(MODULE_ATTRIBUTES).any(|&(key, _)| pickle.text(key) == Some(name));
        if has("_parameters") && has("_modules") {
            let class = class_of(pickle, id).unwrap_or_default();
            let path = place.map(|(dict, key)| joined(&self.dicts[dict].path, key));
            self.modules.push(Module { path: path.map(|path| shown(&path)), class });
        }
    }
}

pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

/// A key of a dict, or an index of a list.
enum Key {
    Object(Id),
    Position(usize),
}

/// Returns keys and values of a dict, or of a list that may hold dicts. In a list, a pair of a text and a
/// tensor counts as key and value.
fn items(pickle: &Pickle<'_>, id: Id) -> Option<Vec<(Key, Id)>> {
    match pickle.get(id) {
        Object::List(list) | Object::Tuple(list) => {
            let item = |(position, &item): (usize, &Id)| match pickle.get(item) {
                Object::List(pair) | Object::Tuple(pair)
                    if pair.len() == 2 && pickle.text(pair[0]).is_some() && is_tensor(pickle, pair[1]) =>
                {
                    (Key::Object(pair[0]), pair[1])
                }
                _ => (Key::Position(position), item),
            };
            Some(list.iter().enumerate().map(item).collect())
        }
        _ => Some(pickle.items(id)?.iter().map(|&(key, value)| (Key::Object(key), value)).collect()),
    }
}

/// Returns a key as text: numbers in digits; bytes, which are names written by Python 2, as they are.
fn key_text<'a>(pickle: &Pickle<'a>, key: &Key) -> Option<std::borrow::Cow<'a, str>> {
    match *key {
        Key::Position(position) => Some(position.to_string().into()),
        Key::Object(id) => match pickle.get(id) {
            Object::Int(value) => Some(value.to_string().into()),
            Object::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Into::into),
            // Bytes at protocol 2 are a call that encodes a text, which many keys can share.
            Object::Call { .. } => {
                let text = pickle.call(id)?.2.first().and_then(|&text| pickle.text(text))?;
                let bytes = if text.len() <= 2 * MAX_NAME_BYTES { pickle.bytes(id)? } else { return None };
                String::from_utf8(bytes.into_owned()).ok().map(Into::into)
            }
            _ => pickle.text(id).map(Into::into),
        },
    }
}

/// Returns the class or function of an object that is neither plain data nor a tensor, for messages.
pub(super) fn class_of(pickle: &Pickle<'_>, id: Id) -> Option<String> {
    let start = id;
    let mut id = id;
    loop {
        id = match pickle.get(id) {
            Object::Global { module, name } => return Some(shown(&format!("{module}.{name}"))),
            // A callable precedes its call, and an id its reference, so this loop ends.
            Object::Call { callable, .. } => *callable,
            // Legacy files refer to the classes of modules as ("module", class, file, source).
            Object::Persistent(reference) => match pickle.get(*reference) {
                Object::Tuple(items) => match items.as_slice() {
                    [tag, class, ..] if pickle.text(*tag) == Some("module") => *class,
                    _ => return Some("a persistent reference".into()),
                },
                _ => return Some("a persistent reference".into()),
            },
            other => return (id != start).then(|| format!("a call of {}", other.kind())),
        };
    }
}
