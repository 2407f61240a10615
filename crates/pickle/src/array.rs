use std::borrow::Cow;

use crate::object::{Id, Object, Pickle};

/// The largest number of dimensions, which is NumPy's own limit.
const MAX_RANK: usize = 64;

/// A NumPy array or scalar: its type, shape and raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// NumPy's letter for the element type: `f` float, `i` and `u` integer, `b` bool, `c` complex, and
    /// others.
    pub kind: char,
    /// Size of an element in bytes.
    pub size: usize,
    /// True if elements are big-endian.
    pub big_endian: bool,
    /// Length of each dimension; empty for a scalar.
    pub shape: Vec<usize>,
    /// True if the first index varies fastest (Fortran order), false if the last one does (C order).
    pub fortran: bool,
    /// The bytes of all elements; their number follows from `size` and `shape`.
    pub data: Cow<'a, [u8]>,
}

/// The reason why a NumPy array cannot be read from a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The class is not `numpy.ndarray`.
    #[error("the array is of a subclass of numpy.ndarray")]
    Subclass,
    /// Arguments or state differ from the ones that NumPy writes.
    #[error("the array is not in a form that NumPy writes")]
    Form,
    /// The type has no size, or holds references to objects.
    #[error("the array's elements are objects, expected numbers")]
    Type,
    /// The number of bytes disagrees with shape and type.
    #[error("the number of bytes does not match the shape and type of the array")]
    Length,
}

impl<'a> Pickle<'a> {
    /// Returns a NumPy array or scalar; `None` if the object is something else.
    ///
    /// NumPy writes one of
    ///
    /// ```text
    /// numpy.core.multiarray._reconstruct(ndarray, (0,), b'b'), given the state (1, shape, dtype, is_fortran, data)
    /// numpy.core.numeric._frombuffer(data, dtype, shape, order)                          at protocol 5
    /// numpy.core.multiarray.scalar(dtype, data)
    /// dtype: numpy.dtype('f4', False, True), given the state (3, '<', ...)
    /// ```
    ///
    /// with `numpy._core` for `numpy.core` since version 2.
    ///
    /// # Errors
    /// The array is of a subclass, holds objects, or has a number of bytes that disagrees with its shape.
    pub fn array(&self, id: Id) -> Option<Result<Array<'a>, ArrayError>> {
        let (module, name, args) = self.call(id)?;
        match (module, name, args) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct", args) => {
                Some(self.reconstructed(id, args))
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar", args) => Some(match *args {
                [dtype, data] => self.elements(dtype, Vec::new(), false, data),
                _ => Err(ArrayError::Form),
            }),
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer", args) => Some(self.buffer(args)),
            _ => None,
        }
    }

    /// Returns the number of bytes or characters that [`Pickle::array`] reads, which bounds its work; `None`
    /// if the object is no array.
    pub fn array_len(&self, id: Id) -> Option<usize> {
        let data = match self.call(id)? {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct", _) => {
                match self.state(id).map(|state| self.get(state)) {
                    Some(Object::Tuple(state)) => state.last().copied(),
                    _ => None,
                }
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar", args) => args.last().copied(),
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer", args) => args.first().copied(),
            _ => return None,
        };
        let Some(data) = data else { return Some(0) };
        Some(match (self.get(data), self.call(data)) {
            (Object::Bytes(bytes) | Object::ByteString(bytes), _) => bytes.len(),
            (_, Some((_, _, args))) => args.first().and_then(|&text| self.text(text)).map_or(0, str::len),
            _ => 0,
        })
    }

    fn reconstructed(&self, id: Id, args: &[Id]) -> Result<Array<'a>, ArrayError> {
        if args.first().and_then(|&class| self.global(class)) != Some(("numpy", "ndarray")) {
            return Err(ArrayError::Subclass);
        }
        let state = self.state(id).ok_or(ArrayError::Form)?;
        let Object::Tuple(state) = self.get(state) else { return Err(ArrayError::Form) };
        let &[_version, shape, dtype, fortran, data] = state.as_slice() else { return Err(ArrayError::Form) };
        let fortran = match self.get(fortran) {
            Object::Bool(fortran) => *fortran,
            Object::Int(fortran) => *fortran != 0,
            _ => return Err(ArrayError::Form),
        };
        self.elements(dtype, self.shape(shape)?, fortran, data)
    }

    fn buffer(&self, args: &[Id]) -> Result<Array<'a>, ArrayError> {
        let &[data, dtype, shape, order] = args else { return Err(ArrayError::Form) };
        let fortran = match self.text(order) {
            Some("C") => false,
            Some("F") => true,
            _ => return Err(ArrayError::Form),
        };
        self.elements(dtype, self.shape(shape)?, fortran, data)
    }

    fn shape(&self, id: Id) -> Result<Vec<usize>, ArrayError> {
        let Object::Tuple(sizes) = self.get(id) else { return Err(ArrayError::Form) };
        if sizes.len() > MAX_RANK {
            return Err(ArrayError::Form);
        }
        let size = |&id: &Id| self.int(id).and_then(|size| usize::try_from(size).ok());
        sizes.iter().map(size).collect::<Option<_>>().ok_or(ArrayError::Form)
    }

    fn elements(
        &self,
        dtype: Id,
        shape: Vec<usize>,
        fortran: bool,
        data: Id,
    ) -> Result<Array<'a>, ArrayError> {
        let Some(("numpy", "dtype", [name, ..])) = self.call(dtype) else { return Err(ArrayError::Form) };
        let name = self.text(*name).ok_or(ArrayError::Form)?;
        let mut letters = name.chars();
        let kind = letters.next().ok_or(ArrayError::Form)?;
        let size: usize = letters.as_str().parse().map_err(|_| ArrayError::Type)?;
        if kind == 'O' || size == 0 {
            return Err(ArrayError::Type);
        }
        let order = match self.state(dtype).map(|state| self.get(state)) {
            Some(Object::Tuple(state)) => state.get(1).and_then(|&order| self.text(order)),
            _ => None,
        };
        let data = self.bytes(data).ok_or(ArrayError::Form)?;
        let bytes = shape.iter().try_fold(size, |bytes, &size| bytes.checked_mul(size));
        if bytes != Some(data.len()) {
            return Err(ArrayError::Length);
        }
        Ok(Array { kind, size, big_endian: order == Some(">"), shape, fortran, data })
    }
}
