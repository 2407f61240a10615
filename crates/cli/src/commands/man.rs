use std::io;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::terminal::exit::Outcome;
use crate::terminal::output::{data, lines};
use harness::Failure;

const HELP: &str = "\
The command writes zerospace.1 and zerospace-COMMAND.1 for each command, with the text of --help. To install them:
  zerospace man ~/.local/share/man/man1

Example:
  zerospace man man1 && man -l man1/zerospace-run.1";

/// Write the manual pages, one for the program and one for each command
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Folder for the pages; it is created if missing
    #[arg(value_name = "DIR", default_value = "man1")]
    folder: PathBuf,
}

pub(crate) fn execute(arguments: &Arguments, program: Command) -> Result<Outcome, Failure> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| folder.display().to_string())
        .map_err(Failure::Machine)?;
    let mut written = Vec::new();
    for command in with_all_below(&program) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = folder.join(format!("{name}.1"));
        let text = page(command).expect("a vector takes what is written");
        durable::write(&path, &text).with_context(|| path.display().to_string()).map_err(Failure::Machine)?;
        written.push(path);
    }
    data(&lines(&written));
    Ok(Outcome::Done)
}

/// A command and its subcommands.
fn with_all_below(command: &Command) -> Vec<&Command> {
    std::iter::once(command).chain(command.get_subcommands().flat_map(with_all_below)).collect()
}

/// A page in roff.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone()).manual("zerospace");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(notes) = command.get_after_long_help().or(command.get_after_help()) {
        text.extend(as_it_stands(&notes.to_string()).into_bytes());
    }
    Ok(text)
}

/// Notes with their own line breaks: tables, lists and examples.
fn as_it_stands(notes: &str) -> String {
    let line = |line: &str| {
        let escaped =
            line.replace('\\', r"\e").replace('-', r"\-").replace('`', r"\(ga").replace('\'', r"\(aq");
        // A leading dot would be a roff request.
        if escaped.starts_with('.') { format!(r"\&{escaped}") } else { escaped }
    };
    let lines: Vec<String> = notes.lines().map(line).collect();
    format!(".SH NOTES\n.nf\n{}\n.fi\n", lines.join("\n"))
}
