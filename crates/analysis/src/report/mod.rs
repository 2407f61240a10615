//! Reports: tables and figures joined to a folder of files.

pub(crate) mod context;
mod explore;
mod file;
pub(crate) mod files;
pub(crate) mod large;
mod names;
mod page;
mod rendering;
mod sections;
pub(crate) mod single_fault;
