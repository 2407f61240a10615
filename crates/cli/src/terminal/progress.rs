//! Progress of long work: a bar on a terminal, lines in a log.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use harness::Observer;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::{duration, progress_line};

/// Time from the start of the work to the first line in a log.
const FIRST: Duration = Duration::from_secs(2);

/// Longest time between two lines in a log.
const LONGEST: Duration = Duration::from_secs(60);

/// Returns true if stderr is a file or a pipe, which gets lines instead of bars.
pub(crate) fn is_log() -> bool {
    !std::io::stderr().is_terminal()
}

/// Prints a line if stderr is a log; on a terminal a bar shows the same.
pub(crate) fn log_line(text: &str) {
    if is_log() {
        progress_line(text);
    }
}

/// Shows progress with the remaining time on stderr: a bar, or lines if stderr is a log.
pub(crate) fn bar(total: u64, unit: &str) -> Bar {
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{elapsed}} elapsed, {{eta}} left  {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("the template is constant");
    let log = is_log().then(|| Mutex::new(Log { begun: Instant::now(), from: 0, due: FIRST }));
    Bar { bar: ProgressBar::new(total).with_style(style), unit: unit.into(), log }
}

/// Shows downloaded bytes with their rate and the remaining time on stderr; silent if stderr is not a terminal.
pub(crate) fn byte_bar() -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is constant");
    ProgressBar::new(0).with_style(style)
}

/// Progress of one piece of work.
pub(crate) struct Bar {
    bar: ProgressBar,
    unit: String,
    log: Option<Mutex<Log>>,
}

/// Times of the lines in a log.
struct Log {
    begun: Instant,
    /// Position at the start.
    from: u64,
    /// Time from the start to the next line.
    due: Duration,
}

impl Bar {
    /// Starts at a position that earlier work reached, so that rates do not count it.
    pub(crate) fn begin_at(&self, position: u64) {
        self.bar.reset_eta();
        self.bar.set_position(position);
        if let Some(log) = &self.log {
            let mut log = log.lock().expect("no thread panics while it holds the lock");
            (log.begun, log.from) = (Instant::now(), position);
        }
    }

    /// Time since the start, as text.
    pub(crate) fn elapsed(&self) -> String {
        duration(self.bar.elapsed().as_secs_f64())
    }

    pub(crate) fn inc(&self, by: u64) {
        self.bar.inc(by);
        self.tell();
    }

    pub(crate) fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        self.tell();
    }

    pub(crate) fn set_length(&self, total: u64) {
        self.bar.set_length(total);
    }

    pub(crate) fn set_message(&self, message: String) {
        self.bar.set_message(message);
    }

    pub(crate) fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line into the log if one is due.
    fn tell(&self) {
        // Another thread is writing the line.
        let Some(Ok(mut log)) = self.log.as_ref().map(Mutex::try_lock) else { return };
        let elapsed = log.begun.elapsed();
        if elapsed >= log.due {
            log.due = next(elapsed);
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            progress_line(&line(done, total, log.from, elapsed, &self.unit, &self.bar.message()));
        }
    }
}

/// Time of the next line: intervals double up to one minute.
fn next(elapsed: Duration) -> Duration {
    elapsed + elapsed.clamp(FIRST, LONGEST)
}

/// Line of a log on work that advanced from position `from` to `done` in the time `elapsed`.
fn line(done: u64, total: u64, from: u64, elapsed: Duration, unit: &str, message: &str) -> String {
    let seconds = elapsed.as_secs_f64();
    let a_second = (done - from.min(done)) as f64 / seconds;
    let rate = match a_second {
        _ if a_second >= 1.0 => format!("{a_second:.1} a second"),
        _ => format!("{:.1} a minute", 60.0 * a_second),
    };
    let left = match total.saturating_sub(done) as f64 / a_second {
        seconds if seconds.is_finite() => format!("about {} left", duration(seconds)),
        _ => "time left unknown".into(),
    };
    let message = if message.is_empty() { String::new() } else { format!("; {message}") };
    format!("{done} of {total} {unit} after {}, {rate}, {left}{message}", duration(seconds))
}

/// Shows progress as bars or lines of a log, and remarks as lines, on stderr.
#[derive(Default)]
pub(crate) struct Terminal(Mutex<Option<Bar>>);

impl Terminal {
    fn with_bar(&self, act: impl FnOnce(&Bar)) {
        let bar = self.0.lock().expect("no thread panics while it holds the lock");
        if let Some(bar) = &*bar {
            act(bar);
        }
    }
}

impl Observer for Terminal {
    fn begin(&self, total: u64, unit: &str) {
        *self.0.lock().expect("no thread panics while it holds the lock") = Some(bar(total, unit));
    }

    fn subject(&self, name: &str) {
        self.with_bar(|bar| bar.set_message(name.into()));
    }

    fn advance(&self, steps: u64) {
        self.with_bar(|bar| bar.inc(steps));
    }

    fn end(&self) {
        self.with_bar(Bar::finish_and_clear);
        *self.0.lock().expect("no thread panics while it holds the lock") = None;
    }

    fn remark(&self, sentence: &str) {
        progress_line(sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_lines_at_growing_times_up_to_one_a_minute() {
        let mut due = FIRST;
        let mut times = Vec::new();
        while due < Duration::from_secs(400) {
            times.push(due.as_secs());
            due = next(due);
        }
        assert_eq!(times, [2, 4, 8, 16, 32, 64, 124, 184, 244, 304, 364]);
    }

    #[test]
    fn a_line_has_rate_and_time_left_of_what_was_done_since_the_beginning() {
        let of = |done, from, seconds| line(done, 640, from, Duration::from_secs(seconds), "trials", "");
        assert_eq!(of(320, 0, 32), "320 of 640 trials after 32.0 s, 10.0 a second, about 32.0 s left");
        // What was there before the beginning is no rate.
        assert_eq!(of(330, 300, 600), "330 of 640 trials after 10.0 min, 3.0 a minute, about 103.3 min left");
        assert_eq!(of(300, 300, 2), "300 of 640 trials after 2.0 s, 0.0 a minute, time left unknown");
    }
}
