//! Tests of the executor through its public API.

extern crate infer as infer; // its name in the rest of the workspace

mod dynamic;
mod empty_filters;
mod errors;
mod exactness;
mod listed;
mod oracle;
mod quantized;
mod random;
mod reference;
#[path = "../../../zoo/tests/it/seeded.rs"]
mod seeded;
mod single_change;
mod tflite;
mod torchvision;
