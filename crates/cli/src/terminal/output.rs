//! Output to stdout and stderr; nothing else prints.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use analysis::{MarkdownColumn, markdown_table};

/// Prints data to stdout. A closed pipe (`| head`) ends the program quietly.
pub(crate) fn data(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        let quiet = error.kind() == ErrorKind::BrokenPipe;
        if !quiet {
            progress_line(&format!("error: stdout: {error}"));
        }
        std::process::exit(if quiet { 0 } else { 1 });
    }
}

/// Prints a line to stderr. Control characters are escaped: messages quote files, which must not command the terminal.
pub(crate) fn progress_line(text: &str) {
    let mut visible = String::new();
    for c in text.chars() {
        if c.is_control() && c != '\n' { visible.extend(c.escape_default()) } else { visible.push(c) }
    }
    // Without a stderr the line is lost.
    let _ = writeln!(std::io::stderr().lock(), "{visible}");
}

/// Paths, one per line.
pub(crate) fn lines(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    paths.join("\n")
}

/// A Markdown table; columns whose name starts with `>` are aligned right.
pub(crate) fn markdown(columns: &[&str], rows: &[Vec<String>]) -> String {
    let column = |name: &&str| match name.strip_prefix('>') {
        Some(name) => MarkdownColumn::number(name),
        None => MarkdownColumn::text(name),
    };
    markdown_table(&columns.iter().map(column).collect::<Vec<_>>(), rows)
}

/// Seconds as text in a suitable unit.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// `part` of `whole` in percent.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}
