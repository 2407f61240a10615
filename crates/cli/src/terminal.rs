//! Everything that a command shares with its terminal: options, output, progress, signals, exit codes.

pub(crate) mod document;
pub(crate) mod exit;
pub(crate) mod machine;
pub(crate) mod names;
pub(crate) mod output;
pub(crate) mod paced;
pub(crate) mod progress;
pub(crate) mod quantization;
pub(crate) mod shell;
pub(crate) mod signals;
