use std::ops::Range;

/// Number of weights in a block. Every tensor is padded to whole blocks.
pub const BLOCK: usize = 8;

/// Place of one tensor in the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpan {
    /// Name of the tensor; it serves messages only.
    pub name: String,
    /// Plane index of the first weight; a multiple of [`BLOCK`].
    pub start: usize,
    /// Number of weights, without padding.
    pub len: usize,
}

/// Order of named tensors in memory.
///
/// Tensors follow each other in the order of the network's layers, each row-major and padded with zero weights to a whole
/// number of blocks. Padding is stored and can be hit. The layout does not depend on the protection, so the same flips in
/// the data plane hit the same weights under every protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLayout {
    tensors: Vec<TensorSpan>,
    plane_len: usize,
}

impl MemoryLayout {
    /// Lays out tensors of the given names and lengths, in that order.
    pub fn new<'a>(tensors: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        let mut plane_len = 0;
        let tensors = tensors
            .into_iter()
            .map(|(name, len)| {
                let start = plane_len;
                plane_len += len.next_multiple_of(BLOCK);
                TensorSpan { name: name.into(), start, len }
            })
            .collect();
        Self { tensors, plane_len }
    }

    /// The tensors in memory order.
    pub fn tensors(&self) -> &[TensorSpan] {
        &self.tensors
    }

    /// Number of weights in the data plane, padding included; a multiple of [`BLOCK`].
    pub fn plane_len(&self) -> usize {
        self.plane_len
    }

    /// Number of weights in tensors.
    pub fn weights(&self) -> usize {
        self.tensors.iter().map(|t| t.len).sum()
    }

    /// Number of padding weights.
    pub fn padding(&self) -> usize {
        self.plane_len - self.weights()
    }

    /// Returns the layout of the tensors that begin at some indices of the plane, as a plane of its own, and the number of tensors
    /// before them. `range` lies on the bounds of tensors.
    pub fn part(&self, range: Range<usize>) -> (Self, usize) {
        let [before, end] =
            [range.start, range.end].map(|index| self.tensors.partition_point(|span| span.start < index));
        let own = self.tensors[before..end].iter();
        let tensors =
            own.map(|span| TensorSpan { start: span.start - range.start, ..span.clone() }).collect();
        (Self { tensors, plane_len: range.len() }, before)
    }

    /// Returns the plane of weights: the values of each tensor at its place, and zeros between tensors.
    ///
    /// # Panics
    /// When the tensors are not those of the layout.
    pub fn pack<'a>(&self, tensors: impl IntoIterator<Item = &'a [i8]>) -> Vec<i8> {
        let mut plane = vec![0; self.plane_len];
        let mut spans = self.tensors.iter();
        for values in tensors {
            let span = spans.next().expect("more tensors than the layout has");
            assert_eq!(values.len(), span.len, "{} has another length than its layout", span.name);
            plane[span.range()].copy_from_slice(values);
        }
        assert!(spans.next().is_none(), "fewer tensors than the layout has");
        plane
    }

    /// Number of the tensor and index in it, for an index in the plane; `None` for padding.
    ///
    /// # Panics
    /// When the index is outside the plane.
    pub fn locate(&self, plane_index: usize) -> Option<(usize, usize)> {
        assert!(plane_index < self.plane_len, "plane index {plane_index} of {}", self.plane_len);
        let tensor = self.tensors.partition_point(|t| t.start <= plane_index) - 1;
        let span = &self.tensors[tensor];
        let index = plane_index - span.start;
        (index < span.len).then_some((tensor, index))
    }
}

impl TensorSpan {
    /// Plane indices of the tensor's weights.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S201 of the specification.
    #[test]
    fn tensors_are_padded_to_whole_blocks_and_found_again() {
        let layout = MemoryLayout::new([("a", 9), ("empty", 0), ("b", 8), ("c", 1)]);
        assert_eq!((layout.plane_len(), layout.weights(), layout.padding()), (32, 18, 14));
        let values: [Vec<i8>; 4] = [(1..=9).collect(), vec![], (10..18).collect(), vec![18]];
        let plane = layout.pack(values.iter().map(Vec::as_slice));
        for (index, &weight) in plane.iter().enumerate() {
            match layout.locate(index) {
                Some((tensor, i)) => assert_eq!(values[tensor][i], weight),
                None => assert_eq!(weight, 0),
            }
        }
    }
}
