//! The command line of the program, and the end of each command as an exit code.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use harness::Failure;

use crate::commands::{
    completions, corrupt, data_sets, doctor, fit, inspect, man, merge, plan, quantize, replay, report,
    reproduce, run, search_codes, status, submit, table1, train, verify,
};
use crate::terminal::exit::{self, Outcome};
use crate::terminal::signals::{self, StoredWork};
use crate::terminal::{output, shell};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the machine or the network refused: a file could not be read or written, the disk is full, a host is unreachable
  2  usage, configuration or input: the message names the file, the value and what was expected
  4  records of another plan
  5  incomplete; `zerospace run` with the same arguments resumes
  6  verification failed
 75  stopped by SIGTERM or SIGUSR1; the last line on stderr is the command that resumes
130  stopped by Ctrl-C (SIGINT), likewise";

const EXAMPLES: &str = "\
Start here:
  zerospace reproduce
  zerospace data fetch cifar10
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 --throttle -o resnet20.safetensors
  zerospace inspect resnet20.safetensors
  zerospace run experiments/resnet20-cifar10.toml

Every command has --help.";

/// Measure the accuracy that an 8-bit CNN keeps when the memory of its weights flips bits, and compare protections of
/// that memory.
#[derive(Parser)]
#[command(name = "zerospace", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Reproduce(reproduce::Arguments),
    Data(data_sets::Arguments),
    Quantize(quantize::Arguments),
    Inspect(inspect::Arguments),
    Table1(table1::Arguments),
    SearchCodes(search_codes::Arguments),
    Train(train::Arguments),
    Plan(plan::Arguments),
    Run(run::Arguments),
    Submit(submit::Arguments),
    Status(status::Arguments),
    Merge(merge::Arguments),
    Report(report::Arguments),
    Replay(replay::Arguments),
    Verify(verify::Arguments),
    Corrupt(corrupt::Arguments),
    Fit(fit::Arguments),
    Doctor(doctor::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Verb {
    /// Results that a stopped command leaves; `None` for short commands, which signals end at once.
    fn left(&self) -> Option<StoredWork> {
        match self {
            Self::Reproduce(_) | Self::Train(_) | Self::Run(_) => Some(StoredWork::Resumable),
            Self::Data(_)
            | Self::Quantize(_)
            | Self::Table1(_)
            | Self::SearchCodes(_)
            | Self::Plan(_)
            | Self::Merge(_)
            | Self::Report(_)
            | Self::Verify(_)
            | Self::Doctor(_) => Some(StoredWork::Nothing),
            Self::Inspect(_)
            | Self::Submit(_)
            | Self::Status(_)
            | Self::Replay(_)
            | Self::Corrupt(_)
            | Self::Fit(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }
}

/// Exit code of a command line that is wrong.
const USAGE: u8 = 2;

/// Runs the program and returns its exit code.
///
/// `words` is the command line, the name of the program first. `executable` is the file that starts the program again,
/// for the jobs of a cluster.
pub fn main(words: Vec<OsString>, executable: io::Result<PathBuf>) -> u8 {
    let mut program = Arguments::command();
    let arguments = program.try_get_matches_from_mut(&words).and_then(|matches| {
        let arguments = Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut program))?;
        Ok((arguments, matches))
    });
    let (arguments, matches) = match arguments {
        Ok(parsed) => parsed,
        Err(error) => {
            // A closed stdout or stderr has no reader to tell.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(USAGE);
        }
    };
    let watched = match arguments.verb.left() {
        Some(left) => signals::watch(left, typed(&program, &matches, &words)),
        None => Ok(()),
    };
    match watched.and_then(|()| execute(arguments.verb, executable)) {
        Ok(outcome) => outcome.number(),
        Err(failure) => {
            output::progress_line(&format!("error: {}", exit::explained(&failure)));
            exit::code(&failure)
        }
    }
}

/// The command line as typed, to be run again.
fn typed(program: &Command, matches: &ArgMatches, words: &[OsString]) -> String {
    match matches.subcommand() {
        None => shell::typed(program, matches, words),
        Some((name, matches)) => {
            typed(program.find_subcommand(name).expect("it was matched"), matches, words)
        }
    }
}

fn execute(verb: Verb, executable: io::Result<PathBuf>) -> Result<Outcome, Failure> {
    match verb {
        Verb::Reproduce(arguments) => reproduce::execute(&arguments),
        Verb::Data(arguments) => data_sets::execute(&arguments),
        Verb::Quantize(arguments) => quantize::execute(&arguments),
        Verb::Inspect(arguments) => inspect::execute(&arguments),
        Verb::Table1(arguments) => table1::execute(&arguments),
        Verb::SearchCodes(arguments) => search_codes::execute(&arguments),
        Verb::Train(arguments) => train::execute(&arguments),
        Verb::Plan(arguments) => plan::execute(&arguments),
        Verb::Run(arguments) => run::execute(&arguments),
        Verb::Submit(arguments) => submit::execute(&arguments, executable),
        Verb::Status(arguments) => status::execute(&arguments),
        Verb::Merge(arguments) => merge::execute(&arguments),
        Verb::Report(arguments) => report::execute(&arguments),
        Verb::Replay(arguments) => replay::execute(&arguments),
        Verb::Verify(arguments) => verify::execute(&arguments),
        Verb::Corrupt(arguments) => corrupt::execute(&arguments),
        Verb::Fit(arguments) => fit::execute(&arguments),
        Verb::Doctor(arguments) => doctor::execute(&arguments),
        Verb::Completions(arguments) => completions::execute(&arguments, &mut Arguments::command()),
        Verb::Man(arguments) => man::execute(&arguments, Arguments::command()),
    }
}
