use std::io::Read;
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};

/// The SHA-256 of a file, as 64 hex digits.
pub fn file_sha256(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut read = || -> std::io::Result<()> {
        let mut file = std::fs::File::open(path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                count => hash.update(&buffer[..count]),
            }
        }
    };
    read().with_context(|| path.display().to_string())?;
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
