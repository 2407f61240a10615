/// A file of a report, before it is written.
pub(crate) struct ReportFile {
    pub(crate) name: String,
    /// Description in the page's list of files.
    pub(crate) description: String,
    pub(crate) bytes: Vec<u8>,
}

impl ReportFile {
    pub(crate) fn text(name: &str, description: &str, text: String) -> Self {
        Self { name: name.into(), description: description.into(), bytes: text.into_bytes() }
    }
}
