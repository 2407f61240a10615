//! Decoded pixels on disk, so that the files of a folder are decoded once.
//!
//! The files of a folder, in the order in which they are read, are cut into pieces of [`PIECE`]. A cache file holds the
//! first images of one piece, and is named by folder, crop, order and number of the piece; any number of first images of
//! the folder is taken from these files, and what is missing is added to them. A file holds
//!
//! 1. the text `zerospace decoded images 2` and a newline,
//! 2. the SHA-256 of the names, sizes and times of change of the files that were examined ([`FileState`]),
//! 3. as `u64` little-endian the numbers of files examined, of files unreadable among them, and of bytes an
//!    image,
//! 4. for each unreadable file its number in the piece, the length of the reason, and the reason,
//! 5. the pixels of the readable ones,
//! 6. the SHA-256 of all bytes before it.
//!
//! It appears under its name only when it is whole. What a kill or a bad disk leaves behind does not match
//! its SHA-256 and is written anew. Files of version 1, a file for each number of images, have other names and are left
//! alone.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::{ResizeCrop, file};

/// Raise the number when the layout changes, or when a file may decode to other pixels than before.
const MAGIC: &[u8] = b"zerospace decoded images 2\n";

/// Image files a piece: at 224 pixels a side 77 MB, which is what a prefix may read too much.
pub(crate) const PIECE: usize = 512;

const DIGEST_BYTES: usize = 32;

/// Longer reasons are cut off.
const MAX_REASON_BYTES: usize = 1000;

/// Result of a look into the cache.
#[derive(Debug)]
pub enum CacheOutcome {
    /// No cache was asked for.
    Off,
    /// The pixels came from it; no image was decoded.
    Read,
    /// The images were decoded, and the pixels are there now.
    Written {
        /// Defect of a damaged earlier file.
        damage: Option<String>,
    },
    /// The images were decoded, but the pixels could not be written.
    Failed {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Result of decoding.
#[derive(Default)]
pub(crate) struct Decoded {
    /// Files read, from the first.
    pub(crate) examined: usize,
    /// Files that could not be decoded, ascending, with the reason.
    pub(crate) unreadable: Vec<(usize, String)>,
    /// Pixels of the others, one after the other.
    pub(crate) pixels: Vec<u8>,
}

impl Decoded {
    /// Files that were decoded.
    pub(crate) fn readable(&self) -> usize {
        self.examined - self.unreadable.len()
    }

    /// Adds the first `images` images of the files that follow, or all.
    pub(crate) fn extend(&mut self, next: Decoded, images: usize) {
        let image_bytes = next.pixels.len() / next.readable().max(1);
        let first = self.examined;
        let mut left_out = next.unreadable.into_iter().peekable();
        let mut taken = 0;
        for file in 0..next.examined {
            if taken == images {
                break;
            }
            match left_out.next_if(|(unreadable, _)| *unreadable == file) {
                Some((_, reason)) => self.unreadable.push((first + file, reason)),
                None => taken += 1,
            }
            self.examined += 1;
        }
        self.pixels.extend_from_slice(&next.pixels[..taken * image_bytes]);
    }
}

/// Names, sizes and times of change of files, in order, as a hash.
#[derive(Clone, Default)]
pub(crate) struct FileState(Sha256);

impl FileState {
    /// Adds a file of `dir`. One that has vanished counts too.
    pub(crate) fn add(&mut self, dir: &Path, path: &Path) {
        let name = path.as_os_str().as_bytes();
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name);
        let metadata = fs::metadata(dir.join(path)).ok();
        let modified = metadata.as_ref().and_then(|m| m.modified().ok());
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        self.0.update(metadata.map_or(u64::MAX, |m| m.len()).to_le_bytes());
        self.0.update(since.as_nanos().to_le_bytes());
    }

    fn digest(self) -> [u8; DIGEST_BYTES] {
        self.0.finalize().into()
    }
}

/// The cache files of a folder.
pub(crate) struct Cache {
    dir: PathBuf,
    name: String,
}

impl Cache {
    /// For the images that `folder`, or a table of files, lists, their files in the order of their names or, `in_turns`, in another.
    pub(crate) fn new(dir: &Path, folder: &Path, crop: ResizeCrop, in_turns: bool) -> Self {
        let mut hash = Sha256::new();
        hash.update(folder.canonicalize().unwrap_or_else(|_| folder.into()).as_os_str().as_bytes());
        hash.update([0]);
        for number in [crop.resize(), crop.crop(), in_turns.into()] {
            hash.update((number as u64).to_le_bytes());
        }
        if crop.shape().channels == 1 {
            hash.update(b"grey");
        }
        let name = durable::hex(&hash.finalize()[..8]);
        Self { dir: dir.into(), name }
    }

    pub(crate) fn piece(&self, index: usize) -> Piece {
        Piece { path: self.dir.join(format!("{}-{index:05}.images", self.name)) }
    }
}

/// One cache file.
pub(crate) struct Piece {
    path: PathBuf,
}

impl Piece {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there of a piece of `files` files, and their state; `None` when there is nothing or the files have
    /// changed. `state` says how the first so many are now. The error says what is damaged.
    pub(crate) fn read(
        &self,
        files: usize,
        image_bytes: usize,
        state: impl FnOnce(usize) -> FileState,
    ) -> Result<Option<(Decoded, FileState)>, String> {
        let Ok((file, length)) = file::open(&self.path) else { return Ok(None) };
        let mut reader = Hashing { inner: io::BufReader::new(file), hash: Sha256::new() };
        let cut_off = |error: io::Error| error.to_string();
        if reader.array::<{ MAGIC.len() }>().map_err(cut_off)? != MAGIC {
            return Err("does not begin as a cache file does".into());
        }
        let state_then = reader.array::<DIGEST_BYTES>().map_err(cut_off)?;
        let [examined, bad, bytes] = [reader.number(), reader.number(), reader.number()];
        let (examined, bad) = (examined.map_err(cut_off)?, bad.map_err(cut_off)?);
        if bytes.map_err(cut_off)? != image_bytes || examined > files {
            return Ok(None);
        }
        let Some(readable) = examined.checked_sub(bad) else {
            return Err(format!("{bad} unreadable files of {examined}"));
        };
        let state = state(examined);
        if state.clone().digest() != state_then {
            return Ok(None);
        }
        let mut unreadable = Vec::new();
        for _ in 0..bad {
            let index = reader.number().map_err(cut_off)?;
            let reason_bytes = reader.number().map_err(cut_off)?;
            if reason_bytes > MAX_REASON_BYTES || index >= examined {
                return Err(format!("a reason of {reason_bytes} bytes for file {index} of {examined}"));
            }
            if unreadable.last().is_some_and(|(last, _)| index <= *last) {
                return Err(format!("file {index} is unreadable out of order"));
            }
            let mut reason = vec![0; reason_bytes];
            reader.exactly(&mut reason).map_err(cut_off)?;
            unreadable.push((index, String::from_utf8_lossy(&reason).into_owned()));
        }
        let pixel_bytes = readable * image_bytes;
        if pixel_bytes as u64 > length {
            return Err(format!("{length} bytes, expected {pixel_bytes} of pixels and more"));
        }
        let mut pixels = vec![0; pixel_bytes];
        reader.exactly(&mut pixels).map_err(cut_off)?;
        let mut digest = [0; DIGEST_BYTES];
        reader.inner.read_exact(&mut digest).map_err(cut_off)?;
        if digest != <[u8; DIGEST_BYTES]>::from(reader.hash.finalize()) {
            return Err("the content does not match its SHA-256".into());
        }
        Ok(Some((Decoded { examined, unreadable, pixels }, state)))
    }

    /// Puts `decoded` there, made of files that were in `state`.
    pub(crate) fn write(&self, decoded: &Decoded, state: FileState, image_bytes: usize) -> io::Result<()> {
        let mut head = MAGIC.to_vec();
        head.extend(state.digest());
        for number in [decoded.examined, decoded.unreadable.len(), image_bytes] {
            head.extend((number as u64).to_le_bytes());
        }
        for (index, reason) in &decoded.unreadable {
            let reason = &reason.as_bytes()[..reason.len().min(MAX_REASON_BYTES)];
            head.extend((*index as u64).to_le_bytes());
            head.extend((reason.len() as u64).to_le_bytes());
            head.extend(reason);
        }
        let digest = Sha256::new().chain_update(&head).chain_update(&decoded.pixels).finalize();
        fs::create_dir_all(self.path.parent().unwrap_or(Path::new("")))?;
        durable::write_with(&self.path, |file| {
            file.write_all(&head)?;
            file.write_all(&decoded.pixels)?;
            file.write_all(&digest)
        })
    }
}

/// Hashes what it reads.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Hashing<R> {
    fn exactly(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(into)?;
        self.hash.update(into);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.exactly(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<usize> {
        // Numbers beyond the machine's are damage, and fail every check that follows.
        Ok(usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX))
    }
}
