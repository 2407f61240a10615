//! The files of a published archive, on their way to a folder.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use data::{Archive, DataError};

use harness::Failure;

/// Writes the members with these names to files of the same names in `into`, and flushes them.
///
/// # Errors
/// Input where the archive is damaged or lacks one of the members, and the machine where it cannot be read or a file
/// cannot be written.
pub(super) fn unpack(archive: &Path, names: &[&str], into: &Path) -> Result<(), Failure> {
    let failed = |error: DataError| match error {
        DataError::Io { .. } => Failure::machine(error),
        _ => Failure::input(error),
    };
    let mut members = Archive::open(archive).map_err(failed)?;
    let mut missing = names.to_vec();
    while let Some(next) = missing.first() {
        let Some((position, content)) = members.next_of(&missing).map_err(failed)? else {
            return Err(failed(members.lacks(next)));
        };
        let path = into.join(missing.remove(position));
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(&content)?;
            file.sync_all()
        };
        write().with_context(|| path.display().to_string()).map_err(Failure::Machine)?;
    }
    Ok(())
}
