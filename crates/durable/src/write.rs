use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, ErrorKind, IntoInnerError, Write};
use std::path::{Path, PathBuf};

/// Extension of temporary files. A killed writer leaves one behind.
pub const PARTIAL: &str = "partial";

/// Writes a file that appears under its name only when it is whole: temporary name beside it, flush, rename,
/// flush of the directory. The temporary name carries host, process and a random number, so that two
/// processes never write into one file, on one machine or on several that share a file system.
///
/// # Errors
/// The file system refuses; the file that was at `path` before is still there.
///
/// # Panics
/// If `path` does not end in a file name.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes a file as [`write()`] does; `content` writes its bytes.
///
/// # Errors
/// `content` fails or the file system refuses; the file that was at `path` before is still there.
///
/// # Panics
/// If `path` does not end in a file name.
pub fn write_with(
    path: &Path,
    content: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> io::Result<()> {
    publish(path, content, |temporary| fs::rename(temporary, path))
}

/// Writes a file as [`write()`] does, unless a file is already there: that one stays as it is, even when two processes
/// arrive together. Returns `true` if the file was written.
///
/// # Errors
/// The file system refuses.
///
/// # Panics
/// If `path` does not end in a file name.
pub fn create_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut written = true;
    let link = |temporary: &Path| {
        // A link is made or refused at once; a rename would replace.
        match fs::hard_link(temporary, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => written = false,
            Err(_) if !path.exists() => return fs::rename(temporary, path), // no links on this file system
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        fs::remove_file(temporary)
    };
    publish(path, |file| file.write_all(bytes), link)?;
    Ok(written)
}

/// Creates a directory with its parents, so that a power failure does not lose the files that are written into it.
///
/// # Errors
/// The file system refuses, or `path` is a file.
pub fn create_folder(path: &Path) -> io::Result<()> {
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

/// Writes the content under a temporary name; `name` gives the file its own.
fn publish(
    path: &Path,
    content: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary_path(path);
    let write = || {
        let mut file = BufWriter::new(File::create_new(&temporary)?);
        content(&mut file)?;
        file.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
        name(&temporary)?;
        File::open(folder_of(path))?.sync_all()
    };
    write().inspect_err(|_| {
        // The error of the write is the one to report; a leftover would only fill the disk further.
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
