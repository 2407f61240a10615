//! The data crate through its public API, on files made here and, where it is to be had, on the real
//! CIFAR-10.

// The name by which the rest of the workspace knows the crate.
extern crate data as data;

mod cifar;
mod fixtures;
mod hostile;
mod hugging_face;
mod idx;
mod jpeg;
mod open;
mod real;
mod set;
