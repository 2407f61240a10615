//! safetensors, <https://github.com/huggingface/safetensors>: a JSON header and the tensors, contiguous.

use quant::{FloatTensor, Parameters};
use safetensors::SafeTensors;

use super::dtype::Dtype;
use super::{Budget, Kind, shown};

pub(super) fn read(bytes: &[u8]) -> Result<Parameters, Kind> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut budget = Budget::new(bytes.len());
    let mut parameters = Parameters::new();
    for (name, view) in file.iter() {
        use safetensors::Dtype as Stored;
        let dtype = match view.dtype() {
            Stored::F64 => Dtype::F64,
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
            Stored::BF16 => Dtype::Bf16,
            Stored::BOOL | Stored::U8 | Stored::I8 | Stored::U16 | Stored::I16 => continue,
            Stored::U32 | Stored::I32 | Stored::U64 | Stored::I64 => continue,
            other => return Err(Kind::Type { of: shown(name), found: format!("{other:?}") }),
        };
        let data = view.data();
        let count = data.len() / dtype.size();
        budget.spend(count * size_of::<f32>(), name)?;
        let values = (0..count).map_while(|index| dtype.element(data, index)).collect();
        parameters.insert(name.to_string(), FloatTensor::new(view.shape().to_vec(), values));
    }
    Ok(parameters)
}
