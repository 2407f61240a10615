//! JSON lines that end with the SHA-256 of the lines before: the form of parts.

use serde::{Deserialize, Serialize};

/// The closing line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Footer {
    sha256: String,
}

impl Footer {
    /// True if the lines before are those that were closed.
    pub(crate) fn closes(&self, lines: &[u8]) -> bool {
        durable::sha256_hex(lines) == self.sha256
    }
}

/// Returns lines with the closing line behind them.
pub(crate) fn closed(mut lines: Vec<u8>) -> Vec<u8> {
    let footer = Footer { sha256: durable::sha256_hex(&lines) };
    lines.extend(json_line(&footer));
    lines
}

/// Returns a value as a line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("plain data serializes");
    line.push(b'\n');
    line
}
