//! Command lines as a POSIX shell reads them.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::parser::ValueSource;

/// Returns a word of a shell command, quoted if it needs that.
pub(crate) fn word(word: &str) -> String {
    shlex::try_quote(word).expect("an argument, path or variable has no NUL").into_owned()
}

/// The command line `words` as it was typed, for the same directory. What options took from the
/// environment stands before it, so that it also holds where that is not set.
pub(crate) fn typed(verb: &clap::Command, matches: &ArgMatches, words: &[OsString]) -> String {
    let of_environment = |argument: &clap::Arg| {
        let name = argument.get_env()?;
        let taken = matches.value_source(argument.get_id().as_str()) == Some(ValueSource::EnvVariable);
        let value = std::env::var_os(name).filter(|_| taken)?;
        Some(format!("{}={}", name.to_string_lossy(), word(&value.to_string_lossy())))
    };
    let words = words.iter().map(|argument| word(&argument.to_string_lossy()));
    verb.get_arguments().filter_map(of_environment).chain(words).collect::<Vec<_>>().join(" ")
}
