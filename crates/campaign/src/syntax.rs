use serde::de::DeserializeOwned;

/// Reads a TOML text. The error names the line where there is one, and says what is wrong there.
///
/// # Errors
/// The text is not TOML, or not of this type.
pub fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| match error.span() {
        Some(span) => {
            let line = 1 + text[..span.start].matches('\n').count();
            format!("line {line}: {}", error.message())
        }
        None => error.message().into(),
    })
}
