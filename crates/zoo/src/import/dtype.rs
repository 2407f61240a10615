/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    /// An integer or boolean type; the number is its size in bytes.
    Integer(usize),
    /// An unsupported type: its name, and its size in bytes.
    Other(&'static str, usize),
}

impl Dtype {
    /// Returns the type of a PyTorch storage class. An untyped storage holds bytes.
    pub(super) fn of_storage_class(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::Integer(8),
            "IntStorage" => Self::Integer(4),
            "ShortStorage" => Self::Integer(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" | "UntypedStorage" => Self::Integer(1),
            "ComplexFloatStorage" => Self::Other("complex64", 8),
            "ComplexDoubleStorage" => Self::Other("complex128", 16),
            "QInt8Storage" => Self::Other("qint8", 1),
            "QUInt8Storage" => Self::Other("quint8", 1),
            "QInt32Storage" => Self::Other("qint32", 4),
            "QUInt4x2Storage" => Self::Other("quint4x2", 1),
            "QUInt2x4Storage" => Self::Other("quint2x4", 1),
            _ => return None,
        })
    }

    /// Returns the type that PyTorch calls `torch.NAME`.
    pub(super) fn of_torch(name: &str) -> Option<Self> {
        Some(match name {
            "float64" | "double" => Self::F64,
            "float32" | "float" => Self::F32,
            "float16" | "half" => Self::F16,
            "bfloat16" => Self::Bf16,
            "int64" | "uint64" | "long" => Self::Integer(8),
            "int32" | "uint32" | "int" => Self::Integer(4),
            "int16" | "uint16" | "short" => Self::Integer(2),
            "int8" | "uint8" | "bool" => Self::Integer(1),
            "float8_e4m3fn" => Self::Other("float8_e4m3fn", 1),
            "float8_e4m3fnuz" => Self::Other("float8_e4m3fnuz", 1),
            "float8_e5m2" => Self::Other("float8_e5m2", 1),
            "float8_e5m2fnuz" => Self::Other("float8_e5m2fnuz", 1),
            "float8_e8m0fnu" => Self::Other("float8_e8m0fnu", 1),
            "complex32" => Self::Other("complex32", 4),
            "complex64" => Self::Other("complex64", 8),
            "complex128" => Self::Other("complex128", 16),
            _ => return None,
        })
    }

    /// Returns the type with this NumPy kind and size.
    pub(super) fn of_numpy(kind: char, size: usize) -> Option<Self> {
        Some(match (kind, size) {
            ('f', 8) => Self::F64,
            ('f', 4) => Self::F32,
            ('f', 2) => Self::F16,
            ('i' | 'u', 1 | 2 | 4 | 8) | ('b', 1) => Self::Integer(size),
            _ => return None,
        })
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Size of an element in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Integer(size) | Self::Other(_, size) => size,
        }
    }

    /// Returns the little-endian element at `index`, counted in elements; `None` beyond the end of `bytes`
    /// and for types that are no floats.
    pub(super) fn element(self, bytes: &[u8], index: usize) -> Option<f32> {
        self.ordered_element(bytes, index, false)
    }

    /// Returns an element like [`Dtype::element`], in the given byte order.
    pub(super) fn ordered_element(self, bytes: &[u8], index: usize, big_endian: bool) -> Option<f32> {
        let tail = bytes.get(index.checked_mul(self.size())?..)?;
        Some(match self {
            Self::F64 => f64::from_le_bytes(ordered(tail, big_endian)?) as f32,
            Self::F32 => f32::from_le_bytes(ordered(tail, big_endian)?),
            Self::F16 => f16_to_f32(u16::from_le_bytes(ordered(tail, big_endian)?)),
            Self::Bf16 => f32::from_bits(u32::from(u16::from_le_bytes(ordered(tail, big_endian)?)) << 16),
            Self::Integer(_) | Self::Other(..) => return None,
        })
    }
}

/// Returns the first `N` bytes in little-endian order.
fn ordered<const N: usize>(bytes: &[u8], big_endian: bool) -> Option<[u8; N]> {
    let mut bytes: [u8; N] = *bytes.first_chunk()?;
    if big_endian {
        bytes.reverse();
    }
    Some(bytes)
}

/// Converts IEEE 754 binary16 (1 sign, 5 exponent (bias 15) and 10 fraction bits) to `f32`, exactly.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        0 => {
            let magnitude = fraction as f32 / (1 << 24) as f32;
            f32::from_bits(magnitude.to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0xff << 23 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_its_formula() {
        for bits in 0..=u16::MAX {
            let [exponent, fraction] = [i32::from(bits >> 10 & 0x1f), i32::from(bits & 0x3ff)];
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let expected = sign
                * match exponent {
                    0 => f64::from(fraction) * 2f64.powi(-24),
                    31 if fraction == 0 => f64::INFINITY,
                    31 => f64::NAN,
                    _ => (1.0 + f64::from(fraction) / 1024.0) * 2f64.powi(exponent - 15),
                };
            let found = f64::from(f16_to_f32(bits));
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{bits:04x}");
            assert_eq!(found.is_sign_negative(), bits >> 15 == 1, "{bits:04x}");
        }
    }
}
