//! Search for a network's float weights in a directory, by torchvision's file names.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

const EXTENSIONS: [&str; 4] = ["pth", "pt", "th", "safetensors"];

/// Digits of the hash at the end of torchvision's file names.
const HASH_DIGITS: usize = 8;

/// Files that are named in a message.
const NAMED: usize = 5;

/// Returns the one file in `dir` that has the name of `model`'s weights.
///
/// # Errors
/// If there is none, or more than one.
pub fn find_weights(dir: &Path, model: &str) -> anyhow::Result<PathBuf> {
    let place = || dir.display().to_string();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(place)? {
        let path = entry.with_context(place)?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if EXTENSIONS.contains(&extension) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let mut matching: Vec<PathBuf> = files.iter().filter(|path| is_of(path, model)).cloned().collect();
    match matching.len() {
        1 => Ok(matching.remove(0)),
        0 => Err(anyhow!(
            "{}: no weights of {model}, expected {model}.pth or {}-HASH.pth (or .pt, .th, .safetensors), found {}",
            dir.display(),
            published_name(model),
            listed(&files)
        )),
        _ => Err(anyhow!(
            "{}: several files are named like weights of {model}, expected one, found {}",
            dir.display(),
            listed(&matching)
        )),
    }
}

/// Name of torchvision's file of a model, without the hash.
fn published_name(model: &str) -> &str {
    match model {
        "alexnet" => "alexnet-owt",
        "inception_v3" => "inception_v3_google",
        other => other,
    }
}

fn is_of(path: &Path, model: &str) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let hash = |rest: &str| {
        rest.len() == HASH_DIGITS && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let named = |name: &str| match stem.strip_prefix(name) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('-').is_some_and(hash),
        None => false,
    };
    named(model) || named(published_name(model))
}

fn listed(files: &[PathBuf]) -> String {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names: Vec<String> = files.iter().take(NAMED).map(name).collect();
    match files.len() {
        0 => return "no file of weights".into(),
        n if n > NAMED => names.push(format!("{} more", n - NAMED)),
        _ => {}
    }
    names.join(", ")
}
