//! From the objects of a pickle to named tensors.
//!
//! `torch.save` writes a tensor as a call of one of three functions of `torch._utils` on a storage and a
//! view of it (offset, shape, strides, counted in elements):
//!
//! ```text
//! _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)     since 0.4
//! _rebuild_tensor(storage, offset, shape, strides)                              before
//! _rebuild_parameter(tensor, requires_grad, hooks)
//! storage: persistent id ("storage", class torch.FloatStorage, key, device, elements[, view])
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use pickle::{Id, Object, Pickle};
use quant::{FloatTensor, Parameters};

use super::dtype::Dtype;
use super::{Budget, Kind, shown};

/// Where trainers put the state dict inside a checkpoint.
const NESTED: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "module"];
/// Nested checkpoints are one or two levels deep; a cyclic one has no end.
const MAX_NESTING: usize = 8;
/// PyTorch's own limit.
const MAX_RANK: usize = 64;
/// Names are compared often, and a hostile file can share one of any length.
const MAX_NAME_BYTES: usize = 1024;

/// The raw elements that the tensors of a pickle are views of.
pub(super) trait Storages<'a> {
    /// The bytes of a storage.
    fn storage(&mut self, key: &str, budget: &mut Budget) -> Result<Cow<'a, [u8]>, Kind>;
}

/// A storage as a pickle refers to it.
pub(super) struct StorageRef<'a> {
    pub(super) key: &'a str,
    /// `None` for a class that is unknown here.
    pub(super) dtype: Option<Dtype>,
    class: [&'a str; 2],
    /// Where a view of the storage begins, in elements (legacy format).
    offset: usize,
}

impl StorageRef<'_> {
    /// The error of a class that is unknown here.
    pub(super) fn type_error(&self, of: String) -> Kind {
        Kind::Type { of, found: shown(&self.class.join(".")) }
    }
}

struct TensorRef<'a> {
    storage: StorageRef<'a>,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Reads the float tensors of the state dict in `pickle`.
pub(super) fn load<'a>(
    pickle: &Pickle<'a>,
    storages: &mut impl Storages<'a>,
    budget: &mut Budget,
) -> Result<Parameters, Kind> {
    let mut tensors = BTreeMap::new();
    for &(key, value) in find(pickle)? {
        let is_tensor = is_tensor(pickle, value);
        let Some(name) = pickle.text(key) else {
            if is_tensor {
                return Err(Kind::Key { found: pickle.get(key).kind() });
            }
            continue;
        };
        if name.len() > MAX_NAME_BYTES {
            return Err(Kind::LongName { name: shown(name), bytes: name.len(), limit: MAX_NAME_BYTES });
        }
        if is_tensor {
            let tensor =
                tensor(pickle, value).map_err(|problem| Kind::Tensor { tensor: shown(name), problem })?;
            // Many items can share one tensor, or one shape.
            budget.spend(size_of::<TensorRef>() + 2 * size_of_val(tensor.shape.as_slice()), name)?;
            tensors.insert(name, tensor);
        } else if let Some(class) = class_of(pickle, value) {
            return Err(Kind::NotATensor { tensor: shown(name), class });
        }
    }
    // Tensors that share a storage become neighbours, so that one storage is held at a time.
    let mut tensors: Vec<(&str, TensorRef<'a>)> = tensors.into_iter().collect();
    tensors.sort_by_key(|(_, tensor)| tensor.storage.key);
    let mut parameters = Parameters::new();
    let mut current: Option<(&str, Cow<'a, [u8]>)> = None;
    for (name, tensor) in tensors {
        let storage = &tensor.storage;
        let dtype = storage.dtype.ok_or_else(|| storage.type_error(shown(name)))?;
        if !dtype.is_float() {
            continue;
        }
        if current.as_ref().is_none_or(|(held, _)| *held != storage.key) {
            drop(current.take());
            current = Some((storage.key, storages.storage(storage.key, budget)?));
        }
        let bytes = current.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        parameters.insert(name.to_string(), gather(name, &tensor, dtype, bytes, budget)?);
    }
    Ok(parameters)
}

/// The items of the state dict: of the first dict on the way down that holds tensors.
fn find<'p>(pickle: &'p Pickle<'_>) -> Result<&'p [(Id, Id)], Kind> {
    let mut id = pickle.root();
    for _ in 0..MAX_NESTING {
        let Object::Dict(items) = pickle.get(id) else {
            return Err(match class_of(pickle, id) {
                Some(class) => Kind::Object { class },
                None => Kind::NotADict { found: pickle.get(id).kind() },
            });
        };
        if items.iter().any(|&(_, value)| is_tensor(pickle, value)) {
            return Ok(items);
        }
        match nested(pickle, items) {
            Some(value) => id = value,
            None => break,
        }
    }
    let keys: Vec<String> = match pickle.get(pickle.root()) {
        Object::Dict(items) => items
            .iter()
            .take(10)
            .map(|&(key, _)| match pickle.text(key) {
                Some(key) => shown(key),
                None => format!("({})", pickle.get(key).kind()),
            })
            .collect(),
        _ => Vec::new(),
    };
    Err(Kind::NoTensors { keys: keys.join(", ") })
}

/// Where to look further: a dict under one of the names in [`NESTED`], or else an object, which will be
/// the error. Plain values there mean something else (`model` may be an architecture's name).
fn nested(pickle: &Pickle<'_>, items: &[(Id, Id)]) -> Option<Id> {
    let candidates = || {
        NESTED.iter().filter_map(|name| {
            let named = |&&(key, _): &&(Id, Id)| pickle.text(key) == Some(*name);
            // As in Python, the last of equal keys counts.
            items.iter().rev().find(named).map(|&(_, value)| value)
        })
    };
    let dict = candidates().find(|&id| matches!(pickle.get(id), Object::Dict(_)));
    dict.or_else(|| candidates().find(|&id| class_of(pickle, id).is_some()))
}

fn is_tensor(pickle: &Pickle<'_>, id: Id) -> bool {
    rebuild_args(pickle, id).is_some()
}

/// The function and arguments of a call that makes a tensor.
fn rebuild_args<'p, 'a>(pickle: &'p Pickle<'a>, id: Id) -> Option<(&'a str, &'p [Id])> {
    let Object::Call { callable, args, .. } = pickle.get(id) else { return None };
    let Object::Global { module: "torch._utils", name } = pickle.get(*callable) else { return None };
    let Object::Tuple(args) = pickle.get(*args) else { return None };
    matches!(*name, "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_parameter").then_some((*name, args))
}

fn tensor<'a>(pickle: &Pickle<'a>, id: Id) -> Result<TensorRef<'a>, &'static str> {
    let args = match rebuild_args(pickle, id) {
        Some(("_rebuild_parameter", [tensor, ..])) => rebuild_args(pickle, *tensor),
        other => other,
    };
    let args = match args {
        Some(("_rebuild_tensor" | "_rebuild_tensor_v2", args)) => args,
        _ => return Err("the parameter wraps something that is not a dense tensor"),
    };
    let &[storage, offset, shape, strides, ..] = args else {
        return Err("the tensor has fewer than 4 arguments");
    };
    let storage =
        storage_ref(pickle, storage).ok_or("the storage is not a reference that torch.save writes")?;
    let offset = size(pickle, offset).ok_or("the storage offset is not a size")?;
    let shape = sizes(pickle, shape).ok_or("the shape is not a tuple of at most 64 sizes")?;
    let strides = sizes(pickle, strides).ok_or("the strides are not a tuple of at most 64 sizes")?;
    if shape.len() != strides.len() {
        return Err("the shape and the strides differ in length");
    }
    Ok(TensorRef { storage, offset, shape, strides })
}

/// What a persistent id refers to, if it is a storage.
pub(super) fn storage_ref<'a>(pickle: &Pickle<'a>, id: Id) -> Option<StorageRef<'a>> {
    let Object::Persistent(id) = pickle.get(id) else { return None };
    let Object::Tuple(items) = pickle.get(*id) else { return None };
    let [tag, class, key, _device, _elements, view @ ..] = items.as_slice() else { return None };
    (pickle.text(*tag)? == "storage").then_some(())?;
    let Object::Global { module, name: class } = pickle.get(*class) else { return None };
    let key = pickle.text(*key)?;
    if key.len() > MAX_NAME_BYTES {
        return None;
    }
    let offset = match view.first().map(|&view| pickle.get(view)) {
        None | Some(Object::None) => 0,
        Some(Object::Tuple(view)) => size(pickle, *view.get(1)?)?,
        Some(_) => return None,
    };
    let dtype = if *module == "torch" { Dtype::of_storage_class(class) } else { None };
    Some(StorageRef { key, dtype, class: [module, class], offset })
}

fn size(pickle: &Pickle<'_>, id: Id) -> Option<usize> {
    match pickle.get(id) {
        Object::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

fn sizes(pickle: &Pickle<'_>, id: Id) -> Option<Vec<usize>> {
    match pickle.get(id) {
        Object::Tuple(items) if items.len() <= MAX_RANK => {
            items.iter().map(|&item| size(pickle, item)).collect()
        }
        _ => None,
    }
}

/// The class or function behind an object that is neither plain data nor a tensor, for messages.
fn class_of(pickle: &Pickle<'_>, id: Id) -> Option<String> {
    let start = id;
    let mut id = id;
    loop {
        id = match pickle.get(id) {
            Object::Global { module, name } => return Some(shown(&format!("{module}.{name}"))),
            // A callable is older than its call, and an id than its reference, so this ends.
            Object::Call { callable, .. } => *callable,
            // Legacy files refer to the classes of modules as ("module", class, file, source).
            Object::Persistent(reference) => match pickle.get(*reference) {
                Object::Tuple(items) => match items.as_slice() {
                    [tag, class, ..] if pickle.text(*tag) == Some("module") => *class,
                    _ => return Some("a persistent reference".into()),
                },
                _ => return Some("a persistent reference".into()),
            },
            // What has called something is an error, and the last: else every item of a dict could hang on one chain
            // as long as the file.
            other => return (id != start).then(|| format!("a call of {}", other.kind())),
        };
    }
}

/// Copies the elements that a view selects, in row-major order.
fn gather(
    name: &str,
    tensor: &TensorRef<'_>,
    dtype: Dtype,
    bytes: &[u8],
    budget: &mut Budget,
) -> Result<FloatTensor, Kind> {
    let outside = || Kind::Tensor { tensor: shown(name), problem: "the view reaches beyond its storage" };
    let count = tensor.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).ok_or_else(outside)?;
    budget.spend(count.saturating_mul(size_of::<f32>()), name)?;
    let first = tensor.storage.offset.checked_add(tensor.offset).ok_or_else(outside)?;
    if count > 0 {
        let last = tensor
            .shape
            .iter()
            .zip(&tensor.strides)
            .try_fold(first, |at, (size, stride)| at.checked_add((size - 1).checked_mul(*stride)?));
        last.and_then(|last| dtype.element(bytes, last)).ok_or_else(outside)?;
    }
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0; tensor.shape.len()];
    let mut at = first;
    for _ in 0..count {
        values.push(dtype.element(bytes, at).ok_or_else(outside)?);
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += tensor.strides[axis];
            if index[axis] < tensor.shape[axis] {
                break;
            }
            at -= index[axis] * tensor.strides[axis];
            index[axis] = 0;
        }
    }
    Ok(FloatTensor::new(tensor.shape.clone(), values))
}
