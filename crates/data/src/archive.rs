//! The files of a gzipped tar archive that are asked for by name.
//!
//! A tar archive is a sequence of members, a header of 512 bytes each and then the content, filled up to a multiple of
//! 512. Of the header (POSIX ustar) name, size, kind and checksum count here. Names are compared, and never used as paths.

use std::fs::File;
use std::io::{self, BufReader, Read, Take};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use crate::{DataError, file};

const BLOCK: usize = 512;

/// No member that is asked for is as large; the largest, CIFAR-100's training pickle, has 155,249,918 bytes.
const MAX_MEMBER_BYTES: u64 = 1 << 28;

/// More is not unpacked of any archive.
const MAX_UNPACKED_BYTES: u64 = 1 << 31;

/// A gzipped tar archive that nobody vouches for, read once from its beginning.
pub struct Archive {
    path: PathBuf,
    stream: Take<GzDecoder<BufReader<File>>>,
}

impl Archive {
    /// # Errors
    /// [`DataError::Io`] and [`DataError::NotAFile`].
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (file, _) = file::open(path)?;
        let stream = GzDecoder::new(BufReader::new(file)).take(MAX_UNPACKED_BYTES);
        Ok(Self { path: path.into(), stream })
    }

    /// The next member that has one of these names, whichever folder of the archive it is in: position of the name,
    /// and content. `None` when no other has. Members whose path leads up or begins at the root are passed over, as
    /// are all that are no files.
    ///
    /// # Errors
    /// [`DataError::Archive`] where the archive is damaged, or the member has more than 256 MiB.
    pub fn next_of(&mut self, names: &[&str]) -> Result<Option<(usize, Vec<u8>)>, DataError> {
        loop {
            let mut header = [0; BLOCK];
            self.stream.read_exact(&mut header).map_err(|error| self.damaged(&error))?;
            if header == [0; BLOCK] {
                return Ok(None);
            }
            let member = Member::parse(&header)
                .ok_or_else(|| self.wrong("not a sound tar.gz archive: a header is damaged".into()))?;
            let filling = member.bytes.next_multiple_of(BLOCK as u64) - member.bytes;
            let Some(position) = names.iter().position(|&name| member.is(name)) else {
                self.skip(member.bytes + filling)?;
                continue;
            };
            let name = names[position];
            if member.bytes > MAX_MEMBER_BYTES {
                let bytes = member.bytes;
                return Err(
                    self.wrong(format!("{name} has {bytes} bytes, expected at most {MAX_MEMBER_BYTES}"))
                );
            }
            let mut content = Vec::new();
            let read = (&mut self.stream).take(member.bytes).read_to_end(&mut content);
            read.map_err(|error| self.damaged(&error))?;
            if content.len() as u64 != member.bytes {
                return Err(self.wrong(format!("the archive is cut off inside {name}")));
            }
            self.skip(filling)?;
            return Ok(Some((position, content)));
        }
    }

    /// The error for a member that the archive does not have.
    pub fn lacks(&self, name: &str) -> DataError {
        self.wrong(format!("the archive holds no {name}"))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), DataError> {
        let skipped = io::copy(&mut (&mut self.stream).take(bytes), &mut io::sink());
        skipped.map(drop).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &io::Error) -> DataError {
        self.wrong(format!("not a sound tar.gz archive: {error}"))
    }

    fn wrong(&self, reason: String) -> DataError {
        DataError::Archive { path: self.path.clone(), reason }
    }
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
