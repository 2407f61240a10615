use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What the names of temporary files end in.
pub(crate) const PARTIAL: &str = "partial";

/// Writes a file that appears under its name only when it is whole: temporary name beside it, flush, rename,
/// flush of the directory. The temporary name carries host, process and a random number, so that two
/// processes never write into one file, on one machine or on several that share a file system.
///
/// # Errors
/// When the file system refuses; what was at `path` before is still there.
///
/// # Panics
/// When `path` does not end in a file name.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    publish(path, bytes, |temporary| fs::rename(temporary, path))
}

/// As [`write_durably`], but leaves a file that is already there as it is, even when two processes arrive
/// together. Returns whether the file was written.
pub(crate) fn create_durably(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut written = true;
    publish(path, bytes, |temporary| {
        // A link is made or refused at once, where a rename would replace.
        match fs::hard_link(temporary, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => written = false,
            Err(_) if !path.exists() => return fs::rename(temporary, path), // no links on this file system
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        fs::remove_file(temporary)
    })?;
    Ok(written)
}

/// Creates a directory with its parents, so that a power failure does not lose what is written into it.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    create_folder(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(parent)?.sync_all(),
    }
}

/// Writes `bytes` under a temporary name and lets `name` give them their own.
fn publish(path: &Path, bytes: &[u8], name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary_path(path);
    let write = || {
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        name(&temporary)?;
        File::open(folder_of(path))?.sync_all()
    };
    write().inspect_err(|_| {
        // Its loss is the error; a leftover would only fill the disk further.
        let _ = fs::remove_file(&temporary);
    })
}

fn temporary_path(path: &Path) -> PathBuf {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let (process, random) = (std::process::id(), RandomState::new().hash_one(()));
    let mut name: OsString = path.file_name().expect("a file has a name").into();
    name.push(format!(".{host}-{process}-{random:016x}.{PARTIAL}"));
    path.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
