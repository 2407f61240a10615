//! Signals that ask the program to stop, and what it says then: the command that goes on.
//!
//! SIGUSR1 is a warning, such as Slurm gives before the end of a job's time. SIGTERM and SIGINT (Ctrl-C) ask at once.
//! What they do depends on where the program is:
//!
//! | where | SIGUSR1 | SIGTERM, SIGINT |
//! |---|---|---|
//! | between a campaign's first trial and its last ([`polled`]) | ends it after the trial in work, which is kept | the same |
//! | where files are written ([`whole`]) | ends the program when they are whole | the same |
//! | where the last files are written ([`last`]) | nothing: the program is about to end by itself | the same |
//! | anywhere else | ends the program at once | the same |
//!
//! The second SIGTERM or SIGINT always ends it at once. So what is on the disk is whole under its name whenever the
//! program ends, and the last line on stderr is a command for the same directory: the one that was typed, which
//! resumes where there is something to resume.
//!
//! Signals belong to the process, and so does what is kept of them here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use campaign::Pace;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::signal_name;

use crate::terminal::exit::Outcome;
use crate::terminal::output::progress_line;
use harness::Failure;

/// How often the finished trials of a unit in work are put on the disk: a kill loses so much time at most, and the trial in
/// work.
const KEPT_EVERY: Duration = Duration::from_secs(30);

/// What a verb leaves behind when it is stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// What it has stored, with which the same command goes on.
    Resumable,
    /// Nothing, until it has written its first files; the same command begins again.
    Nothing,
    /// Files, each of them whole; the same command writes them again.
    Files,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing is at stake.
    Anywhere,
    Polled,
    Writing,
}

struct State {
    /// The most urgent signal; 0 before the first.
    received: i32,
    place: Place,
    left: Left,
    /// The command line as it was typed.
    command: String,
    /// When the trials of a campaign were last kept.
    kept: Option<Instant>,
    /// Finished trials of a campaign that are not on the disk.
    unkept: u64,
}

impl State {
    const fn new(left: Left, command: String) -> Self {
        Self { received: 0, place: Place::Anywhere, left, command, kept: None, unkept: 0 }
    }
}

static STATE: Mutex<State> = Mutex::new(State::new(Left::Nothing, String::new()));

fn state() -> MutexGuard<'static, State> {
    // Every change of it is one assignment.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the signals of the program from now on. `command` is what was typed.
pub(crate) fn watch(left: Left, command: String) -> Result<(), Failure> {
    *state() = State::new(left, command);
    let mut arriving =
        Signals::new([SIGINT, SIGTERM, SIGUSR1]).context("signal handlers").map_err(Failure::Machine)?;
    std::thread::spawn(move || arriving.forever().for_each(receive));
    Ok(())
}

fn receive(signal: i32) {
    // Held to the end: nothing is begun to be written meanwhile.
    let mut state = state();
    let before = state.received;
    if signal == SIGUSR1 && before != 0 {
        return;
    }
    let urgent = signal != SIGUSR1;
    if state.place == Place::Anywhere || urgent && before != 0 && before != SIGUSR1 {
        state.stop(signal);
    }
    state.received = signal;
    let until = match state.place {
        Place::Writing => "when its files are written; once more: at once",
        _ if urgent => "after the trial in work; once more: at once",
        _ => "after the trial in work",
    };
    progress_line(&format!("{}: stopping {until}", name(signal)));
}

impl State {
    /// Ends the program.
    fn stop(&self, signal: i32) -> ! {
        let (by, command) = (name(signal), &self.command);
        progress_line(&match self.left {
            Left::Resumable if self.place == Place::Polled => {
                let lost = match self.unkept {
                    0 => "the trial in work is lost".into(),
                    trials => format!("the trial in work and {trials} finished before it are lost"),
                };
                format!("stopped by {by} at once: {lost}; resume with: {command}")
            }
            Left::Resumable => format!("stopped by {by}; resume with: {command}"),
            Left::Nothing if self.place != Place::Writing => {
                format!("stopped by {by}; nothing was written; start again with: {command}")
            }
            Left::Nothing | Left::Files => {
                format!("stopped by {by}; files that were written are whole; start again with: {command}")
            }
        });
        std::process::exit(Outcome::Stopped(signal).number().into());
    }
}

/// Does work that asks for its [`pace`], so that signals need not end the program.
pub(crate) fn polled<T>(work: impl FnOnce() -> T) -> T {
    {
        let mut state = state();
        (state.place, state.kept) = (Place::Polled, Some(Instant::now()));
    }
    let done = work();
    state().place = Place::Anywhere;
    done
}

/// How a campaign is to go on.
pub(crate) fn pace() -> Pace {
    let mut state = state();
    if state.received != 0 {
        return Pace::Stop;
    }
    if state.kept.is_some_and(|kept| kept.elapsed() < KEPT_EVERY) {
        return Pace::GoOn;
    }
    state.kept = Some(Instant::now());
    Pace::Keep
}

/// Notes how many finished trials of a campaign a kill would lose.
pub(crate) fn unkept(trials: u64) {
    state().unkept = trials;
}

/// Writes files; a signal that comes meanwhile ends the program when they are whole.
pub(crate) fn whole<T>(write: impl FnOnce() -> T) -> T {
    let written = last(write);
    let mut state = state();
    if state.received != 0 {
        state.stop(state.received);
    }
    state.place = Place::Anywhere;
    if state.left == Left::Nothing {
        state.left = Left::Files;
    }
    written
}

/// Writes the last files of a verb, which then has nothing to do but to show what came out.
pub(crate) fn last<T>(write: impl FnOnce() -> T) -> T {
    state().place = Place::Writing;
    write()
}

/// The end of a campaign that a signal has stopped, `stored` of its `units` units being stored, and of the unit in work some
/// of its trials; `None` when no signal came.
pub(crate) fn stopped(stored: usize, units: usize, begun: Option<(u64, u64)>) -> Option<Outcome> {
    let state = state();
    (state.received != 0).then(|| {
        let (by, command) = (name(state.received), &state.command);
        let begun = begun.map_or(String::new(), |(kept, trials)| {
            format!(", {kept} of {trials} trials of the unit in work are kept")
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
