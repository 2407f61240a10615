/// A weight that a network reads with another value than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeightChange {
    /// Position of the tensor in memory order ([`crate::Graph::stored_weights`]).
    pub tensor: usize,
    /// Row-major index in the tensor.
    pub index: usize,
    /// The value that the network reads; faults can make it -128.
    pub value: i8,
}
