//! Long work: it runs in a thread of its own, while Python's thread handles signals and reports progress.

use std::any::Any;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harness::{Failure, Observer};
use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;

use crate::boundary::panicked;
use crate::error::raised;

/// Time between two looks at signals and progress.
const LOOK: Duration = Duration::from_millis(50);

/// What work in another thread says: its progress and its remarks. It also hears whether it should stop.
#[derive(Default)]
pub(crate) struct Told {
    progress: Mutex<Progress>,
    remarks: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

#[derive(Clone, Default, PartialEq)]
struct Progress {
    done: u64,
    total: u64,
    unit: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Told {
    fn begin(&self, total: u64, unit: &str) {
        *locked(&self.progress) = Progress { done: 0, total, unit: unit.into() };
    }

    /// Ends the work, by an unwinding to its thread, if nobody waits for the result any more.
    fn advance(&self, steps: u64) {
        if self.is_stopped() {
            resume_unwind(Box::new("nobody waits"));
        }
        locked(&self.progress).done += steps;
    }

    fn remark(&self, sentence: &str) {
        locked(&self.remarks).push(sentence.into());
    }
}

impl Told {
    /// True if nobody waits for the result any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Does long work. `progress`, if there is one, is called in the caller's thread as `progress(done, total, unit)`; remarks become
/// warnings.
///
/// # Errors
/// The failure of the work, a `RuntimeError` if it panics, and the exceptions of signal handlers (`KeyboardInterrupt`) and of
/// `progress`. After these the work ends at its next step.
pub(crate) fn long<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Told) -> Result<T, Failure> + Send + 'static,
) -> PyResult<T> {
    let told = Arc::new(Told::default());
    let (sender, mut receiver) = channel();
    let worker = Arc::clone(&told);
    std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&worker)));
        // Without a receiver nobody waits.
        let _ = sender.send(result);
    });
    let mut reported = Progress::default();
    let result = loop {
        let received = py.detach(move || (receiver.recv_timeout(LOOK), receiver));
        receiver = received.1;
        let looked = py.check_signals().and_then(|()| told.report(progress, &mut reported));
        if let Err(exception) = looked {
            told.stopped.store(true, Ordering::Relaxed);
            return Err(exception);
        }
        match received.0 {
            Ok(result) => break result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                break Err(Box::new("the thread of a call ended without a result") as Box<dyn Any + Send>);
            }
        }
    };
    told.warn(py)?;
    result.map_err(panicked)?.map_err(|failure| raised(&failure))
}

impl Told {
    /// Calls `progress` if there is something new.
    fn report(&self, progress: Option<&Bound<'_, PyAny>>, reported: &mut Progress) -> PyResult<()> {
        let Some(callback) = progress else { return Ok(()) };
        let now = locked(&self.progress).clone();
        if now != *reported {
            callback.call1((now.done, now.total, now.unit.as_str()))?;
            *reported = now;
        }
        Ok(())
    }

    /// Turns the remarks into warnings.
    fn warn(&self, py: Python<'_>) -> PyResult<()> {
        let remarks = std::mem::take(&mut *locked(&self.remarks));
        for remark in remarks {
            let remark = CString::new(remark.replace('\0', " ")).expect("it has no NUL");
            PyErr::warn(py, &py.get_type::<PyUserWarning>(), &remark, 1)?;
        }
        Ok(())
    }
}
