//! Files in safetensors format (<https://github.com/huggingface/safetensors>): a JSON header, then the
//! tensors, contiguous.

use std::collections::HashMap;

use quant::{FloatTensor, Parameters};
use safetensors::SafeTensors;

use super::checkpoint::File;
use super::dtype::Dtype;
use super::search::{Content, Entry, Table};
use super::tensor::Problem;
use super::{Budget, Kind, shown};

pub(super) fn read(bytes: Vec<u8>, budget: &mut Budget) -> Result<(File, Table), Kind> {
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    if header.metadata().as_ref().is_some_and(|metadata| metadata.contains_key("zerospace")) {
        return Err(Kind::Int8);
    }
    let mut table = Table::flat();
    for (id, (name, view)) in in_order(&SafeTensors::deserialize(&bytes)?).into_iter().enumerate() {
        budget.spend(size_of::<Entry>() + 2 * name.len() + size_of_val(view.shape()), name)?;
        let shape = view.shape().to_vec();
        let content = match stored(view.dtype()) {
            Some(dtype) if dtype.is_float() => Content::Floats(shape),
            Some(_) => Content::Integers(shape),
            None => Content::Refused(Problem::Type { found: format!("{:?}", view.dtype()) }),
        };
        table.entries.push(Entry { dict: 0, name: name.into(), content, id });
    }
    Ok((File::Safetensors(bytes), table))
}

/// Returns the tensors in alphabetical order of their names.
fn in_order<'a>(file: &'a SafeTensors<'_>) -> Vec<(&'a str, safetensors::tensor::TensorView<'a>)> {
    let mut tensors: Vec<_> = file.iter().collect();
    tensors.sort_by_key(|(name, _)| *name);
    tensors
}

fn stored(dtype: safetensors::Dtype) -> Option<Dtype> {
    use safetensors::Dtype as Stored;
    Some(match dtype {
        Stored::F64 => Dtype::F64,
        Stored::F32 => Dtype::F32,
        Stored::F16 => Dtype::F16,
        Stored::BF16 => Dtype::Bf16,
        Stored::BOOL | Stored::U8 | Stored::I8 => Dtype::Integer(1),
        Stored::U16 | Stored::I16 => Dtype::Integer(2),
        Stored::U32 | Stored::I32 => Dtype::Integer(4),
        Stored::U64 | Stored::I64 => Dtype::Integer(8),
        _ => return None,
    })
}

/// Returns the values of some tensors, given by their positions in alphabetical order.
pub(super) fn values(
    bytes: &[u8],
    wanted: &[(&str, usize)],
    budget: &mut Budget,
) -> Result<Parameters, Kind> {
    let file = SafeTensors::deserialize(bytes)?;
    let names: HashMap<usize, &str> = wanted.iter().map(|&(name, id)| (id, name)).collect();
    let mut parameters = Parameters::new();
    for (id, (_, view)) in in_order(&file).into_iter().enumerate() {
        let Some(&name) = names.get(&id) else { continue };
        let refused = || Problem::Type { found: format!("{:?}", view.dtype()) };
        let dtype =
            stored(view.dtype()).ok_or_else(|| Kind::Tensor { tensor: shown(name), problem: refused() })?;
        let data = view.data();
        let count = data.len() / dtype.size();
        budget.spend(count * size_of::<f32>(), name)?;
        let values = (0..count).map_while(|index| dtype.element(data, index)).collect();
        parameters.insert(name.into(), FloatTensor::new(view.shape().to_vec(), values));
    }
    Ok(parameters)
}
