//! A file from a web server, through any number of broken connections.
//!
//! What has come lies in `NAME.partial`, and beside it in `NAME.partial.source` which file it is to become (its SHA-256),
//! from where, and the server's name for that state of the file (a strong `ETag`, or `Last-Modified`). A later request asks
//! for the rest only (`Range`), and only of the same state (`If-Range`). A server that knows no ranges, or has
//! another state by now, answers with the whole file, and it is begun anew. Whether the parts belong together is
//! decided by the SHA-256 in the end, so that nothing here needs to be believed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ureq::{Agent, Body, Timeout};

use crate::terminal::output::progress_line;
use crate::terminal::progress::byte_bar;
use harness::Failure;

/// No file that is fetched here is as long, whatever a server says.
const MAX_BYTES: u64 = 1 << 30;

/// How long to wait after each failure in a row.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(6)];

/// For a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// For some byte to come over a connection.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What is to be fetched.
pub(super) struct Source<'a> {
    pub(super) url: &'a str,
    pub(super) sha256: &'a str,
    /// Length, where it is known beforehand.
    pub(super) bytes: Option<u64>,
    /// What people can do without it, if anything.
    pub(super) instead: &'a str,
}

/// The file that is being fetched, locked: no second process writes into it.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
}

/// Why a request has not brought the whole file.
enum Trouble {
    /// Another attempt may help.
    Passing(String),
    Final(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

impl Partial {
    /// Opens the file, or creates it empty.
    ///
    /// # Errors
    /// The machine, when another process has it or it cannot be written.
    pub(super) fn lock(path: PathBuf) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Machine(anyhow!("{}: {error}", path.display()));
        loop {
            let mut options = OpenOptions::new();
            let file =
                options.read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::Machine(anyhow!(
                        "{}: another process is fetching this; wait until it is done",
                        path.display()
                    )));
                }
                // Some network file systems know no locks.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Between the two calls another process may have finished and removed it.
            let locked = file.metadata().map_err(failed)?;
            if fs::metadata(&path)
                .is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino()))
            {
                return Ok(Self { path, file });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, and what is known of it.
    pub(super) fn remove(&self) {
        // They are in nobody's way, and a later run removes them.
        let _ = fs::remove_file(self.source_path());
        let _ = fs::remove_file(&self.path);
    }

    /// Whether nothing has come so far.
    pub(super) fn is_empty(&self) -> bool {
        self.length().is_ok_and(|length| length == 0)
    }

    /// Fetches what is missing.
    ///
    /// # Errors
    /// The machine, when the host is not reached, the connection keeps breaking off, or the disk is full; what has come is kept.
    /// Input, when the server has another file or none.
    pub(super) fn fetch(&mut self, source: &Source) -> Result<(), Failure> {
        let agent = agent();
        let bar = byte_bar();
        let whole = self.fetch_with(&agent, source, &bar);
        bar.finish_and_clear();
        whole?;
        self.file.sync_all().map_err(|error| self.failed(&error))
    }

    fn fetch_with(&mut self, agent: &Agent, source: &Source, bar: &ProgressBar) -> Result<(), Failure> {
        if self.known().first().is_some_and(|sha256| *sha256 != source.sha256) {
            self.begin_anew(source, None)?;
        }
        let mut longest = self.length()?;
        if longest > 0 {
            progress_line(&format!("{longest} bytes are in {}; going on from there", self.path.display()));
        }
        let mut pauses = PAUSES.iter();
        let mut reached = false;
        loop {
            let what = match self.advance(agent, source, bar, &mut reached) {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Passing(what)) => what,
            };
            let length = self.length()?;
            if length > longest {
                longest = length;
                pauses = PAUSES.iter();
            }
            let Some(pause) = pauses.next() else {
                return Err(Failure::Machine(anyhow!(
                    "{}: {what}, after {} attempts in a row; {length} bytes are in {}, and the same command goes on from there",
                    source.url,
                    PAUSES.len() + 1,
                    self.path.display()
                )));
            };
            bar.suspend(|| progress_line(&format!("{what}; trying again in {} s", pause.as_secs_f64())));
            std::thread::sleep(*pause);
        }
    }

    /// Makes one request and takes what comes. `reached` becomes true with the first answer.
    fn advance(
        &mut self,
        agent: &Agent,
        source: &Source,
        bar: &ProgressBar,
        reached: &mut bool,
    ) -> Result<(), Trouble> {
        let mut have = self.length()?;
        if source.bytes == Some(have) {
            return Ok(());
        }
        if have > source.bytes.unwrap_or(MAX_BYTES) {
            have = self.begin_anew(source, None)?;
        }
        let mut request = agent.get(source.url);
        if have > 0 {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            if let [_, url, state] = &self.known()[..]
                && url == source.url
                && !state.is_empty()
                && let Ok(state) = HeaderValue::from_str(state)
            {
                request = request.header(header::IF_RANGE, state);
            }
        }
        let answer = request.call().map_err(|error| unanswered(source, agent, error, *reached))?;
        *reached = true;
        let total = match answer.status() {
            StatusCode::OK => {
                if have > 0 {
                    bar.suspend(|| progress_line("the server gives only the whole file; beginning anew"));
                }
                have = self.begin_anew(source, Some(answer.headers()))?;
                number(answer.headers(), header::CONTENT_LENGTH)
            }
            StatusCode::PARTIAL_CONTENT => {
                let (start, total) = content_range(answer.headers());
                if start != Some(have) {
                    self.begin_anew(source, None)?;
                    return Err(Trouble::Passing("the server gave another part than that asked for".into()));
                }
                total
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                if content_range(answer.headers()).1 == Some(have) {
                    return Ok(());
                }
                self.begin_anew(source, None)?;
                return Err(Trouble::Passing("what has come is longer than the server's file".into()));
            }
            status if status.is_server_error() || matches!(status.as_u16(), 408 | 429) => {
                return Err(Trouble::Passing(format!("the server answers {status}")));
            }
            status => {
                return Err(Trouble::Final(Failure::Input(anyhow!(
                    "{}: the server answers {status}, expected a file; where else it lies, say with --url or --from",
                    source.url
                ))));
            }
        };
        if let (Some(total), Some(expected)) = (total, source.bytes)
            && total != expected
        {
            return Err(Trouble::Final(Failure::Input(anyhow!(
                "{}: the server offers {total} bytes, expected {expected}",
                source.url
            ))));
        }
        if let Some(total) = total.filter(|total| *total > MAX_BYTES) {
            return Err(Trouble::Final(Failure::Input(anyhow!(
                "{}: the server offers {total} bytes, expected at most {MAX_BYTES}",
                source.url
            ))));
        }
        self.take(answer, source, have, total, bar)
    }

    /// Appends the body of an answer to the first `have` bytes.
    fn take(
        &mut self,
        mut answer: Response<Body>,
        source: &Source,
        mut have: u64,
        total: Option<u64>,
        bar: &ProgressBar,
    ) -> Result<(), Trouble> {
        let limit = total.or(source.bytes).unwrap_or(MAX_BYTES);
        bar.set_length(total.or(source.bytes).unwrap_or(0));
        bar.set_position(have);
        bar.reset_eta();
        self.file.seek(SeekFrom::Start(have)).map_err(|error| self.failed(&error))?;
        let mut body = answer.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) => return Err(Trouble::Passing(format!("the connection broke off ({error})"))),
            };
            if count == 0 {
                break;
            }
            have += count as u64;
            if have > limit {
                let _ = self.begin_anew(source, None)?;
                return Err(Trouble::Final(Failure::Input(anyhow!(
                    "{}: the server sends more than {limit} bytes",
                    source.url
                ))));
            }
            self.file.write_all(&buffer[..count]).map_err(|error| self.failed(&error))?;
            bar.set_position(have);
        }
        match total.or(source.bytes) {
            Some(total) if have < total => {
                Err(Trouble::Passing(format!("the connection broke off after {have} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }

    fn length(&self) -> Result<u64, Failure> {
        Ok(self.file.metadata().map_err(|error| self.failed(&error))?.len())
    }

    /// Forgets what has come, and notes which state of the file comes now, if it comes. Gives the new length, 0.
    fn begin_anew(&mut self, source: &Source, headers: Option<&HeaderMap>) -> Result<u64, Failure> {
        self.file.set_len(0).map_err(|error| self.failed(&error))?;
        let state = headers.and_then(state_of).unwrap_or_default();
        let path = self.source_path();
        fs::write(&path, format!("{}\n{}\n{state}\n", source.sha256, source.url))
            .with_context(|| path.display().to_string())
            .map_err(Failure::Machine)?;
        Ok(0)
    }

    /// SHA-256 of the whole, URL and state of what has come; nothing when that is not known.
    fn known(&self) -> Vec<String> {
        let text = fs::read_to_string(self.source_path()).unwrap_or_default();
        text.lines().map(String::from).collect()
    }

    fn source_path(&self) -> PathBuf {
        self.path.with_added_extension("source")
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::Machine(anyhow!("{}: {error}", self.path.display()))
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .user_agent(concat!("zerospace/", env!("CARGO_PKG_VERSION")));
    config.build().new_agent()
}

/// What the server calls the present state of the file: an `ETag` that changes with every byte, or a date.
fn state_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED))
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Where a part begins, and how long the whole is: `bytes 100-199/200`, `bytes */200`.
fn content_range(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    let text = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (range, total) = text.trim_start_matches("bytes").trim().split_once('/').unwrap_or_default();
    (range.split('-').next().and_then(|start| start.parse().ok()), total.parse().ok())
}

/// Why there was no answer.
fn unanswered(source: &Source, agent: &Agent, error: ureq::Error, reached: bool) -> Trouble {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    let url = source.url;
    let broken = |error: &io::Error| {
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
    };
    match &error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            return Trouble::Final(Failure::Input(anyhow!(
                "--url is {url}: {error}, expected http://HOST/PATH or https://HOST/PATH"
            )));
        }
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
            return Trouble::Final(Failure::Input(anyhow!("{url}: {error}, expected a file")));
        }
        ureq::Error::Io(error) if broken(error) => {}
        ureq::Error::Protocol(_) | ureq::Error::Timeout(Timeout::RecvResponse | Timeout::PerRead) => {}
        _ if reached => {}
        _ => {
            let through = agent.config().proxy().map(|proxy| format!(" through the proxy {}", proxy.host()));
            let reason = match &error {
                ureq::Error::Io(error) => error.to_string(),
                other => other.to_string(),
            };
            return Trouble::Final(Failure::Machine(anyhow!(
                "{} cannot be reached{} ({reason}); get {url} where there is a network and give the file with --from FILE{}",
                host(url),
                through.unwrap_or_default(),
                source.instead
            )));
        }
    }
    Trouble::Passing(format!("the connection broke off ({error})"))
}

/// The host and port of a URL.
fn host(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}
