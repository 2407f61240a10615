//! Signals that stop the program, and the command that resumes it.
//!
//! SIGUSR1 is a warning, which Slurm for example sends before the time limit of a job. SIGTERM and SIGINT (Ctrl-C) are
//! urgent. The effect of a first signal depends on the work in progress:
//!
//! | work | effect |
//! |---|---|
//! | trials of a campaign ([`polled`]) | the campaign ends after the trials in work, which are stored |
//! | files are being written ([`whole`]) | the program ends when the files are complete |
//! | the last files are being written ([`last`]) | none: the program is about to end |
//! | anything else | the program ends at once |
//!
//! A second SIGTERM or SIGINT ends the program at once. Every file is complete under its name whenever the program ends,
//! and the last line on stderr is the command as typed, which resumes the work in the same directory.
//!
//! Signals belong to the process, so their state is global.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use campaign::RunControl;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

use crate::terminal::exit::Outcome;
use crate::terminal::output::progress_line;
use harness::Failure;

/// Interval at which the finished trials of a unit in work are stored. A kill loses the trials in work and at most this
/// time.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// Results that a stopped command leaves on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoredWork {
    /// Stored work; the same command resumes it.
    Resumable,
    /// Nothing so far; the same command starts again.
    Nothing,
    /// Complete files; the same command writes them again.
    Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Nothing is at stake.
    Unguarded,
    Polled,
    Writing,
}

struct State {
    /// The most urgent signal; 0 before the first.
    received: i32,
    work: Work,
    stored: StoredWork,
    /// The command line as typed.
    command: String,
    /// Time when the trials of a campaign were last stored.
    kept: Option<Instant>,
    /// Number of finished trials that are not stored.
    unkept: u64,
}

impl State {
    const fn new(stored: StoredWork, command: String) -> Self {
        Self { received: 0, work: Work::Unguarded, stored, command, kept: None, unkept: 0 }
    }
}

static STATE: Mutex<State> = Mutex::new(State::new(StoredWork::Nothing, String::new()));

fn state() -> MutexGuard<'static, State> {
    // Every change of the state is one assignment.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to handle signals. `command` is the command line as typed.
pub(crate) fn watch(stored: StoredWork, command: String) -> Result<(), Failure> {
    *state() = State::new(stored, command);
    let mut arriving =
        Signals::new([SIGINT, SIGTERM, SIGUSR1]).context("signal handlers").map_err(Failure::Machine)?;
    std::thread::spawn(move || arriving.forever().for_each(receive));
    Ok(())
}

fn receive(signal: i32) {
    // The lock is held to the end, so that no write starts meanwhile.
    let mut state = state();
    let before = state.received;
    if signal == SIGUSR1 && before != 0 {
        return;
    }
    let urgent = signal != SIGUSR1;
    if state.work == Work::Unguarded || urgent && before != 0 && before != SIGUSR1 {
        state.stop(signal);
    }
    state.received = signal;
    let until = match state.work {
        Work::Writing => "when its files are written; once more: at once",
        _ if urgent => "after the trials in work; once more: at once",
        _ => "after the trials in work",
    };
    progress_line(&format!("{}: stopping {until}", name(signal)));
}

impl State {
    /// Ends the program. No other thread writes to stderr after its line.
    fn stop(&self, signal: i32) -> ! {
        let _last = std::io::stderr().lock();
        let (by, command) = (name(signal), &self.command);
        progress_line(&match self.stored {
            StoredWork::Resumable if self.work == Work::Polled => {
                let lost = match self.unkept {
                    0 => "the trials in work are lost".into(),
                    trials => format!("the trials in work and {trials} finished before them are lost"),
                };
                format!("stopped by {by} at once: {lost}; resume with: {command}")
            }
            StoredWork::Resumable => format!("stopped by {by}; resume with: {command}"),
            StoredWork::Nothing if self.work != Work::Writing => {
                format!("stopped by {by}; nothing was written; start again with: {command}")
            }
            StoredWork::Nothing | StoredWork::Files => {
                format!("stopped by {by}; files that were written are whole; start again with: {command}")
            }
        });
        std::process::exit(Outcome::Stopped(signal).number().into());
    }
}

/// Runs work that asks for its [`control`], so that signals need not end the program.
pub(crate) fn polled<T>(work: impl FnOnce() -> T) -> T {
    {
        let mut state = state();
        (state.work, state.kept) = (Work::Polled, Some(Instant::now()));
    }
    let done = work();
    state().work = Work::Unguarded;
    done
}

/// Tells a campaign to continue, to store its trials, or to stop.
pub(crate) fn control() -> RunControl {
    let mut state = state();
    if state.received != 0 {
        return RunControl::Stop;
    }
    if state.kept.is_some_and(|kept| kept.elapsed() < KEPT_EVERY) {
        return RunControl::Continue;
    }
    state.kept = Some(Instant::now());
    RunControl::Save
}

/// Sets the number of finished trials that a kill would lose.
pub(crate) fn unkept(trials: u64) {
    state().unkept = trials;
}

/// Writes files; a signal meanwhile ends the program when they are complete.
pub(crate) fn whole<T>(write: impl FnOnce() -> T) -> T {
    let written = last(write);
    let mut state = state();
    if state.received != 0 {
        state.stop(state.received);
    }
    state.work = Work::Unguarded;
    if state.stored == StoredWork::Nothing {
        state.stored = StoredWork::Files;
    }
    written
}

/// Writes the last files of a command, which then only prints its result.
pub(crate) fn last<T>(write: impl FnOnce() -> T) -> T {
    state().work = Work::Writing;
    write()
}

/// Reports a campaign that a signal has stopped; `None` if no signal came. `stored` of `units` units are stored, and `begun`
/// gives the stored trials and all trials of the units in work.
pub(crate) fn stopped(stored: usize, units: usize, begun: Option<(u64, u64)>) -> Option<Outcome> {
    let state = state();
    (state.received != 0).then(|| {
        let (by, command) = (name(state.received), &state.command);
        let begun = begun.map_or(String::new(), |(kept, trials)| {
            format!(", {kept} of {trials} trials of the units in work are kept")
        });
        progress_line(&format!(
            "stopped by {by}: {stored} of {units} units are stored{begun}, no finished trial is lost; resume with: {command}"
        ));
        Outcome::Stopped(state.received)
    })
}

fn name(signal: i32) -> &'static str {
    signal_name(signal).unwrap_or("a signal")
}
