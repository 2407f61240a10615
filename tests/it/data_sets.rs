//! `data fetch` from a web server that fails in the ways of servers, and `data list`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use durable::sha256_hex;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::program::{Numbers, Said, command, said, succeed};

/// What a server does with one request.
#[derive(Default)]
struct Answer {
    status: &'static str,
    headers: Vec<String>,
    body: Vec<u8>,
    /// `Content-Length` instead of the body's.
    length: Option<usize>,
    /// Waits for word after this many bytes of the body, and goes on when it comes.
    hold: Option<(usize, Receiver<()>)>,
}

impl Answer {
    fn whole(body: &[u8]) -> Self {
        Self { status: "200 OK", body: body.to_vec(), ..Self::default() }
    }

    fn with(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    /// The connection ends after so many bytes of the body.
    fn cut_after(mut self, bytes: usize) -> Self {
        self.length = Some(self.body.len());
        self.body.truncate(bytes);
        self
    }

    fn send(self, mut stream: TcpStream) -> std::io::Result<()> {
        let length = self.length.unwrap_or(self.body.len());
        let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", self.status);
        if !self.headers.iter().any(|header| header.starts_with("Transfer-Encoding")) {
            head += &format!("Content-Length: {length}\r\n");
        }
        self.headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let (first, word) = self.hold.map_or((self.body.len(), None), |(bytes, word)| (bytes, Some(word)));
        stream.write_all(&self.body[..first])?;
        stream.flush()?;
        if let Some(word) = word {
            // A test that has ended says nothing any more.
            let _ = word.recv();
            stream.write_all(&self.body[first..])?;
        }
        stream.shutdown(Shutdown::Write)
    }
}

/// Reads a request to the end of its head and returns the first line.
fn request(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let line = lines.next()?;
    lines.for_each(drop);
    Some(line)
}

/// A web server on loopback, for as long as the test runs.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` gets the requests with their numbers, from 0 on.
    fn start(mut answer: impl FnMut(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/set.tar.gz", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(line) = request(&stream) else { continue };
                let number = seen.lock().unwrap().len();
                seen.lock().unwrap().push(line);
                let answer = answer(number);
                // A client that was killed no longer listens.
                thread::spawn(move || answer.send(stream));
            }
        });
        Self { url, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A tar archive of these members: path, kind, content.
fn tar(members: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, kind, content) in members {
        let mut header = [0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = *kind;
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The files of a small CIFAR-10: 2 images a batch, 3 test images.
pub(crate) fn files() -> BTreeMap<String, Vec<u8>> {
    let mut numbers = Numbers(9);
    let mut records = |count: usize| -> Vec<u8> {
        let mut record = |label| [vec![label], (0..3072).map(|_| numbers.next() as u8).collect()].concat();
        (0..count).flat_map(|i| record(i as u8)).collect()
    };
    let mut files: BTreeMap<_, _> = (1..=5).map(|i| (format!("data_batch_{i}.bin"), records(2))).collect();
    files.insert("test_batch.bin".into(), records(3));
    files
}

/// They as the published archive has them, in its folder and beside other files.
pub(crate) fn archive() -> Vec<u8> {
    let files = files();
    let paths: Vec<String> = files.keys().map(|name| format!("cifar-10-batches-bin/{name}")).collect();
    let mut members: Vec<(&str, u8, &[u8])> =
        vec![("cifar-10-batches-bin/", b'5', b""), ("cifar-10-batches-bin/readme.html", b'0', b"<html>")];
    members
        .extend(paths.iter().zip(files.values()).map(|(path, file)| (path.as_str(), b'0', file.as_slice())));
    gzip(&tar(&members))
}

/// `zerospace data fetch`, without the proxies and the data sets of the machine.
fn fetch(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command(folder, &[&["data", "fetch"], arguments].concat());
    without_surroundings(&mut command);
    command
}

fn without_surroundings(command: &mut Command) {
    command.env_remove("ZEROSPACE_DATA");
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Said {
    said(fetch(folder, arguments).output().unwrap())
}

/// Fetches cifar10 from `url`, where a file with this SHA-256 is expected.
fn from_server(folder: &Path, url: &str, sha256: &str) -> Said {
    run(folder, &["cifar10", "--url", url, "--sha256", sha256])
}

/// Everything below a folder, by path.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&within)).unwrap() {
            let path = within.join(entry.unwrap().file_name());
            match folder.join(&path).is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = std::fs::read(folder.join(&path)).unwrap();
                    found.insert(path.display().to_string(), bytes);
                }
            }
        }
    }
    found
}

/// The set is there, and nothing else.
fn assert_fetched(folder: &Path, said: &Said) {
    assert_eq!((said.code, said.stdout.as_str()), (0, "data/cifar10\n"), "{}", said.stderr);
    assert!(said.stderr.ends_with("cifar10: 10 training and 3 test images\n"), "{}", said.stderr);
    let expected = files().into_iter().map(|(name, bytes)| (format!("data/cifar10/{name}"), bytes));
    assert!(tree(folder) == expected.collect(), "{:?}", tree(folder).keys());
}

#[test]
fn a_set_is_fetched_once_and_then_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let packed = archive();
    let digest = sha256_hex(&packed);
    let server = Server::start(move |number| match number {
        0 => Answer { status: "302 Found", ..Answer::default() }.with("Location: /elsewhere.tar.gz"),
        _ => Answer::whole(&packed),
    });
    assert_fetched(folder, &from_server(folder, &server.url, &digest));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].starts_with("GET /elsewhere.tar.gz "), "{requests:?}");

    let again = from_server(folder, &server.url, &digest);
    let there = "cifar10: there already, 10 training and 3 test images; nothing was fetched\n";
    assert_eq!((again.code, again.stdout.as_str(), again.stderr.as_str()), (0, "data/cifar10\n", there));
    assert_eq!(server.requests().len(), 2);
    let list = succeed(folder, &["data", "list"]);
    assert!(list.contains("| cifar10       | train |     10 | binary    | data/cifar10 "), "{list}");
    assert!(list.contains("| cifar10       | test  |      3 | binary    | data/cifar10 "), "{list}");
    assert!(
        list.contains("| cifar100      |       |        | not there | zerospace data fetch cifar100 |"),
        "{list}"
    );

    // They are not those that the authors published, and nobody vouches for them now.
    let refused = run(folder, &["cifar10"]);
    assert!(
        refused.code == 2
            && refused.stderr.starts_with(
                "error: data/cifar10/data_batch_1.bin: there already, and not the published file"
            )
            && refused.stderr.ends_with("; move it away first\n"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_broken_connection_is_tried_again() {
    let packed = archive();
    let digest = sha256_hex(&packed);
    let half = packed.len() / 2;
    let chunked = [format!("{:x}\r\n", packed.len()).as_bytes(), &packed, b"\r\n0\r\n\r\n"].concat();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(move |number| match number {
        0 => Answer::whole(&packed).cut_after(half),
        1 => Answer { status: "503 Service Unavailable", ..Answer::default() },
        // No length said beforehand.
        _ => Answer { status: "200 OK", body: chunked.clone(), ..Answer::default() }
            .with("Transfer-Encoding: chunked"),
    });
    let said = from_server(folder.path(), &server.url, &digest);
    assert_fetched(folder.path(), &said);
    assert!(said.stderr.contains("the connection broke off"), "{}", said.stderr);
    assert!(
        said.stderr.contains("the server answers 503 Service Unavailable; trying again in 2 s\n"),
        "{}",
        said.stderr
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_connection_that_keeps_breaking_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let packed = archive();
    let digest = sha256_hex(&packed);
    let server = Server::start(move |_| Answer::whole(&packed).cut_after(1000));
    let said = from_server(folder.path(), &server.url, &digest);
    assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
    let last = said.stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("error: {}: the connection broke off", server.url))
            && last.ends_with(", after 4 attempts"),
        "{last}"
    );
    assert!(tree(folder.path()).is_empty());
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn what_is_not_the_file_is_refused_and_nothing_stays() {
    let packed = archive();
    let digest = sha256_hex(&packed);
    let refused = |answer: Answer, arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut answer = Some(answer);
        let server = Server::start(move |_| answer.take().expect("no second request"));
        let said = run(folder.path(), &[&["cifar10", "--url", &server.url], arguments].concat());
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
        assert_eq!(server.requests().len(), 1);
        assert_eq!(tree(folder.path()).into_keys().collect::<Vec<_>>(), Vec::<String>::new());
        said.stderr.lines().last().unwrap().replace(&server.url, "URL")
    };
    let mut damaged = packed.clone();
    damaged[packed.len() / 2] ^= 1;
    let expecting = ["--sha256", &digest];
    assert_eq!(
        refused(Answer::whole(&damaged), &expecting),
        format!("error: URL: SHA-256 is {}, expected {digest}", sha256_hex(&damaged))
    );
    assert_eq!(
        refused(Answer { status: "404 Not Found", body: b"no such file".to_vec(), ..Answer::default() }, &[]),
        "error: URL: the server answers 404 Not Found, expected a file; --url or --from names another place"
    );
    // A page of a network that wants to be logged in to.
    assert_eq!(
        refused(Answer::whole(b"<html>log in</html>"), &[]),
        "error: URL: the server offers 19 bytes, expected 170052171"
    );
    let vast = Answer { length: Some(1 << 40), ..Answer::whole(b"") };
    assert_eq!(
        refused(vast, &expecting),
        "error: URL: the server offers 1099511627776 bytes, expected at most 1073741824"
    );
}

#[test]
fn a_signal_leaves_nothing_and_the_same_command_begins_again() {
    let packed = archive();
    let digest = sha256_hex(&packed);
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(75)), ("KILL", None)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let served = packed.clone();
        let (word, waits) = channel::<()>();
        let mut waits = Some(waits);
        let server = Server::start(move |number| match number {
            0 => Answer { hold: Some((1000, waits.take().unwrap())), ..Answer::whole(&served) },
            _ => Answer::whole(&served),
        });
        let arguments = ["cifar10", "--url", &server.url, "--sha256", &digest];
        let child = fetch(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while server.requests().is_empty() {
            thread::yield_now();
        }
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(killed.unwrap().success());
        let stopped = child.wait_with_output().unwrap();
        assert_eq!(stopped.status.code(), code);
        if code.is_some() {
            let stopped = said(stopped);
            let again = format!("stopped by SIG{signal}; nothing was written; start again with: ");
            let (_, command) =
                stopped.stderr.rsplit_once(&again).unwrap_or_else(|| panic!("{}", stopped.stderr));
            let typed = format!("data fetch cifar10 --url {} --sha256 {digest}\n", server.url);
            assert!(command.ends_with(&typed), "{command}");
        }
        drop(word);
        assert!(tree(folder).is_empty());
        assert_fetched(folder, &run(folder, &arguments));
    }
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let packed = archive();
    let digest = sha256_hex(&packed);
    let server = Server::start(move |_| Answer::whole(&packed));
    let direct = fetch(folder.path(), &["cifar10", "--url", &server.url, "--sha256", &digest]);
    // No file grows beyond 8 blocks of 512 bytes, or of 1024 in some shells.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]).current_dir(folder.path());
    limited.arg(direct.get_program()).args(direct.get_args());
    without_surroundings(&mut limited);
    let full = said(limited.output().unwrap());
    assert_eq!(full.code, 1, "{}", full.stderr);
    assert!(full.stderr.contains("error: data: File too large"), "{}", full.stderr);
    assert!(tree(folder.path()).is_empty());
}

#[test]
fn without_a_network_the_message_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/x.tar.gz");
    let said = run(folder.path(), &["cifar10", "--url", &url]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.stderr.lines().last().unwrap(),
        format!(
            "error: 127.0.0.1:{port} cannot be reached (Connection refused (os error 111)); download {url} on another \
             machine and give the file with --from FILE, or use the set `synthetic`, which needs no data"
        )
    );
    assert!(tree(folder.path()).is_empty());
    let said = run(folder.path(), &["imagenet-labels", "--url", &url]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.ends_with("give the file with --from FILE\n"), "{}", said.stderr);

    // A quantization that needs the set says how to get it.
    let said = crate::program::zerospace(
        folder.path(),
        &["quantize", "x.pth", "--arch", "resnet20", "--set", "cifar100", "-o", "q.safetensors"],
    );
    assert!(said.code == 2 && said.stderr.contains("`zerospace data fetch cifar100`"), "{}", said.stderr);
}

#[test]
fn a_proxy_is_taken_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let packed = archive();
    let digest = sha256_hex(&packed);
    let origin = Server::start(move |_| Answer::whole(&packed));
    // Opens tunnels to the one server that it knows, by whatever name.
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let target = origin.url.trim_start_matches("http://").split('/').next().unwrap().to_string();
    let (line, asked) = channel();
    thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        line.send(request(&client).unwrap()).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut server = TcpStream::connect(target).unwrap();
        let (mut up, mut on) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut up, &mut on));
        std::io::copy(&mut server, &mut client).unwrap();
        client.shutdown(Shutdown::Both).unwrap();
    });
    let arguments = ["cifar10", "--url", "http://mirror.invalid:80/set.tar.gz", "--sha256", &digest];
    let said = said(
        fetch(folder.path(), &arguments).env("HTTP_PROXY", format!("http://{address}")).output().unwrap(),
    );
    assert_fetched(folder.path(), &said);
    assert_eq!(asked.recv().unwrap(), "CONNECT mirror.invalid:80 HTTP/1.1");

    // One that is not there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let other = tempfile::tempdir().unwrap();
    let mut without = fetch(other.path(), &arguments);
    let said =
        crate::program::said(without.env("HTTP_PROXY", format!("http://127.0.0.1:{port}")).output().unwrap());
    let expected = "error: mirror.invalid:80 cannot be reached through the proxy 127.0.0.1 (";
    assert!(said.code == 1 && said.stderr.contains(expected), "{}", said.stderr);
}

#[test]
fn only_the_members_that_are_expected_are_taken_from_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let from = |packed: &[u8]| {
        std::fs::write(folder.join("a.tar.gz"), packed).unwrap();
        let said = run(folder, &["cifar10", "--from", "a.tar.gz", "--sha256", &sha256_hex(packed)]);
        std::fs::remove_file(folder.join("a.tar.gz")).unwrap();
        said
    };
    let refused = |packed: &[u8]| {
        let said = from(packed);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
        assert!(tree(folder).is_empty(), "{:?}", tree(folder).keys());
        said.stderr.trim_end().trim_start_matches("error: ").to_string()
    };
    let files = files();
    let members = |rename: fn(&str) -> String, kind: u8| {
        let paths: Vec<String> = files.keys().map(|name| rename(name)).collect();
        let members: Vec<_> =
            paths.iter().zip(files.values()).map(|(p, f)| (p.as_str(), kind, f.as_slice())).collect();
        gzip(&tar(&members))
    };
    let none = "a.tar.gz: the archive holds no data_batch_1.bin";
    assert_eq!(refused(&members(|name| format!("../{name}"), b'0')), none);
    assert_eq!(refused(&members(|name| format!("x/../../../{name}"), b'0')), none);
    assert_eq!(refused(&members(|name| format!("/tmp/{name}"), b'0')), none);
    assert_eq!(refused(&members(|name| format!("{name}.bak"), b'0')), none);
    // Links, not files.
    assert_eq!(refused(&members(str::to_owned, b'2')), none);
    assert_eq!(refused(&gzip(&tar(&[("test_batch.bin", b'0', b"x"), ("../evil", b'0', b"x")]))), none);

    let unsound = "a.tar.gz: not a sound tar.gz archive: ";
    assert!(refused(b"no archive").starts_with(unsound));
    assert!(refused(&gzip(&[b'x'; 512])).starts_with(unsound));
    let packed = members(str::to_owned, 0);
    assert!(refused(&packed[..packed.len() / 2]).starts_with("a.tar.gz: "));
    let mut vast = tar(&[("data_batch_1.bin", b'0', b"")]);
    vast[124..135].copy_from_slice(b"17777777777");
    let sum: u32 = vast[..512]
        .iter()
        .enumerate()
        .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
        .sum();
    vast[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert_eq!(
        refused(&gzip(&vast)),
        "a.tar.gz: data_batch_1.bin has 2147483647 bytes, expected at most 268435456"
    );
    // What the loader does not accept gets no name either.
    let cut: Vec<_> = files.iter().map(|(name, f)| (name.as_str(), b'0', &f[..f.len() - 1])).collect();
    assert!(refused(&gzip(&tar(&cut))).contains("data_batch_1.bin: 6145 bytes, expected a multiple of 3073"));

    // Without a folder and with a leading dot they do.
    assert_fetched(folder, &from(&members(|name| format!("./{name}"), 0)));
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let packed = archive();
    let digest = sha256_hex(&packed);
    std::fs::write(folder.join("a.tar.gz"), &packed).unwrap();
    let arguments = ["cifar10", "--from", "a.tar.gz", "--sha256", &digest];
    let set = folder.join("data/cifar10");
    std::fs::create_dir_all(&set).unwrap();
    std::fs::write(set.join("data_batch_2.bin"), "mine").unwrap();
    let said = run(folder, &arguments);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (
            2,
            "error: data/cifar10/data_batch_2.bin: there already, and not the data_batch_2.bin that was fetched; move it \
             away first\n"
        )
    );
    let kept = ["a.tar.gz", "data/cifar10/data_batch_2.bin"];
    assert_eq!(tree(folder).into_keys().collect::<Vec<_>>(), kept);
    assert_eq!(std::fs::read(set.join("data_batch_2.bin")).unwrap(), b"mine");

    // One of those that come anyway does no harm.
    std::fs::write(set.join("data_batch_2.bin"), &files()["data_batch_2.bin"]).unwrap();
    let said = run(folder, &arguments);
    std::fs::remove_file(folder.join("a.tar.gz")).unwrap();
    assert_fetched(folder, &said);

    // Half a set in the layout that is read first would be mixed with the other half of this one.
    std::fs::write(set.join("train-00000-of-00001.parquet"), "").unwrap();
    let said = run(folder, &["cifar10"]);
    assert!(
        said.code == 2
            && said.stderr.starts_with("error: data/cifar10: holds training images as Hugging Face parquet"),
        "{}",
        said.stderr
    );
    std::fs::write(set.join("test-00000-of-00001.parquet"), "").unwrap();
    let said = run(folder, &["cifar10"]);
    assert!(
        said.code == 0 && said.stderr.contains("there already, as Hugging Face parquet"),
        "{}",
        said.stderr
    );
}

#[test]
fn wrong_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str]| {
        let said = run(folder.path(), arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
        said.stderr
    };
    assert!(refused(&["imagenet"]).contains("[possible values: cifar10, cifar100, imagenet-labels]"));
    assert!(refused(&[]).contains("required"));
    assert_eq!(
        refused(&["cifar10", "cifar100", "--from", "x"]),
        "error: --url and --from bring one file, but 2 names are given\n"
    );
    let digest = "0".repeat(64);
    assert_eq!(refused(&["cifar10", "--sha256", &digest]), "error: --sha256 requires --url or --from\n");
    assert_eq!(
        refused(&["cifar10", "--from", "x", "--sha256", "12"]),
        "error: --sha256 is \"12\", expected 64 hex digits\n"
    );
    assert!(refused(&["cifar10", "--from", "x"]).starts_with("error: x: No such file or directory"));
    assert!(refused(&["cifar10", "--url", "mirror"]).contains("--url is mirror: "));
    std::fs::write(folder.path().join("x"), "x").unwrap();
    assert_eq!(
        refused(&["cifar100", "--from", "x"]),
        format!(
            "error: x: SHA-256 is {}, expected 58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec\n",
            sha256_hex(b"x")
        )
    );
    assert_eq!(tree(folder.path()).into_keys().collect::<Vec<_>>(), ["x"]);
}

/// 50 images of each of 1,000 classes, in no order.
fn labels() -> String {
    let class = |index: usize| (index * 7919 + index / 1000) % 1000;
    (0..50_000).map(|index| format!("n{:08}\n", 2_000_000 + class(index) * 11)).collect()
}

#[test]
fn imagenet_labels_make_the_flat_folder_of_the_archive_readable() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let val = folder.join("data/imagenet/val");
    std::fs::create_dir_all(&val).unwrap();
    let photo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/golden/folder/photo.JPEG");
    for number in [1, 2, 1001, 50_000] {
        std::fs::copy(&photo, val.join(format!("ILSVRC2012_val_{number:08}.JPEG"))).unwrap();
    }
    let spec = graph::ModelSpec { width: 0.125, ..graph::ModelSpec::new("squeezenet1_1", 1000, [3, 64, 64]) };
    std::fs::write(folder.join("float.safetensors"), crate::program::float_checkpoint(&spec)).unwrap();
    let quantize = "quantize float.safetensors --arch squeezenet1_1 --width 0.125 --side 64 --set imagenet \
                    --calibration-split test --calibration-images 4 -o net.safetensors";
    let quantize: Vec<&str> = quantize.split_whitespace().collect();
    let said = crate::program::zerospace(folder, &quantize);
    assert!(
        said.code == 2 && said.stderr.contains("`zerospace data fetch imagenet-labels`"),
        "{}",
        said.stderr
    );
    let said = crate::program::zerospace(folder, &["data", "list"]);
    assert!(
        said.code == 0 && said.stderr.contains("`zerospace data fetch imagenet-labels`"),
        "{}",
        said.stderr
    );

    let text = labels();
    let digest = sha256_hex(text.as_bytes());
    let served = text.clone();
    let server = Server::start(move |number| match number {
        0 => Answer::whole(served.as_bytes()).cut_after(123_456),
        _ => Answer::whole(served.as_bytes()),
    });
    let said = run(folder, &["imagenet-labels", "--url", &server.url, "--sha256", &digest]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "data/imagenet\n"), "{}", said.stderr);
    assert!(said.stderr.ends_with("imagenet-labels: the classes of 50000 validation images, 1000 classes\n"));
    assert_eq!(std::fs::read_to_string(folder.join("data/imagenet/validation_labels.txt")).unwrap(), text);

    let list = succeed(folder, &["data", "list"]);
    assert!(
        list.contains("| imagenet      | test  |      4 | image files, 1000 classes | data/imagenet/val "),
        "{list}"
    );
    let report = succeed(folder, &quantize);
    assert!(report.contains("| int8"), "{report}");

    // Labels that are none.
    std::fs::write(folder.join("bad.txt"), text.replacen('n', "x", 1)).unwrap();
    std::fs::remove_file(folder.join("data/imagenet/validation_labels.txt")).unwrap();
    let bad = sha256_hex(&std::fs::read(folder.join("bad.txt")).unwrap());
    let said = run(folder, &["imagenet-labels", "--from", "bad.txt", "--sha256", &bad]);
    assert!(said.code == 2 && said.stderr.contains("line 1 begins \"x0"), "{}", said.stderr);
    assert!(!folder.join("data/imagenet/validation_labels.txt").exists());
}
