//! Reads the tensors that a pickle describes.
//!
//! `torch.save` writes a tensor as a call of a function of `torch._utils` on a storage and a view of it
//! (offset, shape, strides, counted in elements). A tensor with an unknown argument is refused:
//!
//! ```text
//! _rebuild_tensor(storage, offset, shape, strides)                                           before 0.4
//! _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata])      since
//! _rebuild_tensor_v3(storage, offset, shape, strides, requires_grad, hooks, dtype[, metadata])
//! _rebuild_parameter(tensor, requires_grad, hooks)
//! _rebuild_parameter_with_state(tensor, requires_grad, hooks, attributes)
//! _rebuild_device_tensor_from_cpu_tensor(tensor, dtype, device, requires_grad)
//! _rebuild_device_tensor_from_numpy(array, dtype, device, requires_grad)                     earlier _rebuild_xla_tensor
//! torch._tensor._rebuild_from_type_v2(function, class, arguments, attributes)
//! storage: persistent id ("storage", class torch.FloatStorage, key, device, elements[, view])
//! metadata: {"neg": bool, "conj": bool}, views that are negated and conjugated when they are read
//! ```
//!
//! Gradients, hooks, devices and attributes do not change values. A NumPy array also counts as a tensor.

use std::borrow::Cow;

use pickle::{Array, ArrayError, Id, Object, Pickle};
use quant::FloatTensor;

use super::dtype::Dtype;
use super::{Budget, Kind, shown};

/// The largest number of dimensions, which is PyTorch's own limit.
const MAX_RANK: usize = 64;
/// The largest length of a name. Names are compared often, and in a hostile file many entries can share one
/// long name.
pub(super) const MAX_NAME_BYTES: usize = 1024;
/// The largest number of nested wrappers. A parameter wraps a tensor of a subclass that wraps a tensor; a
/// hostile file could go on forever.
const MAX_WRAPPERS: usize = 4;

/// The reason why a tensor cannot be read. The text follows the name of the tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error(" is built by {class}, expected a dense tensor{advice}")]
    Class { class: String, advice: &'static str },
    #[error(" has type {found}, expected f64, f32, f16 or bf16")]
    Type { found: String },
    #[error(
        " holds integers, expected f64, f32, f16 or bf16: if the network is quantized, pass the float network"
    )]
    Integers,
    #[error(": {0}")]
    Form(&'static str),
    #[error(": {0}")]
    Array(#[from] ArrayError),
    #[error(
        " is of the subclass {class}, expected torch.Tensor or torch.nn.Parameter: in Python, call \
         .as_subclass(torch.Tensor) on the tensors and save them again"
    )]
    Subclass { class: String },
    #[error(" has metadata {key}, expected neg or conj")]
    Metadata { key: String },
}

/// A reference to a storage in a pickle.
pub(super) struct StorageRef<'a> {
    pub(super) key: &'a str,
    /// Element type; `None` if the storage class is unknown.
    pub(super) dtype: Option<Dtype>,
    class: (&'a str, &'a str),
    /// Start of a view of the storage, in elements (legacy format only).
    offset: usize,
}

impl StorageRef<'_> {
    /// Name of the storage class, for messages.
    pub(super) fn class(&self) -> String {
        shown(&format!("{}.{}", self.class.0, self.class.1))
    }
}

/// A tensor: its shape and the place of its elements.
pub(super) struct TensorRef<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    elements: Elements<'a>,
    /// True if the values are the negatives of the stored elements.
    negative: bool,
}

enum Elements<'a> {
    View { storage: StorageRef<'a>, offset: usize, strides: Vec<usize> },
    Array(Array<'a>),
}

impl<'a> TensorRef<'a> {
    /// Key of the storage that holds the elements; `None` for a NumPy array.
    pub(super) fn storage(&self) -> Option<&str> {
        match &self.elements {
            Elements::View { storage, .. } => Some(storage.key),
            Elements::Array(_) => None,
        }
    }

    /// Memory that this description takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of_val(self.shape.as_slice())
    }

    /// Returns the values in row-major order, given the bytes of the storage.
    pub(super) fn values(
        &self,
        name: &str,
        storage: &[u8],
        big_endian: bool,
        budget: &mut Budget,
    ) -> Result<FloatTensor, Kind> {
        let (bytes, big_endian, first, strides) = match &self.elements {
            Elements::View { storage: at, offset, strides } => {
                (storage, big_endian, at.offset.checked_add(*offset), Cow::Borrowed(strides.as_slice()))
            }
            Elements::Array(array) => {
                let strides = contiguous(&self.shape, array.fortran);
                (&*array.data, array.big_endian, Some(0), Cow::Owned(strides))
            }
        };
        let outside = || Kind::Tensor {
            tensor: shown(name),
            problem: Problem::Form("the view reaches beyond its storage"),
        };
        let count = self.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).ok_or_else(outside)?;
        budget.spend(count.saturating_mul(size_of::<f32>()), name)?;
        let first = first.ok_or_else(outside)?;
        let element = |at| self.dtype.ordered_element(bytes, at, big_endian).ok_or_else(outside);
        if count > 0 {
            let last = self
                .shape
                .iter()
                .zip(&*strides)
                .try_fold(first, |at, (size, stride)| at.checked_add((size - 1).checked_mul(*stride)?));
            element(last.ok_or_else(outside)?)?;
        }
        let mut values = Vec::with_capacity(count);
        let mut index = vec![0; self.shape.len()];
        let mut at = first;
        for _ in 0..count {
            let value = element(at)?;
            values.push(if self.negative { -value } else { value });
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= index[axis] * strides[axis];
                index[axis] = 0;
            }
        }
        Ok(FloatTensor::new(self.shape.clone(), values))
    }
}

/// Strides of a contiguous array whose size has been checked.
fn contiguous(shape: &[usize], fortran: bool) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    let mut next = 1usize;
    let mut take = |axis: usize| {
        strides[axis] = next;
        next = next.saturating_mul(shape[axis]);
    };
    match fortran {
        true => (0..shape.len()).for_each(&mut take),
        false => (0..shape.len()).rev().for_each(&mut take),
    }
    strides
}

/// Returns the tensor that an object describes; `None` if it is no tensor.
pub(super) fn tensor<'a>(
    pickle: &Pickle<'a>,
    id: Id,
    budget: &mut Budget,
) -> Option<Result<TensorRef<'a>, Problem>> {
    if let Some(array) = array(pickle, id, budget) {
        return Some(array);
    }
    let (module, name, args) = pickle.call(id)?;
    is_rebuilding(module, name).then(|| rebuilt(pickle, (module, name), args, MAX_WRAPPERS, budget))
}

/// True if an object is a tensor.
pub(super) fn is_tensor(pickle: &Pickle<'_>, id: Id) -> bool {
    let rebuilt = pickle.call(id).is_some_and(|(module, name, _)| is_rebuilding(module, name));
    rebuilt || pickle.array_len(id).is_some()
}

fn is_rebuilding(module: &str, name: &str) -> bool {
    matches!(module, "torch._utils" | "torch._tensor" | "torch.tensor") && name.starts_with("_rebuild")
}

/// Returns a NumPy array as a tensor. Many arrays can share their bytes, so each is charged.
fn array<'a>(pickle: &Pickle<'a>, id: Id, budget: &mut Budget) -> Option<Result<TensorRef<'a>, Problem>> {
    let bytes = pickle.array_len(id)?;
    if budget.spend(bytes, "an array").is_err() {
        return Some(Err(Problem::Form("the arrays take more bytes than a file of this size can need")));
    }
    Some(pickle.array(id)?.map_err(Problem::from).and_then(of_array))
}

fn of_array(array: Array<'_>) -> Result<TensorRef<'_>, Problem> {
    let dtype = Dtype::of_numpy(array.kind, array.size);
    let found = || Problem::Type { found: format!("{}{} of NumPy", array.kind.escape_default(), array.size) };
    let dtype = dtype.ok_or_else(found)?;
    let shape = array.shape.clone();
    Ok(TensorRef { shape, dtype, elements: Elements::Array(array), negative: false })
}

fn rebuilt<'a>(
    pickle: &Pickle<'a>,
    (module, name): (&str, &str),
    args: &[Id],
    wrappers: usize,
    budget: &mut Budget,
) -> Result<TensorRef<'a>, Problem> {
    const QUANTIZED: &str = ": it is quantized: save the float network, or in Python \
                             .dequantize() each tensor";
    let mut wrapped = |id: Id| -> Result<TensorRef<'a>, Problem> {
        let nothing = Problem::Form("the parameter wraps something that is not a dense tensor");
        let left = wrappers.checked_sub(1).ok_or_else(|| nothing.clone())?;
        match (array(pickle, id, budget), pickle.call(id)) {
            (Some(array), _) => array,
            (None, Some((module, name, args))) => rebuilt(pickle, (module, name), args, left, budget),
            (None, None) => Err(nothing),
        }
    };
    match (module, name, args) {
        ("torch._utils", "_rebuild_tensor", &[storage, offset, shape, strides]) => {
            view(pickle, [storage, offset, shape, strides])
        }
        (
            "torch._utils",
            "_rebuild_tensor_v2",
            &[storage, offset, shape, strides, _gradient, _hooks, ref metadata @ ..],
        ) if metadata.len() <= 1 => {
            let tensor = view(pickle, [storage, offset, shape, strides])?;
            with_metadata(pickle, tensor, metadata.first())
        }
        (
            "torch._utils",
            "_rebuild_tensor_v3",
            &[storage, offset, shape, strides, _gradient, _hooks, dtype, ref metadata @ ..],
        ) if metadata.len() <= 1 => {
            let mut tensor = view(pickle, [storage, offset, shape, strides])?;
            tensor.dtype = torch_dtype(pickle, dtype)?;
            with_metadata(pickle, tensor, metadata.first())
        }
        ("torch._utils", "_rebuild_parameter", &[tensor, _gradient, _hooks])
        | ("torch._utils", "_rebuild_parameter_with_state", &[tensor, _gradient, _hooks, _]) => {
            wrapped(tensor)
        }
        (
            "torch._utils",
            "_rebuild_device_tensor_from_cpu_tensor"
            | "_rebuild_device_tensor_from_numpy"
            | "_rebuild_xla_tensor",
            &[tensor, dtype, _device, _gradient],
        ) => {
            let tensor = wrapped(tensor)?;
            let dtype = torch_dtype(pickle, dtype)?;
            // Only rounding can differ between float types, and only if the tensor had a wider type on its device.
            match tensor.dtype.is_float() == dtype.is_float() {
                true => Ok(tensor),
                false => Err(Problem::Form("the tensor was of another kind on its device")),
            }
        }
        ("torch._tensor" | "torch.tensor", "_rebuild_from_type" | "_rebuild_from_type_v2", args) => {
            let &[function, class, args, _attributes] = args else {
                return Err(Problem::Form("the tensor has other arguments than PyTorch writes"));
            };
            let class = pickle.global(class).unwrap_or_default();
            if !matches!(
                class,
                ("torch" | "torch._tensor" | "torch.tensor", "Tensor")
                    | ("torch.nn.parameter", "Parameter" | "Buffer")
            ) {
                return Err(Problem::Subclass { class: shown(&format!("{}.{}", class.0, class.1)) });
            }
            let function =
                pickle.global(function).ok_or(Problem::Form("the tensor's function has no name"))?;
            let Object::Tuple(args) = pickle.get(args) else {
                return Err(Problem::Form("the tensor's arguments are not a tuple"));
            };
            let left = wrappers.checked_sub(1).ok_or(Problem::Form("the tensor is wrapped too often"))?;
            rebuilt(pickle, function, args, left, budget)
        }
        (
            "torch._utils",
            "_rebuild_tensor"
            | "_rebuild_tensor_v2"
            | "_rebuild_tensor_v3"
            | "_rebuild_parameter"
            | "_rebuild_parameter_with_state",
            _,
        ) => Err(Problem::Form("the tensor has other arguments than PyTorch writes")),
        (module, name, _) => Err(Problem::Class {
            class: shown(&format!("{module}.{name}")),
            advice: match name {
                "_rebuild_qtensor" => QUANTIZED,
                "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => ": in Python, .to_dense() it",
                "_rebuild_meta_tensor_no_storage" => {
                    ": it was on the device `meta`, and the file has no values of it"
                }
                _ => "",
            },
        }),
    }
}

/// Returns a view of a storage; its type is that of the storage.
fn view<'a>(
    pickle: &Pickle<'a>,
    [storage, offset, shape, strides]: [Id; 4],
) -> Result<TensorRef<'a>, Problem> {
    let storage = storage_ref(pickle, storage).ok_or(match pickle.call(storage) {
        Some(("torch.storage", "_load_from_bytes", _)) => Problem::Form(
            "it was written by pickle.dump, expected torch.save: in Python, \
             torch.save(pickle.load(open(FILE, \"rb\")), \"state.pth\")",
        ),
        _ => Problem::Form("the storage is not a reference that torch.save writes"),
    })?;
    let offset = size(pickle, offset).ok_or(Problem::Form("the storage offset is not a size"))?;
    let shape = sizes(pickle, shape).ok_or(Problem::Form("the shape is not a tuple of at most 64 sizes"))?;
    let strides =
        sizes(pickle, strides).ok_or(Problem::Form("the strides are not a tuple of at most 64 sizes"))?;
    if shape.len() != strides.len() {
        return Err(Problem::Form("the shape and the strides differ in length"));
    }
    let dtype = storage.dtype.ok_or_else(|| Problem::Type { found: storage.class() })?;
    Ok(TensorRef { shape, dtype, elements: Elements::View { storage, offset, strides }, negative: false })
}

fn torch_dtype(pickle: &Pickle<'_>, id: Id) -> Result<Dtype, Problem> {
    let (module, name) = pickle.global(id).unwrap_or_default();
    let dtype = if module == "torch" { Dtype::of_torch(name) } else { None };
    dtype.ok_or_else(|| Problem::Type { found: shown(&format!("{module}.{name}")) })
}

/// Applies metadata. A view may be negated or conjugated. Conjugation does not change real numbers; complex
/// tensors are refused by their type.
fn with_metadata<'a>(
    pickle: &Pickle<'a>,
    mut tensor: TensorRef<'a>,
    metadata: Option<&Id>,
) -> Result<TensorRef<'a>, Problem> {
    let form = Problem::Form("the metadata are not a dict of neg and conj");
    let items = match metadata.map(|&id| pickle.get(id)) {
        None | Some(Object::None) => &[][..],
        Some(Object::Dict(items)) => items,
        Some(_) => return Err(form),
    };
    for &(key, value) in items {
        let Object::Bool(value) = *pickle.get(value) else { return Err(form) };
        match pickle.text(key) {
            Some("neg") => tensor.negative = value,
            Some("conj") => {}
            key => return Err(Problem::Metadata { key: shown(key.unwrap_or("of no name")) }),
        }
    }
    Ok(tensor)
}

/// Returns the storage that a persistent id refers to, if it refers to one.
pub(super) fn storage_ref<'a>(pickle: &Pickle<'a>, id: Id) -> Option<StorageRef<'a>> {
    let Object::Persistent(id) = pickle.get(id) else { return None };
    let Object::Tuple(items) = pickle.get(*id) else { return None };
    let [tag, class, key, _device, _elements, view @ ..] = items.as_slice() else { return None };
    (pickle.text(*tag)? == "storage").then_some(())?;
    let class = pickle.global(*class)?;
    let key = pickle.text(*key)?;
    if key.len() > MAX_NAME_BYTES {
        return None;
    }
    let offset = match view.first().map(|&view| pickle.get(view)) {
        None | Some(Object::None) => 0,
        Some(Object::Tuple(view)) => size(pickle, *view.get(1)?)?,
        Some(_) => return None,
    };
    let is_pytorchs = matches!(class.0, "torch" | "torch.cuda" | "torch.storage");
    let dtype = if is_pytorchs { Dtype::of_storage_class(class.1) } else { None };
    Some(StorageRef { key, dtype, class, offset })
}

fn size(pickle: &Pickle<'_>, id: Id) -> Option<usize> {
    usize::try_from(pickle.int(id)?).ok()
}

fn sizes(pickle: &Pickle<'_>, id: Id) -> Option<Vec<usize>> {
    match pickle.get(id) {
        Object::Tuple(items) if items.len() <= MAX_RANK => {
            items.iter().map(|&item| size(pickle, item)).collect()
        }
        // A torch.Size, pickled as a subclass of tuple.
        Object::Call { .. } => match pickle.call(id)? {
            ("torch", "Size", &[sizes]) => match pickle.get(sizes) {
                Object::Tuple(items) if items.len() <= MAX_RANK => {
                    items.iter().map(|&item| size(pickle, item)).collect()
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
