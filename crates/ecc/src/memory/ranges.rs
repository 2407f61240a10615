use std::collections::BTreeMap;
use std::fmt;

use crate::{Constraint, MemoryLayout, Violation};

/// Ranges of the weights of a network: one for all tensors, or one for each.
#[derive(Clone, PartialEq, Eq)]
pub struct TensorRanges {
    /// Range of the tensors without one of their own.
    others: Constraint,
    /// Ranges by the names of tensors.
    tensors: BTreeMap<String, Constraint>,
}

impl From<Constraint> for TensorRanges {
    /// The same range for all tensors.
    fn from(range: Constraint) -> Self {
        Self::alike(range)
    }
}

impl TensorRanges {
    /// No range: any weight of any tensor.
    pub const NONE: Self = Self::alike(Constraint::NONE);

    /// The same range for all tensors.
    pub const fn alike(range: Constraint) -> Self {
        Self { others: range, tensors: BTreeMap::new() }
    }

    /// Ranges of named tensors; weights of other tensors may have any value.
    pub fn of_each(ranges: impl IntoIterator<Item = (String, Constraint)>) -> Self {
        Self { others: Constraint::NONE, tensors: ranges.into_iter().collect() }
    }

    /// Range of the weights of a tensor.
    pub fn of(&self, tensor: &str) -> &Constraint {
        self.tensors.get(tensor).unwrap_or(&self.others)
    }

    /// True if any weight of any tensor is allowed.
    pub fn is_none(&self) -> bool {
        self.all().all(|range| *range == Constraint::NONE)
    }

    /// The range of all tensors, or the ranges of the named ones.
    pub fn all(&self) -> impl Iterator<Item = &Constraint> {
        let others = self.tensors.is_empty().then_some(&self.others);
        others.into_iter().chain(self.tensors.values())
    }

    /// Ranges by the names of tensors; `None` if all tensors have one range.
    pub fn by_tensor(&self) -> Option<&BTreeMap<String, Constraint>> {
        (!self.tensors.is_empty()).then_some(&self.tensors)
    }

    /// Refuses a plane with a weight outside the range of its tensor.
    ///
    /// # Errors
    /// The first such weight.
    pub fn check(&self, layout: &MemoryLayout, plane: &[i8]) -> Result<(), Violation> {
        let mut spans = layout.tensors().iter();
        spans.try_for_each(|span| self.of(&span.name).check_tensor(&span.name, &plane[span.range()]))
    }
}

impl fmt::Debug for TensorRanges {
    /// The range, or the ranges by tensor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by_tensor() {
            None => fmt::Debug::fmt(&self.others, f),
            Some(tensors) => fmt::Debug::fmt(tensors, f),
        }
    }
}

impl fmt::Display for TensorRanges {
    /// The range, or each range with the number of its tensors: `12 tensors [-16, 15]; 1 tensor [-8, 7]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tensors.is_empty() {
            return write!(f, "{}", self.others);
        }
        let mut counts: Vec<(&Constraint, usize)> = Vec::new();
        for range in self.tensors.values() {
            match counts.iter_mut().find(|(known, _)| *known == range) {
                Some((_, count)) => *count += 1,
                None => counts.push((range, 1)),
            }
        }
        for (i, (range, count)) in counts.into_iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            let tensors = if count == 1 { "tensor" } else { "tensors" };
            write!(f, "{separator}{count} {tensors} {range}")?;
        }
        Ok(())
    }
}
