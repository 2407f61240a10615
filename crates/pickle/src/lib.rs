//! Python pickles, taken apart and never executed.
//!
//! A pickle is a program for a stack machine. This machine builds a *description* of what the program
//! would build: a call is recorded as an [`Object::Call`] of a name on arguments, and nobody ever looks
//! the name up. So a hostile pickle can do nothing; it can only be large, deep, cyclic or malformed:
//!
//! - *Large*: a step adds at most one object, one item, one stack entry and one memo entry, text and bytes
//!   are slices of the input, and the number of steps is bounded.
//! - *Deep or cyclic*: objects live in one list and refer to each other by position, so nothing here
//!   recurses, not even `drop`. Readers must bound the depth of their own recursion.
//!
//! All opcodes that protocols 1 to 5 write are supported (CPython's `Lib/pickletools.py` documents them),
//! except for the extension registry and out-of-band buffers, which need data from outside the file. Protocol
//! 0, whose strings are Python source, is not supported.
//!
//! ```
//! // {'labels': [6, 9]} of Python 2, protocol 2.
//! let pickle = pickle::Pickle::parse(b"\x80\x02}U\x06labels](K\x06K\x09es.", 0)?;
//! let items = pickle.items(pickle.root()).unwrap();
//! assert_eq!(pickle.text(items[0].0), Some("labels"));
//! let pickle::Object::List(labels) = pickle.get(items[0].1) else { panic!() };
//! assert_eq!(labels.iter().map(|&label| pickle.int(label)).collect::<Vec<_>>(), [Some(6), Some(9)]);
//! # Ok::<(), pickle::PickleError>(())
//! ```
//!
//! NumPy's arrays and scalars are calls like any other; [`Pickle::array`] understands them.

mod array;
mod error;
mod machine;
mod object;

pub use array::{Array, ArrayError};
pub use error::PickleError;
pub use object::{Given, Id, Object, Pickle};
