/// Element type of a stored tensor, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    /// An integer or boolean type of so many bytes.
    Integer(usize),
}

impl Dtype {
    /// The type of a PyTorch storage class in module `torch`.
    pub(super) fn of_storage_class(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::Integer(8),
            "IntStorage" => Self::Integer(4),
            "ShortStorage" => Self::Integer(2),
            "CharStorage" | "ByteStorage" | "BoolStorage" => Self::Integer(1),
            _ => return None,
        })
    }

    pub(super) fn is_float(self) -> bool {
        !matches!(self, Self::Integer(_))
    }

    /// Bytes an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Integer(size) => size,
        }
    }

    /// The element at `index`, an element count; `None` beyond the end of `bytes` and for integers.
    pub(super) fn element(self, bytes: &[u8], index: usize) -> Option<f32> {
        let tail = bytes.get(index.checked_mul(self.size())?..)?;
        Some(match self {
            Self::F64 => f64::from_le_bytes(*tail.first_chunk()?) as f32,
            Self::F32 => f32::from_le_bytes(*tail.first_chunk()?),
            Self::F16 => f16_to_f32(u16::from_le_bytes(*tail.first_chunk()?)),
            Self::Bf16 => f32::from_bits(u32::from(u16::from_le_bytes(*tail.first_chunk()?)) << 16),
            Self::Integer(_) => return None,
        })
    }
}

/// IEEE 754 binary16: 1 sign, 5 exponent (bias 15) and 10 fraction bits. Exact.
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
