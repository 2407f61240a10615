use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file that appears under its name only when it is whole: temporary name beside it, flush, rename,
/// flush of the directory. The temporary name carries the process id, so that two processes never write into
/// one file.
///
/// # Errors
/// When the file system refuses; what was at `path` before is still there.
///
/// # Panics
/// When `path` does not end in a file name.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().expect("a file has a name").to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().inspect_err(|_| {
        // Its loss is the error; a leftover would only fill the disk further.
        let _ = fs::remove_file(&temporary);
    })
}
