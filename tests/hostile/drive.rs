//! Feeds inputs to a reader and checks its behaviour.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use crate::allocator::peak_of;
use crate::mutate::{Numbers, mutated};

/// Number of inputs for each reader, unless `ZEROSPACE_HOSTILE_INPUTS` sets it.
const INPUTS: u64 = 5000;

/// Longest time that an input may take; the machine may be busy.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Time after which an input is considered endless.
const ENDLESS: Duration = Duration::from_secs(60);

/// Length of the longest message, in bytes.
const MAX_MESSAGE: usize = 16 << 10;

/// Number of findings after which a reader gets no more inputs.
const MAX_FINDINGS: usize = 20;

type Seal<'a> = dyn Fn(&mut Vec<u8>) + 'a;
type Read<'a> = dyn FnMut(&[u8]) -> Result<(), String> + 'a;

/// A reader under test.
pub(crate) struct Reader<'a> {
    name: &'a str,
    valid: Vec<Vec<u8>>,
    held: (usize, usize),
    read: &'a mut Read<'a>,
    text: bool,
    names: &'a str,
    share: u64,
    seal: Option<&'a Seal<'a>>,
}

impl<'a> Reader<'a> {
    /// Makes a reader. `read` returns the message that a user would get, and accepts the `valid` inputs. It
    /// may hold `held.0 + held.1 * input` bytes at a time, for an input of `input` bytes.
    pub(crate) fn new(
        name: &'a str,
        valid: Vec<Vec<u8>>,
        held: (usize, usize),
        read: &'a mut Read<'a>,
    ) -> Self {
        Self { name, valid, held, read, text: false, names: "", share: 1000, seal: None }
    }

    /// Mutates words and lines instead of bytes.
    pub(crate) fn text(self) -> Self {
        Self { text: true, ..self }
    }

    /// Requires that messages contain `names`, the name of the file.
    pub(crate) fn names(self, names: &'a str) -> Self {
        Self { names, ..self }
    }

    /// Reduces the number of inputs of a slow reader to `share` in a thousand.
    pub(crate) fn slow(self, share: u64) -> Self {
        Self { share, ..self }
    }

    /// Sets a function that corrects the checksums of an input. Half of the inputs are corrected.
    pub(crate) fn seal(self, seal: &'a Seal<'a>) -> Self {
        Self { seal: Some(seal), ..self }
    }
}

/// A folder, in memory if possible, and a file in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a place for inputs");
        let path = folder.path().join(name);
        Self { folder, path }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file and returns its path.
    pub(crate) fn filled(&self, bytes: &[u8]) -> &Path {
        std::fs::write(&self.path, bytes).expect("a place for inputs");
        &self.path
    }
}

thread_local! {
    /// Number of panics of this thread, including those that the reader catches.
    static PANICS: Cell<u64> = const { Cell::new(0) };
    static LAST_PANIC: Cell<String> = const { Cell::new(String::new()) };
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("reader ")) {
                PANICS.with(|count| count.set(count.get() + 1));
                LAST_PANIC.with(|last| last.set(panic.to_string()));
            } else {
                usual(panic);
            }
        }));
    });
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number of inputs, or a seed"))
}

impl Reader<'_> {
    /// Reads the valid files, which must be accepted, and many mutated ones. These must be accepted, or
    /// refused in a sentence, without a panic and in bounded memory and time.
    pub(crate) fn run(self) {
        for (i, bytes) in self.valid.iter().enumerate() {
            if let Err(message) = (self.read)(bytes) {
                panic!("{}: valid file {i} is refused: {message}", self.name);
            }
        }
        let asked = environment("ZEROSPACE_HOSTILE_INPUTS");
        let inputs = (asked.unwrap_or(INPUTS) * self.share / 1000).max(1);
        let mut numbers = Numbers(environment("ZEROSPACE_HOSTILE_SEED").unwrap_or(1));
        let current: Arc<Mutex<(Instant, Vec<u8>)>> = Arc::new(Mutex::new((Instant::now(), Vec::new())));
        let watchdog = watch(self.name, Arc::clone(&current));

        let began = Instant::now();
        let mut findings: BTreeMap<String, PathBuf> = BTreeMap::new();
        let (mut accepted, mut caught, mut most, mut longest) = (0u64, 0u64, 0usize, Duration::ZERO);
        for input in 0..inputs {
            let mut bytes = mutated(&mut numbers, &self.valid, self.text);
            if let (Some(seal), 0) = (self.seal, numbers.below(2)) {
                seal(&mut bytes);
            }
            *current.lock().expect("nothing panics while it holds the lock") =
                (Instant::now(), bytes.clone());
            let start = Instant::now();
            let panics = PANICS.with(Cell::get);
            let (result, held) = peak_of(|| catch_unwind(AssertUnwindSafe(|| (self.read)(&bytes))));
            let took = start.elapsed();
            let panicked = PANICS.with(Cell::get) > panics;
            most = most.max(held);
            longest = longest.max(took);
            let mut wrong = Vec::new();
            match result {
                Err(_) => wrong.push(format!("panic: {}", LAST_PANIC.with(Cell::take))),
                Ok(Ok(())) => accepted += 1,
                Ok(Err(message)) => {
                    caught += u64::from(panicked);
                    if message.len() > MAX_MESSAGE || message.trim().is_empty() {
                        wrong.push(format!("message of {} bytes: {message:.300}", message.len()));
                    }
                    if !message.contains(self.names) {
                        wrong.push(format!("message without {}: {message:.300}", self.names));
                    }
                }
            }
            if held > self.held.0 + self.held.1 * bytes.len() {
                wrong.push(format!("memory: {held} bytes for {} of input", bytes.len()));
            }
            if took > MAX_TIME {
                wrong.push(format!("time: {took:?}"));
            }
            for problem in wrong {
                let path = kept(&format!("{}-{input}", self.name), &bytes);
                // The same finding may differ in digits.
                let kind: String = problem.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
                findings.entry(kind).or_insert_with(|| {
                    let _ = writeln!(std::io::stderr(), "{}: {problem} ({})", self.name, path.display());
                    path
                });
            }
            if findings.len() >= MAX_FINDINGS {
                break;
            }
        }
        drop(watchdog);
        if asked.is_some() {
            let _ = writeln!(
                std::io::stdout(),
                "| {} | {inputs} | {:.0} | {accepted} | {caught} | {:.1} | {:.1} |",
                self.name,
                began.elapsed().as_secs_f64(),
                most as f64 / f64::from(1 << 20),
                longest.as_secs_f64() * 1e3,
            );
        }
        assert!(findings.is_empty(), "{}: {findings:#?}", self.name);
        assert!(accepted < inputs, "{}: nothing was refused", self.name);
    }
}

/// Runs a test of a reader on a thread with the stack size of a program's main thread. Its panics and
/// allocations are counted. A reader that uses all threads uses only this one.
pub(crate) fn on_reader_thread(name: &'static str, test: impl FnOnce(&str) + Send + 'static) {
    watch_panics();
    let alone = move || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
        let result = catch_unwind(AssertUnwindSafe(|| pool.expect("a pool").install(|| test(name))));
        result.map_err(|_| LAST_PANIC.with(Cell::take))
    };
    let thread = std::thread::Builder::new().name(format!("reader {name}")).stack_size(8 << 20);
    match thread.spawn(alone).expect("a thread").join() {
        Ok(Ok(())) => {}
        Ok(Err(message)) => panic!("{message}"),
        Err(_) => panic!("{name}: the test ended in a panic"),
    }
}

/// Stores an input for inspection, and returns its path.
fn kept(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile");
    std::fs::create_dir_all(&folder).expect("the target directory is ours");
    let path = folder.join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    std::fs::write(&path, bytes).expect("the target directory is ours");
    path
}

/// Ends the program if reading an input does not end. Dropping the returned sender ends the watch.
fn watch(name: &str, current: Arc<Mutex<(Instant, Vec<u8>)>>) -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let name = name.to_string();
    std::thread::spawn(move || {
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
            receiver.recv_timeout(Duration::from_secs(1))
        {
            let (start, bytes) = &*current.lock().expect("nothing panics while it holds the lock");
            if start.elapsed() > ENDLESS {
                let path = kept(&format!("{name}-endless"), bytes);
                let _ = writeln!(std::io::stderr(), "{name}: no end after {ENDLESS:?} ({})", path.display());
                std::process::abort();
            }
        }
    });
    sender
}
