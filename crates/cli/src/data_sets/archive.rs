//! The files of a gzipped tar archive that are asked for by name.
//!
//! A tar archive is a sequence of members, a header of 512 bytes each and then the content, filled up to a multiple of
//! 512. Of the header (POSIX ustar) name, size, kind and checksum count here. Names are compared, and never used as paths.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path};

use anyhow::{Context, anyhow};
use flate2::read::GzDecoder;

use crate::exit::Failure;

const BLOCK: usize = 512;

/// No member that is asked for is as large; CIFAR-100's `train.bin` has 153,700,000 bytes.
const MAX_MEMBER_BYTES: u64 = 1 << 28;

/// More is not unpacked of any archive.
const MAX_UNPACKED_BYTES: u64 = 1 << 31;

/// Writes the members with these names, whichever folder of the archive they are in, to files of the same names in
/// `into`, and flushes them. Members whose path leads up or begins at the root are passed over, as are all others.
///
/// # Errors
/// Input where the archive is damaged or lacks one of the members, and the machine where it cannot be read or a file
/// cannot be written.
pub(super) fn unpack(archive: &Path, names: &[&str], into: &Path) -> Result<(), Failure> {
    let file =
        File::open(archive).with_context(|| archive.display().to_string()).map_err(Failure::Machine)?;
    let mut stream = GzDecoder::new(BufReader::new(file)).take(MAX_UNPACKED_BYTES);
    let wrong = |what: String| Failure::Input(anyhow!("{}: {what}", archive.display()));
    let damaged = |error: std::io::Error| wrong(format!("not a sound tar.gz archive: {error}"));
    let mut missing = names.to_vec();
    while let Some(next) = missing.first() {
        let mut header = [0; BLOCK];
        stream.read_exact(&mut header).map_err(damaged)?;
        if header == [0; BLOCK] {
            return Err(wrong(format!("the archive holds no {next}")));
        }
        let member = Member::parse(&header)
            .ok_or_else(|| wrong("not a sound tar.gz archive: a header is damaged".into()))?;
        let mut content = (&mut stream).take(member.bytes);
        let asked_for = missing.iter().position(|&name| member.is(name));
        if let Some(position) = asked_for {
            let name = missing.remove(position);
            if member.bytes > MAX_MEMBER_BYTES {
                return Err(wrong(format!(
                    "{name} has {} bytes, expected at most {MAX_MEMBER_BYTES}",
                    member.bytes
                )));
            }
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(damaged)?;
            if bytes.len() as u64 != member.bytes {
                return Err(wrong(format!("the archive is cut off inside {name}")));
            }
            let path = into.join(name);
            let write = || {
                let mut file = File::create_new(&path)?;
                file.write_all(&bytes)?;
                file.sync_all()
            };
            write().with_context(|| path.display().to_string()).map_err(Failure::Machine)?;
        } else {
            std::io::copy(&mut content, &mut std::io::sink()).map_err(damaged)?;
        }
        let filling = member.bytes.next_multiple_of(BLOCK as u64) - member.bytes;
        std::io::copy(&mut (&mut stream).take(filling), &mut std::io::sink()).map_err(damaged)?;
    }
    Ok(())
}

struct Member {
    /// As it stands in the archive.
    path: String,
    bytes: u64,
    is_file: bool,
}

impl Member {
    fn parse(header: &[u8; BLOCK]) -> Option<Self> {
        let field = |from: usize, bytes: usize| {
            let field = &header[from..from + bytes];
            String::from_utf8_lossy(field.split(|&b| b == 0).next().unwrap_or_default()).into_owned()
        };
        let octal = |from, bytes| u64::from_str_radix(field(from, bytes).trim(), 8).ok();
        // Of all bytes, those of the sum itself as spaces.
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(i, &b)| u64::from(if (148..156).contains(&i) { b' ' } else { b }))
            .sum();
        let bytes = octal(124, 12)?;
        let sound = octal(148, 8)? == sum && bytes <= MAX_UNPACKED_BYTES;
        sound.then(|| Self { path: field(0, 100), bytes, is_file: matches!(header[156], 0 | b'0') })
    }

    /// Whether this is a file of that name somewhere within the archive.
    fn is(&self, name: &str) -> bool {
        let path = Path::new(&self.path);
        let within = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        self.is_file && within && path.file_name().is_some_and(|last| last == name)
    }
}
