//! Signals that ask a run to stop.
//!
//! SIGUSR1 is a warning, such as Slurm gives before the end of a job's time: the unit in work is finished and
//! stored. SIGTERM and SIGINT (Ctrl-C) end a run after the trial in work; the second of them, or any before the
//! first trial or after the last, ends the program at once. Nothing that was stored is lost in any of these ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

use anyhow::Context;
use campaign::Pace;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator;
use signal_hook::low_level::signal_name;

use crate::exit::{Failure, Outcome};
use crate::output::progress_line;

/// What signals have asked for so far.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    /// The most urgent one; 0 before the first.
    received: Arc<AtomicI32>,
    /// Whether a run asks for its pace.
    polled: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the signals of the program from now on.
    pub(crate) fn watch() -> Result<Self, Failure> {
        let signals = Self::default();
        let mut arriving = iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1])
            .context("signal handlers")
            .map_err(Failure::Machine)?;
        let watched = signals.clone();
        std::thread::spawn(move || arriving.forever().for_each(|signal| watched.receive(signal)));
        Ok(signals)
    }

    fn receive(&self, signal: i32) {
        let before = self.received.load(SeqCst);
        if signal == SIGUSR1 && before != 0 {
            return;
        }
        let urgent = signal != SIGUSR1;
        if !self.polled.load(SeqCst) || urgent && before != 0 && before != SIGUSR1 {
            progress_line(&format!("stopped by {}; the same command resumes", name(signal)));
            std::process::exit(Outcome::Stopped(signal).number().into());
        }
        self.received.store(signal, SeqCst);
        let until = if urgent {
            "after the trial in work; once more: at once"
        } else {
            "when the unit in work is stored"
        };
        progress_line(&format!("{}: stopping {until}", name(signal)));
    }

    /// Whether a run asks for its pace, so that signals need not end the program.
    pub(crate) fn set_polled(&self, polled: bool) {
        self.polled.store(polled, SeqCst);
    }

    /// How far a run is to go on.
    pub(crate) fn pace(&self) -> Pace {
        match self.received.load(SeqCst) {
            0 => Pace::GoOn,
            SIGUSR1 => Pace::FinishUnit,
            _ => Pace::FinishTrial,
        }
    }

    /// The signal by which a run was stopped that has stored `stored` of `units` units.
    pub(crate) fn stopped(&self, stored: usize, units: usize) -> Outcome {
        let signal = self.received.load(SeqCst);
        let by = name(signal);
        progress_line(&format!(
            "stopped by {by}: {stored} of {units} units are stored; the same command resumes"
        ));
        Outcome::Stopped(signal)
    }
}

fn name(signal: i32) -> &'static str {
    signal_name(signal).unwrap_or("a signal")
}
