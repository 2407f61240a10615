//! A file from a web server, begun again a few times if the connection breaks off.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use indicatif::ProgressBar;
use ureq::http::StatusCode;
use ureq::{Agent, Timeout};

use crate::terminal::output::progress_line;
use crate::terminal::progress::byte_bar;
use harness::Failure;

/// Upper bound on the length of a download whose length is not known beforehand.
const MAX_BYTES: u64 = 1 << 30;

/// Pauses before the second attempt and those after it.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(6)];

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for the next byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A file on a web server.
pub(super) struct Source<'a> {
    /// Directory of the temporary file, for errors.
    pub(super) root: &'a Path,
    pub(super) url: &'a str,
    /// Length in bytes, if it is known beforehand.
    pub(super) bytes: Option<u64>,
    /// Advice for users without the file, appended to the error if the host cannot be reached.
    pub(super) instead: &'a str,
}

/// Reason why an attempt has not brought the whole file.
enum Trouble {
    /// Another attempt may help.
    Passing(String),
    Final(Failure),
}

fn input(error: anyhow::Error) -> Trouble {
    Trouble::Final(Failure::Input(error))
}

/// Downloads a file into `file`, in as many attempts as there are pauses, and one.
///
/// # Errors
/// Machine, if the host cannot be reached, each connection breaks off, or the disk is full. Input, if the server has
/// a file of another length or none. `file` then holds any part of the file; otherwise it stands at its beginning.
pub(super) fn download(source: &Source, file: &mut File) -> Result<(), Failure> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(READ_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .user_agent(concat!("zerospace/", env!("CARGO_PKG_VERSION")));
    let agent = config.build().new_agent();
    let bar = byte_bar();
    for pause in PAUSES.map(Some).into_iter().chain([None]) {
        let what = match attempt(source, &agent, file, &bar) {
            Ok(()) => break,
            Err(Trouble::Final(failure)) => return Err(failure),
            Err(Trouble::Passing(what)) => what,
        };
        let Some(pause) = pause else {
            return Err(Failure::Machine(anyhow!("{}: {what}, after 4 attempts", source.url)));
        };
        bar.suspend(|| progress_line(&format!("{what}; trying again in {} s", pause.as_secs_f64())));
        std::thread::sleep(pause);
    }
    bar.finish_and_clear();
    Ok(())
}

fn attempt(source: &Source, agent: &Agent, file: &mut File, bar: &ProgressBar) -> Result<(), Trouble> {
    let Source { url, bytes, .. } = *source;
    let mut answer = agent.get(url).call().map_err(|error| unanswered(source, agent, &error))?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_server_error() || matches!(status.as_u16(), 408 | 429) => {
            return Err(Trouble::Passing(format!("the server answers {status}")));
        }
        status => {
            return Err(input(anyhow!(
                "{url}: the server answers {status}, expected a file; --url or --from names another place"
            )));
        }
    }
    let total = answer.body().content_length();
    if let (Some(total), Some(bytes)) = (total, bytes)
        && total != bytes
    {
        return Err(input(anyhow!("{url}: the server offers {total} bytes, expected {bytes}")));
    }
    let expected = total.or(bytes);
    let limit = expected.unwrap_or(MAX_BYTES);
    if limit > MAX_BYTES {
        return Err(input(anyhow!("{url}: the server offers {limit} bytes, expected at most {MAX_BYTES}")));
    }
    let failed = |error: io::Error| {
        Trouble::Final(Failure::Machine(anyhow!(
            "{}: {error}, while downloading {url}",
            source.root.display()
        )))
    };
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    bar.set_length(expected.unwrap_or(0));
    bar.reset();
    let mut body = answer.body_mut().as_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut have = 0;
    loop {
        let count = body
            .read(&mut buffer)
            .map_err(|error| Trouble::Passing(format!("the connection broke off ({error})")))?;
        have += count as u64;
        if have > limit {
            return Err(input(anyhow!("{url}: the server sends more than {limit} bytes")));
        }
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(failed)?;
        bar.set_position(have);
    }
    match expected {
        Some(total) if have < total => {
            Err(Trouble::Passing(format!("the connection broke off after {have} of {total} bytes")))
        }
        _ => file.rewind().map_err(failed),
    }
}

/// Returns the reason why there was no answer.
fn unanswered(source: &Source, agent: &Agent, error: &ureq::Error) -> Trouble {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    let Source { url, instead, .. } = source;
    let broken = [BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof];
    let reason = match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            return input(anyhow!("--url is {url}: {error}, expected http://HOST/PATH or https://HOST/PATH"));
        }
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
            return input(anyhow!("{url}: {error}, expected a file"));
        }
        ureq::Error::Protocol(_) | ureq::Error::Timeout(Timeout::RecvResponse | Timeout::PerRead) => {
            return Trouble::Passing(format!("the connection broke off ({error})"));
        }
        ureq::Error::Io(error) if broken.contains(&error.kind()) => {
            return Trouble::Passing(format!("the connection broke off ({error})"));
        }
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    };
    let proxy = agent.config().proxy().map(|proxy| format!(" through the proxy {}", proxy.host()));
    let host = url.split_once("://").map_or(*url, |(_, rest)| rest).split(['/', '?', '#']).next();
    let host = host.and_then(|host| host.rsplit('@').next()).unwrap_or_default();
    Trouble::Final(Failure::Machine(anyhow!(
        "{host} cannot be reached{} ({reason}); download {url} on another machine and give the file with --from FILE{instead}",
        proxy.unwrap_or_default()
    )))
}
