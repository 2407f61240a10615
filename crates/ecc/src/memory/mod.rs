//! Memory as a list of regions, the bits of a region, and the weights that it can store.

mod constraint;
mod image;
mod layout;
mod ranges;
mod region;

pub use constraint::{Constraint, Violation};
pub use image::MemoryImage;
pub use layout::{BLOCK, MemoryLayout, TensorSpan};
pub use ranges::TensorRanges;
pub use region::Region;
