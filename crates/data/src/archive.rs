use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;

use crate::DataError;

/// Largest member that is read. The largest published one, CIFAR-100's training pickle, has 155,249,918 bytes.
const MAX_MEMBER_BYTES: u64 = 1 << 28;

/// Bytes of an archive that are unpacked at most.
const MAX_UNPACKED_BYTES: u64 = 1 << 31;

/// Returns the files with these names in an untrusted gzipped tar archive, in the order of `names`, whichever folder of the
/// archive they are in. Of several with one name it takes the first. It passes over members whose path leads up or begins
/// at the root, and those that are not files; names are compared and never used as paths. `path` names the archive in
/// errors.
///
/// # Errors
/// [`DataError::Archive`] if the archive is damaged, lacks one of the files, or has one of more than 256 MiB.
pub fn archive_members(path: &Path, archive: &File, names: &[&str]) -> Result<Vec<Vec<u8>>, DataError> {
    let wrong = |reason| DataError::Archive { path: path.into(), reason };
    let damaged = |error: io::Error| wrong(format!("not a sound tar.gz archive: {error}"));
    let stream = GzDecoder::new(BufReader::new(archive)).take(MAX_UNPACKED_BYTES);
    let mut archive = tar::Archive::new(stream);
    let mut contents = vec![None; names.len()];
    // Raw members only: extension headers, which may claim any length, are not read into memory.
    for member in archive.entries().map_err(damaged)?.raw(true) {
        let mut member = member.map_err(damaged)?;
        let Some(position) = names.iter().position(|name| is_file(&member, name)) else { continue };
        if contents[position].is_some() {
            continue;
        }
        let (name, bytes) = (names[position], member.size());
        if bytes > MAX_MEMBER_BYTES {
            return Err(wrong(format!("{name} has {bytes} bytes, expected at most {MAX_MEMBER_BYTES}")));
        }
        let mut content = Vec::new();
        member.read_to_end(&mut content).map_err(damaged)?;
        if content.len() as u64 != bytes {
            return Err(wrong(format!("the archive is cut off inside {name}")));
        }
        contents[position] = Some(content);
        if contents.iter().all(Option::is_some) {
            break;
        }
    }
    match contents.iter().position(Option::is_none) {
        Some(missing) => Err(wrong(format!("the archive holds no {}", names[missing]))),
        None => Ok(contents.into_iter().flatten().collect()),
    }
}

/// Returns `true` for a file of that name somewhere within the archive.
fn is_file(member: &tar::Entry<impl Read>, name: &str) -> bool {
    let Ok(path) = member.path() else { return false };
    let within = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    member.header().entry_type().is_file() && within && path.file_name().is_some_and(|last| last == name)
}
